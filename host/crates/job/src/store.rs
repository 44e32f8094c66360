//! Where jobs are kept. [`JobStore`] is a trait so that a shared store can come beside
//! SQLite; every write after a claim carries the claim's epoch, and a stale epoch changes
//! nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use model::error::Result;
use model::money::Money;
use model::result::JobResult;
use model::spec::{JobId, JobSpec};
use model::status::JobStatus;

/// How long a claim holds without a heartbeat. On one machine a dead worker is noticed
/// earlier, by its process.
pub const LEASE: Duration = Duration::from_secs(20);

/// Between heartbeats.
pub const HEARTBEAT: Duration = Duration::from_secs(4);

/// A worker's right to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub id: JobId,
    /// Grows with every claim of this job; older epochs can write nothing.
    pub epoch: u64,
    /// What to do.
    pub spec: JobSpec,
}

/// One line of a job's progress, already redacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1 within the job; `tail`'s cursor.
    pub seq: u64,
    /// Milliseconds since 1970, UTC.
    pub at_ms: i64,
    /// Such as `agent`, `tool`, `check`, `policy`, `state`.
    pub kind: String,
    /// One line.
    pub text: String,
}

/// A job as the store knows it.
#[derive(Clone, Debug)]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// What was asked for.
    pub spec: JobSpec,
    /// Where it stands.
    pub status: JobStatus,
    /// Milliseconds since 1970, UTC.
    pub created_ms: i64,
    /// When the first claim was made.
    pub started_ms: Option<i64>,
    /// When it became final.
    pub finished_ms: Option<i64>,
    /// A cancel was asked for, with its reason.
    pub cancel_requested: Option<String>,
    /// The agent's conversation, for `resume`.
    pub session: Option<String>,
    /// What the planner gets; present when final.
    pub result: Option<JobResult>,
    /// Jobs ahead of it in the queue, when queued.
    pub queue_position: Option<u32>,
    /// The newest event's text.
    pub last_event: Option<String>,
}

/// What `enqueue` gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The new job, or the one that the idempotency key named already.
    pub id: JobId,
    /// Where it stands.
    pub status: JobStatus,
    /// Jobs ahead of it.
    pub queue_position: Option<u32>,
    /// The idempotency key was known.
    pub existing: bool,
}

/// Which jobs to list.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Only these states; all when empty.
    pub statuses: Vec<JobStatus>,
    /// At most this many, newest first; 0 for all.
    pub limit: u32,
}

/// A sum of money and its limit: a job, a day, a repository's or a label's day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpendScope {
    /// Names the sum in the store.
    pub key: String,
    /// The most that may be spent.
    pub limit: Money,
    /// As a person reads it: `this job`.
    pub name: String,
}

/// What became of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// Its number, to settle it.
    Granted(u64),
    /// The first scope that has not enough left, and what is spent in it.
    Refused {
        /// Its place in the list.
        index: usize,
        /// Open reservations included.
        spent: Money,
    },
}

/// The store. Its methods block; call them from `spawn_blocking` in async code.
pub trait JobStore: Send + Sync {
    /// Writes a new job, or finds the one with the same idempotency key. The same key with
    /// another spec is an error.
    fn enqueue(&self, spec: &JobSpec) -> Result<Enqueued>;
    /// Takes the oldest queued job if fewer than `max_running` run; leases it.
    fn claim(&self, worker: &str, max_running: u32, lease: Duration) -> Result<Option<Claim>>;
    /// Renews the lease; `Ok(None)` if the claim is stale, else the cancel reason if one
    /// was asked for.
    fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<Option<Heartbeat>>;
    /// Moves a running job to another running state; false if the claim is stale.
    fn advance(&self, claim: &Claim, to: JobStatus) -> Result<bool>;
    /// Notes the agent's conversation; false if the claim is stale.
    fn set_session(&self, claim: &Claim, session: &str) -> Result<bool>;
    /// Adds progress lines (their `seq` is given by the store); false if the claim is stale.
    fn append_events(&self, claim: &Claim, events: &[(String, String)]) -> Result<bool>;
    /// Ends the job; false if the claim is stale.
    fn finish(&self, claim: &Claim, status: JobStatus, result: &JobResult) -> Result<bool>;
    /// Asks for a cancel. A queued job is cancelled at once.
    fn request_cancel(&self, id: &JobId, reason: &str) -> Result<JobStatus>;
    /// What a heartbeat would bring back, without renewing anything: a read, cheap enough
    /// to be done five times a second.
    fn poll(&self, claim: &Claim) -> Result<Option<Heartbeat>>;
    /// Puts a job back into the queue; only for one whose agent never started. False if
    /// the claim is stale.
    fn release(&self, claim: &Claim) -> Result<bool>;
    /// Takes over one job whose worker is dead (its lease ran out, or its process is gone),
    /// under a new epoch, so that `worker` can end it as `interrupted`. The job's status
    /// does not change. [`super::reap::sweep`] is what callers want.
    fn take_over(&self, worker: &str, lease: Duration) -> Result<Option<Claim>>;
    /// Takes `amount` in every scope, or in none where one of them has not as much left.
    fn reserve(&self, scopes: &[SpendScope], amount: Money) -> Result<Reserved>;
    /// Puts the true amount in the place of a reservation (none keeps it as it is); what is spent
    /// in its scopes then, in the order of the reservation.
    fn settle(&self, reservation: u64, amount: Option<Money>) -> Result<Vec<Money>>;
    /// What is spent in a scope, open reservations included.
    fn spent(&self, scope: &str) -> Result<Money>;
    /// How many jobs have a dead worker; [`JobStore::take_over`] would find them.
    fn dead(&self) -> Result<u32>;
    /// How many jobs wait and run.
    fn load(&self) -> Result<Load>;
    /// Ended jobs whose record cannot be read (another version wrote it, or the disk lost
    /// it). [`JobStore::list`] leaves them out.
    fn unreadable(&self) -> Result<Vec<JobId>>;
    /// Deletes an ended job and its events; false if it has not ended.
    fn forget(&self, id: &JobId) -> Result<bool>;
    /// One job.
    fn get(&self, id: &JobId) -> Result<JobRow>;
    /// Several jobs, newest first.
    fn list(&self, filter: &ListFilter) -> Result<Vec<JobRow>>;
    /// Events after `after` (0 for all), oldest first, at most `limit`; with `after` none,
    /// the newest `limit`.
    fn events(&self, id: &JobId, after: Option<u64>, limit: u32) -> Result<Vec<Event>>;
}

/// What a heartbeat brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The reason of a cancel that was asked for.
    pub cancel: Option<String>,
}

/// How many jobs there are that have not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Waiting for a worker.
    pub queued: u32,
    /// Held by a worker.
    pub active: u32,
}
