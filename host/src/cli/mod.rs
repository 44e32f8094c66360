//! The command line: one file per subcommand, each with `Args` and `run`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Error;

/// Hand coding jobs to a cheap agent and get verified evidence back.
#[derive(Debug, Parser)]
#[command(name = "codex-worker", version, about, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {}

/// Parses the arguments, runs the subcommand and maps its error to an exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.kind.exit_code())
        }
    }
}

fn run(command: Command) -> crate::error::Result<()> {
    match command {}
}

/// Tells a person what went wrong; standard output stays clean.
fn report(error: &Error) {
    eprintln!("error: {}", error.message);
    for hint in &error.hints {
        eprintln!("hint: {hint}");
    }
}
