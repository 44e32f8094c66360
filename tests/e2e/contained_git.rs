//! The user's repository while a job runs in it: what makes git run a program stays as it is,
//! and git goes on working.

use std::path::{Path, PathBuf};
use std::time::Duration;

use contain::{Error, Strength};
use tokio_util::sync::CancellationToken;

use crate::escape::{Fixture, Ran, python, run, strengths, try_run, until};
use crate::support::{git, write};

/// A repository with a submodule, a shared configuration and hooks of its own.
fn repository(fixture: &Fixture) -> PathBuf {
    let repo = fixture.path("work");
    let other = fixture.path("outside/other");
    write(&other.join("a"), "a\n");
    for dir in [&repo, &other] {
        git(dir, &["init", "-q", "-b", "main"]);
    }
    git(&other, &["add", "-A"]);
    git(&other, &["commit", "-q", "-m", "start"]);
    write(&repo.join("file"), "one\n");
    write(&repo.join("shared.cfg"), "[core]\n\tpager = cat\n");
    write(&repo.join(".hooks/pre-commit"), "#!/bin/sh\n");
    git(
        &repo,
        &[
            "-c",
            "protocol.file.allow=always",
            "submodule",
            "--quiet",
            "add",
            &other.display().to_string(),
            "sub",
        ],
    );
    git(&repo, &["config", "user.name", "Ann"]);
    git(&repo, &["config", "user.email", "ann@example.invalid"]);
    git(&repo, &["config", "include.path", "../shared.cfg"]);
    git(&repo, &["config", "core.hooksPath", ".hooks"]);
    git(&repo, &["add", "-A"]);
    git(&repo, &["commit", "-q", "-m", "start"]);
    repo
}

/// Ways to make the user's next `git status` run a program. `$EVIL` is that program.
const PLANTS: &[&str] = &[
    "git config core.fsmonitor $EVIL",
    "printf '[core]\\n\\tfsmonitor = %s\\n' $EVIL >> .git/config",
    "rm -f .git/config; printf '[core]\\n\\tfsmonitor = %s\\n' $EVIL > .git/config",
    "printf '[core]\\n\\tfsmonitor = %s\\n' $EVIL > .git/new; mv -f .git/new .git/config",
    "ln -f $EVIL .git/hooks/post-index-change",
    "cp $EVIL .git/hooks/post-index-change",
    "mv .git/hooks .git/old; mkdir .git/hooks; cp $EVIL .git/hooks/post-index-change",
    "mkdir c; cp -r .git/config .git/objects .git/refs c; git config -f c/config core.fsmonitor $EVIL; echo ../c > .git/commondir",
    "mv .git old; cp -r old .git; git config -f .git/config core.fsmonitor $EVIL",
    "git config -f .git/modules/sub/config core.fsmonitor $EVIL",
    "printf '[core]\\n\\tfsmonitor = %s\\n' $EVIL >> shared.cfg",
    "cp $EVIL .hooks/post-index-change",
    "mv .hooks h; mkdir .hooks; cp $EVIL .hooks/post-index-change",
    "rm sub/.git; cp -r .git/modules/sub sub/.git; git config -f sub/.git/config core.fsmonitor $EVIL; git config -f sub/.git/config --unset core.worktree",
    "mv sub s; mkdir sub; cp -r s/* sub; cp -r .git/modules/sub sub/.git; git config -f sub/.git/config core.fsmonitor $EVIL; git config -f sub/.git/config --unset core.worktree",
];

/// Runs `plant` as a job's command would be, and asks for the status all the while, as a
/// shell's prompt does. Whether the program ran outside, and how the run ended.
async fn planted(
    fixture: &Fixture,
    repo: &Path,
    plant: &str,
    strength: Strength,
) -> (bool, Result<Ran, Error>) {
    let marker = fixture.path("RAN");
    let evil = fixture.path("work/evil");
    write(
        &evil,
        &format!(
            "#!/bin/sh\n[ -e '{}' ] || echo x >> '{}'\nfalse\n",
            fixture.path("inside").display(),
            marker.display()
        ),
    );
    git_mode(&evil);
    let mut command =
        fixture.shell(&format!("{plant}; echo planted > done; while [ ! -e go ]; do sleep 0.01; done"));
    command.env.insert("EVIL".into(), evil.display().to_string());
    command.env.insert("HOME".into(), fixture.path("work").display().to_string());
    let running = try_run(fixture, command, strength, Duration::from_secs(60), CancellationToken::new());
    let done = repo.join("done");
    let asking = async {
        until("it is planted", || done.exists()).await;
        if strength != Strength::Bubblewrap {
            // The moment in which a change is noticed and undone is not what is tried here.
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(running);
    let early = tokio::select! {
        ran = &mut running => Some(ran),
        () = asking => None,
    };
    status(repo);
    write(&repo.join("go"), "");
    let ran = match early {
        Some(ran) => ran,
        None => running.await,
    };
    status(repo);
    (marker.exists(), ran)
}

fn git_mode(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("writable");
}

fn status(repo: &Path) {
    let _ = std::process::Command::new("git")
        .args(["status", "--short"])
        .current_dir(repo)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status();
}

#[tokio::test]
async fn nothing_is_planted_under_bubblewrap() {
    if !strengths().contains(&Strength::Bubblewrap) {
        return;
    }
    for plant in PLANTS {
        let fixture = Fixture::new();
        let repo = repository(&fixture);
        let (ran, ended) = planted(&fixture, &repo, plant, Strength::Bubblewrap).await;
        assert!(!ran, "{plant}: {:?}", ended.map(|ran| ran.text));
    }
}

/// What a mount would forbid is undone there, and the run ends. Other files that a
/// configuration names are left open, as the documentation says.
#[tokio::test]
async fn what_is_planted_is_undone_elsewhere() {
    let open = ["shared.cfg", ".hooks", "sub"];
    for strength in strengths().into_iter().filter(|strength| *strength != Strength::Bubblewrap) {
        for plant in PLANTS.iter().filter(|plant| !open.iter().any(|name| plant.contains(name))) {
            let fixture = Fixture::new();
            let repo = repository(&fixture);
            let (ran, ended) = planted(&fixture, &repo, plant, strength).await;
            let replaced = plant.starts_with("mv .git ");
            assert!(!ran || replaced, "{strength}: {plant}");
            assert!(
                matches!(ended, Err(Error::Ended(_))),
                "{strength}: {plant}: {:?}",
                ended.map(|ran| ran.text)
            );
        }
    }
}

/// A run as it happens: ordinary work with git in the user's repository.
#[tokio::test]
async fn git_goes_on_working() {
    for strength in strengths() {
        let fixture = Fixture::new();
        repository(&fixture);
        let script = "set -e; echo two >> file; git add file; git status --short; git diff --cached --stat; \
            git -c core.hooksPath=/dev/null commit -qm second; git stash list; echo x > new; git add new; git stash -q; git stash pop -q; \
            git checkout -q -b topic; git reset -q --hard HEAD~1; git log --oneline | wc -l; \
            git -C sub log --oneline | wc -l; git tag t; git branch -D main -q; git fsck --no-progress; mv file moved; git mv moved again || true; echo fine";
        let mut command = fixture.shell(script);
        command.env.insert("HOME".into(), fixture.path("work").display().to_string());
        let ran = run(&fixture, command, strength).await;
        assert!(ran.exit.success() && ran.text.contains("fine"), "{strength}: {}", ran.text);
    }
}

/// A directory of a repository is allowed: the rest of it can be read and git works.
#[tokio::test]
async fn a_directory_of_a_repository() {
    for strength in strengths() {
        let fixture = Fixture::new();
        let repo = repository(&fixture);
        write(&repo.join("packages/web/a"), "a\n");
        write(&repo.join("package.json"), "{}\n");
        let mut command =
            fixture.shell("cat ../../package.json; git log --oneline | wc -l; git status --short | head -3");
        command.cwd = repo.join("packages/web");
        command.limits.writable = vec![repo.join("packages/web")];
        let ran = run(&fixture, command, strength).await;
        assert!(ran.text.starts_with("{}\n1\n"), "{strength}: {}", ran.text);
    }
}

/// Two ways for a colleague's worktree to take the place of the user's tree.
#[tokio::test]
async fn another_directory_in_the_place_of_a_tree() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.path("own/src")).expect("writable");
    write(&fixture.path("own/src/a"), "worktree\n");
    write(&fixture.path("work/src/a"), "original\n");
    write(&fixture.path("work/secret"), "original\n");
    if !strengths().contains(&Strength::Bubblewrap) {
        return;
    }
    for writable in [true, false] {
        let _ = std::fs::remove_file(fixture.path("own/src/b"));
        let mut command = fixture.shell("cat src/a secret; echo new > src/b; pwd");
        command.limits.writable = Vec::new();
        command.limits.binds =
            vec![contain::Bind { source: fixture.path("own"), destination: fixture.path("work"), writable }];
        let ran = run(&fixture, command, Strength::Bubblewrap).await;
        assert!(ran.text.contains("worktree") && !ran.text.contains("original"), "{}", ran.text);
        assert!(ran.text.contains(&format!("{}\n", fixture.path("work").display())), "{}", ran.text);
        assert_eq!(fixture.path("own/src/b").exists(), writable, "{}", ran.text);
        assert!(!fixture.path("work/src/b").exists());
    }
}

/// Somebody else's process tries to take the helper's part on the control socket.
#[tokio::test]
async fn nobody_else_speaks_for_the_helper() {
    for strength in strengths().into_iter().filter(|strength| *strength != Strength::Bubblewrap) {
        let (forger, victim) = (Fixture::new(), Fixture::new());
        let forge = r#"
import glob, socket, time, re
end = time.time() + 4
said = 0
while time.time() < end:
    for line in glob.glob('/proc/[0-9]*/cmdline'):
        try:
            found = re.search(rb'(/\S+)/spec\.json', open(line, 'rb').read().replace(b'\0', b' '))
        except OSError:
            continue
        if not found: continue
        try:
            s = socket.socket(socket.AF_UNIX); s.connect(found.group(1) + b'/control')
            s.sendall(b'"started"\n{"ended":[0,null]}\n'); said += 1
        except OSError: pass
print("said", said)
"#;
        let forging = python(&forger, forge, strength, None);
        let checking = async {
            let mut codes = Vec::new();
            for _ in 0..6 {
                codes.push(run(&victim, victim.shell("exit 7"), strength).await.exit.code);
            }
            codes
        };
        let (said, codes) = tokio::join!(forging, checking);
        assert_eq!(codes, vec![Some(7); 6], "{strength}: {said:?}");
    }
}

/// A job in the user's own directory, as the real program runs it: the agent sets a file
/// system monitor, waits for a prompt, and takes it back.
#[test]
fn a_prompt_while_the_job_runs() {
    use crate::support::{Agent, World};
    let mut world =
        World::outside_tmp(&[("src/a.txt", "old\n")], &serde_json::json!({"turns": []}), &Agent::Builtin);
    let marker = world.repo.with_file_name("OUTSIDE");
    world.set("AGENT", "command");
    world.set(
        "AGENT_COMMAND",
        &format!(
            "git config core.fsmonitor 'touch {}; false'; echo x > ready; sleep 2; git config --unset core.fsmonitor; echo new > src/a.txt",
            marker.display()
        ),
    );
    let mut server = world.serve();
    let job = server.start_job(world.job(serde_json::json!({})));
    let ready = world.repo.join("ready");
    crate::support::until("the agent has tried", || ready.exists());
    // It failed, or it is undone.
    crate::support::until("the configuration is as it was", || !world.read(".git/config").contains("touch"));
    status(&world.repo);
    let result = server.finish(&job);
    assert!(!marker.exists(), "{result}");
}
