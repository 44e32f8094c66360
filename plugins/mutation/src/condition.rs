//! Conditions: of `assert`, and of an `if` whose branch makes the test fail.

use crate::lex::{Kind, Strings};
use crate::literal::Compared;
use crate::operand::{self, Edit};
use crate::oracle::{NO_ERROR, OPPOSITE, Offer, VALUE, quoted};
use crate::source::{MAX_LOOK, Source, Span};

/// When the test fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fails {
    /// `assert x == 4`
    WhenFalse,
    /// `if got != 4 { t.Fatal() }`
    WhenTrue,
}

/// Alters a condition: a value in it, else the whole of it.
pub fn altered(source: &Source<'_>, span: Span, fails: Fails, path: &[usize]) -> Option<Offer> {
    compared(source, span, fails, path).or_else(|| negated(source, span))
}

/// Alters a value that a condition compares, so that it turns into what fails.
pub fn compared(source: &Source<'_>, span: Span, fails: Fails, path: &[usize]) -> Option<Offer> {
    let (from, to) = span;
    if from >= to || to - from > MAX_LOOK {
        return None;
    }
    if source.is(from, "(") && source.pair(from) + 1 == to {
        return compared(source, (from + 1, to - 1), fails, path);
    }
    // Any part that fails makes the whole fail.
    let (joined, split) = match fails {
        Fails::WhenFalse => (["&&", "and"], ["||", "or"]),
        Fails::WhenTrue => (["||", "or"], ["&&", "and"]),
    };
    if source.split(span, &split).len() > 1 || source.split(span, &["?", "if", "lambda", "=>"]).len() > 1 {
        return None;
    }
    let parts = source.split(span, &joined);
    if parts.len() > 1 {
        return parts.into_iter().find_map(|part| compared(source, part, fails, path));
    }
    let mut operator = None;
    let mut at = from;
    while at < to {
        match source.at(at) {
            "==" | "===" | "!=" | "!==" | "is" | "in" | "<" | ">" | "<=" | ">=" | "=~" | "!~" | "not"
            | "!" | "<=>" | "instanceof" => {
                if operator.is_some() {
                    return None;
                }
                operator = Some(at);
            }
            _ => {}
        }
        at = source.next(at);
    }
    // `!reflect.DeepEqual(got, want)`, `name.equals("x")`
    let refused = operator == Some(from) && source.is(from, "!");
    if operator.is_none() && fails == Fails::WhenFalse || refused && fails == Fails::WhenTrue {
        return call(source, (from + usize::from(refused), to), path);
    }
    let operator = operator?;
    let (left, right) = ((from, operator), (operator + 1, to));
    let wanted: &[&str] = match fails {
        Fails::WhenFalse => &["==", "==="],
        Fails::WhenTrue => &["!=", "!=="],
    };
    if source.is(operator, "in")
        && fails == Fails::WhenFalse
        && source.language.rules.strings == Strings::Python
    {
        let text =
            left.1 - left.0 == 1 && source.content(left.0).is_some_and(|text| text.chars().count() >= 3);
        let value = text.then(|| operand::value(source, left, Compared::Exactly)).flatten()?;
        return Some(Offer { edit: value.edit, mutator: "expected-value", cost: VALUE });
    }
    if !wanted.contains(&source.at(operator)) {
        return None;
    }
    let near = [left, right].iter().any(|side| source.has_word(*side, &["approx"]));
    let how = if near { Compared::Nearly } else { Compared::Exactly };
    let edit = operand::pick(source, &[right, left], how)
        .or_else(|| [right, left].into_iter().find_map(|side| operand::bound(source, side, path, how)))?;
    Some(Offer { edit, mutator: "expected-value", cost: VALUE })
}

/// A call that compares: the whole of the condition is it.
fn call(source: &Source<'_>, span: Span, path: &[usize]) -> Option<Offer> {
    const NAMES: &[&str] = &["DeepEqual", "Equal", "equals", "isEqual", "deepEqual", "eql?", "array_equal"];
    let open = (span.0..span.1).take(12).find(|at| source.is(*at, "("))?;
    let name = open.checked_sub(1).filter(|name| *name >= span.0)?;
    if source.pair(open) + 1 != span.1 || !NAMES.contains(&source.at(name)) {
        return None;
    }
    let operands: Vec<Span> = source.arguments(open).into_iter().rev().collect();
    let exactly = Compared::Exactly;
    let edit = operand::pick(source, &operands, exactly)
        .or_else(|| operands.iter().find_map(|side| operand::bound(source, *side, path, exactly)))?;
    Some(Offer { edit, mutator: "expected-value", cost: VALUE })
}

/// The opposite of a condition.
pub fn negated(source: &Source<'_>, span: Span) -> Option<Offer> {
    if span.0 >= span.1 {
        return None;
    }
    let text = source.slice(span);
    let errors = source.has_word(span, &["err", "error", "ok"]);
    let cost = if errors { NO_ERROR } else { OPPOSITE };
    let operators: Vec<usize> = (span.0..span.1)
        .take(MAX_LOOK)
        .filter(|at| matches!(source.at(*at), "==" | "!=" | "===" | "!=="))
        .collect();
    let plain = !(span.0..span.1).take(MAX_LOOK).any(|at| {
        matches!(
            source.at(at),
            "&&" | "||" | "and" | "or" | "not" | "!" | "?" | "<" | ">" | "in" | "is" | "if" | "for"
        )
    });
    let altered = |to: &str| format!("{} became {}", quoted(text), quoted(to));
    if let ([operator], true) = (operators.as_slice(), plain && span.1 - span.0 <= MAX_LOOK) {
        let other = match source.at(*operator) {
            "==" => "!=",
            "!=" => "==",
            "===" => "!==",
            _ => "===",
        };
        let range = source.bytes((*operator, *operator + 1));
        let whole = source.bytes(span);
        let to = format!("{}{other}{}", &source.text[whole.0..range.0], &source.text[range.1..whole.1]);
        let edit = Edit { range, text: other.to_owned(), altered: altered(&to) };
        return Some(Offer { edit, mutator: "opposite-condition", cost });
    }
    let to = match source.language.rules.strings {
        Strings::Python => format!("not ({text})"),
        _ => format!("!({text})"),
    };
    let edit = Edit { range: source.bytes(span), altered: altered(&to), text: to };
    Some(Offer { edit, mutator: "opposite-condition", cost })
}

/// An `if` at `at` whose branch makes the test fail.
pub fn branch(source: &Source<'_>, at: usize, path: &[usize]) -> Option<Offer> {
    let (condition, body) = parts(source, at)?;
    // The first statements of the branch, on its own level.
    let fails = (body.0..body.1.min(body.0 + MAX_LOOK)).any(|index| {
        source.is_word(index) && source.language.fails.contains(&source.at(index)) && says_so(source, index)
    });
    if !fails || source.has_word(body, &["Skip", "skip", "SkipNow", "Skipf"]) {
        return None;
    }
    altered(source, condition, Fails::WhenTrue, path)
}

/// `exit(0)` is no failure.
fn says_so(source: &Source<'_>, index: usize) -> bool {
    if !matches!(source.at(index), "exit" | "_exit" | "Exit" | "exit!") {
        return true;
    }
    let code = if source.is(index + 1, "(") { index + 2 } else { index + 1 };
    source.kind(code) != Some(Kind::Number) && source.kind(code) != Some(Kind::Close)
        || source.kind(code) == Some(Kind::Number) && source.at(code) != "0"
}

/// Condition and body of an `if`.
fn parts(source: &Source<'_>, at: usize) -> Option<(Span, Span)> {
    match source.language.rules.strings {
        Strings::Python => {
            let mut colon = at + 1;
            while !source.is(colon, ":") {
                if colon >= source.len() || source.first(colon) {
                    return None;
                }
                colon = source.next(colon);
            }
            let block = block_at(source, colon + 1)?;
            Some(((at + 1, colon), block))
        }
        Strings::Ruby => {
            let end = source.statement_end(at + 1, source.len());
            let block = block_at(source, at + 1)?;
            Some(((at + 1, end), (end, block.1)))
        }
        Strings::Go => {
            let mut open = at + 1;
            while !source.is(open, "{") {
                if open >= source.len() || source.kind(open) == Some(Kind::Close) {
                    return None;
                }
                open = source.next(open);
            }
            // `if got := f(); got != 4 {`
            let last = source.split((at + 1, open), &[";"]).pop()?;
            Some((last, (open + 1, source.pair(open))))
        }
        Strings::Rust => {
            let mut open = at + 1;
            while !source.is(open, "{") {
                if open >= source.len() || source.kind(open) == Some(Kind::Close) || source.is(open, "let") {
                    return None;
                }
                open = source.next(open);
            }
            Some(((at + 1, open), (open + 1, source.pair(open))))
        }
        _ => {
            let open = at + 1;
            if !source.is(open, "(") {
                return None;
            }
            let close = source.pair(open);
            let body = if source.is(close + 1, "{") {
                (close + 2, source.pair(close + 1))
            } else {
                (close + 1, source.statement_end(close + 1, source.len()))
            };
            Some(((open + 1, close), body))
        }
    }
}

/// The body of the block that begins at a token.
fn block_at(source: &Source<'_>, at: usize) -> Option<Span> {
    let index = source.blocks.partition_point(|block| block.body.0 < at);
    source.blocks.get(index).filter(|block| block.body.0 == at).map(|block| block.body)
}
