//! Plain lines out of what a terminal would have shown, and the small readers that the
//! runners share. Everything here is total and linear in its input.

use codex_worker_policy::{Failure, Signal};

use crate::template;

/// Failures kept of one signal.
pub const FAILURES: usize = 5;
/// Bytes kept of a failure's message.
const MESSAGE: usize = 300;
/// Bytes kept of a name or path.
const NAME: usize = 200;
/// Bytes of a line that are looked at: no summary line is longer.
const LINE: usize = 4096;

/// Removes escape sequences, and what a carriage return overwrote.
pub fn clean(output: &str) -> String {
    let mut out = String::with_capacity(output.len());
    for line in output.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        // A progress bar draws over itself: only what it drew last was seen.
        let shown = line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default();
        strip_escapes(cut(shown, LINE), &mut out);
        out.push('\n');
    }
    out
}

/// Appends `line` without CSI, OSC and other escape sequences and without controls. What
/// preceded a jump to the first column was drawn over.
fn strip_escapes(line: &str, out: &mut String) {
    let start = out.len();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => {
                    let mut column = String::new();
                    let mut end = None;
                    for c in chars.by_ref() {
                        if ('@'..='~').contains(&c) {
                            end = Some(c);
                            break;
                        }
                        column.push(c);
                    }
                    if end == Some('G') && matches!(column.as_str(), "" | "1") {
                        out.truncate(start);
                    }
                }
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(c) = chars.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                Some('(' | ')' | '#' | '%') => {
                    chars.next();
                }
                _ => {}
            },
            '\u{9b}' => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
            '\t' => out.push('\t'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
}

/// The first `max` bytes, cut at a character.
pub fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max.min(text.len()))]
}

/// A failure with everything capped, on one line each.
pub fn failure(id: &str, at: Option<(&str, u32)>, message: &str) -> Failure {
    Failure {
        id: one_line(id, NAME),
        path: at.map(|(path, _)| one_line(path, NAME)),
        line: at.map(|(_, line)| line).filter(|line| *line > 0),
        message: one_line(message, MESSAGE),
    }
}

fn one_line(text: &str, max: usize) -> String {
    let mut out = String::new();
    // A message begins with what matters: no need to clean a megabyte of it.
    strip_escapes(&cut(text.trim(), max * 4).replace(['\n', '\r'], " "), &mut out);
    cut(out.trim(), max).to_string()
}

/// Adds a failure unless the signal has enough, or this one already.
pub fn add(signal: &mut Signal, failure: Failure) {
    if signal.first_failures.len() < FAILURES
        && !signal.first_failures.iter().any(|f| f.id == failure.id && f.line == failure.line)
    {
        signal.first_failures.push(failure);
    }
}

/// A signal of `runner` with these counts.
pub fn signal(runner: &str, passed: u32, failed: u32, skipped: u32, errors: u32) -> Signal {
    let nothing_ran = passed == 0 && failed == 0 && errors == 0;
    Signal { runner: runner.into(), passed, failed, skipped, errors, nothing_ran, first_failures: Vec::new() }
}

/// Adds the counts of another run of the same runner.
pub fn sum(into: &mut Signal, more: &Signal) {
    into.passed = into.passed.saturating_add(more.passed);
    into.failed = into.failed.saturating_add(more.failed);
    into.skipped = into.skipped.saturating_add(more.skipped);
    into.errors = into.errors.saturating_add(more.errors);
    into.nothing_ran = into.passed == 0 && into.failed == 0 && into.errors == 0;
    for failure in &more.first_failures {
        add(into, failure.clone());
    }
}

/// A number at the start of `text`, and what follows it. Larger than `u32` is the largest.
pub fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 {
        return None;
    }
    Some((text[..end].parse().unwrap_or(u32::MAX), &text[end..]))
}

/// The first `path:line` (or `path:line:column`) in the text that looks like a file; also
/// .NET's `path:line 12` and bats' `path, line 12`.
pub fn location(text: &str) -> Option<(&str, u32)> {
    if let Some((before, rest)) = text.split_once(":line ").or_else(|| text.split_once(", line "))
        && let Some((line, _)) = number(rest)
    {
        let path = before.rsplit([' ', '(', '"']).next().unwrap_or(before);
        if is_path(path) {
            return Some((path, line));
        }
    }
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(colon) = text[from..].find(':').map(|at| from + at) {
        from = colon + 1;
        if !bytes.get(from).is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let Some((line, _)) = number(&text[from..]) else { continue };
        let start = text[..colon]
            .rfind(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | '<' | '"' | '\'' | '`' | ',' | '='))
            .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
        let mut path = &text[start..colon];
        path = path.strip_prefix("file://").unwrap_or(path);
        if is_path(path) {
            return Some((path, line));
        }
    }
    None
}

/// Whether the text could be the name of a source file: it has an extension, and is no
/// address and no part of a library.
fn is_path(text: &str) -> bool {
    let name = text.rsplit(['/', '\\']).next().unwrap_or(text);
    let extension = name.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && (1..=8).contains(&extension.len())
            && extension.bytes().all(|b| b.is_ascii_alphanumeric())
            && extension.bytes().any(|b| b.is_ascii_alphabetic())
    });
    extension && !text.contains("://") && !text.starts_with("node:") && !text.contains("node_modules/")
}

/// Adds the failures that lines of these templates name. Location and message, where the
/// template holds none, are looked for below, up to the next one or a summary.
pub fn named_below(lines: &[&str], templates: &[&str], summary: &[&str], signal: &mut Signal) {
    let stop = |line: &str| begins(line, templates) || begins(line, summary);
    named(lines, templates, signal, |from| report(lines, from, stop));
}

/// The same, looked for above.
pub fn named_above(lines: &[&str], templates: &[&str], signal: &mut Signal) {
    named(lines, templates, signal, |from| {
        let above = lines[..from.saturating_sub(1)].iter().rev().take(20);
        let above: Vec<&str> = above.copied().take_while(|line| !begins(line, templates)).collect();
        let place = above.iter().find_map(|line| Some((location(line)?, *line)));
        let error =
            above.iter().find(|line| line.contains("rror: ")).or(place.as_ref().map(|(_, line)| line));
        (place.map(|(at, _)| at), error.copied().unwrap_or_default())
    });
}

/// The same in a list that says all that it has to say in one line.
pub fn named_in_list(lines: &[&str], templates: &[&str], signal: &mut Signal) {
    named(lines, templates, signal, |_| (None, ""));
}

fn begins(line: &str, templates: &[&str]) -> bool {
    templates.iter().any(|template| template::read(template, line).is_some())
}

fn named<'a>(
    lines: &[&'a str],
    templates: &[&str],
    signal: &mut Signal,
    around: impl Fn(usize) -> (Option<(&'a str, u32)>, &'a str),
) {
    // No more than there are: what is flaky or pending may be listed in the same way.
    let most = (signal.failed.saturating_add(signal.errors) as usize).min(FAILURES);
    // Each is looked at more than once where a list repeats it.
    for (index, line) in lines.iter().enumerate() {
        let Some((found, used)) = templates.iter().find_map(|template| entry(template, lines, index)) else {
            continue;
        };
        let next = lines.get(index + used).copied().unwrap_or_default();
        let id = found.id.trim_matches(|c: char| c == '─' || c == ':' || c.is_whitespace());
        // A line that sums up is no failure, nor is the suite that it sums up.
        let sums_up = |text: &str| text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(" test");
        if sums_up(id) || sums_up(next) {
            continue;
        }
        let id = match (id, found.at) {
            ("", Some((path, line))) => format!("{path}:{line}"),
            _ => id.to_string(),
        };
        // The tree names the test, the list below it the suite as well.
        if let Some(known) =
            signal.first_failures.iter_mut().find(|known| id.ends_with(&format!(" {}", known.id)))
        {
            known.id.clone_from(&failure(&id, None, "").id);
        }
        let known = signal.first_failures.iter().any(|known| known.id == id);
        if id.is_empty() || !known && signal.first_failures.len() >= most {
            continue;
        }
        let (at, message) = around(index + used);
        let place = found.at.or_else(|| location(line)).or(at);
        add_once(signal, &id, place, if found.message.is_empty() { message } else { found.message });
    }
}

/// What a template of one line or two holds at `index`, and how many lines that are.
fn entry<'a>(template: &str, lines: &[&'a str], index: usize) -> Option<(template::Found<'a>, usize)> {
    match template.split_once('\n') {
        None => template::read(template, lines[index]).map(|found| (found, 1)),
        Some((first, second)) => {
            template::read(first, lines[index])?;
            template::read(second, lines.get(index + 1)?).map(|found| (found, 2))
        }
    }
}

/// Adds a failure; where one of this name is known, the one that says where stays.
pub fn add_once(signal: &mut Signal, name: &str, at: Option<(&str, u32)>, message: &str) {
    let new = failure(name, at, message);
    match signal.first_failures.iter_mut().find(|old| old.id == new.id) {
        Some(old) if old.line.is_none() && (new.line.is_some() || old.message.is_empty()) => *old = new,
        Some(_) => {}
        None => add(signal, new),
    }
}

/// Frames of a JVM's test libraries.
const LIBRARIES: &[&str] = &["at org.junit.", "at org.opentest4j.", "at junit.", "at java.", "at jdk."];

/// The location and message for a failure whose report starts at `lines[from]`: looks a
/// little way down, and stops where `stop` says that the next report begins.
pub fn report<'a>(
    lines: &[&'a str],
    from: usize,
    stop: impl Fn(&str) -> bool,
) -> (Option<(&'a str, u32)>, &'a str) {
    let mut at = None;
    let mut message = "";
    for line in lines.iter().skip(from).take(40) {
        if stop(line) {
            break;
        }
        let text = line.trim();
        if message.is_empty() && !text.starts_with("at ") && text.chars().any(char::is_alphanumeric) {
            message = text;
        }
        if at.is_none()
            && !text.contains("node_modules")
            && !LIBRARIES.iter().any(|own| text.starts_with(own))
        {
            at = location(text);
        }
        if at.is_some() && !message.is_empty() {
            break;
        }
    }
    (at, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_shows() {
        let table = [
            ("plain\n", "plain\n\n"),
            ("\u{1b}[31mred\u{1b}[0m\r\n", "red\n\n"),
            ("10%\r50%\r100% done\nnext", "100% done\nnext\n"),
            ("kept\r\r\n", "kept\n\n"),
            ("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\.", "link.\n"),
            ("\u{1b}", "\n"),
            ("\u{1b}[", "\n"),
            ("a\u{0}b\u{8}\tc", "ab\tc\n"),
            ("first\u{1b}[1G\u{1b}[Ksecond", "second\n"),
            ("a\u{1b}[77Gb", "ab\n"),
        ];
        for (output, expected) in table {
            assert_eq!(clean(output), expected, "{output:?}");
        }
    }

    #[test]
    fn locations() {
        let table = [
            ("tests/test_a.py:12: AssertionError", Some(("tests/test_a.py", 12))),
            ("    at Object.<anonymous> (src/a.test.js:5:13)", Some(("src/a.test.js", 5))),
            ("❯ src/a.test.ts:7:3", Some(("src/a.test.ts", 7))),
            ("at file:///x/y.mjs:3:1", Some(("/x/y.mjs", 3))),
            ("http://localhost:8080/x", None),
            ("at node:internal/process/task.js:95:5", None),
            ("12:30:45 done", None),
            ("a:1", None),
            ("thread 'x' panicked at src/lib.rs:10:5:", Some(("src/lib.rs", 10))),
            ("v1.2:3", None),
            ("é.rs:1", Some(("é.rs", 1))),
            ("at A.B.T() in /w/T.cs:line 12", Some(("/w/T.cs", 12))),
            ("(in test file a.bats, line 2)", Some(("a.bats", 2))),
        ];
        for (text, expected) in table {
            assert_eq!(location(text), expected, "{text}");
        }
    }
}
