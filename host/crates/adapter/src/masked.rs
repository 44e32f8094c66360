//! Known secrets in what a gateway sends back: neither the agent nor its conversation on disk
//! ever has them. Pieces of a secret in several events are found too; tool arguments stay JSON.

use serde_json::Value;

use config::Config;
use redact::{Masker, Redactor};

use super::sink::{BlockKind, End, Sink};

/// A secret of the environment that is shorter may be a word of the user's own code, which
/// must come back from the model as it is.
const SURE: usize = 16;

/// The secrets that are certainly secrets: the gateways' keys and passwords, and long values of
/// the environment that are no words.
pub fn certain_secrets(config: &Config) -> Redactor {
    let endpoints = [&config.gateway.primary, &config.gateway.fallback];
    let keys =
        endpoints.into_iter().flatten().filter_map(|e| Some(("gateway-key".to_owned(), e.api_key.clone()?)));
    let sure = |value: &str| {
        let has = |test: fn(char) -> bool| value.chars().any(test);
        value.len() >= SURE
            && has(|c| c.is_ascii_digit())
            && has(char::is_alphabetic)
            && !has(char::is_whitespace)
    };
    let configured = |value: &str| endpoints.into_iter().flatten().any(|e| e.base_url.contains(value));
    let known = config.known_secrets.iter().filter(|(_, secret)| {
        let value = secret.expose();
        sure(value) || (value.len() >= 6 && configured(value))
    });
    // The name that the configuration gives is the better one.
    let mut secrets: Vec<_> = known.cloned().collect();
    for (name, key) in keys {
        if !secrets.iter().any(|(_, known)| known.expose() == key.expose()) {
            secrets.push((name, key));
        }
    }
    Redactor::new(secrets, None)
}

/// A sink behind which no known secret gets.
#[derive(Debug)]
pub struct Masked<S> {
    inner: S,
    redactor: Option<Redactor>,
    /// What the open block is masked with.
    masker: Option<Masker>,
    /// How the open block is written to.
    channel: fn(&mut S, u32, &str),
}

impl<S: Sink> Masked<S> {
    /// Masks, then passes on to `inner`.
    pub fn new(inner: S, redactor: &Redactor) -> Self {
        let redactor = redactor.knows_secrets().then(|| redactor.clone());
        Masked { inner, redactor, masker: None, channel: S::text }
    }

    /// What is behind the masks.
    pub fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// What is behind the masks.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn piece(&mut self, index: u32, piece: &str) {
        match &mut self.masker {
            None => (self.channel)(&mut self.inner, index, piece),
            Some(masker) => {
                let masked = masker.push(piece);
                if !masked.is_empty() {
                    (self.channel)(&mut self.inner, index, &masked);
                }
            }
        }
    }

    /// Gives out what waits for the rest of a secret that does not come.
    fn flush(&mut self, index: u32) {
        let rest = self.masker.as_mut().map(Masker::finish).unwrap_or_default();
        if !rest.is_empty() {
            (self.channel)(&mut self.inner, index, &rest);
        }
    }
}

impl<S: Sink> Sink for Masked<S> {
    fn start(&mut self, id: &str, model: &str, input_estimate: u64) {
        self.inner.start(id, model, input_estimate);
    }

    fn open(&mut self, index: u32, kind: BlockKind<'_>) {
        self.channel = match kind {
            BlockKind::Text => S::text,
            BlockKind::Thinking => S::thinking,
            BlockKind::Tool(..) => S::json,
        };
        let Some(redactor) = &self.redactor else { return self.inner.open(index, kind) };
        self.masker = Some(redactor.masker(matches!(kind, BlockKind::Tool(..))));
        match kind {
            BlockKind::Tool(id, name) => {
                let (id, name) = (redactor.known_secrets_only(id), redactor.known_secrets_only(name));
                self.inner.open(index, BlockKind::Tool(&id, &name));
            }
            other => self.inner.open(index, other),
        }
    }

    fn text(&mut self, index: u32, text: &str) {
        self.piece(index, text);
    }

    fn thinking(&mut self, index: u32, text: &str) {
        self.piece(index, text);
    }

    fn signature(&mut self, index: u32, signature: &str) {
        self.flush(index);
        self.inner.signature(index, signature);
    }

    fn json(&mut self, index: u32, piece: &str) {
        self.piece(index, piece);
    }

    fn close(&mut self, index: u32) {
        self.flush(index);
        self.inner.close(index);
    }

    fn end(&mut self, end: &End) {
        self.inner.end(end);
    }
}

/// The events of a gateway that speaks Anthropic itself, byte for byte but for secrets.
#[derive(Debug)]
pub struct MaskedEvents {
    redactor: Option<Redactor>,
    /// An event whose end has not come.
    held: Vec<u8>,
    /// The open block: its index, the key of its text in a delta, and its masker.
    open: Option<(Value, &'static str, Masker)>,
}

impl MaskedEvents {
    /// Masks the secrets that `redactor` knows.
    pub fn new(redactor: &Redactor) -> Self {
        let redactor = redactor.knows_secrets().then(|| redactor.clone());
        MaskedEvents { redactor, held: Vec::new(), open: None }
    }

    /// Takes bytes and adds the events that are complete to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.redactor.is_none() {
            return out.extend_from_slice(bytes);
        }
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        while let Some(length) = event_length(rest) {
            let (event, after) = rest.split_at(length);
            self.event(event, out);
            rest = after;
        }
        self.held = rest.to_vec();
    }

    /// Adds what is left.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.event(&held, out);
        }
    }

    fn event(&mut self, event: &[u8], out: &mut Vec<u8>) {
        let Some(redactor) = &self.redactor else { return out.extend_from_slice(event) };
        let text = String::from_utf8_lossy(event);
        let data: String = text.lines().filter_map(|line| line.strip_prefix("data:")).collect();
        let Ok(mut value) = serde_json::from_str::<Value>(&data) else {
            return out.extend_from_slice(redactor.known_secrets_only(&text).as_bytes());
        };
        match value["type"].as_str() {
            Some("content_block_delta") => {
                if let Some(changed) = self.delta(&mut value) {
                    return if changed { write(&value, out) } else { out.extend_from_slice(event) };
                }
            }
            Some("content_block_stop") => self.flush(out),
            Some("content_block_start") => self.open = None,
            _ => {}
        }
        let Some(redactor) = &self.redactor else { return };
        let masked = redactor.known_secrets_in_json(&data);
        match serde_json::from_str::<Value>(&masked) {
            Ok(value) if masked != data => write(&value, out),
            _ => out.extend_from_slice(event),
        }
    }

    /// Masks a delta; says whether that changed it, and nothing when it carries no text.
    fn delta(&mut self, value: &mut Value) -> Option<bool> {
        let key = match value["delta"]["type"].as_str()? {
            "text_delta" => "text",
            "thinking_delta" => "thinking",
            "input_json_delta" => "partial_json",
            _ => return None,
        };
        let redactor = self.redactor.as_ref()?;
        let index = value["index"].clone();
        let same = self.open.as_ref().is_some_and(|(open, of, _)| *open == index && *of == key);
        if !same {
            self.open = Some((index, key, redactor.masker(key == "partial_json")));
        }
        let (_, _, masker) = self.open.as_mut()?;
        let piece = value["delta"][key].as_str()?;
        let masked = masker.push(piece).into_owned();
        let changed = masked != piece;
        value["delta"][key] = masked.into();
        Some(changed)
    }

    /// Before a block is closed: what waits for the rest of a secret.
    fn flush(&mut self, out: &mut Vec<u8>) {
        let Some((index, key, mut masker)) = self.open.take() else { return };
        let rest = masker.finish();
        if rest.is_empty() {
            return;
        }
        let kind = match key {
            "partial_json" => "input_json_delta",
            "thinking" => "thinking_delta",
            _ => "text_delta",
        };
        let delta = serde_json::json!({"type": kind, key: rest});
        write(&serde_json::json!({"type": "content_block_delta", "index": index, "delta": delta}), out);
    }
}

fn write(event: &Value, out: &mut Vec<u8>) {
    let kind = event["type"].as_str().unwrap_or("message");
    out.extend_from_slice(format!("event: {kind}\ndata: {event}\n\n").as_bytes());
}

/// The length of the first event, its blank line included.
fn event_length(bytes: &[u8]) -> Option<usize> {
    let ends: [&[u8]; 3] = [b"\n\n", b"\r\n\r\n", b"\r\r"];
    let end = |blank: &[u8]| {
        let at = bytes.windows(blank.len()).position(|window| window == blank)?;
        Some(at + blank.len())
    };
    ends.into_iter().filter_map(end).min()
}
