//! Policies as an operator handles them, with the real binary: drop in, list, pin, shadow,
//! ask why, replay. The author's way (new, build, check) needs a wasm toolchain and is
//! walked by `.ci/run`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Agent, SLUG, World, repair, slug_check};

/// `changelog@0.1.0`: denies a change without a line in CHANGELOG.md.
const CHANGELOG: &[u8] = include_bytes!("../fixtures/plugins/changelog-v0.1.wasm");

fn world() -> (World, PathBuf) {
    let world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let plugins = world.home.join("plugins");
    std::fs::create_dir_all(&plugins).expect("the plugins directory");
    (world, plugins)
}

/// The same component with other bytes: a custom section named `x` at the end.
fn other_bytes() -> Vec<u8> {
    [CHANGELOG, &[0, 2, 1, b'x']].concat()
}

fn list(world: &World) -> Value {
    let (out, err, code) = world.run(&["plugin", "list", "--json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

#[test]
fn a_lock_refuses_a_changed_file_and_its_line_can_be_pasted() {
    let (world, plugins) = world();
    let file = plugins.join("changelog.wasm");
    std::fs::write(&file, CHANGELOG).expect("the component");
    let (out, err, code) = world.run(&["plugin", "lock"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("added    changelog ("), "{out}");
    let before = list(&world)["active"].as_array().expect("a list").len();

    std::fs::write(&file, other_bytes()).expect("another version");
    let refused = list(&world)["refused"][0]["reason"].as_str().expect("a reason").to_owned();
    let (what, line) = refused.split_once("paste this line into plugins.lock: ").expect("a line to paste");
    let hex = |text: &str| text.split(|c: char| !c.is_ascii_hexdigit()).filter(|w| w.len() == 64).count();
    assert_eq!(hex(what), 2, "both digests: {what}");

    // Pasting the line in place of the old one is all that it takes.
    let lock = std::fs::read_to_string(plugins.join("plugins.lock")).expect("the lock");
    let old = lock.lines().find(|l| l.contains("changelog")).expect("its line").trim();
    std::fs::write(plugins.join("plugins.lock"), lock.replace(old, line)).expect("the lock, edited");
    let after = list(&world);
    assert_eq!(after["refused"], json!([]), "{after}");
    assert_eq!(after["active"].as_array().map(Vec::len), Some(before));
}

#[test]
fn what_is_off_in_the_lock_stays_off_once_and_order_stays() {
    let (world, plugins) = world();
    std::fs::write(plugins.join("changelog.wasm"), CHANGELOG).expect("the component");
    world.run(&["plugin", "lock"]);
    let path = plugins.join("plugins.lock");
    let lock = std::fs::read_to_string(&path).expect("the lock");
    // The dropped-in policy first, and off.
    let its: String =
        lock.lines().filter(|l| l.contains("changelog.wasm")).map(|l| l.replace("enforce", "off")).collect();
    let rest: Vec<_> = lock.lines().filter(|l| !l.contains("changelog.wasm")).collect();
    let edited = rest.join("\n").replace("plugin = [", &format!("plugin = [\n{its}"));
    std::fs::write(&path, &edited).expect("the lock, edited");
    std::fs::write(plugins.join("changelog.wasm"), other_bytes()).expect("changed meanwhile");
    assert_eq!(list(&world)["refused"], json!([]), "what is off denies nothing");

    let (out, err, code) = world.run(&["plugin", "lock", "--json"]);
    assert_eq!(code, 0, "{err}");
    let out: Value = serde_json::from_str(&out).expect("JSON");
    let rows: Vec<_> = out["plugins"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|p| (p["name"].clone(), p["mode"].clone()))
        .collect();
    assert_eq!(rows[0], (json!("changelog"), json!("off")), "{out}");
    assert_eq!(rows.iter().filter(|(name, _)| name == "changelog").count(), 1, "{out}");
    assert_eq!(out["changes"].as_array().map(Vec::len), Some(1), "its digest: {out}");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_and_a_file_that_is_being_copied_is_waited_for() {
    let (world, plugins) = world();
    let made = std::process::Command::new("mkfifo").arg(plugins.join("pipe.wasm")).status();
    assert!(made.is_ok_and(|status| status.success()));
    std::fs::create_dir(plugins.join("directory.wasm")).expect("a directory");
    let begun = Instant::now();
    let refused = list(&world)["refused"].clone();
    assert!(begun.elapsed() < Duration::from_secs(60), "a pipe is not waited for");
    assert_eq!(refused.as_array().map(Vec::len), Some(2), "{refused}");
    assert!(
        refused
            .as_array()
            .is_some_and(|all| all.iter().all(|r| r["reason"].to_string().contains("no regular file")))
    );

    std::fs::remove_file(plugins.join("pipe.wasm")).expect("removed");
    std::fs::remove_dir(plugins.join("directory.wasm")).expect("removed");
    let file = plugins.join("slow.wasm");
    std::fs::write(&file, &CHANGELOG[..CHANGELOG.len() / 2]).expect("half of it");
    let copier = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(400));
        std::fs::write(&file, CHANGELOG).expect("all of it");
    });
    let listed = list(&world);
    copier.join().expect("copied");
    assert_eq!(listed["refused"], json!([]), "{listed}");
    assert!(listed["active"].to_string().contains("changelog"), "{listed}");
}

#[cfg(unix)]
#[test]
fn no_job_may_write_where_a_linked_component_lies() {
    let (world, plugins) = world();
    std::fs::write(world.repo.join("mine.wasm"), CHANGELOG).expect("the component");
    std::os::unix::fs::symlink(world.repo.join("mine.wasm"), plugins.join("mine.wasm")).expect("a link");
    let mut server = world.serve();
    let reply = server.call("start", world.job(json!({})));
    assert!(reply.is_error, "{}", reply.data);
    assert!(
        reply.text.contains("contains codex-worker's own file") && reply.text.contains("copy a component"),
        "{}",
        reply.text
    );
}

#[test]
fn a_misspelt_table_is_named() {
    let (world, _) = world();
    let file = world.home.join("codex-worker.toml");
    std::fs::write(&file, "[plugins.scoop]\nmode = \"off\"\n").expect("the configuration");
    let out = world.command(&["plugin", "list"]).env("CODEX_WORKER_CONFIG", &file).output().expect("it runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(text.contains("[plugins.scoop] in the configuration belongs to no policy"), "{text}");
}

#[test]
fn a_shadow_is_told_in_one_line_explained_and_replayed() {
    let (mut world, plugins) = world();
    let file = world.home.join("codex-worker.toml");
    std::fs::write(&file, "[plugins.changelog]\nmode = \"shadow\"\n").expect("the configuration");
    world.set("CODEX_WORKER_CONFIG", file.to_str().expect("UTF-8"));
    std::fs::write(plugins.join("changelog.wasm"), CHANGELOG).expect("the component");
    let mut server = world.serve();
    let id = server.start_job(world.job(json!({"checks": slug_check(), "isolation": "worktree"})));
    let result = server.finish(&id);
    assert_eq!(result["job_status"], "completed", "a shadow decides nothing: {result}");
    assert!(!result["policies"].to_string().contains("changelog"), "{result}");
    let verbose = server.call("get", json!({"job_id": id, "verbose": true})).data;
    let told = "shadow changelog@0.1.0: would have denied: no-changelog";
    assert_eq!(verbose["checks"].to_string().matches(told).count(), 1, "{verbose}");

    let (why, err, code) = world.run(&["policy", "why", &id]);
    assert_eq!(code, 0, "{err}");
    assert!(why.contains("changelog@0.1.0 (verifier) said in shadow, so it decided nothing:"), "{why}");
    assert!(why.contains("to satisfy it:") && why.contains("the author's reason:"), "{why}");
    assert!(why.contains(&format!("job {id}: no policy objects")), "{why}");

    let replay = |extra: &[&str]| {
        let candidate = plugins.join("changelog.wasm");
        let args = [&["policy", "replay", "--candidate", candidate.to_str().expect("UTF-8")], extra].concat();
        let (out, err, code) = world.run(&args);
        assert_eq!(code, 0, "{err}");
        out
    };
    let flips: Value = serde_json::from_str(&replay(&["--json", "--since", "1d"])).expect("JSON");
    assert_eq!(
        (&flips["flips"][0]["before"], &flips["flips"][0]["after"]),
        (&json!("allow"), &json!("deny")),
        "{flips}"
    );
    assert_eq!(flips["flips"].as_array().map(Vec::len), Some(1));
    assert!(replay(&["--job", &id]).contains(&format!("allow to deny  job {id}  verifier")));

    let (rules, err, code) = world.run(&["policy", "rules", "--json"]);
    assert_eq!(code, 0, "{err}");
    let rules: Value = serde_json::from_str(&rules).expect("JSON");
    assert_eq!(rules["policies"]["changelog"]["rules"]["no-changelog"]["jobs"], 1, "{rules}");
    assert!(rules["policies"]["scope"]["never"].to_string().contains("symlink-escape"), "{rules}");
}

#[test]
fn a_refused_policy_is_what_denied_the_job() {
    let (world, plugins) = world();
    std::fs::write(plugins.join("mine.wasm"), b"hello").expect("no component");
    let mut server = world.serve();
    let id = server.start_job(world.job(json!({"checks": slug_check(), "isolation": "worktree"})));
    assert_eq!(server.finish(&id)["failure"]["kind"], "policy_broken");
    let (why, _, _) = world.run(&["policy", "why", &id]);
    assert!(why.contains("mine said:\n  DENY policy-broken: policy mine could not judge"), "{why}");
    assert!(why.contains("it is no WebAssembly component"), "{why}");
    assert!(why.contains("denied by 1 finding"), "{why}");
}

#[test]
fn install_checks_copies_locks_and_remove_undoes_it() {
    let world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let plugins = world.home.join("plugins");
    assert!(!plugins.exists(), "a new user has none");
    let file = world.home.parent().expect("a parent").join("my component.wasm");
    std::fs::write(&file, CHANGELOG).expect("the component");
    let name = file.display().to_string();

    let (out, err, code) = world.run(&["plugin", "install", &name]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("judges every job that begins from now on"), "{out}");
    assert_eq!(std::fs::read(plugins.join("changelog.wasm")).expect("the copy"), CHANGELOG);
    let lock = std::fs::read_to_string(plugins.join("plugins.lock")).expect("the lock");
    assert!(lock.contains("changelog.wasm"), "{lock}");
    let (out, _, code) = world.run(&["plugin", "install", &name]);
    assert!(code == 0 && out.contains("it was there already"), "{out}");
    let result = world.serve().run_job(world.job(json!({"checks": slug_check()})));
    assert_eq!(result["failure"]["kind"], "policy_denied", "{result}");

    // Another version, from a server, pinned by its digest; it decides nothing.
    let served =
        test_support::http::Upstream::start_in_thread(|_, _| test_support::http::Reply::sse(other_bytes()));
    let url = format!("{}/changelog.wasm", served.url);
    let (_, err, code) = world.run(&["plugin", "install", &url, "--sha256", &"0".repeat(64)]);
    assert!(code == 5 && err.contains("nothing was installed"), "{err}");
    assert_eq!(std::fs::read(plugins.join("changelog.wasm")).expect("as it was"), CHANGELOG);
    let (out, err, code) = world.run(&["plugin", "install", &url, "--mode", "shadow"]);
    assert!(code == 0 && out.contains("shadow"), "{out}{err}");
    let lock = std::fs::read_to_string(plugins.join("plugins.lock")).expect("the lock");
    assert!(lock.lines().any(|line| line.contains("changelog") && line.contains("shadow")), "{lock}");

    // What the host would refuse is not installed.
    std::fs::write(&file, "this is no component").expect("written");
    let (_, err, code) = world.run(&["plugin", "install", &name]);
    assert!(code == 8 && err.contains("is refused"), "{err}");
    let (_, err, code) = world.run(&["plugin", "install", "http://plugins.example/x.wasm"]);
    assert!(code == 5 && err.contains("https://"), "{err}");
    assert_eq!(std::fs::read(plugins.join("changelog.wasm")).expect("as it was"), other_bytes());

    let (out, err, code) = world.run(&["plugin", "remove", "changelog"]);
    assert!(code == 0 && out.contains("is removed"), "{out}{err}");
    assert!(!plugins.join("changelog.wasm").exists());
    let result = world.serve().run_job(world.job(json!({"checks": slug_check()})));
    assert!(!result["policies"].to_string().contains("changelog"), "{result}");
    for (name, hint) in [("changelog", "plugin list"), ("scope", "switch it off"), ("../x", "plugin list")] {
        let (_, err, code) = world.run(&["plugin", "remove", name]);
        assert!(code == 4 && err.contains(hint), "{name}: {err}");
    }
}
