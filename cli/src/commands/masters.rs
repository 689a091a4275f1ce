//! `master.list`: which masters are there, and which is in charge?

use super::Session;
use crate::{
    exit::{Code, Exit},
    screen::{
        line::{age, rfc3339},
        table::Table,
    },
    wiring::Ports,
};
use bldr_core::{
    fleet::{ContextFacts, Fleet, InstanceState, Reading, Stack, Timestamp},
    name::StackName,
    project::Projects,
    status::named_in_files,
    survey::{Depth, survey},
};
use serde::Serialize;

#[derive(Serialize)]
struct MastersView {
    region: String,
    masters: Vec<MasterView>,
}

#[derive(Serialize)]
struct MasterView {
    name: StackName,
    address: Option<String>,
    state: Option<InstanceState>,
    preferred: bool,
    why: Option<&'static str>,
    named: bool,
    launched: Option<String>,
    minions: usize,
    #[serde(skip)]
    since: Option<Timestamp>,
}

/// Lists the masters in order of precedence.
///
/// # Errors
/// Where the fleet cannot be seen, or has no master.
pub async fn list(ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let fleet = survey(&ports.sources(&session.place), |_| Depth::Context).await.map_err(Exit::blind)?;
    let pin = session.place.settings.master.as_ref();
    // Nobody needs project files that can be read to see which masters there are.
    let projects = ports.stores.shared.projects().await.unwrap_or_else(|error| {
        session.screen.note(&format!("warning: {error}"));
        Projects::default()
    });
    let masters = views(&fleet, &projects, pin);
    let Some(preferred) = masters.iter().find(|master| master.preferred).map(|master| master.name.to_string()) else {
        let problem = format!("there is no master in {}", fleet.region);
        return Err(Exit::refused(problem).line("a master is a stack of the project 'master-server'"));
    };
    if let Some(pin) = pin.filter(|pin| !masters.iter().any(|master| master.name == **pin)) {
        session.screen.note(&format!("warning: settings.yaml says `master: {pin}`, and there is no such master in {}", fleet.region));
    }
    if masters.len() > 1 {
        let names: Vec<_> = masters.iter().map(|master| master.name.as_str()).collect();
        session.screen.note(&format!("warning: there are {} masters ({}); {preferred} is preferred", names.len(), names.join(", ")));
    }
    let named: Vec<_> = masters.iter().filter(|master| master.named).map(|master| master.name.as_str()).collect();
    if !named.is_empty() && !named.contains(&preferred.as_str()) {
        session.screen.note(&format!("warning: the project files name {}, so that is where new minions go", named.join(", ")));
    }
    let now = ports.stores.clock.now();
    let view = MastersView { region: fleet.region, masters };
    session.screen.result(|| text(&view.masters, now), &view);
    Ok(Code::Done)
}

fn text(masters: &[MasterView], now: Timestamp) -> String {
    let mut table = Table::new(["MASTER", "ADDRESS", "STATE", "AGE", "MINIONS", "PREFERRED"]);
    for master in masters {
        table.row([
            master.name.to_string(),
            master.address.clone().unwrap_or_default(),
            master.state.map_or_else(|| "no instance".into(), |state| state.to_string()),
            master.since.map(|since| age(since, now)).unwrap_or_default(),
            master.minions.to_string(),
            match (master.preferred, master.named) {
                (true, _) => format!("yes: {}", master.why.unwrap_or_default()),
                (false, true) => "no; the project files name it".into(),
                (false, false) => "no".into(),
            },
        ]);
    }
    table.to_string()
}

fn views(fleet: &Fleet, projects: &Projects, pin: Option<&StackName>) -> Vec<MasterView> {
    let masters = fleet.masters();
    let in_charge = fleet.preferred_master(pin).map(|master| &master.name);
    let named = named_in_files(fleet, projects);
    let why = if in_charge == pin { "pinned by settings.yaml" } else { "first by the text of its instance id" };
    masters
        .iter()
        .map(|master| {
            let node = master.nodes.iter().find(|node| node.state == InstanceState::Running).or(master.nodes.first());
            let address = node.and_then(|node| node.private.as_ref()).map(ToString::to_string);
            let preferred = in_charge == Some(&master.name);
            MasterView {
                name: master.name.clone(),
                state: master.state(),
                preferred,
                why: preferred.then_some(why),
                named: named.contains(&&master.name),
                launched: node.map(|node| rfc3339(node.launched)),
                since: node.map(|node| node.launched),
                minions: address.as_deref().map_or(0, |address| minions(fleet, address)),
                address,
            }
        })
        .collect()
}

/// How many nodes have a context that names this address.
fn minions(fleet: &Fleet, address: &str) -> usize {
    let names = |stack: &&Stack| match &stack.context {
        Reading::Read(ContextFacts::Mastered { masters, .. }) => {
            !stack.name.is_master() && masters.iter().any(|master| **master == *address)
        }
        _ => false,
    };
    fleet.stacks.values().filter(names).map(|stack| stack.nodes.len()).sum()
}
