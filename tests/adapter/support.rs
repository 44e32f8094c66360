//! A scripted gateway, an adapter in front of it, and a strict reader of what comes out.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use adapter::gateway::Tuning;
use adapter::gateway::retry::Policy;
use adapter::{Adapter, Options};
use config::{Config, Endpoint, Secret};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

pub const TOKEN: &str = "test-token-1234";
pub const KEY: &str = "sk-upstream-secret";

/// One step of a scripted answer's body.
#[derive(Clone, Debug)]
pub enum Step {
    Bytes(Vec<u8>),
    Wait(Duration),
    /// The connection is closed in the middle.
    Abort,
}

/// A scripted answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub steps: Vec<Step>,
    /// Before the status line.
    pub delay: Duration,
    /// The steps are all that is sent, head included; then the connection is closed.
    pub raw: bool,
}

impl Reply {
    pub fn sse(body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status: 200,
            headers: vec![("content-type".into(), "text/event-stream".into())],
            steps: vec![Step::Bytes(body.into())],
            delay: Duration::ZERO,
            raw: false,
        }
    }

    pub fn json(status: u16, body: &str) -> Reply {
        Reply {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            steps: vec![Step::Bytes(body.into())],
            delay: Duration::ZERO,
            raw: false,
        }
    }

    pub fn raw(whole: impl Into<Vec<u8>>) -> Reply {
        Reply { raw: true, ..Reply::sse(whole) }
    }

    pub fn steps(mut self, more: Vec<Step>) -> Reply {
        self.steps.extend(more);
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// A request as the gateway saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub path: String,
    pub head: String,
    pub body: Value,
    pub raw: String,
}

type Script = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

/// The scripted gateway. Runs on the test's runtime and dies with it.
#[derive(Clone)]
pub struct Upstream {
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    gone: Arc<Mutex<Vec<Instant>>>,
}

impl Upstream {
    pub async fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}/v1", listener.local_addr().expect("address"));
        let upstream = Upstream { url, seen: Arc::default(), gone: Arc::default() };
        upstream.clone().accept(listener, script, None);
        upstream
    }

    /// The same with TLS, under the name `localhost`.
    pub async fn start_tls(
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
        tls: tokio_rustls::TlsAcceptor,
    ) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("https://localhost:{}/v1", listener.local_addr().expect("address").port());
        let upstream = Upstream { url, seen: Arc::default(), gone: Arc::default() };
        upstream.clone().accept(listener, script, Some(tls));
        upstream
    }

    fn accept(
        self,
        listener: TcpListener,
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) {
        let script: Arc<Script> = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (script, seen, gone) =
                    (Arc::clone(&script), Arc::clone(&self.seen), Arc::clone(&self.gone));
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => drop(serve(stream, script, seen, gone).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(serve(stream, script, seen, gone).await);
                            }
                        }
                    }
                });
            }
        });
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("lock").clone()
    }

    /// When connections were closed by the other side in the middle of an answer.
    pub fn gone(&self) -> Vec<Instant> {
        self.gone.lock().expect("lock").clone()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Seen>>>,
    gone: Arc<Mutex<Vec<Instant>>>,
) -> std::io::Result<()> {
    loop {
        let mut buffer = Vec::new();
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).to_ascii_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
        let length: usize = length.unwrap_or(0);
        while buffer.len() < head_end + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let raw = String::from_utf8_lossy(&buffer[head_end..]).into_owned();
        let path = head.split(' ').nth(1).unwrap_or("").to_owned();
        let request = Seen { path, head, body: serde_json::from_str(&raw).unwrap_or(Value::Null), raw };
        let number = {
            let mut seen = seen.lock().expect("lock");
            seen.push(request.clone());
            seen.len() - 1
        };
        let reply = script(number, &request);
        if let Err(error) = answer(&mut stream, &reply).await {
            gone.lock().expect("lock").push(Instant::now());
            return Err(error);
        }
        if reply.raw || reply.steps.iter().any(|s| matches!(s, Step::Abort)) {
            return Ok(());
        }
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, reply: &Reply) -> std::io::Result<()> {
    tokio::time::sleep(reply.delay).await;
    let mut head = format!("HTTP/1.1 {} X\r\ntransfer-encoding: chunked\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    if !reply.raw {
        stream.write_all(head.as_bytes()).await?;
    }
    for step in &reply.steps {
        match step {
            Step::Bytes(bytes) if bytes.is_empty() => {}
            Step::Bytes(bytes) if reply.raw => stream.write_all(bytes).await?,
            Step::Bytes(bytes) => {
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.extend_from_slice(bytes);
                chunk.extend_from_slice(b"\r\n");
                stream.write_all(&chunk).await?;
            }
            Step::Wait(pause) => {
                let mut byte = [0u8; 1];
                // The other side sends nothing now: a read that ends is a close.
                if let Ok(read) = tokio::time::timeout(*pause, stream.read(&mut byte)).await {
                    read?;
                    return Err(std::io::ErrorKind::ConnectionReset.into());
                }
            }
            Step::Abort => return Ok(()),
        }
    }
    if reply.raw {
        return stream.shutdown().await;
    }
    stream.write_all(b"0\r\n\r\n").await
}

/// Short times, so that failures take milliseconds.
pub fn quick() -> Tuning {
    let ms = Duration::from_millis;
    Tuning {
        retry: Policy { tries: 3, base: ms(10), cap: ms(1500), budget: ms(4000) },
        connect: ms(2000),
        headers: ms(2500),
        idle: ms(1500),
        ping: ms(300),
        grace: ms(200),
        alone: ms(100),
    }
}

/// An adapter with a client.
pub struct Rig {
    pub adapter: Adapter,
    pub upstream: Upstream,
    pub home: tempfile::TempDir,
    http: reqwest::Client,
}

impl Rig {
    pub async fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Rig {
        Rig::with(script, |_| {}).await
    }

    pub async fn with(
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
        change: impl FnOnce(&mut Config),
    ) -> Rig {
        let upstream = Upstream::start(script).await;
        let home = tempfile::tempdir().expect("temporary directory");
        let mut config = Config::for_tests(&home.path().join("state"));
        let api_key = Some(Secret::new(KEY));
        config.gateway.primary = Some(Endpoint { base_url: upstream.url.clone(), api_key });
        change(&mut config);
        let options = Options {
            listen: "127.0.0.1:0".parse().expect("address"),
            token: Secret::new(TOKEN),
            job: Some("job-1".to_owned()),
            model: None,
        };
        let adapter = Adapter::start_with(&config, options, quick()).await.expect("adapter starts");
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("client");
        Rig { adapter, upstream, home, http }
    }

    pub fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.adapter.base_url())).bearer_auth(TOKEN)
    }

    pub async fn post(&self, body: &Value) -> Got {
        Got::of(self.request("/v1/messages").body(body.to_string()).send().await.expect("adapter answers"))
            .await
    }

    /// Forgets outages: each case stands for itself.
    pub fn close_breakers(&self) {
        let _ = std::fs::remove_dir_all(self.home.path().join("state/gateways"));
    }

    /// The usage rows.
    pub fn rows(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.home.path().join("state/metrics.jsonl")).unwrap_or_default();
        text.lines().map(|l| serde_json::from_str(l).expect(l)).collect()
    }
}

/// What the client got.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Got {
    pub async fn of(response: reqwest::Response) -> Got {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap_or_else(|e| format!("(transport error: {e})"));
        Got { status, headers, text }
    }

    /// One line that says everything; see [`render_events`].
    pub fn render(&self) -> String {
        if self.status != 200 {
            let body: Value = serde_json::from_str(&self.text).unwrap_or(Value::Null);
            assert_eq!(body["type"], "error", "an error document: {}", self.text);
            return format!("{} {}", self.status, error_line(&body));
        }
        let is_stream =
            self.headers["content-type"].to_str().is_ok_and(|c| c.starts_with("text/event-stream"));
        if is_stream {
            render_events(&self.text).unwrap_or_else(|e| panic!("{e}\n{}", self.text))
        } else {
            render_message(&serde_json::from_str(&self.text).expect("a document"))
        }
    }
}

fn error_line(body: &Value) -> String {
    format!(
        "{}: {}",
        body["error"]["type"].as_str().unwrap_or("?"),
        body["error"]["message"].as_str().unwrap_or("?")
    )
}

/// Events of a stream.
pub fn events(text: &str) -> Vec<Value> {
    let mut out = Vec::new();
    for event in text.split("\n\n").filter(|e| !e.is_empty()) {
        let (name, data) = event.split_once('\n').expect("two lines");
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("JSON");
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str(), "{event}");
        out.push(data);
    }
    out
}

/// Checks the strict order and gives one line: blocks, then the end.
pub fn render_events(text: &str) -> Result<String, String> {
    let mut out = Vec::new();
    let mut open: Option<(u64, String, String, bool)> = None;
    let (mut next, mut started, mut delta_seen, mut stopped) = (0, false, false, false);
    let mut ids = std::collections::HashSet::new();
    for event in events(text) {
        let kind = event["type"].as_str().unwrap_or("").to_owned();
        if stopped {
            return Err(format!("{kind} after the end"));
        }
        let at = event["index"].as_u64();
        match kind.as_str() {
            "ping" => {}
            "message_start" => {
                let message = &event["message"];
                let shape = message["content"].is_array()
                    && message["usage"]["input_tokens"].is_u64()
                    && message["usage"]["output_tokens"].is_u64()
                    && message["role"] == "assistant"
                    && message["stop_reason"].is_null();
                if std::mem::replace(&mut started, true) || !shape {
                    return Err("a second or malformed message_start".into());
                }
            }
            "content_block_start" => {
                if !started || open.is_some() || at != Some(next) || delta_seen {
                    return Err(format!("block {at:?} out of order"));
                }
                let block = &event["content_block"];
                let label = match block["type"].as_str() {
                    Some("text") if block["text"] == "" => "text ".to_owned(),
                    Some("thinking") if block["thinking"] == "" => "think ".to_owned(),
                    Some("tool_use") if block["input"] == json!({}) => {
                        if !ids.insert(block["id"].as_str().ok_or("no id")?.to_owned()) {
                            return Err("a tool id twice".into());
                        }
                        format!("{} ", block["name"].as_str().ok_or("no name")?)
                    }
                    _ => return Err(format!("malformed block {block}")),
                };
                open = Some((next, label, String::new(), false));
                next += 1;
            }
            "content_block_delta" => {
                let (index, label, body, signed) = open.as_mut().ok_or("a delta without a block")?;
                if at != Some(*index) {
                    return Err("a delta for another block".into());
                }
                let delta = &event["delta"];
                let (key, fits) = match delta["type"].as_str().unwrap_or("") {
                    "text_delta" => ("text", label == "text "),
                    "thinking_delta" => ("thinking", label == "think " && !*signed),
                    "signature_delta" => {
                        *signed = true;
                        ("signature", label == "think ")
                    }
                    "input_json_delta" => ("partial_json", label != "text " && label != "think "),
                    other => return Err(format!("unknown delta {other}")),
                };
                let piece = delta[key].as_str().ok_or("a delta that is not a string")?;
                if !fits || piece.is_empty() {
                    return Err(format!("{delta} in block {label:?}"));
                }
                if key != "signature" {
                    body.push_str(piece);
                }
            }
            "content_block_stop" => {
                let (index, label, body, signed) = open.take().ok_or("a stop without a block")?;
                if at != Some(index) || (label == "think " && !signed) {
                    return Err(format!("block {index} stopped wrongly"));
                }
                out.push(format!("{label}{body:?}"));
            }
            "message_delta" => {
                if open.is_some() || std::mem::replace(&mut delta_seen, true) || !started {
                    return Err("message_delta out of order".into());
                }
                out.push(end_line(&event["delta"], &event["usage"]));
            }
            "message_stop" if delta_seen => stopped = true,
            "error" => {
                if let Some((_, label, body, _)) = open.take() {
                    out.push(format!("{label}{body:?}…"));
                }
                out.push(format!("!! {}", error_line(&event)));
                stopped = true;
            }
            other => return Err(format!("{other} is not expected here")),
        }
    }
    if !stopped {
        return Err("the stream has no end".into());
    }
    Ok(out.join(" | "))
}

fn end_line(delta: &Value, usage: &Value) -> String {
    let sequence = delta["stop_sequence"].as_str().map(|s| format!("({s})")).unwrap_or_default();
    format!(
        "=> {}{sequence} {}+{}/{}",
        delta["stop_reason"].as_str().unwrap_or("null"),
        usage["input_tokens"],
        usage["cache_read_input_tokens"],
        usage["output_tokens"]
    )
}

/// The same line for a document.
pub fn render_message(message: &Value) -> String {
    assert_eq!((&message["type"], &message["role"]), (&json!("message"), &json!("assistant")), "{message}");
    let mut out = Vec::new();
    let mut ids = std::collections::HashSet::new();
    for block in message["content"].as_array().expect("content") {
        out.push(match block["type"].as_str().expect("type") {
            "text" => format!("text {:?}", block["text"].as_str().expect("text")),
            "thinking" => {
                assert_ne!(block["signature"], "", "signed");
                format!("think {:?}", block["thinking"].as_str().expect("thinking"))
            }
            _ => {
                assert!(ids.insert(block["id"].as_str().expect("id").to_owned()), "ids are unique");
                assert!(block["input"].is_object(), "{block}");
                let input = match &block["input"]["__unparsedToolInput"]["raw"] {
                    Value::String(raw) => raw.clone(),
                    _ if block["input"] == json!({}) => String::new(),
                    _ => block["input"].to_string(),
                };
                format!("{} {input:?}", block["name"].as_str().expect("name"))
            }
        });
    }
    out.push(end_line(message, &message["usage"]));
    out.join(" | ")
}

/// A request with two tools.
pub fn request(model: &str, stream: bool) -> Value {
    json!({
        "model": model, "max_tokens": 1000, "stream": stream,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [
            {"name": "Bash", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}, "n": {"type": "integer"}}}},
            {"name": "Read", "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}}},
        ],
    })
}
