//! What a person may pick from a client's menu: one prompt that tells the planner how to
//! hand a task over and what to look at afterwards. Decides nothing and calls nothing.

use rmcp::model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role};
use serde_json::Value;

use config::nearest;
use model::error::{Error, Kind, Result};

const DELEGATE: &str = "delegate";
/// Name, what it is, whether it must be given.
const ARGUMENTS: [(&str, &str, bool); 3] = [
    ("task", "What is to be done", true),
    ("paths", "Where it may write, such as src", false),
    ("check", "A command that must pass, such as cargo test", false),
];

/// The prompts, in a stable order.
pub(super) fn list() -> Vec<Prompt> {
    let arguments = ARGUMENTS
        .map(|(name, what, required)| {
            PromptArgument::new(name).with_description(what).with_required(required)
        })
        .to_vec();
    vec![Prompt::new(DELEGATE, Some("Hand a coding task to the background agent"), Some(arguments))]
}

/// One prompt with its arguments filled in.
pub(super) fn get(name: &str, arguments: &JsonObject) -> Result<GetPromptResult> {
    if name != DELEGATE {
        return Err(Error::new(Kind::Usage, format!("there is no prompt {name:?}"))
            .hint(format!("the only one is {DELEGATE}")));
    }
    for key in arguments.keys() {
        if !ARGUMENTS.iter().any(|(known, ..)| known == key) {
            let error = Error::new(Kind::Usage, format!("unknown argument {key}"));
            return Err(match nearest(key, ARGUMENTS.map(|(known, ..)| known)) {
                Some(meant) => error.hint(format!("did you mean {meant}?")),
                None => error.hint("known are task, paths, check"),
            });
        }
    }
    let given =
        |key: &str| arguments.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    let Some(task) = given("task") else {
        return Err(Error::new(Kind::Usage, "task is missing").hint("say what is to be done"));
    };
    let mut text =
        format!("Hand this task to codex-worker: {task}\n\nCall start with a prompt complete in itself");
    match given("paths") {
        Some(paths) => text.push_str(&format!(", scoped_patch.paths = {paths}")),
        None => text.push_str(", scoped_patch.paths as narrow as the task allows"),
    }
    match given("check") {
        Some(check) => text.push_str(&format!(" and the check `{check}`")),
        None => text.push_str(" and the project's own test command as a check"),
    }
    text.push_str(
        "; then wait. Judge by job_status, checks and changed_files; ask for the diff only if they leave a doubt. \
         Follow next_action.",
    );
    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn got(arguments: Value) -> String {
        let Value::Object(arguments) = arguments else { panic!("an object") };
        match get(DELEGATE, &arguments) {
            Ok(result) => {
                json!(result)["messages"][0]["content"]["text"].as_str().unwrap_or_default().to_owned()
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn arguments_are_filled_in_or_refused() {
        let full = got(json!({"task": "fix slug()", "paths": "src", "check": "sh tests/run.sh"}));
        for part in ["fix slug()", "scoped_patch.paths = src", "`sh tests/run.sh`"] {
            assert!(full.contains(part), "{full}");
        }
        assert!(got(json!({"task": "x"})).contains("as narrow as the task allows"));
        assert_eq!(got(json!({"task": " "})), "task is missing\nhint: say what is to be done");
        assert_eq!(
            got(json!({"task": "x", "chek": "y"})),
            "unknown argument chek\nhint: did you mean check?"
        );
        let error = get("other", &JsonObject::new()).expect_err("no such prompt").to_string();
        assert_eq!(error, "there is no prompt \"other\"\nhint: the only one is delegate");
    }
}
