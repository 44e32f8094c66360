//! What policies cost: loading all shipped ones cold, from the compile cache and in a new
//! process; how far a deadline overshoots; a warm call of each; the rate of redaction.
//! `cargo bench --bench policy`.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::{Duration, Instant};

use model::types::RedactInput;
use policy::ask::OwnedQuestion;
use policy::inspect::Interface;
use policy::limits::Limits;
use policy::plugin::{Origin, Plugin, Prepared, Table};
use policy::{PolicySet, Settings, engine::Runtime, lock::Mode, record::digest, shipped};

#[path = "../crates/policy/src/tests/guest.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod guest;

/// Given to a child process: load everything from this cache, say so, and end.
const READY: &str = "--ready-from-cache";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == READY) {
        let cache = arguments.get(at + 1).map(Into::into);
        let set = PolicySet::load(&Settings { cache_dir: cache, ..Settings::default() });
        assert!(set.broken().is_empty(), "{:?}", set.broken());
        println!("ready");
        #[expect(clippy::disallowed_methods, reason = "dropping engines is not part of being ready")]
        std::process::exit(0);
    }
    let directory = std::env::temp_dir().join(format!("codex-worker-bench-{}", std::process::id()));
    let settings = Settings { cache_dir: Some(directory.join("cache")), ..Settings::default() };

    let (cold, set) = timed(|| PolicySet::load(&settings));
    println!("load of {} shipped policies, cold:            {:>9.1} ms", set.names().len(), ms(cold));
    assert!(set.broken().is_empty(), "{:?}", set.broken());
    // wasmtime writes its cache in the background.
    std::thread::sleep(Duration::from_millis(300));
    let mut warm: Vec<_> = (0..15).map(|_| timed(|| drop(load_as_a_new_process(&settings))).0).collect();
    warm.sort_unstable();
    println!(
        "load of all, new engine, from the compile cache:  {:>9.1} ms (best {:.1})",
        ms(warm[warm.len() / 2]),
        ms(warm[0])
    );
    let mut ready: Vec<_> = (0..15).map(|_| new_process(&settings)).collect();
    ready.sort_unstable();
    println!(
        "a new process is ready to judge, from the cache:  {:>9.1} ms (best {:.1}; aim 25)",
        ms(ready[ready.len() / 2]),
        ms(ready[0])
    );
    overshoot();

    let runtime = Runtime::new(settings.cache_dir.as_deref()).expect("an engine");
    for (name, bytes) in shipped::COMPONENTS {
        let (load, prepared) =
            timed(|| Prepared::new(&runtime, bytes, digest(bytes)).expect("a shipped policy"));
        let examples = prepared.examples().expect("examples");
        let (start, plugin) = timed(|| {
            prepared.into_plugin(Origin::Shipped, Mode::Enforce, &Table::default()).expect("configured")
        });
        let questions: Vec<_> = examples
            .iter()
            .filter(|example| example.config.trim().is_empty())
            .filter_map(|e| {
                OwnedQuestion::parse(Interface::parse(&e.interface)?, &e.input)
                    .ok()
                    .map(|q| (q, e.input.len()))
            })
            .collect();
        let Some((question, size)) = questions.iter().min_by_key(|(_, size)| *size) else { continue };
        let first = plugin.ask(question.as_question(), *size as u64).micros;
        let call = median(2_000, || {
            plugin.ask(question.as_question(), *size as u64).answer.expect("an answer");
        });
        println!(
            "{name:<10} {:>8} bytes  load {:>6.2} ms  start {:>6.2} ms  first call {first:>6} us  warm call {:>7.1} us ({size} bytes of input)",
            bytes.len(),
            ms(load),
            ms(start),
            call.as_secs_f64() * 1e6,
        );
        if *name == "redaction" {
            redaction(&plugin);
        }
    }
    let _ = std::fs::remove_dir_all(&directory);
}

/// What an agent and its checks put out, 8 MiB of it: sources, a lock file and documentation
/// of this repository, lines of test runners and servers with numbers that differ, and a
/// secret now and then.
fn log() -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut sources = Vec::new();
    let mut folders: Vec<_> = ["host/src", "plugins/scope/src", "docs"].map(|name| root.join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => sources.push(path),
            }
        }
    }
    sources.push(root.join("Cargo.lock"));
    sources.sort();
    let sources: Vec<String> = sources.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    let key = format!("AKIA{}", "IOSFODNN7BENCHM1");
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut text = String::new();
    let mut lines = sources.iter().flat_map(|source| source.lines()).cycle();
    let mut at = 0usize;
    while text.len() < 8 << 20 {
        let n = next();
        let line = match n % 12 {
            0 => format!(
                "2026-11-22T21:10:{:02}.{:06}Z INFO request finished status=200 id={n:016x}",
                n % 60,
                n % 1_000_000
            ),
            1 => format!("test suite{}::parses_case_{} ... ok", n % 97, n % 1009),
            2 => format!("commit {n:016x}{:016x}{:08x}", next(), n as u32),
            3 => {
                format!("{{\"level\":\"debug\",\"msg\":\"cache miss\",\"key\":\"{n:x}\",\"ms\":{}}}", n % 500)
            }
            4 => format!(
                "    at Object.<anonymous> (/home/user/project/src/file{}.test.ts:{}:{})",
                n % 50,
                n % 900,
                n % 80
            ),
            _ => lines.next().unwrap_or_default().to_owned(),
        };
        text.push_str(&line);
        text.push('\n');
        at += 1;
        if at.is_multiple_of(500) {
            text.push_str(&format!("export AWS_ACCESS_KEY_ID={key}\n"));
        }
    }
    text
}

fn redaction(plugin: &Plugin) {
    let text = log();
    let bytes = text.len();
    let question = OwnedQuestion::Redaction(RedactInput { text: text.clone(), carry: String::new() });
    let component = best(5, || {
        plugin.ask(question.as_question(), bytes as u64).answer.expect("an answer");
    });
    println!(
        "redaction of {} MiB of mixed logs, component:       {:>9.1} MB/s",
        bytes >> 20,
        bytes as f64 / component.as_secs_f64() / 1e6,
    );
    // The same code native is another program, so that the host does not build the plugins' SDK.
    let kept = std::env::temp_dir().join("codex-worker-bench.log");
    std::fs::write(&kept, &text).expect("the text");
    println!(
        "the same code native: cargo run --release -p codex-worker-redaction --example measure -- --speed {}",
        kept.display()
    );
}

/// An engine of its own, as a new process has: the compile cache is all that is shared.
fn load_as_a_new_process(settings: &Settings) -> Vec<Plugin> {
    let runtime = Runtime::new(settings.cache_dir.as_deref()).expect("an engine");
    let runtime = &runtime;
    std::thread::scope(|threads| {
        let started: Vec<_> = shipped::COMPONENTS
            .iter()
            .map(|(_, bytes)| {
                threads.spawn(move || {
                    let prepared = Prepared::new(runtime, bytes, digest(bytes)).expect("a shipped policy");
                    prepared
                        .into_plugin(Origin::Shipped, Mode::Enforce, &Table::default())
                        .expect("configured")
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join().expect("loaded")).collect()
    })
}

/// From the start of a process until it has loaded all shipped policies.
fn new_process(settings: &Settings) -> Duration {
    use std::io::Read;
    let cache = settings.cache_dir.clone().unwrap_or_default();
    let begun = Instant::now();
    let mut child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .arg(READY)
        .arg(cache)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a child");
    let mut said = [0; 5];
    child.stdout.take().expect("its output").read_exact(&mut said).expect("it is ready");
    let took = begun.elapsed();
    let _ = child.wait();
    took
}

/// How far an endless loop gets past its deadline.
fn overshoot() {
    let bytes = guest::Guest::new("endless").exports("scope", "(loop $l (br $l)) (unreachable)").build();
    let runtime = Runtime::new(None).expect("an engine");
    let limits = Limits { deadline_ms: 100, ..Limits::default() };
    let table = Table { limits, ..Table::default() };
    let plugin = Prepared::new(&runtime, &bytes, digest(&bytes))
        .and_then(|prepared| prepared.into_plugin(Origin::Shipped, Mode::Enforce, &table))
        .expect("a policy that never answers");
    let input = r#"{"job": {"task": "", "attempt": 1, "max_attempts": 1, "expects_change": true},
        "changes": {"files": [], "total_files": 0, "diff_bytes": 0}}"#;
    let question = OwnedQuestion::parse(Interface::Scope, input).expect("an input");
    let mut over: Vec<_> = (0..20)
        .map(|_| {
            let (took, asked) = timed(|| plugin.ask(question.as_question(), 0));
            assert!(asked.answer.is_err());
            took.saturating_sub(limits.deadline())
        })
        .collect();
    over.sort_unstable();
    println!(
        "an endless loop past its deadline of 100 ms:      {:>9.1} ms (worst of 20 {:.1}; aim 25)",
        ms(over[over.len() / 2]),
        ms(over[over.len() - 1])
    );
}

fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let value = act();
    (begun.elapsed(), value)
}

fn best(rounds: u32, mut act: impl FnMut()) -> Duration {
    (0..rounds).map(|_| timed(&mut act).0).min().unwrap_or_default()
}

fn median(rounds: u32, mut act: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..rounds).map(|_| timed(&mut act).0).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
