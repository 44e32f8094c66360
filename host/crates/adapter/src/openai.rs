//! The OpenAI chat-completions wire: the request that is written, and chunks and answers as
//! gateways send them, read with every field optional.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use gateway::usage::Tokens;

use super::lenient::{DefaultOnError, LenientInt, Str};

/// A message of the request.
#[derive(Debug, Default)]
pub struct Message<'a> {
    /// `system`, `user`, `assistant`, `tool` or `developer`.
    pub role: &'static str,
    /// Text, parts or nothing.
    pub content: Body<'a>,
    /// Key and text of replayed reasoning.
    pub reasoning: Option<(&'a str, Cow<'a, str>)>,
    /// Reasoning in OpenRouter's long form, as it came.
    pub details: Option<Box<RawValue>>,
    /// The answer goes on from this message (Mistral's `prefix`).
    pub prefix: bool,
    /// Of an assistant message.
    pub tool_calls: Vec<Call<'a>>,
    /// Of a tool message.
    pub tool_call_id: Option<Cow<'a, str>>,
}

/// What a message says.
#[derive(Debug, Default)]
pub enum Body<'a> {
    /// `null`.
    #[default]
    None,
    /// One string: strict gateways refuse lists.
    Text(Cow<'a, str>),
    /// A list, only when there is more than text.
    Parts(Vec<Part<'a>>),
}

/// One part of a list.
#[derive(Debug)]
pub enum Part<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// An image by URL.
    Image(Cow<'a, str>),
    /// An image by value: media type and base64.
    ImageData(Cow<'a, str>, &'a str),
    /// A file by value: name, media type and base64.
    File(Cow<'a, str>, Cow<'a, str>, &'a str),
}

/// A tool call of the history.
#[derive(Debug)]
pub struct Call<'a> {
    /// Unique in its message.
    pub id: Cow<'a, str>,
    /// The gateway's name of the tool.
    pub name: Cow<'a, str>,
    /// JSON text.
    pub arguments: Cow<'a, str>,
    /// A provider's own data that must come back (Gemini's thought signature).
    pub extra: Option<Box<RawValue>>,
}

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", self.role)?;
        if let Some(id) = &self.tool_call_id {
            map.serialize_entry("tool_call_id", id)?;
        }
        map.serialize_entry("content", &self.content)?;
        if let Some((key, text)) = &self.reasoning {
            map.serialize_entry(key, text)?;
        }
        if let Some(details) = &self.details {
            map.serialize_entry("reasoning_details", details)?;
        }
        if !self.tool_calls.is_empty() {
            map.serialize_entry("tool_calls", &self.tool_calls)?;
        }
        if self.prefix {
            map.serialize_entry("prefix", &true)?;
        }
        map.end()
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Body::None => serializer.serialize_none(),
            Body::Text(text) => serializer.serialize_str(text),
            Body::Parts(parts) => {
                let mut seq = serializer.serialize_seq(Some(parts.len()))?;
                for part in parts {
                    seq.serialize_element(part)?;
                }
                seq.end()
            }
        }
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Data<'x>(&'x str, &'x str);
        impl Serialize for Data<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!("data:{};base64,{}", self.0, self.1))
            }
        }
        #[derive(Serialize)]
        struct Url<T> {
            url: T,
        }
        #[derive(Serialize)]
        struct File<'x> {
            filename: &'x str,
            file_data: Data<'x>,
        }
        let mut map = serializer.serialize_map(Some(2))?;
        match self {
            Part::Text(text) => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", text)?;
            }
            Part::Image(url) => {
                map.serialize_entry("type", "image_url")?;
                map.serialize_entry("image_url", &Url { url })?;
            }
            Part::ImageData(media, data) => {
                map.serialize_entry("type", "image_url")?;
                map.serialize_entry("image_url", &Url { url: Data(media, data) })?;
            }
            Part::File(name, media, data) => {
                map.serialize_entry("type", "file")?;
                map.serialize_entry("file", &File { filename: name, file_data: Data(media, data) })?;
            }
        }
        map.end()
    }
}

impl Serialize for Call<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Function<'x> {
            name: &'x str,
            arguments: &'x str,
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("type", "function")?;
        map.serialize_entry("function", &Function { name: &self.name, arguments: &self.arguments })?;
        if let Some(extra) = &self.extra {
            map.serialize_entry("extra_content", extra)?;
        }
        map.end()
    }
}

/// A stream chunk or a whole answer: a whole answer is read as one chunk whose choice has a
/// `message` in place of a `delta`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Chunk<'a> {
    /// The gateway's name of the answer.
    #[serde(borrow)]
    pub id: Option<Str<'a>>,
    /// The model that answered.
    pub model: Option<Str<'a>>,
    /// `null` and empty lists happen (usage, content filters).
    pub choices: Option<Vec<Choice<'a>>>,
    /// In any chunk; the last one counts.
    pub usage: DefaultOnError<Usage>,
    /// An error inside a stream that began with 200.
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
    /// `error` from some gateways.
    pub object: Option<Str<'a>>,
    /// Groq's place for usage.
    pub x_groq: DefaultOnError<XGroq>,
}

/// The chunk with what has an unexpected shape taken out, for gateways that put an empty
/// string or object where a list belongs. None when it is no object at all.
pub fn reshaped(json: &str) -> Option<String> {
    fn objects(value: &mut Value) {
        *value = match value.take() {
            Value::Array(list) => list.into_iter().filter(Value::is_object).collect(),
            one @ Value::Object(_) => Value::Array(vec![one]),
            _ => Value::Null,
        };
    }
    fn object_or_null(value: Option<&mut Value>) {
        if let Some(value) = value.filter(|v| !v.is_object()) {
            *value = Value::Null;
        }
    }
    let mut chunk: Value = serde_json::from_str(json).ok()?;
    chunk.as_object()?;
    let Some(choices) = chunk.get_mut("choices") else { return Some(chunk.to_string()) };
    objects(choices);
    for choice in choices.as_array_mut().into_iter().flatten() {
        for key in ["delta", "message"] {
            object_or_null(choice.get_mut(key));
            let Some(calls) = choice.get_mut(key).and_then(|d| d.get_mut("tool_calls")) else { continue };
            objects(calls);
            calls.as_array_mut().into_iter().flatten().for_each(|c| object_or_null(c.get_mut("function")));
        }
    }
    Some(chunk.to_string())
}

/// Groq's place for usage.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct XGroq {
    /// As at the top level.
    pub usage: DefaultOnError<Usage>,
}

/// One choice; only the first is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Choice<'a> {
    /// Its number.
    pub index: LenientInt,
    /// In a stream.
    #[serde(borrow)]
    pub delta: Option<Delta<'a>>,
    /// In a whole answer.
    pub message: Option<Delta<'a>>,
    /// Why it ended.
    pub finish_reason: Option<Str<'a>>,
    /// The stop text that matched (vLLM).
    pub stop_reason: Option<Str<'a>>,
    /// Kimi's place for usage.
    pub usage: DefaultOnError<Usage>,
    /// An error in a choice (OpenRouter).
    #[serde(borrow)]
    pub error: Option<&'a RawValue>,
}

/// What a chunk adds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Delta<'a> {
    /// Text, or parts with text and thinking (Mistral).
    #[serde(borrow)]
    pub content: TextOrParts<'a>,
    /// DeepSeek, Kimi, GLM, Qwen, vLLM.
    pub reasoning_content: Option<Str<'a>>,
    /// OpenRouter, Groq, newer vLLM, Ollama.
    pub reasoning: Option<Str<'a>>,
    /// OpenRouter's long form.
    #[serde(borrow)]
    pub reasoning_details: Option<&'a RawValue>,
    /// Calls or pieces of calls.
    pub tool_calls: Option<Vec<CallDelta<'a>>>,
    /// The form before `tool_calls`.
    pub function_call: DefaultOnError<FunctionDelta<'a>>,
    /// A refusal as text.
    pub refusal: Option<Str<'a>>,
}

impl Delta<'_> {
    /// Its text, when it borrows it and says nothing else.
    pub fn only_text(&self) -> Option<&str> {
        let blank = |s: &Option<Str<'_>>| s.as_ref().is_none_or(Str::is_empty);
        let alone = [&self.reasoning_content, &self.reasoning, &self.refusal].into_iter().all(blank)
            && self.reasoning_details.is_none()
            && self.tool_calls.is_none()
            && self.function_call.0.is_none();
        match &self.content {
            TextOrParts::Text(Str(Cow::Borrowed(text))) if alone => Some(text),
            _ => None,
        }
    }

    /// Whether it says nothing: no text, no calls.
    pub fn is_empty(&self) -> bool {
        let blank = |s: &Option<Str<'_>>| s.as_ref().is_none_or(Str::is_empty);
        let no_content = match &self.content {
            TextOrParts::None => true,
            TextOrParts::Text(text) => text.is_empty(),
            TextOrParts::Parts(parts) => parts.is_empty(),
        };
        no_content
            && [&self.reasoning_content, &self.reasoning, &self.refusal].into_iter().all(blank)
            && self.reasoning_details.is_none()
            && self.tool_calls.as_ref().is_none_or(Vec::is_empty)
            && self.function_call.0.is_none()
    }
}

/// The entries of OpenRouter's long form of reasoning.
pub fn reasoning_details(json: &str) -> Vec<serde_json::Map<String, Value>> {
    let entries: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
    let object = |entry| if let Value::Object(map) = entry { Some(map) } else { None };
    entries.into_iter().filter_map(object).collect()
}

/// Adds an entry: one that goes on with the last one is joined to it.
pub fn join_detail(details: &mut Vec<serde_json::Map<String, Value>>, entry: serde_json::Map<String, Value>) {
    let same = |last: &serde_json::Map<String, Value>, key: &str| last.get(key) == entry.get(key);
    let grows = ["text", "summary"].iter().any(|key| entry.contains_key(*key));
    match details.last_mut().filter(|last| grows && same(last, "type") && same(last, "index")) {
        None => details.push(entry),
        Some(last) => {
            for (key, value) in entry {
                match (last.get_mut(&key), value) {
                    (Some(Value::String(so_far)), Value::String(more))
                        if key == "text" || key == "summary" =>
                    {
                        so_far.push_str(&more);
                    }
                    (_, Value::Null) => {}
                    (_, value) => drop(last.insert(key, value)),
                }
            }
        }
    }
}

/// A call or a piece of one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CallDelta<'a> {
    /// Missing, repeated or starting at 1 on some gateways.
    pub index: LenientInt,
    /// Missing, empty in later chunks, or repeated.
    #[serde(borrow)]
    pub id: Option<Str<'a>>,
    /// Name and arguments.
    pub function: Option<FunctionDelta<'a>>,
    /// Name beside `function` in place of inside it.
    pub name: Option<Str<'a>>,
    /// Arguments beside `function`.
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
    /// Gemini's thought signature.
    #[serde(borrow)]
    pub extra_content: Option<&'a RawValue>,
}

/// Name and arguments of a call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FunctionDelta<'a> {
    /// May come later, or again.
    #[serde(borrow)]
    pub name: Option<Str<'a>>,
    /// A string, or the object itself.
    #[serde(borrow)]
    pub arguments: Option<&'a RawValue>,
}

/// Text, or a list of parts.
#[derive(Debug, Default)]
pub enum TextOrParts<'a> {
    /// `null` or of no known shape.
    #[default]
    None,
    /// Text.
    Text(Str<'a>),
    /// Parts.
    Parts(Vec<ContentPart<'a>>),
}

/// A part of a list of content.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContentPart<'a> {
    /// `text`, `thinking`, …
    #[serde(rename = "type", borrow)]
    pub kind: Str<'a>,
    /// Of a text part.
    pub text: Option<Str<'a>>,
    /// Of a thinking part: text, or again parts.
    pub thinking: TextOrParts<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for TextOrParts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = TextOrParts<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a list of parts")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(TextOrParts::Text(Str(v.into())))
            }
            fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
                Ok(TextOrParts::Text(Str(v.to_owned().into())))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(TextOrParts::None)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(TextOrParts::None)
            }
            fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
                Ok(TextOrParts::Text(Str(v.to_string().into())))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
                Ok(TextOrParts::Text(Str(v.to_string().into())))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
                Ok(TextOrParts::Text(Str(v.to_string().into())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element::<DefaultOnError<ContentPart<'de>>>()? {
                    parts.extend(part.0);
                }
                Ok(TextOrParts::Parts(parts))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let part = ContentPart::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(TextOrParts::Parts(vec![part]))
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// Token counts under all the names that gateways use.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Usage {
    prompt_tokens: LenientInt,
    completion_tokens: LenientInt,
    input_tokens: LenientInt,
    output_tokens: LenientInt,
    total_tokens: LenientInt,
    prompt_tokens_details: DefaultOnError<InputDetails>,
    input_tokens_details: DefaultOnError<InputDetails>,
    completion_tokens_details: DefaultOnError<OutputDetails>,
    output_tokens_details: DefaultOnError<OutputDetails>,
    prompt_cache_hit_tokens: LenientInt,
    cached_tokens: LenientInt,
    cache_read_input_tokens: LenientInt,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: LenientInt,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: LenientInt,
}

impl Usage {
    /// The counts under one name each.
    pub fn tokens(&self) -> Tokens {
        let details = |d: &DefaultOnError<InputDetails>| d.0.and_then(|d| d.cached_tokens.count());
        let reasoning = |d: &DefaultOnError<OutputDetails>| d.0.and_then(|d| d.reasoning_tokens.count());
        let input = self.prompt_tokens.count().or(self.input_tokens.count()).filter(|n| *n > 0);
        let output = self.completion_tokens.count().or(self.output_tokens.count());
        let cached = details(&self.prompt_tokens_details)
            .or(details(&self.input_tokens_details))
            .or(self.cached_tokens.count())
            .or(self.cache_read_input_tokens.count())
            .into_iter()
            .chain(self.prompt_cache_hit_tokens.count())
            .max();
        // The sum tells whether reasoning is a part of the output or beside it.
        let reasoning = reasoning(&self.completion_tokens_details).or(reasoning(&self.output_tokens_details));
        let beside = self.total_tokens.count().and_then(|t| t.checked_sub(input? + output?)).unwrap_or(0);
        Tokens {
            input,
            // More from the cache than there was input is a mistake of the gateway's.
            cached: cached.map(|c| input.map_or(c, |i| c.min(i))),
            cache_written: None,
            // Counts that are all 0 were not made.
            output: output.filter(|n| *n > 0 || input.is_some()),
            reasoning: reasoning.or((beside > 0).then_some(beside)),
            apart: beside.min(reasoning.unwrap_or(beside)),
        }
    }
}
