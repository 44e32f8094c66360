//! One gateway: its addresses, headers, time-outs, proxies and certificates. It decides
//! nothing; `retry` does.

use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue};
use url::Url;

use config::Endpoint;
use model::error::{Error, Kind, Result};

use crate::exchange::{Failed, Outgoing};
use crate::retry::Failure;

/// A list of models is read up to here: some gateways have hundreds.
const MODELS_MAX: usize = 8 << 20;

/// An HTTP client for one endpoint.
#[derive(Clone, Debug)]
pub struct Upstream {
    http: reqwest::Client,
    endpoint: Endpoint,
    base: Url,
    host: String,
}

/// The proxies of an environment in which one has a password. Such variables do not stay in
/// the environment of this process; without one the HTTP client finds them by itself.
fn proxies(env: &config::Env) -> Vec<reqwest::Proxy> {
    let get = |name: &str| env.get(name).or_else(|| env.get(&name.to_ascii_lowercase()));
    let named = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"].map(|name| (name, get(name)));
    if !named.iter().any(|(_, value)| value.is_some_and(|value| value.contains('@'))) {
        return Vec::new();
    }
    let except = get("NO_PROXY").and_then(reqwest::NoProxy::from_string);
    let proxies = named.into_iter().filter_map(|(name, value)| {
        let url = value?;
        let proxy = match name {
            "HTTPS_PROXY" => reqwest::Proxy::https(url),
            "HTTP_PROXY" => reqwest::Proxy::http(url),
            _ => reqwest::Proxy::all(url),
        };
        Some(proxy.ok()?.no_proxy(except.clone()))
    });
    proxies.collect()
}

impl Upstream {
    /// A client with its own connection pool. Proxy variables and the system's certificates
    /// are honoured (`HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE`).
    pub fn new(endpoint: Endpoint, connect_timeout: Duration) -> Result<Self> {
        let wrong = |why: String| {
            Error::new(Kind::Config, format!("the gateway URL {:?} is wrong: {why}", endpoint.base_url))
                .hint("set ONEAPI_BASE_URL to a URL such as https://gateway.example/v1")
        };
        let mut base = Url::parse(&endpoint.base_url).map_err(|error| wrong(error.to_string()))?;
        // A fragment is the browser's affair.
        base.set_fragment(None);
        let host = match (base.host_str(), base.port()) {
            (None, _) => return Err(wrong("it names no host".to_owned())),
            (Some(host), None) => host.to_owned(),
            (Some(host), Some(port)) => format!("{host}:{port}"),
        };
        // Somebody else may have installed one: any will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("codex-worker/", env!("CARGO_PKG_VERSION")))
            .tcp_nodelay(true)
            .connect_timeout(connect_timeout)
            .pool_idle_timeout(Duration::from_secs(55))
            // A redirect would take the key to another host.
            .redirect(reqwest::redirect::Policy::none());
        let loopback = endpoint.is_loopback();
        if loopback {
            builder = builder.no_proxy();
        } else {
            for proxy in proxies(&config::Env::of_this_process()) {
                builder = builder.proxy(proxy);
            }
        }
        if base.scheme() == "http" && loopback {
            // Reading the system's certificates takes longer than starting does.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| {
            Error::new(Kind::Environment, format!("the HTTP client could not be made: {}", chain(&error)))
                .hint("check SSL_CERT_FILE and the proxy variables")
        })?;
        Ok(Upstream { http, endpoint, base, host })
    }

    /// The endpoint's base URL as configured.
    pub fn base_url(&self) -> &str {
        &self.endpoint.base_url
    }

    /// The endpoint's host and port, for rows and messages.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where chat completions are asked for. The base address's query stays (Azure's
    /// `api-version`).
    pub fn chat_url(&self) -> Url {
        let path = self.base.path().trim_end_matches('/');
        match path {
            "" => self.at("/v1/chat/completions".to_owned()),
            path if path.ends_with("/chat/completions") => self.at(path.to_owned()),
            path => self.at(format!("{path}/chat/completions")),
        }
    }

    /// Where Anthropic messages are sent on.
    pub fn messages_url(&self) -> Url {
        let path = self.base.path().trim_end_matches('/');
        match path {
            path if path.ends_with("/v1/messages") => self.at(path.to_owned()),
            path if path.ends_with("/v1") => self.at(format!("{path}/messages")),
            path => self.at(format!("{path}/v1/messages")),
        }
    }

    /// Where the gateway lists its models.
    fn models_url(&self) -> Url {
        let chat = self.chat_url();
        let path = chat.path().trim_end_matches("/chat/completions").to_owned();
        self.at(format!("{path}/models"))
    }

    /// Asks for the list of models: the status, and the names where there is a list. Any status
    /// means that something answers at the address.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn models(&self, limit: Duration) -> std::result::Result<(u16, Vec<String>), Failed> {
        let mut request = self.http.get(self.models_url()).timeout(limit);
        if let Some(key) = &self.endpoint.api_key {
            request = request.bearer_auth(key.expose());
        }
        let response = request.send().await.map_err(|error| {
            let why = chain(&error.without_url());
            Failed::new(Failure::Connect, format!("{} cannot be reached: {why}", self.host))
        })?;
        let status = response.status().as_u16();
        let body = crate::exchange::read_limited(response, MODELS_MAX).await.unwrap_or_default();
        let list: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let names = list["data"].as_array().into_iter().flatten().filter_map(|model| model["id"].as_str());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        Ok((status, names))
    }

    fn at(&self, path: String) -> Url {
        let mut url = self.base.clone();
        url.set_path(&path);
        url
    }

    /// Sends a JSON document; gives the answer when its status line is there.
    pub(crate) async fn post(&self, outgoing: Outgoing) -> std::result::Result<reqwest::Response, Failed> {
        let mut headers = outgoing.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Compression would hold events back; what comes compressed all the same is decoded.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut request = self.http.post(outgoing.url).headers(headers).body(outgoing.body);
        if let Some(key) = &self.endpoint.api_key {
            request = request.bearer_auth(key.expose());
            for name in outgoing.key_headers {
                request = request.header(name, key.expose());
            }
        }
        request.send().await.map_err(|error| {
            let why = chain(&error.without_url());
            let message = self.mask(&format!("{} could not be reached: {why}", self.host()));
            Failed::new(Failure::Connect, message)
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
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        if !out.contains(&message) {
            out.push_str(": ");
            out.push_str(&message);
        }
        source = cause.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::Secret;

    fn upstream(base_url: &str) -> Result<Upstream> {
        let endpoint = Endpoint { base_url: base_url.to_owned(), api_key: Some(Secret::new("sk-12345")) };
        Upstream::new(endpoint, Duration::from_secs(1))
    }

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
            (
                "https://r.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
                "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21",
                "https://r.openai.azure.com/openai/deployments/d/v1/messages?api-version=2024-10-21",
            ),
            (
                "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=1",
                "https://r.openai.azure.com/openai/deployments/d/chat/completions?api-version=1",
                "https://r.openai.azure.com/openai/deployments/d/chat/completions/v1/messages?api-version=1",
            ),
            (
                "https://a.example?key=1&x=a/b",
                "https://a.example/v1/chat/completions?key=1&x=a/b",
                "https://a.example/v1/messages?key=1&x=a/b",
            ),
            (
                "https://a.example/v1/#top",
                "https://a.example/v1/chat/completions",
                "https://a.example/v1/messages",
            ),
            (
                "https://a.example/v1/messages",
                "https://a.example/v1/messages/chat/completions",
                "https://a.example/v1/messages",
            ),
            (
                "https://user:pw@a.example:8443/a%20b/v1",
                "https://user:pw@a.example:8443/a%20b/v1/chat/completions",
                "https://user:pw@a.example:8443/a%20b/v1/messages",
            ),
        ];
        for (base, chat, messages) in cases {
            let upstream = upstream(base).expect(base);
            assert_eq!((upstream.chat_url().as_str(), upstream.messages_url().as_str()), (chat, messages));
            assert_eq!(upstream.mask("bad key sk-12345!"), "bad key ***!");
        }
        for wrong in ["no url", "mailto:a@b.example", "https://"] {
            assert!(upstream(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts() {
        for (base, host) in [
            ("https://user:pw@a.example:8443/v1", "a.example:8443"),
            ("https://a.example?x=1", "a.example"),
            ("http://[::1]:80/v1", "[::1]"),
            ("http://127.0.0.1:9/v1", "127.0.0.1:9"),
        ] {
            assert_eq!(upstream(base).expect(base).host(), host);
        }
    }
}
