//! One job from its claim to its end: workspace, evidence base, adapter, agent, record,
//! scope, checks, signals, verifiers, outcome, and again while there is reason to. What can
//! end it from outside comes in through [`control`] alone; whatever happens, panics
//! included, becomes the job's result.

mod checking;
pub mod control;
mod disk;
mod end;
pub mod journal;
mod judging;
pub(super) mod place;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use self::checking::{Checked, JobReader, note_mark};
use self::control::Control;
use self::journal::Journal;
pub(super) use self::judging::PATCH_MAX;
use super::artifacts::{Artifacts, TRANSCRIPT};
use super::paths::JobPaths;
use super::revise::{self, Budget, Next, Spent};
use super::store::{Claim, JobStore};
use super::worker::blocking;
use adapter::{self, Adapter};
use agent::{self, AgentFailure, Pass, Report};
use config::{Config, Secret};
use contain::{InForce, Limits};
use evidence::{Recorded, Recorder};
use model::error::{Error, Kind, Result};
use model::result::FailureKind;
use model::spec::PermissionMode;
use model::status::JobStatus;
use model::types::{
    AgentEnd, AgentOutcome, ChangedFile, CheckResult, CheckSpec, Draft, JobFacts, PromptInput, Repair,
    ScopeDeclaration,
};
use policy::{PolicySet, Settings};
use redact::Redactor;
use verify::checks::Reader;
use verify::fingerprint::{self, Fingerprint};
use verify::outcome::{Outcome, Verdict};
use workspace::worktree;

/// Runs a claimed job to its end; whatever happens is the job's result.
pub async fn job(config: Arc<Config>, store: Arc<dyn JobStore>, claim: Claim, shutdown: CancellationToken) {
    let timeout = Duration::from_millis(claim.spec.timeout_ms);
    let budget = Budget { requests: config.max_requests, tokens: config.max_tokens };
    let control = Arc::new(Control::start(Arc::clone(&store), claim.clone(), timeout, budget, shutdown));
    tracing::info!(job = %claim.id, epoch = claim.epoch, "claimed");
    let mut work = Work::new(Instant::now());
    let driven = drive(&config, &store, &claim, &control, &mut work);
    let ran = match AssertUnwindSafe(driven).catch_unwind().await {
        Ok(ran) => ran,
        Err(panic) => {
            Err(Fail { kind: FailureKind::Internal, error: Error::new(Kind::Internal, words_of(&*panic)) })
        }
    };
    end::end(&config, &store, &claim, &control, work, ran).await;
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the worker broke: {}", words.unwrap_or("for an unknown reason"))
}

/// Why a job could not be carried through.
struct Fail {
    kind: FailureKind,
    error: Error,
}

/// Names the part that failed.
trait OrFail<T> {
    fn or_fail(self, kind: FailureKind) -> Result<T, Fail>;
}

impl<T> OrFail<T> for Result<T> {
    fn or_fail(self, kind: FailureKind) -> Result<T, Fail> {
        self.map_err(|error| Fail { kind, error })
    }
}

/// What every part of a running job needs; fixed once it is prepared.
struct Job {
    config: Arc<Config>,
    store: Arc<dyn JobStore>,
    claim: Claim,
    paths: JobPaths,
    control: Arc<Control>,
    journal: Journal,
    redactor: Redactor,
    policies: Arc<PolicySet>,
    artifacts: Artifacts,
    reader: Arc<dyn Reader>,
    in_force: std::sync::Mutex<InForces>,
}

/// The weakest containment that was in force so far.
#[derive(Clone, Debug, Default)]
struct InForces {
    agent: Option<InForce>,
    checks: Option<InForce>,
}

fn weaker(seen: &mut Option<InForce>, now: &InForce) {
    if seen.as_ref().is_none_or(|seen| now.strength >= seen.strength) {
        *seen = Some(now.clone());
    }
}

/// What was gathered so far; what there is of it becomes the result, also after a cancel.
struct Work {
    started: Instant,
    job: Option<Arc<Job>>,
    place: Option<place::Place>,
    recorder: Option<Arc<Recorder>>,
    adapter: Option<Arc<Adapter>>,
    agent_name: Option<String>,
    agent_started: bool,
    attempts: u32,
    agent: AgentOutcome,
    recorded: Option<Recorded>,
    checks: Vec<CheckResult>,
    verdicts: Vec<Verdict>,
    outcome: Option<Outcome>,
    /// What changed in the working directory while checks ran, and not by the agent.
    drift: Vec<ChangedFile>,
    /// Of the whole job, in the order in which they came up.
    notes: Vec<String>,
    /// Of the last pass only.
    pass_notes: Vec<String>,
}

impl Work {
    fn new(started: Instant) -> Work {
        Work {
            started,
            job: None,
            place: None,
            recorder: None,
            adapter: None,
            agent_name: None,
            agent_started: false,
            attempts: 0,
            agent: no_agent(),
            recorded: None,
            checks: Vec::new(),
            verdicts: Vec::new(),
            outcome: None,
            drift: Vec::new(),
            notes: Vec::new(),
            pass_notes: Vec::new(),
        }
    }
}

fn no_agent() -> AgentOutcome {
    AgentOutcome {
        ended: AgentEnd::Error,
        turns: 0,
        tool_calls: 0,
        permission_denials: 0,
        claim: String::new(),
        commands: Vec::new(),
    }
}

/// How the way of a job ended, if not with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// With a judged pass that is the last.
    Judged,
    /// The control has fired.
    Stopped,
}

/// The job's way.
async fn drive(
    config: &Arc<Config>,
    store: &Arc<dyn JobStore>,
    claim: &Claim,
    control: &Arc<Control>,
    work: &mut Work,
) -> Result<Way, Fail> {
    let token = Secret::new(random_word().or_fail(FailureKind::Internal)?);
    let job = prepare(config, store, claim, control, &token).await.or_fail(FailureKind::Internal)?;
    work.job = Some(Arc::clone(&job));
    let earlier = {
        let job = Arc::clone(&job);
        blocking(move || place::earlier(&job.config, job.store.as_ref(), &job.claim.spec)).await
    }
    .or_fail(FailureKind::Workspace)?;
    let place = place::make(&job, &earlier).await.or_fail(FailureKind::Workspace)?;
    work.notes.extend(place.notes.iter().cloned());
    work.place = Some(place.clone());
    let dirs: Vec<PathBuf> = place.dirs.iter().map(|dir| dir.path().to_owned()).collect();

    control.set_disk(job.watch_disk(&place).await.or_fail(FailureKind::Workspace)?);

    let agent = {
        let config = Arc::clone(config);
        blocking(move || agent::for_config(&config)).await.or_fail(FailureKind::AgentFailed)?
    };
    work.agent_name = Some(agent.name());
    let options = adapter::Options {
        listen: std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0)),
        token: token.clone(),
        job: Some(claim.id.to_string()),
        model: claim.spec.model.clone().or_else(|| config.gateway.model.clone()),
    };
    let adapter = Adapter::start(config, options).await.or_fail(FailureKind::Gateway)?;
    let (base_url, port, adapter) = (adapter.base_url(), adapter.port(), Arc::new(adapter));
    let meter = Arc::downgrade(&adapter);
    control.set_meter(Arc::new(move || {
        meter.upgrade().map(|adapter| spent(&adapter.usage())).unwrap_or_default()
    }));
    work.adapter = Some(adapter);

    if let Some(command) = claim.spec.setup.as_deref().filter(|_| place.fresh) {
        job.set_up(command, &dirs).await.or_fail(FailureKind::Workspace)?;
        let (owner, dirs) = (place.owner.clone(), place.dirs.clone());
        let notes = blocking(move || worktree::after_setup(owner.root(), &dirs)).await;
        work.notes.extend(notes.or_fail(FailureKind::Workspace)?);
    }
    let before = job.baselines(&dirs).await.or_fail(FailureKind::Workspace)?;
    if control.token().is_cancelled() {
        return Ok(Way::Stopped);
    }
    let recorder = {
        let (dirs, shadow) = (place.dirs.clone(), job.paths.shadow());
        let whole = config.sandbox_root.clone();
        blocking(move || Ok(Recorder::begin_within(&dirs, &shadow, whole.as_deref())?)).await
    }
    .or_fail(FailureKind::Workspace)?;
    let recorder = Arc::new(recorder);
    work.recorder = Some(Arc::clone(&recorder));

    let max_attempts = claim.spec.max_revise_passes + 1;
    let mut session = earlier.session;
    let mut fingerprints: Vec<Fingerprint> = Vec::new();
    let mut escalated = false;
    let mut first_prompt = String::new();
    let mut repair: Option<Repair> = None;
    for attempt in 1..=max_attempts {
        work.attempts = attempt;
        if let Some(adapter) = &work.adapter {
            adapter.set_attempt(attempt);
        }
        let (prompt, notes) = job
            .prompt(attempt, repair.take(), &first_prompt, session.is_some())
            .await
            .or_fail(FailureKind::Internal)?;
        work.pass_notes = notes;
        if attempt == 1 {
            first_prompt.clone_from(&prompt);
        }
        let pass = job.pass(attempt, prompt, &place, &dirs, &base_url, port, &token, session.clone());
        note_mark(&job.paths, &pass.mark)
            .map_err(|e| Error::new(Kind::Environment, e.to_string()))
            .or_fail(FailureKind::Internal)?;
        work.agent_started = true;
        let report = agent.run(pass, job.journal.agent(), control.token().clone()).await;
        job.journal.flush().await;
        work.agent = report.outcome.clone();
        job.note_in_force(&report.in_force);
        if let Some(name) = report.session.clone() {
            let (store, claim, name_) = (Arc::clone(store), claim.clone(), name.clone());
            blocking(move || store.set_session(&claim, &name_)).await.or_fail(FailureKind::Internal)?;
            session = Some(name);
        }
        if control.token().is_cancelled()
            || !job.advance(JobStatus::Verifying).await.or_fail(FailureKind::Internal)?
        {
            return Ok(Way::Stopped);
        }
        let failure = agent_failure(&report, work.adapter.as_deref());
        job.judge(attempt, max_attempts, failure.as_ref(), &dirs, &recorder, &before, work)
            .await
            .or_fail(FailureKind::Workspace)?;
        let Some(outcome) = work.outcome.clone().filter(|_| !control.token().is_cancelled()) else {
            return Ok(Way::Stopped);
        };
        job.keep_attempt(attempt, max_attempts, &recorder, work).await;
        fingerprints.push(fingerprint::of(&outcome, &work.checks, &work.verdicts));
        let escalate_to = config.agent.escalate_model.as_deref();
        let next = revise::decide(revise::State {
            completed: outcome.status == JobStatus::Completed,
            mendable: outcome.mendable,
            attempt,
            max_attempts,
            fingerprints: &fingerprints,
            time_left: control.time_left(),
            spent: work.adapter.as_ref().map(|adapter| spent(&adapter.usage())).unwrap_or_default(),
            budget: Budget { requests: config.max_requests, tokens: config.max_tokens },
            escalate_to,
            escalated,
        });
        match next {
            Next::Finish => return Ok(Way::Judged),
            Next::Stop { reason } => {
                job.journal.tell("state", format!("no further pass: {reason}")).await;
                work.notes.push(format!("no further pass: {reason}"));
                return Ok(Way::Judged);
            }
            Next::Revise { model } => {
                if let (Some(model), Some(adapter)) = (model, &work.adapter) {
                    job.journal.tell("state", format!("going on with {model}")).await;
                    work.notes.push(format!("pass {} on was made with {model}", attempt + 1));
                    adapter.set_model(model);
                    escalated = true;
                }
                repair = Some(judging::repair(&outcome, work));
                if !job.advance(JobStatus::Revising).await.or_fail(FailureKind::Internal)? {
                    return Ok(Way::Stopped);
                }
            }
        }
    }
    Ok(Way::Judged)
}

async fn prepare(
    config: &Arc<Config>,
    store: &Arc<dyn JobStore>,
    claim: &Claim,
    control: &Arc<Control>,
    token: &Secret,
) -> Result<Arc<Job>> {
    let paths = JobPaths::new(&config.home, &claim.id);
    let (settings, made) = (Settings::from_config(config), paths.clone());
    let policies = blocking(move || {
        made.create().map_err(|e| {
            Error::new(Kind::Environment, format!("cannot make {}: {e}", made.root().display()))
                .hint("make the state directory writable, or free some space on its disk")
        })?;
        // Opened once: what is dropped in from now on judges the next job.
        Ok(Arc::new(PolicySet::load(&settings)))
    })
    .await?;
    let mut secrets = config.known_secrets.clone();
    secrets.push(("ADAPTER_TOKEN".to_owned(), token.clone()));
    let redactor = Redactor::new(secrets, Some(policies.clone()));
    let journal = Journal::start(
        Arc::clone(store),
        claim.clone(),
        redactor.clone(),
        paths.artifacts().join(TRANSCRIPT),
    )
    .map_err(|e| Error::new(Kind::Environment, format!("cannot start a thread: {e}")))?;
    let reader =
        JobReader { redactor: redactor.clone(), policies: Arc::clone(&policies), paths: paths.clone() };
    Ok(Arc::new(Job {
        config: Arc::clone(config),
        store: Arc::clone(store),
        claim: claim.clone(),
        artifacts: Artifacts::new(paths.artifacts(), redactor.clone()),
        paths,
        control: Arc::clone(control),
        journal,
        redactor,
        policies,
        reader: Arc::new(reader),
        in_force: std::sync::Mutex::default(),
    }))
}

impl Job {
    /// False if the claim is lost.
    async fn advance(&self, to: JobStatus) -> Result<bool> {
        let (store, claim) = (Arc::clone(&self.store), self.claim.clone());
        blocking(move || store.advance(&claim, to)).await
    }

    /// Watches the directories that the job may write. (Not the caches that every job may
    /// write: what another job puts there is not this one's doing.)
    async fn watch_disk(&self, place: &place::Place) -> Result<disk::Verdict> {
        let mut dirs: Vec<PathBuf> = place.dirs.iter().map(|dir| dir.path().to_owned()).collect();
        dirs.extend([place.home.clone(), place.tmp.clone(), self.paths.trees(), self.paths.check_home()]);
        let limit = self.config.containment.max_disk;
        blocking(move || {
            disk::watch(dirs, limit)
                .map_err(|e| Error::new(Kind::Environment, format!("cannot start a thread: {e}")))
        })
        .await
    }

    /// A mark for one process tree: the job, its epoch and what the tree is for.
    fn mark(&self, label: &str) -> String {
        format!("cw-{}-{}-{label}", self.claim.id, self.claim.epoch)
    }

    fn facts(&self, attempt: u32, max_attempts: u32) -> JobFacts {
        let spec = &self.claim.spec;
        JobFacts {
            task: spec.prompt.clone(),
            scope: spec.scoped_patch.as_ref().map(|scope| ScopeDeclaration {
                paths: scope.paths.clone(),
                max_diff_bytes: scope.max_diff_bytes,
            }),
            checks: spec
                .checks
                .iter()
                .map(|check| CheckSpec {
                    name: check.name.clone(),
                    // Policies and the agent must know where it runs to know which files it runs.
                    command: match &check.cwd {
                        Some(cwd) => format!("cd {} && {}", shell_word(cwd), check.command),
                        None => check.command.clone(),
                    },
                })
                .collect(),
            attempt,
            max_attempts,
            // A resumed job may find the change made already.
            expects_change: may_edit(spec.permission_mode) && spec.resume.is_none(),
        }
    }

    /// The prompt of a pass. A repair goes to the conversation that is open; an agent that
    /// has none is told the task again first.
    async fn prompt(
        &self,
        attempt: u32,
        repair: Option<Repair>,
        first: &str,
        conversation: bool,
    ) -> Result<(String, Vec<String>)> {
        let again = repair.is_some() && !conversation;
        let body = if repair.is_some() { String::new() } else { self.claim.spec.prompt.clone() };
        let input = PromptInput {
            job: self.facts(attempt, self.claim.spec.max_revise_passes + 1),
            draft: Draft { stable: String::new(), body },
            repair,
            fence: random_word()?,
        };
        let policies = Arc::clone(&self.policies);
        let shaped = blocking(move || Ok(policies.shape(&input))).await?;
        let parts = [if again { first } else { "" }, &shaped.draft.stable, &shaped.draft.body];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.trim().is_empty()).collect();
        Ok((parts.join("\n\n"), shaped.notes))
    }

    #[expect(clippy::too_many_arguments, reason = "a pass is made of these; a struct would only rename them")]
    fn pass(
        &self,
        attempt: u32,
        prompt: String,
        place: &place::Place,
        dirs: &[PathBuf],
        base_url: &str,
        port: u16,
        token: &Secret,
        session: Option<String>,
    ) -> Pass {
        let spec = &self.claim.spec;
        let agent = &self.config.agent;
        let model = agent
            .claude_code_model
            .clone()
            .or_else(|| spec.model.clone())
            .or_else(|| self.config.gateway.model.clone());
        let mut writable = dirs.to_vec();
        writable.extend([place.home.clone(), place.tmp.clone()]);
        Pass {
            prompt,
            cwd: dirs[0].clone(),
            home: place.home.clone(),
            tmp: place.tmp.clone(),
            base_url: base_url.to_owned(),
            token: token.expose().to_owned(),
            model: model.unwrap_or_else(|| "sonnet".to_owned()),
            permission_mode: spec.permission_mode,
            max_turns: agent.max_turns,
            session,
            check_commands: spec.checks.iter().map(|check| check.command.clone()).collect(),
            limits: Limits::of_job(&self.config, writable, vec![port], self.config.allow_network),
            mark: self.mark(&format!("{attempt}a")),
            // The control ends it; this is for an agent that does not listen.
            timeout: self.control.time_left() + Duration::from_secs(5),
        }
    }

    fn note_in_force(&self, in_force: &InForce) {
        let mut slot = self.in_force.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        weaker(&mut slot.agent, in_force);
    }

    fn note_containment(&self, ran: &verify::checks::Ran) {
        if let Some(in_force) = &ran.in_force {
            let mut slot = self.in_force.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            weaker(&mut slot.checks, in_force);
        }
    }
}

/// The mode lets the agent change files.
fn may_edit(mode: PermissionMode) -> bool {
    match mode {
        PermissionMode::AcceptEdits | PermissionMode::BypassPermissions => true,
        PermissionMode::Default | PermissionMode::Plan => false,
    }
}

/// What the agent says of its failure; where the adapter knows of one at the gateway that
/// trying again does not mend, that is the cause.
fn agent_failure(report: &Report, adapter: Option<&Adapter>) -> Option<AgentFailure> {
    if report.outcome.ended != AgentEnd::Error {
        return report.failure.clone();
    }
    match adapter.and_then(Adapter::last_failure) {
        Some(failure) => Some(AgentFailure {
            gateway: true,
            message: failure.message,
            hint: match failure.status {
                Some(401 | 403) => {
                    "check ONEAPI_API_KEY; `codex-worker doctor --network` tries it".to_owned()
                }
                Some(429) => "the gateway limits requests: wait, or set FALLBACK_MODELS".to_owned(),
                _ => "`codex-worker doctor --network` tries the gateway".to_owned(),
            },
        }),
        None => report.failure.clone(),
    }
}

fn spent(totals: &adapter::Totals) -> Spent {
    Spent {
        requests: totals.requests,
        tokens: totals.input_tokens.unwrap_or_default() + totals.output_tokens.unwrap_or_default(),
    }
}

/// 128 random bits, for a token or a fence.
fn random_word() -> Result<String> {
    model::spec::JobId::random()
        .map(|id| id.as_str().to_owned())
        .map_err(|e| Error::new(Kind::Environment, format!("no random numbers: {e}")))
}

/// A path as one word of a shell line.
fn shell_word(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./@+".contains(c);
    match path.chars().all(plain) {
        true => path.to_owned(),
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}
