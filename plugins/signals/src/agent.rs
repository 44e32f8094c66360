//! The agent's own final event: what it says about how it ended, not what it claims to
//! have done. The last one counts: earlier ones may quote another run's errors.

use codex_worker_policy::Signal;
use serde_json::Value;

use crate::text::{add, failure, signal};

/// Claude Code's `result` event, or the end of `codex exec --json`. `passed` is 1 when the
/// agent ended by itself and without an error; `errors` is 1 otherwise; `skipped` counts
/// tool calls that were not permitted.
pub fn parse(output: &str, exit_code: Option<i32>) -> Option<Signal> {
    let mut last: Option<Signal> = None;
    if let Ok(value) = serde_json::from_str::<Value>(output.trim()) {
        last = event(&value, exit_code);
    } else {
        for line in output.lines().map(str::trim).filter(|line| line.starts_with('{')) {
            if !line.contains("\"result\"") && !line.contains("\"turn.") && !line.contains("\"error\"") {
                continue;
            }
            if let Ok(value) = serde_json::from_str::<Value>(line)
                && let Some(found) = event(&value, exit_code)
            {
                last = Some(found);
            }
        }
    }
    last
}

fn event(value: &Value, exit_code: Option<i32>) -> Option<Signal> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    match text("type") {
        "result" => {
            let denials = value
                .get("permission_denials")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let status = value.get("api_error_status").filter(|status| !status.is_null());
            // An error of the API comes as `success` with `is_error`, in some versions
            // with exit code 0.
            let failed = value.get("is_error") == Some(&Value::Bool(true))
                || text("subtype") != "success"
                || status.is_some()
                || exit_code.is_some_and(|code| code != 0);
            let mut found = signal(
                "claude-code",
                u32::from(!failed),
                0,
                denials.len().min(1_000_000) as u32,
                u32::from(failed),
            );
            if failed {
                let id = match status {
                    Some(status) => format!("api-error-{status}"),
                    None if text("subtype") == "success" => "error".to_string(),
                    None => text("subtype").to_string(),
                };
                let errors =
                    value.get("errors").and_then(Value::as_array).and_then(|list| list.first()?.as_str());
                add(&mut found, failure(&id, None, errors.unwrap_or(text("result"))));
            }
            for denial in denials {
                let tool = denial.get("tool_name").and_then(Value::as_str).unwrap_or("tool");
                let input = denial.get("tool_input").map(ToString::to_string).unwrap_or_default();
                add(&mut found, failure(&format!("permission-denied {tool}"), None, &input));
            }
            Some(found)
        }
        "turn.completed" => {
            let failed = exit_code.is_some_and(|code| code != 0);
            Some(signal("codex", u32::from(!failed), 0, 0, u32::from(failed)))
        }
        "turn.failed" | "error" => {
            let mut found = signal("codex", 0, 0, 0, 1);
            let message = value.get("error").and_then(|error| error.get("message")).and_then(Value::as_str);
            add(&mut found, failure(text("type"), None, message.unwrap_or(text("message"))));
            Some(found)
        }
        _ => None,
    }
}
