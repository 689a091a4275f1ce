//! Is the lock still ours? A task says every few seconds that we are there, and notes when that last got through.

use super::{S3Lock, State, TURNS, told};
use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    ports::{Answered, LockGuard, Tenure},
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;

/// Darwin's monotonic clock goes on in sleep, Linux's does not.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// A moment by the clock that goes on while a laptop sleeps, and that nobody sets. `Instant` stands still then; the time of day jumps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(Duration);

impl Moment {
    pub(super) fn now() -> Self {
        let now = clock_gettime(CLOCK);
        Self(Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0)))
    }

    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// The lock, held: the guard.
pub(super) struct Held {
    holding: Arc<Holding>,
    heart: JoinHandle<()>,
    given_back: bool,
}

/// What the guard and its heart share.
struct Holding {
    lock: S3Lock,
    tenure: Tenure,
    nonce: String,
    kept: Mutex<Kept>,
}

/// How it stands, as far as is known here.
struct Kept {
    state: State,
    etag: String,
    /// When the last that got through was begun.
    through: Moment,
    /// Why it is not ours any more.
    lost: Option<String>,
}

impl Held {
    pub(super) fn begin(lock: S3Lock, state: State, nonce: String, etag: String, begun: Moment) -> Self {
        let (beat, limit) = (lock.rhythm.beat, lock.rhythm.limit);
        let tenure = Tenure { lock: state.id().unwrap_or_default(), epoch: state.epoch };
        lock.shelf.writer.begin(&tenure);
        let holding = Arc::new(Holding { lock, tenure, nonce, kept: Mutex::new(Kept { state, etag, through: begun, lost: None }) });
        let beating = holding.clone();
        let heart = tokio::spawn(async move {
            loop {
                tokio::time::sleep(beat).await;
                // One that hangs must not keep the next from trying another connection.
                _ = tokio::time::timeout(limit / 3, beating.beat()).await;
            }
        });
        Self { holding, heart, given_back: false }
    }
}

impl Holding {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that we are there. What does not get through is tried again with the next beat, and counts as silence until then.
    async fn beat(&self) -> PortResult<()> {
        let begun = Moment::now();
        let (mut state, etag) = {
            let kept = self.kept();
            (kept.state.clone(), kept.etag.clone())
        };
        if let Some(holder) = &mut state.holder {
            holder.heard = self.lock.now();
        }
        match self.lock.moved(Some(&etag), &state).await? {
            Some(etag) => {
                let mut kept = self.kept();
                (kept.state, kept.etag, kept.through) = (state, etag, begun);
                Ok(())
            }
            None => self.looked(begun).await,
        }
    }

    /// Sees how it stands where it is not as we left it.
    async fn looked(&self, begun: Moment) -> PortResult<()> {
        let seen = self.lock.seen().await?;
        let mut kept = self.kept();
        match (seen.state.is_held_by(&self.nonce), seen.etag) {
            (true, Some(etag)) => (kept.state, kept.etag, kept.through) = (seen.state, etag, begun),
            _ => kept.lost = Some(lost(&seen.state, self.tenure.epoch)),
        }
        Ok(())
    }

    fn standing(&self) -> PortResult<()> {
        let kept = self.kept();
        let conflict =
            |problem: String, advice: &str| Err(PortError::new(PortErrorKind::Conflict, self.lock.subject(), problem).advise(advice));
        if let Some(lost) = &kept.lost {
            return conflict(lost.clone(), "nothing more is begun; ask them, then run the same again");
        }
        let silence = kept.through.elapsed();
        if silence > self.lock.rhythm.limit {
            let problem = format!("nothing of ours has got through to it for {}, so somebody may have taken it", told(silence));
            return conflict(problem, "nothing more is begun; check the network, then run the same again");
        }
        Ok(())
    }

    /// Gives it back, if it is ours.
    async fn given_back(&self) -> PortResult<()> {
        let mut tried = Ok(());
        for _ in 0..TURNS {
            let (free, etag) = {
                let kept = self.kept();
                if kept.lost.is_some() {
                    break;
                }
                (State { holder: None, ..kept.state.clone() }, kept.etag.clone())
            };
            match self.lock.moved(Some(&etag), &free).await {
                Ok(Some(_)) => {
                    self.lock.shelf.writer.end(&self.tenure);
                    return Ok(());
                }
                // A beat that was on its way when the heart was stopped.
                Ok(None) => tried = self.looked(Moment::now()).await,
                Err(error) => tried = Err(error),
            }
            tried = match tried {
                Err(error) => {
                    return Err(error.advise("`bldr lock.status` shows whether it is held still; `bldr lock.break:REASON` frees it"));
                }
                done => done,
            };
        }
        self.standing()?;
        tried.and(Err(self.lock.crowded()))
    }
}

/// Who has taken it from us, as far as the lock says.
fn lost(now: &State, ours: u64) -> String {
    let breaking = now.broken.as_ref().filter(|breaking| breaking.held.epoch == Some(ours));
    let holder =
        now.holder.as_ref().map(|holder| format!("; {} on {} holds it now", holder.owner.who, holder.owner.host)).unwrap_or_default();
    match breaking {
        Some(breaking) => format!("{} on {} has broken it: {}{holder}", breaking.by.who, breaking.by.host, breaking.reason),
        None => format!("somebody has taken it{holder}"),
    }
}

#[async_trait]
impl LockGuard for Held {
    fn tenure(&self) -> Option<Tenure> {
        Some(self.holding.tenure.clone())
    }

    fn standing(&self) -> PortResult<()> {
        self.holding.standing()
    }

    fn affirmed(&self) -> Answered {
        let holding = self.holding.clone();
        Box::pin(async move {
            holding.beat().await?;
            holding.standing()
        })
    }

    async fn release(mut self: Box<Self>) -> PortResult<()> {
        self.given_back = true;
        self.heart.abort();
        self.holding.given_back().await
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.heart.abort();
        if self.given_back {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let holding = self.holding.clone();
            // Nobody is there to hear whether that works.
            runtime.spawn(async move { _ = holding.given_back().await });
        }
    }
}
