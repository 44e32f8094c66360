//! The MCP server: decode, call, encode; decides nothing.

pub mod schema;
pub mod tools;
