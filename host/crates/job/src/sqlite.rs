//! The store on SQLite: one file, `jobs.db`, shared by every server and worker process of
//! a state directory. Each change is one immediate transaction, on the disk when the call
//! returns.
//!
//! Time: a lease ends by a clock that never jumps ([`identity::now`]), and only counts
//! within the boot in which it was given; a lease of an earlier boot is over, because its
//! worker is. A wall clock that is set forward or back changes nothing. (The file may not
//! lie on a network file system: SQLite's WAL does not work there. A store for several
//! machines is another [`JobStore`].)

mod browse;
mod locked;
mod schema;
mod spend;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params};

pub use self::browse::{JobStamp, Origin, Page, PageQuery};
pub use self::schema::StoreError;
use super::conclude;
use super::identity::{self, Now};
use super::store::{
    Claim, Enqueued, Event, Heartbeat, JobRow, JobStore, ListFilter, Load, Reserved, SpendScope,
};
use config::Isolation;
use model::error::{Error, Kind, Result};
use model::money::Money;
use model::result::JobResult;
use model::spec::{JobId, JobSpec};
use model::status::JobStatus;
use redact::sanitize;

/// The jobs that a worker holds. Kept beside [`JobStatus::is_active`] by a test.
const ACTIVE: &str = "('running', 'verifying', 'revising')";

/// The store of one state directory.
pub struct SqliteStore {
    connection: Mutex<Connection>,
    path: PathBuf,
    /// Goes with the store.
    copy: Option<tempfile::TempDir>,
    clock: Box<dyn Fn() -> Now + Send + Sync>,
}

impl SqliteStore {
    /// Opens the store in the state directory `home`, making both where they are missing.
    pub fn open(home: &Path) -> Result<SqliteStore> {
        Self::open_with_clock(home, identity::now)
    }

    fn open_with_clock(home: &Path, clock: impl Fn() -> Now + Send + Sync + 'static) -> Result<SqliteStore> {
        let schema::Opened { connection, path, copy } = schema::open(home)?;
        Ok(SqliteStore { connection: Mutex::new(connection), path, copy, clock: Box::new(clock) })
    }

    /// What is read is a copy, because the state directory cannot be written.
    pub fn is_copy(&self) -> bool {
        self.copy.is_some()
    }

    /// Why there is no row of the job: nobody has made it, or the store is damaged.
    fn missing(&self, connection: &Connection, id: &JobId) -> Result<Error, Fault> {
        let damaged = |said: String| StoreError::Damaged { path: self.path.clone(), said }.into();
        // An index may have lost what the table has.
        let query = "SELECT 1 FROM jobs NOT INDEXED WHERE id = ?1";
        if connection.query_row(query, [id.as_str()], |_| Ok(())).optional()?.is_some() {
            return Ok(damaged(format!("job {id} is missing in its index")));
        }
        let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if said != "ok" {
            return Ok(damaged(sanitize::line(&said, 200)));
        }
        let dir = self.path.with_file_name("jobs").join(id.as_str());
        if dir.is_dir() {
            let message =
                format!("{} has no record of job {id}, whose directory is there", self.path.display());
            return Ok(Error::new(Kind::NotFound, message).hint(format!(
                "the store was replaced: its receipt and artifacts are in {}",
                dir.display()
            )));
        }
        Ok(not_found(id))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic elsewhere leaves no half transaction: it is rolled back when dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write<T>(&self, change: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>) -> Result<T> {
        let connection = self.lock();
        let run = || -> Result<T, Fault> {
            let begin = || Transaction::new_unchecked(&connection, TransactionBehavior::Immediate);
            let transaction = match begin() {
                // Somebody has held the lock for the whole of the patience.
                Err(error) if is_locked(&error) && locked::end_stopped_holder(&self.path) => begin()?,
                begun => begun?,
            };
            let value = change(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|fault| self.explain(fault))
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T> {
        query(&self.lock()).map_err(|fault| self.explain(fault))
    }

    fn explain(&self, fault: Fault) -> Error {
        let path = self.path.clone();
        match fault {
            Fault::Sqlite(source) => StoreError::Sqlite { path, source }.into(),
            Fault::Row { id, what, why } => StoreError::Row { path, id, what, why }.into(),
            Fault::Host(error) => error,
        }
    }

    /// Moves a claimed job on if the claim holds and the change is legal.
    fn change(&self, claim: &Claim, to: JobStatus, result: Option<&JobResult>) -> Result<bool> {
        let result = result
            .map(serde_json::to_string)
            .transpose()
            .map_err(|e| Error::new(Kind::Internal, e.to_string()).caused_by(e))?;
        let now = (self.clock)();
        self.write(|tx| {
            let Some((seq, from)) = held(tx, claim)? else { return Ok(false) };
            if from == to && !to.is_final() {
                return Ok(true);
            }
            if !from.may_become(to) {
                return Err(illegal(&claim.id, from, to).into());
            }
            let finished = to.is_final().then_some(now.wall_ms);
            tx.execute(
                "UPDATE jobs SET status = ?2, result = COALESCE(?3, result), finished_ms = ?4 WHERE seq = ?1",
                params![seq, to.as_str(), result, finished],
            )?;
            if to == JobStatus::Queued || to.is_final() {
                tx.execute(
                    "UPDATE jobs SET lease_boot = NULL, lease_steady_ms = NULL, lease_wall_ms = NULL WHERE seq = ?1",
                    [seq],
                )?;
            }
            add_event(tx, seq, now.wall_ms, "state", to.as_str())?;
            Ok(true)
        })
    }
}

/// What can go wrong inside a transaction.
enum Fault {
    Sqlite(rusqlite::Error),
    Row { id: String, what: &'static str, why: String },
    Host(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Sqlite(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Host(error)
    }
}

fn illegal(id: &JobId, from: JobStatus, to: JobStatus) -> Error {
    Error::new(Kind::Internal, format!("job {id} cannot go from {} to {}", from.as_str(), to.as_str()))
}

/// The row and state of a job that this claim still holds.
fn held(tx: &Transaction<'_>, claim: &Claim) -> Result<Option<(i64, JobStatus)>, Fault> {
    let row = tx
        .query_row(
            &format!("SELECT seq, status FROM jobs WHERE id = ?1 AND epoch = ?2 AND status IN {ACTIVE}"),
            params![claim.id.as_str(), to_i64(claim.epoch)],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)),
        )
        .optional()?;
    row.map(|(seq, status)| Ok((seq, read_status(claim.id.as_str(), &status)?))).transpose()
}

fn add_event(tx: &Transaction<'_>, seq: i64, at_ms: i64, kind: &str, text: &str) -> Result<(), Fault> {
    let number: i64 = tx.query_row(
        "UPDATE jobs SET event_seq = event_seq + 1, last_event = ?2 WHERE seq = ?1 RETURNING event_seq",
        params![seq, text],
        |row| row.get(0),
    )?;
    tx.execute(
        "INSERT INTO events (job, seq, at_ms, kind, text) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![seq, number, at_ms, kind, text],
    )?;
    Ok(())
}

fn read_status(id: &str, name: &str) -> Result<JobStatus, Fault> {
    JobStatus::parse(name).ok_or_else(|| Fault::Row {
        id: id.to_owned(),
        what: "status",
        why: format!("`{name}`"),
    })
}

fn read_id(id: &str) -> Result<JobId, Fault> {
    JobId::parse(id).ok_or_else(|| Fault::Row {
        id: id.to_owned(),
        what: "id",
        why: "not 32 digits".to_owned(),
    })
}

fn read_spec(id: &str, json: &str) -> Result<JobSpec, Fault> {
    serde_json::from_str(json).map_err(|e| Fault::Row { id: id.to_owned(), what: "spec", why: e.to_string() })
}

fn to_i64(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn to_u64(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

fn to_u32(n: i64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Ends a job whose record cannot be read: nobody can run it, and nobody can say more of it.
fn end_unreadable(
    tx: &Transaction<'_>,
    seq: i64,
    status: JobStatus,
    fault: &Fault,
    at_ms: i64,
) -> Result<(), Fault> {
    let why = match fault {
        Fault::Row { what, why, .. } => format!("its {what} cannot be read: {}", sanitize::line(why, 200)),
        Fault::Sqlite(_) | Fault::Host(_) => "its record cannot be read".to_owned(),
    };
    tx.execute(
        "UPDATE jobs SET status = ?2, epoch = epoch + 1, finished_ms = ?3, result = NULL, lease_boot = NULL, \
         lease_steady_ms = NULL, lease_wall_ms = NULL WHERE seq = ?1",
        params![seq, status.as_str(), at_ms],
    )?;
    add_event(tx, seq, at_ms, "state", &why)?;
    add_event(tx, seq, at_ms, "state", status.as_str())
}

/// Two jobs that both edit the user's own directory cannot run at the same time when one
/// directory holds the other: each would be blamed for the other's changes.
fn collide(a: &JobSpec, b: &JobSpec) -> bool {
    let live = |spec: &JobSpec| spec.isolation == Isolation::None;
    live(a)
        && live(b)
        && a.allowed_dirs.iter().any(|x| {
            b.allowed_dirs.iter().any(|y| x.path().starts_with(y.path()) || y.path().starts_with(x.path()))
        })
}

/// The columns of [`JobRow`], raw.
const COLUMNS: &str = "seq, id, spec, status, created_ms, started_ms, finished_ms, cancel, session, result, last_event, \
     CASE status WHEN 'queued' THEN (SELECT COUNT(*) FROM jobs AS o WHERE o.status = 'queued' AND o.seq < jobs.seq) END";

struct RawRow {
    id: String,
    spec: String,
    status: String,
    created_ms: i64,
    started_ms: Option<i64>,
    finished_ms: Option<i64>,
    cancel: Option<String>,
    session: Option<String>,
    result: Option<String>,
    last_event: Option<String>,
    ahead: Option<i64>,
}

fn raw_row(row: &Row<'_>) -> rusqlite::Result<RawRow> {
    Ok(RawRow {
        id: row.get(1)?,
        spec: row.get(2)?,
        status: row.get(3)?,
        created_ms: row.get(4)?,
        started_ms: row.get(5)?,
        finished_ms: row.get(6)?,
        cancel: row.get(7)?,
        session: row.get(8)?,
        result: row.get(9)?,
        last_event: row.get(10)?,
        ahead: row.get(11)?,
    })
}

fn job_row(raw: RawRow) -> Result<JobRow, Fault> {
    let result = raw.result.as_deref().map(serde_json::from_str).transpose();
    Ok(JobRow {
        id: read_id(&raw.id)?,
        spec: read_spec(&raw.id, &raw.spec)?,
        status: read_status(&raw.id, &raw.status)?,
        created_ms: raw.created_ms,
        started_ms: raw.started_ms,
        finished_ms: raw.finished_ms,
        cancel_requested: raw.cancel,
        session: raw.session,
        result: result.map_err(|e| Fault::Row { id: raw.id.clone(), what: "result", why: e.to_string() })?,
        queue_position: raw.ahead.map(to_u32),
        last_event: raw.last_event,
    })
}

fn not_found(id: &JobId) -> Error {
    Error::new(Kind::NotFound, format!("there is no job {id}"))
        .hint("list them with `codex-worker jobs list`")
}

/// Jobs whose worker is dead: number, id, epoch and specification, oldest first.
fn dead_rows(connection: &Connection, now: &identity::Now) -> Result<Vec<(i64, String, i64, String)>, Fault> {
    let dead = |holder: &str, boot: Option<&str>, steady: Option<i64>, wall: Option<i64>| -> bool {
        if identity::is_gone(holder) {
            return true;
        }
        match (boot, steady, wall) {
            (Some(boot), Some(steady), _) if !boot.is_empty() => boot != now.boot || steady < now.steady_ms,
            (_, _, Some(wall)) => wall < now.wall_ms,
            _ => true,
        }
    };
    let mut statement = connection.prepare(&format!(
        "SELECT seq, id, epoch, spec, worker, lease_boot, lease_steady_ms, lease_wall_ms FROM jobs \
         WHERE status IN {ACTIVE} ORDER BY seq"
    ))?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let holder: Option<String> = row.get(4)?;
        let boot: Option<String> = row.get(5)?;
        if dead(holder.as_deref().unwrap_or_default(), boot.as_deref(), row.get(6)?, row.get(7)?) {
            found.push((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        }
    }
    Ok(found)
}

impl JobStore for SqliteStore {
    fn enqueue(&self, spec: &JobSpec) -> Result<Enqueued> {
        let json = serde_json::to_string(spec)
            .map_err(|e| Error::new(Kind::Internal, e.to_string()).caused_by(e))?;
        let id = JobId::random()
            .map_err(|e| Error::new(Kind::Environment, format!("no random numbers: {e}")).caused_by(e))?;
        let now = (self.clock)();
        let (id, existing) = self.write(|tx| {
            if let Some(key) = &spec.idempotency_key {
                let known: Option<(String, String)> = tx
                    .query_row("SELECT id, spec FROM jobs WHERE idempotency_key = ?1", [key], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })
                    .optional()?;
                if let Some((known, of)) = known {
                    if of != json {
                        return Err(Error::new(
                            Kind::Usage,
                            format!("idempotency_key `{key}` was used for job {known} with other arguments"),
                        )
                        .hint("use another key for another job, or the same arguments to get that job")
                        .into());
                    }
                    return Ok((read_id(&known)?, true));
                }
            }
            tx.execute(
                "INSERT INTO jobs (id, spec, idempotency_key, status, created_ms) VALUES (?1, ?2, ?3, 'queued', ?4)",
                params![id.as_str(), json, spec.idempotency_key, now.wall_ms],
            )?;
            add_event(tx, tx.last_insert_rowid(), now.wall_ms, "state", "queued")?;
            Ok((id.clone(), false))
        })?;
        let row = self.get(&id)?;
        Ok(Enqueued { id, status: row.status, queue_position: row.queue_position, existing })
    }

    fn claim(&self, worker: &str, max_running: u32, lease: Duration) -> Result<Option<Claim>> {
        let now = (self.clock)();
        self.write(|tx| {
            let unreadable = RefCell::new(Vec::new());
            let specs = |sql: &str| -> Result<Vec<(i64, String, u64, JobSpec)>, Fault> {
                let mut statement = tx.prepare(sql)?;
                let rows = statement.query_map([], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, String>(3)?))
                })?;
                let mut found = Vec::new();
                for row in rows {
                    let (seq, id, epoch, spec) = row?;
                    match read_spec(&id, &spec) {
                        Ok(spec) => found.push((seq, id, to_u64(epoch), spec)),
                        Err(fault) => unreadable.borrow_mut().push((seq, fault)),
                    }
                }
                Ok(found)
            };
            let active = specs(&format!("SELECT seq, id, epoch, spec FROM jobs WHERE status IN {ACTIVE}"))?;
            let running = active.len() + unreadable.borrow().len();
            unreadable.borrow_mut().clear();
            if running >= max_running as usize {
                return Ok(None);
            }
            let queued = specs("SELECT seq, id, epoch, spec FROM jobs WHERE status = 'queued' ORDER BY seq LIMIT 200")?;
            // One that cannot be read must not keep the others from running.
            for (seq, fault) in unreadable.take() {
                end_unreadable(tx, seq, JobStatus::Failed, &fault, now.wall_ms)?;
            }
            let free = queued.into_iter().find(|(_, _, _, spec)| !active.iter().any(|(_, _, _, other)| collide(spec, other)));
            let Some((seq, id, epoch, spec)) = free else { return Ok(None) };
            tx.execute(
                "UPDATE jobs SET status = 'running', epoch = ?2, worker = ?3, started_ms = COALESCE(started_ms, ?4), \
                 lease_boot = ?5, lease_steady_ms = ?6, lease_wall_ms = ?7 WHERE seq = ?1",
                params![
                    seq,
                    to_i64(epoch + 1),
                    worker,
                    now.wall_ms,
                    now.boot,
                    now.steady_ms.saturating_add(millis(lease)),
                    now.wall_ms.saturating_add(millis(lease))
                ],
            )?;
            add_event(tx, seq, now.wall_ms, "state", "running")?;
            Ok(Some(Claim { id: read_id(&id)?, epoch: epoch + 1, spec }))
        })
    }

    fn heartbeat(&self, claim: &Claim, lease: Duration) -> Result<Option<Heartbeat>> {
        let now = (self.clock)();
        self.write(|tx| {
            let cancel: Option<Option<String>> = tx
                .query_row(
                    &format!(
                        "UPDATE jobs SET lease_boot = ?3, lease_steady_ms = ?4, lease_wall_ms = ?5 \
                         WHERE id = ?1 AND epoch = ?2 AND status IN {ACTIVE} RETURNING cancel"
                    ),
                    params![
                        claim.id.as_str(),
                        to_i64(claim.epoch),
                        now.boot,
                        now.steady_ms.saturating_add(millis(lease)),
                        now.wall_ms.saturating_add(millis(lease))
                    ],
                    |row| row.get(0),
                )
                .optional()?;
            Ok(cancel.map(|cancel| Heartbeat { cancel }))
        })
    }

    fn poll(&self, claim: &Claim) -> Result<Option<Heartbeat>> {
        self.read(|connection| {
            let cancel: Option<Option<String>> = connection
                .prepare_cached(&format!(
                    "SELECT cancel FROM jobs WHERE id = ?1 AND epoch = ?2 AND status IN {ACTIVE}"
                ))?
                .query_row(params![claim.id.as_str(), to_i64(claim.epoch)], |row| row.get(0))
                .optional()?;
            Ok(cancel.map(|cancel| Heartbeat { cancel }))
        })
    }

    fn advance(&self, claim: &Claim, to: JobStatus) -> Result<bool> {
        self.change(claim, to, None)
    }

    fn release(&self, claim: &Claim) -> Result<bool> {
        self.change(claim, JobStatus::Queued, None)
    }

    fn set_session(&self, claim: &Claim, session: &str) -> Result<bool> {
        self.write(|tx| {
            let Some((seq, _)) = held(tx, claim)? else { return Ok(false) };
            tx.execute("UPDATE jobs SET session = ?2 WHERE seq = ?1", params![seq, session])?;
            Ok(true)
        })
    }

    fn append_events(&self, claim: &Claim, events: &[(String, String)]) -> Result<bool> {
        if events.is_empty() {
            return Ok(true);
        }
        let now = (self.clock)();
        self.write(|tx| {
            let Some((seq, _)) = held(tx, claim)? else { return Ok(false) };
            for (kind, text) in events {
                add_event(tx, seq, now.wall_ms, kind, text)?;
            }
            Ok(true)
        })
    }

    fn finish(&self, claim: &Claim, status: JobStatus, result: &JobResult) -> Result<bool> {
        if !status.is_final() {
            return Err(Error::new(Kind::Internal, format!("{} does not end a job", status.as_str())));
        }
        self.change(claim, status, Some(result))
    }

    fn request_cancel(&self, id: &JobId, reason: &str) -> Result<JobStatus> {
        let now = (self.clock)();
        self.write(|tx| {
            let row = tx
                .query_row("SELECT seq, status, spec FROM jobs WHERE id = ?1", [id.as_str()], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
                })
                .optional()?;
            let Some((seq, status, spec)) = row else { return Err(self.missing(tx, id)?.into()) };
            let status = read_status(id.as_str(), &status)?;
            match status {
                JobStatus::Queued => {
                    let spec = match read_spec(id.as_str(), &spec) {
                        Ok(spec) => spec,
                        Err(fault) => {
                            end_unreadable(tx, seq, JobStatus::Cancelled, &fault, now.wall_ms)?;
                            return Ok(JobStatus::Cancelled);
                        }
                    };
                    let result = conclude::cancelled_in_queue(id, &spec, reason).result;
                    let json = serde_json::to_string(&result).map_err(|e| Error::new(Kind::Internal, e.to_string()).caused_by(e))?;
                    tx.execute(
                        "UPDATE jobs SET status = 'cancelled', cancel = ?2, result = ?3, finished_ms = ?4 WHERE seq = ?1",
                        params![seq, reason, json, now.wall_ms],
                    )?;
                    add_event(tx, seq, now.wall_ms, "state", "cancelled")?;
                    Ok(JobStatus::Cancelled)
                }
                // The first reason stays: it is what the worker acts on.
                status if status.is_active() => {
                    tx.execute("UPDATE jobs SET cancel = COALESCE(cancel, ?2) WHERE seq = ?1", params![seq, reason])?;
                    Ok(status)
                }
                ended => Ok(ended),
            }
        })
    }

    fn take_over(&self, worker: &str, lease: Duration) -> Result<Option<Claim>> {
        let now = (self.clock)();
        let dead_rows = |connection: &Connection| dead_rows(connection, &now);
        // Mostly nobody is dead: look without the write lock first.
        if self.read(dead_rows)?.is_empty() {
            return Ok(None);
        }
        self.write(|tx| {
            for (seq, id, epoch, spec) in dead_rows(tx)? {
                let spec = match read_spec(&id, &spec) {
                    Ok(spec) => spec,
                    Err(fault) => {
                        end_unreadable(tx, seq, JobStatus::Interrupted, &fault, now.wall_ms)?;
                        continue;
                    }
                };
                let epoch = to_u64(epoch) + 1;
                tx.execute(
                    "UPDATE jobs SET epoch = ?2, worker = ?3, lease_boot = ?4, lease_steady_ms = ?5, \
                     lease_wall_ms = ?6 WHERE seq = ?1",
                    params![
                        seq,
                        to_i64(epoch),
                        worker,
                        now.boot,
                        now.steady_ms.saturating_add(millis(lease)),
                        now.wall_ms.saturating_add(millis(lease))
                    ],
                )?;
                add_event(tx, seq, now.wall_ms, "state", "its worker died")?;
                return Ok(Some(Claim { spec, id: read_id(&id)?, epoch }));
            }
            Ok(None)
        })
    }

    fn reserve(&self, scopes: &[SpendScope], amount: Money) -> Result<Reserved> {
        self.reserve_money(scopes, amount)
    }

    fn settle(&self, reservation: u64, amount: Option<Money>) -> Result<Vec<Money>> {
        self.settle_money(reservation, amount)
    }

    fn spent(&self, scope: &str) -> Result<Money> {
        self.spent_money(scope)
    }

    fn dead(&self) -> Result<u32> {
        let now = (self.clock)();
        let rows = self.read(|connection| dead_rows(connection, &now))?;
        Ok(u32::try_from(rows.len()).unwrap_or(u32::MAX))
    }

    fn load(&self) -> Result<Load> {
        self.read(|connection| {
            let (queued, active): (i64, i64) = connection.query_row(
                &format!(
                    "SELECT COUNT(*) FILTER (WHERE status = 'queued'), COUNT(*) FILTER (WHERE status IN {ACTIVE}) \
                     FROM jobs WHERE status IN ('queued', 'running', 'verifying', 'revising')"
                ),
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            Ok(Load { queued: to_u32(queued), active: to_u32(active) })
        })
    }

    fn unreadable(&self) -> Result<Vec<JobId>> {
        self.read(|connection| {
            let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM jobs"))?;
            let rows = statement.query_map([], raw_row)?;
            let mut found = Vec::new();
            for raw in rows {
                let raw = raw?;
                let id = JobId::parse(&raw.id);
                let ended = JobStatus::parse(&raw.status).is_none_or(JobStatus::is_final);
                if job_row(raw).is_err() && ended {
                    found.extend(id);
                }
            }
            Ok(found)
        })
    }

    fn forget(&self, id: &JobId) -> Result<bool> {
        self.write(|tx| {
            let deleted = tx.execute(
                &format!("DELETE FROM jobs WHERE id = ?1 AND status <> 'queued' AND status NOT IN {ACTIVE}"),
                [id.as_str()],
            )?;
            Ok(deleted > 0)
        })
    }

    fn get(&self, id: &JobId) -> Result<JobRow> {
        self.read(|connection| {
            let raw = connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM jobs WHERE id = ?1"))?
                .query_row([id.as_str()], raw_row)
                .optional()?;
            match raw {
                Some(raw) => job_row(raw),
                None => Err(self.missing(connection, id)?.into()),
            }
        })
    }

    fn list(&self, filter: &ListFilter) -> Result<Vec<JobRow>> {
        self.read(|connection| {
            let wanted: Vec<String> = filter.statuses.iter().map(|s| format!("'{}'", s.as_str())).collect();
            let only = if wanted.is_empty() {
                String::new()
            } else {
                format!("WHERE status IN ({})", wanted.join(", "))
            };
            let limit = if filter.limit == 0 { -1 } else { i64::from(filter.limit) };
            let mut statement = connection
                .prepare(&format!("SELECT {COLUMNS} FROM jobs {only} ORDER BY seq DESC LIMIT ?1"))?;
            let rows = statement.query_map([limit], raw_row)?;
            let mut found = Vec::new();
            for raw in rows {
                match job_row(raw?) {
                    Ok(row) => found.push(row),
                    // One bad record must not hide the others.
                    Err(fault) => tracing::warn!("{}", self.explain(fault).message),
                }
            }
            Ok(found)
        })
    }

    fn events(&self, id: &JobId, after: Option<u64>, limit: u32) -> Result<Vec<Event>> {
        self.read(|connection| {
            let job: Option<i64> = connection
                .query_row("SELECT seq FROM jobs WHERE id = ?1", [id.as_str()], |row| row.get(0))
                .optional()?;
            let Some(job) = job else { return Err(self.missing(connection, id)?.into()) };
            let order = if after.is_some() { "ASC" } else { "DESC" };
            let mut statement = connection.prepare_cached(&format!(
                "SELECT seq, at_ms, kind, text FROM events WHERE job = ?1 AND seq > ?2 ORDER BY seq {order} LIMIT ?3"
            ))?;
            let rows = statement.query_map(params![job, to_i64(after.unwrap_or(0)), i64::from(limit)], |row| {
                Ok(Event { seq: to_u64(row.get(0)?), at_ms: row.get(1)?, kind: row.get(2)?, text: row.get(3)? })
            })?;
            let mut events = rows.collect::<rusqlite::Result<Vec<Event>>>()?;
            if after.is_none() {
                events.reverse();
            }
            Ok(events)
        })
    }
}
