//! Which lines are worth a look: all keywords of all rules in one pass.
//!
//! Each keyword gives its rarest three characters; a bit table of all three-character
//! sequences says in three instructions a byte whether one of them ends here. Building it
//! takes microseconds, so an instance's first call costs no more than the others.

/// Character classes: letters without case, digits, and what appears in keywords.
const CLASSES: usize = 64;
/// Buckets of the second look.
const HEADS: usize = 4096;
const TABLE_BITS: usize = CLASSES * CLASSES * CLASSES;

/// One keyword, and what it stands for.
#[derive(Clone, Copy)]
pub struct Keyword {
    /// At least three bytes.
    pub text: &'static str,
    /// Compared with case.
    pub exact: bool,
    /// What the caller wants to hear when it is found.
    pub id: u16,
}

/// A keyword that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where it begins.
    pub start: usize,
    /// Its length in bytes.
    pub len: usize,
    /// The keyword's own.
    pub id: u16,
}

struct Entry {
    key: u32,
    /// From the end of the three characters back to the keyword's start.
    back: u8,
    keyword: u16,
}

/// The table for a list of keywords.
pub struct Prefilter {
    classes: [u8; 256],
    bits: Vec<u64>,
    /// Sorted by key.
    entries: Vec<Entry>,
    /// Where the entries of a key begin, by the key's low bits; most point to one entry.
    heads: Vec<u16>,
    keywords: Vec<Keyword>,
}

fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => byte - b'a' + 1,
        b'A'..=b'Z' => byte - b'A' + 1,
        b'0'..=b'9' => byte - b'0' + 27,
        b'_' => 37,
        b'-' => 38,
        b'.' => 39,
        b':' => 40,
        b'/' => 41,
        b'=' => 42,
        b'$' => 43,
        b'@' => 44,
        b'~' => 45,
        b'+' => 46,
        b'|' => 47,
        b'{' => 48,
        b'!' => 49,
        b'*' => 50,
        b'%' => 51,
        b' ' => 52,
        b'\n' => 0,
        _ => 53,
    }
}

/// How common a character is in ordinary text; the three with the smallest sum are chosen.
fn weight(byte: u8) -> u32 {
    match byte.to_ascii_lowercase() {
        b'e' | b't' | b' ' => 12,
        b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 9,
        b'l' | b'c' | b'd' | b'u' => 6,
        b'm' | b'p' | b'f' | b'h' | b'g' | b'-' | b'/' | b'=' => 4,
        b'.' | b'y' | b'b' | b'w' | b'_' | b':' => 3,
        b'v' | b'k' | b'0' | b'1' => 2,
        _ => 1,
    }
}

impl Prefilter {
    /// Keywords shorter than three bytes are not accepted (and caught by the tests).
    pub fn new(keywords: Vec<Keyword>) -> Self {
        let mut classes = [0; 256];
        for (byte, class_of) in (0..=255).zip(classes.iter_mut()) {
            *class_of = class(byte);
        }
        let mut bits = vec![0; TABLE_BITS / 64];
        let mut entries: Vec<Entry> = Vec::with_capacity(keywords.len());
        for (n, keyword) in keywords.iter().enumerate() {
            let text = keyword.text.as_bytes();
            let rarest = (0..text.len().saturating_sub(2))
                .min_by_key(|at| text[*at..at + 3].iter().map(|byte| weight(*byte)).sum::<u32>());
            let Some(at) = rarest else { continue };
            let key = text[at..at + 3].iter().fold(0, |key, byte| key << 6 | u32::from(class(*byte)));
            bits[key as usize / 64] |= 1_u64 << (key % 64);
            entries.push(Entry { key, back: (at + 3) as u8, keyword: n as u16 });
        }
        entries.sort_by_key(|entry| (entry.key as usize % HEADS, entry.key));
        let mut heads = vec![0; HEADS + 1];
        for (n, head) in heads.iter_mut().enumerate() {
            *head = entries.partition_point(|entry| (entry.key as usize % HEADS) < n) as u16;
        }
        Prefilter { classes, bits, entries, heads, keywords }
    }

    /// Every keyword in `text`, in the order in which their three characters end.
    pub fn scan(&self, text: &[u8], mut found: impl FnMut(Hit)) {
        let mut key = 0_u32;
        let mut at = 0;
        let mut chunks = text.chunks_exact(8);
        // Eight at a time: the deadline's check at the loop's end is then paid once for eight.
        for chunk in &mut chunks {
            for byte in chunk {
                key = (key << 6 | u32::from(self.classes[usize::from(*byte)])) & (TABLE_BITS as u32 - 1);
                at += 1;
                if self.bits[key as usize / 64] >> (key % 64) & 1 == 1 {
                    self.verify(text, key, at, &mut found);
                }
            }
        }
        for byte in chunks.remainder() {
            key = (key << 6 | u32::from(self.classes[usize::from(*byte)])) & (TABLE_BITS as u32 - 1);
            at += 1;
            if self.bits[key as usize / 64] >> (key % 64) & 1 == 1 {
                self.verify(text, key, at, &mut found);
            }
        }
    }

    #[inline(never)]
    fn verify(&self, text: &[u8], key: u32, end: usize, found: &mut impl FnMut(Hit)) {
        let head = key as usize % HEADS;
        let entries = usize::from(self.heads[head])..usize::from(self.heads[head + 1]);
        for entry in self.entries[entries].iter().filter(|entry| entry.key == key) {
            let keyword = &self.keywords[usize::from(entry.keyword)];
            let Some(start) = end.checked_sub(usize::from(entry.back)) else { continue };
            let Some(there) = text.get(start..start + keyword.text.len()) else { continue };
            let same = if keyword.exact {
                there == keyword.text.as_bytes()
            } else {
                there.eq_ignore_ascii_case(keyword.text.as_bytes())
            };
            if same {
                found(Hit { start, len: keyword.text.len(), id: keyword.id });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_all() {
        let words = ["ghp_", "token", "secret", "sk-ant-", "key", "://"];
        let keywords = words.iter().zip(0..).map(|(text, id)| Keyword { text, exact: id == 0, id }).collect();
        let filter = Prefilter::new(keywords);
        let text = b"my ghp_x GHP_ TOKEN=secretkey\nsk-Ant- http://";
        let mut found = Vec::new();
        filter.scan(text, |hit| found.push((hit.start, hit.id)));
        found.sort_unstable();
        assert_eq!(found, [(3, 0), (14, 1), (20, 2), (26, 4), (30, 3), (42, 5)]);
    }
}
