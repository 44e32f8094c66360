//! How the environment reaches the processes of the host without being their environment.
//!
//! Whoever started the program put the gateway's key into its environment, where every
//! child inherits it and `/proc/<pid>/environ` shows it. So a process that finds more than
//! an allow-list there executes itself anew with the allow-list alone; all the rest it
//! hands over through a pipe, which is empty once it was read. A worker is started in the
//! same way. Programs that the host starts (git, the agent, bubblewrap) therefore inherit
//! the allow-list, and find other programs in trusted directories only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Env;

/// Names the descriptor from which the environment is read.
pub const VARIABLE: &str = "CODEX_WORKER_ENVIRONMENT_FD";

/// Most bytes of an environment that is handed over.
#[cfg(unix)]
const MAX: usize = 1 << 20;

/// What stays in the environment of the host's processes: none of it is a secret or says
/// which program to run. `LC_*` stays too.
const KEPT: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "COLORTERM",
    "COLUMNS",
    "NO_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "NIX_SSL_CERT_FILE",
    "RUST_LOG",
    "RUST_BACKTRACE",
    // By these a person tells one worker from another.
    "CODEX_WORKER_CONFIG",
    "CODEX_WORKER_HOME",
    "CODEX_WORKER_PLUGINS",
    "SANDBOX_ROOT",
];

/// Proxies stay where they hold no password.
const PROXIES: &[&str] = &["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];

/// Directories for programs when `PATH` names none that can be trusted.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the host's processes have as their environment.
pub fn allowed(env: &Env, sandbox_root: Option<&Path>) -> BTreeMap<String, String> {
    let proxy = |name: &str| PROXIES.contains(&name.to_ascii_uppercase().as_str());
    let mut kept: BTreeMap<String, String> = env
        .iter()
        .filter(|(name, value)| {
            KEPT.contains(name) || name.starts_with("LC_") || proxy(name) && !value.contains('@')
        })
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let (trusted, _) = trusted_path(env.get("PATH").unwrap_or_default(), sandbox_root);
    let joined = std::env::join_paths(&trusted).ok().and_then(|path| path.into_string().ok());
    let path = joined.filter(|path| !path.is_empty()).unwrap_or_else(|| SYSTEM_PATH.to_owned());
    kept.insert("PATH".to_owned(), path);
    kept
}

/// The entries of a `PATH` in which the host looks for programs, and those in which it does
/// not: relative ones (the empty one is the current directory), and what jobs may write.
pub fn trusted_path(path: &str, sandbox_root: Option<&Path>) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let real = sandbox_root.and_then(|root| root.canonicalize().ok());
    // The whole machine as sandbox root leaves nothing that is outside of it.
    let roots: Vec<&Path> =
        sandbox_root.into_iter().chain(real.as_deref()).filter(|root| root.parent().is_some()).collect();
    let inside = |dir: &Path| {
        let resolved = dir.canonicalize();
        roots.iter().any(|root| {
            dir.starts_with(root) || resolved.as_ref().is_ok_and(|resolved| resolved.starts_with(root))
        })
    };
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in std::env::split_paths(path) {
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    entries.into_iter().partition(|dir| dir.is_absolute() && !inside(dir))
}

/// The bytes that stand for an environment.
fn encode<'a>(vars: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in vars {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn decode(bytes: &[u8]) -> Env {
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
        .collect()
}

/// The environment that was handed to this process; none where it was not.
pub(super) fn received() -> Option<Env> {
    #[expect(clippy::disallowed_methods, reason = "the one variable that is no setting")]
    let fd: u32 = std::env::var(VARIABLE).ok()?.parse().ok()?;
    let bytes = std::fs::read(format!("/dev/fd/{fd}")).ok()?;
    Some(decode(&bytes))
}

/// Whether this process's environment is the allow-list already.
#[expect(clippy::disallowed_methods, reason = "the name alone, of what is no setting")]
fn is_handed_over() -> bool {
    std::env::vars_os().any(|(name, _)| name == VARIABLE)
}

/// Starts `command` with the allow-list as its environment, and `vars` handed over on its
/// standard input.
///
/// # Errors
/// What the system says to the start or to the pipe.
pub fn spawn(
    command: &mut std::process::Command,
    vars: &BTreeMap<String, String>,
    sandbox_root: Option<&Path>,
) -> std::io::Result<std::process::Child> {
    let env: Env = vars.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    command.env_clear().envs(allowed(&env, sandbox_root)).env(VARIABLE, "0");
    let mut child = command.stdin(std::process::Stdio::piped()).spawn()?;
    if let Some(mut pipe) = child.stdin.take() {
        std::io::Write::write_all(&mut pipe, &encode(env.iter()))?;
    }
    Ok(child)
}

/// Executes this program anew with the allow-list as its environment, unless it has that.
/// Returns where that is not possible, with the reason.
#[cfg(unix)]
pub fn leave_environment(env: &Env, sandbox_root: Option<&Path>) -> Result<(), std::io::Error> {
    use std::os::fd::AsRawFd;
    use std::os::unix::process::CommandExt;

    if is_handed_over() {
        return Ok(());
    }
    let bytes = encode(env.iter());
    // Nobody reads before the pipe is full, so it has to hold everything.
    let (reader, mut writer) = std::io::pipe()?;
    #[cfg(target_os = "linux")]
    if bytes.len() > 64 << 10 && bytes.len() <= MAX {
        rustix::pipe::fcntl_setpipe_size(&writer, MAX)?;
    }
    rustix::io::ioctl_fionbio(&writer, true)?;
    std::io::Write::write_all(&mut writer, &bytes)?;
    drop(writer);
    rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty())?;
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_default();
    Err(std::process::Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(args)
        .env_clear()
        .envs(allowed(env, sandbox_root))
        .env(VARIABLE, reader.as_raw_fd().to_string())
        .exec())
}

/// As on Unix; elsewhere a process keeps its environment.
#[cfg(not(unix))]
pub fn leave_environment(_env: &Env, _sandbox_root: Option<&Path>) -> Result<(), std::io::Error> {
    let _ = is_handed_over;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Env {
        pairs.iter().copied().collect()
    }

    #[test]
    fn only_the_allow_list_stays() {
        let given = env(&[
            ("HOME", "/home/u"),
            ("PATH", "./node_modules/.bin::/ws/tools:/usr/bin:/usr/bin:bin"),
            ("ONEAPI_API_KEY", "k"),
            ("AWS_SECRET_ACCESS_KEY", "k"),
            ("LD_PRELOAD", "/ws/evil.so"),
            ("GIT_SSH_COMMAND", "x"),
            ("LC_ALL", "C"),
            ("https_proxy", "http://u:p@proxy"),
            ("HTTP_PROXY", "http://proxy"),
        ]);
        let kept = allowed(&given, Some(Path::new("/ws")));
        let flat: Vec<String> = kept.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(flat, ["HOME=/home/u", "HTTP_PROXY=http://proxy", "LC_ALL=C", "PATH=/usr/bin"]);
        // Handed over is all of it.
        assert!(decode(&encode(given.iter())) == given);
    }

    #[test]
    fn where_programs_are_looked_for() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let root = dir.path().canonicalize().expect("resolves");
        std::fs::create_dir_all(root.join("ws/bin")).expect("writable");
        #[cfg(unix)]
        std::os::unix::fs::symlink(root.join("ws/bin"), root.join("link")).expect("writable");
        let ws = root.join("ws");
        let path = |entry: &str| entry.replace("ROOT", &root.display().to_string());
        for (entries, trusted) in [
            ("/usr/bin:/bin", vec!["/usr/bin", "/bin"]),
            (":/bin", vec!["/bin"]),
            (".:./node_modules/.bin:../x:/bin", vec!["/bin"]),
            ("ROOT/ws/bin:/bin", vec!["/bin"]),
            // A link from outside that leads inside.
            ("ROOT/link:/bin", vec!["/bin"]),
            ("ROOT/wsx:/bin", vec!["ROOT/wsx", "/bin"]),
        ] {
            let (found, _) = trusted_path(&path(entries), Some(&ws));
            assert_eq!(
                found,
                trusted.iter().map(|entry| PathBuf::from(path(entry))).collect::<Vec<_>>(),
                "{entries}"
            );
        }
        assert_eq!(trusted_path("/bin", Some(Path::new("/"))).0, [PathBuf::from("/bin")]);
        let none = allowed(&env(&[("PATH", ".:bin")]), None);
        assert_eq!(none.get("PATH").map(String::as_str), Some(SYSTEM_PATH));
    }
}
