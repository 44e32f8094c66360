//! What git does not list: nested git directories, special files, names that git refuses,
//! directories that cannot be read; and whether an ignored directory was touched.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::names;

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
    /// The walk stopped early.
    pub cut: bool,
}

/// Walks `top` without following symlinks; does not enter `.git` nor what `skip` names.
pub fn walk(top: &Path, start: &[u8], skip: &BTreeSet<Vec<u8>>) -> Found {
    let mut found = Found::default();
    let mut seen = 0;
    let mut open = vec![start.to_vec()];
    while let Some(dir) = open.pop() {
        let entries = match std::fs::read_dir(top.join(names::path(&dir))) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(_) => {
                found.closed.insert(dir);
                continue;
            }
        };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MAX_ENTRIES {
                found.cut = true;
                return found;
            }
            let raw = entry.file_name();
            let file = raw.as_bytes();
            if file == b".git" {
                if !dir.is_empty() {
                    found.nested.insert(dir.clone());
                }
                continue;
            }
            let name = names::join(&dir, file);
            let Ok(kind) = entry.file_type() else { continue };
            if file.eq_ignore_ascii_case(b".git") || kind.is_fifo() || kind.is_socket() || is_device(kind) {
                found.odd.insert(name);
            } else if kind.is_dir() && !skip.contains(&name) {
                open.push(name);
            }
        }
    }
    found
}

fn is_device(kind: std::fs::FileType) -> bool {
    kind.is_block_device() || kind.is_char_device()
}

/// Every file and symlink below `start` (relative to `top`), without `.git`; at most `max`.
pub fn files_below(top: &Path, start: &[u8], max: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut open = vec![start.to_vec()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(top.join(names::path(&dir))) else { continue };
        for entry in entries.flatten() {
            let raw = entry.file_name();
            if raw.as_bytes().eq_ignore_ascii_case(b".git") {
                continue;
            }
            let name = names::join(&dir, raw.as_bytes());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(name),
                Ok(kind) if kind.is_file() || kind.is_symlink() => out.push(name),
                _ => {}
            }
            if out.len() >= max {
                return out;
            }
        }
    }
    out
}

/// Entries below `start` whose inode changed at or after `since` (nanoseconds since 1970,
/// the file system's clock): their count and the first few names. The change time cannot
/// be set back by whoever owns the file.
pub fn touched_since(top: &Path, start: &[u8], since: i128, sample: usize) -> (u32, Vec<Vec<u8>>) {
    let mut count = 0u32;
    let mut names_kept = Vec::new();
    let mut seen = 0;
    let mut open = vec![start.to_vec()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(top.join(names::path(&dir))) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MAX_ENTRIES {
                return (count, names_kept);
            }
            let Ok(meta) = entry.metadata() else { continue };
            let name = names::join(&dir, entry.file_name().as_bytes());
            if changed_ns(&meta) >= since {
                count = count.saturating_add(1);
                if names_kept.len() < sample && !meta.is_dir() {
                    names_kept.push(name.clone());
                }
            }
            if meta.is_dir() {
                open.push(name);
            }
        }
    }
    (count, names_kept)
}

/// Directories of installed dependencies: what the checks run beside the code itself.
const DEPENDENCIES: &[&str] =
    &["node_modules", ".venv", "venv", "vendor", "bower_components", "Pods", "site-packages", ".yarn"];
/// What tools write there without anybody installing anything.
const CACHES: &[&str] =
    &[".cache", ".vite", ".vitest", ".prisma", "__pycache__", ".pytest_cache", ".mypy_cache", ".tmp"];
const STATE: &[&str] =
    &[".package-lock.json", ".yarn-integrity", ".modules.yaml", ".yarn-state.yml", ".lock"];

/// Files below the ignored directory `start` that are dependencies' code and were written
/// at or after `since`; at most `max`.
pub fn dependencies_touched(top: &Path, start: &[u8], since: i128, max: usize) -> Vec<Vec<u8>> {
    let is = |part: &[u8], list: &[&str]| list.iter().any(|name| name.as_bytes() == part);
    let mut out = Vec::new();
    let mut seen = 0;
    let inside = start.split(|b| *b == b'/').any(|part| is(part, DEPENDENCIES));
    let mut open = vec![(start.to_vec(), inside)];
    while let Some((dir, inside)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(top.join(names::path(&dir))) else { continue };
        for entry in entries.flatten() {
            seen += 1;
            if seen > MAX_ENTRIES || out.len() >= max {
                return out;
            }
            let raw = entry.file_name();
            let Ok(meta) = entry.metadata() else { continue };
            let name = names::join(&dir, raw.as_bytes());
            if meta.is_dir() {
                if !is(raw.as_bytes(), CACHES) {
                    open.push((name, inside || is(raw.as_bytes(), DEPENDENCIES)));
                }
            } else if inside
                && changed_ns(&meta) >= since
                && !is(raw.as_bytes(), STATE)
                && !raw.as_bytes().ends_with(b".pyc")
                && !raw.as_bytes().ends_with(b".tsbuildinfo")
            {
                out.push(name);
            }
        }
    }
    out
}

/// A file's change time in nanoseconds since 1970.
pub fn changed_ns(meta: &std::fs::Metadata) -> i128 {
    i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec())
}
