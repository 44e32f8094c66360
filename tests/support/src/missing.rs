//! What a test could not run for want of something: reported, listed at the end of `cargo
//! test` (`tests/not_run.rs`), and a failure where CI asks for it.

use std::io::Write as _;
use std::path::PathBuf;

/// Makes a missing tool a failure; `.ci/run`, which installs them all, sets it.
pub const REQUIRE: &str = "CODEX_WORKER_REQUIRE_TOOLS";

/// A tool that can be installed is not here: `what` cannot run. Fails under [`REQUIRE`].
pub fn tool(what: &str) {
    assert!(
        std::env::var_os(REQUIRE).is_none_or(|value| value != "1"),
        "cannot run {what}, but {REQUIRE} asks for it"
    );
    machine(what);
}

/// This machine cannot do it, whatever is installed (no control group, no such filter).
pub fn machine(what: &str) {
    // Not by `eprintln!`, whose lines the harness keeps to itself when a test passes.
    let _ = writeln!(std::io::stderr(), "NOT RUN {what}");
    if let Some(path) = list()
        && let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path)
    {
        let _ = writeln!(file, "{what}");
    }
}

/// The list of a `cargo test`, beside the test programs.
pub fn list() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.parent()?.join("not-run.txt"))
}
