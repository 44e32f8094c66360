//! A control group of its own for each process tree, where this process may make one: the
//! only means that counts root's processes, and the memory of a tree as a whole. Version 2
//! below a parent that hands the controllers on; of version 1 the `pids` controller.
//!
//! The tree is moved in before its command starts (see `channel`), so that nothing of it is
//! ever outside. Nothing about the machine's own groups is changed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::tree;

/// Before a group's own name, so that nobody takes it for somebody else's.
const PREFIX: &str = "codex-worker-";
/// How long the last process of a group may take to be gone.
const GONE: Duration = Duration::from_secs(2);

/// Where groups can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    dir: PathBuf,
    /// Memory can be limited too.
    pub memory: bool,
}

/// The limits of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GroupLimits {
    pub processes: Option<u64>,
    pub memory: Option<u64>,
}

impl Parent {
    /// The place for groups of this process; tried, not guessed.
    pub(super) fn find() -> Option<Parent> {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        candidates(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
            .into_iter()
            .find_map(|(dir, version)| Parent::try_at(&dir, version).ok())
    }

    /// Makes a group there and moves a process in.
    fn try_at(dir: &Path, version: Version) -> io::Result<Parent> {
        let handed_on = std::fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
        let has = |controller: &str| handed_on.split_whitespace().any(|word| word == controller);
        if version == Version::Two && !has("pids") {
            return Err(io::Error::other("the pids controller is not handed on"));
        }
        let parent = Parent { dir: dir.to_owned(), memory: version == Version::Two && has("memory") };
        forget_dead_probes(dir);
        let group = parent.group(
            &format!("probe-{}", std::process::id()),
            GroupLimits { processes: Some(64), memory: None },
        )?;
        let mut child = std::process::Command::new("/bin/sleep").arg("5").env_clear().spawn()?;
        let entered = group.enter(child.id());
        let _ = child.kill();
        let _ = child.wait();
        drop(group);
        entered.map(|()| parent)
    }

    /// A new group.
    pub(super) fn group(&self, name: &str, limits: GroupLimits) -> io::Result<Group> {
        let dir = self.dir.join(format!("{PREFIX}{name}"));
        std::fs::create_dir(&dir)?;
        let group = Group { dir };
        let set = |file: &str, value: u64| std::fs::write(group.dir.join(file), value.to_string());
        if let Some(processes) = limits.processes {
            set("pids.max", processes)?;
        }
        if let Some(memory) = limits.memory.filter(|_| self.memory) {
            set("memory.max", memory)?;
            // Without swap the limit is one; a kernel without swap has no such file. And a
            // tree that is too large ends as a whole, not one process that others wait for.
            let _ = set("memory.swap.max", 0);
            let _ = set("memory.oom.group", 1);
        }
        Ok(group)
    }

    /// Ends and removes a group that a dead worker left.
    pub(super) fn remove(&self, name: &str) {
        let dir = self.dir.join(format!("{PREFIX}{name}"));
        if dir.is_dir() {
            drop(Group { dir });
        }
    }
}

/// One tree's group; ended and removed when dropped.
#[derive(Debug)]
pub(super) struct Group {
    dir: PathBuf,
}

impl Group {
    /// Moves a process in, with all that it will start.
    pub(super) fn enter(&self, pid: u32) -> io::Result<()> {
        std::fs::write(self.dir.join("cgroup.procs"), pid.to_string())
    }

    fn members(&self) -> Vec<Pid> {
        std::fs::read_to_string(self.dir.join("cgroup.procs"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| Pid::from_raw(line.parse().ok()?))
            .collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let deadline = Instant::now() + GONE;
        // All at once where the kernel can (5.14), and one by one.
        let kill = self.dir.join("cgroup.kill");
        if kill.exists() {
            let _ = std::fs::write(kill, "1");
        }
        while std::fs::remove_dir(&self.dir).is_err() && self.dir.is_dir() {
            tree::signal_all(&self.members(), Signal::KILL);
            if Instant::now() > deadline {
                tracing::warn!(group = %self.dir.display(), "not removed");
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Removes the empty groups of processes that were killed while they tried.
fn forget_dead_probes(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_prefix("probe-"));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Where a group could be made, from `/proc/self/cgroup` and `/proc/self/mountinfo`. Pure.
fn candidates(own: &str, mounts: &str) -> Vec<(PathBuf, Version)> {
    let mut found = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if path.contains("/..") {
            // Outside of what this process can see.
            continue;
        }
        let below = |root: PathBuf| root.join(path.trim_start_matches('/'));
        if controllers.is_empty() {
            let Some(own) = mount_of(mounts, "cgroup2", None).map(below) else { continue };
            // Beside this process's own group: a group with processes of its own may not
            // hand controllers on.
            found
                .extend(own.parent().filter(|_| path != "/").map(|parent| (parent.to_owned(), Version::Two)));
            found.push((own, Version::Two));
        } else if controllers.split(',').any(|controller| controller == "pids") {
            found.extend(mount_of(mounts, "cgroup", Some("pids")).map(|root| (below(root), Version::One)));
        }
    }
    found
}

/// Where a file system of this kind is mounted. Source: proc_pid_mountinfo(5).
fn mount_of(mounts: &str, kind: &str, option: Option<&str>) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = after.split(' ');
        let (found, options) = (fields.next()?, fields.nth(1)?);
        let has = option.is_none_or(|option| options.split(',').any(|word| word == option));
        (found == kind && has).then(|| PathBuf::from(before.split(' ').nth(4).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "24 1 0:21 / /proc rw - proc proc rw\n\
        30 24 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n\
        31 24 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";

    #[test]
    fn where_groups_can_be_made() {
        for (own, expected) in [
            (
                "0::/user.slice/app.slice/x.scope\n",
                "/sys/fs/cgroup/user.slice/app.slice /sys/fs/cgroup/user.slice/app.slice/x.scope",
            ),
            ("0::/\n", "/sys/fs/cgroup/"),
            ("0::/../other\n", ""),
            ("8:pids:/a\n4:memory:/b\n", "/sys/fs/cgroup/pids/a"),
            ("nonsense", ""),
        ] {
            let found: Vec<String> =
                candidates(own, MOUNTS).into_iter().map(|(dir, _)| dir.display().to_string()).collect();
            assert_eq!(found.join(" "), expected, "{own}");
        }
        assert_eq!(candidates("0::/x", "24 1 0:21 / /proc rw - proc proc rw"), []);
    }

    /// A directory stands for the kernel's: the files and what is written to them.
    #[test]
    fn limits_are_written_and_a_left_group_is_removed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let parent = Parent { dir: dir.path().to_owned(), memory: true };
        let limits = GroupLimits { processes: Some(100), memory: Some(1 << 20) };
        let group = parent.group("x", limits).expect("made");
        let read = |file: &str| std::fs::read_to_string(dir.path().join("codex-worker-x").join(file));
        for (file, expected) in [
            ("pids.max", "100"),
            ("memory.max", "1048576"),
            ("memory.swap.max", "0"),
            ("memory.oom.group", "1"),
        ] {
            assert_eq!(read(file).ok().as_deref(), Some(expected), "{file}");
        }
        group.enter(77).expect("written");
        assert_eq!(read("cgroup.procs").ok().as_deref(), Some("77"));
        #[expect(
            clippy::disallowed_methods,
            reason = "its end would wait for the kernel, which is played by files"
        )]
        std::mem::forget(group);
        std::fs::create_dir(dir.path().join("codex-worker-y")).expect("made");
        parent.remove("y");
        assert!(!dir.path().join("codex-worker-y").exists());
        parent.remove("not there");
        let (dead, alive) =
            ("codex-worker-probe-999999999", format!("codex-worker-probe-{}", std::process::id()));
        for name in [dead, &alive] {
            std::fs::create_dir(dir.path().join(name)).expect("made");
        }
        forget_dead_probes(dir.path());
        assert!(!dir.path().join(dead).exists());
        assert!(dir.path().join(alive).exists() || !cfg!(target_os = "linux"));
    }
}
