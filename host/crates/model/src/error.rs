//! The host's error at its borders: a kind, what was wrong, and what to do about it.
//! Modules have their own `thiserror` enums; they become this one where a person, an MCP
//! client or the exit code must know.

use std::fmt;

/// What sort of thing went wrong; decides the exit code and the MCP error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller's arguments are wrong.
    Usage,
    /// A setting is missing or wrong.
    Config,
    /// The named job, artifact or plugin does not exist.
    NotFound,
    /// What was asked for is refused by a rule (sandbox root, bypass permissions, lock).
    Refused,
    /// The machine lacks something (an agent CLI, git, disk space).
    Environment,
    /// The gateway could not be reached or refused us.
    Gateway,
    /// A plugin is broken or was refused.
    Plugin,
    /// A fault of our own.
    Internal,
}

impl Kind {
    /// The process exit code: the one table.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Config => 3,
            Kind::NotFound => 4,
            Kind::Refused => 5,
            Kind::Environment => 6,
            Kind::Gateway => 7,
            Kind::Plugin => 8,
            Kind::Internal => 70,
        }
    }
}

/// One line what was wrong with the value seen; hints say what to do.
#[derive(Debug)]
pub struct Error {
    /// Decides exit code and MCP code.
    pub kind: Kind,
    /// One line, lower case, without a period at its end.
    pub message: String,
    /// Each one line, an order to the reader: "set SANDBOX_ROOT to …".
    pub hints: Vec<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The host's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), hints: Vec::new(), source: None }
    }

    /// Keeps what caused it; [`std::error::Error::source`] gives it back.
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for hint in &self.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Kind};
    use std::error::Error as _;

    #[test]
    fn the_cause_is_kept_beside_message_and_hints() {
        let cause = std::io::Error::other("disk on fire");
        let error = Error::new(Kind::Environment, "cannot write").caused_by(cause).hint("put it out");
        assert_eq!(error.to_string(), "cannot write\nhint: put it out");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("disk on fire"));
    }
}
