//! Commands: whether a shell line looks like a run of tests, so that an output without a count
//! is worth a word. A guess by names: it cannot know what a script runs.

/// Programs that run tests and nothing else.
const RUNNERS: &[&str] = &[
    "pytest",
    "py.test",
    "nose2",
    "nosetests",
    "tox",
    "nox",
    "trial",
    "stestr",
    "behave",
    "robot",
    "pabot",
    "jest",
    "vitest",
    "mocha",
    "ava",
    "jasmine",
    "karma",
    "tap",
    "tape",
    "uvu",
    "qunit",
    "playwright",
    "cypress",
    "testcafe",
    "cucumber",
    "cucumber-js",
    "wdio",
    "rspec",
    "minitest",
    "phpunit",
    "pest",
    "paratest",
    "codecept",
    "behat",
    "bats",
    "shellspec",
    "prove",
    "ctest",
    "gotestsum",
    "ginkgo",
    "nextest",
    "busted",
    "kaocha",
    "lein-test",
    "vstest",
    "nunit3-console",
    "xctest",
    "godog",
];

/// Programs that run what their arguments name: a task, a script, a module.
const STARTERS: &[&str] = &[
    "npm",
    "pnpm",
    "yarn",
    "bun",
    "npx",
    "bunx",
    "pnpx",
    "deno",
    "node",
    "tsx",
    "make",
    "gmake",
    "just",
    "task",
    "rake",
    "bundle",
    "rails",
    "cargo",
    "go",
    "mvn",
    "mvnw",
    "gradle",
    "gradlew",
    "dotnet",
    "swift",
    "xcodebuild",
    "flutter",
    "dart",
    "mix",
    "sbt",
    "mill",
    "bazel",
    "bazelisk",
    "nx",
    "turbo",
    "lerna",
    "composer",
    "php",
    "artisan",
    "python",
    "python2",
    "python3",
    "ruby",
    "perl",
    "sh",
    "bash",
    "zsh",
    "dash",
    "stack",
    "cabal",
    "rebar3",
    "lein",
    "clojure",
    "ninja",
    "meson",
    "zig",
    "dune",
    "julia",
    "Rscript",
    "invoke",
    "inv",
    "hatch",
    "pdm",
    "manage.py",
    "ng",
    "vue-cli-service",
    "react-scripts",
    "forge",
];

/// Words that precede the program.
const WRAPPERS: &[&str] = &[
    "env",
    "time",
    "nice",
    "exec",
    "command",
    "sudo",
    "timeout",
    "xvfb-run",
    "poetry",
    "pipenv",
    "uv",
    "run",
    "if",
    "then",
    "!",
    "c8",
    "nyc",
    "cross-env",
    "dotenv",
    "with",
];

/// Subcommands whose arguments name no tests.
const OTHERS: &[&str] = &[
    "clippy",
    "build",
    "check",
    "fmt",
    "lint",
    "vet",
    "format",
    "typecheck",
    "install",
    "ci",
    "add",
    "compile",
    "doc",
];

/// Options with which a runner runs nothing.
const DRY: &[&str] = &[
    "--no-run",
    "--collect-only",
    "--co",
    "--list",
    "--listTests",
    "--list-tests",
    "--version",
    "--help",
    "-h",
];

/// Whether one of the commands of this shell line looks like a run of tests.
pub fn runs_tests(line: &str) -> bool {
    line.split(['\n', ';', '|', '&', '(', ')', '{', '}']).any(simple)
}

fn simple(command: &str) -> bool {
    let words: Vec<&str> = command
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'', '`', '$']))
        .filter(|word| !word.is_empty())
        .collect();
    if words.iter().any(|word| DRY.contains(word)) {
        return false;
    }
    let is_assignment = |word: &str| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
    };
    let skipped = |word: &&&str| {
        WRAPPERS.contains(*word) || is_assignment(word) || word.starts_with('-') || number_like(word)
    };
    let mut words = words.iter().skip_while(skipped);
    let Some(program) = words.next() else { return false };
    let name = program.rsplit('/').next().unwrap_or(program);
    if RUNNERS.contains(&name) {
        return true;
    }
    // A script that is run by its path.
    if program.contains('/') && speaks_of_tests(name) {
        return true;
    }
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if !STARTERS.contains(&name) && !STARTERS.contains(&plain) {
        return false;
    }
    let make = matches!(name, "make" | "gmake" | "ninja" | "just" | "task");
    for word in words {
        if *word == "--test" {
            return true; // node
        }
        if word.starts_with('-') || is_assignment(word) {
            continue;
        }
        let target = word.rsplit('/').next().unwrap_or(word);
        if RUNNERS.contains(&target) || speaks_of_tests(word) {
            return true;
        }
        if make && *word == "check" || name.starts_with("mvn") && matches!(*word, "verify" | "install") {
            return true;
        }
        if OTHERS.contains(word) || word.starts_with("lint") {
            return false;
        }
    }
    false
}

/// `timeout 60 pytest`.
fn number_like(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 's' | 'm' | 'h'))
}

/// `test`, `test:unit`, `run_tests.sh`, `UnitTests`, `a.spec.ts`; not `latest`.
fn speaks_of_tests(name: &str) -> bool {
    let words = name.split(|c: char| !c.is_alphanumeric());
    words.into_iter().any(|word| {
        matches!(word.to_ascii_lowercase().as_str(), "test" | "tests" | "spec" | "specs" | "unittest" | "e2e")
            || ["Test", "Tests"].iter().any(|end| word.ends_with(end))
            // `testOnly`, `testDebugUnitTest`
            || word.strip_prefix("test").is_some_and(|rest| rest.starts_with(char::is_uppercase))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        for (line, expected) in [
            ("pytest -q", true),
            ("python3 -m pytest", true),
            ("python -m unittest", true),
            ("poetry run pytest", true),
            ("CI=1 npm test", true),
            ("npm run test:unit", true),
            ("cd web && pnpm -r test", true),
            ("node --test", true),
            ("node tests/run.js", true),
            ("npx vitest run", true),
            ("cargo test --workspace", true),
            ("cargo nextest run", true),
            ("go test ./...", true),
            ("./gradlew test", true),
            ("mvn -q verify", true),
            ("dotnet test", true),
            ("swift test", true),
            ("make check", true),
            ("make test", true),
            ("./run_tests.sh", true),
            ("sh scripts/test.sh", true),
            ("timeout 60 bats tests", true),
            ("bazel test //...", true),
            ("sbt testOnly", true),
            ("test -f out.txt", false),
            ("[ -f out.txt ]", false),
            ("grep -q new tests/data.txt", false),
            ("diff tests/expected out", false),
            ("npm run lint -- tests", false),
            ("ruff check tests", false),
            ("cargo clippy --tests", false),
            ("cargo check", false),
            ("cargo test --no-run", false),
            ("pytest --collect-only", false),
            ("npm run build", false),
            ("tsc -p tsconfig.test.json", false),
            ("echo test", false),
            ("python latest.py", false),
            ("true", false),
            ("", false),
        ] {
            assert_eq!(runs_tests(line), expected, "{line}");
        }
    }
}
