//! The second half of a pair: the secret that belongs to an id of a known format, beside it
//! or on one of the next lines.

use crate::value;

/// Lines below the id that are looked at.
const MOST_LINES: u32 = 4;

/// An id was found; its secret may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    length: u32,
    left: u32,
}

/// Rules that find ids, and the length of the secret that belongs to one.
const PAIRS: &[(&str, u32)] = &[
    ("aws-access-key-id", 40),
    ("alibaba-access-key", 30),
    ("tencent-secret-id", 32),
    ("google-hmac-id", 40),
    ("digitalocean-spaces-key", 43),
];

/// The rule's name.
pub(crate) const RULE: &str = "secret-of-pair";

impl Pair {
    /// What follows an id that `rule` found.
    pub(crate) fn of(rule: &str) -> Option<Pair> {
        let (_, length) = PAIRS.iter().find(|(name, _)| *name == rule)?;
        Some(Pair { length: *length, left: MOST_LINES })
    }

    /// For the next line.
    pub(crate) fn next(self) -> Option<Pair> {
        Some(Pair { left: self.left.checked_sub(1)?, ..self })
    }

    /// Words of exactly the secret's length that look drawn.
    pub(crate) fn find(self, line: &str) -> Vec<(usize, usize)> {
        let bytes = line.as_bytes();
        let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
        let mut found = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let run = bytes[at..].iter().take_while(|b| inside(**b)).count();
            let (start, end) = (at, at + run);
            // A line of a diff begins with a sign that is also a character of base64.
            let start = start
                + usize::from(start == 0 && bytes.first() == Some(&b'+') && run == self.length as usize + 1);
            let glued = |n: Option<&u8>| n.is_some_and(|b| matches!(b, b'_' | b'-' | b'.' | b'@'));
            let before = start.checked_sub(1).and_then(|n| bytes.get(n));
            let value = &bytes[start..end];
            if value.len() == self.length as usize
                && (start <= 1 || !glued(before))
                && !glued(bytes.get(end))
                && !value::is_digest(value)
                && (value::is_random(value) || (value.len() == 40 && value::is_amazon(value)))
                && !value::is_placeholder(&line[start..end])
            {
                found.push((start, end));
            }
            at = end + 1;
        }
        found
    }

    /// As fields of a carry.
    pub(crate) fn write(self) -> String {
        format!("{}:{}", self.length, self.left)
    }

    /// What `write` wrote.
    pub(crate) fn read(mut fields: impl Iterator<Item = u32>) -> Option<Pair> {
        let length = fields.next().filter(|length| PAIRS.iter().any(|(_, known)| known == length))?;
        Some(Pair { length, left: fields.next()?.min(MOST_LINES) })
    }
}
