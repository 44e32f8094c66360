//! `plugin install` and `plugin remove`: a policy into the plugins directory and out of it,
//! checked and locked on the way.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::list::relock;
use super::one::Which;
use crate::cli::print;
use crate::cli::settings::SettingsArgs;
use config::Config;
use model::error::{Error, Kind, Result};
use policy::conformance;
use policy::lock::{FILE, Lock, Mode};
use policy::{record, shipped};

/// A download is not larger than what the host loads.
const MAX: usize = 64 << 20;
const TIMEOUT: Duration = Duration::from_secs(60);

/// Check a component, copy it into the plugins directory and lock it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component: a file, or an https:// URL.
    #[arg(value_name = "FILE|URL")]
    source: String,
    /// Refuse it unless its SHA-256 is this.
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// Whether its verdict counts.
    #[arg(long, value_enum, default_value = "enforce")]
    mode: Mode,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Take a policy out of the plugins directory and out of the lock.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// The policy's name, as `plugin list` shows it.
    name: String,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Installs.
pub fn run(args: Args) -> Result<()> {
    let config = args.settings.clone().peek()?;
    let (bytes, file) = fetched(&args.source)?;
    let digest = record::digest(&bytes);
    if let Some(expected) = &args.sha256
        && !expected.eq_ignore_ascii_case(&digest)
    {
        return Err(Error::new(
            Kind::Refused,
            format!("{} has the SHA-256 {digest}, and not {expected}", args.source),
        )
        .hint("ask its author which one is right; nothing was installed"));
    }
    let name = checked(&args, &bytes, file.as_deref())?;
    let target = config.plugins_dir.join(format!("{name}.wasm"));
    let before = jobfs::own::read(&target).ok();
    let changes = placed(&config, &target, &bytes, &name, args.mode).inspect_err(|_| {
        // As it was: a policy that cannot be locked would deny every job.
        let _ = match &before {
            Some(old) => std::fs::write(&target, old),
            None => std::fs::remove_file(&target),
        };
    })?;
    if args.json {
        let value = serde_json::json!({
            "name": name, "file": target, "digest": digest, "mode": args.mode, "changes": changes,
        });
        return print(&format!("{value}\n"));
    }
    let effect = match args.mode {
        Mode::Enforce => "it judges every job that begins from now on",
        Mode::Shadow => "it is asked from the next job on, and decides nothing (shadow)",
        Mode::Off => "it is locked as off: nobody asks it",
    };
    let unchanged = if changes.is_empty() { " (it was there already)" } else { "" };
    print(&format!(
        "{name} is installed{unchanged}: {}\nsha256 {digest}, pinned in {FILE}\n{effect}; a job that runs keeps the policies that it began with\n",
        target.display()
    ))
}

/// Its name, when the host would take it.
fn checked(args: &Args, bytes: &[u8], file: Option<&Path>) -> Result<String> {
    // What was downloaded is checked as a file too: there is one way to load a policy.
    let kept = match file {
        Some(_) => None,
        None => Some(temporary(bytes)?),
    };
    let path = file.or(kept.as_ref().map(tempfile::NamedTempFile::path)).unwrap_or(Path::new(""));
    let which = Which { file: path.to_owned(), plugin_config: None, settings: args.settings.clone() };
    let prepared = which.prepare()?;
    let examples = prepared.examples().map_err(|refusal| super::refused(path, &refusal))?;
    prepared.prove().map_err(|refusal| super::refused(path, &refusal))?;
    let name = prepared.about.name.clone();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        return Err(Error::new(Kind::Plugin, format!("its name {name:?} is no file name"))
            .hint("let `about` give a name of letters, digits, - and _"));
    }
    // A policy that needs a configuration cannot be tried without: its properties are tried then.
    if let Ok(plugin) = which.configure(prepared) {
        let broken = conformance::try_all(&plugin, &examples).into_iter().find_map(|tried| {
            let how = tried.broken.as_ref()?;
            Some(format!("{name} breaks {}: {}; {how}", tried.interface, tried.property))
        });
        if let Some(broken) = broken {
            return Err(Error::new(Kind::Plugin, redact::sanitize::line(&broken, 2_000))
                .hint("`codex-worker plugin check` shows all of it; nothing was installed"));
        }
    }
    Ok(name)
}

fn temporary(bytes: &[u8]) -> Result<tempfile::NamedTempFile> {
    let write = || -> std::io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::Builder::new().suffix(".wasm").tempfile()?;
        file.write_all(bytes)?;
        Ok(file)
    };
    write()
        .map_err(|error| Error::new(Kind::Environment, format!("no temporary file could be made: {error}")))
}

/// Copies it and locks; gives what changed in the lock.
fn placed(config: &Config, target: &Path, bytes: &[u8], name: &str, mode: Mode) -> Result<Vec<String>> {
    let failed = |error: std::io::Error| {
        Error::new(Kind::Environment, format!("cannot write {}: {error}", target.display()))
            .hint("let this user write the plugins directory, or set CODEX_WORKER_PLUGINS to another")
    };
    let write = || -> std::io::Result<()> {
        job::paths::create_private(&config.plugins_dir)?;
        let mut staged = tempfile::NamedTempFile::new_in(&config.plugins_dir)?;
        staged.write_all(bytes)?;
        staged.as_file().sync_all()?;
        staged.persist(target)?;
        Ok(())
    };
    write().map_err(failed)?;
    let file = target.file_name().map(|file| file.to_string_lossy().into_owned());
    let wanted = |lock: &mut Lock| {
        for entry in &mut lock.plugins {
            if entry.name == name && entry.file == file {
                entry.mode = mode;
            }
        }
    };
    relock(config, wanted).map(|(_, _, changes)| changes)
}

/// The bytes, and the file that they are where they come from one.
fn fetched(source: &str) -> Result<(Vec<u8>, Option<PathBuf>)> {
    let url = url::Url::parse(source).ok().filter(|url| url.has_host());
    let Some(url) = url else {
        let path = PathBuf::from(source);
        let bytes = policy::plugin::read_file(&path).map_err(|refusal| super::refused(&path, &refusal))?;
        return Ok((bytes, Some(path)));
    };
    let secure = url.scheme() == "https";
    let own = config::Endpoint { base_url: source.to_owned(), api_key: None }.is_loopback();
    let own_plain = own && url.scheme() == "http";
    if !(secure || own_plain) {
        return Err(Error::new(
            Kind::Refused,
            format!("{source} is not fetched: anybody on the way could change it"),
        )
        .hint("give an https:// URL, or download it and give the file"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Environment, error.to_string()))?;
    runtime.block_on(download(url)).map(|bytes| (bytes, None))
}

async fn download(url: url::Url) -> Result<Vec<u8>> {
    let shown = url.to_string();
    let failed = |why: String| {
        Error::new(Kind::Environment, format!("{shown} could not be fetched: {why}"))
            .hint("look at the address; a file works too: `codex-worker plugin install FILE`")
    };
    let why = |error: reqwest::Error| failed(redact::sanitize::line(&error.without_url().to_string(), 300));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .https_only(url.scheme() == "https")
        .build()
        .map_err(why)?;
    let mut response = client.get(url).send().await.map_err(why)?.error_for_status().map_err(why)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(why)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX {
            return Err(failed(format!("it is larger than {} MiB", MAX >> 20)));
        }
    }
    Ok(bytes)
}

/// Removes.
pub fn remove(args: RemoveArgs) -> Result<()> {
    let config = args.settings.peek()?;
    let lock = Lock::read(&config.plugins_dir)
        .map_err(|error| {
            Error::new(Kind::Config, error).hint("repair that line, or delete the file and lock anew")
        })?
        .unwrap_or_default();
    let listed =
        lock.plugins.iter().find(|entry| entry.name == args.name).and_then(|entry| entry.file.clone());
    let file = listed.unwrap_or_else(|| format!("{}.wasm", args.name));
    let path = config.plugins_dir.join(&file);
    // A name is one file of that directory and nothing else.
    let inside = Path::new(&file).components().count() == 1;
    if !inside || std::fs::symlink_metadata(&path).is_err() {
        let ours = shipped::COMPONENTS.iter().any(|(name, _)| *name == args.name);
        let error = Error::new(Kind::NotFound, format!("no policy {:?} is installed", args.name));
        return Err(match ours {
            true => {
                error.hint(format!("it is shipped; switch it off: [plugins.{}] mode = \"off\"", args.name))
            }
            false => error.hint("`codex-worker plugin list` shows what is"),
        });
    }
    std::fs::remove_file(&path).map_err(|error| {
        Error::new(Kind::Environment, format!("cannot delete {}: {error}", path.display()))
    })?;
    let (_, _, changes) = relock(&config, |_| {})?;
    if args.json {
        return print(&format!(
            "{}\n",
            serde_json::json!({"name": args.name, "file": path, "changes": changes})
        ));
    }
    print(&format!(
        "{} is removed: {}\njobs that begin from now on are judged without it\n",
        args.name,
        path.display()
    ))
}
