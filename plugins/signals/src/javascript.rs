//! jest, vitest, mocha, node --test, bun and deno.

use codex_worker_policy::Signal;

use crate::text::{add, counts, failure, number, report, signal, sum};

/// `Tests:       1 failed, 2 skipped, 10 passed, 13 total`.
pub fn jest(lines: &[&str]) -> Option<Signal> {
    let mut total: Option<Signal> = None;
    for line in lines {
        let Some(parts) = line.trim_start().strip_prefix("Tests:") else { continue };
        if !line.trim_end().ends_with(" total") {
            continue;
        }
        let Some(parts) = counts(parts, ',') else { continue };
        let one = signal(
            "jest",
            of(&parts, &["passed"]),
            of(&parts, &["failed"]),
            of(&parts, &["skipped", "todo", "pending"]),
            0,
        );
        match &mut total {
            Some(total) => sum(total, &one),
            None => total = Some(one),
        }
    }
    let mut total = total.or_else(|| {
        let none = lines.iter().any(|line| line.starts_with("No tests found"));
        none.then(|| signal("jest", 0, 0, 0, 0))
    })?;
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
        add(&mut total, failure(id, at, message));
    }
    // The list is repeated at the end of a long run.
    total.errors = total.errors.min(suites_failed(lines).unwrap_or(total.errors));
    Some(total)
}

fn suites_failed(lines: &[&str]) -> Option<u32> {
    let parts = lines.iter().rev().find_map(|line| line.trim_start().strip_prefix("Test Suites:"))?;
    Some(of(&counts(parts, ',')?, &["failed"]))
}

fn of(parts: &[(u32, &str)], words: &[&str]) -> u32 {
    parts
        .iter()
        .filter(|(_, word)| words.contains(word))
        .fold(0, |sum, (count, _)| sum.saturating_add(*count))
}

/// `      Tests  1 failed | 612 passed | 3 skipped (616)`, and `     Errors  1 error`.
pub fn vitest(lines: &[&str]) -> Option<Signal> {
    let mut total: Option<Signal> = None;
    let mut errors = 0u32;
    let mut files = false;
    for line in lines {
        let text = line.trim();
        if text.starts_with("Test Files ") {
            files = true;
            continue;
        }
        if let Some(parts) = text.strip_prefix("Errors ").and_then(|rest| counts(rest, '|')) {
            errors = errors.saturating_add(of(&parts, &["error", "errors"]));
        }
        let Some(rest) = text.strip_prefix("Tests ") else { continue };
        if rest.trim() == "no tests" {
            total.get_or_insert_with(|| signal("vitest", 0, 0, 0, 0));
            continue;
        }
        let Some(parts) = counts(rest, '|') else { continue };
        let one = signal(
            "vitest",
            of(&parts, &["passed"]),
            of(&parts, &["failed"]),
            of(&parts, &["skipped", "todo"]),
            0,
        );
        match &mut total {
            Some(total) => sum(total, &one),
            None => total = Some(one),
        }
    }
    if !files || total.is_none() {
        let none = lines.iter().any(|line| line.trim_start().starts_with("No test files found"));
        return none.then(|| signal("vitest", 0, 0, 0, 0));
    }
    let mut total = total?;
    total.errors = errors;
    total.nothing_ran &= errors == 0;
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
        add(&mut total, failure(id, at, message));
    }
    Some(total)
}

/// `  12 passing (34ms)`, `  1 pending`, `  2 failing`.
pub fn mocha(lines: &[&str]) -> Option<Signal> {
    let mut total: Option<Signal> = None;
    for (index, line) in lines.iter().enumerate() {
        let text = line.trim();
        let Some((passed, rest)) = number(text) else { continue };
        if !rest.starts_with(" passing (") {
            continue;
        }
        let (mut failed, mut skipped) = (0, 0);
        for line in lines[index + 1..].iter().take(4) {
            match number(line.trim()) {
                Some((count, " pending")) => skipped = count,
                Some((count, " failing")) => failed = count,
                _ => {}
            }
        }
        let mut one = signal("mocha", passed, failed, skipped, 0);
        if failed > 0 {
            mocha_failures(&lines[index + 1..], &mut one);
        }
        match &mut total {
            Some(total) => sum(total, &one),
            None => total = Some(one),
        }
    }
    total
}

fn mocha_failures(lines: &[&str], total: &mut Signal) {
    let entry = |line: &str| {
        let (_, rest) = number(line.trim_start())?;
        line.starts_with("  ").then_some(())?;
        Some(rest.strip_prefix(") ")?.len())
    };
    for (index, line) in lines.iter().enumerate() {
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

/// `ℹ tests 5`, `ℹ pass 4`, … or the same after `# ` in TAP.
pub fn node_test(lines: &[&str]) -> Option<Signal> {
    let mut values = [None; 6];
    let words = ["tests", "pass", "fail", "cancelled", "skipped", "todo"];
    for line in lines {
        let Some(rest) = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# ")) else { continue };
        let Some((word, count)) = rest.split_once(' ') else { continue };
        if let (Some(slot), Some((count, ""))) = (words.iter().position(|w| *w == word), number(count.trim()))
        {
            values[slot] = Some(count);
        }
    }
    let [Some(_), Some(passed), Some(failed), cancelled, skipped, todo] = values else { return None };
    // Others close their TAP with the first three only.
    if cancelled.is_none() && skipped.is_none() {
        return None;
    }
    let skipped = skipped.unwrap_or(0).saturating_add(todo.unwrap_or(0));
    let mut total = signal("node-test", passed, failed, skipped, cancelled.unwrap_or(0));
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
                None => add(&mut total, new),
            }
        }
    }
    Some(total)
}

/// bun: ` 12 pass`, ` 1 fail`, then `Ran 13 tests across 2 files.`
pub fn bun(lines: &[&str]) -> Option<Signal> {
    let ran = lines.iter().rposition(|line| line.starts_with("Ran ") && line.contains(" across "))?;
    let (mut passed, mut failed, mut skipped, mut errors) = (0, 0, 0, 0u32);
    for line in &lines[ran.saturating_sub(8)..ran] {
        match number(line.trim()) {
            Some((count, " pass")) => passed = count,
            Some((count, " fail")) => failed = count,
            Some((count, " skip" | " todo")) => skipped += count,
            Some((count, " error" | " errors")) => errors = count,
            _ => {}
        }
    }
    let mut total = signal("bun", passed, failed, skipped, errors);
    for line in lines {
        if let Some(id) = line.strip_prefix("(fail) ") {
            add(&mut total, failure(id.rsplit_once(" [").map_or(id, |(id, _)| id), None, ""));
        }
    }
    Some(total)
}

/// deno: `ok | 5 passed | 0 failed (10ms)`.
pub fn deno(lines: &[&str]) -> Option<Signal> {
    let parts = lines.iter().rev().find_map(|line| {
        let rest = line.strip_prefix("ok | ").or_else(|| line.strip_prefix("FAILED | "))?;
        counts(rest, '|')
    })?;
    let skipped = of(&parts, &["ignored"]);
    Some(signal("deno", of(&parts, &["passed"]), of(&parts, &["failed"]), skipped, 0))
}
