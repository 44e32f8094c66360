//! The host-owned git directory in which trees are recorded, and the directories (roots)
//! that are recorded into it. New objects always go to its own store; the repository's
//! objects are only read, and only where the tree before the job is read.
//!
//! Why not one `git add -A`: it starts `git status` inside every submodule, which obeys
//! the submodule's own configuration and so runs what a job planted there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::discover::Repository;
use super::git::{Git, GitError, Input, split_z};
use super::{Error, Result, io, names};

/// A git directory of the host's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// Where it lies.
    pub git_dir: PathBuf,
    /// `sha1` or `sha256`.
    pub object_format: String,
    /// Object directories of the user's repositories.
    pub read_from: Vec<PathBuf>,
}

impl Shadow {
    /// Makes a new one at `git_dir`; what was there is replaced.
    pub fn create(git_dir: &Path, object_format: &str, read_from: Vec<PathBuf>) -> Result<Self> {
        if git_dir.exists() {
            fs::remove_dir_all(git_dir).map_err(io("removing", git_dir))?;
        }
        for dir in ["objects/info", "objects/pack", "refs/heads", "info"] {
            let path = git_dir.join(dir);
            fs::create_dir_all(&path).map_err(io("creating", &path))?;
        }
        let extension = match object_format {
            "sha1" => ("0", String::new()),
            other => ("1", format!("[extensions]\n\tobjectFormat = {other}\n")),
        };
        // Not synced: after a power cut the job is gone, and so may be its evidence. Names
        // that git would refuse on Windows or macOS must be recordable here.
        let config = format!(
            "[core]\n\trepositoryFormatVersion = {}\n\tbare = true\n\tfileMode = true\n\tfsync = none\n\
             \tlooseCompression = 1\n\tcompression = 1\n\tbigFileThreshold = 32m\n\tprotectNTFS = false\n\
             \tprotectHFS = false\n\tlogAllRefUpdates = false\n{}",
            extension.0, extension.1
        );
        let files: [(&str, &str); 3] = [
            ("config", &config),
            ("HEAD", "ref: refs/heads/none\n"),
            // Line-end conversion works as the repository says; nothing else does.
            ("info/attributes", "* !filter !diff !merge !export-ignore\n"),
        ];
        for (file, text) in files {
            let path = git_dir.join(file);
            fs::write(&path, text).map_err(io("writing", &path))?;
        }
        Ok(Shadow { git_dir: git_dir.to_owned(), object_format: object_format.to_owned(), read_from })
    }

    /// A call that sees only the shadow's own objects.
    pub fn git(&self, verb: &str) -> Git {
        Git::new(verb).git_dir(&self.git_dir).dir(&self.git_dir)
    }

    /// A call that also reads the repositories' objects.
    pub fn reading(&self, verb: &str) -> Git {
        self.git(verb).read_objects(&self.read_from)
    }

    /// The tree with nothing in it.
    pub fn empty_tree(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.git("mktree").output()?).trim().to_owned())
    }
}

/// One directory that is recorded, with an index of its own in the shadow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The work tree; absolute.
    pub dir: PathBuf,
    /// Where it lies below the recorder's top; empty for the top itself.
    pub prefix: Vec<u8>,
    /// Its index file in the shadow.
    pub index: PathBuf,
    /// The repository, if it is one.
    pub repository: Option<Repository>,
    /// What is looked at, relative to `dir`; everything when empty.
    pub pathspecs: Vec<Vec<u8>>,
    /// It lies inside another root: a submodule or a nested repository.
    pub nested: bool,
    /// `-c` settings of line ends and names, as the repository had them at the start.
    pub settings: Vec<String>,
    /// The ignore rules outside the work tree, as they were at the start.
    pub excludes: PathBuf,
}

/// What one look at a root brought.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Its tree.
    pub tree: String,
    /// Paths that could not be recorded, with the reason.
    pub unrecorded: BTreeMap<Vec<u8>, String>,
}

/// How often a look is tried.
const LOOKS: u32 = 8;

/// Settings that change what a file's recorded content is; everything else stays out.
const SETTINGS: &[&str] =
    &["core.autocrlf", "core.eol", "core.ignorecase", "core.precomposeunicode", "core.symlinks"];

impl Root {
    /// Prepares `dir` for being recorded: its index is copied, its settings and the ignore
    /// rules outside the work tree are frozen. `number` names its files in the shadow.
    pub fn prepare(
        shadow: &Shadow,
        number: usize,
        dir: PathBuf,
        prefix: Vec<u8>,
        repository: Option<Repository>,
        pathspecs: Vec<Vec<u8>>,
        nested: bool,
    ) -> Result<Root> {
        let mut root = Root {
            index: shadow.git_dir.join(format!("index.{number}")),
            excludes: shadow.git_dir.join(format!("excludes.{number}")),
            dir,
            prefix,
            repository,
            pathspecs,
            nested,
            settings: Vec::new(),
        };
        let mut excludes = Vec::new();
        if let Some(repository) = &root.repository {
            let asked = format!("^({})$", SETTINGS.join("|").replace('.', "\\."));
            let listed = Git::new("config")
                .args(["-z", "--includes", "--get-regexp"])
                .arg(format!("{}|^core\\.excludesfile$", asked.to_lowercase()))
                .git_dir(&repository.git_dir)
                .with_user_config()
                .run(Input::Null)?;
            let mut global = directories::BaseDirs::new().map(|d| d.config_dir().join("git/ignore"));
            for entry in split_z(&listed.stdout) {
                let text = String::from_utf8_lossy(entry);
                let (key, value) = text.split_once('\n').unwrap_or((&text, "true"));
                if key.eq_ignore_ascii_case("core.excludesfile") {
                    global = Some(match value.strip_prefix("~/") {
                        Some(rest) => directories::BaseDirs::new()
                            .map(|d| d.home_dir().join(rest))
                            .unwrap_or_else(|| PathBuf::from(value)),
                        None => root.dir.join(value),
                    });
                } else if value.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    root.settings.push(format!("{key}={value}"));
                }
            }
            for file in global.into_iter().chain([repository.common_dir.join("info/exclude")]) {
                if fs::metadata(&file).is_ok_and(|m| m.is_file() && m.len() < 1 << 20) {
                    excludes.extend(fs::read(&file).unwrap_or_default());
                    excludes.push(b'\n');
                }
            }
            copy_index(&repository.git_dir, &root.index, &shadow.git_dir)?;
        }
        fs::write(&root.excludes, excludes).map_err(io("writing", &root.excludes))?;
        Ok(root)
    }

    /// The directories of the checked-out commit, so that the first tree need not be written.
    pub fn copy_trees(&self, shadow: &Shadow) -> Result<()> {
        self.repository.as_ref().map_or(Ok(()), |repository| copy_trees(shadow, repository))
    }

    fn git(&self, shadow: &Shadow, verb: &str) -> Git {
        let mut git = shadow.git(verb).work_tree(&self.dir).dir(&self.dir).index(&self.index);
        for setting in &self.settings {
            git = git.config(setting);
        }
        git
    }

    fn excludes_args(&self) -> [std::ffi::OsString; 2] {
        let mut from = std::ffi::OsString::from("--exclude-from=");
        from.push(&self.excludes);
        ["--exclude-per-directory=.gitignore".into(), from]
    }

    fn pathspec_args(&self) -> Vec<PathBuf> {
        self.pathspecs.iter().map(|p| names::path(p)).collect()
    }

    /// Does something say that files here end their lines with CR and LF? `dir` stands for
    /// this root's directory.
    pub fn asks_for_crlf(&self, dir: &Path, name: &[u8]) -> bool {
        let set = |setting: &String| {
            let lower = setting.to_ascii_lowercase();
            matches!(lower.as_str(), "core.autocrlf=true" | "core.eol=crlf")
        };
        let says = |dir: &Path| {
            let file = dir.join(".gitattributes");
            fs::symlink_metadata(&file).is_ok_and(|m| m.is_file() && m.len() < 1 << 20)
                && fs::read(&file).is_ok_and(|text| text.windows(4).any(|w| w == b"crlf"))
        };
        let path = names::path(name);
        self.settings.iter().any(set) || path.ancestors().skip(1).any(|above| says(&dir.join(above)))
    }

    /// A recorded file as git would write it into `dir`, by the attributes that stand there.
    pub fn written(&self, shadow: &Shadow, id: &str, name: &[u8], dir: &Path) -> Result<Vec<u8>> {
        let mut path = std::ffi::OsString::from("--path=");
        path.push(names::path(name));
        let mut git = shadow.reading("cat-file").work_tree(dir).dir(dir).index(&self.index);
        for setting in &self.settings {
            git = git.config(setting);
        }
        Ok(git.arg("--filters").arg(path).arg(id).output()?)
    }

    /// Is the work tree still a directory? One that became a symlink is not looked through.
    pub fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.dir).is_ok_and(|m| m.is_dir())
    }

    /// Is `name` (relative to the root) looked at?
    pub fn covers(&self, name: &[u8]) -> bool {
        self.pathspecs.is_empty() || self.pathspecs.iter().any(|p| names::below(name, p).is_some())
    }

    /// Takes marks out of the copied index that would make git look away: assume-unchanged,
    /// and skip-worktree on files that are there. Gives the paths with merge conflicts.
    fn unmark(&self, shadow: &Shadow) -> Result<Vec<Vec<u8>>> {
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
                b'S' if fs::symlink_metadata(self.dir.join(names::path(name))).is_ok() => {
                    skipped.extend_from_slice(name);
                    skipped.push(0);
                }
                b'S' => any_left_out = true,
                b'M' => unmerged.push(name.to_vec()),
                _ => {}
            }
        }
        if any_left_out {
            let mark = self.skipped_mark();
            fs::write(&mark, []).map_err(io("writing", &mark))?;
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

    /// The first look, before the job.
    pub fn first(&self, shadow: &Shadow, nested: &BTreeSet<Vec<u8>>) -> Result<Snapshot> {
        let unmerged = if self.index.exists() { self.unmark(shadow)? } else { Vec::new() };
        self.look(shadow, None, unmerged, nested, true)
    }

    /// A later look. `listed` is what [`Root::list`] gave, `also` names paths that it
    /// leaves out.
    pub fn again(
        &self,
        shadow: &Shadow,
        listed: Option<Vec<u8>>,
        also: Vec<Vec<u8>>,
        nested: &BTreeSet<Vec<u8>>,
    ) -> Result<Snapshot> {
        let mut also = also;
        // Files left out by a sparse checkout that are there now.
        if self.skipped_mark().exists() {
            let mut present = Vec::new();
            let listed = self.git(shadow, "ls-files").args(["-t", "-z"]).output()?;
            for line in split_z(&listed) {
                if let Some(name) = line.strip_prefix(b"S ")
                    && fs::symlink_metadata(self.dir.join(names::path(name))).is_ok()
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
        self.look(shadow, listed, also, nested, false)
    }

    fn skipped_mark(&self) -> PathBuf {
        self.index.with_added_extension("skipped")
    }

    /// A file that changes while git reads it makes git give up: then the look is taken
    /// again. Without isolation the user may be at work in the same directory.
    fn look(
        &self,
        shadow: &Shadow,
        mut listed: Option<Vec<u8>>,
        also: Vec<Vec<u8>>,
        nested: &BTreeSet<Vec<u8>>,
        refresh: bool,
    ) -> Result<Snapshot> {
        let mut pause = std::time::Duration::from_millis(20);
        for _ in 1..LOOKS {
            match self.look_once(shadow, listed.take(), &also, nested, refresh) {
                Err(Error::Git(GitError::Failed { .. })) => {}
                done => return done,
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
        self.look_once(shadow, None, &also, nested, refresh)
    }

    /// What git lists as changed, gone or new, each name ended by NUL.
    pub fn list(&self, shadow: &Shadow) -> Result<Vec<u8>> {
        let git = self.git(shadow, "ls-files").args(["-z", "-m", "-d", "-o"]).args(self.excludes_args());
        Ok(git.arg("--").args(self.pathspec_args()).output()?)
    }

    fn look_once(
        &self,
        shadow: &Shadow,
        listed: Option<Vec<u8>>,
        also: &[Vec<u8>],
        nested: &BTreeSet<Vec<u8>>,
        refresh: bool,
    ) -> Result<Snapshot> {
        let listed = match listed {
            Some(listed) => listed,
            None => self.list(shadow)?,
        };
        let mut names: BTreeSet<Vec<u8>> = split_z(&listed).map(<[u8]>::to_vec).collect();
        names.extend(also.iter().filter(|n| self.covers(n)).cloned());
        let mut plan = Plan::default();
        let mut real_dirs = BTreeMap::new();
        for name in names {
            if name.ends_with(b"/") || nested.contains(&name) {
                continue; // a nested repository: a root of its own, or expanded by the caller
            }
            self.sort_in(&name, &mut real_dirs, &mut plan);
        }
        if !plan.index_info.is_empty() || !plan.unreadable.is_empty() {
            let mut info = plan.index_info;
            let zero = "0".repeat(if shadow.object_format == "sha256" { 64 } else { 40 });
            let mut lines = Vec::new();
            for name in &plan.unreadable {
                let text = format!("codex-worker: this file could not be read\n{}\n", names::escape(name));
                let id = self
                    .git(shadow, "hash-object")
                    .args(["-w", "--no-filters", "--stdin"])
                    .output_with(Input::Bytes(text.into_bytes()))?;
                lines.extend_from_slice(
                    format!("100644 {}\t", String::from_utf8_lossy(&id).trim()).as_bytes(),
                );
                lines.extend_from_slice(name);
                lines.push(0);
                plan.unrecorded.insert(name.clone(), "cannot be read".into());
            }
            for name in info.drain(..) {
                lines.extend_from_slice(format!("0 {zero}\t").as_bytes());
                lines.extend_from_slice(&name);
                lines.push(0);
            }
            self.git(shadow, "update-index").args(["-z", "--index-info"]).output_with(Input::Bytes(lines))?;
        }
        if refresh || !plan.stdin.is_empty() {
            let mut git = self.git(shadow, "update-index").arg("-q");
            if refresh {
                git = git.arg("--refresh");
            }
            let out = git
                .args(["--add", "--remove", "--replace", "-z", "--stdin"])
                .run(Input::Bytes(plan.stdin))?;
            // The refresh says 1 for entries that it cannot refresh, such as conflicts.
            let refreshed = refresh && out.code == Some(1) && out.stderr.is_empty();
            if out.code != Some(0) && !refreshed {
                return Err(super::git::failed("update-index".into(), &out).into());
            }
        }
        let tree = self.git(shadow, "write-tree").arg("--missing-ok").line()?;
        Ok(Snapshot { tree, unrecorded: plan.unrecorded })
    }

    /// Decides how one path goes into the index.
    fn sort_in(&self, name: &[u8], real_dirs: &mut BTreeMap<Vec<u8>, bool>, plan: &mut Plan) {
        if name.split(|b| *b == b'/').any(|part| part.eq_ignore_ascii_case(b".git")) {
            plan.unrecorded.insert(name.to_vec(), "git refuses this name".into());
            return;
        }
        if !self.below_real_dirs(name, real_dirs) {
            // A parent became a symlink: what one sees through it is another file.
            plan.index_info.push(name.to_vec());
            return;
        }
        let path = self.dir.join(names::path(name));
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() => {
                // Not to be blocked by a pipe that came into its place this moment.
                let options = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
                if rustix::fs::open(&path, options, rustix::fs::Mode::empty()).is_err() {
                    plan.unreadable.push(name.to_vec());
                    return;
                }
            }
            Ok(meta) if meta.is_symlink() || meta.is_dir() => {}
            Ok(_) => {
                plan.unrecorded.insert(name.to_vec(), "is a pipe, socket or device".into());
                plan.index_info.push(name.to_vec());
                return;
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                plan.unreadable.push(name.to_vec());
                return;
            }
            Err(_) => {}
        }
        plan.stdin.extend_from_slice(name);
        plan.stdin.push(0);
    }

    fn below_real_dirs(&self, name: &[u8], known: &mut BTreeMap<Vec<u8>, bool>) -> bool {
        for (at, _) in name.iter().enumerate().filter(|(_, b)| **b == b'/') {
            let dir = &name[..at];
            let real = *known.entry(dir.to_vec()).or_insert_with(|| {
                !fs::symlink_metadata(self.dir.join(names::path(dir))).is_ok_and(|m| m.is_symlink())
            });
            if !real {
                return false;
            }
        }
        true
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

#[derive(Default)]
struct Plan {
    /// Paths to add, update or remove, each ended by NUL.
    stdin: Vec<u8>,
    /// Paths to take out of the index without looking at the disk.
    index_info: Vec<Vec<u8>>,
    unreadable: Vec<Vec<u8>>,
    unrecorded: BTreeMap<Vec<u8>, String>,
}

/// A tree with fewer directories is written as quickly as it is copied.
const FEW_TREES: usize = 64;

/// Copies the directories of the checked-out commit into the shadow as one pack, so that
/// `write-tree` need not write thousands of files. `index-pack` names each object by its
/// content, so a forged one does not get in under its claimed name.
fn copy_trees(shadow: &Shadow, repository: &Repository) -> Result<()> {
    let listed = Git::new("ls-tree")
        .args(["-r", "-d", "--object-only", "HEAD"])
        .git_dir(&repository.git_dir)
        .with_user_config()
        .run(Input::Null)?;
    // An unborn branch, or a partial clone without its trees: `write-tree` does the work.
    if listed.code != Some(0) || listed.stdout.iter().filter(|b| **b == b'\n').count() < FEW_TREES {
        return Ok(());
    }
    let pack = shadow
        .reading("pack-objects")
        .args(["-q", "--window=0", "--threads=1", "--stdout"])
        .run(Input::Bytes(listed.stdout))?;
    if pack.code == Some(0) {
        shadow.git("index-pack").args(["--stdin", "--threads=1"]).output_with(Input::Bytes(pack.stdout))?;
    }
    Ok(())
}

/// Copies a repository's index (and its shared part) and keeps its time, by which git tells
/// entries that may have changed within the same clock tick.
fn copy_index(git_dir: &Path, to: &Path, shadow_dir: &Path) -> Result<()> {
    let from = git_dir.join("index");
    if !fs::symlink_metadata(&from).is_ok_and(|m| m.is_file()) {
        return Ok(());
    }
    let written = fs::metadata(&from).and_then(|m| m.modified()).map_err(io("reading", &from))?;
    fs::copy(&from, to).map_err(io("copying", &from))?;
    let copy = fs::OpenOptions::new().write(true).open(to).map_err(io("opening", to))?;
    copy.set_modified(written).map_err(io("setting the time of", to))?;
    for entry in fs::read_dir(git_dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_bytes().starts_with(b"sharedindex.") && entry.file_type().is_ok_and(|t| t.is_file()) {
            let target = shadow_dir.join(&name);
            fs::copy(entry.path(), &target).map_err(io("copying", &entry.path()))?;
        }
    }
    Ok(())
}
