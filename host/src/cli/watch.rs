//! `codex-worker watch`: jobs in the terminal, live.

use std::sync::Arc;

use super::actions::actions;
use super::settings::SettingsArgs;
use job::reap;
use job::sqlite::SqliteStore;
use model::error::Result;

/// Watch jobs in the terminal.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print a line when something changes, instead of a screen: for screen readers and files.
    #[arg(long)]
    plain: bool,
    /// With --plain: print the newest jobs and end.
    #[arg(long, requires = "plain")]
    once: bool,
}

/// Watches until `q`.
pub fn run(args: Args) -> Result<()> {
    let config = Arc::new(args.settings.load()?);
    // Made here if there is none: the view's own connection only reads.
    let store = SqliteStore::open(&config.home)?;
    if let Err(error) = reap::sweep(&config, &store) {
        tracing::warn!(%error, "could not check for dead workers");
    }
    drop(store);
    match args.plain {
        true => watch::follow(&config, args.once),
        false => watch::watch(&config, &actions(config.clone())),
    }
}
