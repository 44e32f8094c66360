//! An adapter in front of a scripted gateway, and a strict reader of what comes out.

use std::time::Duration;

use adapter::{Adapter, Options};
use config::{Config, Endpoint, Secret};
use gateway::Tuning;
use gateway::retry::Policy;
use serde_json::{Value, json};
pub use test_support::http::{Reply, Seen, Step, Upstream};

pub const TOKEN: &str = "test-token-1234";
pub const KEY: &str = "sk-upstream-secret";

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
            purse: None,
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

    /// Forgets outages: no case depends on another.
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
