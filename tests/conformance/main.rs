//! The protocol's own conformance tool against the product's transport: a server made of
//! the transport that ships (`mcp::serve`), with the fixtures that the tool asks for, must
//! pass both dated requirement sets and every scenario of the tasks extension. Nothing is
//! expected to fail. `MCP_NODE_DIR` names a directory with the tool (and a Node that runs
//! it) under `node_modules`.

mod fixtures;
mod jobs;
mod rounds;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use codex_worker::mcp::serve;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use fixtures::Fixtures;

/// The scenarios of the tasks extension; no dated set holds them.
const TASKS: &[&str] = &[
    "tasks-lifecycle",
    "tasks-capability-negotiation",
    "tasks-wire-fields",
    "tasks-request-state-removal",
    "tasks-mrtr-input",
    "tasks-request-headers",
    "tasks-dispatch-and-envelope",
    "tasks-status-notifications",
    "tasks-required-task-error",
    "tasks-mrtr-composition",
];

/// The directory with the tool; with `CODEX_WORKER_REQUIRE_MCP_TOOLS=1` it must be there.
fn tools() -> Option<PathBuf> {
    let dir = std::env::var_os("MCP_NODE_DIR").map(PathBuf::from);
    if dir.is_none() {
        assert!(
            std::env::var_os("CODEX_WORKER_REQUIRE_MCP_TOOLS").is_none(),
            "MCP_NODE_DIR is not set, but CODEX_WORKER_REQUIRE_MCP_TOOLS asks for it"
        );
        eprintln!("NOT RUN with the conformance tool: set MCP_NODE_DIR");
    }
    dir
}

/// A running server with fixtures.
struct Running {
    dir: tempfile::TempDir,
    tools: PathBuf,
    url: String,
    shutdown: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start(tools: PathBuf) -> Running {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener for tokio");
        let url = format!("http://{}/mcp", listener.local_addr().expect("its address"));
        let shutdown = CancellationToken::new();
        let fixtures = Fixtures::new(dir.path(), shutdown.clone());
        let ends = shutdown.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a tokio listener");
                serve::http_on(fixtures, listener, ends).await;
            });
        });
        Running { dir, tools, url, shutdown, thread: Some(thread) }
    }

    /// Runs the tool; every check of every scenario, as it reported them.
    fn run(&self, name: &str, arguments: &[&str]) -> Report {
        let out = self.dir.path().join(name);
        let result = Command::new(self.tools.join("node_modules/node/bin/node"))
            .arg(self.tools.join("node_modules/.bin/conformance"))
            .args(["server", "--url", &self.url, "--timeout", "120000"])
            .args(arguments)
            .arg("-o")
            .arg(&out)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .output()
            .expect("the conformance tool runs");
        let mut checks = Vec::new();
        for entry in std::fs::read_dir(&out).into_iter().flatten().flatten() {
            let Ok(text) = std::fs::read_to_string(entry.path().join("checks.json")) else { continue };
            let scenario = entry.file_name().to_string_lossy().into_owned();
            let list: Vec<Value> = serde_json::from_str(&text).expect("a list of checks");
            checks.extend(list.into_iter().map(|check| (scenario.clone(), check)));
        }
        Report {
            checks,
            text: format!(
                "{}{}",
                String::from_utf8_lossy(&result.stdout),
                String::from_utf8_lossy(&result.stderr)
            ),
            code: result.status.code(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the tool said.
struct Report {
    checks: Vec<(String, Value)>,
    text: String,
    code: Option<i32>,
}

impl Report {
    /// Checks that passed, those that did not pass, and the scenarios.
    fn judge(&self, what: &str) -> usize {
        let status = |check: &Value| check["status"].as_str().unwrap_or_default().to_owned();
        let passed = self.checks.iter().filter(|(_, check)| status(check) == "SUCCESS").count();
        let bad: Vec<String> = self
            .checks
            .iter()
            .filter(|(_, check)| ["FAILURE", "WARNING"].contains(&status(check).as_str()))
            .map(|(scenario, check)| format!("{scenario}: {} {}", check["id"], check["errorMessage"]))
            .collect();
        eprintln!("{what}: {passed} checks passed, {} did not", bad.len());
        assert!(bad.is_empty(), "{what}: {bad:#?}\n{}", self.text);
        assert_eq!(self.code, Some(0), "{what}: {}", self.text);
        passed
    }
}

#[test]
fn the_requirements_of_2025_11_25() {
    let Some(tools) = tools() else { return };
    let running = Running::start(tools);
    let passed = running.run("set", &["--requirements", "2025-11-25"]).judge("requirements 2025-11-25");
    assert!(passed >= 40, "{passed} checks: the tool ran less than the whole set");
}

#[test]
fn the_requirements_of_2026_07_28() {
    let Some(tools) = tools() else { return };
    let running = Running::start(tools);
    let passed = running.run("set", &["--requirements", "2026-07-28"]).judge("requirements 2026-07-28");
    assert!(passed >= 80, "{passed} checks: the tool ran less than the whole set");
}

#[test]
fn every_scenario_of_the_tasks_extension() {
    let Some(tools) = tools() else { return };
    let running = Running::start(tools);
    let mut passed = 0;
    for scenario in TASKS {
        passed += running.run(scenario, &["--scenario", scenario]).judge(scenario);
    }
    assert!(passed >= 25, "{passed} checks in all: scenarios were skipped");
}
