//! The table of `SECURITY.md`, measured: each promise is tried under each strength that the
//! machine has. What is promised must hold, and what is not promised must be seen not to.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use contain::promises::{Kept, PROMISES};
use contain::{Error, Strength};

use crate::escape::{Fixture, python, run, sleeping, strengths, try_run, unique, unique_sleep};
use crate::support::{git, write};

/// Whether `id` holds under `strength`; none where this machine cannot show it.
async fn holds(id: &str, strength: Strength) -> Option<bool> {
    let fixture = Fixture::new();
    let shell = |script: &str| {
        let mut command = fixture.shell(script);
        command.env.insert("HOME".into(), fixture.path("work").display().to_string());
        command.limits.connect_ports = Some(vec![4711]);
        command
    };
    let outside = fixture.path("outside");
    match id {
        "write" => {
            run(&fixture, shell("echo x > $ROOT/outside/file"), strength).await;
            Some(!outside.join("file").exists())
        }
        "attributes" => {
            use std::os::unix::fs::MetadataExt;
            write(&outside.join("file"), "x");
            let before = outside.join("file").metadata().expect("there");
            run(
                &fixture,
                shell("chmod 600 $ROOT/outside/file; touch -d 2001-01-01 $ROOT/outside/file"),
                strength,
            )
            .await;
            let after = outside.join("file").metadata().expect("there");
            Some((before.mode(), before.mtime()) == (after.mode(), after.mtime()))
        }
        "read-home" => {
            write(&fixture.path("elsewhere/file"), "elsewhere-text");
            let script = "cat $ROOT/home/notes $ROOT/elsewhere/file";
            let text = run(&fixture, shell(script), strength).await.text;
            Some(!text.contains("readable") && !text.contains("elsewhere-text"))
        }
        "list-home" => Some(!run(&fixture, shell("ls -a $ROOT/home"), strength).await.text.contains("notes")),
        "credentials" => {
            // A toolchain that no variable of the machine under test can move elsewhere.
            write(&fixture.path("home/.luarocks/upload_config.lua"), "SECRET-TOKEN");
            write(&fixture.path("home/.luarocks/share/x"), "cached");
            let script = "cat $ROOT/home/.ssh/id_test $ROOT/home/.luarocks/upload_config.lua \
                          $ROOT/home/.luarocks/share/x";
            let text = run(&fixture, shell(script), strength).await.text;
            assert!(text.contains("cached"), "{strength}: toolchains can be read: {text}");
            Some(!text.contains("PRIVATE KEY") && !text.contains("SECRET-TOKEN"))
        }
        "temporary" => {
            let name = format!("/tmp/{}", unique("codex-worker-promise"));
            write(name.as_ref(), "text-of-tmp");
            let ran = run(&fixture, shell(&format!("cat {name}; echo x > {name}-2; true")), strength).await;
            let written = std::path::Path::new(&format!("{name}-2")).exists();
            for file in [name.clone(), format!("{name}-2")] {
                let _ = std::fs::remove_file(file);
            }
            Some(!written && !ran.text.contains("text-of-tmp"))
        }
        "git-closed" | "git-undone" => {
            let repo = fixture.path("work");
            git(&repo, &["init", "-q"]);
            let config = std::fs::read_to_string(repo.join(".git/config")).expect("there");
            let script = "git config core.fsmonitor evil || exit 0; echo changed > changed; sleep 50";
            let ran =
                try_run(&fixture, shell(script), strength, Duration::from_secs(60), Default::default()).await;
            if id == "git-closed" {
                return Some(!repo.join("changed").exists() && ran.is_ok());
            }
            let same = std::fs::read_to_string(repo.join(".git/config")).expect("there") == config;
            Some(same && (strength == Strength::Bubblewrap || matches!(ran, Err(Error::Ended(_)))))
        }
        "tcp" => {
            let server = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
            let port = server.local_addr().expect("an address").port();
            let script = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && echo REACHED'");
            Some(!run(&fixture, shell(&script), strength).await.text.contains("REACHED"))
        }
        "udp" => {
            let server = std::net::UdpSocket::bind("127.0.0.1:0").expect("loopback");
            server.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
            let port = server.local_addr().expect("an address").port();
            let script = format!(
                "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.sendto(b'x', ('127.0.0.1', {port}))"
            );
            python(&fixture, &script, strength, Some(vec![4711])).await?;
            Some(server.recv(&mut [0]).is_err())
        }
        "listen" => {
            let script = "import socket, time\ns = socket.socket(); s.bind(('0.0.0.0', 0)); s.listen()\n\
                open('port', 'w').write(str(s.getsockname()[1])); s.settimeout(3); s.accept(); print('REA' 'CHED')";
            let file = fixture.path("work/port");
            let connecting = async {
                let deadline = Instant::now() + Duration::from_secs(3);
                while Instant::now() < deadline {
                    let port = std::fs::read_to_string(&file).ok().and_then(|text| text.parse::<u16>().ok());
                    if let Some(port) = port {
                        return std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                false
            };
            let (text, connected) =
                tokio::join!(python(&fixture, script, strength, Some(vec![4711])), connecting);
            Some(!text?.contains("REACHED") && !connected)
        }
        "socket-files" => {
            let path = format!("/tmp/{}", unique("codex-worker-socket"));
            let _server = UnixListener::bind(&path).expect("bound");
            let script = format!(
                "import socket\nsocket.socket(socket.AF_UNIX).connect('{path}'); print('REA' 'CHED')"
            );
            let text = python(&fixture, &script, strength, Some(vec![4711])).await;
            let _ = std::fs::remove_file(path);
            Some(!text?.contains("REACHED"))
        }
        "abstract-sockets" => {
            let name = unique("codex-worker-abstract");
            let address = SocketAddr::from_abstract_name(&name).expect("a name");
            let _server = UnixListener::bind_addr(&address).expect("bound");
            let script = format!(
                "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0{name}'); print('REA' 'CHED')"
            );
            Some(!python(&fixture, &script, strength, Some(vec![4711])).await?.contains("REACHED"))
        }
        "see-processes" | "look-into-processes" | "signal" => {
            let seconds = unique_sleep();
            let mut other = std::process::Command::new("sleep")
                .arg(&seconds)
                .env("PROMISE", "environment-of-another")
                .spawn()
                .expect("sleep starts");
            let pid = other.id();
            let script = match id {
                "see-processes" => format!("tr '\\0' ' ' < /proc/{pid}/cmdline"),
                "look-into-processes" => {
                    format!("tr '\\0' '\\n' < /proc/{pid}/environ; head -c 1 /proc/{pid}/mem")
                }
                _ => format!("kill -KILL {pid}; true"),
            };
            let text = run(&fixture, shell(&script), strength).await.text;
            let alive = matches!(other.try_wait(), Ok(None));
            let _ = other.kill();
            let _ = other.wait();
            Some(match id {
                "signal" => alive,
                _ => !text.contains(&seconds) && !text.contains("environment-of-another"),
            })
        }
        "helper" => {
            // It is the parent of the command's first process.
            let script = r#"
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
helper = int(os.environ['HELPER'])
if libc.ptrace(16, helper, 0, 0) == 0: print("REACHED attach")
if libc.ptrace(0x4206, helper, 0, 0) == 0: print("REACHED seize")
for name in ('mem', 'environ', 'maps'):
    try: open(f'/proc/{helper}/{name}', 'rb').read(1) and print("REACHED", name)
    except OSError: pass
for number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
    try: os.kill(helper, number); print("REACHED signal")
    except OSError: pass
print("tried")
"#;
            write(&fixture.path("work/try.py"), script);
            let text =
                run(&fixture, shell("HELPER=$PPID; export HELPER; python3 try.py; exit 7"), strength).await;
            if !text.text.contains("tried") && !text.text.contains("REACHED") {
                return None;
            }
            Some(!text.text.contains("REACHED") && text.exit.code == Some(7))
        }
        "daemons" => {
            let seconds = unique_sleep();
            let script = format!(
                "(setsid env -i sh -c 'echo > started; exec sleep {seconds}' </dev/null >/dev/null 2>&1 &) ; \
                 while [ ! -e started ]; do sleep 0.01; done"
            );
            run(&fixture, shell(&script), strength).await;
            Some(sleeping(&seconds) == 0)
        }
        "kernel-calls" => {
            let script = "import ctypes, platform\nlibc = ctypes.CDLL(None, use_errno=True)\nx86 = platform.machine() == 'x86_64'\n\
                for number in ((250, 425, 321) if x86 else (219, 425, 280)):\n    print('REACHED' if libc.syscall(number, 0, 0, 0) >= 0 else ctypes.get_errno())";
            let text = python(&fixture, script, strength, Some(vec![4711])).await?;
            Some(text.lines().count() == 3 && text.lines().all(|line| line == "1" || line == "38"))
        }
        "set-user-id" => {
            use std::os::unix::fs::MetadataExt;
            if !is_root() {
                return None;
            }
            let ran = run(
                &fixture,
                shell("cp /bin/sh shell; chmod 4755 shell; mkdir d; cp -p shell d/again"),
                strength,
            )
            .await;
            let bits = |name: &str| fixture.path(name).metadata().map_or(0, |meta| meta.mode() & 0o6000);
            let said = ran.in_force.warnings.iter().filter(|warning| warning.contains("set-user-id")).count();
            Some(bits("work/shell") == 0 && bits("work/d/again") == 0 && said == 2)
        }
        // Of whole processes: below.
        "host-environment" => None,
        _ => panic!("nobody tries {id}"),
    }
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

#[tokio::test]
async fn every_promise_is_as_measured() {
    let strengths = strengths();
    let version = contain::landlock::version();
    let mut wrong = Vec::new();
    for promise in PROMISES {
        for strength in &strengths {
            let expected = match promise.by(*strength) {
                Kept::Yes => true,
                Kept::Landlock(needed) => version >= needed,
                Kept::User => !is_root(),
                Kept::No => false,
            };
            match holds(promise.id, *strength).await {
                Some(measured) if measured != expected => {
                    wrong.push(format!(
                        "{} under {strength}: promised {expected}, measured {measured}",
                        promise.id
                    ));
                }
                Some(_) => {}
                None => eprintln!("NOT RUN: {} under {strength}", promise.id),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every process of the host, and what it starts, while a job runs: none has the key in its
/// environment, and a program planted on PATH is not started.
#[test]
fn no_process_of_the_host_has_the_key() {
    use crate::support::{Agent, Client, GATEWAY_KEY, World, until};
    use std::os::unix::fs::PermissionsExt;

    let mut world =
        World::outside_tmp(&[("src/a.txt", "old\n")], &serde_json::json!({"turns": []}), &Agent::Builtin);
    let ran = world.repo.with_file_name("planted-ran");
    let mut path = vec![PathBuf::from("./node_modules/.bin"), PathBuf::new(), world.repo.join("tools")];
    for name in ["git", "bwrap", "sh"] {
        for dir in ["node_modules/.bin", "tools", "."] {
            let file = world.repo.join(dir).join(name);
            // Inside it may run: that is what the entry is for.
            let script = format!(
                "#!/bin/sh\n[ -e '{0}' ] && echo {name} >> '{0}'\nexec /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin {name} \"$@\"\n",
                ran.display()
            );
            write(&file, &script);
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("writable");
        }
    }
    write(&ran, "");
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let path = std::env::join_paths(path).expect("a path").into_string().expect("text");
    world.set("AGENT", "command");
    world.set("AGENT_COMMAND", "echo x > ready; sleep 1.5; echo new > src/a.txt");
    world.set("AWS_SECRET_ACCESS_KEY", GATEWAY_KEY);
    world.set("LD_LIBRARY_PATH", &world.repo.display().to_string());
    let mut command = world.command(&["mcp"]);
    command.env("PATH", path);
    let mut server = Client::connect(command);
    let job = server
        .start_job(world.job(serde_json::json!({"checks": [{"name": "c", "command": "env; sleep 1"}]})));
    let ready = world.repo.join("ready");
    until("the agent runs", || ready.exists());
    let mut looked = 0;
    for _ in 0..20 {
        for pid in family(server.child.id()).into_iter().chain(workers(&world.home.display().to_string())) {
            let Ok(environ) = std::fs::read(format!("/proc/{pid}/environ")) else { continue };
            looked += usize::from(!environ.is_empty());
            let text = String::from_utf8_lossy(&environ);
            assert!(!text.contains(GATEWAY_KEY), "process {pid}: {text}");
        }
        std::thread::sleep(Duration::from_millis(60));
    }
    assert!(looked > 20 || !is_root(), "only {looked} environments were looked at");
    let result = server.finish(&job);
    assert_eq!(result["changed_files"], serde_json::json!(["ready", "src/a.txt"]), "{result}");
    assert_eq!(std::fs::read_to_string(&ran).expect("there"), "", "a planted program ran outside");
}

/// A process and its descendants.
fn family(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect();
    let mut found = vec![root];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

/// The workers of a state directory (they leave the server's session), and what they started.
fn workers(home: &str) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let cwd = std::fs::read_link(entry.path().join("cwd")).ok()?;
        let cmdline = std::fs::read(entry.path().join("cmdline")).ok()?;
        (cwd.to_str() == Some(home) && cmdline.windows(4).any(|word| word == b"work")).then_some(pid)
    })
    .flat_map(family)
    .collect()
}
