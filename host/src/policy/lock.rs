//! `plugins.lock`: which files in the plugins directory may judge, in which mode and order.
//! Written by `codex-worker plugin lock`, read at every load.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::inspect::Interface;

/// The file's name in the plugins directory.
pub const FILE: &str = "plugins.lock";

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

/// The lock. Entries stand in the order in which the policies are asked.
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
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
        };
        let lock: Lock = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        match lock.version {
            1 => Ok(Some(lock)),
            other => Err(format!("{} has version {other}; this host reads 1", path.display())),
        }
    }

    /// The entry of a file, by its name.
    pub fn file(&self, name: &str) -> Option<&Entry> {
        self.plugins.iter().find(|entry| entry.file.as_deref() == Some(name))
    }

    /// The lock as text.
    ///
    /// # Errors
    /// The serializer's, which would be a fault of ours.
    pub fn to_text(&self) -> Result<String, toml::ser::Error> {
        let head = "# Written by `codex-worker plugin lock`. Policies are asked in this order;\n\
                    # mode is enforce, shadow or off.\n";
        Ok(format!("{head}{}", toml::to_string(self)?))
    }
}

impl Entry {
    /// The entry as the lines to paste into a lock.
    pub fn to_text(&self) -> String {
        let lock = Lock { version: 1, plugins: vec![self.clone()] };
        let text = toml::to_string(&lock).unwrap_or_default();
        text.trim_start_matches("version = 1").trim().to_owned()
    }
}
