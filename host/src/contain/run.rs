//! Starts a contained command, hands its output on and ends its whole tree.
//!
//! Two loops side by side: the pump moves output (and waits for a slow reader), the control
//! waits for exit, timeout and cancel. Neither can block the other.

use std::ffi::OsString;
use std::future::Future;
use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Command, Error, Exit, InForce, MARK_VARIABLE, Result, Stream, Strength};
use super::{bubblewrap, environment, hidden, probe, spawn, tree};

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// How long output that is still in the pipes may take after the tree is gone.
const DRAIN: Duration = Duration::from_secs(5);

/// What a caller may choose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Use this means even if a stronger one works.
    pub force: Option<Strength>,
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { force: None, grace: Duration::from_secs(2) }
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
    let prepared = prepare(&command, options)?;
    let mut child = start(&command, &prepared).await?;
    let Some(root) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) else {
        return Err(Error::Wait(std::io::Error::other("the process has no id")));
    };
    let tree = Tree { root, strength: prepared.in_force.strength, mark: command.mark.clone(), gone: false };
    let stdin = child.stdin.take();
    let feed = async move {
        if let Some(mut pipe) = stdin {
            // A command that does not read its input is no error.
            let _ = pipe.write_all(&command.stdin).await;
            let _ = pipe.shutdown().await;
        }
        // Nothing more to feed: wait for the control to end.
        std::future::pending::<()>().await;
    };
    let pump = pump(child.stdout.take(), child.stderr.take(), sink);
    let control = control(child, tree, timeout, cancel, options.grace);
    tokio::pin!(feed, pump, control);

    let mut pumped = false;
    let end = loop {
        tokio::select! {
            end = &mut control => break end?,
            () = &mut pump, if !pumped => pumped = true,
            () = &mut feed => {}
        }
    };
    if !pumped {
        // The writers are gone, so only a slow reader can make this last.
        let _ = tokio::time::timeout(DRAIN, &mut pump).await;
    }
    let exit = Exit {
        code: end.status.code(),
        signal: signal_of(end.status),
        timed_out: end.timed_out,
        cancelled: end.cancelled,
        duration: started.elapsed(),
    };
    Ok((exit, prepared.in_force))
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
}

fn prepare(command: &Command, options: Options) -> Result<Prepared> {
    if command.argv.is_empty() {
        return Err(Error::Empty);
    }
    let probe = probe();
    let inner: Vec<OsString> = command.argv.iter().map(OsString::from).collect();
    let strength = options.force.map_or(probe.strength, |force| force.max(probe.strength));
    let mut warnings = Vec::new();
    let argv = match (strength, &probe.bwrap) {
        (Strength::Bubblewrap, Some(bwrap)) => {
            let view = bubblewrap::View {
                bwrap: bwrap.clone(),
                fresh: bubblewrap::fresh_here(),
                writable: existing(&command.limits.writable),
                hidden: hidden::existing(environment::user_home().as_deref(), &command.limits.hidden),
                readable: bubblewrap::FROM_RUN
                    .iter()
                    .filter(|place| std::path::Path::new(place).exists())
                    .map(|place| (place.into(), place.into()))
                    .collect(),
                cwd: command.cwd.clone(),
                unshare_net: false,
            };
            bubblewrap::argv(&view, &inner)
        }
        _ => {
            warnings.push(
                "files outside the allowed directories can be written; they are checked after the fact only"
                    .to_owned(),
            );
            warnings.push("credentials of the user can be read".to_owned());
            inner
        }
    };
    let network_limited = false;
    if command.limits.connect_ports.is_some() && !network_limited {
        warnings.push("the network is not limited".to_owned());
    }
    Ok(Prepared { argv, in_force: InForce { strength, network_limited, warnings } })
}

/// Resolved paths of those that exist: what is not there cannot be mounted.
fn existing(paths: &[std::path::PathBuf]) -> Vec<std::path::PathBuf> {
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
                let _ = rustix::process::kill_process_group(self.root, Signal::KILL);
                tree::kill_until_gone(|| tree::descendants(self.root.as_raw_pid()));
                tree::signal_all(&[self.root], Signal::KILL);
            }
        }
    }

    /// Ends strays after the root is gone. Blocking.
    fn finish(&mut self) {
        if self.strength != Strength::Bubblewrap {
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

async fn pump<F: Future<Output = ()> + Send>(
    mut stdout: Option<impl AsyncRead + Unpin + Send>,
    mut stderr: Option<impl AsyncRead + Unpin + Send>,
    mut sink: impl FnMut(Stream, Bytes) -> F + Send,
) {
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
            (n, _) => sink(stream, Bytes::copy_from_slice(&buffer[..n])).await,
        }
    }
}

/// The bytes read; 0 at the end and after an error, which ends a stream just the same.
async fn read_some(pipe: &mut Option<impl AsyncRead + Unpin>, buffer: &mut [u8]) -> usize {
    match pipe {
        Some(pipe) => pipe.read(buffer).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}
