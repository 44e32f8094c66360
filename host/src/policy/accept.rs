//! Where a plugin's output enters the host: everything is checked, cleaned and capped. Pure,
//! and total on whatever a plugin returns.

use super::types::{Draft, Failure, Finding, Found, PromptInput, Signal};
use crate::report::sanitize;

/// More findings of one call than this are left out, and counted in a last one.
pub const MAX_FINDINGS: usize = 200;
const MAX_TEXT: usize = 2_000;
const MAX_PATH: usize = 4_096;
const MAX_SIGNALS: usize = 64;
const MAX_FAILURES: usize = 5;
const MAX_FAILURE_TEXT: usize = 300;
const MAX_CARRY: usize = 256;

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
    Finding {
        rule: rule(&finding.rule),
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
    let spans = found.spans.into_iter().map(|span| super::types::Span { rule: rule(&span.rule), ..span });
    Ok(Found { spans: spans.collect(), carry: found.carry })
}

/// The next draft; the error says why the step is left out.
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
    if draft.stable.contains('\0') || draft.body.contains('\0') {
        return Err("the prompt holds a NUL".into());
    }
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::types::{JobFacts, Severity, Span};

    /// Whatever a plugin returns; strings with everything that a terminal or a model would obey.
    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            Just("\u{1b}]0;title\u{7}\u{202e}abc\r\n\0".to_owned()),
            Just("x".repeat(20_000)),
            Just(String::new()),
        ]
    }

    fn any_finding() -> impl Strategy<Value = Finding> {
        let severity = prop_oneof![Just(Severity::Deny), Just(Severity::Warn), Just(Severity::Info)];
        let optional = || proptest::option::of(any_text());
        (any_text(), severity, any_text(), optional(), proptest::option::of(any::<u32>()), optional())
            .prop_map(|(rule, severity, message, path, line, remedy)| Finding {
                rule,
                severity,
                message,
                path,
                line,
                remedy,
            })
    }

    fn clean(text: &str, most: usize) {
        assert!(text.len() <= most, "{} bytes", text.len());
        assert!(!text.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)), "{text:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_findings_come_out_clean(input in proptest::collection::vec(any_finding(), 0..8), times in 1usize..60) {
            let many: Vec<_> = input.iter().cycle().take(input.len() * times).cloned().collect();
            let denied = many.iter().any(|finding| finding.severity == Severity::Deny);
            let total = many.len();
            let out = findings(many);
            prop_assert!(out.len() <= MAX_FINDINGS + 1);
            prop_assert_eq!(out.len(), if total > MAX_FINDINGS { MAX_FINDINGS + 1 } else { total });
            prop_assert_eq!(denied, out.iter().any(|finding| finding.severity == Severity::Deny));
            for finding in out {
                prop_assert!(!finding.rule.is_empty() && finding.rule.len() <= 64);
                prop_assert!(finding.rule.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')));
                clean(&finding.message, MAX_TEXT);
                finding.path.iter().for_each(|path| clean(path, MAX_PATH));
                finding.remedy.iter().for_each(|remedy| clean(remedy, MAX_TEXT));
            }
        }

        #[test]
        fn any_signals_come_out_clean(texts in proptest::collection::vec(any_text(), 0..20), copies in 0usize..80) {
            let failures: Vec<_> = texts
                .iter()
                .map(|text| Failure { id: text.clone(), path: Some(text.clone()), line: None, message: text.clone() })
                .collect();
            let signal = Signal {
                runner: texts.first().cloned().unwrap_or_default(),
                passed: u32::MAX,
                failed: 0,
                skipped: 0,
                errors: 0,
                nothing_ran: false,
                first_failures: failures,
            };
            let out = signals(vec![signal; copies]);
            prop_assert!(out.len() <= MAX_SIGNALS);
            for signal in out {
                clean(&signal.runner, 64);
                prop_assert!(signal.first_failures.len() <= MAX_FAILURES);
                for failure in signal.first_failures {
                    clean(&failure.message, MAX_FAILURE_TEXT);
                    clean(&failure.id, MAX_FAILURE_TEXT);
                }
            }
        }

        #[test]
        fn any_spans_are_refused_or_can_be_cut_out(
            text in "[a-cé𝄞\n]{0,40}",
            spans in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..5),
            carry in any_text(),
        ) {
            let spans = spans
                .into_iter()
                .map(|(start, end)| Span { start: start.into(), end: end.into(), rule: "r".into() })
                .collect();
            if let Ok(found) = found(&text, Found { spans, carry }) {
                let mut from = 0;
                for span in found.spans {
                    let part = &text[span.start as usize..span.end as usize];
                    prop_assert!(!part.is_empty() && !part.contains('\n') && span.start as usize >= from);
                    from = span.end as usize;
                }
                prop_assert!(found.carry.len() <= MAX_CARRY);
            }
        }

        #[test]
        fn a_draft_keeps_the_task_or_is_refused(task in "[a-z ]{1,20}", body in any_text(), stable in any_text()) {
            let job = JobFacts {
                task: task.clone(),
                scope: None,
                checks: Vec::new(),
                attempt: 1,
                max_attempts: 1,
                expects_change: true,
            };
            let input = PromptInput {
                job,
                draft: Draft { stable: String::new(), body: task.clone() },
                repair: None,
                fence: "f".into(),
            };
            let kept = body.contains(&task);
            let out = draft(&input, Draft { stable, body });
            prop_assert!(kept || out.is_err());
        }
    }
}
