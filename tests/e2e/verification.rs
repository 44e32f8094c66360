//! How a result is judged, from outside: a worktree's setup, checks that were broken before,
//! the guarded run where it is, what the agent does to evade it, the receipt.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{self, Agent, World};

const TEST: &str = "#!/bin/sh\n# Prints TAP.\n. ./src/slug.sh\n. ./deps/assert.sh\necho 1..1\n\
    if same \"$(slug 'A b')\" a-b; then echo 'ok 1 - joins words'; else echo 'not ok 1 - joins words'; exit 1; fi\n";
const ASSERT: &str = "same() { [ \"$1\" = \"$2\" ]; }";
const SETUP: &str = "mkdir -p deps && echo 'same() { [ \"$1\" = \"$2\" ]; }' >deps/assert.sh && echo touched >>README.md && echo installed";

fn world(files: &[(&str, &str)], turns: Value) -> World {
    World::new(files, &json!({"turns": turns}), &Agent::Builtin)
}

fn project() -> Vec<(&'static str, &'static str)> {
    vec![support::SLUG[0], ("tests/run.sh", TEST), ("README.md", "# slug\n")]
}

fn edit(path: &str, old: &str, new: &str) -> Value {
    json!({"tools": [{"read": {"path": path}}, {"edit": {"path": path, "old": old, "new": new}}]})
}

fn fix() -> Value {
    edit("src/slug.sh", support::BUG.0, support::BUG.1)
}

fn say(text: &str) -> Value {
    json!({"say": text})
}

fn job_dir(world: &World, id: &Value) -> PathBuf {
    world.home.join("jobs").join(id.as_str().expect("a job id"))
}

fn finish(world: &World, extra: Value) -> (Value, PathBuf) {
    let mut server = world.serve();
    let id = server.start_job(world.job(extra));
    let result = server.finish(&id);
    (result, job_dir(world, &json!(id)))
}

fn findings(dir: &std::path::Path) -> String {
    std::fs::read_to_string(dir.join("artifacts/findings.json")).unwrap_or_default()
}

#[test]
fn a_new_worktree_is_set_up_and_that_is_nobodys_change() {
    let world = world(&project(), json!([fix(), say("A dash now.")]));
    let (result, dir) = finish(
        &world,
        json!({"isolation": "worktree", "setup": SETUP, "scoped_patch": {"paths": ["src"]}, "checks": support::slug_check()}),
    );
    assert_eq!(result["job_status"], "completed", "{result} {}", findings(&dir));
    assert_eq!(result["changed_files"], json!(["src/slug.sh"]));
    let id = dir.file_name().expect("an id").to_string_lossy().into_owned();
    let names =
        support::git(&world.repo, &["diff", "--name-only", "HEAD", &format!("refs/codex-worker/{id}")]);
    assert_eq!(names, "src/slug.sh\n", "what setup made or changed is not part of the result");
    assert_eq!(std::fs::read_to_string(dir.join("artifacts/setup.log")).expect("its log"), "installed\n");
    assert_eq!(world.read("README.md"), "# slug\n");
    let (shown, said, code) = world.run(&["receipt", "verify", &id]);
    assert_eq!(code, 0, "{shown}{said}");
    assert!(shown.contains("ok     result-tree") && shown.contains("ok     artifacts/setup.log"), "{shown}");
}

#[test]
fn a_setup_that_fails_ends_the_job_before_the_agent() {
    let mut world = world(&project(), json!([fix(), say("Done.")]));
    world.set("WORKER_SETUP_COMMAND", "echo no such package >&2; exit 3");
    let (result, _) = finish(&world, json!({"isolation": "worktree"}));
    assert_eq!(result["job_status"], "failed");
    assert_eq!(result["failure"]["kind"], "workspace", "{result}");
    let message = result["failure"]["message"].as_str().unwrap_or_default();
    assert_eq!(message, "the setup command failed (exit 3): no such package");
    assert_eq!(world.requests(0).len(), 0, "the model was not asked");
}

#[test]
fn what_was_broken_before_is_told_apart_from_what_the_job_broke() {
    let world = world(
        &[("a.sh", "exit 0\n"), ("b.sh", "exit 1\n")],
        json!([json!({"tools": [{"write": {"path": "a.sh", "content": "exit 1\n"}}]}), say("Changed.")]),
    );
    let check = |name: &str| json!({"name": name, "command": format!("sh {name}.sh"), "baseline": true});
    let (result, dir) = finish(&world, json!({"checks": [check("a"), check("b")]}));
    let lines = result["checks"].to_string();
    assert!(lines.contains("a: failed (exit 1; passed before the job)"), "{lines}");
    assert!(lines.contains("b: failed (exit 1; failed before the job too)"), "{lines}");
    assert!(
        result["failure"]["message"].as_str().unwrap_or_default().contains("and passed before the job"),
        "{result}"
    );
    assert!(dir.join("artifacts/checks/a.before.log").exists());
}

#[test]
fn the_guarded_run_uses_the_worktrees_own_dependencies_and_leaves_no_trace() {
    let weaken = edit("tests/run.sh", "same \"$(slug 'A b')\" a-b", "true");
    // Without a scope the script that the check runs may be edited, so that the guarded run
    // alone decides.
    let named = json!({"paths": ["src", "tests/run.sh"]});
    let stricter =
        edit("tests/run.sh", "exit 1; fi", "exit 1; fi\nif same \"$(slug B)\" b; then :; else exit 1; fi");
    let cases = [
        (json!([weaken.clone(), say("Passes.")]), json!(null), "failed"),
        // The scope names the test: the planner's wish.
        (json!([weaken, fix(), say("Done.")]), named, "completed"),
        (json!([fix(), stricter, say("Done.")]), json!(null), "completed"),
    ];
    for (turns, scope, expected) in cases {
        let world = world(&project(), turns);
        let mut job = json!({"isolation": "worktree", "setup": SETUP, "checks": support::slug_check()});
        if scope != json!(null) {
            job["scoped_patch"] = scope;
        }
        let (result, dir) = finish(&world, job);
        assert_eq!(result["job_status"], expected, "{result} {}", findings(&dir));
        if expected == "failed" {
            assert_eq!(result["failure"]["kind"], "tests_weakened", "{result}");
            let kept =
                std::fs::read_to_string(dir.join("worktree/tests/run.sh")).expect("the worktree stays");
            assert!(kept.contains("if true"), "the agent's version is back: {kept}");
        }
        assert!(!dir.join("shadow/laid").exists() && !dir.join("trees").exists());
    }
}

/// A test that is weak only where the agent left a hidden file, so that a copy of the tree
/// would say "it does not run here".
#[test]
fn a_hidden_file_does_not_make_the_guarded_run_inconclusive() {
    let trick = "[ -e cache/flag ] || { echo 'not ok 1 - flag'; exit 1; }; if true";
    let turns = json!([
        json!({"tools": [{"write": {"path": "cache/flag", "content": "x"}}]}),
        edit("tests/run.sh", "if same \"$(slug 'A b')\" a-b", trick),
        say("Passes.")
    ]);
    let mut files = project();
    files.push((".gitignore", "cache/\n"));
    files.push(("cache/keep", ""));
    files.push(("deps/assert.sh", ASSERT));
    let world = world(&files, turns);
    let (result, dir) = finish(
        &world,
        json!({"isolation": "worktree", "scoped_patch": {"paths": ["src", "tests", "cache"]}, "checks": support::slug_check()}),
    );
    assert_eq!(result["job_status"], "failed", "{result}");
    assert!(findings(&dir).contains("tests-weakened"), "{}", findings(&dir));
}

#[test]
fn dependencies_that_git_ignores_may_not_be_edited() {
    let mut files = project();
    files.push((".gitignore", "node_modules/\n"));
    files.push(("deps/assert.sh", ". ./node_modules/assert/index.sh"));
    let turns = json!([
        json!({"tools": [{"write": {"path": "node_modules/assert/index.sh", "content": "same() { true; }\n"}}]}),
        json!({"tools": [{"write": {"path": "src/note.txt", "content": "n\n"}}]}),
        say("Passes.")
    ]);
    for isolation in ["none", "worktree"] {
        let world = world(&files, turns.clone());
        support::write(&world.repo.join("node_modules/assert/index.sh"), ASSERT);
        let (result, dir) = finish(
            &world,
            json!({"isolation": isolation, "copy_in": ["node_modules"], "scoped_patch": {"paths": ["src", "node_modules"]}, "checks": support::slug_check()}),
        );
        assert_eq!(result["job_status"], "failed", "{isolation}: {result}");
        let found = findings(&dir);
        assert!(
            found.contains("dependencies-edited") && found.contains("node_modules/assert/index.sh"),
            "{isolation}: {found}"
        );
    }
}

#[test]
fn further_tests_are_guarded_by_the_operators_patterns() {
    let contract = "#!/bin/sh\n. ./src/slug.sh\n[ \"$(slug 'A b')\" = a-b ]\n";
    let turns = json!([
        json!({"tools": [{"write": {"path": "contract/run.sh", "content": "#!/bin/sh\n. ./src/slug.sh\n"}}]}),
        say("Done.")
    ]);
    let mut statuses = Vec::new();
    for patterns in ["", "contract/**"] {
        let mut world = world(&[support::SLUG[0], ("contract/run.sh", contract)], turns.clone());
        if !patterns.is_empty() {
            world.set("WORKER_GUARD_PATTERNS", patterns);
        }
        let (result, dir) =
            finish(&world, json!({"checks": [{"name": "contract", "command": "sh contract/run.sh"}]}));
        statuses.push((result["job_status"].clone(), findings(&dir).contains("tests-weakened")));
    }
    assert_eq!(statuses, [(json!("completed"), false), (json!("failed"), true)]);
}

#[test]
fn the_evidence_of_each_pass_is_kept() {
    let turns = json!([
        edit("src/slug.sh", support::BUG.0, "tr 'A-Z ' 'a-z.'"),
        say("A dot now."),
        edit("src/slug.sh", "a-z.", "a-z-"),
        say("A dash now.")
    ]);
    let world = world(support::SLUG, turns);
    let (result, dir) =
        finish(&world, json!({"checks": support::slug_check(), "auto_revise": {"max_passes": 2}}));
    assert_eq!((&result["job_status"], &result["attempts"]), (&json!("completed"), &json!(2)), "{result}");
    let kept =
        |name: &str| std::fs::read_to_string(dir.join("artifacts/attempts").join(name)).unwrap_or_default();
    assert!(
        kept("1/checks/unit_tests.log").contains("not ok 2 - joins words"),
        "{}",
        kept("1/checks/unit_tests.log")
    );
    assert!(kept("2/checks/unit_tests.log").contains("\nok 2 - joins words"));
    assert!(kept("1/diff.patch").contains("a-z.") && kept("2/diff.patch").contains("a-z-"));
    // The repair tells of the failing test alone, and not of the task again.
    let requests = world.requests(0);
    let last = requests.last().expect("requests").to_string();
    let repair = last.rsplit("attempt 2").next().unwrap_or_default();
    assert!(repair.contains("joins words") && !repair.contains("keeps words"), "{repair}");
}

/// Rust's unit tests stand in the file that they test: only their module is put back.
#[test]
fn tests_inside_source_files_are_guarded_too() {
    const LIB: &str = "pub fn add(a: u8, b: u8) -> u8 {\n    a - b\n}\n\n#[cfg(test)]\nmod tests {\n    \
        #[test]\n    fn adds() {\n        assert_eq!(super::add(3, 2), 5);\n    }\n}\n";
    let cargo = std::path::Path::new(env!("CARGO"));
    let bin = cargo.parent().expect("a directory").display();
    let checks = json!([{"name": "unit", "command": format!("PATH={bin}:$PATH cargo test -q --offline")}]);
    let weaken = edit("src/lib.rs", "assert_eq!(super::add(3, 2), 5);", "assert!(super::add(3, 2) < 5);");
    let fix = edit("src/lib.rs", "a - b", "a + b");
    let rename = json!({"tools": [
        {"read": {"path": "src/lib.rs"}},
        {"edit": {"path": "src/lib.rs", "old": "pub fn add", "new": "pub fn sum"}},
        {"edit": {"path": "src/lib.rs", "old": "super::add", "new": "super::sum"}}]});
    let cases = [
        (json!([weaken, say("Passes.")]), "failed", "tests-weakened"),
        (json!([fix.clone(), say("Adds now.")]), "completed", ""),
        // What the old tests call is gone: told, and not denied.
        (json!([fix, rename, say("Renamed.")]), "completed", "tests-unguarded"),
    ];
    for (turns, expected, rule) in cases {
        let manifest = "[package]\nname = \"sums\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
        let files = [("Cargo.toml", manifest), ("src/lib.rs", LIB), (".gitignore", "target/\nCargo.lock\n")];
        let mut world = world(&files, turns);
        // The toolchain of these tests is in a home that is not this world's.
        let toolchain = cargo.ancestors().nth(2).expect("a directory");
        world.set("WORKER_READ_PATHS", &toolchain.display().to_string());
        let (result, dir) = finish(
            &world,
            json!({"isolation": "worktree", "scoped_patch": {"paths": ["src"]}, "checks": checks}),
        );
        assert_eq!(result["job_status"], expected, "{result} {}", findings(&dir));
        let found = findings(&dir);
        assert!(rule.is_empty() || found.contains(rule), "{found}");
        assert!(rule == "tests-weakened" || !found.contains("tests-weakened"), "{found}");
        assert!(dir.join("artifacts/checks/unit.log").exists());
    }
}

#[test]
fn a_question_is_a_job_and_a_task_that_was_not_done_is_none() {
    let answer = || json!([say("The function is in src/slug.sh.")]);
    let cases = [
        (json!({}), "completed", ""),
        (json!({"permission_mode": "default"}), "completed", ""),
        // Nobody expects a change where nothing may be changed.
        (json!({"permission_mode": "plan", "expects_change": true}), "completed", ""),
        (json!({"expects_change": true}), "failed", "no-change"),
        (json!({"scoped_patch": {"paths": ["src"]}}), "failed", "no-change"),
        (json!({"scoped_patch": {"paths": ["src"]}, "expects_change": false}), "completed", ""),
    ];
    for (extra, expected, rule) in cases {
        let world = world(&project(), answer());
        let (result, dir) = finish(&world, extra.clone());
        assert_eq!(result["job_status"], expected, "{extra}: {result} {}", findings(&dir));
        assert!(findings(&dir).contains(rule), "{extra}: {}", findings(&dir));
        if expected == "completed" {
            let lines = result["checks"].to_string();
            assert!(lines.contains("note: nothing was changed, and the job expected no change"), "{lines}");
            assert_eq!(result["summary"], "The function is in src/slug.sh.");
        }
    }
}

/// Code that is another while the check runs: the check did not judge what is there now.
#[test]
fn a_source_that_is_written_while_a_check_runs_fails_it() {
    let check = |command: &str| json!([{"name": "unit tests", "command": command}]);
    // It writes itself anew, with the same text in the end.
    let restores = "cp src/slug.sh t; cat t >src/slug.sh; rm t; sh tests/run.sh";
    let rewrites = "sh tests/run.sh && echo '# seen' >>src/slug.sh";
    let snapshot = "sh tests/run.sh && echo seen >tests/out.snap";
    let beside = "sh tests/run.sh && echo '# seen' >>deps/assert.sh";
    for (isolation, command, denied) in [
        ("none", restores, true),
        ("none", rewrites, true),
        ("none", snapshot, false),
        // It may be the user's own edit of this minute.
        ("none", beside, false),
        ("worktree", restores, true),
        ("worktree", rewrites, true),
        ("worktree", beside, true),
        ("worktree", snapshot, false),
        ("worktree", "sh tests/run.sh", false),
    ] {
        let mut files = project();
        files.push(("deps/assert.sh", ASSERT));
        let world = world(&files, json!([fix(), say("A dash now.")]));
        let (result, dir) = finish(&world, json!({"isolation": isolation, "checks": check(command)}));
        let expected = if denied { "failed" } else { "completed" };
        assert_eq!(result["job_status"], expected, "{isolation} {command}: {result} {}", findings(&dir));
        assert_eq!(findings(&dir).contains("tree-changed-by-check"), denied, "{}", findings(&dir));
        if isolation == "worktree" && denied {
            let kept = std::fs::read_to_string(dir.join("worktree/src/slug.sh")).expect("the worktree stays");
            assert!(!kept.contains("seen"), "what the agent left is back: {kept}");
        }
    }
}

const STRICT: &str = "strict";

/// A check that passes is worth what it was seen to catch.
#[test]
fn a_check_is_run_again_without_the_change() {
    let comment = || edit("src/slug.sh", "slug", "# Joins words.\nslug");
    let mut good = project();
    good[0] = ("src/slug.sh", "slug() { printf '%s' \"$1\" | tr 'A-Z ' 'a-z-'; }\n");
    good.push(("deps/assert.sh", ASSERT));
    let mut bad = project();
    bad.push(("deps/assert.sh", ASSERT));
    let scope = json!({"paths": ["src"]});
    let mut checks = support::slug_check();
    let said = json!({"name": "said", "command": "grep -q Joins src/slug.sh", "must_fail_before": true});
    checks.as_array_mut().expect("a list").push(said);
    let cases = [
        // It failed before and passes with the change: that is what it is for.
        (&bad, fix(), json!({"prompt": "Fix the slug."}), "completed", "", "fails without the change"),
        // A refactoring promises that what passed passes.
        (
            &good,
            comment(),
            json!({"prompt": "Say what slug does.", "reliability_tier": STRICT, "scoped_patch": scope}),
            "completed",
            "",
            "passed before the job and passes after it",
        ),
        // Something failed before the job: it is a fix, whatever its prompt calls it.
        (
            &good,
            comment(),
            json!({"prompt": "Say what slug does.", "checks": checks}),
            "completed",
            "change-not-tested",
            "passes without",
        ),
        (
            &good,
            comment(),
            json!({"prompt": "Say what slug does.", "checks": checks, "reliability_tier": STRICT, "scoped_patch": scope, "auto_revise": false}),
            "failed",
            "change-not-tested",
            "passes without the change",
        ),
        (
            &bad,
            fix(),
            json!({"reliability_tier": "lite"}),
            "completed",
            "",
            "unit tests: passed (1 passed)\"",
        ),
    ];
    for (files, turn, mut job, expected, rule, phrase) in cases {
        for isolation in ["none", "worktree"] {
            job["isolation"] = json!(isolation);
            if job.get("checks").is_none() {
                job["checks"] = support::slug_check();
            }
            let mut world = world(files, json!([turn.clone(), say("Done.")]));
            if job["reliability_tier"] != "lite" {
                // The first further run is the one on mutants, where a policy makes some.
                world.set("WORKER_VERIFY_RUNS", "2");
            }
            let (result, dir) = finish(&world, job.clone());
            assert_eq!(result["job_status"], expected, "{job}: {result} {}", findings(&dir));
            assert!(findings(&dir).contains(rule), "{job}: {}", findings(&dir));
            assert!(result["checks"].to_string().contains(phrase), "{job}: {result}");
            assert!(!dir.join("shadow/laid").exists() && !dir.join("trees").exists());
        }
    }
}

/// Code that knows the environment of its check.
#[test]
fn what_passes_in_one_environment_only_is_found_out() {
    let knows = "if [ -n \"$CI\" ]; then echo a-b; else echo \"$1\"; fi";
    let cheat =
        json!({"tools": [{"write": {"path": "src/slug.sh", "content": format!("slug() {{ {knows}; }}\n")}}]});
    for (isolation, turn, expected) in
        [("none", cheat.clone(), "failed"), ("worktree", cheat, "failed"), ("worktree", fix(), "completed")]
    {
        let mut files = project();
        files.push(("deps/assert.sh", ASSERT));
        let world = world(&files, json!([turn, say("Passes.")]));
        let (result, dir) = finish(
            &world,
            json!({"isolation": isolation, "reliability_tier": STRICT, "auto_revise": false,
                   "scoped_patch": {"paths": ["src"]}, "checks": support::slug_check()}),
        );
        assert_eq!(result["job_status"], expected, "{result} {}", findings(&dir));
        assert_eq!(
            findings(&dir).contains("environment-dependent"),
            expected == "failed",
            "{}",
            findings(&dir)
        );
    }
}

/// Code that reports its own success: whatever its tests expect, the check passes.
#[test]
fn a_check_that_cannot_fail_is_found_out() {
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/mutation.wasm");
    if !shipped.exists() {
        test_support::missing::machine("mutants of checks: plugins/dist has no mutation.wasm");
        return;
    }
    let whole = |code: &str| json!({"tools": [{"write": {"path": "src/slug.sh", "content": code}}]});
    for (code, expected) in [
        // It becomes a process that reports its own success.
        ("exec sh -c 'echo 1..2; echo \"ok 1 - keeps words\"; echo \"ok 2 - joins words\"'\n", "failed"),
        ("slug() { printf '%s' \"$1\" | tr 'A-Z ' 'a-z-'; }\n", "completed"),
    ] {
        for isolation in ["none", "worktree"] {
            let world = world(support::SLUG, json!([whole(code), say("Passes.")]));
            let (result, dir) = finish(
                &world,
                json!({"isolation": isolation, "scoped_patch": {"paths": ["src"]}, "checks": support::slug_check()}),
            );
            assert_eq!(result["job_status"], expected, "{code} {result} {}", findings(&dir));
            assert_eq!(
                findings(&dir).contains("check-cannot-fail"),
                expected == "failed",
                "{}",
                findings(&dir)
            );
            let kept = std::fs::read_to_string(dir.join("artifacts/evidence.json")).expect("the evidence");
            assert!(kept.contains("tests/run.sh") && kept.contains("digest"), "{kept}");
            let id = dir.file_name().expect("an id").to_string_lossy().into_owned();
            let (shown, err, _) = world.run(&["policy", "why", &id]);
            let word = if expected == "failed" { "SURVIVED" } else { "killed" };
            assert!(shown.contains(&format!("check `unit tests`: {word}")), "{shown}{err}");
            if expected == "completed" {
                assert!(result["checks"].to_string().contains("mutants killed"), "{result}");
            }
            let script = match isolation {
                "none" => world.read("tests/run.sh"),
                _ => std::fs::read_to_string(dir.join("worktree/tests/run.sh")).unwrap_or_default(),
            };
            assert!(
                script.is_empty() || script == support::SLUG[1].1,
                "the tests are as they were: {script}"
            );
        }
    }
}

/// What defines a check is tried as it was, also where the scope names the file.
#[test]
fn the_old_definition_of_a_check_is_tried() {
    let make = |recipe: &str| format!("test:\n\t@{recipe}\n");
    let fake = make("echo 1..2; echo 'ok 1 - keeps words'; echo 'ok 2 - joins words'");
    let real = make("sh tests/run.sh");
    let fixed = json!({"edit": {"path": "src/slug.sh", "old": support::BUG.0, "new": support::BUG.1}});
    let read = json!({"read": {"path": "src/slug.sh"}});
    let write = |text: &str| json!({"write": {"path": "Makefile", "content": text}});
    let cases = [
        (real.clone(), json!([write(&fake)]), "standard", "failed", "tests-weakened"),
        (
            real.clone(),
            json!([read, fixed, write(&make("sh tests/run.sh # twice"))]),
            STRICT,
            "completed",
            "",
        ),
        // The old one leads nowhere: it was to be replaced.
        (make("sh gone.sh"), json!([read, fixed, write(&real)]), "standard", "completed", "tests-unguarded"),
        (make("sh gone.sh"), json!([read, fixed, write(&real)]), STRICT, "failed", "tests-unguarded"),
    ];
    for (before, tools, tier, expected, rule) in cases {
        let mut files = support::SLUG.to_vec();
        files.push(("Makefile", &before));
        let mut world = world(&files, json!([{"tools": tools}, say("Done.")]));
        world.set("WORKER_VERIFY_RUNS", "0");
        let (result, dir) = finish(
            &world,
            json!({"isolation": "worktree", "reliability_tier": tier, "auto_revise": false,
                   "scoped_patch": {"paths": ["src", "Makefile"]},
                   "checks": [{"name": "unit tests", "command": "make test"}]}),
        );
        let found = findings(&dir);
        assert_eq!(result["job_status"], expected, "{tier} {before}: {result} {found}");
        assert!(found.contains(rule), "{found}");
    }
}

/// Files that git ignores are in no diff and in no result: a check passes without them.
#[test]
fn a_check_does_without_the_ignored_files_that_were_added() {
    let source =
        "[ -e local.conf ] && . ./local.conf\nslug() { printf '%s' \"$1\" | tr 'A-Z ' \"a-z${DASH:-_}\"; }\n";
    let write = |path: &str, content: &str| json!({"write": {"path": path, "content": content}});
    let read = json!({"read": {"path": "src/slug.sh"}});
    for (paths, copy_in, expected) in [
        (json!(["src", "*.conf"]), json!([]), "failed"),
        (json!(["src", "local.conf"]), json!([]), "completed"),
        (json!(["src", "*.conf"]), json!(["local.conf"]), "completed"),
    ] {
        let mut files = support::SLUG.to_vec();
        files.push((".gitignore", "*.conf\n"));
        let tools = json!([read, write("src/slug.sh", source), write("local.conf", "DASH=-\n")]);
        let mut world = world(&files, json!([{"tools": tools}, say("Passes.")]));
        world.set("WORKER_VERIFY_RUNS", "0");
        let (result, dir) = finish(
            &world,
            json!({"isolation": "worktree", "copy_in": copy_in, "auto_revise": false,
                   "scoped_patch": {"paths": paths}, "checks": support::slug_check()}),
        );
        let found = findings(&dir);
        assert_eq!(result["job_status"], expected, "{paths} {copy_in}: {result} {found}");
        assert_eq!(found.contains("environment-dependent"), expected == "failed", "{found}");
        if expected == "failed" {
            let kept = std::fs::read_to_string(dir.join("worktree/local.conf")).unwrap_or_default();
            assert_eq!(kept, "DASH=-\n", "it is back");
            assert!(!dir.join("worktree/.codex-worker-aside").exists());
        }
    }
}
