//! What several pages show: a job's state, its head, tabs, and the parts of addresses.

use std::fmt::Write as _;

use job::store::JobRow;
use maud::{Markup, html};
use model::error::{Error, Kind, Result};
use model::spec::JobId;
use model::status::JobStatus;
use model::types::Severity;
use view::text::{ago, span};

use crate::Site;

/// The job of an address.
pub(crate) fn job_id(text: &str) -> Result<JobId> {
    JobId::parse(text).ok_or_else(|| Error::new(Kind::NotFound, "this is no job id"))
}

/// The milliseconds now.
pub(crate) fn now() -> i64 {
    job::identity::now().wall_ms
}

/// A value of a query, so that nothing in it ends the value.
pub(crate) fn in_query(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// The class of a state, which is its colour; the word is always beside it.
pub(crate) fn class(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Queued => "wait",
        JobStatus::Running | JobStatus::Verifying | JobStatus::Revising => "go",
        JobStatus::Completed => "good",
        JobStatus::Failed | JobStatus::TimedOut => "bad",
        JobStatus::Cancelled | JobStatus::Interrupted => "off",
    }
}

/// A state as a word with its colour.
pub(crate) fn state(row: &JobRow) -> Markup {
    let kind = row.result.as_ref().and_then(|result| result.failure.as_ref()).map(|failure| failure.kind);
    let why = match (kind, row.queue_position) {
        (Some(kind), _) if row.status == JobStatus::Failed => Some(words(&serde_json::json!(kind))),
        (_, Some(0)) => Some("next".to_owned()),
        (_, Some(ahead)) => Some(format!("{ahead} ahead")),
        _ => None,
    };
    html! {
        span.state.(class(row.status)) { (row.status.as_str().replace('_', " ")) }
        @if let Some(why) = why { " " span.why { (why) } }
    }
}

/// `check failed` of `"check_failed"`.
pub(crate) fn words(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().replace(['_', '-'], " ")
}

/// A severity as a word with its colour.
pub(crate) fn severity(severity: Severity) -> Markup {
    let (class, word) = match severity {
        Severity::Deny => ("bad", "deny"),
        Severity::Warn => ("warn", "warn"),
        Severity::Info => ("off", "info"),
    };
    html! { span.state.(class) { (word) } }
}

/// How long the job has run, or ran.
pub(crate) fn took(row: &JobRow, now: i64) -> String {
    row.started_ms.map_or_else(|| "–".to_owned(), |from| span(row.finished_ms.unwrap_or(now) - from))
}

/// When something was, with the exact time for who points at it.
pub(crate) fn when(at_ms: i64, now: i64) -> Markup {
    html! { time title=(view::text::moment(at_ms)) { (ago(now - at_ms)) } }
}

/// The last part of the job's directory.
pub(crate) fn repository(site: &Site, row: &JobRow) -> String {
    let directory = row.spec.allowed_dirs.first().map(|dir| dir.path().to_owned()).unwrap_or_default();
    let name = directory.file_name().unwrap_or(directory.as_os_str()).to_string_lossy().into_owned();
    site.clean.line(&name, 80)
}

/// The head of every page of a job: what was asked, and the way to its other pages.
pub(crate) fn head(site: &Site, row: &JobRow, tab: &str, attempts: usize) -> Markup {
    let id = row.id.as_str();
    let tabs = [
        ("overview", format!("/jobs/{id}")),
        ("diff", format!("/jobs/{id}/diff")),
        ("attempts", format!("/jobs/{id}/attempts")),
        ("receipt", format!("/jobs/{id}/receipt")),
    ];
    html! {
        p.up { a href="/" data-key="u" { "Jobs" } " / " code { (&id[..12]) }
            button.small type="button" data-copy=(id) { "Copy id" } }
        h1.task { (site.clean.line(&row.spec.prompt, 200)) }
        nav.tabs aria-label="Job" {
            @for (name, href) in tabs {
                a href=(href) aria-current=[(name == tab).then_some("page")] {
                    (name)
                    @if name == "attempts" && attempts > 1 { " " span.count { (attempts) } }
                }
            }
        }
    }
}
