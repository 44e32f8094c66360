//! The states of a job and the changes between them that are legal. Pure.

use serde::{Deserialize, Serialize};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Waiting for a worker.
    Queued,
    /// The agent works.
    Running,
    /// The host judges.
    Verifying,
    /// The agent was sent back.
    Revising,
    /// The agent ended by itself, every check passed, no policy denied.
    Completed,
    /// It ended otherwise; `failure` says how.
    Failed,
    /// A `cancel` ended it.
    Cancelled,
    /// Its time limit ended it.
    TimedOut,
    /// Its worker died.
    Interrupted,
}

impl JobStatus {
    /// Nothing will change any more.
    pub fn is_final(self) -> bool {
        match self {
            JobStatus::Queued | JobStatus::Running | JobStatus::Verifying | JobStatus::Revising => false,
            JobStatus::Completed
            | JobStatus::Failed
            | JobStatus::Cancelled
            | JobStatus::TimedOut
            | JobStatus::Interrupted => true,
        }
    }

    /// The name in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::Queued => "queued",
            JobStatus::Running => "running",
            JobStatus::Verifying => "verifying",
            JobStatus::Revising => "revising",
            JobStatus::Completed => "completed",
            JobStatus::Failed => "failed",
            JobStatus::Cancelled => "cancelled",
            JobStatus::TimedOut => "timed_out",
            JobStatus::Interrupted => "interrupted",
        }
    }
}
