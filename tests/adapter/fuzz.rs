//! Random mutation without a fuzzer of its own: request translation and the stream machine
//! must never panic and never break their rules, whatever the bytes. The number of rounds
//! comes from CODEX_WORKER_FUZZ_ROUNDS (default 3,000 each), the seed from
//! CODEX_WORKER_FUZZ_SEED; a failure prints both.

use adapter::anthropic::Request;
use adapter::names::Declared;
use adapter::profiles::{Profile, Profiles, Replay, SystemRole};
use adapter::schema::Dialect;
use adapter::sink::{Document, Events};
use adapter::sse::{Splitter, TooLong};
use adapter::stream::{Fault, Machine, ReadOptions};
use adapter::translate::{self, Context};
use serde_json::{Value, json};

use crate::support::{render_events, render_message};

/// xorshift: small, fast, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn pick<'x>(&mut self, from: &'x [&str]) -> &'x str {
        from[self.below(from.len())]
    }
}

fn settings() -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse().ok());
    (number("CODEX_WORKER_FUZZ_ROUNDS").unwrap_or(3_000), number("CODEX_WORKER_FUZZ_SEED").unwrap_or(0x5eed))
}

/// Changes bytes, swaps and repeats pieces, puts in words that matter.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>, words: &[&str]) {
    for _ in 0..1 + random.below(6) {
        if bytes.is_empty() {
            bytes.push(b'{');
        }
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.remove(at)),
            3 => {
                let word = random.pick(words).as_bytes().to_vec();
                bytes.splice(at..at, word);
            }
            4 => {
                let end = (at + random.below(60)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            5 => {
                let end = (at + random.below(30)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => bytes.truncate(at),
        }
        bytes.truncate(20_000);
    }
}

/// Changes one value somewhere in a document: so it stays JSON, which changed bytes seldom do.
fn mutate_value(random: &mut Random, value: &mut Value) {
    let children = match value {
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    if children > 0 && random.below(6) > 0 {
        let at = random.below(children);
        let child = match value {
            Value::Array(list) => list.get_mut(at),
            Value::Object(map) => map.values_mut().nth(at),
            _ => None,
        };
        if let Some(child) = child {
            mutate_value(random, child);
        }
        return;
    }
    let other = [
        json!(null),
        json!(""),
        json!(1.5),
        json!(-1),
        json!(true),
        json!([]),
        json!({}),
        json!("text"),
        json!([{"type": "text"}]),
        json!([[1]]),
    ];
    match value {
        Value::Array(list) if !list.is_empty() && random.below(2) == 0 => {
            let at = random.below(list.len());
            let again = list[at].clone();
            let to = random.below(list.len());
            list.insert(to, again);
        }
        value => *value = other[random.below(other.len())].clone(),
    }
}

/// One random stream, from the pieces that real gateways send.
fn stream(random: &mut Random) -> Vec<u8> {
    let texts = [
        "a",
        "\n",
        " ",
        "<think>",
        "</think>",
        "<tool_call>",
        "{\"name\":\"Bash\",\"arguments\":{}}",
        "</tool_call>",
        "<",
        "é汉🙂",
        "\"",
        "<function=Bash>",
        "</function>",
    ];
    let arguments = ["", "{", "{\"n\"", ":1}", "{\"n\":1}", "\"{}\"", "}", "[", "\\", "\"", "nonsense"];
    let mut out = String::new();
    for _ in 0..random.below(14) {
        let delta = match random.below(8) {
            0 | 1 => json!({"content": random.pick(&texts)}),
            2 => json!({"reasoning_content": random.pick(&texts)}),
            3 => json!({"reasoning": random.pick(&texts), "content": null}),
            4 => json!({"content": [{"type": "text", "text": random.pick(&texts)}]}),
            5 => {
                json!({"function_call": {"name": random.pick(&["", "Bash"]), "arguments": random.pick(&arguments)}})
            }
            _ => {
                let mut call = json!({"function": {}});
                if random.below(4) > 0 {
                    call["index"] = json!(random.below(3));
                }
                if random.below(2) > 0 {
                    call["id"] = json!(random.pick(&["", "a", "b", "call_0"]));
                }
                if random.below(2) > 0 {
                    call["function"]["name"] = json!(random.pick(&["", "Bash", "Read", "Ba", "sh", "Other"]));
                }
                call["function"]["arguments"] = match random.below(8) {
                    0 => json!({"n": 1}),
                    1 => Value::Null,
                    _ => json!(random.pick(&arguments)),
                };
                json!({"tool_calls": [call]})
            }
        };
        let finish = if random.below(9) == 0 {
            json!(random.pick(&["stop", "length", "tool_calls", "error", "content_filter"]))
        } else {
            Value::Null
        };
        let line = json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        out.push_str(&format!("data: {line}{}", random.pick(&["\n\n", "\n\n", "\r\n\r\n", "\n"])));
    }
    if random.below(3) > 0 {
        out.push_str(&format!("data: {}\n\n", json!({"choices": [{"delta": {}, "finish_reason": random.pick(&["stop", "tool_calls", "length"])}]})));
    }
    if random.below(3) > 0 {
        out.push_str("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n");
    }
    out.into_bytes()
}

fn machine() -> Machine {
    let mut tools = Declared::default();
    tools.insert("Bash", r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#);
    tools.insert("Read", "{}");
    Machine::new(ReadOptions {
        message_id: "msg_1".into(),
        model: "m".into(),
        tools,
        recover: true,
        nonce: 1,
        ..ReadOptions::default()
    })
}

enum Stop {
    Fault(Fault),
    TooLong,
}
impl From<TooLong> for Stop {
    fn from(_: TooLong) -> Self {
        Stop::TooLong
    }
}

/// The events of a stream whose bytes come in pieces, ended as the adapter ends them.
fn events(bytes: &[u8], mut cut: impl FnMut(usize) -> usize) -> (String, bool) {
    let (mut machine, mut sink, mut splitter) = (machine(), Events::default(), Splitter::new());
    let mut rest = bytes;
    let mut run = || -> Result<(), Stop> {
        while !rest.is_empty() && !machine.done() {
            let (piece, after) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
            rest = after;
            splitter.push(piece, |p| machine.payload(&mut sink, p).map_err(Stop::Fault))?;
        }
        splitter.finish(|p| machine.payload(&mut sink, p).map_err(Stop::Fault))?;
        machine.finish(&mut sink).map(drop).map_err(Stop::Fault)
    };
    let ok = match run() {
        Ok(()) => true,
        Err(Stop::Fault(fault)) => {
            sink.error("api_error", &fault.to_string());
            false
        }
        Err(Stop::TooLong) => false,
    };
    (String::from_utf8(sink.buf).expect("events are UTF-8"), ok)
}

#[test]
fn the_stream_machine() {
    let (rounds, seed) = settings();
    let mut random = Random(seed | 1);
    let words = [
        "data: ",
        "\n\n",
        "\r\n",
        "null",
        "{}",
        "[]",
        "\"",
        "\\u0000",
        "\\ud800",
        "[DONE]",
        ": x\n",
        "\"finish_reason\":\"stop\"",
        "\"index\":-1",
        "1e999",
        "<tool_call>",
        "\u{feff}",
    ];
    let (mut good, mut finished) = (0u64, 0u64);
    for round in 0..rounds {
        let mut bytes = stream(&mut random);
        let clean = random.below(3) == 0;
        if !clean {
            mutate(&mut random, &mut bytes, &words);
        }
        let at = format!("round {round}, seed {seed}: {}", String::from_utf8_lossy(&bytes));
        let (whole, ok) = events(&bytes, |left| left);
        let rendered = match (ok, whole.is_empty()) {
            (false, true) => String::new(),
            _ => render_events(&whole).unwrap_or_else(|e| panic!("{e}\n{at}\n{whole}")),
        };
        let (single, _) = events(&bytes, |_| 1);
        assert_eq!(whole, single, "byte by byte: {at}");
        let (pieces, _) = events(&bytes, |_| 1 + random.below(40));
        assert_eq!(whole, pieces, "in pieces: {at}");
        good += u64::from(ok);
        if ok {
            finished += 1;
            // The same answer as a document says the same.
            let (mut machine, mut document, mut splitter) = (machine(), Document::default(), Splitter::new());
            let _ = splitter.push(&bytes, |p| machine.payload(&mut document, p).map_err(Stop::Fault));
            let _ = splitter.finish(|p| machine.payload(&mut document, p).map_err(Stop::Fault));
            if machine.finish(&mut document).is_ok() {
                let message: Value = serde_json::from_slice(&document.to_json()).expect("JSON");
                let line = render_message(&message);
                assert_eq!(
                    line.matches(" | ").count(),
                    rendered.matches(" | ").count(),
                    "{at}\n{line}\n{rendered}"
                );
            }
        }
    }
    eprintln!("the stream machine: {rounds} rounds, {good} whole answers");
    assert!(finished * 10 > rounds, "the streams are too broken to test anything: {finished}");
}

#[test]
fn request_translation() {
    let (rounds, seed) = settings();
    let mut random = Random((seed | 1).rotate_left(17));
    let profiles = Profiles::new(None, &Default::default()).expect("profiles");
    let all: Vec<Profile> =
        ["m", "deepseek-chat", "kimi-k2", "glm-4.6", "qwen3", "gemini-2.5", "mistral-large", "gpt-5"]
            .iter()
            .map(|m| profiles.resolve("https://gw.example/v1", m))
            .collect();
    let base = json!({
        "model": "m", "max_tokens": 100, "stream": true, "temperature": 1,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "thinking": {"type": "enabled", "budget_tokens": 5},
        "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
        "stop_sequences": ["x"], "output_config": {"effort": "high"},
        "tools": [{"name": "Bash", "input_schema": {"$schema": "x", "type": "object", "properties": {"a": {"type": ["string", "null"], "anyOf": [{"const": 1}]}}}}, {"type": "web_search_1", "name": "w"}, {"name": "D", "defer_loading": true}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image", "source": {"type": "base64", "data": "AA"}}, {"type": "document", "source": {"type": "text", "data": "d"}}]},
            {"role": "system", "content": "mind"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t"}, {"type": "tool_use", "id": "a_cw0000000001", "name": "Bash", "input": {"__unparsedToolInput": {"raw": "{", "len": 1}}}, {"type": "tool_use", "id": "b", "name": "x.y", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "r"}], "is_error": true}]},
        ],
    })
    .to_string()
    .into_bytes();
    let words = [
        "null",
        "[]",
        "{}",
        "\"\"",
        "1e999",
        "-1",
        "\\ud800",
        "\"type\":\"tool_use\"",
        "\"role\":\"assistant\",",
        "\"content\":null,",
        "\"tool_result\"",
        "true",
        ",",
        "é",
    ];
    let mut good = 0u64;
    for round in 0..rounds {
        let mut bytes = base.clone();
        if random.below(3) == 0 {
            mutate(&mut random, &mut bytes, &words);
        } else {
            let mut value: Value = serde_json::from_slice(&base).expect("JSON");
            for _ in 0..1 + random.below(5) {
                mutate_value(&mut random, &mut value);
            }
            bytes = value.to_string().into_bytes();
        }
        let bytes = adapter::lenient::repair_surrogates(&bytes).unwrap_or(bytes);
        let Ok(request) = serde_json::from_slice::<Request<'_>>(&bytes) else { continue };
        let mut profile = all[random.below(all.len())].clone();
        if random.below(2) == 0 {
            profile.reasoning_replay = Replay::Never;
        }
        if random.below(2) == 0 {
            profile.system_role = SystemRole::Reminder;
        }
        profile.schema =
            [Dialect::JsonSchema, Dialect::Openai, Dialect::Common, Dialect::Described][random.below(4)];
        let cx = Context { model: "m", profile: &profile, signatures: &|_| None, appended: &[] };
        if let Ok(done) = translate::request(&request, &cx) {
            let Ok(sent) = serde_json::from_slice::<Value>(&done.body) else {
                // Numbers that no float holds pass as the client wrote them.
                let raw = serde_json::from_slice::<&serde_json::value::RawValue>(&done.body);
                let whole = raw.map(drop).and_then(|()| serde_json::from_slice::<Value>(&bytes).map(drop));
                let huge = whole.expect_err("JSON").to_string().contains("out of range");
                assert!(huge, "round {round}, seed {seed}: {}", String::from_utf8_lossy(&bytes));
                continue;
            };
            assert!(sent["messages"].as_array().is_some_and(|m| !m.is_empty()), "round {round}, seed {seed}");
            good += 1;
        }
    }
    eprintln!("request translation: {rounds} rounds, {good} translated");
    assert!(good * 10 > rounds, "the requests are too broken to test anything: {good}");
}
