//! The host's own questions to a model: one text, one answer, without tools. Another protocol
//! of the same send loop as the agents' requests.

use std::sync::Arc;

use bytes::Bytes;
use hyper::HeaderMap;

use super::downgrade::learn;
use super::messages::fault_of;
use super::profiles::{Capabilities, Profile, Profiles};
use super::relay;
use super::sink::Document;
use super::stream::{Machine, ReadOptions, Summary};
use super::translate::{Context, output_limit};
use config::Config;
use gateway::purse::Purse;
use gateway::refusal::UpstreamError;
use gateway::retry::Failure;
use gateway::{
    Account, Caller, Failed, Gateway, Meter, Outgoing, Protocol, Route, Target, Tuning, read_limited,
};
use model::error::{Error, Kind, Result};
use model::result::Usage;

/// A whole answer is not longer than this.
const ANSWER_MAX: usize = 8 << 20;

/// The answer to a question of the host's own.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The visible text, never empty.
    pub text: String,
    /// What it moved.
    pub usage: Usage,
    /// The model that answered.
    pub model: String,
}

/// Asks for `analyze`, digests and `doctor`.
#[derive(Clone, Debug)]
pub struct Asker {
    gateway: Gateway,
    capabilities: Arc<Capabilities>,
    anthropic: bool,
    purse: Option<Arc<dyn Purse>>,
}

impl Asker {
    /// An asker with a configuration's gateways. Nothing is sent.
    pub fn from_config(config: &Config) -> Result<Asker> {
        Asker::with(config, Tuning::default())
    }

    /// As [`Asker::from_config`], with times of its own.
    pub fn with(config: &Config, tuning: Tuning) -> Result<Asker> {
        Ok(Asker {
            gateway: Gateway::with(config, tuning)?,
            capabilities: Arc::new(Capabilities::new(Profiles::from_config(config)?)),
            anthropic: !config.gateway.use_openai_adapter,
            purse: None,
        })
    }

    /// The same, paid from a purse.
    pub fn paid_from(self, purse: Option<Arc<dyn Purse>>) -> Asker {
        Asker { purse, ..self }
    }

    /// One question, one answer. Takes the given model, else the configured one. Retries and
    /// falls back like everything. An empty answer is an error.
    pub async fn ask(
        &self,
        model: Option<&str>,
        system: &str,
        user: &str,
        max_tokens: u32,
    ) -> Result<Answer> {
        let Some(model) = model.or(self.gateway.model()) else {
            return Err(Error::new(Kind::Config, "no model is configured")
                .hint("set CLAUDE_MODEL to a model of the gateway"));
        };
        let caller = Caller { job: None, attempt: 1, kind: "ask", model: model.to_owned() };
        let mut meter =
            Meter::new(self.gateway.rows().clone(), Account::paid_from(self.purse.clone()), caller);
        let mut question = Question { asker: self, system, user, max_tokens, sent: None, own_profile: None };
        match self.gateway.exchange(model, &mut question, &mut meter).await {
            Ok(answer) => Ok(answer),
            Err(failed) => Err(Error::new(Kind::Gateway, failed.message.clone()).hint(hint(&failed))),
        }
    }
}

/// What a person can do about a failure.
pub(super) fn hint(failed: &Failed) -> &'static str {
    match failed.failure {
        Failure::Connect => {
            "check the address in ONEAPI_BASE_URL (host, port, http or https), and HTTPS_PROXY and NO_PROXY"
        }
        Failure::HeaderTimeout | Failure::Idle | Failure::Cut => {
            "the gateway answers too slowly or breaks off: try again, or name another with FALLBACK_BASE_URL"
        }
        Failure::Final(402) => "the gateway's account has no credit left",
        Failure::Final(_) => "check ONEAPI_API_KEY: the gateway refuses it",
        Failure::NotFound => "check CLAUDE_MODEL, and the path in ONEAPI_BASE_URL: it usually ends in /v1",
        Failure::Malformed => "check ONEAPI_BASE_URL: what answers there may not be a model gateway",
        Failure::Invalid(502) => "set ONEAPI_BASE_URL to the address that it names",
        Failure::RateLimited | Failure::Unavailable(_) | Failure::Open(_) => {
            "try again later, or name another gateway with FALLBACK_BASE_URL"
        }
        Failure::TooLong { .. } => "ask about fewer or smaller files",
        Failure::Invalid(_) => {
            "check CLAUDE_MODEL and WORKER_GATEWAY_PROFILE: the gateway refuses the request"
        }
    }
}

/// One question in flight.
struct Question<'a> {
    asker: &'a Asker,
    system: &'a str,
    user: &'a str,
    max_tokens: u32,
    sent: Option<(Arc<Profile>, Option<u64>)>,
    /// What a refusal said about this question alone.
    own_profile: Option<(Route, Arc<Profile>)>,
}

impl Protocol for Question<'_> {
    type Answer = Answer;

    fn request(&mut self, target: &Target<'_>) -> std::result::Result<Outgoing, Failed> {
        let model = &target.route.model;
        let profile = match &self.own_profile {
            Some((route, profile)) if route == target.route => Arc::clone(profile),
            _ => self.asker.capabilities.of(target),
        };
        let prices = profile.prices.into();
        if self.asker.anthropic {
            let body = serde_json::json!({
                "model": model, "max_tokens": self.max_tokens, "system": self.system,
                "messages": [{"role": "user", "content": self.user}],
            });
            return Ok(relay::outgoing(target, Bytes::from(body.to_string()), HeaderMap::new(), prices));
        }
        let mut body = serde_json::json!({
            "model": model, "stream": false,
            "messages": [{"role": "system", "content": self.system}, {"role": "user", "content": self.user}],
        });
        let cx = Context { model, profile: &profile, signatures: &|_| None, appended: &[] };
        let limit = output_limit(Some(self.max_tokens.into()), &cx);
        body[&profile.max_tokens_name] = limit.into();
        let outgoing = Outgoing {
            url: target.upstream.chat_url(),
            body: Bytes::from(body.to_string()),
            headers: HeaderMap::new(),
            key_headers: profile.key_headers(),
            prices,
            max_output: limit,
        };
        self.sent = Some((profile, limit));
        Ok(outgoing)
    }

    async fn read(
        &mut self,
        target: &Target<'_>,
        response: reqwest::Response,
        meter: &mut Meter,
    ) -> std::result::Result<Answer, Failed> {
        let body = self.wait(read_limited(response, ANSWER_MAX), target.tuning.idle).await;
        let body = body.ok_or_else(Failed::idle)??;
        meter.received(body.len());
        let (text, summary, reason) = if self.asker.anthropic {
            let (text, summary) = relay::answer_of(&body)?;
            (text, summary, "")
        } else {
            let mut machine = Machine::new(ReadOptions::default());
            let mut document = Document::default();
            let taken = machine.payload(&mut document, &body).and_then(|()| machine.finish(&mut document));
            let summary = taken.map_err(|fault| fault_of(fault, target))?;
            (document.visible_text(), summary, document.stop_reason())
        };
        meter.answered(summary.tokens, summary.model.as_deref());
        if text.trim().is_empty() {
            return Err(self.empty(&summary, reason));
        }
        let tokens = summary.tokens;
        Ok(Answer {
            text,
            model: summary.model.unwrap_or_else(|| target.route.model.clone()),
            usage: Usage {
                input_tokens: tokens.input,
                cached_tokens: tokens.cached,
                output_tokens: tokens.all_output(),
                requests: 1,
                unmetered: u64::from(!tokens.metered()),
            },
        })
    }

    fn refused(&mut self, target: &Target<'_>, status: u16, error: &UpstreamError) -> bool {
        let Some((profile, sent)) = &self.sent else { return false };
        let known = (&**profile, *sent);
        let Some(profile) = learn(&self.asker.capabilities, target, (status, error), known) else {
            return false;
        };
        self.own_profile = Some((target.route.clone(), profile));
        true
    }
}

impl Question<'_> {
    /// An answer without a visible text is no answer.
    fn empty(&self, summary: &Summary, reason: &str) -> Failed {
        let model = summary.model.as_deref().unwrap_or("the model");
        match reason {
            // The same question would end the same way.
            "max_tokens" => Failed::new(
                Failure::Invalid(400),
                format!(
                    "{model} gave no answer: its {} output tokens went into reasoning",
                    summary.tokens.all_output().unwrap_or(self.max_tokens.into())
                ),
            ),
            "refusal" => Failed::new(Failure::Invalid(400), format!("{model} refused to answer")),
            _ => Failed::malformed(format!("{model} gave an empty answer")),
        }
    }
}
