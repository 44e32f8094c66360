//! Anthropic in, chat completions out: how one request of the agent is written for a route and
//! how its answer is read. When and where it is sent is the gateway's send loop's business.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use hyper::HeaderMap;
use tokio::time::Instant;

use super::State;
use super::answer_schema::AnswerSchema;
use super::downgrade::learn;
use super::downstream::Downstream;
use super::masked::Masked;
use super::names::Declared;
use super::profiles::{AnswerFormat, Profile};
use super::sink::{Document, Out, Sink};
use super::sse::{Splitter, TooLong};
use super::stream::{Fault, Machine, ReadOptions};
use super::translate::{self, Context, Role};
use super::{anthropic, count};
use gateway::refusal::UpstreamError;
use gateway::retry::Failure;
use gateway::{Failed, Meter, Outgoing, Protocol, Route, Target};

/// Turns that the gateway's connection needs to hand over what it has read: measured.
const STEPS: u32 = 2;
/// Events are written at the latest when there are so many bytes of them.
const COALESCE: usize = 16 * 1024;
/// A whole answer is not longer than this.
const WHOLE_MAX: usize = 32 << 20;
/// Nor is a stream: what is more is a gateway that does not stop.
const STREAM_MAX: usize = 128 << 20;

/// What reading the answer needs from the request that was sent.
struct Sent {
    profile: Arc<Profile>,
    max_tokens: Option<u64>,
    tools: Declared,
    stop_sequences: Vec<String>,
    size: count::Size,
    /// The adapter sees to the answer's schema.
    schema: Option<AnswerSchema>,
}

/// One request of the agent.
pub struct Messages<'a> {
    state: &'a State,
    body: &'a Bytes,
    client: &'a mut Downstream,
    sent: Option<Sent>,
    /// What a refusal said about this request alone.
    own_profile: Option<(Route, Arc<Profile>)>,
    /// An answer that did not fit its schema, and why.
    misfit: Option<(String, String)>,
    visible: bool,
}

impl<'a> Messages<'a> {
    /// A request with this body.
    pub(super) fn new(state: &'a State, body: &'a Bytes, client: &'a mut Downstream) -> Self {
        Messages { state, body, client, sent: None, own_profile: None, misfit: None, visible: false }
    }

    fn profile(&self, target: &Target<'_>) -> Arc<Profile> {
        match &self.own_profile {
            Some((route, profile)) if route == target.route => Arc::clone(profile),
            _ => self.state.capabilities.of(target),
        }
    }

    /// What is added to the conversation for an answer in a schema.
    fn appended(&self, schema: &AnswerSchema) -> Vec<(Role, String)> {
        let mut out = vec![(Role::System, schema.instruction())];
        if let Some((answer, fault)) = &self.misfit {
            if !answer.trim().is_empty() {
                out.push((Role::Assistant, answer.clone()));
            }
            out.push((Role::User, AnswerSchema::complaint(fault)));
        }
        out
    }

    /// What was read goes to the client, once it fits the schema that was asked for.
    fn deliver(&mut self, out: &mut Out, schema: Option<&AnswerSchema>) -> Result<(), Failed> {
        let document = match out {
            Out::Events(events) => {
                self.client.write(&mut events.buf);
                return Ok(());
            }
            Out::Document(document) => document,
        };
        if let Some(schema) = schema.filter(|_| !document.has_calls()) {
            let answer = document.visible_text();
            match schema.check(&answer) {
                Ok(fitting) => document.set_text(fitting),
                Err(fault) => {
                    let message = format!("the model's answer does not fit the schema: {fault}");
                    self.misfit = Some((answer, fault));
                    return Err(Failed::malformed(message));
                }
            }
        }
        if self.client.streams {
            let mut events = super::sink::Events::default();
            if !self.client.begun {
                events.start(&self.client.id, &self.client.model, self.client.estimate);
                self.client.begun = true;
            }
            document.replay(&mut events);
            self.client.write(&mut events.buf);
        } else {
            self.client.document(200, None, document.to_json());
        }
        Ok(())
    }
}

impl Protocol for Messages<'_> {
    type Answer = ();

    fn request(&mut self, target: &Target<'_>) -> Result<Outgoing, Failed> {
        let invalid = |message: String| Failed::new(Failure::Invalid(400), message);
        let request: anthropic::Request<'_> = serde_json::from_slice(self.body)
            .map_err(|e| invalid(format!("the request is not valid: {e}")))?;
        let profile = self.profile(target);
        let schema =
            translate::answer_schema(&request).filter(|_| profile.answer_format != AnswerFormat::JsonSchema);
        let schema = schema
            .map(|schema| AnswerSchema::new(schema.get()))
            .transpose()
            .map_err(|e| invalid(format!("output_config.format.schema cannot be used: {e}")))?;
        let appended = schema.as_ref().map(|schema| self.appended(schema)).unwrap_or_default();
        let cx = Context {
            model: &target.route.model,
            profile: &profile,
            signatures: &|id| self.state.signatures.get(id),
            appended: &appended,
        };
        let translated = translate::request(&request, &cx).map_err(|e| invalid(e.to_string()))?;
        for note in &translated.notes {
            tracing::info!(model = %target.route.model, "{note}");
        }
        let size = count::Size::of(&request, self.body.len());
        let stops = request.stop_sequences.iter().flatten().map(|s| s.as_str().to_owned());
        self.client.estimate = self.state.calibration.estimate(&target.route.model, size);
        let outgoing = Outgoing {
            url: target.upstream.chat_url(),
            body: Bytes::from(translated.body),
            headers: HeaderMap::new(),
            key_headers: profile.key_headers(),
            prices: profile.prices.into(),
            max_output: translated.max_tokens,
        };
        self.sent = Some(Sent {
            max_tokens: translated.max_tokens,
            tools: translated.tools,
            stop_sequences: stops.collect(),
            size,
            schema,
            profile,
        });
        Ok(outgoing)
    }

    async fn read(
        &mut self,
        target: &Target<'_>,
        response: reqwest::Response,
        meter: &mut Meter,
    ) -> Result<(), Failed> {
        let Some(sent) = self.sent.take() else { return Err(Failed::malformed("an answer to nothing")) };
        let machine = Machine::new(ReadOptions {
            message_id: self.client.id.clone(),
            model: self.client.model.clone(),
            input_estimate: self.client.estimate,
            tools: sent.tools,
            recover: sent.profile.recover_text_calls,
            stop_sequences: sent.stop_sequences,
            nonce: super::random_nonce(),
            begun: self.client.begun,
        });
        let streams = self.client.streams && sent.schema.is_none();
        let out = if streams { Out::events() } else { Out::Document(Document::default()) };
        let mut reading = Reading::new(machine, Masked::new(out, &self.state.secrets), self.client, target);
        let outcome = reading.run(response, meter).await;
        let Reading { mut machine, out, .. } = reading;
        let mut out = out.into_inner();
        meter.answered(machine.summary().tokens, machine.summary().model.as_deref());
        for (id, extra) in machine.take_signatures() {
            self.state.signatures.put(id, extra);
        }
        let tokens = machine.summary().tokens;
        match outcome.and_then(|()| self.deliver(&mut out, sent.schema.as_ref())) {
            Ok(()) => {
                if let Some(input) = tokens.input {
                    self.state.calibration.learn(&target.route.model, sent.size, input);
                }
                Ok(())
            }
            Err(failed) => {
                // A document that was not sent can be made again; events cannot.
                self.visible = machine.visible() && streams;
                if self.visible
                    && let Out::Events(events) = &mut out
                {
                    self.client.write(&mut events.buf);
                }
                Err(failed)
            }
        }
    }

    async fn wait<F>(&mut self, future: F, limit: Duration) -> Option<F::Output>
    where
        F: Future + Send,
        F::Output: Send,
    {
        self.client.wait(future, limit).await
    }

    async fn pause(&mut self, pause: Duration) {
        self.client.pause(pause).await;
    }

    fn visible(&self) -> bool {
        self.visible
    }

    fn refused(&mut self, target: &Target<'_>, status: u16, error: &UpstreamError) -> bool {
        let Some(sent) = &self.sent else { return false };
        let known = (&*sent.profile, sent.max_tokens);
        let Some(profile) = learn(&self.state.capabilities, target, (status, error), known) else {
            return false;
        };
        self.own_profile = Some((target.route.clone(), profile));
        true
    }
}

/// An answer while it is read.
struct Reading<'a, 't> {
    machine: Machine,
    out: Masked<Out>,
    client: &'a mut Downstream,
    target: &'a Target<'t>,
    splitter: Splitter,
    /// A document in place of events: some gateways answer a stream request so.
    whole: Option<Vec<u8>>,
    first: bool,
    received: usize,
    /// Comments keep a connection alive, but no answer comes of them alone.
    alive: Instant,
    /// When waiting for what follows the finish reason ends.
    end: Option<Instant>,
}

impl<'a, 't> Reading<'a, 't> {
    fn new(machine: Machine, out: Masked<Out>, client: &'a mut Downstream, target: &'a Target<'t>) -> Self {
        Reading {
            machine,
            out,
            client,
            target,
            splitter: Splitter::new(),
            whole: None,
            first: true,
            received: 0,
            alive: Instant::now(),
            end: None,
        }
    }

    /// Reads to the end.
    async fn run(&mut self, mut response: reqwest::Response, meter: &mut Meter) -> Result<(), Failed> {
        while !self.machine.done() {
            let Some(chunk) = self.next(&mut response).await? else { break };
            meter.received(chunk.len());
            self.take(&chunk)?;
            meter.so_far(self.machine.summary().tokens);
        }
        self.finish()
    }

    /// How long the next bytes may take.
    fn limit(&mut self) -> Duration {
        let tuning = self.target.tuning;
        let now = Instant::now();
        if !self.machine.ended() {
            return tuning.idle.min((self.alive + tuning.headers).saturating_duration_since(now));
        }
        let grace = if self.machine.metered() { tuning.grace / 10 } else { tuning.grace };
        let last = *self.end.get_or_insert(now + tuning.grace);
        grace.min(last.saturating_duration_since(now))
    }

    /// The next bytes; none at the end of the answer.
    async fn next(&mut self, response: &mut reqwest::Response) -> Result<Option<Bytes>, Failed> {
        let limit = self.limit();
        // What is there already goes out with what came before it: one write, not many.
        let ready = match self.out.inner_mut() {
            Out::Events(events) if self.client.committed() && !events.buf.is_empty() => {
                yield_to_io().await;
                let ready = response.chunk().now_or_never();
                if ready.is_none() || events.buf.len() > COALESCE {
                    self.client.write(&mut events.buf);
                    self.client.room().await;
                }
                ready
            }
            _ => None,
        };
        let answered = match ready {
            Some(ready) => Some(ready),
            None => self.client.wait(response.chunk(), limit).await,
        };
        match answered {
            // The finish reason came, and no more is needed.
            None | Some(Err(_)) if self.machine.ended() => Ok(None),
            None => Err(Failed::idle()),
            Some(Err(error)) => Err(Failed::broken(error)),
            Some(Ok(chunk)) => Ok(chunk),
        }
    }

    fn take(&mut self, chunk: &Bytes) -> Result<(), Failed> {
        self.received += chunk.len();
        if self.received > STREAM_MAX {
            return Err(Failed::malformed("the gateway's answer does not end"));
        }
        if std::mem::take(&mut self.first) {
            let start = chunk.trim_ascii_start().first().copied();
            self.whole = matches!(start, Some(b'{' | b'[' | b'<')).then(Vec::new);
            self.first = start.is_none();
        }
        if let Some(whole) = &mut self.whole {
            whole.extend_from_slice(chunk);
            if whole.len() > WHOLE_MAX {
                return Err(Failed::malformed("the gateway's answer is too long"));
            }
            return Ok(());
        }
        if self.client.begun {
            // A keepalive has said it.
            self.machine.begun();
        }
        self.push(chunk)?;
        if self.machine.visible()
            && let Out::Events(events) = self.out.inner_mut()
        {
            self.client.begun = true;
            if !self.client.committed() {
                // The first event does not wait for the second.
                self.client.write(&mut events.buf);
            }
        }
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        let Reading { machine, out, splitter, alive, target, .. } = self;
        let now = Instant::now();
        let taken = splitter.push(bytes, |payload| {
            *alive = now;
            machine.payload(out, payload).map_err(Stop::Fault)
        });
        taken.map_err(|stop| stop.failed(target))
    }

    fn payload(&mut self, payload: &[u8]) -> Result<(), Failed> {
        self.machine.payload(&mut self.out, payload).map_err(|fault| fault_of(fault, self.target))
    }

    fn finish(&mut self) -> Result<(), Failed> {
        match self.whole.take() {
            Some(whole) if whole.trim_ascii_start().first() == Some(&b'<') => {
                let page = UpstreamError::parse(&whole).message;
                let message = format!("the gateway answered with a page, not with an answer: {page}");
                return Err(Failed::malformed(self.target.upstream.mask(&message)));
            }
            // One document, or one a line.
            Some(whole) if serde_json::from_slice::<serde::de::IgnoredAny>(&whole).is_err() => {
                self.push(&whole)?;
                self.rest()?;
            }
            Some(whole) => self.payload(&whole)?,
            None => self.rest()?,
        }
        self.machine.finish(&mut self.out).map(|_| ()).map_err(|fault| fault_of(fault, self.target))
    }

    /// What the stream ended with.
    fn rest(&mut self) -> Result<(), Failed> {
        let Reading { machine, out, splitter, target, .. } = self;
        let taken = splitter.finish(|payload| machine.payload(out, payload).map_err(Stop::Fault));
        taken.map_err(|stop| stop.failed(target))
    }
}

/// What the answer itself says went wrong.
pub fn fault_of(fault: Fault, target: &Target<'_>) -> Failed {
    let message = target.upstream.mask(&fault.to_string());
    match fault {
        Fault::Cut => Failed::cut(message),
        Fault::Malformed(_) => Failed::malformed(message),
        Fault::Upstream { status, .. } => {
            Failed::upstream(status.unwrap_or(502), &UpstreamError { message, code: String::new() })
        }
    }
}

/// Lets the gateway's connection run, so that it can hand over what it has read.
async fn yield_to_io() {
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

impl Stop {
    fn failed(self, target: &Target<'_>) -> Failed {
        match self {
            Stop::Fault(fault) => fault_of(fault, target),
            Stop::TooLong(error) => Failed::malformed(error.to_string()),
        }
    }
}

impl From<TooLong> for Stop {
    fn from(error: TooLong) -> Self {
        Stop::TooLong(error)
    }
}
