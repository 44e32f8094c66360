//! What an operator may set.

use serde::Deserialize;

/// The `[plugins.prompt]` table.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Rules of the house, one line each, after the shipped ones. They are in the stable
    /// part: the same for every job.
    pub rules: Vec<String>,
    /// Failures that a repair prompt quotes of each check.
    pub max_failures: u32,
    /// Bytes of each quoted message.
    pub failure_bytes: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { rules: Vec::new(), max_failures: 5, failure_bytes: 300 }
    }
}

impl Settings {
    /// Says which setting is out of its range.
    pub fn check(&self) -> Result<(), String> {
        if self.max_failures > 20 {
            return Err(format!("`max_failures` is {}: 20 are the most", self.max_failures));
        }
        if !(40..=2000).contains(&self.failure_bytes) {
            return Err(format!("`failure_bytes` is {}: 40 to 2,000 are accepted", self.failure_bytes));
        }
        Ok(())
    }
}
