//! The values that policies judge, as plain Rust with `serde`: snake_case keys and
//! kebab-case enum values, the JSON that `codex-worker plugin run --input` reads and that
//! examples are written in. Each field is documented in `wit/v0.2/policy.wit`. The host compiles
//! this same file (`host/crates/model`): there is no second definition.

use serde::{Deserialize, Serialize};

macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $case:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[allow(missing_docs, reason = "documented in wit/")]
        pub enum $name { $($(#[$vmeta])* $case),+ }
    };
}

wire_enum!(
    /// What a finding does to the job; the strictest comes first.
    Severity { #[default] Deny, Warn, Info }
);
wire_enum!(
    /// What happened to a path.
    ChangeKind { Added, #[default] Modified, Deleted, Renamed, TypeChanged, ModeChanged }
);
wire_enum!(
    /// What a path is.
    FileKind { Absent, #[default] Regular, Executable, Symlink, Gitlink, NestedRepository }
);
wire_enum!(
    /// How a check ended.
    CheckStatus { #[default] Passed, Failed, TimedOut, NotRun }
);
wire_enum!(
    /// How the agent ended its run.
    AgentEnd { #[default] Completed, MaxTurns, Error, TimedOut, Cancelled }
);

wire_enum!(
    /// How much evidence the planner asked for.
    Tier { Lite, #[default] Standard, Strict, Critical }
);
wire_enum!(
    /// What the host counts a file as.
    FileRole { #[default] Test, Source, Definition }
);
wire_enum!(
    /// What a mutant alters.
    MutantKind { #[default] Oracle, Source }
);

macro_rules! wire_record {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident : $ty:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs, reason = "documented in wit/")]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),+ }
    };
}

wire_record!(
    /// One thing a policy has to say.
    Finding {
        rule: String,
        severity: Severity,
        message: String,
        #[serde(default)]
        path: Option<String>,
        #[serde(default)]
        line: Option<u32>,
        #[serde(default)]
        remedy: Option<String>,
    }
);
wire_record!(
    /// One changed path.
    ChangedFile {
        path: String,
        #[serde(default)]
        old_path: Option<String>,
        kind: ChangeKind,
        old_kind: FileKind,
        new_kind: FileKind,
        #[serde(default)]
        symlink_target: Option<String>,
        #[serde(default)]
        ignored: bool,
        #[serde(default)]
        hard_linked: bool,
        #[serde(default)]
        binary: bool,
        #[serde(default)]
        size: u64,
        #[serde(default)]
        added_lines: u32,
        #[serde(default)]
        deleted_lines: u32,
        #[serde(default)]
        patch: Option<String>,
        #[serde(default)]
        patch_truncated: bool,
    }
);
wire_record!(
    /// Everything that changed between the tree before the job and the tree after it.
    ChangeSet {
        files: Vec<ChangedFile>,
        total_files: u32,
        diff_bytes: u64,
        #[serde(default)]
        internals_changed: Vec<String>,
        #[serde(default)]
        case_insensitive: bool,
    }
);
wire_record!(
    /// A declared check command.
    CheckSpec { name: String, command: String }
);
wire_record!(
    /// Where the job may write.
    ScopeDeclaration {
        paths: Vec<String>,
        #[serde(default)]
        max_diff_bytes: Option<u64>,
    }
);
wire_record!(
    /// What the job is.
    JobFacts {
        task: String,
        #[serde(default)]
        scope: Option<ScopeDeclaration>,
        #[serde(default)]
        checks: Vec<CheckSpec>,
        attempt: u32,
        max_attempts: u32,
        expects_change: bool,
    }
);
wire_record!(
    /// One failing test or diagnostic.
    Failure {
        id: String,
        #[serde(default)]
        path: Option<String>,
        #[serde(default)]
        line: Option<u32>,
        message: String,
    }
);
wire_record!(
    /// What a test runner or linter said.
    Signal {
        runner: String,
        passed: u32,
        failed: u32,
        skipped: u32,
        errors: u32,
        #[serde(default)]
        nothing_ran: bool,
        #[serde(default)]
        first_failures: Vec<Failure>,
    }
);
wire_record!(
    /// What one check command gave.
    CheckResult {
        name: String,
        command: String,
        status: CheckStatus,
        #[serde(default)]
        exit_code: Option<i32>,
        #[serde(default)]
        signal: Option<i32>,
        duration_ms: u64,
        output: String,
        #[serde(default)]
        output_truncated: bool,
        #[serde(default)]
        signals: Vec<Signal>,
        #[serde(default)]
        baseline: Option<CheckStatus>,
        #[serde(default)]
        baseline_signals: Vec<Signal>,
        #[serde(default)]
        guarded: Option<CheckStatus>,
    }
);
wire_record!(
    /// What the agent did, as the host saw it.
    AgentOutcome {
        ended: AgentEnd,
        turns: u32,
        tool_calls: u32,
        permission_denials: u32,
        claim: String,
        #[serde(default)]
        commands: Vec<String>,
    }
);
wire_record!(
    /// A machine-readable report left by a check.
    ReportFile { path: String, content: String }
);
wire_record!(
    /// What a command printed, for the signals policies.
    CommandOutput {
        name: String,
        command: String,
        #[serde(default)]
        exit_code: Option<i32>,
        output: String,
        #[serde(default)]
        reports: Vec<ReportFile>,
    }
);
wire_record!(
    /// A secret: a half-open range of bytes on character borders.
    Span { start: u32, end: u32, rule: String }
);
wire_record!(
    /// What a redaction policy found in one piece of a text.
    Found {
        spans: Vec<Span>,
        #[serde(default)]
        carry: String,
    }
);
wire_record!(
    /// What a repair pass is told.
    Repair {
        checks: Vec<CheckResult>,
        findings: Vec<Finding>,
        #[serde(default)]
        diff_stat: Vec<String>,
        #[serde(default)]
        revert: Vec<String>,
    }
);
wire_record!(
    /// The prompt so far.
    Draft { stable: String, body: String }
);
wire_record!(
    /// The input of a prompt policy.
    PromptInput {
        job: JobFacts,
        draft: Draft,
        #[serde(default)]
        repair: Option<Repair>,
        fence: String,
    }
);
wire_record!(
    /// The input of a scope policy.
    ScopeInput { job: JobFacts, changes: ChangeSet }
);
wire_record!(
    /// The input of a verifier.
    VerifyInput { job: JobFacts, changes: ChangeSet, checks: Vec<CheckResult>, agent: AgentOutcome }
);
wire_record!(
    /// The input of a redaction policy.
    RedactInput {
        text: String,
        #[serde(default)]
        carry: String,
    }
);
wire_record!(
    /// The most mutants and bytes of replacement texts that the host will use.
    Budget { max_mutants: u32, max_bytes: u64 }
);
wire_record!(
    /// A text file as it is after the job.
    TextFile { path: String, content: String, role: FileRole }
);
wire_record!(
    /// A check that passed.
    PassedCheck {
        name: String,
        command: String,
        #[serde(default)]
        directory: String,
        #[serde(default)]
        duration_ms: u64,
        #[serde(default)]
        signals: Vec<Signal>,
        #[serde(default)]
        passed_tests: Vec<String>,
    }
);
wire_record!(
    /// The input of a mutation policy.
    MutationInput {
        job: JobFacts,
        changes: ChangeSet,
        checks: Vec<PassedCheck>,
        files: Vec<TextFile>,
        tier: Tier,
        budget: Budget,
    }
);
wire_record!(
    /// One alteration of one file.
    Mutant {
        kind: MutantKind,
        path: String,
        start: u32,
        end: u32,
        text: String,
        line: u32,
        mutator: String,
        altered: String,
        #[serde(default)]
        checks: Vec<String>,
        #[serde(default)]
        test: Vec<String>,
    }
);
wire_record!(
    /// What could not be mutated, and why.
    NotMutated {
        check: String,
        #[serde(default)]
        path: Option<String>,
        reason: String,
    }
);
wire_record!(
    /// What a mutation policy makes of its input.
    Mutants {
        mutants: Vec<Mutant>,
        #[serde(default)]
        not_mutated: Vec<NotMutated>,
    }
);

/// The runner's name in the signal that says: this looks like tests, and nothing counted them.
pub const UNCOUNTED: &str = "uncounted";

/// Runners whose signals count diagnostics or say how an agent fared.
const NOT_TESTS: &[&str] = &[
    "rustc",
    "tsc",
    "compiler",
    "eslint",
    "python-lint",
    "sarif",
    "claude-code",
    "codex",
    "agent",
    "clippy",
    UNCOUNTED,
];

impl Signal {
    /// Whether it counts tests.
    pub fn counts_tests(&self) -> bool {
        !NOT_TESTS.contains(&self.runner.as_str())
    }
}

impl Mutant {
    /// Whether a runner's id of a test holds each part of [`Mutant::test`]; false when the
    /// test has no name.
    pub fn is_of_test(&self, id: &str) -> bool {
        // `adds` is no part of `adds_typed`, but of `test_0001_adds`.
        let stands = |part: &str| {
            id.match_indices(part).any(|(at, _)| {
                let before = id[..at].chars().next_back();
                let after = id[at + part.len()..].chars().next();
                before.is_none_or(|c| !c.is_alphanumeric())
                    && after.is_none_or(|c| !c.is_alphanumeric() && c != '_')
            })
        };
        !self.test.is_empty() && self.test.iter().all(|part| stands(part))
    }
}
