//! Tool calls put together from pieces. Gateways number, name, repeat and wrap them in many
//! ways; here a piece finds its call, and a call knows how much of its arguments is safe to
//! send on. Pure.

use serde_json::value::RawValue;

use super::lenient::{Str, str_of};
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
    /// Whether a piece ends more than it begins, so that it is no document from the start.
    fn closes_too_much(piece: &str) -> bool {
        let mut scan = Scan { depth: 1_000, ..Scan::default() };
        scan.feed(piece);
        scan.depth < 1_000
    }

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

/// In what form the arguments come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    /// One piece so far: it may be the first of many, or a snapshot.
    #[default]
    Undecided,
    /// Pieces that belong behind each other.
    Pieces,
    /// Each piece is the whole so far.
    Snapshots,
    /// The object itself in place of its text: only the end tells all.
    Object,
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
    form: Form,
}

impl Slot {
    /// Whether the arguments are a whole document.
    pub fn complete(&self) -> bool {
        let body = self.arguments.trim();
        if body.starts_with('"') {
            return body.len() > 1 && body.ends_with('"') && serde_json::from_str::<String>(body).is_ok();
        }
        self.form == Form::Object || self.scan.complete
    }

    /// Whether nothing was ever said about it: gateways send such calls beside text.
    pub fn is_blank(&self) -> bool {
        self.name.is_empty() && matches!(self.arguments.trim(), "" | "{}" | "null")
    }

    /// What may be sent on now: pieces of an object, but not a lone `{}`, which some gateways
    /// put before the real arguments.
    pub fn ready(&self) -> &str {
        let body = self.arguments.trim();
        let object = body.starts_with('{') && body != "{}" && self.form != Form::Object;
        if object { self.arguments.get(self.sent..).unwrap_or("") } else { "" }
    }

    /// What is left to send when the call ends.
    pub fn last(&self) -> String {
        let rest = self.arguments.get(self.sent..).unwrap_or("");
        if self.sent > 0 {
            return rest.to_owned();
        }
        let mut body = rest.trim().to_owned();
        // A string that holds the document, sometimes twice.
        while let Ok(inner) = serde_json::from_str::<String>(&body) {
            body = inner.trim().to_owned();
        }
        let fenced = body.strip_prefix("```json").or(body.strip_prefix("```"));
        if let Some(inner) = fenced.and_then(|b| b.strip_suffix("```")).map(str::trim)
            && inner.starts_with('{')
        {
            body = inner.to_owned();
        }
        if matches!(body.as_str(), "null" | "None" | "undefined") { String::new() } else { body }
    }

    fn add(&mut self, raw: &RawValue) {
        let raw = raw.get();
        if raw == "null" {
            return;
        }
        if !raw.starts_with('"') {
            // An empty object may precede the real one.
            if self.sent == 0 && (self.arguments.is_empty() || raw != "{}") {
                self.arguments = raw.to_owned();
                self.form = Form::Object;
            }
            return;
        }
        let Ok(Str(piece)) = serde_json::from_str::<Str<'_>>(raw) else { return };
        if piece.is_empty() || self.form == Form::Object {
            return;
        }
        if self.arguments.trim() == "{}" && self.sent == 0 && piece.trim_start().starts_with('{') {
            self.arguments.clear();
            self.scan = Scan::default();
        }
        if self.arguments.is_empty() {
            self.scan.feed(&piece);
            self.arguments = piece.into_owned();
            return;
        }
        // `{` twice is never JSON, so that what begins with the whole so far is a snapshot;
        // once pieces have come, the same beginning is a nested object's.
        let snapshot = matches!(self.form, Form::Undecided | Form::Snapshots)
            && self.arguments.trim_start().starts_with('{')
            && piece.starts_with(&self.arguments)
            && !Scan::closes_too_much(&piece);
        if snapshot {
            self.form = Form::Snapshots;
            self.scan.feed(&piece[self.arguments.len()..]);
            self.arguments = piece.into_owned();
            return;
        }
        if self.scan.complete {
            // Nothing may follow a whole document.
            return;
        }
        self.form = Form::Pieces;
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
            let name = match function.map(|f| str_of(&f.name)) {
                None | Some("") => str_of(&delta.name),
                Some(name) => name,
            };
            let arguments = function.and_then(|f| f.arguments).or(delta.arguments);
            let id = str_of(&delta.id);
            let extra = delta.extra_content.filter(|e| e.get() != "null");
            let says_nothing = arguments.is_none_or(|a| matches!(a.get(), "null" | "\"\""));
            if id.is_empty() && name.is_empty() && says_nothing && extra.is_none() {
                continue;
            }
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
            if let Some(extra) = extra {
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
            // A late identifier for a call that has none, a new one in every chunk of the
            // same call (older vLLM), or a new call at a used number.
            let late = slot.id.is_empty() && (name.is_empty() || slot.name.is_empty() || slot.name == name);
            let goes_on = name.is_empty() || (slot.name == name && arguments.is_some_and(continues));
            return (!slot.complete() && (late || goes_on)).then_some(at);
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

/// Whether a piece of arguments cannot be the beginning of an object.
fn continues(raw: &RawValue) -> bool {
    let piece = serde_json::from_str::<Str<'_>>(raw.get()).map(|s| s.0.into_owned()).unwrap_or_default();
    !piece.is_empty() && !piece.trim_start().starts_with('{')
}
