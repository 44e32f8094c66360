//! The examples that a component proves itself with.

use serde::Serialize;

use crate::types::*;

/// An input, the exact output, and why. The host runs all examples of a component at load
/// and refuses one that fails its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Shown when it fails.
    pub name: String,
    /// `scope`, `verifier`, `signals`, `redaction`, `prompt` or `mutation`.
    pub interface: String,
    /// The configuration in force, as JSON; empty for the default.
    pub config: String,
    /// The call's input, as JSON.
    pub input: String,
    /// The exact output, as JSON.
    pub expected: String,
    /// Why this is the right answer.
    pub why: String,
}

impl Example {
    /// A scope policy finds `expected` in these changes.
    pub fn scope(name: &str, job: JobFacts, changes: ChangeSet, expected: impl AsRef<[Finding]>) -> Self {
        Self::new("scope", name, &ScopeInput { job, changes }, &expected.as_ref())
    }

    /// A verifier finds `expected` in this pass.
    pub fn verifier(name: &str, input: VerifyInput, expected: impl AsRef<[Finding]>) -> Self {
        Self::new("verifier", name, &input, &expected.as_ref())
    }

    /// A signals policy reads `expected` from this output.
    pub fn signals(name: &str, input: CommandOutput, expected: impl AsRef<[Signal]>) -> Self {
        Self::new("signals", name, &input, &expected.as_ref())
    }

    /// A redaction policy masks these parts of `text`: each a rule and the masked bytes, in
    /// the order of the text. A part that is not in the text gives an example that fails.
    pub fn redaction(name: &str, text: &str, masked: &[(&str, &str)]) -> Self {
        let mut from = 0;
        let spans = masked.iter().map(|(rule, part)| {
            let start = text[from..].find(part).map_or(text.len(), |at| from + at);
            from = (start + part.len()).min(text.len());
            Span::new(start..start + part.len(), *rule)
        });
        let found = Found { spans: spans.collect(), carry: String::new() };
        Self::redaction_piece(name, text, "", found)
    }

    /// A redaction policy gives `expected` for `text` after a piece that left `carry`.
    pub fn redaction_piece(name: &str, text: &str, carry: &str, expected: Found) -> Self {
        Self::new("redaction", name, &RedactInput { text: text.into(), carry: carry.into() }, &expected)
    }

    /// A prompt policy makes `expected` of this draft.
    pub fn prompt(name: &str, input: PromptInput, expected: Draft) -> Self {
        Self::new("prompt", name, &input, &expected)
    }

    /// A mutation policy makes `expected` of this input.
    pub fn mutation(name: &str, input: MutationInput, expected: Mutants) -> Self {
        Self::new("mutation", name, &input, &expected)
    }

    /// Why this is the right answer; `policy why` shows it.
    pub fn why(mut self, why: &str) -> Self {
        self.why = why.to_owned();
        self
    }

    /// The configuration in force.
    pub fn config(mut self, config: &impl Serialize) -> Self {
        self.config = json(config);
        self
    }

    fn new(interface: &str, name: &str, input: &impl Serialize, expected: &impl Serialize) -> Self {
        Example {
            name: name.to_owned(),
            interface: interface.to_owned(),
            config: String::new(),
            input: json(input),
            expected: json(expected),
            why: String::new(),
        }
    }
}

/// A value that cannot be written gives text that is no JSON, so that the example fails.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("not JSON: {error}"))
}
