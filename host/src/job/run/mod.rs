//! One job from its claim to its end.

pub mod control;
pub mod journal;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::job::store::{Claim, JobStore};

/// Runs a claimed job to its end; whatever happens is the job's result.
pub async fn job(
    _config: Arc<Config>,
    _store: Arc<dyn JobStore>,
    _claim: Claim,
    _shutdown: CancellationToken,
) {
}
