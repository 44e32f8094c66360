//! The host's own files, in the state directory or in what the host has just made: no
//! contained process can write there. The crates that handle job trees use these and
//! [`Tree`](crate::Tree); clippy keeps `std::fs` out of them.
#![expect(clippy::disallowed_methods, reason = "this is the one place for it")]

use std::fs::{File, ReadDir};
use std::io::Result;
use std::path::{Path, PathBuf};

/// `std::fs::read`.
pub fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
    std::fs::read(path)
}

/// `std::fs::read_to_string`.
pub fn read_to_string(path: impl AsRef<Path>) -> Result<String> {
    std::fs::read_to_string(path)
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

/// `File::open`.
pub fn open(path: impl AsRef<Path>) -> Result<File> {
    File::open(path)
}

/// `File::create`.
pub fn create(path: impl AsRef<Path>) -> Result<File> {
    File::create(path)
}
