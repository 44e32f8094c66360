//! One file for each released version of the WIT package: what `bindgen` makes of it, and
//! the conversions to the host's own types. A released version's file stays as it is.

#[macro_use]
pub mod v0_1;
pub mod v0_2;
