//! Deleting a tree of a job that no process uses any more, however deep it is.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::meta::Kind;
use crate::tree::{list, open_up};

/// Deletes everything in `trash`, a directory of the host's own. Directories in it are moved
/// up to its top one after the other, so that one nested a hundred thousand times takes two
/// descriptors. What cannot be deleted is left.
pub fn delete(trash: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = match rustix::fs::open(trash, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        top => top?,
    };
    let mut open: Vec<Vec<u8>> = Vec::new();
    let mut first_error: Option<Error> = None;
    for entry in list(&top)? {
        if entry.kind == Kind::Dir {
            open.push(entry.name);
        } else {
            let _ = rustix::fs::unlinkat(&top, entry.name.as_slice(), AtFlags::empty());
        }
    }
    while let Some(name) = open.pop() {
        match empty(&top, &name) {
            Ok(inner) => open.extend(inner),
            Err(error) => first_error = gone(Err(error)).err().or(first_error),
        }
    }
    first_error.map_or(Ok(()), Err)
}

/// Removes the directory `name` of `top` after moving the directories in it up to `top`; gives
/// their new names. Another process may be deleting the same.
fn empty(top: &OwnedFd, name: &[u8]) -> Result<Vec<Vec<u8>>> {
    let dir = open_up(top.as_fd(), name)?;
    rustix::fs::fchmod(&dir, Mode::RWXU)?;
    let mut inner = Vec::new();
    for entry in list(&dir)? {
        let entry_name = entry.name.as_slice();
        if entry.kind != Kind::Dir {
            gone(rustix::fs::unlinkat(&dir, entry_name, AtFlags::empty()).map_err(Error::from))?;
            continue;
        }
        if rustix::fs::unlinkat(&dir, entry_name, AtFlags::REMOVEDIR).is_ok() {
            continue;
        }
        // A directory moves only if it may be written itself.
        drop(open_up(dir.as_fd(), entry_name).and_then(|d| Ok(rustix::fs::fchmod(&d, Mode::RWXU)?)));
        static MOVED: AtomicU64 = AtomicU64::new(0);
        let to = loop {
            let to = format!("{}-{}", std::process::id(), MOVED.fetch_add(1, Ordering::Relaxed)).into_bytes();
            if let Err(rustix::io::Errno::NOENT) =
                rustix::fs::statat(top, to.as_slice(), AtFlags::SYMLINK_NOFOLLOW)
            {
                break to;
            }
        };
        gone(rustix::fs::renameat(&dir, entry_name, top, to.as_slice()).map_err(Error::from))?;
        inner.push(to);
    }
    gone(rustix::fs::unlinkat(top, name, AtFlags::REMOVEDIR).map_err(Error::from))?;
    Ok(inner)
}

/// What is not there any more is as good as deleted.
fn gone(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
