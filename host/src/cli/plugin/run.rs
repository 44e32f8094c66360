//! `plugin run`: one input, one answer.

use std::io::Read;
use std::path::PathBuf;

use super::one::Which;
use crate::cli::print;
use model::error::{Error, Kind, Result};
use model::types::{Finding, Mutant, MutantKind, Signal};
use policy::ask::{Answer, OwnedQuestion};
use policy::conformance::mask;
use policy::inspect::Interface;

/// Ask a component about one input.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The input as JSON (`-` for standard input); `plugin inspect --examples` prints some.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The interface, when it exports several.
    #[arg(long)]
    interface: Option<Interface>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Asks.
pub fn run(args: Args) -> Result<()> {
    let input = read(&args.input)?;
    let prepared = args.which.prepare()?;
    let interfaces = prepared.code.outside.interfaces.clone();
    let interface = match (args.interface, interfaces.as_slice()) {
        (Some(interface), _) if interfaces.contains(&interface) => interface,
        (None, [only]) => *only,
        (_, several) => {
            let names: Vec<_> = several.iter().map(|interface| interface.name()).collect();
            return Err(Error::new(Kind::Usage, format!("it exports {}", names.join(", ")))
                .hint(format!("choose one: --interface {}", names[0])));
        }
    };
    let question = OwnedQuestion::parse(interface, &input).map_err(|error| {
        Error::new(Kind::Usage, format!("the input is {error}"))
            .hint("`codex-worker plugin inspect <file> --example <name>` prints one to begin from")
    })?;
    let plugin = args.which.configure(prepared)?;
    let call = plugin.ask(question.as_question(), input.len() as u64);
    for line in &call.log {
        eprintln!("{}: {line}", plugin.id.name);
    }
    if call.log_dropped > 0 {
        eprintln!("{}: {} log lines over the limit are left out", plugin.id.name, call.log_dropped);
    }
    let answer = call
        .answer
        .map_err(|error| Error::new(Kind::Plugin, format!("{} gave no answer: {error}", plugin.label())))?;
    if args.json {
        let value = serde_json::json!({
            "plugin": plugin.label(), "interface": interface, "micros": call.micros, "output": answer,
        });
        return print(&format!("{value}\n"));
    }
    print(&format!("{}({} us)\n", render(&question, &answer), call.micros))
}

/// An answer for a person.
fn render(question: &OwnedQuestion, answer: &Answer) -> String {
    match (answer, question) {
        (Answer::Findings(findings), _) if findings.is_empty() => "no findings\n".into(),
        (Answer::Findings(findings), _) => findings.iter().map(finding).collect(),
        (Answer::Signals(signals), _) if signals.is_empty() => "no signals\n".into(),
        (Answer::Signals(signals), _) => signals.iter().map(signal).collect(),
        (Answer::Found(found), OwnedQuestion::Redaction(input)) => {
            let masked = mask(&input.text, found);
            let carry = match found.carry.as_str() {
                "" => String::new(),
                carry => format!("to the next piece: {carry}\n"),
            };
            let count = if found.spans.is_empty() { "nothing masked\n" } else { "" };
            format!("{masked}{}{count}{carry}", if masked.ends_with('\n') { "" } else { "\n" })
        }
        (Answer::Draft(draft), _) => {
            format!("--- stable\n{}\n--- body\n{}\n", draft.stable.trim_end(), draft.body)
        }
        (Answer::Found(_), _) => String::new(),
        (Answer::Mutants(mutants), _) => {
            let made = mutants.mutants.iter().map(mutant);
            let not_made = mutants.not_mutated.iter().map(|not| {
                let path = not.path.as_ref().map(|path| format!(" [{path}]")).unwrap_or_default();
                format!("not mutated: {}{path}: {}\n", not.check, not.reason)
            });
            made.chain(not_made).collect()
        }
    }
}

/// A mutant for a person.
pub fn mutant(mutant: &Mutant) -> String {
    let kind = match mutant.kind {
        MutantKind::Oracle => "oracle",
        MutantKind::Source => "source",
    };
    let test =
        if mutant.test.is_empty() { String::new() } else { format!(" in {}", mutant.test.join(" > ")) };
    let Mutant { path, line, mutator, altered, .. } = mutant;
    format!("{kind} {mutator}: {altered}{test} [{path}:{line}] ({})\n", mutant.checks.join(", "))
}

/// A signal for a person.
pub fn signal(signal: &Signal) -> String {
    let mut text = format!(
        "{}: {} passed, {} failed, {} skipped, {} errors{}\n",
        signal.runner,
        signal.passed,
        signal.failed,
        signal.skipped,
        signal.errors,
        if signal.nothing_ran { "; no test ran" } else { "" }
    );
    for failure in &signal.first_failures {
        let place = match (&failure.path, failure.line) {
            (Some(path), Some(line)) => format!(" [{path}:{line}]"),
            (Some(path), None) => format!(" [{path}]"),
            _ => String::new(),
        };
        text += &format!("  {}: {}{place}\n", failure.id, failure.message);
    }
    text
}

/// A finding for a person.
pub fn finding(finding: &Finding) -> String {
    let severity = match finding.severity {
        model::types::Severity::Deny => "DENY",
        model::types::Severity::Warn => "warn",
        model::types::Severity::Info => "info",
    };
    let place = match (&finding.path, finding.line) {
        (Some(path), Some(line)) => format!(" [{path}:{line}]"),
        (Some(path), None) => format!(" [{path}]"),
        _ => String::new(),
    };
    let remedy = finding.remedy.as_ref().map(|remedy| format!("     to satisfy it: {remedy}\n"));
    format!("{severity} {}: {}{place}\n{}", finding.rule, finding.message, remedy.unwrap_or_default())
}

fn read(path: &std::path::Path) -> Result<String> {
    let read = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    read.map_err(|error| Error::new(Kind::Usage, format!("cannot read {}: {error}", path.display())))
}
