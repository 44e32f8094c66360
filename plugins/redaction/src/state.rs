//! What one line leaves open for the next, and how that is carried between two calls.

use crate::commands;
use crate::context::Open;
use crate::members::Members;
use crate::pairs::Pair;
use crate::pem::Block;
use crate::table::Table;
use crate::value::Level;

/// Lines below a `data:` that are looked at.
pub(crate) const MOST_MEMBERS: u32 = 100;

/// How the text before left off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Nothing,
    /// Inside a private key.
    Block(Block),
    /// Below a name whose value must follow.
    Open(Open),
    /// Below the `data:` of a manifest; how many lines are left.
    Data(u32),
    /// Below names of secrets in the plural, or `stringData:`.
    Members(Members),
    /// Below a table's header.
    Table(Table),
    /// Beside or below an id whose secret may follow.
    Pair(Pair),
    /// A command that goes on behind a `\\`, by its number.
    Command(usize),
    /// Inside a JSON Web Key; how many lines are left.
    WebKey(u32),
    /// In a provider's section of a file of settings; how many lines are left.
    Section(u32),
}

/// Lines of a web key or of a provider's section that are looked at.
pub(crate) const MOST_LINES: u32 = 12;

impl State {
    /// The state that `write` wrote; nothing for any other text.
    pub(crate) fn read(carry: &str) -> State {
        let (kind, rest) = carry.split_once(':').unwrap_or((carry, ""));
        let mut numbers = rest.split(':').map_while(|n| n.parse::<u32>().ok());
        State::read_kind(kind, &mut numbers).unwrap_or(State::Nothing)
    }

    fn read_kind(kind: &str, numbers: &mut impl Iterator<Item = u32>) -> Option<State> {
        Some(match kind {
            "table" => State::Table(Table::read(numbers)?),
            "pair" => State::Pair(Pair::read(numbers)?),
            "command" => State::Command(numbers.next()? as usize).known()?,
            "pem" => State::Block(Block::Pem(numbers.next()?)),
            "lines" => State::Block(Block::Lines(numbers.next()?)),
            "data" => State::Data(numbers.next()?.min(MOST_MEMBERS)),
            "jwk" => State::WebKey(numbers.next()?.min(MOST_LINES)),
            "section" => State::Section(numbers.next()?.min(MOST_LINES)),
            "below" | "named" => State::Open(Open {
                level: Level::of_number(numbers.next()?),
                named: kind == "named",
                skipped: numbers.next().unwrap_or(0).min(9),
            }),
            "members" => State::Members(Members {
                level: Level::of_number(numbers.next()?),
                indent: numbers.next()?,
                left: numbers.next()?.min(MOST_MEMBERS),
                depth: numbers.next(),
            }),
            _ => return None,
        })
    }

    /// Without numbers that no table has.
    fn known(self) -> Option<State> {
        let known = !matches!(self, State::Command(number) if number >= commands::names().count());
        known.then_some(self)
    }

    /// As the next call gets it.
    pub(crate) fn write(self) -> String {
        match self {
            State::Nothing => String::new(),
            State::Block(Block::Pem(lines)) => format!("pem:{lines}"),
            State::Block(Block::Lines(left)) => format!("lines:{left}"),
            State::Command(number) => format!("command:{number}"),
            State::Data(left) => format!("data:{left}"),
            State::WebKey(left) => format!("jwk:{left}"),
            State::Section(left) => format!("section:{left}"),
            State::Table(table) => format!("table:{}", table.write()),
            State::Pair(pair) => format!("pair:{}", pair.write()),
            State::Open(open) => {
                let kind = if open.named { "named" } else { "below" };
                let skipped = if open.skipped > 0 { format!(":{}", open.skipped) } else { String::new() };
                format!("{kind}:{}{skipped}", open.level.number())
            }
            State::Members(members) => {
                let depth = members.depth.map_or(String::new(), |depth| format!(":{depth}"));
                format!("members:{}:{}:{}{depth}", members.level.number(), members.indent, members.left)
            }
        }
    }
}
