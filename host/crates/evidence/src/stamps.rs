//! Which state of which file was there at the start, for what no tree records: ignored files,
//! ignore rules, special files. Compared as identities (inode, change time, size), never
//! against a clock: files copied within the tick in which a job starts are not the job's.

use std::collections::HashMap;
use std::path::Path;

use jobfs::own as fs;
use jobfs::{Meta, Stamp};
use sha2::{Digest, Sha256};

use super::{Error, Result, io};

/// The stamps of many files: sixteen bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps(HashMap<u64, u64>);

impl Stamps {
    /// Takes down the state of `name`, which is relative to the recorder's top.
    pub fn insert(&mut self, name: &[u8], meta: &Meta) {
        self.0.insert(key(name), value(&meta.stamp()));
    }

    /// Was `name` there?
    pub fn knows(&self, name: &[u8]) -> bool {
        self.0.contains_key(&key(name))
    }

    /// Is `name` as it was? No for what was not there.
    pub fn is_same(&self, name: &[u8], meta: &Meta) -> bool {
        self.0.get(&key(name)) == Some(&value(&meta.stamp()))
    }

    /// Writes them to a file of the host's own.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut bytes = Vec::with_capacity(self.0.len() * 16);
        for (key, value) in &self.0 {
            bytes.extend(key.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        fs::write(path, bytes).map_err(io("writing", path))
    }

    /// Reads what [`Stamps::write`] wrote; none if there is no such file.
    pub fn read(path: &Path) -> Result<Option<Stamps>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io("reading", path)(error)),
        };
        let (pairs, rest) = bytes.as_chunks::<16>();
        if !rest.is_empty() {
            return Err(Error::Record { path: path.to_owned(), said: "its stamps are cut off".into() });
        }
        let half = |half: &[u8]| u64::from_le_bytes(half.try_into().unwrap_or_default());
        Ok(Some(Stamps(pairs.iter().map(|pair| (half(&pair[..8]), half(&pair[8..]))).collect())))
    }
}

fn key(name: &[u8]) -> u64 {
    first(&Sha256::digest(name))
}

fn value(stamp: &Stamp) -> u64 {
    let mut hash = Sha256::new();
    hash.update(stamp.ino.to_le_bytes());
    hash.update(stamp.changed_ns.to_le_bytes());
    hash.update(stamp.size.to_le_bytes());
    first(&hash.finalize())
}

fn first(digest: &[u8]) -> u64 {
    digest.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_the_same_until_it_is_written_or_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(dir.path()).unwrap();
        let tree = jobfs::Tree::open(&top).unwrap();
        let mut stamps = Stamps::default();
        for name in ["kept", "written", "replaced"] {
            fs::write(top.join(name), "one").unwrap();
            stamps.insert(name.as_bytes(), &tree.meta(name.as_bytes()).unwrap());
        }
        let file = top.join("stamps");
        stamps.write(&file).unwrap();
        let stamps = Stamps::read(&file).unwrap().unwrap();
        fs::write(top.join("written"), "and more").unwrap();
        fs::write(top.join("new"), "one").unwrap();
        fs::rename(top.join("new"), top.join("replaced")).unwrap();
        for (name, same) in [("kept", true), ("written", false), ("replaced", false)] {
            assert_eq!(stamps.is_same(name.as_bytes(), &tree.meta(name.as_bytes()).unwrap()), same, "{name}");
        }
        assert!(!stamps.is_same(b"other", &tree.meta(b"kept").unwrap()) && !stamps.knows(b"other"));
        fs::write(&file, "cut").unwrap();
        assert!(Stamps::read(&file).is_err() && Stamps::read(&top.join("none")).unwrap().is_none());
    }
}
