//! Judging what an agent left behind: the job's check commands (`checks`, with what they
//! read in `output` and `reports`), what the guarded run puts back (`guard`, `inline`), and
//! the pure step from changes, checks and findings to an outcome (`outcome`).

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests set the scene"))]
#![warn(clippy::unwrap_used)]

pub mod checks;
pub mod fingerprint;
pub mod guard;
pub mod inline;
pub mod outcome;
mod output;
mod reports;
