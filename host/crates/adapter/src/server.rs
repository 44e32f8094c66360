//! The HTTP side towards the agent: loopback only, one bearer token, limits on what is read,
//! no compression, no delay.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use model::secret::same;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::State;
use super::anthropic;
use super::downstream::{Head, ResponseBuffer};
use super::errors::ApiError;
use super::exchange;

/// Anthropic's own limit.
const BODY_MAX: usize = 32 << 20;
/// A client that sends its body slower than one piece in this time is left.
const BODY_PAUSE: Duration = Duration::from_secs(30);
/// The whole head of a request must come in this time; an idle connection is closed after it.
const HEAD_TIME: Duration = Duration::from_secs(60);
/// Bytes of a request's head.
const HEAD_MAX: usize = 64 << 10;
/// More connections wait until one ends.
const CONNECTIONS: usize = 512;

/// An answer's body: a document, or events as the exchange makes them.
pub enum Answer {
    /// A document.
    Whole(Full<Bytes>),
    /// Events. Dropping it drops the exchange.
    Live {
        /// The exchange; none when it has ended.
        run: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
        /// What it has written.
        out: ResponseBuffer,
    },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Answer::Whole(body) => Pin::new(body).poll_frame(cx),
            Answer::Live { run, out } => {
                if run.as_mut().is_some_and(|run| run.as_mut().poll(cx).is_ready()) {
                    *run = None;
                }
                let bytes = std::mem::take(&mut out.lock().buf);
                match (bytes.is_empty(), run.is_some()) {
                    (false, _) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(bytes))))),
                    (true, true) => Poll::Pending,
                    (true, false) => Poll::Ready(None),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Whole(body) => body.is_end_stream(),
            Answer::Live { run, out } => run.is_none() && out.lock().buf.is_empty(),
        }
    }
}

/// Accepts connections until the state is cancelled.
pub async fn serve(listener: TcpListener, state: Arc<State>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            listener.accept().await.map(|(stream, _)| (stream, permit))
        };
        let accepted = tokio::select! {
            () = state.cancel.cancelled() => return,
            accepted = accepted => accepted,
        };
        let Ok((stream, permit)) = accepted else {
            // Too many open files: wait for some to close.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Without it the kernel holds small events back for 40 ms.
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let _permit = permit;
            let service = service_fn(|request| handle(Arc::clone(&state), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_headers(100)
                .max_buf_size(HEAD_MAX)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = state.cancel.cancelled() => {}
                result = connection => if let Err(error) = result {
                    tracing::debug!(%error, "a connection of the agent ended");
                }
            }
        });
    }
}

async fn handle(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    if let Err(error) = admit(&state, &request) {
        return Ok(refuse(&error));
    }
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let answer = match (request.method(), path.as_str()) {
        (&Method::POST, "/v1/messages" | "/messages") => messages(state, request).await,
        (&Method::POST, "/v1/messages/count_tokens" | "/messages/count_tokens") => {
            count(&state, request).await
        }
        (&Method::GET, "/v1/models" | "/models") => Ok(models(&state)),
        (&Method::GET, path) if path.starts_with("/v1/models/") => {
            Ok(model(path.trim_start_matches("/v1/models/")))
        }
        (&Method::GET | &Method::HEAD, "" | "/api/hello" | "/health") => {
            Ok(json(200, br#"{"ok":true}"#.to_vec()))
        }
        (method, path) => Err(ApiError::new(404, format!("{method} {path} is not served here"))),
    };
    Ok(answer.unwrap_or_else(|error| refuse(&error)))
}

/// Host, origin and token.
fn admit(state: &State, request: &Request<Incoming>) -> Result<(), ApiError> {
    let text = |value: Option<&HeaderValue>| value.and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let host = text(request.headers().get(HOST));
    // A page in a browser that resolves its own name to 127.0.0.1 has its own Host.
    if !is_local(&host) {
        return Err(ApiError::new(403, "the Host header does not name this machine"));
    }
    let origin = text(request.headers().get(ORIGIN));
    let origin = origin.split_once("://").map_or(origin.as_str(), |(_, host)| host);
    if !origin.is_empty() && !is_local(origin) {
        return Err(ApiError::new(403, "requests from web pages are not served"));
    }
    let bearer = text(request.headers().get(AUTHORIZATION));
    let given = match bearer.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim().to_owned(),
        _ => text(request.headers().get("x-api-key")),
    };
    if !same(given.as_bytes(), state.token.expose().as_bytes()) {
        return Err(ApiError::new(401, "the adapter's token is missing or wrong"));
    }
    Ok(())
}

fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    matches!(name, "127.0.0.1" | "localhost" | "::1")
}

async fn read_body(request: Request<Incoming>) -> Result<Bytes, ApiError> {
    let too_large = || ApiError::new(413, format!("the request is larger than {BODY_MAX} bytes"));
    let mut body = request.into_body();
    let announced = body.size_hint().lower();
    if announced > BODY_MAX as u64 {
        return Err(too_large());
    }
    // What is announced is reserved at once, but not on a word alone.
    let mut bytes = Vec::with_capacity(announced.min(1 << 20) as usize);
    loop {
        let frame = match tokio::time::timeout(BODY_PAUSE, body.frame()).await {
            Err(_) => return Err(ApiError::new(408, "the request's body did not come")),
            Ok(None) => return Ok(Bytes::from(bytes)),
            Ok(Some(Err(error))) => {
                return Err(ApiError::invalid(format!("the request could not be read: {error}")));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > BODY_MAX {
                return Err(too_large());
            }
            bytes.extend_from_slice(data);
        }
    }
}

async fn messages(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Answer>, ApiError> {
    let headers = request.headers().clone();
    let body = read_body(request).await?;
    let out = ResponseBuffer::default();
    let mut run: Pin<Box<dyn Future<Output = ()> + Send>> =
        Box::pin(exchange::run(state, body, headers, out.clone()));
    let (head, ended) = poll_fn(|cx| {
        let ended = run.as_mut().poll(cx).is_ready();
        match out.lock().head.take() {
            Some(head) => Poll::Ready((Some(head), ended)),
            None if ended => Poll::Ready((None, true)),
            None => Poll::Pending,
        }
    })
    .await;
    match head {
        None => Err(ApiError::new(500, "the exchange ended without an answer")),
        Some(Head::Whole(status, pause, body)) => {
            let mut response = json(status, body);
            add_pause(&mut response, pause);
            Ok(response)
        }
        Some(Head::Stream) => {
            let mut response = Response::new(Answer::Live { run: (!ended).then_some(run), out });
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
            headers.insert("cache-control", HeaderValue::from_static("no-cache"));
            Ok(response)
        }
    }
}

async fn count(state: &State, request: Request<Incoming>) -> Result<Response<Answer>, ApiError> {
    let body = read_body(request).await?;
    let body = super::lenient::repair_surrogates(&body).map_or(body, Bytes::from);
    let parsed: anthropic::Request<'_> = serde_json::from_slice(&body)
        .map_err(|e| ApiError::invalid(format!("the request is not valid: {e}")))?;
    let model = state.gateway_model(super::lenient::str_of(&parsed.model));
    let estimate = state.calibration.count(&model, &parsed, body.len());
    let mut response = json(200, format!("{{\"input_tokens\":{}}}", estimate.tokens).into_bytes());
    let headers = response.headers_mut();
    let basis = if estimate.calibrated { "calibrated" } else { "tokenizer" };
    headers.insert("x-codex-worker-estimate", HeaderValue::from_static(basis));
    let error = estimate.error.map_or("unknown".to_owned(), |e| format!("{e:.3}"));
    if let Ok(error) = HeaderValue::from_str(&error) {
        headers.insert("x-codex-worker-estimate-error", error);
    }
    Ok(response)
}

fn models(state: &State) -> Response<Answer> {
    let mut names: Vec<String> = state.forced_model().into_iter().collect();
    for name in [state.gateway.model(), state.gateway.lite_model()].into_iter().flatten() {
        if !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    let data: Vec<_> = names.iter().map(|n| model_entry(n)).collect();
    let list = serde_json::json!({
        "data": data, "has_more": false,
        "first_id": names.first(), "last_id": names.last(),
    });
    json(200, list.to_string().into_bytes())
}

fn model(name: &str) -> Response<Answer> {
    json(200, model_entry(name).to_string().into_bytes())
}

fn model_entry(name: &str) -> serde_json::Value {
    serde_json::json!({"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"})
}

fn json(status: u16, body: Vec<u8>) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Full::new(Bytes::from(body))));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status >= 400 {
        // Retrying is our part: Anthropic's SDKs and Claude Code obey this header.
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

fn refuse(error: &ApiError) -> Response<Answer> {
    let mut response = json(error.status, error.body());
    add_pause(&mut response, error.retry_after);
    response
}

fn add_pause(response: &mut Response<Answer>, pause: Option<Duration>) {
    if let Some(pause) = pause {
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// Binds the listener.
pub async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (host, yes) in [
            ("127.0.0.1:3456", true),
            ("localhost", true),
            ("[::1]:80", true),
            ("", false),
            ("evil.example", false),
            ("127.0.0.1.evil.example:80", false),
        ] {
            assert_eq!(is_local(host), yes, "{host}");
        }
        assert!(same(b"abc", b"abc") && !same(b"abc", b"abd") && !same(b"", b"a"));
    }
}
