//! Budgets in money: a job that would cost more ends with what it has, jobs at once do not
//! overspend together, and nothing starts whose price nobody knows.

use serde_json::{Value, json};

use crate::support::{Agent, SLUG, World, repair, slug_check};

/// A price at which one request of these tests reserves some hundredths and costs less.
fn priced(turns: Value) -> World {
    let mut world = World::new(SLUG, &json!({"turns": turns}), &Agent::Builtin);
    world.set("WORKER_PRICE_INPUT", "10");
    world.set("WORKER_PRICE_OUTPUT", "10");
    world
}

/// Reads for ever.
fn endless() -> Value {
    json!([{"say": "I look.", "tools": [{"read": {"path": "src/slug.sh"}}]}])
}

fn spent(world: &World, scope: &str) -> f64 {
    let db = rusqlite::Connection::open(world.home.join("jobs.db")).expect("the store");
    let sum =
        db.query_row("SELECT SUM(nanos) FROM spent WHERE scope LIKE ?1", [format!("{scope}%")], |row| {
            row.get(0)
        });
    sum.unwrap_or(0) as f64 / 1e9
}

#[test]
fn a_job_over_its_money_ends_as_budget_with_what_it_has() {
    let mut turns = repair();
    turns.pop();
    turns.extend(
        (0..40).map(|n| json!({"say": format!("Again {n}."), "tools": [{"read": {"path": "README.md"}}]})),
    );
    let world = priced(json!(turns));
    let mut server = world.serve();
    let result = server.run_job(world.job(json!({"checks": slug_check(), "max_cost": 0.6})));
    assert_eq!(
        (result["job_status"].as_str(), result["failure"]["kind"].as_str()),
        (Some("failed"), Some("budget")),
        "{result}"
    );
    let message = result["failure"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("the budget of 0.60 for this job is used up"), "{message}");
    assert!(result["failure"]["hint"].as_str().is_some_and(|hint| hint.contains("max_cost")), "{result}");
    assert_eq!(result["changed_files"], json!(["src/slug.sh"]), "it keeps what it has: {result}");
    let cost = spent(&world, "job ");
    assert!(cost > 0.2 && cost <= 0.6, "{cost}");
    let list: Value = serde_json::from_str(&world.run(&["jobs", "list", "--json"]).0).expect("JSON");
    let id = list[0]["job_id"].as_str().expect("a job").to_owned();
    let (events, _, _) = world.run(&["jobs", "tail", &id, "-n", "400"]);
    assert!(events.contains("the next request may cost"), "{events}");
    let (rows, _, _) = world.run(&["stats", "--by", "job", "--json"]);
    assert!(rows.contains(&id), "{rows}");
}

#[test]
fn ten_jobs_at_once_do_not_overspend_the_day_together() {
    let mut world = priced(endless());
    world.set("WORKER_BUDGET_DAY", "0.6");
    world.set("WORKER_ISOLATION", "worktree");
    world.set("MAX_RUNNING_JOBS", "10");
    let mut server = world.serve();
    let mut jobs = Vec::new();
    for n in 0..10 {
        let started = server
            .call("start", world.job(json!({"prompt": format!("Look {n}."), "labels": {"team": "web"}})));
        match started.data["job_id"].as_str() {
            Some(id) => jobs.push(id.to_owned()),
            // The first ones were quicker.
            None => assert!(started.text.contains("is used up"), "{}", started.text),
        }
    }
    for job in &jobs {
        let result = server.finish(job);
        assert_eq!(result["failure"]["kind"], "budget", "{result}");
    }
    let day = spent(&world, "day ");
    assert!(day > 0.2 && day <= 0.6, "{day}");
    // What the gateway was asked for costs what was counted.
    let (rows, _, _) = world.run(&["stats", "--json"]);
    let rows: Value = serde_json::from_str(&rows).expect("JSON");
    let counted: f64 =
        rows["groups"].as_array().into_iter().flatten().filter_map(|row| row["cost"].as_f64()).sum();
    assert!(counted <= day + 1e-6, "{counted} of {day}");
    let late = server.run_job(world.job(json!({})));
    assert!(late["failure"]["message"].as_str().is_some_and(|text| text.contains("for the day ")), "{late}");
}

#[test]
fn what_cannot_be_paid_does_not_start() {
    let mut world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    let refused = |world: &World, extra: Value| {
        let reply = world.serve().call("start", world.job(extra));
        assert!(reply.is_error, "{}", reply.data);
        reply.text
    };
    let unknown = refused(&world, json!({"max_cost": 1}));
    assert!(unknown.contains("the price of scripted-coder is not known"), "{unknown}");
    assert!(unknown.contains("WORKER_PRICE_INPUT"), "{unknown}");
    world.set("WORKER_PRICE_INPUT", "1");
    assert!(refused(&world, json!({"max_cost": 1})).contains("is not known"), "one price alone is none");
    world.set("WORKER_PRICE_OUTPUT", "1");
    world.set("WORKER_MAX_COST", "0.5");
    assert!(refused(&world, json!({"max_cost": 1})).contains("this host allows 0.50 a job"));
    assert!(refused(&world, json!({"max_cost": 0})).contains("which is no amount"));
    world.set("WORKER_BUDGET_LABELS", "team=web");
    let (_, err, code) = world.run(&["config", "show"]);
    assert!(code == 3 && err.contains("name=value:amount"), "{err}");
    world.set("WORKER_BUDGET_LABELS", "team=web:0");
    let label = refused(&world, json!({"labels": {"team": "web"}}));
    assert!(label.contains("for team=web on ") && label.contains("is used up"), "{label}");
    let done = world.serve().run_job(world.job(json!({"labels": {"team": "db"}, "checks": slug_check()})));
    assert_eq!(done["job_status"], "completed", "{done}");
}
