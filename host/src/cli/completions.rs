//! `codex-worker completions` and `codex-worker man`: what shells and `man` read, made from the
//! command line itself.

use std::path::PathBuf;

use clap::CommandFactory;

use super::{Cli, print};
use model::error::{Error, Kind, Result};

/// Print a shell's completions.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Print the man page, or write one for each subcommand.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Write a page for each subcommand into this directory.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints the completions.
pub fn run(args: &Args) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "codex-worker", &mut text);
    print(&String::from_utf8_lossy(&text))
}

/// Prints or writes the pages.
pub fn man(args: ManArgs) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(Kind::Environment, format!("the man pages could not be written: {error}"))
            .hint("name a directory that this user may write")
    };
    let Some(dir) = args.dir else {
        let mut text = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut text).map_err(failed)?;
        return print(&String::from_utf8_lossy(&text));
    };
    std::fs::create_dir_all(&dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &dir).map_err(failed)
}
