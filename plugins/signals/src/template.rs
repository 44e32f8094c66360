//! Lines as runners print them, with holes: `{total} examples?, {failed} failures?`.
//!
//! | in a template | matches |
//! | --- | --- |
//! | a space | white space, also none |
//! | `s?` | an `s`, or none |
//! | `…` | any text, also none |
//! | `{n}` | a number that says nothing about tests, also `0.12` and `00:01` |
//! | `{passed}` `{failed}` `{errors}` `{skipped}` `{total}` `{ran}` `{excluded}` | a count; `-` is 0 |
//! | `{+failed}` and so on | nothing; the line itself counts one |
//! | `{counts}` | a list such as `1 failed, 2 passed` or `failures=1`, by [`crate::counts`] |
//! | `{id}` `{message}` | text, at least one character |
//! | `{at}` | `path:line`, also with a column |
//!
//! Everything else is itself. A template speaks of the whole line.

use crate::counts::{self, Count, Tally};
use crate::text::{location, number};

/// What the holes held.
#[derive(Clone, Debug, Default)]
pub struct Found<'t> {
    /// The counts.
    pub tally: Tally,
    /// The failing test.
    pub id: &'t str,
    /// Its message.
    pub message: &'t str,
    /// Where it is.
    pub at: Option<(&'t str, u32)>,
    /// How often the search went on: no real line needs many tries.
    tries: u32,
}

/// Tries of one template on one line.
const TRIES: u32 = 4000;

/// What the holes of `template` hold when `line` is one of its lines.
pub fn read<'t>(template: &str, line: &'t str) -> Option<Found<'t>> {
    let mut found = Found::default();
    matches(template, line.trim(), &mut found).then_some(found)
}

/// What the line of a template may begin with: one byte, a number, or anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Byte(u8),
    Digit,
    Any,
}

/// How a line of this template begins, so that most lines need not be tried.
pub fn start(template: &str) -> Start {
    let Some(rest) = template.strip_prefix('{') else {
        return match template.as_bytes().first() {
            Some(first) if !template.starts_with('…') => Start::Byte(*first),
            _ => Start::Any,
        };
    };
    match rest.split_once('}') {
        // A list that opens a line begins with a number in all that are known.
        Some(("n" | "counts", _)) => Start::Digit,
        Some((name, _)) if count(name).is_some() => Start::Digit,
        Some((name, _)) if hole(name) => Start::Any,
        _ => Start::Byte(b'{'),
    }
}

/// The longest run of letters of a template outside of its holes.
pub fn longest_word(template: &'static str) -> &'static str {
    let mut longest = "";
    for part in template.split('}') {
        let plain = part.split('{').next().unwrap_or(part);
        for word in plain.split(|c: char| !c.is_ascii_alphabetic()) {
            // The last letter may be an optional one.
            let word = word.strip_suffix('s').unwrap_or(word);
            if word.len() > longest.len() {
                longest = word;
            }
        }
    }
    longest
}

fn hole(name: &str) -> bool {
    matches!(name, "n" | "counts" | "id" | "message" | "at") || count(name.trim_start_matches('+')).is_some()
}

fn count(name: &str) -> Option<Count> {
    Some(match name {
        "passed" => Count::Passed,
        "failed" => Count::Failed,
        "errors" => Count::Errors,
        "skipped" => Count::Skipped,
        "total" => Count::Total,
        "ran" => Count::Ran,
        "excluded" => Count::Excluded,
        _ => return None,
    })
}

fn matches<'t>(template: &str, text: &'t str, found: &mut Found<'t>) -> bool {
    let Some(next) = template.chars().next() else { return text.is_empty() };
    let rest = &template[next.len_utf8()..];
    match next {
        ' ' => matches(rest, text.trim_start(), found),
        '…' if rest.is_empty() => true,
        '…' => anywhere(text).any(|at| attempt(rest, &text[at..], found)),
        's' if rest.starts_with('?') => {
            let rest = &rest[1..];
            text.strip_prefix('s').is_some_and(|text| attempt(rest, text, found))
                || matches(rest, text, found)
        }
        '{' => match rest.split_once('}') {
            Some((name, rest)) if hole(name) => fill(name, rest, text, found),
            _ => text.strip_prefix('{').is_some_and(|text| matches(rest, text, found)),
        },
        next => text.strip_prefix(next).is_some_and(|text| matches(rest, text, found)),
    }
}

/// The same without a trace where it does not match.
fn attempt<'t>(template: &str, text: &'t str, found: &mut Found<'t>) -> bool {
    // Most attempts end at the first character: nothing needs to be copied for them.
    let (head, tail) = match template.strip_prefix(' ') {
        Some(head) => (head, text.trim_start()),
        None => (template, text),
    };
    match head.chars().next() {
        Some(next)
            if !matches!(next, ' ' | '…' | '{') && !tail.starts_with(next) && !head.starts_with("s?") =>
        {
            return false;
        }
        None if !tail.is_empty() => return false,
        _ => {}
    }
    found.tries += 1;
    if found.tries > TRIES {
        return false;
    }
    let before = found.clone();
    if matches(template, text, found) {
        return true;
    }
    *found = Found { tries: found.tries, ..before };
    false
}

fn fill<'t>(name: &str, rest: &str, text: &'t str, found: &mut Found<'t>) -> bool {
    if let Some(one) = name.strip_prefix('+').and_then(count) {
        found.tally.add(one, 1);
        return matches(rest, text, found);
    }
    match name {
        "n" => any_number(text).is_some_and(|text| matches(rest, text, found)),
        "id" => ends(text).any(|end| {
            found.id = text[..end].trim();
            attempt(rest, &text[end..], found)
        }),
        "message" => ends(text).any(|end| {
            found.message = text[..end].trim();
            attempt(rest, &text[end..], found)
        }),
        "at" => ends(text).any(|end| {
            found.at = location(&text[..end]).filter(|(path, _)| text.starts_with(path));
            found.at.is_some() && attempt(rest, &text[end..], found)
        }),
        // As much as can be read: what follows may look like a part of the list.
        "counts" => ends(text).rev().any(|end| {
            // The text after it is compared first: reading the list costs more.
            let mut after = Found { tries: found.tries, ..Found::default() };
            let fits = attempt(rest, &text[end..], &mut after);
            found.tries = after.tries;
            let list = if fits { counts::read(&text[..end]) } else { None };
            let Some(list) = list else { return false };
            found.tally.join(&list);
            found.tally.join(&after.tally);
            true
        }),
        _ => {
            let Some(count) = count(name) else { return false };
            let (value, text) = match number(text) {
                Some((value, text)) if !text.starts_with(['.', ':']) || rest.starts_with(['.', ':']) => {
                    (value, text)
                }
                Some(_) => return false,
                // A column without a value.
                None => match text.strip_prefix('-') {
                    Some(text) if text.is_empty() || text.starts_with(' ') => (0, text),
                    _ => return false,
                },
            };
            found.tally.add(count, value);
            matches(rest, text, found)
        }
    }
}

/// Where a text may begin, from the front.
fn anywhere(text: &str) -> impl DoubleEndedIterator<Item = usize> + '_ {
    text.char_indices().map(|(at, _)| at).chain([text.len()])
}

/// Where a text of at least one character may end.
fn ends(text: &str) -> impl DoubleEndedIterator<Item = usize> + '_ {
    anywhere(text).filter(|at| *at > 0)
}

/// What follows `12`, `0.12`, `1,234` or `00:01:02`.
fn any_number(text: &str) -> Option<&str> {
    let (_, mut rest) = number(text)?;
    while let Some(more) = rest.strip_prefix(['.', ':', ',']).and_then(number) {
        rest = more.1;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes() {
        let table = [
            ("{total} examples?, {failed} failures?", "3 examples, 1 failure", Some("total=3 failed=1")),
            ("{total} examples?, {failed} failures?", "1 example, 0 failures", Some("total=1 failed=0")),
            ("{total} examples?, {failed} failures?", "3 examples, 1 failure, 1 pending", None),
            ("Ran {total} tests? in {n}s", "Ran 3 tests in 0.001s", Some("total=3")),
            ("{n} +{passed} -{failed}: Some", "00:01 +3 -1: Some", Some("failed=1 passed=3")),
            ("…passed! {n} {total} {failed}", "  ✔  All passed!  00:02   3   -", Some("total=3 failed=0")),
            ("Tests {counts} ({n})", "Tests  1 failed | 2 passed (3)", Some("failed=1 passed=2")),
            ("# { {counts} }", "# { total: 3, pass: 1, fail: 2 }", Some("total=3 failed=2 passed=1")),
            ("Parse errors: …{+errors}", "Parse errors: No plan", Some("errors=1")),
            ("{total} tests", "1.5 tests", None),
            ("a{x}b", "a{x}b", Some("")),
        ];
        for (template, line, expected) in table {
            let found = read(template, line).map(|found| found.tally.to_string());
            assert_eq!(found.as_deref(), expected, "{template} on {line}");
        }
        let found = read("{at}: error: {id} : {message}", "a/b.swift:50: error: T.x : not so").expect("one");
        assert_eq!((found.at, found.id, found.message), (Some(("a/b.swift", 50)), "T.x", "not so"));
    }

    #[test]
    fn starts() {
        for (template, expected) in [
            ("Ran {total}", Start::Byte(b'R')),
            ("{total} tests", Start::Digit),
            ("{n}% tests", Start::Digit),
            ("{counts} in {n}s", Start::Digit),
            ("{id} FAILED", Start::Any),
            ("…Executed", Start::Any),
            ("{ x", Start::Byte(b'{')),
        ] {
            assert_eq!(start(template), expected, "{template}");
        }
    }
}
