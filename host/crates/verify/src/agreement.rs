//! Whether a check's exit status, the summary that it prints and the report that its runner
//! wrote beside it agree, and whether the tests that ran before the job ran after it. Pure.

use std::collections::BTreeSet;

use model::outcome::{HostRule, Verdict, deny_from};
use model::spec::Tier;
use model::types::{CheckResult, CheckStatus, Severity, Signal, UNCOUNTED};

use super::out_of_band::Reports;

/// Runners that are asked for a report.
const ASKED: &[&str] = &["pytest", "unittest", "node-test", "jest", "mocha", "vitest"];

/// Names that a finding lists.
const NAMED: usize = 3;

/// A check's run after the job, and where there was one, its run before it.
#[derive(Clone, Copy, Debug)]
pub struct Runs<'a> {
    /// Of the run after the job, with the signals of both.
    pub result: &'a CheckResult,
    /// What its runners wrote.
    pub now: Option<&'a Reports>,
    /// What they wrote before the job.
    pub before: Option<&'a Reports>,
    /// Tests changed in a way that is judged elsewhere: by a guarded run that passed, or by a
    /// scope that names their files.
    pub tests_settled: bool,
    /// How much is asked for.
    pub tier: Tier,
}

/// What is to be said of a check that passed.
pub fn judge(runs: Runs<'_>) -> Vec<Verdict> {
    if runs.result.status != CheckStatus::Passed {
        return Vec::new();
    }
    let mut found: Vec<Verdict> = runs.silent().into_iter().collect();
    if found.is_empty() {
        found.extend(runs.differs());
        found.extend(runs.missing());
    }
    found
}

impl Runs<'_> {
    fn deny(&self) -> Severity {
        deny_from(Tier::Standard, self.tier)
    }

    fn verdict(&self, rule: HostRule, severity: Severity, what: &str) -> Verdict {
        let message = format!("the check `{}` passed, but {what}", self.result.name);
        let remedy = match rule {
            HostRule::ReportDiffers => "let the same tests run as before the job, and the runner report them",
            _ => "let the runner end by itself and report how many tests ran",
        };
        Verdict::host(rule, severity, message).remedy(remedy)
    }

    /// A runner that did not say what it ran.
    fn silent(&self) -> Option<Verdict> {
        let silent = |severity, what: &str| Some(self.verdict(HostRule::RunnerSilent, severity, what));
        let CheckResult { command, signals, baseline_signals, .. } = self.result;
        if let Some(runner) = self.now.and_then(|now| now.silent.first()) {
            return silent(self.deny(), &format!("{runner} was ended before it could report what it ran"));
        }
        let tells = |reports: Option<&Reports>| reports.is_some_and(Reports::tell);
        if tells(self.before) && !tells(self.now) {
            return silent(self.deny(), "its runner wrote a report before the job, and none after it");
        }
        let counted = signals.iter().find(|signal| signal.counts_tests());
        let Some(counted) = counted else {
            let was_counted = baseline_signals.iter().any(Signal::counts_tests);
            let looks_like_tests = signals.iter().any(|signal| signal.runner == UNCOUNTED);
            let severity = match (was_counted, looks_like_tests) {
                (true, _) => self.deny(),
                (false, false) => return None,
                (false, true) if self.tier >= Tier::Strict => Severity::Deny,
                (false, true) if names_runner(command) => Severity::Warn,
                (false, true) => Severity::Info,
            };
            return silent(severity, "its runner did not say how many tests ran");
        };
        let unreported = signals.iter().find(|signal| {
            signal.passed > 0
                && ASKED.contains(&signal.runner.as_str())
                && self.now.and_then(|now| now.passed(&signal.runner)).is_none()
        });
        if let Some(signal) = unreported {
            let runner = &signal.runner;
            let severity = if self.now.is_some() && calls_directly(command, runner) {
                self.deny()
            } else {
                Severity::Info
            };
            return silent(severity, &format!("only its output says so: {runner} wrote no report beside it"));
        }
        if !ASKED.contains(&counted.runner.as_str()) && counted.passed > 0 {
            let what = format!("only its output says so: {} is not asked for a report", counted.runner);
            return silent(Severity::Info, &what);
        }
        None
    }

    /// The summary claims more than the report, or the report tells of failures.
    fn differs(&self) -> Option<Verdict> {
        let now = self.now?;
        let more = |signals: &[Signal], reports: &Reports, runner: &str| {
            let signal = signals.iter().find(|signal| signal.runner == runner)?;
            let reported = reports.passed(runner)?;
            (u64::from(signal.passed) > reported).then_some((signal.passed, reported))
        };
        for runner in ASKED {
            let was_so = self
                .before
                .is_some_and(|before| more(&self.result.baseline_signals, before, runner).is_some());
            if let Some((said, reported)) = more(&self.result.signals, now, runner).filter(|_| !was_so) {
                let what = format!(
                    "its output says that {said} tests passed, and {runner} itself reported {reported}"
                );
                return Some(self.verdict(HostRule::ReportDiffers, self.deny(), &what));
            }
        }
        let failed = |reports: &Reports| {
            reports
                .ended
                .iter()
                .find(|report| report.counts.failed > 0)
                .map(|r| (r.runner.clone(), r.counts.failed))
        };
        let known = self.before.and_then(failed).is_some()
            && self.result.baseline == Some(CheckStatus::Passed)
            || self.result.signals.iter().any(|signal| signal.failed + signal.errors > 0);
        let (runner, count) = failed(now).filter(|_| !known)?;
        let what = format!("{runner} itself reported {count} failed");
        Some(self.verdict(HostRule::ReportDiffers, self.deny(), &what))
    }

    /// Tests that ran before the job and not after it.
    fn missing(&self) -> Option<Verdict> {
        let (now, before) = (self.now?, self.before?);
        if self.tests_settled || !now.whole() || !before.whole() {
            return None;
        }
        let (now, before) = (now.ran(), before.ran());
        let missing: BTreeSet<&String> = before.difference(&now).collect();
        let first: Vec<&str> = missing.iter().take(NAMED).map(|name| name.as_str()).collect();
        if first.is_empty() {
            return None;
        }
        let more = match missing.len() - first.len() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let what = format!("tests that ran before the job did not run after it: {}{more}", first.join(", "));
        // As many others came: what parametrised tests are called may follow the code.
        let severity = if now.len() < before.len() { self.deny() } else { Severity::Warn };
        Some(self.verdict(HostRule::ReportDiffers, severity, &what))
    }
}

/// The command names a runner that always says what it ran.
fn names_runner(command: &str) -> bool {
    const RUNNERS: &[&str] =
        &["pytest", "cargo test", "go test", "jest", "vitest", "mocha", "rspec", "phpunit", "unittest"];
    const QUIET: &[&str] = &["-qq", "--no-run", "--co", "--list", "--version", "--help", "> "];
    RUNNERS.iter().any(|runner| command.contains(runner))
        && !QUIET.iter().any(|quiet| command.contains(quiet))
}

/// The command is the runner itself, with nothing in between that could keep it from being
/// asked.
fn calls_directly(command: &str, runner: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let program = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let python = |word: &str| {
        let name = program(word);
        name.strip_prefix("python").is_some_and(|v| v.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    if command.contains(['|', ';', '&', '$', '`', '>', '<', '\n']) {
        return false;
    }
    match (runner, words.as_slice()) {
        ("pytest", [first, ..]) if program(first) == "pytest" => !words.contains(&"-p"),
        ("pytest" | "unittest", [first, options @ ..]) if python(first) => {
            let module = options.iter().position(|word| *word == "-m");
            let isolated = |word: &&str| ["-I", "-E", "-S"].contains(word);
            module
                .is_some_and(|at| options.get(at + 1) == Some(&runner) && !options[..at].iter().any(isolated))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::out_of_band::{Counts, Report, Tests};

    fn signal(runner: &str, passed: u32, failed: u32) -> Signal {
        Signal {
            runner: runner.into(),
            passed,
            failed,
            skipped: 0,
            errors: 0,
            nothing_ran: false,
            first_failures: Vec::new(),
        }
    }

    fn told(runner: &str, passed: &[&str], failed: &[&str]) -> Reports {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let report = Report {
            runner: runner.into(),
            session: true,
            counts: Counts { passed: passed.len() as u64, failed: failed.len() as u64, skipped: 0 },
            tests: Tests { passed: names(passed), failed: names(failed), skipped: Vec::new() },
            ..Report::default()
        };
        Reports { ended: vec![report], ..Reports::default() }
    }

    fn check(command: &str, signals: Vec<Signal>, before: Vec<Signal>) -> CheckResult {
        CheckResult {
            name: "unit".into(),
            command: command.into(),
            status: CheckStatus::Passed,
            exit_code: Some(0),
            signal: None,
            duration_ms: 1,
            output: String::new(),
            output_truncated: false,
            signals,
            baseline: None,
            baseline_signals: before,
            guarded: None,
        }
    }

    #[test]
    fn what_agrees_and_what_does_not() {
        let silent = Reports { silent: vec!["pytest".into()], ..Reports::default() };
        let nothing = Reports::default();
        let two = || told("pytest", &["a", "b"], &[]);
        let sh = "sh test.sh";
        let cases: Vec<(CheckResult, Option<Reports>, Option<Reports>, &str)> = vec![
            (check(sh, vec![signal("pytest", 2, 0)], vec![]), Some(two()), None, ""),
            (check(sh, vec![signal("pytest", 2, 0)], vec![]), Some(two()), Some(two()), ""),
            (
                check(sh, vec![signal("pytest", 2, 0)], vec![]),
                Some(silent.clone()),
                None,
                "Deny runner-silent",
            ),
            (
                check(sh, vec![signal("pytest", 2, 0)], vec![]),
                Some(nothing.clone()),
                Some(two()),
                "Deny runner-silent",
            ),
            (
                check(sh, vec![signal("pytest", 2, 0)], vec![]),
                Some(nothing.clone()),
                None,
                "Info runner-silent",
            ),
            (
                check("pytest -q", vec![signal("pytest", 2, 0)], vec![]),
                Some(nothing.clone()),
                None,
                "Deny runner-silent",
            ),
            (
                check("python3 -E -m pytest", vec![signal("pytest", 2, 0)], vec![]),
                Some(nothing.clone()),
                None,
                "Info runner-silent",
            ),
            (
                check("python3 -m unittest -v", vec![signal("unittest", 2, 0)], vec![]),
                Some(nothing.clone()),
                None,
                "Deny runner-silent",
            ),
            (
                check("PYTHONPATH=src pytest", vec![signal("pytest", 2, 0)], vec![]),
                None,
                None,
                "Info runner-silent",
            ),
            (
                check("cargo test", vec![signal("cargo-test", 2, 0)], vec![]),
                Some(nothing.clone()),
                None,
                "Info runner-silent",
            ),
            (check(sh, vec![signal("pytest", 3, 0)], vec![]), Some(two()), None, "Deny report-differs"),
            // So it was before the job: two runs, of which one writes no report.
            (
                check(sh, vec![signal("pytest", 3, 0)], vec![signal("pytest", 3, 0)]),
                Some(two()),
                Some(two()),
                "",
            ),
            (
                check(sh, vec![signal("pytest", 2, 0)], vec![]),
                Some(told("pytest", &["a", "b"], &["c"])),
                None,
                "Deny report-differs",
            ),
            // What the summary says too is another rule's.
            (
                check(sh, vec![signal("pytest", 2, 1)], vec![]),
                Some(told("pytest", &["a", "b"], &["c"])),
                None,
                "",
            ),
            (
                check(sh, vec![signal("pytest", 1, 0)], vec![]),
                Some(told("pytest", &["a"], &[])),
                Some(two()),
                "Deny report-differs",
            ),
            (
                check(sh, vec![signal("pytest", 2, 0)], vec![]),
                Some(told("pytest", &["a", "c"], &[])),
                Some(two()),
                "Warn report-differs",
            ),
            (
                check("make test", vec![signal(UNCOUNTED, 0, 0)], vec![signal("ctest", 2, 0)]),
                Some(nothing.clone()),
                None,
                "Deny runner-silent",
            ),
            (
                check("make test", vec![signal(UNCOUNTED, 0, 0)], vec![]),
                Some(nothing.clone()),
                None,
                "Info runner-silent",
            ),
            (check("npx jest", vec![signal(UNCOUNTED, 0, 0)], vec![]), None, None, "Warn runner-silent"),
            (check("true", vec![], vec![]), Some(nothing.clone()), None, ""),
        ];
        for (result, now, before, expected) in &cases {
            let runs = |tier, tests_settled| Runs {
                result,
                now: now.as_ref(),
                before: before.as_ref(),
                tests_settled,
                tier,
            };
            let shown = |found: &[Verdict]| {
                let all = found.iter().map(|v| format!("{:?} {}", v.finding.severity, v.finding.rule));
                all.collect::<Vec<_>>().join(", ")
            };
            let what = format!("{} {:?} now {now:?} before {before:?}", result.command, result.signals);
            assert_eq!(shown(&judge(runs(Tier::Standard, false))), *expected, "{what}");
            assert!(!shown(&judge(runs(Tier::Lite, false))).contains("Deny"), "lite: {what}");
            let failed = CheckResult { status: CheckStatus::Failed, ..result.clone() };
            assert!(judge(Runs { result: &failed, ..runs(Tier::Strict, false) }).is_empty());
        }
        let uncounted = check("make test", vec![signal(UNCOUNTED, 0, 0)], vec![]);
        let runs =
            Runs { result: &uncounted, now: None, before: None, tests_settled: false, tier: Tier::Strict };
        assert_eq!(judge(runs)[0].finding.severity, Severity::Deny);
    }
}
