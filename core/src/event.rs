//! What is there to tell? One vocabulary of events for the screen, the JSON output and the journal.

use crate::{
    address::MasterAddress,
    name::{NodeName, ProjectName, StackName},
    ports::Change,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Names a run: the time it began and a few letters, as in `20261122-124301-k3f9`. Sorts by time, to the millisecond.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is done to a stack or one of its nodes, in the order in which it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Save the first context of a new stack.
    SaveContext,
    /// Make the stack's key pair, and make it known to EC2.
    KeyPair,
    /// Make the stack's security group.
    SecurityGroup,
    /// Run a node's machine.
    Run,
    /// Start a stopped node.
    Start,
    /// Wait until a new machine lets us in and has done what it was told at its first start.
    FirstStart,
    /// Ask the node once more, just before anything is changed.
    Examine,
    /// Install Salt.
    Install,
    /// Bring a master's repositories and its configuration up to date.
    Refresh,
    /// Accept the minion's key on the new master.
    Introduce,
    /// Render the highstate against the new master, and change nothing.
    Rehearse,
    /// Write the new address into the stack's context.
    RewriteContext,
    /// Write id, master and the master's key; restart the minion if any of it was another.
    Enlist,
    /// Write build vars and configuration, place the new master's key, restart the minion; leave a watchdog.
    Repoint,
    /// Wait until the minion is connected to the new master and answers it.
    Prove,
    /// Take the watchdog away: what is, stays.
    Confirm,
    /// Run the highstate.
    Highstate,
    /// Remove the keys of minions that are no more from a master.
    Sweep,
    /// Terminate a stack's machines, and remove its security group and its key pair.
    Remove,
    /// Remove a stack's context.
    RemoveContext,
    /// Put the node back as it was before it was repointed.
    Revert,
    /// Put the stack's context back as it was.
    RestoreContext,
    /// Wait until the minion takes orders from its old master again.
    ProveOld,
    /// Take the watchdog away from a switch that was not proven: it is left for somebody to look at.
    Keep,
    /// Stop a node that was started for this.
    Stop,
}

impl Action {
    /// What to call it while it goes on.
    pub fn doing(self) -> &'static str {
        match self {
            Self::SaveContext => "saving context",
            Self::KeyPair => "making key pair",
            Self::SecurityGroup => "making security group",
            Self::Run => "running machine",
            Self::Start => "starting",
            Self::FirstStart => "waiting for its first start",
            Self::Examine => "examining",
            Self::Install => "installing Salt",
            Self::Refresh => "refreshing repositories and configuration",
            Self::Introduce => "introducing",
            Self::Rehearse => "rehearsing highstate",
            Self::RewriteContext => "rewriting context",
            Self::Enlist => "configuring minion",
            Self::Repoint => "repointing",
            Self::Prove => "proving",
            Self::Confirm => "confirming",
            Self::Highstate => "running highstate",
            Self::Sweep => "removing orphaned keys",
            Self::Remove => "removing machines",
            Self::RemoveContext => "removing context",
            Self::Revert => "putting back",
            Self::RestoreContext => "restoring context",
            Self::ProveOld => "proving the old master",
            Self::Keep => "leaving as it is",
            Self::Stop => "stopping",
        }
    }
}

/// How it ended for one stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It takes orders from the new master now.
    Remastered,
    /// It was made, and its highstate has run.
    Launched,
    /// Salt, its configuration and all states are as they should be.
    Updated,
    /// It is no more.
    Destroyed,
    /// It did so before; nothing was touched.
    AlreadyThere,
    /// There is nothing to re-master: no EC2, masterless, a master, excluded by the operator.
    Skipped,
    /// It went wrong; the reason says how far it got.
    Failed,
    /// It did not answer the new master and is as it was before; the reason says why, and whether the old master answers.
    RolledBack,
    /// Not begun, because an earlier stack of its project failed.
    Held,
    /// Not begun, or not finished, because the operator asked to stop.
    Interrupted,
}

impl Outcome {
    /// Whether all that was asked for is true of that stack now.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Remastered | Self::Launched | Self::Updated | Self::Destroyed | Self::AlreadyThere | Self::Skipped)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Remastered => "re-mastered",
            Self::Launched => "launched",
            Self::Updated => "updated",
            Self::Destroyed => "destroyed",
            Self::AlreadyThere => "already there",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::RolledBack => "rolled back",
            Self::Held => "held",
            Self::Interrupted => "interrupted",
        })
    }
}

/// A stack that a run leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftAlone {
    /// What that comes to.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
}

/// Something that happened. As JSON an object whose `event` names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run begins.
    RunStarted {
        /// Its name.
        run: RunId,
        /// `sandbox` or `aws`.
        cloud: String,
        /// The new master, of a run that moves stacks to one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        master: Option<StackName>,
        /// Its address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<MasterAddress>,
        /// The command line, as typed.
        command: String,
        /// The projects and the stacks that are to be worked on, in order; what cannot be done is left out.
        lanes: Vec<LaneNames>,
        /// Whether the operator let it run although the address is not shared.
        #[serde(default)]
        allow_unshared: bool,
        /// What it will not touch, and why.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        untouched: BTreeMap<StackName, LeftAlone>,
    },
    /// Work on a stack begins.
    StackStarted {
        /// Which.
        stack: StackName,
        /// The address of the master it has, where it is to get another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        was: Option<MasterAddress>,
    },
    /// A step begins.
    StepStarted {
        /// The stack.
        stack: StackName,
        /// The node; absent for a step of the whole stack.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeName>,
        /// What is done.
        action: Action,
    },
    /// A state of a highstate begins. Shown while it goes on, and not recorded.
    StateBegun {
        /// The stack.
        stack: StackName,
        /// The node.
        node: NodeName,
        /// How many began with this one.
        number: usize,
        /// Its function, and its name where that can be no secret: `file.managed /etc/motd`.
        state: String,
    },
    /// A step ended well.
    StepFinished {
        /// The stack.
        stack: StackName,
        /// The node; absent for a step of the whole stack.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeName>,
        /// What was done.
        action: Action,
        /// Whether anything had to be changed.
        change: Change,
        /// How long it took, in milliseconds.
        millis: u64,
        /// What to say about it: the summary of a highstate, a new address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        /// Of a highstate: which states.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        states: Option<States>,
    },
    /// A step failed. What follows is the stack's end.
    StepFailed {
        /// The stack.
        stack: StackName,
        /// The node; absent for a step of the whole stack.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeName>,
        /// What was tried.
        action: Action,
        /// Why it failed, and what to do next.
        reason: String,
        /// How long it took, in milliseconds.
        millis: u64,
        /// Of a highstate: which states.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        states: Option<States>,
    },
    /// How it ended for a stack.
    StackFinished {
        /// Which.
        stack: StackName,
        /// How.
        outcome: Outcome,
        /// Why, where that needs saying.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// An old master no longer holds the keys of minions that have left it.
    OldKeysRemoved {
        /// Which master.
        master: StackName,
        /// The ids of the minions.
        ids: BTreeSet<String>,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// How many stacks may be in work at once has changed, or why there are no more.
    Paced {
        /// So many.
        limit: usize,
        /// Why there are no more; absent where there will be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// Something the operator should know that changes no outcome.
    Warning {
        /// What.
        message: String,
    },
    /// The operator has stopped it at once: what was in work is as it is, and nobody knows how it ended. Nothing comes after this.
    RunStopped {
        /// Its name.
        run: RunId,
    },
    /// The run is over. Nothing comes after this.
    RunFinished {
        /// Its name.
        run: RunId,
        /// `sandbox` or `aws`.
        cloud: String,
        /// How it ended for each stack.
        outcomes: BTreeMap<StackName, Outcome>,
        /// Why, for each stack where that needs saying.
        reasons: BTreeMap<StackName, String>,
        /// How long it took, in milliseconds.
        millis: u64,
    },
}

/// The states of a highstate that are worth naming, and where the rest is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct States {
    /// Those that changed something, or would.
    pub changed: Vec<String>,
    /// Those that failed.
    pub failed: Vec<String>,
    /// The file that has everything `salt-call` printed; holds secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// A project and its stacks, in the order in which they are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneNames {
    /// The project.
    pub project: ProjectName,
    /// Its stacks.
    pub stacks: Vec<StackName>,
}
