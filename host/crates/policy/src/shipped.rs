//! The policies that the host brings along: the components of `plugins/dist`, built from
//! `plugins/` by `codex-worker plugin dist` and checked in, so that nobody needs a wasm
//! toolchain to build the host.

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));
