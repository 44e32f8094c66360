//! A job's diff with the colours of code.

use job::store::JobStore as _;
use maud::{Markup, html};
use model::error::Result;
use view::diff::{File, Kind, parse};
use view::files::Files;
use view::syntax::{self, Class, Language};

use super::shared::{head, in_query, job_id};
use super::{Section, frame};
use crate::Site;
use crate::answer::Values;

/// Bytes of a diff that are read, and lines of it that are shown.
pub(super) const DIFF_MAX: u64 = 4 << 20;
const LINES_MAX: usize = 4000;

pub(super) fn page(site: &Site, id: &str, asked: &Values) -> Result<Markup> {
    let attempt: Option<u32> = asked.get("attempt").parse().ok();
    let id = job_id(id)?;
    let row = site.store.get(&id)?;
    let files = Files::of(&site.config, &id);
    let attempts = files.attempts();
    let name = files.diff(attempt);
    let piece = name.as_ref().map(|name| files.head(name, DIFF_MAX)).transpose()?;
    let text = piece.as_ref().map(|piece| site.clean.prose(&piece.text)).unwrap_or_default();
    let (changed, more) = parse(&text, LINES_MAX);
    let cut = more > 0 || piece.as_ref().is_some_and(|piece| piece.behind > 0);
    let content = html! {
        (head(site, &row, "diff", attempts.len()))
        @if attempts.len() > 1 {
            nav.filters aria-label="Pass" {
                a href={ "/jobs/" (id) "/diff" } aria-current=[attempt.is_none().then_some("true")] { "result" }
                @for n in &attempts {
                    a href={ "/jobs/" (id) "/diff?attempt=" (n) } aria-current=[(attempt == Some(*n)).then_some("true")] { "pass " (n) }
                }
            }
        }
        @if changed.is_empty() { div.empty { p {
            @if name.is_some() { "Nothing was changed." } @else { "There is no diff yet." }
        } } } @else {
            (summary(&changed))
            @for (n, file) in changed.iter().enumerate() { (one(n, file)) }
        }
        @if let Some(name) = &name {
            p { @if cut { "The diff is longer than a page shows. " }
                a href={ "/jobs/" (id) "/file?name=" (in_query(name)) } download { "Download the diff" } }
        }
    };
    Ok(frame("Diff", Section::Jobs, None, content))
}

fn summary(files: &[File]) -> Markup {
    let sum = |of: fn(&File) -> usize| files.iter().map(of).sum::<usize>();
    html! {
        details #files open[files.len() <= 20] {
            summary { (files.len()) @if files.len() == 1 { " file " } @else { " files " }
                span.plus { "+" (sum(|f| f.added)) } " " span.minus { "−" (sum(|f| f.removed)) } }
            ul.stat { @for (n, file) in files.iter().enumerate() {
                li { a href={ "#file-" (n) } { (file.path) } " " span.plus { "+" (file.added) } " " span.minus { "−" (file.removed) } }
            } }
        }
    }
}

fn one(n: usize, file: &File) -> Markup {
    html! {
        details.diff id={ "file-" (n) } open {
            summary { code { (file.path) } " " span.plus { "+" (file.added) } " " span.minus { "−" (file.removed) } }
            div.scroll tabindex="0" role="region" aria-label={ "Diff of " (file.path) } { (lines(file)) }
        }
    }
}

fn lines(file: &File) -> Markup {
    let language = syntax::language(&file.path);
    html! {
        table.code { tbody {
            @for line in &file.lines {
                @let (class, sign) = match line.kind {
                    Kind::Added => ("add", "+"), Kind::Removed => ("del", "−"), Kind::Context => ("same", ""),
                    Kind::Hunk => ("hunk", ""), Kind::Note => ("note", ""),
                };
                tr.(class) {
                    td.no { @if let Some(old) = line.old { (old) } }
                    td.no { @if let Some(new) = line.new { (new) } }
                    td.sign { (sign) }
                    td.line {
                        @if matches!(line.kind, Kind::Hunk | Kind::Note) { (line.text) } @else { (code(language, &line.text)) }
                    }
                }
            }
        } }
    }
}

fn code(language: Language, line: &str) -> Markup {
    html! {
        @for (class, text) in syntax::pieces(language, line) {
            @match class {
                Class::Plain => (text),
                Class::Comment => span.c { (text) },
                Class::Text => span.s { (text) },
                Class::Number => span.m { (text) },
                Class::Keyword => span.k { (text) },
            }
        }
    }
}

/// A few lines with signs, such as a mutant's difference.
pub(super) fn snippet(site: &Site, path: &str, diff: &str) -> Markup {
    let language = syntax::language(path);
    let text = site.clean.prose(view::files::prefix(diff, 8000));
    html! {
        div.scroll { table.code { tbody {
            @for line in text.lines().take(40) {
                @let (class, sign, rest) = match line.as_bytes().first() {
                    Some(b'+') => ("add", "+", &line[1..]),
                    Some(b'-') => ("del", "−", &line[1..]),
                    Some(b' ') => ("same", "", &line[1..]),
                    _ => ("same", "", line),
                };
                tr.(class) { td.sign { (sign) } td.line { (code(language, &view::diff::cut(rest))) } }
            }
        } } }
    }
}
