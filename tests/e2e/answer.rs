//! What the planner gets: the first of several jobs, bounded slices, resources, a diagnosis
//! when asked for, and sizes that hold however hostile the job is.

use serde_json::{Value, json};

use crate::support::{Agent, Client, SLUG, World, repair, slug_check};

/// A world whose agent is this shell script; the prompt is on its standard input.
fn scripted(script: &str) -> World {
    let mut world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    world.set("AGENT", "command");
    world.set("AGENT_COMMAND", script);
    world
}

fn bytes(value: &Value) -> usize {
    value.to_string().len()
}

#[test]
fn wait_on_several_jobs_returns_at_the_first_that_ends() {
    let world = scripted("if grep -q SLOW; then sleep 100; else echo > made; fi");
    let mut server = world.serve();
    let job = |prompt: &str| world.job(json!({"prompt": prompt, "isolation": "worktree"}));
    let slow = server.start_job(job("SLOW"));
    let quick = server.start_job(job("quick"));
    let reply = server.call("wait", json!({"job_ids": [slow, quick], "timeout_ms": 60_000}));
    assert_eq!(reply.data["job_id"], quick, "{}", reply.data);
    assert_eq!(reply.data["job_status"], "completed", "{}", reply.data);
    // The other goes on, and is named while it runs.
    let reply = server.call("wait", json!({"job_ids": [slow], "timeout_ms": 50}));
    assert_eq!((&reply.data["job_id"], &reply.data["job_status"]), (&json!(slow), &json!("running")));
    assert!(bytes(&reply.data) <= 300, "{}", reply.data);
    assert_eq!(server.call("cancel", json!({"job_id": slow})).data["job_status"], "cancelled");

    for (arguments, expected) in [
        (json!({}), "job_id is missing\nhint: pass the job_id that start gave, or several as job_ids"),
        (
            json!({"job_id": "41"}),
            "job_id is \"41\", which is not a job id\nhint: use the job_id that start gave",
        ),
        (json!({"job_id": "0".repeat(32)}), "there is no job 0000"),
    ] {
        let reply = server.call("wait", arguments);
        assert!(reply.is_error && reply.text.starts_with(expected), "{}", reply.text);
    }
}

/// The whole artifact by slices, as a planner reads it.
fn by_slices(server: &mut Client, job: &str, name: &str, max: u64) -> String {
    let (mut text, mut offset) = (String::new(), 0);
    loop {
        let reply =
            server.call("artifact", json!({"job_id": job, "name": name, "offset": offset, "max_bytes": max}));
        assert!(!reply.is_error && bytes(&reply.data) < 8800, "{}", reply.text);
        text.push_str(reply.data["text"].as_str().unwrap_or_default());
        match reply.data["next_offset"].as_u64() {
            Some(next) => {
                assert!(next > offset, "no progress at {offset}");
                offset = next;
            }
            None => {
                assert_eq!(reply.data["total_bytes"], text.len());
                return text;
            }
        }
    }
}

#[test]
fn artifacts_are_read_in_slices_and_as_resources() {
    let world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let mut server = world.serve();
    let job = server.start_job(world.job(json!({"checks": slug_check(), "isolation": "worktree"})));
    let result = server.finish(&job);
    let names: Vec<&str> = result["artifacts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|artifact| artifact["name"].as_str())
        .collect();
    assert!(names.contains(&"diff.patch") && names.iter().any(|name| name.ends_with(".log")), "{names:?}");
    for name in names {
        let whole = by_slices(&mut server, &job, name, 100_000);
        assert_eq!(by_slices(&mut server, &job, name, 50), whole, "{name}");
        let read = server.request("resources/read", json!({"uri": format!("job://{job}/{name}")}));
        assert_eq!(read["result"]["contents"][0]["text"], whole, "{name}: {read}");
    }
    let templates = server.request("resources/templates/list", json!({}));
    assert_eq!(templates["result"]["resourceTemplates"].as_array().map(Vec::len), Some(2), "{templates}");
    let read = server.request("resources/read", json!({"uri": format!("job://{job}/result")}));
    let text = read["result"]["contents"][0]["text"].as_str().unwrap_or_default();
    let inside: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {read}"));
    assert_eq!(inside["job_status"], "completed");

    for uri in ["job://x/result", "file:///etc/passwd", &format!("job://{job}/../../jobs.db")] {
        let read = server.request("resources/read", json!({"uri": uri}));
        assert_eq!(
            (&read["error"]["code"], &read["error"]["data"]["uri"]),
            (&json!(-32002), &json!(uri)),
            "{read}"
        );
    }
    let reply = server.call("artifact", json!({"job_id": job, "name": "dif.patch"}));
    assert_eq!(reply.text, "there is no artifact \"dif.patch\"\nhint: did you mean diff.patch?");
    let reply = server.call("artifact", json!({"job_id": job, "name": "diff.patch", "offset": 1_000_000}));
    assert!(reply.text.contains("use the next_offset of the last reply"), "{}", reply.text);
}

#[test]
fn a_failed_job_gets_a_diagnosis_when_the_operator_wants_one() {
    for digest in ["0", "1"] {
        let turns = json!([{"say": "The separator is wrong; look at src/slug.sh."}]);
        let mut world = World::new(SLUG, &json!({"turns": turns}), &Agent::Builtin);
        world.set("WORKER_FAILURE_DIGEST", digest);
        world.set("WORKER_LITE_MODEL", "scripted-lite");
        let result = world.serve().run_job(world.job(json!({"checks": slug_check()})));
        assert_eq!(result["failure"]["kind"], "check_failed", "{result}");
        let asked =
            world.requests(0).iter().filter(|request| request["body"]["model"] == "scripted-lite").count();
        let guess = "note: a guess of scripted: The separator is wrong; look at src/slug.sh.";
        let told = result["checks"].as_array().into_iter().flatten().any(|line| line == guess);
        assert_eq!((asked, told), if digest == "1" { (1, true) } else { (0, false) }, "{result}");
        assert!(bytes(&result) < 2048, "{} bytes", bytes(&result));
    }
}

/// `get` and `wait` of a job that did its worst: long and strange names, long checks that
/// all fail, a claim without end.
fn hostile(files: &str, count: usize, limit: usize) {
    let world = scripted(&format!("{files}; yes 'All tests pass \"now\"\\ \u{1F389}' | head -c 300000"));
    let mut server = world.serve();
    // 199 bytes, of which a planner must see the verdict all the same.
    let name = |n: usize| format!("{n}{}", "é".repeat(99));
    let checks: Vec<Value> = (0..5)
        .map(|n| json!({"name": name(n), "command": "echo 'not ok 1 - t: passed'; yes \"\u{1F389}\\\"\" | head -c 50000; exit 1"}))
        .collect();
    let started = server
        .call("start", world.job(json!({"checks": checks, "guard_tests": false, "isolation": "worktree"})));
    assert!(bytes(&started.data) < 250, "{} bytes: {}", bytes(&started.data), started.data);
    let job = started.data["job_id"].as_str().expect("a job").to_owned();
    let result = server.finish(&job);
    let seen = server.call("get", json!({"job_id": job})).data;
    assert_eq!(seen, result, "get and wait say the same");
    eprintln!("{count} hostile files, 5 failing checks: {} bytes", bytes(&result));
    assert!(bytes(&result) < limit, "{} bytes: {result}", bytes(&result));
    assert_eq!(result["job_status"], "failed", "{result}");
    assert_eq!(result["failure"]["kind"], "check_failed", "{result}");
    assert!(result["next_action"].as_str().is_some_and(|text| text.len() > 20), "{result}");
    let shown = result["changed_files"].as_array().map_or(0, Vec::len);
    let omitted = result["changed_files_omitted"].as_u64().unwrap_or(0) as usize;
    assert_eq!(shown + omitted, count, "{result}");
    assert!(shown > 0, "{result}");
    let lines = result["checks"].as_array().cloned().unwrap_or_default();
    let failed =
        lines.iter().filter(|line| line.as_str().is_some_and(|text| text.contains(": failed"))).count();
    assert_eq!(failed, 5, "{lines:#?}");
    let verbose = server.call("get", json!({"job_id": job, "verbose": true, "include_diff": true})).data;
    let diff = verbose["diff"].as_str().unwrap_or_default().len();
    assert!(bytes(&verbose) - bytes(&verbose["diff"]) < 8000, "{} bytes", bytes(&verbose));
    assert!(diff > 0 && diff <= 8000, "{diff} bytes of diff");
    let tail = server.call("tail", json!({"job_id": job, "lines": 500}));
    assert!(bytes(&tail.data) < 6300, "{} bytes", bytes(&tail.data));
}

#[test]
fn twenty_files_with_hostile_names_stay_under_2_kib() {
    let long = "n".repeat(200);
    hostile(
        &format!(
            "i=0; while [ $i -lt 20 ]; do d=\"src/$i/{long}/{long}\"; mkdir -p \"$d\"; echo x > \"$d/\u{1F389} \\\"q\\\" $i\"; i=$((i+1)); done"
        ),
        20,
        2048,
    );
}

#[test]
fn two_thousand_files_stay_under_4_kib() {
    let long = "é".repeat(60);
    hostile(
        &format!("mkdir -p gen; i=0; while [ $i -lt 2000 ]; do echo x > \"gen/{long}$i\"; i=$((i+1)); done"),
        2000,
        4096,
    );
}

/// The token account's aims: 95 % less than the transcript, 80 % less than diff and logs.
#[test]
fn the_account_of_three_jobs_of_real_size_meets_its_aims() {
    let world = World::new(SLUG, &json!({"turns": []}), &Agent::Builtin);
    let (out, err, code) = world.run(&["demo", "--account", "--agent", "builtin"]);
    assert_eq!(code, 0, "{out}{err}");
    eprintln!("{out}");
    for job in ["bug", "repair", "refactor"] {
        let row =
            out.lines().find(|line| line.trim_start().starts_with(job)).unwrap_or_else(|| panic!("{out}"));
        let shares: Vec<f64> = row
            .split_whitespace()
            .zip(row.split_whitespace().skip(1))
            .filter(|(_, unit)| *unit == "%")
            .map(|(number, _)| number.parse().expect("a number"))
            .collect();
        let [transcript, evidence] = shares[..] else { panic!("{row}") };
        assert!(transcript >= 95.0 && evidence >= 80.0, "{row}");
    }
}
