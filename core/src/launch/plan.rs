//! What would a launch make? Everything there is to decide about it, from the project files and from what is there already.

use super::{Launch, LaunchError, MachineSpec, OpenPort};
use crate::{
    build_vars::BuildVars,
    context::{Context, ContextError, Rewrite},
    fleet::{Fleet, InstanceState},
    name::StackName,
    ports::{Begun, Belongings, Document, Expected},
};
use std::collections::BTreeMap;

/// The most that EC2 takes as user data.
const MOST_USER_DATA: usize = 16 << 10;

/// Why a stack is not launched. Nothing has been made.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What the project files say makes no stack.
    #[error(transparent)]
    Project(#[from] LaunchError),
    /// It is there, with all its machines.
    #[error("there is a {0} already, with all its machines")]
    Exists(StackName),
    /// It has a context and nothing else here.
    #[error("there is a context of {stack} already, and nothing of it in {region}: it may be in another region")]
    Elsewhere {
        /// The stack.
        stack: StackName,
        /// The region that was looked at.
        region: String,
    },
    /// It has machines that bldr did not make.
    #[error("there are machines of {0} that bldr did not make: {1}")]
    Foreign(StackName, String),
    /// Another stack has its alternate, which only one may have.
    #[error("the alternate '{alternate}' is unique, and {by} has it")]
    Taken {
        /// The alternate.
        alternate: String,
        /// The stack that has it.
        by: StackName,
    },
    /// It was begun with another alternate.
    #[error("its launch was begun with {was}, and not with {wanted}")]
    OtherAlternate {
        /// What it was begun with.
        was: String,
        /// What is asked for now.
        wanted: String,
    },
    /// What is stored cannot be read.
    #[error("{stack}: {problem}")]
    Context {
        /// The stack.
        stack: StackName,
        /// Why not.
        problem: ContextError,
    },
    /// Its context names no master, or several.
    #[error("{stack}: its context names {masters} masters, and has to name one")]
    Masters {
        /// The stack.
        stack: StackName,
        /// How many.
        masters: usize,
    },
    /// Nobody is at the address of its master.
    #[error("the project files name {address} as the master's address, and no master of {region} has it")]
    NoMaster {
        /// The address.
        address: String,
        /// The region that was looked at.
        region: String,
    },
    /// Its master is not running.
    #[error("its master {0} does not run")]
    MasterDown(StackName),
    /// Its master runs, and takes in no minion.
    #[error("its master {master}: {why}")]
    MasterSilent {
        /// The master.
        master: StackName,
        /// Why, as half a sentence.
        why: String,
    },
    /// No Salt is fit for it.
    #[error("{stack}: {why}")]
    Salt {
        /// The stack.
        stack: StackName,
        /// Why, as half a sentence.
        why: String,
    },
}

/// What is there already of a stack that is to be launched.
#[derive(Debug, Clone, Default)]
pub struct There {
    /// Its context.
    pub context: Option<Document>,
    /// The launch of it that was cut short.
    pub begun: Option<Begun>,
    /// What it has at EC2.
    pub belongings: Belongings,
    /// The contexts of the other stacks of its project, where one of them may have its alternate.
    pub siblings: Vec<(StackName, Context)>,
}

/// What a launch makes.
#[derive(Debug, Clone)]
pub struct LaunchPlan {
    /// The stack.
    pub stack: StackName,
    /// The alternate that was asked for.
    pub alternate: Option<String>,
    /// Its context.
    pub context: Context,
    /// In whose place it has to be saved; `None` where it is stored already.
    pub save: Option<Expected>,
    /// A machine for each of its nodes, by number.
    pub machines: BTreeMap<u64, MachineSpec>,
    /// What is open in its security group.
    pub open: Vec<OpenPort>,
    /// What is there already.
    pub found: Belongings,
}

impl LaunchPlan {
    /// Whether a node's machine is there.
    pub fn has(&self, node: u64) -> bool {
        let number = node.to_string();
        self.found.instances.iter().any(|instance| is_there(instance.state) && instance.node_tag.as_deref() == Some(&number))
    }

    /// Whether every node's machine is there.
    pub fn has_all(&self) -> bool {
        self.machines.keys().all(|node| self.has(*node))
    }
}

fn is_there(state: InstanceState) -> bool {
    !matches!(state, InstanceState::ShuttingDown | InstanceState::Terminated)
}

/// Plans the launch of a stack, or what is left of one that was cut short.
///
/// # Errors
/// Why there will be none.
pub fn plan(launch: &Launch<'_>, fleet: &Fleet, there: There) -> Result<LaunchPlan, Refusal> {
    let (stack, wanted) = (launch.stack, launch.alternate.map(Into::into));
    let nodes = launch.nodes()?;
    let machines = nodes.iter().map(|node| Ok((*node, launch.machine(*node)?))).collect::<Result<BTreeMap<_, _>, LaunchError>>()?;
    let open = launch.ports()?;
    let fresh = launch.context()?;
    // Where nothing came of it, it is as if it had not begun.
    let begun = there.begun.as_ref().filter(|_| there.context.is_some() || !there.belongings.is_empty());
    let unfinished = begun.is_some();
    if let Some(begun) = begun
        && begun.alternate != wanted
    {
        let named = |alternate: &Option<String>| alternate.as_ref().map_or("no alternate".into(), |name| format!("the alternate '{name}'"));
        return Err(Refusal::OtherAlternate { was: named(&begun.alternate), wanted: named(&wanted) });
    }
    if launch.is_unique()? {
        let own = fresh.alternate();
        // Older contexts do not say it: those stacks have the one that they are named after.
        let named = |name: &StackName, context: &Context| context.alternate().unwrap_or_else(|| name.instance_str().into());
        let has_it = |(name, context): &&(StackName, Context)| name != stack && Some(named(name, context)) == own;
        if let Some((by, _)) = there.siblings.iter().find(has_it) {
            return Err(Refusal::Taken { alternate: own.unwrap_or_default(), by: by.clone() });
        }
    }
    let own: Vec<_> = there.belongings.instances.iter().map(|instance| &instance.id).collect();
    let foreign = fleet.stacks.get(stack).into_iter().flat_map(|stack| &stack.nodes).filter(|node| !own.contains(&&node.id));
    let foreign: Vec<String> = foreign.map(|node| node.id.to_string()).collect();
    if !foreign.is_empty() {
        return Err(Refusal::Foreign(stack.clone(), foreign.join(", ")));
    }
    // What no machine has been made from may be another one by now: whoever mends the project file and goes on means the mended one.
    let replaced = unfinished && !there.belongings.instances.iter().any(|instance| is_there(instance.state));
    let (context, save) = match there.context {
        None => (fresh.clone(), Some(Expected::Absent)),
        Some(stored) if replaced && stored.text != fresh.to_text() => (fresh.clone(), Some(Expected::Revision(stored.revision))),
        Some(stored) => (Context::parse(&stored.text).map_err(|problem| Refusal::Context { stack: stack.clone(), problem })?, None),
    };
    let stored = save != Some(Expected::Absent);
    let plan = LaunchPlan { stack: stack.clone(), alternate: wanted, context, save, machines, open, found: there.belongings };
    if !unfinished {
        if stored && !plan.found.is_empty() && launch.alternate.is_some() && plan.context.alternate() != fresh.alternate() {
            let shown = |name: Option<String>| name.map_or("no alternate".into(), |name| format!("the alternate '{name}'"));
            return Err(Refusal::OtherAlternate { was: shown(plan.context.alternate()), wanted: shown(plan.alternate.clone()) });
        }
        if plan.has_all() {
            return Err(Refusal::Exists(stack.clone()));
        }
        if stored && plan.found.is_empty() {
            return Err(Refusal::Elsewhere { stack: stack.clone(), region: fleet.region.clone() });
        }
    }
    Ok(plan)
}

/// What a machine is told at its first start: its build vars, in the one place where formulas look for them. Nothing where they
/// are more than EC2 takes.
pub fn user_data(context: &Context, node: &crate::name::NodeName) -> String {
    let vars = BuildVars::derived(context, node).encode();
    let script = format!("#!/bin/sh\nset -eu\numask 022\nprintf %s '{vars}' >/etc/build-vars.json.b64\n");
    if script.len() <= MOST_USER_DATA { script } else { String::new() }
}

/// A master's context with its own address: it takes its orders from itself.
///
/// # Errors
/// A context that cannot be rewritten.
pub fn its_own_master(context: &Context, own: &crate::address::MasterAddress) -> Result<Option<Context>, ContextError> {
    match context.repointed_to(own)? {
        Rewrite::Context(rewritten) if rewritten != *context => Ok(Some(rewritten)),
        _ => Ok(None),
    }
}
