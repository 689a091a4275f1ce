//! `keys.list`, `keys.orphans`, `keys.restore`: whose keys does a master hold, who needs them no more, and which come back?

use super::{Session, fleet_lock::Held, named, nodes::unchanged};
use crate::{
    exit::{Code, Exit},
    nearest::did_you_mean,
    request::{Keys, KeysTask},
    screen::table::Table,
    wiring::Ports,
};
use bldr_core::{
    fleet::{HeldKey, HeldKeys, Host, KeyState, Node},
    name::StackName,
    orphans::{Belongs, belongs},
    survey::{Depth, survey},
};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct KeyView<'a> {
    id: &'a str,
    state: KeyState,
    key: String,
    belongs: &'static str,
}

#[derive(Serialize)]
struct KeysView<'a> {
    master: &'a StackName,
    keys: Vec<KeyView<'a>>,
    quarantine: Vec<KeyView<'a>>,
}

#[derive(Serialize)]
struct RestoredView<'a> {
    master: &'a StackName,
    restored: Vec<String>,
}

/// Does it.
///
/// # Errors
/// A master that is not there, does not run or cannot be asked; keys that nobody has removed, or whose place is taken.
pub async fn run(wanted: &Keys, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    match &wanted.task {
        KeysTask::List | KeysTask::Orphans => list(wanted, ports, session).await,
        KeysTask::Restore(what) => {
            let held = Held::take(&ports.stores, session).await?;
            held.during(session.screen.clone(), restore(wanted, what, ports, session)).await
        }
    }
}

/// The master that was named, else the one in charge; and where it can be asked.
async fn asked(wanted: &Keys, ports: &Ports, session: &Session) -> Result<(StackName, Host), Exit> {
    let fleet = survey(&ports.sources(&session.place), |_| Depth::Listed).await.map_err(Exit::blind)?;
    let master = named::master(&fleet, wanted.master.as_ref(), session)?;
    let host = master.running().and_then(Node::host);
    let host = host.ok_or_else(|| Exit::refused(format!("{} does not run, so it cannot be asked", master.name)))?;
    Ok((master.name.clone(), host))
}

async fn list(wanted: &Keys, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let orphans = wanted.task == KeysTask::Orphans;
    let (master, host) = &asked(wanted, ports, session).await?;
    let keys = ports.masters.read(host).await?.keys;
    let quarantine = if orphans { HeldKeys::default() } else { ports.masters.quarantined(host).await? };
    // Listed after the keys were read: a minion that has come in between has its stack in it.
    let fleet = survey(&ports.sources(&session.place), |_| Depth::Context).await.map_err(Exit::blind)?;
    let of = |key: &HeldKey| belongs(key, &fleet);
    let shown = |belongs| !orphans || matches!(belongs, Belongs::ToNobody | Belongs::ToAContext);
    let view = KeysView { master, keys: views(&keys, of, shown), quarantine: views(&quarantine, of, |_| true) };
    session.screen.result(|| text(&view), &view);
    if !view.quarantine.is_empty() {
        session.screen.note(&format!("`bldr keys.restore:ID,{master}` puts a removed key back, `keys.restore:all,{master}` all of them"));
    }
    Ok(Code::Done)
}

fn views<'a>(keys: &'a HeldKeys, of: impl Fn(&HeldKey) -> Belongs, shown: impl Fn(Belongs) -> bool) -> Vec<KeyView<'a>> {
    let keys = keys.iter().map(|key| (key, of(key))).filter(|(_, belongs)| shown(*belongs));
    keys.map(|(key, belongs)| KeyView { id: &key.id, state: key.state, key: key.key.to_string(), belongs: word(belongs) }).collect()
}

fn word(belongs: Belongs) -> &'static str {
    match belongs {
        Belongs::ToAStack => "stack",
        Belongs::ToAContext => "context",
        Belongs::ToAStranger => "stranger",
        Belongs::ToNobody => "nobody",
    }
}

fn text(view: &KeysView) -> String {
    let mut table = Table::new(["MINION", "STATE", "KEY", "BELONGS TO"]);
    for (view, kept) in view.keys.iter().map(|view| (view, "")).chain(view.quarantine.iter().map(|view| (view, ", removed"))) {
        let whose = match view.belongs {
            "stack" => "a stack",
            "context" => "a context without an instance here: kept",
            "stranger" => "no node: kept",
            _ => "no stack that there is",
        };
        table.row([view.id.to_owned(), format!("{}{kept}", state(view.state)), view.key.clone(), whose.to_owned()]);
    }
    table.to_string()
}

fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Accepted => "accepted",
        KeyState::Pending => "pending",
        KeyState::Rejected => "rejected",
        KeyState::Denied => "denied",
    }
}

async fn restore(wanted: &Keys, what: &str, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let (master, host) = &asked(wanted, ports, session).await?;
    let kept = ports.masters.quarantined(host).await?;
    let mut ids: BTreeMap<&str, Vec<HeldKey>> = BTreeMap::new();
    for key in kept.iter().filter(|key| what == "all" || *key.id == *what) {
        ids.entry(&key.id).or_default().push(key.clone());
    }
    if ids.is_empty() && what != "all" {
        let guess = did_you_mean(what, kept.iter().map(|key| &*key.id));
        return Err(Exit::refused(format!("{master} keeps no removed key of '{what}'{guess}"))
            .line("nothing was changed; `bldr keys.list` lists what it keeps"));
    }
    let keys: Vec<HeldKey> = ids.into_values().flatten().collect();
    let restored = ports.masters.restore(host, &keys).await.map_err(unchanged)?;
    let view = RestoredView { master, restored: restored.into_iter().collect() };
    let text = || view.restored.iter().map(|id| format!("{id}\n")).collect();
    session.screen.result(text, &view);
    if view.restored.is_empty() {
        session.screen.note(&format!("{master} keeps no removed key"));
    }
    Ok(Code::Done)
}
