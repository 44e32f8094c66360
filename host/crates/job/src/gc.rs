//! Deleting old jobs: by age and by size, oldest first; by hand, and by idle workers. A job
//! that has not ended is never touched, nor what it goes on from, and unsaved work in a
//! worktree is kept as a ref of its repository first.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::identity;
use super::paths::JobPaths;
use super::store::{JobRow, JobStore, ListFilter};
use config::Config;
use model::error::Result;
use model::spec::JobId;
use workspace::worktree;

/// What may stay.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Ended jobs older than this go.
    pub older_than: Option<Duration>,
    /// The oldest ended jobs go until no more than this is used.
    pub max_bytes: Option<u64>,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// The jobs that are gone.
    pub deleted: Vec<JobId>,
    /// Bytes that they used.
    pub freed_bytes: u64,
    /// Bytes that the jobs use that stay.
    pub kept_bytes: u64,
    /// What a person should know, each one sentence.
    pub notes: Vec<String>,
}

/// One ended job, for the decision.
#[derive(Clone, Debug)]
struct Ended {
    id: JobId,
    age: Duration,
    bytes: u64,
}

/// Which of the jobs go; `jobs` stand oldest first. Pure.
fn choose(jobs: &[Ended], limits: Retention) -> Vec<bool> {
    let mut left: u64 = jobs.iter().map(|job| job.bytes).sum();
    jobs.iter()
        .map(|job| {
            let goes = limits.older_than.is_some_and(|age| job.age > age)
                || limits.max_bytes.is_some_and(|max| left > max);
            if goes {
                left -= job.bytes;
            }
            goes
        })
        .collect()
}

/// Between two collections by idle workers.
const EVERY: Duration = Duration::from_secs(3600);

/// What an idle worker does, at most every hour: deletes what `WORKER_KEEP_DAYS` and
/// `WORKER_KEEP_MB` do not keep. Nothing that is in the way is worth failing for.
pub fn now_and_then(config: &Config, store: &dyn JobStore) {
    let limits = Retention { older_than: config.keep.age, max_bytes: config.keep.bytes };
    let stamp = config.home.join("gc.stamp");
    let recent = std::fs::metadata(&stamp)
        .and_then(|meta| meta.modified())
        // A time in the future is one of a clock that was set back since.
        .is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age < EVERY));
    if recent || (limits.older_than.is_none() && limits.max_bytes.is_none()) {
        return;
    }
    // Only one at a time; the lock ends with the file.
    let Ok(file) = File::create(&stamp) else { return };
    if file.try_lock().is_err() {
        return;
    }
    match collect(config, store, limits, false) {
        Ok(report) => {
            for note in &report.notes {
                tracing::info!("{note}");
            }
            if !report.deleted.is_empty() {
                tracing::info!(
                    jobs = report.deleted.len(),
                    bytes = report.freed_bytes,
                    "old jobs were deleted"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "old jobs were not deleted"),
    }
}

/// The jobs that a job that has not ended goes on from, by the whole chain: it works in the
/// first one's directories.
fn needed(rows: &[JobRow]) -> BTreeSet<JobId> {
    let mut needed = BTreeSet::new();
    for row in rows.iter().filter(|row| !row.status.is_final()) {
        let mut next = row.spec.resume.clone();
        while let Some(id) = next.filter(|id| needed.insert(id.clone())) {
            next = rows.iter().find(|row| row.id == id).and_then(|row| row.spec.resume.clone());
        }
    }
    needed
}

/// Directories below `jobs/` without a job: their store was moved away, or its record
/// cannot be read any more. Their age is that of the directory.
fn orphans(home: &Path, rows: &[JobRow], unreadable: &[JobId]) -> Vec<Ended> {
    let known: BTreeSet<&JobId> = rows.iter().map(|row| &row.id).collect();
    let on_disk = std::fs::read_dir(home.join("jobs")).into_iter().flatten().flatten();
    let mut ids: BTreeSet<JobId> =
        on_disk.filter_map(|entry| JobId::parse(entry.file_name().to_str()?)).collect();
    ids.extend(unreadable.iter().cloned());
    ids.into_iter()
        .filter(|id| !known.contains(id))
        .map(|id| {
            let paths = JobPaths::new(home, &id);
            let modified = std::fs::metadata(paths.root()).and_then(|meta| meta.modified());
            let age = match modified {
                Ok(at) => SystemTime::now().duration_since(at).unwrap_or_default(),
                // There is nothing that could be looked at any more.
                Err(_) => Duration::MAX,
            };
            Ended { bytes: size(paths.root()), age, id }
        })
        .collect()
}

/// Deletes what the limits say.
pub fn collect(config: &Config, store: &dyn JobStore, limits: Retention, dry_run: bool) -> Result<Collected> {
    let unreadable = store.unreadable()?;
    let rows = store.list(&ListFilter::default())?;
    let needed = needed(&rows);
    let now = identity::now().wall_ms;
    // The list is newest first. (A job that is written between the two looks has no
    // directory that was there before.)
    let mut ended = orphans(&config.home, &rows, &unreadable);
    ended.extend(rows.iter().rev().filter(|row| row.status.is_final() && !needed.contains(&row.id)).map(
        |row| Ended {
            id: row.id.clone(),
            age: Duration::from_millis(
                u64::try_from(now - row.finished_ms.unwrap_or(now)).unwrap_or_default(),
            ),
            bytes: size(JobPaths::new(&config.home, &row.id).root()),
        },
    ));
    ended.sort_by_key(|job| std::cmp::Reverse(job.age));
    let mut report = Collected::default();
    for (job, goes) in ended.iter().zip(choose(&ended, limits)) {
        if !goes {
            report.kept_bytes += job.bytes;
            continue;
        }
        if !dry_run && let Err(why) = delete(config, store, &job.id, &mut report.notes) {
            report.notes.push(format!("{} stays: {why}", job.id));
            report.kept_bytes += job.bytes;
            continue;
        }
        report.freed_bytes += job.bytes;
        report.deleted.push(job.id.clone());
    }
    if !dry_run && !report.deleted.is_empty() {
        // Worktrees were only moved away; what is said to be freed is free when that is said.
        worktree::sweep(&config.home.join("jobs").join("any"));
    }
    Ok(report)
}

fn delete(config: &Config, store: &dyn JobStore, id: &JobId, notes: &mut Vec<String>) -> Result<(), String> {
    let paths = JobPaths::new(&config.home, id);
    // Somebody may have asked to go on from it since the list was made.
    if needed(&store.list(&ListFilter::default()).map_err(|error| error.message)?).contains(id) {
        return Err("a job goes on from it".to_owned());
    }
    // What the job left may make git wait.
    let limited = evidence::Interrupt::after(std::time::Duration::from_secs(60));
    if limited.scope(|| worktree::has_unsaved(paths.root())) {
        let saved = limited
            .scope(|| worktree::save(paths.root()))
            .map_err(|error| format!("its unsaved work could not be kept: {}", error.message))?;
        notes.extend(saved.into_iter().map(|saved| format!("{id}: unsaved work is kept as {}", saved.name)));
    }
    worktree::remove(paths.root()).map_err(|error| error.message)?;
    worktree::delete(paths.root());
    if paths.root().exists() {
        return Err("its directory could not be deleted".to_owned());
    }
    // The row last: a directory without a row would never be found again.
    store.forget(id).map_err(|error| error.message)?;
    Ok(())
}

/// Bytes on the disk below a directory; links are not followed.
fn size(dir: &Path) -> u64 {
    let mut total = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => dirs.push(entry.path()),
                Ok(meta) => total += on_disk(&meta),
                Err(_) => {}
            }
        }
    }
    total
}

/// What a file takes: a file with holes less than its length.
fn on_disk(meta: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    {
        std::os::unix::fs::MetadataExt::blocks(meta) * 512
    }
    #[cfg(not(unix))]
    meta.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_go_and_then_the_oldest_until_it_fits() {
        let day = |n: u64| Duration::from_secs(n * 86_400);
        let job = |age: u64, bytes: u64| Ended { id: JobId::random().expect("random"), age: day(age), bytes };
        let jobs = [job(30, 10), job(9, 50), job(8, 20), job(1, 5)];
        for (older_than, max_bytes, expected) in [
            (14, None, "X---"),
            (40, None, "----"),
            (14, Some(80), "X---"),
            (40, Some(30), "XX--"),
            (14, Some(0), "XXXX"),
        ] {
            let chosen = choose(&jobs, Retention { older_than: Some(day(older_than)), max_bytes });
            let shown: String = chosen.iter().map(|goes| if *goes { 'X' } else { '-' }).collect();
            assert_eq!(shown, expected, "{older_than} {max_bytes:?}");
        }
        assert_eq!(choose(&jobs, Retention { older_than: None, max_bytes: None }), [false; 4]);
    }
}
