//! A small pattern language for tokens: sets with counts, alternatives, no more.
//!
//! A token format is a prefix and a few runs of characters. A regular-expression engine
//! would make the component eight times larger and its first call a thousand times
//! slower; this one is compiled on a rule's first keyword hit in microseconds.
//!
//! Syntax: literal characters; sets `[A-Z0-9_-]`; shorthands `\d` digits, `\w` letters,
//! digits and `_`, `\a` letters and digits, `\h` lower and `\H` any hex, `\u` base64url,
//! `\b` base64, `\l` lower and digits, `\C` upper and digits; counts `{n}` `{n,m}` `{n,}`
//! and `?`; `(x|y)`; `^` where the secret begins when not at the start. Another character
//! after `\` is itself.

/// What `{n,}` means: no token is longer, and a scan stays bounded.
const MOST: u16 = 4096;
/// Bytes that one match may look at before it gives up.
const BUDGET: u32 = 200_000;

/// A set of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Set([u64; 4]);

impl Set {
    const EMPTY: Set = Set([0; 4]);

    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn add_range(&mut self, from: u8, to: u8) {
        (from..=to).for_each(|byte| self.add(byte));
    }

    fn meets(&self, other: &Set) -> bool {
        self.0.iter().zip(other.0).any(|(mine, theirs)| mine & theirs != 0)
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }
}

#[derive(Clone)]
enum Item {
    Run { set: Set, min: u16, max: u16 },
    Begin,
}

/// A compiled pattern: its alternatives, each a plain sequence.
pub struct Pattern(Vec<Vec<Item>>);

impl Pattern {
    /// Compiles `source`; it is one of our own tables, so a mistake is only caught by the
    /// tests: what cannot be read stands for itself.
    pub fn new(source: &str) -> Self {
        let mut parser = Parser { source: source.as_bytes(), at: 0 };
        Pattern(parser.alternatives())
    }

    /// The longest match that begins at `at`: where the secret begins, and its end; and how
    /// many bytes were looked at for that.
    pub fn at(&self, text: &[u8], at: usize) -> (Option<(usize, usize)>, usize) {
        let mut budget = BUDGET;
        let found = self
            .0
            .iter()
            .filter_map(|items| sequence(items, text, at, at, &mut budget))
            .max_by_key(|found| found.1);
        (found, (BUDGET - budget) as usize)
    }

    /// A text that matches, as short as can be; `draw` picks a character of a set. And where
    /// in it the secret begins.
    #[cfg(test)]
    pub(crate) fn sample(&self, mut draw: impl FnMut(&[u8]) -> u8) -> (String, usize) {
        let (mut text, mut begin) = (String::new(), 0);
        for item in self.0.first().into_iter().flatten() {
            match item {
                Item::Begin => begin = text.len(),
                Item::Run { set, min, .. } => {
                    let set: Vec<u8> = (b' '..0x7f).filter(|byte| set.has(*byte)).collect();
                    (0..*min).for_each(|_| text.push(draw(&set) as char));
                }
            }
        }
        (text, begin)
    }

    /// For a run before a keyword: the longest match of a single-set pattern
    /// that ends at `end`.
    pub fn back_from(&self, text: &[u8], end: usize) -> Option<usize> {
        let Some(Item::Run { set, min, max }) = self.0.first()?.first() else { return None };
        let run = text[..end].iter().rev().take(usize::from(*max)).take_while(|byte| set.has(**byte)).count();
        (run >= usize::from(*min)).then(|| end - run)
    }
}

fn sequence(
    items: &[Item],
    text: &[u8],
    at: usize,
    begin: usize,
    budget: &mut u32,
) -> Option<(usize, usize)> {
    let Some((item, rest)) = items.split_first() else { return Some((begin, at)) };
    match item {
        Item::Begin => sequence(rest, text, at, at, budget),
        Item::Run { set, min, max } => {
            let run =
                text.get(at..)?.iter().take(usize::from(*max)).take_while(|byte| set.has(**byte)).count();
            *budget = budget.saturating_sub(1 + run as u32);
            if *budget == 0 {
                return None;
            }
            // What follows cannot begin inside the run: only its whole length can do.
            if let Some(Item::Run { set: next, min: 1.., .. }) = rest.first()
                && run < usize::from(*max)
                && !set.meets(next)
            {
                return (run >= usize::from(*min)).then(|| sequence(rest, text, at + run, begin, budget))?;
            }
            (usize::from(*min)..=run).rev().find_map(|taken| {
                if *budget == 0 {
                    return None;
                }
                sequence(rest, text, at + taken, begin, budget)
            })
        }
    }
}

struct Parser<'a> {
    source: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.source.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Up to the end or a closing parenthesis, which is taken.
    fn alternatives(&mut self) -> Vec<Vec<Item>> {
        let mut all = Vec::new();
        let mut current: Vec<Vec<Item>> = vec![Vec::new()];
        while let Some(byte) = self.next() {
            match byte {
                b')' => break,
                b'|' => all.append(&mut std::mem::replace(&mut current, vec![Vec::new()])),
                b'(' => {
                    let mut inner = self.alternatives();
                    if self.peek() == Some(b'?') {
                        self.at += 1;
                        inner.push(Vec::new());
                    }
                    current = current
                        .iter()
                        .flat_map(|left| inner.iter().map(|right| [left.as_slice(), right].concat()))
                        .collect();
                }
                b'^' => current.iter_mut().for_each(|items| items.push(Item::Begin)),
                _ => {
                    let set = self.set(byte);
                    let (min, max) = self.count();
                    current.iter_mut().for_each(|items| items.push(Item::Run { set, min, max }));
                }
            }
        }
        all.append(&mut current);
        all
    }

    fn set(&mut self, byte: u8) -> Set {
        let mut set = Set::EMPTY;
        match byte {
            b'\\' => shorthand(self.next().unwrap_or(b'\\'), &mut set),
            b'[' => {
                while let Some(byte) = self.next().filter(|byte| *byte != b']') {
                    if byte == b'\\' {
                        shorthand(self.next().unwrap_or(b'\\'), &mut set);
                    } else if self.peek() == Some(b'-')
                        && self.source.get(self.at + 1).is_some_and(|to| *to != b']')
                    {
                        self.at += 1;
                        let to = self.next().unwrap_or(byte);
                        set.add_range(byte, to);
                    } else {
                        set.add(byte);
                    }
                }
            }
            _ => set.add(byte),
        }
        set
    }

    fn count(&mut self) -> (u16, u16) {
        match self.peek() {
            Some(b'?') => {
                self.at += 1;
                (0, 1)
            }
            Some(b'{') => {
                self.at += 1;
                let min = self.number();
                let max = match self.next() {
                    Some(b',') if self.peek() == Some(b'}') => MOST,
                    Some(b',') => self.number(),
                    _ => return (min, min),
                };
                self.at += 1;
                (min, max)
            }
            _ => (1, 1),
        }
    }

    fn number(&mut self) -> u16 {
        let mut number = 0_u16;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            number = number.saturating_mul(10).saturating_add(u16::from(digit - b'0'));
            self.at += 1;
        }
        number
    }
}

fn shorthand(letter: u8, set: &mut Set) {
    let ranges: &[u8] = match letter {
        b'd' => b"09",
        b'w' => b"09AZaz__",
        b'a' => b"09AZaz",
        b'h' => b"09af",
        b'H' => b"09afAF",
        b'u' => b"09AZaz__--",
        b'b' => b"09AZaz++//",
        b'l' => b"09az",
        b'C' => b"09AZ",
        _ => return set.add(letter),
    };
    ranges.chunks(2).for_each(|range| set.add_range(range[0], range[1]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches() {
        for (pattern, text, expected) in [
            ("ab", "ab", Some((0, 2))),
            ("ab", "ac", None),
            (r"\d{2,3}", "12345", Some((0, 3))),
            (r"\d{6}", "12345", None),
            (r"[A-C_-]{2,}x?", "A_-Bx", Some((0, 5))),
            (r"(ab|abc)d?", "abcd", Some((0, 4))),
            (r"(ab)?c", "c", Some((0, 1))),
            (r"a{1,}ab", "aaaab", Some((0, 5))),
            (r"k=^\w{2}", "k=ab", Some((2, 4))),
            (r"\.\$\[", ".$[", Some((0, 3))),
            (r"[\h.]{4}", "a.f0", Some((0, 4))),
        ] {
            assert_eq!(Pattern::new(pattern).at(text.as_bytes(), 0).0, expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn hostile_text_ends() {
        let text = vec![b'a'; 100_000];
        assert_eq!(Pattern::new("a{1,}a{1,}a{1,}a{1,}b").at(&text, 0).0, None);
    }
}
