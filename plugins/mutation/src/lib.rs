//! The shipped mutation policy: what to alter so that a check that passed must fail.
//!
//! Oracle mutants alter what a test expects: an expected value, a recorded one, an expected
//! exception, else the assertion becomes its opposite. Each file is read by the lexer of its
//! language, so that a mutant alters exactly that and the file stays valid; each value stays
//! of its kind and type. Only what a check surely runs and a test surely reaches is altered:
//! no skipped tests, branches, callbacks or helpers. Source mutants (strict and critical
//! tiers) let a changed function return at once.
//!
//! What could not be mutated is said of each check. Never panics; takes time in proportion to
//! its input; leaves files of more than 1 MiB alone.
//!
//! Configuration: none.

use codex_worker_policy::{Mutants, Mutation, MutationInput, policy};

mod assertions;
mod blocks;
mod body;
mod choose;
mod commands;
mod condition;
mod examples;
mod language;
mod lex;
mod literal;
mod operand;
mod oracle;
mod recorded;
mod shell;
mod source;
#[cfg(test)]
mod tests;

/// The policy.
#[derive(Debug, Default)]
pub struct MutationPolicy;

impl Mutation for MutationPolicy {
    fn mutate(&self, input: &MutationInput) -> Mutants {
        choose::mutate(input)
    }
}

policy! {
    name: "mutation",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Alters what tests expect, so that a check that cannot fail is found.",
    policy: MutationPolicy,
    interfaces: [mutation],
    examples: [
        examples::pytest(),
        examples::two_checks(),
        examples::inline_rust(),
        examples::source(),
        examples::nothing(),
    ],
}
