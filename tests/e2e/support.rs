//! What every end-to-end test stands on: a small repository, a scripted gateway, the real
//! `codex-worker mcp` spoken to in raw JSON-RPC lines, and the agents that this machine has.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

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

/// The agents of this machine: ours always, Claude Code where it is installed. With
/// `CODEX_WORKER_REQUIRE_CLIS=1` its absence is a failure, not a silence.
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
        assert!(
            std::env::var_os("CODEX_WORKER_REQUIRE_CLIS").is_none(),
            "{variable} is not set and `{name}` is not on PATH, but CODEX_WORKER_REQUIRE_CLIS asks for it"
        );
        not_run(&format!("with the real `{name}`: set {variable} or install it"));
    }
    found
}

/// Says once that something was left out. Not by `eprintln!`, whose lines the harness keeps
/// to itself when a test passes.
pub fn not_run(what: &str) {
    static SAID: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    let mut said = SAID.lock().expect("not poisoned");
    if !said.iter().any(|known| known == what) {
        let _ = writeln!(std::io::stderr(), "NOT RUN {what}");
        said.push(what.to_owned());
    }
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
}

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
        let mut world = World { dir, repo, home, env: BTreeMap::new(), gateways: Vec::new() };
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
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of the log"))
            .collect()
    }

    /// A command with this world's environment and nothing else but PATH and HOME.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BIN);
        command.args(args).env_clear().envs(&self.env).current_dir(&self.repo);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.path());
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
    pub fn serve(&self) -> Server {
        Server::start(self.command(&["mcp"]))
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

/// What a tool call gave.
#[derive(Debug)]
pub struct Reply {
    /// `structuredContent`, or null.
    pub data: Value,
    /// The text of the first content block.
    pub text: String,
    /// `isError`, or a JSON-RPC error.
    pub is_error: bool,
}

/// A running `codex-worker mcp`.
pub struct Server {
    /// The process.
    pub child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    next_id: i64,
}

impl Server {
    fn start(mut command: Command) -> Server {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the server starts");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("its output"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        let mut server = Server { child, stdin, lines, next_id: 0 };
        let reply = server.request(
            "initialize",
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}),
        );
        assert!(reply.get("result").is_some(), "initialize: {reply}");
        server.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
        server
    }

    /// Writes one raw line.
    pub fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        writeln!(stdin, "{line}").expect("the server reads");
    }

    /// The next line within `limit`.
    pub fn line(&self, limit: Duration) -> Option<String> {
        self.lines.recv_timeout(limit).ok()
    }

    /// Sends a request and waits for its answer.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        let deadline = Instant::now() + Duration::from_secs(120);
        while let Some(line) = self.line(deadline.saturating_duration_since(Instant::now())) {
            let value: Value =
                serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e} on stdout: {line}"));
            if value["id"] == id {
                return value;
            }
        }
        panic!("no answer to {method}");
    }

    /// Calls a tool.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Reply {
        let answer = self.request("tools/call", json!({"name": tool, "arguments": arguments}));
        let result = &answer["result"];
        Reply {
            data: result["structuredContent"].clone(),
            text: result["content"][0]["text"]
                .as_str()
                .or(answer["error"]["message"].as_str())
                .unwrap_or_default()
                .to_owned(),
            is_error: result["isError"] == true || answer.get("error").is_some(),
        }
    }

    /// Starts a job; its id.
    pub fn start_job(&mut self, arguments: Value) -> String {
        let reply = self.call("start", arguments);
        assert!(!reply.is_error, "start: {}", reply.text);
        reply.data["job_id"].as_str().unwrap_or_else(|| panic!("no job_id in {}", reply.data)).to_owned()
    }

    /// Waits until the job has ended; its result.
    pub fn finish(&mut self, job: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let reply = self.call("wait", json!({"job_id": job, "timeout_ms": 20_000}));
            assert!(!reply.is_error, "wait: {}", reply.text);
            if reply.data.get("changed_files").is_some() {
                return reply.data;
            }
            assert!(Instant::now() < deadline, "the job does not end: {}", reply.data);
        }
    }

    /// Runs a job to its end.
    pub fn run_job(&mut self, arguments: Value) -> Value {
        let job = self.start_job(arguments);
        self.finish(&job)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
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
