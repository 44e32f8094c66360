//! What decides how tests run: scripts that swallow failures, the runner's configuration,
//! code that hooks into the runner, printed summaries.

use codex_worker_policy::JobFacts;

use crate::diff::File;
use crate::findings::{Findings, named};

mod configuration;
mod hooks;
mod scripts;
mod summary;

/// All rules about runners and scripts.
pub fn judge(job: &JobFacts, files: &[File<'_>], findings: &mut Findings<'_>) {
    for file in files {
        if named(job, file.path) {
            continue;
        }
        scripts::swallowed(file, &job.checks, findings);
        configuration::configuration(file, findings);
        hooks::hooks(file, findings);
        summary::fake_summary(file, findings);
    }
}
