//! Summaries that are printed by hand.

use crate::diff::{File, Line};
use crate::findings::{Findings, quote};
use crate::paths::Language;

/// A printed line that a reader of the log would take for a runner's.
pub fn fake_summary(file: &File<'_>, findings: &mut Findings<'_>) {
    let prints = [
        "print(",
        "echo ",
        "console.log(",
        "println!(",
        "print!(",
        "Println(",
        "Printf(",
        "printf ",
        "printf(",
        "println(",
        "puts ",
        "stdout.write(",
        "write-host",
        "Write-Output",
        "@echo",
        "fputs(",
    ];
    let hit = |line: &&Line<'_>| {
        let code: &str = line.code.as_ref();
        // A summary is in quotes, except in a shell script.
        let shell = matches!(file.language, Language::Shell | Language::Config);
        (shell || code.contains(['"', '\'', '`']))
            && prints.iter().any(|print| if shell { code.contains(print) } else { line.bare.contains(print) })
            && holds_summary(code)
    };
    if let Some(line) = file.added().find(hit) {
        findings.add(
            "fake-summary",
            Some((file.path, line.number)),
            format!("a test summary is printed by hand: {}", quote(line.text)),
            "take the printed summary out, and let the runner report",
        );
    }
}

fn holds_summary(code: &str) -> bool {
    if ["test result: ok", "BUILD SUCCESS", "100% tests passed", "Failures: 0, Errors: 0"]
        .iter()
        .any(|form| code.contains(form))
    {
        return true;
    }
    [" passed", " passing", " tests passed", " test passed", " examples, 0 failures"].iter().any(|word| {
        code.match_indices(word).any(|(at, _)| code[..at].ends_with(|c: char| c.is_ascii_digit()))
    }) || code.match_indices("Ran ").any(|(at, _)| {
        let rest = &code[at + 4..];
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.contains(" test")
    })
}
