//! What a pass came to: findings with their origin, the outcome, and where logs are.

use serde::{Deserialize, Serialize};

use crate::result::Failure;
use crate::status::JobStatus;
use crate::types::{AgentEnd, AgentOutcome, Finding};

/// Which question a finding answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A scope policy.
    Scope,
    /// A verifier.
    Verifier,
    /// The host's own observation.
    Host,
}

/// A finding and who made it; one entry of `findings.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which question it answers.
    pub source: Source,
    /// `name@version`, or `host`.
    pub by: String,
    /// What was found.
    pub finding: Finding,
}

impl Verdict {
    /// A finding of the host itself.
    pub fn host(finding: Finding) -> Self {
        Verdict { source: Source::Host, by: "host".to_owned(), finding }
    }
}

/// Why an agent's run failed, beyond what the outcome's `ended` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFailure {
    /// The gateway was the cause (authentication, unreachable, too long).
    pub gateway: bool,
    /// One line.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// What a pass came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// `completed`, or how it failed.
    pub status: JobStatus,
    /// Present unless completed.
    pub failure: Option<Failure>,
    /// What decided, strongest first: `check unit tests`, `scope@0.1.0 out-of-scope`.
    pub decided_by: Vec<String>,
    /// The checks that did not do what they must, as indices.
    pub failing_checks: Vec<usize>,
    /// The findings that deny, as indices.
    pub denials: Vec<usize>,
    /// Another pass of the agent could repair it.
    pub repairable: bool,
}

impl Outcome {
    /// An end that the host decides by itself: no check and no policy had a part in it.
    pub fn by_host(status: JobStatus, failure: Failure) -> Self {
        Outcome {
            status,
            failure: Some(failure),
            decided_by: vec!["host".to_owned()],
            failing_checks: Vec::new(),
            denials: Vec::new(),
            repairable: false,
        }
    }
}

/// The artifact that holds a check's log. A check's name is the planner's; as a file name
/// it keeps letters, digits, `.`, `_` and `-`.
pub fn check_log(check: &str) -> String {
    let safe: String = check
        .chars()
        .take(80)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .collect();
    let safe = safe.trim_start_matches('.');
    format!("checks/{}.log", if safe.is_empty() { "check" } else { safe })
}

/// The outcome of an agent that has not ended, or that never started.
pub fn unknown_agent() -> AgentOutcome {
    AgentOutcome { ended: AgentEnd::Error, ..AgentOutcome::default() }
}
