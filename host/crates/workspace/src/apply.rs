//! Brings the recorded result of a finished job to the user: into the checkout or to a new
//! branch. Three-way by whole paths (base, result, what is there now), under the
//! repository's lock, all or nothing. The user's index, stash and existing branches are
//! never written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use jobfs::Tree;
use jobfs::own as fs;
use serde::{Deserialize, Serialize};

use super::lock::{self, Lock};
use super::plan::{self, ApplyPlan, Now, Wanted};
use super::swap::{self, Change};
use super::worktree::{self, Part, Worktree};
use evidence::changes::{self, Objects};
use evidence::git::Input;
use evidence::shadow::Shadow;
use evidence::{self, Recorder, names};
use model::error::{Error, Kind, Result};

pub use super::plan::Why;

/// Where the result goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nowhere: says what `worktree` would do.
    Check,
    /// Into the files of the user's checkout; the index stays as it is.
    #[default]
    Worktree,
    /// To a new branch `codex-worker/<first 12 digits of the job>` on top of HEAD.
    Branch,
}

/// A path that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Refused {
    /// As `changed_files` names it.
    pub path: String,
    /// Why.
    pub why: Why,
}

/// What was done, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Applied {
    /// Something was written.
    pub applied: bool,
    /// Paths that were (or would be) changed.
    pub changed: Vec<String>,
    /// Paths that were already as the job left them.
    pub already: Vec<String>,
    /// Paths that the user has changed since the job began, or that are in the way. With
    /// one of them nothing is written.
    pub refused: Vec<Refused>,
    /// The new branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

const PATIENCE: Duration = Duration::from_secs(60);

/// What [`apply`] would do to the user's checkout.
pub fn check(job_dir: &Path) -> Result<Applied> {
    apply(job_dir, Mode::Check)
}

/// Brings the published result of the job in `job_dir` to the user. Refusals are in the
/// reply, not an error. For a job that resumed another, `job_dir` is that of the job that
/// made the worktree; what is applied is everything since its start.
pub fn apply(job_dir: &Path, mode: Mode) -> Result<Applied> {
    let job = Job::open(job_dir)?;
    let locks = job.lock(job_dir)?;
    for lock in &locks {
        swap::recover(lock.journal())?;
    }
    match mode {
        Mode::Check => job.to_checkout(job_dir, None),
        Mode::Worktree => job.to_checkout(job_dir, locks.first()),
        Mode::Branch => job.to_branch(job_dir),
    }
}

struct Job {
    worktree: Worktree,
    recorder: Recorder,
    tree: String,
    wanted: Vec<Wanted>,
}

impl Job {
    fn open(job_dir: &Path) -> Result<Job> {
        let Some(worktree) = Worktree::open(job_dir)? else {
            return Err(Error::new(
                Kind::NotFound,
                "this job worked in your own directory: there is nothing to apply",
            )
            .hint("only a job with isolation \"worktree\" has a result to apply"));
        };
        let published = worktree.parts.iter().find_map(|p| p.published.clone());
        let Some(published) = published else {
            return Err(Error::new(Kind::NotFound, "this job has no recorded result")
                .hint("wait until the job has ended; a job that changed nothing has nothing to apply"));
        };
        let recorder = Recorder::reopen(&published.record)?;
        let tree = published.tree;
        // The start lies in the record of the job that made the worktree, or behind the ref.
        let first = job_dir.join("shadow/shadow.git/objects");
        let users = worktree.parts.iter().filter_map(|p| p.repository.as_ref()).map(|r| r.objects.clone());
        let shadow =
            Shadow { read_from: [first].into_iter().chain(users).collect(), ..recorder.shadow().clone() };
        let side = |s: &changes::Side| (s.mode != 0).then(|| (s.mode, s.id.clone()));
        let wanted = changes::names_only(&shadow, &worktree.start_tree, &tree)?
            .into_iter()
            .map(|c| Wanted { name: c.name, base: side(&c.old), result: side(&c.new) })
            .collect();
        Ok(Job { worktree, recorder, tree, wanted })
    }

    /// All of the job's repositories, always in the same order.
    fn lock(&self, job_dir: &Path) -> Result<Vec<Lock>> {
        let mut places: Vec<_> = self
            .worktree
            .parts
            .iter()
            .map(|p| match &p.repository {
                Some(repository) => repository.common_dir.clone(),
                None => self.worktree.user_top.join(names::path(&names::unescape(&p.prefix))),
            })
            .collect();
        places.sort();
        places.dedup();
        places.iter().map(|p| lock::acquire(worktree::state_home(job_dir), p, PATIENCE)).collect()
    }

    fn told(&self, name: &[u8]) -> String {
        names::escape(&names::relative(name, &names::bytes(&self.recorder.base_prefix())))
    }

    fn reply(&self, plan: &ApplyPlan) -> Applied {
        let mut changed: Vec<String> =
            plan.write.iter().map(|w| &w.0).chain(&plan.remove).map(|n| self.told(n)).collect();
        changed.sort();
        Applied {
            applied: false,
            changed,
            already: plan.already.iter().map(|n| self.told(n)).collect(),
            refused: plan.refused.iter().map(|(n, why)| Refused { path: self.told(n), why: *why }).collect(),
            branch: None,
        }
    }

    fn to_checkout(&self, job_dir: &Path, write: Option<&Lock>) -> Result<Applied> {
        let state = job_dir.join(format!("apply-{}", std::process::id()));
        let done = self.to_checkout_in(&state, write);
        let _ = fs::remove_dir_all(&state);
        done
    }

    fn to_checkout_in(&self, state: &Path, write: Option<&Lock>) -> Result<Applied> {
        let top = &self.worktree.user_top;
        let current = Recorder::begin_within(&self.worktree.user_dirs, state, Some(Path::new("/")))?;
        if current.top() != top {
            return Err(Error::new(
                Kind::Refused,
                "the job's directories are no longer arranged as they were",
            )
            .hint("fetch the result by hand: git show refs/codex-worker/<job>"));
        }
        let wanted: Vec<Vec<u8>> = self.wanted.iter().map(|w| w.name.clone()).collect();
        let entries = evidence::entries(current.shadow(), &current.base_tree(), &wanted)?;
        let files = Tree::open(top).map_err(evidence::io("opening", top))?;
        let now = self
            .wanted
            .iter()
            .map(|w| (w.name.clone(), look(&files, &w.name, entries.get(&w.name).cloned())))
            .collect();
        let plan = plan::decide(&self.wanted, &now);
        let mut reply = self.reply(&plan);
        let (Some(lock), true) = (write, plan.refused.is_empty()) else { return Ok(reply) };
        let objects = Objects::open(self.recorder.shadow())?;
        let checkout = self.recorder.checkout(&self.tree);
        let mut list = Vec::new();
        for (name, (mode, id)) in &plan.write {
            if *mode == 0o160000 {
                continue; // a submodule's commit: there is no file to write
            }
            let content = checkout.content(objects.read(id)?, *mode, id, name)?;
            list.push(Change { name: name.clone(), content: Some((*mode, content)) });
        }
        list.extend(plan.remove.iter().map(|n| Change { name: n.clone(), content: None }));
        let tag: String = self.worktree.job.chars().take(12).collect();
        swap::swap(top, &list, lock.journal(), &tag, &mut |_| Ok(()))?;
        reply.applied = !list.is_empty();
        Ok(reply)
    }

    fn to_branch(&self, job_dir: &Path) -> Result<Applied> {
        let mut published = self.worktree.parts.iter().filter_map(|part| part.published.as_ref());
        if let Some((name, filter)) = published.find_map(|published| published.left_out.first()) {
            return Err(Error::new(
                Kind::Refused,
                format!("a branch cannot take {name}: git's filter `{filter}` makes what git keeps of it, and no filter is run here"),
            )
            .hint("apply with mode \"worktree\", then commit the files yourself"));
        }
        let short: String = self.worktree.job.chars().take(12).collect();
        let branch = format!("codex-worker/{short}");
        let mut reply = Applied { branch: Some(branch.clone()), ..Applied::default() };
        let mut ready = Vec::new();
        for part in &self.worktree.parts {
            let Some(repository) = &part.repository else { continue };
            let shadow = Shadow {
                read_from: [repository.objects.clone()]
                    .into_iter()
                    .chain(self.recorder.shadow().read_from.iter().cloned())
                    .collect(),
                ..self.recorder.shadow().clone()
            };
            let head = worktree::head_commit(repository)?;
            let (plan, wanted) = self.plan_branch(&shadow, part, head.as_deref())?;
            let told = self.reply(&plan);
            reply.changed.extend(told.changed);
            reply.already.extend(told.already);
            reply.refused.extend(told.refused);
            if wanted {
                ready.push((part, repository.clone(), shadow, head, plan));
            }
        }
        if !reply.refused.is_empty() || ready.is_empty() {
            reply.branch = None;
            return Ok(reply);
        }
        let name = format!("refs/heads/{branch}");
        for (_, repository, ..) in &ready {
            let there = evidence::git::Git::new("rev-parse")
                .args(["-q", "--verify", &name])
                .git_dir(&repository.common_dir)
                .run(Input::Null)?;
            if there.code == Some(0) {
                return Err(Error::new(
                    Kind::Refused,
                    format!("the branch {branch} exists already in {}", repository.top.display()),
                )
                .hint(format!("merge it, or delete it with `git branch -D {branch}` and apply again")));
            }
        }
        for (part, repository, shadow, head, plan) in ready {
            let prefix = names::unescape(&part.prefix);
            let tree = graft(&shadow, head.as_deref(), &prefix, &plan)?;
            let message =
                format!("Result of codex-worker job {short}\n\nCodex-Worker-Job: {}\n", self.worktree.job);
            let commit = worktree::commit(&shadow, &tree, head.as_deref(), &message)?;
            worktree::transfer(&shadow, &repository, head.as_deref(), &commit, job_dir)?;
            let zero = "0".repeat(commit.len());
            evidence::git::Git::new("update-ref")
                .args(["-m", "codex-worker: apply", &name, &commit, &zero])
                .git_dir(&repository.common_dir)
                .output()?;
        }
        reply.applied = true;
        Ok(reply)
    }

    /// The plan against HEAD, and whether this repository has any part in the result.
    fn plan_branch(&self, shadow: &Shadow, part: &Part, head: Option<&str>) -> Result<(ApplyPlan, bool)> {
        let prefix = names::unescape(&part.prefix);
        let nested: Vec<Vec<u8>> =
            part.nested.iter().map(|(n, _)| names::join(&prefix, &names::unescape(n))).collect();
        let mine: Vec<Wanted> = self
            .wanted
            .iter()
            .filter(|w| names::below(&w.name, &prefix).is_some())
            .filter(|w| !nested.iter().any(|n| names::below(&w.name, n).is_some()))
            .cloned()
            .collect();
        let inside: Vec<Vec<u8>> =
            mine.iter().filter_map(|w| names::below(&w.name, &prefix)).map(<[u8]>::to_vec).collect();
        let entries = match head {
            Some(head) => evidence::entries(shadow, head, &inside)?,
            None => BTreeMap::new(),
        };
        let all: BTreeSet<&Vec<u8>> = entries.keys().collect();
        let now = mine
            .iter()
            .zip(&inside)
            .map(|(w, name)| {
                let below = all.iter().filter(|n| **n != name && names::below(n, name).is_some());
                let now = Now {
                    entry: entries.get(name).cloned(),
                    below: below.map(|n| names::join(&prefix, n)).collect(),
                    ..Now::default()
                };
                (w.name.clone(), now)
            })
            .collect();
        Ok((plan::decide(&mine, &now), !mine.is_empty()))
    }

    /// The tree that is applied; for the caller's account.
    #[cfg(test)]
    fn tree(&self) -> &str {
        &self.tree
    }
}

/// What is at `name` now.
fn look(files: &Tree, name: &[u8], entry: plan::Entry) -> Now {
    let mut now = Now { entry, ..Now::default() };
    for (at, _) in name.iter().enumerate().filter(|(_, b)| **b == b'/') {
        if files.meta(&name[..at]).is_ok_and(|m| !m.is_dir()) {
            now.blocked_by = Some(name[..at].to_vec());
            return now;
        }
    }
    match files.meta(name) {
        Ok(meta) if meta.is_dir() => {
            now.below = evidence::files_below(files, name);
            // A repository of its own is never replaced by a file.
            now.unrecorded = files.exists(&names::join(name, b".git")) && now.entry.is_none();
        }
        Ok(_) => now.unrecorded = now.entry.is_none(),
        Err(_) => {}
    }
    now
}

/// HEAD's tree with the plan's paths in it.
fn graft(shadow: &Shadow, head: Option<&str>, prefix: &[u8], plan: &ApplyPlan) -> Result<String> {
    let index = shadow.git_dir.join(format!("graft.{}", std::process::id()));
    let _ = fs::remove_file(&index);
    let git = |verb: &str| shadow.reading(verb).index(&index).work_tree(&shadow.git_dir);
    let run = || -> Result<String, evidence::Error> {
        match head {
            Some(head) => git("read-tree").arg(head).output()?,
            None => git("read-tree").arg("--empty").output()?,
        };
        let zero = "0".repeat(if shadow.object_format == "sha256" { 64 } else { 40 });
        let mut lines = Vec::new();
        let mut line = |mode: u32, id: &str, name: &[u8]| {
            lines.extend_from_slice(format!("{mode:o} {id}\t").as_bytes());
            lines.extend_from_slice(names::below(name, prefix).unwrap_or(name));
            lines.push(0);
        };
        for name in &plan.remove {
            line(0, &zero, name);
        }
        for (name, (mode, id)) in &plan.write {
            line(*mode, id, name);
        }
        git("update-index").args(["-z", "--index-info"]).output_with(Input::Bytes(lines))?;
        Ok(git("write-tree").arg("--missing-ok").line()?)
    };
    let tree = run();
    let _ = fs::remove_file(&index);
    Ok(tree?)
}

#[cfg(test)]
#[path = "apply_tests.rs"]
mod tests;
