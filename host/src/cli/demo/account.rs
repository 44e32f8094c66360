//! `codex-worker demo --account`: three scripted jobs of real size, and for each what Codex
//! received (the replies to `start` and `wait`) against what the agent moved and against the
//! full diff and check logs.

use std::io::Write as _;
use std::path::Path;

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::{Played, Progress, Script, Setting, failed, play};
use model::error::{Error, Kind, Result};

/// Plays the three jobs and prints the table.
pub(super) async fn run(shown: &Progress, setting: &Setting) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "job",
        "agent moved",
        "diff + logs",
        "Codex got",
        "tokens",
        "saved, transcript",
        "saved, diff + logs",
    ]);
    let (mut ended_badly, mut missed) = (Vec::new(), Vec::new());
    for script in [bug_in_a_large_repository(), repair_loop(), refactoring()] {
        let name = script.name.clone();
        let played = play(shown, setting, script).await?;
        let full = evidence_bytes(&played.artifacts);
        let saved = |of: u64| if of == 0 { 0.0 } else { 100.0 * (1.0 - played.received as f64 / of as f64) };
        table.add_row([
            name.clone(),
            format!("{} B", played.moved),
            format!("{full} B"),
            format!("{} B", played.received),
            // Four bytes a token, as everywhere where no tokenizer is asked.
            format!("about {}", played.received / 4),
            format!("{:.1} %", saved(played.moved)),
            format!("{:.1} %", saved(full)),
        ]);
        if saved(played.moved) < 95.0 || saved(full) < 80.0 {
            missed.push(name.clone());
        }
        if played.result["job_status"] != "completed" {
            ended_badly.push(format!("{name} ended {}", played.result["job_status"]));
        }
        keep(played, shown, setting.keep);
    }
    for column in 1..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    writeln!(std::io::stdout().lock(), "{table}").map_err(|e| failed("write the table", e))?;
    if !missed.is_empty() {
        ended_badly.push(format!("95 % and 80 % were not reached by {}", missed.join(", ")));
    }
    if ended_badly.is_empty() { Ok(()) } else { Err(Error::new(Kind::Internal, ended_badly.join("; "))) }
}

fn keep(played: Played, shown: &Progress, keep: bool) {
    if keep {
        shown.say(&format!("kept        {}", played.dir.keep().display()));
    }
}

/// Bytes of the diff and of every check log that the host kept.
fn evidence_bytes(artifacts: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![artifacts.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "log" || e == "patch") {
                bytes += entry.metadata().map(|m| m.len()).unwrap_or(0);
            }
        }
    }
    bytes
}

const MODULES: usize = 220;

/// A repository of shell modules with one test each; `broken` modules give a wrong sum.
fn repository(broken: &[usize]) -> Vec<(String, String)> {
    let mut files = vec![
        ("README.md".to_owned(), "# sums\nOne function a module.\n".to_owned()),
        ("tests/run.sh".to_owned(), RUNNER.to_owned()),
    ];
    for n in 0..MODULES {
        let operator = if broken.contains(&n) { "-" } else { "+" };
        let mut text = format!("# Module {n:03}: adds {n} to its argument.\n");
        for line in 0..24 {
            text.push_str(&format!(
                "# note {line}: callers pass one decimal number without a sign, and read one back.\n"
            ));
        }
        text.push_str(&format!("sum_{n:03}() {{\n    echo $(($1 {operator} {n}))\n}}\n"));
        files.push((format!("src/m{n:03}.sh"), text));
    }
    files
}

/// Sources every module, calls each and prints TAP.
const RUNNER: &str = include_str!("run_all.sh");

fn fix(n: usize) -> Value {
    json!({"edit": {"path": format!("src/m{n:03}.sh"), "old": format!("$1 - {n}"), "new": format!("$1 + {n}")}})
}

fn read(n: usize) -> Value {
    json!({"read": {"path": format!("src/m{n:03}.sh")}})
}

fn job(prompt: &str, passes: u32) -> Value {
    json!({
        "prompt": prompt,
        "scoped_patch": {"paths": ["src"]},
        "checks": [{"name": "unit tests", "command": "sh tests/run.sh"}],
        "auto_revise": {"max_passes": passes},
        "isolation": "worktree",
    })
}

fn script(name: &str, files: Vec<(String, String)>, turns: Vec<Value>, job: Value) -> Script {
    // `wait` gives the whole result: a planner has no reason to ask again.
    let scenario = json!({"turns": turns}).to_string();
    Script { name: name.to_owned(), files, scenario, job, look_again: false }
}

fn bug_in_a_large_repository() -> Script {
    let mut turns =
        vec![json!({"say": "I run the tests.", "tools": [{"run": {"command": "sh tests/run.sh"}}]})];
    for n in [115, 116, 117, 118] {
        turns.push(json!({"tools": [read(n)]}));
    }
    turns.push(json!({"tools": [fix(117)]}));
    turns.push(json!({"tools": [{"run": {"command": "sh tests/run.sh"}}]}));
    turns.push(json!({"say": "Module 117 subtracted; it adds now."}));
    script("bug", repository(&[117]), turns, job("One test fails. Find the bug and fix it.", 0))
}

fn repair_loop() -> Script {
    let broken = [20, 90, 160];
    let mut turns = Vec::new();
    for n in broken {
        turns.push(json!({"tools": [{"run": {"command": "sh tests/run.sh"}}]}));
        turns.push(json!({"tools": [read(n)]}));
        turns.push(json!({"tools": [fix(n)]}));
        turns.push(json!({"say": format!("Module {n:03} adds now.")}));
    }
    script("repair", repository(&broken), turns, job("Some tests fail. Make all of them pass.", 3))
}

fn refactoring() -> Script {
    let mut turns = Vec::new();
    // Each turn renames in one module and reads the next.
    let mut tools = vec![read(40)];
    for n in 40..72 {
        turns.push(json!({"tools": tools}));
        tools = vec![json!({"edit": {"path": format!("src/m{n:03}.sh"),
            "old": format!("sum_{n:03}()"), "new": format!("total_{n:03}()")}})];
        if n < 71 {
            tools.push(read(n + 1));
        }
    }
    turns.push(json!({"tools": tools}));
    turns.push(json!({"tools": [{"run": {"command": "sh tests/run.sh"}}]}));
    turns.push(json!({"say": "Modules 040 to 071 export total_NNN instead of sum_NNN."}));
    script("refactor", repository(&[]), turns, job("Rename sum_NNN to total_NNN in modules 040 to 071.", 0))
}
