//! The client's side of an exchange: the 200 is held back until there is content, silence is
//! bridged with pings, and no two heads are ever sent. The future that writes here is polled by
//! the client's own connection, so that a client that leaves drops it, and with it the
//! connection to the gateway.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::errors::ApiError;
use super::sink::{Events, Sink};

/// The client is not sent more than this before it takes what there is.
const ROOM: usize = 256 * 1024;
/// Room for a few events.
const EVENTS: usize = 1024;
/// A pause before the next try that is not pinged through; clients wait for a status for
/// minutes.
const QUIET: Duration = Duration::from_secs(30);

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
pub struct ResponseBuffer(Arc<Mutex<Shared>>);

impl ResponseBuffer {
    /// The shared state. Never held across an await.
    pub fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let mut shared = self.lock();
        if shared.buf.is_empty() {
            // The next events are about as long as these.
            let next = Vec::with_capacity(bytes.len().max(EVENTS));
            shared.buf = std::mem::replace(bytes, next);
        } else {
            shared.buf.append(bytes);
        }
    }
}

/// What both ways of answering need from the request.
#[derive(Debug)]
pub struct RequestHead {
    /// The model as the client names it.
    pub model: String,
    /// Whether it wants events.
    pub streams: bool,
}

impl RequestHead {
    /// Reads just enough of a request.
    pub fn read(body: &[u8]) -> Result<RequestHead, ApiError> {
        #[derive(serde::Deserialize)]
        struct Top<'a> {
            #[serde(borrow, default)]
            model: super::lenient::Str<'a>,
            #[serde(default)]
            stream: Option<bool>,
        }
        let top: Top<'_> = serde_json::from_slice(body)
            .map_err(|e| ApiError::invalid(format!("the request is not valid: {e}")))?;
        Ok(RequestHead { model: top.model.as_str().to_owned(), streams: top.stream == Some(true) })
    }
}

/// The client of one exchange.
pub struct Downstream {
    out: ResponseBuffer,
    /// The client asked for events.
    pub streams: bool,
    committed: bool,
    /// `message_start` was said.
    pub begun: bool,
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

impl Downstream {
    /// A client that has got nothing yet.
    pub fn new(out: ResponseBuffer, ping: Duration) -> Self {
        Downstream {
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

    /// Whether the 200 has gone out.
    pub fn committed(&self) -> bool {
        self.committed
    }

    /// Sends events to the client, and with the first ones the 200.
    pub fn write(&mut self, events: &mut Vec<u8>) {
        if events.is_empty() {
            return;
        }
        if !self.committed {
            self.committed = true;
            self.out.lock().head = Some(Head::Stream);
        }
        self.last_write = Instant::now();
        self.out.write(events);
    }

    /// Waits until the client has taken enough. No waker is needed: whoever takes bytes polls
    /// the exchange again.
    pub async fn room(&self) {
        poll_fn(|_| if self.out.lock().buf.len() > ROOM { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// Ends the exchange with a document.
    pub fn document(&mut self, status: u16, pause: Option<Duration>, body: Vec<u8>) {
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

    fn send_keepalive(&mut self) {
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
    pub async fn pause(&mut self, pause: Duration) {
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
                        self.send_keepalive();
                    }
                    let next = (self.last_write + self.ping).min(end);
                    self.timer.as_mut().reset(next);
                }
            }
        }
    }
}
