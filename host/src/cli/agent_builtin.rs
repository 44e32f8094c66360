//! `codex-worker agent-builtin` (hidden): the contained child process of the built-in
//! agent. Reads a task as JSON on standard input, writes stream-json lines.

use std::io::Read;

use agent::builtin::{Task, work};
use model::error::{Error, Kind, Result};

/// None: everything comes on standard input.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the pass to its end.
pub fn run(_args: Args) -> Result<()> {
    let mut input = String::new();
    std::io::stdin()
        .read_to_string(&mut input)
        .map_err(|error| Error::new(Kind::Usage, format!("read the task: {error}")))?;
    let task: Task = serde_json::from_str(&input)
        .map_err(|error| Error::new(Kind::Usage, format!("read the task: {error}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Environment, format!("start: {error}")))?;
    let ended = runtime
        .block_on(work(&task, &mut std::io::stdout()))
        .map_err(|error| Error::new(Kind::Environment, format!("write the transcript: {error}")))?;
    if ended { Ok(()) } else { Err(Error::new(Kind::Gateway, "the pass failed; the result line says why")) }
}
