//! Formats that are more than a prefix and a run of characters: Discord's tokens, wallets,
//! Kubernetes secrets, web keys, `Bearer`.

use crate::checks;
use crate::line::Line;
use crate::pattern::Pattern;
use crate::provider::is_border;
use crate::state::State;
use crate::value;

/// The rule's name.
const WEB_KEY: &str = "json-web-key";

/// The base64url value at `from`, behind blanks and an opening quote.
fn web_key_value(line: &str, from: usize, shortest: usize) -> Option<(usize, usize)> {
    let rest = line.get(from..)?;
    let start = from + rest.bytes().take_while(|b| b" \"'\\".contains(b)).count();
    let length =
        line[start..].bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
    let value = &line.as_bytes()[start..start + length];
    let closed = !line[start + length..].starts_with(['.', '(', '/', ':']);
    (length >= shortest && closed && value::is_random(value)).then_some((start, start + length))
}

impl Line<'_> {
    /// A Discord bot token that begins at `at`.
    pub(crate) fn discord(&mut self, at: usize) {
        let bytes = self.line.as_bytes();
        let pattern = self.engine.discord.get_or_init(|| Pattern::new(r"[\a_-]{24,28}\.\u{6,7}\.\u{27,38}"));
        if let (Some((start, end)), _) = pattern.at(bytes, at)
            && is_border(bytes, at)
            && !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric)
        {
            self.add(start, end, "discord-token");
        }
    }

    /// The words of a wallet: `mnemonic = "legal winner thank …"`.
    pub(crate) fn phrase(&mut self, from: usize) {
        let rest = &self.line[from..];
        let lead = rest.bytes().take(16).take_while(|b| b" \t=:\"'`\\>".contains(b)).count();
        if lead == 0 {
            return;
        }
        let length = rest[lead..].bytes().take_while(|b| b.is_ascii_lowercase() || *b == b' ').count();
        let words = rest[lead..lead + length].trim_end();
        let count = words.split(' ').count();
        if matches!(count, 12 | 15 | 18 | 21 | 24) && words.split(' ').all(|word| matches!(word.len(), 3..=8))
        {
            self.add(from + lead, from + lead + words.len(), "wallet-phrase");
        }
    }

    /// `name: c2VjcmV0` below the `data:` of a Kubernetes secret: what is text in base64.
    pub(crate) fn member(&mut self, left: u32) -> State {
        let line = self.line.trim_start_matches(['+', '-']);
        let indented = line.starts_with([' ', '\t']) || line.is_empty();
        let member = line.trim().split_once(": ").filter(|(name, _)| !name.contains(' '));
        let (Some((_, value)), true, 1..) = (member, indented, left) else { return State::Nothing };
        let value = value.trim_matches(['"', '\'']);
        if checks::is_encoded_text(value.as_bytes()) {
            let end = self.line.trim_end().trim_end_matches(['"', '\'']).len();
            self.add(end - value.len(), end, "kubernetes-secret");
        }
        State::Data(left - 1)
    }

    /// A private member of a JSON Web Key whose name and sign are in front of `from`.
    pub(crate) fn web_key(&mut self, from: usize) {
        let shortest = if self.line.contains("kty") { 22 } else { 43 };
        if let Some((start, end)) = web_key_value(self.line, from, shortest) {
            self.add(start, end, WEB_KEY);
        }
    }

    /// Every private member on a line of a web key, in any notation: `"d": "…"`, `d: '…'`,
    /// `'k' => "…"`, `\"qi\":\"…\"`.
    pub(crate) fn web_key_members(&mut self) {
        let line = self.line;
        let bytes = line.as_bytes();
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let mut at = 0;
        while at < bytes.len() {
            let length = bytes[at..].iter().take_while(|b| is_name(b)).count();
            if matches!(&bytes[at..at + length], b"d" | b"p" | b"q" | b"dp" | b"dq" | b"qi" | b"k") {
                let signs = bytes[at + length..].iter().take(16).take_while(|b| b"\\\"' \t:=>".contains(b));
                let sign = signs.clone().any(|b| matches!(b, b':' | b'='));
                let from = at + length + signs.count();
                if let Some((start, end)) = web_key_value(line, from, 22).filter(|_| sign) {
                    self.add(start, end, WEB_KEY);
                }
            }
            at += length.max(1);
        }
    }

    /// `"…".toCharArray()`: what is in front of `at` was made to be a password.
    pub(crate) fn char_array(&mut self, at: usize) {
        let Some(head) = self.line[..at].strip_suffix('"') else { return };
        let Some(start) = head.rfind('"').map(|n| n + 1) else { return };
        let text = &head.as_bytes()[start..];
        if (value::is_strong(text) || value::is_word_with_number(text))
            && !value::is_placeholder(&head[start..])
        {
            self.add(start, head.len(), "password");
        }
    }

    /// `user:password` in front of `at`, in a data source of Go.
    pub(crate) fn go_source(&mut self, at: usize) {
        let head = &self.line[..at];
        let from = head.rfind(['"', '\'', '`', ' ', '=', '/']).map_or(0, |n| n + 1);
        let Some(start) = head[from..].find(':').map(|n| from + n + 1) else { return };
        let password = &head[start..];
        if password.len() >= 3
            && !password.starts_with(['$', '%', '{', '<'])
            && !password.contains("[REDACTED:")
        {
            self.add(start, at, "url-password");
        }
    }

    /// `Bearer <token>` anywhere.
    pub(crate) fn bearer(&mut self, from: usize) {
        let rest = &self.line[from..];
        let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(b)).count();
        let value = rest[..length].trim_end_matches('.');
        let digits = value.bytes().filter(u8::is_ascii_digit).count();
        if value.len() >= 12
            && digits >= 1
            && !value::is_placeholder(value)
            && (value::is_random(value.as_bytes()) || digits >= 3)
        {
            self.add(from, from + value.len(), "bearer-token");
        }
    }
}
