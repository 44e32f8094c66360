//! The configuration of runners: which tests run, and what counts.

use codex_worker_policy::ChangeKind;

use crate::diff::{File, Line, Mark};
use crate::findings::{Findings, quote};
use crate::paths;

/// pytest, tox and coverage.
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
/// Runners of JavaScript.
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
/// Cargo.
const RUST: &[&str] =
    &["test = false", "harness = false", "autotests", "doctest = false", "required-features"];
/// nextest.
const NEXTEST: &[&str] =
    &["default-filter", "retries", "filter", "default-test-threads", "slow-timeout", "fail-fast"];
/// Gradle and Maven.
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

/// The keys of a runner's configuration file that decide which tests run and what counts.
fn keys(path: &str) -> Option<&'static [&'static str]> {
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

const REMEDY: &str =
    "restore the runner's configuration; a job that may change it names the file in its scope";

pub fn configuration(file: &File<'_>, findings: &mut Findings<'_>) {
    if paths::base(file.path) == "package.json" {
        package_json(file, findings);
        return;
    }
    let Some(keys) = keys(file.path) else { return };
    let found = table_changed(file).or_else(|| taken_away(file)).or_else(|| key_changed(file, keys));
    if let Some((line, message)) = found {
        findings.add("runner-config-changed", Some((file.path, line)), message, REMEDY);
    }
}

/// A test binary that is no longer one, a crate that replaces another.
fn table_changed(file: &File<'_>) -> Option<(u32, String)> {
    let table = |line: &&Line<'_>| match line.mark {
        Mark::Removed => line.code.trim() == "[[test]]",
        Mark::Added => line.code.trim().starts_with("[patch."),
        Mark::Context => false,
    };
    if !file.existed() || paths::base(file.path) != "Cargo.toml" {
        return None;
    }
    let line = file.lines().find(table)?;
    let same = |other: &Line<'_>| other.code.trim() == line.code.trim();
    if file.lines().any(|other| same(other) && other.mark != line.mark) {
        return None;
    }
    let what = if line.mark == Mark::Removed { "taken out" } else { "added" };
    Some((line.number, format!("{} was {what}, which decides what the tests run on", quote(line.text))))
}

/// A configuration that speaks of nothing but tests is gone.
fn taken_away(file: &File<'_>) -> Option<(u32, String)> {
    let about_tests = !matches!(
        paths::base(file.path),
        "pyproject.toml"
            | "setup.cfg"
            | "Cargo.toml"
            | "build.gradle"
            | "build.gradle.kts"
            | "pom.xml"
            | "vite.config.ts"
            | "vite.config.js"
    );
    let gone = about_tests && matches!(file.file.kind, ChangeKind::Deleted | ChangeKind::Renamed);
    let old = file.file.old_path.as_deref().unwrap_or(file.path);
    gone.then(|| (0, format!("the runner's configuration `{old}` was taken away")))
}

/// What leaves tests out, in a configuration that is new.
const LEAVES_OUT: &[&str] = &[
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

fn key_changed(file: &File<'_>, keys: &[&str]) -> Option<(u32, String)> {
    let cargo = paths::base(file.path) == "Cargo.toml";
    let line = file.lines().find(|line| {
        line.mark != Mark::Context
            && keys.iter().any(|key| has_key(&line.code, key))
            && !(cargo && of_another_target(file, line))
            && (file.existed() || LEAVES_OUT.iter().any(|form| line.code.contains(form)))
    })?;
    let same = |other: &Line<'_>| other.code.trim() == line.code.trim();
    let moved = match line.mark {
        Mark::Added => file.removed().any(same),
        _ => file.added().any(same),
    };
    let what = if line.mark == Mark::Removed { "taken out" } else { "set" };
    (!moved).then(|| {
        (line.number, format!("{} was {what}, which decides which tests run or count", quote(line.text)))
    })
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

fn package_json(file: &File<'_>, findings: &mut Findings<'_>) {
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
                REMEDY,
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
