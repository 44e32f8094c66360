//! `codex-worker policy`: why a job was judged as it was, and what another component would
//! have said.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::plugin::{Which, finding, refused};
use super::print;
use super::settings::SettingsArgs;
use crate::error::{Error, Kind, Result};
use crate::job::paths::JobPaths;
use crate::job::spec::JobId;
use crate::policy::ask::Answer;
use crate::policy::lock::Mode;
use crate::policy::record::Decision;
use crate::policy::replay::{self, Replay};

/// Ask the record of decisions.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say which rule of which policy said what of a job, and what would satisfy it.
    Why(WhyArgs),
    /// Run a component over recorded inputs and print the verdicts that flip.
    Replay(ReplayArgs),
}

#[derive(Debug, clap::Args)]
struct WhyArgs {
    /// The job's id.
    job: String,
    /// Also what was neither denied nor warned of.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ReplayArgs {
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
    /// As JSON, for programs.
    #[arg(long)]
    json: bool,
}

fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text} is not a number with d, h or m behind it, such as 30d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Runs the subcommand.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Why(args) => why(args),
        Command::Replay(args) => replay(args),
    }
}

fn why(args: WhyArgs) -> Result<()> {
    let config = args.settings.load()?;
    let decisions = read_job(&config.home, &args.job)?;
    if args.json {
        let value = serde_json::to_string(&decisions)
            .map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        return print(&(value + "\n"));
    }
    print(&explain(&args.job, &decisions, args.all))
}

/// The decisions in plain words.
fn explain(job: &str, decisions: &[Decision], all: bool) -> String {
    let mut text = String::new();
    let (mut denied, mut warned, mut silent) = (0, 0, 0);
    for decision in decisions {
        let who = format!("{}@{} ({})", decision.plugin, decision.version, decision.interface);
        let shadow = if decision.mode == Mode::Shadow { " in shadow, so it decided nothing" } else { "" };
        if let Some(error) = &decision.error {
            let _ = writeln!(text, "{who} gave no answer{shadow}: {error}");
            continue;
        }
        let answer =
            decision.output.as_ref().and_then(|output| Answer::parse(decision.interface, output.get()).ok());
        let findings = match answer {
            Some(Answer::Findings(findings)) => findings,
            Some(Answer::Signals(signals)) if all || !signals.is_empty() => {
                for signal in &signals {
                    let _ = writeln!(
                        text,
                        "{who} read from {}: {} passed, {} failed, {} skipped, {} errors{}",
                        signal.runner,
                        signal.passed,
                        signal.failed,
                        signal.skipped,
                        signal.errors,
                        if signal.nothing_ran { "; no test ran" } else { "" }
                    );
                }
                continue;
            }
            _ => {
                silent += 1;
                continue;
            }
        };
        if findings.is_empty() {
            silent += 1;
            if all {
                let _ = writeln!(text, "{who} had nothing to say{shadow}");
            }
            continue;
        }
        let _ = writeln!(text, "{who} said{shadow}:");
        for found in &findings {
            match found.severity {
                crate::policy::types::Severity::Deny if shadow.is_empty() => denied += 1,
                crate::policy::types::Severity::Warn if shadow.is_empty() => warned += 1,
                _ => {}
            }
            for line in finding(found).lines() {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    let _ = writeln!(
        text,
        "job {job}: {} decisions; {denied} findings that deny, {warned} that warn, {silent} decisions without a finding",
        decisions.len()
    );
    text
}

fn replay(args: ReplayArgs) -> Result<()> {
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
    let mut jobs = Vec::new();
    for id in ids {
        let decisions = read_job(&config.home, &id)?;
        jobs.push((id, decisions));
    }
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
        "{label} over {jobs} jobs: {} inputs asked, {} same, {} with the same verdict and other findings, {} flips\n",
        replay.asked,
        replay.same,
        replay.differs,
        replay.flips.len()
    );
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
        let mut side = |name: &str, findings: &[crate::policy::types::Finding]| {
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
    if replay.no_verdict > 0 {
        let _ =
            writeln!(text, "{} recorded calls ended without a verdict and were left out", replay.no_verdict);
    }
    if replay.not_replayable > 0 {
        let _ = writeln!(text, "{} records hold no input and were left out", replay.not_replayable);
    }
    if let Some(failure) = &replay.first_failure {
        let _ = writeln!(text, "{} calls of the candidate failed; the first: {failure}", replay.failed);
    }
    text
}

fn read_job(home: &Path, id: &str) -> Result<Vec<Decision>> {
    let parsed = JobId::parse(id).ok_or_else(|| Error::new(Kind::Usage, format!("\"{id}\" is no job id")))?;
    let path = JobPaths::new(home, &parsed).decisions();
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Error::new(Kind::NotFound, format!("no decisions of job {id}: {error}"))
            .hint("`codex-worker jobs list` shows the jobs; decisions are kept until the job is swept")
    })?;
    let (decisions, unreadable) = replay::read(&text);
    if unreadable > 0 {
        tracing::warn!(job = id, unreadable, "lines of another version were left out");
    }
    Ok(decisions)
}

/// How many of the newest jobs are looked through for a policy's last error.
const JOBS_LOOKED_AT: usize = 50;

/// The last call of each component that gave nothing, by the component's digest: the job and
/// the reason. Only the newest jobs are read; one that cannot be read has none.
pub(super) fn last_errors(home: &Path) -> Result<BTreeMap<String, (String, String)>> {
    let mut found = BTreeMap::new();
    for job in recorded_jobs(home, None)?.into_iter().rev().take(JOBS_LOOKED_AT) {
        for decision in read_job(home, &job).unwrap_or_default().into_iter().rev() {
            if let Some(error) = decision.error {
                found.entry(decision.component).or_insert_with(|| (job.clone(), error.to_string()));
            }
        }
    }
    Ok(found)
}

/// The jobs with a record, oldest first.
fn recorded_jobs(home: &Path, since: Option<Duration>) -> Result<Vec<String>> {
    let directory = home.join("jobs");
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(Error::new(
                Kind::Environment,
                format!("cannot read {}: {error}", directory.display()),
            ));
        }
    };
    let now = SystemTime::now();
    let mut jobs: Vec<(SystemTime, String)> = entries
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().into_string().ok()?;
            let parsed = JobId::parse(&id)?;
            let written =
                std::fs::metadata(JobPaths::new(home, &parsed).decisions()).ok()?.modified().ok()?;
            let recent = since.is_none_or(|since| now.duration_since(written).unwrap_or_default() <= since);
            recent.then_some((written, id))
        })
        .collect();
    jobs.sort();
    Ok(jobs.into_iter().map(|(_, id)| id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_has_the_last_error_of_the_newest_job() {
        let home = tempfile::tempdir().expect("a directory");
        let decision = |component: &str, error: Option<&str>| {
            let mut line = serde_json::json!({
                "v": 1, "seq": 1, "interface": "scope", "plugin": "p", "version": "0.1.0",
                "component": component, "config": "c", "mode": "enforce", "input_digest": "i", "micros": 5,
            });
            if let Some(error) = error {
                line["error"] = serde_json::json!({"ended": "trap", "detail": error});
            }
            format!("{line}\n")
        };
        let job = "0123456789abcdef0123456789abcdef";
        let dir = home.path().join("jobs").join(job);
        std::fs::create_dir_all(&dir).expect("a directory");
        let lines = decision("a", Some("first")) + &decision("a", Some("last")) + &decision("b", None);
        std::fs::write(dir.join("decisions.jsonl"), lines).expect("a file");
        let errors = last_errors(home.path()).expect("the errors");
        let expected = (job.to_owned(), "it failed: last".to_owned());
        assert_eq!(errors, BTreeMap::from([("a".to_owned(), expected)]));
    }
}
