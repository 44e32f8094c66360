//! A command's output on its way into a result: capped with head and tail kept while it
//! comes, then made plain (no escape sequences, no progress bars).

use std::collections::VecDeque;

/// Output of a command that may print for ever: the first and the last bytes are kept.
#[derive(Debug)]
pub struct Capped {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_max: usize,
    tail_max: usize,
    total: u64,
}

impl Capped {
    /// Keeps at most `max` bytes, a quarter of them from the start: what failed mostly
    /// stands at the end.
    pub fn new(max: usize) -> Self {
        let head_max = max / 4;
        Capped { head: Vec::new(), tail: VecDeque::new(), head_max, tail_max: max - head_max, total: 0 }
    }

    /// Takes the next piece.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let room = self.head_max - self.head.len();
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.tail_max)..];
        let over = (self.tail.len() + rest.len()).saturating_sub(self.tail_max);
        self.tail.drain(..over);
        self.tail.extend(rest);
    }

    /// The kept text, plain, and whether something is missing. What is missing is said in a
    /// line of its own between the two halves, which are cut at line ends.
    pub fn text(&self) -> (String, bool) {
        let missing = self.total - (self.head.len() + self.tail.len()) as u64;
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        if missing == 0 {
            return (plain(&String::from_utf8_lossy(&[self.head.as_slice(), &tail].concat())), false);
        }
        let head =
            &self.head[..self.head.iter().rposition(|b| *b == b'\n').map_or(self.head.len(), |n| n + 1)];
        let tail = &tail[tail.iter().position(|b| *b == b'\n').map_or(0, |n| n + 1)..];
        let left_out = self.total - (head.len() + tail.len()) as u64;
        let text = [
            String::from_utf8_lossy(head).as_ref(),
            &format!("[… {left_out} bytes left out …]\n"),
            String::from_utf8_lossy(tail).as_ref(),
        ]
        .concat();
        (plain(&text), true)
    }
}

/// Cuts a text to `max` bytes with head and tail kept; true if something was cut.
pub fn cut(text: &str, max: usize) -> (String, bool) {
    if text.len() <= max {
        return (text.to_owned(), false);
    }
    let mut capped = Capped::new(max);
    capped.push(text.as_bytes());
    capped.text()
}

/// The text as a terminal would leave it, without colours: escape sequences gone, of a line
/// that was written over only the last writing, no other control characters.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in strip_escapes(text).split_inclusive('\n') {
        let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
        let body = body.trim_end_matches('\r');
        let last = body.rsplit('\r').next().unwrap_or_default();
        out.extend(last.chars().filter(|c| *c == '\t' || !c.is_control()));
        out.push_str(end);
    }
    out
}

/// Drops CSI and OSC sequences and single escapes. Source: ECMA-48, 5.4.
fn strip_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        match rest.next() {
            Some('[') => while rest.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
            Some(']') => {
                while let Some(c) = rest.next() {
                    match c {
                        '\u{7}' => break,
                        '\u{1b}' => {
                            rest.next();
                            break;
                        }
                        // An unfinished sequence must not swallow the output.
                        '\n' => {
                            out.push('\n');
                            break;
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Capped, cut, plain};

    #[test]
    fn plain_text() {
        for (raw, expected) in [
            ("a\nb", "a\nb"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("10 %\r50 %\r100 %\ndone\r\n", "100 %\ndone\n"),
            ("\u{1b}]0;title\u{7}x\u{1b}]8;;u\u{1b}\\y", "xy"),
            ("\u{1b}]0;never ended\nnext", "\nnext"),
            ("bell\u{7} tab\t null\0", "bell tab\t null"),
        ] {
            assert_eq!(plain(raw), expected, "{raw:?}");
        }
    }

    #[test]
    fn head_and_tail_stay() {
        let mut capped = Capped::new(40);
        for n in 0..100 {
            capped.push(format!("line {n}\n").as_bytes());
        }
        let (text, cut_) = capped.text();
        assert!(cut_);
        assert_eq!(text, "line 0\n[… 759 bytes left out …]\nline 97\nline 98\nline 99\n");
        assert_eq!(cut("short", 40), ("short".to_owned(), false));
        assert!(cut(&"x".repeat(100), 40).0.len() < 100);
    }

    #[test]
    fn one_large_piece_is_the_same_as_many_small() {
        let text: String = (0..500).map(|n| format!("{n}\n")).collect();
        let mut one = Capped::new(100);
        one.push(text.as_bytes());
        let mut many = Capped::new(100);
        for byte in text.as_bytes() {
            many.push(&[*byte]);
        }
        assert_eq!(one.text(), many.text());
    }
}
