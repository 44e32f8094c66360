//! A question to a policy and its answer, as one type each: the same for a job, an
//! example, a replay, a conformance property and the command line.

use serde::Serialize;

use super::accept;
use super::bindings::v0_1::{Lift, Lower};
use super::call::{CallError, Code, Guest, Instance};
use super::inspect::Interface;
use super::limits::Limits;
use model::types::*;

/// An input of one of the interfaces.
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// Where the job wrote.
    Scope(&'a ScopeInput),
    /// Everything about a pass.
    Verifier(&'a VerifyInput),
    /// What a command printed.
    Signals(&'a CommandOutput),
    /// A piece of text, and what the piece before left.
    Redaction(&'a str, &'a str),
    /// The prompt so far.
    Prompt(&'a PromptInput),
    /// Checks that passed, and the files that they depend on.
    Mutation(&'a MutationInput),
}

/// A question that owns its input.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "as in Question")]
pub enum OwnedQuestion {
    Scope(ScopeInput),
    Verifier(VerifyInput),
    Signals(CommandOutput),
    Redaction(RedactInput),
    Prompt(PromptInput),
    Mutation(MutationInput),
}

/// An output, cleaned by [`accept`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of `scope` and `verifier`.
    Findings(Vec<Finding>),
    /// Of `signals`.
    Signals(Vec<Signal>),
    /// Of `redaction`.
    Found(Found),
    /// Of `prompt`.
    Draft(Draft),
    /// Of `mutation`.
    Mutants(Mutants),
}

impl OwnedQuestion {
    /// Reads the JSON that `plugin run --input` takes.
    ///
    /// # Errors
    /// Says where the JSON is not an input of this interface.
    pub fn parse(interface: Interface, json: &str) -> Result<Self, String> {
        let parsed = match interface {
            Interface::Scope => serde_json::from_str(json).map(Self::Scope),
            Interface::Verifier => serde_json::from_str(json).map(Self::Verifier),
            Interface::Signals => serde_json::from_str(json).map(Self::Signals),
            Interface::Redaction => serde_json::from_str(json).map(Self::Redaction),
            Interface::Prompt => serde_json::from_str(json).map(Self::Prompt),
            Interface::Mutation => serde_json::from_str(json).map(Self::Mutation),
        };
        parsed.map_err(|error| format!("not an input of {interface}: {error}"))
    }

    /// The question itself.
    pub fn as_question(&self) -> Question<'_> {
        match self {
            Self::Scope(input) => Question::Scope(input),
            Self::Verifier(input) => Question::Verifier(input),
            Self::Signals(input) => Question::Signals(input),
            Self::Redaction(input) => Question::Redaction(&input.text, &input.carry),
            Self::Prompt(input) => Question::Prompt(input),
            Self::Mutation(input) => Question::Mutation(input),
        }
    }
}

impl Question<'_> {
    /// The interface that answers it.
    pub fn interface(&self) -> Interface {
        match self {
            Self::Scope(_) => Interface::Scope,
            Self::Verifier(_) => Interface::Verifier,
            Self::Signals(_) => Interface::Signals,
            Self::Redaction(..) => Interface::Redaction,
            Self::Prompt(_) => Interface::Prompt,
            Self::Mutation(_) => Interface::Mutation,
        }
    }
}

impl Answer {
    /// Reads an example's expected output, or a recorded one.
    ///
    /// # Errors
    /// Says where the JSON is not an output of this interface.
    pub fn parse(interface: Interface, json: &str) -> Result<Self, String> {
        let parsed = match interface {
            Interface::Scope | Interface::Verifier => serde_json::from_str(json).map(Self::Findings),
            Interface::Signals => serde_json::from_str(json).map(Self::Signals),
            Interface::Redaction => serde_json::from_str(json).map(Self::Found),
            Interface::Prompt => serde_json::from_str(json).map(Self::Draft),
            Interface::Mutation => serde_json::from_str(json).map(Self::Mutants),
        };
        parsed.map_err(|error| format!("not an output of {interface}: {error}"))
    }
}

/// Asks an instance. `size` is the input's bytes, for the limits.
///
/// # Errors
/// A limit, a trap, or an answer that the interface does not allow.
pub fn ask(
    code: &Code,
    instance: &mut Instance,
    limits: Limits,
    question: Question<'_>,
    size: u64,
) -> Result<Answer, CallError> {
    if size > Limits::MAX_INPUT {
        return Err(CallError::Limit(format!("input of {} bytes", Limits::MAX_INPUT)));
    }
    let limits = limits.for_input(size);
    let missing = || wasmtime::Error::msg(format!("it does not export {}", question.interface()));
    match question {
        Question::Scope(input) => {
            let input = (input.job.lower(), input.changes.lower());
            let call = |store: &mut _, guest: &Guest| guest.check.ok_or_else(missing)?.call(store, input);
            let findings: Vec<Finding> = code.call(instance, limits, call)?.0.lift();
            Ok(Answer::Findings(accept::findings(findings)))
        }
        Question::Verifier(input) => {
            let input = (input.job.lower(), input.changes.lower(), input.checks.lower(), input.agent.lower());
            let call = |store: &mut _, guest: &Guest| guest.verify.ok_or_else(missing)?.call(store, input);
            let findings: Vec<Finding> = code.call(instance, limits, call)?.0.lift();
            Ok(Answer::Findings(accept::findings(findings)))
        }
        Question::Signals(input) => {
            let input = (input.lower(),);
            let call = |store: &mut _, guest: &Guest| guest.parse.ok_or_else(missing)?.call(store, input);
            let signals: Vec<Signal> = code.call(instance, limits, call)?.0.lift();
            Ok(Answer::Signals(accept::signals(signals)))
        }
        Question::Redaction(text, carry) => {
            let input = (text.to_owned(), carry.to_owned());
            let call = |store: &mut _, guest: &Guest| guest.find.ok_or_else(missing)?.call(store, input);
            let found: Found = code.call(instance, limits, call)?.0.lift();
            accept::found(text, found).map(Answer::Found).map_err(CallError::Output)
        }
        Question::Prompt(input) => {
            let lowered = (input.lower(),);
            let call = |store: &mut _, guest: &Guest| guest.shape.ok_or_else(missing)?.call(store, lowered);
            let draft: Draft = code.call(instance, limits, call)?.0.lift();
            accept::draft(input, draft).map(Answer::Draft).map_err(CallError::Output)
        }
        Question::Mutation(input) => {
            let lowered = (input.lower(),);
            let call = |store: &mut _, guest: &Guest| guest.mutate.ok_or_else(missing)?.call(store, lowered);
            let mutants: Mutants = code.call(instance, limits, call)?.0.lift();
            accept::mutants(input, mutants).map(Answer::Mutants).map_err(CallError::Output)
        }
    }
}
