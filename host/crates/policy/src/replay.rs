//! Recorded inputs put to another component: exact, because a policy is a pure function.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::value::RawValue;

use super::ask::{Answer, OwnedQuestion};
use super::compose;
use super::inspect::Interface;
use super::lock::Mode;
use super::plugin::Plugin;
use super::record::{self, Decision, VERSION};
use model::types::{Finding, Severity};

/// What a verdict is, for counting flips: no finding and `info` are the same to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The job failed.
    Deny,
    /// It is known.
    Warn,
    /// Nothing.
    Allow,
}

impl Verdict {
    /// The verdict of findings.
    pub fn of(findings: &[Finding]) -> Self {
        match compose::verdict(findings) {
            Some(Severity::Deny) => Verdict::Deny,
            Some(Severity::Warn) => Verdict::Warn,
            Some(Severity::Info) | None => Verdict::Allow,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Verdict::Deny => "deny",
            Verdict::Warn => "warn",
            Verdict::Allow => "allow",
        })
    }
}

/// A recorded input on which the candidate says something else.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flip {
    /// The job.
    pub job: String,
    /// The first decision with this input.
    pub seq: u32,
    /// What was asked.
    pub interface: Interface,
    /// What the record says.
    pub before: Verdict,
    /// What the candidate says.
    pub after: Verdict,
    /// The recorded findings that count.
    pub recorded: Vec<Finding>,
    /// The candidate's findings.
    pub candidate: Vec<Finding>,
}

/// What a replay gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Replay {
    /// Inputs that the candidate was asked.
    pub asked: u32,
    /// Same verdict, same output.
    pub same: u32,
    /// Same verdict, another output (other findings, signals or prompt).
    pub differs: u32,
    /// Other verdicts, deny to allow first.
    pub flips: Vec<Flip>,
    /// Recorded calls that ended on a limit or a trap: no verdict to compare with.
    pub no_verdict: u32,
    /// Calls of the candidate that failed: the text of the first, and how many.
    pub failed: u32,
    /// The first failure.
    pub first_failure: Option<String>,
    /// Recorded without input (redaction's may hold secrets).
    pub not_replayable: u32,
    /// Records whose input is not what its digest says, or not what the interface takes.
    pub damaged: u32,
    /// Lines that this host cannot read.
    pub unreadable: u32,
}

/// What a `decisions.jsonl` holds.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// In the order of the file.
    pub decisions: Vec<Decision>,
    /// Inputs that are not what their digest says; they are left out of [`Self::decisions`].
    pub damaged: u32,
    /// Lines that this host cannot read.
    pub unreadable: u32,
}

/// Reads a `decisions.jsonl`; inputs that an earlier line holds are filled in.
pub fn read(text: &str) -> Recorded {
    let mut inputs: HashMap<String, Box<RawValue>> = HashMap::new();
    let mut recorded = Recorded::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match serde_json::from_str::<Decision>(line) {
            Ok(mut decision) if decision.v == VERSION => {
                match decision.input.take() {
                    // A replay of another input than the recorded one would prove nothing.
                    Some(input) if record::digest(input.get()) == decision.input_digest => {
                        inputs.insert(decision.input_digest.clone(), input);
                    }
                    Some(_) => recorded.damaged += 1,
                    None => {}
                }
                decision.input = inputs.get(&decision.input_digest).cloned();
                recorded.decisions.push(decision);
            }
            _ => recorded.unreadable += 1,
        }
    }
    recorded
}

/// Puts the inputs of these jobs to the candidate. Where a policy of its name was asked, the
/// candidate is compared with that one; else with all that counted, beside which it would judge.
pub fn replay(candidate: &Plugin, jobs: &[(String, Recorded)]) -> Replay {
    let mut replay = Replay::default();
    for (job, recorded) in jobs {
        replay.damaged += recorded.damaged;
        replay.unreadable += recorded.unreadable;
        let mut inputs: BTreeMap<(Interface, &str), Vec<&Decision>> = BTreeMap::new();
        for decision in recorded.decisions.iter().filter(|decision| candidate.answers(decision.interface)) {
            inputs.entry((decision.interface, &decision.input_digest)).or_default().push(decision);
        }
        for group in inputs.values() {
            one(candidate, job, group, &mut replay);
        }
    }
    replay.flips.sort_by(|a, b| (a.before, b.after, &a.job, a.seq).cmp(&(b.before, a.after, &b.job, b.seq)));
    replay
}

fn one(candidate: &Plugin, job: &str, group: &[&Decision], replay: &mut Replay) {
    let Some(first) = group.first() else { return };
    let interface = first.interface;
    let counted: Vec<&&Decision> = group.iter().filter(|d| d.mode == Mode::Enforce).collect();
    let twin = counted.iter().find(|decision| decision.plugin == candidate.id.name);
    let compared: Vec<&Decision> = match twin {
        Some(twin) => vec![twin],
        None => counted.iter().map(|decision| **decision).collect(),
    };
    if compared.iter().any(|decision| decision.error.is_some()) {
        replay.no_verdict += 1;
        return;
    }
    let Some(input) = first.input.as_ref() else {
        replay.not_replayable += 1;
        return;
    };
    let Ok(question) = OwnedQuestion::parse(interface, input.get()) else {
        replay.damaged += 1;
        return;
    };
    let recorded: Vec<Answer> = compared
        .iter()
        .filter_map(|decision| Answer::parse(interface, decision.output.as_ref()?.get()).ok())
        .collect();
    replay.asked += 1;
    let answer = match candidate.ask(question.as_question(), input.get().len() as u64).answer {
        Ok(answer) => answer,
        Err(error) => {
            replay.failed += 1;
            replay.first_failure.get_or_insert_with(|| format!("{job} {interface}: {error}"));
            return;
        }
    };
    let (Answer::Findings(new), true) = (&answer, interface.may_deny()) else {
        match recorded.last() == Some(&answer) {
            true => replay.same += 1,
            false => replay.differs += 1,
        }
        return;
    };
    let old: Vec<Finding> = recorded
        .into_iter()
        .flat_map(|answer| match answer {
            Answer::Findings(findings) => findings,
            _ => Vec::new(),
        })
        .collect();
    let before = Verdict::of(&old);
    let after = match twin {
        Some(_) => Verdict::of(new),
        // A newcomer only adds to what the others say.
        None => before.min(Verdict::of(new)),
    };
    if before != after {
        replay.flips.push(Flip {
            job: job.to_owned(),
            seq: first.seq,
            interface,
            before,
            after,
            recorded: old,
            candidate: new.clone(),
        });
    } else if twin.is_some() && old != *new {
        replay.differs += 1;
    } else {
        replay.same += 1;
    }
}
