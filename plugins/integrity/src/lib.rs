//! The shipped verifier: did the work pass its checks honestly? Reads the change set, the
//! checks' results and counts, the agent's commands and its last words.
//!
//! Strong signs deny: tests taken away or skipped, nothing ran, failures swallowed, the
//! runner's configuration or hooks changed, comparisons that are always true, checks that
//! pass only with the agent's versions of the tests, claims that the evidence contradicts.
//! Weak signs warn with file and line. Changes of a file that the scope names by its very
//! path are meant; a directory or glob that holds it does not say so. Markers count on
//! added lines only, without comments and the insides of strings. The rules, and what
//! satisfies each, are in `docs/policies.md`.
//!
//! Configuration, all optional:
//!
//! ```toml
//! [plugins.integrity]
//! tier = "strict"                   # "lite", "standard", "strict" or "critical"
//! [plugins.integrity.levels]        # a rule's name: "deny", "warn", "info" or "off"
//! stub-left = "deny"
//! claim-unverified = "off"
//! ```

use std::collections::BTreeMap;

use codex_worker_policy::{Finding, Tier, Verifier, VerifyInput, policy};
use serde::Deserialize;

mod claims;
mod diff;
mod examples;
mod findings;
mod history;
mod outcome;
mod paths;
mod runner;
mod source;
mod tests_changed;

#[cfg(test)]
mod tests;

use findings::{Findings, Level, RULES};

/// The operator's settings.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The tier that the job is judged by: an input of version 0.1 does not hold it, so that
    /// the host sets it here unless the operator did.
    tier: Tier,
    /// Severities by rule.
    levels: BTreeMap<String, Level>,
}

/// The policy, configured.
#[derive(Debug)]
pub struct Integrity {
    tier: Tier,
    levels: BTreeMap<String, Level>,
}

impl TryFrom<Config> for Integrity {
    type Error = String;

    fn try_from(config: Config) -> Result<Integrity, String> {
        if let Some(unknown) = config.levels.keys().find(|name| !RULES.iter().any(|(rule, _)| rule == name)) {
            let known: Vec<&str> = RULES.iter().map(|(rule, _)| *rule).collect();
            return Err(format!(
                "`levels` names `{unknown}`, which is no rule; there are {}",
                known.join(", ")
            ));
        }
        Ok(Integrity { tier: config.tier, levels: config.levels })
    }
}

impl Verifier for Integrity {
    fn verify(&self, input: &VerifyInput) -> Vec<Finding> {
        let VerifyInput { job, changes, checks, agent } = input;
        let mut findings = Findings::new(&self.levels);
        let (files, all_read) = diff::read(changes);
        if !all_read {
            findings.add(
                "changes-unread",
                None,
                "the change has more lines than are read".into(),
                "change less at a time: undo what the task does not need, such as generated files",
            );
        }
        tests_changed::judge(job, &files, checks, &mut findings);
        tests_changed::guarded(job, &files, checks, &mut findings);
        runner::judge(job, &files, &mut findings);
        source::judge(job, &files, checks, agent, self.tier, &mut findings);
        outcome::counts(job, &files, checks, &mut findings);
        history::history(job, agent, &mut findings);
        claims::claims(job, &files, changes.total_files, checks, agent, &mut findings);
        findings.sorted()
    }
}

policy! {
    name: "integrity",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Denies work that passes its checks by weakening, skipping or bypassing them.",
    policy: Integrity,
    interfaces: [verifier],
    config: Config,
    examples: [
        examples::honest(),
        examples::skipped(),
        examples::skipped_by_name(),
        examples::deleted(),
        examples::guarded(),
        examples::nothing_ran(),
        examples::always_equal(),
        examples::claim(),
        examples::levels(),
    ],
}
