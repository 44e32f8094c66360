//! Collecting findings: one for each rule and location, severities as configured.

use std::collections::BTreeMap;

use codex_worker_policy::{Finding, JobFacts, Severity};
use serde::Deserialize;

/// Every rule with its severity; `docs/policies.md` says what satisfies each. A rule that
/// names two severities elsewhere gets the weaker one there.
pub const RULES: &[(&str, Severity)] = &[
    ("tests-weakened", Severity::Deny),
    ("test-removed", Severity::Deny),
    ("test-functions-removed", Severity::Deny),
    ("test-count-dropped", Severity::Deny),
    ("test-skipped", Severity::Deny),
    ("more-tests-skipped", Severity::Deny),
    ("all-tests-skipped", Severity::Deny),
    ("nothing-ran", Severity::Deny),
    ("failures-hidden", Severity::Deny),
    ("failure-swallowed", Severity::Deny),
    ("runner-config-changed", Severity::Deny),
    ("runner-hooked", Severity::Deny),
    ("comparison-overloaded", Severity::Deny),
    ("fake-summary", Severity::Deny),
    ("input-special-cased", Severity::Deny),
    ("history-copied", Severity::Deny),
    ("stub-claimed-done", Severity::Deny),
    ("claim-contradicted", Severity::Deny),
    ("no-change", Severity::Deny),
    ("assertions-weakened", Severity::Warn),
    ("assertion-empty", Severity::Warn),
    ("expectation-edited", Severity::Warn),
    ("test-focused", Severity::Warn),
    ("call-count-state", Severity::Warn),
    ("test-detected", Severity::Warn),
    ("environment-patched", Severity::Warn),
    ("history-read", Severity::Warn),
    ("stub-left", Severity::Warn),
    ("errors-silenced", Severity::Warn),
    ("mock-in-production", Severity::Warn),
    ("claim-unverified", Severity::Warn),
    ("answers-in-source", Severity::Warn),
    ("changes-unread", Severity::Warn),
];

/// What an operator makes of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    Deny,
    Warn,
    Info,
    Off,
}

/// The findings so far.
pub struct Findings<'a> {
    levels: &'a BTreeMap<String, Level>,
    list: Vec<Finding>,
}

impl<'a> Findings<'a> {
    /// None yet.
    pub fn new(levels: &'a BTreeMap<String, Level>) -> Findings<'a> {
        Findings { levels, list: Vec::new() }
    }

    /// A finding of a rule with its own severity; `at` is the file and the line, 0 when
    /// the whole file is meant.
    pub fn add(&mut self, rule: &str, at: Option<(&str, u32)>, message: String, remedy: &str) {
        let severity =
            RULES.iter().find(|(name, _)| *name == rule).map_or(Severity::Warn, |(_, severity)| *severity);
        self.add_as(rule, severity, at, message, remedy);
    }

    /// The same with a weaker severity, where the evidence is.
    pub fn add_as(
        &mut self,
        rule: &str,
        severity: Severity,
        at: Option<(&str, u32)>,
        message: String,
        remedy: &str,
    ) {
        let severity = match self.levels.get(rule) {
            Some(Level::Off) => return,
            Some(Level::Deny) => Severity::Deny,
            Some(Level::Warn) => Severity::Warn,
            Some(Level::Info) => Severity::Info,
            None => severity,
        };
        let path = at.map(|(path, _)| path.to_string());
        // The first location in a file represents all: the agent looks at the file anyway.
        if path.is_some() && self.list.iter().any(|f| f.rule == rule && f.path == path) {
            return;
        }
        self.list.push(Finding {
            rule: rule.into(),
            severity,
            message: one_line(&message),
            path,
            line: at.map(|(_, line)| line).filter(|line| *line > 0),
            remedy: Some(remedy.into()),
        });
    }

    /// All, the strictest first, then by rule and location.
    pub fn sorted(mut self) -> Vec<Finding> {
        self.list.sort_by(|a, b| {
            (a.severity, &a.rule, &a.path, a.line, &a.message)
                .cmp(&(b.severity, &b.rule, &b.path, b.line, &b.message))
        });
        self.list
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A piece of the line that a finding is about, for its message.
pub fn quote(text: &str) -> String {
    let text = text.trim();
    let end = text.floor_char_boundary(text.len().min(80));
    let tail = if end < text.len() { "…" } else { "" };
    format!("`{}{tail}`", &text[..end])
}

/// Whether the scope names this very file. A directory or a glob that holds it does not
/// say that a test may be taken away.
pub fn named(job: &JobFacts, path: &str) -> bool {
    let plain = |entry: &str| {
        let parts: Vec<&str> = entry.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        parts.join("/")
    };
    // `\\[slug\\]`: the name `[slug]`, written as a pattern.
    let unescaped = |entry: &str| {
        let mut name = plain(entry);
        for special in ['*', '?', '[', ']'] {
            name = name.replace(&format!("\\{special}"), &special.to_string());
        }
        name
    };
    let is_named = |entry: &String| plain(entry) == path || entry.contains('\\') && unescaped(entry) == path;
    job.scope.as_ref().is_some_and(|scope| scope.paths.iter().any(is_named))
}
