//! What a file says of itself before anything of it is compiled: is it a component, for
//! which version of the interfaces, what does it import and export.

use serde::{Deserialize, Serialize};
use wasmparser::{Encoding, Parser, Payload};

/// The package whose interfaces policies implement.
const PACKAGE: &str = "codex-worker:policy/";

/// The versions of the interfaces that this host speaks, the oldest first; patch versions are
/// the same to it. Interfaces are versioned one by one: a component may mix them.
pub const SPEAKS: [&str; 2] = ["0.1", "0.2"];

/// The largest component file, in bytes.
pub const MAX_FILE: u64 = 32 * 1024 * 1024;

/// WASI interfaces that are linked with nothing behind them: what the standard libraries of
/// Rust, Python and JavaScript need to start. Sorted.
pub const WASI: [&str; 17] = [
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/wall-clock",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// What a policy may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    /// May deny, by the changed paths.
    Scope,
    /// May deny or warn, with everything known.
    Verifier,
    /// Observes.
    Signals,
    /// Masks.
    Redaction,
    /// Rewrites the prompt.
    Prompt,
    /// Says what to alter so that a check must fail.
    Mutation,
}

impl Interface {
    /// All of them, in the order in which a job meets them.
    pub const ALL: [Interface; 6] = [
        Interface::Scope,
        Interface::Verifier,
        Interface::Signals,
        Interface::Redaction,
        Interface::Prompt,
        Interface::Mutation,
    ];

    /// The name in WIT.
    pub fn name(self) -> &'static str {
        match self {
            Interface::Scope => "scope",
            Interface::Verifier => "verifier",
            Interface::Signals => "signals",
            Interface::Redaction => "redaction",
            Interface::Prompt => "prompt",
            Interface::Mutation => "mutation",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|interface| interface.name() == name)
    }

    /// Its failure denies the job.
    pub fn may_deny(self) -> bool {
        matches!(self, Interface::Scope | Interface::Verifier)
    }
}

impl std::fmt::Display for Interface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a component's outside looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outside {
    /// The interfaces of ours that it exports.
    pub interfaces: Vec<Interface>,
    /// Every import's name.
    pub imports: Vec<String>,
    /// Every export's name.
    pub exports: Vec<String>,
}

impl Outside {
    /// The full name of an exported interface of ours, the newest version where there are
    /// several.
    pub fn export(&self, interface: &str) -> Option<&str> {
        let versions =
            self.exports.iter().filter_map(|name| ours(name).map(|(own, version)| (own, version, name)));
        let newest = versions.filter(|(own, _, _)| *own == interface).max_by_key(|(_, version, _)| *version);
        newest.map(|(_, _, name)| name.as_str())
    }

    /// It needs the empty WASI.
    pub fn uses_wasi(&self) -> bool {
        self.imports.iter().any(|name| name.starts_with("wasi:"))
    }
}

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Over [`MAX_FILE`].
    #[error("it has {0} bytes; a policy may have {MAX_FILE}")]
    TooLarge(u64),
    /// No wasm at all.
    #[error("it is no WebAssembly component (it does not begin with \\0asm)")]
    NotWasm,
    /// A module without the component layer.
    #[error("it is a core module, not a component; build it with `codex-worker plugin build`")]
    CoreModule,
    /// It ends early or is damaged.
    #[error("it is truncated or damaged: {0}")]
    Damaged(String),
    /// Made for other interfaces.
    #[error("it is built for codex-worker:policy@{0}, this host speaks {speaks}", speaks = SPEAKS.join(" and "))]
    OtherVersion(String),
    /// Made for another WASI.
    #[error(
        "it imports {0}: this host offers WASI 0.2; build it for the target wasm32-wasip2, or with \
         `codex-worker plugin build`, which needs no WASI"
    )]
    OtherWasi(String),
    /// Imports what no policy may have.
    #[error(
        "it imports {0}, which policies may not use: a policy has no files, no network, no environment and no clock; \
         it may import codex-worker:policy/host and the wasi:cli, wasi:io and wasi:random interfaces"
    )]
    ForbiddenImport(String),
    /// Not a policy.
    #[error("it does not export {0}")]
    MissingExport(String),
    /// The engine does not take it.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// Instantiation or a call at load failed.
    #[error("{0}")]
    Start(String),
    /// `describe` gave something unusable.
    #[error("its description is unusable: {0}")]
    Description(String),
    /// It does not take the operator's configuration.
    #[error("it refuses its configuration: {0}")]
    Configuration(String),
    /// It fails an example of its own.
    #[error("it fails its own example \"{name}\": {difference}")]
    Example {
        /// The example's name.
        name: String,
        /// What was expected and what came.
        difference: String,
    },
    /// Another plugin has the name.
    #[error("another plugin is named {name} ({other})")]
    DuplicateName {
        /// The name.
        name: String,
        /// Where the other came from.
        other: String,
    },
    /// The lock does not list it, or lists other bytes.
    #[error("{0}")]
    Lock(String),
    /// The operator's settings for it make no sense.
    #[error("{0}")]
    Settings(String),
}

/// Reads the outside of a component and refuses what cannot be a policy.
pub fn outside(bytes: &[u8]) -> Result<Outside, Refusal> {
    let outside = read(bytes)?;
    for name in outside.imports.iter().chain(&outside.exports) {
        if let Some((_, version)) = ours(name)
            && !speaks(version)
        {
            return Err(Refusal::OtherVersion(version.to_owned()));
        }
    }
    if let Some(name) = outside.imports.iter().find(|name| other_wasi(name)) {
        return Err(Refusal::OtherWasi(name.clone()));
    }
    if let Some(name) = outside.imports.iter().find(|name| !allowed_import(name)) {
        return Err(Refusal::ForbiddenImport(name.clone()));
    }
    let exports =
        |interface: &str| outside.exports.iter().any(|name| ours(name).is_some_and(|(n, _)| n == interface));
    if !exports("plugin") {
        return Err(Refusal::MissingExport(format!("{PACKAGE}plugin@{}", SPEAKS[0])));
    }
    let interfaces: Vec<_> = Interface::ALL.into_iter().filter(|i| exports(i.name())).collect();
    if interfaces.is_empty() {
        return Err(Refusal::MissingExport(
            "any of the interfaces scope, verifier, signals, redaction, prompt and mutation".into(),
        ));
    }
    Ok(Outside { interfaces, ..outside })
}

/// The file reads to its end: it is whole, whatever else may be wrong with it.
pub fn whole(bytes: &[u8]) -> bool {
    !matches!(read(bytes), Err(Refusal::Damaged(_)))
        && (bytes.len() >= 8 || !b"\0asm".starts_with(&bytes[..bytes.len().min(4)]))
}

/// The interfaces that a file claims to export, however broken the rest of it is; for
/// deciding what its failure means.
pub fn claimed(bytes: &[u8]) -> Option<Vec<Interface>> {
    let outside = read(bytes).ok()?;
    let claimed: Vec<_> = Interface::ALL
        .into_iter()
        .filter(|interface| {
            let prefix = format!("{PACKAGE}{interface}@");
            outside.exports.iter().any(|name| name.starts_with(&prefix))
        })
        .collect();
    (!claimed.is_empty()).then_some(claimed)
}

fn read(bytes: &[u8]) -> Result<Outside, Refusal> {
    if bytes.len() as u64 > MAX_FILE {
        return Err(Refusal::TooLarge(bytes.len() as u64));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(Refusal::NotWasm);
    }
    let mut outside = Outside { interfaces: Vec::new(), imports: Vec::new(), exports: Vec::new() };
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let damaged = |error: wasmparser::BinaryReaderError| Refusal::Damaged(error.to_string());
        match payload.map_err(damaged)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(Refusal::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    outside.imports.push(clean(import.map_err(damaged)?.name.name));
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    outside.exports.push(clean(export.map_err(damaged)?.name.name));
                }
            }
            _ => {}
        }
    }
    Ok(outside)
}

/// Names are shown to people, and nothing has validated them yet.
fn clean(name: &str) -> String {
    redact::sanitize::line(name, 200)
}

/// The interface and version of a name in our package.
fn ours(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE).map(split_version)
}

fn split_version(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

fn speaks(version: &str) -> bool {
    SPEAKS.iter().any(|spoken| version.strip_prefix(spoken).is_some_and(|patch| patch.starts_with('.')))
}

/// A previewed or later WASI; 0.3 is what toolchains begin to emit.
fn other_wasi(name: &str) -> bool {
    let (interface, version) = split_version(name);
    interface.starts_with("wasi:") && !version.starts_with("0.2.")
}

fn allowed_import(name: &str) -> bool {
    let (interface, version) = split_version(name);
    match interface.strip_prefix(PACKAGE) {
        Some(ours) => matches!(ours, "host" | "types") && speaks(version),
        None => WASI.contains(&interface) && version.starts_with("0.2."),
    }
}
