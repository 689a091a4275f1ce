//! `master.status`: where does each node stand between its masters?

use super::{Session, named, remaster_all::refused_or};
use crate::{
    exit::{Code, Exit},
    request::Status,
    screen::table::Table,
    wiring::Ports,
};
use bldr_core::{
    fleet::{Fleet, Reading},
    name::StackName,
    status::{NodeStatus, Verdict, meant, of_stack},
    survey::{self, Depth, MasterRefusal},
};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// How long a master waits for the answers of its minions.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct StatusView<'a> {
    nodes: &'a [NodeStatus],
    verdicts: BTreeMap<Verdict, usize>,
    /// Masters that could not be asked, and why: what depends on them is not known.
    unasked: BTreeMap<StackName, String>,
}

/// Shows it, for the whole fleet or one stack, in one pass.
///
/// # Errors
/// Where the fleet cannot be seen; an unknown stack or master.
pub async fn show(wanted: &Status, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let sources = ports.sources(&session.place);
    let (listed, projects) = futures::join!(survey::list(&sources), ports.stores.shared.projects());
    let (mut fleet, projects) = (listed.map_err(Exit::blind)?, projects?);
    for name in [&wanted.stack, &wanted.master].into_iter().flatten() {
        named::stack(&fleet, name)?;
    }
    let in_scope = |stack: &StackName| wanted.stack.as_ref().is_none_or(|only| only == stack);
    if let Some(master) = wanted.master.as_ref().filter(|master| !master.is_master()) {
        return refused_or(Err(MasterRefusal::NotAMaster(master.clone())), &fleet);
    }
    let depth = |stack: &StackName| if stack.is_master() || in_scope(stack) { Depth::Nodes } else { Depth::Listed };
    survey::deepen(&mut fleet, &sources, None, depth).await;
    let answers = survey::answers(&fleet, &*ports.masters, ANSWERS_WITHIN).await;
    let unasked = unasked(&fleet, &answers);
    for (master, why) in &unasked {
        session.screen.note(&format!("warning: {master} could not be asked: {why}"));
    }
    let stacks = fleet.stacks.values().filter(|stack| !stack.name.is_master() && in_scope(&stack.name));
    let rows: Vec<_> = stacks
        .flat_map(|stack| {
            let meant = || meant(&fleet, &projects, &stack.name, stack.alternate(), session.place.settings.master.as_ref()).cloned();
            let master = wanted.master.clone().or_else(meant);
            of_stack(&fleet, stack, master.as_ref(), &answers)
        })
        .collect();
    let mut verdicts = BTreeMap::new();
    rows.iter().for_each(|row| *verdicts.entry(row.verdict).or_default() += 1);
    let view = StatusView { nodes: &rows, verdicts, unasked };
    session.screen.result(|| text(&view), &view);
    Ok(Code::Done)
}

fn unasked(fleet: &Fleet, answers: &BTreeMap<StackName, std::collections::BTreeSet<String>>) -> BTreeMap<StackName, String> {
    let masters = fleet.masters().into_iter().filter(|master| !answers.contains_key(&master.name));
    let why = masters.map(|master| {
        let why = match fleet.standings.get(&master.name) {
            Some(Reading::Unreadable(problem)) => problem.to_string(),
            Some(Reading::Read(standing)) => standing.silent.clone().unwrap_or_else(|| "its salt-master gave no answer".into()),
            Some(Reading::Absent) => "no salt-master has run there yet".into(),
            _ => master.state().map_or_else(|| "it has no instance".into(), |state| format!("it is {state}")),
        };
        (master.name.clone(), why)
    });
    why.collect()
}

/// Masters by their instance ids, which is what tells them apart: a row has six of them.
fn text(view: &StatusView<'_>) -> String {
    let short = |name: &str| name.strip_prefix("master-server--").unwrap_or(name).to_owned();
    let mut table =
        Table::new(["NODE", "CONTEXT", "BUILD VARS", "CONFIGURATION", "TRUSTED KEY", "CONNECTED", "ANSWERS", "VERDICT", "NOTE"]);
    for row in view.nodes {
        let cell = |place: &Option<String>| place.as_deref().map_or_else(|| "-".into(), short);
        let list = |names: &[String]| {
            if names.is_empty() { "-".into() } else { names.iter().map(|name| short(name)).collect::<Vec<_>>().join(",") }
        };
        table.row([
            row.node.to_string(),
            list(&row.context),
            cell(&row.build_vars),
            cell(&row.configuration),
            cell(&row.trusted_key),
            list(&row.connection),
            list(&row.answers.iter().map(ToString::to_string).collect::<Vec<_>>()),
            row.verdict.to_string(),
            row.note.clone().unwrap_or_default(),
        ]);
    }
    if table.is_empty() {
        return "there are no nodes\n".into();
    }
    let counts: Vec<_> = view.verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    format!("{table}{}\n{}", counts.join(", "), meant_for(view.nodes))
}

/// Whom the verdicts are about. Projects whose files name different masters are the exception.
fn meant_for(nodes: &[NodeStatus]) -> String {
    let mut masters: BTreeMap<&StackName, usize> = BTreeMap::new();
    let commanded = nodes.iter().filter(|row| row.verdict != Verdict::Masterless);
    commanded.filter_map(|row| row.master.as_ref()).for_each(|master| *masters.entry(master).or_default() += 1);
    let names: Vec<_> = match masters.len() {
        0 => return String::new(),
        1 => masters.keys().map(ToString::to_string).collect(),
        _ => masters.iter().map(|(master, count)| format!("{master} ({count})")).collect(),
    };
    format!("to be on: {}\n", names.join(", "))
}
