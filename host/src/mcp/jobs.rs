//! The tools over the job store: `start`, `get`, `tail`, `wait`, `cancel`. Everything
//! that blocks runs on the blocking pool; a `wait` holds no thread.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rmcp::RoleServer;
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;
use tokio_util::sync::CancellationToken;

use super::budget;
use super::tokens::Grant;
use super::tools::{
    CancelArgs, CancelReply, GetArgs, JobView, StartArgs, StartReply, TailArgs, TailReply, WaitArgs,
};
use agent;
use config::{AgentKind, Config};
use job::sqlite::SqliteStore;
use job::store::{Event, JobRow, JobStore};
use job::{reap, spawn};
use model::error::{Error, Kind, Result};
use model::spec::{JobId, JobSpec};
use redact::sanitize::line;

/// How often a waiting call looks, at first and at most.
const POLL_FIRST: Duration = Duration::from_millis(60);
const POLL_MOST: Duration = Duration::from_millis(400);
/// A row that was read this recently is not read again for another waiting call.
const FRESH: Duration = Duration::from_millis(50);
/// The same for a job that has ended: nothing changes but that it may be cleaned away.
const ENDED_FRESH: Duration = Duration::from_secs(2);
/// How often the store is swept for dead workers and an idle queue.
const MAINTENANCE: Duration = Duration::from_secs(2);
/// How long `cancel` waits for the process tree to be gone.
const CANCEL_WAIT: Duration = Duration::from_secs(30);
/// Between looks at whether it is.
const CANCEL_LOOK: Duration = Duration::from_millis(50);
const WAIT_JOBS_MAX: usize = 50;
const TAIL_DEFAULT: u32 = 40;
const TAIL_MOST: u32 = 500;
const TAIL_LINE: usize = 300;

/// The jobs of one state directory, as the server sees them.
pub struct Jobs {
    config: Arc<Config>,
    // Opened at the first call: a client that only lists tools pays nothing.
    store: OnceLock<Arc<SqliteStore>>,
    seen: tokio::sync::Mutex<HashMap<JobId, (Instant, Arc<JobRow>)>>,
    maintained_at: Mutex<Option<Instant>>,
    /// Fires when nobody listens any more.
    shutdown: CancellationToken,
    /// What the caller may touch; none for the client on standard input and output.
    grant: Option<Grant>,
}

impl Jobs {
    /// Touches nothing yet.
    pub fn new(config: Arc<Config>, shutdown: CancellationToken) -> Self {
        Jobs {
            config,
            store: OnceLock::new(),
            seen: tokio::sync::Mutex::new(HashMap::new()),
            maintained_at: Mutex::new(None),
            shutdown,
            grant: None,
        }
    }

    /// For the holder of a token: only jobs in its directories exist.
    pub fn granted(mut self, grant: Grant) -> Self {
        self.grant = Some(grant);
        self
    }

    fn may(&self, row: &JobRow) -> Result<()> {
        match &self.grant {
            Some(grant) if !grant.allows(&row.spec.allowed_dirs) => Err(no_such_job(&row.id)),
            _ => Ok(()),
        }
    }

    /// Runs `work` on the blocking pool with the store and a job that the caller may touch.
    pub async fn on_job<T: Send + 'static>(
        self: &Arc<Self>,
        id: &JobId,
        work: impl FnOnce(&Config, &SqliteStore, JobRow) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (this, id) = (self.clone(), id.clone());
        self.blocking(move |config, store| {
            let row = store.get(&id)?;
            this.may(&row)?;
            work(config, store, row)
        })
        .await
    }

    /// The settings with which these paths may be read. A grant of several directories allows
    /// paths of one of them at a time.
    pub fn config_for(&self, paths: &[String]) -> Result<Arc<Config>> {
        let Some(grant) = self.grant.as_ref().filter(|grant| !grant.dirs.is_empty()) else {
            return Ok(self.config.clone());
        };
        let holds = |dir: &PathBuf| paths.iter().all(|path| Path::new(path).starts_with(dir));
        // Inside it, links and `..` are followed and judged as for the sandbox root.
        let dir = grant.dirs.iter().find(|dir| holds(dir)).ok_or_else(|| {
            let dirs: Vec<String> = grant.dirs.iter().map(|dir| dir.display().to_string()).collect();
            Error::new(Kind::Refused, format!("the token {} does not reach all of these paths", grant.name))
                .hint(format!("name absolute paths inside one of {}", dirs.join(", ")))
        })?;
        Ok(Arc::new(Config { sandbox_root: Some(dir.clone()), ..(*self.config).clone() }))
    }

    fn store(&self) -> Result<Arc<SqliteStore>> {
        if let Some(store) = self.store.get() {
            return Ok(store.clone());
        }
        let opened = Arc::new(SqliteStore::open(&self.config.home)?);
        if opened.is_copy() {
            // Of this moment only.
            return Ok(opened);
        }
        Ok(self.store.get_or_init(|| opened).clone())
    }

    /// Runs `work` on the blocking pool with the store.
    pub async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Config, &SqliteStore) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&this.config, &*this.store()?)).await;
        match done {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::new(Kind::Internal, "the server is shutting down")),
        }
    }

    /// Jobs whose worker died are ended, and a queue without a worker gets one; at most
    /// every [`MAINTENANCE`].
    async fn run_maintenance(self: &Arc<Self>) {
        {
            let mut last = self.maintained_at.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|at| at.elapsed() < MAINTENANCE) {
                return;
            }
            *last = Some(Instant::now());
        }
        let kept = self
            .blocking(|config, store| {
                reap::sweep(config, store)?;
                spawn::ensure_worker(config, store)
            })
            .await;
        if let Err(error) = kept {
            // A store that cannot be written (a full disk, a lock) can be read still.
            tracing::warn!(%error, "could not check for dead workers");
        }
    }

    /// One job, not older than [`FRESH`]: a thousand waiting calls read it once.
    async fn row(self: &Arc<Self>, id: &JobId) -> Result<Arc<JobRow>> {
        let mut seen = self.seen.lock().await;
        if let Some((at, row)) = seen.get(id)
            && at.elapsed() < if row.status.is_final() { ENDED_FRESH } else { FRESH }
        {
            return Ok(row.clone());
        }
        let wanted = id.clone();
        let row = Arc::new(self.on_job(&wanted, |_, _, row| Ok(row)).await?);
        if seen.len() > 1000 {
            seen.clear();
        }
        seen.insert(id.clone(), (Instant::now(), row.clone()));
        Ok(row)
    }

    /// `start`.
    pub async fn start(self: &Arc<Self>, args: StartArgs) -> Result<StartReply> {
        let this = self.clone();
        self.blocking(move |config, store| {
            let spec = super::parse::job_spec(args, config)?;
            if let Some(grant) = this.grant.as_ref().filter(|grant| !grant.allows(&spec.allowed_dirs)) {
                let dirs: Vec<String> = grant.dirs.iter().map(|dir| dir.display().to_string()).collect();
                let message = format!("the token {} does not allow all of allowed_dirs", grant.name);
                return Err(Error::new(Kind::Refused, message)
                    .hint(format!("name directories inside {}", dirs.join(", "))));
            }
            ready(config, &spec)?;
            if let Some(id) = &spec.resume {
                let row = resumable(store, id)?;
                this.may(&row)?;
            }
            job::budget::may_start(config, store, &spec)?;
            let enqueued = store.enqueue(&spec)?;
            if !enqueued.status.is_final() {
                spawn::ensure_worker(config, store)?;
            }
            Ok(StartReply {
                job_id: enqueued.id.to_string(),
                job_status: enqueued.status,
                queue_position: enqueued.queue_position,
            })
        })
        .await
    }

    /// `get`.
    pub async fn get(self: &Arc<Self>, args: GetArgs) -> Result<JobView> {
        let id = job_id(&args.job_id)?;
        self.run_maintenance().await;
        let row = self.row(&id).await?;
        if row.status.is_final() {
            return Ok(ended(&row, args.verbose, args.include_diff));
        }
        let mut view = running(&row);
        // The contract's four keys are there from the beginning.
        view.changed_files = Some(Vec::new());
        view.checks = Some(Vec::new());
        view.diff = Some(String::new());
        Ok(view)
    }

    /// `tail`.
    pub async fn tail(self: &Arc<Self>, args: TailArgs) -> Result<TailReply> {
        let id = job_id(&args.job_id)?;
        self.run_maintenance().await;
        let limit = args.lines.unwrap_or(TAIL_DEFAULT).clamp(1, TAIL_MOST);
        let (status, events) = self
            .on_job(&id.clone(), move |_, store, row| Ok((row.status, store.events(&id, args.after, limit)?)))
            .await?;
        Ok(tail_reply(status, &events, args.after))
    }

    /// `wait`: the first of the jobs that ended, else the state of the first that runs.
    pub async fn wait(
        self: &Arc<Self>,
        args: WaitArgs,
        context: Option<&RequestContext<RoleServer>>,
    ) -> Result<JobView> {
        let several = !args.job_ids.is_empty();
        let ids = wait_ids(&args)?;
        let limit = args.timeout_ms.map_or(self.config.wait_default, Duration::from_millis);
        let deadline = Instant::now() + limit;
        let mut progress = context.and_then(Progress::new);
        let cancelled = context.map(|context| context.ct.clone()).unwrap_or_default();
        let mut pause = POLL_FIRST;
        loop {
            self.run_maintenance().await;
            let mut first: Option<Arc<JobRow>> = None;
            for id in &ids {
                let row = self.row(id).await?;
                if row.status.is_final() {
                    let mut view = ended(&row, false, None);
                    view.job_id = several.then(|| id.to_string());
                    return Ok(view);
                }
                let active = first.as_ref().is_none_or(|known| known.started_ms.is_none());
                if first.is_none() || (active && row.started_ms.is_some()) {
                    first = Some(row);
                }
            }
            let Some(row) = first else { return Err(nothing_to_wait_for()) };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || cancelled.is_cancelled() || self.shutdown.is_cancelled() {
                let mut view = running(&row);
                view.job_id = several.then(|| row.id.to_string());
                budget::fit_waiting(&mut view);
                return Ok(view);
            }
            if let Some(progress) = &mut progress {
                progress.tell(&row).await;
            }
            tokio::select! {
                () = tokio::time::sleep(pause.min(left)) => {}
                () = cancelled.cancelled() => {}
                () = self.shutdown.cancelled() => {}
            }
            pause = (pause * 3 / 2).min(POLL_MOST);
        }
    }

    /// `cancel`.
    pub async fn cancel(self: &Arc<Self>, args: CancelArgs) -> Result<CancelReply> {
        let id = job_id(&args.job_id)?;
        let reason = line(args.reason.as_deref().unwrap_or("cancelled by the planner"), 200);
        let asked = id.clone();
        let mut job_status =
            self.on_job(&id, move |_, store, _| store.request_cancel(&asked, &reason)).await?;
        let deadline = Instant::now() + CANCEL_WAIT;
        // Without holding a thread: many may be cancelled at once, some by a stopped worker.
        while !job_status.is_final() && Instant::now() < deadline && !self.shutdown.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(CANCEL_LOOK) => {}
                () = self.shutdown.cancelled() => {}
            }
            let id = id.clone();
            job_status = self
                .blocking(move |config, store| {
                    // A dead worker would never answer.
                    reap::sweep(config, store)?;
                    Ok(store.get(&id)?.status)
                })
                .await?;
        }
        Ok(CancelReply { job_status })
    }

    /// Fires when nobody listens any more.
    pub fn shutdown(&self) -> &CancellationToken {
        &self.shutdown
    }

    /// The settings.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }
}

/// Progress notifications for a call that asked for them: when the newest event changed,
/// and not more often than that.
struct Progress<'a> {
    context: &'a RequestContext<RoleServer>,
    token: rmcp::model::ProgressToken,
    sent: f64,
    last: Option<String>,
}

impl<'a> Progress<'a> {
    fn new(context: &'a RequestContext<RoleServer>) -> Option<Self> {
        let token = context.meta.get_progress_token()?;
        Some(Progress { context, token, sent: 0.0, last: None })
    }

    async fn tell(&mut self, row: &JobRow) {
        let event = row.last_event.as_deref().unwrap_or_default();
        let message = line(&format!("{}: {event}", row.status.as_str()), 200);
        if self.last.as_ref() == Some(&message) {
            return;
        }
        self.sent += 1.0;
        let param = ProgressNotificationParam::new(self.token.clone(), self.sent).with_message(&*message);
        // A closed connection is the transport's to report.
        let _ = self.context.peer.notify_progress(param).await;
        self.last = Some(message);
    }
}

fn nothing_to_wait_for() -> Error {
    Error::new(Kind::Usage, "job_id is missing")
        .hint("pass the job_id that start gave, or several as job_ids")
}

fn wait_ids(args: &WaitArgs) -> Result<Vec<JobId>> {
    let texts: Vec<&String> = args.job_id.iter().chain(&args.job_ids).collect();
    if texts.is_empty() {
        return Err(nothing_to_wait_for());
    }
    if texts.len() > WAIT_JOBS_MAX {
        return Err(Error::new(
            Kind::Usage,
            format!("job_ids holds {} jobs; the limit is {WAIT_JOBS_MAX}", texts.len()),
        )
        .hint("wait for fewer at a time"));
    }
    texts.into_iter().map(|text| job_id(text)).collect()
}

/// Reads a job id.
pub fn job_id(text: &str) -> Result<JobId> {
    JobId::parse(text).ok_or_else(|| {
        Error::new(Kind::Usage, format!("job_id is {:?}, which is not a job id", line(text, 60)))
            .hint("use the job_id that start gave: 32 hexadecimal digits")
    })
}

/// What a job needs besides its arguments, so that it fails here and not in the background.
pub(crate) fn ready(config: &Config, spec: &JobSpec) -> Result<()> {
    agent::for_config(config)?;
    if config.agent.kind == AgentKind::Command {
        return Ok(());
    }
    if config.gateway.primary.is_none() {
        return Err(Error::new(Kind::Config, "no gateway is configured: ONEAPI_BASE_URL is not set").hint(
            "set ONEAPI_BASE_URL (and ONEAPI_API_KEY) to an OpenAI-compatible gateway for this server",
        ));
    }
    if config.gateway.use_openai_adapter && spec.model.is_none() && config.gateway.model.is_none() {
        return Err(Error::new(Kind::Config, "no model is configured: CLAUDE_MODEL is not set")
            .hint("set CLAUDE_MODEL to the gateway's name of a model, or pass model"));
    }
    Ok(())
}

fn resumable(store: &dyn JobStore, id: &JobId) -> Result<JobRow> {
    let row = store.get(id).map_err(|error| match error.kind {
        Kind::NotFound => Error::new(Kind::NotFound, format!("resume names job {id}, which does not exist"))
            .hint("leave resume out to begin a new conversation"),
        _ => error,
    })?;
    if !row.status.is_final() {
        return Err(Error::new(
            Kind::Usage,
            format!("resume names job {id}, which is still {}", row.status.as_str()),
        )
        .hint("wait for it, or cancel it first"));
    }
    Ok(row)
}

/// What the store says of an id that it does not know.
fn no_such_job(id: &JobId) -> Error {
    Error::new(Kind::NotFound, format!("there is no job {id}"))
        .hint("list them with `codex-worker jobs list`")
}

/// An ended job within its budget.
pub fn ended(row: &JobRow, verbose: bool, include_diff: Option<bool>) -> JobView {
    let mut view = match &row.result {
        Some(result) => JobView::from(result.clone()),
        None => JobView {
            job_status: Some(row.status),
            next_action: Some("tell the operator: this job has no result".to_owned()),
            ..JobView::default()
        },
    };
    view.job_status = Some(row.status);
    if !include_diff.unwrap_or(row.spec.include_diff) {
        view.diff = Some(String::new());
    }
    budget::fit(&mut view, verbose);
    view
}

/// A job that has not ended.
pub fn running(row: &JobRow) -> JobView {
    let since = row.started_ms.unwrap_or(row.created_ms);
    let now = jiff::Timestamp::now().as_millisecond();
    JobView {
        job_status: Some(row.status),
        elapsed_ms: Some(u64::try_from(now - since).unwrap_or(0)),
        queue_position: row.queue_position,
        last_event: row.last_event.as_deref().map(|event| line(event, 160)),
        ..JobView::default()
    }
}

fn tail_reply(job_status: model::status::JobStatus, events: &[Event], after: Option<u64>) -> TailReply {
    let rendered: Vec<(u64, String)> = events
        .iter()
        .map(|event| {
            let clock = event.at_ms.rem_euclid(86_400_000) / 1000;
            let (hours, minutes, seconds) = (clock / 3600, clock / 60 % 60, clock % 60);
            let text = line(&event.text, TAIL_LINE);
            (event.seq, format!("{hours:02}:{minutes:02}:{seconds:02} {} {text}", event.kind))
        })
        .collect();
    let fits = |lines: &[(u64, String)]| {
        lines.iter().map(|(_, text)| budget::size(text) + 1).sum::<usize>() <= budget::TAIL
    };
    let mut lines = rendered.as_slice();
    while !lines.is_empty() && !fits(lines) {
        // With a cursor the reader comes back for the newer ones; without, it wants the newest.
        lines = if after.is_some() { &lines[..lines.len() - 1] } else { &lines[1..] };
    }
    let next = lines.last().map_or(after.unwrap_or(0), |(seq, _)| *seq);
    TailReply { lines: lines.iter().map(|(_, text)| text.clone()).collect(), next, job_status }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::status::JobStatus;

    fn events(count: u64, text: &str) -> Vec<Event> {
        (1..=count)
            .map(|seq| Event { seq, at_ms: 45_296_000, kind: "tool".to_owned(), text: text.to_owned() })
            .collect()
    }

    #[test]
    fn tail_keeps_its_budget_and_its_cursor() {
        let small = tail_reply(JobStatus::Running, &events(2, "Edit a.rs"), None);
        assert_eq!(small.lines[0], "12:34:56 tool Edit a.rs");
        assert_eq!(small.next, 2);
        let long = "x".repeat(1000);
        let newest = tail_reply(JobStatus::Running, &events(500, &long), None);
        assert_eq!(newest.next, 500);
        let oldest = tail_reply(JobStatus::Running, &events(500, &long), Some(0));
        assert_eq!(oldest.next, oldest.lines.len() as u64);
        for reply in [newest, oldest] {
            assert!(budget::size(&reply) < budget::TAIL + 100, "{}", budget::size(&reply));
            assert!(reply.lines.len() > 10);
        }
        assert_eq!(tail_reply(JobStatus::Running, &[], Some(7)).next, 7);
    }
}
