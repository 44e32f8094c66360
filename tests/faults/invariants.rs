//! What must hold after a run, looked at from outside: `/proc`, the store's file, git.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{BUG, World, git};
use crate::{Plan, Victim, files};

/// The user's repository: its files, refs and index.
pub fn repository(repo: &Path) -> BTreeMap<String, Vec<u8>> {
    files(repo)
}

/// Sends SIGKILL; false if there is nobody to take it.
pub fn kill(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_ok())
}

/// Every process whose environment or arguments hold `text`, zombies not counted.
fn processes(matches: impl Fn(&str, &str) -> bool) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let read = |name: &str| {
            let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', "\n")
        };
        let (arguments, environment) = (read("cmdline"), read("environ"));
        if !arguments.is_empty() && matches(&arguments, &environment) {
            found.push(pid);
        }
    }
    found
}

/// The worker processes of a state directory.
pub fn workers(home: &Path) -> Vec<u32> {
    let home = format!("CODEX_WORKER_HOME={}", home.display());
    processes(|arguments, environment| {
        arguments.contains("\nwork\n") && environment.lines().any(|line| line == home)
    })
}

/// The processes of a job's containments.
pub fn marked(job: &str) -> Vec<u32> {
    let mark = format!("CODEX_WORKER_MARK=cw-{job}");
    processes(|_, environment| environment.lines().any(|line| line.starts_with(&mark)))
}

/// After the server has gone nothing of the state directory may be left, within seconds.
pub fn nothing_left(home: &Path) -> Option<String> {
    let home = home.display().to_string();
    let left = || {
        processes(|arguments, environment| {
            (arguments.contains("\nwork\n") || environment.contains("CODEX_WORKER_MARK=cw-"))
                && (environment.contains(&home) || arguments.contains(&home))
        })
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if left().is_empty() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(format!("processes are left: {:?}", left()))
}

/// Everything that must hold when the end was told.
pub fn check(
    world: &World,
    job: &str,
    plan: Plan,
    killed: bool,
    result: &Value,
    before: &BTreeMap<String, Vec<u8>>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let status = result["job_status"].as_str().unwrap_or_default();
    let mut must = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };

    // The tree is gone when the end is told, not some time later.
    must(marked(job).is_empty(), format!("processes of the job are left: {:?}", marked(job)));

    let allowed: &[&str] = match (plan.victim, killed) {
        (Victim::Server | Victim::Nobody, _) | (_, false) => &["completed"],
        (Victim::Worker | Victim::Both, true) => &["interrupted", "completed"],
        // One of several processes of the tree was killed; not each is missed.
        (Victim::Agent, true) => &["failed", "completed"],
    };
    must(allowed.contains(&status), format!("{status} although {:?} was killed: {killed}", plan.victim));

    // No status that lies.
    let fixed = if plan.worktree {
        result["workspace"]["branch"]
            .as_str()
            .map(|branch| git(&world.repo, &["show", &format!("{branch}:src/slug.sh")]))
            .is_some_and(|text| text.contains(BUG.1))
    } else {
        world.read("src/slug.sh").contains(BUG.1)
    };
    if status == "completed" {
        must(fixed, "completed, but the fix is not there".to_owned());
        must(
            result["changed_files"] == serde_json::json!(["src/slug.sh"]),
            "completed with other changes".to_owned(),
        );
    } else {
        must(result["failure"]["kind"].is_string(), "it ended badly without a reason".to_owned());
        let listed = result["changed_files"].as_array().is_some_and(|files| !files.is_empty());
        if fixed {
            must(listed, "there is a change that the partial evidence does not list".to_owned());
        }
    }

    // Not lost, and not run twice: one claim, and at most one more for ending it.
    let db = rusqlite::Connection::open(world.home.join("jobs.db")).expect("the store");
    let one = |sql: &str| db.query_row(sql, [job], |row| row.get::<_, i64>(0)).unwrap_or(-1);
    let runs = one("SELECT COUNT(*) FROM events WHERE kind = 'state' AND text = 'running' \
                    AND job = (SELECT seq FROM jobs WHERE id = ?1)");
    let released = one("SELECT COUNT(*) FROM events WHERE kind = 'state' AND text = 'queued' \
                        AND job = (SELECT seq FROM jobs WHERE id = ?1)");
    must(runs == released, format!("{runs} runs of {released} times in the queue"));
    must(one("SELECT epoch FROM jobs WHERE id = ?1") <= 2, "more than one worker and one reaper".to_owned());
    let ends = one(
        "SELECT COUNT(*) FROM events WHERE kind = 'state' AND text IN ('completed', 'failed', 'interrupted', \
                    'cancelled', 'timed_out') AND job = (SELECT seq FROM jobs WHERE id = ?1)",
    );
    must(ends == 1, format!("it ended {ends} times"));

    // The user's repository.
    let after = repository(&world.repo);
    for name in after.keys().chain(before.keys()) {
        if after.get(name) == before.get(name) {
            continue;
        }
        let ours = name.starts_with(".git/objects/") || name.starts_with(".git/refs/codex-worker/");
        let edited = !plan.worktree && name == "src/slug.sh";
        must(edited || (plan.worktree && ours), format!("{name} of the user's repository changed"));
    }
    must(
        git(&world.repo, &["worktree", "list"]).lines().count() == 1,
        "a worktree is registered in the user's repository".to_owned(),
    );
    must(!world.repo.join(".git/index.lock").exists(), "the user's index is locked".to_owned());

    wrong
}

/// After the next job: what a killed worker left undone has been done.
pub fn tidied(home: &Path, job: &str, status: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if status == "completed" && home.join("jobs").join(job).join("worktree").exists() {
        wrong.push("the worktree of a completed job is still there".to_owned());
    }
    for name in ["trees", "check-home"] {
        if home.join("jobs").join(job).join(name).exists() {
            wrong.push(format!("{name} of an ended job is still there"));
        }
    }
    wrong
}
