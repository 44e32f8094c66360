//! The sums behind `stats`: usage rows (a line a request) joined with the jobs that made them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde::Serialize;
use serde_json::Value;

use super::By;
use job::budget::repository;
use job::store::JobRow;
use model::error::{Error, Kind, Result};
use model::status::JobStatus;

/// Bytes of a reply for which one token of the planner is counted.
const BYTES_A_TOKEN: u64 = 4;
/// What belongs to nothing that is known.
const NONE: &str = "-";

/// Where the sums come from.
pub struct Input<'a> {
    /// The file of usage rows.
    pub metrics: &'a Path,
    /// The jobs that are kept.
    pub jobs: &'a [JobRow],
    /// What a group is.
    pub by: By,
}

/// Something that is counted, for the filter.
#[derive(Clone, Copy)]
pub enum RowOrJob<'a> {
    /// A usage row.
    Row(&'a Value),
    /// A job.
    Job(&'a JobRow),
}

impl RowOrJob<'_> {
    /// The job's id.
    pub fn job(&self) -> Option<&str> {
        match self {
            RowOrJob::Row(row) => row["job"].as_str(),
            RowOrJob::Job(job) => Some(job.id.as_str()),
        }
    }

    /// When it was.
    pub fn time(&self) -> Option<jiff::Timestamp> {
        match self {
            RowOrJob::Row(row) => row["time"].as_str()?.parse().ok(),
            RowOrJob::Job(job) => jiff::Timestamp::from_millisecond(job.created_ms).ok(),
        }
    }
}

/// The sum of some requests and jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Group {
    /// Jobs, ended or not.
    pub jobs: u64,
    /// Jobs that have ended.
    pub ended: u64,
    /// Of them, completed.
    pub completed: u64,
    /// Passes of the ended jobs.
    pub passes: u64,
    /// Mutants of what tests expect that the checks failed with.
    pub mutants_killed: u64,
    /// Mutants that were tried.
    pub mutants: u64,
    /// Requests of agents and of the host.
    pub requests: u64,
    /// Requests without an answer in the end.
    pub failed: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Requests that went to a fallback.
    pub fallbacks: u64,
    /// Requests that were answered without counts.
    pub unmetered: u64,
    /// Input, cached included.
    pub input_tokens: u64,
    /// Of it, cached.
    pub cached_tokens: u64,
    /// Output.
    pub output_tokens: u64,
    /// None when no request has a price.
    pub cost: Option<f64>,
    /// Tokens that jobs moved, less those of the results that the planner read.
    pub spared_tokens: u64,
}

impl Group {
    fn add_row(&mut self, row: &Value) {
        let count = |name: &str| row[name].as_u64().unwrap_or(0);
        self.requests += 1;
        self.failed += u64::from(row["outcome"] != "ok");
        self.retries += count("tries").saturating_sub(1);
        self.fallbacks += u64::from(row["fallback"] == true);
        self.unmetered += u64::from(row["unmetered"] == true);
        self.input_tokens += count("input_tokens");
        self.cached_tokens += count("cached_tokens");
        self.output_tokens += count("output_tokens");
        if let Some(cost) = row["cost_estimate"].as_f64() {
            *self.cost.get_or_insert(0.0) += cost;
        }
    }

    fn add_job(&mut self, job: &JobRow) {
        self.jobs += 1;
        let Some(result) = &job.result else { return };
        self.ended += 1;
        self.completed += u64::from(job.status == JobStatus::Completed);
        self.passes += u64::from(result.attempts);
        for line in &result.checks {
            let (killed, all) = mutants(line);
            self.mutants_killed += killed;
            self.mutants += all;
        }
        let moved = result.usage.input_tokens.unwrap_or(0) + result.usage.output_tokens.unwrap_or(0);
        let read = serde_json::to_string(result).map_or(0, |text| text.len() as u64 / BYTES_A_TOKEN);
        self.spared_tokens += moved.saturating_sub(read);
    }
}

/// `1 of 2 mutants killed` of a check's line.
fn mutants(line: &str) -> (u64, u64) {
    static PATTERN: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(\d+) of (\d+) mutants? killed").ok());
    let found = PATTERN.as_ref().and_then(|pattern| pattern.captures(line));
    let number = |n| found.as_ref().and_then(|found| found.get(n)?.as_str().parse().ok()).unwrap_or(0);
    (number(1), number(2))
}

/// The groups by name, and how many lines could not be read.
pub fn sums(
    input: &Input<'_>,
    wanted: impl Fn(RowOrJob<'_>) -> bool,
) -> Result<(BTreeMap<String, Group>, u64)> {
    let jobs: HashMap<&str, &JobRow> = input.jobs.iter().map(|job| (job.id.as_str(), job)).collect();
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    // A job belongs to the model, gateway or route that it asked most often.
    let mut asked: HashMap<String, BTreeMap<String, u64>> = HashMap::new();
    let mut unreadable = 0;
    for path in view::cost::files(input.metrics) {
        let text = match jobfs::own::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(Error::new(
                    Kind::Environment,
                    format!("failed to read {}: {error}", path.display()),
                )
                .hint("WORKER_METRICS_FILE names it"));
            }
        };
        for line in text.lines() {
            let Some(row) = serde_json::from_str::<Value>(line).ok().filter(|row| row["v"] == 1) else {
                unreadable += 1;
                continue;
            };
            if !wanted(RowOrJob::Row(&row)) {
                continue;
            }
            let job = row["job"].as_str();
            for name in names_of_row(&row, job.and_then(|id| jobs.get(id).copied()), input.by) {
                if let Some(job) = job {
                    *asked.entry(job.to_owned()).or_default().entry(name.clone()).or_default() += 1;
                }
                groups.entry(name).or_default().add_row(&row);
            }
        }
    }
    for job in input.jobs.iter().filter(|job| wanted(RowOrJob::Job(job))) {
        let most = asked.get(job.id.as_str()).and_then(|names| names.iter().max_by_key(|(_, n)| **n));
        for name in names_of_job(job, most.map(|(name, _)| name.as_str()), input.by) {
            groups.entry(name).or_default().add_job(job);
        }
    }
    Ok((groups, unreadable))
}

fn names_of_row(row: &Value, job: Option<&JobRow>, by: By) -> Vec<String> {
    let text = |name: &str| row[name].as_str().filter(|text| !text.is_empty()).unwrap_or(NONE).to_owned();
    match by {
        By::Model => vec![text("model_sent")],
        By::Gateway => vec![text("gateway")],
        By::Route => vec![format!("{} {}", text("gateway"), text("model_sent"))],
        By::Day => vec![text("time").chars().take(10).collect()],
        By::Job => vec![text("job")],
        By::Repository | By::Label => match job {
            Some(job) => names_of_job(job, None, by),
            None => vec![NONE.to_owned()],
        },
    }
}

fn names_of_job(job: &JobRow, most_asked: Option<&str>, by: By) -> Vec<String> {
    match by {
        By::Model | By::Gateway | By::Route => vec![most_asked.unwrap_or(NONE).to_owned()],
        By::Day => {
            let day = jiff::Timestamp::from_millisecond(job.created_ms);
            vec![day.map_or_else(|_| NONE.to_owned(), |day| day.strftime("%F").to_string())]
        }
        By::Job => vec![job.id.to_string()],
        By::Repository => vec![repository(&job.spec).display().to_string()],
        By::Label if job.spec.labels.is_empty() => vec![NONE.to_owned()],
        By::Label => job.spec.labels.iter().map(|(name, value)| format!("{name}={value}")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_summed_and_unknown_stays_unknown() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("metrics.jsonl");
        let rows = r#"{"v":1,"time":"2026-11-01T00:00:00Z","job":"a","gateway":"g","model_sent":"m","outcome":"ok","tries":3,"input_tokens":10,"cached_tokens":4,"output_tokens":2,"unmetered":false,"cost_estimate":0.5}
{"v":1,"time":"2026-11-02T00:00:00Z","job":"b","gateway":"h","model_sent":"m","outcome":"error","tries":1,"fallback":true,"input_tokens":null,"unmetered":true,"cost_estimate":null}
{"v":9}
junk
{"v":1,"time":"2026-11-02T00:00:00Z","job":"b","model_sent":"n","outcome":"ok","unmetered":true,"cost_estimate":null}
"#;
        std::fs::write(&file, rows).expect("it is written");
        let input = |by| Input { metrics: &file, jobs: &[], by };
        let (groups, unreadable) = sums(&input(By::Model), |_| true).expect("it is read");
        assert_eq!(unreadable, 2);
        let expected = Group {
            requests: 2,
            failed: 1,
            retries: 2,
            fallbacks: 1,
            unmetered: 1,
            input_tokens: 10,
            cached_tokens: 4,
            output_tokens: 2,
            cost: Some(0.5),
            ..Group::default()
        };
        assert_eq!(groups["m"], expected);
        assert_eq!(groups["n"].cost, None);
        let (days, _) = sums(&input(By::Day), |what| what.job() == Some("b")).expect("it is read");
        assert_eq!(days.keys().collect::<Vec<_>>(), ["2026-11-02"]);
        let (routes, _) = sums(&input(By::Route), |_| true).expect("it is read");
        assert_eq!(routes.keys().collect::<Vec<_>>(), ["- n", "g m", "h m"]);
        let none = Input { metrics: &dir.path().join("none"), jobs: &[], by: By::Job };
        assert!(sums(&none, |_| true).expect("no file is no error").0.is_empty());
    }

    #[test]
    fn mutants_of_a_check() {
        assert_eq!(mutants("unit tests: passed (2 passed; 1 of 3 mutants killed)"), (1, 3));
        assert_eq!(mutants("unit tests: passed"), (0, 0));
    }
}
