//! How the scans of a job's directories differ from the start, beside the recorded tree: nested
//! repositories, special files, ignored entries, and the repositories' internals.

use std::collections::{BTreeMap, BTreeSet};

use jobfs::Tree;

use super::changes::Change;
use super::git::Input;
use super::internals;
use super::record::Record;
use super::root::{Root, RootTree};
use super::shadow::Shadow;
use super::walk::{self, Found};
use super::{MAX_DEPENDENCIES, Result, names};
use model::types::{ChangeKind, ChangedFile, FileKind};

/// Files taken in from a new nested repository or from behind a new ignore rule.
const MAX_EXPANDED: usize = 20_000;
/// Ignored entries listed one by one.
const MAX_IGNORED: usize = 200;

/// What was found so far.
pub(super) struct Differences<'a> {
    record: &'a Record,
    /// For each root: paths that the tree takes in although git does not list them.
    pub also: Vec<Vec<Vec<u8>>>,
    /// Entries for what is in no tree.
    pub extra: Vec<ChangedFile>,
    pub notes: Vec<String>,
    pub ignored_new: u32,
    pub dependencies: Vec<String>,
}

/// The display form of a name below the top.
pub(super) fn display_path(record: &Record, name: &[u8]) -> String {
    names::escape(&names::relative(name, &record.base))
}

impl<'a> Differences<'a> {
    pub fn new(record: &'a Record) -> Differences<'a> {
        Differences {
            record,
            also: vec![Vec::new(); record.roots.len()],
            extra: Vec::new(),
            notes: record.notes.clone(),
            ignored_new: 0,
            dependencies: Vec::new(),
        }
    }

    fn display(&self, root: &Root, name: &[u8]) -> String {
        display_path(self.record, &names::join(&root.prefix, name))
    }

    /// Is `name` in `root` as it was at the start? No for what was not there.
    fn is_same(&self, root: &Root, files: &Tree, name: &[u8]) -> bool {
        files.meta(name).is_ok_and(|meta| self.record.is_same(&names::join(&root.prefix, name), &meta))
    }

    /// Nested repositories, special files and closed directories.
    pub fn of_walk(&mut self, root: &Root, files: &Tree, before: &Found, after: &Found) {
        for dir in after.nested.difference(&before.nested) {
            self.extra.push(self.bare_entry(root, files, dir, ChangeKind::Added, FileKind::NestedRepository));
            let inside = walk::files_below(files, dir, MAX_EXPANDED);
            if inside.len() == MAX_EXPANDED {
                self.notes.push(format!(
                    "{}: only {MAX_EXPANDED} files of the new nested repository were taken in",
                    self.display(root, dir)
                ));
            }
            for file in inside {
                if let Some((at, rest)) = self.record.owner(&names::join(&root.prefix, &file)) {
                    self.also[at].push(rest);
                }
            }
        }
        for dir in before.nested.difference(&after.nested) {
            self.extra.push(self.bare_entry(
                root,
                files,
                dir,
                ChangeKind::Deleted,
                FileKind::NestedRepository,
            ));
        }
        for odd in &after.odd {
            if !before.odd.contains(odd) || !self.is_same(root, files, odd) {
                self.extra.push(self.bare_entry(root, files, odd, ChangeKind::Added, FileKind::Regular));
                self.notes.push(format!(
                    "{}: a pipe, socket, device or a name that git refuses",
                    self.display(root, odd)
                ));
            }
        }
        for closed in after.closed.difference(&before.closed) {
            self.extra.push(self.bare_entry(root, files, closed, ChangeKind::ModeChanged, FileKind::Regular));
            self.notes
                .push(format!("{}: this directory cannot be opened any more", self.display(root, closed)));
        }
        if after.cut {
            self.notes.push(
                "the directory holds too many entries: the search for nested repositories was cut".into(),
            );
        }
    }

    /// New and changed ignored entries. Those hidden by an ignore file that the job wrote
    /// are taken into the tree like any other file.
    pub fn of_ignored(&mut self, at: usize, files: &Tree, now: &BTreeSet<Vec<u8>>) -> Result<()> {
        let record = self.record;
        let root = &record.roots[at];
        let before = &record.before[at].ignored;
        let mut changed: Vec<(&Vec<u8>, ChangeKind)> = Vec::new();
        let new: Vec<Vec<u8>> = now.difference(before).cloned().collect();
        self.ignored_new = self.ignored_new.saturating_add(u32::try_from(new.len()).unwrap_or(u32::MAX));
        let rules = if new.is_empty() { BTreeMap::new() } else { root.ignored_by(&record.shadow, &new)? };
        for entry in &new {
            let rule = rules.get(entry).and_then(Option::as_ref);
            if rule.is_some_and(|rule| !self.is_same(root, files, rule)) {
                match entry.strip_suffix(b"/") {
                    Some(dir) => self.also[at].extend(walk::files_below(files, dir, MAX_EXPANDED)),
                    None => self.also[at].push(entry.clone()),
                }
            } else if entry.ends_with(b"/") && before.iter().any(|b| b.starts_with(entry)) {
                // What was ignored as files is now ignored as a directory: nothing new.
                self.ignored_new = self.ignored_new.saturating_sub(1);
            } else {
                changed.push((entry, ChangeKind::Added));
            }
        }
        for (number, entry) in before.iter().enumerate().filter(|(_, entry)| now.contains(*entry)) {
            let differs = match entry.strip_suffix(b"/") {
                Some(dir) => {
                    let known = record.before[at].ignored_counts.get(number).copied();
                    self.of_ignored_dir(root, files, dir, known)?
                }
                None => !self.is_same(root, files, entry),
            };
            if differs {
                changed.push((entry, ChangeKind::Modified));
            }
        }
        for entry in before.difference(now) {
            let gone = !files.exists(entry.strip_suffix(b"/").unwrap_or(entry));
            if gone && !now.iter().any(|n| n.ends_with(b"/") && entry.starts_with(n)) {
                changed.push((entry, ChangeKind::Deleted));
            }
        }
        if changed.len() > MAX_IGNORED {
            self.notes.push(format!("{} ignored entries changed; {MAX_IGNORED} are listed", changed.len()));
        }
        for (entry, kind) in changed.into_iter().take(MAX_IGNORED) {
            self.extra.push(self.ignored_entry(root, files, entry, kind));
        }
        Ok(())
    }

    fn of_ignored_dir(&mut self, root: &Root, files: &Tree, dir: &[u8], known: Option<u32>) -> Result<bool> {
        let room = MAX_DEPENDENCIES.saturating_sub(self.dependencies.len());
        let record = self.record;
        let found = walk::changed_below(
            files,
            dir,
            known,
            &|name, meta| {
                let name = names::join(&root.prefix, name);
                (record.is_same(&name, meta), record.was_there(&name))
            },
            room,
        )?;
        if found.count == 0 {
            return Ok(false);
        }
        for name in &found.dependencies {
            self.dependencies.push(self.display(root, name));
        }
        let shown: Vec<String> = found.sample.iter().map(|name| self.display(root, name)).collect();
        self.notes.push(format!(
            "{}/: ignored; {} entries in it were changed, such as {}",
            self.display(root, dir),
            found.count,
            if shown.is_empty() {
                "directories, or files that are gone".to_owned()
            } else {
                shown.join(", ")
            }
        ));
        Ok(true)
    }

    /// Paths of a root that are not in its tree.
    pub fn of_unrecorded(&mut self, root: &Root, files: &Tree, recorded: &RootTree) {
        for (path, why) in &recorded.unrecorded {
            if !self.is_same(root, files, path) {
                self.extra.push(self.bare_entry(root, files, path, ChangeKind::Added, FileKind::Regular));
                self.notes.push(format!("{}: {why}", self.display(root, path)));
            }
        }
    }

    /// An entry for something that is not in the tree.
    fn bare_entry(
        &self,
        root: &Root,
        files: &Tree,
        name: &[u8],
        kind: ChangeKind,
        what: FileKind,
    ) -> ChangedFile {
        let gone = kind == ChangeKind::Deleted;
        let size = files.meta(name).map_or(0, |meta| meta.size);
        ChangedFile {
            path: self.display(root, name),
            old_path: None,
            kind,
            old_kind: if kind == ChangeKind::Added { FileKind::Absent } else { what },
            new_kind: if gone { FileKind::Absent } else { what },
            symlink_target: None,
            ignored: false,
            hard_linked: false,
            binary: true,
            size: if gone || what == FileKind::NestedRepository { 0 } else { size },
            added_lines: 0,
            deleted_lines: 0,
            patch: None,
            patch_truncated: false,
        }
    }

    fn ignored_entry(&self, root: &Root, files: &Tree, entry: &[u8], kind: ChangeKind) -> ChangedFile {
        let link = files.read_link(entry).ok();
        let what = if link.is_some() { FileKind::Symlink } else { FileKind::Regular };
        let bare = self.bare_entry(root, files, entry.strip_suffix(b"/").unwrap_or(entry), kind, what);
        ChangedFile {
            path: self.display(root, entry),
            ignored: true,
            symlink_target: link.map(|target| names::escape(&target)),
            ..bare
        }
    }
}

/// Which of the added files the ignore rules hide (they were taken in all the same).
pub(super) fn hidden_by_rules(record: &Record, files: &[Change]) -> Result<BTreeSet<Vec<u8>>> {
    let mut by_root: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
    for file in files.iter().filter(|f| matches!(f.kind, ChangeKind::Added | ChangeKind::Renamed)) {
        if let Some((at, rest)) = record.owner(&file.name) {
            by_root.entry(at).or_default().push(rest);
        }
    }
    let mut hidden = BTreeSet::new();
    for (at, paths) in by_root {
        let root = &record.roots[at];
        for (path, _) in root.ignored_by(&record.shadow, &paths)? {
            hidden.insert(names::join(&root.prefix, &path));
        }
    }
    Ok(hidden)
}

/// What changed in the git directory of root `at`: findings and notes.
pub(super) fn of_internals(
    record: &Record,
    at: usize,
    changed: &mut Vec<String>,
    notes: &mut Vec<String>,
) -> Result<()> {
    let root = &record.roots[at];
    let Some(repository) = &root.repository else { return Ok(()) };
    let label = match root.prefix.as_slice() {
        [] => String::new(),
        prefix => format!("{}/", display_path(record, prefix)),
    };
    if !Tree::open(&repository.git_dir).is_ok_and(|tree| tree.exists(b"HEAD")) {
        changed.push(format!("{label}.git"));
        return Ok(());
    }
    let now = internals::fingerprint(repository)?;
    let mut difference = record.before[at].internals.difference(&now);
    difference.changed.extend(internals::new_hidden_files(
        &record.shadow,
        root,
        &record.before[at].internals,
        &now,
    )?);
    changed.extend(difference.changed.iter().map(|c| format!("{label}{c}")));
    if let Some((name, from, to)) = difference.moved {
        let readable = repository.object_dirs();
        let forward = internals::objects_are_plain(&readable)?
            && Shadow { read_from: readable, ..record.shadow.clone() }
                .reading("merge-base")
                .args(["--is-ancestor", &from, &to])
                // Of a shallow clone: that history ends somewhere is no error.
                .env("GIT_SHALLOW_FILE", root.shallow())
                .run(Input::Null)
                .is_ok_and(|out| out.code == Some(0));
        if forward {
            notes.push(format!("commits were made on {label}{name}"));
        } else {
            changed.push(format!("{label}{name}"));
        }
    }
    Ok(())
}
