//! One job from its claim to its end: prepare (workspace, adapter, agent, evidence base),
//! then passes of the agent, each judged, while there is reason for another. One loop owns
//! what was gathered ([`Progress`]). What can end it from outside comes in through
//! [`control`] alone; whatever happens, panics included, becomes the job's result.

mod checks;
pub mod control;
mod disk;
mod end;
mod guard;
pub mod journal;
mod judge;
mod pass;
mod prepare;
mod tree_run;
mod witness;
mod workspace;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use self::control::Control;
use self::journal::Journal;
use self::judge::Judged;
use self::pass::PassContext;
use self::prepare::Prepared;
pub use self::workspace::earlier;
use super::artifacts::Artifacts;
use super::conclude::Containment;
use super::paths::JobPaths;
use super::revise::{self, Budget, Next, Spent};
use super::store::{Claim, JobStore};
use super::worker::{blocking, on_files};
use config::Config;
use contain::InForce;
use evidence::{Interrupt, Recorded};
use model::error::{Error, Kind, Result};
use model::result::FailureKind;
use model::status::JobStatus;
use model::types::{AgentOutcome, ChangedFile, Repair};
use policy::PolicySet;
use redact::Redactor;
use verify::checks::{Ran, Reader};
use verify::fingerprint::{self, Fingerprint};

/// What follows the first of `count` things in a sentence: ` and 3 more`, or nothing.
fn and_more(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    }
}

/// Runs a claimed job to its end; whatever happens is the job's result.
pub async fn run_job(
    config: Arc<Config>,
    store: Arc<dyn JobStore>,
    claim: Claim,
    shutdown: CancellationToken,
) {
    let timeout = Duration::from_millis(claim.spec.timeout_ms);
    let budget = Budget { requests: config.max_requests, tokens: config.max_tokens };
    let control = Arc::new(Control::start(Arc::clone(&store), claim.clone(), timeout, budget, shutdown));
    tracing::info!(job = %claim.id, epoch = claim.epoch, "claimed");
    let run = Run { config, store, claim, control, started: Instant::now() };
    let mut progress = Progress::default();
    let (reached, end) = match caught(prepare::open(&run)).await {
        Err(end) => (Reached::Claimed, end),
        Ok(job) => match caught(prepare::prepare(&job, &mut progress.notes)).await {
            Err(end) => (Reached::Opened(job), end),
            Ok(prepared) => {
                let end = caught(passes(&prepared, &mut progress)).await.err().unwrap_or(RunEnd::Judged);
                (Reached::Prepared(Box::new(prepared)), end)
            }
        },
    };
    end::end(&run, reached, progress, end).await;
}

/// What is known of a run from the beginning.
#[derive(Clone)]
struct Run {
    config: Arc<Config>,
    store: Arc<dyn JobStore>,
    claim: Claim,
    control: Arc<Control>,
    started: Instant,
}

/// How far a run came.
enum Reached {
    /// Nothing could be opened.
    Claimed,
    /// It can write events and artifacts, but no agent could work.
    Opened(Arc<Job>),
    /// Passes were made.
    Prepared(Box<Prepared>),
}

/// How a run ended.
enum RunEnd {
    /// With a judged pass that is the last.
    Judged,
    /// The control stopped it.
    Stopped,
    /// It could not be carried through; names the part that failed.
    Failed { kind: FailureKind, error: Error },
}

/// Names the part that failed.
trait OrFail<T> {
    fn or_fail(self, kind: FailureKind) -> Result<T, RunEnd>;
}

impl<T> OrFail<T> for Result<T> {
    fn or_fail(self, kind: FailureKind) -> Result<T, RunEnd> {
        self.map_err(|error| RunEnd::Failed { kind, error })
    }
}

/// A panic in `step` is an end like any other.
async fn caught<T>(step: impl Future<Output = Result<T, RunEnd>>) -> Result<T, RunEnd> {
    AssertUnwindSafe(step).catch_unwind().await.unwrap_or_else(|panic| {
        let error = Error::new(Kind::Internal, format!("worker panicked: {}", message(&*panic)));
        Err(RunEnd::Failed { kind: FailureKind::Internal, error })
    })
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// What was gathered so far; what there is of it becomes the result, also after a cancel.
#[derive(Default)]
struct Progress {
    attempts: u32,
    /// Of the last pass; none until an agent was started.
    agent: Option<AgentOutcome>,
    /// The tree after the last pass whose agent ended.
    recorded: Option<Recorded>,
    /// The last judged pass.
    judged: Option<Judged>,
    /// What tools left in the working directory while checks ran: build output and caches.
    tool_output: Vec<ChangedFile>,
    /// Of the whole job, in the order in which they came up.
    notes: Vec<String>,
    /// Of the last pass only.
    pass_notes: Vec<String>,
}

/// Makes passes until one is the last.
async fn passes(prepared: &Prepared, progress: &mut Progress) -> Result<(), RunEnd> {
    let job = &prepared.job;
    let mut session = prepared.session.clone();
    let mut fingerprints: Vec<Fingerprint> = Vec::new();
    let mut escalated = false;
    let mut first_prompt = String::new();
    let mut repair: Option<Repair> = None;
    progress.tool_output.clone_from(&prepared.tool_output);
    let max_attempts = job.claim.spec.max_revise_passes + 1;
    for attempt in 1..=max_attempts {
        let pass = PassContext { prepared, attempt, max_attempts };
        progress.attempts = attempt;
        prepared.adapter.set_attempt(attempt);
        let (prompt, notes) = pass
            .prompt(repair.take(), &first_prompt, session.is_some())
            .await
            .or_fail(FailureKind::Internal)?;
        progress.pass_notes = notes;
        if attempt == 1 {
            first_prompt.clone_from(&prompt);
        }
        progress.agent = Some(model::outcome::unknown_agent());
        let report = pass.run_agent(prompt, session.clone()).await.or_fail(FailureKind::Internal)?;
        progress.agent = Some(report.outcome.clone());
        session = report.session.clone().or(session);
        if job.stopping() || !job.advance(JobStatus::Verifying).await.or_fail(FailureKind::Internal)? {
            return Err(RunEnd::Stopped);
        }
        let recorded = pass.record(progress).await.or_fail(FailureKind::Workspace)?;
        let judged = pass.judge(recorded, &report, progress).await.or_fail(FailureKind::Workspace)?;
        let Some(judged) = judged.filter(|_| !job.stopping()) else { return Err(RunEnd::Stopped) };
        pass.keep(&judged).await;
        fingerprints.push(fingerprint::of(&judged.outcome, &judged.checks, &judged.verdicts));
        let next = revise::decide(revise::State {
            completed: judged.outcome.status == JobStatus::Completed,
            repairable: judged.outcome.repairable,
            attempt,
            max_attempts,
            fingerprints: &fingerprints,
            time_left: job.control.time_left(),
            spent: spent(&prepared.adapter.usage()),
            budget: Budget { requests: job.config.max_requests, tokens: job.config.max_tokens },
            escalate_to: job.config.agent.escalate_model.as_deref(),
            escalated,
        });
        let again = judged.repair();
        progress.judged = Some(judged);
        match next {
            Next::Finish => return Ok(()),
            Next::Stop { reason } => {
                job.journal.emit("state", format!("no further pass: {reason}")).await;
                progress.notes.push(format!("no further pass: {reason}"));
                return Ok(());
            }
            Next::Revise { model } => {
                if let Some(model) = model {
                    job.journal.emit("state", format!("going on with {model}")).await;
                    progress.notes.push(format!("pass {} on was made with {model}", attempt + 1));
                    prepared.adapter.set_model(model);
                    escalated = true;
                }
                repair = Some(again);
                if !job.advance(JobStatus::Revising).await.or_fail(FailureKind::Internal)? {
                    return Err(RunEnd::Stopped);
                }
            }
        }
    }
    Ok(())
}

/// What every part of a run needs; fixed once it is opened.
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
    /// The bearer token of the job's adapter.
    token: config::Secret,
    containment: Mutex<Containment>,
}

impl Job {
    /// False if the claim is lost.
    async fn advance(&self, to: JobStatus) -> Result<bool> {
        let (store, claim) = (Arc::clone(&self.store), self.claim.clone());
        blocking(move || store.advance(&claim, to)).await
    }

    /// Does work on files that the job can write; the job's end ends it.
    async fn on_files<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let token = self.control.token().clone();
        on_files(Interrupt::when(move || token.is_cancelled()), work).await
    }

    /// The control wants the job to end.
    fn stopping(&self) -> bool {
        self.control.token().is_cancelled()
    }

    /// The tag of one process tree: the job, its epoch and what the tree is for.
    fn process_tag(&self, label: &str) -> String {
        format!("cw-{}-{}-{label}", self.claim.id, self.claim.epoch)
    }

    fn note_agent_containment(&self, in_force: &InForce) {
        weaker(&mut self.lock_containment().agent, in_force);
    }

    fn note_check_containment(&self, ran: &Ran) {
        if let Some(in_force) = &ran.in_force {
            weaker(&mut self.lock_containment().checks, in_force);
        }
    }

    fn lock_containment(&self) -> std::sync::MutexGuard<'_, Containment> {
        self.containment.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the weakest that was in force so far.
fn weaker(seen: &mut Option<InForce>, now: &InForce) {
    if seen.as_ref().is_none_or(|seen| now.strength >= seen.strength) {
        *seen = Some(now.clone());
    }
}

fn spent(totals: &adapter::Totals) -> Spent {
    Spent {
        requests: totals.requests,
        tokens: totals.input_tokens.unwrap_or_default() + totals.output_tokens.unwrap_or_default(),
    }
}

/// 128 random bits, for a token or a fence.
fn nonce() -> Result<String> {
    model::spec::JobId::random()
        .map(|id| id.as_str().to_owned())
        .map_err(|e| Error::new(Kind::Environment, format!("no random numbers: {e}")).caused_by(e))
}
