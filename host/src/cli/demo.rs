//! `codex-worker demo`: a whole job on this machine, offline and without a key.
//! It makes a small repository with a failing test, starts a scripted gateway, starts
//! `codex-worker mcp` as a child and speaks MCP to it as Codex does.

mod account;

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rmcp::ServiceExt as _;
use rmcp::model::CallToolRequestParams;
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::TokioChildProcess;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use config::Env;
use model::error::{Error, Kind, Result};
use model::result::JobResult;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep the directory with the repository, the job's artifacts and the logs.
    #[arg(long)]
    keep: bool,
    /// The agent: `claude-code` or `builtin`; by default Claude Code where it is installed.
    #[arg(long, value_parser = ["claude-code", "builtin"])]
    agent: Option<String>,
    /// Play three jobs of real size and print what Codex received against what was moved.
    #[arg(long)]
    account: bool,
}

/// Runs the demo.
pub fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| failed("start the async runtime", e))?;
    runtime.block_on(demo(args))
}

async fn demo(args: Args) -> Result<()> {
    let env = Env::of_this_process();
    let (agent, program) = choose_agent(args.agent.as_deref(), &env)?;
    let shown = Progress::new();
    shown.say(&match (&program, &args.agent) {
        (Some(path), _) => format!("agent       the real Claude Code, {}", path.display()),
        (None, Some(_)) => "agent       built in, as asked for".to_owned(),
        (None, None) => {
            "agent       built in (Claude Code is not on PATH; set CLAUDE_BIN to use it)".to_owned()
        }
    });
    let setting = Setting { env, agent, program, keep: args.keep };
    if args.account {
        return account::run(&shown, &setting).await;
    }
    let script = Script {
        name: "slug".to_owned(),
        files: FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
        scenario: SCENARIO.to_owned(),
        job: json!({
            "prompt": "slug() joins words with `_`. It must join them with `-`. Make the tests pass.",
            "scoped_patch": {"paths": ["src"]},
            "checks": [{"name": "unit tests", "command": "sh tests/run.sh"}],
            "auto_revise": {"max_passes": 2},
            "isolation": "worktree",
        }),
        look_again: true,
    };
    let played = play(&shown, &setting, script).await?;
    // In the order of the wire, verdict first; a JSON value would sort its keys.
    let shape: JobResult = serde_json::from_value(played.result.clone())
        .map_err(|e| Error::new(Kind::Internal, format!("the result has not the documented shape: {e}")))?;
    let wire = serde_json::to_string(&shape).unwrap_or_default().len();
    shown.say(&format!("\nthe result, as Codex gets it ({wire} bytes; indented here)"));
    print(&serde_json::to_string_pretty(&shape).unwrap_or_default())?;
    tell(&shown, &played, args.keep);
    played.close(&shown, args.keep)
}

/// How the demo's jobs are run.
struct Setting {
    env: Env,
    agent: &'static str,
    program: Option<PathBuf>,
    keep: bool,
}

/// One job with all that it needs: the repository, what the model says, what Codex asks.
struct Script {
    name: String,
    /// Paths and contents.
    files: Vec<(String, String)>,
    /// The scripted gateway's JSON.
    scenario: String,
    /// The arguments of `start` without `allowed_dirs`.
    job: Value,
    /// Call `get` after `wait`, which says the same once more.
    look_again: bool,
}

/// A job that was played to its end.
struct Played {
    dir: tempfile::TempDir,
    result: Value,
    /// Bytes of the replies that Codex's model would be shown.
    received: usize,
    calls: usize,
    /// Bytes of the requests that the gateway got.
    moved: u64,
    artifacts: PathBuf,
}

impl Played {
    fn close(self, shown: &Progress, keep: bool) -> Result<()> {
        if keep {
            shown.say(&format!("kept            {}", self.dir.keep().display()));
        }
        if self.result["job_status"] == "completed" {
            return Ok(());
        }
        Err(Error::new(Kind::Internal, format!("the demo's job ended {}", self.result["job_status"]))
            .hint("run `codex-worker doctor`, or `codex-worker demo --keep` and look at the state directory"))
    }
}

async fn play(shown: &Progress, setting: &Setting, script: Script) -> Result<Played> {
    let dir = tempfile::Builder::new()
        .prefix("codex-worker-demo-")
        .tempdir()
        .map_err(|e| failed("make a temporary directory", e))?;
    let root = dir.path().canonicalize().map_err(|e| failed("resolve the temporary directory", e))?;
    let repo = root.join(&script.name);
    make_repository(&repo, &script.files).await?;
    shown.say(&format!("repository  {} ({} files) with a failing test", repo.display(), script.files.len()));
    let log = root.join("gateway.jsonl");
    let (_gateway, url) = start_gateway(&root, &script.scenario, &log).await?;
    shown.say(&format!("gateway     {url} (scripted: it plays a written conversation, no model is asked)"));

    let mut server = Command::new(own_binary()?);
    server.arg("mcp").env_clear().current_dir(&repo);
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = setting.env.get(name) {
            server.env(name, value);
        }
    }
    server
        .env("CODEX_WORKER_HOME", root.join("state"))
        .env("CODEX_WORKER_CONFIG", config_file(&root)?)
        .env("SANDBOX_ROOT", &repo)
        .env("ONEAPI_BASE_URL", &url)
        .env("ONEAPI_API_KEY", "scripted-needs-no-key")
        .env("CLAUDE_MODEL", "scripted-coder")
        .env("AGENT", setting.agent);
    if let Some(path) = &setting.program {
        server.env("CLAUDE_BIN", path);
    }
    let transport = TokioChildProcess::new(server).map_err(|e| failed("start `codex-worker mcp`", e))?;
    let client = ().serve(transport).await.map_err(|e| failed("speak MCP to `codex-worker mcp`", e))?;
    let mut codex = Codex { client, received: 0, calls: 0 };

    let mut job = script.job;
    job["allowed_dirs"] = json!([repo]);
    let started = codex.call("start", job).await?;
    let id = started["job_id"].as_str().unwrap_or_default().to_owned();
    shown.say(&format!("start       job {id}"));
    let mut result = shown.follow(&mut codex, &id).await?;
    if script.look_again {
        result = codex.call("get", json!({"job_id": id})).await?;
    }
    shown.done();
    // Closing standard input is how Codex ends a server.
    let _ = codex.client.cancel().await;
    // Each line of the log holds one request's body and little else.
    let moved = std::fs::metadata(&log).map(|m| m.len()).unwrap_or(0);
    let artifacts = root.join("state/jobs").join(&id).join("artifacts");
    Ok(Played { dir, result, received: codex.received, calls: codex.calls, moved, artifacts })
}

/// The planner's side of the wire, with an account of what it was sent.
struct Codex {
    client: RunningService<RoleClient, ()>,
    received: usize,
    calls: usize,
}

impl Codex {
    async fn call(&mut self, tool: &'static str, arguments: Value) -> Result<Value> {
        let Value::Object(arguments) = arguments else {
            return Err(Error::new(Kind::Internal, "tool arguments are an object"));
        };
        let params = CallToolRequestParams::new(tool).with_arguments(arguments);
        let reply = self.client.call_tool(params).await.map_err(|e| failed(&format!("call `{tool}`"), e))?;
        let text: String =
            reply.content.iter().filter_map(|c| c.as_text()).map(|t| t.text.as_str()).collect();
        if reply.is_error == Some(true) {
            return Err(Error::new(Kind::Internal, format!("`{tool}` answered: {text}")));
        }
        let data = reply.structured_content.unwrap_or(Value::Null);
        // Codex shows its model structuredContent where there is one, else the text.
        self.received += if data.is_null() { text.len() } else { data.to_string().len() };
        self.calls += 1;
        Ok(data)
    }
}

/// What a person sees on standard error: a spinner with lines above it, or plain lines
/// when standard error is no terminal.
struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Progress { bar }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    fn status(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Shows the job's events until it ends; its result. Codex would make one long `wait`;
    /// the demo makes many short ones and reads along with `tail`, so only the last is counted.
    async fn follow(&self, codex: &mut Codex, job: &str) -> Result<Value> {
        let mut after = Value::Null;
        loop {
            let counted = (codex.received, codex.calls);
            let waited = codex.call("wait", json!({"job_id": job, "timeout_ms": 400})).await?;
            let ended = waited.get("changed_files").is_some();
            let counted = if ended { (codex.received, codex.calls) } else { counted };
            let mut ask = json!({"job_id": job, "lines": 100});
            if !after.is_null() {
                ask["after"] = after.clone();
            }
            let tail = codex.call("tail", ask).await?;
            (codex.received, codex.calls) = counted;
            for line in tail["lines"].as_array().into_iter().flatten() {
                let text = line.as_str().map(str::to_owned).unwrap_or_else(|| line["text"].to_string());
                self.say(&format!("  │ {text}"));
            }
            after = tail["next"].clone();
            self.status(waited["job_status"].as_str().unwrap_or_default());
            if ended {
                return Ok(waited);
            }
        }
    }
}

fn tell(shown: &Progress, played: &Played, keep: bool) {
    let usage = &played.result["usage"];
    let count = |key: &str| usage[key].as_u64().map_or_else(|| "unmetered".to_owned(), |n| n.to_string());
    shown.say("");
    shown.say(&format!(
        "agent moved     {} bytes in {} requests ({} input tokens, {} of them cached; {} output)",
        played.moved,
        count("requests"),
        count("input_tokens"),
        count("cached_tokens"),
        count("output_tokens"),
    ));
    let ratio = if played.moved == 0 { 0.0 } else { 100.0 * played.received as f64 / played.moved as f64 };
    shown.say(&format!(
        "Codex received  {} bytes in {} replies: {ratio:.1} % of that",
        played.received, played.calls
    ));
    let policies: Vec<&str> =
        played.result["policies"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    shown.say(&format!("judged by       {}", policies.join(", ")));
    shown.say(&format!(
        "artifacts       {}{}",
        played.artifacts.display(),
        if keep { "" } else { " (removed now; `demo --keep` keeps them)" }
    ));
}

/// Claude Code where it is, else our own.
fn choose_agent(asked: Option<&str>, env: &Env) -> Result<(&'static str, Option<PathBuf>)> {
    let found = agent::claude::locate(env.get("CLAUDE_BIN").map(Path::new));
    match (asked, found) {
        (Some("builtin"), _) => Ok(("builtin", None)),
        (Some(_), Err(error)) => Err(error),
        (_, Ok(path)) => Ok(("claude-code", Some(path))),
        (None, Err(_)) => Ok(("builtin", None)),
    }
}

/// An empty configuration file, so that the user's own does not reach the demo.
fn config_file(root: &Path) -> Result<PathBuf> {
    let path = root.join("codex-worker.toml");
    std::fs::write(&path, "").map_err(|e| failed("write the demo's configuration", e))?;
    Ok(path)
}

async fn make_repository(repo: &Path, files: &[(String, String)]) -> Result<()> {
    for (path, content) in files {
        let path = repo.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| failed("make the demo's repository", e))?;
        }
        std::fs::write(&path, content).map_err(|e| failed("write the demo's files", e))?;
    }
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &["-c", "user.name=demo", "-c", "user.email=demo@example.invalid", "commit", "-q", "-m", "start"],
    ] {
        let done = Command::new("git")
            .args(["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"])
            .args(args)
            .current_dir(repo)
            .stdout(Stdio::null())
            .status()
            .await
            .map_err(|e| {
                failed("run git", e).hint("install git; codex-worker needs it to see what changed")
            })?;
        if !done.success() {
            return Err(Error::new(Kind::Environment, format!("git {} failed", args.join(" "))));
        }
    }
    Ok(())
}

async fn start_gateway(root: &Path, script: &str, log: &Path) -> Result<(Child, String)> {
    let scenario = root.join("scenario.json");
    std::fs::write(&scenario, script).map_err(|e| failed("write the script", e))?;
    let mut child = Command::new(own_binary()?)
        .args(["scripted-gateway", "--scenario"])
        .arg(&scenario)
        .arg("--log")
        .arg(log)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed("start the scripted gateway", e))?;
    let out = child.stdout.take().ok_or_else(|| Error::new(Kind::Internal, "the gateway has no output"))?;
    let mut line = String::new();
    BufReader::new(out).read_line(&mut line).await.map_err(|e| failed("read the gateway's address", e))?;
    let url = line.trim().strip_prefix("listening on ").unwrap_or_default().to_owned();
    if url.is_empty() {
        return Err(Error::new(Kind::Environment, "the scripted gateway did not start"));
    }
    Ok((child, url))
}

fn own_binary() -> Result<PathBuf> {
    std::env::current_exe().map_err(|e| failed("find this program's own path", e))
}

fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(|e| failed("write the result", e))
}

fn failed(what: &str, error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Environment, format!("could not {what}: {error}"))
}

const FILES: &[(&str, &str)] = &[
    ("README.md", "# slug\nPrints a text as a slug.\n"),
    ("src/slug.sh", include_str!("demo/slug.sh")),
    ("tests/run.sh", include_str!("demo/run.sh")),
];

const SCENARIO: &str = include_str!("demo/scenario.json");
