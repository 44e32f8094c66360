//! What a failure looks like, so that the same failure twice is recognised although times,
//! addresses and line numbers differ. Pure.

use sha2::{Digest as _, Sha256};

use super::outcome::{Outcome, Verdict};
use model::types::CheckResult;

/// The shape of one failed pass: 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How many of the last lines of a check without signals count.
const TAIL_LINES: usize = 12;

/// The fingerprint of a pass that did not complete: its kind, the failing checks with their
/// first failures (or the end of their output), and the denying rules with their paths.
pub fn of(outcome: &Outcome, checks: &[CheckResult], verdicts: &[Verdict]) -> Fingerprint {
    let mut hash = Sha256::new();
    let mut part = |text: &str| {
        hash.update(text.as_bytes());
        hash.update([0]);
    };
    if let Some(failure) = &outcome.failure {
        part(&format!("{:?}", failure.kind));
    }
    for result in outcome.failing_checks.iter().filter_map(|n| checks.get(*n)) {
        part(&result.name);
        part(&format!("{:?} {:?} {:?}", result.status, result.exit_code, result.signal));
        let mut failures = result.signals.iter().flat_map(|signal| &signal.first_failures).peekable();
        if failures.peek().is_some() {
            for failure in failures {
                part(&failure.id);
                part(&steady(&failure.message));
            }
        } else {
            let lines: Vec<&str> = result.output.lines().filter(|line| !line.trim().is_empty()).collect();
            for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
                part(&steady(line));
            }
        }
    }
    for verdict in outcome.denials.iter().filter_map(|n| verdicts.get(*n)) {
        part(&verdict.finding.rule);
        part(verdict.finding.path.as_deref().unwrap_or_default());
    }
    Fingerprint(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// The line without what differs from run to run: runs of digits (hexadecimal addresses
/// included) become `#`, runs of blanks one blank.
fn steady(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.trim().chars().peekable();
    while let Some(c) = rest.next() {
        if c.is_ascii_digit() {
            let hexadecimal = c == '0' && rest.peek() == Some(&'x');
            if hexadecimal {
                rest.next();
            }
            while rest
                .peek()
                .is_some_and(|d| if hexadecimal { d.is_ascii_hexdigit() } else { d.is_ascii_digit() })
            {
                rest.next();
            }
            out.push('#');
        } else if c.is_whitespace() {
            while rest.peek().is_some_and(|d| d.is_whitespace()) {
                rest.next();
            }
            out.push(' ');
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{of, steady};
    use crate::outcome::Outcome;
    use model::result::{Failure, FailureKind};
    use model::status::JobStatus;
    use model::types::{CheckResult, CheckStatus};

    #[test]
    fn what_differs_from_run_to_run_is_gone() {
        for (line, expected) in [
            ("ran 3 tests in 0.41s", "ran # tests in #.#s"),
            ("  panicked at src/a.rs:31:5:", "panicked at src/a.rs:#:#:"),
            ("<Foo object at 0x7f3a99b0>", "<Foo object at #>"),
            ("a\t b", "a b"),
        ] {
            assert_eq!(steady(line), expected);
        }
    }

    #[test]
    fn the_same_failure_is_the_same_and_another_is_not() {
        let of_output = |output: &str| {
            let check = CheckResult {
                name: "unit".into(),
                command: "make".into(),
                status: CheckStatus::Failed,
                exit_code: Some(1),
                signal: None,
                duration_ms: 1,
                output: output.into(),
                output_truncated: false,
                signals: vec![],
                baseline: None,
                baseline_signals: vec![],
                guarded: None,
            };
            let outcome = Outcome {
                status: JobStatus::Failed,
                failure: Some(Failure {
                    kind: FailureKind::CheckFailed,
                    message: String::new(),
                    hint: String::new(),
                }),
                decided_by: vec![],
                failing_checks: vec![0],
                denials: vec![],
                repairable: true,
            };
            of(&outcome, &[check], &[])
        };
        assert_eq!(
            of_output("AssertionError: 3 != 4\nran in 0.1s"),
            of_output("AssertionError: 3 != 4\nran in 0.2s")
        );
        assert_ne!(of_output("AssertionError: 3 != 4"), of_output("NameError: x"));
        assert_eq!(of_output("x").as_str().len(), 16);
    }
}
