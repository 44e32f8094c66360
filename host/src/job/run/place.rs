//! Where a job works and what it goes on from: its own directories, or those of the job
//! that it resumes (an agent's conversation belongs to the home and the directory in which
//! it was held).

use std::path::PathBuf;
use std::sync::Arc;

use super::Job;
use crate::config::{Config, Isolation};
use crate::error::{Error, Kind, Result};
use crate::evidence::{Recorded, Recorder};
use crate::job::paths::JobPaths;
use crate::job::spec::{AllowedDir, JobSpec};
use crate::job::state::JobStatus;
use crate::job::store::JobStore;
use crate::job::worker::blocking;

/// The longest chain of resumed jobs.
const CHAIN_MAX: usize = 64;

/// What a resumed job takes over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// The agent's conversation, if it told its name.
    pub session: Option<String>,
    /// The first job of the chain: its home, temporary directory and worktree are used.
    pub origin: Option<JobPaths>,
    /// The ref with what the chain has made so far.
    pub branch: Option<String>,
}

/// Follows `resume` to the chain's first job. Blocks.
pub fn earlier(config: &Config, store: &dyn JobStore, spec: &JobSpec) -> Result<Earlier> {
    let mut found = Earlier::default();
    let mut next = spec.resume.clone();
    for _ in 0..CHAIN_MAX {
        let Some(id) = next else { return Ok(found) };
        let row = store.get(&id)?;
        if !row.status.is_final() {
            return Err(Error::new(
                Kind::Refused,
                format!("job {id} is {}: it cannot be resumed", row.status.as_str()),
            )
            .hint("cancel it or wait until it has ended"));
        }
        found.session = found.session.or(row.session);
        found.branch = found.branch.or(row.result.and_then(|result| result.workspace.branch));
        found.origin = Some(JobPaths::new(&config.home, &id));
        next = row.spec.resume;
    }
    Err(Error::new(Kind::Refused, format!("more than {CHAIN_MAX} jobs resume one another"))
        .hint("start a new job"))
}

/// Where the agent works.
#[derive(Clone, Debug)]
pub struct Place {
    /// The first is the working directory.
    pub dirs: Vec<AllowedDir>,
    /// The agent's home.
    pub home: PathBuf,
    /// Its temporary directory.
    pub tmp: PathBuf,
    /// The job that the worktree and the home belong to.
    pub owner: JobPaths,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// Makes the job's place. Blocks off the async threads.
pub(super) async fn make(job: &Arc<Job>, earlier: &Earlier) -> Result<Place> {
    let (job, earlier) = (Arc::clone(job), earlier.clone());
    blocking(move || {
        let spec = &job.claim.spec;
        let of = earlier.origin.clone().unwrap_or_else(|| job.paths.clone());
        of.create().map_err(|e| {
            Error::new(Kind::Environment, format!("cannot make {}: {e}", of.root().display()))
        })?;
        let (dirs, notes) = match spec.isolation {
            Isolation::None => (spec.allowed_dirs.clone(), Vec::new()),
            Isolation::Worktree => return Err(Error::new(Kind::Internal, "worktrees are not there yet")),
        };
        Ok(Place { dirs, home: of.home(), tmp: of.tmp(), owner: of, notes })
    })
    .await
}

/// Puts the recorded tree into the user's repository; gives the ref's name.
pub(super) async fn publish(
    _place: &Place,
    _recorder: &Arc<Recorder>,
    _recorded: &Recorded,
    _prompt: &str,
) -> Result<Option<String>> {
    Ok(None)
}

/// What becomes of the place when the job has ended.
pub(super) async fn leave(_paths: &JobPaths, _isolation: Isolation, _status: JobStatus) {}
