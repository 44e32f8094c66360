//! Policies: WebAssembly components that judge, behind the interfaces of `wit/`.
//!
//! ```text
//! inspect ─▶ engine, call ─▶ plugin ─▶ load ─▶ set ─▶ (ask ─▶ accept) ─▶ compose, record
//! ```
//!
//! Invariant: nothing here knows what a job is; a policy's input is a complete value and
//! its output is a finding, a span, a fact or a text.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

pub mod accept;
pub mod ask;
pub mod bindings;
pub mod call;
pub mod compose;
pub mod conformance;
pub mod engine;
pub mod inspect;
pub mod limits;
pub mod load;
pub mod lock;
pub mod plugin;
pub mod record;
pub mod replay;
pub mod set;
pub mod shipped;
pub mod state;
pub mod tally;

#[cfg(test)]
mod tests;

pub use compose::Judged;
pub use load::Settings;
pub use lock::Mode;
pub use plugin::{Origin, PluginId};
pub use record::Decision;
pub use set::{Facts, PolicySet, Shaped};
