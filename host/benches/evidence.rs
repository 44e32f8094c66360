//! Evidence against plain git, side by side in one run: the tree at the start and the
//! change set after one edit, beside `git status` and `git diff`; a worktree beside
//! `git worktree add`.
//!
//! `cargo bench --bench evidence [-- 200 10000 50000]`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use evidence::{Limits, Recorder};
use workspace::{root, worktree};

const RUNS: usize = 5;

fn sh(dir: &Path, script: &str) {
    let out = Command::new("sh").arg("-ec").arg(script).current_dir(dir).output().unwrap();
    assert!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
}

/// The median and the best of some runs.
fn timed(runs: usize, mut work: impl FnMut(usize)) -> (Duration, Duration) {
    let mut all: Vec<Duration> = (0..runs)
        .map(|n| {
            let started = Instant::now();
            work(n);
            started.elapsed()
        })
        .collect();
    all.sort();
    (all[all.len() / 2], all[0])
}

fn row(what: &str, (median, best): (Duration, Duration), against: (Duration, Duration)) {
    println!(
        "  {what:<44} median {:>8.1} ms   best {:>8.1} ms   {:>5.2} x (best {:>5.2} x)",
        median.as_secs_f64() * 1e3,
        best.as_secs_f64() * 1e3,
        median.as_secs_f64() / against.0.as_secs_f64(),
        best.as_secs_f64() / against.1.as_secs_f64(),
    );
}

fn repository(dir: &Path, files: usize) {
    // 20 files a directory, about 1 KiB each, all different.
    for d in 0..files.div_ceil(20) {
        let sub = dir.join(format!("repo/pkg{}/mod{d}", d / 25));
        std::fs::create_dir_all(&sub).unwrap();
        for f in 0..20.min(files - d * 20) {
            let text: String =
                (0..20).map(|l| format!("line {l} of file {f} in directory {d}, some words\n")).collect();
            std::fs::write(sub.join(format!("file{f}.rs")), text).unwrap();
        }
    }
    sh(
        &dir.join("repo"),
        "git init -q -b main .; git add -A; git -c user.name=b -c user.email=b@b -c gc.auto=0 commit -qm base; git repack -qad; git status >/dev/null",
    );
}

fn main() {
    let wanted: Vec<usize> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let sizes = if wanted.is_empty() { vec![200, 10_000, 50_000] } else { wanted };
    for files in sizes {
        let place = tempfile::tempdir().unwrap();
        repository(place.path(), files);
        let repo = place.path().join("repo");
        let dirs = [root::resolve("repo", place.path(), &[]).unwrap()];
        println!("{files} files");

        // Before: a look at an unchanged tree.
        let status = timed(RUNS, |_| sh(&repo, "git status --porcelain >/dev/null"));
        let begin = timed(RUNS, |n| {
            Recorder::begin(&dirs, &place.path().join(format!("state{n}"))).unwrap();
        });
        row("git status (nothing changed)", status, status);
        row("Recorder::begin", begin, status);

        // After: one edited, one new, one deleted file.
        sh(&repo, "echo x >>pkg0/mod0/file0.rs; echo n >new.rs; rm pkg0/mod1/file1.rs");
        let plain = timed(RUNS, |_| sh(&repo, "git status --porcelain >/dev/null; git diff HEAD >/dev/null"));
        let recorder = Recorder::reopen(&place.path().join("state0")).unwrap();
        let first =
            timed(1, |_| assert_eq!(recorder.record(Limits::default()).unwrap().changes.total_files, 3));
        let again = timed(RUNS, |_| {
            recorder.record(Limits::default()).unwrap();
        });
        let both = (begin.0 + again.0, begin.1 + again.1);
        let plain_twice = (status.0 + plain.0, status.1 + plain.1);
        row("git status + git diff (three changes)", plain, plain);
        row("Recorder::record, first", first, plain);
        row("Recorder::record, again", again, plain);
        row("begin + record : status + (status + diff)", both, plain_twice);

        // A checkout of its own.
        let runs = if files > 20_000 { 1 } else { 3 };
        let add = timed(runs, |n| sh(&repo, &format!("git worktree add -q --detach ../wt{n}")));
        let create = timed(runs, |n| {
            let job_dir = place.path().join(format!("home/jobs/{n}"));
            std::fs::create_dir_all(&job_dir).unwrap();
            let options = worktree::Options {
                job: "bench",
                dirs: &dirs,
                job_dir: &job_dir,
                copy_in: &[],
                scope: &[],
                sparse_above: None,
            };
            worktree::create(options).unwrap();
        });
        row("git worktree add --detach", add, add);
        row("worktree::create", create, add);
        let gone = timed(1, |_| worktree::remove(&place.path().join("home/jobs/0")).unwrap());
        let plain_gone = timed(1, |_| sh(&repo, "git worktree remove --force ../wt0"));
        row("git worktree remove", plain_gone, plain_gone);
        row("worktree::remove (deletes in the background)", gone, plain_gone);
    }
}
