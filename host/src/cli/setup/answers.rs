//! What `setup` needs to know: from the options, from what is configured already, and from
//! questions where a terminal is there to ask.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use dialoguer::{Confirm, Input, Password, Select};

use super::Args;
use config::{AgentKind, Config, Endpoint, Env, Overrides, Secret, Source, Sources};
use model::error::{Error, Kind, Result};

/// Longer lists of models are not offered one by one.
const OFFERED: usize = 60;

/// Where the gateway's key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A variable of the environment in which Codex starts.
    Variable(String),
    /// A file of mode 0600; without a path it is made in the state directory.
    File(Option<PathBuf>),
    /// The settings file, as somebody wrote it there.
    Settings,
    /// The gateway wants none.
    None,
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        match text.split_once(':') {
            None if text == "env" => Ok(KeySource::Variable("ONEAPI_API_KEY".to_owned())),
            None if text == "file" => Ok(KeySource::File(None)),
            None if text == "none" => Ok(KeySource::None),
            Some(("env", name)) if word(name) => Ok(KeySource::Variable(name.to_owned())),
            Some(("file", path)) if Path::new(path).is_absolute() => {
                Ok(KeySource::File(Some(PathBuf::from(path))))
            }
            _ => {
                Err("use env, env:NAME, file, file:/PATH or none; a key itself is never an argument"
                    .to_owned())
            }
        }
    }
}

/// All answers.
#[derive(Clone, Debug)]
pub struct Answers {
    pub sandbox_root: PathBuf,
    pub base_url: String,
    pub model: String,
    pub key: KeySource,
    /// The key, where it is known here: for the test.
    pub secret: Option<Secret>,
    /// It was typed, or came on standard input, and is to be stored.
    pub store_secret: bool,
    /// None leaves the configured one.
    pub agent: Option<String>,
    pub approve_apply: bool,
}

impl Answers {
    /// The settings as they would be.
    pub fn config(&self, overrides: &Overrides, env: &Env) -> Result<Config> {
        let mut overrides = overrides.clone();
        let mut set = |key: &str, value: String| overrides.set.insert(key.to_owned(), value);
        set("sandbox_root", self.sandbox_root.display().to_string());
        set("gateway.base_url", self.base_url.clone());
        if !self.model.is_empty() {
            set("gateway.model", self.model.clone());
        }
        if let Some(agent) = &self.agent {
            set("agent.kind", agent.clone());
        }
        let (mut config, _) = Config::load_from(overrides, env.clone())?;
        if let Some(primary) = &mut config.gateway.primary {
            primary.api_key.clone_from(&self.secret);
        }
        config
            .known_secrets
            .extend(self.secret.iter().map(|key| ("gateway.api_key".to_owned(), key.clone())));
        Ok(config)
    }
}

/// Whether somebody is there to ask.
pub fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// What is known before a question is asked.
pub struct Known<'a> {
    pub args: &'a Args,
    pub config: &'a Config,
    pub sources: &'a Sources,
    /// Questions may be asked.
    pub ask: bool,
}

fn asked<T>(answer: dialoguer::Result<T>) -> Result<T> {
    answer.map_err(|error| {
        Error::new(Kind::Usage, format!("the question was not answered: {error}"))
            .hint("nothing was written; `codex-worker setup --help` lists the options that answer it")
    })
}

fn missing(what: &str, option: &str) -> Error {
    Error::new(Kind::Usage, format!("{what} is not known, and there is no terminal to ask in"))
        .hint(format!("give {option}; nothing was written"))
}

/// The directory that holds the user's repositories, links followed.
pub fn check_root(path: &Path) -> Result<PathBuf> {
    let wrong = |why: &str| {
        Error::new(Kind::Usage, format!("the sandbox root {} {why}", path.display()))
            .hint("name the directory that holds your repositories, such as ~/src")
    };
    if !path.is_absolute() {
        return Err(wrong("is not an absolute path"));
    }
    let real = path.canonicalize().map_err(|error| wrong(&format!("cannot be used: {error}")))?;
    if !real.is_dir() {
        return Err(wrong("is no directory"));
    }
    if real.parent().is_none() {
        return Err(wrong("is the whole machine: jobs could work anywhere"));
    }
    Ok(real)
}

impl Known<'_> {
    fn tilde(&self, text: &str) -> PathBuf {
        match (text.strip_prefix("~/"), self.config.env.get("HOME")) {
            (Some(rest), Some(home)) => Path::new(home).join(rest),
            _ => PathBuf::from(text),
        }
    }

    /// The directory below which jobs work.
    pub fn sandbox_root(&self) -> Result<PathBuf> {
        let given = self.args.sandbox_root.clone();
        if let Some(path) = given.or_else(|| self.config.sandbox_root.clone().filter(|_| !self.ask)) {
            // A path of the command line is relative to where the user is.
            return check_root(&std::path::absolute(&path).unwrap_or(path));
        }
        if !self.ask {
            return Err(missing("the sandbox root", "--sandbox-root DIR"));
        }
        let default = self.config.sandbox_root.clone().or_else(|| {
            let home = Path::new(self.config.env.get("HOME")?);
            ["src", "code", "projects", "dev", "work"]
                .iter()
                .map(|name| home.join(name))
                .find(|dir| dir.is_dir())
        });
        let mut question = Input::<String>::new()
            .with_prompt("Directory that holds your repositories (jobs work only below it)")
            .validate_with(|text: &String| {
                check_root(&self.tilde(text)).map(drop).map_err(|error| error.message)
            });
        if let Some(default) = default {
            question = question.default(default.display().to_string());
        }
        check_root(&self.tilde(&asked(question.interact_text())?))
    }

    /// The gateway's address.
    pub fn base_url(&self, before: Option<&str>) -> Result<String> {
        let configured = self.config.gateway.primary.as_ref().map(|primary| primary.base_url.clone());
        let known = before.map(str::to_owned).or(configured);
        if before.is_none()
            && let Some(url) = self.args.gateway.clone().or_else(|| known.clone().filter(|_| !self.ask))
        {
            return check_url(&url);
        }
        if !self.ask {
            return Err(missing("the gateway", "--gateway URL"));
        }
        let mut question = Input::<String>::new()
            .with_prompt("Address of the model gateway, such as https://api.deepseek.com/v1 or http://localhost:11434/v1")
            .validate_with(|text: &String| check_url(text).map(drop).map_err(|error| error.message));
        if let Some(known) = known {
            question = question.default(known);
        }
        check_url(&asked(question.interact_text())?)
    }

    /// Where the key comes from, the key where it is known here, and whether to store it.
    pub fn key(&self, base_url: &str) -> Result<(KeySource, Option<Secret>, bool)> {
        let source = match &self.args.key {
            Some(source) => source.clone(),
            None if self.ask => self.ask_key(base_url)?,
            None => self.configured_key(base_url).ok_or_else(|| {
                missing(
                    "where the gateway's key comes from",
                    "--key env, --key env:NAME, --key file or --key none",
                )
            })?,
        };
        let (secret, store) = match &source {
            KeySource::Variable(name) => {
                (self.config.env.get(name).map(|key| Secret::new(key.trim())), false)
            }
            KeySource::File(None) => (Some(self.typed_key()?), true),
            KeySource::File(Some(path)) => {
                let file = path.display().to_string();
                let overrides = Overrides {
                    set: [("gateway.api_key_file".to_owned(), file)].into(),
                    home: Some(self.config.home.clone()),
                    ..Overrides::default()
                };
                let given = [("ONEAPI_BASE_URL", base_url)].into_iter().collect();
                let (config, _) = Config::load_from(overrides, given)?;
                (config.gateway.primary.and_then(|primary| primary.api_key), false)
            }
            KeySource::Settings => {
                (self.config.gateway.primary.as_ref().and_then(|primary| primary.api_key.clone()), false)
            }
            KeySource::None => (None, false),
        };
        Ok((source, secret, store))
    }

    /// Where it comes from today.
    fn configured_key(&self, base_url: &str) -> Option<KeySource> {
        let shown = self.sources.iter().find(|shown| shown.key == "gateway.api_key")?;
        match (&shown.value, &shown.source) {
            (Some(_), Source::Environment(name)) => Some(KeySource::Variable(name.clone())),
            (Some(_), Source::File(path)) if Some(path) == self.config.key_file.as_ref() => {
                Some(KeySource::File(Some(path.clone())))
            }
            (Some(_), Source::File(_)) => Some(KeySource::Settings),
            _ => {
                let endpoint = Endpoint { base_url: base_url.to_owned(), api_key: None };
                endpoint.is_loopback().then_some(KeySource::None)
            }
        }
    }

    fn ask_key(&self, base_url: &str) -> Result<KeySource> {
        let configured = self.configured_key(base_url);
        let variable = match &configured {
            Some(KeySource::Variable(name)) => name.clone(),
            _ => "ONEAPI_API_KEY".to_owned(),
        };
        let set = if self.config.env.get(&variable).is_some() { "set here" } else { "not set here" };
        let mut choices = vec![
            (
                KeySource::Variable(variable.clone()),
                format!("the variable {variable} ({set}); nothing is stored"),
            ),
            (KeySource::Variable(String::new()), "another variable".to_owned()),
            (KeySource::File(None), "a file of mode 0600 in the state directory; I type it now".to_owned()),
            (KeySource::None, "the gateway wants no key".to_owned()),
        ];
        if let Some(KeySource::File(Some(path))) = &configured {
            choices.insert(
                0,
                (KeySource::File(Some(path.clone())), format!("the file {}, as now", path.display())),
            );
        }
        if configured == Some(KeySource::Settings) {
            choices.insert(0, (KeySource::Settings, "the settings file, as now".to_owned()));
        }
        let first = configured
            .and_then(|now| choices.iter().position(|(source, _)| *source == now))
            .unwrap_or_default();
        let question = Select::new()
            .with_prompt("Where does the gateway's key come from?")
            .items(choices.iter().map(|(_, text)| text.as_str()))
            .default(first);
        let chosen = asked(question.interact())?;
        if matches!(&choices[chosen].0, KeySource::Variable(name) if name.is_empty()) {
            let name =
                Input::<String>::new().with_prompt("Name of the variable").validate_with(|name: &String| {
                    format!("env:{name}")
                        .parse::<KeySource>()
                        .map(drop)
                        .map_err(|_| "use letters, digits and _")
                });
            return Ok(KeySource::Variable(asked(name.interact_text())?));
        }
        Ok(choices.swap_remove(chosen).0)
    }

    fn typed_key(&self) -> Result<Secret> {
        let text = if is_terminal() {
            asked(Password::new().with_prompt("The gateway's key (it is not shown)").interact())?
        } else {
            let mut text = String::new();
            std::io::stdin().take(64 << 10).read_to_string(&mut text).map_err(|error| {
                Error::new(Kind::Usage, format!("the key could not be read from standard input: {error}"))
            })?;
            text
        };
        match text.trim() {
            "" => Err(missing("the gateway's key", "it on standard input (`--key file <key.txt`)")),
            key if key.contains(char::is_whitespace) => {
                Err(Error::new(Kind::Usage, "the key holds white space").hint("give the key alone"))
            }
            key => Ok(Secret::new(key)),
        }
    }

    /// The model, chosen from `offered` where the gateway lists its models.
    pub fn model(&self, offered: &[String], before: Option<&str>) -> Result<String> {
        let known = before.map(str::to_owned).or_else(|| self.config.gateway.model.clone());
        if before.is_none()
            && let Some(model) = self.args.model.clone().or_else(|| known.clone().filter(|_| !self.ask))
        {
            return Ok(model);
        }
        if !self.ask {
            return Err(missing("the model", "--model NAME"));
        }
        if !offered.is_empty() && offered.len() <= OFFERED {
            let first = known.as_ref().and_then(|known| offered.iter().position(|name| name == known));
            let question = Select::new()
                .with_prompt("Model that works on jobs")
                .items(offered)
                .max_length(12)
                .default(first.unwrap_or_default());
            return Ok(offered[asked(question.interact())?].clone());
        }
        let mut question = Input::<String>::new()
            .with_prompt("The gateway's name of the model that works on jobs")
            .validate_with(|name: &String| check_model(name, offered));
        if let Some(known) = known {
            question = question.default(known);
        }
        asked(question.interact_text())
    }

    /// Which agent works: the built-in one only when somebody says so.
    pub fn agent(&self) -> Result<Option<String>> {
        if let Some(kind) = self.args.agent {
            return Ok(Some(kind.name().to_owned()));
        }
        if self.config.agent.kind != AgentKind::ClaudeCode {
            return Ok(None);
        }
        let Err(error) = agent::claude::Claude::find(&self.config.agent) else { return Ok(None) };
        let yes = self.ask
            && asked(
                Confirm::new()
                    .with_prompt("Claude Code was not found. Use the small built-in agent?")
                    .default(false)
                    .interact(),
            )?;
        if yes {
            Ok(Some("builtin".to_owned()))
        } else {
            Err(error.hint("or give --agent builtin; nothing was written"))
        }
    }

    /// Whether `apply` may write without a question.
    pub fn approve_apply(&self) -> Result<bool> {
        if self.args.approve_apply || !self.ask {
            return Ok(self.args.approve_apply);
        }
        asked(
            Confirm::new()
                .with_prompt(
                    "May Codex bring a job's result into your checkout (`apply`) without asking you?",
                )
                .default(false)
                .interact(),
        )
    }

    /// After a test that failed: other answers (true), or as they are (false).
    pub fn again(&self) -> Result<bool> {
        let choices = ["change the answers", "write them as they are", "stop, and write nothing"];
        let question = Select::new().with_prompt("What now?").items(choices).default(0);
        match asked(question.interact())? {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(Error::new(Kind::Usage, "stopped: nothing was written")),
        }
    }
}

/// Refuses what no gateway address is.
fn check_url(text: &str) -> Result<String> {
    let wrong = |why: &str| {
        Error::new(Kind::Usage, format!("the gateway {text:?} {why}"))
            .hint("give an address such as https://gateway.example/v1")
    };
    let text = text.trim().trim_end_matches('/');
    let url = url::Url::parse(text).map_err(|error| wrong(&format!("is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("does not begin with http:// or https:// and a host"));
    }
    if url.password().is_some() || !url.username().is_empty() {
        return Err(wrong("holds a user or a password: the key has its own place"));
    }
    Ok(text.to_owned())
}

/// Whether the gateway lists the model; any name will do where it lists none.
pub fn check_model(name: &str, offered: &[String]) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("give a name".to_owned());
    }
    if offered.is_empty() || offered.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(match config::nearest(name, offered.iter().map(String::as_str)) {
        Some(near) => format!("the gateway does not list {name}; did you mean {near}?"),
        None => format!("the gateway does not list {name} among its {} models", offered.len()),
    })
}
