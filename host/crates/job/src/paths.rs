//! Where a job's files are inside the state directory. Nothing of it is ever inside a
//! directory that a job may write, but for `home`, `tmp` and `worktree`.

use std::path::{Path, PathBuf};

use model::spec::JobId;

/// The directories of one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPaths {
    root: PathBuf,
}

impl JobPaths {
    /// The places of job `id` in the state directory `home`. Makes nothing.
    pub fn new(home: &Path, id: &JobId) -> Self {
        JobPaths { root: home.join("jobs").join(id.as_str()) }
    }

    /// `jobs/<id>`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What `artifact` reads: everything in it is redacted.
    pub fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// The agent's home: its configuration and conversations. The job writes it.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The job's temporary directory. The job writes it.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The host's own record of the trees before and after.
    pub fn shadow(&self) -> PathBuf {
        self.root.join("shadow")
    }

    /// The job's worktree, when it has one. The job writes it.
    pub fn worktree(&self) -> PathBuf {
        self.root.join("worktree")
    }

    /// Trees written out for checks; made and removed by the worker. Checks write it.
    pub fn trees(&self) -> PathBuf {
        self.root.join("trees")
    }

    /// Home and temporary directory of the checks, fresh for each round: in the agent's own
    /// it could leave things behind (`.npmrc`, a Python start-up file) that steer a check.
    pub fn check_home(&self) -> PathBuf {
        self.root.join("check-home")
    }

    /// Each policy decision, one JSON object a line, for `policy replay`.
    pub fn decisions(&self) -> PathBuf {
        self.root.join("decisions.jsonl")
    }

    /// The tags of the process trees that were started, one a line, written before each
    /// start, so that a dead worker's orphaned processes can be found.
    pub fn process_tags(&self) -> PathBuf {
        self.root.join("marks")
    }

    /// Makes the directories that every job has, readable by the user alone.
    pub fn create(&self) -> std::io::Result<()> {
        for dir in [self.root.clone(), self.artifacts(), self.home(), self.tmp()] {
            create_private(&dir)?;
        }
        Ok(())
    }
}

/// Makes a directory and its parents, open to the user alone.
pub fn create_private(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}
