//! Jobs: what was asked for (`spec`), what may happen to it (`state`), where that is kept
//! (`store`, `sqlite`, `paths`), and the one loop that runs it (`worker`).

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

pub mod artifacts;
pub mod cancel;
pub mod compact;
pub mod gc;
pub mod identity;
pub mod leaving;
pub mod paths;
pub mod reap;
pub mod receipt;
pub mod revise;
pub mod run;
pub mod spawn;
pub mod sqlite;
pub mod store;
pub mod worker;

pub use cancel::cancel;
pub use spawn::{ensure_worker, spawn_worker};
