//! A secret by its name: `password = …`, `"api_key": "…"`, `--token …`, `<secret>…`.
//!
//! No regular expression: the name is read outwards from a word that was found, then
//! what is between name and value, then the value.

mod between;
mod name;
mod position;
mod quotes;

use crate::provider::says_public;
use crate::rules::names::NameWord;
use crate::value::{self, Level, Position};
use between::Between;
use quotes::scheme;

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

/// A name at the line's end whose value must be on the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// What the name promises.
    pub level: Level,
    /// `key` is quoted as a value itself (`name: DB_PASSWORD`): the next line must say `value`.
    pub named: bool,
    /// Lines between that are empty or say something else of the name.
    pub skipped: u32,
}

/// What one name gave.
#[derive(Default)]
pub struct Outcome {
    /// Values on this line.
    pub found: Vec<Found>,
    /// The value is on the next line.
    pub open: Option<Open>,
    /// The name is a plural: several members may be on the next lines.
    pub plural: bool,
}

/// What the name around `at..end` promises, where `word` was found; nothing when it is about
/// a secret only.
pub fn promises(line: &str, at: usize, end: usize, word: &NameWord) -> Option<Level> {
    name::read(line.as_bytes(), at, end, word).filter(|name| !name.strict).map(|name| name.level)
}

/// The rule's name for a level.
pub fn rule(level: Level) -> &'static str {
    match level {
        Level::Password => "password",
        Level::Token => "secret-value",
        Level::Weak => "key-value",
        Level::License => "license-key",
        Level::Vendor => "provider-key",
    }
}

/// Looks at the name around `at..end` in `line`, where `word` was found.
///
/// `provider` says that a provider's name is shortly before it: a `key` is then that
/// provider's.
pub fn look(line: &str, at: usize, end: usize, word: &NameWord, provider: bool) -> Outcome {
    let mut outcome = Outcome::default();
    let bytes = line.as_bytes();
    if let Some(name) = name::read(bytes, at, end, word) {
        // A name is read for so many bytes, and that may be the middle of a character.
        let name_start = line.floor_char_boundary(name.start);
        let name_end = line.ceil_char_boundary(name.stop);
        let raised = name.level == Level::Weak && !name.strict && provider;
        let level = if raised { Level::Vendor } else { name.level };
        let spoken = level != Level::Vendor || provider;
        outcome.plural = name.plural;
        let owned = name.of_something && level == Level::Weak && !name.strict;
        Reader {
            line,
            bytes,
            level,
            strict: name.strict,
            spoken,
            owned,
            directory: name.directory,
            chosen: name.chosen,
            longer: name.longer,
            name_start,
            name_end,
            outcome: &mut outcome,
        }
        .read();
    }
    outcome
}

/// What is said between a name and its value: `was changed to `, `is: `.
const SAID: &[&str] = &[
    "is", "was", "will", "be", "has", "been", "now", "set", "changed", "reset", "to", "as", "=", "-", "–",
    "—", "->",
];

/// What joins a value to a name behind it.
const IN_FRONT: &[&str] =
    &[".equals(", ".equalsIgnoreCase(", "==", "!=", ",", " name=", " id=", "\"name", "\"key", ".eq("];

struct Reader<'a> {
    line: &'a str,
    bytes: &'a [u8],
    level: Level,
    strict: bool,
    /// The value may follow with nothing but a blank between.
    spoken: bool,
    /// A key that belongs to something: hex of a digest's length can be one.
    owned: bool,
    /// A word that somebody chose can be the value.
    chosen: bool,
    /// The name goes on behind the secret's word: `secret-scanner`.
    longer: bool,
    /// The name is a directory's too.
    directory: bool,
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
        self.in_front();
        let mut at = self.name_end;
        let quoted_name = self.closes(&mut at);
        let after_name = at;
        at = self.blanks(at);
        let blank = at > after_name;
        if self.named(after_name) {
            self.outcome.open = Some(Open { level: self.level, named: true, skipped: 0 });
            return;
        }
        // `Unseal Key 1: …`
        let digits =
            self.bytes[at.min(self.bytes.len())..].iter().take(2).take_while(|b| b.is_ascii_digit()).count();
        if blank && digits > 0 && matches!(self.byte(at + digits), b':' | b'=') {
            at += digits;
        }
        // `Serial number: …`, `activation code …`
        if blank && self.level == Level::License {
            let word = self.bytes[at..].iter().take(12).take_while(|b| b.is_ascii_alphabetic()).count();
            let known = ["number", "no", "code", "key", "nr"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(&self.line[at..at + word]));
            if known {
                let dot = usize::from(self.byte(at + word) == b'.');
                at = self.blanks(at + word + dot);
            }
        }
        let Some((between, mut at)) = self.between(at, blank, quoted_name) else { return };
        // `--- PASS: TestToken2`
        let head = self.line[..self.name_start].trim_end();
        let runner = head.is_empty() && self.name_start == 0 || head.ends_with("---");
        if runner && &self.line[self.name_start..self.name_end] == "PASS" && self.starts(after_name, ": ") {
            return;
        }
        if between == Between::Blank && !self.blank_allowed(quoted_name) {
            // `Use the following password to log in:`
            if self.level >= Level::Token && !self.strict && self.line.trim_end().ends_with(':') {
                self.outcome.open = Some(Open { level: Level::Token, named: false, skipped: 0 });
            }
            return self.loose(at);
        }
        at = self.blanks(at);
        if at >= self.bytes.len() || self.only_opens_block(at) {
            // `setSecret(`, `.env("TOKEN",`
            let called = self.byte(self.name_end) == b'('
                || self.line[..self.name_start].trim_end_matches(['"', '\'']).ends_with('(');
            let argument = between == Between::Argument && called && self.level >= Level::Token;
            if (argument || matches!(between, Between::Sign { .. } | Between::Element)) && !self.strict {
                self.outcome.open = Some(Open { level: self.level, named: false, skipped: 0 });
            }
            return;
        }
        self.value(at, between);
    }

    /// `token 4Fk9…`, `the key is 4Fk9…`: only what is random beyond doubt.
    fn loose(&mut self, at: usize) {
        let first = at;
        let at = self.behind_said(at);
        let said = at > first;
        if let Some((start, end, _)) = self.quoted(at) {
            self.judge(start, end, if said { Position::Quoted } else { Position::Argument });
            return;
        }
        let at = at + scheme(&self.line[at..]);
        let (start, end) = self.bare(at, false);
        let value = &self.bytes[start..end];
        if self.level == Level::Password
            && said
            && (value::is_made_up(value) || value::is_word_with_number(value))
        {
            self.judge(start, end, Position::Config);
            return;
        }
        let text = &self.line[start..end];
        if value::is_grouped_key(text) {
            self.judge(start, end, Position::Bare);
            return;
        }
        // `user bob, password 4Fk9!x`: the end of what is said.
        let rest = self.line[end..].trim_end();
        let over = rest.is_empty() || rest.starts_with(['.', ',', ')', ';']);
        let symbol = text.contains(['!', '#', '$', '%', '&', '*']);
        let made_up = (value::is_strong(value)
            || value::is_word_with_number(value)
            || (rest.is_empty() && value::is_word_and_year(value)))
            && value.len() >= 8
            && (symbol || !self.is_verb());
        if self.level == Level::Password && made_up && (over || symbol) {
            self.judge(start, end, Position::Config);
            return;
        }
        // The name and its value are all of the line: a table of two columns, a command's settings.
        let wide = self.line[..at].ends_with("  ") || self.line[..at].ends_with('\t');
        if rest.is_empty()
            && (wide || self.name_end - self.name_start > 10)
            && self.only_name_in_front()
            && self.level >= Level::Token
        {
            self.judge(start, end, Position::Argument);
            return;
        }
        if said
            && (self.level >= Level::Token || self.level == Level::Vendor)
            && self.spoken
            && value::is_uuid(value)
        {
            self.judge(start, end, Position::Bare);
            return;
        }
        let hex = value.iter().all(u8::is_ascii_hexdigit) && (self.level == Level::Weak || self.longer);
        let digest = hex || text.contains(':');
        if value.len() >= 16 && self.spoken && !value::is_uuid(value) && !digest && value::is_random(value) {
            self.judge(start, end, Position::Bare);
        }
    }

    /// Behind what is said between a name and its value: `for the wifi: `, `was changed to `.
    fn behind_said(&self, at: usize) -> usize {
        let mut at = at;
        // `password for the wifi: …`
        if let Some(rest) = ["for ", "of "].iter().find_map(|word| self.line[at..].strip_prefix(word)) {
            let words =
                rest.find([':', '=']).or_else(|| rest.find(" is ").map(|n| n + 1)).filter(|n| *n <= 30);
            let end = words
                .filter(|n| rest[..*n].bytes().all(|b| b.is_ascii_alphanumeric() || b" '\"`_-".contains(&b)));
            if let Some(end) = end {
                at = self.line.len() - rest.len() + end;
                if matches!(self.byte(at), b':' | b'=') {
                    at = self.blanks(at + 1);
                }
            }
        }
        // `password 0 …`, `secret 5 …` of routers.
        if matches!(self.byte(at), b'0' | b'5' | b'7' | b'8' | b'9') && self.byte(at + 1) == b' ' {
            at = self.blanks(at + 2);
        }
        while let Some(length) = self.line[at..].find(' ').filter(|n| *n <= 8)
            && SAID.contains(&self.line[at..at + length].trim_end_matches(':'))
        {
            at = self.blanks(at + length);
        }
        at
    }

    /// `pass` alone is a verb as well: `pass "x" to it`.
    fn is_verb(&self) -> bool {
        let near =
            &self.line[self.line.floor_char_boundary(self.name_start.saturating_sub(40))..self.name_start];
        // `user bob pass 4Fk9`
        let user = ["user ", "username ", "login "].iter().any(|word| near.contains(word));
        !user && self.line[self.name_start..self.name_end].to_ascii_lowercase().ends_with("pass")
    }

    /// Nothing but blanks and the sign of a diff is in front of the name.
    fn only_name_in_front(&self) -> bool {
        self.line[..self.name_start].trim_matches([' ', '\t', '+', '-', '#', '$', '>']).is_empty()
    }

    /// A value in front of its name: `"4Fk9…".equals(token)`, `value="4Fk9…" name="token"`.
    fn in_front(&mut self) {
        let head = self.line[..self.name_start].trim_end_matches(['"', '\'', '`', ' ', '$', '@', ':']);
        // The usual case first: nothing of the kind is there.
        let Some(joint) = IN_FRONT.iter().find(|joint| head.ends_with(**joint)) else { return };
        // `("user", "password")` are two values; `("4Fk9…", password)` is one and its name.
        if *joint == "," && self.line[..self.name_start].ends_with(['"', '\'', '`']) {
            return;
        }
        let head = &head[..head.len() - joint.len()];
        let head = head.trim_end_matches([' ', ',']);
        let Some(quote) = head.chars().last().filter(|c| matches!(c, '"' | '\'' | '`')) else { return };
        let head = head[..head.len() - 1].trim_end_matches('\\');
        let floor = head.floor_char_boundary(head.len().saturating_sub(256));
        let Some(start) = head[floor..].rfind(quote).map(|n| floor + n + 1) else { return };
        let end = head.len();
        self.judge(start, end, Position::Argument);
    }

    /// `- name: DB_PASSWORD`, with `value:` on the next line.
    fn named(&self, at: usize) -> bool {
        let rest = self.line[at..].trim();
        if self.strict || !matches!(rest, "" | "," | "{" | "</key>" | "</name>" | ">" | "/>") {
            return false;
        }
        let head = self.line[..self.name_start].trim_end_matches(['"', '\'', ' ', '`']);
        let (sign, said) = match head.strip_suffix([':', '=', '>']) {
            Some(said) => (true, said.trim_end_matches(['"', '\'', ' '])),
            None => (false, head),
        };
        let last = said.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        if rest == "{" {
            return last == "variable";
        }
        let last = last.to_ascii_lowercase();
        sign && (last == "id" || last.ends_with("name") || last.ends_with("key"))
    }

    /// Takes quotes and brackets that close the name; whether it stood in quotes.
    fn closes(&self, at: &mut usize) -> bool {
        let mut quoted = false;
        for _ in 0..4 {
            let slashes = self.bytes[*at..].iter().take(16).take_while(|b| **b == b'\\').count();
            if slashes > 0 && matches!(self.byte(*at + slashes), b'"' | b'\'') {
                *at += slashes + 1;
                quoted = true;
            } else if let Some(quote) = ["&quot;", "&#34;", "&#39;", "%22", "\\u0022", "”"]
                .iter()
                .find(|quote| self.starts(*at, quote))
            {
                *at += quote.len();
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

    fn value(&mut self, at: usize, between: Between) {
        let mut at = at;
        // `b"…"`, `@"…"`, `String("…")`, `new Secret("…")`
        let prefix = self.bytes[at..].iter().take(2).take_while(|b| b"bBrRfFuUL@$N&".contains(b)).count();
        if prefix > 0 && matches!(self.byte(at + prefix), b'"' | b'\'') {
            at += prefix;
        }
        if let Some((start, end, after)) = self.quoted(at) {
            let position = if between == Between::Argument { Position::Argument } else { Position::Quoted };
            let value = &self.line[start..end];
            // `Authorization: "Bearer …"` and `"password": "Basic …"`
            let skipped = scheme(value);
            if !self.judge(start + skipped, end, position) && position == Position::Argument {
                return self.arguments(end + 1);
            }
            // `"4Fk9" + "x3Lm"`, `"" + "4Fk9…"`
            let next = self.blanks(after);
            if matches!(self.byte(next), b'+' | b'.') || self.starts(next, "||") || self.starts(next, "or ") {
                self.arguments(next);
            }
            return;
        }
        if between == Between::Argument {
            return self.arguments(at);
        }
        let tight = matches!(between, Between::Sign { tight: true, equals: true });
        let (start, end) = if between == Between::Element {
            const DATA: &str = "<![CDATA[";
            let (from, close) = if self.starts(at, DATA) { (at + DATA.len(), "]]>") } else { (at, "<") };
            let end = self.line[from..].find(close).map_or(self.bytes.len(), |n| from + n);
            let inner = self.line[from..end].trim();
            // `redis://:<password>@host`
            if inner.starts_with('@') {
                return;
            }
            (from, from + inner.len())
        } else {
            let skipped = scheme(&self.line[at..]);
            self.bare(at + skipped, tight)
        };
        if let Some((start, end)) = self.wrapped(at) {
            self.judge(start, end, Position::Quoted);
            return;
        }
        // A number in JSON: with a mask instead it would be no JSON.
        let quoted_name = self.line[..self.name_start].ends_with(['"', '\'']);
        if quoted_name && self.bytes[start..end].iter().all(|b| b.is_ascii_digit() || b"+-.eE".contains(b)) {
            return;
        }
        let position = self.position(start, end, between);
        // `firebase: appId: "…"`: of what everybody may see.
        let word = self.line[start..end].trim_end_matches([':', '=']);
        let public = self.level == Level::Vendor && !self.spoken && says_public(word);
        let quiet = public || matches!(between, Between::Element | Between::Cell);
        if !self.judge(start, end, position) && !quiet {
            self.arguments(at);
        }
    }

    /// The string in `String::from("…")`, `new Secret("…")`, `Some("…")`: a call that only
    /// changes the type.
    fn wrapped(&self, at: usize) -> Option<(usize, usize)> {
        let length = self.bytes[at..]
            .iter()
            .take(60)
            .take_while(|b| b.is_ascii_alphanumeric() || b"_:. <>*&".contains(b))
            .count();
        let call = &self.line[at..at + length];
        let name = call.rsplit([':', '.', ' ']).next().unwrap_or_default();
        let changes_type = call.starts_with("new ")
            || ["from", "new", "Some", "of", "String", "str", "bytes", "Secret", "valueOf", "wrap", "quote"]
                .contains(&name);
        if !changes_type || self.byte(at + length) != b'(' {
            return None;
        }
        let (start, end, after) = self.quoted(at + length + 1)?;
        (self.byte(after) == b')').then_some((start, end))
    }

    /// Quoted strings in the rest of the statement: the default of a look-up, an argument.
    fn arguments(&mut self, from: usize) {
        let mut at = from;
        let mut seen = 0;
        while at < self.bytes.len() && at < from + 300 && seen < 6 {
            if let Some((start, end, after)) = self.quoted(at) {
                seen += 1;
                let value = &self.bytes[start..end];
                if value::is_random(value) || (self.level == Level::Password && value::is_strong(value)) {
                    self.judge(start, end, Position::Argument);
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

    /// Hex where a key is expected, in a line that speaks of no digest.
    fn is_hex_key(&self, value: &[u8]) -> bool {
        let of_digests = || {
            let lower = self.line.to_ascii_lowercase();
            ["sha", "hash", "digest", "checksum", "md5", "commit", "integrity"]
                .iter()
                .any(|word| lower.contains(word))
        };
        matches!(value.len(), 32 | 40 | 64)
            && value::is_digest(value)
            && value::is_random(value)
            && !of_digests()
    }

    fn judge(&mut self, start: usize, end: usize, position: Position) -> bool {
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
        // A page's own nonce: `<script nonce="…">`.
        let tag = self.line[..self.name_start]
            .rfind('<')
            .is_some_and(|open| !self.line[open..self.name_start].contains('>'));
        if tag && whole_name.eq_ignore_ascii_case("nonce") {
            return false;
        }
        // `Password=" --option`: the quote ends what is around.
        if value.starts_with(' ') && inner.starts_with('-') {
            return false;
        }
        let rooted = inner.starts_with(['/', '~', '\\', '.']) || inner.get(1..2) == Some(":");
        let gpg = self.line[..self.name_start].contains("gpg ");
        // `X-GitHub-Delivery: f81d4fae-…`
        let header = whole_name.to_ascii_lowercase().starts_with("x-")
            && self.level == Level::Vendor
            && !self.spoken
            && value::is_uuid(inner.as_bytes());
        if (self.directory && rooted) || is_fingerprint(whole_name, inner, gpg) || header {
            return false;
        }
        let hex = self.owned && position != Position::Bare && self.is_hex_key(inner.as_bytes());
        let chosen = self.chosen && position == Position::Quoted && value::is_chosen(inner);
        if hex || chosen || value::is_secret(self.level, inner, position, self.strict) {
            self.outcome.found.push(Found { start, end: start + inner.len(), rule: rule(self.level) });
            return true;
        }
        false
    }
}

/// The fingerprint or the id of a public key, behind a name such as `GPG_KEY`, `signing-key`.
fn is_fingerprint(name: &str, value: &str, gpg: bool) -> bool {
    let hex = value.strip_prefix("0x").unwrap_or(value);
    if !matches!(hex.len(), 8 | 16 | 40 | 64) || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return false;
    }
    let name = name.to_ascii_lowercase();
    let capitals = !hex.bytes().any(|b| b.is_ascii_lowercase());
    gpg || ["gpg", "pgp"].iter().any(|word| name.contains(word))
        || (capitals
            && hex.len() <= 40
            && ["sign", "release", "maintainer", "trusted", "recv"].iter().any(|word| name.contains(word)))
}
