//! Directories and repositories to work on.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A temporary directory with a repository, a state directory and room beside them.
pub struct TestDir {
    dir: tempfile::TempDir,
}

impl TestDir {
    /// An empty directory.
    pub fn empty() -> TestDir {
        TestDir { dir: tempfile::tempdir().unwrap() }
    }

    /// A directory with a repository `repo` of a few files.
    pub fn with_repo() -> TestDir {
        let dir = TestDir::empty();
        dir.sh("git init -q -b main repo && cd repo && mkdir src tests docs
             printf 'fn a() {}\\nfn b() {}\\nfn c() {}\\n' >src/a.rs
             printf 'one\\ntwo\\nthree\\nfour\\nfive\\n' >src/b.rs
             echo test >tests/a.rs; echo doc >docs/a.md; printf '#!/bin/sh\\n' >run.sh
             printf 'target/\\n.env\\n' >.gitignore
             mkdir target; echo built >target/out; echo SECRET=1 >.env
             git add . && git commit -qm first && git branch other");
        dir
    }

    /// Its path, links resolved.
    pub fn root(&self) -> PathBuf {
        std::fs::canonicalize(self.dir.path()).unwrap()
    }

    /// `name` in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Runs a shell script in the directory, as a user with a plain git set-up.
    pub fn sh(&self, script: &str) {
        run_sh(&self.root(), script);
    }
}

/// Runs a shell script in `dir` without the user's git settings; panics with its output when it fails.
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
