//! `codex-worker work`: a worker process. `start` spawns it; run by hand without
//! `--until-idle` it stays.

use super::settings::SettingsArgs;
use model::error::{Error, Kind, Result};
use redact::Redactor;
use redact::log::{MaskedStderr, mask_panics};

/// Run queued jobs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Exit when the queue is empty.
    #[arg(long)]
    until_idle: bool,
    /// Make a session of its own first; for workers that a server starts.
    #[arg(long, hide = true)]
    detached: bool,
}

/// Runs the worker to its end.
pub fn run(args: Args) -> Result<()> {
    if args.detached {
        job::spawn::detach();
    }
    let config = args.settings.load()?;
    // To standard error, which is worker.log for a worker that a server started. A program
    // that has set up logging already keeps its own.
    let redactor = Redactor::new(config.known_secrets.clone(), None);
    mask_panics(redactor.clone());
    let log = MaskedStderr::new(redactor);
    let _ = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || log.clone())
        .with_ansi(false)
        .try_init();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Error::new(Kind::Environment, format!("cannot start the runtime: {e}")))?
        .block_on(job::worker::run(config, args.until_idle))
}
