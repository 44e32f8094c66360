//! What a gateway's error says: its document, whatever the shape, and what kind of failure
//! status and message are. Pure.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::retry::Failure;

/// The error document of a gateway, whatever its shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamError {
    /// Its message, shortened.
    pub message: String,
    /// Its code and type, for classification.
    pub code: String,
}

impl UpstreamError {
    /// An error at the top level of a document with status 200, in the words of
    /// vLLM, DashScope, GLM, MiniMax and others; none when the document is no error.
    pub fn in_answer(body: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(body).ok()?;
        let map = value.as_object()?;
        if let Some(base) = map.get("base_resp").filter(|b| b["status_code"].as_i64().is_some_and(|n| n != 0))
        {
            let message = base["status_msg"].as_str().unwrap_or("the gateway refused").to_owned();
            return Some(UpstreamError { message: excerpt(&message, 600), code: String::new() });
        }
        let said = ["message", "msg", "detail", "error_msg", "error_message", "errors"];
        let fine =
            |v: &Value| v.is_null() || [0, 200].iter().any(|n| v == n) || v == "" || v == "0" || v == "ok";
        let failed = ["code", "error_code"].iter().any(|k| map.get(*k).is_some_and(|v| !fine(v)))
            || ["status", "status_code"].iter().any(|k| map.get(*k).and_then(Value::as_i64) >= Some(400))
            || map.get("success") == Some(&Value::Bool(false))
            || map.get("object") == Some(&"error".into())
            || map.get("type") == Some(&"error".into())
            || map.contains_key("detail");
        (failed && said.iter().any(|k| map.contains_key(*k))).then(|| UpstreamError::parse(body.as_bytes()))
    }

    /// Reads a body. Never fails: what cannot be read is quoted.
    pub fn parse(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let Ok(mut value) = serde_json::from_str::<Value>(&text) else {
            let plain =
                if text.trim_start().starts_with('<') { strip_tags(&text) } else { text.into_owned() };
            return UpstreamError { message: excerpt(plain.trim(), 300), code: String::new() };
        };
        // Gemini's compatible endpoint wraps the document in a list.
        if let Value::Array(list) = &mut value
            && let Some(first) = list.first_mut()
        {
            value = first.take();
        }
        let error = value.get("error").filter(|e| !e.is_null()).unwrap_or(&value);
        let text_of = |v: &Value| match v {
            Value::String(s) => Some(s.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        };
        let mut message = match error {
            Value::String(text) => text.clone(),
            error => ["message", "msg", "detail", "error_msg", "error_message", "errors"]
                .iter()
                .find_map(|key| error.get(*key).or(value.get(*key)).and_then(text_of))
                .unwrap_or_else(|| error.to_string()),
        };
        if let Some(raw) = error.pointer("/metadata/raw").and_then(text_of) {
            message = format!("{message}: {raw}");
        }
        let code = ["code", "type", "status", "error_code", "status_code"]
            .iter()
            .filter_map(|key| error.get(*key).and_then(text_of))
            .collect::<Vec<_>>()
            .join(" ");
        UpstreamError { message: excerpt(&message, 600), code }
    }
}

fn strip_tags(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars().take(4000) {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most `max` bytes of a text without control characters.
pub fn excerpt(text: &str, max: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max) + 4);
    for c in text.chars() {
        if out.len() + c.len_utf8() > max {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

static TOO_LONG: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)prompt is too long|maximum context length|context[_ -]length[_ -]exceeded|context[_ ]window|",
        r"longer than the model'?s context|exceeds? the (?:model'?s )?(?:maximum )?context|too many (?:input )?tokens|",
        r"exceeded model token limit|input (?:token count|length|is too long).{0,60}(?:exceed|too long)|",
        r"range of input length|reduce the length of the (?:messages|prompt)|prompt tokens exceed"
    ))
    .ok()
});
static CONTEXT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:maximum context length|context length|context window|maximum|limit|at most|>)",
        r"(?:\s+(?:is|of|allowed|size))*[\s:(=]*(\d[\d,_]{2,})"
    ))
    .ok()
});
static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\d[\d,_]{2,}").ok());

fn numbers(text: &str) -> Vec<u64> {
    let Some(number) = NUMBER.as_ref() else { return Vec::new() };
    number.find_iter(text).filter_map(|m| m.as_str().replace([',', '_'], "").parse().ok()).collect()
}

/// Classifies an error of a gateway.
pub fn classify(status: u16, error: &UpstreamError) -> Failure {
    let text = format!("{} {}", error.code, error.message);
    let lower = text.to_ascii_lowercase();
    let too_long = TOO_LONG.as_ref().is_some_and(|r| r.is_match(&text));
    if too_long && (status == 400 || status == 413 || status == 422 || status >= 500) && !about_output(&lower)
    {
        let found = numbers(&error.message);
        let named = CONTEXT.as_ref().and_then(|r| r.captures(&error.message));
        let limit = named.and_then(|c| numbers(c.get(1)?.as_str()).first().copied());
        let most = found.iter().copied().max();
        let limit = limit.or_else(|| found.iter().copied().filter(|n| Some(*n) != most).max());
        let asked = most.filter(|n| limit.is_some_and(|limit| *n > limit));
        return Failure::TooLong { asked, limit };
    }
    let broke = [
        "insufficient_quota",
        "insufficient balance",
        "insufficient_balance",
        "exceeded your current quota",
        "credit balance",
        "arrears",
        "quota exhausted",
        "余额不足",
        "欠费",
    ];
    // Groq: the model has written a call that does not parse; the next one may.
    if lower.contains("tool_use_failed") && status == 400 {
        return Failure::Unavailable(502);
    }
    match status {
        402 => Failure::Final(402),
        401 => Failure::Final(401),
        429 if broke.iter().any(|w| lower.contains(w)) => Failure::Final(402),
        403 if broke.iter().any(|w| lower.contains(w)) => Failure::Final(402),
        403 => Failure::Final(403),
        429 => Failure::RateLimited,
        408 | 409 | 425 | 500..=599 => Failure::Unavailable(status),
        404 => Failure::NotFound,
        other => Failure::Invalid(other),
    }
}

fn about_output(lower: &str) -> bool {
    // OpenAI's own wording names both; the prompt alone decides there.
    (lower.contains("max_tokens") || lower.contains("max_completion_tokens"))
        && !lower.contains("maximum context length")
}

/// The status that fits a message alone, for errors inside a stream.
pub fn status_of_message(message: &str) -> Option<u16> {
    let lower = message.to_ascii_lowercase();
    let table: &[(&[&str], u16)] = &[
        (&["insufficient_quota", "insufficient balance", "insufficient_balance", "余额不足", "欠费"], 402),
        (&["rate limit", "rate_limit", "too many requests", "ratelimit", "限流", "频率"], 429),
        (&["overloaded", "capacity", "server busy", "unavailable"], 529),
        (&["tool_use_failed"], 502),
        (&["authentication", "invalid api key", "invalid_api_key", "unauthorized"], 401),
        (&["timeout", "timed out"], 504),
        (&["invalid_request", "content policy", "moderation"], 400),
    ];
    table.iter().find(|(needles, _)| needles.iter().any(|n| lower.contains(n))).map(|(_, status)| *status)
}
