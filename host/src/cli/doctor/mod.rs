//! `codex-worker doctor`: what this machine and this configuration can do, as a table or
//! JSON. Changes nothing but for a probe file in the state directory, unless `--fix` is given.

mod codex;
mod gateway;
mod state;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde::Serialize;

use super::print;
use super::settings::SettingsArgs;
use config::Config;
use model::error::{Error, Kind, Result};
use policy::{Origin, PolicySet, Settings};
use redact::Redactor;

/// Check this machine: git, the agent, the gateway, Codex, the directories, containment.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Also let the model stream one small tool call.
    #[arg(long)]
    network: bool,
    /// Mend what can be mended without asking: permissions, jobs of dead workers, jobs that
    /// wait for a worker, disk use above the limit.
    #[arg(long)]
    fix: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warning,
    Failed,
}

#[derive(Debug, Serialize)]
struct Row {
    what: String,
    state: State,
    seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
    /// `--fix` mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<Fix>,
}

/// What `--fix` can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Fix {
    /// Take the state directory from other users.
    Permissions,
    /// End the jobs of dead workers as `interrupted`.
    DeadWorkers,
    /// Start a worker for the jobs that wait.
    Worker,
    /// Delete the oldest ended jobs above the limit.
    Disk,
}

impl Row {
    fn ok(what: &str, seen: impl Into<String>) -> Row {
        Row { what: what.to_owned(), state: State::Ok, seen: seen.into(), todo: None, fix: None }
    }

    fn warning(what: &str, seen: impl Into<String>, todo: impl Into<String>) -> Row {
        Row {
            what: what.to_owned(),
            state: State::Warning,
            seen: seen.into(),
            todo: Some(todo.into()),
            fix: None,
        }
    }

    fn failed(what: &str, seen: impl Into<String>, todo: impl Into<String>) -> Row {
        Row {
            what: what.to_owned(),
            state: State::Failed,
            seen: seen.into(),
            todo: Some(todo.into()),
            fix: None,
        }
    }

    fn mended_by(mut self, fix: Fix) -> Row {
        self.fix = Some(fix);
        if let Some(todo) = &mut self.todo {
            *todo += "; `codex-worker doctor --fix` does it";
        }
        self
    }
}

/// Prints the table; exit code 6 when something fails that jobs need.
pub fn run(args: Args) -> Result<()> {
    let config = args.settings.load()?;
    let mut rows = look(&config, args.network);
    let mut done = Vec::new();
    if args.fix {
        for fix in rows.iter().filter_map(|row| row.fix) {
            done.push(state::mend(&config, fix)?);
        }
        if !done.is_empty() {
            rows = look(&config, args.network);
        }
    }
    let redactor = Redactor::new(config.known_secrets.clone(), None);
    for row in &mut rows {
        row.seen = redactor.known_secrets_only(&row.seen);
    }
    let failed = rows.iter().filter(|row| row.state == State::Failed).count();
    let text = if args.json {
        json(&rows, &done)?
    } else {
        table(&rows) + &done.iter().map(|line| format!("mended: {line}\n")).collect::<String>()
    };
    print(&text)?;
    if failed == 0 {
        return Ok(());
    }
    Err(Error::new(Kind::Environment, format!("{failed} of {} checks failed", rows.len()))
        .hint("do what is said beside each"))
}

fn look(config: &Config, network: bool) -> Vec<Row> {
    let mut rows = vec![
        Row::ok(
            "settings",
            config.config_file.as_deref().map_or("no file".to_owned(), |file| file.display().to_string()),
        ),
        git(),
        programs(config),
        agent_row(config),
        gateway::row(config),
        sandbox(config),
    ];
    rows.extend(state::rows(config));
    rows.extend(codex::rows(config));
    rows.extend(user());
    rows.extend(policies(config));
    rows.extend(containment());
    if network {
        rows.extend(gateway::ask(config));
    }
    rows
}

fn git() -> Row {
    let version = |git: &Path| {
        let output = Command::new(git).arg("--version").output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match contain::find_on_path("git").and_then(|git| Some((version(&git)?, git))) {
        Some((version, git)) => Row::ok("git", format!("{version}, {}", git.display())),
        None => Row::warning("git", "not found on PATH", "install git: agents and checks expect it"),
    }
}

/// Where the host looks for programs, and where it does not although `PATH` says so.
fn programs(config: &Config) -> Row {
    let path = config.env.get("PATH").unwrap_or_default();
    let (trusted, left_out) = config::handover::trusted_path(path, config.sandbox_root.as_deref());
    let shown = |dirs: &[std::path::PathBuf]| {
        let dirs: Vec<String> = dirs
            .iter()
            .map(|dir| if dir.as_os_str().is_empty() { "(empty)".into() } else { dir.display().to_string() })
            .collect();
        dirs.join(", ")
    };
    if trusted.is_empty() {
        return Row::warning(
            "programs",
            "PATH has no absolute directory",
            "set PATH to where git and bwrap are",
        );
    }
    if left_out.is_empty() {
        return Row::ok("programs", format!("looked for in {}", shown(&trusted)));
    }
    // Jobs still have them: they are no fault.
    Row::ok(
        "programs",
        format!(
            "looked for in {}; for the host's own not in {}: relative, or where jobs write",
            shown(&trusted),
            shown(&left_out)
        ),
    )
}

fn user() -> Option<Row> {
    #[cfg(unix)]
    if rustix::process::geteuid().is_root() {
        return Some(Row::warning(
            "user",
            "root: what gets out of a containment is root, and so is what it leaves in your directories",
            "run codex-worker as a user of its own, without other rights than its repositories",
        ));
    }
    None
}

fn agent_row(config: &Config) -> Row {
    let name = match agent::for_config(config) {
        Ok(agent) => agent.name(),
        Err(error) => return Row::failed("agent", error.message, error.hints.join("; ")),
    };
    let version = name.strip_prefix("claude-code ");
    match version.and_then(agent::claude::untested) {
        Some(how) => Row::warning(
            "agent",
            format!("{name}, {how} than {}, with which codex-worker is tested", agent::claude::TESTED),
            format!("npm install -g @anthropic-ai/claude-code@{}", agent::claude::TESTED),
        ),
        None => Row::ok("agent", name),
    }
}

fn sandbox(config: &Config) -> Row {
    match &config.sandbox_root {
        None => Row::failed(
            "SANDBOX_ROOT",
            "not set",
            "`codex-worker setup`, or set SANDBOX_ROOT to the directory that holds your repositories",
        ),
        Some(root) if !root.is_dir() => Row::failed(
            "SANDBOX_ROOT",
            format!("{} is no directory", root.display()),
            "name an existing directory",
        ),
        Some(root) if root.parent().is_none() => {
            Row::warning("SANDBOX_ROOT", "/", "name a smaller directory: jobs may work anywhere now")
        }
        Some(root) => Row::ok("SANDBOX_ROOT", root.display().to_string()),
    }
}

fn policies(config: &Config) -> Vec<Row> {
    let set = Arc::new(PolicySet::load(&Settings::from_config(config)));
    let mut rows: Vec<Row> = set
        .broken()
        .iter()
        .map(|broken| {
            let (seen, todo) = match &broken.origin {
                Origin::File(path) => (
                    format!("{}: {}", path.display(), broken.reason),
                    "repair or remove the file; jobs are denied while it is there",
                ),
                Origin::Shipped => {
                    (format!("{}: {}", broken.label, broken.reason), "install codex-worker again")
                }
            };
            Row::failed("policy", seen, todo)
        })
        .collect();
    rows.extend(set.unknown_tables().iter().map(|name| {
        let what = format!("[plugins.{name}] in the configuration belongs to no policy");
        Row::warning("policy", what, "correct the name; `codex-worker plugin list` shows them")
    }));
    let names = set.names();
    if names.is_empty() {
        rows.push(Row::failed(
            "policies",
            "none",
            "install codex-worker again: its own policies are missing",
        ));
    } else {
        rows.push(Row::ok("policies", names.join(", ")));
    }
    rows
}

fn containment() -> Vec<Row> {
    let probe = contain::probe();
    let word = match probe.strength {
        contain::Strength::Bubblewrap => Row::ok("containment", "bubblewrap"),
        contain::Strength::Landlock => {
            Row::warning("containment", "Landlock", "install bubblewrap for a namespace of its own")
        }
        contain::Strength::ProcessGroup => Row::warning(
            "containment",
            "process groups only: files are checked after the fact",
            "install bubblewrap",
        ),
    };
    let limits = if probe.network_limited {
        Row::ok("network", "connections are limited to the adapter")
    } else {
        Row::warning(
            "network",
            "connections cannot be limited here",
            "needs Landlock with network rules (Linux 6.7)",
        )
    };
    let mut rows = vec![word, limits];
    rows.extend(probe.findings.iter().map(|finding| Row {
        what: format!("  {}", finding.name),
        state: if finding.works { State::Ok } else { State::Warning },
        seen: format!("{}: {}", if finding.works { "works" } else { "does not work" }, finding.detail),
        todo: finding.hint.clone(),
        fix: None,
    }));
    rows
}

fn json(rows: &[Row], done: &[String]) -> Result<String> {
    let ok = rows.iter().all(|row| row.state != State::Failed);
    let value = serde_json::json!({"ok": ok, "checks": rows, "mended": done});
    let text = serde_json::to_string_pretty(&value)
        .map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    Ok(text + "\n")
}

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.what.len()).max().unwrap_or(0);
    let mut text = String::new();
    for row in rows {
        let mark = match row.state {
            State::Ok => "ok     ",
            State::Warning => "warning",
            State::Failed => "FAILED ",
        };
        text += &format!("{mark}  {:width$}  {}\n", row.what, row.seen);
        if let Some(todo) = &row.todo {
            text += &format!("{:7}  {:width$}  -> {todo}\n", "", "");
        }
    }
    text
}
