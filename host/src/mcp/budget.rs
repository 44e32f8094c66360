//! What a reply may cost. The sizes are contracts (docs/mcp.md): a planner pays for each
//! byte again in every later turn. What is cut is counted, and the verdict is never cut.

use serde::Serialize;

use super::tools::{CheckLine, JobView};
use model::result::{LineVerdict, LineWord};
use redact::sanitize::{line, prefix};

/// `get` and an ended `wait` for at most [`FEW_FILES`] changed files.
pub const RESULT: usize = 2048;
/// The same for more files.
pub const RESULT_MANY: usize = 4096;
/// `get` with `verbose`.
pub const VERBOSE: usize = 8000;
/// `wait` while the job runs.
pub const WAITING: usize = 300;
/// `tail`.
pub const TAIL: usize = 6000;
/// A next action is never cut below this: the longest that names a job fits.
const NEXT_ACTION: usize = 160;
/// Up to here a result keeps within [`RESULT`].
pub const FEW_FILES: usize = 20;

/// The bytes of `value` as JSON.
pub fn size(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}

/// Cuts a view until it fits. The diff, which was asked for, has a budget of its own and
/// does not count.
pub fn fit(view: &mut JobView, verbose: bool) {
    let files =
        view.changed_files.as_ref().map_or(0, Vec::len) + view.changed_files_omitted.unwrap_or(0) as usize;
    let limit = match (verbose, files > FEW_FILES) {
        (true, _) => VERBOSE,
        (false, true) => RESULT_MANY,
        (false, false) => RESULT,
    };
    let diff = view.diff.take();
    // `"diff":"",` is always there.
    let limit = limit - 12;
    let summary = if verbose { 600 } else { 400 };
    cap_texts(view, summary, 240, 240);
    for step in 0..STEPS {
        if size(view) <= limit {
            break;
        }
        cut(view, step);
    }
    view.diff = diff;
}

const STEPS: u32 = 16;

/// One step of cutting, mildest first.
fn cut(view: &mut JobView, step: u32) {
    match step {
        0 => cap_texts(view, 200, 160, 200),
        1 => keep_artifacts(view, 8),
        2 => keep_files(view, 60),
        3 => keep_checks(view, 12),
        4 => keep_files(view, 30),
        5 => cap_texts(view, 120, 120, 160),
        6 => keep_files(view, 20),
        7 => keep_artifacts(view, 4),
        8 => keep_checks(view, 8),
        9 => cap_files(view, 80),
        10 => keep_files(view, 12),
        11 => cap_texts(view, 60, 80, 120),
        12 => keep_policies(view, 4),
        13 => {
            cap_files(view, 60);
            keep_files(view, 8);
            keep_checks(view, 6);
            cap_texts(view, 0, 60, 100);
        }
        14 => {
            keep_policies(view, 2);
            keep_artifacts(view, 2);
            cap_files(view, 40);
            keep_files(view, 4);
            cap_texts(view, 0, 60, 80);
        }
        // A planner can do without paths before it can do without a failed check.
        _ => {
            keep_checks(view, 4);
            keep_files(view, 2);
            cap_texts(view, 0, 40, 60);
        }
    }
}

fn cap(text: &mut String, max: usize) {
    if text.len() > max {
        *text = line(text, max);
    }
}

fn cap_texts(view: &mut JobView, summary: usize, check: usize, other: usize) {
    if let Some(text) = &mut view.summary {
        cap(text, summary);
    }
    for line in view.checks.iter_mut().flatten() {
        cap_check(line, check);
    }
    if let Some(failure) = &mut view.failure {
        cap(&mut failure.message, other);
        cap(&mut failure.hint, other);
    }
    if let Some(text) = &mut view.next_action {
        // Ours, and bounded; cut, it would name half a job.
        cap(text, other.max(NEXT_ACTION));
    }
    if let Some(branch) = view.workspace.as_mut().and_then(|workspace| workspace.branch.as_mut()) {
        cap(branch, 80);
    }
}

/// Cuts a check's line; a long name is cut before its verdict.
fn cap_check(check: &mut CheckLine, max: usize) {
    if check.text.len() <= max {
        return;
    }
    let verdict = check.verdict.filter(|verdict| verdict.word != LineWord::Note);
    let Some(LineVerdict { name_bytes, word }) = verdict else {
        check.text = line(&check.text, max);
        return;
    };
    let text = word.text();
    if name_bytes + text.len() + 4 <= max {
        check.text = line(&check.text, max);
        return;
    }
    let name = line(&check.text[..name_bytes], max.saturating_sub(text.len()).max(4));
    check.verdict = Some(LineVerdict { name_bytes: name.len(), word });
    check.text = format!("{name}{text}");
}

fn keep_files(view: &mut JobView, keep: usize) {
    let Some(files) = &mut view.changed_files else { return };
    if files.len() > keep {
        let out = u32::try_from(files.len() - keep).unwrap_or(u32::MAX);
        files.truncate(keep);
        view.changed_files_omitted = Some(view.changed_files_omitted.unwrap_or(0).saturating_add(out));
    }
}

/// A path's end tells more than its beginning.
fn cap_files(view: &mut JobView, max: usize) {
    for path in view.changed_files.iter_mut().flatten() {
        if path.len() > max {
            let skip = path.len() - max;
            let at = prefix(path, skip + 4).len();
            *path = format!("…{}", &path[at..]);
        }
    }
}

fn keep_checks(view: &mut JobView, keep: usize) {
    let Some(checks) = &mut view.checks else { return };
    if checks.len() > keep {
        let earlier = checks.pop_if(|last| last.left_out > 0).map_or(0, |last| last.left_out);
        let out = checks.len() - (keep - 1) + earlier;
        // Failures first: they are what the planner must see.
        checks.sort_by_key(|check| match check.verdict.map(|verdict| verdict.word) {
            Some(LineWord::Passed | LineWord::Note) => true,
            Some(_) | None => false,
        });
        checks.truncate(keep - 1);
        let text = format!("note: {out} more; artifact result.json has them");
        checks.push(CheckLine { text, verdict: None, left_out: out });
    }
}

fn keep_artifacts(view: &mut JobView, keep: usize) {
    let Some(artifacts) = &mut view.artifacts else { return };
    if artifacts.len() > keep {
        let out = (artifacts.len() - keep) as u32;
        artifacts.truncate(keep);
        view.artifacts_omitted = Some(view.artifacts_omitted.unwrap_or(0) + out);
    }
}

fn keep_policies(view: &mut JobView, keep: usize) {
    let Some(policies) = &mut view.policies else { return };
    if policies.len() > keep {
        let out = (policies.len() - keep) as u32;
        policies.truncate(keep);
        view.policies_omitted = Some(view.policies_omitted.unwrap_or(0) + out);
    }
}

/// Cuts a running job's view to [`WAITING`].
pub fn fit_waiting(view: &mut JobView) {
    while size(view) > WAITING {
        let Some(text) = view.last_event.take() else { return };
        let excess = size(view) + text.len() + 20;
        let keep = text.len().saturating_sub((excess.saturating_sub(WAITING)).max(8));
        if keep >= 8 {
            view.last_event = Some(line(&text, keep));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::result::{Artifact, Failure, FailureKind, Usage, Workspace};
    use model::status::JobStatus;

    fn check(name: &str, word: LineWord, rest: &str) -> CheckLine {
        let verdict = LineVerdict { name_bytes: name.len(), word };
        CheckLine { text: format!("{name}{}{rest}", word.text()), verdict: Some(verdict), left_out: 0 }
    }

    /// The worst that a job may give: every text at the length to which it is stored.
    fn worst(files: usize, checks: usize, path: usize) -> JobView {
        let long = |max: usize| "\"é\\\n".repeat(max / 5);
        JobView {
            job_status: Some(JobStatus::Failed),
            changed_files: Some(
                (0..files.min(400)).map(|n| format!("{}{n:05}", "d/".repeat(path / 2))).collect(),
            ),
            changed_files_omitted: Some(files.saturating_sub(400) as u32).filter(|n| *n > 0),
            checks: Some(
                (0..checks)
                    .map(|n| check(&format!("check {n}"), LineWord::Failed, &format!(" ({})", long(280))))
                    .collect(),
            ),
            diff: Some(String::new()),
            failure: Some(Failure { kind: FailureKind::CheckFailed, message: long(300), hint: long(300) }),
            next_action: Some(long(300)),
            summary: Some(long(600)),
            attempts: Some(11),
            duration_ms: Some(604_800_000),
            usage: Some(Usage {
                input_tokens: Some(123_456_789_012),
                cached_tokens: Some(123_456_789_012),
                output_tokens: Some(123_456_789_012),
                requests: 123_456,
                unmetered: 123_456,
            }),
            policies: Some((0..12).map(|n| format!("a-policy-with-a-long-name-{n}@10.20.30")).collect()),
            workspace: Some(Workspace { isolation: "worktree".to_owned(), branch: Some("b".repeat(300)) }),
            artifacts: Some(
                (0..40)
                    .map(|n| Artifact {
                        name: format!("checks/{n}-a-long-name.log"),
                        bytes: 999_999,
                        redacted: false,
                    })
                    .collect(),
            ),
            ..JobView::default()
        }
    }

    #[test]
    fn sizes_are_contracts() {
        for (files, checks, path, verbose, limit) in [
            (20, 5, 30, false, RESULT),
            (20, 5, 250, false, RESULT),
            (0, 60, 0, false, RESULT),
            (21, 5, 250, false, RESULT_MANY),
            (2_000, 60, 250, false, RESULT_MANY),
            (2_000, 60, 250, true, VERBOSE),
        ] {
            let mut view = worst(files, checks, path);
            fit(&mut view, verbose);
            assert!(size(&view) < limit, "{files} files, {checks} checks: {} bytes", size(&view));
            let shown = view.changed_files.as_ref().map_or(0, Vec::len);
            assert_eq!(shown + view.changed_files_omitted.unwrap_or(0) as usize, files, "the count is right");
            assert!(view.failure.is_some() && view.next_action.is_some() && view.job_status.is_some());
        }
    }

    #[test]
    fn what_is_cut_is_counted() {
        let mut view = worst(2_000, 60, 250);
        fit(&mut view, false);
        let artifacts = view.artifacts.as_ref().map_or(0, Vec::len);
        let policies = view.policies.as_ref().map_or(0, Vec::len);
        assert_eq!(artifacts + view.artifacts_omitted.unwrap_or(0) as usize, 40);
        assert_eq!(policies + view.policies_omitted.unwrap_or(0) as usize, 12);
        let checks = view.checks.clone().unwrap_or_default();
        let Some(note) = checks.last().and_then(|line| line.text.strip_prefix("note: ")) else {
            panic!("no note: {checks:?}")
        };
        let out: usize = note.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        assert_eq!(checks.len() - 1 + out, 60, "{checks:?}");
    }

    #[test]
    fn a_verdict_survives_every_cut() {
        use LineWord::{Failed, Note, TimedOut};
        for (name, word, rest, max, expected) in [
            ("unit tests", Failed, " (exit 1)", 60, "unit tests: failed (exit 1)"),
            ("unit tests", Failed, " (exit 1; and more of it)", 30, "unit tests: failed (exit 1;…"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Failed, " (exit 1)", 24, "aaaaaaaaaaaaa…: failed"),
            ("äöüäöüäöüäöüäöüäöü", TimedOut, "", 24, "äöüäö…: timed out"),
            ("", Note, "note: aaaaaaaaaaaaaaaaaaaaaaaaaaaa", 12, "note: aaa…"),
            // What a name or a failing test says is no verdict.
            ("t", Failed, " (case 3: passed)", 26, "t: failed (case 3: passed)"),
            ("is it: passed, or what?", Failed, " (exit 1)", 20, "is it: pa…: failed"),
        ] {
            let mut cut = check(name, word, rest);
            cap_check(&mut cut, max);
            assert_eq!(cut.text, expected);
        }
        // Twenty checks with the longest names: every failed one still says so.
        let mut view = worst(400, 0, 250);
        view.checks = Some(
            (0..20)
                .map(|n| {
                    let name = format!("{n}{}", "é".repeat(99));
                    match n % 2 {
                        0 => check(&name, LineWord::Failed, " (x: passed)"),
                        _ => check(&name, LineWord::Passed, " (1 passed)"),
                    }
                })
                .collect(),
        );
        fit(&mut view, false);
        let checks: Vec<String> = view.checks.unwrap_or_default().into_iter().map(|line| line.text).collect();
        assert!(checks.iter().take(3).all(|text| text.contains(": failed")), "{checks:?}");
        assert!(
            checks.iter().all(|text| text.contains(": failed")
                || text.contains(": passed")
                || text.starts_with("note: ")),
            "{checks:?}"
        );
    }

    #[test]
    fn an_ordinary_result_is_not_cut() {
        let mut view = JobView {
            changed_files: Some((0..20).map(|n| format!("src/module/file_{n}.rs")).collect()),
            checks: Some(
                (0..5).map(|n| check(&format!("check {n}"), LineWord::Passed, " (12 passed)")).collect(),
            ),
            summary: Some("Fixed the rounding in total() and added a test.".to_owned()),
            job_status: Some(JobStatus::Completed),
            ..JobView::default()
        };
        let before = view.clone();
        fit(&mut view, false);
        assert_eq!(view, before);
    }

    #[test]
    fn waiting_stays_small() {
        for text in ["x".repeat(4000), "é".repeat(300), "\"\n".repeat(200), String::new()] {
            let mut view = JobView {
                job_id: Some("0".repeat(32)),
                job_status: Some(JobStatus::Verifying),
                elapsed_ms: Some(u64::MAX),
                last_event: Some(text),
                ..JobView::default()
            };
            fit_waiting(&mut view);
            assert!(size(&view) <= WAITING, "{}", size(&view));
        }
    }
}
