//! Maven's surefire, and what Gradle prints for each test.

use codex_worker_policy::Signal;

use crate::text::{add, failure, location, number, signal, sum};

/// `Tests run: 5, Failures: 1, Errors: 0, Skipped: 1`: once for each class with the time,
/// and once for each module without it.
pub fn maven(lines: &[&str]) -> Option<Signal> {
    let (mut classes, mut modules): (Option<Signal>, Option<Signal>) = (None, None);
    for line in lines {
        let Some(rest) = unmarked(line).strip_prefix("Tests run: ") else { continue };
        let mut counts = [0u32; 4];
        for part in format!("run: {rest}").split(',') {
            let Some((word, count)) = part.trim().split_once(": ") else { continue };
            if let (Some(slot), Some((count, _))) =
                (["run", "Failures", "Errors", "Skipped"].iter().position(|w| *w == word), number(count))
            {
                counts[slot] = count;
            }
        }
        let [ran, failed, errors, skipped] = counts;
        let passed = ran.saturating_sub(failed).saturating_sub(errors).saturating_sub(skipped);
        let one = signal("maven", passed, failed, skipped, errors);
        let into = if rest.contains("Time elapsed") { &mut classes } else { &mut modules };
        match into {
            Some(total) => sum(total, &one),
            None => *into = Some(one),
        }
    }
    let none = || {
        let said = |line: &&str| matches!(unmarked(line), "No tests to run." | "No tests were executed!");
        lines.iter().any(said).then(|| signal("maven", 0, 0, 0, 0))
    };
    let mut total = modules.or(classes).or_else(none)?;
    for line in lines {
        let Some(rest) = line.strip_prefix("[ERROR]   ") else { continue };
        // `FooTest.bar:12 expected: <1> but was: <2>`; `FooTest.bar » Runtime`.
        let (id, message) = rest.split_once(' ').unwrap_or((rest, ""));
        let (id, at) = match id.rsplit_once(':').and_then(|(id, line)| Some((id, number(line)?.0))) {
            Some((id, line)) => (id, Some(line)),
            None => (id, None),
        };
        if !id.contains('.') || id.contains('/') {
            continue;
        }
        let class = id.split(['.', '$']).next().unwrap_or(id);
        let mut one = failure(id, None, message.trim_start_matches("» "));
        if at.is_some() {
            one.path = Some(format!("{class}.java"));
            one.line = at;
        }
        add(&mut total, one);
    }
    if total.first_failures.is_empty() {
        for line in lines {
            if let Some((id, _)) = unmarked(line).split_once(" <<< ")
                && line.contains("Time elapsed")
                && !id.starts_with("Tests run")
            {
                add(&mut total, failure(id.split("  ").next().unwrap_or(id), None, ""));
            }
        }
    }
    Some(total)
}

fn unmarked(line: &str) -> &str {
    let line = line.trim();
    ["[INFO] ", "[ERROR] ", "[WARNING] "]
        .iter()
        .find_map(|mark| line.strip_prefix(mark))
        .unwrap_or(line)
        .trim()
}

/// With test logging: `Foo > bar() PASSED`, one a line.
pub fn gradle(lines: &[&str]) -> Option<Signal> {
    let (mut passed, mut failed, mut skipped) = (0u32, 0u32, 0u32);
    for line in lines.iter().filter_map(|line| logged(line)) {
        passed += u32::from(line.ends_with(" PASSED"));
        failed += u32::from(line.ends_with(" FAILED"));
        skipped += u32::from(line.ends_with(" SKIPPED"));
    }
    let mut total = signal("gradle", passed, failed, skipped, 0);
    gradle_failures(lines, &mut total);
    (passed + failed + skipped > 0).then_some(total)
}

/// `Foo > bar() FAILED`, and the reason below.
pub fn gradle_failures(lines: &[&str], total: &mut Signal) {
    for (index, line) in lines.iter().enumerate() {
        if let Some(id) = logged(line).and_then(|line| line.strip_suffix(" FAILED")) {
            let below = lines.get(index + 1).filter(|next| next.starts_with("    "));
            let message = below.copied().unwrap_or_default();
            add(total, failure(id, location(message), message));
        }
    }
}

/// A line about one test; `> Task :test FAILED` is about a task.
fn logged(line: &str) -> Option<&str> {
    let ended = [" PASSED", " FAILED", " SKIPPED"].iter().any(|end| line.ends_with(end));
    (ended && line.contains(" > ") && !line.starts_with('>')).then_some(line)
}
