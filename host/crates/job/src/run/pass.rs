//! One pass of the agent: what it is told, and its run.

use std::sync::Arc;
use std::time::Duration;

use super::checks::{note_process_tag, shown};
use super::nonce;
use super::prepare::Prepared;
use crate::worker::blocking;
use ::workspace::root;
use adapter::Adapter;
use agent::{AgentFailure, Pass, Report};
use contain::Limits;
use model::error::{Error, Kind, Result};
use model::types::{AgentEnd, CheckSpec, Draft, JobFacts, PromptInput, Repair, ScopeDeclaration};

/// One pass over a prepared job.
#[derive(Clone, Copy)]
pub(super) struct PassContext<'a> {
    pub prepared: &'a Prepared,
    /// Counts from 1.
    pub attempt: u32,
    pub max_attempts: u32,
}

impl PassContext<'_> {
    /// What policies know of the job.
    pub(super) fn facts(&self) -> JobFacts {
        let spec = &self.prepared.job.claim.spec;
        JobFacts {
            task: spec.prompt.clone(),
            scope: spec.scoped_patch.as_ref().map(|scope| ScopeDeclaration {
                paths: scope.paths.clone(),
                max_diff_bytes: scope.max_diff_bytes,
            }),
            checks: spec
                .checks
                .iter()
                .map(|check| CheckSpec {
                    name: check.name.clone(),
                    // Policies and the agent must know where it runs to know which files it runs.
                    command: match &check.cwd {
                        Some(cwd) => format!("cd {} && {}", shell_word(cwd), check.command),
                        None => check.command.clone(),
                    },
                })
                .collect(),
            attempt: self.attempt,
            max_attempts: self.max_attempts,
            expects_change: spec.expects_change(),
        }
    }

    /// The prompt and notes on it. A repair goes to the conversation that is open; an agent
    /// that has none gets the task (`first`) again before it.
    pub(super) async fn prompt(
        &self,
        repair: Option<Repair>,
        first: &str,
        conversation: bool,
    ) -> Result<(String, Vec<String>)> {
        let job = &self.prepared.job;
        let again = repair.is_some() && !conversation;
        let body_is_told = repair.is_none();
        let body = if repair.is_some() { String::new() } else { job.claim.spec.prompt.clone() };
        let input = PromptInput {
            job: self.facts(),
            draft: Draft { stable: String::new(), body },
            repair,
            fence: nonce()?,
        };
        // The agent must get the task as it is, but for what is certainly a secret.
        let (policies, redactor) = (Arc::clone(&job.policies), adapter::certain_secrets(&job.config));
        let shaped = blocking(move || Ok(policies.shape(&shown(&redactor, &input)?))).await?;
        let parts = [if again { first } else { "" }, &shaped.draft.stable, &shaped.draft.body];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.trim().is_empty()).collect();
        let renames = &self.prepared.workspace.shown.renames;
        let mut prompt = renames.to_job(&parts.join("\n\n"));
        for (user, own) in renames.pairs().iter().filter(|_| body_is_told) {
            prompt.push_str(&format!(
                "\n\nYou work in a copy of {}: it is {}. Use only that path.",
                user.display(),
                own.display()
            ));
        }
        Ok((prompt, shaped.notes))
    }

    /// Runs the agent to its end. When it returns, the agent's process tree is gone.
    pub(super) async fn run_agent(&self, prompt: String, session: Option<String>) -> Result<Report> {
        let (prepared, job) = (self.prepared, &self.prepared.job);
        root::unchanged(&prepared.workspace.dirs)?;
        let pass = self.agent_pass(prompt, session);
        note_process_tag(&job.paths, &pass.tag)
            .map_err(|e| Error::new(Kind::Environment, e.to_string()).caused_by(e))?;
        let renames = &prepared.workspace.shown.renames;
        let events = job.journal.agent(renames.clone());
        let mut report = prepared.agent.run(pass, events, job.control.token().clone()).await;
        job.journal.flush().await;
        report.outcome.claim = renames.to_user(&report.outcome.claim);
        job.note_agent_containment(&report.in_force);
        report.failure = failure(&report, &prepared.adapter);
        if let Some(name) = report.session.clone() {
            let (store, claim) = (Arc::clone(&job.store), job.claim.clone());
            blocking(move || store.set_session(&claim, &name)).await?;
        }
        Ok(report)
    }

    fn agent_pass(&self, prompt: String, session: Option<String>) -> Pass {
        let (prepared, job) = (self.prepared, &self.prepared.job);
        let (spec, workspace, agent) = (&job.claim.spec, &prepared.workspace, &job.config.agent);
        let model = agent
            .claude_code_model
            .clone()
            .or_else(|| spec.model.clone())
            .or_else(|| job.config.gateway.model.clone());
        let mut writable = prepared.dirs.clone();
        writable.extend([workspace.home.clone(), workspace.tmp.clone()]);
        let ports = vec![prepared.adapter.port()];
        let mut limits = Limits::of_job(&job.config, writable, ports, job.config.allow_network);
        workspace.shown.add_to(&mut limits);
        let renames = &limits.renames;
        Pass {
            prompt,
            cwd: prepared.dirs[0].clone(),
            home: workspace.home.clone(),
            tmp: workspace.tmp.clone(),
            base_url: prepared.adapter.base_url(),
            token: job.token.expose().to_owned(),
            model: model.unwrap_or_else(|| "sonnet".to_owned()),
            permission_mode: spec.permission_mode,
            max_turns: agent.max_turns,
            session,
            check_commands: spec.checks.iter().map(|check| renames.to_job(&check.command)).collect(),
            limits,
            tag: job.process_tag(&format!("{}a", self.attempt)),
            // The control ends it; this is for an agent that does not listen.
            timeout: job.control.time_left() + Duration::from_secs(5),
        }
    }
}

/// What the agent says of its failure; where the adapter knows of one at the gateway that
/// another try does not cure, that is the cause.
fn failure(report: &Report, adapter: &Adapter) -> Option<AgentFailure> {
    let own = report.failure.clone();
    if report.outcome.ended != AgentEnd::Error {
        return own;
    }
    adapter.last_failure().map_or(own, |failure| {
        Some(AgentFailure {
            gateway: true,
            message: failure.message,
            hint: match failure.status {
                Some(401 | 403) => {
                    "check ONEAPI_API_KEY; `codex-worker doctor --network` tries it".to_owned()
                }
                Some(429) => "the gateway limits requests: wait, or set FALLBACK_MODELS".to_owned(),
                _ => "`codex-worker doctor --network` tries the gateway".to_owned(),
            },
        })
    })
}

/// A path as one word of a shell line. `start` refuses paths that hold a NUL byte.
fn shell_word(path: &str) -> std::borrow::Cow<'_, str> {
    shlex::Quoter::new().allow_nul(true).quote(path).unwrap_or("''".into())
}
