//! `codex-worker setup`: the shipped Codex configuration with this machine's own values
//! filled in, printed or merged into Codex's file.

use std::path::{Path, PathBuf};

use super::config::print;
use super::settings::SettingsArgs;
use config::{Config, Env};
use model::error::{Error, Kind, Result};

const SHIPPED: &str = include_str!("../../../codex-mcp.example.toml");

/// Print what goes into Codex's configuration, or put it there.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Add it to Codex's configuration; a copy of the old file is kept beside it.
    #[arg(long)]
    write: bool,
    /// Codex's configuration (else config.toml in CODEX_HOME or ~/.codex).
    #[arg(long, value_name = "FILE")]
    codex_config: Option<PathBuf>,
}

/// Prints or writes.
pub fn run(args: Args) -> Result<()> {
    let config = args.settings.load()?;
    let program = std::env::current_exe().map_err(|error| {
        Error::new(Kind::Environment, format!("cannot find this program's own file: {error}"))
    })?;
    let ours = filled_in(&config, &program);
    if !args.write {
        return print(&ours);
    }
    let file = match args.codex_config {
        Some(file) => file,
        None => codex_file(&config.env)?,
    };
    let old = match jobfs::own::read_to_string(&file) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(Error::new(Kind::Environment, format!("failed to read {}: {error}", file.display())));
        }
    };
    let new = merged(&old, &ours)?;
    write(&file, &old, &new).map_err(|error| {
        Error::new(Kind::Environment, format!("failed to write {}: {error}", file.display()))
    })?;
    eprintln!("added to {}; look for EDIT in it", file.display());
    Ok(())
}

fn codex_file(env: &Env) -> Result<PathBuf> {
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

/// The shipped file with what is known put in place of its examples. Keys stay in the
/// environment.
fn filled_in(config: &Config, program: &Path) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let known = [
        ("command = ", Some(program.display().to_string())),
        ("SANDBOX_ROOT = ", config.sandbox_root.as_ref().map(|root| root.display().to_string())),
        ("ONEAPI_BASE_URL = ", config.gateway.primary.as_ref().map(|gateway| gateway.base_url.clone())),
        ("CLAUDE_MODEL = ", config.gateway.model.clone()),
    ];
    let mut text = String::new();
    for line in SHIPPED.lines() {
        let value = known.iter().find(|(start, _)| line.starts_with(start));
        match value {
            Some((start, Some(value))) => text += &format!("{start}{}\n", quoted(value)),
            _ => text += &format!("{line}\n"),
        }
    }
    text
}

/// `old` with `ours` behind it. TOML allows each table once: what is there already is not
/// touched, but said.
fn merged(old: &str, ours: &str) -> Result<String> {
    let table: toml::Table = old.parse().map_err(|error: toml::de::Error| {
        Error::new(Kind::Config, format!("Codex's configuration is not valid TOML: {}", error.message()))
            .hint("repair it first; nothing was written")
    })?;
    let known = table.get("mcp_servers").and_then(|servers| servers.get("worker")).is_some();
    if known {
        return Err(Error::new(Kind::Refused, "Codex's configuration has [mcp_servers.worker] already")
            .hint("compare it with what `codex-worker setup` prints; nothing was written"));
    }
    let text = if table.contains_key("features") {
        // The table cannot be opened twice; its line stays as a comment to be moved.
        let mut kept = String::new();
        let mut inside = false;
        for line in ours.lines() {
            if line.starts_with('[') {
                inside = line == "[features]";
            }
            let comment = inside && !line.is_empty() && !line.starts_with('#');
            kept += &if comment {
                format!("# EDIT: move to your [features]: {line}\n")
            } else {
                format!("{line}\n")
            };
        }
        kept
    } else {
        ours.to_owned()
    };
    let gap = if old.is_empty() || old.ends_with("\n\n") { "" } else { "\n" };
    let new = format!("{old}{gap}{text}");
    new.parse::<toml::Table>().map_err(|error| {
        Error::new(
            Kind::Internal,
            format!("the merged configuration would not be valid: {}", error.message()),
        )
        .hint("add what `codex-worker setup` prints by hand; nothing was written")
    })?;
    Ok(new)
}

fn write(file: &Path, old: &str, new: &str) -> std::io::Result<()> {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir)?;
    }
    if !old.is_empty() {
        std::fs::copy(file, file.with_extension("toml.before-codex-worker"))?;
    }
    job::artifacts::write_whole(file, new.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> String {
        let mut config = Config::for_tests(Path::new("/srv/state"));
        config.sandbox_root = Some("/srv/code \"x\"".into());
        config.gateway.model = Some("m".to_owned());
        filled_in(&config, Path::new("/opt/codex-worker"))
    }

    #[test]
    fn values_are_filled_in() {
        let table: toml::Table = ours().parse().expect("valid TOML");
        let worker = &table["mcp_servers"]["worker"];
        assert_eq!(worker["command"].as_str(), Some("/opt/codex-worker"));
        assert_eq!(worker["env"]["SANDBOX_ROOT"].as_str(), Some("/srv/code \"x\""));
        assert_eq!(worker["env"]["CLAUDE_MODEL"].as_str(), Some("m"));
        assert!(worker["env"]["ONEAPI_BASE_URL"].as_str().is_some_and(|url| url.contains("example")));
        assert!(worker["env"].get("ONEAPI_API_KEY").is_none(), "keys stay in the environment");
    }

    #[test]
    fn a_configuration_is_kept_and_added_to() {
        let old = "model = \"gpt\" # mine\n[mcp_servers.other]\ncommand = \"x\"\n";
        let new = merged(old, &ours()).expect("it merges");
        assert!(new.starts_with(old));
        let table: toml::Table = new.parse().expect("valid TOML");
        assert!(table["mcp_servers"].get("worker").is_some() && table["mcp_servers"].get("other").is_some());

        let new = merged("[features]\nweb = true\n", &ours()).expect("it merges");
        assert!(new.contains("# EDIT: move to your [features]: code_mode"), "{new}");

        for (old, expected) in
            [(new.as_str(), "has [mcp_servers.worker] already"), ("a = ", "not valid TOML")]
        {
            let error = merged(old, &ours()).expect_err("it is refused").to_string();
            assert!(error.contains(expected) && error.contains("nothing was written"), "{error}");
        }
    }
}
