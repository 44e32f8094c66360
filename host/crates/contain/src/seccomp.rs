//! A filter on system calls, for what neither namespaces nor Landlock close: the user's
//! kernel keyrings, sockets that lead out of a virtual machine, typing into the terminal,
//! the memory of the tree's own helper, and interfaces that act behind the other rules.
//! Linux, on two processors.

use serde::{Deserialize, Serialize};

/// How far the network is closed by this filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sockets {
    /// Any socket.
    #[default]
    All,
    /// None of a family that a network namespace does not hold back.
    Held,
    /// Of the Internet's families TCP alone, which Landlock then limits to ports.
    TcpOnly,
}

/// What the filter refuses besides what it always does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Sockets.
    pub sockets: Sockets,
    /// Processes that can be neither looked into nor signalled: the helper and its parent.
    pub apart: Vec<u32>,
    /// No process can be attached to or looked into: nothing else keeps those outside apart.
    pub no_attach: bool,
}

/// Binds the calling thread, for ever, and every process started from it.
pub fn restrict_this_thread(filter: &Filter) -> Result<(), String> {
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        calls::apply(filter)
    }
    #[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
    {
        let _ = filter;
        Err("not on this system".to_owned())
    }
}

/// Whether the filter works here; tried on a thread that ends afterwards.
pub fn works() -> bool {
    let filter = Filter { sockets: Sockets::TcpOnly, apart: vec![1], no_attach: true };
    std::thread::spawn(move || restrict_this_thread(&filter).is_ok()).join().unwrap_or(false)
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod calls {
    use std::collections::BTreeMap;

    use libc::c_long;
    use seccompiler::{
        SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition as When,
        SeccompFilter, SeccompRule as Rule, TargetArch,
    };

    use super::{Filter, Sockets};

    /// Refused whatever the arguments are.
    const REFUSED: &[c_long] = &[
        // The keyrings of the user and of the session: Kerberos, encrypted directories.
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        // Makes sockets, among others, behind the back of this filter.
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        // Wide surfaces of the kernel that no build and no test needs.
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_open_by_handle_at,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_finit_module,
    ];

    /// RDS, TIPC, VSOCK (to the host of a virtual machine) and SMC (TCP by another name).
    const OTHER_FAMILIES: &[i32] = &[21, 30, libc::AF_VSOCK, 43];
    /// TIOCSTI and TIOCLINUX, the same on both processors: they put words into a terminal.
    const TYPING: &[u64] = &[0x5412, 0x541c];
    const INTERNET: &[i32] = &[libc::AF_INET, libc::AF_INET6];
    /// All kinds but streams: datagrams, raw, reliable, sequenced, DCCP, packets.
    const NOT_STREAMS: &[i32] = &[2, 3, 4, 5, 6, 10];
    /// The kind without the flags that may be added to it.
    const KIND: u64 = 0xf;

    /// Requests of `ptrace` that begin to trace another process: attach, seize.
    const ATTACH: &[u64] = &[16, 0x4206];
    /// Calls that act on the process in the argument of this number.
    const ON_PROCESS: &[(c_long, u8)] = &[
        (libc::SYS_ptrace, 1),
        (libc::SYS_process_vm_readv, 0),
        (libc::SYS_process_vm_writev, 0),
        (libc::SYS_pidfd_open, 0),
        (libc::SYS_kcmp, 0),
        (libc::SYS_kcmp, 1),
        (libc::SYS_kill, 0),
        (libc::SYS_tkill, 0),
        (libc::SYS_tgkill, 0),
        (libc::SYS_tgkill, 1),
        (libc::SYS_rt_sigqueueinfo, 0),
        (libc::SYS_rt_tgsigqueueinfo, 0),
        (libc::SYS_rt_tgsigqueueinfo, 1),
        (libc::SYS_prlimit64, 0),
        (libc::SYS_sched_setaffinity, 0),
    ];

    pub(super) fn apply(filter: &Filter) -> Result<(), String> {
        let arch = if cfg!(target_arch = "x86_64") { TargetArch::x86_64 } else { TargetArch::aarch64 };
        let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
        let filter = rules(filter)
            .and_then(|rules| SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch))
            .and_then(TryInto::<seccompiler::BpfProgram>::try_into)
            .map_err(|error| error.to_string())?;
        seccompiler::apply_filter(&filter).map_err(|error| error.to_string())
    }

    fn rules(filter: &Filter) -> Result<BTreeMap<i64, Vec<Rule>>, seccompiler::BackendError> {
        let sockets = filter.sockets;
        let equal = |argument: u8, value: i32| {
            When::new(argument, Length::Dword, Is::Eq, u64::from(value.cast_unsigned()))
        };
        let mut rules: BTreeMap<i64, Vec<Rule>> = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
        let typing = TYPING
            .iter()
            .map(|request| Rule::new(vec![When::new(1, Length::Dword, Is::Eq, *request)?]))
            .collect::<Result<_, _>>()?;
        rules.insert(libc::SYS_ioctl, typing);
        let mut socket = Vec::new();
        if sockets != Sockets::All {
            for family in OTHER_FAMILIES {
                socket.push(Rule::new(vec![equal(0, *family)?])?);
            }
        }
        if sockets == Sockets::TcpOnly {
            for family in INTERNET {
                for kind in NOT_STREAMS {
                    let kind =
                        When::new(1, Length::Dword, Is::MaskedEq(KIND), u64::from(kind.cast_unsigned()))?;
                    socket.push(Rule::new(vec![equal(0, *family)?, kind])?);
                }
                // MPTCP and SCTP are streams too, which Landlock does not know.
                let no_protocol = When::new(2, Length::Dword, Is::Ne, 0)?;
                let not_tcp =
                    When::new(2, Length::Dword, Is::Ne, u64::from(libc::IPPROTO_TCP.cast_unsigned()))?;
                socket.push(Rule::new(vec![equal(0, *family)?, no_protocol, not_tcp])?);
            }
        }
        if !socket.is_empty() {
            rules.insert(libc::SYS_socket, socket);
        }
        for (call, argument) in ON_PROCESS {
            for pid in &filter.apart {
                let rule = Rule::new(vec![When::new(*argument, Length::Dword, Is::Eq, u64::from(*pid))?])?;
                rules.entry(*call).or_default().push(rule);
            }
        }
        if filter.no_attach {
            for request in ATTACH {
                let rule = Rule::new(vec![When::new(0, Length::Dword, Is::Eq, *request)?])?;
                rules.entry(libc::SYS_ptrace).or_default().push(rule);
            }
            for call in [libc::SYS_process_vm_readv, libc::SYS_process_vm_writev] {
                rules.insert(call, Vec::new());
            }
        }
        if cfg!(target_arch = "x86_64") {
            // The same calls by their numbers of the x32 interface.
            let again: Vec<_> = rules.iter().map(|(call, rule)| (call | 0x4000_0000, rule.clone())).collect();
            rules.extend(again);
        }
        Ok(rules)
    }
}
