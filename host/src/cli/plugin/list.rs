//! `plugin list` and `plugin lock`: what is in force, and pinning it.

use std::fmt::Write;

use crate::cli::policy::last_errors;
use crate::cli::print;
use crate::cli::settings::SettingsArgs;
use crate::error::{Error, Kind, Result};
use crate::policy::lock::{Entry, FILE, Lock, Mode};
use crate::policy::plugin::Origin;
use crate::policy::{PolicySet, Settings};

/// Show the policies in force, in order, and the refused ones.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Write plugins.lock: the files that are there now, in this order.
#[derive(Debug, clap::Args)]
pub struct LockArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// Lists.
pub fn run(args: Args) -> Result<()> {
    let config = args.settings.load()?;
    let set = PolicySet::load(&Settings::from_config(&config));
    let errors = last_errors(&config.home)?;
    if args.json {
        let active: Vec<_> = set
            .plugins()
            .iter()
            .map(|plugin| {
                serde_json::json!({
                    "name": plugin.id.name, "version": plugin.id.version, "summary": plugin.summary,
                    "origin": plugin.origin.to_string(), "digest": plugin.id.digest,
                    "interfaces": plugin.id.interfaces, "mode": plugin.id.mode, "limits": plugin.limits,
                    "config_digest": plugin.config_digest,
                    "last_error": errors.get(&plugin.id.digest)
                        .map(|(job, error)| serde_json::json!({"job_id": job, "error": error})),
                })
            })
            .collect();
        let broken: Vec<_> = set
            .broken()
            .iter()
            .map(|b| {
                serde_json::json!({
                    "label": b.label, "origin": b.origin.to_string(), "interfaces": b.interfaces, "reason": b.reason,
                })
            })
            .collect();
        let unused: Vec<_> = set
            .unused()
            .iter()
            .map(
                |u| serde_json::json!({"label": u.label, "origin": u.origin.to_string(), "reason": u.reason}),
            )
            .collect();
        let value = serde_json::json!({
            "plugins_dir": config.plugins_dir, "active": active, "refused": broken, "unused": unused,
        });
        return print(&format!("{value}\n"));
    }
    let mut text = format!("plugins directory: {}\n", config.plugins_dir.display());
    for (at, plugin) in set.plugins().iter().enumerate() {
        let interfaces: Vec<_> = plugin.id.interfaces.iter().map(|i| i.name()).collect();
        let limits = plugin.limits;
        let _ = writeln!(
            text,
            "{:>2}. {}  {}  {}  ({})\n    {}\n    sha256 {}  limits {} ms, {} MiB memory, {} MiB transfer, {} KiB log",
            at + 1,
            plugin.label(),
            interfaces.join("+"),
            plugin.id.mode,
            plugin.origin,
            plugin.summary,
            plugin.id.digest,
            limits.deadline_ms,
            limits.memory_bytes >> 20,
            limits.transfer_bytes >> 20,
            limits.log_bytes >> 10,
        );
        if let Some((job, error)) = errors.get(&plugin.id.digest) {
            let _ = writeln!(text, "    last error: {error} (job {job})");
        }
    }
    for unused in set.unused() {
        let _ = writeln!(text, " -  {}  not used: {} ({})", unused.label, unused.reason, unused.origin);
    }
    for broken in set.broken() {
        let effect = match &broken.interfaces {
            None => "jobs are denied until it is repaired, removed or switched off",
            Some(list) if list.iter().any(|i| i.may_deny()) => {
                "jobs are denied until it is repaired, removed or switched off"
            }
            Some(list) if list.contains(&crate::policy::inspect::Interface::Redaction) => {
                "all text is withheld until it is repaired, removed or switched off"
            }
            Some(_) => "jobs go on without it",
        };
        let _ = writeln!(
            text,
            " !  {}  REFUSED ({}): {}\n    {effect}",
            broken.label, broken.origin, broken.reason
        );
    }
    print(&text)
}

/// Writes the lock.
pub fn lock(args: LockArgs) -> Result<()> {
    let config = args.settings.load()?;
    // Loaded as if there were no lock, else a changed file could never be locked again.
    let mut settings = Settings::from_config(&config);
    settings.ignore_lock = true;
    let set = PolicySet::load(&settings);
    if let Some(broken) = set.broken().first() {
        return Err(Error::new(
            Kind::Plugin,
            format!("{} ({}) is refused: {}", broken.label, broken.origin, broken.reason),
        )
        .hint("repair it, remove it, or switch it off: [plugins.<name>] mode = \"off\""));
    }
    let old =
        Lock::read(&config.plugins_dir).map_err(|error| Error::new(Kind::Config, error))?.unwrap_or_default();
    let name_of = |origin: &Origin| match origin {
        Origin::Shipped => None,
        Origin::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
    };
    let mut plugins: Vec<Entry> = set
        .plugins()
        .iter()
        .map(|plugin| {
            let file = name_of(&plugin.origin);
            let before = old.plugins.iter().find(|entry| entry.name == plugin.id.name && entry.file == file);
            Entry {
                name: plugin.id.name.clone(),
                sha256: file.as_ref().map(|_| plugin.id.digest.clone()),
                file,
                interfaces: plugin.id.interfaces.clone(),
                mode: before.map_or(plugin.id.mode, |entry| entry.mode),
            }
        })
        .collect();
    // What was off stays in the lock as off; the order of before is kept, the new come last.
    plugins.extend(old.plugins.iter().filter(|entry| entry.mode == Mode::Off).cloned());
    plugins.dedup_by(|a, b| a.name == b.name && a.file == b.file);
    let position = |entry: &Entry| {
        old.plugins.iter().position(|o| o.name == entry.name && o.file == entry.file).unwrap_or(usize::MAX)
    };
    plugins.sort_by_key(position);
    let lock = Lock { version: 1, plugins };
    let text = lock.to_text().map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    let path = config.plugins_dir.join(FILE);
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(&config.plugins_dir)?;
        let staged = path.with_extension("lock.new");
        std::fs::write(&staged, &text)?;
        std::fs::rename(&staged, &path)
    };
    write().map_err(|error| {
        Error::new(Kind::Environment, format!("cannot write {}: {error}", path.display()))
    })?;
    if args.json {
        return print(&format!("{}\n", serde_json::json!({"file": path, "plugins": lock.plugins})));
    }
    print(&format!("{}: {} policies\n{text}", path.display(), lock.plugins.len()))
}
