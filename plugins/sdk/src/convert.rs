//! Moves values between the generated bindings and the plain types. Strings and lists are
//! moved, not copied.

use crate::bindings::base::codex_worker::policy::types as wit;
use crate::bindings::mutation::exports::codex_worker::policy::mutation as wit_mutation;
use crate::bindings::prompt::exports::codex_worker::policy::prompt as wit_prompt;
use crate::bindings::redaction::exports::codex_worker::policy::redaction as wit_redaction;
use crate::bindings::signals::exports::codex_worker::policy::signals as wit_signals;
use crate::types::*;

/// `into` that also reaches into options and lists.
pub trait Convert<T> {
    /// Moves the value over.
    fn convert(self) -> T;
}

macro_rules! same {
    ($($ty:ty),+) => { $(impl Convert<$ty> for $ty {
        fn convert(self) -> $ty { self }
    })+ };
}
same!(String, bool, u32, u64, i32);

impl<A: Convert<B>, B> Convert<Option<B>> for Option<A> {
    fn convert(self) -> Option<B> {
        self.map(Convert::convert)
    }
}

impl<A: Convert<B>, B> Convert<Vec<B>> for Vec<A> {
    fn convert(self) -> Vec<B> {
        self.into_iter().map(Convert::convert).collect()
    }
}

macro_rules! records {
    ($($from:ty => $to:path { $($field:ident),+ $(,)? })+) => { $(
        impl Convert<$to> for $from {
            fn convert(self) -> $to {
                $to { $($field: self.$field.convert()),+ }
            }
        }
    )+ };
}

macro_rules! enums {
    ($($module:ident::$wit:ident { $($case:ident),+ })+) => { $(
        impl Convert<$wit> for $module::$wit {
            fn convert(self) -> $wit {
                match self { $($module::$wit::$case => $wit::$case),+ }
            }
        }
        impl Convert<$module::$wit> for $wit {
            fn convert(self) -> $module::$wit {
                match self { $($wit::$case => $module::$wit::$case),+ }
            }
        }
    )+ };
}

enums! {
    wit::Severity { Deny, Warn, Info }
    wit::ChangeKind { Added, Modified, Deleted, Renamed, TypeChanged, ModeChanged }
    wit::FileKind { Absent, Regular, Executable, Symlink, Gitlink, NestedRepository }
    wit::CheckStatus { Passed, Failed, TimedOut, NotRun }
    wit::AgentEnd { Completed, MaxTurns, Error, TimedOut, Cancelled }
    wit_mutation::Tier { Lite, Standard, Strict, Critical }
    wit_mutation::FileRole { Test, Source, Definition }
    wit_mutation::MutantKind { Oracle, Source }
}

records! {
    wit::Finding => Finding { rule, severity, message, path, line, remedy }
    wit::ChangedFile => ChangedFile {
        path, old_path, kind, old_kind, new_kind, symlink_target, ignored, hard_linked, binary,
        size, added_lines, deleted_lines, patch, patch_truncated,
    }
    wit::ChangeSet => ChangeSet { files, total_files, diff_bytes, internals_changed, case_insensitive }
    wit::CheckSpec => CheckSpec { name, command }
    wit::ScopeDeclaration => ScopeDeclaration { paths, max_diff_bytes }
    wit::JobFacts => JobFacts { task, scope, checks, attempt, max_attempts, expects_change }
    wit::Failure => Failure { id, path, line, message }
    wit::Signal => Signal { runner, passed, failed, skipped, errors, nothing_ran, first_failures }
    wit::CheckResult => CheckResult {
        name, command, status, exit_code, signal, duration_ms, output, output_truncated, signals,
        baseline, baseline_signals, guarded,
    }
    wit::AgentOutcome => AgentOutcome { ended, turns, tool_calls, permission_denials, claim, commands }
    wit_signals::ReportFile => ReportFile { path, content }
    wit_signals::CommandOutput => CommandOutput { name, command, exit_code, output, reports }
    wit_prompt::Draft => Draft { stable, body }
    wit_prompt::Repair => Repair { checks, findings, diff_stat, revert }
    wit_prompt::PromptInput => PromptInput { job, draft, repair, fence }
    wit_mutation::Budget => Budget { max_mutants, max_bytes }
    wit_mutation::TextFile => TextFile { path, content, role }
    wit_mutation::PassedCheck => PassedCheck { name, command, directory, duration_ms, signals, passed_tests }
    wit_mutation::MutationInput => MutationInput { job, changes, checks, files, tier, budget }

    Finding => wit::Finding { rule, severity, message, path, line, remedy }
    Failure => wit::Failure { id, path, line, message }
    Signal => wit::Signal { runner, passed, failed, skipped, errors, nothing_ran, first_failures }
    Span => wit_redaction::Span { start, end, rule }
    Found => wit_redaction::Found { spans, carry }
    Draft => wit_prompt::Draft { stable, body }
    Mutant => wit_mutation::Mutant { kind, path, start, end, text, line, mutator, altered, checks, test }
    NotMutated => wit_mutation::NotMutated { check, path, reason }
    Mutants => wit_mutation::Mutants { mutants, not_mutated }
}
