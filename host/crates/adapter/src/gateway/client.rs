//! Sending to a gateway: addresses, headers, time-outs, proxies and certificates. It decides
//! nothing; `retry` does.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap};

use config::Endpoint;
use model::error::{Error, Kind, Result};

use super::retry::Failure;

/// An HTTP client for one endpoint.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Endpoint,
}

/// An attempt that got no status line.
#[derive(Debug)]
pub struct SendError {
    /// For the decision.
    pub failure: Failure,
    /// For a person; without keys.
    pub message: String,
}

impl Client {
    /// A client with its own connection pool. Proxy variables and the system's certificates
    /// are honoured (`HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`).
    pub fn new(endpoint: Endpoint, connect_timeout: Duration) -> Result<Self> {
        let url = reqwest::Url::parse(&endpoint.base_url).map_err(|error| {
            Error::new(Kind::Config, format!("the gateway URL {:?} is wrong: {error}", endpoint.base_url))
                .hint("set ONEAPI_BASE_URL to a URL such as https://gateway.example/v1")
        })?;
        // Somebody else may have installed one: any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("codex-worker/", env!("CARGO_PKG_VERSION")))
            .tcp_nodelay(true)
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(Duration::from_secs(55))
            // A redirect would take the key to another host.
            .redirect(reqwest::redirect::Policy::none());
        let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if loopback {
            builder = builder.no_proxy();
        }
        if url.scheme() == "http" && loopback {
            // Reading the system's certificates takes longer than starting does.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| {
            Error::new(Kind::Environment, format!("the HTTP client could not be made: {}", chain(&error)))
                .hint("check SSL_CERT_FILE and the proxy variables")
        })?;
        Ok(Client { http, endpoint })
    }

    /// The endpoint's base URL.
    pub fn base_url(&self) -> &str {
        &self.endpoint.base_url
    }

    /// The endpoint's host, for rows and messages.
    pub fn host(&self) -> &str {
        let rest = self.base_url();
        let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
        let host = rest.split(['/', '?']).next().unwrap_or(rest);
        host.rsplit_once('@').map_or(host, |(_, host)| host)
    }

    /// Where chat completions are asked for.
    pub fn chat_url(&self) -> String {
        let base = self.base_url().trim_end_matches('/');
        let has_path = base.split_once("://").map_or(base, |(_, rest)| rest).contains('/');
        match (base.ends_with("/chat/completions"), has_path) {
            (true, _) => base.to_owned(),
            (false, true) => format!("{base}/chat/completions"),
            (false, false) => format!("{base}/v1/chat/completions"),
        }
    }

    /// Where Anthropic messages are sent on.
    pub fn messages_url(&self) -> String {
        let base = self.base_url().trim_end_matches('/');
        if base.ends_with("/v1") { format!("{base}/messages") } else { format!("{base}/v1/messages") }
    }

    /// Sends a JSON document; gives the answer when its status line is there.
    pub async fn post(
        &self,
        url: &str,
        body: Bytes,
        mut headers: HeaderMap,
        anthropic: bool,
    ) -> std::result::Result<reqwest::Response, SendError> {
        headers.insert(CONTENT_TYPE, reqwest::header::HeaderValue::from_static("application/json"));
        // Compression would hold events back; what comes compressed all the same is decoded.
        headers.insert(ACCEPT_ENCODING, reqwest::header::HeaderValue::from_static("identity"));
        let mut request = self.http.post(url).headers(headers).body(body);
        if let Some(key) = &self.endpoint.api_key {
            request = request.bearer_auth(key.expose());
            if anthropic {
                request = request.header("x-api-key", key.expose());
            }
        }
        request.send().await.map_err(|error| SendError {
            failure: Failure::Connect,
            message: self.mask(&format!(
                "{} could not be reached: {}",
                self.host(),
                chain(&error.without_url())
            )),
        })
    }

    /// `text` without the key, which some gateways quote in their errors.
    pub fn mask(&self, text: &str) -> String {
        match &self.endpoint.api_key {
            Some(key) if key.expose().len() >= 4 => text.replace(key.expose(), "***"),
            _ => text.to_owned(),
        }
    }
}

/// An error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !out.contains(&words) {
            out.push_str(": ");
            out.push_str(&words);
        }
        source = cause.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Secret;

    #[test]
    fn addresses_and_masks() {
        let cases = [
            ("https://a.example", "https://a.example/v1/chat/completions", "https://a.example/v1/messages"),
            (
                "https://a.example/v1",
                "https://a.example/v1/chat/completions",
                "https://a.example/v1/messages",
            ),
            (
                "https://a.example/v1/",
                "https://a.example/v1/chat/completions",
                "https://a.example/v1/messages",
            ),
            (
                "http://h:1/api/paas/v4",
                "http://h:1/api/paas/v4/chat/completions",
                "http://h:1/api/paas/v4/v1/messages",
            ),
            (
                "http://h/x/chat/completions",
                "http://h/x/chat/completions",
                "http://h/x/chat/completions/v1/messages",
            ),
        ];
        for (base, chat, messages) in cases {
            let endpoint = Endpoint { base_url: base.to_owned(), api_key: Some(Secret::new("sk-12345")) };
            let client = Client::new(endpoint, Duration::from_secs(1)).expect("client");
            assert_eq!((client.chat_url().as_str(), client.messages_url().as_str()), (chat, messages));
            assert_eq!(client.mask("bad key sk-12345!"), "bad key ***!");
        }
        let endpoint = Endpoint { base_url: "no url".to_owned(), api_key: None };
        assert!(Client::new(endpoint, Duration::from_secs(1)).is_err());
    }
}
