//! A job's receipt: what was judged by what, as an in-toto Statement. Its subjects are the
//! artifacts and the result tree by digest; a seal beside it holds the digest of the
//! receipt itself, signed when a key is configured. `verify` recomputes all of it.

use std::collections::BTreeMap;
use std::path::Path;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::artifacts;
use crate::conclude::Ending;
use crate::paths::JobPaths;
use crate::store::JobRow;
use config::Config;
use evidence::{Recorder, changes};
use model::error::{Error, Kind, Result};
use model::hex;
use model::result::{Artifact, JobResult};
use model::spec::{JobId, JobSpec};
use verify::outcome::Verdict;

/// The receipt's name in the job's directory.
pub const RECEIPT: &str = "receipt.json";
/// The seal's name.
pub const SEAL: &str = "receipt.seal.json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// Never changes its meaning: a new form gets a new number.
const PREDICATE: &str = "https://github.com/codex-worker/codex-worker/receipt/v1";

/// What the worker knows beside the result.
pub struct Facts<'a> {
    /// The job.
    pub id: &'a JobId,
    /// What was asked for.
    pub spec: &'a JobSpec,
    /// What the planner gets.
    pub result: &'a JobResult,
    /// What is known of the end.
    pub ending: &'a Ending,
    /// Takes secrets out of what others wrote.
    pub redact: &'a dyn Fn(&str) -> String,
}

/// Findings that stand in the receipt itself; all of them are in `findings.json`.
const FINDINGS_MAX: usize = 200;

/// The seal: says whether the receipt is the one that was written, and by whom.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    v: u32,
    /// SHA-256 of the receipt's bytes.
    sha256: String,
    /// Ed25519, hexadecimal; absent when no key is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    /// Of the receipt's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn json_digest(value: &impl Serialize) -> String {
    // Through a value: its members are sorted, so the digest does not hang on field order.
    let value = serde_json::to_value(value).unwrap_or_default();
    digest(value.to_string().as_bytes())
}

/// Writes the receipt and its seal. Blocks; the artifacts are complete before.
pub fn write(config: &Config, facts: &Facts<'_>) -> Result<()> {
    let paths = JobPaths::new(&config.home, facts.id);
    let statement = statement(&paths, facts)?;
    let text = serde_json::to_string_pretty(&statement).map_err(internal)? + "\n";
    let mut seal = Seal { v: 1, sha256: digest(text.as_bytes()), public_key: None, signature: None };
    if let Some(key) = key_pair(config)? {
        seal.public_key = Some(hex::encode(key.public_key().as_ref()));
        seal.signature = Some(hex::encode(key.sign(text.as_bytes()).as_ref()));
    }
    let seal = serde_json::to_string_pretty(&seal).map_err(internal)? + "\n";
    for (name, content) in [(RECEIPT, text), (SEAL, seal)] {
        artifacts::write_whole(&paths.root().join(name), content.as_bytes()).map_err(|error| {
            Error::new(Kind::Environment, format!("failed to write {name}: {error}")).caused_by(error)
        })?;
    }
    Ok(())
}

fn internal(error: serde_json::Error) -> Error {
    Error::new(Kind::Internal, format!("the receipt could not be written: {error}"))
}

fn statement(paths: &JobPaths, facts: &Facts<'_>) -> Result<Value> {
    let mut subjects = Vec::new();
    for Artifact { name, .. } in artifacts::list(&paths.artifacts()) {
        let bytes = jobfs::own::read(paths.artifacts().join(&name)).map_err(|error| {
            Error::new(Kind::Environment, format!("failed to read artifact {name}: {error}"))
        })?;
        subjects.push(json!({"name": format!("artifacts/{name}"), "digest": {"sha256": digest(&bytes)}}));
    }
    if let Ok(bytes) = jobfs::own::read(paths.decisions()) {
        subjects.push(json!({"name": "decisions.jsonl", "digest": {"sha256": digest(&bytes)}}));
    }
    let ending = facts.ending;
    let evidence = ending.evidence.as_ref();
    let (checks, verdicts) = match &ending.judgement {
        Some(judgement) => (judgement.checks.as_slice(), judgement.verdicts.as_slice()),
        None => (&[][..], &[][..]),
    };
    if let Some(tree) = evidence.map(|evidence| &evidence.tree) {
        subjects.push(json!({"name": "result-tree", "digest": {"gitTree": tree}}));
    }
    let checks: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({
                "name": (facts.redact)(&check.name), "command": (facts.redact)(&check.command), "status": check.status,
                "exit_code": check.exit_code, "signal": check.signal, "guarded": check.guarded,
                "baseline": check.baseline, "log": format!("artifacts/{}", artifacts::check_log(&check.name)),
                "output_sha256": jobfs::own::read(paths.artifacts().join(artifacts::check_log(&check.name)))
                    .ok()
                    .map(|log| digest(&log)),
            })
        })
        .collect();
    let findings: Vec<Value> = verdicts
        .iter()
        .take(FINDINGS_MAX)
        .map(|Verdict { by, finding, .. }| {
            json!({
                "by": by, "rule": finding.rule, "severity": finding.severity,
                "path": finding.path.as_deref().map(facts.redact), "line": finding.line,
            })
        })
        .collect();
    Ok(json!({
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {
            "v": 1,
            "job_id": facts.id,
            "host": format!("codex-worker {}", env!("CARGO_PKG_VERSION")),
            "finished": jiff::Timestamp::now().to_string(),
            "job_status": facts.result.job_status,
            "failure": facts.result.failure.as_ref().map(|failure| failure.kind),
            "decided_by": ending.outcome.decided_by,
            "request_sha256": json_digest(facts.spec),
            "result_sha256": json_digest(facts.result),
            "base_tree": evidence.map(|evidence| &evidence.base_tree),
            "result_tree": evidence.map(|evidence| &evidence.tree),
            "agent": ending.agent_name,
            "containment": ending.containment.agent,
            "check_containment": ending.containment.checks,
            "policies": ending.policies,
            "findings": findings,
            "checks": checks,
            "attempts": facts.result.attempts,
            "usage": facts.result.usage,
        }
    }))
}

/// The configured key: a file with 64 hexadecimal digits, an Ed25519 seed.
fn key_pair(config: &Config) -> Result<Option<Ed25519KeyPair>> {
    let Some(path) = &config.receipt_key else { return Ok(None) };
    let bad = |what: String| {
        Error::new(Kind::Config, format!("WORKER_RECEIPT_KEY {}: {what}", path.display()))
            .hint("make one with: head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n'")
    };
    let text = jobfs::own::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let seed = unhex(text.trim())
        .filter(|seed| seed.len() == 32)
        .ok_or_else(|| bad("this is not 64 hexadecimal digits".to_owned()))?;
    Ed25519KeyPair::from_seed_unchecked(&seed).map(Some).map_err(|error| bad(error.to_string()))
}

/// What a verification found.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Everything that could be recomputed is as it was.
    pub ok: bool,
    /// `signed by <key>`, `signed by another key`, or `not signed`.
    pub signature: String,
    /// What was recomputed and is as it was.
    pub checked: Vec<String>,
    /// What is not as it was, each one sentence.
    pub wrong: Vec<String>,
}

/// The receipt's text.
pub fn read(config: &Config, id: &JobId) -> Result<String> {
    let path = JobPaths::new(&config.home, id).root().join(RECEIPT);
    jobfs::own::read_to_string(&path).map_err(|error| {
        Error::new(Kind::NotFound, format!("job {id} has no receipt: {error}"))
            .hint("a receipt is written when a job ends; one that was interrupted has none")
    })
}

/// Recomputes what the receipt says about `row`'s job.
pub fn verify(config: &Config, row: &JobRow) -> Result<Verified> {
    let paths = JobPaths::new(&config.home, &row.id);
    let text = read(config, &row.id)?;
    let mut found =
        Verified { ok: false, signature: "not signed".to_owned(), checked: Vec::new(), wrong: Vec::new() };
    check_seal(config, paths.root(), &text, &mut found);
    match serde_json::from_str::<Value>(&text) {
        Ok(statement) => check_statement(&statement, &paths, row, &mut found),
        Err(error) => found.wrong.push(format!("{RECEIPT} is not JSON: {error}")),
    }
    found.ok = found.wrong.is_empty();
    Ok(found)
}

fn check_seal(config: &Config, root: &Path, text: &str, found: &mut Verified) {
    let read = jobfs::own::read_to_string(root.join(SEAL)).map_err(|error| error.to_string());
    let parsed = read.and_then(|sealed| {
        let seal: Seal = serde_json::from_str(&sealed).map_err(|error| error.to_string())?;
        // As it was written, white space included: any other byte is a change.
        let same = serde_json::to_string_pretty(&seal).is_ok_and(|again| again + "\n" == sealed);
        if same { Ok(seal) } else { Err("it is not in the form in which it was written".to_owned()) }
    });
    let seal = match parsed {
        Ok(seal) => seal,
        Err(error) => {
            found.wrong.push(format!("{SEAL} cannot be read: {error}"));
            return;
        }
    };
    if seal.v != 1 {
        found.wrong.push(format!("this version cannot read a seal of version {}", seal.v));
    }
    found.expect(seal.sha256 == digest(text.as_bytes()), RECEIPT, "it is not the receipt that was sealed");
    let own = key_pair(config).ok().flatten().map(|key| hex::encode(key.public_key().as_ref()));
    let (Some(key), Some(signature)) = (&seal.public_key, &seal.signature) else {
        // Who signs expects a signature: taking one off is a change as well.
        if own.is_some() || seal.public_key.is_some() || seal.signature.is_some() {
            found.wrong.push("the seal holds no signature".to_owned());
        }
        return;
    };
    let valid = unhex(key).zip(unhex(signature)).is_some_and(|(key, signature)| {
        UnparsedPublicKey::new(&ED25519, key).verify(text.as_bytes(), &signature).is_ok()
    });
    found.expect(valid, "signature", "it does not fit the receipt");
    found.signature = match own {
        Some(own) if own == *key => format!("signed by {key}"),
        Some(_) => {
            found.wrong.push(format!("signed by another key, {key}"));
            "signed by another key".to_owned()
        }
        None => format!("signed by {key}, which is not configured here"),
    };
}

fn check_statement(statement: &Value, paths: &JobPaths, row: &JobRow, found: &mut Verified) {
    let predicate = &statement["predicate"];
    if statement["predicateType"] != PREDICATE || predicate["v"] != 1 {
        found.wrong.push(format!("this version cannot read {}", statement["predicateType"]));
        return;
    }
    found.expect(predicate["job_id"] == row.id.as_str(), "job_id", "it is another job's");
    found.expect(
        predicate["request_sha256"] == json_digest(&row.spec),
        "request",
        "the stored request differs",
    );
    match &row.result {
        Some(result) => {
            found.expect(
                predicate["result_sha256"] == json_digest(result),
                "result",
                "the stored result differs",
            );
        }
        None => found.wrong.push("result: the store has none".to_owned()),
    }
    let mut named = BTreeMap::new();
    for subject in statement["subject"].as_array().into_iter().flatten() {
        let name = subject["name"].as_str().unwrap_or_default();
        if let Some(sha256) = subject["digest"]["sha256"].as_str() {
            named.insert(name.to_owned(), sha256.to_owned());
        }
    }
    for (name, sha256) in &named {
        // Names are ours, but the receipt may not be: nothing outside is read.
        let plain = Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let bytes = if plain { jobfs::own::read(paths.root().join(name)).ok() } else { None };
        match bytes {
            Some(bytes) => found.expect(digest(&bytes) == *sha256, name, "its bytes were changed"),
            None => found.wrong.push(format!("{name}: it is gone")),
        }
    }
    check_trees(predicate, paths, found);
    for Artifact { name, .. } in artifacts::list(&paths.artifacts()) {
        if !named.contains_key(&format!("artifacts/{name}")) {
            found.wrong.push(format!("artifacts/{name}: it was added later"));
        }
    }
}

/// The recorded trees: each directory of the result and each file that the job made is
/// there, and its content is what its name says.
fn check_trees(predicate: &Value, paths: &JobPaths, found: &mut Verified) {
    let (Some(base), Some(result)) = (predicate["base_tree"].as_str(), predicate["result_tree"].as_str())
    else {
        return;
    };
    let recorder = match Recorder::reopen(&paths.shadow()) {
        Ok(recorder) => recorder,
        Err(error) => {
            found.wrong.push(format!("result-tree: {error}"));
            return;
        }
    };
    found.expect(recorder.base_tree() == base, "base-tree", "the record holds another one");
    match changes::verify_tree(recorder.shadow(), result) {
        Ok(()) => found.checked.push("result-tree".to_owned()),
        Err(error) => found.wrong.push(format!("result-tree: {error}")),
    }
}

impl Verified {
    fn expect(&mut self, holds: bool, what: &str, otherwise: &str) {
        if holds {
            self.checked.push(what.to_owned());
        } else {
            self.wrong.push(format!("{what}: {otherwise}"));
        }
    }
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod tests;
