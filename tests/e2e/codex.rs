//! The real Codex CLI, its model scripted, delegates a job through the shipped
//! `codex-mcp.example.toml` and receives the evidence.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use test_support::http::{Reply, Seen, Upstream};

use crate::support::{Agent, BIN, GATEWAY_KEY, SLUG, World, agents, cli, repair, slug_check, write};

/// The shipped file, byte for byte but for the two values that a person must edit: where
/// jobs may work, and where the gateway is. The program is found on PATH as it stands there.
fn configuration(world: &World) -> String {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../codex-mcp.example.toml");
    let mut text = std::fs::read_to_string(shipped).expect("the shipped file");
    for (example, ours) in [
        ("\"/path/to/your/projects\"", world.repo.display().to_string()),
        ("\"https://gateway.example/v1\"", world.value("ONEAPI_BASE_URL")),
    ] {
        assert_eq!(text.matches(example).count(), 1, "{example} in the shipped file");
        text = text.replace(example, &toml::Value::String(ours).to_string());
    }
    text
}

/// A model that calls `start`, then `wait` until the job has ended, then says so. Keeps
/// every tool output that it was shown.
struct Planner {
    start: Value,
    shown: Mutex<Vec<String>>,
    /// The first request: what the model is told of our tools before it calls any.
    offered: Mutex<Value>,
}

impl Planner {
    fn serve(self: Arc<Self>) -> String {
        let answer = move |_: usize, seen: &Seen| match seen.path.contains("/responses") {
            true => Reply::sse(events(self.next(&seen.body))),
            false => Reply::json(200, &json!({"object": "list", "data": []}).to_string()),
        };
        Upstream::start_in_thread(answer).url
    }

    fn next(&self, request: &Value) -> Value {
        let outputs: Vec<String> = request["input"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|item| item["type"] == "function_call_output")
            .map(|item| match &item["output"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .collect();
        if outputs.is_empty() {
            *self.offered.lock().expect("not poisoned") = request.clone();
        }
        *self.shown.lock().expect("not poisoned") = outputs.clone();
        let n = outputs.len();
        let call = |name: &str, arguments: &Value| {
            json!({"type": "function_call", "id": format!("fc_{n}"), "call_id": format!("call_{n}"), "name": name,
                   "namespace": "mcp__worker", "arguments": arguments.to_string(), "status": "completed"})
        };
        let Some(first) = outputs.first() else { return call("start", &self.start) };
        if outputs.iter().any(|text| text.contains("changed_files")) || n > 20 {
            return json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "The job has ended.", "annotations": []}]});
        }
        let id = first.split("job_id").nth(1).map(|rest| {
            rest.chars()
                .skip_while(|c| !c.is_ascii_hexdigit())
                .take_while(char::is_ascii_hexdigit)
                .collect::<String>()
        });
        call("wait", &json!({"job_id": id}))
    }
}

fn events(item: Value) -> String {
    let response = |status: &str, output: Value| {
        json!({"id": "resp_1", "object": "response", "status": status, "output": output,
            "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
                      "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15}})
    };
    [
        json!({"type": "response.created", "response": response("in_progress", json!([]))}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": item}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": response("completed", json!([item]))}),
    ]
    .iter()
    .map(|e| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap_or_default()))
    .collect()
}

/// Runs `codex exec`. The scripted model and what keeps Codex off the network come on the
/// command line, so that its configuration is the shipped file.
fn codex(program: &Path, world: &World, home: &Path, model: &str, provider: &str) -> std::process::Output {
    let path = std::env::join_paths(
        std::iter::once(home.join("bin"))
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )
    .expect("a PATH");
    let mut command = Command::new(program);
    command.args(["exec", "--json"]);
    for setting in [
        format!("model=\"{model}\""),
        "model_provider=\"mock\"".to_owned(),
        format!(
            "model_providers.mock={{name=\"mock\", base_url=\"{provider}\", wire_api=\"responses\", \
             env_key=\"MOCK_KEY\", request_max_retries=0, stream_max_retries=0}}"
        ),
        "check_for_update_on_startup=false".to_owned(),
        "analytics.enabled=false".to_owned(),
        "features.plugins=false".to_owned(),
        "features.apps=false".to_owned(),
        "features.remote_plugin=false".to_owned(),
    ] {
        command.args(["-c", &setting]);
    }
    command
        .arg("hand the failing test to the worker")
        .env_clear()
        .env("HOME", home)
        .env("CODEX_HOME", home.join(".codex"))
        .env("PATH", path)
        .env("MOCK_KEY", "dummy")
        .env("ONEAPI_API_KEY", GATEWAY_KEY)
        .current_dir(&world.repo)
        .stdin(Stdio::null());
    command.output().expect("codex runs")
}

/// A home as a person has it: Codex's configuration, our program and the agent on PATH.
fn home(world: &World, agent: &Agent) -> tempfile::TempDir {
    // Not below /tmp: a job sees another one, and would not find the agent there.
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    write(&home.path().join(".codex/config.toml"), &configuration(world));
    let bin = home.path().join("bin");
    std::fs::create_dir(&bin).expect("it is made");
    std::os::unix::fs::symlink(BIN, bin.join("codex-worker")).expect("a link");
    match agent {
        Agent::ClaudeCode(path) => {
            std::os::unix::fs::symlink(path, bin.join("claude")).expect("a link");
        }
        // The shipped file means Claude Code; another agent is set in our own file.
        Agent::Builtin => {
            let file = home.path().join(".config/codex-worker/codex-worker.toml");
            write(&file, "[agent]\nkind = \"builtin\"\n");
        }
    }
    home
}

/// With every agent of this machine, for a model that Codex does not know and for one of its
/// catalog, which works in code mode.
#[test]
fn real_codex_delegates_a_job_through_the_shipped_file() {
    let Some(program) = cli("CODEX_BIN", "codex") else { return };
    for (agent, model) in agents().into_iter().zip(["mock-model", "gpt-6-sol"]) {
        let world = World::new(SLUG, &json!({"turns": repair()}), &agent);
        let start = world.job(
            json!({"scoped_patch": {"paths": ["src"]}, "checks": slug_check(), "isolation": "worktree"}),
        );
        let planner = Arc::new(Planner { start, shown: Mutex::default(), offered: Mutex::default() });
        let home = home(&world, &agent);

        let out = codex(&program, &world, home.path(), model, &Arc::clone(&planner).serve());
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let state = home.path().join(".local/state/codex-worker");
        let log = std::fs::read_to_string(state.join("worker.log")).unwrap_or_default();
        let seen = format!("{agent:?}, {model}\n{stdout}\n{stderr}\nworker: {log}");
        assert!(out.status.success(), "codex: {}\n{seen}", out.status);
        // The tools stand in the request itself: no search for them costs a turn.
        let offered = planner.offered.lock().expect("not poisoned").to_string();
        assert!(offered.contains("mcp__worker") && offered.contains("idempotency_key"), "{offered}\n{seen}");
        let shown = planner.shown.lock().expect("not poisoned").clone();
        assert_eq!(shown.len(), 2, "one start and one wait: {shown:?}\n{seen}");
        let last = &shown[1];
        let at = last.find('{').unwrap_or_else(|| panic!("no JSON: {last}\n{seen}"));
        let result: Value = serde_json::Deserializer::from_str(&last[at..])
            .into_iter()
            .next()
            .and_then(Result::ok)
            .unwrap_or_else(|| panic!("no JSON: {last}\n{seen}"));
        assert_eq!(result["job_status"], "completed", "{result}\n{seen}");
        assert_eq!(result["changed_files"], json!(["src/slug.sh"]), "{result}");
        let checks = result["checks"].to_string();
        assert!(checks.contains("scoped_patch: passed (src)"), "{checks}");
        assert!(checks.contains("unit tests: passed"), "{checks}");
        assert!(state.join("jobs.db").exists(), "the state lies where the platform has it");
        // The key came by `env_vars` and went to the gateway, nowhere else.
        assert_eq!(world.requests(0)[0]["authorization"], format!("Bearer {GATEWAY_KEY}"));
        assert!(!shown.concat().contains(GATEWAY_KEY) && !stdout.contains(GATEWAY_KEY));
    }
}

/// The repository is a marketplace of one plugin: Codex lists it, adds it, and knows our
/// server with its time limit and the one variable that it hands on.
#[test]
fn codex_installs_the_plugin_of_this_repository() {
    let Some(codex) = cli("CODEX_BIN", "codex") else { return };
    let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a home");
    let run = |args: &[&str]| {
        let done = Command::new(&codex)
            .args(args)
            .env("HOME", home.path())
            .env("CODEX_HOME", home.path())
            .stdin(Stdio::null())
            .output()
            .expect("codex runs");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{args:?}: {text}{}", String::from_utf8_lossy(&done.stderr));
        text
    };
    run(&["plugin", "marketplace", "add", concat!(env!("CARGO_MANIFEST_DIR"), "/..")]);
    run(&["plugin", "add", "codex-worker@codex-worker"]);
    let server: Value =
        serde_json::from_str(&run(&["mcp", "get", "codex-worker", "--json"])).expect("a JSON answer");
    assert_eq!(server["transport"]["command"], "codex-worker", "{server}");
    assert_eq!(server["transport"]["args"], json!(["mcp"]), "{server}");
    assert_eq!(server["transport"]["env_vars"], json!(["ONEAPI_API_KEY"]), "{server}");
    let wait_ms: f64 = server["transport"]["env"]["WAIT_DEFAULT_MS"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("the longest wait");
    assert!(server["tool_timeout_sec"].as_f64().is_some_and(|limit| limit * 1000.0 > wait_ms), "{server}");
    run(&["plugin", "remove", "codex-worker@codex-worker"]);
    assert!(!run(&["mcp", "list"]).contains("codex-worker"), "removed");
}
