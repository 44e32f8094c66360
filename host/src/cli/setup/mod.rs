//! `codex-worker setup`: from nothing to a server that Codex starts. Asks in a terminal, takes
//! options elsewhere, tests each answer at once, and writes two files and perhaps a key.

mod answers;
mod change;
pub(crate) mod codex;
mod settings_file;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use self::answers::{Answers, KeySource, Known};
use self::change::Change;
use super::print;
use super::settings::SettingsArgs;
use config::{Config, Env, Overrides};
use model::error::{Error, Kind, Result};
use redact::Redactor;

/// Set codex-worker up: settings, gateway, Codex's configuration. Asks in a terminal.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// The directory that holds your repositories: jobs work only below it.
    #[arg(long, value_name = "DIR")]
    sandbox_root: Option<PathBuf>,
    /// The OpenAI-compatible gateway, such as `https://api.deepseek.com/v1`.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// The gateway's name of the model that works on jobs.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Where the gateway's key comes from: env (ONEAPI_API_KEY), env:NAME, file (typed or on
    /// standard input, kept with mode 0600), file:/PATH, or none.
    #[arg(long, value_name = "SOURCE")]
    key: Option<KeySource>,
    /// Which agent works on jobs; Claude Code by default.
    #[arg(long, value_enum)]
    agent: Option<AgentArg>,
    /// Let Codex call `apply`, which writes into your checkout, without asking you.
    #[arg(long)]
    approve_apply: bool,
    /// Codex's configuration (else config.toml in CODEX_HOME or ~/.codex).
    #[arg(long, value_name = "FILE")]
    codex_config: Option<PathBuf>,
    /// Show what would change and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Undo: take the server out of Codex's configuration, delete the files that setup made.
    #[arg(long)]
    remove: bool,
    /// Do not send the gateway a test request.
    #[arg(long)]
    no_test: bool,
    /// Ask nothing: what is configured already answers for options that are left out.
    #[arg(long)]
    yes: bool,
}

/// The agents that need no further setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum AgentArg {
    /// The Claude Code CLI.
    ClaudeCode,
    /// The small loop that codex-worker brings along.
    Builtin,
}

impl AgentArg {
    fn name(self) -> &'static str {
        match self {
            AgentArg::ClaudeCode => "claude-code",
            AgentArg::Builtin => "builtin",
        }
    }
}

/// Asks, tests, writes.
pub fn run(args: Args) -> Result<()> {
    let (overrides, env) = sources(&args);
    let (config, shown) = Config::load_from(overrides.clone(), env.clone())?;
    // From here on nothing that this process starts inherits a key.
    if let Err(error) = config::handover::leave_environment(&config.env, config.sandbox_root.as_deref()) {
        tracing::warn!(%error, "the environment stays as it is");
    }
    let files = Files::of(&args, &config)?;
    if args.remove {
        return finish(&args, &undo(&files)?, "", &[]);
    }
    let missing =
        args.sandbox_root.is_none() || args.gateway.is_none() || args.model.is_none() || args.key.is_none();
    let ask = !args.yes && missing && answers::is_terminal();
    let known = Known { args: &args, config: &config, sources: &shown, ask };
    let answers = answer(&known, &overrides, &env)?;
    let server = codex::Server {
        program: std::env::current_exe().map_err(|error| {
            Error::new(Kind::Environment, format!("cannot find this program's own file: {error}"))
        })?,
        settings: files.settings.clone(),
        home: own_home(&config).then(|| config.home.clone()),
        key_variable: match &answers.key {
            KeySource::Variable(name) => Some(name.clone()),
            _ => None,
        },
        approve_apply: answers.approve_apply,
    };
    let key_file = match &answers.key {
        KeySource::File(Some(path)) => Some(path.clone()),
        KeySource::File(None) => Some(files.key.clone()),
        _ => None,
    };
    let values = settings_file::Values {
        sandbox_root: answers.sandbox_root.clone(),
        base_url: answers.base_url.clone(),
        model: answers.model.clone(),
        key_env: server
            .key_variable
            .clone()
            .filter(|name| name != "ONEAPI_API_KEY" && name != "ANTHROPIC_API_KEY"),
        key_file,
        agent: answers.agent.clone(),
    };
    let mut changes = Vec::new();
    if answers.store_secret {
        let key = answers.secret.as_ref().map(|key| format!("{}\n", key.expose()));
        changes.push(Change::of_secret(&files.key, key)?);
    }
    changes.push(Change::of(&files.settings, |old| settings_file::merge(old, &values).map(Some))?);
    let mut notes = Vec::new();
    changes.push(Change::of(&files.codex, |old| {
        let merged = codex::merge(old.unwrap_or_default(), &server)?;
        notes.extend(merged.notes);
        Ok(Some(merged.text))
    })?);
    notes.extend(shadowed(&shown, &values));
    finish(&args, &changes, &consent(&answers), &notes)
}

/// The settings' layers. A file that is named and not there yet is one to be made.
fn sources(args: &Args) -> (Overrides, Env) {
    let mut overrides = args.settings.clone().overrides();
    overrides.config = overrides.config.filter(|path| path.exists());
    let env = Env::of_this_process();
    let absent = |name: &str, value: &str| name == "CODEX_WORKER_CONFIG" && !Path::new(value).exists();
    let env = env.iter().filter(|(name, value)| !absent(name, value)).collect();
    (overrides, env)
}

/// Codex hands on HOME and little else: another place of the state has to be said.
fn own_home(config: &Config) -> bool {
    config.cli.home.is_some()
        || ["CODEX_WORKER_HOME", "XDG_STATE_HOME"].iter().any(|name| config.env.get(name).is_some())
}

/// The files that setup touches.
#[derive(Debug)]
struct Files {
    settings: PathBuf,
    codex: PathBuf,
    key: PathBuf,
}

impl Files {
    fn of(args: &Args, config: &Config) -> Result<Files> {
        let named = args.settings.clone().overrides().config;
        let named = named.or_else(|| Env::of_this_process().get("CODEX_WORKER_CONFIG").map(PathBuf::from));
        let settings = match named.or_else(|| config.config_file.clone()) {
            Some(file) => file,
            None => config.new_config_file(),
        };
        let codex = match &args.codex_config {
            Some(file) => std::path::absolute(file).unwrap_or_else(|_| file.clone()),
            None => codex_file(&config.env)?,
        };
        Ok(Files { settings, codex, key: config.home.join("gateway.key") })
    }
}

/// Codex's configuration.
pub(crate) fn codex_file(env: &Env) -> Result<PathBuf> {
    let dir = env
        .get("CODEX_HOME")
        .map(PathBuf::from)
        .or_else(|| env.get("HOME").map(|home| Path::new(home).join(".codex")))
        .ok_or_else(|| {
            Error::new(Kind::Environment, "there is no home directory")
                .hint("name the file with --codex-config")
        })?;
    Ok(dir.join("config.toml"))
}

/// Every answer, tested.
fn answer(known: &Known<'_>, overrides: &Overrides, env: &Env) -> Result<Answers> {
    let sandbox_root = known.sandbox_root()?;
    let agent = known.agent()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Environment, error.to_string()))?;
    let mut before: Option<(String, String)> = None;
    loop {
        let base_url = known.base_url(before.as_ref().map(|(url, _)| url.as_str()))?;
        let (key, secret, store_secret) = known.key(&base_url)?;
        let mut answers = Answers {
            sandbox_root: sandbox_root.clone(),
            base_url,
            model: String::new(),
            key,
            secret,
            store_secret,
            agent: agent.clone(),
            approve_apply: false,
        };
        let tested = test(
            known,
            &mut answers,
            before.as_ref().map(|(_, model)| model.as_str()),
            |answers| answers.config(overrides, env),
            &runtime,
        );
        match tested {
            Err(error) if known.ask && error.kind == Kind::Gateway => {
                eprintln!("  {}", error.to_string().replace('\n', "\n  "));
                if known.again()? {
                    before = Some((answers.base_url, answers.model));
                    continue;
                }
                if answers.model.is_empty() {
                    answers.model = known.model(&[], Some(""))?;
                }
            }
            Err(error) => {
                return Err(error.hint("nothing was written; --no-test writes the answers untested"));
            }
            Ok(()) => {}
        }
        answers.approve_apply = known.approve_apply()?;
        return Ok(answers);
    }
}

/// Reaches the address, asks for the model's name and lets the model call a tool.
fn test(
    known: &Known<'_>,
    answers: &mut Answers,
    before: Option<&str>,
    config: impl Fn(&Answers) -> Result<Config>,
    runtime: &tokio::runtime::Runtime,
) -> Result<()> {
    if known.args.no_test {
        answers.model = known.model(&[], before)?;
        return Ok(());
    }
    let offered = runtime.block_on(adapter::probe::models(&config(answers)?))?;
    answers.model = known.model(&offered, before)?;
    if let KeySource::Variable(name) = &answers.key
        && answers.secret.is_none()
    {
        let unset = format!("{name} is not set here, so the gateway was not tested");
        if known.ask {
            eprintln!("  {unset}: set it where Codex starts, then run `codex-worker doctor --network`");
            return Ok(());
        }
        return Err(Error::new(Kind::Gateway, unset).hint(format!("set {name}, or give --key file")));
    }
    eprintln!("asking {} for one streamed tool call …", answers.model);
    let config = config(answers)?;
    let redactor = Redactor::new(config.known_secrets.clone(), None);
    let probe = runtime.block_on(adapter::probe::probe(&config)).map_err(|error| {
        let message = redactor.known_secrets_only(&error.message);
        let near = answers::check_model(&answers.model, &offered).err();
        error.hints.iter().cloned().chain(near).fold(Error::new(error.kind, message), Error::hint)
    })?;
    let missing = probe.missing();
    if missing.is_empty() {
        eprintln!("  {} streams, calls tools and counts tokens ({} ms)", probe.model, probe.first_byte_ms);
    }
    for line in &missing {
        eprintln!("  {}: {}", probe.model, redactor.known_secrets_only(line));
    }
    if probe.calls_tools {
        return Ok(());
    }
    Err(Error::new(Kind::Gateway, format!("{} did not call the tool that it was told to call", probe.model))
        .hint("choose a model that can call tools: no agent works without"))
}

/// The environment beats the file: what was answered would not hold here.
fn shadowed(shown: &config::Sources, values: &settings_file::Values) -> Vec<String> {
    let answers = [
        ("sandbox_root", values.sandbox_root.display().to_string()),
        ("gateway.base_url", values.base_url.clone()),
        ("gateway.model", values.model.clone()),
    ];
    let clash = |key: &str, answer: &str| {
        let row = shown.iter().find(|row| row.key == key)?;
        let config::Source::Environment(name) = &row.source else { return None };
        (row.value.as_deref() != Some(answer)).then(|| {
            format!("{name} is set in this environment and beats the file here; Codex does not hand it on")
        })
    };
    answers.iter().filter_map(|(key, answer)| clash(key, answer)).collect()
}

/// What Codex is asked to allow, and why.
fn consent(answers: &Answers) -> String {
    let root = answers.sandbox_root.display();
    let mut text = format!(
        "Codex will call these without asking you:\n\
         \x20 start   runs the agent and your checks, contained, below {root} and nowhere else\n\
         \x20 cancel  ends what `start` began\n"
    );
    text += if answers.approve_apply {
        "  apply   brings a job's result into your checkout (you allowed it)\n"
    } else {
        "and asks you before `apply`, which writes into your checkout (--approve-apply allows it).\n"
    };
    text += "The reading tools (wait, get, tail, artifact, analyze) need no consent.\n";
    text
}

/// What `--remove` does.
fn undo(files: &Files) -> Result<Vec<Change>> {
    let codex = Change::of(&files.codex, |old| match old {
        None => Ok(None),
        // A file of nothing else was made by setup.
        Some(old) => Ok(Some(codex::remove(old)?).filter(|text| !text.trim().is_empty())),
    })?;
    let settings = Change::of(&files.settings, |old| {
        Ok(old.map(str::to_owned).filter(|text| !settings_file::is_ours(text)))
    })?;
    let key = Change::of_secret(&files.key, None)?;
    Ok(vec![codex, settings, key])
}

/// Shows or writes, and says what comes next.
fn finish(args: &Args, changes: &[Change], consent: &str, notes: &[String]) -> Result<()> {
    let needed: Vec<&Change> = changes.iter().filter(|change| change.is_needed()).collect();
    let mut text = String::new();
    if args.dry_run {
        for change in &needed {
            text += &change.difference();
        }
    } else {
        for change in &needed {
            let kept = change.apply()?;
            let kept = kept.map(|kept| format!(" (the old one is {})", kept.display())).unwrap_or_default();
            let verb = if change.path().exists() { "wrote" } else { "deleted" };
            let _ = writeln!(text, "{verb} {}{kept}", change.path().display());
        }
    }
    if needed.is_empty() {
        text += "nothing to change\n";
    }
    for note in notes {
        let _ = writeln!(text, "note: {note}");
    }
    if !args.remove {
        let _ = write!(text, "\n{consent}");
    }
    if args.remove && !args.dry_run {
        text += "The state directory stays: jobs and their artifacts are yours to delete.\n";
    } else if !args.dry_run {
        text += "\nNext: restart Codex, then ask it to use the worker. `codex-worker doctor` looks at all of it.\n";
    }
    print(&text)
}
