//! Failing tests of jest, vitest, mocha and node --test.

use codex_worker_policy::Signal;

use crate::text::{FAILURES, add, failure, number, report};

/// `  ● suite › test`; a file that could not be loaded is an error.
pub fn jest_failures(lines: &[&str], total: &mut Signal) {
    for (index, line) in lines.iter().enumerate() {
        let Some(id) = line.strip_prefix("  ● ") else { continue };
        if id.starts_with("Console") || id.starts_with("Deprecation") {
            continue;
        }
        let (at, message) = report(lines, index + 1, |line| line.starts_with("  ● "));
        if id.trim() == "Test suite failed to run" {
            total.errors = total.errors.saturating_add(1);
            total.nothing_ran = false;
        }
        add(total, failure(id, at, message));
    }
    // The list is repeated at the end of a long run.
    let suites = lines.iter().rev().find_map(|line| line.trim_start().strip_prefix("Test Suites:"));
    if let Some(suites) = suites.and_then(crate::counts::read) {
        total.errors = total.errors.min(suites.signal("").failed);
    }
}

/// ` FAIL  a.test.ts > suite > test`.
pub fn vitest_failures(lines: &[&str], total: &mut Signal) {
    for (index, line) in lines.iter().enumerate() {
        let Some(id) = line.trim_start().strip_prefix("FAIL ") else { continue };
        // `FAIL  a.test.ts [ a.test.ts ]`: a file that could not be loaded.
        let file = id.trim().split_once(" [ ").map(|(file, _)| file);
        if file.is_some() {
            total.errors = total.errors.saturating_add(1);
            total.nothing_ran = false;
        } else if !id.contains(" > ") {
            continue;
        }
        let id = file.unwrap_or(id);
        let stop = |line: &str| line.trim_start().starts_with("FAIL ") || line.starts_with("⎯⎯");
        let (at, message) = report(lines, index + 1, stop);
        add(total, failure(id, at, message));
    }
}

/// `  1) suite` and the titles below it, after the summary; the tree above has them too.
pub fn mocha_failures(lines: &[&str], total: &mut Signal) {
    let summary = lines.iter().position(|line| line.contains(" passing ("));
    let Some(summary) = summary.filter(|_| total.failed > 0) else { return };
    let lines = &lines[summary..];
    let entry = |line: &str| {
        let (_, rest) = number(line.trim_start())?;
        line.starts_with("  ").then_some(())?;
        Some(rest.strip_prefix(") ")?.len())
    };
    for (index, line) in lines.iter().enumerate() {
        if total.first_failures.len() >= FAILURES {
            break;
        }
        let Some(length) = entry(line) else { continue };
        // The suite, then the titles, the last of which ends with a colon.
        let mut id = line[line.len() - length..].trim().to_string();
        let mut after = index + 1;
        while !id.ends_with(':') && after < lines.len().min(index + 6) {
            id.push_str(" › ");
            id.push_str(lines[after].trim());
            after += 1;
        }
        let (at, message) = report(lines, after, |line| entry(line).is_some());
        add(total, failure(id.trim_end_matches(':'), at, message));
    }
}

/// `✖ test`, in the tree and once more in the list at the end.
pub fn node_failures(lines: &[&str], total: &mut Signal) {
    for (index, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        if let Some(id) = text.strip_prefix("✖ ") {
            if id.starts_with("failing tests") {
                continue;
            }
            let place =
                index.checked_sub(1).and_then(|before| lines[before].trim_start().strip_prefix("test at "));
            let (at, message) =
                report(lines, index + 1, |line| line.trim_start().starts_with(['✖', '✔', 'ℹ', '▶', '﹣']));
            let name = id.rsplit_once(" (").map_or(id, |(name, _)| name);
            let new = failure(name, place.and_then(crate::text::location).or(at), message);
            // The list at the end says where; the tree above only what.
            match total.first_failures.iter_mut().find(|old| old.id == new.id) {
                Some(old) if place.is_some() => *old = new,
                Some(_) => {}
                None => add(total, new),
            }
        }
    }
}
