//! Reading jobs for the view: texts are clean and short when they leave here.

use config::Config;
use job::sqlite::{PageQuery, SqliteStore};
use job::store::{JobRow, JobStore as _};
use model::error::Result;
use model::outcome::check_log;
use model::spec::JobId;
use model::status::JobStatus;
use model::types::Severity;
use view::cost::Costs;
use view::diff;
use view::files::Files;
use view::text::{Clean, clock, count, money, span};
use view::timeline;

use crate::screen::{Row, Style};

/// Jobs of a list.
pub(crate) const JOBS: u32 = 500;
const EVENTS: u32 = 500;
const DIFF_MAX: u64 = 1 << 20;
const DIFF_LINES: usize = 5000;
const LOG_MAX: u64 = 64 << 10;

/// A job in the list.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub id: JobId,
    pub status: JobStatus,
    pub task: String,
    pub took: String,
    pub tokens: String,
    pub cost: String,
    pub last: String,
}

/// One job, opened: the rows of each of its tabs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opened {
    pub id: String,
    pub head: Vec<Row>,
    pub tabs: Vec<Vec<Row>>,
    pub ended: bool,
}

/// The names of the tabs.
pub(crate) const TABS: [&str; 5] = ["events", "checks", "findings", "diff", "attempts"];

/// Where jobs are read from.
pub(crate) struct Source<'a> {
    pub config: &'a Config,
    pub store: SqliteStore,
    pub clean: Clean,
    pub costs: Costs,
}

pub(crate) fn style(status: JobStatus) -> Style {
    match status {
        JobStatus::Queued => Style::Quiet,
        JobStatus::Running | JobStatus::Verifying | JobStatus::Revising => Style::Go,
        JobStatus::Completed => Style::Good,
        JobStatus::Failed | JobStatus::TimedOut => Style::Bad,
        JobStatus::Cancelled | JobStatus::Interrupted => Style::Quiet,
    }
}

impl<'a> Source<'a> {
    /// Over the store of this configuration, which exists.
    pub fn open(config: &'a Config) -> Result<Source<'a>> {
        Ok(Source {
            store: SqliteStore::open_read_only(&config.home)?,
            clean: Clean::new(config),
            costs: Costs::new(&config.metrics_file),
            config,
        })
    }

    /// The newest jobs that fit, and how many fit altogether.
    pub fn list(&self, statuses: &[JobStatus], search: &str) -> Result<(Vec<Item>, u64)> {
        let query =
            PageQuery { statuses: statuses.to_vec(), search: search.to_owned(), limit: JOBS, offset: 0 };
        let page = self.store.page(&query)?;
        let costs = self.costs.table()?;
        let now = job::identity::now().wall_ms;
        let item = |row: JobRow| {
            let sum = costs.job(row.id.as_str());
            let usage = row.result.as_ref().map(|result| &result.usage);
            let tokens = usage
                .and_then(|usage| Some(usage.input_tokens? + usage.output_tokens?))
                .or(sum.map(|sum| sum.tokens()).filter(|n| *n > 0));
            let failure = row.result.as_ref().and_then(|result| result.failure.as_ref());
            let last = match failure {
                Some(failure) => failure.message.as_str(),
                None => row.last_event.as_deref().unwrap_or_default(),
            };
            Item {
                task: self.clean.line(&row.spec.prompt, 300),
                took: row
                    .started_ms
                    .map_or_else(String::new, |from| span(row.finished_ms.unwrap_or(now) - from)),
                tokens: tokens.map_or_else(String::new, count),
                cost: sum.and_then(|sum| sum.cost).map_or_else(String::new, |cost| money(Some(cost))),
                last: self.clean.line(last, 300),
                status: row.status,
                id: row.id,
            }
        };
        Ok((page.rows.into_iter().map(item).collect(), page.total))
    }

    /// One job with all its tabs.
    pub fn job(&self, id: &JobId) -> Result<Opened> {
        let row = self.store.get(id)?;
        let files = Files::of(self.config, id);
        let tabs = vec![
            self.events(id)?,
            self.checks(&row, &files),
            self.findings(&files, None),
            self.diff(&files, None),
            self.attempts(id, &files)?,
        ];
        Ok(Opened { id: id.to_string(), head: self.head(&row), tabs, ended: row.status.is_final() })
    }

    fn head(&self, row: &JobRow) -> Vec<Row> {
        let now = job::identity::now().wall_ms;
        let took =
            row.started_ms.map_or_else(|| "-".to_owned(), |at| span(row.finished_ms.unwrap_or(now) - at));
        let directory =
            row.spec.allowed_dirs.first().map(|dir| dir.path().display().to_string()).unwrap_or_default();
        let mut facts = Row::of(style(row.status), row.status.as_str().replace('_', " "))
            .and(Style::Plain, format!("  {took}"));
        if let Some(result) = &row.result {
            facts = facts.and(
                Style::Plain,
                format!("  passes {}  files {}", result.attempts, result.changed_files.len()),
            );
        }
        if let Some(sum) = self.costs.table().ok().and_then(|table| table.job(row.id.as_str())) {
            facts = facts
                .and(Style::Plain, format!("  tokens {}  cost {}", count(sum.tokens()), money(sum.cost)));
        }
        let mut head = vec![
            Row::of(Style::Bold, self.clean.line(&row.spec.prompt, 300)),
            facts.and(Style::Quiet, format!("  {}", self.clean.line(&directory, 200))),
        ];
        if let Some(failure) = row.result.as_ref().and_then(|result| result.failure.as_ref()) {
            head.push(Row::of(Style::Bad, self.clean.line(&failure.message, 300)));
        }
        head
    }

    fn events(&self, id: &JobId) -> Result<Vec<Row>> {
        let events = self.store.events(id, None, EVENTS)?;
        let row = |event: &job::store::Event| {
            let (kind, text) = (self.clean.line(&event.kind, 20), self.clean.line(&event.text, 400));
            let of_kind = match kind.as_str() {
                "state" => Style::Bold,
                "policy" => Style::Warn,
                "tool-error" => Style::Bad,
                _ => Style::Plain,
            };
            Row::of(Style::Quiet, clock(event.at_ms))
                .and(Style::Quiet, " ")
                .column(Style::Quiet, &kind, 11)
                .and(of_kind, text)
        };
        Ok(events.iter().rev().map(row).collect())
    }

    fn checks(&self, row: &JobRow, files: &Files) -> Vec<Row> {
        let mut rows = Vec::new();
        let Some(result) = &row.result else {
            let name = |check: &model::spec::CheckCommand| {
                Row::of(Style::Quiet, "to run  ").and(Style::Plain, self.clean.line(&check.name, 200))
            };
            return row.spec.checks.iter().map(name).collect();
        };
        for line in &result.checks {
            rows.push(Row::of(judged(line), self.clean.line(line, 400)));
        }
        for check in &row.spec.checks {
            let Ok(log) = files.tail(&check_log(&check.name), LOG_MAX) else { continue };
            rows.push(Row::default());
            rows.push(Row::of(Style::Bold, format!("log of {}", self.clean.line(&check.name, 200))));
            if log.before > 0 {
                rows.push(Row::of(
                    Style::Quiet,
                    format!("the last {} of {} bytes", log.text.len(), log.total),
                ));
            }
            rows.extend(self.clean.prose(&log.text).lines().map(|line| Row::of(Style::Plain, plain(line))));
        }
        rows
    }

    fn findings(&self, files: &Files, attempt: Option<u32>) -> Vec<Row> {
        let mut rows = Vec::new();
        for verdict in files.findings(attempt).iter().take(200) {
            let finding = &verdict.finding;
            let (style, word) = match finding.severity {
                Severity::Deny => (Style::Bad, "deny"),
                Severity::Warn => (Style::Warn, "warn"),
                Severity::Info => (Style::Quiet, "info"),
            };
            let place = match (&finding.path, finding.line) {
                (Some(path), Some(line)) => format!("  {path}:{line}"),
                (Some(path), None) => format!("  {path}"),
                _ => String::new(),
            };
            let head = format!("{} {}{place}", finding.rule, verdict.by);
            rows.push(
                Row::of(style, word).and(Style::Plain, "  ").and(Style::Bold, self.clean.line(&head, 300)),
            );
            rows.push(Row::of(Style::Plain, format!("      {}", self.clean.line(&finding.message, 600))));
            if let Some(remedy) = &finding.remedy {
                rows.push(Row::of(Style::Quiet, format!("      remedy: {}", self.clean.line(remedy, 600))));
            }
        }
        rows
    }

    fn diff(&self, files: &Files, attempt: Option<u32>) -> Vec<Row> {
        let Some(piece) = files.diff(attempt).and_then(|name| files.head(&name, DIFF_MAX).ok()) else {
            return Vec::new();
        };
        let (changed, more) = diff::parse(&self.clean.prose(&piece.text), DIFF_LINES);
        let mut rows = Vec::new();
        for file in changed {
            rows.push(
                Row::of(Style::Bold, plain(&file.path))
                    .and(Style::Good, format!("  +{}", file.added))
                    .and(Style::Bad, format!(" -{}", file.removed)),
            );
            for line in file.lines {
                let (style, sign) = match line.kind {
                    diff::Kind::Added => (Style::Good, "+"),
                    diff::Kind::Removed => (Style::Bad, "-"),
                    diff::Kind::Context => (Style::Plain, " "),
                    diff::Kind::Hunk | diff::Kind::Note => (Style::Go, ""),
                };
                rows.push(Row::of(style, format!("{sign}{}", plain(&line.text))));
            }
        }
        if more > 0 || piece.behind > 0 {
            rows.push(Row::of(Style::Quiet, "the diff is longer; the artifact diff.patch has all of it"));
        }
        rows
    }

    /// Each pass in a block of its own; `draw` sets them side by side where there is room.
    fn attempts(&self, id: &JobId, files: &Files) -> Result<Vec<Row>> {
        let bars = timeline::bars(&self.store.events(id, Some(0), 5000)?, job::identity::now().wall_ms);
        let last = bars.iter().map(|bar| bar.pass).max().unwrap_or(0).min(20);
        let kept = files.attempts();
        let mut columns: Vec<Vec<Row>> = Vec::new();
        for pass in 1..=last {
            let at = kept.contains(&pass).then_some(pass);
            let mut rows = vec![Row::of(Style::Bold, format!("pass {pass}"))];
            for bar in bars.iter().filter(|bar| bar.pass == pass) {
                let style = match bar.kind {
                    timeline::Kind::Good => Style::Good,
                    timeline::Kind::Bad => Style::Bad,
                    timeline::Kind::Warn => Style::Warn,
                    timeline::Kind::Agent => Style::Go,
                    _ => Style::Quiet,
                };
                let text = format!("{} {}", self.clean.line(&bar.lane, 40), span(bar.to_ms - bar.from_ms));
                rows.push(Row::of(style, text));
            }
            let changed = files.diff(at).and_then(|name| files.head(&name, DIFF_MAX).ok());
            for file in changed
                .map(|piece| diff::parse(&self.clean.prose(&piece.text), DIFF_LINES).0)
                .unwrap_or_default()
            {
                rows.push(Row::of(
                    Style::Plain,
                    format!("+{} -{} {}", file.added, file.removed, plain(&file.path)),
                ));
            }
            rows.extend(self.findings(files, at).into_iter().filter(|row| !row.text().starts_with(' ')));
            columns.push(rows);
        }
        Ok(side_by_side(&columns))
    }
}

/// Columns of 38: two fit into 80.
fn side_by_side(columns: &[Vec<Row>]) -> Vec<Row> {
    const WIDTH: usize = 38;
    let mut rows = Vec::new();
    for pair in columns.chunks(2) {
        let height = pair.iter().map(Vec::len).max().unwrap_or(0);
        for n in 0..height {
            let cell = |column: Option<&Vec<Row>>| {
                column.and_then(|rows| rows.get(n)).map(Row::text).unwrap_or_default()
            };
            rows.push(
                Row::default()
                    .column(Style::Plain, &cell(pair.first()), WIDTH)
                    .and(Style::Quiet, " | ")
                    .column(Style::Plain, &cell(pair.get(1)), WIDTH),
            );
        }
        rows.push(Row::default());
    }
    rows
}

/// The colour of a line of `checks`.
fn judged(line: &str) -> Style {
    match line {
        line if line.contains(": passed") => Style::Good,
        line if line.contains(": warned") => Style::Warn,
        line if line.starts_with("note: ") => Style::Quiet,
        _ => Style::Bad,
    }
}

/// Tabs as spaces, and no more than a terminal shows.
fn plain(line: &str) -> String {
    diff::cut(line).replace('\t', "    ")
}
