//! Which repository a directory belongs to, and which directories one job is about. Asks
//! git once per directory; everything later uses the paths found here, so that a `.git`
//! that is removed or pointed elsewhere changes nothing for the host.

use std::path::{Component, Path, PathBuf};

use jobfs::Tree;
use jobfs::own as fs;
use serde::{Deserialize, Serialize};

use super::git::{Git, GitError};
use super::{Error, Result, names};

/// A repository as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// The top of its work tree.
    pub top: PathBuf,
    /// The work tree's own git directory.
    pub git_dir: PathBuf,
    /// The shared git directory; the same unless this is a linked worktree.
    pub common_dir: PathBuf,
    /// Where its objects are.
    pub objects: PathBuf,
    /// Where it borrows objects, as it said at the start.
    #[serde(default)]
    pub alternates: Vec<PathBuf>,
    /// `sha1` or `sha256`.
    pub object_format: String,
    /// `files` or `reftable`.
    pub ref_format: String,
}

impl Repository {
    /// All directories that its objects are read from.
    pub fn object_dirs(&self) -> Vec<PathBuf> {
        std::iter::once(&self.objects).chain(&self.alternates).cloned().collect()
    }

    /// A directory that it leads to outside of its work tree and of `trusted`. Anybody can write
    /// a `.git` file, a link or a list of alternates: a git directory counts if it names the work
    /// tree in turn, as git makes linked worktrees and submodules; borrowed objects never do.
    pub fn foreign(&self, trusted: &[PathBuf]) -> Option<PathBuf> {
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (git, common) = (real(&self.git_dir), real(&self.common_dir));
        let mut known: Vec<PathBuf> = trusted.iter().map(|dir| real(dir)).collect();
        known.push(real(&self.top));
        if self.names_back(&git) {
            // `<common>/worktrees/<name>`, as git makes it.
            known.extend(
                git.parent().and_then(Path::parent).filter(|above| *above == common).map(Path::to_owned),
            );
            known.push(git.clone());
        }
        let objects = self.object_dirs().into_iter().map(|dir| real(&dir));
        let all = [git, common].into_iter().chain(objects);
        let mut foreign = all.filter(|dir| !known.iter().any(|known| dir.starts_with(known)));
        foreign.next()
    }

    /// The git directory says that it belongs to this work tree.
    fn names_back(&self, git: &Path) -> bool {
        let Ok(tree) = Tree::open(git) else { return false };
        let same = |name: &Path, own: &Path| {
            fs::canonicalize(git.join(name))
                .is_ok_and(|there| fs::canonicalize(own).is_ok_and(|own| own == there))
        };
        if let Ok(text) = tree.read(b"gitdir", 1 << 16) {
            return same(&names::path(text.trim_ascii_end()), &self.top.join(".git"));
        }
        let config = git.join("config");
        if !tree.meta(b"config").is_ok_and(|meta| meta.is_file()) {
            return false;
        }
        let asked =
            Git::new("config").arg("--file").arg(config).args(["--no-includes", "--get", "core.worktree"]);
        asked.dir(git).line().is_ok_and(|named| same(Path::new(&named), &self.top))
    }
}

/// The repository whose work tree holds `dir`; none if there is none.
pub fn repository(dir: &Path) -> Result<Option<Repository>> {
    let refuse = |said: String| Error::Repository { path: dir.to_owned(), said };
    let holder = dir.ancestors().find(|above| is_git_dir_of(above));
    if let Some(file) = holder.and_then(special_file) {
        return Err(refuse(format!("{file} is neither a file nor a link")));
    }
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
        return Err(refuse(match super::git::failed("rev-parse".into(), &asked) {
            GitError::Failed { stderr, .. } => stderr,
            other => other.to_string(),
        }));
    }
    let lines: Vec<&[u8]> =
        asked.stdout.strip_suffix(b"\n").unwrap_or(&asked.stdout).split(|b| *b == b'\n').collect();
    let [inside, object_format, ref_format, git_dir, common_dir, top] = lines.as_slice() else {
        return Err(refuse("its path holds a line break, or git gave an unknown answer".into()));
    };
    if *inside != b"true" {
        return Ok(None);
    }
    let (common_dir, top) = (names::path(common_dir), names::path(top));
    if holder.is_some_and(|holder| holder != top) {
        // Its configuration would otherwise lead the host to any directory.
        let top = top.display();
        return Err(refuse(format!(
            "its core.worktree leads to {top}: run `git config --unset core.worktree`"
        )));
    }
    let objects = common_dir.join("objects");
    let objects = fs::canonicalize(&objects).unwrap_or(objects);
    Ok(Some(Repository {
        top,
        git_dir: names::path(git_dir),
        alternates: alternates(&objects),
        objects,
        common_dir,
        object_format: String::from_utf8_lossy(object_format).into_owned(),
        ref_format: String::from_utf8_lossy(ref_format).into_owned(),
    }))
}

/// Does `dir` hold a `.git` of any kind?
fn is_git_dir_of(dir: &Path) -> bool {
    Tree::open(dir).is_ok_and(|tree| tree.exists(b".git"))
}

/// A file that git reads to find the repository, and that is a pipe, socket or device: git
/// would wait for its other end.
fn special_file(holder: &Path) -> Option<&'static str> {
    let tree = Tree::open(holder).ok()?;
    let files: [(&[u8], &str); 7] = [
        (b".git", ".git"),
        (b".git/HEAD", ".git/HEAD"),
        (b".git/config", ".git/config"),
        (b".git/config.worktree", ".git/config.worktree"),
        (b".git/commondir", ".git/commondir"),
        (b".git/packed-refs", ".git/packed-refs"),
        (b".git/index", ".git/index"),
    ];
    let special = |name: &[u8]| tree.meta(name).is_ok_and(|meta| meta.kind == jobfs::Kind::Special);
    files.iter().find(|(name, _)| special(name)).map(|(_, text)| *text)
}

/// The object directories that `objects` borrows from, and those that these borrow from. A
/// linked list is not read.
fn alternates(objects: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut open = vec![(objects.to_owned(), 0)];
    while let Some((dir, depth)) = open.pop() {
        let text = Tree::open(&dir).and_then(|tree| tree.read(b"info/alternates", 1 << 20));
        for line in text.unwrap_or_default().split(|b| *b == b'\n') {
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let Ok(real) = fs::canonicalize(dir.join(unquote(line))) else { continue };
            if depth < 5 && real.is_dir() && real != objects && !found.contains(&real) {
                found.push(real.clone());
                open.push((real, depth + 1));
            }
        }
    }
    found
}

/// A line of an alternates file; git quotes unusual ones.
fn unquote(line: &[u8]) -> PathBuf {
    match line.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        None => names::path(line),
        Some(quoted) => {
            let text = String::from_utf8_lossy(quoted);
            PathBuf::from(text.replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\"))
        }
    }
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
