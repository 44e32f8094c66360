//! A user with a password beside it, as people note them: `root / 4Fk9!x`,
//! `10.0.0.4 backup 4Fk9!x`, `credentials: bob:4Fk9!x`. Only what was plainly made to be a
//! password counts: no name says that it is one.

use crate::value;

/// The rule's name.
pub(crate) const RULE: &str = "login-password";

/// What is in front of the user, or is the user: the keyword, and whether it is a user's name.
pub(crate) const KEYWORDS: &[(&str, bool)] = &[
    ("credential", false),
    ("login", false),
    ("logon", false),
    ("account", false),
    ("ssh ", false),
    ("ftp ", false),
    ("vpn ", false),
    ("rdp ", false),
    ("wifi", false),
    ("ssid", false),
    ("192.168.", false),
    ("172.16.", false),
    ("10.0.", false),
    ("admin", true),
    ("root/", true),
    ("root:", true),
    ("root /", true),
    ("root@", true),
];

/// The password beside the user; the keyword is at `at..end` and is the user or comes before it.
pub(crate) fn find(line: &str, at: usize, end: usize, is_user: bool) -> Option<(usize, usize)> {
    let bytes = line.as_bytes();
    if at.checked_sub(1).is_some_and(|n| bytes[n].is_ascii_alphanumeric() || b"_./\\-$".contains(&bytes[n])) {
        return None;
    }
    let user = if is_user {
        at + name(&bytes[at..])
    } else {
        // The rest of the keyword's own word, an address with its port, a sign.
        let from = end
            + bytes[end..]
                .iter()
                .take(24)
                .take_while(|b| b.is_ascii_alphanumeric() || b".:".contains(b))
                .count();
        // `Login succeeded: `
        let said = line[from..line.floor_char_boundary((from + 20).min(line.len()))]
            .find(": ")
            .filter(|n| line[from..from + n].bytes().all(|b| b == b' ' || b.is_ascii_alphabetic()));
        let from = from + said.unwrap_or(0);
        let from = from + bytes[from..].iter().take(4).take_while(|b| b" \t:=-|,".contains(b)).count();
        let address =
            bytes[from..].iter().take(22).take_while(|b| b.is_ascii_digit() || b".:".contains(b)).count();
        let from = if address >= 7 {
            from + address + usize::from(bytes.get(from + address) == Some(&b' '))
        } else {
            from
        };
        from + Some(name(&bytes[from..])).filter(|length| *length >= 2)?
    };
    let (password, loose) = separator(bytes, user)?;
    let length =
        bytes[password..].iter().take_while(|b| b.is_ascii_graphic() && !b"\"'`,;|)<>".contains(b)).count();
    let value = &line[password..password + length];
    let rest = line[password + length..].trim_start_matches(['"', '\'', '`']);
    let over = rest.trim().is_empty()
        || rest.starts_with([')', '|', ',', ';'])
        || rest.starts_with(" (")
        || rest.starts_with(" #")
        || rest.starts_with(" |");
    let announced = line[at..end].starts_with(|c: char| c.is_ascii_alphabetic())
        && !line[at..end].ends_with(' ')
        && !is_user
        && !loose;
    let symbol = value.contains(['!', '#', '$', '%', '&', '*', '@']);
    let bytes = value.as_bytes();
    let code = value.starts_with(['&', '*']);
    let made_up = (value::is_strong(bytes) || value::is_word_with_number(bytes)) && value.len() >= 8 && !code;
    // With only a blank between, or no symbol in it, it could be anything.
    let sure = symbol || announced || (!loose && value::is_random(value.as_bytes()));
    (made_up && sure && over && !value::is_placeholder(value) && !value.contains("[REDACTED:"))
        .then_some((password, password + length))
}

fn name(bytes: &[u8]) -> usize {
    bytes.iter().take(40).take_while(|b| b.is_ascii_alphanumeric() || b"._-\\@".contains(b)).count()
}

/// Where the password begins behind the user, and whether only blanks are between.
fn separator(bytes: &[u8], user: usize) -> Option<(usize, bool)> {
    let blanks = |at: usize| {
        at + bytes[at.min(bytes.len())..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count()
    };
    let at = blanks(user);
    let sign = matches!(bytes.get(at), Some(b'/' | b':' | b'|' | b','));
    let begin = if sign { blanks(at + 1) } else { at };
    (begin > user && begin < bytes.len()).then_some((begin, !sign || begin > at + 1 && bytes[at] != b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users() {
        for (line, expected) in [
            ("root / Winter275!", Some("Winter275!")),
            ("login: bob / Winter275!", Some("Winter275!")),
            ("credentials: bob:Winter275!", Some("Winter275!")),
            ("192.168.0.4 backup Winter275!", Some("Winter275!")),
            ("192.168.0.4:22 backup:Winter275!", Some("Winter275!")),
            ("ssh 35.100.2.1 bob/Winter275!", Some("Winter275!")),
            ("| 10.0.0.1 | alice | Autumn807! |", Some("Autumn807!")),
            ("root:x:0:0:root:/root:/bin/bash", None),
            ("login: bob at 10:30", None),
            ("192.168.0.4 - bob [10/Oct/2026:13:55:36 +0000] \"GET /\"", None),
            ("src/root/V2Parser", None),
            ("admin: User2Factory", None),
        ] {
            let found = KEYWORDS.iter().find_map(|(word, is_user)| {
                let at = line.find(word)?;
                find(line, at, at + word.len(), *is_user)
            });
            assert_eq!(found.map(|(start, end)| &line[start..end]), expected, "{line}");
        }
    }
}
