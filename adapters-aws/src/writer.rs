//! Who writes to the bucket, and under which holding of the lock? What every object says of its last writer.

use crate::bucket::Notes;
use bldr_core::{
    fleet::Timestamp,
    ports::{Clock, Tenure},
};
use sha2::{Digest, Sha256};
use std::{
    collections::hash_map::RandomState,
    fmt,
    hash::{BuildHasher, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// This process, as everybody else reads of it. All clones write under the same holding of the lock.
#[derive(Clone)]
pub(crate) struct Writer {
    who: String,
    pub(crate) host: String,
    pub(crate) clock: Arc<dyn Clock>,
    /// While the lock is held.
    tenure: Arc<Mutex<Option<Tenure>>>,
}

/// Who wrote an object last, as far as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    by: Option<(String, String)>,
    at: Timestamp,
    pub(crate) tenure: Option<Tenure>,
}

impl Writer {
    const WHO: &str = "bldr-who";
    const HOST: &str = "bldr-host";
    const AT: &str = "bldr-at";
    const EPOCH: &str = "bldr-epoch";
    const LOCK: &str = "bldr-lock";
    /// The number of a write; no two have the same.
    pub(crate) const WRITE: &str = "bldr-write";

    pub(crate) fn new(who: &str, host: &str, clock: Arc<dyn Clock>) -> Self {
        Self { who: who.into(), host: host.into(), clock, tenure: Arc::default() }
    }

    /// What goes with the next object.
    pub(crate) fn notes(&self) -> Notes {
        let at = self.clock.now();
        let mut notes = Notes::from([
            (Self::WHO.to_owned(), in_ascii(&self.who)),
            (Self::HOST.to_owned(), in_ascii(&self.host)),
            (Self::AT.to_owned(), instant(at).to_string()),
            (Self::WRITE.to_owned(), self.nonce()),
        ]);
        if let Some(Tenure { lock, epoch }) = &*self.tenure() {
            notes.insert(Self::EPOCH.to_owned(), epoch.to_string());
            notes.insert(Self::LOCK.to_owned(), lock.clone());
        }
        notes
    }

    /// The holding of the lock, while it is held.
    fn tenure(&self) -> MutexGuard<'_, Option<Tenure>> {
        self.tenure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody took the lock after us who wrote under this holding of it.
    pub(crate) fn is_before(&self, theirs: Option<&Tenure>) -> bool {
        self.tenure().as_ref().zip(theirs).is_some_and(|(ours, theirs)| ours.is_before(theirs))
    }

    /// From here on under this holding.
    pub(crate) fn begin(&self, tenure: &Tenure) {
        *self.tenure() = Some(tenure.clone());
    }

    /// Under none any more, if it is still this one.
    pub(crate) fn end(&self, tenure: &Tenure) {
        self.tenure().take_if(|held| held == tenure);
    }

    /// A number that nobody else draws. std seeds its hashers from the system's randomness.
    pub(crate) fn nonce(&self) -> String {
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let mut digest = Sha256::new();
        for _ in 0..2 {
            digest.update(RandomState::new().build_hasher().finish().to_le_bytes());
        }
        digest.update(DRAWN.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        digest.update(std::process::id().to_le_bytes());
        digest.update(self.clock.now().0.to_le_bytes());
        digest.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Written {
    pub(crate) fn of(notes: &Notes, modified: Timestamp) -> Self {
        let text = |key: &str| notes.get(key).map(|text| from_ascii(text));
        Self {
            by: text(Writer::WHO).zip(text(Writer::HOST)),
            at: notes
                .get(Writer::AT)
                .and_then(|at| at.parse::<jiff::Timestamp>().ok())
                .map_or(modified, |at| Timestamp(at.as_millisecond())),
            tenure: Self::tenure_of(notes),
        }
    }

    pub(crate) fn tenure_of(notes: &Notes) -> Option<Tenure> {
        Some(Tenure { lock: notes.get(Writer::LOCK)?.clone(), epoch: notes.get(Writer::EPOCH)?.parse().ok()? })
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            Some((who, host)) => write!(f, "last written by {who} on {host} at {}", utc(self.at)),
            None => write!(f, "last written at {}, not by bldr", utc(self.at)),
        }
    }
}

pub(crate) fn utc(at: Timestamp) -> String {
    instant(at).strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn instant(at: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

/// Notes travel as HTTP headers, which have no other letters.
fn in_ascii(text: &str) -> String {
    text.bytes().fold(String::new(), |text, byte| match byte {
        b'!'..=b'~' if byte != b'%' => text + &char::from(byte).to_string(),
        _ => text + &format!("%{byte:02X}"),
    })
}

fn from_ascii(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        let escaped = more.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match escaped.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = more.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bldr_testkit::clock::ManualClock;

    #[test]
    fn a_name_in_any_letters_comes_back_as_it_was() {
        for name in ["ada", "Zo\u{eb} Q", "100%", "%41", "\u{1F600}", ""] {
            assert_eq!(from_ascii(&in_ascii(name)), name);
            assert!(in_ascii(name).bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }

    #[test]
    fn what_is_noted_says_who_wrote_it_and_when() {
        let writer = Writer::new("ada", "ops-7", Arc::new(ManualClock::at(Timestamp(1_795_350_181_123))));
        let written = Written::of(&writer.notes(), Timestamp(0));
        assert_eq!(written.to_string(), "last written by ada on ops-7 at 2026-11-22 12:23:01 UTC");
        assert_eq!(written.tenure, None);
        let tenure = |epoch| Tenure { lock: "4f".into(), epoch };
        writer.begin(&tenure(7));
        assert_eq!(Written::of(&writer.notes(), Timestamp(0)).tenure, Some(tenure(7)));
        assert!(writer.is_before(Some(&tenure(8))) && !writer.is_before(Some(&tenure(7))) && !writer.is_before(None));
        assert!(!writer.is_before(Some(&Tenure { lock: "another".into(), epoch: 8 })), "of two locks nobody can tell");
        writer.end(&tenure(6));
        assert_eq!(Written::of(&writer.notes(), Timestamp(0)).tenure, Some(tenure(7)));
        writer.end(&tenure(7));
        assert_eq!(Written::of(&writer.notes(), Timestamp(0)).tenure, None);
        let foreign = Written::of(&Notes::new(), Timestamp(1_795_350_181_123));
        assert_eq!(foreign.to_string(), "last written at 2026-11-22 12:23:01 UTC, not by bldr");
    }

    #[test]
    fn no_two_writes_have_the_same_number() {
        let writer = Writer::new("ada", "ops-7", Arc::new(ManualClock::default()));
        let drawn: std::collections::HashSet<_> = (0..1000).map(|_| writer.nonce()).collect();
        assert_eq!(drawn.len(), 1000);
    }
}
