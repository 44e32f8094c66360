//! Work that is left open.

use codex_worker_policy::{AgentOutcome, JobFacts};

use crate::claims::says_done;
use crate::diff::{File, Line, Mark};
use crate::findings::{Findings, quote};

pub fn stubs(job: &JobFacts, file: &File<'_>, agent: &AgentOutcome, findings: &mut Findings<'_>) {
    let (strong, weak) = open_work(file);
    let moved = |line: &Line<'_>| file.removed().any(|old| old.text.trim() == line.text.trim());
    if let Some(line) = strong.filter(|line| !moved(line)) {
        let remedy = "implement it, or say that it is not done";
        let claimed =
            job.expects_change && claims_all(&agent.claim) && !job.task.to_ascii_lowercase().contains("stub");
        let (rule, message) = if claimed {
            (
                "stub-claimed-done",
                format!("the agent says that the work is done and left {}", quote(line.text)),
            )
        } else {
            ("stub-left", format!("a stub is left: {}", quote(line.text)))
        };
        findings.add(rule, Some((file.path, line.number)), message, remedy);
    } else if let Some(line) = weak.filter(|line| !moved(line)) {
        findings.add(
            "stub-left",
            Some((file.path, line.number)),
            format!("work is left open: {}", quote(line.text)),
            "do it, or say that it is not done",
        );
    }
}

/// The agent says that the work is done, and does not say what is left.
fn claims_all(claim: &str) -> bool {
    let claim = claim.to_lowercase();
    let admits = ["stub", "not implemented", "placeholder", "todo", "left open", "remaining", "still open"];
    says_done(&claim) && !admits.iter().any(|word| claim.contains(word))
}

/// The first added line that fails when it is reached, and the first with a note.
fn open_work<'a, 'b>(file: &'a File<'b>) -> (Option<&'a Line<'b>>, Option<&'a Line<'b>>) {
    let (mut strong, mut weak) = (None, None);
    for hunk in &file.hunks {
        for (index, line) in hunk.iter().enumerate() {
            // Each of the forms holds one of these: most lines are done with here.
            let parts = ["mplemented", "todo!(", "TODO", "FIXME", "XXX", "not impl"];
            if line.mark != Mark::Added || !parts.iter().any(|part| line.text.contains(part)) {
                continue;
            }
            let abstract_above =
                hunk[..index].iter().rev().take(8).any(|above| {
                    ["abstract", "Protocol", "@overload"].iter().any(|w| above.bare.contains(w))
                });
            if is_stub(line) && !abstract_above {
                strong.get_or_insert(line);
            }
            if has_note(line) {
                weak.get_or_insert(line);
            }
        }
    }
    (strong, weak)
}

fn is_stub(line: &Line<'_>) -> bool {
    let (code, bare) = (line.code.as_ref(), line.bare.as_ref());
    let lower = code.to_ascii_lowercase();
    bare.contains("unimplemented!(")
        || bare.contains("todo!(")
        || bare.trim_start().starts_with("raise NotImplementedError")
        || bare.contains("NotImplementedException(")
        || [
            "UnsupportedOperationException(\"not impl",
            "panic(\"not impl",
            "panic(\"TODO",
            "fatalError(\"not impl",
        ]
        .iter()
        .any(|form| code.contains(form))
        || (lower.contains("not implemented") || lower.contains("not yet implemented"))
            && ["throw ", "raise ", "panic"].iter().any(|word| bare.contains(word))
}

/// In a comment: what is left of the line without it does not hold the word.
fn has_note(line: &Line<'_>) -> bool {
    const NOTES: [&str; 3] = ["TODO", "FIXME", "XXX"];
    let mut words = line.text.split(|c: char| !c.is_alphanumeric());
    words.any(|word| NOTES.contains(&word)) && !NOTES.iter().any(|note| line.code.contains(note))
}
