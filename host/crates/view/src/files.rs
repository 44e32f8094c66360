//! A job's files in bounded pieces: findings, evidence, attempts, logs. Only what
//! [`job::artifacts::list`] names is opened.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use config::Config;
use job::artifacts::{self, DIFF, EVIDENCE, FINDINGS};
use job::paths::JobPaths;
use model::error::{Error, Kind, Result};
use model::outcome::{CheckEvidence, Verdict};
use model::result::Artifact;
use model::spec::JobId;

/// A larger one is no list that a person reads.
const JSON_MAX: u64 = 32 << 20;

/// The artifacts of one job.
#[derive(Clone, Debug)]
pub struct Files {
    dir: PathBuf,
    /// What there is, sorted by name.
    pub names: Vec<Artifact>,
}

/// A piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text; invalid bytes are replaced.
    pub text: String,
    /// Bytes of the whole file.
    pub total: u64,
    /// Bytes before the piece.
    pub before: u64,
    /// Bytes behind it.
    pub behind: u64,
}

impl Files {
    /// Of job `id`. Blocks.
    pub fn of(config: &Config, id: &JobId) -> Files {
        let dir = JobPaths::new(&config.home, id).artifacts();
        let names = artifacts::list(&dir);
        Files { dir, names }
    }

    /// The file of this name.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        match self.names.iter().find(|artifact| artifact.name == name) {
            Some(known) => Ok(self.dir.join(&known.name)),
            None => Err(Error::new(Kind::NotFound, format!("there is no artifact {name:?}"))
                .hint("the job's page lists them")),
        }
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|artifact| artifact.name == name)
    }

    /// The first `max` bytes of `name`.
    pub fn head(&self, name: &str, max: u64) -> Result<Piece> {
        self.piece(name, max, false)
    }

    /// The last `max` bytes of `name`: of a log, the end says most.
    pub fn tail(&self, name: &str, max: u64) -> Result<Piece> {
        self.piece(name, max, true)
    }

    fn piece(&self, name: &str, max: u64, last: bool) -> Result<Piece> {
        let path = self.path(name)?;
        read(&path, max, last).map_err(|error| {
            Error::new(Kind::Environment, format!("failed to read artifact {name}: {error}"))
        })
    }

    /// What was found in the last pass, or in pass `attempt`.
    pub fn findings(&self, attempt: Option<u32>) -> Vec<Verdict> {
        self.json(&attempt.map_or(FINDINGS.to_owned(), |n| format!("attempts/{n}/{FINDINGS}")))
    }

    /// The diff of the last pass, or of pass `attempt`: its name, if there is one.
    pub fn diff(&self, attempt: Option<u32>) -> Option<String> {
        let name = attempt.map_or(DIFF.to_owned(), |n| format!("attempts/{n}/{DIFF}"));
        self.has(&name).then_some(name)
    }

    /// What further runs of the checks showed.
    pub fn evidence(&self) -> Vec<CheckEvidence> {
        self.json(EVIDENCE)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Vec<T> {
        self.head(name, JSON_MAX)
            .ok()
            .and_then(|piece| serde_json::from_str(&piece.text).ok())
            .unwrap_or_default()
    }

    /// The passes of which something was kept, by number.
    pub fn attempts(&self) -> Vec<u32> {
        let number = |artifact: &Artifact| {
            artifact.name.strip_prefix("attempts/")?.split('/').next()?.parse::<u32>().ok()
        };
        let mut found: Vec<u32> = self.names.iter().filter_map(number).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The logs of the last pass, or of pass `attempt`, with the names that people read.
    pub fn logs(&self, attempt: Option<u32>) -> Vec<(String, &Artifact)> {
        let prefix = attempt.map_or("checks/".to_owned(), |n| format!("attempts/{n}/checks/"));
        self.names
            .iter()
            .filter_map(|artifact| {
                let name = artifact.name.strip_prefix(&prefix)?.strip_suffix(".log")?;
                Some((name.to_owned(), artifact))
            })
            .collect()
    }
}

fn read(path: &Path, max: u64, last: bool) -> std::io::Result<Piece> {
    let mut file = jobfs::own::open(path)?;
    let total = file.metadata()?.len();
    let before = if last { total.saturating_sub(max) } else { 0 };
    file.seek(SeekFrom::Start(before))?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    let behind = total.saturating_sub(before + bytes.len() as u64);
    Ok(Piece { text: String::from_utf8_lossy(&bytes).into_owned(), total, before, behind })
}

/// At most `max` bytes of a text, cut on a character border.
pub fn prefix(text: &str, max: usize) -> &str {
    redact::sanitize::prefix(text, max)
}

/// The whole file, for a download.
pub fn whole(path: &Path) -> std::io::Result<Vec<u8>> {
    jobfs::own::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_opened_and_pieces_are_bounded() {
        let dir = tempfile::tempdir().expect("a directory");
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        put("artifacts/checks/unit.log", "0123456789");
        put("artifacts/attempts/2/checks/unit.log", "old");
        put("artifacts/findings.json", "[]");
        put("secret", "s");
        std::os::unix::fs::symlink("../secret", dir.path().join("artifacts/link")).expect("a link");
        let dir = dir.path().join("artifacts");
        let files = Files { names: artifacts::list(&dir), dir };
        let piece = files.tail("checks/unit.log", 4).expect("a piece");
        assert_eq!((piece.text.as_str(), piece.total, piece.before, piece.behind), ("6789", 10, 6, 0));
        let piece = files.head("checks/unit.log", 4).expect("a piece");
        assert_eq!((piece.text.as_str(), piece.before, piece.behind), ("0123", 0, 6));
        for name in ["../secret", "link", "", "/etc/passwd", "checks", "checks/../findings.json"] {
            assert_eq!(files.path(name).expect_err(name).kind, Kind::NotFound, "{name}");
        }
        assert_eq!(files.attempts(), [2]);
        assert_eq!(files.logs(None)[0].0, "unit");
        assert_eq!(files.logs(Some(2)).len(), 1);
        assert!(files.findings(None).is_empty() && files.evidence().is_empty());
    }
}
