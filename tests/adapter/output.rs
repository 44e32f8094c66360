//! What the adapter makes of gateways' answers: the rows of the peers' matrix and the cases
//! of the issue threads, each as a scripted gateway, each as events and as a document.

use crate::support::{Reply, Rig, Step, request};

/// A chunk with a delta.
fn d(delta: &str) -> String {
    format!(
        "data: {{\"id\":\"x\",\"model\":\"m-1\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n"
    )
}
fn t(text: &str) -> String {
    d(&format!("{{\"content\":{}}}", serde_json::json!(text)))
}
fn r(text: &str) -> String {
    d(&format!("{{\"reasoning_content\":{}}}", serde_json::json!(text)))
}
fn calls(list: &str) -> String {
    d(&format!("{{\"tool_calls\":[{list}]}}"))
}
/// A numbered piece of a call.
fn c(index: i32, id: &str, name: &str, arguments: &str) -> String {
    let arguments = serde_json::json!(arguments);
    calls(&format!(
        r#"{{"index":{index},"id":"{id}","type":"function","function":{{"name":"{name}","arguments":{arguments}}}}}"#
    ))
}
fn fin(reason: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\n")
}
fn usage() -> String {
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":7,\"prompt_tokens_details\":{\"cached_tokens\":64}}}\n\n".into()
}
const DONE: &str = "data: [DONE]\n\n";
/// The usual end: usage in a chunk of its own.
fn end(reason: &str) -> String {
    fin(reason) + &usage() + DONE
}

/// One case: a name, what the gateway sends, what the client must get.
struct Case(&'static str, String, &'static str);

fn cases() -> Vec<Case> {
    let end_turn = |blocks: &str| -> &'static str {
        Box::leak(format!("{blocks} | => end_turn 36+64/7").into_boxed_str())
    };
    let tool_use = |blocks: &str| -> &'static str {
        Box::leak(format!("{blocks} | => tool_use 36+64/7").into_boxed_str())
    };
    let long: String = format!("{{\"command\":{}}}", serde_json::json!("say \"hé\\n\" ".repeat(60)));
    vec![
        // --- text and its surroundings -----------------------------------------------------
        Case("plain text", t("Hel") + &t("lo") + &end("stop"), end_turn(r#"text "Hello""#)),
        Case("role chunk with null content", d(r#"{"role":"assistant","content":null}"#) + &t("a") + &end("stop"), end_turn(r#"text "a""#)),
        Case("role chunk with empty content", d(r#"{"role":"assistant","content":""}"#) + &t("a") + &end("stop"), end_turn(r#"text "a""#)),
        Case("finish in the chunk of the text", t("a") + "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n" + &usage() + DONE, end_turn(r#"text "ab""#)),
        Case("content as a list", d(r#"{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}"#) + &end("stop"), end_turn(r#"text "ab""#)),
        Case("content as a list with thinking (Mistral)", d(r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}"#) + &t("a") + &end("stop"), end_turn(r#"think "hm" | text "a""#)),
        Case("refusal in words", d(r#"{"refusal":"I cannot."}"#) + &end("stop"), end_turn(r#"text "I cannot.""#)),
        Case("empty choices first (Azure filter)", "data: {\"choices\":[],\"prompt_filter_results\":[{}]}\n\n".to_owned() + &t("a") + &end("stop"), end_turn(r#"text "a""#)),
        Case("choices null", "data: {\"choices\":null}\n\n".to_owned() + &t("a") + &end("stop"), end_turn(r#"text "a""#)),
        Case("second choice is ignored", t("a") + "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"z\"}}]}\n\n" + &end("stop"), end_turn(r#"text "a""#)),
        Case("unknown fields and types", "data: {\"choices\":[{\"index\":\"0\",\"delta\":{\"content\":\"a\",\"audio\":{\"x\":1}},\"logprobs\":[1]}],\"service_tier\":3,\"model\":null}\n\n".to_owned() + &end("stop"), end_turn(r#"text "a""#)),
        Case("the whole so far beside each delta (Perplexity)", "data: {\"choices\":[{\"index\":0,\"message\":{\"content\":\"a\"},\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"message\":{\"content\":\"ab\"},\"delta\":{\"content\":\"b\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"message\":{\"content\":\"ab\"},\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}]}\n\n".to_owned() + &usage() + DONE, end_turn(r#"text "ab""#)),
        Case("the whole again in the last chunk", t("a") + &t("b") + "data: {\"choices\":[{\"index\":0,\"message\":{\"content\":\"ab\"},\"finish_reason\":\"stop\"}]}\n\n" + &usage() + DONE, end_turn(r#"text "ab""#)),
        Case("a whole message as an event", "data: {\"choices\":[{\"index\":0,\"message\":{\"content\":\"ab\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\n".to_owned(), r#"text "ab" | => end_turn 10+0/2"#),
        Case("a choice without a delta (Azure filter)", t("a") + "data: {\"choices\":[{\"index\":0,\"finish_reason\":null,\"content_filter_offsets\":{\"check_offset\":1},\"content_filter_results\":{}}]}\n\n" + &end("stop"), end_turn(r#"text "a""#)),
        Case("obfuscation (OpenAI)", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"obfuscation\":\"xYz\",\"service_tier\":\"default\"}\n\n".to_owned() + &end("stop"), end_turn(r#"text "a""#)),
        Case("shapes that are wrong", d("\"\"") + &d(r#"{"content":"a","tool_calls":{}}"#) + &d(r#"{"content":"b","tool_calls":""}"#) + &d(r#"{"content":"c","tool_calls":[null,1,{"function":"x"}]}"#) + &d("[]") + &end("stop"), end_turn(r#"text "abc""#)),
        Case("content as one object", d(r#"{"content":{"type":"text","text":"a"}}"#) + &end("stop"), end_turn(r#"text "a""#)),
        Case("references among content (Mistral)", d(r#"{"content":[{"type":"text","text":"a"},{"type":"reference","reference_ids":[1]}]}"#) + &end("stop"), end_turn(r#"text "a""#)),
        Case("line separators in text", t("a\u{2028}b\u{85}c") + &end("stop"), end_turn("text \"a\\u{2028}b\\u{85}c\"")),
        Case("CJK and emoji", t("汉字") + &t("🙂é") + &end("stop"), end_turn(r#"text "汉字🙂é""#)),
        Case("escaped surrogates", d(r#"{"content":"\ud83d\ude42\u00e9"}"#) + &end("stop"), end_turn(r#"text "🙂é""#)),
        Case("half an emoji", d(r#"{"content":"a\ud83d"}"#) + &d(r#"{"content":"\ude42b"}"#) + &end("stop"), end_turn("text \"a\u{fffd}\u{fffd}b\"")),
        // --- thinking ----------------------------------------------------------------------
        Case("reasoning_content", r("Let me ") + &r("see.") + &t("Hi") + &end("stop"), end_turn(r#"think "Let me see." | text "Hi""#)),
        Case("reasoning (OpenRouter, Groq)", d(r#"{"reasoning":"hm"}"#) + &t("Hi") + &end("stop"), end_turn(r#"think "hm" | text "Hi""#)),
        Case("both keys at once", d(r#"{"reasoning":"hm","reasoning_content":"hm"}"#) + &t("Hi") + &end("stop"), end_turn(r#"think "hm" | text "Hi""#)),
        Case("reasoning_details beside reasoning", d(r#"{"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"}]}"#) + &t("Hi") + &end("stop"), end_turn(r#"think "hm" | text "Hi""#)),
        Case("reasoning_details alone", d(r#"{"reasoning_details":[{"type":"reasoning.text","text":"hm"}]}"#) + &t("Hi") + &end("stop"), end_turn(r#"think "hm" | text "Hi""#)),
        Case("reasoning and text in one chunk (pain 5)", d(r#"{"reasoning_content":"hm","content":"Hi"}"#) + &end("stop"), end_turn(r#"think "hm" | text "Hi""#)),
        Case("think tags in the text", t("<thi") + &t("nk>\nhm</th") + &t("ink>\n\nHi") + &end("stop"), end_turn(r#"think "hm" | text "Hi""#)),
        Case("think tags of other models", t("<thought>hm</thought>") + &t("\n\n") + &t("Hi") + &end("stop"), end_turn(r#"think "hm" | text "Hi""#)),
        Case("thinking in square brackets (Mistral)", t("[THI") + &t("NK]hm[/THINK]Hi") + &end("stop"), end_turn(r#"think "hm" | text "Hi""#)),
        Case("an empty think block (Qwen)", t("<think>\n\n</think>\n\nHi") + &end("stop"), end_turn(r#"text "Hi""#)),
        Case("thinking that never ends", t("<think>hm") + &end("length"), r#"think "hm" | => max_tokens 36+64/7"#),
        Case("the name of the reasoning changes", r("a") + &d(r#"{"reasoning":"b"}"#) + &t("Hi") + &end("stop"), end_turn(r#"think "ab" | text "Hi""#)),
        Case("thinking goes on after text", r("a") + &t("x") + &r("b") + &t("y") + &end("stop"), end_turn(r#"think "a" | text "x" | think "b" | text "y""#)),
        Case("thinking, then a call (DeepSeek)", d(r#"{"role":"assistant","content":null,"reasoning_content":""}"#) + &d(r#"{"content":null,"reasoning_content":"hm"}"#) + &c(0, "a", "Bash", "{}") + &end("tool_calls"), tool_use(r#"think "hm" | Bash "{}""#)),
        Case("thinking between calls (Kimi)", r("a") + &c(0, "a", "Bash", "{}") + &r("b") + &c(1, "b", "Read", "{}") + &end("tool_calls"), tool_use(r#"think "a" | Bash "{}" | think "b" | Read "{}""#)),
        Case("reasoning summaries and secrets", d(r#"{"reasoning_details":[{"type":"reasoning.summary","summary":"hm"},{"type":"reasoning.encrypted","data":"x"}]}"#) + &t("Hi") + &end("stop"), end_turn(r#"think "hm" | text "Hi""#)),
        Case("think tags later are text", t("a <think>b</think>") + &end("stop"), end_turn(r#"text "a <think>b</think>""#)),
        Case("text then reasoning again (pain 4)", t("a") + &r("hm") + &t("b") + &end("stop"), end_turn(r#"text "a" | think "hm" | text "b""#)),
        Case("thinking only", r("hm") + &end("stop"), end_turn(r#"think "hm""#)),
        Case("empty reasoning beside text", d(r#"{"reasoning_content":"","content":"a"}"#) + &d(r#"{"reasoning_content":null,"content":"b"}"#) + &end("stop"), end_turn(r#"text "ab""#)),
        // --- tool calls --------------------------------------------------------------------
        Case("one call in pieces", c(0, "call_1", "Bash", "") + &c(0, "", "", "{\"comm") + &c(0, "", "", "and\":\"ls\"}") + &end("tool_calls"), tool_use(r#"Bash "{\"command\":\"ls\"}""#)),
        Case("tool first, no text (pain 6)", c(0, "call_1", "Bash", "{}") + &end("tool_calls"), tool_use(r#"Bash "{}""#)),
        Case("call without arguments", c(0, "call_1", "Bash", "") + &end("tool_calls"), tool_use(r#"Bash """#)),
        Case("thinking, text, call", r("hm") + &t("I will.") + &c(0, "a", "Bash", "{}") + &end("tool_calls"), tool_use(r#"think "hm" | text "I will." | Bash "{}""#)),
        Case("two calls one after the other", c(0, "a", "Bash", "{\"n\":1}") + &c(1, "b", "Read", "{\"path\":\"x\"}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Read "{\"path\":\"x\"}""#)),
        Case("calls interleaved", c(0, "a", "Bash", "") + &c(1, "b", "Read", "") + &c(0, "", "", "{\"n\"") + &c(1, "", "", "{\"path\":") + &c(0, "", "", ":1}") + &c(1, "", "", "\"x\"}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Read "{\"path\":\"x\"}""#)),
        Case("two calls in one chunk (pain 12)", calls(r#"{"index":0,"id":"a","function":{"name":"Bash","arguments":"{\"n\":1}"}},{"index":1,"id":"b","function":{"name":"Read","arguments":"{}"}}"#) + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Read "{}""#)),
        Case("no index, two ids (Gemini)", calls(r#"{"id":"a","function":{"name":"Bash","arguments":"{\"n\":1}"}}"#) + &calls(r#"{"id":"b","function":{"name":"Bash","arguments":"{\"n\":2}"}}"#) + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Bash "{\"n\":2}""#)),
        Case("no index, no id, one chunk", calls(r#"{"function":{"name":"Bash","arguments":"{\"n\":1}"}},{"function":{"name":"Bash","arguments":"{\"n\":2}"}}"#) + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Bash "{\"n\":2}""#)),
        Case("no index, no id, later pieces", calls(r#"{"function":{"name":"Bash","arguments":"{\"n\":"}}"#) + &calls(r#"{"function":{"arguments":"1}"}}"#) + &calls(r#"{"function":{"name":"Read","arguments":"{}"}}"#) + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Read "{}""#)),
        Case("same index, other id (Ollama, pain 10)", c(0, "a", "Bash", "{\"n\":1}") + &c(0, "b", "Bash", "{\"n\":2}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Bash "{\"n\":2}""#)),
        Case("same index, no id, other arguments", c(0, "", "Bash", "{\"n\":1}") + &c(0, "", "Bash", "{\"n\":2}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Bash "{\"n\":2}""#)),
        Case("same id twice, other index", c(0, "call_0", "Bash", "{\"n\":1}") + &c(1, "call_0", "Bash", "{\"n\":2}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Bash "{\"n\":2}""#)),
        Case("id and name in every chunk", c(0, "a", "Bash", "{\"n\"") + &c(0, "a", "Bash", ":1") + &c(0, "a", "Bash", "}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("name in every chunk, no id", c(0, "", "Bash", "{\"n\"") + &c(0, "", "Bash", ":1") + &c(0, "", "Bash", "}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("empty id and name later (Qwen)", c(0, "a", "Bash", "{\"n\"") + &c(0, "", "", ":1}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("missing id", calls(r#"{"index":0,"function":{"name":"Bash","arguments":"{\"n\":1}"}}"#) + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("id in a later chunk", calls(r#"{"index":0,"function":{"name":"Bash","arguments":"{\"n\""}}"#) + &c(0, "a", "", ":1}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("name in a later chunk", calls(r#"{"index":0,"id":"a","function":{"arguments":"{\"n\""}}"#) + &c(0, "", "Bash", ":1}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("index from 1", c(1, "a", "Bash", "{\"n\":1}") + &c(2, "b", "Read", "{}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Read "{}""#)),
        Case("arguments as an object", calls(r#"{"index":0,"id":"a","function":{"name":"Bash","arguments":{"n":1}}}"#) + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("arguments as a string in a string (pain 12)", c(0, "a", "Bash", "\"{\\\"n\\\"") + &c(0, "", "", ":1}\"") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("cumulative snapshots (pain 12)", c(0, "a", "Bash", "{\"n\"") + &c(0, "a", "Bash", "{\"n\":1") + &c(0, "a", "Bash", "{\"n\":1}") + &c(0, "a", "Bash", "{\"n\":1}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("the whole again at the end", c(0, "a", "Bash", "{\"n\"") + &c(0, "", "", ":1}") + &c(0, "", "", "{\"n\":1}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("malformed arguments", c(0, "a", "Bash", "{\"n\":1,,}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1,,}""#)),
        Case("function_call, the old form", d(r#"{"function_call":{"name":"Bash","arguments":"{\"n\""}}"#) + &d(r#"{"function_call":{"arguments":":1}"}}"#) + &end("function_call"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("line break between calls (pain 7)", c(0, "a", "Bash", "{}") + &t("\n") + &c(1, "b", "Read", "{}") + &end("tool_calls"), tool_use(r#"Bash "{}" | Read "{}""#)),
        Case("text while a call is open (pain 7)", c(0, "a", "Bash", "{\"n\"") + &t("so") + &c(0, "", "", ":1}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | text "so""#)),
        Case("text after a call", c(0, "a", "Bash", "{}") + &t("done") + &end("tool_calls"), tool_use(r#"Bash "{}" | text "done""#)),
        Case("long arguments byte by byte (pain 13)", c(0, "a", "Bash", "") + &long.chars().map(|ch| c(0, "", "", &ch.to_string())).collect::<String>() + &end("tool_calls"), tool_use(&format!("Bash {long:?}"))),
        Case("prefixed name (Kimi)", c(0, "functions.Bash:0", "functions.Bash:0", "{}") + &end("tool_calls"), tool_use(r#"Bash "{}""#)),
        Case("name in two pieces", c(0, "a", "Ba", "") + &c(0, "", "sh", "{}") + &end("tool_calls"), tool_use(r#"Bash "{}""#)),
        Case("name that nobody declared", c(0, "a", "Other", "{}") + &end("tool_calls"), tool_use(r#"Other "{}""#)),
        Case("call, text and finish in one chunk", "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"ok\",\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"Bash\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n".to_owned() + &usage() + DONE, tool_use(r#"text "ok" | Bash "{}""#)),
        Case("an empty object before the arguments", c(0, "a", "Bash", "{}") + &c(0, "", "", "{\"n\"") + &c(0, "", "", ":1}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("another id in every chunk (older vLLM)", c(0, "a", "Bash", "{\"n\"") + &c(0, "b", "", ":1") + &c(0, "c", "", "}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("another id and the name in every chunk", c(0, "a", "Bash", "{\"n\"") + &c(0, "b", "Bash", ":1}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("interleaved at one index by id", c(0, "a", "Bash", "{\"n\":") + &c(0, "b", "Bash", "{\"n\":") + &c(0, "a", "", "1}") + &c(0, "b", "", "2}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Bash "{\"n\":2}""#)),
        Case("three calls, interleaved", c(0, "a", "Bash", "{") + &c(1, "b", "Read", "{") + &c(2, "c", "Bash", "{") + &c(2, "", "", "\"n\":3}") + &c(0, "", "", "\"n\":1}") + &c(1, "", "", "}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Read "{}" | Bash "{\"n\":3}""#)),
        Case("a nested object like the whole", c(0, "a", "Bash", "{\"n\":") + &c(0, "", "", "{\"n\":1}}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":{\"n\":1}}""#)),
        Case("snapshots without a first piece", c(0, "a", "Bash", "") + &c(0, "a", "Bash", "{\"n\":1") + &c(0, "a", "Bash", "{\"n\":1}") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("arguments null as text", c(0, "a", "Bash", "null") + &end("tool_calls"), tool_use(r#"Bash """#)),
        Case("arguments null", calls(r#"{"index":0,"id":"a","function":{"name":"Bash","arguments":null}}"#) + &end("tool_calls"), tool_use(r#"Bash """#)),
        Case("arguments in a code fence", c(0, "a", "Bash", "```json\n{\"n\":1}\n```") + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("an object, then another call", calls(r#"{"index":0,"id":"a","function":{"name":"Bash","arguments":{"n":1}}}"#) + &calls(r#"{"index":1,"id":"b","function":{"name":"Read","arguments":{}}}"#) + &end("tool_calls"), tool_use(r#"Bash "{\"n\":1}" | Read "{}""#)),
        Case("blank calls beside text", d(r#"{"content":"a","tool_calls":[{"index":0,"id":null,"function":{"name":null,"arguments":""}}]}"#) + &d(r#"{"content":"b","function_call":{"name":"","arguments":""}}"#) + &end("stop"), end_turn(r#"text "ab""#)),
        Case("a call that is only an id", calls(r#"{"index":0,"id":"a","type":"function","function":{"arguments":""}}"#) + &t("a") + &end("stop"), end_turn(r#"text "a""#)),
        Case("name in other case", c(0, "a", "bash", "{}") + &end("tool_calls"), tool_use(r#"Bash "{}""#)),
        Case("name with the model's own marks (gpt-oss)", c(0, "a", "functions.Bash<|channel|>commentary", "{}") + &end("tool_calls"), tool_use(r#"Bash "{}""#)),
        Case("whole calls with signatures (Gemini)", "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"tool_calls\":[{\"extra_content\":{\"google\":{\"thought_signature\":\"s\"}},\"function\":{\"arguments\":\"{\\\"n\\\":1}\",\"name\":\"Bash\"},\"id\":\"f1\",\"index\":0,\"type\":\"function\"}]}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"function\":{\"arguments\":\"{}\",\"name\":\"Read\"},\"id\":\"f2\",\"index\":0,\"type\":\"function\"}]},\"finish_reason\":\"stop\"}]}\n\n".to_owned() + &usage() + DONE, tool_use(r#"Bash "{\"n\":1}" | Read "{}""#)),
        Case("tool_calls null and empty", d(r#"{"content":"a","tool_calls":null}"#) + &d(r#"{"content":"b","tool_calls":[]}"#) + &end("stop"), end_turn(r#"text "ab""#)),
        // --- calls as text (pain 14) ---------------------------------------------------------
        Case("Hermes call as text", t("Ok.\n<tool") + &t("_call>\n{\"name\": \"Bash\", \"arguments\": {\"n\": 1}}\n</tool_call>") + &end("stop"), tool_use(r#"text "Ok.\n" | Bash "{\"n\":1}""#)),
        Case("GLM call as text", t("<tool_call>Read\n<arg_key>path</arg_key>\n<arg_value>1</arg_value>\n</tool_call>") + &end("stop"), tool_use(r#"Read "{\"path\":\"1\"}""#)),
        Case("DSML call as text", t("<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"Bash\">\n<｜DSML｜parameter name=\"command\" string=\"true\">ls</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>") + &end("stop"), tool_use(r#"Bash "{\"command\":\"ls\"}""#)),
        Case("MiniMax call as text", t("<minimax:tool_call>\n<invoke name=\"Bash\">\n<parameter name=\"command\">ls</parameter>\n</invoke>\n</minimax:tool_call>") + &end("stop"), tool_use(r#"Bash "{\"command\":\"ls\"}""#)),
        Case("Mistral call as text", t("[TOOL_") + &t("CALLS]Bash[ARGS]{\"n\":1}") + &end("stop"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("Kimi call as text", t("<|tool_calls_section_begin|><|tool_call_begin|>functions.Bash:0<|tool_call_argument_begin|>{\"n\":1}<|tool_call_end|><|tool_calls_section_end|>") + &end("stop"), tool_use(r#"Bash "{\"n\":1}""#)),
        Case("thinking in tags, then a call as text", t("<think>hm</think>\n<tool_call>{\"name\":\"Bash\",\"arguments\":{}}</tool_call>") + &end("stop"), tool_use(r#"think "hm" | Bash "{}""#)),
        Case("a call as text that was cut", t("<function=Bash><parameter=command>rm -rf /tm") + &end("length"), r#"text "<function=Bash><parameter=command>rm -rf /tm" | => max_tokens 36+64/7"#),
        Case("a link is no call", t("see [the docs](x) and [1]") + &end("stop"), end_turn(r#"text "see [the docs](x) and [1]""#)),
        Case("undeclared call as text stays text", t("<tool_call>{\"name\":\"Rm\",\"arguments\":{}}</tool_call>") + &end("stop"), end_turn(r#"text "<tool_call>{\"name\":\"Rm\",\"arguments\":{}}</tool_call>""#)),
        Case("lone angle brackets", t("if a <") + &t(" b") + &end("stop"), end_turn(r#"text "if a < b""#)),
        // --- how it ends -----------------------------------------------------------------------
        Case("finish stop with calls (pain 11)", c(0, "a", "Bash", "{}") + &end("stop"), tool_use(r#"Bash "{}""#)),
        Case("finish tool_calls without calls", t("a") + &end("tool_calls"), end_turn(r#"text "a""#)),
        Case("length", t("a") + &end("length"), r#"text "a" | => max_tokens 36+64/7"#),
        Case("length in the middle of a call", c(0, "a", "Bash", "{\"n\":") + &end("length"), r#"Bash "{\"n\":" | => max_tokens 36+64/7"#),
        Case("length after whole calls", c(0, "a", "Bash", "{}") + &end("length"), tool_use(r#"Bash "{}""#)),
        Case("content_filter after text", t("a") + &end("content_filter"), end_turn(r#"text "a\n\n[The gateway's content filter stopped this answer.]""#)),
        Case("content_filter at once", end("content_filter"), "=> refusal 36+64/7"),
        Case("unknown finish reason", t("a") + &end("eos"), end_turn(r#"text "a""#)),
        Case("two finish chunks (OpenRouter)", t("a") + &fin("stop") + &fin("stop") + &usage() + DONE, end_turn(r#"text "a""#)),
        Case("a finish reason in every chunk", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n".to_owned() + &usage() + DONE, end_turn(r#"text "ab""#)),
        Case("finish reason null in words", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"null\"}]}\n\n".to_owned() + &end("stop"), end_turn(r#"text "a""#)),
        Case("finish reason in capitals (Gemini)", t("a") + &end("MAX_TOKENS"), r#"text "a" | => max_tokens 36+64/7"#),
        Case("the context is full (GLM)", t("a") + &end("model_context_window_exceeded"), r#"text "a" | => max_tokens 36+64/7"#),
        Case("content_filter in the middle of a call", c(0, "a", "Bash", "{\"n\"") + &end("content_filter"), tool_use(r#"Bash "{\"n\"""#)),
        Case("stop sequence (vLLM)", t("a") + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"stop_reason\":\"END\"}]}\n\n" + &usage() + DONE, r#"text "a" | => stop_sequence(END) 36+64/7"#),
        Case("two finish reasons", c(0, "a", "Bash", "{}") + &fin("stop") + &end("tool_calls"), tool_use(r#"Bash "{}""#)),
        Case("empty answer", end("stop"), "=> end_turn 36+64/7"),
        Case("no [DONE]", t("a") + &fin("stop") + &usage(), end_turn(r#"text "a""#)),
        Case("[DONE] without a finish reason", t("a") + &usage() + DONE, end_turn(r#"text "a""#)),
        Case("bytes after [DONE]", t("a") + &end("stop") + &t("z"), end_turn(r#"text "a""#)),
        // --- usage -----------------------------------------------------------------------------
        Case("usage in the finish chunk", t("a") + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\n" + DONE, r#"text "a" | => end_turn 10+0/2"#),
        Case("usage in every chunk: the last counts", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":1}}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\n".to_owned() + DONE, r#"text "ab" | => end_turn 10+0/2"#),
        Case("usage in the choice (Kimi)", t("a") + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"cached_tokens\":4}}]}\n\n" + DONE, r#"text "a" | => end_turn 6+4/2"#),
        Case("x_groq usage", t("a") + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}}\n\n" + DONE, r#"text "a" | => end_turn 10+0/2"#),
        Case("DeepSeek cache counts alone", t("a") + &fin("stop") + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"prompt_cache_hit_tokens\":8,\"prompt_cache_miss_tokens\":2}}\n\n" + DONE, r#"text "a" | => end_turn 2+8/2"#),
        Case("usage null in chunks (pain 16)", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n".to_owned() + &end("stop"), end_turn(r#"text "a""#)),
        Case("no usage: estimates, never 0", t("a") + &fin("stop") + DONE, r#"text "a" | => end_turn ~"#),
        Case("counts that are all 0 are none", t("a") + &fin("stop") + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n" + DONE, r#"text "a" | => end_turn ~"#),
        Case("zeros after real counts", t("a") + &fin("stop") + &usage() + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n" + DONE, end_turn(r#"text "a""#)),
        Case("usage before the finish reason", t("a") + &usage() + &fin("stop") + DONE, end_turn(r#"text "a""#)),
        Case("usage beside a choice after the finish (OpenRouter)", t("a") + &fin("stop") + "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"cost\":0.1}}\n\n" + DONE, r#"text "a" | => end_turn 10+0/2"#),
        Case("reasoning counted apart (xAI)", t("a") + &fin("stop") + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":2,\"total_tokens\":354,\"prompt_tokens_details\":{\"cached_tokens\":11},\"completion_tokens_details\":{\"reasoning_tokens\":340}}}\n\n" + DONE, r#"text "a" | => end_turn 1+11/2"#),
        Case("more cached than input", t("a") + &fin("stop") + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":64}}}\n\n" + DONE, r#"text "a" | => end_turn 0+10/2"#),
        Case("usage under Anthropic's names", t("a") + &fin("stop") + "data: {\"choices\":[],\"usage\":{\"input_tokens\":10,\"output_tokens\":\"2\",\"cache_read_input_tokens\":4.0}}\n\n" + DONE, r#"text "a" | => end_turn 6+4/2"#),
        // --- transport ---------------------------------------------------------------------------
        Case("CRLF", (t("a") + &end("stop")).replace('\n', "\r\n"), end_turn(r#"text "a""#)),
        Case("data without a space", (t("a") + &end("stop")).replace("data: ", "data:"), end_turn(r#"text "a""#)),
        Case("comments", ": OPENROUTER PROCESSING\n\n".to_owned() + &t("a") + ": x\n\n" + &end("stop"), end_turn(r#"text "a""#)),
        Case("event, id and retry fields", (t("a") + &end("stop")).replace("data: ", "event: chunk\nid: 1\nretry: 5\ndata: "), end_turn(r#"text "a""#)),
        Case("no blank lines", (t("a") + &end("stop")).replace("\n\n", "\n"), end_turn(r#"text "a""#)),
        Case("pings as events", "event: ping\ndata: {\"type\":\"ping\"}\n\n".to_owned() + &t("a") + &end("stop"), end_turn(r#"text "a""#)),
        Case("lines without data:", (t("a") + &fin("stop") + &usage()).replace("data: ", "").replace("\n\n", "\n"), end_turn(r#"text "a""#)),
        Case("carriage returns alone", (t("a") + &end("stop")).replace('\n', "\r"), end_turn(r#"text "a""#)),
        Case("a byte-order mark", "\u{feff}".to_owned() + &t("a") + &end("stop"), end_turn(r#"text "a""#)),
        Case("one event over several data lines", "data: {\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"a\"}}]}\n\n".to_owned() + &end("stop"), end_turn(r#"text "a""#)),
        Case("keep-alive words", "data: ping\n\n".to_owned() + &t("a") + &end("stop"), end_turn(r#"text "a""#)),
        Case("a document in place of events", r#"{"id":"x","model":"m-1","choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"hm","content":"a","tool_calls":[{"id":"q","type":"function","function":{"name":"Bash","arguments":"{\"n\":1}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":100,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":64}}}"#.to_owned(), tool_use(r#"think "hm" | text "a" | Bash "{\"n\":1}""#)),
        Case("a document over several lines", "{\n \"choices\": [\n {\"message\": {\"content\": \"a\"}, \"finish_reason\": \"stop\"}\n ],\n \"usage\": {\"prompt_tokens\": 10, \"completion_tokens\": 2}\n}\n".to_owned(), r#"text "a" | => end_turn 10+0/2"#),
        // --- errors inside a 200 -------------------------------------------------------------------
        Case("error before content", "data: {\"error\":{\"message\":\"bad thing\",\"code\":400}}\n\n".to_owned(), "400 invalid_request_error: bad thing"),
        Case("error after content", t("a") + "data: {\"error\":{\"message\":\"Rate limit reached\",\"type\":\"rate_limit\"}}\n\n", r#"text "a"… | !! rate_limit_error: Rate limit reached"#),
        Case("error in a choice (OpenRouter)", t("a") + "data: {\"choices\":[{\"index\":0,\"delta\":{},\"error\":{\"message\":\"no\",\"code\":502},\"finish_reason\":\"error\"}]}\n\n", r#"text "a"… | !! api_error: no"#),
        Case("error object at the top (vLLM)", t("a") + "data: {\"object\":\"error\",\"message\":\"boom\",\"code\":500}\n\n", r#"text "a"… | !! api_error: boom"#),
        Case("error line without data", t("a") + "{\"error\":{\"message\":\"boom\"}}\n\n", r#"text "a"… | !! api_error: boom"#),
        Case("error document with 200", "{\"error\":{\"message\":\"bad thing\",\"code\":\"invalid_request_error\"}}".to_owned(), "400 invalid_request_error: bad thing"),
        Case("error line of llama.cpp", t("a") + "error: {\"error\":{\"message\":\"failed to decode\"}}\n\n", r#"text "a"… | !! api_error: failed to decode"#),
        Case("event: error", t("a") + "event: error\ndata: {\"error\":{\"message\":\"no\",\"type\":\"server_error\"}}\n\n", r#"text "a"… | !! api_error: no"#),
        Case("error in a list (Gemini)", "[{\"error\":{\"code\":400,\"message\":\"no such field\",\"status\":\"INVALID_ARGUMENT\"}}]".to_owned(), "400 invalid_request_error: no such field"),
        Case("msg and code (GLM)", "{\"code\":400,\"msg\":\"bad\",\"success\":false}".to_owned(), "400 invalid_request_error: bad"),
        Case("base_resp (MiniMax)", "data: {\"id\":\"x\",\"choices\":null,\"base_resp\":{\"status_code\":1008,\"status_msg\":\"insufficient balance\"}}\n\n".to_owned(), "402 billing_error: insufficient balance"),
        Case("detail (FastAPI)", t("a") + "data: {\"detail\":\"engine died\"}\n\n", r#"text "a"… | !! api_error: engine died"#),
        Case("a web page with 200", "<!doctype html><html><head><title>Sign in</title></head></html>".to_owned(), "502 api_error: the gateway answered with a page, not with an answer: Sign in"),
        Case("error with the finish reason (OpenRouter)", t("a") + "data: {\"error\":{\"code\":\"server_error\",\"message\":\"Provider disconnected\"},\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n", r#"text "a"… | !! api_error: Provider disconnected"#),
        Case("error text", t("a") + "data: {\"error\":\"server overloaded\"}\n\n", r#"text "a"… | !! overloaded_error: server overloaded"#),
        Case("finish reason error", t("a") + &end("error"), r#"text "a"… | !! api_error: the gateway gave up in the middle of the answer (error)"#),
        Case("clean end without a finish reason (pain 27)", t("a"), r#"text "a"… | !! api_error: the gateway ended the answer without a finish reason"#),
        Case("clean end in the middle of a call", c(0, "a", "Bash", "{\"n\":"), r#"Bash "{\"n\":"… | !! api_error: the gateway ended the answer without a finish reason"#),
        Case("a chunk that is not JSON", t("a") + "data: {\"choices\":[{}\n\n", r#"text "a"… | !! api_error: the gateway sent a chunk that is not JSON: EOF while parsing a list at line 1 column 14: {"choices":[{}"#),
    ]
}

/// As events, as a document, and with the gateway's bytes cut at every seventh one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case() {
    let table: std::collections::HashMap<String, String> =
        cases().into_iter().enumerate().map(|(n, c)| (format!("case-{n}"), c.1)).collect();
    let rig = Rig::start(move |_, seen| {
        let model = seen.body["model"].as_str().unwrap_or("");
        let (name, cut) = model.split_once('/').unwrap_or((model, ""));
        let body = table[name].as_bytes();
        let mut reply = Reply::sse("");
        let size = if cut.is_empty() { body.len().max(1) } else { 7 };
        reply.steps = body.chunks(size).map(|piece| Step::Bytes(piece.to_vec())).collect();
        if body.starts_with(b"{") || body.starts_with(b"[") {
            reply.headers = vec![("content-type".into(), "application/json".into())];
        }
        reply
    })
    .await;
    let mut wrong = Vec::new();
    let mut count = 0;
    for (n, Case(name, _, expected)) in cases().into_iter().enumerate() {
        count += 1;
        for (form, stream, model) in [
            ("events", true, format!("case-{n}")),
            ("document", false, format!("case-{n}")),
            ("cut", true, format!("case-{n}/cut")),
        ] {
            rig.close_breakers();
            let mut body = request(&model, stream);
            body["stop_sequences"] = serde_json::json!(["END"]);
            let got = rig.post(&body).await.render();
            // A document has a status for what events can only say at their end.
            let matches = match (stream, expected.rsplit_once("!! ")) {
                (false, Some((_, error))) => got.split_once(' ').is_some_and(|(_, rest)| rest == error),
                // Estimates depend on the length of the request; they are never 0.
                (_, None) if expected.ends_with('~') => {
                    got.starts_with(expected.trim_end_matches('~'))
                        && !got.contains(" 0+")
                        && !got.ends_with("/0")
                }
                (false, None) => got.replace("{}", "") == expected.replace("{}", ""),
                _ => got == expected,
            };
            if !matches {
                wrong.push(format!("{name} ({form})\n   got      {got}\n   expected {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 150, "the table has {count} cases");
}
