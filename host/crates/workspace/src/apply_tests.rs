//! Bringing results back with real git: refusals, and interruptions at every step.

use std::path::PathBuf;
use std::time::Instant;

use super::*;
use evidence::Limits;
use model::spec::AllowedDir;
use test_support::{TestDir, run_sh};

/// A finished job whose agent ran `script` in a worktree of the place's repository.
fn finished(place: &TestDir, script: &str) -> PathBuf {
    let job = place.path("home/jobs/0123456789abcdef");
    fs::create_dir_all(&job).unwrap();
    let dirs = [AllowedDir::resolved(place.path("repo"))];
    let made = worktree::create(worktree::Options {
        job: "0123456789abcdef",
        dirs: &dirs,
        job_dir: &job,
        copy_in: &[],
        scope: &[],
        sparse_above: None,
    })
    .unwrap();
    let recorder = Recorder::begin_within(&made.dirs, &job.join("shadow"), Some(&made.path)).unwrap();
    run_sh(&made.path, script);
    let recorded = recorder.record(Limits::default()).unwrap();
    worktree::publish_ref(&job, &recorder, &recorded.tree, "x").unwrap();
    assert_eq!(Job::open(&job).unwrap().tree(), recorded.tree);
    // The worktree may be gone by the time somebody applies.
    worktree::remove(&job).unwrap();
    job
}

fn out(place: &TestDir, script: &str) -> String {
    let out = std::process::Command::new("sh")
        .arg("-ec")
        .arg(script)
        .current_dir(place.path("repo"))
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

const WORK: &str =
    "echo x >>src/a.rs; mv src/b.rs src/moved.rs; mkdir n; echo n >n/n; rm docs/a.md; chmod +x tests/a.rs";

#[test]
fn a_result_comes_into_the_checkout_and_the_index_stays() {
    let place = TestDir::with_repo();
    place.sh("cd repo; echo staged >staged; git add staged; echo loose >>run.sh");
    let job = finished(&place, WORK);
    place.sh("cd repo; echo later >>run.sh; echo mine >mine");
    let index = out(&place, "sha256sum .git/index; git for-each-ref");
    let told = check(&job).unwrap();
    assert!(!told.applied && told.refused.is_empty());
    assert_eq!(
        out(&place, "cat src/a.rs | tail -1; ls n 2>/dev/null || true"),
        "fn c() {}\n",
        "check changes nothing"
    );
    let done = apply(&job, Mode::Worktree).unwrap();
    assert!(done.applied);
    assert_eq!(done.changed, ["docs/a.md", "n/n", "src/a.rs", "src/b.rs", "src/moved.rs", "tests/a.rs"]);
    assert_eq!(told.changed, done.changed);
    let now = "tail -1 src/a.rs; cat n/n; test ! -e docs; ls src; test -x tests/a.rs && echo executable; tail -1 run.sh; cat mine";
    assert_eq!(out(&place, now), "x\nn\na.rs\nmoved.rs\nexecutable\nlater\nmine\n");
    assert_eq!(out(&place, "sha256sum .git/index; git for-each-ref"), index);
    assert_eq!(out(&place, "find . -name '.codex-worker*'"), "");
    let again = apply(&job, Mode::Worktree).unwrap();
    assert!(!again.applied && again.changed.is_empty());
    assert_eq!(again.already.len(), 6);
}

#[test]
fn paths_that_the_user_changed_meanwhile_are_refused_and_nothing_is_written() {
    let cases: [(&str, &[(&str, Why)]); 6] = [
        ("echo mine >>src/a.rs", &[("src/a.rs", Why::ChangedMeanwhile)]),
        (
            "rm src/a.rs; echo q >docs/a.md",
            &[("docs/a.md", Why::ChangedMeanwhile), ("src/a.rs", Why::ChangedMeanwhile)],
        ),
        ("mkdir n; echo other >n/n", &[("n/n", Why::ChangedMeanwhile)]),
        ("echo n/ >>.gitignore; mkdir n; echo secret >n/n", &[("n/n", Why::InTheWay)]),
        ("echo file >n", &[("n/n", Why::InTheWay)]),
        ("mkdir ../out; ln -s ../out n", &[("n/n", Why::InTheWay)]),
    ];
    for (script, expected) in cases {
        let place = TestDir::with_repo();
        let job = finished(&place, WORK);
        run_sh(&place.path("repo"), script);
        let before =
            out(&place, "find . -type f -exec sha256sum {} + | sort -k2; ls -R ../out 2>/dev/null || true");
        let told = apply(&job, Mode::Worktree).unwrap();
        let refused: Vec<(&str, Why)> = told.refused.iter().map(|r| (r.path.as_str(), r.why)).collect();
        assert_eq!(refused, expected, "after {script}");
        assert!(!told.applied);
        let after =
            out(&place, "find . -type f -exec sha256sum {} + | sort -k2; ls -R ../out 2>/dev/null || true");
        assert_eq!(before, after, "after {script}");
    }
}

#[test]
fn symlinks_modes_binary_files_and_line_ends_come_as_a_checkout_writes_them() {
    let place = TestDir::with_repo();
    place.sh("cd repo; echo '*.bat text eol=crlf' >.gitattributes; printf 'a\\r\\n' >a.bat; ln -s src/a.rs l; git add .; git commit -qm more");
    let job = finished(
        &place,
        "printf 'a\\r\\nb\\r\\n' >a.bat; ln -sf src/b.rs l; printf 'x\\0y' >bin; chmod 755 bin; ln -s bin new; rm run.sh; mkdir run.sh; echo in >run.sh/in",
    );
    // Elsewhere meanwhile: another branch, detached, with a dirty index and a lock left behind.
    place.sh("cd repo; git switch -q -c topic; git commit -q --allow-empty -m t; git switch -q --detach; echo s >s; git add s; touch .git/index.lock");
    let done = apply(&job, Mode::Worktree).unwrap();
    assert!(done.applied && done.refused.is_empty(), "{done:?}");
    let now = "od -c a.bat | head -1; readlink l new; od -c bin | head -1; test -x bin && echo x; cat run.sh/in; git diff --cached --name-only";
    assert_eq!(
        out(&place, now),
        "0000000   a  \\r  \\n   b  \\r  \\n\nsrc/b.rs\nbin\n0000000   x  \\0   y\nx\nin\ns\n"
    );
}

/// The process is killed at a random moment; whoever applies next finds all or nothing.
#[test]
fn a_killed_apply_is_all_or_nothing() {
    const MANY: &str = "for i in $(seq 120); do echo n >src/n$i; done; rm docs/a.md; echo x >>src/a.rs";
    let place = TestDir::with_repo();
    let job = finished(&place, MANY);
    let state = || out(&place, "find . -path ./.git -prune -o -type f -print | sort | xargs sha256sum");
    let before = state();
    let mut whole = None;
    let (_, module) = module_path!().split_once("::").unwrap();
    let other_half = &format!("{module}::applied_by_a_child");
    // Killed a little later each time, until one lives to its end: however fast the machine is,
    // it is killed before, during and never.
    let mut ended = false;
    for round in 1..=200u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", other_half, "--nocapture"])
            .env("APPLY_JOB_DIR", &job)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let kill_at = Instant::now() + Duration::from_millis(round * 23);
        while !ended && Instant::now() < kill_at {
            ended = child.try_wait().unwrap().is_some();
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        child.wait().unwrap();
        // The next one, whatever it wants, makes it whole again.
        let told = check(&job).unwrap();
        assert!(told.refused.is_empty(), "round {round}: {told:?}");
        let now = state();
        if told.changed.is_empty() {
            whole.get_or_insert(now.clone());
            assert_eq!(Some(&now), whole.as_ref(), "round {round}: all of it");
            place.sh("cd repo; git checkout -q -f .; git clean -qfd");
        } else {
            assert_eq!(now, before, "round {round}: nothing of it");
            assert!(!ended, "round {round}: the apply that was not killed did nothing");
        }
        if ended {
            return;
        }
    }
    panic!("no apply came to its end");
}

/// The other half of [`a_killed_apply_is_all_or_nothing`], which starts it.
#[test]
#[allow(clippy::disallowed_methods, reason = "set by the test that starts this one")]
fn applied_by_a_child() {
    if let Some(job) = std::env::var_os("APPLY_JOB_DIR") {
        apply(Path::new(&job), Mode::Worktree).unwrap();
    }
}

#[test]
fn a_result_comes_to_a_new_branch_on_top_of_head() {
    let place = TestDir::with_repo();
    let job = finished(&place, WORK);
    place
        .sh("cd repo; echo unrelated >other; git add other; git commit -qm meanwhile; echo dirty >>src/a.rs");
    let before = out(&place, "sha256sum .git/index .git/HEAD src/a.rs; git rev-parse main");
    let done = apply(&job, Mode::Branch).unwrap();
    assert_eq!(done.branch.as_deref(), Some("codex-worker/0123456789ab"));
    assert!(done.applied);
    assert_eq!(out(&place, "git log --format=%s codex-worker/0123456789ab | tail -2"), "meanwhile\nfirst\n");
    let names = out(&place, "git diff --name-status --no-renames main codex-worker/0123456789ab");
    assert_eq!(names, "D\tdocs/a.md\nA\tn/n\nM\tsrc/a.rs\nD\tsrc/b.rs\nA\tsrc/moved.rs\nM\ttests/a.rs\n");
    assert_eq!(before, out(&place, "sha256sum .git/index .git/HEAD src/a.rs; git rev-parse main"));
    let twice = apply(&job, Mode::Branch).unwrap_err();
    assert!(twice.message.contains("codex-worker/0123456789ab exists already"), "{twice}");
}

#[test]
fn a_branch_is_refused_where_head_moved_on() {
    let place = TestDir::with_repo();
    let job = finished(&place, WORK);
    place.sh("cd repo; echo mine >>src/a.rs; git commit -qam mine");
    let told = apply(&job, Mode::Branch).unwrap();
    assert_eq!(told.refused, [Refused { path: "src/a.rs".into(), why: Why::ChangedMeanwhile }]);
    assert!(!told.applied && told.branch.is_none());
    assert_eq!(out(&place, "git branch --list 'codex-worker/*'"), "");
}

#[test]
fn nothing_planted_in_the_users_repository_runs() {
    let place = TestDir::with_repo();
    let job = finished(&place, WORK);
    place.sh(
        "printf '#!/bin/sh\\ntouch %s/mark\\ncat\\n' $PWD >run.sh; chmod +x run.sh; cd repo
         for h in reference-transaction post-index-change post-checkout post-rewrite; do cp ../run.sh .git/hooks/$h; done
         git config core.fsmonitor $PWD/../run.sh; git config filter.x.clean $PWD/../run.sh; git config filter.x.smudge $PWD/../run.sh
         echo '* filter=x' >.git/info/attributes; rm -f ../mark",
    );
    apply(&job, Mode::Worktree).unwrap();
    apply(&job, Mode::Branch).unwrap();
    assert!(!place.path("mark").exists());
}

#[test]
fn a_resumed_jobs_result_is_applied_from_the_first_start_on() {
    let place = TestDir::with_repo();
    let job = place.path("home/jobs/0123456789abcdef");
    let next = place.path("home/jobs/next/shadow");
    fs::create_dir_all(&job).unwrap();
    let dirs = [AllowedDir::resolved(place.path("repo"))];
    let options = worktree::Options {
        job: "0123456789abcdef",
        dirs: &dirs,
        job_dir: &job,
        copy_in: &[],
        scope: &[],
        sparse_above: None,
    };
    let made = worktree::create(options).unwrap();
    for (state, script) in
        [(job.join("shadow"), "echo x >>src/a.rs"), (next, "echo y >>src/b.rs; mkdir d; echo d >d/d")]
    {
        let recorder = Recorder::begin_within(&made.dirs, &state, Some(&made.path)).unwrap();
        run_sh(&made.path, script);
        let recorded = recorder.record(Limits::default()).unwrap();
        worktree::publish_ref(&job, &recorder, &recorded.tree, "x").unwrap();
        assert!(!worktree::has_unsaved(&job));
    }
    worktree::remove(&job).unwrap();
    let done = apply(&job, Mode::Worktree).unwrap();
    assert_eq!(done.changed, ["d/d", "src/a.rs", "src/b.rs"]);
    assert_eq!(out(&place, "tail -qn1 src/a.rs src/b.rs d/d"), "x\ny\nd\n");
}

#[test]
fn a_job_without_a_worktree_or_result_is_told_so() {
    let place = TestDir::with_repo();
    let job = place.path("home/jobs/1");
    fs::create_dir_all(&job).unwrap();
    let error = apply(&job, Mode::Check).unwrap_err();
    assert!(error.to_string().contains("nothing to apply"), "{error}");
}
