//! Members below a name in the plural: `passwords:` with `bob: …` below it, `tokens:` with a
//! list, the `stringData:` of a Kubernetes secret.

use crate::state::MOST_MEMBERS;
use crate::value::{self, Level, Position};

/// What each member below may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Members {
    /// What the name above promises.
    pub(crate) level: Level,
    /// Blanks in front of that name: members have more.
    pub(crate) indent: u32,
    /// Blanks in front of the first member, once it was met: what has more belongs to one.
    pub(crate) depth: Option<u32>,
    /// Lines left.
    pub(crate) left: u32,
}

/// Blanks in front of a line's text; the sign of a diff counts as one.
fn indent(line: &str) -> u32 {
    line.bytes().take_while(|b| matches!(b, b' ' | b'\t' | b'+')).count() as u32
}

impl Members {
    /// Those below a name on `line`.
    pub(crate) fn below(line: &str, level: Level) -> Members {
        Members { level, indent: indent(line), depth: None, left: MOST_MEMBERS }
    }

    /// The secret on a line, and the members as they go on; nothing when they are over.
    pub(crate) fn line(self, line: &str) -> Option<(Option<(usize, usize)>, Members)> {
        let depth = self.depth.unwrap_or(indent(line));
        let next = Members { left: self.left.checked_sub(1)?, ..self };
        let start = line.len() - line.trim_start_matches([' ', '\t', '+']).len();
        let text = line[start..].trim_end();
        if text.is_empty() || text.starts_with('#') {
            return Some((None, next));
        }
        let item = text.strip_prefix("- ");
        // A list may begin in the column of its name.
        if indent(line) < self.indent || (indent(line) == self.indent && item.is_none()) {
            return None;
        }
        let next = Members { depth: Some(depth), ..next };
        if indent(line) != depth {
            return Some((None, next));
        }
        let member = match item {
            Some(item) => item,
            None if text.starts_with(['"', '\'']) && !text.contains(':') => text,
            None => text.split_once(':')?.1,
        };
        let from = start + text.len() - member.len();
        let lead = member.len() - member.trim_start_matches([' ', '"', '\'', '>']).len();
        let value = member.trim().trim_matches(['"', '\'', ',', ' ', '>']);
        let secret = !value.contains(' ')
            && !value.ends_with([':', '{', '['])
            && !value.contains("[REDACTED:")
            && value::is_secret(self.level, value, Position::Argument, false);
        let found = secret.then_some((from + lead, from + lead + value.len()));
        Some((found.filter(|(_, end)| *end <= line.len()), next))
    }
}
