//! `stats` over real jobs: by repository, label and model, as a table, JSON, CSV and side by side.

use serde_json::{Value, json};

use crate::support::{Agent, SLUG, World, repair, slug_check};

#[test]
fn what_jobs_cost_and_gave() {
    let mut world = World::new(SLUG, &json!({"turns": repair()}), &Agent::Builtin);
    world.set("WORKER_PRICE_INPUT", "1");
    world.set("WORKER_PRICE_OUTPUT", "2");
    world.set("WORKER_ISOLATION", "worktree");
    let mut server = world.serve();
    for (team, model) in [("web", "cheap"), ("db", "dear")] {
        let job = json!({"labels": {"team": team}, "model": model, "checks": slug_check()});
        assert_eq!(server.run_job(world.job(job))["job_status"], "completed");
    }
    let json = |args: &[&str]| -> Value {
        let (out, err, code) = world.run(&[&["stats", "--json"], args].concat());
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    };
    let labels = json(&["--by", "label"]);
    let web = labels["groups"].as_array().into_iter().flatten().find(|row| row["name"] == "team=web");
    let web = web.unwrap_or_else(|| panic!("{labels}"));
    assert_eq!(
        (web["jobs"].as_u64(), web["completed"].as_u64(), web["passes"].as_u64()),
        (Some(1), Some(1), Some(1))
    );
    assert_eq!((web["requests"].as_u64(), web["retries"].as_u64()), (Some(3), Some(0)), "{web}");
    assert!(web["mutants"].as_u64() > Some(0) && web["mutants"] == web["mutants_killed"], "{web}");
    assert!(web["cost"].as_f64() > Some(0.0) && web["spared_tokens"].as_u64() > Some(1000), "{web}");
    let repositories = json(&["--by", "repository", "--since", "1h"]);
    assert_eq!(repositories["groups"][0]["name"], world.repo.display().to_string(), "{repositories}");
    assert_eq!(repositories["groups"][0]["jobs"], 2);
    assert_eq!(json(&["--since", "2099-01-01"])["groups"], json!([]));

    let (table, _, _) = world.run(&["stats"]);
    assert!(table.contains("cheap") && table.contains('█') && table.contains("100%"), "{table}");
    let (csv, _, _) = world.run(&["stats", "--csv", "--by", "route"]);
    assert!(csv.starts_with("name,jobs,completed,") && csv.contains(" dear,1,1,100,"), "{csv}");
    let (sides, err, code) = world.run(&["stats", "--compare", "model=cheap,dear"]);
    assert!(code == 0 && sides.contains("cost per job") && sides.contains("+0%"), "{sides}{err}");
    let (_, err, code) = world.run(&["stats", "--compare", "model=cheap,daer"]);
    assert!(code == 4 && err.contains("did you mean dear?"), "{err}");
}
