//! `plugin list` and `plugin lock`: what is in force, and pinning it.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::cli::policy::last_errors;
use crate::cli::print;
use crate::cli::settings::SettingsArgs;
use config::Config;
use model::error::{Error, Kind, Result};
use policy::inspect::Interface;
use policy::lock::{Entry, FILE, Lock, Mode};
use policy::plugin::{Origin, read_file};
use policy::record::digest;
use policy::{PolicySet, Settings};

/// Show the policies in force, in order, and the refused ones.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Write plugins.lock: the files that are there now, in this order.
#[derive(Debug, clap::Args)]
pub struct LockArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists.
pub fn run(args: Args) -> Result<()> {
    let config = args.settings.peek()?;
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
                    "replaces": plugin.replaces, "config_digest": plugin.config_digest,
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
            "unknown_tables": set.unknown_tables(),
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
        let _ = writeln!(
            text,
            " !  {}  REFUSED ({}): {}\n    {}",
            broken.label,
            broken.origin,
            broken.reason,
            effect(broken.interfaces.as_deref())
        );
    }
    for table in set.unknown_tables() {
        let _ = writeln!(text, " ?  [plugins.{table}] in the configuration belongs to no policy");
    }
    print(&text)
}

/// What a refused file does to jobs.
fn effect(interfaces: Option<&[Interface]>) -> &'static str {
    match interfaces {
        Some(list) if !list.iter().any(|interface| interface.may_deny()) => {
            match list.contains(&Interface::Redaction) {
                true => "all text is withheld until it is repaired, removed or switched off",
                false => "jobs go on without it",
            }
        }
        _ => "jobs are denied until it is repaired, removed or switched off",
    }
}

/// Writes the lock.
pub fn lock(args: LockArgs) -> Result<()> {
    let config = args.settings.peek()?;
    let (path, lock, changes) = relock(&config, |_| {})?;
    if args.json {
        let value = serde_json::json!({"file": path, "plugins": lock.plugins, "changes": changes});
        return print(&format!("{value}\n"));
    }
    let changes = match changes.as_slice() {
        [] => "unchanged\n".to_owned(),
        some => some.iter().map(|change| format!("{change}\n")).collect(),
    };
    print(&format!("{changes}{}: {} policies\n{}", path.display(), lock.plugins.len(), lock.to_text()))
}

/// Locks what is there, after `edit`; gives the file, the lock and a line for each difference.
pub fn relock(config: &Config, edit: impl FnOnce(&mut Lock)) -> Result<(PathBuf, Lock, Vec<String>)> {
    let mut settings = Settings::from_config(config);
    // Order and mode of the lock that there is, but not its digests: else a changed file
    // could never be locked again.
    settings.relock = true;
    let old = Lock::read(&config.plugins_dir)
        .map_err(|error| {
            Error::new(Kind::Config, error).hint("repair that line, or delete the file and lock anew")
        })?
        .unwrap_or_default();
    let set = PolicySet::load(&settings);
    if let Some(broken) = set.broken().first() {
        return Err(Error::new(
            Kind::Plugin,
            format!("{} ({}) is refused: {}", broken.label, broken.origin, broken.reason),
        )
        .hint("repair it, remove it, or switch it off: [plugins.<name>] mode = \"off\""));
    }
    let mut lock = Lock { version: 1, plugins: entries(&set, &old, &config.plugins_dir)? };
    edit(&mut lock);
    let path = config.plugins_dir.join(FILE);
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(&config.plugins_dir)?;
        let staged = path.with_extension("lock.new");
        std::fs::write(&staged, lock.to_text())?;
        std::fs::rename(&staged, &path)
    };
    write().map_err(|error| {
        Error::new(Kind::Environment, format!("cannot write {}: {error}", path.display()))
    })?;
    let changes = changes(&old, &lock);
    Ok((path, lock, changes))
}

/// What is there now, in the order of the old lock; the new come last. What is off stays in
/// the lock as off while its file is there.
fn entries(set: &PolicySet, old: &Lock, directory: &Path) -> Result<Vec<Entry>> {
    let file_of = |origin: &Origin| match origin {
        Origin::Shipped => None,
        Origin::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
    };
    let before =
        |name: &str, file: &Option<String>| old.plugins.iter().find(|e| e.name == name && e.file == *file);
    let mut plugins: Vec<Entry> = set
        .plugins()
        .iter()
        .map(|plugin| {
            let file = file_of(&plugin.origin);
            Entry {
                name: plugin.id.name.clone(),
                sha256: file.as_ref().map(|_| plugin.id.digest.clone()),
                interfaces: plugin.id.interfaces.clone(),
                mode: before(&plugin.id.name, &file).map_or(plugin.id.mode, |entry| entry.mode),
                file,
            }
        })
        .collect();
    for entry in old.plugins.iter().filter(|entry| entry.mode == Mode::Off) {
        let path = entry.file.as_ref().map(|file| directory.join(file));
        if path.as_ref().is_some_and(|path| !path.exists()) {
            continue;
        }
        let bytes = path.map(|path| read_file(&path)).transpose();
        let bytes = bytes
            .map_err(|refusal| Error::new(Kind::Plugin, format!("{} is refused: {refusal}", entry.name)))?;
        plugins.push(Entry { sha256: bytes.map(digest), ..entry.clone() });
    }
    let position = |entry: &Entry| {
        old.plugins.iter().position(|o| o.name == entry.name && o.file == entry.file).unwrap_or(usize::MAX)
    };
    plugins.sort_by_key(position);
    Ok(plugins)
}

/// One line for each difference between two locks.
fn changes(old: &Lock, new: &Lock) -> Vec<String> {
    let same = |a: &Entry, b: &Entry| a.name == b.name && a.file == b.file;
    let short =
        |entry: &Entry| entry.sha256.as_deref().map_or("shipped", |sha| &sha[..12.min(sha.len())]).to_owned();
    let mut changes = Vec::new();
    for entry in &new.plugins {
        match old.plugins.iter().find(|other| same(other, entry)) {
            None => changes.push(format!("added    {} ({}, {})", entry.name, short(entry), entry.mode)),
            Some(before) if before.sha256 != entry.sha256 => {
                changes.push(format!("changed  {} ({} to {})", entry.name, short(before), short(entry)));
            }
            Some(_) => {}
        }
    }
    let gone = old.plugins.iter().filter(|entry| !new.plugins.iter().any(|other| same(other, entry)));
    changes.extend(gone.map(|entry| format!("removed  {} ({})", entry.name, short(entry))));
    changes
}
