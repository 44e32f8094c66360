//! Blocks by indentation.

use crate::lex::Kind;
use crate::source::{Block, Role, Source, Span};

const HEADERS: &[&str] = &[
    "def", "class", "if", "elif", "else", "for", "while", "try", "except", "finally", "with", "async",
    "match", "case",
];

/// A `with` that expects its body to raise, or swallows what it raises.
const RAISES: &[&str] = &[
    "raises",
    "assertRaises",
    "assertRaisesRegex",
    "assertWarns",
    "assertWarnsRegex",
    "warns",
    "deprecated_call",
    "suppress",
    "RaisesGroup",
    "assertNoLogs",
];

const SKIPS: &[&str] = &["skip", "skipif", "skipIf", "skipUnless", "xfail", "expectedFailure"];

/// Marks of tests that runs often leave out.
const KINDS: &[&str] =
    &["slow", "integration", "network", "online", "e2e", "gpu", "benchmark", "external", "remote", "manual"];

pub fn find(source: &Source<'_>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // Indentation of the header, and the block's index.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut decorators: Option<usize> = None;
    let mut start = 0;
    while start < source.len() {
        let end = line_end(source, start);
        let column = column(source, start);
        while let Some((indent, block)) = open.last().copied() {
            if column > indent {
                break;
            }
            blocks[block].body.1 = start;
            open.pop();
        }
        if source.is(start, "@") {
            decorators.get_or_insert(start);
            start = end;
            continue;
        }
        if let Some(mut block) = header(source, (start, end), decorators.take()) {
            if block.body.0 >= end {
                // The body is on the lines below.
                block.body = (end, source.len());
                open.push((column, blocks.len()));
            }
            blocks.push(block);
        }
        start = end;
    }
    for block in &mut blocks {
        block.body.1 = block.body.1.max(block.body.0);
    }
    blocks
}

/// The end of a logical line.
fn line_end(source: &Source<'_>, start: usize) -> usize {
    let mut at = source.next(start);
    while at < source.len() && !source.first(at) {
        at = source.next(at);
    }
    at
}

fn column(source: &Source<'_>, index: usize) -> usize {
    let Some(token) = source.tokens.get(index) else { return 0 };
    let before = &source.text.as_bytes()[..token.start as usize];
    let mut column = 0;
    for byte in before.iter().rev().take(4096).take_while(|byte| matches!(byte, b' ' | b'\t')) {
        column += if *byte == b'\t' { 8 } else { 1 };
    }
    column
}

fn header(source: &Source<'_>, line: Span, decorators: Option<usize>) -> Option<Block> {
    let (mut start, end) = line;
    let head = decorators.unwrap_or(start);
    if !source.is_word(start) || !HEADERS.contains(&source.at(start)) {
        return None;
    }
    if source.is(start, "async") {
        start += 1;
    }
    let mut colon = start;
    while colon < end && !source.is(colon, ":") {
        colon = source.next(colon);
    }
    if colon >= end {
        return None;
    }
    let block = Block::new(head, (colon + 1, end), Role::Branch);
    let span = (start, colon);
    let decorated = (head, start);
    let role = match source.at(start) {
        "class" => {
            let mut block = Block { role: Role::Suite, ..block }.named(source.at(start + 1));
            block.skipped = source.has_word(decorated, SKIPS);
            block.unsure = source.has_word(decorated, KINDS);
            return Some(block);
        }
        "def" => {
            let name = source.at(start + 1);
            let test = name.starts_with("test") && !source.has_word(decorated, &["fixture"]);
            let mut block =
                Block { role: if test { Role::Test } else { Role::Function }, ..block }.named(name);
            block.skipped = source.has_word(decorated, SKIPS);
            block.unsure = source.has_word(decorated, KINDS);
            return Some(block);
        }
        "for" | "while" => Role::Loop,
        "with" if !source.has_word(span, RAISES) => Role::Plain,
        "finally" => Role::Plain,
        // What a script runs.
        "if" if source.is(start + 1, "__name__") => Role::Plain,
        _ => Role::Branch,
    };
    Some(Block { role, ..block })
}

/// The whole file is skipped.
pub fn skips_all(source: &Source<'_>) -> bool {
    let mark = (0..source.len()).find(|at| source.first(*at) && source.is(*at, "pytestmark"));
    mark.is_some_and(|at| source.has_word((at, line_end(source, at)), SKIPS))
        || (0..source.len())
            .any(|at| source.kind(at) == Some(Kind::Word) && source.is(at, "allow_module_level"))
}
