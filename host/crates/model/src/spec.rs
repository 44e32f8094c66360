//! A job as it was asked for. Raw arguments are parsed once; after that every path is
//! resolved and inside the sandbox root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// An unguessable name of a job: 128 random bits as 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// A new random id.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes)?;
        Ok(JobId(bytes.iter().map(|b| format!("{b:02x}")).collect()))
    }

    /// Reads an id; none if it has not the form of one.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
            .then(|| JobId(text.to_owned()))
    }

    /// The 32 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A directory that a job may work in: absolute, symlinks followed, inside the sandbox
/// root, not the state directory. The crate `workspace` makes it, and nobody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AllowedDir(PathBuf);

impl AllowedDir {
    /// Takes a path that `workspace::root` has resolved and found inside the sandbox root.
    pub fn resolved(path: PathBuf) -> Self {
        AllowedDir(path)
    }

    /// The resolved path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// What the agent may do without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PermissionMode {
    /// Reads only.
    Default,
    /// Edits inside the allowed directories.
    AcceptEdits,
    /// Reads only and says what it would do.
    Plan,
    /// Anything; refused unless `ALLOW_BYPASS_PERMISSIONS=1`.
    BypassPermissions,
}

/// Where jobs edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In the user's own directory.
    None,
    /// In a worktree of the job's own.
    Worktree,
}

/// The declared scope of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopedPatch {
    /// Prefixes or globs, relative to the first allowed directory.
    pub paths: Vec<String>,
    /// The largest diff in bytes.
    pub max_diff_bytes: Option<u64>,
}

/// What the host does with edits outside the scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnViolation {
    /// The job fails (or is sent back).
    Fail,
    /// The host puts the files back from the recorded tree and goes on.
    Revert,
}

/// One check command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckCommand {
    /// Unique within the job.
    pub name: String,
    /// A shell command line.
    pub command: String,
    /// Milliseconds.
    pub timeout_ms: u64,
    /// Relative to the first allowed directory.
    pub cwd: Option<String>,
    /// The check must fail on the tree before the job.
    pub must_fail_before: bool,
    /// Run it on the tree before the job too, to tell what was broken already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub baseline: bool,
    /// May run at the same time as other checks that say so.
    pub parallel: bool,
}

/// A parsed job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// The task's text.
    pub prompt: String,
    /// The first is the working directory.
    pub allowed_dirs: Vec<AllowedDir>,
    /// The gateway's model name; the configuration's when none.
    pub model: Option<String>,
    /// What the agent may do.
    pub permission_mode: PermissionMode,
    /// `get` returns the diff unless it says otherwise.
    pub include_diff: bool,
    /// Where it may write.
    pub scoped_patch: Option<ScopedPatch>,
    /// What the host does with edits outside the scope.
    pub on_violation: OnViolation,
    /// Commands that judge the result.
    pub checks: Vec<CheckCommand>,
    /// Run the checks again with the base versions of the test files laid over the result.
    pub guard_tests: bool,
    /// Repair passes after the first.
    pub max_revise_passes: u32,
    /// Where it edits.
    pub isolation: Isolation,
    /// Ignored files to carry into a worktree.
    pub copy_in: Vec<String>,
    /// A command that is run once in a new worktree, before the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
    /// Milliseconds for the whole job.
    pub timeout_ms: u64,
    /// The job whose agent conversation goes on.
    pub resume: Option<JobId>,
    /// The caller's own key: the same key gives the same job.
    pub idempotency_key: Option<String>,
    /// The caller's own marks.
    pub labels: BTreeMap<String, String>,
}
