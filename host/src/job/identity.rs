//! Which process a worker is, so that another one on the same machine can tell at once
//! that it is gone, and a clock that neither a changed wall clock nor a reboot fools.

/// Three numbers that name one process for as long as the machine runs: its id, its start
/// time (ids are used again) and its PID namespace (ids mean nothing in another).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    pid: u32,
    start: u64,
    namespace: u64,
    heir: bool,
}

/// This process, as [`is_gone`] reads it: `<pid>.<start>.<namespace>`.
pub fn own() -> String {
    let pid = std::process::id();
    let identity = Identity {
        pid,
        start: start_time(pid).unwrap_or_default(),
        namespace: own_namespace().unwrap_or_default(),
        heir: false,
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

/// This process when it only ends what a dead worker left: [`end`] never touches it.
pub fn own_as_heir() -> String {
    format!("{}.heir", own())
}

/// Kills the worker process of this name, if it runs here; false if there is none. For one
/// whose lease is over and that holds something which everybody needs: it was stopped, or
/// hangs. Waits until it is gone. Blocks.
pub fn end(worker: &str) -> bool {
    let Some(identity) = parse(worker).filter(|identity| !identity.heir) else { return false };
    let pid = i32::try_from(identity.pid).ok().and_then(rustix::process::Pid::from_raw);
    let Some(pid) = pid.filter(|_| identity.pid != std::process::id() && is_running(&identity)) else {
        return false;
    };
    // Between the look and the signal the number could only become another process's if this
    // one ended by itself and the numbers went once around.
    let killed = rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while killed && is_running(&identity) && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    killed
}

fn is_running(identity: &Identity) -> bool {
    identity.start != 0
        && own_namespace() == Some(identity.namespace)
        && start_time(identity.pid) == Some(identity.start)
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
        heir: match parts.next() {
            None => false,
            Some("heir") => true,
            Some(_) => return None,
        },
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
    use super::{end, is_gone, own, own_as_heir, pid};

    #[test]
    fn this_process_is_not_gone() {
        assert!(!is_gone(&own()));
        assert!(!is_gone(&own_as_heir()));
        assert_eq!(pid(&own()), Some(std::process::id()));
        assert!(!end(&own()), "not itself");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_stopped_worker_is_ended_and_an_heir_or_another_process_is_not() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep starts");
        let me = own();
        let namespace = me.rsplit('.').next().expect("a name has dots");
        let start = super::start_time(child.id()).expect("it runs");
        let name = format!("{}.{start}.{namespace}", child.id());
        for other in
            [format!("{name}.heir"), format!("{}.{}.{namespace}", child.id(), start + 1), "w1".into()]
        {
            assert!(!end(&other), "{other}");
        }
        assert!(matches!(child.try_wait(), Ok(None)), "it still runs");
        assert!(end(&name));
        assert!(!end(&name), "there is none any more");
        let ended = child.wait().expect("waited");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
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
