//! What one line leaves open for the next, and how that is carried between two calls.

use crate::context::Open;
use crate::pem::Block;
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
}

impl State {
    /// The state that `write` wrote; nothing for any other text.
    pub(crate) fn read(carry: &str) -> State {
        let mut fields = carry.split(':');
        let kind = fields.next();
        let number = fields.next().and_then(|n| n.parse::<u32>().ok());
        match (kind, number) {
            (Some("pem"), Some(lines)) => State::Block(Block::Pem(lines)),
            (Some("data"), Some(left)) => State::Data(left.min(MOST_MEMBERS)),
            (Some("lines"), Some(left)) => State::Block(Block::Lines(left)),
            (Some("below" | "named"), Some(level)) => {
                State::Open(Open { level: read_level(level), named: kind == Some("named") })
            }
            _ => State::Nothing,
        }
    }

    /// As the next call gets it.
    pub(crate) fn write(self) -> String {
        match self {
            State::Nothing => String::new(),
            State::Block(Block::Pem(lines)) => format!("pem:{lines}"),
            State::Block(Block::Lines(left)) => format!("lines:{left}"),
            State::Data(left) => format!("data:{left}"),
            State::Open(open) => {
                let kind = if open.named { "named" } else { "below" };
                format!("{kind}:{}", write_level(open.level))
            }
        }
    }
}

fn read_level(number: u32) -> Level {
    match number {
        0 => Level::Vendor,
        1 => Level::Weak,
        2 => Level::Token,
        _ => Level::Password,
    }
}

fn write_level(level: Level) -> u32 {
    match level {
        Level::Vendor => 0,
        Level::Weak => 1,
        Level::Token => 2,
        Level::Password => 3,
    }
}
