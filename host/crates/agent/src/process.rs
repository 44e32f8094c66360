//! Runs an agent program that writes stream-json lines: contained, read to its end, ended
//! when it stays on after its result.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::outcome::{self, Ended};
use super::stream::{Lines, Transcript};
use super::{AgentEvent, Pass, Report};
use contain::{self, Exit, InForce, Stream};

/// How long a program may stay on after its result line.
const AFTER_RESULT: Duration = Duration::from_secs(5);
/// Pieces of output on their way; the program waits when they are full.
const PIECES: usize = 16;
/// Most bytes kept of standard error.
const STDERR_MAX: usize = 16 << 10;

/// What to start.
pub(super) struct Program {
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub stdin: Vec<u8>,
}

/// What was read.
pub(super) struct Read {
    pub transcript: Transcript,
    pub stderr: String,
}

/// Runs one pass.
pub(super) async fn run(
    program: Program,
    pass: &Pass,
    events: mpsc::Sender<AgentEvent>,
    cancel: CancellationToken,
) -> Report {
    let command = contain::Command {
        argv: program.argv,
        env: program.env,
        cwd: pass.cwd.clone(),
        stdin: program.stdin,
        limits: pass.limits.clone(),
        tag: pass.tag.clone(),
    };
    // Ours alone, so that the end after a result is distinguished from the caller's cancel.
    let enough = cancel.child_token();
    let (sender, receiver) = mpsc::channel(PIECES);
    let running = contain::run_streaming(command, sender, pass.timeout, enough.clone());
    let reading = read(receiver, events, enough);
    let (ran, read) = tokio::join!(running, reading);
    match ran {
        Ok((exit, in_force)) => {
            let after_result = exit.cancelled && read.transcript.result.is_some() && !cancel.is_cancelled();
            let ended =
                Ended { exit: &exit, after_result, transcript: &read.transcript, stderr: &read.stderr };
            outcome::report(ended, in_force)
        }
        Err(error) => outcome::not_started(&error, nothing_in_force()),
    }
}

/// For a program that never ran.
pub(super) fn nothing_in_force() -> InForce {
    InForce {
        strength: contain::strength(),
        network_limited: false,
        limits: Vec::new(),
        warnings: vec!["the program did not start".into()],
    }
}

/// Reads until the output ends. After a result line the program has [`AFTER_RESULT`].
async fn read(
    mut pieces: mpsc::Receiver<(Stream, bytes::Bytes)>,
    events: mpsc::Sender<AgentEvent>,
    enough: CancellationToken,
) -> Read {
    let mut lines = Lines::default();
    let mut read = Read { transcript: Transcript::default(), stderr: String::new() };
    let mut deadline = None;
    loop {
        let piece = tokio::select! {
            piece = pieces.recv() => piece,
            () = wait_until(deadline) => {
                enough.cancel();
                deadline = None;
                continue;
            }
        };
        let complete = match piece {
            None => break,
            Some((Stream::Stderr, bytes)) => {
                keep_end(&mut read.stderr, &bytes);
                continue;
            }
            Some((Stream::Stdout, bytes)) => lines.push(&bytes),
        };
        for line in complete {
            tell(&mut read.transcript, &line, &events).await;
        }
        if read.transcript.result.is_some() && deadline.is_none() && !enough.is_cancelled() {
            deadline = Some(tokio::time::Instant::now() + AFTER_RESULT);
        }
    }
    if let Some(line) = lines.finish() {
        tell(&mut read.transcript, &line, &events).await;
    }
    read
}

async fn tell(transcript: &mut Transcript, line: &str, events: &mpsc::Sender<AgentEvent>) {
    for event in transcript.line(line) {
        // A caller that no longer listens still wants the report.
        let _ = events.send(event).await;
    }
}

async fn wait_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Appends and keeps the last [`STDERR_MAX`] bytes or a little more.
pub(super) fn keep_end(kept: &mut String, bytes: &[u8]) {
    kept.push_str(&String::from_utf8_lossy(bytes));
    if kept.len() > 2 * STDERR_MAX {
        let from = kept.ceil_char_boundary(kept.len() - STDERR_MAX);
        kept.drain(..from);
    }
}

/// How a command that writes no lines ended, in the words of the transcript.
pub(super) fn plain_exit(exit: &Exit) -> super::stream::ResultLine {
    let ok = exit.success();
    super::stream::ResultLine {
        subtype: "success".into(),
        is_error: !ok,
        terminal_reason: if ok { "completed".into() } else { "a failing exit code".into() },
        ..Default::default()
    }
}
