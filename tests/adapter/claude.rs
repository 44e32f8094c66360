//! The real Claude Code through the adapter against a scripted gateway. Without the program
//! the tests say so.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Reply, Rig, Seen, Step, TOKEN};

fn claude() -> Option<PathBuf> {
    let named = std::env::var_os("CLAUDE_BIN").map(PathBuf::from);
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found =
        named.or_else(|| std::env::split_paths(&paths).map(|d| d.join("claude")).find(|p| p.is_file()));
    if found.is_none() {
        test_support::missing::tool("with the real Claude Code: set CLAUDE_BIN");
    }
    found
}

/// What the program printed at its end.
struct Ran {
    success: bool,
    result: String,
    turns: u64,
    took: Duration,
    raw: String,
}

async fn run(rig: &Rig, program: &PathBuf) -> Ran {
    let work = rig.home.path().join("work");
    std::fs::create_dir_all(&work).expect("directory");
    std::fs::write(work.join("a.txt"), "alpha\n").expect("file");
    std::fs::write(work.join("b.txt"), "beta\n").expect("file");
    let started = Instant::now();
    let mut command = tokio::process::Command::new(program);
    command
        .args(["-p", "look at a.txt and b.txt", "--output-format", "json", "--model", "cheap-1"])
        .args(["--strict-mcp-config", "--setting-sources", "", "--max-turns", "12"])
        .args([
            "--permission-mode",
            "acceptEdits",
            "--tools",
            "Bash,Read,Edit,Write",
            "--allowedTools",
            "Bash",
            "Read",
        ])
        .current_dir(&work)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", rig.home.path().join("home"))
        .env("CLAUDE_CONFIG_DIR", rig.home.path().join("home/.claude"))
        .env("ANTHROPIC_BASE_URL", rig.adapter.base_url())
        .env("ANTHROPIC_AUTH_TOKEN", TOKEN)
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("DISABLE_AUTOUPDATER", "1")
        .env("DISABLE_TELEMETRY", "1")
        .env("CLAUDE_CODE_MAX_RETRIES", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(90), command.output()).await;
    let output = output.expect("Claude Code ended in time").expect("Claude Code started");
    let raw = String::from_utf8_lossy(&output.stdout).into_owned();
    let document: Value = serde_json::from_str(&raw).unwrap_or(Value::Null);
    Ran {
        success: output.status.success() && document["is_error"] == false,
        result: document["result"].as_str().unwrap_or("").to_owned(),
        turns: document["num_turns"].as_u64().unwrap_or(0),
        took: started.elapsed(),
        raw: format!("{raw}\n{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// The model's turn: how many times it has spoken already.
fn turn(seen: &Seen) -> usize {
    let messages = seen.body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    messages.iter().filter(|m| m["role"] == "assistant").count()
}

fn chunk(delta: Value) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta}]}))
}

fn ending(reason: &str) -> String {
    let finish = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 1200, "completion_tokens": 30, "prompt_tokens_details": {"cached_tokens": 1000}}});
    format!("data: {finish}\n\ndata: {usage}\n\ndata: [DONE]\n\n")
}

fn bash(index: u32, id: &str, command: &str) -> Value {
    json!({"index": index, "id": id, "type": "function", "function": {"name": "Bash", "arguments": json!({"command": command, "description": "look"}).to_string()}})
}

/// An answer in the form that was asked for.
fn reply(seen: &Seen, parts: &[Value], reason: &str) -> Reply {
    if seen.body["stream"] == true {
        return Reply::sse(parts.iter().cloned().map(chunk).collect::<String>() + &ending(reason));
    }
    let mut message = json!({"role": "assistant", "content": null});
    for part in parts {
        for (key, value) in part.as_object().into_iter().flatten() {
            message[key] = value.clone();
        }
    }
    let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": {"prompt_tokens": 1200, "completion_tokens": 30}});
    Reply::json(200, &body.to_string())
}

fn done(seen: &Seen) -> Reply {
    reply(seen, &[json!({"content": "All looked at."})], "stop")
}

/// The tool messages of a request.
fn tool_messages(seen: &Seen) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or("").to_owned();
    let messages = seen.body["messages"].as_array().expect("messages");
    messages
        .iter()
        .filter(|m| m["role"] == "tool")
        .map(|m| (text(&m["tool_call_id"]), text(&m["content"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reasoning_and_parallel_calls() {
    let Some(program) = claude() else { return };
    let rig = Rig::start(|_, seen| match turn(seen) {
        0 => {
            // Interleaved, as gateways do that serve batches.
            let (a, b) = (json!({"command": "cat a.txt", "description": "a"}).to_string(), json!({"command": "cat b.txt", "description": "b"}).to_string());
            let open = |n: u32, id: &str| json!({"tool_calls": [{"index": n, "id": id, "type": "function", "function": {"name": "Bash", "arguments": ""}}]});
            let piece = |n: u32, text: &str| json!({"tool_calls": [{"index": n, "function": {"arguments": text}}]});
            let parts = [
                json!({"reasoning_content": "I look at both."}),
                json!({"content": "Looking."}),
                open(0, "call_0"),
                open(1, "call_1"),
                piece(0, &a[..9]),
                piece(1, &b[..11]),
                piece(0, &a[9..]),
                piece(1, &b[11..]),
            ];
            Reply::sse(parts.into_iter().map(chunk).collect::<String>() + &ending("stop"))
        }
        // The same identifier as in the turn before: Claude Code would lose the result.
        1 => reply(seen, &[json!({"reasoning_content": "Once more."}), json!({"tool_calls": [bash(0, "call_0", "echo again")]})], "tool_calls"),
        _ => done(seen),
    })
    .await;
    let ran = run(&rig, &program).await;
    assert!(ran.success && ran.result == "All looked at.", "{}", ran.raw);
    let seen = rig.upstream.seen();
    let last = seen.last().expect("requests");
    let results = tool_messages(last);
    let ids: Vec<&str> = results.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["call_0", "call_1", "call_0"], "the gateway's own identifiers come back");
    let texts: Vec<&str> = results.iter().map(|(_, text)| text.trim()).collect();
    assert_eq!(texts, ["alpha", "beta", "again"]);
    let assistants: Vec<&Value> = last.body["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter(|m| m["role"] == "assistant")
        .collect();
    assert_eq!(assistants[0]["reasoning_content"], "I look at both.");
    assert_eq!(assistants[0]["content"], "Looking.");
    assert_eq!(assistants[1]["reasoning_content"], "Once more.");
    assert!(!last.raw.contains("x-anthropic-billing-header") && !last.raw.contains("cache_control"));
    // Turn by turn the request begins with the one before, up to what ends it.
    for pair in seen.windows(2) {
        let open = pair[0].raw.strip_suffix("]}").expect("messages are last");
        assert!(pair[1].raw.starts_with(open), "the prefix changed between turns");
    }
    let totals = rig.adapter.usage();
    assert_eq!((totals.requests, totals.unmetered, totals.cached_tokens), (3, 0, Some(3000)));
    assert!(ran.turns >= 3, "{}", ran.raw);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_on_the_way() {
    let Some(program) = claude() else { return };
    let rig = Rig::start(|n, seen| match (n, turn(seen)) {
        (0, _) => Reply::json(503, r#"{"error":{"message":"busy"}}"#),
        (1, _) => Reply::sse(chunk(json!({"role": "assistant"}))).steps(vec![Step::Abort]),
        // Not JSON: Claude Code tells the model, and the model must see what it wrote.
        (_, 0) => reply(seen, &[json!({"tool_calls": [{"index": 0, "id": "c0", "type": "function", "function": {"name": "Bash", "arguments": "{\"command\": \"cat a.txt"}}]})], "tool_calls"),
        (_, 1) => reply(seen, &[json!({"tool_calls": [bash(0, "c1", "cat a.txt")]})], "stop"),
        // A stream that breaks after content: Claude Code asks again without a stream.
        (_, 2) if seen.body["stream"] == true => Reply::sse(chunk(json!({"content": "All"}))).steps(vec![Step::Wait(Duration::from_millis(50)), Step::Abort]),
        _ => done(seen),
    })
    .await;
    let ran = run(&rig, &program).await;
    assert!(ran.success && ran.result.ends_with("All looked at."), "{}", ran.raw);
    let last = rig.upstream.seen().last().cloned().expect("requests");
    let arguments = last.body["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .find_map(|m| m["tool_calls"][0]["function"]["arguments"].as_str());
    assert_eq!(arguments, Some("{\"command\": \"cat a.txt"), "raw, not wrapped");
    assert_eq!(tool_messages(&last).last().map(|(_, text)| text.trim().to_owned()).as_deref(), Some("alpha"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_key_ends_soon() {
    let Some(program) = claude() else { return };
    let rig = Rig::start(|_, _| Reply::json(401, r#"{"error":{"message":"no such key"}}"#)).await;
    let ran = run(&rig, &program).await;
    assert!(!ran.success, "{}", ran.raw);
    assert!(ran.took < Duration::from_secs(30), "{:?}", ran.took);
    let requests = rig.upstream.seen().len();
    assert!(requests <= 3, "{requests} requests with a bad key");
    assert!(rig.adapter.last_failure().is_some_and(|f| f.final_));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_does_not_fit() {
    let Some(program) = claude() else { return };
    let rig = Rig::start(|_, _| Reply::json(400, r#"{"error":{"message":"This model's maximum context length is 9000 tokens. However, your messages resulted in 12000 tokens.","code":"context_length_exceeded"}}"#)).await;
    let ran = run(&rig, &program).await;
    assert!(!ran.success && ran.result.to_lowercase().contains("prompt is too long"), "{}", ran.raw);
    assert!(rig.upstream.seen().len() <= 2, "{}", rig.upstream.seen().len());
}
