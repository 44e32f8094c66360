//! Machine-readable output: lines of JSON (cargo, libtest, go) and whole documents
//! (SARIF, jest, mocha, eslint).

use std::collections::BTreeMap;

use codex_worker_policy::Signal;
use serde_json::Value;

use crate::text::{FAILURES, add, cut, failure, location, signal, sum};

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn count(value: &Value, key: &str) -> u32 {
    value.get(key).and_then(Value::as_u64).map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Every line that is a JSON object, by what it says it is.
pub fn lines(lines: &[&str]) -> Vec<Signal> {
    let (mut rustc, mut libtest, mut go) = (None, None, Go::default());
    for line in lines {
        let line = line.trim();
        if !line.starts_with('{') || !line.ends_with('}') {
            continue;
        }
        // The cheap look first: most lines of a log that begin with `{` are not ours.
        if line.contains("\"reason\"") {
            if let Ok(value) = serde_json::from_str(line) {
                cargo_message(&value, &mut rustc);
            }
        } else if line.contains("\"Action\"") {
            if let Ok(value) = serde_json::from_str(line) {
                go.event(&value);
            }
        } else if line.contains("\"event\"")
            && line.contains("\"type\"")
            && let Ok(value) = serde_json::from_str(line)
        {
            libtest_event(&value, &mut libtest);
        }
    }
    [rustc, libtest, go.signal()].into_iter().flatten().collect()
}

fn cargo_message(value: &Value, total: &mut Option<Signal>) {
    match text(value, "reason") {
        "compiler-message" => {}
        "build-finished" => {
            // A build that said nothing wrong is not a test run.
            return;
        }
        _ => return,
    }
    let Some(message) = value.get("message") else { return };
    if text(message, "level") != "error" {
        return;
    }
    let spans = list(message, "spans");
    let span = spans.iter().find(|span| span.get("is_primary") == Some(&Value::Bool(true)));
    let Some(span) = span else { return };
    let code =
        message.get("code").map(|code| text(code, "code")).filter(|code| !code.is_empty()).unwrap_or("error");
    let total = total.get_or_insert_with(|| signal("rustc", 0, 0, 0, 0));
    total.errors = total.errors.saturating_add(1);
    total.nothing_ran = false;
    add(
        total,
        failure(code, Some((text(span, "file_name"), count(span, "line_start"))), text(message, "message")),
    );
}

fn libtest_event(value: &Value, total: &mut Option<Signal>) {
    match (text(value, "type"), text(value, "event")) {
        ("suite", "ok" | "failed") => {
            let one = signal(
                "cargo-test",
                count(value, "passed"),
                count(value, "failed"),
                count(value, "ignored"),
                0,
            );
            match total {
                Some(total) => sum(total, &one),
                None => *total = Some(one),
            }
        }
        ("test", "failed" | "timeout") => {
            let stdout = text(value, "stdout");
            let total = total.get_or_insert_with(|| signal("cargo-test", 0, 0, 0, 0));
            let panic = stdout.lines().position(|line| line.contains("panicked at "));
            let at = panic.and_then(|index| location(stdout.lines().nth(index)?));
            let message = panic.and_then(|index| stdout.lines().nth(index + 1)).unwrap_or(stdout);
            add(total, failure(text(value, "name"), at, message));
        }
        _ => {}
    }
}

/// `go test -json`.
#[derive(Default)]
struct Go {
    seen: bool,
    total: Signal,
    /// Lines with a location, by package and test: the newest few only.
    places: Vec<(String, String)>,
}

impl Go {
    fn event(&mut self, value: &Value) {
        let action = text(value, "Action");
        let package = text(value, "Package");
        let test = text(value, "Test");
        if package.is_empty() {
            return;
        }
        let key = format!("{package} {test}");
        match action {
            "output" => {
                let line = text(value, "Output").trim();
                if line.contains(".go:") && location(line).is_some() && self.places.len() < 500 {
                    self.places.push((key, cut(line, 600).to_string()));
                }
            }
            "pass" | "skip" | "fail" => {
                self.seen = true;
                match (action, test.is_empty()) {
                    ("pass", false) => self.total.passed += 1,
                    ("skip", false) => self.total.skipped += 1,
                    ("fail", false) => {
                        self.total.failed += 1;
                        self.failed(&key, test);
                    }
                    // A package that fails without a failing test did not build.
                    ("fail", true) if value.get("FailedBuild").is_some() || self.total.failed == 0 => {
                        self.total.errors += 1;
                        self.failed(&key, package);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn failed(&mut self, key: &str, id: &str) {
        if self.total.first_failures.len() >= FAILURES {
            return;
        }
        let line =
            self.places.iter().find(|(k, _)| k == key).map(|(_, line)| line.clone()).unwrap_or_default();
        add(&mut self.total, failure(id, location(&line), crate::lines::after_location(&line)));
    }

    fn signal(self) -> Option<Signal> {
        let Signal { passed, failed, skipped, errors, first_failures, .. } = self.total;
        let total = signal("go-test", passed, failed, skipped, errors);
        self.seen.then_some(Signal { first_failures, ..total })
    }
}

/// A whole document, by its shape.
pub fn document(content: &str) -> Option<Signal> {
    let value: Value = serde_json::from_str(content).ok()?;
    if value.get("runs").is_some_and(Value::is_array) {
        return Some(sarif(&value));
    }
    if value.get("numTotalTests").is_some() {
        return Some(jest(&value));
    }
    if let Some(stats) = value.get("stats")
        && stats.get("passes").is_some()
    {
        return Some(mocha(&value, stats));
    }
    let files = value.as_array()?;
    (!files.is_empty()
        && files.iter().all(|file| file.get("filePath").is_some() && file.get("messages").is_some()))
    .then(|| eslint(files))
}

/// SARIF 2.1: results of level `error`; one without a level has its rule's, else `warning`.
fn sarif(value: &Value) -> Signal {
    let mut total = signal("sarif", 0, 0, 0, 0);
    for run in list(value, "runs") {
        let driver = run.get("tool").and_then(|tool| tool.get("driver"));
        let rules: BTreeMap<&str, &Value> = driver
            .map(|driver| list(driver, "rules"))
            .unwrap_or_default()
            .iter()
            .map(|rule| (text(rule, "id"), rule))
            .collect();
        for result in list(run, "results") {
            let own = Some(text(result, "level")).filter(|level| !level.is_empty());
            let usual =
                || Some(text(rules.get(text(result, "ruleId"))?.get("defaultConfiguration")?, "level"));
            // What was checked and found good is a result too.
            let fails = matches!(text(result, "kind"), "" | "fail");
            if !fails || own.or_else(usual) != Some("error") {
                continue;
            }
            total.errors = total.errors.saturating_add(1);
            let place =
                list(result, "locations").first().and_then(|location| location.get("physicalLocation"));
            let path =
                place.and_then(|p| p.get("artifactLocation")).map(|a| text(a, "uri")).unwrap_or_default();
            let line = place.and_then(|p| p.get("region")).map_or(0, |region| count(region, "startLine"));
            let message = result.get("message").map(|message| text(message, "text")).unwrap_or_default();
            let at = (!path.is_empty()).then_some((path, line));
            add(&mut total, failure(text(result, "ruleId"), at, message));
        }
    }
    // A linter that finds nothing did run.
    total.nothing_ran = false;
    total
}

fn jest(value: &Value) -> Signal {
    let skipped = count(value, "numPendingTests").saturating_add(count(value, "numTodoTests"));
    let errors = count(value, "numRuntimeErrorTestSuites");
    let mut total =
        signal("jest", count(value, "numPassedTests"), count(value, "numFailedTests"), skipped, errors);
    for suite in list(value, "testResults") {
        let path = text(suite, "name");
        // A file that could not be loaded has no tests; vitest counts it nowhere.
        if text(suite, "status") == "failed" && list(suite, "assertionResults").is_empty() {
            if errors == 0 {
                total.errors = total.errors.saturating_add(1);
                total.nothing_ran = false;
            }
            let message = text(suite, "message");
            let at = message.lines().find_map(location).or((!path.is_empty()).then_some((path, 0)));
            let first =
                message.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('●'));
            add(&mut total, failure(path, at, first.unwrap_or_default()));
        }
        for test in list(suite, "assertionResults").iter().filter(|test| text(test, "status") == "failed") {
            let message = list(test, "failureMessages").first().and_then(Value::as_str).unwrap_or_default();
            let at = message.lines().find_map(location).or((!path.is_empty()).then_some((path, 0)));
            add(&mut total, failure(text(test, "fullName"), at, message.lines().next().unwrap_or_default()));
        }
    }
    total
}

fn mocha(value: &Value, stats: &Value) -> Signal {
    let mut total =
        signal("mocha", count(stats, "passes"), count(stats, "failures"), count(stats, "pending"), 0);
    for test in list(value, "failures") {
        let error = test.get("err");
        let at = error.and_then(|error| text(error, "stack").lines().find_map(location));
        add(
            &mut total,
            failure(
                text(test, "fullTitle"),
                at,
                error.map(|error| text(error, "message")).unwrap_or_default(),
            ),
        );
    }
    total
}

fn eslint(files: &[Value]) -> Signal {
    let mut total = signal("eslint", 0, 0, 0, 0);
    for file in files {
        for message in list(file, "messages").iter().filter(|message| count(message, "severity") == 2) {
            total.errors = total.errors.saturating_add(1);
            let at = Some((text(file, "filePath"), count(message, "line")));
            add(&mut total, failure(text(message, "ruleId"), at, text(message, "message")));
        }
    }
    total.nothing_ran = false;
    total
}
