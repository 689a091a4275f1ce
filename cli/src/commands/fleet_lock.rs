//! Who is changing the fleet at the moment? Whatever writes holds the fleet's lock while it does.

use super::Session;
use crate::{
    exit::{Code, Exit},
    interrupt::Interruptions,
    operator,
    screen::Screen,
    wiring::Stores,
};
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    ports::{Clock, Fence, Holding, Lock, LockGuard, Owner, Tenure},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The lock, held until the end of [`Held::during`].
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

impl Gate {
    /// That the lock is ours at this moment, where it is to be: whoever was asked a question may have been at lunch, and somebody may have
    /// broken it.
    ///
    /// # Errors
    /// That it is not, or that nobody can tell.
    pub async fn affirmed(&self) -> Result<(), Exit> {
        let asked = self.guard().as_ref().map(|guard| guard.affirmed());
        let affirmed = match asked {
            Some(asked) => asked.await,
            None => Ok(()),
        };
        affirmed.and_then(|()| self.standing()).map_err(|error| Exit::from(error).line("nothing was begun"))
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

    /// Does the work it is held for, gives it back, and hands on how the work ended. A lock that cannot be given back is told, and
    /// changes nothing about that.
    ///
    /// # Errors
    /// Those of the work; and that the operator has interrupted it, unless the work itself hears of that.
    pub async fn during(self, screen: Screen, work: impl Future<Output = Result<Code, Exit>>) -> Result<Code, Exit> {
        let mut interruptions = Interruptions::listen();
        let ended = tokio::select! {
            ended = work => ended,
            () = interruptions.next() => Err(Exit::new(Code::Interrupted, "interrupted; run the same again to go on: what is done is left alone")),
        };
        let guard = self.0.guard().take();
        if let Some(guard) = guard
            && let Err(error) = interruptions.last(guard.release()).await
        {
            screen.note(&format!("warning: the lock was not given back: {error}"));
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
