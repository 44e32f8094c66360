//! How a tree is started and ended on Unix. Another system brings a module with the same
//! names: [`prepare`], and a [`Tree`] that implements [`ProcessTree`] (on Windows over a
//! job object).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Pid, Signal};

use super::bubblewrap::Mount;
use super::cgroup::{Group, GroupLimits};
use super::channel::Channel;
use super::helper;
use super::home::Furniture;
use super::landlock::Identity;
use super::plan::Plan;
use super::repository::Protection;
use super::rlimits::Rlimits;
use super::run::{Options, ProcessTree};
use super::view::View;
use super::{Command, Error, InForce, Limits, Result, Strength, TAG_VARIABLE};
use super::{bubblewrap, environment, landlock, plan, probe, tree};

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
    /// What is watched while it runs.
    pub(super) protection: Protection,
    /// Where it may leave files.
    pub(super) writable: Vec<PathBuf>,
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
    let programs: Vec<&Path> = helper.into_iter().chain([Path::new(program)]).collect();
    let view = View::of(command, home.as_deref(), &programs).map_err(Error::Setup)?;
    plan.warnings.extend(view.protection.warnings.iter().cloned());
    if rustix::process::getuid().is_root() {
        plan.warnings.push("the host runs as root: use a user of its own for it".into());
    }
    if plan.strength != Strength::Bubblewrap
        && let Some(bind) = view.binds.first()
    {
        let (source, place) = (bind.source.display(), bind.destination.display());
        return Err(Error::Setup(format!("show {source} at {place}: only bubblewrap can")));
    }

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
        let spec = spec(command, &mut plan, &view, processes, &opened)?;
        let spec = serde_json::to_vec(&spec).map_err(|error| Error::Setup(error.to_string()))?;
        let file = opened.dir().join("spec.json");
        std::fs::write(&file, spec).map_err(|error| Error::Setup(format!("{}: {error}", file.display())))?;
        let prefix =
            [helper.as_os_str().to_owned(), "contained".into(), "--spec".into(), file.into(), "--".into()];
        argv.splice(0..0, prefix);
        channel = Some(opened);
    }
    if let (Strength::Bubblewrap, Some(bwrap)) = (plan.strength, &probe.bwrap) {
        let layout = layout(command, bwrap, &view, channel.as_ref(), plan.unshare_net);
        argv = bubblewrap::argv(&layout, &argv);
    }
    let own_session = channel.is_some() && plan.strength != Strength::Bubblewrap;
    let in_force = InForce {
        strength: plan.strength,
        network_limited: plan.network_limited,
        limits,
        warnings: plan.warnings,
    };
    let writable = view.writable.iter().map(|shown| shown.source.clone()).collect();
    Ok(Prepared {
        argv,
        in_force,
        channel,
        own_session,
        protection: view.protection,
        writable,
        _group: group,
    })
}

/// The helper's instructions.
fn spec(
    command: &Command,
    plan: &mut Plan,
    view: &View,
    processes: u64,
    channel: &Channel,
) -> Result<helper::Spec> {
    let writable = identities(view.writable.iter().map(|shown| (&shown.source, &shown.source)))?;
    let untrusted: Vec<PathBuf> =
        command.limits.untrusted.iter().filter_map(|dir| dir.canonicalize().ok()).collect();
    let files = match plan.strength {
        Strength::Landlock => Some(files(plan, view, writable.clone(), &untrusted)?),
        _ => None,
    };
    // Mounted by name: the helper, inside, compares what it got.
    let same = if plan.strength == Strength::Bubblewrap {
        let kept = view.protection.fixed.iter().chain(&view.protection.read_only);
        let bound = view.writable.iter().filter(|shown| is_bound(view, &shown.source));
        let read = view.readable.iter().filter(|shown| is_below(&shown.source, &untrusted));
        let read = read.filter(|shown| !is_covered(view, &shown.at));
        let mut same = identities(
            bound.chain(read).map(|shown| (&shown.source, &shown.at)).chain(kept.map(|path| (path, path))),
        )?;
        let plain = writable.into_iter().filter(|place| !is_covered(view, &place.path));
        same.extend(plain.filter(|place| !is_bound(view, &place.path)));
        same
    } else {
        Vec::new()
    };
    let mut env = command.env.clone();
    env.insert(TAG_VARIABLE.to_owned(), command.tag.clone());
    let git = environment::git_settings();
    let home = command.env.get("HOME").map(|home| Path::new(home).join(".gitconfig"));
    let home = home.filter(|_| !git.is_empty());
    Ok(helper::Spec {
        control: channel.control(),
        env,
        same,
        furniture: Furniture {
            links: view.home_links.clone(),
            files: home.into_iter().map(|path| (path, environment::git_file(git))).collect(),
        },
        forward: channel.forward().to_vec(),
        rules: (files.is_some() || plan.connect_ports.is_some() || plan.scoped).then(|| landlock::Rules {
            files,
            connect_ports: plan.connect_ports.clone(),
            scoped: plan.scoped,
        }),
        limits: Rlimits {
            memory: command.limits.max_memory,
            processes: Some(processes + plan::others(plan.strength)),
            file_size: command.limits.max_file_size,
        },
        filter: plan.filter.clone(),
        watch_parent: plan.strength != Strength::Bubblewrap,
    })
}

/// What is at each source now, under the name at which it will be looked at. A source that is
/// reached through a link was resolved before: somebody has put the link there since.
fn identities<'a>(places: impl Iterator<Item = (&'a PathBuf, &'a PathBuf)>) -> Result<Vec<Identity>> {
    places
        .map(|(source, at)| {
            let found = Identity::unlinked(source).map_err(|error| {
                Error::Setup(format!(
                    "{} was replaced while the containment was made: {error}",
                    source.display()
                ))
            })?;
            Ok(Identity { path: at.clone(), ..found })
        })
        .collect()
}

fn is_below(path: &Path, dirs: &[PathBuf]) -> bool {
    dirs.iter().any(|dir| path.starts_with(dir))
}

/// The place is shown under another name, and only there.
fn is_bound(view: &View, place: &Path) -> bool {
    view.binds.iter().any(|bind| place.starts_with(&bind.source))
}

/// Something else is shown at the place.
fn is_covered(view: &View, place: &Path) -> bool {
    let by_bind = view.binds.iter().any(|bind| place.starts_with(&bind.destination));
    by_bind || view.hidden.iter().any(|hide| hide.path == place)
}

/// Landlock's rules on files.
fn files(
    plan: &mut Plan,
    view: &View,
    writable: Vec<Identity>,
    untrusted: &[PathBuf],
) -> Result<landlock::Files> {
    let hidden: Vec<PathBuf> = view.hidden.iter().map(|hide| hide.path.clone()).collect();
    for path in hidden.iter().filter(|path| writable.iter().any(|dir| path.starts_with(&dir.path))) {
        plan.warnings.push(format!("{} is in a writable directory and is not hidden", path.display()));
    }
    // The devices are named one by one (see `landlock_linux`): root without any capability
    // may own the disk itself, in which every hidden file can be found.
    let roots: Vec<PathBuf> = view.readable.iter().map(|shown| shown.source.clone()).collect();
    let roots: Vec<PathBuf> = roots.into_iter().chain([PathBuf::from("/proc")]).collect();
    let (readable, listed) = landlock::readable_beside(&roots, &hidden, &landlock::entries);
    let (in_question, readable): (Vec<PathBuf>, Vec<PathBuf>) =
        readable.into_iter().partition(|path| is_below(path, untrusted));
    let readable_same = identities(in_question.iter().map(|path| (path, path)))?;
    Ok(landlock::Files { writable, readable, readable_same, listed })
}

/// Bubblewrap's mounts.
fn layout(
    command: &Command,
    bwrap: &Path,
    view: &View,
    channel: Option<&Channel>,
    unshare_net: bool,
) -> bubblewrap::Layout {
    let mut mounts: Vec<Mount> = bubblewrap::fresh_here().into_iter().map(Mount::Fresh).collect();
    mounts.extend(view.readable.iter().map(|shown| Mount::Read(shown.source.clone(), shown.at.clone())));
    for shown in &view.writable {
        if !is_bound(view, &shown.source) {
            mounts.push(Mount::Write(shown.source.clone(), shown.source.clone()));
        }
        if shown.at != shown.source {
            mounts.push(Mount::Write(shown.source.clone(), shown.at.clone()));
        }
    }
    mounts.extend(view.protection.fixed.iter().cloned().map(Mount::Fix));
    mounts.extend(view.protection.read_only.iter().cloned().map(Mount::Keep));
    // What is covered by another place is not looked for below it.
    mounts
        .retain(|mount| !matches!(mount, Mount::Fix(place) | Mount::Keep(place) if is_covered(view, place)));
    mounts.extend(view.binds.iter().map(|bind| {
        let (source, destination) = (bind.source.clone(), bind.destination.clone());
        if bind.writable { Mount::Write(source, destination) } else { Mount::Read(source, destination) }
    }));
    if let Some(channel) = channel {
        mounts.push(Mount::Read(channel.dir().to_owned(), channel.dir().to_owned()));
    }
    // What is not shown need not be hidden.
    mounts.extend(view.hidden.iter().filter(|hide| view.shows(&hide.path)).cloned().map(Mount::Hide));
    let (machine, masked) = bubblewrap::proc_here();
    bubblewrap::Layout {
        bwrap: bwrap.to_owned(),
        links: bubblewrap::links_here(),
        mounts,
        cwd: command.limits.inside(&command.cwd),
        unshare_net,
        machine,
        masked,
    }
}

/// The tree's control group, where one can be made.
fn group_of(command: &Command, processes: u64, warnings: &mut Vec<String>) -> Option<Group> {
    let limits =
        GroupLimits { processes: Some(processes + plan::PLUMBING), memory: command.limits.max_memory };
    match probe().groups.as_ref().map(|parent| parent.group(&command.tag, limits)) {
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

/// The tree of one run; dropping it kills what is left.
pub(super) struct Tree {
    root: Pid,
    strength: Strength,
    /// The root is the helper, which ends by itself when its command is gone.
    by_helper: bool,
    tag: String,
    gone: bool,
}

impl Tree {
    /// The tree whose first process is `child`.
    pub(super) fn of(child: &tokio::process::Child, prepared: &Prepared, tag: &str) -> std::io::Result<Self> {
        let root = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Tree {
            root: root.ok_or_else(|| std::io::Error::other("the process has no id"))?,
            strength: prepared.in_force.strength,
            by_helper: prepared.channel.is_some(),
            tag: tag.to_owned(),
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
                if !self.by_helper {
                    let _ = rustix::process::kill_process_group(self.root, Signal::KILL);
                }
                tree::kill_until_gone(|| tree::descendants(self.root.as_raw_pid()));
            }
        }
    }

    fn finish(&mut self) {
        if self.strength != Strength::Bubblewrap && !self.by_helper {
            let _ = rustix::process::kill_process_group(self.root, Signal::KILL);
        }
        tree::kill_tagged(&self.tag);
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
        protect_this_process();
    });
}

/// Closes this process's memory, and with it the gateway's key, to other processes of the
/// same user: it can be neither traced nor read through `/proc`. Execution of a program
/// opens it again.
pub fn protect_this_process() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!(%error, "this process's memory stays open to others of the user");
    }
}
