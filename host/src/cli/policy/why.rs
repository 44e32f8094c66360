//! `policy why`: the decisions of a job in plain words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{job_id, known, number, read_job};
use crate::cli::plugin::{finding, signal};
use crate::cli::print;
use crate::cli::settings::SettingsArgs;
use job::artifacts::{EVIDENCE, FINDINGS};
use job::paths::JobPaths;
use model::error::{Error, Kind, Result};
use model::types::{CheckStatus, Finding, Severity};
use policy::ask::Answer;
use policy::inspect::Interface;
use policy::lock::Mode;
use policy::plugin::Example;
use policy::record::Decision;
use verify::outcome::{CheckEvidence, Verdict};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The job's id.
    job: String,
    /// Also what was neither denied nor warned of.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What the authors say of their rules, by component digest and rule.
type Whys = BTreeMap<(String, String), String>;

/// Explains.
pub(super) fn run(args: Args) -> Result<()> {
    let config = args.settings.load()?;
    let artifacts = JobPaths::new(&config.home, &job_id(&args.job)?).artifacts();
    let findings = artifacts.join(FINDINGS);
    // The verdicts of the last pass, the host's own and those of refused policies among them.
    let verdicts: Option<Vec<Verdict>> =
        jobfs::own::read(findings).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let recorded = match read_job(&config.home, &args.job) {
        Err(_) if verdicts.is_some() => Default::default(),
        recorded => recorded?,
    };
    let decisions = recorded.decisions;
    let verdicts = verdicts.unwrap_or_default();
    let evidence: Vec<CheckEvidence> = jobfs::own::read(artifacts.join(EVIDENCE))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    if args.json {
        let value = serde_json::json!({
            "job_id": args.job, "decisions": decisions, "verdicts": verdicts, "evidence": evidence,
        });
        let value = serde_json::to_string(&value).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
        return print(&(value + "\n"));
    }
    let said: BTreeSet<&str> =
        decisions.iter().filter(|d| speaks(d)).map(|decision| decision.component.as_str()).collect();
    let whys = known(&config, |digest| said.contains(digest))
        .into_iter()
        .flat_map(|known| {
            let digest = known.digest;
            known
                .examples
                .into_iter()
                .flat_map(rules_of)
                .map(move |(rule, why)| ((digest.clone(), rule), why))
        })
        .collect();
    let mut text = shown(&evidence);
    text.push_str(&explain(&args.job, &decisions, &verdicts, &whys, args.all));
    if recorded.unreadable > 0 {
        let _ = writeln!(text, "{} lines of the record cannot be read by this version", recorded.unreadable);
    }
    print(&text)
}

/// The rules that an example expects, each with the author's reason.
fn rules_of(example: Example) -> Vec<(String, String)> {
    let interface = Interface::parse(&example.interface);
    match interface.and_then(|interface| Answer::parse(interface, &example.expected).ok()) {
        Some(Answer::Findings(findings)) if !example.why.is_empty() => {
            findings.into_iter().map(|finding| (finding.rule, example.why.clone())).collect()
        }
        _ => Vec::new(),
    }
}

fn answer(decision: &Decision) -> Option<Answer> {
    Answer::parse(decision.interface, decision.output.as_ref()?.get()).ok()
}

fn speaks(decision: &Decision) -> bool {
    matches!(answer(decision), Some(Answer::Findings(findings)) if !findings.is_empty())
}

/// The pass that a decision belongs to, where its input says so.
fn pass(decision: &Decision) -> Option<u32> {
    #[derive(serde::Deserialize)]
    struct Input {
        job: Job,
    }
    #[derive(serde::Deserialize)]
    struct Job {
        attempt: u32,
    }
    serde_json::from_str::<Input>(decision.input.as_ref()?.get()).ok().map(|input| input.job.attempt)
}

/// What further runs of the checks showed, each mutant with its difference.
fn shown(evidence: &[CheckEvidence]) -> String {
    let mut text = String::new();
    for evidence in evidence {
        let check = &evidence.check;
        match evidence.without_change {
            Some(CheckStatus::Passed) => {
                let _ = writeln!(text, "check `{check}` passes without the change");
            }
            Some(CheckStatus::Failed) => {
                let _ = writeln!(text, "check `{check}` fails without the change");
            }
            Some(CheckStatus::TimedOut | CheckStatus::NotRun) | None => {}
        }
        for mutant in &evidence.mutants {
            let word = if mutant.killed { "killed" } else { "SURVIVED" };
            let place = format!("{}:{}", mutant.path, mutant.line);
            let _ =
                writeln!(text, "check `{check}`: {word} {}: {} [{place}]", mutant.mutator, mutant.altered);
            for line in mutant.diff.lines() {
                let _ = writeln!(text, "       {line}");
            }
        }
    }
    text
}

/// The decisions in plain words.
fn explain(job: &str, decisions: &[Decision], verdicts: &[Verdict], whys: &Whys, all: bool) -> String {
    let mut text = String::new();
    let passes = decisions.iter().filter_map(pass).max().unwrap_or(1);
    let mut at = 0;
    for decision in decisions {
        if let Some(pass) = pass(decision).filter(|pass| passes > 1 && *pass > at) {
            at = pass;
            let _ = writeln!(text, "pass {pass} of {passes}");
        }
        let who = format!("{}@{} ({})", decision.plugin, decision.version, decision.interface);
        let shadow = if decision.mode == Mode::Shadow { " in shadow, so it decided nothing" } else { "" };
        if let Some(error) = &decision.error {
            let _ = writeln!(text, "{who} gave no answer{shadow}: {error}");
            logged(&mut text, decision);
            continue;
        }
        match answer(decision) {
            Some(Answer::Signals(signals)) => {
                for one in &signals {
                    let _ = write!(text, "{who} read from {}", signal(one));
                }
            }
            Some(Answer::Findings(findings)) if !findings.is_empty() => {
                let _ = writeln!(text, "{who} said{shadow}:");
                let why = |rule: &str| whys.get(&(decision.component.clone(), rule.to_owned()));
                said(&mut text, findings.iter(), why);
            }
            _ if all => {
                let _ = writeln!(text, "{who} had nothing to say{shadow}");
            }
            _ => {}
        }
        if all {
            logged(&mut text, decision);
        }
    }
    // What no policy's record holds: the host's own rules, and policies that were refused.
    let recorded: BTreeSet<String> =
        decisions.iter().map(|d| format!("{}@{}", d.plugin, d.version)).collect();
    let mut others: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for verdict in verdicts.iter().filter(|verdict| !recorded.contains(&verdict.by)) {
        others.entry(&verdict.by).or_default().push(&verdict.finding);
    }
    for (by, findings) in others {
        let _ = writeln!(text, "{by} said:");
        said(&mut text, findings.into_iter(), |_| None);
    }
    let count = |severity| verdicts.iter().filter(|verdict| verdict.finding.severity == severity).count();
    let (denied, warned) = (count(Severity::Deny), count(Severity::Warn));
    let outcome = match (denied, warned) {
        (0, 0) => "no policy objects".to_owned(),
        (0, warned) => format!("no policy denies; {}", number(warned, "warning", "warnings")),
        (denied, warned) => format!(
            "denied by {}; {}",
            number(denied, "finding", "findings"),
            number(warned, "warning", "warnings")
        ),
    };
    let last = if passes > 1 { " after the last pass" } else { "" };
    let _ = writeln!(
        text,
        "job {job}: {outcome}{last} ({})",
        number(decisions.len(), "decision on record", "decisions on record")
    );
    text
}

fn logged(text: &mut String, decision: &Decision) {
    for line in &decision.log {
        let _ = writeln!(text, "  it logged {line}");
    }
    if decision.log_dropped > 0 {
        let _ =
            writeln!(text, "  and {} over its limit", number(decision.log_dropped as usize, "line", "lines"));
    }
}

fn said<'a, 'b>(
    text: &mut String,
    findings: impl Iterator<Item = &'a Finding>,
    why: impl Fn(&str) -> Option<&'b String>,
) {
    for found in findings {
        for line in finding(found).lines() {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(why) = why(&found.rule) {
            let _ = writeln!(text, "       the author's reason: {why}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::record::{digest, json};

    fn decision(attempt: u32, component: &str, findings: &[Finding]) -> Decision {
        let input = json(&serde_json::json!({"job": {"attempt": attempt}}));
        Decision {
            v: 1,
            seq: attempt,
            interface: Interface::Scope,
            plugin: "scope".into(),
            version: "0.1.0".into(),
            component: component.into(),
            config: String::new(),
            mode: Mode::Enforce,
            input_digest: digest(input.get()),
            input: Some(input),
            output: Some(json(&findings)),
            error: None,
            micros: 5,
            log: vec!["info: looked at a.rs".into()],
            log_dropped: 0,
        }
    }

    fn denial(rule: &str, message: &str) -> Finding {
        Finding {
            rule: rule.into(),
            severity: Severity::Deny,
            message: message.into(),
            path: Some("a.rs".into()),
            line: None,
            remedy: Some("undo it".into()),
        }
    }

    #[test]
    fn mutants_are_shown_with_their_difference() {
        let evidence: Vec<CheckEvidence> = serde_json::from_value(serde_json::json!([{
            "check": "unit", "without_change": "failed",
            "mutants": [{"path": "tests/a.py", "line": 3, "mutator": "expected-value", "digest": "",
                         "altered": "expected 4 became 5", "diff": "-x == 4\n+x == 5\n", "killed": false}]
        }]))
        .expect("evidence");
        insta::assert_snapshot!(shown(&evidence), @r"
        check `unit` fails without the change
        check `unit`: SURVIVED expected-value: expected 4 became 5 [tests/a.py:3]
               -x == 4
               +x == 5
        ");
    }

    #[test]
    fn passes_reasons_remedies_and_refused_policies_are_told() {
        let found = [denial("out-of-scope", "a.rs is outside")];
        let decisions = [decision(1, "c0", &found), decision(2, "c0", &[])];
        let refused = Verdict {
            origin: verify::outcome::Origin::Broken(verify::outcome::Asked::Verifier),
            by: "mine.wasm".into(),
            finding: denial("policy-broken", "policy mine.wasm could not judge"),
        };
        let whys =
            BTreeMap::from([(("c0".to_owned(), "out-of-scope".to_owned()), "it is not yours".to_owned())]);
        insta::assert_snapshot!(explain("j", &decisions, &[refused], &whys, true), @r"
        pass 1 of 2
        scope@0.1.0 (scope) said:
          DENY out-of-scope: a.rs is outside [a.rs]
               to satisfy it: undo it
               the author's reason: it is not yours
          it logged info: looked at a.rs
        pass 2 of 2
        scope@0.1.0 (scope) had nothing to say
          it logged info: looked at a.rs
        mine.wasm said:
          DENY policy-broken: policy mine.wasm could not judge [a.rs]
               to satisfy it: undo it
        job j: denied by 1 finding; 0 warnings after the last pass (2 decisions on record)
        ");
    }
}
