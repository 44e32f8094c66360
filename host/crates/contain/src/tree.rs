//! The processes of a tree: found by parentage and by the process tag in their environment, and
//! killed until none is left. On Linux from `/proc`; elsewhere nothing is found here and
//! the process group does what it can.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::TAG_VARIABLE;

/// How long killing may take before it is given up (a process in an uninterruptible call).
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Kills every process whose environment carries `tag`, and waits until none is left.
/// Returns how many different ones there were. Blocking, some milliseconds when there is
/// none; at most five seconds. For a worker that cleans up after a dead one.
pub fn kill_tagged(tag: &str) -> usize {
    kill_until_gone(|| tagged(tag))
}

/// As [`kill_tagged`], for the tree of a worker that is dead: its control group goes too.
pub fn end_of_dead_worker(tag: &str) -> usize {
    let killed = kill_tagged(tag);
    if let Some(groups) = &super::probe().groups {
        groups.remove(tag);
    }
    killed
}

/// Kills what `find` finds until it finds nothing; the number of different processes.
pub(super) fn kill_until_gone(find: impl Fn() -> Vec<Pid>) -> usize {
    let deadline = Instant::now() + KILL_LIMIT;
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let found = find();
        for pid in &found {
            seen.insert(pid.as_raw_pid());
        }
        // It may be gone by now: that is the aim.
        signal_all(&found, Signal::KILL);
        // A dying process loses its environment before it is dead, so each one that was
        // ever seen is waited for.
        let all_gone = seen.iter().filter_map(|pid| Pid::from_raw(*pid)).all(is_gone);
        if (found.is_empty() && all_gone) || Instant::now() > deadline {
            return seen.len();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends `signal` to each process; one that is gone is no error.
pub(super) fn signal_all(pids: &[Pid], signal: Signal) {
    for pid in pids {
        let _ = rustix::process::kill_process(*pid, signal);
    }
}

/// Dead; an orphaned process that became our own child is reaped, so that no zombie stays.
fn is_gone(pid: Pid) -> bool {
    let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    parse_stat(pid.as_raw_pid(), &String::from_utf8_lossy(&stat)).is_none_or(|entry| entry.zombie)
}

/// Makes this process the one that orphans of its descendants go to.
pub(super) fn become_subreaper() -> bool {
    #[cfg(target_os = "linux")]
    {
        // Any process id that is not zero means "on".
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// One process as `/proc` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub pid: i32,
    pub parent: i32,
    pub zombie: bool,
}

/// Reads one `/proc/<pid>/stat`. The name in parentheses may hold anything, also `)`.
fn parse_stat(pid: i32, stat: &str) -> Option<Entry> {
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Entry { pid, parent, zombie: state == "Z" || state == "X" })
}

fn pids() -> Vec<i32> {
    let Ok(dir) = std::fs::read_dir("/proc") else { return Vec::new() };
    dir.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn entries() -> Vec<Entry> {
    pids()
        .into_iter()
        .filter_map(|pid| {
            parse_stat(pid, &String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/stat")).ok()?))
        })
        .collect()
}

/// Whether `pid` is `root` or one of its descendants.
pub(super) fn is_within(pid: i32, root: i32) -> bool {
    let mut now = pid;
    // Deeper than any chain; it ends even if ids are reused meanwhile.
    for _ in 0..10_000 {
        if now == root {
            return true;
        }
        let Ok(stat) = std::fs::read(format!("/proc/{now}/stat")) else { return false };
        match parse_stat(now, &String::from_utf8_lossy(&stat)) {
            Some(entry) if entry.parent > 0 => now = entry.parent,
            _ => return false,
        }
    }
    false
}

/// Every living descendant of `root`, without itself.
pub(super) fn descendants(root: i32) -> Vec<Pid> {
    descendants_in(&entries(), root).into_iter().filter_map(Pid::from_raw).collect()
}

fn descendants_in(entries: &[Entry], root: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<&Entry>> = HashMap::new();
    for entry in entries.iter().filter(|entry| entry.pid != entry.parent) {
        children.entry(entry.parent).or_default().push(entry);
    }
    let mut open = vec![root];
    let mut found = Vec::new();
    // Taking a parent's children out of the map ends the walk even if ids were reused
    // while the table was read.
    while let Some(parent) = open.pop() {
        for entry in children.remove(&parent).unwrap_or_default() {
            open.push(entry.pid);
            if !entry.zombie {
                found.push(entry.pid);
            }
        }
    }
    found
}

/// The direct children of `parent`.
pub(super) fn children(parent: i32) -> Vec<Pid> {
    entries()
        .iter()
        .filter(|entry| entry.parent == parent)
        .filter_map(|entry| Pid::from_raw(entry.pid))
        .collect()
}

/// Bytes of files without a name that the descendants of this process hold open: a deleted file
/// takes its room until it is closed, and no directory shows it. Blocking, some milliseconds.
pub fn unlinked_bytes() -> u64 {
    let held = descendants(rustix::process::getpid().as_raw_pid());
    let descriptors = held.into_iter().flat_map(|pid| {
        std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid())).into_iter().flatten().flatten()
    });
    let files: std::collections::BTreeMap<(u64, u64), u64> = descriptors
        .filter_map(|entry| {
            // By the number of the link's target: nothing is opened.
            let stat = rustix::fs::stat(entry.path()).ok()?;
            let is_file =
                rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile;
            #[allow(clippy::unnecessary_cast, reason = "the widths differ between systems")]
            (is_file && stat.st_nlink == 0)
                .then_some(((stat.st_dev as u64, stat.st_ino as u64), stat.st_blocks as u64 * 512))
        })
        .collect();
    files.values().sum()
}

/// Every process that carries `tag`, but for this one. A zombie has no environment any
/// more and is not found.
pub(super) fn tagged(tag: &str) -> Vec<Pid> {
    let needle = format!("{TAG_VARIABLE}={tag}");
    let own = rustix::process::getpid().as_raw_pid();
    pids()
        .into_iter()
        .filter(|pid| *pid != own)
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == needle.as_bytes()))
        })
        .filter_map(Pid::from_raw)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines() {
        for (line, expected) in [
            ("12 (sh) S 7 12 12 0", Some(Entry { pid: 12, parent: 7, zombie: false })),
            ("12 (a) b) (c) Z 1 1", Some(Entry { pid: 12, parent: 1, zombie: true })),
            ("12 (cut", None),
            ("12 (x) S", None),
        ] {
            assert_eq!(parse_stat(12, line), expected, "{line}");
        }
    }

    #[test]
    fn descendants_are_transitive() {
        let entry = |pid, parent| Entry { pid, parent, zombie: false };
        let mut tree = vec![entry(2, 1), entry(3, 2), entry(4, 3), entry(9, 1), entry(6, 2), entry(7, 6)];
        // What a zombie has orphaned is not its child any more, but may be while it dies.
        tree.push(Entry { pid: 5, parent: 2, zombie: true });
        tree.push(entry(8, 5));
        let mut found = descendants_in(&tree, 2);
        found.sort_unstable();
        assert_eq!(found, [3, 4, 6, 7, 8]);
        assert_eq!(descendants_in(&tree, 9), [0; 0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_tagged_process_is_found_and_killed() {
        let tag = format!("test-{}", std::process::id());
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "sleep 30 & wait"])
            .env(TAG_VARIABLE, &tag)
            .spawn()
            .expect("a shell");
        while tagged(&tag).len() < 2 {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(kill_tagged(&tag) >= 2);
        assert!(tagged(&tag).is_empty());
        let _ = child.wait();
    }
}
