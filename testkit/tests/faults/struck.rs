//! A world in which something happens at a certain call, whichever port that is made on.

use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::{Host, Timestamp},
    ports::Clock,
};
use bldr_testkit::{
    between::{Between, Call},
    machines::{Machine, MasterDaemon, path},
    salt,
    world::World,
};
use futures::future::pending;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::sync::Notify;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The program is killed before it is done.
    KilledBefore,
    /// The program is killed after it was done, and before anybody heard.
    KilledAfter,
    /// Nobody answers to this call and so many after it.
    Cut(usize),
    /// It is done, and its answer is lost.
    AnswerLost,
    /// The machine that is asked reboots under the call.
    Rebooted,
    /// The new master's daemon goes down, for so many calls.
    MasterDown(usize),
    /// EC2 does not answer properly to this call.
    Throttled,
    /// The store refuses this call.
    StoreRefuses,
    /// The store is down from this call on.
    StoreDown,
    /// There is no room for a context from this call on.
    ContextsFull,
    /// There is no room for the record from this call on.
    JournalFull,
    /// A colleague writes the context just before this call.
    Colleague,
    /// The clock is put forward by an hour.
    ClockForward,
    /// The clock is put back by an hour.
    ClockBack,
    /// Somebody takes the lock.
    LockTaken,
    /// A context is broken by hand.
    ContextBroken,
    /// The build vars of a node are broken by hand.
    BuildVarsBroken,
}

/// The stack whose context or build vars are broken by hand.
pub const BROKEN: &str = "harbor--prod";

/// A world, what happens to it, and at which call.
pub struct Struck<'a> {
    pub world: &'a World,
    fault: Fault,
    at: usize,
    calls: AtomicUsize,
    struck: AtomicUsize,
    killed: Notify,
}

impl<'a> Struck<'a> {
    pub fn new(world: &'a World, fault: Fault, at: usize) -> Self {
        Self { world, fault, at, calls: AtomicUsize::new(0), struck: AtomicUsize::new(0), killed: Notify::new() }
    }
    /// How many calls were made.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
    /// Whether it happened: the call was one that it can happen to.
    pub fn happened(&self) -> bool {
        self.struck.load(Ordering::SeqCst) > 0
    }
    /// Comes back once the program is killed.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    fn error<T>(&self, kind: PortErrorKind, problem: &str) -> PortResult<T> {
        self.struck.fetch_add(1, Ordering::SeqCst);
        Err(PortError::new(kind, "the storm", problem))
    }

    async fn storm<T>(&self, port: Call<'_>, work: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let (now, since) = (call == self.at, call >= self.at);
        let stored = matches!(port, Call::Contexts | Call::Save(_) | Call::Journal | Call::Sleepers);
        match (self.fault, port) {
            (Fault::KilledBefore, _) if now => self.die().await,
            (Fault::Cut(calls), Call::Machine(..)) if since && call - self.at < calls => {
                return self.error(PortErrorKind::Unreachable, "the network is cut");
            }
            (Fault::Rebooted, Call::Machine(host, _)) if now => {
                self.reboot(host);
                return self.error(PortErrorKind::Unreachable, "the connection was lost");
            }
            (Fault::Throttled, Call::Ec2) if now => return self.error(PortErrorKind::Unreachable, "Throttling: rate exceeded"),
            (Fault::StoreRefuses, _) if now && stored => return self.error(PortErrorKind::Refused, "SlowDown"),
            (Fault::StoreDown, _) if since && stored => return self.error(PortErrorKind::Unreachable, "the store is down"),
            (Fault::ContextsFull, Call::Save(_)) if since => return self.error(PortErrorKind::Refused, "no space left"),
            (Fault::JournalFull, Call::Journal) if since => return self.error(PortErrorKind::Refused, "no space left"),
            (Fault::Colleague, Call::Save(stack)) if now => {
                let text = self.world.contexts.text(stack).unwrap_or_default();
                let mended = text.replacen('{', "{\"colleague\": \"was here\", ", 1);
                self.by_hand(|| self.world.contexts.put(stack, &mended));
            }
            (Fault::ContextBroken, _) if now => {
                let stack = BROKEN.parse().expect("a name");
                self.by_hand(|| self.world.contexts.put(&stack, "{\"stackname\": "));
            }
            (Fault::BuildVarsBroken, _) if now => {
                let node = format!("{BROKEN}--1");
                self.by_hand(|| self.world.machines.keep(&node, path::BUILD_VARS, Some("!")).expect("a disk"));
            }
            (Fault::ClockForward, _) if now => self.by_hand(|| self.world.clock.advance(Duration::from_secs(3600))),
            (Fault::ClockBack, _) if now => {
                self.by_hand(|| self.world.clock.set(Timestamp(self.world.clock.now().0 - 3_600_000)));
            }
            (Fault::MasterDown(_), _) if now => self.by_hand(|| self.master(false)),
            (Fault::MasterDown(calls), _) if Some(call) == self.at.checked_add(calls) => self.master(true),
            (Fault::LockTaken, _) if now => self.by_hand(|| self.world.fence.falls_after(0)),
            _ => {}
        }
        let done = work.await;
        match (self.fault, port) {
            (Fault::KilledAfter, _) if now => self.die().await,
            (Fault::AnswerLost, Call::Machine(..) | Call::Save(_)) if now => self.error(PortErrorKind::Unreachable, "the answer was lost"),
            _ => done,
        }
    }

    async fn die<T>(&self) -> T {
        self.struck.fetch_add(1, Ordering::SeqCst);
        self.killed.notify_one();
        pending().await
    }

    fn by_hand(&self, what: impl FnOnce()) {
        self.struck.fetch_add(1, Ordering::SeqCst);
        what();
    }

    /// Both daemons of a machine go down and come up again, with what their files say.
    fn reboot(&self, host: &Host) {
        let Some(name) = self.world.machines.at(host.address.as_str()) else { return };
        let Some(machine) = self.world.machines.get(&name) else { return };
        if machine.minion.is_some_and(|minion| minion.up) {
            salt::stop_minion(&self.world.machines, &name).expect("a disk");
            salt::start_minion(&self.world.machines, &name).expect("a disk");
        }
    }

    /// The new master's daemon goes down or comes up.
    pub fn master(&self, up: bool) {
        let name = "master-server--b--1";
        let machine = self.world.machines.get(name).expect("a master");
        let master = machine.master.clone().map(|daemon| MasterDaemon { up, ..daemon });
        self.world.machines.put(name, Machine { master, ..machine }).expect("a disk");
    }
}

impl Between for Struck<'_> {
    async fn through<T: Send>(&self, call: Call<'_>, work: impl Future<Output = PortResult<T>> + Send) -> PortResult<T> {
        self.storm(call, work).await
    }
}
