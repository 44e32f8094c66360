//! The last of the host's test programs: lists what the others could not run, and why.

#![expect(clippy::print_stdout, reason = "a list for the person who ran the tests")]

use std::collections::BTreeSet;

fn main() {
    let Some(path) = test_support::missing::list() else { return };
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let missing: BTreeSet<&str> = text.lines().collect();
    if !missing.is_empty() {
        println!("\n{} things were NOT RUN here:", missing.len());
        missing.iter().for_each(|what| println!("  {what}"));
    }
    let _ = std::fs::remove_file(path);
}
