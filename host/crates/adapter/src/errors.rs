//! The Anthropic error with the type and status that Claude Code acts on.

use std::time::Duration;

use gateway::Failed;
use gateway::retry::Failure;

/// An error for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// Anthropic's error type.
    pub kind: &'static str,
    /// For a person.
    pub message: String,
    /// For the `retry-after` header.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// An error with the type that belongs to `status`.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        ApiError { status, kind: kind_of(status), message: message.into(), retry_after: None }
    }

    /// A request that we refuse.
    pub fn invalid(message: impl Into<String>) -> Self {
        ApiError::new(400, message)
    }

    /// The error document.
    pub fn body(&self) -> Vec<u8> {
        serde_json::json!({"type": "error", "error": {"type": self.kind, "message": self.message}})
            .to_string()
            .into_bytes()
    }
}

impl From<&Failed> for ApiError {
    fn from(failed: &Failed) -> Self {
        let message = failed.message.as_str();
        let error = match failed.failure {
            Failure::Connect | Failure::Cut | Failure::Malformed => ApiError::new(502, message),
            Failure::HeaderTimeout | Failure::Idle => ApiError::new(504, message),
            Failure::Open(_) => ApiError::new(529, message),
            Failure::Unavailable(status) | Failure::Final(status) => ApiError::new(status, message),
            Failure::RateLimited => ApiError::new(429, message),
            Failure::NotFound => ApiError::new(404, message),
            // Claude Code repeats a 422 six times.
            Failure::Invalid(422) => ApiError::new(400, message),
            Failure::Invalid(status) => ApiError::new(status, message),
            // Claude Code knows this wording and compacts; see docs/adapter.md.
            Failure::TooLong { asked: Some(asked), limit: Some(limit) } => {
                ApiError::invalid(format!("prompt is too long: {asked} tokens > {limit} maximum"))
            }
            Failure::TooLong { .. } => ApiError::invalid(format!("prompt is too long: {message}")),
        };
        ApiError { retry_after: failed.retry_after, ..error }
    }
}

/// Anthropic's error type for a status.
pub fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway::refusal::UpstreamError;

    #[test]
    fn classes() {
        let cases: &[(u16, &str, u16, &str, &str)] = &[
            (
                400,
                r#"{"error":{"message":"This model's maximum context length is 131072 tokens. However, you requested 140000 tokens (138000 in the messages, 2000 in the completion).","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
                400,
                "invalid_request_error",
                "prompt is too long: 140000 tokens > 131072 maximum",
            ),
            (
                400,
                r#"{"object":"error","message":"The input (233781 tokens) is longer than the model's context length (202752 tokens).","code":400}"#,
                400,
                "invalid_request_error",
                "prompt is too long: 233781 tokens > 202752 maximum",
            ),
            (422, r#"{"detail":"bad field"}"#, 400, "invalid_request_error", "bad field"),
            (401, r#"{"error":"no key"}"#, 401, "authentication_error", "no key"),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
                402,
                "billing_error",
                "You exceeded your current quota",
            ),
            (429, r#"{"error":{"message":"slow down"}}"#, 429, "rate_limit_error", "slow down"),
            (503, "<html><body><h1>503 Busy</h1></body></html>", 503, "overloaded_error", "503 Busy"),
            (500, "", 500, "api_error", ""),
            (404, r#"[{"error":{"message":"no model"}}]"#, 404, "not_found_error", "no model"),
        ];
        for (status, body, out, kind, message) in cases {
            let error = ApiError::from(&Failed::upstream(*status, &UpstreamError::parse(body.as_bytes())));
            assert_eq!((error.status, error.kind, error.message.as_str()), (*out, *kind, *message), "{body}");
        }
    }
}
