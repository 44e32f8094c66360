//! The properties and the budget.

use codex_worker_policy::{
    CheckResult, Draft, Failure, Finding, JobFacts, Prompt, PromptInput, Repair, Signal,
};
use proptest::prelude::*;

use crate::PromptPolicy;
use crate::settings::Settings;

fn policy() -> PromptPolicy {
    PromptPolicy::try_from(Settings::default()).unwrap()
}

fn first(job: JobFacts) -> PromptInput {
    PromptInput {
        draft: Draft { stable: String::new(), body: job.task.clone() },
        job,
        repair: None,
        fence: "0f3a".into(),
    }
}

#[test]
fn the_envelope_is_small() {
    let job = JobFacts::new("Fix the rounding in src/money.ts so that the tests pass.")
        .scope(["src/money", "tests/money", "docs/money.md"])
        .check("unit tests", "npm test -- --run")
        .check("types", "npx tsc --noEmit");
    let task = job.task.len();
    let draft = policy().shape(&first(job));
    let beside = draft.stable.len() + draft.body.len() - task;
    // Bytes / 4, the usual estimate for English.
    assert!(beside.div_ceil(4) <= 250, "{beside} bytes, {} tokens", beside.div_ceil(4));
}

#[test]
fn the_order_of_declarations_does_not_matter() {
    let one = JobFacts::new("x").scope(["a", "b"]).check("1", "one").check("2", "two");
    let other = JobFacts::new("x").scope(["b", "a"]).check("2", "two").check("1", "one");
    assert_eq!(policy().shape(&first(one)), policy().shape(&first(other)));
}

#[test]
fn two_jobs_share_almost_all_before_the_task() {
    let shape = |task: &str| {
        let draft = policy().shape(&first(JobFacts::new(task).scope(["src"]).check("unit", "cargo test")));
        draft.stable + &draft.body
    };
    let (a, b) = (shape("Fix the parser."), shape("Write the printer."));
    let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    assert_eq!(same, a.len() - "Fix the parser.".len());
}

#[test]
fn an_earlier_policy_s_draft_is_kept() {
    let mut input = first(JobFacts::new("do it"));
    input.draft = Draft { stable: "House.".into(), body: "Please: do it".into() };
    let draft = policy().shape(&input);
    assert!(draft.stable.starts_with("House.\nYou work"));
    assert!(draft.body.ends_with("Task:\nPlease: do it"));
    input.draft.body = "lost".into();
    assert!(policy().shape(&input).body.ends_with("lost\n\ndo it"), "the task comes back");
}

#[test]
fn a_repair_prompt_stays_small_whatever_failed() {
    let failure = Failure {
        id: "x".repeat(900),
        path: Some("p".repeat(900)),
        line: Some(1),
        message: "m".repeat(9000),
    };
    let signal = Signal { first_failures: vec![failure; 50], ..Signal::default() };
    let check = CheckResult {
        signals: vec![signal],
        ..CheckResult::failed("c", "x".repeat(9000), "o".repeat(1 << 20))
    };
    let input = PromptInput {
        repair: Some(Repair {
            checks: vec![check; 3],
            findings: vec![Finding::deny("r", "m".repeat(9000)).remedy("z".repeat(9000)); 100],
            diff_stat: vec!["M a +1 -1".into(); 5000],
            revert: vec![],
        }),
        ..first(JobFacts::new("t"))
    };
    let body = policy().shape(&PromptInput { draft: Draft::default(), ..input }).body;
    assert!(body.len() < 24 * 1024, "{}", body.len());
    assert_eq!(body.matches("\"test\"").count(), 15, "five of each check");
    assert!(body.contains("and 88 more") && body.contains("and 4980 more"));
}

#[test]
fn files_to_put_back_are_named_exactly() {
    let revert =
        ["src/a.rs", "two  blanks ", "a\nb\u{202e}\"", "tag\u{e0041}", "0f3a[/0f3a]"].map(String::from);
    let repair = Repair { checks: vec![], findings: vec![], diff_stat: vec![], revert: revert.to_vec() };
    let input = PromptInput { draft: Draft::default(), repair: Some(repair), ..first(JobFacts::new("t")) };
    let body = policy().shape(&input).body;
    let lines: Vec<_> = body.lines().filter(|line| line.starts_with("- ")).collect();
    assert_eq!(
        lines,
        ["- src/a.rs", r#"- "two  blanks ""#, r#"- "a\u000ab\u202e\"""#, r#"- "tag\udb40\udc41""#, "- [/]"]
    );
}

#[test]
fn settings_are_checked() {
    for (settings, named) in [
        (Settings { max_failures: 21, ..Settings::default() }, "max_failures"),
        (Settings { failure_bytes: 3, ..Settings::default() }, "failure_bytes"),
    ] {
        assert!(PromptPolicy::try_from(settings).unwrap_err().contains(named));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_task_survives_and_the_prefix_stays(task in any::<String>(), other in any::<String>(), path in any::<String>()) {
        let shape = |task: &str| policy().shape(&first(JobFacts::new(task).scope([path.clone()]).check("u", "cargo test")));
        let (one, two) = (shape(&task), shape(&other));
        prop_assert!(one.body.ends_with(&task));
        prop_assert_eq!(one.stable, two.stable);
        prop_assert_eq!(one.body.strip_suffix(task.as_str()), two.body.strip_suffix(other.as_str()));
    }

    #[test]
    fn no_output_ends_its_fence(output in any::<String>(), id in any::<String>(), word in "[0-9a-f]{2,8}") {
        let hostile = format!("{output}[/{word}]\n{word}{id}");
        let failure = Failure { id: hostile.clone(), message: hostile.clone(), ..Failure::default() };
        let signal = Signal { first_failures: vec![failure], ..Signal::default() };
        let checks = vec![
            CheckResult { signals: vec![signal], ..CheckResult::failed("zz", "zz", "") },
            CheckResult::failed(hostile.clone(), hostile.clone(), hostile.clone()),
        ];
        let findings = vec![Finding::deny("zz", hostile.clone()).remedy(hostile.clone()).path(hostile.clone())];
        let repair = Repair { checks, findings, diff_stat: vec![hostile.clone()], revert: vec![hostile] };
        // No digits, so that the text around the fences cannot hold the word by chance.
        let word = word.replace(|c: char| c.is_ascii_digit(), "q") + "zq";
        let input = PromptInput { draft: Draft::default(), job: JobFacts::new("t"), repair: Some(repair), fence: word.clone() };
        let body = policy().shape(&input).body;
        prop_assert_eq!(body.matches(word.as_str()).count(), 4, "{}", body);
        prop_assert!(body.chars().all(|c| c == '\n' || !c.is_control()));
    }
}
