//! Tool schemas for gateways that refuse a whole request for a part of one. Pure; keys keep
//! their order, so that the same schema always gives the same bytes.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;

/// What a tool without a schema gets.
pub const EMPTY: &str = r#"{"type":"object","properties":{}}"#;

/// How much of JSON Schema a gateway takes, the strictest last. A refusal goes on to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// As the client wrote it, with an object at the root.
    JsonSchema,
    /// Valid by draft 2020-12 in every part, arrays with `items`, no combination at the root:
    /// what OpenAI and DeepSeek check.
    Openai,
    /// Only the keywords that Gemini knows, references resolved.
    Common,
    /// Any object: the schema goes into the tool's description.
    Described,
}

impl Dialect {
    /// The next stricter one.
    pub fn stricter(self) -> Option<Dialect> {
        match self {
            Dialect::JsonSchema => Some(Dialect::Openai),
            Dialect::Openai => Some(Dialect::Common),
            Dialect::Common => Some(Dialect::Described),
            Dialect::Described => None,
        }
    }
}

/// The types of JSON Schema.
const TYPES: &[&str] = &["object", "array", "string", "number", "integer", "boolean", "null"];
/// What other type systems call them.
const TYPE_NAMES: &[(&str, &str)] = &[
    ("str", "string"),
    ("text", "string"),
    ("int", "integer"),
    ("long", "integer"),
    ("float", "number"),
    ("double", "number"),
    ("bool", "boolean"),
    ("dict", "object"),
    ("map", "object"),
    ("list", "array"),
    ("tuple", "array"),
    ("none", "null"),
];
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
/// Nested deeper than this nothing is resolved: a reference may name itself.
const DEPTH: usize = 24;
/// A schema with references resolved is not larger than this many nodes.
const NODES: usize = 20_000;

/// A JSON value whose keys keep their order and whose scalars keep their bytes.
#[derive(Clone, Debug)]
enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Scalar(Box<RawValue>),
}

struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(V)
    }
}

impl Node {
    fn parse(raw: &RawValue) -> Node {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') => match serde_json::from_str::<Entries<'_>>(text) {
                Ok(Entries(entries)) => {
                    Node::Object(entries.into_iter().map(|(key, value)| (key, Node::parse(value))).collect())
                }
                Err(_) => Node::Scalar(raw.to_owned()),
            },
            Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(list) => Node::Array(list.into_iter().map(Node::parse).collect()),
                Err(_) => Node::Scalar(raw.to_owned()),
            },
            _ => Node::Scalar(raw.to_owned()),
        }
    }

    /// A value of our own.
    fn of(json: &str) -> Node {
        serde_json::from_str::<&RawValue>(json).map_or(Node::Array(Vec::new()), Node::parse)
    }

    fn object(self) -> Option<Vec<(String, Node)>> {
        if let Node::Object(entries) = self { Some(entries) } else { None }
    }

    fn entries(&self) -> &[(String, Node)] {
        if let Node::Object(entries) = self { entries } else { &[] }
    }

    fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(k, _)| k == key).map(|(_, value)| value)
    }

    fn list(&self) -> &[Node] {
        if let Node::Array(list) = self { list } else { &[] }
    }

    fn scalar(&self) -> &str {
        if let Node::Scalar(raw) = self { raw.get() } else { "" }
    }

    fn string(&self) -> Option<String> {
        serde_json::from_str(self.scalar()).ok()
    }

    fn is_number(&self) -> bool {
        serde_json::from_str::<f64>(self.scalar()).is_ok()
    }

    fn is_bool(&self) -> bool {
        matches!(self.scalar(), "true" | "false")
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Scalar(raw) => raw.serialize(serializer),
            Node::Array(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|item| seq.serialize_element(item))?;
                seq.end()
            }
            Node::Object(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

/// The schema to send. A schema that is not an object becomes the empty one.
pub fn clean(schema: &str, dialect: Dialect) -> Cow<'_, str> {
    if dialect == Dialect::JsonSchema && !schema.contains("\"$schema\"") && is_whole_object(schema) {
        return Cow::Borrowed(schema);
    }
    if dialect == Dialect::Described {
        return Cow::Borrowed(EMPTY);
    }
    let Ok(raw) = serde_json::from_str::<&RawValue>(schema) else { return Cow::Borrowed(EMPTY) };
    let root = Node::parse(raw);
    let Node::Object(_) = &root else { return Cow::Borrowed(EMPTY) };
    let entries = match dialect {
        Dialect::JsonSchema => root.object().unwrap_or_default(),
        strict => {
            let mut repair = Repair { dialect: strict, definitions: &root, nodes: 0 };
            let flat = without_combination(root.clone(), &repair);
            repair.object(flat, 0)
        }
    };
    serde_json::to_string(&Node::Object(with_object_root(entries))).map_or(Cow::Borrowed(EMPTY), Cow::Owned)
}

/// `$schema` goes; the type is an object's, with properties: OpenAI refuses one without.
fn with_object_root(entries: Vec<(String, Node)>) -> Vec<(String, Node)> {
    let mut out: Vec<(String, Node)> = Vec::with_capacity(entries.len() + 2);
    for (key, value) in entries {
        match key.as_str() {
            "$schema" => {}
            "type" => out.push((key, Node::of("\"object\""))),
            _ => out.push((key, value)),
        }
    }
    for (key, value) in [("type", "\"object\""), ("properties", "{}")] {
        if !out.iter().any(|(known, _)| known == key) {
            out.push((key.to_owned(), Node::of(value)));
        }
    }
    out
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

/// An object that has the properties of every alternative at its root: what all of them
/// demand is demanded.
fn without_combination(root: Node, repair: &Repair<'_>) -> Vec<(String, Node)> {
    let mut entries = repair.resolved(root).object().unwrap_or_default();
    let mut properties: Vec<(String, Node)> = Vec::new();
    let mut required: Vec<String> = Vec::new();
    let names = |node: &Node| -> Vec<String> {
        node.get("required").map(|r| r.list().iter().filter_map(Node::string).collect()).unwrap_or_default()
    };
    for combination in ["allOf", "anyOf", "oneOf"] {
        let Some(at) = entries.iter().position(|(key, _)| key == combination) else { continue };
        let branches: Vec<Node> =
            entries.remove(at).1.list().iter().map(|b| repair.resolved(b.clone())).collect();
        let mut of_all: Option<Vec<String>> = None;
        for branch in &branches {
            let demanded = names(branch);
            of_all = Some(match of_all {
                None => demanded,
                Some(so_far) if combination == "allOf" => so_far.into_iter().chain(demanded).collect(),
                Some(so_far) => so_far.into_iter().filter(|name| demanded.contains(name)).collect(),
            });
            for (name, value) in branch.get("properties").map(Node::entries).unwrap_or_default() {
                if !properties.iter().any(|(known, _)| known == name) {
                    properties.push((name.clone(), value.clone()));
                }
            }
        }
        required.extend(of_all.unwrap_or_default());
    }
    entries.retain(|(key, _)| {
        !matches!(
            key.as_str(),
            "enum" | "const" | "not" | "if" | "then" | "else" | "dependentSchemas" | "$ref"
        )
    });
    if properties.is_empty() && required.is_empty() {
        return entries;
    }
    let strings = |names: Vec<String>| {
        Node::Array(names.iter().map(|name| Node::of(&serde_json::json!(name).to_string())).collect())
    };
    match entries.iter_mut().find(|(key, _)| key == "properties") {
        Some((_, Node::Object(own))) => {
            properties.retain(|(name, _)| !own.iter().any(|(known, _)| known == name));
            own.append(&mut properties);
        }
        _ => entries.push(("properties".to_owned(), Node::Object(properties))),
    }
    match entries.iter_mut().find(|(key, _)| key == "required") {
        Some((_, Node::Array(own))) => own.extend(strings(required).list().iter().cloned()),
        _ if required.is_empty() => {}
        _ => entries.push(("required".to_owned(), strings(required))),
    }
    entries
}

/// Takes schemas apart and puts them together again as a strict validator wants them.
struct Repair<'r> {
    dialect: Dialect,
    /// The root, for references.
    definitions: &'r Node,
    nodes: usize,
}

impl Repair<'_> {
    fn common(&self) -> bool {
        self.dialect == Dialect::Common
    }

    /// Anything at all.
    fn anything(&self) -> Node {
        Node::of(if self.common() { "{\"type\":\"string\"}" } else { "{}" })
    }

    /// What a reference inside the schema names, with what is beside it.
    fn resolved(&self, node: Node) -> Node {
        let mut node = node;
        for _ in 0..8 {
            let Some(reference) = node.get("$ref").and_then(Node::string) else { return node };
            let named = self.named(&reference).cloned().unwrap_or(Node::Object(Vec::new()));
            let mut beside = node.object().unwrap_or_default();
            beside.retain(|(key, _)| key != "$ref");
            let mut merged = named.object().unwrap_or_default();
            merged.retain(|(key, _)| !beside.iter().any(|(own, _)| own == key));
            merged.append(&mut beside);
            node = Node::Object(merged);
        }
        node
    }

    fn named(&self, reference: &str) -> Option<&Node> {
        let path = reference.strip_prefix('#')?;
        path.split('/')
            .skip(1)
            .try_fold(self.definitions, |node, step| node.get(&step.replace("~1", "/").replace("~0", "~")))
    }

    fn schema(&mut self, node: Node, depth: usize) -> Node {
        self.nodes += 1;
        if depth > DEPTH || self.nodes > NODES {
            return self.anything();
        }
        let node = if self.common() { self.resolved(node) } else { node };
        match node {
            Node::Object(entries) => Node::Object(self.object(entries, depth)),
            // `true`, `false` and nonsense: anything goes.
            _ => self.anything(),
        }
    }

    fn schemas(&mut self, node: Node, depth: usize) -> Option<Node> {
        let Node::Array(list) = node else { return None };
        (!list.is_empty()).then(|| Node::Array(list.into_iter().map(|s| self.schema(s, depth)).collect()))
    }

    fn members(&mut self, node: Node, depth: usize) -> Option<Node> {
        let members = node.object()?;
        Some(Node::Object(members.into_iter().map(|(name, s)| (name, self.schema(s, depth))).collect()))
    }

    fn object(&mut self, entries: Vec<(String, Node)>, depth: usize) -> Vec<(String, Node)> {
        let mut out: Vec<(String, Node)> = Vec::with_capacity(entries.len() + 1);
        for (key, value) in entries {
            for (key, value) in self.keyword(&key, value, depth + 1) {
                if !out.iter().any(|(known, _)| *known == key) {
                    out.push((key, value));
                }
            }
        }
        let is_array =
            out.iter().any(|(key, value)| key == "type" && types(value).iter().any(|t| t == "array"));
        if is_array && !out.iter().any(|(key, _)| key == "items") {
            out.push(("items".to_owned(), self.anything()));
        }
        if self.common() {
            only_declared(&mut out);
        }
        out
    }

    /// What becomes of one keyword: itself, corrected; another one; or nothing.
    fn keyword(&mut self, key: &str, value: Node, depth: usize) -> Vec<(String, Node)> {
        let one = |key: &str, value: Node| vec![(key.to_owned(), value)];
        let kept = |key: &str, value: Option<Node>| value.map(|v| one(key, v)).unwrap_or_default();
        match key {
            "type" => self.type_of(&value),
            "properties" => kept(key, self.members(value, depth)),
            "$defs" | "definitions" | "patternProperties" | "dependentSchemas" if !self.common() => {
                kept(key, self.members(value, depth))
            }
            "items" => one(key, self.items(value, depth)),
            "prefixItems" if !self.common() => kept(key, self.schemas(value, depth)),
            "oneOf" | "anyOf" if self.common() => kept("anyOf", self.schemas(value, depth)),
            "anyOf" | "oneOf" | "allOf" if !self.common() => kept(key, self.schemas(value, depth)),
            "not" | "if" | "then" | "else" | "contains" | "propertyNames" if !self.common() => {
                one(key, self.schema(value, depth))
            }
            "additionalProperties" if !self.common() => match value {
                Node::Object(_) => one(key, self.schema(value, depth)),
                value if value.is_bool() => one(key, value),
                _ => Vec::new(),
            },
            "required" => kept(key, names(&value)),
            // Gemini knows enumerations of strings only.
            "const" if self.common() => kept("enum", value.string().map(|_| Node::Array(vec![value]))),
            "enum" if self.common() && value.list().iter().any(|v| v.string().is_none()) => Vec::new(),
            "enum" => kept(key, Some(value).filter(|v| !v.list().is_empty())),
            "format" if self.common() => kept(key, Some(value).filter(|v| FORMATS.contains(&v.scalar()))),
            _ if self.common() && !KNOWN.contains(&key) => Vec::new(),
            // A reference that leads nowhere refuses the whole.
            "$ref" => {
                let leads = value.string().is_some_and(|r| r == "#" || self.named(&r).is_some());
                kept(key, Some(value).filter(|_| leads))
            }
            "description" | "title" | "format" | "pattern" | "$id" | "$anchor" | "$comment" => {
                kept(key, Some(value).filter(|v| v.string().is_some()))
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf" | "minLength"
            | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
                kept(key, Some(value).filter(Node::is_number))
            }
            "uniqueItems" | "deprecated" | "readOnly" | "writeOnly" | "nullable" => {
                kept(key, Some(value).filter(Node::is_bool))
            }
            _ => one(key, value),
        }
    }

    fn type_of(&self, value: &Node) -> Vec<(String, Node)> {
        let named = |name: &str| Node::of(&format!("\"{name}\""));
        let known = types(value);
        let (nullable, plain) = (known.iter().any(|t| t == "null"), known.iter().filter(|t| *t != "null"));
        match (self.common(), known.as_slice(), value) {
            (_, [], _) => Vec::new(),
            // ["string", "null"] is a nullable string there.
            (true, _, _) => {
                let first = plain.into_iter().next().map_or("string", String::as_str);
                let mut out = vec![("type".to_owned(), named(first))];
                if nullable {
                    out.push(("nullable".to_owned(), Node::of("true")));
                }
                out
            }
            (false, [one], _) => vec![("type".to_owned(), named(one))],
            (false, many, _) => {
                vec![("type".to_owned(), Node::Array(many.iter().map(|t| named(t)).collect()))]
            }
        }
    }

    /// A list of schemas, one for each place, becomes the alternatives of every place.
    fn items(&mut self, value: Node, depth: usize) -> Node {
        match value {
            Node::Array(mut list) if list.len() == 1 => self.schema(list.remove(0), depth),
            list @ Node::Array(_) => match self.schemas(list, depth) {
                Some(alternatives) => Node::Object(vec![("anyOf".to_owned(), alternatives)]),
                None => self.anything(),
            },
            one => self.schema(one, depth),
        }
    }
}

/// The known types that a `type` names, in our words.
fn types(value: &Node) -> Vec<String> {
    let listed = match value {
        Node::Array(list) => list.iter().filter_map(Node::string).collect(),
        one => one.string().into_iter().collect::<Vec<_>>(),
    };
    let mut out: Vec<String> = Vec::new();
    for name in listed {
        let name = name.to_ascii_lowercase();
        let other = TYPE_NAMES.iter().find(|(other, _)| *other == name).map(|(_, known)| *known);
        let known = TYPES.iter().find(|t| **t == name).copied().or(other);
        out.extend(known.map(str::to_owned).filter(|known| !out.contains(known)));
    }
    out
}

/// Names, each once; nothing when it is no list (the `required: true` of draft 3).
fn names(value: &Node) -> Option<Node> {
    let Node::Array(list) = value else { return None };
    let mut seen: Vec<String> = Vec::new();
    let mut out = Vec::new();
    for item in list {
        if let Some(name) = item.string().filter(|name| !seen.contains(name)) {
            seen.push(name);
            out.push(item.clone());
        }
    }
    Some(Node::Array(out))
}

/// Gemini refuses a required name that is no property.
fn only_declared(entries: &mut Vec<(String, Node)>) {
    let declared: Vec<String> = entries
        .iter()
        .filter(|(key, _)| key == "properties")
        .flat_map(|(_, value)| value.entries().iter().map(|(name, _)| name.clone()))
        .collect();
    for (key, value) in entries.iter_mut() {
        if let ("required", Node::Array(list)) = (key.as_str(), value) {
            list.retain(|name| name.string().is_some_and(|name| declared.contains(&name)));
        }
    }
    entries.retain(|(key, value)| key != "required" || !value.list().is_empty());
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
        use Dialect::{Common, Described, JsonSchema};
        let cases = [
            (r#"{"type":"object","properties":{}}"#, JsonSchema, r#"{"type":"object","properties":{}}"#),
            (
                r#"{"$schema":"x","type":"object","b":1,"a":2,"properties":{}}"#,
                JsonSchema,
                r#"{"type":"object","b":1,"a":2,"properties":{}}"#,
            ),
            (r#"{"properties":{}}"#, JsonSchema, r#"{"properties":{},"type":"object"}"#),
            (r#"{"type":"object"}"#, JsonSchema, r#"{"type":"object","properties":{}}"#),
            ("{}", JsonSchema, r#"{"type":"object","properties":{}}"#),
            ("null", JsonSchema, EMPTY),
            ("[1]", Common, EMPTY),
            (r#"{"type":"object","properties":{"a":{"type":"array"}}}"#, Described, EMPTY),
            (
                r#"{"type":"object","additionalProperties":false,"properties":{"$schema":{"type":["string","null"],"format":"uri","pattern":"x"},"k":{"const":"c"},"m":{"enum":[1,2]},"l":{"items":{"oneOf":[{"type":"string","exclusiveMinimum":1}]}}}}"#,
                Common,
                r#"{"type":"object","properties":{"$schema":{"type":"string","nullable":true},"k":{"enum":["c"]},"m":{},"l":{"items":{"anyOf":[{"type":"string"}]}}}}"#,
            ),
        ];
        for (input, dialect, expected) in cases {
            assert_eq!(clean(input, dialect), expected, "{input}");
        }
    }

    /// What refuses a whole request, as one property `p` or at the root, and what is sent to
    /// OpenAI's and Gemini's validators in its place.
    #[test]
    fn what_is_refused_whole() {
        let at_p = [
            (
                "an array without items",
                r#"{"type":"array"}"#,
                r#"{"type":"array","items":{}}"#,
                r#"{"type":"array","items":{"type":"string"}}"#,
            ),
            (
                "an array or null without items",
                r#"{"type":["array","null"]}"#,
                r#"{"type":["array","null"],"items":{}}"#,
                r#"{"type":"array","nullable":true,"items":{"type":"string"}}"#,
            ),
            (
                "items true",
                r#"{"type":"array","items":true}"#,
                r#"{"type":"array","items":{}}"#,
                r#"{"type":"array","items":{"type":"string"}}"#,
            ),
            (
                "items null",
                r#"{"type":"array","items":null}"#,
                r#"{"type":"array","items":{}}"#,
                r#"{"type":"array","items":{"type":"string"}}"#,
            ),
            (
                "a tuple",
                r#"{"type":"array","items":[{"type":"string"},{"type":"integer"}]}"#,
                r#"{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"integer"}]}}"#,
                r#"{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"integer"}]}}"#,
            ),
            (
                "a tuple of one",
                r#"{"type":"array","items":[{"type":"string"}]}"#,
                r#"{"type":"array","items":{"type":"string"}}"#,
                r#"{"type":"array","items":{"type":"string"}}"#,
            ),
            (
                "prefixItems alone",
                r#"{"type":"array","prefixItems":[{"type":"string"}]}"#,
                r#"{"type":"array","prefixItems":[{"type":"string"}],"items":{}}"#,
                r#"{"type":"array","items":{"type":"string"}}"#,
            ),
            (
                "arrays of arrays",
                r#"{"type":"array","items":{"type":"array"}}"#,
                r#"{"type":"array","items":{"type":"array","items":{}}}"#,
                r#"{"type":"array","items":{"type":"array","items":{"type":"string"}}}"#,
            ),
            ("true as a schema", "true", "{}", r#"{"type":"string"}"#),
            ("null as a schema", "null", "{}", r#"{"type":"string"}"#),
            ("an unknown type", r#"{"type":"any"}"#, "{}", "{}"),
            ("Python's types", r#"{"type":"int"}"#, r#"{"type":"integer"}"#, r#"{"type":"integer"}"#),
            ("types in capitals", r#"{"type":"STRING"}"#, r#"{"type":"string"}"#, r#"{"type":"string"}"#),
            (
                "required as in draft 3",
                r#"{"type":"string","required":true}"#,
                r#"{"type":"string"}"#,
                r#"{"type":"string"}"#,
            ),
            (
                "a name required twice",
                r#"{"type":"object","properties":{"a":{}},"required":["a","a"]}"#,
                r#"{"type":"object","properties":{"a":{}},"required":["a"]}"#,
                r#"{"type":"object","properties":{"a":{}},"required":["a"]}"#,
            ),
            (
                "a required name that is no property",
                r#"{"type":"object","properties":{"a":{}},"required":["b"]}"#,
                r#"{"type":"object","properties":{"a":{}},"required":["b"]}"#,
                r#"{"type":"object","properties":{"a":{}}}"#,
            ),
            (
                "exclusiveMinimum as in draft 4",
                r#"{"type":"number","minimum":0,"exclusiveMinimum":true}"#,
                r#"{"type":"number","minimum":0}"#,
                r#"{"type":"number","minimum":0}"#,
            ),
            (
                "an empty enumeration",
                r#"{"type":"string","enum":[]}"#,
                r#"{"type":"string"}"#,
                r#"{"type":"string"}"#,
            ),
            ("an enumeration of numbers", r#"{"enum":[1,2]}"#, r#"{"enum":[1,2]}"#, "{}"),
            ("an empty combination", r#"{"anyOf":[]}"#, "{}", "{}"),
            (
                "properties null",
                r#"{"type":"object","properties":null}"#,
                r#"{"type":"object"}"#,
                r#"{"type":"object"}"#,
            ),
            (
                "additionalProperties null",
                r#"{"type":"object","additionalProperties":null}"#,
                r#"{"type":"object"}"#,
                r#"{"type":"object"}"#,
            ),
            (
                "a description that is no text",
                r#"{"type":"string","description":null}"#,
                r#"{"type":"string"}"#,
                r#"{"type":"string"}"#,
            ),
            (
                "a length that is no number",
                r#"{"type":"string","maxLength":"9"}"#,
                r#"{"type":"string"}"#,
                r#"{"type":"string"}"#,
            ),
            ("a reference to nothing", r##"{"$ref":"#/$defs/none"}"##, "{}", "{}"),
            ("a reference elsewhere", r#"{"$ref":"https://x.example/s.json"}"#, "{}", "{}"),
            ("const", r#"{"const":"c"}"#, r#"{"const":"c"}"#, r#"{"enum":["c"]}"#),
            (
                "oneOf",
                r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
                r#"{"oneOf":[{"type":"string"},{"type":"null"}]}"#,
                r#"{"anyOf":[{"type":"string"},{"type":"string","nullable":true}]}"#,
            ),
        ];
        for (name, schema, openai, common) in at_p {
            for (dialect, expected) in [(Dialect::Openai, openai), (Dialect::Common, common)] {
                let whole = format!(r#"{{"type":"object","properties":{{"p":{schema}}}}}"#);
                let expected = format!(r#"{{"type":"object","properties":{{"p":{expected}}}}}"#);
                assert_eq!(clean(&whole, dialect), expected, "{name}, {dialect:?}");
            }
        }
        let at_root = [
            (
                "anyOf at the root",
                r#"{"type":"object","anyOf":[{"properties":{"a":{"type":"string"},"b":{}},"required":["a","b"]},{"properties":{"c":{}},"required":["b"]}]}"#,
                r#"{"type":"object","properties":{"a":{"type":"string"},"b":{},"c":{}},"required":["b"]}"#,
            ),
            (
                "allOf at the root, beside properties",
                r#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"allOf":[{"properties":{"a":{},"b":{}},"required":["b"]}]}"#,
                r#"{"type":"object","properties":{"a":{"type":"integer"},"b":{}},"required":["a","b"]}"#,
            ),
            (
                "oneOf of references",
                r##"{"oneOf":[{"$ref":"#/definitions/x"}],"definitions":{"x":{"type":"object","properties":{"a":{"type":"array"}}}}}"##,
                r##"{"definitions":{"x":{"type":"object","properties":{"a":{"type":"array","items":{}}}}},"properties":{"a":{"type":"array","items":{}}},"type":"object"}"##,
            ),
            (
                "not and enum",
                r#"{"type":"object","properties":{},"not":{"required":["a"]},"enum":[{}]}"#,
                EMPTY,
            ),
            (
                "a reference as the whole",
                r##"{"$ref":"#/$defs/x","$defs":{"x":{"type":"object","properties":{"a":{}}}}}"##,
                r##"{"type":"object","properties":{"a":{}},"$defs":{"x":{"type":"object","properties":{"a":{}}}}}"##,
            ),
            ("a type of the root that is none", r#"{"type":"string"}"#, EMPTY),
            (
                "a list of types",
                r#"{"type":["object","null"],"properties":{"a":{}}}"#,
                r#"{"type":"object","properties":{"a":{}}}"#,
            ),
        ];
        for (name, schema, expected) in at_root {
            assert_eq!(clean(schema, Dialect::Openai), expected, "{name}");
        }
        let resolved = clean(
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/x","description":"d"}},"$defs":{"x":{"type":"object","properties":{"again":{"$ref":"#/$defs/x"}}}}}"##,
            Dialect::Common,
        );
        assert!(!resolved.contains("$ref") && resolved.contains("\"description\":\"d\""), "{resolved}");
        assert!(resolved.len() < 10_000, "a schema that names itself ends");
    }
}
