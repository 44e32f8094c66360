//! Turns a policy's crate into a component with whichever wasm toolchain the machine has.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use model::error::{Error, Kind, Result};

/// A compiler that can make wasm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// rustup's compiler with this target installed.
    Rustup {
        /// `wasm32-unknown-unknown` or `wasm32-wasip2`.
        target: &'static str,
        /// What `rustc --version` says.
        version: String,
    },
    /// Debian's rustc-web with the standard library's source, and rustup's linker.
    Debian {
        /// The linker for wasm.
        linker: PathBuf,
        /// What `/usr/bin/rustc --version` says.
        version: String,
    },
}

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";

/// The profile of a policy: small, aborting, reproducible. Given on the command line so
/// that an author's manifest need not have it.
const PROFILE: [&str; 6] = [
    "profile.policy.inherits=\"release\"",
    "profile.policy.opt-level=\"s\"",
    "profile.policy.lto=\"fat\"",
    "profile.policy.codegen-units=1",
    "profile.policy.panic=\"abort\"",
    "profile.policy.strip=true",
];

impl Toolchain {
    /// Looks what the machine has; `directory` is where cargo will run.
    ///
    /// # Errors
    /// Says what to install.
    pub fn detect(directory: &Path) -> Result<Self> {
        let rustc = |args: &[&str]| text_of(Command::new("rustc").args(args).current_dir(directory));
        let sysroot = rustc(&["--print", "sysroot"]).ok().map(PathBuf::from);
        if let Some(sysroot) = &sysroot {
            for target in ["wasm32-unknown-unknown", "wasm32-wasip2"] {
                if sysroot.join("lib/rustlib").join(target).join("lib").is_dir() {
                    return Ok(Toolchain::Rustup { target, version: rustc(&["--version"])? });
                }
            }
        }
        if Path::new(DEBIAN_SOURCE).is_file() {
            let version = text_of(Command::new(DEBIAN_RUSTC).arg("--version"))?;
            let rust_lld = sysroot.map(|root| root.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld"));
            let candidates = rust_lld.into_iter().chain([PathBuf::from("/usr/bin/wasm-ld-19")]);
            if let Some(linker) = candidates.into_iter().find(|path| path.is_file()) {
                return Ok(Toolchain::Debian { linker, version });
            }
        }
        let error = Error::new(Kind::Environment, "no Rust compiler for WebAssembly was found");
        let error = match rustc(&["--version"]) {
            Ok(_) => error,
            Err(_) => error.hint("no rustc is on PATH: install Rust with rustup (https://rustup.rs)"),
        };
        Err(error
            .hint("run `rustup target add wasm32-unknown-unknown`")
            .hint("or on Debian, where rustup's server cannot be reached: apt-get install rustc-web rust-web-src lld-19"))
    }

    /// The compiler's name: components can be compared byte for byte only with the same one.
    pub fn name(&self) -> String {
        match self {
            Toolchain::Rustup { target, version } => format!("{version}, {target}"),
            Toolchain::Debian { version, .. } => {
                format!("{version} (Debian, std rebuilt), wasm32-unknown-unknown")
            }
        }
    }

    fn target(&self) -> &'static str {
        match self {
            Toolchain::Rustup { target, .. } => target,
            Toolchain::Debian { .. } => "wasm32-unknown-unknown",
        }
    }
}

/// A crate that was built: its package name and the component.
pub struct Built {
    /// The package.
    pub package: String,
    /// The component's bytes.
    pub component: Vec<u8>,
}

/// Builds packages of the workspace (or the one crate) at `directory`.
///
/// # Errors
/// What cargo or the componentizer says.
pub fn build(toolchain: &Toolchain, directory: &Path, packages: &[&str]) -> Result<Vec<Built>> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(directory).arg("build").args(["--profile", "policy", "--target", toolchain.target()]);
    cargo.args(["--lib", "--message-format", "json-render-diagnostics"]);
    for setting in PROFILE {
        cargo.args(["--config", setting]);
    }
    for package in packages {
        cargo.args(["--package", package]);
    }
    // Encoded, because a path may hold blanks; it wins over RUSTFLAGS.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(directory)?.join("\u{1f}"));
    if let Toolchain::Debian { linker, .. } = toolchain {
        cargo
            .env("RUSTC", DEBIAN_RUSTC)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
            .arg("-Zbuild-std=std,panic_abort");
    }
    // Cargo's own progress and the compiler's messages go straight to the author.
    let output = cargo
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| Error::new(Kind::Environment, format!("cannot run cargo: {error}")))?;
    if !output.status.success() {
        return Err(Error::new(Kind::Plugin, "cargo did not build the policy; its messages are above"));
    }
    let built: Vec<Built> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter_map(|message| artifact(&message))
        .map(|(package, path)| Ok(Built { component: componentize(&path)?, package }))
        .collect::<Result<_>>()?;
    if built.is_empty() {
        return Err(Error::new(Kind::Plugin, "cargo built no .wasm file")
            .hint("the crate's Cargo.toml needs: [lib] crate-type = [\"cdylib\", \"rlib\"]"));
    }
    Ok(built)
}

/// Package and `.wasm` file of a cargo message about a cdylib.
fn artifact(message: &Value) -> Option<(String, PathBuf)> {
    if message.get("reason")? != "compiler-artifact" {
        return None;
    }
    let files = message.get("filenames")?.as_array()?;
    let wasm = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm"))?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.replace('_', "-"), PathBuf::from(wasm)))
}

fn componentize(path: &Path) -> Result<Vec<u8>> {
    let failed =
        |error: String| Error::new(Kind::Plugin, format!("{} is no policy: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    if wasmparser::Parser::is_component(&bytes) {
        return Ok(bytes);
    }
    let encode = || wit_component::ComponentEncoder::default().module(&bytes)?.validate(true).encode();
    let component = encode().map_err(|error| {
        failed(format!("{error:#}"))
            .hint("name the policy with codex_worker_policy::policy! at the top of the crate")
    })?;
    match policy::inspect::outside(&component) {
        Ok(_) => Ok(component),
        Err(refusal) => Err(failed(refusal.to_string())
            .hint("name the policy with codex_worker_policy::policy! at the top of the crate")),
    }
}

/// SIMD for text search, and no path of this machine in the component.
fn flags(directory: &Path) -> Result<Vec<String>> {
    let metadata =
        text_of(Command::new("cargo").args(["metadata", "--format-version", "1"]).current_dir(directory))?;
    let metadata: Value = serde_json::from_str(&metadata)
        .map_err(|error| Error::new(Kind::Internal, format!("cargo metadata: {error}")))?;
    let root = metadata.get("workspace_root").and_then(Value::as_str).unwrap_or_default();
    let packages = metadata.get("packages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let home = packages
        .iter()
        .filter_map(|package| package.get("manifest_path")?.as_str()?.split_once("/registry/src/"))
        .map(|(home, _)| home.to_owned())
        .next();
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
    flags.extend(home.map(|home| format!("--remap-path-prefix={home}=/cargo")));
    flags.push(format!("--remap-path-prefix={root}=/build"));
    flags.push("--remap-path-prefix=/usr/lib/rustlib/src/rust=/rust".to_owned());
    Ok(flags)
}

/// Standard output of a command that must succeed.
fn text_of(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |what: String| Error::new(Kind::Environment, format!("{program}: {what}"));
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
