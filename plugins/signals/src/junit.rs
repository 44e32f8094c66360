//! JUnit XML, as pytest, nextest, jest, vitest, gotestsum, Maven and Gradle write it. Reads
//! the tags in one pass and is content with broken documents: what was read counts.

use codex_worker_policy::Signal;

use crate::text::{add, failure, location, number, signal};

/// What a `testcase` element said so far.
#[derive(Default)]
struct Case {
    name: String,
    path: String,
    line: u32,
    outcome: Outcome,
    message: String,
    text: String,
}

#[derive(Default, PartialEq, PartialOrd, Clone, Copy)]
enum Outcome {
    #[default]
    Passed,
    Skipped,
    Failed,
    Error,
}

/// The counts of one document, `None` when it holds no test suite.
pub fn parse(xml: &str) -> Option<Signal> {
    let mut total = signal("junit", 0, 0, 0, 0);
    let mut suites = false;
    let mut case: Option<Case> = None;
    let mut in_failure = false;
    let mut rest = xml;
    while let Some(open) = rest.find('<') {
        if in_failure && let Some(case) = &mut case {
            append(&mut case.text, &decode(&rest[..open]));
        }
        rest = &rest[open..];
        if let Some(after) = rest.strip_prefix("<![CDATA[") {
            let (data, after) = after.split_once("]]>").unwrap_or((after, ""));
            if in_failure && let Some(case) = &mut case {
                append(&mut case.text, data);
            }
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("<!--") {
            rest = after.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let Some(end) = tag_end(rest) else { break };
        let tag = &rest[1..end];
        rest = &rest[end + 1..];
        let empty = tag.ends_with('/');
        let name = tag
            .trim_start_matches('/')
            .split(|c: char| c.is_whitespace() || c == '/')
            .next()
            .unwrap_or_default();
        match (name, tag.starts_with('/')) {
            ("testsuite" | "testsuites", false) => suites = true,
            ("testcase", false) => {
                finish(case.take(), &mut total);
                let class = attribute(tag, "classname");
                let name = attribute(tag, "name");
                let opened = Case {
                    name: if class.is_empty() { name } else { format!("{class}.{name}") },
                    path: attribute(tag, "file"),
                    line: number(&attribute(tag, "line")).map_or(0, |(line, _)| line),
                    ..Case::default()
                };
                case = Some(opened);
                in_failure = false;
                if empty {
                    finish(case.take(), &mut total);
                }
            }
            ("testcase", true) => finish(case.take(), &mut total),
            ("failure" | "error" | "skipped", false) => {
                if let Some(case) = &mut case {
                    let outcome = match name {
                        "failure" => Outcome::Failed,
                        "error" => Outcome::Error,
                        _ => Outcome::Skipped,
                    };
                    if outcome > case.outcome {
                        case.outcome = outcome;
                        case.message = attribute(tag, "message");
                    }
                    in_failure = !empty && outcome != Outcome::Skipped;
                }
            }
            ("failure" | "error" | "skipped", true) => in_failure = false,
            _ => {}
        }
    }
    finish(case.take(), &mut total);
    suites.then_some(total)
}

/// Text of a failure is only needed for its location and first line.
fn append(text: &mut String, more: &str) {
    if text.len() < 4096 {
        text.push_str(crate::text::cut(more, 4096));
    }
}

fn finish(case: Option<Case>, total: &mut Signal) {
    let Some(case) = case else { return };
    let count = match case.outcome {
        Outcome::Passed => &mut total.passed,
        Outcome::Skipped => &mut total.skipped,
        Outcome::Failed => &mut total.failed,
        Outcome::Error => &mut total.errors,
    };
    *count = count.saturating_add(1);
    if case.outcome != Outcome::Skipped {
        total.nothing_ran = false;
    }
    if case.outcome > Outcome::Skipped {
        let at = if case.path.is_empty() { None } else { Some((case.path.as_str(), case.line)) };
        // The file of the test where it is named; the traceback's last location in it is nearer.
        let nearer = case
            .text
            .lines()
            .filter_map(location)
            .rfind(|(path, _)| at.is_none_or(|(own, _)| path.ends_with(own)));
        let message = if case.message.is_empty() { case.text.trim_start() } else { &case.message };
        add(total, failure(&case.name, nearer.or(at), message.lines().next().unwrap_or_default()));
    }
}

/// The `>` that ends the tag, not one inside a quoted value.
fn tag_end(text: &str) -> Option<usize> {
    let mut quote = 0u8;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'"' | b'\'' if quote == 0 => quote = byte,
            byte if byte == quote => quote = 0,
            b'>' if quote == 0 => return Some(index),
            _ => {}
        }
    }
    None
}

fn attribute(tag: &str, name: &str) -> String {
    let mut rest = tag;
    while let Some(equals) = rest.find('=') {
        let key = rest[..equals].trim_end().rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
        let value = rest[equals + 1..].trim_start();
        let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else { break };
        let Some((value, after)) = value[1..].split_once(quote) else { break };
        if key == name {
            return decode(crate::text::cut(value, 4096));
        }
        rest = after;
    }
    String::new()
}

/// The five named entities and character references.
fn decode(text: &str) -> String {
    if !text.contains('&') {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let known = rest.find(';').filter(|end| *end <= 10).and_then(|end| {
            let name = &rest[..end];
            let c = match name {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "quot" => '"',
                "apos" => '\'',
                _ => {
                    let digits = name.strip_prefix('#')?;
                    let code = match digits.strip_prefix(['x', 'X']) {
                        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                        None => digits.parse().ok()?,
                    };
                    char::from_u32(code)?
                }
            };
            Some((c, end))
        });
        match known {
            Some((c, end)) => {
                out.push(c);
                rest = &rest[end + 1..];
            }
            None => out.push('&'),
        }
    }
    out.push_str(rest);
    out
}
