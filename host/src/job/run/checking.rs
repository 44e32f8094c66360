//! Running a job's checks: where, with what around them, and again with the tests as they
//! were before the job. Also a new worktree's setup command, which is run the same way.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Job;
use crate::config::Isolation;
use crate::contain::{Limits, environment};
use crate::error::{Error, Kind, Result};
use crate::evidence::{Recorded, Recorder, names};
use crate::job::artifacts::{Artifacts, SETUP_LOG, check_log};
use crate::job::paths::{JobPaths, create_private};
use crate::job::spec::CheckCommand;
use crate::job::worker::blocking;
use crate::policy::PolicySet;
use crate::policy::types::{CheckResult, CheckStatus, CommandOutput, Finding, Severity, Signal};
use crate::report::redact::Redactor;
use crate::report::sanitize;
use crate::verify::checks::{self, Ran, Reader, Site};
use crate::verify::guard::{self, Guard};
use crate::verify::outcome::{Source, TESTS_UNGUARDED, TESTS_WEAKENED, Verdict};

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
            self.keep_log(&self.artifacts, "before", ran);
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
        let site = self.site(&dirs[0], dirs.to_vec(), &format!("{attempt}"))?;
        let mut ran = checks::run(&spec.checks, &site, &self.reader, self.control.token()).await;
        let mut notes = Vec::new();
        for ran in &mut ran {
            if let Some(baseline) = before.get(&ran.result.name) {
                ran.result.baseline = Some(baseline.result.status);
                ran.result.baseline_signals.clone_from(&baseline.result.signals);
            }
            self.keep_log(&self.artifacts, "", ran);
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
        let passed = |name: &str| {
            let mut results = checked.results.iter();
            results.any(|result| result.name == name && result.status == CheckStatus::Passed)
        };
        let guarded: Vec<CheckCommand> = spec
            .checks
            .iter()
            .filter(|check| guard::runs_tests(&check.command) && passed(&check.name))
            .cloned()
            .collect();
        if !spec.guard_tests || guard.is_empty() || guarded.is_empty() || self.control.token().is_cancelled()
        {
            return Ok(());
        }
        let put_back: Vec<String> = guard.restore.iter().chain(&guard.remove).cloned().collect();
        self.journal.tell("check", format!("again with {} as before the job", put_back.join(", "))).await;
        let ran = self.run_guarded(&guarded, attempt, dirs, recorder, recorded, put_back).await;
        let _ = std::fs::remove_dir_all(self.paths.trees());
        let (ran, control) = match ran {
            Ok(both) => both,
            Err(error) => {
                // Without the second run nobody knows what the changed tests are worth.
                let why = format!("the guarded run could not be made: {}", error.message);
                checked.verdicts.push(unguarded(Severity::Deny, why, &guard));
                return Ok(());
            }
        };
        for ran in &ran {
            self.keep_log(&self.artifacts, "guarded", ran);
            let Some(result) = checked.results.iter_mut().find(|result| result.name == ran.result.name)
            else {
                continue;
            };
            let name = &result.name;
            if ran.cancelled {
                continue;
            }
            if ran.result.status == CheckStatus::Passed {
                result.guarded = Some(CheckStatus::Passed);
                continue;
            }
            let again = control.iter().find(|c| c.result.name == *name);
            if again.is_some_and(|c| c.cancelled) {
                continue;
            }
            if again.is_some_and(|c| c.result.status == CheckStatus::Passed) {
                result.guarded = Some(CheckStatus::Failed);
                checked.verdicts.push(weakened(name, &guard));
            } else if spec.isolation == Isolation::Worktree {
                let why = format!("check `{name}` passed once and then failed on the same tree");
                checked.verdicts.push(unguarded(Severity::Deny, why, &guard));
            } else {
                let why = format!(
                    "check `{name}` does not run in a copy of the tree, so the changed tests were not tried against the old ones"
                );
                checked.verdicts.push(unguarded(Severity::Warn, why, &guard));
            }
        }
        Ok(())
    }

    /// The guarded run, and for what failed in it the same again with the agent's versions:
    /// if that fails too, the place is to blame.
    async fn run_guarded(
        &self,
        checks: &[CheckCommand],
        attempt: u32,
        dirs: &[PathBuf],
        recorder: &Arc<Recorder>,
        recorded: &Recorded,
        put_back: Vec<String>,
    ) -> Result<(Vec<Ran>, Vec<Ran>)> {
        let failed = |ran: &[Ran]| -> Vec<CheckCommand> {
            let failed = |check: &&CheckCommand| {
                ran.iter().any(|r| r.result.name == check.name && r.result.status != CheckStatus::Passed)
            };
            checks.iter().filter(failed).cloned().collect()
        };
        let (guarded, control) = (format!("{attempt}g"), format!("{attempt}c"));
        if self.claim.spec.isolation == Isolation::Worktree {
            let (recorder_, tree) = (Arc::clone(recorder), recorded.tree.clone());
            blocking(move || Ok(recorder_.lay_base(&tree, &put_back)?)).await?;
            let site = self.site(&dirs[0], dirs.to_vec(), &guarded)?;
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
        let dir = self.copy(recorder, &recorded.tree, "guarded", Some(put_back)).await?;
        let ran = self.run_in_copy(checks, &dir, &guarded).await?;
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

    /// Writes a recorded tree into a directory of its own; with `put_back`, those paths as
    /// they were in the base. Gives the working directory in it.
    async fn copy(
        &self,
        recorder: &Arc<Recorder>,
        tree: &str,
        name: &str,
        put_back: Option<Vec<String>>,
    ) -> Result<PathBuf> {
        let into = self.paths.trees().join(name);
        let (recorder, tree) = (Arc::clone(recorder), tree.to_owned());
        blocking(move || {
            create_private(&into).map_err(|e| cannot("make", &into, &e))?;
            recorder.materialise(&tree, &into)?;
            if let Some(paths) = put_back {
                recorder.overlay(&recorder.base_tree(), &paths, &into)?;
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
    fn keep_log(&self, artifacts: &Artifacts, run: &str, ran: &Ran) {
        let name = check_log(&ran.result.name);
        let name = if run.is_empty() { name } else { name.replace(".log", &format!(".{run}.log")) };
        if let Err(error) = artifacts.write_redacted(&name, &ran.log) {
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

/// `a, b, c and 4 more`, and the first of them.
fn listed(guard: &Guard) -> (String, Option<String>) {
    let all: Vec<&str> = guard.restore.iter().chain(&guard.remove).map(String::as_str).collect();
    let files = match all.as_slice() {
        few if few.len() <= 4 => few.join(", "),
        [a, b, c, rest @ ..] => format!("{a}, {b}, {c} and {} more", rest.len()),
        few => few.join(", "),
    };
    (files, all.first().map(|path| (*path).to_owned()))
}

fn weakened(check: &str, guard: &Guard) -> Verdict {
    let (files, path) = listed(guard);
    Verdict {
        source: Source::Host,
        by: "host".to_owned(),
        finding: Finding {
            rule: TESTS_WEAKENED.to_owned(),
            severity: Severity::Deny,
            message: format!("check `{check}` passes only with the changed {files}"),
            path,
            line: None,
            remedy: Some(format!("put {files} back as it was and make the code pass it")),
        },
    }
}

fn unguarded(severity: Severity, message: String, guard: &Guard) -> Verdict {
    let (files, path) = listed(guard);
    Verdict {
        source: Source::Host,
        by: "host".to_owned(),
        finding: Finding {
            rule: TESTS_UNGUARDED.to_owned(),
            severity,
            message,
            path,
            line: None,
            remedy: Some(format!("put {files} back as it was, or make the check repeatable")),
        },
    }
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
