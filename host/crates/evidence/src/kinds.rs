//! Which files a reader looks at last: what programs write, and prose. Patterns only; pure.

use globset::{Glob, GlobSet, GlobSetBuilder};

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

fn set<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<GlobSet, globset::Error> {
    let mut builder = GlobSetBuilder::new();
    for pattern in patterns {
        let anywhere = if pattern.contains('/') { pattern.to_owned() } else { format!("**/{pattern}") };
        builder.add(Glob::new(&anywhere)?);
    }
    builder.build()
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
    fn generated_and_prose_patterns_compile() {
        assert!(is_generated("a/b/Cargo.lock") && !is_generated("src/lock.rs"));
        assert!(is_prose("docs/a.md") && !is_prose("src/a.rs"));
    }
}
