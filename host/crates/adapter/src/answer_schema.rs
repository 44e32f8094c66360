//! An answer in a JSON schema where the gateway does not see to it: what is asked of the model, and
//! whether its answer fits. The schema comes from the client and names nothing outside itself.

use serde_json::Value;

/// The name under which the schema is compiled.
const NAME: &str = "mem:///answer.json";

/// A schema that an answer must fit.
pub struct AnswerSchema {
    text: String,
    schemas: boon::Schemas,
    index: boon::SchemaIndex,
}

/// References lead nowhere outside the schema: neither to files nor to the network.
struct Nowhere;

impl boon::UrlLoader for Nowhere {
    fn load(&self, url: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err(format!("{url} is outside the schema").into())
    }
}

impl AnswerSchema {
    /// Reads a schema.
    pub fn new(text: &str) -> Result<AnswerSchema, String> {
        let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut schemas = boon::Schemas::new();
        let mut compiler = boon::Compiler::new();
        compiler.use_loader(Box::new(Nowhere));
        compiler.add_resource(NAME, value).map_err(|e| e.to_string())?;
        let index = compiler.compile(NAME, &mut schemas).map_err(|e| e.to_string())?;
        Ok(AnswerSchema { text: text.to_owned(), schemas, index })
    }

    /// The instruction to the model.
    pub fn instruction(&self) -> String {
        format!(
            "Answer with one JSON document and nothing else: no explanation, no code fence. It must be valid \
             against this JSON Schema:\n{}",
            self.text
        )
    }

    /// The instruction after an answer that does not fit.
    pub fn complaint(fault: &str) -> String {
        format!(
            "That is not a JSON document that fits the schema: {fault}. Answer again with the document alone."
        )
    }

    /// The document in an answer, if there is one and it fits.
    pub fn check(&self, answer: &str) -> Result<String, String> {
        let document = document(answer).ok_or("it holds no JSON document")?;
        let value: Value = serde_json::from_str(document).map_err(|e| e.to_string())?;
        match self.schemas.validate(&value, self.index) {
            Ok(()) => Ok(document.to_owned()),
            Err(error) => Err(gateway::refusal::excerpt(&error.to_string(), 400)),
        }
    }
}

/// The JSON document in a text: all of it, what a code fence holds, or what is between the first
/// and the last bracket.
fn document(answer: &str) -> Option<&str> {
    let whole = answer.trim();
    let is_json = |text: &&str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let fenced = whole.split("```").nth(1).map(|inner| {
        let inner = inner.strip_prefix("json").or(inner.strip_prefix("JSON")).unwrap_or(inner);
        inner.trim()
    });
    let between = |open: char, close: char| whole.get(whole.find(open)?..=whole.rfind(close)?);
    [Some(whole), fenced, between('{', '}'), between('[', ']')].into_iter().flatten().find(is_json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let schema = AnswerSchema::new(
            r#"{"type":"object","properties":{"n":{"type":"integer","minimum":1},"tags":{"type":"array","items":{"enum":["a","b"]}}},"required":["n"],"additionalProperties":false}"#,
        )
        .expect("a schema");
        let fits = [
            (r#"{"n":1}"#, r#"{"n":1}"#),
            ("\n {\"n\": 2, \"tags\": [\"a\"]}\n", "{\"n\": 2, \"tags\": [\"a\"]}"),
            ("```json\n{\"n\":1}\n```", r#"{"n":1}"#),
            ("```\n{\"n\":1}\n```\nDone.", r#"{"n":1}"#),
            ("Here it is: {\"n\":1}. Bye", r#"{"n":1}"#),
        ];
        for (answer, expected) in fits {
            assert_eq!(schema.check(answer).as_deref(), Ok(expected), "{answer}");
        }
        for answer in
            ["", "no", r#"{"n":0}"#, r#"{"n":"1"}"#, r#"{}"#, r#"{"n":1,"x":1}"#, r#"{"n":1"#, "[1]"]
        {
            assert!(schema.check(answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn a_schema_reaches_nothing_outside() {
        for reference in ["file:///etc/hostname", "https://a.example/s.json", "other.json"] {
            let schema = format!(r#"{{"$ref":"{reference}"}}"#);
            let error = AnswerSchema::new(&schema).map(drop).expect_err(reference);
            assert!(error.contains("outside the schema") || error.contains(reference), "{error}");
        }
        assert!(AnswerSchema::new("nonsense").is_err());
    }
}
