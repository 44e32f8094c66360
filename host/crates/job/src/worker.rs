//! The worker process: claims a job, runs it, claims the next, and exits when the queue is
//! empty (or never, without `until_idle`).
//!
//! One process runs one job at a time. Of several that find nothing to claim although jobs
//! wait (the limit is reached), one stays and watches, so that the queue moves on when a
//! running worker is killed; the others exit.

use std::fs::File;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::sqlite::SqliteStore;
use super::store::{Claim, JobStore, LEASE, Load};
use super::{cleanup, gc, identity, reap, run, spawn};
use config::Config;
use evidence::Interrupt;
use model::error::{Error, Kind, Result};

/// Between looks at the queue.
const LOOK: Duration = Duration::from_millis(300);
/// After the store failed.
const AFTER_FAULT: Duration = Duration::from_secs(2);
/// After this long a worker that was asked to end is gone, whatever holds it up. Its
/// processes die with it, and its job becomes `interrupted` when anybody looks.
const SHUTDOWN: Duration = Duration::from_millis(4_500);

/// Runs jobs until the queue is empty, or for ever. Returns after SIGTERM or SIGINT, within
/// five seconds.
pub async fn run(config: Config, until_idle: bool) -> Result<()> {
    let store: Arc<dyn JobStore> = Arc::new(SqliteStore::open(&config.home)?);
    let config = Arc::new(config);
    let shutdown = until_asked_to_end()?;
    let me = identity::own();
    {
        let (config, store) = (Arc::clone(&config), Arc::clone(&store));
        blocking(move || {
            cleanup::clean_up_pending(&config, store.as_ref());
            Ok(())
        })
        .await?;
    }
    let mut waiter: Option<File> = None;
    while !shutdown.is_cancelled() {
        let claim = {
            let (config, store, me) = (Arc::clone(&config), Arc::clone(&store), me.clone());
            blocking(move || next(&config, store.as_ref(), &me)).await
        };
        let claim = match claim {
            Ok(claim) => claim,
            // The next one who looks starts another worker.
            Err(error) if until_idle => return Err(error),
            // A full disk passes; nobody starts a permanent worker again.
            Err(error) => {
                tracing::warn!(%error, "the store did not answer");
                tokio::select! {
                    () = tokio::time::sleep(AFTER_FAULT) => continue,
                    () = shutdown.cancelled() => break,
                }
            }
        };
        match claim {
            Next::Job(claim) => {
                waiter = None;
                run::run_job(Arc::clone(&config), Arc::clone(&store), *claim, shutdown.clone()).await;
            }
            Next::Nothing(load) => {
                if load.queued == 0 {
                    let (config, store) = (Arc::clone(&config), Arc::clone(&store));
                    blocking(move || {
                        gc::now_and_then(&config, store.as_ref());
                        Ok(())
                    })
                    .await?;
                }
                if until_idle {
                    if load.queued == 0 {
                        break;
                    }
                    waiter = waiter.or_else(|| spawn::watch_queue(&config.home));
                    match &waiter {
                        Some(watch) => spawn::looked(watch),
                        None => break,
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = shutdown.cancelled() => {}
                }
            }
        }
    }
    Ok(())
}

enum Next {
    Job(Box<Claim>),
    Nothing(Load),
}

fn next(config: &Config, store: &dyn JobStore, me: &str) -> Result<Next> {
    // A dead worker's job holds a place under the limit.
    reap::sweep(config, store)?;
    let load = store.load()?;
    // A look is a read; a claim takes the write lock even when there is nothing to claim.
    if load.queued == 0 || load.active >= config.max_running_jobs {
        return Ok(Next::Nothing(load));
    }
    Ok(match store.claim(me, config.max_running_jobs, LEASE)? {
        Some(claim) => Next::Job(Box::new(claim)),
        None => Next::Nothing(load),
    })
}

/// Fires at the first SIGTERM, SIGINT or SIGHUP.
fn until_asked_to_end() -> Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let listen = |kind| {
        signal(kind).map_err(|e| {
            Error::new(Kind::Environment, format!("cannot listen for signals: {e}")).caused_by(e)
        })
    };
    let (mut term, mut int) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    // A worker that a person started in a terminal that is closed.
    let mut hangup = listen(SignalKind::hangup())?;
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hangup.recv() => {}
        }
        tracing::info!("asked to end");
        told.cancel();
        tokio::time::sleep(SHUTDOWN).await;
        tracing::warn!("cleanup did not end in time; exiting");
        #[expect(clippy::disallowed_methods, reason = "the tasks did not end in the time they were given")]
        std::process::exit(143);
    });
    Ok(token)
}

/// How long work on a job's files may go on after its interrupt before it is given up.
const GRACE: Duration = Duration::from_secs(2);

/// Runs work on files that a job can write. `interrupt` ends it; if even a system call hangs
/// (a file system that does not answer), the work is given up and its thread left behind.
pub(crate) async fn on_files<T: Send + 'static>(
    interrupt: Interrupt,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let inner = interrupt.clone();
    // Not of the runtime's own threads: those are waited for when the worker exits.
    let thread = std::thread::Builder::new().name("job files".to_owned());
    let work = move || inner.scope(|| std::panic::catch_unwind(AssertUnwindSafe(work)));
    let started = thread.spawn(move || {
        let _nobody_waits = answer.send(work());
    });
    started.map_err(|e| Error::new(Kind::Environment, format!("cannot start a thread: {e}")).caused_by(e))?;
    let given_up = async {
        let mut since: Option<std::time::Instant> = None;
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if interrupt.is_set() && since.get_or_insert_with(std::time::Instant::now).elapsed() > GRACE {
                return;
            }
        }
    };
    tokio::select! {
        done = answered => match done {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Error::new(Kind::Internal, "a part of the worker failed")),
        },
        () = given_up => Err(evidence::Error::Interrupted.into()),
    }
}

/// Runs what blocks off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Error::new(Kind::Internal, format!("a part of the worker failed: {error}")))
    })
}
