//! The argument list of bubblewrap: a PID namespace and a file system of its own, in which
//! the places of the view are mounted and nothing else is. Pure; [`super::run()`] executes it.
//!
//! All capabilities are dropped: as root bubblewrap keeps them otherwise, and
//! `mount -o remount,rw` would undo what is read-only. What needs no capability but only
//! the number 0, such as `/proc/sys/kernel/core_pattern`, is mounted over read-only.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::hidden::Hide;

/// Directories that every containment gets empty and of its own: other processes' files
/// and sockets (D-Bus, Docker, ssh-agent, X11) are there, and a socket is a way out that a
/// read-only file system does not close.
const FRESH: &[&str] = &["/tmp", "/var/tmp", "/run"];

/// Parts of `/proc` that belong to the whole machine. Root without a capability may write
/// them still: a core pattern that begins with `|` is a program that the kernel starts
/// outside of everything.
const MACHINE: &[&str] = &[
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/proc/irq",
    "/proc/bus",
    "/proc/fs",
    "/proc/mtrr",
    "/proc/pressure",
    "/proc/acpi",
];

/// Files of `/proc` that tell of the machine's other processes and users.
const MASKED: &[&str] = &[
    "/proc/keys",
    "/proc/key-users",
    "/proc/kcore",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/sched_debug",
];

/// Most bytes of a fresh directory, which is in memory. Bulky things belong into the
/// job's own temporary directory, which TMPDIR names.
const FRESH_BYTES: &str = "1073741824";

/// One mount of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// An empty directory of the tree's own, in memory.
    Fresh(PathBuf),
    /// The first, readable at the second.
    Read(PathBuf, PathBuf),
    /// The first, writable at the second.
    Write(PathBuf, PathBuf),
    /// It stays what it is but becomes a mount, which can be neither moved nor removed.
    Fix(PathBuf),
    /// It stays what it is and cannot be written.
    Keep(PathBuf),
    /// It cannot be seen.
    Hide(Hide),
}

impl Mount {
    fn destination(&self) -> &Path {
        match self {
            Mount::Fresh(destination) | Mount::Fix(destination) | Mount::Keep(destination) => destination,
            Mount::Read(_, destination) | Mount::Write(_, destination) => destination,
            Mount::Hide(hide) => &hide.path,
        }
    }

    /// Of two mounts at the same place the later kind wins.
    fn rank(&self) -> u8 {
        match self {
            Mount::Fresh(_) => 0,
            Mount::Read(..) => 1,
            Mount::Write(..) => 2,
            Mount::Fix(_) => 3,
            Mount::Keep(_) => 4,
            Mount::Hide(_) => 5,
        }
    }
}

/// Everything that decides the arguments; the paths exist and sources are resolved.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The `bwrap` program.
    pub bwrap: PathBuf,
    /// Links in the root directory, such as `/bin`: what each leads to, and its name.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// What is mounted, in any order.
    pub mounts: Vec<Mount>,
    /// The working directory.
    pub cwd: PathBuf,
    /// No network but its own loopback.
    pub unshare_net: bool,
    /// Parts of `/proc` that exist here: those of the machine, and those that are masked.
    pub machine: Vec<PathBuf>,
    /// See [`Layout::machine`].
    pub masked: Vec<PathBuf>,
}

/// The parts of `/proc` that exist here, as [`Layout::machine`] and [`Layout::masked`].
pub fn proc_here() -> (Vec<PathBuf>, Vec<PathBuf>) {
    let existing = |paths: &[&str]| paths.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
    (existing(MACHINE), existing(MASKED))
}

/// The fresh directories that exist here.
pub fn fresh_here() -> Vec<PathBuf> {
    FRESH.iter().map(PathBuf::from).filter(|path| path.symlink_metadata().is_ok_and(|m| m.is_dir())).collect()
}

/// The links in the root directory, and what each leads to.
pub fn links_here() -> Vec<(PathBuf, PathBuf)> {
    let entries = std::fs::read_dir("/").into_iter().flatten().flatten();
    let mut links: Vec<_> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()))
        .filter_map(|entry| Some((std::fs::read_link(entry.path()).ok()?, entry.path())))
        .collect();
    links.sort();
    links
}

/// The whole command line: `inner` is what runs inside.
pub fn argv(layout: &Layout, inner: &[OsString]) -> Vec<OsString> {
    let is_link = |path: &Path| layout.links.iter().any(|(_, link)| link == path);
    let mut mounts: Vec<&Mount> =
        layout.mounts.iter().filter(|mount| !is_link(mount.destination())).collect();
    // A mount covers what was mounted below it before, so the outer ones come first.
    mounts.sort_by_key(|mount| (mount.destination().components().count(), mount.rank()));

    let mut args: Vec<OsString> = vec![layout.bwrap.clone().into()];
    let mut push = |parts: &[&std::ffi::OsStr]| args.extend(parts.iter().map(|part| (*part).to_owned()));
    for flag in ["--unshare-pid", "--unshare-ipc", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    {
        push(&[flag.as_ref()]);
    }
    if layout.unshare_net {
        push(&["--unshare-net".as_ref()]);
    }
    for (target, link) in &layout.links {
        push(&["--symlink".as_ref(), target.as_os_str(), link.as_os_str()]);
    }
    push(&["--dev".as_ref(), "/dev".as_ref()]);
    push(&["--perms", "1777", "--size", FRESH_BYTES, "--tmpfs", "/dev/shm"].map(AsRef::as_ref));
    push(&["--proc".as_ref(), "/proc".as_ref()]);
    for part in &layout.machine {
        push(&["--ro-bind".as_ref(), part.as_os_str(), part.as_os_str()]);
    }
    for part in &layout.masked {
        push(&["--ro-bind".as_ref(), "/dev/null".as_ref(), part.as_os_str()]);
    }
    for mount in &mounts {
        let destination = mount.destination().as_os_str();
        match mount {
            Mount::Fresh(_) => push(&[
                "--perms".as_ref(),
                "1777".as_ref(),
                "--size".as_ref(),
                FRESH_BYTES.as_ref(),
                "--tmpfs".as_ref(),
                destination,
            ]),
            Mount::Read(from, _) => push(&["--ro-bind".as_ref(), from.as_os_str(), destination]),
            Mount::Write(from, _) => push(&["--bind".as_ref(), from.as_os_str(), destination]),
            Mount::Fix(_) => push(&["--bind".as_ref(), destination, destination]),
            Mount::Keep(_) => push(&["--ro-bind".as_ref(), destination, destination]),
            Mount::Hide(hide) if hide.is_dir => {
                push(&["--perms".as_ref(), "0555".as_ref(), "--tmpfs".as_ref(), destination])
            }
            Mount::Hide(_) => push(&["--ro-bind".as_ref(), "/dev/null".as_ref(), destination]),
        }
    }
    // A hidden directory and the root are in memory and belong to the user, who could fill
    // them; what was mounted inside is not touched by this.
    push(&["--remount-ro".as_ref(), "/dev".as_ref()]);
    for mount in &mounts {
        if let Mount::Hide(hide) = mount
            && hide.is_dir
        {
            push(&["--remount-ro".as_ref(), hide.path.as_os_str()]);
        }
    }
    push(&["--remount-ro".as_ref(), "/".as_ref()]);
    push(&["--chdir".as_ref(), layout.cwd.as_os_str(), "--".as_ref()]);
    args.extend(inner.iter().cloned());
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        let same = |path: &str| (PathBuf::from(path), PathBuf::from(path));
        let read = |path| Mount::Read(same(path).0, same(path).1);
        let write = |path| Mount::Write(same(path).0, same(path).1);
        let hide = |path: &str, is_dir| Mount::Hide(Hide { path: path.into(), is_dir });
        Layout {
            bwrap: "/usr/bin/bwrap".into(),
            links: vec![("usr/bin".into(), "/bin".into())],
            mounts: vec![
                hide("/home/u/.ssh", true),
                hide("/home/u/.netrc", false),
                hide("/state", true),
                Mount::Keep("/home/u/.git/config".into()),
                Mount::Fix("/home/u/.git".into()),
                write("/state/jobs/7/worktree"),
                write("/home/u"),
                read("/usr"),
                read("/bin"),
                read("/run/current-system"),
                Mount::Fresh("/tmp".into()),
                Mount::Fresh("/run".into()),
            ],
            cwd: "/state/jobs/7/worktree".into(),
            unshare_net: true,
            machine: vec!["/proc/sys".into()],
            masked: vec!["/proc/keys".into()],
        }
    }

    fn flat(layout: &Layout) -> String {
        let args = argv(layout, &["sh".into(), "-c".into(), "x".into()]);
        let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        args.join(" ").replace(" --", "\n--")
    }

    #[test]
    fn arguments() {
        insta::assert_snapshot!(flat(&layout()), @r"
        /usr/bin/bwrap
        --unshare-pid
        --unshare-ipc
        --die-with-parent
        --new-session
        --cap-drop ALL
        --unshare-net
        --symlink usr/bin /bin
        --dev /dev
        --perms 1777
        --size 1073741824
        --tmpfs /dev/shm
        --proc /proc
        --ro-bind /proc/sys /proc/sys
        --ro-bind /dev/null /proc/keys
        --perms 1777
        --size 1073741824
        --tmpfs /tmp
        --perms 1777
        --size 1073741824
        --tmpfs /run
        --ro-bind /usr /usr
        --perms 0555
        --tmpfs /state
        --ro-bind /run/current-system /run/current-system
        --bind /home/u /home/u
        --bind /home/u/.git /home/u/.git
        --perms 0555
        --tmpfs /home/u/.ssh
        --ro-bind /dev/null /home/u/.netrc
        --bind /state/jobs/7/worktree /state/jobs/7/worktree
        --ro-bind /home/u/.git/config /home/u/.git/config
        --remount-ro /dev
        --remount-ro /state
        --remount-ro /home/u/.ssh
        --remount-ro /
        --chdir /state/jobs/7/worktree
        -- sh -c x
        ");
    }

    /// What is deeper is mounted later, whatever the kinds.
    #[test]
    fn order_of_mounts() {
        for (case, outer, inner) in [
            ("the job's own part of the hidden state", "--tmpfs /state\n", "--bind /state/jobs/7/worktree"),
            ("a credential inside a writable home", "--bind /home/u ", "--tmpfs /home/u/.ssh"),
            ("a program inside a fresh directory", "--tmpfs /run\n", "--ro-bind /run/current-system"),
            ("what stays inside what is fixed", "--bind /home/u/.git /", "--ro-bind /home/u/.git/config"),
        ] {
            let text = flat(&layout());
            let (outer, inner) = (text.find(outer), text.find(inner));
            assert!(outer.is_some() && outer < inner, "{case}: {outer:?} {inner:?}");
        }
    }

    #[test]
    fn hiding_wins_over_writing() {
        let mut layout = layout();
        layout.mounts.push(Mount::Write("/home/u/.ssh".into(), "/home/u/.ssh".into()));
        let text = flat(&layout);
        assert!(text.find("--bind /home/u/.ssh") < text.find("--tmpfs /home/u/.ssh"), "{text}");
    }
}
