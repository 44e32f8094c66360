//! The scope declaration: what one entry means, and which entries are refused.

use crate::glob::{self, Component, Malformed, Part};
use crate::names::{components, fold};

/// One entry of `scoped_patch.paths`, understood.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As the planner wrote it, for messages.
    pub raw: String,
    /// What it says as a pattern; the only reading where it holds no wildcard or is a name.
    pattern: Reading,
    /// What it says when every character of it is meant.
    name: Option<Reading>,
}

/// One reading of an entry.
#[derive(Clone, Debug)]
struct Reading {
    parts: Vec<Part>,
    folded: Vec<Part>,
    /// Everything below what the parts match is meant as well.
    subtree: bool,
}

impl Reading {
    fn new(parts: Vec<Part>, subtree: bool) -> Reading {
        let fold_part = |part: &Part| match part {
            Part::AnyDepth => Part::AnyDepth,
            Part::One(component) => Part::One(component.folded(fold)),
        };
        let folded = parts.iter().map(fold_part).collect();
        Reading { parts, folded, subtree }
    }

    /// The path that these components are.
    fn verbatim(names: &[&str]) -> Reading {
        Reading::new(names.iter().map(|name| Part::One(Component::verbatim(name))).collect(), true)
    }

    /// The components as patterns, but for those that are names in spite of their brackets.
    fn pattern(names: &[&str], below: bool) -> Result<Reading, Malformed> {
        let mut parts = Vec::new();
        for name in names {
            parts.push(match *name {
                "**" if parts.last() == Some(&Part::AnyDepth) => continue,
                "**" => Part::AnyDepth,
                name if is_bracketed_name(name) => Part::One(Component::verbatim(name)),
                name => Part::One(Component::parse(name)?),
            });
        }
        let subtree = match parts.last() {
            None => true,
            Some(Part::AnyDepth) => false,
            Some(Part::One(last)) => below || last.literal().is_some(),
        };
        Ok(Reading::new(parts, subtree))
    }

    fn admits(&self, path: &str, loose: bool) -> bool {
        if self.parts.is_empty() {
            return true;
        }
        if loose {
            glob::matches(&self.folded, &components(&fold(path)), self.subtree)
        } else {
            glob::matches(&self.parts, &components(path), self.subtree)
        }
    }
}

impl Entry {
    /// Reads one entry. Text is tried as a name before it is a pattern: `exists` says
    /// whether something of this name was there before the job, and then nothing else is
    /// meant. A refusal says what would be accepted.
    pub fn parse(raw: &str, exists: impl Fn(&str) -> bool) -> Result<Entry, Malformed> {
        if let Some(why) = refusal(raw) {
            return Err(Malformed(why));
        }
        let names: Vec<&str> = raw.split('/').filter(|c| !c.is_empty() && *c != ".").collect();
        let is_glob = raw.contains(['*', '?', '[']);
        if !is_glob || exists(&names.join("/")) {
            return Ok(Entry { raw: raw.to_string(), pattern: Reading::verbatim(&names), name: None });
        }
        Ok(Entry {
            raw: raw.to_string(),
            pattern: Reading::pattern(&names, raw.ends_with('/'))?,
            // A backslash takes a special meaning away, so it is a pattern and nothing else.
            name: (!raw.contains('\\')).then(|| Reading::verbatim(&names)),
        })
    }

    /// Whether this entry covers `path`. `loose` takes names that differ in case or
    /// Unicode form for the same, as a case-insensitive file system does.
    pub fn admits(&self, path: &str, loose: bool) -> bool {
        self.pattern.admits(path, loose) || self.name.as_ref().is_some_and(|name| name.admits(path, loose))
    }

    /// Whether the entry spells `name` out: literally, or with at least four characters
    /// before its first wildcard. `*.json` does not name `package.json`.
    pub fn names(&self, name: &str) -> bool {
        let name = fold(name);
        self.pattern.folded.iter().any(|part| match part {
            Part::AnyDepth => false,
            Part::One(component) => {
                component.matches(&name) && (component.literal().is_some() || component.literal_start() >= 4)
            }
        })
    }

    /// The plain path that the entry is, without wildcards; `None` for the whole base.
    pub fn plain(&self) -> Option<String> {
        let names: Option<Vec<String>> = self
            .pattern
            .parts
            .iter()
            .map(|part| match part {
                Part::AnyDepth => None,
                Part::One(component) => component.literal(),
            })
            .collect();
        names.filter(|names| !names.is_empty()).map(|names| names.join("/"))
    }

    /// Whether the entry would admit `path` if it were written with `**/` before it.
    pub fn admits_deeper(&self, path: &str) -> bool {
        let mut parts = vec![Part::AnyDepth];
        parts.extend(self.pattern.parts.iter().cloned());
        self.plain().is_none() && glob::matches(&parts, &components(path), self.pattern.subtree)
    }
}

/// Why an entry cannot be used, and what to write instead.
fn refusal(raw: &str) -> Option<String> {
    if raw.contains('\0') {
        return Some("the entry holds a NUL byte: no path can; leave it out".into());
    }
    if raw.len() > 4096 {
        return Some(format!("the entry is {} bytes long: 4,096 are the most", raw.len()));
    }
    if raw.starts_with('!') {
        return Some(format!("`{raw}` begins with `!`: a scope has no exceptions; list what may change"));
    }
    if raw.starts_with(['/', '\\']) {
        let last = raw.trim_start_matches(['/', '\\']).rsplit('/').next().filter(|s| !s.is_empty());
        return Some(format!(
            "`{raw}` is absolute: write it relative to the first allowed directory, such as `{}`",
            last.unwrap_or("src")
        ));
    }
    if has_drive(raw) {
        return Some(format!("`{raw}` names a drive: write it relative to the first allowed directory"));
    }
    if raw.contains('\\') && !raw.contains(['*', '?', '[']) && !only_byte_escapes(raw) {
        return Some(format!(
            "`{raw}` holds a backslash: separate directories with `/`, as in `{}`",
            raw.replace('\\', "/")
        ));
    }
    let names = components(raw);
    if names.contains(&"..") {
        return Some(format!(
            "`{raw}` holds `..`: a scope lies below the first allowed directory; add the other directory to `allowed_dirs` instead"
        ));
    }
    if names.first() == Some(&"~") {
        return Some(format!(
            "`{raw}` begins with `~`: no home directory is meant here; write a relative path"
        ));
    }
    None
}

/// `[slug]`, `[...path]`, `[[...rest]]`, `[user-id]`, `[id=integer]`: routes of web
/// frameworks. As a pattern such a component would match a name of one character;
/// `[a-z]`, `[0-9]` and `[!x]` do.
fn is_bracketed_name(component: &str) -> bool {
    let Some(inner) = component.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return false;
    };
    let inner = inner.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(inner);
    let word = inner.strip_prefix("...").unwrap_or(inner);
    let runs =
        |part: &str| part.len() >= 2 && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    word.starts_with(|c: char| c.is_alphabetic() || c == '_') && word.split(['-', '=']).all(runs)
}

/// Paths that are not UTF-8 reach a policy with `\xNN` for each such byte, so an entry
/// may name them in the same way.
fn only_byte_escapes(raw: &str) -> bool {
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let Some(code) = rest.get(at..at + 4) else { return false };
        if !code.starts_with("\\x") || !code[2..].bytes().all(|b| b.is_ascii_hexdigit()) {
            return false;
        }
        rest = &rest[at + 4..];
    }
    true
}

/// `C:`, `C:/x`, `C:\x`.
pub fn has_drive(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.len() >= 2
        && bytes[0].is_ascii_alphabetic()
        && bytes[1] == b':'
        && bytes.get(2).is_none_or(|b| matches!(b, b'/' | b'\\'))
}

/// A whole declaration.
#[derive(Debug, Default)]
pub struct Declaration {
    /// The entries that could be read. Without any, and without refusals, everything
    /// below the base is in scope.
    pub entries: Vec<Entry>,
    /// What is wrong with the others.
    pub refused: Vec<String>,
}

impl Declaration {
    /// Reads all entries. `known` are paths that were there before the job, `new` those that
    /// it added.
    pub fn parse(paths: &[String], known: &[&str], new: &[&str]) -> Declaration {
        let holds = |list: &[&str], name: &str| {
            let at_or_below = |path: &&str| {
                path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            !name.is_empty() && list.iter().any(at_or_below)
        };
        let mut declaration = Declaration::default();
        for raw in paths {
            // What is no pattern may still be the name of what was added.
            let entry = Entry::parse(raw, |name| holds(known, name))
                .or_else(|why| Entry::parse(raw, |name| holds(new, name)).map_err(|_| why));
            match entry {
                Ok(entry) => declaration.entries.push(entry),
                Err(Malformed(why)) => declaration.refused.push(why),
            }
        }
        declaration
    }

    /// Whether some entry admits `path`.
    pub fn admits(&self, path: &str, loose: bool) -> bool {
        if self.entries.is_empty() {
            return self.refused.is_empty();
        }
        self.entries.iter().any(|entry| entry.admits(path, loose))
    }

    /// Whether an entry admits `path` and spells out every one of `anchor`.
    pub fn grants(&self, path: &str, anchor: &[&str]) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.admits(path, true) && anchor.iter().all(|name| entry.names(name)))
    }

    /// The entries as a person would write them, for messages; capped.
    pub fn shown(&self) -> String {
        if self.entries.is_empty() {
            return "the whole directory".into();
        }
        let mut shown: Vec<String> =
            self.entries.iter().take(8).map(|entry| format!("`{}`", entry.raw)).collect();
        if self.entries.len() > shown.len() {
            shown.push(format!("{} more", self.entries.len() - shown.len()));
        }
        shown.join(", ")
    }
}
