//! A job as it was asked for. Raw arguments are parsed once; after that every path is
//! resolved and inside the sandbox root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::money::Money;

/// An unguessable name of a job: 128 random bits as 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(String);

impl JobId {
    /// A new random id.
    pub fn random() -> Result<Self, getrandom::Error> {
        crate::hex::random(16).map(JobId)
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedDir {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

/// How it is kept: as a map, and as a bare path where nothing else is known (which is how
/// releases before 0.2 kept it).
#[derive(Serialize, Deserialize)]
struct KeptDir {
    path: PathBuf,
    dev: u64,
    ino: u64,
}

impl AllowedDir {
    /// Takes a path that `workspace::root` has resolved and found inside the sandbox root.
    pub fn resolved(path: PathBuf) -> Self {
        AllowedDir { path, identity: None }
    }

    /// The same with the device and inode that it had then: whoever uses it later refuses
    /// another directory in its place.
    pub fn identified(path: PathBuf, dev: u64, ino: u64) -> Self {
        AllowedDir { path, identity: Some((dev, ino)) }
    }

    /// The resolved path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Device and inode when it was resolved, if they were taken down.
    pub fn identity(&self) -> Option<(u64, u64)> {
        self.identity
    }
}

impl Serialize for AllowedDir {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.identity {
            Some((dev, ino)) => KeptDir { path: self.path.clone(), dev, ino }.serialize(serializer),
            None => self.path.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for AllowedDir {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> serde::de::Visitor<'de> for Either {
            type Value = AllowedDir;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a path, or a map of path, dev and ino")
            }

            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<AllowedDir, E> {
                Ok(AllowedDir::resolved(PathBuf::from(path)))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<AllowedDir, A::Error> {
                let kept = KeptDir::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(AllowedDir::identified(kept.path, kept.dev, kept.ino))
            }
        }
        deserializer.deserialize_any(Either)
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

impl PermissionMode {
    /// By the name that settings and arguments use.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "default" => PermissionMode::Default,
            "acceptEdits" => PermissionMode::AcceptEdits,
            "plan" => PermissionMode::Plan,
            "bypassPermissions" => PermissionMode::BypassPermissions,
            _ => return None,
        })
    }

    /// The mode lets the agent change files.
    pub fn may_edit(self) -> bool {
        match self {
            PermissionMode::AcceptEdits | PermissionMode::BypassPermissions => true,
            PermissionMode::Default | PermissionMode::Plan => false,
        }
    }
}

pub use super::types::Tier;

impl schemars::JsonSchema for Tier {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Tier".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "How much evidence a job needs; presets, see docs/mcp.md.",
            "type": "string",
            "enum": ["lite", "standard", "strict", "critical"],
        })
    }
}

impl Tier {
    /// By the name that settings and arguments use.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "lite" => Tier::Lite,
            "standard" => Tier::Standard,
            "strict" => Tier::Strict,
            "critical" => Tier::Critical,
            _ => return None,
        })
    }
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
    /// The caller's own labels.
    pub labels: BTreeMap<String, String>,
    /// How much evidence is asked for; `standard` if nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reliability_tier: Option<Tier>,
    /// Whether a change is expected, where the caller said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expects_change: Option<bool>,
    /// The most that its model requests may cost, where somebody set a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<Money>,
}

impl JobSpec {
    /// How much evidence is asked for.
    pub fn tier(&self) -> Tier {
        self.reliability_tier.unwrap_or(Tier::Standard)
    }

    /// A job that changes nothing has not done what was asked. Unless the caller says so, a
    /// job expects a change if it has a scope or checks; one that resumes another may find
    /// the change made already.
    pub fn expects_change(&self) -> bool {
        let declared = self.scoped_patch.is_some() || !self.checks.is_empty();
        let expected = self.expects_change.unwrap_or(declared && self.resume.is_none());
        expected && self.permission_mode.may_edit()
    }
}
