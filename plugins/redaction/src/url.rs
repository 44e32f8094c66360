//! Credentials in addresses: `scheme://user:password@host`, `https://token@host`.

use crate::value;

/// The secret part of the address whose `://` is at `at`.
pub fn userinfo(line: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = line.as_bytes();
    let start = at + 3;
    let scheme_letter = at.checked_sub(1).map(|n| bytes[n])?;
    if !scheme_letter.is_ascii_alphanumeric() {
        return None;
    }
    let rest = &bytes[start..bytes.len().min(start + 600)];
    let length = rest
        .iter()
        .position(|b| {
            b.is_ascii_whitespace()
                || matches!(b, b'"' | b'\'' | b'<' | b'>' | b'`' | b'/' | b'?' | b'|' | b'(')
                || (*b == b'\\')
        })
        .unwrap_or(rest.len());
    let mut authority = &rest[..length];
    let mut last = authority.iter().rposition(|b| *b == b'@');
    if last.is_none()
        && rest.get(length).is_some_and(|b| matches!(b, b'/' | b'?'))
        && authority.contains(&b':')
    {
        // A password with `/` in it: the host must follow the `@` at once.
        let longer = rest[length..]
            .iter()
            .position(|b| b.is_ascii_whitespace() || b"\"'<>`".contains(b))
            .map_or(rest.len(), |n| length + n);
        let colon = authority.iter().position(|b| *b == b':')?;
        let digits = authority[colon + 1..].iter().all(u8::is_ascii_digit);
        if digits {
            return None;
        }
        authority = &rest[..longer];
        last = authority.iter().rposition(|b| *b == b'@');
    }
    let last = last?;
    let info = &line[start..start + last];
    let host = authority.get(last + 1)?;
    if !(host.is_ascii_alphanumeric()
        || matches!(host, b'[' | b'$' | b'{' | b'#' | b'_' | b'%')
        || *host >= 0x80)
    {
        return None;
    }
    let Some(colon) = info.find(':') else {
        if is_public_dsn(info, &authority[last + 1..]) {
            return None;
        }
        return (info.len() >= 20 && value::is_random(info.as_bytes()) && !value::is_placeholder(info))
            .then_some((start, start + last));
    };
    let password = &info[colon + 1..];
    if password.is_empty() {
        let user = &info[..colon];
        return (user.len() >= 16 && value::is_random(user.as_bytes())).then_some((start, start + colon));
    }
    // A token instead of the user: `https://4Fk9…:x-oauth-basic@host`.
    let user = &info.as_bytes()[..colon];
    let from = if user.len() >= 20 && value::is_random(user) { start } else { start + colon + 1 };
    (!is_template(password)).then_some((from, start + last))
}

/// The public key of an error tracker's address: it is part of every page that reports.
fn is_public_dsn(user: &str, host: &[u8]) -> bool {
    let host = String::from_utf8_lossy(host).to_ascii_lowercase();
    user.len() == 32
        && user.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
        && ["sentry", "ingest.", "glitchtip", "bugsink"].iter().any(|known| host.contains(known))
}

/// Path segments behind which a secret follows in an address.
pub(crate) const SEGMENTS: &[&str] = &[
    "/hook",
    "/webhook",
    "/secret",
    "/token",
    "/invit",
    "/reset",
    "/priv/",
    "/verify",
    "/magic",
    "/activat",
    "/unsubscribe",
    "/bot",
    "/key/",
    "/keys/",
    "/build_hooks",
    "://hooks.",
    "://hook.",
];

/// The secret in an address behind the segment that begins at `at`: `/hooks/4Fk9…`.
pub(crate) fn behind_segment(line: &str, at: usize) -> Option<(usize, usize)> {
    let from = line.floor_char_boundary(at.saturating_sub(300));
    let host = line[at..].starts_with("://");
    let scheme = if host { at } else { from + line[from..at].rfind("://")? };
    let ends = |c: char| c.is_whitespace() || "\"'`<>)]},;?#&\\".contains(c);
    if line[scheme..at].contains(ends) {
        return None;
    }
    let hook = line[at..].starts_with("/hook") || line[at..].starts_with("/webhook") || host;
    let path = at + 3 * usize::from(host) + usize::from(!host);
    let end = path + line[path..].find(ends).unwrap_or(line.len() - path);
    let mut start = path + line[path..end].find('/')? + 1;
    let mut found: Option<(usize, usize)> = None;
    for segment in line[start..end].split('/').take(6) {
        let bytes = segment.as_bytes();
        let drawn = bytes.len() >= 16
            && value::is_random(bytes)
            && !value::is_uuid(bytes)
            && (hook || !value::is_digest(bytes))
            && !segment.contains(['.', '{', '$', ':'])
            && !value::is_placeholder(segment)
            && !segment.contains("[REDACTED");
        if drawn {
            found = Some((found.map_or(start, |(first, _)| first), start + segment.len()));
        }
        start += segment.len() + 1;
    }
    found
}

fn is_template(password: &str) -> bool {
    let all_masked = password.bytes().all(|b| matches!(b, b'*' | b'.' | b'x' | b'X'));
    all_masked
        || password.contains("${")
        || password.contains("{{")
        || password.contains("#{")
        || password.contains("[REDACTED")
        || password.contains("<%")
        || matches!(
            password.as_bytes(),
            [b'{' | b'<' | b'[' | b'$', ..] | [b'%', b's' | b'v' | b'd', ..] | [b'%', b'(', ..]
        )
}
