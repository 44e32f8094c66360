//! The shipped scope policy: where a job may write, and which files it may touch only
//! when its scope says so by name.
//!
//! Configuration, all optional:
//!
//! ```toml
//! [plugins.scope]
//! sensitive = ["infra/", "*.tf"]     # further sensitive files: components at any depth
//! not_sensitive = ["Makefile"]       # taken out of the shipped list, spelled as there
//! without_scope = "warn"             # what a sensitive file is in a job without a scope
//! ignored = "warn"                   # what changed files are that git ignores
//! max_diff_bytes = 200000            # for jobs that declare no limit of their own
//! max_files = 500
//! ```
//!
//! How an entry of `scoped_patch.paths` is read: without `*`, `?` and `[` it is a path,
//! and means that file or everything below that directory, compared component by
//! component (`src` does not admit `src2/x`). With one of them it is a glob: `*`, `?`
//! and `[…]` stay within one component, `**` is any number of them, and the whole path
//! must match from the base on; when the last component has no wildcard, or a `/` ends
//! the entry, everything below is meant too. `.` and an empty list mean everything.
//!
//! Text is tried as a name before it is a pattern: an entry also means the path that it
//! spells, and nothing else when that path is known to have been there before the job. A
//! component that is a word in brackets, such as `[slug]`, is always a name.
//!
//! The rules are listed in `docs/policies.md`.

use codex_worker_policy::{ChangeSet, ChangedFile, FileKind, Finding, JobFacts, Scope, Severity, policy};
use serde::Deserialize;

mod commands;
mod declare;
mod examples;
mod glob;
mod names;
mod package_json;
mod rules;
mod sensitive;

#[cfg(test)]
mod tests;

/// The operator's settings.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Further sensitive files: components at any depth, `/` at the end for directories.
    pub sensitive: Vec<String>,
    /// Entries of the shipped list that are not wanted.
    pub not_sensitive: Vec<String>,
    /// What a sensitive file is in a job without a scope, where nothing can grant it.
    pub without_scope: Severity,
    /// What changed files are that git's ignore rules hide.
    pub ignored: Severity,
    /// Bytes of the diff, for jobs that declare no limit.
    pub max_diff_bytes: Option<u64>,
    /// Changed files.
    pub max_files: Option<u32>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            sensitive: Vec::new(),
            not_sensitive: Vec::new(),
            without_scope: Severity::Warn,
            ignored: Severity::Warn,
            max_diff_bytes: None,
            max_files: None,
        }
    }
}

/// The policy, configured.
#[derive(Debug)]
pub struct ScopePolicy {
    config: Config,
    sensitive: sensitive::Sensitive,
}

impl TryFrom<Config> for ScopePolicy {
    type Error = String;

    /// An error names the setting.
    fn try_from(config: Config) -> Result<ScopePolicy, String> {
        let sensitive = sensitive::Sensitive::new(&config.sensitive, &config.not_sensitive)?;
        Ok(ScopePolicy { config, sensitive })
    }
}

impl Scope for ScopePolicy {
    fn check(&self, job: &JobFacts, changes: &ChangeSet) -> Vec<Finding> {
        let mut files: Vec<&ChangedFile> = changes.files.iter().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let (known, new): (Vec<&ChangedFile>, Vec<&ChangedFile>) =
            files.iter().copied().partition(|file| file.old_kind != FileKind::Absent);
        let known: Vec<&str> =
            known.iter().map(|file| file.old_path.as_deref().unwrap_or(&file.path)).collect();
        let new: Vec<&str> = new.iter().map(|file| file.path.as_str()).collect();
        rules::judge(&rules::Case {
            job,
            changes,
            files,
            scope: job.scope.as_ref().map(|scope| declare::Declaration::parse(&scope.paths, &known, &new)),
            config: &self.config,
            sensitive: &self.sensitive,
        })
    }
}

policy! {
    name: "scope",
    version: env!("CARGO_PKG_VERSION"),
    summary: "Denies changes outside the job's scope, and of sensitive files that the scope does not name.",
    policy: ScopePolicy,
    interfaces: [scope],
    config: Config,
    examples: [
        examples::inside(),
        examples::neighbour(),
        examples::rename(),
        examples::symlink(),
        examples::workflow(),
        examples::workflow_by_name(),
        examples::check_file(),
        examples::malformed(),
        examples::own_list(),
    ],
}
