//! Untrusted prose made fit for a reply, a log or a prompt: no terminal sequences, control,
//! invisible or direction-changing characters, and no more bytes than asked for. It hides
//! no secret: that is the crate root's business.

use super::visible::characters;

const ELLIPSIS: &str = "…";

/// One line of at most `max_bytes`: line ends and tabs become spaces, as do other control
/// characters; spaces at both ends go.
pub fn line(text: &str, max_bytes: usize) -> String {
    // The usual case, at the cost of one look at each byte.
    if text.len() <= max_bytes && text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return text.trim().to_owned();
    }
    // Nothing behind this can come out, so a huge text costs no more than a small one.
    let clean: String =
        visible(capped_input(text, max_bytes)).map(|c| if c.is_control() { ' ' } else { c }).collect();
    cap(clean.trim(), text, max_bytes)
}

/// Lines of at most `max_bytes` altogether: `\n` and tabs stay, `\r\n` becomes `\n`, other
/// control characters become spaces.
pub fn text(text: &str, max_bytes: usize) -> String {
    let unix = capped_input(text, max_bytes).replace("\r\n", "\n");
    let clean: String =
        visible(&unix).map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c }).collect();
    cap(clean.trim_end(), text, max_bytes)
}

/// A text of any length that stays what it is but for terminal sequences, control, invisible
/// and direction-changing characters: nothing is trimmed or capped.
pub fn prose(text: &str) -> String {
    if text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\n' | b'\t')) {
        return text.to_owned();
    }
    let unix = text.replace("\r\n", "\n");
    visible(&unix).map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c }).collect()
}

/// At most `max_bytes` of `text`, cut on a character border.
pub fn prefix(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

fn capped_input(text: &str, max_bytes: usize) -> &str {
    prefix(text, max_bytes.saturating_mul(8).saturating_add(4096))
}

fn cap(clean: &str, whole: &str, max_bytes: usize) -> String {
    let cut_before = whole.len() > capped_input(whole, max_bytes).len();
    if clean.len() <= max_bytes && !cut_before {
        return clean.to_owned();
    }
    match max_bytes.checked_sub(ELLIPSIS.len()) {
        Some(room) => format!("{}{ELLIPSIS}", prefix(clean, room).trim_end()),
        None => prefix(clean, max_bytes).to_owned(),
    }
}

/// The characters that a reader sees, with control characters still among them.
fn visible(text: &str) -> impl Iterator<Item = char> {
    characters(text).map(|c| if matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}') { '\n' } else { c })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for (input, max, expected) in [
            ("plain", 80, "plain"),
            ("  a\r\nb\tc\u{2028}d ", 80, "a  b c d"),
            ("\x1b[31mred\x1b[0m \x1b]0;title\x07x", 80, "red x"),
            ("a\x00b\u{9b}c", 80, "a b c"),
            ("ab\u{202e}cd\u{200b}e\u{e0041}f", 80, "abcdef"),
            ("123456789", 9, "123456789"),
            ("1234567890", 9, "123456…"),
            ("äöüäöü", 8, "äö…"),
            ("äöü", 2, "ä"),
            ("", 0, ""),
        ] {
            assert_eq!(line(input, max), expected, "{input:?}");
        }
        assert_eq!(line(&"\u{200b}".repeat(1 << 20), 10), "…");
    }

    #[test]
    fn texts() {
        for (input, max, expected) in [
            ("a\r\nb\tc\n\n", 80, "a\nb\tc"),
            ("50%\r100%\x07", 80, "50% 100%"),
            ("one\ntwo\nthree", 10, "one\ntwo…"),
        ] {
            assert_eq!(text(input, max), expected, "{input:?}");
        }
    }
}
