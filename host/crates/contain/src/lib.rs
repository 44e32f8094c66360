//! Containment of one process tree: what it may write, read and connect to, and that its
//! death takes every descendant with it.
//!
//! [`run()`] chooses the strongest means that [`probe()`] found, starts the command, hands its
//! output on, and returns when no process of the tree is left. What is Linux-only sits in
//! named modules (`bubblewrap`, `landlock`, `helper`, `tree`); elsewhere `group` remains.
//!
//! Invariant: whatever ends a run (exit, timeout, cancel, a dropped future, the death of
//! the worker), no process of its tree goes on.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::Config;
pub use model::containment::{InForce, Strength};

pub mod bubblewrap;
mod cgroup;
mod channel;
pub mod environment;
pub mod helper;
mod hidden;
mod home;
pub mod landlock;
#[cfg(target_os = "linux")]
mod landlock_linux;
#[cfg(unix)]
#[path = "unix.rs"]
mod os;
mod plan;
mod probe;
pub mod promises;
mod renames;
mod repository;
pub mod rlimits;
mod run;
pub mod seccomp;
mod setuid;
mod spawn;
mod toolchains;
mod tree;
mod view;
mod watch;

pub use os::protect_this_process;
pub use probe::find_on_path;
pub use probe::{Finding, Probe, probe, set_sandbox_root};
pub use renames::Renames;
pub use run::{Options, run, run_streaming, run_with};
pub use tree::{end_of_dead_worker, kill_tagged, unlinked_bytes};

/// The environment variable that carries [`Command::tag`].
pub const TAG_VARIABLE: &str = "CODEX_WORKER_MARK";

/// What a tree may do.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Directories it may write (and everything below them).
    pub writable: Vec<PathBuf>,
    /// Files and directories it may read, besides the system, the user's toolchains, what it
    /// may write and the repositories around that.
    pub readable: Vec<PathBuf>,
    /// Places shown under another name, what is writable in them too. Only bubblewrap can:
    /// see [`can_show`].
    pub binds: Vec<Bind>,
    /// Where that cannot be done: the names that texts are rewritten by.
    pub renames: Renames,
    /// Where jobs may have put links: a writable place that is reached through one is refused.
    pub untrusted: Vec<PathBuf>,
    /// Directories hidden from it, besides the credentials that are always hidden.
    pub hidden: Vec<PathBuf>,
    /// Loopback TCP ports it may connect to; `None` leaves the network alone.
    pub connect_ports: Option<Vec<u16>>,
    /// Bytes of private writable memory of one process; with a control group also of all
    /// memory of the tree.
    pub max_memory: Option<u64>,
    /// Processes of the tree; without a control group and a namespace, of the whole user.
    pub max_processes: Option<u64>,
    /// Bytes of one file.
    pub max_file_size: Option<u64>,
}

impl Limits {
    /// The limits of one process tree of a job, which may write `writable` and connect to
    /// `ports`, or to anything where the network is `open`. The state directory, the settings
    /// (they may hold the gateway's key), the file of that key and the receipts' key are hidden but for what is
    /// named here.
    pub fn of_job(config: &Config, writable: Vec<PathBuf>, ports: Vec<u16>, open: bool) -> Self {
        let settings = &config.containment;
        // What the operator's command line names by an absolute path is the agent's program.
        let command = config.agent.command.iter().flat_map(|line| line.split_whitespace());
        let command = command
            .map(|word| PathBuf::from(word.trim_matches(['"', '\''])))
            .filter(|path| path.is_absolute() && path.is_file());
        Limits {
            writable: writable.into_iter().chain(settings.cache_dirs.iter().cloned()).collect(),
            readable: settings.read_paths.iter().cloned().chain(command).collect(),
            binds: Vec::new(),
            renames: Renames::default(),
            untrusted: config.sandbox_root.iter().cloned().collect(),
            hidden: std::iter::once(&config.home)
                .chain(&config.config_file)
                .chain(&config.receipt_key)
                .chain(&config.key_file)
                .cloned()
                .collect(),
            connect_ports: (!open).then_some(ports),
            max_memory: settings.max_memory,
            max_processes: settings.max_processes,
            max_file_size: settings.max_file_size,
        }
    }

    /// The name under which a contained process knows `path`, which the host knows by its own.
    pub fn inside(&self, path: &Path) -> PathBuf {
        let depth = |bind: &&Bind| bind.source.components().count();
        let bind = self.binds.iter().filter(|bind| path.starts_with(&bind.source)).max_by_key(depth);
        let below = bind.and_then(|bind| Some((bind, path.strip_prefix(&bind.source).ok()?)));
        below.map_or_else(|| path.to_owned(), |(bind, below)| join(&bind.destination, below))
    }
}

/// `dir` itself for an empty `below`: [`Path::join`] would end it with a `/`.
fn join(dir: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() { dir.to_owned() } else { dir.join(below) }
}

/// Refuses where the machine offers less than the configuration requires.
pub fn check_required(config: &Config) -> model::error::Result<()> {
    use model::error::{Error, Kind};
    let required = config.containment.require;
    // Anything will do: no need to try what the machine can.
    if required == Strength::ProcessGroup || strength() <= required {
        return Ok(());
    }
    let offered = strength();
    Err(Error::new(
        Kind::Refused,
        format!("WORKER_REQUIRE_CONTAINMENT is {required}, and this machine offers {offered}"),
    )
    .hint("run `codex-worker doctor` to see what is missing and how to get it")
    .hint("or set WORKER_REQUIRE_CONTAINMENT to what will do"))
}

/// A place shown under another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// What is shown.
    pub source: PathBuf,
    /// Where it is shown, in place of what is there.
    pub destination: PathBuf,
    /// It may be written.
    pub writable: bool,
}

/// Whether something can be shown at `places` in place of what is there: bubblewrap is what
/// is used, and nothing that every run needs (the system, this program, `needed`) is there.
/// Landlock and process groups leave every file at its own name: they can forbid reading the
/// original, not show another in its place.
pub fn can_show(places: &[&Path], needed: &[&Path]) -> bool {
    let home = environment::user_home();
    let needed = needed.iter().copied().chain(helper()).chain(home.as_deref());
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut needed = needed.flat_map(|path| [path.to_owned(), real(path)]).chain(view::system());
    strength() == Strength::Bubblewrap
        && !needed.any(|path| places.iter().any(|place| path.starts_with(place)))
}

/// The absolute places that `PATH` and toolchain variables name: a virtual environment that is
/// active, say. A `bin` brings the directory above it.
pub fn named_places() -> Vec<PathBuf> {
    view::named()
}

/// A command to contain. The environment is exactly `env`.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// The working directory, by the host's own name for it.
    pub cwd: PathBuf,
    /// Written to standard input, which is then closed.
    pub stdin: Vec<u8>,
    /// What it may do.
    pub limits: Limits,
    /// A value unique to the run; stands in the environment as `CODEX_WORKER_MARK`, so that
    /// orphaned processes can be found.
    pub tag: String,
}

/// Where a piece of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a tree ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, if it exited.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// It was ended because the time was up.
    pub timed_out: bool,
    /// It was ended because of a cancel.
    pub cancelled: bool,
    /// How long it ran.
    pub duration: Duration,
}

impl Exit {
    /// It ended by itself with code 0.
    pub fn success(&self) -> bool {
        self.code == Some(0) && !self.timed_out && !self.cancelled
    }
}

/// Why a command could not be started or watched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There was no program to run.
    #[error("start a command: it is empty")]
    Empty,
    /// The program could not be started.
    #[error("start {program}: {source}")]
    Spawn {
        /// The program, or the containment around it.
        program: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The containment could not be set up; the command did not run.
    #[error("set up the containment: {0}")]
    Setup(String),
    /// It did what ends a run at once.
    #[error("the command was ended: {0}")]
    Ended(String),
    /// Waiting for the process failed.
    #[error("wait for the process: {0}")]
    Wait(std::io::Error),
}

impl From<Error> for model::error::Error {
    fn from(error: Error) -> Self {
        use model::error::Kind;
        let kind = match &error {
            Error::Empty => Kind::Usage,
            Error::Spawn { .. } | Error::Setup(_) => Kind::Environment,
            Error::Ended(_) => Kind::Refused,
            Error::Wait(_) => Kind::Internal,
        };
        model::error::Error::new(kind, error.to_string())
            .caused_by(error)
            .hint("run `codex-worker doctor` to see what containment this machine offers")
    }
}

/// The means that [`run()`] will use: the strongest that works here.
pub fn strength() -> Strength {
    probe().strength
}

/// The program that plays the hidden subcommands: this one, unless a test says otherwise.
static HELPER: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();

/// Says where the `codex-worker` program is. The command line's entry does so; a test that
/// uses the library does so with the program that was built for it. The first word counts.
pub fn set_helper(program: PathBuf) {
    let _ = HELPER.set(program);
}

/// The `codex-worker` program, if it is known.
pub fn program() -> Option<&'static Path> {
    HELPER.get().map(PathBuf::as_path)
}

/// The program as a helper. It finds orphaned processes by /proc and adopts them as a
/// subreaper, which only Linux has.
fn helper() -> Option<&'static Path> {
    program().filter(|_| cfg!(target_os = "linux"))
}

/// The result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(set: &[(&str, &str)]) -> Config {
        let env = set.iter().copied().chain([("HOME", "/home/u"), ("CODEX_WORKER_HOME", "/state")]).collect();
        Config::load_from(Default::default(), env).expect("these settings are right").0
    }

    #[test]
    fn limits_from_the_settings() {
        let own = || vec![PathBuf::from("/state/jobs/7/worktree")];
        let plain = Limits::of_job(&config(&[]), own(), vec![4711], false);
        assert_eq!(plain.writable, own());
        assert_eq!(plain.hidden, [PathBuf::from("/state")]);
        assert_eq!(plain.connect_ports, Some(vec![4711]));
        assert_eq!((plain.max_memory, plain.max_processes, plain.max_file_size), (None, Some(8192), None));

        let set = [
            ("WORKER_CACHE_DIRS", "/c/npm,/c/pip"),
            ("WORKER_MAX_MEMORY_MB", "100"),
            ("WORKER_MAX_FILE_MB", "2"),
            ("WORKER_RECEIPT_KEY", "/keys/receipt"),
        ];
        let limits = Limits::of_job(&config(&set), own(), vec![4711], true);
        assert_eq!(limits.hidden, [PathBuf::from("/state"), PathBuf::from("/keys/receipt")]);
        assert_eq!(limits.writable[1..], [PathBuf::from("/c/npm"), PathBuf::from("/c/pip")]);
        assert_eq!(limits.connect_ports, None);
        assert_eq!((limits.max_memory, limits.max_file_size), (Some(100 << 20), Some(2 << 20)));
    }

    #[test]
    fn the_checks_have_their_own_setting_for_the_network() {
        for (set, agent, checks) in [
            (&[][..], false, false),
            (&[("WORKER_NETWORK", "1")], true, true),
            (&[("WORKER_CHECK_NETWORK", "1")], false, true),
            (&[("WORKER_NETWORK", "1"), ("WORKER_CHECK_NETWORK", "0")], true, false),
        ] {
            let config = config(set);
            assert_eq!((config.allow_network, config.check_network), (agent, checks), "{set:?}");
        }
    }

    #[test]
    fn a_weaker_containment_than_required_is_refused() {
        for (required, strongest) in [("bubblewrap", Strength::Bubblewrap), ("landlock", Strength::Landlock)]
        {
            let checked = check_required(&config(&[("WORKER_REQUIRE_CONTAINMENT", required)]));
            assert_eq!(checked.is_ok(), strength() <= strongest, "{required}: {checked:?}");
            if let Err(error) = checked {
                assert!(error.message.starts_with("WORKER_REQUIRE_CONTAINMENT is"), "{error}");
            }
        }
        assert!(check_required(&config(&[])).is_ok());
    }
}
