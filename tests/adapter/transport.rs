//! How the adapter behaves when gateways fail, are slow, or are left: retry, fallback,
//! breaker, pings, cancellation, tokens, limits, metering, pass-through.

use std::time::{Duration, Instant};

use config::{Endpoint, Secret};
use serde_json::json;

use crate::support::{Got, KEY, Reply, Rig, Step, TOKEN, Upstream, request};

const OK: &str = "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ok\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
const OK_LINE: &str = "text \"ok\" | => end_turn 10+0/2";
const ROLE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n";
const PART: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"par\"}}]}\n\n";

fn status(code: u16, message: &str) -> Reply {
    Reply::json(code, &json!({"error": {"message": message}}).to_string())
}

/// What the gateway answers to the first tries, then what the client gets and how many
/// requests the gateway saw.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_and_what_becomes_of_them() {
    let packed = |name: &str, body: &str| {
        let steps = vec![Step::Bytes(base64_decode(body))];
        Reply { steps, ..Reply::sse("") }.header("content-encoding", name)
    };
    let pause = |ms| Step::Wait(Duration::from_millis(ms));
    let gzip = {
        // "data: …" compressed once with gzip -n; the gateway ignores `identity`.
        base64_decode(GZIPPED)
    };
    let cases: Vec<(&str, Vec<Reply>, &str, usize)> = vec![
        ("500 once", vec![status(500, "x")], OK_LINE, 2),
        ("429 with seconds", vec![status(429, "slow").header("retry-after", "1")], OK_LINE, 2),
        ("529 and 503", vec![status(529, "x"), status(503, "x")], OK_LINE, 3),
        (
            "500 for ever",
            vec![status(500, "x"), status(500, "x"), status(500, "boom")],
            "500 api_error: boom",
            3,
        ),
        (
            "429 for ever",
            vec![status(429, "a"), status(429, "b"), status(429, "slow down")],
            "429 rate_limit_error: slow down",
            3,
        ),
        ("401 is final", vec![status(401, "bad key")], "401 authentication_error: bad key", 1),
        ("402 is final", vec![status(402, "no money")], "402 billing_error: no money", 1),
        ("403 is final", vec![status(403, "no")], "403 permission_error: no", 1),
        (
            "429 without money is final",
            vec![status(429, "insufficient balance")],
            "402 billing_error: insufficient balance",
            1,
        ),
        ("404 is told", vec![status(404, "no such model")], "404 not_found_error: no such model", 1),
        ("422 becomes 400", vec![status(422, "odd")], "400 invalid_request_error: odd", 1),
        ("413 is told", vec![status(413, "big")], "413 request_too_large: big", 1),
        (
            "too long",
            vec![status(
                400,
                "This model's maximum context length is 1000 tokens. However, your messages resulted in 1200 tokens.",
            )],
            "400 invalid_request_error: prompt is too long: 1200 tokens > 1000 maximum",
            1,
        ),
        ("an HTML page", vec![Reply::json(502, "<html><h1>Bad Gateway</h1></html>")], OK_LINE, 2),
        ("closed before the status", vec![Reply { steps: vec![Step::Abort], ..Reply::sse("") }], OK_LINE, 2),
        ("cut before content", vec![Reply::sse(ROLE).steps(vec![Step::Abort])], OK_LINE, 2),
        ("clean end before content", vec![Reply::sse(ROLE)], OK_LINE, 2),
        (
            "cut after content",
            vec![Reply::sse(PART).steps(vec![pause(30), Step::Abort])],
            "text \"par\"… | !! api_error: the connection to the gateway broke in the middle of the answer",
            1,
        ),
        (
            "error event before content",
            vec![Reply::sse("data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n")],
            OK_LINE,
            2,
        ),
        ("idle before content", vec![Reply::sse(ROLE).steps(vec![pause(5000)])], OK_LINE, 2),
        ("garbage with 200", vec![Reply::sse("data: {nonsense}\n\n")], OK_LINE, 2),
        (
            "no [DONE] and the line stays open",
            vec![Reply::sse(OK.replace("data: [DONE]\n\n", "")).steps(vec![pause(3000)])],
            OK_LINE,
            1,
        ),
        (
            "gzip in spite of identity",
            vec![
                Reply { steps: vec![Step::Bytes(gzip)], ..Reply::sse("") }.header("content-encoding", "gzip"),
            ],
            OK_LINE,
            1,
        ),
        ("Brotli in spite of identity", vec![packed("br", BROTLI)], OK_LINE, 1),
        ("Zstandard in spite of identity", vec![packed("zstd", ZSTD)], OK_LINE, 1),
        ("deflate in spite of identity", vec![packed("deflate", DEFLATE)], OK_LINE, 1),
        (
            "HTTP/1.0",
            vec![Reply::raw(format!("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{OK}"))],
            OK_LINE,
            1,
        ),
        (
            "HTTP/1.0, cut",
            vec![Reply::raw(format!("HTTP/1.0 200 OK\r\n\r\n{PART}"))],
            "text \"par\"… | !! api_error: the gateway ended the answer without a finish reason",
            1,
        ),
        (
            "chunk extensions and trailers",
            vec![Reply::raw(format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x};a=b;c=\"d\"\r\n{OK}\r\n0\r\nx-y: z\r\n\r\n",
                OK.len()
            ))],
            OK_LINE,
            1,
        ),
        (
            "early hints before the status",
            vec![Reply::raw(format!(
                "HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{OK}",
                OK.len()
            ))],
            OK_LINE,
            1,
        ),
        (
            "a length that is not kept",
            vec![Reply::raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{PART}", PART.len() + 10))],
            "text \"par\"… | !! api_error: the connection to the gateway broke in the middle of the answer",
            1,
        ),
        (
            "a redirect is not followed",
            vec![Reply::json(302, "").header("location", "http://127.0.0.1:9/")],
            "502 api_error: the gateway redirects to http://127.0.0.1:9/; name that address itself as the gateway",
            1,
        ),
        (
            "a content type that is wrong",
            vec![Reply { headers: vec![("content-type".into(), "text/plain".into())], ..Reply::sse(OK) }],
            OK_LINE,
            1,
        ),
        (
            "a line that does not end",
            vec![Reply::sse("data: {\"x\":\"").steps(vec![Step::Bytes(vec![b'x'; 9 << 20])])],
            OK_LINE,
            2,
        ),
        (
            "comments for ever",
            vec![Reply::sse(ROLE).steps(
                (0..60).flat_map(|_| [pause(100), Step::Bytes(b": PROCESSING\n\n".to_vec())]).collect(),
            )],
            OK_LINE,
            2,
        ),
        (
            "comments for ever after the end",
            vec![
                Reply::sse(OK.replace("data: [DONE]\n\n", ""))
                    .steps((0..100).flat_map(|_| [pause(50), Step::Bytes(b": x\n\n".to_vec())]).collect()),
            ],
            OK_LINE,
            1,
        ),
        ("the pause in words", vec![status(429, "Please try again in 20ms.")], OK_LINE, 2),
        (
            "a call that the model wrote wrong (Groq)",
            vec![Reply::json(
                400,
                r#"{"error":{"message":"Failed to call a function.","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"x"}}"#,
            )],
            OK_LINE,
            2,
        ),
        (
            "turns must alternate: learnt",
            vec![status(400, "Conversation roles must alternate user/assistant")],
            OK_LINE,
            2,
        ),
        (
            "parallel_tool_calls: learnt",
            vec![status(400, "Unknown parameter: 'parallel_tool_calls'")],
            OK_LINE,
            2,
        ),
        (
            "max_tokens too large: learnt",
            vec![status(
                400,
                "max_tokens is too large: 1000. This model supports at most 512 completion tokens",
            )],
            OK_LINE,
            2,
        ),
        (
            "the key in an error",
            vec![status(401, &format!("Incorrect API key provided: {KEY}"))],
            "401 authentication_error: Incorrect API key provided: ***",
            1,
        ),
    ];
    let table: std::collections::HashMap<String, Vec<Reply>> =
        cases.iter().enumerate().map(|(n, c)| (format!("case-{n}"), c.1.clone())).collect();
    let counts = std::sync::Mutex::new(std::collections::HashMap::<String, usize>::new());
    let rig = Rig::start(move |_, seen| {
        let model = seen.body["model"].as_str().unwrap_or("").to_owned();
        let mut counts = counts.lock().expect("lock");
        let tried = counts.entry(model.clone()).or_default();
        *tried += 1;
        table[&model].get(*tried - 1).cloned().unwrap_or_else(|| Reply::sse(OK))
    })
    .await;
    let mut wrong = Vec::new();
    for (n, (name, _, expected, requests)) in cases.iter().enumerate() {
        rig.close_breakers();
        let got = rig.post(&request(&format!("case-{n}"), true)).await;
        if got.status >= 400 {
            assert_eq!(got.headers["x-should-retry"], "false", "{name}");
        }
        let model = format!("case-{n}");
        let seen = rig.upstream.seen().iter().filter(|s| s.body["model"] == model.as_str()).count();
        let line = got.render();
        if (line.as_str(), seen) != (*expected, *requests) {
            wrong.push(format!(
                "{name}\n   got      {line} after {seen}\n   expected {expected} after {requests}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let last = rig.adapter.last_failure().expect("the last case failed");
    assert!(last.final_ && last.status == Some(401) && !last.message.contains(KEY), "{last:?}");
    let metrics = std::fs::read_to_string(rig.home.path().join("state/metrics.jsonl")).expect("rows");
    assert!(!metrics.contains(KEY) && !metrics.contains(TOKEN), "no secret in a row");
    assert_eq!(rig.rows().len(), cases.len(), "one row for each request of the client");
}

/// `OK` through `gzip -n`.
const GZIPPED: &str = include_str!("ok.gz.b64");

const BROTLI: &str = "G58AQBwFbqwZfS8Kgppk6hhB20xVLiuocakapA9RtrVnqaPQlywKXTo5YL+0tYCuLXqWFnpQN1wWpQvv7RDklQJ7sUrDFYoRCoqa2b0I8Ma+jcdiCkIoJs/EYOZ59jrfXNv30iqms0T3/+rJxwPFvAA=";
const ZSTD: &str = "KLUv/SSgBQQAEgkdHnC11QGOolSeEhFqTIZCqO2vX3M3Bwcx9jwpwMUTAucgBcOBcJwT42CZtTKusToqjPxbXbiTdo0bd5jXRHoAR0i8437PL7+kTaI8tgxxFL/w873ay+own5rRdVTkA3QtOzzyTxVjRR3dELTnGV3cDgOZOq0CABUzNEGLKQWmYRfF";
const DEFLATE: &str = "eJw9zkEKwjAQRuF9TiH/OkLrcta61QOUUkIy2tAmE5opCCV3F124ffDBC04dnQ4kCbyCkM49LPws0XMFDQdiDvwGdRaBV3WgA16yclYQZEGzeMYc6zxt7KpkEKpKQRst9upe/BVlk1R0Ulk4V1DfWXhJZWWNkv/50pox4Xc0XB/322jMB6S5NRY=";

fn base64_decode(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = text.bytes().filter_map(digit).collect();
    let mut out = Vec::new();
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0u32, |sum, d| (sum << 6) | u32::from(*d)) << (6 * (4 - group.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_gateway_hands_over() {
    let second = Upstream::start(|_, _| Reply::sse(OK)).await;
    let url = second.url.clone();
    let change = move |config: &mut config::Config| {
        config.gateway.fallback = Some(Endpoint { base_url: url, api_key: Some(Secret::new("sk-second")) });
        config.gateway.fallback_models = vec!["spare".into()];
    };
    let rig = Rig::with(|_, _| status(401, "bad key"), change).await;
    assert_eq!(rig.post(&request("main", true)).await.render(), OK_LINE);
    let seen = second.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body["model"], "spare");
    assert!(seen[0].head.contains("authorization: bearer sk-second"), "{}", seen[0].head);
    assert_eq!(rig.rows()[0]["model_sent"], "spare");
    assert_eq!(rig.rows()[0]["tries"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_found_out_once() {
    let second = Upstream::start(|_, _| Reply::sse(OK)).await;
    let url = second.url.clone();
    let rig = Rig::with(
        |_, _| status(500, "down"),
        move |config| {
            config.gateway.fallback = Some(Endpoint { base_url: url, api_key: None });
        },
    )
    .await;
    for _ in 0..4 {
        assert_eq!(rig.post(&request("main", true)).await.render(), OK_LINE);
    }
    // Three tries, two more, then the breaker sends everything straight to the other one.
    assert_eq!(rig.upstream.seen().len(), 5);
    assert_eq!(second.seen().len(), 4);
}

/// Without a fallback an outage costs every request a moment, not its status and not the
/// gateway's own words; and the first answer after it gets through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_without_a_fallback() {
    let rig = Rig::start(|_, seen| match seen.body["model"].as_str() {
        Some("well") => Reply::sse(OK),
        _ => status(500, "down"),
    })
    .await;
    for _ in 0..3 {
        assert_eq!(rig.post(&request("sick", true)).await.render(), "500 api_error: down");
    }
    let started = Instant::now();
    assert_eq!(rig.post(&request("well", true)).await.render(), OK_LINE);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(rig.post(&request("well", true)).await.render(), OK_LINE);
}

/// The primary, then each of three models at the fallback gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_fallback_models() {
    let second = Upstream::start(|_, seen| match seen.body["model"].as_str() {
        Some("three") => Reply::sse(OK),
        _ => status(404, "no such model"),
    })
    .await;
    let url = second.url.clone();
    let rig = Rig::with(
        |_, _| status(403, "no"),
        move |config| {
            config.gateway.fallback = Some(Endpoint { base_url: url, api_key: None });
            config.gateway.fallback_models = ["one", "two", "three", "four"].map(str::to_owned).into();
        },
    )
    .await;
    let got = rig.post(&request("main", true)).await;
    assert_eq!(got.render(), OK_LINE);
    assert!(got.text.contains("\"model\":\"main\""), "the client sees the name that it asked for");
    let models: Vec<_> = second.seen().iter().map(|s| s.body["model"].clone()).collect();
    assert_eq!(models, ["one", "two", "three"]);
    let row = &rig.rows()[0];
    assert_eq!(
        (&row["model_asked"], &row["model_sent"], &row["tries"]),
        (&json!("main"), &json!("three"), &json!(4))
    );
}

/// The times that users get; the tests above use shorter ones.
#[test]
fn the_times_are_as_documented() {
    let times = gateway::Tuning::default();
    assert_eq!(times.ping, Duration::from_secs(10));
    assert_eq!((times.headers, times.idle), (Duration::from_secs(300), Duration::from_secs(240)));
    assert_eq!((times.retry.tries, times.retry.budget), (4, Duration::from_secs(180)));
}

/// OpenRouter's reasoning details come back to it with the call that they led to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_wants_back() {
    let details = |text: &str, more: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"reasoning\":\"{text}\",\"reasoning_details\":[{{\"type\":\"reasoning.text\",\"text\":\"{text}\",\"index\":0{more}}}]}}}}]}}\n\n"
        )
    };
    let call = "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_details\":[{\"type\":\"reasoning.encrypted\",\"data\":\"zz\",\"id\":\"c\"}],\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"extra_content\":{\"google\":{\"thought_signature\":\"sig\"}},\"function\":{\"name\":\"Bash\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";
    let stream = details("I ", "") + &details("see", ",\"signature\":\"s\"") + call;
    let rig = Rig::with(
        move |_, _| Reply::sse(stream.clone()),
        |config| config.gateway.profile = Some("openrouter".into()),
    )
    .await;
    let first = rig.post(&request("m", true)).await;
    let events = crate::support::events(&first.text);
    let id = events.iter().find_map(|e| e["content_block"]["id"].as_str()).expect("a call").to_owned();
    let mut second = request("m", true);
    second["messages"] = json!([
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "I see", "signature": "codex-worker"},
            {"type": "tool_use", "id": id, "name": "Bash", "input": {}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "x"}]},
    ]);
    rig.post(&second).await;
    let sent = rig.upstream.seen()[1].body["messages"][1].clone();
    assert_eq!(sent["reasoning"], "I see");
    assert_eq!(
        sent["reasoning_details"],
        json!([
            {"type": "reasoning.text", "text": "I see", "index": 0, "signature": "s"},
            {"type": "reasoning.encrypted", "data": "zz", "id": "c"},
        ])
    );
    assert_eq!(sent["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "sig");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_while_the_gateway_thinks() {
    let slow = Reply { delay: Duration::from_millis(1000), ..Reply::sse(OK) };
    let rig = Rig::start(move |_, _| slow.clone()).await;
    let got = rig.post(&request("m", true)).await;
    assert_eq!(got.render(), OK_LINE);
    let pings = got.text.matches("event: ping").count();
    assert!((2..=4).contains(&pings), "{pings} pings in a second of silence:\n{}", got.text);
    assert!(got.text.starts_with("event: message_start"), "{}", got.text);
}

/// Pauses of our own are not silence of the gateway: the status stays possible through them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_survives_the_pauses() {
    let rig = Rig::start(|_, _| status(429, "slow").header("retry-after", "1")).await;
    let got = rig.post(&request("m", true)).await;
    assert_eq!(got.render(), "429 rate_limit_error: slow");
    assert_eq!(got.headers["retry-after"], "1");
    assert_eq!(rig.upstream.seen().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_after_a_ping_is_not_seen() {
    let rig = Rig::start(|n, _| match n {
        0 => Reply { delay: Duration::from_millis(500), ..status(500, "x") },
        _ => Reply::sse(OK),
    })
    .await;
    let got = rig.post(&request("m", true)).await;
    assert_eq!(got.render(), OK_LINE);
    assert!(got.text.contains("event: ping"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_is_left_when_the_client_leaves() {
    let long = || {
        let step = || [Step::Bytes(PART.into()), Step::Wait(Duration::from_millis(1200))];
        Reply::sse(PART).steps((0..20).flat_map(|_| step()).collect())
    };
    let slow = move |_: usize, seen: &crate::support::Seen| match seen.body["model"].as_str() {
        Some("silent") => Reply {
            delay: Duration::from_millis(1),
            ..Reply::sse("").steps(vec![Step::Wait(Duration::from_secs(2))])
        },
        _ => long(),
    };
    let rig = Rig::start(slow).await;
    for (n, model) in ["stream", "silent"].into_iter().enumerate() {
        let sent = rig.request("/v1/messages").body(request(model, true).to_string()).send();
        if model == "stream" {
            let mut response = sent.await.expect("answers");
            response.chunk().await.expect("first event");
            drop(response);
        } else {
            // Nothing was answered yet.
            let _ = tokio::time::timeout(Duration::from_millis(150), sent).await;
        }
        let left = Instant::now();
        while rig.upstream.gone().len() <= n && left.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let gone = rig.upstream.gone().get(n).copied().unwrap_or_else(|| panic!("{model}: still connected"));
        let took = gone.saturating_duration_since(left);
        assert!(took < Duration::from_millis(100), "{model}: closed after {took:?}");
    }
    let rows = rig.rows();
    assert!(rows.iter().all(|r| r["outcome"] == "cancelled"), "{rows:?}");
    assert!(rows.iter().all(|r| r["input_tokens"].is_null()), "unknown is null: {rows:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_closes_everything() {
    let rig = Rig::start(|_, _| Reply::sse(PART).steps(vec![Step::Wait(Duration::from_secs(10))])).await;
    let mut response =
        rig.request("/v1/messages").body(request("m", true).to_string()).send().await.expect("answers");
    response.chunk().await.expect("first event");
    let upstream = rig.upstream.clone();
    rig.adapter.shutdown().await;
    let left = Instant::now();
    while upstream.gone().is_empty() {
        assert!(left.elapsed() < Duration::from_secs(1), "the gateway is still connected");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    while let Ok(Some(_)) = response.chunk().await {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_agent_gets_in() {
    let rig = Rig::start(|_, _| Reply::sse(OK)).await;
    let body = request("m", true).to_string();
    let bare = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("client");
    let url = format!("{}/v1/messages", rig.adapter.base_url());
    let post = || bare.post(&url).body(body.clone());
    let cases = [
        ("no token", post(), 401),
        ("wrong token", post().bearer_auth("test-token-1235"), 401),
        ("x-api-key", post().header("x-api-key", TOKEN), 200),
        ("other host", post().bearer_auth(TOKEN).header("host", "evil.example"), 403),
        ("a web page", post().bearer_auth(TOKEN).header("origin", "https://evil.example"), 403),
        ("too large", bare.post(&url).bearer_auth(TOKEN).body(vec![b' '; (32 << 20) + 1]), 413),
        ("not JSON", bare.post(&url).bearer_auth(TOKEN).body("{"), 400),
        ("no messages", bare.post(&url).bearer_auth(TOKEN).body("{\"model\":\"m\",\"messages\":[]}"), 400),
        (
            "half an emoji",
            bare.post(&url).bearer_auth(TOKEN).body(body.replace("\"hi\"", "\"hi \\ud83d\"")),
            200,
        ),
        ("unknown path", bare.post(format!("{}/v1/files", rig.adapter.base_url())).bearer_auth(TOKEN), 404),
        ("hello", bare.head(format!("{}/api/hello", rig.adapter.base_url())).bearer_auth(TOKEN), 200),
    ];
    for (name, sent, expected) in cases {
        match sent.send().await {
            Ok(response) => assert_eq!(response.status().as_u16(), expected, "{name}"),
            // The refusal may arrive while the client still sends its too large body.
            Err(error) => assert_eq!(name, "too large", "{error}"),
        }
    }
    assert_eq!(rig.upstream.seen().len(), 2, "only the admitted requests went on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metering_says_what_is_known() {
    let rig = Rig::with(
        |_, seen| match seen.body["model"].as_str() {
            Some("quiet") => Reply::sse(OK.replace("\"usage\"", "\"x\"")),
            _ => Reply::sse(OK),
        },
        |config| {
            config.prices.input = Some(1.0);
            config.prices.output = Some(10.0);
        },
    )
    .await;
    rig.adapter.set_attempt(2);
    rig.post(&request("loud", true)).await;
    rig.post(&request("quiet", false)).await;
    let rows = rig.rows();
    let row = &rows[0];
    for (key, value) in [
        ("v", json!(1)),
        ("job", json!("job-1")),
        ("attempt", json!(2)),
        ("route", json!("messages")),
        ("model_asked", json!("loud")),
        ("model_sent", json!("loud")),
        ("model_answered", json!("m-1")),
        ("status", json!(200)),
        ("outcome", json!("ok")),
        ("tries", json!(1)),
        ("input_tokens", json!(10)),
        ("output_tokens", json!(2)),
        ("cached_tokens", json!(null)),
        ("unmetered", json!(false)),
        ("cost_estimate", json!(0.00003)),
    ] {
        assert_eq!(row[key], value, "{key}: {row}");
    }
    assert_eq!((&rows[1]["unmetered"], &rows[1]["input_tokens"]), (&json!(true), &json!(null)));
    let totals = rig.adapter.usage();
    assert_eq!((totals.requests, totals.unmetered), (2, 1));
    assert_eq!((totals.input_tokens, totals.output_tokens, totals.cached_tokens), (Some(10), Some(2), None));
    assert!(totals.bytes_in > 0 && totals.bytes_out > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counting_tokens_learns() {
    let rig = Rig::start(|_, _| Reply::sse(OK.replace("\"prompt_tokens\":10", "\"prompt_tokens\":77"))).await;
    let count = || async {
        let body = request("m", true).to_string();
        Got::of(rig.request("/v1/messages/count_tokens").body(body).send().await.expect("answers")).await
    };
    let first = count().await;
    assert_eq!(first.headers["x-codex-worker-estimate"], "tokenizer");
    rig.post(&request("m", true)).await;
    let second = count().await;
    assert_eq!(second.headers["x-codex-worker-estimate"], "calibrated");
    assert_eq!(second.text, r#"{"input_tokens":77}"#);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_are_chosen_and_listed() {
    let change = |config: &mut config::Config| {
        config.gateway.model = Some("big".into());
        config.gateway.lite_model = Some("small".into());
    };
    let rig = Rig::with(|_, _| Reply::sse(OK), change).await;
    for (asked, sent) in [
        ("claude-sonnet-5-5", "big"),
        ("claude-haiku-4", "small"),
        ("opus", "big"),
        ("deepseek-chat", "deepseek-chat"),
    ] {
        rig.post(&request(asked, true)).await;
        assert_eq!(rig.upstream.seen().last().expect("seen").body["model"], sent, "{asked}");
    }
    rig.adapter.set_model("forced".into());
    rig.post(&request("deepseek-chat", true)).await;
    assert_eq!(rig.upstream.seen().last().expect("seen").body["model"], "forced");
    let url = format!("{}/v1/models", rig.adapter.base_url());
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("client");
    let list: serde_json::Value = serde_json::from_str(
        &client.get(url).bearer_auth(TOKEN).send().await.expect("answers").text().await.expect("text"),
    )
    .expect("JSON");
    let names: Vec<_> = list["data"].as_array().expect("list").iter().map(|m| m["id"].clone()).collect();
    assert_eq!(names, ["forced", "big", "small"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_of_the_host() {
    let rig = Rig::start(|n, _| match n {
        0 => status(500, "x"),
        _ => Reply::json(200, r#"{"model":"m-1","choices":[{"message":{"content":"forty-two"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#),
    })
    .await;
    let mut config = config::Config::for_tests(&rig.home.path().join("state"));
    config.gateway.primary = Some(Endpoint { base_url: rig.upstream.url.clone(), api_key: None });
    let asker = adapter::ask::Asker::with(&config, crate::support::quick()).expect("gateway");
    let answer = asker.ask(Some("m"), "be short", "why?", 50).await.expect("answers");
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("forty-two", "m-1"));
    assert_eq!(answer.usage.input_tokens, Some(9));
    assert_eq!(rig.upstream.seen()[1].body["messages"][1]["content"], "why?");
    assert!(asker.ask(None, "", "", 1).await.is_err(), "no model is configured");
}

/// A question without an answer is told as that, and an address that nobody answers at is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_without_an_answer() {
    let body = |choice: &str| {
        format!(
            r#"{{"model":"m-1","choices":[{choice}],"usage":{{"prompt_tokens":9,"completion_tokens":50}}}}"#
        )
    };
    let cases = [
        (
            "nothing",
            body(r#"{"message":{"content":""},"finish_reason":"stop"}"#),
            "m-1 gave an empty answer",
            3,
        ),
        (
            "null",
            body(r#"{"message":{"content":null},"finish_reason":"stop"}"#),
            "m-1 gave an empty answer",
            3,
        ),
        (
            "blank",
            body(r#"{"message":{"content":"  \n"},"finish_reason":"stop"}"#),
            "m-1 gave an empty answer",
            3,
        ),
        (
            "thought",
            body(r#"{"message":{"content":"","reasoning_content":"hm"},"finish_reason":"length"}"#),
            "m-1 gave no answer: its 50 output tokens went into reasoning",
            1,
        ),
        (
            "filtered",
            body(r#"{"message":{"content":""},"finish_reason":"content_filter"}"#),
            "m-1 refused to answer",
            1,
        ),
    ];
    let table: std::collections::HashMap<String, String> =
        cases.iter().map(|(name, body, ..)| ((*name).to_owned(), body.clone())).collect();
    let rig =
        Rig::start(move |_, seen| Reply::json(200, &table[seen.body["model"].as_str().expect("model")]))
            .await;
    let mut config = config::Config::for_tests(&rig.home.path().join("state"));
    config.gateway.primary = Some(Endpoint { base_url: rig.upstream.url.clone(), api_key: None });
    let asker = adapter::ask::Asker::with(&config, crate::support::quick()).expect("gateway");
    for (name, _, message, tries) in cases {
        let error = asker.ask(Some(name), "", "why?", 50).await.expect_err(name);
        assert_eq!(error.message, message, "{name}");
        let sent = rig.upstream.seen().iter().filter(|s| s.body["model"] == name).count();
        assert_eq!(sent, tries, "{name}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback").local_addr().expect("address");
    config.gateway.primary = Some(Endpoint { base_url: format!("http://{closed}/v1"), api_key: None });
    let asker = adapter::ask::Asker::with(&config, crate::support::quick()).expect("gateway");
    let error = asker.ask(Some("m"), "", "why?", 50).await.expect_err("nobody is there");
    assert!(error.message.contains(&format!("{closed} could not be reached")), "{}", error.message);
    let hints = error.hints.join("; ");
    assert!(hints.contains("the address in ONEAPI_BASE_URL") && !hints.contains("doctor"), "{hints}");
}

const ANTHROPIC: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":30,\"cache_read_input_tokens\":70,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"ok\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":5}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pass_through() {
    let rig = Rig::with(
        |n, seen| match (n, seen.body["stream"].as_bool()) {
            (0, _) => Reply::json(529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#),
            (_, Some(true)) => Reply::sse(ANTHROPIC),
            _ => Reply::json(200, r#"{"type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":4}}"#),
        },
        |config| config.gateway.use_openai_adapter = false,
    )
    .await;
    rig.adapter.set_model("claude-x".into());
    let sent = rig.request("/v1/messages").header("anthropic-beta", "b1").header("x-stainless-lang", "js");
    let got = Got::of(sent.body(request("any", true).to_string()).send().await.expect("answers")).await;
    assert_eq!(got.text, ANTHROPIC, "byte for byte");
    let seen = rig.upstream.seen().last().cloned().expect("seen");
    assert_eq!((seen.path.as_str(), seen.body["model"].as_str()), ("/v1/messages", Some("claude-x")));
    assert!(
        seen.head.contains(&format!("x-api-key: {KEY}")) && seen.head.contains("anthropic-beta: b1"),
        "{}",
        seen.head
    );
    assert!(!seen.head.contains(TOKEN) && !seen.head.contains("x-stainless"), "{}", seen.head);
    let row = &rig.rows()[0];
    assert_eq!((&row["route"], &row["tries"]), (&json!("relay"), &json!(2)));
    assert_eq!(
        (&row["input_tokens"], &row["cached_tokens"], &row["output_tokens"]),
        (&json!(100), &json!(70), &json!(5))
    );
    let whole = rig.post(&request("any", false)).await;
    assert_eq!(whole.render(), "text \"ok\" | => end_turn 3+null/4");
}
