//! The conversation of a request, turn by turn, with the repairs that gateways insist on:
//! every tool call is followed at once by its result, in call order; what has no result gets
//! one; a result without a call becomes text; nothing is empty.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine;

use super::anthropic::{Block, Content, Source};
use super::lenient::str_of;
use super::names;
use super::openai::{Body, Call, Message, Part};
use super::profiles::Replay;
use super::translate::{Context, Role, join, later_system};

/// In place of the result of a call that has none.
const NO_RESULT: &str = "[no result: the tool call was interrupted]";
/// In place of an empty result, which some gateways refuse.
const NO_OUTPUT: &str = "(no output)";
/// In place of thinking that a gateway insists on and the client no longer has.
const NO_THINKING: &str = "(no reasoning was recorded for this step)";
/// Gemini takes this for a signature that was lost.
const NO_SIGNATURE: &str = r#"{"google":{"thought_signature":"skip_thought_signature_validator"}}"#;

/// A call that waits for its result.
struct Waiting<'a> {
    /// The client's identifier.
    client_id: &'a str,
    /// The identifier that was sent.
    sent_id: String,
    result: Option<Cow<'a, str>>,
}

/// Collects messages in order.
pub struct Turns<'a, 'c> {
    cx: &'c Context<'c>,
    thinks: bool,
    out: Vec<Message<'a>>,
    waiting: Vec<Waiting<'a>>,
    /// What came between a call and the end of its results.
    after: Vec<Message<'a>>,
}

impl<'a, 'c: 'a> Turns<'a, 'c> {
    /// An empty conversation.
    pub fn new(cx: &'c Context<'c>, thinks: bool) -> Self {
        Turns { cx, thinks, out: Vec::new(), waiting: Vec::new(), after: Vec::new() }
    }

    /// The first system text.
    pub fn system(&mut self, text: Cow<'a, str>) {
        self.add(Message { role: "system", content: Body::Text(text), ..Message::default() });
    }

    /// A system text in the middle.
    pub fn later_system(&mut self, text: Cow<'a, str>) {
        let message = later_system(text, self.cx);
        self.add(message);
    }

    fn add(&mut self, message: Message<'a>) {
        if self.waiting.is_empty() {
            self.out.push(message);
        } else {
            self.after.push(message);
        }
    }

    /// A user entry: results first, then the rest.
    pub fn user(&mut self, content: &'a Content<'a>) {
        let blocks = match content {
            Content::Text(text) => {
                if !text.is_empty() {
                    self.add(user_text(Cow::Borrowed(text.as_str())));
                }
                return;
            }
            Content::Blocks(blocks) => blocks,
        };
        let mut parts = Vec::new();
        for block in blocks {
            if block.kind.as_str() == "tool_result" {
                self.result(block, &mut parts);
            } else {
                self.part(block, &mut parts);
            }
        }
        if let Some(content) = body_of(parts) {
            self.add(Message { role: "user", content, ..Message::default() });
        }
    }

    fn result(&mut self, block: &'a Block<'a>, parts: &mut Vec<Part<'a>>) {
        let id = str_of(&block.tool_use_id);
        let mut images = Vec::new();
        let text = self.result_text(block, &mut images);
        let open = self.waiting.iter_mut().find(|w| w.client_id == id && w.result.is_none());
        match open {
            Some(waiting) => {
                waiting.result = Some(text);
                if !images.is_empty() {
                    let label = format!("From the result of tool call {}:", waiting.sent_id);
                    let mut with_label = vec![Part::Text(Cow::Owned(label))];
                    with_label.append(&mut images);
                    self.after.push(Message {
                        role: "user",
                        content: Body::Parts(with_label),
                        ..Message::default()
                    });
                }
            }
            None => {
                parts.push(Part::Text(Cow::Owned(format!("[result of an earlier tool call {id}]\n{text}"))));
                parts.append(&mut images);
            }
        }
    }

    fn result_text(&self, block: &'a Block<'a>, images: &mut Vec<Part<'a>>) -> Cow<'a, str> {
        let mut inner = Vec::new();
        match &block.content {
            None => {}
            Some(Content::Text(text)) => inner.push(Part::Text(Cow::Borrowed(text.as_str()))),
            Some(Content::Blocks(blocks)) => blocks.iter().for_each(|b| self.part(b, &mut inner)),
        }
        let mut pieces: Vec<Cow<'a, str>> = Vec::new();
        for part in inner {
            match part {
                Part::Text(text) => pieces.push(text),
                Part::File(..) => {
                    pieces.push(Cow::Borrowed("[document: see the user message that follows]"));
                    images.push(part);
                }
                Part::Image(_) | Part::ImageData(..) => {
                    pieces.push(Cow::Borrowed("[image: see the user message that follows]"));
                    images.push(part);
                }
            }
        }
        let text = match pieces.len() {
            1 => pieces.remove(0),
            _ => Cow::Owned(pieces.join("\n")),
        };
        let text = if text.trim().is_empty() { Cow::Borrowed(NO_OUTPUT) } else { text };
        if block.is_error == Some(true) { Cow::Owned(format!("[tool error] {text}")) } else { text }
    }

    /// A block that is neither a call nor a result.
    fn part(&self, block: &'a Block<'a>, parts: &mut Vec<Part<'a>>) {
        match block.kind.as_str() {
            "image" => parts.push(self.image(block.source.0.as_ref())),
            "document" => self.document(block, parts),
            "tool_reference" => {
                let name = str_of(&block.tool_name);
                parts.push(Part::Text(Cow::Owned(format!("[the tool {name} is available now]"))));
            }
            "thinking" | "redacted_thinking" => {}
            "search_result" => {
                let from = block.source.0.as_ref().map_or("", |s| str_of(&s.url));
                let mut text =
                    format!("<search_result title=\"{}\" source=\"{from}\">\n", str_of(&block.title));
                collect_text(block.content.as_ref(), &mut text);
                text.push_str("\n</search_result>");
                parts.push(Part::Text(Cow::Owned(text)));
            }
            kind if kind.ends_with("_tool_use") || kind.ends_with("_tool_result") => {
                parts.push(Part::Text(Cow::Owned(server_tool(block))));
            }
            kind => match &block.text {
                Some(text) if !text.is_empty() => parts.push(Part::Text(Cow::Borrowed(text.as_str()))),
                Some(_) => {}
                None if kind.is_empty() || kind == "text" => {}
                None => parts.push(Part::Text(Cow::Owned(format!("[{kind} omitted]")))),
            },
        }
    }

    fn image(&self, source: Option<&'a Source<'a>>) -> Part<'a> {
        if !self.cx.profile.images {
            return Part::Text(Cow::Borrowed("[image omitted: this model reads text only]"));
        }
        let Some(source) = source else { return Part::Text(Cow::Borrowed("[image omitted]")) };
        if let Some(data) = source.data.as_ref().filter(|d| !d.is_empty()) {
            let media = match str_of(&source.media_type) {
                "" => "image/png",
                media => media,
            };
            return Part::ImageData(Cow::Borrowed(media), data.as_str());
        }
        match str_of(&source.url) {
            "" => Part::Text(Cow::Borrowed("[image omitted: it is in a file store]")),
            url => Part::Image(Cow::Borrowed(url)),
        }
    }

    fn document(&self, block: &'a Block<'a>, parts: &mut Vec<Part<'a>>) {
        let title = match str_of(&block.title) {
            "" => "document",
            title => title,
        };
        let Some(source) = &block.source.0 else { return };
        match source.kind.as_str() {
            "text" => {
                let text = str_of(&source.data);
                let text = format!("<document title=\"{title}\">\n{text}\n</document>");
                parts.push(Part::Text(Cow::Owned(text)));
            }
            "content" => match &source.content {
                Some(Content::Text(text)) => parts.push(Part::Text(Cow::Borrowed(text.as_str()))),
                Some(Content::Blocks(inner)) => inner.iter().for_each(|b| self.part(b, parts)),
                None => {}
            },
            "base64" if str_of(&source.media_type).starts_with("text/") => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(str_of(&source.data));
                let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
                let text = format!("<document title=\"{title}\">\n{text}\n</document>");
                parts.push(Part::Text(Cow::Owned(text)));
            }
            "base64" if self.cx.profile.documents => {
                let media = match str_of(&source.media_type) {
                    "" => "application/pdf",
                    media => media,
                };
                parts.push(Part::File(Cow::Borrowed(title), Cow::Borrowed(media), str_of(&source.data)));
            }
            "url" => {
                parts.push(Part::Text(Cow::Owned(format!("[document {title}: {}]", str_of(&source.url)))));
            }
            _ => {
                let text = format!("[document {title} omitted: this model reads text only]");
                parts.push(Part::Text(Cow::Owned(text)));
            }
        }
    }

    /// An assistant entry: text, reasoning and calls of one message.
    pub fn assistant(&mut self, content: &'a Content<'a>) {
        self.settle();
        let blocks = match content {
            Content::Text(text) => {
                if !text.is_empty() {
                    let content = Body::Text(Cow::Borrowed(text.as_str()));
                    self.out.push(Message { role: "assistant", content, ..Message::default() });
                }
                return;
            }
            Content::Blocks(blocks) => blocks,
        };
        let of = |kind: &'static str| blocks.iter().filter(move |b| b.kind.as_str() == kind);
        let text = joined(blocks.iter().filter_map(spoken));
        let thought = join(of("thinking").map(|b| str_of(&b.thinking)).filter(|t| !t.is_empty()), "\n");
        let calls = self.calls(blocks);
        if text.is_none() && calls.is_empty() {
            return;
        }
        let reasoning = self.reasoning(thought, !calls.is_empty());
        let content = text.map_or(Body::None, Body::Text);
        let details = of("tool_use").next().filter(|_| self.cx.profile.reasoning_details);
        let details = details.and_then(|b| (self.cx.signatures)(&names::details_key(str_of(&b.id))));
        self.out.push(Message {
            role: "assistant",
            content,
            reasoning,
            details,
            tool_calls: calls,
            ..Message::default()
        });
    }

    fn reasoning(&self, thought: Option<Cow<'a, str>>, has_calls: bool) -> Option<(&'a str, Cow<'a, str>)> {
        let profile = self.cx.profile;
        let wanted = match profile.reasoning_replay {
            Replay::Never => false,
            Replay::ToolTurns => has_calls,
            Replay::Always => true,
        };
        if !wanted {
            return None;
        }
        let insists =
            has_calls && (profile.reasoning_required || (profile.reasoning_placeholder && self.thinks));
        let thought = thought.or_else(|| insists.then_some(Cow::Borrowed(NO_THINKING)))?;
        Some((&profile.reasoning_key, thought))
    }

    fn calls(&mut self, blocks: &'a [Block<'a>]) -> Vec<Call<'a>> {
        let profile = self.cx.profile;
        let mut calls: Vec<Call<'a>> = Vec::new();
        let mut used: HashSet<String> = HashSet::new();
        for block in blocks.iter().filter(|b| b.kind.as_str() == "tool_use") {
            let client_id = str_of(&block.id);
            let own = names::gateway_id(client_id).filter(|own| !used.contains(*own)).unwrap_or(client_id);
            let mut sent = if profile.short_call_ids { names::short_id(own) } else { own.to_owned() };
            // Two calls of one message with one name would be taken for one.
            while sent.is_empty() || used.contains(&sent) {
                sent = names::short_id(&format!("{client_id}{}", used.len()));
            }
            used.insert(sent.clone());
            let extra = (self.cx.signatures)(client_id).or_else(|| {
                let lost = profile.call_signatures && calls.is_empty();
                lost.then(|| serde_json::value::RawValue::from_string(NO_SIGNATURE.to_owned()).ok()).flatten()
            });
            self.waiting.push(Waiting { client_id, sent_id: sent.clone(), result: None });
            calls.push(Call {
                id: Cow::Owned(sent),
                name: names::safe_name(str_of(&block.name)),
                arguments: arguments(block.input.map_or("", |raw| raw.get()), profile.strict_arguments),
                extra,
            });
        }
        calls
    }

    /// Writes the results of the calls that wait, in call order, then what came between.
    fn settle(&mut self) {
        for waiting in self.waiting.drain(..) {
            self.out.push(Message {
                role: "tool",
                content: Body::Text(waiting.result.unwrap_or(Cow::Borrowed(NO_RESULT))),
                tool_call_id: Some(Cow::Owned(waiting.sent_id)),
                ..Message::default()
            });
        }
        self.out.append(&mut self.after);
    }

    /// An entry that the client did not write.
    pub fn append(&mut self, role: Role, text: &'a str) {
        self.settle();
        match role {
            Role::System => self.later_system(Cow::Borrowed(text)),
            Role::Assistant => self.out.push(Message { role: "assistant", ..user_text(Cow::Borrowed(text)) }),
            Role::User => self.add(user_text(Cow::Borrowed(text))),
        }
    }

    /// The messages; never without one that asks for an answer.
    pub fn finish(mut self) -> Vec<Message<'a>> {
        self.settle();
        if !self.out.iter().any(|m| m.role != "system") {
            self.out.push(user_text(Cow::Borrowed("(empty message)")));
        }
        if self.cx.profile.merge_users {
            self.out = merged(self.out);
        }
        if let Some(last) = self.out.last_mut().filter(|m| m.role == "assistant") {
            last.prefix = self.cx.profile.prefill_flag;
        }
        self.out
    }
}

/// User messages that follow each other made one, for templates that insist on turns.
fn merged(messages: Vec<Message<'_>>) -> Vec<Message<'_>> {
    let mut out: Vec<Message<'_>> = Vec::with_capacity(messages.len());
    for message in messages {
        match out.last_mut().filter(|last| last.role == "user" && message.role == "user") {
            None => out.push(message),
            Some(last) => {
                let parts =
                    [std::mem::take(&mut last.content), message.content].into_iter().flat_map(|body| {
                        match body {
                            Body::None => Vec::new(),
                            Body::Text(text) => vec![Part::Text(text)],
                            Body::Parts(parts) => parts,
                        }
                    });
                last.content = body_of(parts.collect()).unwrap_or_default();
            }
        }
    }
    out
}

/// What an assistant's block says as text: text, summaries, and what the server's own tools
/// did, which no gateway knows as calls.
fn spoken<'a>(block: &'a Block<'a>) -> Option<Cow<'a, str>> {
    let text = match block.kind.as_str() {
        "thinking" | "redacted_thinking" | "tool_use" | "tool_result" => return None,
        kind if kind.ends_with("_tool_use") || kind.ends_with("_tool_result") => {
            Cow::Owned(server_tool(block))
        }
        _ => match (&block.text, &block.content) {
            (Some(text), _) => Cow::Borrowed(text.as_str()),
            (None, content) => {
                let mut text = String::new();
                collect_text(content.as_ref(), &mut text);
                Cow::Owned(text)
            }
        },
    };
    (!text.trim().is_empty()).then_some(text)
}

/// Use or result of a tool that the server ran: web search, code execution, MCP.
fn server_tool(block: &Block<'_>) -> String {
    if block.kind.as_str().ends_with("_tool_use") {
        let input = block.input.map_or("{}", |raw| raw.get());
        return format!("[used the tool {} with {input}]", str_of(&block.name));
    }
    let mut text = String::new();
    collect_text(block.content.as_ref(), &mut text);
    let text = if text.is_empty() { NO_OUTPUT } else { &text };
    format!("[its result: {text}]")
}

/// All text of some content: texts, page titles and addresses, output of programs.
fn collect_text(content: Option<&Content<'_>>, out: &mut String) {
    let blocks = match content {
        None => return,
        Some(Content::Text(text)) => return out.push_str(text.as_str()),
        Some(Content::Blocks(blocks)) => blocks,
    };
    for block in blocks {
        let fields = [&block.title, &block.url, &block.text, &block.stdout, &block.stderr, &block.error_code];
        for text in fields.into_iter().map(str_of).filter(|text| !text.is_empty()) {
            if !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            }
            out.push_str(text);
        }
        collect_text(block.content.as_ref(), out);
    }
}

/// The pieces on lines of their own; borrowed when there is just one.
fn joined<'a>(mut pieces: impl Iterator<Item = Cow<'a, str>>) -> Option<Cow<'a, str>> {
    let mut whole = pieces.next()?;
    for piece in pieces {
        let whole = whole.to_mut();
        whole.push('\n');
        whole.push_str(&piece);
    }
    Some(whole)
}

fn user_text(text: Cow<'_, str>) -> Message<'_> {
    Message { role: "user", content: Body::Text(text), ..Message::default() }
}

/// One string when there is only text, since strict gateways refuse lists.
fn body_of(parts: Vec<Part<'_>>) -> Option<Body<'_>> {
    if parts.is_empty() {
        return None;
    }
    if parts.iter().any(|p| !matches!(p, Part::Text(_))) {
        return Some(Body::Parts(parts));
    }
    let mut whole: Option<Cow<'_, str>> = None;
    for part in parts {
        let Part::Text(text) = part else { continue };
        whole = Some(match whole {
            None => text,
            Some(mut so_far) => {
                so_far.to_mut().push_str("\n\n");
                so_far.to_mut().push_str(&text);
                so_far
            }
        });
    }
    whole.map(Body::Text)
}

/// The arguments of a call as JSON text. Claude Code wraps what it could not parse; the
/// model must see what it wrote, unless the gateway parses the history itself.
pub fn arguments(input: &str, strict: bool) -> Cow<'_, str> {
    const WRAPPER: &str = "__unparsedToolInput";
    let input = input.trim();
    if input.is_empty() || input == "null" {
        return Cow::Borrowed("{}");
    }
    if !input.contains(WRAPPER) {
        return Cow::Borrowed(input);
    }
    let parsed: Option<serde_json::Value> = serde_json::from_str(input).ok();
    let raw = parsed.as_ref().and_then(|v| v.as_object()).filter(|o| o.len() == 1).and_then(|o| {
        let wrapped = o.get(WRAPPER)?;
        wrapped.get("raw").unwrap_or(wrapped).as_str()
    });
    match raw {
        None => Cow::Borrowed(input),
        Some(raw) if strict && serde_json::from_str::<serde_json::Value>(raw).is_err() => {
            Cow::Owned(serde_json::json!({ "invalid_json": raw }).to_string())
        }
        Some(raw) => Cow::Owned(raw.to_owned()),
    }
}
