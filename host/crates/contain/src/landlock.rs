//! Landlock: rules on files and TCP connects that bind one thread and everything started
//! from it. Linux 5.13 and later; connects since 6.7, signals and abstract sockets since
//! 6.12.
//!
//! Landlock can only allow. To hide a place inside an allowed one, everything beside it is
//! allowed instead (see [`readable_beside`]). What it has no rule for (modes, times, extended
//! attributes, socket files) stays open everywhere.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Limits on files; none leaves files alone.
    pub files: Option<Files>,
    /// TCP ports that may be connected to, and none that may be listened on; none leaves the
    /// network alone.
    pub connect_ports: Option<Vec<u16>>,
    /// Signals and abstract sockets stay inside, where the kernel can do that.
    pub scoped: bool,
}

/// Which files may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Everything below may be read and written, if it is still what was looked at.
    pub writable: Vec<Identity>,
    /// Everything below may be read and run.
    pub readable: Vec<PathBuf>,
    /// The same where a job may have put a link, if it is still what was looked at.
    pub readable_same: Vec<Identity>,
    /// The names of everything below may be listed: directories of which a part is hidden.
    pub listed: Vec<PathBuf>,
}

/// A file or directory by what it is, not by its name alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Its name.
    pub path: PathBuf,
    /// The file system.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
}

impl Identity {
    /// What is there now, links followed.
    pub fn of(path: &Path) -> std::io::Result<Identity> {
        use std::os::unix::fs::MetadataExt;
        let meta = path.metadata()?;
        Ok(Identity { path: path.to_owned(), device: meta.dev(), inode: meta.ino() })
    }

    /// What is there now, reached through no link: one that has come since the path was
    /// resolved is refused.
    pub fn unlinked(path: &Path) -> std::io::Result<Identity> {
        let of = |meta: jobfs::Meta| Identity {
            path: path.to_owned(),
            device: meta.identity.dev,
            inode: meta.identity.ino,
        };
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return jobfs::Tree::open(path)?.meta(b"").map(of);
        };
        let meta = jobfs::Tree::open(parent)?.meta(std::os::unix::ffi::OsStrExt::as_bytes(name))?;
        match meta.is_symlink() {
            true => Err(std::io::Error::other("it is a link now")),
            false => Ok(of(meta)),
        }
    }

    /// It is still the same.
    pub fn holds(&self) -> bool {
        Identity::of(&self.path).is_ok_and(|now| now == *self)
    }
}

/// Why rules were not applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has none.
    #[error("the kernel does not enforce Landlock")]
    NotEnforced,
    /// The rules could not be made.
    #[error("landlock: {0}")]
    Rules(String),
    /// Something else is there now.
    #[error("{0} was replaced")]
    Replaced(String),
    /// Capabilities could not be given up.
    #[error("give up capabilities: {0}")]
    Capabilities(std::io::Error),
}

/// Binds the calling thread, for ever, and every process started from it. Gives the
/// interface version in force.
pub fn restrict_this_thread(rules: &Rules) -> Result<i32, Error> {
    #[cfg(target_os = "linux")]
    {
        super::landlock_linux::restrict_this_thread(rules)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = rules;
        Err(Error::NotEnforced)
    }
}

/// The interface version that this kernel enforces; 0 for none. Tried on a thread that ends
/// afterwards.
pub fn version() -> i32 {
    let files = Some(Files::default());
    let tried = std::thread::spawn(move || {
        restrict_this_thread(&Rules { files, connect_ports: Some(Vec::new()), scoped: true })
            .unwrap_or_default()
    });
    tried.join().unwrap_or_default()
}

/// The first version with rules on TCP connects.
pub const CONNECT_VERSION: i32 = 4;
/// The first version that keeps signals and abstract sockets inside.
pub const SCOPE_VERSION: i32 = 6;

/// Every place that must be allowed so that all of `roots` but `hidden` can be read: of a
/// directory that holds a hidden place, its entries that hide nothing. Gives those
/// directories too. `list` gives a directory's entries.
pub fn readable_beside(
    roots: &[PathBuf],
    hidden: &[PathBuf],
    list: &dyn Fn(&Path) -> Vec<PathBuf>,
) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut allowed, mut split) = (Vec::new(), Vec::new());
    let mut open = roots.to_vec();
    while let Some(place) = open.pop() {
        if hidden.iter().any(|hide| place.starts_with(hide)) {
            continue;
        }
        if hidden.iter().any(|hide| hide.starts_with(&place)) {
            open.extend(list(&place));
            split.push(place);
        } else {
            allowed.push(place);
        }
    }
    allowed.sort();
    split.sort();
    (allowed, split)
}

/// A directory's entries by their own names, links not followed.
pub fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    // A rule on a link would be one on what it points to, which may be a hidden place.
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()))
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_beside_what_is_hidden() {
        let list = |dir: &Path| -> Vec<PathBuf> {
            let names: &[&str] = match dir.to_str() {
                Some("/") => &["bin", "home", "srv"],
                Some("/home") => &["u", "v"],
                Some("/home/u") => &[".ssh", ".bashrc", "work"],
                _ => &[],
            };
            names.iter().map(|name| dir.join(name)).collect()
        };
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        for (roots, hidden, expected, split) in [
            (&["/"][..], &[][..], &["/"][..], &[][..]),
            (
                &["/"],
                &["/home/u/.ssh"],
                &["/bin", "/home/u/.bashrc", "/home/u/work", "/home/v", "/srv"],
                &["/", "/home", "/home/u"],
            ),
            (
                &["/"],
                &["/home/u/.ssh", "/srv"],
                &["/bin", "/home/u/.bashrc", "/home/u/work", "/home/v"],
                &["/", "/home", "/home/u"],
            ),
            (
                &["/bin", "/home/u"],
                &["/home/u/.ssh"],
                &["/bin", "/home/u/.bashrc", "/home/u/work"],
                &["/home/u"],
            ),
            (&["/bin", "/home/u/.ssh/x"], &["/home/u/.ssh"], &["/bin"], &[]),
        ] {
            let got = readable_beside(&paths(roots), &paths(hidden), &list);
            assert_eq!(got, (paths(expected), paths(split)), "{roots:?} {hidden:?}");
        }
    }
}
