//! `codex-worker doctor`.

use crate::error::{Error, Kind, Result};

/// Check this machine: git, the agent, the gateway, the directories, containment.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_: Args) -> Result<()> {
    Err(Error::new(Kind::Internal, "doctor is not built in yet"))
}
