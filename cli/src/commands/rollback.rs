//! `master.rollback`: what did a run move, and where was it before? It is re-mastered there.

use super::{Session, fleet_lock::Held, remaster_all, runs};
use crate::{
    exit::{Code, Exit},
    request::{Remaster, Rollback},
    screen::line::counted,
    wiring::Ports,
};
use bldr_core::{address::MasterAddress, event::RunId, fleet::Fleet, name::StackName, plan::Scope, survey};
use std::collections::{BTreeMap, BTreeSet};

/// Moves them back, those of one old master after those of another.
///
/// # Errors
/// A run that is not recorded or has moved nothing; an old master that is gone. How it ended for each stack is in the events and the code.
pub async fn roll_back(wanted: &Rollback, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let held = Held::take(&ports.stores, session).await?;
    held.during(session.screen.clone(), under_the_lock(wanted, ports, session)).await
}

async fn under_the_lock(wanted: &Rollback, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let run = runs::read(&wanted.run, &ports.stores).await?.record;
    if wanted.run != run.id.0 {
        session.typed = by_name(&session.typed, &wanted.run, &run.id);
        session.screen.note(&format!("{} is {}: to go on after an interruption, type `{}`", wanted.run, run.id, session.typed));
    }
    let moved = meant(run.moved(), wanted.stack.as_ref());
    let others = if wanted.stack.is_none() { runs::others_of(&run, &ports.stores).await? } else { Vec::new() };
    for (other, stacks) in &others {
        let (stacks, id) = (counted(*stacks, "more stack"), &run.id);
        session.screen.note(&format!(
            "note: {other}, before {id}, moved {stacks} to the same master: `bldr master.rollback:{other}` moves back those"
        ));
    }
    if moved.is_empty() {
        let of = wanted.stack.as_ref().map(|stack| format!(" of {stack}")).unwrap_or_default();
        let problem = format!("run {} has moved nothing{of}, or its record does not say where that was before", run.id);
        return Err(Exit::refused(problem).line(format!("nothing was changed; `bldr run.show:{}` shows it", run.id)));
    }
    let fleet = survey::list(&ports.sources(&session.place)).await.map_err(Exit::blind)?;
    let back = moved.into_iter().map(|(address, stacks)| back(wanted, &address, stacks, &fleet)).collect::<Result<Vec<_>, _>>()?;
    let mut worst = Code::Done;
    for request in &back {
        let code = remaster_all::under_the_lock(request, ports, session).await?;
        if code == Code::Interrupted {
            return Ok(code);
        }
        worst = if code == Code::Done { worst } else { code };
    }
    Ok(worst)
}

/// The command line with the name of the run: what it was typed as, `last` or a part of the name, may be another one by the time that
/// somebody types it again, and be this very rollback.
fn by_name(typed: &str, wanted: &str, run: &RunId) -> String {
    let of_a_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
    let task = typed.find("master.rollback").map_or(0, |at| at + "master.rollback".len());
    let whole = |at: &usize| !typed[..*at].ends_with(of_a_name) && !typed[at + wanted.len()..].starts_with(of_a_name);
    let found = typed[task..].match_indices(wanted).map(|(at, _)| task + at).find(whole);
    found.map_or_else(|| typed.to_owned(), |at| format!("{}{run}{}", &typed[..at], &typed[at + wanted.len()..]))
}

fn meant(moved: BTreeMap<MasterAddress, Vec<StackName>>, only: Option<&StackName>) -> Vec<(MasterAddress, BTreeSet<StackName>)> {
    let of_each = |(address, stacks): (_, Vec<StackName>)| {
        let stacks: BTreeSet<_> = stacks.into_iter().filter(|stack| only.is_none_or(|only| only == stack)).collect();
        (!stacks.is_empty()).then_some((address, stacks))
    };
    moved.into_iter().filter_map(of_each).collect()
}

/// The re-mastering that moves these back there.
fn back(wanted: &Rollback, address: &MasterAddress, stacks: BTreeSet<StackName>, fleet: &Fleet) -> Result<Remaster, Exit> {
    let Some(master) = fleet.master_at(address.as_str()) else {
        let names: Vec<_> = stacks.iter().map(StackName::as_str).collect();
        let problem = format!("{} had a master at {address}, and no master of {} has that address now", names.join(", "), fleet.region);
        return Err(Exit::refused(problem).line("nothing was changed; `bldr master.list` lists the masters"));
    };
    let private = master.nodes.iter().filter_map(|node| node.private.as_ref()).any(|private| private.as_str() == address.as_str());
    Ok(Remaster {
        scope: Scope::These(stacks),
        master: master.name.clone(),
        address: (!private).then(|| address.clone()),
        limit: None,
        how: wanted.how.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_is_recorded_with_the_name_of_the_run() {
        let run = RunId("20261128-131500-abcd".into());
        for (typed, wanted, recorded) in [
            ("bldr master.rollback:last", "last", "bldr master.rollback:20261128-131500-abcd"),
            ("bldr --home last master.rollback last --yes", "last", "bldr --home last master.rollback 20261128-131500-abcd --yes"),
            ("bldr master.rollback:stack=last--ci,run=last", "last", "bldr master.rollback:stack=last--ci,run=20261128-131500-abcd"),
            ("bldr master.rollback:abcd,abcd--ci", "abcd", "bldr master.rollback:20261128-131500-abcd,abcd--ci"),
        ] {
            assert_eq!(by_name(typed, wanted, &run), recorded);
        }
    }
}
