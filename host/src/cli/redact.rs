//! `codex-worker redact`: the redaction of everything that leaves the process, as a filter.

use std::io::{BufRead, Write};
use std::sync::Arc;

use super::settings::SettingsArgs;
use model::error::{Error, Kind, Result};
use policy::{PolicySet, Settings};
use redact::Redactor;

/// Mask secrets in standard input, line by line.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Only the values that this process knows as secrets, no policies.
    #[arg(long, alias = "floor-only")]
    known_secrets_only: bool,
    /// One JSON object a line: {"text": …}, for programs.
    #[arg(long)]
    json: bool,
}

/// Filters.
pub fn run(args: Args) -> Result<()> {
    let config = args.settings.load()?;
    let policies =
        (!args.known_secrets_only).then(|| Arc::new(PolicySet::load(&Settings::from_config(&config))));
    let finder = policies.map(|set| set as Arc<dyn redact::Finder>);
    let mut secrets = config.known_secrets.clone();
    let endpoints = [("gateway key", &config.gateway.primary), ("fallback key", &config.gateway.fallback)];
    for (name, endpoint) in endpoints {
        if let Some(key) = endpoint.as_ref().and_then(|endpoint| endpoint.api_key.clone()) {
            secrets.push((name.to_owned(), key));
        }
    }
    let mut stream = Redactor::new(secrets, finder).stream();
    let failed =
        |error: std::io::Error| Error::new(Kind::Environment, format!("standard input or output: {error}"));
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let mut write = |text: &str| -> std::io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        if args.json {
            writeln!(output, "{}", serde_json::json!({"text": text}))?;
        } else {
            output.write_all(text.as_bytes())?;
        }
        output.flush()
    };
    loop {
        // What is there, but never a part of a line: a large file is not judged line by line.
        let mut bytes = Vec::new();
        let ready = input.fill_buf().map_err(failed)?;
        if ready.is_empty() {
            break;
        }
        let length = ready.len();
        bytes.extend_from_slice(ready);
        input.consume(length);
        input.read_until(b'\n', &mut bytes).map_err(failed)?;
        match write(&stream.push(&String::from_utf8_lossy(&bytes))) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.map_err(failed)?,
        }
    }
    match write(&stream.finish()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(()),
    }
}
