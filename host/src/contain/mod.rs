//! Containment of one process tree: what it may write, read and connect to, and that its
//! death takes every descendant with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

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

/// What was in force; stands in the receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The means used.
    pub strength: Strength,
    /// TCP connects are limited to the ports in `Limits::connect_ports`.
    pub network_limited: bool,
    /// What is missing, each one sentence.
    pub warnings: Vec<String>,
}

/// What a tree may do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Directories it may write (and everything below them).
    pub writable: Vec<PathBuf>,
    /// Directories hidden from it, besides the credentials that are always hidden.
    pub hidden: Vec<PathBuf>,
    /// Loopback TCP ports it may connect to; `None` leaves the network alone.
    pub connect_ports: Option<Vec<u16>>,
    /// Bytes of address space of one process.
    pub max_memory: Option<u64>,
    /// Processes.
    pub max_processes: Option<u64>,
    /// Bytes of one file.
    pub max_file_size: Option<u64>,
}

/// A command to contain. The environment is exactly `env`.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// The working directory.
    pub cwd: PathBuf,
    /// Written to standard input, which is then closed.
    pub stdin: Vec<u8>,
    /// What it may do.
    pub limits: Limits,
    /// A value unique to the run; stands in the environment as `CODEX_WORKER_MARK`, so that
    /// strays can be found.
    pub mark: String,
}

/// How a tree ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, if it exited.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// It was ended because the time was up.
    pub timed_out: bool,
    /// It was ended because of a cancel.
    pub cancelled: bool,
    /// How long it ran.
    pub duration: Duration,
}
