//! Who may ask, and what every answer says: the Host and Origin of a request, the session that
//! a one-time address opens, the headers that keep a page from doing what it must not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use model::error::{Error, Kind, Result};
use model::secret::same;

use crate::answer::{Response, text};
use crate::{Site, pages};

/// Scripts and styles come from this server alone and none is inside a page.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Who asks without a session makes a new address be printed, but not more often than this.
const NEW_ADDRESS: Duration = Duration::from_secs(5);

/// The session of one server, and the one-time address that opens it.
pub struct Session {
    address: SocketAddr,
    /// What the cookie holds.
    secret: String,
    /// The one-time token, until it was used.
    token: Mutex<Option<String>>,
    announced: Mutex<Option<Instant>>,
    announce: Box<dyn Fn(&str) + Send + Sync>,
}

impl Session {
    /// For a server at `address`. `announce` is told each one-time address, now the first.
    pub fn new(address: SocketAddr, announce: impl Fn(&str) + Send + Sync + 'static) -> Result<Arc<Session>> {
        let session = Arc::new(Session {
            address,
            secret: random()?,
            token: Mutex::new(None),
            announced: Mutex::new(None),
            announce: Box::new(announce),
        });
        session.renew();
        Ok(session)
    }

    /// Makes a new one-time address if the last one was used.
    pub(crate) fn renew(&self) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if announced.is_some_and(|at| at.elapsed() < NEW_ADDRESS) {
            return;
        }
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if token.is_some() {
            return;
        }
        match random() {
            Ok(fresh) => {
                (self.announce)(&format!("http://{}/open?token={fresh}", self.address));
                (*token, *announced) = (Some(fresh), Some(Instant::now()));
            }
            Err(error) => tracing::error!(%error, "no one-time address could be made"),
        }
    }

    /// The cookie for who knows the one-time token, which is used up by that.
    pub(crate) fn open(&self, token: &str) -> Option<HeaderValue> {
        let mut known = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.as_ref().is_some_and(|known| same(known.as_bytes(), token.as_bytes())) {
            return None;
        }
        *known = None;
        // Cookies of one host are shared by its ports: the name tells them apart.
        let cookie = format!("{}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie(), self.secret);
        HeaderValue::from_str(&cookie).ok()
    }

    fn cookie(&self) -> String {
        format!("codex_worker_{}", self.address.port())
    }

    /// The request brings the session.
    pub(crate) fn holds(&self, headers: &HeaderMap) -> bool {
        let cookie = self.cookie();
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(name, value)| name == cookie && same(self.secret.as_bytes(), value.as_bytes()))
    }

    /// A name of this machine that the listener answers to. A page that rebinds its own name to
    /// this address sends that name.
    fn is_own_host(&self, host: &str) -> bool {
        let port = self.address.port();
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| host == format!("{name}:{port}"))
    }

    fn is_own_origin(&self, origin: &str) -> bool {
        origin.strip_prefix("http://").is_some_and(|host| self.is_own_host(host))
    }
}

/// 256 random bits as hexadecimal digits.
fn random() -> Result<String> {
    model::hex::random(32)
        .map_err(|error| Error::new(Kind::Environment, format!("no random numbers: {error}")))
}

/// Every request: its Host and Origin, its session, and the headers of its answer.
pub(crate) async fn answer(site: Arc<Site>, request: Request<Incoming>) -> Response {
    let mut response = match refusal(&site.session, &request) {
        Some(why) => text(StatusCode::FORBIDDEN, "text/plain; charset=utf-8", format!("{why}\n")),
        None => pages::route(site, request).await,
    };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    set(header::CONTENT_SECURITY_POLICY, CSP);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    // Not `no-referrer`: with it a browser sends `Origin: null` with our own forms.
    set(header::REFERRER_POLICY, "same-origin");
    set(header::CACHE_CONTROL, "no-store");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    response
}

fn refusal<B>(session: &Session, request: &Request<B>) -> Option<&'static str> {
    let text = |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or(""));
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().and_then(|value| value.to_str().ok());
    if hosts.next().is_some() || !host.is_some_and(|host| session.is_own_host(host)) {
        return Some("the Host header names another server; open http://127.0.0.1:PORT as serve printed it");
    }
    if text(header::ORIGIN).is_some_and(|origin| !session.is_own_origin(origin)) {
        return Some("the Origin header names another site");
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let is_mcp = request.uri().path() == "/mcp";
    if !reads && !is_mcp {
        // A browser sends an Origin with every POST of a page.
        if text(header::ORIGIN).is_none() {
            return Some("a POST needs the Origin header of a page of this server");
        }
        let site = text(HeaderName::from_static("sec-fetch-site"));
        if site.is_some_and(|site| site != "same-origin") {
            return Some("a POST must come from a page of this server");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> (Arc<Session>, Arc<Mutex<Vec<String>>>) {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let tell = told.clone();
        let announce = move |url: &str| tell.lock().expect("not poisoned").push(url.to_owned());
        (Session::new("127.0.0.1:4711".parse().expect("an address"), announce).expect("made"), told)
    }

    #[test]
    fn a_token_opens_once_and_another_is_made_only_then() {
        let (session, told) = session();
        let url = told.lock().expect("not poisoned")[0].clone();
        let token = url.strip_prefix("http://127.0.0.1:4711/open?token=").expect("its form").to_owned();
        assert!(session.open("").is_none() && session.open(&token[1..]).is_none());
        let cookie = session.open(&token).expect("it opens");
        let cookie = cookie.to_str().expect("text");
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
        assert!(session.open(&token).is_none(), "once");
        let mut headers = HeaderMap::new();
        assert!(!session.holds(&headers));
        let pair = cookie.split(';').next().expect("a pair");
        headers.append(header::COOKIE, format!("a=b; {pair}").parse().expect("a value"));
        assert!(session.holds(&headers));
        session.renew();
        assert_eq!(told.lock().expect("not poisoned").len(), 1, "not so soon");
        *session.announced.lock().expect("not poisoned") = None;
        session.renew();
        session.renew();
        assert_eq!(told.lock().expect("not poisoned").len(), 2);
    }

    #[test]
    fn hosts_and_origins() {
        let (session, _told) = session();
        let refused = |method: &str, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(method).uri("/jobs/x/cancel");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            refusal(&session, &request.body(()).expect("a request")).is_some()
        };
        let host = ("host", "127.0.0.1:4711");
        let origin = ("origin", "http://127.0.0.1:4711");
        for (method, headers, expected) in [
            ("GET", vec![host], false),
            ("GET", vec![("host", "localhost:4711")], false),
            ("GET", vec![("host", "evil.example:4711")], true),
            ("GET", vec![("host", "127.0.0.1")], true),
            ("GET", vec![], true),
            ("GET", vec![host, host], true),
            ("GET", vec![host, ("origin", "http://evil.example")], true),
            ("POST", vec![host], true),
            ("POST", vec![host, origin], false),
            ("POST", vec![host, ("origin", "null")], true),
            ("POST", vec![host, ("origin", "https://127.0.0.1:4711")], true),
            ("POST", vec![host, origin, ("sec-fetch-site", "same-site")], true),
            ("POST", vec![host, origin, ("sec-fetch-site", "same-origin")], false),
        ] {
            assert_eq!(refused(method, &headers), expected, "{method} {headers:?}");
        }
    }
}
