//! One plugin that was taken: its code, what it says of itself, the operator's settings for
//! it, and its warm instance.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::accept;
use super::ask::{Answer, OwnedQuestion, Question, ask};
use super::call::{CallError, Code, Instance};
use super::engine::Runtime;
use super::inspect::{Interface, Refusal};
use super::limits::Limits;
use super::lock::Mode;
use super::record;
use model::outcome::is_reserved;
use redact::sanitize;

/// How long all examples of a component may take.
const PROVE: Duration = Duration::from_secs(60);

/// What receipts record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginId {
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// SHA-256 of the component.
    pub digest: String,
    /// What it exports.
    pub interfaces: Vec<Interface>,
    /// Whether it counts.
    pub mode: Mode,
}

/// Where a component came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built into the host.
    Shipped,
    /// A file in the plugins directory, or one named on the command line.
    File(PathBuf),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Shipped => f.write_str("shipped"),
            Origin::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// An example of the component, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "documented in wit/")]
pub struct Example {
    pub name: String,
    pub interface: String,
    pub config: String,
    pub input: String,
    pub expected: String,
    pub why: String,
}

/// The operator's table `[plugins.<name>]`: `mode`, `replaces` and `limits` are the host's,
/// everything else is the plugin's own configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Overrides the lock's.
    pub mode: Option<Mode>,
    /// The kind whose shipped policy it replaces.
    pub replaces: Option<Interface>,
    /// Overrides the defaults.
    pub limits: Limits,
    /// JSON for `configure`, keys sorted.
    pub config: String,
}

impl Table {
    /// Takes the table apart.
    ///
    /// # Errors
    /// Names the plugin, the key and what would be accepted.
    pub fn parse(name: &str, value: Option<&serde_json::Value>) -> Result<Self, String> {
        let mut own = match value {
            None | Some(serde_json::Value::Null) => serde_json::Map::new(),
            Some(serde_json::Value::Object(map)) => map.clone(),
            Some(other) => return Err(format!("[plugins.{name}] is {other}, not a table")),
        };
        let mode = own.remove("mode").map(serde_json::from_value).transpose();
        let mode = mode.map_err(|error| format!("[plugins.{name}] mode: {error}"))?;
        let replaces = own.remove("replaces").map(serde_json::from_value).transpose();
        let replaces = replaces.map_err(|error| format!("[plugins.{name}] replaces: {error}"))?;
        let limits = own.remove("limits").map(serde_json::from_value).transpose();
        let limits = limits.map_err(|error| format!("[plugins.{name}] limits: {error}"))?;
        let config = serde_json::Value::Object(own).to_string();
        Ok(Table { mode, replaces, limits: limits.unwrap_or_default(), config })
    }
}

/// What `describe` gave, cleaned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct About {
    /// Lower case, digits, `-`.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// One line.
    pub summary: String,
}

/// A plugin in use.
pub struct Plugin {
    /// For receipts.
    pub id: PluginId,
    /// One line of the author's.
    pub summary: String,
    /// Where it came from.
    pub origin: Origin,
    /// The kind whose shipped policy it replaces.
    pub replaces: Option<Interface>,
    /// The limits of its calls.
    pub limits: Limits,
    /// SHA-256 of its configuration.
    pub config_digest: String,
    config: String,
    code: Code,
    warm: Mutex<Option<Instance>>,
}

/// Compiled code with its description, before the operator's settings are known.
pub struct Prepared {
    /// The code.
    pub code: Code,
    /// What it says of itself.
    pub about: About,
    /// SHA-256 of the component.
    pub digest: String,
}

impl Prepared {
    /// Compiles a component and asks it who it is.
    pub fn new(runtime: &Runtime, bytes: &[u8], digest: String) -> Result<Self, Refusal> {
        let code = Code::new(runtime, bytes)?;
        let limits = Limits::default();
        let start = |error: CallError| Refusal::Start(format!("it does not start: {error}"));
        let mut instance = code.start(limits).map_err(start)?;
        let (about,) = code
            .call(&mut instance, limits, |store, guest| guest.describe.call(store, ()))
            .map_err(|error| Refusal::Description(error.to_string()))?;
        let about =
            accept::about(about.name, &about.version, &about.summary).map_err(Refusal::Description)?;
        Ok(Prepared { code, about, digest })
    }

    /// The component's own examples.
    pub fn examples(&self) -> Result<Vec<Example>, Refusal> {
        let limits = Limits { transfer_bytes: 16 * 1024 * 1024, ..Limits::default() };
        let start = |error: CallError| Refusal::Start(format!("its examples cannot be read: {error}"));
        let mut instance = self.code.start(limits).map_err(start)?;
        let (examples,) = self
            .code
            .call(&mut instance, limits, |store, guest| guest.examples.call(store, ()))
            .map_err(start)?;
        let own = |example: super::bindings::v0_1::plugin::Example| {
            accept::example(Example {
                name: example.name,
                interface: example.interface,
                config: example.config,
                input: example.input,
                expected: example.expected,
                why: example.why,
            })
        };
        Ok(examples.into_iter().map(own).collect())
    }

    /// Runs the component's own examples; the number that held.
    pub fn prove(&self) -> Result<usize, Refusal> {
        self.prove_within(PROVE)
    }

    /// As [`Self::prove`]; each example has the limits of a call, all together have `time`.
    pub(super) fn prove_within(&self, time: Duration) -> Result<usize, Refusal> {
        let examples = self.examples()?;
        let begun = Instant::now();
        for (at, example) in examples.iter().enumerate() {
            // A job must not wait for thousands of slow ones.
            if begun.elapsed() > time {
                return Err(Refusal::Start(format!(
                    "its examples take too long: {at} of {} ran within {} s",
                    examples.len(),
                    time.as_secs()
                )));
            }
            self.run_example(example)
                .map_err(|difference| Refusal::Example { name: example.name.clone(), difference })?;
        }
        Ok(examples.len())
    }

    fn run_example(&self, example: &Example) -> Result<(), String> {
        let interface = Interface::parse(&example.interface)
            .ok_or_else(|| format!("there is no interface {}", sanitize::line(&example.interface, 40)))?;
        let question = OwnedQuestion::parse(interface, &example.input)
            .map_err(|error| format!("its input is {error}"))?;
        let expected = Answer::parse(interface, &example.expected)
            .map_err(|error| format!("its expected output is {error}"))?;
        if let Answer::Findings(findings) = &expected
            && let Some(reserved) = findings.iter().find(|finding| is_reserved(&finding.rule))
        {
            return Err(format!("the rule {} is the host's own: give it another name", reserved.rule));
        }
        let limits = Limits::default();
        let mut instance = start(&self.code, limits, &example.config).map_err(|error| error.to_string())?;
        let got = ask(&self.code, &mut instance, limits, question.as_question(), example.input.len() as u64)
            .map_err(|error| error.to_string())?;
        if got == expected {
            return Ok(());
        }
        let show =
            |answer: &Answer| sanitize::line(&serde_json::to_string(answer).unwrap_or_default(), 2_000);
        Err(format!("expected {}, got {}", show(&expected), show(&got)))
    }

    /// Configures it for use.
    pub fn into_plugin(self, origin: Origin, mode: Mode, table: &Table) -> Result<Plugin, Refusal> {
        if let Some(kind) = table.replaces.filter(|kind| !self.code.outside.interfaces.contains(kind)) {
            return Err(Refusal::Settings(format!(
                "[plugins.{}] replaces = \"{kind}\", and it exports no {kind} policy",
                self.about.name
            )));
        }
        let warm = start(&self.code, table.limits, &table.config)?;
        Ok(Plugin {
            id: PluginId {
                name: self.about.name,
                version: self.about.version,
                digest: self.digest,
                interfaces: self.code.outside.interfaces.clone(),
                mode,
            },
            summary: self.about.summary,
            origin,
            replaces: table.replaces,
            limits: table.limits,
            config_digest: record::digest(&table.config),
            config: table.config.clone(),
            code: self.code,
            warm: Mutex::new(Some(warm)),
        })
    }
}

/// Starts and configures an instance.
fn start(code: &Code, limits: Limits, config: &str) -> Result<Instance, Refusal> {
    let mut instance =
        code.start(limits).map_err(|error| Refusal::Start(format!("it does not start: {error}")))?;
    let config = if config.trim().is_empty() { "{}" } else { config };
    let (configured,) = code
        .call(&mut instance, limits, |store, guest| guest.configure.call(store, (config.to_owned(),)))
        .map_err(|error| Refusal::Start(format!("it cannot be configured: {error}")))?;
    configured.map_err(|refusal| Refusal::Configuration(accept::refusal(&refusal)))?;
    Ok(instance)
}

/// An answer, and what it took.
pub struct Call {
    /// The answer.
    pub answer: Result<Answer, CallError>,
    /// Microseconds.
    pub micros: u64,
    /// The policy's log lines.
    pub log: Vec<String>,
    /// Log lines that went over the limit and are gone.
    pub log_dropped: u64,
}

impl Plugin {
    /// `name@version`.
    pub fn label(&self) -> String {
        format!("{}@{}", self.id.name, self.id.version)
    }

    /// It exports this interface.
    pub fn answers(&self, interface: Interface) -> bool {
        self.id.interfaces.contains(&interface)
    }

    /// Asks the warm instance; a new one is started when there is none. `size` is the
    /// input's bytes.
    pub fn ask(&self, question: Question<'_>, size: u64) -> Call {
        let begun = Instant::now();
        let mut warm = self.warm.lock().unwrap_or_else(PoisonError::into_inner);
        let instance = match warm.take() {
            Some(instance) => Ok(instance),
            None => start(&self.code, self.limits, &self.config)
                .map_err(|refusal| CallError::Trap(refusal.to_string())),
        };
        let (answer, log, log_dropped) = match instance {
            Err(error) => (Err(error), Vec::new(), 0),
            Ok(mut instance) => {
                let answer = ask(&self.code, &mut instance, self.limits, question, size);
                let (log, log_dropped) = instance.take_log();
                // A trap may have left locks held or data half written inside.
                *warm = instance.reusable(self.limits).then_some(instance);
                (answer, log, log_dropped)
            }
        };
        Call { answer, micros: begun.elapsed().as_micros() as u64, log, log_dropped }
    }

    /// Throws the warm instance away, so that the next call meets a fresh one.
    pub fn forget(&self) {
        *self.warm.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What it imports and exports.
    pub fn outside(&self) -> &super::inspect::Outside {
        &self.code.outside
    }

    /// Loads one file by itself, whatever the plugins directory holds: for `plugin check`,
    /// `plugin run` and `policy replay`. Its examples are run.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn from_file(runtime: &Runtime, path: &Path, table: &Table) -> Result<Self, Refusal> {
        let bytes = read_file(path)?;
        let digest = record::digest(&bytes);
        let prepared = Prepared::new(runtime, &bytes, digest)?;
        prepared.prove()?;
        prepared.into_plugin(Origin::File(path.to_owned()), Mode::Enforce, table)
    }
}

/// Reads a component file, unless it is too large.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Refusal> {
    use std::io::Read;
    let unreadable = |error: std::io::Error| Refusal::Unreadable(error.to_string());
    let file = jobfs::own::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if size > super::inspect::MAX_FILE {
        return Err(Refusal::TooLarge(size));
    }
    let mut bytes = Vec::new();
    // A file that grows while it is read must not fill the memory.
    file.take(super::inspect::MAX_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
