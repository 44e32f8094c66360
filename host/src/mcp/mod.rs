//! The MCP server: decode, call, encode; decides nothing.
//!
//! `transport` reads and writes lines, `server` is the handler, `tools` and `schema` are
//! what clients see of it, `jobs`, `artifact` and `apply` do the calls, `budget` keeps
//! replies small, `tasks` is the second face of the same jobs, `prompts` what a person may
//! pick from a menu. `http` serves it to whoever brings one of the `tokens`.

pub mod apply;
pub mod artifact;
pub mod budget;
pub mod http;
pub mod jobs;
mod lines;
pub mod parse;
mod prompts;
pub mod schema;
pub mod serve;
pub mod server;
pub mod tasks;
pub mod tokens;
pub mod tools;
pub mod transport;
pub mod wire;
