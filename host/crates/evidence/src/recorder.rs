//! One job's record: the tree at the start, trees after each pass, and what they differ in.
//! Is in a directory of the host's own and can be reopened by another process after a
//! crash. Writing recorded files out or back is `writing`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jobfs::own as fs;
use jobfs::{Identity, Tree};

use super::changes::{self, Change};
use super::differences::{self, Differences, display_path};
use super::discover::{self, Repository};
use super::interrupt::unless_a_pipe_blocks;
use super::record::{Planned, RawScan, Record, VERSION, joined};
use super::root::Root;
use super::shadow::Shadow;
use super::stamps::Stamps;
use super::{Error, Limits, Recorded, Result, internals, io, names};
use model::spec::AllowedDir;
use model::types::{ChangeKind, ChangeSet, ChangedFile};

/// The stamps of a record, beside it.
const STAMPS: &str = "stamps";

/// Records what happens in the allowed directories of one job.
#[derive(Debug)]
pub struct Recorder {
    pub(super) state: PathBuf,
    pub(super) record: Record,
}

/// What one reading of all roots brought.
pub(super) struct Snapshot {
    pub(super) tree: String,
    extra: Vec<ChangedFile>,
    notes: Vec<String>,
    ignored_new: u32,
    dependencies: Vec<String>,
}

/// What one reading of the git directories brought.
struct Internals {
    changed: Vec<String>,
    notes: Vec<String>,
    readable: bool,
}

impl Recorder {
    /// Records the tree as it is now. Of a repository of which only a part is allowed, only
    /// that part is looked at. `state` is made, and must be where the job cannot write.
    pub fn begin(dirs: &[AllowedDir], state: &Path) -> Result<Recorder> {
        Self::begin_within(dirs, state, None)
    }

    /// [`Recorder::begin`]; repositories that are inside `whole_inside` are looked at as a
    /// whole, so that a write beside the allowed directories is seen too (as `../…`).
    pub fn begin_within(dirs: &[AllowedDir], state: &Path, whole_inside: Option<&Path>) -> Result<Recorder> {
        fs::create_dir_all(state).map_err(io("creating", state))?;
        let planned = plan(dirs, whole_inside)?;
        let tops: Vec<PathBuf> = planned.iter().map(|p| p.dir.clone()).collect();
        let top = discover::common_top(&tops);
        let format = common_format(planned.iter().filter_map(|p| p.repository.as_ref()))?;
        let read_from =
            planned.iter().filter_map(|p| p.repository.as_ref()).flat_map(Repository::object_dirs).collect();
        let shadow = Shadow::create(&state.join("shadow.git"), &format, read_from)?;
        let base = dirs.first().and_then(|dir| dir.path().strip_prefix(&top).ok());
        let mut record = Record {
            version: VERSION,
            shadow,
            case_insensitive: is_case_insensitive(&top),
            base: base.map(names::bytes).unwrap_or_default(),
            top,
            roots: Vec::new(),
            base_tree: String::new(),
            started_ns: "0".into(),
            before: Vec::new(),
            found: BTreeMap::new(),
            notes: Vec::new(),
            stamps: Some(Stamps::default()),
        };
        unless_a_pipe_blocks(&tops, || {
            for root in planned {
                record.add_main_root(root, &tops)?;
            }
            record.base_tree = record.record_first_tree()?;
            Ok(())
        })?;
        let recorder = Recorder { state: state.to_owned(), record };
        recorder.save()?;
        Ok(recorder)
    }

    /// Opens the record that [`Recorder::begin`] made in `state`, in this process or another.
    pub fn reopen(state: &Path) -> Result<Recorder> {
        let path = state.join("recorder.json");
        let unreadable = |said: String| Error::Record { path: state.to_owned(), said };
        let text = fs::read(&path).map_err(|e| unreadable(e.to_string()))?;
        let mut record: Record = serde_json::from_slice(&text).map_err(|e| unreadable(e.to_string()))?;
        if record.version != VERSION {
            return Err(unreadable(format!("version {} is not {VERSION}", record.version)));
        }
        record.stamps = Stamps::read(&state.join(STAMPS))?;
        Ok(Recorder { state: state.to_owned(), record })
    }

    fn save(&self) -> Result<()> {
        if let Some(stamps) = &self.record.stamps {
            stamps.write(&self.state.join(STAMPS))?;
        }
        let path = self.state.join("recorder.json");
        let text = serde_json::to_vec(&self.record)
            .map_err(|e| Error::Record { path: self.state.clone(), said: e.to_string() })?;
        let new = self.state.join("recorder.json.new");
        fs::write(&new, text).map_err(io("writing", &new))?;
        fs::rename(&new, &path).map_err(io("renaming", &new))
    }

    /// The state directory that this record is in.
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
        let dirs: Vec<PathBuf> = self.record.roots.iter().map(|root| root.dir.clone()).collect();
        unless_a_pipe_blocks(&dirs, || self.record_now(limits))
    }

    fn record_now(&self, limits: Limits) -> Result<Recorded> {
        self.remove_overlay()?;
        let record = &self.record;
        let interrupt = super::Interrupt::current();
        // The git directories are read while the work trees are.
        let (snapshot, internals) = std::thread::scope(|scope| {
            let internals = scope.spawn(|| interrupt.scope(|| self.internals()));
            (self.snapshot(), joined(internals))
        });
        let Snapshot { tree, extra, mut notes, ignored_new, dependencies } = snapshot?;
        let Internals { changed: mut internals_changed, notes: more, readable } = internals?;
        notes.extend(more);
        // Objects among which a pipe was planted are not opened.
        let own = Shadow { read_from: Vec::new(), ..record.shadow.clone() };
        let shadow = if readable { &record.shadow } else { &own };
        let found = changes::between(shadow, &record.base_tree, &tree, limits)?;
        let hidden = differences::hidden_by_rules(record, &found.files)?;
        internals_changed.extend(found.forged.iter().map(|id| format!("objects/{id}")));
        if found.base_lost {
            notes.push("the repository's objects are gone: old content and renames are not shown".into());
        }
        let stat = found.files.iter().map(|c| self.stat_line(c)).collect();
        let live = Tree::open(&record.top).ok();
        let changed_file = |change| self.changed_file(change, live.as_ref(), &hidden);
        let mut files: Vec<ChangedFile> = found.files.into_iter().map(changed_file).collect();
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
        internals_changed.sort();
        internals_changed.dedup();
        let changes = ChangeSet {
            files,
            total_files,
            diff_bytes: found.diff_bytes,
            internals_changed,
            case_insensitive: record.case_insensitive,
        };
        Ok(Recorded { tree, changes, stat, ignored_new, dependencies, notes })
    }

    /// What changed in the git directories, and whether their objects can be read.
    fn internals(&self) -> Result<Internals> {
        let mut found = Internals { changed: Vec::new(), notes: Vec::new(), readable: true };
        for at in 0..self.record.roots.len() {
            differences::of_internals(&self.record, at, &mut found.changed, &mut found.notes)?;
        }
        found.readable = internals::objects_are_plain(&self.record.shadow.read_from)?;
        if !found.readable {
            found.changed.push("objects".into());
        }
        Ok(found)
    }

    /// The tree as it is now, and what git does not record.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        let record = &self.record;
        let mut differences = Differences::new(record);
        let mut scans: BTreeMap<usize, RawScan> = BTreeMap::new();
        for (at, root) in record.roots.iter().enumerate() {
            if let Some(scan) = record.scan(at, root)? {
                scans.insert(at, scan);
            }
        }
        for (at, before) in &record.found {
            if let Some(scan) = scans.get(at)
                && let Some(after) = &scan.walked
            {
                differences.of_walk(&record.roots[*at], &scan.files, before, after);
            }
        }
        for (at, scan) in &scans {
            differences.of_ignored(*at, &scan.files, &scan.ignored)?;
        }
        // A directory may be listed, and another one in it.
        differences.dependencies.sort();
        differences.dependencies.dedup();
        let known_nested = record.nested_prefixes();
        let mut trees = Vec::new();
        for (at, root) in record.roots.iter().enumerate() {
            let Some(scan) = scans.remove(&at) else {
                // Its files are deleted; what one would see through a link is elsewhere.
                differences.notes.push(format!("{} is no directory any more", root.dir.display()));
                trees.push(record.shadow.empty_tree()?);
                continue;
            };
            let nested = record.nested_below(root, &known_nested);
            let also = std::mem::take(&mut differences.also[at]);
            let recorded =
                root.record_again(&record.shadow, &scan.files, Some(scan.listed), also, &nested)?;
            differences.of_unrecorded(root, &scan.files, &recorded);
            trees.push(recorded.tree);
        }
        let Differences { extra, notes, ignored_new, dependencies, .. } = differences;
        Ok(Snapshot { tree: record.combine(&trees)?, extra, notes, ignored_new, dependencies })
    }

    fn changed_file(&self, change: Change, live: Option<&Tree>, hidden: &BTreeSet<Vec<u8>>) -> ChangedFile {
        let meta = live.and_then(|live| live.meta(&change.name).ok());
        ChangedFile {
            path: display_path(&self.record, &change.name),
            old_path: change.old_name.as_deref().map(|n| display_path(&self.record, n)),
            kind: change.kind,
            old_kind: change.old.kind(),
            new_kind: change.new.kind(),
            symlink_target: change.target.as_deref().map(names::escape),
            ignored: hidden.contains(&change.name),
            hard_linked: meta.is_some_and(|meta| meta.is_file() && meta.links > 1),
            binary: change.binary,
            size: change.size,
            added_lines: change.added,
            deleted_lines: change.deleted,
            patch: change.hunks,
            patch_truncated: change.cut,
        }
    }

    fn stat_line(&self, change: &Change) -> String {
        let name = display_path(&self.record, &change.name);
        let letter = match change.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
            ChangeKind::Renamed => 'R',
            ChangeKind::TypeChanged => 'T',
            ChangeKind::Modified | ChangeKind::ModeChanged => 'M',
        };
        let name = match &change.old_name {
            Some(old) => format!("{} -> {name}", display_path(&self.record, old)),
            None => name,
        };
        if change.binary {
            return format!("{letter} {name} binary {} bytes", change.size);
        }
        format!("{letter} {name} +{} -{}", change.added, change.deleted)
    }
}

/// Which directories are recorded, and how much of each.
fn plan(dirs: &[AllowedDir], whole_inside: Option<&Path>) -> Result<Vec<Planned>> {
    let paths: Vec<PathBuf> = dirs.iter().map(|d| d.path().to_owned()).collect();
    let mut planned: Vec<Planned> = Vec::new();
    for dir in discover::outermost(&paths) {
        let expected = dirs.iter().find(|d| d.path() == dir).and_then(AllowedDir::identity);
        let expected = expected.map(|(dev, ino)| Identity { dev, ino });
        check(&dir, expected)?;
        let repository = discover::repository(&dir)?;
        let root = repository.as_ref().map_or_else(|| dir.clone(), |r| r.top.clone());
        let part = names::bytes(dir.strip_prefix(&root).unwrap_or(Path::new("")));
        let identity = expected.filter(|_| root == dir);
        let whole = part.is_empty() || whole_inside.is_some_and(|w| root.starts_with(w));
        match planned.iter_mut().find(|p| p.dir == root) {
            Some(known) if whole => known.pathspecs.clear(),
            Some(known) if known.pathspecs.is_empty() => {}
            Some(known) => known.pathspecs.push(part),
            None => planned.push(Planned {
                dir: root,
                identity,
                repository,
                pathspecs: if whole { Vec::new() } else { vec![part] },
            }),
        }
    }
    Ok(planned)
}

/// The directory is there, reached through no link, and the one that was allowed.
fn check(dir: &Path, expected: Option<Identity>) -> Result<()> {
    let opened = match expected {
        Some(identity) => Tree::open_same(dir, identity),
        None => Tree::open(dir),
    };
    opened.map(drop).map_err(|source| Error::Replaced { path: dir.to_owned(), source })
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

/// Does this file system take another case of the same name for the same file? Looked up
/// on the directory's own name, so nothing is written.
fn is_case_insensitive(top: &Path) -> bool {
    let Some(name) = top.file_name().and_then(|n| n.to_str()) else { return false };
    let mut other = name.to_uppercase();
    if other == name {
        other = name.to_lowercase();
    }
    if other == name {
        return false;
    }
    let id = |p: &Path| Tree::open(p).and_then(|tree| tree.identity()).ok();
    id(top).is_some() && id(top) == id(&top.with_file_name(other))
}
