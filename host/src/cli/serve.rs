//! `codex-worker serve`: pages over the jobs for the person at this machine, and MCP over HTTP for
//! whoever brings a token.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use job::sqlite::SqliteStore;
use job::{reap, spawn};
use tokio_util::sync::CancellationToken;

use super::actions::actions;
use super::mcp::until_signal;
use super::print;
use super::settings::SettingsArgs;
use model::error::{Error, Kind, Result};
use redact::Redactor;

/// Between looks for dead workers and for a queue without one.
const MAINTENANCE: Duration = Duration::from_secs(3);

/// Serve pages over the jobs, and MCP at /mcp, on loopback.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Where to listen; loopback only. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4747")]
    listen: SocketAddr,
}

/// Serves until a signal comes.
pub fn run(args: Args) -> Result<()> {
    serve(args.settings.load()?, args.listen)
}

/// Serves at this address.
pub(super) fn serve(config: Config, address: SocketAddr) -> Result<()> {
    redact::log::mask_panics(Redactor::new(config.known_secrets.clone(), None));
    let config = Arc::new(config);
    until_signal(16, async |shutdown| {
        let listener = web::listen(address).await?;
        let address = listener
            .local_addr()
            .map_err(|error| Error::new(Kind::Environment, format!("cannot listen: {error}")))?;
        // Made here if there is none: the pages' own connection only reads.
        let store = Arc::new(SqliteStore::open(&config.home)?);
        tokio::spawn(maintain(config.clone(), store, shutdown.clone()));
        let session = web::Session::new(address, |url| {
            let _ = print(&format!("open {url}\n"));
        })?;
        let mcp = crate::mcp::http::service(config.clone(), shutdown.clone());
        web::serve(config.clone(), actions(config), session, Some(mcp), listener, shutdown).await
    })
}

/// Whoever looks at jobs finds those whose worker died.
async fn maintain(config: Arc<Config>, store: Arc<SqliteStore>, shutdown: CancellationToken) {
    loop {
        let (config, store) = (config.clone(), store.clone());
        let done = tokio::task::spawn_blocking(move || {
            reap::sweep(&config, &*store)?;
            spawn::ensure_worker(&config, &*store)
        });
        if let Ok(Err(error)) = done.await {
            tracing::warn!(%error, "could not check for dead workers");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(MAINTENANCE) => {}
        }
    }
}
