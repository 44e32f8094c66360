//! One JSON-RPC message a line on standard input and output. Differs from rmcp's own in
//! what a client that errs gets: a line that is too long or no message is answered, with
//! the request's id where it can be found, so that nobody waits for ever. The end of the
//! input and the shutdown token are the same thing: no further message.

use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::{ClientJsonRpcMessage, ErrorData, RequestId, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// Bytes. The longest legal request, a `start` with a prompt of 1 MB, is far below it.
pub const MAX_LINE: usize = 8 << 20;
/// What is kept of a line that is too long, to find its id.
const KEEP: usize = 4096;
/// A buffer that grew past this is given back.
const IDLE_BUFFER: usize = 64 << 10;

/// A transport over a pair of byte streams.
pub struct LineTransport<R, W> {
    read: BufReader<R>,
    line: Vec<u8>,
    /// The rest of a line that is too long is dropped; its last bytes are kept.
    dropped: Option<Vec<u8>>,
    write: Arc<Mutex<Option<W>>>,
    shutdown: CancellationToken,
    /// A request was passed on. Before it, anything else would end the session.
    opened: bool,
}

impl<R: AsyncRead + Send + Unpin, W: AsyncWrite + Send + Unpin + 'static> LineTransport<R, W> {
    /// Reads until `shutdown` fires, which it does itself at the end of the input.
    pub fn new(read: R, write: W, shutdown: CancellationToken) -> Self {
        LineTransport {
            read: BufReader::with_capacity(16 << 10, read),
            line: Vec::new(),
            dropped: None,
            write: Arc::new(Mutex::new(Some(write))),
            shutdown,
            opened: false,
        }
    }

    /// The next whole line in `self.line`; false at the end. May be dropped at any await
    /// and called again.
    async fn next_line(&mut self) -> bool {
        loop {
            let available = match self.read.fill_buf().await {
                Ok([]) | Err(_) => return false,
                Ok(available) => available,
            };
            let newline = available.iter().position(|byte| *byte == b'\n');
            let take = newline.map_or(available.len(), |at| at + 1);
            let piece = &available[..take];
            if let Some(tail) = &mut self.dropped {
                tail.extend_from_slice(piece);
                let excess = tail.len().saturating_sub(KEEP);
                tail.drain(..excess);
            } else if self.line.len() + take > MAX_LINE {
                self.line.truncate(KEEP);
                self.line.shrink_to_fit();
                self.dropped = Some(piece[take.saturating_sub(KEEP)..].to_vec());
            } else {
                self.line.extend_from_slice(piece);
            }
            self.read.consume(take);
            if newline.is_some() {
                return true;
            }
        }
    }

    /// Written by a task of its own: `receive` may be dropped in the middle.
    fn answer(&self, error: ErrorData, id: Option<RequestId>) {
        tokio::spawn(write_message(self.write.clone(), ServerJsonRpcMessage::error(error, id)));
    }

    /// What the line in `self.line` is; answers what is no message.
    fn parse(&mut self) -> Option<ClientJsonRpcMessage> {
        let line = std::mem::take(&mut self.line);
        let result = self.parse_line(&line);
        if line.capacity() <= IDLE_BUFFER {
            self.line = line;
            self.line.clear();
        }
        result
    }

    fn parse_line(&mut self, line: &[u8]) -> Option<ClientJsonRpcMessage> {
        if let Some(tail) = self.dropped.take() {
            let message =
                format!("the message is longer than {MAX_LINE} bytes; put long material into a file");
            self.answer(ErrorData::invalid_request(message, None), find_id(line, &tail));
            return None;
        }
        let text = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii();
        if text.is_empty() {
            return None;
        }
        let message = match serde_json::from_slice::<ClientJsonRpcMessage>(text) {
            Ok(message) => message,
            Err(error) => {
                self.refuse(text, &error);
                return None;
            }
        };
        let is_request = matches!(message, ClientJsonRpcMessage::Request(_));
        self.opened |= is_request;
        self.opened.then_some(message)
    }

    fn refuse(&self, text: &[u8], error: &serde_json::Error) {
        match serde_json::from_slice::<Value>(text) {
            Err(_) => {
                let message = format!("this line is not JSON: {error}");
                self.answer(ErrorData::parse_error(message, None), None);
            }
            Ok(Value::Array(_)) => {
                let message = "batches are no part of MCP since 2025-06-18; send one message a line";
                self.answer(ErrorData::invalid_request(message, None), None);
            }
            // A notification or an answer in a form that we do not know.
            Ok(value) if value.get("method").is_some() && value.get("id").is_none() => {}
            Ok(value) => {
                let message = "this line is no JSON-RPC 2.0 message";
                self.answer(ErrorData::invalid_request(message, None), id_of(value.get("id")));
            }
        }
    }
}

fn id_of(value: Option<&Value>) -> Option<RequestId> {
    match value? {
        Value::String(text) => Some(RequestId::String(text.as_str().into())),
        Value::Number(number) => number.as_i64().map(RequestId::Number),
        _ => None,
    }
}

/// The id of a request of which only both ends are known: before `params`, or the last
/// member of all. An id inside the arguments must not be taken for it.
fn find_id(head: &[u8], tail: &[u8]) -> Option<RequestId> {
    let head = String::from_utf8_lossy(head);
    let before = head.split("\"params\"").next().unwrap_or_default();
    let at = before.find("\"id\"").map(|at| &before[at + 4..]);
    if let Some(id) = at.and_then(id_after_colon) {
        return Some(id);
    }
    let tail = String::from_utf8_lossy(tail);
    let tail = tail.trim_end().strip_suffix('}')?;
    // Members that may follow the id: nothing that nests.
    let at = tail.rfind("\"id\"")?;
    let rest = &tail[at + 4..];
    if rest.contains(['{', '}', '[', ']']) {
        return None;
    }
    // The arguments must be closed before it.
    let closed = tail[..at].trim_end().strip_suffix(',').map(str::trim_end)?;
    let simple_end = closed.ends_with('}') || closed.ends_with('"');
    simple_end.then(|| id_after_colon(rest)).flatten()
}

fn id_after_colon(text: &str) -> Option<RequestId> {
    let text = text.trim_start().strip_prefix(':')?;
    let value = serde_json::Deserializer::from_str(text).into_iter::<Value>().next()?.ok()?;
    id_of(Some(&value))
}

async fn write_message<W: AsyncWrite + Unpin>(
    write: Arc<Mutex<Option<W>>>,
    message: ServerJsonRpcMessage,
) -> std::io::Result<()> {
    let line = super::wire::to_line(&message)?;
    let mut guard = write.lock().await;
    let Some(write) = guard.as_mut() else {
        return Err(std::io::ErrorKind::NotConnected.into());
    };
    write.write_all(&line).await?;
    write.flush().await
}

impl<R, W> Transport<RoleServer> for LineTransport<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = std::io::Error;

    fn send(
        &mut self,
        item: ServerJsonRpcMessage,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        write_message(self.write.clone(), item)
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        let shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return None,
                more = self.next_line() => if !more {
                    // Whoever waits for a job must stop waiting: nobody listens.
                    shutdown.cancel();
                    return None;
                },
            }
            if let Some(message) = self.parse() {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.write.lock().await.take();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_line_that_is_too_long() {
        let cases = [
            (
                r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"id":9,"x":"aaa"#,
                "aaa\"}}\n",
                Some("7"),
            ),
            (r#"{"id" : "a-b", "method":"x","params":{"#, "", Some("a-b")),
            (r#"{"method":"tools/call","params":{"x":"aaa"#, r#"aaa"},"jsonrpc":"2.0","id":12}"#, Some("12")),
            (r#"{"method":"tools/call","params":{"id":3,"x":"aaa"#, r#"aaa","id":4}}"#, None),
            (r#"{"method":"tools/call","params":{"x":"aaa"#, r#"aaa","jsonrpc":"2.0"}"#, None),
            ("junk", "junk", None),
        ];
        for (head, tail, expected) in cases {
            let id = find_id(head.as_bytes(), tail.as_bytes()).map(|id| id.to_string());
            assert_eq!(id.as_deref(), expected, "{head} … {tail}");
        }
    }
}
