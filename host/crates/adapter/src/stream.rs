//! The translation of an answer as a state machine: chunks in, Anthropic's events out. Pure,
//! and strict whatever the gateway does: one open block at a time, indices contiguous from
//! 0, a signature for thinking, unique call identifiers, one end with the true counts.

use serde_json::Value;
use serde_json::value::RawValue;

use super::calls::Calls;
use super::lenient::str_of;
use super::names::{self, Declared};
use super::openai::{Choice, Chunk, Delta, TextOrParts};
use super::recover::{Piece, Recover};
use super::sink::{BlockKind, End, Sink};
use gateway::refusal::{self, UpstreamError};
use gateway::usage::Tokens;

/// What thinking is signed with; clients hand it back and we do not read it.
const SIGNATURE: &str = "codex-worker";

/// An answer that cannot be finished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The gateway said so inside the stream.
    #[error("{message}")]
    Upstream {
        /// The status that it named, or the one that fits its message.
        status: Option<u16>,
        /// Its message.
        message: String,
    },
    /// A chunk that is not JSON.
    #[error("the gateway sent a chunk that is not JSON: {0}")]
    Malformed(String),
    /// The stream ended without an end.
    #[error("the gateway ended the answer without a finish reason")]
    Cut,
}

/// What an answer is read with.
#[derive(Debug, Default)]
pub struct ReadOptions {
    /// `id` of the message.
    pub message_id: String,
    /// The model's name as the client asked for it.
    pub model: String,
    /// Input tokens for `message_start`, before the gateway has counted.
    pub input_estimate: u64,
    /// Tools by the gateway's names.
    pub tools: Declared,
    /// Whether calls written as text are recovered.
    pub recover: bool,
    /// Texts that the client asked to stop at.
    pub stop_sequences: Vec<String>,
    /// Call identifiers are made from this number on.
    pub nonce: u64,
    /// The client has already received the start of an answer.
    pub begun: bool,
}

/// What became of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Counts as the gateway gave them.
    pub tokens: Tokens,
    /// The model that answered, as it calls itself.
    pub model: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    Text,
    Thinking,
    Tool(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Text,
    Thinking,
}

/// How thinking is marked by gateways that leave it in the text.
const THINK_TAGS: &[(&str, &str)] = &[
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
];

/// Whether the text begins with such a tag.
#[derive(Debug)]
enum ThinkTag {
    Undecided(String),
    /// What is held back, and the mark that ends the thinking.
    Inside(String, &'static str),
    /// The thinking has ended; line breaks before the answer are not a part of it.
    After,
    Off,
}

/// What is around the text of a chunk that holds nothing but text. Gateways repeat it from chunk
/// to chunk, so that the next one needs no parsing.
#[derive(Debug, Default)]
struct Template {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Template {
    /// The text of a chunk that differs from the template's in its text alone.
    fn text<'x>(&self, payload: &'x [u8]) -> Option<&'x str> {
        let text = payload.strip_prefix(self.before.as_slice())?.strip_suffix(self.after.as_slice())?;
        // Without escapes it means what it says.
        let plain = !text.is_empty() && text.iter().all(|b| !matches!(b, b'"' | b'\\' | 0..0x20));
        if plain { std::str::from_utf8(text).ok() } else { None }
    }

    /// The template of a chunk that holds nothing but text.
    fn of(json: &str, chunk: &Chunk<'_>) -> Option<Template> {
        let [choice] = chunk.choices.as_deref()? else { return None };
        let alone = chunk.error.is_none()
            && chunk.usage.0.is_none()
            && chunk.x_groq.0.is_none()
            && choice.index.0.unwrap_or(0) == 0
            && choice.message.is_none()
            && choice.finish_reason.is_none()
            && choice.stop_reason.is_none()
            && choice.usage.0.is_none()
            && choice.error.is_none();
        let text = choice.delta.as_ref()?.only_text().filter(|text| alone && !text.is_empty())?;
        // A borrowed text is a part of the chunk: its place is a difference of addresses.
        let at = (text.as_ptr() as usize).checked_sub(json.as_ptr() as usize)?;
        let (before, after) = (json.get(..at)?, json.get(at + text.len()..)?);
        (before.ends_with('"') && after.starts_with('"'))
            .then(|| Template { before: before.into(), after: after.into() })
    }
}

/// The state machine of one answer.
#[derive(Debug)]
pub struct Machine {
    options: ReadOptions,
    begun: bool,
    open: Open,
    next_index: u32,
    visible: bool,
    calls: Calls,
    /// Text that came while a call was not complete.
    late: Vec<(Channel, String)>,
    /// Whitespace between blocks, kept in case that text follows.
    blank: String,
    think: ThinkTag,
    recover: Recover,
    finish: Option<String>,
    /// Content came after the finish reason: it does not tell when the answer ends.
    finish_is_early: bool,
    stop_text: Option<String>,
    done: bool,
    template: Option<Template>,
    summary: Summary,
    /// Reasoning came in a field of its own.
    reasons: bool,
    /// Content came in deltas, so that a whole message after them is a repetition.
    in_deltas: bool,
    /// OpenRouter's long form of the reasoning, put together.
    details: Vec<serde_json::Map<String, Value>>,
    /// Bytes of content, for an estimate when the gateway does not count.
    written: usize,
    minted: u64,
    /// The identifier of the first call, as the client sees it.
    first_call: Option<String>,
    /// What the provider sent with calls, by the identifier that the client sees.
    signatures: Vec<(String, Box<RawValue>)>,
}

impl Machine {
    /// A machine before the first chunk.
    pub fn new(options: ReadOptions) -> Self {
        Machine {
            begun: options.begun,
            options,
            open: Open::Nothing,
            next_index: 0,
            visible: false,
            calls: Calls::default(),
            late: Vec::new(),
            blank: String::new(),
            think: ThinkTag::Undecided(String::new()),
            recover: Recover::default(),
            finish: None,
            finish_is_early: false,
            stop_text: None,
            done: false,
            template: None,
            summary: Summary::default(),
            reasons: false,
            in_deltas: false,
            details: Vec::new(),
            written: 0,
            minted: 0,
            first_call: None,
            signatures: Vec::new(),
        }
    }

    /// Whether the client has seen content: from then on nothing can be tried again.
    pub fn visible(&self) -> bool {
        self.visible
    }

    /// Whether the gateway has given a finish reason; only counts may follow.
    pub fn ended(&self) -> bool {
        self.finish.is_some() && !self.finish_is_early
    }

    /// Whether nothing more is to come.
    pub fn done(&self) -> bool {
        self.done
    }

    /// Whether the counts are there.
    pub fn metered(&self) -> bool {
        self.summary.tokens.metered()
    }

    /// What the provider sent with calls, by the identifier that the client sees.
    pub fn take_signatures(&mut self) -> Vec<(String, Box<RawValue>)> {
        std::mem::take(&mut self.signatures)
    }

    /// What is known so far; for the meter of an answer that breaks.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The client has received the start of an answer meanwhile.
    pub fn begun(&mut self) {
        self.begun = true;
    }

    /// Says that an answer begins, once.
    pub fn begin(&mut self, sink: &mut impl Sink) {
        if !self.begun {
            self.begun = true;
            sink.start(&self.options.message_id, &self.options.model, self.options.input_estimate);
        }
    }

    /// Takes the payload of one event, or a whole answer document.
    pub fn payload(&mut self, sink: &mut impl Sink, payload: &[u8]) -> Result<(), Fault> {
        let payload = payload.trim_ascii();
        if payload == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        // What gateways send to keep the line open.
        if self.done
            || payload.is_empty()
            || payload.first().is_some_and(|b| *b != b'{' && b.is_ascii_alphabetic() && payload.len() < 32)
        {
            return Ok(());
        }
        if let Some(text) = self.template.as_ref().and_then(|template| template.text(payload)) {
            self.finish_is_early |= self.finish.is_some();
            self.visible_text(sink, text);
            return Ok(());
        }
        // Bytes that are not UTF-8 are the gateway's mistake; the rest of the text counts.
        let text = String::from_utf8_lossy(payload);
        if payload.first() == Some(&b'[')
            && let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(&text)
        {
            return list.iter().try_for_each(|one| self.payload(sink, one.get().as_bytes()));
        }
        let error = match serde_json::from_str::<Chunk<'_>>(&text) {
            Ok(chunk) => {
                self.template = Template::of(&text, &chunk);
                return self.chunk(sink, &chunk, &text);
            }
            Err(error) => error,
        };
        // Half an emoji, where a gateway cut its text between two chunks.
        let repaired = super::lenient::repair_surrogates(text.as_bytes());
        let repaired = repaired.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let repaired = repaired.as_deref().unwrap_or(&text);
        if let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(repaired) {
            return self.chunk(sink, &chunk, repaired);
        }
        if let Some(other) = super::openai::reshaped(repaired)
            && let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(&other)
        {
            return self.chunk(sink, &chunk, &other);
        }
        Err(Fault::Malformed(format!("{error}: {}", refusal::excerpt(&text, 120))))
    }

    fn chunk(&mut self, sink: &mut impl Sink, chunk: &Chunk<'_>, json: &str) -> Result<(), Fault> {
        if let Some(error) = chunk.error.filter(|e| !matches!(e.get(), "null" | "\"\"" | "{}" | "false")) {
            return Err(fault_of(error.get()));
        }
        if chunk.choices.as_ref().is_none_or(|c| c.is_empty() && str_of(&chunk.object) == "error")
            && let Some(error) = UpstreamError::in_answer(json)
        {
            return Err(upstream_fault(error.message, &error.code));
        }
        if let Some(model) = chunk.model.as_ref().filter(|m| !m.is_empty()) {
            self.summary.model.get_or_insert_with(|| model.as_str().to_owned());
        }
        let groq = chunk.x_groq.0.as_ref().and_then(|x| x.usage.0);
        for usage in [groq, chunk.usage.0].into_iter().flatten() {
            self.summary.tokens.update(usage.tokens());
        }
        // Only the first answer was asked for.
        let choices = chunk.choices.iter().flatten();
        for choice in choices.filter(|c| c.index.0.unwrap_or(0) == 0) {
            self.choice(sink, choice)?;
        }
        Ok(())
    }

    fn choice(&mut self, sink: &mut impl Sink, choice: &Choice<'_>) -> Result<(), Fault> {
        if let Some(error) = choice.error.filter(|e| e.get() != "null") {
            return Err(fault_of(error.get()));
        }
        if let Some(usage) = choice.usage.0 {
            self.summary.tokens.update(usage.tokens());
        }
        // Perplexity and Writer send the whole so far as a message beside each delta.
        let delta = choice.delta.as_ref().filter(|d| !d.is_empty());
        let said = delta.or(choice.message.as_ref().filter(|m| !self.in_deltas && !m.is_empty()));
        let whole = choice.message.is_some() && choice.delta.is_none() && !self.in_deltas;
        self.in_deltas |= delta.is_some();
        if let Some(said) = said {
            self.finish_is_early |= self.finish.is_some();
            self.delta(sink, said);
        }
        if let Some(reason) = choice.finish_reason.as_ref().filter(|r| !matches!(r.as_str(), "" | "null")) {
            let reason = reason.as_str().to_ascii_lowercase();
            // The second of two finish reasons may be the one that tells.
            let tells = matches!(reason.as_str(), "tool_calls" | "length" | "content_filter" | "error");
            if tells || self.finish.is_none() {
                self.finish = Some(reason);
            }
        }
        if let Some(stop) = choice.stop_reason.as_ref().filter(|s| !s.is_empty()) {
            self.stop_text = Some(stop.as_str().to_owned());
        }
        // A whole document is at its end by itself.
        self.done |= whole;
        Ok(())
    }

    fn delta(&mut self, sink: &mut impl Sink, delta: &Delta<'_>) {
        self.reasoning(sink, delta);
        match &delta.content {
            TextOrParts::None => {}
            TextOrParts::Text(text) => self.visible_text(sink, text.as_str()),
            TextOrParts::Parts(parts) => {
                for part in parts {
                    match &part.thinking {
                        TextOrParts::None => self.visible_text(sink, str_of(&part.text)),
                        TextOrParts::Text(text) => self.emit(sink, Channel::Thinking, text.as_str()),
                        TextOrParts::Parts(inner) => {
                            inner.iter().for_each(|p| self.emit(sink, Channel::Thinking, str_of(&p.text)));
                        }
                    }
                }
            }
        }
        self.visible_text(sink, str_of(&delta.refusal));
        if let Some(calls) = delta.tool_calls.as_ref().filter(|c| !c.is_empty()) {
            self.calls.add(calls, &self.options.tools);
            self.advance(sink, false);
        } else if let Some(function) = &delta.function_call.0 {
            let call = super::openai::CallDelta {
                index: super::lenient::LenientInt(Some(0)),
                function: Some(function.clone()),
                ..Default::default()
            };
            self.calls.add(&[call], &self.options.tools);
            self.advance(sink, false);
        }
    }

    fn reasoning(&mut self, sink: &mut impl Sink, delta: &Delta<'_>) {
        // Some gateways send the same text under both names.
        let text = match str_of(&delta.reasoning_content) {
            "" => str_of(&delta.reasoning),
            text => text,
        };
        self.reasons |= !text.is_empty();
        self.emit(sink, Channel::Thinking, text);
        let Some(details) = delta.reasoning_details else { return };
        for detail in super::openai::reasoning_details(details.get()) {
            if text.is_empty() {
                let said = detail.get("text").or(detail.get("summary")).and_then(Value::as_str).unwrap_or("");
                self.reasons |= !said.is_empty();
                self.emit(sink, Channel::Thinking, said);
            }
            super::openai::join_detail(&mut self.details, detail);
        }
    }

    /// Visible text, unless it is thinking in tags or a written call.
    fn visible_text(&mut self, sink: &mut impl Sink, text: &str) {
        if text.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.think, ThinkTag::Off) {
            ThinkTag::Off => self.plain(sink, text),
            ThinkTag::After => {
                let text = text.trim_start_matches(['\n', '\r']);
                if text.is_empty() {
                    self.think = ThinkTag::After;
                } else {
                    self.plain(sink, text);
                }
            }
            ThinkTag::Undecided(mut held) => {
                held.push_str(text);
                let body = held.trim_start();
                let begun = THINK_TAGS.iter().find_map(|(tag, end)| Some((body.strip_prefix(tag)?, *end)));
                if let Some((inside, end)) = begun {
                    self.think = ThinkTag::Inside(String::new(), end);
                    let inside = inside.trim_start_matches('\n').to_owned();
                    self.thinking_text(sink, &inside);
                } else if !self.reasons && THINK_TAGS.iter().any(|(tag, _)| tag.starts_with(body)) {
                    self.think = ThinkTag::Undecided(held);
                } else {
                    self.plain(sink, &held);
                }
            }
            ThinkTag::Inside(held, end) => {
                self.think = ThinkTag::Inside(held, end);
                self.thinking_text(sink, text);
            }
        }
    }

    fn thinking_text(&mut self, sink: &mut impl Sink, text: &str) {
        let ThinkTag::Inside(held, end) = &mut self.think else { return };
        let end = *end;
        held.push_str(text);
        if let Some(at) = held.find(end) {
            let held = std::mem::take(held);
            self.think = ThinkTag::After;
            self.emit(sink, Channel::Thinking, &held[..at]);
            self.visible_text(sink, &held[at + end.len()..]);
            return;
        }
        // A part of the end mark at the end is kept back.
        let keep = (1..end.len()).rev().find(|n| held.ends_with(&end[..*n])).unwrap_or(0);
        let kept = held.split_off(held.len() - keep);
        let out = std::mem::replace(held, kept);
        self.emit(sink, Channel::Thinking, &out);
    }

    fn plain(&mut self, sink: &mut impl Sink, text: &str) {
        let recovers = self.options.recover && !self.options.tools.is_empty();
        if !recovers || self.recover.idle(text) {
            self.emit(sink, Channel::Text, text);
            return;
        }
        let pieces = self.recover.push(text, &self.options.tools);
        self.pieces(sink, pieces);
    }

    fn pieces(&mut self, sink: &mut impl Sink, pieces: Vec<Piece>) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.emit(sink, Channel::Text, &text),
                Piece::Call(name, arguments) => {
                    self.calls.push_whole(name, arguments);
                    self.advance(sink, false);
                }
            }
        }
    }

    /// Text into a block of its kind; what is open and of another kind is closed first.
    fn emit(&mut self, sink: &mut impl Sink, kind: Channel, text: &str) {
        if text.is_empty() {
            return;
        }
        let same =
            matches!((self.open, kind), (Open::Text, Channel::Text) | (Open::Thinking, Channel::Thinking));
        if !same {
            // Gateways put line breaks between calls, which are no text.
            if text.trim().is_empty() {
                if kind == Channel::Text {
                    self.blank.push_str(text);
                }
                return;
            }
            if self.unfinished_call() {
                match self.late.last_mut() {
                    Some((last, so_far)) if *last == kind => so_far.push_str(text),
                    _ => self.late.push((kind, text.to_owned())),
                }
                return;
            }
            self.open_block(sink, kind);
        }
        self.written += text.len();
        let index = self.next_index - 1;
        match kind {
            Channel::Text => {
                let blank = std::mem::take(&mut self.blank);
                if blank.is_empty() {
                    sink.text(index, text);
                } else {
                    sink.text(index, &format!("{blank}{text}"));
                }
            }
            Channel::Thinking => sink.thinking(index, text),
        }
    }

    fn open_block(&mut self, sink: &mut impl Sink, kind: Channel) {
        self.close(sink);
        self.begin(sink);
        self.visible = true;
        let block = match kind {
            Channel::Text => BlockKind::Text,
            Channel::Thinking => BlockKind::Thinking,
        };
        sink.open(self.next_index, block);
        self.open = if kind == Channel::Text { Open::Text } else { Open::Thinking };
        self.next_index += 1;
    }

    /// Closes the open block, if there is one.
    fn close(&mut self, sink: &mut impl Sink) {
        let Some(index) = self.next_index.checked_sub(1) else { return };
        match self.open {
            Open::Nothing => return,
            Open::Text => {}
            Open::Thinking => sink.signature(index, SIGNATURE),
            Open::Tool(at) => {
                let slot = &mut self.calls.slots[at];
                let rest = slot.last();
                slot.sent = slot.arguments.len();
                slot.closed = true;
                if !rest.is_empty() {
                    sink.json(index, &rest);
                }
            }
        }
        sink.close(index);
        self.open = Open::Nothing;
        self.blank.clear();
    }

    /// Whether text must wait, because a call was begun and is not complete.
    fn unfinished_call(&self) -> bool {
        self.calls.slots.iter().any(|s| !s.closed && !s.complete() && !s.is_blank())
    }

    /// Sends on what may be sent of the calls: one after the other, in the order in which
    /// they began; the next one starts when the one before is complete.
    fn advance(&mut self, sink: &mut impl Sink, at_end: bool) {
        loop {
            if let Open::Tool(at) = self.open {
                let more = self.calls.slots.len() > at + 1 || !self.late.is_empty() || at_end;
                let slot = &mut self.calls.slots[at];
                let piece = slot.ready();
                if !piece.is_empty() {
                    sink.json(self.next_index - 1, piece);
                    slot.sent = slot.arguments.len();
                }
                if !(at_end || slot.complete() && more) {
                    return;
                }
                self.close(sink);
            }
            // A name that nobody declared may be the first piece of one.
            let last = self.calls.slots.len().saturating_sub(1);
            let whole = |at: usize, s: &super::calls::Slot| {
                let tools = &self.options.tools;
                at < last || !s.arguments.is_empty() || tools.is_empty() || tools.find(&s.name).is_some()
            };
            let named = |at: usize| {
                let slot = &self.calls.slots[at];
                at_end || (!slot.name.is_empty() && whole(at, slot))
            };
            let next = self.calls.slots.iter().position(|s| !s.opened);
            let Some(at) = next.filter(|at| named(*at)) else { break };
            self.open_call(sink, at);
        }
        if !self.unfinished_call() || at_end {
            for (kind, text) in std::mem::take(&mut self.late) {
                // At the end an incomplete call no longer holds anything back: it is closed.
                self.emit(sink, kind, &text);
            }
        }
    }

    fn open_call(&mut self, sink: &mut impl Sink, at: usize) {
        self.close(sink);
        self.begin(sink);
        self.visible = true;
        let nonce = self.options.nonce.wrapping_add(self.minted);
        self.minted += 1;
        let slot = &mut self.calls.slots[at];
        slot.name = slot.name.trim().to_owned();
        let id = names::mint_id(&slot.id, nonce);
        let tools = &self.options.tools;
        let name = match slot.name.as_str() {
            "" => tools.only().map_or("unknown_tool", |t| t.name.as_str()),
            name => tools.client_name(name),
        };
        sink.open(self.next_index, BlockKind::Tool(&id, name));
        self.first_call.get_or_insert_with(|| id.clone());
        if let Some(extra) = slot.extra.take() {
            self.signatures.push((id, extra));
        }
        slot.opened = true;
        self.open = Open::Tool(at);
        self.next_index += 1;
        self.blank.clear();
    }

    /// The end of the stream. `[DONE]` and whole documents end well without a finish reason;
    /// a stream that just stops was cut.
    pub fn finish(&mut self, sink: &mut impl Sink) -> Result<Summary, Fault> {
        if self.finish.is_none() && !self.done {
            return Err(Fault::Cut);
        }
        let reason = self.finish.clone().unwrap_or_default();
        if let Some(fault) = bad_finish(&reason) {
            return Err(fault);
        }
        self.flush_held(sink, TOO_LONG.contains(&reason.as_str()));
        self.calls.slots.retain(|s| s.opened || !s.is_blank());
        let truncated = self.calls.slots.iter().any(|s| !s.complete() && !s.arguments.is_empty());
        if self.finish.is_none() && truncated {
            return Err(Fault::Cut);
        }
        self.advance(sink, true);
        let filtered = matches!(reason.as_str(), "content_filter" | "sensitive" | "safety");
        if filtered && self.visible && self.calls.slots.is_empty() {
            self.emit(sink, Channel::Text, "\n\n[The gateway's content filter stopped this answer.]");
        }
        self.close(sink);
        self.begin(sink);
        self.keep_details();
        let matched = self.stop_text.take().filter(|s| self.options.stop_sequences.contains(s));
        let reason = match reason.as_str() {
            long if TOO_LONG.contains(&long) && (truncated || self.calls.slots.is_empty()) => "max_tokens",
            _ if !self.calls.slots.is_empty() => "tool_use",
            // Claude Code ends a run on a refusal, so that only an empty answer is one.
            _ if filtered && !self.visible => "refusal",
            _ if matched.is_some() => "stop_sequence",
            _ => "end_turn",
        };
        let sequence = matched.filter(|_| reason == "stop_sequence");
        sink.end(&End { reason, sequence, tokens: self.counts() });
        self.visible = true;
        Ok(self.summary.clone())
    }

    /// The long form of the reasoning goes back with the call that it led to.
    fn keep_details(&mut self) {
        if let Some(id) = self.first_call.take().filter(|_| !self.details.is_empty())
            && let Ok(list) = serde_json::value::to_raw_value(&self.details)
        {
            self.signatures.push((names::details_key(&id), list));
        }
    }

    /// The gateway's counts for the client, estimated where the gateway has not counted: with
    /// 0 a client would never compact its conversation. The meter gets no estimates.
    fn counts(&self) -> Tokens {
        let mut tokens = self.summary.tokens;
        let calls: usize = self.calls.slots.iter().map(|s| s.name.len() + s.arguments.len()).sum();
        tokens.input.get_or_insert(self.options.input_estimate.max(1));
        tokens.output.get_or_insert(((self.written + calls) as u64).div_ceil(4).max(1));
        tokens
    }

    /// Gives out what was held back for a tag that never came.
    fn flush_held(&mut self, sink: &mut impl Sink, cut: bool) {
        match std::mem::replace(&mut self.think, ThinkTag::Off) {
            ThinkTag::Off | ThinkTag::After => {}
            ThinkTag::Undecided(held) => self.plain(sink, &held),
            ThinkTag::Inside(held, _) => self.emit(sink, Channel::Thinking, &held),
        }
        // What was cut in the middle of a written call is no call.
        let pieces = if cut { self.recover.give_up() } else { self.recover.finish(&self.options.tools) };
        self.pieces(sink, pieces);
    }
}

/// Finish reasons of answers that were cut at their longest.
const TOO_LONG: &[&str] = &["length", "max_tokens", "model_length", "model_context_window_exceeded"];

/// Finish reasons that are failures.
fn bad_finish(reason: &str) -> Option<Fault> {
    let status = match reason {
        "error" | "network_error" | "abort" | "aborted" => 502,
        "insufficient_system_resource" | "engine_overloaded" => 529,
        _ => return None,
    };
    Some(Fault::Upstream {
        status: Some(status),
        message: format!("the gateway gave up in the middle of the answer ({reason})"),
    })
}

fn fault_of(raw: &str) -> Fault {
    let parsed = UpstreamError::parse(format!("{{\"error\":{raw}}}").as_bytes());
    upstream_fault(parsed.message, &parsed.code)
}

fn upstream_fault(message: String, code: &str) -> Fault {
    let numbers = code.split_whitespace().filter_map(|word| word.trim_matches('"').parse::<u16>().ok());
    let number = numbers.into_iter().find(|n| (400..600).contains(n));
    let status = number.or_else(|| refusal::status_of_message(&format!("{code} {message}")));
    Fault::Upstream { status, message }
}
