//! The protocol's own conformance tool against the product's transport: a server made of
//! the transport that ships (`mcp::serve`), with the fixtures that the tool asks for, must
//! pass both dated requirement sets and every scenario of the tasks extension. Nothing is
//! expected to fail, and what the sets hold without scoring it must pass as well.

#![allow(clippy::disallowed_methods, reason = "variables say which real tools the tests run with")]

mod fixtures;
mod jobs;
mod rounds;
mod tool;

use std::path::PathBuf;

use codex_worker::mcp::serve;
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

    /// Runs the tool; nothing may fail. Gives the number of checks that passed.
    fn run(&self, what: &str, arguments: &[&str]) -> usize {
        let report = tool::run(&self.tools, &self.url, &self.dir.path().join(what), arguments);
        let passed = report.checks.iter().filter(|check| check.status == "SUCCESS").count();
        let bad: Vec<String> = report
            .checks
            .iter()
            .filter(|check| check.is_bad())
            .map(|check| format!("{}: {}", check.scenario, check.about))
            .collect();
        eprintln!("{what}: {passed} checks passed, {} did not", bad.len());
        assert!(bad.is_empty(), "{what}: {bad:#?}\n{}", report.text);
        assert_eq!(report.code, Some(0), "{what}: {}", report.text);
        passed
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

#[test]
fn the_requirements_of_2025_11_25() {
    let Some(tools) = tool::dir() else { return };
    let running = Running::start(tools);
    let passed = running.run("requirements of 2025-11-25", &["--requirements", "2025-11-25"]);
    assert!(passed >= 80, "{passed} checks: the tool ran less than the whole set");
}

#[test]
fn the_requirements_of_2026_07_28() {
    let Some(tools) = tool::dir() else { return };
    let running = Running::start(tools);
    let passed = running.run("requirements of 2026-07-28", &["--requirements", "2026-07-28"]);
    assert!(passed >= 190, "{passed} checks: the tool ran less than the whole set");
}

#[test]
fn every_scenario_of_the_tasks_extension() {
    let Some(tools) = tool::dir() else { return };
    let running = Running::start(tools);
    let mut passed = 0;
    for scenario in TASKS {
        passed += running.run(scenario, &["--scenario", scenario]);
    }
    assert!(passed >= 40, "{passed} checks in all: scenarios were skipped");
}
