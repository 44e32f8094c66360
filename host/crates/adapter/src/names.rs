//! Tool names and call identifiers that differ between the two sides. Gateways refuse names
//! over 64 characters and odd characters; Claude Code loses results whose identifier it has
//! seen before. Both mappings are pure, so that history maps the same way on every turn.

use std::borrow::Cow;
use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// The longest function name that every gateway takes.
pub const MAX_NAME: usize = 64;

/// Between the gateway's own call identifier and our suffix.
const MARK: &str = "_cw";
/// Length of the suffix after [`MARK`].
const SUFFIX: usize = 10;

/// `name` as a gateway may see it: unchanged when legal, else cleaned and cut with a hash of
/// the whole, so that two long names stay apart.
pub fn safe_name(name: &str) -> Cow<'_, str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts_well && name.len() <= MAX_NAME && name.chars().all(legal) {
        return Cow::Borrowed(name);
    }
    let hash = hex(&Sha256::digest(name.as_bytes()), 8);
    let mut out = String::with_capacity(MAX_NAME);
    if !starts_well {
        out.push_str("t_");
    }
    out.extend(name.chars().map(|c| if legal(c) { c } else { '_' }).take(MAX_NAME - 9 - out.len()));
    out.push('_');
    out.push_str(&hash);
    Cow::Owned(out)
}

fn hex(bytes: &[u8], chars: usize) -> String {
    let mut out = model::hex::encode(bytes);
    out.truncate(chars);
    out
}

/// The tools that the client declared: from the gateway's name to the client's, with the
/// schema for calls that arrive as text.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    by_gateway_name: HashMap<String, Tool>,
}

/// One declared tool.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The client's name.
    pub name: String,
    /// The tool's schema; empty when unknown.
    pub schema: String,
}

impl Declared {
    /// Adds a tool by its client name.
    pub fn insert(&mut self, name: &str, schema: &str) {
        self.by_gateway_name
            .insert(safe_name(name).into_owned(), Tool { name: name.to_owned(), schema: schema.to_owned() });
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_gateway_name.is_empty()
    }

    /// The only tool, when there is just one.
    pub fn only(&self) -> Option<&Tool> {
        self.by_gateway_name.values().next().filter(|_| self.by_gateway_name.len() == 1)
    }

    /// Whether the gateway's `name` is declared exactly so.
    pub fn knows(&self, name: &str) -> bool {
        self.by_gateway_name.contains_key(name)
    }

    /// The tool that the gateway calls `name`. Forgives what models add: spaces, a
    /// `functions.` prefix, a `:3` counter, tokens of their own format, other case.
    pub fn find(&self, name: &str) -> Option<&Tool> {
        if let Some(tool) = self.by_gateway_name.get(name) {
            return Some(tool);
        }
        let bare = name.split("<|").next().unwrap_or(name).trim();
        let prefixes = ["functions.", "default_api.", "default_api:", "tools."];
        let bare = prefixes.iter().find_map(|p| bare.strip_prefix(p)).unwrap_or(bare);
        let bare = match bare.rsplit_once(':') {
            Some((head, count)) if count.bytes().all(|b| b.is_ascii_digit()) => head,
            _ => bare,
        };
        if let Some(tool) = self.by_gateway_name.get(bare) {
            return Some(tool);
        }
        let mut alike = self.by_gateway_name.iter().filter(|(n, _)| n.eq_ignore_ascii_case(bare));
        alike.next().filter(|_| alike.next().is_none()).map(|(_, tool)| tool)
    }

    /// The client's name for the gateway's `name`; as is when it was never declared.
    pub fn client_name<'x>(&'x self, name: &'x str) -> &'x str {
        self.find(name).map_or(name, |tool| tool.name.as_str())
    }
}

/// A call identifier that was never used before: the gateway's own, then our suffix. The
/// client hands it back as is, and [`gateway_id`] finds the gateway's own in it again.
pub fn mint_id(gateway: &str, nonce: u64) -> String {
    let own = if gateway.is_empty() || gateway.len() > 200 { "toolu" } else { gateway };
    format!("{own}{MARK}{}", base36(nonce))
}

/// What the gateway called a call that we minted; none when it had no name of its own or the
/// identifier is not ours.
pub fn gateway_id(id: &str) -> Option<&str> {
    let at = id.len().checked_sub(SUFFIX + MARK.len())?;
    let (own, rest) = (id.get(..at)?, id.get(at..)?);
    let suffix = rest.strip_prefix(MARK)?;
    let ours = suffix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (ours && own != "toolu" && !own.is_empty()).then_some(own)
}

/// The key under which the reasoning details of a turn are kept, by its first call.
pub fn details_key(id: &str) -> String {
    format!("{id} reasoning_details")
}

fn base36(mut n: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut out = [b'0'; SUFFIX];
    for slot in out.iter_mut().rev() {
        *slot = DIGITS[(n % 36) as usize];
        n /= 36;
    }
    out.iter().map(|b| char::from(*b)).collect()
}

/// A stand-in of nine letters and digits for gateways that take no other identifiers.
pub fn short_id(id: &str) -> String {
    if id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return id.to_owned();
    }
    hex(&Sha256::digest(id.as_bytes()), 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_distinct_and_reversible() {
        let long = "mcp__a_server_with_a_very_long_name__and_a_tool_with_a_very_long_name_1";
        let other = "mcp__a_server_with_a_very_long_name__and_a_tool_with_a_very_long_name_2";
        let mut declared = Declared::default();
        for name in ["Bash", long, other, "mcp.dots/and spaces", "9lives", "é"] {
            let safe = safe_name(name).into_owned();
            assert!(safe.len() <= MAX_NAME, "{safe}");
            assert!(safe.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'), "{safe}");
            declared.insert(name, "{}");
            assert_eq!(declared.client_name(&safe), name);
        }
        assert_eq!(safe_name("Bash"), "Bash");
        assert_ne!(safe_name(long), safe_name(other));
        assert_eq!(declared.client_name("functions.Bash:12"), "Bash");
        assert_eq!(declared.client_name("bash<|channel|>commentary"), "Bash");
        assert_eq!(declared.client_name("Nope"), "Nope");
    }

    #[test]
    fn identifiers_come_back() {
        for own in ["call_0", "functions.Bash:0", "call_00_abc|x:1", "a_cw_b"] {
            let minted = mint_id(own, 123_456_789);
            assert_eq!(gateway_id(&minted), Some(own));
            assert_ne!(minted, mint_id(own, 123_456_790));
        }
        assert_eq!(gateway_id(&mint_id("", 5)), None);
        assert_eq!(gateway_id("toolu_01abcdefghijk"), None);
        assert_eq!(gateway_id("é_cw"), None);
        assert_eq!(short_id("abcDEF123"), "abcDEF123");
        assert_eq!(short_id("call_1").len(), 9);
    }
}
