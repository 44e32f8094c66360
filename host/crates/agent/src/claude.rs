//! The Claude Code CLI as an agent: find it, ask its version, run a pass.

use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::command::{self, Surroundings};
use super::process::{self, Program};
use super::{Agent, AgentEvent, BoxFuture, Pass, Report};
use config::AgentSettings;
use contain;
use model::error::{Error, Kind, Result};

/// The version that the tests run with (`.ci/run` installs it); `doctor` compares.
pub const TESTED: &str = "2.1.330";

/// How a version stands to [`TESTED`]: none where it is the same, or newer within the same
/// minor version, of which the protocol has not changed so far.
pub fn untested(version: &str) -> Option<&'static str> {
    let numbers = |text: &str| -> Vec<u64> { text.split('.').map_while(|part| part.parse().ok()).collect() };
    let (seen, tested) = (numbers(version), numbers(TESTED));
    match seen.cmp(&tested) {
        std::cmp::Ordering::Less => Some("older"),
        std::cmp::Ordering::Greater if seen.get(..2) != tested.get(..2) => Some("newer"),
        _ => None,
    }
}

/// Claude Code at a known place.
#[derive(Clone, Debug)]
pub struct Claude {
    binary: PathBuf,
    version: String,
}

impl Claude {
    /// Finds the program (`CLAUDE_BIN`, else `claude` on PATH) and asks its version.
    pub fn find(settings: &AgentSettings) -> Result<Self> {
        let binary = locate(settings.claude_bin.as_deref())?;
        let version = version(&binary)?;
        Ok(Claude { binary, version })
    }

    /// Where it is.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Such as `2.1.330`.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// The program's path; an error that says what to do when there is none.
pub fn locate(configured: Option<&Path>) -> Result<PathBuf> {
    match configured {
        Some(path) => path.canonicalize().map_err(|error| {
            Error::new(Kind::Environment, format!("CLAUDE_BIN names {}: {error}", path.display()))
                .hint("set CLAUDE_BIN to the `claude` program, or unset it to use the one on PATH")
        }),
        // Resolved: a link may lie where a containment hides it, and its target not.
        None => contain::find_on_path("claude").and_then(|path| path.canonicalize().ok()).ok_or_else(|| {
            Error::new(Kind::Environment, "the Claude Code CLI was not found: no `claude` on PATH")
                .hint("install it (`npm install -g @anthropic-ai/claude-code`) or set CLAUDE_BIN to its path")
                .hint("or set AGENT=builtin to use the built-in agent, which needs nothing installed")
        }),
    }
}

/// The version that the program prints. It writes nothing and takes some 40 ms.
pub fn version(binary: &Path) -> Result<String> {
    let failed = |why: String| {
        Error::new(Kind::Environment, format!("{} --version {why}", binary.display()))
            .hint("check that CLAUDE_BIN (or `claude` on PATH) is the Claude Code CLI and runs by itself")
    };
    let output = std::process::Command::new(binary)
        .arg("--version")
        .env_clear()
        .env("PATH", contain::environment::variable("PATH").unwrap_or_default())
        .env("HOME", std::env::temp_dir())
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| failed(format!("could not be started: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // `2.1.330 (Claude Code)`
    match text.split_whitespace().next() {
        Some(version) if output.status.success() && version.starts_with(|c: char| c.is_ascii_digit()) => {
            Ok(version.chars().take(40).collect())
        }
        _ => Err(failed(format!("gave no version ({})", output.status))),
    }
}

impl Agent for Claude {
    fn name(&self) -> String {
        format!("claude-code {}", self.version)
    }

    fn run<'a>(
        &'a self,
        pass: Pass,
        events: mpsc::Sender<AgentEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let around = Surroundings { contained: contain::strength().limits_files(), root: is_root() };
            let base = contain::environment::of_host(&pass.home, &pass.tmp);
            let program = Program {
                argv: command::argv(&self.binary, &pass, around),
                env: command::environment(base, &pass),
                stdin: pass.prompt.clone().into_bytes(),
            };
            process::run(program, &pass, events, cancel).await
        })
    }
}

fn is_root() -> bool {
    #[cfg(unix)]
    {
        rustix::process::geteuid().is_root()
    }
    #[cfg(not(unix))]
    false
}

#[cfg(test)]
mod tests {
    use super::{TESTED, untested};

    #[test]
    fn versions_beside_the_tested_one() {
        let ci = include_str!("../../../../.ci/run");
        assert!(
            ci.contains(&format!("@anthropic-ai/claude-code@{TESTED} ")),
            "{TESTED} is not what .ci/run installs"
        );
        for (version, expected) in [
            (TESTED, None),
            ("2.1.331", None),
            ("2.1.99", Some("older")),
            ("1.9.400", Some("older")),
            ("2.2.0", Some("newer")),
            ("10.0.0", Some("newer")),
        ] {
            assert_eq!(untested(version), expected, "{version}");
        }
    }
}
