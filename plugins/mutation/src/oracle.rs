//! Oracle mutants: one for each test of a file, in what the test expects.

use crate::assertions::{
    Assertion, How, JAVASCRIPT_MATCHERS, JVM_MATCHERS, NOT, PHP_MATCHERS, RUBY_MATCHERS,
};
use crate::blocks::braces::callee;
use crate::condition::{self, Fails};
use crate::lex::{Kind, Strings};
use crate::literal::{self, Compared};
use crate::operand::{self, Edit, edit, shown};
use crate::source::{MAX_STATEMENT, Role, Source, Span};

/// Assertions of one test that are looked at: the best of the first ones is good enough, and
/// the time stays in proportion.
const MAX_PER_TEST: usize = 48;

/// Blocks within blocks, so deep that nobody wrote them.
const MAX_DEPTH: usize = 64;

/// An alteration with its place in the tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub edit: Edit,
    /// The mutator's name.
    pub mutator: &'static str,
    /// The test's name, from the outermost suite inwards.
    pub test: Vec<String>,
    /// How little it tells: 0 is best.
    pub cost: u8,
    /// It runs unless its test gives up on the way, or the runner leaves tests of its kind
    /// out: only a report can tell.
    pub sure: bool,
    /// The line of the edit.
    pub line: u32,
    /// The first and the last line of the test, header included.
    pub lines: (u32, u32),
}

/// What a file gave.
#[derive(Debug, Default)]
pub struct Found {
    /// One for each test, in the order of the file.
    pub candidates: Vec<Candidate>,
    /// Tests that were seen.
    pub tests: usize,
    /// Tests that are marked as skipped, ignored or expected to fail.
    pub skipped: usize,
}

/// What an assertion gave: an edit, and how little it tells.
pub struct Offer {
    pub edit: Edit,
    pub mutator: &'static str,
    pub cost: u8,
}

/// An altered value tells more than an altered exception, and that more than the opposite:
/// an object that equals everything survives the first alone.
pub const VALUE: u8 = 0;
pub const RAISED: u8 = 1;
pub const OPPOSITE: u8 = 2;
/// The opposite of "no error".
pub const NO_ERROR: u8 = 3;
/// It is within a loop, which may run no times.
const IN_LOOP: u8 = 4;

/// Looks for what can be altered. `script` says that the file is run from top to bottom, so
/// that statements outside of tests count.
pub fn find(source: &Source<'_>, script: bool) -> Found {
    let mut found = Found::default();
    let only = source.blocks.iter().any(|block| block.only);
    let script = script && !source.blocks.iter().any(|block| block.role == Role::Test);
    // Blocks that are open, outermost first, and the best offer of each test.
    let mut path: Vec<usize> = Vec::new();
    let mut next_block = 0;
    let mut best: Vec<Option<(Offer, Vec<usize>)>> = Vec::new();
    let mut counts: Vec<usize> = Vec::new();
    // Slot 0 is the script itself.
    best.push(None);
    counts.push(0);
    let mut slots: Vec<usize> = vec![0; source.blocks.len()];
    let mut order: Vec<(usize, Option<usize>)> = vec![(0, None)];
    // Tests whose rest is not reached.
    let mut dead: Vec<bool> = vec![false];
    // Tests that may give up.
    let mut unsure: Vec<bool> = vec![false];
    for at in 0..source.len() {
        while path.last().is_some_and(|index| source.blocks[*index].body.1 <= at) {
            path.pop();
        }
        while let Some(block) = source.blocks.get(next_block).filter(|block| block.body.0 <= at) {
            if block.body.1 > at {
                path.push(next_block);
                if block.role == Role::Test {
                    found.tests += 1;
                    let skipped =
                        path.iter().rev().take(MAX_DEPTH).any(|index| source.blocks[*index].skipped);
                    found.skipped += usize::from(skipped);
                    slots[next_block] = best.len();
                    order.push((best.len(), Some(next_block)));
                    best.push(None);
                    counts.push(0);
                    dead.push(false);
                    unsure.push(false);
                }
            }
            next_block += 1;
        }
        if !source.is_word(at) || path.len() > MAX_DEPTH {
            continue;
        }
        if gives_up(source.at(at))
            && let Some(test) = path.iter().rev().find(|index| source.blocks[**index].role == Role::Test)
        {
            unsure[slots[*test]] = true;
        }
        let Some(place) = place(source, &path, script, only) else { continue };
        let slot = place.test.map_or(0, |test| slots[test]);
        if dead[slot] {
            continue;
        }
        if place.straight && ends_here(source, at) {
            dead[slot] = true;
            continue;
        }
        if counts[slot] >= MAX_PER_TEST || best[slot].as_ref().is_some_and(|(offer, _)| offer.cost == VALUE) {
            continue;
        }
        let inner: Vec<usize> =
            path.iter().copied().skip_while(|index| source.blocks[*index].role == Role::Suite).collect();
        if let Some(mut offer) = offer(source, at, &inner) {
            counts[slot] += 1;
            offer.cost += if place.straight { 0 } else { IN_LOOP };
            if best[slot].as_ref().is_none_or(|(known, _)| offer.cost < known.cost) {
                best[slot] = Some((offer, path.clone()));
            }
        }
    }
    for (slot, test) in order {
        let Some((offer, path)) = best[slot].take() else { continue };
        let names = path
            .iter()
            .map(|index| &source.blocks[*index])
            .filter(|block| matches!(block.role, Role::Suite | Role::Test) && !block.name.is_empty());
        let test_names = names.map(|block| block.name.clone()).collect();
        let head = test.map(|test| &source.blocks[test]);
        let lines = head.map_or((1, u32::MAX), |block| {
            let (start, end) = source.bytes((block.head, block.body.1));
            (source.lines.of(start), source.lines.of(end))
        });
        found.candidates.push(Candidate {
            sure: !unsure[slot] && !path.iter().any(|index| source.blocks[*index].unsure),
            line: source.lines.of(offer.edit.range.0),
            edit: offer.edit,
            mutator: offer.mutator,
            test: test_names,
            cost: offer.cost,
            lines,
        });
    }
    // Two tests may share a table: one alteration of a place is enough.
    found.candidates.sort_by_key(|candidate| candidate.edit.range);
    let mut end = 0;
    found.candidates.retain(|candidate| {
        let free = candidate.edit.range.0 >= end;
        if free {
            end = candidate.edit.range.1.max(candidate.edit.range.0 + 1);
        }
        free
    });
    found
}

/// Where a statement is, seen from its test.
struct Place {
    test: Option<usize>,
    /// Neither in a loop nor in a branch.
    straight: bool,
}

/// `None` where no statement is sure to run with a test.
fn place(source: &Source<'_>, path: &[usize], script: bool, only: bool) -> Option<Place> {
    let blocks = || path.iter().map(|index| &source.blocks[*index]);
    if blocks().any(|block| block.skipped) {
        return None;
    }
    let outer = path.iter().position(|index| source.blocks[*index].role == Role::Test);
    let Some(outer) = outer else {
        let runs = script && blocks().all(|block| matches!(block.role, Role::Plain | Role::Loop));
        let straight = blocks().all(|block| block.role == Role::Plain);
        return runs.then_some(Place { test: None, straight });
    };
    if only && !blocks().any(|block| block.only) {
        return None;
    }
    if blocks().skip(outer).any(|block| matches!(block.role, Role::Branch | Role::Function)) {
        return None;
    }
    // A suite within a function is made when that runs.
    if blocks().take(outer).any(|block| matches!(block.role, Role::Branch)) {
        return None;
    }
    let test = path.iter().rev().copied().find(|index| source.blocks[*index].role == Role::Test)?;
    let straight = blocks().skip(outer).all(|block| block.role != Role::Loop);
    Some(Place { test: Some(test), straight })
}

/// A word by which a test gives up, on some condition perhaps.
fn gives_up(word: &str) -> bool {
    matches!(
        word,
        "Skip"
            | "SkipNow"
            | "Skipf"
            | "skipTest"
            | "markTestSkipped"
            | "markTestIncomplete"
            | "importorskip"
            | "assumeTrue"
            | "assumeFalse"
            | "assumeThat"
            | "assumingThat"
            | "Assume"
            | "Short"
    )
}

/// What follows in a test is not reached: it returns, or gives up.
fn ends_here(source: &Source<'_>, at: usize) -> bool {
    if !source.is_word(at) {
        return false;
    }
    match source.at(at) {
        "return" => source.first(at) || at > 0 && matches!(source.at(at - 1), ";" | "{" | "}"),
        // A command of Ruby and bats.
        "skip" | "pending" if source.first(at) && !source.is(at + 1, "(") => true,
        "skip" | "Skip" | "SkipNow" | "Skipf" | "skipTest" | "markTestSkipped" | "markTestIncomplete"
        | "importorskip" | "xfail" => {
            source.is(at + 1, "(") && !source.is(at + 2, ")") || matches!(source.at(at), "SkipNow")
        }
        _ => false,
    }
}

/// What the token at `at` begins, if it is an assertion.
fn offer(source: &Source<'_>, at: usize, path: &[usize]) -> Option<Offer> {
    let text = source.at(at);
    let strings = source.language.rules.strings;
    match strings {
        Strings::Python if text == "assert" && source.first(at) => return statement(source, at, path),
        Strings::Ruby if matches!(text, "to" | "not_to" | "to_not") => return expected_to(source, at, path),
        _ => {}
    }
    if text == "if" && (source.first(at) || at > 0 && matches!(source.at(at - 1), ";" | "{" | "}")) {
        return condition::branch(source, at, path);
    }
    if let Some(matcher) = matcher(source, at) {
        return chained(source, at, matcher, path);
    }
    if strings == Strings::JavaScript
        && text == "expect"
        && at > 0
        && source.is(at - 1, ".")
        && source.is(at + 1, "(")
    {
        return requested(source, at);
    }
    let assertion = source.language.assertions.iter().find(|assertion| assertion.name == text)?;
    let mut open = at + 1;
    match strings {
        Strings::Rust => {
            if !source.is(open, "!") {
                return None;
            }
            open += 1;
        }
        Strings::Go if !source.is(at.checked_sub(1)?, ".") => return None,
        // `assert.equal`, `t.is`; a bare `equal(…)` may be anything, so may `x.match(…)`.
        Strings::JavaScript if text != "assert" => {
            let owner = at.checked_sub(2).filter(|_| source.is(at - 1, ".")).map(|owner| source.at(owner))?;
            if !matches!(owner, "assert" | "t" | "strict" | "expect" | "QUnit" | "context" | "ctx" | "tap") {
                return None;
            }
        }
        Strings::Java | Strings::Kotlin if !source.is(open, "(") => {
            // `x shouldBe 4`
            if !text.starts_with("should") {
                return None;
            }
            let operand = (open, source.statement_end(open, source.len()));
            return apply(source, at, assertion, &[operand], path, 0);
        }
        Strings::Ruby
            if !source.is(open, "(") || source.tokens.get(at)?.end != source.tokens.get(open)?.start =>
        {
            // A command: its arguments go to the end of the line.
            let mut end = source.statement_end(open, source.len());
            if let Some(block) = (open..end.min(open + 64)).find(|index| source.is(*index, "do")) {
                end = block;
            }
            let mut arguments = source.split((open, end), &[","]);
            if let Some(last) = arguments.last_mut()
                && let Some(brace) = (last.0 + 1..last.1).find(|index| source.is(*index, "{"))
                && assertion.how == How::Raises
            {
                last.1 = brace;
            }
            if arguments.is_empty() && assertion.operands.is_empty() && !text.starts_with("must") {
                return None;
            }
            return apply(source, at, assertion, &arguments, path, 0);
        }
        _ => {}
    }
    if source.kind(open) != Some(Kind::Open) {
        return None;
    }
    let arguments = source.arguments(open);
    if arguments
        .iter()
        .any(|argument| matches!(source.at(argument.0), "*" | "**" | "...") && strings != Strings::Rust)
    {
        return None;
    }
    let mut skip = 0;
    if strings == Strings::Go {
        // The `testing.T`.
        let first = arguments.first()?;
        skip = usize::from(matches!(source.slice(*first), "t" | "tb" | "b" | "s.T()" | "suite.T()" | "c"));
        // A library's own tests hand it a stand-in, and expect it to fail.
        if ["mock", "fake"].iter().any(|word| source.slice(*first).starts_with(word)) {
            return None;
        }
        // `bytes.Equal(…)` is no assertion.
        let owner = source.at(at.checked_sub(2)?);
        if skip == 0
            && !matches!(owner, "assert" | "require" | "is" | "a" | "r" | "s" | "suite" | "must" | ")")
        {
            return None;
        }
    }
    if matches!(strings, Strings::Java | Strings::Kotlin) && with_message(source, &arguments, assertion) {
        skip = 1;
    }
    apply(source, at, assertion, &arguments, path, skip)
}

/// JUnit 4 takes a message first.
fn with_message(source: &Source<'_>, arguments: &[Span], assertion: &Assertion) -> bool {
    let is_text = |index: usize| {
        arguments.get(index).is_some_and(|argument| source.kind(argument.0) == Some(Kind::Str))
    };
    match assertion.how {
        How::True => arguments.len() == 2 && is_text(0),
        How::Equal => {
            arguments.len() >= 3
                && is_text(0)
                && !is_text(2)
                && !source.has_word(arguments[2], &["format"])
                && !source.slice(arguments[2]).contains("->")
        }
        _ => false,
    }
}

/// The matcher that `at` names, if it follows the beginning of a chain of its library.
fn matcher(source: &Source<'_>, at: usize) -> Option<&'static Assertion> {
    let (table, starts): (&'static [Assertion], &[&str]) = match source.language.rules.strings {
        Strings::JavaScript => (JAVASCRIPT_MATCHERS, &["expect", "should"]),
        Strings::Java | Strings::Kotlin => (JVM_MATCHERS, &["assertThat", "then"]),
        Strings::Php => (PHP_MATCHERS, &["expect"]),
        _ => return None,
    };
    let before = at.checked_sub(1).map(|before| source.at(before))?;
    if !matches!(before, "." | "->") {
        return None;
    }
    let found = table.iter().find(|matcher| matcher.name == source.at(at))?;
    // A property, such as chai's `.true`, ends its chain.
    if !source.is(at + 1, "(") && matches!(source.at(at + 1), "." | "->") {
        return None;
    }
    let words = callee(source, at - 1);
    (words.first().is_some_and(|first| starts.contains(first)) || words.contains(&"should")).then_some(found)
}

/// `expect(x).toBe(4)`.
fn chained(source: &Source<'_>, at: usize, matcher: &Assertion, path: &[usize]) -> Option<Offer> {
    let words = callee(source, at - 1);
    if let Some(not) = words.iter().rposition(|word| *word == NOT) {
        // The opposite of the opposite: `not` goes.
        let back = words.len() - not;
        let mut index = at;
        for _ in 0..back * 4 {
            index = source.before(index)?;
            if source.is(index, NOT) {
                break;
            }
        }
        if !source.is(index, NOT) {
            return None;
        }
        let range = source.bytes((index, index + 2));
        let altered = format!("not.{0} became {0}", matcher.name);
        return Some(Offer {
            edit: Edit { range, text: String::new(), altered },
            mutator: "opposite-assertion",
            cost: OPPOSITE,
        });
    }
    // Without `await` nothing may wait for it.
    if words.iter().any(|word| matches!(*word, "resolves" | "rejects")) && !awaited(source, at) {
        return None;
    }
    let arguments = if source.is(at + 1, "(") { source.arguments(at + 1) } else { Vec::new() };
    apply(source, at, matcher, &arguments, path, 0)
}

/// Whether the statement of this token is awaited or returned.
fn awaited(source: &Source<'_>, at: usize) -> bool {
    let mut index = at;
    for _ in 0..48 {
        let Some(before) = source.before(index) else { return false };
        match source.at(before) {
            "await" | "return" | "=>" => return true,
            ";" | "{" | "}" => return false,
            _ => index = before,
        }
    }
    false
}

/// supertest: `request(app).get("/").expect(200, "body", done)`, `.expect("Type", "text/html")`.
fn requested(source: &Source<'_>, at: usize) -> Option<Offer> {
    let arguments = source.arguments(at + 1);
    let of = |index: usize, kind| {
        arguments
            .get(index)
            .filter(|argument| argument.1 - argument.0 == 1 && source.kind(argument.0) == Some(kind))
            .copied()
    };
    let operand = of(0, Kind::Number).or_else(|| of(1, Kind::Str)).or_else(|| of(0, Kind::Str))?;
    let value = operand::value(source, operand, Compared::Exactly)?;
    Some(Offer { edit: value.edit, mutator: "expected-value", cost: VALUE })
}

/// RSpec: `expect(x).to eq 4`.
fn expected_to(source: &Source<'_>, at: usize, path: &[usize]) -> Option<Offer> {
    if !source.is(at.checked_sub(1)?, ".") {
        return None;
    }
    let matcher = at + 1;
    if !source.is_word(matcher) {
        return None;
    }
    let opposite = || {
        let (from, to) = match source.at(at) {
            "to" => ("to", "not_to"),
            other => (other, "to"),
        };
        let name = source.at(matcher);
        let edit = Edit {
            range: source.bytes((at, at + 1)),
            text: to.to_owned(),
            altered: format!("{from} {name} became {to} {name}"),
        };
        Some(Offer { edit, mutator: "opposite-assertion", cost: OPPOSITE })
    };
    let known = RUBY_MATCHERS.iter().find(|known| known.name == source.at(matcher));
    let Some(known) = known.filter(|_| source.is(at, "to")) else { return opposite() };
    let end = source.statement_end(matcher + 1, source.len());
    let arguments = if source.is(matcher + 1, "(") {
        source.arguments(matcher + 1)
    } else {
        source.split((matcher + 1, end), &[","])
    };
    // `be > 3`, `eq(3).or eq(4)`
    let compound = source.has_word((matcher, end), &["or", "and", "of"]);
    if compound
        || known.name == "be" && arguments.first().is_some_and(|a| source.kind(a.0) == Some(Kind::Punct))
    {
        return opposite();
    }
    match values(source, known, &arguments, path, 0) {
        Some(offer) => Some(offer),
        None => opposite(),
    }
}

/// Python's `assert x == 4, "message"`.
fn statement(source: &Source<'_>, at: usize, path: &[usize]) -> Option<Offer> {
    let end = source.statement_end(at + 1, source.len());
    if end - at > MAX_STATEMENT {
        return None;
    }
    let parts = source.split((at + 1, end), &[","]);
    condition::altered(source, *parts.first()?, Fails::WhenFalse, path)
}

/// Alters an assertion: a value in it, else the whole of it.
fn apply(
    source: &Source<'_>,
    at: usize,
    assertion: &Assertion,
    arguments: &[Span],
    path: &[usize],
    skip: usize,
) -> Option<Offer> {
    if let Some(offer) = values(source, assertion, arguments, path, skip) {
        return Some(offer);
    }
    if assertion.opposite == NOT {
        let (start, _) = source.bytes((at, at + 1));
        // `.not.toBe`, PHP's `->not->toBe`.
        let dot = source.at(at - 1);
        let edit = Edit {
            range: (start, start),
            text: format!("not{dot}"),
            altered: format!("{0} became not.{0}", assertion.name),
        };
        return Some(Offer { edit, mutator: "opposite-assertion", cost: OPPOSITE });
    }
    if assertion.opposite.is_empty() {
        return None;
    }
    let error = source.language.rules.strings == Strings::Go && assertion.name == "NoError";
    let edit = Edit {
        range: source.bytes((at, at + 1)),
        text: assertion.opposite.to_owned(),
        altered: format!("{} became {}", assertion.name, assertion.opposite),
    };
    Some(Offer { edit, mutator: "opposite-assertion", cost: if error { NO_ERROR } else { OPPOSITE } })
}

/// Alters a value of an assertion.
fn values(
    source: &Source<'_>,
    assertion: &Assertion,
    arguments: &[Span],
    path: &[usize],
    skip: usize,
) -> Option<Offer> {
    let operands: Vec<Span> =
        assertion.operands.iter().filter_map(|operand| arguments.get(operand + skip)).copied().collect();
    let expected = |edit: Edit| Some(Offer { edit, mutator: "expected-value", cost: VALUE });
    match assertion.how {
        How::Opposite => None,
        How::Equal | How::Near => {
            let compared = if assertion.how == How::Near { Compared::Nearly } else { Compared::Exactly };
            operand::pick(source, &operands, compared)
                .or_else(|| {
                    operands.iter().find_map(|operand| operand::bound(source, *operand, path, compared))
                })
                .and_then(expected)
        }
        How::Member => {
            let operand = *operands.first()?;
            let text = operand.1 - operand.0 == 1 && source.kind(operand.0) == Some(Kind::Str);
            let content = source.content(operand.0).unwrap_or_default();
            // One letter may be anywhere.
            (text && content.chars().count() >= 3)
                .then(|| operand::value(source, operand, Compared::Exactly))
                .flatten()
                .and_then(|value| expected(value.edit))
        }
        How::Regex => {
            let operand = *operands.first()?;
            if operand.1 - operand.0 != 1 || source.language.rules.strings == Strings::Go {
                return None;
            }
            // A text that is searched for as it is.
            if source.language.rules.strings == Strings::JavaScript
                && source.kind(operand.0) == Some(Kind::Str)
            {
                return operand::value(source, operand, Compared::Exactly)
                    .and_then(|value| expected(value.edit));
            }
            let text = literal::unmatchable(source.at(operand.0), source.tokens.get(operand.0)?)?;
            expected(edit(source, source.bytes(operand), text))
        }
        How::Raises => raises(source, *operands.first()?, arguments),
        How::True => {
            let operand = *operands.first()?;
            condition::compared(source, operand, Fails::WhenFalse, path).or_else(|| {
                // Without an opposite by name.
                assertion.opposite.is_empty().then(|| condition::negated(source, operand)).flatten()
            })
        }
    }
}

/// Another exception is expected.
fn raises(source: &Source<'_>, operand: Span, arguments: &[Span]) -> Option<Offer> {
    let offer = |range, text: String| {
        let edit = edit(source, range, text);
        Some(Offer { edit, mutator: "expected-exception", cost: RAISED })
    };
    let other = |known: &str, one: &str, another: &str| (if known == one { another } else { one }).to_owned();
    let range = source.bytes(operand);
    let last = source.at(operand.1.checked_sub(1)?);
    let name = operand.1 - operand.0 <= 5 && source.is_word(operand.0);
    match source.language.rules.strings {
        Strings::Python if name => offer(range, other(last, "ZeroDivisionError", "BufferError")),
        Strings::Ruby if name && last.starts_with(char::is_uppercase) => {
            offer(range, other(last, "ZeroDivisionError", "FloatDomainError"))
        }
        Strings::JavaScript => match source.kind(operand.0)? {
            Kind::Word if operand.1 - operand.0 == 1 && last.starts_with(char::is_uppercase) => {
                offer(range, other(last, "EvalError", "URIError"))
            }
            Kind::Str
                if operand.1 - operand.0 == 1
                    && source.content(operand.0)?.len() >= 3
                    && arguments.len() == 1 =>
            {
                operand::value(source, operand, Compared::Exactly).map(|value| Offer {
                    edit: value.edit,
                    mutator: "expected-value",
                    cost: VALUE,
                })
            }
            Kind::Regex if operand.1 - operand.0 == 1 => {
                let text = literal::unmatchable(source.at(operand.0), source.tokens.get(operand.0)?)?;
                offer(range, text)
            }
            _ => None,
        },
        // Its result has the exception's type where it is kept.
        Strings::Java => {
            let kept = source.tokens.get(operand.0).is_some_and(|_| {
                let open = operand.0.saturating_sub(2);
                !source.first(open) && !matches!(source.at(open.saturating_sub(1)), ";" | "{" | "}" | ".")
                    || source.is(open.saturating_sub(1), ".") && !source.first(open.saturating_sub(2))
            });
            (name && last == "class" && !kept)
                .then(|| offer(range, "java.util.EmptyStackException.class".to_owned()))
                .flatten()
        }
        Strings::Php if name && last == "class" => offer(range, "\\UnderflowException::class".to_owned()),
        _ => None,
    }
}

/// Names in a sentence.
pub fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}
