//! What a request cost: one usage row and the running totals, written when the exchange is
//! dropped, so that a cancelled one is counted too.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::openai::Tokens;
use super::stream::Summary;
use super::{GatewayFailure, State};
use crate::gateway::usage::{self, Row};
use crate::gateway::{Failed, Route};

/// Counts one exchange.
pub struct Meter {
    state: Arc<State>,
    row: Row,
    started: Instant,
    tokens: Tokens,
    bytes_in: u64,
    bytes_out: u64,
    request_len: usize,
    endpoint_model: Option<Route>,
}

impl Meter {
    /// Starts the clock.
    pub(super) fn new(state: Arc<State>, asked: &str, route: &str, request_len: usize) -> Self {
        let (job, attempt) = state.label();
        let row = Row {
            v: 1,
            time: jiff::Timestamp::now().to_string(),
            job,
            attempt,
            route: route.to_owned(),
            model_asked: asked.to_owned(),
            outcome: "cancelled".to_owned(),
            ..Row::default()
        };
        Meter {
            state,
            row,
            started: Instant::now(),
            tokens: Tokens::default(),
            bytes_in: 0,
            bytes_out: 0,
            request_len,
            endpoint_model: None,
        }
    }

    /// The route of the next attempt.
    pub fn route(&mut self, host: &str, model: &str, tries: u32) {
        self.row.gateway = host.to_owned();
        self.row.model_sent = model.to_owned();
        self.row.tries = tries;
        let endpoint = usize::from(
            self.state.gateway.client(&Route { endpoint: 0, model: String::new() }).host() != host,
        );
        self.endpoint_model = Some(Route { endpoint, model: model.to_owned() });
    }

    /// A request of so many bytes goes out.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// The status line came.
    pub fn status(&mut self, status: u16) {
        self.row.status = Some(status);
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
    pub fn tokens(&mut self, summary: &Summary) {
        self.tokens = summary.tokens;
        self.row.model_answered.clone_from(&summary.model);
    }

    /// The answer was given.
    pub fn ok(&mut self) {
        self.row.outcome = "ok".to_owned();
        *self.state.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The client got an error.
    pub fn failed(&mut self, failed: &Failed) {
        self.row.outcome = "error".to_owned();
        let final_ = matches!(failed.error.status, 401..=403);
        let failure = GatewayFailure { status: failed.status, message: failed.error.message.clone(), final_ };
        *self.state.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let tokens = self.tokens;
        let answered = self.row.status.is_some_and(|s| (200..300).contains(&s));
        let row = &mut self.row;
        row.total_ms = self.started.elapsed().as_millis() as u64;
        row.unmetered = answered && !tokens.metered();
        (row.input_tokens, row.cached_tokens) = (tokens.input, tokens.cached);
        (row.output_tokens, row.reasoning_tokens) = (tokens.all_output(), tokens.reasoning);
        if let Some(route) = &self.endpoint_model {
            let gateway = &self.state.gateway;
            row.cost_estimate = usage::cost(&tokens, &gateway.prices(&gateway.profile(route)));
        }
        self.state.gateway.rows().append(row);

        let mut totals = self.state.totals.lock().unwrap_or_else(PoisonError::into_inner);
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
            request_bytes = self.request_len,
            status = ?row.status,
            outcome = %row.outcome,
            ms = row.total_ms,
            "a model request ended"
        );
    }
}
