//! Which mutants are made: of the tests that a check surely runs, those that have to do with
//! the change first, spread over files and tests, within the budget; and what is said of
//! the rest.

use std::collections::{BTreeMap, BTreeSet};

use codex_worker_policy::{
    FileRole, Mutant, MutantKind, Mutants, MutationInput, NotMutated, PassedCheck, TextFile, Tier,
};

use crate::commands::{self, Plan, Runner};
use crate::language::{self, extension};
use crate::oracle::{self, Candidate, Found};
use crate::recorded::{self, Recorded};
use crate::source::{LineIndex, Source};
use crate::{blocks, body, shell};

/// A larger file is nobody's handwriting; it is not mutated.
const MAX_FILE: usize = 1024 * 1024;
/// The most recorded expectations whose tests are looked for.
const MAX_RECORDED: usize = 100;
/// The most comparisons of a test's name with the names that a report has.
const MAX_COMPARED: usize = 1_000_000;
/// The most sentences about what could not be mutated, for each check.
const MAX_REASONS: usize = 20;

/// What was found in one file.
struct Analysed {
    found: Found,
    /// It could not be read.
    broken: Option<String>,
}

/// A test file with the checks that run it.
struct Played<'a> {
    file: &'a TextFile,
    /// Candidates, the most telling first, with the checks that run each.
    candidates: Vec<(Candidate, Vec<usize>)>,
    checks: Vec<usize>,
    /// How near it is to the change: less is nearer.
    distance: u8,
    /// Every check that runs it stops at its first failure.
    stops: bool,
}

pub fn mutate(input: &MutationInput) -> Mutants {
    let plans: Vec<Plan> = input.checks.iter().map(|check| commands::plan(check, &input.files)).collect();
    let mut notes = Notes::new(&input.checks);
    let mut played = play(input, &plans, &mut notes);
    played.sort_by_key(|played| played.distance);
    let mut budget = Budget::new(input);
    let mut mutants = pick(input, &played, &mut budget);
    for (at, check) in input.checks.iter().enumerate() {
        if !mutants.iter().any(|mutant| mutant.checks.contains(&check.name)) {
            notes.none(at, check, &plans[at], &played);
        }
    }
    if matches!(input.tier, Tier::Strict | Tier::Critical) {
        mutants.extend(emptied(input, &mutants, &mut budget));
    }
    Mutants { mutants, not_mutated: notes.said }
}

/// What is left of the budget.
struct Budget {
    mutants: usize,
    bytes: u64,
}

impl Budget {
    fn new(input: &MutationInput) -> Self {
        Budget { mutants: input.budget.max_mutants as usize, bytes: input.budget.max_bytes }
    }

    fn take(&mut self, text: &str) -> bool {
        let fits = self.mutants > 0 && text.len() as u64 <= self.bytes;
        if fits {
            self.mutants -= 1;
            self.bytes -= text.len() as u64;
        }
        fits
    }
}

/// What could not be mutated.
struct Notes {
    said: Vec<NotMutated>,
    counts: Vec<usize>,
}

impl Notes {
    fn new(checks: &[PassedCheck]) -> Self {
        Notes { said: Vec::new(), counts: vec![0; checks.len()] }
    }

    fn file(&mut self, at: usize, check: &PassedCheck, path: &str, reason: &str) {
        self.counts[at] += 1;
        match self.counts[at].cmp(&MAX_REASONS) {
            std::cmp::Ordering::Less => self.said.push(NotMutated::new(&check.name, reason).path(path)),
            std::cmp::Ordering::Equal => {
                self.said.push(NotMutated::new(&check.name, "more of its test files could not be mutated"));
            }
            std::cmp::Ordering::Greater => {}
        }
    }

    /// A check without any mutant.
    fn none(&mut self, at: usize, check: &PassedCheck, plan: &Plan, played: &[Played<'_>]) {
        let seen = played.iter().any(|played| played.checks.contains(&at));
        let candidates =
            played.iter().any(|played| played.candidates.iter().any(|(_, checks)| checks.contains(&at)));
        let reason = if plan.runners.is_empty() {
            "it is not known to run tests, by its command or by what it printed"
        } else if plan.runners.iter().all(|runner| runner.opaque) {
            "its command selects tests in a way that is not understood"
        } else if candidates {
            "the budget was used for other checks"
        } else if !seen {
            "no test file that it surely runs was seen"
        } else {
            "no expected value, condition or exception that it surely reaches was found in its tests"
        };
        self.said.push(NotMutated::new(&check.name, reason));
    }
}

/// The test files that checks surely run, with what can be altered in them.
fn play<'a>(input: &'a MutationInput, plans: &[Plan], notes: &mut Notes) -> Vec<Played<'a>> {
    let near = Nearness::new(input);
    let mut played: Vec<Played<'a>> = Vec::new();
    for file in input.files.iter().filter(|file| recorded::kind(&file.path).is_none()) {
        let rust = extension(&file.path) == "rs";
        let running: Vec<(usize, &Runner)> = plans
            .iter()
            .enumerate()
            .flat_map(|(at, plan)| plan.runners.iter().map(move |runner| (at, runner)))
            .filter(|(_, runner)| !runner.opaque && speaks(runner, &file.path) && runner.runs(&file.path))
            .filter(|(_, runner)| runner.script || rust || file.role == FileRole::Test)
            .collect();
        if running.is_empty() {
            continue;
        }
        let script = running.iter().any(|(_, runner)| runner.script);
        let mut analysed = analyse(file, script);
        // Inline tests stand in files that most do not have.
        if analysed.found.tests == 0 && analysed.found.candidates.is_empty() && file.role != FileRole::Test {
            continue;
        }
        let changed = near.added.get(file.path.as_str());
        let candidates = std::mem::take(&mut analysed.found.candidates);
        let mut candidates: Vec<(Candidate, Vec<usize>)> = candidates
            .into_iter()
            .map(|candidate| {
                let checks = running
                    .iter()
                    .filter(|(_, runner)| runner.script || runner.runs_test(&file.path, &candidate.test))
                    .map(|(at, _)| *at);
                let checks: BTreeSet<usize> = checks.collect();
                (candidate, checks.into_iter().collect::<Vec<_>>())
            })
            .filter(|(_, checks)| !checks.is_empty())
            .collect();
        candidates.sort_by_key(|(candidate, _)| {
            let touched = changed.is_some_and(|lines| {
                lines.range(candidate.lines.0..=candidate.lines.1.max(candidate.lines.0)).next().is_some()
            });
            (!touched, candidate.cost)
        });
        let checks: BTreeSet<usize> = running.iter().map(|(at, _)| *at).collect();
        if candidates.is_empty() {
            let reason = analysed.broken.clone().unwrap_or_else(|| silence(&analysed.found));
            for at in &checks {
                notes.file(*at, &input.checks[*at], &file.path, &reason);
            }
        }
        played.push(Played {
            file,
            candidates,
            checks: checks.into_iter().collect(),
            distance: near.of(file),
            stops: running.iter().all(|(_, runner)| runner.stops),
        });
    }
    let recorded = record(input, &played, &near);
    played.extend(recorded);
    played
}

/// Why a file gave nothing.
fn silence(found: &Found) -> String {
    match (found.tests, found.skipped) {
        (0, _) => "no test was seen in it".to_owned(),
        (tests, skipped) if skipped >= tests => "all of its tests are skipped or expected to fail".to_owned(),
        _ => "no expected value, condition or exception that its tests surely reach was found".to_owned(),
    }
}

/// Whether a runner's language is the file's.
fn speaks(runner: &Runner, path: &str) -> bool {
    let shell = matches!(extension(path), "sh" | "bash" | "bats" | "");
    match language::of(path) {
        Some(language) => runner.language == language.name,
        None => runner.language == "shell" && (shell || runner.script),
    }
}

/// Whether the test surely ran, or a report says that it passed. A report never says that a
/// test did not run: code under test that writes a report of its own must not choose what is
/// altered.
fn reported(check: &PassedCheck, found: &Candidate) -> bool {
    if found.sure || found.test.is_empty() {
        return found.sure;
    }
    let name = Mutant { test: found.test.clone(), ..Mutant::default() };
    check.passed_tests.iter().any(|id| name.is_of_test(id))
        // A report may name a test without its suites.
        || found.test.last().is_some_and(|last| check.passed_tests.iter().any(|id| id == last))
}

/// Why a file may not be compiled at all on this machine, or with these features.
fn conditional(language: &str, file: &TextFile) -> bool {
    let head = || file.content.lines().take(60);
    match language {
        "Go" => {
            const SYSTEMS: &[&str] = &[
                "windows", "darwin", "linux", "freebsd", "openbsd", "netbsd", "plan9", "js", "wasip1",
                "android", "ios", "amd64", "arm64", "386", "arm", "wasm", "unix",
            ];
            let stem = file.path.strip_suffix("_test.go").unwrap_or_default();
            let system = stem.rsplit(['/', '_']).next().filter(|last| stem.ends_with(&format!("_{last}")));
            system.is_some_and(|last| SYSTEMS.contains(&last))
                || head()
                    .take_while(|line| !line.starts_with("package "))
                    .any(|line| line.starts_with("//go:build") || line.starts_with("// +build"))
        }
        "Rust" => head().any(|line| line.starts_with("#![cfg(")),
        _ => false,
    }
}

fn analyse(file: &TextFile, script: bool) -> Analysed {
    let broken = |reason: String| Analysed { found: Found::default(), broken: Some(reason) };
    if file.content.len() > MAX_FILE {
        return broken("it is larger than 1 MiB".to_owned());
    }
    let Some(language) = language::of(&file.path) else {
        return match shell::find(&file.path, &file.content) {
            Ok(found) => Analysed { found, broken: None },
            Err(error) => broken(format!(
                "it cannot be read as shell: {} (line {})",
                error.what,
                LineIndex::new(&file.content).of(error.at)
            )),
        };
    };
    if conditional(language.name, file) {
        return broken("it is compiled on some condition only".to_owned());
    }
    match Source::read(&file.content, language) {
        Err(error) => broken(format!(
            "it cannot be read as {}: {} (line {})",
            language.name,
            error.what,
            LineIndex::new(&file.content).of(error.at)
        )),
        Ok(source) if language.name == "Python" && blocks::python::skips_all(&source) => {
            broken("all of its tests are skipped or expected to fail".to_owned())
        }
        Ok(source) => Analysed { found: oracle::find(&source, script), broken: None },
    }
}

/// Snapshots and golden files of the tests that are played.
fn record<'a>(input: &'a MutationInput, played: &[Played<'a>], near: &Nearness<'_>) -> Vec<Played<'a>> {
    let mut found = Vec::new();
    let files =
        input.files.iter().filter(|file| file.role == FileRole::Test && file.content.len() <= MAX_FILE);
    let recorded = files.filter_map(|file| Some((file, recorded::kind(&file.path)?)));
    for (file, kind) in recorded.take(MAX_RECORDED) {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path);
        let owner = played.iter().find(|played| match &kind {
            Recorded::Jest(test) | Recorded::Syrupy(test) => played.file.path == *test,
            Recorded::Insta => {
                let directory = file.path.split("snapshots/").next().unwrap_or_default();
                played.file.path.starts_with(directory)
                    && played.file.path.ends_with(".rs")
                    && played.file.content.contains("_snapshot!")
            }
            Recorded::Golden => name.len() >= 5 && played.file.content.contains(name),
        });
        let Some(owner) = owner else { continue };
        let Some(edit) = recorded::alter(&kind, &file.content) else { continue };
        let candidate = Candidate {
            sure: true,
            line: LineIndex::new(&file.content).of(edit.range.0),
            edit,
            mutator: "recorded-value",
            test: Vec::new(),
            cost: oracle::OPPOSITE,
            lines: (1, u32::MAX),
        };
        found.push(Played {
            file,
            candidates: vec![(candidate, owner.checks.clone())],
            checks: owner.checks.clone(),
            distance: near.of(file).max(owner.distance),
            stops: owner.stops,
        });
    }
    found
}

/// How near files are to the change.
struct Nearness<'a> {
    /// The added lines of changed files.
    added: BTreeMap<&'a str, BTreeSet<u32>>,
    /// Names under which changed sources are imported.
    stems: BTreeSet<&'a str>,
}

impl<'a> Nearness<'a> {
    fn new(input: &'a MutationInput) -> Self {
        let mut added: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
        for file in &input.changes.files {
            added.insert(&file.path, file.added_text().map(|(line, _)| line).collect());
        }
        let sources = input.files.iter().filter(|file| file.role == FileRole::Source);
        Nearness { added, stems: sources.filter_map(|file| stem(&file.path)).collect() }
    }

    fn of(&self, file: &TextFile) -> u8 {
        if self.added.contains_key(file.path.as_str()) {
            return 0;
        }
        if file.content.len() > MAX_FILE {
            return 2;
        }
        // Words of the text, each looked up once.
        let words = file.content.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'));
        if words.filter(|word| word.len() >= 2).any(|word| self.stems.contains(word)) { 1 } else { 2 }
    }
}

/// The name under which a source is imported.
fn stem(path: &str) -> Option<&str> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.split('.').next().unwrap_or(name);
    let generic = matches!(stem, "index" | "mod" | "__init__" | "main" | "lib");
    let stem = if generic { directory.rsplit('/').next().unwrap_or_default() } else { stem };
    (stem.len() >= 2).then_some(stem)
}

/// Takes candidates within the budget.
struct Picker<'a> {
    input: &'a MutationInput,
    played: &'a [Played<'a>],
    taken: BTreeSet<(usize, usize)>,
    chosen: Vec<Mutant>,
    /// The checks that have a mutant.
    covered: BTreeSet<usize>,
    compared: usize,
}

impl Picker<'_> {
    /// The checks that run a candidate, by the command and by the report.
    fn checks(&mut self, file: usize, candidate: usize) -> Vec<usize> {
        let (found, checks) = &self.played[file].candidates[candidate];
        let mut running = Vec::new();
        for at in checks {
            let check = &self.input.checks[*at];
            self.compared += check.passed_tests.len();
            if self.compared <= MAX_COMPARED && reported(check, found) {
                running.push(*at);
            }
        }
        running
    }

    /// Takes a candidate; false if it is taken already, no check runs it, or it does not fit.
    fn take(&mut self, file: usize, candidate: usize, wanted: Option<usize>, budget: &mut Budget) -> bool {
        if self.taken.contains(&(file, candidate)) {
            return false;
        }
        let checks = self.checks(file, candidate);
        let (found, _) = &self.played[file].candidates[candidate];
        if checks.is_empty() || wanted.is_some_and(|wanted| !checks.contains(&wanted)) {
            return false;
        }
        if !budget.take(&found.edit.text) {
            return false;
        }
        self.taken.insert((file, candidate));
        let names = checks.iter().map(|at| self.input.checks[*at].name.clone()).collect();
        self.covered.extend(checks);
        self.chosen.push(Mutant {
            kind: MutantKind::Oracle,
            path: self.played[file].file.path.clone(),
            start: found.edit.range.0 as u32,
            end: found.edit.range.1 as u32,
            text: found.edit.text.clone(),
            line: found.line,
            mutator: found.mutator.to_owned(),
            altered: found.edit.altered.clone(),
            checks: names,
            test: found.test.clone(),
        });
        true
    }
}

/// First one mutant for each check, then one of each file, and so on in rounds.
fn pick(input: &MutationInput, played: &[Played<'_>], budget: &mut Budget) -> Vec<Mutant> {
    let mut picker = Picker {
        input,
        played,
        taken: BTreeSet::new(),
        chosen: Vec::new(),
        covered: BTreeSet::new(),
        compared: 0,
    };
    for check in 0..input.checks.len() {
        if picker.covered.contains(&check) {
            continue;
        }
        let files = played.iter().enumerate().filter(|(_, played)| played.checks.contains(&check));
        'files: for (file, played) in files {
            for candidate in 0..played.candidates.len() {
                if budget.mutants == 0 || picker.take(file, candidate, Some(check), budget) {
                    break 'files;
                }
            }
        }
    }
    // One alteration shows whether a check can fail.
    if input.tier == Tier::Lite {
        return picker.chosen;
    }
    let rounds = played.iter().map(|played| played.candidates.len()).max().unwrap_or(0);
    // A place for each file and round; what a file has no longer costs nothing.
    let mut open: Vec<usize> = (0..played.len()).filter(|file| !played[*file].stops).collect();
    for round in 0..rounds {
        open.retain(|file| round < played[*file].candidates.len());
        for file in &open {
            if budget.mutants == 0 {
                return picker.chosen;
            }
            picker.take(*file, round, None, budget);
        }
    }
    picker.chosen
}

/// Changed functions that return at once.
fn emptied(input: &MutationInput, oracles: &[Mutant], budget: &mut Budget) -> Vec<Mutant> {
    let checks: BTreeSet<&String> = oracles.iter().flat_map(|mutant| &mutant.checks).collect();
    if checks.is_empty() {
        return Vec::new();
    }
    let most = if input.tier == Tier::Critical { 6 } else { 3 };
    let near = Nearness::new(input);
    let mut mutants = Vec::new();
    for file in
        input.files.iter().filter(|file| file.role == FileRole::Source && file.content.len() <= MAX_FILE)
    {
        let Some(lines) = near.added.get(file.path.as_str()) else { continue };
        let Some(language) = language::of(&file.path) else { continue };
        let Ok(source) = Source::read(&file.content, language) else { continue };
        let lines: Vec<u32> = lines.iter().copied().collect();
        for found in body::find(&source, &lines) {
            if mutants.len() >= most || !budget.take(&found.text) {
                return mutants;
            }
            let range = found.range.0..found.range.1;
            let mutant = Mutant::source(file, range, found.text, found.altered);
            mutants.push(Mutant {
                kind: MutantKind::Source,
                checks: checks.iter().map(|name| (*name).clone()).collect(),
                ..mutant
            });
        }
    }
    mutants
}
