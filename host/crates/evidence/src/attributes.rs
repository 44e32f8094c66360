//! git's attributes in a repository, by every source: the tree's `.gitattributes`, the
//! repository's `info/attributes`, the user's and the system's files. Which files go through a
//! filter of the user's (git-lfs, git-crypt), and whether files are converted at all. Nothing
//! here runs a filter, and nothing of a work tree is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use jobfs::Tree;
use jobfs::own as fs;
use serde::{Deserialize, Serialize};

use super::changes::Objects;
use super::git::{Git, Input, split_z};
use super::shadow::Shadow;
use super::writing::tree_line;
use super::{Error, Result, io, names};

/// Words of attributes that change what a checked-out file is.
const CONVERSIONS: &[&str] = &["crlf", "encoding", "ident"];
/// git itself leaves out a `.gitattributes` of more than 100 MiB.
const MAX: u64 = 100 << 20;

/// A file that a filter of the user's stands between: git's form of it is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filtered {
    /// Its name below the root.
    pub name: Vec<u8>,
    /// The filter's name.
    pub driver: String,
    /// Its mode and object in the repository's index at the start.
    pub index: Option<(String, String)>,
    /// The object with its real content at the start.
    pub raw: String,
}

/// Attributes outside of trees, as they were at the start: a git directory of the host's own
/// with nothing else in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    dir: PathBuf,
}

impl Attributes {
    /// Keeps `own` (the repository's `info/attributes`) and `global` (what has less weight
    /// than the tree's) in `dir`.
    pub fn keep(shadow: &Shadow, dir: &Path, own: &[u8], global: &[u8]) -> Result<Self> {
        for part in ["objects", "refs", "info", "empty"] {
            let path = dir.join(part);
            fs::create_dir_all(&path).map_err(io("creating", &path))?;
        }
        let config = shadow.git_dir.join("config");
        fs::copy(&config, dir.join("config")).map_err(io("copying", &config))?;
        for (file, text) in
            [("HEAD", b"ref: refs/heads/none\n".as_slice()), ("info/attributes", own), ("global", global)]
        {
            let path = dir.join(file);
            fs::write(&path, text).map_err(io("writing", &path))?;
        }
        Ok(Attributes { dir: dir.to_owned() })
    }

    /// `core.attributesFile` for a call on the repository's files.
    pub fn setting(&self) -> String {
        format!("core.attributesFile={}", self.dir.join("global").display())
    }

    /// The repository's `info/attributes`.
    pub fn own(&self) -> Vec<u8> {
        fs::read(self.dir.join("info/attributes")).unwrap_or_default()
    }

    /// A call with the index `index`, which reads no work tree.
    fn git(&self, shadow: &Shadow, verb: &str, index: &Path) -> Git {
        let objects = std::iter::once(shadow.git_dir.join("objects")).chain(shadow.read_from.iter().cloned());
        Git::new(verb)
            .git_dir(&self.dir)
            .dir(&self.dir)
            .work_tree(&self.dir.join("empty"))
            .index(index)
            .read_objects(&objects.collect::<Vec<_>>())
            .config(&self.setting())
    }

    /// An index of `tree`, which is one root's.
    fn index(&self, shadow: &Shadow, tree: &str) -> Result<PathBuf> {
        let index = self.dir.join(format!("index.{}.{tree}", std::process::id()));
        if !index.exists() {
            self.git(shadow, "read-tree", &index).arg(tree).output()?;
        }
        Ok(index)
    }

    /// Whether one of `words` stands in these files, or outside of any tree.
    fn mentions(&self, files: &[(Vec<u8>, Vec<u8>)], words: &[&str]) -> bool {
        let says =
            |text: &[u8]| words.iter().any(|word| text.windows(word.len()).any(|w| w == word.as_bytes()));
        let outside = ["info/attributes", "global"].map(|file| fs::read(self.dir.join(file)));
        outside.iter().flatten().any(|text| says(text)) || files.iter().any(|(_, text)| says(text))
    }

    /// The `.gitattributes` of `tree`, by their names; not those that git finds too large.
    fn files(shadow: &Shadow, tree: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let listed = shadow.reading("ls-tree").args(["-r", "-z", "--full-tree", tree]).output()?;
        let objects = Objects::open(shadow)?;
        let mut found = Vec::new();
        for line in split_z(&listed).filter(|line| line.ends_with(b".gitattributes")) {
            let (name, mode, id) = tree_line(line)?;
            let named = name.rsplit(|b| *b == b'/').next() == Some(b".gitattributes".as_slice());
            if named && mode & 0o170_000 == 0o100_000 && objects.size(&id)? <= MAX {
                found.push((name, objects.read(&id)?));
            }
        }
        Ok(found)
    }

    /// The files of `tree` that go through one of `drivers`.
    pub fn filtered(
        &self,
        shadow: &Shadow,
        tree: &str,
        candidates: &BTreeSet<Vec<u8>>,
        drivers: &[String],
    ) -> Result<BTreeMap<Vec<u8>, String>> {
        if drivers.is_empty()
            || candidates.is_empty()
            || !self.mentions(&Self::files(shadow, tree)?, &["filter"])
        {
            return Ok(BTreeMap::new());
        }
        let index = self.index(shadow, tree)?;
        let asked = candidates.iter().flat_map(|name| name.iter().copied().chain([0])).collect();
        let told = self
            .git(shadow, "check-attr", &index)
            .args(["--cached", "-z", "--stdin", "filter"])
            .output_with(Input::Bytes(asked))?;
        let _ = fs::remove_file(&index);
        let fields: Vec<&[u8]> = split_z(&told).collect();
        let mut found = BTreeMap::new();
        for field in fields.chunks(3) {
            let [name, _, driver] = field else { return Err(Error::Answer("check-attr")) };
            let driver = String::from_utf8_lossy(driver).into_owned();
            if drivers.contains(&driver) {
                found.insert(name.to_vec(), driver);
            }
        }
        Ok(found)
    }

    /// Files of `tree`, which is one root's, as git writes them out; none if it writes them as
    /// they are.
    pub fn conversion(&self, shadow: &Shadow, tree: &str, settings: &[String]) -> Result<Option<Conversion>> {
        let set = |setting: &String| {
            matches!(setting.to_ascii_lowercase().as_str(), "core.autocrlf=true" | "core.eol=crlf")
        };
        let files = Self::files(shadow, tree)?;
        if !settings.iter().any(set) && !self.mentions(&files, CONVERSIONS) {
            return Ok(None);
        }
        // Git reads them from a work tree, and of older releases nothing else does.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tree.{}.{next}", std::process::id());
        let work_tree = Tree::make(&self.dir, &name).map_err(io("creating", &self.dir.join(&name)))?;
        let conversion = Conversion {
            attributes: self.clone(),
            work_tree: self.dir.join(name),
            settings: settings.to_vec(),
        };
        for (name, text) in files {
            let above = name.iter().rposition(|b| *b == b'/').map_or(&b""[..], |at| &name[..at]);
            work_tree
                .make_dirs(above)
                .and_then(|()| work_tree.replace(&name, &text, 0o600))
                .map_err(io("writing", &conversion.work_tree.join(names::path(&name))))?;
        }
        Ok(Some(conversion))
    }
}

/// How the files of one tree are written out: line ends and encodings, by the attributes that
/// the tree itself has. Filters are left out.
#[derive(Debug)]
pub struct Conversion {
    attributes: Attributes,
    work_tree: PathBuf,
    settings: Vec<String>,
}

impl Conversion {
    /// The object `id` as git writes it out under `name`. Where the content is not what its
    /// attribute says, git leaves it as it is, and so does this.
    pub fn written(&self, shadow: &Shadow, id: &str, name: &[u8], content: Vec<u8>) -> Result<Vec<u8>> {
        let mut path = std::ffi::OsString::from("--path=");
        path.push(names::path(name));
        let no_index = self.work_tree.join(".git/index");
        let mut git = self.attributes.git(shadow, "cat-file", &no_index);
        git = git.work_tree(&self.work_tree).dir(&self.work_tree);
        for setting in &self.settings {
            git = git.config(setting);
        }
        let out = git.arg("--filters").arg(path).arg(id).run(Input::Null)?;
        Ok(if out.code == Some(0) { out.stdout } else { content })
    }
}

impl Drop for Conversion {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.work_tree);
    }
}
