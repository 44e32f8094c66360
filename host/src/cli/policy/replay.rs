//! `policy replay`: recorded inputs put to another component, and the verdicts that flip.

use std::fmt::Write;
use std::time::Duration;

use super::{age, number, read_job, recorded_jobs};
use crate::cli::plugin::{Which, refused};
use crate::cli::print;
use crate::cli::settings::SettingsArgs;
use model::error::{Error, Kind, Result};
use model::types::Finding;
use policy::replay::{self, Replay};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The component to try.
    #[arg(long, value_name = "FILE")]
    candidate: std::path::PathBuf,
    /// Its configuration as JSON; the table `[plugins.<name>]` by default.
    #[arg(long, value_name = "JSON")]
    plugin_config: Option<String>,
    /// Only this job; may be repeated.
    #[arg(long)]
    job: Vec<String>,
    /// Only jobs judged within this time: 30d, 12h, 45m.
    #[arg(long, value_parser = age)]
    since: Option<Duration>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Replays.
pub(super) fn run(args: Args) -> Result<()> {
    let config = args.settings.clone().load()?;
    let which = Which {
        file: args.candidate.clone(),
        plugin_config: args.plugin_config.clone(),
        settings: args.settings.clone(),
    };
    let prepared = which.prepare()?;
    prepared.prove().map_err(|refusal| refused(&args.candidate, &refusal))?;
    let table = config.plugin_config.get(&prepared.about.name);
    let which = match (&args.plugin_config, table) {
        (None, Some(table)) => Which { plugin_config: Some(table.to_string()), ..which },
        _ => which,
    };
    let candidate = which.configure(prepared)?;
    let ids = if args.job.is_empty() { recorded_jobs(&config.home, args.since)? } else { args.job.clone() };
    let jobs = ids
        .into_iter()
        .map(|id| read_job(&config.home, &id).map(|recorded| (id, recorded)))
        .collect::<Result<Vec<_>>>()?;
    let result = replay::replay(&candidate, &jobs);
    if args.json {
        let value =
            serde_json::to_string(&result).map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        return print(&(value + "\n"));
    }
    print(&report(&candidate.label(), jobs.len(), &result))
}

fn report(label: &str, jobs: usize, replay: &Replay) -> String {
    let mut text = format!(
        "{label} over {}: {} asked, {} the same, {} with the same verdict and other words, {}\n",
        number(jobs, "job", "jobs"),
        number(replay.asked as usize, "input", "inputs"),
        replay.same,
        replay.differs,
        number(replay.flips.len(), "flip", "flips"),
    );
    if replay.asked == 0 {
        text.push_str(
            "nothing is recorded that it could be asked: no job of that time was judged by its kind\n",
        );
    }
    let mut counts: Vec<(String, u32)> = Vec::new();
    for flip in &replay.flips {
        let kind = format!("{} to {}", flip.before, flip.after);
        match counts.iter_mut().find(|(name, _)| *name == kind) {
            Some((_, count)) => *count += 1,
            None => counts.push((kind, 1)),
        }
    }
    for (kind, count) in counts {
        let _ = writeln!(text, "  {kind}: {count}");
    }
    for flip in &replay.flips {
        let _ = writeln!(text, "{} to {}  job {}  {}", flip.before, flip.after, flip.job, flip.interface);
        let mut side = |name: &str, findings: &[Finding]| {
            let shown: Vec<_> =
                findings.iter().take(3).map(|f| format!("{}: {}", f.rule, f.message)).collect();
            let more = findings.len().saturating_sub(3);
            let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            let shown = if shown.is_empty() { "nothing".to_owned() } else { shown.join("; ") };
            let _ = writeln!(text, "    {name} {shown}{more}");
        };
        side("recorded: ", &flip.recorded);
        side("candidate:", &flip.candidate);
    }
    let left_out = [
        (
            replay.no_verdict,
            "record",
            "that ended on a limit or a failure, so there is no verdict to compare with",
        ),
        (
            replay.not_replayable,
            "record",
            "without an input (what redaction was asked may hold secrets and is not kept)",
        ),
        (
            replay.damaged,
            "record",
            "whose input is not what its digest says: decisions.jsonl was changed or damaged",
        ),
        (replay.unreadable, "line", "that this version cannot read"),
    ];
    for (n, what, why) in left_out.into_iter().filter(|(n, ..)| *n > 0) {
        let _ = writeln!(text, "left out: {} {why}", number(n as usize, what, &format!("{what}s")));
    }
    if let Some(failure) = &replay.first_failure {
        let _ = writeln!(
            text,
            "the candidate gave no answer to {}; the first: {failure}",
            number(replay.failed as usize, "input", "inputs")
        );
    }
    text
}
