//! What is found in one line: every keyword that was met there, by its kind.

use crate::calls;
use crate::commands;
use crate::context::{self, Open};
use crate::keywords::Trigger;
use crate::logins;
use crate::members::Members;
use crate::pairs::{self, Pair};
use crate::pem::{self, Block, Step};
use crate::prefilter::Hit;
use crate::rules::names::{NOT_AFTER, NameWord};
use crate::scan::{Engine, MASK, Span};
use crate::state::{self, MOST_MEMBERS, State};
use crate::table::{self, Table};
use crate::url;
use crate::value::{self, Level, Position};

/// Around a keyword in an overlong line.
const BEFORE: usize = 200;
const BEHIND: usize = 1_600;
/// The same once a line has taken more than its share: text made to need more is masked
/// less thoroughly, never for longer.
pub(crate) const BEHIND_LATER: usize = 160;
/// Bytes that may be looked at around keywords for each byte of an overlong line.
pub(crate) const SHARE: usize = 24;

/// A longer line is looked at for web keys by their members' own keywords only.
const LONGEST_WEB_KEY: usize = 64 * 1024;

/// One line, and what was found in it so far.
pub(crate) struct Line<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) line: &'a str,
    /// Where the line begins in the text.
    pub(crate) base: usize,
    pub(crate) spans: Vec<Span>,
    /// Bytes looked at around keywords so far.
    pub(crate) looked: usize,
    /// Where a provider's name was met last.
    vendor_at: Option<usize>,
    /// The line belongs to a provider's section.
    section: bool,
    /// Its members were looked for.
    web_key: bool,
    /// Up to here a private key on this line was masked.
    in_key: usize,
}

impl<'a> Line<'a> {
    /// A line that begins at `base` of the text.
    pub(crate) fn new(engine: &'a Engine, line: &'a str, base: usize) -> Self {
        Line {
            engine,
            line,
            base,
            spans: Vec::new(),
            looked: 0,
            vendor_at: None,
            section: false,
            web_key: false,
            in_key: 0,
        }
    }

    /// Adds a span, widened to whole characters.
    pub(crate) fn add(&mut self, start: usize, end: usize, rule: &'static str) {
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
            State::Open(open) => {
                let found = self.spans.len();
                self.below(open);
                // `type: string` between the name and its value.
                let other = open.named && self.spans.len() == found && self.line.contains(['=', ':']);
                let most = if open.named { 3 } else { 1 };
                if (self.line.trim().is_empty() || other) && open.skipped < most {
                    next = State::Open(Open { skipped: open.skipped + 1, ..open });
                }
            }
            State::Data(left) => next = self.member(left),
            State::Members(members) => {
                if let Some((found, members)) = members.line(self.line) {
                    next = State::Members(members);
                    if let Some((start, end)) = found {
                        self.add(start, end, context::rule(members.level));
                    }
                }
            }
            State::Table(table) => {
                if let Some((found, table)) = table.row(self.line) {
                    next = State::Table(table);
                    for (start, end, level) in found {
                        self.add(start, end, context::rule(level));
                    }
                }
            }
            State::Pair(pair) => next = self.pair(pair),
            State::Command(number) if self.line.len() <= BEFORE + BEHIND => {
                let line = self.line;
                commands::arguments(line, number, 0, |start, end| self.add(start, end, commands::RULE));
                if line.ends_with('\\') {
                    next = state;
                }
            }
            State::Command(_) => {}
            State::WebKey(left) => {
                self.web_key = true;
                self.web_key_members();
                next = left.checked_sub(1).map_or(State::Nothing, State::WebKey);
            }
            State::Section(left) => {
                let over = self.line.trim().is_empty() || self.line.trim_start().starts_with('[');
                self.section = !over;
                next = left.checked_sub(1).filter(|_| !over).map_or(State::Nothing, State::Section);
            }
            State::Nothing => {}
        }
        for hit in hits {
            let at = hit.start - self.base;
            if at + hit.len <= self.line.len()
                && let Some(state) = self.hit(at, hit)
            {
                next = state;
            }
        }
        let named =
            hits.iter().any(|hit| matches!(self.engine.triggers[usize::from(hit.id)], Trigger::Name(_)));
        if named && matches!(next, State::Nothing | State::Section(_)) && self.line.len() <= BEFORE + BEHIND {
            next = self.columns(hits).map_or(next, State::Table);
        }
        next
    }

    /// What the names between `start` and `end` promise: the most of them, unless the last word
    /// says that it is about a secret only.
    fn promised(&self, hits: &[Hit], start: usize, end: usize) -> Option<Level> {
        let words = self.line[start..end].rsplit([' ', '_', '-', '.']);
        let last = words.map(str::to_ascii_lowercase).next().unwrap_or_default();
        if last == "id" || NOT_AFTER.contains(&last.as_str()) {
            return None;
        }
        let inside = hits.iter().filter(|hit| (start..end).contains(&(hit.start - self.base)));
        inside
            .filter_map(|hit| match self.engine.triggers[usize::from(hit.id)] {
                Trigger::Name(word) => {
                    let (lead, length) = word.core();
                    let at = hit.start - self.base + lead;
                    context::promises(self.line, at, at + length, word)
                }
                _ => None,
            })
            .max()
    }

    /// The secret of a pair whose id was met; the state behind the line.
    fn pair(&mut self, pair: Pair) -> State {
        let found = pair.find(self.line);
        let next = if found.is_empty() { pair.next().map(State::Pair) } else { None };
        for (start, end) in found {
            self.add(start, end, pairs::RULE);
        }
        next.unwrap_or(State::Nothing)
    }

    /// What the keyword at `at` starts; the state that it leaves open.
    fn hit(&mut self, at: usize, hit: &Hit) -> Option<State> {
        match self.engine.triggers[usize::from(hit.id)] {
            Trigger::Provider(id) => {
                let before = self.spans.len();
                self.provider(id, at, hit.len);
                let pair =
                    Pair::of(self.engine.providers[id].name).filter(|_| self.line.len() <= BEFORE + BEHIND);
                return pair.filter(|_| self.spans.len() > before).map(|pair| self.pair(pair));
            }
            Trigger::Name(word) => {
                let (lead, length) = word.core();
                let near = self.vendor_at.is_some_and(|vendor| vendor < at && at - vendor < 60);
                return self.name(at + lead, length, word, near || self.section);
            }
            Trigger::Vendor(text) => {
                self.vendor_at = Some(at);
                self.name(at, hit.len, &NameWord { text, level: Level::Vendor, at_start: true }, false);
                self.near(at, |part, at| {
                    part.client(at + hit.len);
                    part.beside(at, at + hit.len);
                });
                return self.is_section(at, hit.len).then_some(State::Section(state::MOST_LINES));
            }
            Trigger::Address => {
                if let Some((start, end)) = url::userinfo(self.line, at) {
                    self.add(start, end, "url-password");
                }
            }
            Trigger::KeyBegin => return self.key_begin(at),
            Trigger::PuttyLines => {
                let lines = self.line[at + hit.len..].trim().parse::<u32>();
                return lines
                    .ok()
                    .filter(|_| at <= 1)
                    .map(|lines| State::Block(Block::Lines(lines.clamp(1, 400))));
            }
            Trigger::Discord => self.discord(at),
            Trigger::PgPass => {
                if self.line.len() < 1000
                    && let Some((start, end)) = commands::pgpass(self.line)
                {
                    self.add(start, end, "pgpass");
                }
            }
            Trigger::Phrase => {
                self.near(at, |part, at| part.phrase(at + hit.len));
            }
            Trigger::WebKeyMember => {
                self.near(at, |part, at| part.web_key(at + hit.len));
            }
            Trigger::WebKey => {
                if self.line.len() <= LONGEST_WEB_KEY && !self.web_key {
                    self.web_key = true;
                    self.web_key_members();
                }
                return Some(State::WebKey(state::MOST_LINES));
            }
            Trigger::Data => {
                let alone = self.line.trim_matches([' ', '+', '-']) == "data:";
                return alone.then_some(State::Data(MOST_MEMBERS));
            }
            Trigger::StringData => {
                let alone = self.line.trim_matches([' ', '+', '-']) == "stringData:";
                return alone.then_some(State::Members(Members::below(self.line, Level::Token)));
            }
            Trigger::Segment => {
                self.near(at, |part, at| {
                    if let Some((start, end)) = url::behind_segment(part.line, at) {
                        part.add(start, end, "url-token");
                    }
                });
            }
            Trigger::Login { is_user } => {
                self.near(at, |part, at| {
                    if let Some((start, end)) = logins::find(part.line, at, at + hit.len, is_user) {
                        part.add(start, end, logins::RULE);
                    }
                });
            }
            Trigger::CharArray => {
                self.near(at, |part, at| part.char_array(at + 1));
            }
            Trigger::GoSource => {
                self.near(at, |part, at| part.go_source(at));
            }
            Trigger::Call(number) => {
                self.near(at, |part, at| {
                    if let Some((start, end, level)) = calls::find(part.line, number, at) {
                        part.add(start, end, context::rule(level));
                    }
                });
            }
            Trigger::Command(number) => {
                let goes_on = self.line.ends_with('\\');
                self.near(at, |part, at| {
                    let line = part.line;
                    commands::find(line, number, at, |start, end| part.add(start, end, commands::RULE));
                });
                return goes_on.then_some(State::Command(number));
            }
            Trigger::Bearer => self.bearer(at + hit.len),
        }
        None
    }

    /// Names as headers of columns: of a table that begins here, of an `INSERT` on this line.
    fn columns(&mut self, hits: &[Hit]) -> Option<Table> {
        let line = self.line;
        let level = |start, end| self.promised(hits, start, end);
        let values = |at: &usize| {
            line[at + 1..]
                .trim_start()
                .as_bytes()
                .get(..6)
                .is_some_and(|word| word.eq_ignore_ascii_case(b"values"))
        };
        if let Some(at) = line.match_indices(')').map(|(at, _)| at).find(values) {
            let at = at + 1 + (line[at + 1..].len() - line[at + 1..].trim_start().len());
            let found = table::insert(line, at, level);
            for (start, end, level) in found {
                self.add(start, end, context::rule(level));
            }
            return None;
        }
        if line.trim_end_matches([' ', ';']).ends_with(" stdin") {
            return table::copy(line, level);
        }
        table::header(line, level)
    }

    /// The rest of a line on which a private key begins.
    fn key_begin(&mut self, at: usize) -> Option<State> {
        if at < self.in_key {
            return None;
        }
        let from = at + self.line[at..].find("BEGIN").unwrap_or(0);
        let end = pem::begins(self.line, from)?;
        let (inside, stop, open) = pem::rest_of_line(self.line, end);
        self.in_key = stop;
        for (start, end) in inside {
            self.add(start, end, pem::RULE);
        }
        open.then_some(State::Block(Block::Pem(0)))
    }

    /// Calls `find` with the hit's surroundings: of an overlong line only a part, so that many
    /// hits in one line take time in proportion to their number. Whether all of what is
    /// behind was to be seen.
    pub(crate) fn near(&mut self, at: usize, find: impl FnOnce(&mut Line<'_>, usize)) -> bool {
        if self.line.len() <= BEFORE + BEHIND {
            find(self, at);
            return true;
        }
        let from = self.line.floor_char_boundary(at.saturating_sub(BEFORE));
        let behind = if self.looked < self.line.len() * SHARE { BEHIND } else { BEHIND_LATER };
        self.looked += BEFORE + behind;
        let to = self.line.ceil_char_boundary((at + behind).min(self.line.len()));
        let mut part = Line::new(self.engine, &self.line[from..to], self.base + from);
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

    /// Whether a provider's name is all of the line: `[datadog]`, `datadog:`, `"datadog": {`,
    /// `# Datadog`.
    fn is_section(&self, at: usize, length: usize) -> bool {
        if at > 24 || self.line.len() > 120 {
            return false;
        }
        let lead = &self.line[..at];
        let head = lead.trim_matches([' ', '\t', '[', '"', '\'', '+', '-', '.', '#', '/', '*']);
        let tail = &self.line[at + length..];
        let rest = tail.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_-.".contains(c));
        let rest = rest.trim().trim_start_matches(['"', '\'']);
        let comment = lead.contains(['#', '/', '*']) && matches!(rest, "" | "*/");
        let opens = matches!(rest, "]" | ":" | ": {" | "{" | "=> {" | "=> [" | ": [" | "= {");
        head.is_empty() && (opens || comment)
    }

    /// A name with a secret's word in it; what it leaves open for the next line.
    fn name(&mut self, at: usize, length: usize, word: &NameWord, provider: bool) -> Option<State> {
        let (mut open, mut plural) = (None, false);
        let to_the_end = self.near(at, |part, at| {
            let outcome = context::look(part.line, at, at + length, word, provider);
            for found in outcome.found {
                part.add(found.start, found.end, found.rule);
            }
            (open, plural) = (outcome.open, outcome.plural);
        });
        let open = open.filter(|_| to_the_end)?;
        Some(if plural && !open.named {
            State::Members(Members::below(self.line, open.level))
        } else {
            State::Open(open)
        })
    }

    /// The value below a name that was alone on its line.
    fn below(&mut self, open: Open) {
        let mut start = self.line.len() - self.line.trim_start_matches(['+', '-', ' ', '\t', '>', '|']).len();
        let mut content = self.line[start..].trim_end();
        if content.starts_with("```") {
            return;
        }
        // `value: …`, `"ParameterValue": "…"`; without it only where the name needs none.
        let word = content.trim_start_matches(['"', '\'', '<']);
        let lead = content.len() - word.len();
        let length =
            word.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
        let name = word[..length].to_ascii_lowercase();
        let says_value = name.ends_with("value") || matches!(name.as_str(), "default" | "val" | "plaintext");
        let sign = content[lead + length..].find([':', '=', '>']).filter(|n| *n <= 4);
        match sign.filter(|_| says_value) {
            Some(sign) => {
                let inner = &content[lead + length + sign + 1..];
                let inner = inner.trim_start_matches('>');
                start += content.len() - inner.len() + (inner.len() - inner.trim_start().len());
                content = inner.trim_start().split("</").next().unwrap_or_default();
            }
            None if open.named && !content.starts_with("<string>") => return,
            None => {}
        }
        // `string(14) "…"`
        if let Some((_, inner)) = content.split_once(") ").filter(|_| content.starts_with("string(")) {
            start += content.len() - inner.len();
            content = inner;
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
        let position = if quoted { Position::Quoted } else { Position::Bare };
        // A setting of its own: the value above is empty.
        let setting = !quoted
            && value.split_once('=').is_some_and(|(name, rest)| {
                !rest.trim_end_matches('=').is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                    && name.contains('_')
            });
        if !value.contains(' ')
            && !setting
            && !value.ends_with(':')
            && value::is_secret(open.level, value, position, false)
            && !value.contains(MASK)
        {
            self.add(start, start + value.len(), context::rule(open.level));
        }
    }
}
