//! What do the records of a run say? What was to be done, how far it got, and which steps nobody knows the end of.

use crate::{
    address::MasterAddress,
    event::{Action, Event, LaneNames, LeftAlone, Outcome, RunId, States},
    fleet::Timestamp,
    name::{NodeName, StackName},
    ports::{Change, Holding, Record},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A run, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Its name.
    pub id: RunId,
    /// The command line.
    pub command: String,
    /// The new master, of a run that moves stacks to one.
    pub master: Option<StackName>,
    /// Its address.
    pub address: Option<MasterAddress>,
    /// Whether it ran although the address was not shared.
    pub allow_unshared: bool,
    /// When it began.
    pub began: Timestamp,
    /// When something was last heard of it.
    pub last: Timestamp,
    /// Whether it came to its own end.
    pub ended: bool,
    /// Whether the operator has stopped it at once.
    pub stopped: bool,
    /// What was to be worked on, in order.
    pub lanes: Vec<LaneNames>,
    /// Every stack of which anything was recorded, and every one that was to be worked on.
    pub stacks: BTreeMap<StackName, StackRecord>,
    /// What the operator was warned of.
    pub warnings: Vec<String>,
    /// When more or fewer stacks were let in at once than until then, or none more for now.
    pub paces: Vec<PaceRecord>,
}

/// How many stacks may be in work at once from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaceRecord {
    /// When that was said.
    pub at: Timestamp,
    /// So many.
    pub limit: usize,
    /// Why there are no more; absent where there will be.
    pub why: Option<String>,
}

/// What was recorded of a stack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StackRecord {
    /// When work on it began; absent where it did not.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended; absent where it did not.
    pub outcome: Option<Outcome>,
    /// Why, where that was said.
    pub reason: Option<String>,
    /// The address of the master it had before, where it was to get another.
    pub was: Option<MasterAddress>,
    /// Its steps, in the order in which they began.
    pub steps: Vec<StepRecord>,
}

/// One step of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// The node; absent for a step of the whole stack.
    pub node: Option<NodeName>,
    /// What was done.
    pub action: Action,
    /// When it began.
    pub began: Timestamp,
    /// When it ended, and how; absent where nobody knows.
    pub ended: Option<(Timestamp, StepEnd)>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEnd {
    /// Well.
    Well {
        /// Whether anything had to be changed.
        change: Change,
        /// What was said about it.
        detail: Option<String>,
        /// Of a highstate: which states.
        states: Option<States>,
    },
    /// It failed.
    Failed {
        /// Why.
        reason: String,
        /// Of a highstate: which states.
        states: Option<States>,
    },
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStanding {
    /// It came to its own end.
    Ended,
    /// It goes on.
    GoingOn,
    /// It was cut short: killed, or cut off from where it is recorded.
    CutShort,
}

impl RunRecord {
    /// What these records of a run come to, in the order in which they were made. `None` where they do not begin with its beginning.
    pub fn of(id: &RunId, records: &[Record]) -> Option<Self> {
        let (first, rest) = records.split_first()?;
        let Event::RunStarted { command, master, address, lanes, allow_unshared, untouched, .. } = &first.event else { return None };
        let planned = lanes.iter().flat_map(|lane| &lane.stacks).map(|stack| (stack.clone(), StackRecord::default()));
        let left = untouched.iter().map(|(stack, LeftAlone { outcome, reason })| {
            (stack.clone(), StackRecord { outcome: Some(*outcome), reason: Some(reason.clone()), ..StackRecord::default() })
        });
        let run = Self {
            id: id.clone(),
            command: command.clone(),
            master: master.clone(),
            address: address.clone(),
            allow_unshared: *allow_unshared,
            began: first.at,
            last: first.at,
            ended: false,
            stopped: false,
            stacks: planned.chain(left).collect(),
            lanes: lanes.clone(),
            warnings: Vec::new(),
            paces: Vec::new(),
        };
        Some(rest.iter().fold(run, Self::heard))
    }

    /// The same with one record more, which came after all of it.
    #[must_use]
    pub fn heard(mut self, record: &Record) -> Self {
        self.hear(record);
        self
    }

    fn hear(&mut self, record: &Record) {
        self.last = record.at;
        match &record.event {
            Event::StackStarted { stack, was } => {
                let stack = self.stacks.entry(stack.clone()).or_default();
                (stack.began, stack.was) = (Some(record.at), was.clone());
            }
            Event::StepStarted { stack, node, action } => {
                let step = StepRecord { node: node.clone(), action: *action, began: record.at, ended: None };
                self.stacks.entry(stack.clone()).or_default().steps.push(step);
            }
            Event::StepFinished { stack, node, action, change, detail, states, .. } => {
                let end = StepEnd::Well { change: *change, detail: detail.clone(), states: states.clone() };
                self.end_of_step(stack, node.as_ref(), *action, record.at, end);
            }
            Event::StepFailed { stack, node, action, reason, states, .. } => {
                let end = StepEnd::Failed { reason: reason.clone(), states: states.clone() };
                self.end_of_step(stack, node.as_ref(), *action, record.at, end);
            }
            Event::StackFinished { stack, outcome, reason, .. } => {
                let stack = self.stacks.entry(stack.clone()).or_default();
                (stack.ended, stack.outcome, stack.reason) = (Some(record.at), Some(*outcome), reason.clone());
            }
            Event::RunFinished { outcomes, reasons, .. } => {
                self.ended = true;
                for (name, outcome) in outcomes {
                    let stack = self.stacks.entry(name.clone()).or_default();
                    (stack.outcome, stack.reason) = (Some(*outcome), reasons.get(name).cloned());
                }
            }
            Event::RunStopped { .. } => self.stopped = true,
            Event::Paced { limit, why } => self.paces.push(PaceRecord { at: record.at, limit: *limit, why: why.clone() }),
            Event::Warning { message } => self.warnings.push(message.clone()),
            Event::RunStarted { .. } | Event::StateBegun { .. } | Event::OldKeysRemoved { .. } => {}
        }
    }

    fn end_of_step(&mut self, stack: &StackName, node: Option<&NodeName>, action: Action, at: Timestamp, end: StepEnd) {
        let steps = &mut self.stacks.entry(stack.clone()).or_default().steps;
        let open = steps.iter_mut().rfind(|step| step.action == action && step.node.as_ref() == node && step.ended.is_none());
        if let Some(step) = open {
            step.ended = Some((at, end));
        }
    }

    /// How it stands, where this is who holds the fleet's lock at this time. A run holds it from before it begins until after it ends; some
    /// locks are held by a run that was killed, too, until somebody breaks them.
    pub fn standing(&self, holder: Option<&Holding>, newest: bool, now: Timestamp) -> RunStanding {
        match holder {
            _ if self.ended => RunStanding::Ended,
            Some(holding) if newest && !self.stopped && holding.owner.since <= self.began && holding.lives(now) => RunStanding::GoingOn,
            _ => RunStanding::CutShort,
        }
    }

    /// The steps that began and of which nobody knows how they ended.
    pub fn open_steps(&self) -> impl Iterator<Item = (&StackName, &StepRecord)> {
        let open = |(name, stack)| StackRecord::open_steps(stack).map(move |step| (name, step));
        self.stacks.iter().flat_map(open)
    }

    /// The stacks that this run has moved, or may have, by the address of the master each had before.
    pub fn moved(&self) -> BTreeMap<MasterAddress, Vec<StackName>> {
        let mut moved: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, stack) in self.stacks.iter().filter(|(_, stack)| stack.may_have_moved()) {
            if let Some(was) = &stack.was {
                moved.entry(was.clone()).or_default().push(name.clone());
            }
        }
        moved
    }
}

impl StackRecord {
    fn open_steps(&self) -> impl Iterator<Item = &StepRecord> {
        self.steps.iter().filter(|step| step.ended.is_none())
    }

    /// Whether anything of it names another master since, and was not put back.
    pub fn may_have_moved(&self) -> bool {
        let touched = |step: &StepRecord| matches!(step.action, Action::RewriteContext | Action::Repoint);
        self.outcome != Some(Outcome::RolledBack) && self.steps.iter().any(touched)
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
