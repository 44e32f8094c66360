//! An example verifier: a change of the sources needs a line in the changelog.
//! Build it with `codex-worker plugin build examples/changelog`, drop the component into
//! the plugins directory, and configure it under `[plugins.changelog]`.

use codex_worker_policy::{
    ChangeSet, ChangedFile, Example, Finding, JobFacts, Verifier, VerifyInput, policy,
};

/// The `[plugins.changelog]` table.
#[derive(serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Changelog {
    sources: String,
    changelog: String,
}

impl Default for Changelog {
    fn default() -> Self {
        Changelog { sources: "src/".into(), changelog: "CHANGELOG.md".into() }
    }
}

impl Verifier for Changelog {
    fn verify(&self, input: &VerifyInput) -> Vec<Finding> {
        let files = &input.changes.files;
        let Some(source) = files.iter().find(|file| file.path.starts_with(&self.sources)) else {
            return Vec::new();
        };
        if files.iter().any(|file| file.path == self.changelog && file.added_lines > 0) {
            return Vec::new();
        }
        let message = format!("{} changed, and {} has no new line", source.path, self.changelog);
        vec![Finding::deny("no-changelog", message).remedy(format!("add a line to {}", self.changelog))]
    }
}

policy! {
    name: "changelog",
    version: env!("CARGO_PKG_VERSION"),
    summary: "A change of the sources needs a line in the changelog.",
    policy: Changelog,
    interfaces: [verifier],
    config: Changelog,
    examples: [
        Example::verifier(
            "sources alone",
            VerifyInput::new(JobFacts::new("fix it"), ChangeSet::of([ChangedFile::modified("src/a.rs")])),
            [Finding::deny("no-changelog", "src/a.rs changed, and CHANGELOG.md has no new line")
                .remedy("add a line to CHANGELOG.md")],
        )
        .why("readers of the changelog would not hear of it"),
        Example::verifier(
            "sources with a line in the changelog",
            VerifyInput::new(
                JobFacts::new("fix it"),
                ChangeSet::of([
                    ChangedFile::modified("CHANGELOG.md").patch("@@ -1 +1,2 @@\n # Changes\n+- fixed it\n"),
                    ChangedFile::modified("src/a.rs"),
                ]),
            ),
            [],
        ),
    ],
}
