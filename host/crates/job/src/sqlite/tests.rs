//! The store on a real file: claims, leases, epochs, and stores that are broken.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{PageQuery, SqliteStore};
use crate::identity::{self, Now};
use crate::store::{Claim, JobStore, ListFilter, Load};
use config::Isolation;
use model::error::Kind;
use model::result::JobResult;
use model::spec::{AllowedDir, JobId, JobSpec, OnViolation, PermissionMode};
use model::status::JobStatus;

const LEASE: Duration = Duration::from_secs(10);

fn spec(prompt: &str) -> JobSpec {
    JobSpec {
        prompt: prompt.to_owned(),
        allowed_dirs: vec![AllowedDir::resolved(PathBuf::from("/srv/repository"))],
        model: None,
        permission_mode: PermissionMode::AcceptEdits,
        include_diff: false,
        scoped_patch: None,
        on_violation: OnViolation::Fail,
        checks: Vec::new(),
        guard_tests: false,
        max_revise_passes: 0,
        isolation: Isolation::Worktree,
        copy_in: Vec::new(),
        setup: None,
        timeout_ms: 1000,
        resume: None,
        idempotency_key: None,
        labels: BTreeMap::new(),
        reliability_tier: None,
        expects_change: None,
        max_cost: None,
    }
}

fn result(status: JobStatus) -> JobResult {
    let id = JobId::random().expect("random");
    JobResult { job_status: status, ..crate::conclude::cancelled_in_queue(&id, &spec("x"), "").result }
}

fn store() -> (tempfile::TempDir, SqliteStore) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = SqliteStore::open(home.path()).expect("a new store");
    (home, store)
}

fn claim(store: &SqliteStore, max: u32) -> Option<Claim> {
    store.claim("w1", max, LEASE).expect("a claim is answered")
}

#[test]
fn a_viewer_searches_and_cannot_write() {
    let (home, store) = store();
    let mut labelled = spec("Größe of \"quoted\" names\nsecond line");
    labelled.labels.insert("team".to_owned(), "billing".to_owned());
    let first = store.enqueue(&labelled).expect("a job").id;
    let second = store.enqueue(&spec("another")).expect("a job").id;
    let viewer = SqliteStore::open_read_only(home.path()).expect("the viewer's connection");
    let stamp = viewer.stamp().expect("a stamp");
    let of_job = viewer.job_stamp(&first).expect("a stamp");
    store.request_cancel(&first, "enough").expect("a cancel");
    assert_ne!(viewer.stamp().expect("a stamp"), stamp);
    assert_ne!(viewer.job_stamp(&first).expect("a stamp"), of_job);
    let found = |statuses: &[JobStatus], search: &str| {
        let query = PageQuery { statuses: statuses.to_vec(), search: search.to_owned(), limit: 9, offset: 0 };
        let page = viewer.page(&query).expect("a page");
        assert_eq!(page.total as usize, page.rows.len(), "{search}");
        page.rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(found(&[], ""), [second.clone(), first.clone()]);
    assert_eq!(found(&[JobStatus::Cancelled], ""), std::slice::from_ref(&first));
    // SQLite folds the case of ASCII alone.
    for search in ["Größe", "\"QUOTED\" second", "billing", &first.as_str()[..9], "names /srv/rep"] {
        assert_eq!(found(&[], search), std::slice::from_ref(&first), "{search}");
    }
    for search in ["prompt", "allowed_dirs", "null", "%", "' OR 1=1 --", "missing"] {
        assert!(found(&[], search).is_empty(), "{search}");
    }
    assert!(viewer.request_cancel(&second, "by a viewer").is_err());
    assert_eq!(store.get(&second).expect("the job").status, JobStatus::Queued);
}

#[test]
fn a_job_lives_from_queue_to_end() {
    let (_home, store) = store();
    let job = store.enqueue(&spec("one")).expect("enqueued");
    assert_eq!((job.status, job.queue_position, job.existing), (JobStatus::Queued, Some(0), false));
    assert_eq!(store.enqueue(&spec("two")).expect("enqueued").queue_position, Some(1));
    let held = claim(&store, 4).expect("the oldest");
    assert_eq!((&held.id, held.epoch, held.spec.prompt.as_str()), (&job.id, 1, "one"));
    assert!(store.set_session(&held, "s-1").expect("written"));
    assert!(store.append_events(&held, &[("tool".into(), "Edit a".into())]).expect("written"));
    assert!(store.advance(&held, JobStatus::Verifying).expect("moved"));
    assert!(store.finish(&held, JobStatus::Completed, &result(JobStatus::Completed)).expect("ended"));
    let row = store.get(&job.id).expect("found");
    assert_eq!((row.status, row.session.as_deref()), (JobStatus::Completed, Some("s-1")));
    assert!(row.result.is_some() && row.finished_ms.is_some());
    let texts = |after, limit| -> Vec<String> {
        store
            .events(&job.id, after, limit)
            .expect("events")
            .into_iter()
            .map(|e| format!("{} {}", e.seq, e.text))
            .collect()
    };
    assert_eq!(texts(Some(0), 9), ["1 queued", "2 running", "3 Edit a", "4 verifying", "5 completed"]);
    assert_eq!(texts(None, 2), ["4 verifying", "5 completed"]);
    assert_eq!(store.load().expect("counted"), Load { queued: 1, active: 0 });
    let filter = ListFilter { statuses: vec![JobStatus::Queued], limit: 5 };
    assert_eq!(store.list(&filter).expect("listed").len(), 1);
    assert!(store.forget(&job.id).expect("deleted"));
    assert_eq!(store.get(&job.id).expect_err("gone").kind, Kind::NotFound);
}

#[test]
fn an_illegal_change_is_refused_and_nothing_completes_unjudged() {
    let (_home, store) = store();
    store.enqueue(&spec("one")).expect("enqueued");
    let held = claim(&store, 1).expect("claimed");
    let error =
        store.finish(&held, JobStatus::Completed, &result(JobStatus::Completed)).expect_err("not judged");
    assert_eq!(error.message, format!("job {} cannot go from running to completed", held.id));
    assert_eq!(store.get(&held.id).expect("found").status, JobStatus::Running);
}

#[test]
fn a_stale_epoch_writes_nothing() {
    let (_home, store) = store();
    store.enqueue(&spec("one")).expect("enqueued");
    let stale = claim(&store, 1).expect("claimed");
    // A lease of no length is over at once.
    assert!(store.heartbeat(&stale, Duration::ZERO).expect("answered").is_some());
    std::thread::sleep(Duration::from_millis(5));
    let fresh = store.take_over("w2", LEASE).expect("answered").expect("its worker is dead");
    assert_eq!((fresh.epoch, &fresh.id), (2, &stale.id));
    let before = store.get(&stale.id).expect("found");
    assert!(!store.advance(&stale, JobStatus::Verifying).expect("answered"));
    assert!(!store.set_session(&stale, "x").expect("answered"));
    assert!(!store.append_events(&stale, &[("a".into(), "b".into())]).expect("answered"));
    assert!(!store.finish(&stale, JobStatus::Failed, &result(JobStatus::Failed)).expect("answered"));
    assert!(!store.release(&stale).expect("answered"));
    assert_eq!(store.heartbeat(&stale, LEASE).expect("answered"), None);
    assert_eq!(store.poll(&stale).expect("answered"), None);
    let after = store.get(&stale.id).expect("found");
    assert_eq!(format!("{before:?}"), format!("{after:?}"));
    assert!(store.finish(&fresh, JobStatus::Interrupted, &result(JobStatus::Interrupted)).expect("answered"));
    assert!(!store.finish(&fresh, JobStatus::Failed, &result(JobStatus::Failed)).expect("an end is an end"));
    assert_eq!(store.take_over("w3", LEASE).expect("answered"), None);
}

#[test]
fn the_same_key_gives_the_same_job_and_another_spec_is_an_error() {
    let (_home, store) = store();
    let keyed = |prompt: &str| JobSpec { idempotency_key: Some("k".into()), ..spec(prompt) };
    let first = store.enqueue(&keyed("one")).expect("enqueued");
    let again = store.enqueue(&keyed("one")).expect("found");
    assert_eq!((again.id, again.existing), (first.id.clone(), true));
    let error = store.enqueue(&keyed("two")).expect_err("another job under the same key");
    assert_eq!(error.kind, Kind::Usage);
    assert_eq!(
        error.message,
        format!("idempotency_key `k` was used for job {} with other arguments", first.id)
    );
}

#[test]
fn cancel_ends_a_queued_job_and_reaches_a_running_one() {
    let (_home, store) = store();
    let one = store.enqueue(&spec("one")).expect("enqueued");
    let two = store.enqueue(&spec("two")).expect("enqueued");
    let held = claim(&store, 1).expect("claimed");
    assert_eq!(store.request_cancel(&two.id, "no need").expect("asked"), JobStatus::Cancelled);
    let failure = store.get(&two.id).expect("found").result.expect("a result").failure.expect("a failure");
    assert_eq!(failure.message, "cancelled while queued: no need");
    assert_eq!(store.request_cancel(&one.id, "first").expect("asked"), JobStatus::Running);
    assert_eq!(store.request_cancel(&one.id, "second").expect("asked"), JobStatus::Running);
    let seen = store.poll(&held).expect("answered").expect("held");
    assert_eq!(seen.cancel.as_deref(), Some("first"));
    store.finish(&held, JobStatus::Cancelled, &result(JobStatus::Cancelled)).expect("ended");
    assert_eq!(store.request_cancel(&one.id, "third").expect("asked"), JobStatus::Cancelled);
}

#[test]
fn two_jobs_on_one_live_directory_do_not_run_together() {
    let (_home, store) = store();
    let live = |dir: &str| JobSpec {
        isolation: Isolation::None,
        allowed_dirs: vec![AllowedDir::resolved(PathBuf::from(dir))],
        ..spec(dir)
    };
    for dir in ["/srv/a", "/srv/a/sub", "/srv/ab"] {
        store.enqueue(&live(dir)).expect("enqueued");
    }
    let first = claim(&store, 9).expect("the first");
    let second = claim(&store, 9).expect("the one beside it");
    assert_eq!(second.spec.prompt, "/srv/ab");
    assert_eq!(claim(&store, 9), None);
    store.finish(&first, JobStatus::Failed, &result(JobStatus::Failed)).expect("ended");
    assert_eq!(claim(&store, 9).expect("free now").spec.prompt, "/srv/a/sub");
}

#[test]
fn a_released_job_is_claimed_again_under_a_new_epoch() {
    let (_home, store) = store();
    store.enqueue(&spec("one")).expect("enqueued");
    let first = claim(&store, 1).expect("claimed");
    assert!(store.release(&first).expect("released"));
    let second = claim(&store, 1).expect("claimed again");
    assert_eq!((second.epoch, second.id), (2, first.id));
}

#[test]
fn a_clock_that_is_set_ends_no_lease_but_a_reboot_does() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let wall = Arc::new(AtomicI64::new(1_000_000));
    let steady = Arc::new(AtomicI64::new(5_000));
    let boot = Arc::new(Mutex::new("boot-1".to_owned()));
    let store = {
        let (wall, steady, boot) = (wall.clone(), steady.clone(), boot.clone());
        SqliteStore::open_with_clock(home.path(), move || Now {
            wall_ms: wall.load(Ordering::SeqCst),
            steady_ms: steady.load(Ordering::SeqCst),
            boot: boot.lock().expect("not poisoned").clone(),
        })
        .expect("a new store")
    };
    store.enqueue(&spec("one")).expect("enqueued");
    let held = claim(&store, 1).expect("claimed");
    let taken = || store.take_over("w2", LEASE).expect("answered");
    for jump in [86_400_000, -86_400_000 * 300] {
        wall.fetch_add(jump, Ordering::SeqCst);
        assert_eq!(taken(), None, "a wall clock set by {jump} ms");
    }
    steady.fetch_add(9_999, Ordering::SeqCst);
    assert_eq!(taken(), None, "within the lease");
    steady.fetch_add(2, Ordering::SeqCst);
    assert_eq!(taken().expect("the lease is over").id, held.id);
    *boot.lock().expect("not poisoned") = "boot-2".to_owned();
    steady.store(0, Ordering::SeqCst);
    assert_eq!(taken().expect("no worker outlives its boot").epoch, 3);
    *boot.lock().expect("not poisoned") = String::new();
    assert_eq!(taken().expect("another boot").epoch, 4);
    assert_eq!(taken(), None, "without a boot the wall clock counts");
    wall.fetch_add(10_001, Ordering::SeqCst);
    assert_eq!(taken().expect("the lease is over").epoch, 5);
}

#[cfg(target_os = "linux")]
#[test]
fn a_worker_whose_process_is_gone_is_dead_before_its_lease_ends() {
    let (_home, store) = store();
    store.enqueue(&spec("one")).expect("enqueued");
    let mut child = std::process::Command::new("sleep").arg("30").spawn().expect("sleep starts");
    let me = identity::own();
    let namespace = me.rsplit('.').next().expect("a name has dots").to_owned();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it runs");
    let start =
        stat.rsplit(')').next().and_then(|s| s.split_whitespace().nth(19)).expect("field 22").to_owned();
    let worker = format!("{}.{start}.{namespace}", child.id());
    store.claim(&worker, 1, Duration::from_secs(3600)).expect("answered").expect("claimed");
    assert_eq!(store.take_over(&me, LEASE).expect("answered"), None);
    child.kill().expect("killed");
    child.wait().expect("waited");
    assert!(store.take_over(&me, LEASE).expect("answered").is_some());
}

#[test]
fn eight_workers_on_one_file_claim_each_job_once_and_keep_the_limit() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let store = SqliteStore::open(home.path()).expect("a new store");
    for n in 0..60 {
        store.enqueue(&spec(&format!("job {n}"))).expect("enqueued");
    }
    let running = AtomicU32::new(0);
    let most = AtomicU32::new(0);
    let seen = Mutex::new(Vec::new());
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // A connection of its own, as another process has.
                let store = SqliteStore::open(home.path()).expect("the same store");
                while store.load().expect("counted") != Load::default() {
                    let Some(held) = claim(&store, 3) else { continue };
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    seen.lock().expect("not poisoned").push(held.id.clone());
                    assert!(store.heartbeat(&held, LEASE).expect("answered").is_some());
                    running.fetch_sub(1, Ordering::SeqCst);
                    assert!(
                        store.finish(&held, JobStatus::Failed, &result(JobStatus::Failed)).expect("ended")
                    );
                }
            });
        }
    });
    let seen = seen.into_inner().expect("not poisoned");
    eprintln!(
        "claim, heartbeat and finish by eight: {:.0} jobs a second",
        60.0 / began.elapsed().as_secs_f64()
    );
    assert_eq!(seen.len(), 60);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 60);
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?} ran at once");
}

#[test]
fn a_newer_a_corrupt_and_an_unwritable_store_are_refused_with_what_to_do() {
    let refusal = |prepare: &dyn Fn(&std::path::Path)| {
        let home = tempfile::tempdir().expect("a temporary directory");
        prepare(home.path());
        let error = SqliteStore::open(home.path()).err().expect("refused");
        let base = home.path().display().to_string();
        format!("{:?}: {error}", error.kind).replace(&base, "HOME")
    };
    let newer = refusal(&|home| {
        let db = rusqlite::Connection::open(home.join("jobs.db")).expect("made");
        db.pragma_update(None, "user_version", 99).expect("written");
    });
    insta::assert_snapshot!(newer, @r"
    Environment: HOME/jobs.db has schema version 99; this program knows versions up to 2
    hint: use the codex-worker that made it, or a newer one
    hint: or set CODEX_WORKER_HOME to another directory
    ");
    let corrupt = refusal(&|home| {
        std::fs::write(home.join("jobs.db"), "not a database at all".repeat(99)).expect("written")
    });
    insta::assert_snapshot!(corrupt, @r"
    Environment: HOME/jobs.db is damaged: file is not a database
    hint: move HOME/jobs.db and its -wal and -shm files away (job directories stay readable)
    hint: or set CODEX_WORKER_HOME to another directory
    ");
    let blocked = refusal(&|home| std::fs::create_dir(home.join("jobs.db")).expect("made"));
    insta::assert_snapshot!(blocked, @r"
    Environment: HOME/jobs.db: unable to open database file: HOME/jobs.db
    hint: make the state directory writable for this user
    hint: or set CODEX_WORKER_HOME to another directory
    ");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let error = SqliteStore::open(&file.path().join("x")).err().expect("refused");
    assert_eq!((error.kind, error.hints.len()), (Kind::Environment, 1));
}

#[test]
fn a_full_disk_is_said_and_nothing_is_half_written() {
    let (_home, store) = store();
    store.enqueue(&spec("one")).expect("enqueued");
    let pages: i64 = store.lock().query_row("PRAGMA page_count", [], |row| row.get(0)).expect("read");
    store.lock().pragma_update(None, "max_page_count", pages + 1).expect("set");
    let error = store.enqueue(&spec(&"x".repeat(100_000))).expect_err("no room");
    assert_eq!(error.kind, Kind::Environment);
    assert!(error.message.ends_with("no space left on its disk"), "{}", error.message);
    assert_eq!(store.load().expect("counted"), Load { queued: 1, active: 0 });
}

#[test]
fn the_active_states_of_the_queries_are_those_of_the_type() {
    let active: Vec<String> =
        JobStatus::ALL.iter().filter(|s| s.is_active()).map(|s| format!("'{}'", s.as_str())).collect();
    assert_eq!(super::ACTIVE, format!("({})", active.join(", ")));
}

#[test]
fn twenty_processes_may_make_the_store_at_the_same_moment() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let gate = std::sync::Barrier::new(20);
    std::thread::scope(|scope| {
        for n in 0..20 {
            let (gate, home) = (&gate, home.path().join("new"));
            scope.spawn(move || {
                gate.wait();
                SqliteStore::open(&home).expect("opened").enqueue(&spec(&n.to_string())).expect("enqueued");
            });
        }
    });
    let store = SqliteStore::open(&home.path().join("new")).expect("opened");
    assert_eq!(store.load().expect("counted").queued, 20);
}

#[test]
fn a_job_that_cannot_be_read_stops_nobody_else() {
    let (home, store) = store();
    let jobs: Vec<JobId> = ["ended", "held", "waiting", "cancelled", "good"]
        .into_iter()
        .map(|prompt| store.enqueue(&spec(prompt)).expect("enqueued").id)
        .collect();
    let ended = claim(&store, 9).expect("claimed");
    store.finish(&ended, JobStatus::Failed, &result(JobStatus::Failed)).expect("ended");
    let held = claim(&store, 9).expect("claimed");
    for id in &jobs[..4] {
        store
            .lock()
            .execute("UPDATE jobs SET spec = '{\"of\": \"tomorrow\"}' WHERE id = ?1", [id.as_str()])
            .expect("broken");
    }
    let error = store.get(&jobs[2]).expect_err("unreadable");
    assert!(error.message.contains(&format!("job {} has an unreadable spec", jobs[2])), "{error}");
    assert_eq!(store.request_cancel(&jobs[3], "no").expect("cancelled"), JobStatus::Cancelled);
    // It counts against the limit as long as somebody holds it.
    assert_eq!(claim(&store, 1), None);
    let good = claim(&store, 2).expect("the one that can be read");
    assert_eq!(good.id, jobs[4]);
    store.heartbeat(&held, Duration::ZERO).expect("answered");
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(store.take_over("w2", LEASE).expect("answered"), None, "nobody can end it properly");
    assert!(!store.finish(&held, JobStatus::Failed, &result(JobStatus::Failed)).expect("stale"));
    let listed: Vec<JobId> =
        store.list(&ListFilter::default()).expect("listed").into_iter().map(|row| row.id).collect();
    assert_eq!(listed, [jobs[4].clone()]);
    let mut unreadable = store.unreadable().expect("listed");
    unreadable.sort();
    let mut expected = jobs[..4].to_vec();
    expected.sort();
    assert_eq!(unreadable, expected);
    let statuses: Vec<String> = expected
        .iter()
        .map(|id| {
            let sql = "SELECT status || ' ' || last_event FROM jobs WHERE id = ?1";
            store.lock().query_row(sql, [id.as_str()], |row| row.get(0)).expect("there")
        })
        .collect();
    for status in ["failed failed", "interrupted interrupted", "cancelled cancelled"] {
        assert!(statuses.iter().any(|seen| seen == status), "{status}: {statuses:?}");
    }
    let config = config::Config::for_tests(home.path());
    let limits = crate::gc::Retention { older_than: Some(Duration::ZERO), max_bytes: Some(0) };
    let report = crate::gc::collect(&config, &store, limits, false).expect("collected");
    assert_eq!(report.deleted.len(), 4, "{report:?}");
    assert_eq!(store.unreadable().expect("listed"), []);
}

#[test]
fn what_a_running_job_goes_on_from_is_not_collected() {
    let (home, store) = store();
    let end = |resume: Option<JobId>| {
        store.enqueue(&JobSpec { resume, ..spec("x") }).expect("enqueued");
        let held = claim(&store, 9).expect("claimed");
        store.finish(&held, JobStatus::Failed, &result(JobStatus::Failed)).expect("ended");
        held.id
    };
    let first = end(None);
    let second = end(Some(first.clone()));
    let other = end(None);
    store.enqueue(&JobSpec { resume: Some(second.clone()), ..spec("x") }).expect("enqueued");
    let held = claim(&store, 9).expect("claimed");
    for id in [&first, &second, &other, &held.id] {
        std::fs::create_dir_all(home.path().join("jobs").join(id.as_str())).expect("made");
    }
    let stray = JobId::random().expect("random");
    let stray_dir = home.path().join("jobs").join(stray.as_str());
    std::fs::create_dir_all(&stray_dir).expect("made");
    std::fs::create_dir_all(home.path().join("jobs/not-a-job")).expect("made");
    std::thread::sleep(Duration::from_millis(5));
    let config = config::Config::for_tests(home.path());
    let collect = |older_than, dry_run| {
        let limits = crate::gc::Retention { older_than: Some(older_than), max_bytes: None };
        crate::gc::collect(&config, &store, limits, dry_run).expect("collected").deleted
    };
    assert_eq!(collect(Duration::from_secs(60), false), [], "the young stay, known or not");
    let mut both = vec![other.clone(), stray.clone()];
    both.sort();
    for dry_run in [true, false] {
        let mut deleted = collect(Duration::ZERO, dry_run);
        deleted.sort();
        assert_eq!(deleted, both, "dry run: {dry_run}");
        assert_eq!(stray_dir.exists(), dry_run);
    }
    assert!(home.path().join("jobs/not-a-job").exists(), "it is not ours");
    store.finish(&held, JobStatus::Failed, &result(JobStatus::Failed)).expect("ended");
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(collect(Duration::ZERO, false).len(), 3);
}
