//! The tools, resources and prompts that the conformance tool asks for. What belongs to the
//! tasks extension is in `jobs`, what asks the client back in `rounds`.
#![expect(deprecated, reason = "the older requirement set demands logging and subscriptions")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ContentBlock, ErrorData,
    GetPromptRequestParams, GetPromptResponse, GetPromptResult, GetTaskParams, GetTaskResult, Implementation,
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, ServerConfig, ServerRequest, SetLevelRequestParams, SubscribeRequestParams,
    SubscriptionFilter, Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::jobs::StoreTasks;
use crate::rounds;

/// A red pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// A sound of no length.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
const STEP: Duration = Duration::from_millis(50);

/// A list that changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    Tools,
    Prompts,
}

/// The handler; one is cloned for each session.
#[derive(Clone)]
pub struct Fixtures {
    tasks: Arc<StoreTasks>,
    changes: broadcast::Sender<Changed>,
}

/// A value of the protocol from its JSON.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value)
        .map_err(|error| ErrorData::internal_error(format!("a fixture is wrong: {error}"), None))
}

/// A result of the protocol; it says that it is one.
pub fn complete<T: DeserializeOwned>(mut value: Value) -> Result<T, ErrorData> {
    value["resultType"] = "complete".into();
    read(value)
}

/// One line of text.
pub fn text(line: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(line.into())])
}

fn resource(uri: &str, body: Value) -> Value {
    let mut content = json!({"uri": uri, "mimeType": "text/plain"});
    if let (Value::Object(content), Value::Object(body)) = (&mut content, body) {
        content.extend(body);
    }
    content
}

fn tools() -> Result<Vec<Tool>, ErrorData> {
    let plain = |name: &str| json!({"name": name, "description": format!("Fixture {name}"), "inputSchema": {"type": "object"}});
    let with = |name: &str, properties: Value| {
        let mut tool = plain(name);
        tool["inputSchema"]["properties"] = properties;
        tool
    };
    let mut all: Vec<Value> = [
        "test_simple_text",
        "test_image_content",
        "test_audio_content",
        "test_embedded_resource",
        "test_multiple_content_types",
        "test_tool_with_logging",
        "test_error_handling",
        "test_tool_with_progress",
        "test_elicitation_sep1034_defaults",
        "test_elicitation_sep1330_enums",
        "test_reconnection",
        "test_missing_capability",
        "test_streaming_elicitation",
        "test_logging_tool",
        "test_trigger_tool_change",
        "test_trigger_prompt_change",
        "failing_job",
        "protocol_error_job",
        "multi_input",
        "test_tool_with_task",
    ]
    .map(plain)
    .to_vec();
    all.extend(rounds::TOOLS.iter().map(|name| plain(name)));
    all.extend([
        with("test_sampling", json!({"prompt": {"type": "string"}})),
        with("test_elicitation", json!({"message": {"type": "string"}})),
        with("test_custom_header", json!({"region": {"type": "string", "x-mcp-header": "Region"}})),
        with("greet", json!({"name": {"type": "string"}})),
        with("slow_compute", json!({"seconds": {"type": "number"}, "label": {"type": "string"}})),
        with("confirm_delete", json!({"filename": {"type": "string"}})),
        json!({
            "name": "json_schema_2020_12_tool",
            "description": "Its schema must come through whole",
            "inputSchema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "$defs": {"address": {"$anchor": "addressDef", "type": "object",
                    "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
                "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
                    "contactMethod": {"type": "string", "enum": ["phone", "email"]},
                    "phone": {"type": "string"}, "email": {"type": "string"}},
                "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
                "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
                "then": {"required": ["phone"]},
                "else": {"required": ["email"]},
                "additionalProperties": false
            }
        }),
    ]);
    all.into_iter().map(read).collect()
}

impl Fixtures {
    /// Fixtures whose jobs lie below `dir`.
    pub fn new(dir: &Path, shutdown: CancellationToken) -> Fixtures {
        Fixtures { tasks: Arc::new(StoreTasks::new(dir, shutdown)), changes: broadcast::channel(16).0 }
    }

    async fn call(
        &self,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if let Some(response) = rounds::call(request, context)? {
            return Ok(response);
        }
        let arguments = request.arguments.clone().unwrap_or_default();
        if let Some(response) = self.tasks.call(request, &arguments, context).await? {
            return Ok(response);
        }
        let argument =
            |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let image = json!({"type": "image", "data": PNG, "mimeType": "image/png"});
        let result = match request.name.as_ref() {
            "greet" => text(format!("Hello, {}!", argument("name"))),
            "test_simple_text" => text("This is a simple text response for testing."),
            "test_image_content" => complete(json!({"content": [image]}))?,
            "test_audio_content" => {
                complete(json!({"content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]}))?
            }
            "test_embedded_resource" => {
                let inner = resource("test://embedded-resource", json!({"text": "An embedded resource."}));
                complete(json!({"content": [{"type": "resource", "resource": inner}]}))?
            }
            "test_multiple_content_types" => {
                let body =
                    json!({"mimeType": "application/json", "text": "{\"test\":\"data\",\"value\":123}"});
                let inner = resource("test://mixed-content-resource", body);
                complete(json!({"content": [{"type": "text", "text": "Multiple content types test:"}, image,
                    {"type": "resource", "resource": inner}]}))?
            }
            "test_error_handling" => {
                CallToolResult::error(vec![ContentBlock::text("This tool always fails, for a test")])
            }
            "test_tool_with_logging" => self.log(context).await?,
            "test_tool_with_progress" => self.progress(context).await,
            "test_sampling" => {
                let params = json!({"messages": [{"role": "user", "content": {"type": "text", "text": argument("prompt")}}], "maxTokens": 100});
                let answer = self.ask(context, "sampling/createMessage", params).await?;
                text(format!("LLM response: {}", answer["content"]["text"]))
            }
            "test_elicitation" => {
                let schema = json!({"type": "object", "required": ["username", "email"], "properties": {
                    "username": {"type": "string", "description": "User's response"},
                    "email": {"type": "string", "description": "User's email address"}}});
                self.elicit(context, &argument("message"), schema).await?
            }
            "test_elicitation_sep1034_defaults" => {
                let schema = json!({"type": "object", "properties": {
                    "name": {"type": "string", "default": "John Doe"},
                    "age": {"type": "integer", "default": 30},
                    "score": {"type": "number", "default": 95.5},
                    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
                    "verified": {"type": "boolean", "default": true}}});
                self.elicit(context, "With defaults", schema).await?
            }
            "test_elicitation_sep1330_enums" => {
                let titled = |n: u32| json!({"const": format!("value{n}"), "title": format!("Choice {n}")});
                let titles = [titled(1), titled(2), titled(3)];
                let options = ["option1", "option2", "option3"];
                let schema = json!({"type": "object", "properties": {
                    "untitledSingle": {"type": "string", "enum": options},
                    "titledSingle": {"type": "string", "oneOf": titles},
                    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"],
                        "enumNames": ["Option One", "Option Two", "Option Three"]},
                    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
                    "titledMulti": {"type": "array", "items": {"anyOf": titles}}}});
                self.elicit(context, "With choices", schema).await?
            }
            "test_missing_capability" => {
                return Err(ErrorData::missing_required_client_capability(read(json!({"sampling": {}}))?));
            }
            "test_trigger_tool_change" | "test_trigger_prompt_change" => {
                let tools = request.name == "test_trigger_tool_change";
                // Nobody listening is no fault.
                let _ = self.changes.send(if tools { Changed::Tools } else { Changed::Prompts });
                text("told")
            }
            "test_reconnection" | "test_logging_tool" | "test_custom_header" | "json_schema_2020_12_tool" => {
                text("done")
            }
            other => return Err(ErrorData::invalid_params(format!("unknown tool {other}"), None)),
        };
        Ok(result.into())
    }

    async fn log(&self, context: &RequestContext<RoleServer>) -> Result<CallToolResult, ErrorData> {
        for line in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
            let params = read(json!({"level": "info", "logger": "fixtures", "data": line}))?;
            context.peer.notify_logging_message(params).await.map_err(refused)?;
            tokio::time::sleep(STEP).await;
        }
        Ok(text("logged"))
    }

    async fn progress(&self, context: &RequestContext<RoleServer>) -> CallToolResult {
        for done in [0.0, 50.0, 100.0] {
            if let Some(token) = context.meta.get_progress_token() {
                let params = ProgressNotificationParam::new(token, done).with_total(100.0);
                let _ = context.peer.notify_progress(params).await;
            }
            tokio::time::sleep(STEP).await;
        }
        text("done")
    }

    async fn elicit(
        &self,
        context: &RequestContext<RoleServer>,
        message: &str,
        schema: Value,
    ) -> Result<CallToolResult, ErrorData> {
        let params = json!({"mode": "form", "message": message, "requestedSchema": schema});
        let answer = self.ask(context, "elicitation/create", params).await?;
        Ok(text(format!("User response: action={}, content={}", answer["action"], answer["content"])))
    }

    /// A request to the client in the middle of a call, as clients before 2026-07-28 take it.
    async fn ask(
        &self,
        context: &RequestContext<RoleServer>,
        method: &str,
        params: Value,
    ) -> Result<Value, ErrorData> {
        let request: ServerRequest = read(json!({"method": method, "params": params}))?;
        context.peer.send_request(request).await.map(|answer| json!(answer)).map_err(refused)
    }
}

fn refused(error: rmcp::ServiceError) -> ErrorData {
    ErrorData::internal_error(format!("the client did not answer: {error}"), None)
}

impl ServerHandler for Fixtures {
    fn get_info(&self) -> ServerConfig {
        let capabilities = json!({
            "tools": {"listChanged": true}, "prompts": {"listChanged": true},
            "resources": {"subscribe": true}, "completions": {}, "logging": {},
            "extensions": {"io.modelcontextprotocol/tasks": {}}
        });
        ServerConfig::new(read(capabilities).expect("the capabilities"))
            .with_server_info(Implementation::new("codex-worker-fixtures", "0"))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(tools()?))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        tools().ok()?.into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        self.call(&request, &context).await
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let known = ["test://static-text", "test://static-binary", "test://watched-resource"];
        let resources = known.map(|uri| json!({"uri": uri, "name": uri, "description": "A fixture"}));
        complete(json!({ "resources": resources }))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        complete(
            json!({"resourceTemplates": [{"uriTemplate": "test://template/{id}/data", "name": "template"}]}),
        )
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let body = match uri {
            "test://static-text" => json!({"text": "This is the content of the static text resource."}),
            "test://static-binary" => json!({"mimeType": "image/png", "blob": PNG}),
            "test://watched-resource" => json!({"text": "watched"}),
            _ => {
                let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
                let Some(id) = id else {
                    return Err(ErrorData::resource_not_found(
                        "no such resource",
                        Some(json!({ "uri": uri })),
                    ));
                };
                let text = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                json!({"mimeType": "application/json", "text": text.to_string()})
            }
        };
        let result: ReadResourceResult = complete(json!({"contents": [resource(uri, body)]}))?;
        Ok(result.into())
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let argument = |name: &str| json!({"name": name, "description": "A fixture", "required": true});
        let prompt = |name: &str, arguments: &[&str]| {
            let arguments: Vec<Value> = arguments.iter().map(|name| argument(name)).collect();
            json!({"name": name, "description": "A fixture", "arguments": arguments})
        };
        complete(json!({"prompts": [
            prompt("test_simple_prompt", &[]),
            prompt("test_prompt_with_arguments", &["arg1", "arg2"]),
            prompt("test_prompt_with_embedded_resource", &["resourceUri"]),
            prompt("test_prompt_with_image", &[]),
            prompt(rounds::PROMPT, &[]),
        ]}))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if let Some(response) = rounds::prompt(&request)? {
            return Ok(response);
        }
        let arguments = request.arguments.unwrap_or_default();
        let argument =
            |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let say = |line: String| json!({"role": "user", "content": {"type": "text", "text": line}});
        let messages = match request.name.as_str() {
            "test_simple_prompt" => json!([say("This is a simple prompt for testing.".to_owned())]),
            "test_prompt_with_arguments" => {
                let (one, two) = (argument("arg1"), argument("arg2"));
                json!([say(format!("Prompt with arguments: arg1='{one}', arg2='{two}'"))])
            }
            "test_prompt_with_embedded_resource" => {
                let inner = resource(&argument("resourceUri"), json!({"text": "Embedded for a test."}));
                json!([{"role": "user", "content": {"type": "resource", "resource": inner}},
                    say("Please process the embedded resource above.".to_owned())])
            }
            "test_prompt_with_image" => {
                json!([{"role": "user", "content": {"type": "image", "data": PNG, "mimeType": "image/png"}},
                    say("Please analyze the image above.".to_owned())])
            }
            other => return Err(ErrorData::invalid_params(format!("unknown prompt {other}"), None)),
        };
        let result: GetPromptResult = complete(json!({ "messages": messages }))?;
        Ok(result.into())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            let change = tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            // What the client did not ask for is refused by the sink, as it should be.
            let _ = match change {
                Ok(Changed::Tools) => subscription.sink().notify_tool_list_changed().await,
                Ok(Changed::Prompts) => subscription.sink().notify_prompt_list_changed().await,
                Err(_) => return Ok(()),
            };
        }
    }

    async fn set_level(
        &self,
        _: SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        // Removed in 2026-07-28.
        if context.protocol_version().is_some_and(|version| version.as_str() >= "2026-07-28") {
            return Err(ErrorData::method_not_found::<rmcp::model::SetLevelRequestMethod>());
        }
        Ok(())
    }

    async fn subscribe(
        &self,
        _: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        self.tasks.get(&request.task_id).await.map(GetTaskResult::new)
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.update(request).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.tasks.cancel(&request.task_id).await
    }
}
