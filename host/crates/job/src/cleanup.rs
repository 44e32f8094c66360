//! Cleanup after an ended job. A cleanup intent (a file in `leaving/`) is written before the
//! end is, so that the next worker finishes what a worker that was killed in between left.

use std::path::{Path, PathBuf};

use super::paths::{JobPaths, create_private};
use super::run::earlier;
use super::store::JobStore;
use config::{Config, Isolation};
use model::error::Result;
use model::spec::JobId;
use model::status::JobStatus;
use workspace::worktree;

fn intent(home: &Path, id: &JobId) -> PathBuf {
    home.join("leaving").join(id.as_str())
}

/// Writes the intent: the job is about to end. One that cannot be written only means that a
/// kill in the next moment leaves something to `gc`.
pub fn intend(home: &Path, id: &JobId) {
    let intent = intent(home, id);
    let written = create_private(&home.join("leaving")).and_then(|()| std::fs::write(&intent, ""));
    if let Err(error) = written {
        tracing::warn!(%error, intent = %intent.display(), "the cleanup intent was not written");
    }
}

/// Removes what nobody needs after the job's end: temporary directories, and the worktree of
/// a completed job once its result is a ref (or nothing changed). Any other worktree stays
/// for `resume` until `gc`; the agent's home does too. Blocks. Does nothing to a job that has
/// not ended.
pub fn clean_up(config: &Config, store: &dyn JobStore, id: &JobId) -> Result<()> {
    let row = store.get(id)?;
    if !row.status.is_final() {
        return Ok(());
    }
    let paths = JobPaths::new(&config.home, id);
    for dir in [paths.trees(), paths.check_home(), paths.tmp()] {
        worktree::delete(&dir);
    }
    if row.spec.isolation == Isolation::Worktree && row.status == JobStatus::Completed {
        let owner = earlier(config, store, &row.spec)?.origin.unwrap_or(paths);
        let limited = evidence::Interrupt::after(std::time::Duration::from_secs(30));
        if !limited.scope(|| worktree::has_unsaved(owner.root())) {
            worktree::remove(owner.root())?;
            worktree::sweep(owner.root());
        }
    }
    let _ = std::fs::remove_file(intent(&config.home, id));
    Ok(())
}

/// [`clean_up`]; what fails is logged, and the next worker tries again.
pub fn clean_up_or_log(config: &Config, store: &dyn JobStore, id: &JobId) {
    if let Err(error) = clean_up(config, store, id) {
        tracing::warn!(job = %id, %error, "cleanup incomplete");
    }
}

/// Finishes the cleanup that killed workers left. Blocks; reads one directory when there is
/// nothing.
pub fn clean_up_pending(config: &Config, store: &dyn JobStore) {
    for entry in std::fs::read_dir(config.home.join("leaving")).into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(JobId::parse) else { continue };
        if let Err(error) = clean_up(config, store, &id) {
            tracing::warn!(job = %id, %error, "cleanup incomplete");
            if error.kind == model::error::Kind::NotFound {
                // The job is gone, and what it had with it.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}
