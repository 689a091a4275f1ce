//! What would a launch make? Everything there is to decide about it, from the project files and from what is there already.

use super::{Launch, LaunchError, MachineSpec, OpenPort};
use crate::{
    build_vars::BuildVars,
    context::{Context, ContextError, Rewrite},
    fleet::{Fleet, InstanceState},
    json::Value,
    name::StackName,
    ports::{Begun, Belongings, Document, Revision},
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
    #[error("its context: {0}")]
    Context(#[from] ContextError),
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
    /// Under which revision that is stored, where it is.
    pub stored: Option<Revision>,
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
        let of = |state| !matches!(state, InstanceState::ShuttingDown | InstanceState::Terminated);
        self.found.instances.iter().any(|instance| of(instance.state) && instance.node_tag.as_deref() == Some(&number))
    }
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
    if let Some(begun) = &there.begun
        && begun.alternate != wanted
    {
        let named = |alternate: &Option<String>| alternate.as_ref().map_or("no alternate".into(), |name| format!("the alternate '{name}'"));
        return Err(Refusal::OtherAlternate { was: named(&begun.alternate), wanted: named(&wanted) });
    }
    if launch.is_unique()? {
        let alternate = |context: &Context| context.as_object().get("alt-config").and_then(Value::as_string);
        let own = alternate(&fresh);
        if let Some((by, _)) = there.siblings.iter().find(|(name, context)| name != stack && alternate(context) == own) {
            return Err(Refusal::Taken { alternate: own.unwrap_or_default(), by: by.clone() });
        }
    }
    let own: Vec<_> = there.belongings.instances.iter().map(|instance| &instance.id).collect();
    let foreign = fleet.stacks.get(stack).into_iter().flat_map(|stack| &stack.nodes).filter(|node| !own.contains(&&node.id));
    let foreign: Vec<String> = foreign.map(|node| node.id.to_string()).collect();
    if !foreign.is_empty() {
        return Err(Refusal::Foreign(stack.clone(), foreign.join(", ")));
    }
    let stored = there.context.as_ref().map(|document| Context::parse(&document.text)).transpose()?;
    let plan = LaunchPlan {
        stack: stack.clone(),
        alternate: wanted,
        stored: there.context.map(|document| document.revision),
        context: stored.unwrap_or(fresh),
        machines,
        open,
        found: there.belongings,
    };
    if there.begun.is_none() {
        if plan.machines.keys().all(|node| plan.has(*node)) {
            return Err(Refusal::Exists(stack.clone()));
        }
        if plan.stored.is_some() && plan.found.is_empty() {
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
