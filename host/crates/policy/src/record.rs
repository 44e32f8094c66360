//! The record of decisions: enough to say months later why a job passed, and to ask another
//! component the same question.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::call::CallError;
use super::inspect::Interface;
use super::lock::Mode;

/// The version of [`Decision`]'s format.
pub const VERSION: u32 = 1;

/// One call of one policy, one line of `decisions.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// [`VERSION`].
    pub v: u32,
    /// Counts within the job, from 1.
    pub seq: u32,
    /// What was asked.
    pub interface: Interface,
    /// The policy's name.
    pub plugin: String,
    /// The policy's version.
    pub version: String,
    /// SHA-256 of the component.
    pub component: String,
    /// SHA-256 of the configuration as JSON text.
    pub config: String,
    /// Whether it counted.
    pub mode: Mode,
    /// SHA-256 of the input as JSON text.
    pub input_digest: String,
    /// The input; none when an earlier line of the same file holds it (look for the digest),
    /// and always none for `redaction`, whose input may hold the very secrets it is to find.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Box<RawValue>>,
    /// The output after the host cleaned it; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Box<RawValue>>,
    /// Why there is no output; a limit is no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CallError>,
    /// Microseconds of the call.
    pub micros: u64,
    /// What the policy logged, a panic's message among it; never of `redaction`, for the
    /// same reason as the input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// Log lines that the limit swallowed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub log_dropped: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// SHA-256 as 64 hexadecimal digits.
pub fn digest(bytes: impl AsRef<[u8]>) -> String {
    model::hex::encode(Sha256::digest(bytes.as_ref()))
}

/// Any value as JSON text; `null` for one that cannot be written, which no type of ours is.
pub fn json(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_default()
}
