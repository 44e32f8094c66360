//! Code that looks whether it is tested, or reads its tests.

use codex_worker_policy::Severity;

use crate::diff::{File, Line};
use crate::findings::{Findings, quote};
use crate::paths::Language;

/// Code that can have no honest reason to know that it is tested, or that reads the tests.
pub fn tests_looked_for(file: &File<'_>, findings: &mut Findings<'_>) {
    let strong = |line: &&Line<'_>| {
        asks_for_a_runner(line, file.language)
            || asks_who_calls(line)
            || reads_tests(line)
            || imports_tests(line, file.language)
    };
    let Some(line) = file.added().find(strong) else { return };
    let old_lines = file.removed().any(|old| old.code.trim() == line.code.trim());
    // What builds, generates or ships is no code under test.
    let tool =
        ["scripts/", "tools/", "bin/", "xtask/", "benches/", "examples/", "build", "setup.", "noxfile"]
            .iter()
            .any(|part| file.path.starts_with(part) || file.path.contains(&format!("/{part}")));
    if old_lines || tool || file.path.contains(".config.") {
        return;
    }
    findings.add_as(
        "test-detected",
        Severity::Deny,
        Some((file.path, line.number)),
        format!("the code looks at its tests: {}", quote(line.text)),
        "let the code do the same under test and in use",
    );
}

fn code_holds(line: &Line<'_>, forms: &[&str]) -> bool {
    forms.iter().any(|form| line.code.contains(form))
}

/// A call, not its name in a string.
fn calls(line: &Line<'_>, forms: &[&str]) -> bool {
    forms.iter().any(|form| line.bare.contains(form))
}

fn asks_for_a_runner(line: &Line<'_>, language: Language) -> bool {
    let forms: &[&str] = match language {
        Language::Python => &[
            "PYTEST_CURRENT_TEST",
            "\"pytest\" in sys.modules",
            "'pytest' in sys.modules",
            "\"unittest\" in sys.modules",
            "'unittest' in sys.modules",
            "sys.modules[\"pytest\"]",
            "sys.modules.get(\"pytest\"",
            "sys.modules.get('pytest'",
        ],
        Language::JavaScript => &[
            "JEST_WORKER_ID",
            "process.env.VITEST",
            "NODE_TEST_CONTEXT",
            "typeof jest",
            "typeof describe",
            "typeof it ===",
        ],
        Language::Rust => &["RUST_TEST_THREADS", "\"NEXTEST"],
        Language::Go => &["testing.Testing()", "flag.Lookup(\"test.v\")", "\"-test.v\"", "\".test\")"],
        Language::Ruby => &["defined?(RSpec)", "defined?(Minitest)"],
        Language::Braces => &["XCTestConfigurationFilePath", "surefire"],
        _ => &[],
    };
    // In Rust the names are in strings; what asks for one reads the environment.
    code_holds(line, forms) && (language != Language::Rust || line.bare.contains("env"))
}

/// The stack or the command line, for a test's name.
fn asks_who_calls(line: &Line<'_>) -> bool {
    let stack = calls(
        line,
        &[
            "inspect.stack(",
            "sys._getframe(",
            "extract_stack(",
            "currentframe(",
            "new Error().stack",
            "getStackTrace()",
            "runtime.Caller",
        ],
    ) && code_holds(line, &["test", "spec"]);
    let argv = calls(line, &["sys.argv", "process.argv", "os.Args", "env::args("])
        && code_holds(line, &["pytest", "unittest", "jest", "vitest", "mocha", "test.", "_test"]);
    stack || argv
}

/// A file that is read by a name that only tests have.
fn reads_tests(line: &Line<'_>) -> bool {
    const READS: &[&str] = &[
        "open(",
        "Path(",
        "path.join(",
        "readFile(",
        "readFileSync(",
        "include_str!(",
        "include_bytes!(",
        "read_to_string(",
        "fs::read(",
        "ReadFile(",
        "File.read(",
        "Files.readString(",
        "Paths.get(",
        "getsource(",
        "glob(",
    ];
    const TESTS: &[&str] = &[
        "tests/",
        "test/",
        "test_",
        "__tests__",
        "_test.",
        ".test.",
        ".spec.",
        ".snap",
        "spec/",
        "expected/",
        "golden/",
        "\"tests\"",
        "'tests'",
    ];
    let code = line.code.as_ref();
    let argument = |form: &&str| {
        line.bare.contains(*form)
            && code.match_indices(form).any(|(at, _)| {
                let rest = &code[at + form.len()..];
                let inner = &rest[..rest.find(')').unwrap_or(rest.len())];
                TESTS.iter().any(|word| inner.contains(word))
            })
    };
    READS.iter().any(argument) && !code_holds(line, &["latest", "contest"])
}

fn imports_tests(line: &Line<'_>, language: Language) -> bool {
    match language {
        Language::Python => ["from tests", "import tests", "from test_", "import test_"]
            .iter()
            .any(|start| line.bare.trim_start().starts_with(start)),
        Language::JavaScript => {
            code_holds(line, &["require(", " from "])
                && code_holds(
                    line,
                    &[".test'", ".test\"", ".spec'", ".spec\"", "__tests__/", "__snapshots__"],
                )
        }
        _ => false,
    }
}

pub fn detects_test(line: &Line<'_>, language: Language) -> bool {
    let code = line.code.as_ref();
    let any = |forms: &[&str]| forms.iter().any(|form| code.contains(form));
    match language {
        Language::Python => {
            any(&[
                "inspect.stack(",
                "PYTEST_CURRENT_TEST",
                "sys._getframe(",
                "traceback.extract_stack(",
                "inspect.currentframe(",
                "\"pytest\" in sys.modules",
                "'pytest' in sys.modules",
                "\"unittest\" in sys.modules",
            ]) || code.contains("sys.argv") && code.contains("test")
        }
        Language::JavaScript => {
            any(&[
                "JEST_WORKER_ID",
                "process.env.VITEST",
                "import.meta.vitest",
                "typeof jest",
                "typeof describe",
                "typeof it ===",
                "NODE_TEST_CONTEXT",
            ]) || code.contains("NODE_ENV") && (code.contains("'test'") || code.contains("\"test\""))
                || code.contains("new Error().stack")
        }
        Language::Rust => any(&["cfg!(test)", "\"RUST_TEST_THREADS", "\"NEXTEST"]),
        Language::Go => {
            any(&["testing.Testing()", "flag.Lookup(\"test.v\")", "runtime.Caller("]) && !any(&["log"])
        }
        Language::Braces => any(&["getStackTrace()", "PHPUNIT", "XCTestConfigurationFilePath", "surefire"]),
        Language::Ruby => any(&["defined?(RSpec)", "defined?(Minitest)", "caller.any?"]),
        _ => false,
    }
}
