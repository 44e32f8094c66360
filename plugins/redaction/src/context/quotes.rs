//! Where a value begins and ends: in quotes, in quotes within quotes, without any.

use super::Reader;

impl Reader<'_> {
    /// The inside of a quoted string that begins at `at`, and where it is over.
    pub(super) fn quoted(&self, at: usize) -> Option<(usize, usize, usize)> {
        let slashes = self.bytes[at..].iter().take(16).take_while(|b| **b == b'\\').count();
        if let Some(quote) =
            self.bytes.get(at + slashes).copied().filter(|b| matches!(b, b'"' | b'\'' | b'`'))
        {
            return self.quoted_by(at, slashes, quote);
        }
        let open = ["&quot;", "&#34;", "%22", "\\u0022", "“"].iter().find(|quote| self.starts(at, quote))?;
        let close = if *open == "“" { "”" } else { open };
        let start = at + open.len();
        match self.line[start..].find(close) {
            Some(length) => Some((start, start + length, start + length + close.len())),
            None => self.unclosed(start),
        }
    }

    /// The inside of a string whose quotes have so many backslashes in front: strings within
    /// strings within JSON. Never over the end of the string around it.
    fn quoted_by(&self, at: usize, slashes: usize, quote: u8) -> Option<(usize, usize, usize)> {
        let triple = slashes == 0 && (self.starts(at, "\"\"\"") || self.starts(at, "'''"));
        let start = at + slashes + if triple { 3 } else { 1 };
        let mut end = start;
        while let Some(next) = self.line.get(end..)?.find(quote as char).map(|n| end + n) {
            let before = self.bytes[start..next].iter().rev().take_while(|b| **b == b'\\').count();
            // With none in front an even number is escaped text, with one three are one, …
            if before % (2 * (slashes + 1)) == slashes || before < slashes {
                let length = if triple { 3 } else { 1 };
                if triple
                    && self.bytes.get(next..next + 3).is_none_or(|three| three.iter().any(|b| *b != quote))
                {
                    end = next + 1;
                    continue;
                }
                return Some((start, next - before.min(slashes), next + length));
            }
            end = next + 1;
        }
        self.unclosed(start)
    }

    /// Not closed on this line: up to a blank.
    fn unclosed(&self, start: usize) -> Option<(usize, usize, usize)> {
        let rest = self.line.get(start..)?;
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        (end >= 8).then_some((start, start + end, start + end))
    }

    /// An unquoted value that begins at `at`.
    pub(super) fn bare(&self, at: usize, tight: bool) -> (usize, usize) {
        let query = tight && self.line[..self.name_start].contains(['?', '&']);
        let mut end = at;
        let mut depth = 0_i32;
        while let Some(byte) = self.bytes.get(end) {
            match byte {
                b' ' | b'\t' | b'"' | b'\'' | b'`' | b'<' | b'>' | b';' | b'\r' => break,
                b'&' if query => break,
                b'\\'
                    if matches!(self.byte(end + 1), b'n' | b'r' | b't' | b'"' | b'\'' | b'\\' | b'u')
                        || end + 1 == self.bytes.len() =>
                {
                    break;
                }
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => {
                    depth -= 1;
                    if depth < 0 {
                        break;
                    }
                }
                b',' => break,
                b'|' if end > at => break,
                _ => {}
            }
            end += 1;
        }
        while end > at && matches!(self.bytes[end - 1], b'.' | b':' | b',') {
            end -= 1;
        }
        (at, end)
    }
}

/// The length of an authentication scheme in front of a value.
pub(super) fn scheme(value: &str) -> usize {
    for scheme in [
        "Bearer ",
        "bearer ",
        "Basic ",
        "basic ",
        "Token ",
        "token ",
        "ApiKey ",
        "Apikey ",
        "Key ",
        "key=",
        "OAuth ",
        "SSWS ",
        "Digest ",
        "JWT ",
        "Bot ",
        "GenieKey ",
        "Token token=",
        "token=",
        "AccessKey ",
        "Bearer: ",
        "Negotiate ",
        "NTLM ",
        "NLAuth ",
    ] {
        if let Some(rest) = value.strip_prefix(scheme) {
            return value.len() - rest.trim_start().len();
        }
    }
    0
}
