//! The built-in agent (`AGENT=builtin`): a small honest tool loop over the same adapter
//! endpoint as Claude Code, for machines without it.
//!
//! It runs as a contained child process (`codex-worker agent-builtin`), reads its pass as
//! JSON on standard input and writes Claude Code's stream-json lines, so that reading,
//! judging and killing are the same for both.
//!
//! Limits: no context compaction (a conversation that grows too long ends with an error),
//! no images, no notebooks, no web, no sub-agents, no parallel tool runs, files as UTF-8
//! text of at most 2 MiB, no streaming of the model's answer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::process::{self, Program};
use super::{Agent, AgentEvent, BoxFuture, Pass, Report};
use contain;
use model::error::{Error, Kind, Result};
use model::spec::PermissionMode;

mod conversation;
mod tools;

pub use conversation::work;

/// The child process's instructions; one JSON value on its standard input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The prompt.
    pub prompt: String,
    /// The working directory.
    pub cwd: PathBuf,
    /// The directories that the file tools may enter; the working directory is one.
    pub roots: Vec<PathBuf>,
    /// Where conversations are kept.
    pub home: PathBuf,
    /// The adapter.
    pub base_url: String,
    /// The job's bearer token.
    pub token: String,
    /// The model's name.
    pub model: String,
    /// The most requests to the model.
    pub max_turns: u32,
    /// The conversation to go on with.
    pub session: Option<String>,
    /// Files may be changed.
    pub may_write: bool,
    /// Which commands may be run.
    pub commands: Commands,
}

/// Which commands the agent may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commands {
    /// Every one: a containment limits what it can do.
    Any,
    /// These only, word for word.
    Only(Vec<String>),
}

/// The agent; the program is `codex-worker` itself.
#[derive(Clone, Debug)]
pub struct Builtin {
    program: PathBuf,
}

impl Builtin {
    /// An agent whose child process is this very program.
    pub fn new() -> Result<Self> {
        let program = contain::program().ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "the built-in agent needs the codex-worker program, whose place is not known",
            )
        })?;
        Ok(Builtin { program: program.to_owned() })
    }
}

fn task(pass: &Pass, contained: bool) -> Task {
    let may_write =
        matches!(pass.permission_mode, PermissionMode::AcceptEdits | PermissionMode::BypassPermissions);
    let commands = match pass.permission_mode {
        PermissionMode::BypassPermissions => Commands::Any,
        PermissionMode::AcceptEdits if contained => Commands::Any,
        PermissionMode::AcceptEdits => Commands::Only(pass.check_commands.clone()),
        PermissionMode::Default | PermissionMode::Plan => Commands::Only(Vec::new()),
    };
    let cwd = pass.limits.inside(&pass.cwd);
    let mut roots = vec![cwd.clone()];
    let writable = pass.limits.writable.iter().filter(|dir| !dir.starts_with(&pass.home));
    roots.extend(writable.map(|dir| pass.limits.inside(dir)));
    Task {
        prompt: pass.prompt.clone(),
        cwd,
        roots,
        home: pass.home.clone(),
        base_url: pass.base_url.clone(),
        token: pass.token.clone(),
        model: pass.model.clone(),
        max_turns: pass.max_turns,
        session: pass.session.clone(),
        may_write,
        commands,
    }
}

impl Agent for Builtin {
    fn name(&self) -> String {
        concat!("builtin ", env!("CARGO_PKG_VERSION")).to_owned()
    }

    fn run<'a>(
        &'a self,
        pass: Pass,
        events: mpsc::Sender<AgentEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let task = task(&pass, contain::strength().limits_files());
            // A record of plain values always serialises.
            let stdin = serde_json::to_vec(&task).unwrap_or_default();
            let program = Program {
                argv: vec![self.program.to_string_lossy().into_owned(), "agent-builtin".into()],
                env: contain::environment::of_host(&pass.home, &pass.tmp),
                stdin,
            };
            process::run(program, &pass, events, cancel).await
        })
    }
}
