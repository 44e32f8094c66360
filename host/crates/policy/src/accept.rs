//! Where a plugin's output enters the host: everything is checked, cleaned and capped. Pure,
//! and total on whatever a plugin returns.

use super::plugin::{About, Example};
use model::outcome::is_reserved;
use model::types::{
    Draft, Failure, Finding, Found, Mutant, MutantKind, Mutants, MutationInput, NotMutated, PromptInput,
    Signal,
};
use redact::sanitize;

/// More findings of one call than this are left out, and counted in a last one.
pub const MAX_FINDINGS: usize = 200;
/// Bytes of a message or remedy.
pub const MAX_TEXT: usize = 2_000;
/// Bytes of a path.
pub const MAX_PATH: usize = 4_096;
/// Signals of one call.
pub const MAX_SIGNALS: usize = 64;
/// Failures of one signal.
pub const MAX_FAILURES: usize = 5;
/// Bytes of a failure's name and of its message.
pub const MAX_FAILURE_TEXT: usize = 300;
/// Bytes that a redaction policy may carry to the next piece.
pub const MAX_CARRY: usize = 256;
/// Parts of the name of a mutant's test.
pub const MAX_TEST_PARTS: usize = 16;
/// Reasons why something was not mutated.
pub const MAX_NOT_MUTATED: usize = 64;
/// Bytes of a log line.
pub const MAX_LOG_LINE: usize = 2_000;

/// What a component says of itself, cleaned; the error says what is unusable.
pub fn about(name: String, version: &str, summary: &str) -> Result<About, String> {
    let usable = (1..=64).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !name.starts_with('-');
    if !usable {
        return Err(format!("the name \"{}\" is not 1 to 64 of a-z, 0-9 and -", sanitize::line(&name, 80)));
    }
    let version = sanitize::line(version, 64);
    if version.is_empty() || version.contains([' ', '@']) {
        return Err(format!("the version \"{version}\" is empty or holds a blank or @"));
    }
    Ok(About { name, version, summary: sanitize::line(summary, 300) })
}

/// An example: what people see of it is cleaned; its JSON is parsed before it is used.
pub fn example(example: Example) -> Example {
    Example { name: sanitize::line(&example.name, 200), why: sanitize::line(&example.why, 500), ..example }
}

/// One line of a policy's log.
pub fn log_line(message: &str) -> String {
    sanitize::line(message, MAX_LOG_LINE)
}

/// Why a component refuses its configuration.
pub fn refusal(reason: &str) -> String {
    sanitize::line(reason, 500)
}

/// A rule's name, made to fit `[a-z0-9-]{1,64}`.
pub fn rule(name: &str) -> String {
    let fit = |c: char| match c {
        'a'..='z' | '0'..='9' | '-' => c,
        'A'..='Z' => c.to_ascii_lowercase(),
        _ => '-',
    };
    let name: String = name.chars().take(64).map(fit).collect();
    if name.is_empty() { "unnamed".into() } else { name }
}

/// Findings, cleaned; the strictest are kept when there are too many.
pub fn findings(mut findings: Vec<Finding>) -> Vec<Finding> {
    let total = findings.len();
    if total > MAX_FINDINGS {
        findings.sort_by_key(|finding| finding.severity);
        findings.truncate(MAX_FINDINGS);
    }
    let mut findings: Vec<_> = findings.into_iter().map(finding).collect();
    if let (true, Some(last)) = (total > MAX_FINDINGS, findings.last()) {
        findings.push(Finding {
            rule: "too-many-findings".into(),
            severity: last.severity,
            message: format!("{} more findings are left out", total - MAX_FINDINGS),
            path: None,
            line: None,
            remedy: None,
        });
    }
    findings
}

fn finding(finding: Finding) -> Finding {
    let name = rule(&finding.rule);
    // A component that shows such a name in its examples is refused; one that does not shall
    // not be taken for the host either.
    let name = if is_reserved(&name) { format!("x-{name}") } else { name };
    Finding {
        rule: name,
        severity: finding.severity,
        message: sanitize::line(&finding.message, MAX_TEXT),
        path: finding.path.map(|path| sanitize::line(&path, MAX_PATH)),
        line: finding.line,
        remedy: finding.remedy.map(|remedy| sanitize::line(&remedy, MAX_TEXT)),
    }
}

/// Signals, cleaned and capped.
pub fn signals(signals: Vec<Signal>) -> Vec<Signal> {
    let failure = |failure: Failure| Failure {
        id: sanitize::line(&failure.id, MAX_FAILURE_TEXT),
        path: failure.path.map(|path| sanitize::line(&path, MAX_PATH)),
        line: failure.line,
        message: sanitize::line(&failure.message, MAX_FAILURE_TEXT),
    };
    let signal = |signal: Signal| Signal {
        runner: sanitize::line(&signal.runner, 64),
        first_failures: signal.first_failures.into_iter().take(MAX_FAILURES).map(failure).collect(),
        ..signal
    };
    signals.into_iter().take(MAX_SIGNALS).map(signal).collect()
}

/// What was found in `text`; the error says what is wrong with it. A wrong span means that
/// the plugin does not know where the secret is, so nothing of the text can be trusted.
pub fn found(text: &str, found: Found) -> Result<Found, String> {
    let mut from = 0usize;
    for span in &found.spans {
        let (start, end) = (span.start as usize, span.end as usize);
        let named = || format!("span {start}..{end} of {} bytes", text.len());
        if start >= end || end > text.len() {
            return Err(format!("{} is empty or out of the text", named()));
        }
        if start < from {
            return Err(format!("{} begins before the one before ends", named()));
        }
        match text.get(start..end) {
            None => return Err(format!("{} is not on character borders", named())),
            Some(part) if part.contains('\n') => return Err(format!("{} covers a line end", named())),
            Some(_) => from = end,
        }
    }
    if found.carry.len() > MAX_CARRY {
        return Err(format!("carry has {} bytes, {MAX_CARRY} are allowed", found.carry.len()));
    }
    let spans = found.spans.into_iter().map(|span| model::types::Span { rule: rule(&span.rule), ..span });
    Ok(Found { spans: spans.collect(), carry: found.carry })
}

/// The next draft, cleaned around the task's own text; the error says why the step is left
/// out.
pub fn draft(input: &PromptInput, draft: Draft) -> Result<Draft, String> {
    let before = input.draft.stable.len() + input.draft.body.len();
    let after = draft.stable.len() + draft.body.len();
    let most = 4 * before + 256 * 1024;
    if after > most {
        return Err(format!("the prompt grew from {before} to {after} bytes, {most} are allowed"));
    }
    if input.repair.is_none() && !draft.body.contains(&input.job.task) {
        return Err("the task's text did not survive verbatim in the body".into());
    }
    // The task is the planner's own and stays; a repair prompt does not hold it.
    let task = if input.repair.is_none() { input.job.task.as_str() } else { "" };
    let body = match task {
        "" => sanitize::prose(&draft.body),
        task => draft.body.split(task).map(sanitize::prose).collect::<Vec<_>>().join(task),
    };
    Ok(Draft { stable: sanitize::prose(&draft.stable), body })
}

/// Mutants within the budget, cleaned; the error says what is wrong with one. A range that does
/// not fit its file, or two that overlap, mean that the policy does not know what it alters.
pub fn mutants(input: &MutationInput, mutants: Mutants) -> Result<Mutants, String> {
    let mut kept: Vec<Mutant> = Vec::new();
    let mut bytes = 0u64;
    for mutant in mutants.mutants {
        let named =
            || format!("mutant {}..{} of {}", mutant.start, mutant.end, sanitize::line(&mutant.path, 200));
        let Some(file) = input.files.iter().find(|file| file.path == mutant.path) else {
            return Err(format!("{} is of a file that it was not given", named()));
        };
        if mutant.start > mutant.end || file.content.get(mutant.start as usize..mutant.end as usize).is_none()
        {
            return Err(format!("{} is out of the file or not on character borders", named()));
        }
        if file.content[mutant.start as usize..mutant.end as usize] == mutant.text {
            return Err(format!("{} alters nothing", named()));
        }
        if kept.iter().any(|other| overlap(other, &mutant)) {
            return Err(format!("{} overlaps another", named()));
        }
        let known = |check: &String| input.checks.iter().any(|known| known.name == *check);
        if mutant.checks.is_empty() || !mutant.checks.iter().all(known) {
            return Err(format!("{} names no check, or one that did not pass", named()));
        }
        bytes += mutant.text.len() as u64;
        if kept.len() >= input.budget.max_mutants as usize || bytes > input.budget.max_bytes {
            break;
        }
        // The line is counted here: it is shown beside the file's text.
        let line = file.content[..mutant.start as usize].matches('\n').count() + 1;
        let parts = mutant.test.iter().take(MAX_TEST_PARTS);
        kept.push(Mutant {
            mutator: rule(&mutant.mutator),
            altered: sanitize::line(&mutant.altered, MAX_FAILURE_TEXT),
            test: parts.map(|part| sanitize::line(part, MAX_FAILURE_TEXT)).collect(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            ..mutant
        });
    }
    let not_mutated = mutants.not_mutated.into_iter().take(MAX_NOT_MUTATED).map(|one| NotMutated {
        check: sanitize::line(&one.check, MAX_FAILURE_TEXT),
        path: one.path.map(|path| sanitize::line(&path, MAX_PATH)),
        reason: sanitize::line(&one.reason, MAX_FAILURE_TEXT),
    });
    Ok(Mutants { mutants: kept, not_mutated: not_mutated.collect() })
}

/// Two oracle mutants share an overlay, so that their ranges must not overlap; also an empty
/// one has its place.
pub fn overlap(a: &Mutant, b: &Mutant) -> bool {
    let oracles = a.kind == MutantKind::Oracle && b.kind == MutantKind::Oracle;
    let within = a.start < b.end.max(b.start + 1) && b.start < a.end.max(a.start + 1);
    oracles && a.path == b.path && within
}

#[cfg(test)]
mod tests {
    use model::types::{Budget, FileRole, PassedCheck, TextFile};

    use super::*;

    fn input() -> MutationInput {
        MutationInput {
            checks: vec![PassedCheck { name: "unit".into(), ..PassedCheck::default() }],
            files: vec![TextFile {
                path: "t.py".into(), content: "a\nb é 4\n".into(), role: FileRole::Test
            }],
            budget: Budget { max_mutants: 2, max_bytes: 10 },
            ..MutationInput::default()
        }
    }

    fn mutant(start: u32, end: u32, text: &str) -> Mutant {
        Mutant {
            path: "t.py".into(),
            start,
            end,
            text: text.into(),
            line: 99,
            mutator: "Expected Value".into(),
            altered: "expected 4\u{1b}[31m became 5".into(),
            checks: vec!["unit".into()],
            ..Mutant::default()
        }
    }

    /// What is left of these mutants, or why none is.
    fn check(made: Vec<Mutant>, expected: &str) {
        let made = Mutants { mutants: made, not_mutated: Vec::new() };
        let seen = match mutants(&input(), made) {
            Ok(kept) => kept
                .mutants
                .iter()
                .map(|m| format!("{}:{}..{}", m.line, m.start, m.end))
                .collect::<Vec<_>>()
                .join(" "),
            Err(why) => why,
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn mutants_fit_their_files_and_the_budget() {
        check(vec![mutant(7, 8, "5")], "2:7..8");
        check(vec![mutant(0, 1, "x"), mutant(7, 8, "5"), mutant(2, 3, "y")], "1:0..1 2:7..8");
        check(vec![mutant(0, 1, "longer than ten")], "");
        check(vec![mutant(4, 5, "e")], "mutant 4..5 of t.py is out of the file or not on character borders");
        check(
            vec![mutant(7, 99, "5")],
            "mutant 7..99 of t.py is out of the file or not on character borders",
        );
        check(vec![mutant(8, 7, "5")], "mutant 8..7 of t.py is out of the file or not on character borders");
        check(vec![mutant(7, 8, "4")], "mutant 7..8 of t.py alters nothing");
        check(vec![mutant(2, 8, "5"), mutant(7, 8, "6")], "mutant 7..8 of t.py overlaps another");
        check(
            vec![Mutant { path: "../x".into(), ..mutant(0, 1, "x") }],
            "mutant 0..1 of ../x is of a file that it was not given",
        );
        check(
            vec![Mutant { checks: vec!["other".into()], ..mutant(0, 1, "x") }],
            "mutant 0..1 of t.py names no check, or one that did not pass",
        );
    }

    #[test]
    fn a_mutant_is_cleaned() {
        let made = Mutants { mutants: vec![mutant(7, 8, "5")], not_mutated: Vec::new() };
        let kept = mutants(&input(), made).expect("it fits");
        assert_eq!(kept.mutants[0].mutator, "expected-value");
        assert_eq!(kept.mutants[0].altered, "expected 4 became 5");
    }
}
