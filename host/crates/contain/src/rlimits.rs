//! Resource limits of the system for the calling process and all that it starts. They
//! cannot be raised again without privileges.

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// The limits; none leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimits {
    /// Bytes of private writable memory of one process. Not of address space: JavaScript
    /// and Java engines reserve gigabytes of that and use little.
    pub memory: Option<u64>,
    /// Processes and threads, counted per user, and within a user namespace only those
    /// inside. The kernel does not count root's.
    pub processes: Option<u64>,
    /// Bytes of one file; more ends the writer by SIGXFSZ.
    pub file_size: Option<u64>,
}

/// Applies the limits. The first that cannot be set is named.
pub fn apply(limits: &Rlimits) -> Result<(), String> {
    let core = (Resource::Core, Some(0), "core files");
    let rest = [
        (Resource::Data, limits.memory, "memory"),
        (Resource::Nproc, limits.processes, "processes"),
        (Resource::Fsize, limits.file_size, "file size"),
    ];
    for (resource, value, name) in std::iter::once(core).chain(rest) {
        let Some(value) = value else { continue };
        let hard = rustix::process::getrlimit(resource).maximum;
        let value = hard.map_or(value, |hard| hard.min(value));
        setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })
            .map_err(|error| format!("limit {name} to {value}: {error}"))?;
    }
    Ok(())
}
