//! Check lines, counts and next actions by table.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::conclude::{Evidence, Judgement, without_record};
use model::status::JobStatus;
use model::types::{AgentOutcome, ChangeSet, Finding};
use verify::outcome::{Asked, Origin, Outcome};

fn spec(scope: bool) -> JobSpec {
    serde_json::from_value(json!({
        "prompt": "fix", "allowed_dirs": ["/code/repo"], "model": null, "permission_mode": "acceptEdits",
        "include_diff": false,
        "scoped_patch": if scope { json!({"paths": ["src", "tests"], "max_diff_bytes": null}) } else { json!(null) },
        "on_violation": "fail",
        "checks": [{"name": "unit tests", "command": "t", "timeout_ms": 1000, "cwd": null,
                    "must_fail_before": true, "parallel": false}],
        "guard_tests": true, "max_revise_passes": 0, "isolation": "worktree", "copy_in": [],
        "timeout_ms": 1000, "resume": null, "idempotency_key": null, "labels": {}
    }))
    .expect("a spec")
}

fn check(more: serde_json::Value) -> CheckResult {
    let mut all = json!({"name": "unit tests", "command": "t", "status": "passed", "duration_ms": 1,
                         "output": "", "exit_code": 0, "baseline": "failed"});
    for (key, value) in more.as_object().expect("an object") {
        all[key] = value.clone();
    }
    serde_json::from_value(all).expect("a check result")
}

fn verdict(asked: Asked, by: &str, finding: serde_json::Value) -> Verdict {
    let finding: Finding = serde_json::from_value(finding).expect("a finding");
    Verdict { origin: Origin::Policy(asked), by: by.to_owned(), finding }
}

#[test]
fn check_lines_begin_with_the_name_and_say_why() {
    let signal = json!({"runner": "cargo", "passed": 3, "failed": 1, "skipped": 2, "errors": 0,
                        "first_failures": [{"id": "adds", "path": "src/a.rs", "line": 7, "message": "left 3, right 4"}]});
    let cases = [
        (json!({}), true, "unit tests: passed"),
        (
            json!({"signals": [{"runner": "c", "passed": 12, "failed": 0, "skipped": 1, "errors": 0}]}),
            true,
            "unit tests: passed (12 passed, 1 skipped)",
        ),
        (
            json!({"status": "failed", "exit_code": 101, "signals": [signal]}),
            false,
            "unit tests: failed (exit 101; 3 passed, 1 failed, 2 skipped; failed before the job too; adds src/a.rs:7: left 3, right 4)",
        ),
        (
            json!({"status": "failed", "exit_code": null, "signal": 9, "baseline": null}),
            false,
            "unit tests: failed (signal 9)",
        ),
        (json!({"status": "timed-out"}), false, "unit tests: timed out"),
        (json!({"status": "not-run"}), false, "unit tests: not run"),
        (json!({"baseline": "passed"}), false, "unit tests: failed (had to fail before the job, but passed)"),
        (
            json!({"guarded": "failed"}),
            true,
            "unit tests: passed (fails with the tests as they were before the job)",
        ),
    ];
    for (more, holds, expected) in cases {
        assert_eq!(check_line(&check(more), holds, None).text(), expected);
    }
}

#[test]
fn what_further_runs_showed_is_one_phrase() {
    let mutant = |killed| {
        json!({"path": "tests/a", "line": 1, "mutator": "m", "altered": "4 became 5",
               "diff": "-4\n+5\n", "digest": "", "killed": killed})
    };
    for (more, expected) in [
        (json!({"without_change": "failed"}), "unit tests: passed (fails without the change)"),
        (
            json!({"mutants": [mutant(true), mutant(true)], "without_change": "passed"}),
            "unit tests: passed (2 of 2 mutants killed; passes without the change)",
        ),
        (json!({"mutants": [mutant(true), mutant(false)]}), "unit tests: passed (1 of 2 mutants killed)"),
    ] {
        let mut all = json!({"check": "unit tests"});
        for (key, value) in more.as_object().expect("an object") {
            all[key] = value.clone();
        }
        let evidence: CheckEvidence = serde_json::from_value(all).expect("evidence");
        assert_eq!(check_line(&check(json!({})), true, Some(&evidence)).text(), expected);
    }
}

fn result(outcome: &Outcome, verdicts: &[Verdict], files: u32) -> JobResult {
    let id = JobId::parse("0123456789abcdef0123456789abcdef").expect("an id");
    let changes: ChangeSet = serde_json::from_value(json!({
        "files": (0..files).rev().map(|n| json!({
            "path": format!("src/f{n:04}.rs"), "kind": "modified", "old_kind": "regular", "new_kind": "regular"
        })).collect::<Vec<_>>(),
        "total_files": files, "diff_bytes": 0
    }))
    .expect("changes");
    let agent: AgentOutcome = serde_json::from_value(json!({
        "ended": "completed", "turns": 1, "tool_calls": 1, "permission_denials": 0,
        "claim": "all SECRET\nfixed\u{1b}[31m"
    }))
    .expect("an outcome");
    let spec = spec(true);
    let ending = Ending {
        agent,
        evidence: Some(Evidence {
            base_tree: "b".to_owned(),
            tree: "t".to_owned(),
            changes,
            patch: String::new(),
            branch: Some("codex-worker/0123".to_owned()),
        }),
        judgement: Some(Judgement {
            checks: vec![check(json!({}))],
            verdicts: verdicts.to_vec(),
            evidence: vec![],
        }),
        notes: vec!["signals@0.1.0 was skipped: it trapped".to_owned()],
        attempts: 1,
        duration: Duration::from_millis(1500),
        policies: vec![policy("scope", policy::Mode::Enforce), policy("other", policy::Mode::Shadow)],
        ..Ending::of(outcome.clone())
    };
    let kept = Kept { artifacts: &[], diff: "+SECRET\n" };
    let result = build(&id, &spec, &ending, kept, &|text| text.replace("SECRET", "***"));
    assert_eq!(result.policies, ["scope@0.1.0"], "one in shadow judges nothing");
    result
}

fn policy(name: &str, mode: policy::Mode) -> policy::PluginId {
    policy::PluginId {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        digest: String::new(),
        interfaces: Vec::new(),
        mode,
    }
}

fn outcome(status: JobStatus, failure: Option<Failure>) -> Outcome {
    Outcome {
        status,
        failure,
        decided_by: Vec::new(),
        failing_checks: Vec::new(),
        denials: Vec::new(),
        repairable: false,
    }
}

#[test]
fn a_completed_job() {
    let warn = verdict(
        Asked::Verifier,
        "integrity@0.1.0",
        json!({
            "rule": "stub", "severity": "warn", "message": "a stub was left", "path": "src/a.rs", "line": 3
        }),
    );
    let result = result(&outcome(JobStatus::Completed, None), &[warn], 500);
    assert_eq!(result.changed_files.first().map(String::as_str), Some("src/f0000.rs"));
    assert_eq!((result.changed_files.len(), result.changed_files_omitted), (400, 100));
    assert_eq!(
        result.checks,
        [
            "scoped_patch: passed (src, tests)",
            "unit tests: passed",
            "integrity: warned (stub: a stub was left at src/a.rs:3)",
            "note: signals@0.1.0 was skipped: it trapped",
        ]
    );
    let words: Vec<_> = result.check_verdicts.iter().map(|v| (v.name_bytes, v.word)).collect();
    assert_eq!(
        words,
        [(12, LineWord::Passed), (10, LineWord::Passed), (9, LineWord::Warned), (0, LineWord::Note)]
    );
    assert_eq!(result.diff, "+***\n");
    assert!(result.summary.starts_with("all *** fixed"), "{}", result.summary);
    assert!(!result.summary.contains('\u{1b}'));
    assert_eq!(
        result.next_action,
        "review the 500 changed files, then call apply or merge codex-worker/0123"
    );
}

#[test]
fn a_denied_scope_stands_in_one_line() {
    let deny = |path: &str| {
        verdict(
            Asked::Scope,
            "scope@0.1.0",
            json!({
                "rule": "out-of-scope", "severity": "deny", "message": "outside the scope", "path": path
            }),
        )
    };
    let failure = Failure { kind: FailureKind::OutOfScope, message: "m".to_owned(), hint: "h".to_owned() };
    let result =
        result(&outcome(JobStatus::Failed, Some(failure)), &[deny("README.md"), deny("b"), deny("c")], 1);
    assert_eq!(result.checks[0], "scoped_patch: failed (outside the scope: README.md; and 2 more)");
    assert_eq!(result.checks.len(), 3, "{:?}", result.checks);
}

#[test]
fn hundreds_of_findings_are_counted_and_three_failures_named() {
    let warn = |n: usize| {
        verdict(
            Asked::Verifier,
            "integrity@0.1.0",
            json!({"rule": "stub", "severity": "warn", "message": format!("finding {n}")}),
        )
    };
    let many: Vec<Verdict> = (0..300).map(warn).collect();
    let result = result(&outcome(JobStatus::Completed, None), &many, 1);
    assert_eq!(result.checks.len(), LINES_KEPT);
    // The scope, the check and 57 findings are shown; 243 findings and a note are not.
    let last = result.checks.last().map(String::as_str);
    assert_eq!(last, Some("note: 244 findings more; artifact findings.json has them"));

    let failures: Vec<_> = (1..=5)
        .map(|n| json!({"id": format!("t{n}"), "path": "a.py", "line": n, "message": "m".repeat(500)}))
        .collect();
    let signal = json!({"runner": "pytest", "passed": 0, "failed": 5, "skipped": 0, "errors": 0, "first_failures": failures});
    let line =
        check_line(&check(json!({"status": "failed", "exit_code": 1, "signals": [signal]})), false, None)
            .text();
    assert!(line.contains("t1 a.py:1: mmm") && line.contains("t3 a.py:3: mmm"), "{line}");
    assert!(!line.contains("t4") && line.len() < 500, "{line}");
}

#[test]
fn every_failure_has_a_next_action() {
    let id = JobId::parse("0123456789abcdef0123456789abcdef").expect("an id");
    for kind in [
        FailureKind::CheckFailed,
        FailureKind::TestsWeakened,
        FailureKind::OutOfScope,
        FailureKind::PolicyDenied,
        FailureKind::PolicyBroken,
        FailureKind::AgentFailed,
        FailureKind::TurnLimit,
        FailureKind::Gateway,
        FailureKind::Budget,
        FailureKind::Interrupted,
        FailureKind::Cancelled,
        FailureKind::Workspace,
        FailureKind::Internal,
    ] {
        let failure = Failure { kind, message: "m".to_owned(), hint: "do this".to_owned() };
        let ending = Ending::of(Outcome::by_host(JobStatus::Failed, failure));
        let result = without_record(&id, &spec(false), &ending, &str::to_owned).result;
        assert!((5..=240).contains(&result.next_action.len()), "{kind:?}: {}", result.next_action);
    }
}
