//! Jobs: what was asked for (`spec`), what may happen to it (`state`), where that is kept
//! (`store`, `sqlite`, `paths`), and the one loop that runs it (`worker`).

pub mod artifacts;
pub mod cancel;
pub mod gc;
pub mod identity;
pub mod leaving;
pub(crate) mod parse;
pub mod paths;
pub mod reap;
pub mod revise;
pub mod run;
pub mod spawn;
pub mod spec;
pub mod sqlite;
pub mod state;
pub mod store;
pub mod worker;

pub use cancel::cancel;
pub use spawn::{ensure_worker, spawn_worker};
