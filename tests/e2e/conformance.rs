//! The protocol's own tools against the real binary: inspector `--strict` on stdio, and the
//! conformance scenarios that need no fixture in HTTP mode. `MCP_NODE_DIR` names a directory
//! with both (and a Node that runs them) under `node_modules`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Agent, BIN, SLUG, World};

/// The directory with the tools; with `CODEX_WORKER_REQUIRE_MCP_TOOLS=1` it must be there.
fn tools() -> Option<PathBuf> {
    let dir = std::env::var_os("MCP_NODE_DIR").map(PathBuf::from);
    if dir.is_none() {
        assert!(
            std::env::var_os("CODEX_WORKER_REQUIRE_MCP_TOOLS").is_none(),
            "MCP_NODE_DIR is not set, but CODEX_WORKER_REQUIRE_MCP_TOOLS asks for it"
        );
        eprintln!("NOT RUN with the inspector and the conformance tool: set MCP_NODE_DIR");
    }
    dir
}

/// One of the tools, with this world's environment.
fn tool(world: &World, dir: &std::path::Path, name: &str) -> Command {
    let mut command = world.command(&[]);
    let environment: Vec<_> =
        command.get_envs().filter_map(|(k, v)| Some((k.to_owned(), v?.to_owned()))).collect();
    command = Command::new(dir.join("node_modules/node/bin/node"));
    command.arg(dir.join("node_modules/.bin").join(name)).env_clear().envs(environment);
    command.stdin(Stdio::null());
    command
}

#[test]
fn the_inspector_finds_nothing_wrong() {
    let Some(dir) = tools() else { return };
    let world = World::new(SLUG, &json!({"turns": [{"say": "unused"}]}), &Agent::Builtin);
    let out = tool(&world, &dir, "mcp-inspector")
        .args(["--cli", BIN, "mcp", "--method", "tools/list", "--strict"])
        .output()
        .expect("the inspector runs");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{stderr}");
    let listed: Value = serde_json::from_slice(&out.stdout).expect("the listing");
    assert_eq!(listed["tools"].as_array().map(Vec::len), Some(8), "{listed}");
}

struct Http(Child);

impl Drop for Http {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What every server must do, whatever its tools are.
const SCENARIOS: &[&str] = &[
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "prompts-list",
    "completion-complete",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
];

#[test]
fn the_conformance_scenarios_without_fixtures_pass() {
    let Some(dir) = tools() else { return };
    let world = World::new(SLUG, &json!({"turns": [{"say": "unused"}]}), &Agent::Builtin);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let address = format!("127.0.0.1:{port}");
    let mut server = world.command(&["mcp", "--http", &address]);
    let _server = Http(server.stdin(Stdio::null()).spawn().expect("the server starts"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(Instant::now() < deadline, "the server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let out = tool(&world, &dir, "conformance")
        .args(["server", "--url", &format!("http://{address}/mcp"), "--spec-version", "2025-11-25", "-o"])
        .arg(world.home.join("conformance"))
        .output()
        .expect("the conformance tool runs");
    let text = String::from_utf8_lossy(&out.stdout);
    let failed: Vec<&&str> = SCENARIOS.iter().filter(|name| !text.contains(&format!("✓ {name}: "))).collect();
    assert!(failed.is_empty(), "{failed:?} did not pass:\n{text}");
}
