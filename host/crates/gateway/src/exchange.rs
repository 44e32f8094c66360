//! The one send loop: routes, tries, pauses, statuses, the breaker and the meter. What is
//! said in either direction is a [`Protocol`]'s; this is the only place that sends.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName};

use crate::breaker::Signal;
use crate::purse::{self, Purse, Reservation};
use crate::refusal::{self, UpstreamError};
use crate::retry::{self, Attempt, Decision, Failure, Policy};
use crate::upstream::{self, Upstream};
use crate::{Gateway, Meter, Route, Tuning};
use config::Prices;

/// A body of an error is read up to here.
const REFUSAL_MAX: usize = 64 << 10;
/// And so long.
const REFUSAL_TIME: Duration = Duration::from_secs(15);
/// Changes of one request after refusals.
const CHANGES: u32 = 6;

/// Where an attempt goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The gateway.
    pub upstream: &'a Upstream,
    /// Gateway and model.
    pub route: &'a Route,
    /// The times.
    pub tuning: &'a Tuning,
}

/// A request as a protocol writes it for one route.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The whole address; see [`Upstream`].
    pub url: url::Url,
    /// A JSON document.
    pub body: Bytes,
    /// Headers besides the content's and the key's.
    pub headers: HeaderMap,
    /// Headers that carry the key besides `authorization`.
    pub key_headers: Vec<HeaderName>,
    /// What the route costs, unless prices are configured.
    pub prices: Prices,
    /// The most output tokens that it asks for, where it sets a limit.
    pub max_output: Option<u64>,
}

/// One way of asking a model: how the request is written, how the answer is read, and how the
/// one who asked is kept waiting.
pub trait Protocol: Send {
    /// What a finished exchange gives.
    type Answer: Send;

    /// The request for this route. Called for every attempt: what a refusal taught may change it.
    fn request(&mut self, target: &Target<'_>) -> Result<Outgoing, Failed>;

    /// Reads an answer whose status is 2xx to its end.
    fn read(
        &mut self,
        target: &Target<'_>,
        response: reqwest::Response,
        meter: &mut Meter,
    ) -> impl Future<Output = Result<Self::Answer, Failed>> + Send;

    /// Waits for `future` at most `limit`; none is too late. A protocol with a client keeps it
    /// alive meanwhile.
    fn wait<F>(&mut self, future: F, limit: Duration) -> impl Future<Output = Option<F::Output>> + Send
    where
        F: Future + Send,
        F::Output: Send,
    {
        async move { tokio::time::timeout(limit, future).await.ok() }
    }

    /// A pause of our own before the next try.
    fn pause(&mut self, pause: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(pause)
    }

    /// Whether somebody has seen content: from then on nothing can be tried again.
    fn visible(&self) -> bool {
        false
    }

    /// The gateway refused the request with this error. True when [`Protocol::request`] will
    /// now write another one, which is then sent at once.
    fn refused(&mut self, _target: &Target<'_>, _status: u16, _error: &UpstreamError) -> bool {
        false
    }
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub struct Failed {
    /// For the decision.
    pub failure: Failure,
    /// For a person; without keys.
    pub message: String,
    /// The gateway's status.
    pub status: Option<u16>,
    /// The pause that the gateway asked for.
    pub retry_after: Option<Duration>,
}

impl Failed {
    /// A failure without an answer.
    pub fn new(failure: Failure, message: impl Into<String>) -> Self {
        Failed { failure, message: message.into(), status: None, retry_after: None }
    }

    /// A status, or an error inside an answer that names or deserves one.
    pub fn upstream(status: u16, error: &UpstreamError) -> Self {
        let failure = refusal::classify(status, error);
        Failed { failure, message: error.message.clone(), status: Some(status), retry_after: None }
    }

    fn open(wait: Duration) -> Self {
        let message = "the gateway failed several times in a row and is left alone for a moment";
        Failed::new(Failure::Open(wait), message)
    }

    fn header_timeout() -> Self {
        Failed::new(Failure::HeaderTimeout, "the gateway did not begin to answer in time")
    }

    /// Silence in the middle of an answer.
    pub fn idle() -> Self {
        Failed::new(Failure::Idle, "the gateway stopped in the middle of its answer")
    }

    /// The stream broke.
    pub fn cut(message: impl Into<String>) -> Self {
        Failed::new(Failure::Cut, message)
    }

    /// The answer cannot be read.
    pub fn malformed(message: impl Into<String>) -> Self {
        Failed::new(Failure::Malformed, message)
    }

    /// The connection broke in the middle of the answer.
    pub fn broken(error: reqwest::Error) -> Self {
        tracing::debug!(error = %upstream::chain(&error.without_url()), "an answer broke off");
        Failed::cut("the connection to the gateway broke in the middle of the answer")
    }
}

impl Gateway {
    /// Asks for `model` until there is an answer or nothing is left to try.
    pub async fn exchange<P: Protocol>(
        &self,
        model: &str,
        protocol: &mut P,
        meter: &mut Meter,
    ) -> Result<P::Answer, Failed> {
        let mut tries = Tries::new(self.routes(model), self.tuning().retry);
        loop {
            let route = tries.route().clone();
            let target = Target { upstream: self.upstream(&route), route: &route, tuning: self.tuning() };
            meter.route(&target, tries.sent, tries.at > 0);
            let held = tries.held_back(self.breaker(&route).tell(Signal::Ask), self.tuning());
            let mut changed = false;
            let attempt = match held {
                Some(wait) => Err(Failed::open(wait)),
                None => self.attempt(&target, protocol, meter, &mut changed).await,
            };
            let failed = match attempt {
                Ok(answer) => {
                    self.breaker(&route).tell(Signal::Success);
                    meter.ok();
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            match tries.after(self, &failed, changed, protocol.visible()) {
                Some(pause) if pause.is_zero() => {}
                Some(pause) => protocol.pause(pause).await,
                None => {
                    meter.failed(&failed);
                    return Err(failed);
                }
            }
        }
    }

    /// One attempt: written, sent, read.
    async fn attempt<P: Protocol>(
        &self,
        target: &Target<'_>,
        protocol: &mut P,
        meter: &mut Meter,
        changed: &mut bool,
    ) -> Result<P::Answer, Failed> {
        let outgoing = protocol.request(target)?;
        let prices = self.prices(outgoing.prices);
        let paid = match meter.purse() {
            Some(purse) => Some(reserved(purse, &outgoing, &prices, target).await?),
            None => None,
        };
        meter.sent(outgoing.body.len(), prices, paid);
        let sent = target.upstream.post(outgoing);
        let response = match protocol.wait(sent, target.tuning.headers).await {
            None => return Err(Failed::header_timeout()),
            Some(sent) => sent?,
        };
        let status = response.status().as_u16();
        meter.status(status);
        match status {
            200..300 => return protocol.read(target, response, meter).await,
            300..400 => return Err(redirected(target.upstream, &response)),
            _ => {}
        }
        let asked = retry_after(response.headers());
        let body = protocol.wait(read_limited(response, REFUSAL_MAX), REFUSAL_TIME).await;
        let body = body.and_then(Result::ok).unwrap_or_default();
        let mut error = UpstreamError::parse(&body);
        error.message = target.upstream.mask(&error.message);
        if error.message.trim().is_empty() {
            error.message = format!("{} answered with status {status}", target.upstream.host());
        }
        let mut failed = Failed::upstream(status, &error);
        failed.retry_after = asked.or_else(|| retry::pause_in_message(&String::from_utf8_lossy(&body)));
        if matches!(failed.failure, Failure::Invalid(_) | Failure::NotFound | Failure::TooLong { .. }) {
            *changed = protocol.refused(target, status, &error);
        }
        Err(failed)
    }
}

/// Takes the most that the request can cost out of the budgets.
async fn reserved(
    purse: Arc<dyn Purse>,
    outgoing: &Outgoing,
    prices: &Prices,
    target: &Target<'_>,
) -> Result<Reservation, Failed> {
    let broke = |message: String| Failed::new(Failure::Final(402), message);
    let amount = purse::estimate(outgoing.body.len(), outgoing.max_output, prices).ok_or_else(|| {
        broke(format!("a budget in money is set and the price of {} is not known", target.route.model))
    })?;
    Reservation::make(purse, amount).await.map_err(broke)
}

/// Following it would take the key elsewhere.
fn redirected(upstream: &Upstream, response: &reqwest::Response) -> Failed {
    let to = response.headers().get("location").and_then(|v| v.to_str().ok()).unwrap_or("nowhere");
    let to = upstream.mask(&refusal::excerpt(to.split('?').next().unwrap_or(to), 200));
    let message = format!("the gateway redirects to {to}; name that address itself as the gateway");
    Failed::new(Failure::Invalid(502), message)
}

/// A request's position in routes and tries.
#[derive(Debug)]
struct Tries {
    routes: Vec<Route>,
    at: usize,
    tries: u32,
    changes: u32,
    /// Requests sent, all routes together.
    sent: u32,
    waited: bool,
    started: Instant,
    policy: Policy,
}

impl Tries {
    fn new(routes: Vec<Route>, policy: Policy) -> Self {
        Tries { routes, at: 0, tries: 1, changes: 0, sent: 1, waited: false, started: Instant::now(), policy }
    }

    fn route(&self) -> &Route {
        &self.routes[self.at]
    }

    /// How long the breaker holds the next request back. With nowhere else to go a request
    /// waits a little once and then goes: an outage may be over, and the gateway's own words
    /// say more than ours.
    fn held_back(&mut self, wait: Option<Duration>, tuning: &Tuning) -> Option<Duration> {
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
    fn after(
        &mut self,
        gateway: &Gateway,
        failed: &Failed,
        changed: bool,
        visible: bool,
    ) -> Option<Duration> {
        let unavailable = match failed.failure {
            Failure::Connect | Failure::HeaderTimeout | Failure::Idle | Failure::Cut => true,
            Failure::Unavailable(status) => status >= 500,
            _ => false,
        };
        // A gateway whose answers begin is not out; what broke one is the answer's own affair.
        if unavailable && !visible {
            gateway.breaker(self.route()).tell(Signal::Failure);
        } else if failed.status.is_some() {
            gateway.breaker(self.route()).tell(Signal::Success);
        }
        if changed && self.changes < CHANGES && !visible {
            self.changes += 1;
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
        tracing::debug!(failure = ?failed.failure, message = %failed.message, ?decision, "an attempt failed");
        // Waiting for the breaker is no try, and nothing was sent.
        let sent = u32::from(!matches!(failed.failure, Failure::Open(_)));
        match decision {
            Decision::Retry(pause) => {
                self.tries += sent;
                self.sent += sent;
                Some(pause)
            }
            Decision::Fallback => {
                self.at += 1;
                self.tries = 1;
                self.waited = false;
                self.sent += sent;
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
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    if let Some(ms) = headers.get("retry-after-ms").and_then(|v| v.to_str().ok()?.parse::<u64>().ok()) {
        return Some(Duration::from_millis(ms.min(86_400_000)));
    }
    retry::retry_after(headers.get("retry-after")?.to_str().ok()?, now)
}

/// A body of at most `limit` bytes; what is longer is cut off.
pub async fn read_limited(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Failed::broken)? {
        let left = limit.saturating_sub(body.len());
        body.extend_from_slice(&chunk[..chunk.len().min(left)]);
        if body.len() >= limit {
            break;
        }
    }
    Ok(body)
}
