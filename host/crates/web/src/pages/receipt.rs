//! A job's receipt, with what a verification of it finds now.

use job::receipt;
use job::store::JobStore as _;
use maud::{Markup, html};
use model::error::Result;
use serde_json::Value;
use view::files::Files;

use super::shared::{head, job_id, words};
use super::{Section, frame};
use crate::Site;
use crate::answer::Values;

const SHOWN: usize = 256 << 10;

pub(super) fn page(site: &Site, id: &str, _: &Values) -> Result<Markup> {
    let id = job_id(id)?;
    let row = site.store.get(&id)?;
    let attempts = Files::of(&site.config, &id).attempts().len();
    let head = head(site, &row, "receipt", attempts);
    let text = match receipt::read(&site.config, &id) {
        Ok(text) => text,
        Err(error) => {
            let content = html! { (head) div.empty { p { (error.message) } @for hint in &error.hints { p.quiet { (hint) } } } };
            return Ok(frame("Receipt", Section::Jobs, None, content));
        }
    };
    let found = receipt::verify(&site.config, &row)?;
    let statement: Value = serde_json::from_str(&text).unwrap_or_default();
    let predicate = &statement["predicate"];
    let line = |value: &Value| {
        site.clean.line(&value.as_str().map_or_else(|| value.to_string(), str::to_owned), 300)
    };
    let list = |value: &Value| -> Vec<Value> { value.as_array().cloned().unwrap_or_default() };
    let held = |value: &Value| {
        let limits = list(&value["limits"]);
        let limits = limits.iter().filter_map(Value::as_str).map(|limit| format!(", {limit}"));
        let network = if value["network_limited"] == true { ", network limited" } else { "" };
        format!("{}{network}{}", value["strength"].as_str().unwrap_or("unknown"), limits.collect::<String>())
    };
    let content = html! {
        (head)
        @if found.ok {
            div.notice.good role="status" { strong { "The receipt holds" } " " (found.checked.len())
                " digests were recomputed just now and are as they were; it is " (site.clean.line(&found.signature, 200)) "." }
        } @else {
            div.notice.bad role="alert" { strong { "The receipt does not hold" }
                ul { @for wrong in &found.wrong { li { (site.clean.line(wrong, 300)) } } }
                p { "Do not trust this result; look for who wrote into the state directory." } }
        }
        dl.facts {
            div { dt { "Status" } dd { (words(&predicate["job_status"])) } }
            @if !predicate["failure"].is_null() { div { dt { "Failure" } dd { (words(&predicate["failure"])) } } }
            div { dt { "Agent" } dd { (line(&predicate["agent"])) } }
            div { dt { "Host" } dd { (line(&predicate["host"])) } }
            div { dt { "Finished" } dd { (line(&predicate["finished"])) } }
            div.wide { dt { "Agent's containment" } dd { (site.clean.line(&held(&predicate["containment"]), 400)) } }
            div.wide { dt { "Checks' containment" } dd { (site.clean.line(&held(&predicate["check_containment"]), 400)) } }
            @let decided = list(&predicate["decided_by"]);
            @if !decided.is_empty() { div.wide { dt { "Decided by" } dd { @for by in &decided { div { (line(by)) } } } } }
            div.wide { dt { "Base tree" } dd { code { (line(&predicate["base_tree"])) } } }
            div.wide { dt { "Result tree" } dd { code { (line(&predicate["result_tree"])) } } }
        }
        @let policies = list(&predicate["policies"]);
        @if !policies.is_empty() {
            h2 { "Policies" }
            div.scroll { table.plain {
                thead { tr { th scope="col" { "Policy" } th scope="col" { "Mode" } th scope="col" { "Component" } } }
                tbody { @for policy in &policies { tr {
                    td { (line(&policy["name"])) "@" (line(&policy["version"])) } td { (line(&policy["mode"])) }
                    td { code { (line(policy.get("component").or(policy.get("digest")).unwrap_or(&Value::Null))) } }
                } } }
            } }
        }
        h2 { "Recomputed" }
        ul.digests { @for what in &found.checked { li { span.state.good { "same" } " " code { (site.clean.line(what, 200)) } } } }
        details #raw { summary { "The receipt as it is (in-toto Statement)" } pre.log { (site.clean.prose(view::files::prefix(&text, SHOWN))) } }
    };
    Ok(frame("Receipt", Section::Jobs, None, content))
}
