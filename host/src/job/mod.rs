//! Jobs: what was asked for (`spec`), what may happen to it (`state`), where that is kept
//! (`store`, `sqlite`, `paths`), and the one loop that runs it (`worker`).

pub mod cancel;
pub mod identity;
mod parse;
pub mod paths;
pub mod reap;
pub mod revise;
pub mod spawn;
pub mod spec;
pub mod sqlite;
pub mod state;
pub mod store;

pub use cancel::cancel;
pub use spawn::{ensure_worker, spawn_worker};
