//! A message as it goes out, with the members of a tool's data in the order in which a
//! planner should read them: the verdict first, whatever a client cuts off.

use rmcp::model::{CallToolResult, JsonRpcMessage, ServerJsonRpcMessage, ServerResult};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

/// Members that come first, in this order; the others follow by name.
const FIRST: &[&str] = &[
    "job_id",
    "job_status",
    "changed_files",
    "changed_files_omitted",
    "checks",
    "failure",
    "next_action",
    "summary",
    "answer",
    "lines",
    "text",
    "kind",
    "message",
    "name",
];
/// Members that come last.
const LAST: &[&str] = &["diff", "artifacts"];

fn rank(name: &str) -> usize {
    if let Some(at) = FIRST.iter().position(|first| *first == name) {
        return at;
    }
    match LAST.iter().position(|last| *last == name) {
        Some(at) => FIRST.len() + 1 + at,
        None => FIRST.len(),
    }
}

/// A value whose members are written by rank.
pub struct Ordered<'a>(pub &'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => {
                let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
                // Stable: members of one rank keep their order.
                sorted.sort_by_key(|(name, _)| rank(name));
                let mut map = serializer.serialize_map(Some(sorted.len()))?;
                for (name, value) in sorted {
                    map.serialize_entry(name, &Ordered(value))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(&Ordered(item))?;
                }
                seq.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

/// A tool's result, in the order: data, text.
struct ToolResult<'a>(&'a CallToolResult);

impl Serialize for ToolResult<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let result = self.0;
        let mut map = serializer.serialize_map(None)?;
        if let Some(kind) = &result.result_type {
            map.serialize_entry("resultType", kind)?;
        }
        if let Some(data) = &result.structured_content {
            map.serialize_entry("structuredContent", &Ordered(data))?;
        }
        map.serialize_entry("content", &result.content)?;
        if let Some(is_error) = &result.is_error {
            map.serialize_entry("isError", is_error)?;
        }
        if let Some(meta) = &result.meta {
            map.serialize_entry("_meta", meta)?;
        }
        map.end()
    }
}

/// The message as one line, its end included.
pub fn to_line(message: &ServerJsonRpcMessage) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = match message {
        JsonRpcMessage::Response(response) => match &response.result {
            ServerResult::CallToolResult(result) => {
                #[derive(serde::Serialize)]
                struct Response<'a> {
                    jsonrpc: &'a str,
                    id: &'a rmcp::model::RequestId,
                    result: ToolResult<'a>,
                }
                serde_json::to_vec(&Response {
                    jsonrpc: "2.0",
                    id: &response.id,
                    result: ToolResult(result),
                })?
            }
            _ => serde_json::to_vec(message)?,
        },
        _ => serde_json::to_vec(message)?,
    };
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rmcp::model::{ContentBlock, RequestId};
    use serde_json::json;

    #[test]
    fn the_verdict_comes_first_and_nothing_is_lost() {
        let data = json!({
            "artifacts": [{"bytes": 1, "name": "diff.patch"}], "attempts": 1, "checks": [], "diff": "",
            "failure": {"hint": "h", "kind": "gateway", "message": "m"}, "job_status": "failed",
            "changed_files": [], "next_action": "n", "usage": {"requests": 1}
        });
        let mut result = CallToolResult::success(vec![ContentBlock::text("failed: m")]);
        result.structured_content = Some(data);
        let message =
            ServerJsonRpcMessage::response(ServerResult::CallToolResult(result), RequestId::Number(4));
        let line = to_line(&message).expect("it is written");
        let text = String::from_utf8(line.clone()).expect("UTF-8");
        assert_eq!(
            text,
            "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{\"resultType\":\"complete\",\"structuredContent\":{\"job_status\":\
             \"failed\",\"changed_files\":[],\"checks\":[],\"failure\":{\"kind\":\"gateway\",\"message\":\"m\",\"hint\":\"h\"},\
             \"next_action\":\"n\",\"attempts\":1,\"usage\":{\"requests\":1},\"diff\":\"\",\"artifacts\":[{\"name\":\
             \"diff.patch\",\"bytes\":1}]},\"content\":[{\"type\":\"text\",\"text\":\"failed: m\"}],\"isError\":false}}\n"
        );
        let ours: Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(ours, serde_json::to_value(&message).expect("JSON"));
    }
}
