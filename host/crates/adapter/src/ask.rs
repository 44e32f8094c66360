//! The host's own questions to a model: one text, one answer, without tools. Uses the same
//! routes, retry, breaker and rows as the agents' requests.

use std::time::Instant;

use super::relay;
use super::sink::Document;
use super::stream::{Machine, Settings, Summary};
use crate::gateway::breaker::Event;
use crate::gateway::usage::{self, Row};
use crate::gateway::{Failed, Gateway, Plan, Route, read_limited, retry_after};
use model::error::{Error, Kind, Result};
use model::result::Usage;

/// The answer to a question of the host's own.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The visible text.
    pub text: String,
    /// What it moved.
    pub usage: Usage,
    /// The model that answered.
    pub model: String,
}

impl Gateway {
    /// One question, one answer, without tools: for `analyze`, digests and `doctor`. Takes
    /// the given model, else the configured one. Retries and falls back like everything.
    pub async fn ask(
        &self,
        model: Option<&str>,
        system: &str,
        user: &str,
        max_tokens: u32,
    ) -> Result<Answer> {
        let Some(model) = model.or(self.model()) else {
            return Err(Error::new(Kind::Config, "no model is configured")
                .hint("set CLAUDE_MODEL to a model of the gateway"));
        };
        let started = Instant::now();
        let time = jiff::Timestamp::now().to_string();
        let mut plan = Plan::new(self.routes(model), self.tuning().retry);
        loop {
            let route = plan.route().clone();
            let outcome = match plan.held_back(self.breaker(&route).tell(Event::Ask), self.tuning()) {
                Some(wait) => Err(Failed::open(wait)),
                None => self.ask_once(&route, system, user, max_tokens).await,
            };
            let mut row = Row {
                v: 1,
                time: time.clone(),
                attempt: 1,
                route: "ask".to_owned(),
                gateway: self.client(&route).host().to_owned(),
                model_asked: model.to_owned(),
                model_sent: route.model.clone(),
                tries: plan.sent,
                total_ms: started.elapsed().as_millis() as u64,
                ..Row::default()
            };
            match outcome {
                Ok((text, summary)) => {
                    self.breaker(&route).tell(Event::Success);
                    let tokens = summary.tokens;
                    row.status = Some(200);
                    row.outcome = "ok".to_owned();
                    row.model_answered = summary.model.clone();
                    row.unmetered = !tokens.metered();
                    (row.input_tokens, row.cached_tokens) = (tokens.input, tokens.cached);
                    (row.output_tokens, row.reasoning_tokens) = (tokens.all_output(), tokens.reasoning);
                    row.cost_estimate = usage::cost(&tokens, &self.prices(&self.profile(&route)));
                    self.rows().append(&row);
                    return Ok(Answer {
                        text,
                        model: summary.model.unwrap_or(route.model),
                        usage: Usage {
                            input_tokens: tokens.input,
                            cached_tokens: tokens.cached,
                            output_tokens: tokens.all_output(),
                            requests: 1,
                            unmetered: u64::from(!tokens.metered()),
                        },
                    });
                }
                Err(failed) => match plan.after(self, &failed, false) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => {
                        row.status = failed.status;
                        row.outcome = "error".to_owned();
                        row.unmetered = true;
                        self.rows().append(&row);
                        return Err(Error::new(Kind::Gateway, failed.error.message)
                            .hint("run `codex-worker doctor` to test the gateway"));
                    }
                },
            }
        }
    }

    async fn ask_once(
        &self,
        route: &Route,
        system: &str,
        user: &str,
        max_tokens: u32,
    ) -> std::result::Result<(String, Summary), Failed> {
        let client = self.client(route);
        let (url, body) = if self.anthropic() {
            let body = serde_json::json!({
                "model": route.model, "max_tokens": max_tokens, "system": system,
                "messages": [{"role": "user", "content": user}],
            });
            (client.messages_url(), body)
        } else {
            let profile = self.profile(route);
            let adjust = self.learnt(route);
            let mut body = serde_json::json!({
                "model": route.model, "stream": false,
                "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            });
            let name = adjust.max_tokens_name.unwrap_or(&profile.max_tokens_name);
            let limits = [profile.limit_for(&route.model), adjust.max_tokens];
            let limit = limits.into_iter().flatten().chain([u64::from(max_tokens)]).min();
            body[name] = limit.into();
            (client.chat_url(), body)
        };
        let body = bytes::Bytes::from(body.to_string());
        let mut headers = reqwest::header::HeaderMap::new();
        if self.anthropic() {
            headers.insert("anthropic-version", reqwest::header::HeaderValue::from_static("2023-06-01"));
        }
        let sent = client.post(&url, body, headers, self.anthropic());
        let response = match tokio::time::timeout(self.tuning().headers, sent).await {
            Ok(sent) => sent.map_err(Failed::sending)?,
            Err(_) => return Err(Failed::header_timeout()),
        };
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = match tokio::time::timeout(self.tuning().idle, read_limited(response, 8 << 20)).await {
            Ok(Ok(body)) => body,
            Ok(Err(failed)) => return Err(failed),
            Err(_) => return Err(Failed::idle()),
        };
        if !(200..300).contains(&status) {
            return Err(self.refused(route, status, retry_after, &body));
        }
        if self.anthropic() {
            return relay::answer_of(&body);
        }
        let mut machine = Machine::new(Settings::default());
        let mut document = Document::default();
        let taken = machine.payload(&mut document, &body);
        let summary =
            taken.and_then(|()| machine.finish(&mut document)).map_err(|f| Failed::fault(f, client))?;
        Ok((document.visible_text(), summary))
    }
}
