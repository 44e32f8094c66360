//! Failing tests of cargo test and nextest, and the errors of rustc and clippy.

use std::collections::BTreeMap;

use codex_worker_policy::Signal;

use crate::text::{add, add_once, failure, location, signal};

/// `---- name stdout ----` and `test name ... FAILED`.
pub fn test_failures(lines: &[&str], total: &mut Signal) {
    if total.failed > 0 {
        let panics = panics(lines);
        for line in lines {
            let name = line
                .strip_prefix("---- ")
                .and_then(|rest| rest.strip_suffix(" stdout ----"))
                .or_else(|| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
            let Some(name) = name else { continue };
            // The name of a documentation test holds its location: `src/lib.rs - f (line 3)`.
            match panics.get(name) {
                Some((at, message)) => add_once(total, name, *at, message),
                None => add_once(total, name, None, ""),
            }
        }
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

/// `FAIL [   0.005s] binary name` and other ends that are no pass.
pub fn nextest_failures(lines: &[&str], total: &mut Signal) {
    let panics = panics(lines);
    for line in lines {
        let text = line.trim_start();
        let ended = ["FAIL [", "TIMEOUT [", "SIGABRT [", "SIGSEGV [", "ABORT [", "XFAIL ["];
        if !ended.iter().any(|start| text.starts_with(start)) {
            continue;
        }
        let Some((_, id)) = text.split_once(']') else { continue };
        // `( 1/10)` precedes the name since 0.9.100.
        let id =
            id.trim().strip_prefix('(').and_then(|id| id.split_once(')')).map_or(id, |(_, id)| id).trim();
        let name = id.rsplit(' ').next().unwrap_or(id);
        match panics.get(name) {
            Some((at, message)) => add_once(total, id, *at, message),
            None => add_once(total, id, None, ""),
        }
    }
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
        // Only what names a location is a diagnostic; `could not compile` and the like do not.
        let place = lines[index + 1..].iter().take(3).find_map(|line| line.trim_start().strip_prefix("--> "));
        let Some(at) = place.and_then(location) else { continue };
        total.errors += 1;
        total.nothing_ran = false;
        add(&mut total, failure(code, Some(at), message));
    }
    (total.errors > 0).then_some(total)
}
