//! The real Codex CLI, its model scripted, delegates a job through the shipped
//! `codex-mcp.example.toml` and receives the evidence.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{Agent, BIN, GATEWAY_KEY, SLUG, World, cli, repair, slug_check, write};

/// The shipped file with this test's values, as a person would edit it, and a scripted
/// model provider beside it.
fn configuration(world: &World, provider: &str) -> String {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../codex-mcp.example.toml");
    let text = std::fs::read_to_string(shipped).expect("the shipped file");
    let mut config: toml::Table = text.parse().expect("the shipped file is TOML");
    let server = &mut config["mcp_servers"]["worker"];
    server["command"] = BIN.into();
    for (name, value) in [
        ("SANDBOX_ROOT", world.repo.display().to_string()),
        ("CODEX_WORKER_HOME", world.home.display().to_string()),
        ("ONEAPI_BASE_URL", world.value("ONEAPI_BASE_URL")),
        ("CLAUDE_MODEL", "scripted-coder".to_owned()),
        ("AGENT", "builtin".to_owned()),
        ("WAIT_DEFAULT_MS", "60000".to_owned()),
    ] {
        server["env"].as_table_mut().expect("a table").insert(name.to_owned(), value.into());
    }
    let more: toml::Table = format!(
        r#"
        model = "mock-model"
        model_provider = "mock"
        check_for_update_on_startup = false
        [analytics]
        enabled = false
        [model_providers.mock]
        name = "mock"
        base_url = "{provider}"
        wire_api = "responses"
        env_key = "MOCK_KEY"
        request_max_retries = 0
        stream_max_retries = 0
        "#
    )
    .parse()
    .expect("TOML");
    config.extend(more);
    let features = config["features"].as_table_mut().expect("a table");
    for name in ["plugins", "apps", "remote_plugin"] {
        features.insert(name.to_owned(), false.into());
    }
    toml::to_string(&config).expect("TOML")
}

/// A model that calls `start`, then `wait` until the job has ended, then says so. Keeps
/// every tool output that it was shown.
struct Planner {
    start: Value,
    shown: Mutex<Vec<String>>,
}

impl Planner {
    fn serve(self: Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("its address"));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let planner = Arc::clone(&self);
                std::thread::spawn(move || planner.answer(socket));
            }
        });
        url
    }

    fn answer(&self, mut socket: TcpStream) {
        let mut reader = BufReader::new(socket.try_clone().expect("a second handle"));
        let (mut head, mut length) = (String::new(), 0usize);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                break;
            }
            if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = n.trim().parse().unwrap_or(0);
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the body");
        let reply = if head.starts_with("POST") && head.contains("/responses") {
            let request: Value = serde_json::from_slice(&body).expect("a JSON body");
            ("text/event-stream", events(self.next(&request)))
        } else {
            ("application/json", json!({"object": "list", "data": []}).to_string())
        };
        let _ = write!(
            socket,
            "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
            reply.0,
            reply.1.len(),
            reply.1
        );
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

fn codex(program: &Path, world: &World, home: &Path) -> std::process::Output {
    let mut command = Command::new(program);
    command
        .args(["exec", "--json", "hand the failing test to the worker"])
        .env_clear()
        .env("HOME", home)
        .env("CODEX_HOME", home)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("MOCK_KEY", "dummy")
        .env("ONEAPI_API_KEY", GATEWAY_KEY)
        .current_dir(&world.repo)
        .stdin(Stdio::null());
    command.output().expect("codex runs")
}

#[test]
fn real_codex_delegates_a_job_through_the_shipped_file() {
    let Some(program) = cli("CODEX_BIN", "codex") else { return };
    let world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let start = world
        .job(json!({"scoped_patch": {"paths": ["src"]}, "checks": slug_check(), "isolation": "worktree"}));
    let planner = Arc::new(Planner { start, shown: Mutex::default() });
    let home = tempfile::tempdir().expect("a directory");
    let config = configuration(&world, &Arc::clone(&planner).serve());
    write(&home.path().join("config.toml"), &config);

    let out = codex(&program, &world, home.path());
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "codex: {}\n{stdout}\n{stderr}", out.status);
    let shown = planner.shown.lock().expect("not poisoned").clone();
    let last = shown.last().unwrap_or_else(|| panic!("codex called nothing\n{stdout}\n{stderr}"));
    assert!(last.contains("changed_files") && last.contains("src/slug.sh"), "{shown:?}\n{stdout}");
    assert!(last.contains("unit tests: passed"), "{shown:?}");
    assert!(!shown.concat().contains(GATEWAY_KEY));
}
