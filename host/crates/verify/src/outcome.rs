//! From what was observed to an outcome: changes, check results, judged findings and how
//! the agent ended. Pure; the agent's words play no part.

use std::fmt::Write as _;

pub use model::outcome::{
    AgentFailure, Asked, CheckEvidence, HostRule, MutantOutcome, Origin, Outcome, Verdict, check_log,
    deny_from,
};
use model::result::{Failure, FailureKind};
use model::spec::CheckCommand;
use model::status::JobStatus;
use model::types::{AgentEnd, AgentOutcome, CheckResult, CheckStatus, Severity};

/// What one pass is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// How the agent ended.
    pub agent: &'a AgentOutcome,
    /// Why it ended with an error.
    pub agent_failure: Option<&'a AgentFailure>,
    /// The checks as declared, for `must_fail_before`.
    pub declared: &'a [CheckCommand],
    /// What the checks gave; the same order.
    pub checks: &'a [CheckResult],
    /// Every finding.
    pub verdicts: &'a [Verdict],
}

/// Whether a check did what it must: it passed, and where it had to fail before, it did.
pub fn holds(declared: Option<&CheckCommand>, result: &CheckResult) -> bool {
    let proved = match (declared.is_some_and(|c| c.must_fail_before), result.baseline) {
        (false, _) | (true, Some(CheckStatus::Failed | CheckStatus::TimedOut)) => true,
        (true, Some(CheckStatus::Passed | CheckStatus::NotRun) | None) => false,
    };
    result.status == CheckStatus::Passed && proved
}

/// The outcome. What comes first in this order names the failure: cancel, time, the agent's
/// own error, its turns, a policy that could not judge, scope, checks, weakened tests, other
/// policies. Everything that failed is listed in [`Outcome::decided_by`].
pub fn decide(inputs: Inputs<'_>) -> Outcome {
    let failing_checks: Vec<usize> = inputs
        .checks
        .iter()
        .enumerate()
        .filter(|(_, result)| !holds(inputs.declared.iter().find(|c| c.name == result.name), result))
        .map(|(n, _)| n)
        .collect();
    let denials: Vec<usize> = inputs
        .verdicts
        .iter()
        .enumerate()
        .filter(|(_, verdict)| verdict.finding.severity == Severity::Deny)
        .map(|(n, _)| n)
        .collect();
    let mut reasons = agent_reason(&inputs).into_iter().collect::<Vec<_>>();
    reasons.extend(denials.iter().map(|n| denial_reason(&inputs.verdicts[*n])));
    reasons.extend(failing_checks.iter().map(|n| {
        let result = &inputs.checks[*n];
        check_reason(inputs.declared.iter().find(|c| c.name == result.name), result)
    }));
    // Stable: within one kind the order of the input stays.
    reasons.sort_by_key(|reason| reason.rank);
    let failure = reasons.first().map(|first| {
        let alike = reasons.iter().filter(|r| r.kind == first.kind).count();
        let mut message = first.message.clone();
        if alike > 1 {
            let _ = write!(message, " (and {} more)", alike - 1);
        }
        Failure { kind: first.kind, message, hint: first.hint.clone() }
    });
    Outcome {
        status: reasons.first().map_or(JobStatus::Completed, |first| first.status),
        repairable: !reasons.is_empty() && reasons.iter().all(|reason| reason.repairable),
        failure,
        decided_by: reasons.into_iter().map(|reason| reason.by).collect(),
        failing_checks,
        denials,
    }
}

struct Reason {
    rank: u8,
    status: JobStatus,
    kind: FailureKind,
    by: String,
    message: String,
    hint: String,
    repairable: bool,
}

fn agent_reason(inputs: &Inputs<'_>) -> Option<Reason> {
    let reason = |rank, status, kind, message: String, hint: &str, repairable| {
        Some(Reason {
            rank,
            status,
            kind,
            by: "agent".to_owned(),
            message,
            hint: hint.to_owned(),
            repairable,
        })
    };
    match inputs.agent.ended {
        AgentEnd::Completed => None,
        AgentEnd::Cancelled => reason(
            0,
            JobStatus::Cancelled,
            FailureKind::Cancelled,
            "the job was cancelled".to_owned(),
            "start it again, or go on with resume",
            false,
        ),
        AgentEnd::TimedOut => reason(
            1,
            JobStatus::TimedOut,
            FailureKind::Budget,
            "the job's time was up while the agent worked".to_owned(),
            "go on with resume and a larger timeout_ms, or split the task",
            false,
        ),
        AgentEnd::MaxTurns => reason(
            3,
            JobStatus::Failed,
            FailureKind::TurnLimit,
            format!("the agent used all its turns ({})", inputs.agent.turns),
            "go on with resume, raise the turn limit, or split the task",
            true,
        ),
        AgentEnd::Error => match inputs.agent_failure {
            Some(failure) => reason(
                2,
                JobStatus::Failed,
                if failure.gateway { FailureKind::Gateway } else { FailureKind::AgentFailed },
                failure.message.clone(),
                &failure.hint,
                false,
            ),
            None => reason(
                2,
                JobStatus::Failed,
                FailureKind::AgentFailed,
                "the agent ended with an error".to_owned(),
                "read the transcript artifact",
                false,
            ),
        },
    }
}

fn denial_reason(verdict: &Verdict) -> Reason {
    let finding = &verdict.finding;
    let at = match (&finding.path, finding.line) {
        (Some(path), Some(line)) => format!(" ({path}:{line})"),
        (Some(path), None) if !finding.message.contains(path.as_str()) => format!(" ({path})"),
        _ => String::new(),
    };
    use HostRule::{
        ChangeNotTested, CheckCannotFail, EnvironmentDependent, ReportDiffers, RunnerSilent, TestsUnguarded,
        TestsWeakened, TreeChangedByCheck,
    };
    let tests = "let the agent repair the code, not the tests";
    let (rank, kind, fallback) = match verdict.origin {
        Origin::Broken(_) => {
            (4, FailureKind::PolicyBroken, "repair or remove the plugin, then start the job again")
        }
        Origin::Policy(Asked::Scope) => {
            (5, FailureKind::OutOfScope, "widen scoped_patch.paths if the edit is wanted")
        }
        Origin::Host(TestsWeakened | TestsUnguarded) => (7, FailureKind::TestsWeakened, tests),
        Origin::Host(
            TreeChangedByCheck | CheckCannotFail | ChangeNotTested | EnvironmentDependent | RunnerSilent
            | ReportDiffers,
        ) => (7, FailureKind::PolicyDenied, tests),
        Origin::Policy(Asked::Verifier) | Origin::Host(_) => {
            (8, FailureKind::PolicyDenied, "read findings.json")
        }
    };
    Reason {
        rank,
        status: JobStatus::Failed,
        kind,
        by: format!("{} {}", verdict.by, finding.rule),
        message: format!("{}{at}", finding.message),
        hint: finding.remedy.clone().unwrap_or_else(|| fallback.to_owned()),
        repairable: kind != FailureKind::PolicyBroken,
    }
}

fn check_reason(declared: Option<&CheckCommand>, result: &CheckResult) -> Reason {
    let name = &result.name;
    let (message, hint, repairable) = match result.status {
        CheckStatus::Passed => {
            debug_assert!(declared.is_some_and(|c| c.must_fail_before));
            let why = match result.baseline {
                Some(CheckStatus::Passed) => "passed on the tree before the job too, so it proves nothing",
                _ => "could not be run on the tree before the job",
            };
            (format!("check `{name}` {why}"), "give a check that fails before the change".to_owned(), false)
        }
        CheckStatus::Failed => {
            (failed_message(result), format!("read the artifact {}", check_log(name)), true)
        }
        CheckStatus::TimedOut => (
            format!("check `{name}` was ended after {} s", result.duration_ms.div_ceil(1000)),
            "raise the check's timeout_ms, or make it faster".to_owned(),
            true,
        ),
        CheckStatus::NotRun => (
            match result.output.lines().find(|line| !line.trim().is_empty()) {
                Some(why) => format!("check `{name}` was not run: {}", why.trim()),
                None => format!("check `{name}` could not be started"),
            },
            "see its log; `codex-worker doctor` says what containment this machine offers".to_owned(),
            false,
        ),
    };
    Reason {
        rank: 6,
        status: JobStatus::Failed,
        kind: FailureKind::CheckFailed,
        by: format!("check {name}"),
        message,
        hint,
        repairable,
    }
}

/// `check `unit` failed (exit 1): test_a at tests/a.py:3: assert 1 == 2`.
fn failed_message(result: &CheckResult) -> String {
    let mut message = format!("check `{}` failed", result.name);
    match (result.exit_code, result.signal) {
        (Some(code), _) => {
            let _ = write!(message, " (exit {code})");
        }
        (None, Some(signal)) => {
            let _ = write!(message, " (signal {signal})");
        }
        (None, None) => {}
    }
    match result.baseline {
        Some(CheckStatus::Failed) => message.push_str(", as it did before the job"),
        Some(CheckStatus::Passed) => message.push_str(", and passed before the job"),
        Some(CheckStatus::TimedOut | CheckStatus::NotRun) | None => {}
    }
    if let Some(first) = result.signals.iter().flat_map(|signal| &signal.first_failures).next() {
        let _ = write!(message, ": {}", first.id);
        match (&first.path, first.line) {
            (Some(path), Some(line)) => {
                let _ = write!(message, " at {path}:{line}");
            }
            (Some(path), None) => {
                let _ = write!(message, " at {path}");
            }
            _ => {}
        }
        if !first.message.is_empty() {
            let _ = write!(message, ": {}", first.message);
        }
    } else if result.signals.iter().any(|signal| signal.nothing_ran) {
        message.push_str(": no test ran");
    }
    message
}

#[cfg(test)]
mod tests {
    use model::types::Finding;

    use super::*;
    use model::types::Signal;

    fn agent(ended: AgentEnd) -> AgentOutcome {
        AgentOutcome {
            ended,
            turns: 7,
            tool_calls: 1,
            permission_denials: 0,
            claim: "everything passes".into(),
            commands: vec![],
        }
    }

    fn check(name: &str, status: CheckStatus, baseline: Option<CheckStatus>) -> CheckResult {
        CheckResult {
            name: name.into(),
            command: "make test".into(),
            status,
            exit_code: (status == CheckStatus::Failed).then_some(2),
            signal: None,
            duration_ms: 1500,
            output: String::new(),
            output_truncated: false,
            signals: vec![],
            baseline,
            baseline_signals: vec![],
            guarded: None,
        }
    }

    fn declared(name: &str, must_fail_before: bool) -> CheckCommand {
        CheckCommand {
            name: name.into(),
            command: "make test".into(),
            timeout_ms: 1000,
            cwd: None,
            must_fail_before,
            baseline: false,
            parallel: false,
        }
    }

    fn verdict(origin: Origin, rule: &str, severity: Severity) -> Verdict {
        Verdict {
            origin,
            by: "p@1".into(),
            finding: Finding {
                rule: rule.into(),
                severity,
                message: format!("{rule} was seen"),
                path: Some("src/a.rs".into()),
                line: Some(3),
                remedy: None,
            },
        }
    }

    /// One line: status, kind, repairable, message, and everything that decided.
    fn line(
        agent: &AgentOutcome,
        declared: &[CheckCommand],
        checks: &[CheckResult],
        verdicts: &[Verdict],
    ) -> String {
        let outcome = decide(Inputs { agent, agent_failure: None, declared, checks, verdicts });
        match outcome.failure {
            None => outcome.status.as_str().to_owned(),
            Some(failure) => format!(
                "{} {:?}{}: {} [{}]",
                outcome.status.as_str(),
                failure.kind,
                if outcome.repairable { " repairable" } else { "" },
                failure.message,
                outcome.decided_by.join("; ")
            ),
        }
    }

    #[test]
    fn outcomes() {
        use AgentEnd::{Cancelled, Completed, Error, MaxTurns, TimedOut};
        use CheckStatus::{Failed, NotRun, Passed};
        let unit = || vec![declared("unit", false)];
        let proof = || vec![declared("unit", true)];
        let ok = || vec![check("unit", Passed, None)];
        let bad = || vec![check("unit", Failed, None)];
        let scope = || verdict(Origin::Policy(Asked::Scope), "out-of-scope", Severity::Deny);
        let verifier = Origin::Policy(Asked::Verifier);
        let lines = [
            line(&agent(Completed), &unit(), &ok(), &[]),
            line(&agent(Completed), &[], &[], &[verdict(verifier, "todo", Severity::Warn)]),
            line(&agent(Completed), &unit(), &bad(), &[]),
            line(&agent(Completed), &unit(), &bad(), &[scope(), scope()]),
            line(
                &agent(Completed),
                &unit(),
                &ok(),
                &[verdict(Origin::Host(HostRule::TestsWeakened), "tests-weakened", Severity::Deny)],
            ),
            line(&agent(Completed), &unit(), &bad(), &[verdict(verifier, "claim", Severity::Deny)]),
            line(
                &agent(Completed),
                &unit(),
                &bad(),
                &[verdict(Origin::Broken(Asked::Verifier), "policy-broken", Severity::Deny)],
            ),
            // A name alone steers nothing.
            line(&agent(Completed), &unit(), &ok(), &[verdict(verifier, "policy-broken", Severity::Deny)]),
            line(&agent(MaxTurns), &unit(), &ok(), &[]),
            line(&agent(TimedOut), &[], &[], &[]),
            line(&agent(Cancelled), &unit(), &bad(), &[]),
            line(&agent(Error), &unit(), &bad(), &[]),
            line(&agent(Completed), &proof(), &[check("unit", Passed, Some(Failed))], &[]),
            line(&agent(Completed), &proof(), &[check("unit", Passed, Some(Passed))], &[]),
            line(&agent(Completed), &proof(), &ok(), &[]),
            line(&agent(Completed), &unit(), &[check("unit", Failed, Some(Failed))], &[]),
            line(&agent(Completed), &unit(), &[check("unit", Failed, Some(Passed))], &[]),
            line(&agent(Completed), &unit(), &[check("unit", NotRun, None)], &[]),
            line(&agent(Completed), &unit(), &[check("unit", CheckStatus::TimedOut, None)], &[]),
        ];
        insta::assert_snapshot!(lines.join("\n"), @"
        completed
        completed
        failed CheckFailed repairable: check `unit` failed (exit 2) [check unit]
        failed OutOfScope repairable: out-of-scope was seen (src/a.rs:3) (and 1 more) [p@1 out-of-scope; p@1 out-of-scope; check unit]
        failed TestsWeakened repairable: tests-weakened was seen (src/a.rs:3) [p@1 tests-weakened]
        failed CheckFailed repairable: check `unit` failed (exit 2) [check unit; p@1 claim]
        failed PolicyBroken: policy-broken was seen (src/a.rs:3) [p@1 policy-broken; check unit]
        failed PolicyDenied repairable: policy-broken was seen (src/a.rs:3) [p@1 policy-broken]
        failed TurnLimit repairable: the agent used all its turns (7) [agent]
        timed_out Budget: the job's time was up while the agent worked [agent]
        cancelled Cancelled: the job was cancelled [agent; check unit]
        failed AgentFailed: the agent ended with an error [agent; check unit]
        completed
        failed CheckFailed: check `unit` passed on the tree before the job too, so it proves nothing [check unit]
        failed CheckFailed: check `unit` could not be run on the tree before the job [check unit]
        failed CheckFailed repairable: check `unit` failed (exit 2), as it did before the job [check unit]
        failed CheckFailed repairable: check `unit` failed (exit 2), and passed before the job [check unit]
        failed CheckFailed: check `unit` could not be started [check unit]
        failed CheckFailed repairable: check `unit` was ended after 2 s [check unit]
        ");
    }

    #[test]
    fn a_failing_check_names_its_first_failure() {
        let mut result = check("unit", CheckStatus::Failed, None);
        result.signals.push(Signal {
            runner: "pytest".into(),
            passed: 1,
            failed: 1,
            skipped: 0,
            errors: 0,
            nothing_ran: false,
            first_failures: vec![model::types::Failure {
                id: "test_a".into(),
                path: Some("tests/test_a.py".into()),
                line: Some(9),
                message: "assert 1 == 2".into(),
            }],
        });
        assert_eq!(
            failed_message(&result),
            "check `unit` failed (exit 2): test_a at tests/test_a.py:9: assert 1 == 2"
        );
    }

    #[test]
    fn the_gateway_is_told_apart_from_the_agent() {
        let failure = AgentFailure {
            gateway: true,
            message: "401 from the gateway".into(),
            hint: "set the key".into(),
        };
        let agent = agent(AgentEnd::Error);
        let outcome = decide(Inputs {
            agent: &agent,
            agent_failure: Some(&failure),
            declared: &[],
            checks: &[],
            verdicts: &[],
        });
        let failure = outcome.failure.expect("it failed");
        assert_eq!((failure.kind, failure.hint.as_str()), (FailureKind::Gateway, "set the key"));
        assert!(!outcome.repairable);
    }
}
