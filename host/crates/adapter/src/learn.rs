//! What a refused request teaches: a gateway that says which field it does not take gets the
//! request once more without it, and the lesson is kept for its model. Pure.

use std::sync::LazyLock;

use regex::Regex;

use super::errors::UpstreamError;
use super::translate::Adjustments;

static LIMIT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:\[\s*\d+\s*,\s*(\d+)\s*\]|(?:less than or equal to|at most|<=|maximum(?: value)?(?: of| is|:)?|up to|limit(?: of| is|:)?|supports)\s*`?(\d+))")
        .ok()
});

/// "…(5000 in the messages, 32000 in the completion)", and vLLM's newer wording.
static SPLIT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)context length (?:is|of) (\d+) tokens.{0,80}?(?:\((\d+) (?:in|from) the (?:messages|input|prompt)",
        r"[^0-9]+\d+ (?:in|from|for) the completion|(?:has|contains) (?:at least )?(\d+) input tokens)"
    ))
    .ok()
});

/// The output that fits when the prompt alone would: some gateways count both.
fn room_left(message: &str) -> Option<u64> {
    let found = SPLIT.as_ref()?.captures(message)?;
    let number = |at: usize| found.get(at).and_then(|m| m.as_str().parse::<u64>().ok());
    let left = number(1)?.checked_sub(number(2).or(number(3))?)?;
    (left > 1024).then(|| left - 256)
}

/// What to change after a refusal with status 400, 404 or 422; none when it teaches nothing
/// new.
pub fn adjust(status: u16, error: &UpstreamError, so_far: &Adjustments) -> Option<Adjustments> {
    if !matches!(status, 400 | 404 | 415 | 422) {
        return None;
    }
    let words = format!("{} {}", error.code, error.message);
    let lower = words.to_ascii_lowercase();
    let has = |needle: &str| lower.contains(needle);
    let refuses = [
        "not support",
        "unsupported",
        "unknown",
        "unrecognized",
        "not permitted",
        "not allowed",
        "invalid",
        "extra",
        "unexpected",
        "does not",
        "doesn't",
        "must be",
    ]
    .iter()
    .any(|w| lower.contains(w));
    let mut next = so_far.clone();
    if let Some(left) = room_left(&error.message) {
        next.max_tokens = Some(left.min(so_far.max_tokens.unwrap_or(u64::MAX)));
    } else if has("max_tokens") && has("max_completion_tokens") && has("instead") {
        // "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        let wants_new = lower.rfind("max_completion_tokens") > lower.rfind("'max_tokens'");
        next.max_tokens_name = Some(if wants_new { "max_completion_tokens" } else { "max_tokens" });
    } else if has("max_tokens")
        || has("max_completion_tokens")
        || has("max_new_tokens")
        || has("maxoutputtokens")
    {
        let found = LIMIT.as_ref().and_then(|r| r.captures(&error.message));
        let limit = found.and_then(|c| c.get(1).or(c.get(2))).and_then(|m| m.as_str().parse().ok());
        next.max_tokens =
            Some(limit.filter(|n| *n > 0).unwrap_or(8192)).min(so_far.max_tokens.or(Some(u64::MAX)));
    } else if has("reasoning_content") && (has("missing") || has("must be") || has("required")) {
        next.reasoning_placeholder = true;
        next.no_reasoning = false;
    } else if has("tool_choice") {
        next.no_tool_choice = true;
    } else if has("stream_options") || has("include_usage") {
        next.no_stream_options = true;
    } else if has("alternate") {
        next.merge_users = true;
    } else if has("response_format") && refuses {
        next.no_response_format = true;
    } else if has("top_p") && refuses {
        next.no_top_p = true;
    } else if (has("'stop'") || has("\"stop\"") || has("`stop`")) && refuses {
        next.no_stop = true;
    } else if has("parallel_tool_calls") {
        next.no_parallel = true;
    } else if has("reasoning_content") || has("'reasoning'") || has("\"reasoning\"") && refuses {
        next.no_reasoning = true;
    } else if has("thinking") && refuses || has("enable_thinking") || has("reasoning_effort") {
        next.no_thinking_switch = true;
    } else if has("temperature") && refuses {
        next.no_temperature = true;
    } else if (has("image") || has("vision") || has("multimodal")) && refuses {
        next.no_images = true;
    } else if has("system")
        && (has("role") || has("beginning") || has("first message") || has("message"))
        && (refuses || has("beginning"))
    {
        next.system_as_reminder = true;
    }
    (next != *so_far).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lessons() {
        let none = Adjustments::default();
        let with = |change: fn(&mut Adjustments)| {
            let mut next = Adjustments::default();
            change(&mut next);
            Some(next)
        };
        let cases: Vec<(u16, &str, Option<Adjustments>)> = vec![
            (
                400,
                "max_tokens is too large: 32000. This model supports at most 8192 completion tokens",
                with(|a| a.max_tokens = Some(8192)),
            ),
            (
                400,
                "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
                with(|a| a.max_tokens = Some(8192)),
            ),
            (
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                with(|a| a.max_tokens_name = Some("max_completion_tokens")),
            ),
            (
                400,
                "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
                with(|a| a.reasoning_placeholder = true),
            ),
            (400, "deepseek-reasoner does not support this tool_choice", with(|a| a.no_tool_choice = true)),
            (422, "unknown field stream_options", with(|a| a.no_stream_options = true)),
            (400, "Unexpected role 'system' after role 'user'", with(|a| a.system_as_reminder = true)),
            (400, "System message must be at the beginning.", with(|a| a.system_as_reminder = true)),
            (
                400,
                "unknown variant `image_url`, expected `text`: images unsupported",
                with(|a| a.no_images = true),
            ),
            (400, "Property 'reasoning_content' is unsupported", with(|a| a.no_reasoning = true)),
            (
                400,
                "This model's maximum context length is 32768 tokens. However, you requested 37000 tokens (5000 in the messages, 32000 in the completion).",
                with(|a| a.max_tokens = Some(27512)),
            ),
            (
                400,
                "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 32768 tokens and your request has 5000 input tokens (32000 > 32768 - 5000).",
                with(|a| a.max_tokens = Some(27512)),
            ),
            (
                400,
                "Conversation roles must alternate user/assistant/user/assistant/...",
                with(|a| a.merge_users = true),
            ),
            (
                400,
                "This model does not support response_format json_schema",
                with(|a| a.no_response_format = true),
            ),
            (
                400,
                "Unsupported parameter: 'stop' is not supported with this model.",
                with(|a| a.no_stop = true),
            ),
            (400, "Unsupported parameter: top_p", with(|a| a.no_top_p = true)),
            (400, "Unknown parameter: 'parallel_tool_calls'", with(|a| a.no_parallel = true)),
            (500, "max_tokens is too large", None),
            (400, "something else", None),
        ];
        for (status, message, expected) in cases {
            let error = UpstreamError { message: message.to_owned(), code: String::new() };
            let next = adjust(status, &error, &none);
            assert_eq!(next, expected, "{message}");
            if let Some(next) = next {
                assert_eq!(adjust(status, &error, &next), None, "{message} twice");
            }
        }
    }
}
