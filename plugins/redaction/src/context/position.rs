//! Where an unquoted value is: where only a value can be, in a connection string, in code.

use super::Reader;
use super::between::Between;
use crate::value::{self, Position};

/// Options whose argument is `name=value`.
const OPTIONS: &[&str] = &[
    "-e",
    "--env",
    "--set",
    "--set-string",
    "--build-arg",
    "-d",
    "--data",
    "-var",
    "-p",
    "--form",
    "-F",
    "-D",
    "--from-literal",
];
/// What may be in front of `name=value` in a file of settings or on a line of its own.
const ENVIRONMENT: &[&str] =
    &["", "export", "set", "Environment=", "env", "ENV", "ARG", "declare -x", "local", "Environment"];

/// The word in front, without the part of the name that is not the name's: `-e`, `--set` in
/// `--set auth.`; the quote between them does not count.
fn head_word(before: &str) -> &str {
    let near = &before[before.floor_char_boundary(before.len().saturating_sub(40))..];
    near.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || "._[]".contains(c))
        .trim_end_matches([' ', '"', '\'', '='])
}

impl Reader<'_> {
    /// Whether an unquoted value is where only a value can be.
    pub(super) fn position(&self, start: usize, end: usize, between: Between) -> Position {
        let name = &self.bytes[self.name_start..self.name_end];
        let shouting = name.iter().any(u8::is_ascii_uppercase) && !name.iter().any(u8::is_ascii_lowercase);
        let head = self.line[..self.name_start].trim_matches(|c: char| " \t+-\"'#".contains(c));
        let tail = self.line[end..].trim_matches(|c: char| " \t\"')]}".contains(c));
        let connection = self.line[..self.name_start].contains(';')
            || (self.byte(end) == b';' && self.line[end + 1..].contains('='));
        let before = &self.line[..self.name_start];
        // `user=app password=…`: a connection string of words.
        let previous = before.strip_suffix(' ').and_then(|head| head.rsplit([' ', '"', '\'']).next());
        let in_words = previous.is_some_and(|word| word.contains('=') && !word.ends_with([',', '=', ';']));
        let option = before.ends_with("--")
            || before.ends_with(" -")
            || (before.ends_with("${") && self.bytes[start..end].iter().any(u8::is_ascii_digit))
            || OPTIONS.iter().any(|option| head_word(before).ends_with(option));
        let query = self.name_start > 0 && matches!(self.bytes[self.name_start - 1], b'?' | b'&');
        let configured = match between {
            Between::Element => true,
            // A heading or a comment is no setting: `# Password validation`.
            Between::Blank => {
                option
                    || (tail.is_empty() && !self.line.trim_start().starts_with(['#', '/', '*', ';']))
                    || self.is_netrc()
            }
            Between::Sign { tight, equals } => {
                connection
                    || option
                    || query
                    || (tight && equals && in_words)
                    || (tight && equals && (shouting || (ENVIRONMENT.contains(&head) && tail.is_empty())))
                    || (!equals
                        && (head.is_empty() || tight)
                        && (tail.is_empty() || tail.starts_with('#'))
                        && self.bytes[start..end].iter().all(|b| *b != b'_'))
            }
            Between::Argument | Between::Cell => false,
        };
        let lower = self.line.to_ascii_lowercase();
        if connection
            && ["server=", "data source=", "user id=", "uid=", "user=", "host=", "username="]
                .iter()
                .any(|word| lower.contains(word))
        {
            return Position::Connection;
        }
        let value = &self.line[start..end];
        if configured && !value::is_code(value) && !value.ends_with(['{', ':']) {
            Position::Config
        } else {
            Position::Bare
        }
    }
}
