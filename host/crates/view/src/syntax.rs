//! Colours for a line of code: comments, strings, numbers, keywords, by rules that most
//! languages share. A line at a time, so that a diff's lines need no context; a comment over
//! several lines is only known where it begins. Chosen over a grammar for each language, whose
//! libraries take longer to build than this host.

/// What a piece of a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Anything else.
    Plain,
    /// A comment.
    Comment,
    /// A string.
    Text,
    /// A number.
    Number,
    /// A keyword.
    Keyword,
}

/// How a language spells its comments and strings.
#[derive(Clone, Copy, Debug)]
pub struct Language {
    comments: &'static [&'static str],
    quotes: &'static [char],
    keywords: bool,
}

const C: Language = Language { comments: &["//", "/*"], quotes: &['"', '\'', '`'], keywords: true };
const RUST: Language = Language { comments: &["//", "/*"], quotes: &['"'], keywords: true };
const SHELL: Language = Language { comments: &["#"], quotes: &['"', '\''], keywords: true };
const SQL: Language = Language { comments: &["--", "/*"], quotes: &['\''], keywords: true };
const DATA: Language = Language { comments: &["#"], quotes: &['"', '\''], keywords: false };
const JSON: Language = Language { comments: &[], quotes: &['"'], keywords: false };
const NONE: Language = Language { comments: &[], quotes: &[], keywords: false };

/// The language of a file by its name.
pub fn language(path: &str) -> Language {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit('.').next().unwrap_or_default() {
        "rs" => RUST,
        "c" | "h" | "cc" | "cpp" | "hpp" | "cs" | "java" | "kt" | "go" | "js" | "jsx" | "mjs" | "cjs"
        | "ts" | "tsx" | "swift" | "scala" | "php" | "dart" | "css" | "scss" | "zig" | "wit" => C,
        "py" | "rb" | "sh" | "bash" | "zsh" | "bats" | "pl" | "ex" | "exs" | "r" | "Makefile"
        | "Dockerfile" | "justfile" => SHELL,
        "sql" | "lua" | "hs" => SQL,
        "toml" | "yaml" | "yml" | "ini" | "cfg" | "conf" => DATA,
        "json" | "jsonl" => JSON,
        _ => NONE,
    }
}

/// Words of many languages; a language that lacks one rarely uses it as a name.
const KEYWORDS: &[&str] = &[
    "abstract",
    "and",
    "as",
    "assert",
    "async",
    "await",
    "begin",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "crate",
    "def",
    "defer",
    "del",
    "delete",
    "do",
    "done",
    "elif",
    "else",
    "end",
    "ensure",
    "enum",
    "except",
    "export",
    "extends",
    "extern",
    "false",
    "fi",
    "final",
    "finally",
    "fn",
    "for",
    "from",
    "func",
    "function",
    "global",
    "go",
    "if",
    "impl",
    "implements",
    "import",
    "in",
    "interface",
    "is",
    "lambda",
    "let",
    "local",
    "loop",
    "match",
    "mod",
    "module",
    "mut",
    "namespace",
    "new",
    "nil",
    "none",
    "None",
    "not",
    "null",
    "or",
    "package",
    "pass",
    "private",
    "protected",
    "pub",
    "public",
    "raise",
    "ref",
    "require",
    "rescue",
    "return",
    "self",
    "Self",
    "static",
    "struct",
    "super",
    "switch",
    "then",
    "this",
    "throw",
    "throws",
    "trait",
    "true",
    "True",
    "False",
    "try",
    "type",
    "typedef",
    "undefined",
    "unless",
    "unsafe",
    "until",
    "use",
    "using",
    "var",
    "void",
    "where",
    "while",
    "with",
    "yield",
];

/// The line in pieces; together they are the line.
pub fn pieces(language: Language, line: &str) -> Vec<(Class, &str)> {
    let mut found: Vec<(Class, &str)> = Vec::new();
    let mut plain = 0;
    let mut at = 0;
    while at < line.len() {
        let rest = &line[at..];
        let word_before = line[..at].chars().next_back().is_some_and(is_word);
        let Some(first) = rest.chars().next() else { break };
        // In shells a `#` inside a word is no comment.
        let inside = line[..at].ends_with(|c: char| !c.is_whitespace());
        let comment = |mark: &str| rest.starts_with(mark) && !(mark == "#" && inside);
        let (class, length) = if language.comments.iter().any(|mark| comment(mark)) {
            let end = if rest.starts_with("/*") { rest.find("*/").map(|end| end + 2) } else { None };
            (Class::Comment, end.unwrap_or(rest.len()))
        } else if language.quotes.contains(&first) {
            (Class::Text, quoted(rest, first))
        } else if first.is_ascii_digit() && !word_before && !language.quotes.is_empty() {
            (Class::Number, rest.find(|c: char| !is_word(c) && c != '.').unwrap_or(rest.len()))
        } else if is_word(first) && !word_before {
            let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            let known = language.keywords && KEYWORDS.contains(&&rest[..length]);
            (if known { Class::Keyword } else { Class::Plain }, length)
        } else {
            (Class::Plain, first.len_utf8())
        };
        if class != Class::Plain {
            if plain < at {
                found.push((Class::Plain, &line[plain..at]));
            }
            found.push((class, &line[at..at + length]));
            plain = at + length;
        }
        at += length;
    }
    if plain < line.len() {
        found.push((Class::Plain, &line[plain..]));
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Bytes of the string that begins `text`; to the end of the line where it is not closed.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_line() {
        for (path, line, expected) in [
            ("a.rs", "let x = \"a\\\"b\"; // end", "K:let|P: x = |T:\"a\\\"b\"|P:; |C:// end"),
            ("a.rs", "fn f<'a>(x: &'a u8) { 0x1f_u8 }", "K:fn|P: f<'a>(x: &'a u8) { |N:0x1f_u8|P: }"),
            ("a.py", "if x1 == 'é': # ok", "K:if|P: x1 == |T:'é'|P:: |C:# ok"),
            ("a.sh", "echo ${#x} \"open", "P:echo ${#x} |T:\"open"),
            ("a.js", "/* a */ return", "C:/* a */|P: |K:return"),
            ("README", "let it be 5", "P:let it be 5"),
            ("a.toml", "k = 5 # five", "P:k = |N:5|P: |C:# five"),
            ("a.rs", "", ""),
        ] {
            let found = pieces(language(path), line);
            let shown: Vec<String> = found
                .iter()
                .map(|(class, text)| {
                    let class = match class {
                        Class::Plain => "P",
                        Class::Comment => "C",
                        Class::Text => "T",
                        Class::Number => "N",
                        Class::Keyword => "K",
                    };
                    format!("{class}:{text}")
                })
                .collect();
            assert_eq!(shown.join("|"), expected, "{line}");
            assert_eq!(found.iter().map(|(_, text)| *text).collect::<String>(), line);
        }
    }
}
