//! Counts and the words that runners have for them. One vocabulary serves all: what a word
//! means differs less between runners than how they put it.

use std::fmt;

use codex_worker_policy::Signal;

use crate::text::{number, signal};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Passed,
    Failed,
    Errors,
    Skipped,
    /// All tests, with those that were skipped.
    Total,
    /// All tests, without those that were skipped.
    Ran,
    /// Tests of the total that a filter left out: neither run nor skipped.
    Excluded,
    /// Something else: assertions, suites, warnings.
    Other,
}

const COUNTS: [(Count, &str); 7] = [
    (Count::Total, "total"),
    (Count::Ran, "ran"),
    (Count::Excluded, "excluded"),
    (Count::Errors, "errors"),
    (Count::Failed, "failed"),
    (Count::Passed, "passed"),
    (Count::Skipped, "skipped"),
];

/// The counts of one summary, each absent until a line says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    values: [Option<u32>; COUNTS.len()],
}

impl Tally {
    fn get(&self, count: Count) -> Option<u32> {
        self.values[COUNTS.iter().position(|(known, _)| *known == count)?]
    }

    /// Adds to a count.
    pub fn add(&mut self, count: Count, value: u32) {
        if let Some(at) = COUNTS.iter().position(|(known, _)| *known == count) {
            self.values[at] = Some(self.values[at].unwrap_or(0).saturating_add(value));
        }
    }

    /// Adds all counts of another line of the same summary.
    pub fn join(&mut self, other: &Tally) {
        for (count, _) in COUNTS {
            if let Some(value) = other.get(count) {
                self.add(count, value);
            }
        }
    }

    /// What the summary says, with what it leaves to the reader to work out.
    pub fn signal(&self, runner: &str) -> Signal {
        let of = |count| self.get(count).unwrap_or(0);
        let (mut failed, errors, skipped) = (of(Count::Failed), of(Count::Errors), of(Count::Skipped));
        let passed = self.get(Count::Passed).unwrap_or_else(|| {
            let all = self.get(Count::Ran).map(|ran| ran.saturating_add(skipped));
            all.unwrap_or_else(|| of(Count::Total))
                .saturating_sub(failed)
                .saturating_sub(errors)
                .saturating_sub(skipped)
                .saturating_sub(of(Count::Excluded))
        });
        if self.get(Count::Failed).is_none()
            && let Some(ran) = self.get(Count::Ran)
        {
            failed = ran.saturating_sub(passed).saturating_sub(errors);
        }
        signal(runner, passed, failed, skipped, errors)
    }
}

impl fmt::Display for Tally {
    /// `failed=1 passed=2`, for tests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (count, name) in COUNTS {
            if let Some(value) = self.get(count) {
                write!(f, "{}{name}={value}", if first { "" } else { " " })?;
                first = false;
            }
        }
        Ok(())
    }
}

/// A list of counts: `1 failed, 2 passed`, `Failed: 1, Passed: 2`, `failures=1`. `None` when
/// it holds a count of something that no runner counts, or no count of tests.
pub fn read(list: &str) -> Option<Tally> {
    let mut tally = Tally::default();
    let mut before = None;
    let mut known = false;
    for part in parts(list) {
        // The number is on the same side in the whole list.
        let leads = part.starts_with(|c: char| c.is_ascii_digit());
        let (value, word) = match before {
            Some(true) => leading(part),
            Some(false) => trailing(part),
            None => leading(part).or_else(|| trailing(part)),
        }
        .unwrap_or((0, ""));
        if word.is_empty() {
            // A duration, or a number alone; but a list begins with a count.
            if before.is_none() && !leads {
                return None;
            }
            continue;
        }
        before.get_or_insert(leads);
        let count = meaning(word)?;
        known |= count != Count::Other;
        tally.add(count, value);
    }
    known.then_some(tally)
}

/// The parts between commas, bars, brackets and the like.
fn parts(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ';', '|', '/', '(', ')', '[', ']'])
        .flat_map(|part| part.split(" and "))
        .flat_map(columns)
        .map(|part| part.trim().trim_end_matches(['.', '!']))
        .filter(|part| !part.is_empty())
}

/// `1 failed  2 passed` in columns; the space in `Failed:   1` is none between columns.
fn columns(part: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(part);
    std::iter::from_fn(move || {
        let text = rest?;
        let gap = text.match_indices("  ").find(|(at, _)| !text[..*at].trim_end().ends_with([':', '=']));
        rest = gap.map(|(at, _)| text[at..].trim_start());
        Some(gap.map_or(text, |(at, _)| &text[..at]))
    })
}

/// `3 failed`.
fn leading(part: &str) -> Option<(u32, &str)> {
    let (value, word) = number(part)?;
    (word.is_empty() || word.starts_with(' ')).then_some((value, word.trim()))
}

/// `failed: 3`, `failed=3`, `failed 3`.
fn trailing(part: &str) -> Option<(u32, &str)> {
    let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
    let (value, _) = number(&part[word.len()..])?;
    let word = word.strip_suffix([' ', ':', '=']).map(|word| word.trim_end_matches([' ', ':', '=']))?;
    Some((value, word.trim()))
}

/// What the words after or before a number count, whatever the case.
fn meaning(words: &str) -> Option<Count> {
    let lower = words.to_ascii_lowercase();
    if let Some(count) = vocabulary(&lower) {
        return Some(count);
    }
    // `test skipped`, `tests passed`, `pending spec`.
    let left: Vec<&str> = lower.split(' ').filter(|word| !NOUNS.contains(word)).collect();
    if left.is_empty() { Some(Count::Total) } else { vocabulary(&left.join(" ")) }
}

const NOUNS: &[&str] = &[
    "test",
    "tests",
    "example",
    "examples",
    "spec",
    "specs",
    "scenario",
    "scenarios",
    "doctest",
    "doctests",
    "property",
    "properties",
    "run",
    "runs",
    "case",
    "cases",
];

fn vocabulary(word: &str) -> Option<Count> {
    Some(match word {
        "pass" | "passed" | "passes" | "passing" | "succeeded" | "success" | "successes" | "successful"
        | "ok" | "xpassed" => Count::Passed,
        "fail"
        | "failed"
        | "fails"
        | "failing"
        | "failure"
        | "failures"
        | "fails locally"
        | "fail locally"
        | "fails remotely"
        | "fail remotely"
        | "unexpected successes"
        | "ambiguous" => Count::Failed,
        "error"
        | "errors"
        | "errored"
        | "crashing"
        | "timed out"
        | "exec failed"
        | "invalid"
        | "timeout"
        | "timeouts"
        | "fails to build"
        | "fail to build"
        | "error occurred outside of examples"
        | "errors occurred outside of examples" => Count::Errors,
        "skip" | "skips" | "skipped" | "ignored" | "pending" | "pendings" | "todo" | "todos"
        | "omissions" | "disabled" | "incomplete" | "inconclusive" | "canceled" | "cancelled" | "aborted"
        | "xfailed" | "expected failures" | "failed as expected" | "known failures" | "undefined"
        | "untested" | "blacklisted" | "was skipped" | "were skipped" | "not run" | "notrun"
        | "did not run" => Count::Skipped,
        "total" => Count::Total,
        "excluded" | "deselected" => Count::Excluded,
        "assertion"
        | "assertions"
        | "expectation"
        | "expectations"
        | "warn"
        | "warning"
        | "warnings"
        | "notification"
        | "notifications"
        | "rerun"
        | "reruns"
        | "measured"
        | "filtered out"
        | "slow"
        | "leaky"
        | "flaky"
        | "step"
        | "steps"
        | "unexpected"
        | "cached"
        | "risky"
        | "deprecations"
        | "deprecated"
        | "notice"
        | "notices"
        | "phpunit deprecations"
        | "phpunit warnings"
        | "phpunit notices"
        | "subtests passed"
        | "subtest passed"
        | "subtests failed"
        | "ran"
        | "checks"
        | "suite"
        | "suites"
        | "retried" => Count::Other,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let table = [
            ("1 failed, 2 passed, 3 warnings", Some("failed=1 passed=2")),
            ("Failed:     1, Passed:    12, Duration: 1 s - a.dll (net8.0)", Some("failed=1 passed=12")),
            ("Total 5, Failed 1, Errors 0, Passed 4", Some("total=5 errors=0 failed=1 passed=4")),
            ("failures=1, expected failures=2", Some("failed=1 skipped=2")),
            ("1 test skipped and 0 failures (0 unexpected) in 0.1 (0.2) seconds", Some("failed=0 skipped=1")),
            (
                "3 passed; 0 failed; 1 ignored; 0 measured; finished in 0.01s",
                Some("failed=0 passed=3 skipped=1"),
            ),
            ("9 passed (1 slow), 1 failed", Some("failed=1 passed=9")),
            ("2 tests pass and 1 fails locally", Some("failed=1 passed=2")),
            ("1 passed, 2 bananas", None),
            ("3 warnings", None),
            ("nothing", None),
            ("", None),
        ];
        for (list, expected) in table {
            assert_eq!(read(list).map(|tally| tally.to_string()).as_deref(), expected, "{list}");
        }
    }
}
