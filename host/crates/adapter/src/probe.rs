//! What a model can do, tried with one small request: does it stream, does it call a tool, does
//! it count its tokens. Another protocol of the same send loop, on the first route alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::HeaderMap;

use super::anthropic;
use super::ask::{Asker, hint};
use super::downgrade::learn;
use super::messages::fault_of;
use super::profiles::{Capabilities, Profile, Profiles};
use super::relay;
use super::sink::Document;
use super::sse::{Splitter, TooLong};
use super::stream::{Fault, Machine, ReadOptions, Summary};
use super::translate::{self, Context};
use config::Config;
use gateway::refusal::UpstreamError;
use gateway::retry::{Failure, Policy};
use gateway::{Account, Caller, Failed, Gateway, Meter, Outgoing, Protocol, Route, Target, Tuning};
use model::error::{Error, Kind, Result};

/// A whole answer is not longer than this.
const ANSWER_MAX: usize = 4 << 20;
/// Room for one call, and for what a reasoning model thinks before it.
const TOKENS: u32 = 2048;
/// The one tool that is declared.
const TOOL: &str = "report_ready";

/// What a model showed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Probe {
    /// As the gateway calls it.
    pub model: String,
    /// It called the tool that it was told to call.
    pub calls_tools: bool,
    /// The answer came as events.
    pub streams: bool,
    /// Input and output tokens were counted.
    pub counts_tokens: bool,
    /// Until the first byte, in milliseconds.
    pub first_byte_ms: u64,
    /// Why no tool was called, where the gateway said so.
    pub refusal: Option<String>,
}

impl Probe {
    /// What the model cannot do, and what follows from that; empty for one that can do all.
    pub fn missing(&self) -> Vec<String> {
        let mut out = Vec::new();
        if !self.calls_tools {
            let why = self.refusal.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
            out.push(format!("it cannot call tools{why}: agents cannot work with it, only `analyze` can"));
        }
        if !self.streams {
            out.push("it does not stream: an answer is seen when all of it is there".to_owned());
        }
        if !self.counts_tokens {
            out.push(
                "it does not count tokens: its use is unmetered, and budgets take the estimate".to_owned(),
            );
        }
        out
    }
}

/// Asks the configured model for one streamed tool call.
///
/// # Errors
/// When nothing answers, or what answers is no model gateway, or it refuses key or model.
pub async fn probe(config: &Config) -> Result<Probe> {
    // The answer of a fallback would say nothing of the gateway that was named.
    let mut alone = config.clone();
    alone.gateway.fallback = None;
    alone.gateway.fallback_models = Vec::new();
    let retry = Policy { tries: 2, budget: Duration::from_secs(10), ..Policy::default() };
    let tuning = Tuning {
        retry,
        headers: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        ..Tuning::default()
    };
    let gateway = Gateway::with(&alone, tuning)?;
    let Some(model) = gateway.model().map(str::to_owned) else {
        return Err(Error::new(Kind::Config, "no model is configured")
            .hint("set CLAUDE_MODEL to a model of the gateway"));
    };
    let capabilities = Capabilities::new(Profiles::from_config(&alone)?);
    let mut question = Question {
        capabilities: &capabilities,
        anthropic: !alone.gateway.use_openai_adapter,
        sent: None,
        own_profile: None,
        started: Instant::now(),
    };
    let caller = Caller { job: None, attempt: 1, kind: "probe", model: model.clone() };
    let mut meter = Meter::new(gateway.rows().clone(), Account::default(), caller);
    match gateway.exchange(&model, &mut question, &mut meter).await {
        Ok(probe) => Ok(probe),
        // It may still answer without tools: then that is what it cannot do.
        Err(failed) if matches!(failed.failure, Failure::Invalid(_)) => {
            let started = Instant::now();
            let answer =
                Asker::with(&alone, tuning)?.ask(None, "Answer with one word.", "Say OK.", TOKENS).await;
            let Ok(answer) = answer else { return Err(refused(&failed)) };
            Ok(Probe {
                model: answer.model,
                calls_tools: false,
                streams: false,
                counts_tokens: answer.usage.unmetered == 0,
                first_byte_ms: millis(started),
                refusal: Some(failed.message),
            })
        }
        Err(failed) => Err(refused(&failed)),
    }
}

/// The models that the configured gateway lists, sorted; none where it has no list. Nothing is
/// paid for.
///
/// # Errors
/// When nothing answers at the address.
pub async fn models(config: &Config) -> Result<Vec<String>> {
    let Some(primary) = config.gateway.primary.clone() else { return Ok(Vec::new()) };
    let upstream = gateway::Upstream::new(primary, Duration::from_secs(10))?;
    match upstream.models(Duration::from_secs(15)).await {
        Ok((_, names)) => Ok(names),
        Err(failed) => Err(refused(&failed)),
    }
}

fn refused(failed: &Failed) -> Error {
    Error::new(Kind::Gateway, failed.message.clone()).hint(hint(failed))
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

struct Question<'a> {
    capabilities: &'a Capabilities,
    anthropic: bool,
    sent: Option<(Arc<Profile>, Option<u64>, ReadOptions)>,
    own_profile: Option<(Route, Arc<Profile>)>,
    started: Instant,
}

fn body(model: &str) -> String {
    serde_json::json!({
        "model": model, "max_tokens": TOKENS, "stream": true,
        "system": "You test a connection. Call the tool that you are given, once, and say nothing.",
        "messages": [{"role": "user", "content": format!("Call the tool {TOOL} now.")}],
        "tools": [{"name": TOOL, "description": "Reports that the connection works.",
            "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "any"},
    })
    .to_string()
}

impl Protocol for Question<'_> {
    type Answer = Probe;

    fn request(&mut self, target: &Target<'_>) -> std::result::Result<Outgoing, Failed> {
        self.started = Instant::now();
        let model = &target.route.model;
        let body = body(model);
        let profile = match &self.own_profile {
            Some((route, profile)) if route == target.route => Arc::clone(profile),
            _ => self.capabilities.of(target),
        };
        if self.anthropic {
            return Ok(relay::outgoing(target, Bytes::from(body), HeaderMap::new(), profile.prices.into()));
        }
        let invalid = |message: String| Failed::new(Failure::Invalid(400), message);
        let request: anthropic::Request<'_> =
            serde_json::from_str(&body).map_err(|error| invalid(error.to_string()))?;
        let cx = Context { model, profile: &profile, signatures: &|_| None, appended: &[] };
        let translated = translate::request(&request, &cx).map_err(|error| invalid(error.to_string()))?;
        let options = ReadOptions {
            model: model.clone(),
            tools: translated.tools,
            recover: profile.recover_text_calls,
            nonce: super::random_nonce(),
            ..ReadOptions::default()
        };
        let outgoing = Outgoing {
            url: target.upstream.chat_url(),
            body: Bytes::from(translated.body),
            headers: HeaderMap::new(),
            key_headers: profile.key_headers(),
            prices: profile.prices.into(),
            max_output: translated.max_tokens,
        };
        self.sent = Some((profile, translated.max_tokens, options));
        Ok(outgoing)
    }

    async fn read(
        &mut self,
        target: &Target<'_>,
        mut response: reqwest::Response,
        meter: &mut Meter,
    ) -> std::result::Result<Probe, Failed> {
        let mut body: Vec<u8> = Vec::new();
        let mut first_byte_ms = None;
        loop {
            let chunk = self.wait(response.chunk(), target.tuning.idle).await;
            let Some(chunk) = chunk.ok_or_else(Failed::idle)?.map_err(Failed::broken)? else { break };
            first_byte_ms.get_or_insert_with(|| millis(self.started));
            meter.received(chunk.len());
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_MAX {
                return Err(Failed::malformed("the gateway's answer to a one-word question does not end"));
            }
            // Whoever keeps the connection open afterwards has said all.
            if body.ends_with(b"[DONE]\n\n") {
                break;
            }
        }
        let streams = !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[' | b'<'));
        let (calls_tools, summary) = if self.anthropic {
            anthropic_answer(&body, streams)?
        } else {
            self.chat_answer(&body, streams, target)?
        };
        meter.answered(summary.tokens, summary.model.as_deref());
        Ok(Probe {
            model: summary.model.unwrap_or_else(|| target.route.model.clone()),
            calls_tools,
            streams,
            counts_tokens: summary.tokens.metered(),
            first_byte_ms: first_byte_ms.unwrap_or_else(|| millis(self.started)),
            refusal: None,
        })
    }

    fn refused(&mut self, target: &Target<'_>, status: u16, error: &UpstreamError) -> bool {
        let Some((profile, sent, _)) = &self.sent else { return false };
        let known = (&**profile, *sent);
        let Some(profile) = learn(self.capabilities, target, (status, error), known) else { return false };
        self.own_profile = Some((target.route.clone(), profile));
        true
    }
}

impl Question<'_> {
    fn chat_answer(
        &mut self,
        body: &[u8],
        streams: bool,
        target: &Target<'_>,
    ) -> std::result::Result<(bool, Summary), Failed> {
        if body.trim_ascii_start().starts_with(b"<") {
            let page = UpstreamError::parse(body).message;
            let message = format!("the gateway answered with a page, not with an answer: {page}");
            return Err(Failed::malformed(target.upstream.mask(&message)));
        }
        let options = self.sent.as_mut().map(|(_, _, options)| std::mem::take(options)).unwrap_or_default();
        let mut machine = Machine::new(options);
        let mut document = Document::default();
        let taken = if streams {
            let mut splitter = Splitter::new();
            let mut each = |payload: &[u8]| machine.payload(&mut document, payload).map_err(Stop::Fault);
            splitter.push(body, &mut each).and_then(|()| splitter.finish(&mut each))
        } else {
            machine.payload(&mut document, body).map_err(Stop::Fault)
        };
        taken.map_err(|stop| match stop {
            Stop::Fault(fault) => fault_of(fault, target),
            Stop::TooLong(error) => Failed::malformed(error.to_string()),
        })?;
        let summary = machine.finish(&mut document).map_err(|fault| fault_of(fault, target))?;
        Ok((document.has_calls(), summary))
    }
}

enum Stop {
    Fault(Fault),
    TooLong(TooLong),
}

impl From<TooLong> for Stop {
    fn from(error: TooLong) -> Self {
        Stop::TooLong(error)
    }
}

/// The answer of a gateway that speaks Anthropic itself.
fn anthropic_answer(body: &[u8], streams: bool) -> std::result::Result<(bool, Summary), Failed> {
    if !streams {
        let (_, summary) = relay::answer_of(body)?;
        let calls = serde_json::from_slice::<serde_json::Value>(body).is_ok_and(|message| {
            message["content"].as_array().into_iter().flatten().any(|block| block["type"] == "tool_use")
        });
        return Ok((calls, summary));
    }
    let mut watch = relay::Watch::default();
    let mut calls = false;
    let mut splitter = Splitter::new();
    let mut each = |payload: &[u8]| -> std::result::Result<(), TooLong> {
        watch.payload(payload);
        let event: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
        calls |= event["content_block"]["type"] == "tool_use";
        Ok(())
    };
    splitter
        .push(body, &mut each)
        .and_then(|()| splitter.finish(&mut each))
        .map_err(|error| Failed::malformed(error.to_string()))?;
    match watch.error.take() {
        Some((status, message)) => {
            Err(Failed::upstream(status, &UpstreamError { message, code: String::new() }))
        }
        None => Ok((calls, watch.summary)),
    }
}
