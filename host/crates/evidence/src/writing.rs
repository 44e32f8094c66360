//! Recorded trees on their way out: as a patch, into a directory of their own, over one, or
//! back into the live one. Objects are checked against their names, and nothing is written
//! through a symlink, also while somebody makes one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::ErrorKind;
use std::path::Path;

use jobfs::Tree;
use jobfs::own as fs;

use super::attributes::{Attributes, Conversion};
use super::changes::{self, Objects};
use super::git::split_z;
use super::shadow::Shadow;
use super::{Error, Recorded, Recorder, Result, internals, io, names};

/// Holds the tree that the directories shall be again; beside the record.
const OVERLAID: &str = "laid";
/// Where ignored files are while they are out of the way.
const ASIDE: &str = ".codex-worker-aside";
/// Bytes of a file that a patch holds at most in binary form.
const LARGE_BINARY: u64 = 32 << 20;

impl Recorder {
    /// Makes the directories `tree` again: whatever differs is written or removed.
    pub fn restore_tree(&self, tree: &str) -> Result<()> {
        let now = self.snapshot()?.tree;
        let names: Vec<Vec<u8>> = changes::names_only(&self.record.shadow, tree, &now)?
            .into_iter()
            .map(|change| change.name)
            .collect();
        self.put(tree, &names, &self.record.top)
    }

    /// Makes `wanted` (names below the top) in `into` what they are in `tree`. `into` has no
    /// link in its path.
    pub fn put(&self, tree: &str, wanted: &[Vec<u8>], into: &Path) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let into = self.open(into)?;
        let interrupt = super::Interrupt::current();
        self.check_objects()?;
        let objects = Objects::open(&self.record.shadow)?;
        let entries = entries(&self.record.shadow, tree, wanted)?;
        let checkout = self.checkout(tree);
        for name in wanted {
            interrupt.check()?;
            let mut below = entries.iter().filter(|(n, _)| names::below(n, name).is_some()).peekable();
            if below.peek().is_none() {
                remove(&into, name)?;
            }
            for (name, (mode, id)) in below {
                make_room(&into, name)?;
                if *mode == 0o160000 {
                    into.make_dirs(name).map_err(io("creating", &into.path().join(names::path(name))))?;
                    continue;
                }
                let content = checkout.content(objects.read(id)?, *mode, id, name)?;
                write_entry(&into, name, *mode, &content)?;
            }
        }
        Ok(())
    }

    /// Opens a directory that is written to. The recorded one must be the one that it was.
    fn open(&self, dir: &Path) -> Result<Tree> {
        let root = self.record.roots.iter().find(|root| root.dir == dir);
        let opened = root.map_or_else(|| Tree::open(dir), |root| root.open());
        opened.map_err(|_| Error::InTheWay(dir.display().to_string()))
    }

    /// The files of a recorded tree as a checkout writes them.
    pub fn checkout(&self, tree: &str) -> Checkout<'_> {
        Checkout { recorder: self, tree: tree.to_owned(), roots: RefCell::default() }
    }

    /// The contents of files (as the change set names them) in a recorded tree; none for one
    /// that is no file there, or larger than `max` bytes.
    pub fn contents(&self, tree: &str, path: &[String], max: u64) -> Result<Vec<Option<Vec<u8>>>> {
        let wanted: Vec<Vec<u8>> = path.iter().map(|path| self.name_of(path)).collect::<Result<_>>()?;
        self.check_objects()?;
        let entries = entries(&self.record.shadow, tree, &wanted)?;
        let objects = Objects::open(&self.record.shadow)?;
        let read = |name: &Vec<u8>| match entries.get(name) {
            Some((mode, id)) if mode & 0o170000 == 0o100000 && objects.size(id)? <= max => {
                objects.read(id).map(Some)
            }
            _ => Ok(None),
        };
        wanted.iter().map(read).collect()
    }

    /// Writes into files that are there in `into` (which stands for [`Recorder::top`]);
    /// paths as the change set names them. Nothing is written through a symlink.
    pub fn rewrite(&self, files: &[(String, Vec<u8>)], into: &Path) -> Result<()> {
        let into = self.open(into)?;
        for (display, content) in files {
            let name = self.name_of(display)?;
            let Some(meta) = into.meta(&name).ok().filter(jobfs::Meta::is_file) else {
                return Err(Error::InTheWay(display.clone()));
            };
            let written = into.replace(&name, content, meta.mode);
            written.map_err(io("writing", &into.path().join(names::path(&name))))?;
        }
        Ok(())
    }

    /// Overlays `paths` of the base and the content of `files` onto the directories, which hold
    /// `tree`, and puts the files that git ignores at `aside` out of the way. A note beside the
    /// record makes [`Recorder::remove_overlay`], and the next look by whatever process, undo it.
    pub fn overlay_base(
        &self,
        tree: &str,
        paths: &[String],
        files: &[(String, Vec<u8>)],
        aside: &[String],
    ) -> Result<()> {
        let note = self.state.join(OVERLAID);
        // Names as the change set tells them hold no line ends.
        let lines: Vec<&str> = std::iter::once(tree).chain(aside.iter().map(String::as_str)).collect();
        fs::write(&note, lines.join("\n")).map_err(io("writing", &note))?;
        let written = self
            .put_aside(aside)
            .and_then(|()| self.restore(paths))
            .and_then(|()| self.rewrite(files, &self.record.top));
        if written.is_err() {
            self.remove_overlay()?;
        }
        written
    }

    /// Undoes [`Recorder::overlay_base`], if it was done.
    pub fn remove_overlay(&self) -> Result<()> {
        let note = self.state.join(OVERLAID);
        match fs::read_to_string(&note) {
            Ok(text) => {
                let mut lines = text.lines();
                let tree = lines.next().unwrap_or_default();
                let aside: Vec<String> = lines.map(str::to_owned).collect();
                self.take_back(&aside)?;
                self.restore_tree(tree)?;
                fs::remove_file(&note).map_err(io("removing", &note))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io("reading", &note)(error)),
        }
    }

    /// Renames each into a directory of the host's at the top, by its number.
    fn put_aside(&self, aside: &[String]) -> Result<()> {
        if aside.is_empty() {
            return Ok(());
        }
        let top = self.open(&self.record.top)?;
        let dir = top.path().join(ASIDE);
        remove(&top, ASIDE.as_bytes())?;
        top.make_dir(ASIDE.as_bytes()).map_err(io("creating", &dir))?;
        for (number, told) in aside.iter().enumerate() {
            let name = self.name_of(told)?;
            if top.meta(&name).is_ok() {
                let to = format!("{ASIDE}/{number}");
                top.rename(&name, to.as_bytes())
                    .map_err(io("renaming", &top.path().join(names::path(&name))))?;
            }
        }
        Ok(())
    }

    fn take_back(&self, aside: &[String]) -> Result<()> {
        if aside.is_empty() {
            return Ok(());
        }
        let top = self.open(&self.record.top)?;
        for (number, told) in aside.iter().enumerate() {
            let (name, from) = (self.name_of(told)?, format!("{ASIDE}/{number}"));
            if top.meta(from.as_bytes()).is_ok() {
                make_room(&top, &name)?;
                remove(&top, &name)?;
                let path = top.path().join(names::path(&name));
                top.rename(from.as_bytes(), &name).map_err(io("renaming", &path))?;
            }
        }
        remove(&top, ASIDE.as_bytes())
    }

    /// The whole change as a patch that `git apply` takes at [`Recorder::top`], binary files
    /// included; cut at a file's or hunk's border if longer than `max` bytes.
    pub fn patch(&self, recorded: &Recorded, max: usize) -> Result<Vec<u8>> {
        // Git would hold a very large file in memory to write it out; then binary files are
        // only named.
        let binary = recorded.changes.files.iter().all(|file| file.size <= LARGE_BINARY);
        let whole = self.diff(&self.record.base_tree, &recorded.tree, max, binary);
        if whole.is_err() && (self.record.read_from_is_gone() || self.check_objects().is_err()) {
            // The job removed the repository: what is known is which files changed.
            let lines = recorded.stat.iter().map(|s| format!("# {s} (the old content is gone)\n"));
            return Ok(lines.collect::<String>().into_bytes());
        }
        whole
    }

    /// [`Recorder::patch`] between any two recorded trees.
    pub fn patch_between(&self, from: &str, to: &str, max: usize) -> Result<Vec<u8>> {
        self.diff(from, to, max, true)
    }

    fn diff(&self, from: &str, to: &str, max: usize, binary: bool) -> Result<Vec<u8>> {
        self.check_objects()?;
        let text = self
            .record
            .shadow
            .reading("diff-tree")
            .args(["-r", "-p", "-M", "--full-index", "--no-ext-diff", "--no-textconv"])
            .args(binary.then_some("--binary"))
            .args([from, to])
            .output()?;
        if text.len() <= max {
            return Ok(text);
        }
        Ok(super::patch::trim(&String::from_utf8_lossy(&text), max).text.into_bytes())
    }

    /// Writes a recorded tree into a new directory `name` of `parent`, which stands for
    /// [`Recorder::top`]. No contained process may write `parent`; something of that name is
    /// an error. No git directory comes with it.
    pub fn materialise(&self, tree: &str, parent: &Path, name: &str) -> Result<()> {
        let made = Tree::make(parent, name).map_err(io("creating", &parent.join(name)))?;
        let into = made.path();
        let index = self.record.shadow.git_dir.join(format!("out.{}", std::process::id()));
        let mut git = self.record.shadow.reading("read-tree");
        if let Some(root) = self.record.roots.first() {
            let attributes = root.attributes.as_ref().map(Attributes::setting);
            for setting in root.settings.iter().cloned().chain(attributes) {
                git = git.config(&setting);
            }
        }
        let written = git.args(["--reset", "-u", tree]).index(&index).work_tree(into).dir(into).output();
        let _ = fs::remove_file(&index);
        written.map(|_| ()).map_err(Error::from)
    }

    /// Makes `paths` (as the change set names them) in `into`, which stands for
    /// [`Recorder::top`], what they are in `tree`: written, replaced, or removed if `tree`
    /// has them not. Objects are checked against their names on the way.
    pub fn overlay(&self, tree: &str, paths: &[String], into: &Path) -> Result<()> {
        let mut wanted = Vec::new();
        for path in paths {
            wanted.push(self.name_of(path)?);
        }
        self.put(tree, &wanted, into)
    }

    /// Puts `paths` (as the change set names them) of the live directory back to the base.
    pub fn restore(&self, paths: &[String]) -> Result<()> {
        self.overlay(&self.record.base_tree, paths, &self.record.top)
    }

    /// The repositories' objects can be read without waiting for anybody.
    fn check_objects(&self) -> Result<()> {
        match internals::objects_are_plain(&self.record.shadow.read_from)? {
            true => Ok(()),
            false => Err(Error::Pipe("something among the repository's objects".into())),
        }
    }

    /// The files of a recorded tree, as the change set names them.
    pub fn paths(&self, tree: &str) -> Result<Vec<String>> {
        let listed =
            self.record.shadow.reading("ls-tree").args(["-r", "-z", "--full-tree", tree]).output()?;
        split_z(&listed)
            .map(|line| {
                let (name, _, _) = tree_line(line)?;
                Ok(names::escape(&names::relative(&name, &self.record.base)))
            })
            .collect()
    }

    /// The recorded name of a path as the change set has it.
    pub fn name_of(&self, path: &str) -> Result<Vec<u8>> {
        let outside = || Error::Outside(path.to_owned());
        let name = names::absolute(&names::unescape(path), &self.record.base).ok_or_else(outside)?;
        let git = name.split(|b| *b == b'/').any(|p| p.eq_ignore_ascii_case(b".git"));
        if name.is_empty() || git || self.record.owner(&name).is_none() {
            return Err(outside());
        }
        Ok(name)
    }
}

/// The files of one recorded tree as a checkout would write them: in the line ends and the
/// encoding that the attributes in that tree ask for. Every filter is left out.
#[derive(Debug)]
pub struct Checkout<'r> {
    recorder: &'r Recorder,
    tree: String,
    /// By the number of the root.
    roots: RefCell<BTreeMap<usize, Option<Conversion>>>,
}

impl Checkout<'_> {
    /// The content of the file `name`, whose object is `id`.
    pub fn content(&self, content: Vec<u8>, mode: u32, id: &str, name: &[u8]) -> Result<Vec<u8>> {
        let record = &self.recorder.record;
        let Some((at, rest)) = record.owner(name) else { return Ok(content) };
        if mode & 0o170_000 != 0o100_000 || content.is_empty() {
            return Ok(content);
        }
        let mut roots = self.roots.borrow_mut();
        let conversion = match roots.entry(at) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.conversion(at)?),
        };
        match conversion {
            Some(conversion) => conversion.written(&record.shadow, id, &rest, content),
            None => Ok(content),
        }
    }

    fn conversion(&self, at: usize) -> Result<Option<Conversion>> {
        let (shadow, root) = (&self.recorder.record.shadow, &self.recorder.record.roots[at]);
        let Some(attributes) = &root.attributes else { return Ok(None) };
        if root.prefix.is_empty() {
            return attributes.conversion(shadow, &self.tree, &root.settings);
        }
        let listed = shadow.reading("ls-tree").args(["-d", "-z", "--full-tree", &self.tree, "--"]);
        let listed = listed.arg(names::path(&root.prefix)).output()?;
        match split_z(&listed).next() {
            Some(line) => attributes.conversion(shadow, &tree_line(line)?.2, &root.settings),
            // Nothing of the root is in the tree.
            None => Ok(None),
        }
    }
}

/// What `tree` has at `wanted` (names below its top) and below them: mode and object id.
pub fn entries(shadow: &Shadow, tree: &str, wanted: &[Vec<u8>]) -> Result<BTreeMap<Vec<u8>, (u32, String)>> {
    let mut entries = BTreeMap::new();
    for piece in wanted.chunks(500) {
        let listed = shadow
            .reading("ls-tree")
            .args(["-r", "-z", "--full-tree", tree, "--"])
            .args(piece.iter().map(|n| names::path(n)))
            .output()?;
        for line in split_z(&listed) {
            let (name, mode, id) = tree_line(line)?;
            entries.insert(name, (mode, id));
        }
    }
    Ok(entries)
}

/// `100644 blob <id>\t<name>` as `ls-tree -z` prints it.
pub fn tree_line(line: &[u8]) -> Result<(Vec<u8>, u32, String)> {
    let bad = || Error::Answer("ls-tree");
    let tab = line.iter().position(|b| *b == b'\t').ok_or_else(bad)?;
    let text = std::str::from_utf8(&line[..tab]).map_err(|_| bad())?;
    let mut parts = text.split(' ');
    let (mode, _kind, id) = (parts.next(), parts.next(), parts.next().ok_or_else(bad)?);
    let mode = u32::from_str_radix(mode.unwrap_or_default(), 8).map_err(|_| bad())?;
    Ok((line[tab + 1..].to_vec(), mode, id.to_owned()))
}

/// Takes `name` away below `top` without going through a symlink.
fn remove(top: &Tree, name: &[u8]) -> Result<()> {
    let path = top.path().join(names::path(name));
    match top.meta(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // A parent is a link or a file: what one sees there is elsewhere.
        Err(error) if is_no_directory(&error) => Ok(()),
        _ => top.remove(name).map_err(io("removing", &path)),
    }
}

/// A link or a file where a directory was passed through.
fn is_no_directory(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::LOOP | Errno::NOTDIR | Errno::MLINK))
}

/// Clears the way to `name`. Symlinks and files where a directory must be are replaced, so
/// that nothing is ever written through them.
fn make_room(top: &Tree, name: &[u8]) -> Result<()> {
    for (at, _) in name.iter().enumerate().filter(|(_, b)| **b == b'/') {
        let dir = &name[..at];
        let path = top.path().join(names::path(dir));
        match top.meta(dir) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                top.remove_file(dir).map_err(io("removing", &path))?;
                top.make_dir(dir).map_err(io("creating", &path))?;
            }
            Err(_) => top.make_dir(dir).map_err(io("creating", &path))?,
        }
    }
    Ok(())
}

fn write_entry(top: &Tree, name: &[u8], mode: u32, content: &[u8]) -> Result<()> {
    let path = top.path().join(names::path(name));
    if mode == 0o120000 {
        top.remove(name).map_err(io("removing", &path))?;
        return top.symlink(content, name).map_err(io("linking", &path));
    }
    if top.meta(name).is_ok_and(|meta| meta.is_dir()) {
        top.remove(name).map_err(io("removing", &path))?;
    }
    let bits = if mode & 0o111 != 0 { 0o755 } else { 0o644 };
    top.replace(name, content, bits).map_err(io("writing", &path))
}
