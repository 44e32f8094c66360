//! `plugin inspect`: what a component says of itself, without running anything of a job.

use std::fmt::Write;

use super::one::{Which, refused};
use crate::cli::print;
use model::error::{Error, Kind, Result};

/// Show what a component is, imports and exports, and its own examples.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Print the examples' inputs and outputs too.
    #[arg(long)]
    examples: bool,
    /// Print the input of this example alone, to begin from.
    #[arg(long, value_name = "NAME", conflicts_with = "examples")]
    example: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows.
pub fn run(args: Args) -> Result<()> {
    let bytes = args.which.bytes()?.len();
    let prepared = args.which.prepare()?;
    let examples = prepared.examples().map_err(|refusal| refused(&args.which.file, &refusal))?;
    if let Some(name) = &args.example {
        let names: Vec<_> = examples.iter().map(|example| format!("\"{}\"", example.name)).collect();
        let example = examples.iter().find(|example| example.name == *name).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("it has no example \"{name}\""))
                .hint(format!("it has {}", if names.is_empty() { "none".into() } else { names.join(", ") }))
        })?;
        let input: serde_json::Value = serde_json::from_str(&example.input)
            .map_err(|error| Error::new(Kind::Plugin, format!("the example's input is no JSON: {error}")))?;
        return print(&format!("{input:#}\n"));
    }
    let (about, outside) = (&prepared.about, &prepared.code.outside);
    if args.json {
        let value = serde_json::json!({
            "about": about, "digest": prepared.digest, "bytes": bytes, "outside": outside, "examples": examples,
        });
        return print(&format!("{value}\n"));
    }
    let mut text = format!(
        "{} {}: {}\nsha256  {}\nsize    {bytes} bytes\nexports {}\nimports {}\n",
        about.name,
        about.version,
        about.summary,
        prepared.digest,
        outside.exports.join(", "),
        outside.imports.join(", "),
    );
    for example in &examples {
        let why = if example.why.is_empty() { String::new() } else { format!(": {}", example.why) };
        let _ = writeln!(text, "example ({}) {}{why}", example.interface, example.name);
        if args.examples {
            let _ = writeln!(
                text,
                "  config   {}",
                if example.config.is_empty() { "{}" } else { &example.config }
            );
            let _ = writeln!(text, "  input    {}\n  expected {}", example.input, example.expected);
        }
    }
    print(&text)
}
