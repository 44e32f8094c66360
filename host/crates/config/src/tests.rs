//! Layers, names, error texts and the documented example.

use std::path::{Path, PathBuf};

use super::*;

const EXAMPLE: &str = include_str!("../../../../examples/codex-worker.toml");

fn load(env: &[(&str, &str)], file: Option<&str>, set: &[(&str, &str)]) -> Result<(Config, Sources)> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    if let Some(text) = file {
        std::fs::write(dir.path().join("codex-worker.toml"), text).expect("the file is written");
    }
    let cli = Overrides {
        home: Some(dir.path().to_owned()),
        set: set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..Overrides::default()
    };
    Config::load_from(cli, env.iter().copied().collect())
}

/// The error's text with the temporary directory taken out.
fn error(env: &[(&str, &str)], file: Option<&str>, set: &[(&str, &str)]) -> String {
    let text = load(env, file, set).expect_err("this must be refused").to_string();
    text.split_whitespace()
        .map(|word| if word.contains("/codex-worker.toml") { "FILE" } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

fn shown<'a>(sources: &'a Sources, key: &str) -> &'a Shown {
    sources.iter().find(|shown| shown.key == key).expect("the key is listed")
}

#[test]
fn each_layer_beats_the_one_below() {
    let file = "[jobs]\nmax_running = 7\n";
    let env = [("MAX_RUNNING_JOBS", "8")];
    let set = [("jobs.max_running", "9")];
    let cases: [(&[_], Option<&str>, &[_], u32, &str); 4] = [
        (&[], None, &[], 4, "default"),
        (&[], Some(file), &[], 7, "codex-worker.toml"),
        (&env, Some(file), &[], 8, "environment MAX_RUNNING_JOBS"),
        (&env, Some(file), &set, 9, "command line"),
    ];
    for (env, file, set, expected, source) in cases {
        let (config, sources) = load(env, file, set).expect("it loads");
        assert_eq!(config.max_running_jobs, expected);
        let seen = shown(&sources, "jobs.max_running").source.to_string();
        assert!(seen.ends_with(source), "{seen} is not {source}");
    }
}

#[test]
fn upstream_names_work_and_the_first_alias_wins() {
    let (config, _) = load(
        &[
            ("SANDBOX_ROOT", "/srv/code"),
            ("ANTHROPIC_BASE_URL", "http://second.example"),
            ("ONEAPI_BASE_URL", "http://first.example/v1/"),
            ("ANTHROPIC_API_KEY", "sk-anthropic"),
            ("ONEAPI_API_KEY", ""),
            ("ANTHROPIC_MODEL", "m1"),
            ("CLAUDE_CODE_MODEL", "sonnet"),
            ("CLAUDE_PERMISSION_MODE", "plan"),
            ("USE_OPENAI_ADAPTER", "0"),
            ("WAIT_DEFAULT_MS", "1800000"),
            ("DIFF_MAX_BYTES", "123"),
            ("INCLUDE_DIFF_DEFAULT", "true"),
            ("CHECK_OUTPUT_RESPONSE_MAX", "77"),
            ("WORKER_METRICS_FILE", "/tmp/m.jsonl"),
            ("WORKER_ESCALATE_MODEL", "big"),
            ("WORKER_ISOLATION", "worktree"),
            ("WORKER_LITE_MODEL", "small"),
            ("FALLBACK_BASE_URL", "https://other.example"),
            ("FALLBACK_API_KEY", "fallback-key"),
            ("FALLBACK_MODEL", "a, b"),
            ("ALLOW_BYPASS_PERMISSIONS", "1"),
            ("WORKER_PRICE_INPUT", "0.27"),
            ("WORKER_PRICE_OUTPUT", "1.1"),
            ("WORKER_PRICE_CACHE", "0.07"),
        ],
        None,
        &[],
    )
    .expect("it loads");
    let primary = config.gateway.primary.expect("a gateway");
    assert_eq!(primary.base_url, "http://first.example/v1");
    assert_eq!(primary.api_key.expect("a key").expose(), "sk-anthropic");
    assert_eq!(config.gateway.model.as_deref(), Some("m1"));
    assert!(!config.gateway.use_openai_adapter);
    assert_eq!(config.gateway.lite_model.as_deref(), Some("small"));
    assert_eq!(config.gateway.fallback_models, ["a", "b"]);
    let fallback = config.gateway.fallback.expect("a fallback");
    assert_eq!(fallback.api_key.expect("a key").expose(), "fallback-key");
    assert_eq!(config.sandbox_root.as_deref(), Some(Path::new("/srv/code")));
    assert_eq!(config.agent.claude_code_model.as_deref(), Some("sonnet"));
    assert_eq!(config.agent.permission_mode, model::spec::PermissionMode::Plan);
    assert_eq!(config.agent.escalate_model.as_deref(), Some("big"));
    assert!(config.agent.allow_bypass);
    assert_eq!(config.isolation, Isolation::Worktree);
    assert_eq!(config.wait_default, Duration::from_secs(1800));
    assert_eq!((config.diff_max_bytes, config.include_diff, config.check_output_max), (123, true, 77));
    assert_eq!(config.metrics_file, Path::new("/tmp/m.jsonl"));
    assert_eq!(config.prices, Prices { input: Some(0.27), output: Some(1.1), cache: Some(0.07) });
}

#[test]
fn a_bad_value_names_the_variable_the_value_and_what_is_accepted() {
    let cases: &[(&[(&str, &str)], Option<&str>, &[(&str, &str)], &str)] = &[
        (
            &[("MAX_RUNNING_JOBS", "500")],
            None,
            &[],
            "MAX_RUNNING_JOBS is \"500\", which is not a whole number from 1 to 100",
        ),
        (
            &[("CLAUDE_PERMISSION_MODE", "acceptEdit")],
            None,
            &[],
            "CLAUDE_PERMISSION_MODE is \"acceptEdit\", which is not one of default, acceptEdits, plan, \
             bypassPermissions hint: CLAUDE_PERMISSION_MODE: for jobs that do not say hint: did you mean acceptEdits?",
        ),
        (
            &[("USE_OPENAI_ADAPTER", "maybe")],
            None,
            &[],
            "USE_OPENAI_ADAPTER is \"maybe\", which is not 1 or 0",
        ),
        (&[("SANDBOX_ROOT", "src")], None, &[], "SANDBOX_ROOT is \"src\", which is not an absolute path"),
        (&[("ONEAPI_BASE_URL", "gateway.example")], None, &[], "which is not a URL that begins with http://"),
        (&[("FALLBACK_MODELS", "a,b,c,d")], None, &[], "which is not at most 3 names"),
        (&[("WORKER_PRICE_INPUT", "-1")], None, &[], "WORKER_PRICE_INPUT is \"-1\", which is not a number"),
        (
            &[],
            Some("[jobs]\nmax_runing = 3\n"),
            &[],
            "unknown setting jobs.max_runing in FILE hint: did you mean jobs.max_running?",
        ),
        (&[], Some("[jobs]\nmax_running = \"3\"\n"), &[], "jobs.max_running in FILE is"),
        (&[], Some("sandbox_root = \n"), &[], "is not valid TOML"),
        (&[], Some("x = 1\ny = [\n"), &[], "look at line 2"),
        (&[], None, &[("jobs.max_runing", "3")], "unknown setting jobs.max_runing in --set"),
    ];
    for (env, file, set, expected) in cases {
        let seen = error(env, *file, set);
        let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(seen.contains(&expected), "{seen}\ndoes not contain\n{expected}");
    }
}

#[test]
fn secrets_are_collected_and_never_shown() {
    let env = [
        ("ONEAPI_API_KEY", "gateway-secret"),
        ("GITHUB_TOKEN", "ghp_0123456789"),
        ("DB_PASSWORD", "short"),
        ("MY_AUTH", "authvalue1"),
        ("SSH_AUTH_SOCK", "/"),
        ("DATABASE_URL", "jdbc:postgresql://u:db%40password@h/db"),
        ("MONGO", "mongodb://u:mongo-pw@h1:27017,h2:27017/db"),
        ("HTTPS_PROXY", "http://me:proxy-pw@proxy.example:3128"),
        ("EDITOR", "not-a-secret"),
    ];
    let (config, sources) = load(&env, None, &[]).expect("it loads");
    let mut names: Vec<&str> = config.known_secrets.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "DATABASE_URL",
            "DATABASE_URL",
            "GITHUB_TOKEN",
            "HTTPS_PROXY",
            "MONGO",
            "MY_AUTH",
            "gateway.api_key"
        ]
    );
    let everything = format!("{config:?} {sources:?}");
    for secret in ["gateway-secret", "ghp_0123456789", "authvalue1", "proxy-pw", "db@password", "mongo-pw"] {
        assert!(!everything.contains(secret), "{secret} is shown");
    }
}

#[test]
fn the_key_comes_from_another_variable_or_a_file_of_the_owner() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("gateway.key");
    std::fs::write(&file, "key-of-the-file\n").expect("writable");
    let mode = |mode| {
        #[cfg(unix)]
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("mode");
    };
    let name = file.display().to_string();
    let given =
        format!("[gateway]\nbase_url = \"http://g\"\napi_key_env = \"MY_KEY\"\napi_key_file = {name:?}\n");
    let key = |env: &[(&str, &str)]| {
        let (config, sources) = load(env, Some(&given), &[]).expect("it loads");
        let primary = config.gateway.primary.and_then(|primary| primary.api_key).expect("a key");
        assert!(config.known_secrets.iter().any(|(_, known)| known.expose() == primary.expose()));
        (primary.expose().to_owned(), shown(&sources, "gateway.api_key").source.to_string())
    };
    mode(0o600);
    assert_eq!(key(&[]), ("key-of-the-file".to_owned(), name.clone()));
    assert_eq!(key(&[("MY_KEY", "of-mine")]), ("of-mine".to_owned(), "environment MY_KEY".to_owned()));
    let both = [("MY_KEY", "of-mine"), ("ONEAPI_API_KEY", "first-key")];
    assert_eq!(key(&both), ("first-key".to_owned(), "environment ONEAPI_API_KEY".to_owned()));
    mode(0o644);
    let open = load(&[], Some(&given), &[]).expect_err("others may read it").to_string();
    assert!(open.contains(&format!("hint: chmod 600 {name}")), "{open}");
    std::fs::remove_file(&file).expect("removed");
    let none = load(&[], Some(&given), &[]).expect_err("there is no file").to_string();
    assert!(none.contains("codex-worker setup --key file"), "{none}");
}

#[test]
fn the_example_parses_and_holds_every_key() {
    // Commented-out lines count: they show settings without a default.
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("#") {
            Some(rest) if !rest.starts_with([' ', '#']) => rest,
            _ => line,
        })
        .fold(String::new(), |all, line| all + line + "\n");
    let env = [("HOME", "/home/me")];
    for text in [EXAMPLE, uncommented.as_str()] {
        if let Err(error) = load(&env, Some(text), &[]) {
            panic!("examples/codex-worker.toml: {error}");
        }
    }
    let (_, sources) = load(&env, Some(&uncommented), &[]).expect("it loads");
    for setting in SETTINGS {
        let shown = shown(&sources, setting.key);
        assert!(matches!(shown.source, Source::File(_)), "{} is not in the example", setting.key);
        for name in setting.env {
            assert!(EXAMPLE.contains(name), "{name} is not named in the example");
        }
    }
    assert!(sources.iter().any(|shown| shown.key.starts_with("plugins.")), "no plugin table in the example");
}

#[test]
fn the_example_shows_the_defaults() {
    let (defaults, _) = load(&[], None, &[]).expect("it loads");
    let (example, _) = load(&[("HOME", "/home/me")], Some(EXAMPLE), &[]).expect("it loads");
    let without = |config: &Config| {
        let mut config = config.clone();
        config.sandbox_root = None;
        config.plugin_config.clear();
        config.config_file = None;
        config.env = Env::default();
        config.cli = Overrides::default();
        let home = config.home.display().to_string();
        format!("{config:#?}").replace(&home, "HOME")
    };
    let mut example_gateway = example.clone();
    example_gateway.gateway = defaults.gateway.clone();
    assert_eq!(without(&defaults), without(&example_gateway));
}

#[test]
fn directories_by_platform() {
    let load = |env: &[(&str, &str)]| {
        Config::load_from(Overrides::default(), env.iter().copied().collect()).map(|(config, _)| config.home)
    };
    assert_eq!(
        load(&[("CODEX_WORKER_HOME", "/state"), ("HOME", "/none")]).expect("it loads"),
        PathBuf::from("/state")
    );
    if cfg!(target_os = "linux") {
        assert_eq!(
            load(&[("HOME", "/none")]).expect("it loads"),
            PathBuf::from("/none/.local/state/codex-worker")
        );
        assert_eq!(
            load(&[("HOME", "/none"), ("XDG_STATE_HOME", "/st")]).expect("it loads"),
            PathBuf::from("/st/codex-worker")
        );
    }
    assert!(load(&[]).expect_err("no home").to_string().contains("CODEX_WORKER_HOME"));
    assert!(load(&[("CODEX_WORKER_HOME", "rel")]).is_err());
}

#[test]
fn overrides_survive_the_way_to_a_worker() {
    let cli = Overrides {
        home: Some("/state".into()),
        config: Some("/c.toml".into()),
        set: [("jobs.max_running".to_owned(), "2".to_owned())].into(),
    };
    let args: Vec<String> = cli.to_args().into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    assert_eq!(args, ["--home", "/state", "--config", "/c.toml", "--set", "jobs.max_running=2"]);
}

/// Whoever comes from the upstream project looks for these names in the README.
#[test]
fn the_readme_names_every_variable_of_the_upstream_project_and_our_own() {
    let readme = include_str!("../../../../README.md");
    for name in [
        "SANDBOX_ROOT",
        "ONEAPI_BASE_URL",
        "ANTHROPIC_BASE_URL",
        "ONEAPI_API_KEY",
        "ANTHROPIC_API_KEY",
        "CLAUDE_MODEL",
        "ANTHROPIC_MODEL",
        "CLAUDE_CODE_MODEL",
        "CLAUDE_PERMISSION_MODE",
        "USE_OPENAI_ADAPTER",
        "WAIT_DEFAULT_MS",
        "MAX_RUNNING_JOBS",
        "DIFF_MAX_BYTES",
        "INCLUDE_DIFF_DEFAULT",
        "CHECK_OUTPUT_RESPONSE_MAX",
        "WORKER_METRICS_FILE",
        "WORKER_ESCALATE_MODEL",
        "WORKER_ISOLATION",
        "WORKER_LITE_MODEL",
        "FALLBACK_BASE_URL",
        "FALLBACK_API_KEY",
        "FALLBACK_MODEL",
        "FALLBACK_MODELS",
        "ALLOW_BYPASS_PERMISSIONS",
        "WORKER_PRICE_INPUT",
        "WORKER_PRICE_OUTPUT",
        "WORKER_PRICE_CACHE",
        "CODEX_WORKER_HOME",
        "CODEX_WORKER_PLUGINS",
        "CODEX_WORKER_CONFIG",
        "AGENT",
        "AGENT_COMMAND",
        "CLAUDE_BIN",
        "ADAPTER_TOKEN",
    ] {
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in README.md");
        let ours = ["CODEX_WORKER_HOME", "CODEX_WORKER_CONFIG"].contains(&name);
        let known = SETTINGS.iter().any(|setting| setting.env.contains(&name));
        assert!(known || ours, "{name} is no setting");
    }
}
