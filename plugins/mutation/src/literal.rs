//! Another literal of the same kind and type, surely different from the first.

use crate::lex::{Kind, Strings, Token};

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// For equality: the next value will do.
    Exactly,
    /// Within a tolerance: the step is large.
    Nearly,
}

/// Another literal in the place of this token; `None` if it is no literal with a value, or
/// one for which nothing is surely different.
pub fn other(text: &str, token: &Token, strings: Strings, compared: Compared) -> Option<String> {
    match token.kind {
        Kind::Number => number(text, compared),
        Kind::Str => string(text, token, strings),
        Kind::Char => character(text, token),
        Kind::Word => word(text),
        _ => None,
    }
}

/// `true` and `false` in the spellings of the languages.
fn word(text: &str) -> Option<String> {
    let other = match text {
        "true" => "false",
        "false" => "true",
        "True" => "False",
        "False" => "True",
        "TRUE" => "FALSE",
        "FALSE" => "TRUE",
        _ => return None,
    };
    Some(other.to_owned())
}

/// Another digit in the place of this one.
fn digit(byte: u8) -> u8 {
    match byte {
        b'9' => b'8',
        b'0'..=b'8' => byte + 1,
        other => other,
    }
}

fn number(text: &str, compared: Compared) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    if bytes.len() > 2 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X' | b'b' | b'B' | b'o' | b'O') {
        // The last digit before a type suffix.
        let radix = match bytes[1] | 0x20 {
            b'x' => 16,
            b'o' => 8,
            _ => 2,
        };
        let suffix = text[2..].find(['u', 'i', 'n', 'L', 'l']).map_or(bytes.len(), |at| at + 2);
        let at = (2..suffix).rev().find(|at| char::from(bytes[*at]).is_digit(radix))?;
        out[at] = match bytes[at] {
            b'a' => b'b',
            b'A' => b'B',
            b'f' => b'e',
            b'F' => b'E',
            byte @ b'0'..=b'9' => byte ^ 1,
            byte => byte - 1,
        };
        return String::from_utf8(out).ok();
    }
    let digits_end =
        bytes.iter().position(|b| !matches!(b, b'0'..=b'9' | b'_' | b'.')).unwrap_or(bytes.len());
    let (mantissa, rest) = text.split_at(digits_end);
    let exponent = rest.starts_with(['e', 'E'])
        && rest[1..].starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
    let float = mantissa.contains('.') || exponent || matches!(rest, "f" | "F" | "f32" | "f64");
    if exponent && rest[1..].starts_with('-') {
        // So small that another digit might be within a tolerance.
        let suffix = rest[2..].trim_start_matches(|c: char| c.is_ascii_digit() || c == '_');
        let value = if mantissa.starts_with("7.5") { "8.5" } else { "7.5" };
        return Some(format!("{value}{suffix}"));
    }
    if float || compared == Compared::Nearly {
        // The first digit: the largest step that keeps the form.
        let at = bytes.iter().position(u8::is_ascii_digit)?;
        out[at] = digit(bytes[at]);
        if compared == Compared::Nearly && !float && mantissa.len() == 1 {
            // From 3 to 4 may be within the tolerance, from 3 to 43 is not.
            out.push(bytes[at]);
            if digits_end < bytes.len() {
                return None;
            }
        }
        return String::from_utf8(out).ok();
    }
    // The last digit, but never past the largest value of a type.
    let value: u128 = mantissa.replace('_', "").parse().ok()?;
    let at = (0..digits_end).rev().find(|at| bytes[*at].is_ascii_digit())?;
    let edge = value >= 127 && ((value + 1).is_power_of_two() || value.is_power_of_two());
    // An octal number of old has no 8 or 9.
    let octal = bytes.len() > 1 && bytes[0] == b'0';
    out[at] = match bytes[at] {
        byte if edge && byte > b'0' => byte - 1,
        byte @ b'1'..=b'9' if octal => byte - 1,
        byte => digit(byte),
    };
    String::from_utf8(out).ok()
}

fn character(text: &str, token: &Token) -> Option<String> {
    let (lead, tail) = (token.lead as usize, token.tail as usize);
    let inner = text.get(lead..text.len().checked_sub(tail)?)?;
    let other = match inner.as_bytes() {
        [byte @ (b'a'..=b'y' | b'A'..=b'Y' | b'0'..=b'8')] => char::from(byte + 1),
        [b'z'] => 'y',
        [b'Z'] => 'Y',
        [b'9'] => '8',
        [] => return None,
        _ => 'x',
    };
    Some(format!("{}{other}{}", &text[..lead], &text[text.len() - tail..]))
}

/// A string: a plain one gets another letter in place, so that its length stays; one with
/// escapes or code in it gets a letter more. What looks like a number or a date stays one.
fn string(text: &str, token: &Token, strings: Strings) -> Option<String> {
    let (lead, tail) = (token.lead as usize, token.tail as usize);
    let inner = text.get(lead..text.len().checked_sub(tail)?)?;
    let opening = &text[..lead];
    let closing = &text[text.len() - tail..];
    let plain = !inner.contains(['\\', '%', '{', '$', '#']);
    if plain && let Some(changed) = replaced(inner) {
        return Some(format!("{opening}{changed}{closing}"));
    }
    if strings == Strings::Rust && opening.contains('b') {
        // Another length is another type.
        return None;
    }
    // Ruby's `:name`, and words in `%w[…]`.
    if strings == Strings::Ruby && opening.starts_with(':') {
        return Some(format!("{opening}{inner}x"));
    }
    let risky = inner.ends_with(['%', '$', '\\', '#', '@', '{', '\n', ' ']) || inner.is_empty();
    if !inner.is_empty() && risky {
        // In front, where nothing before it can swallow it.
        return (!inner.starts_with(['\n', '\r'])).then(|| format!("{opening}x{inner}{closing}"));
    }
    Some(format!("{opening}{inner}x{closing}"))
}

/// The text with one character replaced: of what begins like a number the first digit, else
/// the last letter or digit.
fn replaced(inner: &str) -> Option<String> {
    let bytes = inner.as_bytes();
    let sign = usize::from(inner.starts_with(['-', '+', '$']));
    let at = if bytes.get(sign).is_some_and(u8::is_ascii_digit) {
        sign
    } else {
        bytes.iter().rposition(u8::is_ascii_alphanumeric)?
    };
    let mut out = bytes.to_vec();
    out[at] = match bytes[at] {
        b'z' => b'y',
        b'Z' => b'Y',
        byte @ (b'a'..=b'y' | b'A'..=b'Y') => byte + 1,
        byte => digit(byte),
    };
    String::from_utf8(out).ok()
}

/// A regular expression that matches nothing, made of a literal `/…/` or a string.
pub fn unmatchable(text: &str, token: &Token) -> Option<String> {
    let lead = token.lead as usize;
    let delimiter = match token.kind {
        Kind::Regex => 0,
        // PHP writes the delimiters within the string.
        Kind::Str if text.get(lead..)?.starts_with(['/', '#', '~']) => 1,
        Kind::Str => 0,
        _ => return None,
    };
    let at = lead + delimiter;
    Some(format!("{}(?!){}", text.get(..at)?, text.get(at..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, text: &str, lead: u8, tail: u8, expected: &str) {
        let token = Token { start: 0, end: text.len() as u32, pair: 0, kind, first: false, lead, tail };
        let got = other(text, &token, Strings::Python, Compared::Exactly);
        assert_eq!(got.as_deref().unwrap_or("-"), expected, "{text}");
    }

    #[test]
    fn numbers_keep_their_form_and_type() {
        for (text, expected) in [
            ("4", "5"),
            ("0", "1"),
            ("9", "8"),
            ("99", "98"),
            ("1_000", "1_001"),
            ("127", "126"),
            ("255", "254"),
            ("256", "255"),
            ("128", "127"),
            ("65535u16", "65534u16"),
            ("18446744073709551615", "18446744073709551614"),
            ("4u8", "5u8"),
            ("4L", "5L"),
            ("10n", "11n"),
            ("0xFF", "0xFE"),
            ("0x10u8", "0x11u8"),
            ("0b101", "0b100"),
            ("0o777", "0o776"),
            ("0755", "0754"),
            ("3.14", "4.14"),
            ("0.5f32", "1.5f32"),
            ("1f64", "2f64"),
            ("1e10", "2e10"),
            ("1e-9", "7.5"),
            ("7.5e-3f32", "8.5f32"),
            ("1.", "2."),
            (".5", ".6"),
            ("340282366920938463463374607431768211456", "-"),
        ] {
            check(Kind::Number, text, 0, 0, expected);
        }
        assert_eq!(number("3", Compared::Nearly).as_deref(), Some("43"));
        assert_eq!(number("100", Compared::Nearly).as_deref(), Some("200"));
    }

    #[test]
    fn strings_stay_strings() {
        for (text, lead, tail, expected) in [
            ("'abc'", 1, 1, "'abd'"),
            ("'abc!'", 1, 1, "'abd!'"),
            ("'2020-01-31'", 1, 1, "'3020-01-31'"),
            ("'-7'", 1, 1, "'-8'"),
            ("''", 1, 1, "'x'"),
            ("'é'", 1, 1, "'éx'"),
            ("'a\\n'", 1, 1, "'a\\nx'"),
            ("'100%'", 1, 1, "'x100%'"),
            ("f'{a}'", 2, 1, "f'{a}x'"),
            ("'a\\\\'", 1, 1, "'xa\\\\'"),
            ("\"\"\"a\nb\"\"\"", 3, 3, "\"\"\"a\nc\"\"\""),
        ] {
            check(Kind::Str, text, lead, tail, expected);
        }
        for (text, expected) in
            [("'a'", "'b'"), ("'z'", "'y'"), ("'\\n'", "'x'"), ("'x'", "'y'"), ("'é'", "'x'")]
        {
            check(Kind::Char, text, 1, 1, expected);
        }
    }
}
