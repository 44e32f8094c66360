//! What is found in one line: every keyword that was met there, by its kind.

use crate::calls;
use crate::commands;
use crate::context::{self, Open};
use crate::keywords::Trigger;
use crate::pem::{self, Block, Step};
use crate::prefilter::Hit;
use crate::rules::names::NameWord;
use crate::scan::{Engine, MASK, Span};
use crate::state::{MOST_MEMBERS, State};
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
    /// Up to here a private key on this line was masked.
    in_key: usize,
}

impl<'a> Line<'a> {
    /// A line that begins at `base` of the text.
    pub(crate) fn new(engine: &'a Engine, line: &'a str, base: usize) -> Self {
        Line { engine, line, base, spans: Vec::new(), looked: 0, vendor_at: None, in_key: 0 }
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
            State::Open(open) => self.below(open),
            State::Data(left) => next = self.member(left),
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
        next
    }

    /// What the keyword at `at` starts; the state that it leaves open.
    fn hit(&mut self, at: usize, hit: &Hit) -> Option<State> {
        match self.engine.triggers[usize::from(hit.id)] {
            Trigger::Provider(id) => self.provider(id, at, hit.len),
            Trigger::Name(word) => {
                let (lead, length) = word.core();
                let near = self.vendor_at.is_some_and(|vendor| vendor < at && at - vendor < 60);
                return self.name(at + lead, length, word, near).map(State::Open);
            }
            Trigger::Vendor(text) => {
                self.vendor_at = Some(at);
                self.name(at, hit.len, &NameWord { text, level: Level::Vendor, at_start: true }, false);
                self.near(at, |part, at| part.client(at + hit.len));
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
            Trigger::Data => {
                let alone = self.line.trim_matches([' ', '+', '-']) == "data:";
                return alone.then_some(State::Data(MOST_MEMBERS));
            }
            Trigger::Call(number) => {
                self.near(at, |part, at| {
                    if let Some((start, end, level)) = calls::find(part.line, number, at) {
                        part.add(start, end, context::rule(level));
                    }
                });
            }
            Trigger::Command(number) => {
                self.near(at, |part, at| {
                    let line = part.line;
                    commands::find(line, number, at, |start, end| part.add(start, end, commands::RULE));
                });
            }
            Trigger::Bearer => self.bearer(at + hit.len),
        }
        None
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

    /// A name with a secret's word in it; what it leaves open for the next line.
    fn name(&mut self, at: usize, length: usize, word: &NameWord, provider: bool) -> Option<Open> {
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
        let position = if quoted { Position::Quoted } else { Position::Bare };
        if !value.contains(' ')
            && !value.ends_with(':')
            && value::is_secret(open.level, value, position, false)
            && !value.contains(MASK)
        {
            self.add(start, start + value.len(), context::rule(open.level));
        }
    }
}
