//! Known secrets masked in a text that comes in small pieces and goes on at once: only what may
//! be the beginning of a secret waits for the next piece. A JSON document is read by the
//! characters that it means, and stays one.

use std::borrow::Cow;
use std::sync::Arc;

use super::known::KnownSecrets;
use super::spans;
use super::visible::is_invisible;

/// Masks one text.
pub struct Masker {
    known: Arc<KnownSecrets>,
    json: bool,
    /// What waits, as it came.
    held: String,
    /// In JSON: whether `held` begins inside a string.
    in_string: bool,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the text that waits: it is not masked yet.
        f.debug_struct("Masker").field("waiting", &self.held.len()).finish_non_exhaustive()
    }
}

/// One character of the text, escapes taken as one.
struct Token {
    /// Where it begins in the text.
    at: usize,
    /// Where it begins in what it means.
    means: usize,
    /// In JSON: whether it begins inside a string.
    in_string: bool,
}

impl Masker {
    pub(super) fn new(known: Arc<KnownSecrets>, json: bool) -> Self {
        Masker { known, json, held: String::new(), in_string: false }
    }

    /// Takes a piece and gives what can go on.
    pub fn push<'x>(&mut self, piece: &'x str) -> Cow<'x, str> {
        if self.known.is_empty() {
            return Cow::Borrowed(piece);
        }
        // An invisible character does not hide what begins before it, and escapes mean others.
        if !self.json && self.held.is_empty() && piece.is_ascii() && self.known.none_begins(piece) {
            return Cow::Borrowed(piece);
        }
        self.held.push_str(piece);
        Cow::Owned(self.advance(false))
    }

    /// Gives what is left. The masker can be used again for another text.
    pub fn finish(&mut self) -> String {
        let mut out = self.advance(true);
        out.push_str(&std::mem::take(&mut self.held));
        self.in_string = false;
        out
    }

    /// The tokens of `held`, what they mean, and where an unfinished escape begins.
    fn tokens(&self) -> (Vec<Token>, String, usize, bool) {
        let text = self.held.as_str();
        let mut tokens = Vec::with_capacity(text.len());
        let mut meaning = String::with_capacity(text.len());
        let mut in_string = self.in_string;
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            tokens.push(Token { at, means: meaning.len(), in_string });
            let mut width = c.len_utf8();
            let mut means = Some(c);
            match (self.json, in_string, c) {
                (false, ..) => {}
                // No secret goes over the end of a string.
                (true, _, '"') => {
                    in_string = !in_string;
                    means = Some('\0');
                }
                (true, true, '\\') => match escape(&text[at..]) {
                    Some((length, character)) => (width, means) = (length, Some(character)),
                    None => {
                        tokens.pop();
                        break;
                    }
                },
                _ => {}
            }
            at += width;
            meaning.extend(means.filter(|c| !is_invisible(*c)));
        }
        (tokens, meaning, at, in_string)
    }

    fn advance(&mut self, last: bool) -> String {
        let (tokens, meaning, end, in_string) = self.tokens();
        let found = self.known.find(&meaning);
        let mut cut = if last { meaning.len() } else { meaning.len() - self.known.begun(&meaning) };
        if let Some(mask) = found.iter().find(|mask| mask.range.start < cut && cut < mask.range.end) {
            cut = mask.range.end;
        }
        // The first token that means this place, and the place behind the last one before it.
        let token = |means: usize| tokens.partition_point(|token| token.means < means);
        let place = |means: usize| tokens.get(token(means)).map_or(end, |token| token.at);
        let text = self.held.as_str();
        let mut out = String::with_capacity(end);
        let mut done = 0;
        for mask in found.iter().filter(|mask| mask.range.end <= cut) {
            let at = token(mask.range.start + 1).saturating_sub(1);
            let Some(first) = tokens.get(at) else { continue };
            out.push_str(&text[done..first.at]);
            let token = spans::token(&mask.rule);
            // A number or a word of JSON cannot be replaced by bare words.
            if self.json && !first.in_string {
                out.push_str(&format!("\"{token}\""));
            } else {
                out.push_str(&token);
            }
            done = place(mask.range.end);
        }
        let cut_at = if cut == meaning.len() { end } else { place(cut) };
        let cut_at = cut_at.max(done);
        out.push_str(&text[done..cut_at]);
        self.in_string =
            tokens.iter().find(|token| token.at >= cut_at).map_or(in_string, |token| token.in_string);
        self.held.drain(..cut_at);
        out
    }
}

/// The length of the escape at the beginning of `text` and what it means; none when it is not
/// complete.
fn escape(text: &str) -> Option<(usize, char)> {
    let means = match *text.as_bytes().get(1)? {
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => {
            let digits = text.get(2..6)?;
            let unit = u32::from_str_radix(digits, 16).ok();
            // Half of a pair is in no secret.
            return Some((6, unit.and_then(char::from_u32).unwrap_or('\u{fffd}')));
        }
        _ => text[1..].chars().next()?,
    };
    Some((1 + means.len_utf8().min(text.len() - 1), means))
}

#[cfg(test)]
mod tests {
    use crate::Redactor;
    use model::secret::Secret;
    use proptest::prelude::*;

    const KEY: &str = "sk-Qz7\"x/9\\né&Zt42";

    fn redactor() -> Redactor {
        let secret = |name: &str, value: &str| (name.to_owned(), Secret::new(value));
        Redactor::new(
            vec![secret("KEY", KEY), secret("number", "8812345678"), secret("n", "nabcdefgh")],
            None,
        )
    }

    /// The text in pieces of every size.
    fn pieces(text: &str, json: bool) -> String {
        let mut whole = None;
        for size in [1, 2, 3, 5, 7, 11, text.len().max(1)] {
            let mut masker = redactor().masker(json);
            let mut out = String::new();
            let mut rest = text;
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.ceil_char_boundary(size.min(rest.len())));
                out.push_str(&masker.push(piece));
                rest = after;
            }
            out.push_str(&masker.finish());
            assert_eq!(*whole.get_or_insert_with(|| out.clone()), out, "{text:?} in pieces of {size}");
        }
        whole.unwrap_or_default()
    }

    #[test]
    fn texts() {
        for (text, expected) in [
            ("nothing here", "nothing here"),
            (KEY, "[REDACTED:key]"),
            (&format!("a {KEY}{KEY} b"), "a [REDACTED:key][REDACTED:key] b"),
            ("sk-Qz7 is not it, nor sk-Q", "sk-Qz7 is not it, nor sk-Q"),
            ("s\u{200b}k-Qz7\"x/9\\n\u{ad}é&Zt42!", "[REDACTED:key]!"),
            ("é漢🙂\u{fe0f}", "é漢🙂\u{fe0f}"),
            ("", ""),
        ] {
            assert_eq!(pieces(text, false), expected, "{text:?}");
        }
    }

    #[test]
    fn documents() {
        let written = |value: &str| serde_json::json!({"a": value, "b": ["x", 1]}).to_string();
        for (document, expected) in [
            (written("nothing"), written("nothing")),
            (written(KEY), written("[REDACTED:key]")),
            (written(&format!("say \"{KEY}\"\n")), written("say \"[REDACTED:key]\"\n")),
            // Other escapes of the same characters.
            (
                r#"{"a":"\u0073k-Qz7\u0022x\/9\u005cn\u00e9\u0026Zt42"}"#.to_owned(),
                r#"{"a":"[REDACTED:key]"}"#.to_owned(),
            ),
            (r#"{"a":"s\u200bk-Qz7\"x/9\\né&Zt42"}"#.to_owned(), r#"{"a":"[REDACTED:key]"}"#.to_owned()),
            // Escapes that only look like a part of a secret.
            (r#"{"a":"\nabcdefgh"}"#.to_owned(), r#"{"a":"\nabcdefgh"}"#.to_owned()),
            (r#"{"a":"nabcdefgh\\"}"#.to_owned(), r#"{"a":"[REDACTED:n]\\"}"#.to_owned()),
            // A number, and a secret over two strings.
            (r#"{"a":8812345678,"b":1}"#.to_owned(), r#"{"a":"[REDACTED:number]","b":1}"#.to_owned()),
            (r#"{"nabc":"defgh"}"#.to_owned(), r#"{"nabc":"defgh"}"#.to_owned()),
            // Half a document.
            (r#"{"a":"nabcdefg"#.to_owned(), r#"{"a":"nabcdefg"#.to_owned()),
            (r#"{"a":"x\u00"#.to_owned(), r#"{"a":"x\u00"#.to_owned()),
        ] {
            assert_eq!(pieces(&document, true), expected, "{document}");
        }
    }

    #[test]
    fn only_the_beginning_of_a_secret_waits() {
        let mut masker = redactor().masker(false);
        assert_eq!(masker.push("Hello, "), "Hello, ");
        assert_eq!(masker.push("sk-"), "");
        assert_eq!(masker.push("ip it. "), "sk-ip it. ");
        assert_eq!(masker.finish(), "");
    }

    proptest! {
        /// A document stays a document, and no secret is in it, whatever is around.
        #[test]
        fn documents_stay_documents(texts in proptest::collection::vec(
            prop_oneof![Just(KEY.to_owned()), Just("nabcdefgh".to_owned()), "[\\PC\n\"\\\\n]{0,12}"], 0..6))
        {
            let document = serde_json::json!({"x": texts, "y": texts.concat()}).to_string();
            let masked = pieces(&document, true);
            let value: Result<serde_json::Value, _> = serde_json::from_str(&masked);
            prop_assert!(value.is_ok(), "{masked}");
            let all = value.map(|v| v["y"].as_str().unwrap_or("").to_owned()).unwrap_or_default();
            prop_assert!(!all.contains(KEY) && !all.contains("nabcdefgh"), "{all}");
        }
    }
}
