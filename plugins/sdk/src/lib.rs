//! Write codex-worker policies in Rust: a struct, a trait, one macro.
//!
//! A policy is a pure function: everything it may know is in its arguments, and the same
//! component on the same input gives the same bytes. It has no files, no network, no
//! environment and no clock. Implement one or more of [`Scope`], [`Verifier`], [`Signals`],
//! [`Redaction`], [`Prompt`] and [`Mutation`], name the policy with [`policy!`], and build it:
//!
//! ```text
//! codex-worker plugin new no-todo --kind verifier     writes a crate that builds at once
//! cargo test                                          runs the policy's own examples
//! codex-worker plugin build                           makes a component of it
//! codex-worker plugin check no_todo.wasm              examples, properties, imports and exports
//! ```
//!
//! The crate's `Cargo.toml` needs `crate-type = ["cdylib", "rlib"]`.
//!
//! # A verifier, in ten lines
//!
//! Sees everything about a pass: the job, the changes, the checks, the agent.
//!
//! ```
//! use codex_worker_policy::{Finding, Verifier, VerifyInput, policy};
//! #[derive(Default)]
//! struct NoTodo;
//! impl Verifier for NoTodo {
//!     fn verify(&self, input: &VerifyInput) -> Vec<Finding> {
//!         let added = input.changes.added_text().filter(|(_, _, text)| text.contains("TODO"));
//!         added.map(|(file, line, _)| Finding::deny("todo", "a TODO was added").path(&file.path).line(line)).collect()
//!     }
//! }
//! policy! { name: "no-todo", version: "0.1.0", summary: "Denies added TODOs.", policy: NoTodo, interfaces: [verifier] }
//! # use codex_worker_policy::{ChangeSet, ChangedFile, JobFacts};
//! # fn main() {
//! #     let file = ChangedFile::modified("a.rs").patch("@@ -1 +1,2 @@\n fn a() {}\n+// TODO\n");
//! #     let input = VerifyInput::new(JobFacts::new("do it"), ChangeSet::of([file]));
//! #     assert_eq!(NoTodo.verify(&input), [Finding::deny("todo", "a TODO was added").path("a.rs").line(2)]);
//! # }
//! ```
//!
//! # A scope policy, with configuration and examples
//!
//! Sees what the job may touch and what it touched. `config` names any `serde` type that
//! the policy is `From` or `TryFrom`; here the policy is its own configuration, the
//! `[plugins.few-files]` table of the operator's file.
//!
//! ```
//! use codex_worker_policy::{ChangeSet, ChangedFile, Example, Finding, JobFacts, Scope, policy};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct FewFiles {
//!     most: u32,
//! }
//!
//! impl Default for FewFiles {
//!     fn default() -> Self {
//!         FewFiles { most: 20 }
//!     }
//! }
//!
//! impl Scope for FewFiles {
//!     fn check(&self, _job: &JobFacts, changes: &ChangeSet) -> Vec<Finding> {
//!         if changes.total_files <= self.most {
//!             return Vec::new();
//!         }
//!         let message = format!("{} files changed, {} are allowed", changes.total_files, self.most);
//!         vec![Finding::deny("too-many-files", message).remedy("split the task")]
//!     }
//! }
//!
//! policy! {
//!     name: "few-files",
//!     version: env!("CARGO_PKG_VERSION"),
//!     summary: "Denies changes of many files.",
//!     policy: FewFiles,
//!     interfaces: [scope],
//!     config: FewFiles,
//!     examples: [
//!         Example::scope(
//!             "two of one",
//!             JobFacts::new("rename it"),
//!             ChangeSet::of([ChangedFile::modified("a"), ChangedFile::modified("b")]),
//!             [Finding::deny("too-many-files", "2 files changed, 1 are allowed").remedy("split the task")],
//!         )
//!         .config(&serde_json::json!({"most": 1}))
//!         .why("the operator allows one file"),
//!     ],
//! }
//! # fn main() { codex_worker_policy::testing::examples_hold::<FewFiles>(); }
//! ```
//!
//! # A signals policy
//!
//! Reads facts from what a command printed. It must take any text.
//!
//! ```
//! use codex_worker_policy::{CommandOutput, Example, Signal, Signals, policy};
//!
//! #[derive(Default)]
//! struct Ninja;
//!
//! impl Signals for Ninja {
//!     fn parse(&self, output: &CommandOutput) -> Vec<Signal> {
//!         let failed = output.output.lines().filter(|line| line.starts_with("FAILED: ")).count() as u32;
//!         if failed == 0 {
//!             return Vec::new();
//!         }
//!         vec![Signal { runner: "ninja".into(), failed, ..Signal::default() }]
//!     }
//! }
//!
//! policy! {
//!     name: "ninja",
//!     version: "0.1.0",
//!     summary: "Counts failed edges of ninja.",
//!     policy: Ninja,
//!     interfaces: [signals],
//!     examples: [Example::signals(
//!         "one edge",
//!         CommandOutput::new("ninja", "FAILED: a.o\n"),
//!         [Signal { runner: "ninja".into(), failed: 1, ..Signal::default() }],
//!     )],
//! }
//! # fn main() { codex_worker_policy::testing::examples_hold::<Ninja>(); }
//! ```
//!
//! # A redaction policy
//!
//! Finds secrets in whole lines. A policy that builds something once (compiled patterns) is
//! `TryFrom` its configuration; what must be known about the piece before goes through
//! `carry` (at most 256 bytes).
//!
//! ```
//! use codex_worker_policy::{Example, Found, Redaction, Span, policy};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Words {
//!     #[serde(default)]
//!     words: Vec<String>,
//! }
//!
//! struct Masker {
//!     words: Vec<String>,
//! }
//!
//! impl TryFrom<Words> for Masker {
//!     type Error = String;
//!     fn try_from(config: Words) -> Result<Self, String> {
//!         if config.words.iter().any(|word| word.len() < 4) {
//!             return Err("a word is shorter than 4 bytes".into());
//!         }
//!         Ok(Masker { words: config.words })
//!     }
//! }
//!
//! impl Redaction for Masker {
//!     fn find(&self, text: &str, _carry: &str) -> Found {
//!         let spans = self.words.iter().flat_map(|word| text.match_indices(word.as_str()));
//!         Found::spans(spans.map(|(at, word)| Span::new(at..at + word.len(), "word")))
//!     }
//! }
//!
//! policy! {
//!     name: "words",
//!     version: "0.1.0",
//!     summary: "Masks the configured words.",
//!     policy: Masker,
//!     interfaces: [redaction],
//!     config: Words,
//!     examples: [
//!         Example::redaction("a word", "the mole is in\n", &[("word", "mole")])
//!             .config(&serde_json::json!({"words": ["mole"]})),
//!     ],
//! }
//! # fn main() { codex_worker_policy::testing::examples_hold::<Masker>(); }
//! ```
//!
//! # A prompt policy
//!
//! Rewrites the prompt. The task's text must survive verbatim; `stable` must be the same
//! bytes for every job of a configuration.
//!
//! ```
//! use codex_worker_policy::{Draft, Example, JobFacts, Prompt, PromptInput, policy};
//!
//! #[derive(Default)]
//! struct House;
//!
//! impl Prompt for House {
//!     fn shape(&self, input: &PromptInput) -> Draft {
//!         let mut draft = input.draft.clone();
//!         if input.repair.is_none() {
//!             draft.stable.push_str("Write British English.\n");
//!         }
//!         draft
//!     }
//! }
//!
//! policy! {
//!     name: "house",
//!     version: "0.1.0",
//!     summary: "Adds the house rules.",
//!     policy: House,
//!     interfaces: [prompt],
//!     examples: [Example::prompt(
//!         "first pass",
//!         PromptInput {
//!             job: JobFacts::new("do it"),
//!             draft: Draft { stable: String::new(), body: "do it".into() },
//!             ..PromptInput::default()
//!         },
//!         Draft { stable: "Write British English.\n".into(), body: "do it".into() },
//!     )],
//! }
//! # fn main() { codex_worker_policy::testing::examples_hold::<House>(); }
//! ```
//!
//! # A mutation policy
//!
//! Says what to alter so that a check that passed must fail: what a test expects
//! ([`MutantKind::Oracle`]), or what the change made ([`MutantKind::Source`]). The host
//! applies the mutants in a copy of the tree, runs the checks again, and denies what
//! survives. Of each check that it cannot mutate, the policy says why.
//!
//! ```
//! use codex_worker_policy::{
//!     Example, Mutant, Mutants, Mutation, MutationInput, NotMutated, PassedCheck, TextFile, policy,
//! };
//!
//! /// Alters the first `want: ` of each table that a check of our own runner reads.
//! #[derive(Default)]
//! struct Tables;
//!
//! impl Mutation for Tables {
//!     fn mutate(&self, input: &MutationInput) -> Mutants {
//!         let mut made = Mutants::default();
//!         for check in input.checks.iter().filter(|check| check.command.contains("run-tables")) {
//!             let before = made.mutants.len();
//!             for file in input.files.iter().filter(|file| file.path.ends_with(".table")) {
//!                 let Some(at) = file.content.find("want: ").map(|at| at + 6) else { continue };
//!                 let end = file.content[at..].find('\n').map_or(file.content.len(), |n| at + n);
//!                 let altered = format!("expected {} became nothing", &file.content[at..end]);
//!                 made.mutants.push(Mutant::oracle(file, at..end, "nothing", altered).check(&check.name));
//!             }
//!             if made.mutants.len() == before {
//!                 made.not_mutated.push(NotMutated::new(&check.name, "no table was seen"));
//!             }
//!         }
//!         made
//!     }
//! }
//!
//! policy! {
//!     name: "tables",
//!     version: "0.1.0",
//!     summary: "Mutates our tables.",
//!     policy: Tables,
//!     interfaces: [mutation],
//!     examples: [{
//!         let file = TextFile::test("a.table", "in: 1\nwant: 2\n");
//!         let mutant = Mutant::oracle(&file, 12..13, "nothing", "expected 2 became nothing").check("tables");
//!         Example::mutation(
//!             "one table",
//!             MutationInput::new([PassedCheck::new("tables", "./run-tables")], [file]),
//!             Mutants { mutants: vec![mutant], not_mutated: vec![] },
//!         )
//!     }],
//! }
//! # fn main() { codex_worker_policy::testing::examples_hold::<Tables>(); }
//! ```

#[doc(hidden)]
pub mod bindings;
mod convert;
mod example;
pub mod log;
mod make;
#[doc(hidden)]
pub mod rt;
pub mod testing;
pub mod types;

pub use example::Example;
pub use types::*;

/// May deny. All scope policies run, every finding is kept, the strictest wins. When the
/// policy itself fails, the job is denied.
pub trait Scope {
    /// Judges where the job wrote.
    fn check(&self, job: &JobFacts, changes: &ChangeSet) -> Vec<Finding>;
}

/// May deny or warn, with everything known about the pass. When the policy itself fails,
/// the job is denied.
pub trait Verifier {
    /// Judges a pass.
    fn verify(&self, input: &VerifyInput) -> Vec<Finding>;
}

/// Observes. When the policy itself fails, its facts are missing, and the job says so.
pub trait Signals {
    /// Reads what a test runner or linter said.
    fn parse(&self, output: &CommandOutput) -> Vec<Signal>;
}

/// Masks. When the policy itself fails, the text is withheld.
pub trait Redaction {
    /// Finds secrets in `text`, which is whole lines. `carry` is what the call on the piece
    /// before gave, empty for the first piece.
    fn find(&self, text: &str, carry: &str) -> Found;
}

/// Rewrites the prompt. When the policy itself fails, its step is left out.
pub trait Prompt {
    /// Gives the next draft.
    fn shape(&self, input: &PromptInput) -> Draft;
}

/// Makes mutants: alterations after each of which a check that passed must fail. When the
/// policy itself fails, its mutants are missing, and the job says so.
pub trait Mutation {
    /// Says what to alter, the most telling first, and what could not be mutated.
    fn mutate(&self, input: &MutationInput) -> Mutants;
}

/// Names the policy and exports it.
///
/// ```text
/// policy! {
///     name: "no-todo",                         lower case, digits, `-`
///     version: env!("CARGO_PKG_VERSION"),
///     summary: "Denies added lines with TODO.",
///     policy: NoTodo,                          implements the trait of each interface
///     interfaces: [verifier],                  of scope, verifier, signals, redaction,
///                                              prompt, mutation
///     config: Settings,                        optional: NoTodo is From or TryFrom it;
///                                              without it NoTodo is Default
///     examples: [Example::…],                  optional, but write some: they run at load
/// }
/// ```
///
/// Write it at the top of the crate. It adds a test that runs the examples.
#[macro_export]
macro_rules! policy {
    (
        name: $name:expr,
        version: $version:expr,
        summary: $summary:expr,
        policy: $policy:ty,
        interfaces: [$($interface:ident),+ $(,)?]
        $(, config: $config:ty)?
        $(, examples: [$($example:expr),* $(,)?])?
        $(,)?
    ) => {
        const _: () = {
            ::std::thread_local! {
                static POLICY: ::std::cell::OnceCell<$policy> = const { ::std::cell::OnceCell::new() };
            }

            impl $crate::rt::Component for $policy {
                const ABOUT: [&'static str; 3] = [$name, $version, $summary];

                fn create(config: &str) -> ::std::result::Result<Self, ::std::string::String> {
                    $crate::__create!(config $(, $config)?)
                }

                fn examples() -> ::std::vec::Vec<$crate::Example> {
                    ::std::vec![$($($example),*)?]
                }

                fn call(
                    &self,
                    interface: &str,
                    input: &str,
                ) -> ::std::result::Result<$crate::rt::serde_json::Value, ::std::string::String> {
                    $($crate::__call!($interface, self, interface, input);)+
                    ::std::result::Result::Err(::std::format!("the policy does not export {interface}"))
                }

                fn with<R>(act: impl FnOnce(&Self) -> R) -> R {
                    POLICY.with(|cell| {
                        act(cell.get_or_init(|| match <Self as $crate::rt::Component>::create("") {
                            ::std::result::Result::Ok(policy) => policy,
                            ::std::result::Result::Err(error) => ::std::panic!("{error}"),
                        }))
                    })
                }

                fn set(self) -> bool {
                    POLICY.with(|cell| cell.set(self).is_ok())
                }
            }

            #[cfg(target_arch = "wasm32")]
            type Exports = $crate::rt::Exported<$policy>;
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::base::export_plugin!(Exports with_types_in $crate::bindings::base);
            $(#[cfg(target_arch = "wasm32")] $crate::__export!($interface, Exports);)+
        };

        #[cfg(test)]
        mod codex_worker_policy_examples {
            #[allow(unused_imports, reason = "the policy may be named by a path")]
            use super::*;

            #[test]
            fn hold() {
                $crate::testing::examples_hold::<$policy>();
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __create {
    ($text:ident) => {{
        let _: $crate::rt::NoConfig = $crate::rt::parse_config($text)?;
        ::std::result::Result::Ok(<Self as ::std::default::Default>::default())
    }};
    ($text:ident, $config:ty) => {{
        let config: $config = $crate::rt::parse_config($text)?;
        <Self as ::std::convert::TryFrom<$config>>::try_from(config)
            .map_err(|error| ::std::format!("configuration: {error}"))
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __call {
    (@run $name:literal, $interface:ident, $input:ident, $ty:ident, $act:expr) => {
        if $interface == $name {
            let input: $crate::$ty = $crate::rt::serde_json::from_str($input)
                .map_err(|error| ::std::format!("the input: {error}"))?;
            return $crate::rt::serde_json::to_value($act(input)).map_err(|error| error.to_string());
        }
    };
    (scope, $self:ident, $interface:ident, $input:ident) => {
        $crate::__call!(@run "scope", $interface, $input, ScopeInput, |i: $crate::ScopeInput| {
            $crate::Scope::check($self, &i.job, &i.changes)
        })
    };
    (verifier, $self:ident, $interface:ident, $input:ident) => {
        $crate::__call!(@run "verifier", $interface, $input, VerifyInput, |i: $crate::VerifyInput| {
            $crate::Verifier::verify($self, &i)
        })
    };
    (signals, $self:ident, $interface:ident, $input:ident) => {
        $crate::__call!(@run "signals", $interface, $input, CommandOutput, |i: $crate::CommandOutput| {
            $crate::Signals::parse($self, &i)
        })
    };
    (redaction, $self:ident, $interface:ident, $input:ident) => {
        $crate::__call!(@run "redaction", $interface, $input, RedactInput, |i: $crate::RedactInput| {
            $crate::Redaction::find($self, &i.text, &i.carry)
        })
    };
    (prompt, $self:ident, $interface:ident, $input:ident) => {
        $crate::__call!(@run "prompt", $interface, $input, PromptInput, |i: $crate::PromptInput| {
            $crate::Prompt::shape($self, &i)
        })
    };
    (mutation, $self:ident, $interface:ident, $input:ident) => {
        $crate::__call!(@run "mutation", $interface, $input, MutationInput, |i: $crate::MutationInput| {
            $crate::Mutation::mutate($self, &i)
        })
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export {
    (scope, $exports:ident) => {
        $crate::bindings::scope::export_scope!($exports with_types_in $crate::bindings::scope);
    };
    (verifier, $exports:ident) => {
        $crate::bindings::verifier::export_verifier!($exports with_types_in $crate::bindings::verifier);
    };
    (signals, $exports:ident) => {
        $crate::bindings::signals::export_signals!($exports with_types_in $crate::bindings::signals);
    };
    (redaction, $exports:ident) => {
        $crate::bindings::redaction::export_redaction!($exports with_types_in $crate::bindings::redaction);
    };
    (prompt, $exports:ident) => {
        $crate::bindings::prompt::export_prompt!($exports with_types_in $crate::bindings::prompt);
    };
    (mutation, $exports:ident) => {
        $crate::bindings::mutation::export_mutation!($exports with_types_in $crate::bindings::mutation);
    };
}
