//! Any command line as an agent (`AGENT=command`): the prompt on standard input, the last
//! lines of standard output as its claim, exit code 0 as "ended by itself". It knows no
//! turns, tools or conversations, so a revise pass starts afresh with the whole prompt.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::outcome::{self, Ended};
use super::stream::{Lines, Transcript};
use super::{Agent, AgentEvent, BoxFuture, Pass, Report, process};
use contain::{self, Stream};
use model::error::{Error, Kind, Result};

/// Lines of standard output that make up the claim.
const CLAIM_LINES: usize = 20;

/// A shell command line.
#[derive(Clone, Debug)]
pub struct CommandLine {
    line: String,
}

impl CommandLine {
    /// An agent that runs `line` by the shell.
    pub fn new(line: Option<&str>) -> Result<Self> {
        match line.map(str::trim) {
            Some(line) if !line.is_empty() => Ok(CommandLine { line: line.to_owned() }),
            _ => Err(Error::new(Kind::Config, "AGENT=command needs AGENT_COMMAND, which is not set")
                .hint("set AGENT_COMMAND to a command line that reads the task on standard input")),
        }
    }

    async fn pass(&self, pass: Pass, events: mpsc::Sender<AgentEvent>, cancel: CancellationToken) -> Report {
        let mut env = contain::environment::of_host(&pass.home, &pass.tmp);
        for (name, value) in [
            ("ANTHROPIC_BASE_URL", &pass.base_url),
            ("ANTHROPIC_AUTH_TOKEN", &pass.token),
            ("ANTHROPIC_MODEL", &pass.model),
        ] {
            env.insert(name.to_owned(), value.clone());
        }
        let command = contain::Command {
            argv: vec!["/bin/sh".into(), "-c".into(), self.line.clone()],
            env,
            cwd: pass.cwd,
            stdin: pass.prompt.into_bytes(),
            limits: pass.limits,
            tag: pass.tag,
        };
        let (sender, mut pieces) = mpsc::channel(16);
        let running = contain::run_streaming(command, sender, pass.timeout, cancel);
        let reading = async {
            let (mut lines, mut last, mut stderr) =
                (Lines::default(), std::collections::VecDeque::new(), String::new());
            while let Some((stream, bytes)) = pieces.recv().await {
                match stream {
                    Stream::Stderr => process::keep_end(&mut stderr, &bytes),
                    Stream::Stdout => {
                        for line in lines.push(&bytes) {
                            // A caller that no longer listens still wants the report.
                            let _ = events.send(AgentEvent::Raw(line.clone())).await;
                            let _ = events.send(AgentEvent::Text(line.clone())).await;
                            last.push_back(line);
                            if last.len() > CLAIM_LINES {
                                last.pop_front();
                            }
                        }
                    }
                }
            }
            last.extend(lines.finish());
            (last.into_iter().collect::<Vec<_>>().join("\n"), stderr)
        };
        let (ran, (claim, stderr)) = tokio::join!(running, reading);
        match ran {
            Ok((exit, in_force)) => {
                let result = (!exit.cancelled && !exit.timed_out).then(|| process::plain_exit(&exit));
                let transcript = Transcript { last_text: claim, result, turns: 1, ..Transcript::default() };
                let ended =
                    Ended { exit: &exit, after_result: false, transcript: &transcript, stderr: &stderr };
                outcome::report(ended, in_force)
            }
            Err(error) => outcome::not_started(&error, process::nothing_in_force()),
        }
    }
}

impl Agent for CommandLine {
    fn name(&self) -> String {
        let program = self.line.split_whitespace().next().unwrap_or_default();
        format!("command {}", program.rsplit('/').next().unwrap_or(program))
    }

    fn run<'a>(
        &'a self,
        pass: Pass,
        events: mpsc::Sender<AgentEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Report> {
        Box::pin(self.pass(pass, events, cancel))
    }
}
