//! Outputs as the runners print them, and that any bytes will do.

use codex_worker_policy::{CommandOutput, Failure, ReportFile, Signal, Signals};
use proptest::prelude::*;

use crate::SignalsPolicy;

/// `runner passed/failed/skipped/errors [none] id@path:line`, one signal a line.
fn shown(signals: &[Signal]) -> String {
    let one = |signal: &Signal| {
        let Signal { runner, passed, failed, skipped, errors, nothing_ran, first_failures } = signal;
        let none = if *nothing_ran { " none" } else { "" };
        let place = |f: &Failure| match (&f.path, f.line) {
            (Some(path), Some(line)) => format!("@{path}:{line}"),
            (Some(path), None) => format!("@{path}"),
            _ => String::new(),
        };
        let failures: String = first_failures.iter().map(|f| format!("; {}{}", f.id, place(f))).collect();
        format!("{runner} {passed}/{failed}/{skipped}/{errors}{none}{failures}")
    };
    signals.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// One file of `fixtures/`: a title, the command, its exit code, what is to be read (`\n`
/// between signals), a line of dashes, and the output as it came.
struct Fixture {
    name: String,
    input: CommandOutput,
    expected: String,
}

fn fixtures() -> Vec<Fixture> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).expect("text");
        let (head, output) = text.split_once("\n---\n").expect("a line of dashes");
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_else(|| panic!("{} has no `{name}`", path.display())).trim().to_owned()
        };
        Fixture {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            input: CommandOutput {
                exit_code: Some(field("exit").parse().expect("a number")),
                ..CommandOutput::new(field("command"), output)
            },
            expected: field("expected").replace("\\n", "\n"),
        }
    };
    files.iter().map(read).collect()
}

/// What the runners print is read, and every row of the table has an output that it reads.
#[test]
fn runners() {
    let fixtures = fixtures();
    let mut wrong = Vec::new();
    for Fixture { name, input, expected } in &fixtures {
        let found = shown(&SignalsPolicy.parse(input));
        if found != *expected {
            wrong.push(format!("{name}\n  expected: {expected}\n  found:    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), fixtures.len(), wrong.join("\n"));
    for format in crate::formats::FORMATS {
        let read =
            |fixture: &Fixture| fixture.expected.lines().any(|l| l.split(' ').next() == Some(format.runner));
        assert!(fixtures.iter().any(read), "no fixture of {}", format.runner);
        let page = include_str!("../../../docs/policies.md");
        assert!(
            page.contains(&format!("`{}`", format.runner)),
            "docs/policies.md does not name {}",
            format.runner
        );
    }
}

/// The same outputs below a task runner's names and a service's times, and all in one log.
#[test]
fn runners_below_others() {
    for Fixture { name, input, expected } in fixtures() {
        if name.starts_with("prefix-") || input.output.contains('\r') || input.output.contains('\u{1b}') {
            continue;
        }
        let below = |prefix: &str| -> String {
            let lines: String = input.output.lines().map(|line| format!("{prefix}{line}\n")).collect();
            // So that one line is not the only one of its name.
            format!("{lines}{prefix}\n")
        };
        for prefix in ["web:test: ", "test-1  | ", "[web] ", "2024-01-01T10:00:00.1234567Z "] {
            let output = CommandOutput { output: below(prefix), ..input.clone() };
            assert_eq!(shown(&SignalsPolicy.parse(&output)), expected, "{name} below `{prefix}`");
        }
    }
}

fn check(name: &str, output: &str, expected: &str) {
    let found = SignalsPolicy.parse(&CommandOutput::new("x", output));
    assert_eq!(shown(&found), expected, "{name}");
}

#[test]
fn python() {
    check(
        "passed",
        "============================== 12 passed in 0.52s ==============================\n",
        "pytest 12/0/0/0",
    );
    check(
        "quiet",
        "....F\n1 failed, 4 passed, 2 skipped, 1 xfailed, 3 warnings in 62.10s (0:01:02)\n",
        "pytest 4/1/3/0",
    );
    check(
        "none",
        "collected 0 items\n\n============ no tests ran in 0.01s ============\n",
        "pytest 0/0/0/0 none",
    );
    check("all skipped", "=== 66 skipped in 0.20s ===\n", "pytest 0/0/66/0 none");
    check("deselected", "=== 40 deselected in 0.20s ===\n", "pytest 0/0/0/0 none");
    check(
        "colour",
        "\u{1b}[31m=== \u{1b}[31m\u{1b}[1m1 failed\u{1b}[0m, \u{1b}[32m2 passed\u{1b}[0m\u{1b}[31m in 0.03s\u{1b}[0m\u{1b}[31m ===\u{1b}[0m\n",
        "pytest 2/1/0/0",
    );
    check("two runs", "1 passed in 0.1s\n2 passed, 1 skipped in 0.1s\n", "pytest 3/0/1/0");
    check(
        "collection error",
        "==================================== ERRORS ====================================\n_______________ ERROR collecting tests/test_b.py _______________\nImportError while importing test module '/x/tests/test_b.py'.\ntests/test_b.py:1: in <module>\n    import nope\nE   ModuleNotFoundError: No module named 'nope'\n=========================== short test summary info ============================\nERROR tests/test_b.py\n!!!!!!!!!!!!!!!!!!!! Interrupted: 1 error during collection !!!!!!!!!!!!!!!!!!!!\n=============================== 1 error in 0.08s ===============================\n",
        "pytest 0/0/0/1; tests/test_b.py@tests/test_b.py",
    );
    check(
        "class and parameter",
        "=== FAILURES ===\n______________ TestA.test_x[1-2] ______________\n\nself = <t.TestA>\n\n>       assert f(1) == 2\nE       assert 1 == 2\n\nsub/test_a.py:14: \n_ _ _ _ _ _ _ _ _\n\n    def f(x):\n>       raise ValueError\nE       ValueError\n\nsrc/m.py:3: ValueError\n=== short test summary info ===\nFAILED sub/test_a.py::TestA::test_x[1-2] - ValueError\n=== 1 failed in 0.02s ===\n",
        "pytest 0/1/0/0; sub/test_a.py::TestA::test_x[1-2]@src/m.py:3",
    );
    check(
        "unittest",
        "F.s\n======================================================================\nFAIL: test_b (test_a.T.test_b)\n----------------------------------------------------------------------\nTraceback (most recent call last):\n  File \"/w/test_a.py\", line 6, in test_b\n    self.assertEqual(1, 2)\nAssertionError: 1 != 2\n\n----------------------------------------------------------------------\nRan 3 tests in 0.001s\n\nFAILED (failures=1, skipped=1)\n",
        "unittest 1/1/1/0; test_b (test_a.T.test_b)@/w/test_a.py:6",
    );
    check("unittest ok", "..\n----\nRan 2 tests in 0.000s\n\nOK\n", "unittest 2/0/0/0");
    check("unittest none", "\n----\nRan 0 tests in 0.000s\n\nNO TESTS RAN\n", "unittest 0/0/0/0 none");
    check(
        "unittest expected",
        "Ran 5 tests in 0.1s\n\nOK (skipped=2, expected failures=1)\n",
        "unittest 2/0/3/0",
    );
    check(
        "unittest subtests",
        "FAIL: test_sub (t.T.test_sub) (i=0)\n----\nTraceback (most recent call last):\n  File \"t.py\", line 9, in test_sub\n    self.assertEqual(i, 1)\nAssertionError: 0 != 1\n\n====\nFAIL: test_sub (t.T.test_sub) (i=2)\n----\nTraceback (most recent call last):\n  File \"t.py\", line 9, in test_sub\n    self.assertEqual(i, 1)\nAssertionError: 2 != 1\n\n----\nRan 3 tests in 0.001s\n\nFAILED (failures=2)\n",
        "unittest 2/2/0/0; test_sub (t.T.test_sub) (i=0)@t.py:9; test_sub (t.T.test_sub) (i=2)@t.py:9",
    );
    check(
        "native traceback",
        "=== FAILURES ===\n____ test_bad ____\nTraceback (most recent call last):\n  File \"/w/test_a.py\", line 3, in test_bad\n    assert 0\nAssertionError: assert 0\n=== short test summary info ===\nFAILED test_a.py::test_bad - AssertionError: assert 0\n=== 1 failed in 0.02s ===\n",
        "pytest 0/1/0/0; test_a.py::test_bad@/w/test_a.py:3",
    );
    check(
        "very quiet",
        "F.E\n=== short test summary info ===\nFAILED test_a.py::test_b - assert 0\nERROR test_a.py::test_c - no db\n",
        "pytest 0/1/0/1; test_a.py::test_b@test_a.py; test_a.py::test_c@test_a.py",
    );
    check(
        "translated and interleaved",
        "worker 3: réussi\n\r 10%\r 50%\r100%\n\u{1b}[32mINFO\u{1b}[0m connexion fermée\n\u{1b}[31m=== \u{1b}[1m1 failed\u{1b}[0m, 2 passed in 0.03s ===\u{1b}[0m\r\n",
        "pytest 2/1/0/0",
    );
    check(
        "ruff",
        "src/a.py:1:8: F401 [*] `os` imported but unused\nFound 1 error.\n",
        "python-lint 0/0/0/1; F401@src/a.py:1",
    );
    check(
        "mypy",
        "src/a.py:3: error: Incompatible return value  [return-value]\nFound 1 error in 1 file (checked 1 source file)\n",
        "compiler 0/0/0/1; error@src/a.py:3",
    );
}

#[test]
fn rust() {
    check(
        "nextest",
        "    Starting 3 tests across 1 binary (1 test skipped)\n        PASS [   0.004s] demo tests::a\n        FAIL [   0.005s] demo tests::b\n\n--- STDERR:              demo tests::b ---\nthread 'tests::b' panicked at src/lib.rs:21:9:\nboom\n\n     Summary [   0.010s] 3 tests run: 1 passed (1 slow, 1 leaky), 1 failed, 1 timed out, 1 skipped\n        FAIL [   0.005s] demo tests::b\n     TIMEOUT [  60.0s] demo tests::c\nerror: test run failed\n",
        "nextest 1/1/1/1; demo tests::b@src/lib.rs:21; demo tests::c",
    );
    check("nextest new", "     Summary [   0.010s] 10 tests run: 10 passed, 0 skipped\n", "nextest 10/0/0/0");
    check(
        "nextest none",
        "     Summary [   0.000s] 0 tests run: 0 passed, 5 skipped\nerror: no tests to run\n",
        "nextest 0/0/5/0 none",
    );
    check(
        "rustc",
        "error[E0308]: mismatched types\n --> src/lib.rs:3:5\n  |\n3 |     1\n\nerror: aborting due to 1 previous error\n\nerror: could not compile `x` (lib) due to 1 previous error\n",
        "rustc 0/0/0/1; E0308@src/lib.rs:3",
    );
    check(
        "old panic",
        "---- b stdout ----\nthread 'b' panicked at 'assertion failed: false', src/a.rs:4:9\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n",
        "cargo-test 0/1/0/0; b@src/a.rs:4",
    );
    check(
        "thread id",
        "---- t::b stdout ----\n\nthread 't::b' (4711) panicked at src/a.rs:4:9:\nno\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n",
        "cargo-test 0/1/0/0; t::b@src/a.rs:4",
    );
    check(
        "cargo json",
        "{\"reason\":\"compiler-artifact\"}\n{\"reason\":\"compiler-message\",\"message\":{\"level\":\"error\",\"message\":\"mismatched types\",\"code\":{\"code\":\"E0308\"},\"spans\":[{\"is_primary\":true,\"file_name\":\"src/a.rs\",\"line_start\":7}]}}\n{\"reason\":\"compiler-message\",\"message\":{\"level\":\"warning\",\"message\":\"unused\",\"code\":null,\"spans\":[]}}\n",
        "rustc 0/0/0/1; E0308@src/a.rs:7",
    );
    check(
        "libtest json",
        "{ \"type\": \"suite\", \"event\": \"started\", \"test_count\": 2 }\n{ \"type\": \"test\", \"event\": \"failed\", \"name\": \"b\", \"stdout\": \"\\nthread 'b' panicked at src/l.rs:2:3:\\nno\\n\" }\n{ \"type\": \"suite\", \"event\": \"failed\", \"passed\": 1, \"failed\": 1, \"ignored\": 0, \"measured\": 0, \"filtered_out\": 0 }\n",
        "cargo-test 1/1/0/0; b@src/l.rs:2",
    );
}

#[test]
fn javascript() {
    check(
        "jest",
        "FAIL src/a.test.js\n  ● sum › adds\n\n    expect(received).toBe(expected) // Object.is equality\n\n    Expected: 3\n    Received: 4\n\n      at Object.toBe (src/a.test.js:5:13)\n      at node_modules/x.js:1:1\n\nTest Suites: 1 failed, 2 passed, 3 total\nTests:       1 failed, 2 skipped, 3 todo, 10 passed, 16 total\nSnapshots:   0 total\nTime:        1.2 s\n",
        "jest 10/1/5/0; sum › adds@src/a.test.js:5",
    );
    check(
        "jest suite",
        "FAIL src/b.test.js\n  ● Test suite failed to run\n\n    Cannot find module './nope' from 'src/b.test.js'\n\n      at Object.<anonymous> (src/b.test.js:1:1)\n\nTest Suites: 1 failed, 1 total\nTests:       0 total\n",
        "jest 0/0/0/1; Test suite failed to run@src/b.test.js:1",
    );
    check("jest none", "No tests found, exiting with code 1\n", "jest 0/0/0/0 none");
    check(
        "vitest",
        "⎯⎯⎯⎯ Failed Tests 1 ⎯⎯⎯⎯\n\n FAIL  src/a.test.ts > sum > adds\nAssertionError: expected 4 to be 3\n ❯ src/a.test.ts:7:20\n      6| \n\n⎯⎯⎯⎯[1/1]⎯\n\n Test Files  1 failed | 2 passed (3)\n      Tests  1 failed | 612 passed | 3 skipped (616)\n   Start at  10:00:00\n   Duration  1.2s\n",
        "vitest 612/1/3/0; src/a.test.ts > sum > adds@src/a.test.ts:7",
    );
    check(
        "vitest file that does not load",
        "⎯⎯⎯ Failed Suites 1 ⎯⎯⎯\n\n FAIL  c.test.ts [ c.test.ts ]\nError: Cannot find module './nope'\n ❯ c.test.ts:1:1\n\n Test Files  1 failed | 1 passed (2)\n      Tests  3 passed (3)\n",
        "vitest 3/0/0/1; c.test.ts@c.test.ts:1",
    );
    check(
        "vitest json",
        "{\"numTotalTests\":1,\"numPassedTests\":1,\"numFailedTests\":0,\"numPendingTests\":0,\"testResults\":[{\"name\":\"/w/c.test.ts\",\"status\":\"failed\",\"message\":\"Cannot find module './nope'\",\"assertionResults\":[]}]}",
        "jest 1/0/0/1; /w/c.test.ts@/w/c.test.ts",
    );
    check(
        "mocha tap",
        "not ok 1 sum adds\n  1 == 2\n  AssertionError [ERR_ASSERTION]: 1 == 2\n      at Context.<anonymous> (mo/a.js:2:63)\nok 2 sum ok\nok 3 sum later # SKIP -\n# tests 2\n# pass 1\n# fail 1\n1..3\n",
        "tap 1/1/1/0; sum adds@mo/a.js:2",
    );
    check("vitest none", "No test files found, exiting with code 1\n", "vitest 0/0/0/0 none");
    check("vitest no tests", " Test Files  1 failed (1)\n      Tests  no tests\n", "vitest 0/0/0/0 none");
    check(
        "mocha",
        "  sum\n    ✔ works\n    1) adds\n\n  1 passing (12ms)\n  1 pending\n  1 failing\n\n  1) sum\n       adds:\n\n      AssertionError [ERR_ASSERTION]: 4 == 3\n      + expected - actual\n\n      at Context.<anonymous> (test/a.js:6:12)\n",
        "mocha 1/1/1/0; sum › adds@test/a.js:6",
    );
    check("mocha none", "\n  0 passing (1ms)\n", "mocha 0/0/0/0 none");
    check(
        "node spec",
        "✔ a (0.5ms)\n✖ b (1.2ms)\nℹ tests 2\nℹ suites 0\nℹ pass 1\nℹ fail 1\nℹ cancelled 0\nℹ skipped 0\nℹ todo 0\nℹ duration_ms 50\n\n✖ failing tests:\n\ntest at a.test.mjs:4:1\n✖ b (1.2ms)\n  AssertionError [ERR_ASSERTION]: 1 == 2\n      at TestContext.<anonymous> (file:///w/a.test.mjs:5:10)\n",
        "node-test 1/1/0/0; b@a.test.mjs:4",
    );
    check(
        "node tap",
        "TAP version 13\n# Subtest: a\nok 1 - a\n# Subtest: b\nnot ok 2 - b\n  ---\n  location: '/w/a.test.mjs:4:1'\n  error: '1 == 2'\n  ...\n1..2\n# tests 2\n# suites 0\n# pass 1\n# fail 1\n# cancelled 0\n# skipped 0\n# todo 0\n",
        "node-test 1/1/0/0; b@/w/a.test.mjs:4",
    );
    check(
        "bun",
        "a.test.ts:\n(pass) a [0.1ms]\n(fail) b [0.2ms]\n\n 1 pass\n 1 fail\n 2 expect() calls\nRan 2 tests across 1 files. [10.00ms]\n",
        "bun 1/1/0/0; b",
    );
    check("deno", "\nok | 5 passed | 0 failed | 1 ignored (10ms)\n", "deno 5/0/1/0");
    check(
        "tsc",
        "src/a.ts(3,5): error TS2304: Cannot find name 'x'.\nsrc/b.ts:4:1 - error TS1005: ';' expected.\n",
        "tsc 0/0/0/2; TS2304@src/a.ts:3; TS1005@src/b.ts:4",
    );
    check(
        "eslint",
        "/w/src/a.js\n  3:5  error  'x' is not defined  no-undef\n  4:1  warning  Unexpected console  no-console\n\n✖ 2 problems (1 error, 1 warning)\n",
        "eslint 0/0/0/1; no-undef@/w/src/a.js:3",
    );
    check(
        "eslint json",
        "[{\"filePath\":\"/w/a.js\",\"messages\":[{\"ruleId\":\"no-undef\",\"severity\":2,\"message\":\"m\",\"line\":3}]}]",
        "eslint 0/0/0/1; no-undef@/w/a.js:3",
    );
    check(
        "jest json",
        "{\"numTotalTests\":2,\"numPassedTests\":1,\"numFailedTests\":1,\"numPendingTests\":0,\"testResults\":[{\"name\":\"/w/a.test.js\",\"assertionResults\":[{\"status\":\"failed\",\"fullName\":\"sum adds\",\"failureMessages\":[\"Error: no\\n  at Object.toBe (/w/a.test.js:5:1)\"]}]}]}",
        "jest 1/1/0/0; sum adds@/w/a.test.js:5",
    );
}

#[test]
fn go_jvm_and_others() {
    check(
        "go",
        "--- FAIL: TestA (0.00s)\n    a_test.go:7: got 1, want 2\nFAIL\nFAIL\texample.com/p\t0.003s\nok  \texample.com/q\t0.002s\n?   \texample.com/r\t[no test files]\nFAIL\n",
        "go-test 1/1/0/0; TestA@a_test.go:7",
    );
    check(
        "go verbose",
        "=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n    a_test.go:3: later\n--- SKIP: TestB (0.00s)\nPASS\nok  \tp\t0.1s\n",
        "go-test 1/0/1/0",
    );
    check("go none", "?   \tp\t[no test files]\n", "go-test 0/0/0/0 none");
    check(
        "go filtered",
        "testing: warning: no tests to run\nPASS\nok  \tp\t0.1s [no tests to run]\n",
        "go-test 0/0/0/0 none",
    );
    check(
        "go build",
        "# p [p.test]\n./a_test.go:3:7: undefined: x\nFAIL\tp [build failed]\nFAIL\n",
        "go-test 0/0/0/1; p@./a_test.go:3",
    );
    check(
        "maven",
        "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 1, Time elapsed: 0.1 s - in a.BarTest\n[ERROR] Tests run: 2, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.02 s <<< FAILURE! - in a.FooTest\n[ERROR] a.FooTest.bar  Time elapsed: 0.01 s  <<< FAILURE!\n[INFO] Results:\n[ERROR] Failures: \n[ERROR]   FooTest.bar:12 expected: <1> but was: <2>\n[ERROR] Tests run: 5, Failures: 1, Errors: 0, Skipped: 1\n",
        "maven 3/1/1/0; FooTest.bar@FooTest.java:12",
    );
    check(
        "maven with surefire 3",
        "[INFO] Running a.FooTest$Inner\n[ERROR] Tests run: 1, Failures: 1, Errors: 0, Skipped: 0, Time elapsed: 0.010 s <<< FAILURE! -- in a.FooTest$Inner\n[ERROR] a.FooTest$Inner.deep -- Time elapsed: 0.003 s <<< FAILURE!\n[INFO] Results:\n[ERROR] Failures: \n[ERROR]   FooTest$Inner.deep:10 deep down\n[ERROR] Errors: \n[ERROR]   FooTest.err:7 IllegalState boom\n[ERROR] Tests run: 4, Failures: 1, Errors: 1, Skipped: 1\n",
        "maven 1/1/1/1; FooTest$Inner.deep@FooTest.java:10; FooTest.err@FooTest.java:7",
    );
    check("maven none", "[INFO] No tests to run.\n", "maven 0/0/0/0 none");
    check(
        "gradle",
        "> Task :test FAILED\n\nFooTest > bar() FAILED\n    org.opentest4j.AssertionFailedError at FooTest.java:12\n\n10 tests completed, 1 failed, 2 skipped\n",
        "gradle 7/1/2/0; FooTest > bar()@FooTest.java:12",
    );
    check("gradle none", "> Task :test NO-SOURCE\nBUILD SUCCESSFUL in 1s\n", "gradle 0/0/0/0 none");
    check("gradle logged", "FooTest > a() PASSED\nFooTest > b() SKIPPED\n", "gradle 1/0/1/0");
    check(
        "tap",
        "TAP version 13\n1..4\nok 1 - a\nnot ok 2 - b\n  ---\n  message: 'no'\n  at: t/a.t.js:3\n  ...\nok 3 - c # SKIP later\nok 4\n",
        "tap 2/1/1/0; b@t/a.t.js:3",
    );
    check(
        "tap comments",
        "not ok 1 - a\n#   Failed test 'a'\n#   at t/a.t line 3.\n1..1\n",
        "tap 0/1/0/0; a",
    );
    check("tap short", "1..3\nok 1\n", "tap 1/0/0/2; plan");
    check("tap none", "1..0 # SKIP no database\n", "tap 0/0/0/0 none");
    check(
        "rspec",
        "10 examples, 1 failure, 2 pending\n\nFailed examples:\n\nrspec ./spec/a_spec.rb:5 # A does\n",
        "rspec 7/1/2/0; A does@./spec/a_spec.rb:5",
    );
    check("phpunit", "Tests: 5, Assertions: 10, Failures: 1, Skipped: 1.\n", "phpunit 3/1/1/0");
    check("phpunit ok", "OK (5 tests, 10 assertions)\n", "phpunit 5/0/0/0");
    check(
        "dotnet",
        "Failed!  - Failed:     1, Passed:    12, Skipped:     2, Total:    15, Duration: 1 s - a.dll (net8.0)\n",
        "dotnet 12/1/2/0",
    );
    check("ctest", "80% tests passed, 1 tests failed out of 5\n", "ctest 4/1/0/0");
    check(
        "gcc",
        "src/a.c:3:5: error: expected ';'\nsrc/a.c:9:1: fatal error: x.h: No such file or directory\n",
        "compiler 0/0/0/2; error@src/a.c:3; error@src/a.c:9",
    );
}

#[test]
fn what_is_no_runner_says_nothing() {
    for text in [
        "",
        "All 12 tests passed!\n",
        "12 passed, 0 failed\n",
        "ok\nnot ok at all\n",
        "Tests: fine\n",
        "1..3 is a range\n",
        "Built in 3.2s\n",
        "5 passing thoughts\n",
        "error: something went wrong\n",
        "{\"a\": 1}\n",
        "<html><body>ok</body></html>\n",
        "Downloading 3 files in 0.5s\n",
        "Listening on http://localhost:3000\n",
    ] {
        check(text, text, "");
    }
}

/// Tests of tools that run tests print what those print.
#[test]
fn lines_that_may_be_anybodys() {
    let printed = "2 tests, 1 failure\n1 test failed\nAll 3 tests passed.\nOK (3 tests)\n";
    check("below pytest", &format!("{printed}=== 4 passed in 0.1s ===\n"), "pytest 4/0/0/0");
    check("below go test", &format!("{printed}--- PASS: TestA (0.00s)\nok  \tp\t0.1s\n"), "go-test 1/0/0/0");
    check("alone", "2 tests, 1 failure\n", "bats 1/1/0/0");
}

#[test]
fn reports() {
    let sarif = r#"{"version":"2.1.0","runs":[{"results":[{"ruleId":"R1","level":"error","message":{"text":"bad"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"src/a.c"},"region":{"startLine":4}}}]},{"ruleId":"R2","message":{"text":"meh"}}]}]}"#;
    let by_rule = r#"{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x","rules":[{"id":"R1","defaultConfiguration":{"level":"error"}},{"id":"R2","defaultConfiguration":{"level":"note"}}]}},"results":[{"ruleId":"R1","message":{"text":"bad"}},{"ruleId":"R1","kind":"pass","message":{"text":"good"}},{"ruleId":"R2","message":{"text":"meh"}}]}]}"#;
    let surefire = r#"<testsuite name="A" tests="2" failures="1"><testcase name="x" classname="A"/><testcase name="y" classname="A"><error message="npe" type="E">at A.y(A.java:7)</error></testcase></testsuite>"#;
    let empty = "<?xml version='1.0'?>\n<testsuites name='x' tests='0'></testsuites>";
    let broken = r#"<testsuite><testcase name="a"><failure message="x > y">t.py:3: no</failure></testcase><testcase name="b""#;
    let table: &[(&[&str], &str)] = &[
        (&[sarif], "sarif 0/0/0/1; R1@src/a.c:4"),
        (&[by_rule], "sarif 0/0/0/1; R1"),
        (&[surefire], "junit 1/0/0/1; A.y@A.java:7"),
        (&[surefire, surefire], "junit 2/0/0/2; A.y@A.java:7"),
        (&[empty], "junit 0/0/0/0 none"),
        (&[broken], "junit 0/1/0/0; a@t.py:3"),
        (&["<html>"], ""),
        (&["{\"not\": \"ours\"}"], ""),
    ];
    for (contents, expected) in table {
        let report = |content: &&str| ReportFile { path: "r".into(), content: (*content).into() };
        let input =
            CommandOutput { reports: contents.iter().map(report).collect(), ..CommandOutput::default() };
        assert_eq!(shown(&SignalsPolicy.parse(&input)), *expected);
    }
    // A summary that contradicts the report is reported as well.
    let input = CommandOutput {
        output: "5 passed in 0.1s\n".into(),
        reports: vec![ReportFile { path: "r".into(), content: surefire.into() }],
        ..CommandOutput::default()
    };
    assert_eq!(shown(&SignalsPolicy.parse(&input)), "junit 1/0/0/1; A.y@A.java:7\npytest 5/0/0/0");
}

#[test]
fn the_agent_s_own_end() {
    let table = [
        (
            r#"{"type":"result","subtype":"success","is_error":false,"result":"done","permission_denials":[]}"#,
            "claude-code 1/0/0/0",
        ),
        (
            r#"{"type":"result","subtype":"success","is_error":false,"result":"done","permission_denials":[{"tool_name":"Bash","tool_input":{"command":"npm test"}}]}"#,
            "claude-code 1/0/1/0; permission-denied Bash",
        ),
        (
            r#"{"type":"result","subtype":"error_max_turns","is_error":false,"errors":[]}"#,
            "claude-code 0/0/0/1; error_max_turns",
        ),
        (
            r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":401,"result":"bad key"}"#,
            "claude-code 0/0/0/1; api-error-401",
        ),
        (
            "{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"result\":\"old\"}\n{\"type\":\"assistant\"}\n{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false}\n",
            "claude-code 1/0/0/0",
        ),
        ("{\"type\":\"turn.completed\",\"usage\":{}}", "codex 1/0/0/0"),
        ("{\"type\":\"turn.failed\",\"error\":{\"message\":\"limit\"}}", "codex 0/0/0/1; turn.failed"),
        ("not json", ""),
        ("5 passed in 0.1s", ""),
    ];
    for (output, expected) in table {
        let input = CommandOutput { name: "agent".into(), ..CommandOutput::new("claude", output) };
        assert_eq!(shown(&SignalsPolicy.parse(&input)), expected, "{output}");
    }
}

#[test]
fn failures_are_capped() {
    let mut output = String::from("=== short test summary info ===\n");
    for i in 0..20 {
        output.push_str(&format!("FAILED tests/test_a.py::test_{i} - {}\n", "é".repeat(1000)));
    }
    output.push_str("=== 20 failed in 0.1s ===\n");
    let found = SignalsPolicy.parse(&CommandOutput::new("pytest", output));
    assert_eq!(found[0].first_failures.len(), 5);
    assert!(found[0].first_failures.iter().all(|f| f.message.len() <= 300 && f.message.len() > 290));
}

/// The largest input that is allowed, in the forms that take longest.
#[test]
fn a_mebibyte_of_anything_is_read_in_time() {
    let size = 1 << 20;
    let unit = |text: &str| text.repeat(size / text.len());
    for text in [
        unit("\n"),
        unit("a"),
        unit("1:"),
        unit("<"),
        unit("<a b='"),
        unit("<failure>"),
        unit("&"),
        unit("\u{1b}["),
        unit("\r"),
        unit("not ok 1\n"),
        unit("  ● x\n"),
        unit("FAIL  a > b\n"),
        unit("--- FAIL: T\n"),
        unit("  1) a\n") + "  1 passing (1s)\n  1 failing\n  1) x\n",
        unit("thread 'a' panicked at a\n") + "test result: FAILED. 0 passed; 1 failed\n",
        unit("---- a stdout ----\nthread 'b' panicked at x.rs:1:1:\n")
            + "test result: FAILED. 0 passed; 1 failed\n",
        unit("____ a ____\nFAILED a.py::b - c\n") + "1 failed in 1s\n",
        unit("FAIL: a\n") + "Ran 1 test in 1s\nFAILED (failures=1)\n",
        unit("error: x\n"),
        "[".repeat(size),
        unit(
            "{\"Action\":\"output\",\"Package\":\"p\",\"Output\":\"a.go:1: x\"}\n{\"Action\":\"fail\",\"Package\":\"p\",\"Test\":\"t\"}\n",
        ),
        unit("{\"reason\":\"x\"}\n"),
        unit("FAIL\tp [build failed]\n"),
        unit("1 failed, 1 passed, 1 skipped\n"),
        unit("x: Executed 1 of 2 1 failed ") + "\n",
        unit(&format!("{}\n", "x: Executed 1 of 2 (1 failed) ".repeat(12))),
        unit("web:test: a\napi:test: b\n"),
        unit("Running 6 tests using 2 workers\n"),
        unit("[==========] 3 tests from 1 test suite ran.\n[  FAILED  ] a\n"),
        unit("Test Suite 'All tests' passed\n"),
        (0..size / 20).map(|n| format!("[p{n}] a\n[p{n}] b\n")).collect(),
        (0..size / 20).map(|n| format!("w{n}:test: ok\n")).collect(),
        unit("  1) a [x.rs:3]:\n") + "3 runs, 2 assertions, 2 failures, 0 errors\n",
        unit("✖ a\n") + "ℹ tests 1\nℹ pass 0\nℹ fail 1\n",
    ] {
        let name: String = text.chars().take(20).collect();
        let start = std::time::Instant::now();
        let found = SignalsPolicy.parse(&CommandOutput::new("x", text));
        let took = start.elapsed();
        // Without optimisation and on a busy machine; what is quadratic takes minutes.
        eprintln!("{took:?} {name:?}");
        assert!(took.as_secs() < 20, "{took:?} for {name:?}…");
        assert!(found.iter().all(|s| s.first_failures.len() <= 5));
    }
}

/// Pieces of real output, so that random text comes near the readers.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "FAILED ",
        "test result: ok. ",
        "1 passed",
        "; ",
        ", ",
        " in 0.1s",
        "\n",
        "\n",
        "=== ",
        "Tests: ",
        " total",
        "--- FAIL: ",
        "<testsuite",
        "<testcase name=\"",
        "\"",
        ">",
        "</",
        "<![CDATA[",
        "not ok ",
        "1..",
        "5",
        "4294967299",
        "a.rs:3:4",
        "\u{1b}[",
        "\r",
        "é",
        "Summary [",
        "]",
        "(",
        "  ● ",
        "FAIL ",
        " > ",
        "\t",
        "{\"Action\":",
        "}",
        "Ran ",
        " tests",
        "OK (",
        "thread '",
        "' panicked at ",
        "____ ",
        " ____",
        ": error: ",
        " passing (",
        "error TS",
        "Tests run: ",
        "ℹ pass ",
        "# tests ",
        "[==========] ",
        "[  PASSED  ] ",
        " tests from ",
        "Executed ",
        " of ",
        "1 failure",
        "web:test: ",
        "[web] ",
        "web  | ",
        "10:00:00 ",
        "Running ",
        " tests using 2 workers",
        "DONE ",
        "Total: ",
        " FAILED",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn total_on_any_text(text in prop_oneof![any::<String>(), pieces()], name in prop::sample::select(vec!["agent", "unit"])) {
        let report = ReportFile { path: "r".into(), content: text.clone() };
        let input = CommandOutput { name: name.into(), reports: vec![report], ..CommandOutput::new("x", text) };
        let once = SignalsPolicy.parse(&input);
        prop_assert_eq!(&once, &SignalsPolicy.parse(&input));
        for signal in &once {
            prop_assert!(signal.first_failures.len() <= 5);
            prop_assert!(signal.first_failures.iter().all(|f| f.message.len() <= 300 && f.id.len() <= 200));
            prop_assert!(!signal.nothing_ran || signal.passed + signal.failed + signal.errors == 0);
        }
    }
}
