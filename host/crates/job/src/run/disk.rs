//! How much a running job adds to the disk in the directories that it may write. Limits of
//! the system count one file or one user, not a job, so its directories are looked through:
//! when the disk has lost some space since the last look, and now and then in any case.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::gc::on_disk;

/// Between looks at the free space, which cost next to nothing.
const GLANCE: Duration = Duration::from_millis(200);
/// Between looks through the directories when the free space says nothing (somebody else
/// may free what the job takes).
const LOOK: Duration = Duration::from_secs(30);
/// Looking takes no more than this part of the time.
const SHARE: u32 = 20;
/// A directory entry counts for this at least: empty files fill a disk too.
const ENTRY: u64 = 512;

/// Set to a sentence once the job has added more than it may.
pub type Verdict = Arc<OnceLock<String>>;

/// Starts watching; ends by itself when nobody holds the verdict any more. What is in
/// `dirs` now is not counted. Blocks while that is looked through.
pub fn watch(dirs: Vec<PathBuf>, limit: u64) -> std::io::Result<Verdict> {
    let verdict = Verdict::default();
    let theirs = Arc::downgrade(&verdict);
    // Before each look, so that what is written meanwhile is counted as lost space.
    let mut free = free_below(&dirs);
    let began = Instant::now();
    let base = size(&dirs);
    let mut took = began.elapsed();
    let mut looked = Instant::now();
    // A part of the limit may be gone before a look is due.
    let step = (limit / 8).clamp(1 << 20, 256 << 20);
    std::thread::Builder::new().name("disk".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(GLANCE);
            let Some(verdict) = theirs.upgrade() else { return };
            let lost = free.saturating_sub(free_below(&dirs)) >= step;
            let rested = looked.elapsed() > took * SHARE;
            if !(lost && rested || looked.elapsed() > LOOK.max(took * SHARE)) {
                continue;
            }
            free = free_below(&dirs);
            let began = Instant::now();
            let added = size(&dirs).saturating_sub(base);
            (took, looked) = (began.elapsed(), Instant::now());
            if added > limit {
                let _ = verdict.set(format!(
                    "the job added {} MiB to the disk; the limit is {} MiB",
                    added >> 20,
                    limit >> 20
                ));
                return;
            }
        }
    })?;
    Ok(verdict)
}

/// Bytes on the disk below the directories, a directory inside another counted once; links
/// are not followed.
fn size(dirs: &[PathBuf]) -> u64 {
    let mut total = 0u64;
    let outermost = |dir: &&PathBuf| !dirs.iter().any(|other| *dir != other && dir.starts_with(other));
    let mut open: Vec<PathBuf> = dirs.iter().filter(outermost).cloned().collect();
    open.sort();
    open.dedup();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            total += on_disk(&meta).max(ENTRY);
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
    total
}

/// Free bytes of the file systems that hold the directories. Two directories on one file
/// system count twice, which only makes a look come earlier.
fn free_below(dirs: &[PathBuf]) -> u64 {
    let free =
        |dir: &Path| rustix::fs::statvfs(dir).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    dirs.iter().map(|dir| free(dir)).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_does_not_count_and_what_is_added_does() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let inner = dir.path().join("inner");
        std::fs::create_dir(&inner).expect("made");
        std::fs::write(inner.join("old"), vec![1; 4 << 20]).expect("written");
        // A file with a hole takes nothing.
        let sparse = std::fs::File::create(inner.join("sparse")).expect("made");
        sparse.set_len(1 << 40).expect("set");
        let verdict = watch(vec![dir.path().to_owned(), inner.clone()], 3 << 20).expect("watching");
        std::thread::sleep(GLANCE * 2);
        assert_eq!(verdict.get(), None);
        std::fs::write(inner.join("new"), vec![1; 6 << 20]).expect("written");
        let deadline = Instant::now() + Duration::from_secs(60);
        while verdict.get().is_none() {
            assert!(Instant::now() < deadline, "not noticed");
            std::thread::sleep(GLANCE);
        }
        let said = verdict.get().cloned().unwrap_or_default();
        assert!(said.starts_with("the job added ") && said.ends_with("the limit is 3 MiB"), "{said}");
    }
}
