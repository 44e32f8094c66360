//! Fault injection: scripted jobs of which the server, the worker, the agent, what the
//! worker started, the gateway or the one who cleans up is killed at a random moment, and
//! what must hold afterwards: no process left, no job lost or run
//! twice, no status that lies, no lock left, the user's repository as it should be, every
//! worktree accounted for.
//!
//! `FAULTS_COUNT` sets the number of runs (8 by default, 200 on demand), `FAULTS_SEED` the
//! first seed; both are printed, and a seed replays its run:
//! `FAULTS_SEED=17 FAULTS_COUNT=1 cargo test --test faults -- --nocapture`.
//! `FAULTS_AGENT=claude-code` does the same to the real Claude Code.

#![allow(clippy::disallowed_methods, reason = "variables say which real tools the tests run with")]

#[path = "../e2e/support.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod support;

mod invariants;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Agent, SLUG, World, repair};

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Server,
    Worker,
    Agent,
    /// Server and worker in the same moment.
    Both,
    /// A process that the worker itself started, such as git.
    Helper,
    /// The gateway, for good: the adapter's stream breaks off.
    Gateway,
    /// The worker is stopped, and goes on after its lease is over.
    Stopped,
    /// The worker, and then the process that first looks at what it left.
    Heir,
    /// The control: an undisturbed job.
    Nobody,
}

/// One run; everything in it follows from the seed, but for the machine's own timing.
#[derive(Clone, Copy, Debug)]
struct Plan {
    #[expect(dead_code, reason = "printed with a plan that does not hold")]
    seed: u64,
    victim: Victim,
    worktree: bool,
    after: Duration,
    /// The first fix is wrong, so that a revise pass follows.
    revise: bool,
    /// Which of several processes is killed.
    which: usize,
}

impl Plan {
    fn of(seed: u64) -> Plan {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0xD1B5_4A32_D192_ED03));
        let victim = match random.below(40) {
            0..5 => Victim::Server,
            5..17 => Victim::Worker,
            17..25 => Victim::Agent,
            25..28 => Victim::Both,
            28..31 => Victim::Helper,
            31..34 => Victim::Gateway,
            34 => Victim::Stopped,
            35..38 => Victim::Heir,
            _ => Victim::Nobody,
        };
        Plan {
            seed,
            victim,
            worktree: random.below(2) == 0,
            after: Duration::from_millis(random.below(2600)),
            revise: random.below(3) == 0,
            which: random.below(1000) as usize,
        }
    }

    fn scenario(self) -> Value {
        let mut turns = repair();
        // Slow enough that most kills find it at work, in one of its states.
        turns[0]["delay_ms"] = json!(500);
        turns[1]["delay_ms"] = json!(400);
        turns[2]["delay_ms"] = json!(400);
        // A child in a session of its own, which only a containment ends.
        turns.insert(1, json!({"tools": [{"run": {"command": "setsid sleep 600 >/dev/null 2>&1 & echo left one behind"}}]}));
        if self.revise {
            turns[2] = json!({"tools": [{"edit": {"path": "src/slug.sh", "old": support::BUG.0, "new": "tr 'A-Z ' 'a-z.'"}}]});
            turns.push(json!({"delay_ms": 200, "tools": [{"edit": {"path": "src/slug.sh", "old": "tr 'A-Z ' 'a-z.'", "new": support::BUG.1}}]}));
            turns.push(json!({"say": "Now it is a dash."}));
        }
        json!({"turns": turns})
    }

    fn arguments(self) -> Value {
        json!({
            "scoped_patch": {"paths": ["src"]},
            "checks": [{"name": "unit tests", "command": "sleep 0.6; sh tests/run.sh"}],
            "auto_revise": {"max_passes": 2},
            "isolation": if self.worktree { "worktree" } else { "none" },
        })
    }
}

/// splitmix64; Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// Runs the plan; the state in which the job ended, or what does not hold.
fn run(plan: Plan) -> Result<String, String> {
    let agent = agent();
    let mut world = World::new(SLUG, &plan.scenario(), &agent);
    warm(&world.home);
    let before = invariants::repository(&world.repo);
    let mut server = world.serve();
    let job = server.start_job(world.job(plan.arguments()));
    // The real agent takes longer over the same turns.
    std::thread::sleep(if agent == Agent::Builtin { plan.after } else { plan.after * 3 });
    let killed = match plan.victim {
        Victim::Server => invariants::kill(server.child.id()),
        Victim::Worker | Victim::Heir => invariants::workers(&world.home).into_iter().any(invariants::kill),
        Victim::Agent => one_of(plan, invariants::marked(&job)),
        Victim::Helper => {
            // They live for some milliseconds: the next one that is seen.
            let until = Instant::now() + Duration::from_secs(2);
            std::iter::from_fn(|| (Instant::now() < until).then(|| invariants::helpers(&world.home)))
                .any(|pids| one_of(plan, pids))
        }
        Victim::Gateway => {
            world.stop_gateway(0);
            true
        }
        Victim::Stopped => stop_and_go_on(&world.home, &mut server, &job),
        Victim::Both => {
            let worker = invariants::workers(&world.home).into_iter().any(invariants::kill);
            invariants::kill(server.child.id()) && worker
        }
        Victim::Nobody => false,
    };
    if plan.victim == Victim::Heir {
        // Somebody looks, and is killed while it ends what the dead worker left.
        let mut looking = world.command(&["jobs", "list"]);
        let looking = looking.stdout(std::process::Stdio::null()).spawn();
        let mut looking = looking.expect("codex-worker starts");
        std::thread::sleep(Duration::from_millis(plan.which as u64 / 5));
        let _ = looking.kill();
        let _ = looking.wait();
    }
    if matches!(plan.victim, Victim::Server | Victim::Both) {
        drop(server);
        server = world.serve();
    }
    let began = Instant::now();
    let result = server.finish(&job);
    let status = result["job_status"].as_str().unwrap_or_default().to_owned();
    let told = began.elapsed();

    let mut wrong = invariants::check(&world, &job, plan, killed, &result, &before);
    if told > Duration::from_secs(30) {
        wrong.push(format!("the end was told after {told:?}"));
    }
    if plan.victim == Victim::Gateway {
        let url = world.gateway(&plan.scenario());
        world.set("ONEAPI_BASE_URL", &url);
        drop(server);
        server = world.serve();
    }
    // No lock, no slot, no lease is left that would stop the next job.
    let next = server
        .run_job(world.job(json!({"isolation": "worktree", "checks": [{"name": "ok", "command": "true"}]})));
    if !matches!(next["job_status"].as_str(), Some("completed" | "failed")) {
        wrong.push(format!("the next job did not run: {next}"));
    }
    wrong.extend(invariants::tidied(&world.home, &job, &status));
    drop(server);
    wrong.extend(invariants::nothing_left(&world.home));
    wrong.extend(invariants::no_group_left(&job));
    keep_warm(&world.home);
    if wrong.is_empty() {
        return Ok(format!("{}{status}", if killed { "" } else { "not hit, " }));
    }
    let log = std::fs::read_to_string(world.home.join("worker.log")).unwrap_or_default();
    Err(format!("{plan:?}\n  {}\n  result: {result}\n  worker.log:\n{log}", wrong.join("\n  ")))
}

/// `FAULTS_AGENT=claude-code` runs the real one.
fn agent() -> Agent {
    match std::env::var("FAULTS_AGENT").as_deref() {
        Ok("claude-code") => Agent::ClaudeCode(support::cli("CLAUDE_BIN", "claude").expect("Claude Code")),
        _ => Agent::Builtin,
    }
}

fn one_of(plan: Plan, pids: Vec<u32>) -> bool {
    !pids.is_empty() && invariants::kill(pids[plan.which % pids.len()])
}

/// Stops the worker until its job was ended by somebody else; false if there was none, or
/// if it had ended its job already.
fn stop_and_go_on(home: &Path, server: &mut support::Client, job: &str) -> bool {
    let Some(worker) = invariants::workers(home).into_iter().next() else { return false };
    invariants::signal(worker, rustix::process::Signal::STOP);
    let result = server.finish(job);
    invariants::signal(worker, rustix::process::Signal::CONT);
    result["job_status"] == "interrupted"
}

/// Compiled policies of an earlier run: compiling them takes longer than the whole job.
static COMPILED: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();

fn keep_warm(home: &Path) {
    if COMPILED.get().is_none() && home.join("cache").is_dir() {
        let kept = tempfile::tempdir().expect("a temporary directory");
        copy(&home.join("cache"), &kept.path().join("cache"));
        let _ = COMPILED.set(kept);
    }
}

fn warm(home: &Path) {
    if let Some(kept) = COMPILED.get() {
        copy(&kept.path().join("cache"), &home.join("cache"));
    }
}

fn copy(from: &Path, to: &Path) {
    for (name, bytes) in files(from) {
        let path = to.join(name);
        std::fs::create_dir_all(path.parent().expect("below")).expect("a directory");
        std::fs::write(path, bytes).expect("a file");
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn whatever_is_killed_nothing_is_lost_and_nothing_is_left() {
    let count = number("FAULTS_COUNT", 8);
    let first = number("FAULTS_SEED", 1);
    eprintln!("faults: {count} runs from seed {first}");
    let began = Instant::now();
    let mut ended: BTreeMap<(Victim, String), u32> = BTreeMap::new();
    let mut wrong = Vec::new();
    for seed in first..first + count {
        let plan = Plan::of(seed);
        match run(plan) {
            Ok(status) => {
                eprintln!("seed {seed}: {:?} after {:?}: {status}", plan.victim, plan.after);
                *ended.entry((plan.victim, status)).or_default() += 1;
            }
            Err(why) => {
                eprintln!("seed {seed}: {why}");
                wrong.push(seed);
            }
        }
    }
    for ((victim, status), count) in &ended {
        eprintln!("faults: {victim:?} killed: {count} {status}");
    }
    eprintln!("faults: {count} runs in {:?}, {} wrong", began.elapsed(), wrong.len());
    contain::set_helper(support::BIN.into());
    eprintln!("faults: containment: {}", contain::probe().strength);
    assert!(wrong.is_empty(), "seeds that do not hold: {wrong:?}");
}

/// Every file below a directory, for comparing.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(at) = dirs.pop() {
        for entry in std::fs::read_dir(&at).expect("a readable directory").flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                dirs.push(path);
            } else {
                let name = path.strip_prefix(dir).expect("below").to_string_lossy().into_owned();
                found.insert(name, std::fs::read(&path).unwrap_or_default());
            }
        }
    }
    found
}
