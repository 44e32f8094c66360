//! Judging one pass: record, scope (and what the host restores), checks, verifiers, outcome.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use super::checks::shown;
use super::pass::PassContext;
use super::prepare::Prepared;
use super::tree_run::BUILD_OUTPUT;
use super::{Progress, and_more};
use crate::artifacts::{DIFF, FINDINGS};
use crate::conclude::{PATCH_MAX, pretty};
use crate::worker::blocking;
use agent::Report;
use config::Isolation;
use evidence::{Limits, MAX_DEPENDENCIES, Recorded};
use model::error::{Error, Kind, Result};
use model::spec::{OnViolation, Tier};
use model::types::{
    AgentOutcome, ChangeKind, ChangedFile, CheckResult, FileKind, Repair, ScopeInput, Severity, VerifyInput,
};
use policy::Judged as Judgement;
use verify::guard;
use verify::outcome::{self, Asked, CheckEvidence, HostRule, Inputs, Origin, Outcome, Verdict, deny_from};

/// A pass that was judged to the end.
pub(super) struct Judged {
    pub recorded: Recorded,
    pub checks: Vec<CheckResult>,
    pub verdicts: Vec<Verdict>,
    pub evidence: Vec<CheckEvidence>,
    pub outcome: Outcome,
}

impl Judged {
    /// What the next pass is told: only what failed.
    pub(super) fn repair(&self) -> Repair {
        let denials = self.outcome.denials.iter().filter_map(|n| self.verdicts.get(*n));
        let failing = self.outcome.failing_checks.iter().filter_map(|n| self.checks.get(*n));
        Repair {
            checks: failing.cloned().collect(),
            findings: denials.map(|verdict| verdict.finding.clone()).collect(),
            diff_stat: self.recorded.stat.clone(),
            revert: denied_paths(&self.verdicts),
        }
    }
}

/// The tree after a pass and what the scope policies say of it.
pub(super) struct Scoped {
    recorded: Recorded,
    verdicts: Vec<Verdict>,
}

impl PassContext<'_> {
    /// Records what the agent left behind, asks the scope policies, and restores what they
    /// deny where the job wants that.
    pub(super) async fn record(&self, progress: &mut Progress) -> Result<Scoped> {
        let mut recorded = self.record_without(&progress.tool_output).await?;
        let mut verdicts = self.scope(&recorded).await?;
        if self.prepared.job.claim.spec.on_violation == OnViolation::Revert
            && let Some(note) = self.restore_denied(&verdicts).await?
        {
            recorded = self.record_without(&progress.tool_output).await?;
            verdicts = self.scope(&recorded).await?;
            progress.notes.push(note);
        }
        progress.pass_notes.extend(recorded.notes.iter().cloned());
        if recorded.changes.total_files == 0 && !self.prepared.job.claim.spec.expects_change() {
            progress.pass_notes.push("nothing was changed, and the job expected no change".to_owned());
        }
        progress.recorded = Some(recorded.clone());
        self.prepared.job.journal.emit("evidence", summary(&recorded)).await;
        Ok(Scoped { recorded, verdicts })
    }

    /// Runs the checks and the verifiers on the recorded tree; none when the job is being
    /// ended meanwhile.
    pub(super) async fn judge(
        &self,
        scoped: Scoped,
        agent: &Report,
        progress: &mut Progress,
    ) -> Result<Option<Judged>> {
        let Scoped { mut recorded, mut verdicts } = scoped;
        let job = &self.prepared.job;
        let before = Stamps::of(&self.prepared.dirs[0], &recorded.changes.files);
        let mut checked = self.check().await?;
        if job.stopping() {
            return Ok(None);
        }
        if !checked.results.is_empty() {
            let touched = before.differ(&Stamps::of(&self.prepared.dirs[0], &recorded.changes.files));
            let after = self.after_checks(&recorded, progress).await?;
            checked.verdicts.extend(self.tree_changed(&recorded, &after, touched));
            self.guard_ignored(&recorded, &mut checked).await?;
            self.guard(&recorded, &mut checked).await?;
            self.guard_inline(&recorded, &mut checked).await?;
            self.witness(&recorded, &mut checked).await?;
            if job.stopping() {
                return Ok(None);
            }
            let last = if checked.guarded { self.prepared.record().await? } else { after.clone() };
            self.settle(&recorded).await?;
            let during = self.written_by_checks(recorded, &[after, last], progress).await?;
            recorded = during.recorded;
            verdicts = during.verdicts.unwrap_or(verdicts);
            if verdicts.iter().any(is_tree_changed) {
                checked.verdicts.retain(|verdict| !is_tree_changed(verdict));
            }
            progress.recorded = Some(recorded.clone());
        }
        verdicts.extend(self.agreement(&recorded, &checked)?);
        progress.pass_notes.extend(checked.notes);
        verdicts.extend(checked.verdicts);
        verdicts.extend(self.own_findings(&recorded, &verdicts));
        verdicts.extend(self.verify(&recorded, &checked.results, &agent.outcome).await?);
        for verdict in verdicts.iter().filter(|verdict| verdict.finding.severity != Severity::Info) {
            let word = if verdict.finding.severity == Severity::Deny { "denied" } else { "warned" };
            let finding = &verdict.finding;
            let line = format!("{} {word}: {} ({})", verdict.by, finding.message, finding.rule);
            job.journal.emit("policy", line).await;
        }
        let outcome = outcome::decide(Inputs {
            agent: &agent.outcome,
            agent_failure: agent.failure.as_ref(),
            declared: &job.claim.spec.checks,
            checks: &checked.results,
            verdicts: &verdicts,
        });
        Ok(Some(Judged { recorded, checks: checked.results, verdicts, evidence: checked.evidence, outcome }))
    }

    async fn verify(
        &self,
        recorded: &Recorded,
        checks: &[CheckResult],
        agent: &AgentOutcome,
    ) -> Result<Vec<Verdict>> {
        let input = VerifyInput {
            job: self.facts(),
            changes: recorded.changes.clone(),
            checks: checks.to_vec(),
            agent: agent.clone(),
        };
        let job = &self.prepared.job;
        let (policies, redactor) = (Arc::clone(&job.policies), job.redactor.clone());
        let judged = blocking(move || Ok(policies.verify(&shown(&redactor, &input)?))).await?;
        Ok(verdicts(Asked::Verifier, judged))
    }

    async fn scope(&self, recorded: &Recorded) -> Result<Vec<Verdict>> {
        let input = ScopeInput { job: self.facts(), changes: recorded.changes.clone() };
        let job = &self.prepared.job;
        let (policies, redactor) = (Arc::clone(&job.policies), job.redactor.clone());
        let judged = blocking(move || Ok(policies.scope(&shown(&redactor, &input)?))).await?;
        Ok(verdicts(Asked::Scope, judged))
    }

    /// The tree as it is now, without what tools left when checks were run, as long as nobody
    /// has touched that since.
    async fn record_without(&self, tool_output: &[ChangedFile]) -> Result<Recorded> {
        let mut recorded = self.prepared.record().await?;
        leave_out(&mut recorded, tool_output);
        Ok(recorded)
    }

    /// Records what the checks left, and restores the recorded tree in a worktree. In the
    /// user's own directory nothing is undone: it may be the user's own work of this minute.
    async fn after_checks(&self, recorded: &Recorded, progress: &mut Progress) -> Result<Recorded> {
        let after = self.prepared.record().await?;
        let changed = changed_since(recorded, &after, &progress.tool_output);
        let Some(listed) = listed(&changed) else { return Ok(after) };
        if self.prepared.isolated() {
            let line = format!("put back what changed while the checks ran: {listed}");
            self.prepared.job.journal.emit("check", line).await;
            self.settle(recorded).await?;
        } else {
            progress.notes.push(format!("changed while the checks ran: {listed}"));
        }
        Ok(after)
    }

    /// A source file that is written while the checks run: then they did not judge what is
    /// there now. `touched` are files of the change that were written, even if they are as
    /// before in the end. Without isolation another source file may be the user's own work of
    /// this minute.
    fn tree_changed(&self, recorded: &Recorded, after: &Recorded, touched: Vec<String>) -> Option<Verdict> {
        let agents = |file: &ChangedFile| recorded.changes.files.iter().any(|other| other.path == file.path);
        let source = |file: &&ChangedFile| {
            agents(file)
                || (self.prepared.isolated()
                    && file.old_kind != FileKind::Absent
                    && guard::is_source(&file.path))
        };
        let changed = match after.tree == recorded.tree {
            true => Vec::new(),
            false => changed_since(recorded, after, &[]),
        };
        let mut sources: Vec<String> = changed.iter().filter(source).map(|file| file.path.clone()).collect();
        sources.extend(touched.into_iter().filter(|path| guard::is_source(path)));
        sources.sort();
        sources.dedup();
        self.tree_changed_by_check(&sources)
    }

    /// The checks passed or failed on other content than what is there now.
    fn tree_changed_by_check(&self, paths: &[String]) -> Option<Verdict> {
        let first = paths.first()?.clone();
        let severity = deny_from(Tier::Standard, self.prepared.job.claim.spec.tier());
        let more = and_more(paths.len());
        let message =
            format!("{first}{more} was written while the checks ran: they did not judge what is there now");
        Some(
            Verdict::host(HostRule::TreeChangedByCheck, severity, message)
                .at(Some(first), None)
                .remedy("let neither the code nor its checks write source files of the project"),
        )
    }

    /// What the code under test wrote while checks ran is judged like what the agent wrote.
    /// In a worktree files are put back, which leaves the git directory and what git ignores.
    /// In the user's own directory only build output and caches are left out.
    async fn written_by_checks(
        &self,
        recorded: Recorded,
        records: &[Recorded],
        progress: &mut Progress,
    ) -> Result<DuringChecks> {
        let mut judged = recorded.clone();
        for record in records {
            add_new(&mut judged.changes.internals_changed, &record.changes.internals_changed);
            add_new(&mut judged.dependencies, &record.dependencies);
            add_new(&mut judged.notes, &record.notes);
        }
        let mut altered = Vec::new();
        if !self.prepared.isolated()
            && let Some(last) = records.last()
        {
            let changed = changed_since(&recorded, last, &progress.tool_output);
            let agents = |file: &ChangedFile| recorded.changes.files.iter().any(|f| f.path == file.path);
            let output = |file: &&ChangedFile| !agents(file) && is_tool_output(file);
            progress.tool_output.extend(changed.iter().filter(output).cloned());
            altered = changed.into_iter().filter(agents).collect();
            let mut last = last.clone();
            leave_out(&mut last, &progress.tool_output);
            judged = Recorded {
                dependencies: judged.dependencies,
                notes: judged.notes,
                changes: model::types::ChangeSet {
                    internals_changed: judged.changes.internals_changed,
                    ..last.changes
                },
                ..last
            };
        }
        progress.pass_notes.extend(judged.notes.iter().filter(|n| !recorded.notes.contains(n)).cloned());
        if judged.changes == recorded.changes {
            // What git ignores is in no change set.
            return Ok(DuringChecks { recorded: judged, verdicts: None });
        }
        let mut verdicts = self.scope(&judged).await?;
        let altered: Vec<String> = altered.into_iter().map(|file| file.path).collect();
        verdicts.extend(self.tree_changed_by_check(&altered));
        Ok(DuringChecks { recorded: judged, verdicts: Some(verdicts) })
    }

    /// Makes a worktree the recorded tree again, whatever the checks left there.
    pub(super) async fn settle(&self, recorded: &Recorded) -> Result<()> {
        if !self.prepared.isolated() {
            return Ok(());
        }
        let (recorder, tree) = (Arc::clone(&self.prepared.recorder), recorded.tree.clone());
        self.prepared.job.on_files(move || Ok(recorder.restore_tree(&tree)?)).await
    }

    /// Restores the denied files to what they were; gives a note of it.
    async fn restore_denied(&self, scope: &[Verdict]) -> Result<Option<String>> {
        let paths = denied_paths(scope);
        if paths.is_empty() {
            return Ok(None);
        }
        let note = format!("put back, out of scope: {}", paths.join(", "));
        let recorder = Arc::clone(&self.prepared.recorder);
        self.prepared.job.on_files(move || Ok(recorder.restore(&paths)?)).await?;
        self.prepared.job.journal.emit("policy", note.clone()).await;
        Ok(Some(note))
    }

    /// What the host itself denies, whatever policies there are.
    fn own_findings(&self, recorded: &Recorded, known: &[Verdict]) -> Vec<Verdict> {
        let mut found: Vec<Verdict> = edited_dependencies(recorded).into_iter().collect();
        let internals = &recorded.changes.internals_changed;
        let denied = |verdict: &Verdict| verdict.finding.rule == HostRule::InternalsChanged.name();
        if let Some(first) = internals.first().filter(|_| !known.iter().any(denied)) {
            let more = and_more(internals.len());
            let message = format!("the repository's own internals changed: {first}{more}");
            found.push(
                Verdict::host(HostRule::InternalsChanged, Severity::Deny, message)
                    .remedy("leave configuration, hooks and refs of the repository alone"),
            );
        }
        if !self.prepared.job.claim.spec.permission_mode.may_edit()
            && let Some(first) = recorded.changes.files.first()
        {
            let message =
                format!("{} files changed although the mode only reads", recorded.changes.total_files);
            found.push(
                Verdict::host(HostRule::ChangedWhileReading, Severity::Deny, message)
                    .at(Some(first.path.clone()), None)
                    .remedy("start the job with permission_mode acceptEdits if it shall edit"),
            );
        }
        found
    }

    /// Keeps what this pass gave, so that it is there even if the worker dies in the next.
    pub(super) async fn keep(&self, judged: &Judged) {
        let (prepared, job, attempt, several) =
            (self.prepared, &self.prepared.job, self.attempt, self.max_attempts > 1);
        let (recorder, recorded) = (Arc::clone(&prepared.recorder), judged.recorded.clone());
        let (artifacts, findings) = (job.artifacts.clone(), pretty(&judged.verdicts));
        let (policies, decisions) = (Arc::clone(&job.policies), job.paths.decisions());
        let kept = job
            .on_files(move || {
                let patch = recorder.patch(&recorded, PATCH_MAX)?;
                let patch = String::from_utf8_lossy(&patch);
                let lost =
                    |e: std::io::Error| Error::new(Kind::Environment, format!("an artifact was lost: {e}"));
                artifacts.write(DIFF, &patch).map_err(lost)?;
                artifacts.write(FINDINGS, &findings).map_err(lost)?;
                if several {
                    artifacts.write(&format!("attempts/{attempt}/{DIFF}"), &patch).map_err(lost)?;
                    artifacts.write(&format!("attempts/{attempt}/{FINDINGS}"), &findings).map_err(lost)?;
                    artifacts.keep_logs(attempt).map_err(lost)?;
                }
                append_decisions(&policies, &decisions).map_err(lost)
            })
            .await;
        if let Err(error) = kept {
            tracing::warn!(job = %job.claim.id, %error, "a pass was not kept");
        }
    }
}

/// What tells that a file was written, even if its content is as before: changed files by
/// their identity and the time of their last change, which nothing but the clock sets.
#[derive(Debug, PartialEq, Eq)]
struct Stamps(BTreeMap<String, Option<Stamp>>);

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    changed: (i64, i64),
    size: u64,
}

impl Stamps {
    fn of(dir: &Path, files: &[ChangedFile]) -> Stamps {
        let stamp = |path: &str| {
            let meta = dir.join(path).symlink_metadata().ok()?;
            let (file, changed) = ((meta.dev(), meta.ino()), (meta.ctime(), meta.ctime_nsec()));
            meta.is_file().then_some(Stamp { file, changed, size: meta.size() })
        };
        let there = files.iter().filter(|file| file.new_kind != FileKind::Absent && !file.ignored);
        Stamps(there.map(|file| (file.path.clone(), stamp(&file.path))).collect())
    }

    /// The files whose stamp is another one.
    fn differ(&self, other: &Stamps) -> Vec<String> {
        let differs = |(path, stamp): &(&String, &Option<Stamp>)| other.0.get(*path) != Some(*stamp);
        self.0.iter().filter(differs).map(|(path, _)| path.clone()).collect()
    }
}

impl Prepared {
    /// The tree as it is now.
    pub(super) async fn record(&self) -> Result<Recorded> {
        let recorder = Arc::clone(&self.recorder);
        self.job.on_files(move || Ok(recorder.record(Limits::default())?)).await
    }

    /// After commands on the tree before the job: a worktree becomes that tree again; in the
    /// user's own directory what tools left is remembered. Everything else that they wrote is
    /// seen by every later record. Gives notes.
    pub(super) async fn after_baselines(&mut self) -> Result<Vec<String>> {
        let after = self.record().await?;
        if self.isolated() {
            let recorder = Arc::clone(&self.recorder);
            self.job.on_files(move || Ok(recorder.restore_tree(&recorder.base_tree())?)).await?;
            return Ok(Vec::new());
        }
        let (output, others): (Vec<_>, Vec<_>) = after.changes.files.into_iter().partition(is_tool_output);
        self.tool_output = output;
        Ok(listed(&others)
            .map(|listed| format!("changed by checks before the job: {listed}"))
            .into_iter()
            .collect())
    }

    fn isolated(&self) -> bool {
        self.job.claim.spec.isolation == Isolation::Worktree
    }
}

/// What there is to judge after the checks; verdicts where the scope policies had to be asked
/// again.
struct DuringChecks {
    recorded: Recorded,
    verdicts: Option<Vec<Verdict>>,
}

fn is_tree_changed(verdict: &Verdict) -> bool {
    verdict.origin == Origin::Host(HostRule::TreeChangedByCheck)
}

/// Build output and caches: new files in directories that builds write, and compiled Python.
fn is_tool_output(file: &ChangedFile) -> bool {
    let mut parts = file.path.split('/').rev();
    let name = parts.next().unwrap_or_default();
    file.kind == ChangeKind::Added && (name.ends_with(".pyc") || parts.any(|dir| BUILD_OUTPUT.contains(&dir)))
}

/// `a and 4 more`; none for no file.
fn listed(files: &[ChangedFile]) -> Option<String> {
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    match paths.as_slice() {
        [] => None,
        [first, _, _, rest @ ..] if !rest.is_empty() => Some(format!("{first} and {} more", paths.len() - 1)),
        few => Some(few.join(", ")),
    }
}

fn leave_out(recorded: &mut Recorded, files: &[ChangedFile]) {
    let all = recorded.changes.files.len();
    recorded.changes.files.retain(|file| !files.contains(file));
    let left_out = u32::try_from(all - recorded.changes.files.len()).unwrap_or(u32::MAX);
    recorded.changes.total_files = recorded.changes.total_files.saturating_sub(left_out);
}

fn add_new(to: &mut Vec<String>, from: &[String]) {
    for item in from {
        if !to.contains(item) {
            to.push(item.clone());
        }
    }
}

fn verdicts(asked: Asked, judged: Vec<Judgement>) -> Vec<Verdict> {
    let origin = |broken| if broken { Origin::Broken(asked) } else { Origin::Policy(asked) };
    judged
        .into_iter()
        .map(|judged| Verdict { origin: origin(judged.broken), by: judged.plugin, finding: judged.finding })
        .collect()
}

/// What differs between two records and was not known before.
fn changed_since(recorded: &Recorded, after: &Recorded, known: &[ChangedFile]) -> Vec<ChangedFile> {
    let agents = &recorded.changes.files;
    let new = |file: &&ChangedFile| !agents.contains(file) && !known.contains(file);
    let mut changed: Vec<ChangedFile> = after.changes.files.iter().filter(new).cloned().collect();
    // What the agent had changed and a check undid.
    let undone = |file: &&ChangedFile| !after.changes.files.iter().any(|other| other.path == file.path);
    changed.extend(agents.iter().filter(undone).cloned());
    changed
}

/// What installed dependencies are made from: who changes one of these installs.
const MANIFESTS: &[&str] = &[
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "pyproject.toml",
    "requirements.txt",
    "poetry.lock",
    "uv.lock",
    "Pipfile",
    "Pipfile.lock",
    "setup.py",
    "setup.cfg",
    "composer.json",
    "composer.lock",
    "go.mod",
    "go.sum",
    "Gemfile",
    "Gemfile.lock",
];

/// Code of dependencies was written: the checks run on it, and it is in no diff. A whole
/// installation, and one that the change of a manifest explains, is reported but not denied.
fn edited_dependencies(recorded: &Recorded) -> Option<Verdict> {
    let first = recorded.dependencies.first()?;
    let count = recorded.dependencies.len();
    let installed = count >= MAX_DEPENDENCIES
        || recorded.changes.files.iter().any(|file| {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            MANIFESTS.contains(&name) || name.starts_with("requirements")
        });
    let more = and_more(count);
    let severity = if installed { Severity::Warn } else { Severity::Deny };
    let message = format!("installed dependencies were written: {first}{more}");
    Some(
        Verdict::host(HostRule::DependenciesEdited, severity, message)
            .at(Some(first.clone()), None)
            .remedy("install the dependencies anew and change only the project's own code"),
    )
}

/// Writes down what the policies decided since the last time. For the host alone: the
/// inputs are there as the policies saw them.
pub(super) fn append_decisions(policies: &policy::PolicySet, path: &std::path::Path) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut lines = String::new();
    for decision in policies.take_decisions() {
        lines.push_str(&serde_json::to_string(&decision)?);
        lines.push('\n');
    }
    if lines.is_empty() {
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(lines.as_bytes())
}

/// The files that a scope policy denied, each once.
fn denied_paths(scope: &[Verdict]) -> Vec<String> {
    let mut paths: Vec<String> = scope
        .iter()
        .filter(|verdict| verdict.origin.is_scope() && verdict.finding.severity == Severity::Deny)
        .filter_map(|verdict| verdict.finding.path.clone())
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

fn summary(recorded: &Recorded) -> String {
    match recorded.changes.total_files {
        0 => "no file changed".to_owned(),
        1 => recorded.stat.first().cloned().unwrap_or_else(|| "one file changed".to_owned()),
        n => format!("{n} files changed"),
    }
}
