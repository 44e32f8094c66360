//! The texts of every refusal of `start`, and what is filled in.

use serde_json::json;

use super::*;

struct Fixture {
    _dir: tempfile::TempDir,
    root: PathBuf,
    config: Config,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = dir.path().canonicalize().expect("it exists");
    for made in ["code/repo", "state", "elsewhere"] {
        std::fs::create_dir_all(root.join(made)).expect("it is made");
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(root.join("elsewhere"), root.join("code/out")).expect("a link");
    let mut config = Config::for_tests(&root.join("state"));
    config.sandbox_root = Some(root.join("code"));
    Fixture { _dir: dir, root, config }
}

fn args(fixture: &Fixture, more: serde_json::Value) -> StartArgs {
    let mut all = json!({"prompt": "fix it", "allowed_dirs": [fixture.root.join("code/repo")]});
    for (key, value) in more.as_object().expect("an object") {
        all[key] = value.clone();
    }
    serde_json::from_value(all).expect("arguments")
}

#[test]
fn every_refusal_says_what_and_what_to_do() {
    let fixture = fixture();
    let long = "x".repeat(300);
    let cases = [
        (
            json!({"prompt": " \n"}),
            "prompt is empty\nhint: say what the agent is to do; it sees nothing else",
        ),
        (json!({"prompt": "x".repeat(1_000_001)}), "prompt is 1000001 bytes long; the limit is 1000000"),
        (json!({"allowed_dirs": []}), "allowed_dirs is empty\nhint: name the directory"),
        (json!({"allowed_dirs": [fixture.root.join("elsewhere")]}), "is outside SANDBOX_ROOT"),
        (json!({"allowed_dirs": [fixture.root.join("code/out")]}), "elsewhere)"),
        (
            json!({"permission_mode": "bypassPermissions"}),
            "permission_mode bypassPermissions is refused: ALLOW_BYPASS_PERMISSIONS is not 1\nhint: use acceptEdits, or set \
             ALLOW_BYPASS_PERMISSIONS=1 for this server if you mean it",
        ),
        (json!({"checks": [{"name": "", "command": "true"}]}), "checks[0].name is empty"),
        (json!({"checks": [{"name": "a", "command": " "}]}), "checks[0].command is empty"),
        (
            json!({"checks": [{"name": "a", "command": "x"}, {"name": "a", "command": "y"}]}),
            "checks[1].name \"a\" is used twice",
        ),
        (
            json!({"checks": [{"name": "a", "command": "x", "timeout_ms": 1}]}),
            "checks[0].timeout_ms is 1, which is",
        ),
        (json!({"checks": [{"name": "a", "command": "x", "cwd": "../.."}]}), "checks[0].cwd holds \"../..\""),
        (json!({"checks": [{"name": long, "command": "x"}]}), "checks[0].name is longer than 200 bytes"),
        (json!({"scoped_patch": {"paths": []}}), "scoped_patch.paths is empty"),
        (json!({"scoped_patch": {"paths": ["/etc"]}}), "scoped_patch.paths holds \"/etc\""),
        (json!({"copy_in": ["../secret"]}), "copy_in holds \"../secret\""),
        (json!({"auto_revise": {"max_passes": 99}}), "auto_revise.max_passes is 99; the limit is 10"),
        (json!({"timeout_ms": 5}), "timeout_ms is 5, which is not from 1000"),
        (json!({"resume": "job-1"}), "resume is \"job-1\", which is not a job id"),
        (json!({"reliability_tier": "strict"}), "need at least one check"),
        (
            json!({"reliability_tier": "critical", "checks": [{"name": "a", "command": "x"}]}),
            "need a scoped_patch",
        ),
    ];
    for (more, expected) in cases {
        let error =
            job_spec(args(&fixture, more.clone()), &fixture.config).expect_err("this must be refused");
        let text = error.to_string();
        assert!(text.contains(expected), "{more}: {text}");
        assert!(!error.hints.is_empty(), "{more}: no hint");
    }
}

#[test]
fn without_a_sandbox_root_nothing_starts() {
    let mut fixture = fixture();
    fixture.config.sandbox_root = None;
    let error = job_spec(args(&fixture, json!({})), &fixture.config).expect_err("no root");
    assert_eq!(error.kind, Kind::Config);
    assert!(error.to_string().contains("set SANDBOX_ROOT to"), "{error}");
}

#[test]
fn defaults_and_presets() {
    let fixture = fixture();
    let proof = json!({"checks": [{"name": "a", "command": "x"}], "scoped_patch": {"paths": ["src"]}});
    let with = |tier: Option<&str>, extra: serde_json::Value| {
        let mut more = proof.clone();
        if let Some(tier) = tier {
            more["reliability_tier"] = json!(tier);
        }
        for (key, value) in extra.as_object().expect("an object") {
            more[key] = value.clone();
        }
        let spec = job_spec(args(&fixture, more), &fixture.config).expect("it parses");
        (spec.guard_tests, spec.max_revise_passes, spec.isolation)
    };
    let none = json!({});
    assert_eq!(with(None, none.clone()), (true, 0, Isolation::None));
    assert_eq!(with(Some("lite"), none.clone()), (false, 0, Isolation::None));
    assert_eq!(with(Some("standard"), none.clone()), (true, 0, Isolation::None));
    assert_eq!(with(Some("strict"), none.clone()), (true, 1, Isolation::None));
    assert_eq!(with(Some("critical"), none), (true, 2, Isolation::Worktree));
    // What the caller says beats the preset.
    assert_eq!(
        with(Some("critical"), json!({"isolation": "none", "auto_revise": false, "guard_tests": false})),
        (false, 0, Isolation::None)
    );
    assert_eq!(with(None, json!({"auto_revise": true})).1, 1);
    assert_eq!(with(None, json!({"auto_revise": {"max_passes": 3}})).1, 3);
}

#[test]
fn bypass_is_allowed_when_the_operator_says_so() {
    let mut fixture = fixture();
    fixture.config.agent.allow_bypass = true;
    let spec = job_spec(args(&fixture, json!({"permission_mode": "bypassPermissions"})), &fixture.config)
        .expect("allowed");
    assert_eq!(spec.permission_mode, PermissionMode::BypassPermissions);
}

/// A key that the planner repeats gets neither into the store nor to the agent.
#[test]
fn a_key_of_the_gateway_is_masked_in_what_is_kept() {
    let mut fixture = fixture();
    let key = "sk-Zq8Lw2Vx9Rt4Yb7Nc1";
    fixture.config.gateway.primary = Some(config::Endpoint {
        base_url: "https://gw.example/v1".to_owned(),
        api_key: Some(config::Secret::new(key)),
    });
    let given = json!({
        "prompt": format!("use {key} and s\u{200b}k-Zq8Lw2Vx9Rt4Yb7Nc1"),
        "checks": [{"name": format!("with {key}"), "command": "true"}],
        "labels": {"note": format!("{key}!")},
    });
    let spec = job_spec(args(&fixture, given), &fixture.config).expect("taken");
    assert_eq!(spec.prompt, "use [REDACTED:gateway-key] and [REDACTED:gateway-key]");
    assert_eq!(spec.checks[0].name, "with [REDACTED:gateway-key]");
    assert_eq!(spec.labels["note"], "[REDACTED:gateway-key]!");
}
