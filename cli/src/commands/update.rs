//! `update`, `master.update`: is a stack as its project files want it? If not, it is made so.

use super::{
    Session,
    fleet_lock::Held,
    named,
    watched::{Work, ended, run_of, watched},
};
use crate::{
    exit::{Code, Exit},
    request,
    wiring::Ports,
};
use bldr_core::{
    event::Outcome,
    fleet::Fleet,
    name::StackName,
    plan::Patience,
    ports::{Fence, Library, Operator},
    survey,
    update::{self, Concurrency, LockedOut, Mode, Sweep, Update, Updated},
};
use serde::Serialize;
use std::fmt;

/// Updates a stack.
///
/// # Errors
/// Whatever keeps it from being begun. How it ended is in the events and the code.
pub async fn update(wanted: &request::Update, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let held = Held::take(&ports.stores, session).await?;
    let ended = async { updated(wanted, Orphans::Stay, &listed(ports, session).await?, ports, session).await };
    held.during(session.screen.clone(), ended).await
}

/// Updates a master and the keys it holds.
///
/// # Errors
/// As [`update()`].
pub async fn update_master(wanted: &request::UpdateMaster, ports: &Ports, session: &mut Session) -> Result<Code, Exit> {
    let (held, screen) = (Held::take(&ports.stores, session).await?, session.screen.clone());
    let ended = async {
        let fleet = listed(ports, session).await?;
        let stack = named::master(&fleet, wanted.master.as_ref(), session)?.name.clone();
        if wanted.master.is_none() {
            named::note_of_another(&stack, &fleet, &ports.stores.shared.projects().await?, session);
        }
        let update = request::Update { stack, mode: wanted.mode, concurrency: Concurrency::Serial, autostart: wanted.autostart };
        let orphans = if wanted.yes { Orphans::Go } else { Orphans::GoWhereFew };
        updated(&update, orphans, &fleet, ports, session).await
    };
    held.during(screen, ended).await
}

/// What becomes of the keys of minions whose stack is no more. A dry run of a master names them in any case.
enum Orphans {
    /// They stay.
    Stay,
    /// They go, where they are no more than settings.yaml allows.
    GoWhereFew,
    /// They go, however many there are.
    Go,
}

async fn updated(wanted: &request::Update, orphans: Orphans, fleet: &Fleet, ports: &Ports, session: &Session) -> Result<Code, Exit> {
    let sources = ports.sources(&session.place);
    if named::stack(fleet, &wanted.stack)?.nodes.is_empty() {
        return Err(Exit::refused(format!("{} has no instance in {}", wanted.stack, fleet.region)).line("nothing was changed"));
    }
    let update = Update {
        mode: wanted.mode,
        concurrency: wanted.concurrency,
        autostart: wanted.autostart,
        ..of(&wanted.stack, ports, session).await?
    };
    let percent = match orphans {
        Orphans::Stay if wanted.mode == Mode::Apply || !wanted.stack.is_master() => None,
        Orphans::Stay | Orphans::GoWhereFew => Some(session.place.settings.orphans),
        Orphans::Go => Some(100),
    };
    let sweep = percent.map(|percent| Sweep { sources: &sources, percent });
    let run = run_of(session, ports.stores.clock.now());
    let work = async |operator: &dyn Operator| update::update(&update, sweep.as_ref(), fleet, &run, &ports.of_an_update(operator)).await;
    let updated = watched(Work::Steps(&run.id), &ports.stores, session, work).await?;
    let done = updated.report.outcomes.get(&wanted.stack) == Some(&Outcome::Updated);
    // A launch that was cut short in its update has come to its end; if it is not somebody else's by now.
    if done && ports.stores.gate.standing().is_ok() {
        ports.stores.launches.end(&wanted.stack).await?;
    }
    told(&updated, session)
}

/// The usual update of a stack.
///
/// # Errors
/// Project files that cannot be read, and files that settings.yaml names.
pub(super) async fn of(stack: &StackName, ports: &Ports, session: &Session) -> Result<Update, Exit> {
    let library = if stack.is_master() { its_library(stack, ports, session).await? } else { Library::default() };
    Ok(Update {
        stack: stack.clone(),
        mode: Mode::Apply,
        concurrency: Concurrency::Serial,
        autostart: false,
        source: session.place.salt_source()?,
        library,
        join: Patience::default().join,
        new: false,
    })
}

async fn its_library(stack: &StackName, ports: &Ports, session: &Session) -> Result<Library, Exit> {
    let projects = ports.stores.shared.projects().await?;
    named::some_project(&projects)?;
    let hosts = session.place.git_hosts()?;
    let unchanged = |error: &dyn fmt::Display| Exit::refused(error.to_string()).line("nothing was changed");
    let library = Library::of(&projects, stack, &hosts).map_err(|error| unchanged(&error))?;
    library.fit_for(stack).map_err(|error| unchanged(&error))?;
    Ok(library)
}

#[derive(Serialize)]
struct LockedOutView<'a> {
    locked_out: &'a StackName,
    repository: &'a str,
    why: &'a str,
    key: &'a str,
    fingerprint: String,
    next: [String; 2],
}

/// How it ended; where a master was locked out, also what a person has to do.
///
/// # Errors
/// A run that could not be recorded.
pub(super) fn told(updated: &Updated, session: &Session) -> Result<Code, Exit> {
    let Some(LockedOut { master, repository, why, key }) = &updated.locked_out else { return ended(&updated.report, session) };
    let next = [format!("bldr download_file:{master},/root/.ssh/id_rsa.pub,/tmp,use_bootstrap_user=True"), format!("bldr update:{master}")];
    let fingerprint = key.fingerprint();
    let text = || {
        format!(
            "\n{master} may not read its private repository yet\n  repository  {repository}\n  git says    {why}\n  its key     {fingerprint}\n\n\
             Fetch its public key,\n\n    {}\n\nadd the contents of /tmp/id_rsa.pub as a read-only deploy key to that repository, and type\n\n    {}\n",
            next[0], next[1]
        )
    };
    let view = LockedOutView { locked_out: master, repository, why, key: key.line(), fingerprint: key.fingerprint(), next: next.clone() };
    session.screen.result(text, &view);
    // The outcomes say that it failed; what to type is said above.
    updated.report.unrecorded.as_ref().map_or(Ok(Code::Failed), |_| ended(&updated.report, session))
}

/// The fleet as far as lists go.
///
/// # Errors
/// A fleet that cannot be seen.
pub(super) async fn listed(ports: &Ports, session: &Session) -> Result<Fleet, Exit> {
    survey::list(&ports.sources(&session.place)).await.map_err(Exit::blind)
}
