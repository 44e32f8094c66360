//! What surrounds a process tree, as settings ask for it and receipts record it.

use serde::{Deserialize, Serialize};

/// How strong a containment is, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strength {
    /// A PID namespace and a read-only file system.
    Bubblewrap,
    /// Landlock rules, a child subreaper and a scan for the job's marker.
    Landlock,
    /// Process groups only: files are checked after the fact.
    ProcessGroup,
}

impl Strength {
    /// The file system is closed to writes outside the writable directories, so that a tree may
    /// be allowed any command.
    pub fn limits_files(self) -> bool {
        self != Strength::ProcessGroup
    }
}

impl std::fmt::Display for Strength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Strength::Bubblewrap => "bubblewrap",
            Strength::Landlock => "landlock",
            Strength::ProcessGroup => "process-group",
        })
    }
}

/// What was in force; part of the receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The means used.
    pub strength: Strength,
    /// Connections are limited to the ports in `Limits::connect_ports`.
    pub network_limited: bool,
    /// The resource limits, each such as `8192 processes (control group)`.
    #[serde(default)]
    pub limits: Vec<String>,
    /// What is missing, each one sentence.
    pub warnings: Vec<String>,
}
