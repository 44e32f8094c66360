//! What a worker may do so that a change goes unnoticed: each must be seen.

use test_support::TestDir;

use super::{Record as _, seen};
use crate::Limits;
use model::types::{ChangeKind, FileKind};

/// The worker's script, and entries of [`seen`] that must be among what was seen.
const ACTIONS: &[(&str, &str, &[&str])] = &[
    ("plain edit", "echo x >>src/a.rs", &["Modified src/a.rs"]),
    ("new file", "echo x >new.rs", &["Added new.rs"]),
    ("delete", "rm src/a.rs", &["Deleted src/a.rs"]),
    ("rename", "mv src/b.rs src/moved.rs", &["Renamed src/moved.rs"]),
    ("symlink", "ln -s /etc/passwd link", &["Added link"]),
    ("file becomes symlink", "rm src/a.rs; ln -s /etc/passwd src/a.rs", &["TypeChanged src/a.rs"]),
    (
        "directory becomes symlink",
        "cp -a src ../src-copy; rm -r src; ln -s ../src-copy src",
        &["Added src", "Deleted src/a.rs"],
    ),
    ("hard link", "ln src/a.rs hard.rs", &["Added hard.rs"]),
    ("case twin", "echo x >SRC.rs; echo y >src.rs", &["Added SRC.rs", "Added src.rs"]),
    ("control characters", "printf x >\"$(printf 'a\\nb\\tc')\"", &["Added a\\x0ab\\x09c"]),
    ("name that is not UTF-8", "printf x >\"$(printf 'a\\377b')\"", &["Added a\\xffb"]),
    ("-diff attribute", "echo '*.rs -diff' >.gitattributes; echo x >>src/a.rs", &["Modified src/a.rs"]),
    ("stash", "echo x >>src/a.rs; git stash -q", &["internal refs/stash"]),
    (
        "assume-unchanged",
        "git update-index --assume-unchanged src/a.rs; echo x >>src/a.rs",
        &["Modified src/a.rs"],
    ),
    ("skip-worktree", "git update-index --skip-worktree src/a.rs; echo x >>src/a.rs", &["Modified src/a.rs"]),
    (
        "info/exclude",
        "echo hidden >>.git/info/exclude; echo x >hidden",
        &["Added hidden", "internal info/exclude"],
    ),
    (
        "core.excludesFile",
        "echo hidden >../ex; git config core.excludesFile ../ex; echo x >hidden",
        &["Added hidden", "internal config"],
    ),
    (
        "new .gitignore that ignores itself",
        "printf '.gitignore\\nhidden\\n' >src/.gitignore; echo x >src/hidden",
        &["Added src/hidden ignored", "Added src/.gitignore ignored"],
    ),
    (
        "edited .gitignore",
        "echo 'hidden*' >>.gitignore; echo x >hidden1",
        &["Added hidden1 ignored", "Modified .gitignore"],
    ),
    ("a file that was ignored already", "echo SECRET=2 >.env", &["Modified .env ignored"]),
    ("inside a directory that was ignored already", "echo evil >target/out", &["Modified target/ ignored"]),
    ("commit", "echo x >>src/a.rs; git commit -qam x", &["Modified src/a.rs"]),
    (
        "switches branch",
        "git switch -q other; echo x >>src/a.rs; git commit -qam x",
        &["Modified src/a.rs", "internal HEAD"],
    ),
    (
        "core.fileMode=false and chmod",
        "git config core.fileMode false; chmod +x src/a.rs",
        &["ModeChanged src/a.rs"],
    ),
    (
        "same size, old time, core.trustctime=false",
        "git config core.trustctime false; touch -r src/a.rs ../ref; sed -i s/a/z/ src/a.rs; touch -r ../ref src/a.rs",
        &["Modified src/a.rs"],
    ),
    ("status.showUntrackedFiles=no", "git config status.showUntrackedFiles no; echo x >new", &["Added new"]),
    (
        "sparse checkout",
        "git sparse-checkout set --no-cone /docs/ 2>/dev/null; mkdir -p src; echo evil >src/a.rs",
        &["Modified src/a.rs", "Deleted src/b.rs"],
    ),
    ("git replace", "echo x >>src/a.rs; git commit -qam x; git replace HEAD~1 HEAD", &["Modified src/a.rs"]),
    ("removes .git", "rm -rf .git; echo x >>src/a.rs", &["Modified src/a.rs", "internal .git"]),
    (
        "nested repository without a commit",
        "git init -q nested; echo x >nested/f",
        &["Added nested", "Added nested/f"],
    ),
    (
        "nested repository with a commit",
        "git init -q nested; echo x >nested/f; git -C nested add f; git -C nested commit -qm x",
        &["Added nested", "Added nested/f"],
    ),
    (
        "hides a tracked directory in a new repository",
        "git init -q src; echo x >>src/a.rs",
        &["Added src", "Modified src/a.rs"],
    ),
    (
        "forges the index",
        "cp .git/index ../i; echo x >>src/a.rs; git add src; cp ../i .git/index",
        &["Modified src/a.rs"],
    ),
    ("a pipe for a file", "rm src/a.rs; mkfifo src/a.rs", &["Deleted src/a.rs"]),
    ("a new pipe", "mkfifo pipe", &["Added pipe"]),
    ("a directory called .GIT", "mkdir .GIT; echo x >.GIT/config", &["Added .GIT"]),
    ("a name that Windows takes for .git", "mkdir 'git~1'; echo x >'git~1/x'", &["Added git~1/x"]),
    ("plants a hook", "printf '#!/bin/sh\\n' >.git/hooks/pre-push", &["internal hooks/pre-push"]),
    ("rewrites the branch", "git commit -q --amend -m other", &["internal refs/heads/main"]),
    ("makes a branch", "git branch evil", &["internal refs/heads/evil"]),
    ("case-only rename", "mv src/a.rs src/A.rs", &["Renamed src/A.rs"]),
    ("file becomes directory", "rm run.sh; mkdir run.sh; echo x >run.sh/x", &["Added run.sh/x"]),
    ("directory becomes file", "rm -r tests; echo x >tests", &["Added tests", "Deleted tests/a.rs"]),
    ("a socket", "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"s\")'", &["Added s"]),
    (
        ".git as a symlink",
        "mv .git ../moved; ln -s ../moved .git; echo x >>src/a.rs",
        &["Modified src/a.rs", "internal .git"],
    ),
    (
        "orphan branch",
        "git switch -q --orphan evil; echo x >x",
        &["Added x", "Deleted src/a.rs", "internal HEAD"],
    ),
    (
        "a worktree of the agent's own",
        "git worktree add -q -b evil wt; echo x >>wt/src/a.rs",
        &["Added wt", "Added wt/src/a.rs", "internal refs/heads/evil"],
    ),
    ("index.lock left behind", "touch .git/index.lock; echo x >>src/a.rs", &["Modified src/a.rs"]),
    (
        "grafts",
        "git rev-parse HEAD >.git/info/grafts; echo x >>src/a.rs",
        &["Modified src/a.rs", "internal info/grafts"],
    ),
    (
        "alternates",
        "mkdir -p ../alt/objects; echo ../../../alt/objects >.git/objects/info/alternates; echo x >>src/a.rs",
        &["Modified src/a.rs", "internal objects/info/alternates"],
    ),
    (
        "core.worktree",
        "git config core.worktree ../../other; echo x >>src/a.rs",
        &["Modified src/a.rs", "internal config"],
    ),
    ("core.bare", "git config core.bare true; echo x >>src/a.rs", &["Modified src/a.rs", "internal config"]),
    (
        "core.ignoreCase",
        "git config core.ignoreCase true; echo x >SRC; mv docs DOCS",
        &["Added SRC", "Renamed DOCS/a.md"],
    ),
    (
        "commit-graph and packs",
        "echo x >>src/a.rs; git commit -qam x; git commit-graph write --reachable 2>/dev/null; git repack -qad",
        &["Modified src/a.rs"],
    ),
    (
        "attributes that fold text",
        "printf '* text=auto eol=lf\n*.rs -text export-ignore filter=x\n' >.gitattributes; printf 'fn a() {}\r\n' >src/a.rs",
        &["Modified src/a.rs", "Added .gitattributes"],
    ),
    (
        "merge in progress",
        "echo o >o; git add o; git stash -q; git merge -q other; echo x >>src/a.rs",
        &["Modified src/a.rs"],
    ),
    ("an ignored directory is deleted", "rm -r target", &["Deleted target/ ignored"]),
    (
        "a name that looks like an option",
        "echo x >./--stdin; echo x >-n; echo x >'src/:(glob)*'",
        &["Added --stdin", "Added -n", "Added src/:(glob)*"],
    ),
    (
        "GIT_ variables",
        "export GIT_DIR=/nowhere GIT_INDEX_FILE=/nowhere/i; echo x >>src/a.rs",
        &["Modified src/a.rs"],
    ),
    (
        "makes a pipe of HEAD",
        "rm .git/HEAD; mkfifo .git/HEAD; echo x >>src/a.rs",
        &["Modified src/a.rs", "internal HEAD"],
    ),
];

#[test]
fn every_action_is_seen() {
    let mut failures = Vec::new();
    for (name, script, expected) in ACTIONS {
        let place = TestDir::with_repo();
        let (_, recorded) = place.judge(&["repo"], script);
        let seen = seen(&recorded);
        for entry in *expected {
            if !seen.iter().any(|s| s == entry) {
                failures.push(format!("{name}: {entry:?} is not among {seen:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_deep_directory_is_reported() {
    let place = TestDir::with_repo();
    // 30 levels of 200 bytes are more than one path may have; no shell can `cd` there at once.
    let script = "echo x >>src/a.rs; python3 - <<'P'
import os
for n in range(30):
    name = '%03d' % n + 'd' * 197
    os.mkdir(name); os.chdir(name)
open('f', 'w').write('x')
P";
    let (_, recorded) = place.judge(&["repo"], script);
    let seen = seen(&recorded);
    assert!(seen.contains(&"Modified src/a.rs".to_owned()), "{seen:?}");
    assert!(seen.iter().any(|s| s.starts_with("ModeChanged 000ddd")), "{seen:?}");
    assert!(recorded.notes.iter().any(|n| n.contains("cannot be opened")), "{:?}", recorded.notes);
    // Nor can a plain removal: take it away level by level.
    place.sh("cd repo; python3 -c \"import shutil, os; d=[e for e in os.listdir('.') if e.startswith('000d')][0]; shutil.rmtree(d)\"");
}

#[test]
fn a_directory_that_is_gone_or_became_a_link_is_all_deleted_and_not_looked_through() {
    for (script, linked) in [("rm -r ../repo", false), ("mv ../repo ../away; ln -s away ../repo", true)] {
        let place = TestDir::with_repo();
        let (recorder, recorded) = place.judge(&["repo"], script);
        let seen = seen(&recorded);
        assert!(seen.contains(&"Deleted src/a.rs".to_owned()), "after {script}: {seen:?}");
        assert!(
            recorded.notes.iter().any(|n| n.contains("is no directory any more")),
            "{:?}",
            recorded.notes
        );
        if linked {
            let error = recorder.restore(&["src/a.rs".into()]).unwrap_err();
            assert!(error.to_string().contains("in the way"), "{error}");
        }
    }
}

#[test]
fn many_new_files_do_not_push_out_what_happened_to_the_others() {
    let place = TestDir::with_repo();
    let recorder = place.begin(&["repo"]);
    super::run_sh(&place.path("repo"), "for i in $(seq 50); do echo x >aa$i; done; echo x >>tests/a.rs");
    let recorded = recorder.record(Limits { max_files: 10, ..Limits::default() }).unwrap();
    assert_eq!((recorded.changes.files.len(), recorded.changes.total_files), (10, 51));
    assert!(seen(&recorded).contains(&"Modified tests/a.rs".to_owned()), "{:?}", seen(&recorded));
}

#[test]
fn written_dependencies_are_named_and_caches_are_not() {
    let place = TestDir::with_repo();
    place.sh("cd repo; printf 'node_modules/\n.venv/\ntarget/\n' >.gitignore; git commit -qam ignore
         mkdir -p node_modules/jest/bin node_modules/.cache .venv/lib/site-packages packages/a/node_modules/b
         echo real >node_modules/jest/bin/jest.js; echo b >packages/a/node_modules/b/i.js");
    let (_, recorded) = place.judge(
        &["repo"],
        "echo 'process.exit(0)' >node_modules/jest/bin/jest.js; echo c >node_modules/.cache/c
         echo 'import evil' >.venv/lib/site-packages/evil.pth; echo t >target/out; echo x >>packages/a/node_modules/b/i.js",
    );
    let mut names = recorded.dependencies;
    names.sort();
    assert_eq!(
        names,
        [
            ".venv/lib/site-packages/evil.pth",
            "node_modules/jest/bin/jest.js",
            "packages/a/node_modules/b/i.js"
        ]
    );
}

#[test]
fn an_overlay_is_removed_by_the_next_record_of_any_process() {
    let place = TestDir::with_repo();
    let (recorder, recorded) =
        place.judge(&["repo"], "echo weak >tests/a.rs; rm run.sh; echo n >tests/new.rs; echo x >>src/a.rs");
    let paths = ["tests/a.rs".to_owned(), "run.sh".to_owned(), "tests/new.rs".to_owned()];
    recorder.overlay_base(&recorded.tree, &paths, &[("src/a.rs".into(), b"other".to_vec())], &[]).unwrap();
    assert_eq!(std::fs::read_to_string(place.path("repo/src/a.rs")).unwrap(), "other");
    let read = |path: &str| std::fs::read_to_string(place.path(path)).unwrap_or_default();
    assert_eq!((read("repo/tests/a.rs").as_str(), read("repo/tests/new.rs").as_str()), ("test\n", ""));
    // The process died here; what the checks left goes too.
    place.sh("echo junk >repo/junk");
    let again = crate::Recorder::reopen(&place.path("state")).unwrap();
    assert_eq!(again.record(Limits::default()).unwrap(), recorded);
    assert_eq!((read("repo/tests/a.rs").as_str(), read("repo/tests/new.rs").as_str()), ("weak\n", "n\n"));
    assert!(!place.path("repo/junk").exists() && !place.path("repo/run.sh").exists());
}

#[test]
fn writes_while_the_tree_is_recorded_do_not_break_the_record() {
    let place = TestDir::with_repo();
    let recorder = place.begin(&["repo"]);
    let repo = place.path("repo");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0u64.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                let dir = repo.join(format!("d{}", n % 7));
                let _ = std::fs::create_dir(&dir);
                let _ = std::fs::write(dir.join(format!("f{}", n % 11)), "x".repeat((n % 5000) as usize));
                if n % 3 == 0 {
                    let _ = std::fs::remove_dir_all(&dir);
                }
            }
        });
        let all: Vec<_> = (0..20).map(|_| recorder.record(Limits::default())).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for recorded in all {
            recorded.unwrap();
        }
    });
    std::fs::write(repo.join("src/a.rs"), "last").unwrap();
    let last = recorder.record(Limits::default()).unwrap();
    assert!(seen(&last).contains(&"Modified src/a.rs".to_owned()));
}

#[test]
fn nothing_is_seen_where_nothing_was_done() {
    let harmless = [
        "true",
        "git status -q >/dev/null 2>&1 || git status >/dev/null",
        "touch src/a.rs",
        "git update-index --refresh",
        "git gc -q",
    ];
    for script in harmless {
        let place = TestDir::with_repo();
        let (recorder, recorded) = place.judge(&["repo"], script);
        assert_eq!(seen(&recorded), Vec::<String>::new(), "after {script}");
        assert_eq!(recorded.tree, recorder.base_tree());
        assert!(recorded.notes.is_empty(), "{:?}", recorded.notes);
    }
}

#[test]
fn an_honest_commit_is_told_apart_and_a_dirty_start_is_not_blamed() {
    let place = TestDir::with_repo();
    place.sh("cd repo; echo mine >>src/b.rs; echo untracked >mine.rs; rm docs/a.md; git mv run.sh go.sh");
    let (_, recorded) = place.judge(&["repo"], "echo x >>src/a.rs; git add -A; git commit -qm all");
    assert_eq!(seen(&recorded), ["Modified src/a.rs"]);
    assert_eq!(recorded.notes, ["commits were made on refs/heads/main"]);
    assert_eq!(recorded.stat, ["M src/a.rs +1 -0"]);
}

#[test]
fn the_users_repository_is_not_touched() {
    let place = TestDir::with_repo();
    place.sh("cd repo; echo x >>src/a.rs; git update-index --assume-unchanged src/b.rs");
    let listing = "cd repo; find . -type f -exec sha256sum {} + | sort -k2";
    let list = || {
        let out = std::process::Command::new("sh").arg("-c").arg(listing).current_dir(place.root()).output();
        String::from_utf8(out.unwrap().stdout).unwrap()
    };
    let before = list();
    let recorder = place.begin(&["repo"]);
    recorder.record(Limits::default()).unwrap();
    assert_eq!(before, list());
}

#[test]
fn a_change_is_reported_with_all_that_policies_need() {
    let place = TestDir::with_repo();
    let (_, recorded) = place.judge(
        &["repo"],
        "sed -i s/two/zwei/ src/b.rs; mv docs/a.md docs/z.md; ln -s ../x link; chmod +x src/a.rs
         ln tests/a.rs twin; printf 'a\\0b' >bin",
    );
    let file = |path: &str| recorded.changes.files.iter().find(|f| f.path == path).unwrap();
    let edit = file("src/b.rs");
    assert_eq!((edit.added_lines, edit.deleted_lines, edit.size), (1, 1, 25));
    assert_eq!(edit.patch.as_deref(), Some("@@ -1,5 +1,5 @@\n one\n-two\n+zwei\n three\n four\n five\n"));
    let renamed = file("docs/z.md");
    assert_eq!((renamed.kind, renamed.old_path.as_deref()), (ChangeKind::Renamed, Some("docs/a.md")));
    assert_eq!(file("link").symlink_target.as_deref(), Some("../x"));
    assert_eq!(file("src/a.rs").new_kind, FileKind::Executable);
    assert!(file("twin").hard_linked);
    assert!(file("bin").binary && file("bin").patch.is_none());
    assert!(recorded.changes.diff_bytes > 0);
    assert_eq!(recorded.changes.total_files, 6);
}

#[test]
fn a_forged_base_object_is_noticed() {
    let place = TestDir::with_repo();
    let recorder = place.begin(&["repo"]);
    // The object of the old content is replaced by one that claims the new content.
    place.sh(
        "cd repo; old=$(git rev-parse HEAD:src/b.rs); echo evil >src/b.rs; new=$(git hash-object -w src/b.rs)
         f() { echo .git/objects/$(echo $1 | cut -c1-2)/$(echo $1 | cut -c3-); }
         chmod u+w $(f $old); cp -f $(f $new) $(f $old)",
    );
    let recorded = recorder.record(Limits::default()).unwrap();
    let forged = &recorded.changes.internals_changed;
    assert!(forged.len() == 1 && forged[0].starts_with("objects/"), "{forged:?}");
    let error = recorder.restore(&["src/b.rs".into()]).unwrap_err();
    assert!(error.to_string().contains("does not match its name"), "{error}");
}

#[test]
fn new_content_is_never_taken_from_the_repositorys_objects() {
    let place = TestDir::with_repo();
    let recorder = place.begin(&["repo"]);
    // The worker stores harmless content under the name of what it then writes.
    place.sh("cd repo; echo harmless >h; good=$(git hash-object -w h); rm h
         echo evil >src/a.rs; bad=$(git hash-object -w src/a.rs)
         f() { echo .git/objects/$(echo $1 | cut -c1-2)/$(echo $1 | cut -c3-); }
         chmod u+w $(f $bad); cp -f $(f $good) $(f $bad)");
    let recorded = recorder.record(Limits::default()).unwrap();
    assert!(recorded.changes.files[0].patch.as_deref().unwrap().contains("+evil"));
}

#[test]
fn a_record_can_be_reopened_and_trees_put_out_and_back() {
    let place = TestDir::with_repo();
    let (recorder, recorded) = place.judge(
        &["repo"],
        "echo x >>src/a.rs; rm -r tests; echo no >tests; ln -s /etc docs/out; rm run.sh; ln -s /etc/passwd run.sh",
    );
    drop(recorder);
    let again = crate::Recorder::reopen(&place.path("state")).unwrap();
    assert_eq!(again.record(Limits::default()).unwrap(), recorded);

    let out = place.path("out");
    again.materialise(&recorded.tree, &place.root(), "out").unwrap();
    assert_eq!(std::fs::read_to_string(out.join("tests")).unwrap(), "no\n");
    assert!(!out.join(".git").exists() && !out.join("target").exists());
    again
        .overlay(&again.base_tree(), &["tests/a.rs".into(), "run.sh".into(), "docs/out".into()], &out)
        .unwrap();
    assert_eq!(std::fs::read_to_string(out.join("tests/a.rs")).unwrap(), "test\n");
    assert_eq!(std::fs::read_to_string(out.join("run.sh")).unwrap(), "#!/bin/sh\n");
    assert!(std::fs::symlink_metadata(out.join("docs/out")).is_err());

    let all: Vec<String> = recorded.changes.files.iter().map(|f| f.path.clone()).collect();
    again.restore(&all).unwrap();
    assert_eq!(seen(&again.record(Limits::default()).unwrap()), Vec::<String>::new());
    for bad in ["../x", "/etc/passwd", ".git/config", ""] {
        assert!(again.restore(&[bad.into()]).is_err(), "{bad}");
    }
}

#[test]
fn the_patch_applies_and_gives_the_recorded_tree() {
    let place = TestDir::with_repo();
    let (recorder, recorded) = place.judge(
        &["repo"],
        "echo x >>src/a.rs; mv src/b.rs src/c.rs; printf 'a\\0b' >bin; chmod +x tests/a.rs; rm docs/a.md",
    );
    let patch = recorder.patch(&recorded, usize::MAX).unwrap();
    std::fs::write(place.path("p.patch"), patch).unwrap();
    recorder.materialise(&recorder.base_tree(), &place.root(), "was").unwrap();
    place.sh("cd was; git apply ../p.patch; cd ..; rmdir repo/docs; diff -r --exclude=.git --exclude=target --exclude=.env was repo");
}
