//! `codex-worker notify`: tells again that a job has ended, or tries the settings. The end of a
//! job starts it by itself.

use super::print;
use super::settings::SettingsArgs;
use crate::mcp::jobs::job_id;
use crate::notify;
use job::sqlite::SqliteStore;
use job::store::JobStore;
use model::error::{Error, Kind, Result};
use redact::Redactor;

/// Tell that a job has ended, as [notify] says; without a job, try the settings.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job; a made-up one when left out.
    job: Option<String>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Make a session of its own first; for what the end of a job starts.
    #[arg(long, hide = true)]
    detached: bool,
}

/// Tells.
pub fn run(args: Args) -> Result<()> {
    if args.detached {
        job::spawn::detach();
    }
    let config = args.settings.load()?;
    let redactor = Redactor::new(config.known_secrets.clone(), None);
    if config.notify.command.is_none() && config.notify.webhooks.is_empty() {
        return Err(Error::new(Kind::Config, "[notify] has neither a command nor webhooks")
            .hint("set WORKER_NOTIFY_COMMAND or WORKER_NOTIFY_WEBHOOKS"));
    }
    let event = match &args.job {
        Some(job) => notify::event(&SqliteStore::open(&config.home)?.get(&job_id(job)?)?, &redactor),
        None => notify::sample(),
    };
    let told = notify::send(&config, &event)?;
    print(&format!("told: {}\n", told.join(", ")))
}
