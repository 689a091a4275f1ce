//! How is a plan carried out? Lane by lane through ports, without choices of its own, telling everything as events.
//!
//! Every step may be interrupted at any instruction and done again: the next run surveys, plans and does what is missing.

mod gate;
pub(crate) mod joining;
mod stack;
pub(crate) mod telling;

use crate::{
    address::MasterAddress,
    event::{Event, Outcome, RunId},
    fleet::{ContextFacts, Fleet, Host, Reading},
    name::StackName,
    old_keys::{self, Identity},
    plan::{Entry, Lane, RemasterPlan, Step, Todo},
    ports::{Clock, ContextStore, Fence, Journal, Masters, Minions, Operator, Power, Sleepers},
    survey::{AddressPolicy, NewMaster},
};
use futures::{StreamExt, channel::mpsc, stream};
use gate::{Gate, News};
use stack::StackRun;
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Mutex, PoisonError},
};
use telling::Telling;

/// What a run acts through.
pub struct Ports<'a> {
    /// The contexts.
    pub contexts: &'a dyn ContextStore,
    /// The nodes.
    pub minions: &'a dyn Minions,
    /// The masters.
    pub masters: &'a dyn Masters,
    /// Their mains switches.
    pub power: &'a dyn Power,
    /// What is remembered of stopped ones.
    pub sleepers: &'a dyn Sleepers,
    /// What keeps it from going on once its lock is lost.
    pub fence: &'a dyn Fence,
    /// The record.
    pub journal: &'a dyn Journal,
    /// The person watching.
    pub operator: &'a dyn Operator,
    /// Time.
    pub clock: &'a dyn Clock,
}

/// What is to be known of a run beside its plan.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// `sandbox` or `aws`.
    pub cloud: String,
    /// The command line, as typed.
    pub command: String,
    /// Whether it runs although the address is not shared.
    pub allow_unshared: bool,
    /// The new master.
    pub master: NewMaster,
    /// How many stacks are in work at once, at most and at least 1. A run begins with one and has more while the new master keeps up.
    pub jobs: usize,
    /// Which address a started node is connected to by.
    pub addresses: AddressPolicy,
}

/// How a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Every stack of the plan, touched or not.
    pub outcomes: BTreeMap<StackName, Outcome>,
    /// Why, where that needs saying.
    pub reasons: BTreeMap<StackName, String>,
    /// Set where the journal could not be written. Nothing was begun after that.
    pub unrecorded: Option<String>,
    /// Whether the operator asked to stop.
    pub interrupted: bool,
}

/// Carries out a plan that was made from this fleet.
pub async fn execute(plan: &RemasterPlan, fleet: &Fleet, run: &Run, ports: &Ports<'_>) -> RunReport {
    let telling = Telling::new(&run.id, &run.cloud, ports.fence, ports.journal, ports.operator, ports.clock);
    let execution = Execution { plan, fleet, run, ports, telling, gate: Gate::new(run.jobs.max(1)), moved: Mutex::default() };
    let begun = execution.telling.now();
    execution
        .telling
        .tell(Event::RunStarted {
            run: run.id.clone(),
            cloud: run.cloud.clone(),
            master: Some(plan.master.clone()),
            address: Some(plan.address.clone()),
            command: run.command.clone(),
            lanes: plan.work(),
            allow_unshared: run.allow_unshared,
        })
        .await;
    for (stack, reason) in &plan.untouched {
        execution.telling.note(stack, reason.outcome(), Some(reason.to_string()));
    }
    execution.heed().await;
    let (moving, mut moved) = mpsc::channel(0);
    let lanes: Vec<_> = plan.lanes.iter().enumerate().map(|(number, lane)| (number, lane, moving.clone())).collect();
    drop(moving);
    let walked = stream::iter(lanes).for_each_concurrent(None, |(number, lane, moving)| execution.lane(number, lane, moving));
    // While the last highstates run, which takes the longest of all: no minion leaves its old master any more.
    let tidied = async {
        moved.next().await;
        execution.remove_old_keys().await;
    };
    futures::join!(walked, tidied);
    execution.telling.close(begun).await
}

/// Held for as long as a minion may yet move; nothing is sent.
type Moving = mpsc::Sender<Infallible>;

struct Execution<'a> {
    plan: &'a RemasterPlan,
    fleet: &'a Fleet,
    run: &'a Run,
    ports: &'a Ports<'a>,
    telling: Telling<'a>,
    gate: Gate,
    moved: Mutex<Moved>,
}

/// The minions that take orders from the new master now, and did not before.
#[derive(Default)]
struct Moved {
    minions: Vec<Identity>,
    /// The addresses of the masters they have left.
    left: BTreeSet<Box<str>>,
}

impl Execution<'_> {
    async fn lane(&self, number: usize, lane: &Lane, moving: Moving) {
        let mut failed: Option<&StackName> = None;
        let (mut left, mut moving) = (lane.entries.len(), Some(moving));
        for entry in &lane.entries {
            left -= 1;
            let moving = moving.take_if(|_| left == 0);
            if self.not_begun(entry, failed).await {
                continue;
            }
            let well = match &entry.todo {
                Todo::Blocked(reason) => {
                    let reason = format!("{reason} (nothing was changed)");
                    self.telling.finish(&entry.stack, Outcome::Failed, Some(reason), 0).await;
                    false
                }
                Todo::Steps { steps, .. } => {
                    self.gate.enter(number, left + 1).await;
                    // Much may have happened while it waited.
                    let begun = !self.not_begun(entry, failed).await;
                    let well = begun && self.entry(&entry.stack, steps, moving).await;
                    self.heed().await;
                    self.gate.leave(well);
                    well || !begun
                }
            };
            if !well {
                failed = Some(&entry.stack);
            }
        }
    }

    /// Whether a stack's turn comes to nothing, which is told.
    async fn not_begun(&self, entry: &Entry, failed: Option<&StackName>) -> bool {
        let (outcome, why) = if let Some(culprit) = failed {
            (Outcome::Held, format!("{culprit} failed, and it comes earlier in its project"))
        } else if let Some(problem) = self.telling.halted() {
            (Outcome::Held, problem)
        } else if self.ports.operator.interrupted() {
            (Outcome::Interrupted, "not begun: the operator asked to stop".into())
        } else {
            return false;
        };
        self.telling.finish(&entry.stack, outcome, Some(why), 0).await;
        true
    }

    /// Whether it went well.
    async fn entry(&self, stack: &StackName, steps: &[Step], moving: Option<Moving>) -> bool {
        let begun = self.ports.clock.now().0;
        self.telling.tell(Event::StackStarted { stack: stack.clone(), was: self.was(stack) }).await;
        let (outcome, reason) = StackRun::new(self, stack).walk(steps, moving).await;
        self.telling.finish(stack, outcome, reason, self.telling.millis_since(begun)).await;
        outcome.is_success()
    }

    /// Asks the new master how it fares, where it was not asked for a while.
    async fn heed(&self) {
        if !self.gate.asks(self.telling.now()) {
            return;
        }
        let strain = self.ports.masters.strain(&self.run.master.host).await;
        if let Some(News { limit, cause }) = self.gate.heard(strain.ok()) {
            self.telling.tell(Event::Paced { limit, why: cause.map(|cause| cause.to_string()) }).await;
        }
    }

    /// The address of the master that a stack has, where that is another one: by its context, or, where a run that was cut short has
    /// rewritten that, by what a node of it says.
    fn was(&self, stack: &StackName) -> Option<MasterAddress> {
        let stack = self.fleet.stacks.get(stack)?;
        let named = match &stack.context {
            Reading::Read(ContextFacts::Mastered { masters, .. }) => masters.iter().find_map(|master| master.parse().ok()),
            _ => None,
        };
        let evidence = stack.nodes.iter().filter_map(|node| node.evidence.ok());
        let by_nodes = evidence.filter_map(|evidence| evidence.build_vars.clone().ok().flatten());
        named.into_iter().chain(by_nodes).find(|address| *address != self.plan.address)
    }

    /// Takes the keys of the minions that have left from the masters they have left, in one go for each. A master that
    /// cannot be asked keeps them, and that is told; it is no failure of the run.
    async fn remove_old_keys(&self) {
        if self.telling.halted().is_some() {
            return;
        }
        let moved = std::mem::take(&mut *self.moved.lock().unwrap_or_else(PoisonError::into_inner));
        let mut keys = old_keys::held_elsewhere(self.fleet, &self.plan.master, &moved.minions);
        for (master, held) in &self.plan.old_keys {
            keys.entry(master.clone()).or_default().extend(held.iter().cloned());
        }
        for (master, keys) in keys {
            let Some(host) = self.host_of(&master) else { continue };
            let begun = self.ports.clock.now().0;
            match self.telling.patiently(async || self.ports.masters.forget(&host, &keys).await).await {
                Ok(ids) if ids.is_empty() => {}
                Ok(ids) => self.telling.tell(Event::OldKeysRemoved { master, ids, millis: self.telling.millis_since(begun) }).await,
                Err(error) => {
                    let message = format!("{master} still holds {} that left it: {error}", minions(keys.len()));
                    self.telling.tell(Event::Warning { message }).await;
                }
            }
        }
        for master in self.fleet.masters().into_iter().filter(|master| master.name != self.plan.master) {
            let was_left = master.nodes.iter().flat_map(|node| &node.private).any(|address| moved.left.contains(address.as_str()));
            if !was_left || matches!(self.fleet.standings.get(&master.name), Some(Reading::Read(_))) {
                continue;
            }
            let why = match self.fleet.standings.get(&master.name) {
                Some(Reading::Unreadable(problem)) => problem.to_string(),
                _ => master.state().map_or_else(|| "it has no instance".into(), |state| format!("it is {state}")),
            };
            let message =
                format!("{} could not be asked for the keys of the minions that left it, and may hold them still: {why}", master.name);
            self.telling.tell(Event::Warning { message }).await;
        }
    }

    fn host_of(&self, master: &StackName) -> Option<Host> {
        self.fleet.stacks.get(master)?.running()?.host()
    }
}

fn minions(count: usize) -> String {
    if count == 1 { "the key of 1 minion".into() } else { format!("the keys of {count} minions") }
}
