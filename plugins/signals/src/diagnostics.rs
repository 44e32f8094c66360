//! Compilers and linters that print `file:line: error: …` and the like. A signal comes
//! only with errors: a clean run of them says nothing.

use codex_worker_policy::Signal;

use crate::text::{add, failure, location, number, signal};

/// tsc: `src/a.ts(3,5): error TS2304: …` or `src/a.ts:3:5 - error TS2304: …`.
pub fn tsc(lines: &[&str]) -> Option<Signal> {
    let mut total = signal("tsc", 0, 0, 0, 0);
    for line in lines {
        let Some((place, rest)) = line.split_once("error TS") else { continue };
        let Some((code, message)) = rest.split_once(": ") else { continue };
        if !code.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let at = match place.split_once('(') {
            Some((path, line)) => number(line).map(|(line, _)| (path, line)),
            None => location(place),
        };
        error(&mut total, &format!("TS{code}"), at, message);
    }
    found(total)
}

/// gcc, clang, mypy, javac: `path:line[:column]: error: message`.
pub fn compiler(lines: &[&str]) -> Option<Signal> {
    let mut total = signal("compiler", 0, 0, 0, 0);
    for line in lines {
        if !line.contains("error: ") {
            continue;
        }
        let split = [": error: ", ": fatal error: "].iter().find_map(|mark| line.split_once(mark));
        let Some((place, message)) = split else { continue };
        // The location is all that precedes the separator.
        let Some(at) = location(place).filter(|(path, _)| place.starts_with(path)) else { continue };
        error(&mut total, "error", Some(at), message);
    }
    found(total)
}

/// eslint: a path on a line of its own, then `  3:5  error  message  rule`.
pub fn eslint(lines: &[&str]) -> Option<Signal> {
    let mut total = signal("eslint", 0, 0, 0, 0);
    let mut path = "";
    for line in lines {
        if !line.starts_with([' ', '\t']) {
            path = line;
            continue;
        }
        let Some((at, rest)) = number(line.trim_start()) else { continue };
        let Some((_, rest)) = rest.strip_prefix(':').and_then(number) else { continue };
        let Some(rest) = rest.trim_start().strip_prefix("error ") else { continue };
        let (message, rule) = rest.trim().rsplit_once("  ").unwrap_or((rest.trim(), "error"));
        if path.contains('.') {
            error(&mut total, rule.trim(), Some((path, at)), message);
        }
    }
    found(total)
}

/// ruff and flake8: `path:line:column: F401 message`.
pub fn python_lint(lines: &[&str]) -> Option<Signal> {
    let mut total = signal("python-lint", 0, 0, 0, 0);
    for line in lines {
        let Some((place, rest)) = line.split_once(": ") else { continue };
        let (code, message) = rest.split_once(' ').unwrap_or((rest, ""));
        let letters = code.bytes().take_while(u8::is_ascii_uppercase).count();
        let coded = (1..=4).contains(&letters)
            && (2..=5).contains(&(code.len() - letters))
            && code.bytes().skip(letters).all(|b| b.is_ascii_digit());
        let Some(at) = location(place).filter(|(path, _)| place.starts_with(path) && path.contains(".py"))
        else {
            continue;
        };
        if coded {
            error(&mut total, code, Some(at), message);
        }
    }
    found(total)
}

fn error(total: &mut Signal, id: &str, at: Option<(&str, u32)>, message: &str) {
    total.errors = total.errors.saturating_add(1);
    total.nothing_ran = false;
    add(total, failure(id, at, message));
}

fn found(total: Signal) -> Option<Signal> {
    (total.errors > 0).then_some(total)
}
