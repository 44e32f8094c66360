//! `codex-worker token`: who may use MCP over HTTP, and in which directories.

use std::path::PathBuf;

use super::print;
use super::settings::SettingsArgs;
use crate::mcp::tokens;
use model::error::{Error, Kind, Result};

/// Make, list and revoke the bearer tokens of MCP over HTTP.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a token and print it; it is shown only now.
    New {
        #[command(flatten)]
        settings: SettingsArgs,
        /// What to call it.
        name: String,
        /// A directory in which its holder's jobs may work; may be repeated. All of SANDBOX_ROOT
        /// if none is given.
        #[arg(long, value_name = "DIR")]
        dir: Vec<PathBuf>,
    },
    /// List the tokens; never their text, which is not kept.
    List {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a token back: it opens nothing from now on.
    Revoke {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Its name.
        name: String,
    },
}

/// Runs one of the subcommands.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::New { settings, name, dir } => {
            let token = tokens::new(&settings.load()?, &name, &dir)?;
            eprintln!(
                "this is shown only now; send it as `Authorization: Bearer …` to http://127.0.0.1:PORT/mcp"
            );
            print(&format!("{token}\n"))
        }
        Command::List { settings, json } => {
            let all = tokens::list(&settings.load()?.home)?;
            if json {
                let all: Vec<_> = all
                    .iter()
                    .map(|t| serde_json::json!({"name": t.name, "dirs": t.dirs, "created_ms": t.created_ms}))
                    .collect();
                let text = serde_json::to_string_pretty(&all)
                    .map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
                return print(&(text + "\n"));
            }
            if all.is_empty() {
                return print("no tokens; make one with `codex-worker token new NAME`\n");
            }
            let line = |t: &tokens::Grant| {
                let dirs: Vec<String> = t.dirs.iter().map(|dir| dir.display().to_string()).collect();
                let dirs = if dirs.is_empty() { "all of SANDBOX_ROOT".to_owned() } else { dirs.join(", ") };
                format!("{:<20} {}  {dirs}\n", t.name, view::text::moment(t.created_ms))
            };
            print(&all.iter().map(line).collect::<String>())
        }
        Command::Revoke { settings, name } => {
            tokens::revoke(&settings.load()?.home, &name)?;
            print(&format!("revoked {name}\n"))
        }
    }
}
