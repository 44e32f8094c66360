//! What decides how tests run: scripts that swallow failures, the runner's configuration,
//! code that hooks into the runner, printed summaries.

use codex_worker_policy::{ChangeKind, CheckSpec, JobFacts};

use crate::diff::{File, Line, Mark};
use crate::findings::{Findings, named, quote};
use crate::paths::{self, Language};

/// All rules about runners and scripts.
pub fn judge(job: &JobFacts, files: &[File<'_>], findings: &mut Findings<'_>) {
    for file in files {
        if named(job, file.path) {
            continue;
        }
        swallowed(file, &job.checks, findings);
        configuration(file, findings);
        hooks(file, findings);
        fake_summary(file, findings);
    }
}

const COMMANDS: &[&str] = &[
    "test", "pytest", "jest", "vitest", "mocha", "cargo", "go vet", "npm", "pnpm", "yarn", "make", "mvn",
    "gradle", "tsc", "mypy", "ruff", "eslint", "lint", "check", "clippy", "tox", "rspec", "phpunit",
    "dotnet", "ctest", "\"$@\"", "python", "node ",
];

fn swallowed(file: &File<'_>, checks: &[CheckSpec], findings: &mut Findings<'_>) {
    // A check's own script is whatever its command line names.
    let own = checks
        .iter()
        .any(|check| check.command.split_whitespace().any(|word| word.trim_start_matches("./") == file.path));
    if !own && !paths::is_script(file.path) {
        return;
    }
    let lower = file.path.to_ascii_lowercase();
    let about_tests = own
        || ["test", "check", "lint", "verify"].iter().any(|word| lower.contains(word))
        || lower.split(|c: char| !c.is_alphanumeric()).any(|word| word == "ci");
    let swallows = |line: &&Line<'_>| {
        let code = line.code.trim();
        let packed: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
        let runs = own || COMMANDS.iter().any(|command| packed.contains(command));
        let or_true = ["; true", ";true", "; :", "; echo", ";echo", "; exit 0", ";exit 0"]
            .iter()
            .any(|form| packed.contains(form))
            || forgives(&packed, about_tests)
            // Without pipefail the last command of a pipe decides.
            || ["| tee", "| cat", "| tail", "| head", "| grep", "| sed", "| awk"].iter().any(|form| {
                packed.contains(form)
                    && file.removed().any(|old| {
                        let command = packed.split('|').next().unwrap_or_default().trim();
                        !command.is_empty() && old.code.trim() == command
                    })
            })
            || about_tests && packed.ends_with(" &") && !packed.ends_with("&& &");
        let always = [
            "continue-on-error: true",
            "allow_failure: true",
            "ignoreFailures = true",
            "ignoreFailures=true",
            "ignoreFailures true",
            "testFailureIgnore>true",
            "testFailureIgnore=true",
            "-DskipTests",
            "skipTests>true",
            "passWithNoTests",
            "fail-fast: never",
            "failOnError: false",
            "ignore_outcome = true",
            "--exit-zero",
            "--suppress-exit-code",
            "if: false",
            "if: ${{ false }}",
            "when: never",
            "-Dmaven.test.skip",
            "--no-run",
            "--collect-only",
            "--listTests",
            "-run ^$",
            "-run=^$",
            "-run '^$'",
            "--exclude-task test",
        ]
        .iter()
        .any(|form| packed.contains(form));
        let ends = about_tests
            && (packed == "set +e"
                || packed == "exit 0"
                || packed.ends_with("; exit 0")
                || packed.ends_with("&& exit 0") && packed.contains("||")
                || packed == "true"
                || packed.starts_with("trap 'exit 0'")
                || packed.starts_with("trap \"exit 0\"")
                || packed == "set +o pipefail");
        let make =
            paths::base(file.path).eq_ignore_ascii_case("makefile") && line.text.starts_with("\t-") && runs;
        (or_true && runs) || always || ends || make
    };
    let step = |line: &&Line<'_>| {
        let code = line.code.trim();
        ["test", "pytest", "jest", "vitest", "clippy", "lint", "make check"].iter().any(|c| code.contains(c))
            && ["run:", "- run:", "script:", "- "].iter().any(|start| code.starts_with(start))
            && !code.contains("uses:")
            && !code.contains("name:")
    };
    let workflow = file.path.contains(".github/workflows/") || file.path.ends_with(".gitlab-ci.yml");
    if workflow
        && file.existed()
        && !file.added().any(|line| step(&line))
        && let Some(line) = file.removed().find(step)
    {
        findings.add(
            "failure-swallowed",
            Some((file.path, line.number)),
            format!("a step that checks was taken out: {}", quote(line.text)),
            "put the step back; a job that may change this file names it in its scope",
        );
        return;
    }
    if let Some(line) = file.added().find(swallows) {
        // A line that only moved was there before.
        if file.removed().any(|old| old.code.trim() == line.code.trim()) {
            return;
        }
        findings.add(
            "failure-swallowed",
            Some((file.path, line.number)),
            format!("a failure no longer fails: {}", quote(line.text)),
            "let the command's exit code through; a job that may change this script names it in its scope",
        );
    }
}

/// `command || something` where something does not fail either.
fn forgives(packed: &str, about_tests: bool) -> bool {
    packed.split("||").skip(1).any(|rest| {
        let rest = rest.trim().trim_matches(['"', '\'', ')', ',', '}']);
        let known =
            ["true", ":", "exit 0", "return 0", "echo", "/bin/true", "/usr/bin/true", "printf", "cat "];
        if known.iter().any(|form| rest.starts_with(form)) {
            return !rest.contains("exit 1") && !rest.contains("return 1") && !rest.contains("exit $");
        }
        // In a test script anything that does not say how it fails.
        about_tests
            && !rest.is_empty()
            && !["exit", "return", "die", "fail", "false", "{", "(", "abort", "error", "[", "test "]
                .iter()
                .any(|form| rest.starts_with(form))
            && !COMMANDS.iter().any(|command| rest.contains(command))
            && rest.starts_with(|c: char| c.is_ascii_alphabetic())
            && rest.contains('=')
    })
}

/// The keys of a runner's configuration file that decide which tests run and what counts.
fn keys(path: &str) -> Option<&'static [&'static str]> {
    const PYTEST: &[&str] = &[
        "addopts",
        "testpaths",
        "python_files",
        "python_functions",
        "python_classes",
        "norecursedirs",
        "collect_ignore",
        "xfail_strict",
        "fail_under",
        "omit",
        "exclude_lines",
        "usefixtures",
        "required_plugins",
        "-p ",
    ];
    const JS: &[&str] = &[
        "testMatch",
        "testRegex",
        "testPathIgnorePatterns",
        "modulePathIgnorePatterns",
        "roots",
        "coverageThreshold",
        "thresholds",
        "setupFiles",
        "setupFilesAfterEnv",
        "globalSetup",
        "globalTeardown",
        "testRunner",
        "testEnvironment",
        "passWithNoTests",
        "include",
        "exclude",
        "allowOnly",
        "dangerouslyIgnoreUnhandledErrors",
        "retry",
        "retries",
        "spec",
        "ignore",
        "grep",
        "forbidOnly",
        "testNamePattern",
        "testTimeout",
        "bail",
        "testDir",
        "testIgnore",
        "runner",
        "reporters",
        "check-coverage",
        "lines",
        "branches",
    ];
    const RUST: &[&str] =
        &["test = false", "harness = false", "autotests", "doctest = false", "required-features"];
    const NEXTEST: &[&str] =
        &["default-filter", "retries", "filter", "default-test-threads", "slow-timeout", "fail-fast"];
    const JVM: &[&str] = &[
        "exclude",
        "filter",
        "ignoreFailures",
        "skip",
        "includeTags",
        "excludeTags",
        "onlyIf",
        "enabled",
        "failIfNoTests",
        "minimum",
    ];
    let name = paths::base(path);
    let (stem, _) = name.split_once('.').unwrap_or((name, ""));
    Some(match name {
        "pytest.ini" | "tox.ini" | "setup.cfg" | ".coveragerc" | "pyproject.toml" | "pytest.toml"
        | ".pytest.ini" => PYTEST,
        "Cargo.toml" => RUST,
        "nextest.toml" => NEXTEST,
        "build.gradle" | "build.gradle.kts" | "pom.xml" => JVM,
        "phpunit.xml" | "phpunit.xml.dist" => {
            &["testsuite", "directory", "exclude", "failOn", "stopOn", "bootstrap", "file"]
        }
        ".rspec" => &["--tag", "--pattern", "--exclude", "--require", "-r ", "--fail"],
        ".mocharc.js" | ".mocharc.json" | ".mocharc.yml" | ".mocharc.yaml" | ".mocharc.cjs" | ".nycrc"
        | ".nycrc.json" | ".c8rc.json" => JS,
        _ if matches!(
            stem,
            "jest" | "vitest" | "karma" | "cypress" | "playwright" | "ava" | "wdio" | "vite"
        ) && (name.contains(".config.") || name.contains(".conf.") || name.contains(".workspace.")) =>
        {
            JS
        }
        _ => return None,
    })
}

fn configuration(file: &File<'_>, findings: &mut Findings<'_>) {
    let remedy = "put the runner's configuration back; a job that may change it names the file in its scope";
    let name = paths::base(file.path);
    if name == "package.json" {
        package_json(file, remedy, findings);
        return;
    }
    let Some(keys) = keys(file.path) else { return };
    // A test binary that is no longer one, a crate that takes another's place.
    let table = |line: &&Line<'_>| {
        name == "Cargo.toml"
            && (line.mark == Mark::Removed && line.code.trim() == "[[test]]"
                || line.mark == Mark::Added && line.code.trim().starts_with("[patch."))
    };
    if file.existed()
        && let Some(line) = file.lines().find(table)
        && file.lines().filter(|l| l.code.trim() == line.code.trim()).all(|l| l.mark == line.mark)
    {
        let what = if line.mark == Mark::Removed { "taken out" } else { "added" };
        findings.add(
            "runner-config-changed",
            Some((file.path, line.number)),
            format!("{} was {what}, which decides what the tests run on", quote(line.text)),
            remedy,
        );
        return;
    }
    let about_tests = !matches!(
        name,
        "pyproject.toml"
            | "setup.cfg"
            | "Cargo.toml"
            | "build.gradle"
            | "build.gradle.kts"
            | "pom.xml"
            | "vite.config.ts"
            | "vite.config.js"
    );
    if matches!(file.file.kind, ChangeKind::Deleted | ChangeKind::Renamed) && about_tests {
        findings.add(
            "runner-config-changed",
            Some((file.path, 0)),
            format!(
                "the runner's configuration `{}` was taken away",
                file.file.old_path.as_deref().unwrap_or(file.path)
            ),
            remedy,
        );
        return;
    }
    // A new configuration is only of interest where it leaves tests out.
    let leaves_out = [
        "--ignore",
        "-k ",
        "-k=",
        "--deselect",
        "not ",
        "norecursedirs",
        "collect_ignore",
        "IgnorePatterns",
        "exclude",
        "passWithNoTests",
        "testIgnore",
        "test = false",
        "harness = false",
        "autotests = false",
        "-p no:",
        "ignoreFailures",
    ];
    let hit = |line: &&Line<'_>| {
        if line.mark == Mark::Context
            || !keys.iter().any(|key| has_key(&line.code, key))
            || name == "Cargo.toml" && of_another_target(file, line)
        {
            return false;
        }
        file.existed() || leaves_out.iter().any(|form| line.code.contains(form))
    };
    if let Some(line) = file.lines().find(hit) {
        let moved = line.mark == Mark::Added && file.removed().any(|old| old.code.trim() == line.code.trim())
            || line.mark == Mark::Removed && file.added().any(|new| new.code.trim() == line.code.trim());
        if !moved {
            let what = if line.mark == Mark::Removed { "taken out" } else { "set" };
            findings.add(
                "runner-config-changed",
                Some((file.path, line.number)),
                format!("{} was {what}, which decides which tests run or count", quote(line.text)),
                remedy,
            );
        }
    }
}

/// `harness = false` of a benchmark says nothing about tests.
fn of_another_target(file: &File<'_>, line: &Line<'_>) -> bool {
    let Some(hunk) = file.hunks.iter().find(|hunk| hunk.iter().any(|l| std::ptr::eq(l, line))) else {
        return false;
    };
    let above = hunk.iter().take_while(|l| !std::ptr::eq(*l, line)).map(|l| l.code.trim());
    match above.filter(|code| code.starts_with('[')).last() {
        Some(table) => matches!(table, "[[bench]]" | "[[bin]]" | "[[example]]"),
        // Programs need features more often than tests do.
        None => line.code.contains("required-features"),
    }
}

/// The key as a word of its own: `"retry"`, `retry:`, `retry =`, `<retry>`.
fn has_key(code: &str, key: &str) -> bool {
    if key.contains([' ', '-']) {
        return code.contains(key);
    }
    code.match_indices(key).any(|(at, _)| {
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        let before = code[..at].chars().next_back().is_none_or(|c| !word(c));
        let rest = &code[at + key.len()..];
        let after = rest.chars().next().is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '_' | '-')));
        let value = rest.trim_start_matches(['"', '\'']).trim_start();
        before && after && value.starts_with([':', '=', '>', '{', '(', ' ', '"'])
    })
}

fn package_json(file: &File<'_>, remedy: &str, findings: &mut Findings<'_>) {
    if !file.existed() {
        return;
    }
    // A script that is only added takes nothing away; one that is changed or removed may.
    let key = |text: &str| -> Option<String> {
        let rest = text.trim().strip_prefix('"')?;
        let (key, rest) = rest.split_once('"')?;
        rest.trim_start().starts_with(':').then(|| key.to_string())
    };
    let tests = |key: &str| {
        matches!(key, "test" | "pretest" | "posttest" | "jest" | "vitest" | "mocha" | "nyc" | "c8" | "ava")
            || key.starts_with("test:")
    };
    let runner = [
        "testMatch",
        "testRegex",
        "testPathIgnorePatterns",
        "coverageThreshold",
        "setupFiles",
        "setupFilesAfterEnv",
        "passWithNoTests",
        "globalSetup",
    ];
    for line in file.lines().filter(|line| line.mark != Mark::Context) {
        let Some(key) = key(line.text) else { continue };
        let other = if line.mark == Mark::Added { Mark::Removed } else { Mark::Added };
        let plain = |text: &str| text.trim().trim_end_matches(',').to_string();
        let same = file.lines().any(|l| l.mark == other && plain(l.text) == plain(line.text));
        let changed = line.mark == Mark::Removed || matches!(key.as_str(), "pretest" | "posttest");
        if !same && ((tests(&key) && changed && !is_version(line.text)) || runner.contains(&key.as_str())) {
            findings.add(
                "runner-config-changed",
                Some((file.path, line.number)),
                format!("{} was changed, which decides how tests run", quote(line.text)),
                remedy,
            );
            return;
        }
    }
}

/// `"jest": "^29.0.0"` is a dependency.
fn is_version(text: &str) -> bool {
    text.split_once(':').is_some_and(|(_, value)| {
        value
            .trim()
            .trim_matches(['"', ',', ' '])
            .trim_start_matches(['^', '~', '=', '>', '<', 'v'])
            .starts_with(|c: char| c.is_ascii_digit())
    })
}

fn hooks(file: &File<'_>, findings: &mut Findings<'_>) {
    let name = paths::base(file.path);
    let remedy = "take the hook out; a job that may change how tests are run names this file in its scope";
    let gone = file.file.new_kind == codex_worker_policy::FileKind::Absent;
    if !gone && (matches!(name, "sitecustomize.py" | "usercustomize.py") || name.ends_with(".pth")) {
        findings.add(
            "runner-hooked",
            Some((file.path, 0)),
            format!("`{}` runs in every Python process before the tests", file.path),
            remedy,
        );
        return;
    }
    let shadows = matches!(
        name,
        "pytest.py" | "_pytest.py" | "unittest.py" | "pluggy.py" | "doctest.py" | "hypothesis.py" | "nose.py"
    ) || [
        "unittest/__init__.py",
        "pytest/__init__.py",
        "_pytest/__init__.py",
        "pluggy/__init__.py",
    ]
    .iter()
    .any(|module| file.path == *module || file.path == format!("src/{module}"));
    if !gone && file.file.kind == ChangeKind::Added && shadows {
        findings.add(
            "runner-hooked",
            Some((file.path, 0)),
            format!("`{}` stands in for the test runner's own module", file.path),
            remedy,
        );
        return;
    }
    if !gone && file.file.ignored {
        // Nobody sees it in the diff, and the runner reads it all the same.
        findings.add(
            "runner-hooked",
            Some((file.path, 0)),
            format!("`{}` steers the tests and is hidden by an ignore rule", file.path),
            remedy,
        );
        return;
    }
    // A module called `build` lies among the sources; a build script beside the manifest.
    let script = name == "build.rs" && !file.path.starts_with("src/") && !file.path.contains("/src/");
    if file.file.kind == ChangeKind::Added && script {
        findings.add(
            "runner-hooked",
            Some((file.path, 0)),
            format!("`{}` is new, and runs before every build", file.path),
            remedy,
        );
        return;
    }
    let setup =
        name.contains("setup") || matches!(name, "conftest.py" | "spec_helper.rb" | "rails_helper.rb");
    let conftest = name == "conftest.py" || file.added().any(|line| line.bare.contains("pytest_plugins"));
    let hit = |line: &&Line<'_>| {
        let (code, bare) = (line.code.as_ref(), line.bare.trim_start());
        // What stands in a string is data, such as a test's own source of a cheat.
        let any = |forms: &[&str]| forms.iter().any(|form| line.bare.contains(form));
        let python = conftest
            && [
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
            ]
            .iter()
            .any(|hook| bare.starts_with(&format!("def {hook}")))
            || (conftest || file.in_tests)
                && any(&[
                    "force_result(",
                    ".outcome = ",
                    "rep.outcome",
                    "os._exit(",
                    "TestReport.",
                    "collect_ignore",
                    "def load_tests(",
                ])
            || file.language == Language::Python
                && (any(&[
                    "atexit.register(os._exit",
                    "unittest.TestCase.assert",
                    "builtins.AssertionError",
                ]) || any(&["os._exit(0)"]) && !file.lines().any(|l| l.code.contains("fork(")));
        let asserts = file.language == Language::Rust
            && bare.starts_with("macro_rules! assert")
            && !bare.starts_with("macro_rules! assert_matches")
            && ["assert", "assert_eq", "assert_ne"]
                .iter()
                .any(|name| bare["macro_rules! ".len()..].trim_end_matches(['{', '(', ' ']) == *name)
            || file.language == Language::JavaScript
                && any(&[
                    "assert.equal = ",
                    "assert.strictEqual = ",
                    "assert.deepEqual = ",
                    "assert.ok = ",
                    "assert.deepStrictEqual = ",
                    "Object.is = ",
                    "expect.prototype",
                ]);
        // Without `m.Run` not one test of the package runs, and the exit code is 0.
        let test_main = file.language == Language::Go
            && bare.starts_with("func TestMain(")
            && !file.added().any(|l| l.bare.contains(".Run()"));
        let in_tests = (file.in_tests || setup)
            && any(&[
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
            ])
            && !file.language.eq(&Language::Prose);
        let environment = matches!(
            file.language,
            Language::Shell | Language::Config | Language::Data | Language::Python | Language::JavaScript
        ) && ([
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
            || (code.contains("NODE_OPTIONS")
                && (code.contains("--require") || code.contains("--import") || code.contains("-r "))));
        let cargo = (file.path.ends_with(".cargo/config.toml") || file.path.ends_with(".cargo/config"))
            && ["runner", "rustc-wrapper", "rustc", "rustdoc", "linker"]
                .iter()
                .any(|key| bare.starts_with(key) && bare.contains('='));
        python || in_tests || environment || cargo || asserts || test_main
    };
    if let Some(line) = file.added().find(hit) {
        findings.add(
            "runner-hooked",
            Some((file.path, line.number)),
            format!("code that steps into the runner: {}", quote(line.text)),
            remedy,
        );
    }
}

/// A printed line that a reader of the log would take for a runner's.
fn fake_summary(file: &File<'_>, findings: &mut Findings<'_>) {
    let prints = [
        "print(",
        "echo ",
        "console.log(",
        "println!(",
        "print!(",
        "Println(",
        "Printf(",
        "printf ",
        "printf(",
        "println(",
        "puts ",
        "stdout.write(",
        "write-host",
        "Write-Output",
        "@echo",
        "fputs(",
    ];
    let hit = |line: &&Line<'_>| {
        let code: &str = line.code.as_ref();
        // A summary stands in quotes, but for a shell.
        let shell = matches!(file.language, Language::Shell | Language::Config);
        (shell || code.contains(['"', '\'', '`']))
            && prints.iter().any(|print| if shell { code.contains(print) } else { line.bare.contains(print) })
            && holds_summary(code)
    };
    if let Some(line) = file.added().find(hit) {
        findings.add(
            "fake-summary",
            Some((file.path, line.number)),
            format!("a test summary is printed by hand: {}", quote(line.text)),
            "take the printed summary out, and let the runner report",
        );
    }
}

fn holds_summary(code: &str) -> bool {
    if ["test result: ok", "BUILD SUCCESS", "100% tests passed", "Failures: 0, Errors: 0"]
        .iter()
        .any(|form| code.contains(form))
    {
        return true;
    }
    [" passed", " passing", " tests passed", " test passed", " examples, 0 failures"].iter().any(|word| {
        code.match_indices(word).any(|(at, _)| code[..at].ends_with(|c: char| c.is_ascii_digit()))
    }) || code.match_indices("Ran ").any(|(at, _)| {
        let rest = &code[at + 4..];
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains(" test")
    })
}
