//! What the adapter learns from refusals, and what it does not: probes, limits, tool schemas,
//! answers in a schema; and what never leaves it: known secrets that a gateway repeats.

use config::{Endpoint, Secret};
use serde_json::{Value, json};

use crate::support::{KEY, Reply, Rig, Seen, Step, Upstream, events, request};

const OK: &str = "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ok\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
const OK_LINE: &str = "text \"ok\" | => end_turn 10+0/2";

fn refusal(message: &str) -> Reply {
    Reply::json(400, &json!({"error": {"message": message, "type": "invalid_request_error"}}).to_string())
}

fn document(text: &str) -> Reply {
    let message = json!({"choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2}});
    Reply::json(200, &message.to_string())
}

/// An answer of the form that was asked for.
fn answer(seen: &Seen, text: &str) -> Reply {
    if seen.body["stream"] != true {
        return document(text);
    }
    Reply::sse(OK.replace("\"ok\"", &json!(text).to_string()))
}

fn limit(seen: &Seen) -> u64 {
    seen.body["max_completion_tokens"].as_u64().or(seen.body["max_tokens"].as_u64()).expect("a limit")
}

/// A gateway that takes from `least` to `most` output tokens and says so in its own words.
fn strict(seen: &Seen, least: u64, most: u64, too_few: &str, too_many: &str) -> Reply {
    let asked = limit(seen);
    let say = |message: &str| {
        let message = message.replace("{asked}", &asked.to_string());
        refusal(&message.replace("{least}", &least.to_string()).replace("{most}", &most.to_string()))
    };
    match asked {
        n if n < least => say(too_few),
        n if n > most => say(too_many),
        _ => answer(seen, "ok"),
    }
}

/// A probe with `max_tokens: 1` is answered, and later requests get all that the model gives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_teach_no_limit() {
    let words: &[(&str, &str)] = &[
        (
            "Could not finish the message because max_tokens or model output limit was reached. Please try again with higher max_tokens.",
            "max_tokens is too large: {asked}. This model supports at most {most} completion tokens",
        ),
        (
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {least}, but got {asked} instead.",
            "max_tokens ({asked}) exceeds the limit of {most}",
        ),
        ("max_tokens must be at least {least}", "max_tokens must be less than or equal to `{most}`"),
        (
            "max_tokens must be in the range [{least}, {most}]",
            "max_tokens must be in the range [{least}, {most}]",
        ),
        (
            "max_tokens should be between {least} and {most}",
            "max_tokens should be between {least} and {most}",
        ),
    ];
    for (too_few, too_many) in words {
        let (few, many) = ((*too_few).to_owned(), (*too_many).to_owned());
        let rig = Rig::start(move |_, seen| strict(seen, 16, 20_000, &few, &many)).await;
        let ask = |max_tokens: u64, stream: bool| {
            let mut body = request("m", stream);
            body["max_tokens"] = max_tokens.into();
            body
        };
        for stream in [true, false] {
            assert_eq!(rig.post(&ask(1, stream)).await.status, 200, "{too_few}");
        }
        assert_eq!(rig.post(&ask(4_000, true)).await.render(), OK_LINE, "{too_few}");
        assert_eq!(limit(rig.upstream.seen().last().expect("seen")), 4_000, "{too_few}");
        for _ in 0..2 {
            assert_eq!(rig.post(&ask(32_000, true)).await.render(), OK_LINE, "{too_many}");
            assert_eq!(limit(rig.upstream.seen().last().expect("seen")), 20_000, "{too_many}");
        }
        let refused = rig.upstream.seen().iter().filter(|s| limit(s) > 20_000).count();
        assert_eq!(refused, 1, "the limit is learnt once: {too_many}");
    }
}

/// A gateway that counts prompt and answer together: what fits one request is no limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_room_of_one_request_is_not_remembered() {
    let rig = Rig::start(|_, seen| match limit(seen) > 27_768 {
        true => refusal(&format!("This model's maximum context length is 32768 tokens. However, you requested {} tokens (5000 in the messages, {} in the completion).", 5000 + limit(seen), limit(seen))),
        false => answer(seen, "ok"),
    })
    .await;
    let mut body = request("m", true);
    body["max_tokens"] = 30_000.into();
    for _ in 0..2 {
        assert_eq!(rig.post(&body).await.render(), OK_LINE);
    }
    let limits: Vec<u64> = rig.upstream.seen().iter().map(limit).collect();
    assert_eq!(limits, [30_000, 27_512, 30_000, 27_512]);
}

/// A gateway that says "too large" and no number gets a cautious one, each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_said_is_not_remembered() {
    let rig = Rig::start(|_, seen| match limit(seen) > 10_000 {
        true => refusal("max_tokens is too large"),
        false => answer(seen, "ok"),
    })
    .await;
    let mut body = request("m", true);
    for (asked, sent) in [(32_000, 8192), (9_000, 9_000)] {
        body["max_tokens"] = asked.into();
        assert_eq!(rig.post(&body).await.render(), OK_LINE);
        assert_eq!(limit(rig.upstream.seen().last().expect("seen")), sent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_of_the_client_do_not_reach_the_gateway() {
    let rig = Rig::with(
        |_, seen| answer(seen, "ok"),
        |config| {
            config.gateway.model = Some("glm-5[1m]".into());
            config.gateway.lite_model = Some("small[1m]".into());
        },
    )
    .await;
    let cases = [
        ("deepseek-chat[1m]", "deepseek-chat"),
        ("claude-opus-4-8[1m]", "glm-5"),
        ("claude-haiku-4[1m]", "small"),
        ("glm-5[1M][1m]", "glm-5"),
        ("vendor/x[2]", "vendor/x[2]"),
    ];
    for (asked, sent) in cases {
        rig.post(&request(asked, true)).await;
        assert_eq!(rig.upstream.seen().last().expect("seen").body["model"], sent, "{asked}");
    }
    rig.adapter.set_model("forced[200k]".into());
    rig.post(&request("any", true)).await;
    assert_eq!(rig.upstream.seen().last().expect("seen").body["model"], "forced");
}

/// Azure's addresses: a query on the base address, the key in a header of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn base_addresses_are_parsed() {
    let second = Upstream::start(|_, seen| answer(seen, "ok")).await;
    for (suffix, path) in [
        (
            "/openai/deployments/d?api-version=2024-10-21",
            "/openai/deployments/d/chat/completions?api-version=2024-10-21",
        ),
        ("/openai/deployments/d/?api-version=1#x", "/openai/deployments/d/chat/completions?api-version=1"),
        ("/v1/chat/completions?a=b/c", "/v1/chat/completions?a=b/c"),
        ("?key=x", "/v1/chat/completions?key=x"),
        ("#top", "/v1/chat/completions"),
    ] {
        let url = second.url.trim_end_matches("/v1").to_owned() + suffix;
        let rig = Rig::with(
            |_, seen| answer(seen, "ok"),
            move |config| {
                config.gateway.primary = Some(Endpoint { base_url: url, api_key: Some(Secret::new(KEY)) });
                config.gateway.profile = Some("azure".into());
            },
        )
        .await;
        assert_eq!(rig.post(&request("m", true)).await.render(), OK_LINE, "{suffix}");
        let seen = second.seen().last().cloned().expect("seen");
        assert_eq!(seen.path, path);
        assert!(seen.head.contains(&format!("api-key: {KEY}")), "{}", seen.head);
    }
}

/// A refused tool schema is mended step by step; what fits is remembered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_schema_is_mended() {
    fn refuses(schema: &Value) -> Option<&'static str> {
        if schema.get("anyOf").is_some() {
            return Some(
                "Invalid schema for function 'T': schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.",
            );
        }
        let text = schema.to_string();
        if text.contains("\"array\"") && !text.contains("\"items\"") {
            return Some(
                "Invalid schema for function 'T': In context=('properties', 'temperature'), array schema missing items.",
            );
        }
        text.contains("additionalProperties").then_some(
            "Invalid JSON payload received. Unknown name \"additionalProperties\" at 'tools[0].function_declarations[0].parameters': Cannot find field.",
        )
    }
    let rig = Rig::start(|_, seen| match seen.body["model"].as_str() {
        Some("nothing")
            if seen.body["tools"][0]["function"]["parameters"]
                != json!({"type": "object", "properties": {}}) =>
        {
            refusal("Failed to compile grammar")
        }
        _ => match refuses(&seen.body["tools"][0]["function"]["parameters"]) {
            Some(message) => refusal(message),
            None => answer(seen, "ok"),
        },
    })
    .await;
    let with = |model: &str, schema: &Value| {
        let mut body = request(model, true);
        body["tools"] = json!([{"name": "T", "description": "Does it.", "input_schema": schema}]);
        body
    };
    let schemas = [
        ("root anyOf", json!({"type": "object", "anyOf": [{"properties": {"a": {"type": "string"}}}]}), 2),
        (
            "an array without items",
            json!({"type": "object", "properties": {"temperature": {"type": "array"}}}),
            2,
        ),
        (
            "a keyword that is not known",
            json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false}),
            3,
        ),
    ];
    for (name, schema, tries) in &schemas {
        let before = rig.upstream.seen().len();
        assert_eq!(rig.post(&with(name, schema)).await.render(), OK_LINE, "{name}");
        assert_eq!(rig.upstream.seen().len() - before, *tries, "{name}");
        assert_eq!(rig.post(&with(name, schema)).await.render(), OK_LINE, "{name} again");
        assert_eq!(rig.upstream.seen().len() - before, *tries + 1, "{name}: remembered");
    }
    // Nothing fits: the schema goes into the description.
    assert_eq!(rig.post(&with("nothing", &schemas[0].1)).await.render(), OK_LINE);
    let seen = rig.upstream.seen().last().cloned().expect("seen");
    let description = seen.body["tools"][0]["function"]["description"].as_str().expect("text").to_owned();
    assert!(description.starts_with("Does it.") && description.contains("\"anyOf\""), "{description}");
}

/// A schema for the answer that the gateway refuses: the adapter asks in words, checks, and
/// asks again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_schema_is_kept_without_the_gateway() {
    let script = |n: usize, seen: &Seen| {
        if !seen.body["response_format"].is_null() {
            return refusal("This response_format type is unavailable now");
        }
        let talks = seen.raw.contains("is not a JSON document that fits");
        match (seen.body["model"].as_str(), talks) {
            (Some("good"), _) => answer(seen, "```json\n{\"n\": 1}\n```"),
            (Some("learns"), true) => answer(seen, "{\"n\": 2}"),
            (Some("learns"), false) => answer(seen, "The answer is two."),
            (Some("calls"), _) => Reply::sse(
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"Bash\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
            ),
            _ => answer(seen, &format!("never {n}")),
        }
    };
    let rig = Rig::start(script).await;
    let ask = |model: &str, stream: bool| {
        let mut body = request(model, stream);
        body["output_config"] = json!({"format": {"type": "json_schema", "schema": {
            "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}});
        body
    };
    for stream in [true, false] {
        for (model, expected) in [
            ("good", "text \"{\\\"n\\\": 1}\" | => end_turn 10+0/2"),
            ("learns", "text \"{\\\"n\\\": 2}\" | => end_turn 10+0/2"),
        ] {
            assert_eq!(rig.post(&ask(model, stream)).await.render(), expected, "{model}, stream: {stream}");
        }
        let got = rig.post(&ask("bad", stream)).await.render();
        assert!(got.starts_with("502 api_error: the model's answer does not fit the schema"), "{got}");
    }
    assert_eq!(rig.post(&ask("calls", true)).await.render(), "Bash \"{}\" | => tool_use 10+0/2");
    let learns: Vec<_> = rig.upstream.seen().into_iter().filter(|s| s.body["model"] == "learns").collect();
    let last = learns.last().expect("seen").body["messages"].clone();
    assert_eq!(last[2], json!({"role": "assistant", "content": "The answer is two."}));
    assert_eq!(learns.iter().filter(|s| !s.body["response_format"].is_null()).count(), 1, "asked for once");
    let mut wrong = ask("good", true);
    wrong["output_config"]["format"]["schema"] = json!({"type": "nonsense"});
    assert!(rig.post(&wrong).await.render().starts_with("400 invalid_request_error: output_config"));
}

/// The gateway repeats its key: in text, thinking, tool arguments, identifiers and errors, cut
/// anywhere. The client gets none of it, and arguments stay JSON.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_the_gateway_repeats_is_masked() {
    fn stream(key: &str, size: usize) -> String {
        let chunk =
            |delta: Value| format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta}]}));
        let arguments = json!({"command": format!("echo \"{key}\"\n"), "n": 1}).to_string();
        let pieces = |text: &str| -> Vec<String> {
            text.chars().collect::<Vec<_>>().chunks(size).map(|c| c.iter().collect()).collect()
        };
        let mut out = String::new();
        for piece in pieces(&format!("I saw {key}.")) {
            out += &chunk(json!({"reasoning_content": piece}));
        }
        for piece in pieces(&format!("The key is {key}!")) {
            out += &chunk(json!({"content": piece}));
        }
        out += &chunk(
            json!({"tool_calls": [{"index": 0, "id": format!("call_{key}"), "function": {"name": "Bash", "arguments": ""}}]}),
        );
        for piece in pieces(&arguments) {
            out += &chunk(json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}));
        }
        out + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n"
    }
    let key = "sk-up\"st/re\\am-é1234567";
    let rig = Rig::with(
        move |_, seen| {
            let size = seen.body["model"].as_str().and_then(|m| m.parse().ok()).unwrap_or(0);
            match size {
                0 => Reply::json(500, &json!({"error": {"message": format!("bad key {key}")}}).to_string()),
                size => Reply::sse(stream(key, size)),
            }
        },
        move |config| {
            if let Some(primary) = &mut config.gateway.primary {
                primary.api_key = Some(Secret::new(key));
            }
        },
    )
    .await;
    for size in ["1", "2", "3", "7", "500"] {
        for streams in [true, false] {
            let got = rig.post(&request(size, streams)).await;
            assert_eq!(
                got.render(),
                r#"think "I saw [REDACTED:gateway-key]." | text "The key is [REDACTED:gateway-key]!" | Bash "{\"command\":\"echo \\\"[REDACTED:gateway-key]\\\"\\n\",\"n\":1}" | => tool_use 10+0/2"#,
                "{size} {streams}"
            );
            assert!(!got.text.contains("st/re"), "{}", got.text);
        }
    }
    let failed = rig.post(&request("error", true)).await;
    assert!(!failed.text.contains("st/re") && failed.text.contains("bad key ***"), "{}", failed.text);
}

/// The same where the gateway speaks Anthropic itself: without a secret byte for byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_passed_through_events_is_masked() {
    fn event(value: &Value) -> String {
        format!("event: {}\ndata: {value}\n\n", value["type"].as_str().expect("type"))
    }
    fn stream(text: &str) -> String {
        let mut out = event(
            &json!({"type": "message_start", "message": {"id": "m", "role": "assistant", "model": "c", "content": [], "stop_reason": null, "usage": {"input_tokens": 3, "output_tokens": 1}}}),
        );
        out += &event(
            &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        );
        for piece in text.chars().collect::<Vec<_>>().chunks(4) {
            let piece: String = piece.iter().collect();
            out += &event(
                &json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}),
            );
        }
        out += &event(&json!({"type": "content_block_stop", "index": 0}));
        out += &event(
            &json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 5}}),
        );
        out + &event(&json!({"type": "message_stop"}))
    }
    let rig = Rig::with(
        |_, seen| match (seen.body["stream"].as_bool(), seen.raw.contains("secret please")) {
            (Some(true), secret) => {
                let text = if secret { format!("It is {KEY}, really") } else { "It is nothing".to_owned() };
                let steps = stream(&text).into_bytes().chunks(50).map(|c| Step::Bytes(c.to_vec())).collect();
                Reply { steps, ..Reply::sse("") }
            }
            _ => Reply::json(200, &json!({"type": "message", "role": "assistant", "model": "c", "content": [{"type": "text", "text": format!("\"{KEY}\"")}], "stop_reason": "end_turn", "usage": {"input_tokens": 3, "cache_read_input_tokens": 0, "output_tokens": 4}}).to_string()),
        },
        |config| config.gateway.use_openai_adapter = false,
    )
    .await;
    let mut body = request("claude-x", true);
    assert_eq!(rig.post(&body).await.text, stream("It is nothing"));
    body["messages"] = json!([{"role": "user", "content": "secret please"}]);
    let got = rig.post(&body).await;
    let text: String =
        events(&got.text).iter().filter_map(|e| e["delta"]["text"].as_str().map(str::to_owned)).collect();
    assert_eq!(text, "It is [REDACTED:gateway-key], really");
    assert!(!got.text.contains(KEY));
    let whole = rig.post(&request("claude-x", false)).await;
    assert!(whole.render().starts_with("text \"\\\"***\\\"\""), "{}", whole.text);
}

/// Two routes to one host are two routes: each has its own price.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costs_are_the_routes_own() {
    let rig = Rig::with(
        |_, seen| match seen.body["model"].as_str() {
            Some("spare") => answer(seen, "ok"),
            _ => Reply::json(403, r#"{"error":"no"}"#),
        },
        |config| {
            let primary = config.gateway.primary.clone().expect("a gateway");
            // The same host and port, another path: a profile of its own.
            let base_url = primary.base_url.replace("/v1", "/other/v1");
            config.gateway.fallback =
                Some(Endpoint { base_url, api_key: Some(Secret::new("sk-second-key-1234")) });
            config.gateway.fallback_models = vec!["spare".into()];
            config.gateway.profile_overrides.insert(
                "spare".into(),
                json!({"models": ["spare"], "prices": {"input": 1.0, "output": 10.0}}),
            );
            config.gateway.profile_overrides.insert(
                "main".into(),
                json!({"models": ["main"], "prices": {"input": 100.0, "output": 1000.0}}),
            );
        },
    )
    .await;
    assert_eq!(rig.post(&request("main", true)).await.render(), OK_LINE);
    let seen = rig.upstream.seen();
    let last = seen.last().expect("seen");
    assert_eq!(last.path, "/other/v1/chat/completions");
    assert!(last.head.contains("bearer sk-second-key-1234"), "{}", last.head);
    let row = &rig.rows()[0];
    assert_eq!((&row["model_sent"], &row["cost_estimate"]), (&json!("spare"), &json!(0.00003)));
}

/// A gateway that begins to answer and then thinks: one beginning, pings, the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silence_after_the_status_says_one_beginning() {
    let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n";
    let wait = Step::Wait(std::time::Duration::from_millis(800));
    let rig =
        Rig::start(move |_, _| Reply::sse(role).steps(vec![wait.clone(), Step::Bytes(OK.into())])).await;
    let got = rig.post(&request("m", true)).await;
    assert_eq!(got.render(), OK_LINE);
    assert!(got.text.contains("event: ping"), "{}", got.text);
}
