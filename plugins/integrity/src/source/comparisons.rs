//! Comparisons that are always true.

use crate::diff::{File, Line, Mark};
use crate::findings::{Findings, quote};
use crate::paths::Language;

/// `def __eq__(…): return True` and its like in other languages.
pub fn overloaded(file: &File<'_>, findings: &mut Findings<'_>) {
    for hunk in &file.hunks {
        let lines: Vec<&Line<'_>> =
            hunk.iter().filter(|line| line.mark != Mark::Removed && !line.code.trim().is_empty()).collect();
        for (index, header) in lines.iter().enumerate() {
            let Some(after) = comparison_header(&header.bare, file.language) else { continue };
            let body = if after.trim().is_empty() || after.trim() == "{" {
                // The first statement of the body; a documentation string may precede it.
                lines[index + 1..]
                    .iter()
                    .take(4)
                    .find(|line| !matches!(line.bare.trim(), "{" | "\"\"\"\"\"\"" | "\"\"\"" | "\"\""))
                    .map(|line| (*line, line.bare.trim()))
            } else {
                Some((*header, after.trim()))
            };
            let Some((line, statement)) = body else { continue };
            let negated = header.bare.contains("__ne__")
                || header.bare.contains("operator!=")
                || header.bare.contains("fn ne(");
            let wanted = if negated { "false" } else { "true" };
            let constant = is_constant(statement, wanted == "true");
            if constant && (line.mark == Mark::Added || header.mark == Mark::Added) {
                findings.add(
                    "comparison-overloaded",
                    Some((file.path, header.number)),
                    format!("a comparison that is always {wanted}: {}", quote(header.text)),
                    "compare the values; a job that wants this names the file in its scope",
                );
                return;
            }
        }
    }
}

/// Always the same, however it is spelt: `return 1 == 1`, `not False`, `true || …`.
fn is_constant(statement: &str, wanted: bool) -> bool {
    let plain: String = statement
        .to_ascii_lowercase()
        .chars()
        .filter(|c| !matches!(c, '{' | '}' | ';' | ',' | '(' | ')') && !c.is_whitespace())
        .collect();
    let plain = plain.strip_prefix("return").unwrap_or(&plain);
    let forms: &[&str] = if wanted {
        &[
            "true",
            "1",
            "1==1",
            "notfalse",
            "!false",
            "bool1",
            "booltrue",
            "!!1",
            "0==0",
            "true==true",
            "notnottrue",
        ]
    } else {
        &["false", "0", "nottrue", "!true", "1!=1", "bool0", "boolfalse"]
    };
    forms.contains(&plain)
        || wanted
            && (plain.starts_with("true||")
                || plain.starts_with("trueor")
                || plain.ends_with("||true")
                || plain.ends_with("ortrue"))
}

/// What follows the head of a function that compares, if the line is one.
fn comparison_header(bare: &str, language: Language) -> Option<&str> {
    let names: &[&str] = match language {
        Language::Python => &[
            "def __eq__(",
            "def __ne__(",
            "def __le__(",
            "def __ge__(",
            "def __contains__(",
            "def __bool__(",
            "def __instancecheck__(",
        ],
        Language::Rust => &["fn eq(", "fn ne("],
        Language::JavaScript => &["equals(", "isEqual(", "asymmetricMatch("],
        Language::Go => &["Equal(", "Equals("],
        Language::Ruby => &["def ==(", "def ==", "def eql?"],
        Language::Braces => &[
            "boolean equals(",
            "bool Equals(",
            "operator==(",
            "operator==",
            "operator!=(",
            "fun equals(",
            "func ==",
            "bool operator ==(",
        ],
        _ => return None,
    };
    // One that is assigned: `__eq__ = lambda self, other: True`.
    if language == Language::Python
        && let Some((left, body)) =
            bare.split_once("lambda").and_then(|(l, r)| Some((l, r.split_once(':')?.1)))
        && (left.trim().ends_with("__eq__ =")
            || left.contains("\"__eq__\",")
            || left.contains("\"\"") && left.contains("setattr("))
    {
        return Some(body);
    }
    // A definition, not a call on some value: only white space precedes it.
    let at = names.iter().find_map(|name| {
        let at = bare.find(name)?;
        bare[..at].chars().next_back().is_none_or(char::is_whitespace).then_some(at + name.len())
    })?;
    let rest = &bare[at..];
    // The head ends with `:` in Python, with `{` elsewhere, with the line in Ruby.
    match language {
        Language::Python => rest.rsplit_once("):").map(|(_, body)| body).or_else(|| {
            rest.split_once(" -> ").and_then(|(_, rest)| rest.split_once(':')).map(|(_, body)| body)
        }),
        Language::Ruby => Some(""),
        Language::JavaScript => {
            // A call has no body.
            let (_, body) = rest.split_once('{')?;
            Some(body)
        }
        _ => match rest.split_once('{') {
            Some((_, body)) => Some(body),
            // C#'s and Kotlin's bodies that are one expression.
            None => match rest.split_once("=>").or_else(|| rest.rsplit_once(") =")) {
                Some((_, body)) => Some(body),
                None => (!rest.trim_end().ends_with(';')).then_some(""),
            },
        },
    }
}
