//! Ending the host's own work on a job's files: a deadline or a cancel that every loop and
//! every git process of one piece of work looks at; and the same for a pipe that was put
//! where git reads a file.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use jobfs::Tree;

use super::{Error, Result, names, walk};

/// Says when work shall end. It holds for all that [`Interrupt::scope`] runs on its thread,
/// and for the threads that evidence itself starts there.
#[derive(Clone)]
pub struct Interrupt(Arc<dyn Fn() -> bool + Send + Sync>);

thread_local! {
    static CURRENT: RefCell<Interrupt> = RefCell::new(Interrupt::never());
}

impl std::fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Interrupt({})", if self.is_set() { "set" } else { "not set" })
    }
}

impl Interrupt {
    /// Work goes on to its own end.
    pub fn never() -> Interrupt {
        Interrupt(Arc::new(|| false))
    }

    /// Work ends soon after `ask` says so. It is asked often.
    pub fn when(ask: impl Fn() -> bool + Send + Sync + 'static) -> Interrupt {
        Interrupt(Arc::new(ask))
    }

    /// Work ends soon after `time` from now.
    pub fn after(time: Duration) -> Interrupt {
        let started = Instant::now();
        Interrupt::when(move || started.elapsed() >= time)
    }

    /// Shall work end?
    pub fn is_set(&self) -> bool {
        (self.0)()
    }

    /// The one that holds on this thread.
    pub fn current() -> Interrupt {
        CURRENT.with_borrow(Clone::clone)
    }

    /// An error when work shall end.
    pub fn check(&self) -> Result<()> {
        if self.is_set() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Does `work` under this interrupt.
    pub fn scope<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<Interrupt>);
        impl Drop for Restore {
            fn drop(&mut self) {
                if let Some(before) = self.0.take() {
                    CURRENT.set(before);
                }
            }
        }
        let _restore = Restore(Some(CURRENT.replace(self.clone())));
        work()
    }
}

/// After this time somebody looks why git takes so long; and again.
const PATIENCE: Duration = Duration::from_millis(800);
const PATIENCE_AGAIN: Duration = Duration::from_secs(10);

/// Does `work`, in which git looks at `dirs`. If it takes long because a job put a pipe where
/// git opens a file, it is ended and the pipe named.
pub(super) fn unless_a_pipe_blocks<T>(dirs: &[PathBuf], work: impl FnOnce() -> Result<T>) -> Result<T> {
    let outer = Interrupt::current();
    let blocked = Arc::new(AtomicBool::new(false));
    let inner = {
        let (outer, blocked) = (outer.clone(), Arc::clone(&blocked));
        Interrupt::when(move || blocked.load(Ordering::Relaxed) || outer.is_set())
    };
    let (done, over) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            // Ended by the drop of the other side.
            let over = over;
            let mut patience = PATIENCE;
            while over.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                let found = outer.scope(|| dirs.iter().find_map(|dir| pipe_in(dir)));
                if let Some(found) = found {
                    blocked.store(true, Ordering::Relaxed);
                    return Some(found);
                }
                patience = PATIENCE_AGAIN;
            }
            None
        });
        let result = inner.scope(work);
        drop(done);
        let pipe = watcher.join().unwrap_or_default();
        match (result, pipe) {
            (Err(_), Some(pipe)) => Err(Error::Pipe(pipe)),
            (result, _) => result,
        }
    })
}

fn pipe_in(dir: &Path) -> Option<String> {
    let name = walk::blocks_git(&Tree::open(dir).ok()?).ok()??;
    Some(dir.join(names::path(&name)).display().to_string())
}
