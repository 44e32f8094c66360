//! What jobs cost: over days, by model, repository and label.

use maud::{Markup, html};
use model::error::Result;
use std::collections::HashMap;
use view::cost::{By, Sum};
use view::text::{count, money};

use super::{Section, frame};
use crate::answer::Values;
use crate::{Site, chart};

const RANGES: [u32; 3] = [7, 30, 90];
const GROUPS_SHOWN: usize = 20;

pub(super) fn page(site: &Site, asked: &Values) -> Result<Markup> {
    let days: u32 = asked.get("days").parse().unwrap_or(30);
    let days = if RANGES.contains(&days) { days } else { 30 };
    let table = site.costs.table()?;
    let today = jiff::Timestamp::now();
    let names: Vec<String> = (0..days)
        .rev()
        .filter_map(|back| today.checked_sub(jiff::SignedDuration::from_hours(24 * i64::from(back))).ok())
        .map(|day| day.to_string().chars().take(10).collect())
        .collect();
    let first = names.first().cloned().unwrap_or_default();
    let (by_day, all) = table.days(&first);
    let origins: HashMap<_, _> =
        site.store.origins()?.into_iter().map(|origin| (origin.id.clone(), origin)).collect();
    // Without prices the chart is of tokens: a row of zeros would say that nothing was paid.
    let priced = all.cost.is_some();
    let value = |sum: &Sum| if priced { sum.cost.unwrap_or(0.0) } else { sum.tokens() as f64 };
    let said = |value: f64| if priced { money(Some(value)) } else { count(value as u64) };
    let columns: Vec<(String, f64, String)> = names
        .into_iter()
        .map(|day| {
            let sum = by_day.get(&day).copied().unwrap_or_default();
            let text = format!(
                "{day}: {}, {} requests, {} tokens",
                said(value(&sum)),
                sum.requests,
                count(sum.tokens())
            );
            (day, value(&sum), text)
        })
        .collect();
    let most = columns.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
    let group = |title: &str, by: By| {
        let groups = table.groups(by, &first, &origins);
        let most = groups.iter().map(|(_, sum)| value(sum)).fold(0.0, f64::max);
        html! {
            section {
                h2 { (title) }
                div.scroll { table.plain.groups {
                    thead { tr { th scope="col" { span.hidden { (title) } } th.share scope="col" { span.hidden { "Share" } }
                        th.n scope="col" { "Cost" } th.n scope="col" { "Requests" } th.n scope="col" { "Input" } th.n scope="col" { "Cached" } th.n scope="col" { "Output" } } }
                    tbody { @for (name, sum) in groups.iter().take(GROUPS_SHOWN) {
                        tr { td { (site.clean.line(name, 120)) } td.share { (chart::share(value(sum), most, "bar-agent")) }
                            td.n { (money(sum.cost)) } td.n { (sum.requests) @if sum.failed > 0 { " (" (sum.failed) " failed)" } }
                            td.n { (count(sum.input)) } td.n { (count(sum.cached)) } td.n { (count(sum.output)) } }
                    } }
                } }
                @if groups.len() > GROUPS_SHOWN { p.quiet { "and " (groups.len() - GROUPS_SHOWN) " more" } }
            }
        }
    };
    let what = if priced { "Estimated cost per day" } else { "Tokens per day" };
    let content = html! {
        h1 { "Cost" }
        nav.filters aria-label="Days" {
            @for range in RANGES { a href={ "/cost?days=" (range) } aria-current=[(range == days).then_some("true")] { (range) " days" } }
        }
        @if all.requests == 0 { div.empty { p { "No requests were recorded in this time." } } } @else {
            dl.facts {
                div { dt { "Estimate" } dd { (money(all.cost)) } }
                div { dt { "Requests" } dd { (all.requests) } }
                div { dt { "Failed" } dd { (all.failed) } }
                div { dt { "Input" } dd { (count(all.input)) } }
                div { dt { "Of it cached" } dd { (count(all.cached)) } }
                div { dt { "Output" } dd { (count(all.output)) } }
            }
            @if all.unpriced > 0 && priced { p.quiet { (all.unpriced) " requests have no estimate and are missing from the sums of money." } }
            @if !priced { p.quiet { "No prices are configured (" code { "prices.input" } ", " code { "prices.output" } "), so that money is unknown; the chart is of tokens." } }
            @if all.unmetered > 0 { p.quiet { (all.unmetered) " requests were answered without token counts; they are missing from the sums." } }
            section { h2 { (what) } (chart::columns(&columns, what, &said(most))) }
            (group("By model", By::Model))
            (group("By repository", By::Repository))
            (group("By label", By::Label))
        }
        @if table.unreadable > 0 { p.quiet { (table.unreadable) " lines of the usage file could not be read." } }
    };
    Ok(frame("Cost", Section::Cost, None, content))
}
