//! Start of `codex-worker mcp`: from the spawn to the answer of `initialize`, beside the
//! spawn of `git --version` in the same run, and the resident memory after it.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const RUNS: usize = 30;
const INITIALIZE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","#,
    r#""capabilities":{},"clientInfo":{"name":"bench","version":"0"}}}"#
);

fn main() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut starts, mut gits, mut resident) = (Vec::new(), Vec::new(), 0);
    for _ in 0..RUNS {
        let began = Instant::now();
        let mut server = Command::new(env!("CARGO_BIN_EXE_codex-worker"))
            .arg("mcp")
            .env("CODEX_WORKER_HOME", home.path())
            .env("SANDBOX_ROOT", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("codex-worker starts");
        let mut input = server.stdin.take().expect("its input");
        writeln!(input, "{INITIALIZE}").expect("it reads");
        let mut line = String::new();
        BufReader::new(server.stdout.take().expect("its output")).read_line(&mut line).expect("its answer");
        starts.push(began.elapsed());
        assert!(line.contains("\"result\""), "{line}");
        resident = resident.max(resident_kib(server.id()));
        drop(input);
        server.wait().expect("it ends at the end of its input");

        let began = Instant::now();
        Command::new("git").arg("--version").stdout(Stdio::null()).status().expect("git runs");
        gits.push(began.elapsed());
    }
    let (start, git) = (median(&mut starts), median(&mut gits));
    println!("spawn to initialize answer   min {:?}, median {start:?} of {RUNS}", starts[0]);
    println!("spawn of `git --version`     min {:?}, median {git:?}", gits[0]);
    println!("ratio of the medians         {:.1}", start.as_secs_f64() / git.as_secs_f64());
    println!("resident after initialize    {resident} KiB at most");
}

/// The median; sorts on the way.
fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|n| n.parse().ok()).unwrap_or(0)
}
