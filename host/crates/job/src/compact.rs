//! From what the host knows of an ended job to the compact result. Pure: the same ending
//! gives the same result. Every text passes the caller's redaction here, once.

use crate::conclude::Ending;
use config::Isolation;
use model::result::{Artifact, Failure, FailureKind, JobResult, LineVerdict, LineWord, Workspace};
use model::spec::{JobId, JobSpec};
use model::types::{CheckResult, CheckStatus, Severity, UNCOUNTED};
use redact::sanitize::line;
use verify::outcome::{CheckEvidence, Verdict, holds};

/// The store keeps this many paths; replies show fewer.
const FILES_KEPT: usize = 400;
const LINES_KEPT: usize = 60;
/// Failing tests that a check's line names, and bytes of what each has to say.
const FAILURES_SHOWN: usize = 3;
const FAILURE_MAX: usize = 120;
const LINE_MAX: usize = 300;
const SUMMARY_MAX: usize = 600;

/// What is at hand of the job's artifacts when the result is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept<'a> {
    /// What `artifact` can read.
    pub artifacts: &'a [Artifact],
    /// The trimmed diff; kept whether it is asked for or not.
    pub diff: &'a str,
}

/// Makes the result. `mask` is applied to every text that comes from the repository, the
/// agent, a check or a policy.
pub fn build(
    id: &JobId,
    spec: &JobSpec,
    ending: &Ending,
    kept: Kept<'_>,
    mask: &dyn Fn(&str) -> String,
) -> JobResult {
    let redact = |text: &str, max: usize| line(&mask(text), max);
    let changes = ending.evidence.as_ref().map(|evidence| &evidence.changes);
    let mut files: Vec<String> = changes
        .map(|changes| changes.files.iter().map(|file| redact(&file.path, LINE_MAX)).collect())
        .unwrap_or_default();
    files.sort();
    files.dedup();
    let total = changes.map_or(0, |changes| changes.total_files as usize).max(files.len());
    files.truncate(FILES_KEPT);
    let failure = ending.outcome.failure.as_ref().map(|failure| Failure {
        kind: failure.kind,
        message: redact(&failure.message, LINE_MAX),
        hint: redact(&failure.hint, LINE_MAX),
    });
    let isolation = match spec.isolation {
        Isolation::None => "none",
        Isolation::Worktree => "worktree",
    };
    let branch = ending.evidence.as_ref().and_then(|evidence| evidence.branch.as_deref());
    let judged_by = ending.policies.iter().filter(|policy| policy.mode == policy::Mode::Enforce);
    let (checks, check_verdicts) =
        first_lines(check_lines(spec, ending)).iter().map(|line| line.masked(mask)).unzip();
    let mut result = JobResult {
        job_status: ending.outcome.status,
        changed_files_omitted: u32::try_from(total - files.len()).unwrap_or(u32::MAX),
        changed_files: files,
        checks,
        check_verdicts,
        diff: mask(kept.diff),
        summary: redact(&ending.agent.claim, SUMMARY_MAX),
        attempts: ending.attempts,
        duration_ms: u64::try_from(ending.duration.as_millis()).unwrap_or(u64::MAX),
        usage: ending.usage.clone(),
        policies: judged_by.map(|policy| format!("{}@{}", policy.name, policy.version)).collect(),
        workspace: Workspace {
            isolation: isolation.to_owned(),
            branch: branch.map(|branch| redact(branch, LINE_MAX)),
        },
        artifacts: kept.artifacts.to_vec(),
        next_action: String::new(),
        failure,
    };
    result.next_action = next_action(&result, id);
    result
}

/// One line of `checks`.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    name: String,
    word: LineWord,
    /// Follows in brackets; of a note, the whole text.
    detail: String,
}

impl Line {
    fn note(text: impl std::fmt::Display) -> Self {
        Line { name: String::new(), word: LineWord::Note, detail: format!("note: {text}") }
    }

    fn text(&self) -> String {
        let Line { name, word, detail } = self;
        match (word, detail.as_str()) {
            (LineWord::Note, detail) => detail.to_owned(),
            (word, "") => format!("{name}{}", word.text()),
            (word, detail) => format!("{name}{} ({detail})", word.text()),
        }
    }

    /// The line without secrets, and where its verdict is in it.
    fn masked(&self, mask: &dyn Fn(&str) -> String) -> (String, LineVerdict) {
        let text = line(&mask(&self.text()), LINE_MAX);
        let name_bytes = line(&mask(&self.name), LINE_MAX).len();
        // A secret that reaches beyond the name moves the verdict.
        let holds = text.get(name_bytes..).is_some_and(|rest| rest.starts_with(self.word.text()));
        let word = if holds { self.word } else { LineWord::Note };
        (text, LineVerdict { name_bytes: if holds { name_bytes } else { 0 }, word })
    }
}

/// The first lines, and how many there are besides.
fn first_lines(mut lines: Vec<Line>) -> Vec<Line> {
    if lines.len() > LINES_KEPT {
        let out = lines.len() - (LINES_KEPT - 1);
        lines.truncate(LINES_KEPT - 1);
        lines.push(Line::note(format!("{out} findings more; artifact findings.json has them")));
    }
    lines
}

/// `name: passed (…)` for the scope and each check, then what the policies had to say.
fn check_lines(spec: &JobSpec, ending: &Ending) -> Vec<Line> {
    let mut lines = Vec::new();
    let judgement = ending.judgement.as_ref();
    let checks = judgement.map_or(&[][..], |judgement| &judgement.checks);
    let verdicts = judgement.map_or(&[][..], |judgement| &judgement.verdicts);
    let evidence = judgement.map_or(&[][..], |judgement| &judgement.evidence);
    // What nobody judged has not passed.
    if let Some(scope) = spec.scoped_patch.as_ref().filter(|_| ending.judgement.is_some()) {
        let denied: Vec<&Verdict> = scope_denials(verdicts).collect();
        let (word, detail) = match denied.as_slice() {
            [] => (LineWord::Passed, scope.paths.join(", ")),
            [first, rest @ ..] => (LineWord::Failed, format!("{}{}", place(first), more(rest.len()))),
        };
        lines.push(Line { name: "scoped_patch".to_owned(), word, detail });
    }
    for check in checks {
        let declared = spec.checks.iter().find(|declared| declared.name == check.name);
        let shown = evidence.iter().find(|evidence| evidence.check == check.name);
        lines.push(check_line(check, holds(declared, check), shown));
    }
    for verdict in verdicts {
        // The scope's denials are in its own line already.
        let said = verdict.origin.is_scope()
            && spec.scoped_patch.is_some()
            && verdict.finding.severity == Severity::Deny;
        let word = match verdict.finding.severity {
            Severity::Deny if !said => LineWord::Denied,
            Severity::Warn => LineWord::Warned,
            Severity::Deny | Severity::Info => continue,
        };
        let name = verdict.by.split('@').next().unwrap_or(&verdict.by).to_owned();
        lines.push(Line { name, word, detail: format!("{}: {}", verdict.finding.rule, place(verdict)) });
    }
    lines.extend(ending.notes.iter().map(Line::note));
    lines
}

fn scope_denials(verdicts: &[Verdict]) -> impl Iterator<Item = &Verdict> {
    verdicts.iter().filter(|verdict| verdict.origin.is_scope() && verdict.finding.severity == Severity::Deny)
}

/// The finding's message, with its place if the message does not name it.
fn place(verdict: &Verdict) -> String {
    let finding = &verdict.finding;
    match (&finding.path, finding.line) {
        (Some(path), Some(number)) => format!("{} at {path}:{number}", finding.message),
        (Some(path), None) if !finding.message.contains(path.as_str()) => {
            format!("{}: {path}", finding.message)
        }
        _ => finding.message.clone(),
    }
}

fn more(count: usize) -> String {
    if count == 0 { String::new() } else { format!("; and {count} more") }
}

fn check_line(check: &CheckResult, holds: bool, evidence: Option<&CheckEvidence>) -> Line {
    let mut facts = Vec::new();
    if check.status == CheckStatus::Failed {
        match (check.exit_code, check.signal) {
            (_, Some(signal)) => facts.push(format!("signal {signal}")),
            (Some(code), None) => facts.push(format!("exit {code}")),
            (None, None) => {}
        }
    }
    for signal in &check.signals {
        let counts = [
            (signal.passed, "passed"),
            (signal.failed, "failed"),
            (signal.errors, "errors"),
            (signal.skipped, "skipped"),
        ];
        let counts: Vec<String> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if !counts.is_empty() {
            facts.push(counts.join(", "));
        }
        if signal.nothing_ran {
            facts.push("nothing ran".to_owned());
        }
        if signal.runner == UNCOUNTED {
            facts.push("no test count in its output".to_owned());
        }
    }
    if check.status == CheckStatus::Failed && matches!(check.baseline, Some(CheckStatus::Failed)) {
        facts.push("failed before the job too".to_owned());
    }
    if check.status == CheckStatus::Failed && matches!(check.baseline, Some(CheckStatus::Passed)) {
        facts.push("passed before the job".to_owned());
    }
    if matches!(check.baseline, Some(CheckStatus::Passed)) && check.status == CheckStatus::Passed && !holds {
        facts.push("had to fail before the job, but passed".to_owned());
    }
    if matches!(check.guarded, Some(CheckStatus::Failed | CheckStatus::TimedOut)) {
        facts.push("fails with the tests as they were before the job".to_owned());
    }
    if let Some(evidence) = evidence {
        let killed = evidence.mutants.iter().filter(|mutant| mutant.killed).count();
        if !evidence.mutants.is_empty() {
            facts.push(format!("{killed} of {} mutants killed", evidence.mutants.len()));
        }
        match evidence.without_change {
            Some(CheckStatus::Passed) => facts.push("passes without the change".to_owned()),
            Some(CheckStatus::Failed) => facts.push("fails without the change".to_owned()),
            Some(CheckStatus::TimedOut | CheckStatus::NotRun) | None => {}
        }
    }
    if !holds {
        let failures = check.signals.iter().flat_map(|signal| &signal.first_failures);
        for failure in failures.take(FAILURES_SHOWN) {
            let at = match (&failure.path, failure.line) {
                (Some(path), Some(number)) => format!(" {path}:{number}"),
                (Some(path), None) => format!(" {path}"),
                _ => String::new(),
            };
            facts.push(format!("{}{at}: {}", failure.id, line(&failure.message, FAILURE_MAX)));
        }
    }
    let word = match check.status {
        CheckStatus::Passed if holds => LineWord::Passed,
        CheckStatus::Passed | CheckStatus::Failed => LineWord::Failed,
        CheckStatus::TimedOut => LineWord::TimedOut,
        CheckStatus::NotRun => LineWord::NotRun,
    };
    Line { name: check.name.clone(), word, detail: facts.join("; ") }
}

/// What the planner should do now: one order, from the closed list of outcomes.
pub fn next_action(result: &JobResult, id: &JobId) -> String {
    let files = result.changed_files.len() + result.changed_files_omitted as usize;
    let resume = format!("start again with resume={id} and say what to mend");
    let Some(failure) = &result.failure else {
        return match (files, &result.workspace.branch) {
            (0, _) => "nothing was changed; read the summary if you expected a change".to_owned(),
            (_, Some(branch)) => format!("review the {}, then call apply or merge {branch}", count(files)),
            (_, None) => format!("review the {} in the working directory", count(files)),
        };
    };
    match failure.kind {
        FailureKind::CheckFailed => format!("read the failing check's log with artifact, then {resume}"),
        FailureKind::TestsWeakened => format!("do not take the change; {resume}: the code, not the tests"),
        FailureKind::OutOfScope => {
            "widen scoped_patch.paths if the edit is right, else start again with on_violation=revert"
                .to_owned()
        }
        FailureKind::PolicyDenied => format!("read findings.json with artifact, then {resume}"),
        FailureKind::PolicyBroken => {
            "tell the operator: a policy plugin is broken (codex-worker doctor)".to_owned()
        }
        FailureKind::AgentFailed => {
            "read the transcript with artifact; codex-worker doctor checks the agent".to_owned()
        }
        FailureKind::TurnLimit => format!("split the task, or {resume}"),
        FailureKind::Gateway => {
            "tell the operator: codex-worker doctor --network checks the gateway".to_owned()
        }
        FailureKind::Budget => format!("split the task, raise timeout_ms, or {resume}"),
        FailureKind::Interrupted => format!("start again with resume={id} to go on"),
        FailureKind::Cancelled => "nothing; it was cancelled".to_owned(),
        FailureKind::Workspace => failure.hint.clone(),
        FailureKind::Internal => "tell the operator: this is a fault of codex-worker; see its log".to_owned(),
    }
}

fn count(files: usize) -> String {
    if files == 1 { "changed file".to_owned() } else { format!("{files} changed files") }
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
