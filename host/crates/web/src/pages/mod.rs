//! The pages: routes, the frame that they share, and what an error looks like.

mod cost;
mod diff;
mod job;
mod jobs;
mod log;
mod policies;
mod receipt;
mod shared;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use maud::{DOCTYPE, Markup, html};
use model::error::{Error, Kind, Result};
use model::spec::JobId;

use crate::answer::{self, Response, Values};
use crate::{Site, live};

const STYLE: &str = include_str!("../../assets/style.css");
const SCRIPT: &str = include_str!("../../assets/app.js");
const ICON: &str = include_str!("../../assets/icon.svg");

/// The answer to a request whose Host and Origin are right.
pub(crate) async fn route(site: Arc<Site>, request: Request<Incoming>) -> Response {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.strip_prefix('/').unwrap_or(&path).split('/').collect();
    if let (["mcp"], Some(mcp)) = (parts.as_slice(), &site.mcp) {
        return mcp(request).await;
    }
    let asked = Values::parse(request.uri().query().unwrap_or_default().as_bytes());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    // Everybody on this machine may see these: nothing of them is of a job.
    if reads {
        let asset = |kind, content: &'static str| answer::text(StatusCode::OK, kind, content);
        match parts.as_slice() {
            ["open"] => return open(&site, asked.get("token")),
            ["style.css"] => return asset("text/css; charset=utf-8", STYLE),
            ["app.js"] => return asset("text/javascript; charset=utf-8", SCRIPT),
            ["icon.svg"] => return asset("image/svg+xml", ICON),
            _ => {}
        }
    }
    if !site.session.holds(request.headers()) {
        site.session.renew();
        return no_session();
    }
    match (reads, parts.as_slice()) {
        (true, [""]) => made(&site, move |site| jobs::page(site, &asked)).await,
        (true, ["policies"]) => made(&site, |site| Ok(policies::page(site))).await,
        (true, ["cost"]) => made(&site, move |site| cost::page(site, &asked)).await,
        (true, ["live"]) => match asked.get("job") {
            "" => live::stream(site, None),
            id => match JobId::parse(id) {
                Some(id) => live::stream(site, Some(id)),
                None => missing("this is no job id"),
            },
        },
        (true, ["jobs", id, "file"]) => {
            let id = (*id).to_owned();
            match blocking(&site, move |site| log::download(site, &id, asked.get("name"))).await {
                Ok(response) => response,
                Err(error) => fault(&error),
            }
        }
        (true, ["jobs", id, rest @ ..]) => {
            let page = match rest {
                [] => job::page,
                ["attempts"] => job::attempts,
                ["diff"] => diff::page,
                ["log"] => log::page,
                ["receipt"] => receipt::page,
                _ => return missing("there is no such page"),
            };
            let id = (*id).to_owned();
            made(&site, move |site| page(site, &id, &asked)).await
        }
        (false, ["jobs", id, act]) if *request.method() == Method::POST => {
            let act = match *act {
                "cancel" => job::cancel,
                "apply" => job::apply,
                _ => return missing("there is no such action"),
            };
            let id = (*id).to_owned();
            let Some(form) = answer::form(request.into_body()).await else {
                return fault(&Error::new(Kind::Usage, "the form could not be read"));
            };
            made(&site, move |site| act(site, &id, &form)).await
        }
        _ => missing("there is no such page"),
    }
}

/// The one-time address. The page that follows is asked for by this one, and not by whatever
/// opened it: a browser sends a `SameSite=Strict` cookie then.
fn open(site: &Site, token: &str) -> Response {
    let Some(cookie) = site.session.open(token) else { return no_session() };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content="0;url=/";
                title { "codex-worker" }
                link rel="stylesheet" href="/style.css";
            }
            body { main.narrow { p { a href="/" { "Go to the jobs" } } } }
        }
    };
    let mut response = answer::page(StatusCode::OK, page);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

/// Which entry of the navigation a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Jobs,
    Policies,
    Cost,
    None,
}

/// A whole page. `live` is the address of its stream of changes.
pub(crate) fn frame(title: &str, section: Section, live: Option<&str>, content: Markup) -> Markup {
    let entry = |of: Section, href: &str, name: &str| {
        html! { a href=(href) aria-current=[(of == section).then_some("page")] { (name) } }
    };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · codex-worker" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
                script src="/app.js" defer {}
            }
            body data-live=[live] {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    a.brand href="/" { "codex-worker" }
                    nav aria-label="Pages" {
                        (entry(Section::Jobs, "/", "Jobs"))
                        (entry(Section::Policies, "/policies", "Policies"))
                        (entry(Section::Cost, "/cost", "Cost"))
                    }
                    @if live.is_some() { span #live role="status" { "live" } }
                }
                main #content tabindex="-1" { (content) }
                footer {
                    span { kbd { "/" } " search" }
                    span { kbd { "j" } " " kbd { "k" } " next, previous" }
                    span { kbd { "Enter" } " open" }
                    span { kbd { "u" } " up" }
                }
            }
        }
    }
}

/// Runs what blocks.
async fn blocking<T: Send + 'static>(
    site: &Arc<Site>,
    work: impl FnOnce(&Site) -> Result<T> + Send + 'static,
) -> Result<T> {
    let site = site.clone();
    match tokio::task::spawn_blocking(move || work(&site)).await {
        Ok(result) => result,
        Err(error) => Err(Error::new(Kind::Internal, format!("a fault of codex-worker: {error}"))),
    }
}

/// A page that is made by what blocks, or the page of its error.
async fn made(site: &Arc<Site>, page: impl FnOnce(&Site) -> Result<Markup> + Send + 'static) -> Response {
    match blocking(site, page).await {
        Ok(page) => answer::page(StatusCode::OK, page),
        Err(error) => fault(&error),
    }
}

fn fault(error: &Error) -> Response {
    let status = match error.kind {
        Kind::Usage => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Refused => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let content = html! {
        div.narrow {
            h1 { (error.message) }
            @for hint in &error.hints { p { (hint) } }
            p { a href="/" { "All jobs" } }
        }
    };
    answer::page(status, frame("Error", Section::None, None, content))
}

fn missing(what: &str) -> Response {
    fault(&Error::new(Kind::NotFound, what))
}

/// The answer to whoever has no session.
pub(crate) fn no_session() -> Response {
    let content = html! {
        div.narrow {
            h1 { "This browser has no session" }
            p {
                "Open the address that " code { "codex-worker serve" } " printed last in its terminal. "
                "It works once; when it was used, a new one is printed there now."
            }
        }
    };
    let page = frame("No session", Section::None, None, content);
    let mut response = answer::page(StatusCode::UNAUTHORIZED, page);
    // Authentication is no scheme of HTTP here; the header is what 401 must have.
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Address realm=\"serve\""));
    response
}
