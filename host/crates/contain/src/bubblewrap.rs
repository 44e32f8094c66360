//! The argument list of bubblewrap: a PID namespace, a read-only file system with the
//! writable places laid over it, credentials hidden. Pure; [`super::run()`] executes it.
//!
//! All capabilities are dropped: as root bubblewrap keeps them otherwise, and
//! `mount -o remount,rw /` would undo the read-only root. What needs no capability but only
//! the number 0, such as `/proc/sys/kernel/core_pattern`, is laid over read-only.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::hidden::Hide;

/// Directories that every containment gets empty and of its own: other processes' files
/// and sockets (D-Bus, Docker, ssh-agent, X11) lie there, and a socket is a way out that a
/// read-only file system does not close.
const FRESH: &[&str] = &["/tmp", "/var/tmp", "/run"];

/// What programs need from `/run`, as far as it exists: names are resolved there, NixOS
/// keeps its programs there.
pub(super) const FROM_RUN: &[&str] = &[
    "/run/current-system",
    "/run/opengl-driver",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
];

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

/// Most bytes of a fresh directory, which lies in memory. Bulky things belong into the
/// job's own temporary directory, which TMPDIR names.
const FRESH_BYTES: &str = "1073741824";

/// Everything that decides the arguments; the paths exist and are resolved.
#[derive(Clone, Debug)]
pub struct View {
    /// The `bwrap` program.
    pub bwrap: PathBuf,
    /// The fresh directories that exist on this machine, of `FRESH`.
    pub fresh: Vec<PathBuf>,
    /// Places that can be written.
    pub writable: Vec<PathBuf>,
    /// Places that cannot be seen.
    pub hidden: Vec<Hide>,
    /// Places inside fresh or hidden ones that stay readable: source, place inside.
    pub readable: Vec<(PathBuf, PathBuf)>,
    /// The working directory.
    pub cwd: PathBuf,
    /// No network but its own loopback.
    pub unshare_net: bool,
    /// Parts of `/proc` that exist here: those of the machine, and those that are masked.
    pub machine: Vec<PathBuf>,
    /// See [`View::machine`].
    pub masked: Vec<PathBuf>,
}

/// The parts of `/proc` that exist here, as [`View::machine`] and [`View::masked`].
pub fn proc_here() -> (Vec<PathBuf>, Vec<PathBuf>) {
    let existing = |paths: &[&str]| paths.iter().map(PathBuf::from).filter(|path| path.exists()).collect();
    (existing(MACHINE), existing(MASKED))
}

/// The fresh directories that exist here.
pub fn fresh_here() -> Vec<PathBuf> {
    FRESH.iter().map(PathBuf::from).filter(|path| path.symlink_metadata().is_ok_and(|m| m.is_dir())).collect()
}

enum Mount<'a> {
    Fresh(&'a Path),
    Write(&'a Path),
    Hide(&'a Hide),
    Read(&'a Path, &'a Path),
}

impl Mount<'_> {
    fn place(&self) -> &Path {
        match self {
            Mount::Fresh(path) | Mount::Write(path) | Mount::Read(_, path) => path,
            Mount::Hide(hide) => &hide.path,
        }
    }
}

/// The whole command line: `inner` is what runs inside.
pub fn argv(view: &View, inner: &[OsString]) -> Vec<OsString> {
    let mut mounts: Vec<Mount<'_>> = Vec::new();
    mounts.extend(view.fresh.iter().map(|path| Mount::Fresh(path)));
    mounts.extend(view.writable.iter().map(|path| Mount::Write(path)));
    mounts.extend(view.readable.iter().map(|(from, to)| Mount::Read(from, to)));
    // A hidden place inside a fresh one is gone already, unless something is bound back.
    mounts.extend(view.hidden.iter().map(Mount::Hide));
    // A mount covers what was mounted below it before, so the outer ones come first. On the
    // same place the later kind wins: hiding wins over writing.
    mounts.sort_by_key(|mount| mount.place().components().count());

    let mut args: Vec<OsString> = vec![view.bwrap.clone().into()];
    let mut push = |parts: &[&std::ffi::OsStr]| args.extend(parts.iter().map(|part| (*part).to_owned()));
    for flag in ["--unshare-pid", "--unshare-ipc", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    {
        push(&[flag.as_ref()]);
    }
    if view.unshare_net {
        push(&["--unshare-net".as_ref()]);
    }
    push(&["--ro-bind".as_ref(), "/".as_ref(), "/".as_ref()]);
    push(&["--dev".as_ref(), "/dev".as_ref()]);
    push(&["--perms", "1777", "--size", FRESH_BYTES, "--tmpfs", "/dev/shm"].map(AsRef::as_ref));
    push(&["--proc".as_ref(), "/proc".as_ref()]);
    for part in &view.machine {
        push(&["--ro-bind".as_ref(), part.as_os_str(), part.as_os_str()]);
    }
    for part in &view.masked {
        push(&["--ro-bind".as_ref(), "/dev/null".as_ref(), part.as_os_str()]);
    }
    for mount in &mounts {
        let place = mount.place().as_os_str();
        match mount {
            Mount::Fresh(_) => push(&[
                "--perms".as_ref(),
                "1777".as_ref(),
                "--size".as_ref(),
                FRESH_BYTES.as_ref(),
                "--tmpfs".as_ref(),
                place,
            ]),
            Mount::Write(_) => push(&["--bind".as_ref(), place, place]),
            Mount::Read(from, _) => push(&["--ro-bind".as_ref(), from.as_os_str(), place]),
            Mount::Hide(hide) if hide.is_dir => {
                push(&["--perms".as_ref(), "0555".as_ref(), "--tmpfs".as_ref(), place])
            }
            Mount::Hide(_) => push(&["--ro-bind".as_ref(), "/dev/null".as_ref(), place]),
        }
    }
    // A hidden directory lies in memory and belongs to the user who could open and fill it;
    // what was mounted inside it is not touched by this.
    push(&["--remount-ro".as_ref(), "/dev".as_ref()]);
    for hide in view.hidden.iter().filter(|hide| hide.is_dir) {
        push(&["--remount-ro".as_ref(), hide.path.as_os_str()]);
    }
    push(&["--chdir".as_ref(), view.cwd.as_os_str(), "--".as_ref()]);
    args.extend(inner.iter().cloned());
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        View {
            bwrap: "/usr/bin/bwrap".into(),
            fresh: vec!["/tmp".into(), "/run".into()],
            writable: vec!["/state/jobs/7/worktree".into(), "/home/u".into()],
            hidden: vec![
                Hide { path: "/home/u/.ssh".into(), is_dir: true },
                Hide { path: "/home/u/.netrc".into(), is_dir: false },
                Hide { path: "/state".into(), is_dir: true },
            ],
            readable: vec![("/run/current-system".into(), "/run/current-system".into())],
            cwd: "/state/jobs/7/worktree".into(),
            unshare_net: true,
            machine: vec!["/proc/sys".into()],
            masked: vec!["/proc/keys".into()],
        }
    }

    fn flat(view: &View) -> String {
        let args = argv(view, &["sh".into(), "-c".into(), "x".into()]);
        let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        args.join(" ").replace(" --", "\n--")
    }

    #[test]
    fn arguments() {
        insta::assert_snapshot!(flat(&view()), @r"
        /usr/bin/bwrap
        --unshare-pid
        --unshare-ipc
        --die-with-parent
        --new-session
        --cap-drop ALL
        --unshare-net
        --ro-bind / /
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
        --perms 0555
        --tmpfs /state
        --bind /home/u /home/u
        --ro-bind /run/current-system /run/current-system
        --perms 0555
        --tmpfs /home/u/.ssh
        --ro-bind /dev/null /home/u/.netrc
        --bind /state/jobs/7/worktree /state/jobs/7/worktree
        --remount-ro /dev
        --remount-ro /home/u/.ssh
        --remount-ro /state
        --chdir /state/jobs/7/worktree
        -- sh -c x
        ");
    }

    /// What lies deeper is mounted later, whatever the kinds.
    #[test]
    fn order_of_mounts() {
        for (case, outer, inner) in [
            ("the job's own part of the hidden state", "--tmpfs /state\n", "--bind /state/jobs/7/worktree"),
            ("a credential inside a writable home", "--bind /home/u ", "--tmpfs /home/u/.ssh"),
            ("a program inside a fresh directory", "--tmpfs /run\n", "--ro-bind /run/current-system"),
        ] {
            let text = flat(&view());
            let (outer, inner) = (text.find(outer), text.find(inner));
            assert!(outer.is_some() && outer < inner, "{case}: {outer:?} {inner:?}");
        }
    }

    #[test]
    fn hiding_wins_over_writing() {
        let mut view = view();
        view.writable = vec!["/home/u/.ssh".into()];
        let text = flat(&view);
        assert!(text.find("--bind /home/u/.ssh") < text.find("--tmpfs /home/u/.ssh"), "{text}");
    }
}
