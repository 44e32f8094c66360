//! Measures the rules on labelled cases: `cargo run --release --example measure -- cases.jsonl`.
//!
//! Each line is an object with `text`, `is_secret`, `secret` (or `secrets`), `rule` and `source`; a `rule` that
//! begins with `benign:` must pass unchanged. With `--missed`, `--false` or `--changed`
//! prints those cases. On a plain text instead, `--speed` prints MB/s, and `--spans` each
//! span with what is around it.

#![expect(clippy::print_stdout, reason = "it is a command")]

use std::collections::BTreeMap;

use codex_worker_redaction::{Engine, redact};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let Some(path) = args.iter().find(|arg| !arg.starts_with("--")) else {
        println!("usage: measure [--missed] [--false] [--changed] CASES | --speed TEXT | --spans TEXT");
        return;
    };
    let Ok(content) = std::fs::read_to_string(path) else {
        println!("cannot read {path}");
        return;
    };
    let engine = Engine::new();
    if has("--speed") {
        return speed(&engine, &content);
    }
    if has("--spans") {
        return spans(&engine, &content);
    }
    let mut sources: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    let (mut benign, mut masked, mut unstable) = (0, 0, 0);
    for line in content.lines() {
        let Ok(case) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let text = case["text"].as_str().unwrap_or_default();
        let rule = case["rule"].as_str().unwrap_or_default();
        let out = redact(&engine, text);
        if redact(&engine, &out) != out || out.lines().count() != text.lines().count() {
            unstable += 1;
            if has("--changed") {
                println!("CHANGED {rule} {out:?} {:?}", redact(&engine, &out));
            }
        }
        let source = case["source"].as_str().unwrap_or("benign").split(['@', ' ']).next().unwrap_or_default();
        if rule.starts_with("benign") {
            benign += 1;
            if out != text {
                masked += 1;
                println!("FALSE {rule} {out:?}");
            }
        } else if case["is_secret"] == true {
            let secrets =
                case["secrets"].as_array().map_or(std::slice::from_ref(&case["secret"]), Vec::as_slice);
            let shown =
                secrets.iter().filter_map(|secret| secret.as_str()).any(|secret| out.contains(secret));
            let hit = out != text && !shown;
            let entry = sources.entry(source.to_owned()).or_default();
            entry.0 += 1;
            entry.1 += u32::from(hit);
            if !hit && has("--missed") {
                println!("MISSED {rule} {text:?}");
            }
        } else {
            let entry = sources
                .entry(format!("{source} (negative, {})", case["neg_scope"].as_str().unwrap_or("?")))
                .or_default();
            entry.0 += 1;
            entry.1 += u32::from(out != text);
            if out != text && has("--false") {
                println!("MASKED {rule} {out:?}");
            }
        }
    }
    for (source, (all, hit)) in &sources {
        println!(
            "{source:40} {hit:5} of {all:5} masked, {:5.1} %",
            f64::from(*hit) * 100.0 / f64::from(*all)
        );
    }
    println!("benign: {masked} of {benign} masked; not stable: {unstable}");
}

fn speed(engine: &Engine, content: &str) {
    let start = std::time::Instant::now();
    let mut spans = 0;
    let mut carry = String::new();
    let mut at = 0;
    while at < content.len() {
        let end = content.floor_char_boundary(at + 64 * 1024);
        let end = content[at..end].rfind('\n').map_or(end, |n| at + n + 1);
        let found = engine.find(&content[at..end], &carry);
        spans += found.spans.len();
        carry = found.carry;
        at = end;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} bytes, {spans} spans, {seconds:.3} s, {:.1} MB/s",
        content.len(),
        content.len() as f64 / seconds / 1e6
    );
}

fn spans(engine: &Engine, content: &str) {
    for span in engine.find(content, "").spans {
        let from = content.floor_char_boundary(span.start.saturating_sub(60));
        let before = content[from..span.start].rsplit('\n').next().unwrap_or_default();
        let after = content[span.end..].split('\n').next().unwrap_or_default();
        let after = &after[..after.floor_char_boundary(40)];
        println!("{}\t{before}⟦{}⟧{after}", span.rule, &content[span.start..span.end]);
    }
}
