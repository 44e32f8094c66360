//! Everything on the way out to a model: the routes (gateway and model, then the fallbacks),
//! sending, retry, the breaker and the usage rows. The adapter drives it.

pub mod breaker;
pub mod client;
pub mod retry;
pub mod usage;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::errors::{self, ApiError, UpstreamError};
use crate::profiles::{Profile, Profiles};
use crate::stream::Fault;
use crate::translate::Adjustments;
use config::{Config, Prices};
use model::error::{Error, Kind, Result};

use self::breaker::{Breaker, Event};
use self::client::Client;
use self::retry::{Attempt, Decision, Failure, Policy};
use self::usage::Rows;

/// Times; tests make them short.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Retry.
    pub retry: Policy,
    /// Until a connection is there.
    pub connect: Duration,
    /// Until the status line.
    pub headers: Duration,
    /// Between two reads of an answer.
    pub idle: Duration,
    /// Silence towards the client after which it gets a ping.
    pub ping: Duration,
    /// Wait for counts after the finish reason.
    pub grace: Duration,
    /// What a request waits for an open breaker when there is no other gateway.
    pub alone: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            retry: Policy::default(),
            connect: Duration::from_secs(10),
            headers: Duration::from_secs(300),
            idle: Duration::from_secs(240),
            ping: Duration::from_secs(10),
            grace: Duration::from_secs(3),
            alone: Duration::from_millis(1500),
        }
    }
}

/// One way to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which gateway: 0 is the primary.
    pub endpoint: usize,
    /// The gateway's name of the model.
    pub model: String,
}

/// The configured gateways. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clients: Vec<Client>,
    breakers: Vec<Breaker>,
    model: Option<String>,
    lite_model: Option<String>,
    fallback_models: Vec<String>,
    has_fallback: bool,
    profiles: Profiles,
    anthropic: bool,
    prices: Prices,
    rows: Rows,
    tuning: Tuning,
    learnt: Mutex<HashMap<(usize, String), Adjustments>>,
}

impl Gateway {
    /// The gateways of a configuration. Nothing is sent.
    pub fn from_config(config: &Config) -> Result<Gateway> {
        Gateway::with(config, Tuning::default())
    }

    /// As [`Gateway::from_config`], with times of its own.
    pub fn with(config: &Config, tuning: Tuning) -> Result<Gateway> {
        let settings = &config.gateway;
        let Some(primary) = &settings.primary else {
            return Err(Error::new(Kind::Config, "no gateway is configured")
                .hint("set ONEAPI_BASE_URL (and ONEAPI_API_KEY) to an OpenAI-compatible gateway"));
        };
        let endpoints = std::iter::once(primary).chain(settings.fallback.as_ref());
        let clients: Vec<Client> =
            endpoints.map(|e| Client::new(e.clone(), tuning.connect)).collect::<Result<_>>()?;
        let breakers = clients.iter().map(|c| Breaker::new(&config.home, c.base_url())).collect();
        Ok(Gateway {
            inner: Arc::new(Inner {
                has_fallback: settings.fallback.is_some(),
                clients,
                breakers,
                model: settings.model.clone(),
                lite_model: settings.lite_model.clone(),
                fallback_models: settings.fallback_models.iter().take(3).cloned().collect(),
                profiles: Profiles::new(settings.profile.as_deref(), &settings.profile_overrides)?,
                anthropic: !settings.use_openai_adapter,
                prices: config.prices,
                rows: Rows::new(&config.metrics_file),
                tuning,
                learnt: Mutex::new(HashMap::new()),
            }),
        })
    }

    /// Whether the gateways speak Anthropic themselves.
    pub fn anthropic(&self) -> bool {
        self.inner.anthropic
    }

    /// The times.
    pub fn tuning(&self) -> &Tuning {
        &self.inner.tuning
    }

    /// The usage rows.
    pub fn rows(&self) -> &Rows {
        &self.inner.rows
    }

    /// The configured model.
    pub fn model(&self) -> Option<&str> {
        self.inner.model.as_deref()
    }

    /// The configured cheap model.
    pub fn lite_model(&self) -> Option<&str> {
        self.inner.lite_model.as_deref()
    }

    /// The client of a route.
    pub fn client(&self, route: &Route) -> &Client {
        &self.inner.clients[route.endpoint]
    }

    /// The breaker of a route.
    pub fn breaker(&self, route: &Route) -> &Breaker {
        &self.inner.breakers[route.endpoint]
    }

    /// The profile of a route.
    pub fn profile(&self, route: &Route) -> Profile {
        self.inner.profiles.resolve(self.client(route).base_url(), &route.model)
    }

    /// The prices of a route: the configured ones, else the profile's.
    pub fn prices(&self, profile: &Profile) -> Prices {
        let (own, table) = (self.inner.prices, profile.prices);
        if own.input.is_some() || own.output.is_some() {
            return own;
        }
        Prices { input: table.input, output: table.output, cache: table.cache }
    }

    /// The ways to `model`, best first: the primary, then each fallback model at the fallback
    /// gateway, or at the primary when there is none.
    pub fn routes(&self, model: &str) -> Vec<Route> {
        let mut routes = vec![Route { endpoint: 0, model: model.to_owned() }];
        let endpoint = usize::from(self.inner.has_fallback);
        let same = [model.to_owned()];
        let models: &[String] =
            if self.inner.fallback_models.is_empty() { &same } else { &self.inner.fallback_models };
        for model in models {
            let route = Route { endpoint, model: model.clone() };
            if !routes.contains(&route) {
                routes.push(route);
            }
        }
        routes
    }

    /// What was learnt about a route.
    pub fn learnt(&self, route: &Route) -> Adjustments {
        let learnt = self.inner.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.get(&(route.endpoint, route.model.clone())).cloned().unwrap_or_default()
    }

    /// Keeps what was learnt about a route.
    pub fn learn(&self, route: &Route, adjustments: Adjustments) {
        let mut learnt = self.inner.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.insert((route.endpoint, route.model.clone()), adjustments);
    }

    /// A status that is not 2xx, after what it teaches was kept.
    pub fn refused(&self, route: &Route, status: u16, retry_after: Option<Duration>, body: &[u8]) -> Failed {
        let mut error = UpstreamError::parse(body);
        error.message = self.client(route).mask(&error.message);
        if error.message.trim().is_empty() {
            error.message = format!("{} answered with status {status}", self.client(route).host());
        }
        let adjusted = crate::learn::adjust(status, &error, &self.learnt(route));
        let class = errors::classify(status, &error);
        let failure = match &class {
            errors::Class::Final(_) => Failure::Final,
            errors::Class::TooLong(..) => Failure::Invalid,
            errors::Class::Invalid(404) => Failure::Status(404),
            errors::Class::Invalid(_) => Failure::Invalid,
            errors::Class::RateLimited => Failure::Status(429),
            errors::Class::Unwell(status) => Failure::Status(*status),
        };
        let retry_after = retry_after.or_else(|| retry::pause_in_words(&String::from_utf8_lossy(body)));
        let mut client_error = errors::for_client(status, &error);
        client_error.retry_after = retry_after;
        let again = match (adjusted, &class) {
            (Some(next), errors::Class::Invalid(_) | errors::Class::TooLong(..)) if !self.anthropic() => {
                tracing::info!(model = %route.model, message = %error.message, "the gateway taught us a limit");
                self.learn(route, next);
                true
            }
            _ => false,
        };
        Failed { failure, error: client_error, status: Some(status), retry_after, again }
    }
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub struct Failed {
    /// For the decision.
    pub failure: Failure,
    /// For the client, if it is final.
    pub error: ApiError,
    /// The gateway's status.
    pub status: Option<u16>,
    /// The pause that the gateway asked for.
    pub retry_after: Option<Duration>,
    /// The request was adjusted: once more, at once.
    pub again: bool,
}

impl Failed {
    /// A failure without an answer.
    pub fn new(failure: Failure, status: u16, message: impl Into<String>) -> Self {
        let error = ApiError::new(status, message);
        Failed { failure, error, status: None, retry_after: None, again: false }
    }

    /// The breaker is open.
    pub fn open(wait: Duration) -> Self {
        let message = "the gateway failed several times in a row and is left alone for a moment";
        Failed::new(Failure::Open(wait), 529, message)
    }

    /// Nothing answered.
    pub fn sending(error: client::SendError) -> Self {
        Failed::new(error.failure, 502, error.message)
    }

    /// No status line in time.
    pub fn header_timeout() -> Self {
        Failed::new(Failure::HeaderTimeout, 504, "the gateway did not begin to answer in time")
    }

    /// Silence in the middle of an answer.
    pub fn idle() -> Self {
        Failed::new(Failure::Idle, 504, "the gateway stopped in the middle of its answer")
    }

    /// The stream broke.
    pub fn cut(message: impl Into<String>) -> Self {
        Failed::new(Failure::Cut, 502, message)
    }

    /// The connection broke in the middle of the answer.
    pub fn broken(error: reqwest::Error) -> Self {
        tracing::debug!(error = %client::chain(&error.without_url()), "an answer broke off");
        Failed::cut("the connection to the gateway broke in the middle of the answer")
    }

    /// What the answer itself says went wrong.
    pub fn fault(fault: Fault, client: &Client) -> Self {
        let message = client.mask(&fault.to_string());
        match fault {
            Fault::Cut => Failed::cut(message),
            Fault::Malformed(_) => Failed::new(Failure::Malformed, 502, message),
            Fault::Upstream { status, .. } => {
                let status = status.unwrap_or(502);
                let error = UpstreamError { message, code: String::new() };
                let failure = match errors::classify(status, &error) {
                    errors::Class::Final(_) => Failure::Final,
                    errors::Class::TooLong(..) | errors::Class::Invalid(_) => Failure::Invalid,
                    errors::Class::RateLimited => Failure::Status(429),
                    errors::Class::Unwell(status) => Failure::Status(status),
                };
                let error = errors::for_client(status, &error);
                Failed { failure, error, status: Some(status), retry_after: None, again: false }
            }
        }
    }
}

/// Where a request stands on its way through routes and tries.
#[derive(Debug)]
pub struct Plan {
    routes: Vec<Route>,
    at: usize,
    tries: u32,
    adjusted: u32,
    /// Requests sent, all routes together.
    pub sent: u32,
    waited: bool,
    started: Instant,
    policy: Policy,
}

impl Plan {
    /// A plan before its first attempt.
    pub fn new(routes: Vec<Route>, policy: Policy) -> Self {
        Plan { routes, at: 0, tries: 1, adjusted: 0, sent: 1, waited: false, started: Instant::now(), policy }
    }

    /// The route of the current attempt.
    pub fn route(&self) -> &Route {
        &self.routes[self.at]
    }

    /// How long the breaker holds the next request back. With nowhere else to go a request
    /// waits a little once and then goes: an outage may be over, and the gateway's own words
    /// say more than ours.
    pub fn held_back(&mut self, wait: Option<Duration>, tuning: &Tuning) -> Option<Duration> {
        let wait = wait?;
        if self.at + 1 < self.routes.len() {
            return Some(wait);
        }
        if self.tries > 1 {
            return None;
        }
        (!std::mem::replace(&mut self.waited, true)).then(|| wait.min(tuning.alone))
    }

    /// Takes note of a failure; gives the pause before the next attempt, or none to give up.
    pub fn after(&mut self, gateway: &Gateway, failed: &Failed, visible: bool) -> Option<Duration> {
        let unwell = match failed.failure {
            Failure::Connect | Failure::HeaderTimeout | Failure::Idle | Failure::Cut => true,
            Failure::Status(status) => status >= 500,
            _ => false,
        };
        // A gateway whose answers begin is not out; what broke one is the answer's own affair.
        if unwell && !visible {
            gateway.breaker(self.route()).tell(Event::Failure);
        } else if failed.status.is_some() {
            gateway.breaker(self.route()).tell(Event::Success);
        }
        if failed.again && self.adjusted < 4 && !visible {
            self.adjusted += 1;
            self.sent += 1;
            return Some(Duration::ZERO);
        }
        let attempt = Attempt {
            failure: failed.failure.clone(),
            tries: self.tries,
            elapsed: self.started.elapsed(),
            retry_after: failed.retry_after,
            more_routes: self.at + 1 < self.routes.len(),
            visible,
            jitter: jitter(),
        };
        let decision = retry::decide(&attempt, &self.policy);
        tracing::debug!(failure = ?failed.failure, message = %failed.error.message, ?decision, "an attempt failed");
        match decision {
            Decision::Retry(pause) => {
                // Waiting for the breaker is no try, and nothing was sent.
                let sent = u32::from(!matches!(failed.failure, Failure::Open(_)));
                self.tries += sent;
                self.sent += sent;
                Some(pause)
            }
            Decision::Fallback => {
                self.at += 1;
                self.tries = 1;
                self.waited = false;
                self.sent += u32::from(!matches!(failed.failure, Failure::Open(_)));
                Some(Duration::ZERO)
            }
            Decision::GiveUp => None,
        }
    }
}

fn jitter() -> f64 {
    let mut bytes = [0u8; 2];
    // Without randomness the pauses are those without jitter.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX)
}

/// The pause that an answer asks for.
pub fn retry_after(headers: &reqwest::header::HeaderMap) -> Option<Duration> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    if let Some(ms) = headers.get("retry-after-ms").and_then(|v| v.to_str().ok()?.parse::<u64>().ok()) {
        return Some(Duration::from_millis(ms.min(86_400_000)));
    }
    retry::retry_after(headers.get("retry-after")?.to_str().ok()?, now)
}

/// A body of at most `limit` bytes; what is longer is cut off.
pub async fn read_limited(
    mut response: reqwest::Response,
    limit: usize,
) -> std::result::Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let left = limit.saturating_sub(body.len());
                body.extend_from_slice(&chunk[..chunk.len().min(left)]);
                if body.len() >= limit {
                    return Ok(body);
                }
            }
            Ok(None) => return Ok(body),
            Err(error) => {
                return Err(Failed::broken(error));
            }
        }
    }
}
