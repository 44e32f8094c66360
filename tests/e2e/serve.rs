//! `serve`: who is let in, what every answer says, hostile jobs, many jobs, live changes, MCP by
//! token; and a real browser where there is one.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use job::sqlite::SqliteStore;
use job::store::JobStore;
use model::result::JobResult;
use model::spec::{JobId, JobSpec};
use model::status::JobStatus;
use serde_json::{Value, json};
use test_support::missing;

use crate::support::{Agent, GATEWAY_KEY, World};

/// A server, its address and the session that was opened with it.
struct Serve {
    child: Child,
    address: String,
    /// The one-time address, until it was opened.
    url: String,
    cookie: String,
}

impl Serve {
    /// Started, with nobody let in yet.
    fn start(world: &World) -> Serve {
        let mut command = world.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("serve starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("a line");
        let url =
            line.trim().strip_prefix("open ").unwrap_or_else(|| panic!("unexpected {line:?}")).to_owned();
        let address = url["http://".len()..].split('/').next().expect("an address").to_owned();
        Serve { child, address, url, cookie: String::new() }
    }

    /// The same, and the one-time address is opened.
    fn opened(world: &World) -> Serve {
        let mut serve = Serve::start(world);
        let path = serve.url["http://".len() + serve.address.len()..].to_owned();
        let answer = serve.ask("GET", &path, &[], "");
        let cookie = answer.headers.get("set-cookie").expect("a cookie");
        serve.cookie = cookie.split(';').next().expect("a pair").to_owned();
        serve
    }

    fn connect(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time limit");
        let mut all = BTreeMap::from([
            ("host".to_owned(), self.address.clone()),
            ("connection".to_owned(), "close".to_owned()),
            ("content-length".to_owned(), body.len().to_string()),
        ]);
        if !self.cookie.is_empty() {
            all.insert("cookie".to_owned(), self.cookie.clone());
        }
        all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let head: String = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        write!(stream, "{method} {path} HTTP/1.1\r\n{head}\r\n{body}").expect("it is sent");
        stream
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut bytes = Vec::new();
        self.connect(method, path, headers, body).read_to_end(&mut bytes).expect("an answer");
        Answer::parse(&String::from_utf8_lossy(&bytes))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect::<BTreeMap<_, _>>();
        let chunked = headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked");
        Answer { status, headers, body: if chunked { dechunked(body) } else { body.to_owned() } }
    }
}

fn dechunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}

fn world() -> World {
    World::new(&[("a.txt", "a\n")], &json!({"turns": [{"say": "unused"}]}), &Agent::Builtin)
}

pub(crate) fn spec(prompt: &str, dir: PathBuf) -> JobSpec {
    // As the store keeps it: fields that come later are not named here.
    serde_json::from_value(json!({
        "prompt": prompt, "allowed_dirs": [dir], "model": null, "permission_mode": "acceptEdits",
        "include_diff": false, "scoped_patch": null, "on_violation": "fail",
        "checks": [{
            "name": "unit tests", "command": "true", "timeout_ms": 1000, "cwd": null,
            "must_fail_before": false, "parallel": false,
        }],
        "guard_tests": false, "max_revise_passes": 0, "isolation": "worktree", "copy_in": [],
        "timeout_ms": 1000, "resume": null, "idempotency_key": null, "labels": {"team": "billing"},
    }))
    .expect("a spec")
}

pub(crate) fn result(status: JobStatus) -> JobResult {
    serde_json::from_value(json!({
        "job_status": status, "changed_files": ["a.txt"], "checks": ["unit tests: passed"], "diff": "",
        "summary": "done", "attempts": 1, "duration_ms": 5, "usage": {"requests": 1, "unmetered": 0},
        "policies": [], "workspace": {"isolation": "worktree"}, "artifacts": [], "next_action": "review",
    }))
    .expect("a result")
}

/// A job that has ended, without one that ever ran.
pub(crate) fn ended(world: &World, spec: &JobSpec, result: &JobResult, events: &[(&str, &str)]) -> JobId {
    let store = SqliteStore::open(&world.home).expect("the store");
    let id = store.enqueue(spec).expect("a job").id;
    let claim = store.claim("test", 1, Duration::from_secs(60)).expect("a claim").expect("the job");
    assert_eq!(claim.id, id);
    let events: Vec<_> = events.iter().map(|(kind, text)| ((*kind).to_owned(), (*text).to_owned())).collect();
    store.append_events(&claim, &events).expect("events");
    store.advance(&claim, JobStatus::Verifying).expect("it is judged");
    store.finish(&claim, result.job_status, result).expect("it ends");
    id
}

pub(crate) fn artifact(world: &World, id: &JobId, name: &str, text: &str) {
    let path = world.home.join("jobs").join(id.as_str()).join("artifacts").join(name);
    std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    std::fs::write(path, text).expect("written");
}

#[test]
fn only_who_opened_the_one_time_address_on_this_machine_is_let_in() {
    let world = world();
    let mut serve = Serve::start(&world);
    let path = serve.url["http://".len() + serve.address.len()..].to_owned();
    assert_eq!(serve.get("/").status, 401);
    assert_eq!(serve.get("/live").status, 401);
    assert_eq!(serve.get("/open?token=0000").status, 401);
    assert_eq!(serve.ask("GET", &path, &[("host", "evil.example")], "").status, 403, "a rebound name");
    assert_eq!(serve.ask("GET", &path, &[("host", "evil.example:80")], "").status, 403);
    let opened = serve.get(&path);
    assert_eq!(opened.status, 200);
    let cookie = opened.headers.get("set-cookie").expect("a cookie").clone();
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!(serve.get(&path).status, 401, "it works once");
    serve.cookie = cookie.split(';').next().expect("a pair").to_owned();
    assert_eq!(serve.get("/").status, 200);
    assert_eq!(serve.ask("GET", "/", &[("host", "evil.example")], "").status, 403, "even with the cookie");
    assert_eq!(serve.ask("GET", "/", &[("origin", "http://evil.example")], "").status, 403);
    let id = ended(&world, &spec("x", world.repo.clone()), &result(JobStatus::Completed), &[]);
    let cancel = format!("/jobs/{id}/cancel");
    assert_eq!(serve.ask("POST", &cancel, &[], "").status, 403, "no origin");
    assert_eq!(serve.ask("POST", &cancel, &[("origin", "null")], "").status, 403);
    assert_eq!(serve.ask("GET", &cancel, &[], "").status, 404, "a look changes nothing");
    let own = format!("http://{}", serve.address);
    assert_eq!(serve.ask("POST", &cancel, &[("origin", &own)], "").status, 200);
    let form = serve.ask("POST", &format!("/jobs/{id}/apply"), &[("origin", &own)], "mode=nowhere");
    assert_eq!(form.status, 400);
    for path in
        ["/", "/nothing", "/style.css", "/app.js", "/policies", "/cost", "/jobs/0", &format!("/jobs/{id}")]
    {
        let answer = serve.get(path);
        let csp = answer.headers.get("content-security-policy").expect("a policy");
        assert!(csp.contains("default-src 'none'") && !csp.contains("unsafe"), "{csp}");
        assert_eq!(answer.headers.get("x-content-type-options").map(String::as_str), Some("nosniff"));
        assert_eq!(answer.headers.get("cache-control").map(String::as_str), Some("no-store"));
        // What the policy forbids is not tried either.
        assert!(!answer.body.contains(" style=") && !answer.body.contains(" onclick"), "{path}");
        assert!(!answer.body.contains("<script>") && !answer.body.contains("<style>"), "{path}");
    }
    let (_, stderr, code) = world.run(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(code == 5 && stderr.contains("not a loopback address"), "{stderr}");
}

/// Markup, terminal sequences, direction changes, a secret, and lines of 2 MB.
#[test]
fn a_hostile_job_is_shown_as_text() {
    let world = world();
    let evil = format!(
        "</td><script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x1b[31m\u{202e}\u{200b}{GATEWAY_KEY}"
    );
    let long = format!("{evil}{}", "<b>x".repeat(512 << 10));
    let mut hostile = spec(&evil, world.repo.join(&evil));
    hostile.model = Some(evil.clone());
    hostile.labels = BTreeMap::from([(evil.clone(), evil.clone())]);
    hostile.checks[0].name = evil.clone();
    hostile.checks[0].command = evil.clone();
    let mut said = result(JobStatus::Failed);
    said.summary = evil.clone();
    said.changed_files = vec![evil.clone()];
    said.checks = vec![evil.clone()];
    said.next_action = evil.clone();
    said.failure =
        serde_json::from_value(json!({"kind": "check_failed", "message": evil, "hint": evil})).ok();
    let id = ended(
        &world,
        &hostile,
        &said,
        &[("tool", &evil), ("check", &format!("{evil}: failed (5 ms)")), ("<b>", &long)],
    );
    artifact(
        &world,
        &id,
        "diff.patch",
        &format!(
            "diff --git a/x b/{evil}\n--- a/x\n+++ b/{evil}\n@@ -1 +1,2 @@\n-{evil}\n+{long}\n+{evil}\n"
        ),
    );
    artifact(&world, &id, "checks/a.log", &format!("{evil}\n{long}\n"));
    artifact(&world, &id, "checks/<i>.log", &evil);
    let finding =
        json!({"rule": evil, "severity": "deny", "message": evil, "path": evil, "line": 1, "remedy": long});
    artifact(
        &world,
        &id,
        "findings.json",
        &json!([{"source": "scope", "broken": false, "by": evil, "finding": finding}]).to_string(),
    );
    let mutant = json!({"path": evil, "line": 1, "mutator": evil, "altered": evil, "diff": long, "digest": evil, "killed": false});
    artifact(
        &world,
        &id,
        "evidence.json",
        &json!([{"check": evil, "without_change": "passed", "mutants": [mutant]}]).to_string(),
    );
    artifact(
        &world,
        &id,
        "attempts/1/diff.patch",
        &format!("diff --git a/{evil} b/{evil}\n@@ -1 +1 @@\n-a\n+{evil}\n"),
    );
    let receipt = world.home.join("jobs").join(id.as_str()).join("receipt.json");
    std::fs::write(
        receipt,
        json!({"predicate": {"agent": evil, "policies": [{"name": evil}], "decided_by": [evil]}}).to_string(),
    )
    .expect("written");
    let serve = Serve::opened(&world);
    let log = |name: &str| format!("/jobs/{id}/log?name={name}");
    for path in [
        "/".to_owned(),
        "/?q=%3Cscript%3E&state=%22%3E".to_owned(),
        format!("/jobs/{id}"),
        format!("/jobs/{id}?events=all"),
        format!("/jobs/{id}/diff"),
        format!("/jobs/{id}/attempts"),
        format!("/jobs/{id}/receipt"),
        log("checks/a.log"),
        log("checks/%3Ci%3E.log"),
        log("diff.patch"),
        log("%3Cscript%3E"),
        log("../receipt.json"),
        "/cost".to_owned(),
        "/policies".to_owned(),
        "/%3Cscript%3Ealert(1)%3C/script%3E".to_owned(),
    ] {
        let begun = Instant::now();
        let answer = serve.get(&path);
        assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.status);
        for bad in ["<script>alert", "<img", "<b>", "<i>", "\x1b", "\u{202e}", "\u{200b}", GATEWAY_KEY] {
            assert!(!answer.body.contains(bad), "{path} has {bad:?}");
        }
        assert!(answer.body.len() < 3 << 20, "{path} has {} bytes", answer.body.len());
        assert!(begun.elapsed() < Duration::from_secs(20), "{path} took {:?}", begun.elapsed());
    }
    let file = serve.get(&format!("/jobs/{id}/file?name=diff.patch"));
    assert_eq!(file.headers.get("content-type").map(String::as_str), Some("application/octet-stream"));
    let disposition = file.headers.get("content-disposition").expect("a disposition");
    assert!(disposition.starts_with("attachment; filename=\""), "{disposition}");
    assert!(
        file.body.contains("<script>alert(1)") && !file.body.contains(GATEWAY_KEY),
        "the bytes, without secrets"
    );
    assert_eq!(serve.get(&format!("/jobs/{id}/file?name=../receipt.json")).status, 404);
}

#[test]
fn ten_thousand_jobs_are_listed_in_a_tenth_of_a_second() {
    let world = world();
    let store = SqliteStore::open(&world.home).expect("the store");
    let db = rusqlite::Connection::open(world.home.join("jobs.db")).expect("the file");
    let result = serde_json::to_string(&result(JobStatus::Completed)).expect("JSON");
    db.execute_batch("BEGIN IMMEDIATE").expect("begun");
    for n in 0..10_000 {
        let spec = spec(&format!("Task number {n}: \"make\" the größte thing\nwork"), world.repo.clone());
        let spec = serde_json::to_string(&spec).expect("JSON");
        let status = if n % 10 == 0 { "failed" } else { "completed" };
        db.execute(
            "INSERT INTO jobs (id, spec, status, created_ms, started_ms, finished_ms, result, event_seq) \
             VALUES (?1, ?2, ?3, ?4, ?4, ?4 + 1000, ?5, 0)",
            rusqlite::params![format!("{n:032x}"), spec, status, 1_700_000_000_000i64 + n, result],
        )
        .expect("a row");
    }
    db.execute_batch("COMMIT").expect("done");
    drop(store);
    let serve = Serve::opened(&world);
    let fastest = |path: &str, has: &str| {
        let times = (0..15).map(|_| {
            let begun = Instant::now();
            let answer = serve.get(path);
            let took = begun.elapsed();
            assert!(answer.status == 200 && answer.body.contains(has), "{path} lacks {has}: {}", answer.body);
            took
        });
        times.min().expect("a time")
    };
    // The quickest of several: the machine does other things too.
    let list = fastest("/", "Task number 9999");
    let last = fastest("/?page=199", "9951–10000 of 10000");
    let failed = fastest("/?state=failed", "1–50 of 1000");
    let search = fastest("/?q=größte+9876", "Task number 9876");
    let by_id = fastest(&format!("/?q={:032x}", 77), "Task number 77:");
    eprintln!(
        "10,000 jobs: list {list:?}, last page {last:?}, failed {failed:?}, search {search:?}, id {by_id:?}"
    );
    assert!(list < Duration::from_millis(100), "the list took {list:?}");
    assert!(failed < Duration::from_millis(150), "a filter took {failed:?}");
    assert!(search < Duration::from_millis(500), "a search took {search:?}");
    assert!(serve.get("/?q=nothing-like-it").body.contains("No job fits this search"));
}

#[test]
fn a_page_is_told_of_changes_and_can_cancel() {
    let world = world();
    let store = SqliteStore::open(&world.home).expect("the store");
    // Held by somebody elsewhere, so that no worker of ours takes the other.
    let first = store.enqueue(&spec("first", world.repo.clone())).expect("a job").id;
    let claim = store.claim("elsewhere", 1, Duration::from_secs(600)).expect("a claim").expect("the job");
    let mut limited = world;
    limited.set("MAX_RUNNING_JOBS", "1");
    let world = limited;
    let id = store.enqueue(&spec("to be cancelled", world.repo.clone())).expect("a job").id;
    let serve = Serve::opened(&world);
    let mut live = BufReader::new(serve.connect("GET", &format!("/live?job={first}"), &[], ""));
    let mut next = |wanted: &str| {
        let mut line = String::new();
        while !line.contains(wanted) {
            line.clear();
            assert!(
                live.read_line(&mut line).expect("a line in time") > 0,
                "the stream ended before {wanted}"
            );
        }
    };
    next("retry:");
    // The first look at the store only says where it is.
    next("event: change");
    store.append_events(&claim, &[("tool".to_owned(), "Edit a.txt".to_owned())]).expect("an event");
    next("event: change");
    let page = serve.get(&format!("/jobs/{first}"));
    assert!(
        page.body.contains("Edit a.txt") && page.body.contains(&format!("data-live=\"/live?job={first}\""))
    );
    let own = format!("http://{}", serve.address);
    let done = serve.ask("POST", &format!("/jobs/{id}/cancel"), &[("origin", &own)], "");
    assert!(done.status == 200 && done.body.contains("is cancelled"), "{}", done.body);
    assert_eq!(store.get(&id).expect("the job").status, JobStatus::Cancelled);
    assert!(serve.get("/?state=stopped").body.contains("to be cancelled"));
}

fn rpc(serve: &Serve, token: &str, id: u32, method: &str, params: Value) -> Answer {
    let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
    let bearer = format!("Bearer {token}");
    let mut headers = vec![
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", method),
    ];
    let name = params["name"].as_str().unwrap_or_default();
    if !name.is_empty() {
        headers.push(("mcp-name", name));
    }
    if !token.is_empty() {
        headers.push(("authorization", &bearer));
    }
    serve.ask("POST", "/mcp", &headers, &body)
}

fn call(serve: &Serve, token: &str, tool: &str, arguments: Value) -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let answer =
        rpc(serve, token, 1, "tools/call", json!({"name": tool, "arguments": arguments, "_meta": meta}));
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

#[test]
fn mcp_over_http_is_for_who_brings_a_token_and_for_its_directories() {
    let world = world();
    let (inner, other) = (world.repo.join("inner"), world.repo.join("other"));
    for dir in [&inner, &other] {
        std::fs::create_dir_all(dir).expect("made");
        std::fs::write(dir.join("secret.txt"), "x").expect("written");
    }
    let hidden = ended(
        &world,
        &spec("hidden", other.clone()),
        &result(JobStatus::Completed),
        &[("tool", "Read hidden")],
    );
    let shown = ended(
        &world,
        &spec("shown", inner.clone()),
        &result(JobStatus::Completed),
        &[("tool", "Read shown")],
    );
    artifact(&world, &hidden, "diff.patch", "the hidden diff");
    let (all, _, code) = world.run(&["token", "new", "all"]);
    assert_eq!(code, 0);
    let (limited, _, code) = world.run(&["token", "new", "limited", "--dir", &inner.display().to_string()]);
    assert_eq!(code, 0);
    let (all, limited) = (all.trim(), limited.trim());
    let (listed, _, _) = world.run(&["token", "list"]);
    assert!(listed.contains("limited") && !listed.contains(limited) && !listed.contains(all), "{listed}");
    let kept = std::fs::read_to_string(world.home.join("tokens.json")).expect("kept");
    assert!(!kept.contains(&limited[4..]), "{kept}");
    let mut serve = Serve::opened(&world);
    assert_eq!(rpc(&serve, "", 1, "tools/list", json!({})).status, 401, "a session of the pages is no token");
    serve.cookie.clear();
    for token in ["", "cwt_0", &limited[..60]] {
        let answer = rpc(&serve, token, 1, "tools/list", json!({}));
        assert_eq!(answer.status, 401, "{}", answer.body);
        assert!(answer.headers.get("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")));
    }
    for (token, sees) in [(all, true), (limited, false)] {
        for (tool, arguments) in [
            ("get", json!({"job_id": hidden})),
            ("wait", json!({"job_id": hidden})),
            ("tail", json!({"job_id": hidden})),
            ("artifact", json!({"job_id": hidden, "name": "diff.patch"})),
            ("cancel", json!({"job_id": hidden})),
        ] {
            let said = call(&serve, token, tool, arguments);
            assert_eq!(!said.contains("there is no job"), sees, "{tool}: {said}");
        }
        assert!(call(&serve, token, "get", json!({"job_id": shown})).contains("completed"));
    }
    let said = call(&serve, limited, "apply", json!({"job_id": hidden, "mode": "check"}));
    assert!(said.contains("there is no job"), "{said}");
    let said = call(&serve, limited, "start", json!({"prompt": "x", "allowed_dirs": [other]}));
    assert!(said.contains("the token limited does not allow"), "{said}");
    let said =
        call(&serve, limited, "start", json!({"prompt": "x", "allowed_dirs": [inner], "resume": hidden}));
    assert!(said.contains("there is no job"), "{said}");
    let asked = json!({"question": "?", "paths": [other.join("secret.txt")]});
    let said = call(&serve, limited, "analyze", asked);
    assert!(said.contains("does not reach"), "{said}");
    let climbing = json!({"question": "?", "paths": [inner.join("../other/secret.txt")]});
    let said = call(&serve, limited, "analyze", climbing);
    assert!(said.contains("\"isError\":true") || said.contains("\"isError\": true"), "{said}");
    assert_eq!(world.run(&["token", "revoke", "limited"]).2, 0);
    assert_eq!(rpc(&serve, limited, 1, "tools/list", json!({})).status, 401, "at once");
}

/// The pages in a real browser: the session, live changes, keys, contrast, no error of its own.
#[test]
fn the_pages_work_in_a_browser() {
    let program = std::env::var_os("CHROMIUM_BIN").map_or(PathBuf::from("/usr/bin/chromium"), PathBuf::from);
    let tools = std::env::var_os("BROWSER_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.join("node_modules/playwright-core").exists());
    let (true, Some(tools)) = (program.exists(), tools) else {
        missing::tool(
            "serve's pages in a browser: install chromium, npm's playwright-core, and set BROWSER_DIR",
        );
        return;
    };
    let world = world();
    let mut done = result(JobStatus::Failed);
    done.failure =
        serde_json::from_value(json!({"kind": "check_failed", "message": "no", "hint": "look"})).ok();
    let events = [("tool", "Edit a.txt"), ("agent", "Done.")];
    for n in 0..60 {
        ended(&world, &spec(&format!("Task {n}"), world.repo.clone()), &result(JobStatus::Completed), &[]);
    }
    let id = ended(&world, &spec("Look at <b>me</b>", world.repo.clone()), &done, &events);
    artifact(
        &world,
        &id,
        "diff.patch",
        "diff --git a/a.rs b/a.rs\n--- a/a.rs\n+++ b/a.rs\n@@ -1 +1 @@\n-let a = 1; // one\n+let a = \"two\";\n",
    );
    let finding = json!({"rule": "r", "severity": "warn", "message": "m", "path": "a.rs", "line": 1, "remedy": "mend it"});
    artifact(
        &world,
        &id,
        "findings.json",
        &json!([{"source": "verifier", "broken": false, "by": "p@1", "finding": finding}]).to_string(),
    );
    artifact(&world, &id, "checks/unit_tests.log", "ok\n");
    let serve = Serve::start(&world);
    // What the page must notice comes from another process while it is open.
    let store = SqliteStore::open(&world.home).expect("the store");
    let mut node = Command::new("node")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/browser.mjs"))
        .args([&serve.url, id.as_str()])
        .env("BROWSER_DIR", tools)
        .env("CHROMIUM_BIN", program)
        .stdout(Stdio::piped())
        .spawn()
        .expect("node starts");
    let mut said = String::new();
    for line in BufReader::new(node.stdout.take().expect("its output")).lines() {
        let line = line.expect("a line");
        if line == "ready for a new job" {
            ended(
                &world,
                &spec("A job that came later", world.repo.clone()),
                &result(JobStatus::Completed),
                &[],
            );
        }
        said += &format!("{line}\n");
    }
    drop(store);
    assert!(node.wait().expect("it ends").success(), "{said}");
    assert!(said.ends_with("all is well\n"), "{said}");
}
