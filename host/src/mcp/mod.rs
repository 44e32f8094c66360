//! The MCP server: decode, call, encode; decides nothing.
