//! The gateway: what is configured, and with `--network` what its model can do.

use super::Row;
use config::{AgentKind, Config};
use model::error::{Error, Kind, Result};

/// What is configured.
pub fn row(config: &Config) -> Row {
    let Some(primary) = &config.gateway.primary else {
        return match config.agent.kind {
            AgentKind::Command => {
                Row::warning("gateway", "not set", "set ONEAPI_BASE_URL if your agent needs one")
            }
            _ => Row::failed(
                "gateway",
                "ONEAPI_BASE_URL is not set",
                "`codex-worker setup`, or set it to an OpenAI-compatible gateway",
            ),
        };
    };
    let model = config.gateway.model.as_deref().unwrap_or("no model");
    let seen = format!("{} with {model}", primary.base_url);
    if config.gateway.model.is_none() && config.gateway.use_openai_adapter {
        return Row::failed("gateway", seen, "set CLAUDE_MODEL to the gateway's name of a model");
    }
    if primary.base_url.starts_with("http://") && !primary.is_loopback() {
        return Row::warning(
            "gateway",
            seen,
            "use https: the key and your code go over the network in the clear",
        );
    }
    if primary.api_key.is_none() && !primary.is_loopback() {
        return Row::warning(
            "gateway",
            seen + ", no key",
            "set ONEAPI_API_KEY if the gateway wants one, or store it with `codex-worker setup --key file`",
        );
    }
    Row::ok("gateway", seen)
}

/// One streamed tool call of the configured model.
pub fn ask(config: &Config) -> Vec<Row> {
    match probe(config) {
        Err(error) => vec![Row::failed("gateway answers", error.message, error.hints.join("; "))],
        Ok(probe) => {
            let answers = format!("{} after {} ms", probe.model, probe.first_byte_ms);
            let missing = probe.missing().join("; ");
            let model = if !probe.calls_tools {
                Row::failed("model", missing, "set CLAUDE_MODEL to a model that can call tools")
            } else if missing.is_empty() {
                Row::ok("model", "streams, calls tools, counts tokens")
            } else {
                Row::warning("model", missing, "jobs work; another gateway may do it")
            };
            vec![Row::ok("gateway answers", answers), model]
        }
    }
}

fn probe(config: &Config) -> Result<adapter::probe::Probe> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Environment, error.to_string()))?;
    runtime.block_on(adapter::probe::probe(config))
}
