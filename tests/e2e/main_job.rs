//! The main job, with every agent of this machine: from `start` to evidence.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Agent, BUG, GATEWAY_KEY, SLUG, World, agents, repair, slug_check};

/// Plays `scenario` with every agent and gives each result to `check`.
fn play(scenario: Value, job: Value, check: impl Fn(&World, &Value, &Agent)) {
    for agent in agents() {
        let world = World::new(SLUG, &scenario, &agent);
        let result = world.serve().run_job(world.job(job.clone()));
        eprintln!("{agent:?}: {result}");
        check(&world, &result, &agent);
    }
}

fn scoped(extra: Value) -> Value {
    let mut job = json!({"scoped_patch": {"paths": ["src"]}, "checks": slug_check()});
    if let (Value::Object(job), Value::Object(extra)) = (&mut job, extra) {
        job.extend(extra);
    }
    job
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

#[test]
fn a_fix_in_one_pass_completes() {
    play(json!({"turns": repair()}), scoped(json!({})), |world, result, _| {
        assert_eq!(result["job_status"], "completed", "{result}");
        assert_eq!(result["changed_files"], json!(["src/slug.sh"]));
        let checks = texts(&result["checks"]);
        assert!(checks.iter().any(|c| c.starts_with("scoped_patch: passed")), "{checks:?}");
        assert!(checks.iter().any(|c| c.starts_with("unit tests: passed")), "{checks:?}");
        assert_eq!(result["attempts"], 1);
        assert!(result["usage"]["requests"].as_u64() >= Some(3), "{result}");
        assert!(result["usage"]["input_tokens"].as_u64() > Some(100), "{result}");
        assert!(result.to_string().len() < 2048, "{} bytes", result.to_string().len());
        assert!(
            world.read("src/slug.sh").contains(BUG.1),
            "without isolation the fix lies in the repository"
        );
    });
}

#[test]
fn a_worktree_leaves_the_users_files_alone_and_gives_a_branch() {
    let job = scoped(json!({"isolation": "worktree", "include_diff": true}));
    play(json!({"turns": repair()}), job, |world, result, _| {
        assert_eq!(result["job_status"], "completed", "{result}");
        assert!(world.read("src/slug.sh").contains(BUG.0), "the user's file changed");
        assert_eq!(crate::support::git(&world.repo, &["status", "--porcelain"]), "");
        assert!(result["diff"].as_str().unwrap_or_default().contains("+    printf"), "{result}");
        let branch = result["workspace"]["branch"].as_str().expect("a ref");
        let shown = crate::support::git(&world.repo, &["show", &format!("{branch}:src/slug.sh")]);
        assert!(shown.contains(BUG.1), "{shown}");
    });
}

#[test]
fn an_edit_outside_the_scope_fails_the_job_and_names_the_file() {
    let mut turns = repair();
    turns.insert(2, json!({"tools": [{"write": {"path": "notes.txt", "content": "hello\n"}}]}));
    play(json!({"turns": turns}), scoped(json!({})), |_, result, _| {
        assert_eq!(result["job_status"], "failed", "{result}");
        assert_eq!(result["failure"]["kind"], "out_of_scope", "{result}");
        assert_eq!(result["changed_files"], json!(["notes.txt", "src/slug.sh"]));
        assert!(result.to_string().contains("notes.txt"));
    });
}

#[test]
fn a_wrong_fix_is_sent_back_and_put_right() {
    let turns = json!([
        {"tools": [{"read": {"path": "src/slug.sh"}}]},
        {"tools": [{"edit": {"path": "src/slug.sh", "old": BUG.0, "new": "tr 'A-Z ' 'a-z.'"}}]},
        {"say": "Done."},
        {"tools": [{"edit": {"path": "src/slug.sh", "old": "tr 'A-Z ' 'a-z.'", "new": BUG.1}}]},
        {"say": "Now it is a dash."},
    ]);
    play(json!({"turns": turns}), scoped(json!({"auto_revise": {"max_passes": 2}})), |world, result, _| {
        assert_eq!(result["job_status"], "completed", "{result}");
        assert_eq!(result["attempts"], 2, "{result}");
        let asked = world.requests(0).into_iter().next_back().expect("requests")["body"].to_string();
        assert!(asked.contains("joins words"), "the repair prompt names the failing test");
    });
}

#[test]
fn a_claim_without_a_change_fails() {
    let turns = json!([{"say": "All tests pass now, I fixed everything."}]);
    play(json!({"turns": turns}), scoped(json!({})), |_, result, _| {
        assert_eq!(result["job_status"], "failed", "{result}");
        assert_eq!(result["changed_files"], json!([]));
        assert!(texts(&result["checks"]).iter().any(|c| c.starts_with("unit tests: failed")), "{result}");
    });
}

#[test]
fn secrets_in_text_and_files_do_not_come_out() {
    // A documented prefix and made-up characters.
    let token = "ghp_q7RmZ2kXw9TbV4nLc8JdY5sHf1GaPe3KuEoB";
    let mut turns = repair();
    turns[0]["say"] = json!(format!("I found the token {token} and {GATEWAY_KEY}."));
    turns[2]["say"] = json!(format!("Fixed. The token is {token}, the key {GATEWAY_KEY}."));
    turns.insert(2, json!({"tools": [{"write": {"path": "src/env.sh", "content": format!("TOKEN={token}\nKEY={GATEWAY_KEY}\n")}}]}));
    let job = scoped(json!({"include_diff": true}));
    play(json!({"turns": turns}), job, |world, result, agent| {
        let mut server = world.serve();
        let listed = world.run(&["jobs", "list", "--json"]).0;
        let jobs: Value = serde_json::from_str(&listed).unwrap_or_else(|e| panic!("{e}: {listed}"));
        let id = jobs[0]["job_id"].as_str().or(jobs["jobs"][0]["job_id"].as_str()).expect("a job").to_owned();
        let tail = server.call("tail", json!({"job_id": id, "lines": 200}));
        let seen = format!("{result}{listed}{}{}", tail.data, tail.text);
        assert!(!seen.contains(GATEWAY_KEY) && !seen.contains(token), "{agent:?}: a secret came out: {seen}");
        // Nor does anything in the artifacts.
        let artifacts = world.home.join("jobs").join(&id).join("artifacts");
        let found = std::process::Command::new("grep")
            .args(["-rlE", &format!("{GATEWAY_KEY}|{token}")])
            .arg(&artifacts)
            .output()
            .expect("grep runs");
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "a secret lies in an artifact");
    });
}

#[test]
fn cancel_returns_when_the_tree_is_gone() {
    let mark = "sleep 86399";
    let turns =
        json!([{"tools": [{"run": {"command": format!("{mark} & echo started; wait")}}]}, {"say": "never"}]);
    for agent in agents() {
        let world = World::new(SLUG, &json!({"turns": turns}), &agent);
        let mut server = world.serve();
        let job = server.start_job(world.job(scoped(json!({}))));
        await_true("the command runs", || running(mark));
        let reply = server.call("cancel", json!({"job_id": job, "reason": "test"}));
        assert_eq!(reply.data["job_status"], "cancelled", "{agent:?}: {}", reply.text);
        assert!(!running(mark), "{agent:?}: the command is still there");
        assert_eq!(server.finish(&job)["job_status"], "cancelled");
    }
}

fn running(command: &str) -> bool {
    let out = std::process::Command::new("pgrep").args(["-fx", command]).output().expect("pgrep runs");
    !out.stdout.is_empty()
}

fn await_true(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 40 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_adapter_waits_out_a_busy_gateway() {
    // Which turn, what goes wrong there, and the seconds that a try must wait.
    for (turn, fault, least) in [
        (0, json!([{"turn": 0, "times": 2, "status": 429, "retry_after": "1"}]), 2),
        (1, json!([{"turn": 1, "times": 2, "status": 500}]), 0),
    ] {
        for agent in agents() {
            let world = World::new(SLUG, &json!({"turns": repair(), "faults": fault}), &agent);
            let began = Instant::now();
            let result = world.serve().run_job(world.job(scoped(json!({}))));
            assert_eq!(result["job_status"], "completed", "{agent:?}: {result}");
            // Two refused tries and the third that is answered: the adapter's, not the agent's.
            let tries = world.requests(0).iter().filter(|request| request["turn"] == turn).count();
            assert_eq!(tries, 3, "{agent:?}: {fault}");
            assert!(began.elapsed() >= Duration::from_secs(least), "{agent:?}: Retry-After was not heeded");
        }
    }
}

#[test]
fn a_refused_key_ends_the_job_within_seconds() {
    let scenario = json!({"turns": repair(), "faults": [{"times": 1000, "status": 401}]});
    for agent in agents() {
        let world = World::new(SLUG, &scenario, &agent);
        let began = Instant::now();
        let result = world.serve().run_job(world.job(scoped(json!({}))));
        assert_eq!(result["job_status"], "failed", "{result}");
        assert_eq!(result["failure"]["kind"], "gateway", "{agent:?}: {result}");
        assert!(began.elapsed() < Duration::from_secs(25), "{agent:?}: {:?}", began.elapsed());
        assert!(world.requests(0).len() <= 3, "{agent:?}: {} requests", world.requests(0).len());
    }
}

#[test]
fn odd_streams_do_not_stop_the_job() {
    // Cut in the middle of the answer; then malformed tool arguments; two calls at once;
    // reasoning before the text.
    let cut = json!({"turns": repair(), "faults": [{"turn": 1, "cut_after": 3}]});
    let mut malformed = repair();
    malformed
        .insert(1, json!({"tools": [{"raw": {"name": "Read", "arguments": "{\"file_path\": \"src/sl"}}]}));
    let mut parallel = repair();
    parallel[0]["tools"] = json!([{"read": {"path": "src/slug.sh"}}, {"read": {"path": "tests/run.sh"}}]);
    let mut reasoning = repair();
    reasoning[0]["think"] = json!("The separator looks wrong. ".repeat(20));
    // For each, what the next request must show that the agent was told.
    let asked = |world: &World, turn: usize| {
        let requests = world.requests(0);
        let request = requests.iter().find(|request| request["turn"] == turn).expect("the turn was played");
        request["body"]["messages"].clone()
    };
    let results = |messages: &Value| {
        messages.as_array().into_iter().flatten().filter(|message| message["role"] == "tool").count()
    };
    type Told<'a> = &'a dyn Fn(&World) -> bool;
    let again = |world: &World| world.requests(0).iter().filter(|request| request["turn"] == 1).count() >= 2;
    let refused = |world: &World| {
        let told = asked(world, 2);
        results(&told) == 2 && told.to_string().contains("src/sl")
    };
    let both = |world: &World| {
        let told = asked(world, 1);
        results(&told) == 2
            && told.to_string().contains("Prints its argument")
            && told.to_string().contains("Prints TAP")
    };
    let went_on = |world: &World| results(&asked(world, 1)) == 1;
    let cases: [(&str, Value, Told<'_>); 4] = [
        ("a cut stream is asked for again", cut, &again),
        ("malformed arguments are answered to the model", json!({"turns": malformed}), &refused),
        ("both of two calls are made", json!({"turns": parallel}), &both),
        ("reasoning is no obstacle", json!({"turns": reasoning}), &went_on),
    ];
    for (what, scenario, told) in cases {
        play(scenario, scoped(json!({})), |world, result, agent| {
            assert_eq!(result["job_status"], "completed", "{what}, {agent:?}: {result}");
            assert_eq!(result["changed_files"], json!(["src/slug.sh"]), "{what}");
            assert!(told(world), "{what}, {agent:?}: {:#?}", world.requests(0));
        });
    }
}

#[test]
fn a_job_outlives_its_server() {
    let mut turns = repair();
    turns[0]["delay_ms"] = json!(1500);
    for agent in agents() {
        let world = World::new(SLUG, &json!({"turns": turns}), &agent);
        let mut first = world.serve();
        let job = first.start_job(world.job(scoped(json!({}))));
        first.child.kill().expect("the server is killed");
        drop(first);
        let mut second = world.serve();
        let seen = second.call("get", json!({"job_id": job}));
        let status = seen.data["job_status"].as_str().unwrap_or_default();
        assert!(["queued", "running"].contains(&status), "{agent:?}: {}", seen.data);
        let result = second.finish(&job);
        assert_eq!(result["job_status"], "completed", "{agent:?}: {result}");
        let seen = second.call("get", json!({"job_id": job}));
        assert_eq!(seen.data, result, "get and wait say the same");
    }
}

#[test]
fn two_servers_share_one_state_directory_and_one_limit() {
    let mut turns = repair();
    turns[0]["delay_ms"] = json!(400);
    let mut world = World::new(SLUG, &json!({"turns": turns}), &Agent::Builtin);
    world.set("MAX_RUNNING_JOBS", "1");
    let (mut one, mut two) = (world.serve(), world.serve());
    let job = || world.job(scoped(json!({"isolation": "worktree"})));
    let a = one.start_job(job());
    let b = two.start_job(job());
    assert_ne!(a, b);
    // Each server sees the other's job, and they never run at once.
    let seen = one.call("get", json!({"job_id": b}));
    assert!(!seen.is_error, "{}", seen.text);
    let running = |server: &mut crate::support::Client| {
        [&a, &b]
            .iter()
            .filter(|id| {
                let status = server.call("get", json!({"job_id": id})).data["job_status"].to_string();
                ["\"running\"", "\"verifying\"", "\"revising\""].contains(&status.as_str())
            })
            .count()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        assert!(running(&mut two) <= 1, "two jobs run at once");
        if one.call("get", json!({"job_id": b})).data.get("changed_files").is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(one.finish(&a)["job_status"], "completed");
    assert_eq!(one.finish(&b)["job_status"], "completed");
}

#[test]
fn the_same_key_gives_the_same_job() {
    let world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let mut server = world.serve();
    let args = world.job(scoped(json!({"idempotency_key": "one", "isolation": "worktree"})));
    let first = server.start_job(args.clone());
    assert_eq!(server.start_job(args), first);
}
