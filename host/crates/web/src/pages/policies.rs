//! Which rules fire and which never do.

use maud::{Markup, html};
use view::rules::JOBS_MOST;

use super::{Section, frame};
use crate::{Site, chart};

pub(super) fn page(site: &Site) -> Markup {
    let counted = site.rules.count(&site.config);
    let clean = |text: &str| site.clean.line(text, 120);
    let content = html! {
        h1 { "Policies" }
        p.quiet {
            "Rules that fired in " (counted.jobs) @if counted.jobs == 1 { " job" } @else { " jobs" }
            @if counted.more { ", the newest " (JOBS_MOST) }
            ". A rule that never fires may be dead; one that always does tells nothing."
        }
        @if counted.loading { p.quiet { "The policies are being loaded; the rules that never fire are named when this page is loaded again." } }
        @if counted.policies.is_empty() { div.empty { p { "No job has recorded a decision yet." } } }
        @for (name, policy) in &counted.policies {
            section {
                h2 { (clean(name)) " " span.quiet { (policy.calls) @if policy.calls == 1 { " answer" } @else { " answers" } @if policy.failed > 0 { ", " (policy.failed) " without an answer" } } }
                @let most = policy.rules.values().map(|fired| fired.jobs).max().unwrap_or(0);
                @if policy.rules.is_empty() { p.quiet { "No rule fired." } } @else {
                    @let mut rules: Vec<_> = policy.rules.iter().collect();
                    @let () = rules.sort_by_key(|(rule, fired)| (std::cmp::Reverse(fired.jobs), *rule));
                    div.scroll { table.plain.rules {
                        thead { tr { th scope="col" { "Rule" } th.n scope="col" { "Jobs" } th.share scope="col" { span.hidden { "Share" } }
                            th.n scope="col" { "Deny" } th.n scope="col" { "Warn" } th.n scope="col" { "Info" } th.n scope="col" { "Masked" } } }
                        tbody { @for (rule, fired) in rules {
                            tr {
                                td { code { (clean(rule)) } @if policy.always.contains(rule) { " " span.state.warn { "in every call" } } }
                                td.n { (fired.jobs) }
                                td.share { (chart::share(f64::from(fired.jobs), f64::from(most), if fired.deny > 0 { "bar-bad" } else if fired.warn > 0 { "bar-warn" } else { "bar-host" })) }
                                (number(fired.deny)) (number(fired.warn)) (number(fired.info)) (number(fired.masked))
                            }
                        } }
                    } }
                }
                @if !policy.never.is_empty() {
                    p { span.quiet { "Never, of the rules that its examples show: " }
                        @for (n, rule) in policy.never.iter().enumerate() { @if n > 0 { ", " } code { (clean(rule)) } } }
                }
            }
        }
    };
    frame("Policies", Section::Policies, None, content)
}

fn number(n: u32) -> Markup {
    html! { td.n.zero[n == 0] { (n) } }
}
