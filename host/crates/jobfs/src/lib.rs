//! Every access of the host to a directory that a contained process could write: by
//! descriptor, beneath a root, through no link, and of regular files without blocking.
//!
//! Invariant: no function here follows a symbolic link, at any component of any name, also
//! while somebody exchanges directories for links. A path that was checked earlier is not
//! trusted: [`Tree::open_same`] compares the identity that was seen then.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests set the scene"))]

mod delete;
mod meta;
pub mod own;
mod resolve;
mod tree;

pub use delete::delete;
pub use meta::{Identity, Kind, Meta, Stamp};
pub use resolve::Resolver;
pub use tree::{Entry, Tree};

#[cfg(test)]
mod tests;
