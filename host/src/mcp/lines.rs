//! One line for a person beside each structured reply, for clients whose model reads the
//! structured content: it repeats the verdict and nothing else.

use super::tools::{ApplyReply, ArtifactReply, CancelReply, JobView, StartReply, TailReply};

/// Not the id: it is in the data, and some clients show a model both.
pub(super) fn start(reply: &StartReply) -> String {
    match reply.queue_position {
        Some(ahead) if ahead > 0 => format!("{} behind {ahead}", reply.job_status.as_str()),
        _ => reply.job_status.as_str().to_owned(),
    }
}

pub(super) fn tail(reply: &TailReply) -> String {
    format!("{}: {} lines, up to {}", reply.job_status.as_str(), reply.lines.len(), reply.next)
}

pub(super) fn job(view: &JobView) -> String {
    let status = view.job_status.map_or("unknown", |status| status.as_str());
    if let Some(failure) = &view.failure {
        return format!("{status}: {}", failure.message);
    }
    match (&view.next_action, &view.changed_files) {
        (Some(_), Some(files)) => {
            let count = files.len() + view.changed_files_omitted.unwrap_or(0) as usize;
            format!("{status}: {count} changed files")
        }
        _ => match &view.last_event {
            Some(event) => format!("{status}: {event}"),
            None => status.to_owned(),
        },
    }
}

pub(super) fn cancel(reply: &CancelReply) -> String {
    reply.job_status.as_str().to_owned()
}

pub(super) fn artifact(reply: &ArtifactReply) -> String {
    match reply.next_offset {
        Some(next) => format!("up to byte {next} of {}", reply.total_bytes),
        None => format!("to the end, {} bytes", reply.total_bytes),
    }
}

pub(super) fn apply(reply: &ApplyReply) -> String {
    match (reply.applied, reply.conflicts.len()) {
        (true, _) => format!("applied: {} files", reply.files.len()),
        (false, 0) => format!("would apply: {} files", reply.files.len()),
        (false, conflicts) => format!("not applied: {conflicts} conflicts"),
    }
}
