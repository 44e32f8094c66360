//! One job's record: the tree at the start, trees after each pass, and what they differ in.
//! Lives in a directory of the host's own and can be reopened by another process after a
//! crash. Putting recorded files out or back is `writing`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::changes::{self, Change};
use super::discover::{self, Repository};
use super::git::Input;
use super::internals::{self, Fingerprint};
use super::shadow::{Root, Shadow, Snapshot};
use super::walk::{self, Found};
use super::{Error, Limits, MAX_DEPENDENCIES, Recorded, Result, io, names};
use model::spec::AllowedDir;
use model::types::{ChangeKind, ChangeSet, ChangedFile, FileKind};

/// The version of `recorder.json`.
const VERSION: u32 = 1;
/// Nested repositories that are opened; more are compared by their HEAD only.
const MAX_NESTED: usize = 512;
/// Files taken in from a new nested repository or from behind a new ignore rule.
const MAX_EXPANDED: usize = 20_000;
/// Ignored entries listed one by one.
const MAX_IGNORED: usize = 200;

/// Records what happens in the allowed directories of one job.
#[derive(Debug)]
pub struct Recorder {
    pub(super) state: PathBuf,
    pub(super) record: Record,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    pub(super) shadow: Shadow,
    /// The directory that recorded names are relative to: the deepest that holds all roots.
    pub(super) top: PathBuf,
    /// The first allowed directory below the top.
    pub(super) base: Vec<u8>,
    pub(super) roots: Vec<Root>,
    pub(super) base_tree: String,
    /// The file system's clock at the start, in nanoseconds since 1970.
    started_ns: String,
    /// For each root: ignored entries at the start, and the internals.
    before: Vec<Before>,
    /// For each root that is walked: what the walk found at the start.
    found: BTreeMap<usize, Found>,
    notes: Vec<String>,
    case_insensitive: bool,
}

/// What one look at all roots brought.
pub(super) struct Look {
    pub(super) tree: String,
    extra: Vec<ChangedFile>,
    notes: Vec<String>,
    ignored_new: u32,
    dependencies: Vec<String>,
}

/// What was read of one root before anything is decided.
struct Seen {
    /// None for a root that another one's walk covers.
    walked: Option<Found>,
    ignored: BTreeSet<Vec<u8>>,
    /// What git lists as changed.
    listed: Vec<u8>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Before {
    ignored: BTreeSet<Vec<u8>>,
    internals: Fingerprint,
}

impl Recorder {
    /// Records the tree as it is now. Of a repository of which only a part is allowed, only
    /// that part is looked at. `state` is made, and must lie where the job cannot write.
    pub fn begin(dirs: &[AllowedDir], state: &Path) -> Result<Recorder> {
        Self::begin_within(dirs, state, None)
    }

    /// [`Recorder::begin`]; repositories that lie inside `whole_inside` are looked at as a
    /// whole, so that a write beside the allowed directories is seen too (as `../…`).
    pub fn begin_within(dirs: &[AllowedDir], state: &Path, whole_inside: Option<&Path>) -> Result<Recorder> {
        fs::create_dir_all(state).map_err(io("creating", state))?;
        let started_ns = clock(state)?;
        let paths: Vec<PathBuf> = dirs.iter().map(|d| d.path().to_owned()).collect();
        let mut planned: Vec<(PathBuf, Option<Repository>, Vec<Vec<u8>>)> = Vec::new();
        for dir in discover::outermost(&paths) {
            let repository = discover::repository(&dir)?;
            let root = repository.as_ref().map_or_else(|| dir.clone(), |r| r.top.clone());
            let part = names::bytes(dir.strip_prefix(&root).unwrap_or(Path::new("")));
            let whole = part.is_empty() || whole_inside.is_some_and(|w| root.starts_with(w));
            match planned.iter_mut().find(|p| p.0 == root) {
                Some(known) if whole => known.2.clear(),
                Some(known) if known.2.is_empty() => {}
                Some(known) => known.2.push(part),
                None => planned.push((root, repository, if whole { Vec::new() } else { vec![part] })),
            }
        }
        let tops: Vec<PathBuf> = planned.iter().map(|p| p.0.clone()).collect();
        let top = discover::common_top(&tops);
        let format = common_format(planned.iter().filter_map(|p| p.1.as_ref()))?;
        let read_from = planned.iter().filter_map(|p| p.1.as_ref()).map(|r| r.objects.clone()).collect();
        let shadow = Shadow::create(&state.join("shadow.git"), &format, read_from)?;
        let base =
            paths.first().and_then(|p| p.strip_prefix(&top).ok()).map(names::bytes).unwrap_or_default();
        let mut record = Record {
            version: VERSION,
            shadow,
            case_insensitive: is_case_insensitive(&top),
            top,
            base,
            roots: Vec::new(),
            base_tree: String::new(),
            started_ns: started_ns.to_string(),
            before: Vec::new(),
            found: BTreeMap::new(),
            notes: Vec::new(),
        };
        for (dir, repository, pathspecs) in planned {
            record.add_main_root(dir, repository, pathspecs, &tops)?;
        }
        record.base_tree = record.first_tree()?;
        let recorder = Recorder { state: state.to_owned(), record };
        recorder.save()?;
        Ok(recorder)
    }

    /// Opens the record that [`Recorder::begin`] made in `state`, in this process or another.
    pub fn reopen(state: &Path) -> Result<Recorder> {
        let path = state.join("recorder.json");
        let unreadable = |said: String| Error::Record { path: state.to_owned(), said };
        let text = fs::read(&path).map_err(|e| unreadable(e.to_string()))?;
        let record: Record = serde_json::from_slice(&text).map_err(|e| unreadable(e.to_string()))?;
        if record.version != VERSION {
            return Err(unreadable(format!("version {} is not {VERSION}", record.version)));
        }
        Ok(Recorder { state: state.to_owned(), record })
    }

    fn save(&self) -> Result<()> {
        let path = self.state.join("recorder.json");
        let text = serde_json::to_vec(&self.record)
            .map_err(|e| Error::Record { path: self.state.clone(), said: e.to_string() })?;
        let new = self.state.join("recorder.json.new");
        fs::write(&new, text).map_err(io("writing", &new))?;
        fs::rename(&new, &path).map_err(io("renaming", &new))
    }

    /// The state directory that this record lies in.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The object id of the tree before the job.
    pub fn base_tree(&self) -> String {
        self.record.base_tree.clone()
    }

    /// The directory that trees stand for: the repository's top, or the deepest directory
    /// that holds all allowed ones.
    pub fn top(&self) -> &Path {
        &self.record.top
    }

    /// The first allowed directory, relative to [`Recorder::top`]; empty if it is the top.
    /// A materialised tree's working directory is `into.join(base_prefix())`.
    pub fn base_prefix(&self) -> PathBuf {
        names::path(&self.record.base)
    }

    /// The shadow, for those who bring results back.
    pub fn shadow(&self) -> &Shadow {
        &self.record.shadow
    }

    /// The recorded roots, the outer before the inner.
    pub fn roots(&self) -> &[Root] {
        &self.record.roots
    }

    /// Ignored files and directories (without `/`) at the start, below the top.
    pub fn ignored_at_start(&self) -> Vec<Vec<u8>> {
        let each = self.record.roots.iter().zip(&self.record.before);
        each.flat_map(|(root, before)| {
            before.ignored.iter().map(|n| names::join(&root.prefix, n.strip_suffix(b"/").unwrap_or(n)))
        })
        .collect()
    }

    /// The tree as it is now, and what differs from the base.
    pub fn record(&self, limits: Limits) -> Result<Recorded> {
        self.lift()?;
        let record = &self.record;
        let Look { tree, extra, mut notes, ignored_new, dependencies } = self.look()?;
        let found = changes::between(&record.shadow, &record.base_tree, &tree, limits)?;
        let hidden = self.hidden_by_rules(&found.files)?;
        let mut internals_changed = Vec::new();
        for (at, root) in record.roots.iter().enumerate() {
            self.internals_differences(at, root, &mut internals_changed, &mut notes);
        }
        internals_changed.extend(found.forged.iter().map(|id| format!("objects/{id}")));
        if found.base_lost {
            notes.push("the repository's objects are gone: old content and renames are not shown".into());
        }
        let stat = found.files.iter().map(|c| self.stat_line(c)).collect();
        let mut files: Vec<ChangedFile> = found.files.into_iter().map(|c| self.told(c, &hidden)).collect();
        let listed: BTreeSet<String> = files.iter().map(|f| f.path.clone()).collect();
        files.extend(extra.into_iter().filter(|f| !listed.contains(&f.path)));
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path && a.new_kind == b.new_kind);
        let total_files = u32::try_from(files.len()).unwrap_or(u32::MAX);
        if files.len() > limits.max_files {
            // Thousands of new files must not push out what happened to those that were there.
            files.sort_by_key(|f| f.kind == ChangeKind::Added);
            files.truncate(limits.max_files);
            files.sort_by(|a, b| a.path.cmp(&b.path));
        }
        notes.sort();
        notes.dedup();
        let changes = ChangeSet {
            files,
            total_files,
            diff_bytes: found.diff_bytes,
            internals_changed,
            case_insensitive: record.case_insensitive,
        };
        Ok(Recorded { tree, changes, stat, ignored_new, dependencies, notes })
    }

    /// The tree as it is now, and what git does not record.
    pub(super) fn look(&self) -> Result<Look> {
        let record = &self.record;
        let mut notes = record.notes.clone();
        let mut extra: Vec<ChangedFile> = Vec::new();
        let mut dependencies = Vec::new();
        let mut also: Vec<Vec<Vec<u8>>> = vec![Vec::new(); record.roots.len()];
        let known_nested = record.nested_prefixes();
        let mut seen: BTreeMap<usize, Seen> = BTreeMap::new();
        for (at, root) in record.roots.iter().enumerate().filter(|(_, root)| root.is_there()) {
            seen.insert(at, record.see(at, root)?);
        }
        for (at, before) in &record.found {
            if let Some(after) = seen.get(at).and_then(|seen| seen.walked.as_ref()) {
                let root = &record.roots[*at];
                self.walk_differences(root, before, after, &mut also, &mut extra, &mut notes);
            }
        }
        let mut ignored_new = 0;
        for at in 0..record.roots.len() {
            let Some(now) = seen.get(&at).map(|seen| &seen.ignored) else { continue };
            ignored_new +=
                self.ignored_differences(at, now, &mut also, &mut extra, &mut notes, &mut dependencies)?;
        }
        // A directory may be listed, and another one in it.
        dependencies.sort();
        dependencies.dedup();
        let mut trees = Vec::new();
        for (at, root) in record.roots.iter().enumerate() {
            if !root.is_there() {
                // Its files are deleted; what one would see through a symlink lies elsewhere.
                notes.push(format!("{} is no directory any more", root.dir.display()));
                trees.push(record.shadow.empty_tree()?);
                continue;
            }
            let nested = record.nested_below(root, &known_nested);
            let listed = seen.remove(&at).map(|seen| seen.listed);
            let look = root.again(&record.shadow, listed, std::mem::take(&mut also[at]), &nested)?;
            self.tell_unrecorded(root, &look, &mut extra, &mut notes);
            trees.push(look.tree);
        }
        Ok(Look { tree: record.combine(&trees)?, extra, notes, ignored_new, dependencies })
    }

    fn told_name(&self, name: &[u8]) -> String {
        names::escape(&names::relative(name, &self.record.base))
    }

    fn told(&self, change: Change, hidden: &BTreeSet<Vec<u8>>) -> ChangedFile {
        let live = self.record.top.join(names::path(&change.name));
        let hard_linked = {
            use std::os::unix::fs::MetadataExt;
            fs::symlink_metadata(live).is_ok_and(|m| m.is_file() && m.nlink() > 1)
        };
        ChangedFile {
            path: self.told_name(&change.name),
            old_path: change.old_name.as_deref().map(|n| self.told_name(n)),
            kind: change.kind,
            old_kind: change.old.kind(),
            new_kind: change.new.kind(),
            symlink_target: change.target.as_deref().map(names::escape),
            ignored: hidden.contains(&change.name),
            hard_linked,
            binary: change.binary,
            size: change.size,
            added_lines: change.added,
            deleted_lines: change.deleted,
            patch: change.hunks,
            patch_truncated: change.cut,
        }
    }

    fn stat_line(&self, change: &Change) -> String {
        let name = self.told_name(&change.name);
        let letter = match change.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
            ChangeKind::Renamed => 'R',
            ChangeKind::TypeChanged => 'T',
            ChangeKind::Modified | ChangeKind::ModeChanged => 'M',
        };
        let name = match &change.old_name {
            Some(old) => format!("{} -> {name}", self.told_name(old)),
            None => name,
        };
        if change.binary {
            return format!("{letter} {name} binary {} bytes", change.size);
        }
        format!("{letter} {name} +{} -{}", change.added, change.deleted)
    }

    fn walk_differences(
        &self,
        root: &Root,
        before: &Found,
        after: &Found,
        also: &mut [Vec<Vec<u8>>],
        extra: &mut Vec<ChangedFile>,
        notes: &mut Vec<String>,
    ) {
        for dir in after.nested.difference(&before.nested) {
            let name = names::join(&root.prefix, dir);
            extra.push(self.bare_entry(&name, ChangeKind::Added, FileKind::NestedRepository));
            let files = walk::files_below(&root.dir, dir, MAX_EXPANDED);
            if files.len() == MAX_EXPANDED {
                notes.push(format!(
                    "{}: only {MAX_EXPANDED} files of the new nested repository were taken in",
                    self.told_name(&name)
                ));
            }
            for file in files {
                let full = names::join(&root.prefix, &file);
                if let Some((at, rest)) = self.record.owner(&full) {
                    also[at].push(rest);
                }
            }
        }
        for dir in before.nested.difference(&after.nested) {
            let name = names::join(&root.prefix, dir);
            extra.push(self.bare_entry(&name, ChangeKind::Deleted, FileKind::NestedRepository));
        }
        let since = self.started();
        for odd in &after.odd {
            let touched = || {
                fs::symlink_metadata(root.dir.join(names::path(odd)))
                    .is_ok_and(|m| walk::changed_ns(&m) >= since)
            };
            if !before.odd.contains(odd) || touched() {
                let name = names::join(&root.prefix, odd);
                extra.push(self.bare_entry(&name, ChangeKind::Added, FileKind::Regular));
                notes.push(format!(
                    "{}: a pipe, socket, device or a name that git refuses",
                    self.told_name(&name)
                ));
            }
        }
        for closed in after.closed.difference(&before.closed) {
            let name = names::join(&root.prefix, closed);
            extra.push(self.bare_entry(&name, ChangeKind::ModeChanged, FileKind::Regular));
            notes.push(format!("{}: this directory cannot be opened any more", self.told_name(&name)));
        }
        if after.cut {
            notes.push(
                "the directory holds too many entries: the search for nested repositories was cut".into(),
            );
        }
    }

    /// An entry for something that is not in the tree.
    fn bare_entry(&self, name: &[u8], kind: ChangeKind, what: FileKind) -> ChangedFile {
        let gone = kind == ChangeKind::Deleted;
        let size = fs::symlink_metadata(self.record.top.join(names::path(name))).map_or(0, |m| m.len());
        ChangedFile {
            path: self.told_name(name),
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

    /// New and touched ignored entries. Those hidden by an ignore file that the job wrote
    /// are taken into the tree like any other file.
    fn ignored_differences(
        &self,
        at: usize,
        now: &BTreeSet<Vec<u8>>,
        also: &mut [Vec<Vec<u8>>],
        extra: &mut Vec<ChangedFile>,
        notes: &mut Vec<String>,
        dependencies: &mut Vec<String>,
    ) -> Result<u32> {
        let record = &self.record;
        let root = &record.roots[at];
        let before = &record.before[at].ignored;
        let since = self.started();
        let fresh: Vec<Vec<u8>> = now.difference(before).cloned().collect();
        let mut new = u32::try_from(fresh.len()).unwrap_or(u32::MAX);
        let rules = if fresh.is_empty() { BTreeMap::new() } else { root.ignored_by(&record.shadow, &fresh)? };
        let mut listed = 0;
        for entry in &fresh {
            let rule_is_new = rules.get(entry).and_then(Option::as_ref).is_some_and(|file| {
                fs::symlink_metadata(root.dir.join(names::path(file)))
                    .is_ok_and(|m| walk::changed_ns(&m) >= since)
            });
            if rule_is_new {
                match entry.strip_suffix(b"/") {
                    Some(dir) => also[at].extend(walk::files_below(&root.dir, dir, MAX_EXPANDED)),
                    None => also[at].push(entry.clone()),
                }
                continue;
            }
            // What was ignored as files is now ignored as a directory: nothing new.
            if entry.ends_with(b"/") && before.iter().any(|b| b.starts_with(entry)) {
                new = new.saturating_sub(1);
                continue;
            }
            listed += 1;
            if listed <= MAX_IGNORED {
                extra.push(self.ignored_entry(root, entry, ChangeKind::Added));
            }
        }
        for entry in now.intersection(before) {
            let (kind_changed, sample) = match entry.strip_suffix(b"/") {
                Some(dir) => {
                    let (count, sample) = walk::touched_since(&root.dir, dir, since, 5);
                    if count > 0 {
                        let room = MAX_DEPENDENCIES.saturating_sub(dependencies.len());
                        let code = walk::dependencies_touched(&root.dir, dir, since, room);
                        let told = code.iter().map(|name| self.told_name(&names::join(&root.prefix, name)));
                        dependencies.extend(told);
                    }
                    (count > 0, Some((count, sample)))
                }
                None => {
                    let meta = fs::symlink_metadata(root.dir.join(names::path(entry)));
                    (meta.is_ok_and(|m| walk::changed_ns(&m) >= since), None)
                }
            };
            if !kind_changed {
                continue;
            }
            listed += 1;
            if listed <= MAX_IGNORED {
                extra.push(self.ignored_entry(root, entry, ChangeKind::Modified));
            }
            if let Some((count, sample)) = sample {
                let shown: Vec<String> =
                    sample.iter().map(|n| self.told_name(&names::join(&root.prefix, n))).collect();
                notes.push(format!(
                    "{}: ignored; {count} entries in it were changed, such as {}",
                    self.told_name(&names::join(&root.prefix, entry)),
                    if shown.is_empty() { "directories only".to_owned() } else { shown.join(", ") }
                ));
            }
        }
        for entry in before.difference(now) {
            let plain = entry.strip_suffix(b"/").unwrap_or(entry);
            let gone = fs::symlink_metadata(root.dir.join(names::path(plain))).is_err();
            if gone && !now.iter().any(|n| n.ends_with(b"/") && entry.starts_with(n)) {
                listed += 1;
                if listed <= MAX_IGNORED {
                    extra.push(self.ignored_entry(root, entry, ChangeKind::Deleted));
                }
            }
        }
        if listed > MAX_IGNORED {
            notes.push(format!("{} ignored entries changed; {MAX_IGNORED} are listed", listed));
        }
        Ok(new)
    }

    fn ignored_entry(&self, root: &Root, entry: &[u8], kind: ChangeKind) -> ChangedFile {
        let name = names::join(&root.prefix, entry);
        let meta = fs::symlink_metadata(root.dir.join(names::path(entry)));
        let what = match &meta {
            Ok(m) if m.is_symlink() => FileKind::Symlink,
            _ => FileKind::Regular,
        };
        let target =
            meta.is_ok_and(|m| m.is_symlink()).then(|| fs::read_link(root.dir.join(names::path(entry))));
        ChangedFile {
            ignored: true,
            symlink_target: target.and_then(|t| t.ok()).map(|t| names::escape(&names::bytes(&t))),
            ..self.bare_entry(&name, kind, what)
        }
    }

    /// Which of the added files the ignore rules hide (they were taken in all the same).
    fn hidden_by_rules(&self, files: &[Change]) -> Result<BTreeSet<Vec<u8>>> {
        let mut by_root: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for file in files.iter().filter(|f| matches!(f.kind, ChangeKind::Added | ChangeKind::Renamed)) {
            if let Some((at, rest)) = self.record.owner(&file.name) {
                by_root.entry(at).or_default().push(rest);
            }
        }
        let mut hidden = BTreeSet::new();
        for (at, paths) in by_root {
            let root = &self.record.roots[at];
            for (path, _) in root.ignored_by(&self.record.shadow, &paths)? {
                hidden.insert(names::join(&root.prefix, &path));
            }
        }
        Ok(hidden)
    }

    fn tell_unrecorded(
        &self,
        root: &Root,
        look: &Snapshot,
        extra: &mut Vec<ChangedFile>,
        notes: &mut Vec<String>,
    ) {
        let since = self.started();
        for (path, why) in &look.unrecorded {
            let name = names::join(&root.prefix, path);
            let touched = fs::symlink_metadata(root.dir.join(names::path(path)))
                .map_or(true, |m| walk::changed_ns(&m) >= since);
            if touched {
                extra.push(self.bare_entry(&name, ChangeKind::Added, FileKind::Regular));
                notes.push(format!("{}: {why}", self.told_name(&name)));
            }
        }
    }

    fn internals_differences(
        &self,
        at: usize,
        root: &Root,
        changed: &mut Vec<String>,
        notes: &mut Vec<String>,
    ) {
        let Some(repository) = &root.repository else { return };
        let label =
            if root.prefix.is_empty() { String::new() } else { format!("{}/", self.told_name(&root.prefix)) };
        if fs::symlink_metadata(repository.git_dir.join("HEAD")).is_err() {
            changed.push(format!("{label}.git"));
            return;
        }
        let difference = self.record.before[at].internals.difference(&internals::fingerprint(repository));
        changed.extend(difference.changed.iter().map(|c| format!("{label}{c}")));
        if let Some((name, from, to)) = difference.moved {
            let forward =
                Shadow { read_from: vec![repository.objects.clone()], ..self.record.shadow.clone() }
                    .reading("merge-base")
                    .args(["--is-ancestor", &from, &to])
                    // Of a shallow clone: that history ends somewhere is no error.
                    .env("GIT_SHALLOW_FILE", repository.common_dir.join("shallow"))
                    .run(Input::Null)
                    .is_ok_and(|out| out.code == Some(0));
            if forward {
                notes.push(format!("commits were made on {label}{name}"));
            } else {
                changed.push(format!("{label}{name}"));
            }
        }
    }

    fn started(&self) -> i128 {
        self.record.started_ns.parse().unwrap_or(0)
    }
}

impl Record {
    fn add_main_root(
        &mut self,
        dir: PathBuf,
        repository: Option<Repository>,
        pathspecs: Vec<Vec<u8>>,
        tops: &[PathBuf],
    ) -> Result<()> {
        let prefix = names::bytes(dir.strip_prefix(&self.top).unwrap_or(Path::new("")));
        let inside_another = tops.iter().any(|t| *t != dir && dir.starts_with(t));
        let at = self.push_root(dir, prefix, repository, pathspecs, inside_another)?;
        let root = &self.roots[at];
        let found = self.walk(root, &whole_dirs(&self.before[at].ignored));
        let (main, specs) = (root.dir.clone(), root.prefix.clone());
        let mut opened = 0;
        for nested in &found.nested {
            let path = main.join(names::path(nested));
            if self.roots.iter().any(|r| r.dir == path) || tops.contains(&path) {
                continue;
            }
            opened += 1;
            if opened > MAX_NESTED {
                self.notes.push(format!(
                    "more than {MAX_NESTED} nested repositories: the others are compared by their HEAD"
                ));
                break;
            }
            // A broken `.git` makes an ordinary directory: the outer root records it.
            let Ok(Some(repository)) = discover::repository(&path) else { continue };
            if repository.top != path || repository.object_format != self.shadow.object_format {
                continue;
            }
            self.shadow.read_from.push(repository.objects.clone());
            self.push_root(path, names::join(&specs, nested), Some(repository), Vec::new(), true)?;
        }
        self.found.insert(at, found);
        Ok(())
    }

    fn push_root(
        &mut self,
        dir: PathBuf,
        prefix: Vec<u8>,
        repository: Option<Repository>,
        pathspecs: Vec<Vec<u8>>,
        nested: bool,
    ) -> Result<usize> {
        let at = self.roots.len();
        let root = Root::prepare(&self.shadow, at, dir, prefix, repository, pathspecs, nested)?;
        let (ignored, internals) = std::thread::scope(|scope| {
            let copied = scope.spawn(|| root.copy_trees(&self.shadow));
            let ignored = scope.spawn(|| root.ignored(&self.shadow));
            let internals = root.repository.as_ref().map(internals::fingerprint).unwrap_or_default();
            joined(copied)?;
            Ok::<_, Error>((joined(ignored)?, internals))
        })?;
        self.before.push(Before { ignored, internals });
        self.roots.push(root);
        Ok(at)
    }

    pub(super) fn read_from_is_gone(&self) -> bool {
        self.shadow.read_from.iter().any(|dir| !dir.is_dir())
    }

    /// Reads a root: three independent passes over the same directories, at the same time.
    fn see(&self, at: usize, root: &Root) -> Result<Seen> {
        std::thread::scope(|scope| {
            let walked = self.found.contains_key(&at).then(|| {
                let skip = whole_dirs(&self.before[at].ignored);
                scope.spawn(move || self.walk(root, &skip))
            });
            let ignored = scope.spawn(|| root.ignored(&self.shadow));
            let listed = root.list(&self.shadow);
            let walked = walked.map(joined);
            Ok(Seen { walked, ignored: joined(ignored)?, listed: listed? })
        })
    }

    fn walk(&self, root: &Root, skip: &BTreeSet<Vec<u8>>) -> Found {
        if root.pathspecs.is_empty() {
            return walk::walk(&root.dir, &[], skip);
        }
        let mut all = Found::default();
        for spec in &root.pathspecs {
            let found = walk::walk(&root.dir, spec, skip);
            all.nested.extend(found.nested);
            all.odd.extend(found.odd);
            all.closed.extend(found.closed);
            all.cut |= found.cut;
        }
        all
    }

    fn first_tree(&self) -> Result<String> {
        let known = self.nested_prefixes();
        let mut trees = Vec::new();
        for root in &self.roots {
            trees.push(root.first(&self.shadow, &self.nested_below(root, &known))?.tree);
        }
        self.combine(&trees)
    }

    fn nested_prefixes(&self) -> BTreeSet<Vec<u8>> {
        self.roots.iter().filter(|r| r.nested).map(|r| r.prefix.clone()).collect()
    }

    /// Nested roots below `root`, relative to it.
    fn nested_below(&self, root: &Root, known: &BTreeSet<Vec<u8>>) -> BTreeSet<Vec<u8>> {
        known
            .iter()
            .filter_map(|p| names::below(p, &root.prefix))
            .filter(|p| !p.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    }

    /// The deepest root that holds `name`, and the name below it; none if no root looks
    /// there.
    pub(super) fn owner(&self, name: &[u8]) -> Option<(usize, Vec<u8>)> {
        self.roots
            .iter()
            .enumerate()
            .filter_map(|(at, r)| names::below(name, &r.prefix).map(|rest| (at, r, rest)))
            .filter(|(_, r, rest)| r.covers(rest))
            .max_by_key(|(_, r, _)| r.prefix.len())
            .map(|(at, _, rest)| (at, rest.to_vec()))
    }

    /// One tree of the roots' trees, each at its place below the top. The files of nested
    /// repositories stand where the outer tree has a submodule entry or nothing.
    fn combine(&self, trees: &[String]) -> Result<String> {
        if let ([only], [root]) = (trees, self.roots.as_slice())
            && root.prefix.is_empty()
        {
            return Ok(only.clone());
        }
        let index = self.shadow.git_dir.join(format!("combined.{}", std::process::id()));
        let _ = fs::remove_file(&index);
        // A work tree is asked for, though no file of it is looked at.
        let git = |verb: &str| self.shadow.git(verb).index(&index).work_tree(&self.shadow.git_dir);
        let mut order: Vec<usize> = (0..trees.len()).collect();
        order.sort_by_key(|at| self.roots[*at].prefix.len());
        git("read-tree").arg("--empty").output()?;
        let nested = self.nested_prefixes();
        for at in order {
            let (root, tree) = (&self.roots[at], &trees[at]);
            if nested.contains(&root.prefix) {
                git("update-index")
                    .arg("--force-remove")
                    .arg("--")
                    .arg(names::path(&root.prefix))
                    .output()?;
            }
            let mut prefix = root.prefix.clone();
            if !prefix.is_empty() {
                prefix.push(b'/');
            }
            let mut arg = std::ffi::OsString::from("--prefix=");
            arg.push(names::path(&prefix));
            git("read-tree").arg(arg).arg(tree).output()?;
        }
        let tree = git("write-tree").arg("--missing-ok").line()?;
        let _ = fs::remove_file(&index);
        Ok(tree)
    }
}

/// A thread's result; its panic goes on here.
fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn whole_dirs(ignored: &BTreeSet<Vec<u8>>) -> BTreeSet<Vec<u8>> {
    ignored.iter().filter_map(|e| e.strip_suffix(b"/")).map(<[u8]>::to_vec).collect()
}

fn common_format<'a>(repositories: impl Iterator<Item = &'a Repository>) -> Result<String> {
    let mut format: Option<String> = None;
    for repository in repositories {
        match &format {
            Some(known) if *known != repository.object_format => {
                return Err(Error::MixedFormats(known.clone(), repository.object_format.clone()));
            }
            _ => format = Some(repository.object_format.clone()),
        }
    }
    Ok(format.unwrap_or_else(|| "sha1".to_owned()))
}

/// The file system's own idea of now.
fn clock(state: &Path) -> Result<i128> {
    let path = state.join("started");
    fs::write(&path, b"").map_err(io("writing", &path))?;
    let meta = fs::metadata(&path).map_err(io("reading", &path))?;
    Ok(walk::changed_ns(&meta))
}

/// Does this file system take another case of the same name for the same file? Looked up
/// on the directory's own name, so nothing is written.
fn is_case_insensitive(top: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Some(name) = top.file_name().and_then(|n| n.to_str()) else { return false };
    let mut other = name.to_uppercase();
    if other == name {
        other = name.to_lowercase();
    }
    if other == name {
        return false;
    }
    let id = |p: &Path| fs::metadata(p).ok().map(|m| (m.dev(), m.ino()));
    id(top).is_some() && id(top) == id(&top.with_file_name(other))
}
