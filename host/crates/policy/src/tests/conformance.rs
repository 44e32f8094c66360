//! The conformance properties: kept by the shipped policies, broken by policies that break them.

use super::super::conformance::{Tried, try_all};
use super::super::plugin::{Origin, Plugin, Prepared, Table};
use super::super::record::digest;
use super::guest::{Guest, found, list};
use crate::limits::Limits;
use crate::load::Settings;
use crate::lock::Mode;
use crate::shipped;

fn tried(bytes: &[u8]) -> Vec<Tried> {
    let runtime = Settings::default().runtime().unwrap();
    let prepared = Prepared::new(&runtime, bytes, digest(bytes)).unwrap();
    let examples = prepared.examples().unwrap();
    // The speed of a busy machine is not what these tests are about.
    let patient = Limits { deadline_ms: 120_000, ..Limits::default() };
    let table = Table { limits: patient, ..Table::default() };
    let plugin: Plugin = prepared.into_plugin(Origin::Shipped, Mode::Enforce, &table).unwrap();
    try_all(&plugin, &examples)
}

fn broken(bytes: &[u8]) -> Vec<&'static str> {
    tried(bytes).into_iter().filter(|tried| tried.broken.is_some()).map(|tried| tried.property).collect()
}

#[test]
fn the_shipped_policies_keep_the_conformance_properties() {
    for (name, bytes) in shipped::COMPONENTS {
        let tried = tried(bytes);
        let broken: Vec<_> = tried.iter().filter(|tried| tried.broken.is_some()).collect();
        assert!(tried.len() >= 2 && broken.is_empty(), "{name}: {broken:#?}");
    }
}

#[test]
fn policies_that_break_a_property_are_named() {
    // Says something only the first time.
    let mut moody = Guest::new("moody");
    let finding = moody.finding("first", 1, "the first call");
    let body = format!(
        "(if (result i32) (i32.load8_u (i32.const 1000)) (then {}) (else (i32.store8 (i32.const 1000) (i32.const 1)) {}))",
        list("(i32.const 0)", 0),
        list(&finding, 1)
    );
    let moody = moody.exports("scope", &body).build();
    assert!(broken(&moody).contains(&"the same input gives the same bytes twice and in a fresh instance"));

    // Denies an empty change and nothing else: a way to buy an allow with one more file.
    let mut upside_down = Guest::new("upside-down");
    let finding = upside_down.finding("few", 0, "too few");
    let body = format!(
        "(if (result i32) (i32.lt_u (i32.load offset=72 (local.get 0)) (i32.const 4)) (then {}) (else {}))",
        list(&finding, 1),
        list("(i32.const 0)", 0)
    );
    let upside_down = upside_down.exports("scope", &body).build();
    assert_eq!(broken(&upside_down), ["another file out of scope never turns deny into allow"]);

    // Masks the first two bytes of every text: neither idempotent nor gentle, and it falls
    // over a text that is shorter.
    let mut blunt = Guest::new("blunt");
    let (rule, _) = blunt.text("r");
    let mut span = Vec::new();
    for value in [0, 2, rule as u32, 1] {
        span.extend_from_slice(&u32::to_le_bytes(value));
    }
    let at = blunt.bytes(&span);
    let blunt = blunt.exports("redaction", &found(&format!("(i32.const {at})"), 1)).build();
    assert!(broken(&blunt).contains(&"lines without a secret are left alone"));
}

#[test]
fn the_shipped_envelope_is_under_250_tokens_beside_the_task() {
    use crate::ask::{Answer, Question};
    use model::types::{CheckSpec, Draft, JobFacts, PromptInput, ScopeDeclaration};

    let (_, bytes) = shipped::COMPONENTS.iter().find(|(name, _)| *name == "prompt").unwrap();
    let runtime = Settings::default().runtime().unwrap();
    let plugin = Prepared::new(&runtime, bytes, digest(bytes))
        .and_then(|prepared| prepared.into_plugin(Origin::Shipped, Mode::Enforce, &Table::default()))
        .unwrap();
    let task = "Fix the rounding in src/money.ts so that the tests pass.";
    let check = |name: &str, command: &str| CheckSpec { name: name.into(), command: command.into() };
    let job = JobFacts {
        task: task.into(),
        scope: Some(ScopeDeclaration {
            paths: ["src/money", "tests/money", "docs/money.md"].map(String::from).to_vec(),
            max_diff_bytes: None,
        }),
        checks: vec![check("unit tests", "npm test -- --run"), check("types", "npx tsc --noEmit")],
        ..super::job()
    };
    let draft = Draft { stable: String::new(), body: task.into() };
    let input = PromptInput { job, draft, repair: None, fence: "f00d".into() };
    let Ok(Answer::Draft(draft)) = plugin.ask(Question::Prompt(&input), 0).answer else { panic!("no draft") };
    // As the models of OpenAI count; others' tokenizers are close for English.
    let tokenizer = tiktoken::get_encoding("o200k_base").unwrap();
    let tokens = |text: &str| tokenizer.count(text);
    let beside = tokens(&(draft.stable + &draft.body)) - tokens(task);
    assert!(beside < 250, "{beside} tokens");
}
