//! What is known of a file without opening it.

use rustix::fs::{FileType, Stat};
use serde::{Deserialize, Serialize};

/// Which directory or file it is, wherever its name leads later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The device.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
}

/// Which state of which file: differs after every write, replacement and change of mode. The
/// change time cannot be set by whoever owns the file; it is compared, never ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// The inode.
    pub ino: u64,
    /// The change time in nanoseconds since 1970.
    pub changed_ns: i64,
    /// Bytes.
    pub size: u64,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A pipe, socket or device.
    Special,
}

/// What is known of a file without opening it; a symbolic link stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// The permission bits.
    pub mode: u32,
    /// Bytes.
    pub size: u64,
    /// What it takes on the disk: a file with holes less than its length.
    pub on_disk: u64,
    /// Names that lead to it.
    pub links: u64,
    /// The change time in nanoseconds since 1970.
    pub changed_ns: i64,
    /// The modification time in nanoseconds since 1970, which its owner can set.
    pub modified_ns: i64,
    /// Which file it is.
    pub identity: Identity,
}

impl Meta {
    pub(crate) fn of(stat: &Stat) -> Meta {
        #[allow(clippy::unnecessary_cast, reason = "the widths differ between systems")]
        Meta {
            kind: Kind::of(FileType::from_raw_mode(stat.st_mode)),
            mode: stat.st_mode as u32 & 0o7777,
            size: stat.st_size as u64,
            on_disk: (stat.st_blocks as u64).saturating_mul(512),
            links: stat.st_nlink as u64,
            changed_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
            modified_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            identity: Identity { dev: stat.st_dev as u64, ino: stat.st_ino as u64 },
        }
    }

    /// A regular file?
    pub fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// A directory?
    pub fn is_dir(&self) -> bool {
        self.kind == Kind::Dir
    }

    /// A symbolic link?
    pub fn is_symlink(&self) -> bool {
        self.kind == Kind::Symlink
    }

    /// Which state of the file this is.
    pub fn stamp(&self) -> Stamp {
        Stamp { ino: self.identity.ino, changed_ns: self.changed_ns, size: self.size }
    }
}

fn nanoseconds(seconds: i64, rest: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

impl Kind {
    pub(crate) fn of(kind: FileType) -> Kind {
        match kind {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Special,
        }
    }
}
