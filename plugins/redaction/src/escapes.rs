//! A text without its terminal escape sequences, and the way back to the original.

/// The text as a person reads it, and where each part came from.
pub struct Plain {
    /// Without escape sequences.
    pub text: String,
    /// (offset in `text`, offset in the original) of each part that was kept.
    parts: Vec<(usize, usize)>,
}

impl Plain {
    /// The range of the original that this range of the plain text came from.
    pub fn original(&self, start: usize, end: usize) -> (usize, usize) {
        let first = self.offset(start);
        (first, (self.offset(end.saturating_sub(1)) + 1).max(first))
    }

    fn offset(&self, at: usize) -> usize {
        let part = self.parts.partition_point(|(plain, _)| *plain <= at).saturating_sub(1);
        self.parts.get(part).map_or(at, |(plain, original)| original + (at - plain))
    }
}

const ESC: u8 = 0x1b;

/// `text` without escape sequences; nothing when it has none.
pub fn plain(text: &str) -> Option<Plain> {
    let bytes = text.as_bytes();
    let mut at = bytes.iter().position(|b| *b == ESC)?;
    let mut plain = Plain { text: String::with_capacity(text.len()), parts: vec![(0, 0)] };
    plain.text.push_str(&text[..at]);
    while at < bytes.len() {
        at = escape_end(bytes, at);
        let next = bytes[at..].iter().position(|b| *b == ESC).map_or(bytes.len(), |n| at + n);
        plain.parts.push((plain.text.len(), at));
        plain.text.push_str(&text[at..next]);
        at = next;
    }
    Some(plain)
}

/// `start`, or where an unfinished escape sequence begins that ends there: the mask's own
/// `[` must not be taken for a part of it.
pub fn before_unfinished(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    if start == 0 || bytes[start - 1].is_ascii_alphabetic() {
        return start;
    }
    let from = start.saturating_sub(32);
    match bytes[from..start].iter().rposition(|b| *b == ESC) {
        Some(at) if escape_end(bytes, from + at) == start => from + at,
        _ => start,
    }
}

/// The end of the sequence that begins at `at`: CSI, OSC (never over a line end), a
/// character set, or ESC with one more character.
fn escape_end(bytes: &[u8], at: usize) -> usize {
    let after = at + 1;
    match bytes.get(after) {
        Some(b'[') => {
            let last =
                after + 1 + bytes[after + 1..].iter().take_while(|b| (0x20..0x40).contains(*b)).count();
            if bytes.get(last).is_some_and(|b| (0x40..0x7f).contains(b)) { last + 1 } else { last }
        }
        Some(b']' | b'P' | b'^' | b'_') => {
            let last = after
                + 1
                + bytes[after + 1..].iter().take_while(|b| !matches!(**b, 0x07 | ESC | b'\n')).count();
            match bytes.get(last) {
                Some(0x07) => last + 1,
                Some(&ESC) if bytes.get(last + 1) == Some(&b'\\') => last + 2,
                _ => last,
            }
        }
        Some(0x20..=0x2f) if bytes.get(after + 1).is_some_and(|b| (0x30..0x7f).contains(b)) => after + 2,
        Some(0x20..=0x7e) => after + 1,
        _ => after,
    }
}
