//! What the agent says, against what is there.

use codex_worker_policy::{AgentEnd, AgentOutcome, CheckResult, CheckStatus, JobFacts};

use crate::diff::File;
use crate::findings::{Findings, quote};

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

/// Whether the text holds one of the phrases without a negation shortly before it.
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
