//! Starting worker processes: detached, each in a session of its own, so that they outlive
//! the server, the planner's thread and a closed terminal.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::paths::create_private;
use super::store::{JobStore, Load};
use config::Config;
use model::error::{Error, Kind, Result};

/// A log that grew past this is set aside as `worker.log.old` before the next start.
const LOG_MAX: u64 = 8 << 20;

/// Where workers write what they have to say.
pub fn log_path(home: &Path) -> PathBuf {
    home.join("worker.log")
}

/// Starts `codex-worker work --until-idle --detached` and returns when it has a session of
/// its own (some milliseconds), so that whoever ends this process's group afterwards does
/// not end the worker. It finds its settings as this process did: the same environment is
/// handed over, with the paths that were resolved here.
pub fn spawn_worker(config: &Config) -> Result<()> {
    detached(config, &["work", "--until-idle", "--detached"])
}

/// The same for any subcommand that calls [`detach`] and takes the settings' options.
pub(crate) fn detached(config: &Config, args: &[&str]) -> Result<()> {
    let environment = |message: String| Error::new(Kind::Environment, message);
    let program = std::env::current_exe()
        .map_err(|e| environment(format!("cannot find this program's own file: {e}")))?;
    let open = || {
        open_log(&config.home).map_err(|e| {
            environment(format!("cannot write {}: {e}", log_path(&config.home).display()))
                .hint("make the state directory writable for this user")
        })
    };
    let mut vars: BTreeMap<String, String> =
        config.env.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let resolved = [
        ("CODEX_WORKER_HOME", Some(&config.home)),
        ("CODEX_WORKER_PLUGINS", Some(&config.plugins_dir)),
        ("CODEX_WORKER_CONFIG", config.config_file.as_ref()),
        ("SANDBOX_ROOT", config.sandbox_root.as_ref()),
    ];
    // A path that is no text was not one in the environment either.
    let resolved = resolved.into_iter().filter_map(|(name, path)| Some((name, path?.to_str()?)));
    vars.extend(resolved.map(|(name, path)| (name.to_owned(), path.to_owned())));
    let mut command = Command::new(&program);
    command
        .args(args)
        .args(config.cli.to_args())
        // Not the caller's: that would keep somebody's directory busy.
        .current_dir(&config.home)
        .stdout(open()?)
        .stderr(open()?);
    let mut child = config::handover::spawn(&mut command, &vars, config.sandbox_root.as_deref())
        .map_err(|e| environment(format!("cannot start {}: {e}", program.display())))?;
    wait_for_own_session(&mut child);
    // Collects the exit code, so that no zombie stays while this process lives.
    std::thread::Builder::new()
        .name("worker-wait".to_owned())
        .spawn(move || child.wait())
        .map_err(|e| environment(format!("cannot start a thread: {e}")))?;
    Ok(())
}

/// The worker's side of `--detached`: leaves the starter's session and terminal. Does
/// nothing for a process that leads a group already, as one started from a shell does.
pub fn detach() {
    let _ = rustix::process::setsid();
}

fn wait_for_own_session(child: &mut Child) {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) else { return };
    let deadline = Instant::now() + Duration::from_secs(2);
    // A new session leads a new group of the same number. The number of the session itself
    // is not asked for: in a PID namespace that a starter entered, that is 0, which rustix
    // refuses to hold. A worker that has ended is no reason to wait either.
    while rustix::process::test_kill_process_group(pid).is_err()
        && matches!(child.try_wait(), Ok(None))
        && Instant::now() < deadline
    {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether one more worker process would find something to do.
pub fn wanted(load: Load, max_running: u32) -> bool {
    load.queued > 0 && load.active < max_running
}

/// Starts a worker if jobs wait, the limit leaves room and nobody watches the queue. Cheap
/// enough to be called by whoever looks at a job, so that a queue whose worker was killed
/// moves again.
pub fn ensure_worker(config: &Config, store: &dyn JobStore) -> Result<()> {
    if wanted(store.load()?, config.max_running_jobs) && !is_watched(&config.home) {
        spawn_worker(config)
    } else {
        Ok(())
    }
}

/// A watcher that has not looked for this long is stopped or stuck.
const STALE: Duration = Duration::from_secs(10);

fn is_watched(home: &Path) -> bool {
    let looked = std::fs::metadata(home.join(WATCH)).and_then(|meta| meta.modified());
    let lately = looked.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < STALE));
    lately && watch_queue(home).is_none()
}

const WATCH: &str = "waiter.lock";

/// The right to be the one worker that waits for a job it may run; none while another
/// process has it. It ends with the file.
pub(super) fn watch_queue(home: &Path) -> Option<File> {
    let file = OpenOptions::new().create(true).append(true).open(home.join(WATCH)).ok()?;
    file.try_lock().ok().map(|()| file)
}

/// The watcher has looked just now.
pub(super) fn looked(watch: &File) {
    // If that fails, one worker too many is started now and then.
    let _ = watch.set_modified(std::time::SystemTime::now());
}

fn open_log(home: &Path) -> std::io::Result<File> {
    let path = log_path(home);
    create_private(home)?;
    if std::fs::metadata(&path).is_ok_and(|m| m.len() > LOG_MAX) {
        // Another starter may be faster; then there is nothing left to set aside.
        let _ = std::fs::rename(&path, path.with_extension("log.old"));
    }
    OpenOptions::new().create(true).append(true).open(&path)
}

#[cfg(test)]
mod tests {
    use super::{STALE, is_watched, looked, wanted, watch_queue};
    use crate::store::Load;

    #[test]
    fn a_queue_is_watched_by_one_that_has_looked_lately() {
        let home = tempfile::tempdir().expect("a temporary directory");
        assert!(!is_watched(home.path()));
        let watch = watch_queue(home.path()).expect("free");
        looked(&watch);
        assert!(is_watched(home.path()) && watch_queue(home.path()).is_none());
        let long_ago = std::time::SystemTime::now() - STALE * 2;
        watch.set_modified(long_ago).expect("set");
        assert!(!is_watched(home.path()), "a stopped watcher");
        looked(&watch);
        drop(watch);
        assert!(!is_watched(home.path()), "a watcher that is gone");
    }

    #[test]
    fn a_worker_is_wanted_when_jobs_wait_and_there_is_room() {
        for (queued, active, max, expected) in
            [(0, 0, 4, false), (1, 0, 4, true), (1, 3, 4, true), (1, 4, 4, false), (9, 5, 4, false)]
        {
            assert_eq!(wanted(Load { queued, active }, max), expected, "{queued} {active} {max}");
        }
    }
}
