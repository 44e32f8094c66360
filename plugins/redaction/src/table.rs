//! Tables: the values below a secret's name, in CSV, Markdown, psql, aligned text and SQL.

use crate::value::{self, Level, Position};

/// Secret columns of one table that are followed.
const MOST_COLUMNS: usize = 4;
/// Rows below a header that are looked at.
const MOST_ROWS: u32 = 200;
/// A longer line is no header and no row.
const LONGEST: usize = 1_000;

/// How the cells of a table are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// By this character.
    Separated(u8),
    /// By blanks; headers are single words.
    Words,
    /// By their offset in the line.
    Aligned,
}

/// A column with secrets: the number of its cell, or its offset in an aligned table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    at: usize,
    level: Level,
}

/// What a header says about the rows below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    layout: Layout,
    cells: usize,
    columns: [Option<Column>; MOST_COLUMNS],
    /// The line below the header draws a border: until then a line with bars can be anything.
    bordered: bool,
    left: u32,
}

/// The table that begins below `line`. `level` says what the name around an offset promises.
pub(crate) fn header(line: &str, level: impl Fn(usize, usize) -> Option<Level>) -> Option<Table> {
    // The usual case first: a line of program text.
    let of_names = |b: u8| b.is_ascii_alphanumeric() || b >= 0x80 || b" _-.()/#,;|\t\"'`+".contains(&b);
    if line.len() > LONGEST || !line.bytes().all(of_names) {
        return None;
    }
    let text = line.trim();
    let separated = text.bytes().any(|b| matches!(b, b'|' | b'\t' | b';' | b','));
    if !separated && !text.contains("  ") && text.bytes().any(|b| b.is_ascii_lowercase()) {
        return None;
    }
    let (layout, cells) = [b'|', b'\t', b';', b',']
        .map(Layout::Separated)
        .into_iter()
        .chain([Layout::Aligned, Layout::Words])
        .map(|layout| (layout, cells(line, layout)))
        .find(|(layout, cells)| cells.len() >= 2 && is_header(line, cells, *layout))?;
    let mut columns = [None; MOST_COLUMNS];
    let secret = cells.iter().enumerate().filter_map(|(number, (start, end))| {
        let level = level(*start, *end)?;
        Some(Column { at: if layout == Layout::Aligned { *start } else { number }, level })
    });
    for (column, secret) in columns.iter_mut().zip(secret) {
        *column = Some(secret);
    }
    columns[0]?;
    let bordered = layout != Layout::Separated(b'|');
    Some(Table { layout, cells: cells.len(), columns, bordered, left: MOST_ROWS })
}

/// Whether every cell is a short name.
fn is_header(line: &str, cells: &[(usize, usize)], layout: Layout) -> bool {
    let quoted = |(start, _): &(usize, usize)| line[..*start].ends_with(['"', '\'']);
    // A blank behind a comma is prose, unless the cells are quoted.
    if layout == Layout::Separated(b',') && line.contains(", ") && !cells.iter().all(quoted) {
        return false;
    }
    let named = cells.iter().filter(|(start, end)| start < end).count();
    named >= 2
        && cells.iter().all(|(start, end)| {
            let cell = &line[*start..*end];
            cell.is_empty()
                || (cell.len() <= 40
                    && cell.split(' ').count() <= 4
                    && !cell.starts_with(|c: char| c.is_ascii_digit() || c == '-')
                    && cell.chars().all(|c| c.is_alphanumeric() || " _-.()/#".contains(c))
                    && (layout != Layout::Words || !cell.bytes().any(|b| b.is_ascii_lowercase())))
        })
}

/// The cells of a line, without the blanks and quotes around them.
fn cells(line: &str, layout: Layout) -> Vec<(usize, usize)> {
    let bytes = line.as_bytes();
    let mut cells = Vec::new();
    let mut push = |start: usize, end: usize| {
        let inner = line[start..end].trim_matches([' ', '\t', '+']);
        let start =
            start + (line[start..end].len() - line[start..end].trim_start_matches([' ', '\t', '+']).len());
        let unquoted = inner.trim_matches(['"', '\'', '`']);
        let lead = inner.len() - inner.trim_start_matches(['"', '\'', '`']).len();
        cells.push(if unquoted.is_empty() {
            (start, start)
        } else {
            (start + lead, start + lead + unquoted.len())
        });
    };
    match layout {
        Layout::Separated(separator) => {
            let framed = separator == b'|';
            let (from, to) = match line.trim().strip_prefix('|').filter(|_| framed) {
                Some(_) => (line.find('|').unwrap_or(0) + 1, line.trim_end().trim_end_matches('|').len()),
                None => (0, line.trim_end_matches(' ').len()),
            };
            let mut start = from;
            let mut quoted = false;
            for at in from..to.max(from) {
                // A quote opens only where a cell begins.
                let opens = bytes[at] == b'"' && line[start..at].trim().is_empty();
                quoted = if quoted { bytes[at] != b'"' } else { opens };
                if bytes[at] == separator && !quoted {
                    push(start, at);
                    start = at + 1;
                }
            }
            push(start, to.max(start));
        }
        Layout::Words | Layout::Aligned => {
            let gap = if layout == Layout::Aligned { 2 } else { 1 };
            let mut start = 0;
            while let Some(first) = line[start..].find(|c| c != ' ').map(|n| start + n) {
                let mut end = first;
                while end < line.len() && !line[end..].starts_with(if gap == 2 { "  " } else { " " }) {
                    end += line[end..].chars().next().map_or(1, char::len_utf8);
                }
                push(first, end);
                start = end;
            }
        }
    }
    cells
}

impl Table {
    /// The secrets of a row, and the table as it goes on; nothing when the line is no row.
    pub(crate) fn row(mut self, line: &str) -> Option<(Vec<(usize, usize, Level)>, Table)> {
        if line.trim().is_empty() || line.len() > LONGEST {
            return None;
        }
        if line.chars().all(|c| "-+|=:_ \t─━│┼╪═┤├".contains(c)) {
            self.bordered = true;
            return Some((Vec::new(), self));
        }
        if !self.bordered {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let cells = cells(line, self.layout);
        if self.layout != Layout::Aligned && cells.len() != self.cells {
            return None;
        }
        let found = self.columns.iter().flatten().filter_map(|column| {
            let (start, end) = match self.layout {
                Layout::Aligned => *cells.iter().find(|(start, _)| *start == column.at)?,
                _ => *cells.get(column.at)?,
            };
            let value = &line[start..end];
            let whole = !value.contains(' ') && !value.contains("[REDACTED:");
            (whole && value::is_secret(column.level, value, Position::Argument, false)).then_some((
                start,
                end,
                column.level,
            ))
        });
        Some((found.collect(), self))
    }

    /// As fields of a carry.
    pub(crate) fn write(&self) -> String {
        let layout = match self.layout {
            Layout::Separated(separator) => u32::from(separator),
            Layout::Words => 1,
            Layout::Aligned => 2,
        };
        let columns = self.columns.iter().flatten();
        let columns: String = columns.map(|c| format!(":{}:{}", c.at, c.level.number())).collect();
        format!("{layout}:{}:{}:{}{columns}", self.left, self.cells, u32::from(self.bordered))
    }

    /// What `write` wrote.
    pub(crate) fn read(mut fields: impl Iterator<Item = u32>) -> Option<Table> {
        let layout = match fields.next()? {
            1 => Layout::Words,
            2 => Layout::Aligned,
            separator => Layout::Separated(u8::try_from(separator).ok()?),
        };
        let left = fields.next()?.min(MOST_ROWS);
        let cells = fields.next()? as usize;
        let bordered = fields.next()? == 1;
        let mut columns = [None; MOST_COLUMNS];
        for column in &mut columns {
            let (Some(at), Some(level)) = (fields.next(), fields.next()) else { break };
            *column = Some(Column { at: at as usize, level: Level::of_number(level) });
        }
        Some(Table { layout, cells, columns, bordered, left })
    }
}

/// The rows below `COPY users (name, password) FROM stdin;`.
pub(crate) fn copy(line: &str, level: impl Fn(usize, usize) -> Option<Level>) -> Option<Table> {
    let open = line.find('(')? + 1;
    let close = open + line[open..].find(')')?;
    let columns = line[open..close].replace(',', "\t");
    let layout = header(&columns, |start, end| level(open + start, open + end))?;
    Some(Table { layout: Layout::Separated(b'\t'), ..layout })
}

/// The values of `INSERT INTO users (name, password) VALUES ('bob', '…')` whose column's name
/// promises a secret; the column list ends before `values`.
pub(crate) fn insert(
    line: &str,
    values: usize,
    level: impl Fn(usize, usize) -> Option<Level>,
) -> Vec<(usize, usize, Level)> {
    let mut found = Vec::new();
    let Some(close) = line[..values].trim_end().strip_suffix(')').map(str::len) else { return found };
    let Some(open) = line[..close].rfind('(') else { return found };
    let columns = cells(&line[open + 1..close], Layout::Separated(b','));
    let levels: Vec<Option<Level>> =
        columns.iter().map(|(start, end)| level(open + 1 + start, open + 1 + end)).collect();
    let mut at = values;
    while let Some(begin) = line[at..].find('(').map(|n| at + n + 1) {
        let mut here = begin;
        for level in &levels {
            let Some((start, end, after)) = literal(line, here) else { return found };
            if let Some(level) = level
                && value::is_secret(*level, &line[start..end], Position::Quoted, false)
                && !line[start..end].contains("[REDACTED:")
            {
                found.push((start, end, *level));
            }
            here = after;
        }
        at = here.max(begin);
    }
    found
}

/// The inside of an SQL value at `at`, and the start of the next one.
fn literal(line: &str, at: usize) -> Option<(usize, usize, usize)> {
    let start = at + (line[at..].len() - line[at..].trim_start().len());
    let rest = &line[start..];
    if let Some(inner) = rest.strip_prefix('\'') {
        let mut end = 0;
        loop {
            end += inner[end..].find('\'')?;
            let doubled = inner[end + 1..].starts_with('\'');
            let escaped = inner[..end].ends_with('\\');
            if !doubled && !escaped {
                break;
            }
            end += 1 + usize::from(doubled);
        }
        let after = start + 1 + end + 1;
        let next = line[after..].find([',', ')']).map_or(line.len(), |n| after + n + 1);
        return Some((start + 1, start + 1 + end, next));
    }
    let length = rest.find([',', ')'])?;
    Some((start, start + length, start + length + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(header_line: &str, row: &str) -> Option<Vec<String>> {
        let level = |start: usize, end: usize| {
            let name = header_line[start..end].to_ascii_lowercase();
            name.contains("pass").then_some(Level::Password)
        };
        let table = header(header_line, level)?;
        let again = Table::read(table.write().split(':').filter_map(|n| n.parse().ok()));
        assert_eq!(again, Some(table));
        let (_, table) =
            table.row("-+-").filter(|_| header_line.contains('|')).unwrap_or((Vec::new(), table));
        let (found, _) = table.row(row)?;
        Some(found.into_iter().map(|(start, end, _)| row[start..end].to_owned()).collect())
    }

    #[test]
    fn layouts() {
        for (header, row) in [
            ("user,password", "bob,Winter-275"),
            ("\"user\", \"password\"", "\"bob, jr\", \"Winter-275\""),
            ("host;user;pass", "h;u;Winter-275"),
            ("| user | password |", "| bob  | Winter-275 |"),
            (" id | password ", "  1 | Winter-275"),
            ("user\tpassword", "bob\tWinter-275"),
            ("NAME     PASSWORD", "bob      Winter-275"),
            ("USER PASSWORD HOST", "bob Winter-275 db1"),
            ("+user,password", "+bob,Winter-275"),
        ] {
            assert_eq!(rows(header, row).as_deref(), Some(&["Winter-275".to_owned()][..]), "{header}");
        }
        for (header, row) in [
            ("the user, password and host", "bob, Winter-275 and db1"),
            ("user,password", "bob,Winter-275,more"),
            ("let user, password = read();", "bob,Winter-275"),
            ("user: password,", "bob,Winter-275"),
        ] {
            assert_eq!(rows(header, row), None, "{header}");
        }
    }

    #[test]
    fn inserts() {
        let line = "INSERT INTO u (name, pass) VALUES ('o''hara', 'Winter-275'), (NULL, 'Spring\\'9');";
        let values = line.find("VALUES").unwrap_or_default();
        let level = |start: usize, end: usize| line[start..end].contains("pass").then_some(Level::Password);
        let found: Vec<&str> =
            insert(line, values, level).into_iter().map(|(start, end, _)| &line[start..end]).collect();
        assert_eq!(found, ["Winter-275", "Spring\\'9"]);
    }
}
