//! The compact JSON that the planner sees.

use serde::{Deserialize, Serialize};

use crate::status::JobStatus;

/// What an ended job gives to `get` and `wait`. The first four keys are a contract; the
/// whole stays under 2 KiB for 20 changed files and 5 checks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct JobResult {
    /// The job's status.
    pub job_status: JobStatus,
    /// Paths in byte order, capped; `changed_files_omitted` counts the rest.
    pub changed_files: Vec<String>,
    /// One line a check: `name: passed`, `name: failed (…)`. Begins with the check's name.
    pub checks: Vec<String>,
    /// The trimmed diff; empty unless asked for.
    pub diff: String,
    /// One or two sentences from the agent, untrusted.
    pub summary: String,
    /// Passes made.
    pub attempts: u32,
    /// From claim to end.
    pub duration_ms: u64,
    /// What the agent moved.
    pub usage: Usage,
    /// `name@version` of each policy that judged.
    pub policies: Vec<String>,
    /// Where the change is.
    pub workspace: Workspace,
    /// What `artifact` can read.
    pub artifacts: Vec<Artifact>,
    /// What the planner should do now.
    pub next_action: String,
    /// Present unless the job completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Paths that `changed_files` leaves out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changed_files_omitted: u32,
    /// What each line of `checks` says, in the same order; empty in results from before. Not
    /// on the wire: it tells the host where a line may be cut.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub check_verdicts: Vec<LineVerdict>,
}

/// What a line of `checks` says, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LineVerdict {
    /// Bytes of the name that the line begins with; the verdict follows it.
    pub name_bytes: usize,
    /// The verdict.
    pub word: LineWord,
}

/// The verdict of a line of `checks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineWord {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// It ran out of time.
    TimedOut,
    /// It could not be started.
    NotRun,
    /// A policy or the host denied.
    Denied,
    /// A policy or the host warned.
    Warned,
    /// Anything else that a reader should know.
    Note,
}

impl LineWord {
    /// The text after the name; empty for a note.
    pub fn text(self) -> &'static str {
        match self {
            LineWord::Passed => ": passed",
            LineWord::Failed => ": failed",
            LineWord::TimedOut => ": timed out",
            LineWord::NotRun => ": not run",
            LineWord::Denied => ": denied",
            LineWord::Warned => ": warned",
            LineWord::Note => "",
        }
    }
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Tokens and requests of a job. Unknown counts are absent, never 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input_tokens: Option<u64>,
    /// Of them, read from the provider's cache.
    pub cached_tokens: Option<u64>,
    /// Output tokens, reasoning included.
    pub output_tokens: Option<u64>,
    /// Requests sent to a gateway that were answered.
    pub requests: u64,
    /// Of them, answered without usage.
    pub unmetered: u64,
}

/// Where the job's change is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Workspace {
    /// `none` or `worktree`.
    pub isolation: String,
    /// The ref with the result, for a worktree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// Something that `artifact` can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Artifact {
    /// Such as `diff.patch`.
    pub name: String,
    /// Its size after redaction.
    pub bytes: u64,
    /// True for a diff in which something is masked, so that it no longer applies;
    /// absent otherwise. The tool `apply` brings the real result.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
}

/// Why a job did not complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Failure {
    /// One of the closed list in [`FailureKind`].
    pub kind: FailureKind,
    /// One line.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// Every way in which a job can fail to complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// A check command failed.
    CheckFailed,
    /// A check passed only with the agent's own version of the tests.
    TestsWeakened,
    /// A scope policy denied.
    OutOfScope,
    /// Another policy denied.
    PolicyDenied,
    /// A plugin that may deny could not judge.
    PolicyBroken,
    /// The agent ended with an error or could not be started.
    AgentFailed,
    /// The agent used up its turns.
    TurnLimit,
    /// The gateway refused or could not be reached.
    Gateway,
    /// The job's time, request or token budget ran out.
    Budget,
    /// The worker died.
    Interrupted,
    /// `cancel` was called.
    Cancelled,
    /// The workspace could not be made or read.
    Workspace,
    /// A fault of our own.
    Internal,
}
