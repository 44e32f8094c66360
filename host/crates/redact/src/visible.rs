//! What a reader sees of a text: without terminal sequences and characters that show nothing or
//! change how others are shown. Redaction looks at this text and sanitising gives it out, so that
//! neither can be misled by what the other takes away.

use std::borrow::Cow;

/// The text without terminal sequences, invisible and control characters; line ends and tabs
/// stay.
pub fn visible(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\r' | b'\t')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    characters(text).filter(|c| !is_control(*c)).for_each(|c| out.push(c));
    Cow::Owned(out)
}

/// The same for a text that comes in pieces: a sequence that was begun is held back.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    held: String,
}

impl Pieces {
    /// What is to be seen of the next piece.
    pub(crate) fn push(&mut self, piece: &str) -> String {
        self.held.push_str(piece);
        let from = self.held.len().saturating_sub(SEQUENCE_MAX + 4);
        let bytes = self.held.as_bytes();
        let begun = (from..bytes.len()).rev().find(|at| bytes[*at] == ESC);
        // The last byte may be the first half of what ends the sequence before it.
        let before = begun
            .filter(|at| at + 1 == bytes.len())
            .and_then(|at| (from..at).rev().find(|before| bytes[*before] == ESC))
            .filter(|before| escape_end(bytes, *before) + 1 == bytes.len());
        let cut = before.or(begun.filter(|at| escape_end(bytes, *at) == bytes.len())).unwrap_or(bytes.len());
        let rest = self.held.split_off(cut);
        visible(&std::mem::replace(&mut self.held, rest)).into_owned()
    }

    /// What is left.
    pub(crate) fn finish(&mut self) -> String {
        visible(&std::mem::take(&mut self.held)).into_owned()
    }
}

/// Every character that is no part of a terminal sequence and not invisible; control characters
/// are among them.
pub(crate) fn characters(text: &str) -> impl Iterator<Item = char> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let c = text[at..].chars().next()?;
            if c == '\x1b' {
                at = escape_end(bytes, at);
                continue;
            }
            at += c.len_utf8();
            if !is_invisible(c) {
                return Some(c);
            }
        }
    })
}

/// Control characters but for line ends and tabs.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{85}')
}

/// Characters that show nothing or change how others are shown: soft hyphen, joiners, zero-width
/// spaces, directional marks, isolates and overrides, Hangul fillers, variation selectors, the
/// Mongolian vowel separator, invisible operators, musical and shorthand format controls, tags,
/// byte-order marks.
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c as u32,
        0xAD | 0x034F | 0x061C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
        | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB
        | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF)
}

/// No terminal sequence is longer.
const SEQUENCE_MAX: usize = 4096;

const ESC: u8 = 0x1b;

/// The end of the escape sequence that begins at `at`, on a character border: CSI, OSC
/// (up to BEL or ST, never over a line end and not longer than [`SEQUENCE_MAX`]), a character
/// set, or ESC with one more character.
pub(crate) fn escape_end(bytes: &[u8], at: usize) -> usize {
    let after = at + 1;
    match bytes.get(after) {
        Some(b'[') => {
            let rest = &bytes[after + 1..bytes.len().min(after + 1 + SEQUENCE_MAX)];
            let body = rest.iter().take_while(|b| (0x20..0x40).contains(*b)).count();
            let last = after + 1 + body;
            if bytes.get(last).is_some_and(|b| (0x40..0x7f).contains(b)) { last + 1 } else { last }
        }
        Some(b']' | b'P' | b'^' | b'_') => {
            let rest = &bytes[after + 1..bytes.len().min(after + 1 + SEQUENCE_MAX)];
            let body = rest.iter().take_while(|b| !matches!(**b, 0x07 | ESC | b'\n')).count();
            if body == SEQUENCE_MAX {
                return after + 1;
            }
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
    fn what_is_seen() {
        for (text, seen) in [
            ("plain\r\n\ttext", "plain\r\n\ttext"),
            ("a\x1b[31mTOK\x1b[0mEN\x1b]8;;x\x07é\x1b(B.\x1b", "aTOKENé."),
            ("\x1b]0;title\x1b\\x", "x"),
            ("a\x00b\x08c\x7fd\u{9b}e", "abcde"),
            ("zero\u{200b}width\u{200d}join\u{feff}er", "zerowidthjoiner"),
            ("soft\u{ad}hyphen, cgj\u{34f}, mvs\u{180e}", "softhyphen, cgj, mvs"),
            ("rtl\u{202e}iso\u{2066}late\u{2069}alm\u{61c}", "rtlisolatealm"),
            ("vs\u{fe0f}\u{e0100}tag\u{e0041}", "vstag"),
            ("math\u{2061}\u{2062}\u{2063}\u{2064}", "math"),
            ("hangul\u{115f}\u{1160}\u{3164}\u{ffa0}", "hangul"),
            ("music\u{1d173}shorthand\u{1bca0}", "musicshorthand"),
            ("line\u{2028}paragraph\u{2029}next\u{85}", "line\u{2028}paragraph\u{2029}next\u{85}"),
            ("é漢 🙂", "é漢 🙂"),
        ] {
            assert_eq!(visible(text), seen, "{text:?}");
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let mut pieces = Pieces::default();
                let out = pieces.push(&text[..at]) + &pieces.push(&text[at..]) + &pieces.finish();
                assert_eq!(out, seen, "{text:?} cut at {at}");
            }
        }
        let hidden = format!("a\x1b]{}b", "x".repeat(SEQUENCE_MAX * 2));
        assert!(visible(&hidden).len() > SEQUENCE_MAX, "a sequence that never ends hides nothing");
    }
}
