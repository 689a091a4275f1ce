//! What can go wrong in a lab? One error for tests to unwrap: what was tried, and what came of it.

use std::{fmt, io, process::Output};

/// Why a part of the lab did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// This machine cannot have a lab; the text says why not, and what to do about it.
    #[error("no lab on this machine: {0}")]
    Unavailable(String),
    /// A part ended, or did not become ready in time; with what it wrote.
    #[error("{what}: {said}")]
    Broken {
        /// The part.
        what: String,
        /// What it said.
        said: String,
    },
    /// A file, a pipe or a program of this machine.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// EC2 (moto) declined.
    #[error("{operation}: {said}")]
    Ec2 {
        /// What was asked.
        operation: String,
        /// The answer.
        said: String,
    },
}

/// What the lab returns.
pub type LabResult<T> = Result<T, LabError>;

impl LabError {
    pub(super) fn broken(what: impl fmt::Display, said: impl fmt::Display) -> Self {
        Self::Broken { what: what.to_string(), said: said.to_string() }
    }
}

/// Names what was tried when the system says no.
pub(super) trait Trying<T> {
    fn trying(self, what: impl fmt::Display) -> LabResult<T>;
}

impl<T> Trying<T> for io::Result<T> {
    fn trying(self, what: impl fmt::Display) -> LabResult<T> {
        self.map_err(|source| LabError::Io { what: what.to_string(), source })
    }
}

/// The output, if the program succeeded.
pub(super) fn succeeded(what: impl fmt::Display, output: Output) -> LabResult<Output> {
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(LabError::broken(what, format_args!("{}, {}", output.status, said.trim())))
}
