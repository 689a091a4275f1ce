//! Who is changing the fleet at the moment? Whatever writes holds the fleet's lock while it does.

use super::Session;
use crate::{
    exit::{Code, Exit},
    operator,
    wiring::Stores,
};
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    ports::{Clock, Fence, Holding, Lock, LockGuard, Owner, Tenure},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The lock, held until [`Held::release`].
pub struct Held(Arc<Gate>);

/// What this process holds of the fleet's lock, if it does: a run goes on only while that is so.
#[derive(Default)]
pub struct Gate {
    guard: Mutex<Option<Box<dyn LockGuard>>>,
    /// Who took it after us was met here.
    overtaken: Mutex<Option<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    fn guard(&self) -> MutexGuard<'_, Option<Box<dyn LockGuard>>> {
        locked(&self.guard)
    }
}

impl Fence for Gate {
    fn standing(&self) -> PortResult<()> {
        if let Some(by) = &*locked(&self.overtaken) {
            return Err(PortError::new(PortErrorKind::Conflict, "the fleet's lock", format!("it is not ours any more: {by}"))
                .advise("`bldr lock.status` shows whose it is"));
        }
        self.guard().as_ref().map_or(Ok(()), |guard| guard.standing())
    }

    fn tenure(&self) -> Option<Tenure> {
        self.guard().as_ref().and_then(|guard| guard.tenure())
    }

    fn overtaken(&self, by: &str) {
        locked(&self.overtaken).get_or_insert_with(|| by.to_owned());
    }
}

/// Who this is, and what for.
pub fn owner(clock: &dyn Clock, session: &Session) -> Owner {
    Owner { who: operator::user(), host: operator::host(), pid: std::process::id(), purpose: session.typed.clone(), since: clock.now() }
}

/// Tells whoever goes past the lock that somebody holds it. That it cannot be asked is no matter here.
pub async fn mention_the_holder(stores: &Stores, session: &Session) {
    if let Ok(Some(Holding { owner: Owner { who, host, since, purpose, .. }, .. })) = stores.lock.owner().await {
        session.screen.note(&format!("note: {who} on {host} has been changing the fleet since {since}, for: {purpose}"));
    }
}

impl Held {
    /// Takes the lock for this command line. The stores' gate stands for as long as the lock is ours.
    ///
    /// # Errors
    /// Refused where somebody else holds it, with who, where, since when and what for.
    pub async fn take(stores: &Stores, session: &Session) -> Result<Self, Exit> {
        Self::by(&*stores.lock, &*stores.clock, stores.gate.clone(), session).await
    }

    /// Takes this lock, for who has no stores yet.
    ///
    /// # Errors
    /// As [`Held::take`].
    pub async fn of(lock: &dyn Lock, clock: &dyn Clock, session: &Session) -> Result<Self, Exit> {
        Self::by(lock, clock, Arc::default(), session).await
    }

    async fn by(lock: &dyn Lock, clock: &dyn Clock, gate: Arc<Gate>, session: &Session) -> Result<Self, Exit> {
        let taken = lock.acquire(&owner(clock, session)).await;
        *gate.guard() = Some(taken.map_err(|error| Exit::from(error).line("nothing was changed"))?);
        Ok(Self(gate))
    }

    /// Gives it back, and hands on how the work that it was held for ended. A lock that cannot be given back is told, and
    /// changes nothing about that.
    pub async fn release(self, session: &Session, ended: Result<Code, Exit>) -> Result<Code, Exit> {
        let guard = self.0.guard().take();
        if let Some(guard) = guard
            && let Err(error) = guard.release().await
        {
            session.screen.note(&format!("warning: the lock was not given back: {error}"));
        }
        ended
    }
}

impl Drop for Held {
    /// Whatever ends the work early, the lock goes back.
    fn drop(&mut self) {
        drop(self.0.guard().take());
    }
}
