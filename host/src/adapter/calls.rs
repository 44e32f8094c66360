//! Tool calls put together from pieces. Gateways number, name, repeat and wrap them in many
//! ways; here a piece finds its call, and a call knows how much of its arguments is safe to
//! send on. Pure.

use serde_json::value::RawValue;

use super::lenient::{Str, text};
use super::names::Declared;
use super::openai::CallDelta;

/// How far the arguments of a call have come as JSON.
#[derive(Clone, Debug, Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
    complete: bool,
}

impl Scan {
    fn feed(&mut self, piece: &str) {
        for byte in piece.bytes() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.complete |= self.depth == 0;
                }
                _ => {}
            }
        }
    }
}

/// One call.
#[derive(Debug, Default)]
pub struct Slot {
    /// The gateway's identifier; may be empty.
    pub id: String,
    index: Option<i64>,
    /// The gateway's name of the tool; may come late.
    pub name: String,
    /// All arguments so far.
    pub arguments: String,
    /// How much of them was sent on.
    pub sent: usize,
    /// Sent on by now: opened at the client.
    pub opened: bool,
    /// Closed at the client.
    pub closed: bool,
    /// The provider's own data.
    pub extra: Option<Box<RawValue>>,
    scan: Scan,
    /// Arguments came as an object, or as a string inside a string: only the end tells all.
    whole_only: bool,
}

impl Slot {
    /// Whether the arguments are a whole document.
    pub fn complete(&self) -> bool {
        self.scan.complete || self.whole_only
    }

    /// What may be sent on now.
    pub fn ready(&self) -> &str {
        if self.whole_only { "" } else { self.arguments.get(self.sent..).unwrap_or("") }
    }

    /// What is left to send when the call ends.
    pub fn last(&self) -> String {
        let rest = self.arguments.get(self.sent..).unwrap_or("");
        if self.whole_only && self.sent == 0 {
            let inner = serde_json::from_str::<String>(rest.trim()).ok();
            return inner.unwrap_or_else(|| rest.to_owned());
        }
        rest.to_owned()
    }

    fn add(&mut self, raw: &RawValue) {
        let raw = raw.get();
        if raw == "null" {
            return;
        }
        if !raw.starts_with('"') {
            // The object itself in place of its text. An empty one may precede the real one.
            if self.sent == 0 && (self.arguments.is_empty() || raw != "{}") {
                self.arguments = raw.to_owned();
                self.whole_only = true;
            }
            return;
        }
        let Ok(Str(piece)) = serde_json::from_str::<Str<'_>>(raw) else { return };
        if piece.is_empty() {
            return;
        }
        if self.whole_only && !self.arguments.starts_with('"') {
            return;
        }
        let body = self.arguments.trim_start();
        // The whole so far, again: a snapshot. `{` twice is never JSON, so that nothing real
        // is taken for one.
        let snapshot = body.starts_with('{')
            && piece.len() >= self.arguments.len()
            && piece.starts_with(&self.arguments);
        if snapshot {
            let fresh = piece[self.arguments.len()..].to_owned();
            self.scan.feed(&fresh);
            self.arguments = piece.into_owned();
            return;
        }
        if self.scan.complete && !self.whole_only {
            // Nothing may follow a whole document.
            return;
        }
        if body.is_empty() && piece.trim_start().starts_with('"') {
            self.whole_only = true;
        }
        self.scan.feed(&piece);
        self.arguments.push_str(&piece);
    }
}

/// The calls of one answer, in the order in which they began.
#[derive(Debug, Default)]
pub struct Calls {
    /// In order.
    pub slots: Vec<Slot>,
}

impl Calls {
    /// Adds the pieces of one chunk.
    pub fn add(&mut self, deltas: &[CallDelta<'_>], declared: &Declared) {
        let before = self.slots.len();
        for delta in deltas {
            let function = delta.function.as_ref();
            let name = match function.map(|f| text(&f.name)) {
                None | Some("") => text(&delta.name),
                Some(name) => name,
            };
            let arguments = function.and_then(|f| f.arguments).or(delta.arguments);
            let id = text(&delta.id);
            // Several unnumbered calls in one chunk are several calls.
            let fresh_only = deltas.len() > 1 && delta.index.0.is_none() && id.is_empty() && !name.is_empty();
            let at = self
                .find(id, delta.index.0, name, arguments, declared)
                .filter(|at| !(fresh_only && *at >= before));
            let at = at.unwrap_or_else(|| {
                self.slots.push(Slot { index: delta.index.0, ..Slot::default() });
                self.slots.len() - 1
            });
            let slot = &mut self.slots[at];
            if slot.id.is_empty() {
                slot.id = id.to_owned();
            }
            if !slot.opened && !name.is_empty() && slot.name != name {
                let joined = format!("{}{name}", slot.name);
                slot.name =
                    if declared.knows(&joined) && !declared.knows(name) { joined } else { name.to_owned() };
            }
            if let Some(raw) = arguments {
                slot.add(raw);
            }
            if let Some(extra) = delta.extra_content.filter(|e| e.get() != "null") {
                slot.extra = Some(extra.to_owned());
            }
        }
    }

    /// Adds a call that was found in text.
    pub fn push_whole(&mut self, name: String, arguments: String) {
        let mut slot = Slot { name, ..Slot::default() };
        slot.scan.feed(&arguments);
        slot.arguments = arguments;
        self.slots.push(slot);
    }

    /// Which call a piece belongs to; none for a new one.
    fn find(
        &self,
        id: &str,
        index: Option<i64>,
        name: &str,
        arguments: Option<&RawValue>,
        declared: &Declared,
    ) -> Option<usize> {
        if !id.is_empty() {
            let same = |s: &Slot| s.id == id && (index.is_none() || s.index.is_none() || s.index == index);
            if let Some(at) = self.slots.iter().rposition(same) {
                return Some(at);
            }
        }
        let at = match index {
            Some(index) => self.slots.iter().rposition(|s| s.index == Some(index))?,
            None => self.slots.len().checked_sub(1)?,
        };
        let slot = &self.slots[at];
        if !id.is_empty() {
            // A late identifier for a call that has none, or a new call at a used number.
            let late = slot.id.is_empty()
                && !slot.complete()
                && (name.is_empty() || slot.name.is_empty() || slot.name == name);
            return late.then_some(at);
        }
        if name.is_empty() || slot.name.is_empty() {
            return Some(at);
        }
        // A name again without an identifier: the same call unless its arguments are whole
        // and these are others.
        let repeats = arguments.is_none_or(|raw| {
            let piece =
                serde_json::from_str::<Str<'_>>(raw.get()).map(|s| s.0.into_owned()).unwrap_or_default();
            piece.is_empty() || piece.starts_with(&slot.arguments)
        });
        let joined = declared.knows(&format!("{}{name}", slot.name));
        let same = if slot.complete() {
            slot.name == name && repeats && arguments.is_some_and(|a| a.get() != "\"\"")
        } else {
            slot.name == name || joined || slot.arguments.is_empty() && index.is_some()
        };
        same.then_some(at)
    }
}
