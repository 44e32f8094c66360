//! Jobs: where they are kept (`store`, `sqlite`, `paths`), the worker's loop (`worker`), the
//! run of one job (`run`: prepare, pass, judge) and the one way in which it ends (`conclude`).

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

pub mod artifacts;
pub mod budget;
pub mod cancel;
pub mod cleanup;
pub mod compact;
pub mod conclude;
pub mod gc;
pub mod identity;
pub mod notify;
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
