//! Formats that are more than a prefix and a run of characters: Discord's tokens, wallets,
//! Kubernetes secrets, web keys, `Bearer`.

use crate::checks;
use crate::line::Line;
use crate::pattern::Pattern;
use crate::provider::is_border;
use crate::state::State;
use crate::value;

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

    /// The private members of a JSON Web Key.
    pub(crate) fn web_key(&mut self, from: usize) {
        let rest = &self.line[from..];
        let lead = rest.bytes().take_while(|b| *b == b' ').count();
        let Some(inner) = rest[lead..].strip_prefix('"') else { return };
        let length =
            inner.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
        let long = length >= if self.line.contains("\"kty\"") { 22 } else { 43 };
        if long && inner[length..].starts_with('"') && value::is_random(&inner.as_bytes()[..length]) {
            self.add(from + lead + 1, from + lead + 1 + length, "json-web-key");
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
