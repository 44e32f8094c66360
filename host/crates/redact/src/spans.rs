//! Ranges of a text that must not be shown, and the text with them replaced.

use std::ops::Range;
use std::sync::Arc;

/// One range to hide, with the rule that is named in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mask {
    pub(super) range: Range<usize>,
    pub(super) rule: Arc<str>,
}

/// Masks in order, on character borders, none overlapping and none over a line end.
///
/// What a policy gives may be out of order, out of bounds or in the middle of a
/// character; a range is never made smaller by that, only wider.
pub(super) fn normalise(text: &str, masks: Vec<Mask>) -> Vec<Mask> {
    let tokens = tokens(text);
    let mut wide: Vec<Mask> = masks
        .into_iter()
        .filter_map(|mask| {
            let start = text.floor_char_boundary(mask.range.start.min(text.len()));
            let end = text.ceil_char_boundary(mask.range.end.min(text.len()));
            (start < end).then_some(Mask { range: whole_tokens(&tokens, start..end), rule: mask.rule })
        })
        .collect();
    // Of two that begin together the longer one names the rule.
    wide.sort_by(|a, b| (a.range.start, b.range.end, &a.rule).cmp(&(b.range.start, a.range.end, &b.rule)));
    let mut merged: Vec<Mask> = Vec::with_capacity(wide.len());
    for mask in wide {
        match merged.last_mut() {
            Some(last) if mask.range.start < last.range.end => {
                last.range.end = last.range.end.max(mask.range.end);
            }
            _ => merged.push(mask),
        }
    }
    merged.into_iter().flat_map(|mask| split_at_line_ends(text, mask)).collect()
}

fn split_at_line_ends(text: &str, mask: Mask) -> Vec<Mask> {
    let mut start = mask.range.start;
    text[mask.range.clone()]
        .split_inclusive('\n')
        .filter_map(|line| {
            let content = line.trim_end_matches(['\n', '\r']).len();
            let range = start..start + content;
            start += line.len();
            (!range.is_empty()).then(|| Mask { range, rule: Arc::clone(&mask.rule) })
        })
        .collect()
}

/// `text[within]` with every mask replaced. `masks` are normalised; one that reaches over
/// an edge of `within` is cut there.
pub(super) fn render(text: &str, within: Range<usize>, masks: &[Mask]) -> String {
    let mut out = String::with_capacity(within.len() + 16 * masks.len());
    let mut at = within.start;
    for mask in masks {
        let start = mask.range.start.max(within.start);
        let end = mask.range.end.min(within.end);
        if start < end {
            out.push_str(&text[at..start]);
            out.push_str(&token(&mask.rule));
            at = end;
        }
    }
    out.push_str(&text[at..within.end]);
    out
}

/// What is written in the place of a secret. It holds nothing of the secret, not even a hash:
/// that would let a weak password be guessed.
pub(super) fn token(rule: &str) -> String {
    format!("[REDACTED:{rule}]")
}

/// How every token begins.
pub const OPEN: &str = "[REDACTED:";

/// The tokens that are already in `text`.
fn tokens(text: &str) -> Vec<Range<usize>> {
    text.match_indices(OPEN)
        .filter_map(|(start, _)| {
            let rule = text.get(start + OPEN.len()..)?;
            let length = rule.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
            (rule.as_bytes().get(length) == Some(&b']')).then(|| start..start + OPEN.len() + length + 1)
        })
        .collect()
}

/// `range`, with every token that it cuts into taken in whole, so that no half token is left.
fn whole_tokens(tokens: &[Range<usize>], range: Range<usize>) -> Range<usize> {
    let mut wide = range.clone();
    for token in tokens.iter().filter(|token| token.start < range.end && range.start < token.end) {
        wide = wide.start.min(token.start)..wide.end.max(token.end);
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, spans: &[(usize, usize, &str)], expected: &str) {
        let masks = spans
            .iter()
            .map(|(start, end, rule)| Mask { range: *start..*end, rule: (*rule).into() })
            .collect();
        let masks = normalise(text, masks);
        assert_eq!(render(text, 0..text.len(), &masks), expected);
    }

    #[test]
    fn renders() {
        check("abcdef", &[], "abcdef");
        check("abcdef", &[(1, 3, "a")], "a[REDACTED:a]def");
        check("abcdef", &[(3, 5, "b"), (1, 4, "a")], "a[REDACTED:a]f");
        check("abcdef", &[(1, 2, "b"), (1, 4, "a")], "a[REDACTED:a]ef");
        check("abcdef", &[(4, 99, "a"), (7, 9, "b"), (3, 2, "c")], "abcd[REDACTED:a]");
        check("aäöb", &[(2, 4, "a")], "a[REDACTED:a]b");
        check("ab\r\ncd\n\nef", &[(1, 9, "k")], "a[REDACTED:k]\r\n[REDACTED:k]\n\n[REDACTED:k]f");
        check("x [REDACTED:a] y", &[(5, 16, "b")], "x [REDACTED:b]");
    }
}
