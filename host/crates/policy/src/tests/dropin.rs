//! Dropping components into the plugins directory, locking, shadowing, switching off.

use super::super::lock::{Entry, FILE, Lock, Mode};
use super::super::record::digest;
use super::guest::Guest;
use super::{PolicySet, alone, files};

#[test]
fn a_dropped_in_component_judges_the_next_job_and_a_running_one_keeps_its_set() {
    let directory = tempfile::tempdir().unwrap();
    let settings = alone(directory.path());
    let before = PolicySet::load(&settings);
    assert!(before.names().is_empty());

    let file = directory.path().join("few.wasm");
    std::fs::write(&file, Guest::new("few").denies_over(3).build()).unwrap();
    let running = PolicySet::load(&settings);
    assert_eq!(running.names(), ["few@1.0.0"]);
    assert!(before.scope(&files(9)).is_empty(), "the job that ran before is not judged by it");

    std::fs::write(&file, Guest::new("few").version("2.0.0").denies_over(0).build()).unwrap();
    assert!(running.scope(&files(2)).is_empty(), "the running job keeps version 1");
    assert_eq!(PolicySet::load(&settings).scope(&files(2)).len(), 1);

    std::fs::remove_file(&file).unwrap();
    assert_eq!(running.scope(&files(9)).len(), 1, "removed while in use");
    assert!(PolicySet::load(&settings).names().is_empty());
}

#[test]
fn a_second_plugin_of_a_name_is_refused() {
    let one = Guest::new("few").denies_over(3).build();
    let two = Guest::new("few").version("2.0.0").denies_over(3).build();
    let set = super::set_of(&[&one, &two]);
    assert_eq!(set.names(), ["few@1.0.0"]);
    assert!(set.broken()[0].reason.contains("another plugin is named few"));
    assert_eq!(set.scope(&files(1))[0].finding.rule, "policy-broken");
}

#[test]
fn the_lock_pins_bytes_order_and_mode() {
    let directory = tempfile::tempdir().unwrap();
    let settings = alone(directory.path());
    let (a, b) = (Guest::new("a").denies_over(3).build(), Guest::new("b").denies_over(3).build());
    std::fs::write(directory.path().join("a.wasm"), &a).unwrap();
    std::fs::write(directory.path().join("b.wasm"), &b).unwrap();
    let entry = |name: &str, bytes: &[u8], mode| Entry {
        name: name.into(),
        file: Some(format!("{name}.wasm")),
        sha256: Some(digest(bytes)),
        interfaces: vec![crate::inspect::Interface::Scope],
        mode,
    };
    let write = |plugins: Vec<Entry>| {
        let text = Lock { version: 1, plugins }.to_text();
        std::fs::write(directory.path().join(FILE), text).unwrap();
        PolicySet::load(&settings)
    };
    let set = write(vec![entry("b", &b, Mode::Enforce), entry("a", &a, Mode::Enforce)]);
    assert_eq!(set.names(), ["b@1.0.0", "a@1.0.0"]);

    let set = write(vec![entry("b", &b, Mode::Off), entry("a", &a, Mode::Enforce)]);
    assert_eq!(set.names(), ["a@1.0.0"]);

    // Unknown: refused with the line to paste. Changed: refused with both digests.
    let set = write(vec![entry("a", &b, Mode::Enforce)]);
    let reasons: Vec<_> = set.broken().iter().map(|broken| broken.reason.as_str()).collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].contains(&digest(&a)) && reasons[0].contains(&digest(&b)), "{}", reasons[0]);
    assert!(reasons[1].contains(&format!("sha256 = \"{}\"", digest(&b))), "{}", reasons[1]);
    assert!(!set.scope(&files(1)).is_empty(), "a job is denied while the lock and the files disagree");

    // Named by the lock and gone.
    std::fs::remove_file(directory.path().join("b.wasm")).unwrap();
    let set = write(vec![entry("a", &a, Mode::Enforce), entry("b", &b, Mode::Enforce)]);
    assert!(set.broken()[0].reason.contains("there is no such file"));

    // A lock that cannot be read denies.
    std::fs::write(directory.path().join(FILE), "version = 2\n").unwrap();
    assert!(PolicySet::load(&settings).broken()[0].reason.contains("has version 2"));
}

#[test]
fn a_broken_plugin_that_is_off_denies_nothing() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("junk.wasm"), b"junk").unwrap();
    let mut settings = alone(directory.path());
    settings.tables.insert("junk".into(), serde_json::json!({"mode": "off"}));
    let set = PolicySet::load(&settings);
    assert!(set.broken().is_empty());
    assert_eq!(set.unused()[0].label, "junk");
}

#[test]
fn a_shadow_decides_nothing_and_says_what_would_have_changed() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, guest: Guest| {
        std::fs::write(directory.path().join(name), guest.build()).unwrap();
    };
    write("1.wasm", Guest::new("few").denies_over(3));
    write("2.wasm", Guest::new("strict").denies_over(1));
    let mut settings = alone(directory.path());
    settings.tables.insert("strict".into(), serde_json::json!({"mode": "shadow"}));
    let set = PolicySet::load(&settings);
    assert_eq!(set.names(), ["few@1.0.0"]);
    assert!(set.scope(&files(1)).is_empty() && set.shadow_notes().is_empty());
    assert!(set.scope(&files(2)).is_empty());
    assert_eq!(set.shadow_notes(), ["shadow strict@1.0.0: would have denied: too-many"]);
    assert_eq!(set.scope(&files(9)).len(), 1, "both would deny: only the enforced finding counts");
    assert_eq!(set.shadow_notes().len(), 1);

    // A candidate for a policy's place is compared with that policy.
    write("2.wasm", Guest::new("few").version("2.0.0").denies_over(8));
    settings.tables.clear();
    let lock = r#"version = 1
        [[plugin]]
        name = "few"
        file = "1.wasm"
        sha256 = "SHA1"
        [[plugin]]
        name = "few"
        file = "2.wasm"
        sha256 = "SHA2"
        mode = "shadow""#;
    let sha = |name| digest(std::fs::read(directory.path().join(name)).unwrap());
    let lock = lock.replace("SHA1", &sha("1.wasm")).replace("SHA2", &sha("2.wasm"));
    std::fs::write(directory.path().join(FILE), lock).unwrap();
    let set = PolicySet::load(&settings);
    assert_eq!(set.names(), ["few@1.0.0"]);
    assert_eq!(set.scope(&files(5)).len(), 1);
    assert_eq!(set.shadow_notes(), ["shadow few@2.0.0: would have let it pass"]);
}

#[test]
fn examples_are_run_once_for_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let plugins = directory.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::write(plugins.join("few.wasm"), Guest::new("few").denies_over(3).build()).unwrap();
    let settings = super::Settings { cache_dir: Some(directory.path().join("cache")), ..alone(&plugins) };
    PolicySet::load(&settings);
    let proofs: Vec<_> = std::fs::read_dir(directory.path().join("cache/proofs")).unwrap().collect();
    assert_eq!(proofs.len(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(directory.path().join("cache")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    assert_eq!(PolicySet::load(&settings).names(), ["few@1.0.0"]);
}

#[test]
fn a_plugin_may_stand_in_for_the_shipped_policy_of_a_kind() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("team.wasm");
    std::fs::write(&file, Guest::new("team").denies_over(100).build()).unwrap();
    let load = |table: serde_json::Value| {
        let mut settings = super::Settings {
            plugins_dir: Some(directory.path().to_owned()),
            cache_dir: Some(directory.path().join("cache")),
            ..super::Settings::default()
        };
        settings.tables.insert("team".into(), table);
        PolicySet::load(&settings)
    };
    let mut outside = files(1);
    outside.job.scope =
        Some(model::types::ScopeDeclaration { paths: vec!["docs".into()], max_diff_bytes: None });

    let set = load(serde_json::json!({}));
    assert!(set.names().iter().any(|name| name.starts_with("scope@")), "beside it by default");

    let set = load(serde_json::json!({"replaces": "scope"}));
    assert!(!set.names().iter().any(|name| name.starts_with("scope@")), "{:?}", set.names());
    assert_eq!(set.unused()[0].reason, "team@1.0.0 replaces the shipped scope policy");
    assert!(set.scope(&outside).is_empty());

    let set = load(serde_json::json!({"replaces": "scope", "mode": "shadow"}));
    assert_eq!(set.scope(&outside)[0].finding.rule, "out-of-scope", "a shadow replaces nothing");
    assert_eq!(set.shadow_notes(), ["shadow team@1.0.0: would have let it pass"]);

    let set = load(serde_json::json!({"replaces": "prompt"}));
    assert!(set.broken()[0].reason.contains("it exports no prompt policy"), "{}", set.broken()[0].reason);
    let set = load(serde_json::json!({"replaces": "scoop"}));
    assert!(
        set.broken()[0].reason.contains("replaces: unknown variant `scoop`"),
        "{}",
        set.broken()[0].reason
    );
}
