//! codex-worker: a planner hands a coding job over MCP; this host runs a cheap agent on
//! it, works out what changed, judges it, and gives back compact, redacted evidence.
//!
//! ```text
//! mcp ─▶ job ─▶ workspace ─▶ agent ─▶ adapter ─▶ gateway        out to the model
//!                                └──────────────▶ evidence ─▶ policy ─▶ verify ─▶ (revise ─▶ agent) ─▶ report ─▶ mcp
//! ```
//!
//! Invariants:
//! 1. Standard output of `codex-worker mcp` carries MCP and nothing else.
//! 2. Nothing in the crate `policy` does I/O or knows what a job is; policies are pure functions
//!    of their recorded input.
//! 3. An untrusted workload cannot edit the policy engine: state, plugins, lock and configuration are outside
//!    every directory that a job may write, and are opened once per job.
//! 4. No text leaves the process without redaction. The gateway key is never in the
//!    agent's environment.
//! 5. Decisions are pure functions (retry, revise, scope merge, outcome).
//! 6. A state change is durable before it is reported.
//! 7. What the agent and the checks print is untrusted: capped, stripped of control
//!    characters, never used by itself to decide success.
//! 8. A number that is not known is `null` or "unmetered", never 0.
//!
//! The modules are in the order in which data passes.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

pub mod mcp;

pub mod analyze;

pub mod notify;

pub mod cli;
