//! Guarded runs: the checks that passed run again with the tests as they were before the
//! job, so that passing says something about the code and not about the tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checks::{Checked, cannot};
use super::pass::PassContext;
use crate::paths::create_private;
use config::Isolation;
use evidence::{Recorded, names};
use model::error::{Error, Kind, Result};
use model::spec::CheckCommand;
use model::types::{CheckStatus, FileKind, Finding, Severity};
use verify::checks::{self, Ran};
use verify::outcome::{TESTS_UNGUARDED, TESTS_WEAKENED, Verdict};
use verify::{guard, inline};
use workspace::worktree;

/// Ignored directories that builds write: a copy of the tree starts without them. Everything
/// else that git ignored before the job (`node_modules`, `.venv`, `.env`, generated code) is
/// linked into it, because checks do not start without.
pub(super) const BUILD_OUTPUT: &[&str] = &[
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

/// One guarded run of a pass.
#[derive(Clone, Copy)]
struct GuardedRun<'a> {
    pass: PassContext<'a>,
    recorded: &'a Recorded,
    checks: &'a [CheckCommand],
    overlay: &'a Overlay,
    /// Part of the process tags.
    label: &'a str,
}

/// The recorded tree in a directory of its own.
struct Copy {
    /// Stands for the recorder's top; a run in it may write all below.
    top: PathBuf,
    /// The working directory.
    dir: PathBuf,
}

/// What a guarded run gave.
struct Guarded {
    ran: Vec<Ran>,
    /// What failed in it, run again in the same place with the agent's versions: if that
    /// fails too, the place is to blame.
    control: Vec<Ran>,
}

impl PassContext<'_> {
    /// Runs the checks that passed again with the base versions of the changed tests. One
    /// that fails there although it passes in the same place with the agent's versions says
    /// that the tests were weakened, not the code repaired.
    ///
    /// In a worktree the place is the worktree itself, with the dependencies and the build
    /// that are there. The user's own directory is left alone: there it is a copy.
    pub(super) async fn guard(&self, recorded: &Recorded, checked: &mut Checked) -> Result<()> {
        let job = &self.prepared.job;
        let patterns = guard::Patterns::new(&job.config.guard_patterns)
            .map_err(|e| Error::new(Kind::Config, format!("WORKER_GUARD_PATTERNS cannot be used: {e}")))?;
        let guard = guard::of(&recorded.changes.files, self.scope_paths(), &patterns);
        let restore: Vec<String> = guard.restore.iter().chain(&guard.remove).cloned().collect();
        let overlay = Overlay { restore, files: Vec::new() };
        self.run_against(&overlay, "g", recorded, checked).await
    }

    /// The guarded run for tests that are in the files that they test.
    pub(super) async fn guard_inline(&self, recorded: &Recorded, checked: &mut Checked) -> Result<()> {
        if self.to_guard(checked).is_empty() {
            return Ok(());
        }
        let files = self.with_base_tests(recorded).await?;
        let overlay = Overlay { restore: Vec::new(), files };
        self.run_against(&overlay, "i", recorded, checked).await
    }

    /// The changed Rust files with the result's code and the base's `#[cfg(test)]` modules.
    async fn with_base_tests(&self, recorded: &Recorded) -> Result<Vec<(String, Vec<u8>)>> {
        let scope = self.scope_paths();
        let (old, new): (Vec<String>, Vec<String>) = recorded
            .changes
            .files
            .iter()
            .filter(|file| file.path.ends_with(".rs") && !file.ignored)
            .filter(|file| file.old_kind != FileKind::Absent && file.new_kind != FileKind::Absent)
            .map(|file| (file.old_path.clone().unwrap_or_else(|| file.path.clone()), file.path.clone()))
            .filter(|(old, new)| {
                !guard::is_test(old) && !guard::is_named(old, scope) && !guard::is_named(new, scope)
            })
            .unzip();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let (recorder, tree) = (Arc::clone(&self.prepared.recorder), recorded.tree.clone());
        let read = move || {
            let base = recorder.contents(&recorder.base_tree(), &old, INLINE_MAX)?;
            let result = recorder.contents(&tree, &new, INLINE_MAX)?;
            let text = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            let mut files = Vec::new();
            for ((path, base), result) in new.into_iter().zip(base).zip(result) {
                let both = text(base).zip(text(result));
                if let Some(spliced) = both.and_then(|(b, r)| inline::with_base_tests(&b, &r)) {
                    files.push((path, spliced.into_bytes()));
                }
            }
            Ok(files)
        };
        self.prepared.job.on_files(read).await
    }

    fn scope_paths(&self) -> &[String] {
        let scope = self.prepared.job.claim.spec.scoped_patch.as_ref();
        scope.map_or(&[], |scope| scope.paths.as_slice())
    }

    /// The checks that are worth a guarded run: they run tests, passed, and have not failed
    /// in a guarded run yet. None when the job wants no such run or is being ended.
    fn to_guard(&self, checked: &Checked) -> Vec<CheckCommand> {
        let spec = &self.prepared.job.claim.spec;
        if !spec.guard_tests || self.prepared.job.stopping() {
            return Vec::new();
        }
        let holds = |name: &str| {
            checked.results.iter().any(|result| {
                result.name == name
                    && result.status == CheckStatus::Passed
                    && result.guarded != Some(CheckStatus::Failed)
            })
        };
        let worth = |check: &&CheckCommand| guard::runs_tests(&check.command) && holds(&check.name);
        spec.checks.iter().filter(worth).cloned().collect()
    }

    async fn run_against(
        &self,
        overlay: &Overlay,
        kind: &str,
        recorded: &Recorded,
        checked: &mut Checked,
    ) -> Result<()> {
        let job = &self.prepared.job;
        let checks = self.to_guard(checked);
        if overlay.is_empty() || checks.is_empty() {
            return Ok(());
        }
        job.journal.emit("check", format!("again with {} as before the job", overlay.summary().0)).await;
        let label = format!("{}{kind}", self.attempt);
        let run = GuardedRun { pass: *self, recorded, checks: &checks, overlay, label: &label };
        checked.guarded = true;
        let ran = run.run().await;
        worktree::delete(&job.paths.trees());
        let Guarded { ran, control } = match ran {
            Ok(both) => both,
            Err(error) => {
                // Without the second run nobody knows what the changed tests are worth.
                let why = format!("the guarded run could not be made: {}", error.message);
                checked.verdicts.push(overlay.unguarded(Severity::Deny, why));
                return Ok(());
            }
        };
        for ran in &ran {
            job.keep_log(if overlay.files.is_empty() { "guarded" } else { "inline" }, ran);
            let name = &ran.result.name;
            let control = control.iter().find(|control| control.result.name == *name);
            let stopped = ran.cancelled || control.is_some_and(|control| control.cancelled);
            if let Some(result) = checked.results.iter_mut().find(|result| result.name == *name)
                && !stopped
            {
                let (guarded, verdict) = run.compare(ran, control);
                result.guarded = guarded.or(result.guarded);
                checked.verdicts.extend(verdict);
            }
        }
        Ok(())
    }
}

impl GuardedRun<'_> {
    /// The guarded run, and the control run for what failed in it.
    async fn run(&self) -> Result<Guarded> {
        if self.pass.prepared.job.claim.spec.isolation == Isolation::Worktree {
            self.in_worktree().await
        } else {
            self.in_copies().await
        }
    }

    async fn in_worktree(&self) -> Result<Guarded> {
        let (prepared, job) = (self.pass.prepared, &self.pass.prepared.job);
        let recorder = Arc::clone(&prepared.recorder);
        let (tree, overlay) = (self.recorded.tree.clone(), self.overlay.clone());
        job.on_files(move || Ok(recorder.lay(&tree, &overlay.restore, &overlay.files)?)).await?;
        let site = prepared.site(self.label)?;
        let ran = checks::run(self.checks, &site, &job.reader, job.control.token()).await;
        let recorder = Arc::clone(&prepared.recorder);
        job.on_files(move || Ok(recorder.lift()?)).await?;
        self.pass.settle(self.recorded).await?;
        let suspects = self.suspects(&ran);
        if suspects.is_empty() {
            return Ok(Guarded { ran, control: Vec::new() });
        }
        let site = prepared.site(&format!("{}c", self.label))?;
        let control = checks::run(&suspects, &site, &job.reader, job.control.token()).await;
        Ok(Guarded { ran, control })
    }

    async fn in_copies(&self) -> Result<Guarded> {
        let copy = self.copy("guarded", Some(self.overlay.clone())).await?;
        let ran = self.run_in_copy(self.checks, &copy, self.label).await?;
        let suspects = self.suspects(&ran);
        if suspects.is_empty() {
            return Ok(Guarded { ran, control: Vec::new() });
        }
        let copy = self.copy("control", None).await?;
        let control = self.run_in_copy(&suspects, &copy, &format!("{}c", self.label)).await?;
        Ok(Guarded { ran, control })
    }

    /// The checks that did not pass.
    fn suspects(&self, ran: &[Ran]) -> Vec<CheckCommand> {
        let failed = |check: &&CheckCommand| {
            ran.iter().any(|r| r.result.name == check.name && r.result.status != CheckStatus::Passed)
        };
        self.checks.iter().filter(failed).cloned().collect()
    }

    async fn run_in_copy(&self, which: &[CheckCommand], copy: &Copy, label: &str) -> Result<Vec<Ran>> {
        let job = &self.pass.prepared.job;
        let trees = job.paths.trees();
        let target = trees.join("target");
        create_private(&target).map_err(|e| cannot("make", &target, &e))?;
        // Not their parent: in that the host makes the next copy.
        let mut site = job.site(&copy.dir, vec![copy.top.clone(), target.clone()], label)?;
        // The copy links to the tree's dependencies.
        site.limits.readable.push(self.pass.prepared.recorder.top().to_owned());
        site.env.insert("CARGO_TARGET_DIR".to_owned(), target.to_string_lossy().into_owned());
        Ok(checks::run(which, &site, &job.reader, job.control.token()).await)
    }

    /// Writes the recorded tree into a new directory, and over it the overlay.
    async fn copy(&self, name: &str, overlay: Option<Overlay>) -> Result<Copy> {
        let prepared = self.pass.prepared;
        let (trees, name) = (prepared.job.paths.trees(), name.to_owned());
        let (recorder, tree) = (Arc::clone(&prepared.recorder), self.recorded.tree.clone());
        let make = move || {
            create_private(&trees).map_err(|e| cannot("make", &trees, &e))?;
            let trees = trees.canonicalize().map_err(|e| cannot("open", &trees, &e))?;
            recorder.materialise(&tree, &trees, &name)?;
            let into = trees.join(&name);
            if let Some(overlay) = overlay {
                recorder.overlay(&recorder.base_tree(), &overlay.restore, &into)?;
                recorder.rewrite(&overlay.files, &into)?;
            }
            for name in recorder.ignored_at_start() {
                link(recorder.top(), &into, &names::path(&name));
            }
            Ok(Copy { dir: into.join(recorder.base_prefix()), top: into })
        };
        prepared.job.on_files(make).await
    }

    /// What the guarded run says of one check: its status there, where that means something,
    /// and a finding.
    fn compare(&self, ran: &Ran, control: Option<&Ran>) -> (Option<CheckStatus>, Option<Verdict>) {
        let (overlay, name) = (self.overlay, &ran.result.name);
        if ran.result.status == CheckStatus::Passed {
            return (Some(CheckStatus::Passed), None);
        }
        if control.is_some_and(|control| control.result.status == CheckStatus::Passed) {
            if !overlay.files.is_empty() && does_not_compile(&ran.log) {
                // What they call was renamed or gone: that is no test that fails.
                let why = format!("check `{name}` does not compile with the old tests");
                return (None, Some(overlay.unguarded(Severity::Warn, why)));
            }
            return (Some(CheckStatus::Failed), Some(overlay.weakened(name)));
        }
        let (severity, why) = match self.pass.prepared.job.claim.spec.isolation {
            Isolation::Worktree => {
                (Severity::Deny, format!("check `{name}` passed once and then failed on the same tree"))
            }
            Isolation::None => (
                Severity::Warn,
                format!("check `{name}` does not run in a copy of the tree, so its old tests were not tried"),
            ),
        };
        (None, Some(overlay.unguarded(severity, why)))
    }
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

/// What a guarded run changes in the recorded tree.
#[derive(Clone, Debug, Default)]
struct Overlay {
    /// Paths that become what they are in the base tree.
    restore: Vec<String>,
    /// Files with their content.
    files: Vec<(String, Vec<u8>)>,
}

impl Overlay {
    /// Nothing would differ from the ordinary run.
    fn is_empty(&self) -> bool {
        self.restore.is_empty() && self.files.is_empty()
    }

    /// `a, b, c and 4 more`, and the first of them.
    fn summary(&self) -> (String, Option<String>) {
        let all: Vec<&str> =
            self.restore.iter().chain(self.files.iter().map(|(path, _)| path)).map(String::as_str).collect();
        let first = all.first().map(|path| (*path).to_owned());
        let files = match all.as_slice() {
            [a, b, c, rest @ ..] if rest.len() > 1 => format!("{a}, {b}, {c} and {} more", rest.len()),
            few => few.join(", "),
        };
        (if self.files.is_empty() { files } else { format!("the tests in {files}") }, first)
    }

    fn weakened(&self, check: &str) -> Verdict {
        let (files, path) = self.summary();
        let remedy = format!("put {files} back as before the job and make the code pass");
        let message = format!("check `{check}` passes only with the changed {files}");
        finding(TESTS_WEAKENED, Severity::Deny, message, path, remedy)
    }

    fn unguarded(&self, severity: Severity, message: String) -> Verdict {
        let (files, path) = self.summary();
        let remedy = format!("put {files} back as before the job, or make the check repeatable");
        finding(TESTS_UNGUARDED, severity, message, path, remedy)
    }
}

fn finding(rule: &str, severity: Severity, message: String, path: Option<String>, remedy: String) -> Verdict {
    let rule = rule.to_owned();
    Verdict::host(Finding { rule, severity, message, path, line: None, remedy: Some(remedy) })
}

/// Of Rust alone: the tests in question stand in Rust files.
fn does_not_compile(log: &str) -> bool {
    log.contains("error: could not compile") || log.contains("error[E")
}
