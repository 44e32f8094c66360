//! The table of runners: how each of them says what it ran. Lines are templates
//! ([`crate::template`]); [`crate::summary`] reads them. The first row that knows a line has
//! it, so what is more exact comes first.

use codex_worker_policy::Signal;

use crate::{javascript, jvm, python, rust};

/// One format in which a runner sums up.
#[derive(Clone, Copy)]
pub struct Format {
    /// Rows of the same runner are ways to say the same: the first that was seen counts.
    pub runner: &'static str,
    /// The line that a summary begins with.
    pub first: &'static [&'static str],
    /// One of these must follow, when there are any.
    pub must: &'static [&'static str],
    /// Further lines that may follow.
    pub more: &'static [&'static str],
    /// How many lines the summary may have; `ALL` up to the next one.
    pub reach: usize,
    /// Each summary repeats those before it, so the last one counts; else they add up.
    pub last: bool,
    /// Lines that say that no test ran.
    pub none: &'static [&'static str],
    /// Runners whose own words this one repeats.
    pub over: &'static [&'static str],
    /// The line may be anybody's: it counts only where no other runner was understood.
    pub weak: bool,
    /// A run without tests says nothing where one of these ran some.
    pub beside: &'static [&'static str],
    /// Where failing tests are named.
    pub failures: Failures,
}

/// Up to the next summary.
pub const ALL: usize = usize::MAX;

/// Where failing tests are named.
#[derive(Clone, Copy)]
pub enum Failures {
    /// Templates with `{id}`, of one line or two. What they do not hold themselves, location
    /// and message, is looked for in the lines below.
    Below(&'static [&'static str]),
    /// The same with the lines above.
    Above(&'static [&'static str]),
    /// The same, and the line says all.
    Listed(&'static [&'static str]),
    /// A reader of its own.
    By(fn(&[&str], &mut Signal)),
}

const ROW: Format = Format {
    runner: "",
    first: &[],
    must: &[],
    more: &[],
    reach: 8,
    last: false,
    none: &[],
    over: &[],
    weak: false,
    beside: &[],
    failures: Failures::Below(&[]),
};

use Failures::{Above, Below, By, Listed};

/// Every row.
pub const FORMATS: &[Format] = &[
    // Python
    Format {
        runner: "pytest",
        first: &["{counts} in {n}s", "{counts} in {n}s (…)"],
        none: &["no tests ran in {n}s", "no tests collected in {n}s", "no tests collected, … in {n}s"],
        failures: By(python::pytest_failures),
        ..ROW
    },
    Format {
        // Also nose2, Django and trial.
        runner: "unittest",
        first: &["Ran {total} tests? in {n}s", "Ran {total} tests? in {n}s using …"],
        must: &[
            "OK",
            "OK ({counts})",
            "FAILED",
            "FAILED ({counts})",
            "PASSED ({counts})",
            "NO TESTS RAN",
            "NO TESTS RAN ({counts})",
        ],
        reach: 3,
        failures: By(python::unittest_failures),
        ..ROW
    },
    Format {
        runner: "stestr",
        first: &["Ran: {total} tests? in …"],
        must: &["- Passed: {passed}"],
        more: &[
            "- Skipped: {skipped}",
            "- Expected Fail: {skipped}",
            "- Unexpected Success: {failed}",
            "- Failed: {failed}",
        ],
        ..ROW
    },
    Format {
        runner: "robot",
        first: &[
            "{total} tests?, {passed} passed, {failed} failed",
            "{total} tests?, {passed} passed, {failed} failed, {skipped} skipped",
            "{total} tests? total, {passed} passed, {failed} failed",
            "{total} tests?, {passed} passed, {failed} failed, {skipped} skipped.",
        ],
        last: true,
        none: &["[ ERROR ] Suite '…' contains no tests …"],
        failures: Below(&["{id} | FAIL |"]),
        ..ROW
    },
    Format {
        runner: "behave",
        first: &["{passed} scenarios? passed, {counts}"],
        failures: Listed(&["Failing scenarios:\n{at} {id}"]),
        ..ROW
    },
    // Rust
    Format {
        runner: "cargo-test",
        first: &["test result: ok. {counts}", "test result: FAILED. {counts}"],
        failures: By(rust::test_failures),
        ..ROW
    },
    Format {
        runner: "nextest",
        first: &["Summary [ {n}s] … run: {counts}"],
        none: &["error: no tests to run", "error: no tests to run…"],
        failures: By(rust::nextest_failures),
        ..ROW
    },
    // JavaScript
    Format {
        // Also helm-unittest.
        runner: "jest",
        first: &["Tests: {counts} total", "Tests: {total} total"],
        none: &["No tests found, exiting with code…", "No tests found"],
        failures: By(javascript::jest_failures),
        ..ROW
    },
    Format {
        runner: "vitest",
        first: &["Tests {counts} ({n})", "Tests no tests"],
        more: &["Errors {errors} errors?", "Type Errors {errors} errors?", "Type Errors no errors"],
        reach: 4,
        none: &["No test files found…"],
        failures: By(javascript::vitest_failures),
        ..ROW
    },
    Format {
        runner: "cypress",
        first: &[
            "✔ All specs passed! {n} {total} {passed} {failed} {skipped} {skipped}",
            "✖ {n} of {n} failed ({n}%) {n} {total} {passed} {failed} {skipped} {skipped}",
        ],
        none: &["Can't run because no spec files were found."],
        over: &["mocha"],
        failures: By(javascript::mocha_failures),
        ..ROW
    },
    Format {
        runner: "mocha",
        first: &["{passed} passing (…)"],
        more: &["{skipped} pending", "{failed} failing"],
        reach: 4,
        none: &["Error: No test files found…"],
        failures: By(javascript::mocha_failures),
        ..ROW
    },
    Format {
        runner: "node-test",
        first: &["ℹ tests {total}", "# tests {total}"],
        must: &["ℹ cancelled {errors}", "# cancelled {errors}"],
        more: &[
            "ℹ suites {n}",
            "ℹ pass {passed}",
            "ℹ fail {failed}",
            "ℹ skipped {skipped}",
            "ℹ todo {skipped}",
            "# suites {n}",
            "# pass {passed}",
            "# fail {failed}",
            "# skipped {skipped}",
            "# todo {skipped}",
        ],
        over: &["tap"],
        failures: By(javascript::node_failures),
        ..ROW
    },
    Format { runner: "tap", first: &["# { {counts} }", "Asserts: {counts} of {n}"], over: &["tap"], ..ROW },
    Format {
        runner: "bun",
        first: &["{passed} pass"],
        must: &["Ran {n} tests? across …"],
        more: &[
            "{failed} fail",
            "{skipped} skip",
            "{skipped} todo",
            "{errors} errors?",
            "{n} filtered out",
            "{n} expect() calls",
        ],
        none: &["The following filters did not match any test files:", "No tests found!"],
        failures: Above(&["(fail) {id} [{n}ms]", "(fail) {id}"]),
        ..ROW
    },
    Format {
        runner: "deno",
        first: &["ok | {counts}", "FAILED | {counts}"],
        none: &["error: No test modules found"],
        failures: Below(&["{id} => {at}"]),
        ..ROW
    },
    Format {
        runner: "playwright",
        first: &["Running {n} tests? using {n} workers?"],
        must: &[
            "{passed} passed (…)",
            "{failed} failed",
            "{passed} flaky",
            "{skipped} skipped",
            "{skipped} did not run",
        ],
        more: &[
            "{errors} interrupted",
            "{errors} errors? was not a part of any test…",
            "{errors} errors? were not a part of any test…",
        ],
        reach: ALL,
        none: &["Error: No tests found"],
        failures: Below(&["{n}) {id}"]),
        ..ROW
    },
    Format {
        runner: "testcafe",
        first: &["Running tests in:"],
        must: &["{passed} passed (…)", "{failed}/{total} failed (…)"],
        more: &["{skipped} skipped"],
        reach: ALL,
        ..ROW
    },
    Format {
        runner: "jasmine",
        first: &["{total} specs?, {counts}"],
        none: &["No specs found", "Incomplete: No specs found"],
        failures: Below(&["{n}) {id}"]),
        ..ROW
    },
    Format { runner: "karma", first: &["TOTAL: {counts}"], failures: Below(&["{id} FAILED"]), ..ROW },
    Format {
        runner: "karma",
        first: &[
            "…: Executed {n} of {total} {counts} …",
            "…: Executed {n} of {total} SUCCESS …",
            "…: Executed {n} of {total} ERROR…",
            "…: Executed {n} of {total} DISCONNECTED…{+errors}",
        ],
        last: true,
        failures: Below(&["{id} FAILED"]),
        ..ROW
    },
    Format {
        // karma-mocha-reporter
        runner: "karma",
        first: &["SUMMARY:"],
        must: &["✔ {passed} tests? completed", "✖ {failed} tests? failed"],
        more: &["ℹ {skipped} tests? skipped"],
        reach: 3,
        ..ROW
    },
    Format { runner: "wdio", first: &["Spec Files: {counts} total…"], ..ROW },
    Format {
        runner: "uvu",
        first: &["Total: {ran}"],
        must: &["Passed: {passed}"],
        more: &["Skipped: {skipped}"],
        reach: 2,
        failures: Below(&["FAIL \"{id}\"", "FAIL … \"{id}\""]),
        weak: true,
        ..ROW
    },
    Format {
        runner: "ava",
        first: &[
            "{passed} tests? passed",
            "{failed} tests? failed",
            "{skipped} tests? skipped",
            "{skipped} tests? todo",
            "{skipped} known failures?",
        ],
        more: &[
            "{passed} tests? passed",
            "{failed} tests? failed",
            "{skipped} tests? skipped",
            "{skipped} tests? todo",
            "{skipped} known failures?",
            "{errors} unhandled rejections?",
            "{errors} uncaught exceptions?",
        ],
        none: &[
            "✖ Couldn’t find any files to test…",
            "✖ Couldn't find any files to test…",
            "✘ Couldn’t find any files to test…",
            "✘ Couldn't find any files to test…",
            "✖ …but did not match the filters:",
            "✘ …but did not match the filters:",
            "✖ No tests found in …",
            "✘ No tests found in …",
        ],
        failures: Below(&["✘ [fail]: {id}", "✖ {id}"]),
        weak: true,
        ..ROW
    },
    // Ruby
    Format {
        runner: "test-unit",
        first: &["{counts}, {n} notifications?"],
        failures: Below(&["Failure: {id}", "Error: {id}: {message}"]),
        ..ROW
    },
    Format {
        // Also kaocha.
        runner: "minitest",
        first: &["{total} runs?, {n} assertions?, {counts}", "{total} tests?, {n} assertions?, {counts}"],
        failures: Below(&["{id} [{at}]:", "{n}) Error:\n{id}:", "Error:\n{id}:"]),
        ..ROW
    },
    Format {
        // Also Crystal's spec.
        runner: "specs2",
        first: &[
            "{total} examples?, …{failed} failures?, {errors} errors?",
            "{total} examples?, …{failed} failures?, {errors} errors?, {counts}",
        ],
        failures: Below(&["x {id}"]),
        ..ROW
    },
    Format {
        // Also hspec and shellspec.
        runner: "rspec",
        first: &["{total} examples?, {counts}"],
        failures: Listed(&["rspec {at} # {id}", "rspec {id}"]),
        none: &["No examples found."],
        ..ROW
    },
    Format {
        // Also Behat and godog.
        runner: "cucumber",
        first: &[
            "{total} scenarios? ({counts})",
            "{total} Scenarios? ({counts})",
            "{total} scenarios",
            "{total} Scenarios",
        ],
        failures: Below(&["cucumber {at} # Scenario: {id}", "{n}) Scenario: {id} # {at}"]),
        ..ROW
    },
    // PHP
    Format {
        runner: "phpunit",
        first: &[
            "OK ({total} tests?, {n} assertions?)",
            "Tests: {total}, Assertions: {n}, {counts}.",
            "Tests: {total}, Assertions: {n}.",
        ],
        none: &["No tests executed!"],
        failures: Below(&["{n}) {id}"]),
        ..ROW
    },
    Format { runner: "phpspec", first: &["{total} examples? ({counts})"], weak: true, ..ROW },
    Format {
        runner: "pest",
        first: &["Tests: {counts} assertions?)"],
        none: &["INFO No tests found."],
        failures: Below(&["FAILED {id}", "⨯ {id}"]),
        ..ROW
    },
    // Go
    Format {
        runner: "gotestsum",
        first: &["DONE {n} runs, {counts} in {n}s", "DONE {counts} in {n}s"],
        over: &["go-test"],
        failures: Below(&["FAIL: {id} ({n}s)"]),
        ..ROW
    },
    Format {
        runner: "ginkgo",
        first: &["SUCCESS! -- {counts}", "FAIL! -- {counts}"],
        over: &["go-test"],
        failures: Below(&["[FAIL] {id}", "• [FAILED] [{n} seconds]\n{id}"]),
        ..ROW
    },
    // .NET
    Format {
        runner: "dotnet",
        first: &[
            "Passed! - {counts}",
            "Failed! - {counts}",
            "Skipped! - {counts}",
            "Test summary: {counts}",
            "Total tests: {total}. Passed: {passed}. Failed: {failed}. Skipped: {skipped}.",
        ],
        none: &["No test is available in …", "No test matches the given testcase filter …"],
        failures: DOTNET,
        ..ROW
    },
    Format {
        runner: "dotnet",
        first: &["Total tests: {total}"],
        must: &["Passed: {passed}", "Failed: {failed}", "Skipped: {skipped}"],
        reach: 4,
        failures: DOTNET,
        ..ROW
    },
    Format {
        // Microsoft.Testing.Platform: xUnit v3, MSTest, NUnit and TUnit by it.
        runner: "dotnet",
        first: &["Test run summary: …"],
        must: &["total: {total}"],
        more: &["failed: {failed}", "error: {errors}", "succeeded: {passed}", "skipped: {skipped}"],
        failures: DOTNET,
        ..ROW
    },
    Format {
        runner: "xunit",
        first: &["TEST EXECUTION SUMMARY"],
        must: &["… Total: {total}, Errors: {errors}, Failed: {failed}, Skipped: {skipped}, …"],
        more: &["GRAND TOTAL: …"],
        reach: ALL,
        failures: Below(&["{id} [FAIL]"]),
        ..ROW
    },
    Format {
        runner: "nunit",
        first: &[
            "Test Count: {total}, {counts}",
            "Tests run: {total}, Passed: {passed}, Errors: {errors}, Failures: {failed}, Inconclusive: {skipped}…",
        ],
        failures: Below(&["{n}) Failed : {id}", "{n}) Error : {id}"]),
        over: &["maven"],
        ..ROW
    },
    Format { runner: "expecto", first: &["…EXPECTO! {n} tests? run in … – {counts}. …"], ..ROW },
    Format {
        runner: "pester",
        first: &["Tests Passed: {passed}, Failed: {failed}, Skipped: {skipped},…"],
        failures: Below(&["[-] {id} {n}ms …", "[-] {id}"]),
        none: &["No test files were found …"],
        ..ROW
    },
    // Scala, Java
    Format {
        runner: "sbt",
        first: &[
            "Passed: Total {counts}",
            "Failed: Total {counts}",
            "Error: Total {counts}",
            "passed: total {counts}",
            "failed: total {counts}",
            "error: total {counts}",
        ],
        over: &["scalatest", "specs2", "utest"],
        failures: Below(&[
            "- {id} *** FAILED ***",
            "- {id} *** FAILED *** ({message})",
            "> X {id} {n}s {message}",
            "x {id}",
        ]),
        beside: &["scalatest", "specs2", "utest"],
        none: &["No tests were executed", "No tests to run for …"],
        ..ROW
    },
    Format {
        runner: "scalatest",
        first: &[
            "Tests: succeeded {passed}, failed {failed}, canceled {skipped}, ignored {skipped}, pending {skipped}",
        ],
        failures: Below(&["- {id} *** FAILED ***", "- {id} *** FAILED *** ({message})"]),
        ..ROW
    },
    Format {
        runner: "utest",
        first: &["Tests: {total}"],
        must: &["Passed: {passed}"],
        more: &["Failed: {failed}"],
        reach: 3,
        ..ROW
    },
    Format {
        runner: "utest",
        first: &["Tests: {total}, Passed: {passed}, Failed: {failed}"],
        weak: true,
        ..ROW
    },
    Format {
        runner: "zio-test",
        first: &["{passed} tests passed. {failed} tests failed. {skipped} tests ignored.…"],
        ..ROW
    },
    Format {
        // Also gradle-test-logger.
        runner: "gradle",
        none: &["> Task …est NO-SOURCE"],
        first: &[
            "{total} tests? completed, {counts}",
            "{total} tests? completed",
            "SUCCESS: Executed {total} tests? in {n}s",
            "SUCCESS: Executed {total} tests? in {n}s ({counts})",
            "FAILURE: Executed {total} tests? in {n}s ({counts})",
        ],
        failures: By(jvm::gradle_failures),
        ..ROW
    },
    Format { runner: "testng", first: &["Total tests run: {total}, {counts}"], ..ROW },
    Format {
        runner: "junit-console",
        first: &["[ {total} tests found ]"],
        more: &[
            "[ {skipped} tests skipped ]",
            "[ {n} tests started ]",
            "[ {skipped} tests aborted ]",
            "[ {passed} tests successful ]",
            "[ {failed} tests failed ]",
        ],
        ..ROW
    },
    Format {
        runner: "junit4",
        first: &["OK ({total} tests?)", "Tests run: {total}, Failures: {failed}"],
        failures: Below(&["{n}) {id}"]),
        over: &["maven"],
        weak: true,
        ..ROW
    },
    // C, C++
    Format {
        // Also cmocka.
        runner: "gtest",
        first: &[
            "[==========] {total} tests? from {n} test … ran.…",
            "[==========] {total} test(s) run.",
            "[==========] …: {total} test(s) run.",
        ],
        must: &["[ PASSED ] {passed} tests?.", "[ PASSED ] {passed} test(s)."],
        more: &[
            "[ FAILED ] {failed} tests?, listed below:",
            "[ FAILED ] …{failed} test(s), listed below:",
            "[ SKIPPED ] {skipped} tests?, listed below:",
            "[ SKIPPED ] …{skipped} test(s), listed below:",
            "YOU HAVE {skipped} DISABLED TEST",
            "YOU HAVE {skipped} DISABLED TESTS",
        ],
        reach: ALL,
        failures: Above(&["[ FAILED ] {id} ({n} ms)", "[ FAILED ] {id}"]),
        ..ROW
    },
    Format {
        runner: "catch2",
        first: &[
            "All tests passed ({n} assertions? in {passed} test cases?)",
            "test cases: {total} | {counts}",
        ],
        none: &["No tests ran", "No test cases matched …"],
        failures: Below(&["{at}: FAILED:"]),
        ..ROW
    },
    Format {
        runner: "doctest",
        first: &["[doctest] test cases: {total} | {counts}"],
        failures: Below(&["TEST CASE: {id}"]),
        ..ROW
    },
    Format {
        runner: "ctest",
        first: &["{n}% tests passed, {failed} tests? failed out of {total}"],
        none: &["No tests were found!!!"],
        failures: Listed(&["{n} - {id} (Failed)…", "{n} - {id} (Timeout)…", "{n} - {id} (Not Run)…"]),
        ..ROW
    },
    Format {
        runner: "boost-test",
        first: &["Running {total} test cases?..."],
        must: &["*** No errors detected", "*** {failed} failures? … detected in …"],
        reach: ALL,
        failures: Below(&["{at}: error: in \"{id}\": {message}"]),
        over: &["compiler"],
        ..ROW
    },
    Format {
        runner: "criterion",
        first: &[
            "[====] Synthesis: Tested: {total} | Passing: {passed} | Failing: {failed} | Crashing: {errors}",
        ],
        ..ROW
    },
    Format {
        runner: "check",
        first: &["{n}%: Checks: {total}, Failures: {failed}, Errors: {errors}"],
        failures: Below(&["{at}:F:{id}:{n}: {message}", "{at}:E:{id}:{n}: {message}"]),
        ..ROW
    },
    Format {
        runner: "unity",
        first: &["{total} Tests {failed} Failures {skipped} Ignored"],
        failures: Below(&["{at}:{id}:FAIL: {message}", "{at}:{id}:FAIL"]),
        over: &["compiler"],
        ..ROW
    },
    Format {
        runner: "cpputest",
        first: &[
            "OK ({total} tests?, {n} ran, {n} checks?, {skipped} ignored, …",
            "Errors ({failed} failures?, {total} tests?, {n} ran, {n} checks?, {skipped} ignored, …",
        ],
        failures: Below(&["{at}: error: Failure in {id}"]),
        over: &["compiler"],
        ..ROW
    },
    Format {
        runner: "qt-test",
        first: &["Totals: {counts}"],
        failures: Below(&["FAIL! : {id}() {message}"]),
        ..ROW
    },
    Format {
        runner: "meson",
        first: &["Ok: {passed}"],
        must: &["Fail: {failed}"],
        more: &[
            "Expected Fail: {skipped}",
            "Unexpected Pass: {failed}",
            "Skipped: {skipped}",
            "Timeout: {errors}",
        ],
        none: &["No tests defined."],
        ..ROW
    },
    // Swift, Dart
    Format {
        runner: "xctest",
        first: &["Test Suite 'All tests' …", "Test Suite 'Selected tests' …"],
        must: &["Executed {total} tests?, with {counts} seconds"],
        reach: 1,
        beside: &["swift-testing"],
        failures: Below(&["{at}: error: {id} : {message}"]),
        over: &["compiler"],
        none: &["error: no tests found; …"],
        ..ROW
    },
    Format {
        runner: "xctest",
        first: &["Total executed {total} tests?, with {counts} seconds"],
        beside: &["swift-testing"],
        failures: Below(&["{at}: error: {id} : {message}"]),
        over: &["compiler"],
        ..ROW
    },
    Format {
        // Below xcpretty and its like, which leave the suites out.
        runner: "xctest",
        first: &["Executed {total} tests?, with {counts} seconds"],
        last: true,
        beside: &["swift-testing"],
        over: &["compiler"],
        failures: Below(&["{at}: error: {id} : {message}"]),
        ..ROW
    },
    Format {
        // `swift test --parallel` has no summary.
        runner: "xctest",
        first: &["[{n}/{total}] Testing {id}"],
        last: true,
        beside: &["swift-testing"],
        ..ROW
    },
    Format {
        runner: "swift-testing",
        first: &["◇ Test run started."],
        must: &[
            "…Test run with {total} tests? … after {n} seconds…",
            "…Test run with {total} tests? passed after {n} seconds…",
            "…Test run with {total} tests? failed after {n} seconds…",
        ],
        more: &["✘ Test {id} failed after {n} seconds…{+failed}", "➜ Test {id} skipped…{+skipped}"],
        reach: ALL,
        beside: &["xctest"],
        failures: Below(&["…Test {id} recorded an issue at {at}: {message}"]),
        ..ROW
    },
    Format {
        runner: "dart",
        first: &[
            "{n} +{passed}: All tests passed!",
            "{n} +{passed} ~{skipped}: All tests passed!",
            "{n} +{passed} -{failed}: Some tests failed.",
            "{n} +{passed} ~{skipped} -{failed}: Some tests failed.",
            "{n} ~{skipped}: All tests skipped.",
            "{n} +{passed} ~{skipped}: All tests skipped.",
            "🎉 {counts}.",
            "::error::{counts}.",
        ],
        none: &[
            "No tests ran.",
            "{n}: No tests ran.",
            "{n} +{n}: No tests ran.",
            "No tests match …",
            "No tests were found.",
        ],
        failures: Below(&["{n} +{n} -{n}: {id} [E]", "{n} +{n} ~{n} -{n}: {id} [E]"]),
        ..ROW
    },
    // Elixir, Erlang, shell, Perl and others
    Format {
        runner: "exunit",
        first: &["Finished in {n} seconds? (…"],
        must: &[
            "{total} doctests?, {counts}",
            "{total} tests?, {counts}",
            "{total} property, {counts}",
            "{total} properties, {counts}",
            "Result: {counts}",
        ],
        reach: 2,
        none: &["There are no tests to run"],
        failures: Below(&["{n}) test {id}", "{n}) doctest {id}", "{n}) property {id}"]),
        ..ROW
    },
    Format {
        // Also EUnit by rebar3.
        runner: "bats",
        first: &["{total} tests?, {failed} failures?", "{total} tests?, {failed} failures?, {counts}"],
        failures: Below(&["✗ {id}"]),
        weak: true,
        ..ROW
    },
    Format {
        runner: "eunit",
        first: &["All {passed} tests passed.", "Failed: {failed}. Skipped: {skipped}. Passed: {passed}."],
        none: &["There were no tests to run."],
        weak: true,
        ..ROW
    },
    Format {
        runner: "prove",
        first: &["Test Summary Report"],
        must: &["Files={n}, Tests={total}, …"],
        more: &["…Failed: {failed})", "Parse errors: …{+errors}"],
        reach: ALL,
        over: &["tap"],
        failures: Below(&["{id} (Wstat: …"]),
        ..ROW
    },
    Format { runner: "prove", first: &["Files={n}, Tests={total}, …"], over: &["tap"], ..ROW },
    Format {
        runner: "bazel",
        first: &["Executed {n} out of {n} tests?: {counts}."],
        none: &["ERROR: No test targets were found, yet testing was requested"],
        failures: Listed(&["//{id} FAILED …", "//{id} TIMEOUT …"]),
        ..ROW
    },
    Format {
        runner: "tasty",
        first: &["All {passed} tests passed ({n}s)", "{failed} out of {total} tests failed ({n}s)"],
        ..ROW
    },
    Format {
        runner: "hunit",
        first: &["Cases: {total} Tried: {n} Errors: {errors} Failures: {failed}"],
        ..ROW
    },
    Format {
        runner: "ounit",
        first: &["Ran: {n} tests in: {n} seconds."],
        must: &[
            "FAILED: Cases: {total} Tried: {n} Errors: {errors} Failures: {failed} Skip: {skipped} Todo: {skipped} Timeouts: {errors}.",
        ],
        reach: 1,
        ..ROW
    },
    Format {
        runner: "ounit",
        first: &["Ran: {total} tests in: {n} seconds."],
        must: &["OK"],
        reach: 1,
        ..ROW
    },
    Format {
        runner: "clojure-test",
        first: &["Ran {total} tests containing {n} assertions."],
        must: &["{failed} failures, {errors} errors."],
        reach: 1,
        failures: Below(&["FAIL in {id}", "ERROR in {id}"]),
        ..ROW
    },
    Format {
        runner: "testthat",
        first: &["[ FAIL {failed} | WARN {n} | SKIP {skipped} | PASS {passed} ]"],
        last: true,
        ..ROW
    },
    Format {
        runner: "busted",
        first: &[
            "{passed} successes / {failed} failures? / {errors} errors? / {skipped} pending : …",
            "{passed} success / {failed} failures? / {errors} errors? / {skipped} pending : …",
        ],
        failures: Below(&["Failure → {at}", "Error → {at}"]),
        ..ROW
    },
    Format { runner: "luaunit", first: &["Ran {n} tests in {n} seconds, {counts}"], ..ROW },
    Format {
        runner: "terraform-test",
        first: &[
            "Success! {passed} passed, {failed} failed.",
            "Failure! {passed} passed, {failed} failed.",
            "Success! {passed} passed, {failed} failed, {skipped} skipped.",
            "Failure! {passed} passed, {failed} failed, {skipped} skipped.",
        ],
        weak: true,
        ..ROW
    },
    Format {
        runner: "forge",
        first: &["Ran {n} test suites? in …: {passed} tests passed, {failed} failed, {skipped} skipped …"],
        failures: Below(&["[FAIL: {message}] {id} (…"]),
        ..ROW
    },
    Format {
        runner: "zig-test",
        first: &["{passed} passed; {skipped} skipped; {failed} failed."],
        weak: true,
        ..ROW
    },
    Format {
        runner: "lit",
        first: &["Total Discovered Tests: {total}"],
        must: &["Passed : {passed} ({n}%)", "Failed : {failed} ({n}%)", "Unsupported : {skipped} ({n}%)"],
        more: &[
            "Expectedly Failed : {skipped} ({n}%)",
            "Unexpectedly Passed : {failed} ({n}%)",
            "Unresolved : {errors} ({n}%)",
            "Timed Out : {errors} ({n}%)",
            "Skipped : {skipped} ({n}%)",
        ],
        ..ROW
    },
    Format {
        runner: "julia",
        first: &["Test Summary: | Pass Total…"],
        must: &["… | {passed} {n}…"],
        reach: 1,
        ..ROW
    },
    Format {
        runner: "julia",
        first: &["Test Summary: | Pass Fail Total…"],
        must: &["… | {passed} {failed} {n}…"],
        reach: 1,
        ..ROW
    },
    Format {
        runner: "julia",
        first: &["Test Summary: | Pass Fail Error Total…"],
        must: &["… | {passed} {failed} {errors} {n}…"],
        reach: 1,
        ..ROW
    },
    Format {
        runner: "julia",
        first: &["Test Summary: | Pass Error Total…"],
        must: &["… | {passed} {errors} {n}…"],
        reach: 1,
        ..ROW
    },
    Format {
        runner: "julia",
        first: &["Test Summary: | Pass Broken Total…"],
        must: &["… | {passed} {skipped} {n}…"],
        reach: 1,
        ..ROW
    },
    Format {
        // Its first version counts no assertions; the line says little, so it comes last.
        runner: "pest",
        first: &["Tests: {counts}"],
        failures: Below(&["FAILED {id}", "⨯ {id}"]),
        weak: true,
        ..ROW
    },
];

/// VSTest's and the testing platform's forms.
const DOTNET: Failures = Below(&[
    "Failed {id} [{n} ms]",
    "Failed {id} [{n} s]",
    "Failed {id} [< {n} ms]",
    "failed {id} ({n}ms)",
    "failed {id} ({n}s)",
    "{id} [FAIL]",
]);
