//! Pass-through for gateways that speak Anthropic themselves (`USE_OPENAI_ADAPTER=0`): the
//! bytes go on as they are, with the same holding back, retry and metering.

use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::State;
use super::downstream::Downstream;
use super::lenient::{DefaultOnError, LenientInt, Str};
use super::masked::MaskedEvents;
use super::sse::{Splitter, TooLong};
use super::stream::Summary;
use config::Prices;
use gateway::refusal::UpstreamError;
use gateway::usage::Tokens;
use gateway::{Failed, Meter, Outgoing, Protocol, Target};

/// Headers of the client that the gateway gets; every other stays here.
const KEPT: [&str; 2] = ["anthropic-version", "anthropic-beta"];
/// A whole answer is not longer than this.
const WHOLE_MAX: usize = 32 << 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RelayedEvent<'a> {
    #[serde(rename = "type", borrow)]
    kind: Str<'a>,
    message: DefaultOnError<Message<'a>>,
    usage: DefaultOnError<Usage>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    model: Option<Str<'a>>,
    usage: DefaultOnError<Usage>,
    content: Option<Vec<Text<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Text<'a> {
    #[serde(borrow)]
    text: Option<Str<'a>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Usage {
    input_tokens: LenientInt,
    output_tokens: LenientInt,
    cache_read_input_tokens: LenientInt,
    cache_creation_input_tokens: LenientInt,
}

impl Usage {
    fn tokens(&self) -> Tokens {
        let fresh = self.input_tokens.count();
        let (read, written) =
            (self.cache_read_input_tokens.count(), self.cache_creation_input_tokens.count());
        let sum = fresh.map(|f| f + read.unwrap_or(0) + written.unwrap_or(0)).filter(|n| *n > 0);
        let output = self.output_tokens.count();
        Tokens { input: sum, cached: read, cache_written: written, output, ..Tokens::default() }
    }
}

/// Reads the events as they pass by.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) summary: Summary,
    /// Content was seen.
    visible: bool,
    /// `message_delta` came.
    told_end: bool,
    ended: bool,
    pub(super) error: Option<(u16, String)>,
}

impl Watch {
    pub(super) fn payload(&mut self, payload: &[u8]) {
        let Ok(event) = serde_json::from_slice::<RelayedEvent<'_>>(payload) else { return };
        if let Some(message) = &event.message.0 {
            if let Some(usage) = message.usage.0 {
                self.summary.tokens.update(usage.tokens());
            }
            let model = message.model.as_ref().map(|m| m.as_str().to_owned());
            self.summary.model = model.or(self.summary.model.take());
        }
        match event.kind.as_str() {
            "content_block_start" | "content_block_delta" => self.visible = true,
            "message_delta" => {
                // Gateways that count input only in message_start say 0 here.
                if let Some(usage) = event.usage.0 {
                    let mut tokens = usage.tokens();
                    if tokens.input.is_none() {
                        (tokens.cached, tokens.cache_written) = (None, None);
                    }
                    self.summary.tokens.update(tokens);
                }
                self.visible = true;
                self.told_end = true;
            }
            "message_stop" => self.ended = true,
            "error" => {
                let error = event.error.map_or("{}", |e| e.get());
                let parsed = UpstreamError::parse(format!("{{\"error\":{error}}}").as_bytes());
                let status = match parsed.code.as_str() {
                    "overloaded_error" => 529,
                    "rate_limit_error" => 429,
                    "authentication_error" => 401,
                    "billing_error" => 402,
                    "permission_error" => 403,
                    "invalid_request_error" => 400,
                    _ => 502,
                };
                self.error = Some((status, parsed.message));
            }
            _ => {}
        }
    }
}

/// What a request asks for, as far as it matters here.
#[derive(Deserialize)]
struct Asked {
    max_tokens: Option<u64>,
}

/// A request to a gateway that speaks Anthropic.
pub fn outgoing(target: &Target<'_>, body: Bytes, mut headers: HeaderMap, prices: Prices) -> Outgoing {
    headers.entry("anthropic-version").or_insert(HeaderValue::from_static("2023-06-01"));
    let key_headers = vec![HeaderName::from_static("x-api-key")];
    let max_output = serde_json::from_slice::<Asked>(&body).ok().and_then(|asked| asked.max_tokens);
    Outgoing { url: target.upstream.messages_url(), body, headers, key_headers, prices, max_output }
}

/// One request of the agent, passed through.
pub struct Relay<'a> {
    state: &'a State,
    body: &'a Bytes,
    kept: HeaderMap,
    client: &'a mut Downstream,
    visible: bool,
}

impl<'a> Relay<'a> {
    /// A request with this body; of the client's headers only some go on.
    pub(super) fn new(
        state: &'a State,
        body: &'a Bytes,
        headers: &HeaderMap,
        client: &'a mut Downstream,
    ) -> Self {
        let kept =
            KEPT.iter().filter_map(|name| Some((HeaderName::from_static(name), headers.get(*name)?.clone())));
        Relay { state, body, kept: kept.collect(), client, visible: false }
    }

    /// Sends events on, and waits until there is room for more.
    async fn send(&mut self, mut bytes: Vec<u8>) {
        if std::mem::replace(&mut self.client.begun, true) && !self.visible {
            // We said `message_start` in a silence: the gateway's own must not follow.
            drop_message_start(&mut bytes);
        }
        self.client.write(&mut bytes);
        self.client.room().await;
    }

    /// Ends the exchange with the gateway's own document. After pings have gone out it is too
    /// late for one.
    fn finish(&mut self, target: &Target<'_>, body: &[u8], meter: &mut Meter) -> Result<(), Failed> {
        let (_, summary) = answer_of(body)?;
        meter.answered(summary.tokens, summary.model.as_deref());
        if self.client.committed() {
            return Err(Failed::malformed("the gateway answered a stream request with a document"));
        }
        let text = target.upstream.mask(&String::from_utf8_lossy(body));
        let text = self.state.secrets.known_secrets_in_json(&text);
        self.client.document(200, None, text.into_bytes());
        Ok(())
    }
}

impl Protocol for Relay<'_> {
    type Answer = ();

    fn request(&mut self, target: &Target<'_>) -> Result<Outgoing, Failed> {
        let body = Bytes::from(with_model(self.body, &target.route.model).into_owned());
        let prices = self.state.capabilities.of(target).prices.into();
        Ok(outgoing(target, body, self.kept.clone(), prices))
    }

    async fn read(
        &mut self,
        target: &Target<'_>,
        mut response: reqwest::Response,
        meter: &mut Meter,
    ) -> Result<(), Failed> {
        let mut watch = Watch::default();
        let mut splitter = Splitter::new();
        let mut masked = MaskedEvents::new(&self.state.secrets);
        let mut held: Vec<u8> = Vec::new();
        let mut whole: Option<bool> = None;
        loop {
            let chunk = match self.client.wait(response.chunk(), target.tuning.idle).await {
                None => return Err(Failed::idle()),
                Some(Err(_)) if watch.told_end => break,
                Some(Err(error)) => return Err(Failed::broken(error)),
                Some(Ok(None)) => break,
                Some(Ok(Some(chunk))) => chunk,
            };
            meter.received(chunk.len());
            let whole = *whole.get_or_insert(chunk.trim_ascii_start().first() == Some(&b'{'));
            if whole || !self.client.streams {
                held.extend_from_slice(&chunk);
                if held.len() > WHOLE_MAX {
                    return Err(Failed::malformed("the gateway's answer is too long"));
                }
                continue;
            }
            masked.push(&chunk, &mut held);
            let mut fed = |payload: &[u8]| -> Result<(), TooLong> {
                watch.payload(payload);
                Ok(())
            };
            splitter.push(&chunk, &mut fed).map_err(|error| Failed::malformed(error.to_string()))?;
            meter.so_far(watch.summary.tokens);
            // Said in our words: the gateway's own may quote the key.
            if let Some((status, message)) = &watch.error {
                let message = target.upstream.mask(message);
                return Err(Failed::upstream(*status, &UpstreamError { message, code: String::new() }));
            }
            if watch.visible {
                self.send(std::mem::take(&mut held)).await;
                self.visible = true;
            }
        }
        meter.answered(watch.summary.tokens, watch.summary.model.as_deref());
        if whole == Some(true) || !self.client.streams {
            return self.finish(target, &held, meter);
        }
        masked.finish(&mut held);
        if !watch.ended && watch.told_end {
            held.extend_from_slice(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
        } else if !watch.ended {
            return Err(Failed::cut("the gateway ended the answer without its end"));
        }
        self.send(held).await;
        Ok(())
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
}

/// Cuts the `message_start` event out of events that hold it.
fn drop_message_start(bytes: &mut Vec<u8>) {
    const NAME: &[u8] = b"\"message_start\"";
    let Some(name) = bytes.windows(NAME.len()).position(|w| w == NAME) else { return };
    let blank = |at: usize| bytes[at..].starts_with(b"\n\n") || bytes[at..].starts_with(b"\r\n\r\n");
    let width = |at: usize| if bytes[at] == b'\r' { 4 } else { 2 };
    let begin = (0..name).rev().find(|at| blank(*at)).map_or(0, |at| at + width(at));
    let Some(end) = (name..bytes.len()).find(|at| blank(*at)).map(|at| at + width(at)) else { return };
    bytes.drain(begin..end.min(bytes.len()));
}

/// Visible text and counts of an answer document.
pub fn answer_of(body: &[u8]) -> Result<(String, Summary), Failed> {
    let message: Message<'_> = serde_json::from_slice(body)
        .map_err(|e| Failed::malformed(format!("the gateway's answer is not JSON: {e}")))?;
    let Some(blocks) = &message.content else {
        let error = UpstreamError::parse(body);
        return Err(Failed::malformed(format!("the gateway's answer has no content: {}", error.message)));
    };
    let texts: Vec<&str> =
        blocks.iter().map(|b| super::lenient::str_of(&b.text)).filter(|t| !t.is_empty()).collect();
    let summary = Summary {
        tokens: message.usage.0.map(|u| u.tokens()).unwrap_or_default(),
        model: message.model.as_ref().map(|m| m.as_str().to_owned()),
    };
    Ok((texts.join("\n"), summary))
}

/// The request with another model; every other byte stays, so that signatures and prefix
/// caches hold.
fn with_model<'x>(body: &'x [u8], model: &str) -> Cow<'x, [u8]> {
    #[derive(Deserialize)]
    struct Top<'a> {
        #[serde(borrow)]
        model: &'a RawValue,
    }
    let Ok(top) = serde_json::from_slice::<Top<'_>>(body) else { return Cow::Borrowed(body) };
    let written = serde_json::json!(model).to_string();
    let raw = top.model.get();
    if raw == written {
        return Cow::Borrowed(body);
    }
    // The raw value is a part of the body: its place is a difference of addresses.
    let at = raw.as_ptr() as usize - body.as_ptr() as usize;
    let mut out = Vec::with_capacity(body.len() + written.len());
    out.extend_from_slice(&body[..at]);
    out.extend_from_slice(written.as_bytes());
    out.extend_from_slice(&body[at + raw.len()..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_model_changes() {
        let cases = [
            (r#"{"a": 1, "model" : "x", "b":2}"#, "y", r#"{"a": 1, "model" : "y", "b":2}"#),
            (r#"{"model":"y"}"#, "y", r#"{"model":"y"}"#),
            (r#"{"m":{"model":"no"},"model":null}"#, "y\"", r#"{"m":{"model":"no"},"model":"y\""}"#),
            (r#"{"a":1}"#, "y", r#"{"a":1}"#),
            ("nonsense", "y", "nonsense"),
        ];
        for (body, model, expected) in cases {
            assert_eq!(String::from_utf8_lossy(&with_model(body.as_bytes(), model)), expected);
        }
    }
}
