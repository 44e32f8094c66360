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
