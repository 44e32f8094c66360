//! `plugin check`: everything that the host would refuse, and the laws.

use std::path::PathBuf;

use crate::cli::print;
use crate::error::{Error, Kind, Result};
use crate::policy::load::Settings;
use crate::policy::plugin::{Prepared, read_file};
use crate::policy::{inspect, record};

/// Load a component, run its own examples and the laws of its interfaces.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component.
    file: PathBuf,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Checks.
pub fn run(args: Args) -> Result<()> {
    let refused = |refusal: inspect::Refusal| {
        Error::new(Kind::Plugin, format!("{} would be refused: {refusal}", args.file.display()))
    };
    let bytes = read_file(&args.file).map_err(refused)?;
    let runtime = Settings::default().runtime().map_err(|error| Error::new(Kind::Internal, error))?;
    let prepared = Prepared::new(&runtime, &bytes, record::digest(&bytes)).map_err(refused)?;
    let examples = prepared.prove().map_err(refused)?;
    let about = &prepared.about;
    print(&format!("{} {}: {}\n{examples} examples hold\n", about.name, about.version, about.summary))
}
