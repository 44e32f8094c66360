//! Whether somebody is to be told that a job has ended. Telling is done by a process of its own:
//! neither the worker nor whoever found a dead one waits for somebody else's server.

use std::time::Duration;

use config::{Config, NotifySettings};
use model::spec::{JobId, JobSpec};
use model::status::JobStatus;

/// Starts `codex-worker notify` for a job that ended, where the settings want it.
pub fn start(config: &Config, id: &JobId, spec: &JobSpec, status: JobStatus, took: Duration) {
    if !wanted(&config.notify, spec, status, took) {
        return;
    }
    if let Err(error) = crate::spawn::detached(config, &["notify", "--detached", id.as_str()]) {
        tracing::warn!(job = %id, %error, "nobody was told that the job has ended");
    }
}

/// Pure.
fn wanted(settings: &NotifySettings, spec: &JobSpec, status: JobStatus, took: Duration) -> bool {
    let labelled = |label: &String| {
        label.split_once('=').is_some_and(|(name, value)| {
            spec.labels.get(name.trim()).map(String::as_str) == Some(value.trim())
        })
    };
    (settings.command.is_some() || !settings.webhooks.is_empty())
        && (settings.statuses.is_empty() || settings.statuses.iter().any(|name| name == status.as_str()))
        && (settings.labels.is_empty() || settings.labels.iter().any(labelled))
        && took >= settings.min
}
