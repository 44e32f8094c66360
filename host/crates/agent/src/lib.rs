//! Agents: programs that work on a task with tools. Three kinds behind one trait: the
//! Claude Code CLI, our own small loop, and any command line.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

use std::path::PathBuf;
use std::pin::Pin;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub mod builtin;
pub mod claude;
pub mod command;
mod outcome;
mod process;
pub mod runcmd;
pub mod stream;

use config::{AgentKind, Config};
use contain::{InForce, Limits};
pub use model::outcome::AgentFailure;
use model::spec::PermissionMode;
use model::types::AgentOutcome;

/// One pass of an agent.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The prompt; goes to standard input.
    pub prompt: String,
    /// Where it works.
    pub cwd: PathBuf,
    /// Its own home: configuration and conversations; kept between the passes of a job.
    pub home: PathBuf,
    /// Its temporary directory.
    pub tmp: PathBuf,
    /// The adapter, such as `http://127.0.0.1:4711`.
    pub base_url: String,
    /// The job's bearer token at the adapter; not the gateway's key.
    pub token: String,
    /// The model's name as the agent sends it.
    pub model: String,
    /// What it may do.
    pub permission_mode: PermissionMode,
    /// The most turns.
    pub max_turns: u32,
    /// The conversation to go on with.
    pub session: Option<String>,
    /// The job's check commands; all that may be run where no containment limits files.
    pub check_commands: Vec<String>,
    /// What its process tree may do.
    pub limits: Limits,
    /// See [`contain::Command::tag`].
    pub tag: String,
    /// The time limit of this pass.
    pub timeout: std::time::Duration,
}

/// What an agent tells while it works. Not yet redacted.
#[derive(Clone, Debug, PartialEq)]
pub enum AgentEvent {
    /// The conversation's name, for resuming.
    Session(String),
    /// Text of the model.
    Text(String),
    /// A tool call, as one line such as `Edit src/a.rs`.
    Tool(String),
    /// A tool's failure, as one line.
    ToolError(String),
    /// A note of the agent program itself.
    Note(String),
    /// One raw line of its output, for the transcript.
    Raw(String),
}

/// What a pass gave.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it did.
    pub outcome: AgentOutcome,
    /// The conversation, for the next pass.
    pub session: Option<String>,
    /// Present when the outcome's `ended` is `error`.
    pub failure: Option<AgentFailure>,
    /// The containment that was in force.
    pub in_force: InForce,
}

/// A boxed future, so that the trait can be an object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An agent program.
pub trait Agent: Send + Sync {
    /// `claude-code 2.1.330`, `builtin 0.1.0`; for receipts and `doctor`.
    fn name(&self) -> String;

    /// Runs one pass to its end. When `cancel` fires, the whole tree is gone before this
    /// returns.
    fn run<'a>(
        &'a self,
        pass: Pass,
        events: mpsc::Sender<AgentEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Report>;
}

/// The agent that the configuration names; an error where it is not there, or where the
/// machine cannot contain it as the configuration requires.
pub fn for_config(config: &Config) -> model::error::Result<Box<dyn Agent>> {
    contain::check_required(config)?;
    Ok(match config.agent.kind {
        AgentKind::ClaudeCode => Box::new(claude::Claude::find(&config.agent)?),
        AgentKind::Builtin => Box::new(builtin::Builtin::new()?),
        AgentKind::Command => Box::new(runcmd::CommandLine::new(config.agent.command.as_deref())?),
    })
}
