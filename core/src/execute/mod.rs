//! How is a plan carried out? Lane by lane through ports, without choices of its own, telling everything as events.
//!
//! Every step may be interrupted at any instruction and done again: the next run surveys, plans and does what is missing.

mod gate;
pub(crate) mod joining;
mod stack;
pub(crate) mod telling;

use crate::{
    address::MasterAddress,
    event::{Event, LeftAlone, Outcome, RunId},
    fleet::{ContextFacts, Fleet, Host, Reading},
    name::StackName,
    old_keys::{self, Identity},
    pace::Pacing,
    plan::{self, Entry, RemasterPlan, Step, Todo},
    ports::{Clock, ContextStore, Fence, Journal, Masters, Minions, Operator, Power, Sleepers},
    survey::{AddressPolicy, NewMaster},
};
use futures::{StreamExt, channel::mpsc, stream};
use gate::{Gate, News};
use stack::StackRun;
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
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
    /// How fast it may go, and where it is to stop by itself.
    pub pacing: Pacing,
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
    let execution = Execution {
        plan,
        fleet,
        run,
        ports,
        telling,
        gate: Gate::new(run.pacing.jobs),
        failures: AtomicUsize::new(0),
        held: Mutex::default(),
        moved: Mutex::default(),
    };
    let begun = execution.telling.now();
    let why = |why: &plan::Untouched| LeftAlone { outcome: why.outcome(), reason: why.to_string() };
    let untouched: BTreeMap<_, _> = plan.untouched.iter().map(|(stack, reason)| (stack.clone(), why(reason))).collect();
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
            untouched: untouched.clone(),
        })
        .await;
    for (stack, LeftAlone { outcome, reason }) in untouched {
        execution.telling.note(&stack, outcome, Some(reason));
    }
    execution.heed().await;
    let (moving, mut moved) = mpsc::channel(0);
    let (canary, lanes) = execution.in_turn(&moving);
    drop(moving);
    let fails = |walk: &&Walk<'_>| walk.entries.first().is_some_and(|entry| execution.fails(entry));
    execution.failures.store(lanes.iter().chain(&canary).filter(fails).count(), Ordering::Relaxed);
    execution.judge(None);
    let walked = async {
        if let Some(lane) = canary {
            execution.lane(lane).await;
        }
        stream::iter(lanes).for_each_concurrent(None, |lane| execution.lane(lane)).await;
    };
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
    /// How many stacks have failed; from the beginning those of which it is known that they will.
    failures: AtomicUsize,
    /// Why no more are begun, where the run itself says so.
    held: Mutex<Option<String>>,
    moved: Mutex<Moved>,
}

/// The minions that take orders from the new master now, and did not before.
#[derive(Default)]
struct Moved {
    minions: Vec<Identity>,
    /// The addresses of the masters they have left.
    left: BTreeSet<Box<str>>,
}

/// A lane, or what of it is still ahead.
struct Walk<'a> {
    number: usize,
    entries: Vec<&'a Entry>,
    moving: Moving,
}

impl<'a> Execution<'a> {
    /// What goes first, and then side by side.
    fn in_turn(&self, moving: &Moving) -> (Option<Walk<'a>>, Vec<Walk<'a>>) {
        let canary = self.run.pacing.canary.as_ref();
        let is_canary = |entry: &&Entry| canary == Some(&entry.stack);
        let first = self.plan.lanes.iter().flat_map(|lane| &lane.entries).find(is_canary);
        let first = first.map(|entry| Walk { number: 0, entries: vec![entry], moving: moving.clone() });
        let others = self.plan.lanes.iter().enumerate().map(|(number, lane)| Walk {
            number,
            entries: lane.entries.iter().filter(|entry| !is_canary(entry)).collect(),
            moving: moving.clone(),
        });
        (first, others.collect())
    }

    async fn lane(&self, Walk { number, entries, moving }: Walk<'a>) {
        let mut failed: Option<&StackName> = None;
        let (all, mut left, mut moving) = (entries.len(), entries.len(), Some(moving));
        for entry in entries {
            left -= 1;
            let moving = moving.take_if(|_| left == 0);
            if self.not_begun(entry, failed).await {
                continue;
            }
            let steps = match &entry.todo {
                Todo::Steps { steps, .. } => steps,
                Todo::Blocked(reason) => {
                    let reason = format!("{reason} (nothing was changed)");
                    self.telling.finish(&entry.stack, Outcome::Failed, Some(reason), 0).await;
                    failed = Some(&entry.stack);
                    // The first of a lane was counted when the run began.
                    self.failures.fetch_add(usize::from(left + 1 < all), Ordering::Relaxed);
                    self.judge(failed);
                    continue;
                }
            };
            self.gate.enter(number, left + 1).await;
            // Much may have happened while it waited.
            let begun = !self.not_begun(entry, failed).await;
            let well = begun && self.entry(&entry.stack, steps, moving).await;
            self.heed().await;
            self.gate.leave(well);
            if begun && !well {
                failed = Some(&entry.stack);
                self.failures.fetch_add(1, Ordering::Relaxed);
                self.judge(failed);
            }
        }
    }

    /// Whether a stack that is the first of its project is known to fail.
    fn fails(&self, entry: &Entry) -> bool {
        entry.is_blocked() && self.run.pacing.pauses_before(&entry.stack).is_none()
    }

    /// Whether a stack's turn comes to nothing, which is told.
    async fn not_begun(&self, entry: &Entry, failed: Option<&StackName>) -> bool {
        // That a stack cannot be begun is known and counted, however many others failed.
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|_| !entry.is_blocked());
        let (outcome, why) = if let Some(culprit) = failed {
            (Outcome::Held, format!("{culprit} failed, and it comes earlier in its project"))
        } else if let Some(problem) = self.telling.halted() {
            (Outcome::Held, problem)
        } else if let Some(why) = held.or_else(|| self.stops_before(&entry.stack)) {
            (Outcome::Held, why)
        } else if self.ports.operator.interrupted() {
            (Outcome::Interrupted, "not begun: the operator asked to stop".into())
        } else {
            return false;
        };
        self.telling.finish(&entry.stack, outcome, Some(why), 0).await;
        true
    }

    /// Why a stack is not begun, where the run was told to stop before it.
    fn stops_before(&self, stack: &StackName) -> Option<String> {
        let pacing = &self.run.pacing;
        let late = pacing.until.is_some_and(|until| self.ports.clock.now() >= until);
        let paused = pacing.pauses_before(stack).map(|stage| format!("the run pauses before {stage}"));
        paused.or_else(|| late.then(|| "the window is over".into()))
    }

    /// Whether too many have failed, this one last.
    fn judge(&self, stack: Option<&StackName>) {
        let (failures, pacing) = (self.failures.load(Ordering::Relaxed), &self.run.pacing);
        let stacks = self.plan.lanes.iter().map(|lane| lane.entries.len()).sum();
        let too_many = pacing.max_failures.filter(|most| most.is_exceeded(failures, stacks));
        let canary = stack.filter(|stack| pacing.canary.as_ref() == Some(*stack)).map(|stack| format!("the canary {stack} failed"));
        let why = canary.or_else(|| too_many.map(|most| format!("{failures} of {stacks} stacks failed, and max_failures is {most}")));
        if let Some(why) = why {
            self.held.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        }
    }

    /// Whether it went well.
    async fn entry(&self, stack: &StackName, steps: &[Step], moving: Option<Moving>) -> bool {
        let begun = self.ports.clock.now().0;
        let started = self.telling.record(Event::StackStarted { stack: stack.clone(), was: self.was(stack) });
        let outcome = StackRun::new(self, stack, started).walk(steps, moving, begun).await;
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
            if self.telling.halted().is_some() {
                return;
            }
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
