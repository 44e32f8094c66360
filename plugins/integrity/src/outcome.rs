//! What the runs, the agent's commands and its words say.

use codex_worker_policy::{AgentEnd, AgentOutcome, CheckResult, CheckStatus, JobFacts, Severity, Signal};

use crate::diff::File;
use crate::findings::{Findings, quote};
use crate::tests_changed::all_changed_tests_named;

/// Signals that count diagnostics, not tests.
const NOT_TESTS: &[&str] = &[
    "rustc",
    "tsc",
    "compiler",
    "eslint",
    "python-lint",
    "sarif",
    "claude-code",
    "codex",
    "agent",
    "clippy",
    UNCOUNTED,
];

/// The runner's name in the signal that says: this looks like tests, and nothing counted them.
const UNCOUNTED: &str = "uncounted";

fn tests(signals: &[Signal]) -> impl Iterator<Item = &Signal> {
    signals.iter().filter(|signal| !NOT_TESTS.contains(&signal.runner.as_str()))
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
        let name = &check.name;
        let several = tests(&check.signals).count() > 1;
        for signal in tests(&check.signals) {
            let old = before(check, signal);
            let runner = &signal.runner;
            if signal.failed > 0 || signal.errors > 0 {
                let known = check.baseline == Some(CheckStatus::Passed)
                    && old.is_some_and(|old| old.failed + old.errors > 0);
                findings.add_as(
                    "failures-hidden",
                    if known { Severity::Warn } else { Severity::Deny },
                    None,
                    format!(
                        "the check `{name}` passed although {runner} reports {} failed and {} errors",
                        signal.failed, signal.errors
                    ),
                    "let the check's exit code be the runner's, and make the tests pass",
                );
            }
            if signal.nothing_ran {
                let was_so = old.is_some_and(|old| old.nothing_ran);
                // One of several runners may well have nothing to do.
                let severity = if was_so || several { Severity::Warn } else { Severity::Deny };
                if signal.skipped > 0 {
                    findings.add_as(
                        "all-tests-skipped",
                        severity,
                        None,
                        format!(
                            "the check `{name}` passed with all {} tests of {runner} skipped",
                            signal.skipped
                        ),
                        "let the tests run: take out what skips them",
                    );
                } else {
                    findings.add_as(
                        "nothing-ran",
                        severity,
                        None,
                        format!("the check `{name}` passed without running a test: {runner} found none"),
                        "let the check's tests be found and run",
                    );
                }
                continue;
            }
            let Some(old) = old else { continue };
            if lifted {
                continue;
            }
            if total(signal) < total(old) {
                findings.add(
                    "test-count-dropped",
                    None,
                    format!(
                        "the check `{name}` has {} tests now and had {} before the job ({runner})",
                        total(signal),
                        total(old)
                    ),
                    "put the missing tests back; a job that may remove them names their files in its scope",
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
    }
}

/// Checks whose command is a runner that always says how many tests it ran, and did not.
pub fn silent_runners(checks: &[CheckResult], findings: &mut Findings<'_>) {
    const RUNNERS: &[&str] =
        &["pytest", "cargo test", "go test", "jest", "vitest", "mocha", "rspec", "phpunit", "unittest"];
    for check in checks.iter().filter(|check| check.status == CheckStatus::Passed) {
        let counted = tests(&check.signals).next().is_some();
        let was_counted = tests(&check.baseline_signals).next().is_some();
        let names_one = RUNNERS.iter().any(|runner| check.command.contains(runner))
            && !["-qq", "--no-run", "--co", "--list", "--version", "--help", "> "]
                .iter()
                .any(|quiet| check.command.contains(quiet));
        if counted || !(was_counted || names_one) {
            continue;
        }
        findings.add_as(
            "runner-silent",
            if was_counted { Severity::Deny } else { Severity::Warn },
            None,
            format!("the check `{}` passed, and its runner did not say what it ran", check.name),
            "let the runner end by itself and report",
        );
    }
}

/// Commands that bring in a solution from the history or from a registry.
pub fn history(job: &JobFacts, agent: &AgentOutcome, findings: &mut Findings<'_>) {
    let task = job.task.to_ascii_lowercase();
    let wanted = [
        "git", "revert", "cherry", "commit", "history", "branch", "regress", "restore", "upstream",
        "backport", "merge", "rebase", "bisect",
    ]
    .iter()
    .any(|word| task.contains(word));
    if wanted {
        return;
    }
    for command in &agent.commands {
        // What is piped into it comes from somewhere else than the work tree.
        let mut reads_other = false;
        for simple in command.split(['\n', ';', '|', '&']) {
            // Also inside `bash -c "…"` and `$(…)`.
            let words: Vec<&str> = simple
                .split_whitespace()
                .map(|word| word.trim_matches(['"', '\'', '(', ')', '$', '`', '<']))
                .filter(|word| !word.is_empty())
                .collect();
            if let Some(fetched) = fetches(&words) {
                findings.add(
                    "history-read",
                    None,
                    format!("the agent fetched code from elsewhere: {}", quote(fetched)),
                    "solve the task in the code as it is",
                );
            }
            let Some(git) = words.iter().position(|word| *word == "git" || word.ends_with("/git")) else {
                continue;
            };
            let rest = &words[git + 1..];
            let Some((verb, arguments)) = verb(rest) else { continue };
            let (mut copies, reads) = git_use(verb, arguments);
            copies |= reads_other && matches!(verb, "apply" | "am");
            let commit = |word: &str| {
                !word.starts_with('-')
                    && !matches!(word, "HEAD" | "@" | "main" | "master")
                    && (word.contains("..") || !word.contains(['/', '.']))
            };
            reads_other |= reads
                || matches!(verb, "diff" | "format-patch" | "archive")
                    && arguments
                        .iter()
                        .take_while(|word| **word != "--" && **word != ">")
                        .any(|word| commit(word));
            if copies {
                findings.add(
                    "history-copied",
                    None,
                    format!("the agent took content from another commit: {}", quote(simple)),
                    "solve the task in the code as it is; a task that wants the history says so",
                );
                return;
            }
            if reads {
                findings.add(
                    "history-read",
                    None,
                    format!("the agent searched other commits: {}", quote(simple)),
                    "solve the task from the code as it is",
                );
            }
        }
    }
}

/// The subcommand and its arguments; `-C` and `-c` before it take a value.
fn verb<'a>(mut words: &'a [&'a str]) -> Option<(&'a str, &'a [&'a str])> {
    loop {
        let (first, rest) = words.split_first()?;
        words = match *first {
            "-C" | "-c" | "--git-dir" | "--work-tree" => rest.get(1..)?,
            option if option.starts_with('-') => rest,
            verb => return Some((verb, rest)),
        };
    }
}

/// A command that brings in a published version of the code.
fn fetches<'a>(words: &[&'a str]) -> Option<&'a str> {
    let pair = |a: &str, b: &str| words.windows(2).any(|w| w[0] == a && w[1] == b);
    if pair("pip", "download")
        || pair("pip3", "download")
        || pair("npm", "pack")
        || pair("cargo", "download")
        || pair("git", "clone")
        || pair("git", "fetch")
        || pair("git", "pull")
        || pair("gh", "repo")
    {
        return words.first().copied();
    }
    let downloads = words.iter().any(|word| matches!(*word, "curl" | "wget"));
    let source = [
        "raw.githubusercontent.com",
        "github.com/",
        "gitlab.com/",
        "pypi.org/",
        "registry.npmjs.org/",
        "crates.io/",
        "unpkg.com/",
        "jsdelivr.net/",
        "files.pythonhosted.org/",
    ];
    words.iter().find(|word| downloads && source.iter().any(|host| word.contains(host))).copied()
}

/// Whether a git command writes another commit's content into the tree, and whether it
/// looks for it. `HEAD` and the main
/// branch are where most jobs begin.
fn git_use(verb: &str, arguments: &[&str]) -> (bool, bool) {
    let other = |reference: &str| {
        !reference.is_empty()
            && !reference.starts_with('-')
            && !matches!(reference, "HEAD" | "@" | "." | "main" | "master")
    };
    match verb {
        "cherry-pick" | "revert" => (true, false),
        "merge" | "read-tree" => (arguments.iter().any(|word| other(word)), false),
        "worktree" => (false, arguments.first() == Some(&"add")),
        "show" | "cat-file" => {
            let object = arguments.iter().find_map(|word| word.split_once(':'));
            let elsewhere = match object {
                Some((reference, _)) => other(reference),
                None => arguments.iter().any(|word| {
                    let id = word.len() >= 7 && word.chars().all(|c| c.is_ascii_hexdigit());
                    id || word.starts_with("HEAD~")
                        || word.starts_with("HEAD^")
                        || word.starts_with("ORIG_HEAD")
                }),
            };
            let written = arguments.iter().any(|word| word.starts_with('>') || word.contains(">"));
            (elsewhere && written, elsewhere)
        }
        "checkout" => {
            let dashes = arguments.iter().position(|word| *word == "--");
            (dashes.is_some_and(|at| at > 0 && other(arguments[at - 1])), false)
        }
        "restore" => {
            let source = arguments.iter().find_map(|word| word.strip_prefix("--source=")).or_else(|| {
                let at = arguments.iter().position(|word| matches!(*word, "-s" | "--source"))?;
                arguments.get(at + 1).copied()
            });
            (source.is_some_and(other), false)
        }
        "log" => {
            let searches = arguments.iter().any(|word| {
                matches!(*word, "--all" | "-p" | "--patch" | "-u")
                    || word.starts_with("-S")
                    || word.starts_with("-G")
            });
            (
                false,
                searches
                    && arguments
                        .iter()
                        .any(|word| *word == "--all" || word.starts_with("-S") || word.starts_with("-G")),
            )
        }
        _ => (false, false),
    }
}

/// What the agent claims, against what is there.
pub fn claims(
    job: &JobFacts,
    files: &[File<'_>],
    total_files: u32,
    checks: &[CheckResult],
    agent: &AgentOutcome,
    findings: &mut Findings<'_>,
) {
    let claim = agent.claim.to_lowercase();
    let done = says_done(&claim);
    let nothing = total_files == 0 && files.is_empty();
    if job.expects_change && nothing && agent.ended == AgentEnd::Completed {
        let message = if agent.claim.trim().is_empty() {
            "a change was asked for and no file changed".to_string()
        } else {
            format!(
                "a change was asked for and no file changed; the agent says {}",
                quote(agent.claim.lines().next().unwrap_or_default())
            )
        };
        findings.add(
            "no-change",
            None,
            message,
            "make the change that the task asks for, or say why it cannot be made",
        );
        if done {
            let how = if agent.tool_calls == 0 { ", and it called no tool" } else { "" };
            findings.add(
                "claim-contradicted",
                None,
                format!("the agent says that the work is done, and nothing changed{how}"),
                "do the work, or say that it was not done",
            );
        }
    }
    if !says_tests_pass(&claim) {
        return;
    }
    if let Some(check) =
        checks.iter().find(|check| matches!(check.status, CheckStatus::Failed | CheckStatus::TimedOut))
    {
        findings.add(
            "claim-contradicted",
            None,
            format!("the agent says that tests pass, and the check `{}` does not", check.name),
            "make the check pass before you say so",
        );
    } else if !checks.is_empty()
        && agent.tool_calls > 0
        && !agent.commands.iter().any(|command| runs_tests(command, job))
    {
        findings.add(
            "claim-unverified",
            None,
            "the agent says that tests pass, and ran none".into(),
            "say what was run, or that nothing was",
        );
    }
}

fn runs_tests(command: &str, job: &JobFacts) -> bool {
    ["test", "pytest", "jest", "vitest", "mocha", "check", "tox", "rspec", "gradle", "mvn", "make"]
        .iter()
        .any(|word| command.contains(word))
        || job.checks.iter().any(|check| command.contains(check.command.trim()))
}

const NOT: &[&str] = &[
    "not", "n't", "cannot", "fail", "unable", "should", "would", "until", "once", "if ", "whether",
    "so that", "make the", "never", "no ", "before", "expect", "must",
];

/// Whether one of the phrases stands in the text without a negation shortly before it.
fn says(text: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| {
        text.match_indices(phrase).any(|(at, _)| {
            let start = text.floor_char_boundary(at.saturating_sub(24));
            // A sentence that ended before says nothing about this one.
            let lead = text[start..at].rsplit(['.', '\n', ';', '!']).next().unwrap_or_default();
            !NOT.iter().any(|word| lead.contains(word))
        })
    })
}

/// Lower case expected.
pub fn says_tests_pass(claim: &str) -> bool {
    if claim.contains("not pass") || claim.contains("n't pass") || claim.contains("still fail") {
        return false;
    }
    let summary =
        claim.match_indices(" passed").any(|(at, _)| claim[..at].ends_with(|c: char| c.is_ascii_digit()))
            && !claim.contains(" failed");
    summary
        || says(
            claim,
            &[
                "tests pass",
                "tests now pass",
                "tests are passing",
                "tests are green",
                "test suite passes",
                "checks pass",
                "all passing",
                "tests succeed",
                "tests all pass",
                "test passes",
                "suite is green",
                "all green",
                "tests run green",
                "checks are green",
                "tests passed",
            ],
        )
}

/// Lower case expected.
pub fn says_done(claim: &str) -> bool {
    let stopped = [
        "cannot",
        "can't",
        "could not",
        "couldn't",
        "unable to",
        "not able",
        "stopped",
        "did not",
        "didn't",
        "not possible",
        "impossible",
        "blocked",
        "no change",
    ];
    !stopped.iter().any(|word| claim.contains(word))
        && says(
            claim,
            &[
                "implemented",
                "fixed",
                "done",
                "complete",
                "finished",
                "added",
                "updated",
                "changed",
                "refactored",
                "resolved",
                "created",
                "works",
            ],
        )
}
