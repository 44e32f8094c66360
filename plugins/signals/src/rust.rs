//! cargo test, nextest and what rustc and clippy print.

use std::collections::BTreeMap;

use codex_worker_policy::Signal;

use crate::text::{add, counts, failure, location, number, signal, sum};

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`, one for each binary, summed.
pub fn cargo_test(lines: &[&str]) -> Option<Signal> {
    let mut total: Option<Signal> = None;
    for line in lines {
        let Some(rest) = line.trim_start().strip_prefix("test result: ") else { continue };
        let Some((_, rest)) = rest.split_once(". ") else { continue };
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for part in rest.split(';') {
            match number(part.trim()) {
                Some((count, " passed")) => passed = count,
                Some((count, " failed")) => failed = count,
                Some((count, " ignored")) => skipped = count,
                _ => {}
            }
        }
        let one = signal("cargo-test", passed, failed, skipped, 0);
        match &mut total {
            Some(total) => sum(total, &one),
            None => total = Some(one),
        }
    }
    let mut total = total?;
    if total.failed > 0 {
        let panics = panics(lines);
        for line in lines {
            let name = line
                .strip_prefix("---- ")
                .and_then(|rest| rest.strip_suffix(" stdout ----"))
                .or_else(|| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
            let Some(name) = name else { continue };
            // The name of a documentation test holds its place: `src/lib.rs - f (line 3)`.
            match panics.get(name) {
                Some((at, message)) => add_once(&mut total, name, *at, message),
                None => add_once(&mut total, name, None, ""),
            }
        }
    }
    Some(total)
}

/// `test x ... FAILED` comes before the part that says where: the later one completes it.
fn add_once(signal: &mut Signal, name: &str, at: Option<(&str, u32)>, message: &str) {
    let new = failure(name, at, message);
    match signal.first_failures.iter_mut().find(|old| old.id == new.id) {
        Some(old) if old.line.is_none() => *old = new,
        Some(_) => {}
        None => add(signal, new),
    }
}

/// By the thread's name, which is the test's: where, and the message.
type Panics<'a> = BTreeMap<&'a str, (Option<(&'a str, u32)>, &'a str)>;

/// `thread 'name' panicked at src/lib.rs:10:5:` and the message on the next line; before
/// Rust 1.73 both on one line; since 1.91 with the thread's id.
fn panics<'a>(lines: &[&'a str]) -> Panics<'a> {
    let mut panics = Panics::new();
    for (index, line) in lines.iter().enumerate() {
        let Some((name, rest)) =
            line.trim_start().strip_prefix("thread '").and_then(|rest| rest.split_once('\''))
        else {
            continue;
        };
        let Some((_, place)) = rest.split_once("panicked at ") else { continue };
        let message = match place.strip_prefix('\'') {
            Some(old) => old.rsplit_once("', ").map_or(old, |(message, _)| message),
            None => lines.get(index + 1).copied().unwrap_or_default().trim(),
        };
        panics.entry(name).or_insert((location(place), message));
    }
    panics
}

/// `Summary [   0.123s] 10 tests run: 9 passed (1 slow), 1 failed, 2 skipped`.
pub fn nextest(lines: &[&str]) -> Option<Signal> {
    let mut total: Option<Signal> = None;
    for line in lines {
        let Some(rest) = line.trim_start().strip_prefix("Summary [") else { continue };
        let Some((_, rest)) = rest.split_once(']') else { continue };
        let Some((head, parts)) = rest.split_once(':') else { continue };
        if !head.contains("run") {
            continue;
        }
        // Notes in parentheses hold commas of their own.
        let Some(parts) = counts(&without_parentheses(parts), ',').map(owned) else { continue };
        let (mut passed, mut failed, mut skipped, mut errors) = (0u32, 0u32, 0u32, 0u32);
        for (count, word) in parts {
            match word.as_str() {
                "passed" => passed = count,
                "failed" => failed = failed.saturating_add(count),
                "timed out" | "exec failed" => errors = errors.saturating_add(count),
                "skipped" => skipped = count,
                _ => {}
            }
        }
        let one = signal("nextest", passed, failed, skipped, errors);
        match &mut total {
            Some(total) => sum(total, &one),
            None => total = Some(one),
        }
    }
    let mut total = total.or_else(|| {
        let none = lines.iter().any(|line| line.trim_start().starts_with("error: no tests to run"));
        none.then(|| signal("nextest", 0, 0, 0, 0))
    })?;
    let panics = panics(lines);
    for line in lines {
        let text = line.trim_start();
        let ended = ["FAIL [", "TIMEOUT [", "SIGABRT [", "SIGSEGV [", "ABORT [", "XFAIL ["];
        if !ended.iter().any(|start| text.starts_with(start)) {
            continue;
        }
        let Some((_, id)) = text.split_once(']') else { continue };
        // `( 1/10)` stands before the name since 0.9.100.
        let id =
            id.trim().strip_prefix('(').and_then(|id| id.split_once(')')).map_or(id, |(_, id)| id).trim();
        let name = id.rsplit(' ').next().unwrap_or(id);
        match panics.get(name) {
            Some((at, message)) => add_once(&mut total, id, *at, message),
            None => add_once(&mut total, id, None, ""),
        }
    }
    Some(total)
}

fn owned(parts: Vec<(u32, &str)>) -> Vec<(u32, String)> {
    parts.into_iter().map(|(count, word)| (count, word.to_string())).collect()
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0u32;
    text.chars()
        .filter(|c| match c {
            '(' => {
                depth += 1;
                false
            }
            ')' => {
                depth = depth.saturating_sub(1);
                false
            }
            _ => depth == 0,
        })
        .collect()
}

/// `error[E0308]: mismatched types`, then ` --> src/a.rs:3:5`.
pub fn rustc(lines: &[&str]) -> Option<Signal> {
    let mut total = signal("rustc", 0, 0, 0, 0);
    for (index, line) in lines.iter().enumerate() {
        let Some(rest) = line.strip_prefix("error") else { continue };
        let (code, message) = match rest.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            Some((code, message)) => (code, message),
            None => ("error", rest.strip_prefix(": ").unwrap_or_default()),
        };
        // Only what names a place is a diagnostic; `could not compile` and the like do not.
        let place = lines[index + 1..].iter().take(3).find_map(|line| line.trim_start().strip_prefix("--> "));
        let Some(at) = place.and_then(location) else { continue };
        total.errors += 1;
        total.nothing_ran = false;
        add(&mut total, failure(code, Some(at), message));
    }
    (total.errors > 0).then_some(total)
}
