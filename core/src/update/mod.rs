//! How is a stack brought up to date? Node by node: Salt, who its master is, and the highstate; of a master first its own library.
//!
//! Everything is done by the ports, which leave alone what is right; so an update may be run again after any interruption. The
//! address of the master comes from a node's build vars and from nowhere else: whatever a colleague has written elsewhere meanwhile,
//! an update moves no minion.

mod node;
mod salt;
mod sweep;

use crate::{
    context::Context,
    error::{PortError, PortErrorKind, PortResult},
    event::{Event, LaneNames, Outcome, RunId},
    execute::{RunReport, telling::Telling},
    fleet::{ContextFacts, Fleet, Host, Node},
    name::StackName,
    ports::{Clock, ContextStore, Fence, Journal, Library, Masters, Minions, Operator, Power, SaltSource, Setup, Sleepers},
    ssh_key::SshPublicKey,
    survey::AddressPolicy,
};
use futures::{StreamExt, stream};
use node::NodeUpdate;
pub use salt::{Salt, salt};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
pub use sweep::Sweep;
use sweep::swept;

/// How many nodes of a stack are worked on at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// One; the first that fails ends it.
    #[default]
    Serial,
    /// All.
    Parallel,
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everything that is not as it should be.
    #[default]
    Apply,
    /// Nothing: what would be is said, and the highstate of a minion that is in order is run with `test=True`.
    DryRun,
}

/// What to update, and how.
#[derive(Clone)]
pub struct Update {
    /// Which stack.
    pub stack: StackName,
    /// Whether anything is changed.
    pub mode: Mode,
    /// How many nodes at once.
    pub concurrency: Concurrency,
    /// Whether stopped nodes are started, and left running.
    pub autostart: bool,
    /// Where Salt comes from; `None` where nobody has said.
    pub source: Option<SaltSource>,
    /// What a master works with; for a minion it means nothing.
    pub library: Library,
    /// How long a minion may take to answer its master.
    pub join: Duration,
    /// Whether its machines are new: what a master holds under their ids is of machines before them.
    pub new: bool,
}

/// What an update acts through.
pub struct Ports<'a> {
    /// What a machine needs before its first highstate.
    pub setup: &'a dyn Setup,
    /// The nodes.
    pub minions: &'a dyn Minions,
    /// The masters.
    pub masters: &'a dyn Masters,
    /// Their mains switches.
    pub power: &'a dyn Power,
    /// What is remembered of stopped ones.
    pub sleepers: &'a dyn Sleepers,
    /// The contexts.
    pub contexts: &'a dyn ContextStore,
    /// What keeps it from going on once its lock is lost.
    pub fence: &'a dyn Fence,
    /// The record.
    pub journal: &'a dyn Journal,
    /// The person watching.
    pub operator: &'a dyn Operator,
    /// Time.
    pub clock: &'a dyn Clock,
}

impl<'a> Ports<'a> {
    pub(crate) fn telling(&self, run: &'a Run) -> Telling<'a> {
        Telling::new(&run.id, &run.cloud, self.fence, self.journal, self.operator, self.clock)
    }
}

/// What is to be known of a run beside what it does.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// `sandbox` or `aws`.
    pub cloud: String,
    /// The command line, as typed.
    pub command: String,
    /// Which address a started node is connected to by.
    pub addresses: AddressPolicy,
}

/// A master that may not read its private repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedOut {
    /// Which.
    pub master: StackName,
    /// The repository.
    pub repository: String,
    /// Why, in git's words.
    pub why: String,
    /// The key that has to be registered there.
    pub key: SshPublicKey,
}

/// How an update ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Updated {
    /// As every run does.
    pub report: RunReport,
    /// What is for a person to do first, where that is so.
    pub locked_out: Option<LockedOut>,
}

/// Updates a stack of a listed fleet; of a master also the keys it holds, where that is asked for and all else went well. A dry run
/// says which of those would go.
pub async fn update(update: &Update, sweep: Option<&Sweep<'_>>, fleet: &Fleet, run: &Run, ports: &Ports<'_>) -> Updated {
    let telling = ports.telling(run);
    let begun = telling.now();
    telling.tell(run.started(&update.stack)).await;
    telling.tell(Event::StackStarted { stack: update.stack.clone(), was: None }).await;
    let work = Work::new(update, fleet, &run.addresses, ports, &telling);
    let nodes: Vec<_> = fleet.stacks.get(&update.stack).into_iter().flat_map(|stack| &stack.nodes).map(|node| (node, None)).collect();
    let mut end = work.done(&nodes).await;
    if let (Some(sweep), End::Done(_), Some(node)) = (sweep, &end, nodes.first().map(|(node, _)| *node)) {
        end = match swept(sweep, update.mode, node, &telling, ports).await {
            Ok(due) => end.and(due),
            Err(end) => end,
        };
    }
    let (outcome, reason) = end.told(match update.mode {
        Mode::Apply => Outcome::Updated,
        Mode::DryRun => Outcome::Skipped,
    });
    let locked_out = work.locked_out();
    telling.finish(&update.stack, outcome, reason, telling.millis_since(begun)).await;
    Updated { report: telling.close(begun).await, locked_out }
}

impl Run {
    /// That a run begins which works on one stack.
    pub(crate) fn started(&self, stack: &StackName) -> Event {
        Event::RunStarted {
            run: self.id.clone(),
            cloud: self.cloud.clone(),
            master: None,
            address: None,
            command: self.command.clone(),
            lanes: vec![LaneNames { project: stack.project(), stacks: vec![stack.clone()] }],
            allow_unshared: false,
            untouched: [].into(),
        }
    }
}

/// How far it got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// To its end. What is to be said about it, if anything.
    Done(Option<String>),
    /// It takes orders from nobody: there is nothing to bring up to date.
    Masterless,
    /// To here.
    Failed(String),
    /// The operator asked to stop.
    Interrupted,
}

impl End {
    /// The same end, with more to be said about it.
    fn and(self, more: Option<String>) -> Self {
        match self {
            Self::Done(said) if more.is_some() => Self::Done(Some(said.into_iter().chain(more).collect::<Vec<_>>().join("; "))),
            end => end,
        }
    }

    /// As an outcome, where that is what its end is called.
    pub(crate) fn told(self, done: Outcome) -> (Outcome, Option<String>) {
        match self {
            Self::Done(reason) => (done, reason),
            Self::Masterless => {
                let outcome = if done == Outcome::Updated { Outcome::Skipped } else { done };
                (outcome, Some("masterless: it takes orders from nobody, and its highstate is its own".into()))
            }
            Self::Failed(reason) => (Outcome::Failed, Some(reason)),
            Self::Interrupted => (Outcome::Interrupted, Some("the operator asked to stop; run the same again to go on".into())),
        }
    }
}

/// An update on its way: that of a run of its own, or the last part of a launch.
pub(crate) struct Work<'a> {
    update: &'a Update,
    fleet: &'a Fleet,
    addresses: &'a AddressPolicy,
    ports: &'a Ports<'a>,
    telling: &'a Telling<'a>,
    locked_out: Mutex<Option<LockedOut>>,
}

impl<'a> Work<'a> {
    pub(crate) fn new(
        update: &'a Update,
        fleet: &'a Fleet,
        addresses: &'a AddressPolicy,
        ports: &'a Ports<'a>,
        telling: &'a Telling<'a>,
    ) -> Self {
        Self { update, fleet, addresses, ports, telling, locked_out: Mutex::default() }
    }

    /// What a person has to do first, where that is so.
    pub(crate) fn locked_out(&self) -> Option<LockedOut> {
        self.locked_out.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Updates these nodes; a new one comes with where it is.
    pub(crate) async fn done(&self, nodes: &[(&'a Node, Option<Host>)]) -> End {
        let wanted = match self.wanted().await {
            Ok(Some(wanted)) => wanted.salt,
            Ok(None) => return End::Masterless,
            Err(error) => return End::Failed(format!("{error} (nothing was changed)")),
        };
        let one = async |(node, host): &(&'a Node, Option<Host>)| {
            let mut updating = NodeUpdate::new(self, node, host.clone(), wanted.as_deref());
            let end = updating.walk().await;
            updating.release().await;
            end
        };
        let mut ends = Vec::new();
        match self.update.concurrency {
            Concurrency::Parallel => {
                let all = stream::iter(nodes).map(one).buffered(64);
                ends = all.collect().await;
            }
            Concurrency::Serial => {
                for node in nodes {
                    let end = one(node).await;
                    let over = !matches!(end, End::Done(_));
                    ends.push(end);
                    if over {
                        break;
                    }
                }
            }
        }
        together(ends)
    }

    /// What the stack's context asks for; `None` where that is masterless.
    async fn wanted(&self) -> PortResult<Option<Wanted>> {
        let stack = &self.update.stack;
        let document = self.ports.contexts.load(stack).await.map_err(|error| advised(stack, error))?;
        let malformed = |error| advised(stack, PortError::new(PortErrorKind::Malformed, stack.as_str(), format!("{error}")));
        let context = Context::parse(&document.text).map_err(malformed)?;
        Ok(match context.facts().map_err(malformed)? {
            ContextFacts::Masterless => None,
            _ => Some(Wanted { salt: context.salt() }),
        })
    }
}

/// The error with what to type where a context is not what it should be, unless it says that itself.
pub(crate) fn advised(stack: &StackName, error: PortError) -> PortError {
    let unfit = matches!(error.kind, PortErrorKind::NotFound | PortErrorKind::Malformed | PortErrorKind::Conflict);
    if error.advice.is_some() || !unfit {
        return error;
    }
    let advice = format!("`bldr context.history:{stack}` lists earlier contexts, `bldr context.restore:{stack},REVISION` brings one back");
    error.advise(advice)
}

/// What a context asks for.
struct Wanted {
    /// The version of Salt, where it says one.
    salt: Option<String>,
}

/// What the ends of all nodes come to for their stack.
fn together(ends: Vec<End>) -> End {
    let (mut failed, mut said, mut interrupted) = (Vec::new(), Vec::<String>::new(), false);
    for end in ends {
        match end {
            End::Done(note) => said.extend(note.filter(|note| !said.contains(note))),
            End::Failed(reason) => failed.push(reason),
            End::Interrupted => interrupted = true,
            End::Masterless => {}
        }
    }
    if !failed.is_empty() {
        End::Failed(failed.join("; "))
    } else if interrupted {
        End::Interrupted
    } else {
        End::Done((!said.is_empty()).then(|| said.join("; ")))
    }
}
