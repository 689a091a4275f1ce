//! What can be meant? Each task's request, in names, numbers and choices.

use crate::window::Window;
use bldr_core::{
    address::MasterAddress,
    limit::Limit,
    name::StackName,
    pace::MaxFailures,
    plan::{Patience, Scope, Stopped, Unproven},
    ports::HighstateMode,
    stage::Stage,
    update::{Concurrency, Mode},
};
use std::path::PathBuf;

/// One request, ready to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// List the tasks.
    Tasks,
    /// List the stacks.
    Stacks,
    /// List the masters.
    Masters,
    /// Show where each node stands.
    Status(Status),
    /// Share a master's address.
    Share(Share),
    /// Re-master.
    Remaster(Remaster),
    /// Say whether a master is fit: this one, else the one in charge.
    Doctor(Option<StackName>),
    /// Stop a master that nothing points to any more, or terminate one that has been stopped for long.
    Retire(Retire),
    /// Make a stack.
    Launch(Launch),
    /// Bring a stack up to date.
    Update(Update),
    /// Bring a master up to date, and the keys it holds.
    UpdateMaster(UpdateMaster),
    /// Remove a stack and all that was made for it.
    Destroy(StackName),
    /// Something about the keys a master holds.
    Keys(Keys),
    /// Fetch a file from a node.
    Download(Download),
    /// Place a file on a node.
    Upload(Upload),
    /// Run something on nodes.
    Command(Command),
    /// Hand the terminal over to a node.
    Ssh(Ssh),
    /// Switch a stack on or off.
    Switch(Switch),
    /// Something about what was run before.
    Run(RunTask),
    /// Finish a run that was cut short: this one, as typed.
    Resume(String),
    /// Move back what a run has moved.
    Rollback(Rollback),
    /// Something about a stack's build vars.
    BuildVars(StackName, BuildVarsTask),
    /// Something about a stack's context.
    Context(StackName, ContextTask),
    /// Something about the fleet's lock.
    Lock(LockTask),
    /// Something about the sandbox.
    Sandbox(SandboxTask),
}

/// Whom to log in as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// The one that a machine's image has.
    Bootstrap,
    /// The one that a highstate makes.
    Deploy,
}

impl Request {
    /// Whom it logs in as, where it logs in.
    pub fn user(&self) -> User {
        match self {
            Self::Download(Download { user, .. })
            | Self::Upload(Upload { user, .. })
            | Self::Command(Command { user, .. })
            | Self::Ssh(Ssh { user, .. }) => *user,
            _ => User::Bootstrap,
        }
    }
}

/// Which master is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retire {
    /// This one.
    pub master: StackName,
    /// Whether it is to go for good.
    pub terminate: bool,
    /// For how many days it has to have been stopped by then.
    pub grace: u64,
}

/// Which stack to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Its name.
    pub stack: StackName,
    /// The alternate of its project.
    pub alternate: Option<String>,
    /// Whether to stop once the plan is shown.
    pub plan_only: bool,
}

/// Which stack to bring up to date, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Which.
    pub stack: StackName,
    /// Whether anything is changed.
    pub mode: Mode,
    /// How many nodes at once.
    pub concurrency: Concurrency,
    /// Whether stopped nodes are started.
    pub autostart: bool,
}

/// Which master to bring up to date, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateMaster {
    /// Which; else the one in charge.
    pub master: Option<StackName>,
    /// Whether anything is changed.
    pub mode: Mode,
    /// Whether it is started where it is stopped.
    pub autostart: bool,
    /// Whether every orphaned key may go, however many there are.
    pub yes: bool,
}

/// Whose keys, and what about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// What to do.
    pub task: KeysTask,
    /// Of this master; else of the one in charge.
    pub master: Option<StackName>,
}

/// What to do about keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysTask {
    /// List them.
    List,
    /// List those that nobody needs any more.
    Orphans,
    /// Put the removed key of this minion back, or all.
    Restore(String),
}

/// Which nodes a task is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Which {
    /// Of this stack.
    pub stack: StackName,
    /// Only the node of this number.
    pub number: Option<u64>,
}

/// Which file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// From which node.
    pub which: Which,
    /// Its path there.
    pub path: String,
    /// A folder here, or the file's new name.
    pub to: PathBuf,
    /// Whether a file that is not there is all right.
    pub allow_missing: bool,
    /// Whom to log in as.
    pub user: User,
}

/// Which file to place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// On which node.
    pub which: Which,
    /// The file here.
    pub file: PathBuf,
    /// Its path there; a folder where it ends with `/`.
    pub path: String,
    /// Whether a file that is there may be replaced.
    pub overwrite: bool,
    /// Whom to log in as.
    pub user: User,
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// On which nodes.
    pub which: Which,
    /// The command line.
    pub command: String,
    /// How many at once.
    pub concurrency: Concurrency,
    /// Whom to log in as.
    pub user: User,
}

/// Where to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// On which node.
    pub which: Which,
    /// Whom to log in as.
    pub user: User,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwitchTo {
    /// On.
    On,
    /// Off.
    Off,
}

/// What to switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// Which nodes.
    pub which: Which,
    /// Where to.
    pub to: SwitchTo,
}

/// Whose status to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Only this stack's.
    pub stack: Option<StackName>,
    /// With regard to this master, whatever the project files say.
    pub master: Option<StackName>,
}

/// What to share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The new master.
    pub master: StackName,
    /// The address, where it is not the master's private one.
    pub address: Option<MasterAddress>,
    /// Whether to commit the project files where they are in a git repository.
    pub commit: bool,
}

/// What to re-master, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remaster {
    /// Which stacks.
    pub scope: Scope,
    /// The new master.
    pub master: StackName,
    /// The address, where it is not the master's private one.
    pub address: Option<MasterAddress>,
    /// Only these of them.
    pub limit: Option<Limit>,
    /// How.
    pub how: How,
}

/// How to re-master; what is `None` is for the settings to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct How {
    /// Stopped nodes.
    pub stopped: Option<Stopped>,
    /// The highstate.
    pub highstate: Option<HighstateMode>,
    /// How many stacks are in work at once.
    pub jobs: Option<usize>,
    /// Where it is to stop by itself.
    pub stops: Stops,
    /// Whether to render the highstate against the new master first.
    pub rehearse: bool,
    /// What to do about a stack that does not answer the new master.
    pub unproven: Unproven,
    /// How long to wait for a minion.
    pub patience: Patience,
    /// Whether to go on although the address is not shared.
    pub allow_unshared: bool,
    /// Whether to stop once the plan is shown.
    pub plan_only: bool,
}

/// Where a run is to stop by itself. What is `None` is for the settings to say; `Some(None)` says that it is not to, whatever they say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stops {
    /// The stack without whose success no other one is begun.
    pub canary: Option<Option<StackName>>,
    /// How many may fail.
    pub max_failures: Option<Option<MaxFailures>>,
    /// The stage to ask before.
    pub pause_before: Option<Option<Stage>>,
    /// When stacks may be begun.
    pub window: Option<Option<Window>>,
}

/// What to tell of runs. A run is given by its name, a beginning or an end of it, or as `last`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunTask {
    /// List them.
    List {
        /// And not only the newest.
        all: bool,
    },
    /// Show what was recorded of one.
    Show {
        /// Which.
        run: String,
        /// Every step of this stack.
        stack: Option<StackName>,
    },
    /// Show one while it goes on.
    Watch(String),
    /// Write the page of one.
    Report {
        /// Which.
        run: String,
        /// A folder here, or the page's file.
        to: PathBuf,
    },
}

/// Which run to undo, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// Which, as typed.
    pub run: String,
    /// Only this stack.
    pub stack: Option<StackName>,
    /// How its stacks are moved.
    pub how: How,
}

/// What to do about build vars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildVarsTask {
    /// Show them.
    Read,
    /// Say whether they can be refreshed.
    Valid,
    /// Derive them anew.
    Refresh,
    /// Derive them anew where they are broken.
    Fix,
}

/// What to do about a context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextTask {
    /// Show it.
    Show,
    /// List what was replaced.
    History,
    /// Compare the current one with a replaced one: this, or the last.
    Diff(Option<String>),
    /// Put a replaced one back.
    Restore(String),
}

/// What to do about the fleet's lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockTask {
    /// Show who holds it.
    Status,
    /// Take it from its holder, for this reason.
    Break(String),
}

/// What to do about the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxTask {
    /// Make one up.
    Create(Fleet),
    /// Show what its nodes do.
    Show,
    /// Put it back to how it was created.
    Reset,
    /// Register the public key in this file with its git hosts, as typed.
    DeployKey(PathBuf),
}

/// What the sandbox is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fleet {
    /// A little of everything.
    Small,
    /// This many minions.
    Minions(u64),
    /// What this file describes, as typed: relative to the folder the operator is in.
    File(PathBuf),
}
