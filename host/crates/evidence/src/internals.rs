//! The repository's own internals before and after a job: everything in its git directory
//! but what git itself changes in honest work. Read as plain files, so nothing in them can
//! make the host do anything. An honest commit on the branch that was checked out is
//! distinguished from everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use jobfs::own as fs;
use jobfs::{Kind, Stamp, Tree};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::discover::Repository;
use super::git::{Git, split_z};
use super::interrupt::Interrupt;
use super::root::Root;
use super::shadow::{Shadow, copy_index};
use super::{Result, names};

/// What the internals were at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Digest of each file that git does not change by itself.
    files: BTreeMap<String, String>,
    /// Each ref and what it points to.
    refs: BTreeMap<String, String>,
    /// `ref: refs/heads/main` or an object id.
    head: String,
    /// Which state of the index.
    #[serde(default)]
    index: Option<Stamp>,
}

/// How two fingerprints differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Names relative to the git directory: `config`, `hooks/post-commit`, `refs/heads/x`.
    pub changed: Vec<String>,
    /// The checked-out branch (or the detached HEAD) went from here to there. An honest
    /// commit if `there` descends from `here`; a rewrite otherwise.
    pub moved: Option<(String, String, String)>,
}

/// Files that git writes in honest work, in any git directory. As regular files: a link or a
/// pipe in their place is reported.
const CHURN: &[&str] = &[
    "index",
    "ORIG_HEAD",
    "FETCH_HEAD",
    "COMMIT_EDITMSG",
    "AUTO_MERGE",
    "packed-refs",
    "HEAD",
    "gc.log",
    "gc.pid",
];
/// More files than this are reported as such.
const MAX_FILES: usize = 20_000;
/// Of a larger file its inode, time and size stand for its content.
const MAX_DIGEST: u64 = 16 << 20;

/// What kind of git directory is read: whose refs and HEAD are looked at elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dir {
    /// The repository's own: its refs and HEAD are read as refs.
    Own,
    /// Another linked worktree's: its HEAD says what is checked out there.
    Linked,
    /// A submodule's: where it is checked out it is a root of its own.
    Module,
}

/// Reads the internals of `repository`.
pub fn fingerprint(repository: &Repository) -> Result<Fingerprint> {
    let mut print = Fingerprint::default();
    let (own, shared) = (&repository.git_dir, &repository.common_dir);
    let mut collector = Collector {
        out: &mut print.files,
        interrupt: Interrupt::current(),
        skip: own.strip_prefix(shared).map(names::bytes).unwrap_or_default(),
    };
    if let Ok(tree) = Tree::open(shared) {
        collector.git_dir(&tree, &[], "", Dir::Own)?;
        if repository.ref_format != "reftable" {
            let packed = tree.read(b"packed-refs", 512 << 20).unwrap_or_default();
            parse_refs(&String::from_utf8_lossy(&packed), true, &mut print.refs);
            loose_refs(&tree, b"refs", &mut print.refs);
        }
    }
    let own_tree = Tree::open(own).ok();
    if let Some(tree) = &own_tree {
        if own != shared {
            collector.skip = Vec::new();
            collector.git_dir(tree, &[], "worktree:", Dir::Own)?;
        }
        print.head = read_small(tree, b"HEAD");
        print.index = tree.meta(b"index").ok().map(|meta| meta.stamp());
    }
    if let Ok(top) = Tree::open(&repository.top)
        && !top.meta(b".git").is_ok_and(|meta| meta.is_dir())
    {
        print.files.insert(".git".into(), digest(&top, b".git"));
    }
    if repository.ref_format == "reftable" {
        let listed = Git::new("for-each-ref")
            .arg("--format=%(refname) %(objectname)")
            .git_dir(own)
            .output()
            .unwrap_or_default();
        parse_refs(&String::from_utf8_lossy(&listed), false, &mut print.refs);
        let head = Git::new("symbolic-ref").args(["-q", "HEAD"]).git_dir(own).line();
        print.head = match head {
            Ok(name) => format!("ref: {name}"),
            Err(_) => {
                Git::new("rev-parse").args(["-q", "--verify", "HEAD"]).git_dir(own).line().unwrap_or_default()
            }
        };
    }
    Ok(print)
}

/// Files that index flags hide from the user's own git (`skip-worktree`, `assume-unchanged`) and
/// were not in the index at the start.
pub fn new_hidden_files(
    shadow: &Shadow,
    root: &Root,
    before: &Fingerprint,
    now: &Fingerprint,
) -> Result<Vec<String>> {
    let start = root.index_at_start();
    let Some(repository) = root.repository.as_ref().filter(|_| before.index != now.index) else {
        return Ok(Vec::new());
    };
    if !start.exists() {
        return Ok(Vec::new());
    }
    let copy = root.index.with_added_extension("now");
    copy_index(&repository.git_dir, &copy, &shadow.git_dir)?;
    let hidden_by = |index: &Path| -> Result<BTreeSet<Vec<u8>>> {
        let listed = shadow.git("ls-files").args(["-v", "-z"]).index(index).work_tree(&shadow.git_dir);
        // An index that git does not read hides nothing: the user's git refuses it too.
        let listed = listed.output().unwrap_or_default();
        let hidden = |line: &&[u8]| line.first().is_some_and(|tag| *tag == b'S' || tag.is_ascii_lowercase());
        Ok(split_z(&listed).filter(hidden).filter_map(|line| line.get(2..)).map(<[u8]>::to_vec).collect())
    };
    let new: Vec<Vec<u8>> = hidden_by(&copy)?.difference(&hidden_by(&start)?).cloned().collect();
    let _ = fs::remove_file(&copy);
    let mut named: Vec<String> =
        new.iter().take(5).map(|name| format!("index (hides {})", names::escape(name))).collect();
    if new.len() > named.len() {
        named.push(format!("index (hides {} more files)", new.len() - named.len()));
    }
    Ok(named)
}

/// Holds none of these object directories anything but files and directories? In a pipe's
/// place, git and libgit2 would wait for its other end. Directories that are gone are fine.
pub fn objects_are_plain(dirs: &[PathBuf]) -> Result<bool> {
    let interrupt = Interrupt::current();
    for dir in dirs {
        let tree = match Tree::open(dir) {
            Ok(tree) => tree,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(_) => return Ok(false),
        };
        let mut open = vec![Vec::new()];
        while let Some(inner) = open.pop() {
            interrupt.check()?;
            for entry in tree.entries(&inner).unwrap_or_default() {
                match entry.kind {
                    Kind::File => {}
                    // Objects are two levels deep at most.
                    Kind::Dir if inner.is_empty() => open.push(entry.name),
                    Kind::Dir => {}
                    Kind::Symlink | Kind::Special => return Ok(false),
                }
            }
        }
    }
    Ok(true)
}

impl Fingerprint {
    /// What HEAD resolves to; none on an unborn branch.
    pub fn head_commit(&self) -> Option<&str> {
        match self.head.strip_prefix("ref: ") {
            Some(name) => self.refs.get(name).map(String::as_str),
            None => (!self.head.is_empty()).then_some(self.head.as_str()),
        }
    }

    /// The branch that HEAD names; none when detached.
    pub fn branch(&self) -> Option<&str> {
        self.head.strip_prefix("ref: ")
    }

    /// What changed since `self`.
    pub fn difference(&self, after: &Fingerprint) -> Difference {
        let mut out = Difference::default();
        for name in differing(&self.files, &after.files) {
            out.changed.push(name);
        }
        if self.head != after.head && (self.branch().is_some() || after.branch().is_some()) {
            out.changed.push("HEAD".into());
        } else if self.branch().is_none() && self.head != after.head {
            out.moved = Some(("HEAD".into(), self.head.clone(), after.head.clone()));
        }
        for name in differing(&self.refs, &after.refs) {
            match (self.refs.get(&name), after.refs.get(&name)) {
                (Some(from), Some(to)) if self.branch() == Some(&name) => {
                    out.moved = Some((name, from.clone(), to.clone()));
                }
                // The first commit on an unborn branch.
                (None, Some(_)) if self.branch() == Some(&name) => {}
                _ => out.changed.push(name),
            }
        }
        out.changed.sort();
        out.changed.dedup();
        out
    }
}

fn differing(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
    names.sort();
    names.dedup();
    names.retain(|n| before.get(n) != after.get(n));
    names
}

struct Collector<'a> {
    out: &'a mut BTreeMap<String, String>,
    interrupt: Interrupt,
    /// A directory below the shared git directory that is read on its own.
    skip: Vec<u8>,
}

impl Collector<'_> {
    fn insert(&mut self, tree: &Tree, name: &[u8], label: &str) {
        if self.out.len() >= MAX_FILES {
            self.out.insert(format!("more than {MAX_FILES} files"), String::new());
        } else {
            self.out.insert(format!("{label}{}", names::escape(name)), digest(tree, name));
        }
    }

    /// Everything in the git directory `at` but what git writes in honest work.
    fn git_dir(&mut self, tree: &Tree, at: &[u8], label: &str, kind: Dir) -> Result<()> {
        for entry in tree.entries(at).unwrap_or_default() {
            let name = names::join(at, &entry.name);
            let text = String::from_utf8_lossy(&entry.name);
            let is_dir = entry.kind == Kind::Dir;
            match text.as_ref() {
                "objects" if is_dir => self.objects(tree, &name, label)?,
                "logs" if is_dir => self.logs(tree, &name, label)?,
                "refs" | "reftable" if is_dir && kind != Dir::Linked => {}
                "modules" if is_dir && kind != Dir::Linked => self.modules(tree, &name, label)?,
                "worktrees" if is_dir && kind == Dir::Own => self.worktrees(tree, &name, label)?,
                // Of git-lfs: content by digest, and its temporary files.
                "lfs" if is_dir => self.plain(tree, &name, label, &|_| true)?,
                "info" if is_dir => self.plain(tree, &name, label, &|file| file == b"refs")?,
                // A daemon of the user's, and what a watching tool leaves for a moment.
                _ if text.starts_with("fsmonitor--daemon") || text.starts_with(".watchman-cookie-") => {}
                "HEAD" if kind == Dir::Linked => self.insert(tree, &name, label),
                _ if entry.kind == Kind::File
                    && (CHURN.contains(&text.as_ref())
                        || text.ends_with(".lock")
                        || text.starts_with("sharedindex.")) => {}
                // Read as a ref, whatever it is.
                "HEAD" if kind == Dir::Own => {}
                _ if is_dir => self.plain(tree, &name, label, &|_| false)?,
                _ => self.insert(tree, &name, label),
            }
        }
        Ok(())
    }

    /// Everything below `dir`; of those that are `churn` only what is no file.
    fn plain(&mut self, tree: &Tree, dir: &[u8], label: &str, churn: &dyn Fn(&[u8]) -> bool) -> Result<()> {
        let mut open = vec![dir.to_vec()];
        while let Some(dir) = open.pop() {
            self.interrupt.check()?;
            for entry in tree.entries(&dir).unwrap_or_default() {
                let name = names::join(&dir, &entry.name);
                match entry.kind {
                    Kind::Dir => open.push(name),
                    Kind::File if churn(&entry.name) => {}
                    _ => self.insert(tree, &name, label),
                }
            }
        }
        Ok(())
    }

    /// Objects are checked against their names when they are read. What is no object, pack or
    /// index of packs is reported, and where more objects come from.
    fn objects(&mut self, tree: &Tree, dir: &[u8], label: &str) -> Result<()> {
        for entry in tree.entries(dir).unwrap_or_default() {
            let name = names::join(dir, &entry.name);
            let fan_out = entry.name.len() == 2 && entry.name.iter().all(u8::is_ascii_hexdigit);
            match entry.name.as_slice() {
                b"info" if entry.kind == Kind::Dir => {
                    self.plain(tree, &name, label, &|file| {
                        !matches!(file, b"alternates" | b"http-alternates")
                    })?;
                }
                b"pack" if entry.kind == Kind::Dir => {}
                _ if fan_out && entry.kind == Kind::Dir => {}
                _ if entry.kind == Kind::File && entry.name.starts_with(b"tmp_") => {}
                _ if entry.kind == Kind::Dir => self.plain(tree, &name, label, &|_| false)?,
                _ => self.insert(tree, &name, label),
            }
        }
        Ok(())
    }

    /// Reflogs say what refs say; what is no reflog is reported.
    fn logs(&mut self, tree: &Tree, dir: &[u8], label: &str) -> Result<()> {
        for entry in tree.entries(dir).unwrap_or_default() {
            let name = names::join(dir, &entry.name);
            match entry.name.as_slice() {
                b"HEAD" if entry.kind == Kind::File => {}
                b"refs" if entry.kind == Kind::Dir => self.plain(tree, &name, label, &|_| true)?,
                _ if entry.kind == Kind::Dir => self.plain(tree, &name, label, &|_| false)?,
                _ => self.insert(tree, &name, label),
            }
        }
        Ok(())
    }

    /// Git directories of submodules, wherever below `modules` they are: their hooks and
    /// filters would run for the user too.
    fn modules(&mut self, tree: &Tree, dir: &[u8], label: &str) -> Result<()> {
        let mut open = vec![dir.to_vec()];
        while let Some(dir) = open.pop() {
            self.interrupt.check()?;
            for entry in tree.entries(&dir).unwrap_or_default() {
                let name = names::join(&dir, &entry.name);
                if entry.kind != Kind::Dir {
                    self.insert(tree, &name, label);
                    continue;
                }
                let inside = tree.entries(&name).unwrap_or_default();
                let marks: [&[u8]; 4] = [b"HEAD", b"config", b"objects", b"hooks"];
                if inside.iter().any(|entry| marks.contains(&entry.name.as_slice())) {
                    self.git_dir(tree, &name, label, Dir::Module)?;
                } else {
                    open.push(name);
                }
            }
        }
        Ok(())
    }

    fn worktrees(&mut self, tree: &Tree, dir: &[u8], label: &str) -> Result<()> {
        for entry in tree.entries(dir).unwrap_or_default() {
            let name = names::join(dir, &entry.name);
            match entry.kind {
                _ if name == self.skip => {}
                Kind::Dir => self.git_dir(tree, &name, label, Dir::Linked)?,
                _ => self.insert(tree, &name, label),
            }
        }
        Ok(())
    }
}

/// A digest of what `name` is: a file's mode and content, a symlink's target.
fn digest(tree: &Tree, name: &[u8]) -> String {
    let Ok(meta) = tree.meta(name) else { return "absent".into() };
    let mut hash = Sha256::new();
    match meta.kind {
        Kind::Symlink => {
            hash.update(b"symlink ");
            hash.update(tree.read_link(name).unwrap_or_default());
        }
        Kind::File if meta.size > MAX_DIGEST => return format!("{:?}", meta.stamp()),
        Kind::File => {
            hash.update(if meta.mode & 0o111 != 0 { b"x " } else { b"- " });
            let Ok(file) = tree.file(name) else { return "unreadable".into() };
            let mut content = Vec::new();
            let _ = file.take(MAX_DIGEST).read_to_end(&mut content);
            hash.update(&content);
        }
        _ => return "other".into(),
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The first line of a small file.
fn read_small(tree: &Tree, name: &[u8]) -> String {
    match tree.meta(name) {
        // An old form of a symbolic ref.
        Ok(meta) if meta.is_symlink() => {
            format!("symlink {}", names::escape(&tree.read_link(name).unwrap_or_default()))
        }
        Ok(meta) if meta.is_file() => {
            let text = tree.read(name, 4096).unwrap_or_default();
            String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim_end().to_owned()
        }
        _ => String::new(),
    }
}

fn parse_refs(text: &str, id_first: bool, out: &mut BTreeMap<String, String>) {
    for line in text.lines().filter(|l| !l.starts_with(['#', '^'])) {
        if let Some((a, b)) = line.split_once(' ') {
            let (name, id) = if id_first { (b, a) } else { (a, b) };
            out.insert(name.to_owned(), id.to_owned());
        }
    }
}

fn loose_refs(tree: &Tree, dir: &[u8], out: &mut BTreeMap<String, String>) {
    let mut open = vec![dir.to_vec()];
    while let Some(dir) = open.pop() {
        for entry in tree.entries(&dir).unwrap_or_default() {
            let name = names::join(&dir, &entry.name);
            if entry.kind == Kind::Dir {
                open.push(name);
            } else if !entry.name.ends_with(b".lock") {
                out.insert(names::escape(&name), read_small(tree, &name));
            }
        }
    }
}
