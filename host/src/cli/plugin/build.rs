//! `plugin build`: a crate to a component.

use std::path::PathBuf;

use super::toolchain::{self, Toolchain};
use crate::cli::print;
use model::error::{Error, Kind, Result};
use policy::record::digest;

/// Build a policy's crate into a component.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The crate's directory.
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Where to write the component; `<crate>.wasm` in the crate's directory by default.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Builds.
pub fn run(args: Args) -> Result<()> {
    if !args.directory.join("Cargo.toml").is_file() {
        return Err(Error::new(Kind::Usage, format!("{} has no Cargo.toml", args.directory.display()))
            .hint("codex-worker plugin new <name> --kind verifier"));
    }
    let toolchain = Toolchain::detect(&args.directory)?;
    // In a workspace, cargo builds the package of the directory it runs in.
    let mut built = toolchain::build(&toolchain, &args.directory, &[])?;
    let Some(built) = built.pop() else {
        return Err(Error::new(Kind::Internal, "nothing was built"));
    };
    let output = args.output.unwrap_or_else(|| {
        let file = PathBuf::from(format!("{}.wasm", built.package));
        if args.directory.as_os_str() == "." { file } else { args.directory.join(file) }
    });
    std::fs::write(&output, &built.component).map_err(|error| {
        Error::new(Kind::Environment, format!("cannot write {}: {error}", output.display()))
    })?;
    let digest = digest(&built.component);
    if args.json {
        let value = serde_json::json!({
            "file": output, "bytes": built.component.len(), "sha256": digest, "compiler": toolchain.name(),
        });
        return print(&format!("{value}\n"));
    }
    print(&format!(
        "{}: {} bytes, sha256 {digest}\nbuilt by {}\nnext: codex-worker plugin check {}\n",
        output.display(),
        built.component.len(),
        toolchain.name(),
        output.display()
    ))
}
