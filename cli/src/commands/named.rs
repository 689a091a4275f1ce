//! Is there a stack of that name, and if not, which one was meant?

use super::Session;
use crate::{exit::Exit, nearest::did_you_mean};
use bldr_core::{
    fleet::{Fleet, Stack},
    name::StackName,
    ports::{ContextStore, Document},
    project::Projects,
    status,
};

/// The stack of that name.
///
/// # Errors
/// Refused with the nearest name where there is none.
pub fn stack<'a>(fleet: &'a Fleet, name: &StackName) -> Result<&'a Stack, Exit> {
    fleet.stacks.get(name).ok_or_else(|| unknown(name, &format!("in {}", fleet.region), fleet.stacks.keys()))
}

/// The master of that name, else the one in charge.
///
/// # Errors
/// Refused where it is none, or there is none.
pub fn master<'a>(fleet: &'a Fleet, name: Option<&StackName>, session: &Session) -> Result<&'a Stack, Exit> {
    match name {
        Some(name) if !name.is_master() => {
            Err(Exit::refused(format!("{name} is no master: those are stacks of the project 'master-server'"))
                .line("`bldr master.list` lists them"))
        }
        Some(name) => stack(fleet, name),
        None => {
            let none = || {
                Exit::refused(format!("there is no master in {}", fleet.region)).line("a master is a stack of the project 'master-server'")
            };
            fleet.preferred_master(session.place.settings.master.as_ref()).ok_or_else(none)
        }
    }
}

/// Says so where the preferred master was taken, as nobody named one, and the project files name another.
pub fn note_of_another(taken: &StackName, fleet: &Fleet, projects: &Projects, session: &Session) {
    let named = status::named_in_files(fleet, projects);
    if named.is_empty() || named.contains(&taken) {
        return;
    }
    let named = named.into_iter().map(StackName::as_str).collect::<Vec<_>>().join(", ");
    session.screen.note(&format!("note: this is about {taken}, the preferred master; the project files name {named}"));
}

/// The stored context of the stack of that name.
///
/// # Errors
/// Refused with the nearest name where there is none; those of the store.
pub async fn context(contexts: &dyn ContextStore, name: &StackName) -> Result<Document, Exit> {
    match contexts.load(name).await {
        Err(error) if error.kind == bldr_core::error::PortErrorKind::NotFound => {
            Err(unknown(name, "among the stored contexts", contexts.list().await.map_err(Exit::blind)?.iter()))
        }
        answer => Ok(answer?),
    }
}

fn unknown<'a>(name: &StackName, place: &str, known: impl Iterator<Item = &'a StackName>) -> Exit {
    let guess = did_you_mean(name.as_str(), known.map(StackName::as_str));
    Exit::refused(format!("there is no {name} {place}{guess}")).line("nothing was changed; `bldr stacks` lists what there is")
}

/// That there are projects at all: files that were emptied must not pass for a fleet that is done.
///
/// # Errors
/// Refused where no project file has a project.
pub fn some_project(projects: &Projects) -> Result<(), Exit> {
    if projects.names().next().is_some() {
        return Ok(());
    }
    Err(Exit::refused("the project files have no project in them, and no 'defaults' section")
        .line("nothing was changed; is the checkout complete?"))
}
