//! A replay finds exactly the planted flips.

use super::super::plugin::{Plugin, Table};
use super::super::replay::{self, Recorded, Verdict};
use super::guest::Guest;
use super::{alone, files, set_of};
use crate::load::Settings;
use crate::set::PolicySet;
use model::types::{Budget, FileRole, MutationInput, PassedCheck, TextFile};

fn plugin(guest: Guest) -> Plugin {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("candidate.wasm");
    std::fs::write(&file, guest.build()).unwrap();
    Plugin::from_file(&Settings::default().runtime().unwrap(), &file, &Table::default()).unwrap()
}

/// Jobs of 1 to 6 files, judged by `few` (at most 3), as lines of a file.
fn recorded() -> Vec<(String, String)> {
    (1..=6)
        .map(|count| {
            let set = set_of(&[&Guest::new("few").denies_over(3).build()]);
            set.scope(&files(count));
            // The second pass of the same job, on the same input: recorded without its input.
            set.scope(&files(count));
            let decisions = set.take_decisions();
            let lines: Vec<_> = decisions.iter().map(|d| serde_json::to_string(d).unwrap()).collect();
            (format!("job{count}"), lines.join("\n"))
        })
        .collect()
}

fn read(jobs: &[(String, String)]) -> Vec<(String, Recorded)> {
    jobs.iter().map(|(job, text)| (job.clone(), replay::read(text))).collect()
}

#[test]
fn exactly_the_planted_flips_are_found() {
    let jobs = recorded();
    assert!(
        jobs[0].1.lines().nth(1).is_some_and(|line| !line.contains("\"input\":")),
        "inputs are kept once"
    );
    let jobs = read(&jobs);
    let flips = |most| {
        let replay = replay::replay(&plugin(Guest::new("few").version("2.0.0").denies_over(most)), &jobs);
        assert_eq!((replay.asked, replay.failed, replay.not_replayable), (6, 0, 0));
        assert_eq!((replay.damaged, replay.unreadable), (0, 0));
        assert_eq!(replay.same as usize + replay.flips.len(), 6);
        replay.flips.iter().map(|f| (f.job.clone(), f.before, f.after)).collect::<Vec<_>>()
    };
    assert_eq!(flips(3), []);
    assert_eq!(flips(4), [("job4".to_owned(), Verdict::Deny, Verdict::Allow)]);
    assert_eq!(
        flips(1),
        [
            ("job2".to_owned(), Verdict::Allow, Verdict::Deny),
            ("job3".to_owned(), Verdict::Allow, Verdict::Deny)
        ]
    );
}

#[test]
fn a_newcomer_is_measured_beside_the_others_and_deny_to_allow_comes_first() {
    let jobs = read(&recorded());
    let replay = replay::replay(&plugin(Guest::new("other").denies_over(1)), &jobs);
    let flips: Vec<_> = replay.flips.iter().map(|f| (f.job.as_str(), f.before, f.after)).collect();
    assert_eq!(flips, [("job2", Verdict::Allow, Verdict::Deny), ("job3", Verdict::Allow, Verdict::Deny)]);

    // One that denies small changes instead of large ones flips both ways.
    let mut upside_down = Guest::new("few");
    let finding = upside_down.finding("too-few", 0, "too few files changed");
    let body = format!(
        "(if (result i32) (i32.lt_u (i32.load offset=72 (local.get 0)) (i32.const 3)) (then {}) (else {}))",
        super::guest::list(&finding, 1),
        super::guest::list("(i32.const 0)", 0)
    );
    let replay = replay::replay(&plugin(upside_down.exports("scope", &body)), &jobs);
    let flips: Vec<_> = replay.flips.iter().map(|f| (f.job.as_str(), f.before)).collect();
    assert_eq!(
        flips,
        [
            ("job4", Verdict::Deny),
            ("job5", Verdict::Deny),
            ("job6", Verdict::Deny),
            ("job1", Verdict::Allow),
            ("job2", Verdict::Allow)
        ]
    );
}

#[test]
fn a_call_that_ended_on_a_limit_is_no_verdict() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = Guest::new("few").exports("scope", "(loop $l (br $l)) (unreachable)").build();
    std::fs::write(directory.path().join("few.wasm"), bytes).unwrap();
    let mut settings = alone(directory.path());
    settings.tables.insert("few".into(), serde_json::json!({"limits": {"deadline_ms": 20}}));
    let set = super::PolicySet::load(&settings);
    set.scope(&files(1));
    let decisions = set.take_decisions();
    let jobs = [("job".to_owned(), Recorded { decisions, ..Recorded::default() })];
    let replay = replay::replay(&plugin(Guest::new("few").denies_over(3)), &jobs);
    assert_eq!((replay.asked, replay.no_verdict, replay.flips.len()), (0, 1, 0));
}

#[test]
fn a_record_that_was_changed_or_cut_is_counted_and_not_replayed() {
    let mut jobs = recorded();
    // Another file name: the input is no longer what was judged.
    jobs[4].1 = jobs[4].1.replacen("src/0000.rs", "src/9999.rs", 1);
    // The end of the file is missing, as after a full disk.
    let half = jobs[5].1.len() / 2;
    jobs[5].1.truncate(half);
    let replay = replay::replay(&plugin(Guest::new("few").denies_over(9)), &read(&jobs));
    assert_eq!((replay.damaged, replay.unreadable), (1, 1));
    assert_eq!((replay.asked, replay.not_replayable), (4, 1));
    let flips: Vec<_> = replay.flips.iter().map(|flip| flip.job.as_str()).collect();
    assert_eq!(flips, ["job4"], "what is damaged is no flip");
}

/// Mutants are recorded, replayed and made in shadow like any other answer.
#[test]
fn mutants_are_replayed_and_made_in_shadow() {
    let shipped = crate::shipped::COMPONENTS.iter().find(|(name, _)| *name == "mutation");
    let bytes = shipped.expect("plugins/dist holds it").1;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mutation.wasm");
    std::fs::write(&file, bytes).unwrap();
    let test = "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_add(self):\n        self.assertEqual(1 + 1, 2)\n";
    let input = MutationInput {
        checks: vec![PassedCheck {
            name: "unit".into(),
            command: "python3 -m unittest".into(),
            ..PassedCheck::default()
        }],
        files: vec![TextFile { path: "test_a.py".into(), content: test.into(), role: FileRole::Test }],
        budget: Budget { max_mutants: 5, max_bytes: 1_000 },
        ..MutationInput::default()
    };
    let lines = |set: &PolicySet| {
        let decisions = set.take_decisions();
        decisions.iter().map(|d| serde_json::to_string(d).unwrap()).collect::<Vec<_>>().join("\n")
    };
    let set = set_of(&[bytes]);
    let (made, notes) = set.mutants(&input);
    assert_eq!((made.mutants.len(), notes.len()), (1, 0), "{made:?} {notes:?}");
    let jobs = read(&[("job".to_owned(), lines(&set))]);
    let candidate =
        Plugin::from_file(&Settings::default().runtime().unwrap(), &file, &Table::default()).unwrap();
    let replay = replay::replay(&candidate, &jobs);
    assert_eq!((replay.asked, replay.same, replay.differs, replay.failed), (1, 1, 0, 0));
    let mut settings = alone(directory.path());
    settings.tables.insert("mutation".into(), serde_json::json!({"mode": "shadow"}));
    let set = PolicySet::load(&settings);
    assert!(set.mutants(&input).0.mutants.is_empty(), "shadow alters nothing");
    let recorded = lines(&set);
    assert!(recorded.contains("\"shadow\"") && recorded.contains("expected-value"), "{recorded}");
}
