//! One request of the agent: which protocol answers it, and how its end is reported.

use std::sync::Arc;

use bytes::Bytes;
use hyper::HeaderMap;

use super::State;
use super::count;
use super::downstream::{Downstream, RequestHead, ResponseBuffer};
use super::errors::ApiError;
use super::messages::Messages;
use super::relay::Relay;
use gateway::{Caller, Meter};

/// Answers one request to `/v1/messages`.
pub async fn run(state: Arc<State>, body: Bytes, headers: HeaderMap, out: ResponseBuffer) {
    let mut client = Downstream::new(out, state.gateway.tuning().ping);
    let body = super::lenient::repair_surrogates(&body).map_or(body, Bytes::from);
    let head = match RequestHead::read(&body) {
        Ok(head) => head,
        Err(error) => return client.fail(&error),
    };
    client.streams = head.streams;
    client.model.clone_from(&head.model);
    let model = state.gateway_model(&head.model);
    client.estimate = state.calibration.estimate(&model, count::Size::of_bytes(body.len()));
    let (job, attempt) = state.label();
    let kind = if state.anthropic { "relay" } else { "messages" };
    let caller = Caller { job, attempt, kind, model: head.model };
    let mut meter = Meter::new(state.gateway.rows().clone(), state.account.clone(), caller);
    let outcome = if state.anthropic {
        let mut relay = Relay::new(&state, &body, &headers, &mut client);
        state.gateway.exchange(&model, &mut relay, &mut meter).await
    } else {
        let mut messages = Messages::new(&state, &body, &mut client);
        state.gateway.exchange(&model, &mut messages, &mut meter).await
    };
    if let Err(failed) = outcome {
        let mut error = ApiError::from(&failed);
        error.message = state.secrets.known_secrets_only(&error.message);
        client.fail(&error);
    }
}
