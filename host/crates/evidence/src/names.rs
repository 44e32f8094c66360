//! Names of files as git and the file system hold them (bytes, `/` between components)
//! and as people and policies read them (text). The text form can be turned back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The text form: valid UTF-8 as it is; other bytes and control characters as `\xNN`. A
/// backslash that would be taken for such an escape is itself written `\x5c`.
pub fn escape(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        let valid = chunk.valid();
        for (at, c) in valid.char_indices() {
            if c.is_control() {
                let mut utf8 = [0; 4];
                for b in c.encode_utf8(&mut utf8).bytes() {
                    out.push_str(&format!("\\x{b:02x}"));
                }
            } else if c == '\\' && is_escape(&valid.as_bytes()[at..]) {
                out.push_str("\\x5c");
            } else {
                out.push(c);
            }
        }
        for b in chunk.invalid() {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    out
}

/// The bytes that [`escape`] made this text from.
pub fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = is_escape(&bytes[at..]).then(|| u8::from_str_radix(&text[at + 2..at + 4], 16).ok());
        match digits.flatten() {
            Some(b) => {
                out.push(b);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

fn is_escape(bytes: &[u8]) -> bool {
    matches!(bytes, [b'\\', b'x', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

/// The bytes of a relative path with `/` between components.
pub fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// The path of a name.
pub fn path(name: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(name))
}

/// `prefix` and `name` with a `/` between them where both have something.
pub fn join(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    if prefix.is_empty() {
        return name.to_vec();
    }
    let mut out = prefix.to_vec();
    if !name.is_empty() {
        out.push(b'/');
        out.extend_from_slice(name);
    }
    out
}

/// What is left of `name` below `prefix`; none if it lies elsewhere. `src` is not a prefix
/// of `src2/a`.
pub fn below<'a>(name: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    if prefix.is_empty() {
        return Some(name);
    }
    match name.strip_prefix(prefix)? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// `name` (below the top) as it reads from the directory `base` (below the top): `../` for
/// each level that must be left.
pub fn relative(name: &[u8], base: &[u8]) -> Vec<u8> {
    let mut base = base;
    let mut up: Vec<u8> = Vec::new();
    loop {
        if let Some(rest) = below(name, base) {
            up.extend_from_slice(rest);
            return up;
        }
        up.extend_from_slice(b"../");
        base = match base.iter().rposition(|b| *b == b'/') {
            Some(at) => &base[..at],
            None => &[],
        };
    }
}

/// The reverse of [`relative`]: the name below the top, none if it would leave the top.
pub fn absolute(relative: &[u8], base: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = base.split(|b| *b == b'/').filter(|p| !p.is_empty()).collect();
    if relative.first() == Some(&b'/') || relative.contains(&0) {
        return None;
    }
    for part in relative.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_text_form() {
        let cases: [(&[u8], &str); 7] = [
            (b"src/a.rs", "src/a.rs"),
            (b"a\nb", "a\\x0ab"),
            (b"a\xffb", "a\\xffb"),
            (b"a\\b", "a\\b"),
            (b"a\\x0ab", "a\\x5cx0ab"),
            ("grün".as_bytes(), "grün"),
            ("a\u{85}b".as_bytes(), "a\\xc2\\x85b"),
        ];
        for (name, text) in cases {
            assert_eq!(escape(name), text);
            assert_eq!(unescape(text), name, "{text}");
        }
    }

    #[test]
    fn names_are_relative_to_a_base_and_back() {
        let cases: [(&str, &str, &str); 6] = [
            ("src/a", "", "src/a"),
            ("app/src/a", "app", "src/a"),
            ("lib/x", "app", "../lib/x"),
            ("app2/x", "app", "../app2/x"),
            ("a/x", "a/b/c", "../../x"),
            ("z", "a/b", "../../z"),
        ];
        for (name, base, relative_name) in cases {
            assert_eq!(relative(name.as_bytes(), base.as_bytes()), relative_name.as_bytes());
            assert_eq!(absolute(relative_name.as_bytes(), base.as_bytes()).as_deref(), Some(name.as_bytes()));
        }
        for outside in ["../x", "a/../../x", "/etc/passwd"] {
            assert_eq!(absolute(outside.as_bytes(), b""), None, "{outside}");
        }
    }
}
