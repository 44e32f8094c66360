//! What the tests, the benchmarks and the demo share: one of each, so that a change of a
//! protocol or of a tool's arguments is made once.

#![allow(clippy::disallowed_methods, reason = "variables say which real tools the tests run with")]

pub mod dir;

pub mod gateway;

pub mod http;

pub mod mcp;

pub mod missing;

pub use dir::{TestDir, run_sh};
