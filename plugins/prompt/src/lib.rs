//! The shipped prompt policy: what the agent reads besides its task.
//!
//! First pass: a stable part that is the same bytes for every job (a provider's cache
//! reuses only an exact prefix), then allowed paths and checks, sorted, then the task
//! verbatim; together under 250 tokens beside the task for a job with a few paths and
//! checks. Repair pass: attempt k of n, files to restore, rules not satisfied with their
//! remedies, failing checks with at most five failures of 300 bytes; what others wrote
//! is quoted as JSON strings between lines with the fence word, which is taken out of it.
//!
//! Configuration, all optional:
//!
//! ```toml
//! [plugins.prompt]
//! rules = ["Write British English."]   # further rules, in the stable part
//! max_failures = 5                     # quoted of each failing check
//! failure_bytes = 300                  # of each quoted failure
//! ```

use codex_worker_policy::{Draft, Prompt, PromptInput, policy};

mod examples;
mod first;
mod plain;
mod repair;
mod settings;

#[cfg(test)]
mod tests;

use settings::Settings;

/// The policy, configured.
#[derive(Debug)]
pub struct PromptPolicy {
    settings: Settings,
}

impl TryFrom<Settings> for PromptPolicy {
    type Error = String;

    fn try_from(settings: Settings) -> Result<PromptPolicy, String> {
        settings.check()?;
        Ok(PromptPolicy { settings })
    }
}

impl Prompt for PromptPolicy {
    fn shape(&self, input: &PromptInput) -> Draft {
        match &input.repair {
            None => first::shape(&self.settings, input),
            Some(repair) => repair::shape(&self.settings, input, repair),
        }
    }
}

policy! {
    name: "prompt",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Puts a stable, cacheable prefix and the job's limits before the task, and writes short repair prompts.",
    policy: PromptPolicy,
    interfaces: [prompt],
    config: Settings,
    examples: [
        examples::first_pass(),
        examples::no_scope(),
        examples::house_rules(),
        examples::failing_check(),
        examples::hostile_output(),
        examples::guarded(),
    ],
}
