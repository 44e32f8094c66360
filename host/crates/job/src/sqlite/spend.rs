//! Money in the store: what was spent in each scope, open reservations included. One immediate
//! transaction looks at every limit and takes the amount, so that no two requests, of whichever
//! process, together exceed one.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{Fault, SqliteStore, to_i64, to_u64};
use crate::store::{Reserved, SpendScope};
use model::error::Result;
use model::money::Money;

/// Older sums are of no further use.
const KEEP_MS: i64 = 90 * 24 * 3600 * 1000;

fn spent(tx: &rusqlite::Connection, scope: &str) -> Result<Money, Fault> {
    let nanos =
        tx.query_row("SELECT nanos FROM spent WHERE scope = ?1", [scope], |row| row.get(0)).optional()?;
    Ok(Money::from_nanos(to_u64(nanos.unwrap_or_default())))
}

fn add(tx: &Transaction<'_>, scope: &str, nanos: i64, at_ms: i64) -> Result<Money, Fault> {
    let sum: i64 = tx.query_row(
        "INSERT INTO spent (scope, nanos, at_ms) VALUES (?1, MAX(?2, 0), ?3) \
         ON CONFLICT (scope) DO UPDATE SET nanos = MAX(nanos + ?2, 0), at_ms = ?3 RETURNING nanos",
        params![scope, nanos, at_ms],
        |row| row.get(0),
    )?;
    Ok(Money::from_nanos(to_u64(sum)))
}

impl SqliteStore {
    pub(super) fn reserve_money(&self, scopes: &[SpendScope], amount: Money) -> Result<Reserved> {
        let now = (self.clock)().wall_ms;
        self.write(|tx| {
            for (index, scope) in scopes.iter().enumerate() {
                let before = spent(tx, &scope.key)?;
                if before.plus(amount) > scope.limit {
                    return Ok(Reserved::Refused { index, spent: before });
                }
            }
            for scope in scopes {
                add(tx, &scope.key, to_i64(amount.nanos()), now)?;
            }
            let keys: Vec<&str> = scopes.iter().map(|scope| scope.key.as_str()).collect();
            let keys = serde_json::to_string(&keys).unwrap_or_default();
            tx.execute(
                "INSERT INTO reservations (nanos, scopes, at_ms) VALUES (?1, ?2, ?3)",
                params![to_i64(amount.nanos()), keys, now],
            )?;
            let number = tx.last_insert_rowid();
            tx.execute("DELETE FROM spent WHERE at_ms < ?1", [now - KEEP_MS])?;
            tx.execute("DELETE FROM reservations WHERE at_ms < ?1", [now - KEEP_MS])?;
            Ok(Reserved::Granted(to_u64(number)))
        })
    }

    pub(super) fn settle_money(&self, reservation: u64, amount: Option<Money>) -> Result<Vec<Money>> {
        let now = (self.clock)().wall_ms;
        self.write(|tx| {
            let found: Option<(i64, String)> = tx
                .query_row(
                    "DELETE FROM reservations WHERE id = ?1 RETURNING nanos, scopes",
                    [to_i64(reservation)],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()?;
            let Some((reserved, keys)) = found else { return Ok(Vec::new()) };
            let change = amount.map_or(0, |amount| to_i64(amount.nanos()) - reserved);
            let keys: Vec<String> = serde_json::from_str(&keys).unwrap_or_default();
            keys.iter().map(|key| add(tx, key, change, now)).collect()
        })
    }

    pub(super) fn spent_money(&self, scope: &str) -> Result<Money> {
        self.read(|connection| spent(connection, scope))
    }
}
