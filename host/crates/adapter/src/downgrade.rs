//! Capability downgrades: a gateway that says which part of a request it does not take gets
//! the request once more without it. What holds for the model is remembered, what holds for
//! this one request is not, and a number counts only if the gateway named it.

use std::sync::{Arc, LazyLock};

use regex::Regex;

use gateway::Target;
use gateway::refusal::UpstreamError;

use super::profiles::{AnswerFormat, Capabilities, MaxTokens, Profile, Replay, SystemRole, ThinkingStyle};

/// What to change after a refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Downgrade {
    /// The profile from now on.
    pub profile: Profile,
    /// It holds for every request to the model; else for this request alone.
    pub lasting: bool,
}

static UPPER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:[\[(]\s*\d+\s*,\s*(\d[\d,_]*)\s*[\])]|(?:less than or equal to|less than|at most|<=?|≤|maximum|",
        r"max(?:imum)?(?: allowed)?(?: value)?|up to|limit|supports|exceeds?|above|between \d+ and|range \d+\s*[-–~]|",
        r"higher than|greater than the)(?:\s+(?:value|limit|allowed|of|is|only|the|model'?s|output|completion|tokens?))*",
        r"[\s:`'(=]*(\d[\d,_]*))"
    ))
    .ok()
});

static LOWER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(?:[\[(]\s*(\d[\d,_]*)\s*,\s*\d+\s*[\])]|(?:greater than or equal to|at least|>=|≥|no less than|minimum)",
        r"(?:\s+(?:value|of|is|allowed))*[\s:`'(=]*(\d[\d,_]*)|between (\d[\d,_]*) and|greater than (\d[\d,_]*))"
    ))
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

/// A refusal that is about a tool's JSON Schema.
static SCHEMA: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)invalid schema|schema for function|json[ _-]?schema|input_schema|function_declarations|",
        r"function'?\]?\.parameters|tools?\[\d+\][^ ]*parameters|parameters? schema|missing items|",
        r"should be non-?empty for object|failed to (?:compile|parse|convert) (?:the )?(?:grammar|tool|schema)|",
        r"unsupported schema|schema (?:is|contains|must|does|type)|tool schema|at the top level"
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

/// The first number that a pattern finds and that fits.
fn stated(pattern: &LazyLock<Option<Regex>>, message: &str, fits: impl Fn(u64) -> bool) -> Option<u64> {
    let numbers = pattern.as_ref()?.captures_iter(message).flat_map(|found| {
        let groups: Vec<u64> = found
            .iter()
            .skip(1)
            .flatten()
            .filter_map(|m| m.as_str().replace([',', '_'], "").parse().ok())
            .collect();
        groups
    });
    numbers.into_iter().find(|n| fits(*n))
}

/// What is asked for when a request's own few tokens are not enough to answer at all.
const ROOM_TO_ANSWER: [u64; 2] = [1024, 8192];
/// What is asked for when a gateway says "too many" and no number.
const CAUTIOUS: u64 = 8192;

fn limit_to(profile: &mut Profile, limit: u64) {
    profile.max_tokens = vec![MaxTokens { models: "*".to_owned(), limit }];
}

/// A refusal of the number of output tokens. `sent` is what was asked for.
fn output_tokens(lower: &str, message: &str, sent: u64, next: &mut Profile) -> Option<bool> {
    if let Some(least) = stated(&LOWER, message, |n| n > sent && n <= 1 << 16) {
        next.min_tokens = least;
        return Some(true);
    }
    let too_few =
        ["higher max_tokens", "limit was reached", "below minimum", "too small", "too low", "increase"];
    if too_few.iter().any(|words| lower.contains(words)) {
        // How many it takes depends on the conversation.
        next.min_tokens = ROOM_TO_ANSWER.into_iter().find(|room| *room > sent)?;
        return Some(false);
    }
    if let Some(most) = stated(&UPPER, message, |n| n > 0 && n < sent) {
        limit_to(next, most);
        return Some(true);
    }
    let too_many = ["too large", "too high", "too big", "exceed", "maximum", "out of range", "must be less"];
    if sent > CAUTIOUS && too_many.iter().any(|words| lower.contains(words)) {
        limit_to(next, CAUTIOUS);
        return Some(false);
    }
    None
}

/// What to change after a refusal with status 400, 404, 415 or 422; none when it says nothing
/// new. `sent` is the number of output tokens that was asked for.
pub fn downgrade(
    status: u16,
    error: &UpstreamError,
    profile: &Profile,
    sent: Option<u64>,
) -> Option<Downgrade> {
    if !matches!(status, 400 | 404 | 415 | 422) {
        return None;
    }
    let lower = format!("{} {}", error.code, error.message).to_ascii_lowercase();
    let mut next = profile.clone();
    let lasting = change(&lower, &error.message, sent.unwrap_or(u64::MAX), &mut next)?;
    (next != *profile).then_some(Downgrade { profile: next, lasting })
}

/// Remembers what a refusal says about a route; gives the profile for the request's next try,
/// none when there is nothing to change.
pub fn learn(
    capabilities: &Capabilities,
    target: &Target<'_>,
    (status, error): (u16, &UpstreamError),
    (profile, sent): (&Profile, Option<u64>),
) -> Option<Arc<Profile>> {
    let next = downgrade(status, error, profile, sent)?;
    tracing::info!(model = %target.route.model, message = %error.message, lasting = next.lasting, "a capability downgrade");
    // The request's own profile may have what holds for it alone.
    if next.lasting
        && let Some(shared) = downgrade(status, error, &capabilities.of(target), sent)
    {
        capabilities.downgrade(target.route, Arc::new(shared.profile));
    }
    Some(Arc::new(next.profile))
}

/// Changes the profile; says whether that lasts, and nothing when there is nothing to change.
fn change(lower: &str, message: &str, sent: u64, next: &mut Profile) -> Option<bool> {
    const REFUSES: &[&str] = &[
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
        "unavailable",
        "not available",
    ];
    let has = |needle: &str| lower.contains(needle);
    let refuses = REFUSES.iter().any(|words| has(words));
    let names_output =
        ["max_tokens", "max_completion_tokens", "max_new_tokens", "maxoutputtokens", "max_output_tokens"];
    if let Some(left) = room_left(message) {
        // The conversation grows: the next request has another room.
        limit_to(
            next,
            next.max_tokens.first().filter(|m| m.models == "*").map_or(left, |m| left.min(m.limit)),
        );
        return Some(false);
    }
    if has("response_format") || has("output_format") || has("structured output") {
        next.answer_format = match next.answer_format {
            AnswerFormat::JsonSchema if has("json_object") => AnswerFormat::JsonObject,
            _ => AnswerFormat::Prompt,
        };
    } else if SCHEMA.as_ref().is_some_and(|r| r.is_match(message)) {
        // First, because the place that it names may be called anything.
        next.schema = next.schema.stricter()?;
    } else if has("max_tokens") && has("max_completion_tokens") && has("instead") {
        // "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        let wants_new = lower.rfind("max_completion_tokens") > lower.rfind("'max_tokens'");
        next.max_tokens_name = if wants_new { "max_completion_tokens" } else { "max_tokens" }.to_owned();
    } else if names_output.iter().any(|name| has(name)) {
        return output_tokens(lower, message, sent, next);
    } else if has("reasoning_content") && (has("missing") || has("must be") || has("required")) {
        next.reasoning_required = true;
        if next.reasoning_replay == Replay::Never {
            next.reasoning_replay = Replay::ToolTurns;
        }
    } else if has("tool_choice") {
        next.tool_choice_forced = false;
    } else if has("stream_options") || has("include_usage") {
        next.stream_options = false;
    } else if has("alternate") {
        next.merge_users = true;
    } else if has("top_p") && refuses {
        next.top_p = false;
    } else if (has("'stop'") || has("\"stop\"") || has("`stop`")) && refuses {
        next.stop_max = 0;
    } else if has("parallel_tool_calls") {
        next.parallel_tool_calls = false;
    } else if has("reasoning_content") || (has("'reasoning'") || has("\"reasoning\"")) && refuses {
        next.reasoning_replay = Replay::Never;
        next.reasoning_required = false;
    } else if has("thinking") && refuses || has("enable_thinking") || has("reasoning_effort") {
        next.thinking = ThinkingStyle::None;
    } else if has("temperature") && refuses {
        next.temperature = false;
    } else if (has("image") || has("vision") || has("multimodal")) && refuses {
        next.images = false;
    } else if has("system")
        && (has("role") || has("beginning") || has("first message") || has("message"))
        && (refuses || has("beginning"))
    {
        next.system_role = SystemRole::Reminder;
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Dialect;

    fn error(message: &str) -> UpstreamError {
        UpstreamError { message: message.to_owned(), code: String::new() }
    }

    #[test]
    fn refusals_and_what_is_changed() {
        let none = Profile::default();
        let with = |change: fn(&mut Profile)| {
            let mut next = Profile::default();
            change(&mut next);
            Some(next)
        };
        let cases: Vec<(u16, &str, Option<Profile>)> = vec![
            (
                400,
                "max_tokens is too large: 32000. This model supports at most 8192 completion tokens",
                with(|p| limit_to(p, 8192)),
            ),
            (
                400,
                "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
                with(|p| limit_to(p, 8192)),
            ),
            (
                400,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                with(|p| p.max_tokens_name = "max_completion_tokens".to_owned()),
            ),
            (
                400,
                "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2",
                with(|p| p.reasoning_required = true),
            ),
            (
                400,
                "deepseek-reasoner does not support this tool_choice",
                with(|p| p.tool_choice_forced = false),
            ),
            (422, "unknown field stream_options", with(|p| p.stream_options = false)),
            (
                400,
                "Unexpected role 'system' after role 'user'",
                with(|p| p.system_role = SystemRole::Reminder),
            ),
            (400, "System message must be at the beginning.", with(|p| p.system_role = SystemRole::Reminder)),
            (
                400,
                "unknown variant `image_url`, expected `text`: images unsupported",
                with(|p| p.images = false),
            ),
            (
                400,
                "Property 'reasoning_content' is unsupported",
                with(|p| p.reasoning_replay = Replay::Never),
            ),
            (
                400,
                "This model's maximum context length is 32768 tokens. However, you requested 37000 tokens (5000 in the messages, 32000 in the completion).",
                with(|p| limit_to(p, 27512)),
            ),
            (
                400,
                "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 32768 tokens and your request has 5000 input tokens (32000 > 32768 - 5000).",
                with(|p| limit_to(p, 27512)),
            ),
            (
                400,
                "Conversation roles must alternate user/assistant/user/assistant/...",
                with(|p| p.merge_users = true),
            ),
            (
                400,
                "This model does not support response_format json_schema",
                with(|p| p.answer_format = AnswerFormat::Prompt),
            ),
            (
                400,
                "Unsupported parameter: 'stop' is not supported with this model.",
                with(|p| p.stop_max = 0),
            ),
            (400, "Unsupported parameter: top_p", with(|p| p.top_p = false)),
            (400, "Unknown parameter: 'parallel_tool_calls'", with(|p| p.parallel_tool_calls = false)),
            (500, "max_tokens is too large", None),
            (400, "something else", None),
        ];
        for (status, message, expected) in cases {
            let error = error(message);
            let next = downgrade(status, &error, &none, Some(32_000)).map(|d| d.profile);
            assert_eq!(next, expected, "{message}");
            if let Some(next) = next {
                let sent = next.limit_for("m").unwrap_or(32_000);
                assert_eq!(downgrade(status, &error, &next, Some(sent)), None, "{message} twice");
            }
        }
    }

    #[test]
    fn an_answer_format_goes_down_step_by_step() {
        let refusal = error("response_format: only json_object is supported");
        let mut profile = Profile::default();
        let mut steps = Vec::new();
        while let Some(next) = downgrade(400, &refusal, &profile, None) {
            profile = next.profile;
            steps.push(profile.answer_format);
        }
        assert_eq!(steps, [AnswerFormat::JsonObject, AnswerFormat::Prompt]);
    }

    /// What was sent, the gateway's words, then the next limits (fewest, most) and whether they
    /// last.
    #[test]
    fn numbers_count_when_they_were_named() {
        let cases: &[(u64, &str, Option<(u64, Option<u64>, bool)>)] = &[
            // Probes.
            (
                1,
                "Could not finish the message because max_tokens or model output limit was reached. Please try again with higher max_tokens.",
                Some((1024, None, false)),
            ),
            (
                1024,
                "Could not finish the message because max_tokens or model output limit was reached. Please try again with higher max_tokens.",
                Some((8192, None, false)),
            ),
            (
                32_000,
                "Could not finish the message because max_tokens or model output limit was reached. Please try again with higher max_tokens.",
                None,
            ),
            (
                1,
                "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead.",
                Some((16, None, true)),
            ),
            (1, "max_tokens must be at least 16", Some((16, None, true))),
            (1, "max_tokens: value must be greater than or equal to 4", Some((4, None, true))),
            (1, "max_tokens must be in the range [16, 4096]", Some((16, None, true))),
            (1, "max_tokens should be between 16 and 4096", Some((16, None, true))),
            (1, "max_tokens: too small", Some((1024, None, false))),
            (1, "max_tokens is invalid for this model", None),
            (1, "max_tokens is too large. This model supports at most 8192", None),
            // Limits.
            (32_000, "max_tokens (32000) exceeds the limit of 4096", Some((1, Some(4096), true))),
            (32_000, "max_tokens must be less than or equal to `16384`", Some((1, Some(16_384), true))),
            (32_000, "Range of max_tokens should be [1, 8192]", Some((1, Some(8192), true))),
            (32_000, "max_tokens should be between 1 and 4096", Some((1, Some(4096), true))),
            (32_000, "max_completion_tokens: 32000 > 8192, which is the maximum allowed", None),
            (32_000, "max_tokens: maximum value is 8,192", Some((1, Some(8192), true))),
            (32_000, "`max_tokens` must be <= 2048", Some((1, Some(2048), true))),
            (32_000, "max_tokens is too large", Some((1, Some(CAUTIOUS), false))),
            (4_000, "max_tokens is too large", None),
            (4_000, "max_tokens is too large: the limit is 8192", None),
        ];
        for (sent, message, expected) in cases {
            let found = downgrade(400, &error(message), &Profile::default(), Some(*sent));
            let got = found.map(|d| (d.profile.min_tokens, d.profile.limit_for("m"), d.lasting));
            if message.contains("which is the maximum allowed") {
                // The number is before its meaning: never taken for more than it is.
                assert!(got.is_none_or(|(_, most, _)| most.is_some_and(|m| m <= 8192)), "{message}: {got:?}");
                continue;
            }
            assert_eq!(got, *expected, "{sent}: {message}");
        }
    }

    /// Wordings of gateways that refuse a tool's schema, and ones that do not.
    #[test]
    fn schemas_are_refused_in_many_words() {
        let refused = [
            "Invalid schema for function 'x': In context=('properties', 'a'), array schema missing items.",
            "Invalid schema for function 'x': schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.",
            "Invalid schema for function 'x': True is not of type 'array'.",
            "Invalid JSON payload received. Unknown name \"const\" at 'tools[0].function_declarations[0].parameters.properties[0].value': Cannot find field.",
            "* GenerateContentRequest.tools[0].function_declarations[3].parameters.properties[a].items: missing field.",
            "* GenerateContentRequest.tools[0].function_declarations[0].parameters.properties: should be non-empty for OBJECT type",
            "tools.0.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12",
            "input_schema does not support oneOf, allOf, or anyOf at the top level",
            "Invalid 'tools[0].function.parameters': object expected",
            "Invalid schema for function 'x': In context=('properties', 'temperature'), array schema missing items.",
            "The provided JSON schema contains features not supported by xgrammar.",
            "Failed to compile grammar",
        ];
        for message in refused {
            let mut profile = Profile::default();
            let mut steps = Vec::new();
            while let Some(next) = downgrade(400, &error(message), &profile, Some(1000)) {
                assert!(next.lasting);
                profile = next.profile;
                steps.push(profile.schema);
            }
            assert_eq!(steps, [Dialect::Openai, Dialect::Common, Dialect::Described], "{message}");
        }
        for message in ["the model is busy", "messages: at least one message is required", "no such tool"] {
            assert_eq!(downgrade(400, &error(message), &Profile::default(), None), None, "{message}");
        }
    }
}
