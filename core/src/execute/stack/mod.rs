//! How is one stack moved? Its steps in order; and where it does not join, everything put back.

mod steps;

use super::{
    Execution, Moving, PoisonError,
    telling::{Stepped, Trouble},
};
use crate::{
    address::MasterAddress,
    error::{PortError, PortErrorKind},
    event::{Action, Outcome},
    fleet::{Evidence, Host, Node, NodeFiles, PublicKey},
    minion_config,
    name::StackName,
    old_keys,
    plan::{Step, Unproven},
    ports::{Record, Revision},
};
use std::{collections::HashMap, time::Duration};

/// How a stack was before its context was rewritten.
struct Rewritten {
    before: String,
    revision: Revision,
}

/// What a node said just before anything was changed on it.
struct Before {
    files: NodeFiles,
    evidence: Evidence,
}

/// One stack on its way.
pub(super) struct StackRun<'a> {
    execution: &'a Execution<'a>,
    stack: &'a StackName,
    nodes: &'a [Node],
    /// A node that was started has a new address.
    hosts: HashMap<u64, Host>,
    /// What each node said just before anything was changed.
    before: HashMap<u64, Before>,
    rewritten: Option<Rewritten>,
    /// The context as it is stored, once this run has written or read it: the build vars of all nodes are made from the same.
    context: Option<String>,
    /// The nodes that were switched, or may have been.
    switched: Vec<u64>,
    /// Nodes that were started for this, by this run or by one before it; those that are to be stopped again are, however it
    /// ends.
    started: Vec<u64>,
    confirmed: bool,
    clean: bool,
    /// What has happened and is not told yet: it is with what comes next, which is at once.
    untold: Vec<Record>,
}

impl<'a> StackRun<'a> {
    pub(super) fn new(execution: &'a Execution<'a>, stack: &'a StackName, started: Record) -> Self {
        let nodes = execution.fleet.stacks.get(stack).map_or(&[][..], |s| &s.nodes);
        Self {
            execution,
            stack,
            nodes,
            hosts: nodes.iter().filter_map(|n| Some((n.name.number(), n.host()?))).collect(),
            before: HashMap::new(),
            rewritten: None,
            context: None,
            switched: Vec::new(),
            started: nodes.iter().filter(|n| n.woken).map(|n| n.name.number()).collect(),
            confirmed: false,
            clean: true,
            untold: vec![started],
        }
    }

    /// Takes the steps in order, up to the first that fails; what was switched and not confirmed is then put back, and
    /// nodes that were started are stopped again all the same. How that ended is told.
    pub(super) async fn walk(mut self, steps: &[Step], mut moving: Option<Moving>, begun: i64) -> Outcome {
        let mut end: Option<(Outcome, String)> = None;
        let last_confirmation = steps.iter().rposition(|step| step.action == Action::Confirm);
        for (at, step) in steps.iter().enumerate() {
            let cleaning_up = step.action == Action::Stop && step.node.is_some_and(|node| self.started.contains(&node));
            if end.is_some() && !cleaning_up {
                continue;
            }
            if step.action == Action::Start {
                // A start that fails may have been heard all the same.
                self.started.extend(step.node);
            }
            let sleeps_again = steps.iter().any(|s| s.action == Action::Stop && s.node == step.node);
            match self.step(*step, sleeps_again).await {
                Err(trouble) => {
                    self.clean = false;
                    if end.is_none() {
                        end = Some(self.ended(step.action, trouble).await);
                    }
                }
                Ok(_) if step.action == Action::Confirm => {
                    self.confirmed = true;
                    self.note_moved(step.node);
                    if Some(at) == last_confirmation {
                        drop(moving.take());
                    }
                }
                Ok(_) => {}
            }
        }
        let (outcome, reason) = end.map_or((Outcome::Remastered, None), |(outcome, reason)| (outcome, Some(reason)));
        let telling = &self.execution.telling;
        telling.finish_after(self.untold, self.stack, outcome, reason, telling.millis_since(begun)).await;
        for host in self.hosts.values() {
            self.execution.ports.minions.release(host).await;
        }
        outcome
    }

    /// What a step that failed comes to for the stack.
    async fn ended(&mut self, at: Action, Trouble { reason, refused, .. }: Trouble) -> (Outcome, String) {
        if self.confirmed || at == Action::Stop {
            return (Outcome::Failed, reason);
        }
        // Refused means that the node has put itself back, and then so does all the rest.
        if at == Action::Confirm && !refused {
            return (Outcome::Failed, format!("{reason}; it puts itself back unless this is run again in time"));
        }
        if self.rewritten.is_none() && self.switched.is_empty() {
            return (Outcome::Failed, format!("{reason} (nothing was switched)"));
        }
        match self.execution.plan.unproven {
            Unproven::Revert => self.reverted(reason).await,
            Unproven::Leave => self.left(reason).await,
        }
    }

    /// Puts everything back, and asks whether the old master is obeyed again. A stack is rolled back where all of it is: one whose context names
    /// the new master still is half way.
    async fn reverted(&mut self, reason: String) -> (Outcome, String) {
        let switched = self.switched.clone();
        let mut trouble = self.each(Action::Revert, switched.iter().rev()).await;
        let stuck = !trouble.is_empty();
        let restores = self.rewritten.is_some() || self.old_address().is_some();
        let restored = if restores { self.step(Step { action: Action::RestoreContext, node: None }, false).await } else { Ok(()) };
        let unrestored = restored.err().map(|trouble| trouble.reason);
        if stuck {
            trouble.extend(unrestored);
            let patience = self.patience().as_secs();
            return (
                Outcome::Failed,
                format!("{reason}; and could not be put back: {}; the node puts itself back within {patience} s", trouble.join("; ")),
            );
        }
        trouble.extend(self.each(Action::ProveOld, switched.iter()).await);
        if let Some(why) = unrestored {
            let nodes = if switched.is_empty() { "no node was switched" } else { "its nodes are put back" };
            let but = if trouble.is_empty() { String::new() } else { format!(", but {}", trouble.join("; ")) };
            let problem =
                format!("{nodes}{but}; its context could not be put back and may name {} still: {why}", self.execution.plan.address);
            return (Outcome::Failed, format!("{reason}; {problem}; run the same again"));
        }
        let how = if !trouble.is_empty() {
            format!("put back as it was, but {}", trouble.join("; "))
        } else if !switched.is_empty() && switched.iter().all(|number| self.old_master(*number).is_some()) {
            "put back as it was, and it answers its old master".to_owned()
        } else {
            "put back as it was".to_owned()
        };
        (Outcome::RolledBack, format!("{reason}; {how}"))
    }

    /// Takes a step on each of these nodes; what went wrong.
    async fn each(&mut self, action: Action, nodes: impl Iterator<Item = &u64>) -> Vec<String> {
        let mut trouble = Vec::new();
        for number in nodes {
            trouble.extend(self.step(Step { action, node: Some(*number) }, false).await.err().map(|trouble| trouble.reason));
        }
        trouble
    }

    /// Leaves everything for somebody to look at: the nodes must not put themselves back meanwhile.
    async fn left(&mut self, reason: String) -> (Outcome, String) {
        let switched = self.switched.clone();
        let trouble = self.each(Action::Keep, switched.iter()).await;
        let how = if trouble.is_empty() { String::new() } else { format!(", but {}", trouble.join("; ")) };
        (Outcome::Failed, format!("{reason}; left as it is (revert=no){how}; `bldr master.status:{}` shows how that is", self.stack))
    }

    /// The master a node had before its switch, as far as it can be told: its address and its key.
    fn old_master(&self, number: u64) -> Option<(MasterAddress, PublicKey)> {
        let files = &self.before.get(&number)?.files;
        let (config, key) = match &files.unconfirmed {
            // A run before this one has switched it already: this is what it was before that.
            Some(kept) => (&kept.minion_config, &kept.trusted_key),
            None => (&files.minion_config, &files.trusted_key),
        };
        Some((minion_config::master_of(config.as_deref()?)?.parse().ok()?, PublicKey::from_pem(key.as_deref()?)?))
    }

    /// Where the context has to point again when a run before this one has rewritten it: where an unconfirmed switch puts back to.
    fn old_address(&self) -> Option<MasterAddress> {
        let unconfirmed = self.switched.iter().filter(|number| self.before.get(number).is_some_and(|before| before.evidence.unconfirmed));
        let mut addresses = unconfirmed.filter_map(|number| Some(self.old_master(*number)?.0));
        addresses.next().filter(|address| *address != self.execution.plan.address)
    }

    fn note_moved(&self, node: Option<u64>) {
        let Some(Before { evidence, .. }) = node.and_then(|number| self.before.get(&number)) else { return };
        let mut moved = self.execution.moved.lock().unwrap_or_else(PoisonError::into_inner);
        moved.minions.extend(old_keys::identity(evidence));
        moved.left.extend(evidence.configured.clone().filter(|address| **address != *self.execution.plan.address.as_str()));
    }

    fn patience(&self) -> Duration {
        self.execution.plan.patience.watchdog_of(self.nodes.len())
    }

    /// Takes a step, and tells of it.
    async fn step(&mut self, step: Step, sleeps_again: bool) -> Result<(), Trouble> {
        let (telling, stack) = (&self.execution.telling, self.stack);
        let node = step.node.map(|number| stack.node(number));
        let mut untold = std::mem::take(&mut self.untold);
        let ended = telling.step_after(&mut untold, stack, node, step.action, self.taken(step, sleeps_again)).await;
        self.untold = untold;
        ended
    }

    async fn taken(&mut self, step: Step, sleeps_again: bool) -> Stepped {
        let Some(number) = step.node else {
            return match step.action {
                Action::RewriteContext => self.rewrite_context().await,
                _ => Ok(self.restore_context().await?.into()),
            };
        };
        let no_such = || PortError::new(PortErrorKind::NotFound, self.stack.as_str(), "the plan names a node that was not surveyed");
        let node = self.nodes.iter().find(|n| n.name.number() == number).ok_or_else(no_such)?;
        match step.action {
            Action::Start => return self.start(node, sleeps_again).await,
            Action::Stop => return self.stop(node).await,
            _ => {}
        }
        let nowhere = || PortError::new(PortErrorKind::Unreachable, node.name.to_string(), "it has no address to connect to");
        let host = self.hosts.get(&number).cloned().ok_or_else(nowhere)?;
        match step.action {
            Action::Examine => self.examine(number, &host).await,
            Action::Introduce => self.introduce(number, &host).await,
            Action::Rehearse => self.rehearse(&host).await,
            Action::Repoint => self.repoint(number, &host).await,
            Action::Prove => self.prove(number, &host).await,
            Action::Confirm => self.confirm(&host).await,
            Action::Keep => self.keep(&host).await,
            Action::Revert => self.revert(&host).await,
            Action::ProveOld => self.prove_old(number, &host).await,
            _ => self.highstate(&host).await,
        }
    }
}
