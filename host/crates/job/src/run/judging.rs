//! Judging one pass: record, scope (and what the host puts back), checks, verifiers, outcome.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Checked, Job, Work, may_edit};
use crate::artifacts::{DIFF, FINDINGS};
use crate::worker::blocking;
use agent::AgentFailure;
use config::Isolation;
use evidence::{Limits, MAX_DEPENDENCIES, Recorded, Recorder};
use model::error::{Error, Kind, Result};
use model::spec::OnViolation;
use model::types::{ChangedFile, Finding, Repair, ScopeInput, Severity, VerifyInput};
use verify::checks::Ran;
use verify::outcome::{self, Inputs, Outcome, Source, Verdict};

/// Bytes of a patch that are kept as an artifact.
pub(crate) const PATCH_MAX: usize = 8 << 20;

impl Job {
    /// Judges what the agent left behind; everything goes into `work`.
    #[expect(clippy::too_many_arguments, reason = "each is another part's result")]
    pub(super) async fn judge(
        &self,
        attempt: u32,
        max_attempts: u32,
        agent_failure: Option<&AgentFailure>,
        dirs: &[PathBuf],
        recorder: &Arc<Recorder>,
        before: &BTreeMap<String, Ran>,
        work: &mut Work,
    ) -> Result<()> {
        let facts = self.facts(attempt, max_attempts);
        let mut recorded = self.record_agents(recorder, &work.drift).await?;
        let mut scope = self.scope(&facts, &recorded).await?;
        if self.claim.spec.on_violation == OnViolation::Revert
            && let Some(note) = self.put_back(recorder, &scope).await?
        {
            recorded = self.record_agents(recorder, &work.drift).await?;
            scope = self.scope(&facts, &recorded).await?;
            work.notes.push(note);
        }
        work.pass_notes.extend(recorded.notes.iter().cloned());
        work.recorded = Some(recorded.clone());
        self.journal.tell("evidence", summary(&recorded)).await;

        let mut checked = self.check(attempt, dirs, before).await?;
        if self.control.token().is_cancelled() {
            return Ok(());
        }
        if !checked.results.is_empty() {
            self.after_checks(recorder, &recorded, work).await?;
            self.guard(attempt, dirs, recorder, &recorded, &mut checked).await?;
            self.guard_inline(attempt, dirs, recorder, &recorded, &mut checked).await?;
            if self.control.token().is_cancelled() {
                return Ok(());
            }
            self.settle(recorder, &recorded).await?;
        }
        let Checked { results, notes, verdicts } = checked;
        work.pass_notes.extend(notes);
        let mut all = scope;
        all.extend(verdicts);
        all.extend(self.own_findings(&recorded));
        let input = VerifyInput {
            job: facts,
            changes: recorded.changes.clone(),
            checks: results.clone(),
            agent: work.agent.clone(),
        };
        let policies = Arc::clone(&self.policies);
        let judged = blocking(move || Ok(policies.verify(&input))).await?;
        all.extend(judged.into_iter().map(|judged| Verdict {
            source: Source::Verifier,
            by: judged.plugin,
            finding: judged.finding,
        }));
        for verdict in all.iter().filter(|verdict| verdict.finding.severity != Severity::Info) {
            let word = if verdict.finding.severity == Severity::Deny { "denied" } else { "warned" };
            self.journal
                .tell(
                    "policy",
                    format!("{} {word}: {} ({})", verdict.by, verdict.finding.message, verdict.finding.rule),
                )
                .await;
        }
        work.outcome = Some(outcome::decide(Inputs {
            agent: &work.agent,
            agent_failure,
            declared: &self.claim.spec.checks,
            checks: &results,
            verdicts: &all,
        }));
        work.checks = results;
        work.verdicts = all;
        Ok(())
    }

    /// The tree as it is now.
    pub(super) async fn record(&self, recorder: &Arc<Recorder>) -> Result<Recorded> {
        let recorder = Arc::clone(recorder);
        blocking(move || Ok(recorder.record(Limits::default())?)).await
    }

    /// The tree as it is now, without what earlier checks (or the user) left in the
    /// working directory and the agent has not touched since.
    async fn record_agents(&self, recorder: &Arc<Recorder>, drift: &[ChangedFile]) -> Result<Recorded> {
        let mut recorded = self.record(recorder).await?;
        let all = recorded.changes.files.len();
        recorded.changes.files.retain(|file| !drift.contains(file));
        let left_out = u32::try_from(all - recorded.changes.files.len()).unwrap_or(u32::MAX);
        recorded.changes.total_files = recorded.changes.total_files.saturating_sub(left_out);
        Ok(recorded)
    }

    /// Checks write files too: caches, snapshots, what a formatter makes. In a worktree the
    /// recorded tree is put back. In the user's own directory nothing is undone (it may be
    /// the user's own work of this minute), but the next pass is not blamed for it.
    async fn after_checks(
        &self,
        recorder: &Arc<Recorder>,
        recorded: &Recorded,
        work: &mut Work,
    ) -> Result<()> {
        let after = self.record(recorder).await?;
        if after.tree == recorded.tree {
            return Ok(());
        }
        let same = |file: &ChangedFile, set: &[ChangedFile]| set.contains(file);
        let mut drifted: Vec<ChangedFile> = after
            .changes
            .files
            .iter()
            .filter(|file| !same(file, &recorded.changes.files) && !same(file, &work.drift))
            .cloned()
            .collect();
        // What the agent had changed and a check undid.
        drifted.extend(
            recorded
                .changes
                .files
                .iter()
                .filter(|file| !after.changes.files.iter().any(|other| other.path == file.path))
                .cloned(),
        );
        let paths: Vec<String> = drifted.iter().map(|file| file.path.clone()).collect();
        let listed = match paths.as_slice() {
            [] => return Ok(()),
            [first, _, _, rest @ ..] if !rest.is_empty() => format!("{first} and {} more", paths.len() - 1),
            few => few.join(", "),
        };
        if self.claim.spec.isolation == Isolation::Worktree {
            self.journal.tell("check", format!("put back what changed while the checks ran: {listed}")).await;
            return self.settle(recorder, recorded).await;
        }
        work.notes.push(format!("changed while the checks ran, not by the agent: {listed}"));
        // A file that the agent changed as well stays its change.
        let agents = |file: &ChangedFile| recorded.changes.files.iter().any(|other| other.path == file.path);
        work.drift.extend(drifted.into_iter().filter(|file| !agents(file)));
        Ok(())
    }

    /// Makes a worktree the recorded tree again, whatever the checks left there.
    pub(super) async fn settle(&self, recorder: &Arc<Recorder>, recorded: &Recorded) -> Result<()> {
        if self.claim.spec.isolation != Isolation::Worktree {
            return Ok(());
        }
        let (recorder, tree) = (Arc::clone(recorder), recorded.tree.clone());
        blocking(move || Ok(recorder.settle(&tree)?)).await
    }

    async fn scope(&self, facts: &model::types::JobFacts, recorded: &Recorded) -> Result<Vec<Verdict>> {
        let input = ScopeInput { job: facts.clone(), changes: recorded.changes.clone() };
        let policies = Arc::clone(&self.policies);
        let judged = blocking(move || Ok(policies.scope(&input))).await?;
        Ok(judged
            .into_iter()
            .map(|judged| Verdict { source: Source::Scope, by: judged.plugin, finding: judged.finding })
            .collect())
    }

    /// Puts the denied files back to what they were; gives a note of it.
    async fn put_back(&self, recorder: &Arc<Recorder>, scope: &[Verdict]) -> Result<Option<String>> {
        let paths = denied_paths(scope);
        if paths.is_empty() {
            return Ok(None);
        }
        let note = format!("put back, out of scope: {}", paths.join(", "));
        let recorder = Arc::clone(recorder);
        blocking(move || Ok(recorder.restore(&paths)?)).await?;
        self.journal.tell("policy", note.clone()).await;
        Ok(Some(note))
    }

    /// What the host itself denies, whatever policies there are.
    fn own_findings(&self, recorded: &Recorded) -> Vec<Verdict> {
        let mode = self.claim.spec.permission_mode;
        let mut found: Vec<Verdict> = edited_dependencies(recorded).into_iter().collect();
        if may_edit(mode) || recorded.changes.files.is_empty() {
            return found;
        }
        let first = recorded.changes.files.first().map(|file| file.path.clone());
        found.push(Verdict {
            source: Source::Host,
            by: "host".to_owned(),
            finding: Finding {
                rule: "changed-while-reading".to_owned(),
                severity: Severity::Deny,
                message: format!(
                    "{} files changed although the mode only reads",
                    recorded.changes.total_files
                ),
                path: first,
                line: None,
                remedy: Some("start the job with permission_mode acceptEdits if it shall edit".to_owned()),
            },
        });
        found
    }

    /// Keeps what this pass gave, so that it is there even if the worker dies in the next.
    pub(super) async fn keep_attempt(
        &self,
        attempt: u32,
        max_attempts: u32,
        recorder: &Arc<Recorder>,
        work: &Work,
    ) {
        let Some(recorded) = work.recorded.clone() else { return };
        let (recorder, artifacts, verdicts) =
            (Arc::clone(recorder), self.artifacts.clone(), work.verdicts.clone());
        let (policies, decisions) = (Arc::clone(&self.policies), self.paths.decisions());
        let kept = blocking(move || {
            let patch = recorder.patch(&recorded, PATCH_MAX)?;
            let patch = String::from_utf8_lossy(&patch);
            let findings = serde_json::to_string_pretty(&verdicts).unwrap_or_default() + "\n";
            let lost =
                |e: std::io::Error| Error::new(Kind::Environment, format!("an artifact was lost: {e}"));
            artifacts.write(DIFF, &patch).map_err(lost)?;
            artifacts.write(FINDINGS, &findings).map_err(lost)?;
            if max_attempts > 1 {
                artifacts.write(&format!("attempts/{attempt}/{DIFF}"), &patch).map_err(lost)?;
                artifacts.write(&format!("attempts/{attempt}/{FINDINGS}"), &findings).map_err(lost)?;
                artifacts.keep_logs(attempt).map_err(lost)?;
            }
            append_decisions(&policies, &decisions).map_err(lost)
        })
        .await;
        if let Err(error) = kept {
            tracing::warn!(job = %self.claim.id, %error, "a pass was not kept");
        }
    }
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
/// installation, and one that the change of a manifest explains, is told but not denied.
fn edited_dependencies(recorded: &Recorded) -> Option<Verdict> {
    let first = recorded.dependencies.first()?;
    let count = recorded.dependencies.len();
    let installed = count >= MAX_DEPENDENCIES
        || recorded.changes.files.iter().any(|file| {
            let name = file.path.rsplit('/').next().unwrap_or_default();
            MANIFESTS.contains(&name) || name.starts_with("requirements")
        });
    let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
    Some(Verdict {
        source: Source::Host,
        by: "host".to_owned(),
        finding: Finding {
            rule: "dependencies-edited".to_owned(),
            severity: if installed { Severity::Warn } else { Severity::Deny },
            message: format!("installed dependencies were written: {first}{more}"),
            path: Some(first.clone()),
            line: None,
            remedy: Some("install the dependencies anew and change only the project's own code".to_owned()),
        },
    })
}

/// Writes down what the policies decided since the last time. For the host alone: the
/// inputs stand there as the policies saw them.
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

/// What the next pass is told: only what failed.
pub(super) fn repair(outcome: &Outcome, work: &Work) -> Repair {
    Repair {
        checks: outcome.failing_checks.iter().filter_map(|n| work.checks.get(*n).cloned()).collect(),
        findings: outcome
            .denials
            .iter()
            .filter_map(|n| work.verdicts.get(*n))
            .map(|v| v.finding.clone())
            .collect(),
        diff_stat: work.recorded.as_ref().map(|recorded| recorded.stat.clone()).unwrap_or_default(),
        revert: denied_paths(&work.verdicts),
    }
}

fn summary(recorded: &Recorded) -> String {
    match recorded.changes.total_files {
        0 => "no file changed".to_owned(),
        1 => recorded.stat.first().cloned().unwrap_or_else(|| "one file changed".to_owned()),
        n => format!("{n} files changed"),
    }
}
