//! Starts a contained command, hands its output on and ends its whole tree.
//!
//! Two loops side by side: the pump moves output (and waits for a slow reader), the control
//! waits for exit, timeout and cancel. Neither can block the other.

use std::ffi::OsString;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::channel::Channel;
use super::helper::{self, Said};
use super::rlimits::Rlimits;
use super::{Command, Error, Exit, InForce, MARK_VARIABLE, Result, Stream, Strength};
use super::{bubblewrap, environment, hidden, landlock, plan, probe, spawn, tree};

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// How long output that is still in the pipes may take after the tree is gone.
const DRAIN: Duration = Duration::from_secs(5);

/// Bytes of standard error that explain why a containment could not be set up.
const FIRST_WORDS: usize = 400;

/// What a caller may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Use this means even if a stronger one works.
    pub force: Option<Strength>,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// The home whose credentials are hidden; the user's own when none.
    pub user_home: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options { force: None, grace: Duration::from_secs(2), user_home: None }
    }
}

/// Runs `command` to its end; `output` is called with each piece of output as it comes.
/// The whole tree is gone when this returns, also when the future is dropped.
pub async fn run(
    command: Command,
    mut output: impl FnMut(Stream, &[u8]) + Send,
    timeout: Duration,
    cancel: CancellationToken,
) -> Result<(Exit, InForce)> {
    let sink = |stream, bytes: Bytes| {
        output(stream, &bytes);
        std::future::ready(())
    };
    run_with(command, sink, timeout, cancel, Options::default()).await
}

/// As [`run`], for a reader at the other end of a bounded channel: while the channel is
/// full the command waits. A closed channel drops the output.
pub async fn run_streaming(
    command: Command,
    output: mpsc::Sender<(Stream, Bytes)>,
    timeout: Duration,
    cancel: CancellationToken,
) -> Result<(Exit, InForce)> {
    let sink = move |stream, bytes| {
        let output = output.clone();
        async move {
            // Nobody reads any more; the command still runs to its end.
            let _ = output.send((stream, bytes)).await;
        }
    };
    run_with(command, sink, timeout, cancel, Options::default()).await
}

/// As [`run`], with every choice open. `sink` gets one piece at a time; the next is read
/// when its future is done.
pub async fn run_with<F>(
    command: Command,
    sink: impl FnMut(Stream, Bytes) -> F + Send,
    timeout: Duration,
    cancel: CancellationToken,
    options: Options,
) -> Result<(Exit, InForce)>
where
    F: Future<Output = ()> + Send,
{
    let started = Instant::now();
    let mut prepared = prepare(&command, &options)?;
    let mut child = start(&command, &prepared).await?;
    let Some(root) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else {
        return Err(Error::Wait(std::io::Error::other("the process has no id")));
    };
    let tree = Tree {
        root,
        strength: prepared.in_force.strength,
        keeper: prepared.channel.is_some(),
        mark: command.mark.clone(),
        gone: false,
    };
    let stdin = child.stdin.take();
    let feed = async move {
        if let Some(mut pipe) = stdin {
            // A command that does not read its input is no error.
            let _ = pipe.write_all(&command.stdin).await;
            let _ = pipe.shutdown().await;
        }
    };
    let pump = pump(child.stdout.take(), child.stderr.take(), sink);
    let control = control(child, tree, timeout, cancel, options.grace);
    tokio::pin!(feed, pump, control);

    let (mut fed, mut first_words) = (false, None);
    let end = loop {
        tokio::select! {
            end = &mut control => break end?,
            words = &mut pump, if first_words.is_none() => first_words = Some(words),
            () = &mut feed, if !fed => fed = true,
        }
    };
    if first_words.is_none() {
        // The writers are gone, so only a slow reader can make this last.
        first_words = tokio::time::timeout(DRAIN, &mut pump).await.ok();
    }
    let said = match &mut prepared.channel {
        Some(channel) => Some(channel.heard().await),
        None => None,
    };
    let exit = exit(&end, said.as_deref(), &first_words.unwrap_or_default(), started.elapsed());
    exit.map(|exit| (exit, prepared.in_force)).map_err(|reason| match reason {
        NotRun::Failed(text) => {
            Error::Spawn { program: "the command".to_owned(), source: std::io::Error::other(text) }
        }
        NotRun::NoContainment(text) => Error::Setup(text),
    })
}

/// Why the command did not run.
#[derive(Debug, PartialEq, Eq)]
enum NotRun {
    Failed(String),
    NoContainment(String),
}

/// How the command ended, from what the helper said, and else from the outermost process.
/// `said` is none without a helper.
fn exit(end: &End, said: Option<&[Said]>, first_words: &str, duration: Duration) -> Result<Exit, NotRun> {
    let exit =
        |code, signal| Exit { code, signal, timed_out: end.timed_out, cancelled: end.cancelled, duration };
    let ours = end.timed_out || end.cancelled;
    let Some(said) = said else { return Ok(exit(end.status.code(), signal_of(end.status))) };
    match said.last() {
        Some(Said::Ended(code, signal)) => Ok(exit(*code, *signal)),
        Some(Said::Failed(text)) if !ours => Err(NotRun::Failed(text.clone())),
        // It ran and its keeper was killed with it.
        Some(Said::Started | Said::Failed(_)) => Ok(exit(None, Some(9))),
        None if ours => Ok(exit(None, Some(9))),
        None => {
            let line = first_words.lines().next().unwrap_or("it ended before the command started");
            Err(NotRun::NoContainment(line.to_owned()))
        }
    }
}

fn signal_of(status: std::process::ExitStatus) -> Option<i32> {
    #[cfg(unix)]
    {
        std::os::unix::process::ExitStatusExt::signal(&status)
    }
    #[cfg(not(unix))]
    None
}

/// What is to be started and what will be in force.
struct Prepared {
    argv: Vec<OsString>,
    in_force: InForce,
    /// Present when the helper takes part.
    channel: Option<Channel>,
}

fn prepare(command: &Command, options: &Options) -> Result<Prepared> {
    let Some(program) = command.argv.first() else { return Err(Error::Empty) };
    let probe = probe();
    let helper = super::helper();
    let mut plan = plan::decide(&plan::Given {
        force: options.force,
        bwrap: probe.bwrap.is_some(),
        bwrap_net: probe.bwrap_net,
        landlock: probe.landlock,
        helper: helper.is_some(),
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
    if let Some(helper) = helper {
        let opened =
            Channel::open(&plan.forward).map_err(|error| Error::Setup(format!("sockets: {error}")))?;
        let files = (plan.strength == Strength::Landlock).then(|| {
            let paths: Vec<PathBuf> = hidden.iter().map(|hide| hide.path.clone()).collect();
            for path in paths.iter().filter(|path| writable.iter().any(|dir| path.starts_with(dir))) {
                plan.warnings
                    .push(format!("{} lies in a writable directory and is not hidden", path.display()));
            }
            let mut readable = landlock::readable_beside(&paths, &landlock::entries);
            readable.extend(programs.iter().cloned());
            landlock::Files { writable: writable.clone(), readable }
        });
        let spec = helper::Spec {
            control: opened.control(),
            forward: opened.forward().to_vec(),
            rules: (files.is_some() || plan.connect_ports.is_some())
                .then(|| landlock::Rules { files, connect_ports: plan.connect_ports.clone() }),
            limits: Rlimits {
                memory: command.limits.max_memory,
                processes: command.limits.max_processes.map(|max| max + plan::others(plan.strength)),
                file_size: command.limits.max_file_size,
            },
            watch_parent: plan.strength != Strength::Bubblewrap,
        };
        let spec = serde_json::to_string(&spec).map_err(|error| Error::Setup(error.to_string()))?;
        let prefix =
            [helper.as_os_str().to_owned(), "contained".into(), "--spec".into(), spec.into(), "--".into()];
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
        let view = bubblewrap::View {
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
    let in_force =
        InForce { strength: plan.strength, network_limited: plan.network_limited, warnings: plan.warnings };
    Ok(Prepared { argv, in_force, channel })
}

/// Resolved paths of those that exist: what is not there cannot be mounted.
fn existing(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<_> = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
    found.sort();
    found.dedup();
    found
}

async fn start(command: &Command, prepared: &Prepared) -> Result<Child> {
    let mut process = tokio::process::Command::new(&prepared.argv[0]);
    process
        .args(&prepared.argv[1..])
        .env_clear()
        .envs(&command.env)
        .env(MARK_VARIABLE, &command.mark)
        .current_dir(&command.cwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    #[cfg(unix)]
    process.process_group(0);
    tree::become_subreaper();
    let program = prepared.argv[0].to_string_lossy().into_owned();
    spawn::spawn(process).await.map_err(|source| Error::Spawn { program, source })
}

/// The tree of one run; dropping it kills what is left.
struct Tree {
    root: Pid,
    strength: Strength,
    /// The root is the helper, which ends by itself when its command is gone.
    keeper: bool,
    mark: String,
    gone: bool,
}

impl Tree {
    /// Asks every process to end.
    fn terminate(&self) {
        let mut pids = tree::descendants(self.root.as_raw_pid());
        if self.strength != Strength::Bubblewrap {
            pids.push(self.root);
        }
        tree::signal_all(&pids, Signal::TERM);
    }

    /// Kills the tree from its root. Afterwards the root can be waited for.
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

    /// Ends strays after the root is gone. Blocking.
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

/// How the root ended.
struct End {
    status: std::process::ExitStatus,
    timed_out: bool,
    cancelled: bool,
}

async fn control(
    mut child: Child,
    mut tree: Tree,
    timeout: Duration,
    cancel: CancellationToken,
    grace: Duration,
) -> Result<End> {
    let (mut timed_out, mut cancelled) = (false, false);
    let status = tokio::select! {
        biased;
        status = child.wait() => Some(status.map_err(Error::Wait)?),
        () = cancel.cancelled() => { cancelled = true; None }
        () = tokio::time::sleep(timeout) => { timed_out = true; None }
    };
    let status = match status {
        Some(status) => status,
        None => stop(&mut child, &tree, grace).await?,
    };
    // The scan of /proc blocks for some milliseconds.
    tokio::task::spawn_blocking(move || tree.finish()).await.map_err(|error| Error::Wait(error.into()))?;
    Ok(End { status, timed_out, cancelled })
}

/// SIGTERM, the grace, SIGKILL.
async fn stop(child: &mut Child, tree: &Tree, grace: Duration) -> Result<std::process::ExitStatus> {
    tree.terminate();
    if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
        return status.map_err(Error::Wait);
    }
    tree.kill();
    match tokio::time::timeout(Duration::from_secs(2), child.wait()).await {
        Ok(status) => status.map_err(Error::Wait),
        Err(_) => {
            child.start_kill().map_err(Error::Wait)?;
            child.wait().await.map_err(Error::Wait)
        }
    }
}

/// Moves the output until both pipes end; gives the first words on standard error.
async fn pump<F: Future<Output = ()> + Send>(
    mut stdout: Option<impl AsyncRead + Unpin + Send>,
    mut stderr: Option<impl AsyncRead + Unpin + Send>,
    mut sink: impl FnMut(Stream, Bytes) -> F + Send,
) -> String {
    let mut first_words = Vec::new();
    let mut out = vec![0u8; CHUNK];
    let mut err = vec![0u8; CHUNK];
    while stdout.is_some() || stderr.is_some() {
        let (stream, read) = tokio::select! {
            read = read_some(&mut stdout, &mut out) => (Stream::Stdout, read),
            read = read_some(&mut stderr, &mut err) => (Stream::Stderr, read),
        };
        let buffer = if stream == Stream::Stdout { &out } else { &err };
        match (read, stream) {
            (0, Stream::Stdout) => stdout = None,
            (0, Stream::Stderr) => stderr = None,
            (n, _) => {
                if stream == Stream::Stderr {
                    let room = FIRST_WORDS.saturating_sub(first_words.len());
                    first_words.extend_from_slice(&buffer[..n.min(room)]);
                }
                sink(stream, Bytes::copy_from_slice(&buffer[..n])).await;
            }
        }
    }
    String::from_utf8_lossy(&first_words).into_owned()
}

/// The bytes read; 0 at the end and after an error, which ends a stream just the same.
async fn read_some(pipe: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    match pipe {
        Some(pipe) => pipe.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_how_it_ended() {
        use std::os::unix::process::ExitStatusExt;
        let ended = |code| Said::Ended(Some(code), None);
        let failed = |text: &str| Err(NotRun::Failed(text.to_owned()));
        for (case, raw, ours, said, expected) in [
            ("no helper", 0x0300, false, None, Ok((Some(3), None))),
            ("no helper, killed", 9, true, None, Ok((None, Some(9)))),
            ("helper", 0x0300, false, Some(vec![Said::Started, ended(7)]), Ok((Some(7), None))),
            (
                "signal",
                0x8900,
                false,
                Some(vec![Said::Started, Said::Ended(None, Some(9))]),
                Ok((None, Some(9))),
            ),
            ("killed with its helper", 9, true, Some(vec![Said::Started]), Ok((None, Some(9)))),
            ("not started", 0x7d00, false, Some(vec![Said::Failed("no".into())]), failed("no")),
            ("cancelled before the start", 9, true, Some(vec![]), Ok((None, Some(9)))),
            ("bwrap failed", 0x0100, false, Some(vec![]), Err(NotRun::NoContainment("bwrap: no".into()))),
        ] {
            let status = std::process::ExitStatus::from_raw(raw);
            let end = End { status, timed_out: false, cancelled: ours };
            let got = exit(&end, said.as_deref(), "bwrap: no\nmore", Duration::ZERO);
            assert_eq!(got.map(|exit| (exit.code, exit.signal)), expected, "{case}");
        }
    }
}
