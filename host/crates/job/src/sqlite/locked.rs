//! A worker that was stopped (SIGSTOP, Ctrl-Z) in the middle of a write keeps everybody else
//! from writing for as long as it lives, and nothing in the store says who it is. The kernel
//! does.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// The byte of the `-shm` file that SQLite locks for writing.
/// Source: sqlite.org/walformat.html, "WAL Locks".
const WRITE_LOCK: &str = "120";

/// Ends the stopped worker that holds the write lock of this store; false if there is none.
/// A process that runs, however slowly, is left alone, and so is whatever is no worker.
pub(super) fn end_stopped_holder(db: &Path) -> bool {
    let mut shm = db.as_os_str().to_owned();
    shm.push("-shm");
    let Ok(meta) = std::fs::metadata(shm) else { return false };
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let Some(pid) = holder(&locks, meta.ino()).filter(|pid| is_stopped_worker(*pid)) else { return false };
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    let killed = rustix::process::kill_process(process, Signal::KILL).is_ok();
    tracing::warn!(pid, killed, "a stopped worker kept the store locked");
    let deadline = Instant::now() + Duration::from_secs(2);
    while killed && is_stopped_worker(pid) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    killed
}

/// The process with the write lock on the file of this number. Source: proc_locks(5).
fn holder(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // A line with `->` is of one who waits.
        let &[_, "POSIX", _, "WRITE", pid, file, WRITE_LOCK, _] = fields.as_slice() else { return None };
        (file.rsplit(':').next()?.parse() == Ok(inode)).then(|| pid.parse().ok())?
    })
}

fn is_stopped_worker(pid: u32) -> bool {
    let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let (stat, arguments) = (read("stat"), read("cmdline"));
    let stat = String::from_utf8_lossy(&stat);
    let state = stat.rfind(')').and_then(|at| stat[at + 1..].split_ascii_whitespace().next());
    state == Some("T") && arguments.split(|byte| *byte == 0).any(|argument| argument == b"work")
}

#[cfg(test)]
mod tests {
    use super::holder;

    #[test]
    fn lines_of_locks() {
        let locks = "1: POSIX  ADVISORY  READ 7 fe:00:99 120 120\n\
            2: POSIX  ADVISORY  WRITE 8 fe:00:98 120 120\n\
            3: POSIX  ADVISORY  WRITE 9 fe:00:99 124 124\n\
            4: FLOCK  ADVISORY  WRITE 10 fe:00:99 0 EOF\n\
            5: POSIX  ADVISORY  WRITE 11 fe:00:99 120 120\n\
            5: -> POSIX  ADVISORY  WRITE 12 fe:00:99 120 120\n";
        assert_eq!(holder(locks, 99), Some(11));
        assert_eq!(holder(locks, 98), Some(8));
        assert_eq!(holder(locks, 97), None);
        assert_eq!(holder("", 99), None);
    }
}
