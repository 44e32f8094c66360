//! Judging one pass: record, scope (and what the host restores), checks, verifiers, outcome.

use std::sync::Arc;

use super::Progress;
use super::checks::shown;
use super::pass::{PassContext, may_edit};
use super::prepare::Prepared;
use crate::artifacts::{DIFF, FINDINGS};
use crate::conclude::{PATCH_MAX, pretty};
use crate::worker::blocking;
use agent::Report;
use config::Isolation;
use evidence::{Limits, MAX_DEPENDENCIES, Recorded};
use model::error::{Error, Kind, Result};
use model::spec::OnViolation;
use model::types::{
    AgentOutcome, ChangedFile, CheckResult, Finding, Repair, ScopeInput, Severity, VerifyInput,
};
use policy::Judged as Judgement;
use verify::outcome::{self, Inputs, Outcome, Source, Verdict};

/// A pass that was judged to the end.
pub(super) struct Judged {
    pub recorded: Recorded,
    pub checks: Vec<CheckResult>,
    pub verdicts: Vec<Verdict>,
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
        let mut recorded = self.record_agents(&progress.concurrent).await?;
        let mut verdicts = self.scope(&recorded).await?;
        if self.prepared.job.claim.spec.on_violation == OnViolation::Revert
            && let Some(note) = self.restore_denied(&verdicts).await?
        {
            recorded = self.record_agents(&progress.concurrent).await?;
            verdicts = self.scope(&recorded).await?;
            progress.notes.push(note);
        }
        progress.pass_notes.extend(recorded.notes.iter().cloned());
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
        let Scoped { recorded, mut verdicts } = scoped;
        let job = &self.prepared.job;
        let mut checked = self.check().await?;
        if job.stopping() {
            return Ok(None);
        }
        if !checked.results.is_empty() {
            self.after_checks(&recorded, progress).await?;
            self.guard(&recorded, &mut checked).await?;
            self.guard_inline(&recorded, &mut checked).await?;
            if job.stopping() {
                return Ok(None);
            }
            self.settle(&recorded).await?;
        }
        progress.pass_notes.extend(checked.notes);
        verdicts.extend(checked.verdicts);
        verdicts.extend(self.own_findings(&recorded));
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
        Ok(Some(Judged { recorded, checks: checked.results, verdicts, outcome }))
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
        Ok(verdicts(Source::Verifier, judged))
    }

    async fn scope(&self, recorded: &Recorded) -> Result<Vec<Verdict>> {
        let input = ScopeInput { job: self.facts(), changes: recorded.changes.clone() };
        let job = &self.prepared.job;
        let (policies, redactor) = (Arc::clone(&job.policies), job.redactor.clone());
        let judged = blocking(move || Ok(policies.scope(&shown(&redactor, &input)?))).await?;
        Ok(verdicts(Source::Scope, judged))
    }

    /// The tree as it is now, without what earlier checks (or the user) left in the
    /// working directory and the agent has not touched since.
    async fn record_agents(&self, concurrent: &[ChangedFile]) -> Result<Recorded> {
        let mut recorded = self.prepared.record().await?;
        let all = recorded.changes.files.len();
        recorded.changes.files.retain(|file| !concurrent.contains(file));
        let left_out = u32::try_from(all - recorded.changes.files.len()).unwrap_or(u32::MAX);
        recorded.changes.total_files = recorded.changes.total_files.saturating_sub(left_out);
        Ok(recorded)
    }

    /// Checks write files too: caches, snapshots, what a formatter makes. In a worktree the
    /// recorded tree is restored. In the user's own directory nothing is undone (it may be
    /// the user's own work of this minute), but the next pass is not blamed for it.
    async fn after_checks(&self, recorded: &Recorded, progress: &mut Progress) -> Result<()> {
        let after = self.prepared.record().await?;
        if after.tree == recorded.tree {
            return Ok(());
        }
        let changed = concurrent_changes(recorded, &after, &progress.concurrent);
        let paths: Vec<&str> = changed.iter().map(|file| file.path.as_str()).collect();
        let listed = match paths.as_slice() {
            [] => return Ok(()),
            [first, _, _, rest @ ..] if !rest.is_empty() => format!("{first} and {} more", paths.len() - 1),
            few => few.join(", "),
        };
        let job = &self.prepared.job;
        if job.claim.spec.isolation == Isolation::Worktree {
            job.journal.emit("check", format!("put back what changed while the checks ran: {listed}")).await;
            return self.settle(recorded).await;
        }
        progress.notes.push(format!("changed while the checks ran, not by the agent: {listed}"));
        // A file that the agent changed as well stays its change.
        let agents = |file: &ChangedFile| recorded.changes.files.iter().any(|other| other.path == file.path);
        progress.concurrent.extend(changed.into_iter().filter(|file| !agents(file)));
        Ok(())
    }

    /// Makes a worktree the recorded tree again, whatever the checks left there.
    pub(super) async fn settle(&self, recorded: &Recorded) -> Result<()> {
        if self.prepared.job.claim.spec.isolation != Isolation::Worktree {
            return Ok(());
        }
        let (recorder, tree) = (Arc::clone(&self.prepared.recorder), recorded.tree.clone());
        blocking(move || Ok(recorder.settle(&tree)?)).await
    }

    /// Restores the denied files to what they were; gives a note of it.
    async fn restore_denied(&self, scope: &[Verdict]) -> Result<Option<String>> {
        let paths = denied_paths(scope);
        if paths.is_empty() {
            return Ok(None);
        }
        let note = format!("put back, out of scope: {}", paths.join(", "));
        let recorder = Arc::clone(&self.prepared.recorder);
        blocking(move || Ok(recorder.restore(&paths)?)).await?;
        self.prepared.job.journal.emit("policy", note.clone()).await;
        Ok(Some(note))
    }

    /// What the host itself denies, whatever policies there are.
    fn own_findings(&self, recorded: &Recorded) -> Vec<Verdict> {
        let mut found: Vec<Verdict> = edited_dependencies(recorded).into_iter().collect();
        if !may_edit(self.prepared.job.claim.spec.permission_mode)
            && let Some(first) = recorded.changes.files.first()
        {
            found.push(Verdict::host(Finding {
                rule: "changed-while-reading".to_owned(),
                severity: Severity::Deny,
                message: format!(
                    "{} files changed although the mode only reads",
                    recorded.changes.total_files
                ),
                path: Some(first.path.clone()),
                line: None,
                remedy: Some("start the job with permission_mode acceptEdits if it shall edit".to_owned()),
            }));
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
        let kept = blocking(move || {
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

impl Prepared {
    /// The tree as it is now.
    pub(super) async fn record(&self) -> Result<Recorded> {
        let recorder = Arc::clone(&self.recorder);
        blocking(move || Ok(recorder.record(Limits::default())?)).await
    }
}

fn verdicts(source: Source, judged: Vec<Judgement>) -> Vec<Verdict> {
    judged.into_iter().map(|judged| Verdict { source, by: judged.plugin, finding: judged.finding }).collect()
}

/// What differs between the tree that the agent left and the tree after the checks, and was
/// not known before.
fn concurrent_changes(recorded: &Recorded, after: &Recorded, known: &[ChangedFile]) -> Vec<ChangedFile> {
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
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    Some(Verdict::host(Finding {
        rule: "dependencies-edited".to_owned(),
        severity: if installed { Severity::Warn } else { Severity::Deny },
        message: format!("installed dependencies were written: {first}{more}"),
        path: Some(first.clone()),
        line: None,
        remedy: Some("install the dependencies anew and change only the project's own code".to_owned()),
    }))
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
        .filter(|verdict| verdict.source == Source::Scope && verdict.finding.severity == Severity::Deny)
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
