//! Where are host keys kept? The known_hosts file: read before connecting, added to after a login that worked, and
//! rewritten when somebody knows better.

use crate::{
    error::SshError,
    host_key::{self, Entry, Verdict},
};
use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

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
        let (mut file, text) = self.locked(true)?;
        let entries = host_key::entries_for(&text, host);
        if host_key::verdict(&entries, blob) == Verdict::New {
            // One write: a program that appends without our lock cannot get in between.
            file.write_all(&lines_after(&text, host, &[blob]))?;
        }
        Ok(entries)
    }

    /// Takes these keys for a host's, in place of all that were known; without keys the host is new again.
    pub(crate) async fn replace(&self, host: String, blobs: Vec<Vec<u8>>) -> Result<(), SshError> {
        let book = self.clone();
        off_thread(move || book.replace_now(&host, &blobs)).await
    }

    fn replace_now(&self, host: &str, blobs: &[Vec<u8>]) -> Result<(), SshError> {
        if blobs.is_empty() && !self.0.exists() {
            return Ok(());
        }
        let unwritten = |source| SshError::CannotLearn { host: host.to_owned(), file: self.0.clone(), source };
        let (_lock, text) = self.locked(!blobs.is_empty()).map_err(unwritten)?;
        let entries = host_key::entries_for(&text, host);
        // What is revoked stays so: somebody has had a reason.
        let (revoked, known): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.revoked);
        for blob in blobs {
            self.judge(host, &revoked.iter().copied().cloned().collect::<Vec<_>>(), blob)?;
        }
        if known.len() == blobs.len() && known.iter().all(|entry| blobs.contains(&entry.blob)) {
            return Ok(());
        }
        let mut new = host_key::without(&text, host);
        new.extend(lines_after(&new, host, &blobs.iter().map(Vec::as_slice).collect::<Vec<_>>()));
        self.put(&new).map_err(unwritten)
    }

    /// The file, for as long as it is held the caller's alone, and what is in it. Who waited for somebody that has put another
    /// file in its place goes for that one.
    fn locked(&self, make: bool) -> io::Result<(File, Vec<u8>)> {
        if let Some(folder) = self.0.parent().filter(|folder| make && *folder != Path::new("") && !folder.exists()) {
            fs::create_dir_all(folder)?;
        }
        loop {
            let mut file = File::options().read(true).append(true).create(make).mode(0o600).open(&self.0)?;
            file.lock()?;
            let identity = |found: Metadata| (found.dev(), found.ino());
            if fs::metadata(&self.0).map(identity).ok() == Some(identity(file.metadata()?)) {
                let mut text = Vec::new();
                file.read_to_end(&mut text)?;
                return Ok((file, text));
            }
        }
    }

    /// Puts another text in the place of the old one, in one step; only for who holds it. A link goes on pointing to it.
    fn put(&self, text: &[u8]) -> io::Result<()> {
        let place = fs::canonicalize(&self.0)?;
        let old = fs::metadata(&place)?;
        let folder = place.parent().unwrap_or(Path::new("/"));
        let mut aside = NamedTempFile::with_prefix_in(".known_hosts-", folder)?;
        // The owner is another one where root does this for somebody; nobody else may.
        let _ = fchown(aside.as_file(), Some(old.uid()), Some(old.gid()));
        aside.as_file().set_permissions(old.permissions())?;
        aside.write_all(text)?;
        aside.as_file().sync_all()?;
        aside.persist(&place).map_err(|failed| failed.error)?;
        File::open(folder)?.sync_all()
    }
}

/// What to write behind this text to make keys known.
fn lines_after(text: &[u8], host: &str, blobs: &[&[u8]]) -> Vec<u8> {
    let torn = !blobs.is_empty() && text.last().is_some_and(|last| *last != b'\n');
    let lines = blobs.iter().map(|blob| host_key::line_for(host, blob)).collect::<String>();
    format!("{}{lines}", if torn { "\n" } else { "" }).into_bytes()
}

/// File locks and files on slow disks must not hold up the async threads.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T, SshError> + Send + 'static) -> Result<T, SshError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(SshError::Settings(error.to_string())))
}
