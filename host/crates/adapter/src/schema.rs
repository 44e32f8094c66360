//! Tool schemas for gateways that refuse parts of JSON Schema. Keys keep their order, so the
//! same schema always gives the same bytes.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// What a tool without a schema gets.
pub const EMPTY: &str = r#"{"type":"object","properties":{}}"#;

/// Keywords that Gemini-compatible validators know.
const KNOWN: &[&str] = &[
    "type",
    "description",
    "properties",
    "required",
    "items",
    "enum",
    "nullable",
    "format",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "anyOf",
    "title",
];
/// Formats that Gemini-compatible validators take.
const FORMATS: &[&str] = &["\"enum\"", "\"date-time\"", "\"int32\"", "\"int64\"", "\"float\"", "\"double\""];

/// An object whose keys keep their order.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<super::lenient::Str<'de>, &'de RawValue>()? {
                    entries.push((key.0, value));
                }
                Ok(Object(entries))
            }
        }
        deserializer.deserialize_map(V)
    }
}

struct Written(Vec<(String, Box<RawValue>)>);

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// The schema to send: `$schema` is dropped, an object type is made sure of, and with
/// `keep_only` whatever a strict validator does not know goes too. A schema that is not an
/// object becomes the empty one.
pub fn clean(schema: &str, keep_only: bool) -> Cow<'_, str> {
    if !keep_only && !schema.contains("\"$schema\"") && is_whole_object(schema) {
        return Cow::Borrowed(schema);
    }
    let Ok(Object(entries)) = serde_json::from_str::<Object<'_>>(schema) else {
        return Cow::Borrowed(EMPTY);
    };
    let mut out: Vec<(String, Box<RawValue>)> = Vec::with_capacity(entries.len());
    let mut typed = false;
    let mut has_properties = false;
    for (key, value) in entries {
        has_properties |= key == "properties";
        match key.as_ref() {
            "$schema" => continue,
            "type" => {
                typed = true;
                push(&mut out, "type", "\"object\"");
            }
            _ if keep_only => keep(&mut out, &key, value.get()),
            _ => push(&mut out, &key, value.get()),
        }
    }
    if !typed {
        push(&mut out, "type", "\"object\"");
    }
    // OpenAI refuses an object without it.
    if !has_properties {
        push(&mut out, "properties", "{}");
    }
    serde_json::to_string(&Written(out)).map_or(Cow::Borrowed(EMPTY), Cow::Owned)
}

fn is_whole_object(schema: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Top<'a> {
        #[serde(rename = "type", borrow)]
        kind: super::lenient::Str<'a>,
        #[serde(borrow)]
        properties: Option<&'a RawValue>,
    }
    let top = serde_json::from_str::<Top<'_>>(schema);
    top.is_ok_and(|top| top.kind.as_str() == "object" && top.properties.is_some())
}

fn push(out: &mut Vec<(String, Box<RawValue>)>, key: &str, value: &str) {
    if let Ok(value) = RawValue::from_string(value.to_owned()) {
        out.push((key.to_owned(), value));
    }
}

/// Adds a keyword when it is known, its sub-schemas cleaned the same way.
fn keep(out: &mut Vec<(String, Box<RawValue>)>, key: &str, value: &str) {
    match key {
        "properties" => {
            let Ok(Object(properties)) = serde_json::from_str::<Object<'_>>(value) else { return };
            let cleaned: Vec<_> = properties
                .into_iter()
                .filter_map(|(name, sub)| {
                    Some((name.into_owned(), RawValue::from_string(clean_sub(sub.get())).ok()?))
                })
                .collect();
            if let Ok(text) = serde_json::to_string(&Written(cleaned)) {
                push(out, key, &text);
            }
        }
        "items" => push(out, key, &clean_sub(value)),
        "anyOf" | "oneOf" => {
            let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(value) else { return };
            let cleaned: Vec<String> = list.iter().map(|sub| clean_sub(sub.get())).collect();
            push(out, "anyOf", &format!("[{}]", cleaned.join(",")));
        }
        // Gemini knows enumerations of strings only.
        "const" if value.starts_with('"') => push(out, "enum", &format!("[{value}]")),
        "const" => {}
        "enum" if serde_json::from_str::<Vec<String>>(value).is_err() => {}
        "format" if !FORMATS.contains(&value) => {}
        _ if KNOWN.contains(&key) => push(out, key, value),
        _ => {}
    }
}

fn clean_sub(schema: &str) -> String {
    // `true`, `false` and lists of types have no counterpart: anything goes.
    let Ok(Object(entries)) = serde_json::from_str::<Object<'_>>(schema) else {
        return "{\"type\":\"string\"}".to_owned();
    };
    let mut out = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        match (key.as_ref(), serde_json::from_str::<Vec<String>>(value.get())) {
            // ["string", "null"] is a nullable string there.
            ("type", Ok(types)) => {
                let first = types.iter().find(|t| *t != "null").map_or("string", String::as_str);
                push(&mut out, "type", &format!("\"{first}\""));
                if types.iter().any(|t| t == "null") {
                    push(&mut out, "nullable", "true");
                }
            }
            _ => keep(&mut out, &key, value.get()),
        }
    }
    serde_json::to_string(&Written(out)).unwrap_or_else(|_| "{}".to_owned())
}

/// Schemas of Anthropic's typed client tools, which arrive without one.
pub fn of_typed_tool(kind: &str) -> Option<(&'static str, &'static str)> {
    if kind.starts_with("bash_") {
        return Some((
            "Runs a command in a persistent shell.",
            r#"{"type":"object","properties":{"command":{"type":"string"},"restart":{"type":"boolean"}}}"#,
        ));
    }
    if kind.starts_with("text_editor_") {
        return Some((
            "Views, creates and edits files.",
            concat!(
                r#"{"type":"object","properties":{"command":{"type":"string","enum":["view","create","str_replace","insert"]},"#,
                r#""path":{"type":"string"},"file_text":{"type":"string"},"old_str":{"type":"string"},"new_str":{"type":"string"},"#,
                r#""insert_line":{"type":"integer"},"view_range":{"type":"array","items":{"type":"integer"}}},"required":["command","path"]}"#
            ),
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaned_schemas() {
        let cases = [
            (r#"{"type":"object","properties":{}}"#, false, r#"{"type":"object","properties":{}}"#),
            (
                r#"{"$schema":"x","type":"object","b":1,"a":2,"properties":{}}"#,
                false,
                r#"{"type":"object","b":1,"a":2,"properties":{}}"#,
            ),
            (r#"{"properties":{}}"#, false, r#"{"properties":{},"type":"object"}"#),
            (r#"{"type":"object"}"#, false, r#"{"type":"object","properties":{}}"#),
            ("{}", false, r#"{"type":"object","properties":{}}"#),
            ("null", false, EMPTY),
            (
                r#"{"type":"object","additionalProperties":false,"properties":{"$schema":{"type":["string","null"],"format":"uri","pattern":"x"},"k":{"const":"c"},"m":{"enum":[1,2]},"l":{"items":{"oneOf":[{"type":"string","exclusiveMinimum":1}]}}}}"#,
                true,
                r#"{"type":"object","properties":{"$schema":{"type":"string","nullable":true},"k":{"enum":["c"]},"m":{},"l":{"items":{"anyOf":[{"type":"string"}]}}}}"#,
            ),
        ];
        for (input, keep_only, expected) in cases {
            assert_eq!(clean(input, keep_only), expected, "{input}");
        }
    }
}
