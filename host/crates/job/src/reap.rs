//! Jobs whose worker died: found when anybody looks, taken over under a new epoch, their
//! orphaned processes killed, and ended as `interrupted` with the evidence that exists.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::cleanup;
use super::conclude::{self, Concluded, Ending, Evidence, PATCH_MAX};
use super::identity;
use super::paths::JobPaths;
use super::store::{Claim, HEARTBEAT, JobStore, LEASE};
use config::{Config, Isolation};
use contain;
use evidence::{self, Interrupt, Recorder};
use gateway::usage::Row;
use model::error::Result;
use model::result::{Failure, FailureKind, Usage};
use model::spec::JobId;
use model::status::JobStatus;
use policy::{PolicySet, Settings};
use redact::Redactor;
use verify::outcome::Outcome;
use workspace::worktree;

/// Ends every job whose worker is dead; gives their ids. Blocks; mostly one cheap query.
/// Whoever shows a job to somebody calls this first.
pub fn sweep(config: &Config, store: &dyn JobStore) -> Result<Vec<JobId>> {
    let mut ended = Vec::new();
    while let Some(claim) = store.take_over(&identity::own(), LEASE)? {
        let concluded = while_holding(store, &claim, || {
            kill_orphans(&JobPaths::new(&config.home, &claim.id));
            interrupted(config, store, &claim)
        })?;
        if conclude::commit(config, store, &claim, &concluded, 1)? {
            // Nobody who looks should be refused for what is left.
            cleanup::clean_up_or_log(config, store, &claim.id);
            ended.push(claim.id);
        }
    }
    Ok(ended)
}

/// Does `work` while another thread keeps the claim alive.
fn while_holding<T>(store: &dyn JobStore, claim: &Claim, work: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        let (done, wait) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            while wait.recv_timeout(HEARTBEAT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                if let Err(error) = store.heartbeat(claim, LEASE) {
                    tracing::warn!(job = %claim.id, %error, "the store did not answer");
                }
            }
        });
        let value = work();
        drop(done);
        value
    })
}

/// The end of an interrupted job: what the dead worker left, looked at by this process.
/// Nothing of it is worth failing for; what cannot be had is said.
fn interrupted(config: &Config, store: &dyn JobStore, claim: &Claim) -> Result<Concluded> {
    let row = store.get(&claim.id)?;
    let paths = JobPaths::new(&config.home, &claim.id);
    let policies = Arc::new(PolicySet::load(&Settings::from_config(config)));
    let redactor = Redactor::new(config.known_secrets.clone(), Some(policies));
    let mut notes = Vec::new();
    if row.status == JobStatus::Verifying {
        notes.push("it died while checks ran: what they wrote is listed with the agent's changes".to_owned());
    }
    let evidence = partial_evidence(&paths, claim).unwrap_or_else(|error| {
        notes.push(format!("what was changed could not be recorded: {}", error.message));
        None
    });
    let tags = jobfs::own::read_to_string(paths.process_tags()).unwrap_or_default();
    let started = row.started_ms.unwrap_or(row.created_ms);
    let outcome = Outcome::by_host(
        JobStatus::Interrupted,
        Failure {
            kind: FailureKind::Interrupted,
            message: "the worker process died; nothing of the last pass was judged".to_owned(),
            hint: "look into worker.log in the state directory; out of memory is the usual cause".to_owned(),
        },
    );
    let ending = Ending {
        evidence,
        notes,
        attempts: attempts(&tags, &claim.id),
        duration: Duration::from_millis(u64::try_from(identity::now().wall_ms - started).unwrap_or_default()),
        usage: usage(&config.metrics_file, &claim.id),
        ..Ending::of(outcome)
    };
    Ok(conclude::conclude(config, claim, &redactor, &ending))
}

/// How long the record of what a dead job left may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// What changed until the worker died; none if it died before the base was recorded.
fn partial_evidence(paths: &JobPaths, claim: &Claim) -> Result<Option<Evidence>> {
    if !paths.shadow().join("recorder.json").exists() {
        return Ok(None);
    }
    // What the dead job left may make git wait: nobody else would be reaped then.
    Interrupt::after(PATIENCE).scope(|| evidence_left_behind(paths, claim))
}

fn evidence_left_behind(paths: &JobPaths, claim: &Claim) -> Result<Option<Evidence>> {
    let recorder = Recorder::reopen(&paths.shadow())?;
    let recorded = recorder.record(evidence::Limits::default())?;
    let patch = String::from_utf8_lossy(&recorder.patch(&recorded, PATCH_MAX)?).into_owned();
    let mut branch = None;
    // A resumed job works in the tree of the first of its chain, which is not touched here.
    let own_tree = claim.spec.isolation == Isolation::Worktree && claim.spec.resume.is_none();
    if own_tree && recorded.tree != recorder.base_tree() {
        let published =
            worktree::publish_ref(paths.root(), &recorder, &recorded.tree, "Work of an interrupted job")?;
        branch = published.into_iter().next().map(|published| published.name);
    }
    let (base_tree, tree) = (recorder.base_tree(), recorded.tree);
    Ok(Some(Evidence { base_tree, tree, changes: recorded.changes, patch, branch }))
}

/// The passes that were begun, from the tags of the agent's process trees (`…-<pass>a`).
fn attempts(tags: &str, id: &JobId) -> u32 {
    tags.lines()
        .filter(|tag| tag.contains(id.as_str()))
        .filter_map(|tag| tag.rsplit('-').next()?.strip_suffix('a')?.parse().ok())
        .max()
        .unwrap_or(0)
}

/// What the job moved, from the usage rows: the dead worker's own sums died with it.
fn usage(metrics: &Path, id: &JobId) -> Usage {
    let mut sum = Usage::default();
    let add = |sum: &mut Option<u64>, more: Option<u64>| {
        if let Some(more) = more {
            *sum = Some(sum.unwrap_or(0) + more);
        }
    };
    for line in jobfs::own::read_to_string(metrics).unwrap_or_default().lines() {
        if !line.contains(id.as_str()) {
            continue;
        }
        let Ok(row) = serde_json::from_str::<Row>(line) else { continue };
        if row.job.as_deref() != Some(id.as_str()) || row.status.is_none() {
            continue;
        }
        sum.requests += 1;
        sum.unmetered += u64::from(row.unmetered);
        add(&mut sum.input_tokens, row.input_tokens);
        add(&mut sum.cached_tokens, row.cached_tokens);
        add(&mut sum.output_tokens, row.output_tokens);
    }
    sum
}

/// Kills what the dead worker's containments may have left: every process that carries one
/// of the job's tags. With bubblewrap there is none: the namespace died with the worker.
fn kill_orphans(paths: &JobPaths) {
    for tag in jobfs::own::read_to_string(paths.process_tags()).unwrap_or_default().lines() {
        let killed = contain::end_of_dead_worker(tag);
        if killed > 0 {
            tracing::info!(tag, killed, "killed orphaned processes of a dead worker");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{attempts, usage};
    use model::spec::JobId;

    #[test]
    fn passes_are_counted_from_the_process_tags() {
        let id = JobId::random().expect("random");
        let tags = format!("cw-{id}-1-before.0\ncw-{id}-1-1a\ncw-{id}-1-1.0\ncw-{id}-1-2a\ncw-other-1-9a\n");
        assert_eq!(attempts(&tags, &id), 2);
        assert_eq!(attempts("", &id), 0);
    }

    #[test]
    fn usage_is_read_from_the_rows_of_the_job_alone() {
        let id = JobId::random().expect("random");
        let row = |job: &str, input: serde_json::Value| {
            serde_json::json!({"v": 1, "time": "", "job": job, "attempt": 1, "route": "messages", "gateway": "g",
                "model_asked": "m", "model_sent": "m", "model_answered": null, "status": 200, "outcome": "ok",
                "tries": 1, "first_byte_ms": 1, "total_ms": 2, "input_tokens": input, "cached_tokens": null,
                "output_tokens": 3, "reasoning_tokens": null, "unmetered": false, "cost_estimate": null})
            .to_string()
        };
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = [
            row(id.as_str(), 10.into()),
            row("other", 99.into()),
            "not json".to_owned(),
            row(id.as_str(), 5.into()),
        ];
        std::fs::write(file.path(), text.join("\n")).expect("written");
        let sum = usage(file.path(), &id);
        assert_eq!(
            (sum.requests, sum.input_tokens, sum.cached_tokens, sum.output_tokens),
            (2, Some(15), None, Some(6))
        );
    }
}
