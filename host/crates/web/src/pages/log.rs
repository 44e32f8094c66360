//! A file of a job: its end on a page, all of it as a download.

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use job::store::JobStore as _;
use maud::{Markup, html};
use model::error::{Error, Kind, Result};
use view::files::{Files, whole};
use view::text::bytes;

use super::shared::{head, in_query, job_id};
use super::{Section, frame};
use crate::Site;
use crate::answer::{Response, Values, text};

/// Bytes of a file that a page shows.
const SHOWN: u64 = 256 << 10;

pub(super) fn page(site: &Site, id: &str, asked: &Values) -> Result<Markup> {
    let name = asked.get("name");
    let id = job_id(id)?;
    let row = site.store.get(&id)?;
    let files = Files::of(&site.config, &id);
    let piece = files.tail(name, SHOWN)?;
    let shown = site.clean.prose(&piece.text);
    let download = format!("/jobs/{id}/file?name={}", in_query(name));
    let content = html! {
        (head(site, &row, "log", files.attempts().len()))
        h2 { code { (name) } " " span.quiet { (bytes(piece.total)) } }
        p {
            @if piece.before > 0 { "The last " (bytes(piece.text.len() as u64)) ". " }
            a href=(download) download { "Download" }
        }
        @if shown.trim().is_empty() { p.quiet { "It is empty." } } @else {
            pre.log tabindex="0" { @for line in shown.lines() { (view::diff::cut(line)) "\n" } }
        }
    };
    Ok(frame(name, Section::Jobs, None, content))
}

/// Never shown by the browser, whatever it holds.
pub(super) fn download(site: &Site, id: &str, name: &str) -> Result<Response> {
    let id = job_id(id)?;
    site.store.get(&id)?;
    let path = Files::of(&site.config, &id).path(name)?;
    let content = whole(&path)
        .map_err(|error| Error::new(Kind::Environment, format!("failed to read artifact {name}: {error}")))?;
    // Artifacts were redacted when they were written, but not of what is known since.
    let content = site.clean.exact(&String::from_utf8_lossy(&content));
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
    let name: String = name.chars().map(plain).collect();
    let disposition = format!("attachment; filename=\"{}-{name}\"", &id.as_str()[..12]);
    let mut response = text(StatusCode::OK, "application/octet-stream", content);
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}
