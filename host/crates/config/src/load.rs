//! From the layers to the values: default < file < environment < command line. Each value
//! keeps the layer that set it, for error texts and for `config show`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::env::Env;
use super::table::{Accepts, SETTINGS, Setting, find, nearest};
use super::{Overrides, Secret};
use model::error::{Error, Kind, Result};

/// The layer that set a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody: it is the default.
    Default,
    /// The settings file.
    File(PathBuf),
    /// The named variable.
    Environment(String),
    /// An option of the command line.
    CommandLine,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Environment(name) => write!(f, "environment {name}"),
            Source::CommandLine => f.write_str("command line"),
        }
    }
}

/// A value that fits its setting.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Path(PathBuf),
    Bool(bool),
    Int(u64),
    Number(f64),
    List(Vec<String>),
}

impl Value {
    /// As `config show` prints it.
    pub(super) fn show(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            Value::Path(path) => path.display().to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Number(number) => number.to_string(),
            Value::List(list) => list.join(", "),
        }
    }
}

/// The merged values of the table, by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(pub(super) BTreeMap<&'static str, (Value, Source)>);

impl Values {
    pub(super) fn text(&self, key: &str) -> Option<String> {
        match &self.0.get(key)?.0 {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn secret(&self, key: &str) -> Option<Secret> {
        self.text(key).map(Secret::new)
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        match &self.0.get(key)?.0 {
            Value::Path(path) => Some(path.clone()),
            _ => None,
        }
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        matches!(self.0.get(key), Some((Value::Bool(true), _)))
    }

    pub(super) fn int(&self, key: &str) -> Option<u64> {
        match self.0.get(key)?.0 {
            Value::Int(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn number(&self, key: &str) -> Option<f64> {
        match self.0.get(key)?.0 {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn list(&self, key: &str) -> Vec<String> {
        match self.0.get(key) {
            Some((Value::List(list), _)) => list.clone(),
            _ => Vec::new(),
        }
    }
}

/// Tables of the file by their name.
pub(super) type NamedTables = BTreeMap<String, serde_json::Value>;

/// What the file holds besides the table.
#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    /// `[plugins.<name>]`: each plugin's own configuration.
    pub(super) plugins: NamedTables,
    /// `[profiles.<name>]`: merged over the adapter's gateway profiles, which check them.
    pub(super) profiles: NamedTables,
}

/// Merges the layers.
pub(super) fn merge(cli: &Overrides, env: &Env, file: Option<(&Path, &str)>) -> Result<(Values, Tables)> {
    let home = env.get("HOME").map(PathBuf::from);
    let mut values = Values::default();
    let mut tables = Tables::default();
    for setting in SETTINGS {
        if let Some(text) = setting.default {
            values.0.insert(setting.key, (from_text(setting, text, None, "the default")?, Source::Default));
        }
    }
    if let Some((path, text)) = file {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            Error::new(Kind::Config, format!("{} is not valid TOML: {}", path.display(), error.message()))
                .hint(position(text, error.span()))
        })?;
        let mut flat = Vec::new();
        for (key, value) in table {
            match value {
                toml::Value::Table(inner) if key == "plugins" || key == "profiles" => {
                    let named = if key == "plugins" { &mut tables.plugins } else { &mut tables.profiles };
                    for (name, config) in inner {
                        let json = serde_json::to_value(config).map_err(|error| {
                            Error::new(Kind::Config, format!("[{key}.{name}]: {error}")).caused_by(error)
                        })?;
                        named.insert(name, json);
                    }
                }
                toml::Value::Table(inner) => {
                    flat.extend(inner.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
                }
                value => flat.push((key, value)),
            }
        }
        for (key, value) in flat {
            let setting = find(&key).ok_or_else(|| unknown(&key, &path.display().to_string()))?;
            let value = from_toml(setting, &value, home.as_deref(), path)?;
            values.0.insert(setting.key, (value, Source::File(path.to_owned())));
        }
    }
    for setting in SETTINGS {
        if let Some((name, text)) = setting.env.iter().find_map(|name| Some((*name, env.get(name)?))) {
            let value = from_text(setting, text, home.as_deref(), name)?;
            values.0.insert(setting.key, (value, Source::Environment(name.to_owned())));
        }
    }
    for (key, text) in &cli.set {
        let setting = find(key).ok_or_else(|| unknown(key, "--set"))?;
        let value = from_text(setting, text, home.as_deref(), &format!("--set {key}"))?;
        values.0.insert(setting.key, (value, Source::CommandLine));
    }
    Ok((values, tables))
}

fn unknown(key: &str, location: &str) -> Error {
    let error = Error::new(Kind::Config, format!("unknown setting {key} in {location}"));
    match nearest(key, SETTINGS.iter().map(|setting| setting.key)) {
        Some(known) => error.hint(format!("did you mean {known}?")),
        None => error.hint("`codex-worker config show` lists every setting"),
    }
}

/// `line 3, column 7` of an offset in the file.
fn position(text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let before = &text[..span.map_or(0, |span| span.start).min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("look at line {line}, column {column}")
}

fn bad(setting: &Setting, location: &str, seen: &str) -> Error {
    let seen = if setting.secret { "***".to_owned() } else { format!("{seen:?}") };
    Error::new(Kind::Config, format!("{location} is {seen}, which is not {}", setting.accepts))
        .hint(format!("{location}: {}", setting.doc))
}

/// Parses a value of the environment or the command line.
fn from_text(setting: &Setting, text: &str, home: Option<&Path>, location: &str) -> Result<Value> {
    let text = text.trim();
    let wrong = || bad(setting, location, text);
    Ok(match setting.accepts {
        Accepts::Text => Value::Text(text.to_owned()),
        Accepts::OneOf(words) => {
            let word = words.iter().find(|word| **word == text).ok_or_else(|| {
                let error = wrong();
                match nearest(text, words.iter().copied()) {
                    Some(word) => error.hint(format!("did you mean {word}?")),
                    None => error,
                }
            })?;
            Value::Text((*word).to_owned())
        }
        Accepts::Url => {
            let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
            if rest.is_none_or(|rest| {
                rest.is_empty() || rest.starts_with('/') || rest.contains(char::is_whitespace)
            }) {
                return Err(wrong());
            }
            Value::Text(text.trim_end_matches('/').to_owned())
        }
        Accepts::Path => Value::Path(absolute(text, home).ok_or_else(wrong)?),
        Accepts::Bool => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Value::Bool(true),
            "0" | "false" | "no" | "off" => Value::Bool(false),
            _ => return Err(wrong()),
        },
        Accepts::Int(min, max) => match text.parse() {
            Ok(number) if (min..=max).contains(&number) => Value::Int(number),
            _ => return Err(wrong()),
        },
        Accepts::Number => match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Value::Number(number),
            _ => return Err(wrong()),
        },
        Accepts::List(max) | Accepts::Paths(max) => {
            let list: Vec<String> =
                text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
            list_of(setting, list, max, home).ok_or_else(wrong)?
        }
    })
}

/// The list, if it is short enough and each item fits.
fn list_of(setting: &Setting, list: Vec<String>, max: usize, home: Option<&Path>) -> Option<Value> {
    if list.len() > max {
        return None;
    }
    if !matches!(setting.accepts, Accepts::Paths(_)) {
        return Some(Value::List(list));
    }
    let paths: Option<Vec<String>> =
        list.iter().map(|item| absolute(item, home)?.into_os_string().into_string().ok()).collect();
    paths.map(Value::List)
}

/// The path, with `~/` at its start resolved; none unless it is absolute.
fn absolute(text: &str, home: Option<&Path>) -> Option<PathBuf> {
    let path = match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    };
    path.is_absolute().then_some(path)
}

/// Parses a value of the file: the TOML type must fit, then the same rules hold.
fn from_toml(setting: &Setting, value: &toml::Value, home: Option<&Path>, file: &Path) -> Result<Value> {
    let location = format!("{} in {}", setting.key, file.display());
    let text = match (setting.accepts, value) {
        (Accepts::Bool, toml::Value::Boolean(flag)) => flag.to_string(),
        (Accepts::Int(..) | Accepts::Number, toml::Value::Integer(number)) => number.to_string(),
        (Accepts::Number, toml::Value::Float(number)) => number.to_string(),
        (Accepts::List(max) | Accepts::Paths(max), toml::Value::Array(items)) => {
            let texts: Option<Vec<String>> =
                items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
            return texts
                .and_then(|list| list_of(setting, list, max, home))
                .ok_or_else(|| bad(setting, &location, &value.to_string()));
        }
        (Accepts::Text | Accepts::Url | Accepts::Path | Accepts::OneOf(_), toml::Value::String(text)) => {
            text.clone()
        }
        _ => return Err(bad(setting, &location, &value.to_string())),
    };
    from_text(setting, &text, home, &location)
}
