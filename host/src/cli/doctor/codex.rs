//! Codex's configuration as found, and what Codex would do on `start`.

use std::path::Path;

use super::Row;
use crate::cli::setup::codex::{Found, find};
use crate::cli::setup::codex_file;
use config::Config;

/// Codex gives up on a call after this many seconds when its configuration does not say.
const DEFAULT_TIMEOUT_S: i64 = 300;

/// The rows.
pub fn rows(config: &Config) -> Vec<Row> {
    let Ok(file) = codex_file(&config.env) else { return Vec::new() };
    let name = file.display().to_string();
    let text = match jobfs::own::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return vec![Row::warning(
                "codex",
                format!("{name} is not there"),
                "`codex-worker setup` makes it",
            )];
        }
        Err(error) => {
            return vec![Row::warning("codex", format!("{name}: {error}"), "let this user read it")];
        }
    };
    match find(&text) {
        Err(error) => {
            vec![Row::failed("codex", format!("{name}: {}", error.message), error.hints.join("; "))]
        }
        Ok(found) if !found.server => {
            vec![Row::warning(
                "codex",
                format!("{name} has no server `worker`"),
                "`codex-worker setup` adds it",
            )]
        }
        Ok(found) => vec![server(&name, &found, config), on_start(&found, config)],
    }
}

/// Whether Codex finds and starts the server.
fn server(name: &str, found: &Found, config: &Config) -> Row {
    let Some(command) = &found.command else {
        return Row::failed(
            "codex",
            format!("{name}: the server `worker` has no command"),
            "`codex-worker setup` writes it",
        );
    };
    if found.disabled {
        return Row::warning(
            "codex",
            format!("{name}: the server `worker` is switched off"),
            "delete `enabled = false` there",
        );
    }
    let path = Path::new(command);
    let there = if path.is_absolute() { path.is_file() } else { contain::find_on_path(command).is_some() };
    if !there {
        return Row::failed(
            "codex",
            format!("{name} starts {command}, which is not there"),
            "`codex-worker setup --yes` writes where this program is",
        );
    }
    let own = std::env::current_exe().ok();
    let same = own.as_deref().is_none_or(|own| {
        !path.is_absolute() || path.canonicalize().ok().as_deref() == own.canonicalize().ok().as_deref()
    });
    if !same {
        return Row::warning(
            "codex",
            format!("{name} starts {command}, which is another program than this one"),
            "`codex-worker setup --yes` writes where this program is",
        );
    }
    let settings = found.env.iter().find(|(key, _)| key == "CODEX_WORKER_CONFIG").map(|(_, value)| value);
    let here = config.config_file.as_ref().map(|file| file.display().to_string());
    match settings {
        Some(settings) if Some(settings) != here.as_ref() => Row::warning(
            "codex",
            format!("{name} lets the server read {settings}, and this is another configuration"),
            format!("look at that one: `codex-worker doctor --config {settings}`"),
        ),
        _ => Row::ok("codex", format!("{name} starts {command}")),
    }
}

/// What happens when the model calls `start`.
fn on_start(found: &Found, config: &Config) -> Row {
    let key = found.env_vars.iter().find(|name| name.ends_with("KEY"));
    let mut said = vec![match found.asks_for_start {
        true => "Codex asks you before each `start` (and refuses it in `codex exec`)".to_owned(),
        false => "Codex runs `start` without asking you".to_owned(),
    }];
    said.extend(key.map(|name| format!("hands on {name}")));
    let timeout = found.tool_timeout_s.unwrap_or(DEFAULT_TIMEOUT_S);
    let configured = found.env.iter().find(|(key, _)| key == "WAIT_DEFAULT_MS");
    let wait_ms = configured
        .and_then(|(_, value)| value.parse::<i64>().ok())
        .or_else(|| i64::try_from(config.wait_default.as_millis()).ok())
        .unwrap_or_default();
    said.push(format!("a `wait` lasts {} s and Codex gives up after {timeout} s", wait_ms / 1000));
    let said = said.join("; ");
    if wait_ms / 1000 >= timeout {
        return Row::warning(
            "  on start",
            said,
            format!("set tool_timeout_sec of the server to more than {}", wait_ms / 1000),
        );
    }
    let unset = key.filter(|name| config.env.get(name).is_none() && config.key_file.is_none());
    match unset {
        Some(name) => Row::warning(
            "  on start",
            said,
            format!("{name} is not set here: set it where Codex starts, or `codex-worker setup --key file`"),
        ),
        None if found.asks_for_start => {
            Row::warning("  on start", said, "`codex-worker setup` asks Codex to allow it")
        }
        None => Row::ok("  on start", said),
    }
}
