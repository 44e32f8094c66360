//! The adapter: an Anthropic Messages endpoint on loopback over an OpenAI-compatible gateway.
