//! A job's artifacts: redacted files below `jobs/<id>/artifacts`, each written whole or not
//! at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};

pub use model::outcome::check_log;
use model::result::Artifact;
use redact::{self, Redactor};

/// The names that every job may have, in the order in which they are listed.
pub const DIFF: &str = "diff.patch";
/// Every finding, with who made it.
pub const FINDINGS: &str = "findings.json";
/// What further runs of the checks showed, each mutant among them.
pub const EVIDENCE: &str = "evidence.json";
/// What a new worktree's setup command printed.
pub const SETUP_LOG: &str = "setup.log";
/// The agent's raw lines.
pub const TRANSCRIPT: &str = "transcript.jsonl";
/// The result as `get` gives it.
pub const RESULT: &str = "result.json";
/// Each policy decision.
pub const DECISIONS: &str = "decisions.jsonl";

/// Writes artifacts of one job.
#[derive(Clone, Debug)]
pub struct Artifacts {
    dir: PathBuf,
    redactor: Redactor,
}

impl Artifacts {
    /// For the directory `dir`, which exists.
    pub fn new(dir: PathBuf, redactor: Redactor) -> Self {
        Artifacts { dir, redactor }
    }

    /// Where they lie.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Redacts and writes a text. Blocks.
    pub fn write(&self, name: &str, text: &str) -> std::io::Result<()> {
        // A patch must apply: its bytes stay when there is nothing to mask.
        let exact = name.ends_with(".patch");
        let masked = if exact { self.redactor.exact(text) } else { self.redactor.text(text) };
        self.write_redacted(name, &masked)
    }

    /// Writes a text that was redacted already. Blocks.
    pub fn write_redacted(&self, name: &str, text: &str) -> std::io::Result<()> {
        write_whole(&self.dir.join(name), text.as_bytes())
    }

    /// Copies the checks' logs to those of pass `attempt`: the next pass writes its own.
    pub fn keep_logs(&self, attempt: u32) -> std::io::Result<()> {
        for Artifact { name, .. } in self.list().into_iter().filter(|a| a.name.starts_with("checks/")) {
            let log = jobfs::own::read(self.dir.join(&name))?;
            write_whole(&self.dir.join(format!("attempts/{attempt}/{name}")), &log)?;
        }
        Ok(())
    }

    /// Takes away the checks' logs of an earlier pass; what ran before the job stays.
    pub fn drop_logs(&self) {
        for Artifact { name, .. } in self.list() {
            if name.starts_with("checks/") && !name.ends_with(".before.log") {
                let _ = std::fs::remove_file(self.dir.join(name));
            }
        }
    }

    /// What a reply names: all but those of earlier passes (`attempts/…`). Blocks.
    pub fn list(&self) -> Vec<Artifact> {
        let mut all = list(&self.dir);
        all.retain(|artifact| !artifact.name.starts_with("attempts/"));
        all
    }
}

/// The artifacts in `dir`, sorted by name; files of earlier passes stand under `attempts/`.
pub fn list(dir: &Path) -> Vec<Artifact> {
    let mut found = Vec::new();
    let mut dirs = vec![(dir.to_owned(), String::new())];
    while let Some((dir, prefix)) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => dirs.push((entry.path(), format!("{name}/"))),
                Ok(meta) if meta.is_file() && !name.ends_with(".part") => {
                    let redacted = name.ends_with(".patch") && is_masked(&entry.path());
                    found.push(Artifact { name, bytes: meta.len(), redacted });
                }
                _ => {}
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// Something in the file was masked. A file that holds a mask's text by itself counts too.
fn is_masked(path: &Path) -> bool {
    jobfs::own::read_to_string(path).is_ok_and(|text| text.contains(redact::MASK_BEGINS))
}

/// Writes a file under another name first, so that nobody ever reads half of it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    super::paths::create_private(dir)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = dir.join(name);
    let mut file = std::fs::File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_check_logs() {
        for (check, expected) in [
            ("unit tests", "checks/unit_tests.log"),
            ("../../etc/passwd", "checks/_.._etc_passwd.log"),
            ("", "checks/check.log"),
            ("größe", "checks/gr__e.log"),
        ] {
            assert_eq!(check_log(check), expected);
        }
    }

    #[test]
    fn secrets_are_masked_and_all_files_are_listed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let secrets = vec![("KEY".to_owned(), config::Secret::new("correct horse battery"))];
        let artifacts = Artifacts::new(dir.path().to_owned(), Redactor::new(secrets, None));
        artifacts.write("attempts/1/diff.patch", "+key = correct horse battery\n").expect("written");
        artifacts.write_redacted(FINDINGS, "[]").expect("written");
        std::fs::write(dir.path().join("half.part"), "x").expect("written");
        let names: Vec<String> = list(artifacts.dir()).into_iter().map(|a| a.name).collect();
        assert_eq!(names, ["attempts/1/diff.patch", "findings.json"]);
        assert_eq!(artifacts.list().len(), 1);
        artifacts.write(DIFF, "+key = none\n").expect("written");
        let masked: Vec<bool> = list(artifacts.dir()).into_iter().map(|a| a.redacted).collect();
        assert_eq!(masked, [true, false, false], "attempts/1/diff.patch, diff.patch, findings.json");
        let text = std::fs::read_to_string(dir.path().join("attempts/1/diff.patch")).expect("read");
        assert!(!text.contains("horse"), "{text}");
    }
}
