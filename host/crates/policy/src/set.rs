//! The policies of one job: loaded once, asked in order, every decision recorded.
//!
//! All methods block (a call may take seconds): call them off the async threads.

use std::sync::{Mutex, PoisonError};

use super::accept;
use super::ask::{Answer, Question};
use super::compose::{self, Judged};
use super::inspect::Interface;
use super::load::{Broken, Loaded, Settings, Unused, load};
use super::lock::Mode;
use super::plugin::{Call, Origin, Plugin, PluginId};
use super::record::{self, Decision};
use super::replay::Verdict;
use model::types::{
    CommandOutput, Draft, Finding, Found, Mutants, MutationInput, PromptInput, ScopeInput, Signal, Span,
    VerifyInput,
};

/// Redaction is asked piece by piece; a piece has at most about this many bytes.
const PIECE: usize = 1024 * 1024;
/// Decisions of redaction are many and without input; more than this are only counted.
const MAX_REDACTION_RECORDS: u32 = 200;

/// What the signals policies read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Each with the `name@version` of its policy.
    pub signals: Vec<(String, Signal)>,
    /// One line for each policy that gave nothing because it failed.
    pub notes: Vec<String>,
}

/// What the prompt policies made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shaped {
    /// The prompt.
    pub draft: Draft,
    /// One line for each step that was left out.
    pub notes: Vec<String>,
}

/// The policies of one job.
pub struct PolicySet {
    plugins: Vec<Plugin>,
    broken: Vec<Broken>,
    unused: Vec<Unused>,
    unknown_tables: Vec<String>,
    journal: Mutex<Journal>,
}

#[derive(Default)]
struct Journal {
    decisions: Vec<Decision>,
    seen_inputs: std::collections::HashSet<String>,
    seq: u32,
    redactions: u32,
    shadow: Vec<String>,
}

/// An input with its JSON and digest, made once for all policies that see it.
struct Recorded {
    json: Box<serde_json::value::RawValue>,
    digest: String,
}

impl Recorded {
    fn new(input: &impl serde::Serialize) -> Self {
        let json = record::json(input);
        Recorded { digest: record::digest(json.get()), json }
    }

    fn size(&self) -> u64 {
        self.json.get().len() as u64
    }
}

impl PolicySet {
    /// Loads what the settings name. Never fails as a whole: what could not be loaded
    /// denies, withholds or is noted, by the rule of its interface.
    pub fn load(settings: &Settings) -> Self {
        let Loaded { plugins, broken, unused, unknown_tables } = load(settings);
        for broken in &broken {
            tracing::warn!(plugin = broken.label, origin = %broken.origin, "policy refused: {}", broken.reason);
        }
        for table in &unknown_tables {
            tracing::warn!("[plugins.{table}] in the configuration belongs to no policy");
        }
        PolicySet { plugins, broken, unused, unknown_tables, journal: Mutex::default() }
    }

    /// Asks all scope policies where the job may have written.
    pub fn scope(&self, input: &ScopeInput) -> Vec<Judged> {
        self.judge(Interface::Scope, Question::Scope(input), &Recorded::new(input))
    }

    /// Asks all verifiers about a pass.
    pub fn verify(&self, input: &VerifyInput) -> Vec<Judged> {
        self.judge(Interface::Verifier, Question::Verifier(input), &Recorded::new(input))
    }

    /// Asks all signals policies what a command's output says.
    pub fn signals(&self, output: &CommandOutput) -> Facts {
        let recorded = Recorded::new(output);
        let mut facts = Facts { notes: self.broken_notes(Interface::Signals), ..Facts::default() };
        for plugin in self.deciding(Interface::Signals) {
            let call = self.ask(plugin, Question::Signals(output), &recorded);
            let enforced = plugin.id.mode == Mode::Enforce;
            match call.answer {
                Ok(Answer::Signals(signals)) if enforced => {
                    facts.signals.extend(signals.into_iter().map(|signal| (plugin.label(), signal)));
                }
                Ok(Answer::Signals(signals)) => {
                    let kept: Vec<_> = facts.signals.iter().map(|(_, signal)| signal).collect();
                    if kept != signals.iter().collect::<Vec<_>>() {
                        self.note_shadow(plugin, format!("read other signals from {}", output.name));
                    }
                }
                Ok(_) => {}
                Err(error) if enforced => facts.notes.push(skipped(plugin, &error)),
                Err(error) => self.note_shadow(plugin, error.to_string()),
            }
        }
        facts
    }

    /// Asks all redaction policies for the secrets in `text`, which is whole lines of a
    /// longer text or all of it. `carry` is what the call on the piece before gave.
    ///
    /// # Errors
    /// A policy failed, so that the text must be withheld: the reason.
    pub fn find_secrets(&self, text: &str, carry: &[String]) -> Result<(Vec<Span>, Vec<String>), String> {
        if let Some(broken) = self.broken_for(Interface::Redaction).next() {
            return Err(format!("policy {} could not be loaded: {}", broken.label, broken.reason));
        }
        let (mut found, mut shadows, mut carries) = (Vec::new(), Vec::new(), Vec::new());
        // Those that count come first, so each finds its own `carry` again.
        for (at, plugin) in self.deciding(Interface::Redaction).enumerate() {
            let answer = self.find(plugin, text, carry.get(at).map_or("", String::as_str));
            carries.push(answer.as_ref().map(|found| found.carry.clone()).unwrap_or_default());
            match (plugin.id.mode, answer) {
                (Mode::Enforce, Ok(answer)) => found.push((plugin.label(), answer.spans)),
                (Mode::Enforce, Err(error)) => {
                    return Err(format!("policy {} could not look for secrets: {error}", plugin.label()));
                }
                (_, Ok(answer)) => shadows.push((plugin, answer.spans)),
                (_, Err(error)) => self.note_shadow(plugin, format!("would have withheld a text: {error}")),
            }
        }
        for (plugin, spans) in shadows {
            self.compare_masks(plugin, &spans, &found);
        }
        let mut lists: Vec<_> = found.into_iter().map(|(_, spans)| spans).collect();
        let spans = match lists.len() {
            1 => lists.pop().unwrap_or_default(),
            _ => compose::union(lists),
        };
        Ok((spans, carries))
    }

    /// Lets the prompt policies rewrite the prompt, one after another.
    pub fn shape(&self, input: &PromptInput) -> Shaped {
        let mut shaped = Shaped { draft: input.draft.clone(), notes: self.broken_notes(Interface::Prompt) };
        for plugin in self.deciding(Interface::Prompt) {
            let step = PromptInput { draft: shaped.draft.clone(), ..input.clone() };
            let call = self.ask(plugin, Question::Prompt(&step), &Recorded::new(&step));
            let enforced = plugin.id.mode == Mode::Enforce;
            match call.answer {
                Ok(Answer::Draft(draft)) if enforced => shaped.draft = draft,
                Ok(Answer::Draft(draft)) => {
                    if draft != shaped.draft {
                        self.note_shadow(plugin, "would have changed the prompt".to_owned());
                    }
                }
                Ok(_) => {}
                Err(error) if enforced => shaped.notes.push(skipped(plugin, &error)),
                Err(error) => self.note_shadow(plugin, error.to_string()),
            }
        }
        shaped
    }

    /// Asks all mutation policies what to alter; their mutants are united within the budget.
    /// Gives them with one line for each policy that failed.
    pub fn mutants(&self, input: &MutationInput) -> (Mutants, Vec<String>) {
        let recorded = Recorded::new(input);
        let mut all = Mutants::default();
        let mut notes = self.broken_notes(Interface::Mutation);
        for plugin in self.deciding(Interface::Mutation) {
            let call = self.ask(plugin, Question::Mutation(input), &recorded);
            let enforced = plugin.id.mode == Mode::Enforce;
            match call.answer {
                Ok(Answer::Mutants(mut mutants)) if enforced => {
                    all.mutants.append(&mut mutants.mutants);
                    all.not_mutated.append(&mut mutants.not_mutated);
                }
                Ok(Answer::Mutants(mutants)) => {
                    if mutants != all {
                        self.note_shadow(plugin, "would have made other mutants".to_owned());
                    }
                }
                Ok(_) => {}
                Err(error) if enforced => notes.push(skipped(plugin, &error)),
                Err(error) => self.note_shadow(plugin, error.to_string()),
            }
        }
        // Ranges of two policies may overlap: the first one's stand.
        (super::compose::within(all, &input.budget), notes)
    }

    /// `name@version` of each policy that counts.
    pub fn names(&self) -> Vec<String> {
        self.plugins.iter().filter(|plugin| plugin.id.mode == Mode::Enforce).map(Plugin::label).collect()
    }

    /// What the receipt records.
    pub fn digests(&self) -> Vec<PluginId> {
        self.plugins.iter().map(|plugin| plugin.id.clone()).collect()
    }

    /// The decisions since the last call; the caller appends them to the job's record.
    pub fn take_decisions(&self) -> Vec<Decision> {
        std::mem::take(&mut self.journal().decisions)
    }

    /// One line for each thing that a policy in shadow would have changed.
    pub fn shadow_notes(&self) -> Vec<String> {
        self.journal().shadow.clone()
    }

    /// The plugins in use, in order.
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// The refused ones.
    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// The ones that are off or replaced.
    pub fn unused(&self) -> &[Unused] {
        &self.unused
    }

    /// The names of `[plugins.<name>]` tables that belong to no policy.
    pub fn unknown_tables(&self) -> &[String] {
        &self.unknown_tables
    }

    fn judge(&self, interface: Interface, question: Question<'_>, recorded: &Recorded) -> Vec<Judged> {
        let mut answers: Vec<(String, Result<Vec<Finding>, String>)> = Vec::new();
        let mut shadows = Vec::new();
        for plugin in self.deciding(interface) {
            let answer = match self.ask(plugin, question, recorded).answer {
                Ok(Answer::Findings(findings)) => Ok(findings),
                Ok(_) => Ok(Vec::new()),
                Err(error) => Err(error.to_string()),
            };
            if plugin.id.mode == Mode::Shadow {
                shadows.push((plugin, answer));
            } else {
                answers.push((plugin.label(), answer));
            }
        }
        for (plugin, answer) in shadows {
            self.compare_shadow(plugin, answer, &answers);
        }
        // What cannot even be read may be a policy that denies; every job is verified.
        let broken = self.broken.iter().filter(|broken| match &broken.interfaces {
            Some(interfaces) => interfaces.contains(&interface),
            None => interface == Interface::Verifier,
        });
        answers.extend(broken.map(|broken| {
            (broken.label.clone(), Err(format!("it was refused ({}): {}", broken.origin, broken.reason)))
        }));
        compose::judge(answers)
    }

    /// Notes what a shadow would have changed: as the policy that it would
    /// replace if there is one, else beside all of them.
    fn compare_shadow(
        &self,
        plugin: &Plugin,
        answer: Result<Vec<Finding>, String>,
        answers: &[(String, Result<Vec<Finding>, String>)],
    ) {
        let verdict = |answer: &Result<Vec<Finding>, String>| match answer {
            Ok(findings) => Verdict::of(findings),
            Err(_) => Verdict::Deny,
        };
        let all = answers.iter().map(|(_, answer)| verdict(answer));
        let before = all.min().unwrap_or(Verdict::Allow);
        let others = answers
            .iter()
            .filter(|(label, _)| !self.would_replace(plugin, label))
            .map(|(_, answer)| verdict(answer));
        let after = others.chain([verdict(&answer)]).min().unwrap_or(Verdict::Allow);
        if before == after {
            return;
        }
        let why = match &answer {
            Ok(findings) => {
                let strictest = findings.iter().min_by_key(|finding| finding.severity);
                strictest.filter(|_| after < before).map(|finding| finding.rule.clone())
            }
            Err(reason) => Some(reason.clone()),
        };
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let what = match after {
            Verdict::Deny => "would have denied",
            Verdict::Warn if before == Verdict::Deny => "would have warned only",
            Verdict::Warn => "would have warned",
            Verdict::Allow => "would have let it pass",
        };
        self.note_shadow(plugin, format!("{what}{why}"));
    }

    /// As [`Self::compare_shadow`], for what was masked.
    fn compare_masks(&self, plugin: &Plugin, spans: &[Span], found: &[(String, Vec<Span>)]) {
        let missing = |span: &&Span, from: &[&[Span]]| {
            !from.iter().copied().flatten().any(|other| other.start <= span.start && span.end <= other.end)
        };
        let before: Vec<&[Span]> = found.iter().map(|(_, spans)| spans.as_slice()).collect();
        let others = found.iter().filter(|(label, _)| !self.would_replace(plugin, label));
        let after: Vec<&[Span]> = others.map(|(_, spans)| spans.as_slice()).chain([spans]).collect();
        if let Some(span) = spans.iter().find(|span| missing(span, &before)) {
            self.note_shadow(plugin, format!("would have masked more, by {}", accept::rule(&span.rule)));
        }
        if let Some(span) = before.iter().copied().flatten().find(|span| missing(span, &after)) {
            self.note_shadow(
                plugin,
                format!("would have left open what {} masked", accept::rule(&span.rule)),
            );
        }
    }

    /// A shadow of the same name, or with `replaces`, is a candidate to replace that policy.
    fn would_replace(&self, plugin: &Plugin, label: &str) -> bool {
        let shipped = |kind| {
            let mut all = self.plugins.iter();
            all.any(|p| p.origin == Origin::Shipped && p.answers(kind) && p.label() == label)
        };
        label.split('@').next() == Some(&plugin.id.name) || plugin.replaces.is_some_and(shipped)
    }

    fn find(&self, plugin: &Plugin, text: &str, carry: &str) -> Result<Found, String> {
        let mut whole = Found { spans: Vec::new(), carry: carry.to_owned() };
        let mut from = 0;
        while from < text.len() || (text.is_empty() && from == 0) {
            let end = piece_end(text, from);
            let piece = &text[from..end];
            let call = plugin.ask(Question::Redaction(piece, &whole.carry), piece.len() as u64);
            self.record_redaction(plugin, piece, &call);
            let Answer::Found(found) = call.answer.map_err(|error| error.to_string())? else {
                return Err("it gave another kind of answer".into());
            };
            let base = u32::try_from(from).map_err(|_| "the text is too large".to_owned())?;
            let shifted =
                |span: Span| Span { start: span.start + base, end: span.end + base, rule: span.rule };
            whole.spans.extend(found.spans.into_iter().map(shifted));
            whole.carry = found.carry;
            if text.is_empty() {
                break;
            }
            from = end;
        }
        Ok(whole)
    }

    fn deciding(&self, interface: Interface) -> impl Iterator<Item = &Plugin> {
        // Shadows last, so that they can be compared with what counts.
        let enforced = self.plugins.iter().filter(|plugin| plugin.id.mode == Mode::Enforce);
        let shadow = self.plugins.iter().filter(|plugin| plugin.id.mode == Mode::Shadow);
        enforced.chain(shadow).filter(move |plugin| plugin.answers(interface))
    }

    fn broken_for(&self, interface: Interface) -> impl Iterator<Item = &Broken> {
        self.broken
            .iter()
            .filter(move |broken| broken.interfaces.as_ref().is_some_and(|list| list.contains(&interface)))
    }

    fn broken_notes(&self, interface: Interface) -> Vec<String> {
        self.broken_for(interface)
            .map(|broken| format!("policy {}: refused, skipped ({})", broken.label, broken.reason))
            .collect()
    }

    fn ask(&self, plugin: &Plugin, question: Question<'_>, recorded: &Recorded) -> Call {
        let call = plugin.ask(question, recorded.size());
        let mut journal = self.journal();
        let first = journal.seen_inputs.insert(recorded.digest.clone());
        let decision = decision(&mut journal, plugin, question.interface(), &recorded.digest, &call);
        let input = first.then(|| recorded.json.clone());
        journal.decisions.push(Decision { input, ..decision });
        call
    }

    fn record_redaction(&self, plugin: &Plugin, text: &str, call: &Call) {
        let mut journal = self.journal();
        journal.redactions += 1;
        if journal.redactions > MAX_REDACTION_RECORDS && call.answer.is_ok() {
            return;
        }
        let digest = record::digest(text);
        let decision = decision(&mut journal, plugin, Interface::Redaction, &digest, call);
        journal.decisions.push(decision);
    }

    fn note_shadow(&self, plugin: &Plugin, what: String) {
        let note = format!("shadow {}: {what}", plugin.label());
        let mut journal = self.journal();
        if !journal.shadow.contains(&note) && journal.shadow.len() < 50 {
            journal.shadow.push(note);
        }
    }

    fn journal(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decision(
    journal: &mut Journal,
    plugin: &Plugin,
    interface: Interface,
    input: &str,
    call: &Call,
) -> Decision {
    journal.seq += 1;
    Decision {
        v: record::VERSION,
        seq: journal.seq,
        interface,
        plugin: plugin.id.name.clone(),
        version: plugin.id.version.clone(),
        component: plugin.id.digest.clone(),
        config: plugin.config_digest.clone(),
        mode: plugin.id.mode,
        input_digest: input.to_owned(),
        input: None,
        output: call.answer.as_ref().ok().map(record::json),
        error: call.answer.as_ref().err().cloned(),
        micros: call.micros,
        log: if interface == Interface::Redaction { Vec::new() } else { call.log.clone() },
        log_dropped: call.log_dropped,
    }
}

fn skipped(plugin: &Plugin, error: &super::call::CallError) -> String {
    format!("policy {}: failed, skipped ({error})", plugin.label())
}

/// The end of a piece that begins at `from`: behind the last line end within [`PIECE`], or
/// behind the first one after it when a line is longer.
fn piece_end(text: &str, from: usize) -> usize {
    if text.len() - from <= PIECE {
        return text.len();
    }
    let bytes = text.as_bytes();
    let within = bytes[from..from + PIECE].iter().rposition(|&b| b == b'\n');
    let beyond = || bytes[from + PIECE..].iter().position(|&b| b == b'\n').map(|at| at + PIECE);
    within.or_else(beyond).map_or(text.len(), |at| from + at + 1)
}

impl redact::Finder for PolicySet {
    fn find_secrets(&self, text: &str, carry: &[String]) -> Result<(Vec<Span>, Vec<String>), String> {
        PolicySet::find_secrets(self, text, carry)
    }
}
