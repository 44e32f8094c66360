//! `codex-worker receipt`: show a job's receipt, or recompute what it says.

use super::print;
use super::settings::SettingsArgs;
use crate::mcp::jobs::job_id;
use job::receipt;
use job::sqlite::SqliteStore;
use job::store::JobStore;
use model::error::{Error, Kind, Result};

/// Look at a job's receipt, or verify it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the receipt: an in-toto Statement.
    Show {
        #[command(flatten)]
        settings: SettingsArgs,
        /// The job.
        job: String,
    },
    /// Recompute the digests and check the seal; exit code 5 if anything was changed.
    Verify {
        #[command(flatten)]
        settings: SettingsArgs,
        /// The job.
        job: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the subcommand.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Show { settings, job } => print(&receipt::read(&settings.load()?, &job_id(&job)?)?),
        Command::Verify { settings, job, json } => {
            let config = settings.load()?;
            let row = SqliteStore::open(&config.home)?.get(&job_id(&job)?)?;
            let found = receipt::verify(&config, &row)?;
            if json {
                let text = serde_json::to_string_pretty(&found)
                    .map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
                print(&(text + "\n"))?;
            } else {
                let mut text = String::new();
                for what in &found.checked {
                    text += &format!("ok     {what}\n");
                }
                for what in &found.wrong {
                    text += &format!("WRONG  {what}\n");
                }
                print(&(text + &format!("{}\n", found.signature)))?;
            }
            if found.ok {
                return Ok(());
            }
            Err(Error::new(Kind::Refused, format!("the receipt of job {} does not hold", row.id))
                .hint("do not trust this result; look for who wrote into the state directory"))
        }
    }
}
