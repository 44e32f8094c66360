//! When a job ends: the command and the webhook of the settings are told, and only of the jobs
//! that the settings name.

use serde_json::{Value, json};
use test_support::http::{Reply, Upstream};

use crate::support::{Agent, GATEWAY_KEY, SLUG, World, repair, slug_check, until};

#[test]
fn the_command_and_the_webhook_are_told() {
    let mut world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let told = world.home.parent().expect("a parent").join("told.json");
    // Its server is out for a moment.
    let hook = Upstream::start_in_thread(|n, _| Reply::json(if n == 0 { 503 } else { 200 }, "{}"));
    world.set("WORKER_NOTIFY_COMMAND", &format!("cat > '{0}.part' && mv '{0}.part' '{0}'", told.display()));
    world.set("WORKER_NOTIFY_WEBHOOKS", &format!("{}/hook/secret-path", hook.url));
    world.set("WORKER_NOTIFY_SECRET", "signing-secret-1");
    world.set("WORKER_NOTIFY_LABELS", "team=web");
    // A private address is refused until it is allowed.
    let (_, err, code) = world.run(&["notify"]);
    assert!(code == 6 && err.contains("not told: 127.0.0.1: it is not https://"), "{err}");
    assert!(!err.contains("secret-path"), "{err}");
    assert!(hook.seen().is_empty());
    world.set("WORKER_NOTIFY_PRIVATE", "1");
    std::fs::remove_file(&told).expect("the command was told");

    let mut server = world.serve();
    let other = server.run_job(world.job(json!({"labels": {"team": "db"}, "checks": slug_check()})));
    assert_eq!(other["job_status"], "completed", "{other}");
    let result = server.run_job(world.job(json!({"labels": {"team": "web"}})));
    until("the command is told", || told.is_file());
    until("the webhook is told, the second time", || hook.seen().len() >= 2);
    let event: Value = serde_json::from_slice(&std::fs::read(&told).expect("it")).expect("JSON");
    assert_eq!(
        (event["event"].as_str(), &event["labels"]["team"]),
        (Some("job_ended"), &json!("web")),
        "{event}"
    );
    assert_eq!(event["job_status"], result["job_status"]);
    assert_eq!(event["result"]["summary"], result["summary"], "{event}");
    assert!(!event.to_string().contains(GATEWAY_KEY));
    let seen = &hook.seen()[1];
    assert_eq!(seen.body, event);
    assert!(seen.head.contains("x-codex-worker-signature: sha256="), "{}", seen.head);
    assert!(seen.head.contains("x-codex-worker-timestamp: 1"), "{}", seen.head);
    assert!(hook.seen().iter().all(|seen| seen.body["labels"]["team"] == "web"));
}
