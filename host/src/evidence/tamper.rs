//! Which files judge the work: tests, their data, and what tells the test runner what to
//! run. Guarded tests lay the base versions of these over the result. Patterns only; pure.

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::policy::types::{ChangeKind, ChangeSet};

/// Tests, expected values and runner configuration of common ecosystems. Globs without a
/// `/` match the file name in any directory.
pub const DEFAULT_PATTERNS: &[&str] = &[
    // tests by directory
    "**/tests/**",
    "**/test/**",
    "**/__tests__/**",
    "**/spec/**",
    "**/e2e/**",
    "**/testdata/**",
    "**/fixtures/**",
    "**/__snapshots__/**",
    "**/snapshots/**",
    "**/golden/**",
    // tests by name
    "test_*.py",
    "*_test.py",
    "*_test.go",
    "*_test.rs",
    "*_test.exs",
    "*_spec.rb",
    "*_test.rb",
    "*Test.java",
    "*Tests.java",
    "*IT.java",
    "*Test.kt",
    "*Tests.cs",
    "*Test.php",
    "*.test.{js,jsx,ts,tsx,mjs,cjs,mts,cts}",
    "*.spec.{js,jsx,ts,tsx,mjs,cjs,mts,cts}",
    "*.snap",
    // what the runner obeys
    "conftest.py",
    "pytest.ini",
    "tox.ini",
    "noxfile.py",
    "sitecustomize.py",
    "usercustomize.py",
    ".coveragerc",
    "jest.config.*",
    "jest.setup.*",
    "vitest.config.*",
    "vitest.setup.*",
    "vitest.workspace.*",
    "playwright.config.*",
    "cypress.config.*",
    "karma.conf.*",
    ".mocharc*",
    ".nycrc*",
    "phpunit.xml*",
    ".rspec",
    "nextest.toml",
    "**/.config/nextest.toml",
];

/// Files that a program writes: shown last and as a line.
const GENERATED: &[&str] = &[
    "Cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "poetry.lock",
    "uv.lock",
    "Pipfile.lock",
    "pdm.lock",
    "composer.lock",
    "Gemfile.lock",
    "go.sum",
    "flake.lock",
    "mix.lock",
    "Podfile.lock",
    "Package.resolved",
    "packages.lock.json",
    "*.snap",
    "*.min.js",
    "*.min.css",
    "*.js.map",
    "*.css.map",
    "*.pb.go",
    "*_pb2.py",
    "*.g.dart",
    "*.generated.*",
    "**/__snapshots__/**",
];

const PROSE: &[&str] = &["*.md", "*.rst", "*.txt", "*.adoc", "CHANGELOG*", "LICENSE*"];

/// Compiled patterns of guarded paths.
#[derive(Clone, Debug)]
pub struct Patterns(GlobSet);

impl Patterns {
    /// The default patterns and `more`, which an operator or a job adds. A broken pattern
    /// is an error that names it.
    pub fn new(more: &[String]) -> Result<Self, globset::Error> {
        let all = DEFAULT_PATTERNS.iter().copied().chain(more.iter().map(String::as_str));
        set(all).map(Patterns)
    }

    /// Is this path (as the change set names it) a test or a guard?
    pub fn matches(&self, path: &str) -> bool {
        self.0.is_match(path.trim_start_matches("../"))
    }
}

fn set<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<GlobSet, globset::Error> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        let anywhere = if pattern.contains('/') { pattern.to_owned() } else { format!("**/{pattern}") };
        builder.add(Glob::new(&anywhere)?);
    }
    builder.build()
}

/// The changed paths that guard the result, old names of renames included, in byte order
/// and each once. These are what `Recorder::overlay` puts back for a guarded check.
pub fn guarded_paths(changes: &ChangeSet, patterns: &Patterns) -> Vec<String> {
    let mut out: Vec<String> = changes
        .files
        .iter()
        .filter(|f| !f.ignored)
        .flat_map(|f| {
            let old = f.old_path.as_ref().filter(|_| f.kind == ChangeKind::Renamed);
            [Some(&f.path), old].into_iter().flatten()
        })
        .filter(|path| patterns.matches(path))
        .cloned()
        .collect();
    out.sort();
    out.dedup();
    out
}

/// Is this file written by a program (lock files, snapshots, minified code)?
pub fn is_generated(path: &str) -> bool {
    static SET: std::sync::OnceLock<GlobSet> = std::sync::OnceLock::new();
    SET.get_or_init(|| set(GENERATED.iter().copied()).unwrap_or_default()).is_match(path)
}

/// Is this file text for people?
pub fn is_prose(path: &str) -> bool {
    static SET: std::sync::OnceLock<GlobSet> = std::sync::OnceLock::new();
    SET.get_or_init(|| set(PROSE.iter().copied()).unwrap_or_default()).is_match(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_guards_are_known() {
        let patterns = Patterns::new(&["ci/*.sh".into()]).unwrap();
        let cases = [
            ("tests/a.rs", true),
            ("crates/x/tests/a.rs", true),
            ("src/a.test.ts", true),
            ("pkg/a_test.go", true),
            ("conftest.py", true),
            ("../lib/conftest.py", true),
            ("ci/run.sh", true),
            ("src/latest.rs", false),
            ("src/contest.py", false),
            ("testsuite/x", false),
            ("src/main.rs", false),
        ];
        for (path, guarded) in cases {
            assert_eq!(patterns.matches(path), guarded, "{path}");
        }
        assert!(Patterns::new(&["[".into()]).is_err());
    }

    #[test]
    fn generated_and_prose_patterns_compile() {
        assert!(is_generated("a/b/Cargo.lock") && !is_generated("src/lock.rs"));
        assert!(is_prose("docs/a.md") && !is_prose("src/a.rs"));
    }
}
