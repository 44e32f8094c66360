//! Recorded expectations: snapshots of Jest, Vitest, insta and syrupy, and golden files that
//! a test names.

use crate::operand::{Edit, shown};

/// A recorded expectation, by its path; with the test file that it belongs to, as far as the
/// path tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// `__snapshots__/a.test.js.snap` of `a.test.js`.
    Jest(String),
    /// `snapshots/crate__module__name.snap`.
    Insta,
    /// `__snapshots__/test_a.ambr` of `test_a.py`.
    Syrupy(String),
    /// Named as what is expected; a test must name it.
    Golden,
}

/// What a path is.
pub fn kind(path: &str) -> Option<Recorded> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let around = directory.strip_suffix("__snapshots__").map(|around| around.to_owned());
    if let (Some(around), Some(test)) = (&around, name.strip_suffix(".snap")) {
        return Some(Recorded::Jest(format!("{around}{test}")));
    }
    if let (Some(around), Some(test)) = (&around, name.strip_suffix(".ambr")) {
        return Some(Recorded::Syrupy(format!("{around}{test}.py")));
    }
    if name.ends_with(".snap") && directory.rsplit('/').next() == Some("snapshots") {
        return Some(Recorded::Insta);
    }
    let lower = path.to_ascii_lowercase();
    let words = ["expected", "golden", "approved", "snapshots/", "want."];
    let extension = crate::language::extension(&lower);
    let data = matches!(
        extension,
        "json"
            | "txt"
            | "golden"
            | "out"
            | "expected"
            | "stdout"
            | "yaml"
            | "yml"
            | "xml"
            | "html"
            | "csv"
            | "md"
            | "svg"
            | "approved"
            | ""
    );
    (data && words.iter().any(|word| lower.contains(word))).then_some(Recorded::Golden)
}

/// Alters one recorded character.
pub fn alter(kind: &Recorded, text: &str) -> Option<Edit> {
    let body = match kind {
        // `exports[`title 1`] = `…`;`
        Recorded::Jest(_) => {
            let start = text.find("`] = `")? + 6;
            let end = start + text[start..].find("`;")?;
            (start, end)
        }
        // A header between two lines of dashes.
        Recorded::Insta => {
            let start = match text.strip_prefix("---") {
                Some(rest) => 3 + rest.find("\n---")? + 4,
                None => 0,
            };
            (start, text.len())
        }
        // `# name: test_a`, the value, `# ---`.
        Recorded::Syrupy(_) => {
            let name = text.find("# name: ")?;
            let start = name + text[name..].find('\n')?;
            (start, start + text[start..].find("\n# ---")?)
        }
        Recorded::Golden => (0, text.len()),
    };
    let bytes = text.as_bytes();
    // The last letter or digit that no backslash takes.
    let at = (body.0..body.1).rev().take(64 * 1024).find(|at| {
        bytes[*at].is_ascii_alphanumeric()
            && (*at == 0 || !matches!(bytes[*at - 1], b'\\' | b'$' | b'&' | b'#'))
    })?;
    let other = match bytes[at] {
        b'z' => 'y',
        b'Z' => 'Y',
        b'9' => '8',
        byte => char::from(byte + 1),
    };
    // In JSON and YAML `true` stays a value of some kind: another letter breaks no reader that
    // compares text, and fails one that parses it.
    let line_start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    let before = text[line_start..line_end].trim();
    let after = format!("{}{other}{}", &text[line_start..at], &text[at + 1..line_end]);
    Some(Edit {
        range: (at, at + 1),
        text: other.to_string(),
        altered: format!("recorded {} became {}", shown(before), shown(after.trim())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_character_is_altered() {
        for (path, text, expected) in [
            (
                "src/__snapshots__/a.test.js.snap",
                "// Jest Snapshot v1\n\nexports[`a renders 1`] = `\nObject {\n  \"a\": 1,\n}\n`;\n\nexports[`b 1`] = `2`;\n",
                "  \"a\": 2,",
            ),
            (
                "src/snapshots/lib__tests__a.snap",
                "---\nsource: src/lib.rs\nexpression: f()\n---\nhello\n",
                "hellp",
            ),
            (
                "tests/__snapshots__/test_a.ambr",
                "# serializer version: 1\n# name: test_a\n  'hello'\n# ---\n",
                "  'hellp'",
            ),
            ("tests/expected.json", "{\"a\": [1, 2]}\n", "{\"a\": [1, 3]}"),
        ] {
            let kind = kind(path).expect(path);
            let edit = alter(&kind, text).expect(path);
            let mutated = [&text[..edit.range.0], &edit.text, &text[edit.range.1..]].concat();
            let line = crate::source::LineIndex::new(text).of(edit.range.0) as usize;
            assert_eq!(mutated.lines().nth(line - 1), Some(expected), "{path}");
        }
        assert_eq!(kind("src/data.json"), None);
        assert_eq!(kind("src/__snapshots__/a.test.js.snap"), Some(Recorded::Jest("src/a.test.js".into())));
    }
}
