//! What a request cost: one usage row and the running totals, written when the exchange is
//! dropped, so that a cancelled one is counted too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::exchange::{Failed, Target};
use crate::purse::{Purse, Reservation};
use crate::retry::Failure;
use crate::usage::{self, Row, Rows, Tokens};
use config::Prices;
use model::money::Money;

/// What has passed through an adapter. Unknown counts are absent, never 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that a gateway answered.
    pub requests: u64,
    /// Of them, answered without counts.
    pub unmetered: u64,
    /// All input, cached included.
    pub input_tokens: Option<u64>,
    /// Of it, cached.
    pub cached_tokens: Option<u64>,
    /// All output.
    pub output_tokens: Option<u64>,
    /// Bytes that came from gateways.
    pub bytes_in: u64,
    /// Bytes that went to gateways.
    pub bytes_out: u64,
}

/// The last request that ended with an error and has had no success after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayFailure {
    /// The gateway's status; none when nothing answered.
    pub status: Option<u16>,
    /// One line without keys.
    pub message: String,
    /// Key, account or permission: trying again is useless.
    pub final_: bool,
}

/// Sums over all requests of one caller.
#[derive(Clone, Debug, Default)]
pub struct Account {
    sums: Arc<Mutex<(Totals, Option<GatewayFailure>)>>,
    purse: Option<Arc<dyn Purse>>,
}

impl Account {
    /// An account whose requests are paid from a purse.
    pub fn paid_from(purse: Option<Arc<dyn Purse>>) -> Account {
        Account { purse, ..Account::default() }
    }

    fn lock(&self) -> MutexGuard<'_, (Totals, Option<GatewayFailure>)> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What has passed so far. Requests that are still running are not in it.
    pub fn totals(&self) -> Totals {
        self.lock().0.clone()
    }

    /// Why the gateway failed last; none after a success.
    pub fn last_failure(&self) -> Option<GatewayFailure> {
        self.lock().1.clone()
    }
}

/// Who asks, for the row.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The job's label.
    pub job: Option<String>,
    /// The job's pass, from 1.
    pub attempt: u32,
    /// `messages`, `relay` or `ask`.
    pub kind: &'static str,
    /// The model as the client names it.
    pub model: String,
}

/// Counts one exchange.
pub struct Meter {
    rows: Rows,
    account: Account,
    row: Row,
    started: Instant,
    tokens: Tokens,
    prices: Prices,
    bytes_in: u64,
    bytes_out: u64,
    paid: Option<Reservation>,
    /// The attempt that is made was answered with 2xx.
    answering: bool,
}

impl Meter {
    /// Starts the clock.
    pub fn new(rows: Rows, account: Account, caller: Caller) -> Self {
        let row = Row {
            v: 1,
            time: jiff::Timestamp::now().to_string(),
            job: caller.job,
            attempt: caller.attempt,
            route: caller.kind.to_owned(),
            model_asked: caller.model,
            outcome: "cancelled".to_owned(),
            ..Row::default()
        };
        Meter {
            rows,
            account,
            row,
            started: Instant::now(),
            tokens: Tokens::default(),
            prices: Prices::default(),
            bytes_in: 0,
            bytes_out: 0,
            paid: None,
            answering: false,
        }
    }

    /// Where money is reserved.
    pub(crate) fn purse(&self) -> Option<Arc<dyn Purse>> {
        self.account.purse.clone()
    }

    /// What the attempt that is over cost, as far as it is known. A gateway that gave no answer
    /// charges nothing; one that answered without counts may have charged the estimate.
    fn settle(&mut self) {
        let Some(mut paid) = self.paid.take() else { return };
        let known = self.tokens.metered().then(|| usage::cost(&self.tokens, &self.prices)).flatten();
        paid.actual = match known {
            Some(cost) => Money::from_units(cost),
            // Dropped while the gateway worked, it may charge as well.
            None if self.answering || self.row.outcome == "cancelled" => None,
            None => Some(Money::default()),
        };
    }

    /// The route of the next attempt.
    pub(crate) fn route(&mut self, target: &Target<'_>, tries: u32, fallback: bool) {
        self.settle();
        self.row.fallback = fallback;
        self.answering = false;
        target.upstream.host().clone_into(&mut self.row.gateway);
        self.row.model_sent.clone_from(&target.route.model);
        self.row.tries = tries;
        // What an attempt before it counted was for another route.
        self.tokens = Tokens::default();
        self.prices = Prices::default();
    }

    /// A request of so many bytes goes out, at these prices.
    pub(crate) fn sent(&mut self, bytes: usize, prices: Prices, paid: Option<Reservation>) {
        self.bytes_out += bytes as u64;
        self.prices = prices;
        self.paid = paid;
    }

    /// The status line came.
    pub(crate) fn status(&mut self, status: u16) {
        self.row.status = Some(status);
        self.answering = (200..300).contains(&status);
    }

    /// Bytes of the answer came.
    pub fn received(&mut self, bytes: usize) {
        self.bytes_in += bytes as u64;
        if self.row.first_byte_ms.is_none() {
            self.row.first_byte_ms = Some(self.started.elapsed().as_millis() as u64);
        }
    }

    /// Counts so far, in case that the exchange is dropped.
    pub fn so_far(&mut self, tokens: Tokens) {
        self.tokens = tokens;
    }

    /// Counts and model of an answer that ended or broke.
    pub fn answered(&mut self, tokens: Tokens, model: Option<&str>) {
        self.tokens = tokens;
        self.row.model_answered = model.map(str::to_owned);
    }

    pub(crate) fn ok(&mut self) {
        self.row.outcome = "ok".to_owned();
        self.account.lock().1 = None;
    }

    pub(crate) fn failed(&mut self, failed: &Failed) {
        self.row.outcome = "error".to_owned();
        let final_ = matches!(failed.failure, Failure::Final(_));
        let failure = GatewayFailure { status: failed.status, message: failed.message.clone(), final_ };
        self.account.lock().1 = Some(failure);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let tokens = self.tokens;
        let row = &mut self.row;
        let answered = row.status.is_some_and(|s| (200..300).contains(&s));
        row.total_ms = self.started.elapsed().as_millis() as u64;
        row.unmetered = answered && !tokens.metered();
        (row.input_tokens, row.cached_tokens) = (tokens.input, tokens.cached);
        (row.output_tokens, row.reasoning_tokens) = (tokens.all_output(), tokens.reasoning);
        row.cost_estimate = usage::cost(&tokens, &self.prices);
        self.rows.append(row);
        self.settle();
        let row = &self.row;

        let mut account = self.account.lock();
        let totals = &mut account.0;
        totals.requests += u64::from(answered);
        totals.unmetered += u64::from(row.unmetered);
        let add = |sum: &mut Option<u64>, more: Option<u64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0) + more);
            }
        };
        add(&mut totals.input_tokens, tokens.input);
        add(&mut totals.cached_tokens, tokens.cached);
        add(&mut totals.output_tokens, tokens.all_output());
        totals.bytes_in += self.bytes_in;
        totals.bytes_out += self.bytes_out;
        tracing::debug!(
            request_bytes = self.bytes_out,
            status = ?row.status,
            outcome = %row.outcome,
            ms = row.total_ms,
            "a model request ended"
        );
    }
}
