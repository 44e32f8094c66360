//! Pass-through for gateways that speak Anthropic themselves (`USE_OPENAI_ADAPTER=0`): the
//! bytes go on as they are, with the same holding back, retry and metering.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::exchange::{self, Client};
use super::lenient::{Loose, Num, Str};
use super::meter::Meter;
use super::openai::Tokens;
use super::sse::{Splitter, TooLong};
use super::stream::Summary;
use crate::gateway::retry::Failure;
use crate::gateway::{Failed, Gateway, Route};

/// Headers of the client that the gateway gets; every other stays here.
const KEPT: &[&str] = &["anthropic-version", "anthropic-beta"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: Str<'a>,
    message: Loose<Message<'a>>,
    usage: Loose<Usage>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message<'a> {
    #[serde(borrow)]
    model: Option<Str<'a>>,
    usage: Loose<Usage>,
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
    input_tokens: Num,
    output_tokens: Num,
    cache_read_input_tokens: Num,
    cache_creation_input_tokens: Num,
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
struct Watch {
    summary: Summary,
    /// Content was seen.
    visible: bool,
    /// `message_delta` came.
    told_end: bool,
    ended: bool,
    error: Option<(u16, String)>,
}

impl Watch {
    fn payload(&mut self, payload: &[u8]) {
        let Ok(event) = serde_json::from_slice::<Event<'_>>(payload) else { return };
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
                let words = event.error.map_or("{}", |e| e.get());
                let parsed = super::errors::UpstreamError::parse(format!("{{\"error\":{words}}}").as_bytes());
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

/// One attempt. On failure says whether the client has seen content.
pub async fn attempt(
    gateway: &Gateway,
    route: &Route,
    body: &Bytes,
    headers: &HeaderMap,
    client: &mut Client,
    meter: &mut Meter,
) -> Result<(), (Failed, bool)> {
    let mut kept = HeaderMap::new();
    for name in KEPT {
        if let Some(value) = headers.get(*name) {
            kept.insert(*name, value.clone());
        }
    }
    kept.entry("anthropic-version").or_insert(HeaderValue::from_static("2023-06-01"));
    let sent = Bytes::from(with_model(body, &route.model).into_owned());
    let before = |failed| (failed, false);
    let mut response = exchange::send(gateway, route, sent, kept, client, meter).await.map_err(before)?;
    let http = gateway.client(route);
    let mut watch = Watch::default();
    let mut splitter = Splitter::new();
    let mut held: Vec<u8> = Vec::new();
    let mut whole: Option<bool> = None;
    loop {
        let chunk = match client.wait(response.chunk(), gateway.tuning().idle).await {
            None => return Err((Failed::idle(), watch.visible && client.streams)),
            Some(Err(_)) if watch.told_end => break,
            Some(Err(error)) => {
                let failed = Failed::broken(error);
                return Err((failed, watch.visible && client.streams));
            }
            Some(Ok(None)) => break,
            Some(Ok(Some(chunk))) => chunk,
        };
        meter.received(chunk.len());
        let whole = *whole.get_or_insert(chunk.trim_ascii_start().first() == Some(&b'{'));
        held.extend_from_slice(&chunk);
        if whole || !client.streams {
            if held.len() > 32 << 20 {
                return Err((
                    Failed::new(Failure::Malformed, 502, "the gateway's answer is too long"),
                    false,
                ));
            }
            continue;
        }
        let mut fed = |payload: &[u8]| -> Result<(), TooLong> {
            watch.payload(payload);
            Ok(())
        };
        if let Err(error) = splitter.push(&chunk, &mut fed) {
            return Err((Failed::new(Failure::Malformed, 502, error.to_string()), watch.visible));
        }
        meter.so_far(watch.summary.tokens);
        // Said in our words: the gateway's own may quote the key.
        if let Some((status, message)) = &watch.error {
            return Err((gateway.refused(route, *status, None, message.as_bytes()), watch.visible));
        }
        if watch.visible {
            client.relay(&mut held).await;
        }
    }
    meter.tokens(&watch.summary);
    if whole == Some(true) || !client.streams {
        let (_, summary) = answer_of(&held).map_err(|f| (f, false))?;
        meter.tokens(&summary);
        client.finish_document(http, &held);
        return Ok(());
    }
    if !watch.ended && watch.told_end {
        held.extend_from_slice(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    } else if !watch.ended {
        return Err((Failed::cut("the gateway ended the answer without its end"), watch.visible));
    }
    client.relay(&mut held).await;
    Ok(())
}

/// Visible text and counts of an answer document.
pub fn answer_of(body: &[u8]) -> Result<(String, Summary), Failed> {
    let message: Message<'_> = serde_json::from_slice(body).map_err(|e| {
        Failed::new(Failure::Malformed, 502, format!("the gateway's answer is not JSON: {e}"))
    })?;
    let Some(blocks) = &message.content else {
        let error = super::errors::UpstreamError::parse(body);
        return Err(Failed::new(
            Failure::Malformed,
            502,
            format!("the gateway's answer has no content: {}", error.message),
        ));
    };
    let texts: Vec<&str> =
        blocks.iter().map(|b| super::lenient::text(&b.text)).filter(|t| !t.is_empty()).collect();
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
    // The raw value is a part of the body: where it lies is a difference of addresses.
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
