//! Deleting old jobs: by age and by size, oldest first. A job that has not ended is never
//! touched, and unsaved work in a worktree is kept as a ref of its repository first.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::identity;
use super::paths::JobPaths;
use super::spec::JobId;
use super::store::{JobStore, ListFilter};
use crate::config::Config;
use crate::error::Result;
use crate::workspace::worktree;

/// What may stay.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Ended jobs older than this go.
    pub older_than: Duration,
    /// The oldest ended jobs go until no more than this is used.
    pub max_bytes: Option<u64>,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
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
fn choose(jobs: &[Ended], limits: Limits) -> Vec<bool> {
    let mut left: u64 = jobs.iter().map(|job| job.bytes).sum();
    jobs.iter()
        .map(|job| {
            let goes = job.age > limits.older_than || limits.max_bytes.is_some_and(|max| left > max);
            if goes {
                left -= job.bytes;
            }
            goes
        })
        .collect()
}

/// Deletes what the limits say. A job that another one resumes and that has not ended stays.
pub fn collect(config: &Config, store: &dyn JobStore, limits: Limits, dry_run: bool) -> Result<Report> {
    let rows = store.list(&ListFilter::default())?;
    let resumed: Vec<&JobId> =
        rows.iter().filter(|row| !row.status.is_final()).filter_map(|row| row.spec.resume.as_ref()).collect();
    let now = identity::now().wall_ms;
    // The list is newest first.
    let ended: Vec<Ended> = rows
        .iter()
        .rev()
        .filter(|row| row.status.is_final() && !resumed.contains(&&row.id))
        .map(|row| Ended {
            id: row.id.clone(),
            age: Duration::from_millis(
                u64::try_from(now - row.finished_ms.unwrap_or(now)).unwrap_or_default(),
            ),
            bytes: size(JobPaths::new(&config.home, &row.id).root()),
        })
        .collect();
    let mut report = Report::default();
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
    Ok(report)
}

fn delete(config: &Config, store: &dyn JobStore, id: &JobId, notes: &mut Vec<String>) -> Result<(), String> {
    let paths = JobPaths::new(&config.home, id);
    if worktree::has_unsaved(paths.root()) {
        let saved = worktree::save(paths.root())
            .map_err(|error| format!("its unsaved work could not be kept: {}", error.message))?;
        notes.extend(saved.into_iter().map(|saved| format!("{id}: unsaved work is kept as {}", saved.name)));
    }
    worktree::remove(paths.root()).map_err(|error| error.message)?;
    match std::fs::remove_dir_all(paths.root()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.to_string()),
        _ => {}
    }
    // The row last: a directory without a row would never be found again.
    store.forget(id).map_err(|error| error.message)?;
    Ok(())
}

/// Bytes below a directory; links are not followed.
fn size(dir: &Path) -> u64 {
    let mut total = 0;
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => dirs.push(entry.path()),
                Ok(meta) => total += meta.len(),
                Err(_) => {}
            }
        }
    }
    total
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
            let chosen = choose(&jobs, Limits { older_than: day(older_than), max_bytes });
            let shown: String = chosen.iter().map(|goes| if *goes { 'X' } else { '-' }).collect();
            assert_eq!(shown, expected, "{older_than} {max_bytes:?}");
        }
    }
}
