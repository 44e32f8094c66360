//! Jobs: what was asked for (`spec`), what may happen to it (`state`), where that is kept
//! (`store`), and the one loop that runs it (`worker`).

pub mod spec;
pub mod state;
pub mod store;
