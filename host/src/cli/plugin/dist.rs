//! `plugin dist`: rebuilds the shipped policies, or checks that they are what the sources
//! give.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::toolchain::{self, Toolchain};
use crate::cli::print;
use model::error::{Error, Kind, Result};
use policy::inspect::{self, Interface};
use policy::record::digest;

/// The shipped policies: crate `codex-worker-<name>` in `plugins/<name>`.
const SHIPPED: [&str; 6] = ["integrity", "mutation", "prompt", "redaction", "scope", "signals"];

/// Rebuild plugins/dist from plugins/ (in the source tree).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Change nothing: fail if the sources give other bytes with the manifest's compiler.
    #[arg(long)]
    check: bool,
    /// Only this policy; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = SHIPPED)]
    only: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// `plugins/dist/manifest.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Manifest {
    /// The format; 1.
    version: u32,
    /// Sorted by name.
    components: Vec<Component>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Component {
    name: String,
    sha256: String,
    bytes: u64,
    interfaces: Vec<Interface>,
    /// The compiler that gives exactly these bytes.
    compiler: String,
}

/// Builds or checks.
pub fn run(args: Args) -> Result<()> {
    let root = source_tree()?;
    let dist = root.join("plugins/dist");
    let manifest_path = dist.join("manifest.json");
    let mut manifest: Manifest = std::fs::read(&manifest_path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let names: Vec<&str> = SHIPPED
        .into_iter()
        .filter(|name| args.only.is_empty() || args.only.iter().any(|only| only == name))
        .collect();
    if args.check {
        check_files(&dist, &manifest, &names)?;
    }
    let toolchain = Toolchain::detect(&root)?;
    if args.check {
        let others: Vec<_> = manifest
            .components
            .iter()
            .filter(|c| names.contains(&c.name.as_str()) && c.compiler != toolchain.name())
            .collect();
        if !others.is_empty() {
            let names: Vec<_> = others.iter().map(|component| component.name.as_str()).collect();
            return print(&format!(
                "the files match the manifest; their bytes were not compared with the sources: {} built by another \
                 compiler than {}\n",
                names.join(", "),
                toolchain.name()
            ));
        }
    }
    let mut built = Vec::new();
    for name in names {
        let package = format!("codex-worker-{name}");
        let component = toolchain::build(&toolchain, &root, &[&package])?
            .pop()
            .ok_or_else(|| Error::new(Kind::Internal, format!("{package} was not built")))?
            .component;
        let outside =
            inspect::outside(&component).map_err(|error| Error::new(Kind::Plugin, error.to_string()))?;
        let entry = Component {
            name: name.to_owned(),
            sha256: digest(&component),
            bytes: component.len() as u64,
            interfaces: outside.interfaces,
            compiler: toolchain.name(),
        };
        if args.check {
            if !manifest.components.contains(&entry) {
                return Err(Error::new(
                    Kind::Plugin,
                    format!(
                        "plugins/dist/{name}.wasm is not what the sources give (sha256 {})",
                        entry.sha256
                    ),
                )
                .hint("run `cargo run -- plugin dist` and commit plugins/dist"));
            }
        } else {
            write(&dist.join(format!("{name}.wasm")), &component)?;
            manifest.components.retain(|component| component.name != name);
            manifest.components.push(entry.clone());
        }
        built.push(entry);
    }
    if !args.check {
        manifest.version = 1;
        manifest.components.sort_by(|a, b| a.name.cmp(&b.name));
        write(&manifest_path, (pretty(&manifest)? + "\n").as_bytes())?;
    }
    if args.json {
        return print(&(pretty(&built)? + "\n"));
    }
    let line = |c: &Component| format!("{:<10} {:>9} bytes  sha256 {}\n", c.name, c.bytes, c.sha256);
    let what = if args.check { "unchanged" } else { "written" };
    print(&(built.iter().map(line).collect::<String>() + &format!("{what}: {}\n", toolchain.name())))
}

/// The files are the ones that the manifest names.
fn check_files(dist: &Path, manifest: &Manifest, names: &[&str]) -> Result<()> {
    for name in names {
        let wrong = |what: &str| {
            Error::new(Kind::Plugin, format!("plugins/dist/{name}.wasm {what}"))
                .hint("run `cargo run -- plugin dist` and commit plugins/dist")
        };
        let component = manifest
            .components
            .iter()
            .find(|c| c.name == *name)
            .ok_or_else(|| wrong("is not in the manifest"))?;
        let bytes =
            std::fs::read(dist.join(format!("{name}.wasm"))).map_err(|error| wrong(&error.to_string()))?;
        if digest(bytes) != component.sha256 {
            return Err(wrong("is not the file that the manifest names"));
        }
    }
    Ok(())
}

/// The nearest directory upwards that holds the sources of the shipped policies.
fn source_tree() -> Result<PathBuf> {
    let here = std::env::current_dir().map_err(|error| Error::new(Kind::Environment, error.to_string()))?;
    here.ancestors()
        .find(|directory| directory.join("plugins/dist").is_dir() && directory.join("wit/v0.1").is_dir())
        .map(Path::to_owned)
        .ok_or_else(|| {
            Error::new(Kind::Usage, "this is not the source tree of codex-worker")
                .hint("for a policy of your own, use `codex-worker plugin build`")
        })
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes)
        .map_err(|error| Error::new(Kind::Environment, format!("cannot write {}: {error}", path.display())))
}

fn pretty(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::new(Kind::Internal, error.to_string()))
}
