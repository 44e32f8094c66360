//! What is kept of one job's start, and the roots that are recorded: the data of a recorder
//! and how a tree is made of several roots.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jobfs::own as fs;
use jobfs::{Identity, Meta, Tree};
use serde::{Deserialize, Serialize};

use super::discover::{self, Repository};
use super::internals::{self, Fingerprint};
use super::interrupt::Interrupt;
use super::root::{Root, Wanted};
use super::shadow::Shadow;
use super::stamps::Stamps;
use super::walk::{self, Found};
use super::{Error, Result, io, names};

/// The version of `recorder.json`.
pub(super) const VERSION: u32 = 1;
/// Nested repositories that are opened; more are compared by their HEAD only.
const MAX_NESTED: usize = 512;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub version: u32,
    pub shadow: Shadow,
    /// The directory that recorded names are relative to: the deepest that holds all roots.
    pub top: PathBuf,
    /// The first allowed directory below the top.
    pub base: Vec<u8>,
    pub roots: Vec<Root>,
    pub base_tree: String,
    /// The file system's clock at the start, in nanoseconds since 1970. Only a record of an
    /// earlier release is compared with it.
    pub started_ns: String,
    /// For each root: ignored entries at the start, and the internals.
    pub before: Vec<Before>,
    /// For each root that is walked: what the walk found at the start.
    pub found: BTreeMap<usize, Found>,
    pub notes: Vec<String>,
    pub case_insensitive: bool,
    /// Kept in a file of its own.
    #[serde(skip)]
    pub stamps: Option<Stamps>,
}

/// What was read of one root before anything is decided.
pub(super) struct RawScan {
    pub files: Tree,
    /// None for a root that another one's walk covers.
    pub walked: Option<Found>,
    pub ignored: BTreeSet<Vec<u8>>,
    /// What git lists as changed.
    pub listed: Vec<u8>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    pub ignored: BTreeSet<Vec<u8>>,
    /// How many entries each of them has, in their order; none in an earlier release's record.
    #[serde(default)]
    pub ignored_counts: Vec<u32>,
    pub internals: Fingerprint,
}

/// One directory to be recorded.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub dir: PathBuf,
    pub identity: Option<Identity>,
    pub repository: Option<Repository>,
    pub pathspecs: Vec<Vec<u8>>,
}

impl Record {
    pub fn add_main_root(&mut self, planned: Planned, tops: &[PathBuf]) -> Result<()> {
        let dir = planned.dir;
        let prefix = names::bytes(dir.strip_prefix(&self.top).unwrap_or(Path::new("")));
        let nested = tops.iter().any(|t| *t != dir && dir.starts_with(t));
        let (identity, repository, pathspecs) = (planned.identity, planned.repository, planned.pathspecs);
        let at = self.push_root(Wanted { dir, identity, prefix, repository, pathspecs, nested })?;
        let root = &self.roots[at];
        let files = root.open().map_err(io("opening", &root.dir))?;
        let found = walk_root(root, &files, &whole_dirs(&self.before[at].ignored))?;
        for name in found.rules.iter().chain(&found.odd) {
            if let (Some(stamps), Ok(meta)) = (&mut self.stamps, files.meta(name)) {
                stamps.insert(&names::join(&root.prefix, name), &meta);
            }
        }
        let (main, prefix) = (root.dir.clone(), root.prefix.clone());
        let mut opened = 0;
        for inner in &found.nested {
            let path = main.join(names::path(inner));
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
            self.shadow.read_from.extend(repository.object_dirs());
            self.push_root(Wanted {
                dir: path,
                identity: None,
                prefix: names::join(&prefix, inner),
                repository: Some(repository),
                pathspecs: Vec::new(),
                nested: true,
            })?;
        }
        self.found.insert(at, found);
        Ok(())
    }

    fn push_root(&mut self, wanted: Wanted) -> Result<usize> {
        let at = self.roots.len();
        let root = Root::prepare(&self.shadow, at, wanted)?;
        let interrupt = Interrupt::current();
        let (ignored, internals) = std::thread::scope(|scope| {
            let copied = scope.spawn(|| interrupt.scope(|| root.copy_trees(&self.shadow)));
            let ignored = scope.spawn(|| interrupt.scope(|| root.ignored(&self.shadow)));
            let internals = match &root.repository {
                Some(repository) => internals::fingerprint(repository)?,
                None => Fingerprint::default(),
            };
            joined(copied)?;
            Ok::<_, Error>((joined(ignored)?, internals))
        })?;
        let mut ignored_counts = Vec::new();
        if let Some(stamps) = &mut self.stamps {
            let files = root.open().map_err(io("opening", &root.dir))?;
            for entry in &ignored {
                let name = entry.strip_suffix(b"/").unwrap_or(entry);
                if let Ok(meta) = files.meta(name) {
                    stamps.insert(&names::join(&root.prefix, name), &meta);
                }
                ignored_counts.push(match entry.ends_with(b"/") {
                    true => walk::stamp(&files, name, &root.prefix, stamps)?,
                    false => 0,
                });
            }
        }
        self.before.push(Before { ignored, ignored_counts, internals });
        self.roots.push(root);
        Ok(at)
    }

    /// Is this file as it was at the start? `name` is relative to the top.
    pub fn is_same(&self, name: &[u8], meta: &Meta) -> bool {
        match &self.stamps {
            Some(stamps) => stamps.is_same(name, meta),
            None => i128::from(meta.changed_ns) < self.started_ns.parse().unwrap_or(0),
        }
    }

    /// Was `name` there at the start, as far as that was taken down?
    pub fn was_there(&self, name: &[u8]) -> bool {
        self.stamps.as_ref().is_some_and(|stamps| stamps.knows(name))
    }

    pub fn read_from_is_gone(&self) -> bool {
        self.shadow.read_from.iter().any(|dir| !dir.is_dir())
    }

    /// Reads a root: three independent passes over the same directories, at the same time.
    /// None for one that is gone or has another directory, or a link, in its place.
    pub fn scan(&self, at: usize, root: &Root) -> Result<Option<RawScan>> {
        let Ok(files) = root.open() else { return Ok(None) };
        let interrupt = Interrupt::current();
        let (walked, ignored, listed) = std::thread::scope(|scope| {
            let walked = self.found.contains_key(&at).then(|| {
                let skip = whole_dirs(&self.before[at].ignored);
                let (interrupt, files) = (&interrupt, &files);
                scope.spawn(move || interrupt.scope(|| walk_root(root, files, &skip)))
            });
            let ignored = scope.spawn(|| interrupt.scope(|| root.ignored(&self.shadow)));
            let listed = root.list(&self.shadow);
            let walked = walked.map(joined).transpose()?;
            Ok::<_, Error>((walked, joined(ignored)?, listed?))
        })?;
        Ok(Some(RawScan { files, walked, ignored, listed }))
    }

    pub fn record_first_tree(&mut self) -> Result<String> {
        let known = self.nested_prefixes();
        let mut trees = Vec::new();
        for at in 0..self.roots.len() {
            let root = &self.roots[at];
            let first = root.record_first(&self.shadow, &self.nested_below(root, &known))?;
            trees.push(self.roots[at].record_filtered(&self.shadow, first)?.tree);
        }
        self.combine(&trees)
    }

    pub fn nested_prefixes(&self) -> BTreeSet<Vec<u8>> {
        self.roots.iter().filter(|r| r.nested).map(|r| r.prefix.clone()).collect()
    }

    /// Nested roots below `root`, relative to it.
    pub fn nested_below(&self, root: &Root, known: &BTreeSet<Vec<u8>>) -> BTreeSet<Vec<u8>> {
        known
            .iter()
            .filter_map(|p| names::below(p, &root.prefix))
            .filter(|p| !p.is_empty())
            .map(<[u8]>::to_vec)
            .collect()
    }

    /// The deepest root that holds `name`, and the name below it; none if no root looks
    /// there.
    pub fn owner(&self, name: &[u8]) -> Option<(usize, Vec<u8>)> {
        self.roots
            .iter()
            .enumerate()
            .filter_map(|(at, r)| names::below(name, &r.prefix).map(|rest| (at, r, rest)))
            .filter(|(_, r, rest)| r.covers(rest))
            .max_by_key(|(_, r, _)| r.prefix.len())
            .map(|(at, _, rest)| (at, rest.to_vec()))
    }

    /// One tree of the roots' trees, each where it is below the top. The files of nested
    /// repositories replace what the outer tree has there, a submodule entry or nothing.
    pub fn combine(&self, trees: &[String]) -> Result<String> {
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

fn walk_root(root: &Root, files: &Tree, skip: &BTreeSet<Vec<u8>>) -> Result<Found> {
    if root.pathspecs.is_empty() {
        return walk::walk(files, &[], skip);
    }
    let mut all = Found::default();
    for spec in &root.pathspecs {
        let found = walk::walk(files, spec, skip)?;
        all.nested.extend(found.nested);
        all.odd.extend(found.odd);
        all.closed.extend(found.closed);
        all.rules.extend(found.rules);
        all.cut |= found.cut;
    }
    Ok(all)
}

/// A thread's result; its panic goes on here.
pub(super) fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn whole_dirs(ignored: &BTreeSet<Vec<u8>>) -> BTreeSet<Vec<u8>> {
    ignored.iter().filter_map(|e| e.strip_suffix(b"/")).map(<[u8]>::to_vec).collect()
}
