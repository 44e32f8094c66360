//! What ends a job from outside, in every state and from every side: cancel, time, signals,
//! kills. Each test looks at the processes as well as at the words.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Agent, BUG, SLUG, World, agents, repair, slug_check, until};

/// A check that nobody can ask to end, with a child in a session of its own.
const STUBBORN: &str = "trap '' TERM INT HUP; setsid sleep 611 & while :; do sleep 0.1; done";

fn world(turns: Value) -> World {
    World::new(SLUG, &json!({"turns": turns}), &Agent::Builtin)
}

/// The repair, after which the model takes its time.
fn slow(delay_ms: u64) -> Value {
    let mut turns = repair();
    turns.insert(2, json!({"delay_ms": delay_ms, "say": "That took a while."}));
    json!(turns)
}

fn processes(matches: impl Fn(&str, &str) -> bool) -> Vec<u32> {
    let read = |pid: u32, name: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', "\n")
    };
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok())
        .filter(|pid| matches(&read(*pid, "cmdline"), &read(*pid, "environ")))
        .collect()
}

fn workers(world: &World) -> Vec<u32> {
    let home = format!("CODEX_WORKER_HOME={}", world.home.display());
    processes(|cmdline, environ| cmdline.contains("\nwork\n") && environ.lines().any(|line| line == home))
}

fn tagged(job: &str) -> Vec<u32> {
    let tag = format!("CODEX_WORKER_MARK=cw-{job}");
    processes(|cmdline, environ| !cmdline.is_empty() && environ.lines().any(|line| line.starts_with(&tag)))
}

fn signal(pid: u32, signal: &str) {
    let asked = std::process::Command::new("kill").args([signal, &pid.to_string()]).status();
    assert!(asked.expect("kill runs").success());
}

fn status(server: &mut crate::support::Client, job: &str) -> String {
    server.call("get", json!({"job_id": job})).data["job_status"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn cancel_in_every_state_and_from_another_server() {
    let wrong =
        json!({"tools": [{"edit": {"path": "src/slug.sh", "old": BUG.0, "new": "tr 'A-Z ' 'a-z.'"}}]});
    for (state, turns, checks) in [
        ("running", slow(60_000), slug_check()),
        ("verifying", json!(repair()), json!([{"name": "stubborn", "command": STUBBORN}])),
        (
            "revising",
            json!([wrong, {"say": "done"}, {"delay_ms": 60_000, "say": "never seen"}]),
            slug_check(),
        ),
    ] {
        let mut world = world(turns);
        world.set("MAX_RUNNING_JOBS", "1");
        let mut starter = world.serve();
        let job = json!({"isolation": "worktree", "checks": checks, "auto_revise": {"max_passes": 2}});
        let job = starter.start_job(world.job(job));
        let queued = starter.start_job(world.job(json!({"isolation": "worktree"})));
        let mut other = world.serve();
        until(state, || status(&mut other, &job) == state && world.requests(0).len() >= 3);
        if state == "verifying" {
            until("the check runs", || processes(|cmdline, _| cmdline == "sleep\n611\n").len() == 1);
        }
        // One that waits ends at once, and is never run.
        let reply = other.call("cancel", json!({"job_id": queued, "reason": "not needed"}));
        assert_eq!(reply.data["job_status"], "cancelled", "{}", reply.text);
        drop(starter);
        let reply = other.call("cancel", json!({"job_id": job}));
        assert_eq!(reply.data["job_status"], "cancelled", "{state}: {}", reply.text);
        // It is gone when that is said, not some time later.
        assert_eq!(tagged(&job), [0; 0], "{state}");
        assert_eq!(processes(|cmdline, _| cmdline == "sleep\n611\n"), [0; 0], "{state}");
        // Twice is once.
        let again = other.call("cancel", json!({"job_id": job, "reason": "again"}));
        assert!(!again.is_error && again.data["job_status"] == "cancelled", "{}", again.text);
        let result = other.finish(&job);
        assert_eq!(result["changed_files"], json!(["src/slug.sh"]), "{state}: {result}");
        assert!(world.read("src/slug.sh").contains(BUG.0), "the user's file is untouched");
        let unknown = other.call("cancel", json!({"job_id": "0".repeat(32)}));
        assert!(unknown.is_error && unknown.text.contains("there is no job"), "{}", unknown.text);
    }
}

#[test]
fn a_cancel_does_not_change_what_has_ended() {
    let world = world(json!(repair()));
    let mut server = world.serve();
    let job =
        server.start_job(world.job(json!({"checks": slug_check(), "scoped_patch": {"paths": ["src"]}})));
    assert_eq!(server.finish(&job)["job_status"], "completed");
    let reply = server.call("cancel", json!({"job_id": job}));
    assert_eq!(reply.data["job_status"], "completed", "{}", reply.text);
    let (said, _, code) = world.run(&["jobs", "cancel", &job[..10], "--json"]);
    assert_eq!(code, 0);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&said["job_id"], &said["job_status"]), (&json!(job), &json!("completed")));
}

#[test]
fn a_check_that_does_not_listen_ends_with_its_time_or_the_jobs() {
    let world = world(json!(repair()));
    let mut server = world.serve();
    let check = json!([{"name": "stubborn", "command": STUBBORN, "timeout_ms": 1500}]);
    let job = server.start_job(world.job(json!({"isolation": "worktree", "checks": check})));
    let result = server.finish(&job);
    assert_eq!(result["job_status"], "failed", "{result}");
    assert!(result["checks"].to_string().contains("stubborn: timed out"), "{result}");
    assert_eq!(tagged(&job), [0; 0]);

    let check = json!([{"name": "stubborn", "command": STUBBORN}]);
    let job = json!({"isolation": "worktree", "checks": check, "timeout_ms": 12_000});
    let job = server.start_job(world.job(job));
    let result = server.finish(&job);
    assert_eq!(result["job_status"], "timed_out", "{result}");
    assert_eq!(result["changed_files"], json!(["src/slug.sh"]), "{result}");
    assert_eq!(tagged(&job), [0; 0]);
}

#[test]
fn sigterm_ends_a_worker_within_five_seconds_whatever_a_check_does() {
    let world = world(json!(repair()));
    let mut server = world.serve();
    let check = json!([{"name": "stubborn", "command": STUBBORN}]);
    let job = server.start_job(world.job(json!({"isolation": "worktree", "checks": check})));
    until("verifying", || status(&mut server, &job) == "verifying" && !tagged(&job).is_empty());
    let worker = workers(&world)[0];
    let began = Instant::now();
    signal(worker, "-TERM");
    until("the worker is gone", || workers(&world).is_empty());
    let took = began.elapsed();
    eprintln!("a worker with a check that ignores SIGTERM was gone after {took:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    let result = server.finish(&job);
    assert_eq!(result["job_status"], "interrupted", "{result}");
    assert_eq!(result["changed_files"], json!(["src/slug.sh"]), "{result}");
    assert_eq!(tagged(&job), [0; 0]);
}

#[test]
fn sigterm_ends_a_server_at_once_and_its_job_goes_on() {
    let mut turns = repair();
    turns[1]["delay_ms"] = json!(4000);
    let world = world(json!(turns));
    let mut server = world.serve();
    let job = json!({"checks": slug_check(), "scoped_patch": {"paths": ["src"]}});
    let job = server.start_job(world.job(job));
    server.send(&json!({"jsonrpc": "2.0", "id": 99, "method": "tools/call",
            "params": {"name": "wait", "arguments": {"job_id": job, "timeout_ms": 50_000}}}));
    until("a worker", || !workers(&world).is_empty());
    let began = Instant::now();
    signal(server.child.id(), "-TERM");
    let ended = server.child.wait().expect("it ends");
    eprintln!("a server with a call in flight ended after {:?} with {ended}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(world.serve().finish(&job)["job_status"], "completed");
}

/// The worker is killed in the middle of the agent's conversation; what was done is told
/// within seconds, kept, and gone on from: with the real Claude Code too, where it is there.
#[test]
fn a_killed_worker_leaves_evidence_and_the_conversation_goes_on() {
    for agent in agents() {
        let world = World::new(SLUG, &json!({"turns": slow(20_000)}), &agent);
        let mut server = world.serve();
        let job =
            json!({"isolation": "worktree", "scoped_patch": {"paths": ["src"]}, "checks": slug_check()});
        let job = server.start_job(world.job(job));
        until("the edit is made and the model is slow", || world.requests(0).len() >= 3);
        let had = world.requests(0).len();
        let worker = workers(&world)[0];
        signal(worker, "-KILL");
        let began = Instant::now();
        let result = server.finish(&job);
        let took = began.elapsed();
        eprintln!("{agent:?}: told after {took:?}");
        assert!(took < Duration::from_secs(15), "{agent:?}: {took:?}");
        assert_eq!(result["job_status"], "interrupted", "{agent:?}: {result}");
        assert_eq!(result["failure"]["kind"], "interrupted");
        assert_eq!(result["changed_files"], json!(["src/slug.sh"]), "{agent:?}: {result}");
        assert!(result["workspace"]["branch"].is_string(), "{agent:?}: its work is a ref: {result}");
        assert!(result["usage"]["requests"].as_u64() >= Some(2), "{agent:?}: {result}");
        assert_eq!(tagged(&job), [0; 0], "{agent:?}");
        let kept = world.home.join("jobs").join(&job).join("worktree");
        assert!(kept.is_dir(), "{agent:?}: the worktree is kept");

        let resumed = json!({"isolation": "worktree", "resume": job, "prompt": "Go on with it.",
            "scoped_patch": {"paths": ["src"]}, "checks": slug_check()});
        let result = server.run_job(world.job(resumed));
        assert_eq!(result["job_status"], "completed", "{agent:?}: {result}");
        // What the model was sent next holds the whole conversation before.
        let next = world.requests(0)[had]["body"]["messages"].to_string();
        for earlier in ["Make the tests pass.", "I look at the code.", "a-z_", "Go on with it."] {
            assert!(next.contains(earlier), "{agent:?}: {earlier:?} is not in {next}");
        }
    }
}

/// Many cancels that wait for a stopped worker keep a server from nothing else.
#[test]
fn cancels_that_wait_do_not_stop_a_server() {
    let world = world(slow(60_000));
    let mut server = world.serve();
    let job = server.start_job(world.job(json!({"isolation": "worktree"})));
    until("the agent works", || !tagged(&job).is_empty());
    let worker = workers(&world)[0];
    signal(worker, "-STOP");
    for id in 100..120 {
        server.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
                "params": {"name": "cancel", "arguments": {"job_id": job}}}));
    }
    let began = Instant::now();
    let reply = server.call("tail", json!({"job_id": job}));
    let took = began.elapsed();
    signal(worker, "-CONT");
    // A cancel waits for up to 30 s: a call that waited behind one took longer than this.
    assert!(!reply.is_error && took < Duration::from_secs(20), "{took:?}: {}", reply.text);
    assert_eq!(server.finish(&job)["job_status"], "cancelled");
}

/// A worker that was only stopped comes back after another process has ended its job: it
/// changes nothing any more.
#[test]
fn a_stopped_worker_comes_back_too_late() {
    let mut turns = repair();
    turns[1]["delay_ms"] = json!(1500);
    let world = world(json!(turns));
    let mut server = world.serve();
    let job = json!({"isolation": "worktree", "checks": slug_check()});
    let job = server.start_job(world.job(job));
    until("the agent works", || !tagged(&job).is_empty());
    let worker = workers(&world)[0];
    signal(worker, "-STOP");
    let began = Instant::now();
    let result = server.finish(&job);
    eprintln!("the job of a stopped worker was ended after {:?}", began.elapsed());
    assert_eq!(result["job_status"], "interrupted", "{result}");
    assert_eq!(tagged(&job), [0; 0], "the agent goes with the lease");
    let told = server.call("tail", json!({"job_id": job, "lines": 200})).data["lines"].clone();
    signal(worker, "-CONT");
    until("the late worker leaves", || workers(&world).is_empty());
    assert_eq!(server.call("tail", json!({"job_id": job, "lines": 200})).data["lines"], told);
    assert_eq!(server.finish(&job), result);
}
