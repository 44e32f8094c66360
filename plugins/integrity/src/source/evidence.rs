//! What is known of the tests' inputs and expected results.

use codex_worker_policy::{CheckResult, JobFacts};

use crate::diff::{File, Line, Mark};
use crate::tests_changed::is_assertion;

use super::answers::Case;
use super::literals::holds;

/// Lines that are searched for a literal, and branches of a file that are looked at: their
/// product bounds the time.
const EVIDENCE: usize = 5000;

/// Where the inputs of tests can be seen: tests as they were before the job, and what the
/// checks printed.
pub struct Evidence<'a> {
    lines: Vec<&'a str>,
    /// What the tests say in those lines: inputs and what they give.
    pub cases: Vec<Case>,
    /// The planner's own words: what they ask for is no secret of the tests.
    pub task: &'a str,
}

impl<'a> Evidence<'a> {
    /// From the changed tests as they were, and from what the checks printed.
    pub fn gather(job: &'a JobFacts, files: &'a [File<'a>], checks: &'a [CheckResult]) -> Evidence<'a> {
        let mut lines = Vec::new();
        for file in files {
            let old = file.lines().filter(|line| line.mark != Mark::Added);
            // Tests are among the sources too.
            let says = |line: &&Line<'_>| file.in_tests || is_assertion(&line.bare, file.language);
            lines.extend(old.filter(says).map(|line| line.text));
        }
        for check in checks {
            lines.extend(check.output.lines().take(2000));
            for signal in check.signals.iter().chain(&check.baseline_signals) {
                lines.extend(signal.first_failures.iter().map(|failure| failure.message.as_str()));
            }
        }
        lines.truncate(EVIDENCE);
        let cases = lines.iter().filter_map(|line| Case::read(line)).collect();
        Evidence { lines, cases, task: &job.task }
    }

    /// Whether one line holds both.
    pub fn joins(&self, input: &str, output: &str) -> bool {
        self.lines.iter().any(|line| line.len() < 2000 && holds(line, input) && holds(line, output))
    }
}
