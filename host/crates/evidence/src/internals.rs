//! The repository's own internals before and after a job: configuration, hooks, info,
//! refs. Read as plain files, so nothing in them can make the host do anything. An honest
//! commit on the branch that was checked out is told apart from everything else.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::discover::Repository;
use super::git::Git;
use super::names;

/// What the internals were at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Digest of each file that can make git run something or hide something.
    files: BTreeMap<String, String>,
    /// Each ref and what it points to.
    refs: BTreeMap<String, String>,
    /// `ref: refs/heads/main` or an object id.
    head: String,
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

/// Files of a git directory whose content matters, besides whole directories.
const FILES: &[&str] =
    &["config", "config.worktree", "shallow", "commondir", "gitdir", "objects/info/alternates"];
const DIRS: &[&str] = &["hooks", "info"];
const MAX_FILES: usize = 20_000;

/// Reads the internals of `repository`.
pub fn fingerprint(repository: &Repository) -> Fingerprint {
    let mut print = Fingerprint::default();
    let own = &repository.git_dir;
    let shared = &repository.common_dir;
    collect(shared, "", &mut print.files);
    if own != shared {
        collect(own, "worktree:", &mut print.files);
    }
    // Submodules' git directories: their hooks and filters would run for the user too.
    modules(&shared.join("modules"), "modules", &mut print.files, 0);
    let pointer = repository.top.join(".git");
    if std::fs::symlink_metadata(&pointer).map_or(true, |m| !m.is_dir()) {
        print.files.insert(".git".into(), digest(&pointer));
    }
    print.head = read_small(&own.join("HEAD"));
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
    } else {
        parse_refs(&read_text(&shared.join("packed-refs")), true, &mut print.refs);
        loose_refs(&shared.join("refs"), "refs", &mut print.refs);
    }
    print
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

fn collect(git_dir: &Path, label: &str, out: &mut BTreeMap<String, String>) {
    for file in FILES {
        let path = git_dir.join(file);
        if std::fs::symlink_metadata(&path).is_ok() {
            out.insert(format!("{label}{file}"), digest(&path));
        }
    }
    for dir in DIRS {
        let path = git_dir.join(dir);
        // A hooks directory that became a symlink is one entry.
        if std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink()) {
            out.insert(format!("{label}{dir}"), digest(&path));
        } else {
            tree(&path, &format!("{label}{dir}"), out);
        }
    }
    // Written by `git gc`; says nothing that refs do not say.
    out.remove(&format!("{label}info/refs"));
}

fn modules(dir: &Path, label: &str, out: &mut BTreeMap<String, String>, depth: usize) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
        let name = format!("{label}/{}", names::escape(entry.file_name().as_bytes()));
        if entry.path().join("HEAD").exists() {
            collect(&entry.path(), &format!("{name}/"), out);
        } else if depth < 8 {
            modules(&entry.path(), &name, out, depth + 1);
        }
    }
}

fn tree(dir: &Path, label: &str, out: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if out.len() > MAX_FILES {
            return;
        }
        let name = format!("{label}/{}", names::escape(entry.file_name().as_bytes()));
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            tree(&entry.path(), &name, out);
        } else {
            out.insert(name, digest(&entry.path()));
        }
    }
}

/// A digest of what stands at `path`: a file's mode and content, a symlink's target.
fn digest(path: &Path) -> String {
    let mut hash = Sha256::new();
    match std::fs::symlink_metadata(path) {
        Err(_) => return "absent".into(),
        Ok(meta) if meta.is_symlink() => {
            hash.update(b"symlink ");
            if let Ok(target) = std::fs::read_link(path) {
                hash.update(target.as_os_str().as_bytes());
            }
        }
        Ok(meta) if meta.is_file() => {
            use std::os::unix::fs::PermissionsExt;
            let executable = meta.permissions().mode() & 0o111 != 0;
            hash.update(if executable { b"x " } else { b"- " });
            if let Ok(mut file) = std::fs::File::open(path) {
                let mut piece = [0u8; 16 << 10];
                while let Ok(n) = file.read(&mut piece) {
                    if n == 0 {
                        break;
                    }
                    hash.update(&piece[..n]);
                }
            }
        }
        Ok(_) => return "other".into(),
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// A pipe planted in the place of a file would block whoever opens it.
fn is_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| m.is_file())
}

fn read_text(path: &Path) -> String {
    if !is_file(path) {
        return String::new();
    }
    std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
}

/// The first line of a small file.
fn read_small(path: &Path) -> String {
    let mut text = Vec::new();
    if !is_file(path) {
        // A symlink is an old form of a symbolic ref.
        return std::fs::read_link(path).map(|t| format!("symlink {}", t.display())).unwrap_or_default();
    }
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(4096).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim_end().to_owned()
}

fn parse_refs(text: &str, id_first: bool, out: &mut BTreeMap<String, String>) {
    for line in text.lines().filter(|l| !l.starts_with(['#', '^'])) {
        if let Some((a, b)) = line.split_once(' ') {
            let (name, id) = if id_first { (b, a) } else { (a, b) };
            out.insert(name.to_owned(), id.to_owned());
        }
    }
}

fn loose_refs(dir: &Path, label: &str, out: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let raw = entry.file_name();
        let name = format!("{label}/{}", names::escape(raw.as_bytes()));
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            loose_refs(&entry.path(), &name, out);
        } else if !raw.as_bytes().ends_with(b".lock") {
            out.insert(name, read_small(&entry.path()));
        }
    }
}
