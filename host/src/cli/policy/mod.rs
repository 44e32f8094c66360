//! `codex-worker policy`: why a job was judged as it was, what another component would have
//! said, and which rules ever say anything.

mod replay;
mod rules;
mod why;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use config::Config;
use job::paths::JobPaths;
use model::error::{Error, Kind, Result};
use model::spec::JobId;
use policy::plugin::{Example, Prepared, read_file};
use policy::replay::{Recorded, read};
use policy::{Settings, load, record, shipped};

/// Ask the record of decisions.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say which rule of which policy said what of a job, and what would satisfy it.
    Why(why::Args),
    /// Run a component over recorded inputs and print the verdicts that flip.
    Replay(replay::Args),
    /// Count how often each rule fired, and name those that never or always do.
    Rules(rules::Args),
}

/// `1 job`, `3 jobs`.
fn number(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    }
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
        Command::Why(args) => why::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Rules(args) => rules::run(args),
    }
}

fn job_id(id: &str) -> Result<JobId> {
    JobId::parse(id).ok_or_else(|| {
        Error::new(Kind::Usage, format!("\"{id}\" is no job id"))
            .hint("`codex-worker jobs list` shows the jobs")
    })
}

fn read_job(home: &Path, id: &str) -> Result<Recorded> {
    let path = JobPaths::new(home, &job_id(id)?).decisions();
    let text = jobfs::own::read_to_string(&path).map_err(|error| {
        Error::new(Kind::NotFound, format!("no decisions of job {id}: {error}"))
            .hint("`codex-worker jobs list` shows the jobs; decisions are kept until the job is swept")
    })?;
    Ok(read(&text))
}

/// A component that can be found now: its digest, its `name@version` and its own examples.
struct Known {
    digest: String,
    name: String,
    examples: Vec<Example>,
}

/// The shipped policies and the files of the plugins directory, those with a digest that
/// `wanted` takes; what cannot be loaded is left out.
fn known(config: &Config, wanted: impl Fn(&str) -> bool) -> Vec<Known> {
    let Ok(runtime) = Settings::from_config(config).runtime() else { return Vec::new() };
    let files = load::component_files(&config.plugins_dir).unwrap_or_default();
    let files = files.iter().filter_map(|file| read_file(file).ok());
    let shipped = shipped::COMPONENTS.iter().map(|(_, bytes)| bytes.to_vec());
    let prepare = |bytes: Vec<u8>| {
        let digest = record::digest(&bytes);
        if !wanted(&digest) {
            return None;
        }
        let prepared = Prepared::new(&runtime, &bytes, digest).ok()?;
        let examples = prepared.examples().ok()?;
        Some(Known { digest: prepared.digest, name: prepared.about.name, examples })
    };
    shipped.chain(files).filter_map(prepare).collect()
}

/// How many of the newest jobs are looked through for a policy's last error.
const JOBS_LOOKED_AT: usize = 50;

/// The last call of each component that gave nothing, by the component's digest: the job and
/// the reason. Only the newest jobs are read; one that cannot be read has none.
pub(super) fn last_errors(home: &Path) -> Result<BTreeMap<String, (String, String)>> {
    let mut found = BTreeMap::new();
    for job in recorded_jobs(home, None)?.into_iter().rev().take(JOBS_LOOKED_AT) {
        for decision in read_job(home, &job).unwrap_or_default().decisions.into_iter().rev() {
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
