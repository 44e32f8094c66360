//! `codex-worker setup`.

use crate::error::{Error, Kind, Result};

/// Print what goes into Codex's configuration, or put it there.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs it.
pub fn run(_: Args) -> Result<()> {
    Err(Error::new(Kind::Internal, "setup is not built in yet"))
}
