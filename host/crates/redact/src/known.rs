//! Known-secret redaction: exact known secrets in their encodings. It runs before any policy
//! and cannot be switched off by one. The text that is searched is what a reader sees
//! ([`super::visible`]).

use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};

use super::encodings;
use super::spans::{self, Mask};
use super::visible::visible;
use model::secret::Secret;

/// All forms of all known secrets in one automaton.
pub(super) struct KnownSecrets {
    search: Search,
    /// The rule of each pattern.
    rules: Vec<Arc<str>>,
    /// The tokens that are written here: what is inside them is not searched again, so
    /// that masking twice is masking once even when a secret is `redacted`.
    tokens: Vec<String>,
    longest: usize,
    /// All forms in order, to find the beginning of one.
    sorted: Vec<String>,
    /// With which two bytes a form begins.
    beginnings: Beginnings,
}

/// The first two bytes of all forms, for a look that costs next to nothing.
struct Beginnings {
    first: [bool; 256],
    pairs: Box<[u64; 1024]>,
}

impl Beginnings {
    fn of(forms: &[String]) -> Self {
        let mut found = Beginnings { first: [false; 256], pairs: Box::new([0; 1024]) };
        for form in forms {
            if let [a, b, ..] = *form.as_bytes() {
                found.first[usize::from(a)] = true;
                let pair = usize::from(a) << 8 | usize::from(b);
                found.pairs[pair / 64] |= 1 << (pair % 64);
            }
        }
        found
    }

    /// Whether no form begins anywhere in `text`, not even at its end.
    fn none_in(&self, text: &[u8]) -> bool {
        let begins = |pair: &[u8]| {
            let pair = usize::from(pair[0]) << 8 | usize::from(pair[1]);
            self.pairs[pair / 64] >> (pair % 64) & 1 == 1
        };
        text.last().is_none_or(|last| !self.first[usize::from(*last)]) && !text.windows(2).any(begins)
    }
}

impl std::fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KnownSecrets({} forms)", self.sorted.len())
    }
}

enum Search {
    /// There are no secrets to look for.
    Nothing,
    Automaton(AhoCorasick),
    /// Too many secrets for one automaton: everything is masked rather than leaked.
    Broken,
}

impl KnownSecrets {
    pub(super) fn new(secrets: &[(String, Secret)]) -> Self {
        let mut patterns: Vec<String> = Vec::new();
        let mut rules: Vec<Arc<str>> = Vec::new();
        for (name, secret) in secrets {
            let rule: Arc<str> = rule_name(name).into();
            for form in encodings::variants(&visible(secret.expose())) {
                patterns.push(form);
                rules.push(Arc::clone(&rule));
            }
        }
        let mut sorted = patterns.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let beginnings = Beginnings::of(&sorted);
        let longest = patterns.iter().map(String::len).max().unwrap_or(0);
        let mut tokens: Vec<String> = rules.iter().map(|rule| spans::token(rule)).collect();
        tokens.dedup();
        let search = match AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns) {
            _ if patterns.is_empty() => Search::Nothing,
            Ok(automaton) => Search::Automaton(automaton),
            Err(error) => {
                tracing::error!(%error, "known secrets cannot be searched for: all text is masked");
                Search::Broken
            }
        };
        KnownSecrets { search, rules, tokens, longest, sorted, beginnings }
    }

    /// The length of the longest form: how much of an unfinished text must be held back.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Where known secrets are in `text`, normalised.
    pub(super) fn find(&self, text: &str) -> Vec<Mask> {
        let search = match &self.search {
            Search::Nothing => return Vec::new(),
            Search::Automaton(search) => search,
            Search::Broken => {
                return spans::normalise(text, vec![Mask { range: 0..text.len(), rule: "withheld".into() }]);
            }
        };
        spans::normalise(text, self.search_in(search, text))
    }

    /// Whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.search, Search::Nothing)
    }

    /// Whether no secret begins in `text`: a quick look that is never wrong about that.
    pub(super) fn none_begins(&self, text: &str) -> bool {
        match &self.search {
            Search::Nothing => true,
            Search::Automaton(_) => self.beginnings.none_in(text.as_bytes()),
            Search::Broken => false,
        }
    }

    /// How many bytes at the end of `text` may be the beginning of a secret.
    pub(super) fn begun(&self, text: &str) -> usize {
        let from = text.ceil_char_boundary(text.len().saturating_sub(self.longest.saturating_sub(1)));
        let begins = |suffix: &str| {
            let at = self.sorted.partition_point(|form| form.as_str() <= suffix);
            self.sorted.get(at).is_some_and(|form| form.starts_with(suffix))
        };
        let starts = text[from..].char_indices().map(|(at, _)| from + at);
        starts.into_iter().find(|at| begins(&text[*at..])).map_or(0, |at| text.len() - at)
    }

    fn search_in(&self, search: &AhoCorasick, text: &str) -> Vec<Mask> {
        search
            .find_iter(text)
            .filter(|found| !self.in_own_token(text, found.start(), found.end()))
            .map(|found| Mask {
                range: found.range(),
                rule: Arc::clone(&self.rules[found.pattern().as_usize()]),
            })
            .collect()
    }

    fn in_own_token(&self, text: &str, start: usize, end: usize) -> bool {
        let within = |token: &str| {
            let from = text.floor_char_boundary(end.saturating_sub(token.len()));
            let to = text.ceil_char_boundary(start + token.len());
            text.get(from..to.min(text.len())).is_some_and(|around| around.contains(token))
        };
        within(spans::OPEN) || self.tokens.iter().any(|token| within(token))
    }
}

/// A secret's name as a rule name: `ONEAPI_API_KEY` becomes `oneapi-api-key`.
fn rule_name(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    let mut rule = words.join("-");
    rule.truncate(48);
    if rule.is_empty() { "known-secret".to_owned() } else { rule }
}
