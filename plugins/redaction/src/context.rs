//! A secret by its name: `password = …`, `"api_key": "…"`, `--token …`, `<secret>…`.
//!
//! No regular expression: the name is read outwards from a word that was found, then
//! what stands between name and value, then the value.

use crate::rules::words::{KEY_OF, NOT_AFTER, NOT_BEFORE, Word};
use crate::value::{self, Level, Place};

/// A value that was found, and the rule that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In bytes of the line.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    /// The rule.
    pub rule: &'static str,
}

/// A name at the line's end whose value must stand on the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// What the name promises.
    pub level: Level,
    /// `key` is quoted as a value itself (`name: DB_PASSWORD`): the next line must say `value`.
    pub named: bool,
}

/// What one name gave.
#[derive(Default)]
pub struct Outcome {
    /// Values on this line.
    pub found: Vec<Found>,
    /// The value is on the next line.
    pub open: Option<Open>,
}

/// The rule's name for a level.
pub fn rule(level: Level) -> &'static str {
    match level {
        Level::Password => "password",
        Level::Token => "secret-value",
        Level::Weak => "key-value",
        Level::Vendor => "provider-key",
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte >= 0x80
}

/// Looks at the name around `at..end` in `line`, where `word` was found.
///
/// `provider` says that a provider's name stands shortly before it: a `key` is then that
/// provider's.
pub fn look(line: &str, at: usize, end: usize, word: &Word, provider: bool) -> Outcome {
    let mut outcome = Outcome::default();
    let bytes = line.as_bytes();
    if let Some((level, strict, name_start, name_end)) = name(bytes, at, end, word) {
        // A name is read for so many bytes, and that may be the middle of a character.
        let name_start = line.floor_char_boundary(name_start);
        let name_end = line.ceil_char_boundary(name_end);
        let level = if provider && level == Level::Weak && !strict { Level::Vendor } else { level };
        Reader { line, bytes, level, strict, name_start, name_end, outcome: &mut outcome }.read();
    }
    outcome
}

/// The name's level, whether it is about a secret rather than one, and where it stands.
fn name(bytes: &[u8], at: usize, end: usize, word: &Word) -> Option<(Level, bool, usize, usize)> {
    let before = at.checked_sub(1).map(|n| bytes[n]);
    let after = bytes.get(end).copied();
    // `tokens` and `token` count, `tokenizer` and `secretary` do not.
    let plural = usize::from(after.is_some_and(|b| b == b's' || b == b'S'));
    let last_lower = bytes[end - 1].is_ascii_lowercase();
    let behind = bytes.get(end + plural).copied();
    let goes_on = |b: Option<u8>| {
        b.is_some_and(|b| if last_lower { b.is_ascii_lowercase() } else { b.is_ascii_alphabetic() })
    };
    if goes_on(behind) && (plural == 1 || goes_on(after)) && !at_known_end(&bytes[end..]) {
        return None;
    }
    let starts_word = before.is_none_or(|b| !b.is_ascii_alphanumeric())
        || (bytes[at].is_ascii_uppercase() && before.is_some_and(|b| !b.is_ascii_uppercase()));
    let mut start = at;
    while start > 0
        && at - start < 60
        && (is_name(bytes[start - 1]) || (bytes[start - 1] == b'.' && start > 1 && is_name(bytes[start - 2])))
    {
        start -= 1;
    }
    let mut stop = end;
    while stop - end < 60
        && bytes.get(stop).is_some_and(|b| match b {
            b'-' => bytes.get(stop + 1) != Some(&b'>'),
            b'.' => bytes.get(stop + 1).is_some_and(u8::is_ascii_alphabetic),
            b => is_name(*b),
        })
    {
        stop += 1;
    }
    let lead: String = bytes[start..at]
        .iter()
        .filter(|b| b.is_ascii_alphanumeric() || **b >= 0x80)
        .map(|b| b.to_ascii_lowercase() as char)
        .collect();
    let mut level = word.level;
    if word.text == "key" {
        let owned = KEY_OF.iter().any(|of| lead.ends_with(of));
        if !starts_word && !owned {
            return None;
        }
        let query = start == at && before.is_some_and(|b| matches!(b, b'?' | b'&'));
        if owned || query {
            level = Level::Token;
        } else if start == at {
            // `API Key: …` in prose and tables.
            let spaced = bytes[..at].strip_suffix(b" ").is_some_and(|head| {
                KEY_OF.iter().any(|of| {
                    head.len() >= of.len()
                        && head[head.len() - of.len()..].eq_ignore_ascii_case(of.as_bytes())
                })
            });
            if spaced {
                level = Level::Token;
            }
        }
    } else if word.at_start && !starts_word {
        return None;
    }
    if word.text != "password" && NOT_BEFORE.iter().any(|not| lead.ends_with(not)) && !lead.ends_with("test")
    {
        return None;
    }
    let tail: Vec<String> = parts(&bytes[end..stop]);
    let strict = tail.iter().any(|part| NOT_AFTER.contains(&part.as_str()));
    if level == Level::Vendor
        && (strict
            || tail.iter().any(|part| {
                ["commit", "ref", "tag", "branch", "repo", "build", "etag", "run"].contains(&part.as_str())
            }))
    {
        return None;
    }
    // Token counts, not tokens.
    if plural == 1 && level == Level::Weak {
        return None;
    }
    Some((level, strict, start, stop))
}

/// `tokenProd`, `secretkey`: what may follow a word without a border.
fn at_known_end(rest: &[u8]) -> bool {
    ["key", "value", "val", "string", "str", "text", "base64", "b64", "hex", "prod", "dev", "test", "env"]
        .iter()
        .any(|known| {
            rest.len() >= known.len()
                && rest[..known.len()].eq_ignore_ascii_case(known.as_bytes())
                && rest.get(known.len()).is_none_or(|b| !b.is_ascii_lowercase())
        })
}

/// A name in its parts, in lower case: `ExpiresAt_url` is `expires`, `at`, `url`.
fn parts(name: &[u8]) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut lower_before = false;
    for byte in name {
        if !byte.is_ascii_alphanumeric() {
            parts.push(String::new());
        } else {
            if byte.is_ascii_uppercase() && lower_before {
                parts.push(String::new());
            }
            if let Some(last) = parts.last_mut() {
                last.push(byte.to_ascii_lowercase() as char);
            }
        }
        lower_before = byte.is_ascii_lowercase();
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// What stands between name and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Between {
    /// `=`, `:`, `:=`, `=>` and so on; whether blanks stood around it.
    Sign { tight: bool, equals: bool },
    /// `("name", "value")`, `f("value")`.
    Argument,
    /// `<name>value`.
    Element,
    /// Only blanks.
    Blank,
}

struct Reader<'a> {
    line: &'a str,
    bytes: &'a [u8],
    level: Level,
    strict: bool,
    name_start: usize,
    name_end: usize,
    outcome: &'a mut Outcome,
}

impl Reader<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    fn starts(&self, at: usize, what: &str) -> bool {
        self.bytes.get(at..).is_some_and(|rest| rest.starts_with(what.as_bytes()))
    }

    fn blanks(&self, mut at: usize) -> usize {
        loop {
            if matches!(self.byte(at), b' ' | b'\t') {
                at += 1;
            } else if self.starts(at, "\\t") {
                at += 2;
            } else {
                return at;
            }
        }
    }

    fn read(&mut self) {
        let mut at = self.name_end;
        let quoted_name = self.closes(&mut at);
        let after_name = at;
        at = self.blanks(at);
        let blank = at > after_name;
        if self.named(after_name) {
            self.outcome.open = Some(Open { level: self.level, named: true });
            return;
        }
        let Some((between, mut at)) = self.between(at, blank, quoted_name) else { return };
        if between == Between::Blank && !self.blank_allowed(quoted_name) {
            // `token 4Fk9…`, `the key is 4Fk9…`: only what is random beyond doubt.
            let at = ["is ", "was ", "= "]
                .iter()
                .find(|word| self.starts(at, word))
                .map_or(at, |word| at + word.len());
            if let Some((start, end, _)) = self.quoted(at) {
                self.judge(start, end, Place::Argument);
                return;
            }
            let at = at + scheme(&self.line[at..]);
            let (start, end) = self.bare(at, false);
            let value = &self.bytes[start..end];
            let digest = value::is_digest(value) && self.level < Level::Token;
            if value.len() >= 16
                && self.level != Level::Vendor
                && !value::is_uuid(value)
                && !digest
                && value::is_random(value)
            {
                self.judge(start, end, Place::Bare);
            }
            return;
        }
        at = self.blanks(at);
        if at >= self.bytes.len() || self.only_opens_block(at) {
            if matches!(between, Between::Sign { .. } | Between::Element) && !self.strict {
                self.outcome.open = Some(Open { level: self.level, named: false });
            }
            return;
        }
        self.value(at, between);
    }

    /// `- name: DB_PASSWORD`, with `value:` on the next line.
    fn named(&self, at: usize) -> bool {
        let head = self.line[..self.name_start].trim_end_matches(['"', '\'', ' ', '`']);
        let rest = self.line[at..].trim();
        let lower = head.to_ascii_lowercase();
        if rest == "{" && lower.ends_with("variable") {
            return true;
        }
        !self.strict
            && (rest.is_empty() || rest == "," || rest == "</key>" || rest == "</name>")
            && ["name:", "name\":", "name':", "key:", "key\":", "name=", "key=", "<key>", "<name>"]
                .iter()
                .any(|end| lower.ends_with(end))
    }

    /// Takes quotes and brackets that close the name; whether it stood in quotes.
    fn closes(&self, at: &mut usize) -> bool {
        let mut quoted = false;
        for _ in 0..4 {
            if self.starts(*at, "\\\"") || self.starts(*at, "\\'") {
                *at += 2;
                quoted = true;
            } else if self.starts(*at, "&quot;") {
                *at += 6;
                quoted = true;
            } else if matches!(self.byte(*at), b'"' | b'\'' | b'`') {
                *at += 1;
                quoted = true;
            } else if matches!(self.byte(*at), b']' | b'*' | b'?' | b'!')
                || (self.byte(*at) == b')' && quoted)
            {
                *at += 1;
            } else if self.byte(*at) == b'[' {
                // `secret[]`, `char secret[25]`
                let digits = self.bytes[*at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
                if self.byte(*at + 1 + digits) != b']' {
                    break;
                }
                *at += digits + 2;
            } else {
                break;
            }
        }
        quoted
    }

    fn between(&self, at: usize, blank: bool, quoted_name: bool) -> Option<(Between, usize)> {
        let sign = |length: usize, equals: bool| {
            let next = self.byte(at + length);
            Some((Between::Sign { tight: !blank && !matches!(next, b' ' | b'\t'), equals }, at + length))
        };
        for (text, equals) in [
            ("===", true),
            ("!==", true),
            (":::=", true),
            ("::=", true),
            ("||=", true),
            ("==", true),
            ("!=", true),
            ("=>", true),
            (":=", true),
            ("?=", true),
            ("??=", true),
            ("+=", true),
            (".=", true),
            ("%3D", true),
            ("%3d", true),
            ("\\u003d", true),
            ("&#61;", true),
            ("||", true),
            ("->", true),
            ("=", true),
        ] {
            if self.starts(at, text) {
                return sign(text.len(), equals);
            }
        }
        if self.starts(at, "：") {
            return sign("：".len(), false);
        }
        if self.byte(at) == b':' {
            if self.byte(at + 1) == b':' {
                return None;
            }
            // `name: type = value`
            if let Some(after) = self.typed(at + 1) {
                return Some((Between::Sign { tight: false, equals: true }, after));
            }
            return sign(1, false);
        }
        // `<add key="ApiKey" value="…">`, `name="password" value='…'`, `"name": "x", "value": "…"`
        if quoted_name && let Some(after) = self.value_attribute(at) {
            return Some((Between::Sign { tight: true, equals: true }, after));
        }
        if self.byte(at) == b',' && quoted_name {
            return Some((Between::Argument, at + 1));
        }
        if self.byte(at) == b'(' && !blank {
            return Some((Between::Argument, at + 1));
        }
        if self.byte(at) == b'>' && !blank && self.line[..self.name_start].ends_with(['<', ':', '/']) {
            return (self.byte(self.name_start.wrapping_sub(1)) != b'/')
                .then_some((Between::Element, at + 1));
        }
        if blank || quoted_name {
            // `name string = value`, `<secret type="x">`
            if let Some(after) = self.typed(at) {
                return Some((Between::Sign { tight: false, equals: true }, after));
            }
            if blank {
                return Some((Between::Blank, at));
            }
        }
        None
    }

    /// Behind a type and `=`: in `: &'static str = "x"` the place of the quote.
    fn typed(&self, at: usize) -> Option<usize> {
        let at = self.blanks(at);
        let length = self
            .bytes
            .get(at..)?
            .iter()
            .take(40)
            .take_while(|b| b.is_ascii_alphanumeric() || b"_&<>[]'?.* ".contains(b))
            .count();
        let after = at + length;
        let sign = if self.starts(after, ":=") { 2 } else { 1 };
        let is_sign =
            self.byte(after) == b'=' && self.byte(after + 1) != b'=' && self.byte(after + 1) != b'>'
                || sign == 2;
        let value = self.blanks(after + sign);
        (length > 0 && is_sign && matches!(self.byte(value), b'"' | b'\'' | b'`')).then_some(value)
    }

    fn value_attribute(&self, at: usize) -> Option<usize> {
        let rest = self.line.get(at..)?;
        let near = &rest[..rest.floor_char_boundary(80)];
        let word = near
            .find("value")
            .or_else(|| near.find("Value"))
            .or_else(|| near.find("<string>").map(|n| n + 3))?;
        if !near[..word].chars().all(|c| {
            !c.is_alphanumeric() || c == 't' || c == 'y' || c == 'p' || c == 'e' || c == 's' || c == 'r'
        }) {
            return None;
        }
        let after = near[word..].find(['=', ':', '>'])? + word + 1;
        Some(at + after)
    }

    /// Where blanks alone may stand between name and value.
    fn blank_allowed(&self, quoted_name: bool) -> bool {
        let head = &self.line[..self.name_start];
        let trimmed = head.trim_start_matches(['+', '-', ' ', '\t', '#', '/', ';']);
        let option = head.ends_with('-') || self.byte(self.name_start) == b'-';
        let command = ["ENV ", "ARG ", "export ", "set ", "setx ", "setenv ", "SET ", "machine ", "declare "]
            .iter()
            .any(|command| trimmed.starts_with(command) && !quoted_name);
        let netrc = head.contains("machine ") || (head.contains("login ") && self.level == Level::Password);
        let alone =
            trimmed.is_empty() && self.level == Level::Password && self.name_end - self.name_start <= 10;
        let quote_next = matches!(self.byte(self.blanks(self.name_end)), b'"' | b'\'');
        let sql = self.bytes[self.name_start..self.name_end].eq_ignore_ascii_case(b"by")
            || head.to_ascii_lowercase().ends_with("identified ")
            || head.trim_end().ends_with(" WITH")
            || head.contains("USER ");
        option
            || command
            || netrc
            || alone
            || (quote_next && (sql || trimmed.is_empty() || self.level == Level::Password))
            || sql
    }

    /// `|`, `>-` of YAML, an opening quote or bracket alone: the value follows below.
    fn only_opens_block(&self, at: usize) -> bool {
        matches!(
            self.line[at..].trim(),
            "" | "|" | ">" | "|-" | ">-" | "|+" | "\"" | "'" | "\"\"\"" | "'''" | "`" | "(" | "\\"
        )
    }

    fn value(&mut self, at: usize, between: Between) {
        let mut at = at;
        // `b"…"`, `@"…"`, `String("…")`, `new Secret("…")`
        let prefix = self.bytes[at..].iter().take(2).take_while(|b| b"bBrRfFuUL@$N&".contains(b)).count();
        if prefix > 0 && matches!(self.byte(at + prefix), b'"' | b'\'') {
            at += prefix;
        }
        if let Some((start, end, _)) = self.quoted(at) {
            let place = if between == Between::Argument { Place::Argument } else { Place::Quoted };
            let value = &self.line[start..end];
            // `Authorization: "Bearer …"` and `"password": "Basic …"`
            let skipped = scheme(value);
            if !self.judge(start + skipped, end, place) && place == Place::Argument {
                self.arguments(end + 1);
            }
            return;
        }
        if between == Between::Argument {
            return self.arguments(at);
        }
        let tight = matches!(between, Between::Sign { tight: true, equals: true });
        let (start, end) = if between == Between::Element {
            let end = self.line[at..].find('<').map_or(self.bytes.len(), |n| at + n);
            let inner = self.line[at..end].trim();
            (at, at + inner.len())
        } else {
            let skipped = scheme(&self.line[at..]);
            self.bare(at + skipped, tight)
        };
        let place = self.place(start, end, between);
        if !self.judge(start, end, place) && value::is_code(&self.line[start..end]) {
            self.arguments(at);
        }
    }

    /// Whether an unquoted value stands where only a value can.
    fn place(&self, start: usize, end: usize, between: Between) -> Place {
        let name = &self.bytes[self.name_start..self.name_end];
        let shouting = name.iter().any(u8::is_ascii_uppercase) && !name.iter().any(u8::is_ascii_lowercase);
        let head = self.line[..self.name_start].trim_matches(|c: char| " \t+-\"'#".contains(c));
        let tail = self.line[end..].trim();
        let connection = self.line[..self.name_start].contains(';')
            || (self.byte(end) == b';' && self.line[end + 1..].contains('='));
        let option =
            self.line[..self.name_start].ends_with("--") || self.line[..self.name_start].ends_with(" -");
        let query = self.name_start > 0 && matches!(self.bytes[self.name_start - 1], b'?' | b'&');
        let configured = match between {
            Between::Element => true,
            Between::Blank => option || tail.is_empty() || self.line.contains("login "),
            Between::Sign { tight, equals } => {
                connection
                    || option
                    || query
                    || (tight
                        && equals
                        && (shouting || head.is_empty() || head == "export")
                        && tail.is_empty())
                    || (!equals
                        && head.is_empty()
                        && (tail.is_empty() || tail.starts_with('#'))
                        && self.bytes[start..end].iter().all(|b| *b != b'_'))
            }
            Between::Argument => false,
        };
        let lower = self.line.to_ascii_lowercase();
        if connection
            && ["server=", "data source=", "user id=", "uid=", "user=", "host=", "username="]
                .iter()
                .any(|word| lower.contains(word))
        {
            return Place::Connection;
        }
        let value = &self.line[start..end];
        if configured && !value::is_code(value) && !value.ends_with(['{', ':']) {
            Place::Config
        } else {
            Place::Bare
        }
    }

    /// Quoted strings in the rest of the statement: the default of a look-up, an argument.
    fn arguments(&mut self, from: usize) {
        let mut at = from;
        let mut seen = 0;
        while at < self.bytes.len() && at < from + 300 && seen < 6 {
            if let Some((start, end, after)) = self.quoted(at) {
                seen += 1;
                let value = &self.line[start..end];
                if value::is_random(value.as_bytes()) || (self.level == Level::Password && seen > 1) {
                    self.judge(start, end, Place::Argument);
                }
                at = after;
            } else {
                if self.byte(at) == b';' {
                    return;
                }
                at += 1;
            }
        }
    }

    /// The inside of a quoted string that begins at `at`, and where it is over.
    fn quoted(&self, at: usize) -> Option<(usize, usize, usize)> {
        let quotes = [
            "\\\\\"", "\\\"", "\\'", "\"\"\"", "'''", "&quot;", "&#34;", "%22", "\\u0022", "“", "\"", "'",
            "`",
        ];
        let open = quotes.iter().find(|quote| self.starts(at, quote))?;
        let close = if *open == "“" { "”" } else { open };
        let start = at + open.len();
        let rest = &self.line[start..];
        let mut from = 0;
        while let Some(found) = rest[from..].find(close) {
            let end = from + found;
            let slashes = rest[..end].bytes().rev().take_while(|b| *b == b'\\').count();
            if close.starts_with('\\') || slashes % 2 == 0 {
                return (end > 0).then_some((start, start + end, start + end + close.len()));
            }
            from = end + close.len();
        }
        // Not closed on this line: up to a blank.
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        (end >= 8).then_some((start, start + end, start + end))
    }

    /// An unquoted value that begins at `at`.
    fn bare(&self, at: usize, tight: bool) -> (usize, usize) {
        let query = tight && self.line[..self.name_start].contains(['?', '&']);
        let mut end = at;
        let mut depth = 0_i32;
        while let Some(byte) = self.bytes.get(end) {
            match byte {
                b' ' | b'\t' | b'"' | b'\'' | b'`' | b'<' | b'>' | b';' | b'\r' => break,
                b'&' if query => break,
                b'\\'
                    if matches!(self.byte(end + 1), b'n' | b'r' | b't' | b'"' | b'\'' | b'\\' | b'u')
                        || end + 1 == self.bytes.len() =>
                {
                    break;
                }
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => {
                    depth -= 1;
                    if depth < 0 {
                        break;
                    }
                }
                b',' => break,
                b'|' if end > at => break,
                _ => {}
            }
            end += 1;
        }
        while end > at && matches!(self.bytes[end - 1], b'.' | b':' | b',') {
            end -= 1;
        }
        (at, end)
    }

    fn judge(&mut self, start: usize, end: usize, place: Place) -> bool {
        if start >= end {
            return false;
        }
        let value = &self.line[start..end];
        let inner = value.trim();
        let start = start + (value.len() - value.trim_start().len());
        let whole_name = &self.line[self.name_start..self.name_end];
        if inner.eq_ignore_ascii_case(whole_name) || inner.contains("[REDACTED:") {
            return false;
        }
        if value::is_secret(self.level, inner, place, self.strict) {
            self.outcome.found.push(Found { start, end: start + inner.len(), rule: rule(self.level) });
            return true;
        }
        false
    }
}

/// The length of an authentication scheme in front of a value.
fn scheme(value: &str) -> usize {
    for scheme in [
        "Bearer ",
        "bearer ",
        "Basic ",
        "basic ",
        "Token ",
        "token ",
        "ApiKey ",
        "Apikey ",
        "Key ",
        "key=",
        "OAuth ",
        "SSWS ",
        "Digest ",
        "JWT ",
        "Bot ",
        "GenieKey ",
        "Token token=",
        "token=",
        "AccessKey ",
        "Bearer: ",
        "Negotiate ",
        "NTLM ",
        "NLAuth ",
    ] {
        if let Some(rest) = value.strip_prefix(scheme) {
            return value.len() - rest.trim_start().len();
        }
    }
    0
}
