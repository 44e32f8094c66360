//! One request on its way: translate, send, read, try again, fall back, and say how it went.
//! The future here is polled by the client's own connection, so that a client that goes away
//! drops it, and with it the connection to the gateway.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::HeaderMap;
use tokio::time::{Instant, Sleep};

use super::State;
use super::errors::ApiError;
use super::meter::Meter;
use super::names::Declared;
use super::openai::Tokens;
use super::sink::{Document, End, Events, Kind, Sink};
use super::sse::{Splitter, TooLong};
use super::stream::{Fault, Machine, Settings};
use super::translate::{self, Context};
use super::{anthropic, count, relay};
use crate::gateway::breaker::Event;
use crate::gateway::retry::Failure;
use crate::gateway::{Failed, Gateway, Plan, Route, read_limited, retry_after};

/// The client is not sent more than this before it takes what there is.
const ROOM: usize = 256 * 1024;
/// Turns that the gateway's connection needs to hand over what it has read: measured.
const STEPS: u32 = 2;
/// Events are written at the latest when there are so many bytes of them.
const COALESCE: usize = 16 * 1024;
/// A pause before the next try that is not pinged through; clients wait for a status for
/// minutes.
const QUIET: Duration = Duration::from_secs(30);
/// A whole answer is not longer than this.
const WHOLE_MAX: usize = 32 << 20;
/// Nor is a stream: what is more is a gateway that does not stop.
const STREAM_MAX: usize = 128 << 20;

/// The first thing that is known of an answer.
#[derive(Debug)]
pub enum Head {
    /// 200 and events.
    Stream,
    /// A document: status, pause for `retry-after`, body.
    Whole(u16, Option<Duration>, Vec<u8>),
}

/// What the exchange has for the connection.
#[derive(Debug, Default)]
pub struct Shared {
    /// Set once.
    pub head: Option<Head>,
    /// Events that were not taken yet.
    pub buf: Vec<u8>,
}

/// Where the exchange writes to.
#[derive(Clone, Debug, Default)]
pub struct Outlet(Arc<Mutex<Shared>>);

impl Outlet {
    /// The shared state. Never held across an await.
    pub fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let mut shared = self.lock();
        if shared.buf.is_empty() {
            std::mem::swap(&mut shared.buf, bytes);
        } else {
            shared.buf.append(bytes);
        }
    }

    /// Waits until the client has taken enough. No waker is needed: whoever takes bytes polls
    /// the exchange again.
    async fn room(&self) {
        poll_fn(|_| if self.lock().buf.len() > ROOM { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

/// The client's side of an exchange: holds the 200 back, pings, and never says two heads.
pub struct Client {
    out: Outlet,
    /// The client asked for events.
    pub streams: bool,
    committed: bool,
    /// `message_start` was said.
    begun: bool,
    timer: Pin<Box<Sleep>>,
    last_write: Instant,
    ping: Duration,
    /// For a `message_start` that is said before the gateway answers.
    pub id: String,
    /// As the client named it.
    pub model: String,
    /// Input tokens by our estimate.
    pub estimate: u64,
}

impl Client {
    fn new(out: Outlet, ping: Duration) -> Self {
        Client {
            out,
            streams: false,
            committed: false,
            begun: false,
            timer: Box::pin(tokio::time::sleep(ping)),
            last_write: Instant::now(),
            ping,
            id: format!("msg_{}", super::random_hex(12)),
            model: String::new(),
            estimate: 0,
        }
    }

    /// Sends events to the client, and with the first ones the 200.
    pub fn write(&mut self, events: &mut Vec<u8>) {
        if events.is_empty() {
            return;
        }
        self.commit();
        self.last_write = Instant::now();
        self.out.write(events);
    }

    fn commit(&mut self) {
        if !self.committed {
            self.committed = true;
            self.out.lock().head = Some(Head::Stream);
        }
    }

    fn document(&mut self, status: u16, pause: Option<Duration>, body: Vec<u8>) {
        self.committed = true;
        self.out.lock().head = Some(Head::Whole(status, pause, body));
    }

    /// Ends the exchange with an error: a status while that is possible, else an event.
    pub fn fail(&mut self, error: &ApiError) {
        if self.committed {
            let mut events = Events::default();
            events.error(error.kind, &error.message);
            self.write(&mut events.buf);
        } else {
            self.document(error.status, error.retry_after, error.body());
        }
    }

    /// Sends events on as they came, and waits until there is room for more.
    pub async fn relay(&mut self, bytes: &mut Vec<u8>) {
        if self.begun {
            // We said `message_start` in a silence: the gateway's own must not follow.
            drop_message_start(bytes);
        }
        self.write(bytes);
        self.out.room().await;
    }

    /// Ends the exchange with the gateway's own document. After pings have gone out it is too
    /// late for one.
    pub fn finish_document(&mut self, http: &crate::gateway::client::Client, body: &[u8]) {
        if self.committed {
            return self.fail(&ApiError::new(502, "the gateway answered a stream request with a document"));
        }
        let text = http.mask(&String::from_utf8_lossy(body));
        self.document(200, None, text.into_bytes());
    }

    fn silence(&mut self) {
        if !self.streams {
            self.last_write = Instant::now();
            return;
        }
        let mut events = Events::default();
        if !self.begun {
            self.begun = true;
            events.start(&self.id, &self.model, self.estimate);
        }
        events.ping();
        self.write(&mut events.buf);
    }

    /// A pause of our own before the next try. A short one is not pinged through: a ping is a
    /// 200, and the gateway may yet have a status and a `Retry-After` to tell.
    async fn pause(&mut self, pause: Duration) {
        let sleep = tokio::time::sleep(pause);
        if self.committed || pause > QUIET {
            self.wait(sleep, pause + Duration::from_secs(1)).await;
        } else {
            sleep.await;
            self.last_write = Instant::now();
        }
    }

    /// Waits for `future` at most `limit`, with pings while it is silent. None is too late.
    pub async fn wait<T>(&mut self, future: impl Future<Output = T>, limit: Duration) -> Option<T> {
        let end = Instant::now() + limit;
        if end < self.timer.deadline() {
            self.timer.as_mut().reset(end);
        }
        tokio::pin!(future);
        loop {
            tokio::select! {
                biased;
                value = &mut future => return Some(value),
                () = self.timer.as_mut() => {
                    let now = Instant::now();
                    if now >= end {
                        self.timer.as_mut().reset(now + self.ping);
                        return None;
                    }
                    if now >= self.last_write + self.ping {
                        self.silence();
                    }
                    let next = (self.last_write + self.ping).min(end);
                    self.timer.as_mut().reset(next);
                }
            }
        }
    }
}

/// Cuts the `message_start` event out of events that hold it.
fn drop_message_start(bytes: &mut Vec<u8>) {
    const MARK: &[u8] = b"\"message_start\"";
    let Some(mark) = bytes.windows(MARK.len()).position(|w| w == MARK) else { return };
    let blank = |at: usize| bytes[at..].starts_with(b"\n\n") || bytes[at..].starts_with(b"\r\n\r\n");
    let width = |at: usize| if bytes[at] == b'\r' { 4 } else { 2 };
    let begin = (0..mark).rev().find(|at| blank(*at)).map_or(0, |at| at + width(at));
    let Some(end) = (mark..bytes.len()).find(|at| blank(*at)).map(|at| at + width(at)) else { return };
    bytes.drain(begin..end.min(bytes.len()));
}

/// Either way in which an answer is written.
enum Out {
    Events(Events),
    Document(Document),
}

macro_rules! both {
    ($self:ident, $sink:ident => $call:expr) => {
        match $self {
            Out::Events($sink) => $call,
            Out::Document($sink) => $call,
        }
    };
}

impl Sink for Out {
    fn start(&mut self, id: &str, model: &str, input_estimate: u64) {
        both!(self, s => s.start(id, model, input_estimate));
    }
    fn open(&mut self, index: u32, kind: Kind<'_>) {
        both!(self, s => s.open(index, kind));
    }
    fn text(&mut self, index: u32, text: &str) {
        both!(self, s => s.text(index, text));
    }
    fn thinking(&mut self, index: u32, text: &str) {
        both!(self, s => s.thinking(index, text));
    }
    fn signature(&mut self, index: u32, signature: &str) {
        both!(self, s => s.signature(index, signature));
    }
    fn json(&mut self, index: u32, piece: &str) {
        both!(self, s => s.json(index, piece));
    }
    fn close(&mut self, index: u32) {
        both!(self, s => s.close(index));
    }
    fn end(&mut self, end: &End) {
        both!(self, s => s.end(end));
    }
}

/// A request for one route.
struct Prepared {
    body: Bytes,
    tools: Declared,
    stop_sequences: Vec<String>,
    recover: bool,
    size: count::Size,
}

/// What both ways of answering need from the request.
pub struct Asked {
    /// The model as the client names it.
    pub model: String,
    /// Whether it wants events.
    pub streams: bool,
}

impl Asked {
    /// Reads just enough of a request.
    pub fn read(body: &[u8]) -> Result<Asked, ApiError> {
        #[derive(serde::Deserialize)]
        struct Top<'a> {
            #[serde(borrow, default)]
            model: super::lenient::Str<'a>,
            #[serde(default)]
            stream: Option<bool>,
        }
        let top: Top<'_> = serde_json::from_slice(body)
            .map_err(|e| ApiError::invalid(format!("the request is not valid: {e}")))?;
        Ok(Asked { model: top.model.as_str().to_owned(), streams: top.stream == Some(true) })
    }
}

/// Answers one request to `/v1/messages`.
pub async fn run(state: Arc<State>, body: Bytes, headers: HeaderMap, out: Outlet) {
    let gateway = state.gateway.clone();
    let mut client = Client::new(out, gateway.tuning().ping);
    let body = super::lenient::repair_surrogates(&body).map_or(body, Bytes::from);
    let asked = match Asked::read(&body) {
        Ok(asked) => asked,
        Err(error) => return client.fail(&error),
    };
    client.streams = asked.streams;
    client.model.clone_from(&asked.model);
    let model = state.gateway_model(&asked.model);
    client.estimate = state.calibration.estimate(&model, count::Size::of_bytes(body.len()));
    let mut meter = Meter::new(
        Arc::clone(&state),
        &asked.model,
        if gateway.anthropic() { "relay" } else { "messages" },
        body.len(),
    );
    let mut plan = Plan::new(gateway.routes(&model), gateway.tuning().retry);
    loop {
        let route = plan.route().clone();
        meter.route(gateway.client(&route).host(), &route.model, plan.sent);
        let attempt = match plan.held_back(gateway.breaker(&route).tell(Event::Ask), gateway.tuning()) {
            Some(wait) => Err((Failed::open(wait), false)),
            None if gateway.anthropic() => {
                relay::attempt(&gateway, &route, &body, &headers, &mut client, &mut meter).await
            }
            None => attempt(&state, &route, &body, &mut client, &mut meter).await,
        };
        let (failed, visible) = match attempt {
            Ok(()) => {
                gateway.breaker(&route).tell(Event::Success);
                meter.ok();
                return;
            }
            Err(failed) => failed,
        };
        match plan.after(&gateway, &failed, visible) {
            Some(pause) if pause.is_zero() => {}
            Some(pause) => client.pause(pause).await,
            None => {
                meter.failed(&failed);
                client.fail(&failed.error);
                return;
            }
        }
    }
}

fn prepare(state: &State, gateway: &Gateway, route: &Route, body: &[u8]) -> Result<Prepared, Failed> {
    let invalid = |message: String| Failed::new(Failure::Invalid, 400, message);
    let request: anthropic::Request<'_> =
        serde_json::from_slice(body).map_err(|e| invalid(format!("the request is not valid: {e}")))?;
    let profile = gateway.profile(route);
    let adjust = gateway.learnt(route);
    let cx = Context {
        model: &route.model,
        profile: &profile,
        adjust: &adjust,
        signatures: &|id| state.signatures.get(id),
    };
    let translated = translate::request(&request, &cx).map_err(|e| invalid(e.to_string()))?;
    for note in &translated.notes {
        tracing::info!(model = %route.model, "{note}");
    }
    let size = count::Size::of(&request, body.len());
    let stops = request.stop_sequences.iter().flatten().map(|s| s.as_str().to_owned());
    Ok(Prepared {
        body: Bytes::from(translated.body),
        tools: translated.tools,
        stop_sequences: stops.collect(),
        recover: profile.recover_text_calls,
        size,
    })
}

/// One attempt. On failure says whether the client has seen content.
async fn attempt(
    state: &Arc<State>,
    route: &Route,
    body: &Bytes,
    client: &mut Client,
    meter: &mut Meter,
) -> Result<(), (Failed, bool)> {
    let gateway = &state.gateway;
    let prepared = prepare(state, gateway, route, body).map_err(|f| (f, false))?;
    let size = prepared.size;
    client.estimate = state.calibration.estimate(&route.model, size);
    let mut response =
        send(gateway, route, prepared.body, HeaderMap::new(), client, meter).await.map_err(|f| (f, false))?;

    let mut machine = Machine::new(Settings {
        message_id: client.id.clone(),
        model: client.model.clone(),
        input_estimate: client.estimate,
        tools: prepared.tools,
        recover: prepared.recover,
        stop_sequences: prepared.stop_sequences,
        nonce: super::random_nonce(),
        begun: client.begun,
    });
    let mut out =
        if client.streams { Out::Events(Events::default()) } else { Out::Document(Document::default()) };
    let outcome = read(gateway, route, &mut response, &mut machine, &mut out, client, meter).await;
    meter.tokens(machine.summary());
    for (id, extra) in machine.signatures.drain(..) {
        state.signatures.put(id, extra);
    }
    match outcome {
        Ok(()) => {
            match &mut out {
                Out::Events(events) => client.write(&mut events.buf),
                Out::Document(document) => client.document(200, None, document.to_json()),
            }
            if let Some(input) = machine.summary().tokens.input {
                state.calibration.learn(&route.model, size, input);
            }
            Ok(())
        }
        Err(failed) => {
            // A document that was not sent can be made again; events cannot.
            let visible = machine.visible() && client.streams;
            if visible && let Out::Events(events) = &mut out {
                client.write(&mut events.buf);
            }
            Err((failed, visible))
        }
    }
}

/// Sends a request and gives the answer when its status is 2xx.
pub async fn send(
    gateway: &Gateway,
    route: &Route,
    body: Bytes,
    headers: HeaderMap,
    client: &mut Client,
    meter: &mut Meter,
) -> Result<reqwest::Response, Failed> {
    let http = gateway.client(route);
    let url = if gateway.anthropic() { http.messages_url() } else { http.chat_url() };
    meter.sent(body.len());
    let sent = http.post(&url, body, headers, gateway.anthropic());
    let response = match client.wait(sent, gateway.tuning().headers).await {
        None => return Err(Failed::header_timeout()),
        Some(sent) => sent.map_err(Failed::sending)?,
    };
    let status = response.status().as_u16();
    meter.status(status);
    if (200..300).contains(&status) {
        return Ok(response);
    }
    if (300..400).contains(&status) {
        let to = response.headers().get("location").and_then(|v| v.to_str().ok()).unwrap_or("nowhere");
        let to = http.mask(&super::errors::excerpt(to.split('?').next().unwrap_or(to), 200));
        let message = format!("the gateway redirects to {to}; name that address itself as the gateway");
        return Err(Failed::new(Failure::Invalid, 502, message));
    }
    let pause = retry_after(response.headers());
    let words = client.wait(read_limited(response, 64 << 10), Duration::from_secs(15)).await;
    let words = words.and_then(Result::ok).unwrap_or_default();
    Err(gateway.refused(route, status, pause, &words))
}

/// Reads an answer to its end into `out`.
async fn read(
    gateway: &Gateway,
    route: &Route,
    response: &mut reqwest::Response,
    machine: &mut Machine,
    out: &mut Out,
    client: &mut Client,
    meter: &mut Meter,
) -> Result<(), Failed> {
    let http = gateway.client(route);
    let tuning = gateway.tuning();
    let mut splitter = Splitter::new();
    // A document in place of events: some gateways answer a stream request so.
    let mut whole: Option<Vec<u8>> = None;
    let mut first = true;
    let mut received = 0;
    // Comments keep a connection alive, but no answer comes of them alone.
    let mut alive = Instant::now();
    let mut end: Option<Instant> = None;
    let fault = |fault: Stop| match fault {
        Stop::Fault(fault) => Failed::fault(fault, http),
        Stop::TooLong(error) => Failed::new(Failure::Malformed, 502, error.to_string()),
    };
    while !machine.done() {
        let now = Instant::now();
        let limit = match (machine.ended(), machine.metered()) {
            (false, _) => tuning.idle.min((alive + tuning.headers).saturating_duration_since(now)),
            (true, metered) => {
                let grace = if metered { tuning.grace / 10 } else { tuning.grace };
                let last = *end.get_or_insert(now + tuning.grace);
                grace.min(last.saturating_duration_since(now))
            }
        };
        // What is there already goes out with what came before it: one write, not many.
        let ready = match out {
            Out::Events(events) if client.committed && !events.buf.is_empty() => {
                step_aside().await;
                let ready = response.chunk().now_or_never();
                if ready.is_none() || events.buf.len() > COALESCE {
                    client.write(&mut events.buf);
                    client.out.room().await;
                }
                ready
            }
            _ => None,
        };
        let answered = match ready {
            Some(ready) => Some(ready),
            None => client.wait(response.chunk(), limit).await,
        };
        let chunk = match answered {
            // The finish reason came, and no more is needed.
            None if machine.ended() => break,
            None => return Err(Failed::idle()),
            Some(Err(_)) if machine.ended() => break,
            Some(Err(error)) => {
                return Err(Failed::broken(error));
            }
            Some(Ok(None)) => break,
            Some(Ok(Some(chunk))) => chunk,
        };
        meter.received(chunk.len());
        received += chunk.len();
        if received > STREAM_MAX {
            return Err(Failed::new(Failure::Malformed, 502, "the gateway's answer does not end"));
        }
        if std::mem::take(&mut first) {
            let start = chunk.trim_ascii_start().first().copied();
            whole = matches!(start, Some(b'{' | b'[' | b'<')).then(Vec::new);
            first = start.is_none();
        }
        if let Some(whole) = &mut whole {
            whole.extend_from_slice(&chunk);
            if whole.len() > WHOLE_MAX {
                return Err(Failed::new(Failure::Malformed, 502, "the gateway's answer is too long"));
            }
            continue;
        }
        let take = |p: &[u8]| {
            alive = now;
            machine.payload(out, p).map_err(Stop::Fault)
        };
        splitter.push(&chunk, take).map_err(fault)?;
        let tokens: Tokens = machine.summary().tokens;
        meter.so_far(tokens);
        if machine.visible()
            && let Out::Events(events) = out
        {
            client.begun = true;
            if !client.committed {
                // The first event does not wait for the second.
                client.write(&mut events.buf);
            }
        }
    }
    match whole {
        Some(whole) if whole.trim_ascii_start().first() == Some(&b'<') => {
            let page = super::errors::UpstreamError::parse(&whole);
            let message = format!("the gateway answered with a page, not with an answer: {}", page.message);
            return Err(Failed::new(Failure::Malformed, 502, http.mask(&message)));
        }
        // One document, or one a line.
        Some(whole) if serde_json::from_slice::<serde::de::IgnoredAny>(&whole).is_err() => {
            let taken = splitter.push(&whole, |p| machine.payload(out, p).map_err(Stop::Fault));
            let rest = |p: &[u8]| machine.payload(out, p).map_err(Stop::Fault);
            taken.and_then(|()| splitter.finish(rest)).map_err(fault)?;
        }
        Some(whole) => machine.payload(out, &whole).map_err(|f| Failed::fault(f, http))?,
        None => splitter.finish(|p| machine.payload(out, p).map_err(Stop::Fault)).map_err(fault)?,
    }
    machine.finish(out).map(|_| ()).map_err(|f| Failed::fault(f, http))
}

/// Lets the gateway's connection run, so that it can hand over what it has read.
async fn step_aside() {
    let mut steps = 0;
    poll_fn(|cx| {
        steps += 1;
        if steps > STEPS {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Why reading stops.
enum Stop {
    Fault(Fault),
    TooLong(TooLong),
}

impl From<TooLong> for Stop {
    fn from(error: TooLong) -> Self {
        Stop::TooLong(error)
    }
}
