//! The one table of settings: their names in the file and in the environment, what they
//! accept, their defaults and what they mean. Loading, `config show`, the documented
//! example and the error texts all come from it.

/// What a setting accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Accepts {
    /// Any text.
    Text,
    /// An `http` or `https` URL.
    Url,
    /// A path; `~/` at its start is the home directory.
    Path,
    /// `true` or `false`; in the environment also `1 0 yes no on off`.
    Bool,
    /// A whole number from the first to the second, both included.
    Int(u64, u64),
    /// A number that is not negative.
    Number,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// At most this many texts; in the environment separated by commas.
    List(usize),
    /// At most this many paths, written as in [`Accepts::Path`].
    Paths(usize),
}

impl std::fmt::Display for Accepts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Accepts::Text => f.write_str("a text"),
            Accepts::Url => f.write_str("a URL that begins with http:// or https://"),
            Accepts::Path => f.write_str("an absolute path"),
            Accepts::Bool => f.write_str("1 or 0 (also true/false, yes/no, on/off)"),
            Accepts::Int(min, u64::MAX) => write!(f, "a whole number of at least {min}"),
            Accepts::Int(min, max) => write!(f, "a whole number from {min} to {max}"),
            Accepts::Number => f.write_str("a number that is not negative"),
            Accepts::OneOf(words) => write!(f, "one of {}", words.join(", ")),
            Accepts::List(max) => write!(f, "at most {max} names, separated by commas"),
            Accepts::Paths(max) => write!(f, "at most {max} absolute paths, separated by commas"),
        }
    }
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key in `codex-worker.toml`, such as `gateway.base_url`.
    pub key: &'static str,
    /// Its names in the environment; the first that is set wins.
    pub env: &'static [&'static str],
    /// What it accepts.
    pub accepts: Accepts,
    /// Its default, written as in the environment; none when it has no value by default.
    pub default: Option<&'static str>,
    /// Shown as `***`.
    pub secret: bool,
    /// One line.
    pub doc: &'static str,
}

const fn setting(
    key: &'static str,
    env: &'static [&'static str],
    accepts: Accepts,
    default: Option<&'static str>,
    doc: &'static str,
) -> Setting {
    Setting { key, env, accepts, default, secret: false, doc }
}

const fn secret(key: &'static str, env: &'static [&'static str], doc: &'static str) -> Setting {
    Setting { key, env, accepts: Accepts::Text, default: None, secret: true, doc }
}

use Accepts::{Bool, Int, List, Number, OneOf, Path, Paths, Text, Url};

/// A week: longer time limits are taken for mistakes.
const WEEK_MS: u64 = 7 * 24 * 3600 * 1000;
const PERMISSION_MODES: &[&str] = &["default", "acceptEdits", "plan", "bypassPermissions"];

/// Every setting, in the order of the documentation.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    setting("sandbox_root", &["SANDBOX_ROOT"], Path, None, "every directory of a job is inside this one"),
    setting("plugins_dir", &["CODEX_WORKER_PLUGINS"], Path, None, "where policies (.wasm) are; plugins/ in the state directory by default"),
    setting("gateway.base_url", &["ONEAPI_BASE_URL", "ANTHROPIC_BASE_URL"], Url, None, "the OpenAI-compatible gateway, such as https://gateway.example/v1"),
    secret("gateway.api_key", &["ONEAPI_API_KEY", "ANTHROPIC_API_KEY"], "the gateway's key; better in the environment than in a file"),
    setting("gateway.api_key_env", &["WORKER_KEY_ENV"], Text, None, "the variable that holds the gateway's key, where it is not ONEAPI_API_KEY"),
    setting("gateway.api_key_file", &["WORKER_KEY_FILE"], Path, None, "a file that only its owner can read and that holds the gateway's key"),
    setting("gateway.model", &["CLAUDE_MODEL", "ANTHROPIC_MODEL"], Text, None, "the gateway's name of the model that jobs use"),
    setting("gateway.lite_model", &["WORKER_LITE_MODEL"], Text, None, "the model of `analyze` and failure digests; gateway.model by default"),
    setting("gateway.use_openai_adapter", &["USE_OPENAI_ADAPTER"], Bool, Some("1"), "0 when the gateway speaks Anthropic's protocol itself"),
    setting("gateway.profile", &["WORKER_GATEWAY_PROFILE"], Text, None, "the provider profile; chosen by base URL and model by default"),
    setting("gateway.fallback_base_url", &["FALLBACK_BASE_URL"], Url, None, "the gateway to turn to when the first one fails"),
    secret("gateway.fallback_api_key", &["FALLBACK_API_KEY"], "the fallback gateway's key"),
    setting("gateway.fallback_models", &["FALLBACK_MODELS", "FALLBACK_MODEL"], List(3), None, "models to turn to, in this order"),
    setting("prices.input", &["WORKER_PRICE_INPUT"], Number, None, "per million uncached input tokens"),
    setting("prices.output", &["WORKER_PRICE_OUTPUT"], Number, None, "per million output tokens"),
    setting("prices.cache", &["WORKER_PRICE_CACHE"], Number, None, "per million cached input tokens"),
    setting("budget.job", &["WORKER_MAX_COST"], Number, None, "money that the model requests of one job may cost, in the currency of the prices; a job's max_cost may be smaller"),
    setting("budget.day", &["WORKER_BUDGET_DAY"], Number, None, "money that all jobs and questions together may cost on one day (UTC)"),
    setting("budget.repository_day", &["WORKER_BUDGET_REPOSITORY_DAY"], Number, None, "money that the jobs of one repository may cost on one day"),
    setting("budget.labels", &["WORKER_BUDGET_LABELS"], List(50), None, "money that the jobs with a label may cost on one day, such as team=web:2.50"),
    setting("agent.kind", &["AGENT"], OneOf(&["claude-code", "builtin", "command"]), Some("claude-code"), "which agent runs jobs"),
    setting("agent.claude_bin", &["CLAUDE_BIN"], Path, None, "the Claude Code binary; `claude` on PATH by default"),
    setting("agent.command", &["AGENT_COMMAND"], Text, None, "the command line of kind = \"command\"; the prompt comes on its standard input"),
    setting("agent.claude_code_model", &["CLAUDE_CODE_MODEL"], Text, None, "the name given to `claude --model`; the gateway's model by default"),
    setting("agent.permission_mode", &["CLAUDE_PERMISSION_MODE"], OneOf(PERMISSION_MODES), Some("acceptEdits"), "for jobs that do not say"),
    setting("agent.allow_bypass_permissions", &["ALLOW_BYPASS_PERMISSIONS"], Bool, Some("0"), "let jobs ask for bypassPermissions"),
    setting("agent.max_turns", &["WORKER_MAX_TURNS"], Int(1, 1000), Some("60"), "the most turns of one pass"),
    setting("agent.escalate_model", &["WORKER_ESCALATE_MODEL"], Text, None, "the model of later repair passes"),
    setting("jobs.isolation", &["WORKER_ISOLATION"], OneOf(&["none", "worktree"]), Some("none"), "for jobs that do not say"),
    setting("jobs.max_running", &["MAX_RUNNING_JOBS"], Int(1, 100), Some("4"), "jobs that run at the same time"),
    setting("jobs.timeout_ms", &["WORKER_JOB_TIMEOUT_MS"], Int(1000, WEEK_MS), Some("1800000"), "a job's time limit when it gives none"),
    setting("jobs.check_timeout_ms", &["WORKER_CHECK_TIMEOUT_MS"], Int(100, WEEK_MS), Some("300000"), "a check's time limit when it gives none"),
    setting("jobs.auto_revise", &["WORKER_AUTO_REVISE"], Int(0, 10), Some("0"), "repair passes of a job that does not say"),
    setting("jobs.guard_tests", &["WORKER_GUARD_TESTS"], Bool, Some("1"), "run the checks again with the base versions of the test files"),
    setting("jobs.guard_patterns", &["WORKER_GUARD_PATTERNS"], List(50), None, "globs of further files that are taken for tests; `!glob` takes files out"),
    setting("jobs.setup_command", &["WORKER_SETUP_COMMAND"], Text, None, "run once in a new worktree before the agent, such as `npm ci`"),
    setting("jobs.reliability_tier", &["WORKER_RELIABILITY_TIER"], OneOf(&["lite", "standard", "strict", "critical"]), None, "a preset for jobs that do not say; see docs/mcp.md"),
    setting("jobs.max_requests", &["WORKER_MAX_REQUESTS"], Int(1, u64::MAX), None, "model requests a job may make; no limit by default"),
    setting("jobs.max_tokens", &["WORKER_MAX_TOKENS"], Int(1, u64::MAX), None, "input and output tokens a job may use; no limit by default"),
    setting("jobs.failure_digest", &["WORKER_FAILURE_DIGEST"], Bool, Some("0"), "add a two-sentence diagnosis by the lite model to a failed job"),
    setting("jobs.allow_network", &["WORKER_NETWORK"], Bool, Some("0"), "let the agent and the checks open any connection"),
    setting("jobs.check_network", &["WORKER_CHECK_NETWORK"], Bool, None, "the same for the checks alone; as jobs.allow_network by default"),
    setting("jobs.keep_days", &["WORKER_KEEP_DAYS"], Int(0, 36_500), Some("14"), "ended jobs older than this are deleted by themselves; 0 keeps them"),
    setting("jobs.keep_mb", &["WORKER_KEEP_MB"], Int(0, 1 << 24), Some("20480"), "the oldest ended jobs are deleted until no more than this is used; 0 sets no limit"),
    setting("verify.extra_runs", &["WORKER_VERIFY_RUNS"], Int(0, 8), None, "further runs of each passed test check that show whether it can fail; by default 0 in lite, 1 in standard, 2 in strict and critical"),
    setting("containment.require", &["WORKER_REQUIRE_CONTAINMENT"], OneOf(&["process-group", "landlock", "bubblewrap"]), Some("process-group"), "refuse jobs where the machine offers nothing as strong"),
    setting("containment.cache_dirs", &["WORKER_CACHE_DIRS"], Paths(20), None, "directories that every job may write, such as a package manager's cache"),
    setting("containment.read_paths", &["WORKER_READ_PATHS"], Paths(50), None, "further files and directories that every job may read; the system, toolchains and the job's own tree can be read anyway"),
    setting("containment.max_memory_mb", &["WORKER_MAX_MEMORY_MB"], Int(64, 1 << 24), None, "memory of a job's processes together where control groups work, else of each; no limit by default"),
    setting("containment.max_processes", &["WORKER_MAX_PROCESSES"], Int(16, 1 << 20), Some("8192"), "processes of a job; root's are counted where control groups work"),
    setting("containment.max_file_mb", &["WORKER_MAX_FILE_MB"], Int(1, 1 << 24), None, "size of one file that a job writes; no limit by default"),
    setting("containment.max_disk_mb", &["WORKER_MAX_DISK_MB"], Int(1, 1 << 24), Some("20480"), "what a job may add to the disk in its own directories; more ends it"),
    setting("replies.wait_default_ms", &["WAIT_DEFAULT_MS"], Int(0, WEEK_MS), Some("50000"), "how long `wait` waits by default"),
    setting("replies.include_diff", &["INCLUDE_DIFF_DEFAULT"], Bool, Some("0"), "return the diff of jobs that do not say"),
    setting("replies.diff_max_bytes", &["DIFF_MAX_BYTES"], Int(0, 1_000_000), Some("8000"), "the diff is trimmed to this many bytes"),
    setting("replies.check_output_max", &["CHECK_OUTPUT_RESPONSE_MAX"], Int(0, 1_000_000), Some("4000"), "bytes of a check's output that are kept for replies and repair prompts"),
    setting("metrics.file", &["WORKER_METRICS_FILE"], Path, None, "one JSON line a model request; metrics.jsonl in the state directory by default"),
    setting("analyze.cache_dir", &["WORKER_LITE_CACHE_DIR"], Path, None, "answers of `analyze`; cache/analyze in the state directory by default"),
    setting("analyze.cache_ttl_s", &["WORKER_LITE_CACHE_TTL_S"], Int(0, 365 * 24 * 3600), Some("86400"), "how long an answer is reused; 0 turns the cache off"),
    setting("analyze.max_bytes", &["WORKER_LITE_MAX_BYTES"], Int(1_000, 4_000_000), Some("200000"), "bytes of files that one `analyze` may send"),
    setting("notify.command", &["WORKER_NOTIFY_COMMAND"], Text, None, "a shell command that is run when a job ends; the result is JSON on its standard input"),
    setting("notify.webhooks", &["WORKER_NOTIFY_WEBHOOKS"], List(10), None, "addresses that the result is posted to when a job ends"),
    setting("notify.format", &["WORKER_NOTIFY_FORMAT"], OneOf(&["json", "slack"]), Some("json"), "what webhooks get: the JSON of the command, or a text that Slack and its like show"),
    secret("notify.secret", &["WORKER_NOTIFY_SECRET"], "signs what webhooks get: HMAC-SHA256 of the time, a dot and the body"),
    setting("notify.allow_private", &["WORKER_NOTIFY_PRIVATE"], Bool, Some("0"), "let webhooks reach addresses of this machine and of private networks, and http://"),
    setting("notify.statuses", &["WORKER_NOTIFY_STATUSES"], List(10), None, "only for these ends, such as failed and timed_out; for all by default"),
    setting("notify.labels", &["WORKER_NOTIFY_LABELS"], List(20), None, "only for jobs with one of these labels, such as team=web; for all by default"),
    setting("notify.min_seconds", &["WORKER_NOTIFY_MIN_S"], Int(0, 604_800), Some("0"), "only for jobs that took at least so long"),
    setting("receipt.key_file", &["WORKER_RECEIPT_KEY"], Path, None, "signs receipts: a file with 64 hexadecimal digits, an Ed25519 seed"),
    secret("adapter.token", &["ADAPTER_TOKEN"], "the bearer token of `codex-worker adapter`; made and printed when not set"),
];

/// The setting at `key` of the file.
pub fn find(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

/// The name of `known` that is nearest to `name`, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, candidate)| *distance <= 2.max(candidate.len() / 3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
