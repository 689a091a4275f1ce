//! `master.doctor`: is a master fit to take over?

use super::{Session, named};
use crate::{
    exit::{Code, Exit},
    screen::{line::counted, table::Table},
    wiring::Ports,
};
use bldr_core::{
    doctor::{Check, Verdict, visit},
    name::StackName,
    ports::Library,
    survey::{Depth, survey},
};
use serde::Serialize;

#[derive(Serialize)]
struct DoctorView<'a> {
    master: &'a StackName,
    fit: bool,
    checks: &'a [Check],
}

/// Looks at a master from all sides; changes nothing.
///
/// # Errors
/// A stack that is no master or not there, project files that cannot be read, a fleet that cannot be seen. What is wrong with the
/// master is in the result and in the code.
pub async fn examine(wanted: Option<&StackName>, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let projects = ports.stores.shared.projects().await?;
    let fleet = survey(&ports.sources(&session.place), |_| Depth::Context).await.map_err(Exit::blind)?;
    let master = named::master(&fleet, wanted, session)?.name.clone();
    if wanted.is_none() {
        named::note_of_another(&master, &fleet, &projects, session);
    }
    let library = Library::of(&projects, &master, &[]).map_err(|error| Exit::refused(error.to_string()).line("nothing was changed"))?;
    let urls = library.repositories();
    let clock = || ports.stores.clock.now();
    let checks = visit(&fleet, &master, &urls, &*ports.masters, &*ports.minions, clock).await;
    let fit = checks.iter().all(|check| check.verdict != Verdict::No);
    session.screen.result(|| text(&checks), &DoctorView { master: &master, fit, checks: &checks });
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (no, warnings) = (count(Verdict::No), count(Verdict::Warning));
    session.screen.note(&match (no, warnings) {
        (0, 0) => format!("{master} is fit to take over"),
        (0, _) => format!("{master} is fit to take over, with {}", counted(warnings, "warning")),
        (1, _) => format!("{master} is not fit to take over: 1 of {} says no", counted(checks.len(), "check")),
        _ => format!("{master} is not fit to take over: {no} of {} say no", counted(checks.len(), "check")),
    });
    Ok(if fit { Code::Done } else { Code::Failed })
}

fn text(checks: &[Check]) -> String {
    let mut table = Table::new(["CHECK", "VERDICT", "FOUND", "WHAT TO DO"]);
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::No => "no",
        };
        table.row([check.about.clone(), verdict.into(), check.found.clone(), check.advice.clone().unwrap_or_default()]);
    }
    table.to_string()
}
