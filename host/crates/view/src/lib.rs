//! What a person is shown of jobs, in a terminal or on a page: texts without secrets and control
//! characters, a job's timeline, its files in bounded pieces, diffs in parts, sums over jobs.
//!
//! Invariant: nothing here changes a job; what does is [`actions::Actions`], which the program
//! provides.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

pub mod text;

pub mod timeline;

pub mod files;

pub mod diff;

pub mod syntax;

pub mod cost;

pub mod rules;

pub mod actions;
