//! Judging what an agent left behind: the job's check commands (`checks`, with what they
//! read in `output` and `reports`), which files the guarded run puts back (`guard`), and
//! the pure step from changes, checks and findings to an outcome (`outcome`).

pub mod checks;
pub mod fingerprint;
pub mod guard;
pub mod outcome;
mod output;
mod reports;
