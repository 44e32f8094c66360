//! The one way in which a job ends: from what is known of it to its artifacts, its result,
//! its receipt and the one write that makes it final. The run, the reaper and a cancel in
//! the queue all end their jobs here. What is not known is left empty and never guessed.

use std::time::Duration;

use crate::artifacts::{Artifacts, DIFF, EVIDENCE, FINDINGS, RESULT};
use crate::cleanup;
use crate::compact::{self, Kept};
use crate::notify;
use crate::paths::JobPaths;
use crate::receipt;
use crate::store::{Claim, JobStore};
use config::Config;
use contain::InForce;
use evidence::patch;
use model::error::Result;
use model::result::{Failure, FailureKind, JobResult, Usage};
use model::spec::{JobId, JobSpec};
use model::status::JobStatus;
use model::types::{AgentOutcome, ChangeSet, CheckResult};
use policy::PluginId;
use redact::Redactor;
use verify::outcome::{CheckEvidence, Outcome, Verdict};

/// Bytes of a patch that are kept as an artifact.
pub(crate) const PATCH_MAX: usize = 8 << 20;

/// Between attempts to write an end.
const AGAIN: Duration = Duration::from_millis(500);

/// What a job ends with.
#[derive(Clone, Debug)]
pub struct Ending {
    /// What it came to.
    pub outcome: Outcome,
    /// How the agent ended; its claim becomes the summary.
    pub agent: AgentOutcome,
    /// Name and version of the agent.
    pub agent_name: Option<String>,
    /// What changed; none if that could not be worked out.
    pub evidence: Option<Evidence>,
    /// Of the last judged pass; none if none was.
    pub judgement: Option<Judgement>,
    /// What could not be judged or read, each one sentence.
    pub notes: Vec<String>,
    /// Passes made.
    pub attempts: u32,
    /// From claim to end.
    pub duration: Duration,
    /// What the agent moved.
    pub usage: Usage,
    /// The policies that judged.
    pub policies: Vec<PluginId>,
    /// What surrounded the agent and the checks.
    pub containment: Containment,
}

/// What changed, as the host recorded it.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The tree before the job.
    pub base_tree: String,
    /// The tree after it.
    pub tree: String,
    /// The difference.
    pub changes: ChangeSet,
    /// The difference as a patch, not redacted, at most [`PATCH_MAX`] bytes.
    pub patch: String,
    /// The ref with the result, for a worktree that has one.
    pub branch: Option<String>,
}

/// What the checks and the policies said of a pass.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// What the checks gave.
    pub checks: Vec<CheckResult>,
    /// Every finding.
    pub verdicts: Vec<Verdict>,
    /// What further runs of the checks showed.
    pub evidence: Vec<CheckEvidence>,
}

/// The weakest containment that was in force.
#[derive(Clone, Debug, Default)]
pub struct Containment {
    /// Of the agent.
    pub agent: Option<InForce>,
    /// Of the checks.
    pub checks: Option<InForce>,
}

impl Ending {
    /// One of which only the outcome is known.
    pub fn of(outcome: Outcome) -> Self {
        Ending {
            outcome,
            agent: model::outcome::unknown_agent(),
            agent_name: None,
            evidence: None,
            judgement: None,
            notes: Vec::new(),
            attempts: 0,
            duration: Duration::ZERO,
            usage: Usage::default(),
            policies: Vec::new(),
            containment: Containment::default(),
        }
    }
}

/// The end of a job, not written yet.
#[derive(Clone, Debug)]
pub struct Concluded {
    /// The final state.
    pub status: JobStatus,
    /// What the planner gets.
    pub result: JobResult,
}

/// The end of a job that left nothing behind: no artifact, no receipt. Pure.
pub fn without_record(
    id: &JobId,
    spec: &JobSpec,
    ending: &Ending,
    mask: &dyn Fn(&str) -> String,
) -> Concluded {
    let result = compact::build(id, spec, ending, Kept::default(), mask);
    Concluded { status: ending.outcome.status, result }
}

/// The end of a job that was cancelled before any worker claimed it. Pure.
pub fn cancelled_in_queue(id: &JobId, spec: &JobSpec, reason: &str) -> Concluded {
    let failure = Failure {
        kind: FailureKind::Cancelled,
        message: match reason {
            "" => "cancelled while queued".to_owned(),
            reason => format!("cancelled while queued: {reason}"),
        },
        hint: "nothing was changed: the job never started".to_owned(),
    };
    let ending = Ending::of(Outcome::by_host(JobStatus::Cancelled, failure));
    without_record(id, spec, &ending, &str::to_owned)
}

/// Writes the artifacts and the receipt and makes the result. An artifact that cannot be
/// written is no reason to give up the end. Blocks.
pub fn conclude(config: &Config, claim: &Claim, redactor: &Redactor, ending: &Ending) -> Concluded {
    let lost = |name: &str, written: std::io::Result<()>| {
        if let Err(error) = written {
            tracing::warn!(job = %claim.id, %error, name, "an artifact was lost");
        }
    };
    let artifacts = Artifacts::new(JobPaths::new(&config.home, &claim.id).artifacts(), redactor.clone());
    let mut diff = String::new();
    if let Some(evidence) = &ending.evidence {
        lost(DIFF, artifacts.write(DIFF, &evidence.patch));
        diff = patch::trim(&evidence.patch, config.diff_max_bytes).text;
    }
    if let Some(judgement) = &ending.judgement {
        lost(FINDINGS, artifacts.write(FINDINGS, &pretty(&judgement.verdicts)));
        if !judgement.evidence.is_empty() {
            lost(EVIDENCE, artifacts.write(EVIDENCE, &pretty(&judgement.evidence)));
        }
    }
    let mask = |text: &str| redactor.text(text);
    let kept = Kept { artifacts: &artifacts.list(), diff: &diff };
    let result = compact::build(&claim.id, &claim.spec, ending, kept, &mask);
    lost(RESULT, artifacts.write_redacted(RESULT, &pretty(&result)));
    let facts = receipt::Facts { id: &claim.id, spec: &claim.spec, result: &result, ending, redact: &mask };
    if let Err(error) = receipt::write(config, &facts) {
        tracing::warn!(job = %claim.id, %error, "the receipt was lost");
    }
    Concluded { status: ending.outcome.status, result }
}

/// Makes the end final; false if the claim is lost. A store that fails (a full disk) is
/// tried again, `tries` times in all. Blocks. Afterwards the caller cleans up.
pub fn commit(
    config: &Config,
    store: &dyn JobStore,
    claim: &Claim,
    concluded: &Concluded,
    tries: u32,
) -> Result<bool> {
    cleanup::intend(&config.home, &claim.id);
    let mut tried = 1;
    loop {
        match store.finish(claim, concluded.status, &concluded.result) {
            Err(error) if tried < tries => {
                tracing::warn!(job = %claim.id, %error, "the end could not be written yet");
                std::thread::sleep(AGAIN);
                tried += 1;
            }
            Ok(true) => {
                let took = std::time::Duration::from_millis(concluded.result.duration_ms);
                notify::start(config, &claim.id, &claim.spec, concluded.status, took);
                return Ok(true);
            }
            written => return written,
        }
    }
}

/// JSON as artifacts hold it.
pub(crate) fn pretty(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}
