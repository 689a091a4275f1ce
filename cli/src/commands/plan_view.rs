//! What does a plan look like? What is done and why, what cannot be done, and what is not touched.

use crate::screen::{line::counted, table::Table};
use bldr_core::{
    address::MasterAddress,
    difference::Difference,
    fleet::Fleet,
    limit::Limit,
    name::{ProjectName, StackName},
    plan::{Lane, RemasterPlan, Step, Todo},
    ports::HighstateMode,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// A plan as it is shown. As JSON: docs/json.md.
#[derive(Debug, Serialize)]
pub struct PlanView {
    master: StackName,
    address: MasterAddress,
    highstate: HighstateMode,
    shared: bool,
    unshared: Vec<StackName>,
    lanes: Vec<LaneView>,
    skipped: Vec<ReasonView>,
    old_keys: BTreeMap<StackName, BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<LimitView>,
}

/// What was asked for of the whole fleet, and what was not and is therefore not looked at.
#[derive(Debug, Serialize)]
struct LimitView {
    limit: String,
    beyond: Vec<StackName>,
}

#[derive(Debug, Serialize)]
struct LaneView {
    project: ProjectName,
    stacks: Vec<StackName>,
    work: Vec<WorkView>,
}

#[derive(Debug, Serialize)]
struct WorkView {
    stack: StackName,
    because: Vec<Difference>,
    steps: Vec<Step>,
}

/// What a run leaves undone, and why.
#[derive(Debug, Serialize)]
struct ReasonView {
    stack: String,
    kind: Kind,
    reason: String,
}

/// What sort of leaving undone it is; the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// It cannot be done.
    Blocked,
    /// One that comes earlier in its project cannot be done.
    Held,
    /// There is nothing to do, or it is not meant.
    Untouched,
    /// A tag of an instance that is no stack name.
    Unnamed,
}

impl PlanView {
    /// The view of a plan, for those stacks of a fleet that answer to this limit, where there is one.
    pub fn of(plan: &RemasterPlan, fleet: &Fleet, limit: Option<&Limit>) -> Self {
        let planned: BTreeSet<_> =
            plan.lanes.iter().flat_map(|lane| &lane.entries).map(|entry| &entry.stack).chain(plan.untouched.keys()).collect();
        let beyond = || fleet.stacks.keys().filter(|stack| !stack.is_master() && !planned.contains(stack)).cloned();
        let mut view = Self {
            master: plan.master.clone(),
            address: plan.address.clone(),
            highstate: plan.highstate,
            shared: plan.unshared.is_empty(),
            unshared: plan.unshared.clone(),
            lanes: Vec::new(),
            skipped: Vec::new(),
            old_keys: BTreeMap::new(),
            limit: limit.map(|limit| LimitView { limit: limit.to_string(), beyond: beyond().collect() }),
        };
        for (master, keys) in &plan.old_keys {
            view.old_keys.insert(master.clone(), keys.iter().map(|key| key.id.to_string()).collect());
        }
        plan.lanes.iter().for_each(|lane| view.add(lane));
        plan.untouched.iter().for_each(|(stack, why)| view.skip(stack.as_str(), Kind::Untouched, why.to_string()));
        fleet.unnamed.iter().for_each(|(tag, why)| view.skip(tag, Kind::Unnamed, why.clone()));
        view.skipped.sort_by_key(|skipped| skipped.kind);
        view
    }

    fn skip(&mut self, stack: &str, kind: Kind, reason: String) {
        self.skipped.push(ReasonView { stack: stack.into(), kind, reason });
    }

    fn add(&mut self, lane: &Lane) {
        let mut work = Vec::new();
        let mut blocked: Option<&StackName> = None;
        for entry in &lane.entries {
            let stack = &entry.stack;
            match (&entry.todo, blocked) {
                (_, Some(culprit)) => self.skip(stack.as_str(), Kind::Held, format!("{culprit} cannot be done, and comes earlier")),
                (Todo::Blocked(reason), None) => {
                    self.skip(stack.as_str(), Kind::Blocked, reason.to_string());
                    blocked = Some(stack);
                }
                (Todo::Steps { because, steps }, None) => {
                    work.push(WorkView { stack: stack.clone(), because: because.to_vec(), steps: steps.to_vec() });
                }
            }
        }
        if !work.is_empty() {
            let stacks = work.iter().map(|work| work.stack.clone()).collect();
            self.lanes.push(LaneView { project: lane.project.clone(), stacks, work });
        }
    }

    /// How many stacks are worked on.
    pub fn stacks(&self) -> usize {
        self.lanes.iter().map(|lane| lane.stacks.len()).sum()
    }

    /// What cannot be done, a stack and its reason each.
    pub fn blocked(&self) -> impl Iterator<Item = String> {
        self.skipped.iter().filter(|skipped| skipped.kind == Kind::Blocked).map(|blocked| format!("{}: {}", blocked.stack, blocked.reason))
    }

    /// The plan for people.
    pub fn text(&self) -> String {
        let work = match self.stacks() {
            0 => "nothing".into(),
            stacks => format!("{} of {}", counted(stacks, "stack"), counted(self.lanes.len(), "project")),
        };
        let mut text = format!("to re-master to {} at {}: {work}\n", self.master, self.address);
        let mut table = Table::new(["PROJECT", "STACK", "NODES", "WHAT DIFFERS"]);
        for (lane, work) in self.lanes.iter().flat_map(|lane| lane.work.iter().map(move |work| (lane, work))) {
            let because: Vec<_> = work.because.iter().copied().map(in_words).collect();
            table.row([lane.project.to_string(), work.stack.to_string(), nodes(work), because.join(", ")]);
        }
        push(&mut text, "", &table);
        let mut table = Table::new(["MASTER", "KEYS OF MINIONS THAT LEFT IT"]);
        self.old_keys.iter().for_each(|(master, ids)| table.row([master.to_string(), ids.iter().cloned().collect::<Vec<_>>().join(", ")]));
        push(&mut text, "to remove:\n", &table);
        let titles =
            [("cannot be done", Kind::Blocked), ("held", Kind::Held), ("not touched", Kind::Untouched), ("no stacks", Kind::Unnamed)];
        for (title, kind) in titles {
            let mut table = Table::new(["STACK", "REASON"]);
            let rows = self.skipped.iter().filter(|row| row.kind == kind);
            rows.for_each(|row| table.row([row.stack.clone(), row.reason.clone()]));
            push(&mut text, &format!("{title}:\n"), &table);
        }
        if let Some(LimitView { limit, beyond }) = &self.limit {
            text.push_str(&format!("\nnot in limit={limit}, and not looked at: {}\n", counted(beyond.len(), "stack")));
        }
        text
    }
}

fn push(text: &mut String, title: &str, table: &Table) {
    if !table.is_empty() {
        text.push_str(&format!("\n{title}{table}"));
    }
}

/// The numbers of the nodes that are worked on.
fn nodes(work: &WorkView) -> String {
    let mut numbers: Vec<_> = work.steps.iter().filter_map(|step| step.node).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn in_words(difference: Difference) -> &'static str {
    match difference {
        Difference::Context => "context",
        Difference::BuildVars => "build vars",
        Difference::Configuration => "configuration",
        Difference::TrustedKey => "trusted key",
        Difference::Introduction => "introduction",
        Difference::Connection => "connection",
        Difference::Unconfirmed => "not confirmed",
        Difference::HighstateDue => "highstate due",
        Difference::Asleep => "stopped, not asked",
        Difference::LeftRunning => "left running by an earlier run",
    }
}
