//! `watch` in a real terminal: keys, a job opened, a cancel, an end that leaves the terminal as it
//! was; and its lines.

use std::process::Command;
use std::time::{Duration, Instant};

use job::sqlite::SqliteStore;
use job::store::JobStore;
use model::status::JobStatus;
use serde_json::json;
use test_support::missing;

use crate::serve::{artifact, ended, result, spec};
use crate::support::{Agent, BIN, GATEWAY_KEY, World};

/// A terminal of 80 columns and 24 rows.
struct Terminal {
    name: String,
}

impl Terminal {
    fn start(world: &World, command: &str) -> Terminal {
        let name = format!("codex-worker-{}", std::process::id());
        let terminal = Terminal { name };
        let environment = ["CODEX_WORKER_HOME", "SANDBOX_ROOT", "ONEAPI_API_KEY"]
            .map(|n| format!("{n}='{}'", world.value(n)));
        let line = format!("{} MAX_RUNNING_JOBS=1 {command}", environment.join(" "));
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "sh"]);
        terminal.tmux(&["send-keys", &line, "Enter"]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let out = Command::new("tmux").arg("-L").arg(&self.name).args(arguments).output().expect("tmux runs");
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// What is on the screen once `text` is.
    fn shows(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let screen = self.tmux(&["capture-pane", "-p", "-e"]);
            if screen.contains(text) {
                return screen;
            }
            assert!(Instant::now() < deadline, "the terminal never shows {text:?}:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn world() -> World {
    World::new(&[("a.txt", "a\n")], &json!({"turns": [{"say": "unused"}]}), &Agent::Builtin)
}

#[test]
fn jobs_are_watched_and_cancelled_in_a_terminal() {
    if Command::new("tmux").arg("-V").output().is_err() {
        missing::tool("watch in a terminal: install tmux");
        return;
    }
    let world = world();
    let evil = format!("\x1b]0;title\x07\x1b[31m\u{202e}{GATEWAY_KEY} done");
    let done = ended(
        &world,
        &spec("Round the totals", world.repo.clone()),
        &result(JobStatus::Completed),
        &[("tool", &evil)],
    );
    artifact(
        &world,
        &done,
        "diff.patch",
        "diff --git a/a.rs b/a.rs\n--- a/a.rs\n+++ b/a.rs\n@@ -1 +1 @@\n-old\n+new\n",
    );
    let finding = json!({"rule": "weaker", "severity": "warn", "message": "m", "path": "a.rs", "line": 1, "remedy": "compare again"});
    artifact(
        &world,
        &done,
        "findings.json",
        &json!([{"source": "verifier", "broken": false, "by": "p@1", "finding": finding}]).to_string(),
    );
    // Held elsewhere, so that no worker of ours takes what is queued.
    let store = SqliteStore::open(&world.home).expect("the store");
    store.enqueue(&spec("Held elsewhere", world.repo.clone())).expect("a job");
    store.claim("elsewhere", 1, Duration::from_secs(600)).expect("a claim").expect("the job");
    let queued = store.enqueue(&spec("To be cancelled", world.repo.clone())).expect("a job").id;
    let terminal = Terminal::start(&world, &format!("{BIN} watch"));
    let screen = terminal.shows("3 jobs");
    assert!(screen.contains("Round the totals") && screen.contains("To be cancelled"), "{screen}");
    terminal.keys(&["c", "y"]);
    terminal.shows("is cancelled");
    assert_eq!(store.get(&queued).expect("the job").status, JobStatus::Cancelled);
    terminal.keys(&["/"]);
    terminal.keys(&["totals", "Enter"]);
    terminal.shows("search: totals");
    terminal.keys(&["Enter"]);
    let screen = terminal.shows("Esc back");
    assert!(
        !screen.contains(GATEWAY_KEY) && !screen.contains('\u{202e}') && screen.contains("done"),
        "{screen}"
    );
    terminal.keys(&["3"]);
    terminal.shows("remedy: compare again");
    terminal.keys(&["4"]);
    let coloured = terminal.shows("+new");
    assert!(coloured.contains("\x1b[32m+new"), "{coloured:?}");
    terminal.keys(&["q"]);
    terminal.shows("search: totals");
    terminal.keys(&["q"]);
    terminal.keys(&["clear; stty -a", "Enter"]);
    let screen = terminal.shows("icanon");
    assert!(screen.contains(" echo ") && screen.contains(" icanon "), "the terminal is as it was: {screen}");
    terminal.keys(&[
        &format!("clear; NO_COLOR=1 CODEX_WORKER_HOME={} {BIN} watch", world.home.display()),
        "Enter",
    ]);
    let plain = terminal.shows("3 jobs");
    let colours = ["31", "32", "33", "36", "90"].map(|code| format!("\x1b[{code}m"));
    assert!(colours.iter().all(|colour| !plain.contains(colour)), "{plain:?}");
}

#[test]
fn lines_instead_of_a_screen() {
    let world = world();
    ended(&world, &spec("Round the totals", world.repo.clone()), &result(JobStatus::Completed), &[]);
    let (stdout, _, code) = world.run(&["watch", "--plain", "--once"]);
    assert!(code == 0 && stdout.contains("completed: Round the totals"), "{stdout}");
    let (_, stderr, code) = world.run(&["watch"]);
    assert!(code == 2 && stderr.contains("watch --plain"), "{stderr}");
}
