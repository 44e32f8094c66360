//! The rules as data. To add a format, add a line to one of the tables: a name, the
//! literal that every such token holds, and what follows it (see [`crate::pattern`]).

mod cloud;
mod developer;
mod models;
pub mod names;
pub mod public;
mod services;
mod trade;
pub mod vendors;

/// A token format that is known by its own shape.
#[derive(Clone, Copy, Debug)]
pub struct Provider {
    /// Written in `[REDACTED:name]`: lower case, digits, `-`.
    pub name: &'static str,
    /// A run before the keyword and belongs to the token; empty for none.
    pub before: &'static str,
    /// The literal that unlocks the rule, compared with case; three bytes or more.
    pub keyword: &'static str,
    /// What follows the keyword.
    pub rest: &'static str,
}

/// `keyword` begins the token.
const fn p(name: &'static str, keyword: &'static str, rest: &'static str) -> Provider {
    Provider { name, before: "", keyword, rest }
}

/// `keyword` is inside the token, behind `before`.
const fn m(name: &'static str, before: &'static str, keyword: &'static str, rest: &'static str) -> Provider {
    Provider { name, before, keyword, rest }
}

/// Every provider rule.
pub fn providers() -> impl Iterator<Item = &'static Provider> {
    cloud::RULES
        .iter()
        .chain(developer::RULES)
        .chain(models::RULES)
        .chain(trade::RULES)
        .chain(services::RULES)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rules_are_well_formed() {
        for rule in providers() {
            assert!(rule.keyword.len() >= 3, "{} has a keyword that is too short", rule.name);
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(rule.name.len() <= 40 && rule.name.bytes().all(plain), "{}", rule.name);
        }
    }

    #[test]
    fn there_are_enough_families() {
        let families: BTreeSet<&str> = providers().map(|rule| rule.name).collect();
        assert!(families.len() >= 250, "{} families", families.len());
    }
}
