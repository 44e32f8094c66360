//! Starts a contained command, hands its output on and ends its whole tree.
//!
//! Two loops side by side: the pump moves output (and waits for a slow reader), the control
//! waits for exit, timeout and cancel. Neither can block the other.

use std::future::Future;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::helper::HelperMessage;
use super::os::{self, Prepared};
use super::watch::Watch;
use super::{Command, Error, Exit, InForce, Result, Stream, Strength, TAG_VARIABLE, setuid, spawn};

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
    let (started, began) = (Instant::now(), SystemTime::now());
    let mut prepared = os::prepare(&command, &options)?;
    let watch = Watch::start(&prepared.protection);
    let mut child = start(&command, &prepared).await?;
    if let (Some(channel), Some(root)) = (&prepared.channel, child.id()) {
        channel.started(root.cast_signed());
    }
    let tree = os::Tree::of(&child, &prepared, &command.tag).map_err(Error::Wait)?;
    let stdin = child.stdin.take();
    let feed = async move {
        if let Some(mut pipe) = stdin {
            // A command that does not read its input is no error.
            let _ = pipe.write_all(&command.stdin).await;
            let _ = pipe.shutdown().await;
        }
    };
    let pump = pump(child.stdout.take(), child.stderr.take(), sink);
    let control = control(child, tree, &watch, timeout, cancel, options.grace);
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
    let places = std::mem::take(&mut prepared.writable);
    let stripped = tokio::task::spawn_blocking(move || setuid::strip(&places, began)).await;
    for path in stripped.unwrap_or_default() {
        prepared
            .in_force
            .warnings
            .push(format!("{} was set-user-id: the bit was taken away", path.display()));
    }
    // The tree is gone: what is put back now stays.
    if let Some(name) = end.undone.clone().or_else(|| watch.repair()) {
        return Err(Error::Ended(format!("{name} was changed so that git runs a program; it was put back")));
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
fn exit(
    end: &End,
    said: Option<&[HelperMessage]>,
    first_words: &str,
    duration: Duration,
) -> Result<Exit, NotRun> {
    let exit =
        |code, signal| Exit { code, signal, timed_out: end.timed_out, cancelled: end.cancelled, duration };
    let ours = end.timed_out || end.cancelled;
    let Some(said) = said else { return Ok(exit(end.status.code(), signal_of(end.status))) };
    match said.last() {
        Some(HelperMessage::Ended(code, signal)) => Ok(exit(*code, *signal)),
        Some(HelperMessage::Failed(text)) if !ours => Err(NotRun::Failed(text.clone())),
        // It ran and its helper was killed with it.
        Some(HelperMessage::Started | HelperMessage::Failed(_)) => Ok(exit(None, Some(9))),
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

async fn start(command: &Command, prepared: &Prepared) -> Result<Child> {
    let mut process = tokio::process::Command::new(&prepared.argv[0]);
    process
        .args(&prepared.argv[1..])
        .env_clear()
        .env(TAG_VARIABLE, &command.tag)
        .current_dir(&command.cwd)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // Bubblewrap and the helper are outside the rules: the command's environment may say which
    // libraries they load. The helper hands it to the command.
    if prepared.channel.is_none() {
        process.envs(&command.env);
    }
    // The helper makes a session of its own, which the leader of a group may not.
    #[cfg(unix)]
    if !prepared.own_session {
        process.process_group(0);
    }
    os::prepare_this_process();
    let program = prepared.argv[0].to_string_lossy().into_owned();
    spawn::spawn(process).await.map_err(|source| Error::Spawn { program, source })
}

/// The processes of one run. Dropping it ends them all.
pub(super) trait ProcessTree: Send {
    /// Asks every process to end.
    fn terminate(&self);
    /// Kills the tree from its root. Afterwards the root can be waited for.
    fn kill(&self);
    /// Ends orphaned processes after the root is gone. Blocking.
    fn finish(&mut self);
}

/// How the root ended.
struct End {
    status: std::process::ExitStatus,
    /// What was changed in the user's repository and was put back.
    undone: Option<String>,
    timed_out: bool,
    cancelled: bool,
}

async fn control(
    mut child: Child,
    mut tree: impl ProcessTree + 'static,
    watch: &Watch,
    timeout: Duration,
    cancel: CancellationToken,
    grace: Duration,
) -> Result<End> {
    let (mut timed_out, mut cancelled, mut undone) = (false, false, None);
    let status = tokio::select! {
        biased;
        name = watch.changed() => { undone = Some(name); None }
        status = child.wait() => Some(status.map_err(Error::Wait)?),
        () = cancel.cancelled() => { cancelled = true; None }
        () = tokio::time::sleep(timeout) => { timed_out = true; None }
    };
    let status = match status {
        Some(status) => status,
        None => {
            let grace = if undone.is_some() { Duration::ZERO } else { grace };
            stop(&mut child, &tree, grace).await?
        }
    };
    // The scan of /proc blocks for some milliseconds.
    tokio::task::spawn_blocking(move || tree.finish()).await.map_err(|error| Error::Wait(error.into()))?;
    Ok(End { status, undone, timed_out, cancelled })
}

/// SIGTERM, the grace, SIGKILL.
async fn stop(
    child: &mut Child,
    tree: &impl ProcessTree,
    grace: Duration,
) -> Result<std::process::ExitStatus> {
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
        let ended = |code| HelperMessage::Ended(Some(code), None);
        let failed = |text: &str| Err(NotRun::Failed(text.to_owned()));
        for (case, raw, ours, said, expected) in [
            ("no helper", 0x0300, false, None, Ok((Some(3), None))),
            ("no helper, killed", 9, true, None, Ok((None, Some(9)))),
            ("helper", 0x0300, false, Some(vec![HelperMessage::Started, ended(7)]), Ok((Some(7), None))),
            (
                "signal",
                0x8900,
                false,
                Some(vec![HelperMessage::Started, HelperMessage::Ended(None, Some(9))]),
                Ok((None, Some(9))),
            ),
            ("killed with its helper", 9, true, Some(vec![HelperMessage::Started]), Ok((None, Some(9)))),
            ("not started", 0x7d00, false, Some(vec![HelperMessage::Failed("no".into())]), failed("no")),
            ("cancelled before the start", 9, true, Some(vec![]), Ok((None, Some(9)))),
            ("bwrap failed", 0x0100, false, Some(vec![]), Err(NotRun::NoContainment("bwrap: no".into()))),
        ] {
            let status = std::process::ExitStatus::from_raw(raw);
            let end = End { status, undone: None, timed_out: false, cancelled: ours };
            let got = exit(&end, said.as_deref(), "bwrap: no\nmore", Duration::ZERO);
            assert_eq!(got.map(|exit| (exit.code, exit.signal)), expected, "{case}");
        }
    }
}
