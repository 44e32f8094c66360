//! `codex-worker jobs`: the state directory's jobs for a person (tables) or a program
//! (`--json`).

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, presets};
use indicatif::{BinaryBytes, HumanDuration};
use serde_json::json;

use super::print;
use super::settings::SettingsArgs;
use config::Config;
use job::sqlite::SqliteStore;
use job::store::{JobRow, JobStore, ListFilter};
use job::{gc, reap};
use model::error::{Error, Kind, Result};
use model::spec::JobId;
use model::status::JobStatus;
use redact::Redactor;
use redact::sanitize;
use view::text::clock;

/// Look at jobs, end them, clean up after them.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List jobs, newest first.
    List {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Only jobs in this state; may be repeated.
        #[arg(long, value_name = "STATE", value_parser = status)]
        status: Vec<JobStatus>,
        /// At most this many.
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one job.
    Show {
        #[command(flatten)]
        settings: SettingsArgs,
        /// The job's id, or its first characters.
        job: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a job's events.
    Tail {
        #[command(flatten)]
        settings: SettingsArgs,
        /// The job's id, or its first characters.
        job: String,
        /// Lines to begin with.
        #[arg(short = 'n', long, default_value_t = 40)]
        lines: u32,
        /// Go on until the job ends.
        #[arg(short, long)]
        follow: bool,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// End a job; returns when its processes are gone.
    Cancel {
        #[command(flatten)]
        settings: SettingsArgs,
        /// The job's id, or its first characters.
        job: String,
        /// Why.
        #[arg(long, default_value = "cancelled on the command line")]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Delete old jobs. Unsaved work of a worktree is kept as a ref of its repository first.
    Gc {
        #[command(flatten)]
        settings: SettingsArgs,
        /// Ended jobs older than this many days go.
        #[arg(long, value_name = "DAYS", default_value_t = 14)]
        older_than: u32,
        /// The oldest ended jobs go until no more than this many MiB are used.
        #[arg(long, value_name = "MIB")]
        max_size: Option<u64>,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

fn status(name: &str) -> Result<JobStatus, String> {
    JobStatus::parse(name).ok_or_else(|| {
        let names: Vec<&str> = JobStatus::ALL.into_iter().map(JobStatus::as_str).collect();
        format!("one of {}", names.join(", "))
    })
}

/// Runs one of the subcommands.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::List { settings, status, limit, json } => {
            let jobs = JobsCommand::open(settings)?;
            let all = status.is_empty();
            let rows = jobs.store.list(&ListFilter { statuses: status, limit })?;
            if json {
                return print(&jobs.list_json(&rows)?);
            }
            print(&jobs.list_table(&rows, all))?;
            jobs.waiting()?.map_or(Ok(()), |said| print(&said))
        }
        Command::Show { settings, job, json } => {
            let jobs = JobsCommand::open(settings)?;
            let row = jobs.row(&job)?;
            print(&if json { pretty(&jobs.json(&row))? } else { jobs.show(&row) })
        }
        Command::Tail { settings, job, lines, follow, json } => {
            JobsCommand::open(settings)?.tail(&job, lines, follow, json)
        }
        Command::Cancel { settings, job, reason, json } => {
            let jobs = JobsCommand::open(settings)?;
            let id = jobs.find(&job)?;
            let state = job::cancel(&jobs.config, &jobs.store, &id, &reason, Duration::from_secs(30))?;
            if state.is_final() {
                print(&if json {
                    pretty(&json!({"job_id": id, "job_status": state}))?
                } else {
                    format!("{id} {}\n", state.as_str())
                })
            } else {
                Err(Error::new(Kind::Environment, format!("job {id} is still {} after 30 s", state.as_str()))
                    .hint("look at its events with `codex-worker jobs tail`"))
            }
        }
        Command::Gc { settings, older_than, max_size, dry_run, json } => {
            let jobs = JobsCommand::open(settings)?;
            let limits = gc::Retention {
                older_than: Some(Duration::from_secs(u64::from(older_than) * 86_400)),
                max_bytes: max_size.map(|mib| mib << 20),
            };
            let report = gc::collect(&jobs.config, &jobs.store, limits, dry_run)?;
            if json {
                return print(&pretty(&json!(report))?);
            }
            let verb = if dry_run { "would free" } else { "freed" };
            let mut text = format!(
                "{verb} {} in {} jobs; {} stay\n",
                BinaryBytes(report.freed_bytes),
                report.deleted.len(),
                BinaryBytes(report.kept_bytes)
            );
            for line in &report.notes {
                let _ = writeln!(text, "{line}");
            }
            print(&text)
        }
    }
}

/// The open store, and what masks what is printed.
struct JobsCommand {
    config: Config,
    store: SqliteStore,
    redactor: Redactor,
}

impl JobsCommand {
    fn open(settings: SettingsArgs) -> Result<JobsCommand> {
        let config = settings.load()?;
        let store = SqliteStore::open(&config.home)?;
        // Whoever looks finds dead workers. A store that cannot be written can be read still.
        if let Err(error) = reap::sweep(&config, &store) {
            eprintln!("warning: could not check for dead workers: {}", error.message);
        }
        let redactor = Redactor::new(config.known_secrets.clone(), None);
        Ok(JobsCommand { config, store, redactor })
    }

    /// The job with this id or, if there is only one, with these first characters.
    fn find(&self, text: &str) -> Result<JobId> {
        let ids: Vec<JobId> =
            self.store.list(&ListFilter::default())?.into_iter().map(|row| row.id).collect();
        let chosen = choose(text, &ids);
        if chosen.is_err()
            && let Some(id) = JobId::parse(text)
            && let Err(error) = self.store.get(&id)
            // The store knows a better reason than that there is none.
            && !error.message.starts_with("there is no job")
        {
            return Err(error);
        }
        chosen
    }

    fn row(&self, text: &str) -> Result<JobRow> {
        self.store.get(&self.find(text)?)
    }

    fn line(&self, text: &str, max: usize) -> String {
        sanitize::line(&self.redactor.known_secrets_only(text), max)
    }

    fn json(&self, row: &JobRow) -> serde_json::Value {
        json!({
            "job_id": row.id,
            "job_status": row.status,
            "created_ms": row.created_ms,
            "started_ms": row.started_ms,
            "finished_ms": row.finished_ms,
            "queue_position": row.queue_position,
            "cancel_requested": row.cancel_requested.as_deref().map(|reason| self.line(reason, 400)),
            "isolation": row.spec.isolation,
            "directory": row.spec.allowed_dirs.first(),
            "prompt": self.line(&row.spec.prompt, 200),
            "resume": row.spec.resume,
            "labels": row.spec.labels,
            "last_event": row.last_event,
            "result": row.result,
        })
    }

    fn list_json(&self, rows: &[JobRow]) -> Result<String> {
        pretty(&rows.iter().map(|row| self.json(row)).collect())
    }

    fn list_table(&self, rows: &[JobRow], all: bool) -> String {
        if rows.is_empty() && all {
            return "no jobs yet: Codex starts them with the tool `start`\n".to_owned();
        }
        if rows.is_empty() {
            return "no jobs in that state\n".to_owned();
        }
        // Where nobody looks at columns, lines stay within a common window.
        let width = terminal_width();
        // In a narrow window the task matters more than two of the numbers.
        let narrow = width.is_some_and(|columns| columns < NARROW);
        let cells = |all: [String; 6]| -> Vec<String> {
            let left_out = |n: usize| narrow && (n == 3 || n == 4);
            all.into_iter().enumerate().filter(|(n, _)| !left_out(*n)).map(|(_, cell)| cell).collect()
        };
        let mut table = Table::new();
        let header = ["JOB", "STATE", "AGE", "TOOK", "CHANGED", "TASK"].map(str::to_owned);
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(width.unwrap_or(120)).unwrap_or(u16::MAX))
            .set_truncation_indicator("…")
            .set_header(cells(header));
        let now = job::identity::now().wall_ms;
        for row in rows {
            let ended = row.finished_ms.unwrap_or(now);
            let state = match (&row.result, row.queue_position) {
                (Some(result), _) if result.failure.is_some() && row.status == JobStatus::Failed => {
                    let kind = result.failure.as_ref().map(|failure| json!(failure.kind));
                    format!("failed ({})", kind.as_ref().and_then(|k| k.as_str()).unwrap_or_default())
                }
                (_, Some(ahead)) => format!("queued ({ahead} ahead)"),
                _ => row.status.as_str().to_owned(),
            };
            let changed = row
                .result
                .as_ref()
                .map(|r| (r.changed_files.len() + r.changed_files_omitted as usize).to_string())
                .unwrap_or_else(|| "-".to_owned());
            let mut line = Row::from(cells([
                row.id.as_str()[..if narrow { 8 } else { 12 }].to_owned(),
                state,
                span(now - row.created_ms),
                row.started_ms.map_or_else(|| "-".to_owned(), |started| span(ended - started)),
                changed,
                self.line(&row.spec.prompt, 200),
            ]));
            // The task alone can lose its end.
            line.max_height(1);
            table.add_row(line);
        }
        let last = table.column_count().saturating_sub(1);
        for column in table.column_iter_mut().take(last) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        table.trim_fmt() + "\n"
    }

    /// Printed after a list: jobs that wait for a worker that is not there.
    fn waiting(&self) -> Result<Option<String>> {
        let load = self.store.load()?;
        Ok((load.queued > 0 && load.active == 0).then(|| {
            format!(
                "{} waiting and no worker is running: any server that looks starts one, as does `codex-worker work --until-idle`\n",
                load.queued
            )
        }))
    }

    fn show(&self, row: &JobRow) -> String {
        let mut text = String::new();
        let mut put = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<12} {value}");
        };
        put("job", row.id.as_str());
        put("state", row.status.as_str());
        put("task", &self.line(&row.spec.prompt, 300));
        let now = job::identity::now().wall_ms;
        put("created", &format!("{} ago", span(now - row.created_ms)));
        if let Some(ahead) = row.queue_position {
            put("queue", &format!("{ahead} ahead"));
        }
        if let Some(reason) = row.cancel_requested.as_deref() {
            put("cancel", &self.line(reason, 300));
        }
        if let Some(earlier) = &row.spec.resume {
            put("resumes", earlier.as_str());
        }
        for (name, value) in &row.spec.labels {
            put("label", &self.line(&format!("{name}={value}"), 200));
        }
        for dir in &row.spec.allowed_dirs {
            put("directory", &dir.path().display().to_string());
        }
        if let Some(event) = row.last_event.as_deref().filter(|_| !row.status.is_final()) {
            put("last event", event);
        }
        if let Some(result) = &row.result {
            if let Some(failure) = &result.failure {
                put("failure", &failure.message);
                put("", &failure.hint);
            }
            for line in &result.checks {
                put("check", line);
            }
            for path in &result.changed_files {
                put("changed", path);
            }
            if result.changed_files_omitted > 0 {
                put("", &format!("and {} more", result.changed_files_omitted));
            }
            if let Some(branch) = &result.workspace.branch {
                put("branch", branch);
            }
            put("attempts", &result.attempts.to_string());
            put("took", &span(i64::try_from(result.duration_ms).unwrap_or(i64::MAX)));
            let tokens = |n: Option<u64>| n.map_or_else(|| "unmetered".to_owned(), |n| n.to_string());
            let usage = &result.usage;
            put(
                "usage",
                &format!(
                    "{} requests, {} in, {} out",
                    usage.requests,
                    tokens(usage.input_tokens),
                    tokens(usage.output_tokens)
                ),
            );
            put("policies", &result.policies.join(", "));
            put("next", &result.next_action);
        }
        let paths = job::paths::JobPaths::new(&self.config.home, &row.id);
        if let Some(held) = containment(&paths.root().join(job::receipt::RECEIPT)) {
            put("containment", &held);
        }
        if paths.worktree().exists() {
            put("worktree", &paths.worktree().display().to_string());
        }
        let dir = paths.artifacts();
        put("artifacts", &dir.display().to_string());
        text
    }

    fn tail(&self, job: &str, lines: u32, follow: bool, json: bool) -> Result<()> {
        let id = self.find(job)?;
        let mut events = self.store.events(&id, None, lines)?;
        let mut last = 0;
        loop {
            for event in &events {
                last = event.seq;
                if json {
                    print(&format!("{}\n", json!(event)))?;
                } else {
                    print(&format!("{} {:<10} {}\n", clock(event.at_ms), event.kind, event.text))?;
                }
            }
            if !follow {
                return Ok(());
            }
            // The state first: what comes between the two reads is read in the next round.
            let ended = self.store.get(&id)?.status.is_final();
            events = self.store.events(&id, Some(last), 1000)?;
            if events.is_empty() {
                if ended {
                    return Ok(());
                }
                std::thread::sleep(Duration::from_millis(200));
                reap::sweep(&self.config, &self.store)?;
            }
        }
    }
}

/// The job that `text` names: its id, or the first characters of only one.
fn choose(text: &str, ids: &[JobId]) -> Result<JobId> {
    let mut found = ids.iter().filter(|id| !text.is_empty() && id.as_str().starts_with(text));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id.clone()),
        (Some(_), Some(_)) => Err(Error::new(Kind::Usage, format!("several jobs begin with {text:?}"))
            .hint("give more of its characters")),
        (None, _) => {
            let error = Error::new(
                Kind::NotFound,
                if JobId::parse(text).is_some() {
                    format!("there is no job {text}")
                } else {
                    format!("no job begins with {text:?}")
                },
            );
            // As much of each id as was given: somebody mistyped it or lost its end.
            let part =
                |id: &'_ JobId| id.as_str().chars().take(text.chars().count().max(1)).collect::<String>();
            let parts: Vec<String> = ids.iter().map(part).collect();
            let near = config::nearest(text, parts.iter().map(String::as_str));
            let near = near.and_then(|near| ids.iter().find(|id| id.as_str().starts_with(near)));
            Err(match near {
                Some(id) if text.len() >= 4 => error.hint(format!("did you mean {id}?")),
                _ => error.hint("list them with `codex-worker jobs list`"),
            })
        }
    }
}

/// What was in force, in one line, from a job's receipt.
fn containment(receipt: &std::path::Path) -> Option<String> {
    let receipt: serde_json::Value = serde_json::from_slice(&jobfs::own::read(receipt).ok()?).ok()?;
    let held = &receipt["predicate"]["containment"];
    let mut line = held["strength"].as_str()?.to_owned();
    if held["network_limited"] == true {
        line += ", network limited";
    }
    for limit in held["limits"].as_array().into_iter().flatten().filter_map(|limit| limit.as_str()) {
        let _ = write!(line, ", {limit}");
    }
    Some(line)
}

/// Columns below which a table leaves some of its own out.
const NARROW: usize = 90;

/// The columns of the terminal; none when it is none, or too narrow for a table to be cut.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns >= 40)
}

fn pretty(value: &serde_json::Value) -> Result<String> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::new(Kind::Internal, e.to_string()))?;
    Ok(text + "\n")
}

/// A length of time: `1m 1s`, from a day on `2d`.
pub(super) fn span(ms: i64) -> String {
    let whole = jiff::SignedDuration::from_millis(ms.max(0));
    if whole >= jiff::SignedDuration::from_hours(24) {
        return format!("{:#}", HumanDuration(whole.unsigned_abs()));
    }
    let unit =
        if whole >= jiff::SignedDuration::from_hours(1) { jiff::Unit::Minute } else { jiff::Unit::Second };
    let rounding = jiff::SignedDurationRound::new().smallest(unit).mode(jiff::RoundMode::Trunc);
    format!("{:#}", whole.round(rounding).unwrap_or(whole))
}

#[cfg(test)]
mod tests {
    use super::{choose, clock, span};
    use model::spec::JobId;

    #[test]
    fn a_job_is_named_by_its_beginning_and_the_nearest_is_offered() {
        let id = |text: &str| JobId::parse(&text.repeat(8)).expect("an id");
        let ids = [id("abcd"), id("abce"), id("1234")];
        let said = |text: &str| match choose(text, &ids) {
            Ok(id) => id.as_str()[..4].to_owned(),
            Err(error) => error.to_string().replace('\n', "; "),
        };
        let whole = ids[2].as_str().replace("12341", "12342");
        for (text, expected) in [
            ("12", "1234"),
            ("abce", "abce"),
            (ids[0].as_str(), "abcd"),
            ("abc", "several jobs begin with \"abc\"; hint: give more of its characters"),
            ("1243", &format!("no job begins with \"1243\"; hint: did you mean {}?", ids[2])),
            (&whole, &format!("there is no job {whole}; hint: did you mean {}?", ids[2])),
            ("ffff", "no job begins with \"ffff\"; hint: list them with `codex-worker jobs list`"),
            ("", "no job begins with \"\"; hint: list them with `codex-worker jobs list`"),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
    }

    #[test]
    fn times() {
        let spans: Vec<String> = [-5, 999, 61_000, 3_700_000, 200_000_000].into_iter().map(span).collect();
        assert_eq!(spans, ["0s", "0s", "1m 1s", "1h 1m", "2d"]);
        assert_eq!(clock(1_700_000_000_000), "22:13:20");
    }
}
