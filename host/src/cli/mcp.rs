//! `codex-worker mcp`: the server that Codex starts.

use std::net::SocketAddr;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::settings::SettingsArgs;
use crate::mcp::serve;
use crate::mcp::server::Server;
use model::error::{Error, Kind, Result};
use redact::Redactor;

/// Serve MCP on standard input and output.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Do what `serve --listen` does: Streamable HTTP at /mcp for who brings a token, and the pages.
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<SocketAddr>,
    /// Adds a tool that panics, for tests.
    #[arg(long, hide = true)]
    test_panic: bool,
}

/// Serves until the client is gone or a signal comes; both end with exit code 0.
pub fn run(args: Args) -> Result<()> {
    let config = args.settings.load()?;
    if let Some(address) = args.http {
        return super::serve::serve(config, address);
    }
    redact::log::mask_panics(Redactor::new(config.known_secrets.clone(), None));
    // A client rarely asks two things at a time, and each thread costs memory in every session.
    until_signal(8, async |shutdown| {
        let mut server = Server::new(config, shutdown.clone());
        if args.test_panic {
            server = server.with_panicking_tool();
        }
        serve::stdio(server, shutdown).await
    })
}

/// Runs a server to its end, or to a signal, which cancels its token: one thread for the
/// protocol, and up to `store_threads` for the store.
pub(super) fn until_signal(
    store_threads: usize,
    serve: impl AsyncFnOnce(CancellationToken) -> Result<()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(store_threads)
        .build()
        .map_err(|error| Error::new(Kind::Environment, format!("cannot start: {error}")))?;
    let shutdown = CancellationToken::new();
    let result = runtime.block_on(async {
        on_signals(&shutdown)?;
        serve(shutdown).await
    });
    // A blocked store call must not keep a server alive that nobody listens to.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// SIGTERM, SIGINT and SIGHUP mean what the end of input means.
#[cfg(unix)]
fn on_signals(shutdown: &CancellationToken) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        let mut signals = signal(kind)
            .map_err(|error| Error::new(Kind::Environment, format!("cannot watch signals: {error}")))?;
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            signals.recv().await;
            shutdown.cancel();
        });
    }
    Ok(())
}

/// Ctrl-C means what the end of input means.
#[cfg(not(unix))]
fn on_signals(shutdown: &CancellationToken) -> Result<()> {
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        shutdown.cancel();
    });
    Ok(())
}
