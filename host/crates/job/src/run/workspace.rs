//! The directories of a run and what it continues from: its own, or those of the job that it
//! resumes (an agent's conversation belongs to the home and the directory in which it was
//! held).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Job;
use crate::paths::JobPaths;
use crate::store::JobStore;
use crate::worker::on_files;
use config::{Config, Isolation};
use contain::{Bind, Limits, Renames};
use evidence::discover::Repository;
use evidence::{Interrupt, Recorded, Recorder};
use model::error::{Error, Kind, Result};
use model::spec::{AllowedDir, JobSpec};
use workspace::root;
use workspace::worktree::{self, Worktree};

/// Repositories with more files than this are checked out only where the scope is.
const SPARSE_ABOVE: usize = 20_000;

/// The longest chain of resumed jobs.
const CHAIN_MAX: usize = 64;

/// What a resumed job takes over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// The agent's conversation, if it reported its name.
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
pub struct Workspace {
    /// The first is the working directory.
    pub dirs: Vec<AllowedDir>,
    /// The agent's home.
    pub home: PathBuf,
    /// Its temporary directory.
    pub tmp: PathBuf,
    /// The job that the worktree and the home belong to.
    pub owner: JobPaths,
    /// As what the processes of the job know the worktree.
    pub shown: Shown,
    /// It is a worktree that was made just now.
    pub fresh: bool,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// A worktree's names for those who work in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// It is at the user's own path: what is shown there, and git's objects.
    pub binds: Vec<Bind>,
    /// It is where the host made it: the user's paths and its own.
    pub renames: Renames,
    /// The objects then.
    pub readable: Vec<PathBuf>,
}

impl Shown {
    /// At the user's path where that can be done.
    fn of(config: &Config, owner: &JobPaths, tree: &Worktree, setup: bool) -> Shown {
        let (places, objects) = (tree.places(), tree.objects(owner.root()));
        let users: Vec<&Path> = places.iter().map(|(_, user)| user.as_path()).collect();
        let agent = config.agent.claude_bin.as_deref();
        let needed: Vec<&Path> = agent.into_iter().chain([config.home.as_path()]).collect();
        if tree.borrowed.is_none() || !contain::can_show(&users, &needed) {
            // An earlier release's worktree borrows from its repositories.
            let own =
                || tree.parts.iter().filter_map(|p| p.repository.as_ref()).flat_map(|r| r.object_dirs());
            let readable = tree.borrowed.clone().unwrap_or_else(|| own().collect());
            let renames = Renames::new(places.into_iter().map(|(own, user)| (user, own)));
            return Shown { binds: Vec::new(), renames, readable };
        }
        let bind = |(source, destination)| Bind { source, destination, writable: false };
        // A setup command makes the tools itself.
        let tools = if setup { Vec::new() } else { tree.tools(&contain::named_places()) };
        let tools = tools.into_iter().map(|place| (place.clone(), place));
        let binds = places.into_iter().chain(objects).chain(tools).map(bind).collect();
        Shown { binds, ..Shown::default() }
    }

    /// Adds it to what a process tree of the job may do.
    pub fn add_to(&self, limits: &mut Limits) {
        limits.binds.clone_from(&self.binds);
        limits.renames = self.renames.clone();
        limits.readable.extend(self.readable.iter().cloned());
    }
}

/// Makes the job's workspace. A worktree is of the job's own, or that of the job it resumes.
pub(super) async fn make(job: &Arc<Job>, earlier: &Earlier) -> Result<Workspace> {
    let (own, earlier) = (Arc::clone(job), earlier.clone());
    job.on_files(move || {
        let job = own;
        let spec = &job.claim.spec;
        let owner = earlier.origin.clone().unwrap_or_else(|| job.paths.clone());
        owner.create().map_err(|e| {
            Error::new(Kind::Environment, format!("cannot make {}: {e}", owner.root().display()))
        })?;
        let (mut fresh, mut shown) = (false, Shown::default());
        let (dirs, notes) = match spec.isolation {
            Isolation::None => {
                root::unchanged(&spec.allowed_dirs)?;
                (spec.allowed_dirs.clone(), Vec::new())
            }
            Isolation::Worktree => {
                let tree = match Worktree::open(owner.root())? {
                    Some(tree) if tree.path.is_dir() => tree,
                    _ if earlier.origin.is_some() => return Err(worktree_is_gone(&earlier)),
                    _ => {
                        fresh = true;
                        worktree::create(worktree::Options {
                            job: job.claim.id.as_str(),
                            dirs: &spec.allowed_dirs,
                            job_dir: owner.root(),
                            copy_in: &spec.copy_in,
                            scope: spec.scoped_patch.as_ref().map_or(&[], |scope| scope.paths.as_slice()),
                            sparse_above: Some(SPARSE_ABOVE),
                        })?
                    }
                };
                let repositories = tree.parts.iter().filter_map(|part| part.repository.as_ref());
                refuse_foreign(repositories, &trusted(&job.config, &owner))?;
                shown = Shown::of(&job.config, &owner, &tree, spec.setup.is_some());
                (tree.dirs, tree.notes)
            }
        };
        Ok(Workspace { dirs, home: owner.home(), tmp: owner.tmp(), owner, shown, fresh, notes })
    })
    .await
}

/// Where the repositories of a job may lead.
pub(super) fn trusted(config: &Config, owner: &JobPaths) -> Vec<PathBuf> {
    let named = config.sandbox_root.iter().chain(&config.containment.read_paths).cloned();
    named.chain([owner.root().to_owned()]).collect()
}

/// Refuses a repository that leads to another one outside of where jobs may read: its `.git` or
/// its list of alternates may have been written by anybody, and a job sees its objects.
pub(super) fn refuse_foreign<'a>(
    mut repositories: impl Iterator<Item = &'a Repository>,
    trusted: &[PathBuf],
) -> Result<()> {
    let found = repositories.find_map(|one| Some((one, one.foreign(trusted)?)));
    let Some((repository, foreign)) = found else { return Ok(()) };
    let (top, foreign) = (repository.top.display(), foreign.display());
    Err(Error::new(Kind::Refused, format!("the repository {top} uses {foreign}, which is outside SANDBOX_ROOT"))
        .hint(format!("if you trust that, name {foreign} in WORKER_READ_PATHS; else look at .git and .git/objects/info/alternates")))
}

fn worktree_is_gone(earlier: &Earlier) -> Error {
    let error = Error::new(Kind::NotFound, "the worktree of the job to be resumed is gone");
    match &earlier.branch {
        Some(branch) => {
            error.hint(format!("bring its result in with apply or merge {branch}, then start a new job"))
        }
        None => error.hint("start a new job"),
    }
}

/// Puts the recorded tree into the user's repository; gives the ref's name, and the files that
/// it lacks with the filters that make git's form of them.
pub(super) async fn publish(
    workspace: &Workspace,
    recorder: &Arc<Recorder>,
    recorded: &Recorded,
    summary: String,
    interrupt: Interrupt,
) -> Result<(Option<String>, Vec<(String, String)>)> {
    let (owner, recorder, tree) = (workspace.owner.clone(), Arc::clone(recorder), recorded.tree.clone());
    on_files(interrupt, move || {
        let published = worktree::publish_ref(owner.root(), &recorder, &tree, &summary)?;
        let left_out = published.iter().flat_map(|published| published.left_out.clone()).collect();
        Ok((published.into_iter().next().map(|published| published.name), left_out))
    })
    .await
}
