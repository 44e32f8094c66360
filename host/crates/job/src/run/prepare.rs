//! Everything before the first pass: opens the job's record and policies, then its
//! workspace, agent, adapter, dependencies and evidence base.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::checks::JobReader;
use super::control::Stop;
use super::journal::Journal;
use super::workspace::{self, Workspace};
use super::{Job, OrFail as _, Run, RunEnd, disk, nonce, spent};
use crate::artifacts::{Artifacts, SETUP_LOG, TRANSCRIPT};
use crate::budget::{self, Notice};
use crate::paths::JobPaths;
use crate::worker::blocking;
use ::workspace::worktree;
use adapter::Adapter;
use agent::Agent;
use config::Secret;
use evidence::Recorder;
use model::error::{Error, Kind, Result};
use model::result::FailureKind;
use model::spec::CheckCommand;
use model::types::{ChangedFile, CheckStatus};
use policy::{PolicySet, Settings};
use redact::{Redactor, sanitize};
use verify::checks::{self, Ran, Site};

/// A job whose agent can start.
pub(super) struct Prepared {
    pub job: Arc<Job>,
    pub workspace: Workspace,
    /// The allowed directories; the first is the working directory.
    pub dirs: Vec<PathBuf>,
    pub agent: Box<dyn Agent>,
    pub adapter: Arc<Adapter>,
    pub recorder: Arc<Recorder>,
    /// What checks gave on the tree before the job, by their names.
    pub before: BTreeMap<String, Ran>,
    /// What tools left there when they were run for that.
    pub tool_output: Vec<ChangedFile>,
    /// The conversation of the job that this one resumes.
    pub session: Option<String>,
}

/// Opens the job's directories, policies and event journal.
pub(super) async fn open(run: &Run) -> Result<Arc<Job>, RunEnd> {
    opened(run).await.or_fail(FailureKind::Internal)
}

async fn opened(run: &Run) -> Result<Arc<Job>> {
    let token = Secret::new(nonce()?);
    let paths = JobPaths::new(&run.config.home, &run.claim.id);
    let tier = Some(run.claim.spec.tier());
    let (settings, made) = (Settings { tier, ..Settings::from_config(&run.config) }, paths.clone());
    let policies = blocking(move || {
        made.create().map_err(|e| {
            Error::new(Kind::Environment, format!("cannot make {}: {e}", made.root().display()))
                .hint("make the state directory writable, or free some space on its disk")
        })?;
        // Opened once: what is dropped in from now on judges the next job.
        Ok(Arc::new(PolicySet::load(&settings)))
    })
    .await?;
    let mut secrets = run.config.known_secrets.clone();
    secrets.push(("ADAPTER_TOKEN".to_owned(), token.clone()));
    let redactor = Redactor::new(secrets, Some(policies.clone()));
    let journal = Journal::start(
        Arc::clone(&run.store),
        run.claim.clone(),
        redactor.clone(),
        paths.artifacts().join(TRANSCRIPT),
    )
    .map_err(|e| Error::new(Kind::Environment, format!("cannot start a thread: {e}")).caused_by(e))?;
    let reader =
        JobReader { redactor: redactor.clone(), policies: Arc::clone(&policies), paths: paths.clone() };
    Ok(Arc::new(Job {
        config: Arc::clone(&run.config),
        store: Arc::clone(&run.store),
        claim: run.claim.clone(),
        artifacts: Artifacts::new(paths.artifacts(), redactor.clone()),
        paths,
        control: Arc::clone(&run.control),
        journal,
        redactor,
        policies,
        reader: Arc::new(reader),
        token,
        containment: std::sync::Mutex::default(),
    }))
}

/// Makes what the passes need. Notes that come up on the way are kept even if it fails.
pub(super) async fn prepare(job: &Arc<Job>, notes: &mut Vec<String>) -> Result<Prepared, RunEnd> {
    let earlier = {
        let job = Arc::clone(job);
        blocking(move || workspace::earlier(&job.config, job.store.as_ref(), &job.claim.spec)).await
    }
    .or_fail(FailureKind::Workspace)?;
    let workspace = workspace::make(job, &earlier).await.or_fail(FailureKind::Workspace)?;
    notes.extend(workspace.notes.iter().cloned());
    let dirs: Vec<PathBuf> = workspace.dirs.iter().map(|dir| dir.path().to_owned()).collect();
    job.control.set_disk(job.watch_disk(&workspace).await.or_fail(FailureKind::Workspace)?);
    let agent = {
        let config = Arc::clone(&job.config);
        blocking(move || agent::for_config(&config)).await.or_fail(FailureKind::AgentFailed)?
    };
    let adapter = job.start_adapter().await.or_fail(FailureKind::Gateway)?;
    if let Some(command) = job.claim.spec.setup.as_deref().filter(|_| workspace.fresh) {
        job.set_up(command, &workspace).await.or_fail(FailureKind::Workspace)?;
        let (owner, dirs) = (workspace.owner.clone(), workspace.dirs.clone());
        let after = job.on_files(move || worktree::after_setup(owner.root(), &dirs)).await;
        notes.extend(after.or_fail(FailureKind::Workspace)?);
    }
    if job.stopping() {
        return Err(RunEnd::Stopped);
    }
    // Before the first command of the job's own: what a baseline writes is seen too.
    let recorder = {
        let (dirs, shadow) = (workspace.dirs.clone(), job.paths.shadow());
        let whole = job.config.sandbox_root.clone();
        let trusted = workspace::trusted(&job.config, &workspace.owner);
        job.on_files(move || {
            let recorder = Recorder::begin_within(&dirs, &shadow, whole.as_deref())?;
            let repositories = recorder.roots().iter().filter_map(|root| root.repository.as_ref());
            workspace::refuse_foreign(repositories, &trusted)?;
            Ok(recorder)
        })
        .await
    }
    .or_fail(FailureKind::Workspace)?;
    let mut prepared = Prepared {
        job: Arc::clone(job),
        workspace,
        dirs,
        agent,
        adapter,
        recorder: Arc::new(recorder),
        before: BTreeMap::new(),
        tool_output: Vec::new(),
        session: earlier.session,
    };
    prepared.before = job.baselines(&prepared).await.or_fail(FailureKind::Workspace)?;
    if job.stopping() {
        return Err(RunEnd::Stopped);
    }
    if !prepared.before.is_empty() {
        notes.extend(prepared.after_baselines().await.or_fail(FailureKind::Workspace)?);
    }
    Ok(prepared)
}

impl Job {
    /// Watches the directories that the job may write. (Not the caches that every job may
    /// write: what another job puts there is not this one's doing.)
    async fn watch_disk(&self, workspace: &Workspace) -> Result<disk::Verdict> {
        let mut dirs: Vec<PathBuf> = workspace.dirs.iter().map(|dir| dir.path().to_owned()).collect();
        dirs.extend([workspace.home.clone(), workspace.tmp.clone()]);
        dirs.extend([self.paths.trees(), self.paths.check_home()]);
        let limit = self.config.containment.max_disk;
        blocking(move || {
            disk::watch(dirs, limit).map_err(|e| {
                Error::new(Kind::Environment, format!("cannot start a thread: {e}")).caused_by(e)
            })
        })
        .await
    }

    /// Starts the job's adapter; the control watches the budget with its counts.
    async fn start_adapter(&self) -> Result<Arc<Adapter>> {
        let (control, journal) = (Arc::downgrade(&self.control), self.journal.clone());
        let tell = move |notice| match notice {
            Notice::Near(text) => journal.emit_blocking("budget", text),
            Notice::Refused(why) => {
                journal.emit_blocking("budget", why.clone());
                if let Some(control) = control.upgrade() {
                    control.stop(Stop::Budget(why));
                }
            }
        };
        let payer = (self.claim.id.clone(), self.claim.spec.clone());
        let options = adapter::Options {
            purse: budget::purse(&self.config, Arc::clone(&self.store), Some(payer), tell),
            listen: std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0)),
            token: self.token.clone(),
            job: Some(self.claim.id.to_string()),
            model: self.claim.spec.model.clone().or_else(|| self.config.gateway.model.clone()),
        };
        let adapter = Arc::new(Adapter::start(&self.config, options).await?);
        let meter = Arc::downgrade(&adapter);
        self.control.set_meter(Arc::new(move || {
            meter.upgrade().map(|adapter| spent(&adapter.usage())).unwrap_or_default()
        }));
        Ok(adapter)
    }

    /// A new worktree's setup command. What it makes is there for the agent and the checks.
    async fn set_up(&self, command: &str, workspace: &Workspace) -> Result<()> {
        self.journal.emit("setup", format!("running {}", sanitize::line(command, 120))).await;
        let setup = CheckCommand {
            name: "setup".to_owned(),
            command: command.to_owned(),
            timeout_ms: u64::try_from(self.control.time_left().as_millis()).unwrap_or(u64::MAX),
            cwd: None,
            must_fail_before: false,
            baseline: false,
            parallel: false,
        };
        let site = Site { reports: None, ..self.site_in(workspace, "setup")? };
        let ran = checks::run(&[setup], &site, &self.reader, self.control.token()).await;
        let Some(ran) = ran.into_iter().next().filter(|ran| !ran.cancelled) else { return Ok(()) };
        if let Err(error) = self.artifacts.write_redacted(SETUP_LOG, &ran.log) {
            tracing::warn!(%error, "the setup's log was lost");
        }
        self.note_check_containment(&ran);
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
    async fn baselines(&self, prepared: &Prepared) -> Result<BTreeMap<String, Ran>> {
        let proofs: Vec<CheckCommand> =
            self.claim.spec.checks.iter().filter(|c| c.must_fail_before || c.baseline).cloned().collect();
        if proofs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let count = match proofs.len() {
            1 => "one check".to_owned(),
            n => format!("{n} checks"),
        };
        self.journal.emit("check", format!("running {count} on the tree before the job")).await;
        let site = prepared.site("before")?;
        let ran = checks::run(&proofs, &site, &self.reader, self.control.token()).await;
        for ran in &ran {
            self.keep_log("before", ran);
        }
        Ok(ran.into_iter().map(|ran| (ran.result.name.clone(), ran)).collect())
    }
}
