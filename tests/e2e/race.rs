//! A job that exchanges directories for links as fast as it can while other jobs run beside it,
//! and each attack of `hostile` under the weaker containments. Outside is a victim, which is
//! never touched and never read.

use std::path::Path;
use std::time::{Duration, Instant};

use contain::Strength;
use serde_json::{Value, json};

use crate::escape::strengths;
use crate::hostile::{Attack, CANARY, FIX, readable_text, rules};
use crate::support::{git, until, write};

/// Runs in the directory `race`: exchanges each name for the link beside it, without a moment in which it is neither.
const SWAPPER: &str = r#"
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
swap = lambda a, b: libc.renameat2(-100, a.encode(), -100, b.encode(), 2)
victim = 'VICTIM'
pairs = []
for name, target in (('d', victim + '/.ssh'), ('cache', victim), ('deps/d', victim + '/.ssh'),
                     ('deps/up', '..'), ('e', '/'), ('f', victim + '/.ssh/id_x'), ('g', victim + '/.bashrc')):
    os.makedirs(os.path.dirname(name) or '.', exist_ok=True)
    if name in 'fg':
        open(name, 'w').write('plain\n')
    else:
        os.makedirs(name, exist_ok=True)
        open(name + '/id_x', 'w').write('plain\n')
    link = name + '-link'
    if not os.path.islink(link) and not os.path.islink(name):
        os.symlink(target, link)
    pairs.append((name, link))
assert swap(*pairs[0]) == 0
open('ready', 'w').close()
while not os.path.exists('stop'):
    for _ in range(500):
        for pair in pairs:
            swap(*pair)
"#;

/// Runs jobs beside the swapper until `enough`, which is given their number and the time; gives
/// how many there were and how they ended.
fn race(strength: Strength, enough: impl Fn(usize, Duration) -> bool) -> Vec<String> {
    let files = [
        ("race/keep", ""),
        ("other/y.txt", "y\n"),
        (".gitignore", "race/deps/\n__pycache__/\nrace/cache*\n"),
    ];
    let mut attack = Attack::under(strength, &files);
    let race = attack.world.repo.join("race");
    attack.world.set("WORKER_CACHE_DIRS", &race.join("cache").display().to_string());
    attack.world.set("MAX_RUNNING_JOBS", "3");
    let mut server = attack.world.serve();
    let script = format!("cat >$TMPDIR/swap.py <<'X'\n{SWAPPER}\nX\npython3 $TMPDIR/swap.py");
    let plain = json!({"checks": null, "scoped_patch": null, "timeout_ms": 3_000_000});
    let merged = |mut extra: Value| {
        for (key, value) in plain.as_object().expect("arguments") {
            extra.as_object_mut().expect("arguments").entry(key).or_insert(value.clone());
        }
        extra
    };
    // The caches are there when the swapper's own containment is made.
    std::fs::create_dir_all(race.join("cache")).expect("made");
    let swapper = server.start_job(attack.job(&script, merged(json!({"allowed_dirs": [race]}))));
    until("the swapper is at work", || race.join("ready").exists());
    // What a job's own command may read and write is the containment's to say, not the host's.
    let looks = match strength {
        Strength::ProcessGroup => "true",
        _ => {
            "cat RACE/f RACE/d/id_x RACE/cache/id_x race/deps/d/id_x; echo PWNED >>RACE/cache/.bashrc; \
              echo PWNED >>RACE/g; echo PWNED >RACE/d/authorized_keys; ls -a RACE/cache RACE/d"
        }
    };
    let looks = looks.replace("RACE", &race.display().to_string());
    let repo = attack.world.repo.clone();
    let check = json!([{"name": "c", "command": "ls -R . >/dev/null; true"}]);
    let kinds = [
        json!({"allowed_dirs": [repo.join("src")], "checks": check}),
        json!({"allowed_dirs": [repo], "isolation": "worktree", "copy_in": ["race/deps"], "checks": check}),
        json!({"allowed_dirs": [race.join("d")], "isolation": "worktree"}),
        json!({"allowed_dirs": [repo.join("other")]}),
    ];
    let began = Instant::now();
    let (mut ends, mut running) = (Vec::new(), Vec::new());
    for number in 0.. {
        if enough(number, began.elapsed()) {
            break;
        }
        let script = format!("{looks}\necho {number} >>new.txt");
        let started = server.call("start", attack.job(&script, merged(kinds[number % 4].clone())));
        match started.data["job_id"].as_str() {
            Some(id) => running.push(id.to_owned()),
            // A link stood where the directory was to be.
            None => ends.push(format!("refused: {}", started.text)),
        }
        if running.len() == 2 {
            let id = running.remove(0);
            ends.push(ended(&mut server, &attack, &id));
        }
    }
    for id in running {
        ends.push(ended(&mut server, &attack, &id));
    }
    write(&race.join("stop"), "");
    server.finish(&swapper);
    attack.held();
    assert_untold(&attack.world.home.join("jobs").join(swapper));
    ends
}

fn ended(server: &mut test_support::mcp::Client, attack: &Attack, id: &str) -> String {
    let result = server.finish(id);
    attack.held();
    assert_untold(&attack.world.home.join("jobs").join(id));
    let why = result["failure"]["message"].as_str().unwrap_or_default();
    format!("{}: {why}", result["job_status"].as_str().unwrap_or_default())
}

/// Nothing of the victim's is in what was kept of a job, recorded objects included.
fn assert_untold(dir: &Path) {
    assert!(!readable_text(dir).contains(CANARY), "{}", dir.display());
    for entry in std::fs::read_dir(dir.join("shadow")).into_iter().flatten().flatten() {
        if entry.path().join("objects").is_dir() {
            let args = ["--git-dir=.", "cat-file", "--batch-all-objects", "--batch", "--buffer"];
            let out = std::process::Command::new("git").args(args).current_dir(entry.path()).output();
            let out = out.expect("git runs");
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
            assert!(!String::from_utf8_lossy(&out.stdout).contains(CANARY), "{}", entry.path().display());
        }
    }
}

fn report(strength: Strength, ends: &[String]) {
    let mut counted = std::collections::BTreeMap::new();
    for end in ends {
        *counted.entry(end.chars().take(60).collect::<String>()).or_insert(0) += 1;
    }
    eprintln!("{strength}: {} jobs beside the swapper: {counted:#?}", ends.len());
    assert!(ends.iter().any(|end| end.starts_with("completed")), "some job does its work: {counted:?}");
}

#[test]
fn jobs_beside_a_swapper() {
    let strength = strengths()[0];
    report(strength, &race(strength, |number, passed| number >= 4 && passed > Duration::from_secs(12)));
}

#[test]
#[ignore = "takes minutes: a hundred jobs under each containment; RACE_STRENGTH names one"]
fn a_hundred_jobs_beside_a_swapper() {
    let wanted = std::env::var("RACE_STRENGTH").ok();
    for strength in strengths() {
        if wanted.as_ref().is_none_or(|wanted| *wanted == strength.to_string()) {
            report(strength, &race(strength, |number, _| number >= 100));
        }
    }
}

/// The attacks of `hostile`, one of each kind, under what is weaker than the machine's strongest.
#[test]
fn what_the_host_promises_holds_under_weaker_containments() {
    for strength in strengths().into_iter().filter(|strength| *strength != Strength::Bubblewrap) {
        let attack = Attack::under(strength, &[("pkg/a/x.txt", "x\n"), ("other/y.txt", "y\n")]);
        let repo = attack.world.repo.clone();
        let clean = || {
            git(&repo, &["reset", "-q", "--hard"]);
            git(&repo, &["clean", "-qfdx"]);
        };
        let plain = json!({"checks": null, "scoped_patch": null});
        let victim = attack.victim.display().to_string();

        // Code under test makes a link where the host makes its next tree.
        let code = format!(
            "import os, sys\nhere = os.getcwd()\nif '/trees/' in here:\n    trees = here[:here.index('/trees/')] + '/trees'\n\
             \x20   try: os.symlink('{victim}', trees + '/control')\n    except OSError as e: print(e)\n    sys.exit(1)\n\
             def add(a, b):\n    return a + b\n"
        );
        let script =
            format!("cat >src/calc.py <<'X'\n{code}X\necho evil >.bashrc\necho '# t' >>tests/test_calc.py");
        attack.run(&script, json!({"scoped_patch": null}));
        clean();

        // A setup command makes a link of what the host writes.
        let setup = format!("rm -f .git/info/exclude; ln -s {victim}/.bashrc .git/info/exclude");
        let (result, _) = attack.run(FIX, json!({"isolation": "worktree", "setup": setup}));
        assert_eq!(result["job_status"], "completed", "{strength}: {result}");

        // A directory that was allowed is another one when its job begins.
        let mut server = attack.world.serve();
        let first = server.start_job(attack.job(
            &format!("while [ ! -e go ]; do sleep 0.05; done; mv pkg/a pkg/b; ln -s {victim} pkg/a"),
            plain.clone(),
        ));
        let mut second = plain.clone();
        second["allowed_dirs"] = json!([repo.join("other"), repo.join("pkg/a")]);
        let second = server.start_job(attack.job("true", second));
        write(&repo.join("go"), "");
        server.finish(&first);
        let result = server.finish(&second);
        assert!(result["failure"]["message"].to_string().contains("was replaced"), "{strength}: {result}");
        drop(server);
        clean();

        // The agent, and the code under test, change what git runs.
        let evil = "git config core.fsmonitor 'touch VICTIM/RAN; false'";
        let (result, _) = attack.run(&format!("{evil}; sleep 50"), plain.clone());
        assert_eq!(result["job_status"], "failed", "{strength}: {result}");
        assert!(result["failure"].to_string().contains("it was put back"), "{strength}: {result}");
        let check = json!([{"name": "c", "command": evil.replace("VICTIM", &victim) + "; sleep 50"}]);
        let (result, _) = attack.run(FIX, json!({"checks": check, "scoped_patch": null}));
        assert_eq!(result["job_status"], "failed", "{strength}: {result}");
        assert!(result["failure"].to_string().contains("it was put back"), "{strength}: {result}");
        git(&repo, &["status"]);
        attack.held();
        clean();

        // In a worktree nothing of the user's is in question; the change is denied.
        let (result, dir) = attack.run(
            &format!("{FIX}; mkdir .git/rebase-merge; echo 'exec evil' >.git/rebase-merge/git-rebase-todo"),
            json!({"isolation": "worktree"}),
        );
        assert_eq!(result["job_status"], "failed", "{strength}: {result}");
        assert!(rules(&dir).contains(&"internals-changed".to_owned()), "{strength}: {:?}", rules(&dir));

        // The repository's own git directory leads to another file; the host does not go there.
        std::fs::remove_file(repo.join(".git/info/exclude")).expect("removed");
        std::os::unix::fs::symlink(attack.victim.join(".ssh/id_x"), repo.join(".git/info/exclude"))
            .expect("linked");
        let mut copied = plain.clone();
        copied["isolation"] = json!("worktree");
        let (_, dir) = attack.run("cat .git/info/exclude; cp .git/info/exclude seen", copied);
        assert_untold(&dir);
        std::fs::remove_file(repo.join(".git/info/exclude")).expect("removed");

        // A pipe where the host reads.
        let began = Instant::now();
        let mut piped = plain.clone();
        piped["timeout_ms"] = json!(15_000);
        attack.run("mkfifo .gitattributes; echo hi >>README.md", piped);
        assert!(began.elapsed() < Duration::from_secs(23), "{strength}: {:?}", began.elapsed());
    }
}
