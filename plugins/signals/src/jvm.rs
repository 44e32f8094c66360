//! Maven's surefire and Gradle.

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

/// `10 tests completed, 1 failed, 2 skipped`, printed when some fail; with test logging
/// `Foo > bar() PASSED`, one a line.
pub fn gradle(lines: &[&str]) -> Option<Signal> {
    let mut summary: Option<Signal> = None;
    let (mut passed, mut failed, mut skipped) = (0u32, 0u32, 0u32);
    let mut failures = signal("gradle", 0, 0, 0, 0);
    let mut no_source = false;
    for (index, line) in lines.iter().enumerate() {
        if let Some((ran, rest)) = number(line.trim())
            && let Some(rest) =
                rest.strip_prefix(" tests completed").or_else(|| rest.strip_prefix(" test completed"))
        {
            let count = |word: &str| {
                rest.split(',')
                    .find_map(|part| number(part.trim()).filter(|(_, w)| w.trim() == word))
                    .map_or(0, |(c, _)| c)
            };
            let (f, s) = (count("failed"), count("skipped"));
            let one = signal("gradle", ran.saturating_sub(f).saturating_sub(s), f, s, 0);
            match &mut summary {
                Some(total) => sum(total, &one),
                None => summary = Some(one),
            }
        } else if line.starts_with("> Task ") && line.contains("est NO-SOURCE") {
            no_source = true;
        } else if line.contains(" > ") && !line.starts_with('>') {
            if line.ends_with(" PASSED") {
                passed += 1;
            } else if line.ends_with(" SKIPPED") {
                skipped += 1;
            } else if let Some(id) = line.strip_suffix(" FAILED") {
                failed += 1;
                let message =
                    lines.get(index + 1).filter(|next| next.starts_with("    ")).copied().unwrap_or_default();
                add(&mut failures, failure(id, location(message), message));
            }
        }
    }
    let logged = passed + failed + skipped > 0;
    let mut total = summary
        .or_else(|| logged.then(|| signal("gradle", passed, failed, skipped, 0)))
        .or_else(|| no_source.then(|| signal("gradle", 0, 0, 0, 0)))?;
    total.first_failures = failures.first_failures;
    Some(total)
}
