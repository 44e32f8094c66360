//! Answers: what a response is made of, and reading what a form sends.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Request, StatusCode};
use maud::Markup;

/// An answer of this server.
pub type Response = hyper::Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What answers `/mcp`. It checks its callers itself: the session of the pages is not asked for.
pub type Mcp = Arc<dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Response> + Send>> + Send + Sync>;

/// Bytes of a form: it holds one word.
const FORM_MAX: usize = 4096;

/// An answer of this kind.
pub(crate) fn text(status: StatusCode, kind: &'static str, content: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(content.into()).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A page.
pub(crate) fn page(status: StatusCode, content: Markup) -> Response {
    text(status, "text/html; charset=utf-8", content.into_string())
}

/// The values of a query or a form, by name.
#[derive(Debug, Default)]
pub(crate) struct Values(Vec<(String, String)>);

impl Values {
    /// Of an encoded text.
    pub fn parse(encoded: &[u8]) -> Values {
        Values(url::form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The first value of this name; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// The form that a POST sends; none if it is too long or breaks off.
pub(crate) async fn form(body: Incoming) -> Option<Values> {
    let bytes = Limited::new(body, FORM_MAX).collect().await.ok()?.to_bytes();
    Some(Values::parse(&bytes))
}
