//! Telling somebody that a job has ended: a command of the operator's, and webhooks. Runs in a
//! process of its own, which `job::notify` starts.

mod address;
mod webhook;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use config::Config;
use job::store::JobRow;
use model::error::{Error, Kind, Result};
use redact::{Redactor, sanitize};

/// How long the command may take.
const COMMAND: Duration = Duration::from_secs(60);

/// What is told: the job, and the result as the planner gets it.
pub fn event(row: &JobRow, redactor: &Redactor) -> Value {
    json!({
        "event": "job_ended",
        "job_id": row.id,
        "job_status": row.status,
        "task": sanitize::line(&redactor.known_secrets_only(&row.spec.prompt), 200),
        "directory": row.spec.allowed_dirs.first().map(|dir| dir.path()),
        "labels": row.spec.labels,
        "created_ms": row.created_ms,
        "finished_ms": row.finished_ms,
        "duration_ms": row.result.as_ref().map(|result| result.duration_ms),
        "result": row.result,
    })
}

/// What a test tells.
pub fn sample() -> Value {
    json!({
        "event": "job_ended",
        "job_id": "00000000000000000000000000000000",
        "job_status": "completed",
        "task": "a test of codex-worker notify",
        "directory": null,
        "labels": {},
        "created_ms": 0,
        "finished_ms": 0,
        "duration_ms": 0,
        "result": null,
    })
}

/// Tells everybody; a line for each that could be told. One that could not does not keep the
/// others from it.
pub fn send(config: &Config, event: &Value) -> Result<Vec<String>> {
    let settings = &config.notify;
    let mut told = Vec::new();
    let mut failed: Vec<String> = Vec::new();
    let mut note = |what: String, outcome: Result<()>| match outcome {
        Ok(()) => told.push(what),
        Err(error) => failed.push(format!("{what}: {}", error.message)),
    };
    if let Some(line) = &settings.command {
        note("the command".to_owned(), command(config, line, event));
    }
    if !settings.webhooks.is_empty() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(Kind::Environment, error.to_string()))?;
        for url in &settings.webhooks {
            // A webhook's path is often its password.
            let shown = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
            let shown = shown.unwrap_or_else(|| "a webhook".to_owned());
            note(shown, runtime.block_on(webhook::post(url, settings, event)));
        }
    }
    match failed.is_empty() {
        true => Ok(told),
        false => Err(Error::new(Kind::Environment, format!("not told: {}", failed.join("; ")))
            .hint("correct [notify] in the settings; `codex-worker notify` tries it")),
    }
}

/// Runs the operator's command with the event on its standard input.
fn command(config: &Config, line: &str, event: &Value) -> Result<()> {
    let failed = |why: String| Error::new(Kind::Environment, why);
    job::paths::create_private(&config.home)
        .map_err(|error| failed(format!("{}: {error}", config.home.display())))?;
    let mut child = Command::new("/bin/sh")
        .args(["-c", line])
        .current_dir(&config.home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed(format!("it could not be started: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        // A command that reads nothing is no fault.
        let _ = input.write_all(format!("{event}\n").as_bytes());
    }
    let deadline = Instant::now() + COMMAND;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(failed(format!("it failed ({status})"))),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("it did not end within {} s", COMMAND.as_secs())));
            }
            Err(error) => return Err(failed(error.to_string())),
        }
    }
}
