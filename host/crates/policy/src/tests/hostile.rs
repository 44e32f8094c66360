//! Components that mean harm or are broken: each is refused or stopped with its reason, and
//! the host goes on.

use std::time::{Duration, Instant};

use super::super::inspect::Refusal;
use super::super::plugin::{Origin, Plugin, Prepared, Table};
use super::super::record::digest;
use super::guest::{Guest, found, list};
use super::{alone, files, job, set_of};
use crate::ask::Question;
use crate::limits::Limits;
use crate::load::Settings;
use crate::lock::Mode;
use model::types::{CommandOutput, Draft, PromptInput, Severity};

/// Loads a component alone with short limits.
pub(super) fn plugin(bytes: &[u8]) -> Result<Plugin, Refusal> {
    let runtime = Settings::default().runtime().unwrap();
    let table = Table { limits: Limits { deadline_ms: 100, ..Limits::default() }, ..Table::default() };
    Prepared::new(&runtime, bytes, digest(bytes))?.into_plugin(Origin::Shipped, Mode::Enforce, &table)
}

fn refusal(bytes: &[u8]) -> String {
    match plugin(bytes) {
        Ok(_) => "taken".into(),
        Err(refusal) => refusal.to_string(),
    }
}

/// What a scope call of this body ends with.
fn scope_error(body: &str) -> (String, Duration) {
    let plugin = plugin(&Guest::new("bad").exports("scope", body).build()).unwrap();
    let begun = Instant::now();
    let input = files(1);
    let asked = plugin.ask(Question::Scope(&input), 100);
    let took = begun.elapsed();
    // The next call meets a fresh instance and ends the same way.
    assert_eq!(plugin.ask(Question::Scope(&input), 100).answer, asked.answer);
    match asked.answer {
        Ok(answer) => (format!("answered {answer:?}"), took),
        Err(error) => (error.to_string(), took),
    }
}

#[test]
fn calls_that_never_should_end_well_end_with_their_reason() {
    let huge = list("(i32.const 0)", 100_000_000);
    let cases: &[(&str, &str, &str)] = &[
        ("endless loop", "(loop $l (br $l)) (unreachable)", "deadline of 100 ms"),
        ("trap", "(unreachable)", "unreachable"),
        ("division by zero", "(i32.div_u (i32.const 1) (i32.const 0))", "divide by zero"),
        ("stack overflow", "(call $deep (i32.const 0))", "stack"),
        (
            "memory bomb",
            "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)",
            "memory of",
        ),
        ("length beyond memory", &huge, "list"),
        ("return area beyond memory", "(i32.const -8)", "out of bounds"),
        ("list beyond memory", &list("(i32.const -64)", 4), "out of bounds"),
        ("misaligned return area", "(i32.const 1025)", "align"),
    ];
    for (name, body, expected) in cases {
        let (error, took) = scope_error(body);
        assert!(error.contains(expected), "{name}: {error}");
        assert!(took < Duration::from_millis(600), "{name} took {took:?}");
    }
}

#[test]
fn the_deadline_overshoots_by_little() {
    let bytes = Guest::new("slow").exports("scope", "(loop $l (br $l)) (unreachable)").build();
    let plugin = plugin(&bytes).unwrap();
    let input = files(1);
    // The best of five: the machine's own load is not what is measured.
    let best = (0..5)
        .map(|_| {
            let begun = Instant::now();
            assert!(plugin.ask(Question::Scope(&input), 0).answer.is_err());
            begun.elapsed()
        })
        .min()
        .unwrap();
    assert!(best >= Duration::from_millis(100), "{best:?}");
    assert!(best < Duration::from_millis(125 + 20), "{best:?}");
}

#[test]
fn a_gigabyte_of_output_stops_at_the_transfer_limit() {
    // 60 MiB of memory, returned as one message eight times over.
    let mut guest = Guest::new("loud").pages(960);
    let at = 1 << 20;
    let mut body = String::new();
    for finding in 0..8 {
        let base = at + finding * 52;
        body += &format!(
            "(i32.store (i32.const {}) (i32.const 0)) (i32.store (i32.const {}) (i32.const {}))",
            base + 12,
            base + 16,
            50 << 20
        );
    }
    body += &list(&format!("(i32.const {at})"), 8);
    guest = guest.exports("scope", &body);
    let plugin = plugin(&guest.build()).unwrap();
    let error = plugin.ask(Question::Scope(&files(1)), 0).answer.unwrap_err().to_string();
    assert!(error.contains("transfer of"), "{error}");
}

#[test]
fn files_that_are_no_policies_are_refused_with_the_reason() {
    let good = Guest::new("good").denies_over(3).build();
    let mut garbled = good.clone();
    let middle = garbled.len() / 2;
    garbled.truncate(middle);
    let forbidden =
        |import: &str| wat::parse_str(format!("(component (import \"{import}\" (instance)))")).unwrap();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("good", good.clone(), "taken"),
        ("empty", Vec::new(), "no WebAssembly component"),
        ("text", b"hello".to_vec(), "no WebAssembly component"),
        ("core module", wat::parse_str("(module)").unwrap(), "core module"),
        ("truncated", garbled, "truncated or damaged"),
        (
            "no exports",
            wat::parse_str("(component)").unwrap(),
            "does not export codex-worker:policy/plugin@0.1",
        ),
        ("no interface", Guest::new("none").build(), "any of the interfaces"),
        (
            "later version",
            Guest::new("late").wit("0.3.0").denies_over(3).build(),
            "built for codex-worker:policy@0.3.0, this host speaks 0.1",
        ),
        (
            "files",
            forbidden("wasi:filesystem/preopens@0.2.0"),
            "imports wasi:filesystem/preopens@0.2.0, which policies may not use",
        ),
        ("network", forbidden("wasi:sockets/tcp@0.2.3"), "imports wasi:sockets/tcp@0.2.3"),
        (
            "clock that blocks",
            forbidden("wasi:clocks/monotonic-clock@0.2.0"),
            "imports wasi:clocks/monotonic-clock",
        ),
        (
            "WASI of tomorrow",
            forbidden("wasi:cli/environment@0.3.0"),
            "imports wasi:cli/environment@0.3.0: this host offers WASI 0.2; build it for the target wasm32-wasip2",
        ),
        ("stranger", forbidden("evil:host/exec@0.1.0"), "imports evil:host/exec@0.1.0"),
        ("name with blanks", Guest::new("Bad Name").denies_over(3).build(), "the name \"Bad Name\""),
        ("version with @", Guest::new("v").version("1@2").denies_over(3).build(), "version"),
        ("trap in describe", Guest::new("d").describe("(unreachable)").denies_over(3).build(), "unreachable"),
        ("endless start", Guest::new("s").start("(loop $l (br $l))").denies_over(3).build(), "deadline"),
        ("a gigabyte declared", Guest::new("g").pages(16_384).denies_over(3).build(), "memory"),
        (
            "trap in configure",
            Guest::new("c").configure("(unreachable)").denies_over(3).build(),
            "cannot be configured",
        ),
    ];
    for (name, bytes, expected) in cases {
        let refusal = refusal(&bytes);
        assert!(refusal.contains(expected), "{name}: {refusal}");
    }
}

#[test]
fn a_plugin_that_fails_its_own_example_is_refused_by_name() {
    let input = serde_json::to_string(&files(5)).unwrap();
    let honest = r#"[{"rule":"too-many","severity":"deny","message":"too many files changed"}]"#;
    let bytes = Guest::new("proud").denies_over(3).example("scope", &input, honest).build();
    assert!(set_of(&[&bytes]).broken().is_empty());

    let bytes = Guest::new("proud")
        .denies_over(3)
        .example("scope", &input, honest)
        .example("scope", &input, "[]")
        .build();
    let set = set_of(&[&bytes]);
    let reason = &set.broken()[0].reason;
    assert!(
        reason.contains("fails its own example \"example 2\": expected [], got [{\"rule\":\"too-many\""),
        "{reason}"
    );
    // It may deny, so the job is denied, and says why.
    let judged = set.scope(&files(1));
    assert_eq!(judged[0].finding.rule, "policy-broken");
    assert!(judged[0].finding.message.contains("example 2"), "{}", judged[0].finding.message);
}

/// A rule's name steers nothing, and the host's names are the host's.
#[test]
fn a_plugin_that_uses_a_rule_of_the_host_is_refused_or_renamed() {
    let denies = |guest: Guest, rule: &str| {
        let mut guest = guest;
        let finding = guest.finding(rule, 0, "it was broken");
        guest.exports("scope", &list(&finding, 1))
    };
    let input = serde_json::to_string(&files(1)).unwrap();
    let shown = r#"[{"rule":"policy-broken","severity":"deny","message":"it was broken"}]"#;
    let bytes = denies(Guest::new("liar"), "policy-broken").example("scope", &input, shown).build();
    let set = set_of(&[&bytes]);
    let reason = &set.broken()[0].reason;
    assert!(reason.contains("the rule policy-broken is the host's own"), "{reason}");

    let set = set_of(&[&denies(Guest::new("liar"), "policy-broken").build()]);
    let judged = set.scope(&files(1));
    assert_eq!((judged[0].finding.rule.as_str(), judged[0].broken), ("x-policy-broken", false));
    let set = set_of(&[&denies(Guest::new("honest"), "tests-weakened").build()]);
    assert_eq!(set.scope(&files(1))[0].finding.rule, "tests-weakened");
}

#[test]
fn the_failure_rule_of_each_interface_holds() {
    let trap = |interface| Guest::new("bad").exports(interface, "(unreachable)").build();
    let verify = model::types::VerifyInput {
        job: job(),
        changes: files(1).changes,
        checks: Vec::new(),
        agent: model::types::AgentOutcome {
            ended: model::types::AgentEnd::Completed,
            turns: 1,
            tool_calls: 0,
            permission_denials: 0,
            claim: String::new(),
            commands: Vec::new(),
        },
    };
    let scope = set_of(&[&trap("scope")]);
    assert_eq!(scope.scope(&files(1))[0].finding.severity, Severity::Deny);
    assert!(scope.take_decisions()[0].error.is_some());
    assert_eq!(set_of(&[&trap("verifier")]).verify(&verify)[0].finding.severity, Severity::Deny);

    let output = CommandOutput {
        name: "unit".into(),
        command: "make".into(),
        exit_code: Some(0),
        output: "ok".into(),
        reports: Vec::new(),
    };
    let facts = set_of(&[&trap("signals")]).signals(&output);
    assert!(facts.signals.is_empty());
    assert!(facts.notes[0].contains("bad@1.0.0: failed, skipped"), "{:?}", facts.notes);

    let reason = set_of(&[&trap("redaction")]).find_secrets("text\n", &[]).unwrap_err();
    assert!(reason.contains("bad@1.0.0 could not look for secrets"), "{reason}");

    let draft = Draft { stable: "s".into(), body: "do it".into() };
    let input = PromptInput { job: job(), draft: draft.clone(), repair: None, fence: "f".into() };
    let shaped = set_of(&[&trap("prompt")]).shape(&input);
    assert_eq!(shaped.draft, draft);
    assert_eq!(shaped.notes.len(), 1);

    // A file that cannot even be read counts as one that may deny: every job is verified.
    let junk = set_of(&[b"junk"]);
    assert!(junk.scope(&files(1)).is_empty());
    assert_eq!(junk.verify(&verify)[0].finding.rule, "policy-broken");
    // One bad plugin does not stop the others.
    let good = Guest::new("good").denies_over(0).build();
    let mixed = set_of(&[&trap("signals"), b"junk", &good]);
    assert_eq!(mixed.names(), ["bad@1.0.0", "good@1.0.0"]);
    assert_eq!(mixed.scope(&files(1))[0].plugin, "good@1.0.0");
}

#[test]
fn spans_that_lie_withhold_the_text() {
    let text = "ab é cd\nsecond line\n";
    let cases: [(&[(u32, u32)], Option<&str>); 8] = [
        (&[(0, 2)], None),
        (&[(0, 2), (5, 7)], None),
        (&[(2, 2)], Some("is empty or out of the text")),
        (&[(3, 1)], Some("is empty or out of the text")),
        (&[(0, 999)], Some("is empty or out of the text")),
        (&[(0, 3), (2, 4)], Some("begins before the one before ends")),
        (&[(4, 6)], Some("is not on character borders")),
        (&[(6, 10)], Some("covers a line end")),
    ];
    for (spans, expected) in cases {
        let mut guest = Guest::new("liar");
        let (rule, rule_len) = guest.text("r");
        let mut records = Vec::new();
        for &(start, end) in spans {
            for value in [start, end, rule as u32, rule_len as u32] {
                records.extend_from_slice(&value.to_le_bytes());
            }
        }
        let at = guest.bytes(&records);
        let bytes = guest.exports("redaction", &found(&format!("(i32.const {at})"), spans.len())).build();
        let got = set_of(&[&bytes]).find_secrets(text, &[]);
        match (expected, got) {
            (None, Ok((got, _))) => assert_eq!(got.len(), spans.len()),
            (Some(expected), Err(reason)) => assert!(reason.contains(expected), "{spans:?}: {reason}"),
            (_, got) => panic!("{spans:?}: {got:?}"),
        }
    }
}

#[test]
fn text_of_a_plugin_is_cleaned_and_capped() {
    let mut guest = Guest::new("writer");
    let finding = guest.finding("Weird Rule!", 1, "bidi \u{202e} escape \u{1b}[31m red\nnext line");
    let bytes = guest.exports("scope", &list(&finding, 1)).build();
    let judged = set_of(&[&bytes]).scope(&files(1));
    assert_eq!(judged[0].finding.rule, "weird-rule-");
    let message = &judged[0].finding.message;
    assert!(!message.contains(['\u{202e}', '\u{1b}', '\n']), "{message:?}");
}

#[test]
fn limits_are_the_operators() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = Guest::new("slow").exports("scope", "(loop $l (br $l)) (unreachable)").build();
    std::fs::write(directory.path().join("slow.wasm"), bytes).unwrap();
    let mut settings = alone(directory.path());
    settings.tables.insert("slow".into(), serde_json::json!({"limits": {"deadline_ms": 30}}));
    let judged = super::PolicySet::load(&settings).scope(&files(1));
    assert!(
        judged[0].finding.message.contains("slow@1.0.0")
            && judged[0].finding.message.contains("deadline of 30 ms")
    );

    settings.tables.insert("slow".into(), serde_json::json!({"limits": {"deadline": 30}}));
    let set = super::PolicySet::load(&settings);
    assert!(set.broken()[0].reason.contains("[plugins.slow] limits: unknown field `deadline`"));
}

#[test]
fn an_instance_that_a_call_made_grow_does_not_fail_the_next_one() {
    // Takes 40 MiB in every call and gives none back, as a heap does.
    let body = format!(
        "(if (i32.eq (memory.grow (i32.const 640)) (i32.const -1)) (then (unreachable))) {}",
        list("(i32.const 0)", 0)
    );
    let plugin = plugin(&Guest::new("fat").exports("scope", &body).build()).unwrap();
    for call in 0..4 {
        let answer = plugin.ask(Question::Scope(&files(1)), 100).answer;
        assert!(answer.is_ok(), "call {call}: {answer:?}");
    }
}

#[test]
fn what_a_policy_logs_is_recorded_capped_and_never_of_redaction() {
    let noisy = |interface: &'static str| {
        let mut guest = Guest::new("noisy");
        let (at, len) = guest.text("boom \u{1b}[31m\u{202e}");
        let call = format!("(call $log (i32.const 3) (i32.const {at}) (i32.const {len}))");
        // 64 KiB hold some 4,000 of these lines; the rest is counted.
        let body = format!(
            "(local $n i32) (loop $more {call} (local.set $n (i32.add (local.get $n) (i32.const 1)))
               (br_if $more (i32.lt_u (local.get $n) (i32.const 10000)))) (unreachable)"
        );
        guest.exports(interface, &body).build()
    };
    let set = set_of(&[&noisy("scope")]);
    set.scope(&files(1));
    let decision = &set.take_decisions()[0];
    assert!(decision.error.is_some());
    assert_eq!(decision.log[0], "error: boom");
    assert!(decision.log.len() < 5_000);
    assert_eq!(decision.log.len() as u64 + decision.log_dropped, 10_000);

    let set = set_of(&[&noisy("redaction")]);
    set.find_secrets("a secret\n", &[]).unwrap_err();
    assert!(set.take_decisions()[0].log.is_empty());
}

#[test]
fn examples_without_end_are_refused() {
    // More than there is time for; the limit is that of all examples together.
    let mut guest = Guest::new("slow").exports("scope", &list("(i32.const 0)", 0));
    let input = serde_json::to_string(&files(0)).unwrap();
    for _ in 0..3 {
        guest = guest.example("scope", &input, "[]");
    }
    let runtime = Settings::default().runtime().unwrap();
    let bytes = guest.build();
    let prepared = Prepared::new(&runtime, &bytes, digest(&bytes)).unwrap();
    assert_eq!(prepared.prove_within(Duration::from_secs(60)), Ok(3));
    let refusal = prepared.prove_within(Duration::ZERO).unwrap_err().to_string();
    assert_eq!(refusal, "its examples take too long: 0 of 3 ran within 0 s");
}
