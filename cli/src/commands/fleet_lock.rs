//! Who is changing the fleet at the moment? Whatever writes holds the fleet's lock while it does.

use super::Session;
use crate::{
    exit::{Code, Exit},
    operator,
    wiring::Stores,
};
use bldr_core::ports::{Clock, Lock, LockGuard, Owner};

/// The lock, held until [`Held::release`].
pub struct Held(Box<dyn LockGuard>);

impl Held {
    /// Takes the lock for this command line.
    ///
    /// # Errors
    /// Refused where somebody else holds it, with who, where, since when and what for.
    pub async fn take(stores: &Stores, session: &Session) -> Result<Self, Exit> {
        Self::of(&*stores.lock, &*stores.clock, session).await
    }

    /// Takes this lock, for who has no stores yet.
    ///
    /// # Errors
    /// As [`Held::take`].
    pub async fn of(lock: &dyn Lock, clock: &dyn Clock, session: &Session) -> Result<Self, Exit> {
        let owner = Owner {
            who: operator::user(),
            host: operator::host(),
            pid: std::process::id(),
            purpose: session.typed.clone(),
            since: clock.now(),
        };
        lock.acquire(&owner).await.map(Self).map_err(|error| Exit::from(error).line("nothing was changed"))
    }

    /// Gives it back, and hands on how the work that it was held for ended. A lock that cannot be given back is told, and
    /// changes nothing about that: it ends with this process.
    pub async fn release(self, session: &Session, ended: Result<Code, Exit>) -> Result<Code, Exit> {
        if let Err(error) = self.0.release().await {
            session.screen.note(&format!("warning: the lock was not given back: {error}"));
        }
        ended
    }
}
