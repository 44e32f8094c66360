//! Runs a job's check commands, each in a contained process tree of its own, and makes
//! results of them.
//!
//! Where they run: the ordinary run is in the job's working directory, which at that moment
//! holds exactly the recorded tree (the agent's processes are gone) and the dependencies
//! that git ignores (`node_modules`, `target`, `.venv`), without which most checks cannot
//! start. The guarded run and the baseline run on the base tree are in a directory of their
//! own, into which the ignored dependency directories are linked; the containment leaves
//! them read-only there. The crate `job` puts those directories together.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::out_of_band::{self, Reports};
use super::output::{Capped, cut};
use super::{guard, reports};
use contain::{self, Command, InForce, Limits};
use model::spec::CheckCommand;
use model::types::{CheckResult, CheckStatus, CommandOutput, Signal, UNCOUNTED};

/// Bytes of a check's output that its log keeps and the signals policies read.
const LOG_MAX: usize = 256 << 10;

/// At most this many checks that say `parallel` run at the same time.
const PARALLEL: usize = 4;

/// What reads and cleans what a check printed. Both methods block.
pub trait Reader: Send + Sync {
    /// The text without secrets.
    fn redact(&self, text: &str) -> String;
    /// What the signals policies read, and notes on those that could not.
    fn signals(&self, output: &CommandOutput) -> (Vec<Signal>, Vec<String>);
    /// Writes down the tag of a process tree that is about to be started. An error keeps it
    /// from being started: nobody could find its orphaned processes.
    fn started(&self, tag: &str) -> std::io::Result<()>;
}

/// Where checks run and what they may do.
#[derive(Clone, Debug)]
pub struct Site {
    /// The first allowed directory, or its copy.
    pub dir: PathBuf,
    /// The whole environment, without the variables of [`ENVIRONMENT`].
    pub env: std::collections::BTreeMap<String, String>,
    /// What they may do.
    pub limits: Limits,
    /// The beginning of each run's process tag; must be unique to the job and pass.
    pub tag: String,
    /// Bytes of output that a result keeps.
    pub output_max: usize,
    /// What is set besides `env`.
    pub variables: Variables,
    /// A directory that the checks may write, outside of the tree: there runners write reports
    /// beside their output. None not to ask them.
    pub reports: Option<PathBuf>,
}

/// The variables of a run besides those of its [`Site`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variables {
    /// All of [`ENVIRONMENT`].
    Ours,
    /// Only what any user may have set: a second environment, in which code that knows the
    /// first one by its variables shows itself. What waits for a terminal there (a watcher
    /// without `CI`) runs out of its time and is run again with ours.
    Plain,
}

/// What is set in a second environment too: a check must not ask, page, or leave compiled
/// files of altered sources behind.
const PLAIN: &[&str] = &["PAGER", "GIT_PAGER", "GIT_TERMINAL_PROMPT", "PYTHONDONTWRITEBYTECODE"];

/// Set for every check: no pagers, no progress bars, and no files written just because
/// something was imported. Nothing about colours: output that is no terminal has none by
/// itself, what comes all the same is stripped, and projects test these very variables.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("CI", "1"),
    ("TERM", "dumb"),
    ("PAGER", "cat"),
    ("GIT_PAGER", "cat"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("TQDM_DISABLE", "1"),
    ("PIP_PROGRESS_BAR", "off"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("NPM_CONFIG_PROGRESS", "false"),
    ("NPM_CONFIG_FUND", "false"),
    ("NPM_CONFIG_UPDATE_NOTIFIER", "false"),
    ("CARGO_TERM_PROGRESS_WHEN", "never"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHONUNBUFFERED", "1"),
];

/// One check that was run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// What the policies see.
    pub result: CheckResult,
    /// The redacted log.
    pub log: String,
    /// What could not be read, each one sentence.
    pub notes: Vec<String>,
    /// The containment that was in force; none if it did not start.
    pub in_force: Option<InForce>,
    /// It was ended by `cancel`; its result means nothing.
    pub cancelled: bool,
    /// What the runners wrote beside its output; none where they were not asked.
    pub reports: Option<Reports>,
}

/// Runs all of `checks`, those that say `parallel` together first, then the others one by
/// one; the results come in the order of `checks`. After a cancel the rest is not started.
pub async fn run(
    checks: &[CheckCommand],
    site: &Site,
    reader: &Arc<dyn Reader>,
    cancel: &CancellationToken,
) -> Vec<Ran> {
    let (together, alone): (Vec<_>, Vec<_>) =
        checks.iter().enumerate().partition(|(_, check)| check.parallel);
    let mut ran: Vec<(usize, Ran)> = futures_util::stream::iter(together)
        .map(|(n, check)| async move { (n, run_one(check, n, site, reader, cancel).await) })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    for (n, check) in alone {
        ran.push((n, run_one(check, n, site, reader, cancel).await));
    }
    ran.sort_by_key(|(n, _)| *n);
    ran.into_iter().map(|(_, ran)| ran).collect()
}

async fn run_one(
    check: &CheckCommand,
    number: usize,
    site: &Site,
    reader: &Arc<dyn Reader>,
    cancel: &CancellationToken,
) -> Ran {
    let (ran, disturbed) = run_with(check, number, site, reader, cancel).await;
    let hangs = site.variables == Variables::Plain && ran.result.status == CheckStatus::TimedOut;
    if (hangs || disturbed) && !ran.cancelled {
        let site = Site { variables: Variables::Ours, reports: None, ..site.clone() };
        return run_with(check, number, &site, reader, cancel).await.0;
    }
    ran
}

/// One run, and whether it may have failed because its runner was asked for a report.
async fn run_with(
    check: &CheckCommand,
    number: usize,
    site: &Site,
    reader: &Arc<dyn Reader>,
    cancel: &CancellationToken,
) -> (Ran, bool) {
    let not_run = |check, why: &str, cancelled| (not_run(check, why, cancelled), false);
    if cancel.is_cancelled() {
        return not_run(check, "not started: the job was ended", true);
    }
    let cwd = match directory(&site.dir, check.cwd.as_deref()) {
        Ok(cwd) => cwd,
        Err(why) => return not_run(check, &why, false),
    };
    let tag = format!("{}.{number}", site.tag);
    if let Err(error) = reader.started(&tag) {
        return not_run(check, &format!("cannot write its process tag: {error}"), false);
    }
    let mut env = site.env.clone();
    let set = |name: &str| site.variables == Variables::Ours || PLAIN.contains(&name);
    let variables = ENVIRONMENT.iter().filter(|(name, _)| set(name));
    env.extend(variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let asked = match ask(check, site, &mut env) {
        Ok(asked) => asked,
        Err(why) => return not_run(check, &format!("cannot ask for a report: {why}"), false),
    };
    let command = Command {
        argv: shell(&site.limits.renames.to_job(&check.command)),
        env,
        cwd: cwd.clone(),
        stdin: Vec::new(),
        limits: site.limits.clone(),
        tag,
    };
    let start = SystemTime::now();
    let capped = Mutex::new(Capped::new(LOG_MAX));
    let keep = |_stream: contain::Stream, bytes: &[u8]| {
        capped.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    };
    let ended = contain::run(command, keep, Duration::from_millis(check.timeout_ms), cancel.clone()).await;
    let (exit, in_force) = match ended {
        Ok(ended) => ended,
        Err(error) => return not_run(check, &format!("{error}"), false),
    };
    let (raw, raw_cut) = capped.into_inner().unwrap_or_else(PoisonError::into_inner).text();
    let raw = site.limits.renames.to_user(&raw);
    let status = match (exit.timed_out, exit.success()) {
        (true, _) => CheckStatus::TimedOut,
        (false, true) => CheckStatus::Passed,
        (false, false) => CheckStatus::Failed,
    };
    let read = {
        let (reader, check) = (Arc::clone(reader), check.clone());
        let exit_code = exit.code;
        tokio::task::spawn_blocking(move || {
            let disturbed = exit_code != Some(0) && asked.as_ref().is_some_and(|asked| asked.disturbs(&raw));
            let told = asked.map(out_of_band::Asked::read);
            let log = reader.redact(&raw);
            let left = reports::newer_than(&cwd, start);
            let (name, unread) = (check.name.clone(), left.unread);
            let (mut signals, mut notes) = reader.signals(&CommandOutput {
                name: check.name,
                command: check.command,
                exit_code,
                output: log.clone(),
                reports: left.reports,
            });
            if unread > 0 {
                notes.push(format!(
                    "check `{name}` left {unread} XML files that were too many or too large to be read as reports"
                ));
            }
            if let Some(told) = &told {
                counted(&mut signals, told);
            }
            (log, signals, notes, told, disturbed)
        })
        .await
    };
    let (log, signals, notes, told, disturbed) = read.unwrap_or_else(|error| {
        let note = format!("the output could not be read: {error}");
        (String::new(), Vec::new(), vec![note], None, false)
    });
    let (output, output_cut) = cut(&log, site.output_max);
    let ran = Ran {
        result: CheckResult {
            name: check.name.clone(),
            command: check.command.clone(),
            status,
            exit_code: exit.code,
            signal: exit.signal,
            duration_ms: u64::try_from(exit.duration.as_millis()).unwrap_or(u64::MAX),
            output,
            output_truncated: raw_cut || output_cut,
            signals,
            baseline: None,
            baseline_signals: Vec::new(),
            guarded: None,
        },
        log,
        notes,
        in_force: Some(in_force),
        cancelled: exit.cancelled,
        reports: told,
    };
    (ran, disturbed)
}

/// Asks the runners of a check that may run tests for a report.
fn ask(
    check: &CheckCommand,
    site: &Site,
    env: &mut std::collections::BTreeMap<String, String>,
) -> Result<Option<out_of_band::Asked>, String> {
    let Some(dir) = site.reports.as_ref().filter(|_| guard::may_run_tests(&check.command)) else {
        return Ok(None);
    };
    let random = || model::spec::JobId::random().map_err(|e| format!("no random numbers: {e}"));
    let (dir, name) = (dir.join(random()?.as_str()), random()?);
    out_of_band::ask(dir, name.as_str(), &check.command, env).map_err(|e| e.to_string())
}

/// Where the output told no count, that of the report counts.
fn counted(signals: &mut Vec<Signal>, told: &Reports) {
    if signals.iter().any(Signal::counts_tests) || !told.tell() {
        return;
    }
    signals.retain(|signal| signal.runner != UNCOUNTED);
    for report in told.ended.iter().filter(|report| report.session) {
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let counts = &report.counts;
        signals.push(Signal {
            runner: report.runner.clone(),
            passed: number(counts.passed),
            failed: number(counts.failed),
            skipped: number(counts.skipped),
            errors: 0,
            nothing_ran: counts.passed == 0 && counts.failed == 0,
            first_failures: Vec::new(),
        });
    }
}

fn not_run(check: &CheckCommand, why: &str, cancelled: bool) -> Ran {
    Ran {
        result: CheckResult {
            name: check.name.clone(),
            command: check.command.clone(),
            status: CheckStatus::NotRun,
            exit_code: None,
            signal: None,
            duration_ms: 0,
            output: why.to_owned(),
            output_truncated: false,
            signals: Vec::new(),
            baseline: None,
            baseline_signals: Vec::new(),
            guarded: None,
        },
        log: format!("{why}\n"),
        notes: Vec::new(),
        in_force: None,
        cancelled,
        reports: None,
    }
}

/// A command line's program and arguments. With bash a failing part of a pipe fails the
/// whole: `cargo test | tail` must not pass because `tail` does.
fn shell(command: &str) -> Vec<String> {
    let bash = ["/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash", "/opt/homebrew/bin/bash"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let argv: Vec<&str> = match bash {
        Some(bash) => vec![bash, "--noprofile", "--norc", "-o", "pipefail", "-c", command],
        None => vec!["/bin/sh", "-c", command],
    };
    argv.into_iter().map(str::to_owned).collect()
}

/// The directory of a check; the agent may have put a link in its place.
fn directory(root: &Path, cwd: Option<&str>) -> Result<PathBuf, String> {
    let Some(cwd) = cwd else { return Ok(root.to_owned()) };
    let resolve =
        |path: &Path| path.canonicalize().map_err(|e| format!("its directory {cwd} cannot be used: {e}"));
    let dir = resolve(&root.join(cwd))?;
    if dir.starts_with(resolve(root)?) {
        Ok(dir)
    } else {
        Err(format!("its directory {cwd} leads out of the job's"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::types::Signal;

    struct Plain;

    impl Reader for Plain {
        fn redact(&self, text: &str) -> String {
            text.replace("hunter2", "[REDACTED]")
        }
        fn signals(&self, output: &CommandOutput) -> (Vec<Signal>, Vec<String>) {
            (Vec::new(), vec![format!("{} reports", output.reports.len())])
        }
        fn started(&self, _tag: &str) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn check(name: &str, command: &str) -> CheckCommand {
        CheckCommand {
            name: name.into(),
            command: command.into(),
            timeout_ms: 20_000,
            cwd: None,
            must_fail_before: false,
            baseline: false,
            parallel: false,
        }
    }

    async fn run_in(dir: &Path, checks: &[CheckCommand], cancel: &CancellationToken) -> Vec<Ran> {
        let site = Site {
            dir: dir.to_owned(),
            env: [("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())].into(),
            limits: Limits { writable: vec![dir.to_owned()], ..Limits::default() },
            // The end of a run kills every process with its tag, other tests' too.
            tag: format!("test-{}", dir.display()),
            output_max: 1000,
            variables: Variables::Ours,
            reports: None,
        };
        let reader: Arc<dyn Reader> = Arc::new(Plain);
        run(checks, &site, &reader, cancel).await
    }

    #[tokio::test]
    async fn what_becomes_of_a_command() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dir = dir.path().canonicalize().expect("it is there");
        std::os::unix::fs::symlink("/etc", dir.join("out")).expect("linked");
        let slow = CheckCommand { timeout_ms: 300, ..check("slow", "sleep 60") };
        let outside = CheckCommand { cwd: Some("out".into()), ..check("outside", "true") };
        let checks = [
            // Two pipes, whose order nobody keeps: the second writer waits.
            check("ok", "echo one; sleep 0.3; echo two >&2"),
            check("pipe", "false | cat"),
            check("code", "printf '\\033[31mred\\033[0m\\n'; exit 3"),
            check("secret", "echo password hunter2"),
            check("quiet", "echo $CI $PAGER${NO_COLOR:+ NO_COLOR}"),
            outside,
            slow,
            check("killed", "kill -9 $$"),
        ];
        let lines: Vec<String> = run_in(&dir, &checks, &CancellationToken::new())
            .await
            .into_iter()
            .map(|ran| {
                let result = ran.result;
                // A PID namespace shows a signal as an exit code, a process group as a signal.
                let code = match result.name.as_str() {
                    "slow" | "killed" => String::new(),
                    _ => result.exit_code.map_or("-".to_owned(), |code| code.to_string()),
                };
                let output = result.output.trim().replace('\n', "/");
                format!("{} {:?} {code} {output}", result.name, result.status).trim_end().to_owned()
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        ok Passed 0 one/two
        pipe Failed 1
        code Failed 3 red
        secret Passed 0 password [REDACTED]
        quiet Passed 0 1 cat
        outside NotRun - its directory out leads out of the job's
        slow TimedOut
        killed Failed
        ");
    }

    #[tokio::test]
    async fn parallel_checks_overlap_and_keep_their_order() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Each waits for the other one's file, so that they only end together.
        let wait = |own: &str, other: &str| CheckCommand {
            parallel: true,
            ..check(own, &format!("touch {own}; while [ ! -e {other} ]; do sleep 0.05; done"))
        };
        let ran = run_in(
            dir.path(),
            &[wait("a", "b"), check("c", "true"), wait("b", "a")],
            &CancellationToken::new(),
        )
        .await;
        let seen: Vec<_> = ran.iter().map(|r| (r.result.name.as_str(), r.result.status)).collect();
        assert_eq!(
            seen,
            [("a", CheckStatus::Passed), ("c", CheckStatus::Passed), ("b", CheckStatus::Passed)]
        );
    }

    #[tokio::test]
    async fn a_cancel_ends_the_running_check_and_starts_no_other() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let cancel = CancellationToken::new();
        let checks = [check("long", "touch began; sleep 60"), check("next", "touch never")];
        let fire = async {
            while !dir.path().join("began").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            cancel.cancel();
        };
        let (ran, ()) = tokio::join!(run_in(dir.path(), &checks, &cancel), fire);
        assert!(ran.iter().all(|r| r.cancelled));
        assert!(!dir.path().join("never").exists());
    }
}
