//! What every end-to-end test stands on: a small repository, a scripted gateway, the real
//! `codex-worker mcp` spoken to in raw JSON-RPC lines, and the agents that this machine has.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
pub use test_support::mcp::Client;
#[allow(unused_imports, reason = "not every test program looks at replies")]
pub use test_support::mcp::Reply;
use test_support::missing;

/// The binary under test.
pub const BIN: &str = env!("CARGO_BIN_EXE_codex-worker");

/// The gateway key of the tests; it must never be seen anywhere.
pub const GATEWAY_KEY: &str = "scripted-gateway-key-5f1c9a7e2b";

/// An agent that a test can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agent {
    /// Our own loop.
    Builtin,
    /// The Claude Code CLI at this path.
    ClaudeCode(PathBuf),
}

/// The agents of this machine: ours always, Claude Code where it is installed.
pub fn agents() -> Vec<Agent> {
    let mut agents = vec![Agent::Builtin];
    if let Some(path) = cli("CLAUDE_BIN", "claude") {
        agents.push(Agent::ClaudeCode(path));
    }
    agents
}

/// The CLI that `variable` names, else `name` on PATH.
pub fn cli(variable: &str, name: &str) -> Option<PathBuf> {
    let found = std::env::var_os(variable).map(PathBuf::from).or_else(|| {
        std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|dir| dir.join(name))
            .find(|path| path.is_file())
    });
    if found.is_none() {
        missing::tool(&format!("with the real `{name}`: set {variable} or install it"));
    }
    found
}

/// A directory of its own for one test.
pub struct World {
    dir: tempfile::TempDir,
    /// The user's repository; also SANDBOX_ROOT.
    pub repo: PathBuf,
    /// CODEX_WORKER_HOME.
    pub home: PathBuf,
    env: BTreeMap<String, String>,
    gateways: Vec<Child>,
    without_landlock: bool,
}

/// Runs its arguments with Landlock's system calls (444 to 446) refused with ENOSYS, as on a
/// kernel without it.
const NO_LANDLOCK: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
op = lambda code, yes, no, value: struct.pack("HBBI", code, yes, no, value)
text = (op(0x20, 0, 0, 0) + op(0x35, 0, 2, 444) + op(0x35, 1, 0, 447) + op(0x06, 0, 0, 0x50000 | 38)
        + op(0x06, 0, 0, 0x7FFF0000))
buffer = ctypes.create_string_buffer(text, len(text))
class Program(ctypes.Structure): _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(text) // 8, ctypes.cast(buffer, ctypes.c_void_p))
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"#;

impl World {
    /// A repository with these files, committed, and a gateway that plays `scenario`.
    pub fn new(files: &[(&str, &str)], scenario: &Value, agent: &Agent) -> World {
        World::within(tempfile::tempdir().expect("a temporary directory"), files, scenario, agent)
    }

    /// The same outside of `/tmp`, which a containment may replace by its own.
    pub fn outside_tmp(files: &[(&str, &str)], scenario: &Value, agent: &Agent) -> World {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary directory");
        World::within(dir, files, scenario, agent)
    }

    fn within(dir: tempfile::TempDir, files: &[(&str, &str)], scenario: &Value, agent: &Agent) -> World {
        let root = dir.path().canonicalize().expect("its real path");
        let (repo, home) = (root.join("repo"), root.join("home"));
        std::fs::create_dir_all(&repo).expect("the repository's directory");
        for (path, content) in files {
            write(&repo.join(path), content);
        }
        git(&repo, &["init", "-q", "-b", "main"]);
        git(&repo, &["add", "-A"]);
        git(&repo, &["commit", "-q", "-m", "start"]);
        let mut world =
            World { dir, repo, home, env: BTreeMap::new(), gateways: Vec::new(), without_landlock: false };
        world.set("SANDBOX_ROOT", &world.repo.display().to_string());
        world.set("CODEX_WORKER_HOME", &world.home.display().to_string());
        world.set("ONEAPI_API_KEY", GATEWAY_KEY);
        world.set("CLAUDE_MODEL", "scripted-coder");
        match agent {
            Agent::Builtin => world.set("AGENT", "builtin"),
            Agent::ClaudeCode(path) => {
                world.set("AGENT", "claude-code");
                world.set("CLAUDE_BIN", &path.display().to_string());
            }
        }
        let url = world.gateway(scenario);
        world.set("ONEAPI_BASE_URL", &url);
        world
    }

    /// Sets a variable of every process that this world starts from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// Lets the program have no more than this containment: a `PATH` without bubblewrap, and for
    /// process groups a filter that takes Landlock's system calls away.
    #[cfg(target_os = "linux")]
    #[allow(dead_code, reason = "not every test program contains anything")]
    pub fn weaken(&mut self, strength: contain::Strength) {
        if strength == contain::Strength::Bubblewrap {
            return;
        }
        let programs = self.dir.path().join("programs");
        std::fs::create_dir_all(&programs).expect("a directory");
        for dir in ["/usr/local/bin", "/usr/bin", "/bin"] {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let link = programs.join(entry.file_name());
                if entry.file_name() != "bwrap" && !link.is_symlink() {
                    std::os::unix::fs::symlink(entry.path(), link).expect("linked");
                }
            }
        }
        self.set("PATH", &programs.display().to_string());
        self.without_landlock = strength == contain::Strength::ProcessGroup;
    }

    /// The value that every process of this world gets for `name`.
    pub fn value(&self, name: &str) -> String {
        self.env.get(name).cloned().unwrap_or_default()
    }

    /// Starts a further scripted gateway; gives its base URL.
    pub fn gateway(&mut self, scenario: &Value) -> String {
        let file = self.dir.path().join(format!("scenario-{}.json", self.gateways.len()));
        write(&file, &scenario.to_string());
        let mut child = Command::new(BIN)
            .args(["scripted-gateway", "--scenario"])
            .arg(&file)
            .arg("--log")
            .arg(self.gateway_log(self.gateways.len()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the scripted gateway starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("its first line");
        self.gateways.push(child);
        line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("unexpected {line:?}")).to_owned()
    }

    /// Kills the gateway number `n`.
    #[allow(dead_code, reason = "the fault suite uses it; other test programs do not")]
    pub fn stop_gateway(&mut self, n: usize) {
        let _ = self.gateways[n].kill();
        let _ = self.gateways[n].wait();
    }

    fn gateway_log(&self, n: usize) -> PathBuf {
        self.dir.path().join(format!("gateway-{n}.jsonl"))
    }

    /// What the gateway number `n` was sent, a value a request.
    pub fn requests(&self, n: usize) -> Vec<Value> {
        std::fs::read_to_string(self.gateway_log(n))
            .unwrap_or_default()
            .split_inclusive('\n')
            // The gateway may be writing the last one.
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).expect("a line of the log"))
            .collect()
    }

    /// A command with this world's environment and nothing else but PATH and HOME.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(if self.without_landlock { "python3" } else { BIN });
        if self.without_landlock {
            command.args(["-c", NO_LANDLOCK, BIN]);
        }
        command.args(args).env_clear().current_dir(&self.repo);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.path()).envs(&self.env);
        command
    }

    /// Runs a subcommand to its end: standard output, standard error, exit code.
    pub fn run(&self, args: &[&str]) -> (String, String, i32) {
        let out = self.command(args).stdin(Stdio::null()).output().expect("codex-worker runs");
        (
            String::from_utf8_lossy(&out.stdout).into_owned(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
            out.status.code().unwrap_or(-1),
        )
    }

    /// Starts a server and shakes hands.
    pub fn serve(&self) -> Client {
        Client::connect(self.command(&["mcp"]))
    }

    /// A file of the repository as it is now.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.repo.join(path)).unwrap_or_default()
    }

    /// The arguments of `start` for this repository with `extra` laid over.
    pub fn job(&self, extra: Value) -> Value {
        let mut args = json!({"prompt": "Make the tests pass.", "allowed_dirs": [self.repo]});
        merge(&mut args, extra);
        args
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for gateway in &mut self.gateways {
            let _ = gateway.kill();
            let _ = gateway.wait();
        }
        if std::thread::panicking() {
            for line in std::fs::read_to_string(self.home.join("worker.log")).unwrap_or_default().lines() {
                eprintln!("worker: {line}");
            }
        }
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// Writes a file and the directories above it.
pub fn write(path: &Path, content: &str) {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).expect("a directory");
    }
    std::fs::write(path, content).expect("a file");
}

/// Runs git in `dir` as a user with a name.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false"])
        .args(args)
        .current_dir(dir)
        .output()
        .expect("git runs");
    assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// A repository whose one test fails: `slug` puts `_` where the test wants `-`.
pub const SLUG: &[(&str, &str)] = &[
    (
        "src/slug.sh",
        "# Prints its argument as a slug.\nslug() {\n    printf '%s' \"$1\" | tr 'A-Z ' 'a-z_'\n}\n",
    ),
    (
        "tests/run.sh",
        "#!/bin/sh\n# Prints TAP.\n. ./src/slug.sh\necho 1..2\n\
         if [ \"$(slug abc)\" = abc ]; then echo 'ok 1 - keeps words'; else echo 'not ok 1 - keeps words'; bad=1; fi\n\
         if [ \"$(slug 'A b')\" = a-b ]; then echo 'ok 2 - joins words'; else echo 'not ok 2 - joins words'; bad=1; fi\n\
         exit ${bad:-0}\n",
    ),
    ("README.md", "# slug\n"),
];

/// The line that is wrong, and what it should be.
pub const BUG: (&str, &str) = ("tr 'A-Z ' 'a-z_'", "tr 'A-Z ' 'a-z-'");

/// The check of [`SLUG`].
pub fn slug_check() -> Value {
    json!([{"name": "unit tests", "command": "sh tests/run.sh"}])
}

/// Reads the file, then repairs it.
pub fn repair() -> Vec<Value> {
    vec![
        json!({"say": "I look at the code.", "tools": [{"read": {"path": "src/slug.sh"}}]}),
        json!({"tools": [{"edit": {"path": "src/slug.sh", "old": BUG.0, "new": BUG.1}}]}),
        json!({"say": "Words are joined with a dash now."}),
    ]
}

/// Waits for a condition.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 60 s: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}
