//! Guarded runs: the checks that passed run again with the tests as they were before the
//! job, so that passing says something about the code and not about the tests.

use std::sync::Arc;

use super::and_more;
use super::checks::Checked;
use super::pass::PassContext;
use super::tree_run::{Controlled, Overlay, OverlayKind, TreeRun};
use config::Isolation;
use evidence::Recorded;
use model::error::{Error, Kind, Result};
use model::spec::{CheckCommand, Tier};
use model::types::{CheckStatus, FileKind, Severity, Signal};
use verify::checks::Ran;
use verify::outcome::{HostRule, Verdict, deny_from};
use verify::{definitions, guard, inline};

/// Milliseconds that a further run may take beyond three times as long as the first: it may
/// have to build again.
const MORE_MS: u64 = 60_000;

/// A larger source file is not searched for tests.
const INLINE_MAX: u64 = 2 << 20;

impl PassContext<'_> {
    /// Runs the checks that passed again with the base versions of the changed tests. One
    /// that fails there although it passes in the same place with the agent's versions says
    /// that the tests were weakened, not the code repaired.
    ///
    /// In a worktree the place is the worktree itself, with the dependencies and the build
    /// that are there. The user's own directory is left alone: there it is a copy.
    pub(super) async fn guard(&self, recorded: &Recorded, checked: &mut Checked) -> Result<()> {
        let patterns = self.guard_patterns()?;
        let guard = guard::of(&recorded.changes.files, self.scope_paths(), &patterns);
        let restore: Vec<String> = guard.restore.iter().chain(&guard.remove).cloned().collect();
        let (parts, named) = match self.guarded_checks(checked).is_empty() {
            true => (Vec::new(), Vec::new()),
            false => (
                self.with_base_definition(recorded, guard.parts).await?,
                self.with_base_definition(recorded, guard.named).await?,
            ),
        };
        let overlay = Overlay { restore, files: parts, ..Overlay::default() };
        self.run_against(&overlay, "g", recorded, checked).await?;
        let overlay = Overlay { kind: OverlayKind::Definition, files: named, ..Overlay::default() };
        self.run_against(&overlay, "d", recorded, checked).await
    }

    /// Files as they are now, with what defines checks as it was before the job.
    async fn with_base_definition(
        &self,
        recorded: &Recorded,
        paths: Vec<String>,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        self.merged(recorded, paths.clone(), paths, |path, base, new| {
            Some(definitions::with_base(path, base, new)).filter(|merged| merged != new)
        })
        .await
    }

    /// The texts of `new` in the result, each merged with what its `old` path held before the
    /// job; without those that are no text on one side, and those that `merge` leaves out.
    async fn merged(
        &self,
        recorded: &Recorded,
        old: Vec<String>,
        new: Vec<String>,
        merge: fn(&str, &str, &str) -> Option<String>,
    ) -> Result<Vec<(String, Vec<u8>)>> {
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
                if let Some(merged) = both.and_then(|(base, result)| merge(&path, &base, &result)) {
                    files.push((path, merged.into_bytes()));
                }
            }
            Ok(files)
        };
        self.prepared.job.on_files(read).await
    }

    /// Checks that passed, without the ignored files that the agent added: the result does not
    /// hold them. One that fails there is not run on altered trees, which lack them too.
    pub(super) async fn guard_ignored(&self, recorded: &Recorded, checked: &mut Checked) -> Result<()> {
        if self.unnamed_ignored(recorded).is_empty() {
            return Ok(());
        }
        let overlay = Overlay { kind: OverlayKind::Ignored, ..Overlay::default() };
        self.run_against(&overlay, "h", recorded, checked).await
    }

    /// The guarded run for tests that are in the files that they test.
    pub(super) async fn guard_inline(&self, recorded: &Recorded, checked: &mut Checked) -> Result<()> {
        if self.guarded_checks(checked).is_empty() {
            return Ok(());
        }
        let files = self.with_base_tests(recorded).await?;
        let overlay = Overlay { kind: OverlayKind::Inline, files, ..Overlay::default() };
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
        self.merged(recorded, old, new, |_, base, result| inline::with_base_tests(base, result)).await
    }

    pub(super) fn guard_patterns(&self) -> Result<guard::Patterns> {
        guard::Patterns::new(&self.prepared.job.config.guard_patterns).map_err(|error| {
            let message = format!("WORKER_GUARD_PATTERNS cannot be used: {error}");
            Error::new(Kind::Config, message).caused_by(error)
        })
    }

    pub(super) fn scope_paths(&self) -> &[String] {
        let scope = self.prepared.job.claim.spec.scoped_patch.as_ref();
        scope.map_or(&[], |scope| scope.paths.as_slice())
    }

    /// The checks that are worth a guarded run: they run tests, passed, and have not failed
    /// in a guarded run yet. None when the job wants no such run or is being ended.
    pub(super) fn guarded_checks(&self, checked: &Checked) -> Vec<CheckCommand> {
        let spec = &self.prepared.job.claim.spec;
        if !spec.guard_tests || self.prepared.job.stopping() {
            return Vec::new();
        }
        let holds = |name: &str| {
            checked.results.iter().any(|result| {
                result.name == name
                    && result.status == CheckStatus::Passed
                    && result.guarded != Some(CheckStatus::Failed)
                    && !checked.dependent.contains(name)
            })
        };
        let worth = |check: &&CheckCommand| guard::may_run_tests(&check.command) && holds(&check.name);
        let bounded = |check: &CheckCommand| {
            let took = checked.results.iter().find(|result| result.name == check.name);
            let most = took.map_or(u64::MAX, |result| result.duration_ms.saturating_mul(3) + MORE_MS);
            CheckCommand { timeout_ms: check.timeout_ms.min(most), ..check.clone() }
        };
        spec.checks.iter().filter(worth).map(bounded).collect()
    }

    async fn run_against(
        &self,
        overlay: &Overlay,
        kind: &str,
        recorded: &Recorded,
        checked: &mut Checked,
    ) -> Result<()> {
        let job = &self.prepared.job;
        let checks = self.guarded_checks(checked);
        if overlay.is_empty() || checks.is_empty() {
            return Ok(());
        }
        let how = match overlay.kind {
            OverlayKind::Ignored => "without the ignored files that were added".to_owned(),
            _ => format!("with {} as before the job", overlay.summary().0),
        };
        job.journal.emit("check", format!("again {how}")).await;
        let label = format!("{}{kind}", self.attempt);
        let run = TreeRun { pass: *self, recorded, checks: &checks, overlay, label: &label };
        checked.guarded = true;
        let ran = run.controlled().await;
        run.clean_up();
        let Controlled { ran, control, first } = match ran {
            Ok(both) => both,
            Err(error) => {
                // Without the second run nobody knows what the changed tests are worth.
                let why = format!("the guarded run could not be made: {}", error.message);
                checked.verdicts.push(overlay.unguarded(Severity::Deny, why));
                return Ok(());
            }
        };
        for ran in &ran {
            let log = match overlay.kind {
                OverlayKind::Files => "guarded",
                OverlayKind::Inline => "inline",
                OverlayKind::Definition => "definition",
                OverlayKind::Ignored => "ignored",
            };
            job.keep_log(log, ran);
            let name = &ran.result.name;
            let of = |all: &[Ran]| all.iter().find(|other| other.result.name == *name).cloned();
            let (control, first) = (of(&control), of(&first));
            let stopped = ran.cancelled || control.as_ref().is_some_and(|control| control.cancelled);
            if let Some(result) = checked.results.iter_mut().find(|result| result.name == *name)
                && !stopped
            {
                if overlay.kind == OverlayKind::Ignored {
                    let depends = ran.result.status != CheckStatus::Passed
                        && control.is_some_and(|control| control.result.status == CheckStatus::Passed);
                    if depends {
                        checked.dependent.insert(name.clone());
                        checked.verdicts.push(needs_ignored(name, &self.unnamed_ignored(recorded)));
                    }
                    continue;
                }
                let (guarded, verdict) = run.compare(ran, control.as_ref(), first.as_ref());
                result.guarded = guarded.or(result.guarded);
                checked.verdicts.extend(verdict);
            }
        }
        Ok(())
    }
}

impl TreeRun<'_> {
    /// What the guarded run says of one check: its status there, where that means something,
    /// and a finding.
    fn compare(
        &self,
        ran: &Ran,
        control: Option<&Ran>,
        first: Option<&Ran>,
    ) -> (Option<CheckStatus>, Option<Verdict>) {
        let (overlay, name) = (self.overlay, &ran.result.name);
        let definition = overlay.kind == OverlayKind::Definition;
        if ran.result.status == CheckStatus::Passed {
            return ((!definition).then_some(CheckStatus::Passed), None);
        }
        if control.is_some_and(|control| control.result.status == CheckStatus::Passed) {
            if overlay.kind == OverlayKind::Inline && does_not_compile(&ran.log) {
                // What they call was renamed or gone: that is no test that fails.
                let why = format!("check `{name}` does not compile with the old tests");
                return (None, Some(overlay.unguarded(self.unguarded_severity(), why)));
            }
            // The planner wants another definition: the old one need not be of use any more.
            let failures = |signal: &Signal| signal.failed + signal.errors > 0;
            if definition && !ran.result.signals.iter().any(failures) {
                let (files, _) = overlay.summary();
                let why = format!("check `{name}` cannot be run by {files} as it was before the job");
                return (None, Some(overlay.unguarded(self.unguarded_severity(), why)));
            }
            return (Some(CheckStatus::Failed), Some(overlay.weakened(name)));
        }
        if first.is_some_and(|first| first.result.status == CheckStatus::Passed) {
            return (None, Some(environment_dependent(name)));
        }
        let (severity, why) = match self.pass.prepared.job.claim.spec.isolation {
            Isolation::Worktree => {
                (Severity::Deny, format!("check `{name}` passed once and then failed on the same tree"))
            }
            Isolation::None => (
                self.unguarded_severity(),
                format!("check `{name}` does not run in a copy of the tree, so its old tests were not tried"),
            ),
        };
        (None, Some(overlay.unguarded(severity, why)))
    }
}

impl TreeRun<'_> {
    /// Of tests that could not be tried.
    fn unguarded_severity(&self) -> Severity {
        deny_from(Tier::Strict, self.pass.prepared.job.claim.spec.tier())
    }
}

impl Overlay {
    fn weakened(&self, check: &str) -> Verdict {
        let (files, path) = self.summary();
        let message = format!("check `{check}` passes only with the changed {files}");
        Verdict::host(HostRule::TestsWeakened, Severity::Deny, message)
            .at(path, None)
            .remedy(format!("put {files} back as before the job and make the code pass"))
    }

    fn unguarded(&self, severity: Severity, message: String) -> Verdict {
        let (files, path) = self.summary();
        Verdict::host(HostRule::TestsUnguarded, severity, message).at(path, None).remedy(format!(
            "put {files} back as before the job; or make the check run twice in the same place \
                 (isolation worktree, with copy_in or setup for what it needs)"
        ))
    }
}

/// What passes only under the first run's home, directories and variables proves nothing.
pub(super) fn environment_dependent(check: &str) -> Verdict {
    let message = format!(
        "check `{check}` passes only in the environment of its first run, not with other directories and without CI"
    );
    Verdict::host(HostRule::EnvironmentDependent, Severity::Deny, message)
        .remedy("let code and tests give the same result under any home, temporary directory and CI variable")
}

/// What passes only with files that no diff shows and no result holds.
fn needs_ignored(check: &str, paths: &[String]) -> Verdict {
    let first = paths.first().map(String::as_str).unwrap_or_default();
    let more = and_more(paths.len());
    let message =
        format!("check `{check}` passes only with files that git ignores and the agent added: {first}{more}");
    Verdict::host(HostRule::EnvironmentDependent, Severity::Deny, message)
        .at(Some(first.to_owned()), None)
        .remedy("let the check pass without them, or name them in scoped_patch.paths or copy_in")
}

/// Of Rust alone: the tests in question stand in Rust files.
fn does_not_compile(log: &str) -> bool {
    log.contains("error: could not compile") || log.contains("error[E")
}
