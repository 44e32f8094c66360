//! Which operand of a comparison is the expected one, and what in it can be altered.

use crate::language::Language;
use crate::lex::{Kind, Strings};
use crate::literal::{self, Compared};
use crate::source::{MAX_LOOK, Role, Source, Span};

/// An alteration of a text, before it has a place in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Bytes of the text.
    pub range: (usize, usize),
    pub text: String,
    /// `expected 4 became 5`.
    pub altered: String,
}

/// A value that can be altered.
#[derive(Clone, Debug)]
pub struct Value {
    /// How surely it is what is expected: 0 a bare literal, 1 a collection of literals, 2
    /// one that a constructor wraps.
    pub rank: u8,
    pub edit: Edit,
}

/// Shows a piece of a text in a sentence.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= 60 {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

/// An edit with its sentence.
pub fn edit(source: &Source<'_>, range: (usize, usize), text: String) -> Edit {
    let before = source.text.get(range.0..range.1).unwrap_or_default();
    let altered = format!("expected {} became {}", shown(before), shown(&text));
    Edit { range, text, altered }
}

/// Picks the operand to alter: the surest one, the preferred one among equals. `None` if
/// none can be altered, or if it is not clear which is the expected one.
pub fn pick(source: &Source<'_>, operands: &[Span], compared: Compared) -> Option<Edit> {
    let values: Vec<Value> =
        operands.iter().filter_map(|operand| value(source, *operand, compared)).collect();
    let best = values.iter().map(|value| value.rank).min()?;
    if best >= 2 && values.len() > 1 {
        // Two constructed values: which is the expected one is not clear.
        return None;
    }
    values.into_iter().find(|value| value.rank == best).map(|value| value.edit)
}

/// What can be altered in an operand.
pub fn value(source: &Source<'_>, operand: Span, compared: Compared) -> Option<Value> {
    let (mut from, to) = operand;
    while from < to
        && matches!(source.at(from), "&" | "-" | "+" | "*" | "(")
        && !(source.is(from, "(") && source.pair(from) + 1 != to)
    {
        if source.is(from, "(") {
            return value(source, (from + 1, to - 1), compared).or_else(|| empty(source, operand));
        }
        from += 1;
    }
    if from >= to || to - from > MAX_LOOK {
        return None;
    }
    let strings = source.language.rules.strings;
    if to - from == 1 {
        let text = nothing(source, from)
            .or_else(|| literal::other(source.at(from), source.tokens.get(from)?, strings, compared))?;
        return Some(Value { rank: 0, edit: edit(source, source.bytes((from, to)), text) });
    }
    if let Some(value) = empty(source, (from, to)) {
        return Some(value);
    }
    let mut rank = 1;
    let mut found: Option<usize> = None;
    let mut key: Option<usize> = None;
    for at in from..to {
        match source.kind(at)? {
            Kind::Word => match source.at(at) {
                "or" | "and" | "if" | "else" | "unless" | "lambda" | "for" | "await" | "yield" | "match"
                | "function" | "fn" | "func" | "do" | "in" | "is" | "not" | "as?" | "instanceof" => {
                    return None;
                }
                _ => {
                    if called(source, at, to) {
                        if !wraps(source, at, from) {
                            return None;
                        }
                        rank = 2;
                    }
                }
            },
            Kind::Punct => match source.at(at) {
                "||" | "&&" | "??" | "?" | "?:" | "*" | "/" | "%" | "<" | ">" | "<=" | ">=" | "|" | "^"
                | ":=" | "=~" | "**" | "==" | "!=" => return None,
                // A function; not Ruby's and PHP's pairs.
                "=>" if strings == Strings::JavaScript => return None,
                "->" if strings != Strings::Php => return None,
                _ => {}
            },
            Kind::Number | Kind::Str | Kind::Char if found.is_none() => {
                if is_index(source, at) || is_repeat(source, at) {
                    continue;
                }
                let is_key = matches!(source.at(at + 1), ":" | "=>") && at + 1 < to;
                let slot = if is_key { &mut key } else { &mut found };
                if slot.is_none()
                    && literal::other(source.at(at), source.tokens.get(at)?, strings, compared).is_some()
                {
                    *slot = Some(at);
                }
            }
            _ => {}
        }
        if found.is_none()
            && literal::other(source.at(at), source.tokens.get(at)?, strings, compared).is_some()
            && source.kind(at) == Some(Kind::Word)
        {
            found = Some(at);
        }
    }
    let at = found.or(key)?;
    let text = literal::other(source.at(at), source.tokens.get(at)?, strings, compared)?;
    Some(Value { rank, edit: edit(source, source.bytes((at, at + 1)), text) })
}

/// `None`, `nil`, `null`: another value where types allow it.
fn nothing(source: &Source<'_>, at: usize) -> Option<String> {
    let dynamic = matches!(
        source.language.rules.strings,
        Strings::Python | Strings::JavaScript | Strings::Ruby | Strings::Php
    );
    let text = source.at(at);
    (dynamic && matches!(text, "None" | "nil" | "null" | "undefined" | "NULL")).then(|| "1".to_owned())
}

/// An empty collection gets an element where types allow it.
fn empty(source: &Source<'_>, operand: Span) -> Option<Value> {
    if operand.1 != operand.0 + 2 {
        return None;
    }
    let text = source.slice(operand);
    let other = match (source.language.rules.strings, text.chars().next()?, text.chars().last()?) {
        (Strings::Python, '[', ']') => "[0]",
        (Strings::Python, '{', '}') => "{0: 0}",
        (Strings::Python, '(', ')') => "(0,)",
        (Strings::JavaScript | Strings::Ruby | Strings::Php, '[', ']') => "[0]",
        (Strings::JavaScript | Strings::Ruby, '{', '}') => "{ x: 0 }",
        _ => return None,
    };
    Some(Value { rank: 0, edit: edit(source, source.bytes(operand), other.to_owned()) })
}

/// A word that is called, or a macro.
fn called(source: &Source<'_>, at: usize, to: usize) -> bool {
    let mut after = at + 1;
    if source.is(after, "!") && source.language.rules.strings == Strings::Rust {
        after += 1;
        return source.kind(after) == Some(Kind::Open) && after < to;
    }
    // `Vec::<u8>::new(`: the type's name is not called.
    if source.is(after, ".") && source.is(after + 1, "(") {
        after += 1;
    }
    source.is(after, "(") && after < to
}

/// A call that only makes a value of its arguments.
fn wraps(source: &Source<'_>, at: usize, from: usize) -> bool {
    let text = source.at(at);
    let language: &Language = source.language;
    let before = at.checked_sub(1).filter(|before| *before >= from).map_or("", |before| source.at(before));
    let upper = text.starts_with(|c: char| c.is_uppercase());
    language.wrappers.contains(&text)
        || before == "new"
        || (upper && language.constructors && !matches!(before, "." | "?." | "->"))
}

/// `x[0]`: which element, not what it is. `[3]int{…}`: how many.
fn is_index(source: &Source<'_>, at: usize) -> bool {
    let Some(open) = at.checked_sub(1).filter(|open| source.is(*open, "[")) else { return false };
    if source.pair(open) != at + 1 {
        return false;
    }
    let indexed = open.checked_sub(1).is_some_and(|before| match source.kind(before) {
        Some(Kind::Word) => !matches!(source.at(before), "return" | "assert" | "in" | "vec"),
        Some(Kind::Close | Kind::Str) => true,
        _ => false,
    });
    let sized = source.is_word(at + 2) && source.language.rules.strings == Strings::Go;
    indexed || sized
}

/// `[0; 4]`: how many.
fn is_repeat(source: &Source<'_>, at: usize) -> bool {
    at > 0 && source.is(at - 1, ";")
}

/// The expected value where the operand is a name: what it was bound to in this test, in
/// the table that the test walks through, or in the test's parameters.
pub fn bound(source: &Source<'_>, operand: Span, path: &[usize], compared: Compared) -> Option<Edit> {
    let (from, to) = operand;
    let from = if source.is(from, "&") || source.is(from, "*") { from + 1 } else { from };
    if !source.is_word(from) {
        return None;
    }
    let test = source.blocks.get(*path.first()?)?;
    match to - from {
        1 => variable(source, from, test.body, compared)
            .or_else(|| parameter(source, source.at(from), path, compared)),
        3 if source.is(from + 1, ".") && is_expectation(source.at(from + 2)) => {
            field(source, source.at(from + 2), test.body, compared)
        }
        _ => None,
    }
}

/// A name by which tests call what they expect.
fn is_expectation(name: &str) -> bool {
    let lower = name.trim_start_matches('$').to_ascii_lowercase();
    ["expect", "want", "exp", "output", "result"].iter().any(|start| lower.starts_with(start))
        && !lower.contains("err")
}

/// `expected = 4`, used in this one place; a name that says what it is may be used again.
fn variable(source: &Source<'_>, at: usize, body: Span, compared: Compared) -> Option<Edit> {
    let name = source.at(at);
    let mut bound = None;
    let mut uses = 0;
    let from = at.saturating_sub(8 * MAX_LOOK).max(body.0);
    if !source.spend(at - from) {
        return None;
    }
    for index in from..at.min(body.1) {
        if !source.is_word(index)
            || source.at(index) != name
            || index > 0 && matches!(source.at(index - 1), "." | "->")
        {
            continue;
        }
        // `let x: u32 = 4`
        let mut after = index + 1;
        if source.is(after, ":") && source.language.rules.strings != Strings::Python {
            while after < at && !matches!(source.at(after), "=" | ";" | ",") && after < index + 12 {
                after = source.next(after);
            }
        }
        if matches!(source.at(after), "=" | ":=") {
            if bound.is_some() {
                return None;
            }
            bound = Some(after + 1);
        } else {
            uses += 1;
        }
    }
    let value_from = bound?;
    if uses > 0 && !is_expectation(name) {
        return None;
    }
    let end = source.statement_end(value_from, at);
    let found = value(source, (value_from, end), compared)?;
    (found.rank < 2 || is_expectation(name)).then_some(found.edit)
}

/// `{in: 1, want: 4}`: the field of the first entry of a table that has a value.
fn field(source: &Source<'_>, name: &str, body: Span, compared: Compared) -> Option<Edit> {
    let end = body.1.min(body.0 + 32 * MAX_LOOK);
    if !source.spend(end - body.0) {
        return None;
    }
    for at in body.0..end {
        if !source.is_word(at) || source.at(at) != name || !source.is(at + 1, ":") {
            continue;
        }
        let mut to = at + 2;
        while to < end && !matches!(source.at(to), "," | ";") && source.kind(to) != Some(Kind::Close) {
            to = source.next(to);
        }
        if let Some(found) = value(source, (at + 2, to), compared).filter(|found| found.rank < 2) {
            return Some(found.edit);
        }
    }
    unkeyed(source, name, body, compared)
}

/// `struct { in, want int }{{1, 4}}`: the field of the first entry, by its position.
fn unkeyed(source: &Source<'_>, name: &str, body: Span, compared: Compared) -> Option<Edit> {
    let end = body.1.min(body.0 + 8 * MAX_LOOK);
    let open = (body.0..end).find(|at| source.is(*at, "struct") && source.is(*at + 1, "{"))? + 1;
    let mut fields = Vec::new();
    let mut at = open + 1;
    while at < source.pair(open) {
        // `a, b int`: words before a comma, and the first of the last.
        let line_end = source.statement_end(at, source.pair(open));
        for part in source.split((at, line_end), &[","]) {
            fields.push(source.at(part.0));
        }
        at = if source.is(line_end, ";") { line_end + 1 } else { line_end.max(at + 1) };
    }
    let position = fields.iter().position(|field| *field == name)?;
    let table = source.pair(open) + 1;
    if !source.is(table, "{") {
        return None;
    }
    let entry = table + 1;
    if !source.is(entry, "{") {
        return None;
    }
    let values = source.arguments(entry);
    let found = value(source, *values.get(position)?, compared)?;
    (found.rank < 2).then_some(found.edit)
}

/// `@pytest.mark.parametrize("a, expected", [(1, 4)])`, `it.each([[1, 4]])("…", (a, expected) => …)`.
fn parameter(source: &Source<'_>, name: &str, path: &[usize], compared: Compared) -> Option<Edit> {
    let test =
        path.iter().rev().map(|index| &source.blocks[*index]).find(|block| block.role == Role::Test)?;
    match source.language.rules.strings {
        Strings::Python => {
            if !source.spend(4 * MAX_LOOK) {
                return None;
            }
            // The name as a parameter, and in the one assertion.
            let uses = (test.body.0..test.body.1.min(test.body.0 + 4 * MAX_LOOK))
                .filter(|at| source.is_word(*at) && source.at(*at) == name)
                .count();
            if uses != 1 {
                return None;
            }
            let end = test.body.0.min(test.head + MAX_LOOK);
            let mark = (test.head..end).filter(|at| source.is(*at, "parametrize") && source.is(*at + 1, "("));
            for mark in mark {
                let arguments = source.arguments(mark + 1);
                let (names, table) = (arguments.first()?, arguments.get(1)?);
                let position = position(source, *names, name);
                let Some(position) = position else { continue };
                return entry(source, *table, position, compared);
            }
            None
        }
        Strings::JavaScript => {
            // The block's head is the bracket of the call: `it.each(table)(`.
            let table = source.before(test.head).filter(|open| source.is(*open, "("))?;
            if !source.is(table.checked_sub(1)?, "each") {
                return None;
            }
            let params_end = test.body.0.checked_sub(3).filter(|at| source.is(*at, ")"))?;
            let params = source.arguments(source.pair(params_end));
            if let Some(position) = params.iter().position(|param| source.slice(*param) == name) {
                return entry(source, *source.arguments(table).first()?, position, compared);
            }
            // `({ a, expected }) =>`
            field(source, name, (table + 1, source.pair(table)), compared)
        }
        _ => None,
    }
}

/// Where a name is in `"a, expected"` or `("a", "expected")`.
fn position(source: &Source<'_>, names: Span, name: &str) -> Option<usize> {
    if names.1 - names.0 == 1 {
        return source.content(names.0)?.split(',').position(|part| part.trim() == name);
    }
    source.arguments(names.0).iter().position(|part| source.content(part.0) == Some(name))
}

/// The value at a position of the first entry of `[(…), …]`.
fn entry(source: &Source<'_>, table: Span, position: usize, compared: Compared) -> Option<Edit> {
    if source.kind(table.0) != Some(Kind::Open) {
        return None;
    }
    let first = *source.arguments(table.0).first()?;
    let value_span = if source.kind(first.0) == Some(Kind::Open) {
        *source.arguments(first.0).get(position)?
    } else if position == 0 {
        first
    } else {
        return None;
    };
    let found = value(source, value_span, compared)?;
    (found.rank < 2).then_some(found.edit)
}
