//! The local server that speaks Anthropic to the agent and OpenAI chat completions to the
//! gateway. Translation (`translate`, `turns`, `stream`) is pure; `messages`, `relay` and `ask`
//! are the protocols of the gateway's send loop.

#![forbid(unsafe_code)]
#![warn(clippy::unwrap_used)]

mod answer_schema;
pub mod anthropic;
pub mod ask;
pub mod calls;
pub mod count;
mod downgrade;
mod downstream;
pub mod errors;
mod exchange;
pub mod lenient;
mod masked;
mod messages;
pub mod names;
pub mod openai;
pub mod probe;
pub mod profiles;
pub mod recover;
mod relay;
pub mod schema;
mod server;
pub mod sink;
pub mod sse;
pub mod stream;
pub mod translate;
pub mod turns;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use config::{Config, Secret};
use gateway::purse::Purse;
use gateway::{Account, Gateway, Tuning};
pub use gateway::{GatewayFailure, Totals};
pub use masked::certain_secrets;
use model::error::{Error, Kind, Result};
use redact::Redactor;

use crate::profiles::{Capabilities, Profiles};

/// How an adapter is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What the agent must send as its bearer token.
    pub token: Secret,
    /// The job's label for the usage rows.
    pub job: Option<String>,
    /// The gateway's model, whatever the agent asks for.
    pub model: Option<String>,
    /// Who pays for the requests; none without a budget in money.
    pub purse: Option<Arc<dyn Purse>>,
}

/// A running adapter. Dropping it stops it.
#[derive(Debug)]
pub struct Adapter {
    state: Arc<State>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Adapter {
    /// Binds and serves in the background of the current runtime.
    pub async fn start(config: &Config, options: Options) -> Result<Adapter> {
        Adapter::start_with(config, options, Tuning::default()).await
    }

    /// As [`Adapter::start`], with times of its own.
    pub async fn start_with(config: &Config, options: Options, tuning: Tuning) -> Result<Adapter> {
        if options.token.expose().len() < 8 {
            return Err(Error::new(Kind::Config, "the adapter's token is shorter than 8 characters")
                .hint("set ADAPTER_TOKEN to a longer one, or leave it out to have one made"));
        }
        if !options.listen.ip().is_loopback() {
            return Err(Error::new(
                Kind::Refused,
                format!("{} is an address that other machines may reach", options.listen),
            )
            .hint("listen on 127.0.0.1 or [::1]: whoever reaches the adapter spends your gateway's money")
            .hint("to share it, put a proxy with TLS and logins in front of it"));
        }
        let gateway = Gateway::with(config, tuning)?;
        let cannot = |error: std::io::Error| {
            Error::new(Kind::Environment, format!("{} cannot be listened on: {error}", options.listen))
                .hint("choose another port with --listen, or port 0 for any")
        };
        let listener = server::bind(options.listen).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let state = Arc::new(State {
            gateway,
            token: options.token,
            label: Mutex::new(Label { job: options.job, attempt: 1, model: options.model }),
            account: Account::paid_from(options.purse),
            capabilities: Capabilities::new(Profiles::from_config(config)?),
            anthropic: !config.gateway.use_openai_adapter,
            secrets: certain_secrets(config),
            calibration: count::Calibration::default(),
            signatures: Signatures::default(),
            cancel: CancellationToken::new(),
        });
        let task = tokio::spawn(server::serve(listener, Arc::clone(&state)));
        Ok(Adapter { state, address, task })
    }

    /// For `ANTHROPIC_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port that is listened on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What has passed so far. Requests that are still running are not in it.
    pub fn usage(&self) -> Totals {
        self.state.account.totals()
    }

    /// The job's pass for the usage rows, from 1.
    pub fn set_attempt(&self, attempt: u32) {
        self.state.lock_label().attempt = attempt;
    }

    /// Another gateway model from the next request on.
    pub fn set_model(&self, model: String) {
        self.state.lock_label().model = Some(model);
    }

    /// Why the gateway failed last; none after a success.
    pub fn last_failure(&self) -> Option<GatewayFailure> {
        self.state.account.last_failure()
    }

    /// Stops, and with it every request that is running.
    pub async fn shutdown(mut self) {
        self.state.cancel.cancel();
        let _ = (&mut self.task).await;
    }

    /// Waits until the server ends by itself, which it does not unless it is stopped.
    pub async fn run(mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.state.cancel.cancel();
    }
}

#[derive(Debug)]
struct Label {
    job: Option<String>,
    attempt: u32,
    model: Option<String>,
}

/// What all requests share.
#[derive(Debug)]
struct State {
    gateway: Gateway,
    token: Secret,
    label: Mutex<Label>,
    account: Account,
    capabilities: Capabilities,
    /// The gateways speak Anthropic themselves.
    anthropic: bool,
    /// Masks in what gateways send back.
    secrets: Redactor,
    calibration: count::Calibration,
    signatures: Signatures,
    cancel: CancellationToken,
}

impl State {
    fn lock_label(&self) -> MutexGuard<'_, Label> {
        self.label.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn label(&self) -> (Option<String>, u32) {
        let label = self.lock_label();
        (label.job.clone(), label.attempt)
    }

    fn forced_model(&self) -> Option<String> {
        self.lock_label().model.clone()
    }

    /// The gateway's model for what the agent asks: the forced one, else the configured one
    /// for Anthropic's own names, which no other gateway has.
    fn gateway_model(&self, asked: &str) -> String {
        if let Some(model) = self.forced_model() {
            return model;
        }
        let asked = gateway::without_mark(asked);
        let anthropics = ["claude", "sonnet", "opus", "haiku"].iter().any(|p| asked.starts_with(p));
        if !asked.is_empty() && (!anthropics || self.anthropic) {
            return asked.to_owned();
        }
        let lite = self.gateway.lite_model().filter(|_| asked.contains("haiku"));
        lite.or(self.gateway.model()).unwrap_or(asked).to_owned()
    }
}

/// Signatures that came with tool calls and must go back with them (Gemini), the newest few
/// thousand.
#[derive(Debug, Default)]
struct Signatures {
    known: Mutex<(HashMap<String, Box<RawValue>>, VecDeque<String>)>,
}

impl Signatures {
    const MOST: usize = 4096;

    fn get(&self, id: &str) -> Option<Box<RawValue>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).0.get(id).cloned()
    }

    fn put(&self, id: String, extra: Box<RawValue>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.1.push_back(id.clone());
        known.0.insert(id, extra);
        if known.1.len() > Self::MOST
            && let Some(oldest) = known.1.pop_front()
        {
            known.0.remove(&oldest);
        }
    }
}

/// So many random bytes as hexadecimal digits; for tokens and identifiers.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0u8; bytes];
    if getrandom::fill(&mut buffer).is_err() {
        // Without the system's randomness the clock keeps identifiers apart; tokens are made
        // by `Adapter`'s callers, who check.
        let now = jiff::Timestamp::now().as_nanosecond().to_le_bytes();
        buffer.iter_mut().zip(now.iter().cycle()).for_each(|(b, n)| *b = *n);
    }
    model::hex::encode(buffer)
}

fn random_nonce() -> u64 {
    let mut bytes = [0u8; 8];
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes) >> 13
}
