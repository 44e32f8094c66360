//! Evidence against real git: what a worker can do to hide a change, what it can plant,
//! and the formats of repositories.

mod actions;
mod formats;
mod planted;

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Limits, Recorded, Recorder};
use crate::job::spec::AllowedDir;

/// A temporary place with a repository, a state directory and room beside them.
pub struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    /// An empty place.
    pub fn empty() -> Place {
        Place { dir: tempfile::tempdir().unwrap() }
    }

    /// A place with a repository `repo` of a few files.
    pub fn with_repo() -> Place {
        let place = Place::empty();
        place.sh("git init -q -b main repo && cd repo && mkdir src tests docs
             printf 'fn a() {}\\nfn b() {}\\nfn c() {}\\n' >src/a.rs
             printf 'one\\ntwo\\nthree\\nfour\\nfive\\n' >src/b.rs
             echo test >tests/a.rs; echo doc >docs/a.md; printf '#!/bin/sh\\n' >run.sh
             printf 'target/\\n.env\\n' >.gitignore
             mkdir target; echo built >target/out; echo SECRET=1 >.env
             git add . && git commit -qm first && git branch other");
        place
    }

    pub fn root(&self) -> PathBuf {
        std::fs::canonicalize(self.dir.path()).unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Runs a shell script in the place, as a user with a plain git set-up.
    pub fn sh(&self, script: &str) {
        run_sh(&self.root(), script);
    }

    pub fn begin(&self, dirs: &[&str]) -> Recorder {
        let dirs: Vec<AllowedDir> = dirs.iter().map(|d| AllowedDir(self.path(d))).collect();
        Recorder::begin(&dirs, &self.path("state")).unwrap()
    }

    /// Begins, lets the script work in the first directory, and records.
    pub fn judge(&self, dirs: &[&str], script: &str) -> (Recorder, Recorded) {
        let recorder = self.begin(dirs);
        run_sh(&self.path(dirs[0]), script);
        let recorded = recorder.record(Limits::default()).unwrap();
        (recorder, recorded)
    }
}

pub fn run_sh(dir: &Path, script: &str) {
    let out = Command::new("sh")
        .arg("-ec")
        .arg(script)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "t")
        .env("GIT_AUTHOR_EMAIL", "t@example.com")
        .env("GIT_COMMITTER_NAME", "t")
        .env("GIT_COMMITTER_EMAIL", "t@example.com")
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "script failed: {script}\n{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
}

/// `kind path` of everything seen, internals as `internal name`, ignored ones marked.
pub fn seen(recorded: &Recorded) -> Vec<String> {
    let files = recorded.changes.files.iter().map(|f| {
        let kind = format!("{:?}", f.kind);
        let ignored = if f.ignored { " ignored" } else { "" };
        format!("{kind} {}{ignored}", f.path)
    });
    files.chain(recorded.changes.internals_changed.iter().map(|i| format!("internal {i}"))).collect()
}
