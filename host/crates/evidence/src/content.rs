//! The name that git gives to a file's content, worked out by the host.

use std::io::{Read, Write};

use sha2::{Digest, Sha256};

use super::{Error, Result};

/// The object id of a blob of `size` bytes. A file that gives more or less is an error.
pub fn blob_id(object_format: &str, size: u64, content: impl Read) -> Result<String> {
    match object_format {
        "sha256" => {
            let mut hash = Sha256::new();
            hash.update(format!("blob {size}\0"));
            feed(size, content, |piece| hash.update(piece))?;
            Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
        }
        _ => {
            let mut whole = Vec::new();
            feed(size, content, |piece| {
                let _ = whole.write_all(piece);
            })?;
            Ok(git2::Oid::hash_object(git2::ObjectType::Blob, &whole)?.to_string())
        }
    }
}

fn feed(size: u64, mut content: impl Read, mut each: impl FnMut(&[u8])) -> Result<()> {
    let changed = || Error::ContentChanged("a file".into());
    let mut piece = vec![0u8; 64 << 10];
    let mut seen = 0u64;
    loop {
        match content.read(&mut piece).map_err(|_| changed())? {
            0 if seen == size => return Ok(()),
            0 => return Err(changed()),
            n => {
                seen += n as u64;
                if seen > size {
                    return Err(changed());
                }
                each(&piece[..n]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_gits_own() {
        let content = b"hello\n";
        assert_eq!(
            blob_id("sha1", 6, content.as_slice()).unwrap(),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
        assert_eq!(
            blob_id("sha256", 6, content.as_slice()).unwrap(),
            "2cf8d83d9ee29543b34a87727421fdecb7e3f3a183d337639025de576db9ebb4"
        );
        for size in [5, 7] {
            assert!(blob_id("sha1", size, content.as_slice()).is_err());
        }
    }
}
