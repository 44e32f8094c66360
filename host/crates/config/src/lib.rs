//! The settings of one process: default < file < environment < command line, each value
//! with the layer that set it. This module is the only reader of the environment.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

mod budget;
mod env;
pub mod handover;
mod key;
mod load;
mod reference;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use budget::BudgetSettings;
pub use env::Env;
pub use load::Source;
pub use reference::reference;
pub use table::{Accepts, SETTINGS, Setting, nearest};

pub use model::containment::Strength;
use model::error::{Error, Kind, Result};
pub use model::secret::Secret;
pub use model::spec::{Isolation, PermissionMode, Tier};

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

/// One OpenAI-compatible (or Anthropic) endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Such as `https://gateway.example/v1`, without a slash at its end.
    pub base_url: String,
    /// Sent as a bearer token; none for a gateway without one.
    pub api_key: Option<Secret>,
}

impl Endpoint {
    /// Whether the address is of this machine: nothing that is sent there leaves it.
    pub fn is_loopback(&self) -> bool {
        match url::Url::parse(&self.base_url).ok().as_ref().and_then(url::Url::host) {
            Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }
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
    /// The `[profiles.<name>]` tables of the file, merged over the built-in gateway profiles;
    /// `adapter::profiles` knows their fields.
    pub profile_overrides: std::collections::BTreeMap<String, serde_json::Value>,
}

/// `WORKER_PRICE_*`: per million tokens, for accounting and budgets.
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
    pub permission_mode: PermissionMode,
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
    /// `SANDBOX_ROOT`: every job path is inside it.
    pub sandbox_root: Option<PathBuf>,
    /// The gateway.
    pub gateway: GatewaySettings,
    /// Prices for accounting.
    pub prices: Prices,
    /// What may be spent.
    pub budget: BudgetSettings,
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
    /// `WORKER_GUARD_TESTS`: for jobs that do not say.
    pub guard_tests: bool,
    /// `WORKER_GUARD_PATTERNS`: globs of further tests; `!glob` takes files out.
    pub guard_patterns: Vec<String>,
    /// `WORKER_VERIFY_RUNS`: further runs of each passed test check; by the tier if none.
    pub verify_runs: Option<u32>,
    /// `WORKER_SETUP_COMMAND`: run once in a new worktree.
    pub setup_command: Option<String>,
    /// `WORKER_RELIABILITY_TIER`: for jobs that do not say.
    pub reliability_tier: Option<Tier>,
    /// `WORKER_MAX_REQUESTS`: model requests that one job may make.
    pub max_requests: Option<u64>,
    /// `WORKER_MAX_TOKENS`: input and output tokens that one job may use.
    pub max_tokens: Option<u64>,
    /// `WORKER_FAILURE_DIGEST`: add a diagnosis by the lite model to a failed job.
    pub failure_digest: bool,
    /// `WORKER_NETWORK`: the agent may open any connection.
    pub allow_network: bool,
    /// `WORKER_CHECK_NETWORK`: the checks may, by default as [`Config::allow_network`].
    pub check_network: bool,
    /// How long ended jobs are kept.
    pub keep: KeepSettings,
    /// What surrounds agents and checks.
    pub containment: ContainmentSettings,
    /// `analyze`.
    pub analyze: AnalyzeSettings,
    /// What happens when a job ends.
    pub notify: NotifySettings,
    /// `WORKER_KEY_FILE`: holds the gateway's key.
    pub key_file: Option<PathBuf>,
    /// `WORKER_RECEIPT_KEY`: signs receipts.
    pub receipt_key: Option<PathBuf>,
    /// `ADAPTER_TOKEN`: for the stand-alone adapter.
    pub adapter_token: Option<Secret>,
    /// The `[plugins.<name>]` tables of the file: each plugin's own configuration.
    pub plugin_config: BTreeMap<String, serde_json::Value>,
    /// Further values of the environment whose content must never leave the process:
    /// name and value of each variable that looks like a secret, and the configured keys.
    pub known_secrets: Vec<(String, Secret)>,
    /// The environment as it was at start, for what is no setting of ours (`PATH`,
    /// `HOME`, proxies, the locale).
    pub env: Env,
    /// What the command line set: a worker process must be started with the same.
    pub cli: Overrides,
}

/// How long ended jobs are kept before the workers delete them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepSettings {
    /// `WORKER_KEEP_DAYS`.
    pub age: Option<Duration>,
    /// `WORKER_KEEP_MB`, as bytes.
    pub bytes: Option<u64>,
}

/// What surrounds agents and checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainmentSettings {
    /// `WORKER_REQUIRE_CONTAINMENT`: the weakest that will do.
    pub require: Strength,
    /// `WORKER_CACHE_DIRS`: directories that every job may write.
    pub cache_dirs: Vec<PathBuf>,
    /// `WORKER_READ_PATHS`: further files and directories that every job may read.
    pub read_paths: Vec<PathBuf>,
    /// `WORKER_MAX_MEMORY_MB`, as bytes.
    pub max_memory: Option<u64>,
    /// `WORKER_MAX_PROCESSES`.
    pub max_processes: Option<u64>,
    /// `WORKER_MAX_FILE_MB`, as bytes.
    pub max_file_size: Option<u64>,
    /// `WORKER_MAX_DISK_MB`, as bytes.
    pub max_disk: u64,
}

/// What happens when a job ends.
#[derive(Clone, Debug, Default)]
pub struct NotifySettings {
    /// `WORKER_NOTIFY_COMMAND`.
    pub command: Option<String>,
    /// `WORKER_NOTIFY_WEBHOOKS`.
    pub webhooks: Vec<String>,
    /// `WORKER_NOTIFY_FORMAT` is `slack`.
    pub slack: bool,
    /// `WORKER_NOTIFY_SECRET`.
    pub secret: Option<Secret>,
    /// `WORKER_NOTIFY_PRIVATE`.
    pub allow_private: bool,
    /// `WORKER_NOTIFY_STATUSES`; all when empty.
    pub statuses: Vec<String>,
    /// `WORKER_NOTIFY_LABELS` as `name=value`; all when empty.
    pub labels: Vec<String>,
    /// `WORKER_NOTIFY_MIN_S`.
    pub min: Duration,
}

/// The settings of `analyze`.
#[derive(Clone, Debug)]
pub struct AnalyzeSettings {
    /// `WORKER_LITE_CACHE_DIR`.
    pub cache_dir: PathBuf,
    /// `WORKER_LITE_CACHE_TTL_S`; zero turns the cache off.
    pub cache_ttl: Duration,
    /// `WORKER_LITE_MAX_BYTES`: bytes of files that one call may send.
    pub max_bytes: usize,
}

/// What the command line sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--home`.
    pub home: Option<PathBuf>,
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--set key=value`, by the file's keys.
    pub set: BTreeMap<String, String>,
}

impl Overrides {
    /// The same as arguments, for a process that we start.
    pub fn to_args(&self) -> Vec<std::ffi::OsString> {
        let mut args = Vec::new();
        for (option, path) in [("--home", &self.home), ("--config", &self.config)] {
            if let Some(path) = path {
                args.push(option.into());
                args.push(path.into());
            }
        }
        for (key, value) in &self.set {
            args.push("--set".into());
            args.push(format!("{key}={value}").into());
        }
        args
    }
}

/// One line of `config show`.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The table's row; none for the two that are not in the file (`home`, `config`).
    pub key: String,
    /// The value, masked when it is a secret; none when there is none.
    pub value: Option<String>,
    /// The layer that set it.
    pub source: Source,
}

/// Each value with the layer that set it.
pub type Sources = Vec<Shown>;

impl Config {
    /// Loads the settings of this process.
    pub fn load(cli: Overrides) -> Result<Config> {
        Config::load_from(cli, Env::of_this_process()).map(|(config, _)| config)
    }

    /// Loads from an environment that is given, and says where each value came from.
    pub fn load_from(cli: Overrides, env: Env) -> Result<(Config, Sources)> {
        let (home, home_source) = home_dir(&cli, &env)?;
        let (file, file_source) = config_file(&cli, &env, &home)?;
        let text = match &file {
            Some(path) => Some(jobfs::own::text_at_most(path, FILE_MAX).map_err(|error| {
                Error::new(Kind::Config, format!("failed to read {}: {error}", path.display()))
                    .hint("set CODEX_WORKER_CONFIG to a file that can be read, or unset it")
            })?),
            None => None,
        };
        let layer = file.as_deref().zip(text.as_deref());
        let (mut values, tables) = load::merge(&cli, &env, layer)?;
        key::resolve(&mut values, &env)?;
        let budget = BudgetSettings::of(&values)?;

        let mut sources = vec![
            Shown { key: "home".to_owned(), value: Some(home.display().to_string()), source: home_source },
            Shown {
                key: "config".to_owned(),
                value: file.as_ref().map(|path| path.display().to_string()),
                source: file_source,
            },
        ];
        sources.extend(SETTINGS.iter().map(|setting| match values.0.get(setting.key) {
            Some((value, source)) => Shown {
                key: setting.key.to_owned(),
                value: Some(if setting.secret { "***".to_owned() } else { value.show() }),
                source: source.clone(),
            },
            None => Shown { key: setting.key.to_owned(), value: None, source: Source::Default },
        }));
        for plugin in tables.plugins.keys() {
            sources.push(Shown {
                key: format!("plugins.{plugin}"),
                value: Some("(a table)".to_owned()),
                source: file.clone().map_or(Source::Default, Source::File),
            });
        }
        Ok((Config { budget, ..assemble(cli, env, home, file, &values, tables) }, sources))
    }

    /// Where a settings file would be found that is not there yet.
    pub fn new_config_file(&self) -> PathBuf {
        let named = self.cli.home.is_some() || self.env.get("CODEX_WORKER_HOME").is_some();
        let user = platform_dir(&self.env, "XDG_CONFIG_HOME", ".config").filter(|_| !named);
        user.unwrap_or_else(|| self.home.clone()).join("codex-worker.toml")
    }

    /// Settings for tests: the state directory is `home`, the sandbox root its parent,
    /// nothing else is set.
    #[doc(hidden)]
    #[expect(clippy::expect_used, reason = "only tests call this; the defaults always parse")]
    pub fn for_tests(home: &Path) -> Config {
        let cli = Overrides { home: Some(home.to_owned()), ..Overrides::default() };
        let (mut config, _) = Config::load_from(cli, Env::default()).expect("the defaults are valid");
        config.sandbox_root = home.parent().map(Path::to_owned);
        config
    }
}

/// The state directory.
fn home_dir(cli: &Overrides, env: &Env) -> Result<(PathBuf, Source)> {
    let (home, source) = match (&cli.home, env.get("CODEX_WORKER_HOME")) {
        (Some(home), _) => (home.clone(), Source::CommandLine),
        (None, Some(home)) => (PathBuf::from(home), Source::Environment("CODEX_WORKER_HOME".to_owned())),
        (None, None) => match platform_dir(env, "XDG_STATE_HOME", ".local/state") {
            Some(dir) => (dir, Source::Default),
            None => {
                return Err(Error::new(Kind::Config, "there is no home directory to keep the state in")
                    .hint("set CODEX_WORKER_HOME to a directory of your own"));
            }
        },
    };
    if home.is_absolute() {
        return Ok((home, source));
    }
    Err(Error::new(Kind::Config, format!("CODEX_WORKER_HOME is {home:?}, which is not an absolute path"))
        .hint("set CODEX_WORKER_HOME to an absolute path"))
}

/// The settings file: the one that was named, which must exist; else the one in the state
/// directory; else the user's, unless a state directory was named (which is then the only one).
fn config_file(cli: &Overrides, env: &Env, home: &Path) -> Result<(Option<PathBuf>, Source)> {
    if let Some(path) = &cli.config {
        return Ok((Some(path.clone()), Source::CommandLine));
    }
    if let Some(path) = env.get("CODEX_WORKER_CONFIG") {
        return Ok((Some(PathBuf::from(path)), Source::Environment("CODEX_WORKER_CONFIG".to_owned())));
    }
    let named = cli.home.is_some() || env.get("CODEX_WORKER_HOME").is_some();
    let user = platform_dir(env, "XDG_CONFIG_HOME", ".config").filter(|_| !named);
    let found = std::iter::once(home.to_owned())
        .chain(user)
        .map(|dir| dir.join("codex-worker.toml"))
        .find(|path| path.is_file());
    Ok((found, Source::Default))
}

/// `codex-worker` in the platform's directory for state or settings.
fn platform_dir(env: &Env, xdg: &str, below_home: &str) -> Option<PathBuf> {
    let base = if cfg!(windows) {
        PathBuf::from(env.get("LOCALAPPDATA")?)
    } else if cfg!(target_os = "macos") {
        Path::new(env.get("HOME")?).join("Library/Application Support")
    } else {
        match env.get(xdg).map(PathBuf::from).filter(|path| path.is_absolute()) {
            Some(dir) => dir,
            None => Path::new(env.get("HOME")?).join(below_home),
        }
    };
    Some(base.join("codex-worker"))
}

fn assemble(
    cli: Overrides,
    env: Env,
    home: PathBuf,
    config_file: Option<PathBuf>,
    values: &load::Values,
    tables: load::Tables,
) -> Config {
    let endpoint = |url: &str, key: &str| {
        values.text(url).map(|base_url| Endpoint { base_url, api_key: values.secret(key) })
    };
    let millis = |key: &str| Duration::from_millis(values.int(key).unwrap_or_default());
    let bytes = |key: &str| values.int(key).map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let small = |key: &str| values.int(key).map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX));
    let gateway = GatewaySettings {
        primary: endpoint("gateway.base_url", "gateway.api_key"),
        fallback: endpoint("gateway.fallback_base_url", "gateway.fallback_api_key"),
        model: values.text("gateway.model"),
        fallback_models: values.list("gateway.fallback_models"),
        lite_model: values.text("gateway.lite_model"),
        use_openai_adapter: values.flag("gateway.use_openai_adapter"),
        profile: values.text("gateway.profile"),
        profile_overrides: tables.profiles,
    };
    let agent = AgentSettings {
        kind: match values.text("agent.kind").as_deref() {
            Some("builtin") => AgentKind::Builtin,
            Some("command") => AgentKind::Command,
            _ => AgentKind::ClaudeCode,
        },
        claude_bin: values.path("agent.claude_bin"),
        command: values.text("agent.command"),
        claude_code_model: values.text("agent.claude_code_model"),
        // The table admits only names that parse.
        permission_mode: values
            .text("agent.permission_mode")
            .and_then(|name| PermissionMode::parse(&name))
            .unwrap_or(PermissionMode::AcceptEdits),
        allow_bypass: values.flag("agent.allow_bypass_permissions"),
        max_turns: small("agent.max_turns"),
        escalate_model: values.text("agent.escalate_model"),
    };
    Config {
        plugins_dir: values.path("plugins_dir").unwrap_or_else(|| home.join("plugins")),
        sandbox_root: values.path("sandbox_root"),
        known_secrets: known_secrets(values, &env),
        gateway,
        prices: Prices {
            input: values.number("prices.input"),
            output: values.number("prices.output"),
            cache: values.number("prices.cache"),
        },
        budget: BudgetSettings::default(),
        agent,
        isolation: match values.text("jobs.isolation").as_deref() {
            Some("worktree") => Isolation::Worktree,
            _ => Isolation::None,
        },
        max_running_jobs: small("jobs.max_running"),
        wait_default: millis("replies.wait_default_ms"),
        job_timeout: millis("jobs.timeout_ms"),
        check_timeout: millis("jobs.check_timeout_ms"),
        auto_revise: small("jobs.auto_revise"),
        guard_tests: values.flag("jobs.guard_tests"),
        guard_patterns: values.list("jobs.guard_patterns"),
        verify_runs: values.int("verify.extra_runs").and_then(|runs| u32::try_from(runs).ok()),
        setup_command: values.text("jobs.setup_command"),
        reliability_tier: values.text("jobs.reliability_tier").and_then(|name| Tier::parse(&name)),
        max_requests: values.int("jobs.max_requests"),
        max_tokens: values.int("jobs.max_tokens"),
        failure_digest: values.flag("jobs.failure_digest"),
        diff_max_bytes: bytes("replies.diff_max_bytes"),
        include_diff: values.flag("replies.include_diff"),
        check_output_max: bytes("replies.check_output_max"),
        metrics_file: values.path("metrics.file").unwrap_or_else(|| home.join("metrics.jsonl")),
        allow_network: values.flag("jobs.allow_network"),
        check_network: values.flag(if values.0.contains_key("jobs.check_network") {
            "jobs.check_network"
        } else {
            "jobs.allow_network"
        }),
        keep: KeepSettings {
            age: values.int("jobs.keep_days").filter(|n| *n > 0).map(|n| Duration::from_secs(n * 86_400)),
            bytes: values.int("jobs.keep_mb").filter(|n| *n > 0).map(|n| n << 20),
        },
        containment: ContainmentSettings {
            require: match values.text("containment.require").as_deref() {
                Some("bubblewrap") => Strength::Bubblewrap,
                Some("landlock") => Strength::Landlock,
                _ => Strength::ProcessGroup,
            },
            cache_dirs: values.list("containment.cache_dirs").iter().map(PathBuf::from).collect(),
            read_paths: values.list("containment.read_paths").iter().map(PathBuf::from).collect(),
            max_memory: values.int("containment.max_memory_mb").map(|mb| mb << 20),
            max_processes: values.int("containment.max_processes"),
            max_file_size: values.int("containment.max_file_mb").map(|mb| mb << 20),
            max_disk: values.int("containment.max_disk_mb").unwrap_or(u64::MAX >> 20) << 20,
        },
        analyze: AnalyzeSettings {
            cache_dir: values.path("analyze.cache_dir").unwrap_or_else(|| home.join("cache/analyze")),
            cache_ttl: Duration::from_secs(values.int("analyze.cache_ttl_s").unwrap_or_default()),
            max_bytes: bytes("analyze.max_bytes"),
        },
        notify: NotifySettings {
            command: values.text("notify.command"),
            webhooks: values.list("notify.webhooks"),
            slack: values.text("notify.format").as_deref() == Some("slack"),
            secret: values.secret("notify.secret"),
            allow_private: values.flag("notify.allow_private"),
            statuses: values.list("notify.statuses"),
            labels: values.list("notify.labels"),
            min: Duration::from_secs(values.int("notify.min_seconds").unwrap_or_default()),
        },
        key_file: values.path("gateway.api_key_file"),
        receipt_key: values.path("receipt.key_file"),
        adapter_token: values.secret("adapter.token"),
        plugin_config: tables.plugins,
        home,
        config_file,
        env,
        cli,
    }
}

/// Bytes of the settings file.
const FILE_MAX: u64 = 1 << 20;
/// Shorter values of the environment are not masked: they would mask ordinary words.
const SHORTEST_GUESS: usize = 8;
/// The same for keys that are configured, which are certainly secrets.
const SHORTEST_KEY: usize = 6;

/// Configured keys, every variable whose name looks like one of a secret, and passwords
/// in URLs.
fn known_secrets(values: &load::Values, env: &Env) -> Vec<(String, Secret)> {
    const MARKS: &[&str] = &["KEY", "TOKEN", "SECRET", "PASS", "AUTH"];
    let mut secrets: Vec<(String, Secret)> = Vec::new();
    let mut add = |name: &str, value: &str, shortest: usize| {
        let value = value.trim();
        if value.len() >= shortest && !secrets.iter().any(|(_, known)| known.expose() == value) {
            secrets.push((name.to_owned(), Secret::new(value)));
        }
    };
    for setting in SETTINGS.iter().filter(|setting| setting.secret) {
        if let Some(value) = values.text(setting.key) {
            add(setting.key, &value, SHORTEST_KEY);
        }
    }
    for (name, value) in env.iter() {
        let upper = name.to_ascii_uppercase();
        let passwords = url_passwords(value);
        if !passwords.is_empty() {
            passwords.iter().for_each(|password| add(name, password, SHORTEST_KEY));
        } else if MARKS.iter().any(|mark| upper.contains(mark)) && !is_place(value) {
            add(name, value, SHORTEST_GUESS);
        }
    }
    secrets
}

/// A path that exists, such as that of `SSH_AUTH_SOCK`: no secret, and masking it would
/// ruin every message that names a file.
fn is_place(value: &str) -> bool {
    Path::new(value).is_absolute() && Path::new(value).exists()
}

/// `p` of `http://user:p@host/`, as it is written and without its percent signs: either may be
/// in an output. Split by hand on purpose: the crate `url` refuses `jdbc:postgresql://…` and
/// MongoDB's lists of hosts, whose passwords are as secret.
fn url_passwords(value: &str) -> Vec<String> {
    let written = || {
        let (_, rest) = value.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (user_info, _) = authority.rsplit_once('@')?;
        user_info.split_once(':').map(|(_, password)| password)
    };
    let Some(written) = written() else { return Vec::new() };
    let plain = percent_encoding::percent_decode_str(written).decode_utf8_lossy();
    if plain == written { vec![written.to_owned()] } else { vec![written.to_owned(), plain.into_owned()] }
}
