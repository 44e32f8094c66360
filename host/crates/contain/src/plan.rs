//! Which means are used for one run, and what they leave open: a pure decision.

use super::Strength;
use super::landlock::{CONNECT_VERSION, SCOPE_VERSION};
use super::seccomp::{Filter, Sockets};

/// Everything that decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    pub force: Option<Strength>,
    pub bwrap: bool,
    pub bwrap_net: bool,
    pub landlock: i32,
    pub helper: bool,
    /// The filter on system calls works.
    pub filter: bool,
    pub connect_ports: Option<&'a [u16]>,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub strength: Strength,
    /// A network of its own, in which these ports lead to the same ones outside.
    pub unshare_net: bool,
    pub forward: Vec<u16>,
    /// Ports for Landlock's rule on connects.
    pub connect_ports: Option<Vec<u16>>,
    /// Landlock's scope for signals and abstract sockets.
    pub scoped: bool,
    /// The filter on system calls; none where it does not work.
    pub filter: Option<Filter>,
    pub network_limited: bool,
    pub warnings: Vec<String>,
}

/// The strongest means that is there, no stronger than what is forced.
pub(super) fn decide(given: &Given<'_>) -> Plan {
    let best = if given.bwrap && given.helper {
        Strength::Bubblewrap
    } else if given.landlock > 0 && given.helper {
        Strength::Landlock
    } else {
        Strength::ProcessGroup
    };
    let mut strength = given.force.map_or(best, |force| force.max(best));
    if strength == Strength::Landlock && !(given.landlock > 0 && given.helper) {
        strength = Strength::ProcessGroup;
    }
    let mut plan = Plan {
        strength,
        unshare_net: false,
        forward: Vec::new(),
        connect_ports: None,
        // Also inside bubblewrap: with the network open, D-Bus may listen on an abstract
        // socket, and it starts processes on request.
        scoped: strength != Strength::ProcessGroup && given.helper && given.landlock >= SCOPE_VERSION,
        filter: (given.filter && given.helper)
            .then(|| Filter { no_attach: strength == Strength::ProcessGroup, ..Filter::default() }),
        network_limited: false,
        warnings: Vec::new(),
    };
    let filtered = plan.filter.is_some();
    let set_sockets = |filter: &mut Option<Filter>, sockets| {
        if let Some(filter) = filter {
            filter.sockets = sockets;
        }
    };
    let mut warn = |text: &str| plan.warnings.push(text.to_owned());
    match strength {
        Strength::Bubblewrap => {}
        Strength::Landlock => {
            warn("modes, times and extended attributes of the user's files can be changed anywhere");
            warn("services that listen on a socket file, such as Docker, can be reached");
            warn(
                "git's configuration and hooks in an allowed directory are put back after a change, not closed",
            );
            if given.landlock < SCOPE_VERSION {
                warn("processes of the same user can be signalled");
            }
        }
        Strength::ProcessGroup => {
            warn(
                "files outside the allowed directories can be written; they are checked after the fact only",
            );
            warn("credentials of the user can be read");
            warn(
                "git's configuration and hooks in an allowed directory are put back after a change, not closed",
            );
            warn("a process that clears its environment and kills its parent can stay behind");
        }
    }
    if strength != Strength::ProcessGroup && !filtered && given.landlock < SCOPE_VERSION {
        warn("the run's own helper can be signalled: a command can end itself as killed");
    }
    if !given.helper {
        warn("memory, processes and file sizes are not limited");
    }
    if let Some(ports) = given.connect_ports {
        if strength == Strength::Bubblewrap && given.bwrap_net && given.helper {
            plan.unshare_net = true;
            plan.forward = ports.to_vec();
            plan.network_limited = true;
            set_sockets(&mut plan.filter, Sockets::Held);
            if !filtered {
                warn("VSOCK, which leads out of a virtual machine, is not limited");
            }
        } else if strength != Strength::ProcessGroup && given.landlock >= CONNECT_VERSION && given.helper {
            plan.connect_ports = Some(ports.to_vec());
            plan.network_limited = true;
            set_sockets(&mut plan.filter, Sockets::TcpOnly);
            warn("servers that a test starts on loopback cannot be reached");
            if !filtered {
                warn("only TCP is limited, UDP is not");
            }
        } else {
            warn("the network is not limited");
        }
    }
    plan
}

/// Processes and threads of our own in a tree.
pub(super) const PLUMBING: u64 = 8;

/// Processes that count against the limit and are not the command's: the plumbing, and
/// outside a user namespace everything else that the user runs.
pub(super) fn others(strength: Strength) -> u64 {
    if strength == Strength::Bubblewrap { PLUMBING } else { PLUMBING + threads_of_user() }
}

/// Threads of all processes that are this user's; what the kernel counts.
fn threads_of_user() -> u64 {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let own = rustix::process::getuid().as_raw();
        if own == 0 {
            // Not limited at all: no need to count.
            return 0;
        }
        let Ok(dir) = std::fs::read_dir("/proc") else { return 0 };
        dir.flatten()
            .filter(|entry| entry.metadata().is_ok_and(|meta| meta.uid() == own))
            .filter_map(|entry| std::fs::read_dir(entry.path().join("task")).ok())
            .map(|tasks| tasks.count() as u64)
            .sum()
    }
    #[cfg(not(unix))]
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        use Strength::{Bubblewrap, Landlock, ProcessGroup};
        let all = Given {
            force: None,
            bwrap: true,
            bwrap_net: true,
            landlock: 7,
            helper: true,
            filter: true,
            connect_ports: Some(&[4711]),
        };
        for (case, given, strength, own_net, rule, limited) in [
            ("everything", all, Bubblewrap, true, false, true),
            ("no network namespace", Given { bwrap_net: false, ..all }, Bubblewrap, false, true, true),
            (
                "old kernel too",
                Given { bwrap_net: false, landlock: 3, ..all },
                Bubblewrap,
                false,
                false,
                false,
            ),
            ("no helper", Given { helper: false, ..all }, ProcessGroup, false, false, false),
            ("network open", Given { connect_ports: None, ..all }, Bubblewrap, false, false, false),
            ("no bubblewrap", Given { bwrap: false, ..all }, Landlock, false, true, true),
            ("old Landlock", Given { bwrap: false, landlock: 3, ..all }, Landlock, false, false, false),
            ("nothing", Given { bwrap: false, landlock: 0, ..all }, ProcessGroup, false, false, false),
            (
                "Landlock without helper",
                Given { bwrap: false, helper: false, ..all },
                ProcessGroup,
                false,
                false,
                false,
            ),
            ("forced", Given { force: Some(Landlock), ..all }, Landlock, false, true, true),
            ("forced weakest", Given { force: Some(ProcessGroup), ..all }, ProcessGroup, false, false, false),
            (
                "forced, not there",
                Given { force: Some(Bubblewrap), bwrap: false, ..all },
                Landlock,
                false,
                true,
                true,
            ),
            (
                "forced, none",
                Given { force: Some(Landlock), landlock: 0, ..all },
                ProcessGroup,
                false,
                false,
                false,
            ),
        ] {
            let plan = decide(&given);
            let got = (plan.strength, plan.unshare_net, plan.connect_ports.is_some(), plan.network_limited);
            assert_eq!(got, (strength, own_net, rule, limited), "{case}");
            let sockets = match (given.helper, own_net, rule) {
                (false, ..) => None,
                (_, true, _) => Some(Sockets::Held),
                (_, _, true) => Some(Sockets::TcpOnly),
                _ => Some(Sockets::All),
            };
            assert_eq!(plan.filter.as_ref().map(|filter| filter.sockets), sockets, "{case}");
            assert!(
                plan.filter.is_none_or(|filter| filter.no_attach == (strength == ProcessGroup)),
                "{case}"
            );
            let without = decide(&Given { filter: false, ..given });
            assert_eq!(without.filter, None);
            // Without the filter and without Landlock's scope nothing keeps the helper apart.
            let helper = strength != ProcessGroup && given.landlock < SCOPE_VERSION;
            assert_eq!(
                without.warnings.len() > plan.warnings.len(),
                limited || helper,
                "{case}: {:?}",
                without.warnings
            );
        }
    }
}
