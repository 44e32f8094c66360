//! Code that steps into the runner: files that it reads by their very name, hooks, replaced
//! assertions, early exits, environment variables that name other programs.

use codex_worker_policy::{ChangeKind, FileKind};

use crate::diff::{File, Line};
use crate::findings::{Findings, quote};
use crate::paths::{self, Language};

pub fn hooks(file: &File<'_>, findings: &mut Findings<'_>) {
    let remedy = "take the hook out; a job that may change how tests are run names this file in its scope";
    let conftest = paths::base(file.path) == "conftest.py"
        || file.added().any(|line| line.bare.contains("pytest_plugins"));
    let found = match by_name(file) {
        Some(message) => Some((0, message)),
        None => file
            .added()
            .find(|line| steps_in(file, line, conftest))
            .map(|line| (line.number, format!("code that steps into the runner: {}", quote(line.text)))),
    };
    if let Some((line, message)) = found {
        findings.add("runner-hooked", Some((file.path, line)), message, remedy);
    }
}

/// Files that run because of what they are called.
fn by_name(file: &File<'_>) -> Option<String> {
    let (name, path) = (paths::base(file.path), file.path);
    if file.file.new_kind == FileKind::Absent {
        return None;
    }
    let new = file.file.kind == ChangeKind::Added;
    if matches!(name, "sitecustomize.py" | "usercustomize.py") || name.ends_with(".pth") {
        return Some(format!("`{path}` runs in every Python process before the tests"));
    }
    if new && shadows_a_runner(path) {
        return Some(format!("`{path}` stands in for the test runner's own module"));
    }
    if file.file.ignored {
        // Nobody sees it in the diff, and the runner reads it all the same.
        return Some(format!("`{path}` steers the tests and is hidden by an ignore rule"));
    }
    // A module called `build` is among the sources; a build script is beside the manifest.
    let script = name == "build.rs" && !path.starts_with("src/") && !path.contains("/src/");
    (new && script).then(|| format!("`{path}` is new, and runs before every build"))
}

fn shadows_a_runner(path: &str) -> bool {
    matches!(
        paths::base(path),
        "pytest.py" | "_pytest.py" | "unittest.py" | "pluggy.py" | "doctest.py" | "hypothesis.py" | "nose.py"
    ) || ["unittest/__init__.py", "pytest/__init__.py", "_pytest/__init__.py", "pluggy/__init__.py"]
        .iter()
        .any(|module| path == *module || path.strip_prefix("src/") == Some(module))
}

fn steps_in(file: &File<'_>, line: &Line<'_>, conftest: bool) -> bool {
    python_hook(file, line, conftest)
        || replaces_assertions(file.language, line)
        || empty_test_main(file, line)
        || ends_early(file, line)
        || names_other_programs(file, line)
}

/// Text in a string is data, such as a test's own source of a cheat.
fn bare_holds(line: &Line<'_>, forms: &[&str]) -> bool {
    forms.iter().any(|form| line.bare.contains(form))
}

fn python_hook(file: &File<'_>, line: &Line<'_>, conftest: bool) -> bool {
    const HOOKS: &[&str] = &[
        "pytest_runtest_",
        "pytest_collection_",
        "pytest_sessionfinish",
        "pytest_pyfunc_call",
        "pytest_report_teststatus",
        "pytest_ignore_collect",
        "pytest_collect_file",
        "pytest_terminal_summary",
        "pytest_exception_interact",
        "pytest_assertrepr_compare",
        "pytest_cmdline_main",
        "pytest_unconfigure",
    ];
    const OUTCOMES: &[&str] = &[
        "force_result(",
        ".outcome = ",
        "rep.outcome",
        "os._exit(",
        "TestReport.",
        "collect_ignore",
        "def load_tests(",
    ];
    let defined = line.bare.trim_start().strip_prefix("def ");
    let hook = defined.is_some_and(|name| HOOKS.iter().any(|hook| name.starts_with(hook)));
    let forks = || file.lines().any(|line| line.code.contains("fork("));
    conftest && hook
        || (conftest || file.in_tests) && bare_holds(line, OUTCOMES)
        || file.language == Language::Python
            && (bare_holds(
                line,
                &["atexit.register(os._exit", "unittest.TestCase.assert", "builtins.AssertionError"],
            ) || bare_holds(line, &["os._exit(0)"]) && !forks())
}

fn replaces_assertions(language: Language, line: &Line<'_>) -> bool {
    match language {
        Language::Rust => line.bare.trim_start().strip_prefix("macro_rules! ").is_some_and(|name| {
            matches!(name.trim_end_matches(['{', '(', ' ']), "assert" | "assert_eq" | "assert_ne")
        }),
        Language::JavaScript => bare_holds(
            line,
            &[
                "assert.equal = ",
                "assert.strictEqual = ",
                "assert.deepEqual = ",
                "assert.ok = ",
                "assert.deepStrictEqual = ",
                "Object.is = ",
                "expect.prototype",
            ],
        ),
        _ => false,
    }
}

/// Without `m.Run` not one test of the package runs, and the exit code is 0.
fn empty_test_main(file: &File<'_>, line: &Line<'_>) -> bool {
    file.language == Language::Go
        && line.bare.trim_start().starts_with("func TestMain(")
        && !file.added().any(|line| line.bare.contains(".Run()"))
}

/// The process ends well, or the functions that define tests are others.
fn ends_early(file: &File<'_>, line: &Line<'_>) -> bool {
    let name = paths::base(file.path);
    let setup =
        name.contains("setup") || matches!(name, "conftest.py" | "spec_helper.rb" | "rails_helper.rb");
    (file.in_tests || setup)
        && file.language != Language::Prose
        && bare_holds(
            line,
            &[
                "process.exit(0",
                "process.exitCode = 0",
                "os.Exit(0)",
                "sys.exit(0)",
                "std::process::exit(0",
                "System.exit(0",
                "global.expect =",
                "globalThis.expect =",
                "global.it =",
                "globalThis.it =",
                "global.test =",
                "globalThis.test =",
                "global.describe =",
                "globalThis.describe =",
                "unittest.TestCase.assert",
                "at_exit { exit! 0",
            ],
        )
}

/// Variables and keys by which another program runs before or instead of the tests.
fn names_other_programs(file: &File<'_>, line: &Line<'_>) -> bool {
    let (code, bare) = (line.code.as_ref(), line.bare.trim_start());
    let can_set = matches!(
        file.language,
        Language::Shell | Language::Config | Language::Data | Language::Python | Language::JavaScript
    );
    let variable = [
        "LD_PRELOAD",
        "DYLD_INSERT_LIBRARIES",
        "PYTHONSTARTUP",
        "PYTEST_ADDOPTS",
        "PYTEST_PLUGINS",
        "RUSTC_WRAPPER",
        "RUSTDOC_WRAPPER",
        "node-options",
    ]
    .iter()
    .any(|name| code.contains(name))
        || code.contains("CARGO_TARGET_") && code.contains("_RUNNER")
        || code.contains("NODE_OPTIONS")
            && ["--require", "--import", "-r "].iter().any(|option| code.contains(option));
    let cargo = (file.path.ends_with(".cargo/config.toml") || file.path.ends_with(".cargo/config"))
        && ["runner", "rustc-wrapper", "rustc", "rustdoc", "linker"]
            .iter()
            .any(|key| bare.starts_with(key) && bare.contains('='));
    can_set && variable || cargo
}
