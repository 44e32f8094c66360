//! The engine: one pass for keywords, then only the lines that hold one.

use std::cell::OnceCell;

use crate::calls;
use crate::checks;
use crate::commands;
use crate::context::{self, Open};
use crate::pattern::Pattern;
use crate::pem::{self, Block, Step};
use crate::prefilter::{Hit, Keyword, Prefilter};
use crate::rules::vendors::VENDORS;
use crate::rules::words::{SECRETS, Word};
use crate::rules::{self, Provider};
use crate::shadow;
use crate::url;
use crate::value::{self, Level, Place};

/// A secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// In bytes, on a character border.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
    /// The rule that found it.
    pub rule: &'static str,
}

/// What one call found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In order, not overlapping, never over a line end.
    pub spans: Vec<Span>,
    /// For the call on the next piece; empty when nothing is open.
    pub carry: String,
}

const WORDS: u16 = 10_000;
const NAMES: u16 = 20_000;
const SPECIAL: u16 = 30_000;
const ADDRESS: u16 = SPECIAL;
const BEGIN: u16 = SPECIAL + 1;
const PUTTY: u16 = SPECIAL + 2;
const DISCORD: u16 = SPECIAL + 3;
const PGPASS: u16 = SPECIAL + 4;
const BEARER: u16 = SPECIAL + 5;
const PHRASE: u16 = SPECIAL + 6;
const JWK: u16 = SPECIAL + 7;
const COMMANDS: u16 = 31_000;
const CALLS: u16 = 32_000;

/// Around a keyword in an overlong line.
const BEFORE: usize = 200;
const BEHIND: usize = 1_600;
/// Looks at one line; text made to need more is masked less thoroughly, never for longer.
const MOST_ROUNDS: u32 = 8;
const MASK: &str = "[REDACTED:";

/// The rules, ready; patterns are compiled when their keyword is first met.
pub struct Engine {
    filter: Prefilter,
    providers: Vec<&'static Provider>,
    vendors: Vec<&'static str>,
    patterns: Vec<OnceCell<(Option<Pattern>, Pattern)>>,
    discord: OnceCell<Pattern>,
}

/// How the text before left off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Nothing,
    Block(Block),
    Open(Open),
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

impl Engine {
    /// All rules. Takes well under a millisecond.
    pub fn new() -> Self {
        let providers: Vec<&'static Provider> = rules::providers().collect();
        let mut keywords: Vec<Keyword> = (0_u16..)
            .zip(&providers)
            .map(|(id, rule)| Keyword { text: rule.keyword, exact: true, id })
            .collect();
        keywords.extend((WORDS..).zip(SECRETS).map(|(id, word)| Keyword {
            text: word.text,
            exact: false,
            id,
        }));
        let vendors: Vec<&'static str> = VENDORS.split_ascii_whitespace().collect();
        keywords.extend((NAMES..).zip(&vendors).map(|(id, text)| Keyword { text, exact: false, id }));
        for (text, exact, id) in [
            ("://", true, ADDRESS),
            ("-BEGIN ", true, BEGIN),
            ("- BEGIN ", true, BEGIN),
            ("Private-Lines: ", true, PUTTY),
            (":5432:", true, PGPASS),
            (":5433:", true, PGPASS),
            (":*:", true, PGPASS),
            ("bearer ", false, BEARER),
            ("mnemonic", false, PHRASE),
            ("phrase", false, PHRASE),
            ("\"d\":", true, JWK),
            ("\"k\":", true, JWK),
            ("\"p\":", true, JWK),
            ("\"q\":", true, JWK),
            ("\"dp\":", true, JWK),
            ("\"dq\":", true, JWK),
            ("\"qi\":", true, JWK),
        ] {
            keywords.push(Keyword { text, exact, id });
        }
        keywords.extend((COMMANDS..).zip(commands::names()).map(|(id, text)| Keyword {
            text,
            exact: false,
            id,
        }));
        keywords.extend((CALLS..).zip(calls::names()).map(|(id, text)| Keyword { text, exact: true, id }));
        for text in DISCORD_STARTS {
            keywords.push(Keyword { text, exact: true, id: DISCORD });
        }
        let patterns = providers.iter().map(|_| OnceCell::new()).collect();
        Engine { filter: Prefilter::new(keywords), providers, vendors, patterns, discord: OnceCell::new() }
    }

    /// The secrets in `text`, whole lines of a longer text; `carry` from the call before.
    pub fn find(&self, text: &str, carry: &str) -> Found {
        match shadow::plain(text) {
            None => self.find_plain(text, carry),
            Some(plain) => {
                let mut found = self.find_plain(&plain.text, carry);
                for span in &mut found.spans {
                    (span.start, span.end) = plain.original(span.start, span.end);
                    span.start = shadow::before_unfinished(text, span.start);
                }
                found
            }
        }
    }

    fn find_plain(&self, text: &str, carry: &str) -> Found {
        let mut hits: Vec<Hit> = Vec::new();
        self.filter.scan(text.as_bytes(), |hit| hits.push(hit));
        let mut state = State::read(carry);
        let masked = text.contains(MASK);
        let mut spans = Vec::new();
        let mut at = 0;
        let mut hits = hits.as_slice();
        while at < text.len() {
            if state == State::Nothing {
                let Some(next) = hits.first() else { break };
                at = text[at..next.start].rfind('\n').map_or(at, |end| at + end + 1);
            }
            let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
            let here = hits.iter().take_while(|hit| hit.start < end).count();
            let line = text[at..end].trim_end_matches('\r');
            let (found, after) = self.line(line, at, &hits[..here], state, masked);
            if found.is_empty() {
                state = after;
            } else {
                let first = spans.len();
                spans.extend(found);
                state = self.again(line, at, state, &mut spans, first);
            }
            hits = &hits[here..];
            at = end + 1;
        }
        Found { spans: merged(spans), carry: state.write() }
    }

    /// What is found in one line that begins at `base`; never in what is masked already.
    fn line(&self, line: &str, base: usize, hits: &[Hit], state: State, masked: bool) -> (Vec<Span>, State) {
        let mut reader = Line { engine: self, line, base, spans: Vec::new() };
        let after = reader.read(hits, state);
        let mut found = reader.spans;
        if masked && line.contains(MASK) {
            let tokens = tokens(line);
            found.retain(|span| {
                !tokens.iter().any(|token| span.start - base < token.1 && token.0 < span.end - base)
            });
        }
        found.retain(|span| span.start < span.end);
        (found, after)
    }

    /// Looks at a line again as it will be shown, until nothing more is found: what is
    /// masked can change what stands around it, and masking twice must be masking once.
    /// `spans[first..]` are the line's; gives the state behind it.
    fn again(&self, line: &str, base: usize, state: State, spans: &mut Vec<Span>, first: usize) -> State {
        let mut rounds = 0;
        loop {
            rounds += 1;
            let so_far = merged(spans.split_off(first));
            let (shown, places) = show(line, base, &so_far);
            let mut hits = Vec::new();
            self.filter.scan(shown.as_bytes(), |hit| hits.push(hit));
            let (found, after) = self.line(&shown, 0, &hits, state, true);
            let more: Vec<Span> = found
                .into_iter()
                .map(|span| Span {
                    start: base + original(&places, span.start),
                    end: base + original(&places, span.end - 1) + 1,
                    rule: span.rule,
                })
                .filter(|span| !so_far.iter().any(|there| there.start <= span.start && span.end <= there.end))
                .collect();
            spans.extend(so_far);
            if more.is_empty() || rounds == MOST_ROUNDS {
                return after;
            }
            spans.extend(more);
        }
    }

    fn pattern(&self, id: usize) -> &(Option<Pattern>, Pattern) {
        self.patterns[id].get_or_init(|| {
            let rule = self.providers[id];
            ((!rule.before.is_empty()).then(|| Pattern::new(rule.before)), Pattern::new(rule.rest))
        })
    }
}

/// The first three characters of a Discord bot token: a user's number in base64.
const DISCORD_STARTS: &[&str] = &[
    "MTA", "MTE", "MTI", "MTM", "MTQ", "MTU", "MTY", "MTc", "MTg", "MTk", "MjA", "MjE", "MjI", "MjM", "MjQ",
    "MjU", "MjY", "Mjc", "Mjg", "Mjk", "MzA", "MzE", "MzI", "MzM", "MzQ", "MzU", "MzY", "Mzc", "Mzg", "Mzk",
    "NDA", "NDE", "NDI", "NDM", "NDQ", "NDU", "NDY", "NDc", "NDg", "NDk", "NTA", "NTE", "NTI", "NTM", "NTQ",
    "NTU", "NTY", "NTc", "NTg", "NTk", "NjA", "NjE", "NjI", "NjM", "NjQ", "NjU", "NjY", "Njc", "Njg", "Njk",
    "NzA", "NzE", "NzI", "NzM", "NzQ", "NzU", "NzY", "Nzc", "Nzg", "Nzk", "ODA", "ODE", "ODI", "ODM", "ODQ",
    "ODU", "ODY", "ODc", "ODg", "ODk", "OTA", "OTE", "OTI", "OTM", "OTQ", "OTU", "OTY", "OTc", "OTg", "OTk",
];

/// A line with its spans masked, and for each part that stayed its offset there and in
/// the line.
fn show(line: &str, base: usize, spans: &[Span]) -> (String, Vec<(usize, usize)>) {
    let mut shown = String::with_capacity(line.len());
    let mut places = Vec::with_capacity(spans.len() + 1);
    let mut at = 0;
    for span in spans {
        places.push((shown.len(), at));
        shown.push_str(&line[at..span.start - base]);
        shown.push_str(MASK);
        shown.push_str(span.rule);
        shown.push(']');
        at = span.end - base;
    }
    places.push((shown.len(), at));
    shown.push_str(&line[at..]);
    (shown, places)
}

fn original(places: &[(usize, usize)], at: usize) -> usize {
    let part = places.partition_point(|(shown, _)| *shown <= at).saturating_sub(1);
    places.get(part).map_or(at, |(shown, original)| original + (at - shown))
}

fn tokens(line: &str) -> Vec<(usize, usize)> {
    line.match_indices(MASK)
        .map(|(start, _)| (start, line[start..].find(']').map_or(line.len(), |end| start + end + 1)))
        .collect()
}

fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| span.start < span.end);
    spans.sort_by(|a, b| (a.start, b.end, a.rule).cmp(&(b.start, a.end, b.rule)));
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start < last.end => {
                // A provider's rule says more than the name in front of the value.
                if is_general(last.rule) && !is_general(span.rule) {
                    last.rule = span.rule;
                }
                last.end = last.end.max(span.end);
            }
            _ => out.push(span),
        }
    }
    out
}

fn is_general(rule: &str) -> bool {
    matches!(rule, "password" | "secret-value" | "key-value" | "provider-key")
}

struct Line<'a> {
    engine: &'a Engine,
    line: &'a str,
    base: usize,
    spans: Vec<Span>,
}

impl Line<'_> {
    fn add(&mut self, start: usize, end: usize, rule: &'static str) {
        let start = self.line.floor_char_boundary(start);
        let end = self.line.ceil_char_boundary(end);
        self.spans.push(Span { start: self.base + start, end: self.base + end, rule });
    }

    fn read(&mut self, hits: &[Hit], state: State) -> State {
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
            State::Nothing => {}
        }
        let mut provider_at = None;
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
                    self.client(at + hit.len);
                }
                ADDRESS => {
                    if let Some((start, end)) = url::userinfo(self.line, at) {
                        self.add(start, end, "url-password");
                    }
                }
                BEGIN => {
                    let from = at + self.line[at..].find("BEGIN").unwrap_or(0);
                    if let Some(end) = pem::begins(self.line, from) {
                        let (mask, open) = pem::rest_of_line(self.line, end);
                        if let Some((start, end)) = mask {
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
                PGPASS => {
                    if let Some((start, end)) = commands::pgpass(self.line) {
                        self.add(start, end, "pgpass");
                    }
                }
                PHRASE => self.phrase(at + hit.len),
                JWK => self.web_key(at + hit.len),
                id if id >= CALLS => {
                    if let Some((start, end, level)) = calls::find(self.line, usize::from(id - CALLS), at) {
                        self.add(start, end, context::rule(level));
                    }
                }
                id if id >= COMMANDS => {
                    let line = self.line;
                    commands::find(line, usize::from(id - COMMANDS), at, |start, end| {
                        self.add(start, end, commands::RULE);
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
        let (before, rest) = self.engine.pattern(id);
        let Some((mut start, end)) = rest.at(bytes, at + length) else { return };
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
        // A checksum that fits needs no border: the token may stand inside a longer word.
        let checked = matches!(rule.name, "github-token" | "npm-token") && checks::has_base62_crc32(token);
        let unmistakable = rule.name == "sendgrid-key";
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
    fn name(&mut self, at: usize, length: usize, word: &Word, provider: bool) -> Option<Open> {
        let (from, to) = if self.line.len() > BEFORE + BEHIND {
            (
                self.line.floor_char_boundary(at.saturating_sub(BEFORE)),
                self.line.ceil_char_boundary((at + BEHIND).min(self.line.len())),
            )
        } else {
            (0, self.line.len())
        };
        let outcome = context::look(&self.line[from..to], at - from, at - from + length, word, provider);
        for found in outcome.found {
            let mut end = from + found.end;
            // A value that reaches over the window's edge is masked to its end.
            if end == to && to < self.line.len() {
                let more = self.line[to..]
                    .bytes()
                    .take(16 * 1024)
                    .take_while(|b| b.is_ascii_graphic() && !b"\"'`<>,;".contains(b))
                    .count();
                end += more;
            }
            self.add(from + found.start, end, found.rule);
        }
        outcome.open.filter(|_| to == self.line.len())
    }

    /// A provider's client and its key: `AcmeClient("4Fk9…")`, `new Acme({ auth: "4Fk9…" })`,
    /// `acme auth add-key 4Fk9…`.
    fn client(&mut self, from: usize) {
        let rest = &self.line[from..self.line.floor_char_boundary((from + 250).min(self.line.len()))];
        let name = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || b"_.:".contains(b)).count();
        let (start, ends) = if rest[name..].starts_with('(') {
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
        let long = value.len() >= 20 && !value::is_uuid(value.as_bytes());
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
        if let Some((start, end)) = pattern.at(bytes, at)
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

impl State {
    fn read(carry: &str) -> State {
        let mut fields = carry.split(':');
        let kind = fields.next();
        let number = fields.next().and_then(|n| n.parse::<u32>().ok());
        match (kind, number) {
            (Some("pem"), Some(lines)) => State::Block(Block::Pem(lines)),
            (Some("lines"), Some(left)) => State::Block(Block::Lines(left)),
            (Some("below" | "named"), Some(level)) => {
                let level = match level {
                    0 => Level::Vendor,
                    1 => Level::Weak,
                    2 => Level::Token,
                    _ => Level::Password,
                };
                State::Open(Open { level, named: kind == Some("named") })
            }
            _ => State::Nothing,
        }
    }

    fn write(self) -> String {
        match self {
            State::Nothing => String::new(),
            State::Block(Block::Pem(lines)) => format!("pem:{lines}"),
            State::Block(Block::Lines(left)) => format!("lines:{left}"),
            State::Open(open) => {
                format!("{}:{}", if open.named { "named" } else { "below" }, open.level as u32)
            }
        }
    }
}
