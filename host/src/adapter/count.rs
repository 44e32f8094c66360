//! How many tokens a request is: by a local tokenizer while nothing is known about a model,
//! then by what its gateway counted for requests of known size. The tokenizer needs some
//! 30 MB and is loaded when somebody asks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::anthropic::{Block, Content, Request};
use super::lenient::text;
use super::translate::BILLING;

/// What an image costs, about.
const IMAGE_TOKENS: u64 = 1_000;
/// Bytes of a request for one token, before anything is known.
const BYTES_A_TOKEN: f64 = 4.2;
/// How fast later answers replace earlier ones.
const WEIGHT: f64 = 0.3;

#[derive(Clone, Copy, Debug)]
struct Seen {
    tokens_a_byte: f64,
    error: Option<f64>,
}

/// What was seen of each model.
#[derive(Debug, Default)]
pub struct Calibration {
    models: Mutex<HashMap<String, Seen>>,
}

/// An estimate and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Tokens.
    pub tokens: u64,
    /// The mean relative error of earlier estimates for this model; none before the second.
    pub error: Option<f64>,
    /// Whether the model's own counts were used.
    pub calibrated: bool,
}

impl Calibration {
    /// A quick estimate of `bytes` of request.
    pub fn estimate(&self, model: &str, bytes: usize) -> u64 {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = models.get(model).map_or(1.0 / BYTES_A_TOKEN, |seen| seen.tokens_a_byte);
        (bytes as f64 * rate).ceil() as u64
    }

    /// A gateway counted `tokens` for a request of `bytes`.
    pub fn learn(&self, model: &str, _sent: usize, bytes: usize, tokens: u64) {
        if bytes == 0 {
            return;
        }
        let rate = tokens as f64 / bytes as f64;
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = models.entry(model.to_owned()).or_insert(Seen { tokens_a_byte: rate, error: None });
        let predicted = seen.tokens_a_byte * bytes as f64;
        let error = (predicted - tokens as f64).abs() / (tokens as f64).max(1.0);
        if seen.error.is_some() || error > 0.0 {
            seen.error = Some(seen.error.map_or(error, |e| e + WEIGHT * (error - e)));
        }
        seen.tokens_a_byte += WEIGHT * (rate - seen.tokens_a_byte);
    }

    /// The best estimate for a request.
    pub fn count(&self, model: &str, request: &Request<'_>, bytes: usize) -> Estimate {
        let seen = self.models.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied();
        match seen {
            Some(seen) => Estimate {
                tokens: (bytes as f64 * seen.tokens_a_byte).ceil() as u64,
                error: seen.error,
                calibrated: true,
            },
            None => Estimate { tokens: tokenize(request), error: None, calibrated: false },
        }
    }
}

/// Counts with the tokenizer.
pub fn tokenize(request: &Request<'_>) -> u64 {
    let tokenizer = bpe_openai::o200k_base();
    let mut sum = 3;
    let mut add = |text: &str| sum += tokenizer.count(text) as u64;
    content(&request.system, &mut add);
    for message in request.messages.iter().flatten() {
        add("user\n");
        content(&message.content, &mut add);
    }
    for tool in request.tools.iter().flatten().filter(|t| t.defer_loading != Some(true)) {
        add(tool.name.as_str());
        add(text(&tool.description));
        add(tool.input_schema.map_or("", |s| s.get()));
    }
    sum + images(request) * IMAGE_TOKENS
}

fn content(content_of: &Content<'_>, add: &mut impl FnMut(&str)) {
    match content_of {
        Content::Text(words) => add(words.as_str()),
        Content::Blocks(blocks) => blocks.iter().for_each(|b| block(b, add)),
    }
}

fn block(block: &Block<'_>, add: &mut dyn FnMut(&str)) {
    let words = text(&block.text);
    if words.starts_with(BILLING) {
        return;
    }
    for piece in [words, text(&block.thinking), text(&block.name), block.input.map_or("", |i| i.get())] {
        if !piece.is_empty() {
            add(piece);
        }
    }
    if let Some(source) = block.source.0.as_ref().filter(|s| s.kind.as_str() == "text") {
        add(text(&source.data));
    }
    match &block.content {
        Some(Content::Text(words)) => add(words.as_str()),
        Some(Content::Blocks(inner)) => inner.iter().for_each(|b| self::block(b, add)),
        None => {}
    }
}

fn images(request: &Request<'_>) -> u64 {
    fn of(blocks: &[Block<'_>]) -> u64 {
        let inner = |b: &Block<'_>| match &b.content {
            Some(Content::Blocks(inner)) => of(inner),
            _ => 0,
        };
        blocks.iter().map(|b| u64::from(b.kind.as_str() == "image") + inner(b)).sum()
    }
    let messages = request.messages.iter().flatten();
    messages
        .map(|m| match &m.content {
            Content::Blocks(blocks) => of(blocks),
            Content::Text(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokenizer_then_calibration() {
        let body = serde_json::json!({
            "system": "You are helpful.",
            "messages": [{"role": "user", "content": "Count the tokens of this sentence, please."}],
        })
        .to_string();
        let request: Request<'_> = serde_json::from_str(&body).expect("request");
        let calibration = Calibration::default();
        let first = calibration.count("m", &request, body.len());
        assert!(!first.calibrated && (12..40).contains(&first.tokens), "{first:?}");
        calibration.learn("m", 0, 1000, 250);
        calibration.learn("m", 0, 1000, 300);
        let later = calibration.count("m", &request, 1000);
        assert!(later.calibrated && (250..=300).contains(&later.tokens), "{later:?}");
        assert!(later.error.is_some_and(|e| (0.1..0.2).contains(&e)), "{later:?}");
    }
}
