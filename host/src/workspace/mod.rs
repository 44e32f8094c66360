//! Where a job works: which paths it may name ([`root`]), the checkout of its own
//! ([`worktree`]), and bringing a result back ([`apply`]).

mod copy_in;
pub mod lock;
pub mod root;
pub mod worktree;
