//! A world in which something happens at a certain call, whichever port that is made on.

use bldr_core::{
    error::{PortError, PortErrorKind, PortResult},
    fleet::{Host, Instance, Timestamp},
    name::NodeName,
    ports::{Clock, SharedAddress},
};
use bldr_testkit::{
    between::{Between, Call},
    machines::{Machine, MasterDaemon, path},
    salt,
    world::World,
};
use futures::{executor::block_on, future::pending};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
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
    /// EC2 does not let us have this answer, nor any after it: a page that is refused is the same to whoever asked for all.
    PageRefused,
    /// This answer of EC2 breaks off in the middle.
    HalfAPage,
    /// Half of the machines are not in EC2's list, and nobody says so: it comes to be right some time after a change.
    HalfAFleet,
    /// The store refuses this call.
    StoreRefuses,
    /// The store is down from this call on.
    StoreDown,
    /// From this call on the store takes so many seconds for each.
    StoreSlow(u64),
    /// To this many writes of a context the store says that somebody else was there, which is not so.
    Contested(usize),
    /// A context is written, and the store says that somebody else has done it.
    WrittenAndContested,
    /// There is no room for a context from this call on.
    ContextsFull,
    /// There is no room for the record from this call on.
    JournalFull,
    /// The program is killed while it writes a line of the record: what is there ends in the middle of it.
    JournalTorn,
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
    /// Somebody's old checkout takes the place of the project file.
    StaleProjects,
}

impl Fault {
    /// Whether it can happen to this call.
    fn strikes(self, port: Call<'_>) -> bool {
        let stored = matches!(port, Call::Contexts | Call::Save(_) | Call::Journal | Call::Sleepers);
        match self {
            Self::Cut(_) | Self::Rebooted => matches!(port, Call::Machine(..)),
            Self::AnswerLost => matches!(port, Call::Machine(..) | Call::Save(_)),
            Self::Throttled | Self::PageRefused | Self::HalfAPage => port == Call::Ec2,
            Self::StoreRefuses | Self::StoreDown | Self::StoreSlow(_) => stored,
            Self::ContextsFull | Self::Contested(_) | Self::WrittenAndContested | Self::Colleague => matches!(port, Call::Save(_)),
            Self::JournalFull | Self::JournalTorn => port == Call::Journal,
            // It happens to the list of machines, of which there is one.
            Self::HalfAFleet => false,
            _ => true,
        }
    }
}

/// Where all minions were at first, which an old checkout still names.
const OLD: &str = "10.0.0.10";
/// The stack whose context or build vars are broken by hand.
pub const BROKEN: &str = "harbor--prod";

/// A world, what happens to it, and at which call.
pub struct Struck<'a> {
    pub world: &'a World,
    fault: Fault,
    at: usize,
    calls: AtomicUsize,
    struck: AtomicUsize,
    dead: AtomicBool,
    killed: Notify,
    commanded: Mutex<Option<NodeName>>,
}

impl<'a> Struck<'a> {
    pub fn new(world: &'a World, fault: Fault, at: usize) -> Self {
        Self {
            world,
            fault,
            at,
            calls: AtomicUsize::new(0),
            struck: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            killed: Notify::new(),
            commanded: Mutex::default(),
        }
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

    /// Who was about to be commanded when the program was killed.
    pub fn commanded(&self) -> Option<NodeName> {
        self.commanded.lock().unwrap().clone()
    }

    fn error<T>(&self, kind: PortErrorKind, problem: &str) -> PortResult<T> {
        self.struck.fetch_add(1, Ordering::SeqCst);
        Err(PortError::new(kind, "the storm", problem))
    }

    async fn storm<T>(&self, port: Call<'_>, work: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        if self.dead.load(Ordering::SeqCst) {
            // What goes on side by side is killed at once.
            pending::<()>().await;
        }
        if !self.fault.strikes(port) {
            return work.await;
        }
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let (now, since) = (call == self.at, call >= self.at);
        match (self.fault, port) {
            (Fault::KilledBefore, port) if now => {
                if let Call::Machine(host, _) = port {
                    *self.commanded.lock().unwrap() = Some(host.node.clone());
                }
                self.die::<T>().await;
            }
            (Fault::Cut(calls), _) if since && call - self.at < calls => {
                return self.error(PortErrorKind::Unreachable, "the network is cut");
            }
            (Fault::Rebooted, Call::Machine(host, _)) if now => {
                self.reboot(host);
                return self.error(PortErrorKind::Unreachable, "the connection was lost");
            }
            (Fault::Throttled, _) if now => return self.error(PortErrorKind::Unreachable, "Throttling: rate exceeded"),
            (Fault::PageRefused, _) if since => return self.error(PortErrorKind::Denied, "UnauthorizedOperation"),
            (Fault::HalfAPage, _) if now => return self.error(PortErrorKind::Malformed, "the answer ends in its middle"),
            (Fault::StoreRefuses, _) if now => return self.error(PortErrorKind::Refused, "SlowDown"),
            (Fault::StoreDown, _) if since => return self.error(PortErrorKind::Unreachable, "the store is down"),
            (Fault::StoreSlow(seconds), _) if since => {
                self.struck.fetch_add(1, Ordering::SeqCst);
                self.world.clock.sleep(Duration::from_secs(seconds)).await;
            }
            (Fault::Contested(writes), _) if since && call - self.at < writes => {
                return self.error(PortErrorKind::Conflict, "somebody else has written its context since it was read");
            }
            (Fault::ContextsFull | Fault::JournalFull, _) if since => return self.error(PortErrorKind::Refused, "no space left"),
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
            (Fault::StaleProjects, _) if now => self.by_hand(|| share(self.world, OLD)),
            _ => {}
        }
        let done = work.await;
        match self.fault {
            Fault::KilledAfter if now => self.die().await,
            Fault::JournalTorn if now => {
                self.world.journal.tear();
                self.die().await
            }
            Fault::AnswerLost if now => self.error(PortErrorKind::Unreachable, "the answer was lost"),
            Fault::WrittenAndContested if now => self.error(PortErrorKind::Conflict, "others are writing its context"),
            _ => done,
        }
    }

    async fn die<T>(&self) -> T {
        self.struck.fetch_add(1, Ordering::SeqCst);
        self.dead.store(true, Ordering::SeqCst);
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

/// The project file names this address from now on.
pub fn share(world: &World, address: &str) {
    let address = address.parse().expect("an address");
    let change = async {
        for proposal in world.projects.propose(&address).await.expect("a project file") {
            world.projects.share(&proposal).await.expect("a project file");
        }
    };
    block_on(change);
}

impl Between for Struck<'_> {
    fn seen(&self, instances: Vec<Instance>) -> Vec<Instance> {
        let halves = 2;
        if self.fault != Fault::HalfAFleet || self.at >= halves {
            return instances;
        }
        self.struck.fetch_add(1, Ordering::SeqCst);
        instances.into_iter().enumerate().filter(|(number, _)| number % halves == self.at).map(|(_, instance)| instance).collect()
    }

    async fn through<T: Send>(&self, call: Call<'_>, work: impl Future<Output = PortResult<T>> + Send) -> PortResult<T> {
        self.storm(call, work).await
    }
}
