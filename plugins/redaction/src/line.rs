//! What is found in one line: every keyword that was met there, by its kind.

use crate::calls;
use crate::checks;
use crate::commands;
use crate::context::{self, Open};
use crate::pattern::Pattern;
use crate::pem::{self, Block, Step};
use crate::prefilter::Hit;
use crate::rules::words::{SECRETS, Word};
use crate::scan::*;
use crate::url;
use crate::value::{self, Level, Place};

/// Around a keyword in an overlong line.
const BEFORE: usize = 200;
const BEHIND: usize = 1_600;
/// The same once a line has taken more than its share: text made to need more is masked
/// less thoroughly, never for longer.
const BEHIND_LATER: usize = 160;
/// Bytes that may be looked at around keywords for each byte of an overlong line.
const SHARE: usize = 24;

/// One line, and what was found in it so far.
pub(crate) struct Line<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) line: &'a str,
    /// Where the line begins in the text.
    pub(crate) base: usize,
    pub(crate) spans: Vec<Span>,
    /// Bytes looked at around keywords so far.
    pub(crate) looked: usize,
}

impl Line<'_> {
    fn add(&mut self, start: usize, end: usize, rule: &'static str) {
        let start = self.line.floor_char_boundary(start);
        let end = self.line.ceil_char_boundary(end);
        self.spans.push(Span { start: self.base + start, end: self.base + end, rule });
    }

    /// Looks at every hit; gives the state behind the line.
    pub(crate) fn read(&mut self, hits: &[Hit], state: State) -> State {
        let mut next = State::Nothing;
        match state {
            State::Block(block) => {
                let (step, after) = block.step(self.line);
                match step {
                    Step::Mask(start, end) => {
                        self.add(start, end, pem::RULE);
                        return after.map_or(State::Nothing, State::Block);
                    }
                    Step::On => return after.map_or(State::Nothing, State::Block),
                    Step::End(start, end) => self.add(start, end, pem::RULE),
                    Step::Out => {}
                }
            }
            State::Open(open) => self.below(open),
            State::Data(left) => next = self.member(left),
            State::Nothing => {}
        }
        let mut provider_at = None;
        let mut in_key = 0;
        for hit in hits {
            let at = hit.start - self.base;
            if at + hit.len > self.line.len() {
                continue;
            }
            match hit.id {
                id if id < WORDS => self.provider(usize::from(id), at, hit.len),
                id if id < NAMES => {
                    let word = &SECRETS[usize::from(id - WORDS)];
                    let (lead, length) = word.core();
                    if let Some(open) = self.name(
                        at + lead,
                        length,
                        word,
                        provider_at.is_some_and(|there: usize| there < at && at - there < 60),
                    ) {
                        next = State::Open(open);
                    }
                }
                id if id < SPECIAL => {
                    let text = self.engine.vendors[usize::from(id - NAMES)];
                    provider_at = Some(at);
                    self.name(at, hit.len, &Word { text, level: Level::Vendor, at_start: true }, false);
                    self.near(at, |part, at| part.client(at + hit.len));
                }
                ADDRESS => {
                    if let Some((start, end)) = url::userinfo(self.line, at) {
                        self.add(start, end, "url-password");
                    }
                }
                BEGIN if at >= in_key => {
                    let from = at + self.line[at..].find("BEGIN").unwrap_or(0);
                    if let Some(end) = pem::begins(self.line, from) {
                        let (masks, stop, open) = pem::rest_of_line(self.line, end);
                        in_key = stop;
                        for (start, end) in masks {
                            self.add(start, end, pem::RULE);
                        }
                        if open {
                            next = State::Block(Block::Pem(0));
                        }
                    }
                }
                PUTTY => {
                    if at <= 1
                        && let Ok(lines) = self.line[at + hit.len..].trim().parse::<u32>()
                    {
                        next = State::Block(Block::Lines(lines.clamp(1, 400)));
                    }
                }
                DISCORD => self.discord(at),
                PGPASS if self.line.len() < 1000 => {
                    if let Some((start, end)) = commands::pgpass(self.line) {
                        self.add(start, end, "pgpass");
                    }
                }
                PHRASE => {
                    self.near(at, |part, at| part.phrase(at + hit.len));
                }
                JWK => {
                    self.near(at, |part, at| part.web_key(at + hit.len));
                }
                DATA if self.line.trim_matches([' ', '+', '-']) == "data:" => {
                    next = State::Data(MOST_MEMBERS);
                }
                id if id >= CALLS => {
                    self.near(at, |part, at| {
                        if let Some((start, end, level)) = calls::find(part.line, usize::from(id - CALLS), at)
                        {
                            part.add(start, end, context::rule(level));
                        }
                    });
                }
                id if id >= COMMANDS => {
                    self.near(at, |part, at| {
                        let line = part.line;
                        commands::find(line, usize::from(id - COMMANDS), at, |start, end| {
                            part.add(start, end, commands::RULE);
                        });
                    });
                }
                BEARER => self.bearer(at + hit.len),
                _ => {}
            }
        }
        next
    }

    fn provider(&mut self, id: usize, at: usize, length: usize) {
        let rule = self.engine.providers[id];
        let bytes = self.line.as_bytes();
        // A checksum that fits needs no border: the token may stand inside a longer word.
        let checked = matches!(rule.name, "github-token" | "npm-token");
        let unmistakable = rule.name == "sendgrid-key";
        if rule.before.is_empty() && !(checked || unmistakable || is_border(bytes, at)) {
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
            "jwt" => checks::is_jwt_header(token),
            "basic-auth-header" => checks::is_basic_auth(token),
            _ if COMMON_STARTS.contains(&rule.keyword) => plausible(&bytes[at + length..end]),
            _ => true,
        };
        if sound {
            self.add(start, end, rule.name);
        }
    }

    /// A name with a secret's word in it; what it leaves open for the next line.
    /// Calls `find` with the hit's surroundings: of an overlong line only a part, so that many
    /// hits in one line take time in proportion to their number. Whether all of what stands
    /// behind was to be seen.
    fn near(&mut self, at: usize, find: impl FnOnce(&mut Line<'_>, usize)) -> bool {
        if self.line.len() <= BEFORE + BEHIND {
            find(self, at);
            return true;
        }
        let from = self.line.floor_char_boundary(at.saturating_sub(BEFORE));
        let behind = if self.looked < self.line.len() * SHARE { BEHIND } else { BEHIND_LATER };
        self.looked += BEFORE + behind;
        let to = self.line.ceil_char_boundary((at + behind).min(self.line.len()));
        let mut part = Line {
            engine: self.engine,
            line: &self.line[from..to],
            base: self.base + from,
            spans: Vec::new(),
            looked: 0,
        };
        find(&mut part, at - from);
        for mut span in part.spans {
            // A value that reaches over the edge is masked to its end.
            if span.end == self.base + to {
                let behind = self.line[to..].bytes().take(16 * 1024);
                span.end += behind.take_while(|b| b.is_ascii_graphic() && !b"\"'`<>,;".contains(b)).count();
            }
            self.spans.push(span);
        }
        to == self.line.len()
    }

    fn name(&mut self, at: usize, length: usize, word: &Word, provider: bool) -> Option<Open> {
        let mut open = None;
        let to_the_end = self.near(at, |part, at| {
            let outcome = context::look(part.line, at, at + length, word, provider);
            for found in outcome.found {
                part.add(found.start, found.end, found.rule);
            }
            open = outcome.open;
        });
        open.filter(|_| to_the_end)
    }

    /// A provider's client and its key: `AcmeClient("4Fk9…")`, `new Acme({ auth: "4Fk9…" })`,
    /// `acme auth add-key 4Fk9…`.
    fn client(&mut self, from: usize) {
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
        let long = value.len() >= 20 && !(call && value::is_uuid(value.as_bytes()));
        if long && value::is_secret(Level::Vendor, value, Place::Argument, false) {
            self.add(from + start, from + start + length, "provider-key");
        }
    }

    /// The value below a name that stood alone.
    fn below(&mut self, open: Open) {
        let mut start = self.line.len() - self.line.trim_start_matches(['+', '-', ' ', '\t', '>', '|']).len();
        let mut content = self.line[start..].trim_end();
        if open.named && !content.starts_with("<string>") {
            let lower = content.to_ascii_lowercase();
            let word = lower.find("value").or_else(|| lower.find("default"));
            let Some(after) = word.filter(|at| *at < 3) else { return };
            let Some(sign) = content[after..].find([':', '=', '>']) else { return };
            let inner = &content[after + sign + 1..];
            start += after + sign + 1 + (inner.len() - inner.trim_start().len());
            content = inner.trim_start();
        }
        for tag in ["<string>", "<value>"] {
            if let Some(inner) = content.strip_prefix(tag) {
                start += tag.len();
                content = inner.split('<').next().unwrap_or("");
            }
        }
        let unquoted = content.trim_start_matches(['"', '\'', '`']);
        let quoted = unquoted.len() < content.len();
        start += content.len() - unquoted.len();
        let value = unquoted.trim_end_matches(['"', '\'', '`', ',', ';', ')', '\\']);
        let place = if quoted { Place::Quoted } else { Place::Bare };
        if !value.contains(' ')
            && !value.ends_with(':')
            && value::is_secret(open.level, value, place, false)
            && !value.contains(MASK)
        {
            self.add(start, start + value.len(), context::rule(open.level));
        }
    }

    fn discord(&mut self, at: usize) {
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
    fn phrase(&mut self, from: usize) {
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
    fn member(&mut self, left: u32) -> State {
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
    fn web_key(&mut self, from: usize) {
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

    /// `Bearer <token>` wherever it stands.
    fn bearer(&mut self, from: usize) {
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

/// Whether a token can begin at `at`: not within a word, unless that is an escape.
fn is_border(bytes: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|n| bytes[n]) else { return true };
    if !before.is_ascii_alphanumeric() {
        return true;
    }
    let escaped = at >= 2 && bytes[at - 2] == b'\\' && matches!(before, b'n' | b'r' | b't');
    let percent =
        at >= 3 && bytes[at - 3] == b'%' && bytes[at - 2].is_ascii_hexdigit() && before.is_ascii_hexdigit();
    escaped || percent
}

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
