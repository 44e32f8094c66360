//! Which means are used for one run, and what they leave open: a pure decision.

use super::Strength;
use super::landlock::{CONNECT_VERSION, SCOPE_VERSION};
use super::seccomp::Sockets;

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
    /// What the filter on system calls says of sockets; none without a filter.
    pub sockets: Option<Sockets>,
    pub network_limited: bool,
    pub warnings: Vec<String>,
}

/// The strongest means that is there, no stronger than what is forced.
pub(super) fn decide(given: &Given<'_>) -> Plan {
    let best = if given.bwrap {
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
        sockets: (given.filter && given.helper).then_some(Sockets::All),
        network_limited: false,
        warnings: Vec::new(),
    };
    let filtered = plan.sockets.is_some();
    let mut warn = |text: &str| plan.warnings.push(text.to_owned());
    match strength {
        Strength::Bubblewrap => {}
        Strength::Landlock => {
            warn("the temporary directory of the machine can be read, names of files anywhere listed");
            warn("services that listen on a socket file, such as Docker, can be reached");
            if given.landlock < SCOPE_VERSION {
                warn("processes of the same user can be signalled");
            }
        }
        Strength::ProcessGroup => {
            warn(
                "files outside the allowed directories can be written; they are checked after the fact only",
            );
            warn("credentials of the user can be read");
            warn("a process that clears its environment and kills its parent can stay behind");
        }
    }
    if !given.helper {
        warn("memory, processes and file sizes are not limited");
    }
    if let Some(ports) = given.connect_ports {
        if strength == Strength::Bubblewrap && given.bwrap_net && given.helper {
            plan.unshare_net = true;
            plan.forward = ports.to_vec();
            plan.network_limited = true;
            plan.sockets = plan.sockets.map(|_| Sockets::Held);
            if !filtered {
                warn("VSOCK, which leads out of a virtual machine, is not limited");
            }
        } else if strength != Strength::ProcessGroup && given.landlock >= CONNECT_VERSION && given.helper {
            plan.connect_ports = Some(ports.to_vec());
            plan.network_limited = true;
            plan.sockets = plan.sockets.map(|_| Sockets::TcpOnly);
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
            ("no helper", Given { helper: false, ..all }, Bubblewrap, false, false, false),
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
            assert_eq!(plan.sockets, sockets, "{case}");
            let without = decide(&Given { filter: false, ..given });
            assert_eq!(without.sockets, None);
            assert_eq!(
                without.warnings.len() > plan.warnings.len(),
                limited,
                "{case}: {:?}",
                without.warnings
            );
        }
    }
}
