//! Which repository a directory belongs to, and which directories one job is about. Asks
//! git once per directory; everything later uses the paths found here, so that a `.git`
//! that is removed or pointed elsewhere changes nothing for the host.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::git::{Git, GitError};
use super::{Error, Result};

/// A repository as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The top of its work tree.
    pub top: PathBuf,
    /// The work tree's own git directory.
    pub git_dir: PathBuf,
    /// The shared git directory; the same unless this is a linked worktree.
    pub common_dir: PathBuf,
    /// Where its objects lie, its own alternates included by git itself.
    pub objects: PathBuf,
    /// `sha1` or `sha256`.
    pub object_format: String,
    /// `files` or `reftable`.
    pub ref_format: String,
}

/// The repository whose work tree holds `dir`; none if there is none.
pub fn repository(dir: &Path) -> Result<Option<Repository>> {
    let asked = Git::new("rev-parse")
        .args(["--path-format=absolute", "--is-inside-work-tree", "--show-object-format"])
        .args(["--show-ref-format", "--git-dir", "--git-common-dir", "--show-toplevel"])
        .dir(dir)
        .with_user_config()
        .run(super::git::Input::Null)?;
    let text = String::from_utf8_lossy(&asked.stderr);
    if asked.code != Some(0) {
        // Also printed when the directory lies in a `.git` directory or a bare repository.
        let none = ["not a git repository", "must be run in a work tree"];
        if none.iter().any(|n| text.contains(n)) {
            return Ok(None);
        }
        return Err(Error::Repository {
            path: dir.to_owned(),
            said: match super::git::failed("rev-parse".into(), &asked) {
                GitError::Failed { stderr, .. } => stderr,
                other => other.to_string(),
            },
        });
    }
    let lines: Vec<&[u8]> =
        asked.stdout.strip_suffix(b"\n").unwrap_or(&asked.stdout).split(|b| *b == b'\n').collect();
    let [inside, object_format, ref_format, git_dir, common_dir, top] = lines.as_slice() else {
        return Err(Error::Repository {
            path: dir.to_owned(),
            said: "its path holds a line break, or git gave an unknown answer".into(),
        });
    };
    if *inside != b"true" {
        return Ok(None);
    }
    let common_dir = super::names::path(common_dir);
    Ok(Some(Repository {
        top: super::names::path(top),
        git_dir: super::names::path(git_dir),
        objects: common_dir.join("objects"),
        common_dir,
        object_format: String::from_utf8_lossy(object_format).into_owned(),
        ref_format: String::from_utf8_lossy(ref_format).into_owned(),
    }))
}

/// The deepest directory that holds all of `paths` (or is the only one).
pub fn common_top(paths: &[PathBuf]) -> PathBuf {
    let mut all = paths.iter();
    let Some(first) = all.next() else { return PathBuf::from("/") };
    let mut top: Vec<Component<'_>> = first.components().collect();
    for path in all {
        let same = top.iter().zip(path.components()).take_while(|(a, b)| **a == *b).count();
        top.truncate(same);
    }
    top.iter().collect()
}

/// `paths` without those that lie inside another one, in their order.
pub fn outermost(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut kept: Vec<PathBuf> = Vec::new();
    for path in paths {
        let inside = paths.iter().any(|other| other != path && path.starts_with(other));
        if !inside && !kept.contains(path) {
            kept.push(path.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &[&str]) -> Vec<PathBuf> {
        list.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn the_common_top_is_the_deepest() {
        let cases: [(&[&str], &str); 4] = [
            (&["/a/b"], "/a/b"),
            (&["/a/b", "/a/c/d"], "/a"),
            (&["/a/b", "/a/bc"], "/a"),
            (&["/a/b", "/a/b/c"], "/a/b"),
        ];
        for (list, top) in cases {
            assert_eq!(common_top(&paths(list)), PathBuf::from(top));
        }
    }

    #[test]
    fn nested_directories_are_one() {
        assert_eq!(outermost(&paths(&["/a/b", "/a", "/c", "/c", "/cd"])), paths(&["/a", "/c", "/cd"]));
    }
}
