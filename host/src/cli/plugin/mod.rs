//! `codex-worker plugin`: write, build, check, try, look at and pin policies.

mod build;
mod check;
mod dist;
mod toolchain;

use crate::error::Result;

/// Write, build, check, try, look at and pin policies.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Build a policy's crate into a component.
    Build(build::Args),
    /// Load a component, run its own examples and the laws of its interfaces.
    Check(check::Args),
    /// Rebuild plugins/dist from plugins/ (in the source tree).
    Dist(dist::Args),
}

/// Runs the subcommand.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Build(args) => build::run(args),
        Command::Check(args) => check::run(args),
        Command::Dist(args) => dist::run(args),
    }
}
