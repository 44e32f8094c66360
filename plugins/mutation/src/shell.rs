//! Shell scripts and bats: commands of words, and the conditions that make a script fail.

use crate::lex::{Kind, LexError, Strings, Token};
use crate::literal::{self, Compared};
use crate::operand::{Edit, shown};
use crate::oracle::{Candidate, Found, OPPOSITE, VALUE};
use crate::source::LineIndex;

/// A word of a command, or what stands between commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Item {
    start: usize,
    end: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// A word; the quotes around it when it is one quoted text, and whether anything in it
    /// is expanded.
    Word {
        quotes: usize,
        expands: bool,
    },
    /// `;`, `&&`, `|`, `(`, …
    Operator,
    Newline,
}

const MAX_NESTING: usize = 64;

/// Splits a script.
fn items(text: &str) -> Result<Vec<Item>, LexError> {
    let bytes = text.as_bytes();
    let mut items: Vec<Item> = Vec::new();
    let mut heredocs: Vec<(String, bool)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\n' => {
                items.push(Item { start: at, end: at + 1, what: What::Newline });
                at += 1;
                for (tag, tabs) in std::mem::take(&mut heredocs) {
                    at = heredoc_end(text, at, &tag, tabs)?;
                }
            }
            b' ' | b'\t' | b'\r' => at += 1,
            b'\\' if bytes.get(at + 1) == Some(&b'\n') => at += 2,
            b'#' => at = text[at..].find('\n').map_or(bytes.len(), |end| at + end),
            b'<' if text[at..].starts_with("<<") && !text[at..].starts_with("<<<") => {
                let tabs = bytes.get(at + 2) == Some(&b'-');
                let mut from = at + 2 + usize::from(tabs);
                while bytes.get(from) == Some(&b' ') {
                    from += 1;
                }
                let length = text[from..]
                    .find(|c: char| c.is_whitespace() || matches!(c, ';' | '|' | '&' | ')' | '>'))
                    .unwrap_or(text.len() - from);
                let tag = text[from..from + length].replace(['\'', '"', '\\'], "");
                if tag.is_empty() {
                    at += 2;
                } else {
                    heredocs.push((tag, tabs));
                    at = from + length;
                }
            }
            b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' => {
                let length = ["&&", "||", ";;", "<<<", ">>", ">&", "<&", "&>"]
                    .iter()
                    .find(|op| text[at..].starts_with(**op))
                    .map_or(1, |op| op.len());
                items.push(Item { start: at, end: at + length, what: What::Operator });
                at += length;
            }
            _ => {
                let item = word(text, at)?;
                items.push(item);
                at = item.end.max(at + 1);
            }
        }
    }
    Ok(items)
}

fn heredoc_end(text: &str, from: usize, tag: &str, tabs: bool) -> Result<usize, LexError> {
    let mut at = from;
    while at < text.len() {
        let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
        let line = &text[at..end];
        let line = if tabs { line.trim_start_matches('\t') } else { line };
        if line.trim_end_matches('\r') == tag {
            return Ok(end);
        }
        at = (end + 1).min(text.len());
        if end == text.len() {
            break;
        }
    }
    Err(LexError { at: from, what: "a heredoc is not closed" })
}

/// One word: quotes, expansions and command substitutions within it belong to it.
fn word(text: &str, start: usize) -> Result<Item, LexError> {
    #[derive(PartialEq, Clone, Copy)]
    enum Level {
        Bare,
        Double,
        Paren,
        Brace,
        Tick,
    }
    let bytes = text.as_bytes();
    let error = LexError { at: start, what: "a string is not closed" };
    let mut levels = vec![Level::Bare];
    let mut expands = false;
    let mut at = start;
    while let Some(level) = levels.last().copied() {
        let Some(byte) = bytes.get(at).copied() else {
            if level == Level::Bare {
                break;
            }
            return Err(error);
        };
        match byte {
            b'\\' => at += 2,
            b'\'' if level != Level::Double => {
                let end = bytes[at + 1..].iter().position(|b| *b == b'\'').ok_or(error)?;
                // `$'…'` has escapes.
                if at > start && bytes[at - 1] == b'$' {
                    expands = true;
                }
                at += end + 2;
            }
            b'"' => {
                if level == Level::Double {
                    levels.pop();
                } else {
                    levels.push(Level::Double);
                }
                at += 1;
            }
            b'$' if bytes.get(at + 1) == Some(&b'(') => {
                expands = true;
                levels.push(Level::Paren);
                at += 2;
            }
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                expands = true;
                levels.push(Level::Brace);
                at += 2;
            }
            b'$' => {
                expands |=
                    bytes.get(at + 1).is_some_and(|b| b.is_ascii_alphanumeric() || b"_?#@*!$-".contains(b));
                at += 1;
            }
            b'`' => {
                expands = true;
                if level == Level::Tick {
                    levels.pop();
                } else {
                    levels.push(Level::Tick);
                }
                at += 1;
            }
            b'(' if level == Level::Paren => {
                levels.push(Level::Paren);
                at += 1;
            }
            b')' if level == Level::Paren => {
                levels.pop();
                at += 1;
            }
            b'}' if level == Level::Brace => {
                levels.pop();
                at += 1;
            }
            b' ' | b'\t' | b'\r' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>'
                if level == Level::Bare =>
            {
                break;
            }
            b'#' if level == Level::Paren
                && bytes.get(at.wrapping_sub(1)).is_some_and(|b| b.is_ascii_whitespace()) =>
            {
                at = text[at..].find('\n').map_or(bytes.len(), |end| at + end);
            }
            _ => at += 1,
        }
        if levels.len() > MAX_NESTING {
            return Err(LexError { at, what: "strings within strings are nested too deep" });
        }
    }
    let end = at.min(bytes.len());
    let piece = &bytes[start..end];
    let quote = piece.first().copied().filter(|byte| matches!(byte, b'"' | b'\'')).unwrap_or(0);
    let whole = quote != 0
        && piece.len() >= 2
        && piece.last() == Some(&quote)
        && !piece[1..piece.len() - 1].contains(&quote);
    Ok(Item { start, end, what: What::Word { quotes: usize::from(whole), expands } })
}

/// What is open around a command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    /// A test: bats' `@test`, shunit2's `test_…`.
    Test(String),
    /// A function that something may call.
    Function(String),
    /// `if`, `case`.
    Branch,
    Loop,
    /// `{ … }`, `( … )`.
    Group,
}

struct Script<'a> {
    text: &'a str,
    items: Vec<Item>,
    /// A command that fails ends the script.
    strict: bool,
    bats: bool,
    /// What functions of the script compare: the positions of their arguments.
    helpers: Vec<(&'a str, Vec<usize>)>,
    lines: LineIndex,
}

/// Words that stand before a command.
const PREFIXES: &[&str] = &["if", "then", "else", "elif", "do", "while", "until", "{", "!", "time"];
/// The most functions of a script that are known as assertions.
const MAX_HELPERS: usize = 64;
/// The most words of a function that are looked at.
const MAX_BODY: usize = 2000;

fn redirects(operator: &str) -> bool {
    matches!(operator, ">" | "<" | ">>" | ">&" | "<&" | "&>" | "<<<")
}

/// When the script fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    WhenTrue,
    WhenFalse,
}

/// Looks for what can be altered.
///
/// # Errors
/// The script cannot be read.
pub fn find(path: &str, text: &str) -> Result<Found, LexError> {
    let items = items(text)?;
    let bats = path.ends_with(".bats");
    let mut script =
        Script { text, items, strict: false, bats, helpers: Vec::new(), lines: LineIndex::new(text) };
    script.strict = script.is_strict();
    script.helpers = script.find_helpers();
    Ok(script.mutants())
}

impl<'a> Script<'a> {
    fn at(&self, index: usize) -> &'a str {
        self.items.get(index).map_or("", |item| &self.text[item.start..item.end])
    }

    fn is_word(&self, index: usize) -> bool {
        self.items.get(index).is_some_and(|item| matches!(item.what, What::Word { .. }))
    }

    /// A command begins here.
    fn begins(&self, index: usize) -> bool {
        // Keywords may precede it; nobody writes more than a few.
        for before in (0..index).rev().take(8) {
            match self.items[before].what {
                What::Newline => return true,
                What::Operator => return !redirects(self.at(before)),
                What::Word { .. } if PREFIXES.contains(&self.at(before)) => {}
                What::Word { .. } => return false,
            }
        }
        index <= 8
    }

    /// The end of the command at `index`: its words.
    fn command_end(&self, index: usize) -> usize {
        let mut end = index;
        while end < self.items.len() {
            match self.items[end].what {
                What::Word { .. } => end += 1,
                What::Operator if matches!(self.at(end), ">" | "<" | ">>" | ">&" | "<&" | "&>" | "<<<") => {
                    end += 1
                }
                // `[[ a && b ]]`, `[[ x =~ (y) ]]`
                What::Operator if self.is(index, "[[") && !self.closed(index, end) => end += 1,
                _ => break,
            }
        }
        end
    }

    fn closed(&self, from: usize, to: usize) -> bool {
        (from..to).rev().take(4).any(|index| self.is(index, "]]"))
    }

    fn is(&self, index: usize, text: &str) -> bool {
        self.at(index) == text
    }

    fn is_strict(&self) -> bool {
        let shebang = self.text.lines().next().unwrap_or_default();
        let flags = |words: &str| {
            words.split_whitespace().any(|word| {
                word.starts_with('-')
                    && !word.starts_with("--")
                    && word[1..].chars().all(char::is_alphabetic)
                    && word.contains('e')
            })
        };
        shebang.starts_with("#!") && flags(shebang)
            || (0..self.items.len()).any(|index| {
                self.is(index, "set") && self.begins(index) && {
                    let end = self.command_end(index);
                    (index + 1..end).any(|word| flags(self.at(word)) || self.is(word, "errexit"))
                }
            })
    }

    /// A command that makes the script fail, or notes that it must.
    fn fails(&self, index: usize) -> bool {
        let word = self.at(index);
        match word {
            "exit" | "return" => !matches!(self.at(index + 1), "0" | "") && self.is_word(index + 1),
            "false" | "fail" | "die" | "error" | "abort" | "fatal" | "flunk" => true,
            _ => {
                let Some((name, value)) = word.split_once('=') else { return false };
                let name = name.trim_end_matches('+').to_ascii_lowercase();
                let noted = ["fail", "err", "status", "rc", "ret", "bad", "code", "result", "exit"];
                noted.iter().any(|start| name.starts_with(start)) && !matches!(value, "0" | "" | "\"\"")
            }
        }
    }

    /// Whether the command after `&&` or `||` fails: one command, or a group of them.
    fn fails_next(&self, index: usize) -> bool {
        let mut at = index;
        while self.items.get(at).is_some_and(|item| item.what == What::Newline) {
            at += 1;
        }
        if !matches!(self.at(at), "{" | "(") {
            return self.fails(at);
        }
        let close = if self.is(at, "{") { "}" } else { ")" };
        (at + 1..self.items.len())
            .take(64)
            .take_while(|index| !self.is(*index, close))
            .any(|index| self.begins(index) && self.fails(index))
    }

    /// Of the `if` whose condition ends before `index`: whether its branches fail.
    fn branches(&self, index: usize) -> (bool, bool) {
        let mut depth = 0;
        let mut fails = (false, false);
        let mut other = false;
        for at in (index..self.items.len()).take(400) {
            if !self.begins(at) {
                continue;
            }
            match self.at(at) {
                "if" | "case" | "for" | "while" | "until" => depth += 1,
                "fi" | "esac" | "done" if depth > 0 => depth -= 1,
                "fi" => break,
                "else" if depth == 0 => other = true,
                "elif" if depth == 0 => break,
                // `[ … ] || exit 1` is an assertion of its own.
                _ if self.fails(at) && !matches!(self.at(at - 1), "||" | "&&") => {
                    if other {
                        fails.1 = true;
                    } else {
                        fails.0 = true;
                    }
                }
                _ => {}
            }
        }
        fails
    }

    /// When the script fails on the outcome of the command from `index` to `end`.
    fn outcome(&self, index: usize, end: usize) -> Option<Fails> {
        let negated = index > 0 && self.is(index - 1, "!");
        let keyword = index.checked_sub(1 + usize::from(negated)).map_or("", |before| self.at(before));
        let fails = match self.at(end) {
            "||" if self.fails_next(end + 1) => Some(Fails::WhenFalse),
            "&&" if self.fails_next(end + 1) => Some(Fails::WhenTrue),
            "&&" | "||" | "|" => None,
            _ if matches!(keyword, "if" | "elif") => match self.branches(end) {
                (true, false) => Some(Fails::WhenTrue),
                (false, true) => Some(Fails::WhenFalse),
                _ => None,
            },
            _ if matches!(keyword, "while" | "until") => None,
            // `! [ … ]` ends nothing, also where commands that fail do.
            _ if negated => None,
            _ if self.bats || self.strict => Some(Fails::WhenFalse),
            _ => None,
        }?;
        Some(match (fails, negated) {
            (fails, false) => fails,
            (Fails::WhenTrue, true) => Fails::WhenFalse,
            (Fails::WhenFalse, true) => Fails::WhenTrue,
        })
    }

    fn edit(&self, index: usize, text: String) -> Edit {
        let item = self.items[index];
        let altered = format!("expected {} became {}", shown(self.at(index)), shown(&text));
        Edit { range: (item.start, item.end), text, altered }
    }

    /// Another text or number in the place of a word without expansions.
    fn other(&self, index: usize) -> Option<Edit> {
        let item = self.items.get(index)?;
        let What::Word { quotes, expands } = item.what else { return None };
        let text = self.at(index);
        if expands || text.contains(['*', '?', '\\']) && quotes == 0 || text.len() > 4096 {
            return None;
        }
        let bare = &text[quotes..text.len() - quotes];
        let number = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
        let (lead, kind) = if number { (0, Kind::Number) } else { (quotes as u8, Kind::Str) };
        let token = Token { start: 0, end: text.len() as u32, pair: 0, kind, first: false, lead, tail: lead };
        let other = if number {
            let other = literal::other(bare, &token, Strings::Go, Compared::Exactly)?;
            format!("{}{other}{}", &text[..quotes], &text[text.len() - quotes..])
        } else {
            literal::other(text, &token, Strings::Go, Compared::Exactly)?
        };
        Some(self.edit(index, other))
    }

    fn expands(&self, index: usize) -> bool {
        self.items.get(index).is_some_and(|item| matches!(item.what, What::Word { expands: true, .. }))
    }

    /// `[ "$x" = 4 ]`
    fn test_command(&self, index: usize, end: usize) -> Option<(Edit, u8)> {
        let fails = self.outcome(index, end)?;
        let inner = (
            index + 1,
            if self.is(index, "test") {
                end
            } else {
                (index + 1..end).find(|at| matches!(self.at(*at), "]" | "]]"))?
            },
        );
        let words: Vec<usize> = (inner.0..inner.1).collect();
        if words.iter().any(|word| matches!(self.at(*word), "-a" | "-o" | "&&" | "||" | "(")) {
            return None;
        }
        if let [left, operator, right] = words[..] {
            let equal = matches!(self.at(operator), "=" | "==" | "-eq");
            let differs = matches!(self.at(operator), "!=" | "-ne");
            if equal && fails == Fails::WhenFalse || differs && fails == Fails::WhenTrue {
                let edit = match (self.expands(left), self.expands(right)) {
                    (true, false) => self.other(right),
                    (false, true) => self.other(left),
                    _ => None,
                };
                if let Some(edit) = edit {
                    return Some((edit, VALUE));
                }
            }
        }
        if self.is(inner.0, "!") {
            return None;
        }
        let item = self.items[index];
        let edit = Edit {
            range: (item.end, item.end),
            text: " !".to_owned(),
            altered: format!(
                "{} was negated",
                crate::oracle::quoted(&self.text[item.start..self.items[end - 1].end])
            ),
        };
        Some((edit, OPPOSITE))
    }

    /// `grep -q text file`
    fn grep(&self, index: usize, end: usize) -> Option<(Edit, u8)> {
        // In a pipe the outcome is the last command's.
        if self.outcome(index, end)? != Fails::WhenFalse {
            return None;
        }
        let pattern = (index + 1..end).find(|word| !self.at(*word).starts_with('-'))?;
        if (index + 1..pattern).any(|word| self.at(word).contains('v') && !self.at(word).starts_with("--")) {
            return None;
        }
        let plain = self.at(pattern).trim_matches(['"', '\'']).len() >= 3;
        plain.then(|| self.other(pattern)).flatten().map(|edit| (edit, VALUE))
    }

    /// `assert_equal "$(add 2 2)" 4`, and functions of the script that compare.
    fn helper(&self, index: usize, end: usize) -> Option<(Edit, u8)> {
        let name = self.at(index);
        let argument =
            |position: usize| Some(index + position).filter(|word| *word < end && self.is_word(*word));
        if let Some((_, positions)) = self.helpers.iter().find(|(helper, _)| *helper == name) {
            let compared: Vec<usize> = positions.iter().filter_map(|position| argument(*position)).collect();
            let actual = compared.iter().any(|word| self.expands(*word));
            let edit = compared.iter().find_map(|word| actual.then(|| self.other(*word)).flatten());
            return edit.map(|edit| (edit, VALUE));
        }
        let rename = |to: &str| {
            let mut edit = self.edit(index, to.to_owned());
            edit.altered = format!("{name} became {to}");
            Some((edit, OPPOSITE))
        };
        match name {
            "assert_output" | "assert_line" | "assert_stderr" => {
                let last = argument(end - index - 1)?;
                let plain =
                    (index + 1..last).all(|word| matches!(self.at(word), "--partial" | "-p" | "--stdin"));
                (plain && self.at(last).len() >= 3)
                    .then(|| self.other(last))
                    .flatten()
                    .map(|edit| (edit, VALUE))
            }
            "assert_equal" => self.other(argument(2)?).map(|edit| (edit, VALUE)),
            "assert_success" => rename("assert_failure"),
            "assert_failure" => match argument(1) {
                Some(code) => self.other(code).map(|edit| (edit, VALUE)),
                None => rename("assert_success"),
            },
            // shunit2 takes a message first.
            "assertEquals" | "assertSame" => {
                let expected = if end - index > 3 { 2 } else { 1 };
                self.other(argument(expected)?).map(|edit| (edit, VALUE))
            }
            "assertTrue" => rename("assertFalse"),
            "assertFalse" => rename("assertTrue"),
            _ => None,
        }
    }

    /// Functions that compare their arguments: which.
    fn find_helpers(&self) -> Vec<(&'a str, Vec<usize>)> {
        let mut helpers = Vec::new();
        let mut index = 0;
        while index < self.items.len() && helpers.len() < MAX_HELPERS {
            let Some((name, body)) = self.function(index) else {
                index += 1;
                continue;
            };
            let end = self.group_end(body);
            let mut positions = Vec::new();
            let mut fails = false;
            for at in (body..end).take(400) {
                fails |= self.begins(at) && self.fails(at);
                if !matches!(self.at(at), "=" | "==" | "!=" | "-eq" | "-ne") {
                    continue;
                }
                for side in [at.wrapping_sub(1), at + 1] {
                    let word = self.at(side).trim_matches('"').trim_matches(['{', '}']);
                    if let Some(Ok(position)) =
                        word.strip_prefix('$').map(|n| n.trim_matches(['{', '}']).parse::<usize>())
                    {
                        positions.push(position);
                    } else if let Some(name) = word.strip_prefix('$') {
                        // `local want=$2`
                        let bound = |word: usize| {
                            let (left, right) = self.at(word).split_once('=')?;
                            (left == name)
                                .then(|| right.trim_matches(['"', '$', '{', '}']).parse::<usize>().ok())
                                .flatten()
                        };
                        positions.extend((body..at).rev().take(64).find_map(bound));
                    }
                }
            }
            if positions.len() >= 2 && fails {
                helpers.push((name, positions));
            }
            index = body;
        }
        helpers
    }

    /// `name() {` or `function name {` at `index`: the name, and where the body begins.
    fn function(&self, index: usize) -> Option<(&'a str, usize)> {
        if !self.begins(index) || !self.is_word(index) {
            return None;
        }
        let name = if self.is(index, "function") { index + 1 } else { index };
        let mut at = name + 1;
        if self.is(at, "(") && self.is(at + 1, ")") {
            at += 2;
        } else if !self.is(index, "function") {
            return None;
        }
        while self.items.get(at).is_some_and(|item| item.what == What::Newline) {
            at += 1;
        }
        self.is(at, "{").then(|| (self.at(name), at + 1))
    }

    /// Where the group that begins before `index` ends.
    fn group_end(&self, index: usize) -> usize {
        let mut depth = 0;
        let limit = self.items.len().min(index + MAX_BODY);
        for at in index..limit {
            if !self.begins(at) {
                continue;
            }
            match self.at(at) {
                "{" => depth += 1,
                "}" if depth == 0 => return at,
                "}" => depth -= 1,
                _ => {}
            }
        }
        limit
    }

    fn mutants(&self) -> Found {
        let mut found = Found::default();
        let mut levels: Vec<Level> = Vec::new();
        // The best of the test that is open, and of the script.
        let mut tests: Vec<(Option<Candidate>, bool)> = vec![(None, false)];
        let mut current = 0;
        let mut index = 0;
        let has_tests = self.bats;
        while index < self.items.len() {
            if !self.begins(index) {
                index += 1;
                continue;
            }
            if let Some((name, body)) = self.function(index) {
                if name.starts_with("test") && self.text.contains("shunit2") {
                    levels.push(Level::Test(name.to_owned()));
                    found.tests += 1;
                    tests.push((None, false));
                    current = tests.len() - 1;
                } else {
                    levels.push(Level::Function(name.to_owned()));
                }
                index = body;
                continue;
            }
            match self.at(index) {
                "@test" if self.bats => {
                    let title = self.at(index + 1).trim_matches(['"', '\'']);
                    levels.push(Level::Test(crate::blocks::fixed_title(title).to_owned()));
                    found.tests += 1;
                    tests.push((None, false));
                    current = tests.len() - 1;
                    // Its brace is not a command of its own.
                    index += 2;
                    if self.is(index, "{") {
                        index += 1;
                    }
                    continue;
                }
                "{" | "(" => levels.push(Level::Group),
                "}" | ")" => {
                    if matches!(levels.pop(), Some(Level::Test(_))) {
                        current = 0;
                    }
                }
                "if" | "case" => levels.push(Level::Branch),
                "for" | "while" | "until" | "select" => levels.push(Level::Loop),
                "fi" | "esac" | "done" => {
                    levels.pop();
                }
                "skip" if self.bats => tests[current].1 = true,
                "exit" if levels.is_empty() => tests[0].1 = true,
                _ => {}
            }
            let end = self.command_end(index);
            if let Some(candidate) = self.candidate(index, end, &levels, has_tests)
                && !tests[current].1
                && tests[current].0.as_ref().is_none_or(|known| candidate.cost < known.cost)
            {
                tests[current].0 = Some(candidate);
            }
            index += 1;
        }
        found.candidates = tests.into_iter().filter_map(|(candidate, _)| candidate).collect();
        found.candidates.sort_by_key(|candidate| candidate.edit.range);
        found
    }

    fn candidate(&self, index: usize, end: usize, levels: &[Level], has_tests: bool) -> Option<Candidate> {
        if levels.len() > MAX_NESTING {
            return None;
        }
        // The condition of an `if` is on the level around it.
        let condition = index > 0 && matches!(self.at(index - 1), "if")
            || index > 1 && self.is(index - 1, "!") && self.is(index - 2, "if");
        let around =
            &levels[..levels.len() - usize::from(condition && levels.last() == Some(&Level::Branch))];
        if around.iter().any(|level| matches!(level, Level::Branch | Level::Function(_))) {
            return None;
        }
        let name = around.iter().find_map(|level| match level {
            Level::Test(name) => Some(name.clone()),
            _ => None,
        });
        if has_tests && name.is_none() {
            return None;
        }
        let (edit, cost) = match self.at(index) {
            "[" | "[[" | "test" => self.test_command(index, end),
            "grep" | "egrep" | "fgrep" => self.grep(index, end),
            _ => self.helper(index, end),
        }?;
        let looped = around.contains(&Level::Loop);
        let line = self.lines.of(edit.range.0);
        Some(Candidate {
            mutator: if cost == VALUE { "expected-value" } else { "opposite-condition" },
            edit,
            test: name.into_iter().filter(|name| !name.is_empty()).collect(),
            cost: cost + if looped { 4 } else { 0 },
            sure: true,
            line,
            lines: (line, line),
        })
    }
}

/// The commands of a script or command line, as plain words: for finding out what it runs.
/// A text that cannot be read gives none.
pub fn commands(text: &str) -> Vec<Vec<String>> {
    let Ok(items) = items(text) else { return Vec::new() };
    let script =
        Script { text, items, strict: false, bats: false, helpers: Vec::new(), lines: LineIndex::new(text) };
    let mut commands: Vec<Vec<String>> = vec![Vec::new()];
    for (index, item) in script.items.iter().enumerate() {
        match item.what {
            What::Word { .. } => {
                if let Some(last) = commands.last_mut() {
                    let word = script.at(index);
                    // Quotes around a pattern tell who reads it.
                    let plain = if word.contains('*') { word } else { word.trim_matches(['"', '\'']) };
                    last.push(plain.to_owned());
                }
            }
            _ => commands.push(Vec::new()),
        }
    }
    commands.retain(|words| !words.is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &str) {
        let found = find(path, text).expect("it is read");
        let shown = |candidate: &Candidate| {
            let (start, end) = candidate.edit.range;
            let mutated = [&text[..start], &candidate.edit.text, &text[end..]].concat();
            items(&mutated).expect("it is still read");
            let line = LineIndex::new(text).of(start) as usize;
            format!(
                "{}: {}",
                candidate.test.join("/"),
                mutated.lines().nth(line - 1).unwrap_or_default().trim()
            )
        };
        let got: Vec<String> = found.candidates.iter().map(shown).collect();
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn scripts() {
        for (text, expected) in [
            (
                "out=$(add 2 2)\nif [ \"$out\" != \"4\" ]; then\n  echo no\n  exit 1\nfi\n",
                ": if [ \"$out\" != \"5\" ]; then",
            ),
            ("[ \"$(add 2 2)\" = 4 ] || exit 1\n", ": [ \"$(add 2 2)\" = 5 ] || exit 1"),
            ("[ \"$x\" != 4 ] && exit 1\n", ": [ \"$x\" != 5 ] && exit 1"),
            ("[ \"$x\" != 4 ] || exit 1\n", ": [ ! \"$x\" != 4 ] || exit 1"),
            ("[ \"$x\" = 4 ] || exit 0\n", ""),
            ("set -e\n[ \"$x\" = \"hello\" ]\n", ": [ \"$x\" = \"hellp\" ]"),
            ("#!/bin/sh -eu\ntest \"$x\" = hello\n", ": test \"$x\" = hellp"),
            ("[ \"$x\" = hello ]\n", ""),
            ("run; [ $? -eq 2 ] || { echo no; exit 1; }\n", ": run; [ $? -eq 3 ] || { echo no; exit 1; }"),
            (
                "if [[ $x == \"a b\" ]]; then echo ok; else fail=1; fi\nexit $fail\n",
                ": if [[ $x == \"a c\" ]]; then echo ok; else fail=1; fi",
            ),
            (
                "if [ -f out ]; then echo ok; else exit 1; fi\n",
                ": if [ ! -f out ]; then echo ok; else exit 1; fi",
            ),
            ("if ! [ \"$x\" = 4 ]; then exit 1; fi\n", ": if ! [ \"$x\" = 5 ]; then exit 1; fi"),
            ("add 2 2 | grep -q \"four\" || exit 1\n", ": add 2 2 | grep -q \"fous\" || exit 1"),
            (
                "check() {\n  if [ \"$2\" != \"$3\" ]; then echo \"$1\"; exit 1; fi\n}\ncheck \"adds\" \"$(add 2 2)\" 4\n",
                ": check \"adds\" \"$(add 2 2)\" 5",
            ),
            (
                "check() {\n  local got=\"$1\" want=\"$2\"\n  [ \"$got\" = \"$want\" ] || exit 1\n}\ncheck \"$(add 2 2)\" 4\n",
                ": check \"$(add 2 2)\" 5",
            ),
            ("f() { [ \"$x\" = 4 ] || exit 1; }\n", ""),
            ("if [ \"$CI\" ]; then\n  [ \"$x\" = 4 ] || exit 1\nfi\n", ""),
            ("exit 0\n[ \"$x\" = 4 ] || exit 1\n", ""),
            (
                "cat <<EOF\n[ \"$x\" = 4 ] || exit 1\nEOF\n[ \"$y\" = 5 ] || exit 1\n",
                ": [ \"$y\" = 6 ] || exit 1",
            ),
        ] {
            check("t.sh", text, expected);
        }
        assert!(find("t.sh", "echo \"open\n").is_err());
        assert!(find("t.sh", "cat <<EOF\n").is_err());
    }

    #[test]
    fn bats() {
        check(
            "a.bats",
            "setup() { [ -n \"$X\" ]; }\n@test \"adds two\" {\n  run add 2 2\n  [ \"$status\" -eq 0 ]\n  [ \"$output\" = \"4\" ]\n}\n\
             @test \"skipped\" {\n  skip later\n  [ \"$x\" = 4 ]\n}\n\
             @test \"lines\" {\n  run f\n  assert_success\n  assert_output --partial \"hello\"\n}\n\
             @test \"fails\" {\n  run f\n  assert_failure\n}\n",
            "adds two: [ \"$status\" -eq 1 ]
             lines: assert_output --partial \"hellp\"
             fails: assert_success",
        );
    }
}
