//! Reads summaries by the table of formats: finds the line that a summary begins with, takes
//! the lines below that belong to it, adds up, and looks for the names of what failed.
//! Takes time in proportion to the text: a line is tried only against templates that begin
//! as it does, and a template's search is bounded.

use std::sync::OnceLock;

use codex_worker_policy::Signal;

use crate::counts::Tally;
use crate::formats::{ALL, FORMATS, Failures, Format};
use crate::template::{self, Start, start};
use crate::text::{named_above, named_below, named_in_list, signal, sum};

/// Bytes of a summary's line: no runner writes longer ones.
const LINE: usize = 400;

/// What each runner that spoke in these lines says, with its row.
pub fn read(lines: &[&str]) -> Vec<(&'static Format, Signal)> {
    let plain: Vec<&str> = lines.iter().map(|line| unmarked(line)).collect();
    static INDEX: OnceLock<Index> = OnceLock::new();
    let index = INDEX.get_or_init(Index::new);
    let mut rows: Vec<Row> = FORMATS.iter().map(|_| Row::default()).collect();
    let mut at = 0;
    while at < plain.len() {
        at = one(&plain, at, index, &mut rows);
    }
    let mut found: Vec<(&'static Format, Signal)> = Vec::new();
    let spoke = |row: &Row| row.total.is_some();
    for (format, row) in FORMATS.iter().zip(&rows) {
        if found.iter().any(|(known, _)| known.runner == format.runner) {
            continue;
        }
        let Some(mut total) = row.total.clone() else { continue };
        match format.failures {
            Failures::Below(templates) => named_below(&plain, templates, format.first, &mut total),
            Failures::Above(templates) => named_above(&plain, templates, &mut total),
            Failures::Listed(templates) => named_in_list(&plain, templates, &mut total),
            Failures::By(read) => read(lines, &mut total),
        }
        found.push((format, total));
    }
    for (format, row) in FORMATS.iter().zip(&rows) {
        if row.none && !spoke(row) && !found.iter().any(|(known, _)| known.runner == format.runner) {
            found.push((format, signal(format.runner, 0, 0, 0, 0)));
        }
    }
    found
}

/// What was found of one row.
#[derive(Default)]
struct Row {
    total: Option<Signal>,
    none: bool,
}

/// Reads at one line, and says where to go on.
fn one(lines: &[&str], at: usize, index: &Index, rows: &mut [Row]) -> usize {
    let line = lines[at];
    if line.is_empty() || line.len() > LINE {
        return at + 1;
    }
    // Rows that share a word follow one another.
    let mut looked_for = ("", true);
    for entry in index.of(line) {
        if looked_for.0 != entry.holds {
            looked_for = (entry.holds, line.contains(entry.holds));
        }
        if !looked_for.1 {
            continue;
        }
        let format = &FORMATS[entry.row];
        let row = &mut rows[entry.row];
        let Some(head) = template::read(entry.template, line) else { continue };
        if !entry.opens {
            row.none = true;
            return at + 1;
        }
        let Some((tally, end)) = block(format, lines, at, head.tally) else { continue };
        let one = tally.signal(format.runner);
        match &mut row.total {
            Some(total) if !format.last => sum(total, &one),
            total => *total = Some(one),
        }
        return end;
    }
    at + 1
}

/// The lines below the first one that belong to the summary: their counts, and where what
/// comes after them begins. Lines of other summaries in between are left to those.
fn block(format: &Format, lines: &[&str], at: usize, mut tally: Tally) -> Option<(Tally, usize)> {
    let mut complete = format.must.is_empty();
    let mut end = at + 1;
    let reach = if format.reach == ALL { lines.len() } else { lines.len().min(at + 1 + format.reach) };
    if format.must.is_empty() && format.more.is_empty() {
        return Some((tally, end));
    }
    for (below, line) in lines[..reach].iter().enumerate().skip(at + 1) {
        if line.len() > LINE {
            continue;
        }
        let any = |templates: &[&str]| templates.iter().find_map(|template| template::read(template, line));
        let must = any(format.must);
        if let Some(found) = must.as_ref().or(any(format.more).as_ref()) {
            complete |= must.is_some();
            tally.join(&found.tally);
            end = below + 1;
        } else if any(format.first).is_some() {
            break;
        }
    }
    complete.then_some((tally, end))
}

/// The templates by the first byte of a line, each list in the table's order.
struct Index {
    by_byte: Vec<Vec<Entry>>,
}

/// One template of the table.
#[derive(Clone, Copy)]
struct Entry {
    row: usize,
    template: &'static str,
    /// A word that the line must hold: most lines are done with by it.
    holds: &'static str,
    /// It opens a summary; else it says that no test ran.
    opens: bool,
}

impl Index {
    fn new() -> Index {
        let mut by_byte = vec![Vec::new(); 256];
        for (row, format) in FORMATS.iter().enumerate() {
            let opens = format.first.iter().map(|template| (*template, true));
            for (template, opens) in opens.chain(format.none.iter().map(|template| (*template, false))) {
                let begins = start(template);
                let holds = template::longest_word(template);
                for (byte, list) in by_byte.iter_mut().enumerate() {
                    let fits = match begins {
                        Start::Byte(first) => usize::from(first) == byte,
                        Start::Digit => (byte as u8).is_ascii_digit(),
                        Start::Any => true,
                    };
                    if fits {
                        list.push(Entry { row, template, holds, opens });
                    }
                }
            }
        }
        Index { by_byte }
    }

    /// What is worth trying on a line.
    fn of(&self, line: &str) -> &[Entry] {
        let first = line.as_bytes().first().copied().unwrap_or_default();
        &self.by_byte[usize::from(first)]
    }
}

/// A line without indentation, without the rule that it is drawn into, and without the mark
/// that sbt and Maven put before it.
fn unmarked(line: &str) -> &str {
    let line = line.trim_matches(|c: char| c == '=' || c.is_whitespace());
    ["[info] ", "[error] ", "[warn] ", "[INFO] ", "[ERROR] ", "[WARNING] "]
        .iter()
        .find_map(|mark| line.strip_prefix(mark))
        .unwrap_or(line)
        .trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_read() {
        for format in FORMATS {
            assert!(!format.runner.is_empty() && !format.first.is_empty(), "{}", format.runner);
            let holds = |templates: &[&str]| templates.iter().any(|t| t.contains('{'));
            assert!(holds(format.first) || holds(format.must), "{} has no line with a count", format.runner);
        }
    }
}
