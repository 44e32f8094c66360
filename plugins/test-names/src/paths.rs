//! Files: tests, what they are compared with, and what decides how they run.

/// The file's own name.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The directories that hold the file, from the innermost.
fn directories(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').rev().skip(1)
}

fn within(path: &str, names: &[&str]) -> bool {
    directories(path).any(|directory| names.iter().any(|name| directory.eq_ignore_ascii_case(name)))
}

fn stem_and_extension(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or((name, ""))
}

/// A file that a runner collects tests from, by the usual patterns.
pub fn is_test(path: &str) -> bool {
    let (stem, extension) = stem_and_extension(base(path));
    let ends = |ends: &[&str]| ends.iter().any(|end| stem.ends_with(end));
    let in_tests = |names: &[&str]| within(path, names) && !is_support(path);
    match extension {
        "py" => stem.starts_with("test_") || ends(&["_test", "_tests"]) || matches!(stem, "test" | "tests"),
        "js" | "jsx" | "ts" | "tsx" | "mjs" | "cjs" | "mts" | "cts" | "vue" | "svelte" => {
            ends(&[".test", ".spec", "-test", "-spec", "_test", "_spec", ".cy", ".e2e"])
                || within(path, &["__tests__"])
                || in_tests(&["test", "tests", "spec"])
        }
        "rs" => in_tests(&["tests"]) || ends(&["_test", "_tests"]) || matches!(stem, "test" | "tests"),
        "go" => ends(&["_test"]),
        "java" | "kt" | "scala" | "groovy" | "swift" | "cs" | "fs" | "vb" | "php" => {
            is_test_class(stem, extension)
        }
        "rb" => ends(&["_spec", "_test"]) || stem.starts_with("test_"),
        "c" | "cc" | "cpp" | "cxx" => {
            ends(&["_test", "_tests", "_unittest"])
                || stem.starts_with("test_")
                || is_test_class(stem, extension)
        }
        "exs" | "dart" | "clj" | "lua" | "ml" => {
            ends(&["_test", "_tests", "_spec"]) || stem.starts_with("test_")
        }
        "hs" => ends(&["Spec", "Test"]),
        "R" | "r" => stem.starts_with("test-") || stem.starts_with("test_"),
        "ps1" => ends(&[".Tests"]),
        "bats" | "t" | "feature" | "robot" => true,
        _ => false,
    }
}

/// `FooTest`, `FooTests`, `FooIT`, `TestFoo`; `FooSpec` where that is no key or codec.
fn is_test_class(stem: &str, extension: &str) -> bool {
    let words = |rest: &str| rest.ends_with(|c: char| c.is_lowercase() || c.is_ascii_digit());
    let specs = matches!(extension, "scala" | "groovy" | "kt" | "swift" | "php");
    ["Test", "Tests", "TestCase"].iter().any(|end| stem.ends_with(end))
        || stem.strip_suffix("IT").is_some_and(words)
        || specs && stem.strip_suffix("Spec").is_some_and(words)
        || stem
            .strip_prefix("Test")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_uppercase() || c == '_'))
}

/// Helpers of tests: fixtures, mocks, support code. They hold no tests themselves.
pub fn is_support(path: &str) -> bool {
    within(
        path,
        &[
            "fixtures",
            "__fixtures__",
            "support",
            "helpers",
            "common",
            "utils",
            "mocks",
            "__mocks__",
            "data",
            "testdata",
            "testing",
            "testutil",
            "testutils",
        ],
    )
}

/// Directories that hold tests or what they are compared with.
const TEST_DIRECTORIES: &[&str] = &[
    "test",
    "tests",
    "__tests__",
    "testdata",
    "test-data",
    "test_data",
    "fixtures",
    "__fixtures__",
    "__mocks__",
    "__snapshots__",
    "__image_snapshots__",
    "snapshots",
    "golden",
    "goldens",
    "e2e",
    "cypress",
    "acceptance",
];

/// `tests`, `unit_tests`, `integration-test`, `Shop.Tests`, `AppUITests`; not `latest`.
pub fn is_test_directory(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    TEST_DIRECTORIES.contains(&lower.as_str())
        || ["_tests", "_test", "-tests", "-test", ".tests", ".test"].iter().any(|end| lower.ends_with(end))
        || name.ends_with("Tests")
}

/// A test, or anything that tests are made of: what is in a test directory, fixtures,
/// expectations.
pub fn in_tests(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = base(&lower);
    let stem = name.split('.').next().unwrap_or(name);
    // `spec/api.yaml` is what the code is made from, no test of it.
    let described =
        [".yaml", ".yml", ".json", ".md", ".proto", ".graphql"].iter().any(|end| name.ends_with(end));
    is_test(path)
        || is_expectation(path)
        || name == "conftest.py"
        || directories(path).any(is_test_directory)
        || !described && within(path, &["spec", "specs"])
        || stem.starts_with("test_")
        || ["_test", "_tests", "_spec"].iter().any(|end| stem.ends_with(end))
        // Django's `app/tests.py`, Rust's `src/parse/tests.rs`.
        || matches!(stem, "test" | "tests") && name.contains('.')
        || [".test.", ".cy."].iter().any(|part| name.contains(part))
        || !described && name.contains(".spec.")
}

/// A recorded expectation: a snapshot, a golden file.
pub fn is_expectation(path: &str) -> bool {
    let name = base(path);
    [".snap", ".golden", ".expected", ".ambr"].iter().any(|end| name.ends_with(end))
        || [".approved.", ".snap."].iter().any(|part| name.contains(part))
        || within(
            path,
            &["__snapshots__", "__image_snapshots__", "snapshots", "golden", "goldens", "expected"],
        )
        || within(path, &["fixtures", "testdata", "data"])
            && (name.starts_with("expected") || name.starts_with("golden"))
            && within(path, &["test", "tests", "spec", "testdata", "fixtures"])
}

/// A file that decides which tests run and how, and nothing else.
pub fn is_runner_configuration(path: &str) -> bool {
    const NAMES: &[&str] = &[
        "conftest.py",
        "sitecustomize.py",
        "usercustomize.py",
        "pytest.ini",
        ".pytest.ini",
        "pytest.toml",
        ".pytest.toml",
        "tox.ini",
        "noxfile.py",
        ".coveragerc",
        "karma.conf.js",
        "karma.conf.ts",
        ".nycrc",
        ".nycrc.json",
        ".c8rc.json",
        ".taprc",
        "nextest.toml",
        "phpunit.xml",
        "phpunit.xml.dist",
        ".rspec",
        "spec_helper.rb",
        "rails_helper.rb",
        "test_helper.exs",
        "setuptests.js",
        "setuptests.ts",
        "bunfig.toml",
        "jasmine.json",
        "testng.xml",
        "junit-platform.properties",
        "behave.ini",
    ];
    const STARTS: &[&str] = &[
        "jest.config.",
        "jest.setup.",
        "jest-setup.",
        "vitest.config.",
        "vitest.setup.",
        "vitest.workspace.",
        "playwright.config.",
        "cypress.config.",
        "ava.config.",
        "wdio.conf.",
        "babel.config.",
        ".babelrc",
        ".mocharc",
    ];
    let lower = path.to_ascii_lowercase();
    let name = base(&lower);
    // cargo's `runner` starts the test binaries.
    let cargo = [".cargo/config.toml", ".cargo/config"]
        .iter()
        .any(|end| lower == *end || lower.strip_suffix(end).is_some_and(|rest| rest.ends_with('/')));
    NAMES.contains(&name) || name.ends_with(".pth") || cargo || STARTS.iter().any(|p| name.starts_with(p))
}

/// A file that says how to test among much else.
pub fn is_manifest(path: &str) -> bool {
    const NAMES: &[&str] = &[
        "setup.cfg",
        "setup.py",
        "pyproject.toml",
        "package.json",
        "cargo.toml",
        "makefile",
        "gnumakefile",
        "justfile",
        "taskfile.yml",
        "rakefile",
        "build.rs",
        "pom.xml",
        "build.gradle",
        "build.gradle.kts",
        "cmakelists.txt",
        "deno.json",
        "deno.jsonc",
        "composer.json",
        "vite.config.js",
        "vite.config.ts",
        "mix.exs",
        "build.sbt",
        "meson.build",
        "package.swift",
        "pubspec.yaml",
        "angular.json",
    ];
    let lower = path.to_ascii_lowercase();
    let script = lower.ends_with(".sh") || lower.ends_with(".bash");
    NAMES.contains(&base(&lower)) || script
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `test` a runner collects it, `part` it belongs to tests, `config`, `manifest`, or nothing.
    fn kind(path: &str) -> &'static str {
        match path {
            _ if is_runner_configuration(path) => "config",
            _ if is_test(path) => "test",
            _ if in_tests(path) => "part",
            _ if is_manifest(path) => "manifest",
            _ => "",
        }
    }

    #[test]
    fn files() {
        let table: &[(&str, &[&str])] = &[
            (
                "test",
                &[
                    "tests/test_a.py",
                    "a/b_test.py",
                    "app/tests.py",
                    "src/a.test.ts",
                    "src/a.spec.tsx",
                    "src/__tests__/a.js",
                    "test/a.js",
                    "web/ui.cy.ts",
                    "tests/a.rs",
                    "src/parse/tests.rs",
                    "pkg/a_test.go",
                    "src/main/FooTest.java",
                    "FooTests.cs",
                    "FooIT.java",
                    "TestFoo.php",
                    "tests/Unit/FooTest.php",
                    "a/FooSpec.scala",
                    "spec/models/a_spec.rb",
                    "test/a_test.rb",
                    "test/a_test.exs",
                    "test/a_test.dart",
                    "core/a_unittest.cc",
                    "core/FooTest.cpp",
                    "Sum.Tests.ps1",
                    "t/a.t",
                    "a.bats",
                    "features/cart.feature",
                    "suite/a.robot",
                    "tests/testthat/test-sum.R",
                    "Tests/SumTests.swift",
                    "test/SumSpec.hs",
                ],
            ),
            (
                "part",
                &[
                    "tests/fixtures/a.json",
                    "pkg/fixtures/a.json",
                    "tests/support/boot.js",
                    "spec/models/a.rb",
                    "src/__mocks__/api.js",
                    "src/__snapshots__/a.snap",
                    "a/b.golden",
                    "Shop.Tests/Cart.cs",
                    "AppUITests/Helper.swift",
                    "unit_tests/data.csv",
                    "integration-test/run.txt",
                    "tests/helpers/db.py",
                    "e2e/login.page.ts",
                    "testdata/x",
                    "a.test.snap",
                    "old/test_a.txt",
                    "src/a.approved.txt",
                    "cypress/support/commands.js",
                ],
            ),
            (
                "config",
                &[
                    "conftest.py",
                    "tests/conftest.py",
                    "packages/a/jest.setup.ts",
                    "jest.config.mjs",
                    "vitest.config.ts",
                    ".cargo/config.toml",
                    "a/.cargo/config.toml",
                    "lib/fast.pth",
                    "phpunit.xml.dist",
                    ".rspec",
                    "spec/spec_helper.rb",
                    "tox.ini",
                    "test/test_helper.exs",
                ],
            ),
            (
                "manifest",
                &["package.json", "web/package.json", "Cargo.toml", "Makefile", "run.sh", "build.gradle.kts"],
            ),
            (
                "",
                &[
                    "src/a.rs",
                    "src/contest.rs",
                    "pkg/latest/a.go",
                    "src/features/cart.ts",
                    "spec/openapi.yaml",
                    "openapi.spec.yaml",
                    "src/Testimonials.php",
                    "src/Contest.java",
                    "src/KeySpec.java",
                    "src/EDIT.java",
                    "src/attestation.py",
                    "docs/testing.md",
                    "src/testing/clock.py",
                    "lib/protest.js",
                    "a/my.cargo/config.toml",
                ],
            ),
        ];
        let mut wrong = Vec::new();
        for (expected, paths) in table {
            for path in *paths {
                if kind(path) != *expected {
                    wrong.push(format!("{path}: {:?}, not {expected:?}", kind(path)));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn expectations() {
        for (path, expected) in [
            ("tests/__snapshots__/a.snap", true),
            ("tests/data/expected_a.json", true),
            ("golden/a.txt", true),
            ("src/data/expected.rs", false),
            ("tests/test_a.py", false),
        ] {
            assert_eq!(is_expectation(path), expected, "{path}");
        }
    }
}
