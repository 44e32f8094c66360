//! Where a job works: which paths it may name ([`root`]), the checkout of its own
//! ([`worktree`]), and bringing a result back ([`apply`]).

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests set the scene"))]
#![warn(clippy::unwrap_used)]

pub mod apply;
mod copy_in;
mod filtered;
pub mod lock;
mod plan;
pub mod root;
mod swap;
pub mod worktree;
