//! Running the protocol's conformance tool and reading what it reports. `MCP_NODE_DIR` names
//! a directory with the tool (and a Node that runs it) under `node_modules`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The directory with the tool.
pub fn dir() -> Option<PathBuf> {
    let dir = std::env::var_os("MCP_NODE_DIR").map(PathBuf::from);
    if dir.is_none() {
        test_support::missing::tool("with the inspector and the conformance tool: set MCP_NODE_DIR");
    }
    dir
}

/// One check of one scenario.
pub struct Check {
    pub scenario: String,
    pub status: String,
    pub about: String,
}

/// What the tool said.
pub struct Report {
    pub checks: Vec<Check>,
    pub text: String,
    pub code: Option<i32>,
}

impl Check {
    /// It failed or warned.
    pub fn is_bad(&self) -> bool {
        self.status == "FAILURE" || self.status == "WARNING"
    }
}

/// Runs `conformance server` against `url`; its reports lie in `out` afterwards.
pub fn run(tools: &Path, url: &str, out: &Path, arguments: &[&str]) -> Report {
    let result = Command::new(tools.join("node_modules/node/bin/node"))
        .arg(tools.join("node_modules/.bin/conformance"))
        .args(["server", "--url", url, "--timeout", "120000"])
        .args(arguments)
        .arg("-o")
        .arg(out)
        .stdin(Stdio::null())
        .output()
        .expect("the conformance tool runs");
    let mut checks = Vec::new();
    for entry in std::fs::read_dir(out).into_iter().flatten().flatten() {
        let Ok(text) = std::fs::read_to_string(entry.path().join("checks.json")) else { continue };
        // `server-<scenario>-<time>`; the time begins with a year.
        let name = entry.file_name().to_string_lossy().into_owned();
        let name = name.strip_prefix("server-").unwrap_or(&name);
        let at = name
            .char_indices()
            .map(|(at, _)| at)
            .rev()
            .find(|at| name[*at..].starts_with("-20") && name[*at..].contains('T'));
        let scenario = name[..at.unwrap_or(name.len())].to_owned();
        let list: Vec<Value> = serde_json::from_str(&text).expect("a list of checks");
        checks.extend(list.into_iter().map(|check| Check {
            scenario: scenario.clone(),
            status: check["status"].as_str().unwrap_or_default().to_owned(),
            about: format!("{} {}", check["id"], check["errorMessage"]),
        }));
    }
    Report {
        checks,
        text: format!(
            "{}{}",
            String::from_utf8_lossy(&result.stdout),
            String::from_utf8_lossy(&result.stderr)
        ),
        code: result.status.code(),
    }
}
