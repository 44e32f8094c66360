//! Which of the changed files the guarded run puts back to the base version: existing tests,
//! their expectations and the runner's configuration, so that passing says something about
//! the code and not about the tests. Pure.
//!
//! Added tests stay: they may only make it harder. Added runner configuration (a new
//! `conftest.py`, `sitecustomize.py`) goes: it may change what the old tests say. A manifest
//! (`package.json`, `Makefile`) is put back only if its changed lines speak of tests, because
//! a new dependency is honest work. A file that the scope names exactly is the planner's wish
//! and stays as the agent left it.

use crate::policy::types::{ChangeKind, ChangedFile, FileKind};

/// What to do with the changed files before a guarded run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Paths to be put back from the base tree.
    pub restore: Vec<String>,
    /// Paths to be removed.
    pub remove: Vec<String>,
}

impl Guard {
    /// Nothing would differ from the ordinary run.
    pub fn is_empty(&self) -> bool {
        self.restore.is_empty() && self.remove.is_empty()
    }
}

/// The guard for these changes; `scope` is the declared scope's paths.
pub fn of(files: &[ChangedFile], scope: &[String]) -> Guard {
    let mut guard = Guard::default();
    let named = |path: &str| scope.iter().any(|entry| entry.trim_start_matches("./") == path);
    for file in files.iter().filter(|file| !file.ignored) {
        let before = file.old_path.as_deref().unwrap_or(&file.path);
        let existed = file.old_kind != FileKind::Absent;
        let judges = is_test(before)
            || is_runner_configuration(before)
            || (is_manifest(before) && touches_tests(file));
        if existed && judges && !named(before) {
            guard.restore.push(before.to_owned());
            // The renamed copy would be run twice, or hide the one put back.
            if file.kind == ChangeKind::Renamed && is_judge(&file.path) {
                guard.remove.push(file.path.clone());
            }
        } else if !existed && is_runner_configuration(&file.path) && !named(&file.path) {
            guard.remove.push(file.path.clone());
        }
    }
    guard
}

fn is_judge(path: &str) -> bool {
    is_test(path) || is_runner_configuration(path)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A test or what it is compared with, by the habits of the common runners.
pub fn is_test(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = file_name(&lower);
    let stem = name.split('.').next().unwrap_or(name);
    let in_directory = lower.split('/').rev().skip(1).any(|part| {
        matches!(
            part,
            "test"
                | "tests"
                | "__tests__"
                | "spec"
                | "specs"
                | "testdata"
                | "__snapshots__"
                | "snapshots"
                | "golden"
                | "e2e"
        )
    });
    in_directory
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem.ends_with("_spec")
        || name.contains(".test.")
        || name.contains(".spec.")
        || name.ends_with(".snap")
        || is_class_test(file_name(path))
}

/// `FooTest.java`, `FooTests.cs`, `FooIT.java`.
fn is_class_test(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    matches!(extension, "java" | "kt" | "cs" | "scala" | "swift" | "groovy" | "php")
        && (stem.ends_with("Test") || stem.ends_with("Tests") || stem.ends_with("IT"))
}

/// A file that decides which tests run and how, and nothing else.
pub fn is_runner_configuration(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = file_name(&lower);
    const NAMES: &[&str] = &[
        "conftest.py",
        "sitecustomize.py",
        "usercustomize.py",
        "pytest.ini",
        "tox.ini",
        "noxfile.py",
        ".coveragerc",
        "karma.conf.js",
        ".mocharc.json",
        ".mocharc.js",
        ".mocharc.yml",
        "nextest.toml",
        "phpunit.xml",
        "phpunit.xml.dist",
        ".rspec",
    ];
    NAMES.contains(&name)
        || [
            "jest.config.",
            "vitest.config.",
            "vitest.workspace.",
            "playwright.config.",
            "cypress.config.",
            "babel.config.",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// A file that says how to test among much else.
pub fn is_manifest(path: &str) -> bool {
    const NAMES: &[&str] = &[
        "setup.cfg",
        "pyproject.toml",
        "package.json",
        "cargo.toml",
        "makefile",
        "justfile",
        "rakefile",
        "build.rs",
        "pom.xml",
        "build.gradle",
    ];
    NAMES.contains(&file_name(&path.to_ascii_lowercase()))
}

/// The changed lines speak of tests, or the patch cannot tell.
fn touches_tests(file: &ChangedFile) -> bool {
    let Some(patch) = file.patch.as_deref().filter(|_| !file.patch_truncated) else { return true };
    patch.lines().filter(|line| line.starts_with(['+', '-'])).any(|line| {
        let line = line.to_ascii_lowercase();
        ["test", "spec", "jest", "mocha", "addopts", "|| true", "; true", "exit 0", "rustc-cfg"]
            .iter()
            .any(|word| line.contains(word))
    })
}

/// Whether a check's command runs tests, so that guarding it makes sense.
pub fn runs_tests(command: &str) -> bool {
    let lower = command.to_ascii_lowercase();
    [
        "test", "spec", "jest", "vitest", "mocha", "tox", "nox", "check", "ctest", "phpunit", "unittest",
        "verify",
    ]
    .iter()
    .any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(kind: ChangeKind, path: &str, old_path: Option<&str>) -> ChangedFile {
        ChangedFile {
            path: path.into(),
            old_path: old_path.map(str::to_owned),
            kind,
            old_kind: if kind == ChangeKind::Added { FileKind::Absent } else { FileKind::Regular },
            new_kind: if kind == ChangeKind::Deleted { FileKind::Absent } else { FileKind::Regular },
            symlink_target: None,
            ignored: false,
            hard_linked: false,
            binary: false,
            size: 1,
            added_lines: 1,
            deleted_lines: 1,
            patch: None,
            patch_truncated: false,
        }
    }

    fn manifest(patch: &str) -> ChangedFile {
        ChangedFile { patch: Some(patch.into()), ..file(ChangeKind::Modified, "package.json", None) }
    }

    #[test]
    fn what_is_put_back_and_what_goes() {
        use ChangeKind::{Added, Deleted, Modified, Renamed};
        let cases = [
            (file(Modified, "src/a.rs", None), "", ""),
            (file(Modified, "tests/a.rs", None), "tests/a.rs", ""),
            (file(Deleted, "src/a.test.ts", None), "src/a.test.ts", ""),
            (file(Added, "tests/new.rs", None), "", ""),
            (file(Added, "conftest.py", None), "", "conftest.py"),
            (file(Added, "tests/conftest.py", None), "", "tests/conftest.py"),
            (file(Renamed, "tests/a.bak", Some("tests/test_a.py")), "tests/test_a.py", "tests/a.bak"),
            (file(Renamed, "old/a.txt", Some("test_a.py")), "test_a.py", ""),
            (manifest("-  \"test\": \"jest\"\n+  \"test\": \"jest || true\""), "package.json", ""),
            (manifest("+  \"left-pad\": \"1.0.0\""), "", ""),
            (file(Modified, "tests/named.py", None), "", ""),
            (file(Modified, "src/main/FooTest.java", None), "src/main/FooTest.java", ""),
            (file(Modified, "src/contest.rs", None), "", ""),
            (file(Modified, "pkg/a_test.go", None), "pkg/a_test.go", ""),
        ];
        let scope = ["src".to_owned(), "tests/".to_owned(), "./tests/named.py".to_owned()];
        for (changed, restore, remove) in cases {
            let guard = of(std::slice::from_ref(&changed), &scope);
            assert_eq!(
                (guard.restore.join(" ").as_str(), guard.remove.join(" ").as_str()),
                (restore, remove),
                "{}",
                changed.path
            );
        }
    }

    #[test]
    fn commands_that_run_tests() {
        for (command, expected) in [
            ("cargo test", true),
            ("npm run lint", false),
            ("python -m pytest -q", true),
            ("make check", true),
            ("tsc", false),
        ] {
            assert_eq!(runs_tests(command), expected, "{command}");
        }
    }
}
