//! Measures false alarms: judges each commit of a repository, or a diff on standard input, as
//! an honest job with the whole tree in scope, and prints what is found.
//!
//! `cargo run -p codex-worker-integrity --example honest -- REPOSITORY [COMMITS]`

#![allow(clippy::print_stdout, reason = "an example")]

use std::io::Read as _;
use std::process::Command;

use codex_worker_integrity::{Config, Integrity};
use codex_worker_policy::{
    AgentOutcome, ChangeKind, ChangeSet, ChangedFile, FileKind, Finding, JobFacts, Severity, Verifier,
    VerifyInput,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let git = |args: &[&str]| {
        let out = Command::new("git").arg("-C").arg(&arguments[0]).args(args).output().expect("git runs");
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    if arguments.is_empty() {
        let mut diff = Vec::new();
        std::io::stdin().read_to_end(&mut diff).expect("a diff");
        print("stdin", &judge(&String::from_utf8_lossy(&diff), "change it"));
        return;
    }
    let count = arguments.get(1).map_or("1000", String::as_str);
    let (mut commits, mut denied, mut warned) = (0, 0, 0);
    for line in git(&["log", "--no-merges", "--format=%h %s", "-n", count]).lines() {
        let (id, subject) = line.split_once(' ').unwrap_or((line, ""));
        let diff = git(&["show", "--format=", "-M", "--diff-merges=off", id]);
        if diff.trim().is_empty() {
            continue;
        }
        let findings = judge(&diff, subject);
        commits += 1;
        denied += u32::from(findings.iter().any(|f| f.severity == Severity::Deny));
        warned += u32::from(!findings.is_empty());
        print(id, &findings);
    }
    println!("{commits} commits: {denied} denied, {warned} with any finding");
}

fn print(what: &str, findings: &[Finding]) {
    for f in findings {
        let severity = if f.severity == Severity::Deny { "deny" } else { "warn" };
        let line = f.line.map(|line| format!(":{line}")).unwrap_or_default();
        println!("{what} {severity} {} {}{line} {}", f.rule, f.path.as_deref().unwrap_or("-"), f.message);
    }
}

fn judge(diff: &str, task: &str) -> Vec<Finding> {
    let input = VerifyInput {
        agent: AgentOutcome { tool_calls: 3, ..AgentOutcome::completed("Changed as asked.") },
        ..VerifyInput::new(JobFacts::new(task).scope(["."]), changes(diff))
    };
    Integrity::try_from(Config::default()).expect("the defaults are good").verify(&input)
}

/// Reads what `git diff -M` prints.
fn changes(diff: &str) -> ChangeSet {
    let mut files = Vec::new();
    for part in format!("\n{diff}").split("\ndiff --git ").skip(1) {
        let (head, patch) = part.find("\n@@").map_or((part, ""), |at| (&part[..at], &part[at + 1..]));
        let value = |key: &str| head.lines().find_map(|line| line.strip_prefix(key)).map(str::to_string);
        let Some(path) = head.lines().next().and_then(|line| line.split(" b/").nth(1)) else { continue };
        let file = ChangedFile { size: 100, ..ChangedFile::modified(path).patch(patch) };
        files.push(if value("new file mode ").is_some() {
            ChangedFile { kind: ChangeKind::Added, old_kind: FileKind::Absent, ..file }
        } else if value("deleted file mode ").is_some() {
            ChangedFile { kind: ChangeKind::Deleted, new_kind: FileKind::Absent, size: 0, ..file }
        } else if let Some(old) = value("rename from ") {
            ChangedFile { kind: ChangeKind::Renamed, old_path: Some(old), ..file }
        } else {
            file
        });
    }
    ChangeSet::of(files)
}
