//! A repair pass: what failed and what would satisfy it, appended to the agent's own
//! conversation. Neither the task nor what passed is repeated.

use codex_worker_policy::{CheckResult, CheckStatus, Draft, Failure, Finding, PromptInput, Repair, Severity};
use serde::Serialize;

use crate::plain;
use crate::settings::Settings;

/// Findings that are quoted; the strictest come first.
const FINDINGS: usize = 12;
/// Paths to restore that are listed: exact paths are short, and all are needed.
const REVERTS: usize = 100;
/// Lines of the diff's statistics.
const STAT: usize = 20;

/// The draft of a repair pass.
pub fn shape(settings: &Settings, input: &PromptInput, repair: &Repair) -> Draft {
    let fence = input.fence.as_str();
    let mut body = format!(
        "Attempt {} of {}: the work is not accepted yet. Fix what is listed here and nothing else.\n",
        input.job.attempt, input.job.max_attempts
    );
    reverts(&mut body, repair, fence);
    findings(&mut body, repair, fence);
    checks(&mut body, settings, repair, fence);
    stat(&mut body, repair, fence);
    body.push_str("\nThe rules of the first message hold. If it cannot be satisfied, stop and say so.\n");
    if !input.draft.body.is_empty() {
        body.push('\n');
        body.push_str(&input.draft.body);
    }
    Draft { stable: input.draft.stable.clone(), body }
}

fn reverts(body: &mut String, repair: &Repair, fence: &str) {
    if repair.revert.is_empty() {
        return;
    }
    body.push_str(
        "\nPut these files back exactly as they were before the job (delete what was not there):\n",
    );
    for path in repair.revert.iter().take(REVERTS) {
        let shown = plain::line(path, fence, 400);
        // A path is of use only if it is exact: an odd one is shown as JSON.
        let odd = shown != *path && !path.contains(fence) && path.len() <= 400;
        body.push_str(&format!("- {}\n", if odd { escaped(path) } else { shown }));
    }
    more(body, repair.revert.len(), REVERTS);
}

/// A path as a JSON string of characters that everybody sees.
fn escaped(path: &str) -> String {
    let mut out = String::from("\"");
    for c in path.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() || plain::visible(c.encode_utf8(&mut [0; 4])).is_empty() => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn findings(body: &mut String, repair: &Repair, fence: &str) {
    let mut findings: Vec<&Finding> =
        repair.findings.iter().filter(|f| f.severity != Severity::Info).collect();
    if findings.is_empty() {
        return;
    }
    // Stable: within a severity the host's order stays.
    findings.sort_by_key(|finding| finding.severity);
    body.push_str("\nRules that are not satisfied:\n");
    for finding in findings.iter().take(FINDINGS) {
        let place = match (&finding.path, finding.line) {
            (Some(path), Some(line)) => format!(" {}:{line}", plain::line(path, fence, 200)),
            (Some(path), None) => format!(" {}", plain::line(path, fence, 200)),
            _ => String::new(),
        };
        let rule = plain::line(&finding.rule, fence, 60);
        body.push_str(&format!("- {rule}{place}: {}", plain::line(&finding.message, fence, 300)));
        if let Some(remedy) = &finding.remedy {
            body.push_str(&format!("\n  To satisfy it: {}", plain::line(remedy, fence, 300)));
        }
        body.push('\n');
    }
    more(body, findings.len(), FINDINGS);
}

fn checks(body: &mut String, settings: &Settings, repair: &Repair, fence: &str) {
    let failing = repair.checks.iter().filter(|check| {
        check.status != CheckStatus::Passed
            || check.guarded.is_some_and(|guarded| guarded != CheckStatus::Passed)
    });
    let mut first = true;
    for check in failing {
        if std::mem::take(&mut first) {
            body.push_str("\nChecks that fail:\n");
        }
        body.push_str(&format!(
            "- {}: `{}` {}\n",
            plain::line(&check.name, fence, 80),
            plain::line(&check.command, fence, 200),
            ending(check)
        ));
        digest(body, settings, check, fence);
    }
}

fn ending(check: &CheckResult) -> String {
    match (check.status, check.exit_code, check.signal) {
        (CheckStatus::Passed, ..) => {
            "passes only with your versions of the tests; with the original ones it fails".into()
        }
        (CheckStatus::TimedOut, ..) => "ran out of time".into(),
        (CheckStatus::NotRun, ..) => "could not be started".into(),
        (CheckStatus::Failed, Some(code), _) => format!("ended with exit code {code}"),
        (CheckStatus::Failed, None, Some(signal)) => format!("was ended by signal {signal}"),
        (CheckStatus::Failed, None, None) => "failed".into(),
    }
}

/// One failure as the agent reads it: JSON, so that its text cannot end the line.
#[derive(Serialize)]
struct Quoted {
    #[serde(skip_serializing_if = "String::is_empty")]
    test: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    at: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

fn digest(body: &mut String, settings: &Settings, check: &CheckResult, fence: &str) {
    let most = settings.max_failures as usize;
    let bytes = settings.failure_bytes as usize;
    let failures: Vec<&Failure> =
        check.signals.iter().flat_map(|signal| &signal.first_failures).take(most).collect();
    let quoted: Vec<Quoted> = if failures.is_empty() {
        // No runner that is known: the last lines that say anything.
        let mut lines: Vec<&str> =
            check.output.lines().rev().filter(|line| !line.trim().is_empty()).take(most).collect();
        lines.reverse();
        let quote = |line: &&str| Quoted {
            test: String::new(),
            at: String::new(),
            message: plain::line(line, fence, bytes),
        };
        lines.iter().map(quote).collect()
    } else {
        failures
            .iter()
            .map(|failure| Quoted {
                test: plain::line(&failure.id, fence, 150),
                at: match (&failure.path, failure.line) {
                    (Some(path), Some(line)) => format!("{}:{line}", plain::line(path, fence, 200)),
                    (Some(path), None) => plain::line(path, fence, 200),
                    _ => String::new(),
                },
                message: plain::line(&failure.message, fence, bytes),
            })
            .collect()
    };
    if quoted.is_empty() {
        body.push_str("  It printed nothing.\n");
        return;
    }
    body.push_str(&format!("[{fence}]\n"));
    for one in quoted {
        // A struct of strings always encodes.
        body.push_str(&serde_json::to_string(&one).unwrap_or_default());
        body.push('\n');
    }
    body.push_str(&format!("[/{fence}]\n"));
}

fn stat(body: &mut String, repair: &Repair, fence: &str) {
    if repair.diff_stat.is_empty() {
        return;
    }
    body.push_str("\nChanged so far:\n");
    for line in repair.diff_stat.iter().take(STAT) {
        body.push_str(&format!("  {}\n", plain::line(line, fence, 200)));
    }
    more(body, repair.diff_stat.len(), STAT);
}

fn more(body: &mut String, all: usize, shown: usize) {
    if all > shown {
        body.push_str(&format!("  and {} more\n", all - shown));
    }
}
