//! Tool calls that a model writes as text because its gateway did not parse them. Text that
//! may begin one is held back; it becomes a call only when every tool in it was declared,
//! else it is given back as the text that it was. Pure.

use serde_json::{Map, Value};

use super::names::Declared;

/// A syntax in which models write calls.
struct Form {
    begin: &'static str,
    /// None: it goes on to the end of the text.
    end: Option<&'static str>,
    /// Takes what is between the marks.
    parse: fn(&str, &Declared) -> Option<Vec<Found>>,
}

const FORMS: &[Form] = &[
    Form { begin: "<tool_call>", end: Some("</tool_call>"), parse: tagged },
    Form { begin: "<function=", end: Some("</function>"), parse: bare_function },
    Form { begin: "<｜DSML｜function_calls>", end: Some("</｜DSML｜function_calls>"), parse: dsml },
    Form { begin: "<｜DSML｜tool_calls>", end: Some("</｜DSML｜tool_calls>"), parse: dsml },
    Form {
        begin: "<｜tool▁calls▁begin｜>", end: Some("<｜tool▁calls▁end｜>"), parse: deepseek_v3
    },
    Form { begin: "<|tool_calls_section_begin|>", end: Some("<|tool_calls_section_end|>"), parse: kimi },
    Form { begin: "<minimax:tool_call>", end: Some("</minimax:tool_call>"), parse: invocations },
    Form { begin: "<function_calls>", end: Some("</function_calls>"), parse: invocations },
    Form { begin: "<seed:tool_call>", end: Some("</seed:tool_call>"), parse: tagged },
    Form { begin: "<longcat_tool_call>", end: Some("</longcat_tool_call>"), parse: tagged },
    Form { begin: "[TOOL_CALLS]", end: None, parse: mistral },
    Form { begin: "<|python_tag|>", end: None, parse: tagged },
];
/// More than this is not a call.
const MAX_HELD: usize = 256 * 1024;

/// What text turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text.
    Text(String),
    /// The gateway's name of a declared tool, and arguments as JSON text.
    Call(String, String),
}

/// Holds back what may be a call.
#[derive(Debug, Default)]
pub struct Recover {
    held: String,
    /// Which form has begun.
    form: Option<usize>,
}

impl Recover {
    /// Whether text can pass by without looking: the usual case.
    pub fn idle(&self, text: &str) -> bool {
        self.held.is_empty() && !text.contains(['<', '['])
    }

    /// Takes text and gives what is decided.
    pub fn push(&mut self, text: &str, declared: &Declared) -> Vec<Piece> {
        let mut out = Vec::new();
        self.held.push_str(text);
        loop {
            match self.form {
                None => {
                    let Some(at) = self.held.find(['<', '[']) else {
                        give(&mut out, std::mem::take(&mut self.held));
                        return out;
                    };
                    let rest = self.held.split_off(at);
                    give(&mut out, std::mem::replace(&mut self.held, rest));
                    if let Some(form) = FORMS.iter().position(|f| self.held.starts_with(f.begin)) {
                        self.form = Some(form);
                        continue;
                    }
                    if FORMS.iter().any(|f| f.begin.starts_with(&self.held)) {
                        return out;
                    }
                    // Not a beginning: the character goes on, the rest is looked at again.
                    let rest = self.held.split_off(1);
                    give(&mut out, std::mem::replace(&mut self.held, rest));
                }
                Some(form) => {
                    let end = FORMS[form].end.and_then(|end| Some(self.held.find(end)? + end.len()));
                    let Some(at) = end else {
                        if self.held.len() > MAX_HELD {
                            self.form = None;
                            give(&mut out, std::mem::take(&mut self.held));
                        }
                        return out;
                    };
                    let rest = self.held.split_off(at);
                    let whole = std::mem::replace(&mut self.held, rest);
                    self.form = None;
                    decide(whole, form, declared, &mut out);
                }
            }
        }
    }

    /// The end of the text: what is held is decided now. Models leave out the end mark when
    /// it is their stop word.
    pub fn finish(&mut self, declared: &Declared) -> Vec<Piece> {
        let mut out = Vec::new();
        let held = std::mem::take(&mut self.held);
        match self.form.take() {
            Some(form) => decide(held, form, declared, &mut out),
            None => give(&mut out, held),
        }
        out
    }
}

impl Recover {
    /// The end of a text that was cut: what is held is text.
    pub fn give_up(&mut self) -> Vec<Piece> {
        let mut out = Vec::new();
        self.form = None;
        give(&mut out, std::mem::take(&mut self.held));
        out
    }
}

fn give(out: &mut Vec<Piece>, text: String) {
    if text.is_empty() {
        return;
    }
    if let Some(Piece::Text(last)) = out.last_mut() {
        last.push_str(&text);
    } else {
        out.push(Piece::Text(text));
    }
}

fn decide(whole: String, form: usize, declared: &Declared, out: &mut Vec<Piece>) {
    let Form { begin, end, parse } = &FORMS[form];
    let inner = whole.strip_prefix(begin).unwrap_or(&whole);
    let inner = end.and_then(|end| inner.strip_suffix(end)).unwrap_or(inner);
    let calls = parse(inner, declared);
    match calls {
        Some(calls) if !calls.is_empty() => {
            out.extend(calls.into_iter().map(|(name, arguments)| Piece::Call(name, arguments)));
        }
        _ => give(out, whole),
    }
}

type Found = (String, String);

/// Hermes, Qwen and Llama (`{"name", "arguments"}`, also in a list), Qwen Coder
/// (`<function=…>`), GLM (`name<arg_key>…`).
fn tagged(inner: &str, declared: &Declared) -> Option<Vec<Found>> {
    let inner = inner.trim();
    if inner.starts_with(['{', '[']) {
        return objects(inner, declared);
    }
    if inner.starts_with("<function=") {
        return function_tag(inner, declared).map(|c| vec![c]);
    }
    let name_end = inner.find("<arg_key>").unwrap_or(inner.len());
    let name = known(&inner[..name_end], declared)?;
    let mut object = Map::new();
    let mut rest = &inner[name_end..];
    while let Some((key, after)) = between(rest, "<arg_key>", "</arg_key>") {
        let (value, after) = between(after, "<arg_value>", "</arg_value>")?;
        object.insert(key.trim().to_owned(), typed(&name, key.trim(), value, None, declared));
        rest = after;
    }
    Some(vec![(name, Value::Object(object).to_string())])
}

/// Objects with name and arguments: one, a list of them, or one after the other.
fn objects(text: &str, declared: &Declared) -> Option<Vec<Found>> {
    let mut calls = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let list = match value.ok()? {
            Value::Array(list) => list,
            one => vec![one],
        };
        for value in list {
            let name = value.get("name")?.as_str()?;
            let arguments = match value.get("arguments").or(value.get("parameters")) {
                None | Some(Value::Null) => "{}".to_owned(),
                Some(Value::String(text)) => text.clone(),
                Some(object) => object.to_string(),
            };
            calls.push((known(name, declared)?, arguments));
        }
    }
    Some(calls)
}

/// `[TOOL_CALLS]` and a list of objects, or `name{…}` and `name[ARGS]{…}`, each after a mark.
fn mistral(inner: &str, declared: &Declared) -> Option<Vec<Found>> {
    let inner = inner.trim().trim_end_matches("</s>");
    if inner.trim_start().starts_with('[') {
        return objects(inner, declared);
    }
    let mut calls = Vec::new();
    for call in inner.split("[TOOL_CALLS]") {
        let (name, arguments) = call.split_at(call.find('{')?);
        let name = name.split('[').next().unwrap_or(name);
        serde_json::from_str::<Map<String, Value>>(arguments.trim()).ok()?;
        calls.push((known(name, declared)?, arguments.trim().to_owned()));
    }
    Some(calls)
}

fn bare_function(inner: &str, declared: &Declared) -> Option<Vec<Found>> {
    function_tag(&format!("<function={inner}"), declared).map(|call| vec![call])
}

/// `<function=Name><parameter=key>value</parameter></function>`
fn function_tag(text: &str, declared: &Declared) -> Option<Found> {
    let (name, mut rest) = between(text, "<function=", ">")?;
    let name = known(name, declared)?;
    let mut object = Map::new();
    while let Some((key, after)) = between(rest, "<parameter=", ">") {
        let end = after.find("</parameter>").unwrap_or(after.len());
        let value = after[..end].strip_prefix('\n').unwrap_or(&after[..end]);
        let value = value.strip_suffix('\n').unwrap_or(value);
        object.insert(key.to_owned(), typed(&name, key, value, None, declared));
        rest = after.get(end + "</parameter>".len()..).unwrap_or("");
    }
    Some((name, Value::Object(object).to_string()))
}

fn dsml(inner: &str, declared: &Declared) -> Option<Vec<Found>> {
    invoked(inner, "｜DSML｜", declared)
}

fn invocations(inner: &str, declared: &Declared) -> Option<Vec<Found>> {
    invoked(inner, "", declared)
}

/// `<invoke name="x"><parameter name="k" string="true">v</parameter></invoke>`, the tags with
/// a mark in front or without.
fn invoked(inner: &str, mark: &str, declared: &Declared) -> Option<Vec<Found>> {
    let [invoke, parameter] = ["invoke", "parameter"].map(|tag| format!("<{mark}{tag} name=\""));
    let [invoke_end, parameter_end] = ["invoke", "parameter"].map(|tag| format!("</{mark}{tag}>"));
    let mut calls = Vec::new();
    let mut rest = inner;
    while let Some((name, after)) = between(rest, &invoke, "\">") {
        let name = known(name, declared)?;
        let end = after.find(&invoke_end).unwrap_or(after.len());
        let mut object = Map::new();
        let mut body = &after[..end];
        while let Some((head, tail)) = between(body, &parameter, ">") {
            let (key, flags) = head.split_once('"')?;
            let stop = tail.find(&parameter_end).unwrap_or(tail.len());
            let is_string = flags.contains("string=").then(|| flags.contains("string=\"true\""));
            object.insert(key.to_owned(), typed(&name, key, &tail[..stop], is_string, declared));
            body = &tail[stop..];
        }
        calls.push((name, Value::Object(object).to_string()));
        rest = &after[end..];
    }
    Some(calls)
}

/// `<｜tool▁call▁begin｜>function<｜tool▁sep｜>name\n```json\n{…}\n```<｜tool▁call▁end｜>`
fn deepseek_v3(inner: &str, declared: &Declared) -> Option<Vec<Found>> {
    let mut calls = Vec::new();
    let mut rest = inner;
    while let Some((call, after)) = between(rest, "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>")
    {
        let (head, tail) = call.split_once("<｜tool▁sep｜>")?;
        let (name, arguments) = match tail.split_once('\n') {
            Some((name, body)) if head.trim() == "function" => (name, body),
            _ => (head, tail),
        };
        let arguments = arguments.trim().trim_start_matches("```json").trim_matches('`').trim();
        serde_json::from_str::<Map<String, Value>>(arguments).ok()?;
        calls.push((known(name, declared)?, arguments.to_owned()));
        rest = after;
    }
    Some(calls)
}

/// `<|tool_call_begin|>functions.Bash:0<|tool_call_argument_begin|>{…}<|tool_call_end|>`
fn kimi(inner: &str, declared: &Declared) -> Option<Vec<Found>> {
    let mut calls = Vec::new();
    let mut rest = inner;
    while let Some((call, after)) = between(rest, "<|tool_call_begin|>", "<|tool_call_end|>") {
        let (name, arguments) = call.split_once("<|tool_call_argument_begin|>")?;
        serde_json::from_str::<Map<String, Value>>(arguments.trim()).ok()?;
        calls.push((known(name, declared)?, arguments.trim().to_owned()));
        rest = after;
    }
    Some(calls)
}

fn known(name: &str, declared: &Declared) -> Option<String> {
    let name = name.trim();
    declared.find(name).map(|tool| super::names::safe_name(&tool.name).into_owned())
}

fn between<'x>(text: &'x str, begin: &str, end: &str) -> Option<(&'x str, &'x str)> {
    let after = &text[text.find(begin)? + begin.len()..];
    let at = after.find(end)?;
    Some((&after[..at], &after[at + end.len()..]))
}

/// A parameter that is written as bare text: a string when the schema (or the form) says so,
/// else JSON when it parses.
fn typed(tool: &str, key: &str, text: &str, is_string: Option<bool>, declared: &Declared) -> Value {
    let by_schema = || {
        let schema: Value = serde_json::from_str(&declared.find(tool)?.schema).ok()?;
        let kind = schema.get("properties")?.get(key)?.get("type")?.as_str()?.to_owned();
        Some(kind == "string")
    };
    if is_string.or_else(by_schema).unwrap_or(false) {
        return Value::String(text.to_owned());
    }
    serde_json::from_str(text.trim()).unwrap_or_else(|_| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_calls() {
        let mut declared = Declared::default();
        let schema = r#"{"type":"object","properties":{"command":{"type":"string"},"n":{"type":"integer"}}}"#;
        declared.insert("Bash", schema);
        let call = |args: &str| vec![Piece::Call("Bash".to_owned(), args.to_owned())];
        let text = |t: &str| vec![Piece::Text(t.to_owned())];
        let cases: Vec<(&str, Vec<Piece>)> = vec![
            (r#"<tool_call>{"name":"Bash","arguments":{"n":1}}</tool_call>"#, call(r#"{"n":1}"#)),
            (r#"<tool_call>{"name":"Bash","arguments":{"n":1}}"#, call(r#"{"n":1}"#)),
            (
                "<tool_call>Bash\n<arg_key>command</arg_key>\n<arg_value>12</arg_value></tool_call>",
                call(r#"{"command":"12"}"#),
            ),
            (
                "<tool_call>\n<function=Bash>\n<parameter=n>\n12\n</parameter>\n</function>\n</tool_call>",
                call(r#"{"n":12}"#),
            ),
            ("<function=Bash><parameter=command>ls</parameter></function>", call(r#"{"command":"ls"}"#)),
            (
                "<｜DSML｜function_calls><｜DSML｜invoke name=\"Bash\"><｜DSML｜parameter name=\"command\" string=\"true\">ls</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜function_calls>",
                call(r#"{"command":"ls"}"#),
            ),
            (
                "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>Bash\n```json\n{\"n\":1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
                call(r#"{"n":1}"#),
            ),
            (
                "<|tool_calls_section_begin|><|tool_call_begin|>functions.Bash:0<|tool_call_argument_begin|>{\"n\":1}<|tool_call_end|><|tool_calls_section_end|>",
                call(r#"{"n":1}"#),
            ),
            (
                "<minimax:tool_call>\n<invoke name=\"Bash\">\n<parameter name=\"command\">12</parameter>\n<parameter name=\"n\">1</parameter>\n</invoke>\n</minimax:tool_call>",
                call(r#"{"command":"12","n":1}"#),
            ),
            (r#"[TOOL_CALLS][{"name": "Bash", "arguments": {"n": 1}}]"#, call(r#"{"n":1}"#)),
            (r#"[TOOL_CALLS]Bash[ARGS]{"n":1}"#, call(r#"{"n":1}"#)),
            (r#"[TOOL_CALLS]Bash{"n":1}"#, call(r#"{"n":1}"#)),
            (r#"<|python_tag|>{"name":"Bash","parameters":{"n":1}}"#, call(r#"{"n":1}"#)),
            (r#"[TOOL_CALLS] are marks"#, text("[TOOL_CALLS] are marks")),
            ("a [link](x) [TOOL", text("a [link](x) [TOOL")),
            // Not declared, not whole, or not a call at all: text, byte for byte.
            (
                r#"<tool_call>{"name":"Other","arguments":{}}</tool_call>"#,
                text(r#"<tool_call>{"name":"Other","arguments":{}}</tool_call>"#),
            ),
            ("a < b <tool", text("a < b <tool")),
            ("<div><tool_calls></div> é<", text("<div><tool_calls></div> é<")),
        ];
        for (input, expected) in cases {
            for size in [1, 3, 7, 1000] {
                let mut recover = Recover::default();
                let mut out = Vec::new();
                let chars: Vec<char> = input.chars().collect();
                for piece in chars.chunks(size) {
                    for piece in recover.push(&piece.iter().collect::<String>(), &declared) {
                        merge(&mut out, piece);
                    }
                }
                recover.finish(&declared).into_iter().for_each(|p| merge(&mut out, p));
                assert_eq!(out, expected, "{input} in pieces of {size}");
            }
        }
    }

    fn merge(out: &mut Vec<Piece>, piece: Piece) {
        match piece {
            Piece::Text(text) => give(out, text),
            call => out.push(call),
        }
    }
}
