//! Fixtures that ask the client back inside the result (2026-07-28): what is still missing
//! is asked for, and the state that a client hands back is signed.

use ring::hmac;
use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorData, GetPromptRequestParams, GetPromptResponse,
    GetPromptResult, InputRequiredResult, InputResponses,
};
use rmcp::service::RequestContext;
use serde_json::{Value, json};

use crate::fixtures::{complete, read, text};

pub const PROMPT: &str = "test_input_required_result_prompt";
pub const TOOLS: &[&str] = &[
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
];

/// A form with one field.
pub fn form(message: &str, field: &str, kind: &str) -> Value {
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": {
        "type": "object", "properties": {field: {"type": kind}}, "required": [field]}}})
}

fn question(prompt: &str) -> Value {
    json!({"method": "sampling/createMessage", "params": {
        "messages": [{"role": "user", "content": {"type": "text", "text": prompt}}], "maxTokens": 100}})
}

fn roots() -> Value {
    json!({"method": "roots/list", "params": {}})
}

/// A result that asks for all of `requests`.
pub fn ask(requests: Value, state: Option<String>) -> Result<InputRequiredResult, ErrorData> {
    let mut result = json!({"resultType": "input_required", "inputRequests": requests});
    if let Some(state) = state {
        result["requestState"] = state.into();
    }
    read(result)
}

/// The answer of that key, if it is an object as every answer is.
pub fn answer<'a>(responses: &'a Option<InputResponses>, key: &str) -> Option<&'a Value> {
    responses.as_ref()?.get(key).filter(|value| value.is_object())
}

fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, b"the key of these fixtures")
}

fn sealed(state: &str) -> String {
    let tag = hmac::sign(&key(), state.as_bytes());
    let digits: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{state}.{digits}")
}

/// What was sealed; an error for anything else.
fn opened(state: &str) -> Result<String, ErrorData> {
    let inner = state.rsplit_once('.').map(|(inner, _)| inner).unwrap_or_default();
    if sealed(inner) == state {
        return Ok(inner.to_owned());
    }
    Err(ErrorData::invalid_params("requestState was not made by this server", None))
}

/// The tools of [`TOOLS`].
pub fn call(
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<Option<CallToolResponse>, ErrorData> {
    let given = &request.input_responses;
    let state = request.request_state.as_deref().map(opened).transpose()?;
    let name = form("What is your name?", "name", "string");
    let response: CallToolResponse = match request.name.as_ref() {
        "test_input_required_result_elicitation" | "test_streaming_elicitation" => {
            match answer(given, "user_name") {
                Some(answer) => text(format!("Hello, {}!", answer["content"]["name"])).into(),
                None => ask(json!({ "user_name": name }), None)?.into(),
            }
        }
        "test_input_required_result_sampling" => match answer(given, "capital_question") {
            Some(answer) => text(answer["content"]["text"].to_string()).into(),
            None => {
                ask(json!({"capital_question": question("What is the capital of France?")}), None)?.into()
            }
        },
        "test_input_required_result_list_roots" => match answer(given, "client_roots") {
            Some(answer) => text(format!("roots: {}", answer["roots"])).into(),
            None => ask(json!({"client_roots": roots()}), None)?.into(),
        },
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            match (answer(given, "confirm"), state) {
                (Some(_), Some(_)) => text("state-ok").into(),
                _ => {
                    let confirm = form("Please confirm", "ok", "boolean");
                    ask(json!({ "confirm": confirm }), Some(sealed("confirm")))?.into()
                }
            }
        }
        "test_input_required_result_multiple_inputs" => {
            let keys = ["user_name", "greeting", "client_roots"];
            if state.is_some() && keys.iter().all(|key| answer(given, key).is_some()) {
                text("all three came").into()
            } else {
                let requests = json!({"user_name": name, "greeting": question("Generate a greeting"), "client_roots": roots()});
                ask(requests, Some(sealed("multiple")))?.into()
            }
        }
        "test_input_required_result_multi_round" => match state.as_deref() {
            Some("second") if answer(given, "step2").is_some() => text("both steps came").into(),
            Some("first") if answer(given, "step1").is_some() => {
                let step = form("Step 2: What is your favorite color?", "color", "string");
                ask(json!({ "step2": step }), Some(sealed("second")))?.into()
            }
            _ => {
                let step = form("Step 1: What is your name?", "name", "string");
                ask(json!({ "step1": step }), Some(sealed("first")))?.into()
            }
        },
        "test_input_required_result_capabilities" => {
            let client = json!(context.client_capabilities());
            let mut requests = json!({});
            for (capability, key, request) in [
                ("elicitation", "user_name", name),
                ("sampling", "greeting", question("Generate a greeting")),
                ("roots", "client_roots", roots()),
            ] {
                if client.get(capability).is_some_and(|value| !value.is_null()) {
                    requests[key] = request;
                }
            }
            ask(requests, None)?.into()
        }
        _ => return Ok(None),
    };
    Ok(Some(response))
}

/// The prompt that asks.
pub fn prompt(request: &GetPromptRequestParams) -> Result<Option<GetPromptResponse>, ErrorData> {
    if request.name != PROMPT {
        return Ok(None);
    }
    let Some(answer) = answer(&request.input_responses, "user_context") else {
        let wanted = form("What context should the prompt use?", "context", "string");
        return Ok(Some(ask(json!({ "user_context": wanted }), None)?.into()));
    };
    let line = format!("In the context of {}", answer["content"]["context"]);
    let result: GetPromptResult =
        complete(json!({"messages": [{"role": "user", "content": {"type": "text", "text": line}}]}))?;
    Ok(Some(result.into()))
}
