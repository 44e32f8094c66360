//! One directory that is recorded: what git lists of it and how that goes into an index of
//! the host's own.
//!
//! Why not one `git add -A`: it starts `git status` inside every submodule, which obeys
//! the submodule's own configuration and so runs what a job planted there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jobfs::own as fs;
use jobfs::{Identity, Tree};
use serde::{Deserialize, Serialize};

use super::attributes::{Attributes, Filtered};
use super::confine::{self, Confinement};
use super::discover::Repository;
use super::git::{Git, GitError, Input, split_z};
use super::shadow::{Shadow, copy_index, copy_trees};
use super::{Error, Result, content, io, names, settings};

/// One directory that is recorded, with an index of its own in the shadow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The work tree; absolute, without links.
    pub dir: PathBuf,
    /// Which directory it was at the start; none in a record of an earlier release.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// Where it is below the recorder's top; empty for the top itself.
    pub prefix: Vec<u8>,
    /// Its index file in the shadow.
    pub index: PathBuf,
    /// The repository, if it is one.
    pub repository: Option<Repository>,
    /// What is looked at, relative to `dir`; everything when empty.
    pub pathspecs: Vec<Vec<u8>>,
    /// It is inside another root: a submodule or a nested repository.
    pub nested: bool,
    /// `-c` settings of line ends and names, as the repository had them at the start.
    pub settings: Vec<String>,
    /// The ignore rules outside the work tree, as they were at the start.
    pub excludes: PathBuf,
    /// The attributes outside the work tree; none for a plain directory, and in a record of an
    /// earlier release.
    #[serde(default)]
    pub attributes: Option<Attributes>,
    /// The filters that the user has.
    #[serde(default)]
    pub drivers: Vec<String>,
    /// The files that went through them at the start.
    #[serde(default)]
    pub filtered: Vec<Filtered>,
}

/// The recorded state of one root.
#[derive(Clone, Debug, Default)]
pub struct RootTree {
    /// Its tree.
    pub tree: String,
    /// Paths that could not be recorded, with the reason.
    pub unrecorded: BTreeMap<Vec<u8>, String>,
}

/// Which directory to record, and how.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The work tree.
    pub dir: PathBuf,
    /// Which directory that must be; none takes the one that is there.
    pub identity: Option<Identity>,
    /// Where it is below the recorder's top.
    pub prefix: Vec<u8>,
    /// The repository, if it is one.
    pub repository: Option<Repository>,
    /// What is looked at; everything when empty.
    pub pathspecs: Vec<Vec<u8>>,
    /// It is inside another root.
    pub nested: bool,
}

/// How often a root is read before its changes during that are an error.
const TRIES: u32 = 8;
/// A larger file is recorded as a placeholder that changes when the file does.
const MAX_FILE: u64 = 8 << 30;
/// A larger file is hashed by git, which is given the open file.
const HASHED_HERE: u64 = 32 << 20;

impl Root {
    /// Prepares a directory for being recorded: its index is copied, its settings and the
    /// ignore rules outside the work tree are frozen. `number` names its files in the shadow.
    pub fn prepare(shadow: &Shadow, number: usize, wanted: Wanted) -> Result<Root> {
        let opened = match wanted.identity {
            Some(identity) => Tree::open_same(&wanted.dir, identity),
            None => Tree::open(&wanted.dir),
        };
        let identity = opened.and_then(|tree| tree.identity()).map_err(io("opening", &wanted.dir))?;
        let mut root = Root {
            index: shadow.git_dir.join(format!("index.{number}")),
            excludes: shadow.git_dir.join(format!("excludes.{number}")),
            dir: wanted.dir,
            identity: Some(identity),
            prefix: wanted.prefix,
            repository: wanted.repository,
            pathspecs: wanted.pathspecs,
            nested: wanted.nested,
            settings: Vec::new(),
            attributes: None,
            drivers: Vec::new(),
            filtered: Vec::new(),
        };
        let mut excludes = Vec::new();
        if let Some(repository) = &root.repository {
            let frozen = settings::freeze(repository, shadow)?;
            (root.settings, excludes, root.drivers) = (frozen.settings, frozen.excludes, frozen.drivers);
            let dir = shadow.git_dir.join(format!("attributes.{number}"));
            let (own, global) = (&frozen.own_attributes, &frozen.global_attributes);
            root.attributes = Some(Attributes::keep(shadow, &dir, own, global)?);
            // One git directory for all roots: those of the outermost repository.
            if number == 0 && !own.is_empty() {
                shadow.set_attributes(own)?;
            }
            copy_index(&repository.git_dir, &root.index, &shadow.git_dir)?;
            if root.index.exists() {
                // git never writes an index in place: this stays as it is.
                let start = root.index_at_start();
                let _ = fs::remove_file(&start);
                fs::hard_link(&root.index, &start).map_err(io("linking", &start))?;
            }
            if let Some(text) = shallow(repository) {
                fs::write(root.shallow(), text).map_err(io("writing", &root.shallow()))?;
            }
        }
        fs::write(&root.excludes, excludes).map_err(io("writing", &root.excludes))?;
        Ok(root)
    }

    /// The directories of the checked-out commit, so that the first tree need not be written.
    pub fn copy_trees(&self, shadow: &Shadow) -> Result<()> {
        self.repository.as_ref().map_or(Ok(()), |repository| copy_trees(shadow, repository))
    }

    /// Opens the directory, if it is still the one that it was.
    pub fn open(&self) -> std::io::Result<Tree> {
        match self.identity {
            Some(identity) => Tree::open_same(&self.dir, identity),
            None => Tree::open(&self.dir),
        }
    }

    /// A git call on the work tree, which may read that and the shadow alone.
    fn git(&self, shadow: &Shadow, verb: &str) -> Git {
        let confinement = Confinement { read: vec![self.dir.clone()], write: vec![shadow.git_dir.clone()] };
        let mut git = shadow.git(verb).work_tree(&self.dir).dir(&self.dir).index(&self.index);
        for setting in self.settings.iter().cloned().chain(self.attributes.as_ref().map(Attributes::setting))
        {
            git = git.config(&setting);
        }
        git.confined(confinement)
    }

    fn excludes_args(&self) -> [std::ffi::OsString; 2] {
        let mut from = std::ffi::OsString::from("--exclude-from=");
        from.push(&self.excludes);
        ["--exclude-per-directory=.gitignore".into(), from]
    }

    fn pathspec_args(&self) -> Vec<PathBuf> {
        self.pathspecs.iter().map(|p| names::path(p)).collect()
    }

    /// Is `name` (relative to the root) looked at?
    pub fn covers(&self, name: &[u8]) -> bool {
        self.pathspecs.is_empty() || self.pathspecs.iter().any(|p| names::below(name, p).is_some())
    }

    /// Clears flags in the copied index that would make git look away: assume-unchanged,
    /// and skip-worktree on files that are there. Gives the paths with merge conflicts.
    fn clear_hiding_flags(&self, shadow: &Shadow, tree: &Tree) -> Result<Vec<Vec<u8>>> {
        let listed = self.git(shadow, "ls-files").args(["-v", "-z"]).output()?;
        let (mut assumed, mut skipped, mut unmerged) = (Vec::new(), Vec::new(), Vec::new());
        let mut any_left_out = false;
        for line in split_z(&listed) {
            let [tag, b' ', name @ ..] = line else { return Err(Error::Answer("ls-files -v")) };
            if tag.is_ascii_lowercase() {
                assumed.extend_from_slice(name);
                assumed.push(0);
            }
            match tag.to_ascii_uppercase() {
                b'S' if tree.exists(name) => {
                    skipped.extend_from_slice(name);
                    skipped.push(0);
                }
                b'S' => any_left_out = true,
                b'M' => unmerged.push(name.to_vec()),
                _ => {}
            }
        }
        if any_left_out {
            let note = self.skipped_note();
            fs::write(&note, []).map_err(io("writing", &note))?;
        }
        for (flag, list) in [("--no-assume-unchanged", assumed), ("--no-skip-worktree", skipped)] {
            if !list.is_empty() {
                self.git(shadow, "update-index")
                    .args(["-z", flag, "--stdin"])
                    .output_with(Input::Bytes(list))?;
            }
        }
        Ok(unmerged)
    }

    /// Records it for the first time, before the job.
    pub fn record_first(&self, shadow: &Shadow, nested: &BTreeSet<Vec<u8>>) -> Result<RootTree> {
        let tree = self.open().map_err(io("opening", &self.dir))?;
        let unmerged = if self.index.exists() { self.clear_hiding_flags(shadow, &tree)? } else { Vec::new() };
        self.record(shadow, &tree, None, unmerged, nested, true)
    }

    /// Records what goes through a filter of the user's with its real content: git's form of it
    /// is not what is in the directory, and nobody here runs filters. `recorded` is the first
    /// tree.
    pub fn record_filtered(&mut self, shadow: &Shadow, recorded: RootTree) -> Result<RootTree> {
        let Some(attributes) = self.attributes.clone().filter(|_| !self.drivers.is_empty()) else {
            return Ok(recorded);
        };
        let tree = self.open().map_err(io("opening", &self.dir))?;
        let plain = |name: &Vec<u8>| {
            self.covers(name)
                && !recorded.unrecorded.contains_key(name)
                && tree.meta(name).is_ok_and(|meta| meta.is_file())
        };
        let names = self.entries(shadow, &self.index)?.into_keys().filter(plain).collect();
        let found = attributes.filtered(shadow, &recorded.tree, &names, &self.drivers)?;
        if found.is_empty() {
            return Ok(recorded);
        }
        let names: Vec<Vec<u8>> = found.keys().cloned().collect();
        for how in [&["--force-remove"][..], &["--add"]] {
            let git = self.git(shadow, "update-index").arg("-q").args(how).args(["-z", "--stdin"]);
            git.output_with(Input::Bytes(each_ended(&names)))?;
        }
        if !confine::available() {
            self.verify_content(shadow, &tree, &names)?;
        }
        let start = match self.index_at_start() {
            start if start.exists() => self.entries(shadow, &start)?,
            _ => BTreeMap::new(),
        };
        let mut raw = self.entries(shadow, &self.index)?;
        self.filtered = found
            .into_iter()
            .filter_map(|(name, driver)| {
                let (_, raw) = raw.remove(&name)?;
                Some(Filtered { index: start.get(&name).cloned(), raw, name, driver })
            })
            .collect();
        let tree = self.git(shadow, "write-tree").arg("--missing-ok").line()?;
        Ok(RootTree { tree, ..recorded })
    }

    /// Mode and object of each file in an index.
    fn entries(&self, shadow: &Shadow, index: &Path) -> Result<BTreeMap<Vec<u8>, (String, String)>> {
        let listed = self.git(shadow, "ls-files").args(["-s", "-z"]).index(index).output()?;
        split_z(&listed).map(index_line).collect()
    }

    /// Records it again. `listed` is what [`Root::list`] gave, `also` names paths that it
    /// leaves out.
    pub fn record_again(
        &self,
        shadow: &Shadow,
        tree: &Tree,
        listed: Option<Vec<u8>>,
        also: Vec<Vec<u8>>,
        nested: &BTreeSet<Vec<u8>>,
    ) -> Result<RootTree> {
        let mut also = also;
        // Files left out by a sparse checkout that are there now.
        if self.skipped_note().exists() {
            let mut present = Vec::new();
            let listed = self.git(shadow, "ls-files").args(["-t", "-z"]).output()?;
            for line in split_z(&listed) {
                if let Some(name) = line.strip_prefix(b"S ")
                    && tree.exists(name)
                {
                    present.extend_from_slice(name);
                    present.push(0);
                    also.push(name.to_vec());
                }
            }
            if !present.is_empty() {
                self.git(shadow, "update-index")
                    .args(["-z", "--no-skip-worktree", "--stdin"])
                    .output_with(Input::Bytes(present))?;
            }
        }
        self.record(shadow, tree, listed, also, nested, false)
    }

    /// The repository's index as it was at the start, if it had one.
    pub fn index_at_start(&self) -> PathBuf {
        self.index.with_added_extension("start")
    }

    /// Where the repository's history ended at the start, if it was cut; in git's own format.
    pub fn shallow(&self) -> PathBuf {
        self.index.with_added_extension("shallow")
    }

    fn skipped_note(&self) -> PathBuf {
        self.index.with_added_extension("skipped")
    }

    /// A file that changes while git reads it makes git give up: then it is tried again.
    /// Without isolation the user may be at work in the same directory.
    fn record(
        &self,
        shadow: &Shadow,
        tree: &Tree,
        mut listed: Option<Vec<u8>>,
        also: Vec<Vec<u8>>,
        nested: &BTreeSet<Vec<u8>>,
        refresh: bool,
    ) -> Result<RootTree> {
        let mut pause = std::time::Duration::from_millis(20);
        for _ in 1..TRIES {
            match self.record_once(shadow, tree, listed.take(), &also, nested, refresh) {
                Err(Error::Git(GitError::Failed { .. }) | Error::ContentChanged(_)) => {}
                done => return done,
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
        self.record_once(shadow, tree, None, &also, nested, refresh)
    }

    /// What git lists as changed, gone or new, each name ended by NUL.
    pub fn list(&self, shadow: &Shadow) -> Result<Vec<u8>> {
        let git = self.git(shadow, "ls-files").args(["-z", "-m", "-d", "-o"]).args(self.excludes_args());
        Ok(git.arg("--").args(self.pathspec_args()).output()?)
    }

    fn record_once(
        &self,
        shadow: &Shadow,
        tree: &Tree,
        listed: Option<Vec<u8>>,
        also: &[Vec<u8>],
        nested: &BTreeSet<Vec<u8>>,
        refresh: bool,
    ) -> Result<RootTree> {
        let listed = match listed {
            Some(listed) => listed,
            None => self.list(shadow)?,
        };
        let mut names: BTreeSet<Vec<u8>> = split_z(&listed).map(<[u8]>::to_vec).collect();
        names.extend(also.iter().filter(|n| self.covers(n)).cloned());
        let mut plan = IndexPlan::default();
        for name in names {
            if name.ends_with(b"/") || nested.contains(&name) {
                continue; // a nested repository: a root of its own, or expanded by the caller
            }
            sort_in(tree, &name, &mut plan);
        }
        self.write_entries(shadow, &mut plan)?;
        if refresh || !plan.add.is_empty() {
            let mut git = self.git(shadow, "update-index").arg("-q");
            if refresh {
                git = git.arg("--refresh");
            }
            let out = git
                .args(["--add", "--remove", "--replace", "-z", "--stdin"])
                .run(Input::Bytes(each_ended(&plan.add)))?;
            // The refresh says 1 for entries that it cannot refresh, such as conflicts.
            let refreshed = refresh && out.code == Some(1) && out.stderr.is_empty();
            if out.code != Some(0) && !refreshed {
                return Err(super::git::failed("update-index".into(), &out).into());
            }
            if !confine::available() {
                self.verify_content(shadow, tree, &plan.add)?;
            }
        }
        let tree = self.git(shadow, "write-tree").arg("--missing-ok").line()?;
        // Git would read the whole file to see whether it still is its placeholder.
        self.write_index(shadow, plan.placeholders.keys().map(|name| Entry::removed(shadow, name)))?;
        Ok(RootTree { tree, unrecorded: plan.unrecorded })
    }

    /// Entries that are written without looking at the disk: placeholders and removals.
    fn write_entries(&self, shadow: &Shadow, plan: &mut IndexPlan) -> Result<()> {
        let mut entries = Vec::new();
        for (name, (why, text)) in &plan.placeholders {
            let text = format!("codex-worker: {text}\n{}\n", names::escape(name));
            let id = self
                .git(shadow, "hash-object")
                .args(["-w", "--no-filters", "--stdin"])
                .output_with(Input::Bytes(text.into_bytes()))?;
            entries.push(Entry { name, value: format!("100644 {}", String::from_utf8_lossy(&id).trim()) });
            plan.unrecorded.insert(name.clone(), (*why).into());
        }
        entries.extend(plan.remove.iter().map(|name| Entry::removed(shadow, name)));
        self.write_index(shadow, entries.into_iter())
    }

    fn write_index<'n>(&self, shadow: &Shadow, entries: impl Iterator<Item = Entry<'n>>) -> Result<()> {
        let mut lines = Vec::new();
        for entry in entries {
            lines.extend_from_slice(entry.value.as_bytes());
            lines.push(b'\t');
            lines.extend_from_slice(entry.name);
            lines.push(0);
        }
        if !lines.is_empty() {
            self.git(shadow, "update-index").args(["-z", "--index-info"]).output_with(Input::Bytes(lines))?;
        }
        Ok(())
    }

    /// Where git could not be confined: what it took in is what the host itself reads through
    /// no link. Otherwise somebody exchanged a directory while git read it.
    fn verify_content(&self, shadow: &Shadow, tree: &Tree, names: &[Vec<u8>]) -> Result<()> {
        let wanted: BTreeSet<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let listed = self.git(shadow, "ls-files").args(["-s", "-z"]).output()?;
        for line in split_z(&listed) {
            let Some(tab) = line.iter().position(|b| *b == b'\t') else { continue };
            let (fields, name) = (String::from_utf8_lossy(&line[..tab]), &line[tab + 1..]);
            let mut fields = fields.split(' ');
            let (Some(mode), Some(id)) = (fields.next(), fields.next()) else { continue };
            if !wanted.contains(name) {
                continue;
            }
            let changed = || Error::ContentChanged(names::escape(name));
            let same = match mode {
                "120000" => {
                    let target = tree.read_link(name).map_err(|_| changed())?;
                    content::blob_id(&shadow.object_format, target.len() as u64, target.as_slice())? == id
                }
                "160000" => true,
                _ => {
                    let file = tree.file(name).map_err(|_| changed())?;
                    let size = file.metadata().map_err(io("reading", &self.dir))?.len();
                    size <= HASHED_HERE
                        && content::blob_id(&shadow.object_format, size, &file).is_ok_and(|own| own == id)
                        // Large; or by the attributes recorded with other line ends.
                        || self.converted_id(shadow, tree, name)? == id
                }
            };
            if !same {
                return Err(changed());
            }
        }
        Ok(())
    }

    fn converted_id(&self, shadow: &Shadow, tree: &Tree, name: &[u8]) -> Result<String> {
        let file = tree.file(name).map_err(|_| Error::ContentChanged(names::escape(name)))?;
        let mut path = std::ffi::OsString::from("--path=");
        path.push(names::path(name));
        let id = self.git(shadow, "hash-object").arg("--stdin").arg(path).output_with(Input::File(file))?;
        Ok(String::from_utf8_lossy(&id).trim().to_owned())
    }

    /// Ignored files, and directories (with a `/` at the end) that are ignored as a whole.
    pub fn ignored(&self, shadow: &Shadow) -> Result<BTreeSet<Vec<u8>>> {
        let listed = self
            .git(shadow, "ls-files")
            .args(["-z", "-o", "-i", "--directory"])
            .args(self.excludes_args())
            .arg("--")
            .args(self.pathspec_args())
            .output()?;
        Ok(split_z(&listed).map(<[u8]>::to_vec).collect())
    }

    /// Which ignore file hides each of these paths: the file's name below the root, or none
    /// for the frozen rules. Paths that no rule hides any more are left out.
    pub fn ignored_by(
        &self,
        shadow: &Shadow,
        paths: &[Vec<u8>],
    ) -> Result<BTreeMap<Vec<u8>, Option<Vec<u8>>>> {
        let mut stdin = paths.join(&0);
        stdin.push(0);
        let mut frozen = std::ffi::OsString::from("core.excludesFile=");
        frozen.push(&self.excludes);
        let listed = self
            .git(shadow, "check-ignore")
            .config(&frozen.to_string_lossy())
            .args(["-z", "-v", "--no-index", "--stdin"])
            .run(Input::Bytes(stdin))?;
        let fields: Vec<&[u8]> = split_z(&listed.stdout).collect();
        let mut out = BTreeMap::new();
        for record in fields.chunks_exact(4) {
            let source = names::path(record[0]);
            let inside = !source.is_absolute();
            if record[2].starts_with(b"!") {
                continue;
            }
            out.insert(record[3].to_vec(), inside.then(|| record[0].to_vec()));
        }
        Ok(out)
    }
}

/// `100644 <id> 0\t<name>` as `ls-files -s -z` prints it.
pub fn index_line(line: &[u8]) -> Result<(Vec<u8>, (String, String))> {
    let bad = || Error::Answer("ls-files -s");
    let tab = line.iter().position(|b| *b == b'\t').ok_or_else(bad)?;
    let text = String::from_utf8_lossy(&line[..tab]).into_owned();
    let mut fields = text.split(' ');
    let (mode, id) = (fields.next().ok_or_else(bad)?, fields.next().ok_or_else(bad)?);
    Ok((line[tab + 1..].to_vec(), (mode.to_owned(), id.to_owned())))
}

/// The names, each ended by NUL.
fn each_ended(names: &[Vec<u8>]) -> Vec<u8> {
    names.iter().flat_map(|name| name.iter().copied().chain([0])).collect()
}

/// An entry of an index as `update-index --index-info` reads it.
struct Entry<'n> {
    name: &'n [u8],
    /// The mode and the object id.
    value: String,
}

impl<'n> Entry<'n> {
    fn removed(shadow: &Shadow, name: &'n [u8]) -> Entry<'n> {
        Entry {
            name,
            value: format!("0 {}", "0".repeat(if shadow.object_format == "sha256" { 64 } else { 40 })),
        }
    }
}

#[derive(Default)]
struct IndexPlan {
    /// Paths that git adds, updates or removes as they are on the disk.
    add: Vec<Vec<u8>>,
    /// Paths to take out of the index without looking at the disk.
    remove: Vec<Vec<u8>>,
    /// Paths whose content is not recorded: the reason, and what stands for the content.
    placeholders: BTreeMap<Vec<u8>, (&'static str, String)>,
    unrecorded: BTreeMap<Vec<u8>, String>,
}

/// The repository's `shallow` file, if it is one: object ids and nothing else.
fn shallow(repository: &Repository) -> Option<Vec<u8>> {
    let text = Tree::open(&repository.common_dir).and_then(|tree| tree.read(b"shallow", 16 << 20)).ok()?;
    let is_id = |line: &[u8]| line.is_empty() || line.len() >= 40 && line.iter().all(u8::is_ascii_hexdigit);
    text.split(|b| *b == b'\n').all(is_id).then_some(text)
}

/// Decides how one path goes into the index.
fn sort_in(tree: &Tree, name: &[u8], plan: &mut IndexPlan) {
    if name.split(|b| *b == b'/').any(|part| part.eq_ignore_ascii_case(b".git")) {
        plan.unrecorded.insert(name.to_vec(), "git refuses this name".into());
        return;
    }
    let unreadable = ("cannot be read", "this file could not be read".to_owned());
    match tree.meta(name) {
        Ok(meta) if meta.is_file() && meta.size > MAX_FILE => {
            let stamp = meta.stamp();
            let text = format!(
                "this file is too large to be recorded ({} bytes, inode {}, changed {})",
                stamp.size, stamp.ino, stamp.changed_ns
            );
            plan.placeholders.insert(name.to_vec(), ("is too large to be recorded", text));
        }
        Ok(meta) if meta.is_file() && tree.file(name).is_err() => {
            plan.placeholders.insert(name.to_vec(), unreadable);
        }
        Ok(meta) if meta.kind == jobfs::Kind::Special => {
            plan.unrecorded.insert(name.to_vec(), "is a pipe, socket or device".into());
            plan.remove.push(name.to_vec());
        }
        Ok(_) => plan.add.push(name.to_vec()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            plan.placeholders.insert(name.to_vec(), unreadable);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => plan.add.push(name.to_vec()),
        // A parent became a link or a file: what one sees through it is another file.
        Err(_) => plan.remove.push(name.to_vec()),
    }
}
