//! Opening `jobs.db`: pragmas, the schema and its migrations. `user_version` counts them;
//! a file of a newer program is refused before anything is read or written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use model::error::{Error as HostError, Kind};

/// Each entry takes the schema one version up. Entries are never edited once released.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE jobs (
        seq             INTEGER PRIMARY KEY AUTOINCREMENT,
        id              TEXT NOT NULL UNIQUE,
        spec            TEXT NOT NULL,
        idempotency_key TEXT UNIQUE,
        status          TEXT NOT NULL,
        epoch           INTEGER NOT NULL DEFAULT 0,
        worker          TEXT,
        lease_boot      TEXT,
        lease_steady_ms INTEGER,
        lease_wall_ms   INTEGER,
        created_ms      INTEGER NOT NULL,
        started_ms      INTEGER,
        finished_ms     INTEGER,
        cancel          TEXT,
        session         TEXT,
        result          TEXT,
        last_event      TEXT,
        event_seq       INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX jobs_by_status ON jobs (status, seq);
    CREATE TABLE events (
        job   INTEGER NOT NULL REFERENCES jobs (seq) ON DELETE CASCADE,
        seq   INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        kind  TEXT NOT NULL,
        text  TEXT NOT NULL,
        PRIMARY KEY (job, seq)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE spent (
        scope TEXT NOT NULL PRIMARY KEY,
        nanos INTEGER NOT NULL,
        at_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE reservations (
        id     INTEGER PRIMARY KEY AUTOINCREMENT,
        nanos  INTEGER NOT NULL,
        scopes TEXT NOT NULL,
        at_ms  INTEGER NOT NULL
    ) STRICT;
",
];

/// How long a statement waits for another process's write.
pub(super) const BUSY: Duration = Duration::from_secs(10);

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory could not be made.
    #[error("cannot make the state directory {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A newer program wrote the file.
    #[error("{path} has schema version {found}; this program knows versions up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// SQLite's own words.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file does not hold together.
    #[error("{path} is damaged: {said}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        said: String,
    },
    /// A row that this program did not write so.
    #[error("{path}: job {id} has an unreadable {what}: {why}")]
    Row {
        /// The file.
        path: PathBuf,
        /// The job.
        id: String,
        /// The column.
        what: &'static str,
        /// Why it cannot be read.
        why: String,
    },
}

impl From<StoreError> for HostError {
    fn from(error: StoreError) -> HostError {
        let message = error.to_string();
        let home = "or set CODEX_WORKER_HOME to another directory";
        match &error {
            StoreError::Directory { .. } => HostError::new(Kind::Environment, message)
                .hint("set CODEX_WORKER_HOME to a directory that this user can write"),
            StoreError::Newer { .. } => HostError::new(Kind::Environment, message)
                .hint("use the codex-worker that made it, or a newer one")
                .hint(home),
            StoreError::Damaged { path, .. } => HostError::new(Kind::Environment, message)
                .hint(format!(
                    "move {} and its -wal and -shm files away (job directories stay readable)",
                    path.display()
                ))
                .hint(home),
            StoreError::Row { .. } => {
                HostError::new(Kind::Internal, message).hint("delete the job with `codex-worker jobs gc`")
            }
            StoreError::Sqlite { path, source } => match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => HostError::new(
                    Kind::Environment,
                    format!("{}: no space left on its disk", path.display()),
                )
                .hint("free some space (`codex-worker jobs gc`), then try again: nothing was half-written"),
                Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                    HostError::new(Kind::Environment, message)
                        .hint("make the state directory writable for this user")
                        .hint(home)
                }
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    StoreError::Damaged { path: path.clone(), said: source.to_string() }.into()
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => HostError::new(
                    Kind::Environment,
                    message,
                )
                .hint(format!("another process has held the store for {} s; try again", BUSY.as_secs())),
                _ => HostError::new(Kind::Internal, message),
            },
        }
    }
}

/// An open store.
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// The file in the state directory.
    pub(super) path: PathBuf,
    /// Holds what is read where the state directory cannot be written.
    pub(super) copy: Option<tempfile::TempDir>,
}

/// Opens the file, making and migrating it where needed. Where it cannot be written it is read.
pub(super) fn open(home: &Path) -> Result<Opened, StoreError> {
    crate::paths::create_private(home)
        .map_err(|source| StoreError::Directory { path: home.to_owned(), source })?;
    let path = home.join("jobs.db");
    let error = match open_file(&path) {
        Ok(connection) => return Ok(Opened { connection, path, copy: None }),
        Err(Open::Newer(found)) => {
            return Err(StoreError::Newer { path, found, known: MIGRATIONS.len() as i64 });
        }
        Err(Open::Sqlite(error)) => error,
    };
    if is_unwritable(&error)
        && let Some((connection, copy)) = open_copy(&path)
    {
        return Ok(Opened { connection, path, copy: Some(copy) });
    }
    Err(StoreError::Sqlite { path, source: error })
}

fn is_unwritable(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
    )
}

/// Reading in WAL mode writes beside the file. So a copy is read, with what is in the log; a
/// change of it is refused.
fn open_copy(path: &Path) -> Option<(Connection, tempfile::TempDir)> {
    let copy = tempfile::tempdir().ok()?;
    for end in ["", "-wal"] {
        let name = format!("jobs.db{end}");
        let copied = jobfs::own::open(path.with_file_name(&name)).and_then(|mut from| {
            std::io::copy(&mut from, &mut std::fs::File::create(copy.path().join(&name))?)
        });
        // A log is there only after a worker that was killed.
        if copied.is_err() && end.is_empty() {
            return None;
        }
    }
    let connection = open_file(&copy.path().join("jobs.db")).ok()?;
    connection.pragma_update(None, "query_only", true).ok()?;
    Some((connection, copy))
}

enum Open {
    Sqlite(rusqlite::Error),
    Newer(i64),
}

impl From<rusqlite::Error> for Open {
    fn from(error: rusqlite::Error) -> Self {
        Open::Sqlite(error)
    }
}

fn open_file(path: &Path) -> Result<Connection, Open> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    let version =
        |connection: &Connection| connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    let found = version(&connection)?;
    if found > MIGRATIONS.len() as i64 {
        return Err(Open::Newer(found));
    }
    switch_to_wal(&connection)?;
    // FULL: a state change must be on the disk before anybody is told of it.
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    if found < MIGRATIONS.len() as i64 {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Read again under the lock: another process may have migrated meanwhile.
        let found = version(&transaction)?;
        if found > MIGRATIONS.len() as i64 {
            return Err(Open::Newer(found));
        }
        for migration in &MIGRATIONS[usize::try_from(found).unwrap_or_default()..] {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
        transaction.commit()?;
    }
    Ok(connection)
}

/// The change to WAL needs the file for itself for a moment, and SQLite does not wait for
/// that by itself: of several processes that open a new store at once, all but one would
/// be told that it is locked.
fn switch_to_wal(connection: &Connection) -> rusqlite::Result<()> {
    let deadline = std::time::Instant::now() + BUSY;
    loop {
        // The pragma answers with a row, which `execute` would take for an error.
        match connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && std::time::Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}
