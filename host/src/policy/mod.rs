//! Policies: WebAssembly components that judge, behind the interfaces of `wit/`.
//!
//! Invariant: nothing here knows what a job is; a policy's input is a complete value and
//! its output is a finding, a span, a fact or a text.

pub mod types;
