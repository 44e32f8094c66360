//! An Anthropic request to a chat-completions request. Pure: the same request and profile
//! give the same bytes, so that a provider's prefix cache holds from turn to
//! turn and from job to job (tools come before messages, messages last, order kept).

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;
use serde_json::value::RawValue;

use super::anthropic::{Block, Content, Request, ToolChoice};
use super::lenient::str_of;
use super::names::{self, Declared};
use super::openai::{Body, Message};
use super::profiles::{AnswerFormat, Profile, SystemRole, ThinkingStyle};
use super::schema::{self, Dialect};
use super::turns::Turns;

/// Begins the block that Claude Code puts first and that changes with every prompt.
pub const BILLING: &str = "x-anthropic-billing-header";

/// What a translation depends on besides the request.
pub struct Context<'x> {
    /// The gateway's name of the model.
    pub model: &'x str,
    /// The gateway's profile.
    pub profile: &'x Profile,
    /// Signatures that came with tool calls, by the identifier that the client knows.
    pub signatures: &'x dyn Fn(&str) -> Option<Box<RawValue>>,
    /// What is added to the conversation so that the answer fits a schema that the gateway
    /// does not see to: a role and a text each.
    pub appended: &'x [(Role, String)],
}

/// Who says what is added to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A system text in the middle.
    System,
    /// The model, earlier.
    Assistant,
    /// The user.
    User,
}

/// The request to send, and what reading the answer needs.
#[derive(Debug)]
pub struct Translated {
    /// The body.
    pub body: Vec<u8>,
    /// The tools by the gateway's names.
    pub tools: Declared,
    /// The most output tokens that are asked for.
    pub max_tokens: Option<u64>,
    /// What could not be carried over, for the log.
    pub notes: Vec<String>,
}

#[derive(Serialize)]
struct ChatRequest<'a> {
    model: &'a str,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Switch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enable_thinking: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Effort>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    messages: Vec<Message<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Switch {
    r#type: &'static str,
}

#[derive(Serialize)]
struct Effort {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
}

#[derive(Serialize)]
struct ResponseFormat<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<JsonSchema<'a>>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'static str,
    schema: &'a RawValue,
    strict: bool,
}

#[derive(Serialize)]
struct ToolOut<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: Cow<'a, str>,
    parameters: Cow<'a, RawValue>,
}

enum Choice<'a> {
    Mode(&'static str),
    Function(Cow<'a, str>),
}

impl Serialize for Choice<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Named<'x> {
            name: &'x str,
        }
        #[derive(Serialize)]
        struct Whole<'x> {
            r#type: &'static str,
            function: Named<'x>,
        }
        match self {
            Choice::Mode(mode) => serializer.serialize_str(mode),
            Choice::Function(name) => {
                Whole { r#type: "function", function: Named { name } }.serialize(serializer)
            }
        }
    }
}

/// Why a request cannot be translated; the client gets status 400.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is nothing to answer.
    #[error("messages: at least one message is required")]
    NoMessages,
    /// A role that is not in the API.
    #[error("messages.{0}.role: unexpected value {1:?}; expected user, assistant or system")]
    Role(usize, String),
    /// Our own document could not be written.
    #[error("the request could not be written: {0}")]
    Write(String),
}

/// Translates a request.
pub fn request(request: &Request<'_>, cx: &Context<'_>) -> Result<Translated, Refusal> {
    let profile = cx.profile;
    let mut notes = Vec::new();
    let thinking_kind = request.thinking.0.as_ref().map(|t| t.kind.as_str());
    let thinks = matches!(thinking_kind, Some("enabled" | "adaptive"));
    let messages = conversation(request, cx, thinks)?;
    let mut declared = Declared::default();
    let tools = tools(request, profile, &mut declared, &mut notes);
    let (tool_choice, parallel_tool_calls) = match &request.tool_choice {
        Some(choice) if !tools.is_empty() => {
            let forced_ok = profile.tool_choice_forced && (profile.tool_choice_with_thinking || !thinks);
            let single = choice.disable_parallel_tool_use == Some(true) && profile.parallel_tool_calls;
            (chosen(choice, forced_ok, &declared, &mut notes), single.then_some(false))
        }
        _ => (None, None),
    };
    let limit = output_limit(request.max_tokens.count(), cx);
    let (max_tokens, max_completion_tokens) = match profile.max_tokens_name.as_str() {
        "max_completion_tokens" => (None, limit),
        _ => (limit, None),
    };
    let stops = request.stop_sequences.iter().flatten().map(|s| s.as_str()).filter(|s| !s.is_empty());
    let stream = request.stream == Some(true);
    let mut out = ChatRequest {
        model: cx.model,
        stream,
        stream_options: (stream && profile.stream_options).then_some(StreamOptions { include_usage: true }),
        max_tokens,
        max_completion_tokens,
        temperature: request.temperature.filter(|_| profile.temperature),
        top_p: request.top_p.filter(|_| profile.top_p),
        top_k: request.top_k.filter(|_| profile.top_k),
        stop: stops.take(profile.stop_max).collect(),
        thinking: None,
        enable_thinking: None,
        reasoning_effort: None,
        reasoning: None,
        response_format: response_format(request, profile.answer_format),
        tools,
        tool_choice,
        parallel_tool_calls,
        messages,
    };
    if let Some(kind) = thinking_kind {
        let effort =
            request.output_config.0.as_ref().and_then(|c| c.effort.as_ref()).map(|e| effort(e.as_str()));
        switch_thinking(&mut out, profile.thinking, kind != "disabled", effort);
    }
    let mut body = Vec::with_capacity(4096);
    serde_json::to_writer(&mut body, &out).map_err(|e| Refusal::Write(e.to_string()))?;
    Ok(Translated { body, tools: declared, max_tokens: limit, notes })
}

/// The messages, in the client's order.
fn conversation<'a>(
    request: &'a Request<'a>,
    cx: &'a Context<'a>,
    thinks: bool,
) -> Result<Vec<Message<'a>>, Refusal> {
    let messages = request.messages.as_deref().unwrap_or_default();
    if messages.is_empty() {
        return Err(Refusal::NoMessages);
    }
    let mut turns = Turns::new(cx, thinks);
    let system = system_text(&request.system);
    let has_system = system.is_some();
    if let Some(system) = system {
        turns.system(system);
    }
    for (at, message) in messages.iter().enumerate() {
        match message.role.as_str() {
            "user" => turns.user(&message.content),
            "assistant" => turns.assistant(&message.content),
            "system" | "developer" => {
                if let Some(text) = system_text(&message.content) {
                    // Beside a system text even the first entry is a later one.
                    if at == 0 && !has_system { turns.system(text) } else { turns.later_system(text) }
                }
            }
            other => return Err(Refusal::Role(at, other.to_owned())),
        }
    }
    for (role, text) in cx.appended {
        turns.append(*role, text);
    }
    Ok(turns.finish())
}

/// The output tokens to ask for: what the client wants, within what the model takes.
pub fn output_limit(asked: Option<u64>, cx: &Context<'_>) -> Option<u64> {
    let asked = asked.filter(|n| *n > 0)?.max(cx.profile.min_tokens);
    Some(cx.profile.limit_for(cx.model).map_or(asked, |limit| asked.min(limit)))
}

/// The tool choice in the gateway's words.
fn chosen<'a>(
    choice: &'a ToolChoice<'_>,
    forced_ok: bool,
    declared: &Declared,
    notes: &mut Vec<String>,
) -> Option<Choice<'a>> {
    match choice.kind.as_str() {
        "any" if forced_ok => Some(Choice::Mode("required")),
        "none" => Some(Choice::Mode("none")),
        "tool" if forced_ok => {
            let name = names::safe_name(str_of(&choice.name));
            let known = declared.knows(&name);
            if !known {
                notes.push(format!("the tool choice {name} names no tool of the request"));
            }
            known.then_some(Choice::Function(name))
        }
        "any" | "tool" => {
            notes.push("a forced tool choice was left out: this model takes none".to_owned());
            None
        }
        _ => None,
    }
}

fn switch_thinking(out: &mut ChatRequest<'_>, style: ThinkingStyle, on: bool, effort: Option<&'static str>) {
    match style {
        ThinkingStyle::None => {}
        ThinkingStyle::ThinkingObject => {
            out.thinking = Some(Switch { r#type: if on { "enabled" } else { "disabled" } });
        }
        // Qwen takes thinking in streams only.
        ThinkingStyle::EnableThinking => out.enable_thinking = Some(on && out.stream),
        ThinkingStyle::ReasoningEffort => out.reasoning_effort = if on { effort } else { Some("low") },
        ThinkingStyle::ReasoningObject => {
            out.reasoning = Some(match (on, effort) {
                (true, Some(effort)) => Effort { effort: Some(effort), enabled: None },
                (on, _) => Effort { effort: None, enabled: Some(on) },
            });
        }
    }
}

fn effort(asked: &str) -> &'static str {
    match asked {
        "low" | "minimal" => "low",
        "medium" => "medium",
        _ => "high",
    }
}

/// The schema that the client wants the answer in.
pub fn answer_schema<'a>(request: &Request<'a>) -> Option<&'a RawValue> {
    let format = request.output_config.0.as_ref()?.format.0.as_ref()?;
    format.schema.filter(|_| format.kind.as_str() == "json_schema")
}

fn response_format<'a>(request: &Request<'a>, format: AnswerFormat) -> Option<ResponseFormat<'a>> {
    let schema = answer_schema(request)?;
    match format {
        AnswerFormat::JsonSchema => Some(ResponseFormat {
            r#type: "json_schema",
            json_schema: Some(JsonSchema { name: "answer", schema, strict: true }),
        }),
        AnswerFormat::JsonObject => Some(ResponseFormat { r#type: "json_object", json_schema: None }),
        AnswerFormat::Prompt => None,
    }
}

/// The text of a system entry without the billing block; none when nothing is left.
pub fn system_text<'x>(content: &'x Content<'_>) -> Option<Cow<'x, str>> {
    match content {
        Content::Text(text) if text.is_empty() || text.as_str().starts_with(BILLING) => None,
        Content::Text(text) => Some(Cow::Borrowed(text.as_str())),
        Content::Blocks(blocks) => join(
            blocks.iter().map(|b| str_of(&b.text)).filter(|t| !t.is_empty() && !t.starts_with(BILLING)),
            "\n\n",
        ),
    }
}

/// The pieces with `between` between them; borrowed when there is just one.
pub fn join<'x>(mut pieces: impl Iterator<Item = &'x str>, between: &str) -> Option<Cow<'x, str>> {
    let mut whole = Cow::Borrowed(pieces.next()?);
    for piece in pieces {
        let whole = whole.to_mut();
        whole.push_str(between);
        whole.push_str(piece);
    }
    Some(whole)
}

fn tools<'a>(
    request: &'a Request<'_>,
    profile: &Profile,
    declared: &mut Declared,
    notes: &mut Vec<String>,
) -> Vec<ToolOut<'a>> {
    let listed = request.tools.as_deref().unwrap_or_default();
    if listed.is_empty() {
        return Vec::new();
    }
    let loaded = if listed.iter().any(|t| t.defer_loading == Some(true)) {
        mentioned_tools(request)
    } else {
        HashSet::new()
    };
    let mut out: Vec<ToolOut<'a>> = Vec::with_capacity(listed.len());
    let mut seen = HashSet::new();
    for tool in listed {
        let name = tool.name.as_str();
        if name.is_empty() || (tool.defer_loading == Some(true) && !loaded.contains(name)) {
            continue;
        }
        let kind = str_of(&tool.kind);
        let (description, written) = match tool.input_schema {
            Some(schema) => (str_of(&tool.description), schema.get()),
            None => match schema::of_typed_tool(kind) {
                Some(known) => known,
                None if kind.is_empty() || kind == "custom" => (str_of(&tool.description), schema::EMPTY),
                None => {
                    // Anthropic runs these itself; no gateway does.
                    notes.push(format!("the server tool {kind} was left out"));
                    continue;
                }
            },
        };
        let safe = names::safe_name(name);
        if !seen.insert(safe.clone().into_owned()) {
            continue;
        }
        if out.len() == profile.max_tools {
            notes.push(format!("only the first {} tools were sent", profile.max_tools));
            break;
        }
        declared.insert(name, written);
        let description = match profile.schema {
            Dialect::Described if written != schema::EMPTY => Cow::Owned(
                format!("{description}\n\nArguments, as JSON Schema: {written}").trim_start().to_owned(),
            ),
            _ => Cow::Borrowed(description),
        };
        let parameters = match schema::clean(written, profile.schema) {
            Cow::Borrowed(same) => serde_json::from_str::<&RawValue>(same).ok().map(Cow::Borrowed),
            Cow::Owned(changed) => RawValue::from_string(changed).ok().map(Cow::Owned),
        };
        let Some(parameters) = parameters else { continue };
        out.push(ToolOut { r#type: "function", function: Function { name: safe, description, parameters } });
    }
    out
}

/// Tools that the conversation has loaded or used.
fn mentioned_tools<'a>(request: &'a Request<'_>) -> HashSet<&'a str> {
    fn visit<'a>(blocks: &'a [Block<'_>], out: &mut HashSet<&'a str>) {
        for block in blocks {
            match block.kind.as_str() {
                "tool_use" => out.extend(block.name.as_ref().map(|n| n.as_str())),
                "tool_reference" => out.extend(block.tool_name.as_ref().map(|n| n.as_str())),
                _ => {}
            }
            if let Some(Content::Blocks(inner)) = &block.content {
                visit(inner, out);
            }
        }
    }
    let mut out = HashSet::new();
    out.extend(request.tool_choice.as_ref().and_then(|c| c.name.as_ref()).map(|n| n.as_str()));
    for message in request.messages.iter().flatten() {
        if let Content::Blocks(blocks) = &message.content {
            visit(blocks, &mut out);
        }
    }
    out
}

/// A later system entry as the profile wants it.
pub fn later_system<'a>(text: Cow<'a, str>, cx: &Context<'_>) -> Message<'a> {
    let (role, content) = match cx.profile.system_role {
        SystemRole::System => ("system", text),
        SystemRole::Developer => ("developer", text),
        SystemRole::Reminder => {
            ("user", Cow::Owned(format!("<system-reminder>\n{text}\n</system-reminder>")))
        }
    };
    Message { role, content: Body::Text(content), ..Message::default() }
}
