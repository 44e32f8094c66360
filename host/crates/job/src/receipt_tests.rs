//! A receipt verifies as written, and no longer after any byte of it changed.

use serde_json::json;

use super::*;
use crate::conclude::Evidence;
use model::result::{Failure, FailureKind};
use model::spec::AllowedDir;
use model::status::JobStatus;
use verify::outcome::Outcome;

struct Written {
    dir: tempfile::TempDir,
    config: Config,
    row: JobRow,
}

fn written(key: Option<&str>) -> Written {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config::for_tests(&dir.path().join("state"));
    if let Some(key) = key {
        let file = dir.path().join("key");
        std::fs::write(&file, key).expect("it is written");
        config.receipt_key = Some(file);
    }
    let id = JobId::parse("0123456789abcdef0123456789abcdef").expect("an id");
    let spec: JobSpec = serde_json::from_value(json!({
        "prompt": "fix", "allowed_dirs": ["/code/repo"], "model": null, "permission_mode": "acceptEdits",
        "include_diff": false, "scoped_patch": null, "on_violation": "fail", "checks": [],
        "guard_tests": true, "max_revise_passes": 0, "isolation": "none", "copy_in": [],
        "timeout_ms": 1000, "resume": null, "idempotency_key": null, "labels": {}
    }))
    .expect("a spec");
    let failure = Failure { kind: FailureKind::CheckFailed, message: "m".to_owned(), hint: "h".to_owned() };
    let outcome =
        Outcome { decided_by: vec!["check unit".to_owned()], ..Outcome::by_host(JobStatus::Failed, failure) };
    let mut ending = Ending { agent_name: Some("builtin 0.1.0".to_owned()), ..Ending::of(outcome) };
    let result = crate::conclude::without_record(&id, &spec, &ending, &str::to_owned).result;
    let paths = JobPaths::new(&config.home, &id);
    paths.create().expect("the directories are made");
    std::fs::create_dir(paths.artifacts().join("checks")).expect("it is made");
    for (name, content) in [("diff.patch", "+1\n"), ("checks/unit.log", "failed\n")] {
        std::fs::write(paths.artifacts().join(name), content).expect("it is written");
    }
    let repo = dir.path().join("repo");
    std::fs::create_dir_all(repo.join("src")).expect("it is made");
    std::fs::write(repo.join("src/a"), "before").expect("it is written");
    let recorder =
        Recorder::begin(&[AllowedDir::resolved(repo.clone())], &paths.shadow()).expect("it begins");
    std::fs::write(repo.join("src/a"), "after").expect("it is written");
    let recorded = recorder.record(evidence::Limits::default()).expect("it is recorded");
    ending.evidence = Some(Evidence {
        base_tree: recorder.base_tree(),
        tree: recorded.tree,
        changes: recorded.changes,
        patch: String::new(),
        branch: None,
    });
    write(&config, &Facts { id: &id, spec: &spec, result: &result, ending: &ending, redact: &str::to_owned })
        .expect("the receipt is written");
    let row = JobRow {
        id,
        spec,
        status: JobStatus::Failed,
        created_ms: 0,
        started_ms: None,
        finished_ms: None,
        cancel_requested: None,
        session: None,
        result: Some(result),
        queue_position: None,
        last_event: None,
    };
    Written { dir, config, row }
}

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

#[test]
fn as_written_it_verifies() {
    for (key, signature) in [(None, "not signed"), (Some(KEY), "signed by 03a107bff3ce10be1d70dd18e74bc099")]
    {
        let place = written(key);
        let found = verify(&place.config, &place.row).expect("it can be read");
        assert_eq!(found.wrong, Vec::<String>::new());
        assert!(found.ok && found.signature.starts_with(signature), "{}", found.signature);
        for what in [
            "receipt.json",
            "artifacts/diff.patch",
            "artifacts/checks/unit.log",
            "request",
            "result",
            "base-tree",
            "result-tree",
        ] {
            assert!(found.checked.iter().any(|checked| checked == what), "{what} was not checked");
        }
    }
}

#[test]
fn any_changed_byte_is_found() {
    let place = written(None);
    let root = JobPaths::new(&place.config.home, &place.row.id).root().to_owned();
    for name in [RECEIPT, SEAL, "artifacts/diff.patch", "artifacts/checks/unit.log"] {
        let file = root.join(name);
        let whole = std::fs::read(&file).expect("it is there");
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&file, &changed).expect("it is written");
            // A receipt that is no text cannot even be read.
            let found = verify(&place.config, &place.row);
            assert!(!found.is_ok_and(|found| found.ok), "{name}, byte {at}: not found");
        }
        std::fs::write(&file, &whole).expect("it is written");
    }
    assert!(verify(&place.config, &place.row).expect("it can be read").ok);
}

#[test]
fn an_altered_object_of_the_result_is_found() {
    let place = written(None);
    let objects = JobPaths::new(&place.config.home, &place.row.id).shadow().join("shadow.git/objects");
    let mut altered = 0;
    for dir in std::fs::read_dir(objects).expect("listed").flatten() {
        for object in std::fs::read_dir(dir.path()).into_iter().flatten().flatten() {
            let whole = std::fs::read(object.path()).expect("it is there");
            let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            std::fs::set_permissions(object.path(), readable).expect("it is ours");
            let mut changed = whole.clone();
            let at = whole.len() / 2;
            changed[at] ^= 1;
            std::fs::write(object.path(), changed).expect("it is written");
            let found = verify(&place.config, &place.row).expect("it can be read");
            altered += usize::from(found.wrong.iter().any(|wrong| wrong.starts_with("result-tree")));
            std::fs::write(object.path(), whole).expect("it is written");
        }
    }
    // Two directories and the file; what is only in the base is the repository's own.
    assert_eq!(altered, 3);
    assert!(verify(&place.config, &place.row).expect("it can be read").ok);
}

#[test]
fn what_else_is_found() {
    let damage: [(&str, fn(&Written)); 4] = [
        ("it was added later", |place| {
            let dir = JobPaths::new(&place.config.home, &place.row.id).artifacts();
            std::fs::write(dir.join("extra"), "x").expect("it is written");
        }),
        ("artifacts/diff.patch: it is gone", |place| {
            let dir = JobPaths::new(&place.config.home, &place.row.id).artifacts();
            std::fs::remove_file(dir.join("diff.patch")).expect("it was there");
        }),
        ("the seal holds no signature", |place| {
            let root = JobPaths::new(&place.config.home, &place.row.id).root().to_owned();
            let text = std::fs::read(root.join(RECEIPT)).expect("it is there");
            let seal = Seal { v: 1, sha256: digest(&text), public_key: None, signature: None };
            let seal = serde_json::to_string_pretty(&seal).expect("JSON") + "\n";
            std::fs::write(root.join(SEAL), seal).expect("written");
        }),
        ("signed by another key", |place| {
            std::fs::write(place.dir.path().join("key"), "11".repeat(32)).expect("it is written");
        }),
    ];
    for (expected, change) in damage {
        let place = written(Some(KEY));
        change(&place);
        let found = verify(&place.config, &place.row).expect("it can be read");
        assert!(found.wrong.iter().any(|wrong| wrong.contains(expected)), "{expected}: {:?}", found.wrong);
    }
    let mut place = written(None);
    place.row.spec.prompt = "something else".to_owned();
    let found = verify(&place.config, &place.row).expect("it can be read");
    assert_eq!(found.wrong, ["request: the stored request differs"]);
}
