//! Who holds the fleet's lock in a test, and until when? As operators who share it do: it can be broken, and is numbered.

use async_trait::async_trait;
use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    ports::{Answered, Breaking, Fence, Holding, Lock, LockGuard, Owner, Tenure},
};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct State {
    id: String,
    epoch: u64,
    holder: Option<Owner>,
    broken: Option<Breaking>,
}

impl State {
    fn holding(&self) -> Option<Holding> {
        Some(Holding { epoch: Some(self.epoch), ..self.holder.clone()?.into() })
    }
}

/// A lock in memory.
pub struct MemoryLock(Arc<Mutex<State>>);

impl Default for MemoryLock {
    /// One that was never taken.
    fn default() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let id = format!("memory{}", MADE.fetch_add(1, Ordering::Relaxed));
        Self(Arc::new(Mutex::new(State { id, epoch: 0, holder: None, broken: None })))
    }
}

struct MemoryGuard {
    state: Arc<Mutex<State>>,
    epoch: u64,
}

impl MemoryGuard {
    fn lost(&self) -> Option<PortError> {
        let state = locked(&self.state);
        let Breaking { by, reason, .. } = state.broken.as_ref().filter(|_| state.epoch != self.epoch)?;
        let problem = format!("{} on {} has taken it: {reason}", by.who, by.host);
        Some(PortError::new(PortErrorKind::Conflict, "the fleet's lock", problem).advise("ask them"))
    }
}

impl Drop for MemoryGuard {
    fn drop(&mut self) {
        let mut state = locked(&self.state);
        if state.epoch == self.epoch {
            state.holder = None;
        }
    }
}

#[async_trait]
impl LockGuard for MemoryGuard {
    fn tenure(&self) -> Option<Tenure> {
        Some(Tenure { lock: locked(&self.state).id.clone(), epoch: self.epoch })
    }
    fn standing(&self) -> PortResult<()> {
        self.lost().map_or(Ok(()), Err)
    }
    fn affirmed(&self) -> Answered {
        Box::pin(std::future::ready(self.standing()))
    }
    async fn release(self: Box<Self>) -> PortResult<()> {
        self.standing()
    }
}

#[async_trait]
impl Lock for MemoryLock {
    async fn acquire(&self, owner: &Owner) -> PortResult<Box<dyn LockGuard>> {
        let mut state = locked(&self.0);
        if let Some(Owner { who, host, pid, purpose, since }) = &state.holder {
            let problem = format!("{who} on {host} (process {pid}) has held it since {since} for: {purpose}");
            return Err(
                PortError::new(PortErrorKind::Conflict, "the fleet's lock", problem).advise("wait until they are done, or ask them")
            );
        }
        state.holder = Some(owner.clone());
        state.epoch += 1;
        Ok(Box::new(MemoryGuard { state: self.0.clone(), epoch: state.epoch }))
    }
    async fn owner(&self) -> PortResult<Option<Holding>> {
        Ok(locked(&self.0).holding())
    }
    async fn break_it(&self, by: &Owner, reason: &str) -> PortResult<Option<Holding>> {
        let mut state = locked(&self.0);
        let Some(held) = state.holding() else { return Ok(None) };
        state.epoch += 1;
        state.holder = None;
        state.broken = Some(Breaking { by: by.clone(), reason: reason.into(), held: held.clone() });
        Ok(Some(held))
    }
    async fn broken(&self) -> PortResult<Option<Breaking>> {
        Ok(locked(&self.0).broken.clone())
    }
}

/// A fence that stands, until a test has it fall.
#[derive(Default)]
pub struct FallingFence(Mutex<Option<usize>>);

impl FallingFence {
    /// Stands this many questions more and then falls, as when somebody takes the lock in the middle of a run.
    pub fn falls_after(&self, questions: usize) {
        *locked(&self.0) = Some(questions);
    }
    /// Stands again, as for the next run.
    pub fn stands(&self) {
        *locked(&self.0) = None;
    }
}

impl Fence for FallingFence {
    fn standing(&self) -> PortResult<()> {
        match &mut *locked(&self.0) {
            None => Ok(()),
            Some(0) => Err(PortError::new(PortErrorKind::Conflict, "the fleet's lock", "bob on ops-8 has taken it").advise("ask them")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
    fn tenure(&self) -> Option<Tenure> {
        None
    }
    fn overtaken(&self, _: &str) {
        self.falls_after(0);
    }
}
