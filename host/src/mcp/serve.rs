//! Serving: over standard input and output for one client; over HTTP for tests.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rmcp::ServerHandler;
use rmcp::service::{ServerInitializeError, serve_server};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService, stdio_pipes};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::transport::LineTransport;
use model::error::{Error, Kind, Result};

/// Serves one client until its end of input or `shutdown`; both mean that nobody listens:
/// waiting calls are answered at once, jobs go on.
pub async fn stdio(server: impl ServerHandler, shutdown: CancellationToken) -> Result<()> {
    let (read, write) = stdio_pipes();
    let transport = LineTransport::new(read, write, shutdown.clone());
    let running = match serve_server(server, transport).await {
        Ok(running) => running,
        Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
        Err(error) => return Err(Error::new(Kind::Internal, format!("the session did not begin: {error}"))),
    };
    match running.waiting().await {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::new(Kind::Internal, format!("the session broke: {error}"))),
    }
}

/// Origins from which a browser may speak to the HTTP mode: pages of this machine.
const ORIGINS: [&str; 3] = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];
/// For the answers of calls that wait when the server shuts down.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// After a connection that could not be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// `server` as Streamable HTTP, its sessions in memory, until `ends`.
pub(super) fn streamable<S>(
    server: S,
    ends: CancellationToken,
) -> StreamableHttpService<S, LocalSessionManager>
where
    S: ServerHandler + Clone,
{
    let config =
        StreamableHttpServerConfig::default().with_cancellation_token(ends).with_allowed_origins(ORIGINS);
    StreamableHttpService::new(move || Ok(server.clone()), Arc::new(LocalSessionManager::default()), config)
}

/// Serves Streamable HTTP on a listener until `shutdown`, to whoever asks: for the protocol's own
/// tests. `http` is what a person serves.
pub async fn http_on(server: impl ServerHandler + Clone, listener: TcpListener, shutdown: CancellationToken) {
    let service = streamable(server, shutdown.clone());
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let service = TowerToHyperService::new(service.clone());
        connections.spawn(async move {
            // A broken connection is the client's business.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
    // Waiting calls are answered now; a connection that is merely kept open ends with us.
    let _ =
        tokio::time::timeout(LAST_ANSWERS, async { while connections.join_next().await.is_some() {} }).await;
}
