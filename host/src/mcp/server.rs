//! The MCP handler: decodes a call, hands it to the module that owns it, encodes what
//! comes back. A panic in a call is answered like any other failure.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};

use futures_util::FutureExt;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ContentBlock,
    CreateTaskResult, ErrorCode, ErrorData, GetPromptRequestParams, GetPromptResponse, GetTaskParams,
    GetTaskResult, Implementation, ListPromptsResult, ListResourceTemplatesResult, ListToolsResult,
    PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    ResourceContents, ResourceTemplate, ServerCapabilities, ServerConfig, Tool, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::jobs::{Jobs, job_id};
use super::tools::{self, JobView};
use super::wire::Ordered;
use super::{artifact, lines, prompts, schema, tasks};
use config::{Config, nearest};
use job::paths::JobPaths;
use model::error::{Error, Kind};
use redact::Redactor;

/// The first revision with `structuredContent`.
const STRUCTURED_SINCE: &str = "2025-06-18";

/// Clients that show the model `structuredContent`: for them `content` is one line, so that
/// nobody pays twice. Every other client may show the model `content` alone, and gets the
/// same JSON there. Tried with Codex 0.169.0 and Claude Code 2.1.330.
const SHOW_STRUCTURED: &[&str] = &["codex-mcp-client", "claude-code"];

/// What a client's model is shown of a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// `content` alone, and the client knows of nothing else.
    Content,
    /// `content` for all that is known; the client may read `structuredContent` too.
    Either,
    /// `structuredContent`.
    Structured,
}

impl Shown {
    fn of(version: Option<&str>, client: Option<&str>) -> Shown {
        match (version, client) {
            (Some(version), _) if version < STRUCTURED_SINCE => Shown::Content,
            (_, Some(client)) if SHOW_STRUCTURED.contains(&client) => Shown::Structured,
            _ => Shown::Either,
        }
    }
}

static TOOLS: LazyLock<Vec<Tool>> = LazyLock::new(tools::list);

/// One server; cheap to clone (HTTP makes one per request).
#[derive(Clone)]
pub struct Server {
    jobs: Arc<Jobs>,
    redactor: Redactor,
    /// The name of a tool that panics, for the tests of this file's promise.
    panicking_tool: Option<&'static str>,
}

/// What a call gives: the data, and one line for a person.
struct Reply {
    data: Value,
    line: String,
}

type Called = Result<Reply, Error>;

impl Server {
    /// A server over the state directory of `config`; touches nothing yet. `shutdown`
    /// fires when nobody listens any more.
    pub fn new(config: Config, shutdown: CancellationToken) -> Self {
        // Known secrets alone: what the store and the artifacts hold was masked when written.
        let redactor = Redactor::new(config.known_secrets.clone(), None);
        Server { jobs: Arc::new(Jobs::new(Arc::new(config), shutdown)), redactor, panicking_tool: None }
    }

    /// For the holder of a token.
    pub fn granted(self, grant: super::tokens::Grant) -> Self {
        let config = self.jobs.config().clone();
        let jobs = Jobs::new(config, self.jobs.shutdown().clone()).granted(grant);
        Server { jobs: Arc::new(jobs), ..self }
    }

    /// Adds a hidden tool that panics.
    #[doc(hidden)]
    pub fn with_panicking_tool(mut self) -> Self {
        self.panicking_tool = Some("panic");
        self
    }

    async fn call(&self, name: &str, args: Value, context: &RequestContext<RoleServer>) -> Called {
        let jobs = &self.jobs;
        match name {
            "start" => reply(jobs.start(decode(name, args)?).await?, lines::start),
            "get" => reply(jobs.get(decode(name, args)?).await?, lines::job),
            "wait" => reply(jobs.wait(decode(name, args)?, Some(context)).await?, lines::job),
            "tail" => reply(jobs.tail(decode(name, args)?).await?, lines::tail),
            "cancel" => reply(jobs.cancel(decode(name, args)?).await?, lines::cancel),
            "artifact" => {
                let args: tools::ArtifactArgs = decode(name, args)?;
                let id = job_id(&args.job_id)?;
                let done = jobs
                    .on_job(&id, move |config, _, row| {
                        let dir = JobPaths::new(&config.home, &row.id).artifacts();
                        artifact::read(&dir, &args.name, args.offset, args.max_bytes)
                    })
                    .await?;
                reply(done, lines::artifact)
            }
            "apply" => {
                let args: tools::ApplyArgs = decode(name, args)?;
                let id = job_id(&args.job_id)?;
                let done = jobs
                    .on_job(&id, move |config, store, row| {
                        super::apply::apply(config, store, &row, args.mode)
                    })
                    .await?;
                reply(done, lines::apply)
            }
            "analyze" => {
                let args: crate::analyze::AnalyzeArgs = decode(name, args)?;
                let done =
                    crate::analyze::analyze(&jobs.config_for(&args.paths)?, args, &self.redactor).await?;
                reply(done, |done| format!("answered from {} files", done.files.len()))
            }
            #[expect(clippy::panic, reason = "this is what the hook is for")]
            _ if self.panicking_tool == Some(name) => panic!("the panicking tool was called"),
            _ => Err(unknown_tool(name)),
        }
    }

    /// Masks every text of a reply: what is in the store is masked already, but not what
    /// a later configuration knows.
    fn mask(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let masked = self.redactor.known_secrets_only(text);
                if masked != *text {
                    *text = masked;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.mask(item)),
            Value::Object(members) => members.values_mut().for_each(|member| self.mask(member)),
            _ => {}
        }
    }

    fn encode(&self, called: Called, context: &RequestContext<RoleServer>) -> CallToolResult {
        match called {
            Ok(Reply { mut data, line }) => {
                self.mask(&mut data);
                let shown = Shown::of(
                    context.protocol_version().as_ref().map(|version| version.as_str()),
                    context.client_info().as_ref().map(|client| client.name.as_str()),
                );
                let text = match shown {
                    Shown::Structured => self.redactor.known_secrets_only(&line),
                    Shown::Content | Shown::Either => {
                        serde_json::to_string(&Ordered(&data)).unwrap_or_default()
                    }
                };
                let mut result = CallToolResult::success(vec![ContentBlock::text(text)]);
                result.structured_content = (shown != Shown::Content).then_some(data);
                result
            }
            Err(error) => CallToolResult::error(vec![ContentBlock::text(
                self.redactor.known_secrets_only(&error.to_string()),
            )]),
        }
    }

    /// The job's view as the result of the call that became a task.
    pub(super) fn task_result(&self, view: JobView, context: &RequestContext<RoleServer>) -> CallToolResult {
        self.encode(reply(view, lines::job), context)
    }
}

fn unknown_tool(name: &str) -> Error {
    let error = Error::new(Kind::Usage, format!("unknown tool {name:?}"));
    match nearest(name, TOOLS.iter().map(|tool| tool.name.as_ref())) {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint("tools/list names them"),
    }
}

fn reply<T: Serialize>(value: T, line: impl FnOnce(&T) -> String) -> Called {
    let text = line(&value);
    let data = serde_json::to_value(value).map_err(|error| {
        Error::new(Kind::Internal, format!("a reply could not be written: {error}")).caused_by(error)
    })?;
    Ok(Reply { data, line: text })
}

/// Checks the arguments against the tool's schema and reads them.
fn decode<T: DeserializeOwned>(name: &str, mut args: Value) -> Result<T, Error> {
    schema::drop_nulls(&mut args);
    schema::whole_numbers(&mut args);
    if let Some(tool) = TOOLS.iter().find(|tool| tool.name == name) {
        schema::check(&args, &tool.schema_as_json_value(), "")
            .map_err(|(what, todo)| Error::new(Kind::Usage, what).hint(todo))?;
    }
    serde_json::from_value(args).map_err(|error| {
        Error::new(Kind::Usage, format!("the arguments of {name} cannot be read: {error}"))
            .hint("see the tool's input schema")
    })
}

/// Runs `work`; a panic becomes an error that says so.
async fn caught<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => {
            let what = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(Error::new(Kind::Internal, format!("a fault of codex-worker: {what}"))
                .hint("the job, if there is one, goes on; report this with the server's stderr"))
        }
    }
}

/// rmcp turns the code of a missing resource into the one that the client's revision has.
fn resource_error(error: &Error, uri: &str) -> ErrorData {
    let code = match error.kind {
        Kind::NotFound => ErrorCode::RESOURCE_NOT_FOUND,
        Kind::Usage => ErrorCode::INVALID_PARAMS,
        _ => ErrorCode::INTERNAL_ERROR,
    };
    ErrorData::new(code, error.to_string(), Some(serde_json::json!({ "uri": uri })))
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .enable_completions()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(
                Implementation::new("codex-worker", env!("CARGO_PKG_VERSION")).with_title("codex-worker"),
            )
            .with_instructions(tools::INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(TOOLS.clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        TOOLS.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let args = Value::Object(request.arguments.unwrap_or_default());
        let declares_tasks = context.client_capabilities().is_some_and(|client| client.supports_tasks());
        if request.name == "wait" && declares_tasks {
            let task = caught(async { tasks::create(&self.jobs, decode("wait", args.clone())?).await }).await;
            // Ended already, several jobs, or wrong: answered as for everybody.
            if let Ok(Some(task)) = task {
                return Ok(CallToolResponse::Task(CreateTaskResult::new(task)));
            }
        }
        let called = caught(self.call(&request.name, args, &context)).await;
        Ok(self.encode(called, &context).into())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        // Jobs are not listed: their ids are what gives access to them.
        Ok(ListResourceTemplatesResult::with_all_items(vec![
            ResourceTemplate::new("job://{job_id}/result", "result")
                .with_description("A job's result, as get gives it with verbose")
                .with_mime_type("application/json"),
            ResourceTemplate::new("job://{job_id}/{artifact}", "artifact")
                .with_description("A job's artifact, such as diff.patch")
                .with_mime_type("text/plain"),
        ]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.clone();
        let contents =
            caught(self.resource(request.uri)).await.map_err(|error| resource_error(&error, &uri))?;
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(prompts::list()))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let prompt = prompts::get(&request.name, &arguments)
            .map_err(|error| ErrorData::invalid_params(error.to_string(), None))?;
        Ok(prompt.into())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let work = tasks::get(&self.jobs, &request.task_id, |view| self.task_result(view, &context));
        caught(work).await.map(GetTaskResult::new).map_err(|error| tasks::error(&error))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        caught(tasks::update(&self.jobs, &request.task_id)).await.map_err(|error| tasks::error(&error))
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        caught(tasks::cancel(&self.jobs, &request.task_id)).await.map_err(|error| tasks::error(&error))
    }
}

impl Server {
    async fn resource(&self, uri: String) -> Result<ResourceContents, Error> {
        let unknown = || {
            Error::new(Kind::NotFound, format!("there is no resource {uri:?}"))
                .hint("resources are job://<job_id>/result and job://<job_id>/<artifact>")
        };
        let (id, name) =
            uri.strip_prefix("job://").and_then(|rest| rest.split_once('/')).ok_or_else(unknown)?;
        let id = job_id(id).map_err(|_| unknown())?;
        let name = name.to_owned();
        let (text, mime) = if name == "result" {
            let args = tools::GetArgs { job_id: id.to_string(), verbose: true, include_diff: None };
            let Reply { data, .. } = reply(self.jobs.get(args).await?, lines::job)?;
            (data.to_string(), "application/json")
        } else {
            let read = self.jobs.on_job(&id, move |config, _, row| {
                artifact::read_whole(&JobPaths::new(&config.home, &row.id).artifacts(), &name)
            });
            (read.await?.text, "text/plain")
        };
        Ok(ResourceContents::TextResourceContents {
            uri,
            mime_type: Some(mime.to_owned()),
            text: self.redactor.known_secrets_only(&text),
            meta: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Shown;

    #[test]
    fn content_is_short_only_for_clients_that_show_the_data() {
        for (version, client, shown) in [
            (Some("2024-11-05"), Some("codex-mcp-client"), "content"),
            (Some("2025-03-26"), None, "content"),
            (Some("2025-06-18"), Some("codex-mcp-client"), "structured"),
            (Some("2026-07-28"), Some("claude-code"), "structured"),
            (Some("2025-06-18"), Some("opencode"), "either"),
            (Some("2026-07-28"), None, "either"),
            (None, None, "either"),
        ] {
            let name = match Shown::of(version, client) {
                Shown::Content => "content",
                Shown::Either => "either",
                Shown::Structured => "structured",
            };
            assert_eq!(name, shown, "{version:?} {client:?}");
        }
    }
}
