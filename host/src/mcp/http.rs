//! MCP over Streamable HTTP for whoever brings a bearer token: one service a token, so that
//! sessions and jobs of one are not seen by another.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use config::Config;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use rmcp::transport::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use tokio_util::sync::CancellationToken;

use super::serve::streamable;
use super::server::Server;
use super::tokens::{self, Grant};
use model::error::Result;

/// How soon a revoked token's open streams end.
const LOOK: Duration = Duration::from_secs(2);

type Service = StreamableHttpService<Server, LocalSessionManager>;

/// The services by the digest of their token.
struct Services {
    config: Arc<Config>,
    shutdown: CancellationToken,
    open: Mutex<HashMap<String, (Grant, CancellationToken, Service)>>,
}

/// What answers `/mcp`.
pub fn service(config: Arc<Config>, shutdown: CancellationToken) -> web::Mcp {
    let services = Arc::new(Services { config, shutdown: shutdown.clone(), open: Mutex::default() });
    tokio::spawn(end_revoked(services.clone(), shutdown));
    Arc::new(move |request| {
        let services = services.clone();
        Box::pin(async move { services.answer(request).await })
    })
}

impl Services {
    async fn answer(&self, request: Request<hyper::body::Incoming>) -> web::Response {
        let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = sent.and_then(|sent| {
            let (scheme, token) = sent.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        let home = self.config.home.clone();
        let found = match token {
            None => Ok(None),
            Some(token) => find(home, token).await,
        };
        let grant = match found {
            Ok(Some(grant)) => grant,
            Ok(None) => {
                return refused(
                    StatusCode::UNAUTHORIZED,
                    "this needs `Authorization: Bearer TOKEN`; `codex-worker token new NAME` makes a token",
                );
            }
            Err(error) => {
                tracing::error!(%error, "the tokens cannot be read");
                return refused(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the tokens cannot be read; see the server's log",
                );
            }
        };
        self.of(grant).handle(request).await.map(|body| body.boxed_unsync())
    }

    /// The service of this grant, made at its first request.
    fn of(&self, grant: Grant) -> Service {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, ends, service)) = open.get(grant.id()) {
            if *known == grant {
                return service.clone();
            }
            ends.cancel();
        }
        let ends = self.shutdown.child_token();
        let server = Server::new((*self.config).clone(), ends.clone()).granted(grant.clone());
        let service = streamable(server, ends.clone());
        open.insert(grant.id().to_owned(), (grant, ends, service.clone()));
        service
    }
}

async fn find(home: PathBuf, token: String) -> Result<Option<Grant>> {
    tokio::task::spawn_blocking(move || Ok(tokens::find(&tokens::list(&home)?, &token)))
        .await
        .unwrap_or(Ok(None))
}

/// Ends the sessions of tokens that were taken back.
async fn end_revoked(services: Arc<Services>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if services.open.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            continue;
        }
        let home = services.config.home.clone();
        let Ok(Ok(known)) = tokio::task::spawn_blocking(move || tokens::list(&home)).await else { continue };
        let mut open = services.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|id, (_, ends, _)| {
            let stays = known.iter().any(|grant| grant.id() == id);
            if !stays {
                ends.cancel();
            }
            stays
        });
    }
}

fn refused(status: StatusCode, why: &str) -> web::Response {
    let body = serde_json::json!({"error": why}).to_string();
    let body = Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {}).boxed_unsync();
    let mut response = web::Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"codex-worker\""));
    }
    response
}
