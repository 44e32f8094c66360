//! The protocol's own tools against the real binary: inspector `--strict` on stdio, and the
//! conformance scenarios that need no fixture in HTTP mode. With the fixtures the same
//! transport is tried whole in `tests/conformance`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Agent, BIN, SLUG, World};

#[path = "../conformance/tool.rs"]
mod tool;

/// One of the tools, with this world's environment.
fn node(world: &World, dir: &std::path::Path, name: &str) -> Command {
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
    let Some(dir) = tool::dir() else { return };
    let world = World::new(SLUG, &json!({"turns": [{"say": "unused"}]}), &Agent::Builtin);
    let out = node(&world, &dir, "mcp-inspector")
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

/// The tool sends no token of its own: this stands before `server`, adds one to each request and
/// speaks to it under its own name. Other names and origins go through as they are.
fn with_token(server: &str, token: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    let (own, server, token) = (address.clone(), server.to_owned(), token.to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(upstream) = TcpStream::connect(&server) else { continue };
            let (own, server, token) = (own.clone(), server.clone(), token.clone());
            let (Ok(mut back), Ok(mut answers)) = (client.try_clone(), upstream.try_clone()) else {
                continue;
            };
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut answers, &mut back);
                let _ = back.shutdown(std::net::Shutdown::Both);
            });
            std::thread::spawn(move || forward(client, upstream, &own, &server, &token));
        }
    });
    address
}

/// The requests of one connection.
fn forward(client: TcpStream, mut upstream: TcpStream, own: &str, server: &str, token: &str) -> Option<()> {
    let mut client = BufReader::new(client);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if client.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        client.read_exact(&mut body).ok()?;
        let head =
            head.replace(own, server).replacen("\r\n", &format!("\r\nauthorization: Bearer {token}\r\n"), 1);
        upstream.write_all(head.as_bytes()).ok()?;
        upstream.write_all(&body).ok()?;
    }
}

/// What every server must do, whatever its tools are.
const SCENARIOS: &[(&str, &[&str])] = &[
    (
        "2025-11-25",
        &[
            "server-initialize",
            "server-session-lifecycle",
            "ping",
            "tools-list",
            "resources-list",
            "prompts-list",
            "completion-complete",
            "server-sse-multiple-streams",
            "dns-rebinding-protection",
        ],
    ),
    (
        "2026-07-28",
        &[
            "tools-list",
            "resources-list",
            "prompts-list",
            "completion-complete",
            "server-sse-multiple-streams",
            "dns-rebinding-protection",
            "caching",
            "sep-2164-resource-not-found",
            "http-header-validation",
            "input-required-result-missing-input-response",
            "input-required-result-unsupported-methods",
            "input-required-result-ignore-extra-params",
            "input-required-result-validate-input",
        ],
    ),
];

#[test]
fn the_conformance_scenarios_without_fixtures_pass() {
    let Some(dir) = tool::dir() else { return };
    let world = World::new(SLUG, &json!({"turns": [{"say": "unused"}]}), &Agent::Builtin);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let address = format!("127.0.0.1:{port}");
    let (token, _, _) = world.run(&["token", "new", "conformance"]);
    // The old spelling of `serve --listen`.
    let mut server = world.command(&["mcp", "--http", &address]);
    let _server = Http(server.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the server starts"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while std::net::TcpStream::connect(&address).is_err() {
        assert!(Instant::now() < deadline, "the server does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let address = with_token(&address, token.trim());
    for (version, scenarios) in SCENARIOS {
        let out = world.home.join(version);
        let report = tool::run(&dir, &format!("http://{address}/mcp"), &out, &["--requirements", version]);
        // Without the fixtures it cannot be content; it must have come to its end.
        assert_eq!(report.code, Some(1), "{}", report.text);
        for scenario in *scenarios {
            // Of these the tool warns where its own fixture tool is missing.
            let wants_fixture = scenario.starts_with("input-required-result");
            let is_bad =
                |check: &tool::Check| check.status == "FAILURE" || (check.is_bad() && !wants_fixture);
            let checks: Vec<_> = report.checks.iter().filter(|check| check.scenario == *scenario).collect();
            assert!(!checks.is_empty(), "{version}: {scenario} was not run\n{}", report.text);
            let bad: Vec<&String> =
                checks.iter().filter(|check| is_bad(check)).map(|check| &check.about).collect();
            assert!(bad.is_empty(), "{version}: {scenario}: {bad:#?}");
        }
        // The rest want tools, resources and prompts that only a fixture has; what the
        // protocol itself demands there must hold all the same.
        let wrong: Vec<&str> = report
            .checks
            .iter()
            .filter(|check| check.is_bad() && check.scenario == "server-stateless")
            .map(|check| check.about.as_str())
            .filter(|about| !about.contains("diagnostic tool") && !about.contains("test_"))
            .collect();
        assert!(wrong.is_empty(), "{version}: server-stateless: {wrong:#?}");
    }
}
