//! How many tokens a request is: by a local tokenizer while nothing is known about a model,
//! then by what its gateway counted for requests of known size. The tokenizer needs some
//! 30 MB and is loaded when somebody asks.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::anthropic::{Block, Content, Request};
use super::lenient::str_of;
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

/// How large a request is, without what images and files weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of text and JSON.
    pub bytes: usize,
    /// Images and files.
    pub media: u64,
}

impl Size {
    /// All of it is text, as far as is known.
    pub fn of_bytes(bytes: usize) -> Self {
        Size { bytes, media: 0 }
    }

    /// The size of a request whose document has so many bytes.
    pub fn of(request: &Request<'_>, bytes: usize) -> Self {
        let mut size = Size::of_bytes(bytes);
        for message in request.messages.iter().flatten() {
            if let Content::Blocks(blocks) = &message.content {
                size.take_media(blocks);
            }
        }
        size
    }

    fn take_media(&mut self, blocks: &[Block<'_>]) {
        for block in blocks {
            if let Some(Content::Blocks(inner)) = &block.content {
                self.take_media(inner);
            }
            let Some(source) = block.source.0.as_ref() else { continue };
            if matches!(block.kind.as_str(), "image" | "document") && source.kind.as_str() != "text" {
                self.media += 1;
                self.bytes = self.bytes.saturating_sub(str_of(&source.data).len());
            }
        }
    }

    fn tokens(self, tokens_a_byte: f64) -> u64 {
        (self.bytes as f64 * tokens_a_byte).ceil() as u64 + self.media * IMAGE_TOKENS
    }
}

impl Calibration {
    /// A quick estimate.
    pub fn estimate(&self, model: &str, size: Size) -> u64 {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        size.tokens(models.get(model).map_or(1.0 / BYTES_A_TOKEN, |seen| seen.tokens_a_byte))
    }

    /// A gateway counted `tokens` for a request of this size.
    pub fn learn(&self, model: &str, size: Size, tokens: u64) {
        let of_text = tokens.saturating_sub(size.media * IMAGE_TOKENS);
        if size.bytes == 0 || of_text == 0 {
            return;
        }
        let rate = of_text as f64 / size.bytes as f64;
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = models.entry(model.to_owned()).or_insert(Seen { tokens_a_byte: rate, error: None });
        let error = (size.tokens(seen.tokens_a_byte) as f64 - tokens as f64).abs() / (tokens as f64).max(1.0);
        if seen.error.is_some() || error > 0.0 {
            seen.error = Some(seen.error.map_or(error, |e| e + WEIGHT * (error - e)));
        }
        seen.tokens_a_byte += WEIGHT * (rate - seen.tokens_a_byte);
    }

    /// The best estimate for a request whose document has so many bytes.
    pub fn count(&self, model: &str, request: &Request<'_>, bytes: usize) -> Estimate {
        let seen = self.models.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied();
        match seen {
            Some(seen) => Estimate {
                tokens: Size::of(request, bytes).tokens(seen.tokens_a_byte),
                error: seen.error,
                calibrated: true,
            },
            None => Estimate { tokens: tokenize(request), error: None, calibrated: false },
        }
    }
}

/// The tokenizer of OpenAI's newer models.
static TOKENIZER: LazyLock<tiktoken::CoreBpe> = LazyLock::new(tiktoken::encoding::o200k_base);

/// Bytes that are given to the tokenizer; more than any model's context, and a bound on what a
/// request can make this process do. The rest is estimated.
const TOKENIZED_BYTES: usize = 2 << 20;
/// Bytes that are tokenized at a time: a run without a break takes more than linear time.
const PIECE_BYTES: usize = 64 << 10;

/// Counts with the tokenizer.
pub fn tokenize(request: &Request<'_>) -> u64 {
    let mut sum = 3;
    let mut left = TOKENIZED_BYTES;
    let mut add = |text: &str| {
        let (mut counted, estimated) = text.split_at(text.floor_char_boundary(left));
        left -= counted.len();
        sum += Size::of_bytes(estimated.len()).tokens(1.0 / BYTES_A_TOKEN);
        while !counted.is_empty() {
            let (piece, after) = counted.split_at(counted.floor_char_boundary(PIECE_BYTES));
            sum += TOKENIZER.count(piece) as u64;
            counted = after;
        }
    };
    content(&request.system, &mut add);
    for message in request.messages.iter().flatten() {
        add("user\n");
        content(&message.content, &mut add);
    }
    for tool in request.tools.iter().flatten().filter(|t| t.defer_loading != Some(true)) {
        add(tool.name.as_str());
        add(str_of(&tool.description));
        add(tool.input_schema.map_or("", |s| s.get()));
    }
    sum + Size::of(request, 0).media * IMAGE_TOKENS
}

fn content(content_of: &Content<'_>, add: &mut impl FnMut(&str)) {
    match content_of {
        Content::Text(text) => add(text.as_str()),
        Content::Blocks(blocks) => blocks.iter().for_each(|b| block(b, add)),
    }
}

fn block(block: &Block<'_>, add: &mut dyn FnMut(&str)) {
    let text = str_of(&block.text);
    if text.starts_with(BILLING) {
        return;
    }
    for piece in [text, str_of(&block.thinking), str_of(&block.name), block.input.map_or("", |i| i.get())] {
        if !piece.is_empty() {
            add(piece);
        }
    }
    if let Some(source) = block.source.0.as_ref().filter(|s| s.kind.as_str() == "text") {
        add(str_of(&source.data));
    }
    match &block.content {
        Some(Content::Text(text)) => add(text.as_str()),
        Some(Content::Blocks(inner)) => inner.iter().for_each(|b| self::block(b, add)),
        None => {}
    }
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
        calibration.learn("m", Size::of_bytes(1000), 250);
        calibration.learn("m", Size::of_bytes(1000), 300);
        let later = calibration.count("m", &request, 1000);
        assert!(later.calibrated && (250..=300).contains(&later.tokens), "{later:?}");
        assert!(later.error.is_some_and(|e| (0.1..0.2).contains(&e)), "{later:?}");

        // Exact, as OpenAI's own tokenizer counts: "user\n" is two.
        let of = |text: &str| {
            let body = serde_json::json!({"messages": [{"role": "user", "content": text}]}).to_string();
            tokenize(&serde_json::from_str(&body).expect("request")) - 5
        };
        assert_eq!(of("Count the tokens of this sentence, please."), 9);
        assert_eq!(of(&"é".repeat(PIECE_BYTES)), 2 * of(&"é".repeat(PIECE_BYTES / 2)));
        // A run without a break is one piece to the tokenizer; what cannot fit a context is estimated.
        let (counted, all) = (TOKENIZED_BYTES - "user\n".len(), 8 << 20);
        let rest = ((all - counted) as f64 / BYTES_A_TOKEN).ceil() as u64;
        assert_eq!(of(&"a".repeat(all)), counted.div_ceil(8) as u64 + rest);

        // A picture weighs what a picture costs, not what its bytes do.
        let picture = serde_json::json!({"messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "data": "A".repeat(100_000)}},
        ]}]})
        .to_string();
        let request: Request<'_> = serde_json::from_str(&picture).expect("request");
        assert_eq!(Size::of(&request, picture.len()), Size { bytes: picture.len() - 100_000, media: 1 });
        assert!(
            (IMAGE_TOKENS..IMAGE_TOKENS + 60)
                .contains(&calibration.count("m", &request, picture.len()).tokens)
        );
    }
}
