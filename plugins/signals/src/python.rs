//! Failing tests of pytest and unittest, and pytest without a summary.

use std::collections::BTreeMap;

use codex_worker_policy::Signal;

use crate::text::{FAILURES, add, failure, location, number, signal};

/// The short summary, with locations from the sections above it.
pub fn pytest_failures(lines: &[&str], total: &mut Signal) {
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
        add(total, failure(id.trim(), Some(at.unwrap_or((path, 0))), message));
    }
    if total.first_failures.is_empty() {
        for (title, at) in sections.iter().take(total.failed.saturating_add(total.errors) as usize) {
            add(total, failure(title, *at, ""));
        }
    }
}

/// `-qq` prints no summary line: the letters of the progress lines are counted, and what
/// failed in the list that it does print.
pub fn pytest_quiet(lines: &[&str]) -> Option<Signal> {
    let mut total = signal("pytest", 0, 0, 0, 0);
    let mut seen = false;
    for letters in lines.iter().filter_map(|line| progress(line)) {
        seen = true;
        for letter in letters.chars() {
            let count = match letter {
                '.' | 'X' => &mut total.passed,
                'F' => &mut total.failed,
                'E' => &mut total.errors,
                _ => &mut total.skipped,
            };
            *count = count.saturating_add(1);
        }
    }
    if let Some(from) =
        lines.iter().rposition(|line| line.trim_matches(['=', ' ']) == "short test summary info")
    {
        let count = |start: &str| lines[from..].iter().filter(|line| line.starts_with(start)).count() as u32;
        total.failed = total.failed.max(count("FAILED "));
        total.errors = total.errors.max(count("ERROR "));
        seen |= total.failed + total.errors > 0;
    }
    total.nothing_ran = total.passed == 0 && total.failed == 0 && total.errors == 0;
    pytest_failures(lines, &mut total);
    seen.then_some(total)
}

/// The letters of `..F.s        [ 71%]`.
fn progress(line: &str) -> Option<&str> {
    let (letters, rest) = line.split_once(' ')?;
    let percent = rest.trim_start().strip_prefix('[')?.trim_start().strip_suffix("%]")?;
    let letters_only = !letters.is_empty() && letters.chars().all(|c| ".FEsxXR".contains(c));
    (letters_only && percent.parse::<u8>().is_ok()).then_some(letters)
}

/// The parts under `____ test_x ____`, each with the last location that it names.
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

/// `FAIL: test_x (module.Class.test_x)` with its traceback.
pub fn unittest_failures(lines: &[&str], total: &mut Signal) {
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
        if total.first_failures.len() >= FAILURES {
            break;
        }
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
        add(total, failure(id, at, message));
    }
}

/// `  File "x.py", line 3, in test_x`.
fn python_frame(line: &str) -> Option<(&str, u32)> {
    let (path, rest) = line.trim_start().strip_prefix("File \"")?.split_once('"')?;
    Some((path, number(rest.strip_prefix(", line ")?)?.0))
}
