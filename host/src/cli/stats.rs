//! `codex-worker stats`: what the model requests cost, from the usage rows. A number that
//! is not known is shown as such, never as 0.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::print;
use super::settings::SettingsArgs;
use model::error::{Error, Kind, Result};

/// What jobs cost, from the usage rows.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Only this job.
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// Only the last N days.
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// One line for each of these.
    #[arg(long, value_enum, default_value = "model")]
    by: By,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Model,
    Job,
    Gateway,
    Day,
}

/// The sum of some rows.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Sum {
    requests: u64,
    failed: u64,
    unmetered: u64,
    input_tokens: u64,
    cached_tokens: u64,
    output_tokens: u64,
    /// None when no row has an estimate.
    cost_estimate: Option<f64>,
}

impl Sum {
    fn add(&mut self, row: &Value) {
        let count = |name: &str| row[name].as_u64().unwrap_or(0);
        self.requests += 1;
        self.failed += u64::from(row["outcome"] != "ok");
        self.unmetered += u64::from(row["unmetered"] == true);
        self.input_tokens += count("input_tokens");
        self.cached_tokens += count("cached_tokens");
        self.output_tokens += count("output_tokens");
        if let Some(cost) = row["cost_estimate"].as_f64() {
            *self.cost_estimate.get_or_insert(0.0) += cost;
        }
    }
}

/// Prints the sums.
pub fn run(args: Args) -> Result<()> {
    let config = args.settings.load()?;
    let since = args.days.map(|days| {
        let day = jiff::SignedDuration::from_hours(24);
        jiff::Timestamp::now().checked_sub(day * i32::try_from(days).unwrap_or(i32::MAX)).unwrap_or_default()
    });
    let wanted = |row: &Value| {
        let job = args.job.as_deref().is_none_or(|job| row["job"] == job);
        let time = row["time"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        job && since.is_none_or(|since| time.is_some_and(|time| time >= since))
    };
    let (sums, unreadable) = sum(&config.metrics_file, args.by, wanted)?;
    let text = if args.json {
        serde_json::to_string_pretty(&serde_json::json!({"groups": sums, "unreadable_lines": unreadable}))
            .map_err(|error| Error::new(Kind::Internal, error.to_string()))?
            + "\n"
    } else {
        table(&sums, unreadable)
    };
    print(&text)
}

fn sum(file: &Path, by: By, wanted: impl Fn(&Value) -> bool) -> Result<(BTreeMap<String, Sum>, u64)> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let mut unreadable = 0;
    // The file that was set aside when it grew too large comes first.
    for path in [rotated(file), file.to_owned()] {
        let text = match jobfs::own::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(Error::new(
                    Kind::Environment,
                    format!("failed to read {}: {error}", path.display()),
                ));
            }
        };
        for line in text.lines() {
            let Some(row) = serde_json::from_str::<Value>(line).ok().filter(|row| row["v"] == 1) else {
                unreadable += 1;
                continue;
            };
            if !wanted(&row) {
                continue;
            }
            let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
            let group = match by {
                By::Model => text("model_sent"),
                By::Job => text("job"),
                By::Gateway => text("gateway"),
                By::Day => text("time").chars().take(10).collect(),
            };
            sums.entry(group).or_default().add(&row);
        }
    }
    Ok((sums, unreadable))
}

/// The file that `gateway::usage` sets aside.
fn rotated(file: &Path) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

fn table(sums: &BTreeMap<String, Sum>, unreadable: u64) -> String {
    if sums.is_empty() {
        return "no requests were recorded\n".to_owned();
    }
    let head = ["", "requests", "failed", "unmetered", "input", "cached", "output", "estimate"];
    let mut cells: Vec<[String; 8]> = vec![head.map(str::to_owned)];
    for (name, sum) in sums {
        cells.push([
            name.clone(),
            sum.requests.to_string(),
            sum.failed.to_string(),
            sum.unmetered.to_string(),
            sum.input_tokens.to_string(),
            sum.cached_tokens.to_string(),
            sum.output_tokens.to_string(),
            sum.cost_estimate.map_or("unknown".to_owned(), |cost| format!("{cost:.4}")),
        ]);
    }
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in &cells {
        text += &format!("{:1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            text += &format!("  {cell:>width$}");
        }
        text.push('\n');
    }
    if sums.values().any(|sum| sum.unmetered > 0) {
        text += "unmetered requests were answered without token counts; they are missing from the sums\n";
    }
    if unreadable > 0 {
        text += &format!("{unreadable} lines could not be read\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_summed_and_unknown_stays_unknown() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("metrics.jsonl");
        let rows = r#"{"v":1,"time":"2026-11-01T00:00:00Z","job":"a","model_sent":"m","outcome":"ok","input_tokens":10,"cached_tokens":4,"output_tokens":2,"unmetered":false,"cost_estimate":0.5}
{"v":1,"time":"2026-11-02T00:00:00Z","job":"b","model_sent":"m","outcome":"error","input_tokens":null,"unmetered":true,"cost_estimate":null}
{"v":9}
junk
{"v":1,"time":"2026-11-02T00:00:00Z","job":"b","model_sent":"n","outcome":"ok","unmetered":true,"cost_estimate":null}
"#;
        std::fs::write(&file, rows).expect("it is written");
        let (sums, unreadable) = sum(&file, By::Model, |_| true).expect("it is read");
        assert_eq!(unreadable, 2);
        assert_eq!(
            sums["m"],
            Sum {
                requests: 2,
                failed: 1,
                unmetered: 1,
                input_tokens: 10,
                cached_tokens: 4,
                output_tokens: 2,
                cost_estimate: Some(0.5)
            }
        );
        assert_eq!(sums["n"].cost_estimate, None);
        assert!(table(&sums, unreadable).contains("unknown"));
        let (days, _) = sum(&file, By::Day, |row| row["job"] == "b").expect("it is read");
        assert_eq!(days.keys().collect::<Vec<_>>(), ["2026-11-02"]);
        assert!(sum(&dir.path().join("none"), By::Job, |_| true).expect("no file is no error").0.is_empty());
    }
}
