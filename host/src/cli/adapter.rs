//! `codex-worker adapter`: the adapter alone, so that anyone can point Claude Code at an
//! OpenAI-compatible gateway.

use std::net::SocketAddr;

use adapter::{Adapter, Options, random_hex};
use config::Secret;
use model::error::{Error, Kind, Result};

/// Run the Anthropic-to-OpenAI adapter by itself.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:3456")]
    listen: SocketAddr,
    /// The gateway's model for every request, whatever the client asks for.
    #[arg(long)]
    model: Option<String>,
    #[command(flatten)]
    settings: super::settings::SettingsArgs,
}

/// Serves until interrupted.
pub fn run(args: Args) -> Result<()> {
    let config = args.settings.load()?;
    let (token, made) = match config.adapter_token.clone() {
        Some(token) => (token, false),
        None => (Secret::new(random_hex(24)), true),
    };
    // One thread is enough for a hundred streams, and needs the least memory.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Error::new(Kind::Environment, format!("the runtime could not start: {e}")))?;
    runtime.block_on(async move {
        let purse = job::budget::day_purse(&std::sync::Arc::new(config.clone()))?;
        let options =
            Options { listen: args.listen, token: token.clone(), job: None, model: args.model, purse };
        let adapter = Adapter::start(&config, options).await?;
        // Standard error: the caller may want to read nothing else from standard output.
        eprintln!("ANTHROPIC_BASE_URL={}", adapter.base_url());
        if made {
            eprintln!("ANTHROPIC_AUTH_TOKEN={}", token.expose());
        }
        // Without a signal handler the default action ends the process just the same.
        let _ = tokio::signal::ctrl_c().await;
        adapter.shutdown().await;
        Ok(())
    })
}
