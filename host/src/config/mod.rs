//! The settings of one process: default < file < environment < command line, each value
//! with the layer that set it. This module is the only reader of the environment.

use std::path::PathBuf;
use std::time::Duration;

/// A secret: shown as `***`, never serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret value.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself; only for the place that sends or masks it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Which agent runs jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentKind {
    /// The Claude Code CLI.
    ClaudeCode,
    /// Our own small tool loop.
    Builtin,
    /// Any command line that reads the prompt on standard input.
    Command,
}

/// Where jobs edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In the user's own directory.
    None,
    /// In a worktree of the job's own.
    Worktree,
}

/// One OpenAI-compatible (or Anthropic) endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Such as `https://gateway.example/v1`, without a slash at its end.
    pub base_url: String,
    /// Sent as a bearer token; none for a gateway without one.
    pub api_key: Option<Secret>,
}

/// The gateway and what to do when it fails.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// `ONEAPI_BASE_URL` and `ONEAPI_API_KEY`; none when nothing is configured.
    pub primary: Option<Endpoint>,
    /// `FALLBACK_BASE_URL` and `FALLBACK_API_KEY`.
    pub fallback: Option<Endpoint>,
    /// `CLAUDE_MODEL`: the gateway's name of the model that jobs use.
    pub model: Option<String>,
    /// `FALLBACK_MODELS`, at most three.
    pub fallback_models: Vec<String>,
    /// `WORKER_LITE_MODEL`: for `analyze` and failure digests.
    pub lite_model: Option<String>,
    /// `USE_OPENAI_ADAPTER`; false passes Anthropic traffic through.
    pub use_openai_adapter: bool,
    /// The profile's name, or none to choose by base URL and model.
    pub profile: Option<String>,
}

/// `WORKER_PRICE_*`: per million tokens, for accounting only.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prices {
    /// Per million input tokens that were not cached.
    pub input: Option<f64>,
    /// Per million output tokens.
    pub output: Option<f64>,
    /// Per million cached input tokens.
    pub cache: Option<f64>,
}

/// How agents are run.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// `AGENT`.
    pub kind: AgentKind,
    /// `CLAUDE_BIN`, else `claude` on PATH (looked up when needed).
    pub claude_bin: Option<PathBuf>,
    /// `AGENT_COMMAND`: the command line of `AGENT=command`.
    pub command: Option<String>,
    /// `CLAUDE_CODE_MODEL`: the name given to `claude --model`; the gateway's model if none.
    pub claude_code_model: Option<String>,
    /// `CLAUDE_PERMISSION_MODE`.
    pub permission_mode: String,
    /// `ALLOW_BYPASS_PERMISSIONS`.
    pub allow_bypass: bool,
    /// The most turns of one pass (`--max-turns`).
    pub max_turns: u32,
    /// `WORKER_ESCALATE_MODEL`: the model of later passes.
    pub escalate_model: Option<String>,
}

/// Every setting of a process.
#[derive(Clone, Debug)]
pub struct Config {
    /// `CODEX_WORKER_HOME`: the state directory.
    pub home: PathBuf,
    /// `CODEX_WORKER_PLUGINS`, else `plugins/` in [`Config::home`].
    pub plugins_dir: PathBuf,
    /// The file that was read, if there is one.
    pub config_file: Option<PathBuf>,
    /// `SANDBOX_ROOT`: every job path lies inside it.
    pub sandbox_root: Option<PathBuf>,
    /// The gateway.
    pub gateway: GatewaySettings,
    /// Prices for accounting.
    pub prices: Prices,
    /// The agent.
    pub agent: AgentSettings,
    /// `WORKER_ISOLATION`: for jobs that do not say.
    pub isolation: Isolation,
    /// `MAX_RUNNING_JOBS`, 1 to 100.
    pub max_running_jobs: u32,
    /// `WAIT_DEFAULT_MS`.
    pub wait_default: Duration,
    /// `WORKER_JOB_TIMEOUT_MS`: a job's time limit when it gives none.
    pub job_timeout: Duration,
    /// `WORKER_CHECK_TIMEOUT_MS`: a check's time limit when it gives none.
    pub check_timeout: Duration,
    /// `WORKER_AUTO_REVISE`: repair passes of a job that does not say.
    pub auto_revise: u32,
    /// `DIFF_MAX_BYTES`.
    pub diff_max_bytes: usize,
    /// `INCLUDE_DIFF_DEFAULT`.
    pub include_diff: bool,
    /// `CHECK_OUTPUT_RESPONSE_MAX`: bytes of a check's output kept.
    pub check_output_max: usize,
    /// `WORKER_METRICS_FILE`; by default `metrics.jsonl` in [`Config::home`].
    pub metrics_file: PathBuf,
    /// `WORKER_NETWORK`: the agent and the checks may open any TCP connection.
    pub allow_network: bool,
    /// The `[plugins.<name>]` tables of the file: each plugin's own configuration.
    pub plugin_config: std::collections::BTreeMap<String, serde_json::Value>,
    /// Further values of the environment whose content must never leave the process:
    /// name and value of each variable that looks like a secret.
    pub known_secrets: Vec<(String, Secret)>,
}
