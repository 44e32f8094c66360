//! `codex-worker plugin`: write, build, check, try, look at and pin policies.

mod bench;
mod build;
mod check;
mod dist;
mod inspect;
mod install;
mod list;
mod new;
mod one;
mod run;
mod toolchain;

pub(super) use one::{Which, refused};
pub(super) use run::{finding, signal};

use model::error::Result;

/// Write, build, check, try, install and pin policies.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write a policy's crate that builds at once.
    New(new::Args),
    /// Build a policy's crate into a component.
    Build(build::Args),
    /// Load a component, run its own examples and the conformance properties of its interfaces.
    Check(check::Args),
    /// Ask a component about one input.
    Run(run::Args),
    /// Show what a component is, imports and exports, and its own examples.
    Inspect(inspect::Args),
    /// Measure a component on its own examples.
    Bench(bench::Args),
    /// Show the policies in force, in order, and the refused ones.
    List(list::Args),
    /// Check a component, copy it into the plugins directory and lock it.
    Install(install::Args),
    /// Take a policy out of the plugins directory and out of the lock.
    Remove(install::RemoveArgs),
    /// Write plugins.lock: the files that are there now, in this order.
    Lock(list::LockArgs),
    /// Rebuild plugins/dist from plugins/ (in the source tree).
    Dist(dist::Args),
}

/// Runs the subcommand.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::New(args) => new::run(args),
        Command::Build(args) => build::run(args),
        Command::Check(args) => check::run(args),
        Command::Run(args) => run::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Bench(args) => bench::run(args),
        Command::List(args) => list::run(args),
        Command::Install(args) => install::run(args),
        Command::Remove(args) => install::remove(args),
        Command::Lock(args) => list::lock(args),
        Command::Dist(args) => dist::run(args),
    }
}
