//! Tokens by their provider's format, and keys behind a provider's name.

use crate::checks;
use crate::line::{BEHIND_LATER, Line, SHARE};
use crate::value::{self, Level, Position};

impl Line<'_> {
    /// The token of rule `id`, whose keyword begins at `at`.
    pub(crate) fn provider(&mut self, id: usize, at: usize, length: usize) {
        let rule = self.engine.providers[id];
        let bytes = self.line.as_bytes();
        // A checksum that fits needs no border: the token may be inside a longer word.
        let checked = matches!(rule.name, "github-token" | "npm-token");
        let unmistakable = rule.name == "sendgrid-key";
        if rule.before.is_empty() && !(checked || unmistakable || is_border(bytes, at)) {
            return;
        }
        // `pk_test_…` is another provider's.
        if matches!(rule.keyword, "live_" | "test_") && at.checked_sub(1).is_some_and(|n| bytes[n] == b'_') {
            return;
        }
        // Found from the front already.
        if self.spans.last().is_some_and(|span| span.rule == rule.name && span.end > self.base + at) {
            return;
        }
        let (before, rest) = self.engine.pattern(id);
        let most = if self.looked < 4096 + self.line.len() * SHARE {
            bytes.len()
        } else {
            at + length + BEHIND_LATER
        };
        let (found, looked) = rest.at(&bytes[..most.min(bytes.len())], at + length);
        self.looked += looked;
        let Some((mut start, end)) = found else { return };
        if start == at + length && !rule.rest.contains('^') {
            start = at;
        }
        let mut left = at;
        if let Some(before) = before {
            match before.back_from(bytes, at) {
                Some(found) => {
                    left = found;
                    if !rule.rest.contains('^') {
                        start = found;
                    }
                }
                None => return,
            }
        }
        if bytes.get(end).is_some_and(u8::is_ascii_alphanumeric) && bytes[end - 1].is_ascii_alphanumeric() {
            return;
        }
        let token = &bytes[start..end];
        let checked = checked && checks::has_base62_crc32(token);
        if !(checked || unmistakable || is_border(bytes, left)) {
            return;
        }
        let sound = match rule.name {
            // The key for pages, by its name.
            "google-recaptcha-key" => !names_a_site(&self.line[..start]),
            "encoded-json-web-key" => checks::is_private_web_key(token),
            "jwt" => checks::is_jwt_header(token),
            "basic-auth-header" => checks::is_basic_auth(token),
            _ if COMMON_STARTS.contains(&rule.keyword) => plausible(&bytes[at + length..end]),
            _ => true,
        };
        if sound {
            self.add(start, end, rule.name);
        }
    }

    /// A key beside a provider's name, with no name of its own or only words between:
    /// `datadog,4Fk9…`, `Sentry - 4Fk9…`, `set up acme with key "4Fk9…"`.
    pub(crate) fn beside(&mut self, at: usize, end: usize) {
        let bytes = self.line.as_bytes();
        let head = self.line[..at].trim_end_matches(['"', '\'', '`', '(', '[', ' ']);
        // A part of an address, a package or a file.
        if head.ends_with(['/', '.', '@', '-', '_', ':']) || self.line[end..].starts_with(['/', '@']) {
            return;
        }
        let name =
            bytes[end..].iter().take(30).take_while(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b));
        let from = end + name.count();
        if says_public(&self.line[end..from]) {
            return;
        }
        // Words, signs and quotes, but nothing that an address or program text has.
        let between = |b: &u8| b.is_ascii_alphabetic() || b" \t,|;:=->\"'`([{".contains(b);
        let mut start = from;
        loop {
            let signs = bytes[start..].iter().take_while(|b| between(b) && !b.is_ascii_alphabetic()).count();
            start += signs;
            let word = bytes[start..]
                .iter()
                .take(LONGEST_KEY + 1)
                .take_while(|b| b.is_ascii_graphic() && !b"\"'`,;)]}|<>".contains(b))
                .count();
            if signs == 0 || word == 0 || start - from > MOST_BETWEEN {
                return;
            }
            let value = self.line.get(start..start + word).unwrap_or_default();
            if value.len() >= 20 {
                self.unnamed_key(start, value, start - from == signs);
                return;
            }
            let word = value.trim_end_matches([':', '=', '.']);
            if !word.bytes().all(|b| b.is_ascii_alphabetic()) || says_public(word) {
                return;
            }
            start += value.len();
        }
    }

    /// A key without a name, when it can be nothing else; `next` says that only signs are
    /// between it and the provider's name.
    fn unnamed_key(&mut self, start: usize, value: &str, next: bool) {
        let value = value.trim_end_matches(['.', ':']);
        let bytes = value.as_bytes();
        let plain = bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'='));
        // `dpl_4Fk9…`: an id of a kind that says itself what it is.
        let kind = value.bytes().take_while(u8::is_ascii_lowercase).count();
        // Hex can be a commit: only of another digest's length, beside the name alone.
        let hex = bytes.iter().all(u8::is_ascii_hexdigit);
        let alone = next && start + value.len() == self.line.trim_end().len();
        let mixed = bytes.iter().any(u8::is_ascii_uppercase) && bytes.iter().any(u8::is_ascii_lowercase);
        let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
        let sure = match hex {
            true => bytes.len() == 32 && alone && self.line.split_whitespace().count() <= 3,
            false => digits >= 3 && (mixed || bytes.len() >= 30),
        };
        if sure
            && plain
            && bytes.len() <= LONGEST_KEY
            && !value[kind..].starts_with('_')
            && !(bytes.len() == 40 && value.starts_with("6L"))
            && !value::is_uuid(bytes)
            && value::is_random(bytes)
            && !value::is_placeholder(value)
        {
            self.add(start, start + value.len(), "provider-key");
        }
    }

    /// A provider's client and its key: `AcmeClient("4Fk9…")`, `new Acme({ auth: "4Fk9…" })`,
    /// `acme auth add-key 4Fk9…`.
    pub(crate) fn client(&mut self, from: usize) {
        let rest = &self.line[from..self.line.floor_char_boundary((from + 250).min(self.line.len()))];
        let name = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"_.:".contains(b)).count();
        let call = rest[name..].starts_with('(');
        let (start, ends) = if call {
            let Some(quote) = rest[name..].find(['"', '\'', '`']).map(|at| name + at) else { return };
            // The first thing in the call, or a member's value.
            if !rest[name + 1..quote].bytes().all(|b| b.is_ascii_alphanumeric() || b" {:=_".contains(&b)) {
                return;
            }
            (quote + 1, ['"', '\'', '`'])
        } else {
            let words =
                ["key ", "auth ", "add-key ", "set-key ", "login ", "token ", "authtoken ", "add-authtoken "];
            let mut at = name + usize::from(rest[name..].starts_with(' '));
            let first = at;
            while let Some(word) = words.iter().find(|word| rest[at..].starts_with(**word)) {
                at += word.len();
            }
            if at == first {
                return;
            }
            (at + usize::from(rest[at..].starts_with(['"', '\''])), [' ', '"', '\''])
        };
        let length = rest[start..].find(ends).unwrap_or(rest.len() - start);
        let value = &rest[start..start + length];
        // `redis key user:4Fk9…:profile`
        let long = value.len() >= 20
            && (call || !value.contains(':'))
            && !(call && value::is_uuid(value.as_bytes()));
        if long && value::is_secret(Level::Vendor, value, Position::Argument, false) {
            self.add(from + start, from + start + length, "provider-key");
        }
    }
}

/// Whether a token can begin at `at`: not within a word, unless that is an escape.
pub(crate) fn is_border(bytes: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|n| bytes[n]) else { return true };
    if !before.is_ascii_alphanumeric() {
        return true;
    }
    let glued = GLUE.iter().any(|word| {
        let from = at.checked_sub(word.len());
        from.is_some_and(|from| {
            bytes[from..at].eq_ignore_ascii_case(word)
                && from.checked_sub(1).is_none_or(|n| !bytes[n].is_ascii_alphanumeric())
        })
    });
    let escaped = at >= 2 && bytes[at - 2] == b'\\' && matches!(before, b'n' | b'r' | b't');
    let percent =
        at >= 3 && bytes[at - 3] == b'%' && bytes[at - 2].is_ascii_hexdigit() && before.is_ascii_hexdigit();
    escaped || percent || glued
}

/// Whether a word, or the rest of a name, is of what everybody may see: `ClientId`, `release`.
pub(crate) fn says_public(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word.ends_with("id")
        || word.ends_with("ids")
        || [
            "site",
            "public",
            "publish",
            "hash",
            "sha",
            "digest",
            "commit",
            "release",
            "version",
            "checksum",
            "integrity",
            "fingerprint",
            "image",
            "layer",
            "revision",
            "branch",
            "tag",
            "cache",
            "request",
        ]
        .iter()
        .any(|known| word.contains(known))
}

/// `data-sitekey="`, `RECAPTCHA_SITE_KEY=`
fn names_a_site(before: &str) -> bool {
    let near = &before[before.floor_char_boundary(before.len().saturating_sub(16))..];
    let near = near.to_ascii_lowercase();
    ["site", "execute(", "render="].iter().any(|word| near.contains(word))
}

/// A longer word is no key.
const LONGEST_KEY: usize = 200;
/// Bytes between a provider's name and a key without one.
const MOST_BETWEEN: usize = 40;

/// Words that tokens are glued to: `/bot123456:AA…`, `tokenghp_…`.
const GLUE: &[&[u8]] = &[b"bot", b"token", b"key", b"secret", b"auth", b"bearer"];

/// Prefixes that also begin ordinary names.
const COMMON_STARTS: &[&str] = &[
    "sk_", "key_", "key-", "live_", "test_", "sandbox_", "app-", "dataset-", "rf_", "fw_", "re_", "pa-",
    "as-", "ak-", "secret-", "console-", "secret_", "sess-", "user:gh.", "service:", "retool_", "npm_",
    "cli-", "api-", "st.", "sl.", "mfa.", "act.", "cio", "cio_", "dsp_", "flp_", "fc-", "b_", "ls__", "tss_",
    "y0_", "1//0", "EAAA", "EAA", "IGQ", "BSA", "AQE", "A21AA", "AKC", "oy2", "6Lc", "6Ld", "6Le", "6Lf",
    "prod:", "oauth:", "xai-", "pat", "os_v2_",
];

/// Behind a short prefix: digits or letters that are no words.
fn plausible(part: &[u8]) -> bool {
    let first = part.first();
    value::is_random(part)
        || part.iter().all(|b| Some(b) == first)
        || (part.iter().filter(|b| b.is_ascii_digit()).count() >= 2
            && !part.contains(&b'_')
            && !part.contains(&b'-'))
        || (part.len() >= 20 && part.iter().all(u8::is_ascii_alphanumeric) && !value::reads_like_words(part))
}
