//! `plugin new`: a crate with everything in it that a policy needs, the SDK included.

use std::path::{Path, PathBuf};

use crate::cli::print;
use model::error::{Error, Kind, Result};
use policy::inspect::Interface;

/// Write a policy's crate that builds at once.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The policy's name: lower case, digits, `-`.
    name: String,
    /// What it does.
    #[arg(long)]
    kind: Interface,
    /// Where to write the crate; a new directory with the policy's name by default.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The SDK as the crate gets it: the same files, so that nothing else must be downloaded.
const SDK: [(&str, &str); 11] = [
    ("vendor/wit/v0.1/policy.wit", include_str!("../../../../wit/v0.1/policy.wit")),
    ("vendor/wit/v0.2/policy.wit", include_str!("../../../../wit/v0.2/policy.wit")),
    ("vendor/plugins/sdk/Cargo.toml", include_str!("templates/sdk-Cargo.toml")),
    ("vendor/plugins/sdk/src/lib.rs", include_str!("../../../../plugins/sdk/src/lib.rs")),
    ("vendor/plugins/sdk/src/bindings.rs", include_str!("../../../../plugins/sdk/src/bindings.rs")),
    ("vendor/plugins/sdk/src/convert.rs", include_str!("../../../../plugins/sdk/src/convert.rs")),
    ("vendor/plugins/sdk/src/example.rs", include_str!("../../../../plugins/sdk/src/example.rs")),
    ("vendor/plugins/sdk/src/log.rs", include_str!("../../../../plugins/sdk/src/log.rs")),
    ("vendor/plugins/sdk/src/make.rs", include_str!("../../../../plugins/sdk/src/make.rs")),
    ("vendor/plugins/sdk/src/rt.rs", include_str!("../../../../plugins/sdk/src/rt.rs")),
    ("vendor/plugins/sdk/src/types.rs", include_str!("../../../../plugins/sdk/src/types.rs")),
];
const TESTING: (&str, &str) =
    ("vendor/plugins/sdk/src/testing.rs", include_str!("../../../../plugins/sdk/src/testing.rs"));

fn template(kind: Interface) -> &'static str {
    match kind {
        Interface::Scope => include_str!("templates/scope.rs.txt"),
        Interface::Verifier => include_str!("templates/verifier.rs.txt"),
        Interface::Signals => include_str!("templates/signals.rs.txt"),
        Interface::Redaction => include_str!("templates/redaction.rs.txt"),
        Interface::Prompt => include_str!("templates/prompt.rs.txt"),
        Interface::Mutation => include_str!("templates/mutation.rs.txt"),
    }
}

/// The files of a new crate: path and text.
fn files(name: &str, kind: Interface) -> Vec<(&'static str, String)> {
    let fill = |text: &str| text.replace("@NAME@", name).replace("@KIND@", kind.name());
    let mut files = vec![
        ("Cargo.toml", fill(include_str!("templates/Cargo.toml.txt"))),
        ("README.md", fill(include_str!("templates/README.md.txt"))),
        (".gitignore", "/target\n*.wasm\n".to_owned()),
        ("src/lib.rs", fill(template(kind))),
    ];
    files.extend(SDK.into_iter().chain([TESTING]).map(|(path, text)| (path, text.to_owned())));
    files
}

/// Writes.
pub fn run(args: Args) -> Result<()> {
    let usable = !args.name.is_empty()
        && args.name.len() <= 64
        && args.name.starts_with(|c: char| c.is_ascii_lowercase())
        && args.name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if !usable {
        return Err(Error::new(Kind::Usage, format!("\"{}\" is no policy's name", args.name))
            .hint("use lower case letters, digits and -, beginning with a letter: no-todo"));
    }
    let root = args.path.unwrap_or_else(|| PathBuf::from(&args.name));
    if std::fs::read_dir(&root).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::new(Kind::Usage, format!("{} exists and is not empty", root.display())));
    }
    let mut written = Vec::new();
    for (path, text) in files(&args.name, args.kind) {
        write(&root.join(path), &text)
            .map_err(|error| Error::new(Kind::Environment, format!("cannot write {path}: {error}")))?;
        written.push(path);
    }
    if args.json {
        return print(&format!("{}\n", serde_json::json!({"directory": root, "files": written})));
    }
    print(&format!(
        "{}: a {} policy\nnext:\n  cd {}\n  cargo test                    # its own examples, as plain Rust\n  \
         codex-worker plugin build     # {}.wasm\n  codex-worker plugin check {}.wasm\n",
        root.display(),
        args.kind,
        root.display(),
        args.name,
        args.name
    ))
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_crate_has_every_file_of_the_sdk() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/sdk/src");
        let mut there: Vec<_> = std::fs::read_dir(sdk)
            .unwrap()
            .map(|entry| format!("vendor/plugins/sdk/src/{}", entry.unwrap().file_name().to_str().unwrap()))
            .collect();
        there.sort();
        let new = files("x", Interface::Scope);
        let mut given: Vec<_> = new
            .iter()
            .map(|(path, _)| (*path).to_owned())
            .filter(|p| p.starts_with("vendor/plugins"))
            .collect();
        given.retain(|path| path.ends_with(".rs"));
        given.sort();
        assert_eq!(given, there);
    }

    #[test]
    fn no_placeholder_is_left() {
        for kind in Interface::ALL {
            for (path, text) in files("my-policy", kind) {
                assert!(!text.contains("@NAME@") && !text.contains("@KIND@"), "{path}");
            }
        }
    }
}
