//! What containment this machine offers, found out by trying it once per process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde::Serialize;

use super::Strength;
use super::bubblewrap::Mount;
use super::cgroup::Parent;
use super::{bubblewrap, landlock, seccomp};

/// One line of `doctor`'s section on containment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Such as `bubblewrap`.
    pub name: &'static str,
    /// It works here.
    pub works: bool,
    /// What was seen, one line.
    pub detail: String,
    /// How to get it, when it does not work.
    pub hint: Option<String>,
}

/// What this machine can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The strongest means that works.
    pub strength: Strength,
    /// Connections can be limited to given ports.
    pub network_limited: bool,
    /// Each means, strongest first.
    pub findings: Vec<Finding>,
    /// The `bwrap` program that works.
    #[serde(skip)]
    pub(super) bwrap: Option<PathBuf>,
    /// `bwrap` can give a network of its own.
    #[serde(skip)]
    pub(super) bwrap_net: bool,
    /// Version of Landlock in force; 0 for none.
    #[serde(skip)]
    pub(super) landlock: i32,
    /// The filter on system calls works.
    #[serde(skip)]
    pub(super) filter: bool,
    /// Where control groups can be made.
    #[serde(skip)]
    pub(super) groups: Option<Parent>,
}

/// Tries what this machine can do; the first call takes some ten milliseconds, the later
/// ones nothing.
pub fn probe() -> &'static Probe {
    static PROBE: OnceLock<Probe> = OnceLock::new();
    PROBE.get_or_init(probe_now)
}

fn probe_now() -> Probe {
    let bwrap = match find_on_path("bwrap") {
        None => Err("bwrap is not on PATH".to_owned()),
        Some(path) => try_bwrap(&path, false).map(|()| path),
    };
    let bubblewrap = bubblewrap_finding(&bwrap);
    let bwrap = bwrap.ok();
    let bwrap_net = bwrap.as_deref().is_some_and(|path| try_bwrap(path, true).is_ok());
    let landlock = landlock::version();
    let helper = super::helper().is_some();
    let network_limited = helper && (bwrap_net || landlock >= landlock::CONNECT_VERSION);
    let filter = seccomp::works();
    let groups = Parent::find();
    let findings = vec![
        bubblewrap,
        landlock_finding(landlock),
        network_finding(helper && bwrap_net, network_limited),
        filter_finding(filter),
        attributes_finding(bwrap.is_some()),
        groups_finding(groups.as_ref()),
        orphans_finding(bwrap.is_some()),
    ];
    let strength = if bwrap.is_some() && helper {
        Strength::Bubblewrap
    } else if landlock > 0 && helper {
        Strength::Landlock
    } else {
        Strength::ProcessGroup
    };
    Probe { strength, network_limited, findings, bwrap, bwrap_net, landlock, filter, groups }
}

fn bubblewrap_finding(bwrap: &Result<PathBuf, String>) -> Finding {
    Finding {
        name: "bubblewrap",
        works: bwrap.is_ok(),
        detail: match bwrap {
            Ok(path) => format!("{} works", path.display()),
            Err(reason) => reason.clone(),
        },
        hint: bwrap.is_err().then(|| {
            "install the package `bubblewrap`; if it is installed, allow unprivileged user namespaces \
             (kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu, or an AppArmor profile for bwrap)"
                .to_owned()
        }),
    }
}

fn landlock_finding(version: i32) -> Finding {
    Finding {
        name: "landlock",
        works: version > 0,
        detail: match version {
            0 => "the kernel does not offer it".to_owned(),
            version if version < landlock::CONNECT_VERSION => {
                format!("version {version}: files, no network rules")
            }
            version if version < landlock::SCOPE_VERSION => {
                format!("version {version}: files and TCP connects")
            }
            version => format!("version {version}: files, TCP connects, signals"),
        },
        hint: (version < landlock::CONNECT_VERSION)
            .then(|| "boot a kernel of 6.7 or later with `landlock` in its lsm= list".to_owned()),
    }
}

fn network_finding(own_namespace: bool, limited: bool) -> Finding {
    Finding {
        name: "network",
        works: limited,
        detail: if own_namespace {
            "own network namespace; only the adapter can be reached".to_owned()
        } else if limited {
            "TCP connects are limited by Landlock, other sockets by a filter on system calls".to_owned()
        } else {
            "connections are not limited".to_owned()
        },
        hint: (!limited)
            .then(|| "install bubblewrap, or boot a kernel of 6.7 or later with Landlock".to_owned()),
    }
}

fn filter_finding(filter: bool) -> Finding {
    Finding {
        name: "system calls",
        works: filter,
        detail: if filter {
            "filtered: kernel keyrings, VSOCK, io_uring; with Landlock UDP too".to_owned()
        } else {
            "not filtered: kernel keyrings of the user can be reached".to_owned()
        },
        hint: (!filter).then(|| "boot a kernel with seccomp filters (x86-64 or 64-bit ARM)".to_owned()),
    }
}

fn attributes_finding(bubblewrap: bool) -> Finding {
    Finding {
        name: "attributes",
        works: bubblewrap,
        detail: if bubblewrap {
            "modes and times of files outside are closed, and services that listen on a socket file"
                .to_owned()
        } else {
            "Landlock has no rule for modes, times and extended attributes, nor for socket files: \
             those of the user are open to jobs"
                .to_owned()
        },
        hint: (!bubblewrap).then(|| "install bubblewrap".to_owned()),
    }
}

fn groups_finding(groups: Option<&Parent>) -> Finding {
    Finding {
        name: "control groups",
        works: groups.is_some(),
        detail: match groups {
            Some(parent) if parent.memory => "processes and memory of a tree are limited".to_owned(),
            Some(_) => "processes of a tree are limited; memory only of each process".to_owned(),
            None => "not available here: limits count each process or the whole user, and root's not at all"
                .to_owned(),
        },
        hint: groups.is_none_or(|parent| !parent.memory).then(|| {
            "start Codex inside a delegated group (`systemd-run --user --scope codex`); in a container, \
             mount /sys/fs/cgroup writable"
                .to_owned()
        }),
    }
}

fn orphans_finding(bubblewrap: bool) -> Finding {
    let subreaper = cfg!(target_os = "linux");
    Finding {
        name: "orphaned processes",
        works: bubblewrap || subreaper,
        detail: if bubblewrap {
            "a PID namespace ends every descendant".to_owned()
        } else if subreaper {
            "child subreaper, and a scan of /proc for the run's process tag".to_owned()
        } else {
            "process groups; a process that makes a session of its own can stay behind".to_owned()
        },
        hint: None,
    }
}

/// Runs nothing inside a containment like the real ones.
fn try_bwrap(bwrap: &Path, unshare_net: bool) -> Result<(), String> {
    let (machine, masked) = bubblewrap::proc_here();
    let system = ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/usr", "/etc", "/nix", "/gnu/store"];
    let system = system.iter().map(PathBuf::from).filter(|dir| dir.exists());
    let view = bubblewrap::Layout {
        machine,
        masked,
        bwrap: bwrap.to_owned(),
        links: bubblewrap::links_here(),
        mounts: bubblewrap::fresh_here()
            .into_iter()
            .map(Mount::Fresh)
            .chain(system.map(|dir| Mount::Read(dir.clone(), dir)))
            .collect(),
        cwd: "/".into(),
        unshare_net,
    };
    let argv = bubblewrap::argv(&view, &["/bin/sh".into(), "-c".into(), ":".into()]);
    let output = Command::new(&argv[0])
        .args(&argv[1..])
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("start {}: {error}", bwrap.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(stderr.lines().next().unwrap_or("bwrap failed without a word").chars().take(200).collect())
}

/// The first executable file called `name` in a directory of PATH that can be trusted: an
/// absolute one, outside of what jobs may write.
pub fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = super::environment::variable("PATH")?;
    let root = SANDBOX_ROOT.get().map(PathBuf::as_path);
    let (trusted, _) = config::handover::trusted_path(&path, root);
    trusted.into_iter().map(|dir| dir.join(name)).find(|path| is_executable(path))
}

/// Where no program is looked for.
static SANDBOX_ROOT: OnceLock<PathBuf> = OnceLock::new();

/// Says where jobs may write: programs there are not started by the host. The first word
/// counts.
pub fn set_sandbox_root(root: &Path) {
    let _ = SANDBOX_ROOT.set(root.to_owned());
}

fn is_executable(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    }
    #[cfg(not(unix))]
    path.is_file()
}
