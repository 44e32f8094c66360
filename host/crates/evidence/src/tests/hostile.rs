//! What a job can do to the host through the files that the host looks at: directories that
//! become links while they are read, pipes, links in a git directory, flags that hide files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use test_support::TestDir;

use super::{Record as _, seen};
use crate::{Error, Interrupt, Limits, Recorder};
use model::spec::AllowedDir;

/// Exchanges `dir` and a link to `outside` for each other as fast as a process can; ended
/// when dropped.
struct Swapper(Child);

impl Swapper {
    fn start(dir: &Path, outside: &Path) -> Swapper {
        let link = outside.with_added_extension("link");
        let _ = fs::remove_file(&link);
        symlink(outside, &link).unwrap();
        let script = "import ctypes,os,sys\nd,l=(os.fsencode(a) for a in sys.argv[1:])\n\
                      c=ctypes.CDLL(None)\nwhile True: c.renameat2(-100,d,-100,l,2)\n";
        let child = Command::new("python3").args(["-c", script]).arg(dir).arg(&link).spawn().unwrap();
        Swapper(child)
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CANARY: &str = "CANARY-4711-CONTENT";

/// A repository, and beside it a directory that looks the same but is not the job's.
fn with_canary() -> (TestDir, PathBuf) {
    let place = TestDir::with_repo();
    let outside = place.path("outside");
    fs::create_dir(&outside).unwrap();
    for name in ["a.rs", "b.rs", "id_rsa", ".gitignore"] {
        fs::write(outside.join(name), format!("{CANARY} {name}\n")).unwrap();
    }
    (place, outside)
}

fn untouched(outside: &Path) {
    let mut names: Vec<_> = fs::read_dir(outside).unwrap().flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, [".gitignore", "a.rs", "b.rs", "id_rsa"]);
    for name in names {
        let name = name.to_str().unwrap();
        assert_eq!(fs::read_to_string(outside.join(name)).unwrap(), format!("{CANARY} {name}\n"));
    }
}

/// Every object that the recorder made.
fn objects(place: &TestDir, state: &str) -> String {
    let shadow = place.path(state).join("shadow.git");
    let script = "git cat-file --batch-all-objects --batch --buffer";
    let out = Command::new("sh").args(["-c", script]).env("GIT_DIR", shadow).output().unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn race(confined: bool) {
    crate::confine::tests::OFF.set(!confined);
    let (place, outside) = with_canary();
    let repo = place.path("repo");
    let recorder = place.begin(&["repo"]);
    fs::write(repo.join("src/a.rs"), "changed by the job\n").unwrap();
    let watch = rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::NONBLOCK).unwrap();
    let events = rustix::fs::inotify::WatchFlags::OPEN | rustix::fs::inotify::WatchFlags::MODIFY;
    for name in ["a.rs", "b.rs", "id_rsa", ".gitignore"] {
        rustix::fs::inotify::add_watch(&watch, outside.join(name), events).unwrap();
    }
    let swapper = Swapper::start(&repo.join("src"), &outside);
    let (mut inside, mut rounds) = (0, 0);
    let until = Instant::now() + Duration::from_secs(60);
    while rounds < 100 && Instant::now() < until {
        rounds += 1;
        let limited = Interrupt::after(Duration::from_secs(20));
        let Ok(recorded) = limited.scope(|| recorder.record(Limits::default())) else { continue };
        let reported = format!("{recorded:?}");
        assert!(!reported.contains(CANARY) && !reported.contains("id_rsa"), "round {rounds}: {reported}");
        inside += u32::from(reported.contains("changed by the job"));
        let patch = recorder.patch(&recorded, 1 << 20).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&patch).contains(CANARY), "round {rounds}");
        let paths = ["src/a.rs".to_owned(), "src/new".to_owned()];
        let _ = recorder.restore(&paths);
        let _ = recorder.rewrite(&[("src/a.rs".into(), b"changed by the job\n".to_vec())], &repo);
        let _ = recorder.restore_tree(&recorded.tree);
    }
    drop(swapper);
    assert!(rounds >= 20, "only {rounds} rounds");
    let _ = inside;
    untouched_without_reading(&watch, confined);
    untouched(&outside);
    let all = objects(&place, "state");
    // Unconfined, git may have read it before the host found out; it is in no tree then.
    assert!(!confined || !all.contains(CANARY));
}

/// No watched file was opened or written.
fn untouched_without_reading(watch: &rustix::fd::OwnedFd, never_read: bool) {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = rustix::fs::inotify::Reader::new(watch, &mut buffer);
    while let Ok(event) = reader.next() {
        let written = event.events().contains(rustix::fs::inotify::ReadFlags::MODIFY);
        assert!(!written && !never_read, "the canary: {:?}", event.events());
    }
}

#[test]
fn directories_that_become_links_while_they_are_recorded_lead_nowhere() {
    race(true);
}

#[test]
fn the_same_on_a_kernel_that_cannot_confine_git() {
    race(false);
}

#[test]
fn a_pipe_in_gits_way_is_named_and_nothing_hangs() {
    let pipes = [
        "mkdir -p src/x; mkfifo src/x/.gitignore; echo hi >src/x/a",
        "mkfifo .gitattributes; echo hi >>src/a.rs",
        "rm .gitignore; mkfifo .gitignore",
        "mkdir -p n/.git/objects n/.git/refs; mkfifo n/.git/HEAD; echo x >n/f",
        "mkdir -p .git/objects/info; mkfifo .git/objects/info/alternates; echo x >>src/a.rs",
        "d=$(ls -d .git/objects/?? | head -1); mkfifo $d/0123456789012345678901234567890123abcd; echo x >>src/a.rs",
        "mkfifo .git/objects/pack/pack-1.idx; echo x >>src/a.rs",
        "rm -f .git/info/exclude .git/config; mkfifo .git/info/exclude .git/config; echo x >>src/a.rs",
        "mkfifo .git/packed-refs; rm .git/index; mkfifo .git/index; echo x >>src/a.rs",
        "rm src/a.rs; mkfifo src/a.rs; mkfifo target/pipe; mkfifo .env2",
        "mkdir -p .git/modules/m; mkfifo .git/modules/m/HEAD .git/rebase-merge; echo x >>src/a.rs",
    ];
    for script in pipes {
        let place = TestDir::with_repo();
        let recorder = place.begin(&["repo"]);
        super::run_sh(&place.path("repo"), script);
        let started = Instant::now();
        match Interrupt::after(Duration::from_secs(30)).scope(|| recorder.record(Limits::default())) {
            Ok(recorded) => {
                assert!(!seen(&recorded).is_empty(), "after {script}");
                recorder.patch(&recorded, 1 << 20).unwrap();
            }
            Err(Error::Pipe(_)) => {}
            Err(error) => panic!("after {script}: {error}"),
        }
        assert!(started.elapsed() < Duration::from_secs(15), "after {script}: {:?}", started.elapsed());
        // The next job begins on what this one left behind.
        let dirs = [AllowedDir::resolved(place.path("repo"))];
        let next =
            Interrupt::after(Duration::from_secs(30)).scope(|| Recorder::begin(&dirs, &place.path("state2")));
        let held = |e: &Error| matches!(e, Error::Git(crate::git::GitError::Interrupted { .. }));
        assert!(!next.is_err_and(|e| held(&e)), "the next job hangs after {script}");
    }
}

#[test]
fn the_end_of_a_job_ends_every_step_of_the_record() {
    let place = TestDir::with_repo();
    let recorder = place.begin(&["repo"]);
    super::run_sh(&place.path("repo"), "truncate -s 7G huge.bin; mkfifo .git/objects/info/pipe");
    for delay in [0, 50, 1500] {
        let started = Instant::now();
        let stop = Interrupt::after(Duration::from_millis(delay));
        let ended = stop.scope(|| recorder.record(Limits::default()));
        assert!(
            matches!(ended, Err(Error::Interrupted | Error::Git(crate::git::GitError::Interrupted { .. }))),
            "{ended:?}"
        );
        assert!(started.elapsed() < Duration::from_millis(delay) + Duration::from_secs(5));
    }
    let began = Interrupt::after(Duration::from_millis(300))
        .scope(|| Recorder::begin(&[AllowedDir::resolved(place.path("repo"))], &place.path("state2")));
    assert!(began.is_err());
}

#[test]
fn a_file_too_large_to_be_recorded_is_reported_at_once_and_its_changes_are_seen() {
    let place = TestDir::with_repo();
    let started = Instant::now();
    let (recorder, first) = place.judge(&["repo"], "truncate -s 2T huge.bin; echo x >>src/a.rs");
    assert_eq!(seen(&first), ["Added huge.bin", "Modified src/a.rs"]);
    assert!(first.notes.iter().any(|n| n.contains("too large")), "{:?}", first.notes);
    super::run_sh(&place.path("repo"), "printf x | dd of=huge.bin conv=notrunc 2>/dev/null");
    let second = recorder.record(Limits::default()).unwrap();
    assert_ne!(first.tree, second.tree);
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// What a job does to the git directory, and what must be among the changed internals.
const INTERNALS: &[(&str, &str)] = &[
    ("git update-index --skip-worktree src/a.rs", "index (hides src/a.rs)"),
    ("git update-index --assume-unchanged src/b.rs", "index (hides src/b.rs)"),
    (
        "mkdir .git/rebase-merge; echo 'exec evil' >.git/rebase-merge/git-rebase-todo",
        "rebase-merge/git-rebase-todo",
    ),
    ("mkdir .git/rebase-apply; echo x >.git/rebase-apply/next", "rebase-apply/next"),
    ("git rev-parse HEAD >.git/MERGE_HEAD", "MERGE_HEAD"),
    ("git rev-parse HEAD >.git/CHERRY_PICK_HEAD", "CHERRY_PICK_HEAD"),
    ("mkdir -p .git/sequencer; echo 'pick x' >.git/sequencer/todo", "sequencer/todo"),
    ("mkdir .git/remotes; echo 'URL: ext::evil' >.git/remotes/origin", "remotes/origin"),
    ("mkdir -p .git/branches; echo ext::evil >.git/branches/origin", "branches/origin"),
    ("mkdir -p .git/worktrees/w; echo /evil >.git/worktrees/w/gitdir", "worktrees/w/gitdir"),
    ("mkdir -p .git/worktrees/w; echo x >.git/worktrees/w/config.worktree", "worktrees/w/config.worktree"),
    ("mkdir -p .git/modules/m; echo x >.git/modules/m/config", "modules/m/config"),
    (
        "mkdir -p .git/modules/m/hooks; echo x >.git/modules/m/hooks/post-checkout",
        "modules/m/hooks/post-checkout",
    ),
    ("mkdir -p .git/modules/a/b/c; echo x >.git/modules/a/b/c/config", "modules/a/b/c/config"),
    (
        "mkdir -p .git/modules/m/objects/n/hooks; touch .git/modules/m/HEAD .git/modules/m/objects/n/hooks/x",
        "modules/m/objects/n/hooks/x",
    ),
    (
        "mkdir -p .git/modules/m/logs/n; touch .git/modules/m/HEAD .git/modules/m/logs/n/config",
        "modules/m/logs/n/config",
    ),
    ("mkdir -p .git/objects/hooks; echo x >.git/objects/hooks/x", "objects/hooks/x"),
    ("echo x >.git/objects/info/alternates", "objects/info/alternates"),
    ("rm .git/logs/HEAD; ln -s ../../../victim .git/logs/HEAD", "logs/HEAD"),
    ("rm -f .git/COMMIT_EDITMSG; ln -s ../../victim .git/COMMIT_EDITMSG", "COMMIT_EDITMSG"),
    ("ln -s ../../victim .git/ORIG_HEAD", "ORIG_HEAD"),
    ("ln -s ../../victim .git/refs/heads/link", "refs/heads/link"),
    ("mkdir -p .git/lfs/objects; ln -s ../../../../victim .git/lfs/objects/l", "lfs/objects/l"),
    ("mkfifo .git/index.lock", "index.lock"),
    ("mv .git/hooks .git/h2; ln -s h2 .git/hooks", "hooks"),
    ("echo '*.rs filter=x' >.git/info/attributes", "info/attributes"),
    ("echo x >.git/info/sparse-checkout", "info/sparse-checkout"),
    ("echo x >.git/description", "description"),
    ("mkdir .git/rr-cache; echo x >.git/rr-cache/x", "rr-cache/x"),
];

#[test]
fn whatever_is_put_into_the_git_directory_is_seen() {
    let mut missing = Vec::new();
    for (script, expected) in INTERNALS {
        let place = TestDir::with_repo();
        let (_, recorded) = place.judge(&["repo"], script);
        if !recorded.changes.internals_changed.iter().any(|name| name == expected) {
            missing.push(format!("{script}: {:?}", recorded.changes.internals_changed));
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_git_itself_writes_in_honest_work_is_no_finding() {
    let honest = [
        "echo x >>src/a.rs; git add -A; git commit -qm one; git commit -q --allow-empty -m two",
        "git commit -q --allow-empty -m x; git gc -q; git pack-refs --all; git repack -qad",
        "git stash list; git log -1 >/dev/null; git diff; git fsck 2>/dev/null; git status >/dev/null",
        "echo x >>src/a.rs; git add src; git reset -q; git checkout -q -- src",
        "git merge -q other; git reflog expire --expire=now --all; git prune",
        "git update-index --really-refresh; git read-tree HEAD; git update-server-info",
    ];
    for script in honest {
        let place = TestDir::with_repo();
        let (_, recorded) = place.judge(&["repo"], script);
        assert_eq!(recorded.changes.internals_changed, Vec::<String>::new(), "after {script}");
    }
}

#[test]
fn files_copied_in_just_before_the_start_are_not_the_jobs() {
    let place = TestDir::with_repo();
    place.sh("cd repo; echo node_modules/ >>.gitignore; git commit -qam ignore; mkdir node_modules");
    for round in 0..20 {
        for n in 0..20 {
            fs::write(place.path(&format!("repo/node_modules/{n}.js")), format!("{round}")).unwrap();
        }
        let dirs = [AllowedDir::resolved(place.path("repo"))];
        let recorder = Recorder::begin(&dirs, &place.path(&format!("state{round}"))).unwrap();
        fs::write(place.path("repo/src/a.rs"), format!("{round}")).unwrap();
        let recorded = recorder.record(Limits::default()).unwrap();
        assert_eq!((recorded.dependencies.len(), seen(&recorded).len()), (0, 1), "round {round}");
        // The same process a moment later, within the same tick: that is the job's.
        fs::write(place.path("repo/node_modules/7.js"), "evil").unwrap();
        let again = Recorder::reopen(recorder.state()).unwrap().record(Limits::default()).unwrap();
        assert_eq!(again.dependencies, ["node_modules/7.js"], "round {round}");
        fs::remove_file(place.path("repo/node_modules/9.js")).unwrap();
        fs::write(place.path("repo/node_modules/7.js"), "x").unwrap();
        let gone = recorder.record(Limits::default()).unwrap();
        assert!(
            gone.notes.iter().any(|note| note.contains("2 entries") || note.contains("3 entries")),
            "{:?}",
            gone.notes
        );
    }
}

/// Makes the repository lead to a file outside; nothing of that file may be taken over.
const LEADS: &[(&str, &str)] = &[
    ("core.excludesFile", "git config core.excludesFile $PWD/../secret"),
    (
        "core.excludesFile by an include",
        "printf '[core]\\n excludesFile = %s\\n' $PWD/../secret >.git/inc; git config include.path inc",
    ),
    (
        "config.worktree",
        "git config extensions.worktreeConfig true; git config --worktree core.excludesFile $PWD/../secret",
    ),
    ("core.attributesFile", "git config core.attributesFile $PWD/../secret"),
    ("linked info/exclude", "rm -f .git/info/exclude; ln -s ../../../secret .git/info/exclude"),
    (
        "linked info",
        "rm -rf .git/info; mkdir ../info; cp ../secret ../info/exclude; ln -s ../../info .git/info",
    ),
    ("linked shallow", "ln -s ../../secret .git/shallow"),
    ("shallow that is none", "cp ../secret .git/shallow"),
    (
        "linked alternates",
        "mkdir -p .git/objects/info; ln -s ../../../../secret .git/objects/info/alternates",
    ),
    ("include of no configuration", "git config include.path $PWD/../secret"),
    ("linked .gitignore", "rm .gitignore; ln -s ../secret .gitignore"),
    ("linked .gitattributes", "ln -s ../secret .gitattributes"),
    ("linked packed-refs", "git pack-refs --all; rm .git/packed-refs; ln -s ../../secret .git/packed-refs"),
];

#[test]
fn the_host_follows_no_name_that_the_repository_gives() {
    for (name, script) in LEADS {
        let place = TestDir::with_repo();
        fs::write(place.path("secret"), format!("{CANARY}\n")).unwrap();
        super::run_sh(&place.path("repo"), script);
        let dirs = [AllowedDir::resolved(place.path("repo"))];
        let state = place.path("state");
        let reported = match Recorder::begin(&dirs, &state) {
            Ok(recorder) => {
                fs::write(place.path("repo/src/a.rs"), "x").unwrap();
                format!("{:?}", recorder.record(Limits::default()))
            }
            Err(error) => error.to_string(),
        };
        assert!(!reported.contains(CANARY), "{name}: {reported}");
        let grep = Command::new("grep").arg("-rl").arg(CANARY).arg(&state).output().unwrap();
        let found = String::from_utf8_lossy(&grep.stdout).into_owned();
        assert_eq!(found, "", "{name}: the host's own state holds it");
        assert!(!objects(&place, "state").contains(CANARY), "{name}");
    }
}

#[test]
fn core_worktree_does_not_lead_the_host_to_another_directory() {
    for (config, refused) in [("../..", true), ("/", true), ("..", false)] {
        let place = TestDir::with_repo();
        super::run_sh(&place.path("repo"), &format!("git config core.worktree {config}"));
        let dirs = [AllowedDir::resolved(place.path("repo"))];
        let began = Recorder::begin(&dirs, &place.path("state"));
        assert_eq!(began.is_err(), refused, "{config}");
        if let Err(error) = began {
            assert!(error.to_string().contains("core.worktree"), "{error}");
        }
    }
}

#[test]
fn a_directory_that_took_the_place_of_an_allowed_one_is_refused() {
    let swaps: [&str; 4] = [
        "mv pkg/a pkg/b; ln -s ../../outside pkg/a",
        "mv pkg/a pkg/b; mkdir pkg/a",
        "mv pkg pkg2; ln -s pkg2 pkg",
        "mv pkg pkg2; mkdir pkg; mv ../outside pkg/a",
    ];
    for script in swaps {
        let (place, _) = with_canary();
        place.sh("mkdir -p repo/pkg/a; echo x >repo/pkg/a/x; cd repo; git add .; git commit -qm pkg");
        let allowed = {
            use std::os::unix::fs::MetadataExt as _;
            let path = place.path("repo/pkg/a");
            let meta = fs::metadata(&path).unwrap();
            AllowedDir::identified(path, meta.dev(), meta.ino())
        };
        let dirs = [AllowedDir::resolved(place.path("repo/src")), allowed];
        super::run_sh(&place.path("repo"), script);
        let error = Recorder::begin(&dirs, &place.path("state")).unwrap_err();
        assert!(matches!(error, Error::Replaced { .. }), "after {script}: {error}");
        let text = serde_json::to_string(&dirs).unwrap();
        assert_eq!(serde_json::from_str::<Vec<AllowedDir>>(&text).unwrap(), dirs);
    }
    // As releases before 0.2 kept it.
    let old: AllowedDir = serde_json::from_str("\"/a\"").unwrap();
    assert_eq!((old.path(), old.identity()), (Path::new("/a"), None));
}
