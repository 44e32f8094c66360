//! `codex-worker receipt`.

use crate::error::{Error, Kind, Result};

/// Look at a job's receipt, or verify it.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_: Args) -> Result<()> {
    Err(Error::new(Kind::Internal, "receipt is not built in yet"))
}
