//! `codex-worker contained` (hidden): the small parent of a contained command. It exists
//! because limits must be set between fork and exec, which only unsafe code can do in one
//! process; a second process can do it plainly.
//!
//! It waits until the worker has put it where it belongs, applies the rules to one thread,
//! starts the command from that thread and adopts what the command orphans. When the command
//! ends it kills all that is left and tells the worker how it ended. It is itself outside
//! the rules. The command can neither look into it nor signal it by its number.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitStatus;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UnixStream as TokioUnixStream};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

use super::home::Furniture;
use super::rlimits::{self, Rlimits};
use super::seccomp::{self, Filter};
use super::{landlock, tree};

/// The helper's instructions; a JSON file (an argument may not be long enough for the rules).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The socket on which the worker hears of start and end. One connection only, made
    /// before the command starts, so that the command cannot speak there.
    pub control: PathBuf,
    /// The command's whole environment. Not the helper's own: it may say which libraries a
    /// program loads, and the helper is outside the rules.
    pub env: BTreeMap<String, String>,
    /// What must still be what it was when the rules were made.
    pub same: Vec<landlock::Identity>,
    /// What the job's home gets.
    pub furniture: Furniture,
    /// Loopback ports to serve inside, each with the socket that leads outside.
    pub forward: Vec<(u16, PathBuf)>,
    /// Landlock rules for the command.
    pub rules: Option<landlock::Rules>,
    /// Limits for the command.
    pub limits: Rlimits,
    /// The filter on system calls; none where it does not work.
    pub filter: Option<Filter>,
    /// End everything when the worker dies. Bubblewrap does so itself.
    pub watch_parent: bool,
}

/// What the helper says on the control socket, one JSON value a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HelperMessage {
    /// The command runs.
    Started,
    /// The command was not started.
    Failed(String),
    /// The command ended: exit code, signal.
    Ended(Option<i32>, Option<i32>),
}

/// Runs `argv` as `spec` says; gives the exit code for this process.
pub fn run(spec: Spec, argv: Vec<OsString>) -> Result<u8, String> {
    // Its memory and its environment are no business of what it starts, root or not.
    super::os::protect_this_process();
    // A session of its own: what is contained has no terminal to type into. Fails, and is
    // not needed, where bubblewrap has made one.
    let _ = rustix::process::setsid();
    let unreachable = |error: std::io::Error| format!("reach the worker: {error}");
    let mut control = UnixStream::connect(&spec.control).map_err(unreachable)?;
    let mut go = [0; 3];
    control.read_exact(&mut go).map_err(unreachable)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("start: {error}"))?;
    let ended = runtime.block_on(supervise(spec, argv, &mut control));
    match ended {
        Ok(status) => {
            use std::os::unix::process::ExitStatusExt;
            say(&mut control, &HelperMessage::Ended(status.code(), status.signal()));
            // A shell's convention, for whoever looks at this process itself.
            let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
            Ok(u8::try_from(code & 0xff).unwrap_or(1))
        }
        Err(error) => {
            say(&mut control, &HelperMessage::Failed(error));
            Ok(125)
        }
    }
}

fn say(control: &mut UnixStream, message: &HelperMessage) {
    // If the worker is gone nobody needs to know.
    if let Ok(text) = serde_json::to_string(message) {
        let _ = writeln!(control, "{text}");
    }
}

async fn supervise(spec: Spec, argv: Vec<OsString>, control: &mut UnixStream) -> Result<ExitStatus, String> {
    let parent = rustix::process::getppid();
    // Handled from here on, so that a signal to the whole tree leaves its helper alive.
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    tree::become_subreaper();
    #[cfg(target_os = "linux")]
    if spec.watch_parent {
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM))
            .map_err(|error| error.to_string())?;
    }
    if let Some(place) = spec.same.iter().find(|place| !place.holds()) {
        return Err(format!("{} was replaced while the containment was made", place.path.display()));
    }
    for (port, socket) in &spec.forward {
        serve(*port, socket.clone()).await.map_err(|error| format!("serve port {port}: {error}"))?;
    }
    let watch_parent = spec.watch_parent;
    let mut child = start(spec, argv)?;
    say(control, &HelperMessage::Started);
    let own = rustix::process::getpid().as_raw_pid();
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            _ = terminate.recv() => {
                // The worker directs the end of the tree itself, unless it is dead.
                if watch_parent && rustix::process::getppid() != parent {
                    tree::kill_until_gone(|| tree::descendants(own));
                }
            }
        }
    };
    tree::kill_until_gone(|| tree::descendants(own));
    status.map_err(|error| format!("wait for the command: {error}"))
}

/// Starts the command from a thread that is bound by the rules.
fn start(spec: Spec, argv: Vec<OsString>) -> Result<Child, String> {
    let (program, args) = argv.split_first().ok_or("no command was given")?;
    let mut command = tokio::process::Command::new(program);
    command.args(args).env_clear().envs(&spec.env);
    let shown = program.to_string_lossy().into_owned();
    let runtime = tokio::runtime::Handle::current();
    let own = [rustix::process::getpid(), rustix::process::getppid().unwrap_or(rustix::process::Pid::INIT)];
    let apart = own.map(|pid| pid.as_raw_pid().cast_unsigned());
    let bound = std::thread::spawn(move || {
        let _inside = runtime.enter();
        rlimits::apply(&spec.limits)?;
        if let Some(rules) = &spec.rules {
            landlock::restrict_this_thread(rules).map_err(|error| error.to_string())?;
        }
        spec.furniture.make();
        if let Some(filter) = spec.filter {
            let filter = Filter { apart: apart.to_vec(), ..filter };
            seccomp::restrict_this_thread(&filter)
                .map_err(|error| format!("filter system calls: {error}"))?;
        }
        command.spawn().map_err(|error| format!("start {shown}: {error}"))
    });
    bound.join().map_err(|_| "the starting thread failed".to_owned())?
}

/// Serves `port` on the loopback inside and passes every connection on to `socket`.
async fn serve(port: u16, socket: PathBuf) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    tokio::spawn(async move {
        loop {
            let Ok((mut inside, _)) = listener.accept().await else {
                // Out of file numbers, say: give the others time to close.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                continue;
            };
            let socket = socket.clone();
            tokio::spawn(async move {
                if let Ok(mut outside) = TokioUnixStream::connect(socket).await {
                    let _ = inside.set_nodelay(true);
                    // A broken connection ends; the peers see that themselves.
                    let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
                }
            });
        }
    });
    Ok(())
}
