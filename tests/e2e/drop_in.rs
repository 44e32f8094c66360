//! A policy is dropped into the plugins directory of a running server: the next job is
//! judged by it, and the one after its removal is not.

use serde_json::{Value, json};

use crate::support::{Agent, Client, SLUG, World, repair, slug_check};

const CHANGELOG: &[u8] = include_bytes!("../fixtures/plugins/changelog-v0.1.wasm");

fn judged(world: &World, server: &mut Client) -> Value {
    server.run_job(world.job(json!({"checks": slug_check(), "isolation": "worktree"})))
}

#[test]
fn a_component_dropped_in_judges_the_next_job() {
    let world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let mut server = world.serve();
    let plugins = world.home.join("plugins");

    let before = judged(&world, &mut server);
    assert_eq!(before["job_status"], "completed", "{before}");

    std::fs::create_dir_all(&plugins).expect("the plugins directory");
    std::fs::write(plugins.join("changelog.wasm"), CHANGELOG).expect("the component");
    let with = judged(&world, &mut server);
    assert!(with["policies"].to_string().contains("changelog@"), "{with}");
    assert_eq!(with["job_status"], "failed", "src changed and CHANGELOG.md did not: {with}");
    assert_eq!(with["failure"]["kind"], "policy_denied", "{with}");
    assert!(with["failure"]["message"].to_string().to_lowercase().contains("changelog"), "{with}");

    std::fs::remove_file(plugins.join("changelog.wasm")).expect("the component goes");
    let after = judged(&world, &mut server);
    assert_eq!(after["job_status"], "completed", "{after}");
}

#[test]
fn a_corrupt_component_fails_jobs_closed_and_says_why() {
    let world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let mut server = world.serve();
    let plugins = world.home.join("plugins");
    std::fs::create_dir_all(&plugins).expect("the plugins directory");
    std::fs::write(plugins.join("changelog.wasm"), &CHANGELOG[..CHANGELOG.len() / 2])
        .expect("half a component");
    let result = judged(&world, &mut server);
    assert_eq!(result["job_status"], "failed", "{result}");
    assert_eq!(result["failure"]["kind"], "policy_broken", "{result}");
    assert!(result["failure"]["message"].to_string().contains("changelog.wasm"), "{result}");
}
