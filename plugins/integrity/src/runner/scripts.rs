//! Scripts and CI steps in which a failure no longer fails.

use codex_worker_policy::CheckSpec;

use crate::diff::{File, Line};
use crate::findings::{Findings, quote};
use crate::paths;

const COMMANDS: &[&str] = &[
    "test", "pytest", "jest", "vitest", "mocha", "cargo", "go vet", "npm", "pnpm", "yarn", "make", "mvn",
    "gradle", "tsc", "mypy", "ruff", "eslint", "lint", "check", "clippy", "tox", "rspec", "phpunit",
    "dotnet", "ctest", "\"$@\"", "python", "node ",
];

pub fn swallowed(file: &File<'_>, checks: &[CheckSpec], findings: &mut Findings<'_>) {
    // A check's own script is whatever its command line names.
    let own = checks
        .iter()
        .any(|check| check.command.split_whitespace().any(|word| word.trim_start_matches("./") == file.path));
    if !own && !paths::is_script(file.path) {
        return;
    }
    if let Some(line) = step_removed(file) {
        findings.add(
            "failure-swallowed",
            Some((file.path, line.number)),
            format!("a step that checks was taken out: {}", quote(line.text)),
            "restore the step; a job that may change this file names it in its scope",
        );
        return;
    }
    let lower = file.path.to_ascii_lowercase();
    let about_tests = own
        || ["test", "check", "lint", "verify"].iter().any(|word| lower.contains(word))
        || lower.split(|c: char| !c.is_alphanumeric()).any(|word| word == "ci");
    let swallows = |line: &&Line<'_>| {
        let packed: String = line.code.split_whitespace().collect::<Vec<_>>().join(" ");
        let runs = own || COMMANDS.iter().any(|command| packed.contains(command));
        let makefile = paths::base(file.path).eq_ignore_ascii_case("makefile");
        ALWAYS.iter().any(|form| packed.contains(form))
            || runs && (goes_on(file, &packed, about_tests) || makefile && line.text.starts_with("\t-"))
            || about_tests && ends_well(&packed)
    };
    // A line that only moved was there before.
    let moved = |line: &Line<'_>| file.removed().any(|old| old.code.trim() == line.code.trim());
    if let Some(line) = file.added().find(swallows).filter(|line| !moved(line)) {
        findings.add(
            "failure-swallowed",
            Some((file.path, line.number)),
            format!("a failure no longer fails: {}", quote(line.text)),
            "let the command's exit code through; a job that may change this script names it in its scope",
        );
    }
}

/// A step of a CI definition that ran tests, and that nothing replaces.
fn step_removed<'a, 'b>(file: &'a File<'b>) -> Option<&'a Line<'b>> {
    let step = |line: &&Line<'_>| {
        let code = line.code.trim();
        ["test", "pytest", "jest", "vitest", "clippy", "lint", "make check"].iter().any(|c| code.contains(c))
            && ["run:", "- run:", "script:", "- "].iter().any(|start| code.starts_with(start))
            && !code.contains("uses:")
            && !code.contains("name:")
    };
    let workflow = file.path.contains(".github/workflows/") || file.path.ends_with(".gitlab-ci.yml");
    let gone = workflow && file.existed() && !file.added().any(|line| step(&line));
    gone.then(|| file.removed().find(step)).flatten()
}

/// Options and keys with which a failure counts for nothing, or nothing runs.
const ALWAYS: &[&str] = &[
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
];

/// The shell continues after a command that failed.
fn goes_on(file: &File<'_>, packed: &str, about_tests: bool) -> bool {
    ["; true", ";true", "; :", "; echo", ";echo", "; exit 0", ";exit 0"].iter().any(|form| packed.contains(form))
        || forgives(packed, about_tests)
        // Without pipefail the last command of a pipe decides.
        || ["| tee", "| cat", "| tail", "| head", "| grep", "| sed", "| awk"].iter().any(|form| {
            let command = packed.split('|').next().unwrap_or_default().trim();
            packed.contains(form)
                && !command.is_empty()
                && file.removed().any(|old| old.code.trim() == command)
        })
        || about_tests && packed.ends_with(" &") && !packed.ends_with("&& &")
}

/// A test script that ends with status 0 whatever happened.
fn ends_well(packed: &str) -> bool {
    matches!(packed, "set +e" | "exit 0" | "true" | "set +o pipefail")
        || packed.ends_with("; exit 0")
        || packed.ends_with("&& exit 0") && packed.contains("||")
        || packed.starts_with("trap 'exit 0'")
        || packed.starts_with("trap \"exit 0\"")
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
