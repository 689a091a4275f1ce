//! `master.retire`: may this master go? If nothing points to it any more, it is stopped, and some days later removed.

use super::{Session, destroy, fleet_lock::Held, named, status::ANSWERS_WITHIN};
use crate::{
    exit::{Code, Exit},
    meant::GRACE_DAYS,
    request::Retire,
    screen::{line::counted, table::Table},
    wiring::Ports,
};
use bldr_core::{
    fleet::{InstanceState, Node},
    name::StackName,
    ports::{Begun, Fence},
    retirement::{Place, Pointer, holding, pointers},
    survey::{self, Depth},
};
use serde::Serialize;

#[derive(Serialize)]
struct RetireView<'a> {
    master: &'a StackName,
    pointers: &'a [Pointer],
    stopped: bool,
}

/// Looks at everything that could point to it. Where nothing does, it is stopped; or it goes for good, where that was long enough
/// ago.
///
/// # Errors
/// A stack that is no master or not there, a fleet that cannot be seen, and anything that still points to it.
pub async fn retire(wanted: &Retire, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let held = Held::take(&ports.stores, session).await?;
    held.during(session.screen.clone(), looked_at(wanted, ports, session)).await
}

async fn looked_at(wanted: &Retire, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let master = &wanted.master;
    let (nodes, found) = found(master, ports, session).await?;
    if !found.is_empty() {
        return Err(still_needed(master, &found, session));
    }
    if wanted.terminate {
        after_grace(wanted, ports).await?;
        return destroy::gone(master, ports, session).await;
    }
    let up: Vec<_> = nodes.iter().filter(|node| node.state != InstanceState::Stopped).collect();
    if !up.is_empty() {
        session.terminal.confirm(&format!("Nothing points to {master} any more. Stop it?")).await?;
        ports.stores.gate.affirmed().await?;
    }
    for node in up {
        ports.stores.gate.standing().map_err(|error| Exit { code: Code::Failed, ..error.into() })?;
        ports.stores.sleepers.forget(&node.name).await?;
        ports.power.stop(&node.id).await.map_err(|error| Exit { code: Code::Failed, ..error.into() })?;
    }
    session.screen.result(|| format!("{master} is stopped; nothing points to it\n"), &RetireView { master, pointers: &[], stopped: true });
    let from_then_on = if wanted.grace == 0 { "now".into() } else { format!("{} from now", counted(days(wanted.grace), "day")) };
    let grace = if wanted.grace == GRACE_DAYS { String::new() } else { format!(",grace={}", wanted.grace) };
    session.screen.note(&format!("`bldr master.retire:{master},terminate=yes{grace}` removes it for good, {from_then_on}"));
    Ok(Code::Done)
}

/// Everything that points to a master, and its nodes.
async fn found(master: &StackName, ports: &Ports, session: &Session) -> Result<(Vec<Node>, Vec<Pointer>), Exit> {
    let sources = ports.sources(&session.place);
    let mut fleet = survey::list(&sources).await.map_err(Exit::blind)?;
    let projects = ports.stores.shared.projects().await?;
    let nodes = named::master(&fleet, Some(master), session)?.nodes.clone();
    survey::deepen(&mut fleet, &sources, None, |_| Depth::Nodes).await;
    let answers = survey::answers(&fleet, &*ports.masters, ANSWERS_WITHIN).await;
    Ok((nodes, pointers(&fleet, &projects, session.place.settings.master.as_ref(), master, &answers)))
}

/// That no minion needs a master which is to be destroyed.
///
/// # Errors
/// Refused where one does; a fleet that cannot be seen.
pub(super) async fn unneeded(master: &StackName, begun: Option<&Begun>, ports: &Ports, session: &Session) -> Result<(), Exit> {
    let (_, found) = found(master, ports, session).await?;
    let found = holding(found, begun);
    if found.is_empty() { Ok(()) } else { Err(still_needed(master, &found, session)) }
}

fn still_needed(master: &StackName, found: &[Pointer], session: &Session) -> Exit {
    session.screen.result(|| text(found), &RetireView { master, pointers: found, stopped: false });
    let point = if found.len() == 1 { "points" } else { "point" };
    let mut advice = Vec::new();
    if found.iter().any(|pointer| pointer.place == Place::Settings) {
        advice.push("another `master:` in settings.yaml pins another one");
    }
    if found.iter().any(|pointer| pointer.place == Place::ProjectFile) {
        advice.push("`bldr master.share:NEWMASTER` makes the project files name another one");
    }
    if found.iter().any(|pointer| !matches!(pointer.place, Place::Settings | Place::ProjectFile)) {
        advice.push("`bldr master.remaster_all:NEWMASTER` moves what is left, `master.status` shows it");
    }
    Exit::refused(format!("{master} cannot go yet: {} {point} to it, or may", counted(found.len(), "place")))
        .line(format!("nothing was changed; {}", advice.join("; ")))
}

/// That it has been stopped for as long as somebody might still want it back.
async fn after_grace(wanted: &Retire, ports: &Ports) -> Result<(), Exit> {
    let Retire { master, grace, .. } = wanted;
    let unchanged = |problem: String| Exit::refused(problem).line("nothing was changed");
    let instances = ports.inventory.instances().await.map_err(Exit::blind)?;
    let now = ports.stores.clock.now();
    for instance in instances.iter().filter(|instance| instance.stack == master.as_str()) {
        if instance.state != InstanceState::Stopped {
            return Err(unchanged(format!("{master} is {}", instance.state)).line(format!("`bldr master.retire:{master}` stops it first")));
        }
        let days = instance.stopped.map(|since| u64::try_from((now.0 - since.0) / DAY).unwrap_or(0));
        match days {
            _ if *grace == 0 => {}
            Some(days) if days >= *grace => {}
            Some(days) => {
                let problem = format!("{master} has been stopped for {}, and its grace is {grace}", counted(self::days(days), "day"));
                return Err(unchanged(problem).line("grace=DAYS says otherwise"));
            }
            None => {
                return Err(unchanged(format!("EC2 does not say since when {master} is stopped; `bldr destroy:{master}` does not ask")));
            }
        }
    }
    Ok(())
}

fn days(days: u64) -> usize {
    usize::try_from(days).unwrap_or(usize::MAX)
}

/// In milliseconds.
const DAY: i64 = 86_400_000;

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
