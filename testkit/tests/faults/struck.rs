//! A world in which something happens at a certain call, whichever port that is made on.

use async_trait::async_trait;
use bldr_core::{
    address::MasterAddress,
    doctor::Workplace,
    error::{PortError, PortErrorKind, PortResult},
    event::RunId,
    fleet::{Ec2Id, HeldKey, HeldKeys, Host, Instance, NodeFiles, Outlook, PublicKey, Standing, Timestamp},
    name::{NodeName, StackName},
    pace::Strain,
    ports::{
        Change, Clock, ContextStore, Document, Expected, Fence, Highstate, HighstateMode, Inventory, Journal, Masters, Minions, Power,
        Proof, Record, Replaced, Repointing, Revision, Sleeper, Sleepers, States,
    },
};
use bldr_testkit::{
    machines::{Machine, path},
    salt,
    world::World,
};
use futures::future::pending;
use std::{
    collections::BTreeSet,
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

/// Which port a call is made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port<'a> {
    Machine(&'a Host),
    Ec2,
    Contexts(Option<&'a StackName>),
    Save(&'a StackName),
    Journal,
    Sleepers,
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

    async fn through<T>(&self, port: Port<'_>, work: impl Future<Output = PortResult<T>>) -> PortResult<T> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let (now, since) = (call == self.at, call >= self.at);
        let stored = matches!(port, Port::Contexts(_) | Port::Save(_) | Port::Journal | Port::Sleepers);
        match (self.fault, port) {
            (Fault::KilledBefore, _) if now => self.die().await,
            (Fault::Cut(calls), Port::Machine(_)) if since && call - self.at < calls => {
                return self.error(PortErrorKind::Unreachable, "the network is cut");
            }
            (Fault::Rebooted, Port::Machine(host)) if now => {
                self.reboot(host);
                return self.error(PortErrorKind::Unreachable, "the connection was lost");
            }
            (Fault::Throttled, Port::Ec2) if now => return self.error(PortErrorKind::Unreachable, "Throttling: rate exceeded"),
            (Fault::StoreRefuses, _) if now && stored => return self.error(PortErrorKind::Refused, "SlowDown"),
            (Fault::StoreDown, _) if since && stored => return self.error(PortErrorKind::Unreachable, "the store is down"),
            (Fault::ContextsFull, Port::Save(_)) if since => return self.error(PortErrorKind::Refused, "no space left"),
            (Fault::JournalFull, Port::Journal) if since => return self.error(PortErrorKind::Refused, "no space left"),
            (Fault::Colleague, Port::Save(stack)) if now => {
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
            (Fault::AnswerLost, Port::Machine(_) | Port::Save(_)) if now => self.error(PortErrorKind::Unreachable, "the answer was lost"),
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
        let master = machine.master.clone().map(|daemon| bldr_testkit::machines::MasterDaemon { up, ..daemon });
        self.world.machines.put(name, Machine { master, ..machine }).expect("a disk");
    }
}

#[async_trait]
impl Inventory for Struck<'_> {
    fn region(&self) -> &str {
        Inventory::region(&self.world.machines)
    }
    async fn instances(&self) -> PortResult<Vec<Instance>> {
        self.through(Port::Ec2, self.world.machines.instances()).await
    }
}

#[async_trait]
impl Power for Struck<'_> {
    async fn start(&self, id: &Ec2Id) -> PortResult<Instance> {
        self.through(Port::Ec2, self.world.machines.start(id)).await
    }
    async fn stop(&self, id: &Ec2Id) -> PortResult<Instance> {
        self.through(Port::Ec2, self.world.machines.stop(id)).await
    }
}

#[async_trait]
impl ContextStore for Struck<'_> {
    async fn list(&self) -> PortResult<Vec<StackName>> {
        self.through(Port::Contexts(None), self.world.contexts.list()).await
    }
    async fn load(&self, stack: &StackName) -> PortResult<Document> {
        self.through(Port::Contexts(Some(stack)), self.world.contexts.load(stack)).await
    }
    async fn save(&self, stack: &StackName, text: &str, expected: &Expected) -> PortResult<Revision> {
        self.through(Port::Save(stack), self.world.contexts.save(stack, text, expected)).await
    }
    async fn remove(&self, stack: &StackName, stored: &Revision) -> PortResult<()> {
        self.through(Port::Save(stack), self.world.contexts.remove(stack, stored)).await
    }
    async fn history(&self, stack: &StackName) -> PortResult<Vec<Replaced>> {
        self.through(Port::Contexts(Some(stack)), self.world.contexts.history(stack)).await
    }
    async fn replaced(&self, stack: &StackName, revision: &Revision) -> PortResult<String> {
        self.through(Port::Contexts(Some(stack)), self.world.contexts.replaced(stack, revision)).await
    }
}

#[async_trait]
impl Minions for Struck<'_> {
    async fn read(&self, host: &Host) -> PortResult<NodeFiles> {
        self.through(Port::Machine(host), Minions::read(&self.world.machines, host)).await
    }
    async fn examine(&self, host: &Host, address: &MasterAddress) -> PortResult<(NodeFiles, Outlook)> {
        self.through(Port::Machine(host), self.world.machines.examine(host, address)).await
    }
    async fn write_build_vars(&self, host: &Host, encoded: &str) -> PortResult<()> {
        self.through(Port::Machine(host), self.world.machines.write_build_vars(host, encoded)).await
    }
    async fn repoint(&self, host: &Host, to: &Repointing) -> PortResult<Change> {
        self.through(Port::Machine(host), self.world.machines.repoint(host, to)).await
    }
    async fn prove(&self, host: &Host, address: &MasterAddress, key: &PublicKey, within: Duration) -> PortResult<Proof> {
        self.through(Port::Machine(host), self.world.machines.prove(host, address, key, within)).await
    }
    async fn confirm(&self, host: &Host, address: &MasterAddress, key: &PublicKey) -> PortResult<()> {
        self.through(Port::Machine(host), self.world.machines.confirm(host, address, key)).await
    }
    async fn keep(&self, host: &Host) -> PortResult<()> {
        self.through(Port::Machine(host), Minions::keep(&self.world.machines, host)).await
    }
    async fn revert(&self, host: &Host) -> PortResult<Change> {
        self.through(Port::Machine(host), self.world.machines.revert(host)).await
    }
    async fn rehearse(&self, host: &Host, address: &MasterAddress, key: &PublicKey) -> PortResult<Highstate> {
        self.through(Port::Machine(host), self.world.machines.rehearse(host, address, key)).await
    }
    async fn highstate(&self, host: &Host, mode: HighstateMode, begun: States) -> PortResult<Highstate> {
        self.through(Port::Machine(host), self.world.machines.highstate(host, mode, begun)).await
    }
    async fn release(&self, host: &Host) {
        self.world.machines.release(host).await;
    }
}

#[async_trait]
impl Masters for Struck<'_> {
    async fn read(&self, host: &Host) -> PortResult<Standing> {
        self.through(Port::Machine(host), Masters::read(&self.world.machines, host)).await
    }
    async fn inspect(&self, host: &Host, repositories: &[String], sample: Option<String>) -> PortResult<Workplace> {
        self.through(Port::Machine(host), self.world.machines.inspect(host, repositories, sample)).await
    }
    async fn strain(&self, host: &Host) -> PortResult<Strain> {
        self.through(Port::Machine(host), self.world.machines.strain(host)).await
    }
    async fn accept(&self, host: &Host, id: &str, key: &PublicKey) -> PortResult<Change> {
        self.through(Port::Machine(host), self.world.machines.accept(host, id, key)).await
    }
    async fn ping(&self, host: &Host, ids: &[String], within: Duration) -> PortResult<BTreeSet<String>> {
        self.through(Port::Machine(host), self.world.machines.ping(host, ids, within)).await
    }
    async fn forget(&self, host: &Host, keys: &[HeldKey]) -> PortResult<BTreeSet<String>> {
        self.through(Port::Machine(host), Masters::forget(&self.world.machines, host, keys)).await
    }
    async fn quarantined(&self, host: &Host) -> PortResult<HeldKeys> {
        self.through(Port::Machine(host), self.world.machines.quarantined(host)).await
    }
    async fn restore(&self, host: &Host, keys: &[HeldKey]) -> PortResult<BTreeSet<String>> {
        self.through(Port::Machine(host), self.world.machines.restore(host, keys)).await
    }
}

#[async_trait]
impl Journal for Struck<'_> {
    async fn append(&self, run: &RunId, record: &Record) -> PortResult<()> {
        self.through(Port::Journal, self.world.journal.append(run, record)).await
    }
    async fn read(&self, run: &RunId) -> PortResult<Vec<Record>> {
        self.world.journal.read(run).await
    }
    async fn runs(&self) -> PortResult<Vec<RunId>> {
        self.world.journal.runs().await
    }
    async fn keep_output(&self, run: &RunId, node: &NodeName, output: &str) -> PortResult<String> {
        self.through(Port::Journal, self.world.journal.keep_output(run, node, output)).await
    }
}

#[async_trait]
impl Sleepers for Struck<'_> {
    async fn all(&self) -> PortResult<Vec<Sleeper>> {
        self.through(Port::Sleepers, self.world.sleepers.all()).await
    }
    async fn remember(&self, sleeper: &Sleeper) -> PortResult<()> {
        self.through(Port::Sleepers, self.world.sleepers.remember(sleeper)).await
    }
    async fn forget(&self, node: &NodeName) -> PortResult<()> {
        self.through(Port::Sleepers, Sleepers::forget(&self.world.sleepers, node)).await
    }
}

impl Fence for Struck<'_> {
    fn standing(&self) -> PortResult<()> {
        self.world.fence.standing()
    }
}
