//! How often each rule fired, counted from recorded decisions: a rule that never did in months
//! may be dead or broken, one that always does is noise.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::ask::Answer;
use super::inspect::Interface;
use super::plugin::Example;
use super::record::Decision;
use model::types::Severity;

/// How often one rule fired.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Fired {
    /// Findings that deny.
    pub deny: u32,
    /// Findings that warn.
    pub warn: u32,
    /// Findings for information.
    pub info: u32,
    /// Spans, for redaction.
    pub masked: u32,
    /// Calls in which it fired.
    pub calls: u32,
    /// Jobs in which it fired.
    pub jobs: u32,
}

/// One policy, all its versions together.
#[derive(Clone, Debug, Default, Serialize, PartialEq, Eq)]
pub struct Policy {
    /// Calls that gave an answer.
    pub calls: u32,
    /// Calls that ended on a limit or a failure.
    pub failed: u32,
    /// The rules that fired.
    pub rules: BTreeMap<String, Fired>,
    /// Rules that its own examples show and that never fired.
    pub never: BTreeSet<String>,
    /// Rules that fired in each of at least ten calls.
    pub always: BTreeSet<String>,
}

/// The policies by name.
pub type Tally = BTreeMap<String, Policy>;

const ENOUGH_CALLS: u32 = 10;

/// Counts the decisions of one job.
pub fn of_job(decisions: &[Decision]) -> Tally {
    let mut policies = Tally::new();
    let mut in_job: BTreeSet<(&str, String)> = BTreeSet::new();
    for decision in decisions {
        let policy = policies.entry(decision.plugin.clone()).or_default();
        let output = decision.output.as_ref();
        let Some(answer) = output.and_then(|o| Answer::parse(decision.interface, o.get()).ok()) else {
            policy.failed += 1;
            continue;
        };
        policy.calls += 1;
        let mut in_call = BTreeSet::new();
        let mut fire = |rule: &str, note: fn(&mut Fired)| {
            let fired = policy.rules.entry(rule.to_owned()).or_default();
            note(fired);
            fired.calls += u32::from(in_call.insert(rule.to_owned()));
            fired.jobs += u32::from(in_job.insert((&decision.plugin, rule.to_owned())));
        };
        match answer {
            Answer::Findings(findings) => findings.iter().for_each(|finding| {
                fire(
                    &finding.rule,
                    match finding.severity {
                        Severity::Deny => |fired| fired.deny += 1,
                        Severity::Warn => |fired| fired.warn += 1,
                        Severity::Info => |fired| fired.info += 1,
                    },
                );
            }),
            Answer::Found(found) => found.spans.iter().for_each(|s| fire(&s.rule, |f| f.masked += 1)),
            Answer::Signals(_) | Answer::Draft(_) | Answer::Mutants(_) => {}
        }
    }
    policies
}

/// Adds what one job came to.
pub fn add(sum: &mut Tally, job: &Tally) {
    for (name, policy) in job {
        let into = sum.entry(name.clone()).or_default();
        into.calls += policy.calls;
        into.failed += policy.failed;
        for (rule, fired) in &policy.rules {
            let into = into.rules.entry(rule.clone()).or_default();
            into.deny += fired.deny;
            into.warn += fired.warn;
            into.info += fired.info;
            into.masked += fired.masked;
            into.calls += fired.calls;
            into.jobs += fired.jobs;
        }
    }
}

/// Names the rules that never and always fire; `known` are policies by name with their examples.
pub fn conclude<'a>(sum: &mut Tally, known: impl IntoIterator<Item = (&'a str, &'a [Example])>) {
    for (name, examples) in known {
        let Some(policy) = sum.get_mut(name) else { continue };
        for example in examples {
            let interface = Interface::parse(&example.interface);
            let shown: Vec<String> = match interface.and_then(|i| Answer::parse(i, &example.expected).ok()) {
                Some(Answer::Findings(findings)) => {
                    findings.into_iter().map(|finding| finding.rule).collect()
                }
                Some(Answer::Found(found)) => found.spans.into_iter().map(|span| span.rule).collect(),
                _ => Vec::new(),
            };
            policy.never.extend(shown.into_iter().filter(|rule| !policy.rules.contains_key(rule)));
        }
    }
    for policy in sum.values_mut().filter(|policy| policy.calls >= ENOUGH_CALLS) {
        let always = policy.rules.iter().filter(|(_, fired)| fired.calls == policy.calls);
        policy.always = always.map(|(rule, _)| rule.clone()).collect();
    }
}
