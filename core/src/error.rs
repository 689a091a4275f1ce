//! What went wrong, in a form that policy can decide on? The kind decides; the text explains.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What sort of failure it was. Policy looks at this alone: only [`PortErrorKind::Unreachable`] is ever retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortErrorKind {
    /// Nobody answered, or the connection was lost. May work later.
    Unreachable,
    /// Somebody answered and said no: credentials, permissions, a changed host key.
    Denied,
    /// The thing asked for does not exist.
    NotFound,
    /// It exists and cannot be understood.
    Malformed,
    /// Somebody else got there first: a newer revision, a lock that is held.
    Conflict,
    /// It was asked correctly and declined to do it: a command that failed, a limit that was reached.
    Refused,
}

/// A failure of a port: its kind, what it was about, what happened and what to do next.
///
/// Never carries secrets: no key material, no pillar, no values of build vars.
#[derive(Debug)]
pub struct PortError {
    /// Decides what to do about it.
    pub kind: PortErrorKind,
    /// What it was about, as an operator would name it: a stack, a node, a file, a region.
    pub subject: String,
    /// What happened, as a sentence without a full stop.
    pub problem: String,
    /// What to type or look at next, where that is known.
    pub advice: Option<String>,
    /// The error below, for those who read further.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What every port returns.
pub type PortResult<T> = Result<T, PortError>;

impl PortError {
    /// An error of a kind about a subject.
    pub fn new(kind: PortErrorKind, subject: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), problem: problem.into(), advice: None, source: None }
    }
    /// Adds what to do next.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
    /// Adds the error below.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
    /// The same failure for somebody else who was served together with who has this one. The error below stays with the first.
    #[must_use]
    pub fn for_another(&self) -> Self {
        Self { advice: self.advice.clone(), ..Self::new(self.kind, &self.subject, &self.problem) }
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.problem)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}
impl std::error::Error for PortError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| &**s as _)
    }
}
