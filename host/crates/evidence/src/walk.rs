//! What git does not list: nested git directories, special files, names that git refuses,
//! directories that cannot be read; and whether an ignored directory was changed.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use jobfs::{Kind, Meta, Tree};
use serde::{Deserialize, Serialize};

use super::interrupt::Interrupt;
use super::stamps::Stamps;
use super::{Result, names};

/// More directory entries than this are not looked at; the walk says that it was cut.
const MAX_ENTRIES: usize = 3_000_000;

/// What a walk found. Names are relative to the directory walked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Directories below the start that hold a `.git` of any kind.
    pub nested: BTreeSet<Vec<u8>>,
    /// Pipes, sockets, devices, and anything below a name such as `.GIT`.
    pub odd: BTreeSet<Vec<u8>>,
    /// Directories that could not be opened.
    pub closed: BTreeSet<Vec<u8>>,
    /// Files of ignore rules and attributes; not kept with the record.
    #[serde(skip)]
    pub rules: BTreeSet<Vec<u8>>,
    /// The walk stopped early.
    pub cut: bool,
}

/// Walks `tree` from `start`; does not enter `.git` nor what `skip` names.
pub fn walk(tree: &Tree, start: &[u8], skip: &BTreeSet<Vec<u8>>) -> Result<Found> {
    let interrupt = Interrupt::current();
    let mut found = Found::default();
    let mut seen = 0;
    let mut open = vec![start.to_vec()];
    while let Some(dir) = open.pop() {
        interrupt.check()?;
        let entries = match tree.entries(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(_) => {
                found.closed.insert(dir);
                continue;
            }
        };
        for entry in entries {
            seen += 1;
            if seen > MAX_ENTRIES {
                found.cut = true;
                return Ok(found);
            }
            if entry.name == b".git" {
                if !dir.is_empty() {
                    found.nested.insert(dir.clone());
                }
                continue;
            }
            let name = names::join(&dir, &entry.name);
            if RULES.contains(&entry.name.as_slice()) {
                found.rules.insert(name.clone());
            }
            if entry.name.eq_ignore_ascii_case(b".git") || entry.kind == Kind::Special {
                found.odd.insert(name);
            } else if entry.kind == Kind::Dir && !skip.contains(&name) {
                open.push(name);
            }
        }
    }
    Ok(found)
}

/// Files that git opens on its own while it looks at a work tree.
const RULES: [&[u8]; 2] = [b".gitignore", b".gitattributes"];
const OF_A_REPOSITORY: [&[u8]; 6] =
    [b"HEAD", b"config", b"commondir", b"packed-refs", b"index", b"objects/info/alternates"];

/// A pipe, socket or device where git opens a file on its own: it would wait for the other end.
pub fn blocks_git(tree: &Tree) -> Result<Option<Vec<u8>>> {
    let interrupt = Interrupt::current();
    let special = |name: &[u8]| tree.meta(name).is_ok_and(|meta| meta.kind == Kind::Special);
    let mut seen = 0;
    let mut open = vec![Vec::new()];
    while let Some(dir) = open.pop() {
        interrupt.check()?;
        for entry in tree.entries(&dir).unwrap_or_default() {
            seen += 1;
            if seen > MAX_ENTRIES {
                return Ok(None);
            }
            let name = names::join(&dir, &entry.name);
            if entry.kind == Kind::Special && RULES.contains(&entry.name.as_slice()) {
                return Ok(Some(name));
            }
            if entry.kind != Kind::Dir {
                continue;
            }
            if entry.name != b".git" {
                open.push(name);
                continue;
            }
            let mut files = OF_A_REPOSITORY.iter().map(|file| names::join(&name, file));
            if let Some(found) = files.find(|file| special(file)) {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// Every file and symlink below `start`, without `.git`; at most `max`.
pub fn files_below(tree: &Tree, start: &[u8], max: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut open = vec![start.to_vec()];
    while let Some(dir) = open.pop() {
        for entry in tree.entries(&dir).unwrap_or_default() {
            if entry.name.eq_ignore_ascii_case(b".git") {
                continue;
            }
            let name = names::join(&dir, &entry.name);
            match entry.kind {
                Kind::Dir => open.push(name),
                Kind::File | Kind::Symlink => out.push(name),
                Kind::Special => {}
            }
            if out.len() >= max {
                return out;
            }
        }
    }
    out
}

/// Calls `each` for every entry below the directory `start`, with its name and what it is;
/// `each` says whether a directory is entered. Ends early when that is interrupted.
fn each_below(tree: &Tree, start: &[u8], mut each: impl FnMut(&[u8], &Meta) -> bool) -> Result<()> {
    let interrupt = Interrupt::current();
    let mut seen = 0;
    let mut open = vec![start.to_vec()];
    while let Some(dir) = open.pop() {
        interrupt.check()?;
        for (file, meta) in tree.entries_with_meta(&dir).unwrap_or_default() {
            seen += 1;
            if seen > MAX_ENTRIES {
                return Ok(());
            }
            let name = names::join(&dir, &file);
            if each(&name, &meta) && meta.is_dir() {
                open.push(name);
            }
        }
    }
    Ok(())
}

/// Takes down the stamps of all below `start`; gives their count. `prefix` is where the tree
/// is below the recorder's top.
pub fn stamp(tree: &Tree, start: &[u8], prefix: &[u8], into: &mut Stamps) -> Result<u32> {
    let mut count = 0u32;
    each_below(tree, start, |name, meta| {
        into.insert(&names::join(prefix, name), meta);
        count = count.saturating_add(1);
        true
    })?;
    Ok(count)
}

/// What changed below an ignored directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Entries that are new, written or gone.
    pub count: u32,
    /// The names of a few, without directories.
    pub sample: Vec<Vec<u8>>,
    /// Code of installed dependencies.
    pub dependencies: Vec<Vec<u8>>,
}

/// How a caller tells what changed: `(name, meta)` -> is as it was, was known.
pub type Compare<'a> = &'a dyn Fn(&[u8], &Meta) -> (bool, bool);

/// Compares all below the ignored directory `start` with the start of the job, when there
/// were `known` entries. At most `max` dependencies are named.
pub fn changed_below(
    tree: &Tree,
    start: &[u8],
    known: Option<u32>,
    compare: Compare<'_>,
    max: usize,
) -> Result<Changed> {
    let mut out = Changed::default();
    let mut still_there = 0u32;
    each_below(tree, start, |name, meta| {
        let (same, was_known) = compare(name, meta);
        still_there = still_there.saturating_add(u32::from(was_known));
        if !same {
            out.count = out.count.saturating_add(1);
            if !meta.is_dir() {
                if out.sample.len() < 5 {
                    out.sample.push(name.to_vec());
                }
                if out.dependencies.len() < max && is_dependency_code(name) {
                    out.dependencies.push(name.to_vec());
                }
            }
        }
        true
    })?;
    let gone = known.map_or(0, |known| known.saturating_sub(still_there));
    out.count = out.count.saturating_add(gone);
    Ok(out)
}

/// Directories of installed dependencies: what the checks run beside the code itself.
const DEPENDENCIES: &[&str] =
    &["node_modules", ".venv", "venv", "vendor", "bower_components", "Pods", "site-packages", ".yarn"];
/// What tools write there without anybody installing anything.
const CACHES: &[&str] =
    &[".cache", ".vite", ".vitest", ".prisma", "__pycache__", ".pytest_cache", ".mypy_cache", ".tmp"];
const STATE: &[&str] =
    &[".package-lock.json", ".yarn-integrity", ".modules.yaml", ".yarn-state.yml", ".lock"];

/// Is this ignored file code of an installed dependency, and not a cache or a tool's state?
fn is_dependency_code(name: &[u8]) -> bool {
    let is = |part: &[u8], list: &[&str]| list.iter().any(|name| name.as_bytes() == part);
    let mut dirs: Vec<&[u8]> = name.split(|b| *b == b'/').collect();
    let file = dirs.pop().unwrap_or_default();
    dirs.iter().any(|dir| is(dir, DEPENDENCIES))
        && !dirs.iter().any(|dir| is(dir, CACHES))
        && !is(file, STATE)
        && !file.ends_with(b".pyc")
        && !file.ends_with(b".tsbuildinfo")
}
