//! The name around a secret's word: where it begins and ends, and what it promises.

use crate::rules::names::{KEY_OF, NOT_AFTER, NOT_BEFORE, NOT_BEFORE_APART, NameWord};
use crate::value::Level;

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte >= 0x80
}

/// A name that promises a secret.
pub(super) struct Name {
    /// It is a directory's too: `PWD`, `OLDPWD`.
    pub(super) directory: bool,
    /// It ends with `secret` or `secret_key`: also a word that somebody chose can be one.
    pub(super) chosen: bool,
    /// It goes on behind the secret's word.
    pub(super) longer: bool,
    /// It is that of several: `passwords`.
    pub(super) plural: bool,
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
        // The `_` at a provider's end is a border.
        (word.level != Level::Vendor || bytes[end - 1] != b'_')
            && b.is_some_and(|b| if last_lower { b.is_ascii_lowercase() } else { b.is_ascii_alphabetic() })
    };
    if goes_on(behind) && (plural == 1 || goes_on(after)) && !at_known_end(&bytes[end..]) {
        return None;
    }
    let starts_word = before.is_none_or(|b| !b.is_ascii_alphanumeric())
        || (bytes[at].is_ascii_uppercase() && before.is_some_and(|b| !b.is_ascii_uppercase()));
    let (start, stop) = extent(bytes, at, end);
    let lead: String = bytes[start..at]
        .iter()
        .filter(|b| b.is_ascii_alphanumeric() || **b >= 0x80)
        .map(|b| b.to_ascii_lowercase() as char)
        .collect();
    let level = promised(bytes, at, start, word, &lead, starts_word)?;
    // `AWS::KMS::Key` is a type.
    if level < Level::Password && bytes[..start].ends_with(b"::") {
        return None;
    }
    if level < Level::Password && is_not_of_secrets(word.text, &lead, &bytes[start..at]) {
        return None;
    }
    if level < Level::Password && start == at && is_apart(&bytes[..at]) {
        return None;
    }
    // `deploy_key`, `typesense key`: not the `key` of a map.
    let of_something = word.text == "key" && (lead.len() > 1 || bytes[..at].ends_with(b" "));
    let tail: Vec<String> = parts(&bytes[(end + plural).min(stop)..stop]);
    // `api_key_id`, `credentialsId`: the id of a secret; Vault's `secret_id` is one.
    let of_id = tail.first().is_some_and(|part| matches!(part.as_str(), "id" | "ids"));
    let ends_with_id = tail.last().is_some_and(|part| part == "id");
    if ends_with_id && level == Level::Weak {
        return None;
    }
    if of_id && word.text != "secret" && level != Level::Vendor {
        return None;
    }
    let strict = !of_id && tail.iter().any(|part| NOT_AFTER.contains(&part.as_str()));
    if level == Level::Vendor && (strict || is_public(&tail)) {
        return None;
    }
    // Token counts, not tokens.
    if plural == 1 && level <= Level::Weak && level != Level::Vendor {
        return None;
    }
    let whole = &bytes[start..stop];
    let directory = whole.eq_ignore_ascii_case(b"pwd") || whole.eq_ignore_ascii_case(b"oldpwd");
    let chosen = word.text == "secret" && (tail.is_empty() || tail == ["key"]);
    Some(Name {
        chosen,
        longer: !tail.is_empty(),
        directory,
        plural: plural == 1 && stop == end + 1,
        level,
        strict,
        start,
        stop,
        of_something,
    })
}

/// The whole name around the word: letters, digits, `_`, `-`, and dots between them.
fn extent(bytes: &[u8], at: usize, end: usize) -> (usize, usize) {
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
    (start, stop)
}

/// What the word promises, with what is in front of it; nothing when it is a part of another
/// word.
fn promised(
    bytes: &[u8],
    at: usize,
    start: usize,
    word: &NameWord,
    lead: &str,
    starts_word: bool,
) -> Option<Level> {
    let query = start == at && at.checked_sub(1).is_some_and(|n| matches!(bytes[n], b'?' | b'&'));
    let level = if query && word.level == Level::Weak { Level::Token } else { word.level };
    if word.text != "key" {
        return (starts_word || !word.at_start).then_some(level);
    }
    let owned = KEY_OF.iter().any(|of| lead.ends_with(of));
    if !starts_word && !owned {
        return None;
    }
    // `API Key: …` in prose and tables.
    let spaced = || {
        start == at
            && bytes[..at].strip_suffix(b" ").is_some_and(|head| {
                KEY_OF.iter().any(|of| {
                    head.len() >= of.len()
                        && head[head.len() - of.len()..].eq_ignore_ascii_case(of.as_bytes())
                })
            })
    };
    Some(if owned || query || spaced() { Level::Token } else { level })
}

/// What follows a provider's name says that everybody may see it.
fn is_public(tail: &[String]) -> bool {
    let owners = ["client", "app", "tenant", "account", "project", "zone", "org"];
    tail.windows(2).any(|pair| pair[1] == "id" && owners.contains(&pair[0].as_str()))
        || tail.iter().any(|part| NOT_A_VENDORS_KEY.contains(&part.as_str()))
}

/// Parts of a name with a provider's that say what is public: `github_commit`,
/// `AUTH0_CLIENT_ID`, `recaptcha_site_key`.
const NOT_A_VENDORS_KEY: &[&str] = &[
    "commit",
    "ref",
    "tag",
    "branch",
    "repo",
    "build",
    "etag",
    "run",
    "site",
    "sitekey",
    "public",
    "publishable",
    "pub",
    "hash",
    "release",
    "digest",
];

/// Whether the word in front, with a blank between, says that the name is none.
fn is_apart(before: &[u8]) -> bool {
    let Some(head) = before.strip_suffix(b" ") else { return false };
    let length = head.iter().rev().take_while(|b| b.is_ascii_alphabetic()).count();
    let word = &head[head.len() - length..];
    NOT_BEFORE_APART.iter().any(|not| word.eq_ignore_ascii_case(not.as_bytes()))
}

/// `cache_key`, `next_token`, `publicKey`: what is before the word says that it is none.
fn is_not_of_secrets(word: &str, lead: &str, raw: &[u8]) -> bool {
    let last = parts(raw).pop().unwrap_or_default();
    // `publicKeyToken`, `Sec-WebSocket-Key`
    if lead.ends_with("publickey") || lead.ends_with("websocket") {
        return true;
    }
    // What is a secret by its own word is one of anything: `s3_secret`.
    if word == "secret" {
        return matches!(last.as_str(), "public" | "max" | "min" | "num" | "no" | "non" | "not");
    }
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
