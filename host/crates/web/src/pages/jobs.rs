//! The list of jobs: filter, search, pages.

use job::sqlite::{Page, PageQuery};
use job::store::JobRow;
use maud::{Markup, html};
use model::status::JobStatus;
use view::cost::Table;
use view::text::{count, money};

use super::shared::{in_query, now, repository, state, took, when};
use super::{Section, frame};
use crate::Site;
use crate::answer::Values;

const PAGE: u64 = 50;

/// The filters, with the states that each stands for.
const FILTERS: [(&str, &[JobStatus]); 5] = [
    ("all", &[]),
    ("active", &[JobStatus::Queued, JobStatus::Running, JobStatus::Verifying, JobStatus::Revising]),
    ("completed", &[JobStatus::Completed]),
    ("failed", &[JobStatus::Failed, JobStatus::TimedOut]),
    ("stopped", &[JobStatus::Cancelled, JobStatus::Interrupted]),
];

pub(super) fn page(site: &Site, asked: &Values) -> model::error::Result<Markup> {
    let filter = FILTERS.iter().find(|(name, _)| *name == asked.get("state")).unwrap_or(&FILTERS[0]);
    let search: String = asked.get("q").chars().take(200).collect();
    let number = asked.get("page").parse::<u64>().unwrap_or(0).min(1_000_000);
    let query = PageQuery {
        statuses: filter.1.to_vec(),
        search: search.clone(),
        limit: PAGE as u32,
        offset: number * PAGE,
    };
    let page = site.store.page(&query)?;
    let costs = site.costs.table()?;
    let here = |state: &str, number: u64| {
        let mut parts = Vec::new();
        if state != "all" {
            parts.push(format!("state={state}"));
        }
        if !search.is_empty() {
            parts.push(format!("q={}", in_query(&search)));
        }
        if number > 0 {
            parts.push(format!("page={number}"));
        }
        if parts.is_empty() { "/".to_owned() } else { format!("/?{}", parts.join("&")) }
    };
    let content = html! {
        h1.hidden { "Jobs" }
        form.search action="/" role="search" {
            @if filter.0 != "all" { input type="hidden" name="state" value=(filter.0); }
            label.hidden for="q" { "Search jobs" }
            input #q type="search" name="q" value=(search) placeholder="Search tasks, directories, labels, ids"
                autocomplete="off" data-key="/";
            button type="submit" { "Search" }
        }
        nav.filters aria-label="Filter by state" data-part="filters" {
            @for (name, states) in FILTERS {
                a href=(here(name, 0)) aria-current=[(name == filter.0).then_some("true")] {
                    (name) " " span.count { (number_of(&page, states)) }
                }
            }
        }
        div data-part="jobs" {
            @if page.rows.is_empty() { (nothing(&page, &search, number)) } @else { (table(site, &page.rows, &costs)) }
            (pager(&page, number, &|to| here(filter.0, to)))
        }
    };
    Ok(frame("Jobs", Section::Jobs, Some("/live"), content))
}

fn number_of(page: &Page, states: &[JobStatus]) -> u64 {
    let wanted = |status: &JobStatus| states.is_empty() || states.contains(status);
    page.counts.iter().filter(|(status, _)| wanted(status)).map(|(_, count)| count).sum()
}

fn nothing(page: &Page, search: &str, number: u64) -> Markup {
    html! {
        div.empty {
            @if number > 0 { p { "There is no such page." } }
            @else if !search.is_empty() { p { "No job fits this search." } }
            @else if page.counts.is_empty() {
                p { "No jobs yet. Codex starts them with the tool " code { "start" } "; "
                    code { "codex-worker demo" } " shows one." }
            }
            @else { p { "No job is in this state." } }
        }
    }
}

fn table(site: &Site, rows: &[JobRow], costs: &Table) -> Markup {
    let now = now();
    html! {
        table.jobs {
            thead { tr {
                th scope="col" { "State" } th scope="col" { "Task" }
                th.n scope="col" { "Files" } th.n scope="col" { "Passes" } th.n scope="col" { "Tokens" }
                th.n scope="col" { "Cost" } th.n scope="col" { "Took" } th.n scope="col" { "Started" }
            } }
            tbody {
                @for row in rows { (line(site, row, costs, now)) }
            }
        }
    }
}

fn line(site: &Site, row: &JobRow, costs: &Table, now: i64) -> Markup {
    let result = row.result.as_ref();
    let files = result.map(|result| result.changed_files.len() + result.changed_files_omitted as usize);
    let sum = costs.job(row.id.as_str());
    let tokens = result
        .and_then(|r| Some(r.usage.input_tokens? + r.usage.output_tokens?))
        .or(sum.map(|sum| sum.tokens()).filter(|tokens| *tokens > 0));
    html! {
        tr data-row {
            td.st { (state(row)) }
            td.what {
                a href={ "/jobs/" (row.id) } data-open { (site.clean.line(&row.spec.prompt, 160)) }
                div.sub {
                    span { (repository(site, row)) }
                    @if let Some(model) = &row.spec.model { span { (site.clean.line(model, 60)) } }
                    @for (name, value) in row.spec.labels.iter().take(4) {
                        span.label { (site.clean.line(&format!("{name}={value}"), 60)) }
                    }
                    @if row.status.is_active() && let Some(event) = &row.last_event {
                        span.event { (site.clean.line(event, 120)) }
                    }
                }
            }
            (cell("files", files.map(|n| n.to_string())))
            (cell("passes", result.map(|result| result.attempts.to_string())))
            (cell("tokens", tokens.map(count)))
            (cell("cost", sum.and_then(|sum| sum.cost).map(|cost| money(Some(cost)))))
            (cell("took", row.started_ms.map(|_| took(row, now))))
            td.n.age { (when(row.created_ms, now)) }
        }
    }
}

/// A number with its name, which a phone shows; nothing, where it is not known.
fn cell(name: &str, value: Option<String>) -> Markup {
    html! {
        @match value {
            Some(value) => td.n data-h=(name) { (value) },
            None => td.n.unknown data-h=(name) { "–" },
        }
    }
}

fn pager(page: &Page, number: u64, to: &dyn Fn(u64) -> String) -> Markup {
    let last = page.total.saturating_sub(1) / PAGE;
    if last == 0 && number == 0 {
        return html! {};
    }
    let first = (number * PAGE + 1).min(page.total);
    html! {
        nav.pager aria-label="Pages of jobs" {
            @if number > 0 { a href=(to(number.min(last + 1) - 1)) rel="prev" { "← Newer" } } @else { span {} }
            span { (first) "–" (((number + 1) * PAGE).min(page.total)) " of " (page.total) }
            @if number < last { a href=(to(number + 1)) rel="next" { "Older →" } } @else { span {} }
        }
    }
}
