//! What nobody may find: the gateway's key, wherever somebody repeats it, and tokens in which
//! something invisible hides; in replies, in artifacts, and in every file of the state directory.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Agent, GATEWAY_KEY, SLUG, World, agents, repair, write};

/// Every file below `dir` whose bytes hold `needle`.
fn holding(dir: &Path, needle: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(holding(&path, needle));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

/// The gateway, the planner and a check repeat the key; neither agent nor disk ever has it.
#[test]
fn the_gateways_key_is_nowhere() {
    let (first, second) = GATEWAY_KEY.split_at(9);
    for agent in agents() {
        let mut turns = repair();
        turns[0]["think"] = json!(format!("The key is {GATEWAY_KEY}."));
        turns[1]["say"] = json!(format!("I write {GATEWAY_KEY} down."));
        turns[1]["tools"]
            .as_array_mut()
            .expect("tools")
            .push(json!({"write": {"path": "src/key.txt", "content": format!("\"{GATEWAY_KEY}\"\n")}}));
        turns[2]["say"] = json!(format!("Done with {GATEWAY_KEY}."));
        let world = World::new(SLUG, &json!({"turns": turns}), &agent);
        let check = format!("sh tests/run.sh; printf '%s%s\\n' {first} {second}; exit 1");
        let mut client = world.serve();
        let result = client.run_job(world.job(json!({
            "prompt": format!("Repair it; the key is {GATEWAY_KEY}."),
            "checks": [{"name": format!("with {GATEWAY_KEY}"), "command": check}],
        })));
        assert_eq!(result["job_status"], "failed", "{agent:?}: {result}");
        assert!(!result.to_string().contains(GATEWAY_KEY), "{agent:?}: {result}");
        let written = world.read("src/key.txt");
        assert!(written.starts_with("\"[REDACTED:") && written.ends_with("]\"\n"), "{agent:?}: {written}");
        let found = holding(&world.home, GATEWAY_KEY);
        assert!(found.is_empty(), "{agent:?}: the key is in {found:?}");
    }
}

/// Tokens are found whatever invisible character is inside: in `tail`, `get`, logs and the store.
#[test]
fn invisible_characters_hide_no_token() {
    let tokens: Vec<(String, String)> = [
        ("zwsp", "\u{200b}"),
        ("zwj", "\u{200d}"),
        ("wj", "\u{2060}"),
        ("bom", "\u{feff}"),
        ("shy", "\u{ad}"),
        ("cgj", "\u{34f}"),
        ("vs", "\u{fe0f}"),
        ("vs17", "\u{e0100}"),
        ("rlo", "\u{202e}"),
        ("iso", "\u{2066}"),
        ("rlm", "\u{200f}"),
        ("mvs", "\u{180e}"),
        ("hangul", "\u{3164}"),
        ("times", "\u{2062}"),
        ("tag", "\u{e0041}"),
        ("nul", "\\0"),
        ("colour", "\u{1b}[31m"),
    ]
    .into_iter()
    .enumerate()
    .map(|(n, (name, hidden))| {
        let (head, tail) = (format!("ghp_A{n:02}c2D4e6F8h"), "J1k3L5m7N9p2Q4r6S8t0U1w3");
        (format!("{head}{tail}"), format!("{name} {head}{hidden}{tail}"))
    })
    .collect();
    let shown: String = tokens.iter().map(|(_, shown)| format!("FAIL: {shown}\\n")).collect();
    let mut turns = repair();
    turns[2]["say"] = json!(tokens.iter().map(|(_, shown)| shown.as_str()).collect::<Vec<_>>().join(", "));
    let world = World::new(SLUG, &json!({"turns": turns}), &Agent::Builtin);
    write(&world.repo.join("print.sh"), &format!("printf '{shown}'\nexit 1\n"));
    let mut client = world.serve();
    let job = client.start_job(world.job(json!({"checks": [{"name": "prints", "command": "sh print.sh"}]})));
    client.finish(&job);
    let tail = client.call("tail", json!({"job_id": job, "lines": 200})).data.to_string();
    let got = client.call("get", json!({"job_id": job, "verbose": true, "include_diff": true})).data;
    assert!(got["checks"].to_string().contains("failed"), "{got}");
    let texts: Vec<String> = [tail, got.to_string()]
        .into_iter()
        .chain(
            holding(&world.home, "zwsp")
                .into_iter()
                .filter(|path| is_for_readers(path))
                .map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()),
        )
        .collect();
    assert!(texts.len() > 3, "log, store and replies hold the names: {}", texts.len());
    for text in &texts {
        let seen: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
        for (token, _) in &tokens {
            assert!(!text.contains(token) && !seen.contains(token), "{token} in {text}");
        }
    }
}

/// What the host keeps for others to read. The agent's own conversation and what was recorded of
/// the tree hold what the agent and the tree hold.
fn is_for_readers(path: &Path) -> bool {
    let text = path.to_string_lossy();
    ["/artifacts/", "jobs.db", "events", "receipt", "worker.log"].iter().any(|part| text.contains(part))
}

/// An address at which nobody answers: `doctor` says to look at the address.
#[test]
fn an_unreachable_gateway_is_named() {
    let mut world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("address");
    world.set("ONEAPI_BASE_URL", &format!("http://{closed}/v1"));
    let (stdout, stderr, code) = world.run(&["doctor", "--network", "--json"]);
    let rows: Value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"));
    let row = rows["checks"].as_array().into_iter().flatten().find(|row| row["what"] == "gateway answers");
    let row = row.expect("a row");
    assert!(row["seen"].as_str().is_some_and(|seen| seen.contains(&closed.to_string())), "{row}");
    let todo = row["todo"].as_str().expect("advice");
    assert!(todo.contains("the address in ONEAPI_BASE_URL") && !todo.contains("doctor"), "{todo}");
    assert_ne!(code, 0);
}
