//! Judging what an agent left behind: the job's check commands (`checks`, with what they
//! read in `output`, `reports` and `out_of_band`), whether what a runner prints, its report and
//! its exit agree (`agreement`), what guarded runs put back (`guard`,
//! `inline`, `definitions`), and the
//! pure step from changes, checks and findings to an outcome (`outcome`).

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests set the scene"))]
#![warn(clippy::unwrap_used)]

pub mod agreement;
pub mod checks;
pub mod definitions;
pub mod fingerprint;
pub mod guard;
pub mod inline;
pub mod out_of_band;
pub mod outcome;
mod output;
mod reports;
