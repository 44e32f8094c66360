//! Jobs whose worker died: found when anybody looks, taken over under a new epoch, their
//! strays killed, and ended as `interrupted` with the evidence that exists.

use std::time::Duration;

use super::identity;
use super::paths::JobPaths;
use super::spec::JobId;
use super::state::JobStatus;
use super::store::{Claim, JobStore};
use crate::config::{Config, Isolation};
use crate::error::Result;
use crate::report::result::{Failure, FailureKind, JobResult, Usage, Workspace};

/// How long the reaper itself may take before another one takes over.
const LEASE: Duration = Duration::from_secs(60);

/// Ends every job whose worker is dead; gives their ids. Blocks; mostly one cheap query.
/// Whoever shows a job to somebody calls this first.
pub fn sweep(config: &Config, store: &dyn JobStore) -> Result<Vec<JobId>> {
    let mut ended = Vec::new();
    while let Some(claim) = store.take_over(&identity::own(), LEASE)? {
        let result = interrupted(config, store, &claim)?;
        if store.finish(&claim, JobStatus::Interrupted, &result)? {
            ended.push(claim.id);
        }
    }
    Ok(ended)
}

fn interrupted(config: &Config, store: &dyn JobStore, claim: &Claim) -> Result<JobResult> {
    let row = store.get(&claim.id)?;
    let _paths = JobPaths::new(&config.home, &claim.id);
    let started = row.started_ms.unwrap_or(row.created_ms);
    Ok(JobResult {
        job_status: JobStatus::Interrupted,
        changed_files: Vec::new(),
        checks: Vec::new(),
        diff: String::new(),
        summary: String::new(),
        attempts: 0,
        duration_ms: u64::try_from(identity::now().wall_ms - started).unwrap_or_default(),
        usage: Usage::default(),
        policies: Vec::new(),
        workspace: Workspace {
            isolation: match claim.spec.isolation {
                Isolation::None => "none".to_owned(),
                Isolation::Worktree => "worktree".to_owned(),
            },
            branch: None,
        },
        artifacts: Vec::new(),
        next_action: format!("start again with resume: {} to go on from the agent's conversation", claim.id),
        failure: Some(Failure {
            kind: FailureKind::Interrupted,
            message: "the worker process died; nothing was judged".to_owned(),
            hint: "see the worker's log with `codex-worker doctor`; out of memory is the usual cause"
                .to_owned(),
        }),
        changed_files_omitted: 0,
    })
}
