//! What must hold of any plan, whoever made it? Checked before a plan is executed, and of every plan in the tests.

use crate::{
    event::Action,
    fleet::{Fleet, InstanceState},
    name::StackName,
    plan::{Entry, RemasterPlan, Step, Todo},
    stage::Stage,
};
use std::collections::BTreeSet;

/// A plan that must not be executed: what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the plan is not sound ({0}); nothing was changed, and this is a fault of bldr: please report it")]
pub struct Unsound(pub String);

/// Checks a plan against the fleet it was made for.
///
/// # Errors
/// The first rule that is broken: a stack twice or not at all in its fleet, a lane out of order, a step on a node that is not
/// there or out of its order, a stop of what was never started.
pub fn check(plan: &RemasterPlan, fleet: &Fleet) -> Result<(), Unsound> {
    let mut seen = BTreeSet::<&StackName>::new();
    let names = plan.untouched.keys().chain(plan.lanes.iter().flat_map(|lane| lane.entries.iter().map(|e| &e.stack)));
    for name in names {
        if !seen.insert(name) {
            return Err(Unsound(format!("{name} is in it twice")));
        }
        if !fleet.stacks.contains_key(name) {
            return Err(Unsound(format!("{name} is not in the fleet")));
        }
    }
    for lane in &plan.lanes {
        if lane.entries.is_empty() || lane.entries.iter().any(|e| e.stack.project() != lane.project || e.stack.is_master()) {
            return Err(Unsound(format!("the lane of {} holds what is not its own", lane.project)));
        }
        if !lane.entries.is_sorted_by_key(|e| Stage::of(&e.stack)) {
            return Err(Unsound(format!("the lane of {} is out of order", lane.project)));
        }
        lane.entries.iter().try_for_each(|entry| check_steps(entry, fleet))?;
    }
    Ok(())
}

fn check_steps(entry: &Entry, fleet: &Fleet) -> Result<(), Unsound> {
    let (Todo::Steps { steps, .. }, Some(stack)) = (&entry.todo, fleet.stacks.get(&entry.stack)) else { return Ok(()) };
    let wrong = |step: &Step, why: &str| Err(Unsound(format!("{}: {:?} {why}", entry.stack, step.action)));
    let mut done: Vec<&Step> = Vec::new();
    for step in steps {
        let earlier = |action: Action| done.iter().any(|s| s.action == action && s.node == step.node);
        let of_stack = step.action == Action::RewriteContext;
        if of_stack != step.node.is_none() {
            return wrong(step, "is not a step of that kind of thing");
        }
        if earlier(step.action) {
            return wrong(step, "is there twice");
        }
        if done.iter().any(|s| s.node == step.node && s.action > step.action) {
            return wrong(step, "comes too late");
        }
        if of_stack && done.iter().any(|s| s.action > Action::RewriteContext) {
            return wrong(step, "comes after a node was touched");
        }
        if step.action == Action::Confirm && steps.iter().filter(|s| s.action == Action::Prove).any(|s| !done.contains(&s)) {
            return wrong(step, "comes before all nodes of the stack are proven");
        }
        if let Some(number) = step.node {
            let Some(node) = stack.nodes.iter().find(|n| n.name.number() == number) else {
                return wrong(step, "is for a node that is not there");
            };
            let running = node.state == InstanceState::Running;
            match step.action {
                Action::Start if running => return wrong(step, "is for a running node"),
                Action::Stop if running && !node.woken => return wrong(step, "would stop what was running"),
                Action::Start | Action::Stop => {}
                Action::RewriteContext | Action::Revert | Action::RestoreContext | Action::ProveOld => {
                    return wrong(step, "is not for a plan to have");
                }
                _ if !running && !earlier(Action::Start) => return wrong(step, "is for a node that is not up"),
                Action::Prove if !earlier(Action::Repoint) => return wrong(step, "proves what was not done"),
                Action::Confirm if !earlier(Action::Prove) => return wrong(step, "confirms what was not proven"),
                _ => {}
            }
        }
        done.push(step);
    }
    Ok(())
}
