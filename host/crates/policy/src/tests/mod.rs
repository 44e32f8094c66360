//! Policies as the host meets them: honest, hostile, replaced while in use.

mod conformance;
mod dropin;
mod frozen;
mod fuzz;
mod guest;
mod hostile;
mod redaction;
mod replay;

use std::path::Path;

use super::load::Settings;
use super::set::PolicySet;
use model::types::{ChangeKind, ChangeSet, ChangedFile, FileKind, JobFacts, ScopeInput};

/// Settings for the plugins in `directory` alone.
fn alone(directory: &Path) -> Settings {
    Settings { plugins_dir: Some(directory.to_owned()), without_shipped: true, ..Settings::default() }
}

/// A set of these components alone, in this order.
fn set_of(components: &[&[u8]]) -> PolicySet {
    let directory = tempfile::tempdir().unwrap();
    for (at, bytes) in components.iter().enumerate() {
        std::fs::write(directory.path().join(format!("{at}.wasm")), bytes).unwrap();
    }
    PolicySet::load(&alone(directory.path()))
}

fn job() -> JobFacts {
    JobFacts {
        task: "do it".into(),
        scope: None,
        checks: Vec::new(),
        attempt: 1,
        max_attempts: 1,
        expects_change: true,
    }
}

fn changed(path: &str) -> ChangedFile {
    ChangedFile {
        path: path.into(),
        old_path: None,
        kind: ChangeKind::Modified,
        old_kind: FileKind::Regular,
        new_kind: FileKind::Regular,
        symlink_target: None,
        ignored: false,
        hard_linked: false,
        binary: false,
        size: 1,
        added_lines: 1,
        deleted_lines: 0,
        patch: None,
        patch_truncated: false,
    }
}

/// A scope question about this many files.
fn files(count: u32) -> ScopeInput {
    let files: Vec<_> = (0..count).map(|at| changed(&format!("src/{at:04}.rs"))).collect();
    ScopeInput { job: job(), changes: ChangeSet { total_files: count, files, ..ChangeSet::default() } }
}
