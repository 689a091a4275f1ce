//! What can go wrong between here and a command's exit status, and what does the operator type next?

use bldr_core::error::{PortError, PortErrorKind};
use std::{path::PathBuf, time::Duration};

/// A failure of a connection or of a command on a node. Becomes a [`PortError`] once, in [`SshError::about`].
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// Nobody answered, or not as an SSH server does.
    #[error("cannot connect to {place}: {reason}")]
    Unreachable {
        /// `host:port`.
        place: String,
        /// Why, as the system says it.
        reason: String,
    },
    /// The server knows none of the keys.
    #[error("{place} does not let us in as '{user}'; tried: {}", if tried.is_empty() { "nothing, no key was found".into() } else { tried.join(", ") })]
    Denied {
        /// `host:port`.
        place: String,
        /// The user that was tried.
        user: String,
        /// The keys that were tried, by file name, and why others could not be.
        tried: Vec<String>,
    },
    /// The server shows another host key than the one that is known.
    #[error("the host key of {host} has changed: {known} is known ({file}:{line}), {shown} was shown")]
    HostKeyChanged {
        /// As known_hosts names it.
        host: String,
        /// The known_hosts file.
        file: PathBuf,
        /// The line of the entry in it.
        line: usize,
        /// Fingerprint of the entry.
        known: String,
        /// Fingerprint of the key that was shown.
        shown: String,
    },
    /// The host key is marked `@revoked`.
    #[error("the host key of {host} is marked as revoked in {file}")]
    HostKeyRevoked {
        /// As known_hosts names it.
        host: String,
        /// `known_hosts:line`.
        file: String,
    },
    /// The host is known, but by no key that this transport can check.
    #[error("{host} is known by {kinds} ({file}), and shows a key of another type")]
    HostKeyUncheckable {
        /// As known_hosts names it.
        host: String,
        /// The known_hosts file.
        file: PathBuf,
        /// The types of the entries.
        kinds: String,
    },
    /// A new host key could not be written down.
    #[error("cannot write the host key of {host} to {file}: {source}")]
    CannotLearn {
        /// As known_hosts names it.
        host: String,
        /// The known_hosts file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The server and this transport have no algorithm in common, or the way there needs what it cannot do.
    #[error("{0}")]
    Unsupported(String),
    /// A setting or `~/.ssh/config` makes no sense.
    #[error("{0}")]
    Settings(String),
    /// The stack's key pair could not be fetched from where it is kept.
    #[error("its key pair cannot be fetched: {0}")]
    KeyPair(Box<PortError>),
    /// The connection had died before the command was sent: opening another one is safe.
    #[error("the connection was lost before the command was sent")]
    Stale,
    /// The connection was lost while the command ran: nobody knows how it ended.
    #[error("the connection was lost while a command ran; how it ended is not known")]
    Lost,
    /// The command took too long; its connection was dropped.
    #[error("no end of the command within {} s; its connection was dropped", .0.as_secs_f32())]
    Deadline(Duration),
    /// More output than any command of ours has.
    #[error("the command printed more than {} MiB", .0 >> 20)]
    TooMuchOutput(usize),
    /// The machine's first start is not done, or does not let us in yet.
    #[error("its first start is not done within {} s{}", .0.as_secs(), .1.as_ref().map(|last| format!(": {last}")).unwrap_or_default())]
    NotStarted(Duration, Option<Box<SshError>>),
    /// sudo wants a password, or does not allow it.
    #[error("'{user}' may not use sudo without a password: {said}")]
    Sudo {
        /// The user.
        user: String,
        /// What sudo said.
        said: String,
    },
    /// A script of ours ended with an exit code that is no answer.
    #[error("{script} failed on the node (exit {exit}): {said}")]
    Script {
        /// Its file name.
        script: &'static str,
        /// Its exit code.
        exit: u32,
        /// The last line of its standard error.
        said: String,
    },
    /// A script of ours found something that has to be decided by a person first; nothing was changed.
    #[error("{0}")]
    Declined(String),
    /// A script of ours found that somebody else's holds the place; nothing was changed.
    #[error("{0}")]
    Taken(String),
    /// A script of ours found that somebody who took the lock later has been there.
    #[error("{0}")]
    Overtaken(String),
    /// The thing asked for is not on the node.
    #[error("{0}")]
    Absent(&'static str),
    /// A script's output is not what it prints.
    #[error("the answer of {script} cannot be understood: {what}")]
    Garbled {
        /// Its file name.
        script: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl SshError {
    /// As what a port returns, about this node.
    pub fn about(self, subject: impl Into<String>) -> PortError {
        let error = PortError::new(self.kind(), subject, self.to_string());
        let error = match self.advice() {
            Some(advice) => error.advise(advice),
            None => error,
        };
        error.caused_by(self)
    }

    /// Whether nobody answered; the only failure that is worth another attempt.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether a machine that comes up may fail like this: it does not listen yet, does not know the key yet, or ends a session
    /// because it restarts.
    pub(crate) fn may_be_starting(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Denied { .. } | Self::Sudo { .. } | Self::Stale | Self::Lost)
    }

    fn kind(&self) -> PortErrorKind {
        match self {
            Self::Unreachable { .. } | Self::Stale | Self::Lost | Self::Deadline(_) | Self::NotStarted(..) => PortErrorKind::Unreachable,
            Self::Denied { .. }
            | Self::HostKeyChanged { .. }
            | Self::HostKeyRevoked { .. }
            | Self::HostKeyUncheckable { .. }
            | Self::Sudo { .. } => PortErrorKind::Denied,
            Self::CannotLearn { .. }
            | Self::Unsupported(_)
            | Self::TooMuchOutput(_)
            | Self::Script { .. }
            | Self::Declined(_)
            | Self::Settings(_) => PortErrorKind::Refused,
            Self::KeyPair(error) => error.kind,
            Self::Taken(_) | Self::Overtaken(_) => PortErrorKind::Conflict,
            Self::Absent(_) => PortErrorKind::NotFound,
            Self::Garbled { .. } => PortErrorKind::Malformed,
        }
    }

    fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { .. } => {
                "is it running, and may this machine reach its SSH port (security group, VPN, `ssh.address`, `ssh.bastion`)?".into()
            }
            Self::Denied { .. } => "load the right key (`ssh-add FILE`), put the stack's key pair into `keypairs` as STACK.pem, or log in \
                                    as somebody else (`users` in settings.yaml)"
                .into(),
            Self::HostKeyChanged { host, file, .. } => format!(
                "if the machine was replaced, accept its new key with `{}`; if not, somebody may be listening in",
                shell_words::join(["ssh-keygen", "-R", host, "-f", &file.to_string_lossy()])
            ),
            Self::HostKeyRevoked { .. } => "do not connect; find out why the key was revoked".into(),
            Self::HostKeyUncheckable { host, .. } => format!(
                "set `ssh.transport: system`, or add its ed25519 key to known_hosts after checking it (`ssh-keyscan -t ed25519 {}`)",
                shell_words::quote(host)
            ),
            Self::CannotLearn { .. } => "make the file writable, or add the host's key yourself".into(),
            Self::Unsupported(_) => "set `ssh.transport: system` in settings.yaml to use this machine's own ssh".into(),
            Self::Overtaken(_) => "`bldr lock.status` shows who holds the lock; ask them, then run the same again".into(),
            Self::Lost | Self::Deadline(_) => "run it again: what is missing is then completed".into(),
            Self::Sudo { user, .. } => {
                format!("give '{user}' NOPASSWD in sudoers on the node, or set `users.bootstrap` to somebody who has it")
            }
            _ => return None,
        })
    }
}
