//! How a tree is started and ended on Unix. Another system brings a module with the same
//! names: [`prepare`], and a [`Tree`] that implements [`ProcessTree`] (on Windows over a
//! job object).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Pid, Signal};

use super::cgroup::{Group, GroupLimits};
use super::channel::Channel;
use super::helper;
use super::rlimits::Rlimits;
use super::run::{Options, ProcessTree};
use super::{Command, Error, InForce, Limits, Result, Strength};
use super::{bubblewrap, environment, hidden, landlock, plan, probe, tree};

/// Most processes of a tree that sets no limit: no build needs them, a fork bomb would take
/// the whole machine.
const PROCESSES: u64 = 8192;

/// What is to be started and what will be in force.
pub(super) struct Prepared {
    pub(super) argv: Vec<OsString>,
    pub(super) in_force: InForce,
    /// Present when the helper takes part.
    pub(super) channel: Option<Channel>,
    /// The outermost process makes its own session.
    pub(super) own_session: bool,
    /// The tree's control group, gone with this value.
    _group: Option<Arc<Group>>,
}

/// Chooses the means and writes the command line for them.
pub(super) fn prepare(command: &Command, options: &Options) -> Result<Prepared> {
    let Some(program) = command.argv.first() else { return Err(Error::Empty) };
    let probe = probe();
    let helper = super::helper();
    let mut plan = plan::decide(&plan::Given {
        force: options.force,
        bwrap: probe.bwrap.is_some(),
        bwrap_net: probe.bwrap_net,
        landlock: probe.landlock,
        helper: helper.is_some(),
        filter: probe.filter,
        connect_ports: command.limits.connect_ports.as_deref(),
    });
    let home = options.user_home.clone().or_else(environment::user_home);
    let hidden = hidden::existing(home.as_deref(), &command.limits.hidden);
    let writable = existing(&command.limits.writable);
    // The program itself must stay visible wherever it lies.
    let programs: Vec<PathBuf> =
        helper.into_iter().chain([Path::new(program)]).filter_map(|path| path.canonicalize().ok()).collect();

    let mut argv: Vec<OsString> = command.argv.iter().map(OsString::from).collect();
    let mut channel = None;
    let mut group = None;
    let mut limits = Vec::new();
    if let Some(helper) = helper {
        let processes = command.limits.max_processes.unwrap_or(PROCESSES);
        group = group_of(command, processes, &mut plan.warnings).map(Arc::new);
        limits = shown(&command.limits, processes, group.is_some());
        let opened = Channel::open(&plan.forward, group.clone())
            .map_err(|error| Error::Setup(format!("sockets: {error}")))?;
        let files = (plan.strength == Strength::Landlock).then(|| {
            let paths: Vec<PathBuf> = hidden.iter().map(|hide| hide.path.clone()).collect();
            for path in paths.iter().filter(|path| writable.iter().any(|dir| path.starts_with(dir))) {
                plan.warnings
                    .push(format!("{} lies in a writable directory and is not hidden", path.display()));
            }
            // The devices are named one by one: the user, and root without any capability, may
            // own the disk itself, in which every hidden file can be found.
            let hidden: Vec<PathBuf> = paths.iter().cloned().chain([PathBuf::from("/dev")]).collect();
            let mut readable = landlock::readable_beside(&hidden, &landlock::entries);
            readable.extend(programs.iter().cloned());
            landlock::Files { writable: writable.clone(), readable }
        });
        let spec = helper::Spec {
            control: opened.control(),
            forward: opened.forward().to_vec(),
            rules: (files.is_some() || plan.connect_ports.is_some() || plan.scoped).then(|| {
                landlock::Rules { files, connect_ports: plan.connect_ports.clone(), scoped: plan.scoped }
            }),
            limits: Rlimits {
                memory: command.limits.max_memory,
                processes: Some(processes + plan::others(plan.strength)),
                file_size: command.limits.max_file_size,
            },
            sockets: plan.sockets,
            watch_parent: plan.strength != Strength::Bubblewrap,
        };
        let spec = serde_json::to_vec(&spec).map_err(|error| Error::Setup(error.to_string()))?;
        let file = opened.dir().join("spec.json");
        std::fs::write(&file, spec).map_err(|error| Error::Setup(format!("{}: {error}", file.display())))?;
        let prefix =
            [helper.as_os_str().to_owned(), "contained".into(), "--spec".into(), file.into(), "--".into()];
        argv.splice(0..0, prefix);
        channel = Some(opened);
    }
    if let (Strength::Bubblewrap, Some(bwrap)) = (plan.strength, &probe.bwrap) {
        let fresh = bubblewrap::fresh_here();
        let covered = |path: &Path| {
            fresh.iter().any(|dir| path.starts_with(dir))
                || hidden.iter().any(|hide| path.starts_with(&hide.path))
        };
        let of_run = bubblewrap::FROM_RUN.iter().map(PathBuf::from).filter(|place| place.exists());
        let mut readable: Vec<PathBuf> =
            of_run.chain(programs.into_iter().filter(|path| covered(path))).collect();
        readable.extend(channel.iter().map(|channel| channel.dir().to_owned()));
        let (machine, masked) = bubblewrap::proc_here();
        let view = bubblewrap::View {
            machine,
            masked,
            bwrap: bwrap.clone(),
            fresh,
            writable,
            hidden,
            readable: readable.into_iter().map(|path| (path.clone(), path)).collect(),
            cwd: command.cwd.clone(),
            unshare_net: plan.unshare_net,
        };
        argv = bubblewrap::argv(&view, &argv);
    }
    let own_session = channel.is_some() && plan.strength != Strength::Bubblewrap;
    let in_force = InForce {
        strength: plan.strength,
        network_limited: plan.network_limited,
        limits,
        warnings: plan.warnings,
    };
    Ok(Prepared { argv, in_force, channel, own_session, _group: group })
}

/// The tree's control group, where one can be made.
fn group_of(command: &Command, processes: u64, warnings: &mut Vec<String>) -> Option<Group> {
    let limits =
        GroupLimits { processes: Some(processes + plan::PLUMBING), memory: command.limits.max_memory };
    match probe().groups.as_ref().map(|parent| parent.group(&command.mark, limits)) {
        Some(Ok(group)) => return Some(group),
        Some(Err(error)) => warnings.push(format!("a control group could not be made: {error}")),
        None => {}
    }
    if rustix::process::getuid().is_root() {
        warnings.push(
            "the number of processes is not limited: root's are only counted by a control group".into(),
        );
    }
    None
}

/// The limits in words.
fn shown(limits: &Limits, processes: u64, group: bool) -> Vec<String> {
    let memory_of_tree = group && probe().groups.as_ref().is_some_and(|parent| parent.memory);
    let mut shown = Vec::new();
    if group {
        shown.push(format!("{processes} processes of the tree"));
    } else if !rustix::process::getuid().is_root() {
        shown.push(format!("{processes} processes"));
    }
    if let Some(memory) = limits.max_memory {
        let of = if memory_of_tree { "the tree" } else { "one process" };
        shown.push(format!("{} MiB of memory of {of}", memory >> 20));
    }
    if let Some(size) = limits.max_file_size {
        shown.push(format!("{} MiB of one file", size >> 20));
    }
    shown
}

/// Resolved paths of those that exist: what is not there cannot be mounted.
fn existing(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<_> = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
    found.sort();
    found.dedup();
    found
}

/// The tree of one run; dropping it kills what is left.
pub(super) struct Tree {
    root: Pid,
    strength: Strength,
    /// The root is the helper, which ends by itself when its command is gone.
    keeper: bool,
    mark: String,
    gone: bool,
}

impl Tree {
    /// The tree whose first process is `child`.
    pub(super) fn of(
        child: &tokio::process::Child,
        prepared: &Prepared,
        mark: &str,
    ) -> std::io::Result<Self> {
        let root = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Tree {
            root: root.ok_or_else(|| std::io::Error::other("the process has no id"))?,
            strength: prepared.in_force.strength,
            keeper: prepared.channel.is_some(),
            mark: mark.to_owned(),
            gone: false,
        })
    }
}

impl ProcessTree for Tree {
    fn terminate(&self) {
        let mut pids = tree::descendants(self.root.as_raw_pid());
        if self.strength != Strength::Bubblewrap {
            pids.push(self.root);
        }
        tree::signal_all(&pids, Signal::TERM);
    }

    fn kill(&self) {
        match self.strength {
            Strength::Bubblewrap => {
                // The death of the namespace's first process takes the rest with it, and
                // bubblewrap ends when that is done.
                tree::signal_all(&tree::children(self.root.as_raw_pid()), Signal::KILL);
            }
            Strength::Landlock | Strength::ProcessGroup => {
                if !self.keeper {
                    let _ = rustix::process::kill_process_group(self.root, Signal::KILL);
                }
                tree::kill_until_gone(|| tree::descendants(self.root.as_raw_pid()));
            }
        }
    }

    fn finish(&mut self) {
        if self.strength != Strength::Bubblewrap && !self.keeper {
            let _ = rustix::process::kill_process_group(self.root, Signal::KILL);
        }
        tree::kill_mark(&self.mark);
        self.gone = true;
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if !self.gone {
            self.kill();
            tree::signal_all(&[self.root], Signal::KILL);
            self.finish();
        }
    }
}

/// What this process itself must be for its trees to be safe; done once.
pub(super) fn prepare_this_process() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        tree::become_subreaper();
        // Our environment holds the gateway's key. Other processes of the same user cannot
        // read it any more; without this a contained tree in process groups could.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    });
}
