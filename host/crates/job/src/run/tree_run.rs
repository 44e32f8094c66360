//! A further run of checks on the recorded tree with some files altered: guarded, mutated or
//! without the change. In a worktree that is the worktree itself, with the dependencies and
//! the build that are there; the user's own directory is left alone, there it is a copy. It
//! is a second environment: other directories, and none of the variables of the first run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checks::{FRESH_CACHES, cannot};
use super::pass::PassContext;
use crate::paths::create_private;
use config::Isolation;
use evidence::{Recorded, names};
use model::error::Result;
use model::spec::CheckCommand;
use model::types::{ChangeKind, CheckStatus};
use verify::checks::{self, Ran, Variables};
use verify::guard;
use workspace::worktree;

/// Ignored directories that builds write: a copy of the tree starts without them. Everything
/// else that git ignored before the job (`node_modules`, `.venv`, `.env`, generated code) is
/// linked into it, because checks do not start without.
pub(super) const BUILD_OUTPUT: &[&str] = &[
    "target",
    "dist",
    "build",
    "out",
    "bin",
    "obj",
    ".next",
    ".nuxt",
    ".turbo",
    ".cache",
    "coverage",
    ".nyc_output",
    "htmlcov",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".tox",
    ".nox",
    "tmp",
    "log",
    "logs",
];

/// Directories of installed dependencies.
const DEPENDENCIES: &[&str] = &[
    "node_modules",
    ".venv",
    "venv",
    "env",
    "vendor",
    ".cargo",
    ".bundle",
    ".eggs",
    "Pods",
    ".gradle",
    ".m2",
];

/// One further run of a pass.
#[derive(Clone, Copy)]
pub(super) struct TreeRun<'a> {
    pub pass: PassContext<'a>,
    pub recorded: &'a Recorded,
    pub checks: &'a [CheckCommand],
    pub overlay: &'a Overlay,
    /// Part of the process tags.
    pub label: &'a str,
}

/// What a run with its control gave.
pub(super) struct Controlled {
    pub ran: Vec<Ran>,
    /// What failed in it, run again in the same place with the agent's versions: if that
    /// fails too, the place is to blame.
    pub control: Vec<Ran>,
    /// What failed there too, run once more as the first time: if that passes, it is not the
    /// place but the environment.
    pub first: Vec<Ran>,
}

/// Where checks run.
enum Place {
    /// The job's own directories.
    Live,
    /// The recorded tree in a directory of its own.
    Copy {
        /// Stands for the recorder's top; a run in it may write all below.
        top: PathBuf,
        /// The working directory.
        dir: PathBuf,
    },
}

impl PassContext<'_> {
    /// The ignored files that the agent added, without what builds and installations leave, and
    /// what the scope or `copy_in` names: a further run in a worktree does without them, as the
    /// result does.
    pub(super) fn unnamed_ignored(&self, recorded: &Recorded) -> Vec<String> {
        let spec = &self.prepared.job.claim.spec;
        if spec.isolation != Isolation::Worktree {
            return Vec::new();
        }
        let leftover = |path: &str| {
            let mut parts = path.split('/');
            parts.any(|part| BUILD_OUTPUT.contains(&part) || DEPENDENCIES.contains(&part))
                || [".pyc", ".log", ".tmp", ".pid", ".o", ".so", ".class", "~"]
                    .iter()
                    .any(|end| path.ends_with(end))
                || path.rsplit('/').next().is_some_and(|name| name.starts_with(".coverage"))
        };
        let named = |path: &str| {
            guard::is_named(path, self.scope_paths())
                || spec.copy_in.iter().any(|entry| guard::is_below(path, entry))
        };
        let files = recorded.changes.files.iter();
        files
            .filter(|file| file.ignored && file.kind == ChangeKind::Added)
            .map(|file| file.path.trim_end_matches('/'))
            .filter(|path| !path.contains('\n') && !leftover(path) && !named(path))
            .map(str::to_owned)
            .collect()
    }
}

impl TreeRun<'_> {
    /// The checks on the altered tree.
    pub(super) async fn run(&self) -> Result<Vec<Ran>> {
        if self.pass.prepared.job.claim.spec.isolation == Isolation::None {
            let copy = self.copy(self.label, Some(self.overlay.clone())).await?;
            return self.run_in(&copy, self.checks, Variables::Plain, self.label).await;
        }
        let (prepared, job) = (self.pass.prepared, &self.pass.prepared.job);
        let recorder = Arc::clone(&prepared.recorder);
        let (tree, overlay) = (self.recorded.tree.clone(), self.overlay.clone());
        let aside = self.pass.unnamed_ignored(self.recorded);
        let write = move || Ok(recorder.overlay_base(&tree, &overlay.restore, &overlay.files, &aside)?);
        job.on_files(write).await?;
        let ran = self.run_in(&Place::Live, self.checks, Variables::Plain, self.label).await;
        let recorder = Arc::clone(&prepared.recorder);
        job.on_files(move || Ok(recorder.remove_overlay()?)).await?;
        self.pass.settle(self.recorded).await?;
        ran
    }

    /// The same, and what failed again on the tree as the agent left it.
    pub(super) async fn controlled(&self) -> Result<Controlled> {
        let ran = self.run().await?;
        let (mut control, mut first) = (Vec::new(), Vec::new());
        let suspects = not_passed(self.checks, &ran);
        if !suspects.is_empty() {
            control = self.unaltered(&suspects, Variables::Plain, "c").await?;
            let suspects = not_passed(&suspects, &control);
            if !suspects.is_empty() {
                first = self.unaltered(&suspects, Variables::Ours, "e").await?;
            }
        }
        Ok(Controlled { ran, control, first })
    }

    /// Checks on the tree as the agent left it. `suffix` makes the label another one.
    pub(super) async fn unaltered(
        &self,
        checks: &[CheckCommand],
        variables: Variables,
        suffix: &str,
    ) -> Result<Vec<Ran>> {
        let label = format!("{}{suffix}", self.label);
        if self.pass.prepared.job.claim.spec.isolation == Isolation::None {
            let copy = self.copy(&label, None).await?;
            return self.run_in(&copy, checks, variables, &label).await;
        }
        let ran = self.run_in(&Place::Live, checks, variables, &label).await?;
        self.pass.settle(self.recorded).await?;
        Ok(ran)
    }

    /// Removes the copies.
    pub(super) fn clean_up(&self) {
        worktree::delete(&self.pass.prepared.job.paths.trees());
    }

    async fn run_in(
        &self,
        place: &Place,
        checks: &[CheckCommand],
        variables: Variables,
        label: &str,
    ) -> Result<Vec<Ran>> {
        let (prepared, job) = (self.pass.prepared, &self.pass.prepared.job);
        let mut site = match place {
            Place::Live => prepared.site(label)?,
            Place::Copy { top, dir } => {
                let target = job.paths.trees().join("target");
                create_private(&target).map_err(|e| cannot("make", &target, &e))?;
                // Not their parent: in that the host makes the next copy.
                let mut site = job.site(dir, vec![top.clone(), target.clone()], label)?;
                // The copy links to the tree's dependencies.
                site.limits.readable.push(prepared.recorder.top().to_owned());
                site.env.insert("CARGO_TARGET_DIR".to_owned(), target.to_string_lossy().into_owned());
                site
            }
        };
        site.variables = variables;
        if variables == Variables::Plain {
            // Code may know the first environment by these too.
            site.env.insert("TERM".to_owned(), "xterm".to_owned());
            site.reports = None;
            site.env.retain(|name, _| !FRESH_CACHES.iter().any(|(fresh, _)| name == fresh));
        }
        Ok(checks::run(checks, &site, &job.reader, job.control.token()).await)
    }

    /// Writes the recorded tree into a new directory, and over it the overlay.
    async fn copy(&self, name: &str, overlay: Option<Overlay>) -> Result<Place> {
        let prepared = self.pass.prepared;
        let (trees, name) = (prepared.job.paths.trees(), name.to_owned());
        let (recorder, tree) = (Arc::clone(&prepared.recorder), self.recorded.tree.clone());
        let make = move || {
            create_private(&trees).map_err(|e| cannot("make", &trees, &e))?;
            let trees = trees.canonicalize().map_err(|e| cannot("open", &trees, &e))?;
            recorder.materialise(&tree, &trees, &name)?;
            let into = trees.join(&name);
            if let Some(overlay) = overlay {
                recorder.overlay(&recorder.base_tree(), &overlay.restore, &into)?;
                recorder.rewrite(&overlay.files, &into)?;
            }
            for name in recorder.ignored_at_start() {
                link(recorder.top(), &into, &names::path(&name));
            }
            Ok(Place::Copy { dir: into.join(recorder.base_prefix()), top: into })
        };
        prepared.job.on_files(make).await
    }
}

/// The checks that did not pass.
fn not_passed(checks: &[CheckCommand], ran: &[Ran]) -> Vec<CheckCommand> {
    let failed = |check: &&CheckCommand| {
        ran.iter().any(|r| r.result.name == check.name && r.result.status != CheckStatus::Passed)
    };
    checks.iter().filter(failed).cloned().collect()
}

/// Links what is there and not in the copy. A link that cannot be made is left out: the
/// control run tells a copy that lacks something from weakened tests.
fn link(live: &Path, copy: &Path, name: &Path) {
    let written = name.file_name().is_some_and(|name| BUILD_OUTPUT.iter().any(|output| name == *output));
    let (from, to) = (live.join(name), copy.join(name));
    if written || !from.exists() || to.symlink_metadata().is_ok() {
        return;
    }
    if let Some(parent) = to.parent() {
        let _ = std::fs::create_dir_all(parent);
    }
    let _ = std::os::unix::fs::symlink(&from, &to);
}

/// What a further run alters in the recorded tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlay {
    pub kind: OverlayKind,
    /// Paths that become what they are in the base tree.
    pub restore: Vec<String>,
    /// Files with their content.
    pub files: Vec<(String, Vec<u8>)>,
}

/// What an overlay is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OverlayKind {
    /// Other files, such as tests as they were, or mutants.
    #[default]
    Files,
    /// Tests as they were, in the files that they test.
    Inline,
    /// What defines the check as it was, in files that the scope names.
    Definition,
    /// Nothing but the ignored files that the agent added, which no altered tree has.
    Ignored,
}

impl Overlay {
    /// Nothing would differ from the ordinary run.
    pub(super) fn is_empty(&self) -> bool {
        self.kind != OverlayKind::Ignored && self.restore.is_empty() && self.files.is_empty()
    }

    /// `a, b, c and 4 more`, and the first of them.
    pub(super) fn summary(&self) -> (String, Option<String>) {
        let all: Vec<&str> =
            self.restore.iter().chain(self.files.iter().map(|(path, _)| path)).map(String::as_str).collect();
        let first = all.first().map(|path| (*path).to_owned());
        let files = match all.as_slice() {
            [a, b, c, rest @ ..] if rest.len() > 1 => format!("{a}, {b}, {c} and {} more", rest.len()),
            few => few.join(", "),
        };
        let shown = match self.kind {
            OverlayKind::Files | OverlayKind::Ignored => files,
            OverlayKind::Inline => format!("the tests in {files}"),
            OverlayKind::Definition => format!("the definition in {files}"),
        };
        (shown, first)
    }
}
