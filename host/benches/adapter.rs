//! What the adapter costs: a mock gateway and a load client, both here, and the adapter as a
//! process of its own between them; everything is measured direct and through it in one
//! run. `cargo bench --bench adapter`; Linux only (it reads /proc).
#![expect(clippy::print_stdout, clippy::expect_used, reason = "a program for a person")]

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CHUNKS: usize = 200;
const TOKEN: &str = "bench-token-1234";

fn main() {
    if !cfg!(target_os = "linux") || std::env::args().any(|a| a == "--test") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("runtime").block_on(measure());
}

async fn measure() {
    let mock = mock().await;
    println!("Each stream is {CHUNKS} chunks, each its own write. Times in ms.");

    let mut starts: Vec<Duration> = Vec::new();
    for _ in 0..7 {
        let started = Instant::now();
        let adapter = Adapter::start(&mock).await;
        let target = Target { address: adapter.address.clone(), path: "/v1/messages" };
        let mut connection = Connection::open(&target).await;
        connection.ask(&target, &small_anthropic()).await;
        starts.push(started.elapsed());
    }
    starts.sort();
    println!(
        "start to the end of the first answer: {:.1} (median of 7), {:.1} (best)",
        ms(starts[3]),
        ms(starts[0])
    );

    let adapter = Adapter::start(&mock).await;
    println!("memory idle: {:.1} MB", adapter.memory("VmRSS"));
    let direct = Target { address: mock.clone(), path: "/v1/chat/completions" };
    let through = Target { address: adapter.address.clone(), path: "/v1/messages" };
    // Warm both.
    load(&direct, &small_openai(), 2, 5).await;
    load(&through, &small_anthropic(), 2, 5).await;

    println!(
        "{:>8} {:>9} {:>10} {:>10} {:>10} {:>10} {:>9} {:>14}",
        "streams", "", "first p50", "first p99", "whole p50", "whole p99", "req/s", "CPU ms/stream"
    );
    for (streams, each) in [(1, 300), (16, 40), (64, 15)] {
        let base = load(&direct, &small_openai(), streams, each).await;
        base.print(streams, "direct", None);
        let before = adapter.cpu();
        let got = load(&through, &small_anthropic(), streams, each).await;
        let cpu = (adapter.cpu() - before).as_secs_f64() * 1e3 / (streams * each) as f64;
        got.print(streams, "adapter", Some(cpu));
        println!(
            "{:>8} {:>9} {:>+10.2} {:>+10.2} {:>+10.2} {:>+10.2} {:>8.2}x",
            "",
            "added",
            got.first(50) - base.first(50),
            got.first(99) - base.first(99),
            got.whole(50) - base.whole(50),
            got.whole(99) - base.whole(99),
            got.rate() / base.rate()
        );
    }
    println!(
        "memory after 64 streams: {:.1} MB, at most {:.1} MB",
        adapter.memory("VmRSS"),
        adapter.memory("VmHWM")
    );

    let (big_openai, big_anthropic) = big_bodies();
    let base = load(&direct, &big_openai, 1, 40).await;
    base.print(1, "direct", None);
    let before = adapter.cpu();
    let got = load(&through, &big_anthropic, 1, 100).await;
    let cpu = (adapter.cpu() - before).as_secs_f64() * 1e3 / 100.0;
    println!("a body of {:.2} MB, 201 messages, 20 tools:", big_anthropic.len() as f64 / 1e6);
    got.print(1, "adapter", Some(cpu));
    println!("memory after the big bodies: {:.1} MB", adapter.memory("VmRSS"));
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The adapter as its users run it.
struct Adapter {
    child: Child,
    address: String,
    _home: tempfile::TempDir,
}

impl Adapter {
    async fn start(mock: &str) -> Adapter {
        let home = tempfile::tempdir().expect("temporary directory");
        let port = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
            free.local_addr().expect("address").port()
        };
        let address = format!("127.0.0.1:{port}");
        let child = Command::new(env!("CARGO_BIN_EXE_codex-worker"))
            .args(["adapter", "--listen", &address])
            .env("CODEX_WORKER_HOME", home.path())
            .env("ONEAPI_BASE_URL", format!("http://{mock}/v1"))
            .env("ADAPTER_TOKEN", TOKEN)
            .stderr(Stdio::null())
            .spawn()
            .expect("the adapter starts");
        let started = Instant::now();
        while TcpStream::connect(&address).await.is_err() {
            assert!(started.elapsed() < Duration::from_secs(10), "the adapter does not listen");
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        Adapter { child, address, _home: home }
    }

    fn memory(&self, key: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("proc");
        let line = status.lines().find_map(|l| l.strip_prefix(key)).expect("memory");
        let kilobytes: f64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("number");
        kilobytes / 1024.0
    }

    /// Processor time so far, from the scheduler's own clock (nanoseconds).
    fn cpu(&self) -> Duration {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("tasks").flatten() {
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            sum += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        }
        Duration::from_nanos(sum)
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway that answers every request with the same stream.
async fn mock() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("address").to_string();
    let mut events: Vec<Vec<u8>> =
        vec![event(json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": null}}]}))];
    for n in 0..CHUNKS {
        events.push(event(json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"content": format!("word{n} ")}, "finish_reason": null}]})));
    }
    events.push(event(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})));
    events.push(event(json!({"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 200}})));
    events.push(framed(b"data: [DONE]\n\n"));
    let events = Arc::new(events);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let events = Arc::clone(&events);
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let mut buffer = Vec::new();
                while read_request(&mut stream, &mut buffer).await {
                    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                    if stream.write_all(head).await.is_err() {
                        return;
                    }
                    for event in events.iter() {
                        if stream.write_all(event).await.is_err() {
                            return;
                        }
                    }
                    if stream.write_all(b"0\r\n\r\n").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn event(value: serde_json::Value) -> Vec<u8> {
    framed(format!("data: {value}\n\n").as_bytes())
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> bool {
    buffer.clear();
    let mut need = None;
    loop {
        if need.is_none()
            && let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&buffer[..at]).to_ascii_lowercase();
            let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
            need = Some(at + 4 + length.unwrap_or(0));
        }
        if need.is_some_and(|need| buffer.len() >= need) {
            return true;
        }
        if !matches!(stream.read_buf(buffer).await, Ok(n) if n > 0) {
            return false;
        }
    }
}

struct Target {
    address: String,
    path: &'static str,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(target: &Target) -> Connection {
        let stream = TcpStream::connect(&target.address).await.expect("connects");
        stream.set_nodelay(true).expect("nodelay");
        Connection { stream, buffer: Vec::with_capacity(1 << 16) }
    }

    /// Until the first event of content, and until the end.
    async fn ask(&mut self, target: &Target, body: &[u8]) -> (Duration, Duration) {
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            target.path,
            target.address,
            body.len()
        );
        let started = Instant::now();
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).await.expect("sends");
        self.buffer.clear();
        let mut first = None;
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.expect("reads");
            assert!(read > 0, "closed: {}", String::from_utf8_lossy(&self.buffer));
            if first.is_none() && self.buffer.windows(6).any(|w| w == b"data: ") {
                first = Some(started.elapsed());
                assert!(
                    self.buffer.starts_with(b"HTTP/1.1 200"),
                    "{}",
                    String::from_utf8_lossy(&self.buffer)
                );
            }
            if self.buffer.ends_with(b"\r\n0\r\n\r\n") {
                let whole = started.elapsed();
                return (first.unwrap_or(whole), whole);
            }
        }
    }
}

struct Load {
    firsts: Vec<f64>,
    wholes: Vec<f64>,
    took: Duration,
}

impl Load {
    fn first(&self, percent: usize) -> f64 {
        percentile(&self.firsts, percent)
    }
    fn whole(&self, percent: usize) -> f64 {
        percentile(&self.wholes, percent)
    }
    fn rate(&self) -> f64 {
        self.firsts.len() as f64 / self.took.as_secs_f64()
    }
    fn print(&self, streams: usize, label: &str, cpu: Option<f64>) {
        let cpu = cpu.map_or(String::new(), |c| format!("{c:.2}"));
        println!(
            "{streams:>8} {label:>9} {:>10.2} {:>10.2} {:>10.2} {:>10.2} {:>9.0} {cpu:>14}",
            self.first(50),
            self.first(99),
            self.whole(50),
            self.whole(99),
            self.rate()
        );
    }
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

async fn load(target: &Target, body: &[u8], streams: usize, each: usize) -> Load {
    let started = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..streams {
        let target = Target { address: target.address.clone(), path: target.path };
        let body = body.to_vec();
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(&target).await;
            let mut times = Vec::with_capacity(each);
            for _ in 0..each {
                times.push(connection.ask(&target, &body).await);
            }
            times
        }));
    }
    let (mut firsts, mut wholes) = (Vec::new(), Vec::new());
    for task in tasks {
        for (first, whole) in task.await.expect("client") {
            firsts.push(ms(first));
            wholes.push(ms(whole));
        }
    }
    let took = started.elapsed();
    firsts.sort_by(f64::total_cmp);
    wholes.sort_by(f64::total_cmp);
    Load { firsts, wholes, took }
}

fn small_openai() -> Vec<u8> {
    json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]})
        .to_string()
        .into_bytes()
}

fn small_anthropic() -> Vec<u8> {
    json!({"model": "m", "stream": true, "max_tokens": 1000, "messages": [{"role": "user", "content": "hi"}]})
        .to_string()
        .into_bytes()
}

/// 201 messages and 20 tools, 0.9 MB, in both forms.
fn big_bodies() -> (Vec<u8>, Vec<u8>) {
    let prose = "The quick brown fox said \"jump\" \\ and then\n\tdid so, é 汉字. ".repeat(84);
    let mut messages = vec![json!({"role": "user", "content": prose})];
    let mut plain = vec![json!({"role": "user", "content": prose})];
    for n in 0..100 {
        messages.push(json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": "I look at it.", "signature": "s"},
            {"type": "text", "text": &prose[..prose.len() / 2]},
            {"type": "tool_use", "id": format!("call_{n}"), "name": "tool_3", "input": {"command": "ls -l", "n": n}},
        ]}));
        messages.push(json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": format!("call_{n}"), "content": [{"type": "text", "text": prose}]},
        ]}));
        plain.push(json!({"role": "assistant", "content": &prose[..prose.len() / 2]}));
        plain.push(json!({"role": "user", "content": prose}));
    }
    let tools: Vec<_> = (0..20)
        .map(|n| json!({"name": format!("tool_{n}"), "description": "Does things. ".repeat(40), "input_schema": {"$schema": "x", "type": "object", "properties": {"command": {"type": "string"}, "n": {"type": "integer"}}}}))
        .collect();
    let anthropic = json!({"model": "m", "stream": true, "max_tokens": 1000, "system": prose, "tools": tools, "messages": messages});
    let openai = json!({"model": "m", "stream": true, "messages": plain});
    (openai.to_string().into_bytes(), anthropic.to_string().into_bytes())
}
