//! The examples that the component proves itself with.

use codex_worker_policy::{CommandOutput, Example, Failure, ReportFile, Signal};

fn counts(runner: &str, passed: u32, failed: u32, skipped: u32, errors: u32) -> Signal {
    Signal { runner: runner.into(), passed, failed, skipped, errors, ..Signal::default() }
}

fn failure(id: &str, path: &str, line: u32, message: &str) -> Failure {
    Failure {
        id: id.into(),
        path: (!path.is_empty()).then(|| path.into()),
        line: (line > 0).then_some(line),
        message: message.into(),
    }
}

pub fn pytest() -> Example {
    let output = "\
=================================== FAILURES ===================================
____________________________________ test_b ____________________________________

    def test_b():
>       assert 1 == 2
E       assert 1 == 2

tests/test_a.py:5: AssertionError
=========================== short test summary info ============================
FAILED tests/test_a.py::test_b - assert 1 == 2
========================= 1 failed, 1 passed in 0.03s ==========================
";
    let signal = Signal {
        first_failures: vec![failure("tests/test_a.py::test_b", "tests/test_a.py", 5, "assert 1 == 2")],
        ..counts("pytest", 1, 1, 0, 0)
    };
    Example::signals("pytest", CommandOutput::new("pytest", output), [signal])
        .why("the summary gives the counts, the traceback the line")
}

pub fn cargo() -> Example {
    let output = "\
running 2 tests
test a ... ok
test b ... FAILED

failures:

---- b stdout ----

thread 'b' panicked at src/lib.rs:10:5:
assertion `left == right` failed

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
";
    let signal = Signal {
        first_failures: vec![failure("b", "src/lib.rs", 10, "assertion `left == right` failed")],
        ..counts("cargo-test", 4, 1, 1, 0)
    };
    Example::signals("cargo test with two binaries", CommandOutput::new("cargo test", output), [signal])
        .why("cargo prints one result for each binary: they are summed")
}

pub fn nothing() -> Example {
    let output =
        "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 40 filtered out; finished in 0.00s\n";
    let signal = Signal { nothing_ran: true, ..counts("cargo-test", 0, 0, 0, 0) };
    Example::signals("all filtered out", CommandOutput::new("cargo test typo", output), [signal])
        .why("exit code 0, and no test ran")
}

pub fn vitest() -> Example {
    let output = "\u{1b}[2m Test Files \u{1b}[22m 3 passed (3)\n\u{1b}[2m      Tests \u{1b}[22m 612 passed (612)\n     Errors  1 error\n";
    Example::signals(
        "vitest with an error outside of tests",
        CommandOutput::new("npx vitest run", output),
        [counts("vitest", 612, 0, 0, 1)],
    )
    .why("an unhandled error counts although all tests passed")
}

pub fn junit() -> Example {
    let content = r#"<?xml version="1.0"?><testsuites><testsuite name="s" tests="3">
<testcase classname="m.A" name="ok" file="tests/a.py" line="3"/>
<testcase classname="m.A" name="skipped"><skipped message="later"/></testcase>
<testcase classname="m.A" name="bad" file="tests/a.py" line="9"><failure message="1 &lt; 2"><![CDATA[tests/a.py:12: AssertionError]]></failure></testcase>
</testsuite></testsuites>"#;
    let input = CommandOutput {
        reports: vec![ReportFile { path: "report.xml".into(), content: content.into() }],
        ..CommandOutput::new("pytest --junitxml=report.xml", "1 failed, 1 passed, 1 skipped in 0.01s\n")
    };
    let signal = Signal {
        first_failures: vec![failure("m.A.bad", "tests/a.py", 12, "1 < 2")],
        ..counts("junit", 1, 1, 1, 0)
    };
    Example::signals("JUnit XML beside a summary line", input, [signal])
        .why("the report is read first; a summary that says the same is not reported twice")
}

pub fn go_json() -> Example {
    let output = r#"{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: got 1\n"}
{"Action":"fail","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"pass","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"fail","Package":"p","Elapsed":0.1}
"#;
    let signal = Signal {
        first_failures: vec![failure("TestA", "a_test.go", 7, "got 1")],
        ..counts("go-test", 1, 1, 0, 0)
    };
    Example::signals("go test -json", CommandOutput::new("go test -json ./...", output), [signal])
        .why("events of tests count; the package's own event does not")
}

pub fn uncounted() -> Example {
    let signal = Signal { nothing_ran: false, ..counts("uncounted", 0, 0, 0, 0) };
    Example::signals(
        "tests that nobody counted",
        CommandOutput::new("sh run_tests.sh", "all good\n"),
        [signal],
    )
    .why("the command looks like a run of tests, and its output does not say how many ran")
}

pub fn agent() -> Example {
    let output = r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":529,"result":"API Error: overloaded","permission_denials":[]}"#;
    let input =
        CommandOutput { name: "agent".into(), exit_code: Some(0), ..CommandOutput::new("claude -p", output) };
    let signal = Signal {
        first_failures: vec![failure("api-error-529", "", 0, "API Error: overloaded")],
        ..counts("claude-code", 0, 0, 0, 1)
    };
    Example::signals("the agent's final event", input, [signal])
        .why("an API error comes as `success` with `is_error`, and exit code 0")
}

pub fn prose() -> Example {
    Example::signals("prose", CommandOutput::new("echo", "All 12 tests passed, nothing failed.\n"), [])
        .why("no runner prints this: it is no fact")
}
