//! Where a translated answer goes: server-sent events, or one document for `stream: false`.
//! The machine decides order; the sinks only write.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use gateway::usage::Tokens;

/// What kind of block is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind<'x> {
    /// Visible text.
    Text,
    /// Thinking.
    Thinking,
    /// A tool call with its identifier and the client's name of the tool.
    Tool(&'x str, &'x str),
}

/// The end of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Anthropic's `stop_reason`.
    pub reason: &'static str,
    /// The stop text that matched.
    pub sequence: Option<String>,
    /// The true counts.
    pub tokens: Tokens,
}

/// Receives an answer in Anthropic's order: start, blocks one after the other, end.
pub trait Sink {
    /// The first thing said.
    fn start(&mut self, id: &str, model: &str, input_estimate: u64);
    /// Opens a block.
    fn open(&mut self, index: u32, kind: BlockKind<'_>);
    /// Text of an open text block.
    fn text(&mut self, index: u32, text: &str);
    /// Text of an open thinking block.
    fn thinking(&mut self, index: u32, text: &str);
    /// The signature of an open thinking block.
    fn signature(&mut self, index: u32, signature: &str);
    /// A piece of the arguments of an open tool block.
    fn json(&mut self, index: u32, piece: &str);
    /// Closes a block.
    fn close(&mut self, index: u32);
    /// The last thing said.
    fn end(&mut self, end: &End);
}

/// Writes server-sent events.
#[derive(Debug, Default)]
pub struct Events {
    /// What was written and not taken.
    pub buf: Vec<u8>,
}

impl Events {
    fn put(&mut self, pieces: &[&str]) {
        for piece in pieces {
            self.buf.extend_from_slice(piece.as_bytes());
        }
    }

    fn string(&mut self, text: &str) {
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut self.buf, text);
    }

    fn number(&mut self, n: u64) {
        let mut digits = [0u8; 20];
        let mut at = digits.len();
        let mut n = n;
        loop {
            at -= 1;
            digits[at] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.buf.extend_from_slice(&digits[at..]);
    }

    fn delta(&mut self, index: u32, kind: &str, key: &str, text: &str) {
        self.put(&["event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"]);
        self.number(index.into());
        self.put(&[",\"delta\":{\"type\":\"", kind, "\",\"", key, "\":"]);
        self.string(text);
        self.put(&["}}\n\n"]);
    }

    /// A sign of life.
    pub fn ping(&mut self) {
        self.put(&["event: ping\ndata: {\"type\":\"ping\"}\n\n"]);
    }

    /// An error after the status was sent; nothing may follow it.
    pub fn error(&mut self, kind: &str, message: &str) {
        self.put(&["event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"]);
        self.string(kind);
        self.put(&[",\"message\":"]);
        self.string(message);
        self.put(&["}}\n\n"]);
    }

    fn counts(&mut self, tokens: &Tokens) {
        let fresh = fresh_input(tokens);
        self.put(&["{\"input_tokens\":"]);
        self.number(fresh);
        self.put(&[",\"cache_creation_input_tokens\":"]);
        self.number(tokens.cache_written.unwrap_or(0));
        self.put(&[",\"cache_read_input_tokens\":"]);
        self.number(tokens.cached.unwrap_or(0));
        self.put(&[",\"output_tokens\":"]);
        self.number(tokens.output.unwrap_or(0));
        self.put(&["}"]);
    }
}

/// Anthropic's `input_tokens` leaves out what came from the cache.
fn fresh_input(tokens: &Tokens) -> u64 {
    tokens.input.unwrap_or(0).saturating_sub(tokens.cached.unwrap_or(0))
}

impl Sink for Events {
    fn start(&mut self, id: &str, model: &str, input_estimate: u64) {
        self.put(&["event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":"]);
        self.string(id);
        self.put(&[",\"type\":\"message\",\"role\":\"assistant\",\"model\":"]);
        self.string(model);
        self.put(&[",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":"]);
        self.counts(&Tokens { input: Some(input_estimate), output: Some(1), ..Tokens::default() });
        self.put(&["}}\n\n"]);
    }

    fn open(&mut self, index: u32, kind: BlockKind<'_>) {
        self.put(&["event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":"]);
        self.number(index.into());
        match kind {
            BlockKind::Text => self.put(&[",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"]),
            BlockKind::Thinking => self.put(&[
                ",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}\n\n",
            ]),
            BlockKind::Tool(id, name) => {
                self.put(&[",\"content_block\":{\"type\":\"tool_use\",\"id\":"]);
                self.string(id);
                self.put(&[",\"name\":"]);
                self.string(name);
                self.put(&[",\"input\":{}}}\n\n"]);
            }
        }
    }

    fn text(&mut self, index: u32, text: &str) {
        self.delta(index, "text_delta", "text", text);
    }

    fn thinking(&mut self, index: u32, text: &str) {
        self.delta(index, "thinking_delta", "thinking", text);
    }

    fn signature(&mut self, index: u32, signature: &str) {
        self.delta(index, "signature_delta", "signature", signature);
    }

    fn json(&mut self, index: u32, piece: &str) {
        self.delta(index, "input_json_delta", "partial_json", piece);
    }

    fn close(&mut self, index: u32) {
        self.put(&["event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":"]);
        self.number(index.into());
        self.put(&["}\n\n"]);
    }

    fn end(&mut self, end: &End) {
        self.put(&["event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\""]);
        self.put(&[end.reason, "\",\"stop_sequence\":"]);
        match &end.sequence {
            Some(sequence) => self.string(sequence),
            None => self.put(&["null"]),
        }
        self.put(&["},\"usage\":"]);
        self.counts(&end.tokens);
        self.put(&["}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"]);
    }
}

/// Collects one message document.
#[derive(Debug, Default)]
pub struct Document {
    id: String,
    model: String,
    blocks: Vec<Collected>,
    end: Option<End>,
}

#[derive(Debug)]
enum Collected {
    Text(String),
    Thinking(String, String),
    Tool(String, String, String),
}

impl Document {
    /// The document.
    pub fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Message<'x> {
            id: &'x str,
            r#type: &'static str,
            role: &'static str,
            model: &'x str,
            content: Vec<Block<'x>>,
            stop_reason: Option<&'static str>,
            stop_sequence: Option<&'x str>,
            usage: Counts,
        }
        #[derive(Serialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        enum Block<'x> {
            Text { text: &'x str },
            Thinking { thinking: &'x str, signature: &'x str },
            ToolUse { id: &'x str, name: &'x str, input: Cow<'x, RawValue> },
        }
        #[derive(Serialize)]
        struct Counts {
            input_tokens: u64,
            cache_creation_input_tokens: u64,
            cache_read_input_tokens: u64,
            output_tokens: u64,
        }
        let content = self.blocks.iter().filter_map(|block| {
            Some(match block {
                Collected::Text(text) => Block::Text { text },
                Collected::Thinking(thinking, signature) => Block::Thinking { thinking, signature },
                Collected::Tool(id, name, input) => Block::ToolUse { id, name, input: parsed(input)? },
            })
        });
        let tokens = self.end.as_ref().map(|e| e.tokens).unwrap_or_default();
        let message = Message {
            id: &self.id,
            r#type: "message",
            role: "assistant",
            model: &self.model,
            content: content.collect(),
            stop_reason: self.end.as_ref().map(|e| e.reason),
            stop_sequence: self.end.as_ref().and_then(|e| e.sequence.as_deref()),
            usage: Counts {
                input_tokens: fresh_input(&tokens),
                cache_creation_input_tokens: tokens.cache_written.unwrap_or(0),
                cache_read_input_tokens: tokens.cached.unwrap_or(0),
                output_tokens: tokens.output.unwrap_or(0),
            },
        };
        // Strings, numbers and documents that were parsed: writing them cannot fail.
        serde_json::to_vec(&message).unwrap_or_default()
    }

    /// Whether it calls tools.
    pub fn has_calls(&self) -> bool {
        self.blocks.iter().any(|b| matches!(b, Collected::Tool(..)))
    }

    /// Anthropic's `stop_reason`; empty when the answer has not ended.
    pub fn stop_reason(&self) -> &'static str {
        self.end.as_ref().map_or("", |end| end.reason)
    }

    /// This text in place of all visible text.
    pub fn set_text(&mut self, text: String) {
        self.blocks.retain(|b| !matches!(b, Collected::Text(_)));
        self.blocks.push(Collected::Text(text));
    }

    /// Tells another sink what was collected, but for the start.
    pub fn replay(&self, sink: &mut impl Sink) {
        for (index, block) in (0..).zip(&self.blocks) {
            match block {
                Collected::Text(text) => {
                    sink.open(index, BlockKind::Text);
                    sink.text(index, text);
                }
                Collected::Thinking(thinking, signature) => {
                    sink.open(index, BlockKind::Thinking);
                    sink.thinking(index, thinking);
                    sink.signature(index, signature);
                }
                Collected::Tool(id, name, input) => {
                    sink.open(index, BlockKind::Tool(id, name));
                    if !input.is_empty() {
                        sink.json(index, input);
                    }
                }
            }
            sink.close(index);
        }
        if let Some(end) = &self.end {
            sink.end(end);
        }
    }

    /// All visible text.
    pub fn visible_text(&self) -> String {
        let texts = self.blocks.iter().filter_map(|b| match b {
            Collected::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// Arguments as an object, byte for byte; what is none is wrapped as Claude Code wraps it.
fn parsed(input: &str) -> Option<Cow<'_, RawValue>> {
    let input = if input.trim().is_empty() { "{}" } else { input };
    match serde_json::from_str::<&RawValue>(input) {
        Ok(raw) if raw.get().starts_with('{') => Some(Cow::Borrowed(raw)),
        _ => {
            let wrapped = serde_json::json!({"__unparsedToolInput": {"raw": input, "len": input.len()}});
            RawValue::from_string(wrapped.to_string()).ok().map(Cow::Owned)
        }
    }
}

impl Sink for Document {
    fn start(&mut self, id: &str, model: &str, _: u64) {
        self.id = id.to_owned();
        self.model = model.to_owned();
    }

    fn open(&mut self, _: u32, kind: BlockKind<'_>) {
        self.blocks.push(match kind {
            BlockKind::Text => Collected::Text(String::new()),
            BlockKind::Thinking => Collected::Thinking(String::new(), String::new()),
            BlockKind::Tool(id, name) => Collected::Tool(id.to_owned(), name.to_owned(), String::new()),
        });
    }

    fn text(&mut self, _: u32, piece: &str) {
        if let Some(Collected::Text(text)) = self.blocks.last_mut() {
            text.push_str(piece);
        }
    }

    fn thinking(&mut self, _: u32, piece: &str) {
        if let Some(Collected::Thinking(text, _)) = self.blocks.last_mut() {
            text.push_str(piece);
        }
    }

    fn signature(&mut self, _: u32, piece: &str) {
        if let Some(Collected::Thinking(_, signature)) = self.blocks.last_mut() {
            signature.push_str(piece);
        }
    }

    fn json(&mut self, _: u32, piece: &str) {
        if let Some(Collected::Tool(_, _, input)) = self.blocks.last_mut() {
            input.push_str(piece);
        }
    }

    fn close(&mut self, _: u32) {}

    fn end(&mut self, end: &End) {
        self.end = Some(end.clone());
    }
}

/// Either way in which an answer is written.
#[derive(Debug)]
pub enum Out {
    /// Events as they come.
    Events(Events),
    /// One document at the end.
    Document(Document),
}

macro_rules! both {
    ($self:ident, $sink:ident => $call:expr) => {
        match $self {
            Out::Events($sink) => $call,
            Out::Document($sink) => $call,
        }
    };
}

impl Out {
    /// Events, with room for some.
    pub fn events() -> Out {
        Out::Events(Events { buf: Vec::with_capacity(2048) })
    }
}

impl Sink for Out {
    fn start(&mut self, id: &str, model: &str, input_estimate: u64) {
        both!(self, s => s.start(id, model, input_estimate));
    }
    fn open(&mut self, index: u32, kind: BlockKind<'_>) {
        both!(self, s => s.open(index, kind));
    }
    fn text(&mut self, index: u32, text: &str) {
        both!(self, s => s.text(index, text));
    }
    fn thinking(&mut self, index: u32, text: &str) {
        both!(self, s => s.thinking(index, text));
    }
    fn signature(&mut self, index: u32, signature: &str) {
        both!(self, s => s.signature(index, signature));
    }
    fn json(&mut self, index: u32, piece: &str) {
        both!(self, s => s.json(index, piece));
    }
    fn close(&mut self, index: u32) {
        both!(self, s => s.close(index));
    }
    fn end(&mut self, end: &End) {
        both!(self, s => s.end(end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_keeps_the_bytes_of_arguments() {
        let cases = [
            (
                r#"{"n":12345678901234567890123,"b":1e400,"a":[]}"#,
                r#""input":{"n":12345678901234567890123,"b":1e400,"a":[]}"#,
            ),
            ("", r#""input":{}"#),
            ("{\"a\":", r#""input":{"__unparsedToolInput":{"len":5,"raw":"{\"a\":"}}"#),
            ("[1]", r#""input":{"__unparsedToolInput":{"len":3,"raw":"[1]"}}"#),
        ];
        for (arguments, expected) in cases {
            let mut document = Document::default();
            document.start("msg_1", "m", 1);
            document.open(0, BlockKind::Tool("t", "T"));
            document.json(0, arguments);
            document.close(0);
            document.end(&End { reason: "tool_use", sequence: None, tokens: Tokens::default() });
            let written = String::from_utf8(document.to_json()).expect("UTF-8");
            assert!(written.contains(expected), "{written}");
        }
    }
}
