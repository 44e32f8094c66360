//! From a plugins directory, its lock, the operator's settings and the shipped policies to
//! the plugins of one job. One bad file never stops the others.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::engine::{self, Runtime};
use super::inspect::{self, Interface, Refusal};
use super::lock::{self, Entry, Lock, Mode};
use super::plugin::{Origin, Plugin, Prepared, Table, read_file};
use super::record;
use super::shipped;
use config::{Config, Tier};
use serde_json::Value;

/// Shipped policies whose configuration has the key `tier`.
const BY_TIER: &[&str] = &["integrity"];

/// What decides which policies are in force.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The directory of dropped-in components and `plugins.lock`; none for the shipped policies alone.
    pub plugins_dir: Option<PathBuf>,
    /// Where compiled code is kept; none to compile at every load.
    pub cache_dir: Option<PathBuf>,
    /// The `[plugins.<name>]` tables.
    pub tables: BTreeMap<String, Value>,
    /// Leave the shipped policies out (tests, `plugin check`).
    pub without_shipped: bool,
    /// The tier of the job that the policies judge. Policies that the host ships take it from
    /// their configuration; the operator's own setting goes before it.
    pub tier: Option<Tier>,
    /// Take the files as they are: the lock decides order and mode, not which bytes
    /// (`plugin lock`).
    pub relock: bool,
}

impl Settings {
    /// The settings of this process.
    pub fn from_config(config: &Config) -> Self {
        Settings {
            plugins_dir: Some(config.plugins_dir.clone()),
            cache_dir: Some(config.home.join("cache").join("policies")),
            tables: config.plugin_config.clone(),
            without_shipped: false,
            tier: None,
            relock: false,
        }
    }

    /// The table of a policy. A shipped one that judges by the tier learns the job's.
    fn table(&self, name: &str, stem: &str, origin: &Origin) -> Option<Value> {
        let mut table = self.tables.get(name).or_else(|| self.tables.get(stem)).cloned();
        if let Some(tier) = self.tier
            && *origin == Origin::Shipped
            && BY_TIER.contains(&name)
            && let Value::Object(own) = table.get_or_insert_with(|| Value::Object(serde_json::Map::new()))
            && let Ok(tier) = serde_json::to_value(tier)
        {
            own.entry("tier").or_insert(tier);
        }
        table
    }

    /// The engine for these settings; one for each cache directory in a process.
    ///
    /// # Errors
    /// The engine's own words.
    pub fn runtime(&self) -> Result<Runtime, String> {
        static RUNTIMES: Mutex<Vec<(Option<PathBuf>, Runtime)>> = Mutex::new(Vec::new());
        let mut runtimes = RUNTIMES.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, runtime)) = runtimes.iter().find(|(cache, _)| *cache == self.cache_dir) {
            return Ok(runtime.clone());
        }
        let runtime = Runtime::new(self.cache_dir.as_deref())?;
        runtimes.push((self.cache_dir.clone(), runtime.clone()));
        Ok(runtime)
    }
}

/// A component that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name if it is known, else the file's.
    pub label: String,
    /// Where it came from.
    pub origin: Origin,
    /// What it would have answered; none if that is not known, so that it counts as one
    /// that may deny.
    pub interfaces: Option<Vec<Interface>>,
    /// Why.
    pub reason: String,
}

/// A component that the operator switched off, or that another one replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// Its name.
    pub label: String,
    /// Where it came from.
    pub origin: Origin,
    /// Why.
    pub reason: String,
}

/// What a load gave.
#[derive(Default)]
pub struct Loaded {
    /// In the order in which they are asked.
    pub plugins: Vec<Plugin>,
    /// Refused.
    pub broken: Vec<Broken>,
    /// Off or replaced.
    pub unused: Vec<Unused>,
    /// Tables `[plugins.<name>]` that belong to no policy: a misspelt one decides nothing.
    pub unknown_tables: Vec<String>,
}

/// A component that may be loaded.
struct Source {
    origin: Origin,
    /// The shipped policy's name, or the file's.
    label: String,
    bytes: Result<Cow<'static, [u8]>, Refusal>,
    entry: Option<Entry>,
}

enum Outcome {
    Plugin(Box<Plugin>),
    Broken(Broken),
    Unused(Unused),
}

/// Loads everything that the settings name.
pub fn load(settings: &Settings) -> Loaded {
    let mut loaded = Loaded::default();
    let whole = |reason: String| Broken {
        label: "plugins".into(),
        origin: Origin::File(settings.plugins_dir.clone().unwrap_or_default()),
        interfaces: None,
        reason,
    };
    let runtime = match settings.runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            loaded.broken.push(whole(error));
            return loaded;
        }
    };
    let lock = match settings.plugins_dir.as_deref().map(Lock::read).transpose() {
        Ok(lock) => lock.flatten(),
        Err(error) => {
            loaded.broken.push(whole(error));
            None
        }
    };
    let mut sources = sources(settings, lock.as_ref(), &mut loaded);
    if let Some(lock) = &lock {
        let position = |source: &Source| {
            source
                .entry
                .as_ref()
                .and_then(|entry| lock.plugins.iter().position(|e| e == entry))
                .unwrap_or(usize::MAX)
        };
        sources.sort_by_key(position);
    }
    // Compiling is what takes long, and it takes both cores when the cache is cold.
    let outcomes: Vec<Outcome> = std::thread::scope(|threads| {
        let started: Vec<_> =
            sources.iter().map(|source| threads.spawn(|| load_one(&runtime, settings, source))).collect();
        let panicked = |source: &Source| {
            Outcome::Broken(Broken {
                label: source.label.clone(),
                origin: source.origin.clone(),
                interfaces: None,
                reason: "the host panicked while loading it".into(),
            })
        };
        started
            .into_iter()
            .zip(&sources)
            .map(|(thread, source)| thread.join().unwrap_or_else(|_| panicked(source)))
            .collect()
    });
    for outcome in outcomes {
        match outcome {
            Outcome::Plugin(plugin) => settle(&mut loaded, *plugin),
            Outcome::Broken(broken) => loaded.broken.push(broken),
            Outcome::Unused(unused) => loaded.unused.push(unused),
        }
    }
    replace_by_kind(&mut loaded);
    loaded.unknown_tables = unknown_tables(settings, &sources, &loaded);
    loaded
}

fn unknown_tables(settings: &Settings, sources: &[Source], loaded: &Loaded) -> Vec<String> {
    let unversioned = |label: &str| label.split('@').next().unwrap_or_default().to_owned();
    let known: BTreeSet<String> = sources
        .iter()
        .map(|source| stem(&source.label).to_owned())
        .chain(loaded.plugins.iter().map(|plugin| plugin.id.name.clone()))
        .chain(loaded.broken.iter().map(|broken| unversioned(&broken.label)))
        .chain(loaded.unused.iter().map(|unused| unversioned(&unused.label)))
        .collect();
    settings.tables.keys().filter(|name| !known.contains(*name)).cloned().collect()
}

fn stem(label: &str) -> &str {
    label.strip_suffix(".wasm").unwrap_or(label)
}

/// Takes out the shipped policies whose kind a plugin that counts says it replaces.
fn replace_by_kind(loaded: &mut Loaded) {
    let by: Vec<(Interface, String)> = loaded
        .plugins
        .iter()
        .filter(|plugin| plugin.id.mode == Mode::Enforce)
        .filter_map(|plugin| Some((plugin.replaces?, plugin.label())))
        .collect();
    for (kind, label) in by {
        let shipped =
            |plugin: &Plugin| plugin.origin == Origin::Shipped && plugin.id.interfaces.contains(&kind);
        for plugin in loaded.plugins.extract_if(.., |plugin| shipped(plugin)) {
            loaded.unused.push(Unused {
                label: plugin.label(),
                origin: plugin.origin.clone(),
                reason: format!("{label} replaces the shipped {kind} policy"),
            });
        }
    }
}

/// Adds a plugin: a dropped-in one replaces the shipped one of its name, and a
/// second one of a name is refused.
fn settle(loaded: &mut Loaded, plugin: Plugin) {
    let Some(at) = loaded.plugins.iter().position(|other| other.id.name == plugin.id.name) else {
        loaded.plugins.push(plugin);
        return;
    };
    let other = &loaded.plugins[at];
    // A candidate in shadow is kept beside the shipped one that it is to replace.
    if (plugin.id.mode == Mode::Shadow) != (other.id.mode == Mode::Shadow) {
        loaded.plugins.push(plugin);
        return;
    }
    match (&other.origin, &plugin.origin) {
        (Origin::Shipped, Origin::File(_)) => {
            let old = std::mem::replace(&mut loaded.plugins[at], plugin);
            loaded.unused.push(replaced(&old, &loaded.plugins[at].origin));
        }
        (Origin::File(_), Origin::Shipped) => {
            let by = other.origin.clone();
            loaded.unused.push(replaced(&plugin, &by));
        }
        _ => {
            let refusal =
                Refusal::DuplicateName { name: plugin.id.name.clone(), other: other.origin.to_string() };
            loaded.broken.push(Broken {
                label: plugin.label(),
                interfaces: Some(plugin.id.interfaces.clone()),
                reason: refusal.to_string(),
                origin: plugin.origin,
            });
        }
    }
}

fn replaced(plugin: &Plugin, by: &Origin) -> Unused {
    Unused { label: plugin.label(), origin: plugin.origin.clone(), reason: format!("replaced by {by}") }
}

fn sources(settings: &Settings, lock: Option<&Lock>, loaded: &mut Loaded) -> Vec<Source> {
    let mut sources = Vec::new();
    if !settings.without_shipped {
        sources.extend(shipped::COMPONENTS.iter().map(|&(name, bytes)| {
            Source {
                origin: Origin::Shipped,
                label: name.to_owned(),
                bytes: Ok(Cow::Borrowed(bytes)),
                entry: lock
                    .and_then(|lock| lock.plugins.iter().find(|e| e.file.is_none() && e.name == name))
                    .cloned(),
            }
        }));
    }
    let Some(directory) = &settings.plugins_dir else { return sources };
    let files = match component_files(directory) {
        Ok(files) => files,
        Err(error) => {
            loaded.broken.push(Broken {
                label: "plugins".into(),
                origin: Origin::File(directory.clone()),
                interfaces: None,
                reason: format!("the plugins directory cannot be read: {error}"),
            });
            Vec::new()
        }
    };
    for file in &files {
        let name = file_name(file);
        let entry = lock.and_then(|lock| lock.file(&name)).cloned();
        let bytes = read_settled(file).map(Cow::Owned);
        let bytes = match (lock.filter(|_| !settings.relock), bytes) {
            (Some(_), Ok(bytes)) => locked(&name, &bytes, entry.as_ref()).map(|()| bytes),
            (_, bytes) => bytes,
        };
        sources.push(Source { origin: Origin::File(file.clone()), label: name, bytes, entry });
    }
    // A policy that the lock names and nobody can find must not be missing without a word.
    for entry in lock.filter(|_| !settings.relock).into_iter().flat_map(|lock| &lock.plugins) {
        let Some(name) = &entry.file else { continue };
        if entry.mode != Mode::Off && !files.iter().any(|file| file_name(file) == *name) {
            sources.push(Source {
                origin: Origin::File(directory.join(name)),
                label: name.clone(),
                bytes: Err(Refusal::Lock(format!("{} names {name}, and there is no such file", lock::FILE))),
                entry: Some(entry.clone()),
            });
        }
    }
    sources
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The `.wasm` files of a directory, in the order of their names.
pub fn component_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Where symlinks of a plugins directory lead: whoever may write there decides what judges.
pub fn linked(directory: &Path) -> Vec<PathBuf> {
    let files = component_files(directory).unwrap_or_default().into_iter();
    let links = files.chain([directory.join(lock::FILE)]).filter(|file| file.is_symlink());
    links.filter_map(|link| std::fs::canonicalize(link).ok()).collect()
}

/// How long a file that is still being copied is waited for.
const SETTLE: Duration = Duration::from_secs(2);

/// Reads a component file. One that ends early and was written to just now is being copied:
/// it is read again until it is whole or has been left alone for [`SETTLE`].
fn read_settled(file: &Path) -> Result<Vec<u8>, Refusal> {
    let begun = Instant::now();
    loop {
        let bytes = read_file(file)?;
        let fresh = || {
            let written = std::fs::metadata(file).and_then(|meta| meta.modified()).ok();
            written.is_some_and(|at| at.elapsed().unwrap_or_default() < SETTLE)
        };
        if inspect::whole(&bytes) || !fresh() || begun.elapsed() > 5 * SETTLE {
            return Ok(bytes);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The lock pins the bytes.
fn locked(file: &str, bytes: &[u8], entry: Option<&Entry>) -> Result<(), Refusal> {
    let digest = record::digest(bytes);
    let pinned = entry.and_then(|entry| entry.sha256.as_deref());
    if pinned == Some(&digest) {
        return Ok(());
    }
    let line = Entry {
        name: entry.map_or(stem(file), |entry| &entry.name).to_owned(),
        file: Some(file.to_owned()),
        sha256: Some(digest.clone()),
        interfaces: inspect::claimed(bytes).unwrap_or_default(),
        mode: entry.map(|entry| entry.mode).unwrap_or_default(),
    };
    let lock = lock::FILE;
    let what = match pinned {
        Some(pinned) => format!("{file} has sha256 {digest}, and {lock} pins {pinned}"),
        None => format!("{file} has sha256 {digest}, and {lock} pins no such file"),
    };
    Err(Refusal::Lock(format!(
        "{what}; if it is meant, run `codex-worker plugin lock` or paste this line into {lock}: {},",
        line.to_line()
    )))
}

fn load_one(runtime: &Runtime, settings: &Settings, source: &Source) -> Outcome {
    let stem = stem(&source.label);
    let unused = |label: &str| {
        Outcome::Unused(Unused {
            label: label.to_owned(),
            origin: source.origin.clone(),
            reason: "switched off".into(),
        })
    };
    let bytes = source.bytes.as_ref().map(AsRef::as_ref);
    let broken = |label: &str, reason: String| {
        let claimed = bytes.as_ref().ok().and_then(|bytes| inspect::claimed(bytes));
        let locked = source.entry.as_ref().map(|e| e.interfaces.clone()).filter(|list| !list.is_empty());
        Outcome::Broken(Broken {
            label: label.to_owned(),
            origin: source.origin.clone(),
            interfaces: claimed.or(locked),
            // Names and messages inside come from the file.
            reason: redact::sanitize::line(&reason, 6_000),
        })
    };
    // A file is off under its own name too, so that a broken one can be switched off.
    let early = Table::parse(stem, settings.tables.get(stem)).ok().and_then(|table| table.mode);
    let locked_mode = source.entry.as_ref().map(|entry| entry.mode);
    if early.or(locked_mode) == Some(Mode::Off) {
        return unused(stem);
    }
    let load = || -> Result<Result<Plugin, String>, (String, Refusal)> {
        let at_stem = |refusal| (stem.to_owned(), refusal);
        let bytes = bytes.as_ref().map_err(|refusal| at_stem((*refusal).clone()))?;
        let digest = record::digest(bytes);
        let prepared = Prepared::new(runtime, bytes, digest).map_err(at_stem)?;
        let name = prepared.about.name.clone();
        let at_name = |refusal| (name.clone(), refusal);
        let table = Table::parse(&name, settings.table(&name, stem, &source.origin).as_ref())
            .map_err(|error| at_name(Refusal::Settings(error)))?;
        let mode = table.mode.or(locked_mode).unwrap_or_default();
        if mode == Mode::Off {
            return Ok(Err(name));
        }
        prove(settings, &prepared).map_err(at_name)?;
        prepared.into_plugin(source.origin.clone(), mode, &table).map(Ok).map_err(at_name)
    };
    match load() {
        Ok(Ok(plugin)) => Outcome::Plugin(Box::new(plugin)),
        Ok(Err(name)) => unused(&name),
        Err((label, refusal)) => broken(&label, refusal.to_string()),
    }
}

/// Runs the component's examples, unless these bytes have passed on this machine with this
/// host before: they are pure functions.
fn prove(settings: &Settings, prepared: &Prepared) -> Result<(), Refusal> {
    let proof = settings.cache_dir.as_ref().map(|cache| {
        // The number grows with what a proof proves; 2: no rule's name is the host's.
        let name = format!("{}-{}-2", prepared.digest, env!("CARGO_PKG_VERSION"));
        cache.join("proofs").join(name)
    });
    if proof.as_ref().is_some_and(|proof| proof.exists()) {
        return Ok(());
    }
    let held = prepared.prove()?;
    if let Some(proof) = proof
        && let Some(directory) = proof.parent()
        && engine::make_private(directory).is_ok()
    {
        // Without the note the examples are only run again.
        let _ = std::fs::write(&proof, format!("{} examples held\n", held));
    }
    Ok(())
}
