//! A directory held open, and what may be done beneath it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::meta::{Identity, Kind, Meta};
use crate::resolve::{self, Resolver, passing};

/// Directories deeper than this are not removed: each level holds a descriptor.
const MAX_DEPTH: usize = 200;

/// A directory that a job can write, held open. All names are relative to it, `/` between
/// components, and none of them leads through a link.
#[derive(Debug)]
pub struct Tree {
    dir: OwnedFd,
    path: PathBuf,
    resolver: Resolver,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the directory.
    pub name: Vec<u8>,
    /// What it is; asked anew when the directory does not say.
    pub kind: Kind,
}

impl Tree {
    /// Opens the directory at `path`, which is absolute and has no link in it (as
    /// [`std::fs::canonicalize`] gives it): one that has come into it since is refused.
    pub fn open(path: &Path) -> Result<Tree> {
        Self::open_by(path, Resolver::default())
    }

    /// [`Tree::open`] by one way of resolving names, for tests of the other one.
    pub fn open_by(path: &Path, resolver: Resolver) -> Result<Tree> {
        let Some(below) = path.as_os_str().as_bytes().strip_prefix(b"/") else {
            return Err(Error::new(ErrorKind::InvalidInput, "the path is not absolute"));
        };
        let root = rustix::fs::open(c"/", passing(), Mode::empty())?;
        let dir = resolve::open(resolver, root.as_fd(), below, passing(), Mode::empty())?;
        Ok(Tree { dir, path: path.to_owned(), resolver })
    }

    /// [`Tree::open`], refused if it is not the directory that was seen before.
    pub fn open_same(path: &Path, identity: Identity) -> Result<Tree> {
        let tree = Self::open(path)?;
        if tree.identity()? != identity {
            return Err(Error::other("another directory has taken its place"));
        }
        Ok(tree)
    }

    /// Makes the directory `name` in `parent`, which belongs to the host alone, and opens it.
    /// Fails if something has that name. Open to the user alone.
    pub fn make(parent: &Path, name: &str) -> Result<Tree> {
        let opened = rustix::fs::open(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::fs::mkdirat(&opened, name, Mode::RWXU)?;
        Self::open_in(parent, name)
    }

    /// Opens the directory `name` in `parent`. `parent` belongs to the host alone and may be
    /// reached through links; `name` is no link.
    pub fn open_in(parent: &Path, name: &str) -> Result<Tree> {
        let opened = rustix::fs::open(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let resolver = Resolver::default();
        let dir = resolve::open(resolver, opened.as_fd(), name.as_bytes(), passing(), Mode::empty())?;
        Ok(Tree { dir, path: parent.join(name), resolver })
    }

    /// The path that it was opened at; for messages, and for programs that are themselves
    /// confined to it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which directory it is.
    pub fn identity(&self) -> Result<Identity> {
        Ok(Meta::of(&rustix::fs::fstat(&self.dir)?).identity)
    }

    /// Does its path still lead to it?
    pub fn is_in_place(&self) -> bool {
        let there = Tree::open_by(&self.path, self.resolver).and_then(|tree| tree.identity());
        there.is_ok_and(|there| self.identity().is_ok_and(|own| own == there))
    }

    fn open_fd(&self, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        resolve::open(self.resolver, self.dir.as_fd(), name, flags, mode)
    }

    /// The descriptor of the directory that holds `name`, and the last component.
    fn parent<'n>(&self, name: &'n [u8]) -> Result<(OwnedFd, &'n [u8])> {
        let (above, last) = match name.iter().rposition(|b| *b == b'/') {
            Some(at) => (&name[..at], &name[at + 1..]),
            None => (&b""[..], name),
        };
        if matches!(last, b"" | b"." | b"..") {
            return Err(Error::new(ErrorKind::InvalidInput, "the name has no last component"));
        }
        Ok((self.open_fd(above, passing(), Mode::empty())?, last))
    }

    /// The directory `name`.
    pub fn dir(&self, name: &[u8]) -> Result<Tree> {
        let dir = self.open_fd(name, passing(), Mode::empty())?;
        Ok(Tree { dir, path: self.path.join(OsStr::from_bytes(name)), resolver: self.resolver })
    }

    /// What `name` is; an empty name is the directory itself.
    pub fn meta(&self, name: &[u8]) -> Result<Meta> {
        if name.is_empty() {
            return Ok(Meta::of(&rustix::fs::fstat(&self.dir)?));
        }
        let (parent, last) = self.parent(name)?;
        Ok(Meta::of(&rustix::fs::statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// Is there something of that name?
    pub fn exists(&self, name: &[u8]) -> bool {
        self.meta(name).is_ok()
    }

    /// Opens a regular file for reading. Anything else is refused, without waiting for the
    /// other end of a pipe.
    pub fn file(&self, name: &[u8]) -> Result<File> {
        // A device may do something when it is opened: asked first, and again afterwards.
        regular(&self.meta(name)?)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.open_fd(name, flags, Mode::empty())?;
        regular(&Meta::of(&rustix::fs::fstat(&file)?))?;
        Ok(File::from(file))
    }

    /// What an open file of this tree is.
    pub fn meta_of(file: &File) -> Result<Meta> {
        Ok(Meta::of(&rustix::fs::fstat(file)?))
    }

    /// The content of a regular file of at most `max` bytes.
    pub fn read(&self, name: &[u8], max: u64) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        self.file(name)?.take(max.saturating_add(1)).read_to_end(&mut content)?;
        match content.len() as u64 > max {
            true => Err(Error::new(ErrorKind::FileTooLarge, format!("more than {max} bytes"))),
            false => Ok(content),
        }
    }

    /// The target of a symbolic link.
    pub fn read_link(&self, name: &[u8]) -> Result<Vec<u8>> {
        let (parent, last) = self.parent(name)?;
        Ok(rustix::fs::readlinkat(&parent, last, Vec::new())?.into_bytes())
    }

    /// The entries of the directory `name`, in no order.
    pub fn entries(&self, name: &[u8]) -> Result<Vec<Entry>> {
        self.scan(name, |_, entry| entry)
    }

    /// The entries of the directory `name` with what each is. Those that go meanwhile are
    /// left out.
    pub fn entries_with_meta(&self, name: &[u8]) -> Result<Vec<(Vec<u8>, Meta)>> {
        let all = self.scan(name, |dir, entry| {
            let stat = rustix::fs::statat(dir, entry.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
            Some((entry.name, Meta::of(&stat)))
        })?;
        Ok(all.into_iter().flatten().collect())
    }

    fn scan<T>(&self, name: &[u8], mut each: impl FnMut(BorrowedFd<'_>, Entry) -> T) -> Result<Vec<T>> {
        let fd = self.open_fd(name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        list(&fd)?.into_iter().map(|entry| Ok(each(fd.as_fd(), entry))).collect()
    }

    /// Makes the directory `name` and those above it; what stands in the way is an error.
    pub fn make_dirs(&self, name: &[u8]) -> Result<()> {
        let mut ends: Vec<usize> =
            name.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).collect();
        ends.push(name.len());
        for end in ends.into_iter().filter(|end| *end > 0) {
            let (parent, last) = self.parent(&name[..end])?;
            match rustix::fs::mkdirat(&parent, last, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Also where all were there: none of them is a link or a file.
        self.open_fd(name, passing(), Mode::empty()).map(drop)
    }

    /// Makes one directory, in a directory that is there.
    pub fn make_dir(&self, name: &[u8]) -> Result<()> {
        let (parent, last) = self.parent(name)?;
        Ok(rustix::fs::mkdirat(&parent, last, Mode::from_raw_mode(0o777))?)
    }

    /// Puts a new regular file with this content and these permissions at `name`, at once: a
    /// reader sees the old one or the new one. What is there is replaced, unless it is a
    /// directory. The directory above is there.
    pub fn replace(&self, name: &[u8], content: &[u8], mode: u32) -> Result<()> {
        let (parent, last) = self.parent(name)?;
        let (temporary, mut file) = temporary(parent.as_fd())?;
        let written = file
            .write_all(content)
            .and_then(|()| Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?))
            .and_then(|()| Ok(rustix::fs::renameat(&parent, temporary.as_str(), &parent, last)?));
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&parent, temporary.as_str(), AtFlags::empty());
        }
        written
    }

    /// Makes a new file; something of that name is an error.
    pub fn create(&self, name: &[u8], mode: u32) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        Ok(File::from(self.open_fd(name, flags, Mode::from_raw_mode(mode))?))
    }

    /// Sets the permissions of a regular file.
    pub fn set_mode(&self, name: &[u8], mode: u32) -> Result<()> {
        Ok(rustix::fs::fchmod(&self.file(name)?, Mode::from_raw_mode(mode))?)
    }

    /// Makes a symbolic link; something of that name is an error.
    pub fn symlink(&self, target: &[u8], name: &[u8]) -> Result<()> {
        let (parent, last) = self.parent(name)?;
        Ok(rustix::fs::symlinkat(target, &parent, last)?)
    }

    /// Renames; what has the name `to` is replaced as `rename(2)` does.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let ((old, from), (new, to)) = (self.parent(from)?, self.parent(to)?);
        Ok(rustix::fs::renameat(&old, from, &new, to)?)
    }

    /// Gives a file a second name; something of that name is an error.
    pub fn hard_link(&self, from: &[u8], to: &[u8]) -> Result<()> {
        let ((old, from), (new, to)) = (self.parent(from)?, self.parent(to)?);
        Ok(rustix::fs::linkat(&old, from, &new, to, AtFlags::empty())?)
    }

    /// Removes a file or link.
    pub fn remove_file(&self, name: &[u8]) -> Result<()> {
        let (parent, last) = self.parent(name)?;
        Ok(rustix::fs::unlinkat(&parent, last, AtFlags::empty())?)
    }

    /// Removes an empty directory.
    pub fn remove_dir(&self, name: &[u8]) -> Result<()> {
        let (parent, last) = self.parent(name)?;
        Ok(rustix::fs::unlinkat(&parent, last, AtFlags::REMOVEDIR)?)
    }

    /// Removes whatever has that name, with all in it; nothing there is no error.
    pub fn remove(&self, name: &[u8]) -> Result<()> {
        match self.parent(name) {
            Ok((parent, last)) => remove_below(parent.as_fd(), last, 0),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn regular(meta: &Meta) -> Result<()> {
    match meta.is_file() {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::InvalidInput, "no regular file")),
    }
}

pub(crate) fn list(dir: &OwnedFd) -> Result<Vec<Entry>> {
    let mut all = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            rustix::fs::FileType::Unknown => {
                match rustix::fs::statat(dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => Meta::of(&stat).kind,
                    Err(_) => continue, // gone
                }
            }
            known => Kind::of(known),
        };
        all.push(Entry { name: name.to_vec(), kind });
    }
    Ok(all)
}

/// A new file under a name that nobody has.
fn temporary(dir: BorrowedFd<'_>) -> Result<(String, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let name = format!(".codex-worker-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(dir, name.as_str(), flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => return Ok((name, File::from(file))),
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Opens a directory for listing, also one that was closed to its owner.
pub(crate) fn open_up(parent: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = match rustix::fs::openat(parent, name, flags, Mode::empty()) {
        Err(rustix::io::Errno::ACCESS) => {
            // `chmod` by name would follow a link: by the descriptor's own name in /proc, or
            // (elsewhere) by the flag that forbids it.
            #[cfg(target_os = "linux")]
            {
                let held = rustix::fs::openat(parent, name, passing(), Mode::empty())?;
                let own = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&held));
                rustix::fs::chmod(own, Mode::RWXU)?;
            }
            #[cfg(not(target_os = "linux"))]
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::SYMLINK_NOFOLLOW)?;
            rustix::fs::openat(parent, name, flags, Mode::empty())?
        }
        done => done?,
    };
    Ok(dir)
}

/// Directories that the job closed to their owner are opened up first.
fn remove_below(parent: BorrowedFd<'_>, name: &[u8], depth: usize) -> Result<()> {
    use rustix::io::Errno;
    let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(()),
        found => Meta::of(&found?),
    };
    if !stat.is_dir() {
        return match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            done => Ok(done?),
        };
    }
    if depth > MAX_DEPTH {
        return Err(Error::new(ErrorKind::InvalidInput, "the directories are nested too deeply"));
    }
    let dir = open_up(parent, name)?;
    for entry in list(&dir)? {
        remove_below(dir.as_fd(), &entry.name, depth + 1).or_else(|error| {
            // Not to be written: opened up, and tried once more.
            if error.kind() != ErrorKind::PermissionDenied {
                return Err(error);
            }
            rustix::fs::fchmod(&dir, Mode::RWXU)?;
            remove_below(dir.as_fd(), &entry.name, depth + 1)
        })?;
    }
    drop(dir);
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        done => Ok(done?),
    }
}

/// For rules of the kernel's on this directory.
impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}
