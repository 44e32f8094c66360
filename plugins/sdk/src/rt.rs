//! What `policy!` expands to. Not for authors: nothing here is stable.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::bindings::base::exports::codex_worker::policy::plugin;
use crate::bindings::{mutation, prompt, redaction, scope, signals, verifier};
use crate::convert::Convert;
use crate::types::{ScopeInput, VerifyInput};
use crate::{Example, Mutation, Prompt, Redaction, Scope, Signals, Verifier};

pub use serde_json;

/// A policy with everything that a component says of itself.
pub trait Component: Sized + 'static {
    /// Name, version and summary.
    const ABOUT: [&'static str; 3];

    /// Builds the policy from the operator's configuration.
    fn create(config: &str) -> Result<Self, String>;

    /// The component's own examples.
    fn examples() -> Vec<Example>;

    /// Calls an exported interface with JSON.
    fn call(&self, interface: &str, input: &str) -> Result<serde_json::Value, String>;

    /// The instance's one policy; the default configuration if none was given.
    fn with<R>(act: impl FnOnce(&Self) -> R) -> R;

    /// Sets the instance's policy; false if it has one.
    fn set(self) -> bool;
}

/// A configuration that allows no key.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Reads the configuration; the empty string is `{}`.
pub fn parse_config<T: DeserializeOwned>(config: &str) -> Result<T, String> {
    let config = if config.trim().is_empty() { "{}" } else { config };
    serde_json::from_str(config).map_err(|error| format!("configuration: {error}"))
}

/// The component that is exported for the policy `P`.
pub struct Exported<P>(PhantomData<P>);

/// Sends the message of a panic to the host before the trap hides it.
fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            std::panic::set_hook(Box::new(|info| crate::log::error(&info.to_string())));
        });
    }
}

impl<P: Component> plugin::Guest for Exported<P> {
    fn describe() -> plugin::Description {
        report_panics();
        let [name, version, summary] = P::ABOUT.map(str::to_owned);
        plugin::Description { name, version, summary }
    }

    fn configure(config: String) -> Result<(), String> {
        report_panics();
        match P::create(&config)?.set() {
            true => Ok(()),
            false => Err("configured before".to_owned()),
        }
    }

    fn examples() -> Vec<plugin::Example> {
        report_panics();
        let wit = |example: Example| plugin::Example {
            name: example.name,
            interface: example.interface,
            config: example.config,
            input: example.input,
            expected: example.expected,
            why: example.why,
        };
        P::examples().into_iter().map(wit).collect()
    }
}

impl<P: Component + Scope> scope::exports::codex_worker::policy::scope::Guest for Exported<P> {
    fn check(
        job: scope::exports::codex_worker::policy::scope::JobFacts,
        changes: scope::exports::codex_worker::policy::scope::ChangeSet,
    ) -> Vec<scope::exports::codex_worker::policy::scope::Finding> {
        let input = ScopeInput { job: job.convert(), changes: changes.convert() };
        P::with(|policy| policy.check(&input.job, &input.changes)).convert()
    }
}

impl<P: Component + Verifier> verifier::exports::codex_worker::policy::verifier::Guest for Exported<P> {
    fn verify(
        job: verifier::exports::codex_worker::policy::verifier::JobFacts,
        changes: verifier::exports::codex_worker::policy::verifier::ChangeSet,
        checks: Vec<verifier::exports::codex_worker::policy::verifier::CheckResult>,
        agent: verifier::exports::codex_worker::policy::verifier::AgentOutcome,
    ) -> Vec<verifier::exports::codex_worker::policy::verifier::Finding> {
        let input = VerifyInput {
            job: job.convert(),
            changes: changes.convert(),
            checks: checks.convert(),
            agent: agent.convert(),
        };
        P::with(|policy| policy.verify(&input)).convert()
    }
}

impl<P: Component + Signals> signals::exports::codex_worker::policy::signals::Guest for Exported<P> {
    fn parse(
        output: signals::exports::codex_worker::policy::signals::CommandOutput,
    ) -> Vec<signals::exports::codex_worker::policy::signals::Signal> {
        let output = output.convert();
        P::with(|policy| policy.parse(&output)).convert()
    }
}

impl<P: Component + Redaction> redaction::exports::codex_worker::policy::redaction::Guest for Exported<P> {
    fn find(text: String, carry: String) -> redaction::exports::codex_worker::policy::redaction::Found {
        P::with(|policy| policy.find(&text, &carry)).convert()
    }
}

impl<P: Component + Prompt> prompt::exports::codex_worker::policy::prompt::Guest for Exported<P> {
    fn shape(
        input: prompt::exports::codex_worker::policy::prompt::PromptInput,
    ) -> prompt::exports::codex_worker::policy::prompt::Draft {
        let input = input.convert();
        P::with(|policy| policy.shape(&input)).convert()
    }
}

impl<P: Component + Mutation> mutation::exports::codex_worker::policy::mutation::Guest for Exported<P> {
    fn mutate(
        input: mutation::exports::codex_worker::policy::mutation::MutationInput,
    ) -> mutation::exports::codex_worker::policy::mutation::Mutants {
        let input = input.convert();
        P::with(|policy| policy.mutate(&input)).convert()
    }
}
