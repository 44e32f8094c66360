//! pytest and unittest.

use std::collections::BTreeMap;

use codex_worker_policy::Signal;

use crate::text::{add, counts, failure, location, number, signal, sum};

/// `=== 1 failed, 2 passed in 0.12s ===`, also without the rule (`-q`).
pub fn pytest(lines: &[&str]) -> Option<Signal> {
    let mut total: Option<Signal> = None;
    for line in lines {
        if let Some(one) = pytest_summary(line) {
            match &mut total {
                Some(total) => sum(total, &one),
                None => total = Some(one),
            }
        }
    }
    let mut total = total.or_else(|| pytest_quiet(lines))?;
    let sections = sections(lines);
    // A map, so that many failures take time in proportion to their number.
    let by_title: BTreeMap<&str, Option<(&str, u32)>> = sections.iter().rev().copied().collect();
    for line in lines {
        let Some(rest) = line.strip_prefix("FAILED ").or_else(|| line.strip_prefix("ERROR ")) else {
            continue;
        };
        let (id, message) = rest.split_once(" - ").unwrap_or((rest, ""));
        let path = id.split("::").next().unwrap_or(id);
        if !path.contains(".py") && !path.contains('/') {
            continue;
        }
        let name = id.split("::").skip(1).collect::<Vec<_>>().join(".");
        let at = by_title.get(name.as_str()).copied().flatten();
        add(&mut total, failure(id.trim(), Some(at.unwrap_or((path, 0))), message));
    }
    if total.first_failures.is_empty() {
        for (title, at) in sections.iter().take(total.failed.saturating_add(total.errors) as usize) {
            add(&mut total, failure(title, *at, ""));
        }
    }
    Some(total)
}

/// `-qq` prints no summary line: what failed is counted in the list that it does print.
fn pytest_quiet(lines: &[&str]) -> Option<Signal> {
    let from = lines.iter().rposition(|line| line.trim_matches(['=', ' ']) == "short test summary info")?;
    let count = |start: &str| lines[from..].iter().filter(|line| line.starts_with(start)).count() as u32;
    let (failed, errors) = (count("FAILED "), count("ERROR "));
    (failed + errors > 0).then(|| signal("pytest", 0, failed, 0, errors))
}

/// The parts under `____ test_x ____`, each with the last place that it names.
fn sections<'a>(lines: &[&'a str]) -> Vec<(&'a str, Option<(&'a str, u32)>)> {
    let mut sections: Vec<(&str, Option<(&str, u32)>)> = Vec::new();
    for line in lines {
        if line.starts_with("__") && line.ends_with("__") {
            let title = line.trim_matches(['_', ' ']);
            if !title.is_empty() {
                sections.push((title.strip_prefix("ERROR at setup of ").unwrap_or(title), None));
            }
        } else if line.starts_with("===") {
            // The last section ends here.
            sections.push(("", None));
        } else if let Some((_, at)) = sections.last_mut()
            && line.contains(".py:")
            && !line.starts_with([' ', '>', 'E'])
            && let Some(found) = location(line)
        {
            *at = Some(found);
        } else if let Some((_, at)) = sections.last_mut()
            && let Some(found) = python_frame(line)
        {
            // `--tb=native`
            *at = Some(found);
        }
    }
    sections.retain(|(title, _)| !title.is_empty());
    sections
}

fn pytest_summary(line: &str) -> Option<Signal> {
    let text = line.trim_matches(['=', ' ']);
    let (parts, time) = text.rsplit_once(" in ")?;
    let seconds = time.split(' ').next().unwrap_or(time).strip_suffix('s')?;
    if seconds.is_empty() || !seconds.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    if matches!(parts, "no tests ran" | "no tests collected") {
        return Some(signal("pytest", 0, 0, 0, 0));
    }
    let (mut passed, mut failed, mut skipped, mut errors) = (0u32, 0u32, 0u32, 0u32);
    for (count, word) in counts(parts, ',')? {
        match word {
            "passed" | "xpassed" => passed = passed.saturating_add(count),
            "failed" => failed = count,
            "skipped" | "xfailed" => skipped = skipped.saturating_add(count),
            "error" | "errors" => errors = count,
            "deselected" | "warning" | "warnings" | "rerun" | "subtests passed" | "subtest passed" => {}
            _ => return None,
        }
    }
    Some(signal("pytest", passed, failed, skipped, errors))
}

/// `Ran 5 tests in 0.001s`, then `OK (skipped=1)` or `FAILED (failures=1)`.
pub fn unittest(lines: &[&str]) -> Option<Signal> {
    let mut total: Option<Signal> = None;
    for (index, line) in lines.iter().enumerate() {
        let Some(ran) = line.strip_prefix("Ran ").and_then(number) else { continue };
        if !ran.1.starts_with(" test") {
            continue;
        }
        let verdict = lines[index + 1..].iter().take(3).find(|line| {
            line.starts_with("OK") || line.starts_with("FAILED") || line.starts_with("NO TESTS RAN")
        });
        let Some(verdict) = verdict else { continue };
        let count = |key: &str| {
            verdict
                .split(['(', ',', ')'])
                .find_map(|part| part.trim().strip_prefix(key)?.strip_prefix('=').and_then(number))
                .map_or(0, |(count, _)| count)
        };
        let failed = count("failures").saturating_add(count("unexpected successes"));
        let skipped = count("skipped").saturating_add(count("expected failures"));
        let errors = count("errors");
        let passed = ran.0.saturating_sub(failed).saturating_sub(errors).saturating_sub(skipped);
        let one = signal("unittest", passed, failed, skipped, errors);
        match &mut total {
            Some(total) => sum(total, &one),
            None => total = Some(one),
        }
    }
    let mut total = total?;
    // Each subtest that fails counts as a failure, and all of them together as one test.
    let mut parents = BTreeMap::new();
    for line in lines {
        let id = line.strip_prefix("FAIL: ").or_else(|| line.strip_prefix("ERROR: "));
        if let Some((parent, _)) = id.and_then(|id| id.split_once(") (").or_else(|| id.split_once(") ["))) {
            *parents.entry(parent).or_insert(0_u32) += 1;
        }
    }
    let again = parents.values().fold(0_u32, |sum, count| sum.saturating_add(count - 1));
    total.passed = total.passed.saturating_add(again.min(total.failed.saturating_add(total.errors)));
    for (index, line) in lines.iter().enumerate() {
        let Some(id) = line.strip_prefix("FAIL: ").or_else(|| line.strip_prefix("ERROR: ")) else { continue };
        let (mut at, mut message) = (None, "");
        for line in lines[index + 1..].iter().take(60) {
            if line.starts_with("====") || line.starts_with("Ran ") {
                break;
            }
            if let Some(found) = python_frame(line) {
                at = Some(found);
            } else if !line.starts_with([' ', '-']) && !line.starts_with("Traceback") {
                message = line;
            }
            if !message.is_empty() && at.is_some() {
                break;
            }
        }
        add(&mut total, failure(id, at, message));
    }
    Some(total)
}

/// `  File "x.py", line 3, in test_x`.
fn python_frame(line: &str) -> Option<(&str, u32)> {
    let (path, rest) = line.trim_start().strip_prefix("File \"")?.split_once('"')?;
    Some((path, number(rest.strip_prefix(", line ")?)?.0))
}
