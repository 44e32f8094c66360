//! How much a running job adds to the disk in the directories that it may write. Limits of
//! the system count one file or one user, not a job, so its directories are looked through:
//! when the disk has lost some space since the last look, and now and then in any case.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use jobfs::Tree;

/// Between looks at the free space, which cost next to nothing.
const GLANCE: Duration = Duration::from_millis(200);
/// Between looks through the directories when the free space says nothing (somebody else
/// may free what the job takes).
const LOOK: Duration = Duration::from_secs(30);
/// Looking takes no more than this part of the time.
const SHARE: u32 = 20;
/// A directory entry counts for this at least: empty files fill a disk too.
const ENTRY: u64 = 512;

/// Directories nested more deeply are not looked through; each level holds a descriptor.
const DEPTH: usize = 200;

/// Set to a sentence once the job has added more than it may.
pub type Verdict = Arc<OnceLock<String>>;

/// Starts watching; ends by itself when nobody holds the verdict any more. What is in
/// `dirs` now is not counted. Blocks while that is looked through.
pub fn watch(dirs: Vec<PathBuf>, limit: u64) -> std::io::Result<Verdict> {
    let verdict = Verdict::default();
    let theirs = Arc::downgrade(&verdict);
    // Before each look, so that what is written meanwhile is counted as lost space.
    let mut free = free_below(&dirs);
    let free_at_start = free;
    let began = Instant::now();
    let base = usage(&dirs);
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
            let now = usage(&dirs);
            let mut added = now.bytes.saturating_sub(base.bytes) + contain::unlinked_bytes();
            if base.whole && !now.whole {
                // The job has put something where it cannot be counted.
                added = added.max(free_at_start.saturating_sub(free));
            }
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

/// What directories take.
struct Usage {
    bytes: u64,
    /// Everything could be looked at.
    whole: bool,
}

/// Bytes on the disk below the directories, a directory inside another counted once; links
/// are not followed.
fn usage(dirs: &[PathBuf]) -> Usage {
    let mut usage = Usage { bytes: 0, whole: true };
    let real: Vec<PathBuf> = dirs.iter().filter_map(|dir| jobfs::own::canonicalize(dir).ok()).collect();
    let mut outermost: Vec<&PathBuf> =
        real.iter().filter(|dir| !real.iter().any(|other| *dir != other && dir.starts_with(other))).collect();
    outermost.sort();
    outermost.dedup();
    // A directory is opened from the one that holds it: its path may be too long to be opened.
    let mut open: Vec<(Rc<Tree>, usize)> =
        outermost.into_iter().filter_map(|dir| Some((Rc::new(Tree::open(dir).ok()?), 0))).collect();
    let mut waiting: Vec<(Rc<Tree>, Vec<u8>, usize)> = Vec::new();
    loop {
        let (dir, depth) = match (open.pop(), waiting.pop()) {
            (Some(next), pending) => {
                waiting.extend(pending);
                next
            }
            (None, Some((above, name, depth))) => match above.dir(&name) {
                Ok(dir) => (Rc::new(dir), depth),
                Err(error) => {
                    usage.whole &= error.kind() == ErrorKind::NotFound;
                    continue;
                }
            },
            (None, None) => return usage,
        };
        let entries = dir.entries_with_meta(b"").unwrap_or_else(|_| {
            usage.whole = false;
            Vec::new()
        });
        for (name, meta) in entries {
            usage.bytes += meta.on_disk.max(ENTRY);
            if meta.is_dir() && depth < DEPTH {
                waiting.push((dir.clone(), name, depth + 1));
            } else if meta.is_dir() {
                usage.whole = false;
            }
        }
    }
}

/// Free bytes of the file systems that hold the directories, each counted once.
fn free_below(dirs: &[PathBuf]) -> u64 {
    let systems: BTreeMap<u64, u64> = dirs
        .iter()
        .filter_map(|dir| {
            let stat = rustix::fs::statvfs(dir).ok()?;
            Some((stat.f_fsid, stat.f_bavail.saturating_mul(stat.f_frsize)))
        })
        .collect();
    systems.values().fold(0, |sum, free| sum.saturating_add(*free))
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

    /// A path that is too long to be opened hides nothing, and what is nested too deeply is noticed.
    #[test]
    fn deep_directories_are_counted_or_noticed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = Tree::open(&dir.path().canonicalize().expect("resolves")).expect("opens");
        let name = [b'd'; 100];
        let mut at = root.dir(b"").expect("opens");
        let mut levels = 0;
        let mut grow = |to: usize| {
            while levels < to {
                at.make_dir(&name).expect("made");
                at = at.dir(&name).expect("opens");
                levels += 1;
            }
            at.replace(b"big", &[1; 3 << 20], 0o644).expect("written");
        };
        let dirs = [dir.path().to_owned()];
        let before = usage(&dirs).bytes;
        grow(DEPTH - 10);
        let deep = usage(&dirs);
        assert!(deep.whole && deep.bytes > before + (3 << 20), "{}", deep.bytes);
        grow(DEPTH + 10);
        assert!(!usage(&dirs).whole);
    }

    #[test]
    fn a_deleted_file_counts_while_it_is_held() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "exec 3>f; rm f; head -c 6000000 /dev/zero >&3; touch ready; sleep 60"])
            .current_dir(dir.path())
            .spawn()
            .expect("a shell");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !dir.path().join("ready").exists() {
            assert!(Instant::now() < deadline, "not ready");
            std::thread::sleep(GLANCE / 10);
        }
        let held = contain::unlinked_bytes();
        let _ = child.kill();
        let _ = child.wait();
        assert!(held >= 6_000_000, "{held}");
    }
}
