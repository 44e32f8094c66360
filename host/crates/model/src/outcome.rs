//! What a pass came to: findings with their origin, the outcome, and where logs are.

use serde::{Deserialize, Serialize};

use crate::result::Failure;
use crate::status::JobStatus;
use crate::types::{AgentEnd, AgentOutcome, CheckStatus, Finding, Severity, Tier};

/// The host's own rules. What follows from a finding is decided by its [`Origin`], so that no
/// policy steers a job by a rule's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostRule {
    /// A check passes with the agent's version of the tests alone.
    TestsWeakened,
    /// The old versions of changed tests could not be tried.
    TestsUnguarded,
    /// Code of installed dependencies was written.
    DependenciesEdited,
    /// A job that only reads changed files.
    ChangedWhileReading,
    /// A file of the tree changed while a check ran.
    TreeChangedByCheck,
    /// A check passed although what its tests expect was altered.
    CheckCannotFail,
    /// A check passes without the change.
    ChangeNotTested,
    /// Why a check has no mutants.
    NotMutated,
    /// A check passes in the environment of its first run only.
    EnvironmentDependent,
    /// A runner did not say what it ran.
    RunnerSilent,
    /// A check's exit, its summary and its runner's report do not agree.
    ReportDiffers,
    /// The repository's configuration, hooks or refs changed.
    InternalsChanged,
}

/// Deny in this tier and the stricter ones, else warn.
pub fn deny_from(lowest: Tier, tier: Tier) -> Severity {
    if tier >= lowest { Severity::Deny } else { Severity::Warn }
}

impl HostRule {
    /// Every rule.
    pub const ALL: &[HostRule] = &[
        HostRule::TestsWeakened,
        HostRule::TestsUnguarded,
        HostRule::DependenciesEdited,
        HostRule::ChangedWhileReading,
        HostRule::TreeChangedByCheck,
        HostRule::CheckCannotFail,
        HostRule::ChangeNotTested,
        HostRule::NotMutated,
        HostRule::EnvironmentDependent,
        HostRule::RunnerSilent,
        HostRule::ReportDiffers,
        HostRule::InternalsChanged,
    ];

    /// The finding's rule.
    pub fn name(self) -> &'static str {
        match self {
            HostRule::TestsWeakened => "tests-weakened",
            HostRule::TestsUnguarded => "tests-unguarded",
            HostRule::DependenciesEdited => "dependencies-edited",
            HostRule::ChangedWhileReading => "changed-while-reading",
            HostRule::TreeChangedByCheck => "tree-changed-by-check",
            HostRule::CheckCannotFail => "check-cannot-fail",
            HostRule::ChangeNotTested => "change-not-tested",
            HostRule::NotMutated => "not-mutated",
            HostRule::EnvironmentDependent => "environment-dependent",
            HostRule::RunnerSilent => "runner-silent",
            HostRule::ReportDiffers => "report-differs",
            HostRule::InternalsChanged => "internals-changed",
        }
    }

    /// The rule of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == name)
    }
}

/// The rule of findings that say that a policy could not judge.
pub const POLICY_BROKEN: &str = "policy-broken";

/// The name is the host's alone: a policy that uses it is refused. (`tests-weakened` and
/// `internals-changed` are not: shipped policies say the same of what they see.)
pub fn is_reserved(rule: &str) -> bool {
    let shared = [HostRule::TestsWeakened, HostRule::InternalsChanged];
    rule == POLICY_BROKEN || HostRule::parse(rule).is_some_and(|rule| !shared.contains(&rule))
}

/// Which question a policy was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Where the job may write.
    Scope,
    /// Whether the pass is good.
    Verifier,
}

/// Who a finding comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The host's own observation.
    Host(HostRule),
    /// A policy's answer.
    Policy(Asked),
    /// The host, about a policy that gave no answer.
    Broken(Asked),
}

impl Origin {
    /// It answers the question of the scope, or replaces an answer.
    pub fn is_scope(self) -> bool {
        matches!(self, Origin::Policy(Asked::Scope) | Origin::Broken(Asked::Scope))
    }
}

/// A finding and who made it; one entry of `findings.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredVerdict", into = "StoredVerdict")]
pub struct Verdict {
    /// Who it comes from; decides what follows.
    pub origin: Origin,
    /// `name@version`, or `host`.
    pub by: String,
    /// What was found.
    pub finding: Finding,
}

impl Verdict {
    /// A finding of the host itself.
    pub fn host(rule: HostRule, severity: Severity, message: impl Into<String>) -> Self {
        let finding = Finding {
            rule: rule.name().to_owned(),
            severity,
            message: message.into(),
            path: None,
            line: None,
            remedy: None,
        };
        Verdict { origin: Origin::Host(rule), by: "host".to_owned(), finding }
    }

    /// Where it is.
    pub fn at(mut self, path: Option<String>, line: Option<u32>) -> Self {
        self.finding.path = path;
        self.finding.line = line;
        self
    }

    /// What the agent should do about it.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.finding.remedy = Some(remedy.into());
        self
    }
}

/// A verdict as files hold it.
#[derive(Serialize, Deserialize)]
struct StoredVerdict {
    source: StoredSource,
    /// Absent in files from before; then the rule says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    broken: Option<bool>,
    by: String,
    finding: Finding,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredSource {
    Scope,
    Verifier,
    Host,
}

impl From<Verdict> for StoredVerdict {
    fn from(verdict: Verdict) -> Self {
        let Verdict { origin, by, finding } = verdict;
        let stored = |asked| match asked {
            Asked::Scope => StoredSource::Scope,
            Asked::Verifier => StoredSource::Verifier,
        };
        let (source, broken) = match origin {
            Origin::Host(_) => (StoredSource::Host, None),
            Origin::Policy(asked) => (stored(asked), Some(false)),
            Origin::Broken(asked) => (stored(asked), Some(true)),
        };
        StoredVerdict { source, broken, by, finding }
    }
}

impl TryFrom<StoredVerdict> for Verdict {
    type Error = String;

    fn try_from(stored: StoredVerdict) -> Result<Self, String> {
        let StoredVerdict { source, broken, by, finding } = stored;
        let of = |asked| match broken.unwrap_or(finding.rule == POLICY_BROKEN) {
            true => Origin::Broken(asked),
            false => Origin::Policy(asked),
        };
        let origin = match source {
            StoredSource::Scope => of(Asked::Scope),
            StoredSource::Verifier => of(Asked::Verifier),
            StoredSource::Host => {
                let rule = HostRule::parse(&finding.rule);
                Origin::Host(rule.ok_or_else(|| format!("the host has no rule {}", finding.rule))?)
            }
        };
        Ok(Verdict { origin, by, finding })
    }
}

/// What further runs of a passed check showed: a check is evidence if it was seen to fail when
/// it should.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckEvidence {
    /// The check's name.
    pub check: String,
    /// Its status without the change; none if that was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_change: Option<CheckStatus>,
    /// Each alteration of what its tests expect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mutants: Vec<MutantOutcome>,
}

/// One alteration and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MutantOutcome {
    /// The altered file.
    pub path: String,
    /// Counted from 1.
    pub line: u32,
    /// The mutator's name.
    pub mutator: String,
    /// What was altered, for people.
    pub altered: String,
    /// The lines before and after.
    pub diff: String,
    /// SHA-256 of path, range and replacement.
    pub digest: String,
    /// The check failed.
    pub killed: bool,
}

/// Why an agent's run failed, beyond what the outcome's `ended` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentFailure {
    /// The gateway was the cause (authentication, unreachable, too long).
    pub gateway: bool,
    /// One line.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// What a pass came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// `completed`, or how it failed.
    pub status: JobStatus,
    /// Present unless completed.
    pub failure: Option<Failure>,
    /// What decided, strongest first: `check unit tests`, `scope@0.1.0 out-of-scope`.
    pub decided_by: Vec<String>,
    /// The checks that did not do what they must, as indices.
    pub failing_checks: Vec<usize>,
    /// The findings that deny, as indices.
    pub denials: Vec<usize>,
    /// Another pass of the agent could repair it.
    pub repairable: bool,
}

impl Outcome {
    /// An end that the host decides by itself: no check and no policy had a part in it.
    pub fn by_host(status: JobStatus, failure: Failure) -> Self {
        Outcome {
            status,
            failure: Some(failure),
            decided_by: vec!["host".to_owned()],
            failing_checks: Vec::new(),
            denials: Vec::new(),
            repairable: false,
        }
    }
}

/// The artifact that holds a check's log. A check's name is the planner's; as a file name
/// it keeps letters, digits, `.`, `_` and `-`.
pub fn check_log(check: &str) -> String {
    let safe: String = check
        .chars()
        .take(80)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .collect();
    let safe = safe.trim_start_matches('.');
    format!("checks/{}.log", if safe.is_empty() { "check" } else { safe })
}

/// The outcome of an agent that has not ended, or that never started.
pub fn unknown_agent() -> AgentOutcome {
    AgentOutcome { ended: AgentEnd::Error, ..AgentOutcome::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_keep_their_spelling_in_files() {
        let host = Verdict::host(HostRule::TestsWeakened, Severity::Deny, "m");
        let finding = |rule: &str| Finding { rule: rule.to_owned(), ..host.finding.clone() };
        let by = |origin, rule| Verdict { origin, by: "p@1".to_owned(), finding: finding(rule) };
        for (verdict, source) in [
            (host.clone(), "host"),
            (by(Origin::Policy(Asked::Scope), "out-of-scope"), "scope"),
            (by(Origin::Broken(Asked::Verifier), POLICY_BROKEN), "verifier"),
            // A policy's own word for it makes it no broken policy.
            (by(Origin::Policy(Asked::Verifier), POLICY_BROKEN), "verifier"),
        ] {
            let mut json = serde_json::to_value(&verdict).expect("it is written");
            assert_eq!(json["source"], source);
            let read: Verdict = serde_json::from_value(json.clone()).expect("it is read");
            assert_eq!(read, verdict);
            // A file from before this field.
            json.as_object_mut().expect("an object").remove("broken");
            let read: Verdict = serde_json::from_value(json).expect("it is read");
            let broken = verdict.finding.rule == POLICY_BROKEN;
            assert_eq!(matches!(read.origin, Origin::Broken(_)), broken);
        }
    }
}
