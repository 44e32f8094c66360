//! The adapter against scripted gateways: what it makes of their answers, what it sends
//! them, how it behaves when they fail, and the real Claude Code through it.

#[cfg(unix)]
mod claude;
mod fuzz;
mod input;
mod mock;
mod output;
mod process;
mod support;
mod transport;
