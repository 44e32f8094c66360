//! Jobs whose worker died: found when anybody looks, taken over under a new epoch, their
//! strays killed, and ended as `interrupted` with the evidence that exists.

use std::time::Duration;

use super::artifacts;
use super::identity;
use super::paths::JobPaths;
use super::spec::JobId;
use super::state::JobStatus;
use super::store::{Claim, JobStore};
use crate::config::Config;
use crate::contain;
use crate::error::Result;
use crate::report::result::{Failure, FailureKind, JobResult};

/// How long the reaper itself may take before another one takes over.
const LEASE: Duration = Duration::from_secs(60);

/// Ends every job whose worker is dead; gives their ids. Blocks; mostly one cheap query.
/// Whoever shows a job to somebody calls this first.
pub fn sweep(config: &Config, store: &dyn JobStore) -> Result<Vec<JobId>> {
    let mut ended = Vec::new();
    while let Some(claim) = store.take_over(&identity::own(), LEASE)? {
        kill_strays(&JobPaths::new(&config.home, &claim.id));
        let result = interrupted(config, store, &claim)?;
        if store.finish(&claim, JobStatus::Interrupted, &result)? {
            ended.push(claim.id);
        }
    }
    Ok(ended)
}

fn interrupted(config: &Config, store: &dyn JobStore, claim: &Claim) -> Result<JobResult> {
    let row = store.get(&claim.id)?;
    let paths = JobPaths::new(&config.home, &claim.id);
    let started = row.started_ms.unwrap_or(row.created_ms);
    let failure = Failure {
        kind: FailureKind::Interrupted,
        message: "the worker process died; nothing was judged".to_owned(),
        hint: "look into worker.log in the state directory; out of memory is the usual cause".to_owned(),
    };
    let mut result = JobResult::ended_early(&claim.id, &claim.spec, JobStatus::Interrupted, failure);
    result.duration_ms = u64::try_from(identity::now().wall_ms - started).unwrap_or_default();
    result.artifacts = artifacts::list(&paths.artifacts());
    Ok(result)
}

/// Kills what the dead worker's containments may have left: every process that carries one
/// of the job's marks. With bubblewrap there is none: the namespace died with the worker.
fn kill_strays(paths: &JobPaths) {
    for mark in std::fs::read_to_string(paths.marks()).unwrap_or_default().lines() {
        let killed = contain::kill_mark(mark);
        if killed > 0 {
            tracing::info!(mark, killed, "killed what a dead worker left");
        }
    }
}
