//! Branches for the very inputs that tests use.

use codex_worker_policy::Severity;

use crate::diff::{File, Line, Mark};
use crate::findings::{Findings, quote};

use super::evidence::Evidence;
use super::literals::{holds, is_number, literal_at_start, specific, trivial, unquoted};

const BRANCHES: usize = 100;

/// `if x == "abc": return 42`: on one line, or the return on the next.
pub fn special_cased(file: &File<'_>, evidence: &Evidence<'_>, findings: &mut Findings<'_>) {
    let remedy = "compute the result for every input, not for the ones that the tests use";
    let mut suspicious: Option<&Line<'_>> = None;
    let mut looked_at = 0;
    for hunk in &file.hunks {
        for (index, line) in hunk.iter().enumerate() {
            if line.mark != Mark::Added {
                continue;
            }
            let Some(condition) = condition(&line.code) else { continue };
            let tuple = compared_tuple(condition);
            let several = tuple.is_some() || condition.matches("==").count() >= 2;
            let inputs = tuple.unwrap_or_else(|| compared_literals(condition));
            if inputs.is_empty() {
                continue;
            }
            let rest = line.code.split_once(condition).map_or("", |(_, rest)| rest);
            let output = returned_literal(rest).or_else(|| {
                let next = hunk[index + 1..]
                    .iter()
                    .find(|l| l.mark != Mark::Removed && !l.code.trim().is_empty())?;
                (next.mark == Mark::Added).then(|| returned_literal(&next.code))?
            });
            let Some(output) = output else { continue };
            looked_at += 1;
            if looked_at > BRANCHES {
                break;
            }
            // What the planner's own words ask for is no secret of the tests.
            if inputs.iter().all(|input| holds(evidence.task, unquoted(input))) {
                continue;
            }
            let known = inputs
                .iter()
                .any(|input| !trivial(input) && evidence.joins(unquoted(input), unquoted(&output)));
            // Several parameters compared with plain numbers, and a plain number back.
            let numbers = inputs.len() >= 2
                && inputs.iter().all(|input| is_number(input))
                && inputs.iter().any(|i| !trivial(i))
                && is_number(&output)
                && several;
            if known || numbers {
                let message = format!("an input of the tests has a branch of its own: {}", quote(line.text));
                findings.add("input-special-cased", Some((file.path, line.number)), message, remedy);
                return;
            }
            let specific = inputs.iter().any(|input| specific(input)) && specific(&output);
            if specific {
                suspicious.get_or_insert(line);
            }
        }
    }
    if let Some(line) = suspicious {
        let message = format!("a result is written down for one input: {}", quote(line.text));
        findings.add_as(
            "input-special-cased",
            Severity::Warn,
            Some((file.path, line.number)),
            message,
            remedy,
        );
    }
}

/// The condition of an `if` that begins the line.
fn condition(code: &str) -> Option<&str> {
    let text = code.trim_start();
    let text = text.strip_prefix("} ").unwrap_or(text);
    let text = text
        .strip_prefix("else ")
        .or_else(|| text.strip_prefix("elif").map(|rest| &text[text.len() - rest.len() - 2..]))
        .unwrap_or(text);
    let rest = text.strip_prefix("if")?;
    if !rest.starts_with([' ', '(']) {
        return None;
    }
    let end =
        rest.find(" return ").or_else(|| rest.find('{')).or_else(|| rest.rfind(':')).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// The members of `(2, 3)` in `(a, b) == (2, 3)`, whichever side they are on.
fn compared_tuple(condition: &str) -> Option<Vec<String>> {
    let (left, right) = condition.split_once("==")?;
    let members = |side: &str| {
        let inner = side.trim().trim_start_matches('=').trim().strip_prefix('(')?.strip_suffix(')')?;
        let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
        (parts.len() >= 2).then(|| parts.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let (left, right) = (members(left)?, members(right)?);
    let literal = |parts: &[String]| parts.iter().all(|part| literal_at_start(part).as_ref() == Some(part));
    match (literal(&left), literal(&right)) {
        (false, true) => Some(right),
        (true, false) => Some(left),
        _ => None,
    }
}

/// The literals on either side of `==` or `===`.
fn compared_literals(condition: &str) -> Vec<String> {
    let mut found = Vec::new();
    let text = condition.replace("===", "==");
    let mut rest = text.as_str();
    while let Some((left, right)) = rest.split_once("==") {
        if let Some(literal) = literal_at_start(right) {
            found.push(literal);
        } else if let Some(last) = left.split_whitespace().next_back()
            && let Some(literal) = literal_at_start(last.trim_start_matches('('))
        {
            found.push(literal);
        }
        rest = right;
    }
    found
}

/// `return 42`, also after a colon or a brace.
fn returned_literal(code: &str) -> Option<String> {
    let text = code.trim_start_matches([' ', '\t', ':', '{', ')', '(']);
    let rest = text.strip_prefix("return")?;
    let rest = rest.trim_start_matches([' ', '(']);
    let literal = literal_at_start(rest)?;
    // Only the literal: `return 2 * x` computes something.
    let after = rest[literal.len().min(rest.len())..].trim_matches([' ', ';', '}', ')', ',']);
    after.is_empty().then_some(literal)
}
