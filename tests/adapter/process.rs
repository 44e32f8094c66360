//! The adapter as a process of its own: what only its environment decides (proxies,
//! certificates, tokens), what several processes share, and what it says on its way.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::support::{Got, KEY, Reply, TOKEN, Upstream, request};

const OK: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ok\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
const OK_LINE: &str = "text \"ok\" | => end_turn 10+0/2";

/// `codex-worker adapter`, stopped when it is dropped.
struct Process {
    child: tokio::process::Child,
    url: String,
    /// What it said before it was ready.
    said: Vec<String>,
    errors: BufReader<tokio::process::ChildStderr>,
}

impl Process {
    async fn start(home: &std::path::Path, gateway: &str, environment: &[(&str, &str)]) -> Process {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_codex-worker"));
        command
            .args(["adapter", "--listen", "127.0.0.1:0"])
            .env_clear()
            .envs(std::env::var_os("SystemRoot").map(|v| ("SystemRoot", v)))
            .env("CODEX_WORKER_HOME", home)
            .env("ONEAPI_BASE_URL", gateway)
            .env("ONEAPI_API_KEY", KEY)
            .env("RUST_LOG", "trace")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("the adapter starts");
        let mut errors = BufReader::new(child.stderr.take().expect("standard error"));
        let mut said = Vec::new();
        let url = loop {
            let mut line = String::new();
            let read = tokio::time::timeout(Duration::from_secs(30), errors.read_line(&mut line)).await;
            assert!(read.expect("in time").expect("a line") > 0, "it ended: {said:?}");
            said.push(line.trim().to_owned());
            if let Some(url) = line.trim().strip_prefix("ANTHROPIC_BASE_URL=") {
                break url.to_owned();
            }
        };
        Process { child, url, said, errors }
    }

    async fn post(&self, token: &str, body: &Value) -> Got {
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("client");
        let sent = http.post(format!("{}/v1/messages", self.url)).bearer_auth(token).body(body.to_string());
        Got::of(sent.send().await.expect("it answers")).await
    }

    /// Ends it, and gives all that it has logged.
    async fn log(mut self) -> String {
        self.child.kill().await.expect("it is ended");
        let mut rest = String::new();
        self.errors.read_to_string(&mut rest).await.expect("standard error");
        self.said.join("\n") + &rest
    }
}

fn tls() -> tokio_rustls::TlsAcceptor {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tls/");
    let certificate = CertificateDer::from_pem_file(format!("{place}server.pem")).expect("certificate");
    let key = PrivateKeyDer::from_pem_file(format!("{place}server.key")).expect("key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("configuration");
    Arc::new(config).into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_ones_own() {
    let home = tempfile::tempdir().expect("temporary directory");
    let upstream = Upstream::start_tls(|_, _| Reply::sse(OK), tls()).await;
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tls/ca.pem");
    let trusting =
        Process::start(home.path(), &upstream.url, &[("ADAPTER_TOKEN", TOKEN), ("SSL_CERT_FILE", ca)]).await;
    assert_eq!(trusting.post(TOKEN, &request("m", true)).await.render(), OK_LINE);

    let strict = Process::start(home.path(), &upstream.url, &[("ADAPTER_TOKEN", TOKEN)]).await;
    let refused = strict.post(TOKEN, &request("m", false)).await.render();
    assert!(refused.starts_with("502 api_error: localhost:") && refused.contains("certificate"), "{refused}");
    assert_eq!(upstream.seen().len(), 1, "nothing is said to a gateway that cannot prove its name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_of_the_environment() {
    let home = tempfile::tempdir().expect("temporary directory");
    // A proxy for plain HTTP is asked for the whole address.
    let proxy = Upstream::start(|_, _| Reply::sse(OK)).await;
    let at = proxy.url.trim_end_matches("/v1").to_owned();
    let environment = [("ADAPTER_TOKEN", TOKEN), ("HTTP_PROXY", at.as_str()), ("http_proxy", at.as_str())];
    let through = Process::start(home.path(), "http://gateway.invalid/v1", &environment).await;
    assert_eq!(through.post(TOKEN, &request("m", true)).await.render(), OK_LINE);
    assert_eq!(proxy.seen()[0].path, "http://gateway.invalid/v1/chat/completions");

    // A gateway on loopback is never asked through one.
    let local = Upstream::start(|_, _| Reply::sse(OK)).await;
    let direct = Process::start(home.path(), &local.url, &environment).await;
    assert_eq!(direct.post(TOKEN, &request("m", true)).await.render(), OK_LINE);
    assert_eq!((proxy.seen().len(), local.seen().len()), (1, 1));
}

/// A token is made when none is given; neither it nor the key is ever logged, whatever the
/// gateway quotes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_said_twice() {
    let home = tempfile::tempdir().expect("temporary directory");
    let upstream = Upstream::start(|n, _| match n {
        0 => Reply::sse(OK),
        _ => Reply::json(400, &format!("{{\"error\":{{\"message\":\"odd key {KEY}\"}}}}")),
    })
    .await;
    let process = Process::start(home.path(), &upstream.url, &[]).await;
    let mut process = process;
    let mut line = String::new();
    process.errors.read_line(&mut line).await.expect("a line");
    let token = line.trim().strip_prefix("ANTHROPIC_AUTH_TOKEN=").expect("the token").to_owned();
    assert!(token.len() >= 32, "{token}");
    assert_eq!(process.post(TOKEN, &request("m", true)).await.status, 401);
    assert_eq!(process.post(&token, &request("m", true)).await.render(), OK_LINE);
    let refused = process.post(&token, &request("m", true)).await;
    assert_eq!(refused.render(), "400 invalid_request_error: odd key ***");
    let log = process.log().await;
    assert!(!log.contains(&token) && !log.contains(KEY) && !log.contains(TOKEN), "{log}");
    let rows = std::fs::read_to_string(home.path().join("metrics.jsonl")).expect("rows");
    assert!(!rows.contains(&token) && !rows.contains(KEY), "{rows}");
}

/// Several processes append to one file: every line is whole, none is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_share_the_rows_and_the_breaker() {
    const EACH: usize = 25;
    let home = tempfile::tempdir().expect("temporary directory");
    let upstream = Upstream::start(|_, _| Reply::sse(OK)).await;
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(Process::start(home.path(), &upstream.url, &[("ADAPTER_TOKEN", TOKEN)]).await);
    }
    let posts = processes.iter().map(|process| async move {
        for _ in 0..EACH {
            assert_eq!(process.post(TOKEN, &request("m", true)).await.render(), OK_LINE);
        }
    });
    futures_util::future::join_all(posts).await;
    let rows = std::fs::read_to_string(home.path().join("metrics.jsonl")).expect("rows");
    let rows: Vec<Value> = rows.lines().map(|l| serde_json::from_str(l).expect(l)).collect();
    assert_eq!(rows.len(), processes.len() * EACH);
    assert!(rows.iter().all(|r| r["v"] == 1 && r["input_tokens"] == 10 && r["outcome"] == "ok"));
}

/// What a stranger on the machine may try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_clients() {
    let home = tempfile::tempdir().expect("temporary directory");
    let upstream = Upstream::start(|_, _| Reply::sse(OK)).await;
    let process = Process::start(home.path(), &upstream.url, &[("ADAPTER_TOKEN", TOKEN)]).await;
    let address = process.url.trim_start_matches("http://").to_owned();
    let many = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let long = "y".repeat(200_000);
    let cases: [(&str, String, &str); 5] = [
        ("too many headers", format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), "431"),
        ("a long header", format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n"), "431"),
        ("no host", "GET / HTTP/1.1\r\n\r\n".into(), "40"),
        ("no HTTP", "SSH-2.0-x\r\n\r\n".into(), "400"),
        (
            "a body that is announced too large",
            format!(
                "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 99999999999\r\n\r\n"
            ),
            "413",
        ),
    ];
    for (name, sent, expected) in cases {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("connects");
        let _ = stream.write_all(sent.as_bytes()).await;
        let mut got = [0u8; 64];
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut got)).await;
        let read = read.expect("in time").unwrap_or(0);
        let got = String::from_utf8_lossy(&got[..read]).into_owned();
        assert!(got.starts_with(&format!("HTTP/1.1 {expected}")), "{name}: {got:?}");
    }
    // Hundreds of connections that say nothing do not keep the agent out.
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(tokio::net::TcpStream::connect(&address).await.expect("connects"));
    }
    assert_eq!(process.post(TOKEN, &request("m", true)).await.render(), OK_LINE);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn only_this_machine_is_listened_to() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let home = tempfile::tempdir().expect("temporary directory");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_codex-worker"));
        command.args(["adapter", "--listen", address]).env_clear().env("CODEX_WORKER_HOME", home.path());
        command.env("ONEAPI_BASE_URL", "http://127.0.0.1:9").env("ADAPTER_TOKEN", TOKEN).kill_on_drop(true);
        let ended = tokio::time::timeout(Duration::from_secs(30), command.output()).await;
        let ended = ended.expect("it ends").expect("it starts");
        let text = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(5), "{text}");
        assert!(text.contains("is an address that other machines may reach"), "{text}");
        assert!(text.contains("listen on 127.0.0.1 or [::1]"), "{text}");
    }
}
