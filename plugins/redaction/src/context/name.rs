//! The name around a secret's word: where it begins and ends, and what it promises.

use crate::rules::names::{KEY_OF, NOT_AFTER, NOT_BEFORE, NameWord};
use crate::value::Level;

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte >= 0x80
}

/// A name that promises a secret.
pub(super) struct Name {
    pub(super) level: Level,
    /// It is about a secret rather than one: `token_url`.
    pub(super) strict: bool,
    pub(super) start: usize,
    pub(super) stop: usize,
    /// A key that belongs to something, so that hex of a digest's length can be one.
    pub(super) of_something: bool,
}

/// The name around the word at `at..end`; nothing when it promises no secret.
pub(super) fn read(bytes: &[u8], at: usize, end: usize, word: &NameWord) -> Option<Name> {
    let before = at.checked_sub(1).map(|n| bytes[n]);
    let after = bytes.get(end).copied();
    // `tokens` and `token` count, `tokenizer` and `secretary` do not.
    let plural = usize::from(after.is_some_and(|b| b == b's' || b == b'S'));
    let last_lower = bytes[end - 1].is_ascii_lowercase();
    let behind = bytes.get(end + plural).copied();
    let goes_on = |b: Option<u8>| {
        b.is_some_and(|b| if last_lower { b.is_ascii_lowercase() } else { b.is_ascii_alphabetic() })
    };
    if goes_on(behind) && (plural == 1 || goes_on(after)) && !at_known_end(&bytes[end..]) {
        return None;
    }
    let starts_word = before.is_none_or(|b| !b.is_ascii_alphanumeric())
        || (bytes[at].is_ascii_uppercase() && before.is_some_and(|b| !b.is_ascii_uppercase()));
    let mut start = at;
    while start > 0
        && at - start < 60
        && (is_name(bytes[start - 1]) || (bytes[start - 1] == b'.' && start > 1 && is_name(bytes[start - 2])))
    {
        start -= 1;
    }
    let mut stop = end;
    while stop - end < 60
        && bytes.get(stop).is_some_and(|b| match b {
            b'-' => bytes.get(stop + 1) != Some(&b'>'),
            b'.' => bytes.get(stop + 1).is_some_and(u8::is_ascii_alphabetic),
            _ if bytes[stop..].starts_with("：".as_bytes()) => false,
            b => is_name(*b),
        })
    {
        stop += 1;
    }
    let lead: String = bytes[start..at]
        .iter()
        .filter(|b| b.is_ascii_alphanumeric() || **b >= 0x80)
        .map(|b| b.to_ascii_lowercase() as char)
        .collect();
    let mut level = word.level;
    let query = start == at && before.is_some_and(|b| matches!(b, b'?' | b'&'));
    if query && level == Level::Weak {
        level = Level::Token;
    }
    if word.text == "key" {
        let owned = KEY_OF.iter().any(|of| lead.ends_with(of));
        if !starts_word && !owned {
            return None;
        }
        if owned || query {
            level = Level::Token;
        } else if start == at {
            // `API Key: …` in prose and tables.
            let spaced = bytes[..at].strip_suffix(b" ").is_some_and(|head| {
                KEY_OF.iter().any(|of| {
                    head.len() >= of.len()
                        && head[head.len() - of.len()..].eq_ignore_ascii_case(of.as_bytes())
                })
            });
            if spaced {
                level = Level::Token;
            }
        }
    } else if word.at_start && !starts_word {
        return None;
    }
    // `AWS::KMS::Key` is a type.
    if level < Level::Password && bytes[..start].ends_with(b"::") {
        return None;
    }
    if level < Level::Password && is_not_of_secrets(&lead, &bytes[start..at]) {
        return None;
    }
    // `deploy_key`, `typesense key`: not the `key` of a map.
    let of_something = word.text == "key" && (lead.len() > 1 || bytes[..at].ends_with(b" "));
    let tail: Vec<String> = parts(&bytes[end..stop]);
    let strict = tail.iter().any(|part| NOT_AFTER.contains(&part.as_str()));
    if level == Level::Vendor
        && (strict
            || tail.iter().any(|part| {
                ["commit", "ref", "tag", "branch", "repo", "build", "etag", "run"].contains(&part.as_str())
            }))
    {
        return None;
    }
    // Token counts, not tokens.
    if plural == 1 && level == Level::Weak {
        return None;
    }
    Some(Name { level, strict, start, stop, of_something })
}

/// `cache_key`, `next_token`, `publicKey`: what is before the word says that it is none.
fn is_not_of_secrets(lead: &str, raw: &[u8]) -> bool {
    let last = parts(raw).pop().unwrap_or_default();
    NOT_BEFORE.iter().any(|not| last == *not || (not.len() >= 4 && lead.ends_with(not)))
        && !lead.ends_with("test")
}

/// `tokenProd`, `secretkey`: what may follow a word without a border.
fn at_known_end(rest: &[u8]) -> bool {
    ["key", "value", "val", "string", "str", "text", "base64", "b64", "hex", "prod", "dev", "test", "env"]
        .iter()
        .any(|known| {
            rest.len() >= known.len()
                && rest[..known.len()].eq_ignore_ascii_case(known.as_bytes())
                && rest.get(known.len()).is_none_or(|b| !b.is_ascii_lowercase())
        })
}

/// A name in its parts, in lower case: `ExpiresAt_url` is `expires`, `at`, `url`.
fn parts(name: &[u8]) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut lower_before = false;
    for byte in name {
        if !byte.is_ascii_alphanumeric() {
            parts.push(String::new());
        } else {
            if byte.is_ascii_uppercase() && lower_before {
                parts.push(String::new());
            }
            if let Some(last) = parts.last_mut() {
                last.push(byte.to_ascii_lowercase() as char);
            }
        }
        lower_before = byte.is_ascii_lowercase();
    }
    parts.retain(|part| !part.is_empty());
    parts
}
