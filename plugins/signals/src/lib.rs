//! The shipped signals policy: what test runners, compilers and linters said, read from
//! their output and from the reports that they left behind.
//!
//! Read in this order: reports (JUnit XML, SARIF, JSON), lines of JSON in the output
//! (cargo, libtest, go), summaries. Output that a task runner or a CI service put a name or a
//! time before is taken apart first (`streams`). A summary that says the same as a report is
//! not reported twice; one that says something else is. The agent's own final event is the
//! output of the command `agent`.
//!
//! `passed`, `failed`, `skipped` and `errors` are the runner's own words, summed over all
//! binaries and packages; `skipped` includes expected failures and todos. `nothing_ran` is
//! set when a runner ran and no test did, also when all were skipped, whatever the exit code.
//! A command that looks like a run of tests and gave no count has the signal
//! [`UNCOUNTED`]. Never panics, takes time in proportion to its input, looks at the first
//! 4,096 bytes of a line.
//!
//! Configuration: none.

use codex_worker_policy::{CommandOutput, Signal, Signals, UNCOUNTED, policy};

mod agent;
mod counts;
mod diagnostics;
mod examples;
mod formats;
mod javascript;
mod json;
mod junit;
mod jvm;
mod lines;
mod python;
mod rust;
mod streams;
mod summary;
mod template;
mod text;

#[cfg(test)]
mod tests;

/// The policy.
#[derive(Debug, Default)]
pub struct SignalsPolicy;

/// Reads what no summary says: a line for each test, or for each error.
type Reader = fn(&[&str]) -> Option<Signal>;

/// Readers of tests, used where no summary of the same runner was found.
const TESTS: &[Reader] = &[python::pytest_quiet, lines::go_test, lines::tap, jvm::maven, jvm::gradle];

/// Readers of compilers and linters.
const DIAGNOSTICS: &[Reader] =
    &[rust::rustc, diagnostics::tsc, diagnostics::compiler, diagnostics::eslint, diagnostics::python_lint];

impl Signals for SignalsPolicy {
    fn parse(&self, output: &CommandOutput) -> Vec<Signal> {
        if output.name == "agent" {
            return agent::parse(&output.output, output.exit_code).into_iter().collect();
        }
        let mut found: Vec<Signal> = Vec::new();
        for report in &output.reports {
            // Maven and Gradle leave one file for each class.
            add_up(&mut found, read(&report.content));
        }
        for signal in read(&output.output) {
            let same = |known: &Signal| {
                (known.passed, known.failed + known.errors, known.skipped)
                    == (signal.passed, signal.failed + signal.errors, signal.skipped)
            };
            if !found.iter().any(|known| known.runner == signal.runner || same(known)) {
                found.push(signal);
            }
        }
        let counted = |signal: &Signal| !DIAGNOSED.contains(&signal.runner.as_str());
        if !found.iter().any(counted) && codex_worker_test_names::runs_tests(&output.command) {
            found.push(uncounted());
        }
        found
    }
}

/// Runners that count errors, not tests.
const DIAGNOSED: &[&str] = &["rustc", "tsc", "compiler", "eslint", "python-lint", "sarif"];

/// It counts nothing, and does not say that nothing ran: nobody knows.
fn uncounted() -> Signal {
    let mut signal = text::signal(UNCOUNTED, 0, 0, 0, 0);
    signal.nothing_ran = false;
    signal
}

/// Adds signals to those of the same runner.
fn add_up(found: &mut Vec<Signal>, more: Vec<Signal>) {
    for signal in more {
        match found.iter_mut().find(|known| known.runner == signal.runner) {
            Some(known) => text::sum(known, &signal),
            None => found.push(signal),
        }
    }
}

/// One text: a document, or lines.
fn read(content: &str) -> Vec<Signal> {
    let start = content.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if start.starts_with('<')
        && let Some(signal) = junit::parse(start)
    {
        return vec![signal];
    }
    if start.starts_with(['{', '['])
        && let Some(signal) = json::document(start)
    {
        return vec![signal];
    }
    let clean = text::clean(content);
    let lines: Vec<&str> = clean.lines().filter(|line| !line.trim().is_empty()).map(str::trim_end).collect();
    let mut found = Vec::new();
    for stream in streams::split(&lines) {
        add_up(&mut found, stream_of_one(&stream));
    }
    found
}

/// The output of one command: what summaries say first, then what they do not repeat.
fn stream_of_one(lines: &[&str]) -> Vec<Signal> {
    let mut summaries = summary::read(lines);
    let mut others: Vec<Signal> = TESTS.iter().filter_map(|read| read(lines)).collect();
    for (format, signal) in &mut summaries {
        // Only a line for each test says where.
        let repeated = others.iter_mut().find(|other| format.over.contains(&other.runner.as_str()));
        if let Some(other) = repeated.filter(|_| signal.first_failures.is_empty()) {
            signal.first_failures = std::mem::take(&mut other.first_failures);
        }
    }
    others.extend(DIAGNOSTICS.iter().filter_map(|read| read(lines)));
    // What another runner's summary says as well, and a run without tests beside one with.
    let repeated = |runner: &str| {
        summaries.iter().any(|(format, signal)| {
            !signal.nothing_ran && signal.runner != runner && format.over.contains(&runner)
        })
    };
    let ran =
        |runner: &&str| summaries.iter().any(|(_, signal)| signal.runner == **runner && !signal.nothing_ran);
    let beside = |format: &formats::Format, signal: &Signal| {
        signal.nothing_ran && signal.skipped == 0 && format.beside.iter().any(ran)
    };
    let mut found = json::lines(lines);
    let counts = |signal: &Signal| !signal.nothing_ran && !DIAGNOSED.contains(&signal.runner.as_str());
    let own = others.iter().filter(|other| !repeated(&other.runner));
    let understood = found.iter().chain(own).any(counts)
        || summaries.iter().any(|(format, signal)| !format.weak && counts(signal));
    for (format, signal) in &summaries {
        if repeated(&signal.runner) || beside(format, signal) || format.weak && understood {
            continue;
        }
        found.push(signal.clone());
    }
    others
        .retain(|other| !repeated(&other.runner) && !found.iter().any(|known| known.runner == other.runner));
    found.extend(others);
    found
}

policy! {
    name: "signals",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Reads test counts and first failures from reports and output of the usual runners.",
    policy: SignalsPolicy,
    interfaces: [signals],
    examples: [
        examples::pytest(),
        examples::cargo(),
        examples::nothing(),
        examples::vitest(),
        examples::junit(),
        examples::go_json(),
        examples::uncounted(),
        examples::agent(),
        examples::prose(),
    ],
}
