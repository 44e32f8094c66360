//! `apply`: a finished job's change into the user's own files or to a branch, all of it or
//! nothing.

use super::tools::ApplyReply;
use config::Config;
use job::paths::JobPaths;
use job::store::{JobRow, JobStore};
use model::error::{Error, Kind, Result};
use workspace::apply::{self, Mode, Why};

/// Paths of a reply; the rest is counted.
const SHOWN: usize = 50;
/// The longest chain of resumed jobs.
const CHAIN_MAX: usize = 64;

/// Brings the job's change to the user as `mode` says. Blocks.
pub fn apply(config: &Config, store: &dyn JobStore, row: &JobRow, mode: Mode) -> Result<ApplyReply> {
    if !row.status.is_final() {
        return Err(Error::new(
            Kind::Refused,
            format!("job {} is {}: it has no result yet", row.id, row.status.as_str()),
        )
        .hint("wait until it has ended"));
    }
    // A job that resumed others worked in the worktree of the first of them.
    let mut first = row.id.clone();
    let mut next = row.spec.resume.clone();
    for _ in 0..CHAIN_MAX {
        let Some(id) = next else { break };
        next = store.get(&id)?.spec.resume;
        first = id;
    }
    let done = apply::apply(JobPaths::new(&config.home, &first).root(), mode)?;
    let conflicts: Vec<String> = done
        .refused
        .iter()
        .map(|r| match r.why {
            Why::ChangedMeanwhile => format!("{}: changed there since the job began", r.path),
            Why::InTheWay => format!("{}: something that git does not record is in the way", r.path),
        })
        .collect();
    let next_action = match (mode, done.applied, conflicts.is_empty()) {
        (_, _, false) => {
            "nothing was written: settle the named paths, or merge the job's ref by hand with git merge"
                .to_owned()
        }
        (Mode::Check, ..) => "call apply with mode worktree or branch".to_owned(),
        (_, false, _) => "nothing to do: everything is there already".to_owned(),
        (Mode::Worktree, ..) => "review the files with git diff; they are not staged".to_owned(),
        (Mode::Branch, ..) => {
            format!("review and merge the branch {}", done.branch.as_deref().unwrap_or_default())
        }
    };
    Ok(ApplyReply {
        applied: done.applied,
        files: capped(done.changed),
        conflicts: capped(conflicts),
        branch: done.branch,
        next_action,
    })
}

fn capped(mut list: Vec<String>) -> Vec<String> {
    if list.len() > SHOWN {
        let more = list.len() - SHOWN;
        list.truncate(SHOWN);
        list.push(format!("… and {more} more"));
    }
    list
}
