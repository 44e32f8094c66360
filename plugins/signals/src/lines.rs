//! go test and TAP, which print a line for each test and no summary.

use std::collections::BTreeMap;

use codex_worker_policy::Signal;

use crate::text::{FAILURES, add, failure, location, number, signal};

/// `--- FAIL: TestX (0.00s)`, `ok  \tpkg\t0.01s`, `FAIL\tpkg [build failed]`. Without
/// `-v` go names only tests that fail: then `passed` counts packages.
pub fn go_test(lines: &[&str]) -> Option<Signal> {
    let mut total = signal("go-test", 0, 0, 0, 0);
    let (mut packages, mut seen) = (0u32, false);
    // With `-v` a test speaks before it fails, without it after.
    let mut running = "";
    let mut said: BTreeMap<&str, &str> = BTreeMap::new();
    let place = lines.iter().copied().find(|line| line.contains(".go:") && location(line).is_some());
    for (index, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        if let Some(name) = ["=== RUN ", "=== NAME ", "=== CONT "].iter().find_map(|m| text.strip_prefix(m)) {
            running = name.trim();
        } else if text.starts_with("--- PASS: ") {
            total.passed += 1;
        } else if text.starts_with("--- SKIP: ") {
            total.skipped += 1;
        } else if let Some(id) = text.strip_prefix("--- FAIL: ") {
            total.failed += 1;
            let id = id.split(" (").next().unwrap_or(id);
            let message =
                go_message(&lines[index + 1..]).or_else(|| said.get(id).copied()).unwrap_or_default();
            add(&mut total, failure(id, location(message), after_location(message)));
        } else if line.starts_with("ok  \t") {
            seen = true;
            packages += u32::from(!line.contains("[no tests to run]"));
        } else if let Some(rest) = line.strip_prefix("FAIL\t") {
            seen = true;
            if rest.contains("[build failed]") || rest.contains("[setup failed]") {
                total.errors += 1;
                let id = rest.split(' ').next().unwrap_or(rest);
                let message = place.unwrap_or("build failed");
                add(&mut total, failure(id, location(message), after_location(message)));
            }
        } else if line.starts_with("?   \t") && line.contains("[no test files]") {
            seen = true;
        } else if !running.is_empty() && text.contains(".go:") {
            said.entry(running).or_insert(line);
        }
    }
    if !seen && total.passed + total.failed + total.skipped == 0 {
        return None;
    }
    if total.passed == 0 {
        total.passed = packages;
    }
    let Signal { passed, failed, skipped, errors, first_failures, .. } = total;
    Some(Signal { first_failures, ..signal("go-test", passed, failed, skipped, errors) })
}

/// The message below `--- FAIL`.
fn go_message<'a>(below: &[&'a str]) -> Option<&'a str> {
    let inside = below.iter().copied().take(20).take_while(|line| {
        let line = line.trim_start();
        !line.starts_with("--- ") && !line.starts_with("FAIL") && !line.starts_with("=== ")
    });
    inside.into_iter().find(|line| line.contains(".go:"))
}

/// What follows `file:line:` or `file:line:column:`.
pub fn after_location(text: &str) -> &str {
    match location(text) {
        Some((path, line)) => {
            let place = format!("{path}:{line}");
            let rest = text.split_once(place.as_str()).map_or(text, |(_, rest)| rest);
            rest.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit()).trim()
        }
        None => text.trim(),
    }
}

/// Test Anything Protocol: a plan `1..N` and lines `ok` / `not ok`; only the top level
/// counts. Tests that the plan announces and that never came are errors.
pub fn tap(lines: &[&str]) -> Option<Signal> {
    let mut plan: Option<u32> = None;
    let mut total = signal("tap", 0, 0, 0, 0);
    for (index, line) in lines.iter().enumerate() {
        if let Some((count, rest)) = line.strip_prefix("1..").and_then(number) {
            if rest.trim().is_empty() || rest.trim_start().starts_with('#') {
                plan = Some(plan.unwrap_or(0).saturating_add(count));
            }
        } else if let Some(why) = line.strip_prefix("Bail out!") {
            total.errors += 1;
            add(&mut total, failure("Bail out!", None, why));
        } else {
            match tap_line(line) {
                None => {}
                Some(TapLine::Skipped) => total.skipped += 1,
                Some(TapLine::Passed) => total.passed += 1,
                Some(TapLine::Failed(name)) => {
                    total.failed += 1;
                    if total.first_failures.len() < FAILURES {
                        let (at, message) = tap_reason(&lines[index + 1..]);
                        add(&mut total, failure(name, at, message));
                    }
                }
            }
        }
    }
    let plan = plan?;
    let seen = total.passed.saturating_add(total.failed).saturating_add(total.skipped);
    if seen == 0 && plan > 0 && total.errors == 0 {
        return None; // `1..3` alone is no TAP.
    }
    if plan > seen && total.errors == 0 {
        total.errors = plan - seen;
        add(&mut total, failure("plan", None, &format!("{plan} tests were announced and {seen} ran")));
    }
    let Signal { passed, failed, skipped, errors, first_failures, .. } = total;
    Some(Signal { first_failures, ..signal("tap", passed, failed, skipped, errors) })
}

enum TapLine<'a> {
    Passed,
    Failed(&'a str),
    Skipped,
}

/// `ok 1 - name # SKIP why`.
fn tap_line(line: &str) -> Option<TapLine<'_>> {
    let (ok, rest) = match (line.strip_prefix("ok"), line.strip_prefix("not ok")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return None,
    };
    if !(rest.is_empty() || rest.starts_with(' ')) {
        return None;
    }
    let (name, directive) = rest.split_once(" # ").unwrap_or((rest, ""));
    let directive = directive.trim().to_ascii_lowercase();
    if directive.starts_with("skip") || directive.starts_with("todo") {
        return Some(TapLine::Skipped);
    }
    let name = name.trim();
    let name = number(name).map_or(name, |(_, name)| name).trim_start_matches([' ', '-']);
    Some(if ok { TapLine::Passed } else { TapLine::Failed(name) })
}

/// Where and why, from the YAML block, the comments or the plain lines below.
fn tap_reason<'a>(lines: &[&'a str]) -> (Option<(&'a str, u32)>, &'a str) {
    let (mut at, mut message) = (None, "");
    let below = |line: &&&str| line.starts_with("  ") || line.starts_with("# ");
    for line in lines.iter().take(30).take_while(below) {
        let text = line.trim();
        // Perl and shell say why in a comment; the first line that says something.
        if let Some(comment) = text.strip_prefix("# ")
            && message.is_empty()
            && !["Subtest: ", "tests ", "pass ", "fail "].iter().any(|word| comment.starts_with(word))
        {
            message = comment.trim();
        }
        if at.is_none() {
            at = location(text);
        }
        for key in ["message:", "error:"] {
            if let Some(rest) = text.strip_prefix(key)
                && message.is_empty()
            {
                message = rest.trim().trim_matches(['"', '\'']);
            }
        }
    }
    // Some say it in plain lines.
    if message.is_empty()
        && let Some(text) = lines.first().filter(|line| below(line)).map(|line| line.trim())
        && !text.starts_with("---")
        && !text.starts_with('#')
    {
        message = text;
    }
    (at, message)
}
