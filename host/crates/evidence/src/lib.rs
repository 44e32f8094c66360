//! What a job changed, worked out by the host alone: a tree before, a tree after, and the
//! difference, recorded in a git directory of the host's own that lies where the job
//! cannot write. `docs/evidence.md` says what is seen and what cannot be.
//!
//! Invariant: nothing here runs a program that the repository names (hooks, filters,
//! monitors, diff drivers), and nothing here writes into the user's git directory.
//! Everything blocks; call it from `spawn_blocking`.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests set the scene"))]
#![warn(clippy::unwrap_used)]

pub mod attributes;
pub mod discover;
pub mod git;
pub mod root;
pub mod shadow;

mod record;
mod recorder;

pub mod changes;
mod differences;
pub mod internals;
mod walk;

mod writing;

mod confine;
mod content;
pub mod interrupt;
pub mod kinds;
pub mod names;
pub mod patch;
mod settings;
mod stamps;

#[cfg(test)]
pub(crate) mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use model::error::Kind;
use model::types::ChangeSet;

pub use interrupt::Interrupt;
pub use recorder::Recorder;
pub use writing::{entries, tree_line};

/// Why evidence could not be taken. A job without evidence fails; it is never passed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A git call failed.
    #[error(transparent)]
    Git(#[from] git::GitError),
    /// libgit2 could not read what git wrote.
    #[error("reading objects failed: {0}")]
    Objects(#[from] git2::Error),
    /// A file could not be read or written.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// Such as `reading`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Git refuses the repository.
    #[error("git cannot work with the repository at {}: {said}", path.display())]
    Repository {
        /// The directory that was asked about.
        path: PathBuf,
        /// Git's own words.
        said: String,
    },
    /// Directories of one job lie in repositories with different object formats.
    #[error("the allowed directories mix repositories with {0} and {1} objects")]
    MixedFormats(String, String),
    /// An object's content is not what its name says.
    #[error("the content of object {0} does not match its name: the repository's objects were altered")]
    Forged(String),
    /// Git answered in a form that we do not know.
    #[error("git {0} gave an answer that could not be read")]
    Answer(&'static str),
    /// The recorder's own file is missing or of another version.
    #[error("the record in {} cannot be read: {said}", path.display())]
    Record {
        /// The state directory of the record.
        path: PathBuf,
        /// Why.
        said: String,
    },
    /// A file kept changing, or somebody exchanged what it is, while it was recorded.
    #[error("{0} changed while it was recorded")]
    ContentChanged(String),
    /// An allowed directory is gone, or another one or a link has taken its place.
    #[error("the allowed directory {} was replaced: {source}", path.display())]
    Replaced {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A pipe, socket or device is where git reads a file.
    #[error("{0} is a pipe, socket or device: git would wait for it")]
    Pipe(String),
    /// The job ended, or the caller's time was over.
    #[error("the work on the job's files was ended")]
    Interrupted,
    /// A path that would leave the recorded directories.
    #[error("{0:?} does not lie in the recorded directories")]
    Outside(String),
    /// Something stands where a file should go.
    #[error("{0:?} is in the way")]
    InTheWay(String),
}

/// The result of taking evidence.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<Error> for model::error::Error {
    fn from(error: Error) -> Self {
        let (kind, hint) = match &error {
            Error::Git(git::GitError::Spawn(_)) => {
                (Kind::Environment, "install git 2.40 or later and put it on PATH")
            }
            Error::Git(git::GitError::TimedOut { .. }) => (
                Kind::Environment,
                "the disk is slow or the directory is very large: allow a smaller directory",
            ),
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                (Kind::Environment, "free some disk space and run the job again")
            }
            Error::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                (Kind::Environment, "give the user who runs codex-worker access to it")
            }
            Error::Repository { .. } => (
                Kind::Environment,
                "run `git status` there and do what it says (such as adding safe.directory)",
            ),
            Error::MixedFormats(..) => (Kind::Usage, "start one job for each repository"),
            Error::Forged(_) => {
                (Kind::Refused, "run `git fsck` in the repository; do not trust this job's result")
            }
            Error::Replaced { .. } => (
                Kind::Refused,
                "look at what is in its place now (another job may have put it there) and start the job again",
            ),
            Error::Pipe(_) => (Kind::Refused, "remove it: the job put it there, or somebody before"),
            Error::Interrupted | Error::Git(git::GitError::Interrupted { .. }) => {
                (Kind::Environment, "give the job more time, or a smaller directory")
            }
            Error::Outside(_) => (Kind::Usage, "name a path as the job's changed_files name it"),
            Error::InTheWay(_) => (Kind::Refused, "move it away and try again"),
            _ => (Kind::Internal, "run `codex-worker doctor`"),
        };
        model::error::Error::new(kind, error.to_string()).caused_by(error).hint(hint)
    }
}

impl From<git::GitError> for model::error::Error {
    fn from(error: git::GitError) -> Self {
        Error::from(error).into()
    }
}

/// An I/O error with what was being done to which path.
pub fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { what, path, source }
}

/// Every file and symlink below `start`, without `.git`; capped.
pub fn files_below(tree: &jobfs::Tree, start: &[u8]) -> Vec<Vec<u8>> {
    walk::files_below(tree, start, 100_000)
}

/// More written files than this look like an installation, not like an edit.
pub const MAX_DEPENDENCIES: usize = 300;

/// How much of a change is kept as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files listed in the change set; `total_files` counts all.
    pub max_files: usize,
    /// Bytes of hunks kept for one file, cut at a hunk border.
    pub max_file_patch: usize,
    /// Bytes of hunks kept for all files together.
    pub max_patch: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_files: 5_000, max_file_patch: 64 << 10, max_patch: 2 << 20 }
    }
}

/// The tree after a pass and what it changed against the base.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The object id of the tree after; everything later works on it, not on the live
    /// directory.
    pub tree: String,
    /// What policies judge.
    pub changes: ChangeSet,
    /// One line a file: `M src/a.rs +3 -1`, `R old -> new +0 -0`, `D …`, `B …` for binary.
    pub stat: Vec<String>,
    /// Ignored files and directories that were not there before.
    pub ignored_new: u32,
    /// Code of installed dependencies that was written: in `node_modules`, `.venv` and the
    /// like, which git ignores and the checks run on. At most [`MAX_DEPENDENCIES`] names.
    #[serde(default)]
    pub dependencies: Vec<String>,
    /// What a reader should know: commits made, files that could not be recorded.
    pub notes: Vec<String>,
}
