//! What the runs say: counts before and after.

use codex_worker_policy::{CheckResult, CheckStatus, JobFacts, Severity, Signal};

use crate::diff::File;
use crate::findings::Findings;
use crate::tests_changed::all_changed_tests_named;

fn tests(signals: &[Signal]) -> impl Iterator<Item = &Signal> {
    signals.iter().filter(|signal| signal.counts_tests())
}

fn total(signal: &Signal) -> u64 {
    u64::from(signal.passed) + u64::from(signal.failed) + u64::from(signal.skipped) + u64::from(signal.errors)
}

/// The same runner's signal of the run before the job.
fn before<'a>(check: &'a CheckResult, signal: &Signal) -> Option<&'a Signal> {
    check.baseline_signals.iter().find(|old| old.runner == signal.runner)
}

/// Whether the check was counted before and after, and has at least as many tests now.
pub fn counts_held(check: &CheckResult) -> bool {
    let mut known = tests(&check.signals).filter_map(|now| Some((now, before(check, now)?))).peekable();
    known.peek().is_some() && known.all(|(now, old)| total(now) >= total(old))
}

/// Counts of the checks that passed, against the run before the job where there was one.
pub fn counts(job: &JobFacts, files: &[File<'_>], checks: &[CheckResult], findings: &mut Findings<'_>) {
    let lifted = all_changed_tests_named(job, files);
    for check in checks.iter().filter(|check| check.status == CheckStatus::Passed) {
        let several = tests(&check.signals).count() > 1;
        for signal in tests(&check.signals) {
            let old = before(check, signal);
            hidden_failures(check, signal, old, findings);
            if signal.nothing_ran {
                nothing_ran(check, signal, old, several, findings);
            } else if let Some(old) = old.filter(|_| !lifted) {
                fewer_than_before(check, signal, old, findings);
            }
        }
    }
}

/// The runner counts failures, and the check passed.
fn hidden_failures(check: &CheckResult, signal: &Signal, old: Option<&Signal>, findings: &mut Findings<'_>) {
    if signal.failed == 0 && signal.errors == 0 {
        return;
    }
    let known =
        check.baseline == Some(CheckStatus::Passed) && old.is_some_and(|old| old.failed + old.errors > 0);
    findings.add_as(
        "failures-hidden",
        if known { Severity::Warn } else { Severity::Deny },
        None,
        format!(
            "the check `{}` passed although {} reports {} failed and {} errors",
            check.name, signal.runner, signal.failed, signal.errors
        ),
        "let the check's exit code be the runner's, and make the tests pass",
    );
}

fn nothing_ran(
    check: &CheckResult,
    signal: &Signal,
    old: Option<&Signal>,
    several: bool,
    findings: &mut Findings<'_>,
) {
    let (name, runner) = (&check.name, &signal.runner);
    let was_so = old.is_some_and(|old| old.nothing_ran);
    // One of several runners may well have nothing to do.
    let severity = if was_so || several { Severity::Warn } else { Severity::Deny };
    if signal.skipped > 0 {
        let message =
            format!("the check `{name}` passed with all {} tests of {runner} skipped", signal.skipped);
        let remedy = "let the tests run: take out what skips them";
        findings.add_as("all-tests-skipped", severity, None, message, remedy);
    } else {
        let message = format!("the check `{name}` passed without running a test: {runner} found none");
        findings.add_as("nothing-ran", severity, None, message, "let the check's tests be found and run");
    }
}

fn fewer_than_before(check: &CheckResult, signal: &Signal, old: &Signal, findings: &mut Findings<'_>) {
    let (name, runner) = (&check.name, &signal.runner);
    if total(signal) < total(old) {
        findings.add(
            "test-count-dropped",
            None,
            format!(
                "the check `{name}` has {} tests now and had {} before the job ({runner})",
                total(signal),
                total(old)
            ),
            "restore the missing tests; a job that may remove them names their files in its scope",
        );
    }
    if signal.skipped > old.skipped {
        // New tests that are skipped take nothing away.
        let severity = if signal.passed >= old.passed { Severity::Warn } else { Severity::Deny };
        findings.add_as(
            "more-tests-skipped",
            severity,
            None,
            format!(
                "the check `{name}` skips {} tests now and skipped {} before the job ({runner})",
                signal.skipped, old.skipped
            ),
            "let the tests run that ran before",
        );
    }
}
