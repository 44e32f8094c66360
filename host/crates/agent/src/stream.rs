//! Claude Code's stream-json lines to events and to what is remembered of a pass. Reading
//! never fails: an unknown line is kept raw, a broken one as well.
//!
//! The built-in agent writes the same lines, so that one reader serves both.

use serde_json::Value;

use super::AgentEvent;

/// Most bytes of one line; what is longer is cut and then no JSON any more.
const LINE_MAX: usize = 4 << 20;
/// Most characters of a one-line event.
const EVENT_MAX: usize = 300;
/// Most commands remembered, and characters of each.
const COMMANDS_MAX: usize = 200;
const COMMAND_MAX: usize = 1000;
/// Most bytes remembered of the agent's last words.
const CLAIM_MAX: usize = 16 << 10;

/// Bytes to lines, however they were cut; holds at most `LINE_MAX` bytes.
#[derive(Debug, Default)]
pub struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// The lines that `bytes` completes, without their ends.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        // `split` gives at least one piece; the last one has no line end yet.
        let mut piece = pieces.next();
        while let Some(now) = piece {
            piece = pieces.next();
            let room = LINE_MAX - self.partial.len().min(LINE_MAX);
            self.partial.extend_from_slice(&now[..now.len().min(room)]);
            if piece.is_some() {
                lines.extend(self.finish());
            }
        }
        lines
    }

    /// The line that had no end.
    pub fn finish(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches('\r');
        (!text.is_empty()).then(|| text.to_owned())
    }
}

/// The last line of a pass: what it came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultLine {
    /// `success`, `error_max_turns`, … ; errors of the API also carry `success`.
    pub subtype: String,
    /// The pass failed.
    pub is_error: bool,
    /// `completed`, `api_error`, `max_turns`, `prompt_too_long`, …
    pub terminal_reason: String,
    /// The gateway's status, after an error of the API.
    pub api_error_status: Option<u16>,
    /// The final text.
    pub text: String,
    /// Further texts of what went wrong.
    pub errors: Vec<String>,
}

/// What is remembered of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    /// The conversation.
    pub session: Option<String>,
    /// Its version as the program names it.
    pub version: Option<String>,
    /// Requests to the model, as far as the lines tell.
    pub turns: u32,
    /// Tools called.
    pub tool_calls: u32,
    /// Calls that were refused.
    pub permission_denials: u32,
    /// Command lines that the agent ran.
    pub commands: Vec<String>,
    /// The last text of the model.
    pub last_text: String,
    /// Present when the program finished by itself.
    pub result: Option<ResultLine>,
    pub(super) last_message: Option<String>,
}

impl Transcript {
    /// Takes one line in; the events that it holds, the raw line first.
    pub fn line(&mut self, line: &str) -> Vec<AgentEvent> {
        let mut events = vec![AgentEvent::Raw(line.to_owned())];
        if let Ok(value) = serde_json::from_str::<Value>(line) {
            match text(&value, "type") {
                "system" => self.system(&value, &mut events),
                "assistant" => self.assistant(&value, &mut events),
                "user" => user(&value, &mut events),
                "result" => self.result(&value, &mut events),
                _ => {}
            }
        }
        events
    }

    fn system(&mut self, value: &Value, events: &mut Vec<AgentEvent>) {
        match text(value, "subtype") {
            "init" => {
                self.version =
                    some_text(value, "claude_code_version").or_else(|| some_text(value, "version"));
                self.session(value, events);
            }
            "permission_denied" => {
                self.permission_denials = self.permission_denials.saturating_add(1);
                events.push(AgentEvent::ToolError(one_line(&format!(
                    "{} was refused: {}",
                    text(value, "tool_name"),
                    text(value, "decision_reason")
                ))));
            }
            "api_retry" => {
                let status = value.get("error_status").and_then(Value::as_u64);
                let status =
                    status.map_or_else(|| text(value, "error").to_owned(), |status| status.to_string());
                events.push(AgentEvent::Note(one_line(&format!("the agent asks again after {status}"))));
            }
            _ => {}
        }
    }

    fn session(&mut self, value: &Value, events: &mut Vec<AgentEvent>) {
        if let Some(session) = some_text(value, "session_id").filter(|id| self.session.as_ref() != Some(id)) {
            events.push(AgentEvent::Session(session.clone()));
            self.session = Some(session);
        }
    }

    fn assistant(&mut self, value: &Value, events: &mut Vec<AgentEvent>) {
        let message = &value["message"];
        // Claude Code writes one line a content block, all with the message's id.
        let id = some_text(message, "id");
        if id.is_none() || id != self.last_message {
            self.turns = self.turns.saturating_add(1);
            self.last_message = id;
        }
        for block in message["content"].as_array().into_iter().flatten() {
            match text(block, "type") {
                "text" => {
                    self.last_text = cut(text(block, "text"), CLAIM_MAX).to_owned();
                    events.push(AgentEvent::Text(self.last_text.clone()));
                }
                "tool_use" => self.tool_use(block, events),
                _ => {}
            }
        }
    }

    fn tool_use(&mut self, block: &Value, events: &mut Vec<AgentEvent>) {
        self.tool_calls = self.tool_calls.saturating_add(1);
        let (name, input) = (text(block, "name"), &block["input"]);
        if name == "Bash" && self.commands.len() < COMMANDS_MAX {
            self.commands.push(cut(text(input, "command"), COMMAND_MAX).to_owned());
        }
        let about = ["command", "file_path", "path", "pattern"].iter().find_map(|key| some_text(input, key));
        events.push(AgentEvent::Tool(one_line(&format!("{name} {}", about.unwrap_or_default()))));
    }

    fn result(&mut self, value: &Value, events: &mut Vec<AgentEvent>) {
        self.session(value, events);
        if let Some(turns) = value.get("num_turns").and_then(Value::as_u64) {
            self.turns = u32::try_from(turns).unwrap_or(u32::MAX);
        }
        if let Some(denials) = value.get("permission_denials").and_then(Value::as_array) {
            self.permission_denials =
                self.permission_denials.max(u32::try_from(denials.len()).unwrap_or(u32::MAX));
        }
        let errors = value["errors"].as_array().into_iter().flatten().filter_map(Value::as_str);
        self.result = Some(ResultLine {
            subtype: text(value, "subtype").to_owned(),
            is_error: value["is_error"].as_bool().unwrap_or(false),
            terminal_reason: text(value, "terminal_reason").to_owned(),
            api_error_status: value["api_error_status"]
                .as_u64()
                .and_then(|status| u16::try_from(status).ok()),
            text: cut(text(value, "result"), CLAIM_MAX).to_owned(),
            errors: errors.take(10).map(one_line).collect(),
        });
    }

    /// What the agent says it has done.
    pub fn claim(&self) -> &str {
        match &self.result {
            Some(result) if !result.text.is_empty() => &result.text,
            _ => &self.last_text,
        }
    }
}

fn user(value: &Value, events: &mut Vec<AgentEvent>) {
    for block in value["message"]["content"].as_array().into_iter().flatten() {
        if text(block, "type") == "tool_result" && block["is_error"].as_bool() == Some(true) {
            let content = match &block["content"] {
                Value::String(content) => content.clone(),
                Value::Array(parts) => {
                    parts.iter().map(|part| text(part, "text")).collect::<Vec<_>>().join(" ")
                }
                _ => String::new(),
            };
            events.push(AgentEvent::ToolError(one_line(&content)));
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn some_text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The first `max` bytes, on a character's border.
pub(super) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// One line without control characters, cut.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > EVENT_MAX {
            return format!("{}…", cut(&line, EVENT_MAX));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RUN: &str = r#"{"type":"system","subtype":"ui_invalidate"}
{"type":"system","subtype":"init","session_id":"s1","claude_code_version":"2.1.330"}
{"type":"assistant","message":{"id":"m1","content":[{"type":"text","text":"I look."}]}}
{"type":"assistant","message":{"id":"m1","content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"npm\ntest"}}]}}
{"type":"system","subtype":"permission_denied","tool_name":"Bash","decision_reason":"This command requires approval"}
{"type":"user","message":{"content":[{"type":"tool_result","is_error":true,"content":"This command requires approval"}]}}
not json
{"type":"assistant","message":{"id":"m2","content":[{"type":"text","text":"Done."}]}}
{"type":"result","subtype":"success","is_error":false,"num_turns":2,"result":"Done.","terminal_reason":"completed","session_id":"s1","permission_denials":[{}]}"#;

    #[test]
    fn a_run() {
        let mut transcript = Transcript::default();
        let events: Vec<AgentEvent> = RUN
            .lines()
            .flat_map(|line| transcript.line(line))
            .filter(|event| !matches!(event, AgentEvent::Raw(_)))
            .collect();
        use AgentEvent::{Session, Text, Tool, ToolError};
        assert_eq!(
            events,
            [
                Session("s1".into()),
                Text("I look.".into()),
                Tool("Bash npm test".into()),
                ToolError("Bash was refused: This command requires approval".into()),
                ToolError("This command requires approval".into()),
                Text("Done.".into()),
            ]
        );
        assert_eq!((transcript.turns, transcript.tool_calls, transcript.permission_denials), (2, 1, 1));
        assert_eq!(transcript.commands, ["npm\ntest"]);
        assert_eq!(transcript.claim(), "Done.");
        assert_eq!(transcript.result.map(|result| result.terminal_reason), Some("completed".into()));
    }

    #[test]
    fn an_endless_line_takes_no_endless_memory() {
        let mut lines = Lines::default();
        for _ in 0..20 {
            assert!(lines.push(&[b'x'; 1 << 20]).is_empty());
        }
        assert_eq!(lines.push(b"\nnext\n").iter().map(String::len).collect::<Vec<_>>(), [LINE_MAX, 4]);
    }

    proptest! {
        /// Whatever comes, in whatever pieces: no panic, and the same lines.
        #[test]
        fn any_bytes_in_any_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..400), size in 1usize..50) {
            let mut whole = Lines::default();
            let mut expected = whole.push(&bytes);
            expected.extend(whole.finish());
            let mut pieces = Lines::default();
            let mut got: Vec<String> = bytes.chunks(size).flat_map(|piece| pieces.push(piece)).collect();
            got.extend(pieces.finish());
            prop_assert_eq!(&got, &expected);
            let mut transcript = Transcript::default();
            for line in got {
                transcript.line(&line);
            }
        }

        /// A known line with any part replaced by anything is read without a panic.
        #[test]
        fn damaged_lines(n in 0usize..9, at in 0usize..200, with in ".{0,20}") {
            let line = RUN.lines().nth(n).unwrap_or_default();
            let at = line.floor_char_boundary(at.min(line.len()));
            Transcript::default().line(&format!("{}{with}{}", &line[..at], &line[at..]));
            Transcript::default().line(&line[..at]);
        }
    }
}
