//! Against a gateway that others wrote: npm `@copilotkit/aimock`, which streams reasoning,
//! text and parallel calls as OpenAI does. AIMOCK_DIR is the directory with its
//! `node_modules`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use config::Endpoint;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Reply, Rig, request};

fn program() -> Option<PathBuf> {
    let dir = std::env::var_os("AIMOCK_DIR").map(PathBuf::from);
    let found = dir.map(|d| d.join("node_modules/@copilotkit/aimock/dist/cli.js")).filter(|p| p.is_file());
    if found.is_none() {
        test_support::missing::tool("with aimock: set AIMOCK_DIR");
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_with_aimock() {
    let Some(program) = program() else { return };
    let dir = tempfile::tempdir().expect("temporary directory");
    let fixtures = json!({"fixtures": [
        {"match": {"userMessage": "look", "hasToolResult": false}, "response": {
            "reasoning": "I look.", "content": "Looking.",
            "toolCalls": [
                {"name": "Bash", "arguments": "{\"command\":\"ls\"}"},
                {"name": "Read", "arguments": "{\"path\":\"a\"}"},
            ],
        }},
        {"match": {"userMessage": "look", "hasToolResult": true}, "response": {"content": "Done."}},
        {"match": {"userMessage": "hurry"}, "response": {"error": {"message": "Slow down", "type": "rate_limit_error"}, "status": 429}},
    ]});
    std::fs::write(dir.path().join("fixtures.json"), fixtures.to_string()).expect("fixtures");
    let mut mock = tokio::process::Command::new("node")
        .arg(&program)
        .args(["-p", "0", "-f"])
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let mut lines = BufReader::new(mock.stdout.take().expect("output")).lines();
    let url = tokio::time::timeout(Duration::from_secs(20), async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((_, url)) = line.split_once("listening on ") {
                return Some(url.trim().to_owned());
            }
        }
        None
    });
    let url = url.await.ok().flatten().expect("aimock listens");
    let rig = Rig::with(
        |_, _| Reply::sse(""),
        |config| {
            config.gateway.primary = Some(Endpoint { base_url: format!("{url}/v1"), api_key: None });
        },
    )
    .await;

    let mut body = request("m", true);
    body["messages"][0]["content"] = json!("look");
    for stream in [true, false] {
        body["stream"] = json!(stream);
        let got = rig.post(&body).await;
        let line = got.render();
        let (blocks, end) = line.split_once(" | =>").expect("an end");
        assert_eq!(
            blocks,
            r#"think "I look." | text "Looking." | Bash "{\"command\":\"ls\"}" | Read "{\"path\":\"a\"}""#
        );
        assert!(end.starts_with(" tool_use "), "{line}");
    }
    body["messages"] = json!([
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "Bash", "input": {"command": "ls"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "a"}]},
    ]);
    assert!(rig.post(&body).await.render().starts_with("text \"Done.\" | => end_turn "));
    assert_eq!(rig.adapter.usage().unmetered, 0, "aimock counts when asked to");

    body["messages"] = json!([{"role": "user", "content": "hurry"}]);
    let got = rig.post(&body).await;
    assert_eq!(got.render(), "429 rate_limit_error: Slow down");
    assert_eq!(got.headers["retry-after"], "1");
    assert_eq!(rig.rows().last().expect("a row")["tries"], 3, "waited and tried again");
}
