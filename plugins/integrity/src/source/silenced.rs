//! Errors and warnings that are silenced.

use crate::diff::{File, Line, Mark};
use crate::findings::{Findings, quote};
use crate::paths::Language;

/// One finding a file, with the number of lines.
pub fn silenced(file: &File<'_>, findings: &mut Findings<'_>) {
    let silences = |line: &Line<'_>| {
        // Directives are comments: they are looked for in the whole line.
        let (text, bare) = (line.text, line.bare.trim());
        match file.language {
            Language::Python => {
                text.contains("# type: ignore")
                    || text.contains("# noqa")
                    || text.contains("# pylint: disable")
                    || (bare.starts_with("except") && bare.ends_with(": pass"))
            }
            Language::JavaScript => {
                text.contains("@ts-ignore")
                    || text.contains("@ts-nocheck")
                    || text.contains("eslint-disable")
                    || text.contains("istanbul ignore")
                    || is_empty_catch(bare)
            }
            Language::Rust => {
                (bare.starts_with("#[allow(") || bare.starts_with("#![allow("))
                    && bare.contains(')')
                    && !bare.contains("reason")
            }
            Language::Go => text.contains("//nolint"),
            Language::Braces => {
                bare.contains("@SuppressWarnings") || is_empty_catch(bare) || text.contains("NOLINT")
            }
            Language::Ruby => text.contains("rubocop:disable") || bare == "rescue nil",
            _ => false,
        }
    };
    let swallows_below = |hunk: &[Line<'_>], index: usize| {
        file.language == Language::Python
            && hunk[index].bare.trim_start().starts_with("except")
            && hunk[index].bare.trim_end().ends_with(':')
            && hunk.get(index + 1).is_some_and(|next| next.mark == Mark::Added && next.bare.trim() == "pass")
    };
    let mut places: Vec<&Line<'_>> = Vec::new();
    for hunk in &file.hunks {
        for (index, line) in hunk.iter().enumerate() {
            if line.mark == Mark::Added && (silences(line) || swallows_below(hunk, index)) {
                places.push(line);
            }
        }
    }
    let before = file.removed().filter(|line| silences(line)).count();
    if let Some(first) = places.first().filter(|_| places.len() > before) {
        let more = if places.len() > 1 { format!(" and {} more", places.len() - 1) } else { String::new() };
        findings.add(
            "errors-silenced",
            Some((file.path, first.number)),
            format!("an error or warning is silenced: {}{more}", quote(first.text)),
            "handle the error, or say in the code why it may be ignored",
        );
    }
}

fn is_empty_catch(bare: &str) -> bool {
    let packed: String = bare.chars().filter(|c| !c.is_whitespace()).collect();
    packed.find("catch").is_some_and(|at| {
        let rest = &packed[at + 5..];
        let body =
            if rest.starts_with('(') { rest.split_once(')').map_or("", |(_, body)| body) } else { rest };
        body.starts_with("{}")
    })
}
