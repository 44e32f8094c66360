//! What a viewer asks of the store: a page of jobs that fit a search, and whether anything has
//! changed since the last look. Only reads; the viewer's connection can do nothing else.

use std::path::Path;
use std::sync::Mutex;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params, params_from_iter};

use super::{COLUMNS, Fault, SqliteStore, StoreError, job_row, not_found, raw_row, read_status, to_u64};
use crate::identity;
use crate::store::JobRow;
use model::error::Result;
use model::spec::JobId;
use model::status::JobStatus;

/// Which jobs a viewer wants to see, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// Only these states; all when empty.
    pub statuses: Vec<JobStatus>,
    /// Words that must all be in the task, a directory, a label, the model or the id's beginning,
    /// whatever the case of their ASCII letters.
    pub search: String,
    /// Jobs of a page.
    pub limit: u32,
    /// Jobs before it.
    pub offset: u64,
}

/// A page of jobs.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Newest first.
    pub rows: Vec<JobRow>,
    /// Jobs that fit the search, by state, whatever states were asked for.
    pub counts: Vec<(JobStatus, u64)>,
    /// Jobs that fit all of the query.
    pub total: u64,
}

/// What changes whenever a job's page would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStamp {
    /// The state.
    pub status: JobStatus,
    /// Events so far.
    pub events: u64,
    /// A cancel was asked for.
    pub cancelled: bool,
}

impl SqliteStore {
    /// Opens an existing store for reading alone: no call on it can change a job.
    pub fn open_read_only(home: &Path) -> Result<SqliteStore> {
        let path = home.join("jobs.db");
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&path, flags)?;
            connection.busy_timeout(super::schema::BUSY)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| StoreError::Sqlite { path: path.clone(), source })?;
        Ok(SqliteStore {
            connection: Mutex::new(connection),
            path,
            copy: None,
            clock: Box::new(identity::now),
        })
    }

    /// The jobs that fit `query`.
    pub fn page(&self, query: &PageQuery) -> Result<Page> {
        let words: Vec<Value> =
            query.search.split_whitespace().take(8).map(|word| Value::Text(in_json(word))).collect();
        let states: Vec<String> = query.statuses.iter().map(|s| format!("'{}'", s.as_str())).collect();
        let fits: Vec<String> = (1..=words.len()).map(fits).collect();
        let all = |more: Option<String>| {
            let parts: Vec<String> = fits.iter().cloned().chain(more).collect();
            if parts.is_empty() { String::new() } else { format!("WHERE {}", parts.join(" AND ")) }
        };
        let in_states = (!states.is_empty()).then(|| format!("status IN ({})", states.join(", ")));
        self.read(|connection| {
            let mut counts = Vec::new();
            let sql = format!("SELECT status, COUNT(*) FROM jobs {} GROUP BY status", all(None));
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = statement.query(params_from_iter(&words))?;
            while let Some(row) = found.next()? {
                let name: String = row.get(0)?;
                counts.push((read_status("?", &name)?, to_u64(row.get(1)?)));
            }
            let wanted = |status: &JobStatus| query.statuses.is_empty() || query.statuses.contains(status);
            let total = counts.iter().filter(|(status, _)| wanted(status)).map(|(_, count)| count).sum();
            let sql = format!(
                "SELECT {COLUMNS} FROM jobs {} ORDER BY seq DESC LIMIT {} OFFSET {}",
                all(in_states.clone()),
                query.limit,
                i64::try_from(query.offset).unwrap_or(i64::MAX),
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let raw = statement.query_map(params_from_iter(&words), raw_row)?;
            let mut rows = Vec::new();
            for raw in raw {
                match job_row(raw?) {
                    Ok(row) => rows.push(row),
                    Err(fault) => tracing::warn!("{}", self.explain(fault).message),
                }
            }
            Ok(Page { rows, counts, total })
        })
    }

    /// A number that changes when another connection has written.
    pub fn stamp(&self) -> Result<u64> {
        self.read(|connection| Ok(to_u64(connection.query_row("PRAGMA data_version", [], |row| row.get(0))?)))
    }

    /// What changes with a job's page.
    pub fn job_stamp(&self, id: &JobId) -> Result<JobStamp> {
        self.read(|connection| {
            let row = connection
                .prepare_cached("SELECT status, event_seq, cancel IS NOT NULL FROM jobs WHERE id = ?1")?
                .query_row(params![id.as_str()], |row| {
                    Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
                })
                .optional()?;
            let Some((status, events, cancelled)) = row else { return Err(Fault::from(not_found(id))) };
            Ok(JobStamp { status: read_status(id.as_str(), &status)?, events: to_u64(events), cancelled })
        })
    }

    /// Each job's time, directories, labels and model, for sums over jobs.
    pub fn origins(&self) -> Result<Vec<Origin>> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT id, spec FROM jobs")?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let (id, spec): (String, String) = (row.get(0)?, row.get(1)?);
                // One bad record must not hide the others.
                let Ok(spec) = super::read_spec(&id, &spec) else { continue };
                let directory = spec.allowed_dirs.first().map(|dir| dir.path().to_owned());
                found.push(Origin { id, directory, labels: spec.labels.into_iter().collect() });
            }
            Ok(found)
        })
    }
}

/// Where a job worked and what its caller calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The job.
    pub id: String,
    /// Its working directory.
    pub directory: Option<std::path::PathBuf>,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

/// Parameter `n` is in the job's text, or its id begins so. The text of the whole record first:
/// most jobs are ruled out before anything is parsed.
fn fits(n: usize) -> String {
    let inside = |text: &str| format!("instr(lower({text}), ?{n}) > 0");
    let parts = inside("json_extract(spec, '$.prompt', '$.allowed_dirs', '$.labels')");
    let model = inside("COALESCE(json_extract(spec, '$.model'), '')");
    format!("(instr(id, ?{n}) = 1 OR ({} AND ({parts} OR {model})))", inside("spec"))
}

/// A word as it is inside a text of JSON.
fn in_json(word: &str) -> String {
    let quoted = serde_json::Value::from(word.to_ascii_lowercase()).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
