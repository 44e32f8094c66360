//! Mutants of a working tree: `mutants DIRECTORY COMMAND [--run]` lists what the policy
//! alters for a check with this command; with `--run` it applies each alone, in place, runs
//! the command, says which survive, and restores the file. Give it a copy.
#![allow(clippy::print_stdout, reason = "a tool")]

use std::path::{Path, PathBuf};
use std::process::Command;

use codex_worker_mutation::MutationPolicy;
use codex_worker_policy::{Budget, CommandOutput, Mutation, MutationInput, PassedCheck, Signals, TextFile};
use codex_worker_signals::SignalsPolicy;

fn files(root: &Path, directory: &Path, found: &mut Vec<TextFile>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_symlink() || matches!(name.as_str(), ".git" | "node_modules" | "target" | ".venv") {
            continue;
        }
        if path.is_dir() {
            files(root, &path, found);
            continue;
        }
        let Ok(content) = std::fs::read_to_string(&path) else { continue };
        let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        let lower = relative.to_ascii_lowercase();
        let test = ["test", "spec", "snap", "expected", "golden"].iter().any(|word| lower.contains(word));
        let defines = matches!(name.as_str(), "package.json" | "Makefile") || name.ends_with(".sh");
        found.push(match (test, defines) {
            (_, true) => TextFile::definition(relative, content),
            (true, _) => TextFile::test(relative, content),
            _ => TextFile::source(relative, content),
        });
    }
}

fn run(root: &Path, command: &str) -> std::io::Result<(bool, String)> {
    let output = Command::new("sh").arg("-c").arg(command).current_dir(root).output()?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((output.status.success(), text.concat()))
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, command, flags @ ..] = &arguments[..] else {
        println!("mutants DIRECTORY COMMAND [--run]");
        return Ok(());
    };
    let root = PathBuf::from(root);
    let runs = flags.iter().any(|flag| flag == "--run");
    let mut found = Vec::new();
    files(&root, &root, &mut found);
    let mut check = PassedCheck::new("check", command);
    if runs {
        let (passed, output) = run(&root, command)?;
        println!("unaltered: {}", if passed { "passed" } else { "FAILED" });
        check.signals = SignalsPolicy.parse(&CommandOutput::new(command, output));
    }
    let begun = std::time::Instant::now();
    let input = MutationInput {
        budget: Budget { max_mutants: if runs { 40 } else { 1_000_000 }, max_bytes: u64::MAX },
        ..MutationInput::new([check], found)
    };
    let made = MutationPolicy.mutate(&input);
    let elapsed = begun.elapsed();
    let (mut killed, mut named) = (0, 0);
    for mutant in &made.mutants {
        let place = format!("{}:{}", mutant.path, mutant.line);
        if !runs {
            println!("{place} {} [{}] {}", mutant.mutator, mutant.test.join(" / "), mutant.altered);
            continue;
        }
        let path = root.join(&mutant.path);
        let content = std::fs::read_to_string(&path)?;
        let Some(mutated) = mutant.applied(&content) else { continue };
        std::fs::write(&path, mutated)?;
        let result = run(&root, command);
        std::fs::write(&path, content)?;
        let (survived, output) = result?;
        let signals = SignalsPolicy.parse(&CommandOutput::new(command, output));
        let mut failures = signals.iter().flat_map(|signal| &signal.first_failures);
        let by_name = failures.any(|failure| mutant.is_of_test(&failure.id));
        killed += usize::from(!survived);
        named += usize::from(by_name);
        let outcome = match (survived, by_name) {
            (true, _) => "SURVIVED",
            (false, true) => "killed",
            (false, false) => "killed, not by name",
        };
        println!("{outcome}: {place} [{}] {}", mutant.test.join(" / "), mutant.altered);
    }
    for not in &made.not_mutated {
        println!("not mutated: {} {}", not.path.as_deref().unwrap_or("(the check)"), not.reason);
    }
    let bytes: usize = input.files.iter().map(|file| file.content.len()).sum();
    println!("{} mutants of {} files ({bytes} bytes) in {elapsed:?}", made.mutants.len(), input.files.len());
    if runs {
        println!("{killed} killed, {named} of them by name");
    }
    Ok(())
}
