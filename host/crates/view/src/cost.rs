//! What jobs cost, summed by day, model, repository and label, from the usage rows and the
//! store. Unknown numbers stay unknown. The rows are read again only when their file grew.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use gateway::usage::Row;
pub use gateway::usage::files;
use job::sqlite::Origin;
use model::error::{Error, Kind, Result};

/// The sum of some requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Requests.
    pub requests: u64,
    /// Of them, not answered.
    pub failed: u64,
    /// Of them, answered without counts.
    pub unmetered: u64,
    /// Of them, without an estimate of what they cost.
    pub unpriced: u64,
    /// All input.
    pub input: u64,
    /// Of it, from a cache.
    pub cached: u64,
    /// All output.
    pub output: u64,
    /// By the price table; none when no request has an estimate.
    pub cost: Option<f64>,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        self.requests += 1;
        self.failed += u64::from(row.outcome != "ok");
        self.unmetered += u64::from(row.unmetered);
        self.unpriced += u64::from(row.cost_estimate.is_none());
        self.input += row.input_tokens.unwrap_or(0);
        self.cached += row.cached_tokens.unwrap_or(0);
        self.output += row.output_tokens.unwrap_or(0);
        if let Some(cost) = row.cost_estimate {
            *self.cost.get_or_insert(0.0) += cost;
        }
    }

    /// Input and output.
    pub fn tokens(&self) -> u64 {
        self.input + self.output
    }
}

/// What a sum is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The model that was asked.
    Model,
    /// The job's working directory.
    Repository,
    /// Each label of the job.
    Label,
}

/// The rows of the metrics file, as far as they were read last.
#[derive(Default)]
pub struct Costs {
    file: PathBuf,
    read: Mutex<Option<(Stamp, Arc<Table>)>>,
}

type Stamp = Vec<Option<(u64, SystemTime)>>;

/// Every row that could be read.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
    jobs: HashMap<String, Sum>,
    /// Lines that could not be read.
    pub unreadable: u64,
}

impl Costs {
    /// Over this file; reads nothing yet.
    pub fn new(file: &Path) -> Costs {
        Costs { file: file.to_owned(), read: Mutex::new(None) }
    }

    /// What the file holds now. Blocks.
    pub fn table(&self) -> Result<Arc<Table>> {
        let files = files(&self.file);
        let stamp: Stamp = files
            .iter()
            .map(|file| std::fs::metadata(file).ok().and_then(|m| Some((m.len(), m.modified().ok()?))))
            .collect();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, table)) = read.as_ref()
            && *known == stamp
        {
            return Ok(table.clone());
        }
        let mut table = Table::default();
        for file in &files {
            match jobfs::own::read_to_string(file) {
                Ok(text) => table.take(&text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let message = format!("failed to read {}: {error}", file.display());
                    return Err(Error::new(Kind::Environment, message));
                }
            }
        }
        let table = Arc::new(table);
        *read = Some((stamp, table.clone()));
        Ok(table)
    }
}

impl Table {
    fn take(&mut self, text: &str) {
        for line in text.lines() {
            match serde_json::from_str::<Row>(line).ok().filter(|row| row.v == 1) {
                Some(row) => {
                    if let Some(job) = &row.job {
                        self.jobs.entry(job.clone()).or_default().add(&row);
                    }
                    self.rows.push(row);
                }
                None => self.unreadable += 1,
            }
        }
    }

    /// What one job came to; none if it made no request that was recorded.
    pub fn job(&self, id: &str) -> Option<Sum> {
        self.jobs.get(id).copied()
    }

    /// The days from `first` on (`2026-11-01`) by name, each with its sum; and the sum of all.
    pub fn days(&self, first: &str) -> (BTreeMap<String, Sum>, Sum) {
        let (mut days, mut all): (BTreeMap<String, Sum>, Sum) = Default::default();
        for row in self.since(first) {
            days.entry(row.time.chars().take(10).collect()).or_default().add(row);
            all.add(row);
        }
        (days, all)
    }

    /// The sums of each group since `first`, the dearest first; of equal cost, the largest.
    pub fn groups(&self, by: By, first: &str, origins: &HashMap<String, Origin>) -> Vec<(String, Sum)> {
        let mut sums: HashMap<String, Sum> = HashMap::new();
        for row in self.since(first) {
            let origin = row.job.as_ref().and_then(|job| origins.get(job));
            let names: Vec<String> = match by {
                By::Model => vec![row.model_sent.clone()],
                By::Repository => {
                    let directory = origin.and_then(|origin| origin.directory.as_ref());
                    vec![directory.map_or("(job deleted)".to_owned(), |dir| dir.display().to_string())]
                }
                By::Label => match origin {
                    Some(origin) if !origin.labels.is_empty() => {
                        origin.labels.iter().map(|(name, value)| format!("{name}={value}")).collect()
                    }
                    _ => vec!["(none)".to_owned()],
                },
            };
            for name in names {
                sums.entry(name).or_default().add(row);
            }
        }
        let mut sums: Vec<(String, Sum)> = sums.into_iter().collect();
        let weight = |sum: &Sum| (sum.cost.unwrap_or(0.0), sum.tokens());
        sums.sort_by(|(a_name, a), (b_name, b)| {
            weight(b).partial_cmp(&weight(a)).unwrap_or(std::cmp::Ordering::Equal).then(a_name.cmp(b_name))
        });
        sums
    }

    fn since<'a>(&'a self, first: &'a str) -> impl Iterator<Item = &'a Row> {
        self.rows.iter().filter(move |row| row.time.as_str() >= first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(time: &str, job: &str, model: &str, cost: Option<f64>) -> String {
        let row = Row {
            v: 1,
            time: time.to_owned(),
            job: Some(job.to_owned()),
            model_sent: model.to_owned(),
            outcome: "ok".to_owned(),
            input_tokens: Some(10),
            output_tokens: Some(2),
            cost_estimate: cost,
            ..Row::default()
        };
        serde_json::to_string(&row).expect("written") + "\n"
    }

    #[test]
    fn sums_by_day_and_group() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("metrics.jsonl");
        let costs = Costs::new(&file);
        assert_eq!(costs.table().expect("no file").days(""), Default::default());
        let old = row("2026-10-01T00:00:00Z", "a", "m", Some(9.0));
        std::fs::write(dir.path().join("metrics.jsonl.1"), old).expect("written");
        let rows = [
            row("2026-11-01T10:00:00Z", "a", "m", Some(0.5)),
            row("2026-11-02T10:00:00Z", "b", "n", None),
            "junk\n".to_owned(),
        ];
        std::fs::write(&file, rows.concat()).expect("written");
        let table = costs.table().expect("read");
        assert_eq!(table.unreadable, 1);
        let (days, all) = table.days("2026-11");
        assert_eq!(days.keys().collect::<Vec<_>>(), ["2026-11-01", "2026-11-02"]);
        assert_eq!((all.requests, all.unpriced, all.cost, all.tokens()), (2, 1, Some(0.5), 24));
        assert_eq!(table.job("a").and_then(|sum| sum.cost), Some(9.5));
        assert_eq!(table.job("b").expect("b").cost, None, "unknown is not 0");
        let origin = Origin {
            id: "a".to_owned(),
            directory: Some("/r".into()),
            labels: vec![("team".to_owned(), "x".to_owned())],
        };
        let origins = HashMap::from([("a".to_owned(), origin)]);
        let names = |by| -> Vec<String> {
            table.groups(by, "2026-11", &origins).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(By::Model), ["m", "n"]);
        assert_eq!(names(By::Repository), ["/r", "(job deleted)"]);
        assert_eq!(names(By::Label), ["team=x", "(none)"]);
    }
}
