//! Ending a job on request.

use std::time::{Duration, Instant};

use super::reap;
use super::store::JobStore;
use config::Config;
use model::error::Result;
use model::spec::JobId;
use model::status::JobStatus;

/// Asks for a cancel and waits until the job has ended, which its worker only says when
/// the process tree is gone; at most until `deadline` is over. Gives the state it was in
/// then: one that is not final means that the worker is still at it. Blocks.
pub fn cancel(
    config: &Config,
    store: &dyn JobStore,
    id: &JobId,
    reason: &str,
    deadline: Duration,
) -> Result<JobStatus> {
    let until = Instant::now() + deadline;
    let mut status = store.request_cancel(id, reason)?;
    while !status.is_final() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
        // A dead worker would never answer.
        reap::sweep(config, store)?;
        status = store.get(id)?.status;
    }
    Ok(status)
}
