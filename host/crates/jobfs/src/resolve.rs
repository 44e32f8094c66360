//! Opening a name beneath a directory without following any link: by one `openat2` where the
//! kernel has it (Linux 5.6), else component by component with `O_NOFOLLOW`. The second way
//! is as safe: each component is opened relative to the descriptor of the one before.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

/// How names are resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resolver {
    /// By `openat2`; component by component where the kernel refuses it.
    #[default]
    Kernel,
    /// Component by component.
    Components,
}

/// Opens `name` beneath `dir`. An empty name is `dir` itself.
pub(crate) fn open(
    resolver: Resolver,
    dir: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
    mode: Mode,
) -> Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let name = if name.is_empty() { b"." } else { name };
    if name.contains(&0) || name.starts_with(b"/") || name.split(|b| *b == b'/').any(|part| part == b"..") {
        return Err(Error::new(ErrorKind::InvalidInput, "the name leads out of its directory"));
    }
    #[cfg(target_os = "linux")]
    if resolver == Resolver::Kernel {
        use rustix::fs::ResolveFlags;
        use rustix::io::Errno;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(dir, name, flags, mode, how) {
                // Something was renamed while the kernel walked; or a signal came.
                Err(Errno::AGAIN | Errno::INTR) => {}
                // An old kernel, or an old seccomp filter around us.
                Err(Errno::NOSYS | Errno::PERM) => break,
                done => return Ok(done?),
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = resolver;
    by_components(dir, name, flags, mode)
}

fn by_components(dir: BorrowedFd<'_>, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let mut parts = name.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".").peekable();
    let mut at: Option<OwnedFd> = None;
    while let Some(part) = parts.next() {
        let from = at.as_ref().map_or(dir, AsFd::as_fd);
        if parts.peek().is_none() {
            return Ok(rustix::fs::openat(from, part, flags, mode)?);
        }
        at = Some(rustix::fs::openat(from, part, passing(), Mode::empty())?);
    }
    Ok(rustix::fs::openat(dir, c".", flags, mode)?)
}

/// For a directory that is only passed through, which need not be readable.
pub(crate) fn passing() -> OFlags {
    let only = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return only | OFlags::PATH;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return only | OFlags::RDONLY;
}
