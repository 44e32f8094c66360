//! One lock for each repository around everything that writes into it or into its checkout.
//! The lock file lies in the state directory, never in the repository.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jobfs::own as fs;

use sha2::{Digest, Sha256};

use evidence::names;
use model::error::{Error, Kind, Result};

/// Held until dropped; the system lets it go when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    journal: PathBuf,
}

impl Lock {
    /// Where the holder may note what it is doing, for whoever holds the lock next.
    pub fn journal(&self) -> &Path {
        &self.journal
    }
}

/// Waits for the lock of the repository (or plain directory) at `place`, at most `patience`.
pub fn acquire(state_home: &Path, place: &Path, patience: Duration) -> Result<Lock> {
    let real = fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
    let digest = Sha256::digest(names::bytes(&real));
    let name = model::hex::encode(&digest[..16]);
    let dir = state_home.join("locks");
    let failed = |e: std::io::Error| {
        Error::new(Kind::Environment, format!("the lock in {} cannot be made: {e}", dir.display()))
            .hint("give the user who runs codex-worker access to the state directory")
    };
    fs::create_dir_all(&dir).map_err(failed)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join(format!("{name}.lock")))
        .map_err(failed)?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _file: file, journal: dir.join(format!("{name}.apply.json")) }),
            Err(std::fs::TryLockError::WouldBlock) if started.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Error::new(
                    Kind::Environment,
                    format!(
                        "another codex-worker process has worked on {} for over {} s",
                        real.display(),
                        patience.as_secs()
                    ),
                )
                .hint("wait for it, or end it with `codex-worker jobs cancel`"));
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(failed(e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = acquire(dir.path(), dir.path(), Duration::ZERO).unwrap();
        let error = acquire(dir.path(), dir.path(), Duration::from_millis(50)).unwrap_err();
        assert!(error.message.starts_with("another codex-worker process"), "{error}");
        acquire(dir.path(), Path::new("/elsewhere"), Duration::ZERO).unwrap();
        drop(held);
        acquire(dir.path(), dir.path(), Duration::ZERO).unwrap();
    }
}
