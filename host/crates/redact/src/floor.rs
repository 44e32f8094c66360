//! The floor: exact known secrets in their encodings. It runs before any policy and
//! cannot be switched off by one.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};

use super::encodings;
use super::marks::{self, Mark};
use super::shadow;
use model::secret::Secret;

/// All forms of all known secrets in one automaton.
pub(super) struct Floor {
    search: Search,
    /// The rule of each pattern.
    rules: Vec<Arc<str>>,
    /// The tokens that this floor writes: what lies in them is not searched again, so
    /// that masking twice is masking once even when a secret is `redacted`.
    tokens: Vec<String>,
    longest: usize,
}

enum Search {
    /// There are no secrets to look for.
    Nothing,
    Automaton(AhoCorasick),
    /// Too many secrets for one automaton: everything is masked rather than leaked.
    Broken,
}

impl Floor {
    pub(super) fn new(secrets: &[(String, Secret)]) -> Self {
        let mut patterns: Vec<String> = Vec::new();
        let mut rules: Vec<Arc<str>> = Vec::new();
        for (name, secret) in secrets {
            let rule: Arc<str> = rule_name(name).into();
            for form in encodings::variants(secret.expose()) {
                patterns.push(form);
                rules.push(Arc::clone(&rule));
            }
        }
        let longest = patterns.iter().map(String::len).max().unwrap_or(0);
        let mut tokens: Vec<String> = rules.iter().map(|rule| marks::token(rule)).collect();
        tokens.dedup();
        let search = match AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&patterns) {
            _ if patterns.is_empty() => Search::Nothing,
            Ok(automaton) => Search::Automaton(automaton),
            Err(error) => {
                tracing::error!(%error, "known secrets cannot be searched for: all text is masked");
                Search::Broken
            }
        };
        Floor { search, rules, tokens, longest }
    }

    /// The length of the longest form: how much of an unfinished text must be held back.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Where known secrets stand in `text`, normalised.
    pub(super) fn find(&self, text: &str) -> Vec<Mark> {
        let search = match &self.search {
            Search::Nothing => return Vec::new(),
            Search::Automaton(search) => search,
            Search::Broken => {
                return marks::normalise(text, vec![Mark { range: 0..text.len(), rule: "withheld".into() }]);
            }
        };
        let mut found = self.search_in(search, text);
        if let Some(plain) = shadow::plain(text) {
            found.extend(
                self.search_in(search, &plain.text)
                    .into_iter()
                    .map(|mark| Mark { range: plain.original(mark.range), rule: mark.rule }),
            );
        }
        marks::normalise(text, found)
    }

    fn search_in(&self, search: &AhoCorasick, text: &str) -> Vec<Mark> {
        search
            .find_iter(text)
            .filter(|found| !self.in_own_token(text, found.start(), found.end()))
            .map(|found| Mark {
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
        within(marks::OPEN) || self.tokens.iter().any(|token| within(token))
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
