//! Which process a worker is, so that another one on the same machine can tell at once
//! that it is gone, and a clock that neither a changed wall clock nor a reboot fools.

/// Three numbers that name one process for as long as the machine runs: its id, its start
/// time (ids are used again) and its PID namespace (ids mean nothing in another).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    pid: u32,
    start: u64,
    namespace: u64,
}

/// This process, as [`is_gone`] reads it: `<pid>.<start>.<namespace>`.
pub fn own() -> String {
    let pid = std::process::id();
    let identity = Identity {
        pid,
        start: start_time(pid).unwrap_or_default(),
        namespace: own_namespace().unwrap_or_default(),
    };
    format!("{}.{}.{}", identity.pid, identity.start, identity.namespace)
}

/// True only if the process that `worker` names certainly does not run any more. On a
/// system without `/proc`, and for a name that is not ours, the lease decides alone.
pub fn is_gone(worker: &str) -> bool {
    let Some(identity) = parse(worker) else { return false };
    if identity.start == 0 || identity.namespace == 0 || own_namespace() != Some(identity.namespace) {
        return false;
    }
    start_time(identity.pid) != Some(identity.start)
}

/// The process id in a worker's name.
pub fn pid(worker: &str) -> Option<u32> {
    parse(worker).map(|identity| identity.pid)
}

fn parse(worker: &str) -> Option<Identity> {
    let mut parts = worker.split('.');
    let identity = Identity {
        pid: parts.next()?.parse().ok()?,
        start: parts.next()?.parse().ok()?,
        namespace: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(identity)
}

/// Field 22 of `/proc/<pid>/stat`, in clock ticks since the boot; none for a process that
/// is gone or that nobody has waited for yet. Source: proc_pid_stat(5).
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold spaces and brackets itself.
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut fields = rest.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

fn own_namespace() -> Option<u64> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// The time, as a lease needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since 1970; jumps when somebody sets the clock.
    pub wall_ms: i64,
    /// Milliseconds of a clock that never jumps and stands still while the machine sleeps.
    pub steady_ms: i64,
    /// The boot that `steady_ms` belongs to; empty where the system does not say.
    pub boot: String,
}

/// The time now.
pub fn now() -> Now {
    let wall_ms = jiff::Timestamp::now().as_millisecond();
    let steady = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Now {
        wall_ms,
        steady_ms: steady.tv_sec * 1000 + steady.tv_nsec / 1_000_000,
        boot: boot.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_gone, own, pid};

    #[test]
    fn this_process_is_not_gone() {
        assert!(!is_gone(&own()));
        assert_eq!(pid(&own()), Some(std::process::id()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_that_ended_is_gone_and_an_unknown_name_is_not() {
        let me = own();
        let (_, tail) = me.split_once('.').expect("a name has dots");
        let (_, namespace) = tail.split_once('.').expect("a name has two dots");
        assert!(is_gone(&format!("{}.1.{namespace}", std::process::id())), "another start time");
        assert!(is_gone(&format!("999999999.5.{namespace}")), "no such process");
        assert!(!is_gone("999999999.5.1"), "another namespace says nothing");
        assert!(!is_gone("w1"));
    }
}
