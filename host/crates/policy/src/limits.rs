//! What one call of a policy may cost.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;

/// Limits of one call, each for itself. Larger inputs get more time, memory and transfer,
/// in proportion to [`Limits::for_input`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Wall-clock milliseconds.
    pub deadline_ms: u64,
    /// Bytes of all linear memories of the instance.
    pub memory_bytes: u64,
    /// Bytes that may pass from the component to the host.
    pub transfer_bytes: u64,
    /// Bytes of log lines.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { deadline_ms: 5_000, memory_bytes: 64 * MIB, transfer_bytes: MIB, log_bytes: 64 * 1024 }
    }
}

impl Limits {
    /// The largest input of a call; a larger one is not judged.
    pub const MAX_INPUT: u64 = 16 * MIB;

    /// The limits of a call with this many bytes of input: 250 ms for each MiB, and four
    /// times the input of memory and transfer, on top.
    pub fn for_input(self, bytes: u64) -> Self {
        Limits {
            deadline_ms: self.deadline_ms.saturating_add(bytes.saturating_mul(250) / MIB),
            memory_bytes: self.memory_bytes.saturating_add(bytes.saturating_mul(4)),
            transfer_bytes: self.transfer_bytes.saturating_add(bytes.saturating_mul(4)),
            log_bytes: self.log_bytes,
        }
    }

    /// The deadline as a duration; an hour at most, whatever the operator wrote.
    pub fn deadline(self) -> Duration {
        Duration::from_millis(self.deadline_ms.min(3_600_000))
    }
}
