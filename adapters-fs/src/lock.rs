//! Who is the one writer of a fleet, when they say so in a file? Whoever holds the kernel's lock on it.
//!
//! The kernel's lock goes with the process, so it never outlives its holder; what the file says is only for people.
//! Asking who holds it means trying to take it for a moment, which must not make a real taker fail: taking, asking and
//! giving back go one at a time, by a second file that nobody holds for longer than that.

use crate::{
    failure::{failed, shown},
    folder::{is_still, make, parent},
    off_thread::off_thread,
};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::Timestamp,
    ports::{Answered, Breaking, Holding, Lock, LockGuard, Owner, Tenure},
};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// A lock that is a file on this machine.
#[derive(Debug, Clone)]
pub struct FileLock(PathBuf);

impl FileLock {
    /// The lock that is this file. It is made, and its folder, when it is first taken; it stays.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self(file.into())
    }

    fn gate(&self) -> PortResult<File> {
        let path = self.gate_path();
        let gate = open(&path).map_err(failed("open", &path))?;
        gate.lock().map_err(failed("lock", &path))?;
        Ok(gate)
    }

    /// The same for somebody who only looks: where nothing can be written any more, nobody takes it either, and what is there can still be
    /// looked at.
    fn gate_to_look(&self) -> PortResult<Option<File>> {
        let path = self.gate_path();
        match open(&path) {
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => Ok(None),
            _ => self.gate().map(Some),
        }
    }

    fn gate_path(&self) -> PathBuf {
        self.0.with_added_extension("gate")
    }

    /// What the file says; nothing while it is empty.
    fn written(&self) -> Option<Owner> {
        serde_json::from_slice(&fs::read(&self.0).ok()?).ok()
    }

    fn acquire_now(&self, owner: &Owner) -> PortResult<Held> {
        make(parent(&self.0))?;
        let _gate = self.gate()?;
        loop {
            let file = open(&self.0).map_err(failed("open", &self.0))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(self.held_by(self.written().as_ref())),
                Err(TryLockError::Error(error)) => return Err(failed("lock", &self.0)(error)),
            }
            // Somebody may have removed the file between opening and locking; a lock on a file that has no name keeps
            // nobody out.
            if is_still(&file, &self.0) {
                let body = serde_json::to_vec(owner).map_err(io::Error::from);
                body.and_then(|body| say(&file, &body)).map_err(failed("write", &self.0))?;
                return Ok(Held { file: Some(file), lock: self.clone() });
            }
        }
    }

    fn held_by(&self, owner: Option<&Owner>) -> PortError {
        let subject = format!("the lock {}", shown(&self.0));
        let Some(Owner { who, host, pid, purpose, since }) = owner else {
            return PortError::new(PortErrorKind::Conflict, subject, "another bldr holds it, and does not say whose it is")
                .advise(format!("'fuser {}' names its process; wait for it, or end it", shown(&self.0)));
        };
        let since = utc(*since);
        PortError::new(PortErrorKind::Conflict, subject, format!("{who} holds it on {host} (process {pid}) since {since}, for: {purpose}"))
            .advise(format!("wait until that is done; if it hangs, 'kill -9 {pid}' on {host} ends it and frees the lock; the next run goes on from there"))
    }

    fn owner_now(&self) -> PortResult<Option<Owner>> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &self.0)(error)),
        };
        let _gate = self.gate_to_look()?;
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(self.written()),
            Err(TryLockError::Error(error)) => Err(failed("lock", &self.0)(error)),
        }
    }
}

/// A file that is there, or an empty one, for this user alone.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn utc(at: Timestamp) -> String {
    let known = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    known.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The lock, held.
struct Held {
    /// `None` once it was given back.
    file: Option<File>,
    lock: FileLock,
}

fn say(mut file: &File, body: &[u8]) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all(body)
}

impl Held {
    fn give_back(&mut self) -> PortResult<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let gate = self.lock.gate();
        let emptied = say(&file, b"").map_err(failed("empty", &self.lock.0));
        // Closing the file frees the lock, whatever else went wrong. The gate stays shut until then.
        drop(file);
        gate.and(emptied)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.give_back();
    }
}

#[async_trait]
impl LockGuard for Held {
    fn tenure(&self) -> Option<Tenure> {
        None
    }

    /// The kernel takes it from nobody who lives.
    fn affirmed(&self) -> Answered {
        Box::pin(std::future::ready(self.standing()))
    }
    fn standing(&self) -> PortResult<()> {
        Ok(())
    }

    async fn release(self: Box<Self>) -> PortResult<()> {
        let mut held = self;
        off_thread(move || held.give_back()).await
    }
}

#[async_trait]
impl Lock for FileLock {
    async fn acquire(&self, owner: &Owner) -> PortResult<Box<dyn LockGuard>> {
        let (this, owner) = (self.clone(), owner.clone());
        Ok(Box::new(off_thread(move || this.acquire_now(&owner)).await?))
    }

    async fn owner(&self) -> PortResult<Option<Holding>> {
        let this = self.clone();
        Ok(off_thread(move || this.owner_now()).await?.map(Holding::from))
    }

    async fn break_it(&self, _: &Owner, _: &str) -> PortResult<Option<Holding>> {
        let Some(Holding { owner: Owner { who, host, pid, purpose, .. }, .. }) = self.owner().await? else { return Ok(None) };
        let problem = format!("it goes with the process of its holder, {who}, which lives and is at work on: {purpose}");
        Err(PortError::new(PortErrorKind::Refused, format!("the lock {}", shown(&self.0)), problem).advise(format!(
            "ask them; if it hangs, 'kill -9 {pid}' on {host} ends it and frees the lock; the next run goes on from there"
        )))
    }

    async fn broken(&self) -> PortResult<Option<Breaking>> {
        Ok(None)
    }
}
