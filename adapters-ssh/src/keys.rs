//! Which private keys can be used? Key files, decoded once per process, and asked for their passphrase at most once.

use crate::settings::PassphrasePrompt;
use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use thrussh_keys::key::KeyPair;
use tokio::sync::Mutex;

/// What can be done with a key file.
#[derive(Debug, Clone)]
pub(crate) enum KeyFile {
    /// It can be used.
    Ready(Arc<KeyPair>),
    /// It is encrypted, and nobody has been asked yet.
    Locked,
    /// It cannot be used, for this reason.
    Unusable(Reason),
}

/// Why a key file cannot be used; half a sentence, never a part of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    Unreadable(String),
    NotSupported,
    Encrypted,
    NoPassphrase,
    WrongPassphrase,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => f.write_str(why),
            Self::NotSupported => f.write_str("no ed25519 or RSA key; `ssh.transport: system` can use it"),
            Self::Encrypted => f.write_str("encrypted; load it with ssh-add"),
            Self::NoPassphrase => f.write_str("encrypted, no passphrase given"),
            Self::WrongPassphrase => f.write_str("wrong passphrase"),
        }
    }
}

/// The key files of this process.
pub(crate) struct KeyRing {
    prompt: Option<PassphrasePrompt>,
    files: Mutex<HashMap<PathBuf, KeyFile>>,
}

impl KeyRing {
    pub(crate) fn new(prompt: Option<PassphrasePrompt>) -> Self {
        Self { prompt, files: Mutex::default() }
    }

    /// A key file, without asking anybody.
    pub(crate) async fn look_at(&self, path: &Path) -> KeyFile {
        let mut files = self.files.lock().await;
        if let Some(known) = files.get(path) {
            return known.clone();
        }
        let found = decoded(path.to_owned(), None).await;
        files.insert(path.to_owned(), found.clone());
        found
    }

    /// A key file, asking for its passphrase if that has not happened yet. One question at a time: whoever else needs
    /// the key waits for the answer.
    pub(crate) async fn unlock(&self, path: &Path) -> KeyFile {
        let mut files = self.files.lock().await;
        match files.get(path) {
            Some(KeyFile::Locked) | None => {}
            Some(known) => return known.clone(),
        }
        let found = match self.ask(path).await {
            Err(reason) => KeyFile::Unusable(reason),
            Ok(passphrase) => decoded(path.to_owned(), Some(passphrase)).await,
        };
        files.insert(path.to_owned(), found.clone());
        found
    }

    async fn ask(&self, path: &Path) -> Result<String, Reason> {
        let prompt = self.prompt.clone().ok_or(Reason::Encrypted)?;
        let path = path.to_owned();
        let answer = tokio::task::spawn_blocking(move || prompt(&path)).await.unwrap_or_default();
        // The library panics over an empty passphrase.
        answer.filter(|passphrase| !passphrase.is_empty()).ok_or(Reason::NoPassphrase)
    }
}

/// Decoding an encrypted key takes a second of computing, and the library may panic over a broken one.
async fn decoded(path: PathBuf, passphrase: Option<String>) -> KeyFile {
    let asked = passphrase.is_some();
    let work = move || {
        let text = std::fs::read_to_string(&path).map_err(|error| Reason::Unreadable(error.to_string()))?;
        thrussh_keys::decode_secret_key(&text, passphrase.as_deref()).map_err(|error| match error {
            thrussh_keys::Error::KeyIsEncrypted => Reason::Encrypted,
            thrussh_keys::Error::UnsupportedKeyType(_) => Reason::NotSupported,
            _ if asked => Reason::WrongPassphrase,
            // Old PEM files carry their encryption in the text.
            _ if text.contains("ENCRYPTED") => Reason::Encrypted,
            _ => Reason::NotSupported,
        })
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(key)) => KeyFile::Ready(Arc::new(key)),
        Ok(Err(Reason::Encrypted)) if !asked => KeyFile::Locked,
        Ok(Err(reason)) => KeyFile::Unusable(reason),
        Err(_) => KeyFile::Unusable(if asked { Reason::WrongPassphrase } else { Reason::NotSupported }),
    }
}
