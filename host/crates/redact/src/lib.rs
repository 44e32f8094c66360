//! Redaction: what every text passes before it leaves the process.
//!
//! First everything goes that a reader does not see ([`visible`]); then known secrets in their
//! encodings are masked, which no policy can switch off; then the redaction policies see what is
//! left. When a policy fails, the text is withheld. Lines are never joined or dropped, and
//! masking what is masked already changes nothing.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

pub mod log;
pub mod sanitize;

mod encodings;
mod known;
mod masker;
mod spans;
#[cfg(test)]
mod tests;
mod visible;

use std::sync::Arc;

use known::KnownSecrets;
pub use masker::Masker;
use model::secret::Secret;
use model::types::Span;
use spans::Mask;
/// How a mask begins.
pub use spans::OPEN as MASK_BEGINS;
pub use visible::visible;

/// Bytes that are looked at in one go: an unfinished or overlong line is held back up to
/// here, then passed on piece by piece.
const WINDOW: usize = 64 * 1024;
/// Bytes at a window's end that wait for what follows: longer than any secret on one line
/// but for private keys, which the policies carry over.
const OVERLAP: usize = 4 * 1024;
/// Bytes before a window that are shown to the policies again, so that `token = ` is seen
/// with its value.
const CONTEXT: usize = 512;
/// What is written in place of each line of a text that a policy failed on.
const WITHHELD: &str = "[WITHHELD]";

/// What finds secrets that are not known beforehand; the program's policies.
pub trait Finder: Send + Sync {
    /// The secrets in `text`, whole lines of a longer text, and what the next call needs
    /// to know. `carry` is what the call before gave, empty for the first. An error
    /// withholds the text.
    fn find_secrets(&self, text: &str, carry: &[String]) -> Result<(Vec<Span>, Vec<String>), String>;
}

/// Masks secrets; cheap to clone, shared between threads. Its methods block.
#[derive(Clone)]
pub struct Redactor {
    known: Arc<KnownSecrets>,
    policies: Option<Arc<dyn Finder>>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("policies", &self.policies.is_some()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// A redactor for these secrets (name and value) and policies. A value shorter than
    /// eight bytes is not masked: it would flood the text with masks.
    pub fn new(secrets: Vec<(String, Secret)>, policies: Option<Arc<dyn Finder>>) -> Self {
        Redactor { known: Arc::new(KnownSecrets::new(&secrets)), policies }
    }

    /// A whole text as a reader sees it, masked; its lines replaced by a marker when a policy
    /// failed.
    pub fn text(&self, text: &str) -> String {
        let mut stream = self.stream();
        let mut out = stream.push(text);
        out.push_str(&stream.finish());
        out
    }

    /// A text whose bytes matter (a patch, a file): as it is when there is nothing to mask in
    /// what a reader sees of it, else as [`Redactor::text`].
    pub fn exact(&self, text: &str) -> String {
        let masked = self.text(text);
        if masked == visible(text) { text.to_owned() } else { masked }
    }

    /// Only the known secrets masked, in a text that otherwise stays as it is: for short texts
    /// of our own where a policy's time is not to be spent, such as error messages and paths,
    /// and for what policies are shown.
    pub fn known_secrets_only(&self, text: &str) -> String {
        let seen = visible(text);
        let found = self.known.find(&seen);
        if found.is_empty() { text.to_owned() } else { spans::render(&seen, 0..seen.len(), &found) }
    }

    /// Known secrets masked in a JSON document, which stays one.
    pub fn known_secrets_in_json(&self, document: &str) -> String {
        let mut masker = self.masker(true);
        let mut out = masker.push(document).into_owned();
        out.push_str(&masker.finish());
        out
    }

    /// Whether any secret is known.
    pub fn knows_secrets(&self) -> bool {
        !self.known.is_empty()
    }

    /// Masks known secrets in a text that comes in small pieces and must go on at once; `json`
    /// when the pieces together are a JSON document.
    pub fn masker(&self, json: bool) -> Masker {
        Masker::new(Arc::clone(&self.known), json)
    }

    /// For a text that comes in pieces.
    pub fn stream(&self) -> Stream {
        let window = WINDOW.max(self.known.longest() * 4);
        Stream {
            redactor: self.clone(),
            window,
            pieces: visible::Pieces::default(),
            raw: String::new(),
            masked: String::new(),
            context: 0,
            carry: Vec::new(),
            withheld: None,
        }
    }
}

/// A text that comes in pieces, cut anywhere; masked lines come out. Holds at most an
/// unfinished line, and of that at most some 128 KiB.
pub struct Stream {
    redactor: Redactor,
    window: usize,
    pieces: visible::Pieces,
    /// Known secrets are not masked yet: the end of an unfinished line.
    raw: String,
    /// Known secrets are masked; waits for the policies.
    masked: String,
    /// Bytes at the front of `masked` that came out already and stay as context.
    context: usize,
    /// What the policies carry from one piece to the next.
    carry: Vec<String>,
    /// Why a policy failed. Nothing comes out after that: an open private key may have
    /// been forgotten.
    withheld: Option<String>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the text that waits: it is not masked yet.
        f.debug_struct("Stream")
            .field("waiting", &(self.raw.len() + self.masked.len()))
            .finish_non_exhaustive()
    }
}

impl Stream {
    /// Takes the next piece and gives the lines that are complete now; of a line that is
    /// longer than 64 KiB, what can no longer be part of a secret.
    pub fn push(&mut self, text: &str) -> String {
        self.raw.push_str(&self.pieces.push(text));
        self.advance(false)
    }

    /// Gives what is left. The stream can be used again for another text.
    pub fn finish(&mut self) -> String {
        self.raw.push_str(&self.pieces.finish());
        let out = self.advance(true);
        self.carry.clear();
        self.context = 0;
        self.masked.clear();
        self.withheld = None;
        out
    }

    fn advance(&mut self, last: bool) -> String {
        self.mask_known(last);
        self.mask_found(last)
    }

    /// From `raw` to `masked`: whole lines, and of an overlong line all but its end.
    fn mask_known(&mut self, last: bool) {
        let mut from = 0;
        loop {
            let rest = &self.raw[from..];
            let whole = match rest.rfind('\n') {
                _ if last => rest.len(),
                Some(end) => end + 1,
                None if rest.len() > self.window => rest.len(),
                None => break,
            };
            if whole == 0 {
                break;
            }
            let piece = &rest[..whole];
            let found = self.redactor.known.find(piece);
            let cut = if last || piece.ends_with('\n') {
                whole
            } else {
                let keep = OVERLAP.max(self.redactor.known.longest() * 2);
                cut_before(piece, whole - keep.min(whole), 0, &found)
            };
            self.masked.push_str(&spans::render(piece, 0..cut, &found));
            from += cut;
        }
        self.raw.drain(..from);
    }

    /// From `masked` to the outside.
    fn mask_found(&mut self, last: bool) -> String {
        let Some(policies) = self.redactor.policies.clone() else { return std::mem::take(&mut self.masked) };
        let mut out = String::new();
        let mut from = 0;
        loop {
            let rest = &self.masked[from..];
            let window = rest.floor_char_boundary(self.window);
            let lines = rest[..window].rfind('\n').filter(|end| *end >= self.context).map(|end| end + 1);
            let piece = match lines {
                Some(end) => &rest[..end],
                None if rest.len() > window || last => &rest[..window],
                None => break,
            };
            if piece.len() <= self.context && piece.len() == rest.len() {
                break;
            }
            let whole = lines.is_some() || piece.len() == rest.len();
            if self.withheld.is_some() {
                out.push_str(&withheld(&piece[self.context..], None));
                from += piece.len();
                self.context = 0;
                continue;
            }
            let spans = match policies.find_secrets(piece, &self.carry) {
                Ok((spans, carry)) => {
                    self.carry = carry;
                    spans
                }
                Err(reason) => {
                    let reason = self.redactor.known_secrets_only(&sanitize::line(&reason, 300));
                    out.push_str(&withheld(&piece[self.context..], Some(&reason)));
                    self.withheld = Some(reason);
                    from += piece.len();
                    self.context = 0;
                    continue;
                }
            };
            let found = spans::normalise(piece, spans.into_iter().map(Mask::from).collect());
            if whole {
                out.push_str(&spans::render(piece, self.context..piece.len(), &found));
                from += piece.len();
                self.context = 0;
            } else {
                let cut = cut_before(piece, piece.len() - OVERLAP, self.context, &found);
                out.push_str(&spans::render(piece, self.context..cut, &found));
                let keep = piece.floor_char_boundary(cut.saturating_sub(CONTEXT));
                self.context = cut - keep;
                from += keep;
            }
        }
        self.masked.drain(..from);
        out
    }
}

/// The place near `at` where `piece` may be cut so that no mask is cut: before a mask that
/// covers it, or behind it when it reaches back to `least`.
fn cut_before(piece: &str, at: usize, least: usize, masks: &[Mask]) -> usize {
    let at = piece.floor_char_boundary(at);
    match masks.iter().find(|mask| mask.range.start < at && at < mask.range.end) {
        Some(mask) if mask.range.start > least => mask.range.start,
        Some(mask) => mask.range.end,
        None => at,
    }
}

/// One marker a line, the first with the reason.
fn withheld(piece: &str, reason: Option<&str>) -> String {
    let mut out = String::new();
    for (n, line) in piece.split_inclusive('\n').enumerate() {
        match reason {
            Some(reason) if n == 0 => {
                out.push_str(&format!("[WITHHELD: a redaction policy failed: {reason}]"))
            }
            _ => out.push_str(WITHHELD),
        }
        if line.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

impl From<Span> for Mask {
    fn from(span: Span) -> Self {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let rule = if !span.rule.is_empty() && span.rule.len() <= 64 && span.rule.bytes().all(plain) {
            span.rule.as_str()
        } else {
            "secret"
        };
        Mask { range: span.start as usize..span.end as usize, rule: rule.into() }
    }
}
