//! Output of several commands in one, taken apart again: task runners put the package's name
//! before each line, CI services a time or a group. The lines of each command are read as if
//! it had run alone; lines without a name form a stream of their own.
//!
//! | printed by | a line |
//! | --- | --- |
//! | turbo | `web:test: text` |
//! | pnpm, bun | `packages/web test: text`, between `packages/web test$ command` and `…: Done` |
//! | lerna, nx | `web: text`, after `web: > web@1.0.0 test` or `web: $ command`; `@scope/web: text` |
//! | docker compose, foreman, moon | `web-1  \| text`, `web:test \| text` |
//! | concurrently, npm-run-all, yarn | `[web] text`, `[web]: text` |
//! | GitHub, GitLab, Jenkins and others | a time, `::group::…`, `##[group]…`, `job\tstep\ttime text` |
//!
//! A name alone is no proof: `warning: x` and `[info] x` are text. What could be either counts
//! as a name when the output declares it, or when two lines carry it.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::number;

/// Names within names, such as a turbo run below npm-run-all.
const DEPTH: usize = 3;

/// The streams in order of their first line.
pub fn split<'a>(lines: &[&'a str]) -> Vec<Vec<&'a str>> {
    let lines: Vec<&str> = lines.iter().filter_map(|line| undated(line)).collect();
    separate(&lines, DEPTH)
}

fn separate<'a>(lines: &[&'a str], depth: usize) -> Vec<Vec<&'a str>> {
    let mut seen: BTreeMap<(Form, &str), usize> = BTreeMap::new();
    let mut declared: BTreeSet<&str> = BTreeSet::new();
    for line in lines {
        if let Some((form, name, text)) = named(line) {
            *seen.entry((form, name)).or_default() += 1;
            let opens = text.starts_with("> ") || text.starts_with("$ ");
            let closes = matches!(text, "Done" | "Failed") || text.starts_with("Exited with code ");
            if opens || closes {
                declared.insert(name);
            }
        } else if let Some(name) = declares(line) {
            declared.insert(name);
        }
    }
    let is_name = |form: Form, name: &str| match form {
        Form::Task => name.starts_with('@') || seen.get(&(form, name)).is_some_and(|lines| *lines > 1),
        Form::Script | Form::Package => name.starts_with('@') || declared.contains(name),
        Form::Column | Form::Brackets => seen.get(&(form, name)).is_some_and(|lines| *lines > 1),
    };
    let mut order: Vec<(Form, &str)> = Vec::new();
    let mut own: Vec<&str> = Vec::new();
    let mut streams: BTreeMap<(Form, &str), Vec<&str>> = BTreeMap::new();
    for line in lines {
        match named(line) {
            Some((form, name, text)) if is_name(form, name) => {
                let stream = streams.entry((form, name)).or_insert_with(|| {
                    order.push((form, name));
                    Vec::new()
                });
                stream.extend(undated(text).filter(|text| !text.trim().is_empty()));
            }
            _ => own.push(line),
        }
    }
    let mut all = vec![own];
    for key in order {
        let stream = streams.remove(&key).unwrap_or_default();
        if depth > 1 {
            all.extend(separate(&stream, depth - 1));
        } else {
            all.push(stream);
        }
    }
    all.retain(|stream| !stream.is_empty());
    all
}

/// How a name precedes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// `web:test: `
    Task,
    /// `packages/web test: `
    Script,
    /// `web: `
    Package,
    /// `web-1  | `
    Column,
    /// `[web] `
    Brackets,
}

/// What may be a name before a text. Linear: each form ends at the first character that
/// cannot be part of it.
fn named(line: &str) -> Option<(Form, &str, &str)> {
    if let Some(rest) = line.strip_prefix('[') {
        let (name, text) = rest.split_once(']')?;
        let text = text.strip_prefix(':').unwrap_or(text);
        let text = text.strip_prefix(' ').or(text.is_empty().then_some(text))?;
        let usable = name.chars().all(|c| package(c) || c == ':')
            && name.chars().any(char::is_alphanumeric)
            && !LEVELS.contains(&name.to_ascii_lowercase().as_str());
        return usable.then_some((Form::Brackets, name, text));
    }
    if let Some((name, text)) = column(line) {
        // `ok | 5 passed` and `name | PASS |` are the runners' own.
        let own =
            matches!(name, "ok" | "FAILED") || matches!(text.trim_end(), "PASS |" | "FAIL |" | "SKIP |");
        return (!own).then_some((Form::Column, name, text));
    }
    let end = line.find(|c: char| !package(c)).filter(|end| *end > 0)?;
    let (name, rest) = line.split_at(end);
    if let Some(rest) = rest.strip_prefix(':') {
        if let Some(text) = rest.strip_prefix(' ').or(rest.is_empty().then_some(rest)) {
            return Some((Form::Package, name, text));
        }
        let script = rest.find(|c: char| !script(c)).unwrap_or(rest.len());
        // `src/a.c:3: …` is a location.
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) || name.contains("::") {
            return None;
        }
        let (task, text) = rest.split_at(script);
        let task = task.strip_suffix(':')?;
        let text = text.strip_prefix(' ').or(text.is_empty().then_some(text))?;
        return Some((Form::Task, &line[..end + 1 + task.len()], text));
    }
    let rest = rest.strip_prefix(' ')?;
    let end = rest.find(|c: char| !script(c))?;
    let (script, text) = rest.split_at(end);
    let script = script.strip_suffix(':')?;
    let text = text.strip_prefix(' ')?;
    (!script.is_empty()).then(|| (Form::Script, &line[..name.len() + 1 + script.len()], text))
}

/// `web-1  | text`, `web:test | text`.
fn column(line: &str) -> Option<(&str, &str)> {
    let end = line.find(|c: char| !(package(c) || c == ':')).filter(|end| *end > 0)?;
    let (name, rest) = line.split_at(end);
    let text = rest.strip_prefix(' ')?.trim_start().strip_prefix('|')?;
    let text = text.strip_prefix(' ').or(text.is_empty().then_some(text))?;
    (!name.ends_with(':')).then_some((name, text))
}

/// `packages/web test$ vitest run`, `web test $ node --test`.
fn declares(line: &str) -> Option<&str> {
    let (name, _) = line.split_once("$ ")?;
    let name = name.trim_end();
    let (package_name, script_name) = name.split_once(' ')?;
    (package_name.chars().all(package) && !script_name.is_empty() && script_name.chars().all(script))
        .then_some(name)
}

fn package(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '@' | '/' | '.' | '_' | '-' | '#')
}

fn script(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, ':' | '_' | '-' | '.')
}

/// Words in brackets that are no names.
const LEVELS: &[&str] =
    &["info", "warn", "warning", "error", "debug", "trace", "success", "fatal", "doctest", "note", "fail"];

/// A line without the time and the group marks of a CI service; `None` for a line
/// that only opens or closes a group.
fn undated(line: &str) -> Option<&str> {
    let mut text = line.strip_prefix("➤ YN0000: ").unwrap_or(line);
    // BuildKit: `#12 3.456 text`.
    if let Some((_, rest)) = text.strip_prefix('#').and_then(number)
        && let Some((_, rest)) = rest.strip_prefix(' ').and_then(number)
        && let Some((_, rest)) = rest.strip_prefix('.').and_then(number)
        && let Some(rest) = rest.strip_prefix(' ')
    {
        text = rest;
    }
    // `gh run view --log`: job, step, and the line.
    if let [_, _, rest] = text.splitn(3, '\t').collect::<Vec<_>>()[..]
        && time(rest).is_some()
    {
        text = rest;
    }
    if let Some(rest) = time(text) {
        text = rest;
    }
    if ["::group::", "::endgroup::", "##[group]", "##[endgroup]", "section_start:", "section_end:"]
        .iter()
        .any(|mark| text.starts_with(mark))
    {
        return None;
    }
    Some(["##[error]", "##[warning]"].iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(text))
}

/// What follows a time at the start of a line: `2024-01-01T10:00:00.123Z`, with brackets, a
/// space for the `T`, or the time of day alone.
fn time(text: &str) -> Option<&str> {
    let (rest, bracket) = match text.strip_prefix('[') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let rest = match date(rest) {
        Some(rest) => rest.strip_prefix(['T', ' '])?,
        None => rest,
    };
    let rest = group(rest, 2)?.strip_prefix(':')?;
    let rest = group(rest, 2)?.strip_prefix(':')?;
    let mut rest = group(rest, 2)?;
    if let Some((_, more)) = rest.strip_prefix(['.', ',']).and_then(number) {
        rest = more;
    }
    rest = rest.strip_prefix('Z').unwrap_or(rest);
    if let Some(zone) = rest.strip_prefix(['+', '-']).and_then(|rest| group(rest, 2)) {
        rest = zone.strip_prefix(':').and_then(|zone| group(zone, 2)).unwrap_or(zone);
    }
    if bracket {
        rest = rest.strip_prefix(']')?;
    }
    // GitLab names the stream: `00O`, `01E`.
    if let Some(marked) = rest.strip_prefix(' ').and_then(|rest| group(rest, 2))
        && let Some(marked) = marked.strip_prefix(['O', 'E'])
    {
        rest = marked.strip_prefix('+').unwrap_or(marked);
    }
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(' ') }
}

/// What follows `2024-01-01`.
fn date(text: &str) -> Option<&str> {
    let rest = group(text, 4)?.strip_prefix('-')?;
    let rest = group(rest, 2)?.strip_prefix('-')?;
    group(rest, 2)
}

/// What follows exactly this many digits.
fn group(text: &str, digits: usize) -> Option<&str> {
    let all = text.bytes().take(digits).filter(u8::is_ascii_digit).count() == digits;
    let rest = all.then(|| &text[digits..])?;
    (!rest.starts_with(|c: char| c.is_ascii_digit())).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &str, expected: &[&str]) {
        let lines: Vec<&str> = output.lines().collect();
        let streams: Vec<String> = split(&lines).iter().map(|stream| stream.join("⏎")).collect();
        assert_eq!(streams, expected, "{output}");
    }

    #[test]
    fn names_before_lines() {
        check("web:test: a\napi:test: b\nweb:test: c\napi:test:   d\n", &["a⏎c", "b⏎  d"]);
        check("@a/web:test: a\n", &["a"]);
        check(
            "packages/a test$ jest\npackages/b test$ jest\npackages/a test: x\npackages/b test: y\npackages/a test: Done\n",
            &["packages/a test$ jest⏎packages/b test$ jest", "x⏎Done", "y"],
        );
        check("web: > web@1.0.0 test\nweb: x\n@acme/api: y\n", &["> web@1.0.0 test⏎x", "y"]);
        check("web-1  | x\ndb_1   | y\nweb-1  | z\ndb_1   | w\n", &["x⏎z", "y⏎w"]);
        check("web:test | x\nweb:test | y\n", &["x⏎y"]);
        check("[0] x\n[1] y\n[0] z\n[1] w\n", &["x⏎z", "y⏎w"]);
        check("[test] web:test: x\n[test] web:test: y\n", &["x⏎y"]);
        check("[web]: x\n[web]: y\n", &["x⏎y"]);
    }

    #[test]
    fn text_that_looks_like_a_name() {
        for text in [
            "test result: ok. 3 passed",
            "Tests run: 3, Failures: 0",
            "src/a.c:3: error: x",
            "src/a.c:3:5: error: x",
            "warning: unused\nwarning: dead",
            "fatal error: x\nfatal error: y",
            "[info] Tests: succeeded 3\n[info] x",
            "[ERROR] Tests run: 3\n[ERROR] x",
            "[doctest] test cases: 3\n[doctest] assertions: 3",
            "ok | 5 passed | 0 failed\nok | 5 passed | 0 failed",
            "Tests  1 failed | 2 passed",
            "Works      | PASS |\nWorks      | PASS |",
            "FAIL: test_x\nFAIL: test_y",
            "error[E0308]: x",
            "Caused by: a:b: c",
            "00:01 +3 -1: Some tests failed.",
        ] {
            check(text, &[&text.replace('\n', "⏎")]);
        }
    }

    #[test]
    fn times_and_groups() {
        for (line, expected) in [
            ("2024-01-01T10:00:00.1234567Z x", "x"),
            ("build\tRun tests\t2024-01-01T10:00:00.1234567Z x", "x"),
            ("[2024-01-01T10:00:00.000Z] x", "x"),
            ("2024-01-01 10:00:00,123 x", "x"),
            ("2024-01-01T10:00:00+02:00 x", "x"),
            ("2024-01-01T10:00:00.123456Z 00O x", "x"),
            ("10:00:00 x", "x"),
            ("[10:00:00]   x", "  x"),
            ("##[error]x", "x"),
            ("#12 3.456 x", "x"),
            ("➤ YN0000: x", "x"),
            ("# 3.456 x", "# 3.456 x"),
            ("2024-01-01", "2024-01-01"),
            ("00:01 +3: x", "00:01 +3: x"),
            ("10:00:00.5", ""),
        ] {
            assert_eq!(undated(line), Some(expected), "{line}");
        }
        assert_eq!(undated("::group::x"), None);
        assert_eq!(undated("2024-01-01T10:00:00Z ##[endgroup]"), None);
    }
}
