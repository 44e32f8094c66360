//! An HTTP/1.1 server that answers as a test says: statuses, pauses, cuts, raw bytes. The
//! scripted gateways of the adapter's tests, Anthropic for the agents' tests and Responses
//! for Codex are scripts for it. (The adapter's benchmark has a server of its own: what a
//! server costs is in both of its figures, and this one keeps every request.)

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// One step of a scripted answer's body.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sent as they are (a chunk, unless the reply is raw).
    Bytes(Vec<u8>),
    /// Nothing is sent for this long.
    Wait(Duration),
    /// The connection is closed in the middle.
    Abort,
}

/// A scripted answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Besides the transfer encoding.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub steps: Vec<Step>,
    /// Before the status line.
    pub delay: Duration,
    /// The steps are all that is sent, head included; then the connection is closed.
    pub raw: bool,
}

impl Reply {
    /// An event stream.
    pub fn sse(body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status: 200,
            headers: vec![("content-type".into(), "text/event-stream".into())],
            steps: vec![Step::Bytes(body.into())],
            delay: Duration::ZERO,
            raw: false,
        }
    }

    /// A JSON document.
    pub fn json(status: u16, body: &str) -> Reply {
        Reply {
            status,
            headers: vec![("content-type".into(), "application/json".into())],
            steps: vec![Step::Bytes(body.into())],
            delay: Duration::ZERO,
            raw: false,
        }
    }

    /// Every byte that is sent, head included.
    pub fn raw(whole: impl Into<Vec<u8>>) -> Reply {
        Reply { raw: true, ..Reply::sse(whole) }
    }

    /// Appends to the body.
    pub fn steps(mut self, more: Vec<Step>) -> Reply {
        self.steps.extend(more);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// A request as the gateway saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Lower case.
    pub path: String,
    /// Request line and headers, lower case.
    pub head: String,
    /// Null if it is not JSON.
    pub body: Value,
    /// The body as text.
    pub raw: String,
}

type Script = dyn Fn(usize, &Seen) -> Reply + Send + Sync;

/// The scripted gateway. Runs on the test's runtime and dies with it.
#[derive(Clone)]
pub struct Upstream {
    /// Its base URL, `…/v1`.
    pub url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    gone: Arc<Mutex<Vec<Instant>>>,
}

impl Upstream {
    /// Listens on a loopback port; the script gets the number of the request, from 0.
    pub async fn start(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}/v1", listener.local_addr().expect("address"));
        let upstream = Upstream { url, seen: Arc::default(), gone: Arc::default() };
        upstream.clone().accept(listener, script, None);
        upstream
    }

    /// The same with TLS, under the name `localhost`.
    pub async fn start_tls(
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
        tls: tokio_rustls::TlsAcceptor,
    ) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("https://localhost:{}/v1", listener.local_addr().expect("address").port());
        let upstream = Upstream { url, seen: Arc::default(), gone: Arc::default() };
        upstream.clone().accept(listener, script, Some(tls));
        upstream
    }

    /// The same on a thread of its own, for tests without a runtime. Ends with the process.
    pub fn start_in_thread(script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> Upstream {
        let (sender, started) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                sender.send(Upstream::start(script).await).expect("somebody waits");
                std::future::pending::<()>().await;
            });
        });
        started.recv().expect("the server starts")
    }

    fn accept(
        self,
        listener: TcpListener,
        script: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static,
        tls: Option<tokio_rustls::TlsAcceptor>,
    ) {
        let script: Arc<Script> = Arc::new(script);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (script, seen, gone) =
                    (Arc::clone(&script), Arc::clone(&self.seen), Arc::clone(&self.gone));
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => drop(serve(stream, script, seen, gone).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(serve(stream, script, seen, gone).await);
                            }
                        }
                    }
                });
            }
        });
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("lock").clone()
    }

    /// When connections were closed by the other side in the middle of an answer.
    pub fn gone(&self) -> Vec<Instant> {
        self.gone.lock().expect("lock").clone()
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Seen>>>,
    gone: Arc<Mutex<Vec<Instant>>>,
) -> std::io::Result<()> {
    loop {
        let mut buffer = Vec::new();
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).to_ascii_lowercase();
        let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
        let length: usize = length.unwrap_or(0);
        while buffer.len() < head_end + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let raw = String::from_utf8_lossy(&buffer[head_end..]).into_owned();
        let path = head.split(' ').nth(1).unwrap_or("").to_owned();
        let request = Seen { path, head, body: serde_json::from_str(&raw).unwrap_or(Value::Null), raw };
        let number = {
            let mut seen = seen.lock().expect("lock");
            seen.push(request.clone());
            seen.len() - 1
        };
        let reply = script(number, &request);
        if let Err(error) = answer(&mut stream, &reply).await {
            gone.lock().expect("lock").push(Instant::now());
            return Err(error);
        }
        if reply.raw || reply.steps.iter().any(|s| matches!(s, Step::Abort)) {
            return Ok(());
        }
    }
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, reply: &Reply) -> std::io::Result<()> {
    tokio::time::sleep(reply.delay).await;
    let mut head = format!("HTTP/1.1 {} X\r\ntransfer-encoding: chunked\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    if !reply.raw {
        stream.write_all(head.as_bytes()).await?;
    }
    for step in &reply.steps {
        match step {
            Step::Bytes(bytes) if bytes.is_empty() => {}
            Step::Bytes(bytes) if reply.raw => stream.write_all(bytes).await?,
            Step::Bytes(bytes) => {
                let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
                chunk.extend_from_slice(bytes);
                chunk.extend_from_slice(b"\r\n");
                stream.write_all(&chunk).await?;
            }
            Step::Wait(pause) => {
                let mut byte = [0u8; 1];
                // The other side sends nothing now: a read that ends is a close.
                if let Ok(read) = tokio::time::timeout(*pause, stream.read(&mut byte)).await {
                    read?;
                    return Err(std::io::ErrorKind::ConnectionReset.into());
                }
            }
            Step::Abort => return Ok(()),
        }
    }
    if reply.raw {
        return stream.shutdown().await;
    }
    stream.write_all(b"0\r\n\r\n").await
}
