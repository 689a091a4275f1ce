//! `buildvars.read`, `.valid`, `.refresh`, `.fix`: what do the nodes of a stack know of it, and is that so?

use super::{Session, fleet_lock::Held, named, nodes::host};
use crate::{
    exit::{Code, Exit},
    request::{BuildVarsTask, Which},
    screen::{embedded::embedded, table::Table},
    wiring::Ports,
};
use bldr_core::{
    build_vars::{BuildVars, BuildVarsError},
    context::Context,
    error::{PortError, PortErrorKind},
    fleet::Node,
    json::Value,
    name::{NodeName, StackName},
    ports::Fence,
};
use futures::{StreamExt, stream};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
struct NodesView<'a, T> {
    stack: &'a StackName,
    nodes: Vec<T>,
}

#[derive(Serialize)]
struct ReadView {
    node: NodeName,
    #[serde(skip_serializing_if = "Option::is_none")]
    build_vars: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    pretty: String,
}

#[derive(Serialize)]
struct ValidView {
    node: NodeName,
    valid: bool,
    problem: Option<String>,
}

#[derive(Serialize)]
struct ChangeView {
    node: NodeName,
    changed: bool,
    problem: Option<String>,
}

/// Does it.
///
/// # Errors
/// Unknown stacks, stacks without nodes, and a context that cannot be read. A node that cannot be asked is in the result, and
/// in the code.
pub async fn run(stack: &StackName, task: BuildVarsTask, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let which = Which { stack: stack.clone(), number: None };
    match task {
        BuildVarsTask::Read => Ok(read(stack, &which.listed(ports, session).await?, ports, session).await),
        BuildVarsTask::Valid => Ok(valid(stack, &which.listed(ports, session).await?, ports, session).await),
        BuildVarsTask::Refresh | BuildVarsTask::Fix => {
            let held = Held::take(&ports.stores, session).await?;
            held.during(session.screen.clone(), rewrite(&which, task, ports, session)).await
        }
    }
}

async fn read(stack: &StackName, nodes: &[Node], ports: &Ports, session: &Session) -> Code {
    let views = each(nodes, ports, async |node, encoded| {
        let vars = encoded.and_then(|encoded| decoded(encoded.as_deref()).map_err(|error| error.to_string()));
        let value = vars.as_ref().ok().map(|vars| Value::Object(vars.as_object().clone()));
        let pretty = value.as_ref().map(Value::pretty).unwrap_or_default();
        ReadView { node: node.name.clone(), build_vars: value.as_ref().map(embedded), error: vars.err(), pretty }
    })
    .await;
    let code = if views.iter().all(|view| view.error.is_none()) { Code::Done } else { Code::Failed };
    for view in &views {
        view.error.iter().for_each(|error| session.screen.note(&format!("{}: {error}", view.node)));
    }
    let text = || {
        let read = views.iter().filter(|view| view.error.is_none());
        read.map(|view| if nodes.len() > 1 { format!("# {}\n{}\n", view.node, view.pretty) } else { format!("{}\n", view.pretty) })
            .collect()
    };
    session.screen.result(text, &NodesView { stack, nodes: views.iter().collect() });
    code
}

async fn valid(stack: &StackName, nodes: &[Node], ports: &Ports, session: &Session) -> Code {
    let views = each(nodes, ports, async |node, encoded| {
        let checked = encoded.and_then(|encoded| checked(encoded.as_deref()).map_err(|error| error.to_string()));
        ValidView { node: node.name.clone(), valid: checked.is_ok(), problem: checked.err() }
    })
    .await;
    let text = || {
        let mut table = Table::new(["NODE", "VALID", "PROBLEM"]);
        for view in &views {
            let valid = if view.valid { "yes" } else { "no" };
            table.row([view.node.to_string(), valid.into(), view.problem.clone().unwrap_or_default()]);
        }
        table.to_string()
    };
    session.screen.result(text, &NodesView { stack, nodes: views.iter().collect() });
    if views.iter().all(|view| view.valid) { Code::Done } else { Code::Failed }
}

async fn rewrite(which: &Which, task: BuildVarsTask, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let (stack, nodes) = (&which.stack, &which.listed(ports, session).await?);
    let document = named::context(&*ports.stores.contexts, stack).await?;
    let context = Context::parse(&document.text).map_err(|error| Exit::refused(format!("{stack}: {error}")).line("nothing was changed"))?;
    let context = &context;
    let views = each(nodes, ports, async |node, encoded| {
        let wanted = encoded.and_then(|encoded| match task {
            BuildVarsTask::Fix => fixed(context, node, encoded.as_deref()),
            _ => refreshed(context, node, encoded.as_deref()),
        });
        let ended = match wanted {
            Ok(Some(vars)) => write(node, &vars, ports).await.map(|()| true).map_err(|error| error.to_string()),
            Ok(None) => Ok(false),
            Err(problem) => Err(problem),
        };
        ChangeView { node: node.name.clone(), changed: ended == Ok(true), problem: ended.err() }
    })
    .await;
    let text = || {
        let mut table = Table::new(["NODE", "CHANGED", "PROBLEM"]);
        for view in &views {
            let changed = if view.changed { "yes" } else { "no" };
            table.row([view.node.to_string(), changed.into(), view.problem.clone().unwrap_or_default()]);
        }
        table.to_string()
    };
    session.screen.result(text, &NodesView { stack, nodes: views.iter().collect() });
    Ok(if views.iter().all(|view| view.problem.is_none()) { Code::Done } else { Code::Failed })
}

/// Does the same with the build vars of each node, a few nodes at a time; in order of the nodes.
async fn each<'a, T>(nodes: &'a [Node], ports: &'a Ports, work: impl AsyncFn(&'a Node, Result<Option<String>, String>) -> T) -> Vec<T> {
    let work = &work;
    let reading = stream::iter(nodes).map(|node| async move {
        let encoded = match host(node) {
            Ok(host) => ports.minions.read(&host).await.map(|files| files.build_vars).map_err(|error| error.to_string()),
            Err(problem) => Err(problem),
        };
        let made = work(node, encoded).await;
        if let Ok(host) = host(node) {
            ports.minions.release(&host).await;
        }
        made
    });
    reading.buffered(8).collect().await
}

async fn write(node: &Node, vars: &str, ports: &Ports) -> Result<(), PortError> {
    let nowhere = |problem| PortError::new(PortErrorKind::Unreachable, node.name.to_string(), problem);
    ports.stores.gate.standing()?;
    ports.minions.write_build_vars(&host(node).map_err(nowhere)?, vars).await
}

fn decoded(encoded: Option<&str>) -> Result<BuildVars, BuildVarsError> {
    encoded.ok_or(BuildVarsError::Missing).and_then(BuildVars::decode)
}

fn checked(encoded: Option<&str>) -> Result<(), BuildVarsError> {
    decoded(encoded).and_then(|vars| vars.check())
}

/// What to write, where the build vars are not what the context makes of them.
fn refreshed(context: &Context, node: &Node, encoded: Option<&str>) -> Result<Option<String>, String> {
    let fresh = BuildVars::brought_up_to_date(encoded, context, &node.name);
    fresh.map_err(|error| format!("{error}; 'buildvars.fix:{}' writes them anew", node.name.stack()))
}

/// What to write, where the build vars are broken. Some contexts lack the name of their stack, and every node needs it.
fn fixed(context: &Context, node: &Node, encoded: Option<&str>) -> Result<Option<String>, String> {
    if checked(encoded).is_ok() {
        return Ok(None);
    }
    let mut named = context.as_object().clone();
    named.set("stackname", node.name.stack().as_str());
    let context = Context::parse(&Value::Object(named).to_string()).map_err(|error| error.to_string())?;
    let vars = BuildVars::derived(&context, &node.name);
    let unfit = |error: BuildVarsError| format!("what the context makes of them is no good either: {error}");
    vars.check().map(|()| Some(vars.encode())).map_err(unfit)
}
