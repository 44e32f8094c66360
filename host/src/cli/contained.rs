//! `codex-worker contained --spec FILE -- command` (hidden): starts a command under rules
//! and limits and ends its whole tree; see [`contain::helper`].

use std::ffi::OsString;

use contain::helper;
use model::error::{Error, Kind, Result};

/// What to run and under which rules.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The rules, as the worker writes them; a JSON file.
    #[arg(long)]
    spec: std::path::PathBuf,
    /// The command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    argv: Vec<OsString>,
}

/// Runs the command and leaves with its exit code.
pub fn run(args: Args) -> Result<()> {
    let usage = |what: String| Error::new(Kind::Usage, what).hint("this subcommand is for the worker itself");
    let text =
        std::fs::read(&args.spec).map_err(|error| usage(format!("read {}: {error}", args.spec.display())))?;
    let spec = serde_json::from_slice(&text).map_err(|error| usage(format!("read the rules: {error}")))?;
    let code = helper::run(spec, args.argv).map_err(usage)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the command's own code, which main has no variant for; nothing is left to drop"
    )]
    std::process::exit(i32::from(code));
}
