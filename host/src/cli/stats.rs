//! `codex-worker stats`.

use crate::error::{Error, Kind, Result};

/// What jobs cost, from the usage rows.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_: Args) -> Result<()> {
    Err(Error::new(Kind::Internal, "stats is not built in yet"))
}
