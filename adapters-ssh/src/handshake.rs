//! Who is at the other end, and will they have us? From a bare stream to a thrussh handle that is logged in.

use crate::{
    agent,
    error::SshError,
    host_key::{self, Entry},
    known_hosts::KnownHosts,
    offer,
    route::Route,
    wire::{Cut, CutOnDrop, Link},
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use thrussh::{
    Preferred,
    client::{self, Handle, Handler},
};
use thrussh_keys::{
    PublicKeyBase64,
    key::{KeyPair, Name, PublicKey, RSA_SHA2_256},
};
use tokio::time::timeout;

/// A handle whose host key was checked.
pub(crate) type Checked = Handle<Gate>;

/// What the host showed, and what came of checking it.
#[derive(Default)]
struct Shown {
    blob: Vec<u8>,
    refused: Option<SshError>,
}

/// Lets through the hosts whose key is known, or who are new.
pub(crate) struct Gate {
    book: KnownHosts,
    host: String,
    entries: Vec<Entry>,
    shown: Arc<Mutex<Shown>>,
}

impl Handler for Gate {
    type Error = thrussh::Error;

    // Comes before the host has proved that the key is its own: compare here, learn later.
    async fn check_server_key(self, key: &PublicKey) -> Result<(Self, bool), Self::Error> {
        let blob = key.public_key_bytes();
        let refused = self.book.judge(&self.host, &self.entries, &blob).err();
        let passes = refused.is_none();
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Shown { blob, refused };
        Ok((self, passes))
    }
}

/// A key to log in with, and what to call it.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    pub(crate) with: With,
}

/// How a candidate signs.
#[derive(Clone)]
pub(crate) enum With {
    Key(Arc<KeyPair>),
    /// All keys of the agent at this socket.
    Agent(PathBuf),
}

/// A host that was shaken hands with, but not logged in to yet.
pub(crate) struct Greeted {
    handle: Checked,
    cut: Cut,
    host: String,
    is_new: bool,
    blob: Vec<u8>,
}

const RSA_ALONE: &[Name] = &[RSA_SHA2_256];

/// Agrees on keys with whoever is at the other end of the stream, and checks the host key.
pub(crate) async fn greet(link: Link, route: &Route, book: &KnownHosts) -> Result<Greeted, SshError> {
    let host = host_key::host_field(&route.host, route.port);
    let entries = book.entries(host.clone()).await?;
    let mut config = client::Config::default();
    let known_by = |kind: &str| entries.iter().any(|entry| !entry.revoked && entry.kind == kind);
    if known_by("ssh-rsa") && !known_by("ssh-ed25519") {
        config.preferred = Preferred { key: RSA_ALONE, ..Preferred::DEFAULT_CLIENT };
    }
    let is_new = !entries.iter().any(|entry| !entry.revoked);
    let shown = Arc::new(Mutex::new(Shown::default()));
    let gate = Gate { book: book.clone(), host: host.clone(), entries, shown: shown.clone() };
    let Link { stream, cut, greeting } = link;
    let guard = CutOnDrop(Some(cut.clone()));
    let reached = async {
        let mut handle = client::connect_stream(Arc::new(config), stream, gate).await?;
        // The library answers Ok although the handshake failed; the reason is in the handle.
        if handle.is_closed() { Err((&mut handle).await.err().unwrap_or(thrussh::Error::Disconnect)) } else { Ok(handle) }
    };
    let handle = reached.await.map_err(|error| {
        let refused = shown.lock().unwrap_or_else(PoisonError::into_inner).refused.take();
        let unsupported = || offer::in_words(&greeting.bytes(), &error).map(SshError::Unsupported);
        refused
            .or_else(unsupported)
            .unwrap_or_else(|| SshError::Unreachable { place: route.place(), reason: format!("the handshake failed ({error})") })
    })?;
    guard.disarm();
    let blob = std::mem::take(&mut shown.lock().unwrap_or_else(PoisonError::into_inner).blob);
    Ok(Greeted { handle, cut, host, is_new, blob })
}

/// How logging in ended.
enum Login {
    /// With this candidate.
    Accepted(usize),
    /// All were refused, or the server had enough of us after that many.
    Refused { hung_up: bool },
    /// The connection was lost.
    Lost(String),
}

/// Logs in with the first candidate the server takes, and learns the host key of a new host. Returns that candidate's
/// place in the list.
pub(crate) async fn log_in(
    greeted: Greeted,
    route: &Route,
    candidates: &[Candidate],
    patience: Duration,
    book: &KnownHosts,
) -> Result<(Checked, Cut, usize), SshError> {
    let Greeted { handle, cut, host, is_new, blob } = greeted;
    let guard = CutOnDrop(Some(cut.clone()));
    // In a task of its own: a session whose handle is dropped while it waits for an agent's signature would spin for
    // ever. Cutting the stream ends both the session and this task, in that order.
    let attempt = tokio::spawn(attempt(handle, route.user.clone(), candidates.to_vec(), patience));
    let (handle, login, notes) = match timeout(patience, attempt).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(panicked)) => return Err(SshError::Unreachable { place: route.place(), reason: panicked.to_string() }),
        Err(_) => {
            let reason = format!("logging in took longer than {} s", patience.as_secs_f32());
            return Err(SshError::Unreachable { place: route.place(), reason });
        }
    };
    let used = match login {
        Login::Accepted(used) => used,
        Login::Lost(reason) => return Err(SshError::Unreachable { place: route.place(), reason }),
        Login::Refused { hung_up } => {
            let mut tried = notes;
            if hung_up {
                tried.push("then the server hung up: it lets nobody try more keys".into());
            }
            return Err(SshError::Denied { place: route.place(), user: route.user.clone(), tried });
        }
    };
    if is_new {
        book.learn(host, blob).await?;
    }
    guard.disarm();
    Ok((handle, cut, used))
}

async fn attempt(mut handle: Checked, user: String, candidates: Vec<Candidate>, patience: Duration) -> (Checked, Login, Vec<String>) {
    let mut notes = Vec::new();
    for (at, candidate) in candidates.into_iter().enumerate() {
        let accepted = match candidate.with {
            With::Key(key) => {
                notes.push(candidate.name);
                handle.authenticate_publickey(user.clone(), key).await.unwrap_or_default()
            }
            With::Agent(socket) => match agent::connect(&socket, patience).await {
                Err(reason) => {
                    notes.push(format!("{} (not usable: {reason})", candidate.name));
                    false
                }
                Ok((mut signer, keys)) => {
                    notes.push(format!("{} ({} keys)", candidate.name, keys.len()));
                    let mut accepted = false;
                    for key in keys {
                        let answer = handle.authenticate_future(user.clone(), key, signer).await;
                        signer = answer.0;
                        accepted = answer.1.unwrap_or_default();
                        if accepted || handle.is_closed() {
                            break;
                        }
                    }
                    accepted
                }
            },
        };
        if accepted {
            return (handle, Login::Accepted(at), notes);
        }
        // "Denied" and "connection lost" are the same answer; a handle that is still open tells them apart.
        if handle.is_closed() {
            let login = match (&mut handle).await {
                Ok(()) | Err(thrussh::Error::NoAuthMethod) => Login::Refused { hung_up: true },
                Err(error) => Login::Lost(format!("the connection was lost while logging in ({error})")),
            };
            return (handle, login, notes);
        }
    }
    (handle, Login::Refused { hung_up: false }, notes)
}
