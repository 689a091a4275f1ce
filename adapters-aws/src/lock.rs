//! Who is the one writer of a fleet, when they say so in a bucket? Whoever one object names.
//!
//! The object always exists once the lock was first taken, and every change of it names what it replaces. Who holds the lock says every
//! few seconds that they are still there. Nobody's silence ends their holding: who is silent may be at work, and cut off from S3 alone.
//! So it is the holder who stops in time, and a person who breaks the lock of one that is gone.

mod held;

use crate::{
    bucket::{Put, Sealed, There},
    shelf::Shelf,
    writer::utc,
};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::Timestamp,
    ports::{Breaking, Holding, Lock, LockGuard, Owner},
};
use held::Held;
use serde::{Deserialize, Serialize};
use std::{path::Path, time::Duration};

/// A lock that is an object in a bucket.
#[derive(Clone)]
pub struct S3Lock {
    shelf: Shelf,
    pub(crate) rhythm: Rhythm,
}

/// How often a holder says that they are there, and for how long they believe it when that does not get through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rhythm {
    pub(crate) beat: Duration,
    pub(crate) limit: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self { beat: Duration::from_secs(15), limit: Holding::SILENCE }
    }
}

/// What the object says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct State {
    /// Tells this lock from every other; drawn when it is first taken.
    #[serde(default)]
    id: Option<String>,
    /// How often the lock was taken or broken.
    epoch: u64,
    holder: Option<Holder>,
    /// The last time that it was taken from a holder.
    broken: Option<Breaking>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Holder {
    #[serde(flatten)]
    owner: Owner,
    /// Tells this holding from every other of the same process.
    nonce: String,
    heard: Timestamp,
}

impl State {
    fn holding(&self) -> Option<Holding> {
        let holder = self.holder.as_ref()?;
        Some(Holding { epoch: Some(self.epoch), heard: Some(holder.heard), ..holder.owner.clone().into() })
    }

    /// Its id, where it has one: it travels in headers, and in what is sent to machines.
    fn id(&self) -> Option<String> {
        self.id.clone().filter(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric()))
    }

    fn is_held_by(&self, nonce: &str) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.nonce == nonce)
    }
}

/// What was read, and how it is named when it is replaced.
struct Seen {
    state: State,
    etag: Option<String>,
}

const NAME: &str = "lock.json";
/// How often a transition is tried that others got in the way of.
const TURNS: usize = 8;

impl S3Lock {
    pub(crate) fn new(shelf: Shelf) -> Self {
        Self { shelf, rhythm: Rhythm::default() }
    }

    fn subject(&self) -> String {
        format!("the lock {}", self.shelf.shown(NAME))
    }

    async fn seen(&self) -> PortResult<Seen> {
        let Some(object) = self.shelf.get(NAME).await? else { return Ok(Seen { state: State::default(), etag: None }) };
        let malformed = |error| {
            PortError::new(PortErrorKind::Malformed, self.subject(), "it does not say what a lock of bldr says")
                .advise("see who wrote it before you remove it: while it is there nobody can change the fleet")
                .caused_by(error)
        };
        Ok(Seen { state: serde_json::from_slice(&object.bytes).map_err(malformed)?, etag: Some(object.etag) })
    }

    /// Puts a state in the place of another; `None` where that is not there any more.
    async fn moved(&self, from: Option<&str>, to: &State) -> PortResult<Option<String>> {
        let unwritable = |error| PortError::new(PortErrorKind::Malformed, self.subject(), "it cannot be written as JSON").caused_by(error);
        let bytes = serde_json::to_vec(to).map_err(unwritable)?;
        let there = from.map_or(There::Nothing, There::Still);
        Ok(match self.shelf.put(NAME, &bytes, there, Sealed::AsTheBucketDoes).await? {
            Put::Done(etag) => Some(etag),
            Put::Refused => None,
        })
    }

    fn now(&self) -> Timestamp {
        self.shelf.writer.clock.now()
    }

    /// How long ago something was heard, by this machine's clock.
    fn silence(&self, heard: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.now().0 - heard.0).unwrap_or(0))
    }

    fn held_by(&self, holder: &Holder) -> PortError {
        let Owner { who, host, pid, purpose, since } = &holder.owner;
        let silence = self.silence(holder.heard);
        let problem =
            format!("{who} holds it on {host} (process {pid}) since {}, for: {purpose}; last heard of {} ago", utc(*since), told(silence));
        PortError::new(PortErrorKind::Conflict, self.subject(), problem).advise(if self.is_gone(&holder.owner) {
            format!("there is no process {pid} on this machine any more: `bldr lock.break:REASON` frees the lock")
        } else if silence > self.rhythm.limit {
            format!("see whether process {pid} on {host} still lives; if it is gone for good, `bldr lock.break:REASON` frees the lock")
        } else {
            "wait until that is done, or ask them".to_owned()
        })
    }

    /// Whether a holder was on this machine and is no more; where that cannot be seen they may be.
    fn is_gone(&self, Owner { host, pid, .. }: &Owner) -> bool {
        let processes = Path::new("/proc");
        *host == self.shelf.writer.host && processes.join("self").exists() && !processes.join(pid.to_string()).exists()
    }

    /// Somebody else was first, each time.
    fn crowded(&self) -> PortError {
        let problem = format!("others changed it each time that it was tried ({TURNS} times)");
        PortError::new(PortErrorKind::Conflict, self.subject(), problem).advise("run it again in a minute")
    }
}

/// A duration for people.
fn told(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[async_trait]
impl Lock for S3Lock {
    async fn acquire(&self, owner: &Owner) -> PortResult<Box<dyn LockGuard>> {
        let nonce = self.shelf.writer.nonce();
        let mut lost_answer = None;
        for _ in 0..TURNS {
            let begun = held::Moment::now();
            let Seen { state, etag } = match (self.seen().await, lost_answer.take()) {
                (Ok(seen), None) => seen,
                // It was ours to take, and nobody knows whether it was taken.
                (Ok(seen), Some(_)) if seen.state.is_held_by(&nonce) => seen,
                (_, Some(error)) => return Err(error),
                (Err(error), None) => return Err(error),
            };
            if let (true, Some(etag)) = (state.is_held_by(&nonce), &etag) {
                return Ok(Box::new(Held::begin(self.clone(), state, nonce, etag.clone(), begun)));
            }
            if let Some(holder) = &state.holder {
                return Err(self.held_by(holder));
            }
            let holder = Holder { owner: owner.clone(), nonce: nonce.clone(), heard: self.now() };
            let id = state.id().unwrap_or_else(|| self.shelf.writer.nonce());
            let taken = State { id: Some(id), epoch: state.epoch + 1, holder: Some(holder), broken: state.broken };
            match self.moved(etag.as_deref(), &taken).await {
                Ok(Some(etag)) => return Ok(Box::new(Held::begin(self.clone(), taken, nonce, etag, begun))),
                Ok(None) => {}
                Err(error) if error.kind == PortErrorKind::Unreachable => lost_answer = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(self.crowded())
    }

    async fn owner(&self) -> PortResult<Option<Holding>> {
        let holding = self.seen().await?.state.holding();
        Ok(holding.map(|holding| Holding { gone: self.is_gone(&holding.owner), ..holding }))
    }

    async fn break_it(&self, by: &Owner, reason: &str) -> PortResult<Option<Holding>> {
        for _ in 0..TURNS {
            let Seen { state, etag } = self.seen().await?;
            let Some(held) = state.holding() else { return Ok(None) };
            let breaking = Breaking { by: by.clone(), reason: reason.to_owned(), held: held.clone() };
            let broken = State { epoch: state.epoch + 1, holder: None, broken: Some(breaking), ..state };
            if self.moved(etag.as_deref(), &broken).await?.is_some() {
                return Ok(Some(held));
            }
        }
        Err(self.crowded())
    }

    async fn broken(&self) -> PortResult<Option<Breaking>> {
        Ok(self.seen().await?.state.broken)
    }
}
