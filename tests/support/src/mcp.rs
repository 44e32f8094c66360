//! An MCP client over standard input and output, in raw lines where a test wants to err.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

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

/// A running `codex-worker mcp`; killed when dropped.
pub struct Client {
    /// The process.
    pub child: Child,
    /// None once it was closed.
    pub stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    next_id: i64,
}

impl Client {
    /// Starts the server without a handshake.
    pub fn start(mut command: Command) -> Client {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server starts");
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
        Client { child, stdin, lines, next_id: 0 }
    }

    /// Starts the server and shakes hands, as a client that the server does not know.
    pub fn connect(command: Command) -> Client {
        let mut client = Client::start(command);
        let reply = client.request(
            "initialize",
            json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}),
        );
        assert!(reply.get("result").is_some(), "initialize: {reply}");
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        client
    }

    /// Shakes hands as Codex does, with this revision; the answer.
    pub fn initialize(&mut self, version: &str) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "codex-mcp-client", "version": "0"}}}));
        let answer = self.answer();
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer
    }

    /// Writes one raw line.
    pub fn bytes(&mut self, line: &[u8]) {
        let stdin = self.stdin.as_mut().expect("standard input is open");
        stdin.write_all(line).and_then(|()| stdin.write_all(b"\n")).expect("the server reads");
    }

    /// Writes a message.
    pub fn send(&mut self, value: &Value) {
        self.bytes(value.to_string().as_bytes());
    }

    /// Writes a call without waiting for its answer.
    pub fn send_call(&mut self, id: i64, tool: &str, arguments: Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments}}));
    }

    /// The next line within `limit`.
    pub fn line(&self, limit: Duration) -> Option<String> {
        self.lines.recv_timeout(limit).ok()
    }

    /// The next message.
    pub fn answer(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} on stdout: {line}"))
    }

    /// Sends a request and waits for its answer.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let deadline = Instant::now() + PATIENCE;
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

    /// The exit code within the time; the process must be gone by itself.
    pub fn ends_within(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
