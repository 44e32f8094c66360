//! A file that was read: its tokens, its blocks, and what stands where.

use std::cell::Cell;

use crate::language::Language;
use crate::lex::{self, Kind, LexError, Token};

/// A range of tokens, half-open.
pub type Span = (usize, usize);

/// The most tokens of one range that are looked at.
pub const MAX_LOOK: usize = 400;

/// The most tokens of a statement; what has more is left alone.
pub const MAX_STATEMENT: usize = 10 * MAX_LOOK;

/// What a block of statements is to a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A class, a module, a `describe`: its name is part of its tests' names.
    Suite,
    /// A test's body.
    Test,
    /// Runs whenever what is around it runs.
    Plain,
    /// Runs any number of times, perhaps none.
    Loop,
    /// Runs or not: branches, handlers, bodies that are expected to raise.
    Branch,
    /// Runs when something calls it.
    Function,
}

/// A block of statements.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where its header begins: decorators, attributes, the words before its brace.
    pub head: usize,
    /// The tokens of its body.
    pub body: Span,
    pub role: Role,
    /// What a runner calls it; empty if it does not.
    pub name: String,
    /// It is marked as skipped, ignored or expected to fail.
    pub skipped: bool,
    /// The runner runs nothing but this.
    pub only: bool,
    /// It is marked as of a kind that runners are often told to leave out.
    pub unsure: bool,
}

impl Block {
    pub fn new(head: usize, body: Span, role: Role) -> Self {
        Block { head, body, role, name: String::new(), skipped: false, only: false, unsure: false }
    }

    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

/// Where lines begin.
#[derive(Debug)]
pub struct LineIndex(Vec<usize>);

impl LineIndex {
    pub fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        LineIndex(ends.map(|(at, _)| at).collect())
    }

    /// The line of a byte, from 1.
    pub fn of(&self, at: usize) -> u32 {
        1 + self.0.partition_point(|end| *end < at) as u32
    }
}

/// A file's text with what was read from it.
pub struct Source<'a> {
    pub text: &'a str,
    pub language: &'static Language,
    pub tokens: Vec<Token>,
    /// In the order of their bodies' beginnings.
    pub blocks: Vec<Block>,
    pub lines: LineIndex,
    /// Tokens that may still be looked at for what names are bound to, so that the time
    /// stays in proportion however many assertions share a test.
    fuel: Cell<usize>,
}

impl<'a> Source<'a> {
    /// Reads a text.
    ///
    /// # Errors
    /// It cannot be read as this language.
    pub fn read(text: &'a str, language: &'static Language) -> Result<Self, LexError> {
        let tokens = lex::lex(text, &language.rules)?;
        let fuel = Cell::new(tokens.len().saturating_mul(8) + 100_000);
        let lines = LineIndex::new(text);
        let mut source = Source { text, language, tokens, blocks: Vec::new(), lines, fuel };
        let mut blocks = (language.blocks)(&source);
        blocks.sort_by_key(|block| (block.body.0, std::cmp::Reverse(block.body.1)));
        source.blocks = blocks;
        Ok(source)
    }

    /// Whether as many tokens may be looked at; takes them.
    pub fn spend(&self, tokens: usize) -> bool {
        let left = self.fuel.get();
        self.fuel.set(left.saturating_sub(tokens));
        tokens <= left
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// A token's text; empty past the end.
    pub fn at(&self, index: usize) -> &'a str {
        self.tokens
            .get(index)
            .and_then(|token| self.text.get(token.start as usize..token.end as usize))
            .unwrap_or_default()
    }

    pub fn kind(&self, index: usize) -> Option<Kind> {
        self.tokens.get(index).map(|token| token.kind)
    }

    pub fn is(&self, index: usize, text: &str) -> bool {
        self.at(index) == text
    }

    pub fn is_word(&self, index: usize) -> bool {
        self.kind(index) == Some(Kind::Word)
    }

    /// A bracket's partner.
    pub fn pair(&self, index: usize) -> usize {
        self.tokens.get(index).map_or(0, |token| token.pair as usize)
    }

    pub fn first(&self, index: usize) -> bool {
        self.tokens.get(index).is_none_or(|token| token.first)
    }

    /// The bytes of a range of tokens; empty if the range is.
    pub fn bytes(&self, span: Span) -> (usize, usize) {
        if span.0 >= span.1 {
            let at = self.tokens.get(span.0).map_or(self.text.len(), |token| token.start as usize);
            return (at, at);
        }
        let start = self.tokens.get(span.0).map_or(self.text.len(), |token| token.start as usize);
        let end = self.tokens.get(span.1 - 1).map_or(self.text.len(), |token| token.end as usize);
        (start, end)
    }

    /// The text of a range of tokens.
    pub fn slice(&self, span: Span) -> &'a str {
        let (start, end) = self.bytes(span);
        self.text.get(start..end).unwrap_or_default()
    }

    /// A string's content.
    pub fn content(&self, index: usize) -> Option<&'a str> {
        let token = self.tokens.get(index).filter(|token| token.kind == Kind::Str)?;
        let (start, end) = (token.start as usize + token.lead as usize, token.end as usize);
        self.text.get(start..end.checked_sub(token.tail as usize)?)
    }

    /// Whether a range begins with tokens that hold one of these words: looks at no more than
    /// [`MAX_LOOK`], so that the time stays in proportion however ranges nest.
    pub fn has_word(&self, span: Span, words: &[&str]) -> bool {
        (span.0..span.1.min(self.len()))
            .take(MAX_LOOK)
            .any(|index| self.is_word(index) && words.contains(&self.at(index)))
    }

    /// The next token on the same level: past the partner of a bracket.
    pub fn next(&self, index: usize) -> usize {
        match self.kind(index) {
            Some(Kind::Open) => self.pair(index) + 1,
            _ => index + 1,
        }
    }

    /// The token before on the same level.
    pub fn before(&self, index: usize) -> Option<usize> {
        let before = index.checked_sub(1)?;
        Some(if self.kind(before) == Some(Kind::Close) { self.pair(before) } else { before })
    }

    /// Splits a range at a punctuation mark on its own level.
    pub fn split(&self, span: Span, marks: &[&str]) -> Vec<Span> {
        let mut parts = Vec::new();
        let mut from = span.0;
        let mut at = span.0;
        while at < span.1 {
            if marks.contains(&self.at(at)) {
                parts.push((from, at));
                from = at + 1;
            }
            at = self.next(at);
        }
        if from < span.1 {
            parts.push((from, span.1));
        }
        parts
    }

    /// The arguments of a call whose bracket opens at `open`.
    pub fn arguments(&self, open: usize) -> Vec<Span> {
        self.split((open + 1, self.pair(open)), &[","])
    }

    /// The end of the statement that begins at or before `at`: of a logical line, or at `;`.
    /// It is looked for no further than [`MAX_STATEMENT`].
    pub fn statement_end(&self, at: usize, limit: usize) -> usize {
        let mut index = at;
        let limit = limit.min(at + MAX_STATEMENT);
        while index < limit {
            if index > at && self.first(index) && self.breaks_before(index) {
                return index;
            }
            if self.is(index, ";") || self.kind(index) == Some(Kind::Close) {
                return index;
            }
            index = self.next(index);
        }
        limit
    }

    /// Whether the line break before this token ends a statement.
    pub fn breaks_before(&self, index: usize) -> bool {
        use crate::language::Lines;
        match self.language.lines {
            Lines::Free => false,
            Lines::Logical => true,
            Lines::Open => {
                let Some(before) = index.checked_sub(1) else { return true };
                let goes_on =
                    self.kind(before) == Some(Kind::Punct) && !matches!(self.at(before), "++" | "--" | ";");
                let joins = matches!(
                    self.at(index),
                    "." | "?."
                        | "&."
                        | "->"
                        | "&&"
                        | "||"
                        | "?"
                        | ":"
                        | "=="
                        | "!="
                        | "="
                        | "+"
                        | "{"
                        | ","
                        | "=>"
                );
                !goes_on && !joins
            }
        }
    }
}
