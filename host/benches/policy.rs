//! What policies cost: loading all shipped ones cold and from the compile cache, a warm call
//! of each, and redaction in the component against the same code native.
//!
//! `cargo bench --bench policy`; with `--json` as the last argument one JSON object.

#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::{Duration, Instant};

use codex_worker::policy::ask::OwnedQuestion;
use codex_worker::policy::inspect::Interface;
use codex_worker::policy::plugin::{Origin, Plugin, Prepared, Table};
use codex_worker::policy::types::RedactInput;
use codex_worker::policy::{PolicySet, Settings, engine::Runtime, lock::Mode, record::digest, shipped};

fn main() {
    let directory = std::env::temp_dir().join(format!("codex-worker-bench-{}", std::process::id()));
    let settings = Settings { cache_dir: Some(directory.join("cache")), ..Settings::default() };

    let (cold, set) = timed(|| PolicySet::load(&settings));
    println!("load of {} shipped policies, cold:            {:>9.1} ms", set.names().len(), ms(cold));
    assert!(set.broken().is_empty(), "{:?}", set.broken());
    // wasmtime writes its cache in the background.
    std::thread::sleep(Duration::from_millis(300));
    let warm = best(9, || drop(load_as_a_new_process(&settings)));
    println!("load of all, new engine, from the compile cache:  {:>9.1} ms", ms(warm));

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

/// Mixed log lines with a secret now and then, 8 MiB.
fn log() -> String {
    let key = format!("AKIA{}", "IOSFODNN7BENCHM1");
    let lines = [
        "2026-11-22T21:10:16.123456Z INFO server listening on 127.0.0.1:8080".to_owned(),
        "    at Object.<anonymous> (/home/user/project/src/index.test.ts:12:34)".to_owned(),
        "commit 3f786850e387550fdab836ed7e6dc881de23001b".to_owned(),
        "{\"level\":\"debug\",\"msg\":\"request finished\",\"status\":200,\"duration_ms\":12}".to_owned(),
        "test tests::parses_everything ... ok".to_owned(),
        "   Compiling serde v1.0.229".to_owned(),
    ];
    let mut text = String::new();
    let mut at = 0usize;
    while text.len() < 8 << 20 {
        text.push_str(&lines[at % lines.len()]);
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
    let rate = |took: Duration| bytes as f64 / took.as_secs_f64() / 1e6;
    println!(
        "redaction of {} MiB of mixed logs, component:       {:>9.1} MB/s",
        bytes >> 20,
        rate(component)
    );
    let engine = codex_worker_redaction::Engine::new();
    let native = best(5, || {
        std::hint::black_box(engine.find(&text, ""));
    });
    println!(
        "redaction, the same code native (this profile):     {:>9.1} MB/s; the component takes {:.1} times as long",
        rate(native),
        component.as_secs_f64() / native.as_secs_f64()
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
