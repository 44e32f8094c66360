//! Real tries to get out of a containment, with each strength that this machine offers.
//! Every test prints which it was, and says where a weaker one holds less.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use contain::{self, Command, Error, Exit, InForce, Limits, Options, Stream, Strength};
use tokio_util::sync::CancellationToken;

/// For a busy machine; what is measured is printed.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an end may take on a busy machine.
const END: Duration = Duration::from_secs(10);

/// Directories of one test: a worktree, a home with a planted key, and something outside.
pub(super) struct Fixture {
    root: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        contain::set_helper(env!("CARGO_BIN_EXE_codex-worker").into());
        // Not in /tmp, which every containment replaces by one of its own.
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("temporary directory");
        for dir in ["work", "outside", "home/.ssh"] {
            std::fs::create_dir_all(root.path().join(dir)).expect("writable");
        }
        std::fs::write(root.path().join("home/.ssh/id_test"), "PRIVATE KEY").expect("writable");
        std::fs::write(root.path().join("home/notes"), "readable").expect("writable");
        Fixture { root }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A shell script in the worktree; `$ROOT` is the directory that holds them.
    pub(super) fn shell(&self, script: &str) -> Command {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Command {
            argv: vec!["/bin/sh".into(), "-c".into(), script.into()],
            env: BTreeMap::from([
                ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
                ("ROOT".into(), text(self.root.path())),
            ]),
            cwd: self.path("work"),
            stdin: Vec::new(),
            limits: Limits { writable: vec![self.path("work")], ..Limits::default() },
            tag: unique("tag"),
        }
    }
}

pub(super) fn unique(what: &str) -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{what}-{}-{next}", std::process::id())
}

/// A number of seconds that only one test sleeps, so that its process can be recognised
/// from outside whatever its environment and its process id inside.
pub(super) fn unique_sleep() -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("86{:07}.{next}", std::process::id())
}

/// How many processes sleep that long.
pub(super) fn sleeping(seconds: &str) -> usize {
    let wanted = format!("sleep\0{seconds}\0");
    let Ok(dir) = std::fs::read_dir("/proc") else { return 0 };
    let cmdlines = dir.flatten().filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    cmdlines.filter(|cmdline| cmdline == wanted.as_bytes()).count()
}

/// The machine offers this, by its name in the probe.
pub(super) fn offered(name: &str) -> bool {
    contain::set_helper(env!("CARGO_BIN_EXE_codex-worker").into());
    contain::probe().findings.iter().any(|finding| finding.name == name && finding.works)
}

/// Runs a Python script inside; none where there is no Python.
pub(super) async fn python(
    fixture: &Fixture,
    script: &str,
    strength: Strength,
    ports: Option<Vec<u16>>,
) -> Option<String> {
    if !Path::new("/usr/bin/python3").exists() {
        test_support::missing::tool("what makes system calls with python3: install it");
        return None;
    }
    std::fs::write(fixture.path("work/try.py"), script).expect("writable");
    let mut command = fixture.shell("python3 try.py 2>&1");
    command.limits.connect_ports = ports;
    Some(run(fixture, command, strength).await.text)
}

/// The strengths that this machine offers, strongest first.
pub(super) fn strengths() -> Vec<Strength> {
    contain::set_helper(env!("CARGO_BIN_EXE_codex-worker").into());
    let probe = contain::probe();
    let works = |name: &str| probe.findings.iter().any(|finding| finding.name == name && finding.works);
    let mut all = Vec::new();
    if works("bubblewrap") {
        all.push(Strength::Bubblewrap);
    }
    if works("landlock") {
        all.push(Strength::Landlock);
    }
    all.push(Strength::ProcessGroup);
    eprintln!("strongest containment here: {}; tried: {all:?}", probe.strength);
    all
}

pub(super) struct Ran {
    pub(super) exit: Exit,
    pub(super) in_force: InForce,
    pub(super) text: String,
}

pub(super) async fn try_run(
    fixture: &Fixture,
    command: Command,
    strength: Strength,
    timeout: Duration,
    cancel: CancellationToken,
) -> Result<Ran, Error> {
    let mut text = Vec::new();
    let sink = |_: Stream, bytes: bytes::Bytes| {
        text.extend_from_slice(&bytes);
        std::future::ready(())
    };
    let options = Options {
        force: Some(strength),
        grace: Duration::from_millis(300),
        user_home: Some(fixture.path("home")),
    };
    let (exit, in_force) = contain::run_with(command, sink, timeout, cancel, options).await?;
    assert_eq!(in_force.strength, strength);
    Ok(Ran { exit, in_force, text: String::from_utf8_lossy(&text).into_owned() })
}

pub(super) async fn run(fixture: &Fixture, command: Command, strength: Strength) -> Ran {
    let ran = try_run(fixture, command, strength, PATIENCE, CancellationToken::new()).await;
    ran.unwrap_or_else(|error| panic!("{strength}: {error}"))
}

/// Waits for a condition with a deadline.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_a_command_gives_back() {
    for strength in strengths() {
        let fixture = Fixture::new();
        for (script, code, signal, text) in [
            ("echo out; exit 0", Some(0), None, "out\n"),
            ("echo err >&2; exit 7", Some(7), None, "err\n"),
            ("kill -KILL $$", None, Some(9), ""),
            ("exit 137", Some(137), None, ""),
            ("pwd | sed \"s|$ROOT||\"", Some(0), None, "/work\n"),
            ("wc -c", Some(0), None, "0\n"),
        ] {
            let ran = run(&fixture, fixture.shell(script), strength).await;
            assert_eq!(
                (ran.exit.code, ran.exit.signal, ran.text.as_str()),
                (code, signal, text),
                "{strength}: {script}"
            );
        }
        let mut command = fixture.shell("wc -c");
        command.stdin = vec![b'x'; 1 << 20];
        assert_eq!(run(&fixture, command, strength).await.text, "1048576\n", "{strength}");
        let mut command = fixture.shell("");
        command.argv = vec!["/no/such/program".into()];
        let got =
            try_run(&fixture, command, strength, Duration::from_secs(9), CancellationToken::new()).await;
        assert!(matches!(&got, Err(Error::Spawn { .. })), "{strength}: {:?}", got.map(|ran| ran.exit));
    }
}

#[tokio::test]
async fn the_environment_is_the_given_one() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let ran = run(&fixture, fixture.shell("env | cut -d= -f1 | sort | tr '\\n' ' '"), strength).await;
        // A shell sets PWD and the like itself.
        let names: Vec<&str> = ran
            .text
            .split_whitespace()
            .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
            .collect();
        assert_eq!(names, ["CODEX_WORKER_MARK", "PATH", "ROOT"], "{strength}");
    }
}

#[tokio::test]
async fn write_outside_the_worktree() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let script = "echo in > inside; echo out > $ROOT/outside/file; ln -s $ROOT/outside link; echo out > link/other; \
                      mv inside $ROOT/outside/moved; ln inside $ROOT/outside/linked; echo x > /etc/codex-worker-escape; \
                      ln $ROOT/home/notes mine && echo x >> mine; \
                      mount -o remount,rw / ; echo out > $ROOT/outside/third; rm -f $ROOT/home/notes; true";
        let ran = run(&fixture, fixture.shell(script), strength).await;
        let outside = std::fs::read_dir(fixture.path("outside")).expect("readable").count();
        if strength.limits_files() {
            assert_eq!(outside, 0, "{strength}: {}", ran.text);
            assert!(fixture.path("work/inside").exists(), "{strength}");
            let notes = std::fs::read_to_string(fixture.path("home/notes")).unwrap_or_default();
            assert_eq!(notes, "readable", "{strength}");
            assert!(!Path::new("/etc/codex-worker-escape").exists(), "{strength}");
        } else {
            let _ = std::fs::remove_file("/etc/codex-worker-escape");
            assert!(
                ran.in_force.warnings.iter().any(|warning| warning.contains("can be written")),
                "{strength}"
            );
        }
    }
}

#[tokio::test]
async fn the_temporary_directory_is_not_the_machines() {
    for strength in strengths().into_iter().filter(|strength| strength.limits_files()) {
        let fixture = Fixture::new();
        let name = unique("codex-worker-escape");
        run(
            &fixture,
            fixture.shell(&format!("echo x > /tmp/{name}; echo y > /var/tmp/{name}; true")),
            strength,
        )
        .await;
        for dir in ["/tmp", "/var/tmp"] {
            assert!(!Path::new(dir).join(&name).exists(), "{strength}: {dir}");
        }
    }
}

#[tokio::test]
async fn read_a_key() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let script =
            "cat $ROOT/home/.ssh/id_test; cat $ROOT/home/notes; ls $ROOT/home; cat /proc/[0-9]*/environ";
        let ran = run(&fixture, fixture.shell(script), strength).await;
        assert_eq!(!ran.text.contains("PRIVATE KEY"), strength.limits_files(), "{strength}: {}", ran.text);
        // The home is not on the list of what can be read.
        assert_eq!(!ran.text.contains("readable"), strength.limits_files(), "{strength}: {}", ran.text);
        if strength == Strength::ProcessGroup {
            assert!(ran.in_force.warnings.iter().any(|warning| warning.contains("can be read")));
        }
        // What the operator names can, but for credentials in it.
        let mut command = fixture.shell(script);
        command.limits.readable = vec![fixture.path("home")];
        let ran = run(&fixture, command, strength).await;
        assert!(ran.text.contains("readable"), "{strength}: {}", ran.text);
        assert_eq!(!ran.text.contains("PRIVATE KEY"), strength.limits_files(), "{strength}: {}", ran.text);
    }
}

/// Through other processes' view of the files, and after making namespaces of its own.
#[tokio::test]
async fn read_a_key_by_a_detour() {
    for strength in strengths().into_iter().filter(|strength| strength.limits_files()) {
        let fixture = Fixture::new();
        let script = "for p in /proc/[0-9]*; do cat $p/root$ROOT/home/.ssh/id_test $p/cwd/home/.ssh/id_test; done; \
            chmod 755 $ROOT/home/.ssh; echo x > $ROOT/home/.ssh/new; ls $ROOT/home/.ssh; \
            unshare -Urm sh -c 'umount -l $ROOT/home/.ssh; mount -o remount,rw,bind /; mount --bind / $ROOT/work; \
            cat $ROOT/home/.ssh/id_test; echo x > $ROOT/outside/by-namespace'; \
            unshare -rm sh -c 'umount -l $ROOT/home/.ssh; cat $ROOT/home/.ssh/id_test; echo x > $ROOT/outside/again'";
        let ran = run(&fixture, fixture.shell(script), strength).await;
        assert!(!ran.text.contains("PRIVATE KEY"), "{strength}: {}", ran.text);
        assert!(!fixture.path("home/.ssh/new").exists(), "{strength}");
        assert_eq!(std::fs::read_dir(fixture.path("outside")).expect("readable").count(), 0, "{strength}");
    }
}

/// What belongs to the whole machine. Root needs no capability for `/proc/sys`, and a core
/// pattern is a program that the kernel starts outside of everything.
#[tokio::test]
async fn turn_the_machines_own_knobs() {
    for strength in strengths().into_iter().filter(|strength| strength.limits_files()) {
        let fixture = Fixture::new();
        // Each is written with what it holds, so that a success does no harm.
        let script = "for knob in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sys/vm/swappiness \
            /proc/sys/kernel/hostname /proc/irq/default_smp_affinity /sys/kernel/uevent_helper \
            /sys/fs/cgroup/release_agent /sys/fs/cgroup/pids/release_agent /sys/kernel/mm/transparent_hugepage/enabled; do \
            [ -e $knob ] || continue; value=$(cat $knob); if echo \"$value\" > $knob; then echo TURNED $knob; fi; done; \
            cat /proc/keys /proc/key-users; grep NoNewPrivs /proc/self/status";
        let ran = run(&fixture, fixture.shell(script), strength).await;
        assert!(!ran.text.contains("TURNED"), "{strength}: {}", ran.text);
        assert!(ran.text.contains("NoNewPrivs:\t1"), "{strength}: {}", ran.text);
        if strength == Strength::Bubblewrap {
            assert!(!ran.text.contains("keyring"), "{strength}: {}", ran.text);
        }
    }
}

/// The disk itself, in which every hidden file can be found, and what else is a device.
#[tokio::test]
async fn read_the_disk_itself() {
    for strength in strengths().into_iter().filter(|strength| strength.limits_files()) {
        let fixture = Fixture::new();
        let script = "for device in /dev/vd* /dev/sd* /dev/nvme* /dev/dm-* /dev/mem /dev/kmsg /dev/loop* /dev/fuse \
            /dev/net/tun /dev/kvm; do [ -e $device ] && (: < $device) && echo OPENED $device; \
            [ -e $device ] && (: >> $device) && echo OPENED $device; done; \
            echo x > /dev/null; head -c 1 /dev/urandom | wc -c; mknod $ROOT/work/disk b 254 0 && cat $ROOT/work/disk | wc -c";
        let ran = run(&fixture, fixture.shell(script), strength).await;
        assert!(!ran.text.contains("OPENED"), "{strength}: {}", ran.text);
        assert!(ran.text.lines().any(|line| line.trim() == "1"), "{strength}: {}", ran.text);
        assert!(!fixture.path("work/disk").exists(), "{strength}: {}", ran.text);
    }
}

/// What lies in memory has an end too: the fresh directories, and nothing else can be
/// written.
#[tokio::test]
async fn fill_the_memory_with_files() {
    if !strengths().contains(&Strength::Bubblewrap) {
        return;
    }
    let fixture = Fixture::new();
    let script = "echo x > /dev/codex; echo y > $ROOT/home/.ssh/new; \
        for dir in /tmp /var/tmp /run /dev/shm; do df -kP $dir | tail -1 | awk '{print $2}'; done";
    let mut command = fixture.shell(script);
    command.limits.readable = vec![fixture.path("home")];
    let ran = run(&fixture, command, Strength::Bubblewrap).await;
    let sizes: Vec<u64> = ran.text.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(sizes.len(), 4, "{}", ran.text);
    assert!(sizes.iter().all(|kib| *kib <= 1 << 20), "{}", ran.text);
    assert_eq!(ran.text.matches("Read-only file system").count(), 2, "{}", ran.text);
}

/// A file that somebody above us left open, as a shell's redirection does, and a terminal.
#[tokio::test]
async fn use_what_was_inherited() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let key = fixture.path("home/.ssh/id_test");
        // Without the flag that closes it: it goes on to every child.
        let leak = rustix::fs::open(&key, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
        let leak = leak.expect("it opens");
        let script = "for fd in /proc/self/fd/*; do readlink $fd; done; cut -d' ' -f6 /proc/self/stat";
        let ran = run(&fixture, fixture.shell(script), strength).await;
        drop(leak);
        assert!(!ran.text.contains("id_test"), "{strength}: {}", ran.text);
        let stat = std::fs::read_to_string("/proc/self/stat").expect("readable");
        let own = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(3)).unwrap_or_default();
        let session = ran.text.lines().last().unwrap_or_default();
        assert!(!session.is_empty() && session != own, "{strength}: it shares our session: {}", ran.text);
    }
}

/// System calls that neither a namespace nor Landlock holds back.
#[tokio::test]
async fn call_the_kernel() {
    if !offered("system calls") {
        test_support::missing::machine("this machine has no filter on system calls");
        return;
    }
    let script = r#"
import ctypes, errno, fcntl, platform, socket
libc = ctypes.CDLL(None, use_errno=True)
x86 = platform.machine() == "x86_64"
def call(name, number, *arguments):
    got = libc.syscall(number, *arguments)
    print(name, "REACHED" if got >= 0 else errno.errorcode[ctypes.get_errno()])
call("keyctl", 250 if x86 else 219, 0, -4, 0)
call("add_key", 248 if x86 else 217, b"user", b"codex-worker-test", b"x", 1, -4)
call("io_uring_setup", 425, 8, 0)
call("bpf", 321 if x86 else 280, 0, 0, 0)
call("perf_event_open", 298 if x86 else 241, 0, 0, 0, 0, 0)
if x86:
    call("keyctl-x32", 250 | 0x40000000, 0, -4, 0)
try:
    socket.socket(40, socket.SOCK_STREAM)
    print("vsock REACHED")
except OSError as e:
    print("vsock", errno.errorcode[e.errno])
"#;
    for strength in strengths() {
        let fixture = Fixture::new();
        let Some(text) = python(&fixture, script, strength, Some(vec![4711])).await else { return };
        // Without a limit on the network, that one socket is nobody's business.
        let open = strength == Strength::ProcessGroup;
        for line in text.lines() {
            let refused = line.ends_with(" EPERM") || line.ends_with(" ENOSYS");
            assert!(refused || (open && line.starts_with("vsock")), "{strength}: {text}");
        }
        assert!(text.contains("keyctl EPERM") && text.contains("io_uring_setup EPERM"), "{strength}: {text}");
    }
}

/// Datagrams, TCP by another name, and sockets without a file.
#[tokio::test]
async fn connect_by_another_way() {
    use std::os::linux::net::SocketAddrExt;
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
    udp.set_nonblocking(true).expect("set");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let (udp_port, tcp_port) =
        (udp.local_addr().expect("an address").port(), other.local_addr().expect("an address").port());
    let name = unique("codex-worker-abstract");
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
    let _abstract = std::os::unix::net::UnixListener::bind_addr(&address).expect("bound");
    let script = format!(
        r#"
import socket
def attempt(name, act):
    try:
        act()
        print(name, "REACHED")
    except OSError as e:
        print(name, e)
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {udp_port})))
attempt("mptcp", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(("127.0.0.1", {tcp_port})))
attempt("tcp6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM).connect(("::ffff:127.0.0.1", {tcp_port})))
attempt("abstract", lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).connect("\x00{name}"))
"#
    );
    for strength in strengths().into_iter().filter(|strength| strength.limits_files()) {
        let fixture = Fixture::new();
        let Some(text) = python(&fixture, &script, strength, Some(vec![4711])).await else { return };
        for name in ["udp", "mptcp", "tcp6", "abstract"] {
            assert!(text.lines().any(|line| line.starts_with(name)), "{strength}: not tried: {name}: {text}");
        }
        let mut byte = [0];
        let came = udp.recv(&mut byte).is_ok();
        if strength == Strength::Bubblewrap || offered("system calls") {
            assert!(!came, "{strength}: a datagram came out: {text}");
            assert!(!text.contains("mptcp REACHED") && !text.contains("tcp6 REACHED"), "{strength}: {text}");
        }
        assert!(!text.contains("abstract REACHED"), "{strength}: {text}");
    }
}

/// The state directory is hidden but for the job's own parts.
#[tokio::test]
async fn the_state_directory() {
    for strength in strengths().into_iter().filter(|strength| strength.limits_files()) {
        let fixture = Fixture::new();
        std::fs::create_dir_all(fixture.path("state/jobs/7/worktree")).expect("writable");
        std::fs::write(fixture.path("state/jobs.db"), "DATABASE").expect("writable");
        let mut command =
            fixture.shell("cat $ROOT/state/jobs.db; echo ok > file; echo x > $ROOT/state/jobs/8; cat file");
        command.limits.hidden = vec![fixture.path("state")];
        command.limits.writable = vec![fixture.path("state/jobs/7/worktree")];
        command.cwd = fixture.path("state/jobs/7/worktree");
        let ran = run(&fixture, command, strength).await;
        assert!(!ran.text.contains("DATABASE") && ran.text.contains("ok\n"), "{strength}: {}", ran.text);
        assert!(!fixture.path("state/jobs/8").exists(), "{strength}");
    }
}

#[tokio::test]
async fn connect_elsewhere() {
    let adapter = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port =
        |listener: &std::net::TcpListener| listener.local_addr().map(|addr| addr.port()).unwrap_or_default();
    let (allowed, denied) = (port(&adapter), port(&other));
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in adapter.incoming() {
            let Ok(mut stream) = stream else { break };
            let mut byte = [0];
            let _ = stream.read(&mut byte);
            let _ = stream.write_all(b"adapter\n");
        }
    });
    for strength in strengths() {
        let fixture = Fixture::new();
        // Bash speaks TCP by itself.
        let script = format!(
            "bash -c 'exec 3<>/dev/tcp/127.0.0.1/{allowed}; echo >&3; cat <&3'; \
             bash -c 'exec 3<>/dev/tcp/127.0.0.1/{denied} && echo ESCAPED'"
        );
        let mut command = fixture.shell(&script);
        command.limits.connect_ports = Some(vec![allowed]);
        let ran = run(&fixture, command, strength).await;
        // Two pipes: what the second shell says may come first.
        assert!(ran.text.contains("adapter\n"), "{strength}: {}", ran.text);
        assert_eq!(!ran.text.contains("ESCAPED"), ran.in_force.network_limited, "{strength}: {}", ran.text);
        let expected = strength != Strength::ProcessGroup && contain::probe().network_limited;
        assert_eq!(ran.in_force.network_limited, expected, "{strength}");
    }
}

#[tokio::test]
async fn leave_a_daemon_behind() {
    for strength in strengths() {
        for clear in ["", "env -i "] {
            let fixture = Fixture::new();
            let seconds = unique_sleep();
            let daemon = |name: &str| format!("sh -c \"echo > {name}; exec sleep {seconds}\"");
            let (one, two) = (daemon("one"), daemon("two"));
            let script = format!(
                "(setsid {clear}{one} </dev/null >/dev/null 2>&1 &) & (setsid sh -c '{clear}setsid {two} &' &) ; \
                 while [ ! -e one ] || [ ! -e two ]; do sleep 0.01; done"
            );
            let ran = run(&fixture, fixture.shell(&script), strength).await;
            assert_eq!(ran.exit.code, Some(0), "{strength}: {}", ran.text);
            assert_eq!(sleeping(&seconds), 0, "{strength}: a daemon is left ({clear})");
            assert!(ran.exit.duration < END, "{strength}: {:?}", ran.exit.duration);
        }
    }
}

#[tokio::test]
async fn ignore_the_polite_signal() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let seconds = unique_sleep();
        let script = format!("trap '' TERM INT HUP; sleep {seconds} & while :; do wait; sleep 0.05; done");
        let ran = try_run(
            &fixture,
            fixture.shell(&script),
            strength,
            Duration::from_millis(500),
            CancellationToken::new(),
        )
        .await;
        let ran = ran.unwrap_or_else(|error| panic!("{strength}: {error}"));
        assert!(ran.exit.timed_out && ran.exit.code.is_none(), "{strength}: {:?}", ran.exit);
        assert_eq!(sleeping(&seconds), 0, "{strength}");
        eprintln!("{strength}: 500 ms + 300 ms of grace, gone after {:?}", ran.exit.duration);
        assert!(ran.exit.duration < END, "{strength}: {:?}", ran.exit.duration);
    }
}

#[tokio::test]
async fn a_thousand_children() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let seconds = unique_sleep();
        let script = format!(
            "i=0; while [ $i -lt 1000 ]; do setsid sleep {seconds} & i=$((i+1)); done; echo ready > ready; wait"
        );
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let ready = fixture.path("work/ready");
        let (ran, cancelled) =
            tokio::join!(try_run(&fixture, fixture.shell(&script), strength, 2 * PATIENCE, cancel), async {
                until("a thousand children", || ready.exists() && sleeping(&seconds) >= 990).await;
                stop.cancel();
                Instant::now()
            });
        let ran = ran.unwrap_or_else(|error| panic!("{strength}: {error}"));
        assert!(ran.exit.cancelled, "{strength}");
        assert_eq!(sleeping(&seconds), 0, "{strength}");
        eprintln!("{strength}: 1000 children gone {:?} after the cancel", cancelled.elapsed());
    }
}

#[tokio::test]
async fn a_dropped_future_ends_the_tree() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let seconds = unique_sleep();
        let script = format!("setsid sleep {seconds} & sleep {seconds}");
        let running = try_run(
            &fixture,
            fixture.shell(&script),
            strength,
            Duration::from_secs(60),
            CancellationToken::new(),
        );
        tokio::select! {
            _ = running => panic!("{strength}: ended by itself"),
            () = until("both run", || sleeping(&seconds) == 2) => {}
        }
        assert_eq!(sleeping(&seconds), 0, "{strength}");
    }
}

#[tokio::test]
async fn kill_the_keeper() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let seconds = unique_sleep();
        // Its parent is the helper; process 1 is bubblewrap's or the machine's own.
        let script = format!("setsid sleep {seconds} & kill -KILL $PPID; sleep 0.2; echo still");
        let mut command = fixture.shell(&script);
        command.limits.max_processes = Some(500);
        let got =
            try_run(&fixture, command, strength, Duration::from_secs(20), CancellationToken::new()).await;
        let got = got.map(|ran| (ran.exit.code, ran.text));
        assert_eq!(sleeping(&seconds), 0, "{strength}: {got:?}");
    }
}

#[tokio::test]
async fn exceed_the_file_size() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let mut command = fixture.shell("dd if=/dev/zero of=big bs=65536 count=64");
        command.limits.max_file_size = Some(1 << 20);
        let ran = run(&fixture, command, strength).await;
        assert!(!ran.exit.success(), "{strength}: {}", ran.text);
        let size = std::fs::metadata(fixture.path("work/big")).map_or(0, |meta| meta.len());
        assert!(size <= 1 << 20, "{strength}: {size}");
    }
}

/// Processes that are small each and large together; only a control group sees that.
#[tokio::test]
async fn exceed_the_memory_together() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let mut command = fixture.shell(
            "for n in 1 2 3 4; do head -c 60000000 /dev/zero | tail -c 50000000 | (sleep 1; wc -c) & done; wait",
        );
        command.limits.max_memory = Some(96 << 20);
        let ran = run(&fixture, command, strength).await;
        if !ran.in_force.limits.iter().any(|limit| limit.ends_with("of memory of the tree")) {
            test_support::missing::machine(&format!(
                "what needs a control group with memory: {:?}",
                ran.in_force.limits
            ));
            return;
        }
        assert!(ran.text.matches("50000000\n").count() < 4, "{strength}: {}", ran.text);
    }
}

#[tokio::test]
async fn exceed_the_memory() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let mut command = fixture.shell("head -c 400000000 /dev/zero | tail -c 300000000 | wc -c");
        command.limits.max_memory = Some(64 << 20);
        let ran = run(&fixture, command, strength).await;
        assert!(!ran.text.contains("300000000\n"), "{strength}: {}", ran.text);
    }
}

/// As root only with control groups: the kernel does not count root's processes otherwise.
#[tokio::test]
async fn a_fork_bomb() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    if root && !offered("control groups") {
        test_support::missing::machine(
            "root's processes are only counted by a control group, and none can be made here",
        );
        return;
    }
    for strength in strengths() {
        let fixture = Fixture::new();
        let seconds = unique_sleep();
        let mut command = fixture.shell(&format!("b() {{ b | b & sleep {seconds}; }}; b; sleep {seconds}"));
        command.limits.max_processes = Some(200);
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let counting = {
            let (ended, seconds) = (ended.clone(), seconds.clone());
            std::thread::spawn(move || {
                let mut most = 0;
                while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                    most = most.max(sleeping(&seconds));
                    std::thread::sleep(Duration::from_millis(20));
                }
                most
            })
        };
        let got = try_run(&fixture, command, strength, Duration::from_secs(2), CancellationToken::new())
            .await
            .map(|ran| ran.exit);
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        let seen = counting.join().expect("it counts");
        assert_eq!(sleeping(&seconds), 0, "{strength}: {got:?}");
        eprintln!("{strength}: a fork bomb limited to 200 processes: {seen} at most: {got:?}");
        // Without a namespace and a group the user's other processes count too, and others come.
        if strength == Strength::Bubblewrap || offered("control groups") {
            assert!(seen <= 220, "{strength}: {seen}");
        }
    }
}

/// A slow reader slows the command; memory stays bounded because nothing is kept.
#[tokio::test]
async fn output_waits_for_its_reader() {
    let fixture = Fixture::new();
    let command = fixture.shell("head -c 8000000 /dev/zero; echo done > finished");
    let (sender, mut pieces) = tokio::sync::mpsc::channel(4);
    let full = sender.clone();
    let running = contain::run_streaming(command, sender, Duration::from_secs(30), CancellationToken::new());
    let reading = async {
        until("the channel is full", || full.capacity() == 0).await;
        drop(full);
        assert!(!fixture.path("work/finished").exists(), "the command did not wait");
        let mut bytes = 0;
        while let Some((_, piece)) = pieces.recv().await {
            bytes += piece.len();
        }
        bytes
    };
    let (ran, bytes) = tokio::join!(running, reading);
    assert!(ran.is_ok_and(|(exit, _)| exit.success()));
    assert_eq!(bytes, 8_000_000);
}

/// The worker of [`kill_the_worker`], in a process of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by kill_the_worker"]
async fn a_worker_to_be_killed() {
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let fixture = Fixture::new();
    let strength = match var("ESCAPE_STRENGTH").as_str() {
        "bubblewrap" => Strength::Bubblewrap,
        "landlock" => Strength::Landlock,
        _ => Strength::ProcessGroup,
    };
    let seconds = var("ESCAPE_SLEEP");
    let script = format!("setsid env -i sleep {seconds} & (setsid sleep {seconds} &) ; sleep {seconds}");
    let mut command = fixture.shell(&script);
    command.tag = var("ESCAPE_TAG");
    run(&fixture, command, strength).await;
}

#[tokio::test]
async fn kill_the_worker() {
    for strength in strengths() {
        let (seconds, tag) = (unique_sleep(), unique("killed"));
        let mut worker = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "escape::a_worker_to_be_killed", "--ignored", "--nocapture"])
            .env("ESCAPE_STRENGTH", strength.to_string())
            .env("ESCAPE_SLEEP", &seconds)
            .env("ESCAPE_TAG", &tag)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("this program starts");
        until("all three run", || sleeping(&seconds) == 3).await;
        worker.kill().expect("it runs");
        let killed = Instant::now();
        let _ = worker.wait();
        until("the tree is gone", || sleeping(&seconds) == 0).await;
        eprintln!("{strength}: gone {:?} after the worker's death", killed.elapsed());
        assert!(killed.elapsed() < END, "{strength}");
        // Whoever ends its job waits for the last of it, and removes its control group.
        contain::end_of_dead_worker(&tag);
        let groups = std::fs::read_dir("/sys/fs/cgroup/pids").into_iter().flatten().flatten();
        let left = groups.filter(|group| group.file_name().to_string_lossy().contains(&tag)).count();
        assert_eq!(left, 0, "{strength}");
    }
}

/// What a containment costs: start and end of a command that does nothing.
#[tokio::test]
async fn cost_of_a_start() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let mut times = Vec::new();
        for _ in 0..7 {
            let mut command = fixture.shell(":");
            command.limits.connect_ports = Some(vec![4711]);
            let started = Instant::now();
            run(&fixture, command, strength).await;
            times.push(started.elapsed());
        }
        times.sort();
        eprintln!("{strength}: start to gone, median of 7: {:?} (least {:?})", times[3], times[0]);
    }
}
