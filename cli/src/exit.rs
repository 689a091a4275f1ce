//! With which code does the program end, and what does it say about it? The one table of exit codes.

use bldr_core::error::{PortError, PortErrorKind};
use std::fmt;

/// How the program ended. The numbers are an interface: scripts decide by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// All that was asked for is true now.
    Done = 0,
    /// It ran, and something failed, was held, or was declined.
    Failed = 1,
    /// It was not understood: an unknown task or option, a missing argument, a broken settings.yaml.
    Usage = 2,
    /// It was refused before anything changed: by the plan, by a lock, for an unknown name, for a thing that cannot be read.
    Refused = 3,
    /// The world could not be seen (AWS, the store, a node); nothing changed.
    Blind = 4,
    /// What happened could not be recorded: to be checked by hand.
    Unrecorded = 5,
    /// Interrupted by the operator.
    Interrupted = 130,
}

impl From<Code> for std::process::ExitCode {
    fn from(code: Code) -> Self {
        (code as u8).into()
    }
}

/// An ending that is not the wished one: its code and the message for the operator (what happened, what was left as
/// it was, what to type next; a line each).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: Code,
    /// The message, without `bldr: `.
    pub message: String,
}

impl Exit {
    /// An ending with a code and a message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
    /// Not understood.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }
    /// Refused before anything changed.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Code::Refused, message)
    }
    /// The fleet as a whole cannot be seen, for whatever reason: no inventory, no store.
    pub fn blind(error: PortError) -> Self {
        Self { code: Code::Blind, ..error.into() }
    }
    /// Adds a line: what was left as it was, or what to type next.
    #[must_use]
    pub fn line(mut self, line: impl fmt::Display) -> Self {
        self.message.push_str(&format!("\n{line}"));
        self
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Exit {}

/// A port's error that came before anything was changed. Who cannot be reached, or does not let us in, leaves us blind;
/// whatever was reached and is not fit to be worked on is a refusal.
impl From<PortError> for Exit {
    fn from(error: PortError) -> Self {
        let code = match error.kind {
            PortErrorKind::Unreachable | PortErrorKind::Denied => Code::Blind,
            PortErrorKind::NotFound | PortErrorKind::Malformed | PortErrorKind::Conflict | PortErrorKind::Refused => Code::Refused,
        };
        let exit = Self::new(code, format!("{}: {}", error.subject, error.problem));
        match error.advice {
            Some(advice) => exit.line(advice),
            None => exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_reached_leaves_us_blind_and_what_is_unfit_is_refused() {
        let code = |kind| Exit::from(PortError::new(kind, "harbor--ci", "no")).code;
        assert_eq!(code(PortErrorKind::Unreachable), Code::Blind);
        assert_eq!(code(PortErrorKind::Denied), Code::Blind);
        assert_eq!(code(PortErrorKind::Conflict), Code::Refused);
        assert_eq!(code(PortErrorKind::NotFound), Code::Refused);
    }

    #[test]
    fn without_a_fleet_to_see_the_reason_makes_no_difference() {
        assert_eq!(Exit::blind(PortError::new(PortErrorKind::NotFound, "AWS", "no region is set")).code, Code::Blind);
    }

    #[test]
    fn advice_stands_on_a_line_of_its_own() {
        let error = PortError::new(PortErrorKind::NotFound, "harbor--ci", "there is no context").advise("bldr stacks");
        assert_eq!(Exit::from(error).message, "harbor--ci: there is no context\nbldr stacks");
    }
}
