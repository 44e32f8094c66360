//! Random mutation without a fuzzer of its own: one target for every place where something
//! of a plugin enters the host. Nothing may panic, and what comes out is clean and capped.
//! CODEX_WORKER_FUZZ_ROUNDS sets the rounds of each (48 by default).

use proptest::prelude::*;

use super::super::accept::*;
use super::super::bindings::v0_1::host::{Host, Level};
use super::super::inspect::{self, Interface, Refusal};
use super::super::plugin::{Example, Table};
use super::super::state::HostState;
use super::guest::{Guest, found as returns_found};
use crate::ask::{Answer, OwnedQuestion, Question};
use crate::limits::Limits;
use crate::replay;
use model::types::{Draft, Failure, Finding, Found, JobFacts, PromptInput, Severity, Signal, Span};

#[expect(clippy::disallowed_methods, reason = "a test's own setting")]
fn rounds() -> ProptestConfig {
    let asked = std::env::var("CODEX_WORKER_FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(asked.unwrap_or(48)) }
}

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
    (any_text(), severity, any_text(), optional(), proptest::option::of(any::<u32>()), optional()).prop_map(
        |(rule, severity, message, path, line, remedy)| Finding {
            rule,
            severity,
            message,
            path,
            line,
            remedy,
        },
    )
}

fn clean(text: &str, most: usize) {
    assert!(text.len() <= most, "{} bytes", text.len());
    assert!(!text.chars().any(|c| c.is_control() || bidi(c)), "{text:?}");
}

fn bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

proptest! {
    #![proptest_config(rounds())]

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
    fn a_draft_keeps_the_task_and_is_clean_around_it(
        task in "[a-z \u{1b}\u{202e}]{1,20}", before in any_text(), after in any_text(), stable in any_text(), lost in any::<bool>(),
    ) {
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
        let body = if lost { before } else { format!("{before}{task}{after}") };
        let kept = body.contains(&task);
        let out = draft(&input, Draft { stable, body });
        prop_assert_eq!(kept, out.is_ok());
        if let Ok(out) = out {
            prop_assert!(out.body.contains(&task));
            for part in out.body.split(task.as_str()).chain([out.stable.as_str()]) {
                prop_assert!(!part.chars().any(|c| (c.is_control() && !"\n\t".contains(c)) || bidi(c)), "{part:?}");
            }
        }
    }

    #[test]
    fn any_description_is_clean_or_refused(name in any_text(), version in any_text(), summary in any_text()) {
        match about(name, &version, &summary) {
            Ok(about) => {
                clean(&about.name, 64);
                clean(&about.version, 64);
                clean(&about.summary, 300);
                prop_assert!(!about.version.contains('@'));
            }
            Err(reason) => clean(&reason, 400),
        }
        clean(&refusal(&summary), 500);
    }

    #[test]
    fn any_example_is_run_or_refused(texts in proptest::array::uniform6(any_text())) {
        let [name, interface, config, input, expected, why] = texts;
        let example = example(Example { name, interface, config, input, expected, why });
        clean(&example.name, 200);
        clean(&example.why, 500);
        for interface in Interface::ALL {
            // No JSON of a plugin is used before it is read as what it should be.
            let _ = OwnedQuestion::parse(interface, &example.input).map(drop);
            let _ = Answer::parse(interface, &example.expected).map(drop);
        }
    }

    #[test]
    fn any_log_is_clean_and_capped(lines in proptest::collection::vec(any_text(), 0..40)) {
        let limits = Limits { log_bytes: 30_000, ..Limits::default() };
        let mut state = HostState::new(limits);
        let count = lines.len() as u64;
        for line in lines {
            state.log(Level::Warn, line);
        }
        prop_assert_eq!(state.log.len() as u64 + state.log_dropped, count);
        prop_assert!(state.log.iter().map(String::len).sum::<usize>() <= 30_000 + 40 * "warn: ".len());
        state.log.iter().for_each(|line| clean(line, MAX_LOG_LINE + "warn: ".len()));
    }

    #[test]
    fn any_configuration_table_is_taken_apart_or_refused(text in any_text(), number in any::<i64>()) {
        let values = [
            serde_json::json!(text),
            serde_json::json!({"mode": text}),
            serde_json::json!({"replaces": text}),
            serde_json::json!({"limits": {"deadline_ms": number}, (text.clone()): number}),
        ];
        for value in values {
            if let Ok(table) = Table::parse("x", Some(&value)) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&table.config).is_ok());
            }
        }
    }

    #[test]
    fn any_line_of_a_record_is_read_or_counted(line in any_text(), digest in any_text()) {
        let shaped = serde_json::json!({
            "v": 1, "seq": 1, "interface": "scope", "plugin": line, "version": line, "component": digest,
            "config": line, "mode": "enforce", "input_digest": digest, "micros": 1, "input": {"job": line},
            "output": [line],
        });
        for text in [line, shaped.to_string()] {
            let recorded = replay::read(&text);
            // A digest that is made up fits no input.
            prop_assert!(recorded.decisions.iter().all(|decision| decision.input.is_none()));
        }
    }

    /// Names of imports and exports, custom sections, everything else of the file: bytes
    /// changed, cut out, repeated.
    #[test]
    fn any_file_is_refused_or_is_a_component(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..6),
    ) {
        let mut bytes = GOOD.clone();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at + 1),
                2 => drop(bytes.drain(at..(at + byte as usize).min(bytes.len()))),
                _ => {
                    let piece = bytes[at..(at + byte as usize).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        let _ = inspect::whole(&bytes);
        let _ = inspect::claimed(&bytes);
        match inspect::outside(&bytes) {
            Ok(outside) => outside.imports.iter().chain(&outside.exports).for_each(|name| clean(name, 200)),
            Err(refusal) => prop_assert!(!matches!(refusal, Refusal::Unreadable(_))),
        }
    }
}

static GOOD: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
    Guest::new("good").denies_over(0).exports("redaction", &returns_found("(i32.const 0)", 0)).build()
});

#[test]
fn any_component_gives_an_answer_or_an_error() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut taken = 0;
    for _ in 0..rounds().cases * 3 {
        let mut bytes = GOOD.clone();
        for _ in 0..1 + next() % 3 {
            let at = (next() as usize) % bytes.len();
            bytes[at] = next() as u8;
        }
        let Ok(plugin) = super::hostile::plugin(&bytes) else { continue };
        taken += 1;
        let scope = plugin.ask(Question::Scope(&super::files(2)), 100).answer;
        assert!(!matches!(scope, Ok(Answer::Draft(_))));
        let _ = plugin.ask(Question::Redaction("a text\n", ""), 7);
    }
    assert!(taken > 10, "only {taken} mutants loaded");
}
