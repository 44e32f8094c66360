//! The state directory: whether it can be written, who can read it, the jobs that nobody works
//! on, the disk, and the clock by which all of it is dated.

use std::path::Path;

use super::{Fix, Row};
use config::Config;
use indicatif::BinaryBytes;
use job::paths::create_private;
use job::sqlite::SqliteStore;
use job::store::{JobStore, ListFilter};
use job::{gc, reap};
use model::error::{Error, Kind, Result};

/// A disk with less is said to be nearly full.
const ROOM: u64 = 2 << 30;
/// A clock may be this much behind the newest thing that it dated.
const SKEW_MS: i64 = 60_000;

/// The rows.
pub fn rows(config: &Config) -> Vec<Row> {
    let store = match open(&config.home) {
        Ok(store) => store,
        Err(error) => return vec![Row::failed("state directory", error.message, error.hints.join("; "))],
    };
    let mut rows = vec![permissions(&config.home)];
    rows.push(clock(&store));
    rows.push(
        jobs(&store).unwrap_or_else(|error| Row::failed("jobs", error.message, error.hints.join("; "))),
    );
    rows.push(
        disk(config, &store)
            .unwrap_or_else(|error| Row::failed("disk", error.message, error.hints.join("; "))),
    );
    rows
}

fn open(home: &Path) -> Result<SqliteStore> {
    let fault = |error: std::io::Error| {
        Error::new(Kind::Environment, format!("{} cannot be written: {error}", home.display()))
            .hint("set CODEX_WORKER_HOME to a directory of your own")
    };
    create_private(home).map_err(fault)?;
    tempfile::NamedTempFile::new_in(home).map_err(fault)?;
    SqliteStore::open(home)
}

fn permissions(home: &Path) -> Row {
    let name = home.display().to_string();
    #[cfg(unix)]
    if std::fs::metadata(home)
        .is_ok_and(|seen| std::os::unix::fs::PermissionsExt::mode(&seen.permissions()) & 0o077 != 0)
    {
        return Row::warning(
            "state directory",
            format!("{name}: other users of this machine can look into it"),
            format!("chmod 700 {name}"),
        )
        .mended_by(Fix::Permissions);
    }
    Row::ok("state directory", name)
}

/// A clock that was set back makes jobs older or younger than they are.
fn clock(store: &SqliteStore) -> Row {
    let now = jiff::Timestamp::now();
    let newest = store.list(&ListFilter { limit: 1, ..ListFilter::default() }).unwrap_or_default();
    let job = newest.first().map(|row| row.finished_ms.unwrap_or(row.created_ms));
    let program = std::env::current_exe()
        .and_then(|file| file.metadata()?.modified())
        .ok()
        .and_then(|time| jiff::Timestamp::try_from(time).ok())
        .map(jiff::Timestamp::as_millisecond);
    let shown = now.strftime("%F %T UTC").to_string();
    let before = |what: &str| {
        Row::warning(
            "clock",
            format!("{shown}, which is before {what}"),
            "set the clock (`timedatectl set-ntp true`): certificates, leases and daily budgets go by it",
        )
    };
    match (job, program) {
        (Some(job), _) if now.as_millisecond() + SKEW_MS < job => before("the newest job"),
        (_, Some(program)) if now.as_millisecond() + SKEW_MS < program => before("this program was built"),
        _ => Row::ok("clock", shown),
    }
}

/// Jobs that nobody works on.
fn jobs(store: &SqliteStore) -> Result<Row> {
    let (load, dead) = (store.load()?, store.dead()?);
    let unreadable = store.unreadable()?.len();
    let running = load.active.saturating_sub(dead);
    let seen = format!("{running} running, {} waiting", load.queued);
    if dead > 0 {
        let todo = "`codex-worker jobs list` ends them as interrupted, with the evidence that exists";
        return Ok(Row::warning("jobs", format!("{seen}, {dead} whose worker died"), todo)
            .mended_by(Fix::DeadWorkers));
    }
    if load.queued > 0 && running == 0 {
        let todo = "`codex-worker work --until-idle` runs them";
        return Ok(
            Row::warning("jobs", format!("{seen}, and no worker is running"), todo).mended_by(Fix::Worker)
        );
    }
    if unreadable > 0 {
        return Ok(Row::warning(
            "jobs",
            format!("{seen}; {unreadable} ended ones cannot be read: another version wrote them"),
            "`codex-worker jobs gc` deletes what is too old",
        ));
    }
    Ok(Row::ok("jobs", seen))
}

fn limits(config: &Config) -> gc::Retention {
    gc::Retention { older_than: config.keep.age, max_bytes: config.keep.bytes }
}

fn disk(config: &Config, store: &SqliteStore) -> Result<Row> {
    let report = gc::collect(config, store, limits(config), true)?;
    let used = BinaryBytes(report.freed_bytes + report.kept_bytes);
    let free = free_bytes(&config.home);
    let shown = match free {
        Some(free) => format!("ended jobs use {used}, {} are free", BinaryBytes(free)),
        None => format!("ended jobs use {used}"),
    };
    if !report.deleted.is_empty() {
        let more = format!(
            "{shown}; {} jobs are older or larger than WORKER_KEEP_DAYS and WORKER_KEEP_MB keep",
            report.deleted.len()
        );
        return Ok(Row::warning("disk", more, "`codex-worker jobs gc` deletes them").mended_by(Fix::Disk));
    }
    if free.is_some_and(|free| free < ROOM) {
        return Ok(Row::warning(
            "disk",
            shown,
            "free some: a job that cannot write fails; `codex-worker jobs gc --max-size 1000` keeps 1000 MiB of jobs",
        ));
    }
    Ok(Row::ok("disk", shown))
}

fn free_bytes(path: &Path) -> Option<u64> {
    #[cfg(unix)]
    {
        let seen = rustix::fs::statvfs(path).ok()?;
        Some(seen.f_bavail.saturating_mul(seen.f_frsize))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Does one thing that needs no question; says what was done.
pub fn mend(config: &Config, fix: Fix) -> Result<String> {
    let store = SqliteStore::open(&config.home)?;
    Ok(match fix {
        Fix::Permissions => {
            #[cfg(unix)]
            std::fs::set_permissions(&config.home, std::os::unix::fs::PermissionsExt::from_mode(0o700))
                .map_err(|error| {
                    Error::new(Kind::Environment, format!("chmod 700 {}: {error}", config.home.display()))
                        .hint("its owner has to do it")
                })?;
            format!("{} is its owner's alone", config.home.display())
        }
        Fix::DeadWorkers => format!("{} jobs of dead workers ended", reap::sweep(config, &store)?.len()),
        Fix::Worker => {
            job::spawn::spawn_worker(config)?;
            "a worker was started for the jobs that wait".to_owned()
        }
        Fix::Disk => {
            let report = gc::collect(config, &store, limits(config), false)?;
            format!("{} jobs deleted, {} freed", report.deleted.len(), BinaryBytes(report.freed_bytes))
        }
    })
}
