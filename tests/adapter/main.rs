//! The adapter against scripted gateways: what it makes of their answers, what it sends
//! them, how it behaves when they fail, and the real Claude Code through it.

#![allow(clippy::disallowed_methods, reason = "variables say which real tools the tests run with")]

#[cfg(unix)]
mod claude;
mod fuzz;
mod input;
mod learning;
mod mock;
mod output;
mod process;
mod support;
mod transport;
