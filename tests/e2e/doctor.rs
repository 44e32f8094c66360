//! `doctor`: each fault with what mends it, and what it mends by itself.

use serde_json::{Value, json};

use crate::support::{Agent, BIN, SLUG, World, repair, write};

fn rows(world: &World, more: &[&str]) -> (Value, i32) {
    let args: Vec<&str> = ["doctor", "--json"].into_iter().chain(more.iter().copied()).collect();
    let (out, err, code) = world.run(&args);
    (serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")), code)
}

fn row<'a>(report: &'a Value, what: &str) -> &'a Value {
    let found = report["checks"].as_array().into_iter().flatten().find(|row| row["what"] == what);
    found.unwrap_or_else(|| panic!("no row {what}: {report}"))
}

#[test]
fn what_it_mends_by_itself() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    assert_eq!(rows(&world, &[]).1, 0);
    std::fs::set_permissions(&world.home, PermissionsExt::from_mode(0o755)).expect("mode");
    // A job that was running when its worker, whose number nobody has, died; and one that waits.
    let mut server = world.serve();
    let job = server.call("start", world.job(json!({}))).data["job_id"].as_str().expect("a job").to_owned();
    server.finish(&job);
    let db = rusqlite::Connection::open(world.home.join("jobs.db")).expect("the store");
    let set = "UPDATE jobs SET status = 'running', result = NULL, finished_ms = NULL, worker = '1.1.1', \
               lease_boot = 'another', lease_steady_ms = 0, lease_wall_ms = 0";
    db.execute(set, []).expect("it is set");
    drop(db);
    let (report, code) = rows(&world, &[]);
    assert_eq!(code, 0, "{report}");
    assert!(row(&report, "state directory")["todo"].as_str().is_some_and(|todo| todo.contains("chmod 700")));
    assert!(
        row(&report, "jobs")["seen"].as_str().is_some_and(|seen| seen.contains("worker died")),
        "{report}"
    );
    let (report, _) = rows(&world, &["--fix"]);
    assert_eq!(report["mended"].as_array().map(Vec::len), Some(2), "{report}");
    for what in ["state directory", "jobs"] {
        assert_eq!(row(&report, what)["state"], "ok", "{report}");
    }
}

#[test]
fn what_codex_would_do_on_start() {
    let mut world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let codex = world.home.parent().expect("a parent").join("codex");
    world.set("CODEX_HOME", &codex.display().to_string());
    let todo = |world: &World, text: &str| {
        write(&codex.join("config.toml"), text);
        let (report, _) = rows(world, &[]);
        let rows = report["checks"].as_array().cloned().unwrap_or_default();
        let said = rows.iter().filter(|row| row["what"] == "codex" || row["what"] == "  on start");
        said.map(|row| format!("{}: {} -> {}", row["state"], row["seen"], row["todo"])).collect::<String>()
    };
    let server = |more: &str| format!("[mcp_servers.worker]\ncommand = {BIN:?}\n{more}");
    let approved = "[mcp_servers.worker.tools.start]\napproval_mode = \"approve\"\n";
    for (text, expected) in [
        (String::new(), "`codex-worker setup` adds it"),
        ("a = ".to_owned(), "not valid TOML"),
        ("[mcp_servers.worker]\ncommand = \"/no/such/program\"\n".to_owned(), "which is not there"),
        ("[mcp_servers.worker]\ncommand = \"/bin/sh\"\n".to_owned(), "another program than this one"),
        (server("enabled = false\n"), "switched off"),
        (server(""), "Codex asks you before each `start`"),
        (
            server(&format!("tool_timeout_sec = 20\n{approved}")),
            "tool_timeout_sec of the server to more than 50",
        ),
        (server(&format!("env_vars = [\"SOME_KEY\"]\n{approved}")), "SOME_KEY is not set here"),
        (
            server(&format!("env_vars = [\"ONEAPI_API_KEY\"]\n{approved}")),
            "without asking you; hands on ONEAPI_API_KEY",
        ),
    ] {
        let said = todo(&world, &text);
        assert!(said.contains(expected), "{text}\n{said}\nlacks {expected}");
    }
}

#[test]
fn a_model_without_tools_is_said_to_be_one() {
    let mut world = World::new(SLUG, &json!({"turns": [{"say": "OK"}]}), &Agent::Builtin);
    let (report, code) = rows(&world, &["--network"]);
    assert_eq!((code, row(&report, "model")["state"].as_str()), (6, Some("failed")), "{report}");
    assert!(row(&report, "model")["todo"].as_str().is_some_and(|todo| todo.contains("can call tools")));
    // A gateway that refuses the tools themselves.
    let refuses = test_support::http::Upstream::start_in_thread(|_, seen| {
        use test_support::http::Reply;
        match seen.body.get("tools") {
            Some(_) => {
                Reply::json(400, &json!({"error": {"message": "m does not support tools"}}).to_string())
            }
            None => Reply::json(
                200,
                &json!({"choices": [{"message": {"content": "OK"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 1}})
                .to_string(),
            ),
        }
    });
    world.set("ONEAPI_BASE_URL", &refuses.url);
    let (report, _) = rows(&world, &["--network"]);
    assert!(
        row(&report, "model")["seen"].as_str().is_some_and(|seen| seen.contains("does not support tools")),
        "{report}"
    );
    // An address that nothing answers at says so, and not "run doctor".
    world.set("ONEAPI_BASE_URL", "http://127.0.0.1:9/v1");
    let (out, err, _) = world.run(&["doctor", "--network"]);
    assert!(out.contains("check the address in ONEAPI_BASE_URL"), "{out}");
    assert!(!err.contains("again") && !out.contains("-> run `codex-worker doctor"), "{out}{err}");
}

#[test]
fn completions_and_man_pages_come_from_the_command_line() {
    let world = World::new(SLUG, &json!({"turns": []}), &Agent::Builtin);
    for (shell, expected) in
        [("bash", "complete -F"), ("zsh", "#compdef codex-worker"), ("fish", "complete -c")]
    {
        let (out, err, code) = world.run(&["completions", shell]);
        assert!(code == 0 && out.contains(expected) && out.contains("setup"), "{shell}: {err}");
        assert!(!out.contains("agent-builtin\\:"), "{shell}");
    }
    let (out, _, code) = world.run(&["man"]);
    assert!(code == 0 && out.contains(".TH codex-worker"), "{out}");
    let dir = world.home.join("man");
    let (_, err, code) = world.run(&["man", "--dir", &dir.display().to_string()]);
    assert_eq!(code, 0, "{err}");
    assert!(dir.join("codex-worker-setup.1").is_file());
}
