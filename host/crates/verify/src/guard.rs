//! Which of the changed files the guarded run puts back to the base version: existing tests,
//! their expectations and the runner's configuration, so that passing says something about
//! the code and not about the tests. Pure.
//!
//! Added tests stay: they may only make it harder. Added runner configuration (a new
//! `conftest.py`, `sitecustomize.py`) goes: it may change what the old tests say. A manifest
//! (`package.json`, `Makefile`) is put back only if its changed lines speak of tests, because
//! a new dependency is honest work; where the part that defines tests can be told, it alone. A
//! file that the scope names exactly is the planner's wish and stays as the agent left it, but
//! if it defines a check, the check is tried with the old definition too. The operator's
//! patterns add to and take from the habits.

use super::definitions;
use test_names::{is_manifest, is_runner_configuration};

use model::glob::{BrokenGlob, PathGlob};
use model::types::{ChangeKind, ChangedFile, FileKind};

pub use test_names::in_tests as is_test;

/// The operator's globs of files that are tests, and of files that are not.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    more: Vec<PathGlob>,
    not: Vec<PathGlob>,
}

impl Patterns {
    /// `guard_patterns` of the configuration: `acceptance/**` adds, `!tests/support/**` takes
    /// out. Globs without a `/` match the file name in any directory. A broken one is an
    /// error that names it.
    pub fn new(globs: &[String]) -> Result<Patterns, BrokenGlob> {
        let mut patterns = Patterns::default();
        for glob in globs {
            match glob.strip_prefix('!') {
                Some(plain) => patterns.not.push(PathGlob::anywhere(plain)?),
                None => patterns.more.push(PathGlob::anywhere(glob)?),
            }
        }
        Ok(patterns)
    }

    fn is_test(&self, path: &str) -> bool {
        let path = path.trim_start_matches("../");
        !self.takes_out(path) && (is_test(path) || self.more.iter().any(|glob| glob.is_match(path)))
    }

    fn is_runner_configuration(&self, path: &str) -> bool {
        !self.takes_out(path.trim_start_matches("../")) && is_runner_configuration(path)
    }

    /// A test, what tests are compared with, or what decides how they run.
    pub fn judges(&self, path: &str) -> bool {
        self.is_test(path) || self.is_runner_configuration(path)
    }

    fn takes_out(&self, path: &str) -> bool {
        self.not.iter().any(|glob| glob.is_match(path))
    }
}

/// What to do with the changed files before a guarded run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Paths to be put back from the base tree.
    pub restore: Vec<String>,
    /// Paths to be removed.
    pub remove: Vec<String>,
    /// Paths of which the part that defines checks is to be put back.
    pub parts: Vec<String>,
    /// Paths that define checks and that the scope names.
    pub named: Vec<String>,
}

impl Guard {
    /// Nothing would differ from the ordinary run.
    pub fn is_empty(&self) -> bool {
        self.restore.is_empty() && self.remove.is_empty() && self.parts.is_empty()
    }
}

/// The guard for these changes; `scope` is the declared scope's paths.
pub fn of(files: &[ChangedFile], scope: &[String], patterns: &Patterns) -> Guard {
    let mut guard = Guard::default();
    let named = |path: &str| is_named(path, scope);
    for file in files.iter().filter(|file| !file.ignored) {
        let before = file.old_path.as_deref().unwrap_or(&file.path);
        let existed = file.old_kind != FileKind::Absent;
        let manifest = is_manifest(before) && touches_tests(file);
        let defines = manifest || patterns.is_runner_configuration(before);
        let judges = defines || patterns.is_test(before);
        let stays = existed && before == file.path && file.new_kind != FileKind::Absent;
        if stays && defines && named(before) {
            guard.named.push(before.to_owned());
        } else if stays
            && manifest
            && definitions::has_parts(before)
            && !patterns.judges(before)
            && !named(before)
        {
            guard.parts.push(before.to_owned());
        } else if existed && judges && !named(before) {
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

/// What to restore so that the tests run without the change: every changed file that is
/// neither a test nor decides how tests run.
pub fn without_change(files: &[ChangedFile], patterns: &Patterns) -> Vec<String> {
    let judges = |path: &str| patterns.judges(path);
    let mut restore = Vec::new();
    for file in files.iter().filter(|file| !file.ignored) {
        let before = file.old_path.as_deref().unwrap_or(&file.path);
        if !judges(before) && !judges(&file.path) {
            restore.push(before.to_owned());
            if before != file.path {
                restore.push(file.path.clone());
            }
        }
    }
    restore
}

/// What defines a check beside what it runs: manifests and scripts.
pub fn is_definition(path: &str) -> bool {
    is_manifest(path)
}

/// Tests, or what they are compared with, changed.
pub fn tests_changed(files: &[ChangedFile], patterns: &Patterns) -> bool {
    let judges = |path: &str| patterns.judges(path);
    files.iter().any(|file| judges(&file.path) || file.old_path.as_deref().is_some_and(judges))
}

/// Whether a check's command may run tests, so that guarding it makes sense. Only what is
/// surely something else is left out: a script may run anything.
pub fn may_run_tests(command: &str) -> bool {
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

/// A file of program text, by its extension: what checks have no business to write. Snapshots
/// and lock files are what many honest checks write.
pub fn is_source(path: &str) -> bool {
    const EXTENSIONS: &[&str] = &[
        "bash", "bats", "c", "cc", "cjs", "clj", "cpp", "cs", "cts", "cxx", "dart", "ex", "exs", "fs", "go",
        "groovy", "h", "hpp", "hs", "java", "jl", "js", "jsx", "kt", "kts", "lua", "m", "mjs", "ml", "mts",
        "php", "pl", "pm", "ps1", "py", "pyi", "r", "rb", "rs", "scala", "sh", "sql", "svelte", "swift",
        "ts", "tsx", "vue", "zig", "zsh",
    ];
    let extension = path.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.binary_search(&extension.as_str()).is_ok())
}

/// An entry of the scope is this very path.
pub fn is_named(path: &str, scope: &[String]) -> bool {
    let plain = |text: &str| {
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        parts.join("/")
    };
    let path = plain(path);
    scope.iter().any(|entry| plain(entry) == path || plain(&without_escapes(entry)) == path)
}

/// A pattern's text as a name: a backslash takes the meaning of the sign behind it away.
fn without_escapes(entry: &str) -> String {
    let mut text = String::with_capacity(entry.len());
    let mut chars = entry.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\\', Some(next)) if "*?[]{}!\\".contains(*next) => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    text
}

/// An entry of `copy_in` is this path or a directory above it.
pub fn is_below(path: &str, entry: &str) -> bool {
    let entry = entry.trim_start_matches("./").trim_end_matches('/');
    path.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Added code that is no test may look at the environment that it runs in: a reason to run its
/// checks in a second one, and nothing more.
pub fn may_read_environment(files: &[ChangedFile], patterns: &Patterns) -> bool {
    const WORDS: &[&str] = &[
        "env", "$", "home", "tmp", "temp", "user", "cwd", "pwd", "term", "tty", "argv", "ppid", "/proc",
        "uname",
    ];
    let added = |patch: &str| {
        patch.lines().filter(|line| line.starts_with('+')).any(|line| {
            let line = line.to_ascii_lowercase();
            WORDS.iter().any(|word| line.contains(word))
        })
    };
    files
        .iter()
        .filter(|file| !file.ignored && is_source(&file.path) && !patterns.judges(&file.path))
        .any(|file| file.patch.as_deref().is_none_or(added))
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
        let globs = ["contract/**", "*.case", "lib/*.txt", "!tests/support"].map(str::to_owned);
        let patterns = Patterns::new(&globs).expect("they compile");
        for (path, guarded) in [
            ("contract/a/b.txt", true),
            ("deep/down/x.case", true),
            ("lib/a.txt", true),
            ("lib/deep/a.txt", false),
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
    fn the_change_without_its_tests() {
        use ChangeKind::{Added, Deleted, Modified, Renamed};
        let patterns = Patterns::default();
        let files = [
            file(Modified, "src/a.rs", None),
            file(Added, "src/new.rs", None),
            file(Deleted, "src/old.rs", None),
            file(Renamed, "src/to.rs", Some("src/from.rs")),
            file(Modified, "tests/a.rs", None),
            file(Added, "tests/b.rs", None),
            file(Modified, "pytest.ini", None),
        ];
        assert_eq!(
            without_change(&files, &patterns),
            ["src/a.rs", "src/new.rs", "src/old.rs", "src/from.rs", "src/to.rs"]
        );
        assert!(tests_changed(&files, &patterns) && !tests_changed(&files[..4], &patterns));
        assert!(is_source("a/B.PY") && is_source("x.tsx") && !is_source("a.snap") && !is_source("Makefile"));
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
            (manifest("-  \"test\": \"jest\"\n+  \"test\": \"jest || true\""), "part package.json", ""),
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
            (file(Modified, "named/tox.ini", None), "named named/tox.ini", ""),
            (file(Deleted, "named/tox.ini", None), "", ""),
            (script("-echo building\n+echo compiling"), "", ""),
        ];
        let scope = [
            "src".to_owned(),
            "tests/".to_owned(),
            "./tests/named.py".to_owned(),
            "named/tox.ini".to_owned(),
        ];
        for (changed, restore, remove) in cases {
            let guard = of(std::slice::from_ref(&changed), &scope, &Patterns::default());
            let mut restored = guard.restore.clone();
            restored.extend(guard.parts.iter().map(|path| format!("part {path}")));
            restored.extend(guard.named.iter().map(|path| format!("named {path}")));
            assert_eq!(
                (restored.join(" ").as_str(), guard.remove.join(" ").as_str()),
                (restore, remove),
                "{}",
                changed.path
            );
        }
    }

    #[test]
    fn code_that_may_look_at_its_environment() {
        let changed = |path: &str, patch: &str| {
            let patch = Some(patch.to_owned());
            vec![ChangedFile { patch, ..file(ChangeKind::Modified, path, None) }]
        };
        for (files, expected) in [
            (changed("src/a.py", "+    if os.environ.get('CI'):"), true),
            (changed("src/a.rs", "+    a + b"), false),
            (changed("src/a.rs", "-    std::env::var(\"CI\")"), false),
            (changed("src/a.sh", "+slug() { echo \"$CI\"; }"), true),
            (changed("tests/test_a.py", "+    os.environ"), false),
            (changed("README.md", "+the environment"), false),
        ] {
            assert_eq!(may_read_environment(&files, &Patterns::default()), expected, "{files:?}");
        }
    }

    #[test]
    fn commands_that_may_run_tests() {
        for (command, expected) in [
            ("cargo test", true),
            ("npm run lint", false),
            ("python -m pytest -q", true),
            ("make check", true),
            ("tsc", false),
            ("npx tsc --noEmit && npx eslint .", false),
            ("sh scripts/ci.sh", true),
            ("sh contract/run.sh", true),
            ("npm run build", true),
            ("cargo clippy -- -D warnings", false),
        ] {
            assert_eq!(may_run_tests(command), expected, "{command}");
        }
    }
}
