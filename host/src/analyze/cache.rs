//! Answers kept on disk, keyed by everything that was sent. An unreadable entry is no
//! entry; a cache that cannot be written is no reason to fail.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::AnalyzeReply;
use config::AnalyzeSettings;
use job::paths::create_private;
use model::result::Usage;

/// Grows when the form of an entry or the meaning of a key changes.
const VERSION: u32 = 1;
const ENTRIES_MAX: usize = 500;

#[derive(Serialize, Deserialize)]
struct Entry {
    v: u32,
    reply: AnalyzeReply,
}

/// The cache of one directory.
pub struct Cache {
    dir: PathBuf,
    ttl: Duration,
}

/// The name of the entry for this request.
pub fn key(model: Option<&str>, system: &str, user: &str) -> String {
    let mut hash = Sha256::new();
    for part in [&VERSION.to_string(), model.unwrap_or_default(), system, user] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    model::hex::encode(hash.finalize())
}

impl Cache {
    /// Makes nothing yet.
    pub fn new(settings: &AnalyzeSettings) -> Self {
        Cache { dir: settings.cache_dir.clone(), ttl: settings.cache_ttl }
    }

    /// The kept reply, with the usage of this call: none.
    pub fn read(&self, key: &str) -> Option<AnalyzeReply> {
        let path = self.dir.join(key);
        let age =
            SystemTime::now().duration_since(path.metadata().ok()?.modified().ok()?).unwrap_or_default();
        if age >= self.ttl {
            return None;
        }
        let entry: Entry = serde_json::from_slice(&jobfs::own::read(path).ok()?).ok()?;
        let usage = Usage {
            input_tokens: Some(0),
            cached_tokens: Some(0),
            output_tokens: Some(0),
            requests: 0,
            unmetered: 0,
        };
        (entry.v == VERSION).then_some(AnalyzeReply { usage, ..entry.reply })
    }

    /// Keeps a reply and drops what is too old or too much.
    pub fn write(&self, key: &str, reply: &AnalyzeReply) {
        if self.ttl.is_zero() {
            return;
        }
        if let Err(error) = self.try_write(key, reply) {
            tracing::warn!(%error, dir = %self.dir.display(), "an answer could not be kept");
        }
    }

    fn try_write(&self, key: &str, reply: &AnalyzeReply) -> std::io::Result<()> {
        create_private(&self.dir)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
        serde_json::to_writer(&mut file, &Entry { v: VERSION, reply: reply.clone() })?;
        file.persist(self.dir.join(key)).map_err(|error| error.error)?;
        self.prune()
    }

    fn prune(&self) -> std::io::Result<()> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let entry = entry?;
            entries.push((entry.metadata()?.modified()?, entry.path()));
        }
        entries.sort();
        let now = SystemTime::now();
        let excess = entries.len().saturating_sub(ENTRIES_MAX);
        for (at, (modified, path)) in entries.iter().enumerate() {
            if at < excess || now.duration_since(*modified).unwrap_or_default() >= self.ttl {
                // Another process may have been faster.
                let _ = std::fs::remove_file(path);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_kept_for_its_time() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let settings =
            |ttl| AnalyzeSettings { cache_dir: dir.path().join("c"), cache_ttl: ttl, max_bytes: 1 };
        let reply = AnalyzeReply {
            answer: "yes".to_owned(),
            files: vec!["a".to_owned()],
            skipped: Vec::new(),
            bad_references: Vec::new(),
            truncated: false,
            cached: false,
            usage: Usage { input_tokens: Some(9), requests: 1, ..Usage::default() },
        };
        let one = key(Some("m"), "s", "u");
        assert_ne!(one, key(Some("ms"), "", "u"), "parts must not run together");
        let cache = Cache::new(&settings(Duration::from_secs(60)));
        assert_eq!(cache.read(&one), None);
        cache.write(&one, &reply);
        let kept = cache.read(&one).expect("it is kept");
        assert_eq!((kept.answer.as_str(), kept.usage.requests, kept.usage.input_tokens), ("yes", 0, Some(0)));
        assert_eq!(Cache::new(&settings(Duration::ZERO)).read(&one), None);
        std::fs::write(dir.path().join("c").join(&one), "junk").expect("it is written");
        assert_eq!(cache.read(&one), None);
    }
}
