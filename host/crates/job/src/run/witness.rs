//! A check is evidence if it was seen to fail when it should: further runs of the checks that
//! passed, on altered trees. How many there are is the tier's and the configuration's choice;
//! each respects the check's time limit and the job's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::checks::{Checked, shown};
use super::guard::environment_dependent;
use super::pass::PassContext;
use super::tree_run::{Overlay, TreeRun};
use crate::worker::blocking;
use evidence::{Recorded, Recorder};
use model::error::Result;
use model::spec::{CheckCommand, Tier};
use model::types::{
    Budget, ChangedFile, CheckResult, CheckStatus, FileKind, FileRole, Mutant, MutantKind, MutationInput,
    PassedCheck, Severity, Signal, TextFile, UNCOUNTED,
};
use verify::checks::{Ran, Variables};
use verify::guard;
use verify::out_of_band::Reports;
use verify::outcome::{CheckEvidence, HostRule, MutantOutcome, Verdict, deny_from};

/// Time that must be left besides what the further runs may take.
const SPARE: Duration = Duration::from_secs(10);
/// Mutants of one overlay, and bytes of their replacement texts.
const MUTANTS_MAX: u32 = 50;
const MUTANT_BYTES_MAX: u64 = 1 << 20;
/// What a mutation policy sees at most: files, bytes of one, bytes of all.
const FILES_MAX: usize = 2_000;
const FILE_BYTES_MAX: u64 = 256 << 10;
const INPUT_BYTES_MAX: usize = 4 << 20;
const PASSED_TESTS_MAX: usize = 5_000;
/// Runs on altered functions may take so many times what the first runs took, and [`SPARE`].
const SOURCE_TIMES: u64 = 6;

impl PassContext<'_> {
    /// Makes the further runs and adds what they showed to `checked`.
    pub(super) async fn witness(&self, recorded: &Recorded, checked: &mut Checked) -> Result<()> {
        let job = &self.prepared.job;
        let tier = job.claim.spec.tier();
        let runs = job.config.verify_runs.unwrap_or(match tier {
            Tier::Lite => 0,
            Tier::Standard => 1,
            Tier::Strict | Tier::Critical => 2,
        });
        if runs == 0 || self.witnesses(checked).is_empty() {
            return Ok(());
        }
        checked.guarded = true;
        // A job must not run out of its time for the sake of proof.
        let took: u64 = checked.results.iter().map(|result| result.duration_ms).sum();
        let needed = Duration::from_millis(took.saturating_mul(2 * u64::from(runs))) + SPARE;
        if job.control.time_left() < needed {
            checked.notes.push("too little time was left to see whether the checks can fail".to_owned());
            return Ok(());
        }
        let patterns = self.guard_patterns()?;
        if tier >= Tier::Strict || guard::may_read_environment(&recorded.changes.files, &patterns) {
            self.elsewhere(recorded, checked).await?;
        }
        // The first further run of a check is the one on mutants, where there are any.
        let made = self.mutants(recorded, checked).await?;
        let mutated = self.mutated(recorded, checked, &made).await?;
        self.without_change(recorded, checked, if runs == 1 { &mutated } else { &[] }).await?;
        if tier >= Tier::Strict && runs > 1 {
            self.function_by_function(recorded, checked, &made).await?;
        }
        Ok(())
    }

    /// What the mutation policies make of the tests and the change.
    async fn mutants(&self, recorded: &Recorded, checked: &mut Checked) -> Result<Made> {
        let job = &self.prepared.job;
        let checks = self.witnesses(checked);
        if checks.is_empty() {
            return Ok(Made::default());
        }
        let input = self.mutation_input(recorded, &checks, checked).await?;
        let (policies, redactor, asked) = (Arc::clone(&job.policies), job.redactor.clone(), input.clone());
        let (mutants, notes) = blocking(move || Ok(policies.mutants(&shown(&redactor, &asked)?))).await?;
        checked.notes.extend(notes);
        for not in &mutants.not_mutated {
            let message = format!("check `{}` has no mutants: {}", not.check, not.reason);
            let verdict = Verdict::host(HostRule::NotMutated, Severity::Info, message);
            checked.verdicts.push(verdict.at(not.path.clone(), None));
        }
        let (oracles, sources) =
            mutants.mutants.into_iter().partition(|mutant| mutant.kind == MutantKind::Oracle);
        Ok(Made { files: input.files, oracles, sources })
    }

    /// The checks with all mutants of what their tests expect in one overlay: they must fail,
    /// and where the runner names what failed, each altered test must be among it. A survivor
    /// means that the check proves nothing there. Gives the checks that were run.
    async fn mutated(&self, recorded: &Recorded, checked: &mut Checked, made: &Made) -> Result<Vec<String>> {
        let job = &self.prepared.job;
        let Made { files, oracles, .. } = made;
        let meant = |check: &CheckCommand| oracles.iter().any(|m| m.checks.contains(&check.name));
        let checks: Vec<CheckCommand> = self.witnesses(checked).into_iter().filter(meant).collect();
        let overlay = Overlay { files: altered(files, oracles.iter()), ..Overlay::default() };
        if overlay.is_empty() || checks.is_empty() {
            return Ok(Vec::new());
        }
        job.journal.emit("check", format!("again with {} mutants", oracles.len())).await;
        let mut done = Vec::new();
        for ran in self.run_altered(recorded, &checks, &overlay, "m").await? {
            job.keep_log("mutants", &ran);
            let name = ran.result.name.clone();
            done.push(name.clone());
            let why = match ran.result.status {
                CheckStatus::Passed | CheckStatus::Failed => None,
                CheckStatus::TimedOut => Some("ran out of its time with the mutants"),
                CheckStatus::NotRun => Some("could not be started with the mutants"),
            };
            if let Some(why) = why {
                let message = format!("check `{name}` {why}, so it is not known whether it can fail");
                checked.verdicts.push(Verdict::host(HostRule::NotMutated, Severity::Info, message));
                continue;
            }
            let own: Vec<&Mutant> = oracles.iter().filter(|m| m.checks.contains(&name)).collect();
            let survivors = match ran.result.status {
                CheckStatus::Passed => own.clone(),
                _ => unnamed(&own, &ran, &self.first_words(checked, &name)),
            };
            checked.verdicts.extend(cannot_fail(&name, &survivors, own.len()));
            let survived = |mutant: &Mutant| survivors.iter().any(|other| std::ptr::eq(*other, mutant));
            let mutants = own.iter().map(|mutant| outcome(mutant, files, !survived(mutant))).collect();
            checked.evidence.push(CheckEvidence { check: name, without_change: None, mutants });
        }
        Ok(done)
    }

    /// The checks on the altered tree, without those that were cancelled.
    async fn run_altered(
        &self,
        recorded: &Recorded,
        checks: &[CheckCommand],
        overlay: &Overlay,
        kind: &str,
    ) -> Result<Vec<Ran>> {
        let label = format!("{}{kind}", self.attempt);
        let run = TreeRun { pass: *self, recorded, checks, overlay, label: &label };
        let ran = run.run().await;
        run.clean_up();
        Ok(ran?.into_iter().filter(|ran| !ran.cancelled).collect())
    }

    /// What says of a test that it ran: the runner's report, or a line of its output.
    fn first_words(&self, checked: &Checked, name: &str) -> Vec<String> {
        let mut words = checked.reports.get(name).map(Reports::passed_tests).unwrap_or_default();
        let result = checked.results.iter().find(|result| result.name == name);
        words.extend(result.into_iter().flat_map(|result| result.output.lines().map(str::to_owned)));
        words
    }

    /// The change taken back function by function, where the policies can, within the time of
    /// a few runs: a check that does not notice does not test that function.
    async fn function_by_function(
        &self,
        recorded: &Recorded,
        checked: &mut Checked,
        made: &Made,
    ) -> Result<()> {
        let job = &self.prepared.job;
        let tests_changed = guard::tests_changed(&recorded.changes.files, &self.guard_patterns()?);
        let took: u64 = checked.results.iter().map(|result| result.duration_ms).sum();
        let most = Duration::from_millis(took.saturating_mul(SOURCE_TIMES)) + SPARE;
        let begun = Instant::now();
        for (number, mutant) in made.sources.iter().enumerate() {
            let needed = Duration::from_millis(took.saturating_mul(2)) + SPARE;
            if job.stopping() || begun.elapsed() > most || job.control.time_left() < needed {
                let left = made.sources.len() - number;
                checked.notes.push(format!("{left} changed functions were not tried, for want of time"));
                break;
            }
            // One that passes without the whole change has been told of.
            let noticed = |name: &str| {
                checked
                    .evidence
                    .iter()
                    .any(|e| e.check == name && e.without_change == Some(CheckStatus::Failed))
            };
            let meant = |check: &CheckCommand| mutant.checks.contains(&check.name) && noticed(&check.name);
            let checks: Vec<CheckCommand> = self.witnesses(checked).into_iter().filter(meant).collect();
            let overlay =
                Overlay { files: altered(&made.files, std::iter::once(mutant)), ..Overlay::default() };
            if checks.is_empty() || overlay.is_empty() {
                continue;
            }
            job.journal.emit("check", format!("again, {}", mutant.altered)).await;
            let ran = self.run_altered(recorded, &checks, &overlay, &format!("s{number}")).await?;
            let killed = ran.iter().any(|ran| ran.result.status != CheckStatus::Passed);
            for ran in &ran {
                let outcome = outcome(mutant, &made.files, ran.result.status != CheckStatus::Passed);
                if let Some(evidence) = checked.evidence.iter_mut().find(|e| e.check == ran.result.name) {
                    evidence.mutants.push(outcome);
                }
            }
            // Several checks share the work: one that notices is enough.
            let result = ran
                .first()
                .and_then(|ran| checked.results.iter().find(|result| result.name == ran.result.name));
            if let Some(result) = result.filter(|_| !killed) {
                let what = format!("although {} ({}:{})", mutant.altered, mutant.path, mutant.line);
                match self.untested(result, tests_changed, &what) {
                    Untested::Denied(verdict) => {
                        checked.verdicts.push(verdict.at(Some(mutant.path.clone()), Some(mutant.line)));
                    }
                    Untested::Promised(note) => checked.notes.push(note),
                }
            }
        }
        Ok(())
    }

    /// What mutants are made of: the tests and the change, as they are after the job.
    async fn mutation_input(
        &self,
        recorded: &Recorded,
        checks: &[CheckCommand],
        checked: &Checked,
    ) -> Result<MutationInput> {
        let patterns = self.guard_patterns()?;
        let recorder = Arc::clone(&self.prepared.recorder);
        let (tree, changed) = (recorded.tree.clone(), recorded.changes.files.clone());
        let mut files = blocking(move || Ok(files(&recorder, &tree, &changed, &patterns)?)).await?;
        // Masked, it would be another text: its ranges would mean nothing in the file.
        let redactor = &self.prepared.job.redactor;
        files.retain(|file| redactor.known_secrets_only(&file.content) == file.content);
        let passed = checks.iter().map(|check| {
            let result = checked.results.iter().find(|result| result.name == check.name);
            PassedCheck {
                name: check.name.clone(),
                command: check.command.clone(),
                directory: check.cwd.clone().unwrap_or_default(),
                duration_ms: result.map_or(0, |result| result.duration_ms),
                signals: result.map(|result| result.signals.clone()).unwrap_or_default(),
                passed_tests: checked.reports.get(&check.name).map(passed_tests).unwrap_or_default(),
            }
        });
        Ok(MutationInput {
            job: self.facts(),
            changes: recorded.changes.clone(),
            checks: passed.collect(),
            files,
            tier: self.prepared.job.claim.spec.tier(),
            budget: Budget { max_mutants: MUTANTS_MAX, max_bytes: MUTANT_BYTES_MAX },
        })
    }

    /// The tree as the agent left it, once more in the second environment. What fails there
    /// and passes again in the first depends on the environment.
    async fn elsewhere(&self, recorded: &Recorded, checked: &mut Checked) -> Result<()> {
        // One that passed a guarded run has passed in the second environment already.
        let guarded =
            |name: &str| checked.results.iter().any(|result| result.name == name && result.guarded.is_some());
        let checks: Vec<CheckCommand> =
            self.witnesses(checked).into_iter().filter(|check| !guarded(&check.name)).collect();
        if checks.is_empty() {
            return Ok(());
        }
        let job = &self.prepared.job;
        job.journal.emit("check", "again in another environment").await;
        let (overlay, label) = (Overlay::default(), format!("{}n", self.attempt));
        let run = TreeRun { pass: *self, recorded, checks: &checks, overlay: &overlay, label: &label };
        let ran = run.unaltered(&checks, Variables::Plain, "").await?;
        let failed: Vec<CheckCommand> =
            checks.iter().filter(|check| is(&ran, &check.name, CheckStatus::Failed)).cloned().collect();
        if !failed.is_empty() {
            let first = run.unaltered(&failed, Variables::Ours, "e").await?;
            for check in failed {
                if is(&first, &check.name, CheckStatus::Passed) {
                    checked.verdicts.push(environment_dependent(&check.name));
                } else {
                    checked.notes.push(format!(
                        "check `{}` does not pass each time: it is flaky, or does not run in a copy",
                        check.name
                    ));
                }
            }
        }
        run.clean_up();
        Ok(())
    }

    /// The tests without the change to what they test. One that passes there does not witness
    /// the change.
    async fn without_change(
        &self,
        recorded: &Recorded,
        checked: &mut Checked,
        done: &[String],
    ) -> Result<()> {
        let job = &self.prepared.job;
        let patterns = self.guard_patterns()?;
        let files = &recorded.changes.files;
        let overlay = Overlay { restore: guard::without_change(files, &patterns), ..Overlay::default() };
        let checks: Vec<CheckCommand> =
            self.witnesses(checked).into_iter().filter(|check| !done.contains(&check.name)).collect();
        if overlay.is_empty() || checks.is_empty() {
            return Ok(());
        }
        job.journal.emit("check", "again without the change").await;
        let ran = self.run_altered(recorded, &checks, &overlay, "r").await?;
        let tests_changed = guard::tests_changed(files, &patterns);
        for ran in ran {
            job.keep_log("unchanged", &ran);
            let name = ran.result.name.clone();
            if ran.result.status == CheckStatus::Passed
                && let Some(result) = checked.results.iter().find(|result| result.name == name)
            {
                match self.untested(result, tests_changed, "without the change too") {
                    Untested::Denied(verdict) => checked.verdicts.push(verdict),
                    Untested::Promised(note) => checked.notes.push(note),
                }
            }
            let without_change = Some(ran.result.status);
            match checked.evidence.iter_mut().find(|evidence| evidence.check == name) {
                Some(evidence) => evidence.without_change = without_change,
                None => {
                    checked.evidence.push(CheckEvidence { check: name, without_change, mutants: Vec::new() })
                }
            }
        }
        Ok(())
    }

    /// What to say of a check that passes without the change. One that passed before the job
    /// and passes after it is what a refactoring promises; of a fix that is not enough. The job
    /// is a fix if something failed before it: a check that had to, or whose baseline did.
    fn untested(&self, result: &CheckResult, tests_changed: bool, when: &str) -> Untested {
        let spec = &self.prepared.job.claim.spec;
        let name = &result.name;
        // Without changed tests the tree without the change is the tree before the job.
        let passed_before = match result.baseline {
            Some(status) => status == CheckStatus::Passed,
            None => !tests_changed,
        };
        let failed = |ran: &Ran| ran.result.status == CheckStatus::Failed;
        let is_fix = spec.checks.iter().any(|check| check.must_fail_before)
            || self.prepared.before.values().any(failed);
        if passed_before && !is_fix {
            return Untested::Promised(format!(
                "check `{name}` passed before the job and passes after it: it does not test what changed"
            ));
        }
        let severity = deny_from(Tier::Strict, spec.tier());
        let message = format!("check `{name}` passes {when}");
        Untested::Denied(
            Verdict::host(HostRule::ChangeNotTested, severity, message)
                .remedy("add a test that fails without the change"),
        )
    }

    /// The passed checks that surely run tests: their runner was read, or their command says
    /// so and nothing counted them, which is no reason to try less.
    fn witnesses(&self, checked: &Checked) -> Vec<CheckCommand> {
        let counts = |signal: &Signal| signal.passed > 0 || signal.runner == UNCOUNTED;
        let tests = |name: &str| {
            checked.results.iter().any(|result| result.name == name && result.signals.iter().any(counts))
        };
        self.guarded_checks(checked).into_iter().filter(|check| tests(&check.name)).collect()
    }
}

/// The tests that passed by their runner's own report, as many as a policy is shown.
fn passed_tests(reports: &Reports) -> Vec<String> {
    let mut tests = reports.passed_tests();
    tests.truncate(PASSED_TESTS_MAX);
    tests
}

/// The text files of the tree that a mutation policy sees: tests and what defines checks, and
/// the changed files.
fn files(
    recorder: &Recorder,
    tree: &str,
    changed: &[ChangedFile],
    patterns: &guard::Patterns,
) -> std::result::Result<Vec<TextFile>, evidence::Error> {
    let sources: BTreeSet<&str> = changed
        .iter()
        .filter(|file| !file.ignored && file.new_kind != FileKind::Absent)
        .map(|file| file.path.as_str())
        .collect();
    let mut wanted: Vec<(String, FileRole)> = Vec::new();
    for path in recorder.paths(tree)? {
        if path.starts_with("../") && !sources.contains(path.as_str()) {
            continue;
        }
        let role = match () {
            () if patterns.judges(&path) => FileRole::Test,
            () if guard::is_definition(&path) => FileRole::Definition,
            () if sources.contains(path.as_str()) => FileRole::Source,
            () => continue,
        };
        wanted.push((path, role));
    }
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    wanted.truncate(FILES_MAX);
    let paths: Vec<String> = wanted.iter().map(|(path, _)| path.clone()).collect();
    let contents = recorder.contents(tree, &paths, FILE_BYTES_MAX)?;
    let mut left = INPUT_BYTES_MAX;
    let mut files = Vec::new();
    for ((path, role), bytes) in wanted.into_iter().zip(contents) {
        let Some(content) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) else { continue };
        let Some(rest) = left.checked_sub(content.len()) else { break };
        left = rest;
        files.push(TextFile { path, content, role });
    }
    Ok(files)
}

/// The files with every mutant applied. The host has checked that ranges are inside their
/// file, on character borders, and do not overlap.
fn altered<'a>(
    files: &[TextFile],
    mutants: impl Iterator<Item = &'a Mutant> + Clone,
) -> Vec<(String, Vec<u8>)> {
    let mut altered = Vec::new();
    for file in files {
        let mut own: Vec<&Mutant> = mutants.clone().filter(|mutant| mutant.path == file.path).collect();
        own.sort_by_key(|mutant| std::cmp::Reverse((mutant.start, mutant.end)));
        let mut text = file.content.clone();
        for mutant in &own {
            let range = mutant.start as usize..mutant.end as usize;
            if text.get(range.clone()).is_some() {
                text.replace_range(range, &mutant.text);
            }
        }
        if text != file.content {
            altered.push((file.path.clone(), text.into_bytes()));
        }
    }
    altered
}

/// The mutants whose tests did not fail, although the runner named all that did. Only where
/// its names are understood, as another mutant's shows, and of tests that ran the first time.
fn unnamed<'a>(own: &[&'a Mutant], ran: &Ran, first: &[String]) -> Vec<&'a Mutant> {
    let failures = || ran.result.signals.iter().flat_map(|signal| &signal.first_failures);
    let counted: u32 = ran.result.signals.iter().map(|signal| signal.failed + signal.errors).sum();
    let named = |mutant: &Mutant| failures().any(|failure| mutant.is_of_test(&failure.id));
    let whole = usize::try_from(counted).is_ok_and(|counted| counted > 0 && counted <= failures().count());
    if !whole || !own.iter().any(|mutant| named(mutant)) {
        return Vec::new();
    }
    let ran_first = |mutant: &Mutant| first.iter().any(|line| mutant.is_of_test(line));
    own.iter().copied().filter(|mutant| !named(mutant) && ran_first(mutant)).collect()
}

/// One finding for the check, with the place of its first survivor: all are in one overlay.
fn cannot_fail(check: &str, survivors: &[&Mutant], of: usize) -> Option<Verdict> {
    let first = survivors.first()?;
    let more = match survivors.len() {
        1 => String::new(),
        n => format!(", and {} more", n - 1),
    };
    let what = match survivors.len() == of {
        true => "its tests expect".to_owned(),
        false => format!("`{}` expects", first.test.join(" ")),
    };
    let message = format!("check `{check}` passes whatever {what} ({}{more})", first.altered);
    Some(
        Verdict::host(HostRule::CheckCannotFail, Severity::Deny, message)
            .at(Some(first.path.clone()), Some(first.line))
            .remedy("let the check run the tests and report their failures"),
    )
}

fn outcome(mutant: &Mutant, files: &[TextFile], killed: bool) -> MutantOutcome {
    let content = files.iter().find(|file| file.path == mutant.path).map_or("", |file| &file.content);
    let (start, end) = (mutant.start as usize, mutant.end as usize);
    let from = content.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let to = content.get(end..).and_then(|after| after.find('\n')).map_or(content.len(), |at| end + at);
    let old = content.get(from..to).unwrap_or_default();
    let new = match (content.get(from..start), content.get(end..to)) {
        (Some(before), Some(after)) => format!("{before}{}{after}", mutant.text),
        _ => mutant.text.clone(),
    };
    let mut hash = Sha256::new();
    for part in [&mutant.path, &format!("{start}..{end}"), &mutant.text] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    MutantOutcome {
        path: mutant.path.clone(),
        line: mutant.line,
        mutator: mutant.mutator.clone(),
        altered: mutant.altered.clone(),
        diff: format!("-{old}\n+{new}\n"),
        digest: model::hex::encode(hash.finalize()),
        killed,
    }
}

/// What the mutation policies made.
#[derive(Default)]
struct Made {
    /// What they were made of.
    files: Vec<TextFile>,
    /// Of what tests expect.
    oracles: Vec<Mutant>,
    /// Of the change.
    sources: Vec<Mutant>,
}

enum Untested {
    Denied(Verdict),
    Promised(String),
}

fn is(ran: &[Ran], name: &str, status: CheckStatus) -> bool {
    ran.iter().any(|ran| ran.result.name == name && !ran.cancelled && ran.result.status == status)
}
