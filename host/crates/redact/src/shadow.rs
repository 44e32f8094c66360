//! A text without its terminal escape sequences, and the way back to the original.

use std::ops::Range;

/// The text as a person reads it, and where each part came from.
#[derive(Clone, Debug)]
pub(super) struct Plain {
    pub(super) text: String,
    /// (offset in `text`, offset in the original) of each part that was kept.
    parts: Vec<(usize, usize)>,
}

impl Plain {
    /// The range of the original that `range` of the plain text came from, with the
    /// escape sequences inside it.
    pub(super) fn original(&self, range: Range<usize>) -> Range<usize> {
        let start = self.offset(range.start);
        let end = self.offset(range.end.saturating_sub(1)) + 1;
        start..end.max(start)
    }

    fn offset(&self, at: usize) -> usize {
        let part = self.parts.partition_point(|(plain, _)| *plain <= at).saturating_sub(1);
        self.parts.get(part).map_or(at, |(plain, original)| original + (at - plain))
    }
}

/// `text` without escape sequences; nothing when it has none.
pub(super) fn plain(text: &str) -> Option<Plain> {
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

const ESC: u8 = 0x1b;

/// The end of the escape sequence that begins at `at`, on a character border: CSI, OSC
/// (up to BEL or ST, never over a line end), a character set, or ESC with one more character.
pub(crate) fn escape_end(bytes: &[u8], at: usize) -> usize {
    let after = at + 1;
    match bytes.get(after) {
        Some(b'[') => {
            let body = bytes[after + 1..].iter().take_while(|b| (0x20..0x40).contains(*b)).count();
            let last = after + 1 + body;
            if bytes.get(last).is_some_and(|b| (0x40..0x7f).contains(b)) { last + 1 } else { last }
        }
        Some(b']' | b'P' | b'^' | b'_') => {
            let body = bytes[after + 1..].iter().take_while(|b| !matches!(**b, 0x07 | ESC | b'\n')).count();
            let last = after + 1 + body;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_back() {
        let text = "a\x1b[31mTOK\x1b[0mEN\x1b]8;;x\x07é\x1b(B.\x1b";
        let plain = plain(text).expect("there are escapes");
        assert_eq!(plain.text, "aTOKENé.");
        let token = plain.text.find("TOKEN").expect("kept");
        assert_eq!(&text[plain.original(token..token + 5)], "TOK\x1b[0mEN");
        assert!(super::plain("none").is_none());
    }
}
