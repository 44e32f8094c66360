//! What a running job emits: events for `tail` into the store, the agent's raw lines into
//! the transcript, its conversation's name. One thread of its own does the redacting and
//! writing, so that neither the agent nor the lease waits for a policy or the disk.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::store::{Claim, JobStore};
use agent::AgentEvent;
use contain::Renames;
use redact::Redactor;
use redact::sanitize;

/// Entries that may wait; a faster agent waits for the disk.
const QUEUE: usize = 1024;
/// Events written in one transaction.
const BATCH: usize = 128;
/// Bytes of one event's text.
const TEXT_MAX: usize = 400;
/// Bytes of a transcript; what comes after is counted only.
const TRANSCRIPT_MAX: u64 = 64 << 20;

enum Entry {
    Event {
        kind: &'static str,
        text: String,
    },
    Agent(AgentEvent),
    /// Everything before it is written when it is answered.
    Flush(oneshot::Sender<()>),
}

/// The way to the journal's thread; cheap to clone. The thread ends with the last one.
#[derive(Clone)]
pub struct Journal {
    sender: mpsc::Sender<Entry>,
}

impl Journal {
    /// Starts the thread. Raw lines are appended to `transcript`.
    pub fn start(
        store: Arc<dyn JobStore>,
        claim: Claim,
        redactor: Redactor,
        transcript: PathBuf,
    ) -> std::io::Result<Journal> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Writer { store, claim, redactor, transcript, written: 0 };
        std::thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run(receiver))?;
        Ok(Journal { sender })
    }

    /// Emits one line of our own.
    pub async fn emit(&self, kind: &'static str, text: impl Into<String>) {
        // The thread only ends after the last sender.
        let _ = self.sender.send(Entry::Event { kind, text: text.into() }).await;
    }

    /// The same from a thread that may block.
    pub fn emit_blocking(&self, kind: &'static str, text: impl Into<String>) {
        let _ = self.sender.blocking_send(Entry::Event { kind, text: text.into() });
    }

    /// Waits until everything emitted so far is on the disk.
    pub async fn flush(&self) {
        let (done, wait) = oneshot::channel();
        if self.sender.send(Entry::Flush(done)).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// Where an agent sends its events. They name paths as the user does; its raw lines stay
    /// as they are.
    pub fn agent(&self, renames: Renames) -> mpsc::Sender<AgentEvent> {
        let (sender, mut receiver) = mpsc::channel(QUEUE);
        let journal = self.sender.clone();
        tokio::spawn(async move {
            while let Some(event) = receiver.recv().await {
                let event = match event {
                    AgentEvent::Text(text) => AgentEvent::Text(renames.to_user(&text)),
                    AgentEvent::Tool(text) => AgentEvent::Tool(renames.to_user(&text)),
                    AgentEvent::ToolError(text) => AgentEvent::ToolError(renames.to_user(&text)),
                    AgentEvent::Note(text) => AgentEvent::Note(renames.to_user(&text)),
                    same @ (AgentEvent::Session(_) | AgentEvent::Raw(_)) => same,
                };
                if journal.send(Entry::Agent(event)).await.is_err() {
                    break;
                }
            }
        });
        sender
    }
}

struct Writer {
    store: Arc<dyn JobStore>,
    claim: Claim,
    redactor: Redactor,
    transcript: PathBuf,
    written: u64,
}

impl Writer {
    fn run(mut self, mut receiver: mpsc::Receiver<Entry>) {
        let mut stream = self.redactor.stream();
        let mut entries = Vec::with_capacity(BATCH);
        loop {
            let taken = receiver.blocking_recv();
            let last = taken.is_none();
            entries.extend(taken);
            while entries.len() < BATCH
                && let Ok(entry) = receiver.try_recv()
            {
                entries.push(entry);
            }
            let mut events: Vec<(String, String)> = Vec::new();
            let mut raw = String::new();
            let mut flushed = Vec::new();
            for entry in entries.drain(..) {
                match entry {
                    Entry::Event { kind, text } => events.extend(self.event(kind, &text)),
                    Entry::Agent(AgentEvent::Session(session)) => self.session(&session),
                    Entry::Agent(AgentEvent::Raw(line)) => {
                        raw.push_str(&stream.push(&line));
                        raw.push_str(&stream.push("\n"));
                    }
                    Entry::Agent(AgentEvent::Text(text)) => events.extend(self.event("agent", &text)),
                    Entry::Agent(AgentEvent::Tool(text)) => events.extend(self.event("tool", &text)),
                    Entry::Agent(AgentEvent::ToolError(text)) => {
                        events.extend(self.event("tool-error", &text))
                    }
                    Entry::Agent(AgentEvent::Note(text)) => events.extend(self.event("note", &text)),
                    Entry::Flush(done) => flushed.push(done),
                }
            }
            if last || !flushed.is_empty() {
                raw.push_str(&stream.finish());
            }
            self.append(&raw);
            if let Err(error) = self.store.append_events(&self.claim, &events) {
                tracing::warn!(job = %self.claim.id, %error, "events were lost");
            }
            for done in flushed {
                let _ = done.send(());
            }
            if last {
                return;
            }
        }
    }

    fn event(&self, kind: &str, text: &str) -> Option<(String, String)> {
        let line = sanitize::line(&self.redactor.text(text), TEXT_MAX);
        (!line.is_empty()).then(|| (kind.to_owned(), line))
    }

    fn session(&self, session: &str) {
        if let Err(error) = self.store.set_session(&self.claim, session) {
            tracing::warn!(job = %self.claim.id, %error, "the conversation's name was not kept");
        }
    }

    fn append(&mut self, text: &str) {
        if text.is_empty() || self.written >= TRANSCRIPT_MAX {
            return;
        }
        self.written += text.len() as u64;
        let written = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.transcript)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        if let Err(error) = written {
            tracing::warn!(job = %self.claim.id, %error, "a part of the transcript was lost");
        }
    }
}
