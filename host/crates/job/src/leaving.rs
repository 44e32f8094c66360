//! Tidying up after an ended job. It is announced by a file in `leaving/` before the end is
//! written, so that a worker that is killed in between leaves a note, and the next worker
//! does what is left.

use std::path::{Path, PathBuf};

use super::paths::{JobPaths, create_private};
use super::run::place;
use super::store::JobStore;
use config::{Config, Isolation};
use model::error::Result;
use model::spec::JobId;
use model::status::JobStatus;
use workspace::worktree;

fn note(home: &Path, id: &JobId) -> PathBuf {
    home.join("leaving").join(id.as_str())
}

/// Says that the job is about to end. A note that cannot be written only means that a kill
/// in the next moment leaves something to `gc`.
pub fn announce(home: &Path, id: &JobId) {
    let note = note(home, id);
    let written = create_private(&home.join("leaving")).and_then(|()| std::fs::write(&note, ""));
    if let Err(error) = written {
        tracing::warn!(%error, note = %note.display(), "not announced");
    }
}

/// Removes what nobody needs after the job's end: temporary directories, and the worktree of
/// a completed job once its result is a ref (or nothing changed). Any other worktree stays
/// for `resume` until `gc`; the agent's home does too. Blocks. Does nothing to a job that has
/// not ended.
pub fn tidy(config: &Config, store: &dyn JobStore, id: &JobId) -> Result<()> {
    let row = store.get(id)?;
    if !row.status.is_final() {
        return Ok(());
    }
    let paths = JobPaths::new(&config.home, id);
    for dir in [paths.trees(), paths.check_home(), paths.tmp()] {
        worktree::delete(&dir);
    }
    if row.spec.isolation == Isolation::Worktree && row.status == JobStatus::Completed {
        let owner = place::earlier(config, store, &row.spec)?.origin.unwrap_or(paths);
        if !worktree::has_unsaved(owner.root()) {
            worktree::remove(owner.root())?;
            worktree::sweep(owner.root());
        }
    }
    let _ = std::fs::remove_file(note(&config.home, id));
    Ok(())
}

/// Does what killed workers left undone. Blocks; one look into a directory when there is
/// nothing.
pub fn tidy_all(config: &Config, store: &dyn JobStore) {
    for entry in std::fs::read_dir(config.home.join("leaving")).into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(JobId::parse) else { continue };
        if let Err(error) = tidy(config, store, &id) {
            tracing::warn!(job = %id, %error, "something stays");
            if error.kind == model::error::Kind::NotFound {
                // The job is gone, and what it had with it.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}
