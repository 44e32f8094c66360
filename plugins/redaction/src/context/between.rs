//! What is between a name and its value: signs, brackets, tags, blanks.

use super::Reader;
use crate::value::Level;

/// What is between name and value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Between {
    /// `=`, `:`, `:=`, `=>` and so on; whether blanks stood around it.
    Sign { tight: bool, equals: bool },
    /// `("name", "value")`, `f("value")`.
    Argument,
    /// `<name>value`.
    Element,
    /// `| name | value |`
    Cell,
    /// Only blanks.
    Blank,
}

/// Signs, the longest first, and whether one says `=`.
const SIGNS: &[(&str, bool)] = &[
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
    ("<<~", true),
    ("+=", true),
    (".=", true),
    ("%3D", true),
    ("%3d", true),
    ("%3A", false),
    ("%3a", false),
    ("\\u003d", true),
    ("&#61;", true),
    ("||", true),
    ("??", true),
    ("?:", true),
    ("<-", true),
    ("~>", true),
    ("->", true),
    ("=", true),
];

impl Reader<'_> {
    /// What follows the name at `at`, and where the value begins.
    pub(super) fn between(&self, at: usize, blank: bool, quoted_name: bool) -> Option<(Between, usize)> {
        let sign = |length: usize, equals: bool| {
            let next = self.byte(at + length);
            Some((Between::Sign { tight: !blank && !matches!(next, b' ' | b'\t'), equals }, at + length))
        };
        for (text, equals) in SIGNS {
            if self.starts(at, text) {
                return sign(text.len(), *equals);
            }
        }
        if self.starts(at, "：") {
            return sign("：".len(), false);
        }
        if self.byte(at) == b':' {
            return self.colon(at).or_else(|| sign(1, false).filter(|_| self.byte(at + 1) != b':'));
        }
        // `<add key="ApiKey" value="…">`, `name="password" value='…'`, `"name": "x", "value": "…"`
        let tag = blank && self.line[..self.name_start].ends_with('<');
        if (quoted_name || tag)
            && let Some(after) = self.value_attribute(at)
        {
            return Some((Between::Sign { tight: true, equals: true }, after));
        }
        if let Some(after) = self.called(at, quoted_name) {
            return Some((Between::Argument, after));
        }
        if let Some(after) = self.value_member(at) {
            return Some((Between::Sign { tight: true, equals: true }, after));
        }
        if let Some(found) = self.bracket(at, blank, quoted_name) {
            return found;
        }
        if blank || quoted_name {
            // `name string = value`, `<secret type="x">`
            if let Some(after) = self.typed(at) {
                return Some((Between::Sign { tight: false, equals: true }, after));
            }
            if quoted_name && self.starts(at, "or ") {
                return Some((Between::Sign { tight: false, equals: true }, at + "or ".len()));
            }
            if blank {
                return Some((Between::Blank, at));
            }
        }
        None
    }

    /// A `:` that is more than a sign: LDIF's `::`, `name: type = value`.
    fn colon(&self, at: usize) -> Option<(Between, usize)> {
        if self.byte(at + 1) == b':' {
            return (self.byte(at + 2) == b' ')
                .then_some((Between::Sign { tight: true, equals: false }, at + 2));
        }
        self.typed(at + 1).map(|after| (Between::Sign { tight: false, equals: true }, after))
    }

    /// Behind the name, the value as an argument: `("#password").type("…")`,
    /// `put(Names.CLIENT_SECRET, "…")`, `{:password, "…"}`, `"Password", with: "…"`.
    fn called(&self, at: usize, quoted_name: bool) -> Option<usize> {
        let quote = |at: usize| matches!(self.byte(at), b'"' | b'\'');
        if quoted_name && self.byte(at) == b'.' {
            let length = self.bytes[at + 1..]
                .iter()
                .take(24)
                .take_while(|b| b.is_ascii_alphabetic() || **b == b'_')
                .count();
            let open = at + 1 + length;
            return (length > 0 && self.byte(open) == b'(' && quote(open + 1)).then_some(open + 1);
        }
        if self.byte(at) != b',' {
            return None;
        }
        let after = self.blanks(at + 1);
        if quoted_name {
            return self.starts(after, "with: ").then(|| after + "with: ".len());
        }
        let name = &self.bytes[self.name_start..self.name_end];
        let last = name.rsplit(|b| *b == b'.').next().unwrap_or_default();
        let shouting = last.len() >= 5 && last.iter().all(|b| b.is_ascii_uppercase() || *b == b'_');
        let atom = self.line[..self.name_start].ends_with("{:");
        (quote(after) && (atom || (shouting && name.len() > last.len()))).then_some(after)
    }

    /// Behind `</name>`, the value of `<value>`; behind `, ` that of a member that is called so:
    /// `ParameterKey=DbPassword,ParameterValue=…`, `name: TOKEN, value: …`.
    fn value_member(&self, at: usize) -> Option<usize> {
        if self.starts(at, "</") {
            let tag = at + self.line[at..].find('>')? + 1;
            let tag = tag + (self.line[tag..].len() - self.line[tag..].trim_start().len());
            return ["<value>", "<Value>"]
                .iter()
                .find(|open| self.starts(tag, open))
                .map(|open| tag + open.len());
        }
        if self.byte(at) != b',' {
            return None;
        }
        let name = self.blanks(at + 1);
        let length = self.bytes[name..].iter().take(30).take_while(|b| b.is_ascii_alphabetic()).count();
        let says_value = self.line[name..name + length].to_ascii_lowercase().ends_with("value");
        let sign = name + length;
        (says_value && matches!(self.byte(sign), b'=' | b':')).then(|| self.blanks(sign + 1))
    }

    /// Commas, brackets and tags behind a name. The inner nothing: no value can follow.
    fn bracket(&self, at: usize, blank: bool, quoted_name: bool) -> Option<Option<(Between, usize)>> {
        if matches!(self.byte(at), b',' | b'{') && (quoted_name || self.byte(at) == b'{') {
            let after = self.blanks(at + 1);
            if self.byte(at) == b',' || matches!(self.byte(after), b'"' | b'\'') {
                return Some(Some((Between::Argument, at + 1)));
            }
            // `string Password { get; set; } = "…"`
            if self.starts(after, "get")
                && let Some(sign) = self.line[after..].find("} = ")
            {
                return Some(Some((Between::Sign { tight: false, equals: true }, after + sign + 4)));
            }
            return Some(None);
        }
        if self.byte(at) == b',' && self.only_name_in_front() && !blank {
            // A line of two columns.
            let rest = &self.line[at + 1..];
            let two = !rest.trim_end().contains([' ', ',', ';', '(']);
            return Some(Some((if two { Between::Cell } else { Between::Blank }, at + 1)));
        }
        if self.byte(at) == b'|' {
            if self.line.trim_start().starts_with('|') {
                return Some(Some((Between::Cell, at + 1)));
            }
            let after = self.blanks(at + 1);
            let default = self.starts(after, "default(");
            return Some(default.then_some((Between::Argument, after + "default(".len())));
        }
        if self.starts(at, "</key>")
            && let Some(tag) = self.line[at..].find("<string>")
        {
            return Some(Some((Between::Element, at + tag + "<string>".len())));
        }
        if self.byte(at) == b'>' && quoted_name {
            return Some(Some((Between::Element, at + 1)));
        }
        if self.byte(at) == b'(' && !blank {
            return Some(Some((Between::Argument, at + 1)));
        }
        if self.byte(at) == b'>' && !blank && self.line[..self.name_start].ends_with(['<', ':', '/']) {
            let opens = self.byte(self.name_start.wrapping_sub(1)) != b'/';
            return Some(opens.then_some((Between::Element, at + 1)));
        }
        None
    }

    /// Behind a type and `=`: in `: &'static str = "x"` the offset of the quote.
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
        // `type="x"` is an attribute.
        let apart = sign == 2 || self.bytes[at..after].ends_with(b" ") || self.byte(after + 1) == b' ';
        (length > 0 && is_sign && apart && matches!(self.byte(value), b'"' | b'\'' | b'`')).then_some(value)
    }

    /// Behind further attributes or members, the value of `value`: `type="hidden" value="…"`.
    fn value_attribute(&self, at: usize) -> Option<usize> {
        let mut at = at;
        for _ in 0..5 {
            while matches!(self.byte(at), b' ' | b'\t' | b',' | b'"' | b'\'') || self.starts(at, "\\\"") {
                at += 1;
            }
            let word = self.bytes[at.min(self.bytes.len())..]
                .iter()
                .take(20)
                .take_while(|b| b.is_ascii_alphabetic())
                .count();
            let name = self.line.get(at..at + word).filter(|name| !name.is_empty())?;
            let mut after = at + word;
            while matches!(self.byte(after), b'"' | b'\'' | b' ' | b'\\') {
                after += 1;
            }
            if !matches!(self.byte(after), b'=' | b':') {
                return None;
            }
            after = self.blanks(after + 1);
            let lower = name.to_ascii_lowercase();
            if lower.ends_with("value") || matches!(lower.as_str(), "default" | "content") {
                return Some(after);
            }
            at = self.quoted(after)?.2;
        }
        None
    }

    /// `machine host login bob password …`, `login bob password …`
    pub(super) fn is_netrc(&self) -> bool {
        let head = &self.line[..self.name_start];
        let login = head.trim_start().starts_with("login ") && head.len() < 80;
        head.contains("machine ")
            || (self.level == Level::Password && login && head.split_whitespace().count() == 2)
    }

    /// Where blanks alone may be between name and value.
    pub(super) fn blank_allowed(&self, quoted_name: bool) -> bool {
        let head = &self.line[..self.name_start];
        let trimmed = head.trim_start_matches(['+', '-', ' ', '\t', '#', '/', ';']);
        let option = head.ends_with('-') || self.byte(self.name_start) == b'-';
        let command = ["ENV ", "ARG ", "export ", "set ", "setx ", "setenv ", "SET ", "machine ", "declare "]
            .iter()
            .any(|command| trimmed.starts_with(command) && !quoted_name);
        let netrc = self.is_netrc();
        // The verb: `pass "x" to it`.
        let verb = self.bytes[self.name_start..self.name_end].eq_ignore_ascii_case(b"pass") && !option;
        let rest = self.line[self.name_end..].trim();
        let alone = trimmed.is_empty()
            && self.level == Level::Password
            && self.name_end - self.name_start <= 10
            && !rest.contains(' ');
        let quote_next = matches!(self.byte(self.blanks(self.name_end)), b'"' | b'\'');
        let sql = self.bytes[self.name_start..self.name_end].eq_ignore_ascii_case(b"by")
            || head.to_ascii_lowercase().ends_with("identified ")
            || head.trim_end().ends_with(" WITH")
            || head.contains("USER ");
        option
            || command
            || netrc
            || (alone && !verb)
            || (quote_next && !verb && (sql || trimmed.is_empty() || self.level == Level::Password))
            || sql
    }

    /// `|`, `>-` of YAML, an opening quote or bracket alone: the value follows below.
    pub(super) fn only_opens_block(&self, at: usize) -> bool {
        let rest = self.line[at..].trim();
        if self.outcome.plural && matches!(rest, "[" | "{") {
            return true;
        }
        if let Some(word) = rest.strip_prefix("<<") {
            return word.len() < 20
                && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"~-_'\"".contains(&b));
        }
        // `[]byte(`, `String(`
        let call = rest.len() <= 24 && rest.ends_with('(') && !rest.contains(['"', '\'', ' ', ',', '.']);
        call || matches!(
            rest,
            "" | "|" | ">" | "|-" | ">-" | "|+" | "\"" | "'" | "\"\"\"" | "'''" | "`" | "(" | "\\"
        )
    }
}
