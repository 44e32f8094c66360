//! What may end a running job from outside, in one loop: cancel, time, budget, the worker's
//! own shutdown, and the loss of the claim. It also keeps the lease alive.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::disk;
use crate::revise::{Budget, Spent, exhausted};
use crate::store::{Claim, HEARTBEAT, JobStore, LEASE};

/// Between looks at the cancel request and the budget.
const LOOK: Duration = Duration::from_millis(150);

/// Why a job was ended from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Somebody asked, with this reason.
    Cancelled(String),
    /// The job's time is up.
    TimedOut,
    /// Requests, tokens or money are used up; a sentence.
    Budget(String),
    /// The job filled the disk; a sentence.
    Disk(String),
    /// The worker was told to end.
    Shutdown,
    /// Another worker holds the job: nothing may be written any more.
    Lost,
}

/// What can happen; closed.
enum Event {
    Done,
    Shutdown,
    Deadline,
    Beat,
    Look,
}

/// Reads what was spent so far.
pub type Meter = Arc<dyn Fn() -> Spent + Send + Sync>;

/// Watches one job from its claim to its end.
pub struct Control(Arc<Shared>);

/// What the control and its watcher know.
struct Shared {
    token: CancellationToken,
    done: CancellationToken,
    stop: Mutex<Option<Stop>>,
    meter: OnceLock<Meter>,
    disk: OnceLock<disk::Verdict>,
    deadline: Instant,
}

impl Control {
    /// Starts watching.
    pub fn start(
        store: Arc<dyn JobStore>,
        claim: Claim,
        timeout: Duration,
        budget: Budget,
        shutdown: CancellationToken,
    ) -> Control {
        let shared = Arc::new(Shared {
            token: CancellationToken::new(),
            done: CancellationToken::new(),
            stop: Mutex::new(None),
            meter: OnceLock::new(),
            disk: OnceLock::new(),
            deadline: Instant::now() + timeout,
        });
        let watcher = Watcher { store, claim, budget, shutdown, shared: Arc::clone(&shared) };
        tokio::spawn(watcher.run());
        Control(shared)
    }

    /// Fires when the job must end.
    pub fn token(&self) -> &CancellationToken {
        &self.0.token
    }

    /// Why it must end, once it must. The first reason stays, but a lost claim overrides it.
    pub fn stopped(&self) -> Option<Stop> {
        self.0.stop.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the job for a reason that its own loop found. An earlier reason stays.
    pub fn stop(&self, stop: Stop) {
        self.0.stop.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(stop);
        self.0.token.cancel();
    }

    /// Until the job's time limit.
    pub fn time_left(&self) -> Duration {
        self.0.deadline.saturating_duration_since(Instant::now())
    }

    /// The job has ended: nothing is watched any more.
    pub fn done(&self) {
        self.0.done.cancel();
    }

    /// From now on the budget is watched with this.
    pub fn set_meter(&self, meter: Meter) {
        let _ = self.0.meter.set(meter);
    }

    /// From now on the disk is watched by this.
    pub fn set_disk(&self, verdict: disk::Verdict) {
        let _ = self.0.disk.set(verdict);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.0.done.cancel();
    }
}

struct Watcher {
    store: Arc<dyn JobStore>,
    claim: Claim,
    budget: Budget,
    shutdown: CancellationToken,
    shared: Arc<Shared>,
}

impl Watcher {
    async fn run(self) {
        let mut beat = tokio::time::interval(HEARTBEAT);
        let mut look = tokio::time::interval(LOOK);
        // After a pause (a suspended machine) one tick is enough.
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stopping = self.shared.token.is_cancelled();
            let event = tokio::select! {
                biased;
                () = self.shared.done.cancelled() => Event::Done,
                () = self.shutdown.cancelled(), if !stopping => Event::Shutdown,
                () = tokio::time::sleep_until(self.shared.deadline), if !stopping => Event::Deadline,
                _ = beat.tick() => Event::Beat,
                _ = look.tick(), if !stopping => Event::Look,
            };
            let stop = match event {
                Event::Done => return,
                Event::Shutdown => Some(Stop::Shutdown),
                Event::Deadline => Some(Stop::TimedOut),
                Event::Beat => self.ask(|store, claim| store.heartbeat(claim, LEASE)).await,
                Event::Look => match (self.over_budget(), self.disk_is_full()) {
                    (Some(reason), _) => Some(Stop::Budget(reason)),
                    (None, Some(reason)) => Some(Stop::Disk(reason)),
                    (None, None) => self.ask(|store, claim| store.poll(claim)).await,
                },
            };
            if let Some(stop) = stop {
                let lost = stop == Stop::Lost;
                let mut slot = self.shared.stop.lock().unwrap_or_else(PoisonError::into_inner);
                if slot.is_none() || lost {
                    tracing::info!(job = %self.claim.id, ?stop, "the job must end");
                    *slot = Some(stop);
                }
                drop(slot);
                self.shared.token.cancel();
                if lost {
                    return;
                }
            }
        }
    }

    /// Asks the store off the async threads. A store that fails for a moment (a full disk)
    /// is asked again at the next tick; if it fails for longer than the lease, another
    /// process takes the job over and the answer then is that the claim is stale.
    async fn ask(
        &self,
        question: impl FnOnce(&dyn JobStore, &Claim) -> model::error::Result<Option<crate::store::Heartbeat>>
        + Send
        + 'static,
    ) -> Option<Stop> {
        let (store, claim) = (Arc::clone(&self.store), self.claim.clone());
        match tokio::task::spawn_blocking(move || question(store.as_ref(), &claim)).await {
            Ok(Ok(Some(beat))) => beat.cancel.map(Stop::Cancelled),
            Ok(Ok(None)) => Some(Stop::Lost),
            Ok(Err(error)) => {
                tracing::warn!(job = %self.claim.id, %error, "the store did not answer");
                None
            }
            Err(_) => None,
        }
    }

    fn disk_is_full(&self) -> Option<String> {
        self.shared.disk.get()?.get().cloned()
    }

    fn over_budget(&self) -> Option<String> {
        exhausted(self.shared.meter.get()?(), self.budget)
    }
}
