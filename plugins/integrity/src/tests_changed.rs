//! What was done to tests: taken away, skipped, weakened, focused, their expectations
//! edited. A test file that the scope names by its path may be changed at will.

use codex_worker_policy::{ChangeKind, CheckResult, CheckStatus, FileKind, JobFacts};

use crate::diff::File;
use crate::findings::{Findings, named};
use crate::paths::{self, Language};

mod assertions;
mod definitions;
mod skips;

pub use assertions::is_assertion;

/// All rules about test files.
pub fn judge(job: &JobFacts, files: &[File<'_>], checks: &[CheckResult], findings: &mut Findings<'_>) {
    removed(job, files, findings);
    definitions::functions_removed(job, files, checks, findings);
    for file in files {
        if named(job, file.path) || file.file.old_path.as_deref().is_some_and(|old| named(job, old)) {
            continue;
        }
        let rust = file.language == Language::Rust;
        if file.in_tests || rust {
            skips::skipped(file, findings);
        }
        if file.in_tests {
            skips::focused(file, findings);
            assertions::assertions(file, findings);
            assertions::swallowed_or_fewer_cases(file, findings);
            assertions::expectations(file, findings);
        }
    }
}

fn removed(job: &JobFacts, files: &[File<'_>], findings: &mut Findings<'_>) {
    for file in files {
        let old = file.file.old_path.as_deref().unwrap_or(file.path);
        if !paths::is_test(old) || named(job, old) || file.file.kind == ChangeKind::Added {
            continue;
        }
        let remedy = "restore the test file; a job that may remove it names it in its scope";
        match file.file.kind {
            ChangeKind::Deleted => {
                // Moved and edited, so that git saw no rename.
                let moved = files.iter().any(|other| {
                    other.file.kind == ChangeKind::Added
                        && paths::is_test(other.path)
                        && paths::base(other.path) == paths::base(old)
                        && other.file.added_lines.saturating_mul(5)
                            >= file.file.deleted_lines.saturating_mul(4)
                });
                if !moved {
                    findings.add(
                        "test-removed",
                        Some((file.path, 0)),
                        format!("the test file `{old}` was deleted"),
                        remedy,
                    );
                }
            }
            ChangeKind::Renamed if !paths::is_test(file.path) => {
                let message =
                    format!("the test file `{old}` was renamed to `{}`, which no runner collects", file.path);
                findings.add("test-removed", Some((file.path, 0)), message, remedy);
            }
            _ if file.file.new_kind == FileKind::Symlink => {
                findings.add(
                    "test-removed",
                    Some((file.path, 0)),
                    format!("the test file `{old}` became a symlink"),
                    remedy,
                );
            }
            _ if file.file.size == 0 && file.file.deleted_lines > 0 && file.file.added_lines == 0 => {
                findings.add(
                    "test-removed",
                    Some((file.path, 0)),
                    format!("the test file `{old}` was emptied"),
                    remedy,
                );
            }
            _ => {}
        }
    }
}

/// Whether tests that were there before changed, and the scope names all of those files:
/// then base versions of them prove nothing.
pub fn all_changed_tests_named(job: &JobFacts, files: &[File<'_>]) -> bool {
    let mut any = false;
    for file in files.iter().filter(|file| file.in_tests && file.file.kind != ChangeKind::Added) {
        let old = file.file.old_path.as_deref().unwrap_or(file.path);
        if !named(job, file.path) && !named(job, old) {
            return false;
        }
        any = true;
    }
    any
}

/// A check that passes only with the agent's versions of the tests.
pub fn guarded(job: &JobFacts, files: &[File<'_>], checks: &[CheckResult], findings: &mut Findings<'_>) {
    if all_changed_tests_named(job, files) {
        return;
    }
    for check in checks {
        if check.status == CheckStatus::Passed
            && check.guarded.is_some_and(|guarded| guarded != CheckStatus::Passed)
        {
            let changed: Vec<String> = files
                .iter()
                .filter(|file| file.in_tests && file.file.kind != ChangeKind::Added)
                .take(3)
                .map(|file| format!("`{}`", file.path))
                .collect();
            let which = if changed.is_empty() {
                String::new()
            } else {
                format!(" (changed: {})", changed.join(", "))
            };
            findings.add(
                "tests-weakened",
                None,
                format!("the check `{}` passes only with the agent's versions of the tests{which}", check.name),
                "restore the tests as they were and make the code pass them; a job that may change them names their files in its scope",
            );
        }
    }
}
