//! Charts as SVG, drawn here: a timeline, columns over days, bars of a table. Positions are
//! attributes, colours are classes: a page has no style of its own.

use maud::{Markup, html};
use view::text::span;
use view::timeline::{Bar, Kind};

const WIDTH: i64 = 1000;
const LANE: usize = 22;

/// The bars of a job, a lane a row; and the same as a table.
pub(crate) fn timeline(bars: &[Bar], clean: &dyn Fn(&str, usize) -> String) -> Markup {
    let (Some(from), Some(to)) =
        (bars.iter().map(|bar| bar.from_ms).min(), bars.iter().map(|bar| bar.to_ms).max())
    else {
        return html! {};
    };
    let length = (to - from).max(1);
    let at = |ms: i64| (ms - from) as f64 * WIDTH as f64 / length as f64;
    let mut lanes: Vec<&str> = Vec::new();
    for bar in bars {
        if !lanes.contains(&bar.lane.as_str()) {
            lanes.push(&bar.lane);
        }
    }
    // What a pass begins with comes first, its judges last.
    let place = |lane: &str| match lane {
        "queue" => 0,
        "setup" => 1,
        "agent" => 2,
        "re-runs" => 4,
        "policies" => 5,
        _ => 3,
    };
    lanes.sort_by_key(|lane| place(lane));
    let height = lanes.len() * LANE;
    let passes = passes(bars);
    html! {
        div.timeline {
            ol.lanes aria-hidden="true" { @for lane in &lanes { li { (clean(lane, 60)) } } }
            div.plot {
                svg viewBox={ "0 0 " (WIDTH) " " (height) } height=(height) preserveAspectRatio="none" role="img"
                    aria-label="Timeline; the same is in the table below" {
                    @for (n, (_, begin, end)) in passes.iter().enumerate() {
                        @if n % 2 == 1 {
                            rect.band x=(format!("{:.1}", at(*begin))) y="0" height=(height)
                                width=(format!("{:.1}", at(*end) - at(*begin))) {}
                        }
                    }
                    @for n in 1..lanes.len() {
                        line.grid x1="0" x2=(WIDTH) y1=(n * LANE) y2=(n * LANE) {}
                    }
                    @for bar in bars {
                        @let row = lanes.iter().position(|lane| *lane == bar.lane).unwrap_or(0);
                        @let width = (at(bar.to_ms) - at(bar.from_ms)).max(3.0);
                        @let x = at(bar.from_ms).min(WIDTH as f64 - width);
                        rect.(class(bar.kind)) x=(format!("{x:.1}")) y=(row * LANE + 4) height=(LANE - 8)
                            width=(format!("{width:.1}")) {
                            title { (clean(&bar.text, 200)) " · " (span(bar.to_ms - bar.from_ms)) }
                        }
                    }
                }
                div.axis aria-hidden="true" {
                    @for n in 0..5 { span { (span(length * n / 4)) } }
                }
            }
        }
        details #timeline-table {
            summary { "Timeline as a table" }
            table.plain {
                thead { tr { th scope="col" { "Pass" } th scope="col" { "What" } th.n scope="col" { "After" }
                    th.n scope="col" { "Took" } th scope="col" { "Said" } } }
                tbody {
                    @for bar in bars {
                        tr {
                            td { (bar.pass) } td { (clean(&bar.lane, 60)) } td.n { (span(bar.from_ms - from)) }
                            td.n { (span(bar.to_ms - bar.from_ms)) } td { (clean(&bar.text, 200)) }
                        }
                    }
                }
            }
        }
    }
}

/// Each pass with its first and last moment.
fn passes(bars: &[Bar]) -> Vec<(u32, i64, i64)> {
    let mut found: Vec<(u32, i64, i64)> = Vec::new();
    for bar in bars.iter().filter(|bar| bar.pass > 0) {
        match found.iter_mut().find(|(pass, ..)| *pass == bar.pass) {
            Some((_, from, to)) => (*from, *to) = ((*from).min(bar.from_ms), (*to).max(bar.to_ms)),
            None => found.push((bar.pass, bar.from_ms, bar.to_ms)),
        }
    }
    found
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Queue => "bar-wait",
        Kind::Prepare | Kind::Host => "bar-host",
        Kind::Agent => "bar-agent",
        Kind::Good => "bar-good",
        Kind::Bad => "bar-bad",
        Kind::Warn => "bar-warn",
    }
}

/// Columns over days: name, value, and what a pointer is told.
pub(crate) fn columns(days: &[(String, f64, String)], label: &str, top: &str) -> Markup {
    const HEIGHT: f64 = 160.0;
    let most = days.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
    let step = WIDTH as f64 / days.len().max(1) as f64;
    html! {
        div.columns {
            div.scale aria-hidden="true" { span { (top) } span { "0" } }
            div.plot {
                svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } height=(HEIGHT) preserveAspectRatio="none" role="img"
                    aria-label=(label) {
                    @for n in 0..4 { line.grid x1="0" x2=(WIDTH) y1=(n * 40) y2=(n * 40) {} }
                    line.base x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
                    @for (n, (_, value, said)) in days.iter().enumerate() {
                        @let height = if most > 0.0 { value / most * HEIGHT } else { 0.0 };
                        @let height = if *value > 0.0 { height.max(2.0) } else { 0.0 };
                        rect.bar-agent x=(format!("{:.1}", n as f64 * step + step * 0.15)) width=(format!("{:.1}", step * 0.7))
                            y=(format!("{:.1}", HEIGHT - height)) height=(format!("{height:.1}")) { title { (said) } }
                    }
                }
                div.axis aria-hidden="true" {
                    @if let (Some(first), Some(last)) = (days.first(), days.last()) {
                        span { (first.0) }
                        @if days.len() > 2 { span { (days[days.len() / 2].0) } }
                        span { (last.0) }
                    }
                }
            }
        }
    }
}

/// A bar of a table: a share of the largest.
pub(crate) fn share(value: f64, most: f64, class: &str) -> Markup {
    let width = if most > 0.0 { (value / most * 100.0).clamp(0.0, 100.0) } else { 0.0 };
    html! {
        svg.share viewBox="0 0 100 8" height="8" preserveAspectRatio="none" aria-hidden="true" {
            rect.(class) x="0" y="0" height="8" width=(format!("{width:.1}")) {}
        }
    }
}
