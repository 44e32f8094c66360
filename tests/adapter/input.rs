//! What the adapter sends to gateways: every shape of request, the repairs, and the bytes
//! that a prefix cache needs to stay.

use adapter::anthropic::Request;
use adapter::profiles::{Profile, Profiles};
use adapter::translate::{self, Context};
use proptest::prelude::*;
use serde_json::{Value, json};

fn translate_as(request: &Value, profile: &Profile) -> Result<String, String> {
    let text = request.to_string();
    let parsed: Request<'_> = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let cx = Context { model: "m", profile, signatures: &|_| None, appended: &[] };
    let done = translate::request(&parsed, &cx).map_err(|e| e.to_string())?;
    String::from_utf8(done.body).map_err(|e| e.to_string())
}

fn profile(name: &str) -> Profile {
    Profiles::new(Some(name), &Default::default()).expect("profile").resolve("https://gw.example/v1", "m")
}

/// The messages of a translated request, one line each.
fn lines(messages: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for message in messages.as_array().expect("messages") {
        let mut line = message["role"].as_str().expect("role").to_owned();
        if let Some(id) = message["tool_call_id"].as_str() {
            line.push_str(&format!("({id})"));
        }
        match &message["content"] {
            Value::Null => {}
            Value::String(text) => line.push_str(&format!(": {text}")),
            parts => line.push_str(&format!(": {parts}")),
        }
        if let Some(text) = message["reasoning_content"].as_str() {
            line.push_str(&format!(" <{text}>"));
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            line.push_str(&format!(
                " {}={}{}",
                call["id"].as_str().expect("id"),
                function["name"].as_str().expect("name"),
                function["arguments"].as_str().expect("text")
            ));
        }
        out.push(line);
    }
    out
}

fn call(id: &str, name: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": {"a": 1}})
}
fn result(id: &str, content: Value) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": content})
}

/// Conversations and what becomes of them.
#[test]
fn conversations() {
    let user = |content: Value| json!({"role": "user", "content": content});
    let assistant = |content: Value| json!({"role": "assistant", "content": content});
    let png =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}});
    let cases: Vec<(&str, Value, Vec<&str>)> = vec![
        ("a string", json!([user(json!("hi"))]), vec!["user: hi"]),
        (
            "blocks become one string",
            json!([user(
                json!([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}])
            )]),
            vec!["user: a\n\nb"],
        ),
        (
            "a bare block and bare strings",
            json!([user(json!({"type": "text", "text": "a"})), user(json!(["b"]))]),
            vec!["user: a", "user: b"],
        ),
        (
            "an image by value",
            json!([user(json!([{"type": "text", "text": "see"}, png]))]),
            vec![
                r#"user: [{"text":"see","type":"text"},{"image_url":{"url":"data:image/png;base64,AAAA"},"type":"image_url"}]"#,
            ],
        ),
        (
            "an image by URL",
            json!([user(json!([{"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]))]),
            vec![r#"user: [{"image_url":{"url":"https://x/y.png"},"type":"image_url"}]"#],
        ),
        (
            "documents",
            json!([user(
                json!([{"type": "document", "title": "T", "source": {"type": "text", "data": "words"}}, {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}])
            )]),
            vec![
                "user: <document title=\"T\">\nwords\n</document>\n\n[document document omitted: this model reads text only]",
            ],
        ),
        (
            "a text document by value",
            json!([user(
                json!([{"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": "aGk="}}])
            )]),
            vec!["user: <document title=\"document\">\nhi\n</document>"],
        ),
        (
            "a document of blocks, one in a file store, one by URL",
            json!([user(json!([
                {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "in"}]}},
                {"type": "document", "title": "F", "source": {"type": "file", "file_id": "f1"}},
                {"type": "document", "title": "U", "source": {"type": "url", "url": "https://x/y.pdf"}},
            ]))]),
            vec![
                "user: in\n\n[document F omitted: this model reads text only]\n\n[document U: https://x/y.pdf]",
            ],
        ),
        (
            "documents and search results in a result",
            json!([
                assistant(json!([call("c1", "A")])),
                user(json!([result(
                    "c1",
                    json!([
                        {"type": "document", "title": "D", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
                        {"type": "search_result", "title": "S", "source": "https://x", "content": [{"type": "text", "text": "found"}], "citations": {"enabled": true}},
                    ])
                )]))
            ]),
            vec![
                "assistant c1=A{\"a\":1}",
                "tool(c1): <document title=\"D\">\nwords\n</document>\n<search_result title=\"S\" source=\"https://x\">\nfound\n</search_result>",
            ],
        ),
        (
            "what the server's own tools did",
            json!([
                user(json!("find")),
                assistant(json!([
                    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
                    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result", "title": "T", "url": "https://x", "encrypted_content": "zz", "page_age": null}]},
                    {"type": "text", "text": "found", "citations": [{"type": "web_search_result_location", "url": "https://x"}]},
                ])),
                user(json!("more")),
                assistant(json!([
                    {"type": "mcp_tool_use", "id": "m1", "name": "echo", "server_name": "s", "input": {}},
                    {"type": "mcp_tool_result", "tool_use_id": "m1", "is_error": false, "content": [{"type": "text", "text": "hi"}]},
                    {"type": "code_execution_tool_result", "tool_use_id": "x", "content": {"type": "code_execution_result", "stdout": "42\n", "stderr": "", "return_code": 0, "content": []}},
                    {"type": "web_search_tool_result", "tool_use_id": "y", "content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}},
                ])),
                user(json!("end")),
            ]),
            vec![
                "user: find",
                "assistant: [used the tool web_search with {\"query\":\"q\"}]\n[its result: T\nhttps://x]\nfound",
                "user: more",
                "assistant: [used the tool echo with {}]\n[its result: hi]\n[its result: 42\n]\n[its result: max_uses_exceeded]",
                "user: end",
            ],
        ),
        (
            "a compaction and hidden thinking",
            json!([
                assistant(
                    json!([{"type": "compaction", "content": "so far"}, {"type": "redacted_thinking", "data": "zz"}])
                ),
                user(json!([{"type": "container_upload", "file_id": "f"}, {"type": "text", "text": "go"}]))
            ]),
            vec!["assistant: so far", "user: [container_upload omitted]\n\ngo"],
        ),
        (
            "the assistant first, users in a row, an answer begun",
            json!([
                assistant(json!("hello")),
                user(json!("a")),
                user(json!("b")),
                assistant(json!("The answer is"))
            ]),
            vec!["assistant: hello", "user: a", "user: b", "assistant: The answer is"],
        ),
        (
            "system first",
            json!([{"role": "system", "content": "s"}, user(json!("a"))]),
            vec!["system: s", "user: a"],
        ),
        (
            "a call that is repeated in a later turn",
            json!([
                assistant(json!([call("c1", "A")])),
                user(json!([result("c1", json!("1"))])),
                assistant(json!([call("c1", "A")])),
                user(json!([result("c1", json!("2")), result("c1", json!("3"))])),
            ]),
            vec![
                "assistant c1=A{\"a\":1}",
                "tool(c1): 1",
                "assistant c1=A{\"a\":1}",
                "tool(c1): 2",
                "user: [result of an earlier tool call c1]\n3",
            ],
        ),
        (
            "a result of the wrong shape",
            json!([
                assistant(json!([call("c1", "A")])),
                user(
                    json!([{"type": "tool_result", "tool_use_id": "c1", "content": {"type": "text", "text": "one"}}])
                )
            ]),
            vec!["assistant c1=A{\"a\":1}", "tool(c1): one"],
        ),
        (
            "a call and its result",
            json!([
                user(json!("go")),
                assistant(json!([{"type": "text", "text": "ok"}, call("c1", "Bash")])),
                user(json!([result("c1", json!("out"))]))
            ]),
            vec!["user: go", "assistant: ok c1=Bash{\"a\":1}", "tool(c1): out"],
        ),
        (
            "our identifiers go back as the gateway's",
            json!([
                assistant(json!([call("call_7_cw00000abc12", "Bash")])),
                user(json!([result("call_7_cw00000abc12", json!("x"))]))
            ]),
            vec!["assistant call_7=Bash{\"a\":1}", "tool(call_7): x"],
        ),
        (
            "one identifier twice in a message",
            json!([
                assistant(json!([call("c_cw0000000001", "Bash"), call("c_cw0000000002", "Bash")])),
                user(json!([result("c_cw0000000001", json!("1")), result("c_cw0000000002", json!("2"))]))
            ]),
            vec![
                "assistant c=Bash{\"a\":1} c_cw0000000002=Bash{\"a\":1}",
                "tool(c): 1",
                "tool(c_cw0000000002): 2",
            ],
        ),
        (
            "text before the result",
            json!([
                assistant(json!([call("c1", "Bash")])),
                user(json!([{"type": "text", "text": "note"}, result("c1", json!("out"))]))
            ]),
            vec!["assistant c1=Bash{\"a\":1}", "tool(c1): out", "user: note"],
        ),
        (
            "results out of order",
            json!([
                assistant(json!([call("c1", "A"), call("c2", "B")])),
                user(json!([result("c2", json!("2")), result("c1", json!("1"))]))
            ]),
            vec!["assistant c1=A{\"a\":1} c2=B{\"a\":1}", "tool(c1): 1", "tool(c2): 2"],
        ),
        (
            "results in two messages, a system entry between",
            json!([assistant(json!([call("c1", "A"), call("c2", "B")])), user(json!([result("c1", json!("1"))])), {"role": "system", "content": "mind"}, user(json!([result("c2", json!("2"))]))]),
            vec!["assistant c1=A{\"a\":1} c2=B{\"a\":1}", "tool(c1): 1", "tool(c2): 2", "system: mind"],
        ),
        (
            "a missing result",
            json!([assistant(json!([call("c1", "A")])), user(json!("go on"))]),
            vec![
                "assistant c1=A{\"a\":1}",
                "tool(c1): [no result: the tool call was interrupted]",
                "user: go on",
            ],
        ),
        (
            "an orphaned result",
            json!([user(json!([result("c9", json!("late"))]))]),
            vec!["user: [result of an earlier tool call c9]\nlate"],
        ),
        (
            "a result without content",
            json!([
                assistant(json!([call("c1", "A")])),
                user(json!([{"type": "tool_result", "tool_use_id": "c1"}]))
            ]),
            vec!["assistant c1=A{\"a\":1}", "tool(c1): (no output)"],
        ),
        (
            "an error result",
            json!([
                assistant(json!([call("c1", "A")])),
                user(
                    json!([{"type": "tool_result", "tool_use_id": "c1", "is_error": true, "content": "boom"}])
                )
            ]),
            vec!["assistant c1=A{\"a\":1}", "tool(c1): [tool error] boom"],
        ),
        (
            "images in results come after all results",
            json!([
                assistant(json!([call("c1", "A"), call("c2", "B")])),
                user(json!([
                    result("c1", json!([{"type": "text", "text": "shot"}, png])),
                    result("c2", json!("2"))
                ]))
            ]),
            vec![
                "assistant c1=A{\"a\":1} c2=B{\"a\":1}",
                "tool(c1): shot\n[image: see the user message that follows]",
                "tool(c2): 2",
                r#"user: [{"text":"From the result of tool call c1:","type":"text"},{"image_url":{"url":"data:image/png;base64,AAAA"},"type":"image_url"}]"#,
            ],
        ),
        (
            "thinking is replayed on tool turns only",
            json!([
                assistant(
                    json!([{"type": "thinking", "thinking": "hm", "signature": ""}, {"type": "text", "text": "a"}])
                ),
                assistant(json!([{"type": "thinking", "thinking": "so", "signature": "s"}, call("c1", "A")]))
            ]),
            vec![
                "assistant: a",
                "assistant <so> c1=A{\"a\":1}",
                "tool(c1): [no result: the tool call was interrupted]",
            ],
        ),
        (
            "what could not be parsed goes back raw",
            json!([assistant(
                json!([{"type": "tool_use", "id": "c1", "name": "A", "input": {"__unparsedToolInput": {"raw": "{\"a\":", "len": 5}}}])
            )]),
            vec!["assistant c1=A{\"a\":", "tool(c1): [no result: the tool call was interrupted]"],
        ),
        (
            "empty messages disappear",
            json!([user(json!("")), user(json!([])), assistant(json!([])), assistant(json!([{"type": "thinking", "thinking": "x"}])), {"role": "system", "content": []}, user(json!("hi"))]),
            vec!["user: hi"],
        ),
        ("nothing is left", json!([user(json!(""))]), vec!["user: (empty message)"]),
        (
            "unknown blocks are named",
            json!([user(json!([{"type": "hologram"}, {"type": "text", "text": "a"}]))]),
            vec!["user: [hologram omitted]\n\na"],
        ),
        (
            "system in the middle stays there",
            json!([user(json!("a")), {"role": "system", "content": [{"type": "text", "text": "b"}]}, user(json!("c"))]),
            vec!["user: a", "system: b", "user: c"],
        ),
        (
            "long and odd tool names",
            json!([assistant(json!([call("c1", "mcp.dots")]))]),
            vec![
                "assistant c1=mcp_dots_c0f45b3e{\"a\":1}",
                "tool(c1): [no result: the tool call was interrupted]",
            ],
        ),
    ];
    let generic = Profile::default();
    for (name, messages, expected) in cases {
        let sent = translate_as(&json!({"model": "m", "messages": messages}), &generic).expect(name);
        let sent: Value = serde_json::from_str(&sent).expect("JSON");
        let got = lines(&sent["messages"]);
        // The hash is not the point of the last case.
        let got: Vec<String> = got
            .into_iter()
            .map(|l| {
                if l.contains("mcp_dots_") {
                    l.replacen(
                        &l[l.find("dots_").expect("hash") + 5..l.find('{').expect("args")],
                        "c0f45b3e",
                        1,
                    )
                } else {
                    l
                }
            })
            .collect();
        assert_eq!(got, expected, "{name}");
    }
}

/// One field of the request under one profile.
#[test]
fn fields() {
    let tool = json!({"name": "T", "description": "d", "input_schema": {"$schema": "x", "type": "object", "properties": {}}});
    let with = |extra: Value| {
        let mut request = json!({"model": "m", "max_tokens": 32000, "messages": [{"role": "user", "content": "hi"}], "tools": [tool]});
        for (key, value) in extra.as_object().expect("object") {
            request[key] = value.clone();
        }
        request
    };
    let thinking = json!({"type": "enabled", "budget_tokens": 1000});
    let cases: Vec<(&str, &str, Value, &str, Value)> = vec![
        ("any", "generic", json!({"tool_choice": {"type": "any"}}), "/tool_choice", json!("required")),
        (
            "auto is the default",
            "generic",
            json!({"tool_choice": {"type": "auto"}}),
            "/tool_choice",
            Value::Null,
        ),
        ("none", "generic", json!({"tool_choice": {"type": "none"}}), "/tool_choice", json!("none")),
        (
            "one tool",
            "generic",
            json!({"tool_choice": {"type": "tool", "name": "T"}}),
            "/tool_choice",
            json!({"type": "function", "function": {"name": "T"}}),
        ),
        (
            "forced while thinking",
            "deepseek",
            json!({"tool_choice": {"type": "any"}, "thinking": thinking}),
            "/tool_choice",
            Value::Null,
        ),
        (
            "no parallel calls",
            "openrouter",
            json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
            "/parallel_tool_calls",
            json!(false),
        ),
        (
            "no parallel calls, generic",
            "generic",
            json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
            "/parallel_tool_calls",
            json!(false),
        ),
        (
            "a choice that names no tool",
            "generic",
            json!({"tool_choice": {"type": "tool", "name": "Nope"}}),
            "/tool_choice",
            Value::Null,
        ),
        (
            "a choice loads its tool",
            "generic",
            json!({"tool_choice": {"type": "tool", "name": "D"}, "tools": [{"name": "D", "defer_loading": true}]}),
            "/tool_choice/function/name",
            json!("D"),
        ),
        (
            "a choice without tools",
            "generic",
            json!({"tool_choice": {"type": "any"}, "tools": []}),
            "/tool_choice",
            Value::Null,
        ),
        (
            "a long name in the choice",
            "generic",
            json!({"tool_choice": {"type": "tool", "name": "a.b"}, "tools": [{"name": "a.b"}]}),
            "/tool_choice/function/name",
            json!(adapter::names::safe_name("a.b")),
        ),
        (
            "a tool with nothing but its name",
            "generic",
            json!({"tools": [{"name": "N"}]}),
            "/tools/0/function",
            json!({"name": "N", "parameters": {"type": "object", "properties": {}}}),
        ),
        (
            "a schema without properties",
            "generic",
            json!({"tools": [{"name": "N", "input_schema": {"type": "object"}}]}),
            "/tools/0/function/parameters",
            json!({"type": "object", "properties": {}}),
        ),
        (
            "more stop texts than are taken",
            "generic",
            json!({"stop_sequences": ["a", "", "b", "c", "d", "e"]}),
            "/stop",
            json!(["a", "b", "c", "d"]),
        ),
        ("an empty system", "generic", json!({"system": []}), "/messages/0/role", json!("user")),
        ("an empty system text", "generic", json!({"system": ""}), "/messages/0/role", json!("user")),
        (
            "a system text and a system entry first",
            "vllm",
            json!({"system": "s", "messages": [{"role": "system", "content": "t"}, {"role": "user", "content": "a"}]}),
            "/messages/1/role",
            json!("user"),
        ),
        ("a family's limit", "deepseek", json!({"max_tokens": 90000}), "/max_tokens", json!(65536)),
        (
            "an answer that was begun, for Mistral",
            "mistral",
            json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "The"}]}),
            "/messages/1/prefix",
            json!(true),
        ),
        (
            "no parallel calls, not understood",
            "gemini",
            json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
            "/parallel_tool_calls",
            Value::Null,
        ),
        ("stop is a list", "generic", json!({"stop_sequences": ["X"]}), "/stop", json!(["X"])),
        ("stop is cut", "glm", json!({"stop_sequences": ["X", "Y"]}), "/stop", json!(["X"])),
        ("temperature", "generic", json!({"temperature": 0.5}), "/temperature", json!(0.5)),
        ("top_p", "generic", json!({"top_p": 0.9}), "/top_p", json!(0.9)),
        ("top_k", "generic", json!({"top_k": 5}), "/top_k", Value::Null),
        ("top_k where known", "vllm", json!({"top_k": 5}), "/top_k", json!(5)),
        ("max_tokens", "generic", json!({}), "/max_tokens", json!(32000)),
        ("max_tokens is clamped", "kimi", json!({"max_tokens": 64000}), "/max_tokens", json!(32768)),
        ("max_completion_tokens", "openai", json!({}), "/max_completion_tokens", json!(32000)),
        (
            "usage is asked for",
            "generic",
            json!({"stream": true}),
            "/stream_options/include_usage",
            json!(true),
        ),
        ("not without a stream", "generic", json!({"stream": false}), "/stream_options", Value::Null),
        ("not where refused", "mistral", json!({"stream": true}), "/stream_options", Value::Null),
        (
            "thinking on",
            "deepseek",
            json!({"thinking": {"type": "adaptive"}}),
            "/thinking",
            json!({"type": "enabled"}),
        ),
        (
            "thinking off",
            "glm",
            json!({"thinking": {"type": "disabled"}}),
            "/thinking",
            json!({"type": "disabled"}),
        ),
        (
            "thinking, Qwen",
            "qwen",
            json!({"thinking": thinking, "stream": true}),
            "/enable_thinking",
            json!(true),
        ),
        ("thinking, unknown", "generic", json!({"thinking": thinking}), "/thinking", Value::Null),
        (
            "effort",
            "openrouter",
            json!({"thinking": thinking, "output_config": {"effort": "medium"}}),
            "/reasoning/effort",
            json!("medium"),
        ),
        (
            "output format",
            "generic",
            json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}),
            "/response_format/json_schema/schema",
            json!({"type": "object"}),
        ),
        (
            "$schema goes",
            "generic",
            json!({}),
            "/tools/0/function/parameters",
            json!({"type": "object", "properties": {}}),
        ),
        (
            "system blocks",
            "generic",
            json!({"system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.1"}, {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]}),
            "/messages/0/content",
            json!("a\n\nb"),
        ),
        (
            "server tools go",
            "generic",
            json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
            "/tools",
            Value::Null,
        ),
        (
            "typed client tools get a schema",
            "generic",
            json!({"tools": [{"type": "bash_20250124", "name": "bash"}]}),
            "/tools/0/function/parameters/properties/command/type",
            json!("string"),
        ),
        (
            "deferred tools wait",
            "generic",
            json!({"tools": [{"name": "D", "defer_loading": true, "input_schema": {"type": "object"}}]}),
            "/tools",
            Value::Null,
        ),
        (
            "a loaded tool is there",
            "generic",
            json!({"tools": [{"name": "D", "defer_loading": true, "input_schema": {"type": "object"}}], "messages": [{"role": "user", "content": [{"type": "tool_reference", "tool_name": "D"}]}]}),
            "/tools/0/function/name",
            json!("D"),
        ),
        ("a tool twice", "generic", json!({"tools": [tool, tool]}), "/tools/1", Value::Null),
        (
            "later system as a reminder",
            "vllm",
            json!({"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}),
            "/messages/1",
            json!({"role": "user", "content": "<system-reminder>\nb\n</system-reminder>"}),
        ),
        (
            "text-only models get no image",
            "deepseek",
            json!({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]}]}),
            "/messages/0/content",
            json!("[image omitted: this model reads text only]"),
        ),
        (
            "PDF where understood",
            "openrouter",
            json!({"messages": [{"role": "user", "content": [{"type": "document", "title": "T", "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="}}]}]}),
            "/messages/0/content/0/file/file_data",
            json!("data:application/pdf;base64,QQ=="),
        ),
        (
            "placeholder for lost thinking",
            "kimi",
            json!({"thinking": thinking, "messages": [{"role": "assistant", "content": [call("c1", "T")]}]}),
            "/messages/0/reasoning_content",
            json!("(no reasoning was recorded for this step)"),
        ),
        (
            "Gemini's lost signature",
            "gemini",
            json!({"messages": [{"role": "assistant", "content": [call("c1", "T")]}]}),
            "/messages/0/tool_calls/0/extra_content/google/thought_signature",
            json!("skip_thought_signature_validator"),
        ),
        (
            "Mistral's identifiers",
            "mistral",
            json!({"messages": [{"role": "assistant", "content": [call("abcdefghi", "T")]}]}),
            "/messages/0/tool_calls/0/id",
            json!("abcdefghi"),
        ),
        (
            "invalid arguments for strict gateways",
            "vllm",
            json!({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "T", "input": {"__unparsedToolInput": {"raw": "{", "len": 1}}}]}]}),
            "/messages/0/tool_calls/0/function/arguments",
            json!("{\"invalid_json\":\"{\"}"),
        ),
        (
            "metadata stays here",
            "generic",
            json!({"metadata": {"user_id": "u"}, "context_management": {"edits": []}}),
            "/metadata",
            Value::Null,
        ),
    ];
    let mut wrong = Vec::new();
    for (name, of, extra, pointer, expected) in cases {
        let sent = translate_as(&with(extra), &profile(of)).expect(name);
        let sent: Value = serde_json::from_str(&sent).expect("JSON");
        let got = sent.pointer(pointer).cloned().unwrap_or(Value::Null);
        if got != expected {
            wrong.push(format!("{name}: {pointer}\n   got      {got}\n   expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What Claude Code sends on two turns, and in two jobs: the bytes that a provider caches.
#[test]
fn prefixes_hold() {
    let billing = |hash: &str| json!({"type": "text", "text": format!("x-anthropic-billing-header: cc_version=2.1.330.{hash}; cc_entrypoint=sdk-cli;")});
    let system = |hash: &str| json!([billing(hash), {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}]);
    let tools =
        json!([{"name": "Bash", "input_schema": {"type": "object", "properties": {"z": {}, "a": {}}}}]);
    let turn = |hash: &str, messages: Value| {
        translate_as(&json!({"model": "m", "max_tokens": 100, "stream": true, "system": system(hash), "tools": tools, "messages": messages}), &Profile::default()).expect("translates")
    };
    let first = turn(
        "aaa",
        json!([
            {"role": "user", "content": [{"type": "text", "text": "task", "cache_control": {"type": "ephemeral"}}]},
            {"role": "system", "content": [{"type": "text", "text": "env"}]},
        ]),
    );
    let second = turn(
        "aaa",
        json!([
            {"role": "user", "content": [{"type": "text", "text": "task"}]},
            {"role": "system", "content": "env"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}, call("c1_cw0000000001", "Bash")]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1_cw0000000001", "content": "out", "cache_control": {"type": "ephemeral"}}]},
        ]),
    );
    let open = first.strip_suffix("]}").expect("messages are last");
    assert!(second.starts_with(open), "turn two begins with turn one:\n{first}\n{second}");
    let other = turn("bbb", json!([{"role": "user", "content": "another task"}]));
    let shared = first.find("\"task\"").expect("task");
    assert_eq!(first[..shared], other[..shared], "two jobs share all but the task");
    assert_eq!(
        turn("aaa", json!([{"role": "user", "content": "x"}])),
        turn("zzz", json!([{"role": "user", "content": "x"}]))
    );
}

/// Any block that Claude Code may send.
fn any_block() -> impl Strategy<Value = Value> {
    let text = "[ -~é汉\n\"\\\\]{0,20}";
    prop_oneof![
        text.prop_map(|t| json!({"type": "text", "text": t})),
        text.prop_map(|t| json!({"type": "thinking", "thinking": t, "signature": ""})),
        (0..4u8, text).prop_map(|(n, t)| json!({"type": "tool_use", "id": format!("c{n}"), "name": "T", "input": {"x": t}})),
        (0..4u8, text).prop_map(|(n, t)| json!({"type": "tool_result", "tool_use_id": format!("c{n}"), "content": [{"type": "text", "text": t}]})),
        Just(json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}})),
        Just(json!({"type": "unheard_of", "x": [1, {"y": null}]})),
    ]
}

fn any_conversation() -> impl Strategy<Value = Value> {
    let role = prop_oneof![Just("user"), Just("assistant"), Just("system")];
    prop::collection::vec((role, prop::collection::vec(any_block(), 0..4)), 1..8).prop_map(|turns| {
        turns
            .into_iter()
            .map(|(role, content)| json!({"role": role, "content": content}))
            .collect::<Vec<_>>()
            .into()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is sent, gateways get a legal conversation that has lost no text.
    #[test]
    fn any_conversation_becomes_a_legal_one(messages in any_conversation()) {
        let request = json!({"model": "m", "messages": messages});
        let sent = translate_as(&request, &Profile::default()).expect("translates");
        let again = translate_as(&request, &Profile::default()).expect("translates");
        prop_assert_eq!(&sent, &again);
        let sent: Value = serde_json::from_str(&sent).expect("JSON");
        let out = sent["messages"].as_array().expect("messages");
        prop_assert!(!out.is_empty());
        let mut expected: std::collections::VecDeque<String> = Default::default();
        for message in out {
            let content = &message["content"];
            match message["role"].as_str().expect("role") {
                "tool" => {
                    let id = message["tool_call_id"].as_str().expect("id");
                    let next = expected.pop_front();
                    prop_assert_eq!(next.as_deref(), Some(id), "results follow in call order");
                    prop_assert!(content.as_str().is_some_and(|t| !t.is_empty()));
                }
                role => {
                    prop_assert!(expected.is_empty(), "a call without its result before {}", role);
                    let calls: Vec<_> = message["tool_calls"].as_array().into_iter().flatten().collect();
                    prop_assert!(!calls.is_empty() || content.as_str().is_some_and(|t| !t.is_empty()) || content.as_array().is_some_and(|p| !p.is_empty()), "{} is empty", message);
                    for call in calls {
                        let id = call["id"].as_str().expect("id").to_owned();
                        prop_assert!(!expected.contains(&id), "{} twice", id);
                        prop_assert!(serde_json::from_str::<Value>(call["function"]["arguments"].as_str().expect("text")).is_ok());
                        expected.push_back(id);
                    }
                }
            }
        }
        prop_assert!(expected.is_empty());
        let whole = sent.to_string();
        for message in messages.as_array().expect("list") {
            for block in message["content"].as_array().expect("list") {
                let text = match (message["role"].as_str(), block["type"].as_str()) {
                    (_, Some("text")) => &block["text"],
                    (Some("user"), Some("tool_result")) => &block["content"][0]["text"],
                    _ => continue,
                };
                let text = text.as_str().expect("text").trim();
                let written = json!(text).to_string();
                prop_assert!(whole.contains(written.trim_matches('"')), "{:?} was lost", text);
            }
        }
    }
}
