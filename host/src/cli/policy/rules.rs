//! `policy rules`: which rules ever fire. One that never did in months may be dead or
//! broken; one that always does is noise.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::{Known, age, known, read_job, recorded_jobs};
use crate::cli::print;
use crate::cli::settings::SettingsArgs;
use model::error::{Error, Kind, Result};
use model::types::Severity;
use policy::ask::Answer;
use policy::inspect::Interface;
use policy::record::Decision;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only jobs judged within this time: 90d, 12h, 45m.
    #[arg(long, value_parser = age)]
    since: Option<Duration>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How often one rule fired.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
struct Fired {
    deny: u32,
    warn: u32,
    info: u32,
    /// Spans, for redaction.
    masked: u32,
    /// Calls in which it fired.
    calls: u32,
    /// Jobs in which it fired.
    jobs: u32,
}

/// One policy, all its versions together.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
struct Policy {
    /// Calls that gave an answer.
    calls: u32,
    /// Calls that ended on a limit or a failure.
    failed: u32,
    rules: BTreeMap<String, Fired>,
    /// Rules that its own examples show and that never fired.
    never: BTreeSet<String>,
    /// Rules that fired in each of at least ten calls.
    always: BTreeSet<String>,
}

const ENOUGH_CALLS: u32 = 10;

/// Counts.
pub(super) fn run(args: Args) -> Result<()> {
    let config = args.settings.load()?;
    let ids = recorded_jobs(&config.home, args.since)?;
    let jobs: Vec<Vec<Decision>> = ids
        .iter()
        .filter_map(|id| read_job(&config.home, id).ok())
        .map(|recorded| recorded.decisions)
        .collect();
    let policies = count(&jobs, &known(&config, |_| true));
    if args.json {
        let value = serde_json::json!({"jobs": jobs.len(), "policies": policies});
        let value = serde_json::to_string(&value).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
        return print(&(value + "\n"));
    }
    print(&table(jobs.len(), &policies))
}

fn count(jobs: &[Vec<Decision>], known: &[Known]) -> BTreeMap<String, Policy> {
    let mut policies: BTreeMap<String, Policy> = BTreeMap::new();
    for decisions in jobs {
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
    }
    for known in known {
        let Some(policy) = policies.get_mut(&known.name) else { continue };
        for example in &known.examples {
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
    for policy in policies.values_mut().filter(|policy| policy.calls >= ENOUGH_CALLS) {
        let always = policy.rules.iter().filter(|(_, fired)| fired.calls == policy.calls);
        policy.always = always.map(|(rule, _)| rule.clone()).collect();
    }
    policies
}

fn table(jobs: usize, policies: &BTreeMap<String, Policy>) -> String {
    let jobs = if jobs == 1 { "1 job".to_owned() } else { format!("{jobs} jobs") };
    let mut text = format!("rules over {jobs}\n");
    for (name, policy) in policies {
        let failed =
            if policy.failed > 0 { format!(", {} without an answer", policy.failed) } else { String::new() };
        let _ = writeln!(text, "\n{name}: {} answers{failed}", policy.calls);
        if !policy.rules.is_empty() {
            let _ = writeln!(
                text,
                "{:>7} {:>7} {:>7} {:>7} {:>7}  rule",
                "deny", "warn", "info", "masked", "jobs"
            );
        }
        let mut rules: Vec<_> = policy.rules.iter().collect();
        rules.sort_by_key(|(rule, fired)| (std::cmp::Reverse(fired.jobs), *rule));
        for (rule, fired) in rules {
            let _ = writeln!(
                text,
                "{:>7} {:>7} {:>7} {:>7} {:>7}  {rule}",
                fired.deny, fired.warn, fired.info, fired.masked, fired.jobs
            );
        }
        let list = |rules: &BTreeSet<String>| rules.iter().cloned().collect::<Vec<_>>().join(", ");
        if !policy.always.is_empty() {
            let _ = writeln!(text, "  in every call, so it tells nothing: {}", list(&policy.always));
        }
        if !policy.never.is_empty() {
            let _ = writeln!(text, "  never, of the rules that its examples show: {}", list(&policy.never));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::plugin::Example;

    #[test]
    fn rules_that_never_and_always_fire_are_named() {
        let decision = |output: serde_json::Value| -> Decision {
            serde_json::from_value(serde_json::json!({
                "v": 1, "seq": 1, "interface": "scope", "plugin": "p", "version": "1", "component": "c",
                "config": "", "mode": "enforce", "input_digest": "", "micros": 1, "output": output,
            }))
            .unwrap()
        };
        let finding = |rule: &str, severity: &str| serde_json::json!({"rule": rule, "severity": severity, "message": "m"});
        let mut jobs: Vec<_> =
            (0..9).map(|_| vec![decision(serde_json::json!([finding("noise", "warn")]))]).collect();
        let both =
            serde_json::json!([finding("noise", "warn"), finding("rare", "deny"), finding("rare", "deny")]);
        jobs.push(vec![decision(both)]);
        let example = Example {
            name: "e".into(),
            interface: "scope".into(),
            config: String::new(),
            input: String::new(),
            expected: serde_json::json!([finding("dead", "deny"), finding("rare", "deny")]).to_string(),
            why: String::new(),
        };
        let known = Known { digest: "c".into(), name: "p".into(), examples: vec![example] };
        insta::assert_snapshot!(table(jobs.len(), &count(&jobs, &[known])), @r"
        rules over 10 jobs

        p: 10 answers
           deny    warn    info  masked    jobs  rule
              0      10       0       0      10  noise
              2       0       0       0       1  rare
          in every call, so it tells nothing: noise
          never, of the rules that its examples show: dead
        ");
    }
}
