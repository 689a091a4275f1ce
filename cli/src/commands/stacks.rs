//! `stacks`: what is out there?

use super::Session;
use crate::{
    exit::{Code, Exit},
    screen::table::Table,
    wiring::Ports,
};
use bldr_core::{
    fleet::{ContextFacts, Fleet, InstanceState, Node, Reading, Stack},
    survey::{Depth, survey},
};
use serde::Serialize;

#[derive(Serialize)]
struct StacksView {
    stacks: Vec<StackView>,
}

#[derive(Serialize)]
struct StackView {
    name: String,
    project: String,
    state: Option<InstanceState>,
    nodes: Vec<NodeView>,
    context: &'static str,
    problem: Option<String>,
    master: Option<String>,
    master_stack: Option<String>,
}

#[derive(Serialize)]
struct NodeView {
    name: String,
    state: InstanceState,
    address: Option<String>,
}

/// Lists the stacks of the region.
///
/// # Errors
/// Where the fleet cannot be seen.
pub async fn list(ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let fleet = survey(&ports.sources(&session.place), |_| Depth::Context).await.map_err(Exit::blind)?;
    for (tag, problem) in &fleet.unnamed {
        session.screen.note(&format!("warning: an instance is tagged '{tag}' and belongs to no stack: {problem}"));
    }
    let view = StacksView { stacks: fleet.stacks.values().map(|stack| view(&fleet, stack)).collect() };
    let text = || {
        let mut table = Table::new(["STACK", "STATE", "NODES", "ADDRESS", "CONTEXT", "MASTER"]);
        for stack in &view.stacks {
            let state = stack.state.map_or_else(|| "no instance".into(), |state| state.to_string());
            let addresses: Vec<&str> = stack.nodes.iter().filter_map(|node| node.address.as_deref()).collect();
            let more = if addresses.len() > 1 { format!(" +{}", addresses.len() - 1) } else { String::new() };
            let address = addresses.first().map(|first| format!("{first}{more}")).unwrap_or_default();
            let master = stack.master_stack.clone().or_else(|| stack.master.clone()).unwrap_or_default();
            table.row([stack.name.clone(), state, stack.nodes.len().to_string(), address, stack.context.into(), master]);
        }
        if table.is_empty() { format!("there are no stacks in {}\n", fleet.region) } else { table.to_string() }
    };
    session.screen.result(text, &view);
    Ok(Code::Done)
}

fn view(fleet: &Fleet, stack: &Stack) -> StackView {
    let master = match &stack.context {
        Reading::Read(ContextFacts::Mastered { masters, .. }) => {
            let named: Vec<&str> = masters.iter().map(|master| &**master).filter(|master| !master.is_empty()).collect();
            (!named.is_empty()).then(|| named.join(", "))
        }
        _ => None,
    };
    let (context, problem) = match &stack.context {
        Reading::Read(_) => ("ok", None),
        Reading::Absent | Reading::NotAsked => ("missing", None),
        Reading::Unreadable(problem) => ("unreadable", Some(problem.to_string())),
    };
    let node =
        |node: &Node| NodeView { name: node.name.to_string(), state: node.state, address: node.reach.as_ref().map(ToString::to_string) };
    StackView {
        name: stack.name.to_string(),
        project: stack.name.project().to_string(),
        state: stack.state(),
        nodes: stack.nodes.iter().map(node).collect(),
        context,
        problem,
        master_stack: master.as_deref().and_then(|address| Some(fleet.master_at(address)?.name.to_string())),
        master,
    }
}
