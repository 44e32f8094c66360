//! `plugins.lock`: which files in the plugins directory may judge, in which mode and order.
//! Written by `codex-worker plugin lock`, read at every load.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::inspect::Interface;

/// The file's name in the plugins directory.
pub const FILE: &str = "plugins.lock";
/// More is no lock: a policy has one line.
const MAX_BYTES: u64 = 1 << 20;

/// What a policy's verdict does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It counts.
    #[default]
    Enforce,
    /// It is asked, and what it would have changed is noted; it decides nothing.
    Shadow,
    /// It is not asked.
    Off,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Mode::Enforce => "enforce",
            Mode::Shadow => "shadow",
            Mode::Off => "off",
        })
    }
}

/// The lock. Entries are in the order in which the policies are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The format; 1.
    pub version: u32,
    /// The policies.
    #[serde(default, rename = "plugin")]
    pub plugins: Vec<Entry>,
}

/// One policy in the lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The policy's own name.
    pub name: String,
    /// The file in the plugins directory; none for a shipped policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// SHA-256 of the file; none for a shipped policy, which the host's own digest pins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// What it exports; for the reader, and for the failure rule when the file is broken.
    #[serde(default)]
    pub interfaces: Vec<Interface>,
    /// Whether it counts.
    #[serde(default)]
    pub mode: Mode,
}

impl Lock {
    /// Reads the lock of a plugins directory; none if there is no such file.
    ///
    /// # Errors
    /// One line that names the file and the fault.
    pub fn read(directory: &Path) -> Result<Option<Self>, String> {
        let path = directory.join(FILE);
        let text = match jobfs::own::text_at_most(&path, MAX_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        let lock: Lock = toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start).min(text.len());
            let line = 1 + text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count();
            let message = redact::sanitize::line(error.message(), 300);
            format!("{}, line {line}: {message}", path.display())
        })?;
        match lock.version {
            1 => Ok(Some(lock)),
            other => Err(format!("{} has version {other}; this host reads 1", path.display())),
        }
    }

    /// The entry of a file, by its name.
    pub fn file(&self, name: &str) -> Option<&Entry> {
        self.plugins.iter().find(|entry| entry.file.as_deref() == Some(name))
    }

    /// The lock as text: one line a policy, so that a line can be pasted, moved and read in a
    /// diff.
    pub fn to_text(&self) -> String {
        let lines: String = self.plugins.iter().map(|entry| format!("    {},\n", entry.to_line())).collect();
        format!(
            "# Written by `codex-worker plugin lock`. Policies are asked in this order; a file that is\n\
             # not listed, or has another sha256, is refused. mode is enforce, shadow or off.\n\
             version = {}\nplugin = [\n{lines}]\n",
            self.version
        )
    }
}

impl Entry {
    /// The entry as the line to paste into a lock, without the comma.
    pub fn to_line(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut line = format!("{{ name = {}", quoted(&self.name));
        for (key, value) in [("file", &self.file), ("sha256", &self.sha256)] {
            if let Some(value) = value {
                line += &format!(", {key} = {}", quoted(value));
            }
        }
        let interfaces: Vec<_> = self.interfaces.iter().map(|one| quoted(one.name())).collect();
        line + &format!(", interfaces = [{}], mode = \"{}\" }}", interfaces.join(", "), self.mode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_reads_as_it_was_written_also_in_the_long_form() {
        let directory = tempfile::tempdir().unwrap();
        let entry = |name: &str, file: Option<&str>, mode| Entry {
            name: name.into(),
            file: file.map(Into::into),
            sha256: file.map(|_| "ab".repeat(32)),
            interfaces: vec![Interface::Scope, Interface::Verifier],
            mode,
        };
        let lock = Lock {
            version: 1,
            plugins: vec![
                entry("scope", None, Mode::Enforce),
                entry("odd", Some("a \"quoted\" näme.wasm"), Mode::Shadow),
            ],
        };
        std::fs::write(directory.path().join(FILE), lock.to_text()).unwrap();
        assert_eq!(Lock::read(directory.path()).unwrap().as_ref(), Some(&lock));
        let long = "version = 1\n[[plugin]]\nname = \"scope\"\ninterfaces = [\"scope\", \"verifier\"]\n";
        std::fs::write(directory.path().join(FILE), long).unwrap();
        assert_eq!(Lock::read(directory.path()).unwrap().unwrap().plugins, lock.plugins[..1]);
    }

    #[test]
    fn a_pipe_and_a_huge_file_are_no_lock() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        let made = std::process::Command::new("mkfifo").arg(&file).status().unwrap();
        assert!(made.success());
        let refused = Lock::read(directory.path()).unwrap_err();
        assert!(refused.contains("plugins.lock cannot be read: it is no regular file"), "{refused}");
        std::fs::remove_file(&file).unwrap();
        std::fs::File::create(&file).unwrap().set_len(4 << 30).unwrap();
        let refused = Lock::read(directory.path()).unwrap_err();
        assert!(refused.contains("it has more than 1048576 bytes"), "{refused}");
    }
}
