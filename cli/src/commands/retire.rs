//! `master.retire`: may this master go? If nothing points to it any more, it is stopped.

use super::{Session, fleet_lock::Held, named, status::ANSWERS_WITHIN};
use crate::{
    exit::{Code, Exit},
    screen::table::Table,
    wiring::Ports,
};
use bldr_core::{
    fleet::InstanceState,
    name::StackName,
    retirement::{Place, Pointer, pointers},
    survey::{self, Depth},
};
use serde::Serialize;

#[derive(Serialize)]
struct RetireView<'a> {
    master: &'a StackName,
    pointers: &'a [Pointer],
    stopped: bool,
}

/// Looks at everything that could point to it; stops it where nothing does.
///
/// # Errors
/// A stack that is no master or not there, a fleet that cannot be seen, and anything that still points to it.
pub async fn retire(master: &StackName, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let held = Held::take(&ports.stores, session).await?;
    let ended = looked_at(master, ports, session).await;
    held.release(session, ended).await
}

async fn looked_at(master: &StackName, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let sources = ports.sources(&session.place);
    let mut fleet = survey::list(&sources).await.map_err(Exit::blind)?;
    let projects = ports.stores.shared.projects().await?;
    let nodes = named::master(&fleet, Some(master), session)?.nodes.clone();
    survey::deepen(&mut fleet, &sources, None, |_| Depth::Nodes).await;
    let answers = survey::answers(&fleet, &*ports.masters, ANSWERS_WITHIN).await;
    let found = pointers(&fleet, &projects, session.place.settings.master.as_ref(), master, &answers);
    if !found.is_empty() {
        session.screen.result(|| text(&found), &RetireView { master, pointers: &found, stopped: false });
        return Err(Exit::refused(format!("{master} cannot go yet: {} places point to it, or may", found.len()))
            .line("nothing was changed; `bldr master.remaster_all:NEWMASTER` moves what is left, `master.status` shows it"));
    }
    let up: Vec<_> = nodes.iter().filter(|node| node.state != InstanceState::Stopped).collect();
    if !up.is_empty() {
        session.terminal.confirm(&format!("Nothing points to {master} any more. Stop it?"))?;
    }
    for node in up {
        ports.stores.sleepers.forget(&node.name).await?;
        ports.power.stop(&node.id).await.map_err(|error| Exit { code: Code::Failed, ..error.into() })?;
    }
    session.screen.result(|| format!("{master} is stopped; nothing points to it\n"), &RetireView { master, pointers: &[], stopped: true });
    Ok(Code::Done)
}

fn text(found: &[Pointer]) -> String {
    let mut table = Table::new(["WHAT POINTS TO IT", "OF", "WHY"]);
    for pointer in found {
        let place = match pointer.place {
            Place::Settings => "settings.yaml pins it",
            Place::ProjectFile => "project file",
            Place::Context => "context",
            Place::BuildVars => "build vars",
            Place::Configuration => "configuration",
            Place::TrustedKey => "trusted key",
            Place::Connection => "connection",
            Place::Answer => "it answers it",
            Place::Unknown => "not known",
        };
        table.row([place.into(), pointer.of.clone(), pointer.why.clone().unwrap_or_default()]);
    }
    table.to_string()
}
