//! What is a connection to a node? Commands in, exit statuses and output out; who speaks SSH below does not show.

use crate::{error::SshError, route::Route};
use async_trait::async_trait;
use bldr_core::ports::Heard;
use std::time::Duration;

/// The most standard output a command may have. A highstate of a big node has a few MiB.
const STDOUT_CAP: usize = 16 << 20;
/// How much of the standard error is kept; what comes after it is thrown away.
const STDERR_CAP: usize = 1 << 20;

/// What a command left behind, once it has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 128 and the signal's number where a signal ended it.
    pub status: u32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The first MiB of its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Keeps what is heard, in bounds.
    ///
    /// # Errors
    /// [`SshError::TooMuchOutput`].
    pub(crate) fn hear(&mut self, heard: Heard<'_>) -> Result<(), SshError> {
        match heard {
            Heard::Out(bytes) if self.stdout.len() + bytes.len() > STDOUT_CAP => return Err(SshError::TooMuchOutput(STDOUT_CAP)),
            Heard::Out(bytes) => self.stdout.extend_from_slice(bytes),
            Heard::Err(bytes) => self.stderr.extend_from_slice(&bytes[..bytes.len().min(STDERR_CAP - self.stderr.len())]),
        }
        Ok(())
    }
}

/// Whom a command's output is told to, as it comes; an error ends the command's connection.
pub type Ear<'e> = dyn for<'a> FnMut(Heard<'a>) -> Result<(), SshError> + Send + 'e;

/// A program of the shell, to be run as root.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// What it is called, in its own messages.
    pub name: &'a str,
    /// What is to stand in front of it.
    pub under: &'a str,
    /// The program.
    pub text: &'a str,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// Its standard input.
    pub stdin: &'a [u8],
    /// How it is root's.
    pub root: Root,
}

/// How a program comes to be run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// It is root who logs in.
    Already,
    /// The user that logs in may become root by `sudo`, without a password.
    BySudo,
}

impl Program<'_> {
    /// The command line that runs it: standard input is left to it, so that payload never shows among the arguments of a process.
    pub fn command(&self) -> String {
        let text = [self.under, self.text].concat();
        let program = ["-c", &text, self.name];
        shell_words::join(self.shell().iter().chain(&program).chain(self.arguments))
    }

    /// What it is run by.
    pub(crate) fn shell(&self) -> &'static [&'static str] {
        match self.root {
            Root::Already => &["sh"],
            Root::BySudo => &["sudo", "-n", "sh"],
        }
    }
}

/// An authenticated connection to a node.
#[async_trait]
pub trait Session: Send {
    /// Runs a command line in the user's shell there, with this on its standard input. Returns its exit status; 128 and the
    /// signal's number where a signal ended it.
    ///
    /// # Errors
    /// [`SshError::Stale`] where the connection had died before, [`SshError::Lost`] where it died meanwhile: an end without
    /// an exit status is never a success. [`SshError::Deadline`] and an error of the ear end the connection too.
    async fn exec(&mut self, command: &str, stdin: &[u8], deadline: Duration, ear: &mut Ear<'_>) -> Result<u32, SshError>;
    /// Runs a program of the shell there. Returns its exit status, as [`Session::exec`] does. All programs of a session are root's in
    /// the same way.
    ///
    /// # Errors
    /// As [`Session::exec`]; where the connection died in the few seconds since the last program, [`SshError::Lost`] may stand for
    /// [`SshError::Stale`].
    async fn run(&mut self, program: &Program<'_>, deadline: Duration, ear: &mut Ear<'_>) -> Result<u32, SshError> {
        self.exec(&program.command(), program.stdin, deadline, ear).await
    }
    /// Whether another command may be tried on it.
    fn usable(&self) -> bool;
    /// Says goodbye. Dropping it closes the connection as well, less politely.
    async fn close(self: Box<Self>);
}

/// Opens connections.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Connects, checks the host key, logs in.
    ///
    /// # Errors
    /// [`SshError::Unreachable`] where nobody answers; [`SshError::Denied`] and the host key errors where somebody says no.
    async fn open(&self, route: &Route) -> Result<Box<dyn Session>, SshError>;
}
