//! The loop of the built-in agent: ask the model, run its tools, tell it what they gave.
//! Runs in the contained child process.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::Task;
use super::tools::{self, Refusal};

/// Most bytes of one answer of the adapter.
const ANSWER_MAX: usize = 16 << 20;
/// Output tokens of one answer.
const MAX_TOKENS: u32 = 8192;
/// How often a cut answer is asked to go on.
const CONTINUATIONS: u32 = 3;

const SYSTEM: &str = "You are a coding agent working without a person to ask. Work in the given directory with \
the given tools: look first, make the smallest change that does the task, run the checks that you may run, and stop \
when it is done. Then say in one or two sentences what you changed. Do not claim what you have not seen.";

/// Why a pass ended.
struct Ending {
    subtype: &'static str,
    terminal_reason: &'static str,
    status: Option<u16>,
    text: String,
    errors: Vec<String>,
}

impl Ending {
    fn done(text: String) -> Self {
        Ending { subtype: "success", terminal_reason: "completed", status: None, text, errors: Vec::new() }
    }

    fn api(status: Option<u16>, text: String) -> Self {
        let too_long = text.contains("prompt is too long") || status == Some(413);
        let terminal_reason = if too_long { "prompt_too_long" } else { "api_error" };
        Ending {
            subtype: "success",
            terminal_reason,
            status,
            text: format!("API Error: {text}"),
            errors: Vec::new(),
        }
    }

    fn is_error(&self) -> bool {
        self.terminal_reason != "completed"
    }
}

/// Works on `task` to its end and writes the lines to `out`. True when it ended by itself.
pub async fn work(task: &Task, out: &mut (impl Write + Send)) -> std::io::Result<bool> {
    let mut run =
        Run { task, out, session: String::new(), messages: Vec::new(), turns: 0, denials: Vec::new() };
    let ending = match run.open() {
        Ok(()) => {
            run.say(
                &json!({"type": "system", "subtype": "init", "session_id": run.session, "model": task.model,
                "cwd": task.cwd, "version": env!("CARGO_PKG_VERSION")}),
            )?;
            run.converse().await?
        }
        Err(error) => Ending {
            subtype: "error_during_execution",
            terminal_reason: "conversation",
            status: None,
            text: String::new(),
            errors: vec![error],
        },
    };
    let is_error = ending.is_error();
    run.say(
        &json!({"type": "result", "subtype": ending.subtype, "is_error": is_error, "num_turns": run.turns,
        "terminal_reason": ending.terminal_reason, "api_error_status": ending.status, "result": ending.text,
        "errors": ending.errors, "session_id": run.session, "permission_denials": run.denials}),
    )?;
    Ok(!is_error)
}

struct Run<'a, W> {
    task: &'a Task,
    out: &'a mut W,
    session: String,
    messages: Vec<Value>,
    turns: u32,
    denials: Vec<Value>,
}

impl<W: Write + Send> Run<'_, W> {
    fn say(&mut self, line: &Value) -> std::io::Result<()> {
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// Starts a conversation or reads the one to go on with.
    fn open(&mut self) -> Result<(), String> {
        match &self.task.session {
            Some(session) => {
                if !session.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(format!("there is no conversation {session}"));
                }
                self.session = session.clone();
                let text =
                    std::fs::read(self.file()).map_err(|error| format!("read the conversation: {error}"))?;
                self.messages = serde_json::from_slice(&text)
                    .map_err(|error| format!("read the conversation: {error}"))?;
            }
            None => {
                self.session = model::hex::random(16).map_err(|error| error.to_string())?;
            }
        }
        self.add(json!({"role": "user", "content": [{"type": "text", "text": self.task.prompt}]}));
        Ok(())
    }

    fn file(&self) -> PathBuf {
        self.task.home.join("builtin").join(format!("{}.json", self.session))
    }

    /// Adds a message; two of the same role in a row become one, as the wire wants it.
    fn add(&mut self, message: Value) {
        match self.messages.last_mut() {
            Some(last) if last["role"] == message["role"] => {
                if let (Some(to), Some(from)) =
                    (last["content"].as_array_mut(), message["content"].as_array())
                {
                    to.extend(from.iter().cloned());
                }
            }
            _ => self.messages.push(message),
        }
    }

    /// Keeps the conversation for a later pass; losing it is no reason to end this one.
    fn save(&self) {
        let file = self.file();
        let made = file.parent().map(std::fs::create_dir_all);
        if let (Some(Ok(())), Ok(text)) = (made, serde_json::to_vec(&self.messages)) {
            let fresh = file.with_extension("new");
            let _ = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &file));
        }
    }

    async fn converse(&mut self) -> std::io::Result<Ending> {
        // Plain HTTP to loopback only, but the client wants a TLS provider to exist. A second
        // installation is refused, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = match reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(1800)).build() {
            Ok(client) => client,
            Err(error) => return Ok(Ending::api(None, error.to_string())),
        };
        let mut continuations = 0;
        loop {
            if self.turns >= self.task.max_turns {
                return Ok(Ending {
                    subtype: "error_max_turns",
                    terminal_reason: "max_turns",
                    status: None,
                    text: String::new(),
                    errors: vec![format!("Reached maximum number of turns ({})", self.task.max_turns)],
                });
            }
            let message = match self.ask(&client).await {
                Ok(message) => message,
                Err(ending) => return Ok(ending),
            };
            self.turns += 1;
            let content: Vec<Value> = message["content"].as_array().cloned().unwrap_or_default();
            self.say(&json!({"type": "assistant", "session_id": self.session,
                "message": {"id": message["id"], "role": "assistant", "content": content}}))?;
            // What the wire wants back: no empty text, no thinking.
            let kept: Vec<Value> = content
                .iter()
                .filter(|block| {
                    block["type"] == "tool_use" || block["text"].as_str().is_some_and(|text| !text.is_empty())
                })
                .cloned()
                .collect();
            if !kept.is_empty() {
                self.add(json!({"role": "assistant", "content": kept}));
            }
            let calls: Vec<&Value> = content.iter().filter(|block| block["type"] == "tool_use").collect();
            if calls.is_empty() {
                self.save();
                if message["stop_reason"] == "max_tokens" && continuations < CONTINUATIONS {
                    continuations += 1;
                    self.add(json!({"role": "user", "content": [{"type": "text", "text": "Go on where you were cut off."}]}));
                    continue;
                }
                let texts: Vec<&str> = content.iter().filter_map(|block| block["text"].as_str()).collect();
                return Ok(Ending::done(texts.join("\n")));
            }
            let mut results = Vec::new();
            for call in calls {
                results.push(self.run_tool(call).await?);
            }
            self.say(&json!({"type": "user", "session_id": self.session, "message": {"role": "user", "content": results}}))?;
            self.add(json!({"role": "user", "content": results}));
            self.save();
        }
    }

    async fn run_tool(&mut self, call: &Value) -> std::io::Result<Value> {
        let (name, input) = (call["name"].as_str().unwrap_or_default(), &call["input"]);
        let (text, is_error) = match tools::call(self.task, name, input).await {
            Ok(text) => (text, false),
            Err(Refusal::Failed(text)) => (text, true),
            Err(Refusal::Denied(text)) => {
                self.say(&json!({"type": "system", "subtype": "permission_denied", "tool_name": name,
                    "tool_use_id": call["id"], "decision_reason": text, "session_id": self.session}))?;
                self.denials.push(json!({"tool_name": name, "tool_use_id": call["id"]}));
                (text, true)
            }
        };
        Ok(json!({"type": "tool_result", "tool_use_id": call["id"], "content": text, "is_error": is_error}))
    }

    /// One request. The adapter retries what can be retried; an error here is final.
    async fn ask(&self, client: &reqwest::Client) -> Result<Value, Ending> {
        let system = format!("{SYSTEM}\nThe working directory is {}.", self.task.cwd.display());
        let body = json!({"model": self.task.model, "max_tokens": MAX_TOKENS, "stream": false, "system": system,
            "messages": self.messages, "tools": tools::definitions(self.task)});
        let request = client
            .post(format!("{}/v1/messages", self.task.base_url.trim_end_matches('/')))
            .bearer_auth(&self.task.token)
            .header("anthropic-version", "2023-06-01")
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = request.send().await.map_err(|error| Ending::api(None, chain(&error)))?;
        let status = answer.status();
        let mut bytes = Vec::new();
        let mut answer = answer;
        while let Some(chunk) = answer.chunk().await.map_err(|error| Ending::api(None, chain(&error)))? {
            if bytes.len() + chunk.len() > ANSWER_MAX {
                return Err(Ending::api(None, format!("the answer has more than {ANSWER_MAX} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        let value: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if !status.is_success() {
            let text = value["error"]["message"].as_str().map(str::to_owned);
            let text = text.unwrap_or_else(|| String::from_utf8_lossy(&bytes).chars().take(300).collect());
            return Err(Ending::api(Some(status.as_u16()), format!("{} {text}", status.as_u16())));
        }
        if !value["content"].is_array() {
            return Err(Ending::api(None, "the answer is no message".into()));
        }
        Ok(value)
    }
}

/// An error with its causes, which reqwest leaves out of its own text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
