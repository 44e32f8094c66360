//! The states of a job and the changes between them that are legal. Pure.

use serde::{Deserialize, Serialize};

/// A job's status.
///
/// ```text
/// queued ─▶ running ─▶ verifying ─▶ completed | failed
///   ▲          │           │ ▲
///   └─released─┘           ▼ │
///                        revising
/// every state that is not final ─▶ failed | cancelled | timed_out | interrupted
/// ```
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

impl JobStatus {
    /// Every state, in the order of a job's life.
    pub const ALL: [JobStatus; 9] = [
        JobStatus::Queued,
        JobStatus::Running,
        JobStatus::Verifying,
        JobStatus::Revising,
        JobStatus::Completed,
        JobStatus::Failed,
        JobStatus::Cancelled,
        JobStatus::TimedOut,
        JobStatus::Interrupted,
    ];

    /// Reads the name in the store.
    pub fn parse(name: &str) -> Option<JobStatus> {
        JobStatus::ALL.into_iter().find(|s| s.as_str() == name)
    }

    /// A worker holds it.
    pub fn is_active(self) -> bool {
        matches!(self, JobStatus::Running | JobStatus::Verifying | JobStatus::Revising)
    }

    /// Whether a job may go from this state to `to`. A job is only `completed` out of
    /// `verifying`: nothing completes unjudged. Only a job whose agent never started goes
    /// back to the queue.
    pub fn may_become(self, to: JobStatus) -> bool {
        use JobStatus::{
            Cancelled, Completed, Failed, Interrupted, Queued, Revising, Running, TimedOut, Verifying,
        };
        match self {
            Queued => matches!(to, Running | Cancelled),
            Running => matches!(to, Queued | Verifying | Failed | Cancelled | TimedOut | Interrupted),
            Verifying => matches!(to, Revising | Completed | Failed | Cancelled | TimedOut | Interrupted),
            Revising => matches!(to, Verifying | Failed | Cancelled | TimedOut | Interrupted),
            Completed | Failed | Cancelled | TimedOut | Interrupted => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::JobStatus;

    #[test]
    fn the_legal_changes_are_these_and_no_others() {
        let rows: Vec<String> = JobStatus::ALL
            .into_iter()
            .map(|from| {
                let to: Vec<&str> = JobStatus::ALL
                    .into_iter()
                    .filter(|to| from.may_become(*to))
                    .map(JobStatus::as_str)
                    .collect();
                format!("{}: {}", from.as_str(), to.join(" "))
            })
            .collect();
        assert_eq!(
            rows.join("\n"),
            "queued: running cancelled\n\
             running: queued verifying failed cancelled timed_out interrupted\n\
             verifying: revising completed failed cancelled timed_out interrupted\n\
             revising: verifying failed cancelled timed_out interrupted\n\
             completed: \nfailed: \ncancelled: \ntimed_out: \ninterrupted: "
        );
    }

    #[test]
    fn final_states_are_those_without_a_way_out() {
        for state in JobStatus::ALL {
            let way_out = JobStatus::ALL.into_iter().any(|to| state.may_become(to));
            assert_eq!(state.is_final(), !way_out, "{}", state.as_str());
            assert_eq!(JobStatus::parse(state.as_str()), Some(state));
        }
        assert_eq!(JobStatus::parse("done"), None);
    }
}
