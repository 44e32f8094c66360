//! go test, TAP, and runners whose summary is one line: rspec, phpunit, dotnet, ctest.

use codex_worker_policy::Signal;

use crate::text::{add, counts, failure, location, number, signal, sum};

/// `--- FAIL: TestX (0.00s)`, `ok  \tpkg\t0.01s`, `FAIL\tpkg [build failed]`. Without
/// `-v` go names only tests that fail: then `passed` counts packages.
pub fn go_test(lines: &[&str]) -> Option<Signal> {
    let (mut passed, mut failed, mut skipped, mut errors) = (0u32, 0u32, 0u32, 0u32);
    let (mut packages, mut seen) = (0u32, false);
    let mut failures = signal("go-test", 0, 0, 0, 0);
    let place = lines.iter().copied().find(|line| line.contains(".go:") && location(line).is_some());
    for (index, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        if text.starts_with("--- PASS: ") {
            passed += 1;
        } else if text.starts_with("--- SKIP: ") {
            skipped += 1;
        } else if let Some(id) = text.strip_prefix("--- FAIL: ") {
            failed += 1;
            let id = id.split(" (").next().unwrap_or(id);
            let inside = lines[index + 1..].iter().take(20).take_while(|line| {
                let line = line.trim_start();
                !line.starts_with("--- ") && !line.starts_with("FAIL") && !line.starts_with("=== ")
            });
            let message = inside.copied().find(|line| line.contains(".go:")).unwrap_or_default();
            add(&mut failures, failure(id, location(message), after_location(message)));
        } else if line.starts_with("ok  \t") {
            seen = true;
            packages += u32::from(!line.contains("[no tests to run]"));
        } else if let Some(rest) = line.strip_prefix("FAIL\t") {
            seen = true;
            if rest.contains("[build failed]") || rest.contains("[setup failed]") {
                errors += 1;
                let id = rest.split(' ').next().unwrap_or(rest);
                let message = place.unwrap_or("build failed");
                add(&mut failures, failure(id, location(message), after_location(message)));
            }
        } else if line.starts_with("?   \t") && line.contains("[no test files]") {
            seen = true;
        }
    }
    if !seen && passed + failed + skipped == 0 {
        return None;
    }
    if passed == 0 {
        passed = packages;
    }
    let mut total = signal("go-test", passed, failed, skipped, errors);
    total.first_failures = failures.first_failures;
    Some(total)
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
    let (mut passed, mut failed, mut skipped, mut errors) = (0u32, 0u32, 0u32, 0u32);
    let mut failures = signal("tap", 0, 0, 0, 0);
    for (index, line) in lines.iter().enumerate() {
        if let Some((count, rest)) = line.strip_prefix("1..").and_then(number) {
            if rest.trim().is_empty() || rest.trim_start().starts_with('#') {
                plan = Some(plan.unwrap_or(0).saturating_add(count));
            }
            continue;
        }
        if line.starts_with("Bail out!") {
            errors += 1;
            add(&mut failures, failure("Bail out!", None, line.trim_start_matches("Bail out!")));
            continue;
        }
        let (ok, rest) = match (line.strip_prefix("ok"), line.strip_prefix("not ok")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => continue,
        };
        if !(rest.is_empty() || rest.starts_with(' ')) {
            continue;
        }
        let (name, directive) = rest.split_once(" # ").map_or((rest, ""), |(name, d)| (name, d));
        let directive = directive.trim().to_ascii_lowercase();
        if directive.starts_with("skip") || directive.starts_with("todo") {
            skipped += 1;
        } else if ok {
            passed += 1;
        } else {
            failed += 1;
            let name = name.trim();
            let name = number(name).map_or(name, |(_, name)| name).trim_start_matches([' ', '-']);
            let (mut at, mut message) = (None, "");
            let below = |line: &&&str| line.starts_with("  ") || line.starts_with("# ");
            for line in lines[index + 1..].iter().take(30).take_while(below) {
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
            if message.is_empty() {
                message = lines[index + 1..]
                    .iter()
                    .take(1)
                    .take_while(below)
                    .map(|line| line.trim())
                    .find(|text| !text.starts_with("---") && !text.starts_with('#'))
                    .unwrap_or_default();
            }
            add(&mut failures, failure(name, at, message));
        }
    }
    let plan = plan?;
    let seen = passed.saturating_add(failed).saturating_add(skipped);
    if seen == 0 && plan > 0 && errors == 0 {
        return None; // `1..3` alone is no TAP.
    }
    if plan > seen && errors == 0 {
        errors = plan - seen;
        add(&mut failures, failure("plan", None, &format!("{plan} tests were announced and {seen} ran")));
    }
    let mut total = signal("tap", passed, failed, skipped, errors);
    total.first_failures = failures.first_failures;
    Some(total)
}

/// rspec: `10 examples, 1 failure, 2 pending`.
pub fn rspec(lines: &[&str]) -> Option<Signal> {
    let mut total: Option<Signal> = None;
    for line in lines {
        let Some((ran, rest)) = number(line) else { continue };
        if !(rest.starts_with(" example, ") || rest.starts_with(" examples, ")) {
            continue;
        }
        let Some(parts) = counts(line, ',') else { continue };
        let of = |start: &str| {
            parts.iter().find(|(_, word)| word.starts_with(start)).map_or(0, |(count, _)| *count)
        };
        let (failed, skipped, errors) = (of("failure"), of("pending"), of("error"));
        let one =
            signal("rspec", ran.saturating_sub(failed).saturating_sub(skipped), failed, skipped, errors);
        match &mut total {
            Some(total) => sum(total, &one),
            None => total = Some(one),
        }
    }
    let mut total = total?;
    for line in lines {
        if let Some(rest) = line.strip_prefix("rspec ") {
            let (place, id) = rest.split_once(" # ").unwrap_or((rest, rest));
            add(&mut total, failure(id, location(place), ""));
        }
    }
    Some(total)
}

/// phpunit: `OK (5 tests, 10 assertions)`, or `Tests: 5, Assertions: 10, Failures: 1.`
pub fn phpunit(lines: &[&str]) -> Option<Signal> {
    for line in lines.iter().rev() {
        if let Some(rest) = line.strip_prefix("OK (")
            && let Some((ran, rest)) = number(rest)
            && rest.contains(" assertion")
        {
            return Some(signal("phpunit", ran, 0, 0, 0));
        }
        if *line == "No tests executed!" {
            return Some(signal("phpunit", 0, 0, 0, 0));
        }
        let Some(rest) = line.strip_prefix("Tests: ") else { continue };
        if !rest.contains("Assertions: ") {
            continue;
        }
        let ran = number(rest).map_or(0, |(ran, _)| ran);
        let of = |keys: &[&str]| -> u32 {
            rest.split([',', '.'])
                .filter_map(|part| part.trim().split_once(": "))
                .filter(|(key, _)| keys.contains(key))
                .filter_map(|(_, count)| number(count))
                .fold(0, |sum, (count, _)| sum.saturating_add(count))
        };
        let (failed, errors, skipped) = (of(&["Failures"]), of(&["Errors"]), of(&["Skipped", "Incomplete"]));
        let passed = ran.saturating_sub(failed).saturating_sub(errors).saturating_sub(skipped);
        return Some(signal("phpunit", passed, failed, skipped, errors));
    }
    None
}

/// dotnet: `Failed!  - Failed:     1, Passed:    12, Skipped:     0, Total:    13`.
pub fn dotnet(lines: &[&str]) -> Option<Signal> {
    let mut total: Option<Signal> = None;
    for line in lines {
        let Some((verdict, rest)) = line.trim_start().split_once("!  - ") else { continue };
        if !matches!(verdict, "Passed" | "Failed" | "Skipped") {
            continue;
        }
        let of = |key: &str| {
            rest.split(',')
                .filter_map(|part| part.trim().split_once(':'))
                .find(|(k, _)| *k == key)
                .and_then(|(_, count)| number(count.trim()))
                .map_or(0, |(count, _)| count)
        };
        let one = signal("dotnet", of("Passed"), of("Failed"), of("Skipped"), 0);
        match &mut total {
            Some(total) => sum(total, &one),
            None => total = Some(one),
        }
    }
    total
}

/// ctest: `100% tests passed, 0 tests failed out of 5`.
pub fn ctest(lines: &[&str]) -> Option<Signal> {
    for line in lines.iter().rev() {
        if *line == "No tests were found!!!" {
            return Some(signal("ctest", 0, 0, 0, 0));
        }
        let Some((_, rest)) = line.split_once("% tests passed, ") else { continue };
        let Some((failed, rest)) = number(rest) else { continue };
        let Some((ran, _)) = rest.rsplit_once("out of ").and_then(|(_, ran)| number(ran)) else { continue };
        return Some(signal("ctest", ran.saturating_sub(failed), failed, 0, 0));
    }
    None
}
