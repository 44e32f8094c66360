//! Running a job's checks: where, with what around them, and again with the tests as they
//! were before the job.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Job;
use crate::contain::{Limits, environment};
use crate::error::{Error, Kind, Result};
use crate::evidence::{Recorded, Recorder};
use crate::job::artifacts::{Artifacts, check_log};
use crate::job::paths::{JobPaths, create_private};
use crate::job::spec::CheckCommand;
use crate::job::worker::blocking;
use crate::policy::PolicySet;
use crate::policy::types::{CheckResult, CheckStatus, CommandOutput, Finding, Severity, Signal};
use crate::report::redact::Redactor;
use crate::verify::checks::{self, Ran, Reader, Site};
use crate::verify::guard;
use crate::verify::outcome::{Source, TESTS_WEAKENED, Verdict};

/// Directories that package managers make and git ignores. A copy of the tree gets links to
/// them, because checks do not start without. (`target` is not among them: cargo must write
/// it, so a copy has one of its own.)
const DEPENDENCIES: &[&str] = &[
    "node_modules",
    ".venv",
    "venv",
    "vendor",
    ".yarn",
    ".pnp.cjs",
    ".pnp.loader.mjs",
    "bower_components",
    ".bundle",
    "Pods",
    "deps",
    "elm-stuff",
    ".gradle",
    ".m2",
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
    /// The checks that must fail on the tree before the job are run on it, in the working
    /// directory, before the agent has touched anything: there they have their dependencies.
    pub(super) async fn baselines(&self, dirs: &[PathBuf]) -> Result<BTreeMap<String, Ran>> {
        let proofs: Vec<CheckCommand> =
            self.claim.spec.checks.iter().filter(|check| check.must_fail_before).cloned().collect();
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

    /// Runs all checks on the recorded tree, and the guarded run.
    pub(super) async fn check(
        &self,
        attempt: u32,
        dirs: &[PathBuf],
        recorder: &Arc<Recorder>,
        recorded: &Recorded,
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
        let mut results: Vec<CheckResult> = ran.into_iter().map(|ran| ran.result).collect();
        let verdicts = match self.guarded(attempt, recorder, recorded, &mut results, &mut notes).await {
            Ok(verdicts) => verdicts,
            Err(error) => {
                notes.push(format!("the guarded run could not be made: {}", error.message));
                Vec::new()
            }
        };
        let _ = std::fs::remove_dir_all(self.paths.trees());
        Ok(Checked { results, notes, verdicts })
    }

    /// Runs the checks that passed again with the base versions of the changed tests. One
    /// that fails there although it passes in the same place with the agent's versions says
    /// that the tests were bent, not the code mended.
    async fn guarded(
        &self,
        attempt: u32,
        recorder: &Arc<Recorder>,
        recorded: &Recorded,
        results: &mut [CheckResult],
        notes: &mut Vec<String>,
    ) -> Result<Vec<Verdict>> {
        let spec = &self.claim.spec;
        let scope = spec.scoped_patch.as_ref().map(|scope| scope.paths.clone()).unwrap_or_default();
        let guard = guard::of(&recorded.changes.files, &scope);
        let passed = |results: &[CheckResult], name: &str| {
            results.iter().any(|result| result.name == name && result.status == CheckStatus::Passed)
        };
        let guarded: Vec<CheckCommand> = spec
            .checks
            .iter()
            .filter(|check| guard::runs_tests(&check.command) && passed(results, &check.name))
            .cloned()
            .collect();
        if !spec.guard_tests || guard.is_empty() || guarded.is_empty() || self.control.token().is_cancelled()
        {
            return Ok(Vec::new());
        }
        let put_back: Vec<String> = guard.restore.iter().chain(&guard.remove).cloned().collect();
        self.journal
            .tell("check", format!("again with {} as they were before the job", put_back.join(", ")))
            .await;
        let dir = self.copy(recorder, &recorded.tree, "guarded", Some(put_back.clone())).await?;
        let ran = self.run_in_copy(&guarded, &dir, &format!("{attempt}g")).await?;
        let mut suspects = Vec::new();
        for ran in &ran {
            self.keep_log(&self.artifacts, "guarded", ran);
            let Some(result) = results.iter_mut().find(|result| result.name == ran.result.name) else {
                continue;
            };
            match ran.result.status {
                CheckStatus::Passed => result.guarded = Some(CheckStatus::Passed),
                CheckStatus::Failed => {
                    suspects.extend(guarded.iter().find(|check| check.name == ran.result.name).cloned());
                }
                CheckStatus::TimedOut | CheckStatus::NotRun => {
                    notes.push(format!("{}: the guarded run did not end", ran.result.name));
                }
            }
        }
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        // The same place with the agent's own tests: if that fails too, the place is to blame.
        let dir = self.copy(recorder, &recorded.tree, "control", None).await?;
        let control = self.run_in_copy(&suspects, &dir, &format!("{attempt}c")).await?;
        let mut verdicts = Vec::new();
        for ran in control {
            let Some(result) = results.iter_mut().find(|result| result.name == ran.result.name) else {
                continue;
            };
            if ran.result.status == CheckStatus::Passed {
                result.guarded = Some(CheckStatus::Failed);
                verdicts.push(weakened(&ran.result.name, &guard.restore, &guard.remove));
            } else {
                notes.push(format!(
                    "{}: cannot be run in a copy of the tree, so its tests are not guarded",
                    ran.result.name
                ));
            }
        }
        Ok(verdicts)
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
        let cwds: BTreeSet<PathBuf> =
            self.claim.spec.checks.iter().filter_map(|check| check.cwd.as_ref()).map(PathBuf::from).collect();
        blocking(move || {
            create_private(&into).map_err(|e| cannot("make", &into, &e))?;
            recorder.materialise(&tree, &into)?;
            if let Some(paths) = put_back {
                recorder.overlay(&recorder.base_tree(), &paths, &into)?;
            }
            let prefix = recorder.base_prefix();
            let mut levels: BTreeSet<PathBuf> = prefix.ancestors().map(Path::to_owned).collect();
            levels.extend(cwds.iter().map(|cwd| prefix.join(cwd)));
            for level in levels {
                link_dependencies(&recorder.top().join(&level), &into.join(&level));
            }
            Ok(into.join(prefix))
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
fn link_dependencies(live: &Path, copy: &Path) {
    for name in DEPENDENCIES {
        let (from, to) = (live.join(name), copy.join(name));
        if from.exists() && to.symlink_metadata().is_err() {
            let _ = std::os::unix::fs::symlink(&from, &to);
        }
    }
}

fn weakened(check: &str, restored: &[String], removed: &[String]) -> Verdict {
    let all: Vec<&str> = restored.iter().chain(removed).map(String::as_str).collect();
    let files = match all.as_slice() {
        few if few.len() <= 4 => few.join(", "),
        [a, b, c, rest @ ..] => format!("{a}, {b}, {c} and {} more", rest.len()),
        few => few.join(", "),
    };
    Verdict {
        source: Source::Host,
        by: "host".to_owned(),
        finding: Finding {
            rule: TESTS_WEAKENED.to_owned(),
            severity: Severity::Deny,
            message: format!("check `{check}` passes only with the changed {files}"),
            path: all.first().map(|path| (*path).to_owned()),
            line: None,
            remedy: Some(format!("put {files} back as it was and make the code pass it")),
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
