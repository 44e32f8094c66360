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
    signal(pid, rustix::process::Signal::KILL)
}

/// Sends a signal; false if there is nobody to take it.
pub fn signal(pid: u32, signal: rustix::process::Signal) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .is_some_and(|pid| rustix::process::kill_process(pid, signal).is_ok())
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

/// What the workers started for themselves, such as git: no containments.
pub fn helpers(home: &Path) -> Vec<u32> {
    let workers = workers(home);
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
    };
    let own = processes(|_, environment| !environment.contains("CODEX_WORKER_MARK="));
    own.into_iter().filter(|pid| parent(*pid).is_some_and(|parent| workers.contains(&parent))).collect()
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

/// No control group of a job is left.
pub fn no_group_left(job: &str) -> Option<String> {
    let mut dirs = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("codex-worker-") && name.contains(job) {
                return Some(format!("a control group is left: {}", entry.path().display()));
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                dirs.push(entry.path());
            }
        }
    }
    None
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
        (Victim::Worker | Victim::Both | Victim::Heir, true) => &["interrupted", "completed"],
        (Victim::Stopped, true) => &["interrupted"],
        // One of several processes of the tree was killed; not each is missed.
        (Victim::Agent | Victim::Helper | Victim::Gateway, true) => &["failed", "completed"],
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
    let epochs = if plan.victim == Victim::Heir { 3 } else { 2 };
    must(
        one("SELECT epoch FROM jobs WHERE id = ?1") <= epochs,
        "more than one worker and one who ends for it".to_owned(),
    );
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
