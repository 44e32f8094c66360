//! The shipped signals policy: what test runners, compilers and linters said, read from
//! their output and from the reports that they left behind.
//!
//! Read in this order: reports (JUnit XML, SARIF, JSON), lines of JSON in the output
//! (cargo, libtest, go), summary lines. A summary that says the same as a report is not
//! told twice; one that says something else is. The agent's own final event is the output
//! of the command `agent`.
//!
//! `passed`, `failed`, `skipped` and `errors` are the runner's own words, summed over all
//! binaries and packages; `skipped` includes expected failures and todos. `nothing_ran` is
//! set when a runner ran and no test did, also when all were skipped. Never panics, takes
//! time in proportion to its input, looks at the first 4,096 bytes of a line.
//!
//! Configuration: none.

use codex_worker_policy::{CommandOutput, Signal, Signals, policy};

mod agent;
mod diagnostics;
mod examples;
mod javascript;
mod json;
mod junit;
mod jvm;
mod others;
mod python;
mod rust;
mod text;

#[cfg(test)]
mod tests;

/// The policy.
#[derive(Debug, Default)]
pub struct SignalsPolicy;

/// Reads one runner's summary.
type Reader = fn(&[&str]) -> Option<Signal>;

/// Every reader of plain text. `node_test` stands before `tap`, whose form it also prints.
const READERS: &[Reader] = &[
    python::pytest,
    python::unittest,
    rust::cargo_test,
    rust::nextest,
    javascript::jest,
    javascript::vitest,
    javascript::mocha,
    javascript::bun,
    javascript::deno,
    others::go_test,
    jvm::maven,
    jvm::gradle,
    others::rspec,
    others::phpunit,
    others::dotnet,
    others::ctest,
    rust::rustc,
    diagnostics::tsc,
    diagnostics::compiler,
    diagnostics::eslint,
    diagnostics::python_lint,
];

impl Signals for SignalsPolicy {
    fn parse(&self, output: &CommandOutput) -> Vec<Signal> {
        if output.name == "agent" {
            return agent::parse(&output.output, output.exit_code).into_iter().collect();
        }
        let mut found: Vec<Signal> = Vec::new();
        for report in &output.reports {
            for signal in read(&report.content) {
                // Maven and Gradle leave one file for each class.
                match found.iter_mut().find(|known| known.runner == signal.runner) {
                    Some(known) => text::sum(known, &signal),
                    None => found.push(signal),
                }
            }
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
        found
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
    let mut found = json::lines(&lines);
    found.extend(READERS.iter().filter_map(|read| read(&lines)));
    let tap = javascript::node_test(&lines).map(|mut node| {
        // Its TAP output holds the failures in TAP's form.
        if node.first_failures.is_empty() {
            node.first_failures = others::tap(&lines).map(|tap| tap.first_failures).unwrap_or_default();
        }
        node
    });
    found.extend(tap.or_else(|| others::tap(&lines)));
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
        examples::agent(),
        examples::prose(),
    ],
}
