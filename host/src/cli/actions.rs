//! What `serve` and `watch` may do to a job, through the same code as the tools `cancel`, `apply`
//! and `start`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use job::spawn;
use job::sqlite::SqliteStore;
use job::store::JobStore;
use model::error::{Error, Kind};
use model::spec::JobSpec;
use view::actions::Actions;

/// How long a person waits for a job's processes to be gone.
const CANCEL_WAIT: Duration = Duration::from_secs(15);

/// The actions on the jobs of this configuration's state directory. Each opens the store for
/// itself: they are rare.
pub fn actions(config: Arc<Config>) -> Actions {
    let (for_cancel, for_apply, for_resume) = (config.clone(), config.clone(), config);
    Actions {
        cancel: Arc::new(move |id, reason: String| {
            let store = SqliteStore::open(&for_cancel.home)?;
            let state = job::cancel(&for_cancel, &store, id, &reason, CANCEL_WAIT)?;
            Ok(match state.is_final() {
                true => format!("job {id} is {}", state.as_str().replace('_', " ")),
                false => format!("job {id} was asked to end and is still {}", state.as_str()),
            })
        }),
        apply: Arc::new(move |id, mode| {
            let store = SqliteStore::open(&for_apply.home)?;
            let done = crate::mcp::apply::apply(&for_apply, &store, &store.get(id)?, mode)?;
            let mut text = match (done.applied, &done.branch) {
                (true, Some(branch)) => format!("applied to the branch {branch}\n"),
                (true, None) => "applied to the files\n".to_owned(),
                (false, _) => "nothing was written\n".to_owned(),
            };
            for conflict in &done.conflicts {
                let _ = writeln!(text, "refused  {conflict}");
            }
            for file in &done.files {
                let _ = writeln!(text, "file     {file}");
            }
            Ok(text + &done.next_action)
        }),
        resume: Arc::new(move |id, prompt: String| {
            let store = SqliteStore::open(&for_resume.home)?;
            let row = store.get(id)?;
            if !row.status.is_final() {
                return Err(Error::new(Kind::Refused, format!("job {id} is still {}", row.status.as_str()))
                    .hint("wait for it, or cancel it first"));
            }
            if prompt.trim().is_empty() {
                return Err(Error::new(Kind::Usage, "the task is empty").hint("say what is to be done"));
            }
            let secrets = adapter::certain_secrets(&for_resume);
            let spec = JobSpec {
                prompt: secrets.known_secrets_only(&prompt),
                resume: Some(id.clone()),
                idempotency_key: None,
                ..row.spec
            };
            crate::mcp::jobs::ready(&for_resume, &spec)?;
            let enqueued = store.enqueue(&spec)?;
            spawn::ensure_worker(&for_resume, &store)?;
            Ok(enqueued.id.to_string())
        }),
    }
}
