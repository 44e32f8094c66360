//! An Anthropic request to a chat-completions request. Pure: the same request, profile and
//! adjustments give the same bytes, so that a provider's prefix cache holds from turn to
//! turn and from job to job (tools come before messages, messages last, order kept).

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;
use serde_json::value::RawValue;

use super::anthropic::{Block, Content, Request};
use super::lenient::text;
use super::names::{self, Declared};
use super::openai::{Body, Message};
use super::profiles::{Profile, SystemRole, ThinkingStyle};
use super::schema;
use super::turns::Turns;

/// Begins the block that Claude Code puts first and that changes with every prompt.
pub const BILLING: &str = "x-anthropic-billing-header";

/// What a refused request taught us about a gateway and model; see [`super::learn`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adjustments {
    /// The most output tokens it takes.
    pub max_tokens: Option<u64>,
    /// It wants `max_completion_tokens`, or `max_tokens` after all.
    pub max_tokens_name: Option<&'static str>,
    /// It refuses a forced tool choice.
    pub no_tool_choice: bool,
    /// It refuses `stream_options`.
    pub no_stream_options: bool,
    /// It insists on reasoning text in every replayed tool turn.
    pub reasoning_placeholder: bool,
    /// It refuses reasoning text.
    pub no_reasoning: bool,
    /// It refuses images.
    pub no_images: bool,
    /// It refuses system entries after the first message.
    pub system_as_reminder: bool,
    /// It refuses the switch for thinking.
    pub no_thinking_switch: bool,
    /// It refuses `temperature`.
    pub no_temperature: bool,
    /// It refuses `parallel_tool_calls`.
    pub no_parallel: bool,
    /// It refuses `response_format`.
    pub no_response_format: bool,
    /// It refuses `stop`.
    pub no_stop: bool,
    /// It refuses `top_p`.
    pub no_top_p: bool,
    /// It insists that user and assistant take turns.
    pub merge_users: bool,
}

/// What a translation depends on besides the request.
pub struct Context<'x> {
    /// The gateway's name of the model.
    pub model: &'x str,
    /// The gateway's profile.
    pub profile: &'x Profile,
    /// What was learnt.
    pub adjust: &'x Adjustments,
    /// Signatures that came with tool calls, by the identifier that the client knows.
    pub signatures: &'x dyn Fn(&str) -> Option<Box<RawValue>>,
}

/// The request to send, and what reading the answer needs.
#[derive(Debug)]
pub struct Translated {
    /// The body.
    pub body: Vec<u8>,
    /// The tools by the gateway's names.
    pub tools: Declared,
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
    json_schema: JsonSchema<'a>,
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
    description: &'a str,
    parameters: Cow<'a, RawValue>,
}

enum Choice<'a> {
    Word(&'static str),
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
            Choice::Word(word) => serializer.serialize_str(word),
            Choice::Function(name) => {
                Whole { r#type: "function", function: Named { name } }.serialize(serializer)
            }
        }
    }
}

/// Why a request cannot be translated; the client is told with status 400.
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
    let messages_in = request.messages.as_deref().unwrap_or_default();
    if messages_in.is_empty() {
        return Err(Refusal::NoMessages);
    }
    let profile = cx.profile;
    let adjust = cx.adjust;
    let mut notes = Vec::new();

    let thinking_kind = request.thinking.0.as_ref().map(|t| t.kind.as_str());
    let thinks = matches!(thinking_kind, Some("enabled" | "adaptive"));

    let mut turns = Turns::new(cx, thinks);
    let system = system_text(&request.system);
    let has_system = system.is_some();
    if let Some(system) = system {
        turns.system(system);
    }
    for (at, message) in messages_in.iter().enumerate() {
        match message.role.as_str() {
            "user" => turns.user(&message.content),
            "assistant" => turns.assistant(&message.content),
            "system" | "developer" => {
                if let Some(words) = system_text(&message.content) {
                    // Beside a system text even the first entry is a later one.
                    if at == 0 && !has_system { turns.system(words) } else { turns.later_system(words) }
                }
            }
            other => return Err(Refusal::Role(at, other.to_owned())),
        }
    }
    let messages = turns.finish();

    let mut declared = Declared::default();
    let tools = tools(request, profile, &mut declared, &mut notes);

    let forced_ok = profile.tool_choice_forced
        && !adjust.no_tool_choice
        && (profile.tool_choice_with_thinking || !thinks);
    let mut tool_choice = None;
    let mut parallel_tool_calls = None;
    if let (Some(choice), false) = (&request.tool_choice, tools.is_empty()) {
        tool_choice = match choice.kind.as_str() {
            "any" if forced_ok => Some(Choice::Word("required")),
            "none" => Some(Choice::Word("none")),
            "tool" if forced_ok => {
                let name = names::safe_name(text(&choice.name));
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
        };
        if choice.disable_parallel_tool_use == Some(true)
            && profile.parallel_tool_calls
            && !adjust.no_parallel
        {
            parallel_tool_calls = Some(false);
        }
    }

    let limit = [profile.limit_for(cx.model), adjust.max_tokens].into_iter().flatten().min();
    let asked = request.max_tokens.count().filter(|n| *n > 0);
    let max = match (asked, limit) {
        (Some(asked), Some(limit)) => Some(asked.min(limit)),
        (asked, _) => asked,
    };
    let max_name = adjust.max_tokens_name.unwrap_or(&profile.max_tokens_name);
    let (max_tokens, max_completion_tokens) =
        if max_name == "max_completion_tokens" { (None, max) } else { (max, None) };

    let effort = request.output_config.0.as_ref().and_then(|c| c.effort.as_ref()).map(|e| effort(e.as_str()));
    let mut out = ChatRequest {
        model: cx.model,
        stream: request.stream == Some(true),
        stream_options: None,
        max_tokens,
        max_completion_tokens,
        temperature: request.temperature.filter(|_| profile.temperature && !adjust.no_temperature),
        top_p: request.top_p.filter(|_| !adjust.no_top_p),
        top_k: request.top_k.filter(|_| profile.top_k),
        stop: request
            .stop_sequences
            .iter()
            .flatten()
            .map(|s| s.as_str())
            .filter(|s| !s.is_empty())
            .take(if adjust.no_stop { 0 } else { profile.stop_max })
            .collect(),
        thinking: None,
        enable_thinking: None,
        reasoning_effort: None,
        reasoning: None,
        response_format: response_format(request).filter(|_| !adjust.no_response_format),
        tools,
        tool_choice,
        parallel_tool_calls,
        messages,
    };
    if out.stream && profile.stream_options && !adjust.no_stream_options {
        out.stream_options = Some(StreamOptions { include_usage: true });
    }
    if let (Some(kind), false) = (thinking_kind, adjust.no_thinking_switch) {
        switch_thinking(&mut out, profile.thinking, kind != "disabled", effort);
    }
    let mut body = Vec::with_capacity(4096);
    serde_json::to_writer(&mut body, &out).map_err(|e| Refusal::Write(e.to_string()))?;
    Ok(Translated { body, tools: declared, notes })
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

fn response_format<'a>(request: &Request<'a>) -> Option<ResponseFormat<'a>> {
    let format = request.output_config.0.as_ref()?.format.0.as_ref()?;
    let schema = format.schema.filter(|_| format.kind.as_str() == "json_schema")?;
    Some(ResponseFormat {
        r#type: "json_schema",
        json_schema: JsonSchema { name: "answer", schema, strict: true },
    })
}

/// The text of a system entry without the billing block; none when nothing is left.
pub fn system_text<'x>(content: &'x Content<'_>) -> Option<Cow<'x, str>> {
    match content {
        Content::Text(words) if words.is_empty() || words.as_str().starts_with(BILLING) => None,
        Content::Text(words) => Some(Cow::Borrowed(words.as_str())),
        Content::Blocks(blocks) => join(
            blocks.iter().map(|b| text(&b.text)).filter(|t| !t.is_empty() && !t.starts_with(BILLING)),
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
        let kind = text(&tool.kind);
        let (description, written) = match tool.input_schema {
            Some(schema) => (text(&tool.description), schema.get()),
            None => match schema::of_typed_tool(kind) {
                Some(known) => known,
                None if kind.is_empty() || kind == "custom" => (text(&tool.description), schema::EMPTY),
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
        let parameters = match schema::clean(written, profile.schema_keep_only) {
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
pub fn later_system<'a>(words: Cow<'a, str>, cx: &Context<'_>) -> Message<'a> {
    let style = if cx.adjust.system_as_reminder { SystemRole::Reminder } else { cx.profile.system_role };
    let (role, content) = match style {
        SystemRole::System => ("system", words),
        SystemRole::Developer => ("developer", words),
        SystemRole::Reminder => {
            ("user", Cow::Owned(format!("<system-reminder>\n{words}\n</system-reminder>")))
        }
    };
    Message { role, content: Body::Text(content), ..Message::default() }
}
