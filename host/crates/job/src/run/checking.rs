//! Running a job's checks: where, with what around them, and again with the tests as they
//! were before the job. Also a new worktree's setup command, which is run the same way.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Job;
use crate::artifacts::{SETUP_LOG, check_log};
use crate::paths::{JobPaths, create_private};
use crate::worker::blocking;
use config::Isolation;
use contain::{Limits, environment};
use evidence::{Recorded, Recorder, names};
use model::error::{Error, Kind, Result};
use model::spec::CheckCommand;
use model::types::{CheckResult, CheckStatus, CommandOutput, FileKind, Finding, Severity, Signal};
use policy::PolicySet;
use redact::Redactor;
use redact::sanitize;
use verify::checks::{self, Ran, Reader, Site};
use verify::outcome::{Source, TESTS_UNGUARDED, TESTS_WEAKENED, Verdict};
use verify::{guard, inline};

/// Ignored directories that builds write: a copy of the tree starts without them. Everything
/// else that git ignored before the job (`node_modules`, `.venv`, `.env`, generated code) is
/// linked into it, because checks do not start without.
const BUILD_OUTPUT: &[&str] = &[
    "target",
    "dist",
    "build",
    "out",
    "bin",
    "obj",
    ".next",
    ".nuxt",
    ".turbo",
    ".cache",
    "coverage",
    ".nyc_output",
    "htmlcov",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
    ".nox",
    "tmp",
    "log",
    "logs",
];

/// A larger source file is not searched for tests.
const INLINE_MAX: u64 = 2 << 20;

/// Redacts with the job's redactor, reads with its policies, and writes marks down.
pub(super) struct JobReader {
    pub redactor: Redactor,
    pub policies: Arc<PolicySet>,
    pub paths: JobPaths,
}

impl Reader for JobReader {
    fn redact(&self, text: &str) -> String {
        self.redactor.text(text)
    }

    fn signals(&self, output: &CommandOutput) -> (Vec<Signal>, Vec<String>) {
        let facts = self.policies.signals(output);
        (facts.signals.into_iter().map(|(_, signal)| signal).collect(), facts.notes)
    }

    fn started(&self, mark: &str) -> std::io::Result<()> {
        note_mark(&self.paths, mark)
    }
}

/// Writes a mark down before a process tree that carries it is started.
pub(super) fn note_mark(paths: &JobPaths, mark: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(paths.marks())?;
    file.write_all(format!("{mark}\n").as_bytes())?;
    file.sync_data()
}

/// What the checks of one pass gave.
#[derive(Default)]
pub(super) struct Checked {
    pub results: Vec<CheckResult>,
    pub notes: Vec<String>,
    pub verdicts: Vec<Verdict>,
}

impl Job {
    /// A new worktree's setup command. What it makes is there for the agent and the checks.
    pub(super) async fn set_up(&self, command: &str, dirs: &[PathBuf]) -> Result<()> {
        self.journal.tell("setup", format!("running {}", sanitize::line(command, 120))).await;
        let setup = CheckCommand {
            name: "setup".to_owned(),
            command: command.to_owned(),
            timeout_ms: u64::try_from(self.control.time_left().as_millis()).unwrap_or(u64::MAX),
            cwd: None,
            must_fail_before: false,
            baseline: false,
            parallel: false,
        };
        let site = self.site(&dirs[0], dirs.to_vec(), "setup")?;
        let ran = checks::run(&[setup], &site, &self.reader, self.control.token()).await;
        let Some(ran) = ran.into_iter().next().filter(|ran| !ran.cancelled) else { return Ok(()) };
        if let Err(error) = self.artifacts.write_redacted(SETUP_LOG, &ran.log) {
            tracing::warn!(%error, "the setup's log was lost");
        }
        self.note_containment(&ran);
        if ran.result.status == CheckStatus::Passed {
            return Ok(());
        }
        let last = ran.log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it printed nothing");
        let how = match (ran.result.status, ran.result.exit_code) {
            (CheckStatus::TimedOut, _) => "ran out of the job's time".to_owned(),
            (_, Some(code)) => format!("failed (exit {code})"),
            _ => "failed".to_owned(),
        };
        Err(Error::new(Kind::Environment, format!("the setup command {how}: {}", sanitize::line(last, 200)))
            .hint("read the artifact setup.log; the network is closed unless WORKER_NETWORK=1"))
    }

    /// The checks that must fail on the tree before the job, and those of which that state
    /// was asked for, are run on it, in the working directory, before the agent has touched
    /// anything: there they have their dependencies.
    pub(super) async fn baselines(&self, dirs: &[PathBuf]) -> Result<BTreeMap<String, Ran>> {
        let proofs: Vec<CheckCommand> =
            self.claim.spec.checks.iter().filter(|c| c.must_fail_before || c.baseline).cloned().collect();
        if proofs.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.journal
            .tell("check", format!("running {} on the tree before the job", count(proofs.len())))
            .await;
        let site = self.site(&dirs[0], dirs.to_vec(), "before")?;
        let ran = checks::run(&proofs, &site, &self.reader, self.control.token()).await;
        for ran in &ran {
            self.keep_log("before", ran);
        }
        Ok(ran.into_iter().map(|ran| (ran.result.name.clone(), ran)).collect())
    }

    /// Runs all checks on the recorded tree.
    pub(super) async fn check(
        &self,
        attempt: u32,
        dirs: &[PathBuf],
        before: &BTreeMap<String, Ran>,
    ) -> Result<Checked> {
        let spec = &self.claim.spec;
        if spec.checks.is_empty() {
            return Ok(Checked::default());
        }
        self.artifacts.drop_logs();
        let site = self.site(&dirs[0], dirs.to_vec(), &format!("{attempt}"))?;
        let mut ran = checks::run(&spec.checks, &site, &self.reader, self.control.token()).await;
        let mut notes = Vec::new();
        for ran in &mut ran {
            if let Some(baseline) = before.get(&ran.result.name) {
                ran.result.baseline = Some(baseline.result.status);
                ran.result.baseline_signals.clone_from(&baseline.result.signals);
            }
            self.keep_log("", ran);
            self.note_containment(ran);
            notes.append(&mut ran.notes);
            self.journal.tell("check", one_line(&ran.result)).await;
        }
        Ok(Checked { results: ran.into_iter().map(|ran| ran.result).collect(), notes, verdicts: Vec::new() })
    }

    /// Runs the checks that passed again with the base versions of the changed tests. One
    /// that fails there although it passes in the same place with the agent's versions says
    /// that the tests were bent, not the code mended.
    ///
    /// In a worktree the place is the worktree itself, with the dependencies and the build
    /// that are there. The user's own directory is left alone: there it is a copy.
    pub(super) async fn guard(
        &self,
        attempt: u32,
        dirs: &[PathBuf],
        recorder: &Arc<Recorder>,
        recorded: &Recorded,
        checked: &mut Checked,
    ) -> Result<()> {
        let spec = &self.claim.spec;
        let scope = spec.scoped_patch.as_ref().map(|scope| scope.paths.clone()).unwrap_or_default();
        let patterns = guard::Patterns::new(&self.config.guard_patterns)
            .map_err(|e| Error::new(Kind::Config, format!("WORKER_GUARD_PATTERNS cannot be used: {e}")))?;
        let guard = guard::of(&recorded.changes.files, &scope, &patterns);
        let guarded = self.to_guard(checked);
        if guard.is_empty() || guarded.is_empty() {
            return Ok(());
        }
        let put_back: Vec<String> = guard.restore.iter().chain(&guard.remove).cloned().collect();
        let lay = Lay { put_back, ..Lay::default() };
        self.try_against(&guarded, &lay, &format!("{attempt}g"), dirs, recorder, recorded, checked).await
    }

    /// The guarded run for tests that stand in the files that they test.
    pub(super) async fn guard_inline(
        &self,
        attempt: u32,
        dirs: &[PathBuf],
        recorder: &Arc<Recorder>,
        recorded: &Recorded,
        checked: &mut Checked,
    ) -> Result<()> {
        let spec = &self.claim.spec;
        let scope = spec.scoped_patch.as_ref().map(|scope| scope.paths.clone()).unwrap_or_default();
        let guarded = self.to_guard(checked);
        if guarded.is_empty() {
            return Ok(());
        }
        let candidates: Vec<(String, String)> = recorded
            .changes
            .files
            .iter()
            .filter(|file| file.path.ends_with(".rs") && !file.ignored)
            .filter(|file| file.old_kind != FileKind::Absent && file.new_kind != FileKind::Absent)
            .map(|file| (file.old_path.clone().unwrap_or_else(|| file.path.clone()), file.path.clone()))
            .filter(|(old, new)| {
                !guard::is_test(old) && !guard::is_named(old, &scope) && !guard::is_named(new, &scope)
            })
            .collect();
        if candidates.is_empty() {
            return Ok(());
        }
        let (recorder_, tree) = (Arc::clone(recorder), recorded.tree.clone());
        let files = blocking(move || {
            let (old, new): (Vec<String>, Vec<String>) = candidates.into_iter().unzip();
            let base = recorder_.contents(&recorder_.base_tree(), &old, INLINE_MAX)?;
            let result = recorder_.contents(&tree, &new, INLINE_MAX)?;
            let text = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let mut files = Vec::new();
            for ((path, base), result) in new.into_iter().zip(base).zip(result) {
                let both = text(base).zip(text(result));
                if let Some(spliced) = both.and_then(|(b, r)| inline::with_base_tests(&b, &r)) {
                    files.push((path, spliced.into_bytes()));
                }
            }
            Ok(files)
        })
        .await?;
        if files.is_empty() {
            return Ok(());
        }
        let lay = Lay { files, ..Lay::default() };
        self.try_against(&guarded, &lay, &format!("{attempt}i"), dirs, recorder, recorded, checked).await
    }

    /// The checks that are worth a guarded run: they run tests, passed, and have not failed
    /// in a guarded run yet. None when the job wants no such run or is being ended.
    fn to_guard(&self, checked: &Checked) -> Vec<CheckCommand> {
        let spec = &self.claim.spec;
        if !spec.guard_tests || self.control.token().is_cancelled() {
            return Vec::new();
        }
        let stands = |name: &str| {
            checked.results.iter().any(|result| {
                result.name == name
                    && result.status == CheckStatus::Passed
                    && result.guarded != Some(CheckStatus::Failed)
            })
        };
        let worth = |check: &&CheckCommand| guard::runs_tests(&check.command) && stands(&check.name);
        spec.checks.iter().filter(worth).cloned().collect()
    }

    #[expect(clippy::too_many_arguments, reason = "each is another part's result")]
    async fn try_against(
        &self,
        guarded: &[CheckCommand],
        lay: &Lay,
        label: &str,
        dirs: &[PathBuf],
        recorder: &Arc<Recorder>,
        recorded: &Recorded,
        checked: &mut Checked,
    ) -> Result<()> {
        self.journal.tell("check", format!("again with {} as before the job", lay.told().0)).await;
        let ran = self.run_guarded(guarded, lay, label, dirs, recorder, recorded).await;
        let _ = std::fs::remove_dir_all(self.paths.trees());
        let (ran, control) = match ran {
            Ok(both) => both,
            Err(error) => {
                // Without the second run nobody knows what the changed tests are worth.
                let why = format!("the guarded run could not be made: {}", error.message);
                checked.verdicts.push(lay.unguarded(Severity::Deny, why));
                return Ok(());
            }
        };
        for ran in &ran {
            self.keep_log(if lay.files.is_empty() { "guarded" } else { "inline" }, ran);
            let Some(result) = checked.results.iter_mut().find(|result| result.name == ran.result.name)
            else {
                continue;
            };
            let name = result.name.clone();
            let again = control.iter().find(|c| c.result.name == name);
            if ran.cancelled || again.is_some_and(|c| c.cancelled) {
                continue;
            }
            if ran.result.status == CheckStatus::Passed {
                result.guarded = Some(CheckStatus::Passed);
            } else if again.is_some_and(|c| c.result.status == CheckStatus::Passed) {
                if !lay.files.is_empty() && does_not_compile(&ran.log) {
                    // What they call was renamed or gone: that is no test that fails.
                    let why = format!("check `{name}` does not compile with the old tests");
                    checked.verdicts.push(lay.unguarded(Severity::Warn, why));
                    continue;
                }
                result.guarded = Some(CheckStatus::Failed);
                checked.verdicts.push(lay.weakened(&name));
            } else if self.claim.spec.isolation == Isolation::Worktree {
                let why = format!("check `{name}` passed once and then failed on the same tree");
                checked.verdicts.push(lay.unguarded(Severity::Deny, why));
            } else {
                let why = format!(
                    "check `{name}` does not run in a copy of the tree, so its old tests were not tried"
                );
                checked.verdicts.push(lay.unguarded(Severity::Warn, why));
            }
        }
        Ok(())
    }

    /// The guarded run, and for what failed in it the same again with the agent's versions:
    /// if that fails too, the place is to blame.
    async fn run_guarded(
        &self,
        checks: &[CheckCommand],
        lay: &Lay,
        label: &str,
        dirs: &[PathBuf],
        recorder: &Arc<Recorder>,
        recorded: &Recorded,
    ) -> Result<(Vec<Ran>, Vec<Ran>)> {
        let failed = |ran: &[Ran]| -> Vec<CheckCommand> {
            let failed = |check: &&CheckCommand| {
                ran.iter().any(|r| r.result.name == check.name && r.result.status != CheckStatus::Passed)
            };
            checks.iter().filter(failed).cloned().collect()
        };
        let control = format!("{label}c");
        if self.claim.spec.isolation == Isolation::Worktree {
            let (recorder_, tree, lay) = (Arc::clone(recorder), recorded.tree.clone(), lay.clone());
            blocking(move || Ok(recorder_.lay(&tree, &lay.put_back, &lay.files)?)).await?;
            let site = self.site(&dirs[0], dirs.to_vec(), label)?;
            let ran = checks::run(checks, &site, &self.reader, self.control.token()).await;
            let recorder_ = Arc::clone(recorder);
            blocking(move || Ok(recorder_.lift()?)).await?;
            self.settle(recorder, recorded).await?;
            let suspects = failed(&ran);
            if suspects.is_empty() {
                return Ok((ran, Vec::new()));
            }
            let site = self.site(&dirs[0], dirs.to_vec(), &control)?;
            let control = checks::run(&suspects, &site, &self.reader, self.control.token()).await;
            return Ok((ran, control));
        }
        let dir = self.copy(recorder, &recorded.tree, "guarded", Some(lay.clone())).await?;
        let ran = self.run_in_copy(checks, &dir, label).await?;
        let suspects = failed(&ran);
        if suspects.is_empty() {
            return Ok((ran, Vec::new()));
        }
        let dir = self.copy(recorder, &recorded.tree, "control", None).await?;
        let control = self.run_in_copy(&suspects, &dir, &control).await?;
        Ok((ran, control))
    }

    async fn run_in_copy(&self, which: &[CheckCommand], copy: &Path, label: &str) -> Result<Vec<Ran>> {
        let mut site = self.site(copy, vec![self.paths.trees()], label)?;
        let target = self.paths.trees().join("target");
        site.env.insert("CARGO_TARGET_DIR".to_owned(), target.to_string_lossy().into_owned());
        Ok(checks::run(which, &site, &self.reader, self.control.token()).await)
    }

    /// Writes a recorded tree into a directory of its own, and over it what is to be laid
    /// there. Gives the working directory in it.
    async fn copy(
        &self,
        recorder: &Arc<Recorder>,
        tree: &str,
        name: &str,
        lay: Option<Lay>,
    ) -> Result<PathBuf> {
        let into = self.paths.trees().join(name);
        let (recorder, tree) = (Arc::clone(recorder), tree.to_owned());
        blocking(move || {
            create_private(&into).map_err(|e| cannot("make", &into, &e))?;
            recorder.materialise(&tree, &into)?;
            if let Some(lay) = lay {
                recorder.overlay(&recorder.base_tree(), &lay.put_back, &into)?;
                recorder.rewrite(&lay.files, &into)?;
            }
            for name in recorder.ignored_at_start() {
                link(recorder.top(), &into, &names::path(&name));
            }
            Ok(into.join(recorder.base_prefix()))
        })
        .await
    }

    /// What surrounds a check: a fresh home, the allow-listed environment, and nothing
    /// writable but `writable`.
    fn site(&self, dir: &Path, mut writable: Vec<PathBuf>, label: &str) -> Result<Site> {
        let around = self.paths.check_home();
        let _ = std::fs::remove_dir_all(&around);
        let (home, tmp) = (around.join("home"), around.join("tmp"));
        for dir in [&home, &tmp] {
            create_private(dir).map_err(|e| cannot("make", dir, &e))?;
        }
        writable.push(around);
        Ok(Site {
            dir: dir.to_owned(),
            env: environment::of_host(&home, &tmp),
            limits: Limits::of_job(&self.config, writable, Vec::new(), self.config.check_network),
            mark: self.mark(label),
            output_max: self.config.check_output_max,
        })
    }

    /// Keeps a check's log; a log that cannot be written is no reason to fail the job.
    fn keep_log(&self, run: &str, ran: &Ran) {
        let name = check_log(&ran.result.name);
        let name = if run.is_empty() { name } else { name.replace(".log", &format!(".{run}.log")) };
        if let Err(error) = self.artifacts.write_redacted(&name, &ran.log) {
            tracing::warn!(%error, name, "a check's log was lost");
        }
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Environment, format!("cannot {what} {}: {error}", path.display()))
}

/// Links what is there and not in the copy. A link that cannot be made is left out: the
/// control run tells a copy that lacks something from weakened tests.
fn link(live: &Path, copy: &Path, name: &Path) {
    let written = name.file_name().is_some_and(|name| BUILD_OUTPUT.iter().any(|output| name == *output));
    let (from, to) = (live.join(name), copy.join(name));
    if written || !from.exists() || to.symlink_metadata().is_ok() {
        return;
    }
    if let Some(parent) = to.parent() {
        let _ = std::fs::create_dir_all(parent);
    }
    let _ = std::os::unix::fs::symlink(&from, &to);
}

/// What a guarded run lays over the result.
#[derive(Clone, Debug, Default)]
struct Lay {
    /// Paths of the base.
    put_back: Vec<String>,
    /// Files with their content.
    files: Vec<(String, Vec<u8>)>,
}

impl Lay {
    /// `a, b, c and 4 more`, and the first of them.
    fn told(&self) -> (String, Option<String>) {
        let all: Vec<&str> =
            self.put_back.iter().chain(self.files.iter().map(|(path, _)| path)).map(String::as_str).collect();
        let first = all.first().map(|path| (*path).to_owned());
        let files = match all.as_slice() {
            [a, b, c, rest @ ..] if rest.len() > 1 => format!("{a}, {b}, {c} and {} more", rest.len()),
            few => few.join(", "),
        };
        (if self.files.is_empty() { files } else { format!("the tests in {files}") }, first)
    }

    fn weakened(&self, check: &str) -> Verdict {
        let (files, path) = self.told();
        let remedy = format!("put {files} back as before the job and make the code pass");
        let message = format!("check `{check}` passes only with the changed {files}");
        finding(TESTS_WEAKENED, Severity::Deny, message, path, remedy)
    }

    fn unguarded(&self, severity: Severity, message: String) -> Verdict {
        let (files, path) = self.told();
        let remedy = format!("put {files} back as before the job, or make the check repeatable");
        finding(TESTS_UNGUARDED, severity, message, path, remedy)
    }
}

fn finding(rule: &str, severity: Severity, message: String, path: Option<String>, remedy: String) -> Verdict {
    Verdict {
        source: Source::Host,
        by: "host".to_owned(),
        finding: Finding { rule: rule.to_owned(), severity, message, path, line: None, remedy: Some(remedy) },
    }
}

/// Of Rust alone: the tests in question stand in Rust files.
fn does_not_compile(log: &str) -> bool {
    log.contains("error: could not compile") || log.contains("error[E")
}

fn one_line(result: &CheckResult) -> String {
    let word = match result.status {
        CheckStatus::Passed => "passed",
        CheckStatus::Failed => "failed",
        CheckStatus::TimedOut => "timed out",
        CheckStatus::NotRun => "not run",
    };
    format!("{}: {word} ({} ms)", result.name, result.duration_ms)
}

fn count(n: usize) -> String {
    if n == 1 { "one check".to_owned() } else { format!("{n} checks") }
}
