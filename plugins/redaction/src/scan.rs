//! The engine: one pass for keywords, then only the lines that hold one.

use std::cell::OnceCell;

use crate::calls;
use crate::commands;
use crate::context::Open;
use crate::line::Line;
use crate::pattern::Pattern;
use crate::pem::Block;
use crate::prefilter::{Hit, Keyword, Prefilter};
use crate::rules::vendors::VENDORS;
use crate::rules::words::SECRETS;
use crate::rules::{self, Provider};
use crate::shadow;
use crate::value::Level;

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

pub(crate) const WORDS: u16 = 10_000;
pub(crate) const NAMES: u16 = 20_000;
pub(crate) const SPECIAL: u16 = 30_000;
pub(crate) const ADDRESS: u16 = SPECIAL;
pub(crate) const BEGIN: u16 = SPECIAL + 1;
pub(crate) const PUTTY: u16 = SPECIAL + 2;
pub(crate) const DISCORD: u16 = SPECIAL + 3;
pub(crate) const PGPASS: u16 = SPECIAL + 4;
pub(crate) const BEARER: u16 = SPECIAL + 5;
pub(crate) const PHRASE: u16 = SPECIAL + 6;
pub(crate) const JWK: u16 = SPECIAL + 7;
pub(crate) const DATA: u16 = SPECIAL + 8;
pub(crate) const COMMANDS: u16 = 31_000;
pub(crate) const CALLS: u16 = 32_000;

/// Looks at one line; text made to need more is masked less thoroughly, never for longer.
const MOST_ROUNDS: u32 = 8;
pub(crate) const MASK: &str = "[REDACTED:";

/// Lines below a `data:` that are looked at.
pub(crate) const MOST_MEMBERS: u32 = 100;

/// The rules, ready; patterns are compiled when their keyword is first met.
pub struct Engine {
    filter: Prefilter,
    pub(crate) providers: Vec<&'static Provider>,
    pub(crate) vendors: Vec<&'static str>,
    patterns: Vec<OnceCell<(Option<Pattern>, Pattern)>>,
    pub(crate) discord: OnceCell<Pattern>,
}

/// How the text before left off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Nothing,
    Block(Block),
    Open(Open),
    /// Below the `data:` of a manifest; how many lines are left.
    Data(u32),
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// All rules. Takes well under a millisecond.
    pub fn new() -> Self {
        let providers: Vec<&'static Provider> = rules::providers().collect();
        let mut keywords: Vec<Keyword> = (0_u16..)
            .zip(&providers)
            .map(|(id, rule)| Keyword { text: rule.keyword, exact: true, id })
            .collect();
        keywords.extend((WORDS..).zip(SECRETS).map(|(id, word)| Keyword {
            text: word.text,
            exact: false,
            id,
        }));
        let vendors: Vec<&'static str> = VENDORS.split_ascii_whitespace().collect();
        keywords.extend((NAMES..).zip(&vendors).map(|(id, text)| Keyword { text, exact: false, id }));
        for (text, exact, id) in [
            ("://", true, ADDRESS),
            ("-BEGIN ", true, BEGIN),
            ("- BEGIN ", true, BEGIN),
            ("Private-Lines: ", true, PUTTY),
            (":5432:", true, PGPASS),
            (":5433:", true, PGPASS),
            (":*:", true, PGPASS),
            ("bearer ", false, BEARER),
            ("data:", true, DATA),
            ("mnemonic", false, PHRASE),
            ("phrase", false, PHRASE),
            ("\"d\":", true, JWK),
            ("\"k\":", true, JWK),
            ("\"p\":", true, JWK),
            ("\"q\":", true, JWK),
            ("\"dp\":", true, JWK),
            ("\"dq\":", true, JWK),
            ("\"qi\":", true, JWK),
        ] {
            keywords.push(Keyword { text, exact, id });
        }
        keywords.extend((COMMANDS..).zip(commands::names()).map(|(id, text)| Keyword {
            text,
            exact: false,
            id,
        }));
        keywords.extend((CALLS..).zip(calls::names()).map(|(id, text)| Keyword { text, exact: true, id }));
        for text in DISCORD_STARTS {
            keywords.push(Keyword { text, exact: true, id: DISCORD });
        }
        let patterns = providers.iter().map(|_| OnceCell::new()).collect();
        Engine { filter: Prefilter::new(keywords), providers, vendors, patterns, discord: OnceCell::new() }
    }

    /// The secrets in `text`, whole lines of a longer text; `carry` from the call before.
    pub fn find(&self, text: &str, carry: &str) -> Found {
        match shadow::plain(text) {
            None => self.find_plain(text, carry),
            Some(plain) => {
                let mut found = self.find_plain(&plain.text, carry);
                for span in &mut found.spans {
                    (span.start, span.end) = plain.original(span.start, span.end);
                    span.start = shadow::before_unfinished(text, span.start);
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
                state = self.again(line, at, state, &mut spans, first);
            }
            hits = &hits[here..];
            at = end + 1;
        }
        Found { spans: merged(spans), carry: state.write() }
    }

    /// What is found in one line that begins at `base`; never in what is masked already.
    fn line(&self, line: &str, base: usize, hits: &[Hit], state: State, masked: bool) -> (Vec<Span>, State) {
        let mut reader = Line { engine: self, line, base, spans: Vec::new(), looked: 0 };
        let after = reader.read(hits, state);
        let mut found = reader.spans;
        if masked && line.contains(MASK) {
            let tokens = tokens(line);
            found.retain(|span| {
                let after = tokens.partition_point(|token| token.1 <= span.start - base);
                tokens.get(after).is_none_or(|token| span.end - base <= token.0)
            });
        }
        found.retain(|span| span.start < span.end);
        (found, after)
    }

    /// Looks at a line again as it will be shown, until nothing more is found: what is
    /// masked can change what stands around it, and masking twice must be masking once.
    /// `spans[first..]` are the line's; gives the state behind it.
    fn again(&self, line: &str, base: usize, state: State, spans: &mut Vec<Span>, first: usize) -> State {
        let mut rounds = 0;
        loop {
            rounds += 1;
            let so_far = merged(spans.split_off(first));
            let (shown, places) = show(line, base, &so_far);
            let mut hits = Vec::new();
            self.filter.scan(shown.as_bytes(), |hit| hits.push(hit));
            let (found, after) = self.line(&shown, 0, &hits, state, true);
            let more: Vec<Span> = found
                .into_iter()
                .map(|span| Span {
                    start: base + original(&places, span.start),
                    end: base + original(&places, span.end - 1) + 1,
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

/// The first three characters of a Discord bot token: a user's number in base64.
const DISCORD_STARTS: &[&str] = &[
    "MTA", "MTE", "MTI", "MTM", "MTQ", "MTU", "MTY", "MTc", "MTg", "MTk", "MjA", "MjE", "MjI", "MjM", "MjQ",
    "MjU", "MjY", "Mjc", "Mjg", "Mjk", "MzA", "MzE", "MzI", "MzM", "MzQ", "MzU", "MzY", "Mzc", "Mzg", "Mzk",
    "NDA", "NDE", "NDI", "NDM", "NDQ", "NDU", "NDY", "NDc", "NDg", "NDk", "NTA", "NTE", "NTI", "NTM", "NTQ",
    "NTU", "NTY", "NTc", "NTg", "NTk", "NjA", "NjE", "NjI", "NjM", "NjQ", "NjU", "NjY", "Njc", "Njg", "Njk",
    "NzA", "NzE", "NzI", "NzM", "NzQ", "NzU", "NzY", "Nzc", "Nzg", "Nzk", "ODA", "ODE", "ODI", "ODM", "ODQ",
    "ODU", "ODY", "ODc", "ODg", "ODk", "OTA", "OTE", "OTI", "OTM", "OTQ", "OTU", "OTY", "OTc", "OTg", "OTk",
];

/// A line with its spans masked, and for each part that stayed its offset there and in
/// the line.
fn show(line: &str, base: usize, spans: &[Span]) -> (String, Vec<(usize, usize)>) {
    let mut shown = String::with_capacity(line.len());
    let mut places = Vec::with_capacity(spans.len() + 1);
    let mut at = 0;
    for span in spans {
        places.push((shown.len(), at));
        shown.push_str(&line[at..span.start - base]);
        shown.push_str(MASK);
        shown.push_str(span.rule);
        shown.push(']');
        at = span.end - base;
    }
    places.push((shown.len(), at));
    shown.push_str(&line[at..]);
    (shown, places)
}

fn original(places: &[(usize, usize)], at: usize) -> usize {
    let part = places.partition_point(|(shown, _)| *shown <= at).saturating_sub(1);
    places.get(part).map_or(at, |(shown, original)| original + (at - shown))
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

impl State {
    fn read(carry: &str) -> State {
        let mut fields = carry.split(':');
        let kind = fields.next();
        let number = fields.next().and_then(|n| n.parse::<u32>().ok());
        match (kind, number) {
            (Some("pem"), Some(lines)) => State::Block(Block::Pem(lines)),
            (Some("data"), Some(left)) => State::Data(left.min(MOST_MEMBERS)),
            (Some("lines"), Some(left)) => State::Block(Block::Lines(left)),
            (Some("below" | "named"), Some(level)) => {
                let level = match level {
                    0 => Level::Vendor,
                    1 => Level::Weak,
                    2 => Level::Token,
                    _ => Level::Password,
                };
                State::Open(Open { level, named: kind == Some("named") })
            }
            _ => State::Nothing,
        }
    }

    fn write(self) -> String {
        match self {
            State::Nothing => String::new(),
            State::Block(Block::Pem(lines)) => format!("pem:{lines}"),
            State::Block(Block::Lines(left)) => format!("lines:{left}"),
            State::Data(left) => format!("data:{left}"),
            State::Open(open) => {
                format!("{}:{}", if open.named { "named" } else { "below" }, open.level as u32)
            }
        }
    }
}
