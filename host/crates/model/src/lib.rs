//! The nouns of codex-worker: what a job is asked for, its status, what was observed,
//! found and concluded, and the error that its borders report.
//!
//! Invariant: no I/O. Everything here is a value or a pure function of values.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

pub mod error;

pub mod glob;

pub mod hex;

pub mod secret;

pub mod spec;

pub mod status;

pub mod containment;

// The SDK's own file: policies and the host read and write one definition.
#[path = "../../../../plugins/sdk/src/types.rs"]
pub mod types;

pub mod money;
pub mod outcome;

pub mod result;
