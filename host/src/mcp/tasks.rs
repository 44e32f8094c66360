//! MCP Tasks (extension `io.modelcontextprotocol/tasks`) as a second face of the store: for
//! a client that declares it, a `wait` on one job becomes a task whose id is the job's.
//! Nothing is kept here: a task survives the server as its job does.

use std::sync::Arc;

use rmcp::model::{CallToolResult, DetailedTask, ErrorData, JsonObject, Task, TaskPayload, TaskStatus};

use super::jobs::{Jobs, ended, job_id};
use super::tools::{GetArgs, JobView, WaitArgs};
use job::store::{JobRow, JobStore};
use model::error::{Error, Kind, Result};
use model::status::JobStatus;
use redact::sanitize::line;

const POLL_MS: u64 = 2000;

/// The task of a `wait`; none when the call is better answered at once.
pub async fn create(jobs: &Arc<Jobs>, args: WaitArgs) -> Result<Option<Task>> {
    let (Some(id), []) = (args.job_id, args.job_ids.as_slice()) else { return Ok(None) };
    let row = load(jobs, &id).await?;
    Ok((!row.status.is_final()).then(|| task(&row)))
}

/// The task's state; `encode` makes the result of the call that became the task. A job that
/// failed is a completed task (the call is answered); only one whose result is lost is a
/// failed task.
pub async fn get(
    jobs: &Arc<Jobs>,
    id: &str,
    encode: impl FnOnce(JobView) -> CallToolResult,
) -> Result<DetailedTask> {
    // Also finds a worker that died.
    jobs.get(known(id)?).await?;
    let row = load(jobs, id).await?;
    let payload = match row.status {
        JobStatus::Cancelled => TaskPayload::Cancelled,
        status if status.is_final() && row.result.is_none() => TaskPayload::Failed { error: lost() },
        status if status.is_final() => {
            let result = serde_json::to_value(encode(ended(&row, false, None))).map_err(|error| {
                Error::new(Kind::Internal, format!("a result could not be written: {error}"))
            })?;
            TaskPayload::Completed { result: result.as_object().cloned().unwrap_or_default() }
        }
        _ => TaskPayload::Working,
    };
    Ok(DetailedTask::new(task(&row), payload))
}

/// Asks for the job's end; answered before it has ended. Nothing happens to one that has.
pub async fn cancel(jobs: &Arc<Jobs>, id: &str) -> Result<()> {
    let id = job_id(id)?;
    jobs.on_job(&id, |_, store, row| store.request_cancel(&row.id, "tasks/cancel").map(drop)).await
}

/// A job asks its client nothing, so there is nothing to take; the id must be right all the
/// same.
pub async fn update(jobs: &Arc<Jobs>, id: &str) -> Result<()> {
    load(jobs, id).await.map(drop)
}

/// SEP-2663: an unknown task is a wrong parameter.
pub fn error(error: &Error) -> ErrorData {
    match error.kind {
        Kind::NotFound | Kind::Usage => ErrorData::invalid_params(error.to_string(), None),
        _ => ErrorData::internal_error(error.to_string(), None),
    }
}

/// The error of a job that ended without leaving a result.
fn lost() -> JsonObject {
    let error = ErrorData::internal_error("this job ended, but its result is lost", None);
    serde_json::to_value(error).ok().and_then(|value| value.as_object().cloned()).unwrap_or_default()
}

/// The task's id as `get`'s arguments.
fn known(id: &str) -> Result<GetArgs> {
    job_id(id)?;
    Ok(GetArgs { job_id: id.to_owned(), verbose: false, include_diff: None })
}

async fn load(jobs: &Arc<Jobs>, id: &str) -> Result<JobRow> {
    let id = job_id(id)?;
    jobs.on_job(&id, |_, _, row| Ok(row)).await
}

fn task(row: &JobRow) -> Task {
    let now = jiff::Timestamp::now().as_millisecond();
    let updated = row.finished_ms.unwrap_or(if row.status.is_final() { row.created_ms } else { now });
    let status = match row.status {
        JobStatus::Cancelled => TaskStatus::Cancelled,
        status if status.is_final() && row.result.is_none() => TaskStatus::Failed,
        status if status.is_final() => TaskStatus::Completed,
        _ => TaskStatus::Working,
    };
    let task = Task::new(row.id.as_str(), status, time(row.created_ms), time(updated))
        .with_poll_interval_ms(POLL_MS);
    match &row.last_event {
        Some(event) => task.with_status_message(line(event, 160)),
        None => task,
    }
}

fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}
