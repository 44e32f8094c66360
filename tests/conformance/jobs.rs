//! Fixtures of the tasks extension. What a job of the product can be (running, ended,
//! failed, cancelled) is a job in the product's own store, claimed and finished by a worker
//! of this test, and answered by the product's own task code. What no job of ours does (ask
//! its client, die of a protocol error) is a task of the SDK.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use codex_worker::mcp::jobs::Jobs;
use codex_worker::mcp::tasks;
use codex_worker::mcp::tools::{JobView, StartArgs, WaitArgs};
use config::Config;
use job::store::{Claim, JobStore};
use model::result::{Failure, FailureKind, JobResult, Usage, Workspace};
use model::status::JobStatus;
use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CreateTaskResult, DetailedTask,
    ErrorData, InputRequest, JsonObject, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::task_manager::{TaskContext, TaskExit, TaskManager, TaskOptions};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::fixtures::{read, text};
use crate::rounds::{answer, ask, form};

const LEASE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(30);

/// The tasks of all sessions.
pub struct StoreTasks {
    jobs: Arc<Jobs>,
    config: Arc<Config>,
    dirs: PathBuf,
    /// One job is enqueued and claimed at a time, so that the claim is of that job.
    starting: tokio::sync::Mutex<u32>,
    asking: TaskManager,
}

fn fault(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

fn declared(context: &RequestContext<RoleServer>) -> bool {
    context.client_capabilities().is_some_and(|client| client.supports_tasks())
}

fn required(context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    if declared(context) {
        return Ok(());
    }
    let missing = json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    Err(ErrorData::missing_required_client_capability(read(missing)?))
}

/// A job's view as the result of the call that became the task.
fn encode(view: JobView) -> CallToolResult {
    match view.failure {
        Some(failure) => CallToolResult::error(vec![ContentBlock::text(failure.message)]),
        None => text(view.summary.unwrap_or_default()),
    }
}

fn result(status: JobStatus, line: &str) -> JobResult {
    let failure = (status != JobStatus::Completed).then(|| Failure {
        kind: if status == JobStatus::Cancelled { FailureKind::Cancelled } else { FailureKind::AgentFailed },
        message: line.to_owned(),
        hint: "none".to_owned(),
    });
    JobResult {
        job_status: status,
        changed_files: Vec::new(),
        checks: Vec::new(),
        diff: String::new(),
        summary: line.to_owned(),
        attempts: 1,
        duration_ms: 0,
        usage: Usage::default(),
        policies: Vec::new(),
        workspace: Workspace { isolation: "none".to_owned(), branch: None },
        artifacts: Vec::new(),
        next_action: "none".to_owned(),
        failure,
        changed_files_omitted: 0,
        check_verdicts: Vec::new(),
    }
}

impl StoreTasks {
    /// A store of its own below `dir`.
    pub fn new(dir: &Path, shutdown: CancellationToken) -> StoreTasks {
        let mut config = Config::for_tests(&dir.join("state"));
        // This test is the worker; no process may be started for a queued job.
        config.max_running_jobs = 0;
        config.sandbox_root = Some(dir.canonicalize().expect("its real path"));
        let config = Arc::new(config);
        StoreTasks {
            jobs: Arc::new(Jobs::new(config.clone(), shutdown)),
            config,
            dirs: dir.join("dirs"),
            starting: tokio::sync::Mutex::new(0),
            asking: TaskManager::new(),
        }
    }

    /// A job that ends as `status` after a while, as a task.
    async fn start(
        &self,
        after: Duration,
        status: JobStatus,
        line: String,
    ) -> Result<CallToolResponse, ErrorData> {
        let mut number = self.starting.lock().await;
        *number += 1;
        let dir = self.dirs.join(number.to_string());
        std::fs::create_dir_all(&dir).map_err(fault)?;
        let args = StartArgs {
            prompt: "a fixture".to_owned(),
            allowed_dirs: vec![dir.display().to_string()],
            ..StartArgs::default()
        };
        let spec = codex_worker::mcp::parse::job_spec(args, &self.config).map_err(fault)?;
        let claim = self
            .jobs
            .blocking(move |_, store| {
                let enqueued = store.enqueue(&spec)?;
                let claim = store.claim("conformance", 1000, LEASE)?;
                Ok(claim.filter(|claim| claim.id == enqueued.id))
            })
            .await
            .map_err(fault)?
            .ok_or_else(|| fault("the job could not be claimed"))?;
        drop(number);
        let wait = WaitArgs { job_id: Some(claim.id.to_string()), ..WaitArgs::default() };
        let task = tasks::create(&self.jobs, wait).await.map_err(|error| tasks::error(&error))?;
        tokio::spawn(work(self.jobs.clone(), claim, after, status, line));
        let task = task.ok_or_else(|| fault("a job that runs is no task"))?;
        Ok(CreateTaskResult::new(task).into())
    }

    fn spawn<F>(&self, work: impl FnOnce(TaskContext) -> F) -> CallToolResponse
    where
        F: Future<Output = Result<CallToolResult, TaskExit>> + Send + 'static,
    {
        let options = TaskOptions::new().with_poll_interval_ms(200);
        CreateTaskResult::new(self.asking.spawn(options, |context| Box::pin(work(context)))).into()
    }

    /// The tools of this file.
    pub async fn call(
        &self,
        request: &CallToolRequestParams,
        arguments: &JsonObject,
        context: &RequestContext<RoleServer>,
    ) -> Result<Option<CallToolResponse>, ErrorData> {
        let response = match request.name.as_ref() {
            "slow_compute" => {
                let seconds = arguments.get("seconds").and_then(Value::as_f64).unwrap_or(0.0);
                let after = Duration::from_secs_f64(seconds.clamp(0.0, 600.0));
                if declared(context) {
                    self.start(after, JobStatus::Completed, format!("computed for {seconds} s")).await?
                } else {
                    tokio::time::sleep(after).await;
                    text("computed").into()
                }
            }
            "failing_job" => {
                required(context)?;
                self.start(Duration::from_millis(300), JobStatus::Failed, "it failed".to_owned()).await?
            }
            "test_tool_with_task" => {
                required(context)?;
                match answer(&request.input_responses, "user_name") {
                    None => {
                        ask(json!({"user_name": form("What is your name?", "name", "string")}), None)?.into()
                    }
                    Some(answer) => {
                        let line = format!("computed for {}", answer["content"]["name"]);
                        self.start(Duration::from_millis(200), JobStatus::Completed, line).await?
                    }
                }
            }
            "protocol_error_job" => {
                required(context)?;
                self.spawn(|_| async { Err(TaskExit::Error(fault("a protocol error, for a test"))) })
            }
            "confirm_delete" => {
                required(context)?;
                let request: InputRequest = read(form("Delete it?", "confirm", "boolean"))?;
                self.spawn(|context| async move {
                    let answer = context.request_input("confirm", request).await?;
                    Ok(text(format!("confirmed: {}", answer["content"]["confirm"])))
                })
            }
            "multi_input" => {
                required(context)?;
                let one: InputRequest = read(form("The first name?", "name", "string"))?;
                let two: InputRequest = read(form("The second name?", "name", "string"))?;
                self.spawn(|context| async move {
                    let (one, two) =
                        tokio::join!(context.request_input("one", one), context.request_input("two", two));
                    Ok(text(format!("{} {}", one?, two?)))
                })
            }
            _ => return Ok(None),
        };
        Ok(Some(response))
    }

    fn asks(&self, id: &str) -> bool {
        self.asking.get_task(id).is_ok()
    }

    /// `tasks/get`.
    pub async fn get(&self, id: &str) -> Result<DetailedTask, ErrorData> {
        if self.asks(id) {
            return self.asking.get_task(id);
        }
        tasks::get(&self.jobs, id, encode).await.map_err(|error| tasks::error(&error))
    }

    /// `tasks/update`.
    pub async fn update(&self, request: UpdateTaskParams) -> Result<(), ErrorData> {
        if self.asks(&request.task_id) {
            return self.asking.update_task(&request.task_id, request.input_responses);
        }
        tasks::update(&self.jobs, &request.task_id).await.map_err(|error| tasks::error(&error))
    }

    /// `tasks/cancel`.
    pub async fn cancel(&self, id: &str) -> Result<(), ErrorData> {
        if self.asks(id) {
            return self.asking.cancel_task(id);
        }
        tasks::cancel(&self.jobs, id).await.map_err(|error| tasks::error(&error))
    }
}

/// What a worker process does, without an agent: holds the claim, looks for a cancel, ends
/// the job.
async fn work(jobs: Arc<Jobs>, claim: Claim, after: Duration, status: JobStatus, line: String) {
    let began = Instant::now();
    let end = |status: JobStatus, line: String| {
        let claim = claim.clone();
        jobs.blocking(move |_, store| {
            if status == JobStatus::Completed {
                store.advance(&claim, JobStatus::Verifying)?;
            }
            store.finish(&claim, status, &result(status, &line))
        })
    };
    while began.elapsed() < after {
        let held = claim.clone();
        let beat = jobs.blocking(move |_, store| store.poll(&held)).await;
        match beat {
            Ok(Some(beat)) if beat.cancel.is_some() => {
                let _ = end(JobStatus::Cancelled, "cancelled".to_owned()).await;
                return;
            }
            Ok(Some(_)) => tokio::time::sleep(LOOK).await,
            // The job is somebody else's now, or the store is gone.
            Ok(None) | Err(_) => return,
        }
    }
    let _ = end(status, line).await;
}
