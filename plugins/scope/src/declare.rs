//! The scope declaration: what one entry means, and which entries are refused.

use crate::glob::{self, Component, Malformed, Part};
use crate::names::{components, fold};

/// One entry of `scoped_patch.paths`, understood.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As the planner wrote it, for messages.
    pub raw: String,
    parts: Vec<Part>,
    folded: Vec<Part>,
    /// Everything below what the parts match is meant as well.
    subtree: bool,
}

impl Entry {
    /// Reads one entry. A refusal says what would be accepted.
    pub fn parse(raw: &str) -> Result<Entry, Malformed> {
        let refuse = |text: String| Err(Malformed(text));
        if raw.contains('\0') {
            return refuse("the entry holds a NUL byte: no path can; leave it out".into());
        }
        if raw.len() > 4096 {
            return refuse(format!("the entry is {} bytes long: 4,096 are the most", raw.len()));
        }
        if raw.starts_with('!') {
            return refuse(format!(
                "`{raw}` begins with `!`: a scope has no exceptions; list what may change"
            ));
        }
        if raw.starts_with('/') || raw.starts_with('\\') {
            return refuse(format!(
                "`{raw}` is absolute: write it relative to the first allowed directory, such as `{}`",
                raw.trim_start_matches(['/', '\\'])
                    .rsplit('/')
                    .next()
                    .filter(|s| !s.is_empty())
                    .unwrap_or("src")
            ));
        }
        if has_drive(raw) {
            return refuse(format!(
                "`{raw}` names a drive: write it relative to the first allowed directory"
            ));
        }
        let is_glob = raw.contains(['*', '?', '[']);
        if raw.contains('\\') && !is_glob && !only_byte_escapes(raw) {
            return refuse(format!(
                "`{raw}` holds a backslash: separate directories with `/`, as in `{}`",
                raw.replace('\\', "/")
            ));
        }
        let names: Vec<&str> = raw.split('/').filter(|c| !c.is_empty() && *c != ".").collect();
        if names.contains(&"..") {
            return refuse(format!(
                "`{raw}` holds `..`: a scope lies below the first allowed directory; add the other directory to `allowed_dirs` instead"
            ));
        }
        if names.first() == Some(&"~") {
            return refuse(format!(
                "`{raw}` begins with `~`: no home directory is meant here; write a relative path"
            ));
        }
        let mut parts = Vec::new();
        for name in &names {
            parts.push(if *name == "**" {
                if parts.last() == Some(&Part::AnyDepth) {
                    continue;
                }
                Part::AnyDepth
            } else if is_glob {
                Part::One(Component::parse(name)?)
            } else {
                Part::One(Component::verbatim(name))
            });
        }
        let subtree = match parts.last() {
            None => true,
            Some(Part::AnyDepth) => false,
            Some(Part::One(last)) => raw.ends_with('/') || last.literal().is_some(),
        };
        let folded = parts
            .iter()
            .map(|part| match part {
                Part::AnyDepth => Part::AnyDepth,
                Part::One(component) => Part::One(component.folded(fold)),
            })
            .collect();
        Ok(Entry { raw: raw.to_string(), parts, folded, subtree })
    }

    /// Whether `path` lies within this entry. `loose` takes names that differ in case or
    /// Unicode form for the same, as a case-insensitive file system does.
    pub fn admits(&self, path: &str, loose: bool) -> bool {
        if self.parts.is_empty() {
            return true;
        }
        if loose {
            let path = fold(path);
            glob::matches(&self.folded, &components(&path), self.subtree)
        } else {
            glob::matches(&self.parts, &components(path), self.subtree)
        }
    }

    /// Whether the entry spells `name` out: literally, or with at least four characters
    /// before its first wildcard. `*.json` does not name `package.json`.
    pub fn names(&self, name: &str) -> bool {
        let name = fold(name);
        self.folded.iter().any(|part| match part {
            Part::AnyDepth => false,
            Part::One(component) => {
                component.matches(&name) && (component.literal().is_some() || component.literal_start() >= 4)
            }
        })
    }

    /// The plain path that the entry is, without wildcards; `None` for the whole base.
    pub fn plain(&self) -> Option<String> {
        let names: Option<Vec<String>> = self
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
        parts.extend(self.parts.iter().cloned());
        self.plain().is_none() && glob::matches(&parts, &components(path), self.subtree)
    }
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
    /// Reads all entries.
    pub fn parse(paths: &[String]) -> Declaration {
        let mut declaration = Declaration::default();
        for raw in paths {
            match Entry::parse(raw) {
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
