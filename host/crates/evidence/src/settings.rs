//! What the host takes from a repository's own configuration: a few keys without any path.
//! Ignore rules come from `info/exclude` and from the user's own configuration alone.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jobfs::Tree;
use jobfs::own as fs;

use super::Result;
use super::discover::Repository;
use super::git::{Git, Input, split_z};
use super::shadow::Shadow;

/// Settings that change what a file's recorded content is; everything else stays out.
const KEYS: &[&str] = &[
    "core.autocrlf",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.precomposeunicode",
    "core.symlinks",
];
/// Attributes of every repository of the machine.
const SYSTEM_ATTRIBUTES: &str = "/etc/gitattributes";
/// A larger configuration or list of ignore rules is left out.
const MAX: u64 = 1 << 20;

/// Settings and ignore rules outside the work tree, as they are now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// `key=value`, later ones win.
    pub settings: Vec<String>,
    /// The lines of all ignore files.
    pub excludes: Vec<u8>,
    /// The names of the filters that have a command which makes git's form of a file.
    pub drivers: Vec<String>,
    /// The repository's `info/attributes`.
    pub own_attributes: Vec<u8>,
    /// Attributes of the system and the user.
    pub global_attributes: Vec<u8>,
}

/// Reads them. Nothing is read through a link that lies in a repository, and of the
/// repository's configuration no value that could be a path.
pub fn freeze(repository: &Repository, shadow: &Shadow) -> Result<Frozen> {
    let mut frozen = Frozen::default();
    let pattern = format!("^({})$|^filter\\..*\\.(clean|process)$", KEYS.join("|").replace('.', "\\."));
    let mut keep = |text: &str| {
        let (key, value) = text.split_once('\n').unwrap_or((text, "true"));
        let driver = key.strip_prefix("filter.").and_then(|key| key.rsplit_once('.')).map(|(name, _)| name);
        if let Some(driver) = driver.filter(|_| !value.is_empty()) {
            frozen.drivers.push(driver.to_owned());
        }
        if KEYS.contains(&key) && value.bytes().all(|b| b.is_ascii_alphanumeric()) {
            frozen.settings.push(format!("{key}={value}"));
        }
    };
    // The user's: as in this repository, so that `includeIf` works, but without its own file.
    let listed = Git::new("config")
        .args(["-z", "--includes", "--show-scope", "--get-regexp"])
        .arg(format!("{pattern}|^core\\.(excludesfile|attributesfile)$"))
        .git_dir(&repository.git_dir)
        .env("GIT_COMMON_DIR", &shadow.git_dir)
        .with_user_config()
        .run(Input::Null)?;
    let mut global = directories::BaseDirs::new().map(|d| d.config_dir().join("git/ignore"));
    let mut attributes = directories::BaseDirs::new().map(|d| d.config_dir().join("git/attributes"));
    let fields: Vec<&[u8]> = split_z(&listed.stdout).collect();
    for pair in fields.chunks_exact(2) {
        let text = String::from_utf8_lossy(pair[1]);
        if !matches!(pair[0], b"system" | b"global") {
            continue;
        }
        match text.split_once('\n') {
            Some(("core.excludesfile", file)) => global = users_path(file),
            Some(("core.attributesfile", file)) => attributes = users_path(file),
            _ => keep(&text),
        }
    }
    let common = Tree::open(&repository.common_dir).ok();
    let mut own = common.as_ref().and_then(|tree| tree.read(b"config", MAX).ok()).unwrap_or_default();
    if own.to_ascii_lowercase().windows(14).any(|w| w == b"worktreeconfig") {
        let tree = Tree::open(&repository.git_dir).ok();
        own.push(b'\n');
        own.extend(tree.and_then(|tree| tree.read(b"config.worktree", MAX).ok()).unwrap_or_default());
    }
    let listed = Git::new("config")
        .args(["-z", "--file", "-", "--no-includes", "--get-regexp", &pattern])
        .git_dir(&shadow.git_dir)
        .run(Input::Bytes(own))?;
    for entry in split_z(&listed.stdout) {
        keep(&String::from_utf8_lossy(entry));
    }
    frozen.drivers.sort();
    frozen.drivers.dedup();
    let own = common.as_ref().and_then(|tree| tree.read(b"info/attributes", MAX).ok());
    frozen.own_attributes = own.unwrap_or_default();
    let system = fs::read(SYSTEM_ATTRIBUTES).ok();
    for text in [system, attributes.and_then(|file| read_users(&file))].into_iter().flatten() {
        frozen.global_attributes.extend(text);
        frozen.global_attributes.push(b'\n');
    }
    let rules = common.and_then(|tree| tree.read(b"info/exclude", MAX).ok());
    for text in [global.and_then(|file| read_users(&file)), rules].into_iter().flatten() {
        frozen.excludes.extend(text);
        frozen.excludes.push(b'\n');
    }
    Ok(frozen)
}

/// A path of the user's own configuration. A relative one would lie in the work tree.
fn users_path(value: &str) -> Option<PathBuf> {
    match value.strip_prefix("~/") {
        Some(rest) => directories::BaseDirs::new().map(|d| d.home_dir().join(rest)),
        None => Some(PathBuf::from(value)).filter(|path| path.is_absolute()),
    }
}

/// Reads a file that the user named. It may be a link (dotfiles often are), but not one in a
/// work tree: a job could have put that there.
fn read_users(path: &Path) -> Option<Vec<u8>> {
    let mut path = path.to_owned();
    for _ in 0..8 {
        let parent = fs::canonicalize(path.parent()?).ok()?;
        let name = path.file_name()?.to_owned();
        let tree = Tree::open(&parent).ok()?;
        match tree.read(name.as_bytes(), MAX) {
            Ok(text) => return Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(_) => {
                let target = tree.read_link(name.as_bytes()).ok()?;
                if parent.ancestors().any(|dir| fs::is_there(dir.join(".git"))) {
                    return None;
                }
                path = parent.join(super::names::path(&target));
            }
        }
    }
    None
}
