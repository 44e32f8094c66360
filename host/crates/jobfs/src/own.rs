//! The host's own files: in the state directory, in the plugins directory, the settings, and
//! what the host has just made. No contained process can write there, but for one in the weakest
//! containment: so what is read is a regular file, opened without waiting. The crates that handle
//! job trees use these and [`Tree`](crate::Tree); clippy keeps `std::fs` out of them.
#![expect(clippy::disallowed_methods, reason = "this is the one place for it")]

use std::fs::{File, ReadDir};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Bytes that are read into memory without another limit.
const LARGEST: u64 = 512 << 20;

/// Opens a regular file for reading. Anything else is refused: a pipe has no end, and a device
/// may do something when it is opened.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    let path = path.as_ref();
    regular(&path.metadata()?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    // Something else may have that name by now.
    regular(&file.metadata()?)?;
    Ok(file)
}

fn regular(meta: &std::fs::Metadata) -> Result<()> {
    match meta.is_file() {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::InvalidInput, "it is no regular file")),
    }
}

/// The content of a regular file, which is not too large for the memory.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    read_at_most(path, LARGEST)
}

/// The content of a regular file of at most `max` bytes, also of one that grows.
pub fn read_at_most(path: impl AsRef<Path>, max: u64) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.take(max.saturating_add(1)).read_to_end(&mut content)?;
    match content.len() as u64 > max {
        true => Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {max} bytes"))),
        false => Ok(content),
    }
}

/// The text of a regular file.
pub fn read_to_string(path: impl AsRef<Path>) -> Result<String> {
    text(read(path)?)
}

/// The text of a regular file of at most `max` bytes.
pub fn text_at_most(path: impl AsRef<Path>, max: u64) -> Result<String> {
    text(read_at_most(path, max)?)
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}

/// `std::fs::write`.
pub fn write(path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, content)
}

/// `std::fs::copy`.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<u64> {
    std::fs::copy(from, to)
}

/// `std::fs::hard_link`.
pub fn hard_link(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    std::fs::hard_link(from, to)
}

/// Makes a symbolic link.
pub fn symlink(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result<()> {
    std::os::unix::fs::symlink(target, link)
}

/// `std::fs::rename`.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
    std::fs::rename(from, to)
}

/// `std::fs::remove_file`.
pub fn remove_file(path: impl AsRef<Path>) -> Result<()> {
    std::fs::remove_file(path)
}

/// `std::fs::remove_dir`.
pub fn remove_dir(path: impl AsRef<Path>) -> Result<()> {
    std::fs::remove_dir(path)
}

/// `std::fs::remove_dir_all`.
pub fn remove_dir_all(path: impl AsRef<Path>) -> Result<()> {
    std::fs::remove_dir_all(path)
}

/// `std::fs::create_dir_all`.
pub fn create_dir_all(path: impl AsRef<Path>) -> Result<()> {
    std::fs::create_dir_all(path)
}

/// `std::fs::read_dir`.
pub fn read_dir(path: impl AsRef<Path>) -> Result<ReadDir> {
    std::fs::read_dir(path)
}

/// Is something of that name there, a link included?
pub fn is_there(path: impl AsRef<Path>) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// `std::fs::canonicalize`: for a path of the user's or of the host's, before it is used.
pub fn canonicalize(path: impl AsRef<Path>) -> Result<PathBuf> {
    std::fs::canonicalize(path)
}

/// `File::create`.
pub fn create(path: impl AsRef<Path>) -> Result<File> {
    File::create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_bounded_size_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap();
        assert!(made.success());
        std::os::unix::fs::symlink("pipe", path("link")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        std::os::unix::net::UnixListener::bind(path("socket")).map(drop).unwrap();
        for name in ["pipe", "link", "zero", "socket", "."] {
            assert_eq!(read(path(name)).unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
        }
        File::create(path("huge")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read_at_most(path("huge"), 1 << 20).unwrap_err().kind(), ErrorKind::FileTooLarge);
        write(path("text"), "1234").unwrap();
        assert_eq!(text_at_most(path("text"), 4).unwrap(), "1234");
        assert!(text_at_most(path("text"), 3).is_err());
        write(path("bytes"), [0xff]).unwrap();
        assert_eq!(read_to_string(path("bytes")).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}
