//! The wasmtime engine: deterministic settings, a private compile cache, and a clock that
//! interrupts only while something runs.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use wasmtime::{Cache, CacheConfig, Config, Engine};

/// How often the clock ticks while a call runs: the most that a call overshoots its
/// deadline, besides what the scheduler adds.
const TICK: Duration = Duration::from_millis(5);

/// An engine with its clock. Clones share both.
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    clock: Arc<Clock>,
}

/// Counts the calls that run; the ticker sleeps while there are none.
struct Clock {
    running: AtomicUsize,
    gate: Mutex<()>,
    wake: Condvar,
}

/// Keeps the clock ticking while it lives.
pub struct Ticking<'a>(&'a Clock);

impl Runtime {
    /// An engine whose compiled code is kept in `cache`, if that directory can be made
    /// private; without one every load compiles.
    ///
    /// # Errors
    /// The engine's own words if its settings do not go together (a fault of ours).
    pub fn new(cache: Option<&Path>) -> Result<Self, String> {
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .epoch_interruption(true)
            // The same bits for the same input, on every machine.
            .cranelift_nan_canonicalization(true)
            .wasm_relaxed_simd(false)
            // Users see the root cause, not a backtrace; authors get the panic's message.
            .wasm_backtrace_max_frames(None)
            .parallel_compilation(true)
            .cache(cache.and_then(open_cache));
        let engine = Engine::new(&config).map_err(|error| error.root_cause().to_string())?;
        let clock =
            Arc::new(Clock { running: AtomicUsize::new(0), gate: Mutex::new(()), wake: Condvar::new() });
        start_ticker(engine.clone(), Arc::downgrade(&clock))?;
        Ok(Runtime { engine, clock })
    }

    /// The engine itself.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Starts the clock for one call; it stops when the value is dropped.
    pub fn tick(&self) -> Ticking<'_> {
        if self.clock.running.fetch_add(1, Ordering::SeqCst) == 0 {
            // The lock makes sure that the ticker is either before its check or waiting.
            drop(lock(&self.clock.gate));
            self.clock.wake.notify_one();
        }
        Ticking(&self.clock)
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // The last runtime lets the ticker see that its clock is gone.
        self.clock.wake.notify_one();
    }
}

fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start_ticker(engine: Engine, clock: Weak<Clock>) -> Result<(), String> {
    let tick = move || {
        while let Some(clock) = clock.upgrade() {
            if clock.running.load(Ordering::SeqCst) == 0 {
                let guard = lock(&clock.gate);
                if clock.running.load(Ordering::SeqCst) == 0 {
                    // Wakes now and then to see whether the engine is still wanted.
                    drop(clock.wake.wait_timeout(guard, Duration::from_secs(5)));
                }
                continue;
            }
            drop(clock);
            std::thread::sleep(TICK);
            engine.increment_epoch();
        }
    };
    std::thread::Builder::new()
        .name("policy-clock".into())
        .spawn(tick)
        .map(drop)
        .map_err(|error| format!("cannot start the policy clock: {error}"))
}

/// Compiled code is machine code that we run: the directory must be ours alone.
fn open_cache(directory: &Path) -> Option<Cache> {
    // A directory of its own: wasmtime's clean-up removes what it does not know.
    let code = directory.join("code");
    let private = make_private(directory).and_then(|()| make_private(&code));
    let opened = private.map_err(|error| error.to_string()).and_then(|()| {
        let mut config = CacheConfig::new();
        config.with_directory(code);
        Cache::new(config).map_err(|error| error.root_cause().to_string())
    });
    opened
        .inspect_err(|error| tracing::warn!(directory = %directory.display(), error, "policies are compiled at every load"))
        .ok()
}

/// Makes the directory (and its parents) and sees to it that only its owner, us, can enter.
pub(super) fn make_private(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let meta = std::fs::symlink_metadata(directory)?;
        if !meta.is_dir() {
            return Err(std::io::Error::other("it is a symlink"));
        }
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return Err(std::io::Error::other("it belongs to another user"));
        }
        if meta.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
        }
    }
    Ok(())
}
