//! End-to-end tests: the real binary, a scripted gateway, and the real agent CLIs where
//! they are installed. One file per capability.

#![allow(clippy::disallowed_methods, reason = "variables say which real tools the tests run with")]

mod agents;
mod analyze;
mod answer;
mod budget;
mod cheat_kinds;
mod cheats;
mod codex;
mod conformance;
#[cfg(target_os = "linux")]
mod contained_git;
#[cfg(unix)]
mod doctor;
mod drop_in;
mod ends;
#[cfg(target_os = "linux")]
mod escape;
mod hostile;
mod jobs;
mod main_job;
mod mcp_stdio;
mod notify;
mod plugins;
#[cfg(target_os = "linux")]
mod promises;
#[cfg(target_os = "linux")]
mod race;
#[cfg(target_os = "linux")]
mod reports;
mod runner_reports;
mod secrets;
mod serve;
#[cfg(unix)]
mod setup;
mod stats;
mod store;
mod support;
mod verification;
mod watch;
