//! The engine: one pass for keywords, then only the lines that hold one.

use std::cell::OnceCell;

use crate::escapes;
use crate::keywords::{self, Trigger};
use crate::line::Line;
use crate::pattern::Pattern;
use crate::prefilter::{Hit, Prefilter};
use crate::rules::Provider;
use crate::rules::public::is_public;
use crate::state::State;

/// A secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// In bytes, on a character border.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    /// The rule that found it.
    pub rule: &'static str,
}

/// What one call found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In order, not overlapping, never over a line end.
    pub spans: Vec<Span>,
    /// For the call on the next piece; empty when nothing is open.
    pub carry: String,
}

/// Looks at one line; text made to need more is masked less thoroughly, never for longer.
const MOST_ROUNDS: u32 = 8;
pub(crate) const MASK: &str = "[REDACTED:";

/// The rules, ready; patterns are compiled when their keyword is first met.
pub struct Engine {
    filter: Prefilter,
    /// By the number of the keyword.
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) providers: Vec<&'static Provider>,
    patterns: Vec<OnceCell<(Option<Pattern>, Pattern)>>,
    pub(crate) discord: OnceCell<Pattern>,
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// All rules. Takes well under a millisecond.
    pub fn new() -> Self {
        let (keywords, triggers, providers) = keywords::all();
        let patterns = providers.iter().map(|_| OnceCell::new()).collect();
        Engine { filter: Prefilter::new(keywords), triggers, providers, patterns, discord: OnceCell::new() }
    }

    /// The secrets in `text`, whole lines of a longer text; `carry` from the call before.
    pub fn find(&self, text: &str, carry: &str) -> Found {
        match escapes::plain(text) {
            None => self.find_plain(text, carry),
            Some(plain) => {
                let mut found = self.find_plain(&plain.text, carry);
                for span in &mut found.spans {
                    (span.start, span.end) = plain.original(span.start, span.end);
                    span.start = escapes::before_unfinished(text, span.start);
                }
                found
            }
        }
    }

    fn find_plain(&self, text: &str, carry: &str) -> Found {
        let mut hits: Vec<Hit> = Vec::new();
        self.filter.scan(text.as_bytes(), |hit| hits.push(hit));
        let mut state = State::read(carry);
        let masked = text.contains(MASK);
        let mut spans = Vec::new();
        let mut at = 0;
        let mut hits = hits.as_slice();
        while at < text.len() {
            if state == State::Nothing {
                let Some(next) = hits.first() else { break };
                at = text[at..next.start].rfind('\n').map_or(at, |end| at + end + 1);
            }
            let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
            let here = hits.iter().take_while(|hit| hit.start < end).count();
            let line = text[at..end].trim_end_matches('\r');
            let (found, after) = self.line(line, at, &hits[..here], state, masked);
            if found.is_empty() {
                state = after;
            } else {
                let first = spans.len();
                spans.extend(found);
                let again = self.again(line, at, state, &mut spans, first);
                // The id of a pair is masked by then.
                let pair = matches!(after, State::Pair(_)) && again == State::Nothing;
                state = if pair { after } else { again };
            }
            hits = &hits[here..];
            at = end + 1;
        }
        Found { spans: merged(spans), carry: state.write() }
    }

    /// What is found in one line that begins at `base`; never in what is masked already.
    fn line(&self, line: &str, base: usize, hits: &[Hit], state: State, masked: bool) -> (Vec<Span>, State) {
        let mut reader = Line::new(self, line, base);
        let after = reader.read(hits, state);
        let mut found = reader.spans;
        if masked && line.contains(MASK) {
            let tokens = tokens(line);
            found.retain(|span| {
                let after = tokens.partition_point(|token| token.1 <= span.start - base);
                tokens.get(after).is_none_or(|token| span.end - base <= token.0)
            });
        }
        found.retain(|span| span.start < span.end && !is_public(&line[span.start - base..span.end - base]));
        (found, after)
    }

    /// Looks at a line again as it will be shown, until nothing more is found: what is
    /// masked can change what is around it, and masking twice must be masking once.
    /// `spans[first..]` are the line's; gives the state behind it.
    fn again(&self, line: &str, base: usize, state: State, spans: &mut Vec<Span>, first: usize) -> State {
        let mut rounds = 0;
        loop {
            rounds += 1;
            let so_far = merged(spans.split_off(first));
            let (shown, offsets) = show(line, base, &so_far);
            let mut hits = Vec::new();
            self.filter.scan(shown.as_bytes(), |hit| hits.push(hit));
            let (found, after) = self.line(&shown, 0, &hits, state, true);
            let more: Vec<Span> = found
                .into_iter()
                .map(|span| Span {
                    start: base + original(&offsets, span.start),
                    end: base + original(&offsets, span.end - 1) + 1,
                    rule: span.rule,
                })
                .filter(|span| {
                    let there = so_far.partition_point(|there| there.end < span.end);
                    so_far.get(there).is_none_or(|there| span.start < there.start)
                })
                .collect();
            spans.extend(so_far);
            if more.is_empty() || rounds == MOST_ROUNDS {
                return after;
            }
            spans.extend(more);
        }
    }

    pub(crate) fn pattern(&self, id: usize) -> &(Option<Pattern>, Pattern) {
        self.patterns[id].get_or_init(|| {
            let rule = self.providers[id];
            ((!rule.before.is_empty()).then(|| Pattern::new(rule.before)), Pattern::new(rule.rest))
        })
    }
}

/// A line with its spans masked, and for each part that stayed its offset there and in
/// the line.
fn show(line: &str, base: usize, spans: &[Span]) -> (String, Vec<(usize, usize)>) {
    let mut shown = String::with_capacity(line.len());
    let mut offsets = Vec::with_capacity(spans.len() + 1);
    let mut at = 0;
    for span in spans {
        offsets.push((shown.len(), at));
        shown.push_str(&line[at..span.start - base]);
        shown.push_str(MASK);
        shown.push_str(span.rule);
        shown.push(']');
        at = span.end - base;
    }
    offsets.push((shown.len(), at));
    shown.push_str(&line[at..]);
    (shown, offsets)
}

fn original(offsets: &[(usize, usize)], at: usize) -> usize {
    let part = offsets.partition_point(|(shown, _)| *shown <= at).saturating_sub(1);
    offsets.get(part).map_or(at, |(shown, original)| original + (at - shown))
}

fn tokens(line: &str) -> Vec<(usize, usize)> {
    line.match_indices(MASK)
        .map(|(start, _)| (start, line[start..].find(']').map_or(line.len(), |end| start + end + 1)))
        .collect()
}

fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| span.start < span.end);
    spans.sort_by(|a, b| (a.start, b.end, a.rule).cmp(&(b.start, a.end, b.rule)));
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start < last.end => {
                // A provider's rule says more than the name in front of the value.
                if is_general(last.rule) && !is_general(span.rule) {
                    last.rule = span.rule;
                }
                last.end = last.end.max(span.end);
            }
            _ => out.push(span),
        }
    }
    out
}

fn is_general(rule: &str) -> bool {
    matches!(rule, "password" | "secret-value" | "key-value" | "provider-key")
}
