//! Blocks that end with `end`, and braces that are blocks.

use crate::blocks::fixed_title;
use crate::lex::Kind;
use crate::source::{Block, Role, Source};

/// What is open.
struct Opened {
    /// An index of the blocks; none for what is not recorded.
    block: Option<usize>,
    /// A `while … do` whose `do` opens nothing.
    takes_do: bool,
    /// It ends with a brace.
    brace: bool,
}

pub fn find(source: &Source<'_>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Vec<Opened> = Vec::new();
    let mut line = 0;
    for at in 0..source.len() {
        if source.first(at) {
            line = at;
        }
        match source.kind(at) {
            Some(Kind::Open) if source.is(at, "{") => {
                let block = opens_block(source, at).then(|| {
                    blocks.push(called(source, at, line));
                    blocks.len() - 1
                });
                open.push(Opened { block, takes_do: false, brace: true });
            }
            Some(Kind::Close) if source.is(at, "}") => {
                while let Some(opened) = open.pop() {
                    if let Some(block) = opened.block {
                        blocks[block].body.1 = at;
                    }
                    if opened.brace {
                        break;
                    }
                }
            }
            Some(Kind::Word) => keyword(source, at, line, &mut blocks, &mut open),
            _ => {}
        }
    }
    blocks
}

fn keyword(source: &Source<'_>, at: usize, line: usize, blocks: &mut Vec<Block>, open: &mut Vec<Opened>) {
    let before = at.checked_sub(1).map_or("", |before| source.at(before));
    // `x.class`, `end: 1`, `def if`.
    if matches!(before, "." | "&." | "::" | "def") || (source.is(at + 1, ":") && !source.is(at, "else")) {
        return;
    }
    let starts = at == line
        || matches!(before, ";" | "=" | "(" | "then" | "do" | "{" | "||=" | "return" | "+=" | "<<");
    let body = (at + 1, source.len());
    let (block, takes_do) = match source.at(at) {
        "class" | "module" if starts => {
            let mut name = at + 1;
            while source.is(name + 1, "::") {
                name += 2;
            }
            (Block::new(at, body, Role::Suite).named(source.at(name)), false)
        }
        "def" if at == line || matches!(before, "private" | "public" | ";") => {
            let name = source.at(at + 1);
            // `def name = value`
            let mut after = at + 2;
            if source.is(after, "(") {
                after = source.pair(after) + 1;
            }
            if source.is(after, "=") {
                return;
            }
            let role = if name.starts_with("test_") { Role::Test } else { Role::Function };
            (Block::new(at, body, role).named(name), false)
        }
        "if" | "unless" | "case" | "begin" if starts => (Block::new(at, body, Role::Branch), false),
        "while" | "until" | "for" if starts => (Block::new(at, body, Role::Loop), true),
        "do" => {
            if let Some(opened) = open.last_mut().filter(|opened| opened.takes_do) {
                opened.takes_do = false;
                return;
            }
            (called(source, at, line), false)
        }
        "end" => {
            if open.last().is_some_and(|opened| !opened.brace)
                && let Some(Opened { block: Some(block), .. }) = open.pop()
            {
                blocks[block].body.1 = at;
            }
            return;
        }
        _ => return,
    };
    blocks.push(block);
    open.push(Opened { block: Some(blocks.len() - 1), takes_do, brace: false });
}

/// Whether a brace opens a block, not a hash.
fn opens_block(source: &Source<'_>, at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else { return false };
    match source.kind(before) {
        Some(Kind::Word) => {
            !matches!(source.at(before), "return" | "puts" | "eq" | "eql" | "and" | "or" | "when" | "in")
        }
        Some(Kind::Close) => true,
        Some(Kind::Str) => source.first(before.saturating_sub(1)),
        _ => false,
    }
}

/// The block of a call: `it "adds" do`, `3.times do |i|`, `expect { … }`.
fn called(source: &Source<'_>, at: usize, line: usize) -> Block {
    let block = Block::new(line, (at + 1, source.len()), Role::Function);
    let mut name = line;
    if source.is(name, "RSpec") && source.is(name + 1, ".") {
        name += 2;
    }
    let argument = if source.is(name + 1, "(") { name + 2 } else { name + 1 };
    let title = match source.kind(argument) {
        Some(Kind::Str) if argument < at => {
            fixed_title(source.content(argument).unwrap_or_default()).to_owned()
        }
        Some(Kind::Word) if argument < at => source.at(argument).to_owned(),
        _ => String::new(),
    };
    match source.at(name) {
        "it" | "specify" | "example" | "scenario" => Block { role: Role::Test, ..block }.named(title),
        // Rails makes `test_adds_two` of it.
        "test" | "should" => Block { role: Role::Test, ..block }.named(title.replace(' ', "_")),
        "describe" | "context" | "feature" => Block { role: Role::Suite, ..block }.named(title),
        "xit" | "xspecify" | "pending" | "skip" => Block { role: Role::Test, skipped: true, ..block },
        "xdescribe" | "xcontext" => Block { role: Role::Suite, skipped: true, ..block },
        "fit" | "fdescribe" | "fcontext" => {
            let role = if source.is(name, "fit") { Role::Test } else { Role::Suite };
            Block { role, only: true, ..block }.named(title)
        }
        _ => {
            let calls = (line..at).rev().take(40).filter(|index| source.is_word(*index));
            let mut role = Role::Function;
            for word in calls {
                match source.at(word) {
                    "each" | "times" | "map" | "each_with_index" | "upto" | "each_pair" | "loop" => {
                        role = Role::Loop;
                        break;
                    }
                    "aggregate_failures" | "tap" | "open" | "capture_io" | "travel_to" | "freeze_time"
                    | "mktmpdir" | "chdir" | "subTest" => {
                        role = Role::Plain;
                        break;
                    }
                    _ => {}
                }
            }
            Block { role, ..block }
        }
    }
}
