//! Jobs from outside: what ends them, what they leave, how they go on, and the `jobs`
//! subcommands.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Agent, BUG, SLUG, World, repair, slug_check, until};

fn world(turns: Value) -> World {
    World::new(SLUG, &json!({"turns": turns}), &Agent::Builtin)
}

fn scoped(extra: Value) -> Value {
    let mut job = json!({"scoped_patch": {"paths": ["src"]}, "checks": slug_check()});
    if let (Value::Object(job), Value::Object(extra)) = (&mut job, extra) {
        job.extend(extra);
    }
    job
}

fn worker(world: &World) -> Option<u32> {
    let home = format!("CODEX_WORKER_HOME={}", world.home.display());
    std::fs::read_dir("/proc").expect("/proc").flatten().find_map(|entry| {
        let pid = entry.file_name().to_string_lossy().parse().ok()?;
        let read = |name: &str| {
            String::from_utf8_lossy(&std::fs::read(entry.path().join(name)).unwrap_or_default()).into_owned()
        };
        let ours = read("environ").split('\0').any(|line| line == home);
        (ours && read("cmdline").contains("\0work\0")).then_some(pid)
    })
}

#[test]
fn a_worker_told_to_end_leaves_evidence_and_the_job_goes_on_with_resume() {
    let mut turns = repair();
    // The edit is made, then the model is slow.
    turns.insert(2, json!({"delay_ms": 30_000, "say": "never seen"}));
    let world = world(json!(turns));
    let mut server = world.serve();
    let job = server.start_job(world.job(scoped(json!({"isolation": "worktree"}))));
    until("the edit is made", || {
        let tail = server.call("tail", json!({"job_id": job, "lines": 50}));
        tail.data.to_string().contains("Edit src/slug.sh")
    });
    let pid = worker(&world).expect("a worker");
    let began = Instant::now();
    let asked = std::process::Command::new("kill").arg(pid.to_string()).status().expect("kill runs");
    assert!(asked.success());
    until("the worker is gone", || worker(&world).is_none());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let result = server.finish(&job);
    assert_eq!(result["job_status"], "interrupted", "{result}");
    assert_eq!(result["changed_files"], json!(["src/slug.sh"]), "{result}");
    assert_eq!(result["failure"]["kind"], "interrupted");

    // The conversation goes on where it was; the script's next turn ends it at once.
    let resumed = json!({"isolation": "worktree", "resume": job, "prompt": "Go on."});
    let result = server.run_job(world.job(scoped(resumed)));
    assert_eq!(result["job_status"], "completed", "{result}");
    let branch = result["workspace"]["branch"].as_str();
    assert!(branch.is_none() || branch.is_some_and(|b| b.starts_with("refs/codex-worker/")), "{result}");
}

#[test]
fn time_and_budget_end_a_job_and_say_so() {
    let mut slow = repair();
    slow[1]["delay_ms"] = json!(30_000);
    let world_ = world(json!(slow));
    let result = world_.serve().run_job(world_.job(scoped(json!({"timeout_ms": 4000}))));
    assert_eq!(result["job_status"], "timed_out", "{result}");
    assert_eq!(result["failure"]["kind"], "budget", "{result}");

    let turn = json!({"tools": [{"read": {"path": "src/slug.sh"}}], "delay_ms": 200});
    let mut world = world(json!(vec![turn; 30]));
    world.set("WORKER_MAX_REQUESTS", "4");
    let result = world.serve().run_job(world.job(scoped(json!({}))));
    assert_eq!(result["job_status"], "failed", "{result}");
    assert_eq!(result["failure"]["kind"], "budget", "{result}");
    assert!(result["usage"]["requests"].as_u64() < Some(12), "{result}");
}

#[test]
fn a_check_that_passed_before_proves_nothing() {
    let world = world(json!(repair()));
    let checks = json!([
        {"name": "proof", "command": "sh tests/run.sh", "must_fail_before": true},
        {"name": "always", "command": "true", "must_fail_before": true},
    ]);
    let result = world.serve().run_job(world.job(scoped(json!({"checks": checks}))));
    assert_eq!(result["job_status"], "failed", "{result}");
    assert_eq!(result["failure"]["kind"], "check_failed");
    let lines = result["checks"].to_string();
    assert!(lines.contains("proof: passed") && lines.contains("always: failed"), "{lines}");
}

#[test]
fn tests_bent_to_pass_are_found_out() {
    let turns = json!([
        {"tools": [{"edit": {"path": "tests/run.sh", "old": "= a-b ]", "new": "= a_b ]"}}]},
        {"say": "All tests pass."},
    ]);
    let world = world(turns);
    // Without a scope only the guarded run and the policies stand in the way.
    let result = world.serve().run_job(world.job(json!({"checks": slug_check()})));
    assert_eq!(result["job_status"], "failed", "{result}");
    assert!(result["checks"].to_string().contains("fails with the tests as they were"), "{result}");
}

#[test]
fn what_a_check_writes_is_not_the_agents_doing() {
    let turns = || {
        json!([
            {"tools": [{"edit": {"path": "src/slug.sh", "old": BUG.0, "new": "tr 'A-Z ' 'a-z.'"}}]},
            {"say": "Done."},
            {"tools": [{"edit": {"path": "src/slug.sh", "old": "tr 'A-Z ' 'a-z.'", "new": BUG.1}}]},
            {"say": "Now it is a dash."},
        ])
    };
    let checks = json!([{"name": "unit tests", "command": "mkdir -p target; echo x > target/cache.bin; sh tests/run.sh"}]);
    for isolation in ["worktree", "none"] {
        let world = world(turns());
        let job = json!({"checks": checks, "isolation": isolation, "auto_revise": {"max_passes": 2}});
        let result = world.serve().run_job(world.job(scoped(job)));
        assert_eq!(result["job_status"], "completed", "{isolation}: {result}");
        assert_eq!(result["changed_files"], json!(["src/slug.sh"]), "{isolation}");
        assert_eq!(result["attempts"], 2);
    }
}

#[test]
fn edits_outside_the_scope_are_put_back_when_asked() {
    let mut turns = repair();
    turns.insert(1, json!({"tools": [{"write": {"path": "notes.txt", "content": "mine\n"}}]}));
    turns.insert(1, json!({"tools": [{"edit": {"path": "README.md", "old": "# slug", "new": "# SLUG"}}]}));
    let world = world(json!(turns));
    let result = world.serve().run_job(world.job(scoped(json!({"on_violation": "revert"}))));
    assert_eq!(result["job_status"], "completed", "{result}");
    assert_eq!(result["changed_files"], json!(["src/slug.sh"]));
    assert_eq!(world.read("README.md"), "# slug\n");
    assert!(!world.repo.join("notes.txt").exists());
}

#[test]
fn the_same_failure_twice_goes_to_the_stronger_model_and_then_stops() {
    let wrong =
        |n: u32| json!({"tools": [{"write": {"path": "src/extra.sh", "content": format!("# {n}\n")}}]});
    let turns = json!([wrong(1), {"say": "a"}, wrong(2), {"say": "b"}, wrong(3), {"say": "c"}, wrong(4), {"say": "d"}]);
    let mut world = world(turns);
    world.set("WORKER_ESCALATE_MODEL", "scripted-strong");
    let job =
        json!({"auto_revise": {"max_passes": 5}, "checks": [{"name": "unit tests", "command": "false"}]});
    let result = world.serve().run_job(world.job(scoped(job)));
    assert_eq!(result["job_status"], "failed", "{result}");
    assert_eq!(result["attempts"], 3, "{result}");
    assert!(result["checks"].to_string().contains("two passes ended with the same failure"), "{result}");
    let models: Vec<String> = world
        .requests(0)
        .iter()
        .map(|r| r["body"]["model"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(models.first().map(String::as_str), Some("scripted-coder"));
    assert_eq!(models.last().map(String::as_str), Some("scripted-strong"));
}

#[test]
fn jobs_are_listed_shown_followed_and_collected() {
    let world = world(json!(repair()));
    let mut server = world.serve();
    let job = server.start_job(world.job(scoped(json!({"isolation": "worktree"}))));
    let (followed, _, code) = world.run(&["jobs", "tail", &job[..8], "--follow"]);
    assert_eq!(code, 0);
    assert!(
        followed.contains("Edit src/slug.sh") && followed.trim_end().ends_with("completed"),
        "{followed}"
    );
    let (listed, _, _) = world.run(&["jobs", "list"]);
    assert!(listed.contains(&job[..12]) && listed.contains("completed"), "{listed}");
    let (shown, _, _) = world.run(&["jobs", "show", &job]);
    assert!(shown.contains("unit tests: passed") && shown.contains("src/slug.sh"), "{shown}");
    let (shown, _, _) = world.run(&["jobs", "show", &job[..8], "--json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!((&shown["job_id"], &shown["job_status"]), (&json!(job), &json!("completed")));
    let (events, _, _) = world.run(&["jobs", "tail", &job, "--json", "-n", "2"]);
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((events.len(), &events[1]["text"]), (2, &json!("completed")));
    let (_, complaint, code) = world.run(&["jobs", "show", "zzzz"]);
    assert_eq!((code, complaint.lines().next()), (4, Some("error: no job begins with \"zzzz\"")));
    let wrong = format!("{}zz", &job[..8]);
    let (_, complaint, code) = world.run(&["jobs", "show", &wrong]);
    assert!(code == 4 && complaint.contains(&format!("did you mean {job}?")), "{complaint}");
    let (said, _, _) = world.run(&["jobs", "gc", "--older-than", "0", "--dry-run"]);
    assert!(said.starts_with("would free") && world.home.join("jobs").join(&job).exists(), "{said}");
    let (said, complaint, code) = world.run(&["jobs", "gc", "--older-than", "0"]);
    assert_eq!(code, 0, "{said}{complaint}");
    assert!(!world.home.join("jobs").join(&job).exists(), "{said}");
    assert_eq!(world.run(&["jobs", "list"]).0, "no jobs yet: Codex starts them with the tool `start`\n");
    assert_eq!(world.run(&["jobs", "list", "--status", "failed"]).0, "no jobs in that state\n");
    // The result is the user's and stays.
    let refs = crate::support::git(&world.repo, &["for-each-ref", "refs/codex-worker/"]);
    assert!(refs.contains(&job), "{refs}");
}

/// A worktree leads to the user's repository; what is in it cannot be written from there.
#[test]
fn the_users_repository_cannot_be_written_from_a_worktree() {
    contain::set_helper(crate::support::BIN.into());
    if !contain::strength().limits_files() {
        test_support::missing::machine("this machine does not limit files");
        return;
    }
    let command = "git config user.name EVIL; git config core.fsmonitor /tmp/x; git branch pwn; \
        git update-ref refs/heads/main 0000000000000000000000000000000000000000; \
        for d in $(git rev-parse --git-common-dir) $(git rev-parse --git-dir) REPO/.git; do \
        echo x > $d/hooks/post-commit; echo x >> $d/config; echo x >> $d/info/exclude; echo x > $d/index.lock; done; \
        echo x > REPO/planted; rm -f REPO/README.md; true";
    let mut world = World::outside_tmp(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let command = command.replace("REPO", &world.repo.display().to_string());
    let mut turns = repair();
    turns.insert(1, json!({"tools": [{"run": {"command": command}}]}));
    let url = world.gateway(&json!({"turns": turns}));
    world.set("ONEAPI_BASE_URL", &url);
    let look = |world: &World| -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut dirs = vec![world.repo.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(&dir).expect("readable").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    found.push((path.display().to_string(), std::fs::read(&path).unwrap_or_default()));
                }
            }
        }
        found.retain(|(path, _)| !path.contains("/.git/objects/") && !path.contains("/refs/codex-worker/"));
        found.sort();
        found
    };
    let before = look(&world);
    let result = world.serve().run_job(world.job(scoped(json!({"isolation": "worktree"}))));
    assert_eq!(look(&world), before, "{result}");
    // Where the worktree is at the user's own path, what was written there is the worktree's.
    let changed = match contain::strength() {
        contain::Strength::Bubblewrap => json!(["README.md", "planted", "src/slug.sh"]),
        _ => json!(["src/slug.sh"]),
    };
    assert_eq!(result["changed_files"], changed, "{result}");
}
