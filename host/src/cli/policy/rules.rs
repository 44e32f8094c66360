//! `policy rules`: which rules ever fire. One that never did in months may be dead or
//! broken; one that always does is noise.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use super::{Known, age, known, read_job, recorded_jobs};
use crate::cli::print;
use crate::cli::settings::SettingsArgs;
use model::error::{Error, Kind, Result};
use policy::record::Decision;
use policy::tally::{self, Tally};

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

fn count(jobs: &[Vec<Decision>], known: &[Known]) -> Tally {
    let mut sum = Tally::new();
    for decisions in jobs {
        tally::add(&mut sum, &tally::of_job(decisions));
    }
    tally::conclude(&mut sum, known.iter().map(|known| (known.name.as_str(), known.examples.as_slice())));
    sum
}

fn table(jobs: usize, policies: &Tally) -> String {
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
