//! The host-owned git directory in which trees are recorded. New objects always go to its own
//! store; the repository's objects are only read, and only where the tree before the job is
//! read. What is recorded into it is `root`'s.

use std::path::{Path, PathBuf};

use jobfs::Tree;
use jobfs::own as fs;
use serde::{Deserialize, Serialize};

use super::discover::Repository;
use super::git::{Git, Input};
use super::{Result, io};

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

/// Conversion of line ends and encodings works as the repository says; what starts a program
/// does not.
const NO_PROGRAMS: &str = "* !filter !diff !merge !export-ignore\n";

impl Shadow {
    /// Takes over a repository's `info/attributes`.
    pub(super) fn set_attributes(&self, own: &[u8]) -> Result<()> {
        let path = self.git_dir.join("info/attributes");
        fs::write(&path, [own, b"\n", NO_PROGRAMS.as_bytes()].concat()).map_err(io("writing", &path))
    }

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
        let files: [(&str, &str); 3] =
            [("config", &config), ("HEAD", "ref: refs/heads/none\n"), ("info/attributes", NO_PROGRAMS)];
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

/// A tree with fewer directories is written as quickly as it is copied.
const FEW_TREES: usize = 64;

/// Copies the directories of the checked-out commit into the shadow as one pack, so that
/// `write-tree` need not write thousands of files. `index-pack` names each object by its
/// content, so a forged one does not get in under its claimed name.
pub(super) fn copy_trees(shadow: &Shadow, repository: &Repository) -> Result<()> {
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

/// An index of a repository that is larger than this is not used: the first record then reads
/// every file.
const MAX_INDEX: u64 = 1 << 30;

/// Copies a repository's index (and its shared part) and keeps its time, by which git tells
/// entries that may have changed within the same clock tick.
pub(super) fn copy_index(git_dir: &Path, to: &Path, shadow_dir: &Path) -> Result<()> {
    let Ok(tree) = Tree::open(git_dir) else { return Ok(()) };
    let copy = |name: &[u8], to: &Path| -> Result<()> {
        let Ok(mut from) = tree.file(name) else { return Ok(()) };
        let meta = from.metadata().map_err(io("reading", git_dir))?;
        if meta.len() > MAX_INDEX {
            return Ok(());
        }
        let mut copy = fs::create(to).map_err(io("creating", to))?;
        let limited = &mut std::io::Read::take(&mut from, MAX_INDEX);
        std::io::copy(limited, &mut copy).map_err(io("copying", to))?;
        let written = meta.modified().map_err(io("reading", git_dir))?;
        copy.set_modified(written).map_err(io("setting the time of", to))
    };
    copy(b"index", to)?;
    for entry in tree.entries(b"").unwrap_or_default() {
        let to = shadow_dir.join(super::names::path(&entry.name));
        // Named by its content: one that is there is the same, and git may be reading it.
        if entry.name.starts_with(b"sharedindex.") && !fs::is_there(&to) {
            copy(&entry.name, &to)?;
        }
    }
    Ok(())
}
