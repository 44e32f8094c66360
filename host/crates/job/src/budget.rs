//! Budgets in money: which sums a job is counted in, whether it may start, and the purse from
//! which its requests are paid.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sqlite::SqliteStore;
use crate::store::{JobStore, Reserved, SpendScope};
use config::Config;
pub use gateway::purse::Purse;
use model::error::{Error, Kind, Result};
use model::money::Money;
use model::spec::{JobId, JobSpec};

/// The sums that requests are counted in, at one time: a day's sums change at midnight (UTC).
pub fn scopes(config: &Config, job: Option<(&JobId, &JobSpec)>, now: jiff::Timestamp) -> Vec<SpendScope> {
    let day = now.strftime("%F").to_string();
    let budget = &config.budget;
    let mut out = Vec::new();
    let mut add = |limit: Option<Money>, key: String, name: String| {
        out.extend(limit.map(|limit| SpendScope { key, limit, name }));
    };
    if let Some((id, spec)) = job {
        add(spec.max_cost, format!("job {id}"), "this job".to_owned());
    }
    add(budget.day, format!("day {day}"), format!("the day {day}"));
    let Some((_, spec)) = job else { return out };
    let repository = repository(spec);
    let name = repository.display();
    add(budget.repository_day, format!("repository {day} {name}"), format!("{name} on {day}"));
    for (label, value, limit) in &budget.labels {
        if spec.labels.get(label) == Some(value) {
            let name = format!("{label}={value}");
            add(Some(*limit), format!("label {day} {name}"), format!("{name} on {day}"));
        }
    }
    out
}

/// The repository of the first directory, or that directory.
pub fn repository(spec: &JobSpec) -> PathBuf {
    let Some(first) = spec.allowed_dirs.first() else { return PathBuf::new() };
    let root = first.path().ancestors().find(|dir| dir.join(".git").exists());
    root.map_or_else(|| first.path().to_owned(), Path::to_owned)
}

/// Refuses a job that could not be paid: a price that nobody knows, a sum that is used up.
pub fn may_start(config: &Config, store: &dyn JobStore, spec: &JobSpec) -> Result<()> {
    let id = JobId::parse(&"0".repeat(32));
    let scopes = scopes(config, id.as_ref().map(|id| (id, spec)), jiff::Timestamp::now());
    let Some(first) = scopes.first() else { return Ok(()) };
    let model = spec.model.clone().or_else(|| config.gateway.model.clone());
    let models: Vec<String> = model.into_iter().chain(config.agent.escalate_model.clone()).collect();
    let unknown = adapter::profiles::unpriced(config, &models)?;
    if !unknown.is_empty() {
        return Err(Error::new(
            Kind::Config,
            format!(
                "there is a budget of {} for {}, and the price of {} is not known",
                first.limit,
                first.name,
                unknown.join(", ")
            ),
        )
        .hint("set WORKER_PRICE_INPUT and WORKER_PRICE_OUTPUT (per million tokens), or prices in [profiles.<name>]")
        .hint("or take the budget out: an unknown price is never guessed"));
    }
    for scope in scopes.iter().filter(|scope| !scope.key.starts_with("job ")) {
        let spent = store.spent(&scope.key)?;
        if spent >= scope.limit {
            return Err(Error::new(
                Kind::Refused,
                format!("the budget of {} for {} is used up ({spent} spent)", scope.limit, scope.name),
            )
            .hint(
                "wait for the next day (UTC), or raise it: `codex-worker config show` says where it is set",
            ));
        }
    }
    Ok(())
}

/// What a purse has to say while it pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Four fifths of a budget are spent; said once for each.
    Near(String),
    /// A request was refused; why.
    Refused(String),
}

/// Pays from every sum that counts the job.
pub struct JobPurse {
    store: Arc<dyn JobStore>,
    scopes: Box<dyn Fn() -> Vec<SpendScope> + Send + Sync>,
    tell: Box<dyn Fn(Notice) + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: BTreeMap<u64, Vec<SpendScope>>,
    told: BTreeSet<String>,
}

impl std::fmt::Debug for JobPurse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JobPurse")
    }
}

/// The purse of a job, or of a question of the host's own where `job` is none; none where no
/// budget counts it. `tell` is called from threads that may block.
pub fn purse(
    config: &Arc<Config>,
    store: Arc<dyn JobStore>,
    job: Option<(JobId, JobSpec)>,
    tell: impl Fn(Notice) + Send + Sync + 'static,
) -> Option<Arc<dyn Purse>> {
    let config = Arc::clone(config);
    let scopes = move || scopes(&config, job.as_ref().map(|(id, spec)| (id, spec)), jiff::Timestamp::now());
    if scopes().is_empty() {
        return None;
    }
    let purse = JobPurse { store, scopes: Box::new(scopes), tell: Box::new(tell), state: Mutex::default() };
    Some(Arc::new(purse))
}

/// The purse of what is no job: questions of the host's own, and the stand-alone adapter. They
/// count in the day's budget.
pub fn day_purse(config: &Arc<Config>) -> Result<Option<Arc<dyn Purse>>> {
    if config.budget.day.is_none() {
        return Ok(None);
    }
    let store = Arc::new(SqliteStore::open(&config.home)?);
    Ok(purse(config, store, None, |notice| tracing::warn!(?notice, "the day's budget")))
}

impl JobPurse {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Purse for JobPurse {
    fn reserve(&self, amount: Money) -> Result<u64, String> {
        let scopes = (self.scopes)();
        match self.store.reserve(&scopes, amount) {
            Ok(Reserved::Granted(number)) => {
                self.lock().open.insert(number, scopes);
                Ok(number)
            }
            Ok(Reserved::Refused { index, spent }) => {
                let scope = &scopes[index];
                let why = format!(
                    "the budget of {} for {} is used up: {spent} spent or reserved, and the next request may cost {amount}",
                    scope.limit, scope.name
                );
                (self.tell)(Notice::Refused(why.clone()));
                Err(why)
            }
            Err(error) => Err(format!("the budget could not be read: {}", error.message)),
        }
    }

    fn settle(&self, reservation: u64, amount: Option<Money>) {
        let totals = match self.store.settle(reservation, amount) {
            Ok(totals) => totals,
            Err(error) => {
                // What was reserved stays counted: rather too much than too little.
                tracing::warn!(%error, "a reservation was not settled");
                return;
            }
        };
        let scopes = self.lock().open.remove(&reservation).unwrap_or_default();
        for (scope, spent) in scopes.iter().zip(totals) {
            if spent.is_near(scope.limit) && self.lock().told.insert(scope.key.clone()) {
                let text =
                    format!("80 % of the budget of {} for {} are spent ({spent})", scope.limit, scope.name);
                (self.tell)(Notice::Near(text));
            }
        }
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
