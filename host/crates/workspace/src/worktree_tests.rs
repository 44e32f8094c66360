//! Worktrees with real git: what is carried in, what stays untouched, many at once.

use std::path::PathBuf;

use super::*;
use test_support::{TestDir, run_sh};

fn options<'a>(place: &TestDir, dirs: &'a [AllowedDir], job_dir: &'a Path) -> Options<'a> {
    let _ = place;
    Options { job: "0123", dirs, job_dir, copy_in: &[], scope: &[], sparse_above: None }
}

fn job_dir(place: &TestDir, id: &str) -> PathBuf {
    let dir = place.path("home/jobs").join(id);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// Content digests of everything in the user's repository.
fn digest(place: &TestDir, except: &str) -> String {
    let script = format!("cd repo; find . -type f {except} -exec sha256sum {{}} + | sort -k2");
    let out =
        std::process::Command::new("sh").arg("-c").arg(script).current_dir(place.root()).output().unwrap();
    String::from_utf8(out.stdout).unwrap()
}

fn git(place: &TestDir, args: &[&str]) -> String {
    let out = std::process::Command::new("git").args(args).current_dir(place.path("repo")).output().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn the_users_uncommitted_work_is_carried_in_and_the_result_comes_back_as_a_ref() {
    let place = TestDir::with_repo();
    place.sh("cd repo; git tag v1; echo mine >>src/b.rs; echo new >untracked; rm docs/a.md; git add src/b.rs; echo more >>src/b.rs");
    let before = digest(&place, "");
    let job = job_dir(&place, "0123");
    let dirs = [AllowedDir::resolved(place.path("repo/src")), AllowedDir::resolved(place.path("repo/tests"))];
    let made = create(options(&place, &dirs, &job)).unwrap();
    assert_eq!(made.dirs[0].path(), job.join("worktree/src"));
    assert!(fs::read_to_string(job.join("worktree/src/b.rs")).unwrap().ends_with("mine\nmore\n"));
    assert!(job.join("worktree/untracked").exists() && !job.join("worktree/docs/a.md").exists());
    assert!(!job.join("worktree/.env").exists(), "ignored files stay behind");

    let recorder = Recorder::begin_within(&made.dirs, &job.join("shadow"), Some(&made.path)).unwrap();
    run_sh(
        &job.join("worktree/src"),
        "git describe --tags; git status >/dev/null; echo x >>a.rs; git config user.name EVIL; git add -A; git commit -qm agent; git branch pwn; echo y >>a.rs",
    );
    let recorded = recorder.record(Limits::default()).unwrap();
    assert_eq!(seen(&recorded), ["Modified a.rs", "internal config", "internal refs/heads/pwn"]);
    assert_eq!(before, digest(&place, ""), "the agent's git calls touch nothing of the user's");
    assert!(has_unsaved(&job));

    let published = publish_ref(&job, &recorder, &recorded.tree, "Fix\nit").unwrap();
    assert_eq!(published[0].name, "refs/codex-worker/0123");
    assert!(!has_unsaved(&job));
    let log = git(&place, &["log", "--format=%s", &published[0].name]);
    assert_eq!(log, "Fix it\nState at the start of codex-worker job 0123\nfirst\n");
    let stat =
        git(&place, &["diff", "--stat", "--format=", "refs/codex-worker/0123~1", "refs/codex-worker/0123"]);
    assert!(stat.contains("src/a.rs | 2 ++") && stat.contains("1 file changed"), "{stat}");
    git(&place, &["fsck", "--strict"]);
    let quiet = "-not -path './.git/objects/*' -not -path './.git/refs/codex-worker/*'";
    let untouched: Vec<&str> = before.lines().filter(|l| !l.contains("/.git/objects/")).collect();
    assert_eq!(untouched, digest(&place, quiet).lines().collect::<Vec<_>>());

    remove(&job).unwrap();
    assert!(!job.join("worktree").exists());
    sweep(&job);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while fs::read_dir(place.path("home/trash")).unwrap().count() > 0 {
        assert!(std::time::Instant::now() < deadline, "the trash is not emptied");
    }
}

#[test]
fn sixty_worktrees_made_twelve_at_a_time_all_succeed() {
    let place = TestDir::with_repo();
    for round in 0..5 {
        std::thread::scope(|scope| {
            for n in 0..12 {
                let place = &place;
                scope.spawn(move || {
                    let job = job_dir(place, &format!("{round}-{n}"));
                    let dirs = [AllowedDir::resolved(place.path("repo"))];
                    let made = create(options(place, &dirs, &job)).unwrap();
                    let recorder =
                        Recorder::begin_within(&made.dirs, &job.join("shadow"), Some(&made.path)).unwrap();
                    fs::write(made.path.join("new"), format!("{round} {n}")).unwrap();
                    let recorded = recorder.record(Limits::default()).unwrap();
                    assert_eq!(seen(&recorded), ["Added new"]);
                    let mut worktree = Worktree::open(&job).unwrap().unwrap();
                    worktree.job = format!("{round}-{n}");
                    worktree.save(&job).unwrap();
                    publish_ref(&job, &recorder, &recorded.tree, "").unwrap();
                    remove(&job).unwrap();
                });
            }
        });
    }
    let refs = git(&place, &["for-each-ref", "refs/codex-worker"]);
    assert_eq!(refs.lines().count(), 60);
    git(&place, &["fsck", "--strict"]);
    assert_eq!(git(&place, &["worktree", "list"]).lines().count(), 1);
}

#[test]
fn submodules_clones_and_plain_directories() {
    let place = TestDir::with_repo();
    place.sh(
        "git init -q sub; echo s >sub/s; git -C sub add .; git -C sub commit -qm s; mkdir plain; echo p >plain/p
         cd repo; git -c protocol.file.allow=always submodule --quiet add ../sub sub; git commit -qm sub
         git init -q clone; echo c >clone/c; git -C clone add .; git -C clone commit -qm c",
    );
    let job = job_dir(&place, "0123");
    let dirs = [AllowedDir::resolved(place.path("repo")), AllowedDir::resolved(place.path("plain"))];
    let made = create(options(&place, &dirs, &job)).unwrap();
    let recorder = Recorder::begin_within(&made.dirs, &job.join("shadow"), Some(&made.path)).unwrap();
    let at = &made.path;
    run_sh(
        at,
        "cat repo/sub/s repo/clone/c plain/p >/dev/null; echo x >>repo/sub/s; echo x >>repo/src/a.rs; echo x >>plain/p",
    );
    let recorded = recorder.record(Limits::default()).unwrap();
    assert_eq!(seen(&recorded), ["Modified ../plain/p", "Modified src/a.rs", "Modified sub/s"]);
    let published = publish_ref(&job, &recorder, &recorded.tree, "x").unwrap();
    assert_eq!(published.len(), 1);
    let changed = git(&place, &["diff", "--name-only", "HEAD", &published[0].commit]);
    assert_eq!(changed, "src/a.rs\n", "submodules and clones stay as the repository has them");
}

#[test]
fn other_kinds_of_repositories() {
    let kinds = [
        (
            "sha256",
            "git init -q --object-format=sha256 repo; cd repo; echo a >a; git add .; git commit -qm 1",
        ),
        (
            "reftable",
            "git init -q --ref-format=reftable repo; cd repo; echo a >a; git add .; git commit -qm 1",
        ),
        ("unborn", "git init -q repo; cd repo; echo a >a"),
        (
            "linked worktree",
            "git init -q m; cd m; echo a >a; git add .; git commit -qm 1; git worktree add -q ../repo",
        ),
        (
            "shallow",
            "git init -q m; cd m; for i in 1 2 3; do echo $i >a; git add a; git commit -qm $i; done; cd ..; git clone -q --depth 1 file://$PWD/m repo",
        ),
        (
            "a name with a quote",
            "git init -q repo; cd repo; echo a >'a\"b #c'; echo a >a; git add .; git commit -qm 1",
        ),
    ];
    for (kind, make) in kinds {
        let place = TestDir::empty();
        place.sh(make);
        let job = job_dir(&place, "0123");
        let dirs = [AllowedDir::resolved(place.path("repo"))];
        let made = create(options(&place, &dirs, &job)).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let recorder = Recorder::begin_within(&made.dirs, &job.join("shadow"), Some(&made.path)).unwrap();
        run_sh(&made.path, "echo x >>a; git status >/dev/null; git commit -qam x || git add a");
        let recorded = recorder.record(Limits::default()).unwrap();
        assert_eq!(seen(&recorded), ["Modified a"], "{kind}");
        let published =
            publish_ref(&job, &recorder, &recorded.tree, "x").unwrap_or_else(|e| panic!("{kind}: {e}"));
        let shown = git(&place, &["show", &format!("{}:a", published[0].commit)]);
        assert!(shown.ends_with("x\n"), "{kind}: {shown}");
    }
}

#[test]
fn ignored_files_are_carried_only_when_asked_for() {
    let place = TestDir::with_repo();
    let job = job_dir(&place, "0123");
    let dirs = [AllowedDir::resolved(place.path("repo"))];
    let copy_in = ["target/**".to_owned()];
    create(Options { copy_in: &copy_in, ..options(&place, &dirs, &job) }).unwrap();
    assert!(job.join("worktree/target/out").exists() && !job.join("worktree/.env").exists());
}

#[test]
fn a_large_repository_is_checked_out_sparsely() {
    let place = TestDir::with_repo();
    let job = job_dir(&place, "0123");
    let dirs = [AllowedDir::resolved(place.path("repo"))];
    let scope = ["src/*.rs".to_owned()];
    let made =
        create(Options { scope: &scope, sparse_above: Some(3), ..options(&place, &dirs, &job) }).unwrap();
    let there = |p: &str| made.path.join(p).exists();
    assert!(there("src/a.rs") && there("run.sh") && !there("tests/a.rs") && !there("docs/a.md"));
    let recorder = Recorder::begin_within(&made.dirs, &job.join("shadow"), Some(&made.path)).unwrap();
    run_sh(&made.path, "echo x >>src/a.rs; mkdir tests; echo new >tests/b.rs");
    let recorded = recorder.record(Limits::default()).unwrap();
    assert_eq!(seen(&recorded), ["Modified src/a.rs", "Added tests/b.rs"]);
    let published = publish_ref(&job, &recorder, &recorded.tree, "x").unwrap();
    let changed = git(&place, &["diff", "--name-only", "HEAD", &published[0].commit]);
    assert_eq!(changed, "src/a.rs\ntests/b.rs\n", "what was left out is not deleted");
}

#[test]
fn unsaved_work_is_saved_before_removal() {
    let place = TestDir::with_repo();
    let job = job_dir(&place, "0123");
    let dirs = [AllowedDir::resolved(place.path("repo"))];
    assert!(!has_unsaved(&job), "no worktree at all");
    let made = create(options(&place, &dirs, &job)).unwrap();
    assert!(!has_unsaved(&job), "nobody worked here yet");
    Recorder::begin_within(&made.dirs, &job.join("shadow"), Some(&made.path)).unwrap();
    assert!(!has_unsaved(&job));
    fs::write(made.path.join("new"), "x").unwrap();
    assert!(has_unsaved(&job));
    let saved = save(&job).unwrap();
    assert_eq!(git(&place, &["show", &format!("{}:new", saved[0].name)]), "x");
    assert!(!has_unsaved(&job) && save(&job).unwrap().is_empty());
}

/// `kind path` of everything seen, internals as `internal name`, ignored ones marked.
fn seen(recorded: &evidence::Recorded) -> Vec<String> {
    let files = recorded.changes.files.iter().map(|f| {
        let kind = format!("{:?}", f.kind);
        let ignored = if f.ignored { " ignored" } else { "" };
        format!("{kind} {}{ignored}", f.path)
    });
    files.chain(recorded.changes.internals_changed.iter().map(|i| format!("internal {i}"))).collect()
}
