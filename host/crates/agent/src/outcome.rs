//! What a pass came to: a pure function of how the program ended and what it wrote. The
//! program's `subtype` says `success` even when the gateway failed, so exit code, `is_error`
//! and `terminal_reason` decide.

use super::stream::{Transcript, one_line};
use super::{AgentFailure, Report};
use contain::{Exit, InForce};
use model::types::{AgentEnd, AgentOutcome};

/// Everything that decides.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// How the process ended.
    pub exit: &'a Exit,
    /// The end was ours, because the program stayed on after its result.
    pub after_result: bool,
    /// What it wrote.
    pub transcript: &'a Transcript,
    /// The end of its standard error.
    pub stderr: &'a str,
}

/// The report of a pass that was started.
pub fn report(ended: Ended<'_>, in_force: InForce) -> Report {
    let transcript = ended.transcript;
    let (end, failure) = decide(ended);
    Report {
        outcome: AgentOutcome {
            ended: end,
            turns: transcript.turns,
            tool_calls: transcript.tool_calls,
            permission_denials: transcript.permission_denials,
            claim: transcript.claim().to_owned(),
            commands: transcript.commands.clone(),
        },
        session: transcript.session.clone(),
        failure,
        in_force,
    }
}

/// The report of a pass that could not be started, or that the containment ended.
pub fn not_started(error: &contain::Error, in_force: InForce) -> Report {
    let hint = match error {
        contain::Error::Ended(_) => {
            "leave git's configuration and hooks alone, or use isolation=worktree, where they are the job's own"
        }
        _ => "run `codex-worker doctor`: it checks the agent program and the containment",
    };
    let failure =
        AgentFailure { gateway: false, message: one_line(&error.to_string()), hint: hint.to_owned() };
    let outcome = AgentOutcome {
        ended: AgentEnd::Error,
        turns: 0,
        tool_calls: 0,
        permission_denials: 0,
        claim: String::new(),
        commands: Vec::new(),
    };
    Report { outcome, session: None, failure: Some(failure), in_force }
}

fn decide(ended: Ended<'_>) -> (AgentEnd, Option<AgentFailure>) {
    let Ended { exit, after_result, transcript, stderr } = ended;
    if exit.cancelled && !after_result {
        return (AgentEnd::Cancelled, None);
    }
    let Some(result) = &transcript.result else {
        if exit.timed_out {
            return (AgentEnd::TimedOut, None);
        }
        let how = match (exit.code, exit.signal) {
            (Some(code), _) => format!("exited with code {code} without a result"),
            (None, Some(signal)) => format!("was ended by signal {signal} without a result"),
            (None, None) => "ended without a result".to_owned(),
        };
        let last = stderr.lines().rev().map(one_line).find(|line| !line.is_empty());
        let message = last.map_or_else(|| how.clone(), |last| format!("{how}: {last}"));
        return failed(
            false,
            format!("the agent program {message}"),
            "read the job's transcript with `tail`",
        );
    };
    if result.terminal_reason == "max_turns" || result.subtype == "error_max_turns" {
        return (AgentEnd::MaxTurns, None);
    }
    let by_itself = exit.code == Some(0) || after_result || exit.timed_out;
    if !result.is_error && by_itself {
        return (AgentEnd::Completed, None);
    }
    let text = match (result.errors.first(), result.text.as_str()) {
        (Some(error), _) => error.clone(),
        (None, "") => one_line(stderr.lines().next_back().unwrap_or("no reason given")),
        (None, text) => one_line(text),
    };
    match (result.api_error_status, result.terminal_reason.as_str()) {
        (Some(status @ (401 | 403)), _) => failed(
            true,
            format!("the gateway refused the key ({status}): {text}"),
            "check ONEAPI_API_KEY and ONEAPI_BASE_URL, then `codex-worker doctor --network`",
        ),
        (Some(404), _) => failed(
            true,
            format!("the gateway does not know the address or the model (404): {text}"),
            "check ONEAPI_BASE_URL (does it need /v1?) and CLAUDE_MODEL",
        ),
        (_, "prompt_too_long" | "blocking_limit") | (Some(413), _) => failed(
            true,
            format!("the conversation is too long for the model: {text}"),
            "split the task, or name a model with a larger context",
        ),
        (status, "api_error") | (status @ Some(_), _) => {
            let status = status.map_or_else(String::new, |status| format!(" ({status})"));
            failed(
                true,
                format!("the gateway failed{status}: {text}"),
                "see `codex-worker doctor --network`; set FALLBACK_MODELS or FALLBACK_BASE_URL for times like this",
            )
        }
        (None, reason) => {
            let reason = if reason.is_empty() { &result.subtype } else { reason };
            failed(
                false,
                format!("the agent ended with {reason}: {text}"),
                "read the job's transcript with `tail`",
            )
        }
    }
}

fn failed(gateway: bool, message: String, hint: &str) -> (AgentEnd, Option<AgentFailure>) {
    (AgentEnd::Error, Some(AgentFailure { gateway, message, hint: hint.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::ResultLine;

    fn exit(code: i32) -> Exit {
        Exit {
            code: Some(code),
            signal: None,
            timed_out: false,
            cancelled: false,
            duration: Default::default(),
        }
    }

    fn wrote(is_error: bool, reason: &str, status: Option<u16>) -> Option<ResultLine> {
        Some(ResultLine {
            subtype: "success".into(),
            is_error,
            terminal_reason: reason.into(),
            api_error_status: status,
            text: "some text".into(),
            errors: vec![],
        })
    }

    #[test]
    fn every_end() {
        let cancelled = Exit { cancelled: true, ..exit(143) };
        let timed_out = Exit { timed_out: true, ..exit(143) };
        for (case, exit, after_result, result, expected) in [
            ("success", exit(0), false, wrote(false, "completed", None), "Completed"),
            (
                "ended by us after its result",
                cancelled.clone(),
                true,
                wrote(false, "completed", None),
                "Completed",
            ),
            (
                "time was up after its result",
                timed_out.clone(),
                false,
                wrote(false, "completed", None),
                "Completed",
            ),
            ("cancel", cancelled, false, None, "Cancelled"),
            ("timeout", timed_out, false, None, "TimedOut"),
            ("turns", exit(1), false, wrote(true, "max_turns", None), "MaxTurns"),
            (
                "401",
                exit(1),
                false,
                wrote(true, "api_error", Some(401)),
                "gateway: the gateway refused the key (401): some text",
            ),
            (
                "500",
                exit(1),
                false,
                wrote(true, "api_error", Some(500)),
                "gateway: the gateway failed (500): some text",
            ),
            (
                "no connection",
                exit(1),
                false,
                wrote(true, "api_error", None),
                "gateway: the gateway failed: some text",
            ),
            (
                "too long",
                exit(1),
                false,
                wrote(true, "blocking_limit", None),
                "gateway: the conversation is too long for the model: some text",
            ),
            (
                "interrupted by itself",
                exit(0),
                false,
                wrote(true, "aborted_tools", None),
                "agent: the agent ended with aborted_tools: some text",
            ),
            (
                "success but code 1",
                exit(1),
                false,
                wrote(false, "completed", None),
                "agent: the agent ended with completed: some text",
            ),
            (
                "no result",
                exit(1),
                false,
                None,
                "agent: the agent program exited with code 1 without a result: bad flag",
            ),
        ] {
            let transcript = Transcript { result, ..Transcript::default() };
            let ended =
                Ended { exit: &exit, after_result, transcript: &transcript, stderr: "first\nbad flag\n\n" };
            let (end, failure) = decide(ended);
            let got = match failure {
                Some(f) => format!("{}: {}", if f.gateway { "gateway" } else { "agent" }, f.message),
                None => format!("{end:?}"),
            };
            assert_eq!(got, expected, "{case}");
        }
    }
}
