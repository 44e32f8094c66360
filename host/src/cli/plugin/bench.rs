//! `plugin bench`: how long a component takes to start and to answer.

use std::time::Instant;

use super::one::{Which, refused};
use crate::cli::print;
use model::error::{Error, Kind, Result};
use policy::ask::OwnedQuestion;
use policy::inspect::Interface;

/// Measure a component on its own examples.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Calls of each example.
    #[arg(long, default_value_t = 200)]
    calls: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Measures.
pub fn run(args: Args) -> Result<()> {
    let begun = Instant::now();
    let prepared = args.which.prepare()?;
    let load = begun.elapsed();
    let examples = prepared.examples().map_err(|refusal| refused(&args.which.file, &refusal))?;
    let begun = Instant::now();
    let plugin = args.which.configure(prepared)?;
    let start = begun.elapsed();
    let mut rows = Vec::new();
    for example in examples.iter().filter(|example| example.config.trim().is_empty()) {
        let Some(interface) = Interface::parse(&example.interface) else { continue };
        let question = OwnedQuestion::parse(interface, &example.input)
            .map_err(|error| Error::new(Kind::Plugin, format!("example {}: {error}", example.name)))?;
        plugin.forget();
        let first = plugin.ask(question.as_question(), example.input.len() as u64).micros;
        let mut micros: Vec<u64> = (0..args.calls.max(1))
            .map(|_| plugin.ask(question.as_question(), example.input.len() as u64).micros)
            .collect();
        micros.sort_unstable();
        let at = |part: usize| micros[(micros.len() - 1) * part / 100];
        rows.push((example.name.clone(), interface, example.input.len(), first, at(50), at(99)));
    }
    if args.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, interface, bytes, first, median, p99)| {
                serde_json::json!({
                    "example": name, "interface": interface, "input_bytes": bytes,
                    "first_micros": first, "median_micros": median, "p99_micros": p99,
                })
            })
            .collect();
        let value = serde_json::json!({
            "plugin": plugin.label(), "load_micros": load.as_micros() as u64,
            "start_micros": start.as_micros() as u64, "calls": args.calls, "examples": rows,
        });
        return print(&format!("{value}\n"));
    }
    let head = format!(
        "{}: load {:.1} ms, start {:.2} ms\n{:>9} {:>9} {:>9} {:>9}  example\n",
        plugin.label(),
        load.as_secs_f64() * 1e3,
        start.as_secs_f64() * 1e3,
        "bytes",
        "first us",
        "median us",
        "p99 us"
    );
    let line = |(name, interface, bytes, first, median, p99): &(String, Interface, usize, u64, u64, u64)| {
        format!("{bytes:>9} {first:>9} {median:>9} {p99:>9}  {interface}: {name}\n")
    };
    print(&(head + &rows.iter().map(line).collect::<String>()))
}
