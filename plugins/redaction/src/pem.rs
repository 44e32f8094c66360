//! Private keys over several lines: PEM, OpenSSH, PGP, SSH2, PuTTY, OpenVPN; also with
//! escaped line ends, in string literals, in diffs and behind log prefixes.
//!
//! The lines that say BEGIN and END stay; each line between them is masked on its own, so
//! that the number of lines stays too.

/// Lines after which a block that never ends is given up.
const MOST_LINES: u32 = 400;
/// The rule's name.
pub const RULE: &str = "private-key";

/// An open block, between lines and between calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Behind a BEGIN; counts lines.
    Pem(u32),
    /// PuTTY's `Private-Lines`: how many are left.
    Lines(u32),
}

/// What a line does to an open block.
pub enum Step {
    /// The block goes on; this range of the line is masked.
    Mask(usize, usize),
    /// The block goes on, nothing to mask here.
    On,
    /// The block ended, behind this range.
    End(usize, usize),
    /// The line does not belong to it.
    Out,
}

/// The end of a BEGIN line's marker when `at` starts one for a private key.
pub fn begins(line: &str, at: usize) -> Option<usize> {
    let rest = line.get(at..)?;
    let label = rest.strip_prefix("BEGIN ")?;
    let dashes = label.find("---")?;
    let name = &label[..dashes];
    let private = (name.contains("PRIVATE") && name.len() < 60) || name.starts_with("OpenVPN Static key");
    let tail = label[dashes..].bytes().take_while(|b| *b == b'-').count();
    private.then(|| at + "BEGIN ".len() + dashes + tail)
}

/// What follows a BEGIN marker on its own line: the ranges to mask, where the key ends, and
/// whether it goes on below. Strings that are joined are masked one by one, so that their
/// quotes stay; the string around a key that never ends is its end.
pub fn rest_of_line(line: &str, from: usize) -> (Vec<(usize, usize)>, usize, bool) {
    let mut masks = Vec::new();
    let mut has_content = false;
    let mut at = from;
    loop {
        let rest = &line[at..];
        let length = rest.find(['"', '\'', '`', '<', '{']).unwrap_or(rest.len());
        let end = rest[..length].find("-----END").or_else(|| rest[..length].find("---- END"));
        let inner = &rest[..end.unwrap_or(length)];
        let (start, stop) = trimmed(inner);
        let is_body = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
        let content = inner.as_bytes()[start..stop].iter().filter(|b| is_body(b)).count();
        has_content |= content >= 8;
        if content >= 8 && !inner.contains("[REDACTED:") {
            masks.push((at + start, at + stop));
        }
        if end.is_some() || length == rest.len() {
            return (masks, at + inner.len(), end.is_none());
        }
        // The next of several strings, when it goes on like a key.
        let joint = rest[length..].bytes().take_while(|b| b" \t\"'`+.,&\\".contains(b)).count();
        let next = &rest[length + joint..];
        let run = next.bytes().take_while(|b| is_base64(*b)).count();
        if next.is_empty() {
            // `"…key…",` is all of it; `"BEGIN…",` alone, or `" +`, goes on below.
            let joined = rest[length..].contains(['+', '\\', '.', '&']);
            let open = joined || !has_content;
            return (masks, line.len(), open);
        }
        let quotes = rest[length..length + joint].bytes().filter(|b| b"\"'`".contains(b)).count();
        if quotes < 2 || (run < 16 && !next.starts_with("-----END")) {
            return (masks, at + length, false);
        }
        at += length + joint;
    }
}

/// Without blanks, quotes and escaped line ends at both ends.
fn trimmed(inner: &str) -> (usize, usize) {
    let mut start = 0;
    let mut end = inner.len();
    loop {
        let rest = &inner[start..end];
        let cut = ["\\\\n", "\\\\r", "\\n", "\\r", " ", "\t", "\"", "'", "+", ",", "%0A", "%0a"]
            .iter()
            .find(|cut| rest.starts_with(**cut) && **cut != "+");
        match cut {
            Some(cut) => start += cut.len(),
            None => break,
        }
    }
    loop {
        let rest = &inner[start..end];
        let cut = ["\\\\n", "\\\\r", "\\n", "\\r", " ", "\t", "\r", "\"", "'", ",", "\\"]
            .iter()
            .find(|cut| rest.ends_with(**cut));
        match cut {
            Some(cut) => end -= cut.len(),
            None => break,
        }
    }
    (start, end.max(start))
}

impl Block {
    /// The next line of the block, and the block after it.
    pub fn step(self, line: &str) -> (Step, Option<Block>) {
        match self {
            Block::Lines(left) => {
                let step = body(line).map_or(Step::On, |(start, end)| Step::Mask(start, end));
                (step, (left > 1).then(|| Block::Lines(left - 1)))
            }
            Block::Pem(lines) => {
                if let Some(end) = line.find("-----END").or_else(|| line.find("---- END")) {
                    let (start, stop) = trimmed(&line[..end]);
                    let inner = &line[start..stop];
                    let masked = inner.len() >= 16 && !inner.contains("[REDACTED:");
                    let range = if masked { body(&line[..stop]).unwrap_or((0, 0)) } else { (0, 0) };
                    return (Step::End(range.0, range.1), None);
                }
                if lines >= MOST_LINES {
                    return (Step::Out, None);
                }
                if line.contains("[REDACTED:private-key]") || is_header(line) {
                    return (Step::On, Some(Block::Pem(lines + 1)));
                }
                match body(line) {
                    Some((start, end)) => (Step::Mask(start, end), Some(Block::Pem(lines + 1))),
                    None => (Step::Out, None),
                }
            }
        }
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn unframed(line: &str) -> &str {
    let line = line.trim_end_matches(['\r', '\n']);
    let line = line.strip_prefix(['+', '-']).unwrap_or(line);
    line.trim_matches(|c: char| " \t\"'`+,;\\#*>|/".contains(c))
}

/// Blank lines and `Proc-Type: …` inside a block.
fn is_header(line: &str) -> bool {
    let content = unframed(line);
    if content.is_empty() {
        return true;
    }
    ["Proc-Type:", "DEK-Info:", "Version:", "Comment:", "Hash:", "Charset:", "Subject:", "x-", "Key-Type:"]
        .iter()
        .any(|header| content.starts_with(header))
}

/// The part of the line that can be a key's body: its longest base64 run, when that is
/// long, or when there is nothing else.
fn body(line: &str) -> Option<(usize, usize)> {
    let bytes = line.as_bytes();
    let from = usize::from(matches!(bytes.first(), Some(b'+' | b'-' | b' ')));
    let mut best = (0, 0);
    let mut start = from;
    for at in from..=bytes.len() {
        if at == bytes.len() || !is_base64(bytes[at]) {
            if at - start > best.1 - best.0 {
                best = (start, at);
            }
            start = at + 1;
        }
    }
    let run = &line[best.0..best.1];
    let framed = unframed(line).replace("\\n", "").replace("\\r", "");
    let alone = framed.len() <= run.len() + 4;
    let looks = run.ends_with('=') || run.bytes().any(|b| b.is_ascii_digit()) || run.len() >= 30;
    // The escaped line end's `n` sticks to a run that it follows: it is cut off by its `\`.
    (run.len() >= 40 || (alone && looks && run.len() >= 2)).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        for (line, expected) in [
            ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj", Some((0, 40))),
            ("+MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj", Some((1, 41))),
            ("Wg==", Some((0, 4))),
            ("+  \"qAb3=\\n\" +", Some((4, 9))),
            ("2026-11-22T10:00:00Z INFO MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj", Some((26, 66))),
            ("exit", None),
            ("the key is above", None),
        ] {
            assert_eq!(body(line), expected, "{line}");
        }
    }
}
