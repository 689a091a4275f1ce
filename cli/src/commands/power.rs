//! `start`, `stop`: how is a stack switched on and off?

use super::{Session, fleet_lock::Held};
use crate::{
    exit::{Code, Exit},
    request::{Switch, SwitchTo},
    screen::table::Table,
    wiring::Ports,
};
use bldr_core::{
    error::PortResult,
    fleet::{ContextFacts, Fleet, Instance, InstanceState, Node, Reading},
    name::{NodeName, StackName},
    ports::Fence,
    survey::{Depth, survey},
};
use futures::{StreamExt, stream};
use serde::Serialize;

#[derive(Serialize)]
struct NodeView {
    node: NodeName,
    state: InstanceState,
    address: Option<String>,
    changed: bool,
    problem: Option<String>,
}

#[derive(Serialize)]
struct SwitchView<'a> {
    stack: &'a StackName,
    nodes: &'a [NodeView],
}

/// Switches the nodes, side by side, and waits until they are on or off.
///
/// # Errors
/// Unknown stacks and nodes; a master that minions are on, where nobody says that it shall be stopped all the same. A node
/// that could not be switched is in the result and in the code.
pub async fn switch(wanted: &Switch, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let held = Held::take(&ports.stores, session).await?;
    held.during(session.screen.clone(), under_the_lock(wanted, ports, session)).await
}

async fn under_the_lock(wanted: &Switch, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let nodes = wanted.which.listed(ports, session).await?;
    if wanted.to == SwitchTo::Off && wanted.which.stack.is_master() {
        let fleet = survey(&ports.sources(&session.place), |_| Depth::Context).await.map_err(Exit::blind)?;
        let (minions, unread) = on_it(&fleet, &wanted.which.stack);
        if minions + unread > 0 {
            let master = &wanted.which.stack;
            let them = if minions == 1 { "the context of 1 stack names".into() } else { format!("the contexts of {minions} stacks name") };
            let unread = if unread == 0 { String::new() } else { format!(", and {unread} cannot be read") };
            session.terminal.confirm(&format!("{them} {master} as their master{unread}. Stop it?")).await?;
            ports.stores.gate.affirmed().await?;
        }
    }
    Ok(switched(wanted, &nodes, ports, session).await)
}

/// How many stacks' contexts name this master, and how many cannot be read.
fn on_it(fleet: &Fleet, master: &StackName) -> (usize, usize) {
    let names_it = |address: &str| fleet.master_at(address).is_some_and(|stack| stack.name == *master);
    let contexts = || fleet.stacks.values().filter(|stack| stack.name != *master).map(|stack| &stack.context);
    let named = contexts()
        .filter_map(Reading::ok)
        .filter(|facts| matches!(facts, ContextFacts::Mastered { masters, .. } if masters.iter().any(|address| names_it(address))));
    (named.count(), contexts().filter(|context| matches!(context, Reading::Unreadable(_))).count())
}

async fn switched(wanted: &Switch, nodes: &[Node], ports: &Ports, session: &Session) -> Code {
    let switching = stream::iter(nodes).map(|node| one(node, wanted.to, ports));
    let views: Vec<NodeView> = switching.buffered(8).collect().await;
    let text = || {
        let mut table = Table::new(["NODE", "STATE", "ADDRESS", "CHANGED", "PROBLEM"]);
        for view in &views {
            let changed = if view.changed { "yes" } else { "no" };
            let address = view.address.clone().unwrap_or_else(|| "-".into());
            table.row([view.node.to_string(), view.state.to_string(), address, changed.into(), view.problem.clone().unwrap_or_default()]);
        }
        table.to_string()
    };
    let code = if views.iter().all(|view| view.problem.is_none()) { Code::Done } else { Code::Failed };
    session.screen.result(text, &SwitchView { stack: &wanted.which.stack, nodes: &views });
    code
}

async fn one(node: &Node, to: SwitchTo, ports: &Ports) -> NodeView {
    let ended = changed(node, to, ports).await;
    let (state, address) = match &ended {
        Ok(instance) => (instance.state, instance.public.as_ref().or(instance.private.as_ref()).map(ToString::to_string)),
        Err(_) => (node.state, node.reach.as_ref().map(ToString::to_string)),
    };
    NodeView {
        node: node.name.clone(),
        state,
        address,
        changed: ended.is_ok() && state != node.state,
        problem: ended.err().map(|error| error.to_string()),
    }
}

async fn changed(node: &Node, to: SwitchTo, ports: &Ports) -> PortResult<Instance> {
    ports.stores.gate.standing()?;
    let instance = match to {
        SwitchTo::On => ports.power.start(&node.id).await?,
        SwitchTo::Off => ports.power.stop(&node.id).await?,
    };
    // What was remembered of it is over: from now on it runs, or sleeps, because an operator wants it so.
    ports.stores.sleepers.forget(&node.name).await?;
    Ok(instance)
}
