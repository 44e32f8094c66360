//! `codex-worker stats`: what model requests and jobs cost and gave, grouped. A number that is
//! not known is shown as such, never as 0.

mod sums;

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;

use self::sums::{Group, Input, RowOrJob};
use super::print;
use super::settings::SettingsArgs;
use job::sqlite::SqliteStore;
use job::store::{JobStore, ListFilter};
use model::error::{Error, Kind, Result};

/// Columns of a full bar.
const BAR: f64 = 16.0;

/// What jobs cost and gave, from the usage rows and the jobs.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Only this job.
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// Only from then on: a length of time such as 7d or 12h, a date, or a time.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<jiff::Timestamp>,
    /// Only the last N days.
    #[arg(long, value_name = "N", conflicts_with = "since")]
    days: Option<u16>,
    /// One line for each of these.
    #[arg(long, value_enum, default_value = "model")]
    by: By,
    /// Two of them side by side, such as model=A,B.
    #[arg(long, value_name = "KEY=A,B", value_parser = compare)]
    compare: Option<Compare>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print CSV.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// What a line stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum By {
    /// The model that was asked at the gateway.
    Model,
    /// Gateway and model.
    Route,
    /// The gateway's host.
    Gateway,
    /// The repository of a job.
    Repository,
    /// Each label of a job, as name=value.
    Label,
    /// The day (UTC).
    Day,
    /// The job.
    Job,
}

#[derive(Clone, Debug)]
struct Compare {
    by: By,
    names: [String; 2],
}

fn since(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<jiff::civil::Date>() {
        let start = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| error.to_string())?;
        return Ok(start.timestamp());
    }
    let span =
        text.parse::<jiff::Span>().map_err(|_| "use 7d, 12h, 2026-11-01 or a whole time".to_owned())?;
    let now = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
    now.checked_sub(span.abs()).map(|time| time.timestamp()).map_err(|error| error.to_string())
}

fn compare(text: &str) -> Result<Compare, String> {
    let wrong = || "write it as model=A,B".to_owned();
    let (key, names) = text.split_once('=').ok_or_else(wrong)?;
    let by = <By as clap::ValueEnum>::from_str(key, true)?;
    // A label holds an equals sign of its own: label=team=web,team=db.
    let (first, second) = names.split_once(',').ok_or_else(wrong)?;
    Ok(Compare { by, names: [first.trim().to_owned(), second.trim().to_owned()] })
}

/// Prints the sums.
pub fn run(args: Args) -> Result<()> {
    let config = args.settings.load()?;
    let day = jiff::SignedDuration::from_hours(24);
    let since = args.since.or_else(|| {
        let days = args.days?;
        jiff::Timestamp::now().checked_sub(day * i32::from(days)).ok()
    });
    let jobs = match config.home.join("jobs.db").exists() {
        true => SqliteStore::open(&config.home)?.list(&ListFilter::default())?,
        false => Vec::new(),
    };
    let by = args.compare.as_ref().map_or(args.by, |compare| compare.by);
    let input = Input { metrics: &config.metrics_file, jobs: &jobs, by };
    let wanted = |what: RowOrJob<'_>| {
        let job = args.job.as_deref().is_none_or(|wanted| what.job() == Some(wanted));
        job && since.is_none_or(|since| what.time().is_some_and(|time| time >= since))
    };
    let (groups, unreadable) = sums::sums(&input, wanted)?;
    if let Some(compare) = &args.compare {
        return compared(&groups, compare, args.json);
    }
    let text = if args.json {
        json(&groups, unreadable)?
    } else if args.csv {
        csv(&groups)
    } else {
        table(&groups, unreadable, config.prices.input.is_some())
    };
    print(&text)
}

fn json(groups: &BTreeMap<String, Group>, unreadable: u64) -> Result<String> {
    let rows: Vec<serde_json::Value> = groups
        .iter()
        .map(|(name, group)| {
            let mut row = serde_json::json!({"name": name});
            if let (Some(row), Ok(serde_json::Value::Object(sums))) =
                (row.as_object_mut(), serde_json::to_value(group))
            {
                row.extend(sums);
            }
            row
        })
        .collect();
    let value = serde_json::json!({"groups": rows, "unreadable_lines": unreadable});
    let text = serde_json::to_string_pretty(&value)
        .map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
    Ok(text + "\n")
}

/// The columns of CSV and of a comparison: a name, and how a value is written. Empty is unknown.
type Column = (&'static str, fn(&Group) -> String);
const COLUMNS: &[Column] = &[
    ("jobs", |g| g.jobs.to_string()),
    ("completed", |g| g.completed.to_string()),
    ("success_percent", |g| percent(g.completed, g.ended)),
    ("passes", |g| ratio(g.passes, g.ended)),
    ("mutants_killed", |g| g.mutants_killed.to_string()),
    ("mutants", |g| g.mutants.to_string()),
    ("requests", |g| g.requests.to_string()),
    ("failed", |g| g.failed.to_string()),
    ("retries", |g| g.retries.to_string()),
    ("fallbacks", |g| g.fallbacks.to_string()),
    ("unmetered", |g| g.unmetered.to_string()),
    ("input_tokens", |g| g.input_tokens.to_string()),
    ("cached_tokens", |g| g.cached_tokens.to_string()),
    ("cache_percent", |g| percent(g.cached_tokens, g.input_tokens)),
    ("output_tokens", |g| g.output_tokens.to_string()),
    ("cost", |g| g.cost.map(|cost| format!("{cost:.6}")).unwrap_or_default()),
    ("spared_tokens", |g| g.spared_tokens.to_string()),
];

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { String::new() } else { format!("{:.0}", part as f64 * 100.0 / whole as f64) }
}

fn ratio(part: u64, whole: u64) -> String {
    if whole == 0 { String::new() } else { format!("{:.1}", part as f64 / whole as f64) }
}

/// RFC 4180. A leading sign would make a formula of a name in a spreadsheet.
fn csv(groups: &BTreeMap<String, Group>) -> String {
    let quoted = |text: &str| {
        let text = match text.starts_with(['=', '+', '-', '@']) && text.len() > 1 {
            true => format!("'{text}"),
            false => text.to_owned(),
        };
        match text.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text,
        }
    };
    let head = COLUMNS.iter().map(|(name, _)| *name);
    let mut text = std::iter::once("name").chain(head).collect::<Vec<_>>().join(",") + "\n";
    for (name, group) in groups {
        let cells = COLUMNS.iter().map(|(_, value)| value(group));
        text += &std::iter::once(quoted(name)).chain(cells).collect::<Vec<_>>().join(",");
        text.push('\n');
    }
    text
}

fn bar(value: f64, most: f64) -> String {
    if most <= 0.0 || value <= 0.0 {
        return String::new();
    }
    let eighths = (value / most * BAR * 8.0).round().max(1.0) as usize;
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    "█".repeat(eighths / 8) + rest
}

fn money(cost: Option<f64>) -> String {
    cost.and_then(model::money::Money::from_units).map_or("unknown".to_owned(), |cost| cost.to_string())
}

fn table(groups: &BTreeMap<String, Group>, unreadable: u64, priced: bool) -> String {
    if groups.is_empty() {
        return "no requests and no jobs were recorded\n".to_owned();
    }
    let mut table = Table::new();
    let head = [
        "",
        "JOBS",
        "DONE",
        "PASSES",
        "MUTANTS",
        "REQUESTS",
        "RETRIES",
        "FALLBACKS",
        "IN",
        "CACHED",
        "OUT",
        "SPARED",
        "COST",
        "",
    ];
    table.load_style(presets::NOTHING).set_header(head);
    let by_cost = groups.values().any(|group| group.cost.is_some_and(|cost| cost > 0.0));
    let size = |group: &Group| match by_cost {
        true => group.cost.unwrap_or(0.0),
        false => (group.input_tokens + group.output_tokens) as f64,
    };
    let most = groups.values().map(size).fold(0.0, f64::max);
    let dash = |text: String, unit: &str| if text.is_empty() { "-".to_owned() } else { text + unit };
    for (name, group) in groups {
        let mutants = match group.mutants {
            0 => "-".to_owned(),
            all => format!("{}/{all}", group.mutants_killed),
        };
        let count = |n: u64| HumanCount(n).to_string();
        table.add_row([
            redact::sanitize::line(name, 60),
            count(group.jobs),
            dash(percent(group.completed, group.ended), "%"),
            dash(ratio(group.passes, group.ended), ""),
            mutants,
            count(group.requests),
            count(group.retries),
            count(group.fallbacks),
            count(group.input_tokens),
            dash(percent(group.cached_tokens, group.input_tokens), "%"),
            count(group.output_tokens),
            count(group.spared_tokens),
            money(group.cost),
            bar(size(group), most),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(12) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = table.trim_fmt() + "\n";
    text += match by_cost {
        true => "bars: cost; ",
        false => "bars: tokens; ",
    };
    text += "spared: tokens that jobs moved and the planner did not read\n";
    if groups.values().any(|group| group.unmetered > 0) {
        text += "unmetered requests were answered without token counts; they are missing from the sums\n";
    }
    if !priced && groups.values().any(|group| group.cost.is_none()) {
        text += "set WORKER_PRICE_INPUT and WORKER_PRICE_OUTPUT to see what requests cost\n";
    }
    if unreadable > 0 {
        text += &format!("{unreadable} lines could not be read\n");
    }
    text
}

/// Two groups side by side.
fn compared(groups: &BTreeMap<String, Group>, compare: &Compare, as_json: bool) -> Result<()> {
    let find = |name: &String| {
        groups.get(name).cloned().ok_or_else(|| {
            let known: Vec<&str> = groups.keys().map(String::as_str).collect();
            let near = config::nearest(name, known.iter().copied());
            Error::new(Kind::NotFound, format!("nothing was recorded of {name:?}")).hint(match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("recorded are: {}", known.join(", ")),
            })
        })
    };
    let [a, b] = &compare.names;
    let (first, second) = (find(a)?, find(b)?);
    if as_json {
        let value = serde_json::json!({a.as_str(): first, b.as_str(): second});
        return print(&format!("{value:#}\n"));
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["", a, b, "DIFFERENCE"]);
    let per_job = |group: &Group| match (group.cost, group.ended) {
        (Some(cost), ended) if ended > 0 => format!("{:.6}", cost / ended as f64),
        _ => String::new(),
    };
    let columns = COLUMNS.iter().map(|(name, value)| (*name, value(&first), value(&second)));
    let columns = columns.chain([("cost_per_job", per_job(&first), per_job(&second))]);
    for (name, a, b) in columns {
        let change = match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) if a != 0.0 => format!("{:+.0}%", (b - a) * 100.0 / a),
            _ => "-".to_owned(),
        };
        let shown = |text: String| if text.is_empty() { "unknown".to_owned() } else { text };
        table.add_row([name.replace('_', " "), shown(a), shown(b), change]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    print(&(table.trim_fmt() + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_names_and_cells() {
        let now = jiff::Timestamp::now();
        // Some of the last hour has passed between the two looks at the clock.
        let ago = |text: &str| (now.duration_since(since(text).expect(text)).as_secs() + 60) / 3600;
        assert_eq!((ago("7d"), ago("12h")), (168, 12));
        assert_eq!(since("2026-11-01").expect("a date").to_string(), "2026-11-01T00:00:00Z");
        assert!(since("yesterday").is_err());
        let both = compare("label=team=web,team=db").expect("it is one");
        assert_eq!((both.by, both.names), (By::Label, ["team=web".to_owned(), "team=db".to_owned()]));
        assert!(compare("model=a").is_err() && compare("colour=a,b").is_err());
        assert_eq!([bar(8.0, 16.0), bar(0.0, 16.0)], ["████████", ""]);
        assert_eq!(bar(0.1, 16.0), "▏", "what is there is seen");
    }

    #[test]
    fn csv_is_quoted_and_no_formula() {
        let groups =
            [("=cmd|' /C calc'!A0".to_owned(), Group::default()), ("a,\"b\"".to_owned(), Group::default())];
        let text = csv(&groups.into());
        assert!(text.contains("\n'=cmd|' /C calc'!A0,0,") && text.contains("\n\"a,\"\"b\"\"\",0,"), "{text}");
        assert_eq!(text.lines().next().map(|head| head.matches(',').count()), Some(COLUMNS.len()));
    }
}
