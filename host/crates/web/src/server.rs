//! The listener: loopback only, one task a connection, an end that waits for nobody.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use model::error::{Error, Kind, Result};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Site, guard};

/// For answers that are under way when the server shuts down.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// After a connection that could not be accepted, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A client that does not send its request's head in this time is dropped.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// At once; a browser opens six.
const CONNECTIONS_MOST: usize = 256;

/// Binds `address`, which must be one of loopback.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    if !address.ip().is_loopback() {
        return Err(Error::new(Kind::Refused, format!("{address} is not a loopback address"))
            .hint("use 127.0.0.1:PORT; from another machine use `ssh -L PORT:127.0.0.1:PORT`"));
    }
    TcpListener::bind(address).await.map_err(|error| {
        Error::new(Kind::Environment, format!("cannot listen on {address}: {error}"))
            .hint("choose another port; 0 takes a free one")
    })
}

/// Answers until `shutdown`.
pub(crate) async fn run(site: Arc<Site>, listener: TcpListener, shutdown: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MOST => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let site = site.clone();
        let service = hyper::service::service_fn(move |request| {
            let site = site.clone();
            async move { Ok::<_, Infallible>(guard::answer(site, request).await) }
        });
        connections.spawn(async move {
            // A broken connection is the client's business.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
    // Waiting calls are answered now; a connection that is merely kept open ends with us.
    let _ =
        tokio::time::timeout(LAST_ANSWERS, async { while connections.join_next().await.is_some() {} }).await;
}
