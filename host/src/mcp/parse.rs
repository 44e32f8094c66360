//! From `start`'s arguments to a [`JobSpec`]: the only location that sees raw paths. Every
//! refusal says what was wrong with the value seen and what to do.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::mcp::tools::{CheckArgs, ScopedPatchArgs, StartArgs};
use config::{Config, Isolation};
use model::error::{Error, Kind, Result};
use model::money::Money;
use model::outcome::check_log;
use model::spec::{AllowedDir, CheckCommand, JobId, JobSpec, OnViolation, PermissionMode, ScopedPatch, Tier};
use verify::guard::Patterns;
use workspace::root;

/// Bytes. A longer task belongs into a file that the agent reads.
const PROMPT_MAX: usize = 1_000_000;
const CHECKS_MAX: usize = 20;
const DIRS_MAX: usize = 16;
const PATHS_MAX: usize = 500;
const LABELS_MAX: usize = 20;
/// Bytes of a check's name, a label or an idempotency key.
const NAME_MAX: usize = 200;
const REVISE_MAX: u64 = 10;
/// A week.
const TIMEOUT_MAX_MS: u64 = 7 * 24 * 3600 * 1000;

fn usage(message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::new(Kind::Usage, message).hint(hint)
}

/// Checks `args` and fills in what they leave out: first from the reliability tier,
/// then from `config`. Whether `resume` names a job is for the store to say.
pub fn job_spec(args: StartArgs, config: &Config) -> Result<JobSpec> {
    // Neither the store nor the agent gets a key that the planner repeats.
    let secrets = adapter::certain_secrets(config);
    let prompt = secrets.known_secrets_only(&prompt(&args.prompt)?);
    let permission_mode = permission_mode(&args, config)?;
    let reliability_tier = args.reliability_tier.or(config.reliability_tier);
    let preset = Preset::of(reliability_tier, config);
    let allowed_dirs = directories(&args.allowed_dirs, config)?;
    let isolation = args.isolation.unwrap_or(preset.isolation);
    if permission_mode.may_edit() && isolation == Isolation::None {
        writable_as_root(&allowed_dirs)?;
    }
    let mut checks = checks(args.checks, config)?;
    for check in &mut checks {
        check.name = secrets.known_secrets_only(&check.name);
    }
    let scoped_patch = args.scoped_patch.map(scope).transpose()?;
    // Checked now, and not when the agent has done its work.
    Patterns::new(&config.guard_patterns).map_err(|e| {
        Error::new(Kind::Config, format!("WORKER_GUARD_PATTERNS cannot be used: {e}"))
            .hint("give globs such as `acceptance/**`, or `!tests/support/**` to take files out")
    })?;
    if preset.proof_needed {
        if checks.is_empty() {
            return Err(usage(
                "reliability_tier strict and critical need at least one check",
                "add checks: commands that must pass on the result",
            ));
        }
        if scoped_patch.is_none() {
            return Err(usage(
                "reliability_tier strict and critical need a scoped_patch",
                "add scoped_patch.paths: where the agent may write",
            ));
        }
    }
    Ok(JobSpec {
        prompt,
        allowed_dirs,
        model: args.model.filter(|model| !model.trim().is_empty()),
        permission_mode,
        include_diff: args.include_diff.unwrap_or(config.include_diff),
        scoped_patch,
        on_violation: args.on_violation.unwrap_or(OnViolation::Fail),
        checks,
        guard_tests: args.guard_tests.unwrap_or(preset.guard_tests),
        max_revise_passes: revise_passes(args.auto_revise.as_ref(), preset.revise_passes)?,
        isolation,
        copy_in: inside(args.copy_in, "copy_in")?,
        setup: args.setup.or_else(|| config.setup_command.clone()).filter(|line| !line.trim().is_empty()),
        timeout_ms: timeout(args.timeout_ms, config.job_timeout.as_millis(), "timeout_ms", 1000)?,
        resume: resume(args.resume.as_deref())?,
        idempotency_key: short(args.idempotency_key, "idempotency_key")?,
        labels: labels(args.labels)?
            .into_iter()
            .map(|(name, value)| (secrets.known_secrets_only(&name), secrets.known_secrets_only(&value)))
            .collect(),
        reliability_tier,
        expects_change: args.expects_change,
        max_cost: max_cost(args.max_cost, config)?,
    })
}

/// A planner may ask for less than the host allows, not for more.
fn max_cost(arg: Option<f64>, config: &Config) -> Result<Option<Money>> {
    let Some(units) = arg else { return Ok(config.budget.job) };
    let asked = Money::from_units(units).filter(|asked| asked.nanos() > 0).ok_or_else(|| {
        usage(format!("max_cost is {units}, which is no amount"), "give a number above 0, such as 0.25")
    })?;
    match config.budget.job {
        Some(most) if asked > most => Err(Error::new(
            Kind::Refused,
            format!("max_cost is {asked}; this host allows {most} a job (WORKER_MAX_COST)"),
        )
        .hint("ask for less, or leave max_cost out")),
        _ => Ok(Some(asked)),
    }
}

/// What a reliability tier sets for arguments that were left out.
struct Preset {
    guard_tests: bool,
    revise_passes: u32,
    isolation: Isolation,
    /// Without checks and a scope nothing is proved: refused.
    proof_needed: bool,
}

impl Preset {
    fn of(tier: Option<Tier>, config: &Config) -> Preset {
        let plain = Preset {
            guard_tests: config.guard_tests,
            revise_passes: config.auto_revise,
            isolation: config.isolation,
            proof_needed: false,
        };
        match tier {
            None => plain,
            Some(Tier::Lite) => Preset { guard_tests: false, revise_passes: 0, ..plain },
            Some(Tier::Standard) => Preset { guard_tests: true, ..plain },
            Some(Tier::Strict) => Preset {
                guard_tests: true,
                revise_passes: config.auto_revise.max(1),
                isolation: plain.isolation,
                proof_needed: true,
            },
            Some(Tier::Critical) => Preset {
                guard_tests: true,
                revise_passes: config.auto_revise.max(2),
                isolation: Isolation::Worktree,
                proof_needed: true,
            },
        }
    }
}

fn prompt(text: &str) -> Result<String> {
    if text.trim().is_empty() {
        return Err(usage("prompt is empty", "say what the agent is to do; it sees nothing else"));
    }
    if text.len() > PROMPT_MAX {
        return Err(usage(
            format!("prompt is {} bytes long; the limit is {PROMPT_MAX}", text.len()),
            "put long material into a file inside allowed_dirs and name it in the prompt",
        ));
    }
    Ok(text.to_owned())
}

fn permission_mode(args: &StartArgs, config: &Config) -> Result<PermissionMode> {
    let mode = args.permission_mode.unwrap_or(config.agent.permission_mode);
    if mode == PermissionMode::BypassPermissions && !config.agent.allow_bypass {
        return Err(Error::new(
            Kind::Refused,
            "permission_mode bypassPermissions is refused: ALLOW_BYPASS_PERMISSIONS is not 1",
        )
        .hint("use acceptEdits, or set ALLOW_BYPASS_PERMISSIONS=1 for this server if you mean it"));
    }
    Ok(mode)
}

/// Every directory of our own, which no job may hold or lie in.
pub(crate) fn forbidden(config: &Config) -> Vec<PathBuf> {
    // The file and not its directory: it may be in a home directory, above every project.
    let file = config.config_file.clone();
    let own = [Some(config.home.clone()), Some(config.plugins_dir.clone()), file, config.key_file.clone()]
        .into_iter()
        .flatten();
    // A component that is linked into the plugins directory is loaded from where it is.
    own.chain(policy::load::linked(&config.plugins_dir)).collect()
}

/// The configured sandbox root, or how to set one.
pub(crate) fn sandbox_root(config: &Config) -> Result<&Path> {
    config.sandbox_root.as_deref().ok_or_else(|| {
        Error::new(Kind::Config, "SANDBOX_ROOT is not set, so no directory may be worked in")
            .hint("set SANDBOX_ROOT to the directory that holds your repositories")
    })
}

fn directories(raw: &[String], config: &Config) -> Result<Vec<AllowedDir>> {
    if raw.is_empty() {
        return Err(usage("allowed_dirs is empty", "name the directory of the repository to work in"));
    }
    if raw.len() > DIRS_MAX {
        return Err(usage(
            format!("allowed_dirs holds {} directories; the limit is {DIRS_MAX}", raw.len()),
            "name one directory that holds them",
        ));
    }
    let sandbox = sandbox_root(config)?;
    let forbidden = forbidden(config);
    let mut dirs: Vec<AllowedDir> = Vec::new();
    for path in raw {
        let dir = root::resolve(path, sandbox, &forbidden)?;
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    Ok(dirs)
}

/// Root without its capabilities, as every contained process is, is nobody special: it cannot
/// write another user's directory.
fn writable_as_root(dirs: &[AllowedDir]) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    for dir in dirs.iter().filter(|_| rustix::process::geteuid().is_root()) {
        let Ok(meta) = dir.path().metadata() else { continue };
        let group = meta.gid() == 0 && meta.mode() & 0o020 != 0;
        let writable = meta.uid() == 0 || group || meta.mode() & 0o002 != 0;
        if !writable && contain::strength().limits_files() {
            let (path, owner) = (dir.path().display(), meta.uid());
            return Err(Error::new(
                Kind::Refused,
                format!("{path} belongs to user {owner}, and a job of root's runs without root's privileges: it could not write there"),
            )
            .hint(format!("run codex-worker as user {owner}"))
            .hint("or use isolation \"worktree\""));
        }
    }
    Ok(())
}

fn checks(args: Vec<CheckArgs>, config: &Config) -> Result<Vec<CheckCommand>> {
    if args.len() > CHECKS_MAX {
        return Err(usage(
            format!("checks holds {} commands; the limit is {CHECKS_MAX}", args.len()),
            "join commands with && under one name",
        ));
    }
    let (mut names, mut logs) = (BTreeSet::new(), BTreeSet::new());
    let mut checks = Vec::new();
    for (index, check) in args.into_iter().enumerate() {
        let location = format!("checks[{index}]");
        let name = short(Some(check.name), &format!("{location}.name"))?.unwrap_or_default();
        if name.is_empty() {
            return Err(usage(format!("{location}.name is empty"), "give it a name such as \"unit tests\""));
        }
        if check.command.trim().is_empty() {
            return Err(usage(
                format!("{location}.command is empty"),
                "give it a command such as \"cargo test\"",
            ));
        }
        if !names.insert(name.clone()) {
            return Err(usage(
                format!("{location}.name {name:?} is used twice"),
                "give each check a name of its own: results are told apart by it",
            ));
        }
        if !logs.insert(check_log(&name)) {
            return Err(usage(
                format!("{location}.name {name:?} gives the same log file as another check"),
                "let the names differ in letters or digits",
            ));
        }
        let timeout_ms = timeout(
            check.timeout_ms,
            config.check_timeout.as_millis(),
            &format!("{location}.timeout_ms"),
            100,
        )?;
        let cwd = match check.cwd {
            Some(cwd) => inside(vec![cwd], &format!("{location}.cwd"))?.pop().filter(|cwd| cwd != "."),
            None => None,
        };
        checks.push(CheckCommand {
            name,
            command: check.command,
            timeout_ms,
            cwd,
            must_fail_before: check.must_fail_before,
            baseline: check.baseline,
            parallel: check.parallel,
        });
    }
    Ok(checks)
}

fn scope(args: ScopedPatchArgs) -> Result<ScopedPatch> {
    if args.paths.is_empty() {
        return Err(usage(
            "scoped_patch.paths is empty",
            "name prefixes or globs relative to the first directory, or leave scoped_patch out",
        ));
    }
    Ok(ScopedPatch { paths: inside(args.paths, "scoped_patch.paths")?, max_diff_bytes: args.max_diff_bytes })
}

/// Relative paths that do not climb out of the first directory.
fn inside(paths: Vec<String>, location: &str) -> Result<Vec<String>> {
    if paths.len() > PATHS_MAX {
        return Err(usage(
            format!("{location} holds {} paths; the limit is {PATHS_MAX}", paths.len()),
            "use globs such as src/**",
        ));
    }
    for path in &paths {
        let climbs = Path::new(path).components().any(|part| part == Component::ParentDir);
        let rooted = path.starts_with(['/', '\\', '~']) || Path::new(path).is_absolute();
        if path.trim().is_empty() || climbs || rooted {
            return Err(usage(
                format!("{location} holds {path:?}, which is not a path below the first directory"),
                "use paths relative to allowed_dirs[0], without ..",
            ));
        }
    }
    Ok(paths)
}

fn revise_passes(arg: Option<&Value>, default: u32) -> Result<u32> {
    let passes = match arg {
        None => return Ok(default),
        Some(Value::Bool(false)) => 0,
        Some(Value::Bool(true)) => u64::from(default.max(1)),
        Some(value) => value.get("max_passes").and_then(Value::as_u64).ok_or_else(|| {
            usage(format!("auto_revise is {value}"), "use true, false or {\"max_passes\": 2}")
        })?,
    };
    match u32::try_from(passes) {
        Ok(passes) if u64::from(passes) <= REVISE_MAX => Ok(passes),
        _ => Err(usage(
            format!("auto_revise.max_passes is {passes}; the limit is {REVISE_MAX}"),
            "more passes than that have not helped; start a new job with what you know now",
        )),
    }
}

fn timeout(arg: Option<u64>, default: u128, location: &str, min: u64) -> Result<u64> {
    let value = arg.unwrap_or_else(|| u64::try_from(default).unwrap_or(TIMEOUT_MAX_MS));
    if (min..=TIMEOUT_MAX_MS).contains(&value) {
        return Ok(value);
    }
    Err(usage(
        format!("{location} is {value}, which is not from {min} to {TIMEOUT_MAX_MS}"),
        "it is in milliseconds; leave it out for the configured limit",
    ))
}

fn resume(arg: Option<&str>) -> Result<Option<JobId>> {
    match arg {
        None => Ok(None),
        Some(text) => match JobId::parse(text) {
            Some(id) => Ok(Some(id)),
            None => Err(usage(
                format!("resume is {text:?}, which is not a job id"),
                "use the job_id that start gave: 32 hexadecimal digits",
            )),
        },
    }
}

fn short(text: Option<String>, location: &str) -> Result<Option<String>> {
    match text {
        Some(text) if text.len() > NAME_MAX || text.chars().any(char::is_control) => Err(usage(
            format!("{location} is longer than {NAME_MAX} bytes or holds a control character"),
            "use a short text of one line",
        )),
        Some(text) => Ok(Some(text.trim().to_owned())),
        None => Ok(None),
    }
}

fn labels(
    labels: std::collections::BTreeMap<String, String>,
) -> Result<std::collections::BTreeMap<String, String>> {
    if labels.len() > LABELS_MAX {
        return Err(usage(
            format!("labels holds {} entries; the limit is {LABELS_MAX}", labels.len()),
            "keep the few that you look for",
        ));
    }
    for (name, value) in &labels {
        short(Some(name.clone()), "labels")?;
        short(Some(value.clone()), &format!("labels.{name}"))?;
    }
    Ok(labels)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
