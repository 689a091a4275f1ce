//! Where are host keys kept? The known_hosts file: read before connecting, added to after a login that worked.

use crate::{
    error::SshError,
    host_key::{self, Entry, Verdict},
};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A known_hosts file.
#[derive(Debug, Clone)]
pub(crate) struct KnownHosts(pub(crate) PathBuf);

impl KnownHosts {
    /// What is known of a host; a missing file knows nothing.
    pub(crate) async fn entries(&self, host: String) -> Result<Vec<Entry>, SshError> {
        let file = self.0.clone();
        off_thread(move || match fs::read(&file) {
            Ok(text) => Ok(host_key::entries_for(&text, &host)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(SshError::Settings(format!("cannot read the known host keys in {}: {error}", file.display()))),
        })
        .await
    }

    /// Judges a key that a host showed.
    pub(crate) fn judge(&self, host: &str, entries: &[Entry], blob: &[u8]) -> Result<(), SshError> {
        match host_key::verdict(entries, blob) {
            Verdict::Known | Verdict::New => Ok(()),
            Verdict::Changed(entry) => Err(SshError::HostKeyChanged {
                host: host.to_owned(),
                file: self.0.clone(),
                line: entry.line,
                known: host_key::fingerprint(&entry.blob),
                shown: host_key::fingerprint(blob),
            }),
            Verdict::Revoked(line) => Err(SshError::HostKeyRevoked { host: host.to_owned(), file: format!("{}:{line}", self.0.display()) }),
            Verdict::OtherTypes(kinds) => {
                Err(SshError::HostKeyUncheckable { host: host.to_owned(), file: self.0.clone(), kinds: kinds.join(", ") })
            }
        }
    }

    /// Writes down a new host's key, once, however many connections learn it at the same time in whatever processes.
    pub(crate) async fn learn(&self, host: String, blob: Vec<u8>) -> Result<(), SshError> {
        let book = self.clone();
        off_thread(move || {
            let learnt =
                book.append(&host, &blob).map_err(|source| SshError::CannotLearn { host: host.clone(), file: book.0.clone(), source })?;
            // Somebody else has learnt a key of this host since it was judged: it has to be the same one.
            book.judge(&host, &learnt, &blob)
        })
        .await
    }

    /// Adds the line unless the host is known by now, and returns what was known before.
    fn append(&self, host: &str, blob: &[u8]) -> io::Result<Vec<Entry>> {
        if let Some(folder) = self.0.parent().filter(|folder| *folder != Path::new("") && !folder.exists()) {
            fs::create_dir_all(folder)?;
        }
        let mut file = File::options().read(true).append(true).create(true).mode(0o600).open(&self.0)?;
        file.lock()?;
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut text)?;
        let entries = host_key::entries_for(&text, host);
        if host_key::verdict(&entries, blob) == Verdict::New {
            let torn = text.last().is_some_and(|last| *last != b'\n');
            // One write: a program that appends without our lock cannot get in between.
            file.write_all(format!("{}{}", if torn { "\n" } else { "" }, host_key::line_for(host, blob)).as_bytes())?;
        }
        Ok(entries)
    }
}

/// File locks and files on slow disks must not hold up the async threads.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, SshError> + Send + 'static) -> Result<T, SshError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(SshError::Settings(error.to_string())))
}
