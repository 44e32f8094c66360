//! The Anthropic Messages request as clients send it: everything optional, unknown fields
//! ignored, large values borrowed. Source: the Messages API reference and recorded requests
//! of Claude Code 2.1.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::lenient::{DefaultOnError, LenientInt, Str};

/// A request to `/v1/messages` or `/v1/messages/count_tokens`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Request<'a> {
    /// The model's name as the client knows it.
    #[serde(borrow)]
    pub model: Option<Str<'a>>,
    /// A string or text blocks.
    pub system: Content<'a>,
    /// The conversation.
    pub messages: Option<Vec<Message<'a>>>,
    /// What the model may call.
    pub tools: Option<Vec<Tool<'a>>>,
    /// Whether and what it must call.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// The longest answer, in tokens.
    pub max_tokens: LenientInt,
    /// Server-sent events, or one document.
    pub stream: Option<bool>,
    /// Texts that end the answer.
    pub stop_sequences: Option<Vec<Str<'a>>>,
    /// Passed through as written.
    #[serde(borrow)]
    pub temperature: Option<&'a RawValue>,
    /// Passed through as written.
    #[serde(borrow)]
    pub top_p: Option<&'a RawValue>,
    /// Passed through for gateways that know it.
    #[serde(borrow)]
    pub top_k: Option<&'a RawValue>,
    /// `enabled`, `adaptive` or `disabled`.
    pub thinking: DefaultOnError<Thinking<'a>>,
    /// Effort and the format of the answer.
    pub output_config: DefaultOnError<OutputConfig<'a>>,
}

/// One entry of the conversation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Message<'a> {
    /// `user`, `assistant`, and from current Claude Code also `system`.
    #[serde(borrow)]
    pub role: Str<'a>,
    /// A string or blocks.
    pub content: Content<'a>,
}

/// A string or a list of blocks; a single block is read as a list of one.
#[derive(Debug)]
pub enum Content<'a> {
    /// Plain text.
    Text(Str<'a>),
    /// Blocks.
    Blocks(Vec<Block<'a>>),
}

impl Default for Content<'_> {
    fn default() -> Self {
        Content::Blocks(Vec::new())
    }
}

impl<'a> Content<'a> {
    /// Whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        match self {
            Content::Text(text) => text.is_empty(),
            Content::Blocks(blocks) => blocks.is_empty(),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Content<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of content blocks")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Str(v.into())))
            }
            fn visit_str<E>(self, v: &str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Str(v.to_owned().into())))
            }
            fn visit_unit<E>(self) -> Result<Content<'de>, E> {
                Ok(Content::default())
            }
            fn visit_none<E>(self) -> Result<Content<'de>, E> {
                Ok(Content::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content<'de>, A::Error> {
                let mut blocks = Vec::with_capacity(seq.size_hint().unwrap_or(2));
                while let Some(item) = seq.next_element::<Item<'de>>()? {
                    blocks.push(item.0);
                }
                Ok(Content::Blocks(blocks))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Content<'de>, A::Error> {
                let block = Block::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(Content::Blocks(vec![block]))
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// A list entry: a block, or a bare string, which is read as a text block.
struct Item<'a>(Block<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Item<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Item<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a content block")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Item<'de>, E> {
                Ok(Item(Block::of_text(Str(v.into()))))
            }
            fn visit_str<E>(self, v: &str) -> Result<Item<'de>, E> {
                Ok(Item(Block::of_text(Str(v.to_owned().into()))))
            }
            fn visit_unit<E>(self) -> Result<Item<'de>, E> {
                Ok(Item(Block::default()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Item<'de>, A::Error> {
                Block::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Item)
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// Any content block: one flat struct, because a tagged enum would buffer and copy.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Block<'a> {
    /// `text`, `image`, `document`, `tool_use`, `tool_result`, `thinking`, …
    #[serde(rename = "type", borrow)]
    pub kind: Str<'a>,
    /// Of a text block.
    pub text: Option<Str<'a>>,
    /// Of a thinking block.
    pub thinking: Option<Str<'a>>,
    /// Of a thinking block.
    pub signature: Option<Str<'a>>,
    /// Of an image or document.
    pub source: DefaultOnError<Source<'a>>,
    /// Of a document.
    pub title: Option<Str<'a>>,
    /// Of a document.
    pub context: Option<Str<'a>>,
    /// Of a tool call.
    pub id: Option<Str<'a>>,
    /// Of a tool call.
    pub name: Option<Str<'a>>,
    /// Of a tool call: its arguments as written.
    #[serde(borrow)]
    pub input: Option<&'a RawValue>,
    /// Of a tool result.
    pub tool_use_id: Option<Str<'a>>,
    /// Of a tool reference.
    pub tool_name: Option<Str<'a>>,
    /// Of a tool result.
    pub content: Option<Content<'a>>,
    /// Of a tool result.
    pub is_error: Option<bool>,
    /// Of a web page that a server tool found.
    pub url: Option<Str<'a>>,
    /// Of a server's code execution.
    pub stdout: Option<Str<'a>>,
    /// Of a server's code execution.
    pub stderr: Option<Str<'a>>,
    /// Of a server tool that failed.
    pub error_code: Option<Str<'a>>,
}

impl<'a> Block<'a> {
    /// A text block.
    pub fn of_text(text: Str<'a>) -> Self {
        Block { kind: Str("text".into()), text: Some(text), ..Block::default() }
    }
}

/// Where an image or a document comes from.
#[derive(Debug, Default)]
pub struct Source<'a> {
    /// `base64`, `url`, `text`, `content` or `file`.
    pub kind: Str<'a>,
    /// Such as `image/png`.
    pub media_type: Option<Str<'a>>,
    /// Base64, or plain text for `text`.
    pub data: Option<Str<'a>>,
    /// For `url`, and where a search result comes from.
    pub url: Option<Str<'a>>,
    /// For `content`.
    pub content: Option<Content<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Source<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Fields<'x> {
            #[serde(rename = "type", borrow)]
            kind: Str<'x>,
            media_type: Option<Str<'x>>,
            data: Option<Str<'x>>,
            url: Option<Str<'x>>,
            content: Option<Content<'x>>,
        }
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Source<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a source")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Source<'de>, E> {
                Ok(Source { url: Some(Str(v.into())), ..Source::default() })
            }
            fn visit_str<E>(self, v: &str) -> Result<Source<'de>, E> {
                Ok(Source { url: Some(Str(v.to_owned().into())), ..Source::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source<'de>, A::Error> {
                let map = serde::de::value::MapAccessDeserializer::new(map);
                let Fields { kind, media_type, data, url, content } = Fields::deserialize(map)?;
                Ok(Source { kind, media_type, data, url, content })
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// A tool's definition.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Tool<'a> {
    /// Absent or `custom` for the client's own tools; else a typed tool such as `bash_20250124`.
    #[serde(rename = "type", borrow)]
    pub kind: Option<Str<'a>>,
    /// Its name.
    pub name: Str<'a>,
    /// For the model.
    pub description: Option<Str<'a>>,
    /// JSON Schema as written.
    #[serde(borrow)]
    pub input_schema: Option<&'a RawValue>,
    /// Left out of the model's context until a tool reference names it.
    pub defer_loading: Option<bool>,
}

/// Whether and what the model must call.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ToolChoice<'a> {
    /// `auto`, `any`, `tool` or `none`.
    #[serde(rename = "type", borrow)]
    pub kind: Str<'a>,
    /// For `tool`.
    pub name: Option<Str<'a>>,
    /// At most one call a turn.
    pub disable_parallel_tool_use: Option<bool>,
}

/// How much the model may think.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Thinking<'a> {
    /// `enabled`, `adaptive` or `disabled`.
    #[serde(rename = "type", borrow)]
    pub kind: Str<'a>,
    /// For `enabled`.
    pub budget_tokens: LenientInt,
}

/// Effort and the format of the answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OutputConfig<'a> {
    /// `low` to `max`.
    #[serde(borrow)]
    pub effort: Option<Str<'a>>,
    /// A JSON schema to answer in.
    pub format: DefaultOnError<OutputFormat<'a>>,
}

/// A JSON schema to answer in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OutputFormat<'a> {
    /// `json_schema`.
    #[serde(rename = "type", borrow)]
    pub kind: Str<'a>,
    /// The schema as written.
    #[serde(borrow)]
    pub schema: Option<&'a RawValue>,
}
