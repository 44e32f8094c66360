//! Kinds of repositories and directories.

use test_support::TestDir;

use super::{Record as _, seen};
use crate::{Limits, Recorder};
use model::spec::AllowedDir;

/// How the repository at `repo` is made; what the worker does; what is seen.
const FORMATS: &[(&str, &str, &str, &[&str])] = &[
    ("no repository", "mkdir repo; echo a >repo/a; mkdir repo/d; echo b >repo/d/b", "echo x >>a; echo n >d/n", &["Modified a", "Added d/n"]),
    ("unborn", "git init -q repo; echo a >repo/a", "echo x >>a; echo n >n", &["Modified a", "Added n"]),
    (
        "sha256",
        "git init -q --object-format=sha256 repo; cd repo; echo a >a; echo b >b; git add .; git commit -qm 1",
        "echo x >>a; mv b c; git commit -qam x",
        &["Modified a", "Renamed c"],
    ),
    (
        "reftable",
        "git init -q --ref-format=reftable repo; cd repo; echo a >a; git add .; git commit -qm 1",
        "echo x >>a; git commit -qam x; git branch evil",
        &["Modified a", "internal refs/heads/evil"],
    ),
    (
        "sparse checkout",
        "git init -q repo; cd repo; mkdir in out; echo a >in/a; echo b >out/b; git add .; git commit -qm 1; git sparse-checkout set in",
        "echo x >>in/a; mkdir out; echo evil >out/b",
        &["Modified in/a", "Modified out/b"],
    ),
    (
        "sparse index",
        "git init -q repo; cd repo; mkdir in out; echo a >in/a; echo b >out/b; git add .; git commit -qm 1; git sparse-checkout set --sparse-index in",
        "echo x >>in/a",
        &["Modified in/a"],
    ),
    (
        "split index",
        "git init -q repo; cd repo; echo a >a; git add .; git commit -qm 1; git update-index --split-index; echo b >b; git add b",
        "echo x >>a",
        &["Modified a"],
    ),
    (
        "untracked cache and index version 4",
        "git init -q repo; cd repo; echo a >a; git add .; git commit -qm 1; git update-index --index-version 4 --untracked-cache; git status >/dev/null",
        "echo x >>a; echo n >n",
        &["Modified a", "Added n"],
    ),
    (
        "line ends",
        "git init -q repo; cd repo; printf '*.bat text eol=crlf\\n' >.gitattributes; printf 'a\\r\\nb\\r\\n' >a.bat; echo c >c; git add .; git commit -qm 1; rm a.bat; git checkout -q a.bat",
        "printf 'a\\r\\nb\\r\\nc\\r\\n' >a.bat",
        &["Modified a.bat"],
    ),
    (
        "linked worktree",
        "git init -q main; cd main; echo a >a; git add .; git commit -qm 1; git worktree add -q --detach ../repo",
        "echo x >>a; git commit -qam x",
        &["Modified a"],
    ),
    (
        "merge conflict at the start",
        "git init -q -b m repo; cd repo; echo a >a; git add .; git commit -qm 1; git switch -qc o; echo o >a; git commit -qam o; git switch -q m; echo m >a; git commit -qam m; git merge -q o || true",
        "echo n >n",
        &["Added n"],
    ),
    (
        "intent to add",
        "git init -q repo; cd repo; echo a >a; git add .; git commit -qm 1; echo i >i; git add -N i",
        "echo x >>i",
        &["Modified i"],
    ),
    (
        "flags in the index from before",
        "git init -q repo; cd repo; echo a >a; echo b >b; git add .; git commit -qm 1; git update-index --assume-unchanged a; git update-index --skip-worktree b",
        "echo x >>a; echo x >>b",
        &["Modified a", "Modified b"],
    ),
    (
        "submodule",
        "git init -q sub; echo s >sub/s; git -C sub add .; git -C sub commit -qm s; git init -q repo; cd repo; echo a >a; git add a
         git -c protocol.file.allow=always submodule --quiet add ../sub sub; git commit -qm 1",
        "echo x >>sub/s; echo n >sub/n; git -C sub config x.y z",
        &["Modified sub/s", "Added sub/n", "internal modules/sub/config", "internal sub/config"],
    ),
    (
        "a clone inside that nobody tracks",
        "git init -q repo; cd repo; echo a >a; git add .; git commit -qm 1; git init -q in; echo i >in/i; git -C in add .; git -C in commit -qm i",
        "echo x >>in/i; git -C in commit -qam x; printf '#!/bin/sh\\n' >in/.git/hooks/post-merge",
        &["Modified in/i", "internal in/hooks/post-merge"],
    ),
    (
        "a pointer of LFS whose file was fetched",
        "git init -q repo; cd repo; echo '*.bin filter=lfs' >.gitattributes; printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:%s\\nsize 4\\n' $(printf big1 | sha256sum | cut -c1-64) >f.bin
         cp f.bin g.bin; git add .; git commit -qm 1; printf big1 >f.bin; printf big1 >g.bin",
        "printf big2 >g.bin",
        &["Modified g.bin"],
    ),
    (
        "objects borrowed from another repository",
        "git init -q from; cd from; echo a >a; echo b >b; git add .; git commit -qm 1; cd ..; git clone -q --shared from mid; git clone -q --shared mid repo",
        "echo x >>a; mv b c",
        &["Modified a", "Renamed c"],
    ),
    (
        "a git directory elsewhere",
        "git init -q --separate-git-dir=gd repo; cd repo; echo a >a; git add .; git commit -qm 1",
        "echo x >>a; git config x.y z",
        &["Modified a", "internal config"],
    ),
    (
        "a work tree set in the configuration",
        "git init -q repo; cd repo; echo a >a; git add .; git commit -qm 1; git config core.worktree ..",
        "echo x >>a",
        &["Modified a"],
    ),
    (
        "case-insensitive by configuration",
        "git init -q repo; cd repo; echo a >a; git add .; git commit -qm 1; git config core.ignorecase true",
        "echo x >>a; echo B >B",
        &["Modified a", "Added B"],
    ),
    (
        "many submodules",
        "git init -q sub; echo s >sub/s; git -C sub add .; git -C sub commit -qm s; git init -q repo; cd repo
         for n in $(seq 70); do git -c protocol.file.allow=always clone -q ../sub s$n; git -C s$n config x.y z; done; echo a >a; git add a; git commit -qm 1",
        "echo x >>s70/s; echo n >s9/n",
        &["Modified s70/s", "Added s9/n"],
    ),
    (
        "a partial clone without its other objects",
        "git init -q from; cd from; git config uploadpack.allowFilter true; echo a >a; echo b >b; git add .; git commit -qm 1; echo 2 >a; git commit -qam 2; cd ..
         git -c protocol.file.allow=always clone -q --no-local --filter=blob:none file://$PWD/from repo",
        "echo x >>a",
        &["Modified a"],
    ),
];

#[test]
fn every_format_is_recorded_and_nothing_else_is_blamed() {
    let mut failures = Vec::new();
    for (name, make, act, expected) in FORMATS {
        let place = TestDir::empty();
        place.sh(make);
        let recorder = place.begin(&["repo"]);
        let quiet = recorder.record(Limits::default()).unwrap();
        if quiet.tree != recorder.base_tree() || !seen(&quiet).is_empty() {
            failures.push(format!("{name}: without any change: {:?}", seen(&quiet)));
        }
        super::run_sh(&place.path("repo"), act);
        let recorded = recorder.record(Limits::default()).unwrap();
        let mut wanted: Vec<&str> = expected.to_vec();
        wanted.sort_unstable();
        let mut got = seen(&recorded);
        got.sort_unstable();
        if got != wanted {
            failures.push(format!("{name}: expected {wanted:?}, got {got:?}"));
        }
        recorder.patch(&recorded, usize::MAX).unwrap();
        recorder.materialise(&recorded.tree, &place.root(), "out").unwrap();
        for file in recorded.changes.files.iter().filter(|f| f.patch.is_none() && !f.binary) {
            if file.added_lines + file.deleted_lines > 0 {
                failures.push(format!("{name}: {} has no hunks", file.path));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn line_ends_are_put_back_as_a_checkout_writes_them() {
    for make in [
        "git init -q repo; cd repo; echo '*.bat text eol=crlf' >.gitattributes",
        "git init -q repo; cd repo; git config core.autocrlf true",
    ] {
        let place = TestDir::empty();
        place.sh(&format!("{make}; printf 'a\\r\\nb\\r\\n' >a.bat; git add . 2>/dev/null; git commit -qm 1"));
        let (recorder, recorded) = place.judge(&["repo"], "printf 'x\\r\\n' >a.bat");
        assert_eq!(seen(&recorded), ["Modified a.bat"], "{make}");
        recorder.restore(&["a.bat".into()]).unwrap();
        assert_eq!(std::fs::read(place.path("repo/a.bat")).unwrap(), b"a\r\nb\r\n", "{make}");
        assert!(seen(&recorder.record(Limits::default()).unwrap()).is_empty());
        recorder.materialise(&recorded.tree, &place.root(), "out").unwrap();
        assert_eq!(std::fs::read(place.path("out/a.bat")).unwrap(), b"x\r\n", "{make}");
    }
}

#[test]
fn a_file_of_gigabytes_does_not_break_the_record() {
    let place = TestDir::with_repo();
    let (recorder, recorded) = place.judge(&["repo"], "truncate -s 3G huge.bin; echo x >>src/a.rs");
    let sizes: Vec<_> = recorded.changes.files.iter().map(|f| (f.path.as_str(), f.size)).collect();
    assert_eq!(sizes, [("huge.bin", 3 << 30), ("src/a.rs", 32)]);
    let patch = String::from_utf8(recorder.patch(&recorded, 1 << 20).unwrap()).unwrap();
    assert!(patch.contains("huge.bin differ") && patch.contains("+x"), "{patch}");
}

#[test]
fn fifty_thousand_files() {
    let place = TestDir::empty();
    place.sh("git init -q repo; cd repo; python3 - <<'P'
import os
for d in range(500):
    os.mkdir('d%d' % d)
    for f in range(100):
        open('d%d/f%d' % (d, f), 'w').write('%d %d' % (d, f))
P
         git add . && git commit -qm 1");
    let (_, recorded) = place.judge(
        &["repo"],
        "echo x >>d499/f99; rm d0/f0; python3 -c \"import os
for f in range(3000): open('d7/n%d' % f, 'w').write('n')\"",
    );
    assert_eq!(recorded.changes.total_files, 3002);
    let seen = seen(&recorded);
    assert!(seen.contains(&"Modified d499/f99".to_owned()) && seen.contains(&"Deleted d0/f0".to_owned()));
}

#[test]
fn several_directories_give_one_tree() {
    let place = TestDir::with_repo();
    place.sh("mkdir -p plain/deep more; echo p >plain/deep/p; git init -q more/r; echo r >more/r/r; git -C more/r add .; git -C more/r commit -qm r");
    let (recorder, recorded) = place.judge(
        &["repo", "plain", "more/r", "repo/src"],
        "echo x >>src/a.rs; echo x >>../plain/deep/p; echo n >../more/r/n",
    );
    assert_eq!(seen(&recorded), ["Added ../more/r/n", "Modified ../plain/deep/p", "Modified src/a.rs"]);
    let out = place.path("out");
    recorder.materialise(&recorded.tree, &place.root(), "out").unwrap();
    assert_eq!(recorder.base_prefix(), std::path::Path::new("repo"));
    assert_eq!(std::fs::read_to_string(out.join("more/r/n")).unwrap(), "n\n");
    recorder.restore(&["../plain/deep/p".into(), "../more/r/n".into(), "src/a.rs".into()]).unwrap();
    assert!(seen(&recorder.record(Limits::default()).unwrap()).is_empty());
}

#[test]
fn an_allowed_directory_inside_another_with_its_own_repository() {
    let place = TestDir::with_repo();
    place
        .sh("cd repo; git init -q vendor; echo v >vendor/v; git -C vendor add .; git -C vendor commit -qm v");
    let (_, recorded) = place.judge(&["repo", "repo/vendor"], "echo x >>vendor/v; echo x >>src/a.rs");
    assert_eq!(seen(&recorded), ["Modified src/a.rs", "Modified vendor/v"]);
}

#[test]
fn a_part_of_a_repository_is_looked_at_alone_unless_the_whole_may_be() {
    let place = TestDir::with_repo();
    let (_, part) = place.judge(&["repo/src"], "echo x >>a.rs; echo y >>../tests/a.rs");
    assert_eq!(seen(&part), ["Modified a.rs"]);
    let place = TestDir::with_repo();
    let dirs = [AllowedDir::resolved(place.path("repo/src"))];
    let recorder = Recorder::begin_within(&dirs, &place.path("state"), Some(&place.root())).unwrap();
    super::run_sh(&place.path("repo/src"), "echo x >>a.rs; echo y >>../tests/a.rs");
    let whole = recorder.record(Limits::default()).unwrap();
    assert_eq!(seen(&whole), ["Modified ../tests/a.rs", "Modified a.rs"]);
    recorder.restore(&["../tests/a.rs".into()]).unwrap();
    assert_eq!(seen(&recorder.record(Limits::default()).unwrap()), ["Modified a.rs"]);
}

#[test]
fn the_list_and_the_text_are_capped_and_counted() {
    let place = TestDir::with_repo();
    let recorder = place.begin(&["repo"]);
    super::run_sh(&place.path("repo"), "for i in $(seq 300); do seq 200 >n$i; done");
    let limits = Limits { max_files: 100, max_file_patch: 1000, max_patch: 5000 };
    let recorded = recorder.record(limits).unwrap();
    assert_eq!((recorded.changes.files.len(), recorded.changes.total_files), (100, 300));
    assert_eq!(recorded.stat.len(), 300);
    assert!(recorded.changes.diff_bytes > 300 * 600, "{}", recorded.changes.diff_bytes);
    let cut = recorded.changes.files.iter().filter(|f| f.patch_truncated).count();
    let kept: usize = recorded.changes.files.iter().filter_map(|f| f.patch.as_ref()).map(String::len).sum();
    assert!(cut > 90 && kept <= 5000, "{cut} cut, {kept} bytes kept");
}

#[test]
fn a_large_file_is_recorded_without_hunks() {
    let place = TestDir::with_repo();
    let (_, recorded) = place.judge(
        &["repo"],
        "head -c 40000000 /dev/zero | tr '\\0' 'a' >large.txt; truncate -s 100M sparse.bin",
    );
    let sizes: Vec<_> =
        recorded.changes.files.iter().map(|f| (f.path.as_str(), f.size, f.patch.is_some())).collect();
    assert_eq!(sizes, [("large.txt", 40_000_000, false), ("sparse.bin", 100 << 20, false)]);
}
