//! Running a job's checks on the recorded tree, and what surrounds every command of a job.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::pass::PassContext;
use super::prepare::Prepared;
use super::workspace::Workspace;
use super::{Job, nonce};
use crate::artifacts::check_log;
use crate::paths::{JobPaths, create_private};
use contain::{Limits, environment};
use evidence::Recorded;
use model::error::{Error, Kind, Result};
use model::types::{CheckResult, CheckStatus, CommandOutput, FileKind, Signal};
use policy::PolicySet;
use redact::Redactor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use verify::agreement::{self, Runs};
use verify::checks::{self, Ran, Reader, Site, Variables};
use verify::guard;
use verify::out_of_band::Reports;
use verify::outcome::{CheckEvidence, Verdict};
use workspace::{root, worktree};

/// Where interpreters look for compiled code; a directory of its own for each round.
pub(super) const FRESH_CACHES: &[(&str, &str)] = &[
    ("PYTHONPYCACHEPREFIX", "pycache"),
    ("NODE_COMPILE_CACHE", "node-compile"),
    ("BABEL_CACHE_PATH", "babel.json"),
    ("BOOTSNAP_CACHE_DIR", "bootsnap"),
    ("NUMBA_CACHE_DIR", "numba"),
];

/// Redacts with the job's redactor, reads with its policies, and notes process tags.
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
        let facts = match shown(&self.redactor, output) {
            Ok(output) => self.policies.signals(&output),
            Err(error) => return (Vec::new(), vec![format!("the output was not read: {error}")]),
        };
        (facts.signals.into_iter().map(|(_, signal)| signal).collect(), facts.notes)
    }

    fn started(&self, tag: &str) -> std::io::Result<()> {
        note_process_tag(&self.paths, tag)
    }
}

/// What policies are shown: known secrets masked in every text, so that no decision on disk
/// holds one.
pub(super) fn shown<T: Serialize + DeserializeOwned>(redactor: &Redactor, input: &T) -> Result<T> {
    fn mask(redactor: &Redactor, value: &mut Value) {
        match value {
            Value::String(text) => *text = redactor.known_secrets_only(text),
            Value::Array(items) => items.iter_mut().for_each(|item| mask(redactor, item)),
            Value::Object(members) => members.values_mut().for_each(|member| mask(redactor, member)),
            _ => {}
        }
    }
    let fault = |error: serde_json::Error| {
        Error::new(Kind::Internal, format!("cannot mask what a policy is shown: {error}"))
    };
    let mut value = serde_json::to_value(input).map_err(fault)?;
    mask(redactor, &mut value);
    serde_json::from_value(value).map_err(fault)
}

/// Writes a process tag down before a process tree that carries it is started.
pub(super) fn note_process_tag(paths: &JobPaths, tag: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(paths.process_tags())?;
    file.write_all(format!("{tag}\n").as_bytes())?;
    file.sync_data()
}

/// What the checks of one pass gave.
#[derive(Default)]
pub(super) struct Checked {
    pub results: Vec<CheckResult>,
    pub notes: Vec<String>,
    pub verdicts: Vec<Verdict>,
    /// Some were run again on an altered tree.
    pub guarded: bool,
    /// What further runs showed.
    pub evidence: Vec<CheckEvidence>,
    /// What runners wrote beside their output, by the check's name.
    pub reports: BTreeMap<String, Reports>,
    /// Those that need files which the result does not hold.
    pub dependent: BTreeSet<String>,
}

impl PassContext<'_> {
    /// Runs all checks on the recorded tree.
    pub(super) async fn check(&self) -> Result<Checked> {
        let (prepared, job) = (self.prepared, &self.prepared.job);
        let declared = &job.claim.spec.checks;
        if declared.is_empty() {
            return Ok(Checked::default());
        }
        job.artifacts.drop_logs();
        let site = prepared.site(&format!("{}", self.attempt))?;
        let mut ran = checks::run(declared, &site, &job.reader, job.control.token()).await;
        let mut notes = Vec::new();
        for ran in &mut ran {
            if let Some(baseline) = prepared.before.get(&ran.result.name) {
                ran.result.baseline = Some(baseline.result.status);
                ran.result.baseline_signals.clone_from(&baseline.result.signals);
            }
            job.keep_log("", ran);
            job.note_check_containment(ran);
            notes.append(&mut ran.notes);
            job.journal.emit("check", one_line(&ran.result)).await;
        }
        let mut checked = Checked { notes, ..Checked::default() };
        for ran in ran {
            checked.reports.extend(ran.reports.map(|reports| (ran.result.name.clone(), reports)));
            checked.results.push(ran.result);
        }
        Ok(checked)
    }

    /// Whether exit, summary and report of each check agree, and whether what ran before the
    /// job ran after it.
    pub(super) fn agreement(&self, recorded: &Recorded, checked: &Checked) -> Result<Vec<Verdict>> {
        let (spec, patterns) = (&self.prepared.job.claim.spec, self.guard_patterns()?);
        let guarded = guard::of(&recorded.changes.files, self.scope_paths(), &patterns);
        // New tests take no old ones away.
        let old = recorded.changes.files.iter().filter(|file| file.old_kind != FileKind::Absent);
        let tests_changed = guard::tests_changed(&old.cloned().collect::<Vec<_>>(), &patterns);
        let judge = |result: &CheckResult| {
            let passed = result.guarded == Some(CheckStatus::Passed);
            agreement::judge(Runs {
                result,
                now: checked.reports.get(&result.name),
                before: self.prepared.before.get(&result.name).and_then(|ran| ran.reports.as_ref()),
                tests_settled: tests_changed && (passed || !spec.guard_tests || guarded.is_empty()),
                tier: spec.tier(),
            })
        };
        Ok(checked.results.iter().flat_map(judge).collect())
    }
}

impl Prepared {
    /// What surrounds a check in the job's own directories, which must still be those that it
    /// was allowed.
    pub(super) fn site(&self, label: &str) -> Result<Site> {
        root::unchanged(&self.workspace.dirs)?;
        self.job.site_in(&self.workspace, label)
    }
}

impl Job {
    /// [`Job::site`] in the job's own directories.
    pub(super) fn site_in(&self, workspace: &Workspace, label: &str) -> Result<Site> {
        let dirs: Vec<PathBuf> = workspace.dirs.iter().map(|dir| dir.path().to_owned()).collect();
        let mut site = self.site(&dirs[0], dirs.clone(), label)?;
        workspace.shown.add_to(&mut site.limits);
        Ok(site)
    }

    /// What surrounds a check: a fresh home, the allow-listed environment, and nothing
    /// writable but `writable`.
    pub(super) fn site(&self, dir: &Path, mut writable: Vec<PathBuf>, label: &str) -> Result<Site> {
        worktree::delete(&self.paths.check_home());
        // Another one for each run: code that knows the first by its directories shows itself.
        let around = self.paths.check_home().join(&nonce()?[..8]);
        let (home, tmp) = (around.join("home"), around.join("tmp"));
        for dir in [&home, &tmp] {
            create_private(dir).map_err(|e| cannot("make", dir, &e))?;
        }
        let mut env = environment::of_host(&home, &tmp);
        // Compiled code that the agent left in an interpreter's cache need not be what its
        // source says.
        for (variable, cache) in FRESH_CACHES {
            env.insert((*variable).to_owned(), around.join(cache).to_string_lossy().into_owned());
        }
        let reports = around.clone();
        writable.push(around);
        Ok(Site {
            dir: dir.to_owned(),
            env,
            limits: Limits::of_job(&self.config, writable, Vec::new(), self.config.check_network),
            tag: self.process_tag(label),
            output_max: self.config.check_output_max,
            variables: Variables::Ours,
            reports: Some(reports),
        })
    }

    /// Keeps a check's log; a log that cannot be written is no reason to fail the job.
    pub(super) fn keep_log(&self, run: &str, ran: &Ran) {
        let name = check_log(&ran.result.name);
        let name = if run.is_empty() { name } else { name.replace(".log", &format!(".{run}.log")) };
        if let Err(error) = self.artifacts.write_redacted(&name, &ran.log) {
            tracing::warn!(%error, name, "a check's log was lost");
        }
    }
}

pub(super) fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Environment, format!("cannot {what} {}: {error}", path.display()))
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
