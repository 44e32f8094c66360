//! A change set read line by line: hunks with line numbers, comments stripped, strings
//! emptied. Markers are looked for in what is left, so that prose and data do not count.

use std::borrow::Cow;

use codex_worker_policy::{ChangeKind, ChangeSet, ChangedFile, FileKind};

use crate::paths::{self, Language};

/// What a line is to the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Added,
    Removed,
    Context,
}

/// One line of a hunk.
#[derive(Debug)]
pub struct Line<'a> {
    pub mark: Mark,
    /// In the new file, from 1; of a removed line, the line that replaced it.
    pub number: u32,
    /// The line as it is in the file.
    pub text: &'a str,
    /// Without comments.
    pub code: Cow<'a, str>,
    /// Without comments, and with nothing between the quotes of strings.
    pub bare: Cow<'a, str>,
}

/// One changed file.
#[derive(Debug)]
pub struct File<'a> {
    pub file: &'a ChangedFile,
    pub path: &'a str,
    pub language: Language,
    /// It is where tests are, by its new or its old name.
    pub in_tests: bool,
    pub hunks: Vec<Vec<Line<'a>>>,
}

impl<'a> File<'a> {
    /// All lines of all hunks.
    pub fn lines(&self) -> impl Iterator<Item = &Line<'a>> {
        self.hunks.iter().flatten()
    }

    /// The lines that the change added.
    pub fn added(&self) -> impl Iterator<Item = &Line<'a>> {
        self.lines().filter(|line| line.mark == Mark::Added)
    }

    /// The lines that the change took away.
    pub fn removed(&self) -> impl Iterator<Item = &Line<'a>> {
        self.lines().filter(|line| line.mark == Mark::Removed)
    }

    /// Whether the file was there before and still is.
    pub fn existed(&self) -> bool {
        self.file.kind != ChangeKind::Added && self.file.new_kind != FileKind::Absent
    }
}

/// Lines that are read of a change set, blank ones not counted: memory is limited, and a
/// change of more lines is read by nobody else either.
const LINES: usize = 300_000;

/// All changed files, in order of their path, and whether all of their lines were read.
pub fn read(changes: &ChangeSet) -> (Vec<File<'_>>, bool) {
    let seen = |file: &&ChangedFile| {
        !file.ignored || file.kind == ChangeKind::Added && paths::steers_tests(&file.path)
    };
    let mut changed: Vec<&ChangedFile> = changes.files.iter().filter(seen).collect();
    changed.sort_by(|a, b| a.path.cmp(&b.path));
    let mut left = LINES;
    let files = changed.into_iter().map(|file| read_file(file, &mut left)).collect();
    (files, left > 0)
}

fn read_file<'a>(file: &'a ChangedFile, left: &mut usize) -> File<'a> {
    let language = paths::language(&file.path);
    let in_tests = paths::in_tests(&file.path) || file.old_path.as_deref().is_some_and(paths::in_tests);
    let mut hunks: Vec<Vec<Line<'_>>> = Vec::new();
    let mut number = 1u32;
    let prose = language == Language::Prose;
    for text in file.patch.as_deref().unwrap_or_default().lines().take_while(|_| !prose) {
        let mark = match text.as_bytes().first() {
            Some(b'@') => {
                number = new_start(text).unwrap_or(number);
                hunks.push(Vec::new());
                continue;
            }
            Some(b'\\') => continue,
            Some(b'+') => Mark::Added,
            Some(b'-') => Mark::Removed,
            _ => Mark::Context,
        };
        // A line of a hunk begins with `+`, `-` or a space; editors strip it from empty ones.
        let text = text.get(1..).unwrap_or_default();
        if text.trim().is_empty() {
            // Counted, and of no interest to any rule.
            number = if mark == Mark::Removed { number } else { number.saturating_add(1) };
            continue;
        }
        if *left == 0 {
            break;
        }
        *left -= 1;
        let (code, bare) = strip(text, language);
        if hunks.is_empty() {
            hunks.push(Vec::new());
        }
        if let Some(hunk) = hunks.last_mut() {
            hunk.push(Line { mark, number, text, code, bare });
        }
        if mark != Mark::Removed {
            number = number.saturating_add(1);
        }
    }
    File { file, path: &file.path, language, in_tests, hunks }
}

/// The first new line of `@@ -a,b +c,d @@`.
fn new_start(header: &str) -> Option<u32> {
    header.split('+').nth(1)?.split([',', ' ']).next()?.parse().ok()
}

/// A line without its comment, and the same without what its strings hold. A block that
/// spans lines is known by the star that its lines begin with.
fn strip(text: &str, language: Language) -> (Cow<'_, str>, Cow<'_, str>) {
    let trimmed = text.trim_start();
    let braces = matches!(language, Language::JavaScript | Language::Rust | Language::Go | Language::Braces);
    if language == Language::Prose
        || (braces && (trimmed.starts_with("* ") || trimmed == "*" || trimmed.starts_with("*/")))
    {
        return (Cow::Borrowed(""), Cow::Borrowed(""));
    }
    // Most lines hold neither a string nor a comment, and need no copy.
    if !text.contains(['"', '\'', '`', '#', '/']) {
        return (Cow::Borrowed(text), Cow::Borrowed(text));
    }
    let hash = matches!(language, Language::Python | Language::Ruby | Language::Shell | Language::Config);
    let (mut code, mut bare) = (String::with_capacity(text.len()), String::with_capacity(text.len()));
    let mut quote: Option<char> = None;
    let mut chars = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = chars.next() {
        if let Some(open) = quote {
            code.push(c);
            if c == '\\' {
                code.extend(chars.next());
            } else if c == open {
                bare.push(c);
                quote = None;
            }
            before = c;
            continue;
        }
        let is_quote = match c {
            '"' => true,
            // A lifetime in Rust, an apostrophe in configuration.
            '\'' => !matches!(language, Language::Rust | Language::Config | Language::Data),
            '`' => matches!(language, Language::JavaScript | Language::Go),
            _ => false,
        };
        if is_quote {
            quote = Some(c);
        } else if hash && c == '#' && (before.is_whitespace() || language != Language::Shell) {
            break;
        } else if braces && c == '/' {
            match chars.peek() {
                Some('/') => break,
                Some('*') => {
                    chars.next();
                    let mut last = ' ';
                    for c in chars.by_ref() {
                        if last == '*' && c == '/' {
                            break;
                        }
                        last = c;
                    }
                    before = ' ';
                    continue;
                }
                _ => {}
            }
        }
        code.push(c);
        bare.push(c);
        before = c;
    }
    (Cow::Owned(code), Cow::Owned(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_taken_out() {
        let table = [
            (Language::Python, "x = 1  # it.skip", "x = 1  ", "x = 1  "),
            (Language::Python, "x = 'a#b' # c", "x = 'a#b' ", "x = '' "),
            (Language::JavaScript, "f(\"it.skip(\") // no", "f(\"it.skip(\") ", "f(\"\") "),
            (Language::JavaScript, "a /* it.only( */ b", "a  b", "a  b"),
            (Language::JavaScript, " * it.skip(", "", ""),
            (Language::Rust, "#[ignore] // why", "#[ignore] ", "#[ignore] "),
            (Language::Rust, "fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
            (Language::Rust, r#"f("\"//")"#, r#"f("\"//")"#, r#"f("")"#),
            (Language::Shell, "x=$# # c", "x=$# ", "x=$# "),
            (Language::Data, "\"a\": \"# no\"", "\"a\": \"# no\"", "\"\": \"\""),
            (Language::Prose, "use it.skip(", "", ""),
        ];
        for (language, text, code, bare) in table {
            assert_eq!(strip(text, language), (code.into(), bare.into()), "{text}");
        }
    }
}
