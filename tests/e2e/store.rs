//! The state directory when things are bad: full, read-only, broken, of another version,
//! and shared by many; and what cleans it up.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Agent, SLUG, World, repair, slug_check};

fn world() -> World {
    World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin)
}

fn job(world: &World) -> Value {
    world.job(json!({"isolation": "worktree", "scoped_patch": {"paths": ["src"]}, "checks": slug_check()}))
}

/// A file system mounted for one test.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    /// None, and a word about it, where this user may not mount.
    fn new(at: &'a Path, arguments: &[&str]) -> Option<Mount<'a>> {
        std::fs::create_dir_all(at).expect("a directory");
        let out = Command::new("mount").args(arguments).arg(at).output().expect("mount runs");
        if !out.status.success() {
            test_support::missing::machine(&format!(
                "what needs a mount: {}",
                String::from_utf8_lossy(&out.stderr).trim()
            ));
            return None;
        }
        Some(Mount(at))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(self.0).status();
    }
}

fn integrity(world: &World) -> String {
    let db = rusqlite::Connection::open(world.home.join("jobs.db")).expect("the store");
    db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer")
}

/// Fills the file system to its last byte.
fn fill(dir: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(dir.join("ballast")).expect("a file");
    let mut piece = vec![7u8; 1 << 16];
    while !piece.is_empty() {
        if file.write_all(&piece).is_err() {
            piece.truncate(piece.len() / 2);
        }
    }
}

#[test]
fn a_full_disk_is_said_loses_nothing_and_passes() {
    let mut world = world();
    // Compiled policies elsewhere: they are large and made anew where they are missing.
    let home = world.home.clone();
    let Some(_mount) = Mount::new(&home, &["-t", "tmpfs", "-o", "size=96m", "tmpfs"]) else { return };
    world.set("WORKER_METRICS_FILE", &home.join("metrics.jsonl").display().to_string());
    let mut server = world.serve();
    let first = server.run_job(job(&world));
    assert_eq!(first["job_status"], "completed", "{first}");

    fill(&home);
    let refused = server.call("start", job(&world));
    assert!(refused.is_error, "{}", refused.data);
    assert!(
        refused.text.contains("no space left") || refused.text.contains("No space left"),
        "{}",
        refused.text
    );
    let (listed, complaint, code) = world.run(&["jobs", "list"]);
    assert!(code == 0 && listed.contains("completed"), "reading goes on: {listed}{complaint}");

    // Full while a job runs: it ends, one way or another, and says why.
    std::fs::remove_file(home.join("ballast")).expect("it is there");
    let running = server.start_job(job(&world));
    fill(&home);
    std::thread::sleep(Duration::from_secs(3));
    std::fs::remove_file(home.join("ballast")).expect("it is there");
    let result = server.finish(&running);
    let status = result["job_status"].as_str().unwrap_or_default();
    assert!(["completed", "failed", "interrupted"].contains(&status), "{result}");
    if status != "completed" {
        assert!(result["failure"]["message"].is_string(), "{result}");
        eprintln!("a disk that was full for 3 s: {status}: {}", result["failure"]["message"]);
    }
    assert_eq!(integrity(&world), "ok");
    let after = server.run_job(job(&world));
    assert_eq!(after["job_status"], "completed", "{after}");
    let (listed, _, _) = world.run(&["jobs", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "nothing is lost: {listed}");
}

#[test]
fn a_read_only_state_directory_is_said() {
    let world = world();
    let mut server = world.serve();
    let done = server.start_job(job(&world));
    assert_eq!(server.finish(&done)["job_status"], "completed");
    drop(server);
    let home = world.home.display().to_string();
    let Some(_mount) = Mount::new(&world.home, &["--bind", &home]) else { return };
    let remounted =
        Command::new("mount").args(["-o", "remount,ro,bind", &home]).status().expect("mount runs");
    assert!(remounted.success());
    let refused = world.serve().call("start", job(&world));
    assert!(refused.is_error, "{}", refused.data);
    assert!(refused.text.contains("writable for this user"), "{}", refused.text);
    // Reading goes on.
    let mut server = world.serve();
    for tool in ["get", "wait", "tail"] {
        let read = server.call(tool, json!({"job_id": done}));
        assert!(!read.is_error && read.data["job_status"] == "completed", "{tool}: {}", read.text);
    }
    let patch = server.call("artifact", json!({"job_id": done, "name": "diff.patch"}));
    assert!(!patch.is_error && patch.text.contains("slug"), "{}", patch.text);
    let cancelled = server.call("cancel", json!({"job_id": done}));
    assert!(cancelled.text.contains("writable for this user") || !cancelled.is_error, "{}", cancelled.text);
    let (listed, complaint, code) = world.run(&["jobs", "list"]);
    assert!(code == 0 && listed.contains("completed"), "{code} {listed}{complaint}");
    let (_, complaint, code) = world.run(&["work", "--until-idle"]);
    assert!([0, 6].contains(&code), "{complaint}");
    let (report, _, code) = world.run(&["doctor"]);
    assert_eq!(code, 6);
    assert!(report.contains("FAILED   state directory"), "{report}");
}

#[test]
fn a_broken_and_a_newer_store_are_refused_and_left_alone() {
    let world = world();
    assert_eq!(world.serve().run_job(job(&world))["job_status"], "completed");
    let file = world.home.join("jobs.db");
    let db = rusqlite::Connection::open(&file).expect("the store");
    db.pragma_update(None, "user_version", 7).expect("written");
    drop(db);
    let before = std::fs::read(&file).expect("read");
    let refused = world.serve().call("start", job(&world));
    assert!(refused.is_error && refused.text.contains("schema version 7"), "{}", refused.text);
    let (_, complaint, code) = world.run(&["jobs", "gc", "--older-than", "0"]);
    assert!(code == 6 && complaint.contains("or a newer one"), "{complaint}");
    assert_eq!(std::fs::read(&file).expect("read"), before);

    std::fs::write(&file, "garbage".repeat(1000)).expect("written");
    for name in ["jobs.db-wal", "jobs.db-shm"] {
        let _ = std::fs::remove_file(world.home.join(name));
    }
    let (_, complaint, code) = world.run(&["jobs", "list"]);
    assert!(code == 6 && complaint.contains("not a database"), "{complaint}");
    // What the hint says works; what was there is collected as what nobody knows any more.
    std::fs::rename(&file, world.home.join("jobs.db.broken")).expect("moved");
    let (listed, _, _) = world.run(&["jobs", "list"]);
    assert!(listed.starts_with("no jobs"), "{listed}");
    let (said, _, code) = world.run(&["jobs", "gc", "--older-than", "0", "--json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, said["deleted"].as_array().map(Vec::len)), (0, Some(1)), "{said}");
    assert_eq!(std::fs::read_dir(world.home.join("jobs")).map(Iterator::count).unwrap_or(0), 0);
}

/// Ways in which a store breaks; none of them is "there is no job".
#[test]
fn a_damaged_store_says_so_and_what_to_do() {
    use std::os::unix::fs::FileExt;
    let mut world = world();
    let mut server = world.serve();
    let done = server.start_job(job(&world));
    assert_eq!(server.finish(&done)["job_status"], "completed");
    drop(server);
    let db = rusqlite::Connection::open(world.home.join("jobs.db")).expect("the store");
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("written back");
    let sound = std::fs::read(world.home.join("jobs.db")).expect("the store");
    // Elsewhere: a worker may be at work in the first directory still.
    let home = world.home.with_file_name("damaged");
    std::fs::create_dir_all(home.join("jobs").join(&done)).expect("made");
    world.set("CODEX_WORKER_HOME", &home.display().to_string());
    let file = home.join("jobs.db");
    let page = 4096;
    let breaks: [(&str, &dyn Fn(&std::fs::File)); 6] = [
        ("pages of zeros", &|f| f.write_all_at(&vec![0; sound.len() - page], page as u64).expect("written")),
        ("pages of noise", &|f| {
            f.write_all_at(&vec![0xa5; sound.len() - page], page as u64).expect("written")
        }),
        ("cut in the middle", &|f| f.set_len(2 * page as u64).expect("cut")),
        ("no database", &|f| f.write_all_at(&[7; 64], 0).expect("written")),
        ("empty", &|f| f.set_len(0).expect("cut")),
        ("an index without the job", &|f| {
            // The id's index: a leaf page that holds the id and nothing else of the job.
            let id = done.as_bytes();
            for (at, page) in sound.chunks(page).enumerate().skip(1) {
                let found = page.windows(id.len()).position(|window| window == id);
                if let Some(found) = found.filter(|_| page[0] == 0x0a) {
                    f.write_all_at(b"0", (at * 4096 + found) as u64).expect("written");
                }
            }
        }),
    ];
    for (name, change) in breaks {
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(home.join(format!("jobs.db{end}")));
        }
        std::fs::write(&file, &sound).expect("written");
        change(&std::fs::OpenOptions::new().write(true).open(&file).expect("opened"));
        let got = world.serve().call("get", json!({"job_id": done}));
        assert!(got.is_error && !got.text.contains("there is no job"), "{name}: {}", got.text);
        let said = ["is damaged", "has no record of job"].iter().any(|said| got.text.contains(said));
        let todo = ["move ", "artifacts are in"].iter().any(|todo| got.text.contains(todo));
        assert!(said && todo, "{name}: {}", got.text);
        let (_, complaint, code) = world.run(&["jobs", "show", &done]);
        assert!(code != 0 && !complaint.contains("there is no job"), "{name}: {complaint}");
    }
}

/// Ten servers as ten subagents have, one state directory: each job is run once, and never
/// more at the same time than the limit says.
#[test]
fn ten_servers_keep_one_limit_and_run_no_job_twice() {
    let mut world = world();
    world.set("MAX_RUNNING_JOBS", "2");
    world.set("AGENT", "command");
    world.set("AGENT_COMMAND", "sleep 0.2; echo done >> work.txt; echo done");
    // The policies are compiled once, not by ten at the same time.
    let mut servers = vec![world.serve()];
    let first = servers[0].run_job(world.job(json!({"isolation": "worktree"})));
    assert_eq!(first["job_status"], "completed", "{first}");
    servers.extend((1..10).map(|_| world.serve()));
    let mut jobs = Vec::new();
    for server in &mut servers {
        for key in 0..2 {
            // The same key from two servers is one job.
            let key = format!("{}", jobs.len() / 4 * 2 + key);
            let job = world.job(json!({"isolation": "worktree", "idempotency_key": key}));
            jobs.push(server.start_job(job));
        }
    }
    let distinct: std::collections::BTreeSet<&String> = jobs.iter().collect();
    assert_eq!(distinct.len(), 10);
    let db = rusqlite::Connection::open(world.home.join("jobs.db")).expect("the store");
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a number");
    let deadline = Instant::now() + Duration::from_secs(180);
    let mut most = 0;
    while count("SELECT COUNT(*) FROM jobs WHERE finished_ms IS NULL") > 0 {
        assert!(Instant::now() < deadline, "they do not end");
        for (n, server) in servers.iter_mut().enumerate() {
            server.call("get", json!({"job_id": jobs[2 * n]}));
        }
        most =
            most.max(count("SELECT COUNT(*) FROM jobs WHERE status IN ('running', 'verifying', 'revising')"));
    }
    assert!(most <= 2, "{most} ran at once");
    let mut statement = db
        .prepare("SELECT j.id, j.status, j.epoch, (SELECT COUNT(*) FROM events e WHERE e.job = j.seq AND e.text = 'running') FROM jobs j")
        .expect("a query");
    let rows: BTreeMap<String, (String, i64, i64)> = statement
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?))))
        .expect("rows")
        .map(|row| row.expect("a row"))
        .collect();
    assert_eq!(rows.len(), 11);
    for (id, row) in rows {
        assert_eq!(row, ("completed".to_owned(), 1, 1), "{id}");
    }
    let mut other = world.job(json!({"isolation": "worktree", "idempotency_key": "0"}));
    other["prompt"] = json!("Another task.");
    let refused = servers[0].call("start", other);
    assert!(refused.is_error && refused.text.contains("with other arguments"), "{}", refused.text);
}

/// The process of the next test: stands for a worker that was stopped in the middle of a write.
#[test]
#[ignore = "started by a_stopped_worker_that_locks_the_store_is_ended"]
fn a_process_that_holds_the_store() {
    let home = std::path::PathBuf::from(std::env::var_os("LOCKED_HOME").expect("the state directory"));
    let db = rusqlite::Connection::open(home.join("jobs.db")).expect("the store");
    db.execute_batch("BEGIN IMMEDIATE").expect("locked");
    std::fs::write(home.join("locked"), "").expect("written");
    std::thread::sleep(Duration::from_secs(300));
}

#[test]
fn a_stopped_worker_that_locks_the_store_is_ended() {
    let world = world();
    let mut server = world.serve();
    assert_eq!(server.run_job(job(&world))["job_status"], "completed");
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut holder = Command::new(std::env::current_exe().expect("this program"))
        // The last word is what a worker is known by; here it is one more test that is not there.
        .args(["--exact", "store::a_process_that_holds_the_store", "--ignored", "work"])
        .env("LOCKED_HOME", &world.home)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("this program starts");
    while !world.home.join("locked").exists() {
        assert!(Instant::now() < deadline, "it does not lock");
        std::thread::sleep(Duration::from_millis(30));
    }
    let stopped = Command::new("kill").args(["-STOP", &holder.id().to_string()]).status();
    assert!(stopped.expect("kill runs").success());
    let began = Instant::now();
    // Reading goes on, and whoever has to write breaks the lock, after the usual patience.
    let (listed, complaint, code) = world.run(&["jobs", "list"]);
    assert!(code == 0 && listed.contains("completed"), "{listed}{complaint}");
    let result = server.run_job(job(&world));
    eprintln!("a job behind the lock of a stopped worker had ended after {:?}", began.elapsed());
    assert_eq!(result["job_status"], "completed", "{result}");
    let ended = holder.wait().expect("it ended");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended), Some(9));
}

/// Old jobs go by themselves; unsaved work becomes a ref before its tree does.
#[test]
fn an_idle_worker_deletes_old_jobs_and_saves_what_is_unsaved() {
    let world = World::new(SLUG, &json!({"turns": [{"say": "I did nothing."}]}), &Agent::Builtin);
    let mut server = world.serve();
    let old = server.start_job(job(&world));
    assert_eq!(server.finish(&old)["job_status"], "failed");
    let tree = world.home.join("jobs").join(&old).join("worktree");
    let somewhere = find(&tree, "slug.sh").expect("a worktree with the file");
    std::fs::write(&somewhere, "unsaved\n").expect("written");
    let db = rusqlite::Connection::open(world.home.join("jobs.db")).expect("the store");
    let month = 30_i64 * 86_400_000;
    db.execute("UPDATE jobs SET finished_ms = finished_ms - ?1 WHERE id = ?2", rusqlite::params![month, old])
        .expect("made old");
    let _ = std::fs::remove_file(world.home.join("gc.stamp"));
    let young = server.start_job(job(&world));
    server.finish(&young);
    let deadline = Instant::now() + Duration::from_secs(30);
    while world.home.join("jobs").join(&old).exists() {
        assert!(Instant::now() < deadline, "it was not deleted");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(world.home.join("jobs").join(&young).exists(), "the young one stays");
    let refs =
        crate::support::git(&world.repo, &["for-each-ref", "--format=%(refname)", "refs/codex-worker/"]);
    let saved = refs.lines().find(|name| name.contains(&old)).unwrap_or_else(|| panic!("no ref in {refs:?}"));
    assert_eq!(crate::support::git(&world.repo, &["show", &format!("{saved}:src/slug.sh")]), "unsaved\n");
    let gone = world.serve().call("get", json!({"job_id": old}));
    assert!(gone.is_error && gone.text.contains("there is no job"), "{}", gone.text);
}

fn find(dir: &Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(dir).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() { find(&path, name) } else { (path.file_name()?.to_str()? == name).then_some(path) }
    })
}

/// A disk that a job fills, wherever it may write, ends the job and not the machine.
#[test]
fn a_job_that_fills_the_disk_is_ended() {
    let zeros = "head -c 8000000 /dev/zero";
    let nine = "1 2 3 4 5 6 7 8 9";
    let fills = [
        format!("for n in {nine}; do {zeros} >\"$TMPDIR/big$n\"; done"),
        format!("for n in {nine}; do {zeros} >\"$HOME/big$n\"; done"),
        format!("for n in {nine}; do {zeros} >big$n; done"),
        // No directory shows what has no name any more.
        format!("exec 3>\"$HOME/held\"; rm \"$HOME/held\"; for n in {nine}; do {zeros} >&3; done"),
        // Below a path that is too long for the system.
        format!(
            "d=$(printf %0200d 0); cd \"$HOME\"; for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do mkdir $d; cd -P $d; done; for n in {nine}; do {zeros} >big$n; done"
        ),
    ];
    let mut world = World::new(SLUG, &json!({"turns": []}), &Agent::Builtin);
    world.set("AGENT", "command");
    world.set("AGENT_COMMAND", crate::hostile::AGENT);
    world.set("WORKER_MAX_DISK_MB", "30");
    let mut server = world.serve();
    for fill in fills {
        let mut job = job(&world);
        job["prompt"] = json!(format!("Fill.\n#BEGIN\n{fill}; sleep 60\n#END\n"));
        let job = server.start_job(job);
        let result = server.finish(&job);
        assert_eq!(result["job_status"], "failed", "{fill}: {result}");
        assert_eq!(result["failure"]["kind"], "budget", "{fill}: {result}");
        let message = result["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("to the disk; the limit is 30 MiB"), "{fill}: {result}");
        assert!(!world.home.join("jobs").join(&job).join("tmp").exists(), "{fill}: what filled it is gone");
    }
}

/// The settings may hold the gateway's key, and whoever has the receipts' key can write one.
#[test]
fn settings_and_keys_are_hidden_from_agent_and_checks() {
    contain::set_helper(crate::support::BIN.into());
    if !contain::strength().limits_files() {
        test_support::missing::machine("this machine does not limit files");
        return;
    }
    let mut world = World::outside_tmp(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let beside = world.repo.parent().expect("a parent").to_owned();
    let (settings, key, open) =
        (beside.join("settings.toml"), beside.join("receipt.key"), beside.join("open.txt"));
    crate::support::write(&settings, "[gateway]\napi_key = \"hidden-gateway-key\"\n");
    crate::support::write(&key, "hidden-receipt-key-of-32-bytes!!");
    crate::support::write(&open, "this can be read");
    world.set("CODEX_WORKER_CONFIG", &settings.display().to_string());
    world.set("WORKER_RECEIPT_KEY", &key.display().to_string());
    // All three are in a place that jobs may read.
    world.set("WORKER_READ_PATHS", &beside.display().to_string());
    let read = format!("cat {} {} {}", settings.display(), key.display(), open.display());
    let turns =
        json!([{"tools": [{"run": {"command": format!("{read} > src/by-agent; true")}}]}, {"say": "done"}]);
    let url = world.gateway(&json!({"turns": turns}));
    world.set("ONEAPI_BASE_URL", &url);
    let check = json!([{"name": "reads", "command": format!("{read} > src/by-check; true")}]);
    let result = world.serve().run_job(world.job(json!({"checks": check})));
    for name in ["src/by-agent", "src/by-check"] {
        assert_eq!(world.read(name), "this can be read", "{name}: {result}");
    }
}

/// The checks may open connections where the operator lets them; the agent may not.
#[test]
fn checks_have_their_own_network() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("an address").port();
    let connect = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'");
    let turns = json!([
        {"tools": [{"run": {"command": format!("{connect} && echo reached >> src/slug.sh; true")}}]},
        {"say": "done"},
    ]);
    contain::set_helper(crate::support::BIN.into());
    if !contain::probe().network_limited {
        test_support::missing::machine("the network cannot be limited here");
        return;
    }
    for (open, expected) in [("0", "failed"), ("1", "passed")] {
        let mut world = World::new(SLUG, &json!({"turns": turns}), &Agent::Builtin);
        world.set("WORKER_CHECK_NETWORK", open);
        let check = json!([{"name": "connects", "command": connect}]);
        let mut server = world.serve();
        let job = server.start_job(world.job(json!({"isolation": "worktree", "checks": check})));
        let result = server.finish(&job);
        assert!(result["checks"].to_string().contains(&format!("connects: {expected}")), "{open}: {result}");
        assert_eq!(result["changed_files"], json!([]), "the agent reached it: {result}");
        let receipt =
            std::fs::read(world.home.join("jobs").join(&job).join("receipt.json")).expect("a receipt");
        let receipt: Value = serde_json::from_slice(&receipt).expect("JSON");
        let held = &receipt["predicate"];
        assert_eq!(held["containment"]["network_limited"], true, "{held}");
        assert_eq!(held["check_containment"]["network_limited"], open == "0", "{held}");
        assert!(held["containment"]["strength"].is_string() && held["containment"]["limits"].is_array());
    }
}
