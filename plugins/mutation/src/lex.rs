//! One lexer for all languages with C-like or script-like tokens, driven by a table: words,
//! numbers, strings with the range of their content, brackets with their partners. It reads
//! a file once from front to end and gives up (rather than guess) where a string or a
//! bracket does not close.
//!
//! Shell words are another thing: see [`crate::shell`].

/// What differs between languages.
#[derive(Debug)]
pub struct Rules {
    /// What begins a comment that ends with the line.
    pub line_comments: &'static [&'static str],
    /// `/* … */`.
    pub block_comments: bool,
    /// Block comments nest.
    pub nested_comments: bool,
    /// The string forms.
    pub strings: Strings,
    /// A `/` may begin a regular expression.
    pub regex: bool,
    /// Characters of words beside letters, digits and `_`.
    pub word: &'static [u8],
}

/// The string forms of a language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strings {
    /// `'…'`, `"…"`, tripled, with prefixes.
    Python,
    /// `'…'`, `"…"`, `` `…${}…` ``.
    JavaScript,
    /// `"…"`, `` `…` ``, `'c'`.
    Go,
    /// `"…"`, `r#"…"#`, `b'c'`, lifetimes.
    Rust,
    /// `"…"`, `"""…"""`, `'c'`.
    Java,
    /// As Java, with `${}`.
    Kotlin,
    /// `'…'`, `"…#{}…"`, `%w[…]`, heredocs.
    Ruby,
    /// `'…'`, `"…"`, heredocs, text outside of `<?php … ?>`.
    Php,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    Number,
    /// A string: `lead` and `tail` bytes of it are quotes and prefixes.
    Str,
    /// One character, quoted.
    Char,
    Regex,
    Open,
    Close,
    Punct,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub start: u32,
    pub end: u32,
    /// The partner of a bracket: the index of its token.
    pub pair: u32,
    pub kind: Kind,
    /// The first token of its line (a line that a backslash continues is one line).
    pub first: bool,
    /// Bytes before a string's content.
    pub lead: u8,
    /// Bytes after a string's content.
    pub tail: u8,
}

/// Why a text could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexError {
    /// Where.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Longest first.
const OPERATORS: &[&str] = &[
    "===", "!==", "<=>", "...", "?->", "**=", "==", "!=", "->", "=>", "::", ":=", "&&", "||", "<=", ">=",
    "+=", "-=", "*=", "/=", "?.", "??", "..", "=~", "!~", "&.", "**",
];

/// Interpolations nest at most this deep.
const MAX_NESTING: usize = 64;

/// Bytes of a regular expression.
const MAX_REGEX: usize = 2000;

/// Splits a text into tokens.
///
/// # Errors
/// A string, comment or bracket that does not close.
pub fn lex(text: &str, rules: &'static Rules) -> Result<Vec<Token>, LexError> {
    let mut lexer = Lexer {
        text,
        bytes: text.as_bytes(),
        rules,
        at: 0,
        tokens: Vec::new(),
        first: true,
        heredocs: Vec::new(),
    };
    lexer.run()?;
    pair(&mut lexer.tokens, text.as_bytes())?;
    Ok(lexer.tokens)
}

/// Finds the partners of brackets.
fn pair(tokens: &mut [Token], bytes: &[u8]) -> Result<(), LexError> {
    let mut open: Vec<u32> = Vec::new();
    for index in 0..tokens.len() {
        match tokens[index].kind {
            Kind::Open => open.push(index as u32),
            Kind::Close => {
                let at = tokens[index].start as usize;
                let error = LexError { at, what: "a bracket closes that was not opened" };
                let partner = open.pop().ok_or(error)? as usize;
                let expected = match bytes[tokens[partner].end as usize - 1] {
                    b'(' => b')',
                    b'[' => b']',
                    _ => b'}',
                };
                if bytes[at] != expected {
                    return Err(error);
                }
                tokens[partner].pair = index as u32;
                tokens[index].pair = partner as u32;
            }
            _ => {}
        }
    }
    match open.last() {
        None => Ok(()),
        Some(last) => {
            Err(LexError { at: tokens[*last as usize].start as usize, what: "a bracket is not closed" })
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    rules: &'static Rules,
    at: usize,
    tokens: Vec<Token>,
    first: bool,
    /// Heredocs whose bodies begin with the next line: end tag, and whether it is indented.
    heredocs: Vec<(String, bool)>,
}

/// What a string scanner found.
struct Quoted {
    end: usize,
    lead: usize,
    tail: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest_starts(&self, what: &str) -> bool {
        self.bytes[self.at..].starts_with(what.as_bytes())
    }

    fn error(&self, what: &'static str) -> LexError {
        LexError { at: self.at, what }
    }

    fn push(&mut self, kind: Kind, end: usize, lead: usize, tail: usize) {
        let token = Token {
            start: self.at as u32,
            end: end as u32,
            pair: 0,
            kind,
            first: self.first,
            lead: lead.min(255) as u8,
            tail: tail.min(255) as u8,
        };
        self.first = false;
        self.tokens.push(token);
        self.at = end;
    }

    fn run(&mut self) -> Result<(), LexError> {
        if self.rules.strings == Strings::Php {
            self.at = self.php_open(0);
        }
        if self.rest_starts("\u{feff}") {
            self.at += 3;
        }
        // Not Rust's `#![…]`.
        if self.rest_starts("#!") && !self.rest_starts("#![") {
            self.at = self.line_end(self.at);
        }
        while self.at < self.bytes.len() {
            self.one()?;
        }
        Ok(())
    }

    /// Where PHP code goes on after `at`.
    fn php_open(&self, at: usize) -> usize {
        match find(self.bytes, at, b"<?") {
            Some(open) if self.bytes[open..].starts_with(b"<?php") => open + 5,
            Some(open) if self.bytes[open..].starts_with(b"<?=") => open + 3,
            Some(open) => open + 2,
            None => self.bytes.len(),
        }
    }

    fn line_end(&self, from: usize) -> usize {
        find(self.bytes, from, b"\n").unwrap_or(self.bytes.len())
    }

    fn one(&mut self) -> Result<(), LexError> {
        let byte = self.peek(0);
        match byte {
            b'\n' => return self.newline(),
            b' ' | b'\t' | b'\r' | 0x0b | 0x0c => {
                self.at += 1;
                return Ok(());
            }
            b'\\' if matches!(self.peek(1), b'\n') => {
                self.at += 2;
                return Ok(());
            }
            b'\\' if self.peek(1) == b'\r' && self.peek(2) == b'\n' => {
                self.at += 3;
                return Ok(());
            }
            _ => {}
        }
        if self.comment()? {
            return Ok(());
        }
        if let Some((kind, quoted)) = self.string()? {
            self.push(kind, quoted.end, quoted.lead, quoted.tail);
            return Ok(());
        }
        if byte.is_ascii_digit() || (byte == b'.' && self.peek(1).is_ascii_digit() && !self.after_value()) {
            let end = self.number();
            self.push(Kind::Number, end, 0, 0);
            return Ok(());
        }
        if self.is_word(byte) {
            let end = self.word();
            self.push(Kind::Word, end, 0, 0);
            return Ok(());
        }
        if byte == b'/'
            && self.rules.regex
            && !self.after_value()
            && let Some(end) = self.regex()
        {
            self.push(Kind::Regex, end, 1, 0);
            return Ok(());
        }
        match byte {
            b'(' | b'[' | b'{' => self.push(Kind::Open, self.at + 1, 0, 0),
            b')' | b']' | b'}' => self.push(Kind::Close, self.at + 1, 0, 0),
            _ => {
                let length = OPERATORS.iter().find(|op| self.rest_starts(op)).map_or(1, |op| op.len());
                self.push(Kind::Punct, self.at + length, 0, 0);
            }
        }
        Ok(())
    }

    fn newline(&mut self) -> Result<(), LexError> {
        self.at += 1;
        self.first = true;
        for (tag, indented) in std::mem::take(&mut self.heredocs) {
            loop {
                if self.at >= self.bytes.len() {
                    return Err(self.error("a heredoc is not closed"));
                }
                let end = self.line_end(self.at);
                let line = &self.bytes[self.at..end];
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let line = if indented { line.trim_ascii_start() } else { line };
                // PHP goes on after the tag: `EOT);`.
                let php = self.rules.strings == Strings::Php;
                if line == tag.as_bytes() {
                    self.at = end;
                    break;
                }
                if php
                    && line.starts_with(tag.as_bytes())
                    && !line.get(tag.len()).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
                {
                    self.at = end - (line.len() - tag.len());
                    self.first = false;
                    break;
                }
                self.at = (end + 1).min(self.bytes.len());
            }
        }
        if self.rules.strings == Strings::Ruby {
            if self.rest_starts("=begin") {
                let end =
                    find(self.bytes, self.at, b"\n=end").ok_or(self.error("a comment is not closed"))?;
                self.at = self.line_end(end + 1);
            } else if self.rest_starts("__END__") {
                self.at = self.bytes.len();
            }
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<bool, LexError> {
        let rules = self.rules;
        if rules.strings == Strings::Php {
            if self.rest_starts("?>") {
                self.at = self.php_open(self.at + 2);
                return Ok(true);
            }
            // An attribute is no comment.
            if self.rest_starts("#[") {
                return Ok(false);
            }
        }
        if rules.line_comments.iter().any(|start| self.rest_starts(start)) {
            let mut end = self.line_end(self.at);
            if rules.strings == Strings::Php
                && let Some(close) = find(&self.bytes[..end], self.at, b"?>")
            {
                end = close;
            }
            self.at = end;
            return Ok(true);
        }
        if !rules.block_comments || !self.rest_starts("/*") {
            return Ok(false);
        }
        let mut depth = 1usize;
        let mut at = self.at + 2;
        while depth > 0 {
            let Some(next) = find_any(self.bytes, at, b"*/") else {
                return Err(self.error("a comment is not closed"));
            };
            if self.bytes[next..].starts_with(b"*/") {
                depth -= 1;
                at = next + 2;
            } else if rules.nested_comments && self.bytes[next..].starts_with(b"/*") {
                depth += 1;
                at = next + 2;
            } else {
                at = next + 1;
            }
        }
        if self.bytes[self.at..at].contains(&b'\n') {
            self.first = true;
        }
        self.at = at;
        Ok(true)
    }

    fn is_word(&self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 || self.rules.word.contains(&byte)
    }

    fn word(&self) -> usize {
        let mut end = self.at;
        while end < self.bytes.len() && self.is_word(self.bytes[end]) {
            end += 1;
        }
        let next = |ahead: usize| self.bytes.get(end + ahead).copied().unwrap_or(0);
        // `empty?`, `save!`
        if self.rules.strings == Strings::Ruby
            && matches!(next(0), b'?' | b'!')
            && !matches!(next(1), b'=' | b'~')
        {
            end += 1;
        }
        end
    }

    fn number(&self) -> usize {
        let after_dot = self.tokens.last().is_some_and(|token| {
            token.kind == Kind::Punct
                && token.end as usize == self.at
                && self.bytes[token.start as usize..token.end as usize] == *b"."
        });
        let hex = self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'X');
        let mut end = self.at;
        while end < self.bytes.len() {
            let byte = self.bytes[end];
            let next = self.bytes.get(end + 1).copied().unwrap_or(0);
            if byte.is_ascii_alphanumeric() || byte == b'_' {
                end += 1;
                if !hex && matches!(byte, b'e' | b'E') && matches!(next, b'+' | b'-') {
                    let digit = self.bytes.get(end + 1).copied().unwrap_or(0);
                    if digit.is_ascii_digit() {
                        end += 1;
                    }
                }
            } else if byte == b'.' && !after_dot && !hex {
                let dots = self.bytes[self.at..end].contains(&b'.');
                // `1..3`, `1.max(2)`
                if dots || next == b'.' || next.is_ascii_alphabetic() || next == b'_' || next >= 0x80 {
                    break;
                }
                end += 1;
            } else {
                break;
            }
        }
        end.max(self.at + 1)
    }

    /// Whether the token before ends a value, so that `/` divides and `.5` is a member.
    fn after_value(&self) -> bool {
        const KEYWORDS: &[&str] = &[
            "return",
            "typeof",
            "case",
            "in",
            "of",
            "do",
            "else",
            "void",
            "delete",
            "throw",
            "new",
            "if",
            "unless",
            "while",
            "until",
            "when",
            "and",
            "or",
            "not",
            "then",
            "yield",
            "await",
            "puts",
            "assert",
            "refute",
            "assert_match",
            "refute_match",
            "must_match",
            "match",
            "eq",
            "raise_error",
        ];
        let Some(last) = self.tokens.last() else { return false };
        let text = &self.text[last.start as usize..last.end as usize];
        match last.kind {
            Kind::Word => {
                // Ruby's `assert_match /x/, y`: a blank before, none after.
                let spaced = self.rules.strings == Strings::Ruby
                    && last.end as usize != self.at
                    && !matches!(self.peek(1), b' ' | b'=');
                !KEYWORDS.contains(&text) && !spaced
            }
            Kind::Number | Kind::Str | Kind::Char | Kind::Regex => true,
            Kind::Close => text != "}",
            Kind::Open | Kind::Punct => false,
        }
    }

    /// The end of a regular expression, flags included; `None` if it is none.
    fn regex(&self) -> Option<usize> {
        let mut at = self.at + 1;
        let mut class = false;
        loop {
            // A class that never closes would be read to the end again and again.
            if at > self.at + MAX_REGEX {
                return None;
            }
            match self.bytes.get(at)? {
                b'\n' => return None,
                b'\\' => at += 1,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => break,
                _ => {}
            }
            at += 1;
        }
        at += 1;
        while self.bytes.get(at).is_some_and(u8::is_ascii_alphabetic) {
            at += 1;
        }
        Some(at)
    }

    fn string(&mut self) -> Result<Option<(Kind, Quoted)>, LexError> {
        let byte = self.peek(0);
        match self.rules.strings {
            Strings::Python => self.python(),
            Strings::JavaScript => match byte {
                b'"' | b'\'' => Ok(self.plain(self.at, 1, byte, false).map(|quoted| (Kind::Str, quoted))),
                b'`' => self.interpolated(1, b"`", b"${").map(|quoted| Some((Kind::Str, quoted))),
                _ => Ok(None),
            },
            Strings::Go => match byte {
                b'"' => self.must(self.plain(self.at, 1, b'"', false), Kind::Str),
                b'`' => {
                    let end = find(self.bytes, self.at + 1, b"`");
                    self.must(end.map(|end| Quoted { end: end + 1, lead: 1, tail: 1 }), Kind::Str)
                }
                b'\'' => self.must(self.plain(self.at, 1, b'\'', false), Kind::Char),
                _ => Ok(None),
            },
            Strings::Rust => self.rust(),
            Strings::Java | Strings::Kotlin => {
                let kotlin = self.rules.strings == Strings::Kotlin;
                if self.rest_starts("\"\"\"") {
                    if kotlin {
                        return self.interpolated(3, b"\"\"\"", b"${").map(|q| Some((Kind::Str, q)));
                    }
                    return self.must(self.tripled(self.at, 3, b"\"\"\""), Kind::Str);
                }
                match byte {
                    b'"' if kotlin => self.interpolated(1, b"\"", b"${").map(|q| Some((Kind::Str, q))),
                    b'"' => self.must(self.plain(self.at, 1, b'"', false), Kind::Str),
                    b'\'' => self.must(self.plain(self.at, 1, b'\'', false), Kind::Char),
                    // A quoted name.
                    b'`' if kotlin => self.must(self.plain(self.at, 1, b'`', false), Kind::Word),
                    _ => Ok(None),
                }
            }
            Strings::Ruby => self.ruby(),
            Strings::Php => match byte {
                b'\'' => self.must(self.plain(self.at, 1, b'\'', true), Kind::Str),
                b'"' => self.must(self.plain(self.at, 1, b'"', true), Kind::Str),
                b'<' if self.rest_starts("<<<") => self.heredoc(3, false),
                _ => Ok(None),
            },
        }
    }

    fn must(&self, quoted: Option<Quoted>, kind: Kind) -> Result<Option<(Kind, Quoted)>, LexError> {
        quoted.map(|quoted| Some((kind, quoted))).ok_or(self.error("a string is not closed"))
    }

    /// A string with backslash escapes whose quote is at `from + lead - 1`.
    fn plain(&self, from: usize, lead: usize, quote: u8, lines: bool) -> Option<Quoted> {
        let mut at = from + lead;
        loop {
            match self.bytes.get(at)? {
                b'\\' => at += 2,
                b'\n' if !lines => return None,
                byte if *byte == quote => return Some(Quoted { end: at + 1, lead, tail: 1 }),
                _ => at += 1,
            }
        }
    }

    fn tripled(&self, from: usize, lead: usize, quote: &[u8]) -> Option<Quoted> {
        let mut at = from + lead;
        loop {
            match self.bytes.get(at)? {
                b'\\' => at += 2,
                byte if *byte == quote[0] && self.bytes[at..].starts_with(quote) => {
                    return Some(Quoted { end: at + quote.len(), lead, tail: quote.len() });
                }
                _ => at += 1,
            }
        }
    }

    fn python(&mut self) -> Result<Option<(Kind, Quoted)>, LexError> {
        let mut prefix = 0;
        while prefix < 3 && matches!(self.peek(prefix).to_ascii_lowercase(), b'r' | b'b' | b'u' | b'f' | b't')
        {
            prefix += 1;
        }
        let quote = self.peek(prefix);
        if !matches!(quote, b'"' | b'\'') || prefix > 2 {
            return Ok(None);
        }
        let formatted = self.bytes[self.at..self.at + prefix]
            .iter()
            .any(|b| matches!(b.to_ascii_lowercase(), b'f' | b't'));
        let triple = [quote; 3];
        let tripled = self.bytes[self.at + prefix..].starts_with(&triple);
        let quotes: &[u8] = if tripled { &triple } else { &triple[..1] };
        if formatted {
            return self.formatted(prefix + quotes.len(), quotes).map(|quoted| Some((Kind::Str, quoted)));
        }
        let found = if tripled {
            self.tripled(self.at, prefix + 3, &triple)
        } else {
            self.plain(self.at, prefix + 1, quote, false)
        };
        self.must(found, Kind::Str)
    }

    /// A Python f-string: quotes may stand within its braces.
    fn formatted(&self, lead: usize, quotes: &[u8]) -> Result<Quoted, LexError> {
        let error = self.error("a string is not closed");
        let mut at = self.at + lead;
        let mut depth = 0usize;
        loop {
            let byte = *self.bytes.get(at).ok_or(error)?;
            match byte {
                b'\\' => at += 2,
                b'{' if depth == 0 && self.bytes.get(at + 1) == Some(&b'{') => at += 2,
                b'{' => {
                    depth += 1;
                    at += 1;
                }
                b'}' => {
                    depth = depth.saturating_sub(1);
                    at += 1;
                }
                b'\n' if quotes.len() == 1 && depth == 0 => return Err(error),
                b'"' | b'\'' if depth > 0 && byte != quotes[0] => {
                    let inner = self.plain(at, 1, byte, false).ok_or(error)?;
                    at = inner.end;
                }
                _ if byte == quotes[0] && self.bytes[at..].starts_with(quotes) => {
                    // The same quote within braces is new in Python 3.12; a brace that closes
                    // it is looked for nearby, so that the time stays in proportion.
                    if depth > 0
                        && let Some(inner) = self.plain(at, 1, byte, false)
                        && self.bytes[inner.end..]
                            .iter()
                            .take(200)
                            .take_while(|b| **b != b'\n')
                            .any(|b| *b == b'}')
                    {
                        at = inner.end;
                        continue;
                    }
                    return Ok(Quoted { end: at + quotes.len(), lead, tail: quotes.len() });
                }
                _ => at += 1,
            }
        }
    }

    fn rust(&mut self) -> Result<Option<(Kind, Quoted)>, LexError> {
        let mut prefix = 0;
        while prefix < 2 && matches!(self.peek(prefix), b'b' | b'c' | b'r') {
            prefix += 1;
        }
        let raw = prefix > 0 && self.peek(prefix - 1) == b'r';
        let mut hashes = 0;
        while raw && self.peek(prefix + hashes) == b'#' && hashes < 250 {
            hashes += 1;
        }
        match self.peek(prefix + hashes) {
            b'"' if raw => {
                let mut close = vec![b'"'];
                close.extend(std::iter::repeat_n(b'#', hashes));
                let lead = prefix + hashes + 1;
                let end = find(self.bytes, self.at + lead, &close);
                let quoted = end.map(|end| Quoted { end: end + close.len(), lead, tail: close.len() });
                self.must(quoted, Kind::Str)
            }
            b'"' => self.must(self.plain(self.at, prefix + 1, b'"', true), Kind::Str),
            b'\'' if hashes == 0 && (prefix == 0 || (prefix == 1 && self.peek(0) == b'b')) => {
                let at = self.at + prefix + 1;
                if self.bytes.get(at) == Some(&b'\\') {
                    return self.must(self.plain(self.at, prefix + 1, b'\'', false), Kind::Char);
                }
                let length =
                    self.text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8);
                if self.bytes.get(at + length) == Some(&b'\'') {
                    return Ok(Some((
                        Kind::Char,
                        Quoted { end: at + length + 1, lead: prefix + 1, tail: 1 },
                    )));
                }
                // A lifetime.
                let mut end = at;
                while end < self.bytes.len() && self.is_word(self.bytes[end]) {
                    end += 1;
                }
                Ok(Some((Kind::Punct, Quoted { end: end.max(at), lead: 0, tail: 0 })))
            }
            _ => Ok(None),
        }
    }

    fn ruby(&mut self) -> Result<Option<(Kind, Quoted)>, LexError> {
        match self.peek(0) {
            b'\'' => self.must(self.plain(self.at, 1, b'\'', true), Kind::Str),
            b'"' => self.interpolated(1, b"\"", b"#{").map(|q| Some((Kind::Str, q))),
            b'`' => self.interpolated(1, b"`", b"#{").map(|q| Some((Kind::Word, q))),
            b'<' if self.rest_starts("<<~") || self.rest_starts("<<-") => self.heredoc(3, true),
            b'<' if self.rest_starts("<<") && (self.peek(2).is_ascii_uppercase()) => self.heredoc(2, false),
            b'%' if !self.after_value() => {
                let letter = self.peek(1);
                let named = matches!(letter, b'w' | b'W' | b'i' | b'I' | b'q' | b'Q' | b'r' | b's');
                let open = self.peek(1 + usize::from(named));
                let close = match open {
                    b'(' => b')',
                    b'[' => b']',
                    b'{' => b'}',
                    b'<' => b'>',
                    b'|' | b'!' | b'/' => open,
                    _ => return Ok(None),
                };
                let lead = 2 + usize::from(named);
                let mut at = self.at + lead;
                let mut depth = 1;
                let error = self.error("a string is not closed");
                while depth > 0 {
                    let byte = *self.bytes.get(at).ok_or(error)?;
                    if byte == b'\\' {
                        at += 1;
                    } else if byte == close {
                        depth -= 1;
                    } else if byte == open {
                        depth += 1;
                    }
                    at += 1;
                }
                let kind = if letter == b'r' { Kind::Word } else { Kind::Str };
                Ok(Some((kind, Quoted { end: at, lead, tail: 1 })))
            }
            // A symbol: `:name`, `:"name"`.
            b':' if self.peek(1).is_ascii_alphabetic() || self.peek(1) == b'_' => {
                if self.at > 0 && self.bytes[self.at - 1] == b':' {
                    return Ok(None);
                }
                let mut end = self.at + 1;
                while end < self.bytes.len() && self.is_word(self.bytes[end]) {
                    end += 1;
                }
                if matches!(self.bytes.get(end), Some(b'?' | b'!')) {
                    end += 1;
                }
                Ok(Some((Kind::Str, Quoted { end, lead: 1, tail: 0 })))
            }
            _ => Ok(None),
        }
    }

    /// The tag of a heredoc, as a word; its body follows the line.
    fn heredoc(&mut self, lead: usize, indented: bool) -> Result<Option<(Kind, Quoted)>, LexError> {
        let mut at = self.at + lead;
        let mut quote = None;
        while self.bytes.get(at) == Some(&b' ') && self.rules.strings == Strings::Php {
            at += 1;
        }
        if let Some(byte @ (b'\'' | b'"')) = self.bytes.get(at) {
            quote = Some(*byte);
            at += 1;
        }
        let from = at;
        while self.bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_') {
            at += 1;
        }
        if from == at {
            return Ok(None);
        }
        let indented = indented || self.rules.strings == Strings::Php;
        self.heredocs.push((self.text[from..at].to_owned(), indented));
        if quote.is_some() && self.bytes.get(at) == quote.as_ref() {
            at += 1;
        }
        Ok(Some((Kind::Word, Quoted { end: at, lead: 0, tail: 0 })))
    }

    /// A string with code in it: strings in that code may hold code again.
    fn interpolated(
        &self,
        lead: usize,
        quote: &'static [u8],
        code: &'static [u8],
    ) -> Result<Quoted, LexError> {
        enum Level {
            /// Within a string with this quote.
            Text(&'static [u8]),
            /// Within code: open braces.
            Code(usize),
        }
        let error = self.error("a string is not closed");
        let mut levels = vec![Level::Text(quote)];
        let mut at = self.at + lead;
        let raw = quote == b"\"\"\"";
        while let Some(level) = levels.last_mut() {
            let byte = *self.bytes.get(at).ok_or(error)?;
            match level {
                Level::Text(close) => {
                    if byte == b'\\' && !raw {
                        at += 2;
                    } else if self.bytes[at..].starts_with(close) {
                        at += close.len();
                        levels.pop();
                    } else if self.bytes[at..].starts_with(code) {
                        at += code.len();
                        levels.push(Level::Code(0));
                    } else if byte == b'\n' && *close == b"\"" && self.rules.strings == Strings::Kotlin {
                        return Err(error);
                    } else {
                        at += 1;
                    }
                }
                Level::Code(depth) => match byte {
                    b'{' => {
                        *depth += 1;
                        at += 1;
                    }
                    b'}' if *depth == 0 => {
                        levels.pop();
                        at += 1;
                    }
                    b'}' => {
                        *depth -= 1;
                        at += 1;
                    }
                    b'"' if self.rules.strings != Strings::JavaScript => {
                        levels.push(Level::Text(b"\""));
                        at += 1;
                    }
                    b'`' if self.rules.strings == Strings::JavaScript => {
                        levels.push(Level::Text(b"`"));
                        at += 1;
                    }
                    b'"' | b'\'' => at = self.plain(at, 1, byte, false).ok_or(error)?.end,
                    _ => at += 1,
                },
            }
            if levels.len() > MAX_NESTING {
                return Err(LexError { at, what: "strings within strings are nested too deep" });
            }
        }
        Ok(Quoted { end: at, lead, tail: quote.len() })
    }
}

/// Where `what` occurs at or after `from`.
fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut at = from;
    while at < bytes.len() {
        at += bytes[at..].iter().position(|byte| *byte == first)?;
        if bytes[at..].starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// Where any byte of `set` occurs at or after `from`.
fn find_any(bytes: &[u8], from: usize, set: &[u8]) -> Option<usize> {
    Some(from + bytes.get(from..)?.iter().position(|byte| set.contains(byte))?)
}
