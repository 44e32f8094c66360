//! `codex-worker scripted-gateway` (hidden): an OpenAI-compatible endpoint that plays a
//! written script instead of asking a model. The demo and the end-to-end tests run it as a
//! separate process; nothing else talks to it.
//!
//! The turn to play is the number of assistant messages already in the conversation, so a
//! repeated request gets the same answer and a resumed conversation goes on in the script.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};

use model::error::{Error, Kind, Result};

/// Arguments of `scripted-gateway`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The script: a JSON file with `turns` and `faults`.
    #[arg(long)]
    scenario: PathBuf,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Appends one JSON line a request: `{"turn","try","authorization","body"}`.
    #[arg(long)]
    log: Option<PathBuf>,
}

/// A script. Unknown keys are refused, so that a misspelt one is seen.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What to answer, in order; the last one is repeated.
    pub turns: Vec<Turn>,
    /// What goes wrong before an answer is given.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Leave token counts out.
    #[serde(default)]
    pub no_usage: bool,
}

/// One answer of the scripted model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Reasoning, sent as `reasoning_content`.
    #[serde(default)]
    pub think: String,
    /// Text.
    #[serde(default)]
    pub say: String,
    /// Tool calls, made at once.
    #[serde(default)]
    pub tools: Vec<Action>,
    /// Milliseconds to wait before the first byte.
    #[serde(default)]
    pub delay_ms: u64,
}

/// A tool call in terms of what it does; mapped to whichever tool the agent declares.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Reads a file.
    Read {
        /// Relative to the working directory.
        path: String,
    },
    /// Replaces a text in a file.
    Edit {
        /// Relative to the working directory.
        path: String,
        /// The text that is there, once.
        old: String,
        /// What comes instead.
        new: String,
    },
    /// Writes a whole file.
    Write {
        /// Relative to the working directory.
        path: String,
        /// All of it.
        content: String,
    },
    /// Runs a shell command.
    Run {
        /// The command line.
        command: String,
    },
    /// Sends these bytes as the call, whatever they are.
    Raw {
        /// The tool's name.
        name: String,
        /// The arguments, not necessarily JSON.
        arguments: String,
    },
}

/// What goes wrong on a turn, before its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The turn, counted from 0; every turn when absent.
    #[serde(default)]
    pub turn: Option<usize>,
    /// How many requests it hits.
    #[serde(default = "one")]
    pub times: u32,
    /// Answers with this status.
    #[serde(default)]
    pub status: Option<u16>,
    /// With this `Retry-After`.
    #[serde(default)]
    pub retry_after: Option<String>,
    /// And this body; an OpenAI-style error when absent.
    #[serde(default)]
    pub body: Option<String>,
    /// Or: cuts the connection after this many events (or pieces) of the true answer.
    #[serde(default)]
    pub cut_after: Option<usize>,
}

fn one() -> u32 {
    1
}

type Body = BoxBody<Bytes, std::io::Error>;

struct State {
    scenario: Scenario,
    /// Requests seen, by turn.
    tries: Mutex<HashMap<usize, u32>>,
    /// The last request's messages as text, to estimate what a prefix cache would hold.
    last: Mutex<String>,
    log: Option<Mutex<std::fs::File>>,
}

/// Serves until it is killed. Prints `listening on http://…/v1` first.
pub fn run(args: Args) -> Result<()> {
    let text = std::fs::read_to_string(&args.scenario).map_err(|e| {
        Error::new(Kind::Usage, format!("cannot read the script {}: {e}", args.scenario.display()))
    })?;
    let scenario: Scenario = serde_json::from_str(&text).map_err(|e| {
        Error::new(Kind::Usage, format!("the script {} is wrong: {e}", args.scenario.display()))
    })?;
    let log = match &args.log {
        Some(path) => Some(Mutex::new(
            std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(internal)?,
        )),
        None => None,
    };
    let state = Arc::new(State { scenario, tries: Mutex::default(), last: Mutex::default(), log });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(internal)?;
    runtime.block_on(serve(args.listen, state))
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::new(Kind::Environment, format!("the scripted gateway failed: {error}"))
}

async fn serve(listen: SocketAddr, state: Arc<State>) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(internal)?;
    let address = listener.local_addr().map_err(internal)?;
    print_ready(&format!("listening on http://{address}/v1")).map_err(internal)?;
    loop {
        let (socket, _) = listener.accept().await.map_err(internal)?;
        socket.set_nodelay(true).map_err(internal)?;
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(Arc::clone(&state), request));
            // A cut connection ends in an error here; that is what the script wanted.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

fn print_ready(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let authorization =
        request.headers().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    if request.method() == Method::GET && path.ends_with("/models") {
        return Ok(whole(
            StatusCode::OK,
            &json!({"object": "list", "data": [{"id": "scripted", "object": "model"}]}),
        ));
    }
    if request.method() != Method::POST || !path.ends_with("/chat/completions") {
        return Ok(whole(
            StatusCode::NOT_FOUND,
            &json!({"error": {"message": format!("no such route: {path}"), "type": "invalid_request_error"}}),
        ));
    }
    let Ok(bytes) = request.into_body().collect().await else {
        return Ok(whole(StatusCode::BAD_REQUEST, &json!({"error": {"message": "body cut"}})));
    };
    let bytes = bytes.to_bytes();
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        return Ok(whole(StatusCode::BAD_REQUEST, &json!({"error": {"message": "the body is not JSON"}})));
    };
    let turn =
        body["messages"].as_array().map_or(0, |m| m.iter().filter(|m| m["role"] == "assistant").count());
    let tries = {
        let mut tries = state.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let n = tries.entry(turn).or_insert(0);
        *n += 1;
        *n
    };
    state.note(&json!({"turn": turn, "try": tries, "authorization": authorization, "body": body}));
    let fault = state.fault(turn, tries);
    if let Some(Fault { status: Some(status), retry_after, body, .. }) = &fault {
        return Ok(refused(*status, retry_after.as_deref(), body.as_deref()));
    }
    let Some(play) = state.scenario.turns.get(turn).or(state.scenario.turns.last()) else {
        return Ok(whole(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({"error": {"message": "the script is empty"}}),
        ));
    };
    tokio::time::sleep(Duration::from_millis(play.delay_ms)).await;
    let usage = (!state.scenario.no_usage).then(|| state.usage(&body, play));
    let calls: Vec<(String, String)> = play.tools.iter().map(|action| call(action, &body["tools"])).collect();
    let id = format!("chatcmpl-scripted-{turn}-{tries}");
    let cut = fault.and_then(|f| f.cut_after);
    if body["stream"] == true {
        let events = events(&id, turn, play, &calls, usage.as_ref(), &body);
        return Ok(streamed(events, cut, "text/event-stream"));
    }
    let answer = completion(&id, turn, play, &calls, usage.as_ref());
    match cut {
        // In pieces, so that there is something to cut.
        Some(_) => {
            let text = answer.to_string();
            let pieces = pieces(&text).into_iter().map(Bytes::from).collect();
            Ok(streamed(pieces, cut, "application/json"))
        }
        None => Ok(whole(StatusCode::OK, &answer)),
    }
}

impl State {
    fn note(&self, line: &Value) {
        if let Some(log) = &self.log {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            // Without a log the script still plays; the test that reads it will say.
            let _ = writeln!(log, "{line}");
        }
    }

    /// The fault that hits try `tries` (from 1) of `turn`, if there is one.
    fn fault(&self, turn: usize, tries: u32) -> Option<Fault> {
        let mut before = 0;
        for fault in self.scenario.faults.iter().filter(|f| f.turn.is_none_or(|t| t == turn)) {
            before += fault.times;
            if tries <= before {
                return Some(fault.clone());
            }
        }
        None
    }

    /// Token counts at four bytes a token; the prefix shared with the request before is
    /// called cached.
    fn usage(&self, body: &Value, play: &Turn) -> Value {
        let text = format!("{}{}", body["tools"], body["messages"]);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = text.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
        let input = text.len() / 4;
        *last = text;
        let output = (play.say.len() + play.think.len() + 60 * play.tools.len()) / 4 + 1;
        json!({
            "prompt_tokens": input,
            "completion_tokens": output,
            "total_tokens": input + output,
            "prompt_tokens_details": {"cached_tokens": shared / 4},
        })
    }
}

/// The declared tool that does what `action` says, and its arguments as JSON text.
fn call(action: &Action, tools: &Value) -> (String, String) {
    let (names, fill): (&[&str], Vec<(&[&str], &str)>) = match action {
        Action::Raw { name, arguments } => return (name.clone(), arguments.clone()),
        Action::Read { path } => (&["Read", "read_file", "read"], vec![(PATH, path)]),
        Action::Write { path, content } => {
            (&["Write", "write_file", "write"], vec![(PATH, path), (&["content", "text"], content)])
        }
        Action::Edit { path, old, new } => (
            &["Edit", "edit_file", "edit"],
            vec![
                (PATH, path),
                (&["old_string", "old", "old_text"], old),
                (&["new_string", "new", "new_text"], new),
            ],
        ),
        Action::Run { command } => (&["Bash", "run_command", "run", "shell"], vec![(&["command"], command)]),
    };
    let declared = tools.as_array().and_then(|tools| {
        names.iter().find_map(|name| tools.iter().map(|t| &t["function"]).find(|f| f["name"] == **name))
    });
    let name = declared.and_then(|f| f["name"].as_str()).unwrap_or(names[0]).to_owned();
    let mut arguments = serde_json::Map::new();
    for (keys, value) in fill {
        let known =
            |key: &&&str| declared.is_some_and(|f| f["parameters"]["properties"].get(**key).is_some());
        let key = keys.iter().find(known).unwrap_or(&keys[0]);
        arguments.insert((*key).to_owned(), json!(value));
    }
    (name, Value::Object(arguments).to_string())
}

const PATH: &[&str] = &["file_path", "path"];

fn finish_reason(calls: &[(String, String)]) -> &'static str {
    if calls.is_empty() { "stop" } else { "tool_calls" }
}

fn completion(
    id: &str,
    turn: usize,
    play: &Turn,
    calls: &[(String, String)],
    usage: Option<&Value>,
) -> Value {
    let tool_calls: Vec<Value> = calls
        .iter()
        .enumerate()
        .map(|(i, (name, arguments))| {
            json!({"id": format!("call_{turn}_{i}"), "type": "function",
                   "function": {"name": name, "arguments": arguments}})
        })
        .collect();
    let mut message = json!({"role": "assistant", "content": play.say});
    if !tool_calls.is_empty() {
        message["tool_calls"] = json!(tool_calls);
    }
    if !play.think.is_empty() {
        message["reasoning_content"] = json!(play.think);
    }
    let mut whole = json!({"id": id, "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason(calls)}]});
    if let Some(usage) = usage {
        whole["usage"] = usage.clone();
    }
    whole
}

fn events(
    id: &str,
    turn: usize,
    play: &Turn,
    calls: &[(String, String)],
    usage: Option<&Value>,
    request: &Value,
) -> Vec<Bytes> {
    let chunk = |choices: Value| json!({"id": id, "object": "chat.completion.chunk", "created": 1, "model": "scripted", "choices": choices});
    let delta = |delta: Value| chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]));
    let mut events = vec![delta(json!({"role": "assistant", "content": ""}))];
    for piece in pieces(&play.think) {
        events.push(delta(json!({"reasoning_content": piece})));
    }
    for piece in pieces(&play.say) {
        events.push(delta(json!({"content": piece})));
    }
    for (i, (name, arguments)) in calls.iter().enumerate() {
        events.push(delta(
            json!({"tool_calls": [{"index": i, "id": format!("call_{turn}_{i}"), "type": "function",
            "function": {"name": name, "arguments": ""}}]}),
        ));
        for piece in pieces(arguments) {
            events.push(delta(json!({"tool_calls": [{"index": i, "function": {"arguments": piece}}]})));
        }
    }
    events.push(chunk(json!([{"index": 0, "delta": {}, "finish_reason": finish_reason(calls)}])));
    if let Some(usage) = usage.filter(|_| request["stream_options"]["include_usage"] == true) {
        let mut last = chunk(json!([]));
        last["usage"] = usage.clone();
        events.push(last);
    }
    let mut lines: Vec<Bytes> = events.iter().map(|e| Bytes::from(format!("data: {e}\n\n"))).collect();
    lines.push(Bytes::from_static(b"data: [DONE]\n\n"));
    lines
}

/// The text in pieces of about 40 bytes, on character borders.
fn pieces(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        piece.push(c);
        if piece.len() >= 40 {
            out.push(std::mem::take(&mut piece));
        }
    }
    if !piece.is_empty() {
        out.push(piece);
    }
    out
}

fn streamed(events: Vec<Bytes>, cut_after: Option<usize>, kind: &'static str) -> Response<Body> {
    let mut frames: Vec<std::io::Result<Frame<Bytes>>> =
        events.into_iter().map(|e| Ok(Frame::data(e))).collect();
    if let Some(n) = cut_after {
        frames.truncate(n);
        frames.push(Err(std::io::Error::other("cut by the script")));
    }
    // One poll a frame with a yield between, so that each is a write of its own.
    let body = StreamBody::new(stream::unfold(frames.into_iter(), |mut rest| async move {
        tokio::task::yield_now().await;
        rest.next().map(|frame| (frame, rest))
    }));
    let mut response = Response::new(BodyExt::boxed(body));
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
    response
}

fn refused(status: u16, retry_after: Option<&str>, body: Option<&str>) -> Response<Body> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text = body.map(str::to_owned).unwrap_or_else(|| {
        json!({"error": {"message": format!("scripted {status}"), "type": "scripted_error"}}).to_string()
    });
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    if let Some(value) = retry_after.and_then(|v| v.parse().ok()) {
        response.headers_mut().insert("retry-after", value);
    }
    response
}

fn whole(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(full(body.to_string()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}

fn full(text: String) -> Body {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_takes_the_tool_that_is_declared() {
        let tools = json!([{"type": "function", "function": {"name": "read_file",
            "parameters": {"properties": {"path": {"type": "string"}}}}}]);
        let action = Action::Read { path: "a.rs".into() };
        assert_eq!(call(&action, &tools), ("read_file".into(), r#"{"path":"a.rs"}"#.into()));
        assert_eq!(call(&action, &json!([])), ("Read".into(), r#"{"file_path":"a.rs"}"#.into()));
    }

    #[test]
    fn a_fault_hits_as_often_as_it_says() {
        let scenario: Scenario = serde_json::from_value(json!({
            "turns": [{"say": "ok"}],
            "faults": [{"turn": 0, "times": 2, "status": 429}, {"turn": 1, "status": 500}],
        }))
        .expect("a script");
        let state = State { scenario, tries: Mutex::default(), last: Mutex::default(), log: None };
        let seen: Vec<Option<u16>> = [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
            .iter()
            .map(|(turn, tries)| state.fault(*turn, *tries).and_then(|f| f.status))
            .collect();
        assert_eq!(seen, [Some(429), Some(429), None, Some(500), None]);
    }
}
