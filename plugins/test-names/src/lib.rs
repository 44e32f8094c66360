//! What is a test, by the names of files and commands: one answer for the host and the
//! policies. Knows the habits of the common runners; reads no file, and is therefore wrong
//! where a project has habits of its own (`guard_patterns` of the configuration says so).
//!
//! Invariant: no dependencies, no I/O. Paths have `/` between components.

#![forbid(unsafe_code)]

mod command;
mod paths;

pub use command::runs_tests;
pub use paths::{
    in_tests, is_expectation, is_manifest, is_runner_configuration, is_support, is_test, is_test_directory,
};
