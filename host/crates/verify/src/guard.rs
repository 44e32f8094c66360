//! Which of the changed files the guarded run puts back to the base version: existing tests,
//! their expectations and the runner's configuration, so that passing says something about
//! the code and not about the tests. Pure.
//!
//! Added tests stay: they may only make it harder. Added runner configuration (a new
//! `conftest.py`, `sitecustomize.py`) goes: it may change what the old tests say. A manifest
//! (`package.json`, `Makefile`) is put back only if its changed lines speak of tests, because
//! a new dependency is honest work. A file that the scope names exactly is the planner's wish
//! and stays as the agent left it. The operator's patterns add to and take from the habits.

use globset::{Glob, GlobSet, GlobSetBuilder};

use model::types::{ChangeKind, ChangedFile, FileKind};

/// The operator's globs of files that are tests, and of files that are not.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    more: GlobSet,
    not: GlobSet,
}

impl Patterns {
    /// `guard_patterns` of the configuration: `acceptance/**` adds, `!tests/support/**` takes
    /// out. Globs without a `/` match the file name in any directory. A broken one is an
    /// error that names it.
    pub fn new(globs: &[String]) -> Result<Patterns, globset::Error> {
        let (mut more, mut not) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for glob in globs {
            let (plain, set) = match glob.strip_prefix('!') {
                Some(plain) => (plain, &mut not),
                None => (glob.as_str(), &mut more),
            };
            let plain = plain.trim_start_matches("./").trim_end_matches('/');
            let anywhere = if plain.contains('/') { plain.to_owned() } else { format!("**/{plain}") };
            set.add(Glob::new(&anywhere)?);
            set.add(Glob::new(&format!("{anywhere}/**"))?);
        }
        Ok(Patterns { more: more.build()?, not: not.build()? })
    }

    fn is_test(&self, path: &str) -> bool {
        let path = path.trim_start_matches("../");
        !self.not.is_match(path) && (is_test(path) || self.more.is_match(path))
    }

    fn is_runner_configuration(&self, path: &str) -> bool {
        !self.not.is_match(path.trim_start_matches("../")) && is_runner_configuration(path)
    }
}

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
pub fn of(files: &[ChangedFile], scope: &[String], patterns: &Patterns) -> Guard {
    let mut guard = Guard::default();
    let named = |path: &str| is_named(path, scope);
    for file in files.iter().filter(|file| !file.ignored) {
        let before = file.old_path.as_deref().unwrap_or(&file.path);
        let existed = file.old_kind != FileKind::Absent;
        let judges = patterns.is_test(before)
            || patterns.is_runner_configuration(before)
            || (is_manifest(before) && touches_tests(file));
        if existed && judges && !named(before) {
            guard.restore.push(before.to_owned());
            // The renamed copy would be run twice, or hide the one put back.
            let judge = patterns.is_test(&file.path) || patterns.is_runner_configuration(&file.path);
            if file.kind == ChangeKind::Renamed && judge {
                guard.remove.push(file.path.clone());
            }
        } else if !existed && patterns.is_runner_configuration(&file.path) && !named(&file.path) {
            guard.remove.push(file.path.clone());
        }
    }
    guard
}

/// An entry of the scope is this very path.
pub fn is_named(path: &str, scope: &[String]) -> bool {
    let plain = |text: &str| {
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        parts.join("/")
    };
    scope.iter().any(|entry| plain(entry) == plain(path))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Directories that hold tests or what they are compared with, in lower case.
const TEST_DIRECTORIES: &[&str] = &[
    "test",
    "tests",
    "__tests__",
    "testdata",
    "test-data",
    "test_data",
    "fixtures",
    "__fixtures__",
    "__snapshots__",
    "__image_snapshots__",
    "snapshots",
    "golden",
    "goldens",
    "e2e",
    "cypress",
    "acceptance",
];

/// A test or what it is compared with, by the habits of the common runners.
pub fn is_test(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let name = file_name(&lower);
    let stem = name.split('.').next().unwrap_or(name);
    // `unit_tests`, `integration-test`, `Shop.Tests`; not `latest`.
    let ends = |part: &str| {
        ["_tests", "_test", "-tests", "-test", ".tests", ".test"].iter().any(|end| part.ends_with(end))
    };
    // `spec/api.yaml` is what the code is made from, no test of it.
    let described =
        [".yaml", ".yml", ".json", ".md", ".proto", ".graphql"].iter().any(|end| name.ends_with(end));
    let specs = |part: &str| matches!(part, "spec" | "specs") && !described;
    let in_directory = lower
        .split('/')
        .rev()
        .skip(1)
        .any(|part| TEST_DIRECTORIES.contains(&part) || ends(part) || specs(part))
        || path.split('/').rev().skip(1).any(|part| part.ends_with("Tests"));
    in_directory
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || stem.ends_with("_tests")
        || stem.ends_with("_spec")
        // Django's `app/tests.py`, Rust's `src/parse/tests.rs`.
        || (matches!(stem, "test" | "tests") && name.contains('.'))
        || [".test.", ".spec.", ".cy.", ".approved."].iter().any(|part| name.contains(part))
        || [".snap", ".golden", ".feature"].iter().any(|end| name.ends_with(end))
        || is_class_test(file_name(path))
}

/// `FooTest.java`, `FooTests.cs`, `FooIT.java`.
fn is_class_test(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    matches!(extension, "java" | "kt" | "cs" | "scala" | "swift" | "groovy" | "php" | "cpp" | "cc")
        && ["Test", "Tests", "IT", "Spec"].iter().any(|end| stem.ends_with(end))
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
        ".pytest.ini",
        "pytest.toml",
        "tox.ini",
        "noxfile.py",
        ".coveragerc",
        "karma.conf.js",
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
        "setuptests.js",
        "setuptests.ts",
        "bunfig.toml",
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
    // cargo's `runner` starts the test binaries.
    let cargo = lower == ".cargo/config.toml" || lower.ends_with("/.cargo/config.toml");
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
        "composer.json",
        "vite.config.js",
        "vite.config.ts",
    ];
    let lower = path.to_ascii_lowercase();
    let script = lower.ends_with(".sh") || lower.ends_with(".bash");
    NAMES.contains(&file_name(&lower)) || script
}

/// The changed lines speak of tests or swallow a failure, or the patch cannot tell.
fn touches_tests(file: &ChangedFile) -> bool {
    const WORDS: &[&str] = &[
        "test",
        "spec",
        "jest",
        "mocha",
        "addopts",
        "check",
        "|| ",
        "; true",
        "exit 0",
        "set +",
        "trap ",
        "rustc-cfg",
        "runner",
        "\t-",
    ];
    let Some(patch) = file.patch.as_deref().filter(|_| !file.patch_truncated) else { return true };
    patch.lines().filter(|line| line.starts_with(['+', '-'])).any(|line| {
        let line = line.to_ascii_lowercase();
        WORDS.iter().any(|word| line.contains(word))
    })
}

/// Whether a check's command runs tests, so that guarding it makes sense. Only what is
/// surely something else is left out: a script may run anything.
pub fn runs_tests(command: &str) -> bool {
    const OTHERS: &[&str] = &[
        "lint",
        "eslint",
        "tsc",
        "clippy",
        "fmt",
        "prettier",
        "black",
        "ruff",
        "mypy",
        "pyright",
        "gofmt",
        "vet",
        "shellcheck",
        "flake8",
        "pylint",
        "rustfmt",
        "typecheck",
        "stylelint",
        "biome",
    ];
    let lower = command.to_ascii_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).collect();
    let tests = ["test", "spec", "jest", "vitest", "mocha", "tox", "nox", "phpunit", "verify"];
    tests.iter().any(|word| lower.contains(word)) || !words.iter().any(|word| OTHERS.contains(word))
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

    fn script(patch: &str) -> ChangedFile {
        ChangedFile { patch: Some(patch.into()), ..file(ChangeKind::Modified, "run.sh", None) }
    }

    #[test]
    fn the_operators_patterns_add_and_take_out() {
        let globs = ["contract/**".to_owned(), "*.case".to_owned(), "!tests/support".to_owned()];
        let patterns = Patterns::new(&globs).expect("they compile");
        for (path, guarded) in [
            ("contract/a/b.txt", true),
            ("deep/down/x.case", true),
            ("tests/support/boot.py", false),
            ("tests/test_a.py", true),
            ("../lib/contract.rs", false),
            ("src/a.rs", false),
        ] {
            let guard = of(&[file(ChangeKind::Modified, path, None)], &[], &patterns);
            assert_eq!(!guard.is_empty(), guarded, "{path}");
        }
        assert!(Patterns::new(&["[".to_owned()]).is_err());
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
            (file(Modified, "pkg/latest/a.go", None), "", ""),
            (file(Modified, "src/features/cart.ts", None), "", ""),
            (file(Modified, "spec/openapi.yaml", None), "", ""),
            (file(Modified, "spec/models/a.rb", None), "spec/models/a.rb", ""),
            (file(Modified, "app/tests.py", None), "app/tests.py", ""),
            (file(Modified, "Shop.Tests/Cart.cs", None), "Shop.Tests/Cart.cs", ""),
            (file(Modified, "pkg/fixtures/a.json", None), "pkg/fixtures/a.json", ""),
            (file(Modified, "packages/a/jest.setup.ts", None), "packages/a/jest.setup.ts", ""),
            (file(Added, ".cargo/config.toml", None), "", ".cargo/config.toml"),
            (file(Added, "lib/fast.pth", None), "", "lib/fast.pth"),
            (file(Deleted, "web/ui.cy.ts", None), "web/ui.cy.ts", ""),
            (script("-pytest\n+pytest || :"), "run.sh", ""),
            (script("-echo building\n+echo compiling"), "", ""),
        ];
        let scope = ["src".to_owned(), "tests/".to_owned(), "./tests/named.py".to_owned()];
        for (changed, restore, remove) in cases {
            let guard = of(std::slice::from_ref(&changed), &scope, &Patterns::default());
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
            ("npx tsc --noEmit && npx eslint .", false),
            ("sh scripts/ci.sh", true),
            ("npm run build", true),
            ("cargo clippy -- -D warnings", false),
        ] {
            assert_eq!(runs_tests(command), expected, "{command}");
        }
    }
}
