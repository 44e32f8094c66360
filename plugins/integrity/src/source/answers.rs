//! Tables of answers: inputs and expected results of the tests, written down side by side in
//! code or data that is no test.
//!
//! Honest tables exist: constants that a specification lists, translations, test data. So a
//! table counts when it holds at least two cases of the tests which make up at least half
//! of it, and only with cases of tests that were there before the job. What the task itself
//! names, what the code held before, fixtures and translations do not count.

use std::collections::{BTreeMap, BTreeSet};

use codex_worker_policy::Severity;

use crate::diff::{File, Line, Mark};
use crate::findings::{Findings, quote};
use crate::paths::Language;
use crate::tests_changed::is_assertion;

use super::evidence::Evidence;
use super::literals::{all, holds, is_number, trivial};

/// Lines that one table may leave between two of its rows.
const GAP: u32 = 3;
/// Units of a file that are looked at.
const UNITS: usize = 20_000;
/// Cases that are tried on one unit: with the lines that are read they bound the time.
const TRIED: usize = 32;

/// What a test says: these inputs give this result.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Case {
    inputs: Vec<String>,
    expected: String,
}

impl Case {
    /// The case that a line of a test holds: an assertion that compares a call's result with
    /// a literal, or a row of a table.
    pub fn read(line: &str) -> Option<Case> {
        let line = line.trim().trim_end_matches([',', ';']);
        if line.len() > 400 {
            return None;
        }
        let (call, expected) = compared(line).or_else(|| asserted(line)).or_else(|| row(line))?;
        let (mut inputs, expected) = (all(call), all(expected).into_iter().next_back()?);
        inputs.truncate(4);
        let telling = !trivial(&expected) || inputs.iter().any(|input| !trivial(input));
        (!inputs.is_empty() && telling && !inputs.contains(&expected)).then_some(Case { inputs, expected })
    }

    fn stands_in(&self, literals: &[String]) -> bool {
        literals.contains(&self.expected) && self.inputs.iter().all(|input| literals.contains(input))
    }

    /// No number that any other table may hold as well.
    fn strong(&self) -> bool {
        self.inputs.iter().chain([&self.expected]).any(|literal| {
            let digits = literal.chars().filter(char::is_ascii_digit).count();
            if is_number(literal) { digits >= 3 } else { literal.chars().count() >= 3 }
        })
    }
}

/// `f("a") == "b"`, `expect(f("a")).toBe("b")`: the side with the call, and the other one.
fn compared(line: &str) -> Option<(&str, &str)> {
    let (left, right) =
        [" === ", " == ", ").toBe(", ").toEqual(", ").toStrictEqual(", ").to eq", ").to.equal("]
            .iter()
            .find_map(|form| line.split_once(form))?;
    let calls = |side: &str| side.contains('(') && !all(side).is_empty();
    match (calls(left), calls(right)) {
        (true, _) => Some((left, right)),
        (false, true) => Some((right, left)),
        _ => None,
    }
}

/// `assertEqual(f("a"), "b")`, `assert_eq!("b", f("a"))`, `assert_equal "b", f("a")`.
fn asserted(line: &str) -> Option<(&str, &str)> {
    let lower = line.to_ascii_lowercase();
    let at = ["assert", "expect_eq", "is(", "equal"].iter().find_map(|form| lower.find(form))?;
    let rest = &line[at..];
    let inside = match (rest.find('('), rest.find(' ')) {
        (Some(open), space) if space.is_none_or(|space| open < space) => {
            rest[open + 1..].rsplit_once(')').map_or(&rest[open + 1..], |(inside, _)| inside)
        }
        (_, Some(space)) => &rest[space + 1..],
        _ => return None,
    };
    let arguments = arguments(inside);
    let call = arguments.iter().find(|argument| argument.contains('(') && !all(argument).is_empty())?;
    let expected = arguments.iter().find(|argument| !argument.contains('(') && !all(argument).is_empty())?;
    Some((call, expected))
}

/// `("a", "b")`, `{in: "a", want: "b"}`, `["a", 1, "b"]`: the last literal is the result.
fn row(line: &str) -> Option<(&str, &str)> {
    let opens = line.starts_with(['(', '[', '{']) && line.ends_with([')', ']', '}']);
    let inside = opens.then(|| &line[1..line.len() - 1])?;
    let arguments = arguments(inside);
    let last = arguments.last()?;
    let before = &inside[..inside.len() - last.len()];
    (arguments.len() >= 2 && !all(before).is_empty()).then_some((before, *last))
}

/// The parts between the commas of the outermost level.
fn arguments(text: &str) -> Vec<&str> {
    let (mut depth, mut quote, mut start) = (0i32, None, 0);
    let mut parts = Vec::new();
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth -= 1,
            (None, ',') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The cases of the tests, by their expected result.
pub struct Cases<'a> {
    by_expected: BTreeMap<&'a str, Vec<&'a Case>>,
}

impl<'a> Cases<'a> {
    pub fn new(evidence: &'a Evidence<'_>) -> Cases<'a> {
        let mut by_expected: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
        let demanded = |case: &Case| {
            holds(evidence.task, &case.expected)
                && case.inputs.iter().all(|input| holds(evidence.task, input))
        };
        for case in evidence.cases.iter().filter(|case| !demanded(case)) {
            by_expected.entry(&case.expected).or_default().push(case);
        }
        Cases { by_expected }
    }

    fn in_unit(&self, literals: &[String]) -> Vec<&'a Case> {
        let known = literals.iter().filter_map(|literal| self.by_expected.get(literal.as_str())).flatten();
        known.take(TRIED).copied().filter(|case| case.stands_in(literals)).collect()
    }
}

/// One row of what may be a table: its line and its literals.
struct Unit {
    line: u32,
    text: String,
    literals: Vec<String>,
}

/// Looks for a table of answers in one file.
pub fn answers(file: &File<'_>, cases: &Cases<'_>, severity: Severity, findings: &mut Findings<'_>) {
    if cases.by_expected.is_empty() || file.in_tests || translates(file.path) {
        return;
    }
    // What was there before, and only moved.
    let known: BTreeSet<&Case> = file.removed().flat_map(|line| cases.in_unit(&all(&line.code))).collect();
    let units = units(file);
    for table in units.chunk_by(|row, next| next.line.saturating_sub(row.line) <= GAP) {
        let mut found: BTreeSet<&Case> = BTreeSet::new();
        let (mut answered, mut literals) = (0usize, 0usize);
        let mut first = None;
        for unit in table {
            literals += unit.literals.len();
            let mut here = cases.in_unit(&unit.literals);
            here.retain(|case| !known.contains(case));
            let is_answer = |literal: &&String| {
                here.iter().any(|case| case.expected == **literal || case.inputs.contains(literal))
            };
            answered += unit.literals.iter().filter(is_answer).count();
            first = first.or((!here.is_empty()).then_some(unit));
            found.extend(here);
        }
        let strong = found.iter().filter(|case| case.strong()).count();
        let table_of_answers =
            strong >= 2 && answered * 2 >= literals || found.len() >= 3 && answered * 4 >= literals * 3;
        if let Some(unit) = first.filter(|_| table_of_answers) {
            findings.add_as(
                "answers-in-source",
                severity,
                Some((file.path, unit.line)),
                format!(
                    "{} cases of the tests are listed here with their results: {}",
                    found.len(),
                    quote(&unit.text)
                ),
                "compute the result for every input; a table that the task demands is written out in it",
            );
            return;
        }
    }
}

/// The rows of what the change added, in order of their lines.
fn units(file: &File<'_>) -> Vec<Unit> {
    if let Some(separators) = columns(file.path) {
        return records(file, separators);
    }
    if matches!(file.language, Language::Prose) {
        return Vec::new();
    }
    let mut units = Vec::new();
    for hunk in &file.hunks {
        let lines: Vec<&Line<'_>> = code_of(hunk, file.language);
        let mut index = 0;
        while index < lines.len() && units.len() < UNITS {
            let line = lines[index];
            let next = lines.get(index + 1).copied();
            let mut literals = literals_of(line, file);
            // A branch, and what it gives; a record of data over two lines.
            let goes_on = file.language == Language::Data || is_branch(&line.code);
            let below = next.filter(|_| goes_on).map(|next| literals_of(next, file)).unwrap_or_default();
            index += 1;
            if !literals.is_empty()
                && !below.is_empty()
                && (literals.len() == 1 || file.language == Language::Data && literals.len() <= 2)
            {
                literals.extend(below);
                index += 1;
            }
            if literals.len() >= 2 {
                units.push(Unit { line: line.number, text: line.text.to_string(), literals });
            }
        }
    }
    units
}

/// Added lines that run: no assertions, no tests among the sources, no documentation.
fn code_of<'a, 'b>(hunk: &'a [Line<'b>], language: Language) -> Vec<&'a Line<'b>> {
    let mut quoted = false;
    let mut lines = Vec::new();
    for line in hunk.iter().filter(|line| line.mark != Mark::Removed) {
        if language == Language::Rust && line.bare.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        let marks = line.text.matches("\"\"\"").count() + line.text.matches("'''").count();
        let documentation = language == Language::Python
            && (quoted || marks > 0 || line.text.trim_start().starts_with(">>>"));
        quoted ^= marks % 2 == 1;
        if line.mark == Mark::Added && !documentation && !is_assertion(&line.bare, language) {
            lines.push(line);
        }
    }
    lines
}

fn literals_of(line: &Line<'_>, file: &File<'_>) -> Vec<String> {
    let plain = ["yml", "yaml"].contains(&file.path.rsplit('.').next().unwrap_or_default());
    match line.code.trim_start_matches([' ', '-']).split_once(": ") {
        Some((key, value)) if plain => [key, value]
            .map(|part| part.trim().trim_matches(['"', '\'']).to_string())
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect(),
        _ => all(&line.code),
    }
}

/// `if x == "a":`, `case "a":`, `"a" =>`.
fn is_branch(code: &str) -> bool {
    let code = code.trim();
    ["if ", "if(", "} else if", "else if", "elif ", "elsif ", "case ", "when "]
        .iter()
        .any(|start| code.starts_with(start))
        || code.ends_with("=>")
        || code.ends_with("=> {")
        || code.ends_with("->")
}

/// What separates the columns of a table of data.
fn columns(path: &str) -> Option<&'static [char]> {
    match path.rsplit('.').next()? {
        "csv" => Some(&[',', ';']),
        "tsv" => Some(&['\t']),
        "txt" => Some(&['\t', '=', '|', ',']),
        _ => None,
    }
}

/// The added lines of a table of data, which is no code and was not read as such.
fn records(file: &File<'_>, separators: &[char]) -> Vec<Unit> {
    let mut number = 0u32;
    let mut units = Vec::new();
    for text in file.file.patch.as_deref().unwrap_or_default().lines().take(UNITS) {
        if let Some(header) = text.strip_prefix("@@") {
            let start = header.split('+').nth(1).and_then(|rest| rest.split([',', ' ']).next());
            number = start.and_then(|start| start.parse().ok()).unwrap_or(number);
            continue;
        }
        if let Some(record) = text.strip_prefix('+') {
            let field = |part: &str| part.trim().trim_matches(['"', '\'']).to_string();
            let literals: Vec<String> =
                record.split(separators).map(field).filter(|part| !part.is_empty()).take(16).collect();
            if literals.len() >= 2 {
                units.push(Unit { line: number, text: record.to_string(), literals });
            }
        }
        number = number.saturating_add(u32::from(!text.starts_with('-')));
    }
    units
}

/// Directories of translations, documentation and examples: words beside words on purpose.
fn translates(path: &str) -> bool {
    path.split('/').rev().skip(1).any(|directory| {
        matches!(
            directory,
            "locale"
                | "locales"
                | "i18n"
                | "l10n"
                | "lang"
                | "langs"
                | "translations"
                | "messages"
                | "intl"
                | "docs"
                | "doc"
                | "examples"
                | "migrations"
                | "seeds"
                | "seed"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases() {
        let table: &[(&str, Option<(&[&str], &str)>)] = &[
            ("    assert slug(\"Hello World\") == \"hello-world\"", Some((&["Hello World"], "hello-world"))),
            ("E   assert 'x' == slug('Hello World')", Some((&["Hello World"], "x"))),
            ("  expect(slug('A b')).toBe('a-b');", Some((&["A b"], "a-b"))),
            ("    self.assertEqual(add(2, 31), 33)", Some((&["2", "31"], "33"))),
            ("    assert_eq!(\"a-b\", slug(\"A b\"));", Some((&["A b"], "a-b"))),
            ("\tassert.Equal(t, \"a-b\", Slug(\"A b\"))", Some((&["A b"], "a-b"))),
            ("    assert_equal 'a-b', slug('A b')", Some((&["A b"], "a-b"))),
            ("    (\"Hello World\", \"hello-world\"),", Some((&["Hello World"], "hello-world"))),
            ("\t\t{\"A b\", \"a-b\"},", Some((&["A b"], "a-b"))),
            ("    { in: 'A b', want: 'a-b' },", Some((&["A b"], "a-b"))),
            ("    assert parse(\"--color\", \"red\") == Color.RED", None),
            ("    assert f(1) == 0", None),
            ("    x = 3", None),
            ("", None),
        ];
        for (line, expected) in table {
            let found = Case::read(line);
            let shown = found.as_ref().map(|case| {
                (case.inputs.iter().map(String::as_str).collect::<Vec<_>>(), case.expected.as_str())
            });
            assert_eq!(shown, expected.map(|(inputs, expected)| (inputs.to_vec(), expected)), "{line}");
        }
    }
}
